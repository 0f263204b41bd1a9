// What drives a network and listens to it: vectors from a file onto the port, results and toggles back into files.
//
// Memories of case <id> in the folder +images=FOLDER: <id>.vectors.hex in; <id>.scores.out, <id>.classes.out and
// <id>.toggles.out (changes of each look-up table's settled output) out.
module poetbin_bench #(
    parameter int INPUTS = 64,  // of the largest network, as the other sizes
    parameter int OUTPUTS = 80,
    parameter int LUTS = 1,
    parameter int VECTORS = 1024,  // a power of two
    localparam int AT_BITS = $clog2(VECTORS)
) (
    input  logic        clk,
    input  logic        reset,
    input  logic        start,
    input  logic [31:0] case_id,
    input  logic [15:0] vectors,
    input  logic [15:0] beats,  // of a vector
    input  logic [15:0] width,  // bits of a beat
    input  logic        argmax,  // whether a run ends with a class
    input  logic [15:0] luts,  // whose toggles are counted
    input  logic [15:0] idle,  // a beat waits while a register of random bits has any of these; 0: never

    output logic               in_valid,
    output logic [ INPUTS-1:0] in_data,
    input  logic               out_valid,
    input  logic [OUTPUTS-1:0] out_scores,
    input  logic               class_valid,
    input  logic [       31:0] out_class,
    input  logic [   LUTS-1:0] lut_values,

    output logic        done,
    output logic [31:0] cycles_total,
    output logic [31:0] cycles_fill,
    output logic [31:0] cycles_compute,
    output logic [31:0] cycles_stall,
    output logic [31:0] cycles_drain,
    output logic [31:0] count_vectors,
    output logic [31:0] count_beats,
    output logic [31:0] latency_scores_min,  // from the cycle of a vector's first beat
    output logic [31:0] latency_scores_max,
    output logic [31:0] latency_class_min,
    output logic [31:0] latency_class_max,
    output logic [31:0] settle_min,  // from that of its last beat, to its scores
    output logic [31:0] settle_max
);
    logic [INPUTS-1:0]  vector_memory[VECTORS];
    logic [OUTPUTS-1:0] score_memory [VECTORS];
    logic [31:0]        class_memory [VECTORS];
    logic [31:0]        toggle_memory[LUTS];
    logic [31:0]        first_beat   [VECTORS];
    logic [31:0]        last_beat    [VECTORS];

    logic               running;
    logic               finishing;
    logic               tracing;
    logic [31:0]        cycle;
    logic [15:0]        vector;
    logic [15:0]        beat;
    logic [31:0]        offset;
    logic [15:0]        scored;
    logic [15:0]        classified;
    logic [15:0]        random;
    logic [LUTS-1:0]    luts_before;
    int                 log_file;
    string              images;

    wire [AT_BITS-1:0] vector_at = vector[AT_BITS-1:0];
    wire [AT_BITS-1:0] scored_at = scored[AT_BITS-1:0];
    wire [AT_BITS-1:0] classified_at = classified[AT_BITS-1:0];
    wire        more = running && vector < vectors;
    wire        ends_vector = beat == beats - 16'd1;
    wire [15:0] left = argmax ? classified : scored;
    wire        result = argmax ? class_valid : out_valid;
    wire        last_result = running && result && left == vectors - 16'd1;
    wire [31:0] scores_after = cycle - first_beat[scored_at];
    wire [31:0] class_after = cycle - first_beat[classified_at];
    wire [31:0] settles_after = cycle - last_beat[scored_at];

    assign in_valid = more && (random & idle) == 16'd0;
    assign in_data = vector_memory[vector_at] >> offset;

    initial begin
        tracing = $test$plusargs("trace") != 0;
        if (!$value$plusargs("images=%s", images)) images = ".";
    end

    // Vectors out, results in.
    always @(posedge clk) begin
        cycle <= cycle + 1;
        // x^16 + x^14 + x^13 + x^11 + 1
        random <= {random[14:0], random[15] ^ random[13] ^ random[12] ^ random[10]};
        if (in_valid) begin
            if (beat == 16'd0) first_beat[vector_at] <= cycle;
            if (ends_vector) last_beat[vector_at] <= cycle;
            beat <= ends_vector ? 16'd0 : beat + 16'd1;
            offset <= ends_vector ? 32'd0 : offset + 32'(width);
            if (ends_vector) vector <= vector + 16'd1;
        end
        if (running && out_valid) begin
            score_memory[scored_at] <= out_scores;
            scored <= scored + 16'd1;
        end
        if (running && class_valid) begin
            class_memory[classified_at] <= out_class;
            classified <= classified + 16'd1;
        end
        if (last_result) begin
            running <= 1'b0;
            finishing <= 1'b1;
        end
        if (finishing) begin
            finishing <= 1'b0;
            $writememh($sformatf("%s/%0d.scores.out", images, case_id), score_memory, 0, 32'(vectors) - 1);
            if (argmax)
                $writememh($sformatf("%s/%0d.classes.out", images, case_id), class_memory, 0, 32'(vectors) - 1);
            if (luts != 0)
                $writememh($sformatf("%s/%0d.toggles.out", images, case_id), toggle_memory, 0, 32'(luts) - 1);
            done <= 1'b1;
        end
        if (start) begin
            running <= 1'b1;
            $readmemh($sformatf("%s/%0d.vectors.hex", images, case_id), vector_memory, 0, 32'(vectors) - 1);
            cycle <= 32'd0;
            vector <= 16'd0;
            beat <= 16'd0;
            offset <= 32'd0;
            scored <= 16'd0;
            classified <= 16'd0;
            random <= 16'hace1;
        end
        if (reset) begin
            running <= 1'b0;
            finishing <= 1'b0;
            done <= 1'b0;
        end
    end

    // Counters. The cycles of a run are those before its last result stands on the port.
    always @(posedge clk) begin
        if (running && !last_result) begin
            cycles_total <= cycles_total + 1;
            if (in_valid) cycles_compute <= cycles_compute + 1;
            else if (!more) cycles_drain <= cycles_drain + 1;
            else if (count_beats == 0) cycles_fill <= cycles_fill + 1;
            else cycles_stall <= cycles_stall + 1;
        end
        if (in_valid) count_beats <= count_beats + 1;
        if (running && result) count_vectors <= count_vectors + 1;
        if (running && out_valid) begin
            if (scores_after < latency_scores_min) latency_scores_min <= scores_after;
            if (scores_after > latency_scores_max) latency_scores_max <= scores_after;
            if (settles_after < settle_min) settle_min <= settles_after;
            if (settles_after > settle_max) settle_max <= settles_after;
        end
        if (running && class_valid) begin
            if (class_after < latency_class_min) latency_class_min <= class_after;
            if (class_after > latency_class_max) latency_class_max <= class_after;
        end
        if (start) begin
            cycles_total <= 0;
            cycles_fill <= 0;
            cycles_compute <= 0;
            cycles_stall <= 0;
            cycles_drain <= 0;
            count_vectors <= 0;
            count_beats <= 0;
            latency_scores_min <= 32'hffff_ffff;
            latency_scores_max <= 0;
            latency_class_min <= 32'hffff_ffff;
            latency_class_max <= 0;
            settle_min <= 32'hffff_ffff;
            settle_max <= 0;
        end
    end

    // Toggles, from the state behind reset on.
    always @(posedge clk) begin
        luts_before <= lut_values;
        if (running && lut_values != luts_before)
            for (int i = 0; i < 32'(luts); i++)
                if (lut_values[i] != luts_before[i]) toggle_memory[i] <= toggle_memory[i] + 1;
        if (start) for (int i = 0; i < LUTS; i++) toggle_memory[i] <= 0;
    end

    // The log, in the order of cycles: results first, the last of the oldest vector.
    always @(posedge clk) if (tracing) begin
        if (running && class_valid) $fwrite(log_file, "%0d class %0d %0d\n", cycle, classified, out_class);
        if (running && out_valid) $fwrite(log_file, "%0d out %0d\n", cycle, scored);
        if (in_valid && beat == 16'd0) $fwrite(log_file, "%0d in %0d\n", cycle, vector);
        if (finishing) $fclose(log_file);
        if (start) log_file = $fopen($sformatf("%s/%0d.trace", images, case_id), "w");
    end
endmodule
