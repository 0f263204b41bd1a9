// Behavioural models of AMD's look-up tables and wide multiplexers, for simulators.
// A tool that defines SYNTHESIS, or a user who defines HWSIM_VENDOR_PRIMITIVES, has models of its own.
`ifndef SYNTHESIS
`ifndef HWSIM_VENDOR_PRIMITIVES
`ifndef HWSIM_PRIMITIVES
`define HWSIM_PRIMITIVES
module LUT1 #(parameter [1:0] INIT = 2'd0) (output wire O, input wire I0);
    assign O = INIT[{I0}];
endmodule

module LUT2 #(parameter [3:0] INIT = 4'd0) (output wire O, input wire I0, I1);
    assign O = INIT[{I1, I0}];
endmodule

module LUT3 #(parameter [7:0] INIT = 8'd0) (output wire O, input wire I0, I1, I2);
    assign O = INIT[{I2, I1, I0}];
endmodule

module LUT4 #(parameter [15:0] INIT = 16'd0) (output wire O, input wire I0, I1, I2, I3);
    assign O = INIT[{I3, I2, I1, I0}];
endmodule

module LUT5 #(parameter [31:0] INIT = 32'd0) (output wire O, input wire I0, I1, I2, I3, I4);
    assign O = INIT[{I4, I3, I2, I1, I0}];
endmodule

module LUT6 #(parameter [63:0] INIT = 64'd0) (output wire O, input wire I0, I1, I2, I3, I4, I5);
    assign O = INIT[{I5, I4, I3, I2, I1, I0}];
endmodule

module MUXF7 (output wire O, input wire I0, I1, S);
    assign O = S ? I1 : I0;
endmodule

module MUXF8 (output wire O, input wire I0, I1, S);
    assign O = S ? I1 : I0;
endmodule

`endif
`endif
`endif
