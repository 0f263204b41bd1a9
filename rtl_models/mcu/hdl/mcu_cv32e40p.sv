// CV32E40P with the XPULP extension (its packed dot products) and without floating point.
module mcu_cv32e40p (
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

    cv32e40p_top #(
        .COREV_PULP(1), .COREV_CLUSTER(0), .FPU(0), .ZFINX(0), .NUM_MHPMCOUNTERS(1)
    ) core (
        .clk_i(clk), .rst_ni(core_resetn), .pulp_clock_en_i(1'b1), .scan_cg_en_i(1'b0), .boot_addr_i(32'h80),
        .mtvec_addr_i(32'd0), .dm_halt_addr_i(32'd0), .hart_id_i(32'd0), .dm_exception_addr_i(32'd0),
        .instr_req_o(fetch_request), .instr_gnt_i(fetch_request), .instr_rvalid_i(fetch_valid),
        .instr_addr_o(fetch_address), .instr_rdata_i(fetch_data),
        .data_req_o(data_request), .data_gnt_i(data_request), .data_rvalid_i(data_valid), .data_we_o(data_write),
        .data_be_o(data_enable), .data_addr_o(data_address), .data_wdata_o(data_store), .data_rdata_i(data_load),
        .irq_i(32'd0), .irq_ack_o(), .irq_id_o(), .debug_req_i(1'b0), .debug_havereset_o(), .debug_running_o(),
        .debug_halted_o(), .fetch_enable_i(1'b1), .core_sleep_o()
    );

    assign data_is_fetch = 1'b0;

    mcu_system system (.*);
endmodule
