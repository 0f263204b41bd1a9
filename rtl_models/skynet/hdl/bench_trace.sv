// For the bench only: with +trace, writes the events of a run to FOLDER/<case_id>.trace, "cycle name number ..." a line.

module bench_trace (
    input  logic        clk,
    input  logic        start,
    input  logic        finish,
    input  logic [31:0] case_id,
    input  logic        counting,
    input  logic [47:0] cycle,
    input  logic        load,
    input  logic [31:0] load_command,
    input  logic        load_complete,
    input  logic [47:0] load_ready,               // with it: the cycle in which the load can be used
    input  logic        work,
    input  logic        work_last,
    input  logic        store,
    input  logic        command_done,
    input  logic [31:0] work_command,
    input  logic        layer_done,
    input  logic [15:0] layer
);

  string       folder;
  logic        enabled;
  logic [1:0]  waiting;
  logic [47:0] ready_at [0:1];
  logic [31:0] completed, announced;
  int          file;

  initial begin
    if (!$value$plusargs("images=%s", folder)) folder = ".";
    enabled = $test$plusargs("trace") != 0;
    file = 0;
  end

  logic ready;
  assign ready = waiting[announced[0]] && ready_at[announced[0]] == cycle;

  always_ff @(posedge clk)
    if (start) begin
      waiting <= '0;
      completed <= '0;
      announced <= '0;
    end else begin
      if (ready) begin
        waiting[announced[0]] <= 1'b0;
        announced <= announced + 32'd1;
      end
      if (load_complete) begin
        waiting[completed[0]] <= 1'b1;
        ready_at[completed[0]] <= load_ready;
        completed <= completed + 32'd1;
      end
    end

  always @(posedge clk) begin
    if (start && enabled) begin
      if (file != 0) $fclose(file);
      file = $fopen($sformatf("%s/%0d.trace", folder, case_id), "w");
    end
    if (enabled && counting) begin
      if (ready) $fwrite(file, "%0d ready %0d\n", cycle, announced);
      if (load) $fwrite(file, "%0d load %0d\n", cycle, load_command);
      if (work) $fwrite(file, "%0d work %0d\n", cycle, work_command);
      if (work_last) $fwrite(file, "%0d free %0d\n", cycle, work_command);
      if (store) $fwrite(file, "%0d store %0d\n", cycle, work_command);
      if (command_done) $fwrite(file, "%0d done %0d\n", cycle, work_command);
      if (layer_done) $fwrite(file, "%0d layer %0d\n", cycle, layer);
    end
    if (finish && enabled) begin
      $fclose(file);
      file = 0;
    end
  end

endmodule
