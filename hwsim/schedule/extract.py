"""A workload's graph as ordering and placement see it: operators joined, views resolved, sizes in bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from hwsim.schedule.graph import Graph, Node
from hwsim.workload import ir
from hwsim.workload.ir import Disposition, Op, Role

INPUT = "input"
CONV, DEPTHWISE, CONCAT = "conv2d", "depthwise", "concat"
"""Operators that rewriting knows; a CONCAT joins channels."""
_FUSES = frozenset({"conv2d", "matmul", "pool", "norm", "elementwise", "attention", "reduce"})
_CHANNEL_AXIS = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """What the machine's kernels do.

    `fuse`: an elementwise operator of one operand is computed by the operator beside it where nothing else needs the
    value between them. `copy_concat`: a concat copies, instead of leaving its parts where they lie. `in_place`: an
    elementwise operator is written over an operand that ends with it. `resident_inputs`: every input of the network
    lies in memory from the start, instead of being fetched when it is first needed.
    """

    fuse: bool = True
    copy_concat: bool = False
    in_place: bool = False
    resident_inputs: bool = False


def from_workload(graph: ir.Graph, binding: Mapping[str, int], rules: Rules = Rules()) -> Graph:
    """The graph at the sizes of `binding`.

    Weights and what depends on them or on sizes alone are not counted, nor are states (a key/value cache), which
    outlive the graph, and what is appended to them. A node with several outputs holds them in one buffer. A node is
    called as the operator that does its work.
    """
    return _Extraction(graph, binding, rules).result()


@dataclass
class _Extraction:
    graph: ir.Graph
    binding: Mapping[str, int]
    rules: Rules
    leader: dict[str, str] = field(default_factory=dict)
    """The operator whose node each operator is a part of, where that is another one."""

    # What is stored where

    @cached_property
    def root(self) -> dict[str, str]:
        """The tensor that holds each tensor's values, views followed; "" for what is not counted."""
        found = {n: n if t.role is Role.INPUT else "" for n, t in self.graph.tensors.items() if n in self.given}
        for op in self.graph.ops:
            held = next((found[t] for t in op.inputs if found.get(t)), "")
            for out in op.outputs:
                found[out] = (held if op.kind == "view" else "") if op.disposition is Disposition.FREE else out
        return found

    @cached_property
    def given(self) -> set[str]:
        """Tensors that no operator makes."""
        return self.graph.tensors.keys() - {out for op in self.graph.ops for out in op.outputs}

    @cached_property
    def ops(self) -> dict[str, Op]:
        """The operators that do something, by name."""
        return {op.name: op for op in self.graph.ops if op.disposition is not Disposition.FREE}

    @cached_property
    def maker(self) -> dict[str, str]:
        """The operator that makes each stored tensor."""
        return {out: op.name for op in self.ops.values() for out in op.outputs}

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """The operators that read each stored tensor, through views too."""
        found: dict[str, list[str]] = {}
        for op in self.ops.values():
            for root in self.operands(op):
                found.setdefault(root, []).append(op.name)
        return found

    @cached_property
    def kept(self) -> set[str]:
        """Stored tensors that the graph's outputs show."""
        return {root for out in self.graph.outputs if (root := self.root.get(out, ""))}

    def operands(self, op: Op) -> list[str]:
        """The stored tensors that `op` reads, each once, in order."""
        return list(dict.fromkeys(root for t in op.inputs if (root := self.root.get(t, ""))))

    def bits(self, tensor: str) -> int:
        """Size of one tensor."""
        found = self.graph.tensors[tensor]
        return found.elements(self.binding) * found.bits

    # Joining operators

    def head(self, op: str) -> str:
        """The operator whose node `op` belongs to."""
        while op in self.leader:
            op = self.leader[op]
        return op

    def join(self) -> None:
        """Join what the trace calls fused, then what the rules fuse."""
        for op in self.ops.values():
            if op.disposition is Disposition.FUSED and op.into in self.ops:
                self.leader[op.name] = op.into
        for op in self.ops.values() if self.rules.fuse else ():
            if op.disposition is not Disposition.FUSED and op.kind == "elementwise" and len(self.operands(op)) == 1:
                self._join_unary(op)

    def _join_unary(self, op: Op) -> None:
        (operand,), out = self.operands(op), op.outputs[0]
        if self.bits(operand) != self.bits(out):
            return
        before = self.maker.get(operand, "")
        own = self.head(op.name)
        if before and self.head(before) != own and self._between(operand, before):
            self.leader[own] = self.head(before)
        elif len(self.readers.get(out, ())) == 1 and self._between(out, self.readers[out][0]):
            after = self.head(self.readers[out][0])
            self.leader.update({own: after} if after != own else {})

    def _between(self, tensor: str, neighbour: str) -> bool:
        """Whether `tensor` is seen by one reader alone, and `neighbour` can compute what lies beyond it."""
        alone = len(self.readers.get(tensor, ())) == 1 and tensor not in self.kept
        return alone and self.ops[self.head(neighbour)].kind in _FUSES

    # Nodes

    def result(self) -> Graph:
        """The graph."""
        self.join()
        nodes = list(self.inputs())
        groups: dict[str, list[Op]] = {}
        for op in self.ops.values():
            groups.setdefault(self.head(op.name), []).append(op)
        last = {head: max(list(self.ops).index(op.name) for op in ops) for head, ops in groups.items()}
        made = [self.node(head, groups[head]) for head in sorted(groups, key=lambda head: last[head])]
        if self.rules.resident_inputs:
            nodes, made = _resident(nodes, made)
        outputs = {self.node_of(root) for root in self.kept}
        return Graph([*nodes, *made], outputs, self.graph.name)

    def inputs(self) -> Iterator[Node]:
        """One node an input of the network."""
        for name in self.graph.inputs:
            if self.root.get(name):
                tensor = self.graph.tensors[name]
                yield Node(self.node_of(name), size_bits=self.bits(name), op=INPUT, channels=self.channels(name),
                           element_bits=tensor.bits)  # fmt: skip

    def node_of(self, tensor: str) -> str:
        """Name of the node that makes a stored tensor."""
        if tensor in self.maker:
            return self.head(self.maker[tensor])
        return f"input:{tensor}" if tensor in self.ops else tensor

    def channels(self, tensor: str) -> int:
        """Channels of a tensor (batch, channels, ...); 0 for one without."""
        shape = self.graph.tensors[tensor].shape
        return shape[_CHANNEL_AXIS].value(self.binding) if len(shape) > _CHANNEL_AXIS else 0

    def node(self, head: str, members: list[Op]) -> Node:
        """The node of the operators joined to `head`."""
        inside = {out for op in members for out in op.outputs}
        reads = dict.fromkeys(r for op in members for r in self.operands(op) if r not in inside)
        names = {op.name for op in members}
        outs = [t for t in inside if t in self.kept or not {*self.readers.get(t, ("",))} <= names]
        outs = sorted(outs, key=list(inside).index) or [members[-1].outputs[0]]
        op = self.ops[head]
        kind = self.kind(op)
        appends = op.kind == "concat" and bool(op.attrs.get("append"))
        alias = op.kind == "concat" and not appends and not self.rules.copy_concat and bool(reads)
        size = 0 if alias or appends else sum(map(self.bits, outs))
        node = Node(head, tuple(dict.fromkeys(self.node_of(r) for r in reads)), size, kind, alias,
                    channels=self.channels(outs[0]), element_bits=self.graph.tensors[outs[0]].bits)  # fmt: skip
        return replace(node, in_place=self.overwritten(op, reads, size))

    def kind(self, op: Op) -> str:
        """The operator's name for rewriting: a depthwise convolution and a concat of channels are told apart."""
        if op.kind == "conv2d":
            sizes = op.sizes(self.binding)
            if sizes["groups"] == sizes["in_channels"] == sizes["out_channels"] > 1:
                return DEPTHWISE
            return CONV if sizes["groups"] == 1 else "grouped"
        return "concat-other" if op.kind == "concat" and not self.joins_channels(op) else op.kind

    def joins_channels(self, op: Op) -> bool:
        """Whether a concat is one of channels, each part a tensor of its own."""
        shapes = [[e.value(self.binding) for e in self.graph.tensors[t].shape] for t in (*op.inputs, op.outputs[0])]
        if len({len(s) for s in shapes}) != 1 or len(shapes[0]) <= _CHANNEL_AXIS:
            return False
        rest = {(*s[:_CHANNEL_AXIS], *s[_CHANNEL_AXIS + 1 :]) for s in shapes}
        added = sum(s[_CHANNEL_AXIS] for s in shapes[:-1])
        whole = all(self.root.get(t) == t for t in op.inputs) and len(set(op.inputs)) == len(op.inputs)
        return len(rest) == 1 and added == shapes[-1][_CHANNEL_AXIS] and whole

    def overwritten(self, op: Op, reads: Iterable[str], size: int) -> str:
        """The operand that an elementwise node may be written over: of its size, with the fewest readers."""
        if not self.rules.in_place or op.kind != "elementwise":
            return ""
        fit = [r for r in reads if self.bits(r) == size]
        best = min(fit, key=lambda r: len(self.readers[r]), default="")
        return self.node_of(best) if best else ""


def _resident(inputs: list[Node], made: list[Node]) -> tuple[list[Node], list[Node]]:
    """Inputs one after the other, and everything else after them."""
    chained = [replace(n, after=(inputs[i - 1].name,) if i else ()) for i, n in enumerate(inputs)]
    last = (inputs[-1].name,) if inputs else ()
    return chained, [replace(n, after=last) for n in made]
