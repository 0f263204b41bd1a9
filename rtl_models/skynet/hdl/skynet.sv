// The SkyNet circuit: two walkers, the loader, the engines, and who may start when. See README.md.

module skynet #(
    parameter int lanes = 8,
    parameter int inputs_per_cycle = 4,
    parameter int outputs_per_cycle = 8,
    parameter int pw_interval = 2,
    parameter int tile_height = 14,
    parameter int tile_width = 22,
    parameter int feature_bits = 9,
    parameter int feature_integer_bits = 3,
    parameter int weight_bits = 11,
    parameter int weight_integer_bits = 4,
    parameter int accumulator_bits = 12,
    parameter int accumulator_integer_bits = 4
) (
    input  logic        clk,
    input  logic        reset,
    input  logic        start,
    input  logic [31:0] case_id,
    input  logic [15:0] layers,
    input  logic [15:0] beat_cycles,
    input  logic [15:0] image_interval,
    input  logic [15:0] dw_interval,
    input  logic [15:0] latency,
    input  logic [31:0] result_base,
    input  logic [31:0] result_words,
    output logic        done,
    output logic [47:0] cycles_total,
    output logic [47:0] cycles_fill,
    output logic [47:0] cycles_compute,
    output logic [47:0] cycles_stall,
    output logic [47:0] cycles_drain,
    output logic [47:0] count_commands,
    output logic [47:0] count_dram_read_bits,
    output logic [47:0] count_dram_read_runs,
    output logic [47:0] count_dram_write_bits,
    output logic [47:0] count_dram_write_runs,
    output logic [47:0] count_dw_macs,
    output logic [47:0] count_pw_macs,
    output logic [47:0] count_feature_write_bits,
    output logic [47:0] count_feature_read_bits,
    output logic [47:0] count_accumulator_write_bits,
    output logic [47:0] count_accumulator_read_bits,
    output logic [47:0] count_weight_write_bits,
    output logic [47:0] count_weight_read_bits
);
  import layer_fields::*;

  localparam int SETTLE_CYCLES = 4;             // until what was stored last lies in memory

  logic        cleared, running;
  logic [47:0] cycle;
  logic [2:0]  settling;

  assign cleared = reset || start;

  // --- commands to load and to work on ---
  logic [WORDS*32-1:0] load_layer_words, work_layer_words;
  logic [15:0] load_layer, work_layer;
  logic [31:0] load_command, work_command;
  logic        load_exists, load_opens, load_slot, load_depthwise, load_first;
  logic        work_exists, work_closes, work_slot, work_depthwise, work_first, work_last_group;
  logic [15:0] load_in, load_out, load_frame_y, load_frame_x, load_tile_y, load_tile_x;
  logic [15:0] work_in, work_out, work_frame_y, work_frame_x, work_tile_y, work_tile_x;
  logic        load_start, load_end, work_start, work_end, command_end;

  walker to_load (
      .clk, .reset(cleared), .layers, .advance(load_end), .layer(load_layer), .descriptor(load_layer_words),
      .exists(load_exists), .command(load_command), .opens_layer(load_opens), .closes_layer(), .slot(load_slot),
      .depthwise(load_depthwise), .first_group(load_first), .last_group(), .group_in(load_in),
      .group_out(load_out), .frame_y(load_frame_y), .frame_x(load_frame_x), .tile_y(load_tile_y), .tile_x(load_tile_x)
  );

  walker to_work (
      .clk, .reset(cleared), .layers, .advance(command_end), .layer(work_layer), .descriptor(work_layer_words),
      .exists(work_exists), .command(work_command), .opens_layer(), .closes_layer(work_closes), .slot(work_slot),
      .depthwise(work_depthwise), .first_group(work_first), .last_group(work_last_group), .group_in(work_in),
      .group_out(work_out), .frame_y(work_frame_y), .frame_x(work_frame_x), .tile_y(work_tile_y), .tile_x(work_tile_x)
  );

  // --- who starts when ---
  logic        loading, at_work, waits;
  logic [31:0] loaded, worked;                  // commands so far
  logic [47:0] ready_at [0:1];

  assign waits = load_opens || !load_layer_words[FLAGS*32+OVERLAP];
  assign load_start = running && !loading && load_exists && load_command < worked + 32'd2
                      && (!waits || work_command == load_command);
  assign work_start = running && !at_work && work_exists && work_command < loaded && cycle >= ready_at[work_command[0]];

  logic counting, finish;
  assign counting = running && work_exists;
  assign finish = running && int'(settling) == SETTLE_CYCLES;

  always_ff @(posedge clk)
    if (cleared) begin
      running <= start && !reset;
      cycle <= '0;
      loading <= 1'b0;
      at_work <= 1'b0;
      loaded <= '0;
      worked <= '0;
      settling <= '0;
      done <= 1'b0;
    end else begin
      if (running) cycle <= cycle + 48'd1;
      loading <= (loading || load_start) && !load_end;
      at_work <= (at_work || work_start) && !command_end;
      if (load_end) begin
        loaded <= loaded + 32'd1;
        ready_at[load_command[0]] <= cycle + 48'd1 + 48'(latency);
      end
      if (work_end) worked <= worked + 32'd1;
      if (running && !counting) settling <= settling + 3'd1;
      if (finish) begin
        running <= 1'b0;
        done <= 1'b1;
      end
    end

  // --- load ---
  logic        read_word, read_byte, absent, read_run, write_weights, write_bias, write_tile, write_image, write_zero;
  logic        write_slot;
  logic [1:0]  channel;
  logic [15:0] weight_word;
  logic [31:0] read_address, write_cell;

  loader #(.lanes(lanes)) load (
      .clk, .reset(cleared), .start(load_start), .last(load_end), .descriptor(load_layer_words), .slot(load_slot),
      .depthwise(load_depthwise), .first_group(load_first), .group_in(load_in), .group_out(load_out),
      .frame_y(load_frame_y), .frame_x(load_frame_x), .tile_y(load_tile_y), .tile_x(load_tile_x), .beat_cycles,
      .image_interval, .read_word, .read_byte, .absent, .run(read_run), .address(read_address), .write_weights,
      .write_bias, .weight_word, .write_tile, .write_image, .write_zero, .channel, .write_slot, .cell_index(write_cell)
  );

  // --- work and store ---
  logic        working, store_first, bias, bias_two, tap, tap_opens, tail, copy, product, product_opens;
  logic        store_full, store_interior, store_pooled, store_top, store_word, store_run, store_write;
  logic [3:0]  tap_index;
  logic [15:0] copy_index, product_part, inputs_part, outputs_part;
  logic [31:0] pixel, cell_index, store_pixel, store_address;

  engine_control #(
      .lanes(lanes), .inputs_per_cycle(inputs_per_cycle), .outputs_per_cycle(outputs_per_cycle), .pw_interval(pw_interval)
  ) control (
      .clk, .reset(cleared), .start(work_start), .descriptor(work_layer_words), .depthwise(work_depthwise),
      .first_group(work_first), .last_group(work_last_group), .group_out(work_out), .group_in(work_in),
      .frame_y(work_frame_y), .frame_x(work_frame_x), .tile_y(work_tile_y), .tile_x(work_tile_x), .beat_cycles,
      .dw_interval, .working, .work_last(work_end), .store_first, .last(command_end), .bias, .bias_two, .tap, .tap_opens,
      .tap_index, .tail, .copy, .copy_index, .product, .product_opens, .product_part, .inputs_part, .outputs_part,
      .pixel, .cell_index, .store_full, .store_interior, .store_pooled, .store_top, .store_pixel, .store_word, .store_run,
      .store_write, .store_address
  );

  logic                    out_write;
  logic [31:0]             out_address;
  logic [lanes*16-1:0]     out_word, word;
  logic [7:0]              element;
  logic [feature_bits-1:0] code;
  logic [15:0]             feature_reads, feature_writes, accumulator_reads, accumulator_writes, weight_reads,
                           weight_writes, dw_products, pw_products;

  engine #(
      .lanes(lanes), .inputs_per_cycle(inputs_per_cycle), .outputs_per_cycle(outputs_per_cycle), .pw_interval(pw_interval),
      .tile_height(tile_height), .tile_width(tile_width), .feature_bits(feature_bits),
      .feature_integer_bits(feature_integer_bits), .weight_bits(weight_bits), .weight_integer_bits(weight_integer_bits),
      .accumulator_bits(accumulator_bits), .accumulator_integer_bits(accumulator_integer_bits)
  ) datapath (
      .clk, .reset(cleared), .write_weights, .write_bias, .weight_word, .write_tile, .write_image, .write_zero, .channel,
      .write_slot, .write_cell, .word, .code, .slot(work_slot), .depthwise(work_depthwise),
      .bundle(work_layer_words[KIND*32+:2] == 2'd0), .group(work_in[1:0]), .relu(work_layer_words[FLAGS*32+RELU]), .bias,
      .bias_two, .tap, .tap_opens, .tap_index, .tail, .copy, .copy_index, .product, .product_opens, .product_part,
      .inputs_part, .outputs_part, .pixel, .cell_index, .store_read((store_full && store_interior) || store_pooled),
      .store_pooled, .store_top(store_pooled && store_top), .store_pixel,
      .store_write((store_full || store_pooled) && store_write), .store_address, .out_write, .out_address, .out_word,
      .feature_reads, .feature_writes, .accumulator_reads, .accumulator_writes, .weight_reads, .weight_writes, .dw_products,
      .pw_products
  );

  // --- bench ---
  bench_tables #(.CODE_BITS(feature_bits)) tables (
      .clk, .start, .case_id, .layers, .load_layer, .load_descriptor(load_layer_words), .work_layer,
      .work_descriptor(work_layer_words), .element, .code
  );

  bench_memory #(.WORD(lanes * 16)) memory (
      .clk, .start, .finish, .case_id, .result_base, .result_words, .read_word(read_word && !absent),
      .read_byte(read_byte && !absent), .read_address, .word, .element, .write(out_write), .write_address(out_address),
      .write_word(out_word)
  );

  bench_trace events (
      .clk, .start, .finish, .case_id, .counting, .cycle, .load(load_start), .load_command, .load_complete(load_end),
      .load_ready(cycle + 48'd1 + 48'(latency)), .work(work_start), .work_last(work_end), .store(store_first),
      .command_done(command_end), .work_command, .layer_done(command_end && work_closes), .layer(work_layer)
  );

  counters #(
      .lanes(lanes), .feature_bits(feature_bits), .weight_bits(weight_bits), .accumulator_bits(accumulator_bits)
  ) count (
      .clk, .reset(cleared), .counting, .working,
      .last_store(!working && at_work && work_closes && work_layer == layers - 16'd1), .command_done(command_end),
      .read_word, .read_byte, .read_run, .store_word, .store_run, .feature_reads, .feature_writes, .accumulator_reads,
      .accumulator_writes, .weight_reads, .weight_writes, .dw_products, .pw_products, .cycles_total, .cycles_fill,
      .cycles_compute, .cycles_stall, .cycles_drain, .commands(count_commands), .dram_read_bits(count_dram_read_bits),
      .dram_read_runs(count_dram_read_runs), .dram_write_bits(count_dram_write_bits),
      .dram_write_runs(count_dram_write_runs), .dw_macs(count_dw_macs), .pw_macs(count_pw_macs),
      .feature_write_bits(count_feature_write_bits), .feature_read_bits(count_feature_read_bits),
      .accumulator_write_bits(count_accumulator_write_bits), .accumulator_read_bits(count_accumulator_read_bits),
      .weight_write_bits(count_weight_write_bits), .weight_read_bits(count_weight_read_bits)
  );

endmodule
