// Product of two IEEE 754 single-precision numbers, rounded to nearest, ties to even.
// Subnormal numbers count as zero, of operands and of the result; a result too large is infinite; operands are finite.
module fp32_mult (
    input  wire [31:0] a,
    input  wire [31:0] b,
    output wire [31:0] y
);
  wire sign = a[31] ^ b[31];
  wire zero = (a[30:23] == 0) | (b[30:23] == 0);
  wire [47:0] product = {1'b1, a[22:0]} * {1'b1, b[22:0]};
  wire high = product[47];
  wire [23:0] kept = high ? product[47:24] : product[46:23];
  wire guard = high ? product[23] : product[22];
  wire sticky = high ? |product[22:0] : |product[21:0];
  wire up = guard & (sticky | kept[0]);
  wire [24:0] rounded = {1'b0, kept} + {24'd0, up};
  // One more where the product is 2 or more, one more where rounding carries.
  wire signed [10:0] exponent =
      $signed({3'b000, a[30:23]}) + $signed({3'b000, b[30:23]}) - 11'sd127
      + $signed({10'd0, high}) + $signed({10'd0, rounded[24]});
  wire [22:0] fraction = rounded[24] ? rounded[23:1] : rounded[22:0];
  wire under = exponent < 11'sd1;
  wire over = exponent > 11'sd254;
  assign y = (zero | under) ? {sign, 31'd0} : over ? {sign, 8'hff, 23'd0} : {sign, exponent[7:0], fraction};
endmodule
