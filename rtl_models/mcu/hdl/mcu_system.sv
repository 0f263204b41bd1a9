// Everything around a core: one memory with two ports, registers at 0xF0000000, the counters, and the core's reset.
//
// A request on a port in one cycle is answered in the next, always. The memory is loaded when the run starts, with the
// image <images>/<case_id>.program.hex, and `result_words` words from `result_base` on are written to
// <images>/<case_id>.results.out when it ends. All addresses wrap at the end of the memory.
//
// Registers, written by the firmware:
//   +0  begin: counting starts behind this cycle, from zero
//   +4  end: this cycle is the last that is counted
//   +8  done: the run is over
//   +12 console: a line of the log, "cycle console value"
module mcu_system #(
    parameter int unsigned WORDS = 65536
) (
    input  logic        clk,
    input  logic        reset,
    input  logic        start,
    input  logic [31:0] case_id,
    input  logic [31:0] result_base,
    input  logic [31:0] result_words,
    output logic        core_resetn,

    input  logic        fetch_request,
    input  logic [31:0] fetch_address,
    output logic        fetch_valid,
    output logic [31:0] fetch_data,

    input  logic        data_request,
    input  logic        data_write,
    input  logic [ 3:0] data_enable,
    input  logic [31:0] data_address,
    input  logic [31:0] data_store,
    output logic        data_valid,
    output logic [31:0] data_load,
    input  logic        data_is_fetch,  // with data_valid: what was read is an instruction

    output logic        done,
    output logic [31:0] cycles_total,
    output logic [31:0] cycles_fill,
    output logic [31:0] cycles_compute,
    output logic [31:0] cycles_stall,
    output logic [31:0] cycles_drain,
    output logic [31:0] count_fetched_bits,
    output logic [31:0] count_loaded_bits,
    output logic [31:0] count_stored_bits
);
    localparam int unsigned BITS = $clog2(WORDS);

    logic [31:0] memory [WORDS];
    logic [31:0] cycle;
    logic        counting;
    logic        tracing;
    logic        answers_read;
    int          log_file;
    string       images;

    wire [BITS-1:0] fetch_word = fetch_address[BITS+1:2];
    wire [BITS-1:0] data_word = data_address[BITS+1:2];
    wire            to_register = data_request && data_write && data_address[31:28] == 4'hF;
    wire            to_memory = data_request && data_address[31:28] != 4'hF;
    wire            begins = to_register && data_address[3:2] == 2'd0;
    wire            ends = to_register && data_address[3:2] == 2'd1;
    wire            finishes = to_register && data_address[3:2] == 2'd2 && !done;
    wire            prints = to_register && data_address[3:2] == 2'd3;

    // The core does all there is: fill, stall and drain are those of accelerators that work in tasks.
    assign cycles_fill = 0;
    assign cycles_compute = cycles_total;
    assign cycles_stall = 0;
    assign cycles_drain = 0;

    // Flip-flops that are reset asynchronously behind a gated clock need an edge of their reset, so it starts high.
    initial begin
        core_resetn = 1'b1;
        tracing = $test$plusargs("trace") != 0;
        if (!$value$plusargs("images=%s", images)) images = ".";
    end

    always @(posedge clk) begin
        fetch_valid <= fetch_request;
        data_valid <= data_request;
        answers_read <= data_request && !data_write && to_memory;
        if (fetch_request) fetch_data <= memory[fetch_word];
        if (data_request) data_load <= memory[data_word];
        for (int lane = 0; lane < 4; lane++)
            if (to_memory && data_write && data_enable[lane]) memory[data_word][8*lane+:8] = data_store[8*lane+:8];
        if (finishes)
            $writememh($sformatf("%s/%0d.results.out", images, case_id), memory, result_base,
                       result_base + result_words - 1);
        if (start) begin
            for (int i = 0; i < WORDS; i++) memory[i] = 0;
            $readmemh($sformatf("%s/%0d.program.hex", images, case_id), memory);
        end
    end

    always @(posedge clk) begin
        cycle <= cycle + 1;
        if (prints && tracing) $fwrite(log_file, "%0d console %0d\n", cycle, data_store);
        if (finishes && tracing) $fclose(log_file);
        if (finishes) done <= 1'b1;
        if (start) begin
            core_resetn <= 1'b1;
            cycle <= 0;
            if (tracing) log_file = $fopen($sformatf("%s/%0d.trace", images, case_id), "w");
        end
        if (reset) begin
            core_resetn <= 1'b0;
            done <= 1'b0;
        end
    end

    always @(posedge clk) begin
        if (counting) begin
            cycles_total <= cycles_total + 1;
            count_fetched_bits <= count_fetched_bits + (fetch_valid || answers_read && data_is_fetch ? 32 : 0);
            count_loaded_bits <= count_loaded_bits + (answers_read && !data_is_fetch ? 32 : 0);
            count_stored_bits <= count_stored_bits + (to_memory && data_write ? 32 : 0);
        end
        if (ends) counting <= 1'b0;
        if (begins || reset) begin
            counting <= begins && !reset;
            cycles_total <= 0;
            count_fetched_bits <= 0;
            count_loaded_bits <= 0;
            count_stored_bits <= 0;
        end
    end
endmodule
