// For the bench only: what the host sets up before a run, the list of layers and the codes of image elements.

module bench_tables #(
    parameter int CODE_BITS = 9,
    parameter int LAYERS = 64
) (
    input  logic                              clk,
    input  logic                              start,
    input  logic [31:0]                       case_id,
    input  logic [15:0]                       layers,
    input  logic [15:0]                       load_layer,
    output logic [layer_fields::WORDS*32-1:0] load_descriptor,
    input  logic [15:0]                       work_layer,
    output logic [layer_fields::WORDS*32-1:0] work_descriptor,
    input  logic [7:0]                        element,
    output logic [CODE_BITS-1:0]              code
);
  import layer_fields::WORDS;

  logic [31:0]          list [0:LAYERS*WORDS-1];
  logic [CODE_BITS-1:0] codes [0:255];
  string                folder;

  initial if (!$value$plusargs("images=%s", folder)) folder = ".";

  always @(posedge clk)
    if (start) begin
      if (32'(layers) > LAYERS) $fatal(1, "%0d layers have no room", layers);
      $readmemh($sformatf("%s/%0d.layers.hex", folder, case_id), list);
      $readmemh($sformatf("%s/%0d.codes.hex", folder, case_id), codes);
    end

  localparam int ADDRESS_BITS = $clog2(LAYERS * WORDS);

  for (genvar k = 0; k < WORDS; k++) begin : g_word
    assign load_descriptor[k*32+:32] = list[ADDRESS_BITS'(32'(load_layer)*WORDS+k)];
    assign work_descriptor[k*32+:32] = list[ADDRESS_BITS'(32'(work_layer)*WORDS+k)];
  end

  assign code = codes[element];

endmodule
