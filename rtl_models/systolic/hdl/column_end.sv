// Behind a column of a weight- or input-stationary array: the accumulators, which add up the folds of K.

module column_end #(
    parameter int ROWS = 4,
    parameter int COLUMNS = 4,
    parameter int COLUMN = 0,
    parameter int SUM_BITS = 32,
    parameter int DEPTH = 1024
) (
    input  logic                clk,
    input  logic                start,
    input  logic [15:0]         vectors,
    input  logic [15:0]         outer_size,
    input  logic [15:0]         inner_size,
    input  logic                slot,
    input  logic                valid,
    input  logic [SUM_BITS-1:0] sum,
    output logic                exists,              // more is to come
    output logic                fold_ends,           // with a slot
    output logic                read,                // of a partial sum
    output logic                write,               // of a partial sum
    output logic                result_valid,
    output logic [SUM_BITS-1:0] result,
    output logic [15:0]         result_vector,
    output logic [15:0]         result_outer
);

  localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1;

  logic [SUM_BITS-1:0] accumulators [0:DEPTH-1];
  logic [SUM_BITS-1:0] so_far;
  logic [15:0]         vector, outer, inner;
  logic                opens, closes;

  assign fold_ends = slot && vector == vectors - 16'd1;

  fold_counter #(.OUTER_STEP(COLUMNS), .INNER_STEP(ROWS)) folds (
      .clk, .start, .advance(fold_ends), .outer_size, .inner_size, .exists, .more(), .outer, .inner
  );

  assign opens = inner == '0;
  assign closes = {1'b0, inner} + 17'(ROWS) >= {1'b0, inner_size};
  assign so_far = accumulators[ADDRESS_BITS'(vector)];
  assign result = sum + (opens ? '0 : so_far);
  assign read = slot && valid && !opens;
  assign write = slot && valid && !closes;
  assign result_valid = slot && valid && closes;
  assign result_vector = vector;
  assign result_outer = outer + 16'(COLUMN);

  always_ff @(posedge clk)
    if (start) vector <= '0;
    else if (slot) vector <= fold_ends ? '0 : vector + 16'd1;

  always_ff @(posedge clk) if (write) accumulators[ADDRESS_BITS'(vector)] <= result;

endmodule
