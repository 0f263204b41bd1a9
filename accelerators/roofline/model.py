"""The roofline model: each operator takes the longest of its arithmetic, its traffic, and its launch on top.

    time = launch + max(macs / (peak * ceiling), bits / (bandwidth * ceiling), DRAM timing of the same bits)

(Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009, with a launch overhead and ceilings.) Data that fits the
last-level cache is not fetched again: activations up to the cache's size never reach DRAM, and weights only once if
all the weights of the schedule fit together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from accelerators.roofline.design import Design
from hwsim.lowering import Item, items, refuse
from hwsim.memory import SRAM, MemoryLevel, Unit, dram_level
from hwsim.model import Action, Chunks, Parts, Placement, Program, Runs, Traffic, Violation, Work
from hwsim.pure import ceil_div, pure
from hwsim.result import UNVALIDATED
from hwsim.workload.ir import KINDS, Disposition, Phase, Role, Workload

CACHE_BITS_PER_CYCLE = 1 << 20
"""Wide enough never to bind: a roofline has one memory ceiling, the DRAM's."""


class Kernel(NamedTuple):
    """One operator as the processor runs it."""

    macs: int
    vector_ops: int
    dram_read_bits: int
    dram_write_bits: int
    cache_read_bits: int
    cache_write_bits: int


class Counts(NamedTuple):
    """What one operator asks for."""

    compute_cycles: Annotated[int, Work("core")]
    bandwidth_cycles: Annotated[int, Work("core", "dram")]
    chunks: Annotated[int, Chunks()]
    dram_read_bits: Annotated[int, Traffic("dram", "read")]
    dram_read_runs: Annotated[int, Runs("dram", "read")]
    dram_write_bits: Annotated[int, Traffic("dram", "write")]
    dram_write_runs: Annotated[int, Runs("dram", "write")]
    cache_read_bits: Annotated[int, Traffic("cache", "read")]
    cache_write_bits: Annotated[int, Traffic("cache", "write")]
    macs_executed: Annotated[int, Action("core")]
    vector_ops: Annotated[int, Action("core")]


class Machine(NamedTuple):
    """One core that stands for all of them, its cache, and its DRAM."""

    core: Unit
    cache: MemoryLevel
    dram: MemoryLevel


class Statics(NamedTuple):
    """Watts at idle."""

    core: float


class Areas(NamedTuple):
    """mm2."""

    die: float


@pure
def count(design: Design, task: Kernel) -> Counts:
    """Cycles of one operator: launch, then the longer of arithmetic and traffic."""
    launch = ceil_div(design.launch_ns * design.clock_khz, 1_000_000)
    macs = ceil_div(task.macs * 100, design.macs_per_cycle * design.matmul_ceiling_percent)
    vector = ceil_div(task.vector_ops * 100, design.vector_ops_per_cycle * design.vector_ceiling_percent)
    bits = task.dram_read_bits + task.dram_write_bits
    bits_per_us = design.memory_bandwidth_bits_per_s // 1_000_000
    traffic = ceil_div(ceil_div(bits * 100, design.bandwidth_ceiling_percent) * design.clock_khz, bits_per_us * 1_000)
    return Counts(
        compute_cycles=launch + macs + vector,
        bandwidth_cycles=launch + traffic,
        chunks=1,
        dram_read_bits=task.dram_read_bits,
        dram_read_runs=min(1, task.dram_read_bits),
        dram_write_bits=task.dram_write_bits,
        dram_write_runs=min(1, task.dram_write_bits),
        cache_read_bits=task.cache_read_bits,
        cache_write_bits=task.cache_write_bits,
        macs_executed=task.macs,
        vector_ops=task.vector_ops,
    )


_VECTOR_OPS = {"softmax": 4, "norm": 5, "elementwise": 1, "reduce": 1, "pool": 1}
"""Arithmetic operations an element: softmax subtracts, exponentiates, adds, divides; a norm adds, subtracts, squares,
adds, scales."""


class RooflineModel:
    """See the module's text."""

    name = "roofline"
    summary = "CPUs and GPUs from datasheet peaks, bandwidths, launch overheads and utilisation ceilings"
    Design = Design
    Counts = Counts
    kernels: ClassVar[Mapping[type, Any]] = {Kernel: count}
    structural = frozenset({"cache_bits", "operand_bits"})
    holdings: ClassVar[Mapping[type, Any]] = {}
    accuracy: ClassVar[Mapping[str, str]] = {"": UNVALIDATED}

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """One kernel an operator, in order. Weights are dense whatever their density: these machines skip no zero."""
        schedule = workload.schedule()
        refuse(workload, schedule, set(KINDS) - {"unsupported", "lut_network"}, self.name)
        sizes = {k: int(v) for k, v in binding.items() if not workload.symbols[k].ratio}
        program = Program()
        weights, tables = weight_bits(workload, schedule, sizes, design.operand_bits)
        resident = weights + tables <= design.cache_bits
        for item, walk in items(program, workload, schedule, sizes):
            task = _kernel(item, design, resident and not item.first_call)
            walk.produced(item, (program.add(task, item.layer, item.after, turn=item.turn),))
        last = len(program) - 1
        program.occupied.append(Placement("dram", weights, 0, last, "weights"))
        program.occupied.append(Placement("dram", tables, 0, last, "embedding tables"))
        if any(0 < binding[k] < 1 for k, s in workload.symbols.items() if s.ratio):
            program.notes.append("weights run dense: this machine does not skip zeros")
        return program

    @staticmethod
    @pure
    def machine(design: Design, parts: Parts) -> Machine:
        """Clock, cache and DRAM."""
        return Machine(
            Unit(design.clock_khz, design.macs_per_cycle),
            MemoryLevel(SRAM, design.cache_bits, CACHE_BITS_PER_CYCLE, CACHE_BITS_PER_CYCLE, design.clock_khz),
            dram_level(parts.dram, design.dram_channels, design.memory_bits, 1),
        )

    @staticmethod
    @pure
    def price(design: Design, parts: Parts) -> Counts:
        """Picojoules: the DRAM's own energy per bit, and what is left of the board's power over peak arithmetic.

        (TDP - idle) / peak rate is a datasheet's only statement on energy; it is charged to every operation alike.
        """
        dynamic_pj = (design.board_power_w - design.idle_power_w) * 1e9 / design.clock_khz
        return Counts(
            compute_cycles=0.0,
            bandwidth_cycles=0.0,
            chunks=0.0,
            dram_read_bits=parts.dram.read_pj_per_bit,
            dram_read_runs=0.0,
            dram_write_bits=parts.dram.write_pj_per_bit,
            dram_write_runs=0.0,
            cache_read_bits=0.0,
            cache_write_bits=0.0,
            macs_executed=dynamic_pj / design.macs_per_cycle,
            vector_ops=dynamic_pj / design.vector_ops_per_cycle,
        )

    @staticmethod
    @pure
    def static_w(design: Design, parts: Parts) -> Statics:
        """The idle power."""
        return Statics(design.idle_power_w)

    @staticmethod
    @pure
    def area_mm2(design: Design, parts: Parts) -> Areas:
        """The die."""
        return Areas(design.die_mm2)

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Nothing beyond the capacities."""
        return ()


def weight_bits(
    workload: Workload, schedule: tuple[Phase, ...], sizes: Mapping[str, int], operand_bits: int
) -> tuple[int, int]:
    """Bits of the weights that the schedule's products read whole, and of the tables that lookups read rows of."""
    bits = [0, 0]
    for name in {call.graph: None for phase in schedule for call in phase.calls}:
        graph = workload.graphs[name]
        tables = {n for op in graph.ops if op.kind == "embedding" for n in op.inputs}
        read = {n for op in graph.ops if op.disposition is Disposition.MODELLED for n in op.inputs}
        for tensor in graph.tensors.values():
            if tensor.role is Role.WEIGHT and tensor.name in read:
                bits[tensor.name in tables] += tensor.elements(sizes) * operand_bits
    return bits[0], bits[1]


def _kernel(item: Item, design: Design, weights_cached: bool) -> Kernel:
    op, s = item.op, item.sizes
    weights = set(item.weights())
    embedding = op.kind == "embedding"
    read = [n for n in op.inputs if n not in weights]
    width = design.operand_bits
    activation_in = sum(item.graph.tensors[n].elements(item.binding) for n in read) * width
    out = sum(item.graph.tensors[n].elements(item.binding) for n in op.outputs) * width
    weight = out if embedding else sum(item.graph.tensors[n].elements(item.binding) for n in weights) * width
    spilled_in = activation_in if activation_in > design.cache_bits else 0
    spilled_out = out if out > design.cache_bits else 0
    return Kernel(
        macs=op.macs(item.binding),
        vector_ops=vector_ops(op.kind, s),
        dram_read_bits=spilled_in + (0 if weights_cached else weight),
        dram_write_bits=spilled_out,
        cache_read_bits=activation_in - spilled_in,
        cache_write_bits=out - spilled_out,
    )


def vector_ops(kind: str, sizes: Mapping[str, int]) -> int:
    """Arithmetic operations of an operator beside its multiply-accumulates."""
    if kind == "attention":
        return _VECTOR_OPS["softmax"] * sizes["batch"] * sizes["heads"] * sizes["q"] * sizes["kv"]
    if kind not in _VECTOR_OPS:
        return 0
    elements = 1
    for size in sizes.values():
        elements *= size
    return _VECTOR_OPS[kind] * elements


MODEL: Any = RooflineModel()
