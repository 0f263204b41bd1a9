"""Fake quantizers with gradients: values come out as scale * (code - zero), and learn through the rounding.

Outputs: PACT (Choi et al., arXiv 1805.06085) with a trained clip and rounding down, as ICN layers round. Weights: PACT
with a trained clip for one scale a layer, min/max for one a channel (Rusci et al., arXiv 1905.13082, section 5). Power
of two: TQT (arXiv 1903.08066). Forward passes return exactly scale * (code - zero), in the precision of their input.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.quant.formats import TINY, code_range

LN2 = math.log(2.0)
CLIP_CANDIDATES = 40
BIN_CANDIDATES = 12
SAMPLES = 1 << 16
"""At most so many of a layer's outputs are looked at for its range."""


class _Function(torch.autograd.Function):
    """Base of the quantizers; torch's own is untyped."""


class PactOutput(_Function):
    """Outputs clipped to [low, high], rounded down to one of 2^bits codes.

    Gradients go to z inside, to a clip beyond it. The zero point is round(-low/scale), halves up.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
        ctx.save_for_backward(z, low, high)
        scale, zero = output_format(low, high, bits)
        return scale * (torch.clamp(torch.floor(z / scale) + zero, 0, 2**bits - 1) - zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        z, low, high = ctx.saved_tensors
        below, above = z < low, z >= high
        (up,) = gradients
        return up * ~(below | above), (up * below).sum(), (up * above).sum(), None


def output_format(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Scale and zero point of outputs in [low, high]."""
    scale = torch.clamp(high - low, min=TINY) / (2**bits - 1)
    return scale, torch.clamp(torch.floor(-low / scale + 0.5), 0, 2**bits - 1)


class PactWeights(_Function):
    """Weights clipped to [-clip, clip], to the nearest of 2^bits codes; the zero point is 2^(bits-1)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, clip: Tensor, bits: int) -> Tensor:
        ctx.save_for_backward(weights, clip)
        scale = clip_scale(clip, bits)
        zero = 2 ** (bits - 1)
        return scale * (torch.clamp(torch.round(weights / scale) + zero, 0, 2**bits - 1) - zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, clip = ctx.saved_tensors
        (up,) = gradients
        outside = weights.abs() > clip
        return up * ~outside, (up * outside * weights.sign()).sum(), None


def clip_scale(clip: Tensor, bits: int) -> Tensor:
    """Scale of weights in [-clip, clip]."""
    return 2 * torch.clamp(clip, min=TINY) / (2**bits - 1)


def best_clip(weights: Tensor, bits: int) -> Tensor:
    """The clip with the least squared error, out of CLIP_CANDIDATES shares of the largest magnitude."""
    largest = weights.detach().abs().max()
    clips = [largest * (i + 1) / CLIP_CANDIDATES for i in range(CLIP_CANDIDATES)]
    errors = [float(((PactWeights.apply(weights.detach(), c, bits) - weights.detach()) ** 2).sum()) for c in clips]
    return clips[errors.index(min(errors))].clone()


def best_high(values: Tensor, bits: int) -> Tensor:
    """The upper clip of outputs from 0 with the least squared error on `values`, out of CLIP_CANDIDATES shares.

    Codes are rounded down, so at few bits the best clip lies far below the largest value.
    """
    largest = values.max()
    low = torch.zeros_like(largest)
    highs = [largest * (i + 1) / CLIP_CANDIDATES for i in range(CLIP_CANDIDATES)]
    errors = [float(((PactOutput.apply(values, low, high, bits) - values) ** 2).sum()) for high in highs]
    return highs[errors.index(min(errors))].clone()


class MinMaxWeights(_Function):
    """Weights of each channel (first axis) to the nearest of 2^bits codes from its least to its largest, and zero."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, bits: int) -> Tensor:
        scale, zero = channel_format(weights, bits)
        return scale * (torch.clamp(torch.round(weights / scale) + zero, 0, 2**bits - 1) - zero)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def channel_format(weights: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Scale and zero point of each channel, shaped to meet the weights."""
    flat = weights.detach().reshape(weights.shape[0], -1)
    low = torch.clamp(flat.min(dim=1).values, max=0)
    high = torch.clamp(flat.max(dim=1).values, min=0)
    scale = torch.clamp(high - low, min=TINY) / (2**bits - 1)
    shape = (-1, *(1,) * (weights.ndim - 1))
    return scale.reshape(shape), torch.floor(-low / scale + 0.5).reshape(shape)


class Tqt(_Function):
    """The TQT quantizer: forward and backward as in `hwsim.quant.tqt`, whose equations these are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, log2_threshold: Tensor, bits: int, signed: bool) -> Tensor:
        scale = tqt_scale(log2_threshold, bits, signed=signed)
        low, high = code_range(bits, signed=signed)
        steps = x / scale
        nearest = torch.round(steps)
        inside = (nearest >= low) & (nearest <= high)
        codes = torch.clamp(nearest, low, high)
        ctx.save_for_backward(inside, scale * LN2 * torch.where(inside, nearest - steps, codes))
        return scale * codes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        inside, of_threshold = ctx.saved_tensors
        (up,) = gradients
        return up * inside, (up * of_threshold).sum(), None, None


def tqt_scale(log2_threshold: Tensor, bits: int, *, signed: bool) -> Tensor:
    """The power of two that a trained threshold stands for."""
    exponent = torch.ceil(log2_threshold.detach()) - (bits - 1 if signed else bits)
    return torch.exp2(exponent)


class TqtQuantizer(nn.Module):
    """A TQT quantizer with its trained threshold; the threshold starts at `start`.

    With `observe` it lets values pass, clipped at 0 if it is unsigned, and takes its threshold from them.
    """

    def __init__(self, bits: int, *, signed: bool, start: float = 1.0) -> None:
        super().__init__()
        self.bits, self.signed, self.observe = bits, signed, False
        self.log2_threshold = nn.Parameter(torch.tensor(math.log2(max(start, TINY))))

    def forward(self, x: Tensor) -> Tensor:
        if self.observe:
            passed = x if self.signed else x.clamp(min=0)
            self.fit(passed)
            return passed
        found: Tensor = Tqt.apply(x, self.log2_threshold, self.bits, self.signed)
        return found

    def fit(self, values: Tensor) -> None:
        """Put the threshold into the middle of the bin with the least squared error on `values`."""
        with torch.no_grad():
            self.log2_threshold.fill_(best_bin(values, self.bits, signed=self.signed) - 0.5)

    def exponent(self) -> int:
        """log2 of the scale."""
        return math.ceil(float(self.log2_threshold.detach())) - (self.bits - 1 if self.signed else self.bits)

    @property
    def zero(self) -> int:
        """The zero point of its codes as they are stored, unsigned."""
        return 1 << self.bits - 1 if self.signed else 0

    def format(self) -> tuple[float, int]:
        """Scale and zero point."""
        return 2.0 ** self.exponent(), self.zero


def best_bin(values: Tensor, bits: int, *, signed: bool) -> int:
    """The exponent e whose thresholds, 2^(e-1) < t <= 2^e, have the least squared error: at most the largest value's.

    0 for values that are all zero.
    """
    flat = values.detach().reshape(-1)
    flat = flat[:: 1 + len(flat) // SAMPLES]
    largest = float(flat.abs().max())
    if not largest:
        return 0
    bins = [math.ceil(math.log2(largest)) - i for i in range(BIN_CANDIDATES)]
    errors = [float(((Tqt.apply(flat, torch.tensor(float(e)), bits, signed) - flat) ** 2).sum()) for e in bins]
    return bins[errors.index(min(errors))]
