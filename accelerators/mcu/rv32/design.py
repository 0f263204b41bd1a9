"""The fields of an in-order RISC-V core."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from accelerators.mcu.quantized import KIB, Quantized
from hwsim.config import Doc, Range

BITS_PER_BYTE = 8
WORD_BITS = 32


@dataclass(frozen=True)
class Design(Quantized):
    """A core that issues one instruction at a time, its caches, and the memory it runs from.

    `<kind>_cycles`: how long an instruction keeps the next from issuing, all of its inputs being there.
    `<kind>_use_cycles`: how much longer it takes if the very next instruction needs the result; an instruction later,
    one less. Without a cache a load or store takes what its `_cycles` say and every fetch is in time.
    """

    clock_khz: Annotated[int, Range(1_000, 10_000_000), Doc("clock of core and memory")]
    alu_cycles: Annotated[int, Range(1, 64), Doc("additions, logic, comparisons, constants")]
    shift_cycles: Annotated[int, Range(1, 64), Doc("shifts")]
    multiply_cycles: Annotated[int, Range(1, 64), Doc("low word of a product")]
    multiply_high_cycles: Annotated[int, Range(1, 128), Doc("high word of a product")]
    divide_cycles: Annotated[int, Range(1, 128), Doc("quotients and remainders")]
    dot_cycles: Annotated[int, Range(1, 64), Doc("packed dot products")]
    load_cycles: Annotated[int, Range(1, 64), Doc("loads, from the cache if there is one")]
    store_cycles: Annotated[int, Range(1, 64), Doc("stores")]
    taken_back_cycles: Annotated[int, Range(1, 64), Doc("branches backwards, taken")]
    taken_ahead_cycles: Annotated[int, Range(1, 64), Doc("branches forwards, taken")]
    passed_back_cycles: Annotated[int, Range(1, 64), Doc("branches backwards, not taken")]
    passed_ahead_cycles: Annotated[int, Range(1, 64), Doc("branches forwards, not taken")]
    jump_cycles: Annotated[int, Range(1, 64), Doc("jumps to a fixed address")]
    jump_register_cycles: Annotated[int, Range(1, 64), Doc("jumps to an address in a register, as returns are")]
    shift_use_cycles: Annotated[int, Range(0, 8), Doc("wait for the result of a shift")]
    multiply_use_cycles: Annotated[int, Range(0, 8), Doc("wait for a product")]
    load_use_cycles: Annotated[int, Range(0, 8), Doc("wait for what was loaded")]
    jump_register_use_cycles: Annotated[int, Range(0, 8), Doc("wait of a jump for its address, whoever makes it")]
    divide_use_cycles: Annotated[int, Range(0, 8), Doc("wait for a quotient or remainder")]
    store_bus_cycles: Annotated[int, Range(0, 64), Doc("a store keeps the bus this long; 0: no longer than itself")]
    store_slots: Annotated[int, Range(0, 64), Doc("stores that may be under way, the one on the bus among them")]
    icache_bits: Annotated[int, Range(0, 1 << 24), Doc("instruction cache of one way; 0: none")]
    dcache_bits: Annotated[int, Range(0, 1 << 24), Doc("data cache of one way, written through; 0: none")]
    line_bits: Annotated[int, Range(32, 4096), Doc("line of both caches")]
    fetch_miss_cycles: Annotated[int, Range(0, 1024), Doc("wait for a line of instructions")]
    load_miss_cycles: Annotated[int, Range(0, 1024), Doc("wait for a line of data")]
    scratch_bits: Annotated[int, Range(KIB, 1 << 36), Doc("RAM for stack and im2col columns")]
    packed_dots: Annotated[bool, Doc("whole networks run kernels of packed dot products (XPULP)")]
    core_pj_per_cycle: Annotated[float, Range(0.0, 10_000.0), Doc("energy of the core in a cycle")]
    core_mm2: Annotated[float, Range(0.0, 100.0), Doc("area of the core without its memories")]

    def problems(self) -> Iterable[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy) of each one broken."""
        yield from self.width_problems()
        for key, bits in (("icache", self.icache_bits), ("dcache", self.dcache_bits)):
            if bits % self.line_bits:
                yield key, "a cache must be a whole number of lines", "Give a multiple of `line`."
        if self.line_bits % WORD_BITS:
            yield "line", "a line must be whole words of 32 bits", "256 bits is usual."
