// Counters. Every one adds up what happens in a cycle, where it happens.

module counters #(
    parameter int rows = 4,
    parameter int columns = 4,
    parameter int dataflow = 0,
    parameter int input_bits = 8,
    parameter int weight_bits = 8,
    parameter int accumulator_bits = 32
) (
    input  logic                    clk,
    input  logic                    reset,
    input  logic [47:0]             cycle,            // 0 is that of the first operand
    input  logic [rows-1:0]         left_valid,
    input  logic [columns-1:0]      top_valid,
    input  logic [rows*columns-1:0] macs,
    input  logic [columns-1:0]      slot,
    input  logic [columns-1:0]      result_valid,
    input  logic [columns-1:0]      read,
    input  logic [columns-1:0]      write,
    input  logic                    fold_ends,

    output logic [47:0]             cycles_total,
    output logic [47:0]             cycles_before_mac,
    output logic [47:0]             cycles_to_last_mac,
    output logic [47:0]             cycles_to_last_result,
    output logic [47:0]             count_macs,
    output logic [47:0]             count_input_reads,
    output logic [47:0]             count_weight_reads,
    output logic [47:0]             count_output_reads,
    output logic [47:0]             count_output_writes,
    output logic [47:0]             count_results,
    output logic [47:0]             count_folds
);

  logic        has_multiplied;
  logic [47:0] left_words, top_words;

  assign left_words = 48'($countones(left_valid));
  assign top_words = 48'($countones(top_valid));

  always_ff @(posedge clk)
    if (reset) begin
      has_multiplied <= 1'b0;
      cycles_total <= '0;
      cycles_before_mac <= '0;
      cycles_to_last_mac <= '0;
      cycles_to_last_result <= '0;
    end else begin
      if (|slot) cycles_total <= cycle;
      if (|result_valid) cycles_to_last_result <= cycle;
      if (|macs) begin
        has_multiplied <= 1'b1;
        if (!has_multiplied) cycles_before_mac <= cycle;
        cycles_to_last_mac <= cycle + 48'd1;
      end
    end

  always_ff @(posedge clk)
    if (reset) begin
      count_macs <= '0;
      count_input_reads <= '0;
      count_weight_reads <= '0;
      count_output_reads <= '0;
      count_output_writes <= '0;
      count_results <= '0;
      count_folds <= '0;
    end else begin
      count_macs <= count_macs + 48'($countones(macs));
      count_input_reads <= count_input_reads + 48'(input_bits) * (dataflow == 2 ? top_words : left_words);
      count_weight_reads <= count_weight_reads + 48'(weight_bits) * (dataflow == 2 ? left_words : top_words);
      count_output_reads <= count_output_reads + 48'(accumulator_bits) * 48'($countones(read));
      count_output_writes <= count_output_writes + 48'(accumulator_bits) * 48'($countones(write | result_valid));
      count_results <= count_results + 48'($countones(result_valid));
      count_folds <= count_folds + 48'(fold_ends);
    end

endmodule
