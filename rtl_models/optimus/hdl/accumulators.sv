// The accumulators of a set, and its part of the memory for sums that are set aside.
//
// A half takes the sums of a row. When the row is over it is drained: written as rounded results, or set aside, which
// leaves zeros; meanwhile another half takes the sums of the next row, for which earlier sums may have been loaded. There
// are more than two halves because results of tiles may wait for one another (writer.sv). All controls arrive with the
// latency of the multipliers and the reduction network.

module accumulators #(
    parameter int WAYS = 4,
    parameter int DEPTH = 1024,
    parameter int SUMS = 32768,
    parameter int ROW_BITS = 10,
    parameter int HALF_BITS = 3,
    localparam int COUNT_BITS = $clog2(WAYS + 1)
) (
    input  logic                       clk,
    input  logic                       clear,
    input  logic [5:0]                 shift,
    // sums of a row
    input  logic [HALF_BITS-1:0]       half,
    input  logic [WAYS-1:0]            valid,
    input  logic [WAYS*ROW_BITS-1:0]   rows,
    input  logic [WAYS*40-1:0]         sums,
    output logic [COUNT_BITS-1:0]      accumulated,
    // sums that leave
    input  logic [COUNT_BITS-1:0]      drain_count,
    input  logic                       drain_results,
    input  logic [HALF_BITS-1:0]       drain_half,
    input  logic [15:0]                drain_row,
    input  logic [31:0]                drain_address,     // of row 0 of the set in this input row
    output logic [WAYS*16-1:0]         results,
    // sums that come back
    input  logic [COUNT_BITS-1:0]      load_count,
    input  logic [HALF_BITS-1:0]       load_half,
    input  logic [15:0]                load_row,
    input  logic [31:0]                load_address
);

  logic [39:0] totals [0:DEPTH*(1<<HALF_BITS)-1];
  logic [39:0] set_aside [0:SUMS-1];

  function automatic int at(input logic [HALF_BITS-1:0] which, input logic [15:0] row);
    at = int'(which) * DEPTH + int'(row);
  endfunction

  function automatic logic [15:0] rounded(input logic [39:0] sum, input logic [5:0] by);
    logic signed [40:0] shifted;
    shifted = $signed({sum[39], sum});
    if (by != '0) shifted = shifted + $signed(41'd1 << (by - 6'd1));
    shifted = shifted >>> by;
    if (shifted > 41'sd32767) rounded = 16'h7FFF;
    else if (shifted < -41'sd32768) rounded = 16'h8000;
    else rounded = shifted[15:0];
  endfunction

  assign accumulated = COUNT_BITS'($countones(valid));

  // Valid lanes have different rows, and the halves that take, leave and come back differ.
  always_ff @(posedge clk)
    if (clear)
      for (int k = 0; k < DEPTH * (1 << HALF_BITS); k++) totals[k] <= '0;
    else begin
      for (int way = 0; way < WAYS; way++)
        if (valid[way])
          totals[at(half, 16'(rows[way*ROW_BITS+:ROW_BITS]))] <=
              totals[at(half, 16'(rows[way*ROW_BITS+:ROW_BITS]))] + sums[way*40+:40];
      // verilator unroll_disable
      for (int k = 0; k < WAYS; k++)
        if (k < int'(drain_count)) totals[at(drain_half, drain_row + 16'(k))] <= '0;
      // verilator unroll_disable
      for (int k = 0; k < WAYS; k++)
        if (k < int'(load_count))
          totals[at(load_half, load_row + 16'(k))] <= set_aside[load_address + 32'(load_row) + 32'(k)];
    end

  always_ff @(posedge clk)
    for (int k = 0; k < WAYS; k++)
      if (k < int'(drain_count)) begin
        if (drain_results) results[k*16+:16] <= rounded(totals[at(drain_half, drain_row + 16'(k))], shift);
        else set_aside[drain_address + 32'(drain_row) + 32'(k)] <= totals[at(drain_half, drain_row + 16'(k))];
      end

endmodule
