// One level of the reduction network of a set. Lanes come in groups of SPAN in which no two valid lanes have the same row.
// Each pair of groups is merged: a lane of the right group that finds its row in the left group is added there and dies,
// so that after ceil(log2 WAYS) levels no row is left twice and all lanes can be accumulated in one cycle. At most one lane of
// the right group matches a lane of the left one, so a left lane needs one adder, and its second operand is an AND-OR.

module merge_level #(
    parameter int WAYS = 4,
    parameter int SPAN = 1,
    parameter int ROW_BITS = 10,
    localparam int COUNT_BITS = $clog2(WAYS + 1)
) (
    input  logic                      clk,
    input  logic                      reset,
    input  logic [WAYS-1:0]           valid,
    input  logic [WAYS*ROW_BITS-1:0]  rows,
    input  logic [WAYS*40-1:0]        sums,
    output logic [WAYS-1:0]           merged_valid,
    output logic [WAYS*ROW_BITS-1:0]  merged_rows,
    output logic [WAYS*40-1:0]        merged_sums,
    output logic [COUNT_BITS-1:0]     additions     // lanes that this level adds to others in this cycle
);

  logic [WAYS-1:0] absorbed;

  always_ff @(posedge clk) begin
    merged_valid <= reset ? '0 : valid & ~absorbed;
    merged_rows <= rows;
  end

  assign additions = COUNT_BITS'($countones(absorbed));

  for (genvar lane = 0; lane < WAYS; lane++) begin : g_lane
    localparam int GROUP = lane / SPAN;
    localparam int RIGHT = (GROUP + 1) * SPAN;                          // first lane of the group to the right
    localparam int PARTNERS = (GROUP % 2 == 1) || (RIGHT >= WAYS) ? 0 : (RIGHT + SPAN > WAYS ? WAYS - RIGHT : SPAN);
    if (GROUP % 2 == 1) begin : g_right
      localparam int LEFT = (GROUP - 1) * SPAN;
      logic [SPAN-1:0] match;
      for (genvar other = 0; other < SPAN; other++) begin : g_match
        assign match[other] = valid[lane] && valid[LEFT+other]
            && rows[lane*ROW_BITS+:ROW_BITS] == rows[(LEFT+other)*ROW_BITS+:ROW_BITS];
      end
      assign absorbed[lane] = |match;
    end else begin : g_left
      assign absorbed[lane] = 1'b0;
    end
    if (PARTNERS > 0) begin : g_adder
      logic [PARTNERS*40-1:0] selected;
      for (genvar other = 0; other < PARTNERS; other++) begin : g_select
        localparam int FROM = RIGHT + other;
        logic match;
        logic [39:0] below;
        assign match = valid[lane] && valid[FROM] && rows[lane*ROW_BITS+:ROW_BITS] == rows[FROM*ROW_BITS+:ROW_BITS];
        if (other == 0) begin : g_first
          assign below = '0;
        end else begin : g_next
          assign below = selected[(other-1)*40+:40];
        end
        assign selected[other*40+:40] = below | (match ? sums[FROM*40+:40] : '0);
      end
      always_ff @(posedge clk)
        merged_sums[lane*40+:40] <= sums[lane*40+:40] + selected[(PARTNERS-1)*40+:40];
    end else begin : g_pass
      always_ff @(posedge clk) merged_sums[lane*40+:40] <= sums[lane*40+:40];
    end
  end

endmodule
