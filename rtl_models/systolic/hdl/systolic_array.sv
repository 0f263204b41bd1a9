// The array of one dataflow, with its skew registers. All that is issued in a cycle comes in at once, unskewed.

module systolic_array #(
    parameter int rows = 4,
    parameter int columns = 4,
    parameter int dataflow = 0,                       // 0 ws, 1 os, 2 is
    parameter int overlap = 0,
    parameter int input_bits = 8,
    parameter int weight_bits = 8,
    parameter int accumulator_bits = 32,
    localparam int LEFT_BITS = dataflow == 2 ? weight_bits : input_bits,
    localparam int TOP_BITS = dataflow == 2 ? input_bits : weight_bits
) (
    input  logic                                clk,
    input  logic                                reset,
    input  logic                                loading,      // ws, is: a row of weights comes from the top
    input  logic                                present,      // a vector comes
    input  logic                                first,
    input  logic                                last,
    input  logic                                draining,     // os: a row of results moves
    input  logic [15:0]                         fill_index,   // j of the shift-in or drain
    input  logic [rows-1:0]                     left_valid,
    input  logic [rows*LEFT_BITS-1:0]           left,
    input  logic [columns-1:0]                  top_valid,
    input  logic [columns*TOP_BITS-1:0]         top,
    output logic [columns-1:0]                  slot,         // output registers: something was due
    output logic [columns-1:0]                  valid,        // and it is a result
    output logic [columns*accumulator_bits-1:0] sums,
    output logic [rows*columns-1:0]             macs
);

  if (dataflow == 1) begin : g_output
    logic [rows:1] drain;

    for (genvar r = 1; r <= rows; r++) begin : g_drain
      assign drain[r] = draining && 32'(fill_index) + r >= rows;
    end

    output_array #(
        .ROWS(rows), .COLUMNS(columns), .LEFT_BITS(LEFT_BITS), .TOP_BITS(TOP_BITS), .SUM_BITS(accumulator_bits),
        .OVERLAP(overlap != 0)
    ) elements (
        .clk, .reset, .drain, .present, .first, .last, .left_valid, .left, .top_valid, .top, .slot, .valid, .sums,
        .macs
    );
  end else begin : g_stationary
    logic [rows-1:0] load;

    for (genvar r = 0; r < rows; r++) begin : g_load
      assign load[r] = loading && 32'(fill_index) + r < rows;
    end

    stationary_array #(
        .ROWS(rows), .COLUMNS(columns), .STREAM_BITS(LEFT_BITS), .HELD_BITS(TOP_BITS), .SUM_BITS(accumulator_bits),
        .OVERLAP(overlap != 0)
    ) elements (
        .clk, .reset, .load, .present, .first, .left_valid, .left, .top_valid, .top, .slot, .valid, .sums, .macs
    );
  end

endmodule
