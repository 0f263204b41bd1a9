// Adds up the words of one memory, in groups: a running sum is written to another memory at the end of each group.
// A run fills for `fill` cycles, takes one word a cycle in bursts, pauses for `gap` cycles between groups, and drains.
// `knob` makes deliberate mistakes, for the harness's own tests.
`timescale 1ns / 1ps

module accumulator #(
    parameter integer lanes = 1
) (
    input  logic        clk,
    input  logic        reset,
    input  logic        start,
    input  logic [31:0] case_id,
    input  logic [15:0] words,
    input  logic [15:0] group,
    input  logic [ 7:0] fill,
    input  logic [ 7:0] gap,
    input  logic [ 7:0] knob,
    output logic        done,
    output logic [31:0] cycles_total,
    output logic [31:0] cycles_fill,
    output logic [31:0] cycles_compute,
    output logic [31:0] cycles_stall,
    output logic [31:0] cycles_drain,
    output logic [31:0] additions,
    output logic [31:0] unreliable
);
    localparam logic [7:0] WRONG_WORD = 1, WRONG_COUNT = 2, SLOW = 3, UNDEFINED_COUNT = 4, UNDEFINED_WORD = 5,
        HANG = 6, ASSERTION = 7, CRASH = 8, WRONG_EVENT = 9;
    localparam integer WORDS = 4096;
    localparam logic [7:0] DRAIN = 3;
    localparam logic [2:0] IDLE = 0, FILL = 1, WORK = 2, GAP = 3, DRAINING = 4, WRITE = 5;

    logic [15:0] data [0:WORDS - 1];
    logic [31:0] sums [0:WORDS - 1];
    logic [ 2:0] state;
    logic [15:0] at, in_group, slot;
    logic [ 7:0] left;
    logic [31:0] sum, cycle;
    logic [31:0] nothing;
    logic        endless;
    logic        again;
    integer      log;
    string       folder;

    wire [15:0] next = at + 16'(lanes);
    wire        last = next >= words;
    wire        group_ends = last || in_group + 16'(lanes) >= group;
    wire        running = state != IDLE && state != WRITE;

    logic [31:0] taken, count;

    always_comb begin
        taken = 0;
        count = 0;
        for (integer lane = 0; lane < lanes; lane = lane + 1)
            if (at + 16'(lane) < words) begin
                taken = taken + {16'b0, data[12'(at + 16'(lane))]};
                count = count + 1;
            end
    end

    // A loop that takes no time, as long as `endless` is set.
    initial again = 0;
    always @(posedge endless) while (endless) again = !again;

    task automatic event_of(input string name, input logic [31:0] number);
        if (log != 0) $fwrite(log, "%0d %s %0d\n", cycle, name, number);
    endtask

    always_ff @(posedge clk) begin
        if (reset) begin
            state <= IDLE;
            done <= 0;
            endless <= 0;
            cycles_total <= 0;
            cycles_fill <= 0;
            cycles_compute <= 0;
            cycles_stall <= 0;
            cycles_drain <= 0;
            additions <= 0;
            unreliable <= 0;
            cycle <= 0;
            log <= 0;
        end else if (start) begin
            if ($value$plusargs("images=%s", folder)) $readmemh($sformatf("%s/%0d.data.hex", folder, case_id), data);
            if ($test$plusargs("trace")) log <= $fopen($sformatf("%s/%0d.trace", folder, case_id), "w");
            at <= 0;
            in_group <= 0;
            slot <= 0;
            sum <= 0;
            left <= fill;
            state <= fill == 0 ? WORK : FILL;
        end else if (state == WRITE) begin
            $writememh($sformatf("%s/%0d.sums.out", folder, case_id), sums);
            if (log != 0) $fclose(log);
            done <= 1;
            state <= IDLE;
        end else if (running) begin
            cycle <= cycle + 1;
            cycles_total <= cycles_total + 1;
            if (knob == UNDEFINED_COUNT) unreliable <= nothing;
            if (knob == HANG) endless <= 1;
            if (knob == CRASH) $finish;
            if (knob == ASSERTION) $error("the knob says so");
            case (state)
                FILL: begin
                    cycles_fill <= cycles_fill + 1;
                    left <= left - 1;
                    if (left == 1) state <= WORK;
                end
                WORK: begin
                    cycles_compute <= cycles_compute + 1;
                    additions <= additions + count + (knob == WRONG_COUNT && last ? 1 : 0);
                    event_of("take", {16'b0, at} + (knob == WRONG_EVENT && at >= 4 ? 1 : 0));
                    at <= next;
                    in_group <= in_group + 16'(lanes);
                    sum <= sum + taken;
                    if (group_ends) begin
                        event_of("sum", {16'b0, slot});
                        sums[slot[11:0]] <= knob == UNDEFINED_WORD && slot == 1 ? nothing
                            : sum + taken + (knob == WRONG_WORD && slot == 1 ? 1 : 0);
                        slot <= slot + 1;
                        in_group <= 0;
                        left <= last ? DRAIN + (knob == SLOW ? 8'd100 : 8'd0) : gap;
                        state <= last ? DRAINING : gap == 0 ? WORK : GAP;
                    end
                end
                GAP: begin
                    cycles_stall <= cycles_stall + 1;
                    left <= left - 1;
                    if (left == 1) state <= WORK;
                end
                default: begin
                    cycles_drain <= cycles_drain + 1;
                    left <= left - 1;
                    if (left == 1) state <= WRITE;
                end
            endcase
        end
    end
endmodule
