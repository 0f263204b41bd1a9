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

  function automatic logic [47:0] following(
      input logic [47:0] state, input logic [15:0] count, input logic [15:0] outputs);
    if (state[31:16] + 16'd1 == count) following = {state[47:32] + 16'd1, 32'd0};
    else following = {state[47:32], state[31:16] + 16'd1, state[15:0] + outputs};
  endfunction

  // The lanes of the next `columns` columns and the state behind them.
  function automatic logic [48+FETCH*32-1:0] fetched(
      input logic enable, input logic [47:0] state, input logic [15:0] columns, input logic [15:0] count,
      input logic [15:0] outputs);
    logic [47:0] at;
    at = state;
    fetched = '0;
    if (enable)
      for (int k = 0; k < FETCH && k < int'(columns); k++) begin
        fetched[k*32+:32] = {at[47:32], at[15:0]};
        at = following(at, count, outputs);
      end
    fetched[FETCH*32+:48] = at;
  endfunction

  function automatic logic [48+MOVE*32-1:0] moved(
      input logic enable, input logic [47:0] state, input logic [15:0] columns, input logic [15:0] count,
      input logic [15:0] outputs);
    logic [47:0] at;
    at = state;
    moved = '0;
    if (enable)
      for (int k = 0; k < MOVE && k < int'(columns); k++) begin
        moved[k*32+:32] = {at[47:32], at[15:0]};
        at = following(at, count, outputs);
      end
    moved[MOVE*32+:48] = at;
  endfunction

  assign {fetch_after, fetch_heads} =
      fetched(dense && fetch, fetch && fetch_first ? 48'd0 : fetch_state, fetch_columns, head_count, kv);
  assign {move_after, move_heads} = moved(dense && move, move_state, move_columns, head_count, kv);

  always_ff @(posedge clk) begin
    fetch_state <= fetch_after;
    move_state <= begin_row ? fetch_after : move_after;
  end

endmodule
