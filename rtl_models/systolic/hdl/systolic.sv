// The systolic circuit: sequencer, array, accumulators, and the memories of the bench. See README.md.

module systolic #(
    parameter int rows = 4,
    parameter int columns = 4,
    parameter int dataflow = 0,                       // 0 ws, 1 os, 2 is
    parameter int overlap = 0,
    parameter int input_bits = 8,
    parameter int weight_bits = 8,
    parameter int accumulator_bits = 32
) (
    input  logic        clk,
    input  logic        reset,
    input  logic        start,
    input  logic [31:0] case_id,
    input  logic [15:0] m,
    input  logic [15:0] k,
    input  logic [15:0] n,
    input  logic [15:0] stream_interval,
    input  logic [15:0] fill_interval,
    output logic        done,
    output logic [47:0] cycles_total,
    output logic [47:0] cycles_fill,
    output logic [47:0] cycles_compute,
    output logic [47:0] cycles_stall,
    output logic [47:0] cycles_drain,
    output logic [47:0] cycles_before_mac,
    output logic [47:0] cycles_to_last_mac,
    output logic [47:0] cycles_to_last_result,
    output logic [47:0] count_macs,
    output logic [47:0] count_input_reads,
    output logic [47:0] count_weight_reads,
    output logic [47:0] count_output_reads,
    output logic [47:0] count_output_writes,
    output logic [47:0] count_results,
    output logic [47:0] count_folds
);

  localparam int LEFT_BITS = dataflow == 2 ? weight_bits : input_bits;
  localparam int TOP_BITS = dataflow == 2 ? input_bits : weight_bits;
  localparam int DEPTH = 4096;                        // vectors of a fold that an accumulator has room for
  localparam int SETTLE_CYCLES = rows + columns + 4;  // in which nothing more may leave

  logic cleared;
  assign cleared = reset || start;

  // --- sizes ---
  logic [15:0] vectors, outer_size, inner_size;
  assign vectors = dataflow == 0 ? m : dataflow == 1 ? k : n;
  assign outer_size = dataflow == 0 ? n : m;
  assign inner_size = dataflow == 1 ? n : k;

  // --- what is issued: asked of the memories in a cycle, there in the next ---
  logic        asks_busy, asks_loading, asks_draining, asks_present, asks_first, asks_last;
  logic [15:0] asks_fill_index, load_outer, load_inner, vector, outer, inner;
  logic        busy, loading, draining, present, first, last;
  logic [15:0] fill_index;

  sequencer #(.rows(rows), .columns(columns), .dataflow(dataflow), .overlap(overlap)) sequence_of_folds (
      .clk, .reset, .start, .stream_interval, .fill_interval, .vectors, .outer_size, .inner_size, .busy(asks_busy),
      .loading(asks_loading), .draining(asks_draining), .fill_index(asks_fill_index), .load_outer, .load_inner,
      .present(asks_present), .first(asks_first), .last(asks_last), .vector, .outer, .inner
  );

  always_ff @(posedge clk)
    if (cleared) {busy, loading, draining, present, first, last} <= '0;
    else
      {busy, loading, draining, present, first, last} <=
          {asks_busy, asks_loading, asks_draining, asks_present, asks_first, asks_last};

  always_ff @(posedge clk) fill_index <= asks_fill_index;

  // --- operands, array, results ---
  logic [rows-1:0]                     left_valid;
  logic [rows*LEFT_BITS-1:0]           left;
  logic [columns-1:0]                  top_valid, slot, valid, read, write, result_valid;
  logic [columns*TOP_BITS-1:0]         top;
  logic [columns*accumulator_bits-1:0] sums, results;
  logic [rows*columns-1:0]             macs;
  logic [columns*16-1:0]               result_m, result_n;
  logic                                exists, fold_ends, finish;

  bench_operands #(
      .rows(rows), .columns(columns), .dataflow(dataflow), .input_bits(input_bits), .weight_bits(weight_bits)
  ) operands (
      .clk, .start, .case_id, .m, .k, .n, .loading(asks_loading), .load_index(asks_fill_index), .load_outer,
      .load_inner, .present(asks_present), .vector, .outer, .inner, .left_valid, .left, .top_valid, .top
  );

  systolic_array #(
      .rows(rows), .columns(columns), .dataflow(dataflow), .overlap(overlap), .input_bits(input_bits),
      .weight_bits(weight_bits), .accumulator_bits(accumulator_bits)
  ) elements (
      .clk, .reset(cleared), .loading, .present, .first, .last, .draining, .fill_index,
      .left_valid, .left, .top_valid, .top, .slot, .valid, .sums, .macs
  );

  array_ends #(
      .rows(rows), .columns(columns), .dataflow(dataflow), .accumulator_bits(accumulator_bits), .DEPTH(DEPTH)
  ) ends (
      .clk, .start, .vectors, .outer_size, .inner_size, .slot, .valid, .sums, .exists, .fold_ends, .read,
      .write, .result_valid, .results, .result_m, .result_n
  );

  bench_results #(.columns(columns), .accumulator_bits(accumulator_bits)) memory (
      .clk, .start, .finish, .case_id, .m, .n, .result_valid, .results, .result_m, .result_n
  );

  // --- the run ---
  logic        running, begun, counting;
  logic [15:0] settled;
  logic [47:0] cycle;

  assign counting = running && exists && (begun || busy);
  assign finish = running && settled == 16'(SETTLE_CYCLES);

  always_ff @(posedge clk)
    if (cleared) begin
      running <= start && !reset;
      begun <= 1'b0;
      settled <= '0;
      cycle <= '0;
      done <= 1'b0;
    end else begin
      begun <= begun || counting;
      if (counting) cycle <= cycle + 48'd1;
      if (running && !exists) settled <= settled + 16'd1;
      if (finish) begin
        running <= 1'b0;
        done <= 1'b1;
      end
    end

  // Before the first start nothing is defined, and nothing is checked.
  logic started;
  initial started = 1'b0;

  always @(posedge clk) begin
    if (start) started <= 1'b1;
    if (start && dataflow != 1 && 32'(vectors) > 32'(DEPTH)) $fatal(1, "%0d vectors have no room", vectors);
    if (started && running && !exists && |slot) $fatal(1, "something leaves after the last fold");
  end

  bench_trace events (
      .clk, .start, .finish, .case_id, .cycle, .load(loading && fill_index == '0), .stream(first),
      .left(running && fold_ends)
  );

  // The array is held from the first operand to the last result.
  assign cycles_fill = '0;
  assign cycles_compute = cycles_total;
  assign cycles_stall = '0;
  assign cycles_drain = '0;

  counters #(
      .rows(rows), .columns(columns), .dataflow(dataflow), .input_bits(input_bits), .weight_bits(weight_bits),
      .accumulator_bits(accumulator_bits)
  ) count (
      .clk, .reset(cleared), .cycle, .left_valid, .top_valid, .macs, .slot, .result_valid, .read, .write, .fold_ends,
      .cycles_total, .cycles_before_mac, .cycles_to_last_mac, .cycles_to_last_result, .count_macs, .count_input_reads,
      .count_weight_reads, .count_output_reads, .count_output_writes, .count_results, .count_folds
  );

endmodule
