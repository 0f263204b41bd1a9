// The sequencer: which piece holds the array, and which of its rows runs.
//
// IDLE     no piece holds the array
// FILL     the first window of the piece's first row is fetched
// RESTORE  the sums of the first row come back
// ROW      a row runs; besides, the next row's window is fetched, the sums of the row before it are drained (writer.sv), and
//          after both the next row's sums come back. The row ends when all of this is over.
//
// All signals are those of the cycle in which the walkers issue; what concerns accumulators is delayed by others.

module sequencer #(
    parameter int macs = 16,
    parameter int sets = 4,
    parameter int window = 8,
    parameter int LOOK = 16,
    parameter int HALF_BITS = 3,
    localparam int WAYS = macs / sets,
    localparam int COUNT_BITS = $clog2(WAYS + 1),
    localparam int LOOK_BITS = $clog2(LOOK + 1)
) (
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   active,             // from the cycle before cycle 0 on
    input  logic [15:0]            rate,
    input  logic                   overlap,            // the weight buffer has two slots
    // the next piece
    input  logic                   next_exists,
    input  logic                   next_waits,
    input  logic                   next_dense,
    input  logic                   next_first,         // of its product
    input  logic                   piece_loaded,       // the port completes a piece in this cycle
    output logic                   take,               // it holds the array from the next cycle on
    // the piece that holds the array
    input  logic                   opens,
    input  logic                   closes,
    input  logic                   dense,
    input  logic                   last_of_product,
    input  logic [15:0]            rows,
    input  logic [15:0]            depth,
    input  logic [15:0]            columns,
    input  logic [31:0]            input_base,
    input  logic [31:0]            input_stride,
    input  logic [31:0]            output_base,
    input  logic [31:0]            output_stride,
    input  logic                   has_entries,
    output logic                   held,
    output logic                   piece_end,
    output logic                   free,               // ... and with it a slot of the weight buffer
    output logic                   slot,
    // rows
    input  logic                   any_pending,        // entries are left at the beginning of this cycle
    input  logic                   any_pending_after,  // ... and at its end
    input  logic [LOOK_BITS-1:0]   distance,           // to the first column that is needed then
    output logic                   begin_row,
    output logic [15:0]            row,
    output logic                   running,
    output logic                   run,
    output logic                   page,
    output logic [15:0]            base,
    // the window moves
    output logic                   move,
    output logic [LOOK_BITS-1:0]   move_by,
    output logic [15:0]            sight_column,       // columns whose lengths come into sight, [column, end)
    output logic [15:0]            sight_end,
    output logic [15:0]            enter_column,       // elements that come into the window
    output logic [15:0]            enter_count,
    output logic [31:0]            enter_address,
    // the first window of the next row
    output logic                   fetch,
    output logic [15:0]            fetch_column,
    output logic [15:0]            fetch_count,        // elements
    output logic [15:0]            fetch_end,          // lengths of columns [fetch_column, fetch_end)
    output logic [31:0]            fetch_address,
    // sums
    output logic [HALF_BITS-1:0]   half,
    output logic [COUNT_BITS-1:0]  restore_count,
    output logic [HALF_BITS-1:0]   restore_half,
    output logic [15:0]            restore_row,        // in the set
    output logic [31:0]            restore_address,
    // jobs of the writer
    input  logic [HALF_BITS:0]     jobs,
    input  logic                   job_completes,
    output logic                   push,
    output logic                   push_ends_product,
    output logic [31:0]            push_address,
    input  logic                   product_done,
    output logic                   all_done            // that was the last one
);

  typedef enum logic [1:0] {IDLE, FILL, RESTORE, ROW} state_t;

  // One half takes sums, one may be restored; the others may wait for the writer.
  localparam int JOBS_MAX = (1 << HALF_BITS) - 2;

  state_t      state;
  logic        fetched, restored;           // for the next row, before this cycle
  logic        last_row, fetch_last, restore, restore_last, begin_first, row_end;
  logic        restores, drained, next_loaded, next_blocked;
  logic [15:0] first_window, fetch_row;
  logic [1:0]  ready_pieces;
  logic [15:0] products_started, products_done;

  assign held = state != IDLE;
  assign running = state == ROW;
  assign run = running && any_pending;
  assign last_row = row + 16'd1 == rows;
  assign restores = rows > 16'd1 && !opens;

  // Fetch of the first window.
  assign first_window = columns < 16'(window) ? columns : 16'(window);
  assign fetch = state == FILL || (running && !fetched);
  assign fetch_last = fetch && 32'(fetch_column) + 32'(macs) >= 32'(first_window);
  assign fetch_count = fetch_last ? first_window - fetch_column : 16'(macs);
  assign fetch_end = !fetch_last ? fetch_column + 16'(macs) : (columns < 16'(LOOK) ? columns : 16'(LOOK));
  assign fetch_row = running ? row + 16'd1 : 16'd0;
  assign fetch_address = input_base + 32'(fetch_row) * input_stride + 32'(fetch_column);

  // Sums that come back.
  assign restore = state == RESTORE || (running && !restored && fetched && jobs == '0);
  assign restore_half = running ? half + HALF_BITS'(1) : half;
  assign restore_address = 32'(fetch_row) * 32'(depth);

  pace #(.WAYS(WAYS)) pace_of_restore (
      .clk, .reset, .active(restore), .results(1'b0), .words(depth), .first(restore_row), .count(restore_count),
      .last(restore_last)
  );

  // A tile's first row does not wait until the tile before is written.
  assign drained = (row == '0 && !restores) || jobs == '0 || (jobs == (HALF_BITS + 1)'(1) && job_completes);
  assign row_end = running && !any_pending_after && (fetched || fetch_last) && (restored || restore_last) && drained;
  assign begin_first = restores ? restore_last && state == RESTORE : fetch_last && state == FILL;
  logic skips_row;                    // the only row of the piece takes no cycle
  assign skips_row = begin_first && !has_entries && rows == 16'd1;
  assign begin_row = (begin_first && !skips_row) || (row_end && !last_row);
  assign piece_end = skips_row || (row_end && last_row);
  assign free = piece_end && !dense;

  // The window: the base moves up to the first column that is needed; lengths and elements come in behind.
  logic [16:0] sight, sight_after, entering, entering_after;
  logic [15:0] enter_end;

  assign move_by = !(run && any_pending_after) ? '0 : (16'(distance) < rate ? distance : LOOK_BITS'(rate));
  assign move = move_by != '0;
  assign sight = 17'(base) + 17'(LOOK);
  assign sight_after = sight + 17'(move_by);
  assign sight_column = 17'(columns) < sight ? columns : 16'(sight);
  assign sight_end = 17'(columns) < sight_after ? columns : 16'(sight_after);
  assign entering = 17'(base) + 17'(window);
  assign entering_after = entering + 17'(move_by);
  assign enter_column = 17'(columns) < entering ? columns : 16'(entering);
  assign enter_end = 17'(columns) < entering_after ? columns : 16'(entering_after);
  assign enter_count = enter_end - enter_column;
  assign enter_address = input_base + 32'(row) * input_stride + 32'(enter_column);

  // Results of every row of the last piece are written; sums of the others are set aside, but for a single row.
  assign push = (row_end || skips_row) && (closes || rows > 16'd1);
  assign push_ends_product = closes && last_of_product && last_row;
  assign push_address = closes ? output_base + 32'(row) * output_stride : 32'(row) * 32'(depth);

  // The next piece is held once it is loaded, what it waits for is written, and a half of the accumulators is left.
  assign next_loaded = next_dense || ready_pieces != '0 || piece_loaded;
  assign next_blocked = next_first && next_waits && products_started != products_done + 16'(product_done);
  assign take = active && next_exists && next_loaded && !next_blocked && int'(jobs) + int'(push) <= JOBS_MAX
      && (state == IDLE || piece_end);
  assign all_done = product_done && !held && !next_exists && products_started == products_done + 16'd1;

  always_ff @(posedge clk)
    if (reset) begin
      state <= IDLE;
      slot <= 1'b1;
      half <= '0;
      ready_pieces <= '0;
      products_started <= '0;
      products_done <= '0;
      fetch_column <= '0;
      page <= 1'b0;
    end else begin
      if (take) state <= FILL;
      else if (piece_end) state <= IDLE;
      else if (begin_row) state <= ROW;
      else if (state == FILL && fetch_last) state <= RESTORE;

      if (take && !next_dense) slot <= overlap && !slot;
      ready_pieces <= ready_pieces + 2'(piece_loaded) - 2'(take && !next_dense);
      products_started <= products_started + 16'(take && next_first);
      products_done <= products_done + 16'(product_done);
      if (push) half <= half + HALF_BITS'(1);

      if (fetch) fetch_column <= fetch_last ? '0 : fetch_column + 16'(macs);
      if (take) row <= '0;
      else if (begin_row) row <= fetch_row;
      if (begin_row) begin
        page <= !page;
        base <= '0;
        fetched <= fetch_row + 16'd1 == rows;
        restored <= fetch_row + 16'd1 == rows || !restores;
      end else begin
        base <= base + 16'(move_by);
        if (fetch_last) fetched <= 1'b1;
        if (restore_last) restored <= 1'b1;
      end
    end

endmodule
