"""The shared memory model: levels, ports, and what moving bits through them takes.

Every accelerator describes its memories with `MemoryLevel` and asks nothing else of this module; the engine turns
the bits a task moves into time. Off-chip DRAM is a level of kind DRAM, timed by its part's timing set
(see `hwsim.dram`); the other kinds move a word a cycle. All of it is plain numbers in named tuples, so the same
functions run in a single run and compiled in a sweep.
"""

from __future__ import annotations

from typing import NamedTuple

from hwsim.dram import Dram, first_access_ps, transfer_ps
from hwsim.pure import ceil_div, cycles_to_ps, pure

REGISTER_FILE, SRAM, BRAM, FLASH, DRAM = range(5)
LEVEL_KINDS = ("register file", "SRAM", "BRAM", "flash", "DRAM")


class Unit(NamedTuple):
    """Something that computes, one task at a time. `macs_per_cycle` is its peak, 0 where it multiplies nothing."""

    clock_khz: int
    macs_per_cycle: int = 0


class MemoryLevel(NamedTuple):
    """One memory: a register file, SRAM, block RAM, flash, or off-chip DRAM.

    `slots` is how many transfer chunks fit in the buffer that this level's loads fill (2: double buffering,
    1: load, then compute). `shared_port` is 1 when reads and writes take turns on one port. `channels` counts the
    DRAM channels used side by side (1 for every other kind); bits per cycle are those of all channels together.
    """

    kind: int
    capacity_bits: int
    read_bits_per_cycle: int
    write_bits_per_cycle: int
    clock_khz: int
    latency_cycles: int = 1
    shared_port: int = 1
    slots: int = 2
    channels: int = 1


@pure
def port_ps(level: MemoryLevel, bits: int, bits_per_cycle: int) -> int:
    """Picoseconds a port of `bits_per_cycle` is busy moving `bits`: whole cycles at the level's clock."""
    return cycles_to_ps(ceil_div(bits, bits_per_cycle), level.clock_khz)


@pure
def level_ps(level: MemoryLevel, dram: Dram, bits: int, runs: int, write: int) -> int:
    """Picoseconds `level` is busy moving `bits` in `runs` contiguous runs (`write` is 1 for a write, else 0).

    A DRAM level takes what its part takes, refresh included (`hwsim.dram.transfer_ps`); any other level takes whole
    words at its clock, wherever they lie. Latency is not part of it: see `latency_ps`.
    """
    if level.kind == DRAM:
        return transfer_ps(dram, level.channels, bits, runs, 1, write)
    if write == 1:
        return port_ps(level, bits, level.write_bits_per_cycle)
    return port_ps(level, bits, level.read_bits_per_cycle)


@pure
def latency_ps(level: MemoryLevel, dram: Dram) -> int:
    """Picoseconds from asking an idle `level` for a word to having it."""
    if level.kind == DRAM:
        return first_access_ps(dram)
    return cycles_to_ps(level.latency_cycles, level.clock_khz)


@pure
def peak_bits_per_s(level: MemoryLevel, write: int) -> int:
    """Bits a second through one port of `level` when nothing is ever in the way."""
    if write == 1:
        return level.write_bits_per_cycle * level.clock_khz * 1000
    return level.read_bits_per_cycle * level.clock_khz * 1000


@pure
def dram_level(dram: Dram, channels: int, capacity_bits: int, slots: int) -> MemoryLevel:
    """`channels` channels of `dram` as one memory level: reads and writes share the data bus.

    Its bits per cycle are the peak of all channels at the part's command clock.
    """
    bits_per_cycle = channels * (dram.burst_bits // dram.burst_cycles)
    latency_cycles = dram.rcd_cycles + dram.cl_cycles + dram.burst_cycles
    return MemoryLevel(
        DRAM, capacity_bits, bits_per_cycle, bits_per_cycle, dram.clock_khz, latency_cycles, 1, slots, channels
    )


@pure
def sram_level(capacity_bits: int, bits_per_cycle: int, clock_khz: int, slots: int, shared_port: int) -> MemoryLevel:
    """On-chip SRAM that moves `bits_per_cycle` a cycle each way (in turns when `shared_port` is 1), a cycle after the
    asking."""
    return MemoryLevel(SRAM, capacity_bits, bits_per_cycle, bits_per_cycle, clock_khz, 1, shared_port, slots)
