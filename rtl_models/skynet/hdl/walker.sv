// The tile sequencer: walks through layers, frames, tiles, and the commands of a tile, one at each `advance`. There are two,
// one for loads and one for work.

module walker (
    input  logic                              clk,
    input  logic                              reset,
    input  logic [15:0]                       layers,
    input  logic                              advance,
    output logic [15:0]                       layer,
    input  logic [layer_fields::WORDS*32-1:0] descriptor,         // of this layer
    output logic                              exists,
    output logic [31:0]                       command,
    output logic                              opens_layer,
    output logic                              closes_layer,
    output logic                              slot,
    output logic                              depthwise,
    output logic                              first_group,
    output logic                              last_group,
    output logic [15:0]                       group_in,
    output logic [15:0]                       group_out,
    output logic [15:0]                       frame_y,
    output logic [15:0]                       frame_x,
    output logic [15:0]                       tile_y,
    output logic [15:0]                       tile_x
);
  import layer_fields::*;

  logic bundle, joined, second_part, last_of_part, last_of_tile, last_tile_x, last_tile_y, last_frame_x, last_frame_y;

  assign bundle = descriptor[KIND*32+:2] == 2'd0;
  assign joined = descriptor[FLAGS*32+JOINED];
  assign depthwise = bundle ? !second_part : descriptor[KIND*32+:2] == 2'd1;

  assign exists = layer < layers;
  assign first_group = group_in == '0;
  assign last_group = 32'(group_in) + 32'd1 == descriptor[GROUPS_IN*32+:32];
  assign last_of_part = last_group && (depthwise || 32'(group_out) + 32'd1 == descriptor[GROUPS_OUT*32+:32]);
  assign last_of_tile = last_of_part && !(bundle && depthwise);
  assign last_tile_x = 32'(tile_x) + 32'd1 == descriptor[TILES_X*32+:32];
  assign last_tile_y = 32'(tile_y) + 32'd1 == descriptor[TILES_Y*32+:32];
  assign last_frame_x = joined || 32'(frame_x) + 32'd1 == descriptor[FRAMES_X*32+:32];
  assign last_frame_y = joined || 32'(frame_y) + 32'd1 == descriptor[FRAMES_Y*32+:32];
  assign closes_layer = last_of_tile && last_tile_x && last_tile_y && last_frame_x && last_frame_y;

  always_ff @(posedge clk)
    if (reset) begin
      layer <= '0;
      command <= '0;
      opens_layer <= 1'b1;
      slot <= 1'b0;
      second_part <= 1'b0;
      group_in <= '0;
      group_out <= '0;
      tile_x <= '0;
      tile_y <= '0;
      frame_x <= '0;
      frame_y <= '0;
    end else if (advance) begin
      command <= command + 32'd1;
      opens_layer <= closes_layer;
      slot <= !closes_layer && descriptor[FLAGS*32+OVERLAP] && !slot;
      group_in <= last_group ? '0 : group_in + 16'd1;
      if (last_group) begin
        group_out <= last_of_part ? '0 : group_out + 16'd1;
        second_part <= bundle && (depthwise || !last_of_part);
      end
      if (last_of_tile) begin
        tile_x <= last_tile_x ? '0 : tile_x + 16'd1;
        if (last_tile_x) tile_y <= last_tile_y ? '0 : tile_y + 16'd1;
        if (last_tile_x && last_tile_y) frame_x <= last_frame_x ? '0 : frame_x + 16'd1;
        if (last_tile_x && last_tile_y && last_frame_x) frame_y <= last_frame_y ? '0 : frame_y + 16'd1;
      end
      if (closes_layer) layer <= layer + 16'd1;
    end

endmodule
