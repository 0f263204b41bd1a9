// Ibex with two stages, the fast multiplier (three cycles), no instruction cache and no branch predictor.
module mcu_ibex (
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

    ibex_top #(
        .RV32M(ibex_pkg::RV32MFast), .RV32B(ibex_pkg::RV32BNone), .RegFile(ibex_pkg::RegFileFF), .ICache(1'b0),
        .BranchTargetALU(1'b0), .WritebackStage(1'b0), .BranchPredictor(1'b0), .SecureIbex(1'b0), .MHPMCounterNum(0)
    ) core (
        .clk_i(clk), .rst_ni(core_resetn), .test_en_i(1'b0), .ram_cfg_i('0), .hart_id_i(32'd0), .boot_addr_i(32'd0),
        .instr_req_o(fetch_request), .instr_gnt_i(fetch_request), .instr_rvalid_i(fetch_valid),
        .instr_addr_o(fetch_address), .instr_rdata_i(fetch_data), .instr_rdata_intg_i('0), .instr_err_i(1'b0),
        .data_req_o(data_request), .data_gnt_i(data_request), .data_rvalid_i(data_valid), .data_we_o(data_write),
        .data_be_o(data_enable), .data_addr_o(data_address), .data_wdata_o(data_store), .data_wdata_intg_o(),
        .data_rdata_i(data_load), .data_rdata_intg_i('0), .data_err_i(1'b0),
        .irq_software_i(1'b0), .irq_timer_i(1'b0), .irq_external_i(1'b0), .irq_fast_i('0), .irq_nm_i(1'b0),
        .scramble_key_valid_i(1'b0), .scramble_key_i('0), .scramble_nonce_i('0), .scramble_req_o(),
        .debug_req_i(1'b0), .crash_dump_o(), .double_fault_seen_o(), .fetch_enable_i(ibex_pkg::IbexMuBiOn),
        .alert_minor_o(), .alert_major_internal_o(), .alert_major_bus_o(), .core_sleep_o(), .scan_rst_ni(1'b1)
    );

    assign data_is_fetch = 1'b0;

    mcu_system system (.*);
endmodule
