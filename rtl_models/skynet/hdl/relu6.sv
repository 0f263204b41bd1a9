// ReLU6 of a feature, where it is enabled. A type that does not reach 6 clips at its own end.

module relu6 #(
    parameter int BITS = 9,
    parameter int INTEGER_BITS = 3
) (
    input  logic                   enable,
    input  logic signed [BITS-1:0] in,
    output logic signed [BITS-1:0] out
);

  localparam int WIDE = BITS + 4;
  localparam logic signed [WIDE-1:0] SIX = WIDE'(6) << (BITS - INTEGER_BITS);

  assign out = !enable ? in : in[BITS-1] ? '0 : WIDE'(in) > SIX ? BITS'(SIX) : in;

endmodule
