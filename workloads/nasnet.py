"""NASNet-A (Zoph, Vasudevan, Shlens, Le, "Learning Transferable Architectures for Scalable Image Recognition", CVPR
2018): normal cells as in its small network, 44 channels on 28 x 28.

The wiring is recalled from public re-implementations.
"""

from __future__ import annotations

from hwsim.workload.spec import GraphSpec, Input, TraceSpec
from workloads.cells import Wiring, cell, stack

CHANNELS, SIDE = 44, 28
NORMAL: Wiring = {
    "2": (("sep5", "1"), ("sep3", "0")),
    "3": (("sep5", "0"), ("sep3", "0")),
    "4": (("avg3", "1"), ("skip", "0")),
    "5": (("avg3", "0"), ("avg3", "0")),
    "6": (("sep3", "1"), ("skip", "1")),
}
JOINED = ("0", "2", "3", "4", "5", "6")


def normal_stack() -> TraceSpec:
    """Two cells in a row with their 1x1 pre-processing, and the pre-processing of a third."""
    wide = CHANNELS * len(JOINED)
    net = stack([cell(CHANNELS, (wide, wide), NORMAL, JOINED) for _ in range(2)], wide, CHANNELS)
    return TraceSpec(
        name="nasnet-a-stack",
        summary="two NASNet-A normal cells in a row and the 1x1 convolution of the next, 44 channels, untrained",
        graphs=(GraphSpec("cells", net, (Input((1, wide, SIDE, SIDE)),) * 2),),
        trained=False,
        provenance={"network": "NASNet-A normal cell, recalled"},
    )
