"""Multiply-accumulate units in the soft logic of an FPGA."""
