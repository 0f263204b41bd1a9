"""The GPU model: every operator becomes the kernels a library would run for it.

Products and dense convolutions are tiled matrix products; depthwise convolutions give a thread to each result; the
rest streams. What the second-level cache holds is worked out over the whole schedule (`cache`), how long a kernel
takes in `kernels`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from accelerators.gpu.cache import Moves, fused_into, plan
from accelerators.gpu.design import Design
from accelerators.gpu.kernels import infeed, product, start, stream, window
from accelerators.gpu.tasks import Areas, Counts, Infeed, Machine, Product, Start, Statics, Stream, Window
from accelerators.roofline.model import vector_ops, weight_bits
from accelerators.systolic.training import NOTHING, Trained, trained
from hwsim.lowering import Item, items, refuse
from hwsim.memory import SRAM, MemoryLevel, Unit, dram_level
from hwsim.model import Parts, Placement, Program, Violation
from hwsim.pure import pure
from hwsim.result import UNVALIDATED
from hwsim.workload.ir import KINDS, Disposition, Graph, Phase, Role, Workload

DEPTHWISE_CHANNELS = 8
"""Input channels of a group below which a convolution runs with a thread a result: a tile would be mostly padding."""
REDUCED_BY_THREAD = 16
"""Elements that a thread of a reduction adds up before threads add up their sums among them. Assumed: libraries give a
thread several loads, and enough threads to fill the machine."""
NORM_OPERATIONS = 2
"""Operations an element of a batch norm in inference: scale and shift."""

HOST_CLOCK_KHZ = 1_000_000_000
"""The host is counted in picoseconds: cycles of a clock of 1 THz."""

Task = Product | Window | Stream


class GpuModel:
    """See the module's text."""

    name = "gpu"
    summary = "GPUs from datasheets: tiles and waves over multiprocessors, occupancy, cache, latency, launches"
    Design = Design
    Counts = Counts
    kernels: ClassVar[Mapping[type, Any]] = {
        Product: product, Window: window, Stream: stream, Start: start, Infeed: infeed,
    }  # fmt: skip
    structural = frozenset({
        "cache_bits", "operand_bits", "norm_kernels", "fuse", "state_bits", "infeed_rate_bits_per_s",
        "step_overhead_ps",
    })  # fmt: skip
    holdings: ClassVar[Mapping[type, Any]] = {}
    accuracy: ClassVar[Mapping[str, str]] = {"": UNVALIDATED}

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """Kernels in order, each after those that make its inputs. Weights are dense whatever their density."""
        schedule = workload.schedule()
        refuse(workload, schedule, set(KINDS) - {"unsupported", "lut_network"}, self.name)
        sizes = {k: int(v) for k, v in binding.items() if not workload.symbols[k].ratio}
        program = Program()
        begun = _host(program, workload, schedule, sizes, design)
        within = fused_into if design.fuse else _nothing
        moves = iter(plan(workload, schedule, sizes, design.cache_bits, design.operand_bits, within))
        fused = {name: within(graph) for name, graph in workload.graphs.items()}
        state = {name: trained(graph) for name, graph in workload.graphs.items()} if design.state_bits else {}
        for (item, walk), moved in zip(items(program, workload, schedule, sizes), moves, strict=True):
            steps = item.after
            if item.op.name in fused[item.graph.name]:
                program.free_ops[item.op.name] = f"runs within {fused[item.graph.name][item.op.name]}"
            else:
                for task in _Lowering(item, moved, design, state.get(item.graph.name, NOTHING)).tasks():
                    steps = (program.add(task, item.layer, steps, turn=item.turn),)
            walk.produced(item, steps)
        _name(program, begun)
        _place_weights(program, workload, sizes, design)
        if any(0 < binding[k] < 1 for k, s in workload.symbols.items() if s.ratio):
            program.notes.append("weights run dense: this machine does not skip zeros")
        return program

    @staticmethod
    @pure
    def machine(design: Design, parts: Parts) -> Machine:
        """All multiprocessors as one unit, cache, DRAM."""
        macs = design.multiprocessors * max(design.product_macs_per_cycle, design.lanes)
        rate = design.cache_bits_per_cycle
        return Machine(
            Unit(design.clock_khz, macs),
            Unit(HOST_CLOCK_KHZ),
            MemoryLevel(SRAM, design.cache_bits, rate, rate, design.clock_khz),
            dram_level(parts.dram, design.dram_channels, design.memory_bits, 1),
        )

    @staticmethod
    @pure
    def price(design: Design, parts: Parts) -> Counts:
        """Picojoules: the DRAM's own energy per bit, and the board's power above idle over peak arithmetic.

        (TDP - idle) / peak rate is a datasheet's only statement on energy; it is charged to every operation alike.
        DRAM's bits come on top: a kernel at the peak of both would draw more than the board's power.
        """
        dynamic_pj = (design.board_power_w - design.idle_power_w) * 1e9 / design.clock_khz
        return Counts(
            compute_cycles=0.0,
            load_cycles=0.0,
            bandwidth_cycles=0.0,
            latency_cycles=0.0,
            launch_cycles=0.0,
            start_cycles=0.0,
            infeed_ps=0.0,
            chunks=0.0,
            dram_read_bits=parts.dram.read_pj_per_bit,
            dram_read_runs=0.0,
            dram_write_bits=parts.dram.write_pj_per_bit,
            dram_write_runs=0.0,
            cache_read_bits=0.0,
            cache_write_bits=0.0,
            macs_executed=dynamic_pj / (design.multiprocessors * design.product_macs_per_cycle),
            vector_ops=dynamic_pj / (design.multiprocessors * design.lanes),
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


def _host(
    program: Program, workload: Workload, schedule: tuple[Phase, ...], sizes: Mapping[str, int], design: Design
) -> list[str]:
    """Steps of the host, where it takes time: before the first kernel, and beside all of them for the run after this
    one. The names of their report lines."""
    _, _, local, graph = workload.walk(sizes, schedule)[0]
    names = []
    if design.step_overhead_ps:
        names.append("start")
        program.add(Start(1), 0)
    if design.infeed_rate_bits_per_s:
        names.append("infeed")
        inputs = [graph.tensors[n] for n in graph.inputs if graph.tensors[n].role is Role.INPUT]
        program.add(Infeed(sum(t.elements(local) for t in inputs)), 0)
    return names


def _name(program: Program, begun: Sequence[str]) -> None:
    """Report lines of the host's steps, behind those of the operators, which the walk numbers from 0."""
    for step, name in enumerate(begun):
        program.layer[step] = program.add_layer(name, "host", "step")


def _nothing(graph: Graph) -> Mapping[str, str]:
    return {}


def _place_weights(program: Program, workload: Workload, sizes: Mapping[str, int], design: Design) -> None:
    weights, tables = weight_bits(workload, workload.schedule(), sizes, design.operand_bits)
    last = len(program) - 1
    program.occupied.append(Placement("dram", weights, 0, last, "weights"))
    program.occupied.append(Placement("dram", tables, 0, last, "embedding tables"))


@dataclass(slots=True)
class _Lowering:
    """One operator, what of it is off chip, the design, and what training keeps in a width of its own."""

    item: Item
    moved: Moves
    design: Design
    trained: Trained

    def tasks(self) -> Iterator[Task]:
        """Its kernels, each after the one before; before them weights are rounded to the width they are computed in,
        after them their gradients are widened."""
        op, d = self.item.op, self.design
        if op.name in self.trained.updates:
            yield self.update()
            return
        for name in self.trained.first.get(op.name, ()):
            yield self.cast([name], d.state_bits, d.operand_bits, off_chip=name in self.moved.missed)
        yield from self.kernels()
        for name in self.trained.makes.get(op.name, ()):
            yield self.cast([name], d.operand_bits, d.state_bits, off_chip=name in self.moved.spilled)

    def cast(self, names: Sequence[str], before_bits: int, after_bits: int, *, off_chip: bool) -> Stream:
        """A kernel that changes the width of tensors."""
        elements = self.bits(names) // self.design.operand_bits
        read, write = elements * before_bits, elements * after_bits
        return Stream(elements, elements, read, write, off_chip * read, off_chip * write)

    def update(self) -> Stream:
        """What an optimizer changes, a pass over memory for each tensor that it writes: the pass reads that tensor, the
        gradient, and what the pass before it wrote; with `fuse` one pass reads all and writes all."""
        op, d = self.item.op, self.design
        written = len(op.outputs)
        reads = len(op.inputs) if d.fuse else 3 * written - 1
        elements = self.bits(op.outputs[:1]) // d.operand_bits
        read, write = reads * elements * d.state_bits, written * elements * d.state_bits
        off_chip = bool(self.moved.missed or self.moved.spilled)
        operations = max(vector_ops(op.kind, self.item.sizes), 0)
        return Stream(elements, operations, read, write, off_chip * read, off_chip * write)

    def kernels(self) -> Iterator[Task]:
        """The kernels of the operator itself."""
        kind = self.item.op.kind
        if kind == "matmul":
            yield self.matmul()
        elif kind == "conv2d":
            yield from self.convolution()
        elif kind == "attention":
            yield from self.attention()
        else:
            yield self.streamed()

    def bits(self, names: Sequence[str]) -> int:
        """Bits of tensors at the width they are computed in."""
        elements = sum(self.item.graph.tensors[n].elements(self.item.binding) for n in names)
        return elements * self.design.operand_bits

    def missed(self, names: Sequence[str]) -> int:
        return self.bits([n for n in names if n in self.moved.missed])

    def spilled(self) -> int:
        return self.bits([n for n in self.item.op.outputs if n in self.moved.spilled])

    def operands(self) -> tuple[list[str], list[str]]:
        """The two operands of a product: what flows, and the weights, or else what flows second."""
        weights = list(self.item.weights())
        flowing = [n for n in self.item.op.inputs if n not in weights]
        return (flowing, weights) if weights else (flowing[:1], flowing[1:])

    def product(self, batch: int, m: int, n: int, k: int, result_bits: int) -> Product:
        a, b = self.operands()
        return Product(
            batch, m, n, k, self.bits(a), self.bits(b), self.bits(self.item.op.outputs),
            self.missed(a), self.missed(b), result_bits,
        )  # fmt: skip

    def matmul(self) -> Product:
        s = self.item.sizes
        return self.product(s["batch"], s["m"], s["n"], s["k"], self.spilled())

    def convolution(self) -> Iterator[Task]:
        """A convolution, and the batch norm behind it where that has a kernel of its own."""
        s, norms = self.item.sizes, self.norms()
        out = self.bits(self.item.op.outputs)
        result = (out if out > self.design.cache_bits else 0) if norms else self.spilled()
        channels = s["in_channels"] // s["groups"]
        taps = channels * s["kernel_h"] * s["kernel_w"]
        pixels = s["batch"] * s["out_h"] * s["out_w"]
        if s["groups"] > 1 and channels < DEPTHWISE_CHANNELS:
            read = self.item.op.inputs
            yield Window(pixels * s["out_channels"], taps, self.bits(read), out, self.missed(read), result)
        else:
            yield self.product(s["groups"], pixels, s["out_channels"] // s["groups"], taps, result)
        for i in range(norms):
            elements = pixels * s["out_channels"]
            again = out if out > self.design.cache_bits else 0
            after = again if i < norms - 1 else self.spilled() or again
            yield Stream(elements, NORM_OPERATIONS * elements, out, out, again, after)

    def norms(self) -> int:
        """Batch norms folded into this operator that run as kernels of their own all the same."""
        if not self.design.norm_kernels:
            return 0
        ops = self.item.graph.ops
        folded = (o for o in ops if o.disposition is Disposition.FUSED and o.into == self.item.op.name)
        return sum(1 for o in folded if o.kind == "norm")

    def attention(self) -> Iterator[Task]:
        """Scores, softmax, and the sum of the values that they weigh. Scores that the cache cannot hold leave it."""
        s, width = self.item.sizes, self.design.operand_bits
        query, *others = self.item.op.inputs
        heads, scores = s["batch"] * s["heads"], s["batch"] * s["heads"] * s["q"] * s["kv"]
        bits = scores * width
        out = bits if bits > self.design.cache_bits else 0
        shared = s["batch"] * s["kv_heads"] * s["kv"] * width
        keys, values = shared * s["d_qk"], shared * s["d_v"]
        absent = 1 if any(n in self.moved.missed for n in others) else 0
        yield Product(heads, s["q"], s["kv"], s["d_qk"], self.bits([query]), keys, bits,
                      self.missed([query]), absent * keys, out)  # fmt: skip
        yield Stream(scores, vector_ops("attention", s), bits, bits, out, out)
        yield Product(heads, s["q"], s["d_v"], s["kv"], bits, values, self.bits(self.item.op.outputs),
                      out, absent * values, self.spilled())  # fmt: skip

    def streamed(self) -> Stream:
        op, s = self.item.op, self.item.sizes
        written = self.bits(op.outputs)
        if op.kind == "embedding":
            return Stream(prod(s.values()), 0, written, written, written, self.spilled())
        threads = written // self.design.operand_bits
        if op.kind == "reduce":
            threads = max(threads, self.bits(op.inputs) // self.design.operand_bits // REDUCED_BY_THREAD)
        operations = max(vector_ops(op.kind, s), 0)
        return Stream(threads, operations, self.bits(op.inputs), written, self.missed(op.inputs), self.spilled())


MODEL: Any = GpuModel()
