// A two's complement number with SHIFT fraction bits fewer: rounded to nearest, halves up, and saturated.

module round_saturate #(
    parameter int IN_BITS = 24,
    parameter int OUT_BITS = 9,
    parameter int SHIFT = 7               // negative: that many fraction bits more
) (
    input  logic signed [IN_BITS-1:0]  in,
    output logic signed [OUT_BITS-1:0] out
);

  // A bit more than either side needs, so that neither the rounding term nor the bounds overflow.
  localparam int LEFT = SHIFT < 0 ? -SHIFT : 0;
  localparam int RIGHT = SHIFT > 0 ? SHIFT : 0;
  localparam int BITS = (IN_BITS + LEFT > OUT_BITS ? IN_BITS + LEFT : OUT_BITS) + 2;
  localparam logic signed [BITS-1:0] HALF = RIGHT > 0 ? (BITS'(1) << (RIGHT > 0 ? RIGHT - 1 : 0)) : '0;
  localparam logic signed [BITS-1:0] MOST = (BITS'(1) << (OUT_BITS - 1)) - BITS'(1);

  logic signed [BITS-1:0] wide, rounded;

  assign wide = BITS'(in);
  assign rounded = ((wide <<< LEFT) + HALF) >>> RIGHT;
  assign out = rounded > MOST ? OUT_BITS'(MOST) : rounded < -MOST - BITS'(1) ? OUT_BITS'(-MOST - BITS'(1)) : OUT_BITS'(rounded);

endmodule
