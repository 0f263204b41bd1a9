"""What the untrained networks share: weights that hold nothing, and image classifiers with a symbolic batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hwsim.workload.ir import Symbol
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

if TYPE_CHECKING:
    import torch

LARGEST_BATCH = 4096
BATCH = Symbol(1, 1, LARGEST_BATCH, "samples a run")
"""The symbol `batch` of every network that takes several samples at once."""


def on_meta(build: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """The network that `build` makes, for inference, on PyTorch's meta device: shapes without values."""
    import torch

    with torch.device("meta"):
        return build().eval()


def images(
    name: str, summary: str, network: torch.nn.Module, source: str, channels: int = 3, side: int = 224
) -> TraceSpec:
    """`network` on `batch` images of `channels` x `side` x `side`; `source` says where its shape is published."""
    image = Input(("batch", channels, side, side))
    return TraceSpec(
        name=name,
        summary=summary,
        graphs=(GraphSpec("network", network, (image,), limits={"batch": (1, LARGEST_BATCH)}),),
        symbols={"batch": BATCH},
        trained=False,
        provenance={"network": source, "weights": "none: untrained"},
    )
