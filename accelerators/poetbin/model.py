"""PoET-BiN: a stack of linear layers replaced by a network of look-up tables on an FPGA (arXiv 2002.09794).

cycles    of the circuit's architecture page, `rtl_models/poetbin/README.md`: a sample every `beats` clocks
tables    counted in a trained network where the workload brings one of the design's shape, else of the shape
delay     levels * (t_lut + t_mux(P) + t_net); a clock that is too fast for it makes the design infeasible
energy    changes of tables and nets, clocks of registers, and the device's static power

The formulas stand in `accelerators.poetbin.tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from accelerators.poetbin import tasks
from accelerators.poetbin.design import Design
from accelerators.poetbin.lowering import SHAPE, lower
from accelerators.poetbin.tasks import Counts, Network, Registers, Tables, argmax_lut6, count, nominal_lut6
from hwsim.fpga import fabric_mm2, lut_toggle_pj, net_toggle_pj
from hwsim.memory import REGISTER_FILE, MemoryLevel, Unit
from hwsim.model import Parts, Program, Violation
from hwsim.netlist.lut6 import LUT_BITS
from hwsim.pure import pure
from hwsim.result import UNVALIDATED
from hwsim.workload.ir import Workload


class Machine(NamedTuple):
    """The block, and what it takes of the device: look-up tables (64 bits each) and flip-flops (one bit each)."""

    block: Unit
    luts: MemoryLevel
    flip_flops: MemoryLevel


class Statics(NamedTuple):
    """Watts of the configured device when nothing changes."""

    device: float


class Areas(NamedTuple):
    """mm2 of the device's fabric that a block of the design's shape takes, before simplification."""

    fabric: float


class PoetBinModel:
    """See the module's text."""

    name = "poetbin"
    summary = "classifiers of look-up tables on an FPGA, in place of linear layers (PoET-BiN)"
    Design = Design
    Counts = Counts
    tables = ("device",)
    kernels: ClassVar[Mapping[type, Any]] = {Network: count}
    structural = frozenset(SHAPE)
    holdings: ClassVar[Mapping[type, Any]] = {Tables: tasks.table_bits, Registers: tasks.register_bits}
    accuracy: ClassVar[Mapping[str, str]] = {"": UNVALIDATED}

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """One task for the stack of linear layers. Raises InputError naming what is no part of one."""
        return lower(workload, design, binding)

    @staticmethod
    @pure
    def machine(design: Design, parts: Parts) -> Machine:
        """The block's clock, and what the device holds."""
        tables, registers = parts.fpga.luts * LUT_BITS, parts.fpga.flip_flops
        return Machine(
            Unit(design.clock_khz, 0),
            MemoryLevel(REGISTER_FILE, tables, LUT_BITS, LUT_BITS, design.clock_khz),
            MemoryLevel(REGISTER_FILE, registers, 1, 1, design.clock_khz),
        )

    @staticmethod
    @pure
    def price(design: Design, parts: Parts) -> Counts:
        """Picojoules: a table's change inside it, a net's change, a clock of a register and of the tree."""
        return Counts(
            cycles=0.0,
            drain=0.0,
            chunks=0.0,
            vectors=0.0,
            beats=0.0,
            clocks=parts.fpga.clock_cycle_pj,
            register_clocks=parts.fpga.ff_clock_pj,
            lut_toggles=design.glitch_factor * lut_toggle_pj(parts.fpga),
            net_toggles=design.glitch_factor * net_toggle_pj(parts.fpga),
        )

    @staticmethod
    @pure
    def static_w(design: Design, parts: Parts) -> Statics:
        """The whole device: what is not used leaks as well."""
        return Statics(parts.fpga.static_w)

    @staticmethod
    @pure
    def area_mm2(design: Design, parts: Parts) -> Areas:
        """The fabric of the shape's tables."""
        return Areas(fabric_mm2(parts.fpga, nominal_lut6(design) + argmax_lut6(design)))

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Tables and flip-flops beyond the device's, and a clock period shorter than the delay between registers."""
        found = _other_sizes(design, program)
        for what, demand, bound, unit in (
            ("look-up tables", most_lut6(design, program), parts.fpga.luts, "LUT6"),
            ("flip-flops", most_flip_flops(design, program), parts.fpga.flip_flops, "flip-flops"),
        ):
            if demand > bound:
                found.append(Violation(what, demand, bound, unit, "device, groups, trees_per_group, q"))
        period_ns, delay_ns = 1e6 / design.clock_khz, delay_of(design, parts, program) / 1e3
        if delay_ns > period_ns:
            found.append(Violation("combinational delay", delay_ns, period_ns, "ns", "clock, pipeline, device"))
        return found

    def remarks(self, design: Design, parts: Parts, program: Program) -> Sequence[str]:
        """Tables, flip-flops and delay in figures."""
        used, held = most_lut6(design, program), most_flip_flops(design, program)
        delay_ns, period_ns = delay_of(design, parts, program) / 1e3, 1e6 / design.clock_khz
        return (
            f"{tasks.nominal_luts(design):,} look-up tables of {design.inputs_per_lut} inputs; {used:,} of "
            f"{parts.fpga.luts:,} 6-input tables and {held:,} of {parts.fpga.flip_flops:,} flip-flops of the device",
            f"{levels_of(design, program)} levels of tables; delay between registers {delay_ns:.3g} ns, of a clock "
            f"period of {period_ns:.3g} ns",
            *(_activity(design, task) for task in dict.fromkeys(networks_of(program))),
        )


def _other_sizes(design: Design, program: Program) -> list[Violation]:
    """Features and classes of the layers to replace that the design's network does not have."""
    found = {}
    for task in networks_of(program):
        for key, demand, bound in (("inputs", task.features, design.inputs), ("classes", task.scores, design.classes)):
            if demand != bound:
                found[key, demand] = Violation(f"{key} of what is replaced differ", demand, bound, key, key)
    return list(found.values())


def networks_of(program: Program) -> list[Network]:
    """The networks of a program of this model."""
    return [task for task in program.tasks if isinstance(task, Network)]


def most_lut6(design: Design, program: Program) -> int:
    """6-input tables of all networks side by side."""
    return sum(p.bits if isinstance(p.bits, int) else tasks.table_bits(design, p.bits)
               for p in program.occupied if p.level == "luts") // LUT_BITS  # fmt: skip


def most_flip_flops(design: Design, program: Program) -> int:
    """Flip-flops of all networks side by side."""
    return sum(p.bits if isinstance(p.bits, int) else tasks.register_bits(design, p.bits)
               for p in program.occupied if p.level == "flip_flops")  # fmt: skip


def delay_of(design: Design, parts: Parts, program: Program) -> float:
    """Picoseconds of the slowest network between registers."""
    return tasks.delay_ps(design, parts.fpga, levels_of(design, program))


def levels_of(design: Design, program: Program) -> int:
    """Levels of tables of the deepest network."""
    return max((tasks.depth(design, task) for task in networks_of(program)), default=0)


def _activity(design: Design, task: Network) -> str:
    """How often a 6-input table's output changes, and whether that was counted."""
    counts, states = count(design, task), task.vectors * tasks.beats(design)
    share = counts.lut_toggles / states / max(1, tasks.network_lut6(design, task))
    how = f"counted over {task.toggled_vectors:,} samples" if task.trained else "of the assumed share of ones"
    return f"a 6-input table changes in {share:.1%} of the states of the input register ({how})"


MODEL: Any = PoetBinModel()
