// A triangle of registers: lane i comes out i cycles later.

module skew #(
    parameter int LANES = 4,
    parameter int BITS = 8
) (
    input  logic                  clk,
    input  logic                  reset,
    input  logic [LANES*BITS-1:0] in,
    output logic [LANES*BITS-1:0] out
);

  assign out[0+:BITS] = in[0+:BITS];

  for (genvar i = 1; i < LANES; i++) begin : g_lane
    logic [i*BITS-1:0] held;                    // the latest lowest

    always_ff @(posedge clk)
      if (reset) held <= '0;
      else held <= (i*BITS)'({held, in[i*BITS+:BITS]});

    assign out[i*BITS+:BITS] = held[(i-1)*BITS+:BITS];
  end

endmodule
