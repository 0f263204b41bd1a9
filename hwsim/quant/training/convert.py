"""From a torch network with quantizers to an integer network."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from hwsim.quant import formats
from hwsim.quant.chain import Kind
from hwsim.quant.formats import Ints, Reals
from hwsim.quant.icn import Icn, icn_parameters, reach_of
from hwsim.quant.network import Add, Network, Pool, Pooling, Product, Value, Window, check
from hwsim.quant.thresholds import WIDEST_OUTPUT, thresholds_of
from hwsim.quant.training.blocks import AveragePool, Block, MaxPool, Padding, Sum
from hwsim.quant.training.power_of_two import PowerOfTwoLayer
from hwsim.quant.training.prepare import INPUT, QuantizedNetwork

CONSTANT_N0 = -16
"""A channel that its norm multiplies by 0 is a constant: a bias with 16 bits behind the point, and no weights."""


SUM_FACTOR = 1 << 16
"""The factor of the operand with the larger scale; the other's, rounded, is off by 2^-17 of that scale at most."""


def convert(network: QuantizedNetwork, shape: tuple[int, int, int], name: str = "network") -> Network:
    """The integer network of `network` for inputs of `shape` (channels, height, width).

    Scales are taken in float64. Raises InputError where an accumulator can exceed 32 bits.
    """
    channels, height, width = shape
    values = {"input": _value("input", (height, width, channels), network.source)}
    layers: list[Any] = []
    names = {INPUT: "input"}
    for i, (part, reads) in enumerate(zip(network.parts, network.reads, strict=True)):
        make: Any = _MAKERS.get(type(part), _pool)
        layer, value = make(part, *(values[names[read]] for read in reads))
        layers.append(layer)
        values[value.name] = value
        names[i] = value.name
    output, *heads = (names[i] for i in network.results)
    return check(Network(name, values, tuple(layers), "input", output, tuple(heads)))


def _sum(part: Sum, first: Value, second: Value) -> tuple[Add, Value]:
    value = _value(part.name, max(first.shape, second.shape), part.output)  # Of one height and width.
    unit, factors = first.scale, (1, 1)
    if first.scale != second.scale:
        unit = max(first.scale, second.scale) / SUM_FACTOR
        factors = (max(1, round(first.scale / unit)), max(1, round(second.scale / unit)))
    farthest = (max(v.zero, (1 << v.bits) - 1 - v.zero) for v in (first, second))
    reach = sum(factor * far for factor, far in zip(factors, farthest, strict=True))
    icn = icn_parameters(unit / value.scale, value.scale / unit / 2, reach)
    return Add(part.name, (first.name, second.name), part.name, icn, factors), value


def with_thresholds(network: Network) -> Network:
    """The same network with thresholds instead of ICN in every layer whose output has 4 or 2 bits."""
    return replace(network, layers=tuple(_thresholded(network, layer) for layer in network.layers))


def _thresholded(network: Network, layer: Any) -> Any:
    out = network.values[layer.output]
    if not isinstance(layer, Product) or out.bits > WIDEST_OUTPUT:
        return layer
    icn = layer.requantization
    assert isinstance(icn, Icn)
    return replace(layer, requantization=thresholds_of(icn, out.shape[2], out.zero, out.bits))


def _value(name: str, shape: tuple[int, int, int], output: Any) -> Value:
    scale, zero = output.format()
    return Value(name, shape, output.bits, scale, zero)


def _product(block: Block, source: Value) -> tuple[Product, Value]:
    window = _window(block.layer, block.padding)
    codes, zeros, scales = _weights(block, source)
    size = (1, 1) if block.kind is Kind.LINEAR else window.out(*source.shape[:2])
    value = _value(block.name, (*size, codes.shape[0]), block.output)
    gain, offset = (t.detach().numpy() for t in copy.deepcopy(block).double().total_affine())
    constant = gain == 0
    if constant.any():
        codes, zeros = codes.copy(), np.broadcast_to(zeros, (codes.shape[0],)).copy()
        codes[constant] = zeros[constant].reshape(-1, *(1,) * (codes.ndim - 1))
        zeros = zeros if block.recipe.value.startswith("pc") else zeros[:1]
    unit = source.scale * scales
    with np.errstate(divide="ignore", invalid="ignore"):
        multipliers = np.where(constant, 2.0**CONSTANT_N0, unit * gain / value.scale)
        offsets = np.where(constant, offset / value.scale * 2.0**-CONSTANT_N0, offset / (gain * unit))
    if block.norm is None:
        multipliers = multipliers[:1] if scales.size == 1 else multipliers
    icn = icn_parameters(multipliers, offsets, reach_of(codes, zeros, source.zero, source.bits))
    stored = _stored(block.kind, codes)
    packed = formats.pack(stored, block.weight_bits)
    product = Product(block.name, block.kind, source.name, block.name, window, packed, stored.shape,
                      block.weight_bits, zeros, icn)  # fmt: skip
    return product, value


def _power_of_two(part: PowerOfTwoLayer, source: Value) -> tuple[Product, Value]:
    window, zero = _window(part.layer, part.padding), part.weights.zero
    codes = _inputs_last(part.weight_codes(), source)
    size = (1, 1) if part.kind is Kind.LINEAR else window.out(*source.shape[:2])
    stored = _stored(part.kind, codes) + zero
    product = Product(part.name, part.kind, source.name, part.name, window, formats.pack(stored, part.weights.bits),
                      stored.shape, part.weights.bits, np.array([zero]), part.shifts())  # fmt: skip
    return product, _value(part.name, (*size, codes.shape[0]), part.outputs)


def _window(layer: nn.Module, padding: Padding) -> Window:
    if isinstance(layer, nn.Linear):
        return Window()
    assert isinstance(layer, nn.Conv2d)
    kernel: Any = layer.kernel_size
    stride: Any = layer.stride
    return Window(kernel, stride, padding)


def _weights(block: Block, source: Value) -> tuple[Ints, Ints, Reals]:
    """Codes (channels first, inputs last), zero points and scales of a block's weights."""
    scale, zero = (t.numpy() for t in block.weight_format())
    form = formats.Format(block.weight_bits, scale, zero.astype(np.int64))
    codes = form.quantize(block.weight.detach().double().numpy())
    return _inputs_last(codes, source), form.zero, scale


def _inputs_last(codes: Ints, source: Value) -> Ints:
    """Weights of torch with input channels as the last axis; of a linear layer, over its input as stored."""
    if codes.ndim == 4:
        return codes.transpose(0, 2, 3, 1)
    height, width, channels = source.shape
    return codes.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(codes.shape)


def _stored(kind: Kind, codes: Ints) -> Ints:
    return codes[..., 0].transpose(1, 2, 0) if kind is Kind.DEPTHWISE else codes


def _pool(part: nn.Module, source: Value) -> tuple[Pool, Value]:
    if isinstance(part, MaxPool):
        layer = part.layer
        padding = _pair(layer.padding)
        window = Window(_pair(layer.kernel_size), _pair(layer.stride),
                        (padding[0], padding[0], padding[1], padding[1]))  # fmt: skip
        kind, name = Pooling.MAX, part.name
    else:
        assert isinstance(part, AveragePool)
        size = _pair(part.window or source.shape[:2])
        window = Window(size, _pair(part.stride or size))
        kind, name = Pooling.AVERAGE, part.name
    value = replace(source, name=name, shape=(*window.out(*source.shape[:2]), source.shape[2]))
    return Pool(name, kind, source.name, name, window), value


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


_MAKERS = {Block: _product, PowerOfTwoLayer: _power_of_two, Sum: _sum}
"""How each part of a network with quantizers becomes a layer; pools otherwise."""
