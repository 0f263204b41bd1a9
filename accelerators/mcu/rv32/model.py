"""In-order RISC-V cores that run compiled layers: instructions times cycles, waits for operands, waits for lines.

    cycles = sum over kinds (executed x cycles) + waits + misses x wait

What a call executes comes from the compiled code itself: of a firmware from its trace (`rv32.profile`), of a layer of a
whole network as a formula of its shape (`rv32.formulas`). What each instruction costs is in the design, from the
documentation of its core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from accelerators.mcu.quantized import RULED, program_fields, violations
from accelerators.mcu.rv32.design import WORD_BITS, Design
from accelerators.mcu.rv32.profile import Call
from hwsim.energy import (
    flash_read_pj_per_bit,
    sram_area_mm2,
    sram_leakage_w,
    sram_read_pj_per_bit,
    sram_write_pj_per_bit,
)
from hwsim.memory import FLASH, MemoryLevel, Unit, sram_level
from hwsim.model import Action, Chunks, Parts, Program, Traffic, Violation, Work
from hwsim.pure import pure
from hwsim.result import UNVALIDATED
from hwsim.workload.ir import Workload

PORT_BITS = 2 * WORD_BITS
"""Instructions and data have a port each."""


class Counts(NamedTuple):
    """What one call asks for. Bits are those of the words that cross the ports: code and weights lie in flash, all else
    in RAM; on the circuits everything is loaded from one memory, and counts as RAM."""

    core_cycles: Annotated[int, Work("core")]
    chunks: Annotated[int, Chunks()]
    fetched_bits: Annotated[int, Traffic("flash", "read")]
    weights_loaded_bits: Annotated[int, Traffic("flash", "read")]
    loaded_bits: Annotated[int, Traffic("ram", "read")]
    stored_bits: Annotated[int, Traffic("ram", "write")]
    macs_executed: Annotated[int, Action("core")]
    instructions: Annotated[int, Action("core")]


class Machine(NamedTuple):
    """The core and its memories, which answer in a cycle. Columns lie in `scratch`; its traffic counts as RAM's."""

    core: Unit
    flash: MemoryLevel
    ram: MemoryLevel
    scratch: MemoryLevel


class Statics(NamedTuple):
    """Watts of leakage."""

    ram: float
    scratch: float


class Areas(NamedTuple):
    """mm2, without flash, of which no density is at hand."""

    core: float
    ram: float
    scratch: float


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
    loads = task.load - task.flash_loads
    loaded = task.load_misses * design.line_bits if design.dcache_bits > 0 else loads * WORD_BITS
    return Counts(
        core_cycles=cycles_of(design, task),
        chunks=1,
        fetched_bits=fetched,
        weights_loaded_bits=task.flash_loads * WORD_BITS,
        loaded_bits=loaded,
        stored_bits=(task.store - 1) * WORD_BITS,
        macs_executed=task.macs,
        instructions=executed,
    )


PIPELINE = frozenset(
    name for name in Design.__dataclass_fields__
    if name.endswith(("_cycles", "cache_bits", "line_bits")) or name in {"packed_dots", "store_slots"}
)  # fmt: skip
"""Fields that the profile of a firmware depends on, through its waits and misses."""

WAITS = frozenset(name for name in PIPELINE if not name.endswith("_cycles") or "_use_" in name or "_bus_" in name)
"""Those that the formulas of layers depend on."""


class Rv32Model:
    """See the module's text."""

    name = "rv32"
    summary = "in-order RISC-V cores: PicoRV32, VexRiscv, Ibex, CV32E40P"
    Design = Design
    Counts = Counts
    kernels: ClassVar[Mapping[type, Any]] = {Call: count}
    structural = PIPELINE | RULED
    holdings: ClassVar[Mapping[type, Any]] = {}
    accuracy: ClassVar[Mapping[str, str]] = {"": UNVALIDATED}
    """Cycles of single layers are held to the RTL; no whole network is, nor are clock, memories and energy."""

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """One kernel a layer, in network order. Raises InputError for a core whose cycles depend on addresses."""
        from accelerators.mcu import lowering  # NumPy is needed here alone
        from accelerators.mcu.rv32 import layers

        program = lowering.lower(workload, design, binding, layers.target_of(design))
        program.structural = WAITS | program_fields(design)
        return program

    @staticmethod
    @pure
    def machine(design: Design, parts: Parts) -> Machine:
        """Clock and memories. XPULP multiplies four pairs of bytes in an instruction."""
        return Machine(
            Unit(design.clock_khz, 4 if design.packed_dots else 1),
            MemoryLevel(FLASH, design.flash_capacity_bits, PORT_BITS, PORT_BITS, design.clock_khz),
            sram_level(design.ram_bits, PORT_BITS, design.clock_khz, 2, 0),
            sram_level(design.scratch_bits, PORT_BITS, design.clock_khz, 2, 0),
        )

    @staticmethod
    @pure
    def price(design: Design, parts: Parts) -> Counts:
        """Picojoules: the core by the cycle, its memories by the bit."""
        flash = flash_read_pj_per_bit(parts.node)
        return Counts(
            core_cycles=design.core_pj_per_cycle,
            chunks=0.0,
            fetched_bits=flash,
            weights_loaded_bits=flash,
            loaded_bits=sram_read_pj_per_bit(parts.node, design.ram_bits, WORD_BITS),
            stored_bits=sram_write_pj_per_bit(parts.node, design.ram_bits, WORD_BITS),
            macs_executed=0.0,
            instructions=0.0,
        )

    @staticmethod
    @pure
    def static_w(design: Design, parts: Parts) -> Statics:
        """Leakage of both RAMs."""
        return Statics(sram_leakage_w(parts.node, design.ram_bits), sram_leakage_w(parts.node, design.scratch_bits))

    @staticmethod
    @pure
    def area_mm2(design: Design, parts: Parts) -> Areas:
        """Core and RAMs."""
        return Areas(
            design.core_mm2, sram_area_mm2(parts.node, design.ram_bits), sram_area_mm2(parts.node, design.scratch_bits)
        )

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Which layer is to blame where flash or RAM does not suffice, with its bytes."""
        return violations(design, program)


MODEL: Any = Rv32Model()
