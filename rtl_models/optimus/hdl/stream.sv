// The read side of one set: its weight buffer, and the unpacking of what it asks for, bit by bit.
//
// In a piece the set has, from bit `start` of the slot on, a length for each column and then its entries. Lengths are read
// in two streams as columns come into sight (walker.sv); entries are registered at the end of the cycle that issues them.
// In dense products there is nothing to unpack: which outputs of a column's head belong to the set follows from the shape.
//
// Simulators have no memory with as many read ports as all sets need, so each set has a copy of both slots. In a chip, it
// would have a bank with its own share.

module stream #(
    parameter int macs = 16,
    parameter int sets = 4,
    parameter int window = 8,
    parameter int CHANNELS = 256,
    localparam int WAYS = macs / sets,
    localparam int FETCH = (macs < window ? macs : window) > 16 ? (macs < window ? macs : window) : 16,
    localparam int MOVE = 16,
    localparam int DEPTH = (4096 + sets - 1) / sets,
    localparam int ROW_BITS = $clog2(DEPTH),
    localparam int LENGTH_BITS = $clog2(DEPTH + 1),
    localparam int LANE_BITS = 16 + ROW_BITS + LENGTH_BITS,
    localparam int COUNT_BITS = $clog2(WAYS + 1)
) (
    input  logic                        clk,
    // a beat from the port: 16 bits of each channel's burst
    input  logic                        write,
    input  logic                        write_slot,
    input  logic [14:0]                 write_address,
    input  logic [8:0]                  write_channels,
    input  logic [CHANNELS*16-1:0]      write_data,
    // the piece that holds the array
    input  logic [15:0]                 set_index,
    input  logic                        slot,
    input  logic                        dense,
    input  logic [18:0]                 start,
    input  logic [15:0]                 columns,
    input  logic [3:0]                  length_bits,
    input  logic [3:0]                  row_bits,
    input  logic [15:0]                 kv,
    // lengths of the first columns of the next row
    input  logic                        fetch,
    input  logic [15:0]                 fetch_column,
    input  logic [15:0]                 fetch_end,
    input  logic [FETCH*32-1:0]         fetch_heads,
    output logic [FETCH-1:0]            fetch_flags,
    output logic [FETCH*LANE_BITS-1:0]  fetch_lanes,
    // lengths of the columns that come into sight
    input  logic                        move,
    input  logic [15:0]                 move_column,
    input  logic [15:0]                 move_end,
    input  logic [MOVE*32-1:0]          move_heads,
    output logic [MOVE-1:0]             move_flags,
    output logic [MOVE*LANE_BITS-1:0]   move_lanes,
    // entries
    input  logic                        begin_row,
    input  logic [COUNT_BITS-1:0]       issued,
    output logic [WAYS*16-1:0]          values,
    output logic [WAYS*ROW_BITS-1:0]    rows
);

  logic [15:0] words [0:65535];       // {slot, address}

  // Not always_ff: as many words are written as channels deliver.
  always @(posedge clk)
    if (write)
      for (int k = 0; k < int'(write_channels); k++)
        words[{write_slot, write_address + 15'(4 * k)}] <= write_data[k*16+:16];

  // 32 bits from any bit of a slot on.
  function automatic logic [31:0] bits_at(input logic from_slot, input logic [18:0] first);
    bits_at = 32'({words[{from_slot, first[18:4] + 15'd2}], words[{from_slot, first[18:4] + 15'd1}],
                   words[{from_slot, first[18:4]}]} >> first[3:0]);
  endfunction

  function automatic logic [31:0] low(input logic [3:0] bits);
    low = (32'd1 << bits) - 32'd1;
  endfunction

  // Number of outputs before `output_index` that are dealt to this set: also the first row from there on.
  function automatic logic [ROW_BITS:0] rows_before(input logic [15:0] output_index, input logic [15:0] index);
    rows_before = (ROW_BITS + 1)'((32'(output_index) + 32'(sets - 1) - 32'(index)) / 32'(sets));
  endfunction

  // A lane of a column: {element, first row, length}. `head` is {element, first output} of its head.
  function automatic logic [LANE_BITS-1:0] dense_lane(
      input logic [31:0] head, input logic [15:0] outputs, input logic [15:0] index);
    logic [ROW_BITS:0] from, to;
    from = rows_before(head[15:0], index);
    to = rows_before(head[15:0] + outputs, index);
    dense_lane = {head[31:16], from[ROW_BITS-1:0], LENGTH_BITS'(to - from)};
  endfunction

  function automatic logic [LANE_BITS-1:0] sparse_lane(
      input logic from_slot, input logic [18:0] first, input logic [3:0] bits);
    sparse_lane = LANE_BITS'(bits_at(from_slot, first) & low(bits));
  endfunction

  // The lanes of columns from `column` to `stop` (exclusive), and a flag for each that is not empty. Memory is not among the
  // arguments: no word changes while its piece holds the array.
  function automatic logic [FETCH+FETCH*LANE_BITS-1:0] fetched(
      input logic enable, input logic from_slot, input logic [15:0] column, input logic [15:0] stop,
      input logic [18:0] first, input logic [3:0] bits, input logic by_shape, input logic [FETCH*32-1:0] heads,
      input logic [15:0] outputs, input logic [15:0] index);
    logic [LANE_BITS-1:0] lane;
    fetched = '0;
    if (enable)
      for (int k = 0; k < FETCH && 32'(column) + 32'(k) < 32'(stop); k++) begin
        lane = by_shape ? dense_lane(heads[k*32+:32], outputs, index)
            : sparse_lane(from_slot, first + 19'(column + 16'(k)) * 19'(bits), bits);
        fetched[k*LANE_BITS+:LANE_BITS] = lane;
        fetched[FETCH*LANE_BITS+k] = lane[LENGTH_BITS-1:0] != '0;
      end
  endfunction

  function automatic logic [MOVE+MOVE*LANE_BITS-1:0] moved(
      input logic enable, input logic from_slot, input logic [15:0] column, input logic [15:0] stop,
      input logic [18:0] first, input logic [3:0] bits, input logic by_shape, input logic [MOVE*32-1:0] heads,
      input logic [15:0] outputs, input logic [15:0] index);
    logic [LANE_BITS-1:0] lane;
    moved = '0;
    if (enable)
      for (int k = 0; k < MOVE && 32'(column) + 32'(k) < 32'(stop); k++) begin
        lane = by_shape ? dense_lane(heads[k*32+:32], outputs, index)
            : sparse_lane(from_slot, first + 19'(column + 16'(k)) * 19'(bits), bits);
        moved[k*LANE_BITS+:LANE_BITS] = lane;
        moved[MOVE*LANE_BITS+k] = lane[LENGTH_BITS-1:0] != '0;
      end
  endfunction

  assign {fetch_flags, fetch_lanes} =
      fetched(fetch, slot, fetch_column, fetch_end, start, length_bits, dense, fetch_heads, kv, set_index);
  assign {move_flags, move_lanes} =
      moved(move, slot, move_column, move_end, start, length_bits, dense, move_heads, kv, set_index);

  logic [18:0] pointer;               // bit of the slot with the next entry
  logic [4:0]  entry_bits;

  assign entry_bits = 5'd16 + 5'(row_bits);

  always_ff @(posedge clk)
    if (begin_row) pointer <= start + 19'(columns) * 19'(length_bits);
    else pointer <= pointer + 19'(issued) * 19'(entry_bits);

  for (genvar way = 0; way < WAYS; way++) begin : g_way
    function automatic logic [31:0] entry_at(input logic from_slot, input logic [18:0] first, input logic [3:0] bits);
      entry_at = bits_at(from_slot, first) & {16'(low(bits)), 16'hFFFF};
    endfunction
    always_ff @(posedge clk)
      if (way < int'(issued) && !dense)
        {rows[way*ROW_BITS+:ROW_BITS], values[way*16+:16]} <=
            (ROW_BITS + 16)'(entry_at(slot, pointer + 19'(way) * 19'(entry_bits), row_bits));
  end

endmodule
