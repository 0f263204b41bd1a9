// Counters. Every one adds up what happens in a cycle, where it happens.

module counters (
    input  logic        clk,
    input  logic        reset,
    input  logic        counting,           // cycle 0 to the last result
    input  logic        held,
    input  logic        more_to_hold,
    input  logic        run,
    input  logic        take,               // a piece takes the array
    input  logic        load_begins,
    input  logic        load_begins_product,
    input  logic [15:0] port_bits,
    input  logic [15:0] buffer_write_bits,
    input  logic        dense,
    input  logic [15:0] issued,             // entries, in all sets
    input  logic [4:0]  entry_bits,
    input  logic [31:0] lengths,            // that come into the window, in all sets
    input  logic [3:0]  length_bits,
    input  logic [15:0] elements,           // that come into the window
    input  logic [15:0] restored,           // sums that come back
    input  logic [15:0] set_aside,
    input  logic [15:0] written,            // results
    input  logic [15:0] multiplied,
    input  logic [15:0] added,

    output logic [47:0] cycles_total,
    output logic [47:0] cycles_fill,
    output logic [47:0] cycles_compute,
    output logic [47:0] cycles_stall,
    output logic [47:0] cycles_drain,
    output logic [47:0] run_cycles,
    output logic [47:0] chunks,
    output logic [47:0] dram_read_bits,
    output logic [47:0] dram_read_runs,
    output logic [47:0] weight_write_bits,
    output logic [47:0] weight_read_bits,
    output logic [47:0] activation_read_bits,
    output logic [47:0] activation_write_bits,
    output logic [47:0] macs_executed,
    output logic [47:0] window_reads,
    output logic [47:0] index_reads,
    output logic [47:0] accumulations
);

  logic was_held;                           // in an earlier cycle

  always_ff @(posedge clk)
    if (reset) begin
      was_held <= 1'b0;
      cycles_total <= '0;
      cycles_fill <= '0;
      cycles_compute <= '0;
      cycles_stall <= '0;
      cycles_drain <= '0;
      run_cycles <= '0;
    end else if (counting) begin
      was_held <= was_held || held;
      cycles_total <= cycles_total + 48'd1;
      if (held) cycles_compute <= cycles_compute + 48'd1;
      else if (!was_held) cycles_fill <= cycles_fill + 48'd1;
      else if (more_to_hold) cycles_stall <= cycles_stall + 48'd1;
      else cycles_drain <= cycles_drain + 48'd1;
      if (run) run_cycles <= run_cycles + 48'd1;
    end

  // 16 bits for an input element or a dense matrix element, 40 for a sum.
  always_ff @(posedge clk)
    if (reset) begin
      chunks <= '0;
      dram_read_bits <= '0;
      dram_read_runs <= '0;
      weight_write_bits <= '0;
      weight_read_bits <= '0;
      activation_read_bits <= '0;
      activation_write_bits <= '0;
      macs_executed <= '0;
      window_reads <= '0;
      index_reads <= '0;
      accumulations <= '0;
    end else begin
      chunks <= chunks + 48'(take);
      dram_read_bits <= dram_read_bits + 48'(port_bits);
      dram_read_runs <= dram_read_runs + 48'(load_begins && load_begins_product);
      weight_write_bits <= weight_write_bits + 48'(buffer_write_bits);
      if (!dense) weight_read_bits <= weight_read_bits + 48'(issued) * 48'(entry_bits) + 48'(lengths) * 48'(length_bits);
      activation_read_bits <= activation_read_bits + 48'd16 * (48'(elements) + (dense ? 48'(issued) : '0)) + 48'd40 * 48'(restored);
      activation_write_bits <= activation_write_bits + 48'd16 * 48'(written) + 48'd40 * 48'(set_aside);
      macs_executed <= macs_executed + 48'(multiplied);
      window_reads <= window_reads + 48'(issued);
      if (!dense) index_reads <= index_reads + 48'(issued);
      accumulations <= accumulations + 48'(added);
    end

endmodule
