"""Activations and weights of one bit with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _Binarize(torch.autograd.Function):
    """b = round(clip((x + 1)/2, 0, 1)), halves to even, so x = 0 gives 0. Only the clip has a gradient: 1/2 for
    -1 <= x <= 1, 0 outside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.round(torch.clamp((x + 1) / 2, 0, 1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * 0.5 * (x.abs() <= 1)


def binarize(x: Tensor) -> Tensor:
    """The bits of `x`: 1.0 where x > 0, else 0.0; gradients pass as through clip((x + 1)/2, 0, 1)."""
    found: Tensor = _Binarize.apply(x)
    return found


class Binarize(nn.Module):
    """`binarize` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return binarize(x)


def signs(x: Tensor) -> Tensor:
    """-1.0 or 1.0, with the gradient of clip(x, -1, 1): weights and activations of a 1-bit network."""
    return 2 * binarize(x) - 1
