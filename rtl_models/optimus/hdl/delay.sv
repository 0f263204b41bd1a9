// A delay line: `out` is what `in` was CYCLES cycles ago, zero before that.

module delay #(
    parameter int BITS = 1,
    parameter int CYCLES = 1
) (
    input  logic            clk,
    input  logic            reset,
    input  logic [BITS-1:0] in,
    output logic [BITS-1:0] out
);

  logic [BITS-1:0] stage [0:CYCLES-1];

  always_ff @(posedge clk)
    for (int k = 0; k < CYCLES; k++)
      if (reset) stage[k] <= '0;
      else if (k == 0) stage[k] <= in;
      else stage[k] <= stage[k-1];

  assign out = stage[CYCLES-1];

endmodule
