// The sum of COUNT numbers of BITS bits.

module total #(
    parameter int COUNT = 4,
    parameter int BITS = 3
) (
    input  logic [COUNT*BITS-1:0] numbers,
    output logic [15:0]           sum
);

  function automatic logic [15:0] sum_of(input logic [COUNT*BITS-1:0] of);
    sum_of = '0;
    for (int k = 0; k < COUNT; k++) sum_of = sum_of + 16'(of[k*BITS+:BITS]);
  endfunction

  assign sum = sum_of(numbers);

endmodule
