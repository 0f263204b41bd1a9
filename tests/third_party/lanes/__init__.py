"""A row of multiply-accumulate lanes fed from DRAM through a double-buffered SRAM."""
