"""From operators to kernels: which kernel runs an operator, at which bits, and where tensors lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from accelerators.mcu import mixes
from accelerators.mcu.kernels import Kernel, Operation, Scheme, Shape, columns_bytes, weights_bytes
from accelerators.mcu.quantized import Assignment, Quantized, Scaling
from accelerators.mcu.toolchain import Isa
from hwsim.errors import InputError, Problem, Where, bad_input
from hwsim.lowering import Item, items, refuse
from hwsim.model import Placement, Program
from hwsim.pure import ceil_div
from hwsim.quant import assign
from hwsim.quant.branching import Flow, assign_flow
from hwsim.quant.chain import chain_of, is_chain
from hwsim.quant.graphs import flow_of
from hwsim.schedule.extract import from_workload
from hwsim.schedule.graph import Graph
from hwsim.schedule.place import place
from hwsim.workload.ir import Disposition, Op, Role, Workload
from hwsim.workload.ir import Graph as Network

BYTE = 8
QUAD = 4
"""Channels come in quads; fewer are filled up."""

KINDS = frozenset({"conv2d", "matmul", "pool", "elementwise"})
CLAMPS = frozenset({"hardtanh", "relu", "relu6"})
"""Activations that a layer's requantization does anyway: its output range starts and ends where they cut."""

ALIGN_BITS = 32
"""Kernels read words: every tensor starts at one."""

TRIES = 2000
"""Tensors that the exact placement puts down before the best so far is taken."""

SCHEME_OF = {
    assign.Requantizer.PL_FB: Scheme.PL_FB,
    assign.Requantizer.PL_ICN: Scheme.PL_ICN,
    assign.Requantizer.PC_ICN: Scheme.PC_ICN,
    assign.Requantizer.PL_SHIFTS: Scheme.SHIFTS,
}


def quads(channels: int) -> int:
    """Channels filled up to whole quads."""
    return ceil_div(channels, QUAD) * QUAD


# --- bits -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Widths:
    """Bits of weights of every operator with weights, by name, of outputs by operator, and of all other outputs."""

    weights: Mapping[str, int]
    outputs: Mapping[str, int]
    otherwise: int


def weighted(network: Network) -> list[Op]:
    """Operators that multiply by weights, in order."""
    return [
        op
        for op in network.ops
        if op.kind in ("conv2d", "matmul") and any(network.tensors[n].role is Role.WEIGHT for n in op.inputs)
    ]


def widths_of(workload: Workload, network: Network, design: Quantized) -> Widths:
    """The design's widths for every layer, the last output at 8 bits; or those that the memory-driven rules choose, for
    a network that branches in the order given."""
    ops = weighted(network)
    names = [op.name for op in ops]
    if design.assignment == Assignment.RULES:
        limits = assign.Limits(design.flash_capacity_bits, design.ram_bits)
        if not is_chain(workload):
            return _flow_widths(flow_of(workload, as_given=True), limits, assign.Scheme[Scaling(design.scaling).name])
        plan = assign.assign_by_rules(chain_of(workload), limits, assign.Scheme[Scaling(design.scaling).name])
        outputs = dict(zip(names, plan.bits.values[1:], strict=True))
        return Widths(dict(zip(names, plan.bits.weights, strict=True)), outputs, assign.WIDEST)
    outputs = dict.fromkeys(names, design.activation_bits)
    outputs |= dict.fromkeys(outputs.keys() & _makers_of_outputs(network), assign.WIDEST)
    return Widths(dict.fromkeys(names, design.weight_bits), outputs, design.activation_bits)


def _flow_widths(flow: Flow, limits: assign.Limits, scheme: assign.Scheme) -> Widths:
    plan = assign_flow(flow, limits, scheme)
    names = [step.name for step in flow.steps if step.layer]
    outputs = {step.name: plan.widths[step.writes] for step in flow.steps}
    return Widths(dict(zip(names, plan.weights, strict=True)), outputs, assign.WIDEST)


def _makers_of_outputs(network: Network) -> set[str]:
    """The operators whose values are the network's outputs, clamps aside."""
    maker = {name: op for op in network.ops for name in op.outputs}
    found = set()
    for name in network.outputs:
        op = maker.get(name)
        while op is not None and op.attrs.get("function") in CLAMPS:
            op = maker.get(op.inputs[0])
        found |= {op.name} if op is not None else set()
    return found


# --- kernels ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Run:
    """One kernel on one shape, with the parameters it reads from flash and the RAM it needs beside its tensors."""

    kernel: Kernel
    shape: Shape
    weight_bits: int = 0
    scratch_bits: int = 0


def _refused(item: Item, rule: str) -> InputError:
    where = Where(file=f"graph {item.graph.name}", key=item.op.name)
    return InputError([Problem("unsupported-op", where, item.op.kind, rule, "Run the network on another accelerator.")])


def _operation(item: Item, s: Mapping[str, int]) -> Operation:
    """The kernel of a convolution. Raises InputError for one that none computes."""
    attrs = item.op.attrs
    if s["batch"] != 1 or attrs.get("dilation_h", 1) != 1 or attrs.get("dilation_w", 1) != 1:
        raise _refused(item, "convolutions run on one image, without dilation")
    if s["groups"] == s["in_channels"] == s["out_channels"] > 1:
        return Operation.DEPTHWISE
    if s["groups"] != 1:
        raise _refused(item, "a convolution has one group, or as many as channels")
    plain = (s["kernel_h"], s["kernel_w"], attrs.get("stride_h", 1), attrs.get("stride_w", 1)) == (1, 1, 1, 1)
    padded = any(attrs.get(f"pad_{side}", 0) for side in ("top", "bottom", "left", "right"))
    return Operation.POINTWISE if plain and not padded else Operation.CONV


def _window(item: Item) -> tuple[int, int, int, int]:
    """Strides and leading padding."""
    attrs = item.op.attrs
    return tuple(int(attrs.get(key, default)) for key, default in
                 (("stride_h", 1), ("stride_w", 1), ("pad_top", 0), ("pad_left", 0)))  # type: ignore[return-value]  # fmt: skip


def _conv_shape(item: Item) -> Shape:
    s = item.sizes
    return Shape(s["in_h"], s["in_w"], quads(s["in_channels"]), s["out_h"], s["out_w"], quads(s["out_channels"]),
                 s["kernel_h"], s["kernel_w"], *_window(item))  # fmt: skip


def _matmul_shape(item: Item) -> tuple[Operation, Shape]:
    """One row of inputs is a fully connected layer; several are the pixels of a pointwise one."""
    s = item.sizes
    if not item.op.attrs.get("static", False) or s["batch"] != 1:
        raise _refused(item, "a matrix product has one operand of weights")
    k, n, rows = quads(s["k"]), quads(s["n"]), s["m"]
    if rows == 1:
        return Operation.DENSE, Shape(1, 1, k, 1, 1, n)
    return Operation.POINTWISE, Shape(1, rows, k, 1, rows, n)


def _pool_shape(item: Item) -> tuple[Operation, Shape]:
    s = item.sizes
    source = item.graph.tensors[item.op.inputs[0]].shape
    if s["batch"] != 1 or len(source) != 4:
        raise _refused(item, "pools run on one image")
    in_h, in_w = (size.value(item.binding) for size in source[2:])
    channels = quads(s["channels"])
    kind = Operation.MAX_POOL if item.op.attrs.get("function") == "max" else Operation.AVERAGE_POOL
    return kind, Shape(in_h, in_w, channels, s["out_h"], s["out_w"], channels, s["kernel_h"], s["kernel_w"],
                       *_window(item))  # fmt: skip


def _filled(shape: list[int]) -> int:
    """Elements of a value (batch, channels, ...) with its channels filled up."""
    return quads(shape[0]) if len(shape) == 1 else shape[0] * quads(shape[1]) * math.prod(shape[2:])


@dataclass(frozen=True, slots=True)
class Target:
    """What a model makes of kernels: their instruction set, and the task of one call, made from a run and the
    multiply-accumulates of the network that it stands for. Tasks have a field `weight_bits`, machines the memories
    `flash`, `ram` and `scratch`."""

    isa: Isa
    task: Callable[[Run, int], Any]


@dataclass
class Lowering:
    """One network on one design: its program so far, and the bits of every value."""

    workload: Workload
    design: Quantized
    network: Network
    widths: Widths
    target: Target
    program: Program = field(default_factory=Program)
    bits: dict[str, int] = field(default_factory=dict)
    step: dict[str, int] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    def width(self, name: str) -> int:
        """Bits of an element of a tensor; what the network is given comes at 8."""
        return self.bits.get(name, assign.WIDEST)

    def scheme(self, weight_bits: int, out_bits: int) -> assign.Requantizer:
        return assign.requantizer(assign.Scheme[Scaling(self.design.scaling).name], weight_bits, out_bits)

    def weighted_run(self, item: Item, operation: Operation, shape: Shape) -> Run:
        """A layer with weights, at its own widths."""
        name = item.op.name
        weight_bits, out_bits = self.widths.weights[name], self.widths.outputs[name]
        requantizer = self.scheme(weight_bits, out_bits)
        in_bits = self.width(self.values(item)[0])
        kernel = Kernel(operation, in_bits, out_bits, weight_bits, SCHEME_OF[requantizer])
        last = name == list(self.widths.weights)[-1]
        flash = weights_bytes(kernel, shape) * BYTE
        flash += assign.auxiliary_bits(requantizer, shape.out_c, out_bits, last=last)
        return Run(kernel, shape, flash, columns_bytes(kernel, shape, self.target.isa) * BYTE)

    def values(self, item: Item) -> list[str]:
        """Its inputs that are not weights."""
        weights = set(item.weights())
        return [n for n in item.op.inputs if n not in weights]

    def run_of(self, item: Item) -> Run | None:
        """The kernel that runs an operator; None where the layer before does it on the way."""
        kind = item.op.kind
        if kind == "conv2d":
            return self.weighted_run(item, _operation(item, item.sizes), _conv_shape(item))
        if kind == "matmul":
            return self.weighted_run(item, *_matmul_shape(item))
        if kind == "pool":
            operation, shape = _pool_shape(item)
            bits = self.width(self.values(item)[0])
            return Run(Kernel(operation, bits, bits, bits), shape)
        return self.elementwise(item)

    def elementwise(self, item: Item) -> Run | None:
        function, values = item.op.attrs.get("function"), self.values(item)
        if function in CLAMPS and len(values) == 1:
            return None
        sizes = [item.graph.tensors[n].elements(item.binding) for n in values]
        if function == "add" and sizes == [item.sizes["elements"]] * 2:
            return self.sum(item, values, self.widths.outputs.get(item.op.name, self.widths.otherwise))
        raise _refused(item, f"there is no kernel for {function or 'this function'}")

    def sum(self, item: Item, values: list[str], out_bits: int) -> Run:
        """A sum, of which one operand may lack channels."""
        sources = [self.unfilled(item.op, name) for name in values]
        shapes = [[size.value(item.binding) for size in item.graph.tensors[name].shape] for name in sources]
        operands = list(zip(shapes, map(self.width, sources), strict=True))
        if shapes[0] != shapes[1]:
            operands.sort()
        ((fewer, one), (most, other)) = operands
        if fewer == most or quads(fewer[1]) == quads(most[1]):  # What fills up a quad is zero.
            n = _filled(most)
            return Run(Kernel(Operation.ADD, one, out_bits, other), Shape(1, 1, n, 1, 1, n))
        height, width = most[2:]
        shape = Shape(height, width, quads(fewer[1]), height, width, quads(most[1]))
        return Run(Kernel(Operation.PADDED_ADD, one, out_bits, other), shape)

    def unfilled(self, op: Op, tensor: str) -> str:
        """What `op` reads where a fused operator only fills `tensor` up with channels of zeros for it."""
        maker = next((o for o in self.network.ops if tensor in o.outputs), None)
        fills = maker is not None and maker.kind == "copy" and maker.disposition is Disposition.FUSED
        return maker.inputs[0] if maker is not None and fills and maker.into == op.name else tensor

    def lower(self, sizes: Mapping[str, int]) -> Program:
        """Every operator in network order, then where everything lies."""
        for item, walk in items(self.program, self.workload, self.workload.schedule(), sizes):
            run = self.run_of(item)
            if run is None:
                self.program.free_ops[item.op.name] = "clamps, which the layer before does as it requantizes"
                walk.produced(item, item.after)
                self.step[item.op.name] = max(item.after, default=0)
                out_bits = self.width(self.values(item)[0])
            else:
                step = self.program.add(self.target.task(run, item.op.macs(item.binding)), item.layer, item.after)
                walk.produced(item, (step,))
                self.step[item.op.name] = step
                self.runs.append(run)
                out_bits = run.kernel.out_bits
            self.bits |= dict.fromkeys(item.op.outputs, out_bits)
            self._through_views()
        _drop_free_lines(self.program)
        self.program.occupied.extend(self.placements(sizes))
        return self.program

    def _through_views(self) -> None:
        """Free and fused operators keep the width of what they show or are a part of."""
        for op in self.network.ops:
            if op.inputs and op.inputs[0] in self.bits and op.outputs[0] not in self.bits and op.kind not in KINDS:
                self.bits |= dict.fromkeys(op.outputs, self.bits[op.inputs[0]])

    # Where things lie

    def placements(self, sizes: Mapping[str, int]) -> list[Placement]:
        last = len(self.program) - 1
        if last < 0:
            return []
        weights = sum(run.weight_bits for run in self.runs)
        code = mixes.text_bytes(self.target.isa, {run.kernel for run in self.runs}) * BYTE
        placed = [Placement("flash", weights, 0, last, "weights"), Placement("flash", code, 0, last, "code")]
        columns = max(run.scratch_bits for run in self.runs)
        placed.append(Placement("scratch", columns, 0, last, "im2col columns"))
        return placed + self.arena(sizes)

    def arena(self, sizes: Mapping[str, int]) -> list[Placement]:
        """Offsets of all tensors in one arena, in network order, at their own widths."""
        graph = self.narrowed(from_workload(self.network, sizes))
        order = [node.name for node in graph.nodes]
        at = self.steps_of(order)
        found = place(graph, order, "exact", ALIGN_BITS, TRIES)
        return [
            Placement("ram", block.size_bits, at[block.first], at[block.last], " ".join(block.buffers),
                      found.offset_bits[block.buffers[0]])
            for block in found.blocks if block.size_bits
        ]  # fmt: skip

    def narrowed(self, graph: Graph) -> Graph:
        """The graph with tensors of whole bytes at the widths they have here."""
        made = {op.name: self.width(op.outputs[0]) for op in self.network.ops}
        nodes = [
            replace(node, size_bits=assign.tensor_bits(node.size_bits // node.element_bits,
                                                       made.get(node.name, assign.WIDEST)))
            for node in graph.nodes
        ]  # fmt: skip
        return Graph(nodes, graph.outputs, graph.name)

    def steps_of(self, order: list[str]) -> list[int]:
        """The program's step at each place of the order; inputs lie ready at the next operator's."""
        steps, following = [], len(self.program) - 1
        for name in reversed(order):
            following = self.step.get(name, following)
            steps.append(following)
        return steps[::-1]


def _drop_free_lines(program: Program) -> None:
    """Report lines of operators that another one does: they have no step of their own."""
    used = sorted(set(program.layer))
    place_of = {old: new for new, old in enumerate(used)}
    program.layers[:] = [program.layers[old] for old in used]
    program.layer[:] = [place_of[old] for old in program.layer]


def lower(workload: Workload, design: Quantized, binding: Mapping[str, float], target: Target) -> Program:
    """The program. Raises InputError naming every operator no kernel runs, and for a workload of several calls."""
    schedule = workload.schedule()
    refuse(workload, schedule, KINDS, "a microcontroller")
    calls = [call for phase in schedule for call in phase.calls]
    if len(calls) != 1 or schedule[0].repeat is not None:
        raise bad_input("not-one-graph", f"{len(calls)} calls of graphs", "a microcontroller runs one graph once",
                        "Take a network that is traced as one graph.", key=workload.name)  # fmt: skip
    network = workload.graphs[calls[0].graph]
    sizes = {k: int(v) for k, v in binding.items() if not workload.symbols[k].ratio}
    return Lowering(workload, design, network, widths_of(workload, network, design), target).lower(sizes)
