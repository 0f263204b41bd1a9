// A memory of one lane with two ports, each of which reads or writes in a cycle. What is read stays until the port is used
// again; a write reads what it replaces, as block RAM does at no cost.

module lane_ram #(
    parameter int BITS = 9,
    parameter int DEPTH = 64,
    localparam int ADDRESS_BITS = $clog2(DEPTH)
) (
    input  logic                    clk,
    input  logic                    a_read,
    input  logic                    a_write,
    input  logic [ADDRESS_BITS-1:0] a_address,
    input  logic [BITS-1:0]         a_data,
    output logic [BITS-1:0]         a_out,
    input  logic                    b_read,
    input  logic                    b_write,
    input  logic [ADDRESS_BITS-1:0] b_address,
    input  logic [BITS-1:0]         b_data,
    output logic [BITS-1:0]         b_out
);

  logic [BITS-1:0] words [0:DEPTH-1];

  always @(posedge clk)
    if (a_write || a_read) begin
      if (a_write) words[a_address] <= a_data;
      a_out <= words[a_address];
    end

  always @(posedge clk)
    if (b_write || b_read) begin
      if (b_write) words[b_address] <= b_data;
      b_out <= words[b_address];
    end

endmodule
