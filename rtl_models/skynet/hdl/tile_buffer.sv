// A buffer of words: a memory for each lane, addressed alike, enabled lane by lane.

module tile_buffer #(
    parameter int lanes = 32,
    parameter int BITS = 9,
    parameter int DEPTH = 3696,
    localparam int ADDRESS_BITS = $clog2(DEPTH)
) (
    input  logic                    clk,
    input  logic [lanes-1:0]        a_read,
    input  logic [lanes-1:0]        a_write,
    input  logic [ADDRESS_BITS-1:0] a_address,
    input  logic [lanes*BITS-1:0]   a_data,
    output logic [lanes*BITS-1:0]   a_out,
    input  logic [lanes-1:0]        b_read,
    input  logic [lanes-1:0]        b_write,
    input  logic [ADDRESS_BITS-1:0] b_address,
    input  logic [lanes*BITS-1:0]   b_data,
    output logic [lanes*BITS-1:0]   b_out
);

  for (genvar k = 0; k < lanes; k++) begin : g_lane
    lane_ram #(.BITS(BITS), .DEPTH(DEPTH)) memory (
        .clk,
        .a_read(a_read[k]), .a_write(a_write[k]), .a_address, .a_data(a_data[k*BITS+:BITS]), .a_out(a_out[k*BITS+:BITS]),
        .b_read(b_read[k]), .b_write(b_write[k]), .b_address, .b_data(b_data[k*BITS+:BITS]), .b_out(b_out[k*BITS+:BITS])
    );
  end

endmodule
