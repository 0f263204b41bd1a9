// The walker of a set: which entries the set issues in this cycle.
//
// It knows the column lengths of LOOK columns from the base of the window on: those of the window, and as many behind it as
// the base may move over in a cycle. `occupied` has a bit for each of these columns that still holds entries to issue; bit
// 0 is the column at the base. Entries are stored in the order of columns, so the next entry belongs to the first occupied
// column, and the ways take theirs one after the other.
//
// Lengths come in two streams. While a row runs, the columns that come into sight are appended; meanwhile the first columns
// of the next row are fetched into the other page.

module walker #(
    parameter int WAYS = 4,
    parameter int WINDOW = 8,
    parameter int LOOK = 16,
    parameter int FETCH = 16,          // lengths that a fetch brings at most in a cycle
    parameter int MOVE = 16,           // columns that the window moves at most in a cycle
    parameter int LANE_BITS = 40,      // a lane: {element, first row, length}; the former two in dense products only
    parameter int ROW_BITS = 10,
    parameter int LENGTH_BITS = 11,
    localparam int COUNT_BITS = $clog2(WAYS + 1),
    localparam int LOOK_BITS = $clog2(LOOK + 1),
    localparam int INDEX_BITS = $clog2(LOOK)
) (
    input  logic                         clk,
    input  logic                         reset,
    input  logic                         begin_row,       // the next cycle is the first of a row
    input  logic                         running,         // in a row (its run may be over)
    input  logic                         page,            // of the row that runs
    input  logic [23:0]                  entries,         // of the set in this piece
    input  logic [INDEX_BITS-1:0]        base,            // low bits of the column at the base
    input  logic [LOOK_BITS-1:0]         move,            // columns that the base moves by at the end of this cycle
    input  logic [MOVE-1:0]              move_flags,      // which of the columns that come into sight have entries
    input  logic [MOVE*LANE_BITS-1:0]    move_lanes,
    input  logic                         fetch,
    input  logic [INDEX_BITS-1:0]        fetch_column,    // first column that is fetched in this cycle
    input  logic [FETCH-1:0]             fetch_flags,
    input  logic [FETCH*LANE_BITS-1:0]   fetch_lanes,
    output logic                         pending,         // entries are left at the beginning of this cycle
    output logic                         pending_after,   // ... and at its end
    output logic [LOOK_BITS-1:0]         distance,        // from base to the first column that is needed then
    output logic [COUNT_BITS-1:0]        issued,          // ways 0 .. issued - 1 issue an entry in this cycle
    output logic [WAYS*LOOK_BITS-1:0]    offsets,         // their columns, from the base
    output logic [WAYS*ROW_BITS-1:0]     rows,            // dense: their rows and the element of their columns
    output logic [WAYS*16-1:0]           elements
);

  logic [LANE_BITS-1:0]   lane [0:(2 << INDEX_BITS)-1];   // by {page, low bits of the column}
  logic [LOOK-1:0]        occupied, fetched, fetched_after, fetch_bits, move_bits;
  logic [LENGTH_BITS-1:0] taken;                          // entries of the first occupied column that were issued
  logic [23:0]            left;

  // What is left to issue before each way has taken its entry, and after the last one.
  for (genvar way = 0; way <= WAYS; way++) begin : g_left
    logic [LOOK-1:0]        rest;
    logic [LENGTH_BITS-1:0] nth;                          // entry of the first column of the rest
    logic [LOOK_BITS-1:0]   offset, first;                // of that column
    first_one #(.BITS(LOOK)) first_occupied (.flags(rest), .index(first));
    if (way == 0) begin : g_first
      assign rest = occupied;
      assign nth = taken;
      assign offset = first;
    end else begin : g_next
      assign rest = g_way[way-1].ends ? g_left[way-1].rest & (g_left[way-1].rest - LOOK'(1)) : g_left[way-1].rest;
      assign nth = g_way[way-1].ends ? '0 : g_left[way-1].nth + LENGTH_BITS'(g_way[way-1].issues);
      assign offset = g_way[way-1].ends ? first : g_left[way-1].offset;
    end
  end

  logic [WAYS-1:0] issuing;

  for (genvar way = 0; way < WAYS; way++) begin : g_way
    logic                 issues, ends;                   // ... the last entry of its column
    logic [LANE_BITS-1:0] current;
    assign current = lane[{page, INDEX_BITS'(base + INDEX_BITS'(g_left[way].offset))}];
    assign issues = running && int'(g_left[way].offset) < WINDOW;
    assign ends = issues && g_left[way].nth + LENGTH_BITS'(1) == current[LENGTH_BITS-1:0];
    assign issuing[way] = issues;
    assign offsets[way*LOOK_BITS+:LOOK_BITS] = g_left[way].offset;
    assign rows[way*ROW_BITS+:ROW_BITS] = current[LENGTH_BITS+:ROW_BITS] + ROW_BITS'(g_left[way].nth);
    assign elements[way*16+:16] = current[LENGTH_BITS+ROW_BITS+:16];
  end

  assign issued = COUNT_BITS'($countones(issuing));
  assign distance = g_left[WAYS].offset;
  assign pending = left != '0;
  assign pending_after = left != 24'(issued);

  // Flags of the columns that come into sight stand behind those that stay.
  assign move_bits = move == '0 ? g_left[WAYS].rest : LOOK'({LOOK'(move_flags), g_left[WAYS].rest} >> move);
  assign fetch_bits = LOOK'(fetch_flags) << fetch_column;
  assign fetched_after = !fetch ? fetched : (fetch_column == '0 ? fetch_bits : fetched | fetch_bits);

  always_ff @(posedge clk) begin
    fetched <= fetched_after;
    if (reset) begin
      left <= '0;
      occupied <= '0;
    end else if (begin_row) begin
      left <= entries;
      taken <= '0;
      occupied <= fetched_after;
    end else begin
      left <= left - 24'(issued);
      taken <= g_left[WAYS].nth;
      occupied <= move_bits;
    end
  end

  // The index of a column that comes into sight is that of one that goes, or was free.
  always_ff @(posedge clk) begin
    if (move != '0) begin
      // verilator unroll_disable
      for (int k = 0; k < MOVE; k++)
        if (move_flags[k])
          lane[{page, INDEX_BITS'(base + INDEX_BITS'(LOOK) + INDEX_BITS'(k))}] <= move_lanes[k*LANE_BITS+:LANE_BITS];
    end
    if (fetch) begin
      // verilator unroll_disable
      for (int k = 0; k < FETCH; k++)
        if (fetch_flags[k])
          lane[{!page, INDEX_BITS'(fetch_column + INDEX_BITS'(k))}] <= fetch_lanes[k*LANE_BITS+:LANE_BITS];
    end
  end

endmodule
