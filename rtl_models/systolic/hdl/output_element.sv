// An element whose result stands still. Both operands pass through it; results leave downwards.

module output_element #(
    parameter int LEFT_BITS = 8,
    parameter int TOP_BITS = 8,
    parameter int SUM_BITS = 32,
    parameter bit OVERLAP = 1'b0
) (
    input  logic                 clk,
    input  logic                 reset,
    // from the left, and on to the right
    input  logic                 drain,             // take the result above
    input  logic                 present,           // a vector
    input  logic                 first,             // with it: the first of a fold
    input  logic                 last,              // with it: the last one
    input  logic                 valid,             // with it: an operand in this row
    input  logic [LEFT_BITS-1:0] operand,
    output logic                 drain_right,
    output logic                 present_right,
    output logic                 first_right,
    output logic                 last_right,
    output logic                 valid_right,
    output logic [LEFT_BITS-1:0] operand_right,
    // from the top, and on downwards: valid bit, operand
    input  logic [TOP_BITS:0]    top,
    output logic [TOP_BITS:0]    top_below,
    // the chain of the drain, downwards: valid bit, result
    input  logic [SUM_BITS:0]    chain_above,
    output logic [SUM_BITS:0]    chain,
    output logic                 mac
);

  logic [SUM_BITS:0]                     sum, next;
  logic signed [LEFT_BITS+TOP_BITS-1:0]  product;

  always_ff @(posedge clk)
    if (reset) {drain_right, present_right, first_right, last_right, valid_right, top_below[TOP_BITS]} <= '0;
    else
      {drain_right, present_right, first_right, last_right, valid_right, top_below[TOP_BITS]} <=
          {drain, present, first, last, valid, top[TOP_BITS]};

  always_ff @(posedge clk) begin
    operand_right <= operand;
    top_below[TOP_BITS-1:0] <= top[TOP_BITS-1:0];
  end

  assign mac = valid && top[TOP_BITS];
  assign product = $signed(operand) * $signed(top[TOP_BITS-1:0]);
  assign next[SUM_BITS] = mac || (!first && sum[SUM_BITS]);
  assign next[SUM_BITS-1:0] = (first ? '0 : sum[SUM_BITS-1:0]) + (mac ? SUM_BITS'(product) : '0);

  if (OVERLAP) begin : g_shadow
    always_ff @(posedge clk)
      if (reset) sum <= '0;
      else if (present) sum <= next;

    always_ff @(posedge clk)
      if (reset) chain <= '0;
      else begin
        if (last) chain <= next;
        else if (drain) chain <= chain_above;
      end
  end else begin : g_single
    assign chain = sum;

    always_ff @(posedge clk)
      if (reset) sum <= '0;
      else begin
        if (present) sum <= next;
        else if (drain) sum <= chain_above;
      end
  end

endmodule
