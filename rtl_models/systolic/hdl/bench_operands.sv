// For the bench only: the memories of inputs and weights, as wide as the array, and which element each lane gets.

module bench_operands #(
    parameter int rows = 4,
    parameter int columns = 4,
    parameter int dataflow = 0,
    parameter int input_bits = 8,
    parameter int weight_bits = 8,
    parameter int WORDS = 1 << 16,
    localparam int LEFT_BITS = dataflow == 2 ? weight_bits : input_bits,
    localparam int TOP_BITS = dataflow == 2 ? input_bits : weight_bits
) (
    input  logic                        clk,
    input  logic                        start,
    input  logic [31:0]                 case_id,
    input  logic [15:0]                 m,
    input  logic [15:0]                 k,
    input  logic [15:0]                 n,
    input  logic                        loading,
    input  logic [15:0]                 load_index,
    input  logic [15:0]                 load_outer,
    input  logic [15:0]                 load_inner,
    input  logic                        present,
    input  logic [15:0]                 vector,
    input  logic [15:0]                 outer,
    input  logic [15:0]                 inner,
    output logic [rows-1:0]             left_valid,
    output logic [rows*LEFT_BITS-1:0]   left,
    output logic [columns-1:0]          top_valid,
    output logic [columns*TOP_BITS-1:0] top
);

  localparam int ADDRESS_BITS = $clog2(WORDS);

  logic [input_bits-1:0]  inputs [0:WORDS-1];
  logic [weight_bits-1:0] weights [0:WORDS-1];
  string                  folder;

  initial if (!$value$plusargs("images=%s", folder)) folder = ".";

  always @(posedge clk)
    if (start) begin
      if (32'(m) * 32'(k) > 32'(WORDS) || 32'(k) * 32'(n) > 32'(WORDS)) $fatal(1, "an operand has no room");
      $readmemh($sformatf("%s/%0d.inputs.hex", folder, case_id), inputs);
      $readmemh($sformatf("%s/%0d.weights.hex", folder, case_id), weights);
    end

  for (genvar r = 0; r < rows; r++) begin : g_left
    logic [15:0]             lane;                 // index of this lane in its dimension
    logic                    useful;
    logic [ADDRESS_BITS-1:0] address;

    assign lane = (dataflow == 1 ? outer : inner) + 16'(r);
    assign useful = lane < (dataflow == 1 ? m : k);
    assign address = dataflow == 0 ? ADDRESS_BITS'(32'(vector) * 32'(k) + 32'(lane)) :
                     dataflow == 1 ? ADDRESS_BITS'(32'(lane) * 32'(k) + 32'(vector)) :
                                     ADDRESS_BITS'(32'(lane) * 32'(n) + 32'(vector));

    always_ff @(posedge clk)
      if (start) left_valid[r] <= 1'b0;
      else begin
        left_valid[r] <= present && useful;
        if (dataflow == 2) left[r*LEFT_BITS+:LEFT_BITS] <= LEFT_BITS'(weights[address]);
        else left[r*LEFT_BITS+:LEFT_BITS] <= LEFT_BITS'(inputs[address]);
      end
  end

  logic        due;
  logic [15:0] row;                                // of the weights, or column of the inputs, that stand still
  assign due = dataflow == 1 ? present : loading;
  assign row = dataflow == 1 ? vector : load_inner + 16'(rows) - 16'd1 - load_index;

  for (genvar c = 0; c < columns; c++) begin : g_top
    logic [15:0]             lane;
    logic                    useful;
    logic [ADDRESS_BITS-1:0] address;

    assign lane = (dataflow == 1 ? inner : load_outer) + 16'(c);
    assign useful = lane < (dataflow == 2 ? m : n) && row < k;
    assign address = dataflow == 2 ? ADDRESS_BITS'(32'(lane) * 32'(k) + 32'(row)) :
                                     ADDRESS_BITS'(32'(row) * 32'(n) + 32'(lane));

    always_ff @(posedge clk)
      if (start) top_valid[c] <= 1'b0;
      else begin
        top_valid[c] <= due && useful;
        if (dataflow == 2) top[c*TOP_BITS+:TOP_BITS] <= TOP_BITS'(inputs[address]);
        else top[c*TOP_BITS+:TOP_BITS] <= TOP_BITS'(weights[address]);
      end
  end

endmodule
