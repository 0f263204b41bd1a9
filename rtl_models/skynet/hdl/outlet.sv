// What leaves the engine: features as they are, or accumulators rounded to features; clipped; and the largest of four where
// they are pooled. A pooled word is read in two steps of two pixels, a and b: `top`, which is kept, and then the other.

module outlet #(
    parameter int lanes = 32,
    parameter int feature_bits = 9,
    parameter int feature_integer_bits = 3,
    parameter int accumulator_bits = 12,
    parameter int accumulator_integer_bits = 4,
    localparam int SHIFT = accumulator_bits - accumulator_integer_bits - feature_bits + feature_integer_bits
) (
    input  logic                              clk,
    input  logic                              from_features,
    input  logic                              relu,
    input  logic                              pooled,
    input  logic                              top,
    input  logic [lanes*feature_bits-1:0]     features,
    input  logic [lanes*accumulator_bits-1:0] a,
    input  logic [lanes*accumulator_bits-1:0] b,
    output logic [lanes*16-1:0]               word
);

  for (genvar k = 0; k < lanes; k++) begin : g_lane
    logic signed [feature_bits-1:0]     rounded, plain, clipped, kept, best;
    logic signed [accumulator_bits-1:0] first, second, larger;

    // Rounding and clipping keep the order, so the largest is found first.
    assign first = a[k*accumulator_bits+:accumulator_bits];
    assign second = b[k*accumulator_bits+:accumulator_bits];
    assign larger = pooled && second > first ? second : first;
    round_saturate #(.IN_BITS(accumulator_bits), .OUT_BITS(feature_bits), .SHIFT(SHIFT)) narrow (.in(larger), .out(rounded));

    assign plain = from_features ? features[k*feature_bits+:feature_bits] : rounded;
    relu6 #(.BITS(feature_bits), .INTEGER_BITS(feature_integer_bits)) clip (.enable(relu), .in(plain), .out(clipped));

    always_ff @(posedge clk) if (top) kept <= clipped;
    assign best = pooled && kept > clipped ? kept : clipped;
    assign word[k*16+:16] = 16'(best);
  end

endmodule
