// Product of two signed numbers of WIDTH bits.
module int_mult #(
    parameter WIDTH = 16
) (
    input  wire signed [  WIDTH-1:0] a,
    input  wire signed [  WIDTH-1:0] b,
    output wire signed [2*WIDTH-1:0] y
);
  assign y = a * b;
endmodule
