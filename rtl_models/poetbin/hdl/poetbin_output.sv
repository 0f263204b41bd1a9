// The output register, which takes the scores as many cycles after the vector settled as the network has registers
// inside, and the class behind it.
module poetbin_output #(
    parameter int CLASSES = 10,
    parameter int SCORE_BITS = 8,
    parameter int INSIDE = 0,  // registers on the way through the network
    parameter int ARGMAX = 1,
    localparam int CLASS_BITS = CLASSES > 1 ? $clog2(CLASSES) : 1
) (
    input  logic                          clk,
    input  logic                          reset,
    input  logic                          settled,
    input  logic [CLASSES*SCORE_BITS-1:0] scores,
    output logic                          out_valid,
    output logic [CLASSES*SCORE_BITS-1:0] out_scores,
    output logic                          class_valid,
    output logic [CLASS_BITS-1:0]         out_class
);
    logic at_last;  // the vector's signals are in the network's last stage

    if (INSIDE != 0) begin : stages
        logic [INSIDE-1:0] entered;
        always_ff @(posedge clk) entered <= reset ? '0 : INSIDE'({entered, settled});
        assign at_last = entered[INSIDE-1];
    end else begin : one_stage
        assign at_last = settled;
    end

    always_ff @(posedge clk) begin
        out_valid <= at_last && !reset;
        if (at_last) out_scores <= scores;
    end

    if (ARGMAX != 0) begin : classify
        logic [CLASS_BITS-1:0] largest;

        poetbin_argmax #(
            .CLASSES(CLASSES),
            .SCORE_BITS(SCORE_BITS)
        ) argmax (
            .scores(out_scores),
            .largest(largest)
        );

        always_ff @(posedge clk) begin
            class_valid <= out_valid && !reset;
            if (out_valid) out_class <= largest;
        end
    end else begin : no_class
        assign class_valid = 1'b0;
        assign out_class = '0;
    end
endmodule
