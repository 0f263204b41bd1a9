// Dense products: which element of which head a column is. Columns interleave the heads: column i * heads + h is element i of
// head h. Columns come in two streams (walker.sv), both in order, so counters do; the second stream goes on behind the
// columns that the first has brought. A lane is {element, first output of the head}.

module heads #(
    parameter int FETCH = 16,
    parameter int MOVE = 16
) (
    input  logic                 clk,
    input  logic                 dense,
    input  logic [15:0]          head_count,
    input  logic [15:0]          kv,
    input  logic                 begin_row,
    input  logic                 fetch,
    input  logic                 fetch_first,
    input  logic [15:0]          fetch_columns,     // columns that are fetched in this cycle
    output logic [FETCH*32-1:0]  fetch_heads,
    input  logic                 move,
    input  logic [15:0]          move_columns,
    output logic [MOVE*32-1:0]   move_heads
);

  // {element, head, first output of the head}: of the next column of either stream
  logic [47:0] fetch_state, fetch_after, move_state, move_after;

  function automatic logic [47:0] next(input logic [47:0] state);
    if (state[31:16] + 16'd1 == head_count) next = {state[47:32] + 16'd1, 32'd0};
    else next = {state[47:32], state[31:16] + 16'd1, state[15:0] + kv};
  endfunction

  always_comb begin
    fetch_after = fetch_state;
    fetch_heads = '0;
    if (dense && fetch) begin
      if (fetch_first) fetch_after = '0;
      for (int k = 0; k < FETCH; k++)
        if (k < int'(fetch_columns)) begin
          fetch_heads[k*32+:32] = {fetch_after[47:32], fetch_after[15:0]};
          fetch_after = next(fetch_after);
        end
    end
  end

  always_comb begin
    move_after = move_state;
    move_heads = '0;
    if (dense && move)
      for (int k = 0; k < MOVE; k++)
        if (k < int'(move_columns)) begin
          move_heads[k*32+:32] = {move_after[47:32], move_after[15:0]};
          move_after = next(move_after);
        end
  end

  always_ff @(posedge clk) begin
    fetch_state <= fetch_after;
    move_state <= begin_row ? fetch_after : move_after;
  end

endmodule
