"""Swin-T (Liu et al., "Swin Transformer", ICCV 2021, arXiv 2103.14030, table 7): attention within windows of 7 x 7,
which every second block shifts by 3; four stages of 96 to 768 channels, patches merged two by two between. Untrained.

A shift is `torch.roll`, a copy; cutting a map into windows only says how its values are to be read. The bias of
relative positions is looked up in every run, as PyTorch does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.spec import TraceSpec
from workloads.untrained import images, on_meta

if TYPE_CHECKING:
    import torch

DEPTHS, HEADS = (2, 2, 6, 2), (3, 6, 12, 24)
WIDTH, WINDOW, SHIFT, PATCH, RATIO, SIDE, CLASSES = 96, 7, 3, 4, 4, 224, 1000
AREA = WINDOW**2


def tiny() -> TraceSpec:
    """Swin-T on ImageNet's images."""
    return images("swin-t", "Swin-T, images of 224 x 224", on_meta(network), "arXiv 2103.14030, table 7")


def _attention(width: int, heads: int, side: int, shift: int) -> torch.nn.Module:
    import math

    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    windows = side // WINDOW

    class WindowAttention(nn.Module):
        """Self-attention within the windows of a map (batch, side, side, width), shifted or not."""

        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.o = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.bias = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, heads))
            self.register_buffer("places", torch.empty(AREA * AREA, dtype=torch.int64))
            if shift:
                self.register_buffer("seen", torch.empty(windows**2, 1, AREA, AREA, dtype=torch.bool))

        def biases(self) -> Tensor:
            """(heads, AREA, AREA), or one such a window where the map is shifted and not all in it were neighbours."""
            bias = self.bias[self.places].unflatten(0, (AREA, AREA)).permute(2, 0, 1)
            return torch.where(self.seen, bias, -math.inf) if shift else bias

        def forward(self, x: Tensor) -> Tensor:
            x = torch.roll(x, (-shift, -shift), (1, 2)) if shift else x
            x = x.view(-1, windows, WINDOW, windows, WINDOW, width).transpose(2, 3)
            parts = self.qkv(x.reshape(-1, windows**2, AREA, width)).chunk(3, 3)
            q, k, v = (part.unflatten(3, (heads, -1)).transpose(2, 3) for part in parts)
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=self.biases())
            y = self.o(y.transpose(2, 3).flatten(3)).view(-1, windows, windows, WINDOW, WINDOW, width)
            y = y.transpose(2, 3).reshape(-1, side, side, width)
            return torch.roll(y, (shift, shift), (1, 2)) if shift else y

    return WindowAttention()


def network() -> torch.nn.Module:
    """Patches of 4 x 4, four stages, a norm, the mean, and the classifier. Maps keep their channels last."""
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    class Block(nn.Module):
        """Window attention and feed-forward, each normalised before and added to its input."""

        def __init__(self, width: int, heads: int, side: int, shift: int) -> None:
            super().__init__()
            self.norm_attention, self.norm_ff = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention = _attention(width, heads, side, shift)
            self.up, self.down = nn.Linear(width, RATIO * width), nn.Linear(RATIO * width, width)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.attention(self.norm_attention(x))
            return x + self.down(functional.gelu(self.up(self.norm_ff(x))))

    class Merge(nn.Module):
        """Four neighbours become one place with twice the channels."""

        def __init__(self, width: int) -> None:
            super().__init__()
            self.norm, self.reduce = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            corners = [x[:, y::2, z::2] for z in (0, 1) for y in (0, 1)]
            return self.reduce(self.norm(torch.cat(corners, 3)))

    def stage(number: int) -> nn.Sequential:
        width, side = WIDTH << number, SIDE // PATCH >> number
        # A map of one window has nothing to shift.
        shifts = [SHIFT * (i % 2) if side > WINDOW else 0 for i in range(DEPTHS[number])]
        merge = [Merge(width // 2)] if number else []
        return nn.Sequential(*merge, *(Block(width, HEADS[number], side, shift) for shift in shifts))

    class Swin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.norm_patches = nn.Conv2d(3, WIDTH, PATCH, PATCH), nn.LayerNorm(WIDTH)
            self.stages = nn.Sequential(*(stage(i) for i in range(len(DEPTHS))))
            last = WIDTH << len(DEPTHS) - 1
            self.norm, self.head = nn.LayerNorm(last), nn.Linear(last, CLASSES)

        def forward(self, image: Tensor) -> Tensor:
            x = self.norm_patches(self.patches(image).permute(0, 2, 3, 1))
            return self.head(self.norm(self.stages(x)).mean((1, 2)))

    return Swin()
