// An element whose weight stands still (of the dataflow `is`: whose input does). Sums move down, lanes to the right.

module stationary_element #(
    parameter int STREAM_BITS = 8,
    parameter int HELD_BITS = 8,
    parameter int SUM_BITS = 32,
    parameter bit OVERLAP = 1'b0
) (
    input  logic                   clk,
    input  logic                   reset,
    // from the left, and on to the right
    input  logic                   load,
    input  logic                   present,         // a vector
    input  logic                   first,           // with it: the first of a fold
    input  logic                   valid,           // with it: an operand in this row
    input  logic [STREAM_BITS-1:0] operand,
    output logic                   load_right,
    output logic                   present_right,
    output logic                   first_right,
    output logic                   valid_right,
    output logic [STREAM_BITS-1:0] operand_right,
    // the chain of the shift-in, downwards: valid bit, weight
    input  logic [HELD_BITS:0]     chain_above,
    output logic [HELD_BITS:0]     chain,
    // sums, downwards
    input  logic                   sum_valid_above,
    input  logic [SUM_BITS-1:0]    sum_above,
    output logic                   sum_valid,
    output logic [SUM_BITS-1:0]    sum,
    output logic                   mac
);

  logic [HELD_BITS:0]                       held;
  logic signed [STREAM_BITS+HELD_BITS-1:0]  product;

  always_ff @(posedge clk)
    if (reset) {load_right, present_right, first_right, valid_right} <= '0;
    else {load_right, present_right, first_right, valid_right} <= {load, present, first, valid};

  always_ff @(posedge clk) operand_right <= operand;

  always_ff @(posedge clk)
    if (reset) chain <= '0;
    else if (load) chain <= chain_above;

  if (OVERLAP) begin : g_shadow
    logic [HELD_BITS:0] kept;

    always_ff @(posedge clk)
      if (reset) kept <= '0;
      else if (first) kept <= chain;

    assign held = first ? chain : kept;
  end else begin : g_single
    assign held = chain;
  end

  assign mac = valid && held[HELD_BITS];
  assign product = $signed(operand) * $signed(held[HELD_BITS-1:0]);

  always_ff @(posedge clk)
    if (reset) sum_valid <= 1'b0;
    else sum_valid <= sum_valid_above || mac;

  always_ff @(posedge clk) sum <= sum_above + (mac ? SUM_BITS'(product) : '0);

endmodule
