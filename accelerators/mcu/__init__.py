"""Neural networks on microcontrollers: C kernels in 8, 4 and 2 bits, counted instruction by instruction."""
