// PicoRV32 with its one-cycle multiplier, barrel shifter and divider, on the look-ahead interface of its memory port: the
// request comes a cycle before mem_valid, so a memory that answers in the next cycle is always ready.
module mcu_picorv32 (
    input  logic        clk,
    input  logic        reset,
    input  logic        start,
    input  logic [31:0] case_id,
    input  logic [31:0] result_base,
    input  logic [31:0] result_words,
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
    logic        core_resetn, fetch_request, fetch_valid, data_request, data_write, data_valid,
                 data_is_fetch;
    logic [31:0] fetch_address, fetch_data, data_address, data_store, data_load;
    logic [ 3:0] data_enable;

    logic        mem_la_read, mem_la_write, mem_instr, mem_valid;
    logic [31:0] mem_addr, mem_wdata, eoi;
    logic [ 3:0] mem_wstrb;
    logic        trap, pcpi_valid, trace_valid;
    logic [31:0] pcpi_insn, pcpi_rs1, pcpi_rs2;
    logic [35:0] trace_data;

    // Instructions and data share the port; the core tells them apart by mem_instr, a cycle later.
    assign fetch_request = 1'b0;
    assign fetch_address = 0;
    assign data_request = mem_la_read || mem_la_write;
    assign data_write = mem_la_write;
    assign data_is_fetch = mem_instr;

    picorv32 #(
        .ENABLE_FAST_MUL(1), .ENABLE_DIV(1), .BARREL_SHIFTER(1), .PROGADDR_RESET(32'h80)
    ) core (
        .clk, .resetn(core_resetn), .trap,
        .mem_valid, .mem_instr, .mem_ready(1'b1), .mem_addr, .mem_wdata, .mem_wstrb, .mem_rdata(data_load),
        .mem_la_read, .mem_la_write, .mem_la_addr(data_address), .mem_la_wdata(data_store), .mem_la_wstrb(data_enable),
        .pcpi_valid, .pcpi_insn, .pcpi_rs1, .pcpi_rs2, .pcpi_wr(1'b0), .pcpi_rd(32'd0), .pcpi_wait(1'b0),
        .pcpi_ready(1'b0), .irq(32'd0), .eoi, .trace_valid, .trace_data
    );

    mcu_system system (.*);
endmodule
