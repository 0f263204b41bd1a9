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
  logic [LOOK-1:0]        occupied, rest, fetched, fetched_after, fetch_bits, move_bits;
  logic [LENGTH_BITS-1:0] taken, nth;                     // entries of the first occupied column that were issued
  logic [23:0]            left;

  // Column of the lowest bit, LOOK if there is none.
  function automatic logic [LOOK_BITS-1:0] first_of(input logic [LOOK-1:0] flags);
    first_of = LOOK_BITS'($countones((flags & (~flags + LOOK'(1))) - LOOK'(1)));
  endfunction

  logic [LANE_BITS-1:0] current;
  logic [LOOK_BITS-1:0] offset;

  always_comb begin
    rest = occupied;
    nth = taken;
    offset = first_of(occupied);
    issued = '0;
    offsets = '0;
    rows = '0;
    elements = '0;
    current = lane[{page, INDEX_BITS'(base + INDEX_BITS'(offset))}];
    if (running)
      for (int way = 0; way < WAYS; way++)
        if (int'(offset) < WINDOW) begin
          issued = COUNT_BITS'(way + 1);
          offsets[way*LOOK_BITS+:LOOK_BITS] = offset;
          rows[way*ROW_BITS+:ROW_BITS] = current[LENGTH_BITS+:ROW_BITS] + ROW_BITS'(nth);
          elements[way*16+:16] = current[LENGTH_BITS+ROW_BITS+:16];
          nth = nth + LENGTH_BITS'(1);
          if (nth == current[LENGTH_BITS-1:0]) begin
            rest = rest & (rest - LOOK'(1));
            nth = '0;
            offset = first_of(rest);
            current = lane[{page, INDEX_BITS'(base + INDEX_BITS'(offset))}];
          end
        end
    distance = offset;
  end

  assign pending = left != '0;
  assign pending_after = left != 24'(issued);

  // Flags of the columns that come into sight stand behind those that stay.
  always_comb begin
    move_bits = rest;
    if (move != '0) move_bits = LOOK'({LOOK'(move_flags), rest} >> move);
    fetch_bits = LOOK'(fetch_flags) << fetch_column;
    fetched_after = fetched;
    if (fetch) fetched_after = (fetch_column == '0) ? fetch_bits : fetched | fetch_bits;
  end

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
      taken <= nth;
      occupied <= move_bits;
    end
  end

  // The index of a column that comes into sight is that of one that goes, or was free.
  always_ff @(posedge clk) begin
    if (move != '0)
      for (int k = 0; k < MOVE; k++)
        if (move_flags[k])
          lane[{page, INDEX_BITS'(base + INDEX_BITS'(LOOK) + INDEX_BITS'(k))}] <= move_lanes[k*LANE_BITS+:LANE_BITS];
    if (fetch)
      for (int k = 0; k < FETCH; k++)
        if (fetch_flags[k])
          lane[{!page, INDEX_BITS'(fetch_column + INDEX_BITS'(k))}] <= fetch_lanes[k*LANE_BITS+:LANE_BITS];
  end

endmodule
