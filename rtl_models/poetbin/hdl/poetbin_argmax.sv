// Index of the largest of CLASSES signed scores; of equal ones the lowest. Combinational: a tree in which the left of
// two stays unless the right one is strictly greater. Nodes are numbered as in a heap: 1 is the root, 2n and 2n + 1 stand
// below n. Leaves without a score are passed by.
module poetbin_argmax #(
    parameter int CLASSES = 10,
    parameter int SCORE_BITS = 8,
    localparam int CLASS_BITS = CLASSES > 1 ? $clog2(CLASSES) : 1
) (
    input  logic [CLASSES*SCORE_BITS-1:0] scores,
    output logic [CLASS_BITS-1:0]         largest
);
    localparam int LEAVES = 1 << $clog2(CLASSES);

    wire [SCORE_BITS-1:0] score[2*LEAVES];
    wire [CLASS_BITS-1:0] index[2*LEAVES];

    for (genvar leaf = 0; leaf < LEAVES; leaf++) begin : leaves
        if (leaf < CLASSES) begin : used
            assign score[LEAVES+leaf] = scores[leaf*SCORE_BITS+:SCORE_BITS];
            assign index[LEAVES+leaf] = CLASS_BITS'(leaf);
        end else begin : unused
            assign score[LEAVES+leaf] = '0;
            assign index[LEAVES+leaf] = '0;
        end
    end

    for (genvar node = 1; node < LEAVES; node++) begin : nodes
        localparam int LEVELS = $clog2(LEAVES) - $clog2(node + 1);  // of nodes below the right child
        localparam int FIRST_RIGHT = ((2 * node + 1) << LEVELS) - LEAVES;
        if (FIRST_RIGHT < CLASSES) begin : both
            wire right = $signed(score[2*node+1]) > $signed(score[2*node]);
            assign score[node] = right ? score[2*node+1] : score[2*node];
            assign index[node] = right ? index[2*node+1] : index[2*node];
        end else begin : left_alone
            assign score[node] = score[2*node];
            assign index[node] = index[2*node];
        end
    end

    assign score[0] = '0;
    assign index[0] = '0;
    assign largest = index[1];
endmodule
