// Both engines, the buffers and the outlet, driven by what `engine_control` issues and the loader writes.

module engine #(
    parameter int lanes = 32,
    parameter int inputs_per_cycle = 16,
    parameter int outputs_per_cycle = 32,
    parameter int pw_interval = 2,
    parameter int tile_height = 42,
    parameter int tile_width = 82,
    parameter int feature_bits = 9,
    parameter int feature_integer_bits = 3,
    parameter int weight_bits = 11,
    parameter int weight_integer_bits = 4,
    parameter int accumulator_bits = 12,
    parameter int accumulator_integer_bits = 4
) (
    input  logic                  clk,
    input  logic                  reset,
    // loads
    input  logic                  write_weights,
    input  logic                  write_bias,
    input  logic [15:0]           weight_word,
    input  logic                  write_tile,
    input  logic                  write_image,
    input  logic                  write_zero,
    input  logic [1:0]            channel,
    input  logic                  write_slot,
    input  logic [31:0]           write_cell,
    input  logic [lanes*16-1:0]   word,
    input  logic [feature_bits-1:0] code,
    // the command at work
    input  logic                  slot,
    input  logic                  depthwise,
    input  logic                  bundle,
    input  logic [1:0]            group,
    input  logic                  relu,
    // what is issued
    input  logic                  bias,
    input  logic                  bias_two,
    input  logic                  tap,
    input  logic                  tap_opens,
    input  logic [3:0]            tap_index,
    input  logic                  tail,
    input  logic                  copy,
    input  logic [15:0]           copy_index,
    input  logic                  product,
    input  logic                  product_opens,
    input  logic [15:0]           product_part,
    input  logic [15:0]           inputs_part,
    input  logic [15:0]           outputs_part,
    input  logic [31:0]           pixel,
    input  logic [31:0]           cell_index,
    input  logic                  store_read,
    input  logic                  store_pooled,
    input  logic                  store_top,
    input  logic [31:0]           store_pixel,
    input  logic                  store_write,
    input  logic [31:0]           store_address,
    // to memory
    output logic                  out_write,
    output logic [31:0]           out_address,
    output logic [lanes*16-1:0]   out_word,
    // lanes that were read and written in this cycle
    output logic [15:0]           feature_reads,
    output logic [15:0]           feature_writes,
    output logic [15:0]           accumulator_reads,
    output logic [15:0]           accumulator_writes,
    output logic [15:0]           weight_reads,
    output logic [15:0]           weight_writes,
    output logic [15:0]           dw_products,
    output logic [15:0]           pw_products
);

  localparam int CELLS = (tile_height + 2) * (tile_width + 2);
  localparam int PIXELS = tile_height * tile_width;
  localparam int CELL_BITS = $clog2(CELLS);
  localparam int PIXEL_BITS = $clog2(PIXELS);
  localparam int BLOCK = lanes > 9 ? lanes : 9;
  localparam int BLOCK_BITS = $clog2(2 * BLOCK);
  localparam int FEATURES = lanes * feature_bits;
  localparam int SUMS = lanes * accumulator_bits;
  localparam int TREES = outputs_per_cycle / pw_interval;
  localparam int SHARES = lanes / TREES;
  localparam int SHARE_BITS = SHARES > 1 ? $clog2(SHARES) : 1;
  localparam int INPUT_PARTS = lanes / inputs_per_cycle;
  localparam int INPUT_PART_BITS = INPUT_PARTS > 1 ? $clog2(INPUT_PARTS) : 1;
  localparam int LANE_BITS = lanes > 1 ? $clog2(lanes) : 1;
  localparam int PART_BITS = pw_interval > 1 ? $clog2(pw_interval) : 1;
  localparam int INDEX_BITS = inputs_per_cycle * outputs_per_cycle > 1 ? $clog2(inputs_per_cycle * outputs_per_cycle) : 1;
  localparam int FEATURE_FRACTION = feature_bits - feature_integer_bits;
  localparam int WEIGHT_FRACTION = weight_bits - weight_integer_bits;
  localparam int SUM_FRACTION = accumulator_bits - accumulator_integer_bits;

  // --- pipeline: 0 what is issued, 1 operands are there, 2 products are ---
  logic        tap_1, tap_2, tail_1, tail_2, product_1, product_2, copy_1, pooled_1, top_1, write_1, relu_1, depthwise_1;
  logic [15:0] part_1, part_2, inputs_1, outputs_1, outputs_2, index_1;
  logic [31:0] pixel_1, pixel_2, address_1;

  always_ff @(posedge clk) begin
    tap_1 <= !reset && tap;
    tap_2 <= !reset && tap_1;
    tail_1 <= !reset && tail;
    tail_2 <= !reset && tail_1;
    product_1 <= !reset && product;
    product_2 <= !reset && product_1;
    copy_1 <= !reset && copy;
    write_1 <= !reset && store_write;
    pooled_1 <= store_pooled;
    top_1 <= store_top;
    relu_1 <= relu;                             // the last word leaves when the next command may have begun
    depthwise_1 <= depthwise;
    part_1 <= product_part;
    part_2 <= part_1;
    inputs_1 <= inputs_part;
    outputs_1 <= outputs_part;
    outputs_2 <= outputs_1;
    index_1 <= copy_index;
    pixel_1 <= pixel;
    pixel_2 <= pixel_1;
    address_1 <= store_address;
  end

  // --- weights ---
  logic [lanes*weight_bits-1:0] loaded_weights, weights, biases [0:1];
  logic [lanes-1:0]             weight_read;
  logic [BLOCK_BITS-1:0]        weight_read_address;
  logic [15:0]                  copy_input, copy_output;

  assign copy_input = copy_index / 16'(outputs_per_cycle);
  assign copy_output = outputs_part * 16'(outputs_per_cycle) + copy_index % 16'(outputs_per_cycle);
  assign weight_read = tap_opens ? '1 : copy ? lanes'(1) << copy_output : '0;
  assign weight_read_address = BLOCK_BITS'((slot ? BLOCK : 0) + (tap_opens ? int'(tap_index)
      : int'(inputs_part) * inputs_per_cycle + int'(copy_input)));

  for (genvar k = 0; k < lanes; k++) begin : g_narrow
    assign loaded_weights[k*weight_bits+:weight_bits] = word[k*16+:weight_bits];
  end

  tile_buffer #(.lanes(lanes), .BITS(weight_bits), .DEPTH(2 * BLOCK)) weight_blocks (
      .clk, .a_read({lanes{1'b0}}), .a_write({lanes{write_weights}}),
      .a_address(BLOCK_BITS'((write_slot ? BLOCK : 0) + int'(weight_word))), .a_data(loaded_weights),
      .a_out(), .b_read(weight_read), .b_write({lanes{1'b0}}), .b_address(weight_read_address),
      .b_data({lanes * weight_bits{1'b0}}), .b_out(weights)
  );

  always_ff @(posedge clk) if (write_bias) biases[write_slot] <= loaded_weights;

  logic [FEATURES-1:0] feature_bias;
  logic [SUMS-1:0]     sum_bias;
  logic [lanes*weight_bits-1:0] bias_word;

  assign bias_word = biases[slot];
  for (genvar k = 0; k < lanes; k++) begin : g_bias
    round_saturate #(.IN_BITS(weight_bits), .OUT_BITS(feature_bits), .SHIFT(WEIGHT_FRACTION - FEATURE_FRACTION)) feature (
        .in(bias_word[k*weight_bits+:weight_bits]), .out(feature_bias[k*feature_bits+:feature_bits]));
    round_saturate #(.IN_BITS(weight_bits), .OUT_BITS(accumulator_bits), .SHIFT(WEIGHT_FRACTION - SUM_FRACTION)) sum (
        .in(bias_word[k*weight_bits+:weight_bits]), .out(sum_bias[k*accumulator_bits+:accumulator_bits]));
  end

  // --- features ---
  logic [lanes-1:0]    load, read, input_lanes;
  logic [FEATURES-1:0] load_word, operands, so_far, dw_results;
  logic [1:0]          result_buffer;

  assign result_buffer = bundle ? 2'd3 - group : 2'd3;
  assign load = write_tile || (write_image && channel == '0) ? '1 : write_image ? lanes'(1) << channel : '0;
  for (genvar k = 0; k < lanes; k++) begin : g_load
    assign load_word[k*feature_bits+:feature_bits] = write_zero ? '0
        : write_tile ? word[k*16+:feature_bits] : k == int'(channel) ? code : '0;
  end

  for (genvar k = 0; k < lanes; k++) begin : g_input
    assign input_lanes[k] = int'(inputs_part) == k / inputs_per_cycle;
  end
  assign read = tap || (store_read && depthwise) ? '1 : product_opens ? input_lanes : '0;

  buffers #(.lanes(lanes), .feature_bits(feature_bits), .DEPTH(CELLS)) features (
      .clk, .load, .load_slot(write_slot), .load_address(CELL_BITS'(write_cell)), .load_word,
      .read, .read_buffer(store_read || (product && bundle) ? result_buffer : {1'b0, slot}),
      .read_address(store_read ? CELL_BITS'(store_pixel) : CELL_BITS'(cell_index)), .read_word(operands),
      .result_buffer, .result_read(tap_1 || tail_1), .result_read_address(CELL_BITS'(pixel_1)), .result_so_far(so_far),
      .result_write(tap_2 || tail_2), .result_write_address(CELL_BITS'(pixel_2)), .result(dw_results),
      .set(bias && depthwise), .set_two(bias && depthwise && bias_two), .set_address(CELL_BITS'(pixel)),
      .set_word(feature_bias)
  );

  depthwise #(
      .lanes(lanes), .feature_bits(feature_bits), .feature_integer_bits(feature_integer_bits), .weight_bits(weight_bits),
      .weight_integer_bits(weight_integer_bits)
  ) depthwise_engine (.clk, .operands, .weights, .tail(tail_2), .so_far, .results(dw_results));

  // --- products ---
  logic [lanes-1:0]            sums_read, sums_read_b, sums_write, sums_set, part_lanes_1, part_lanes_2;
  logic [SUMS-1:0]             sums_a, sums_b, pw_word;
  logic [TREES*accumulator_bits-1:0] pw_results;
  logic [SHARE_BITS-1:0]       share_1, share_2;

  // Lanes come in shares of as many as there are trees.
  assign share_1 = SHARE_BITS'(outputs_1 * 16'(pw_interval) + part_1);
  assign share_2 = SHARE_BITS'(outputs_2 * 16'(pw_interval) + part_2);
  for (genvar k = 0; k < lanes; k++) begin : g_part
    assign part_lanes_1[k] = product_1 && int'(share_1) == k / TREES;
    assign part_lanes_2[k] = product_2 && int'(share_2) == k / TREES;
  end
  assign sums_set = {lanes{bias && !depthwise}};
  assign sums_read = store_read && !depthwise ? '1 : part_lanes_1;
  assign sums_read_b = store_read && !depthwise && store_pooled ? '1 : '0;
  assign sums_write = part_lanes_2 | {lanes{bias && !depthwise && bias_two}};

  for (genvar k = 0; k < lanes; k++) begin : g_spread
    assign pw_word[k*accumulator_bits+:accumulator_bits] = bias ? sum_bias[k*accumulator_bits+:accumulator_bits]
        : pw_results[(k%TREES)*accumulator_bits+:accumulator_bits];
  end

  tile_buffer #(.lanes(lanes), .BITS(accumulator_bits), .DEPTH(PIXELS)) accumulators (
      .clk, .a_read(sums_read), .a_write(sums_set),
      .a_address(PIXEL_BITS'(bias ? pixel : store_read ? store_pixel : pixel_1)), .a_data(sum_bias), .a_out(sums_a),
      .b_read(sums_read_b), .b_write(sums_write),
      .b_address(PIXEL_BITS'(bias ? pixel + 32'd1 : store_read ? store_pixel + 32'd1 : pixel_2)), .b_data(pw_word),
      .b_out(sums_b)
  );

  logic [LANE_BITS-1:0]        copy_lane_1;
  logic [weight_bits-1:0]      weight_lanes [0:lanes-1];
  logic [inputs_per_cycle*feature_bits-1:0] operand_parts [0:INPUT_PARTS-1];
  logic [TREES*accumulator_bits-1:0] sum_shares [0:SHARES-1];

  always_ff @(posedge clk) copy_lane_1 <= LANE_BITS'(copy_output);
  for (genvar k = 0; k < lanes; k++) begin : g_weight
    assign weight_lanes[k] = weights[k*weight_bits+:weight_bits];
  end
  for (genvar k = 0; k < INPUT_PARTS; k++) begin : g_operands
    assign operand_parts[k] = operands[k*inputs_per_cycle*feature_bits+:inputs_per_cycle*feature_bits];
  end
  for (genvar k = 0; k < SHARES; k++) begin : g_share
    assign sum_shares[k] = sums_a[k*TREES*accumulator_bits+:TREES*accumulator_bits];
  end

  pointwise #(
      .inputs_per_cycle(inputs_per_cycle), .outputs_per_cycle(outputs_per_cycle), .pw_interval(pw_interval),
      .feature_bits(feature_bits), .feature_integer_bits(feature_integer_bits), .weight_bits(weight_bits),
      .weight_integer_bits(weight_integer_bits), .accumulator_bits(accumulator_bits),
      .accumulator_integer_bits(accumulator_integer_bits)
  ) pointwise_engine (
      .clk, .copy(copy_1), .copy_index(INDEX_BITS'(index_1)), .copy_weight(weight_lanes[copy_lane_1]),
      .part(PART_BITS'(part_1)), .operands(operand_parts[INPUT_PART_BITS'(inputs_1)]),
      .so_far(sum_shares[share_2]), .results(pw_results)
  );

  // --- stores ---
  outlet #(
      .lanes(lanes), .feature_bits(feature_bits), .feature_integer_bits(feature_integer_bits),
      .accumulator_bits(accumulator_bits), .accumulator_integer_bits(accumulator_integer_bits)
  ) out (
      .clk, .from_features(depthwise_1), .relu(relu_1), .pooled(pooled_1), .top(top_1), .features(operands), .a(sums_a), .b(sums_b),
      .word(out_word)
  );

  assign out_write = write_1;
  assign out_address = address_1;

  // --- activity ---
  assign feature_reads = 16'($countones(read)) + (tap_1 || tail_1 ? 16'(lanes) : '0);
  assign feature_writes = 16'($countones(load)) + (tap_2 || tail_2 ? 16'(lanes) : '0)
      + (bias && depthwise ? (bias_two ? 16'(2 * lanes) : 16'(lanes)) : '0);
  assign accumulator_reads = 16'($countones(sums_read)) + 16'($countones(sums_read_b));
  assign accumulator_writes = 16'($countones(sums_set)) + 16'($countones(sums_write));
  assign weight_reads = 16'($countones(weight_read)) + (bias && pixel == '0 ? 16'(lanes) : '0);
  assign weight_writes = write_weights || write_bias ? 16'(lanes) : '0;
  assign dw_products = tap_1 ? 16'(lanes) : '0;
  assign pw_products = product_1 ? 16'(inputs_per_cycle * TREES) : '0;

endmodule
