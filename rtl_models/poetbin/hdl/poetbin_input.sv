// The input port: a register for a whole vector, or one that shifts and counts the beats of a vector.
// `settled` is high in the cycle behind a vector's last beat, while `vector` holds all of it.
module poetbin_input #(
    parameter int INPUTS = 8,
    parameter int WIDTH = 8,  // bits a beat; INPUTS for a parallel port
    parameter int BEATS = 1  // ceil(INPUTS / WIDTH)
) (
    input  logic              clk,
    input  logic              reset,
    input  logic              in_valid,
    input  logic [WIDTH-1:0]  in_data,
    output logic [INPUTS-1:0] vector,
    output logic              settled
);
    if (BEATS == 1) begin : parallel
        always_ff @(posedge clk) begin
            settled <= in_valid && !reset;
            if (reset) vector <= '0;
            else if (in_valid) vector <= in_data[INPUTS-1:0];
        end
    end else begin : serial
        localparam int COUNT_BITS = $clog2(BEATS);
        localparam logic [COUNT_BITS-1:0] LAST = COUNT_BITS'(BEATS - 1);

        logic [BEATS*WIDTH-1:0] shifted;
        logic [ COUNT_BITS-1:0] beat;

        // Bits above the last feature are on their way down, or mean nothing.
        assign vector = shifted[INPUTS-1:0];

        always_ff @(posedge clk) begin
            settled <= in_valid && beat == LAST && !reset;
            if (reset) begin
                shifted <= '0;
                beat <= '0;
            end else if (in_valid) begin
                shifted <= {in_data, shifted[BEATS*WIDTH-1:WIDTH]};
                beat <= beat == LAST ? '0 : beat + 1'b1;
            end
        end
    end
endmodule
