"""Torch layers with quantizers in place."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.quant.chain import Kind
from hwsim.quant.training import quantizers as q

RELU6 = 6.0
Padding = tuple[int, int, int, int]
"""Rows and columns of zeros around an image: top, bottom, left, right."""


class Recipe(Enum):
    """How a network is quantized: one scale of weights a layer or a channel, batch norm folded or kept for ICN."""

    PL_FB = "pl+fb"
    PL_ICN = "pl+icn"
    PC_ICN = "pc+icn"


class Output(nn.Module):
    """Quantizes values in [low, high] to `bits` bits: what a layer passes on, or the network's input.

    With `observe` it lets values pass and takes its range from them: after a ReLU the one with the least squared error,
    elsewhere all of it. `ceiling` bounds what a ReLU lets pass. With `limits`, of a Hardtanh, the range is these. The
    network's input is rounded to nearest, all else down.
    """

    def __init__(
        self, bits: int, *, relu: bool, ceiling: float = float("inf"), nearest: bool = False,
        limits: tuple[float, float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.limits = limits
        self.bits, self.relu, self.ceiling, self.nearest = bits, relu, ceiling, nearest
        self.observe = False
        self.low = nn.Parameter(torch.tensor(0.0), requires_grad=not (relu or nearest))
        self.high = nn.Parameter(torch.tensor(0.0), requires_grad=not nearest)

    def forward(self, z: Tensor) -> Tensor:
        if self.observe:
            return self._observed(z)
        if self.nearest:
            scale, zero = q.output_format(self.low, self.high, self.bits)
            return scale * (torch.clamp(torch.round(z / scale) + zero, 0, 2**self.bits - 1) - zero)
        found: Tensor = q.PactOutput.apply(z, self.low, self.high, self.bits)
        return found

    def _observed(self, z: Tensor) -> Tensor:
        if self.limits is not None:
            with torch.no_grad():
                self.low.fill_(self.limits[0])
                self.high.fill_(self.limits[1])
            return z.clamp(*self.limits)
        passed = z.clamp(0, self.ceiling) if self.relu else z
        with torch.no_grad():
            if self.relu:
                flat = passed.reshape(-1)
                self.high.copy_(q.best_high(flat[:: 1 + len(flat) // q.SAMPLES], self.bits))
            else:
                self.high.copy_(torch.maximum(self.high, passed.max()))
                self.low.copy_(torch.minimum(self.low, passed.min()))
            if self.high <= self.low:
                self.high.copy_(self.low + 1)  # Always 0 in the samples: any range will do.
        return passed

    def format(self) -> tuple[float, int]:
        """Scale and zero point, in float64."""
        scale, zero = q.output_format(self.low.detach().double(), self.high.detach().double(), self.bits)
        return float(scale), int(zero)


class Block(nn.Module):
    """A layer with weights, its norm in inference (gain*z + shift, both trained), and the quantizer of its output."""

    def __init__(
        self, name: str, layer: nn.Module, norm: nn.BatchNorm2d | None, output: Output,
        padding: Padding | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.name, self.layer, self.norm, self.output, self.before = name, layer, norm, output, padding
        self.source: Output | None = None

    def quantize(self, recipe: Recipe, weight_bits: int) -> None:
        """Put the weights' quantizer in place; under PL+FB the norm goes into the weights first."""
        self.recipe, self.weight_bits = recipe, weight_bits
        if recipe is Recipe.PL_FB and self.norm is not None:
            self._fold()
        if recipe is not Recipe.PC_ICN:
            self.clip = nn.Parameter(q.best_clip(self.weight, weight_bits))

    @property
    def weight(self) -> Tensor:
        found: Tensor = self.layer.weight
        return found

    def quantized_weight(self) -> Tensor:
        """The weights on their grid."""
        if self.recipe is Recipe.PC_ICN:
            found: Tensor = q.MinMaxWeights.apply(self.weight, self.weight_bits)
        else:
            found = q.PactWeights.apply(self.weight, self.clip, self.weight_bits)
        return found

    def weight_format(self) -> tuple[Tensor, Tensor]:
        """Scale and zero point of the weights in float64, one entry or one a channel."""
        weight = self.weight.detach().double()
        if self.recipe is Recipe.PC_ICN:
            scale, zero = q.channel_format(weight, self.weight_bits)
            return scale.reshape(-1), zero.reshape(-1)
        zero = torch.tensor([2.0 ** (self.weight_bits - 1)], dtype=torch.float64)
        return q.clip_scale(self.clip.detach().double(), self.weight_bits).reshape(-1), zero

    def forward(self, x: Tensor) -> Tensor:
        gain, offset = self.total_affine()
        plain = self.output.observe
        z = products(self.layer, self.padding, x, self.weight if plain else self.quantized_weight())
        shape = (1, -1, 1, 1) if z.ndim == 4 else (1, -1)
        if plain:
            found: Tensor = self.output(z * gain.reshape(shape) + offset.reshape(shape))
            return found
        # As the integer layer does it: the offset in whole steps of the accumulator, before the gain.
        silent = gain == 0
        steps = _Snap.apply(offset / torch.where(silent, 1.0, gain), self.accumulator_scale().to(x.dtype))
        added = (z + torch.where(silent, 0.0, steps).reshape(shape)) * gain.reshape(shape)
        found = self.output(added + torch.where(silent, offset, 0.0).reshape(shape))
        return found

    @property
    def padding(self) -> Padding:
        """Rows and columns of zeros around the image: top, bottom, left, right; the layer's own and those before it."""
        layer = self.layer
        own: Any = layer.padding if isinstance(layer, nn.Conv2d) else (0, 0)
        before = self.before or (0, 0, 0, 0)
        return own[0] + before[0], own[0] + before[1], own[1] + before[2], own[1] + before[3]

    def accumulator_scale(self) -> Tensor:
        """The value of one step of the accumulator, one entry or one a channel, in float64."""
        assert self.source is not None
        return self.source.format()[0] * self.weight_format()[0]

    def total_affine(self) -> tuple[Tensor, Tensor]:
        """Gain and offset with which a channel's output is gain*(products) + offset: bias and norm together."""
        layer: Any = self.layer
        zeros = torch.zeros(self.weight.shape[0], dtype=self.weight.dtype)
        bias = zeros if layer.bias is None else layer.bias
        if self.norm is None:
            return zeros + 1, bias
        gain, shift = self.affine()
        return gain, bias * gain + shift

    def affine(self) -> tuple[Tensor, Tensor]:
        """The norm in inference as gain and shift."""
        norm = self.norm
        assert norm is not None and norm.running_mean is not None and norm.running_var is not None
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return gain, norm.bias - norm.running_mean * gain

    def _fold(self) -> None:
        gain, shift = (t.detach() for t in self.affine())
        layer: Any = self.layer
        bias = layer.bias if layer.bias is not None else torch.zeros_like(shift)
        folded = self.weight.detach() * gain.reshape(-1, *(1,) * (self.weight.ndim - 1))
        layer.weight = nn.Parameter(folded)
        layer.bias = nn.Parameter(bias.detach() * gain + shift)
        self.norm = None

    @property
    def kind(self) -> Kind:
        """How its products are arranged."""
        return kind_of(self.layer)


def products(layer: Any, padding: Padding, x: Tensor, weight: Tensor) -> Tensor:
    """The products of a Conv2d or Linear, with other weights and without a bias; `padding` replaces its own."""
    if isinstance(layer, nn.Conv2d):
        top, bottom, left, right = padding
        padded = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(padded, weight, None, layer.stride, 0, layer.dilation, layer.groups)
    return functional.linear(x.flatten(1), weight)


def kind_of(layer: nn.Module) -> Kind:
    """How the products of a Conv2d or Linear are arranged."""
    if isinstance(layer, nn.Linear):
        return Kind.LINEAR
    assert isinstance(layer, nn.Conv2d)
    if layer.groups > 1:
        return Kind.DEPTHWISE
    return Kind.POINTWISE if layer.kernel_size == (1, 1) else Kind.CONV


def widened(x: Tensor, other: Tensor) -> Tensor:
    """`x` (batch x C x H x W), filled up with zeros to as many channels as `other` has, if it has fewer."""
    lacking = other.shape[1] - x.shape[1]
    return functional.pad(x, (0, 0, 0, 0, 0, lacking)) if lacking > 0 else x


class Sum(nn.Module):
    """The sum of two values, rounded to the nearest code, halves up: a floor would lower every sum by half a step, and
    sums follow one another along a residual network. Channels that one of them lacks are zeros."""

    def __init__(self, name: str, output: Output) -> None:
        super().__init__()
        self.name, self.output = name, output

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z = widened(x, y) + widened(y, x)
        if not self.output.observe:
            scale, _ = q.output_format(self.output.low.detach(), self.output.high.detach(), self.output.bits)
            z = z + scale / 2
        found: Tensor = self.output(z)
        return found


def read_from(part: nn.Module, source: nn.Module) -> None:
    """Tell `part` which quantizer its input comes from, which stays the child of another part."""
    object.__setattr__(part, "source", source)


class AveragePool(nn.Module):
    """An average rounded to the codes of its input, halves up; the whole image where `window` is None."""

    def __init__(self, name: str, window: Any = None, stride: Any = None) -> None:
        super().__init__()
        self.name, self.window, self.stride = name, window, stride
        self.source: Any = None

    def forward(self, x: Tensor) -> Tensor:
        window = self.window or x.shape[2:]
        mean = functional.avg_pool2d(x, window, self.stride or window)
        if self.source.observe:
            return mean
        scale = self.source.format()[0]
        with torch.no_grad():
            # In whole steps, so that halves are halves in floating point too.
            total = functional.avg_pool2d(torch.round(x / scale), window, self.stride or window, divisor_override=1)
            count = math.prod(_pair(window))
            snapped = scale * torch.floor((2 * total + count) / (2 * count))
        return _Instead.apply(mean, snapped)


class _Snap(q._Function):
    """To the nearest multiple of `scale`, halves to even; the gradient passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        return scale * torch.round(x / scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class _Instead(q._Function):
    """Another value, with the gradient of the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, other: Tensor) -> Tensor:
        return other.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def _pair(window: Any) -> tuple[int, int]:
    return (window, window) if isinstance(window, int) else (int(window[0]), int(window[1]))


class MaxPool(nn.Module):
    """The largest value of each window."""

    def __init__(self, name: str, layer: nn.MaxPool2d) -> None:
        super().__init__()
        self.name, self.layer = name, layer

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x)
        return found
