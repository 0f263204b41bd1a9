// The pointwise engine: weight registers for inputs_per_cycle x outputs_per_cycle, and the trees that a cycle needs.
//
// Of the outputs of a pass a cycle serves outputs_per_cycle / pw_interval, part `part`. A cycle after the operands the
// trees are added to the sums so far, which are rounded and written.

module pointwise #(
    parameter int inputs_per_cycle = 16,
    parameter int outputs_per_cycle = 32,
    parameter int pw_interval = 2,
    parameter int feature_bits = 9,
    parameter int feature_integer_bits = 3,
    parameter int weight_bits = 11,
    parameter int weight_integer_bits = 4,
    parameter int accumulator_bits = 12,
    parameter int accumulator_integer_bits = 4,
    localparam int TREES = outputs_per_cycle / pw_interval,
    localparam int PART_BITS = pw_interval > 1 ? $clog2(pw_interval) : 1,
    localparam int WEIGHTS = inputs_per_cycle * outputs_per_cycle,
    localparam int WEIGHT_INDEX_BITS = WEIGHTS > 1 ? $clog2(WEIGHTS) : 1,
    localparam int PRODUCT = feature_bits + weight_bits,
    localparam int TREE = PRODUCT + $clog2(inputs_per_cycle),
    localparam int FRACTION = feature_bits - feature_integer_bits + weight_bits - weight_integer_bits,
    localparam int SHIFT = FRACTION - accumulator_bits + accumulator_integer_bits,
    localparam int SUM = (TREE > accumulator_bits + SHIFT ? TREE : accumulator_bits + SHIFT) + 1
) (
    input  logic                                     clk,
    input  logic                                     copy,              // a weight: input-major, outputs inside
    input  logic [WEIGHT_INDEX_BITS-1:0]             copy_index,
    input  logic [weight_bits-1:0]                   copy_weight,
    input  logic [PART_BITS-1:0]                     part,
    input  logic [inputs_per_cycle*feature_bits-1:0] operands,
    // a cycle later
    input  logic [TREES*accumulator_bits-1:0]        so_far,
    output logic [TREES*accumulator_bits-1:0]        results
);

  for (genvar tree = 0; tree < TREES; tree++) begin : g_tree
    logic signed [PRODUCT-1:0] products [0:inputs_per_cycle-1];
    logic signed [TREE-1:0]    total;
    logic signed [SUM-1:0]     sum;
    logic signed [accumulator_bits-1:0] partial;

    for (genvar k = 0; k < inputs_per_cycle; k++) begin : g_input
      // Registers of the weights that this multiplier takes turns with: one for each part of the outputs.
      logic [pw_interval*weight_bits-1:0] held;
      logic signed [weight_bits-1:0]      weight;

      for (genvar p = 0; p < pw_interval; p++) begin : g_part
        always_ff @(posedge clk)
          if (copy && int'(copy_index) == k * outputs_per_cycle + p * TREES + tree)
            held[p*weight_bits+:weight_bits] <= copy_weight;
      end

      always_comb begin
        weight = held[0+:weight_bits];
        for (int p = 1; p < pw_interval; p++)
          if (int'(part) == p) weight = held[p*weight_bits+:weight_bits];
      end

      always_ff @(posedge clk) products[k] <= $signed(operands[k*feature_bits+:feature_bits]) * weight;
    end

    always_comb begin
      total = '0;
      for (int k = 0; k < inputs_per_cycle; k++) total = total + TREE'(products[k]);
    end

    assign partial = so_far[tree*accumulator_bits+:accumulator_bits];
    assign sum = SUM'(total) + (SUM'(partial) <<< SHIFT);

    round_saturate #(.IN_BITS(SUM), .OUT_BITS(accumulator_bits), .SHIFT(SHIFT)) narrow (
        .in(sum), .out(results[tree*accumulator_bits+:accumulator_bits])
    );
  end

endmodule
