// For the bench only: the activation memory, with as many ports as the array uses in a cycle.

module bench_activations #(
    parameter int macs = 16,
    parameter int MOVE = 16,
    parameter int WORDS = 1 << 17
) (
    input  logic                clk,
    input  logic                start,
    input  logic                finish,             // write the results out
    input  logic [31:0]         case_id,
    input  logic [31:0]         result_base,
    input  logic [31:0]         result_words,
    // elements for the window of the next row, and of this one
    input  logic                fetch,
    input  logic [31:0]         fetch_address,
    input  logic [15:0]         fetch_count,
    output logic [macs*16-1:0]  fetch_elements,
    input  logic                move,
    input  logic [31:0]         move_address,
    input  logic [15:0]         move_count,
    output logic [MOVE*16-1:0]  move_elements,
    // matrix elements of dense products, a cycle later
    input  logic [macs-1:0]     matrix_read,
    input  logic [macs*32-1:0]  matrix_addresses,
    output logic [macs*16-1:0]  matrix_elements,
    // results
    input  logic [15:0]         write_count,
    input  logic [31:0]         write_base,
    input  logic [macs*32-1:0]  write_offsets,
    input  logic [macs*16-1:0]  write_results
);

  localparam int ADDRESS_BITS = $clog2(WORDS);

  logic [15:0] words [0:WORDS-1];
  string       folder;

  initial if (!$value$plusargs("images=%s", folder)) folder = ".";

  // Before the first start nothing is defined, and nothing is checked.
  logic begun;
  initial begun = 1'b0;
  always @(posedge clk) if (start) begun <= 1'b1;

  task automatic check(input logic [31:0] address, input logic [31:0] count);
    if (address + count > 32'(WORDS)) $fatal(1, "activation %0d does not exist", address + count - 32'd1);
  endtask

  always @(posedge clk) begin
    if (start) begin
      $readmemh($sformatf("%s/%0d.activations.hex", folder, case_id), words);
      check(result_base, result_words);
    end
    if (finish && result_words != '0)
      $writememh($sformatf("%s/%0d.results.out", folder, case_id), words, int'(result_base),
                 int'(result_base + result_words - 32'd1));
    if (begun && fetch) check(fetch_address, 32'(fetch_count));
    if (begun && move) check(move_address, 32'(move_count));
    // verilator unroll_disable
    for (int k = 0; k < macs; k++)
      if (begun && k < int'(write_count)) begin
        check(write_base + write_offsets[k*32+:32], 32'd1);
        words[ADDRESS_BITS'(write_base + write_offsets[k*32+:32])] <= write_results[k*16+:16];
      end
  end

  // Memory is not among the arguments of these: nothing is read while it is being written.
  function automatic logic [macs*16-1:0] fetched(
      input logic enable, input logic [31:0] address, input logic [15:0] count);
    fetched = '0;
    if (enable)
      for (int k = 0; k < macs && k < int'(count); k++) fetched[k*16+:16] = words[ADDRESS_BITS'(address + 32'(k))];
  endfunction

  function automatic logic [MOVE*16-1:0] moved(
      input logic enable, input logic [31:0] address, input logic [15:0] count);
    moved = '0;
    if (enable)
      for (int k = 0; k < MOVE && k < int'(count); k++) moved[k*16+:16] = words[ADDRESS_BITS'(address + 32'(k))];
  endfunction

  assign fetch_elements = fetched(fetch, fetch_address, fetch_count);
  assign move_elements = moved(move, move_address, move_count);

  for (genvar k = 0; k < macs; k++) begin : g_matrix
    always @(posedge clk)
      if (matrix_read[k]) begin
        check(matrix_addresses[k*32+:32], 32'd1);
        matrix_elements[k*16+:16] <= words[ADDRESS_BITS'(matrix_addresses[k*32+:32])];
      end
  end

endmodule
