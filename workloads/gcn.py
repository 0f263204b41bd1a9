"""A graph convolutional network (Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks",
ICLR 2017, arXiv 1609.02907): two layers, 1,433 features, 16 hidden units and 7 classes, as for the citation graph Cora.

A graph comes as a list of its edges (from, to, weight of the normalised adjacency matrix, loops included), so that its
product with the features is a gather, a scaling and a sum of scattered rows: no multiply-accumulate of a matrix unit.
Features are multiplied by the weights first, which is the smaller product. Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.ir import Symbol
from hwsim.workload.spec import GraphSpec, Input, TraceSpec
from workloads.untrained import on_meta

if TYPE_CHECKING:
    import torch

FEATURES, HIDDEN, CLASSES = 1433, 16, 7
NODES, EDGES = 2708, 13_264
"""Cora (Kipf and Welling, table 1): 2,708 nodes; 5,278 different undirected links both ways, and a loop each."""
MOST = 1 << 24


def cora() -> TraceSpec:
    """The network on a graph of `n` nodes and `e` directed edges."""
    ends = Input(("e",), "int64", below=2)
    args = (Input(("n", FEATURES)), ends, ends, Input(("e",)))
    return TraceSpec(
        name="gcn-cora",
        summary="Graph convolutional network (1433-16-7), a graph of n nodes and e edges",
        graphs=(GraphSpec("network", on_meta(network), args, limits={"n": (2, MOST), "e": (1, MOST)}),),
        symbols={
            "n": Symbol(NODES, 2, MOST, "nodes"),
            "e": Symbol(EDGES, 1, MOST, "directed edges, loops included"),
        },
        trained=False,
        provenance={"network": "arXiv 1609.02907, sections 3 and 5", "weights": "none: untrained"},
    )


def network() -> torch.nn.Module:
    """Features (n, 1433), the edges' two ends and weights (e) each, to scores (n, 7)."""
    from torch import Tensor, nn
    from torch.nn import functional

    class Convolution(nn.Module):
        """Rows times the weights, then over every edge from one node to the other."""

        def __init__(self, inside: int, out: int) -> None:
            super().__init__()
            self.linear = nn.Linear(inside, out)

        def forward(self, x: Tensor, start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
            rows = functional.linear(x, self.linear.weight)
            messages = rows.index_select(0, start) * weight[:, None]
            gathered = rows.new_zeros(rows.shape[0], rows.shape[1]).index_add(0, end, messages)
            return gathered + self.linear.bias

    class Gcn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Convolution(FEATURES, HIDDEN), Convolution(HIDDEN, CLASSES)

        def forward(self, x: Tensor, start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
            hidden = functional.relu(self.first(x, start, end, weight))
            return functional.log_softmax(self.second(hidden, start, end, weight), 1)

    return Gcn()
