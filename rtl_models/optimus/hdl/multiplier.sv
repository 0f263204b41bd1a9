// One way of a set: a 16-bit signed multiplier between two registers. The entry arrives from the read side (or, in dense
// products, from the activation buffer) in the same cycle as its operand from the window.

module multiplier (
    input  logic               clk,
    input  logic signed [15:0] weight,
    input  logic signed [15:0] operand,
    output logic signed [39:0] product
);

  logic signed [31:0] full;

  assign full = weight * operand;

  always_ff @(posedge clk) product <= {{8{full[31]}}, full};

endmodule
