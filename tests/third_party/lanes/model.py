"""A row of multiply-accumulate lanes: one output a lane, one reduction step a cycle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from hwsim.config import Doc, Range
from hwsim.energy import mac_area_mm2, mac_pj, sram_area_mm2, sram_leakage_w, sram_read_pj_per_bit
from hwsim.lowering import items, refuse
from hwsim.memory import MemoryLevel, Unit, dram_level, sram_level
from hwsim.model import Action, Chunks, Parts, Program, Runs, Traffic, Violation, Work
from hwsim.pure import ceil_div, pure
from hwsim.workload.ir import Workload

ACCUMULATOR_BITS = 32


@dataclass(frozen=True)
class Design:
    lanes: Annotated[int, Range(1, 4096), Doc("multiply-accumulate units")]
    clock_khz: Annotated[int, Range(1_000, 4_000_000), Doc("clock of everything on the chip")]
    operand_bits: Annotated[int, Range(1, 64), Doc("width of one operand")]
    buffer_bits: Annotated[int, Range(1024, 2**33), Doc("weight buffer")]


class Product(NamedTuple):
    rows: int
    cols: int
    depth: int
    weights: int


class Counts(NamedTuple):
    cycles: Annotated[int, Work("row")]
    chunks: Annotated[int, Chunks()]
    weight_bits: Annotated[int, Traffic("dram", "read", "load")]
    weight_runs: Annotated[int, Runs("dram", "read")]
    buffer_write_bits: Annotated[int, Traffic("buffer", "write", "load")]
    buffer_read_bits: Annotated[int, Traffic("buffer", "read")]
    macs_executed: Annotated[int, Action("row")]


class Machine(NamedTuple):
    row: Unit
    buffer: MemoryLevel
    dram: MemoryLevel


class Components(NamedTuple):
    row: float
    buffer: float


@pure
def count(design: Design, task: Product) -> Counts:
    bits = task.weights * design.operand_bits
    return Counts(
        cycles=task.rows * ceil_div(task.cols, design.lanes) * task.depth,
        chunks=max(1, ceil_div(bits, design.buffer_bits // 2)),
        weight_bits=bits,
        weight_runs=min(1, bits),
        buffer_write_bits=bits,
        buffer_read_bits=task.rows * task.cols * task.depth * design.operand_bits,
        macs_executed=task.rows * task.cols * task.depth,
    )


class Lanes:
    name = "lanes"
    summary = "a row of multiply-accumulate lanes"
    Design = Design
    Counts = Counts
    kernels: ClassVar = {Product: count}
    structural = frozenset()
    holdings: ClassVar = {}
    accuracy: ClassVar = {"": "unvalidated"}

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        schedule = workload.schedule()
        refuse(workload, schedule, {"matmul", "elementwise"}, self.name)
        sizes = {k: int(v) for k, v in binding.items()}
        program = Program()
        for item, walk in items(program, workload, schedule, sizes):
            s = item.sizes
            if item.op.kind == "elementwise":
                task = Product(1, s["elements"], 1, 0)
            else:
                weights = s["n"] * s["k"] if item.weights() else 0
                task = Product(s["batch"] * s["m"], s["n"], s["k"], weights)
            walk.produced(item, (program.add(task, item.layer, item.after, turn=item.turn),))
        return program

    @staticmethod
    @pure
    def machine(design: Design, parts: Parts) -> Machine:
        width = design.lanes * design.operand_bits
        return Machine(
            Unit(design.clock_khz, design.lanes),
            sram_level(design.buffer_bits, width, design.clock_khz, 2, 0),
            dram_level(parts.dram, 1, parts.dram.channel_capacity_bits, 2),
        )

    @staticmethod
    @pure
    def price(design: Design, parts: Parts) -> Counts:
        sram = sram_read_pj_per_bit(parts.node, design.buffer_bits, design.operand_bits)
        return Counts(
            cycles=0.0,
            chunks=0.0,
            weight_bits=parts.dram.read_pj_per_bit,
            weight_runs=parts.dram.activate_pj,
            buffer_write_bits=sram,
            buffer_read_bits=sram,
            macs_executed=mac_pj(parts.node, design.operand_bits, design.operand_bits, ACCUMULATOR_BITS),
        )

    @staticmethod
    @pure
    def static_w(design: Design, parts: Parts) -> Components:
        return Components(0.0, sram_leakage_w(parts.node, design.buffer_bits))

    @staticmethod
    @pure
    def area_mm2(design: Design, parts: Parts) -> Components:
        mac = mac_area_mm2(parts.node, design.operand_bits, design.operand_bits, ACCUMULATOR_BITS)
        return Components(design.lanes * mac, sram_area_mm2(parts.node, design.buffer_bits))

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        return ()


MODEL = Lanes()
