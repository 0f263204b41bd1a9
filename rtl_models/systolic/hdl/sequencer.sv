// The fold sequencer: what is issued in each cycle. See README.md, "Folds in time".
//
// Two pacers run: `fill` issues the rows of a shift-in (os: of a drain), one every fill_interval cycles, and `stream`
// the vectors of a fold, one every stream_interval cycles. When each of them begins is all that the dataflows differ in.

module sequencer #(
    parameter int rows = 4,
    parameter int columns = 4,
    parameter int dataflow = 0,
    parameter int overlap = 0
) (
    input  logic        clk,
    input  logic        reset,
    input  logic        start,
    input  logic [15:0] stream_interval,
    input  logic [15:0] fill_interval,
    input  logic [15:0] vectors,
    input  logic [15:0] outer_size,               // of the matrix, in the direction of the outer folds
    input  logic [15:0] inner_size,

    output logic        busy,
    output logic        loading,                  // ws, is: a row of the shift-in
    output logic        draining,                 // os: a row of the drain
    output logic [15:0] fill_index,
    output logic [15:0] load_outer,               // first index of the fold that is loaded
    output logic [15:0] load_inner,
    output logic        present,
    output logic        first,
    output logic        last,
    output logic [15:0] vector,
    output logic [15:0] outer,                    // first index of the fold that streams
    output logic [15:0] inner
);

  localparam bit STATIONARY = dataflow != 1;
  localparam bit OVERLAP = overlap != 0;
  localparam int SKEW = rows + columns - 2;

  // --- pacers ---
  logic        filling, streaming, begin_fill, begin_stream, fill_now, fill_tick, fill_end, stream_tick, stream_end, hold;
  logic [15:0] fill_wait, stream_wait;

  assign fill_tick = fill_now && fill_wait + 16'd1 >= fill_interval;
  assign fill_end = fill_tick && fill_index == 16'(rows) - 16'd1;
  assign stream_tick = streaming && stream_wait + 16'd1 >= stream_interval && !hold;
  assign stream_end = stream_tick && vector == vectors - 16'd1;

  always_ff @(posedge clk)
    if (reset || start) begin
      filling <= start && !reset && STATIONARY;
      streaming <= start && !reset && !STATIONARY;
      fill_wait <= '0;
      fill_index <= '0;
      stream_wait <= '0;
      vector <= '0;
    end else begin
      filling <= begin_fill || (fill_now && !fill_end);
      fill_wait <= fill_now && !fill_tick ? fill_wait + 16'd1 : '0;
      fill_index <= fill_now && !fill_end ? fill_index + 16'(fill_tick) : '0;
      streaming <= begin_stream || (streaming && !stream_end);
      stream_wait <= streaming && !stream_tick ? stream_wait + 16'd1 : '0;
      vector <= streaming && !stream_end ? vector + 16'(stream_tick) : '0;
    end

  assign busy = filling || streaming;
  assign loading = STATIONARY && fill_tick;
  assign draining = !STATIONARY && fill_tick;
  assign present = stream_tick;
  assign first = stream_tick && vector == '0;
  assign last = stream_end;

  // --- folds ---
  logic to_load;                                    // folds are left to load
  logic to_stream;                                  // folds are left to stream, without one that ends in this cycle

  fold_counter #(.OUTER_STEP(STATIONARY ? columns : rows), .INNER_STEP(STATIONARY ? rows : columns)) loads (
      .clk, .start, .advance(loading && fill_end), .outer_size, .inner_size, .exists(to_load), .more(),
      .outer(load_outer), .inner(load_inner)
  );

  fold_counter #(.OUTER_STEP(STATIONARY ? columns : rows), .INNER_STEP(STATIONARY ? rows : columns)) streams (
      .clk, .start, .advance(stream_end), .outer_size, .inner_size, .exists(), .more(to_stream), .outer, .inner
  );

  // --- who begins when ---
  if (OVERLAP && STATIONARY) begin : g_overlapped_load
    logic opening, loaded;                          // the first shift-in; a whole fold stands in the shadow registers

    // The first vector of a fold empties the shadow registers as it passes, so the next shift-in begins with it.
    assign fill_now = filling || (first && to_load);
    assign begin_fill = 1'b0;
    assign begin_stream = opening ? fill_end : stream_end && to_stream;
    assign hold = vector == '0 && !loaded;

    always_ff @(posedge clk)
      if (reset || start) begin
        opening <= 1'b1;
        loaded <= 1'b0;
      end else begin
        opening <= opening && !fill_end;
        loaded <= fill_end || (loaded && !first);
      end

  end else if (OVERLAP) begin : g_overlapped_drain
    assign fill_now = filling;
    assign begin_fill = stream_end;
    assign begin_stream = stream_end && to_stream;
    // A result must not come into a shadow register before the one in it has been given away.
    assign hold = vector == vectors - 16'd1 && filling && !fill_end;

  end else begin : g_serial
    logic        leaves, passing, passed;           // the last one of a fold has been issued, and goes through the array
    logic [15:0] steps;

    assign fill_now = filling;
    assign hold = 1'b0;
    assign leaves = STATIONARY ? stream_end : fill_end;
    if (SKEW == 0) begin : g_at_once
      assign passed = leaves;
    end else begin : g_later
      assign passed = passing && steps == 16'(SKEW) - 16'd1;
    end
    assign begin_fill = STATIONARY ? passed && to_load : stream_end;
    assign begin_stream = STATIONARY ? fill_end : passed && to_stream;

    always_ff @(posedge clk)
      if (reset || start) begin
        passing <= 1'b0;
        steps <= '0;
      end else begin
        passing <= leaves || (passing && !passed);
        steps <= leaves ? '0 : steps + 16'd1;
      end
  end

endmodule
