// For the bench only: with +trace, writes the events of a run to FOLDER/<case_id>.trace, "cycle name number" a line.

module bench_trace (
    input  logic        clk,
    input  logic        start,
    input  logic        finish,
    input  logic [31:0] case_id,
    input  logic [47:0] cycle,
    input  logic        load,                       // the first weight of a fold enters
    input  logic        stream,                     // the first vector of a fold enters
    input  logic        left                        // with the end of the last cycle a fold's last slot had left
);

  string       folder;
  logic        enabled;
  logic [31:0] loads, streams, gone;
  int          file;

  initial begin
    if (!$value$plusargs("images=%s", folder)) folder = ".";
    enabled = $test$plusargs("trace") != 0;
    file = 0;
  end

  always_ff @(posedge clk)
    if (start) begin
      loads <= '0;
      streams <= '0;
      gone <= '0;
    end else begin
      loads <= loads + 32'(load);
      streams <= streams + 32'(stream);
      gone <= gone + 32'(left);
    end

  always @(posedge clk) begin
    if (start && enabled) begin
      if (file != 0) $fclose(file);
      file = $fopen($sformatf("%s/%0d.trace", folder, case_id), "w");
    end
    if (enabled && file != 0 && !start) begin
      if (left) $fwrite(file, "%0d left %0d\n", cycle - 48'd1, gone);
      if (load) $fwrite(file, "%0d load %0d\n", cycle, loads);
      if (stream) $fwrite(file, "%0d stream %0d\n", cycle, streams);
    end
    if (finish && enabled) begin
      $fclose(file);
      file = 0;
    end
  end

endmodule
