"""OPTIMUS: sparse weight products, dense attention products and a vector unit on one datapath.

`lower` walks the schedule that the design asks for (cached decoding or recomputation), operator by operator. Weight
products load their matrix once a call and reuse it for all rows; attention is two dense products around a softmax on
the vector unit. Mechanisms and formulas: README.md; what the paper leaves open: docs/decisions/0002.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from accelerators.optimus import hardware, tasks
from accelerators.optimus.design import Design, LogitsRows, only
from accelerators.optimus.placement import Held, held, lifetimes
from accelerators.optimus.tasks import (
    DenseProduct,
    Fetch,
    InFlight,
    Lookup,
    Matrices,
    PackedProduct,
    SparseProduct,
    Values,
    VectorOp,
)
from hwsim.errors import InputError, Problem, Where
from hwsim.lowering import Item, items, refuse
from hwsim.model import Parts, Placement, Program, Violation
from hwsim.result import UNVALIDATED
from hwsim.workload.ir import KINDS, Disposition, Graph, Op, Phase, Role, Workload
from hwsim.workload.store import mask_path

SOFTMAX_PASSES = 3
"""Maximum; exponentials and their sum; scale. (The numerically safe softmax.)"""

NORM_PASSES = 3
"""Mean; variance; scale and shift."""

CLIPS = frozenset({"relu", "relu6", "hardtanh", "clamp"})
"""Functions that only clip: done to a result on its way out of the accumulators."""

IN_PLACE = "its pieces are written side by side by the operators that make them"
CLIPPED = "the array clips its results as it writes them"


def schedule_of(workload: Workload, design: Design) -> tuple[Phase, ...]:
    """The schedule `design` runs: "cached" with decode_cache, else a recomputing one, where the workload has them."""
    if design.decode_cache:
        return workload.schedule("cached")
    if design.logits_rows == LogitsRows.ALL:
        return workload.schedule("recompute_all_logits", "recompute")
    return workload.schedule("recompute")


def clips_of(graph: Graph) -> frozenset[str]:
    """Operators of `graph` that clip the results of a weight product which nothing else reads."""
    readers = Counter(n for op in graph.ops for n in set(op.inputs))
    readers.update(graph.outputs)
    raw: set[str] = set()
    clips = []
    for op in graph.ops:
        only_reader = len(op.inputs) > 0 and op.inputs[0] in raw and readers[op.inputs[0]] == 1
        if op.disposition is not Disposition.MODELLED:
            if only_reader:
                raw.update(op.outputs)
        elif op.kind == "conv2d" or op.attrs.get("static"):
            raw.update(op.outputs)
        elif only_reader and len(op.inputs) == 1 and op.attrs.get("function") in CLIPS:
            clips.append(op.name)
    return frozenset(clips)


# --- the plan: everything about a run that few fields of the design decide ----------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Matrix:
    """One stored weight matrix. `measured_bits` is what its real mask packs to, or -1."""

    outputs: int
    columns: int
    nnz: int
    measured_bits: int = -1


@dataclasses.dataclass(slots=True)
class CallSpan:
    """The steps of one graph call and what it holds."""

    graph: Graph
    first: int
    holds: Held


@dataclasses.dataclass(slots=True)
class Plan:
    """A lowered program, its calls, and the weights and tables it reads, by name."""

    program: Program
    workload: Workload
    design: Design
    density: float
    streamed: Mapping[str, tuple[str, ...]]
    calls: list[CallSpan] = dataclasses.field(default_factory=list)
    weights: dict[str, Matrix] = dataclasses.field(default_factory=dict)
    tables: dict[str, int] = dataclasses.field(default_factory=dict)
    lives: dict[str, Any] = dataclasses.field(default_factory=dict)
    clips: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)

    def clipped(self, graph: Graph) -> frozenset[str]:
        """Operators of `graph` that the array does to its results on their way out."""
        if graph.name not in self.clips:
            self.clips[graph.name] = clips_of(graph)
        return self.clips[graph.name]

    def spilled(self, elements: int) -> int:
        """Elements of a result that leave the chip."""
        return 0 if self.design.intermediates_on_chip else elements

    def add(self, item: Item, task: Any, after: Sequence[int], read: int, tensors: int = 1) -> int:
        """A step that runs `task` on `read` elements of intermediates, which come back from off chip if they left."""
        program = self.program
        if not self.design.intermediates_on_chip and read:
            fetch = program.add(Fetch(read, tensors), item.layer, after, turn=item.turn, load_waits=True)
            after = (*after, fetch)
        return program.add(task, item.layer, after, turn=item.turn)


def _matmul(item: Item, plan: Plan) -> tuple[int, ...]:
    s = item.sizes
    rows = s["batch"] * s["m"]
    if item.op.attrs.get("static"):
        weight = item.weights()[0]
        transposed = item.op.attrs.get("weight_layout") == "kn"
        return _weight_product(item, plan, weight, rows, s["n"], s["k"], s["k"] * rows, transposed)
    task = DenseProduct(rows, s["n"], s["k"], s["k"], plan.spilled(rows * s["n"]))
    return (plan.add(item, task, item.after, rows * s["k"] + s["batch"] * s["n"] * s["k"], 2),)


def _conv2d(item: Item, plan: Plan) -> tuple[int, ...]:
    """A convolution as a product with its unfolded input; groups are blocks of a sparser matrix."""
    s = item.sizes
    columns = s["in_channels"] * s["kernel_h"] * s["kernel_w"]
    read = s["batch"] * s["in_channels"] * s["in_h"] * s["in_w"]
    rows = s["batch"] * s["out_h"] * s["out_w"]
    return _weight_product(item, plan, item.weights()[0], rows, s["out_channels"], columns, read, groups=s["groups"])


def _weight_product(
    item: Item,
    plan: Plan,
    weight: str,
    rows: int,
    outputs: int,
    columns: int,
    read: int,
    transposed: bool = False,
    groups: int = 1,
) -> tuple[int, ...]:
    spilled = plan.spilled(rows * outputs)
    path = mask_path(plan.workload)
    if path is not None and groups == 1:
        from accelerators.optimus import masks  # numpy is only needed here

        file = masks.mask_file(path)
        if weight in file.names:
            mask = file.mask(weight, (columns, outputs) if transposed else (outputs, columns))
            pieces = masks.packed_pieces(mask.T if transposed else mask, plan.design, rows, spilled)
            nnz, stored_bits = sum(p.nnz for p in pieces), sum(p.stored_bits for p in pieces)
            plan.weights[weight] = Matrix(outputs, columns, nnz, stored_bits)
            return _pieces(item, plan, pieces, read)
    nnz = round(outputs * columns // groups * _density(item, plan, weight))
    plan.weights[weight] = Matrix(outputs, columns, nnz)
    task = SparseProduct(rows, outputs, columns, nnz, spilled)
    return (plan.add(item, task, item.after, read),)


def _pieces(item: Item, plan: Plan, pieces: Sequence[PackedProduct], read: int) -> tuple[int, ...]:
    """A step a piece; the last one's results are written last. What the first one fetches, the others find there."""
    steps = [plan.add(item, piece, item.after, 0 if at else read) for at, piece in enumerate(pieces)]
    return (steps[-1],)


def _density(item: Item, plan: Plan, weight: str) -> float:
    """The density that was traced with the values; the bound one where there were no values."""
    tensor = item.graph.tensors[weight]
    return tensor.density if tensor.content or tensor.density < 1 else plan.density


def _attention(item: Item, plan: Plan) -> tuple[int, ...]:
    """Scores, softmax, weighted sum. The heads run joined: their inputs are interleaved element by element."""
    s = item.sizes
    rows, heads, kv = s["batch"] * s["q"], s["heads"], s["kv"]
    scores = rows * heads * kv
    query, result = rows * heads * s["d_qk"], rows * heads * s["d_v"]
    keys, values = s["batch"] * s["kv_heads"] * kv * s["d_qk"], s["batch"] * s["kv_heads"] * kv * s["d_v"]
    qk = DenseProduct(rows, heads * kv, s["d_qk"], heads * s["d_qk"], plan.spilled(scores))
    av = DenseProduct(rows, heads * s["d_v"], kv, heads * kv, plan.spilled(result))
    softmax = VectorOp(scores, 1, scores, SOFTMAX_PASSES, plan.spilled(scores))
    scored = plan.add(item, qk, item.after, query + keys, 2)
    normed = plan.add(item, softmax, (scored,), scores)
    return (plan.add(item, av, (*item.after, normed), scores + values, 2),)


def _vector(item: Item, plan: Plan, elements: int, results: int, passes: int = 1, operands: int = 1) -> tuple[int, ...]:
    task = VectorOp(elements, operands, results, passes, plan.spilled(results))
    return (plan.add(item, task, item.after, operands * elements, operands),)


def _softmax(item: Item, plan: Plan) -> tuple[int, ...]:
    elements = item.sizes["rows"] * item.sizes["length"]
    return _vector(item, plan, elements, elements, SOFTMAX_PASSES)


def _norm(item: Item, plan: Plan) -> tuple[int, ...]:
    elements = item.sizes["rows"] * item.sizes["length"]
    return _vector(item, plan, elements, elements, NORM_PASSES)


def _reduce(item: Item, plan: Plan) -> tuple[int, ...]:
    return _vector(item, plan, item.sizes["rows"] * item.sizes["length"], item.sizes["rows"])


def _pool(item: Item, plan: Plan) -> tuple[int, ...]:
    s = item.sizes
    results = s["batch"] * s["channels"] * s["out_h"] * s["out_w"]
    return _vector(item, plan, results * s["kernel_h"] * s["kernel_w"], results)


def _elementwise(item: Item, plan: Plan) -> tuple[int, ...]:
    op, elements = item.op, item.sizes["elements"]
    if op.name in plan.clipped(item.graph):
        plan.program.free_ops[op.name] = CLIPPED
        return item.after
    operands = max(1, len(op.inputs) - len(item.weights()))
    return _vector(item, plan, elements, elements, operands=operands)


def _copy(item: Item, plan: Plan) -> tuple[int, ...]:
    return _vector(item, plan, item.sizes["elements"], item.sizes["elements"])


def _concat(item: Item, plan: Plan) -> tuple[int, ...]:
    plan.program.free_ops[item.op.name] = IN_PLACE
    return item.after


def _embedding(item: Item, plan: Plan) -> tuple[int, ...]:
    rows, width = item.sizes["rows"], item.sizes["width"]
    for name in item.weights():
        plan.tables[name] = item.graph.tensors[name].elements(item.binding)
    task = Lookup(rows, width, plan.spilled(rows * width))
    return (plan.program.add(task, item.layer, item.after, turn=item.turn, load_waits=True),)


_LOWER: Mapping[str, Callable[[Item, Plan], tuple[int, ...]]] = {
    "matmul": _matmul,
    "conv2d": _conv2d,
    "attention": _attention,
    "softmax": _softmax,
    "norm": _norm,
    "reduce": _reduce,
    "pool": _pool,
    "elementwise": _elementwise,
    "embedding": _embedding,
    "concat": _concat,
    "copy": _copy,
}
assert set(_LOWER) < set(KINDS)


# --- planning -----------------------------------------------------------------------------------------------------


def _streamed(workload: Workload, schedule: tuple[Phase, ...]) -> dict[str, tuple[str, ...]]:
    """Outputs that end a token's pass: reduced to the next token as they appear, so never held as a whole."""
    last = [phase.calls[-1].graph for phase in schedule if phase.generates]
    return {name: workload.graphs[name].outputs for name in last}


def _refuse_moving_kernels(workload: Workload, schedule: tuple[Phase, ...]) -> None:
    """Convolutions whose kernel is computed, not stored, are not weight products."""
    problems = []
    for name in {call.graph: None for phase in schedule for call in phase.calls}:
        graph = workload.graphs[name]
        for op in graph.ops:
            if op.kind == "conv2d" and not _stored(graph, op):
                where = Where(file=f"workload {workload.name}", key=f"graphs.{name}.{op.name}")
                rule = "the kernel of a convolution must be a weight"
                problems.append(Problem("unsupported-op", where, f"conv2d ({op.source})", rule, "Store the kernel."))
    if problems:
        raise InputError(problems)


def _stored(graph: Graph, op: Op) -> bool:
    return any(graph.tensors[n].role is Role.WEIGHT for n in op.inputs)


class _Same:
    """A workload as a cache key: equal to itself alone."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.workload is self.workload

    def __hash__(self) -> int:
        return id(self.workload)


@lru_cache(maxsize=32)
def _planned(same: _Same, design: Design, binding: tuple[tuple[str, float], ...]) -> Plan:
    """The plan of `workload`; of `design` only the fields that `_deciding` leaves as they are count."""
    workload, values = same.workload, dict(binding)
    schedule = schedule_of(workload, design)
    refuse(workload, schedule, set(_LOWER), MODEL.name)
    _refuse_moving_kernels(workload, schedule)
    density = next((values[n] for n, s in workload.symbols.items() if s.ratio and n == "density"), 1.0)
    plan = Plan(Program(), workload, design, density, _streamed(workload, schedule))
    sizes = {k: int(v) for k, v in values.items() if not workload.symbols[k].ratio}
    local: Mapping[str, int] | None = None
    for item, walk in items(plan.program, workload, schedule, sizes):
        if item.binding is not local:
            local = item.binding
            _begin_call(plan, item)
        walk.produced(item, _LOWER[item.op.kind](item, plan))
    return plan


def _begin_call(plan: Plan, item: Item) -> None:
    graph = item.graph
    if graph.name not in plan.lives:
        plan.lives[graph.name] = lifetimes(graph, plan.streamed.get(graph.name, ()))
    plan.calls.append(CallSpan(graph, len(plan.program), held(plan.lives[graph.name], item.binding)))


def _deciding(workload: Workload, design: Design) -> Design:
    """`design` with every field reset that does not decide the plan, so that designs alike share one."""
    if workload.masks:
        return design
    return only(design, STRUCTURAL)


STRUCTURAL = frozenset({"decode_cache", "logits_rows", "intermediates_on_chip"})
"""Fields that change which steps there are."""

MEASURED = frozenset(
    {
        "weight_format", "macs", "sets", "window", "rate", "accumulators", "value_width_bits", "activation_width_bits",
        "accumulator_width_bits", "weight_buffer_bits", "load_overlap",
    }
)  # fmt: skip
"""Fields that a packed mask is measured under, for workloads that bring their masks."""


# --- placement ----------------------------------------------------------------------------------------------------


def _until(calls: Sequence[CallSpan], steps: int) -> list[int]:
    """The step each call makes way at: the next one's first, or the end."""
    return [call.first for call in calls[1:]] + [steps][: len(calls)]


def _placed(plan: Plan) -> list[Placement]:
    steps = len(plan.program)
    if not steps:
        return []
    where = "activations" if plan.design.intermediates_on_chip else "dram"
    placed = [*_weights_off_chip(plan, steps), *_weights_on_chip(plan, steps)]
    for call, end in zip(plan.calls, _until(plan.calls, steps), strict=True):
        if end > call.first:
            what = f"intermediates of {call.graph.name}"
            placed.append(Placement(where, Values(call.holds.peak), call.first, end - 1, what))
    stateful = [call for call in plan.calls if call.holds.state and call.first < steps]
    for call, end in zip(stateful, _until(stateful, steps), strict=True):
        placed.append(Placement(where, Values(call.holds.state), call.first, end - 1, "keys and values"))
    return placed


def _weights_off_chip(plan: Plan, steps: int) -> Iterator[Placement]:
    copies = Counter(plan.weights.values())
    for matrix, number in copies.items():
        yield Placement("dram", Matrices(*dataclasses.astuple(matrix), number), 0, steps - 1, "weights")
    if plan.tables:
        yield Placement("dram", Values(sum(plan.tables.values())), 0, steps - 1, "embedding tables")


def _weights_on_chip(plan: Plan, steps: int) -> Iterator[Placement]:
    if plan.weights:
        largest = max(plan.weights.values(), key=lambda m: (m.nnz, m.outputs, m.columns))
        yield Placement("weights", InFlight(*dataclasses.astuple(largest)), 0, steps - 1, "weights in flight")


# --- the model ----------------------------------------------------------------------------------------------------


class OptimusModel:
    """See the module's text."""

    name = "optimus"
    summary = "OPTIMUS (MLSys 2020): sparse Transformer inference with SA-RCSC weights and cached decoding"
    Design = Design
    Counts = tasks.Counts
    kernels: Mapping[type, Callable[[Any, Any], Any]] = {
        SparseProduct: tasks.count_sparse,
        PackedProduct: tasks.count_packed,
        DenseProduct: tasks.count_dense,
        VectorOp: tasks.count_vector,
        Lookup: tasks.count_lookup,
        Fetch: tasks.count_fetch,
    }
    structural = STRUCTURAL | MEASURED
    holdings: Mapping[type, Callable[[Any, Any], int]] = {
        Values: tasks.values_bits,
        Matrices: tasks.matrices_bits,
        InFlight: tasks.in_flight_bits,
    }
    accuracy: Mapping[str, str] = {"": UNVALIDATED}
    machine = staticmethod(hardware.machine)
    price = staticmethod(hardware.price)
    static_w = staticmethod(hardware.static_w)
    area_mm2 = staticmethod(hardware.area_mm2)

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """The program of `workload` in the schedule `design` asks for.

        Weights without traced values have the bound `density`; masks beside the workload are packed and measured.
        Raises InputError naming every operator the machine cannot run, or a mask that does not fit its weight.
        """
        plan = _planned(_Same(workload), _deciding(workload, design), tuple(sorted(binding.items())))
        structural = STRUCTURAL | MEASURED if workload.masks else STRUCTURAL
        return dataclasses.replace(plan.program, occupied=_placed(plan), notes=_notes(plan), structural=structural)

    @staticmethod
    def trace(design: Design, matrix: Any, rows: int) -> Iterator[Any]:
        """The array cycle by cycle while it multiplies `rows` input vectors with a mask or int16 matrix (outputs x
        columns): the events of `accelerators.optimus.trace.product_events`."""
        from accelerators.optimus import sparse, trace  # numpy is only needed here

        return trace.product_events(design, sparse.pieces(matrix, design), rows)

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Nothing beyond the capacities of buffers and DRAM, which the engine checks."""
        return ()


def _notes(plan: Plan) -> list[str]:
    notes = []
    if plan.streamed:
        notes.append("logits are reduced to the next token as they leave the array, and never stored as a whole")
    measured = sum(m.measured_bits >= 0 for m in plan.weights.values())
    if measured:
        notes.append(f"{measured} of {len(plan.weights)} weight matrices were packed from their real masks")
    return notes


MODEL: Any = OptimusModel()
