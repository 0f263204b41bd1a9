// Drains accumulators: writes the results of rows, or sets their sums aside, one row after the other.
//
// A row's job is queued at its end and begins in the cycle after, or after the one before it. The accumulators and what
// is behind them come LATENCY cycles later, as the sums do, so the controls that go there are delayed; results are rounded when they are
// read, and written a cycle later.

module writer #(
    parameter int WAYS = 4,
    parameter int sets = 4,
    parameter int HALF_BITS = 3,
    parameter int LATENCY = 4,
    localparam int COUNT_BITS = $clog2(WAYS + 1)
) (
    input  logic                   clk,
    input  logic                   reset,
    // a job
    input  logic                   push,
    input  logic                   push_results,       // else its sums are set aside
    input  logic                   push_ends_product,
    input  logic [HALF_BITS-1:0]   push_half,
    input  logic [15:0]            push_depth,
    input  logic [15:0]            push_outputs,
    input  logic [31:0]            push_address,       // of results: the row's; of sums: the row's in each set
    input  logic [31:0]            push_order,
    output logic [HALF_BITS:0]     waiting,            // jobs at the beginning of this cycle, that being done included
    output logic                   completes,          // one of them ends with this cycle
    // to the accumulators
    output logic [COUNT_BITS-1:0]  drain_count,
    output logic                   drain_results,
    output logic [HALF_BITS-1:0]   drain_half,
    output logic [15:0]            drain_row,
    output logic [31:0]            drain_address,
    output logic [15:0]            drain_words,        // of all sets
    output logic [31:0]            order_address,
    output logic [15:0]            order_count,
    // a cycle later
    output logic [15:0]            write_count,
    output logic [31:0]            write_base,
    output logic                   product_done
);

  localparam int JOB_BITS = 2 + HALF_BITS + 16 + 16 + 32 + 32;

  logic [JOB_BITS-1:0]   jobs [0:(1<<HALF_BITS)-1];
  logic [HALF_BITS-1:0]  head, tail;

  always_ff @(posedge clk)
    if (reset) begin
      head <= '0;
      tail <= '0;
      waiting <= '0;
    end else begin
      if (push) jobs[tail] <= {push_results, push_ends_product, push_half, push_depth, push_outputs, push_address, push_order};
      tail <= tail + HALF_BITS'(push);
      head <= head + HALF_BITS'(completes);
      waiting <= waiting + (HALF_BITS + 1)'(push) - (HALF_BITS + 1)'(completes);
    end

  logic                  results, ends_product;
  logic [HALF_BITS-1:0]  half;
  logic [15:0]           depth, outputs, first, position, moved, existing;
  logic [31:0]           address, order;
  logic [COUNT_BITS-1:0] count;

  assign {results, ends_product, half, depth, outputs, address, order} = jobs[head];

  pace #(.WAYS(WAYS)) pace_of_drain (
      .clk, .reset, .active(waiting != '0), .results, .words(depth), .first, .count, .last(completes)
  );

  // Of the positions that the last rows have, some may be beyond the outputs of the tile.
  assign position = first * 16'(sets);
  assign moved = 16'(count) * 16'(sets);
  assign existing = count == '0 ? '0 : (position + moved > outputs ? outputs - position : moved);

  logic        drain_ends_product;
  logic [31:0] drain_order;

  delay #(.BITS(COUNT_BITS + 2 + HALF_BITS + 16 + 32 + 16 + 32), .CYCLES(LATENCY)) pipeline (
      .clk, .reset,
      .in({count, results, ends_product && completes, half, first, address, existing, order + 32'(position)}),
      .out({drain_count, drain_results, drain_ends_product, drain_half, drain_row, drain_address, drain_words, drain_order})
  );

  assign order_address = drain_order;
  assign order_count = drain_results ? drain_words : '0;

  always_ff @(posedge clk) begin
    write_count <= reset ? '0 : order_count;
    write_base <= drain_address;
    product_done <= !reset && drain_results && drain_ends_product;
  end

endmodule
