"""RandWire (Xie, Kirillov, Girshick, He, "Exploring Randomly Wired Neural Networks for Image Recognition", ICCV 2019):
one stage wired as a random small world.

WS(32, 4, 0.75): 32 nodes in a ring, each joined to its four nearest, each edge rewired with probability 0.75, edges
directed from the lower to the higher number. A node adds its inputs by learned weights, then ReLU, 3x3 separable
convolution, norm. 78 channels on 28 x 28 are the third stage of the small network (recalled).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hwsim.workload.spec import GraphSpec, Input, TraceSpec
from workloads.cells import separable

if TYPE_CHECKING:
    import torch

NODES, NEAREST, REWIRED = 32, 4, 0.75
CHANNELS, SIDE = 78, 56
SEED = 0

Edge = tuple[int, int]


def watts_strogatz(nodes: int, nearest: int, rewired: float, seed: int) -> list[Edge]:
    """Edges (lower, higher) of a connected small world (Watts and Strogatz, Nature 393, 1998), by `seed`.

    Drawn again from the same generator until all nodes are connected.
    """
    rng = random.Random(seed)
    while True:
        edges = _draw(nodes, nearest, rewired, rng)
        if _connected(nodes, edges):
            return sorted(edges)


def _draw(nodes: int, nearest: int, rewired: float, rng: random.Random) -> set[Edge]:
    ring = [(i, (i + d) % nodes) for d in range(1, nearest // 2 + 1) for i in range(nodes)]
    edges = {_edge(*pair) for pair in ring}
    for i, j in ring:
        free = [k for k in range(nodes) if k != i and _edge(i, k) not in edges]
        if rng.random() < rewired and free and _edge(i, j) in edges:
            edges.remove(_edge(i, j))
            edges.add(_edge(i, rng.choice(free)))
    return edges


def _edge(a: int, b: int) -> Edge:
    return min(a, b), max(a, b)


def _connected(nodes: int, edges: set[Edge]) -> bool:
    reached, todo = {0}, [0]
    while todo:
        at = todo.pop()
        found = {b if a == at else a for a, b in edges if at in (a, b)} - reached
        reached |= found
        todo += found
    return len(reached) == nodes


def operands(edges: list[Edge], nodes: int = NODES) -> list[list[int]]:
    """Per node, the nodes it reads; those without any read the stage's input."""
    return [[a for a, b in edges if b == node] for node in range(nodes)]


def stage() -> TraceSpec:
    """One stage, wired by SEED."""
    return TraceSpec(
        name="randwire-ws32",
        summary=f"RandWire stage WS(32, 4, 0.75), seed {SEED}, 78 channels on 28 x 28, untrained",
        graphs=(GraphSpec("stage", network(SEED), (Input((1, CHANNELS, SIDE, SIDE)),)),),
        trained=False,
        provenance={"network": f"Watts-Strogatz graph of seed {SEED}, wired in this file"},
    )


def network(seed: int, channels: int = CHANNELS) -> torch.nn.Module:
    """The stage wired by `seed`: nodes without operands halve height and width, and the last ones are averaged."""
    import torch
    from torch import Tensor, nn

    reads = operands(watts_strogatz(NODES, NEAREST, REWIRED, seed))
    sinks = [i for i in range(NODES) if not any(i in r for r in reads)]

    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.node = nn.ModuleList(nn.Sequential(*separable(channels, 3, 1 if r else 2)) for r in reads)
            self.weight = nn.ParameterList(torch.ones(()) for r in reads for _ in r)

        def forward(self, inputs: Tensor) -> Tensor:
            values: list[Tensor] = []
            weights = iter(self.weight)
            for node, read in zip(self.node, reads, strict=True):
                terms = [values[i] * next(weights) for i in read]
                values.append(node(_sum(terms) if terms else inputs))
            return _sum([values[i] for i in sinks]) / len(sinks)

    return Stage().eval()


def _sum(terms: list[torch.Tensor]) -> torch.Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
