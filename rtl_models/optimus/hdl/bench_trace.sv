// For the bench only: with +trace, writes the events of a run to FOLDER/<case_id>.trace, "cycle name number ..." a line.

module bench_trace #(
    parameter int sets = 4,
    parameter int COUNT_BITS = 3
) (
    input  logic                        clk,
    input  logic                        start,
    input  logic                        finish,
    input  logic [31:0]                 case_id,
    input  logic                        counting,
    input  logic [47:0]                 cycle,
    input  logic                        load,
    input  logic [15:0]                 load_piece,
    input  logic                        load_complete,      // the piece is ready in the next cycle
    input  logic                        take,               // a piece holds the array from the next cycle on
    input  logic                        begin_row,
    input  logic [15:0]                 piece,
    input  logic [15:0]                 row,
    input  logic [sets*COUNT_BITS-1:0]  issued,
    input  logic                        move,
    input  logic [15:0]                 base_after,
    input  logic                        piece_end,
    input  logic                        product_done
);

  string       folder;
  logic        enabled, hold_begins, row_begins, ready;
  logic [15:0] products;
  logic [15:0] pieces [0:3];                // being loaded, in order
  logic [1:0]  loading, completed;
  int          file;

  initial begin
    if (!$value$plusargs("images=%s", folder)) folder = ".";
    enabled = $test$plusargs("trace") != 0;
    file = 0;
  end

  always_ff @(posedge clk) begin
    hold_begins <= take;
    row_begins <= begin_row;
    ready <= load_complete;
    if (start) begin
      loading <= '0;
      completed <= '0;
      products <= '0;
    end else begin
      if (load) begin
        pieces[loading] <= load_piece;
        loading <= loading + 2'd1;
      end
      if (ready) completed <= completed + 2'd1;
      if (product_done) products <= products + 16'd1;
    end
  end

  always @(posedge clk) begin
    if (start && enabled) begin
      if (file != 0) $fclose(file);
      file = $fopen($sformatf("%s/%0d.trace", folder, case_id), "w");
    end
    if (enabled && counting) begin
      if (load) $fwrite(file, "%0d load %0d\n", cycle, load_piece);
      if (ready) $fwrite(file, "%0d ready %0d\n", cycle, pieces[completed]);
      if (hold_begins) $fwrite(file, "%0d hold %0d\n", cycle, piece);
      if (row_begins) $fwrite(file, "%0d row %0d %0d\n", cycle, piece, row);
      for (int s = 0; s < sets; s++)
        if (issued[s*COUNT_BITS+:COUNT_BITS] != '0)
          $fwrite(file, "%0d take %0d %0d %0d %0d\n", cycle, piece, row, s, issued[s*COUNT_BITS+:COUNT_BITS]);
      if (move) $fwrite(file, "%0d base %0d %0d %0d\n", cycle, piece, row, base_after);
      if (piece_end) $fwrite(file, "%0d free %0d\n", cycle, piece);
      if (product_done) $fwrite(file, "%0d done %0d\n", cycle, products);
    end
    if (finish && enabled) begin
      $fclose(file);
      file = 0;
    end
  end

endmodule
