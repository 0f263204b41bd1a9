"""Classifiers on 512 binary features, without their extractors: what PoET-BiN (arXiv 2002.09794) replaces by tables.

`mnist` is the classifier that a PoET-BiN is taught by: hidden linear with BN and ReLU, a linear layer to eight bits a
class with BN and binary activation, and a unit of its own for each class. `mnist_mlp`, `cifar10_mlp` and `svhn_mlp` are
the conventional classifiers of the released code whose products are counted for comparison. Shapes only: the weights
are random and not hashed.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING

from hwsim.workload.ir import Symbol
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

if TYPE_CHECKING:
    import torch

FEATURES = 512
CLASSES = 10
MOST_SAMPLES = 1_000_000


def _spec(name: str, summary: str, net: torch.nn.Module) -> TraceSpec:
    return TraceSpec(
        name=name,
        summary=summary,
        graphs=(GraphSpec("classifier", net.eval(), (Input(("n", FEATURES)),), limits={"n": (1, MOST_SAMPLES)}),),
        symbols={"n": Symbol(1, 1, MOST_SAMPLES, "samples to classify, one after another")},
        trained=False,
        provenance={"network": "arXiv 2002.09794 and the released code onsabbatical/PoET-BiN"},
    )


def mnist() -> TraceSpec:
    """The teacher for MNIST's shape: 512-512-80-10."""
    return _spec("mnist-classifier", "PoET-BiN's teacher for MNIST: 512-512-80-10 on binary features", teacher(512, 8))


def mnist_mlp() -> TraceSpec:
    """The conventional classifier for MNIST: 512-512-10."""
    return _spec("mnist-mlp", "Classifier 512-512-10 on binary features", mlp(512))


def cifar10_mlp() -> TraceSpec:
    """The conventional classifier for CIFAR-10: 512-4096-4096-10."""
    return _spec("cifar10-mlp", "Classifier 512-4096-4096-10 on binary features", mlp(4096, 4096))


def svhn_mlp() -> TraceSpec:
    """The conventional classifier for SVHN: 512-1024-1024-10."""
    return _spec("svhn-mlp", "Classifier 512-1024-1024-10 on binary features", mlp(1024, 1024))


def mlp(*widths: int) -> torch.nn.Module:
    """Linear layers with BN and ReLU through `widths`, and a linear one to the classes."""
    from torch import nn

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (inside, out) in enumerate(pairwise((FEATURES, *widths))):
        layers[f"linear{i}"] = nn.Linear(inside, out)
        layers[f"bn{i}"] = nn.BatchNorm1d(out)
        layers[f"relu{i}"] = nn.ReLU()
    layers["out"] = nn.Linear(widths[-1], CLASSES)
    return nn.Sequential(layers)


def teacher(width: int, pins: int) -> torch.nn.Module:
    """Hidden layer of `width`, `pins` bits a class, and a linear unit on the bits of each class."""
    import torch
    from torch import nn

    class Binary(nn.Module):
        """round(clip((x + 1) / 2, 0, 1))."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.round(torch.clamp((x + 1) / 2, 0, 1))

    class Units(nn.Module):
        """Each class reads its own bits, and no others."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(CLASSES, pins, 1))
            self.bias = nn.Parameter(torch.zeros(CLASSES, 1, 1))

        def forward(self, bits: torch.Tensor) -> torch.Tensor:
            own = bits.reshape(-1, CLASSES, pins).transpose(0, 1)
            return (torch.bmm(own, self.weight) + self.bias).squeeze(2).transpose(0, 1)

    bits = CLASSES * pins
    return nn.Sequential(
        OrderedDict(
            hidden=nn.Linear(FEATURES, width), hidden_bn=nn.BatchNorm1d(width), relu=nn.ReLU(),
            bits=nn.Linear(width, bits), bits_bn=nn.BatchNorm1d(bits), binary=Binary(),
            classes=Units(), classes_bn=nn.BatchNorm1d(CLASSES),
        )
    )  # fmt: skip
