// Counters. Every one adds up what happens in a cycle, where it happens.

module counters #(
    parameter int lanes = 32,
    parameter int feature_bits = 9,
    parameter int weight_bits = 11,
    parameter int accumulator_bits = 12
) (
    input  logic        clk,
    input  logic        reset,
    input  logic        counting,               // cycle 0 to the last one of the last command
    input  logic        working,
    input  logic        last_store,             // the store of the last command
    input  logic        command_done,
    input  logic        read_word,
    input  logic        read_byte,
    input  logic        read_run,
    input  logic        store_word,
    input  logic        store_run,
    input  logic [15:0] feature_reads,
    input  logic [15:0] feature_writes,
    input  logic [15:0] accumulator_reads,
    input  logic [15:0] accumulator_writes,
    input  logic [15:0] weight_reads,
    input  logic [15:0] weight_writes,
    input  logic [15:0] dw_products,
    input  logic [15:0] pw_products,

    output logic [47:0] cycles_total,
    output logic [47:0] cycles_fill,
    output logic [47:0] cycles_compute,
    output logic [47:0] cycles_stall,
    output logic [47:0] cycles_drain,
    output logic [47:0] commands,
    output logic [47:0] dram_read_bits,
    output logic [47:0] dram_read_runs,
    output logic [47:0] dram_write_bits,
    output logic [47:0] dram_write_runs,
    output logic [47:0] dw_macs,
    output logic [47:0] pw_macs,
    output logic [47:0] feature_write_bits,
    output logic [47:0] feature_read_bits,
    output logic [47:0] accumulator_write_bits,
    output logic [47:0] accumulator_read_bits,
    output logic [47:0] weight_write_bits,
    output logic [47:0] weight_read_bits
);

  localparam int WORD = 16 * lanes;

  logic has_worked;                             // in an earlier cycle

  always_ff @(posedge clk)
    if (reset) begin
      has_worked <= 1'b0;
      cycles_total <= '0;
      cycles_fill <= '0;
      cycles_compute <= '0;
      cycles_stall <= '0;
      cycles_drain <= '0;
    end else if (counting) begin
      has_worked <= has_worked || working;
      cycles_total <= cycles_total + 48'd1;
      if (working) cycles_compute <= cycles_compute + 48'd1;
      else if (!has_worked) cycles_fill <= cycles_fill + 48'd1;
      else if (last_store) cycles_drain <= cycles_drain + 48'd1;
      else cycles_stall <= cycles_stall + 48'd1;
    end

  always_ff @(posedge clk)
    if (reset) begin
      commands <= '0;
      dram_read_bits <= '0;
      dram_read_runs <= '0;
      dram_write_bits <= '0;
      dram_write_runs <= '0;
      dw_macs <= '0;
      pw_macs <= '0;
      feature_write_bits <= '0;
      feature_read_bits <= '0;
      accumulator_write_bits <= '0;
      accumulator_read_bits <= '0;
      weight_write_bits <= '0;
      weight_read_bits <= '0;
    end else begin
      commands <= commands + 48'(command_done);
      dram_read_bits <= dram_read_bits + (read_word ? 48'(WORD) : read_byte ? 48'd8 : '0);
      dram_read_runs <= dram_read_runs + 48'(read_run);
      dram_write_bits <= dram_write_bits + (store_word ? 48'(WORD) : '0);
      dram_write_runs <= dram_write_runs + 48'(store_run);
      dw_macs <= dw_macs + 48'(dw_products);
      pw_macs <= pw_macs + 48'(pw_products);
      feature_write_bits <= feature_write_bits + 48'(feature_writes) * 48'(feature_bits);
      feature_read_bits <= feature_read_bits + 48'(feature_reads) * 48'(feature_bits);
      accumulator_write_bits <= accumulator_write_bits + 48'(accumulator_writes) * 48'(accumulator_bits);
      accumulator_read_bits <= accumulator_read_bits + 48'(accumulator_reads) * 48'(accumulator_bits);
      weight_write_bits <= weight_write_bits + 48'(weight_writes) * 48'(weight_bits);
      weight_read_bits <= weight_read_bits + 48'(weight_reads) * 48'(weight_bits);
    end

endmodule
