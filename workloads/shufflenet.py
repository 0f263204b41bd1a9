"""ShuffleNetV2 1.0x (Ma et al., "ShuffleNet V2", ECCV 2018, arXiv 1807.11164, table 5). Untrained.

A channel shuffle is a view, a transposition and a reshape: it moves nothing that a reader could not address otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.spec import TraceSpec
from workloads.untrained import images, on_meta

if TYPE_CHECKING:
    import torch

STEM = 24
STAGES = ((4, 116), (8, 232), (4, 464))
"""Units and channels of the stages; the first unit of each halves the image."""
LAST = 1024
CLASSES = 1000


def v2_1_0() -> TraceSpec:
    """ShuffleNetV2 1.0x on ImageNet's images."""
    source = "arXiv 1807.11164, table 5, 1x"
    return images("shufflenet-v2-1.0", "ShuffleNetV2 1.0x, images of 224 x 224", on_meta(network), source)


def network() -> torch.nn.Module:
    """Stem, max pool, three stages, a 1x1 convolution, mean, classifier."""
    import torch
    from torch import Tensor, nn

    def conv(inside: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
        layer = nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(out))

    class Unit(nn.Module):
        """Half the channels go through 1x1, depthwise 3x3 and 1x1; the others stay, or are halved in size too."""

        def __init__(self, inside: int, out: int, stride: int) -> None:
            super().__init__()
            self.halves = stride == 1
            half = out // 2
            entering = inside // 2 if self.halves else inside
            self.relu = nn.ReLU()
            relu = self.relu
            self.right = nn.Sequential(
                conv(entering, half), relu, conv(half, half, 3, stride, half), conv(half, half), relu
            )
            self.left = (
                nn.Identity()
                if self.halves
                else nn.Sequential(conv(inside, inside, 3, stride, inside), conv(inside, half), relu)
            )

        def forward(self, x: Tensor) -> Tensor:
            left, right = x.chunk(2, 1) if self.halves else (x, x)
            y = torch.cat([self.left(left), self.right(right)], 1)
            return y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)

    layers: list[nn.Module] = [conv(3, STEM, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inside = STEM
    for units, out in STAGES:
        layers += [Unit(inside, out, 2), *(Unit(out, out, 1) for _ in range(units - 1))]
        inside = out
    layers += [conv(inside, LAST), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(LAST, CLASSES)]
    return nn.Sequential(*layers)
