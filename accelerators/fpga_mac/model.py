"""A classifier as multiply-accumulates in the soft logic of an FPGA: what a PoET-BiN is compared with.

`lanes` operators, each a multiplier and an adder of `hdl/` as Yosys maps them (`operators.csv`), read their weights
from block RAM and add to a register. A layer takes ceil(MACs / lanes) clocks; its norms and activations take an
addition an element. Energy: changes of the operators' cells over random operands, weight reads, registers and clock,
static power.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from accelerators.fpga_mac.design import Design
from hwsim.errors import InputError, Problem, Where
from hwsim.fpga import (
    BRAM18_BITS,
    BRAM_WORD_BITS,
    bram_mm2,
    bram_pj_per_bit,
    fabric_mm2,
    lut_toggle_pj,
    net_toggle_pj,
)
from hwsim.lowering import Item, items, refuse
from hwsim.memory import BRAM, MemoryLevel, Unit
from hwsim.model import Action, Chunks, Parts, Placement, Program, Traffic, Violation, Work
from hwsim.pure import ceil_div, pure
from hwsim.result import UNVALIDATED
from hwsim.workload.ir import Workload

MILLI = 1_000


class Kernel(NamedTuple):
    """One operator of the network: products with weights, or additions an element."""

    macs: int
    elements: int


class Weights(NamedTuple):
    """Weights in block RAM."""

    weights: int


class Counts(NamedTuple):
    """What one operator of the network asks for."""

    cycles: Annotated[int, Work("lanes")]
    chunks: Annotated[int, Chunks()]
    weight_read_bits: Annotated[int, Traffic("bram", "read")]
    macs_executed: Annotated[int, Action("mac")]
    additions: Annotated[int, Action("add")]
    clocks: Annotated[int, Action("clock")]
    register_clocks: Annotated[int, Action("clock")]


class Machine(NamedTuple):
    """The operators, and the block RAM of the device."""

    lanes: Unit
    bram: MemoryLevel


class Statics(NamedTuple):
    """Watts of the configured device when nothing changes."""

    device: float


class Areas(NamedTuple):
    """mm2 of the device that the design takes."""

    fabric: float


@pure
def count(design: Design, task: Kernel) -> Counts:
    """A multiply-accumulate, or an addition, a lane and clock."""
    cycles = ceil_div(task.macs, design.lanes) + ceil_div(task.elements, design.lanes)
    return Counts(
        cycles=cycles,
        chunks=1,
        weight_read_bits=task.macs * design.weight_bits,
        macs_executed=task.macs,
        additions=task.elements,
        clocks=cycles,
        register_clocks=cycles * design.lanes * design.sum_bits,
    )


@pure
def stored_bits(design: Design, held: Weights) -> int:
    """Bits of the weights."""
    return held.weights * design.weight_bits


@pure
def lut6(design: Design) -> int:
    """6-input tables of all lanes."""
    return ceil_div(design.lanes * design.mac_milliluts, MILLI)


class FpgaMacModel:
    """See the module's text."""

    name = "fpga-mac"
    summary = "multiply-accumulate units in the soft logic of an FPGA, in four number formats"
    Design = Design
    Counts = Counts
    tables = ("device",)
    kernels: ClassVar[Mapping[type, Any]] = {Kernel: count}
    structural: ClassVar[frozenset[str]] = frozenset()
    holdings: ClassVar[Mapping[type, Any]] = {Weights: stored_bits}
    accuracy: ClassVar[Mapping[str, str]] = {"": UNVALIDATED}

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """One kernel an operator, in order. Raises InputError for what is no product with a weight, no norm and no
        activation."""
        schedule = workload.schedule()
        refuse(workload, schedule, {"matmul", "norm", "elementwise"}, self.name)
        sizes = {k: int(v) for k, v in binding.items() if not workload.symbols[k].ratio}
        program = Program()
        stored: dict[tuple[str, str], int] = {}
        for item, walk in items(program, workload, schedule, sizes):
            task = _kernel(workload, item)
            if task.macs:
                weight = item.graph.tensors[item.weights()[0]]
                stored[item.graph.name, item.op.name] = weight.elements(item.binding)
            walk.produced(item, (program.add(task, item.layer, item.after, turn=item.turn),))
        program.occupied.append(Placement("bram", Weights(sum(stored.values())), 0, len(program) - 1, "weights"))
        return program

    @staticmethod
    @pure
    def machine(design: Design, parts: Parts) -> Machine:
        """The lanes' clock; every lane has a weight a clock."""
        word = design.lanes * design.weight_bits
        capacity = parts.fpga.bram18s * BRAM18_BITS
        return Machine(
            Unit(design.clock_khz, design.lanes),
            MemoryLevel(BRAM, capacity, word, word, design.clock_khz),
        )

    @staticmethod
    @pure
    def price(design: Design, parts: Parts) -> Counts:
        """Picojoules: changes of an operation's cells, each with its net; weight bits; clocks."""
        change = design.glitch_factor * (lut_toggle_pj(parts.fpga) + net_toggle_pj(parts.fpga)) / MILLI
        return Counts(
            cycles=0.0,
            chunks=0.0,
            weight_read_bits=bram_pj_per_bit(parts.fpga),
            macs_executed=design.mac_millichanges * change,
            additions=design.add_millichanges * change,
            clocks=parts.fpga.clock_cycle_pj,
            register_clocks=parts.fpga.ff_clock_pj,
        )

    @staticmethod
    @pure
    def static_w(design: Design, parts: Parts) -> Statics:
        """The whole device: what is not used leaks as well."""
        return Statics(parts.fpga.static_w)

    @staticmethod
    @pure
    def area_mm2(design: Design, parts: Parts) -> Areas:
        """Fabric of the operators, and the block RAMs that give every lane its weight."""
        blocks = ceil_div(design.lanes * design.weight_bits, BRAM_WORD_BITS)
        return Areas(fabric_mm2(parts.fpga, lut6(design)) + bram_mm2(parts.fpga, blocks))

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Tables, flip-flops and ports of block RAM beyond the device's."""
        asked = (
            ("look-up tables", lut6(design), parts.fpga.luts, "LUT6"),
            ("flip-flops", design.lanes * design.sum_bits, parts.fpga.flip_flops, "flip-flops"),
            ("block RAM ports", ceil_div(design.lanes * design.weight_bits, BRAM_WORD_BITS), parts.fpga.bram18s,
             "words of 36 bits"),
        )  # fmt: skip
        return [Violation(what, demand, bound, unit, "lanes, device")
                for what, demand, bound, unit in asked if demand > bound]  # fmt: skip

    def remarks(self, design: Design, parts: Parts, program: Program) -> Sequence[str]:
        """Tables in figures."""
        return (f"{lut6(design):,} of {parts.fpga.luts:,} 6-input tables of the device; no DSP slice is used",)


def _kernel(workload: Workload, item: Item) -> Kernel:
    op, s = item.op, item.sizes
    if op.kind == "matmul":
        if op.attrs.get("static") is not True:
            where = Where(file=f"workload {workload.name}", key=f"graphs.{item.graph.name}.{op.name}")
            rule = "only products with weights run here; this one multiplies two activations"
            raise InputError([Problem("unsupported-op", where, f"{op.kind} ({op.source})", rule,
                                      "Run the network on another accelerator.")])  # fmt: skip
        return Kernel(op.macs(item.binding), 0)
    elements = 1
    for size in s.values():
        elements *= size
    return Kernel(0, elements)


MODEL: Any = FpgaMacModel()
