// For the bench only: the memory behind both ports. What is asked for in a cycle is there in the next.

module bench_memory #(
    parameter int WORD = 512,
    parameter int WORDS = 1 << 20,
    parameter int BYTES = 1 << 20
) (
    input  logic            clk,
    input  logic            start,
    input  logic            finish,               // write the results out
    input  logic [31:0]     case_id,
    input  logic [31:0]     result_base,
    input  logic [31:0]     result_words,
    input  logic            read_word,
    input  logic            read_byte,
    input  logic [31:0]     read_address,
    output logic [WORD-1:0] word,
    output logic [7:0]      element,
    input  logic            write,
    input  logic [31:0]     write_address,
    input  logic [WORD-1:0] write_word
);

  localparam int WORD_BITS = $clog2(WORDS);
  localparam int BYTE_BITS = $clog2(BYTES);

  logic [WORD-1:0] words [0:WORDS-1];
  logic [7:0]      elements [0:BYTES-1];
  string           folder;

  initial if (!$value$plusargs("images=%s", folder)) folder = ".";

  // Before the first start nothing is defined, and nothing is checked.
  logic begun;
  initial begun = 1'b0;
  always @(posedge clk) if (start) begun <= 1'b1;

  always @(posedge clk) begin
    if (start) begin
      $readmemh($sformatf("%s/%0d.map.hex", folder, case_id), words);
      $readmemh($sformatf("%s/%0d.image.hex", folder, case_id), elements);
      if (result_base + result_words > 32'(WORDS)) $fatal(1, "the results have no room in memory");
    end
    if (finish && result_words != '0)
      $writememh($sformatf("%s/%0d.results.out", folder, case_id), words, int'(result_base),
                 int'(result_base + result_words - 32'd1));
    if (begun && read_word && read_address >= 32'(WORDS)) $fatal(1, "word %0d is read", read_address);
    if (begun && read_byte && read_address >= 32'(BYTES)) $fatal(1, "byte %0d is read", read_address);
    if (begun && write && write_address >= 32'(WORDS)) $fatal(1, "word %0d is written", write_address);
    if (read_word) word <= words[WORD_BITS'(read_address)];
    if (read_byte) element <= elements[BYTE_BITS'(read_address)];
    if (begun && write) words[WORD_BITS'(write_address)] <= write_word;
  end

endmodule
