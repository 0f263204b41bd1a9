// Index of the lowest bit that is set, BITS if there is none.

module first_one #(
    parameter int BITS = 16,
    localparam int INDEX_BITS = $clog2(BITS + 1)
) (
    input  logic [BITS-1:0]       flags,
    output logic [INDEX_BITS-1:0] index
);

  logic [BITS-1:0] below;             // ones below the lowest bit

  assign below = (flags & (~flags + BITS'(1))) - BITS'(1);
  assign index = INDEX_BITS'($countones(below));

endmodule
