"""DARTS-V2 (Liu, Simonyan, Yang, "DARTS: Differentiable Architecture Search", ICLR 2019): its normal cell.

The genotype is recalled; with it the nodes and the lowest peak of the cell come out as published for SERENITY. 48
channels on 28 x 28 are those of the first normal cells of the ImageNet network.
"""

from __future__ import annotations

from hwsim.workload.spec import GraphSpec, Input, TraceSpec
from workloads.cells import Wiring, cell, stack

CHANNELS, SIDE = 48, 28
NORMAL: Wiring = {
    "2": (("sep3", "0"), ("sep3", "1")),
    "3": (("sep3", "0"), ("sep3", "1")),
    "4": (("sep3", "1"), ("skip", "0")),
    "5": (("skip", "0"), ("dil3", "2")),
}
JOINED = ("2", "3", "4", "5")
GENOTYPE = "DARTS-V2 normal cell, recalled"


def normal_cell() -> TraceSpec:
    """One cell over two maps of 48 channels, as they come from its pre-processing."""
    net = cell(CHANNELS, (CHANNELS, CHANNELS), NORMAL, JOINED)
    return TraceSpec(
        name="darts-v2-cell",
        summary="DARTS-V2 normal cell over two maps of 48 x 28 x 28, untrained",
        graphs=(GraphSpec("cell", net, (Input((1, CHANNELS, SIDE, SIDE)),) * 2),),
        trained=False,
        provenance={"network": GENOTYPE},
    )


def normal_stack() -> TraceSpec:
    """Two cells in a row with their 1x1 pre-processing, and the pre-processing of a third."""
    wide = CHANNELS * len(JOINED)
    net = stack([cell(CHANNELS, (wide, wide), NORMAL, JOINED) for _ in range(2)], wide, CHANNELS)
    return TraceSpec(
        name="darts-v2-stack",
        summary="two DARTS-V2 normal cells in a row and the 1x1 convolution of the next, 48 channels, untrained",
        graphs=(GraphSpec("cells", net, (Input((1, wide, SIDE, SIDE)),) * 2),),
        trained=False,
        provenance={"network": GENOTYPE},
    )
