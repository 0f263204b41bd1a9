// For the bench only: the command memory, which is read without delay. See README.md for the records.

module bench_commands #(
    parameter int macs = 16,
    parameter int sets = 4,
    parameter int WORDS = 1 << 16,
    localparam int RECORD = 18 + 2 * sets
) (
    input  logic               clk,
    input  logic               start,
    input  logic [31:0]        case_id,
    input  logic [15:0]        commands,
    // the next piece to load
    input  logic               load_take,
    output logic               load_exists,
    output logic [15:0]        load_piece,
    output logic [31:0]        load_address,
    output logic [31:0]        load_bits,
    output logic               load_first,          // of its product
    // the next piece to hold the array, and what is known of it once it does
    input  logic               hold_take,
    output logic               next_exists,
    output logic               next_waits,
    output logic               next_dense,
    output logic               next_first,
    output logic [15:0]        piece,
    output logic               opens,
    output logic               closes,
    output logic               dense,
    output logic               last_of_product,
    output logic [15:0]        rows,
    output logic [15:0]        outputs,
    output logic [15:0]        depth,
    output logic [15:0]        columns,
    output logic [31:0]        input_base,
    output logic [31:0]        input_stride,
    output logic [31:0]        output_base,
    output logic [31:0]        output_stride,
    output logic [31:0]        order,
    output logic [3:0]         length_bits,
    output logic [3:0]         row_bits,
    output logic [15:0]        head_count,
    output logic [15:0]        kv,
    output logic [15:0]        reduction,
    output logic [31:0]        matrix_base,
    output logic [sets*19-1:0] starts,
    output logic [sets*24-1:0] entries,
    // order table
    input  logic [31:0]        order_address,
    input  logic [15:0]        order_count,
    output logic [macs*32-1:0] order_words
);

  logic [31:0] words [0:WORDS-1];
  logic [15:0] loaded [0:WORDS-1];                  // pieces that are loaded, in order
  logic [15:0] load_count, load_next, hold_next;
  string       folder;

  initial if (!$value$plusargs("images=%s", folder)) folder = ".";

  // Reads the memory and lists the pieces that have weights.
  task automatic prepare;
    $readmemh($sformatf("%s/%0d.commands.hex", folder, case_id), words);
    if (commands == '0 || int'(commands) * RECORD > WORDS) $fatal(1, "%0d commands have no room", commands);
    load_count = '0;
    for (int k = 0; k < int'(commands); k++)
      if ((words[k*RECORD] & 32'd8) == '0) begin
        if (words[k*RECORD+11] > 32'd524288) $fatal(1, "a piece of %0d bits is larger than a slot", words[k*RECORD+11]);
        loaded[load_count] = 16'(k);
        load_count = load_count + 16'd1;
      end
  endtask

  always @(posedge clk)
    if (start) begin
      prepare;
      load_next <= '0;
    end else if (load_take) load_next <= load_next + 16'd1;

  logic [31:0] load_record, next_record;

  assign load_piece = loaded[load_next];
  assign load_record = 32'(load_piece) * 32'(RECORD);
  assign load_exists = load_next < load_count;
  assign load_address = words[16'(load_record+10)];
  assign load_bits = words[16'(load_record+11)];
  assign load_first = (words[16'(load_record)] & 32'd16) != '0;

  logic [5:0] next_flags;

  assign next_record = 32'(hold_next) * 32'(RECORD);
  assign next_exists = hold_next < commands;
  assign next_flags = 6'(words[16'(next_record)]);
  assign next_waits = next_flags[2];
  assign next_dense = next_flags[3];
  assign next_first = next_flags[4];

  function automatic logic [31:0] word(input logic [31:0] record, input int index);
    word = words[16'(record + 32'(index))];
  endfunction

  always_ff @(posedge clk)
    if (start) hold_next <= '0;
    else if (hold_take) begin
      hold_next <= hold_next + 16'd1;
      piece <= hold_next;
      opens <= next_flags[0];
      closes <= next_flags[1];
      dense <= next_flags[3];
      last_of_product <= next_flags[5];
      rows <= 16'(word(next_record, 1));
      outputs <= 16'(word(next_record, 2));
      depth <= 16'(word(next_record, 3));
      columns <= 16'(word(next_record, 4));
      input_base <= word(next_record, 5);
      input_stride <= word(next_record, 6);
      output_base <= word(next_record, 7);
      output_stride <= word(next_record, 8);
      order <= word(next_record, 9);
      length_bits <= 4'(word(next_record, 12));
      row_bits <= 4'(word(next_record, 13));
      head_count <= 16'(word(next_record, 14));
      kv <= 16'(word(next_record, 15));
      reduction <= 16'(word(next_record, 16));
      matrix_base <= word(next_record, 17);
    end

  for (genvar s = 0; s < sets; s++) begin : g_set
    always_ff @(posedge clk)
      if (hold_take) begin
        starts[s*19+:19] <= 19'(word(next_record, 18 + 2 * s));
        entries[s*24+:24] <= 24'(word(next_record, 19 + 2 * s));
      end
  end

  for (genvar k = 0; k < macs; k++) begin : g_order
    always_ff @(posedge clk)
      if (k < int'(order_count)) order_words[k*32+:32] <= word(order_address, k);
  end

  // Before the first start nothing is defined, and nothing is checked.
  logic begun;
  initial begun = 1'b0;
  always @(posedge clk) if (start) begun <= 1'b1;

  always @(posedge clk)
    if (begun && order_count != '0 && order_address + 32'(order_count) > 32'(WORDS))
      $fatal(1, "an order table reaches beyond the command memory");

endmodule
