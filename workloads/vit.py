"""ViT-B/16 (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, arXiv 2010.11929, table 1): 12 layers,
d 768, 12 heads, patches of 16 x 16. Untrained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwsim.workload.spec import TraceSpec
from workloads.untrained import images, on_meta

if TYPE_CHECKING:
    import torch

LAYERS, D, HEADS, FF, PATCH, SIDE, CLASSES = 12, 768, 12, 3072, 16, 224, 1000
TOKENS = (SIDE // PATCH) ** 2 + 1


def b16() -> TraceSpec:
    """ViT-B/16 on ImageNet's images."""
    return images("vit-b16", "ViT-B/16, images of 224 x 224", on_meta(network), "arXiv 2010.11929, table 1, ViT-Base")


def network() -> torch.nn.Module:
    """Patches and a class token, positions, layers, and the classifier over the class token."""
    import torch
    from torch import Tensor, nn
    from torch.nn import functional

    class Layer(nn.Module):
        """Attention and feed-forward, each normalised before and added to its input."""

        def __init__(self) -> None:
            super().__init__()
            self.norm_attention, self.norm_ff = nn.LayerNorm(D), nn.LayerNorm(D)
            self.qkv, self.o = nn.Linear(D, 3 * D), nn.Linear(D, D)
            self.up, self.down = nn.Linear(D, FF), nn.Linear(FF, D)

        def forward(self, x: Tensor) -> Tensor:
            parts = self.qkv(self.norm_attention(x)).chunk(3, 2)
            q, k, v = (part.unflatten(2, (HEADS, -1)).transpose(1, 2) for part in parts)
            y = functional.scaled_dot_product_attention(q, k, v)
            x = x + self.o(y.transpose(1, 2).flatten(2))
            return x + self.down(functional.gelu(self.up(self.norm_ff(x))))

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, D, PATCH, PATCH)
            self.token = nn.Parameter(torch.empty(1, 1, D))
            self.positions = nn.Parameter(torch.empty(1, TOKENS, D))
            self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
            self.norm, self.head = nn.LayerNorm(D), nn.Linear(D, CLASSES)

        def forward(self, image: Tensor) -> Tensor:
            x = self.patches(image).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(image.shape[0], 1, D), x], 1) + self.positions
            for layer in self.layers:
                x = layer(x)
            return self.head(self.norm(x)[:, 0])

    return ViT()
