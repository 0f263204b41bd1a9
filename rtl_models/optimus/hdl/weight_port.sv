// The weight port: loads pieces in order into the slots of the weight buffer.
//
// A burst of 64 bits is four beats of 16 bits on its channel. The bursts of a piece are dealt to all channels in turn, so a
// group of `channels` bursts takes four cycles. A beat is written into the buffer LATENCY cycles after it was on the port.
// A load begins as soon as the port and a slot are free.

module weight_port #(
    parameter int LATENCY = 12
) (
    input  logic        clk,
    input  logic        reset,
    input  logic        active,             // from the cycle before cycle 0 on
    input  logic [15:0] channels,
    input  logic        overlap,            // two slots
    // the next piece to load
    input  logic        next_exists,
    input  logic [31:0] next_address,
    input  logic [31:0] next_bits,
    output logic        take,               // its load begins in the next cycle
    input  logic        free,               // a slot is used no longer after this cycle
    // beats
    output logic        begins,             // first cycle of a load
    output logic [15:0] read_bits,          // bits on the port in this cycle
    output logic        write,
    output logic        write_slot,
    output logic [14:0] write_address,
    output logic [8:0]  write_channels,
    output logic [15:0] write_bits,
    output logic [31:0] write_source,       // address in the DRAM of the first channel's beat, in 16 bits
    output logic        write_last          // the piece is complete after this cycle
);

  typedef enum logic {IDLE, LOADING} state_t;

  state_t      state;
  logic        loading, slot, next_slot;
  logic [1:0]  slots_used, used_after;
  logic [1:0]  beat;
  logic [31:0] bits_left, source;
  logic [14:0] address;
  logic [31:0] bursts_left, group_bursts, before_tail;
  logic [15:0] beat_tail;
  logic        group_end, load_end;

  assign loading = state == LOADING;
  assign bursts_left = (bits_left + 32'd63) >> 6;
  assign group_bursts = bursts_left < 32'(channels) ? bursts_left : 32'(channels);
  assign group_end = loading && beat == 2'd3;
  assign load_end = group_end && bursts_left <= 32'(channels);
  assign used_after = slots_used - 2'(free);
  assign take = active && next_exists && (state == IDLE || load_end)
      && (used_after == 2'd0 || (overlap && used_after == 2'd1));

  // Only the last burst of a group may be short of bits.
  assign before_tail = ((group_bursts - 32'd1) << 6) + 32'({beat, 4'd0});
  assign beat_tail = bits_left <= before_tail ? '0 : (bits_left - before_tail > 32'd16 ? 16'd16 : 16'(bits_left - before_tail));
  assign read_bits = loading ? 16'((group_bursts - 32'd1) << 4) + beat_tail : '0;

  always_ff @(posedge clk)
    if (reset) begin
      state <= IDLE;
      next_slot <= 1'b0;
      slots_used <= '0;
      begins <= 1'b0;
    end else begin
      begins <= take;
      slots_used <= used_after + 2'(take);
      beat <= beat + 2'd1;
      if (group_end) begin
        bits_left <= bits_left - (group_bursts << 6);
        source <= source + (group_bursts << 2);
        address <= address + 15'(group_bursts << 2);
      end
      if (load_end) state <= IDLE;
      if (take) begin
        state <= LOADING;
        beat <= '0;
        bits_left <= next_bits;
        source <= next_address << 1;
        address <= '0;
        slot <= next_slot;
        next_slot <= overlap && !next_slot;
      end
    end

  delay #(.BITS(75), .CYCLES(LATENCY)) latency (
      .clk, .reset,
      .in({loading, load_end, slot, address + 15'(beat), 9'(group_bursts), read_bits, source + 32'(beat)}),
      .out({write, write_last, write_slot, write_address, write_channels, write_bits, write_source})
  );

endmodule
