// Products of WIDTH pairs of bits that stand for +1 and -1 (1 where both are equal), counted and added to a sum.
module binary_mac #(
    parameter WIDTH = 64,
    parameter SUM = 13
) (
    input  wire [WIDTH-1:0] a,
    input  wire [WIDTH-1:0] b,
    input  wire [  SUM-1:0] sum,
    output reg  [  SUM-1:0] y
);
  wire [WIDTH-1:0] equal = ~(a ^ b);
  integer i;
  always @* begin
    y = sum;
    for (i = 0; i < WIDTH; i = i + 1) y = y + {{(SUM - 1) {1'b0}}, equal[i]};
  end
endmodule
