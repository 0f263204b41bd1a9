"""The U-Net of DDPM for CIFAR-10 (Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, arXiv
2006.11239, appendix B): one step of denoising `batch` images of 32 x 32; and its block at 16 x 16 by itself.

Four sizes of 128, 256, 256 and 256 channels, two residual blocks each (three on the way up), group norm over 32 groups,
SiLU, the time step added to every residual block, self-attention of one head at 16 x 16. Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.spec import GraphSpec, Input, TraceSpec
from workloads.untrained import BATCH, LARGEST_BATCH, on_meta

if TYPE_CHECKING:
    import torch

CHANNELS, SIDE, WIDTH, MULTIPLES, BLOCKS, GROUPS = 3, 32, 128, (1, 2, 2, 2), 2, 32
ATTENTION_SIDE = 16
TIME = 4 * WIDTH
LONGEST_PERIOD = 10_000.0
SOURCE = "arXiv 2006.11239, appendix B, CIFAR-10"
LIMITS = {"batch": (1, LARGEST_BATCH)}


def cifar10() -> TraceSpec:
    """One step of denoising."""
    args = (Input(("batch", CHANNELS, SIDE, SIDE)), Input(("batch",)))
    return TraceSpec(
        name="ddpm-cifar10",
        summary="Diffusion U-Net (DDPM for CIFAR-10), one step, images of 32 x 32",
        graphs=(GraphSpec("step", on_meta(network), args, limits=LIMITS),),
        symbols={"batch": BATCH},
        trained=False,
        provenance={"network": SOURCE, "weights": "none: untrained"},
    )


def block() -> TraceSpec:
    """The first residual block at 16 x 16 with its self-attention."""
    args = (Input(("batch", WIDTH, ATTENTION_SIDE, ATTENTION_SIDE)), Input(("batch", TIME)))
    net = on_meta(lambda: residual(WIDTH, MULTIPLES[1] * WIDTH, attends=True))
    return TraceSpec(
        name="ddpm-block",
        summary="one block of the diffusion U-Net: residual, time step, self-attention, maps of 16 x 16",
        graphs=(GraphSpec("block", net, args, limits=LIMITS),),
        symbols={"batch": BATCH},
        trained=False,
        provenance={"network": SOURCE, "weights": "none: untrained"},
    )


def residual(inside: int, out: int, attends: bool) -> torch.nn.Module:
    """Maps (batch, inside, h, w) and the time step (batch, TIME) to maps (batch, out, h, w)."""
    from torch import Tensor, nn
    from torch.nn import functional

    class Attention(nn.Module):
        """Every place of the map attends to all others; added to what comes in."""

        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.GroupNorm(GROUPS, out)
            self.q, self.k, self.v, self.o = (nn.Linear(out, out) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            rows = self.norm(x).flatten(2).transpose(1, 2)
            q, k, v = (part(rows)[:, None] for part in (self.q, self.k, self.v))
            y = self.o(functional.scaled_dot_product_attention(q, k, v)[:, 0])
            return x + y.transpose(1, 2).unflatten(2, x.shape[2:])

    class Residual(nn.Module):
        """Norm, SiLU and convolution twice, the time step added between them."""

        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.conv1 = nn.GroupNorm(GROUPS, inside), nn.Conv2d(inside, out, 3, 1, 1)
            self.time = nn.Linear(TIME, out)
            self.norm2, self.conv2 = nn.GroupNorm(GROUPS, out), nn.Conv2d(out, out, 3, 1, 1)
            self.shortcut = nn.Conv2d(inside, out, 1) if inside != out else nn.Identity()
            self.attention = Attention() if attends else nn.Identity()

        def forward(self, x: Tensor, time: Tensor) -> Tensor:
            y = self.conv1(functional.silu(self.norm1(x)))
            y = y + self.time(functional.silu(time))[:, :, None, None]
            y = self.conv2(functional.silu(self.norm2(y)))
            return self.attention(self.shortcut(x) + y)

    return Residual()


def network() -> torch.nn.Module:
    """Noisy images (batch, 3, 32, 32) and their time steps (batch) to the noise."""
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    def upsampled(x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=2.0, mode="nearest")

    class UNet(nn.Module):
        """Every map of the way down is kept for the way up."""

        def __init__(self) -> None:
            super().__init__()
            widths = [m * WIDTH for m in MULTIPLES]
            self.time1, self.time2 = nn.Linear(WIDTH, TIME), nn.Linear(TIME, TIME)
            self.stem = nn.Conv2d(CHANNELS, WIDTH, 3, 1, 1)
            self.down, kept = self._down(widths)
            deepest = widths[-1]
            self.middle = nn.ModuleList(residual(deepest, deepest, attends) for attends in (True, False))
            self.up = self._up(widths, kept)
            self.norm, self.out = nn.GroupNorm(GROUPS, WIDTH), nn.Conv2d(WIDTH, CHANNELS, 3, 1, 1)

        @staticmethod
        def _down(widths: list[int]) -> tuple[nn.ModuleList, list[int]]:
            """The levels of the way down, and the channels of every map that is kept."""
            levels, kept, inside = nn.ModuleList(), [WIDTH], WIDTH
            for i, out in enumerate(widths):
                attends = SIDE >> i == ATTENTION_SIDE
                blocks = [residual(inside if j == 0 else out, out, attends) for j in range(BLOCKS)]
                half = [nn.Conv2d(out, out, 3, 2, 1)] if i + 1 < len(widths) else []
                levels.append(nn.ModuleList([*blocks, *half]))
                kept += [out] * (BLOCKS + len(half))
                inside = out
            return levels, kept

        @staticmethod
        def _up(widths: list[int], kept: list[int]) -> nn.ModuleList:
            levels, inside = nn.ModuleList(), widths[-1]
            for i, out in reversed(list(enumerate(widths))):
                attends = SIDE >> i == ATTENTION_SIDE
                blocks: list[nn.Module] = []
                for _ in range(BLOCKS + 1):
                    blocks.append(residual(inside + kept.pop(), out, attends))
                    inside = out
                levels.append(nn.ModuleList([*blocks, *([nn.Conv2d(out, out, 3, 1, 1)] if i else [])]))
            return levels

        def embedded(self, step: Tensor) -> Tensor:
            """Sines and cosines of the time step, through two linear layers."""
            half = WIDTH // 2
            periods = LONGEST_PERIOD ** (torch.arange(half, device=step.device) / -(half - 1))
            angles = step[:, None] * periods
            waves = torch.cat([angles.sin(), angles.cos()], 1)
            return self.time2(functional.silu(self.time1(waves)))

        def forward(self, image: Tensor, step: Tensor) -> Tensor:
            time, x = self.embedded(step), self.stem(image)
            kept = [x]
            for level in self.down:
                for layer in level:
                    x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, time)
                    kept.append(x)
            for layer in self.middle:
                x = layer(x, time)
            for level in self.up:
                for layer in level:
                    if isinstance(layer, nn.Conv2d):
                        x = layer(upsampled(x))
                    else:
                        x = layer(torch.cat([x, kept.pop()], 1), time)
            return self.out(functional.silu(self.norm(x)))

    return UNet()
