"""Systolic arrays: R x C multipliers in three dataflows, three double-buffered SRAMs, a vector unit and DRAM."""
