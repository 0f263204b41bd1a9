// The four feature buffers, and who uses which: loads write slots, the engines read slots or results and write results.

module buffers #(
    parameter int lanes = 32,
    parameter int feature_bits = 9,
    parameter int DEPTH = 3696,
    localparam int WORD = lanes * feature_bits,
    localparam int ADDRESS_BITS = $clog2(DEPTH)
) (
    input  logic                    clk,
    // loads
    input  logic [lanes-1:0]        load,
    input  logic                    load_slot,
    input  logic [ADDRESS_BITS-1:0] load_address,
    input  logic [WORD-1:0]         load_word,
    // what the engines read; the word appears a cycle later
    input  logic [lanes-1:0]        read,
    input  logic [1:0]              read_buffer,
    input  logic [ADDRESS_BITS-1:0] read_address,
    output logic [WORD-1:0]         read_word,
    // results: read, and written a cycle later; or two set at a time
    input  logic [1:0]              result_buffer,
    input  logic                    result_read,
    input  logic [ADDRESS_BITS-1:0] result_read_address,
    output logic [WORD-1:0]         result_so_far,
    input  logic                    result_write,
    input  logic [ADDRESS_BITS-1:0] result_write_address,
    input  logic [WORD-1:0]         result,
    input  logic                    set,
    input  logic                    set_two,
    input  logic [ADDRESS_BITS-1:0] set_address,
    input  logic [WORD-1:0]         set_word
);

  logic [WORD-1:0]   out [0:3];
  logic [1:0]        was_buffer;

  for (genvar k = 0; k < 4; k++) begin : g_buffer
    logic is_slot, is_source, is_result;
    logic [lanes-1:0] a_read, a_write;
    logic [ADDRESS_BITS-1:0] a_address, b_address;

    assign is_slot = k < 2 && load != '0 && int'(load_slot) == k;
    assign is_source = read != '0 && int'(read_buffer) == k;
    assign is_result = int'(result_buffer) == k;
    assign a_write = is_slot ? load : {lanes{set && is_result}};
    assign a_read = is_source ? read : {lanes{result_read && is_result}};
    assign a_address = is_slot ? load_address : is_source ? read_address : set ? set_address : result_read_address;
    assign b_address = set ? set_address + ADDRESS_BITS'(1) : result_write_address;

    tile_buffer #(.lanes(lanes), .BITS(feature_bits), .DEPTH(DEPTH)) memory (
        .clk, .a_read, .a_write, .a_address, .a_data(is_slot ? load_word : set_word), .a_out(out[k]),
        .b_read({lanes{1'b0}}), .b_write({lanes{is_result && (result_write || set_two)}}), .b_address,
        .b_data(set ? set_word : result), .b_out()
    );
  end

  always_ff @(posedge clk) if (read != '0) was_buffer <= read_buffer;
  assign read_word = out[was_buffer];
  assign result_so_far = out[result_buffer];

endmodule
