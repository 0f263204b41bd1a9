"""In-order RISC-V cores: executed instructions times documented cycles, interlocks, and caches."""
