// Steps through the cells of a tile's buffer, its border included, row by row, and says which pixel each cell is.

module tile_cells (
    input  logic                                 clk,
    input  logic                                 reset,
    input  logic                                 step,           // to the next cell; after the last, to the first
    input  logic [layer_fields::WORDS*32-1:0]    descriptor,
    input  logic [15:0]                          tile_y,
    input  logic [15:0]                          tile_x,
    input  logic [15:0]                          frame_y,        // of a split layer
    input  logic [15:0]                          frame_x,
    output logic [15:0]                          cell_y,
    output logic [15:0]                          cell_x,
    output logic                                 last,
    output logic                                 in_frame,         // a pixel of a frame
    output logic                                 interior,       // no cell of the border
    output logic                                 own,            // of the pitch, so that it is this tile's to store
    output logic [31:0]                          frame,
    output logic [31:0]                          pixel_y,
    output logic [31:0]                          pixel_x
);
  import layer_fields::*;

  // Rows and columns since the border of the frame; frames since the first of a joined tile.
  logic [15:0] row, column, next_frame_y, next_frame_x;
  logic        joined, last_x, last_y;
  logic [31:0] height, width, tile_height, tile_width, origin_y, origin_x;

  assign joined = descriptor[FLAGS*32+JOINED];
  assign height = descriptor[HEIGHT*32+:32];
  assign width = descriptor[WIDTH*32+:32];
  assign tile_height = descriptor[TILE_HEIGHT*32+:32];
  assign tile_width = descriptor[TILE_WIDTH*32+:32];

  assign last_x = 32'(cell_x) == tile_width + 32'd1;
  assign last_y = 32'(cell_y) == tile_height + 32'd1;
  assign last = last_x && last_y;

  always_ff @(posedge clk)
    if (reset || (step && last)) begin
      cell_y <= '0;
      cell_x <= '0;
      row <= '0;
      column <= '0;
      next_frame_y <= '0;
      next_frame_x <= '0;
    end else if (step && last_x) begin
      cell_x <= '0;
      column <= '0;
      next_frame_x <= '0;
      cell_y <= cell_y + 16'd1;
      row <= joined && 32'(row) == height + 32'd1 ? '0 : row + 16'd1;
      if (joined && 32'(row) == height + 32'd1) next_frame_y <= next_frame_y + 16'd1;
    end else if (step) begin
      cell_x <= cell_x + 16'd1;
      column <= joined && 32'(column) == width + 32'd1 ? '0 : column + 16'd1;
      if (joined && 32'(column) == width + 32'd1) next_frame_x <= next_frame_x + 16'd1;
    end

  assign origin_y = joined ? '0 : 32'(tile_y) * descriptor[PITCH_Y*32+:32];
  assign origin_x = joined ? '0 : 32'(tile_x) * descriptor[PITCH_X*32+:32];
  assign pixel_y = origin_y + 32'(row) - 32'd1;
  assign pixel_x = origin_x + 32'(column) - 32'd1;
  assign frame = joined ? 32'(next_frame_y) * descriptor[FRAMES_X*32+:32] + 32'(next_frame_x)
                        : 32'(frame_y) * descriptor[FRAMES_X*32+:32] + 32'(frame_x);

  // A pixel before the first one is a very large number.
  assign in_frame = pixel_y < height && pixel_x < width;
  assign interior = cell_y != '0 && cell_x != '0 && !last_x && !last_y;
  assign own = interior && (joined || (32'(cell_y) <= descriptor[PITCH_Y*32+:32] && 32'(cell_x) <= descriptor[PITCH_X*32+:32]));

endmodule
