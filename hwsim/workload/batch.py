"""Several inputs through a network at once, whatever size it was traced at."""

from __future__ import annotations

from dataclasses import replace

from hwsim.errors import bad_input
from hwsim.expr import Expr, parse
from hwsim.workload.ir import Disposition, Graph, Op, Role, Tensor, Workload

MAX_BATCH = 1 << 16
_OUTER = {
    "conv2d": "batch", "attention": "batch", "pool": "batch", "softmax": "rows", "norm": "rows", "reduce": "rows",
    "elementwise": "elements", "concat": "elements", "copy": "elements", "embedding": "rows", "lut_network": "samples",
}  # fmt: skip
"""The loop size that grows with the number of inputs; a matmul's is `m` where its second operand is a weight."""


def batched(workload: Workload, batch: int) -> Workload:
    """`workload` with `batch` independent inputs at once: the same weights, `batch` times everything that flows.

    Raises InputError for a batch that is no number from 1 to MAX_BATCH, and for state that outlives a call.
    """
    if not 1 <= batch <= MAX_BATCH:
        raise bad_input("range", batch, f"a batch is an integer from 1 to {MAX_BATCH}", key="batch")
    if batch == 1:
        return workload
    graphs = {name: _graph(workload.name, graph, batch) for name, graph in workload.graphs.items()}
    return replace(workload, summary=f"{workload.summary}; {batch} at once", graphs=graphs)


def _graph(workload: str, graph: Graph, batch: int) -> Graph:
    held = [t.name for t in graph.tensors.values() if t.role is Role.STATE]
    if held:
        raise bad_input("batch", batch, f"{workload} keeps {held[0]} from one call to the next",
                        "Bind its own batch size, if it has one.", key="batch")  # fmt: skip
    tensors = {name: _tensor(tensor, batch) for name, tensor in graph.tensors.items()}
    return replace(graph, tensors=tensors, ops=tuple(_op(graph, op, batch) for op in graph.ops))


def _times(size: Expr, batch: int) -> Expr:
    return parse(f"({size})*{batch}") if size.symbols else parse(size.value({}) * batch)


def _tensor(tensor: Tensor, batch: int) -> Tensor:
    if tensor.role is Role.WEIGHT or not tensor.shape:
        return tensor
    return replace(tensor, shape=(_times(tensor.shape[0], batch), *tensor.shape[1:]))


def _op(graph: Graph, op: Op, batch: int) -> Op:
    grows = _grows(graph, op)
    if grows not in op.dims:
        return op
    return replace(op, dims={name: _times(size, batch) if name == grows else size for name, size in op.dims.items()})


def _grows(graph: Graph, op: Op) -> str:
    """The loop size of an operator that grows with the number of inputs; "" if none does."""
    flows = any(graph.tensors[n].role is not Role.WEIGHT for n in op.inputs)
    if not flows or op.disposition is Disposition.FUSED:
        return ""
    if op.kind == "matmul":
        return "m" if any(graph.tensors[n].role is Role.WEIGHT for n in op.inputs) else "batch"
    return _OUTER.get(op.kind, "")
