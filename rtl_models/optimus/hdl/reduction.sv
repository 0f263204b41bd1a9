// The reduction network of a set: adds up products of the same row that were issued in the same cycle, ceil(log2 WAYS) cycles
// deep. Rows of the lanes that remain differ.

module reduction #(
    parameter int WAYS = 4,
    parameter int ROW_BITS = 10,
    localparam int LEVELS = $clog2(WAYS),
    localparam int COUNT_BITS = $clog2(WAYS + 1)
) (
    input  logic                      clk,
    input  logic                      reset,
    input  logic [WAYS-1:0]           valid,
    input  logic [WAYS*ROW_BITS-1:0]  rows,
    input  logic [WAYS*40-1:0]        products,
    output logic [WAYS-1:0]           sum_valid,
    output logic [WAYS*ROW_BITS-1:0]  sum_rows,
    output logic [WAYS*40-1:0]        sums,
    output logic [COUNT_BITS+2:0]     additions     // by all levels in this cycle
);

  for (genvar level = 0; level <= LEVELS; level++) begin : g_level
    logic [WAYS-1:0]          lane_valid;
    logic [WAYS*ROW_BITS-1:0] lane_rows;
    logic [WAYS*40-1:0]       lane_sums;
    logic [COUNT_BITS+2:0]    total;
    if (level == 0) begin : g_in
      assign lane_valid = valid;
      assign lane_rows = rows;
      assign lane_sums = products;
      assign total = '0;
    end else begin : g_merge
      logic [COUNT_BITS-1:0] here;
      merge_level #(.WAYS(WAYS), .SPAN(1 << (level - 1)), .ROW_BITS(ROW_BITS)) merge (
          .clk, .reset,
          .valid(g_level[level-1].lane_valid), .rows(g_level[level-1].lane_rows), .sums(g_level[level-1].lane_sums),
          .merged_valid(lane_valid), .merged_rows(lane_rows), .merged_sums(lane_sums), .additions(here)
      );
      assign total = g_level[level-1].total + (COUNT_BITS + 3)'(here);
    end
  end

  assign sum_valid = g_level[LEVELS].lane_valid;
  assign sum_rows = g_level[LEVELS].lane_rows;
  assign sums = g_level[LEVELS].lane_sums;
  assign additions = g_level[LEVELS].total;

endmodule
