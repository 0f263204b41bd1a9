// Behind a column of an output-stationary array: which result it is that leaves, the bottom row's first.

module drain_end #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int COLUMN = 0
) (
    input  logic        clk,
    input  logic        start,
    input  logic [15:0] outer_size,
    input  logic [15:0] inner_size,
    input  logic        slot,
    output logic        exists,                      // more is to come
    output logic        fold_ends,                   // with a slot
    output logic [15:0] result_outer,
    output logic [15:0] result_inner
);

  logic [15:0] gone, outer, inner;

  assign fold_ends = slot && gone == 16'(ROWS) - 16'd1;

  fold_counter #(.OUTER_STEP(ROWS), .INNER_STEP(COLUMNS)) folds (
      .clk, .start, .advance(fold_ends), .outer_size, .inner_size, .exists, .more(), .outer, .inner
  );

  assign result_outer = outer + 16'(ROWS) - 16'd1 - gone;
  assign result_inner = inner + 16'(COLUMN);

  always_ff @(posedge clk)
    if (start) gone <= '0;
    else if (slot) gone <= fold_ends ? '0 : gone + 16'd1;

endmodule
