"""Building blocks of networks found by search: separable convolutions, dilated ones, and cells wired by a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

Wiring = Mapping[str, Sequence[tuple[str, str]]]
"""Per block, in order: the operation and the value it reads, for each of the two operands of its sum."""


def separable(channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> list[torch.nn.Module]:
    """ReLU, depthwise and pointwise convolution, batch norm: half of a DARTS or NASNet separable convolution, the
    whole of a dilated one."""
    from torch import nn

    pad = dilation * (kernel - 1) // 2
    depthwise = nn.Conv2d(channels, channels, kernel, stride, pad, dilation, groups=channels, bias=False)
    return [nn.ReLU(), depthwise, nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)]


def operation(name: str, channels: int) -> torch.nn.Module:
    """One operation by name: sep3, sep5 (twice ReLU, depthwise, pointwise, norm), dil3 (once, dilated), avg3, skip."""
    from torch import nn

    if name == "skip":
        return nn.Identity()
    if name == "avg3":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    kernel = int(name[-1])
    if name.startswith("dil"):
        return nn.Sequential(*separable(channels, kernel, dilation=2))
    return nn.Sequential(*separable(channels, kernel), *separable(channels, kernel))


def cell(channels: int, raw: Sequence[int], wiring: Wiring, joined: Sequence[str]) -> torch.nn.Module:
    """A cell over the outputs "0" and "1" of the two cells before it.

    `raw` are their channels; where they differ from `channels` a ReLU, a 1x1 convolution and a norm come first. Each
    block of `wiring` adds two operations; `joined` are the values whose channels make the cell's output.
    """
    from torch import Tensor, cat, nn

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before = nn.ModuleList(
                nn.Identity() if c == channels
                else nn.Sequential(nn.ReLU(), nn.Conv2d(c, channels, 1, bias=False), nn.BatchNorm2d(channels))
                for c in raw
            )  # fmt: skip
            self.blocks = nn.ModuleDict(
                {
                    block: nn.ModuleList(operation(name, channels) for name, _ in terms)
                    for block, terms in wiring.items()
                }
            )

        def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
            values = {"0": self.before[0](s0), "1": self.before[1](s1)}
            for block, terms in wiring.items():
                parts = [op(values[read]) for op, (_, read) in zip(self.blocks[block], terms, strict=True)]
                values[block] = parts[0] + parts[1]
            return cat([values[name] for name in joined], 1)

    return Cell().eval()


def stack(cells: Sequence[torch.nn.Module], channels: int, classes: int = 0) -> torch.nn.Module:
    """Cells in a row, each reading the two outputs before it; a 1x1 convolution to `classes` channels ends it."""
    from torch import Tensor, nn

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.ModuleList(cells)
            self.last = nn.Conv2d(channels, classes, 1, bias=False) if classes else nn.Identity()

        def forward(self, s0: Tensor, s1: Tensor) -> Tensor:
            for each in self.cells:
                s0, s1 = s1, each(s0, s1)
            result: Tensor = self.last(s1)
            return result

    return Stack().eval()
