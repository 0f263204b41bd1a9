// Output-stationary: elements that keep their sums until the drain. See README.md, "os".

module output_array #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int LEFT_BITS = 8,
    parameter int TOP_BITS = 8,
    parameter int SUM_BITS = 32,
    parameter bit OVERLAP = 1'b0
) (
    input  logic                         clk,
    input  logic                         reset,
    input  logic [ROWS:1]                drain,               // lane ROWS is that of the output registers
    input  logic                         present,
    input  logic                         first,
    input  logic                         last,
    input  logic [ROWS-1:0]              left_valid,
    input  logic [ROWS*LEFT_BITS-1:0]    left,
    input  logic [COLUMNS-1:0]           top_valid,
    input  logic [COLUMNS*TOP_BITS-1:0]  top,
    output logic [COLUMNS-1:0]           slot,
    output logic [COLUMNS-1:0]           valid,
    output logic [COLUMNS*SUM_BITS-1:0]  sums,
    output logic [ROWS*COLUMNS-1:0]      macs
);

  localparam int LANE = LEFT_BITS + 5;
  localparam int DROP = TOP_BITS + 1;

  logic [ROWS*LANE-1:0]    lanes, lanes_skewed;
  logic [COLUMNS*DROP-1:0] drops, drops_skewed;
  logic [ROWS:1]           drain_skewed;

  for (genvar r = 0; r < ROWS; r++) begin : g_lane
    assign lanes[r*LANE+:LANE] = {1'b0, present, first, last, left_valid[r], left[r*LEFT_BITS+:LEFT_BITS]};
  end
  for (genvar c = 0; c < COLUMNS; c++) begin : g_drop
    assign drops[c*DROP+:DROP] = {top_valid[c], top[c*TOP_BITS+:TOP_BITS]};
  end

  skew #(.LANES(ROWS), .BITS(LANE)) skew_left (.clk, .reset, .in(lanes), .out(lanes_skewed));
  skew #(.LANES(COLUMNS), .BITS(DROP)) skew_top (.clk, .reset, .in(drops), .out(drops_skewed));
  skew #(.LANES(ROWS), .BITS(1)) skew_drain (.clk, .reset, .in(drain), .out(drain_skewed));

  for (genvar r = 0; r < ROWS; r++) begin : g_row
    for (genvar c = 0; c < COLUMNS; c++) begin : g_column
      logic [LANE-1:0]    from_left, to_right;
      logic [DROP-1:0]    from_top, to_below;
      logic [SUM_BITS:0]  chain_above, chain;

      if (c == 0) begin : g_edge
        assign from_left = {r > 0 && drain_skewed[r > 0 ? r : 1], lanes_skewed[r*LANE+:LANE-1]};
      end else begin : g_inside
        assign from_left = g_row[r].g_column[c-1].to_right;
      end
      if (r == 0) begin : g_top
        assign from_top = drops_skewed[c*DROP+:DROP];
        assign chain_above = '0;
      end else begin : g_under
        assign from_top = g_row[r-1].g_column[c].to_below;
        assign chain_above = g_row[r-1].g_column[c].chain;
      end

      output_element #(
          .LEFT_BITS(LEFT_BITS), .TOP_BITS(TOP_BITS), .SUM_BITS(SUM_BITS), .OVERLAP(OVERLAP)
      ) element (
          .clk, .reset, .drain(from_left[LANE-1]), .present(from_left[LANE-2]), .first(from_left[LANE-3]),
          .last(from_left[LANE-4]), .valid(from_left[LANE-5]), .operand(from_left[LEFT_BITS-1:0]),
          .drain_right(to_right[LANE-1]), .present_right(to_right[LANE-2]), .first_right(to_right[LANE-3]),
          .last_right(to_right[LANE-4]), .valid_right(to_right[LANE-5]), .operand_right(to_right[LEFT_BITS-1:0]),
          .top(from_top), .top_below(to_below), .chain_above, .chain, .mac(macs[r*COLUMNS+c])
      );
    end
  end

  for (genvar c = 0; c < COLUMNS; c++) begin : g_out
    logic              taking;
    logic [SUM_BITS:0] kept;

    if (c == 0) begin : g_edge
      assign taking = drain_skewed[ROWS];
    end else begin : g_inside
      assign taking = g_out[c-1].slotted;
    end

    logic slotted;
    always_ff @(posedge clk)
      if (reset) slotted <= 1'b0;
      else slotted <= taking;

    always_ff @(posedge clk) if (taking) kept <= g_row[ROWS-1].g_column[c].chain;

    assign slot[c] = slotted;
    assign {valid[c], sums[c*SUM_BITS+:SUM_BITS]} = kept;
  end

endmodule
