"""Small quantized layers for tests: chains whose fake-quantized graph is exact in float64, and chains of any values."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import nn

from hwsim.quant.assign import Bits
from hwsim.quant.chain import Kind
from hwsim.quant.training.blocks import Block, Output, Recipe, read_from
from hwsim.quant.training.prepare import QuantizedNetwork, prepare

COMBINATIONS = tuple(itertools.product((8, 4, 2), repeat=3))
KINDS = (Kind.CONV, Kind.DEPTHWISE, Kind.POINTWISE, Kind.LINEAR)
GEOMETRIES = ((1, 0, 3), (1, 1, 3), (2, 1, 3), (2, 2, 3), (3, 1, 5), (2, 0, 2))
"""Stride, padding and size of a window."""
IMAGE = (7, 6)


def geometry(kind: Kind, case: int) -> tuple[int, int, int]:
    """Stride, padding and window of the n-th case of a kind."""
    stride, padding, size = GEOMETRIES[case % len(GEOMETRIES)]
    return (stride, 0, 1) if kind is Kind.POINTWISE else (stride, padding, size)


def layer_of(kind: Kind, case: int) -> tuple[nn.Module, tuple[int, int, int]]:
    """A layer with odd numbers of channels, and the shape of its input."""
    stride, padding, size = geometry(kind, case)
    inside, out = (3, 5, 7)[case % 3], (5, 7, 3)[case // 3 % 3]
    if kind is Kind.LINEAR:
        return nn.Linear(inside * 6, out), (inside, 2, 3)
    if kind is Kind.DEPTHWISE:
        return nn.Conv2d(inside, inside, size, stride, padding, groups=inside), (inside, *IMAGE)
    return nn.Conv2d(inside, out, size, stride, padding), (inside, *IMAGE)


# --- values that float64 holds exactly --------------------------------------------------------------------------


def exact_chain(kind: Kind, recipe: Recipe, bits: tuple[int, int, int], case: int) -> tuple[QuantizedNetwork, Any]:
    """A layer whose every intermediate value float64 holds, and exact inputs for it.

    Scales of input and weights have 5 bits, gains 8, zero points and codes 9, and at most 2^8 products are summed, so
    a sum has at most 5 + 5 + 9 + 9 + 8 = 36 bits, a biased one 38, and with the gain 46, of the 53 there are. The
    output's scale is a power of two, so dividing by it is exact too, and rounding down sees the true quotient.
    """
    rng = np.random.default_rng([case, *bits, list(Recipe).index(recipe), KINDS.index(kind)])
    input_bits, output_bits, weight_bits = bits
    layer, shape = layer_of(kind, case)
    layer.double()
    channels = layer.weight.shape[0]
    input_scale = _odd(rng, 4) * 2.0**-7
    input_zero = int(rng.integers(0, 2**input_bits)) if case % 2 else 0
    source = _output(input_bits, input_scale, input_zero, nearest=True)
    weight_scale = _exact_weights(rng, layer, recipe, weight_bits)
    unit = input_scale * weight_scale
    layer.bias = nn.Parameter(torch.tensor(unit * rng.integers(-9, 9, channels)))
    norm = None if recipe is Recipe.PL_FB or kind is Kind.LINEAR else _exact_norm(rng, unit, channels)
    codes = rng.integers(0, 2**input_bits, (4, *shape))
    inputs = torch.tensor(input_scale * (codes - input_zero))
    zero = int(rng.integers(0, 2**output_bits)) if case % 3 == 1 else 0
    block = Block("layer", layer, norm, Output(output_bits, relu=zero == 0).double())
    block.recipe, block.weight_bits = recipe, weight_bits
    read_from(block, source)
    if recipe is not Recipe.PC_ICN:
        block.clip = nn.Parameter(torch.tensor(float(weight_scale[0]) * (2**weight_bits - 1) / 2))
    scale, largest = _output_scale(block, inputs, output_bits)
    if zero == 0 and largest <= 0:
        zero = 2**output_bits - 1
    _set_range(block.output, scale, zero)
    if kind is Kind.LINEAR:
        block.register_forward_pre_hook(lambda _, x: tuple(t.flatten(1) for t in x))
    return QuantizedNetwork(source, [block]).eval(), inputs


def _odd(rng: np.random.Generator, bits: int) -> int:
    return 2 * int(rng.integers(0, 2**bits)) + 1


def _output(bits: int, scale: float, zero: int, *, nearest: bool) -> Output:
    output = Output(bits, relu=False, nearest=nearest).double()
    _set_range(output, scale, zero)
    return output


def _set_range(output: Output, scale: float, zero: int) -> None:
    with torch.no_grad():
        output.low.copy_(torch.tensor(-scale * zero))
        output.high.copy_(torch.tensor(scale * (2**output.bits - 1 - zero)))


def _exact_weights(rng: np.random.Generator, layer: Any, recipe: Recipe, bits: int) -> Any:
    """Weights on the grid that their quantizer finds: each channel has the smallest and the largest code."""
    channels, top = layer.weight.shape[0], 2**bits - 1
    flat = rng.integers(0, top + 1, (channels, layer.weight[0].numel()))
    if recipe is Recipe.PC_ICN:
        scale = np.array([_odd(rng, 4) * 2.0**-9 for _ in range(channels)])
        zero = rng.integers(0, top + 1, (channels, 1))
        if flat.shape[1] > 1:
            flat[:, 0], flat[:, 1] = 0, top
    else:
        scale, zero = np.array([_odd(rng, 4) * 2.0**-9]), np.full((1, 1), 2 ** (bits - 1))
    layer.weight = nn.Parameter(torch.tensor(scale[:, None] * (flat - zero)).reshape(layer.weight.shape))
    return scale


def _exact_norm(rng: np.random.Generator, unit: Any, channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=0.0).double()
    gain = np.array([_odd(rng, 7) * 2.0**-7 for _ in range(channels)]) * rng.choice([1, 1, 1, -1], channels)
    mean = unit * rng.integers(-7, 8, channels)
    shift = gain * unit * rng.integers(-9, 9, channels)
    with torch.no_grad():
        norm.running_var.fill_(4.0)
        norm.weight.copy_(torch.tensor(2.0 * gain))
        norm.running_mean.copy_(torch.tensor(mean))
        norm.bias.copy_(torch.tensor(shift + mean * gain))
    return norm


def _output_scale(block: Block, inputs: Any, bits: int) -> tuple[float, float]:
    """A power of two for which the outputs use most codes, and the largest output."""
    relu, block.output.relu, block.output.observe = block.output.relu, False, True
    x = inputs.flatten(1) if isinstance(block.layer, nn.Linear) else inputs
    with torch.no_grad():
        low, high = block.output.low.clone(), block.output.high.clone()
        z = block(x)
        block.output.low.copy_(low), block.output.high.copy_(high)
    block.output.relu, block.output.observe = relu, False
    reach = max(float(z.abs().max()), 2.0**-40)
    return float(2.0 ** np.floor(np.log2(reach / 2**bits))), float(z.max())


# --- any values -------------------------------------------------------------------------------------------------


def random_chain(kind: Kind, recipe: Recipe, bits: tuple[int, int, int], case: int) -> tuple[QuantizedNetwork, Any]:
    """A layer of random values in front of a second one, with ranges from its data, in float64, and inputs."""
    torch.manual_seed(1000 * case + 100 * bits[0] + 10 * bits[1] + bits[2])
    layer, shape = layer_of(kind, case)
    parts: list[nn.Module] = [nn.Flatten(), layer] if kind is Kind.LINEAR else [layer, _random_norm(layer)]
    net = nn.Sequential(*parts, nn.ReLU6() if case % 2 else nn.Identity()).double()
    inputs = torch.randn(4, *shape, dtype=torch.float64)
    found = prepare(net, Bits((bits[2],), (bits[0], bits[1])), recipe, inputs * 0.8)
    return found.double(), inputs


def _random_norm(layer: Any) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(layer.weight.shape[0])
    with torch.no_grad():
        norm.weight.copy_(torch.randn_like(norm.weight))
        norm.bias.copy_(torch.randn_like(norm.bias))
        norm.running_mean.copy_(torch.randn_like(norm.bias) / 3)
        norm.running_var.copy_(torch.rand_like(norm.bias) + 0.1)
    return norm
