"""U-Net (Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015, arXiv 1505.04597, figure 1): one grey image of 572 x 572 to
two classes a pixel of the 388 x 388 inside.

Convolutions without padding, max pools on the way down, transposed 2x2 convolutions on the way up, each joined with
the middle of the map at its height. Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.spec import TraceSpec
from workloads.untrained import images, on_meta

if TYPE_CHECKING:
    import torch

WIDTHS = (64, 128, 256, 512, 1024)
SIDE, CLASSES = 572, 2


def unet() -> TraceSpec:
    """U-Net at the paper's sizes."""
    summary = "U-Net, grey images of 572 x 572, two classes a pixel"
    return images("unet", summary, on_meta(network), "arXiv 1505.04597, figure 1", channels=1, side=SIDE)


def network() -> torch.nn.Module:
    """Twenty-three convolutions: five pairs down, four times one up and a pair, and the one to the classes."""
    import torch
    from torch import Tensor, nn

    def pair(inside: int, out: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inside, out, 3), nn.ReLU(), nn.Conv2d(out, out, 3), nn.ReLU())

    def middle(x: Tensor, side: int) -> Tensor:
        edge = (x.shape[-1] - side) // 2
        return x[:, :, edge : edge + side, edge : edge + side]

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList(pair(i, o) for i, o in zip((1, *WIDTHS), WIDTHS, strict=False))
            self.pool = nn.MaxPool2d(2)
            steps = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
            self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, 2) for i, o in steps)
            self.joined = nn.ModuleList(pair(i, o) for i, o in steps)
            self.classes = nn.Conv2d(WIDTHS[0], CLASSES, 1)

        def forward(self, image: Tensor) -> Tensor:
            maps, x = [], image
            for block in self.down[:-1]:
                x = block(x)
                maps.append(x)
                x = self.pool(x)
            x = self.down[-1](x)
            for up, joined, kept in zip(self.up, self.joined, reversed(maps), strict=True):
                x = up(x)
                x = joined(torch.cat([middle(kept, x.shape[-1]), x], 1))
            return self.classes(x)

    return UNet()
