// Leaves out what the cores have for simulation alone: checks that need UVM, tracers. First of all sources.
`define SYNTHESIS
