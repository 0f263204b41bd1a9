"""VGG-11 (Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
arXiv 1409.1556, table 1, configuration A), without batch norm. Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.spec import TraceSpec
from workloads.untrained import images, on_meta

if TYPE_CHECKING:
    import torch

STAGES = ((64,), (128,), (256, 256), (512, 512), (512, 512))
"""Output channels of the 3x3 convolutions; a 2x2 max pool closes each stage."""
SIDE_LEFT = 7
HIDDEN = 4096
CLASSES = 1000


def vgg11() -> TraceSpec:
    """VGG-11 on ImageNet's images."""
    return images("vgg11", "VGG-11, images of 224 x 224", on_meta(network), "arXiv 1409.1556, table 1, A")


def network() -> torch.nn.Module:
    """Eight convolutions and three linear layers, each but the last with a ReLU; dropout before the last two."""
    from torch import nn

    layers: list[nn.Module] = []
    inside = 3
    for stage in STAGES:
        for out in stage:
            layers += [nn.Conv2d(inside, out, 3, 1, 1), nn.ReLU()]
            inside = out
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(inside * SIDE_LEFT**2, HIDDEN), nn.ReLU(), nn.Dropout()]
    layers += [nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(), nn.Linear(HIDDEN, CLASSES)]
    return nn.Sequential(*layers)
