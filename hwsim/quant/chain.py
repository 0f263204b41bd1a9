"""A network as a chain of layers with weights: what deciding on bit widths has to know of it.

The memory model is that of Rusci, Capotondi and Benini, "Memory-Driven Mixed Low Precision Quantization for Enabling
Deep Network Inference on Microcontrollers" (arXiv 1905.13082): weights and their auxiliary parameters live in flash,
and only the input and the output of the layer that runs live in RAM. Activations, norms and pooling between two layers
with weights belong to the first of the two and need no memory of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from hwsim.errors import InputError, bad_input
from hwsim.workload.ir import Disposition, Graph, Op, Role, Workload

NO_SIZES: Mapping[str, int] = {}


class Kind(Enum):
    """How a layer's products are arranged."""

    CONV = "conv"
    DEPTHWISE = "depthwise"
    POINTWISE = "pointwise"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with weights: how many weights, input elements, output elements, output channels and products it has."""

    name: str
    kind: Kind
    weights: int
    inputs: int
    outputs: int
    channels: int
    macs: int


def chain_of(workload: Workload) -> tuple[Layer, ...]:
    """The layers with weights of a workload, in network order, named by the first part of their module's name that
    tells them apart.

    Raises InputError unless the workload is one graph of fixed sizes, run once, in which every value is read by one
    operator: the memory model knows no other.
    """
    graph = only_graph(workload)
    found = [op for op in _in_a_row(workload, graph) if op.kind in ("conv2d", "matmul")]
    if not found:
        raise not_quantizable(
            workload, "no convolution or matrix product with weights", "it must have a layer with weights"
        )
    names = short_names([op.module or op.name for op in found])
    return tuple(layer_of(graph, op, name) for op, name in zip(found, names, strict=True))


def not_quantizable(workload: Workload, got: str, rule: str) -> InputError:
    """What is said of a network whose bits cannot be chosen."""
    return bad_input("not-quantizable", got, f"{rule} for its bits to be chosen",
                     "Take a network of layers with weights, for instance mobilenet-v1-0.5-160.",
                     key=workload.name)  # fmt: skip


def only_graph(workload: Workload) -> Graph:
    """The one graph of a workload. Raises InputError for several, for repeats and for sizes that are not fixed."""
    phases = workload.schedule()
    calls = [call for phase in phases for call in phase.calls]
    if len(calls) != 1 or phases[0].repeat is not None:
        raise not_quantizable(workload, f"{len(calls)} calls of graphs", "the network must be one graph that runs once")
    graph = workload.graphs[calls[0].graph]
    if graph.symbols or workload.symbols:
        sizes = ", ".join(sorted(graph.symbols | workload.symbols.keys()))
        raise not_quantizable(workload, f"the sizes {sizes}", "all sizes must be fixed")
    return graph


def _in_a_row(workload: Workload, graph: Graph) -> list[Op]:
    """The graph's operators, each of which reads what the one before has written and nothing else but weights."""
    if found := branch_of(graph):
        raise not_quantizable(workload, *found)
    for op in graph.ops:
        if op.disposition is Disposition.UNSUPPORTED:
            raise not_quantizable(workload, op.name, "every operator must be supported")
    return list(graph.ops)


def branch_of(graph: Graph) -> tuple[str, str] | None:
    """Where a graph is no chain: what branches there, and the rule it breaks."""
    readers: dict[str, list[str]] = {}
    for op in graph.ops:
        values = [name for name in op.inputs if graph.tensors[name].role is not Role.WEIGHT]
        if len(values) != 1 or len(op.outputs) != 1:
            return op.name, f"every operator must read one value, and this reads {len(values)},"
        readers.setdefault(values[0], []).append(op.name)
    for value, names in readers.items():
        if len(names) > 1:
            return value, f"every value must have one reader, and this has {', '.join(names)},"
    return None


def is_chain(workload: Workload) -> bool:
    """Whether `chain_of` takes a workload's graph. Raises InputError where there is not one graph of fixed sizes."""
    return branch_of(only_graph(workload)) is None


def short_names(modules: list[str]) -> list[str]:
    """The first parts of dotted names where these differ ("pw1" of "pw1.conv"), otherwise the whole names."""
    short = [name.split(".")[0] for name in modules]
    return short if len(set(short)) == len(short) else modules


def layer_of(graph: Graph, op: Op, name: str) -> Layer:
    """The layer that a convolution or a product with weights is."""
    sizes = op.sizes(NO_SIZES)
    weights = sum(
        graph.tensors[i].elements(NO_SIZES)
        for i in op.inputs
        if graph.tensors[i].role is Role.WEIGHT and len(graph.tensors[i].shape) > 1
    )
    macs = op.macs(NO_SIZES)
    if op.kind == "matmul":
        rows = sizes["batch"] * sizes["m"]
        return Layer(name, Kind.LINEAR, weights, rows * sizes["k"], rows * sizes["n"], sizes["n"], macs)
    inputs = sizes["batch"] * sizes["in_channels"] * sizes["in_h"] * sizes["in_w"]
    outputs = sizes["batch"] * sizes["out_channels"] * sizes["out_h"] * sizes["out_w"]
    return Layer(name, _conv_kind(sizes), weights, inputs, outputs, sizes["out_channels"], macs)


def _conv_kind(sizes: Mapping[str, int]) -> Kind:
    if sizes["groups"] > 1 and sizes["groups"] == sizes["in_channels"]:
        return Kind.DEPTHWISE
    return Kind.POINTWISE if sizes["kernel_h"] == sizes["kernel_w"] == 1 else Kind.CONV
