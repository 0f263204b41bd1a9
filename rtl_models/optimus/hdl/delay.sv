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

  for (genvar k = 0; k < CYCLES; k++) begin : g_stage
    logic [BITS-1:0] was;
    if (k == 0) begin : g_first
      always_ff @(posedge clk) was <= reset ? '0 : in;
    end else begin : g_next
      always_ff @(posedge clk) was <= reset ? '0 : g_stage[k-1].was;
    end
  end

  assign out = g_stage[CYCLES-1].was;

endmodule
