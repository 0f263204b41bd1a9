// Words of a layer's descriptor, 32 bits each, and the bits of its flags. See README.md.

package layer_fields;
  localparam int KIND = 0;              // 0 bundle, 1 depthwise, 2 pointwise
  localparam int FLAGS = 1;
  localparam int GROUPS_IN = 2;
  localparam int GROUPS_OUT = 3;
  localparam int HEIGHT = 4;            // of a frame of the map that is computed
  localparam int WIDTH = 5;
  localparam int TILE_HEIGHT = 6;
  localparam int TILE_WIDTH = 7;
  localparam int PITCH_Y = 8;
  localparam int PITCH_X = 9;
  localparam int FRAMES_Y = 10;
  localparam int FRAMES_X = 11;
  localparam int SOURCE = 12;           // address of the map; of an image in bytes
  localparam int SOURCE_GROUPS = 13;    // that a frame of it has
  localparam int TARGET = 14;
  localparam int TARGET_GROUPS = 15;
  localparam int TARGET_FIRST = 16;     // first group that is written
  localparam int POOLED = 17;
  localparam int DW_WEIGHTS = 18;
  localparam int PW_WEIGHTS = 19;
  localparam int TILES_Y = 20;          // of a frame; of all frames where they are joined
  localparam int TILES_X = 21;
  localparam int WORDS = 22;

  localparam int OVERLAP = 0;
  localparam int JOINED = 1;
  localparam int IMAGE = 2;
  localparam int REORDER = 3;
  localparam int RELU = 4;
  localparam int STORED = 5;
  localparam int STORED_POOLED = 6;
endpackage
