// A set of the array without its memories: the walker, the multipliers (ways) and the reduction network.
//
// cycle t       the walker issues entries; the read side and the window register what it asked for
// t + 1         products
// then          ceil(log2 WAYS) levels of the reduction network; sums go to the accumulators in the cycle after

module sparse_set #(
    parameter int macs = 16,
    parameter int sets = 4,
    parameter int window = 8,
    localparam int WAYS = macs / sets,
    localparam int LOOK = window > 16 ? window : 16,
    localparam int FETCH = (macs < window ? macs : window) > 16 ? (macs < window ? macs : window) : 16,
    localparam int MOVE = 16,
    localparam int DEPTH = (4096 + sets - 1) / sets,
    localparam int ROW_BITS = $clog2(DEPTH),
    localparam int LENGTH_BITS = $clog2(DEPTH + 1),
    localparam int LANE_BITS = 16 + ROW_BITS + LENGTH_BITS,
    localparam int COUNT_BITS = $clog2(WAYS + 1),
    localparam int LOOK_BITS = $clog2(LOOK + 1),
    localparam int INDEX_BITS = $clog2(LOOK)
) (
    input  logic                        clk,
    input  logic                        reset,
    // the walker's
    input  logic                        begin_row,
    input  logic                        running,
    input  logic                        page,
    input  logic [23:0]                 entries,
    input  logic [INDEX_BITS-1:0]       base,
    input  logic [LOOK_BITS-1:0]        move,
    input  logic [MOVE-1:0]             move_flags,
    input  logic [MOVE*LANE_BITS-1:0]   move_lanes,
    input  logic                        fetch,
    input  logic [INDEX_BITS-1:0]       fetch_column,
    input  logic [FETCH-1:0]            fetch_flags,
    input  logic [FETCH*LANE_BITS-1:0]  fetch_lanes,
    output logic                        pending,
    output logic                        pending_after,
    output logic [LOOK_BITS-1:0]        distance,
    output logic [COUNT_BITS-1:0]       issued,
    output logic [WAYS*LOOK_BITS-1:0]   offsets,
    output logic [WAYS*ROW_BITS-1:0]    dense_rows,
    output logic [WAYS*16-1:0]          dense_elements,
    // a cycle later
    input  logic                        dense,
    input  logic [WAYS*16-1:0]          entry_values,
    input  logic [WAYS*ROW_BITS-1:0]    entry_rows,
    input  logic [WAYS*16-1:0]          matrix_elements,
    input  logic [WAYS*16-1:0]          operands,
    output logic [COUNT_BITS-1:0]       multiplied,
    // to the accumulators
    output logic [WAYS-1:0]             sum_valid,
    output logic [WAYS*ROW_BITS-1:0]    sum_rows,
    output logic [WAYS*40-1:0]          sums,
    output logic [COUNT_BITS+2:0]       merged
);

  walker #(
      .WAYS(WAYS), .WINDOW(window), .LOOK(LOOK), .FETCH(FETCH), .MOVE(MOVE), .LANE_BITS(LANE_BITS),
      .ROW_BITS(ROW_BITS), .LENGTH_BITS(LENGTH_BITS)
  ) walk (
      .clk, .reset, .begin_row, .running, .page, .entries, .base, .move, .move_flags, .move_lanes, .fetch,
      .fetch_column, .fetch_flags, .fetch_lanes, .pending, .pending_after, .distance, .issued, .offsets,
      .rows(dense_rows), .elements(dense_elements)
  );

  logic                     was_dense;
  logic [WAYS*ROW_BITS-1:0] was_dense_rows;
  logic [WAYS-1:0]          product_valid;
  logic [WAYS*ROW_BITS-1:0] product_rows;
  logic [WAYS*40-1:0]       products;

  always_ff @(posedge clk) begin
    multiplied <= reset ? '0 : issued;
    was_dense <= dense;
    was_dense_rows <= dense_rows;
    product_rows <= was_dense ? was_dense_rows : entry_rows;
  end

  for (genvar way = 0; way < WAYS; way++) begin : g_way
    logic [15:0] weight;
    assign weight = was_dense ? matrix_elements[way*16+:16] : entry_values[way*16+:16];
    always_ff @(posedge clk) product_valid[way] <= !reset && way < int'(multiplied);
    multiplier multiply (
        .clk, .weight(weight), .operand(operands[way*16+:16]), .product(products[way*40+:40])
    );
  end

  reduction #(.WAYS(WAYS), .ROW_BITS(ROW_BITS)) reduce (
      .clk, .reset, .valid(product_valid), .rows(product_rows), .products(products), .sum_valid, .sum_rows, .sums,
      .additions(merged)
  );

endmodule
