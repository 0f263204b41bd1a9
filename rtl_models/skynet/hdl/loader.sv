// The load of a command: bias, weights and tile from memory to a slot, a word in `beat_cycles`, or an image element in
// `image_interval`. What is asked for in a cycle is written in the next.

module loader #(
    parameter int lanes = 32
) (
    input  logic                              clk,
    input  logic                              reset,
    input  logic                              start,              // in the first cycle of a load
    output logic                              last,               // in the last
    input  logic [layer_fields::WORDS*32-1:0] descriptor,
    input  logic                              slot,
    input  logic                              depthwise,
    input  logic                              first_group,
    input  logic [15:0]                       group_in,
    input  logic [15:0]                       group_out,
    input  logic [15:0]                       frame_y,
    input  logic [15:0]                       frame_x,
    input  logic [15:0]                       tile_y,
    input  logic [15:0]                       tile_x,
    input  logic [15:0]                       beat_cycles,
    input  logic [15:0]                       image_interval,
    // memory
    output logic                              read_word,
    output logic                              read_byte,
    output logic                              absent,             // a cell outside the frames: zero, wherever it is read
    output logic                              run,                // with it, a contiguous stretch begins
    output logic [31:0]                       address,
    // buffers, a cycle later
    output logic                              write_weights,
    output logic                              write_bias,
    output logic [15:0]                       weight_word,
    output logic                              write_tile,
    output logic                              write_image,
    output logic                              write_zero,
    output logic [1:0]                        channel,
    output logic                              write_slot,
    output logic [31:0]                       cell_index
);
  import layer_fields::*;

  logic        busy, active, in_tile, has_tile, image, reorder, word_ends, weights_end, step;
  logic        last_cell, in_frame;
  logic [15:0] beat, word, weight_words, cell_x;
  logic [1:0]  plane;
  logic [31:0] frame, pixel_y, pixel_x, cells;

  assign active = busy || start;
  assign reorder = descriptor[FLAGS*32+REORDER];
  assign has_tile = depthwise || descriptor[KIND*32+:2] == 2'd2;
  assign image = depthwise && descriptor[FLAGS*32+IMAGE];

  assign weight_words = depthwise ? 16'd10 : 16'(lanes) + 16'(first_group);
  assign word_ends = active && beat == (in_tile && image ? image_interval : beat_cycles) - 16'd1;
  assign weights_end = word_ends && !in_tile && word == weight_words - 16'd1;
  assign step = word_ends && in_tile;
  assign last = in_tile ? step && last_cell && (!image || plane == 2'd2) : weights_end && !has_tile;

  always_ff @(posedge clk)
    if (reset) begin
      busy <= 1'b0;
      beat <= '0;
      word <= '0;
      in_tile <= 1'b0;
      plane <= '0;
      cells <= '0;
    end else begin
      busy <= active && !last;
      if (active) beat <= word_ends ? '0 : beat + 16'd1;
      if (word_ends && !in_tile) word <= weights_end ? '0 : word + 16'd1;
      if (weights_end) in_tile <= has_tile;
      if (step) begin
        cells <= last_cell ? '0 : cells + 32'd1;
        if (last_cell) plane <= last ? '0 : plane + 2'd1;
      end
      if (last) in_tile <= 1'b0;
    end

  tile_cells tile (
      .clk, .reset, .step, .descriptor, .tile_y, .tile_x, .frame_y, .frame_x, .cell_y(), .cell_x, .last(last_cell), .in_frame,
      .interior(), .own(), .frame, .pixel_y, .pixel_x
  );

  // A group of the reordered map is one of the source's, at every second pixel from (part / 2, part % 2) on.
  logic [31:0] groups, part, source_group, part_y, part_x, source_height, source_width;

  assign groups = descriptor[SOURCE_GROUPS*32+:32];
  assign part = !reorder ? '0 : 32'(32'(group_in) >= groups) + 32'(32'(group_in) >= 2 * groups)
                              + 32'(32'(group_in) >= 3 * groups);
  assign source_group = 32'(group_in) - part * groups;
  assign source_height = reorder ? 2 * descriptor[HEIGHT*32+:32] : descriptor[HEIGHT*32+:32];
  assign source_width = reorder ? 2 * descriptor[WIDTH*32+:32] : descriptor[WIDTH*32+:32];
  assign part_y = reorder ? 2 * pixel_y + 32'(part[1]) : pixel_y;
  assign part_x = reorder ? 2 * pixel_x + 32'(part[0]) : pixel_x;

  logic [31:0] map_address, image_address, weight_address, output_words;

  assign map_address = descriptor[SOURCE*32+:32] + ((frame * groups + source_group) * source_height + part_y) * source_width
                     + part_x;
  assign image_address = descriptor[SOURCE*32+:32] + ((frame * 32'd3 + 32'(plane)) * source_height + pixel_y) * source_width
                       + pixel_x;
  assign output_words = 32'd1 + descriptor[GROUPS_IN*32+:32] * 32'(lanes);
  assign weight_address = 32'(word) + (depthwise
      ? descriptor[DW_WEIGHTS*32+:32] + 32'd10 * 32'(group_in)
      : descriptor[PW_WEIGHTS*32+:32] + 32'(group_out) * output_words
        + (first_group ? '0 : 32'd1 + 32'(group_in) * 32'(lanes)));

  assign read_word = word_ends && !(in_tile && image);
  assign read_byte = word_ends && in_tile && image;
  assign absent = in_tile && !in_frame;
  assign run = word_ends && (in_tile ? cell_x == '0 : word == '0);
  assign address = !in_tile ? weight_address : image ? image_address : map_address;

  always_ff @(posedge clk) begin
    write_bias <= !reset && word_ends && !in_tile && (depthwise || first_group) && word == '0;
    write_weights <= !reset && word_ends && !in_tile && !((depthwise || first_group) && word == '0);
    weight_word <= depthwise || first_group ? word - 16'd1 : word;
    write_tile <= !reset && step && !image;
    write_image <= !reset && step && image;
    write_zero <= absent;
    channel <= plane;
    write_slot <= slot;
    cell_index <= cells;
  end

endmodule
