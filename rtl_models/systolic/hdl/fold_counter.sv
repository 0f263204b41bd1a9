// Walks the folds, the inner ones first, by the index that each begins with.

module fold_counter #(
    parameter int OUTER_STEP = 4,
    parameter int INNER_STEP = 4
) (
    input  logic        clk,
    input  logic        start,
    input  logic        advance,
    input  logic [15:0] outer_size,
    input  logic [15:0] inner_size,
    output logic        exists,                   // a fold is at hand
    output logic        more,                     // and is after this cycle
    output logic [15:0] outer,
    output logic [15:0] inner
);

  logic inner_ends, outer_ends;

  assign inner_ends = {1'b0, inner} + 17'(INNER_STEP) >= {1'b0, inner_size};
  assign outer_ends = {1'b0, outer} + 17'(OUTER_STEP) >= {1'b0, outer_size};

  assign more = exists && !(advance && inner_ends && outer_ends);

  always_ff @(posedge clk)
    if (start) begin
      exists <= 1'b1;
      outer <= '0;
      inner <= '0;
    end else if (advance) begin
      inner <= inner_ends ? '0 : inner + 16'(INNER_STEP);
      if (inner_ends) outer <= outer + 16'(OUTER_STEP);
      exists <= more;
    end

endmodule
