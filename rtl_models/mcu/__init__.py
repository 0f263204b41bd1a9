"""RISC-V cores, unmodified from their Python packages, that run the kernels of `accelerators.mcu`."""
