// For the bench only: the memory that results go to.

module bench_results #(
    parameter int columns = 4,
    parameter int accumulator_bits = 32,
    parameter int WORDS = 1 << 16
) (
    input  logic                                clk,
    input  logic                                start,
    input  logic                                finish,       // write the results out
    input  logic [31:0]                         case_id,
    input  logic [15:0]                         m,
    input  logic [15:0]                         n,
    input  logic [columns-1:0]                  result_valid,
    input  logic [columns*accumulator_bits-1:0] results,
    input  logic [columns*16-1:0]               result_m,
    input  logic [columns*16-1:0]               result_n
);

  localparam int ADDRESS_BITS = $clog2(WORDS);
  // Stands where nothing has been written, so that what is missing is not taken for zero or for an earlier run's.
  localparam logic [accumulator_bits-1:0] UNWRITTEN = accumulator_bits'(64'hdeadbeef_5ca1ab1e);

  logic [accumulator_bits-1:0] words [0:WORDS-1];
  string                       folder;
  logic                        running;

  initial begin
    if (!$value$plusargs("images=%s", folder)) folder = ".";
    running = 1'b0;
  end

  always @(posedge clk) begin
    if (start) begin
      running <= 1'b1;
      if (32'(m) * 32'(n) > 32'(WORDS)) $fatal(1, "the results have no room");
      for (int i = 0; i < 32'(m) * 32'(n); i++) words[ADDRESS_BITS'(i)] <= UNWRITTEN;
    end
    if (finish) begin
      running <= 1'b0;
      $writememh($sformatf("%s/%0d.results.out", folder, case_id), words, 0, 32'(m) * 32'(n) - 32'd1);
    end
    if (running)
      for (int c = 0; c < columns; c++)
        if (result_valid[c]) begin
          if (result_m[c*16+:16] >= m || result_n[c*16+:16] >= n)
            $fatal(1, "result (%0d, %0d) of a matrix of %0d x %0d", result_m[c*16+:16], result_n[c*16+:16], m, n);
          words[ADDRESS_BITS'(32'(result_m[c*16+:16]) * 32'(n) + 32'(result_n[c*16+:16]))] <=
              results[c*accumulator_bits+:accumulator_bits];
        end
  end

endmodule
