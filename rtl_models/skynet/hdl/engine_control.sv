// Work and store of a command, cycle by cycle: which pixels are issued to an engine or to the outlet. See README.md.

module engine_control #(
    parameter int lanes = 32,
    parameter int inputs_per_cycle = 16,
    parameter int outputs_per_cycle = 32,
    parameter int pw_interval = 2,
    localparam int DRAIN_CYCLES = 4
) (
    input  logic                              clk,
    input  logic                              reset,
    input  logic                              start,              // in the first cycle of the work
    input  logic [layer_fields::WORDS*32-1:0] descriptor,
    input  logic                              depthwise,
    input  logic                              first_group,
    input  logic                              last_group,
    input  logic [15:0]                       group_out,
    input  logic [15:0]                       group_in,
    input  logic [15:0]                       frame_y,
    input  logic [15:0]                       frame_x,
    input  logic [15:0]                       tile_y,
    input  logic [15:0]                       tile_x,
    input  logic [15:0]                       beat_cycles,
    input  logic [15:0]                       dw_interval,
    output logic                              working,
    output logic                              work_last,
    output logic                              store_first,
    output logic                              last,               // of work, and of the store where there is one
    // what is issued in this cycle
    output logic                              bias,               // pixels `pixel` and `pixel` + 1, if there is such a one
    output logic                              bias_two,
    output logic                              tap,
    output logic                              tap_opens,          // its first pixel, for which weights are read
    output logic [3:0]                        tap_index,
    output logic                              tail,
    output logic                              copy,
    output logic [15:0]                       copy_index,
    output logic                              product,            // a part of the outputs of a pixel
    output logic                              product_opens,      // the first part, for which features are read
    output logic [15:0]                       product_part,
    output logic [15:0]                       inputs_part,
    output logic [15:0]                       outputs_part,
    output logic [31:0]                       pixel,              // row by row, without border
    output logic [31:0]                       cell_index,         // of what is read, row by row, with border
    // stores
    output logic                              store_full,         // this word, with `store_interior`, is read and written
    output logic                              store_interior,
    output logic                              store_pooled,       // two pixels from `store_pixel` on
    output logic                              store_top,          // the upper two
    output logic [31:0]                       store_pixel,        // what is read, row by row, without border
    output logic                              store_word,         // the word occupies the port: once for each
    output logic                              store_run,
    output logic                              store_write,        // it is not masked
    output logic [31:0]                       store_address
);
  import layer_fields::*;

  localparam int INPUT_PARTS = lanes / inputs_per_cycle;
  localparam int OUTPUT_PARTS = lanes / outputs_per_cycle;
  localparam int WEIGHTS = inputs_per_cycle * outputs_per_cycle;
  localparam logic [2:0] BIAS = 3'd0, TAPS = 3'd1, TAIL = 3'd2, COPY = 3'd3, RUN = 3'd4, DRAIN = 3'd5, FULL = 3'd6,
      POOL = 3'd7;

  logic        busy, active, bundle, stores_full, stores_pooled;
  logic [2:0]  phase, now;
  logic [15:0] x, y, sub, count;
  logic [31:0] tile_height, tile_width, pixels, row;

  assign bundle = descriptor[KIND*32+:2] == 2'd0;
  assign tile_height = descriptor[TILE_HEIGHT*32+:32];
  assign tile_width = descriptor[TILE_WIDTH*32+:32];
  assign pixels = tile_height * tile_width;
  assign stores_full = depthwise ? !bundle : last_group && descriptor[FLAGS*32+STORED];
  assign stores_pooled = !depthwise && last_group && descriptor[FLAGS*32+STORED_POOLED];

  assign active = busy || start;
  assign now = busy ? phase : depthwise || first_group ? BIAS : COPY;
  assign working = active && now != FULL && now != POOL;

  // --- pixels of the tile, in turn ---
  logic        issue, pixel_ends, last_pixel;
  logic [15:0] interval;

  assign interval = now == TAPS ? dw_interval : now == RUN ? 16'(pw_interval) : 16'd1;
  assign issue = active && (now == TAPS || now == TAIL || now == RUN);
  assign pixel_ends = issue && sub == interval - 16'd1;
  assign last_pixel = pixel == pixels - 32'd1;

  // --- phases ---
  logic full_next;                              // the store of the map goes to its next word
  logic bias_last, taps_last, tail_last, copy_last, run_last, pass_last, drain_last, full_last, pool_last;

  assign bias_last = active && now == BIAS && pixel + 32'd2 >= pixels;
  assign taps_last = pixel_ends && now == TAPS && last_pixel && tap_index == 4'd8;
  assign tail_last = pixel_ends && now == TAIL && last_pixel;
  assign copy_last = active && now == COPY && count == 16'(WEIGHTS - 1);
  assign run_last = pixel_ends && now == RUN && last_pixel;
  assign pass_last = run_last && 32'(inputs_part) == INPUT_PARTS - 1 && 32'(outputs_part) == OUTPUT_PARTS - 1;
  assign drain_last = active && now == DRAIN && count == 16'(DRAIN_CYCLES - 1);
  assign work_last = drain_last;
  assign last = drain_last ? !stores_full && !stores_pooled : full_last ? !stores_pooled : pool_last;

  always_ff @(posedge clk)
    if (reset) begin
      busy <= 1'b0;
      phase <= BIAS;
    end else if (active) begin
      busy <= !last;
      phase <= bias_last ? (depthwise ? TAPS : COPY)
             : taps_last ? (bundle ? TAIL : DRAIN)
             : tail_last || pass_last ? DRAIN
             : copy_last ? RUN
             : run_last ? COPY
             : drain_last ? (stores_full ? FULL : POOL)
             : full_last ? POOL
             : now;
    end

  always_ff @(posedge clk)
    if (reset || (active && last)) begin
      x <= '0;
      y <= '0;
      sub <= '0;
      count <= '0;
      pixel <= '0;
      row <= '0;
      tap_index <= '0;
      inputs_part <= '0;
      outputs_part <= '0;
    end else if (active) begin
      if (issue) sub <= pixel_ends ? '0 : sub + 16'd1;
      if (now == COPY || now == DRAIN) count <= copy_last || drain_last ? '0 : count + 16'd1;
      if (now == BIAS) pixel <= bias_last ? '0 : pixel + 32'd2;
      else if (pixel_ends) begin
        pixel <= last_pixel ? '0 : pixel + 32'd1;
        x <= 32'(x) == tile_width - 32'd1 ? '0 : x + 16'd1;
        if (32'(x) == tile_width - 32'd1) begin
          y <= last_pixel ? '0 : y + 16'd1;
          row <= last_pixel ? '0 : row + tile_width + 32'd2;
        end
        if (last_pixel && now == TAPS) tap_index <= tap_index == 4'd8 ? '0 : tap_index + 4'd1;
        if (run_last) begin
          inputs_part <= 32'(inputs_part) == INPUT_PARTS - 1 ? '0 : inputs_part + 16'd1;
          if (32'(inputs_part) == INPUT_PARTS - 1) outputs_part <= outputs_part + 16'd1;
        end
      end
      if (now == FULL && full_next && store_interior) pixel <= full_last ? '0 : pixel + 32'd1;
      else if (now == FULL && full_last) pixel <= '0;
    end

  // --- what is issued ---
  logic [31:0] tap_y, tap_x;

  assign bias = active && now == BIAS;
  assign bias_two = pixel + 32'd1 < pixels;
  assign tap = issue && now == TAPS && sub == '0;
  assign tap_opens = tap && pixel == '0;
  assign tail = issue && now == TAIL;
  assign copy = active && now == COPY;
  assign copy_index = count;
  assign product = issue && now == RUN;
  assign product_opens = product && sub == '0;
  assign product_part = sub;
  assign tap_y = tap_index >= 4'd6 ? 32'd2 : tap_index >= 4'd3 ? 32'd1 : 32'd0;
  assign tap_x = 32'(tap_index) - 32'd3 * tap_y;
  // Of a tap, the neighbour; of a product, the pixel itself. In a bundle products read results, which have no border.
  assign cell_index = now == TAPS ? row + 32'(x) + tap_y * (tile_width + 32'd2) + tap_x
                    : bundle ? pixel : row + 32'(x) + tile_width + 32'd3;

  // --- stores ---
  logic        full_ends, own, in_frame, interior, pool_next;
  logic [15:0] beat, cell_x, pool_y, pool_x, pool_cycles;
  logic [31:0] frame, pixel_y, pixel_x, pool_pixel, map_y, map_x, full_address, pool_address, pool_height, pool_width;

  assign full_next = active && now == FULL && beat == beat_cycles - 16'd1;
  assign full_last = full_next && full_ends;
  assign pool_cycles = beat_cycles < 16'd2 ? 16'd2 : beat_cycles;
  assign pool_next = active && now == POOL && beat == pool_cycles - 16'd1;
  assign pool_last = pool_next && 32'(pool_x) + 32'd1 == descriptor[PITCH_X*32+:32] >> 1
                     && 32'(pool_y) + 32'd1 == descriptor[PITCH_Y*32+:32] >> 1;

  tile_cells tile (
      .clk, .reset, .step(full_next), .descriptor, .tile_y, .tile_x, .frame_y, .frame_x, .cell_y(), .cell_x,
      .last(full_ends), .in_frame, .interior, .own, .frame, .pixel_y, .pixel_x
  );

  always_ff @(posedge clk)
    if (reset) begin
      beat <= '0;
      pool_y <= '0;
      pool_x <= '0;
    end else begin
      if (active && (now == FULL || now == POOL)) beat <= full_next || pool_next ? '0 : beat + 16'd1;
      if (pool_next) begin
        pool_x <= 32'(pool_x) + 32'd1 == descriptor[PITCH_X*32+:32] >> 1 ? '0 : pool_x + 16'd1;
        if (32'(pool_x) + 32'd1 == descriptor[PITCH_X*32+:32] >> 1) pool_y <= pool_last ? '0 : pool_y + 16'd1;
      end
    end

  assign pool_pixel = (32'(pool_y) * 2 + (store_top ? 32'd0 : 32'd1)) * tile_width + 32'(pool_x) * 2;
  assign pool_height = descriptor[HEIGHT*32+:32] >> 1;
  assign pool_width = descriptor[WIDTH*32+:32] >> 1;
  assign map_y = ((32'(tile_y) * descriptor[PITCH_Y*32+:32]) >> 1) + 32'(pool_y);
  assign map_x = ((32'(tile_x) * descriptor[PITCH_X*32+:32]) >> 1) + 32'(pool_x);

  logic [31:0] target_group;

  assign target_group = descriptor[TARGET_FIRST*32+:32] + 32'(depthwise ? group_in : group_out);
  assign full_address = descriptor[TARGET*32+:32] + pixel_x
      + ((frame * descriptor[TARGET_GROUPS*32+:32] + target_group) * descriptor[HEIGHT*32+:32] + pixel_y)
        * descriptor[WIDTH*32+:32];
  assign pool_address = descriptor[POOLED*32+:32] + map_x
      + ((frame * descriptor[GROUPS_OUT*32+:32] + 32'(group_out)) * pool_height + map_y) * pool_width;

  logic storing, has_stored;

  assign storing = active && (now == FULL || now == POOL);
  assign store_first = storing && !has_stored;
  always_ff @(posedge clk) has_stored <= !reset && storing && !last;

  assign store_pixel = now == FULL ? pixel : pool_pixel;
  assign store_interior = interior;
  assign store_full = active && now == FULL && beat == '0;
  assign store_pooled = active && now == POOL && beat < 16'd2;
  assign store_top = now == POOL && beat == '0;
  assign store_word = store_full || (store_pooled && store_top);
  assign store_run = store_word && (now == FULL ? cell_x == '0 : pool_x == '0);
  assign store_write = now == FULL ? in_frame && own : beat == 16'd1 && map_y < pool_height && map_x < pool_width;
  assign store_address = now == FULL ? full_address : pool_address;

endmodule
