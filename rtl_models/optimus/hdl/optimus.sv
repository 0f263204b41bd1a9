// OPTIMUS: an array of `macs` multipliers in `sets` sets behind an input window of `window` elements, with its weight buffer and
// port, and for the bench the memories round it. ../README.md is the architecture; README.md the memories and registers.

module optimus #(
    parameter int macs = 16,
    parameter int sets = 4,
    parameter int window = 8
) (
    input  logic        clk,
    input  logic        reset,
    input  logic        start,
    input  logic [31:0] case_id,
    input  logic [15:0] rate,
    input  logic [15:0] dram_channels,
    input  logic        load_overlap,
    input  logic [5:0]  shift,
    input  logic [15:0] commands,
    input  logic [31:0] result_base,
    input  logic [31:0] result_words,
    output logic        done,
    output logic [47:0] cycles_total,
    output logic [47:0] cycles_fill,
    output logic [47:0] cycles_compute,
    output logic [47:0] cycles_stall,
    output logic [47:0] cycles_drain,
    output logic [47:0] run,
    output logic [47:0] count_chunks,
    output logic [47:0] count_dram_read_bits,
    output logic [47:0] count_dram_read_runs,
    output logic [47:0] count_weight_write_bits,
    output logic [47:0] count_weight_read_bits,
    output logic [47:0] count_activation_read_bits,
    output logic [47:0] count_activation_write_bits,
    output logic [47:0] count_macs_executed,
    output logic [47:0] count_window_reads,
    output logic [47:0] count_index_reads,
    output logic [47:0] count_accumulations
);

  localparam int WAYS = macs / sets;
  localparam int CHANNELS = 256;
  localparam int HALF_BITS = 3;
  localparam int MOVE = 16;
  localparam int LOOK = window > 16 ? window : 16;
  localparam int FETCH = (macs < window ? macs : window) > 16 ? (macs < window ? macs : window) : 16;
  localparam int COUNT_BITS = $clog2(WAYS + 1);
  localparam int LOOK_BITS = $clog2(LOOK + 1);
  localparam int INDEX_BITS = $clog2(LOOK);
  // From the cycle in which an entry is issued to the one in which it is accumulated: multipliers and reduction network.
  localparam int LATENCY = 2 + $clog2(WAYS);
  localparam int PORT_LATENCY = 12;

  initial if (macs % sets != 0) $fatal(1, "%0d sets do not divide %0d multipliers", sets, macs);

  // ---- The run: memories are loaded with `start`; the cycle after is the one before cycle 0.

  logic booting, counting, finishing, active, last_done;

  assign active = booting || counting;

  always_ff @(posedge clk)
    if (reset) {booting, counting, finishing, done} <= '0;
    else begin
      booting <= start;
      counting <= booting || (counting && !last_done);
      finishing <= counting && last_done;
      done <= done || finishing;
    end

  always @(posedge clk)
    if (start) begin
      if (rate == '0 || rate > 16'(MOVE)) $fatal(1, "rate is %0d, not 1 to %0d", rate, MOVE);
      if (dram_channels == '0 || dram_channels > 16'(CHANNELS))
        $fatal(1, "dram_channels is %0d, not 1 to %0d", dram_channels, CHANNELS);
      if (shift > 6'd39) $fatal(1, "shift is %0d, not 0 to 39", shift);
    end

  // ---- Commands

  logic               load_exists, load_first, load_take, next_exists, next_waits, next_dense, next_first, take;
  logic [15:0]        load_piece;
  logic [31:0]        load_address, load_bits;
  logic [15:0]        piece, rows, outputs, depth, columns, head_count, kv, reduction;
  logic [31:0]        input_base, input_stride, output_base, output_stride, order, matrix_base;
  logic [3:0]         length_bits, row_bits;
  logic               opens, closes, dense, last_of_product;
  logic [sets*19-1:0] starts;
  logic [sets*24-1:0] entries;
  logic [31:0]        order_address;
  logic [15:0]        order_count;
  logic [macs*32-1:0] order_words;

  bench_commands #(.macs(macs), .sets(sets)) command_memory (
      .clk, .start, .case_id, .commands, .load_take, .load_exists, .load_piece, .load_address, .load_bits, .load_first,
      .hold_take(take), .next_exists, .next_waits, .next_dense, .next_first, .piece, .opens, .closes, .dense,
      .last_of_product, .rows, .outputs, .depth, .columns, .input_base, .input_stride, .output_base, .output_stride,
      .order, .length_bits, .row_bits, .head_count, .kv, .reduction, .matrix_base, .starts, .entries,
      .order_address, .order_count, .order_words
  );

  // ---- Weight port

  logic                   load_begins, write, write_slot, piece_loaded, free;
  logic [15:0]            port_bits, write_bits;
  logic [14:0]            write_address;
  logic [8:0]             write_channels;
  logic [31:0]            write_source;
  logic [CHANNELS*16-1:0] write_data;

  weight_port #(.LATENCY(PORT_LATENCY)) port (
      .clk, .reset, .active, .channels(dram_channels), .overlap(load_overlap), .next_exists(load_exists),
      .next_address(load_address), .next_bits(load_bits), .take(load_take), .free, .begins(load_begins),
      .read_bits(port_bits), .write, .write_slot, .write_address, .write_channels, .write_bits, .write_source,
      .write_last(piece_loaded)
  );

  bench_dram #(.CHANNELS(CHANNELS)) dram (
      .clk, .start, .case_id, .read(write), .address(write_source), .channels(write_channels), .data(write_data)
  );

  logic        loading_first;
  logic [15:0] loading_piece;

  always_ff @(posedge clk)
    if (load_take) begin
      loading_first <= load_first;
      loading_piece <= load_piece;
    end

  // ---- Sequencer and writer

  logic                   held, piece_end, slot, begin_row, running, running_entries, page;
  logic                   move, fetch, push, push_ends_product, job_completes, product_done, has_entries;
  logic [15:0]            row, base, sight_column, sight_end, enter_column, enter_count;
  logic [15:0]            fetch_column, fetch_count, fetch_end, restore_row;
  logic [LOOK_BITS-1:0]   move_by, distance;
  logic [31:0]            enter_address, fetch_address, restore_address, push_address;
  logic [HALF_BITS-1:0]   half, restore_half;
  logic [HALF_BITS:0]     jobs;
  logic [COUNT_BITS-1:0]  restore_count;
  logic [sets-1:0]        pending, pending_after, loaded_entries;

  sequencer #(
      .macs(macs), .sets(sets), .window(window), .LOOK(LOOK), .HALF_BITS(HALF_BITS)
  ) control (
      .clk, .reset, .active, .rate, .overlap(load_overlap), .next_exists, .next_waits, .next_dense, .next_first, .piece_loaded, .take, .opens,
      .closes, .dense, .last_of_product, .rows, .depth, .columns, .input_base, .input_stride, .output_base,
      .output_stride, .has_entries, .held, .piece_end, .free, .slot, .any_pending(|pending),
      .any_pending_after(|pending_after), .distance, .begin_row, .row, .running, .run(running_entries),
      .page, .base, .move, .move_by, .sight_column, .sight_end, .enter_column, .enter_count, .enter_address, .fetch,
      .fetch_column, .fetch_count, .fetch_end, .fetch_address, .half, .restore_count, .restore_half, .restore_row,
      .restore_address, .jobs, .job_completes, .push, .push_ends_product, .push_address, .product_done, .all_done(last_done)
  );

  logic                  drain_results;
  logic [COUNT_BITS-1:0] drain_count;
  logic [HALF_BITS-1:0]  drain_half;
  logic [15:0]           drain_row, drain_words, write_count;
  logic [31:0]           drain_address, write_base;

  writer #(.WAYS(WAYS), .sets(sets), .HALF_BITS(HALF_BITS), .LATENCY(LATENCY)) result_writer (
      .clk, .reset, .push, .push_results(closes), .push_ends_product, .push_half(half), .push_depth(depth),
      .push_outputs(outputs), .push_address, .push_order(order), .waiting(jobs), .completes(job_completes),
      .drain_count, .drain_results, .drain_half, .drain_row, .drain_address, .drain_words, .order_address,
      .order_count, .write_count, .write_base, .product_done
  );

  // What concerns accumulators goes there with the latency of the sums.
  logic [HALF_BITS-1:0]  sum_half, load_half;
  logic [COUNT_BITS-1:0] load_count;
  logic [15:0]           load_row, load_words, restore_words, restore_moved, restore_position;
  logic [31:0]           load_from;

  assign restore_position = restore_row * 16'(sets);
  assign restore_moved = 16'(restore_count) * 16'(sets);
  assign restore_words = restore_count == '0 ? '0
      : (restore_position + restore_moved > outputs ? outputs - restore_position : restore_moved);

  delay #(.BITS(2 * HALF_BITS + COUNT_BITS + 64), .CYCLES(LATENCY)) pipeline (
      .clk, .reset, .in({half, restore_half, restore_count, restore_row, restore_words, restore_address}),
      .out({sum_half, load_half, load_count, load_row, load_words, load_from})
  );

  // ---- Input window and activation memory

  logic [macs*LOOK_BITS-1:0] offsets;
  logic [macs*16-1:0]        operands, fetch_elements, matrix_elements, results, write_results;
  logic [MOVE*16-1:0]        move_elements;
  logic [macs-1:0]           matrix_read;
  logic [macs*32-1:0]        matrix_addresses;

  window_buffer #(.macs(macs), .window(window), .LOOK_BITS(LOOK_BITS), .MOVE(MOVE)) inputs (
      .clk, .page, .base, .offsets, .operands, .fetch, .fetch_column, .fetch_count, .fetch_elements, .move,
      .move_column(enter_column), .move_count(enter_count), .move_elements
  );

  bench_activations #(.macs(macs), .MOVE(MOVE)) activation_memory (
      .clk, .start, .finish(finishing), .case_id, .result_base, .result_words, .fetch, .fetch_address, .fetch_count,
      .fetch_elements, .move, .move_address(enter_address), .move_count(enter_count), .move_elements, .matrix_read,
      .matrix_addresses, .matrix_elements, .write_count, .write_base, .write_offsets(order_words), .write_results
  );

  logic [FETCH*32-1:0] fetch_heads;
  logic [MOVE*32-1:0]  move_heads;

  heads #(.FETCH(FETCH), .MOVE(MOVE)) dense_columns (
      .clk, .dense, .head_count, .kv, .begin_row, .fetch, .fetch_first(fetch_column == '0),
      .fetch_columns(fetch_end - fetch_column), .fetch_heads, .move, .move_columns(sight_end - sight_column),
      .move_heads
  );

  // ---- Sets

  logic [sets*LOOK_BITS-1:0]      distances;
  logic [sets*COUNT_BITS-1:0]     issued, multiplied;
  logic [sets*(COUNT_BITS+4)-1:0] added;

  // A set without rows stores no lengths: of none of its columns a bit is read.
  for (genvar s = 0; s < sets; s++) begin : g_set
    assign loaded_entries[s] = entries[s*24+:24] != '0;
    array_set #(.macs(macs), .sets(sets), .window(window), .CHANNELS(CHANNELS), .HALF_BITS(HALF_BITS)) set (
        .clk, .reset, .clear(start), .set_index(16'(s)), .write, .write_slot, .write_address, .write_channels, .write_data,
        .slot, .dense, .start(starts[s*19+:19]), .entries(entries[s*24+:24]), .columns,
        .length_bits(16'(s) < outputs ? length_bits : '0), .row_bits, .kv, .reduction, .matrix_base, .begin_row, .running, .page, .base(INDEX_BITS'(base)), .fetch, .fetch_column, .fetch_end, .fetch_heads,
        .move, .move_by, .sight_column, .sight_end, .move_heads, .pending(pending[s]), .pending_after(pending_after[s]),
        .distance(distances[s*LOOK_BITS+:LOOK_BITS]), .issued(issued[s*COUNT_BITS+:COUNT_BITS]),
        .offsets(offsets[s*WAYS*LOOK_BITS+:WAYS*LOOK_BITS]), .operands(operands[s*WAYS*16+:WAYS*16]),
        .matrix_read(matrix_read[s*WAYS+:WAYS]), .matrix_addresses(matrix_addresses[s*WAYS*32+:WAYS*32]),
        .matrix_elements(matrix_elements[s*WAYS*16+:WAYS*16]), .multiplied(multiplied[s*COUNT_BITS+:COUNT_BITS]),
        .added(added[s*(COUNT_BITS+4)+:COUNT_BITS+4]), .shift, .half(sum_half), .drain_count, .drain_results,
        .drain_half, .drain_row, .drain_address, .results(results[s*WAYS*16+:WAYS*16]), .load_count, .load_half,
        .load_row, .load_address(load_from)
    );
    // Results go to memory in the order of positions: row after row, a set after the other in a row.
    for (genvar way = 0; way < WAYS; way++) begin : g_way
      assign write_results[(way*sets+s)*16+:16] = results[(s*WAYS+way)*16+:16];
    end
  end

  assign has_entries = |loaded_entries;

  logic [15:0] issued_total, multiplied_total, added_total;

  function automatic logic [LOOK_BITS-1:0] least(input logic [sets*LOOK_BITS-1:0] of);
    least = LOOK_BITS'(LOOK);
    for (int s = 0; s < sets; s++)
      if (of[s*LOOK_BITS+:LOOK_BITS] < least) least = of[s*LOOK_BITS+:LOOK_BITS];
  endfunction

  assign distance = least(distances);

  total #(.COUNT(sets), .BITS(COUNT_BITS)) total_of_issued (.numbers(issued), .sum(issued_total));
  total #(.COUNT(sets), .BITS(COUNT_BITS)) total_of_multiplied (.numbers(multiplied), .sum(multiplied_total));
  total #(.COUNT(sets), .BITS(COUNT_BITS + 4)) total_of_added (.numbers(added), .sum(added_total));

  // ---- Counters and events

  logic [15:0] elements;

  assign elements = (fetch ? fetch_count : '0) + (move ? enter_count : '0);

  counters counts (
      .clk, .reset, .counting, .held, .more_to_hold(next_exists), .run(running_entries), .take, .load_begins,
      .load_begins_product(loading_first), .port_bits, .buffer_write_bits(write_bits), .dense, .issued(issued_total),
      .entry_bits(5'd16 + 5'(row_bits)), .lengths(32'(elements) * 32'(outputs < 16'(sets) ? outputs : 16'(sets))), .length_bits, .elements,
      .restored(load_words), .set_aside(drain_results ? '0 : drain_words), .written(write_count),
      .multiplied(multiplied_total), .added(added_total), .cycles_total, .cycles_fill, .cycles_compute, .cycles_stall,
      .cycles_drain, .run_cycles(run), .chunks(count_chunks), .dram_read_bits(count_dram_read_bits),
      .dram_read_runs(count_dram_read_runs), .weight_write_bits(count_weight_write_bits),
      .weight_read_bits(count_weight_read_bits), .activation_read_bits(count_activation_read_bits),
      .activation_write_bits(count_activation_write_bits), .macs_executed(count_macs_executed),
      .window_reads(count_window_reads), .index_reads(count_index_reads), .accumulations(count_accumulations)
  );

  bench_trace #(.sets(sets), .COUNT_BITS(COUNT_BITS)) trace (
      .clk, .start, .finish(finishing), .case_id, .counting, .cycle(cycles_total), .load(load_begins),
      .load_piece(loading_piece), .load_complete(piece_loaded), .take, .begin_row, .piece, .row, .issued,
      .move, .base_after(base + 16'(move_by)), .piece_end, .product_done
  );

endmodule
