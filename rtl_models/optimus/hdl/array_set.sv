// A set of the array with its memories: the read side of the weight buffer, the datapath, the accumulators.

module array_set #(
    parameter int macs = 16,
    parameter int sets = 4,
    parameter int window = 8,
    parameter int CHANNELS = 256,
    parameter int HALF_BITS = 3,
    localparam int WAYS = macs / sets,
    localparam int LOOK = window > 16 ? window : 16,
    localparam int FETCH = (macs < window ? macs : window) > 16 ? (macs < window ? macs : window) : 16,
    localparam int MOVE = 16,
    localparam int DEPTH = (4096 + sets - 1) / sets,
    localparam int SUMS = (131072 + sets - 1) / sets,
    localparam int ROW_BITS = $clog2(DEPTH),
    localparam int LENGTH_BITS = $clog2(DEPTH + 1),
    localparam int LANE_BITS = 16 + ROW_BITS + LENGTH_BITS,
    localparam int COUNT_BITS = $clog2(WAYS + 1),
    localparam int LOOK_BITS = $clog2(LOOK + 1),
    localparam int INDEX_BITS = $clog2(LOOK)
) (
    input  logic                       clk,
    input  logic                       reset,
    input  logic                       clear,
    input  logic [15:0]                set_index,
    // weight port
    input  logic                       write,
    input  logic                       write_slot,
    input  logic [14:0]                write_address,
    input  logic [8:0]                 write_channels,
    input  logic [CHANNELS*16-1:0]     write_data,
    // piece
    input  logic                       slot,
    input  logic                       dense,
    input  logic [18:0]                start,
    input  logic [23:0]                entries,
    input  logic [15:0]                columns,
    input  logic [3:0]                 length_bits,
    input  logic [3:0]                 row_bits,
    input  logic [15:0]                kv,
    input  logic [15:0]                reduction,
    input  logic [31:0]                matrix_base,
    // row
    input  logic                       begin_row,
    input  logic                       running,
    input  logic                       page,
    input  logic [INDEX_BITS-1:0]      base,
    input  logic                       fetch,
    input  logic [15:0]                fetch_column,
    input  logic [15:0]                fetch_end,
    input  logic [FETCH*32-1:0]        fetch_heads,
    input  logic                       move,
    input  logic [LOOK_BITS-1:0]       move_by,
    input  logic [15:0]                sight_column,
    input  logic [15:0]                sight_end,
    input  logic [MOVE*32-1:0]         move_heads,
    output logic                       pending,
    output logic                       pending_after,
    output logic [LOOK_BITS-1:0]       distance,
    output logic [COUNT_BITS-1:0]      issued,
    output logic [WAYS*LOOK_BITS-1:0]  offsets,
    input  logic [WAYS*16-1:0]         operands,
    output logic [WAYS-1:0]            matrix_read,
    output logic [WAYS*32-1:0]         matrix_addresses,
    input  logic [WAYS*16-1:0]         matrix_elements,
    output logic [COUNT_BITS-1:0]      multiplied,
    output logic [COUNT_BITS+3:0]      added,
    // accumulators
    input  logic [5:0]                 shift,
    input  logic [HALF_BITS-1:0]       half,
    input  logic [COUNT_BITS-1:0]      drain_count,
    input  logic                       drain_results,
    input  logic [HALF_BITS-1:0]       drain_half,
    input  logic [15:0]                drain_row,
    input  logic [31:0]                drain_address,
    output logic [WAYS*16-1:0]         results,
    input  logic [COUNT_BITS-1:0]      load_count,
    input  logic [HALF_BITS-1:0]       load_half,
    input  logic [15:0]                load_row,
    input  logic [31:0]                load_address
);
  // verilator no_inline_module

  logic [FETCH-1:0]           fetch_flags;
  logic [FETCH*LANE_BITS-1:0] fetch_lanes;
  logic [MOVE-1:0]            move_flags;
  logic [MOVE*LANE_BITS-1:0]  move_lanes;
  logic [WAYS*16-1:0]         entry_values, dense_elements;
  logic [WAYS*ROW_BITS-1:0]   entry_rows, dense_rows, sum_rows;
  logic [WAYS-1:0]            sum_valid;
  logic [WAYS*40-1:0]         sums;
  logic [COUNT_BITS+2:0]      merged;
  logic [COUNT_BITS-1:0]      accumulated;

  stream #(.macs(macs), .sets(sets), .window(window), .CHANNELS(CHANNELS)) read_side (
      .clk, .write, .write_slot, .write_address, .write_channels, .write_data, .set_index, .slot, .dense, .start,
      .columns, .length_bits, .row_bits, .kv, .fetch, .fetch_column, .fetch_end, .fetch_heads, .fetch_flags,
      .fetch_lanes, .move, .move_column(sight_column), .move_end(sight_end), .move_heads, .move_flags, .move_lanes,
      .begin_row, .issued, .values(entry_values), .rows(entry_rows)
  );

  sparse_set #(.macs(macs), .sets(sets), .window(window)) datapath (
      .clk, .reset, .begin_row, .running, .page, .entries, .base, .move(move_by), .move_flags,
      .move_lanes, .fetch, .fetch_column(INDEX_BITS'(fetch_column)), .fetch_flags, .fetch_lanes, .pending,
      .pending_after, .distance, .issued, .offsets, .dense_rows, .dense_elements, .dense, .entry_values, .entry_rows,
      .matrix_elements, .operands, .multiplied, .sum_valid, .sum_rows, .sums, .merged
  );

  // Element (h, j, i) of a dense product's matrices lies at (h * kv + j) * reduction + i, and h * kv + j is its output.
  for (genvar way = 0; way < WAYS; way++) begin : g_matrix
    logic [31:0] output_index;
    assign output_index = 32'(dense_rows[way*ROW_BITS+:ROW_BITS]) * 32'(sets) + 32'(set_index);
    assign matrix_read[way] = dense && way < int'(issued);
    assign matrix_addresses[way*32+:32] = matrix_base + output_index * 32'(reduction) + 32'(dense_elements[way*16+:16]);
  end

  accumulators #(
      .WAYS(WAYS), .DEPTH(DEPTH), .SUMS(SUMS), .ROW_BITS(ROW_BITS), .HALF_BITS(HALF_BITS)
  ) accumulate (
      .clk, .clear, .shift, .half, .valid(sum_valid), .rows(sum_rows), .sums, .accumulated, .drain_count, .drain_results,
      .drain_half, .drain_row, .drain_address, .results, .load_count, .load_half, .load_row, .load_address
  );

  // Products are added to others on their way or to an accumulator.
  assign added = (COUNT_BITS + 4)'(merged) + (COUNT_BITS + 4)'(accumulated);

endmodule
