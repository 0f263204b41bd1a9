"""From operators to tasks: products on the arrays, the rest on vector lanes, in the order of the schedule.

convolution  a product of pixels by output channels over windows, one for each group: a depthwise one has a product of a
             single column a channel. With `conv: im2col` a pass before it writes the lowered matrix to DRAM
attention    a product of scores for every head, softmax, a product that weighs the values. Query heads that share a
             head of keys are rows of one product
the rest     elementwise, softmax, norm, pool, reduce, concat, copy: vector lanes between two passes through DRAM;
             embedding: rows of a table

With `fuse` an elementwise operator of one operand runs on the results of the operator before it as they leave, where
nothing else reads those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from accelerators.optimus.placement import Lifetimes, held, lifetimes
from accelerators.roofline.model import vector_ops, weight_bits
from accelerators.systolic.design import Conv, Design
from accelerators.systolic.tasks import Infeed, Lookup, Overhead, Parameters, Product, Stream, Values
from accelerators.systolic.training import (
    NOTHING,
    Exchange,
    State,
    Trained,
    handed_on,
    rounded,
    split,
    target_classes,
    trained,
)
from hwsim.lowering import Item, items, refuse
from hwsim.model import Placement, Program
from hwsim.workload.ir import Disposition, Graph, Op, Role, Workload

Task = Product | Stream | Lookup | State | Exchange

STRUCTURAL = frozenset({"conv", "fuse", "in_order", "keep_on_chip", "replicas", "state_bits", "weight_bits"})
"""Fields that change which steps there are."""

ROW_PASSES = 3
"""Passes over a row that no buffer holds: maximum, sum, scale (softmax); mean, variance, scale (norm)."""

HOSTS = frozenset({"matmul", "conv2d", "elementwise", "norm", "pool", "reduce", "softmax"})
"""Kinds whose results an activation function can run on as they leave."""
NOT_HANDED = frozenset({"attention", "embedding"})
"""Kinds that fetch all their operands from DRAM whatever stays on chip."""


# --- what the graph allows ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Reading:
    """How the tensors of a graph are read.

    fused    operator -> the operator on whose results it runs
    alias    tensor -> the tensor that an operator with a step wrote, or that came into the graph
    handed   tensors, as written, that the next operator with a step alone reads -> that operator
    """

    fused: dict[str, str] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)
    handed: dict[str, str] = field(default_factory=dict)
    folded: frozenset[str] = frozenset()
    """Operators that a norm was folded into, which gives them a bias."""


def reading(graph: Graph, design: Design) -> Reading:
    """How the tensors of `graph` are read where `design` fuses and keeps what it can."""
    found = Reading(fused=_fused(graph) if design.fuse else {})
    found.folded = frozenset(op.into for op in graph.ops if op.disposition is Disposition.FUSED and op.kind == "norm")
    steps: list[Op] = []
    readers: dict[str, set[int]] = {}
    for op in graph.ops:
        if op.disposition is Disposition.MODELLED and op.name not in found.fused:
            for name in op.inputs:
                readers.setdefault(found.alias.get(name, name), set()).add(len(steps))
            steps.append(op)
            continue
        shown = next((n for n in op.inputs if graph.tensors[n].role is not Role.WEIGHT), None)
        for name in op.outputs if shown else ():
            assert shown is not None
            found.alias[name] = found.alias.get(shown, shown)
    if not design.keep_on_chip:
        return found
    left = {found.alias.get(name, name) for name in graph.outputs}
    for i, op in enumerate(steps[:-1]):
        follower = steps[i + 1]
        for name in op.outputs:
            alone = readers.get(name) == {i + 1} and name not in left
            if alone and len(op.outputs) == 1 and _takes(graph, found, follower, name):
                found.handed[name] = follower.name
    return found


def _takes(graph: Graph, found: Reading, op: Op, name: str) -> bool:
    """Whether `op` can take the tensor `name` from the step before: as the input of a product, or on vector lanes."""
    if op.kind in NOT_HANDED:
        return False
    places = [i for i, n in enumerate(op.inputs) if found.alias.get(n, n) == name]
    same_size = all(_size(graph, op.inputs[i]) == _size(graph, name) for i in places)
    return len(places) == 1 and same_size and (places == [0] or op.kind not in ("matmul", "conv2d"))


def _size(graph: Graph, name: str) -> list[str]:
    """The shape of a tensor up to the order of its axes and axes of one: equal only if the sizes are."""
    return sorted(s for s in map(str, graph.tensors[name].shape) if s != "1")


def _fused(graph: Graph) -> dict[str, str]:
    """Elementwise operators of one operand that alone reads it -> the operator that makes it."""
    readers: dict[str, int] = dict.fromkeys(graph.outputs, 1)
    for op in graph.ops:
        for name in op.inputs:
            readers[name] = readers.get(name, 0) + 1
    made = {name: op for op in graph.ops for name in op.outputs}
    found: dict[str, str] = {}
    for op in graph.ops:
        if op.kind == "elementwise" and op.disposition is Disposition.MODELLED and len(op.inputs) == 1:
            source = _source(op.inputs[0], made, readers)
            if source is not None and source.name in found:
                found[op.name] = found[source.name]
            elif source is not None and source.kind in HOSTS and source.disposition is Disposition.MODELLED:
                found[op.name] = source.name
    return found


def _source(name: str, made: Mapping[str, Op], readers: Mapping[str, int]) -> Op | None:
    """The operator that makes `name`, past those folded into others, if each result on the way has one reader."""
    while readers[name] == 1 and name in made:
        op = made[name]
        if op.disposition is not Disposition.FUSED:
            return op
        name = op.inputs[0]
    return None


# --- one operator -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Operator:
    """One operator in the course of being lowered."""

    item: Item
    read: Reading
    design: Design
    kept: Trained = NOTHING

    def elements(self, names: Sequence[str]) -> int:
        """Elements of tensors."""
        return sum(self.item.graph.tensors[n].elements(self.item.binding) for n in names)

    def handed_in(self) -> int:
        """Elements that the step before hands over."""
        roots = {self.read.alias.get(n, n) for n in self.item.op.inputs}
        return self.elements([n for n in roots if self.read.handed.get(n) == self.item.op.name])

    def handed_out(self) -> int:
        """Elements that are handed to the next step."""
        return self.elements([n for n in self.item.op.outputs if n in self.read.handed])

    def fused(self) -> int:
        """Operators that run on its results."""
        return sum(1 for host in self.read.fused.values() if host == self.item.op.name)

    def added(self, columns: int) -> int:
        """Elements added to a product's results: what it names beside its operands, or the bias of a folded norm."""
        named = self.elements(self.item.op.inputs[2:])
        return named or (columns if self.item.op.name in self.read.folded else 0)

    def tasks(self) -> Iterator[Task]:
        """Its tasks, each after the one before, among what a training step keeps."""
        op = self.item.op
        if op.name in self.kept.updates:
            yield from self.update()
            return
        for name in self.kept.first.get(op.name, ()):
            yield from rounded(self.elements([name]), self.design)
        made = self.kept.makes.get(op.name, ())
        for task in self.own():
            yield split(self.design, task) if made and isinstance(task, Product) else task
        for name in made:
            yield from handed_on(self.elements([name]), self.design)

    def update(self) -> Iterator[Task]:
        """A pass over what the optimizer reads and writes, behind the exchange of a gradient from another graph."""
        op, elements = self.item.op, self.elements(self.item.op.outputs[:1])
        if not any(op.inputs[1] in made for made in self.kept.makes.values()):
            yield from handed_on(elements, self.design)
        operations = vector_ops(op.kind, self.item.sizes)
        yield State(elements, len(op.inputs), len(op.outputs), 0, 0, operations)

    def own(self) -> Iterator[Task]:
        """The tasks of the operator itself."""
        kind = self.item.op.kind
        if kind in _PRODUCTS:
            yield from _PRODUCTS[kind](self)
        elif kind == "embedding":
            s = self.item.sizes
            yield Lookup(s["rows"], s["width"], self.handed_out())
        else:
            yield self.stream()

    def matmul(self) -> Iterator[Task]:
        """Rows of all matrices of a batch are rows of one, where they meet the same weights at the same time: the steps
        of a recurrent layer wait for one another."""
        s, attrs = self.item.sizes, self.item.op.attrs
        batch, m, n, k = s["batch"], s["m"], s["n"], s["k"]
        if attrs.get("static") and not attrs.get("sequential") and self.elements(self.item.op.inputs[1:2]) <= n * k:
            batch, m = 1, batch * m
        yield Product(batch, m, n, k, 0, 0, self.added(n), self.fused(), self.handed_in(), self.handed_out())

    def convolution(self) -> Iterator[Task]:
        """The product, and with im2col the pass before it, unless the input is the matrix itself."""
        s, attrs, groups = self.item.sizes, self.item.op.attrs, self.item.sizes["groups"]
        channels = s["in_channels"] // groups
        m, k = s["batch"] * s["out_h"] * s["out_w"], channels * s["kernel_h"] * s["kernel_w"]
        n = s["out_channels"] // groups
        image = s["batch"] * s["in_h"] * s["in_w"] * channels
        unique, halo, handed = 0, 0, self.handed_in()
        if s["kernel_h"] * s["kernel_w"] > 1 or image != m * k:
            unique = min(image, m * k)
            span = (s["kernel_h"] - 1) * int(attrs.get("dilation_h", 1)) + 1
            halo = max(0, span - int(attrs.get("stride_h", 1))) * s["in_w"] * channels
            if self.design.conv == Conv.IM2COL:
                yield Stream(groups * unique, groups * m * k, 0, 1, 1, 0, min(handed, groups * unique), 0)
                unique, halo, handed = 0, 0, 0
        added = self.added(s["out_channels"])
        yield Product(groups, m, n, k, unique, halo, added, self.fused(), handed, self.handed_out())

    def attention(self) -> Iterator[Task]:
        """Scores, softmax, weighted values; scores are handed on from step to step."""
        s = self.item.sizes
        heads = s["batch"] * s["kv_heads"]
        rows = s["q"] * (s["heads"] // s["kv_heads"])
        scores = heads * rows * s["kv"]
        masks = self.elements(self.item.op.inputs[3:])
        kept = scores if self.design.keep_on_chip else 0
        yield Product(heads, rows, s["kv"], s["d_qk"], 0, 0, 0, 0, 0, kept)
        yield Stream(scores, scores, vector_ops("attention", s), s["kv"], ROW_PASSES, masks, kept, kept)
        yield Product(heads, rows, s["d_v"], s["kv"], 0, 0, 0, self.fused(), kept, self.handed_out())

    def stream(self) -> Stream:
        """One pass over the vector lanes; a norm or softmax reads rows that are too long more than once."""
        op, s = self.item.op, self.item.sizes
        weights = self.item.weights()
        read = self.elements([n for n in op.inputs if n not in weights])
        written = self.elements(op.outputs)
        operations = vector_ops(op.kind, s) + self.fused() * written
        passes = ROW_PASSES if op.kind in ("softmax", "norm") else 1
        row = s["length"] if passes > 1 else 1
        return Stream(
            read, written, operations, row, passes, self.elements(weights), self.handed_in(), self.handed_out()
        )


_PRODUCTS: Mapping[str, Callable[[_Operator], Iterator[Task]]] = {
    "matmul": _Operator.matmul,
    "conv2d": _Operator.convolution,
    "attention": _Operator.attention,
}
RUNS = frozenset({*_PRODUCTS, "elementwise", "softmax", "norm", "pool", "reduce", "embedding", "concat", "copy"})
"""Kinds of operators that run here."""


# --- the program --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Call:
    """The steps of one graph call, and the elements of activations and state it holds."""

    graph: Graph
    first: int
    elements: int


def lower(workload: Workload, design: Design, binding: Mapping[str, float], machine: str) -> Program:
    """The program of `workload`: the host's overhead and the link first, then operators in order.

    Weights are dense whatever their density. Raises InputError naming every operator that cannot run.
    """
    schedule = workload.schedule()
    refuse(workload, schedule, RUNS, machine)
    sizes = {k: int(v) for k, v in binding.items() if not workload.symbols[k].ratio}
    program = Program()
    begin = _begin(program, workload, sizes)
    readings = {name: reading(graph, design) for name, graph in workload.graphs.items()}
    keeps = {name: trained(graph) for name, graph in workload.graphs.items()}
    lives = {name: lifetimes(graph) for name, graph in workload.graphs.items()}
    calls: list[_Call] = []
    local: Mapping[str, int] | None = None
    for item, walk in items(program, workload, schedule, sizes):
        if item.binding is not local:
            local = item.binding
            calls.append(_call(item, len(program), lives[item.graph.name]))
        read = readings[item.graph.name]
        steps = (len(program) - 1,) if design.in_order else item.after or begin
        if item.op.name in read.fused:
            program.free_ops[item.op.name] = f"runs on the results of {read.fused[item.op.name]} as they leave"
        else:
            for task in _Operator(item, read, design, keeps[item.graph.name]).tasks():
                steps = (program.add(task, item.layer, steps, turn=item.turn, load_waits=True),)
        walk.produced(item, steps)
    _name_first(program)
    _place(program, workload, sizes, calls)
    if any(0 < binding[k] < 1 for k, s in workload.symbols.items() if s.ratio):
        program.notes.append("weights run dense: this machine does not skip zeros")
    return program


def _begin(program: Program, workload: Workload, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The steps of the host and its link; those that the network waits for."""
    calls = workload.walk(sizes, workload.schedule())
    inputs, classes = 0, 0
    if calls:
        _, _, local, graph = calls[0]
        given = [graph.tensors[n] for n in graph.inputs if graph.tensors[n].role is Role.INPUT]
        inputs = sum(t.elements(local) for t in given)
        classes = target_classes(graph, local)
    program.add(Infeed(inputs, classes), 0)
    return (program.add(Overhead(1), 0),)


def _name_first(program: Program) -> None:
    """Report lines of the two steps of `_begin`, behind those of the operators, which the walk numbers from 0."""
    program.layer[0] = program.add_layer("infeed", "infeed", "step")
    program.layer[1] = program.add_layer("step", "overhead", "step")


def _call(item: Item, first: int, lives: Lifetimes) -> _Call:
    holds = held(lives, item.binding)
    return _Call(item.graph, first, holds.peak + holds.state)


def _place(program: Program, workload: Workload, sizes: Mapping[str, int], calls: Sequence[_Call]) -> None:
    """Parameters for the whole run; activations and state for each call."""
    last = len(program) - 1
    weights, tables = weight_bits(workload, workload.schedule(), sizes, 1)
    program.occupied.append(Placement("dram", Parameters(weights), 0, last, "weights"))
    program.occupied.append(Placement("dram", Parameters(tables), 0, last, "embedding tables"))
    ends = [call.first for call in calls[1:]] + [last + 1]
    for call, end in zip(calls, ends, strict=False):
        if end > call.first:
            what = f"activations of {call.graph.name}"
            program.occupied.append(Placement("dram", Values(call.elements), call.first, end - 1, what))
