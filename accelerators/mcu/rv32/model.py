"""In-order RISC-V cores that run compiled layers: instructions times cycles, waits for operands, waits for lines.

    cycles = sum over kinds (executed x cycles) + waits + misses x wait

What a call executes comes from the compiled code itself (`accelerators.mcu.rv32.profile`); what each instruction costs
is in the design, from the documentation of its core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from accelerators.mcu.rv32.design import Design
from accelerators.mcu.rv32.profile import Call
from hwsim.energy import sram_area_mm2, sram_leakage_w, sram_read_pj_per_bit, sram_write_pj_per_bit
from hwsim.errors import bad_input
from hwsim.memory import MemoryLevel, Unit, sram_level
from hwsim.model import Action, Chunks, Parts, Program, Traffic, Violation, Work
from hwsim.pure import pure
from hwsim.result import RTL_VALIDATED, UNVALIDATED
from hwsim.workload.ir import Workload

WORD_BITS = 32
PORT_BITS = 2 * WORD_BITS
"""Instructions and data have a port each."""


class Counts(NamedTuple):
    """What one call asks for. Bits are those of the words that cross the memory's ports."""

    core_cycles: Annotated[int, Work("core")]
    chunks: Annotated[int, Chunks()]
    fetched_bits: Annotated[int, Traffic("memory", "read")]
    loaded_bits: Annotated[int, Traffic("memory", "read")]
    stored_bits: Annotated[int, Traffic("memory", "write")]
    instructions: Annotated[int, Action("core")]


class Machine(NamedTuple):
    """The core and its memory."""

    core: Unit
    memory: MemoryLevel


class Statics(NamedTuple):
    """Watts of leakage."""

    memory: float


class Areas(NamedTuple):
    """mm2."""

    core: float
    memory: float


@pure
def instructions_of(call: Call) -> int:
    """Instructions executed."""
    straight = call.alu + call.shift + call.multiply + call.multiply_high + call.divide + call.dot
    branches = call.taken_back + call.taken_ahead + call.passed_back + call.passed_ahead
    return straight + call.load + call.store + branches + call.jump + call.jump_register


@pure
def cycles_of(design: Design, call: Call) -> int:
    """Cycles from the stamp before a call to the one behind it."""
    arithmetic = (
        call.alu * design.alu_cycles
        + call.shift * design.shift_cycles
        + call.multiply * design.multiply_cycles
        + call.multiply_high * design.multiply_high_cycles
        + call.divide * design.divide_cycles
        + call.dot * design.dot_cycles
    )
    branches = (
        call.taken_back * design.taken_back_cycles
        + call.taken_ahead * design.taken_ahead_cycles
        + call.passed_back * design.passed_back_cycles
        + call.passed_ahead * design.passed_ahead_cycles
        + call.jump * design.jump_cycles
        + call.jump_register * design.jump_register_cycles
    )
    memory = call.load * design.load_cycles + call.store * design.store_cycles
    misses = call.fetch_misses * design.fetch_miss_cycles + call.load_misses * design.load_miss_cycles
    return arithmetic + branches + memory + call.wait_cycles + misses


@pure
def count(design: Design, task: Call) -> Counts:
    """One call of a layer. The stamp behind it goes to no memory."""
    executed = instructions_of(task)
    fetched = task.fetch_misses * design.line_bits if design.icache_bits > 0 else executed * WORD_BITS
    loaded = task.load_misses * design.line_bits if design.dcache_bits > 0 else task.load * WORD_BITS
    return Counts(
        core_cycles=cycles_of(design, task),
        chunks=1,
        fetched_bits=fetched,
        loaded_bits=loaded,
        stored_bits=(task.store - 1) * WORD_BITS,
        instructions=executed,
    )


class Rv32Model:
    """See the module's text."""

    name = "rv32"
    summary = "in-order RISC-V cores: PicoRV32, VexRiscv, Ibex, CV32E40P"
    Design = Design
    Counts = Counts
    kernels: ClassVar[Mapping[type, Any]] = {Call: count}
    structural = frozenset(
        name for name in Design.__dataclass_fields__ if name.endswith(("_cycles", "cache_bits", "line_bits"))
    )  # fmt: skip
    holdings: ClassVar[Mapping[type, Any]] = {}
    accuracy: ClassVar[Mapping[str, str]] = {"": UNVALIDATED, "latency": RTL_VALIDATED}

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """Whole networks need bit widths for every tensor, which a workload does not carry: refused."""
        raise bad_input(
            "not-lowered",
            workload.name,
            "this model runs single layers of quantized networks, compiled for the core",
            "Run them with `hwsim cosim`.",
        )

    @staticmethod
    @pure
    def machine(design: Design, parts: Parts) -> Machine:
        """Clock and memory."""
        return Machine(
            Unit(design.clock_khz, 1),
            sram_level(design.memory_bits, PORT_BITS, design.clock_khz, 2, 0),
        )

    @staticmethod
    @pure
    def price(design: Design, parts: Parts) -> Counts:
        """Picojoules: the core by the cycle, its memory by the bit."""
        read = sram_read_pj_per_bit(parts.node, design.memory_bits, WORD_BITS)
        return Counts(
            core_cycles=design.core_pj_per_cycle,
            chunks=0.0,
            fetched_bits=read,
            loaded_bits=read,
            stored_bits=sram_write_pj_per_bit(parts.node, design.memory_bits, WORD_BITS),
            instructions=0.0,
        )

    @staticmethod
    @pure
    def static_w(design: Design, parts: Parts) -> Statics:
        """Leakage of the memory."""
        return Statics(sram_leakage_w(parts.node, design.memory_bits))

    @staticmethod
    @pure
    def area_mm2(design: Design, parts: Parts) -> Areas:
        """Core and memory."""
        return Areas(design.core_mm2, sram_area_mm2(parts.node, design.memory_bits))

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Nothing beyond the capacities."""
        return ()


MODEL: Any = Rv32Model()
