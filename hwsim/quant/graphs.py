"""A workload's graph as a flow: steps in the order they run, and the values between them."""

from __future__ import annotations

from hwsim.quant.branching import Flow, Step
from hwsim.quant.chain import NO_SIZES, layer_of, not_quantizable, only_graph
from hwsim.schedule.extract import Rules, from_workload
from hwsim.schedule.graph import Graph as Nodes
from hwsim.schedule.graph import Node
from hwsim.schedule.order import search
from hwsim.workload.ir import Disposition, Graph, Op, Role, Workload

STEPS = frozenset({"conv2d", "matmul", "pool", "elementwise", "concat"})
"""Operators that bits can be chosen for."""


def flow_of(workload: Workload, *, as_given: bool = False) -> Flow:
    """The steps of a workload in the order with the lowest peak of live values, all of one width; or as they are given.

    An operator of one operand runs within a neighbour where it can, a concat leaves its parts where they lie, and the
    network's inputs lie in RAM from the start. Steps are named by the operator that does their work. Raises InputError
    unless the workload is one graph of fixed sizes, run once, of operators in STEPS.
    """
    graph = only_graph(workload)
    ops = {op.name: op for op in graph.ops}
    nodes = from_workload(graph, NO_SIZES, Rules(resident_inputs=True))
    for node in nodes.nodes:
        if node.name in ops:
            _check(workload, graph, ops[node.name])
    if not any(_weighted(graph, op) for op in ops.values()):
        rule = "it must have a layer with weights"
        raise not_quantizable(workload, "no convolution or matrix product with weights", rule)
    order = nodes.names if as_given else search(nodes).order
    return _flow(graph, ops, nodes, order)


def _check(workload: Workload, graph: Graph, op: Op) -> None:
    known = op.disposition is not Disposition.UNSUPPORTED and op.kind in STEPS
    if not known or (op.kind == "matmul" and not _weighted(graph, op)):
        kinds = "convolution, product with weights, pooling, elementwise function or concat"
        raise not_quantizable(workload, op.name, f"every operator must be a {kinds}")


def _weighted(graph: Graph, op: Op) -> bool:
    return op.kind in ("conv2d", "matmul") and any(graph.tensors[name].role is Role.WEIGHT for name in op.inputs)


def _flow(graph: Graph, ops: dict[str, Op], nodes: Nodes, order: tuple[str, ...]) -> Flow:
    stored = [nodes[name] for name in order if not nodes[name].alias]
    number = {node.name: i for i, node in enumerate(stored)}
    elements = tuple(node.size_bits // node.element_bits for node in stored)

    def values(name: str) -> tuple[int, ...]:
        return tuple(number[root] for root in nodes.roots[name])

    def step(node: Node) -> Step:
        op = ops[node.name]
        layer = layer_of(graph, op, node.name) if _weighted(graph, op) else None
        kind = str(op.attrs.get("function", op.kind))
        reads = tuple(dict.fromkeys(value for read in node.reads for value in values(read)))
        return Step(node.name, reads, number[node.name], layer, op.kind == "pool", kind)

    steps = tuple(step(node) for node in stored if node.reads)
    inputs = tuple(number[node.name] for node in stored if not node.reads)
    outputs = tuple(sorted({value for name in nodes.outputs for value in values(name)}))
    return Flow(elements, steps, outputs, inputs, tuple(values(n.name) for n in nodes.nodes if n.alias))
