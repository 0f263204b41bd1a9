// What stands behind the columns, and where each result belongs in the matrix.

module array_ends #(
    parameter int rows = 4,
    parameter int columns = 4,
    parameter int dataflow = 0,
    parameter int accumulator_bits = 32,
    parameter int DEPTH = 1024
) (
    input  logic                                clk,
    input  logic                                start,
    input  logic [15:0]                         vectors,
    input  logic [15:0]                         outer_size,
    input  logic [15:0]                         inner_size,
    input  logic [columns-1:0]                  slot,
    input  logic [columns-1:0]                  valid,
    input  logic [columns*accumulator_bits-1:0] sums,
    output logic                                exists,       // of the last column: more is to come
    output logic                                fold_ends,    // of the last column
    output logic [columns-1:0]                  read,
    output logic [columns-1:0]                  write,
    output logic [columns-1:0]                  result_valid,
    output logic [columns*accumulator_bits-1:0] results,
    output logic [columns*16-1:0]               result_m,
    output logic [columns*16-1:0]               result_n
);

  for (genvar c = 0; c < columns; c++) begin : g_column
    logic exists_here, fold_ends_here;

    if (dataflow == 1) begin : g_drain
      assign read[c] = 1'b0;
      assign write[c] = 1'b0;
      assign result_valid[c] = slot[c] && valid[c];
      assign results[c*accumulator_bits+:accumulator_bits] = sums[c*accumulator_bits+:accumulator_bits];

      drain_end #(.ROWS(rows), .COLUMNS(columns), .COLUMN(c)) behind (
          .clk, .start, .outer_size, .inner_size, .slot(slot[c]), .exists(exists_here),
          .fold_ends(fold_ends_here), .result_outer(result_m[c*16+:16]), .result_inner(result_n[c*16+:16])
      );
    end else begin : g_accumulate
      logic [15:0] vector, outer;

      column_end #(
          .ROWS(rows), .COLUMNS(columns), .COLUMN(c), .SUM_BITS(accumulator_bits), .DEPTH(DEPTH)
      ) behind (
          .clk, .start, .vectors, .outer_size, .inner_size, .slot(slot[c]), .valid(valid[c]),
          .sum(sums[c*accumulator_bits+:accumulator_bits]), .exists(exists_here), .fold_ends(fold_ends_here),
          .read(read[c]), .write(write[c]), .result_valid(result_valid[c]),
          .result(results[c*accumulator_bits+:accumulator_bits]), .result_vector(vector), .result_outer(outer)
      );

      assign result_m[c*16+:16] = dataflow == 0 ? vector : outer;
      assign result_n[c*16+:16] = dataflow == 0 ? outer : vector;
    end
  end

  assign exists = g_column[columns-1].exists_here;
  assign fold_ends = g_column[columns-1].fold_ends_here;

endmodule
