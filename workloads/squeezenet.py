"""SqueezeNet 1.1 (Iandola et al., "SqueezeNet", arXiv 1602.07360; 1.1 is the release of the authors' repository
forresti/SqueezeNet with a 3x3 stem and earlier pools). Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.spec import TraceSpec
from workloads.untrained import images, on_meta

if TYPE_CHECKING:
    import torch

STEM = 64
FIRES = (
    ((64, 16, 64), (128, 16, 64)),
    ((128, 32, 128), (256, 32, 128)),
    ((256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)),
)
"""Input, squeezed and expanded channels (of each of the two branches) of the Fire modules after each max pool."""
LAST = 512
CLASSES = 1000


def v1_1() -> TraceSpec:
    """SqueezeNet 1.1 on ImageNet's images."""
    source = "arXiv 1602.07360 and the repository forresti/SqueezeNet, v1.1"
    return images("squeezenet1-1", "SqueezeNet 1.1, images of 224 x 224", on_meta(network), source)


def network() -> torch.nn.Module:
    """Stem, eight Fire modules between three max pools, a 1x1 convolution to the classes, and their mean."""
    import torch
    from torch import Tensor, nn

    class Fire(nn.Module):
        """A 1x1 convolution to few channels, then 1x1 and 3x3 ones side by side."""

        def __init__(self, inside: int, squeezed: int, expanded: int) -> None:
            super().__init__()
            self.squeeze = nn.Conv2d(inside, squeezed, 1)
            self.expand1 = nn.Conv2d(squeezed, expanded, 1)
            self.expand3 = nn.Conv2d(squeezed, expanded, 3, 1, 1)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = self.relu(self.squeeze(x))
            return torch.cat([self.relu(self.expand1(x)), self.relu(self.expand3(x))], 1)

    layers: list[nn.Module] = [nn.Conv2d(3, STEM, 3, 2), nn.ReLU()]
    for group in FIRES:
        layers += [nn.MaxPool2d(3, 2, ceil_mode=True), *(Fire(*sizes) for sizes in group)]
    layers += [nn.Dropout(), nn.Conv2d(LAST, CLASSES, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers)
