"""Stacks of linear layers in a graph: what a network of look-up tables can stand in for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.workload.ir import Disposition, Graph, Op

FUNCTIONS = frozenset(
    {"add", "sub", "mul", "div", "neg", "relu", "clamp", "hardtanh", "round", "sign", "sigmoid", "tanh"}
)
"""Elementwise functions that occur between linear layers: biases, scales, activations, rounding to bits."""

NETWORK_KIND = "lut_network"


@dataclass(frozen=True, slots=True)
class Stack:
    """A run of operators of one graph, `first` to `last` (both included) of its list: a linear layer, and what follows
    it, all applied one after another."""

    graph: Graph
    first: int
    last: int

    @property
    def ops(self) -> tuple[Op, ...]:
        """Its operators in order."""
        return self.graph.ops[self.first : self.last + 1]

    @property
    def products(self) -> tuple[Op, ...]:
        """Its linear layers."""
        return tuple(op for op in self.ops if op.kind == "matmul")


def replaceable(op: Op) -> bool:
    """Whether `op` may stand in a stack: a product with a weight, a batch norm, an activation, a change of layout."""
    if op.disposition is Disposition.UNSUPPORTED:
        return False
    if op.kind == "matmul":
        return op.attrs.get("static") is True
    if op.kind == "norm":
        return op.attrs.get("function") == "batch_norm"
    if op.kind == "elementwise":
        return op.attrs.get("function") in FUNCTIONS
    return op.disposition is Disposition.FREE


def stacks(graph: Graph) -> Iterator[Stack]:
    """Every maximal stack of `graph`, in order; each begins with a linear layer."""
    first = -1
    for i, op in enumerate(graph.ops):
        if first >= 0 and not (replaceable(op) and _reads_only(graph, first, i)):
            yield Stack(graph, first, i - 1)
            first = -1
        if first < 0 and replaceable(op) and op.kind == "matmul":
            first = i
    if first >= 0:
        yield Stack(graph, first, len(graph.ops) - 1)


def _reads_only(graph: Graph, first: int, at: int) -> bool:
    """Whether operator `at` reads nothing but results of the stack and weights."""
    inside = {name for op in graph.ops[first:at] for name in op.outputs}
    made = {name for op in graph.ops for name in op.outputs} | set(graph.inputs)
    weights = {n for n, t in graph.tensors.items() if t.role.value == "weight"}
    return all(name in inside or name in weights for name in graph.ops[at].inputs if name in made | weights)
