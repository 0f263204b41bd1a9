"""MLP-Mixer B/16 (Tolstikhin et al., "MLP-Mixer", NeurIPS 2021, arXiv 2105.01601, table 1): 12 layers, 196 patches of
16 x 16, 768 channels, 384 and 3072 units between. Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.spec import TraceSpec
from workloads.untrained import images, on_meta

if TYPE_CHECKING:
    import torch

LAYERS, D, PATCH, SIDE, TOKEN_UNITS, CHANNEL_UNITS, CLASSES = 12, 768, 16, 224, 384, 3072, 1000
TOKENS = (SIDE // PATCH) ** 2


def b16() -> TraceSpec:
    """Mixer-B/16 on ImageNet's images."""
    return images("mixer-b16", "MLP-Mixer B/16, images of 224 x 224", on_meta(network), "arXiv 2105.01601, table 1")


def network() -> torch.nn.Module:
    """Patches, layers, a norm, the mean over the patches, and the classifier."""
    from torch import Tensor, nn

    def mlp(size: int, units: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(size, units), nn.GELU(), nn.Linear(units, size))

    class Layer(nn.Module):
        """Mixing across patches, then across channels, each normalised before and added to its input."""

        def __init__(self) -> None:
            super().__init__()
            self.norm_tokens, self.norm_channels = nn.LayerNorm(D), nn.LayerNorm(D)
            self.tokens, self.channels = mlp(TOKENS, TOKEN_UNITS), mlp(D, CHANNEL_UNITS)

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.tokens(self.norm_tokens(x).transpose(1, 2)).transpose(1, 2)
            return x + self.channels(self.norm_channels(x))

    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, D, PATCH, PATCH)
            self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))
            self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, CLASSES)

        def forward(self, image: Tensor) -> Tensor:
            x = self.layers(self.patches(image).flatten(2).transpose(1, 2))
            return self.head(self.norm(x).mean(1))

    return Mixer()
