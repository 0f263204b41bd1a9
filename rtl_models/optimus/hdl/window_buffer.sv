// The input window: `window` consecutive elements of the input row, from the column `base` on, that every multiplier sees. It
// is double: while one page serves the row that runs, the first elements of the next row are fetched into the other.

module window_buffer #(
    parameter int macs = 16,
    parameter int window = 8,
    parameter int LOOK_BITS = 5,
    parameter int MOVE = 16,
    localparam int INDEX_BITS = window > 1 ? $clog2(window) : 1
) (
    input  logic                        clk,
    input  logic                        page,
    input  logic [15:0]                 base,
    input  logic [macs*LOOK_BITS-1:0]   offsets,          // what each multiplier asks for, from the base
    output logic [macs*16-1:0]          operands,         // ... and has a cycle later
    input  logic                        fetch,
    input  logic [15:0]                 fetch_column,
    input  logic [15:0]                 fetch_count,
    input  logic [macs*16-1:0]          fetch_elements,
    input  logic                        move,
    input  logic [15:0]                 move_column,      // first column that comes in
    input  logic [15:0]                 move_count,
    input  logic [MOVE*16-1:0]          move_elements
);

  logic [15:0] elements [0:(2 << INDEX_BITS)-1];          // {page, low bits of the column}

  // Where more elements come in than the window has, the last ones stay.
  always_ff @(posedge clk) begin
    if (fetch) begin
      // verilator unroll_disable
      for (int k = 0; k < macs; k++)
        if (k < int'(fetch_count))
          elements[{!page, INDEX_BITS'(fetch_column + 16'(k))}] <= fetch_elements[k*16+:16];
    end
    if (move) begin
      // verilator unroll_disable
      for (int k = 0; k < MOVE; k++)
        if (k < int'(move_count))
          elements[{page, INDEX_BITS'(move_column + 16'(k))}] <= move_elements[k*16+:16];
    end
  end

  for (genvar way = 0; way < macs; way++) begin : g_way
    always_ff @(posedge clk)
      operands[way*16+:16] <= elements[{page, INDEX_BITS'(base + 16'(offsets[way*LOOK_BITS+:LOOK_BITS]))}];
  end

endmodule
