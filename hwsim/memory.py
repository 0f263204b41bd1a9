"""The shared memory model: levels, ports, and what moving bits through them takes.

Every accelerator describes its memories with `MemoryLevel` and asks nothing else of this module; the engine turns
the bits a task moves into time. Off-chip DRAM is a level whose `dram` carries a timing set (see `hwsim.dram`).
All of it is plain numbers in named tuples, so the same functions run in a single run and compiled in a sweep.
"""

from __future__ import annotations

from typing import NamedTuple

from hwsim.pure import ceil_div, cycles_to_ps, pure

REGISTER_FILE, SRAM, BRAM, FLASH, DRAM = range(5)
LEVEL_KINDS = ("register file", "SRAM", "BRAM", "flash", "DRAM")


class Unit(NamedTuple):
    """Something that computes, one task at a time."""

    clock_khz: int


class MemoryLevel(NamedTuple):
    """One memory: a register file, SRAM, block RAM, flash, or off-chip DRAM.

    `slots` is how many transfer chunks fit in the buffer that this level's loads fill (2: double buffering,
    1: load, then compute). `shared_port` is 1 when reads and writes take turns on one port.
    """

    kind: int
    capacity_bits: int
    read_bits_per_cycle: int
    write_bits_per_cycle: int
    clock_khz: int
    latency_cycles: int = 1
    shared_port: int = 1
    slots: int = 2


@pure
def port_ps(level: MemoryLevel, bits: int, bits_per_cycle: int) -> int:
    """Picoseconds a port of `bits_per_cycle` is busy moving `bits`: whole cycles at the level's clock."""
    return cycles_to_ps(ceil_div(bits, bits_per_cycle), level.clock_khz)
