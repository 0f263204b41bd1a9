// How fast words of a set move to or from its accumulators: 16 bits a cycle and way. Results have 16 bits, sums that are
// set aside or come back have 40. A word counts in the cycle in which its last bit moves.

module pace #(
    parameter int WAYS = 4,
    localparam int COUNT_BITS = $clog2(WAYS + 1)
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   active,
    input  logic                   results,     // words have 16 bits
    input  logic [15:0]            words,
    output logic [15:0]            first,       // word that moves first in this cycle
    output logic [COUNT_BITS-1:0]  count,
    output logic                   last         // of the cycles that all words take
);

  localparam int SUM_BITS = 40;

  logic [15:0] bits_left, total, complete, left;

  assign total = bits_left + 16'(16 * WAYS);
  assign complete = results ? 16'(WAYS) : total / 16'(SUM_BITS);
  assign left = words - first;
  assign last = active && complete >= left;
  assign count = !active ? '0 : (complete >= left ? COUNT_BITS'(left) : COUNT_BITS'(complete));

  always_ff @(posedge clk)
    if (reset || last) begin
      first <= '0;
      bits_left <= '0;
    end else if (active) begin
      first <= first + 16'(count);
      bits_left <= results ? '0 : total % 16'(SUM_BITS);
    end

endmodule
