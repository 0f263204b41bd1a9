// VexRiscv in the standard build of LiteX (4 KiB instruction and data cache) on its two Wishbone ports. Classic cycles:
// the answer comes a cycle after the request, and the next word of a burst is requested in the cycle behind it.
module mcu_vexriscv (
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

    logic        fetch_cycle, fetch_strobe, data_cycle, data_strobe;
    logic [29:0] fetch_word, data_word;

    assign fetch_request = fetch_cycle && fetch_strobe && !fetch_valid;
    assign fetch_address = {fetch_word, 2'b00};
    assign data_request = data_cycle && data_strobe && !data_valid;
    assign data_address = {data_word, 2'b00};

    VexRiscv core (
        .externalResetVector(32'h80), .timerInterrupt(1'b0), .softwareInterrupt(1'b0), .externalInterruptArray(32'd0),
        .iBusWishbone_CYC(fetch_cycle), .iBusWishbone_STB(fetch_strobe), .iBusWishbone_ACK(fetch_valid),
        .iBusWishbone_WE(), .iBusWishbone_ADR(fetch_word), .iBusWishbone_DAT_MISO(fetch_data),
        .iBusWishbone_DAT_MOSI(), .iBusWishbone_SEL(), .iBusWishbone_ERR(1'b0), .iBusWishbone_CTI(),
        .iBusWishbone_BTE(),
        .dBusWishbone_CYC(data_cycle), .dBusWishbone_STB(data_strobe), .dBusWishbone_ACK(data_valid),
        .dBusWishbone_WE(data_write), .dBusWishbone_ADR(data_word), .dBusWishbone_DAT_MISO(data_load),
        .dBusWishbone_DAT_MOSI(data_store), .dBusWishbone_SEL(data_enable), .dBusWishbone_ERR(1'b0),
        .dBusWishbone_CTI(), .dBusWishbone_BTE(),
        .clk, .reset(!core_resetn)
    );

    assign data_is_fetch = 1'b0;

    mcu_system system (.*);
endmodule
