"""A structure as a PyTorch module, with the names that `accelerators.skynet.network.fold` reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from accelerators.skynet.structure import KINDS, Convolution, Structure
from workloads.skynet import HEAD_OUTPUTS, reorg

ACTIVATIONS = {"relu6": nn.ReLU6, "relu": nn.ReLU, "hardswish": nn.Hardswish}


class Detector(nn.Module):
    """Images [n, 3, H, W], normalized -> box maps [n, 10, H', W']. Modules are made in the order of the layers."""

    def __init__(self, structure: Structure) -> None:
        super().__init__()
        self.structure = structure
        for number, (inputs, outputs) in enumerate(structure.bundles(), 1):
            self.add_module(f"bundle{number}", bundle(structure, inputs, outputs))
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(structure.bundles()[-1][1], HEAD_OUTPUTS, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        x = tapped = image
        for number in range(1, len(self.structure.channels) + 1):
            x = self.get_submodule(f"bundle{number}")(x)
            tapped = x if number == self.structure.tap else tapped
            x = self.pool(x) if number in self.structure.pools else x
        found: Tensor = self.head(self.joined(tapped, x) if self.structure.last else x)
        return found

    def joined(self, tapped: Tensor, x: Tensor) -> Tensor:
        """The Bundle behind the bypass."""
        last = self.get_submodule(f"bundle{len(self.structure.channels) + 1}")
        found: Tensor = last(torch.cat((reorg(tapped), x), 1))
        return found


def bundle(structure: Structure, inputs: int, outputs: int) -> nn.Sequential:
    """The convolutions of one Bundle, each with batch norm and the structure's activation."""
    made, channels = nn.Sequential(), inputs
    for c in KINDS[structure.kind]:
        wide = outputs if c.widens else channels
        made.add_module(c.name, convolution(c, channels, wide))
        made.add_module(f"{c.name}_bn", nn.BatchNorm2d(wide))
        made.add_module(f"{c.name}_relu", ACTIVATIONS[structure.activation]())
        channels = wide
    return made


def convolution(c: Convolution, inputs: int, outputs: int) -> nn.Conv2d:
    """A convolution that keeps the map's size."""
    padding = c.dilation * (c.kernel // 2)
    return nn.Conv2d(inputs, outputs, c.kernel, 1, padding, dilation=c.dilation, groups=c.groups or inputs, bias=False)
