"""ResNet-18 and ResNet-50 (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385).

Table 1 of the paper; shortcuts that change the shape are 1x1 convolutions (option B). The bottleneck of ResNet-50
halves the image in its 3x3 convolution, as torchvision's `resnet50` does, and not in its first 1x1 as in the paper.
Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.spec import TraceSpec
from workloads.untrained import images, on_meta

if TYPE_CHECKING:
    import torch

CLASSES = 1000
STEM = 64
WIDTHS = (64, 128, 256, 512)
"""Channels of the four stages' 3x3 convolutions."""
BASIC = (2, 2, 2, 2)
BOTTLENECK = (3, 4, 6, 3)
"""Blocks a stage of ResNet-18 and of ResNet-50."""
EXPANSION = 4
"""Output channels of a bottleneck over those of its 3x3 convolution."""
SOURCE = "arXiv 1512.03385, table 1"


def resnet18() -> TraceSpec:
    """ResNet-18 on ImageNet's images."""
    net = on_meta(lambda: network(BASIC, 1))
    return images("resnet18", "ResNet-18, images of 224 x 224", net, SOURCE)


def resnet50() -> TraceSpec:
    """ResNet-50 on ImageNet's images."""
    net = on_meta(lambda: network(BOTTLENECK, EXPANSION))
    return images("resnet50", "ResNet-50, images of 224 x 224", net, f"{SOURCE}; stride in the 3x3 convolution")


def network(blocks: tuple[int, ...], expansion: int) -> torch.nn.Module:
    """Stem, four stages of `blocks` residual blocks, mean, classifier; `expansion` 1 makes basic blocks."""
    from torch import Tensor, nn

    class Unit(nn.Sequential):
        """A convolution and its norm."""

        def __init__(self, inside: int, out: int, kernel: int, stride: int = 1) -> None:
            conv = nn.Conv2d(inside, out, kernel, stride, kernel // 2, bias=False)
            super().__init__()
            self.conv, self.norm = conv, nn.BatchNorm2d(out)

    class Block(nn.Module):
        """Two 3x3 units, or a 3x3 between two 1x1; what comes in is added to what goes out."""

        def __init__(self, inside: int, width: int, stride: int) -> None:
            super().__init__()
            out = width * expansion
            basic = [Unit(inside, width, 3, stride), Unit(width, out, 3)]
            bottleneck = [Unit(inside, width, 1), Unit(width, width, 3, stride), Unit(width, out, 1)]
            self.units = nn.ModuleList(basic if expansion == 1 else bottleneck)
            same = stride == 1 and inside == out
            self.shortcut = nn.Identity() if same else Unit(inside, out, 1, stride)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            y = x
            for unit in self.units[:-1]:
                y = self.relu(unit(y))
            return self.relu(self.units[-1](y) + self.shortcut(x))

    def stage(number: int) -> nn.Sequential:
        before = WIDTHS[number - 1] * expansion if number else STEM
        width = WIDTHS[number]
        first = Block(before, width, 2 if number else 1)
        return nn.Sequential(first, *(Block(width * expansion, width, 1) for _ in range(blocks[number] - 1)))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = Unit(3, STEM, 7, 2)
            self.relu, self.pool = nn.ReLU(), nn.MaxPool2d(3, 2, 1)
            self.stages = nn.ModuleList(stage(i) for i in range(len(WIDTHS)))
            self.mean, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(WIDTHS[-1] * expansion, CLASSES)

        def forward(self, image: Tensor) -> Tensor:
            x = self.pool(self.relu(self.stem(image)))
            for blocks_ in self.stages:
                x = blocks_(x)
            return self.fc(self.mean(x).flatten(1))

    return ResNet()
