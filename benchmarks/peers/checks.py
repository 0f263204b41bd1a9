"""Small cases beside the networks: the other dataflows of SCALE-Sim, and the padded sizes that it rounds up."""

from __future__ import annotations

from benchmarks.peers.cases import SCALESIM, Case
from benchmarks.peers.compare import as_padded
from benchmarks.peers.work import NETWORKS, Product

DATAFLOWS = ("os", "is", "ws")
PRODUCTS = (
    Product("4 x 4 x 4", 4, 4, 4),
    Product("16 x 16 x 3", 16, 16, 3),
    Product("100 x 70 x 50", 100, 70, 50),
    Product("128 x 768 x 768", 128, 768, 768),
)
SIDE = 32
PADDED_SIDE = 128


def dataflow_cases() -> list[Case]:
    """Each product in each dataflow on a 32 x 32 array."""
    return [Case(SCALESIM, SIDE, SIDE, flow, product) for flow in DATAFLOWS for product in PRODUCTS]


def padded_cases() -> list[tuple[Product, Case]]:
    """ResNet-18's convolutions whose padded sizes SCALE-Sim rounds up: the product, and the case with those sizes."""
    rounded = [p for p in NETWORKS["resnet18"].products() if p.window and as_padded(p).m != p.m]
    return [(p, Case(SCALESIM, PADDED_SIDE, PADDED_SIDE, "ws", as_padded(p))) for p in rounded]
