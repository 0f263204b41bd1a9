// Weight- or input-stationary: elements whose sums move down. See README.md, "ws and is".

module stationary_array #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int STREAM_BITS = 8,
    parameter int HELD_BITS = 8,
    parameter int SUM_BITS = 32,
    parameter bit OVERLAP = 1'b0
) (
    input  logic                               clk,
    input  logic                               reset,
    input  logic [ROWS-1:0]                    load,
    input  logic                               present,
    input  logic                               first,
    input  logic [ROWS-1:0]                    left_valid,
    input  logic [ROWS*STREAM_BITS-1:0]        left,
    input  logic [COLUMNS-1:0]                 top_valid,
    input  logic [COLUMNS*HELD_BITS-1:0]       top,
    output logic [COLUMNS-1:0]                 slot,
    output logic [COLUMNS-1:0]                 valid,
    output logic [COLUMNS*SUM_BITS-1:0]        sums,
    output logic [ROWS*COLUMNS-1:0]            macs
);

  localparam int LANE = STREAM_BITS + 4;
  localparam int DROP = HELD_BITS + 1;

  logic [ROWS*LANE-1:0]    lanes, lanes_skewed;
  logic [COLUMNS*DROP-1:0] drops, drops_skewed;

  for (genvar r = 0; r < ROWS; r++) begin : g_lane
    assign lanes[r*LANE+:LANE] = {load[r], present, first, left_valid[r], left[r*STREAM_BITS+:STREAM_BITS]};
  end
  for (genvar c = 0; c < COLUMNS; c++) begin : g_drop
    assign drops[c*DROP+:DROP] = {top_valid[c], top[c*HELD_BITS+:HELD_BITS]};
  end

  skew #(.LANES(ROWS), .BITS(LANE)) skew_left (.clk, .reset, .in(lanes), .out(lanes_skewed));
  skew #(.LANES(COLUMNS), .BITS(DROP)) skew_top (.clk, .reset, .in(drops), .out(drops_skewed));

  for (genvar r = 0; r < ROWS; r++) begin : g_row
    for (genvar c = 0; c < COLUMNS; c++) begin : g_column
      logic [LANE-1:0]     from_left, to_right;
      logic [DROP-1:0]     chain_above, chain;
      logic [SUM_BITS:0]   above, below;             // valid bit, sum

      if (c == 0) begin : g_edge
        assign from_left = lanes_skewed[r*LANE+:LANE];
      end else begin : g_inside
        assign from_left = g_row[r].g_column[c-1].to_right;
      end
      if (r == 0) begin : g_top
        assign chain_above = drops_skewed[c*DROP+:DROP];
        assign above = '0;
      end else begin : g_under
        assign chain_above = g_row[r-1].g_column[c].chain;
        assign above = g_row[r-1].g_column[c].below;
      end

      stationary_element #(
          .STREAM_BITS(STREAM_BITS), .HELD_BITS(HELD_BITS), .SUM_BITS(SUM_BITS), .OVERLAP(OVERLAP)
      ) element (
          .clk, .reset, .load(from_left[LANE-1]), .present(from_left[LANE-2]), .first(from_left[LANE-3]),
          .valid(from_left[LANE-4]), .operand(from_left[STREAM_BITS-1:0]), .load_right(to_right[LANE-1]),
          .present_right(to_right[LANE-2]), .first_right(to_right[LANE-3]), .valid_right(to_right[LANE-4]),
          .operand_right(to_right[STREAM_BITS-1:0]), .chain_above, .chain, .sum_valid_above(above[SUM_BITS]),
          .sum_above(above[SUM_BITS-1:0]), .sum_valid(below[SUM_BITS]), .sum(below[SUM_BITS-1:0]),
          .mac(macs[r*COLUMNS+c])
      );
    end
  end

  // What the bottom row passes to the right has gone beside the sum that it put into its register.
  for (genvar c = 0; c < COLUMNS; c++) begin : g_out
    assign slot[c] = g_row[ROWS-1].g_column[c].to_right[LANE-2];
    assign {valid[c], sums[c*SUM_BITS+:SUM_BITS]} = g_row[ROWS-1].g_column[c].below;
  end

endmodule
