// The depthwise engine: a multiplier a lane. A cycle after operands and weights, products are added to the results so far,
// which are rounded and written; `tail` clips them instead.

module depthwise #(
    parameter int lanes = 32,
    parameter int feature_bits = 9,
    parameter int feature_integer_bits = 3,
    parameter int weight_bits = 11,
    parameter int weight_integer_bits = 4,
    localparam int WEIGHT_FRACTION = weight_bits - weight_integer_bits,
    localparam int PRODUCT = feature_bits + weight_bits,
    localparam int SUM = PRODUCT + 1
) (
    input  logic                          clk,
    input  logic [lanes*feature_bits-1:0] operands,
    input  logic [lanes*weight_bits-1:0]  weights,
    // a cycle later
    input  logic                          tail,
    input  logic [lanes*feature_bits-1:0] so_far,
    output logic [lanes*feature_bits-1:0] results
);

  for (genvar k = 0; k < lanes; k++) begin : g_lane
    logic signed [PRODUCT-1:0] product;
    logic signed [SUM-1:0]     sum;
    logic signed [feature_bits-1:0] partial, after, clipped;

    always_ff @(posedge clk)
      product <= $signed(operands[k*feature_bits+:feature_bits]) * $signed(weights[k*weight_bits+:weight_bits]);

    assign partial = so_far[k*feature_bits+:feature_bits];
    assign sum = SUM'(product) + (SUM'(partial) <<< WEIGHT_FRACTION);

    round_saturate #(.IN_BITS(SUM), .OUT_BITS(feature_bits), .SHIFT(WEIGHT_FRACTION)) narrow (.in(sum), .out(after));
    relu6 #(.BITS(feature_bits), .INTEGER_BITS(feature_integer_bits)) clip (.enable(1'b1), .in(partial), .out(clipped));

    assign results[k*feature_bits+:feature_bits] = tail ? clipped : after;
  end

endmodule
