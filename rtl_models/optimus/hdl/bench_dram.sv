// For the bench only: what the DRAM holds. A beat of each channel appears in the cycle in which it is written into the weight buffer.

module bench_dram #(
    parameter int CHANNELS = 256,
    parameter int WORDS = 1 << 18
) (
    input  logic                   clk,
    input  logic                   start,
    input  logic [31:0]            case_id,
    input  logic                   read,
    input  logic [31:0]            address,        // of the first channel's beat, in 16 bits
    input  logic [8:0]             channels,
    output logic [CHANNELS*16-1:0] data
);

  logic [31:0] words [0:WORDS-1];
  string       folder;

  initial if (!$value$plusargs("images=%s", folder)) folder = ".";

  // Before the first start nothing is defined, and nothing is checked.
  logic begun;
  initial begun = 1'b0;
  always @(posedge clk) if (start) begun <= 1'b1;

  always @(posedge clk) begin
    if (start) $readmemh($sformatf("%s/%0d.weights.hex", folder, case_id), words);
    if (begun && read && address + 32'(channels) * 32'd4 > 32'(2 * WORDS) + 32'd3)
      $fatal(1, "word %0d of the DRAM is read", address >> 1);
  end

  function automatic logic [CHANNELS*16-1:0] beats(
      input logic enable, input logic [31:0] first, input logic [8:0] count);
    beats = '0;
    if (enable)
      for (int k = 0; k < CHANNELS && k < int'(count); k++)
        beats[k*16+:16] = 16'(words[18'((first >> 1) + 32'(2 * k))] >> (first[0] ? 16 : 0));
  endfunction

  assign data = beats(read, address, channels);

endmodule
