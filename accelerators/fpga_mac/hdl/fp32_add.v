// Sum of two IEEE 754 single-precision numbers, rounded to nearest, ties to even.
// Subnormal numbers count as zero, of operands and of the result; a result too large is infinite; operands are finite.
module fp32_add (
    input  wire [31:0] a,
    input  wire [31:0] b,
    output wire [31:0] y
);
  wire swap = a[30:0] < b[30:0];
  wire [31:0] big = swap ? b : a;
  wire [31:0] little = swap ? a : b;
  wire big_zero = big[30:23] == 0;
  wire little_zero = little[30:23] == 0;
  wire minus = big[31] ^ little[31];
  // 24 bits of significand, then guard, round and sticky.
  wire [26:0] upper = {1'b1, big[22:0], 3'b000};
  wire [26:0] whole = little_zero ? 27'd0 : {1'b1, little[22:0], 3'b000};
  wire [7:0] distance = big[30:23] - little[30:23];
  wire [4:0] shift = (distance > 8'd27) ? 5'd27 : distance[4:0];
  wire [26:0] shifted = whole >> shift;
  wire [26:0] lost = whole & ~({27{1'b1}} << shift);
  wire [26:0] lower = {shifted[26:1], shifted[0] | (|lost)};
  wire [27:0] total = minus ? {1'b0, upper} - {1'b0, lower} : {1'b0, upper} + {1'b0, lower};
  // The highest one, counted from bit 27.
  reg [4:0] leading;
  integer i;
  always @* begin
    leading = 5'd28;
    for (i = 0; i < 28; i = i + 1) if (total[i]) leading = 5'd27 - i[4:0];
  end
  wire nothing = leading == 5'd28;
  wire [27:0] normal = total << leading;
  // normal[27] is the leading one; 23 bits of fraction, guard, and the rest.
  wire guard = normal[3];
  wire sticky = |normal[2:0];
  wire up = guard & (sticky | normal[4]);
  wire [24:0] rounded = {1'b0, normal[27:4]} + {24'd0, up};
  wire signed [10:0] exponent =
      $signed({3'b000, big[30:23]}) + 11'sd1 - $signed({6'd0, leading}) + $signed({10'd0, rounded[24]});
  wire [22:0] fraction = rounded[24] ? rounded[23:1] : rounded[22:0];
  wire under = exponent < 11'sd1;
  wire over = exponent > 11'sd254;
  wire both = a[31] & b[31];
  assign y = big_zero ? {both, 31'd0}
      : nothing ? 32'd0
      : under ? {big[31], 31'd0}
      : over ? {big[31], 8'hff, 23'd0}
      : {big[31], exponent[7:0], fraction};
endmodule
