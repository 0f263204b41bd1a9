"""An integer network: values and layers with all their parameters, in the order they run. A code generator's input.

Values are stored height x width x channels, packed at 8, 4 or 2 bits (`formats.pack`). Codes are unsigned; a value is
scale * (code - zero). Weights are packed [out][kernel_h][kernel_w][in], of a depth-wise layer [kernel_h][kernel_w]
[channel], of a linear one [out][in] over its input as stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from hwsim.errors import bad_input
from hwsim.quant import formats
from hwsim.quant.chain import Kind
from hwsim.quant.formats import Bytes, Ints
from hwsim.quant.icn import Icn
from hwsim.quant.thresholds import Thresholds
from hwsim.quant.tqt import Shifts

Requantization = Icn | Thresholds | Shifts


@dataclass(frozen=True)
class Value:
    """One tensor between layers: height, width, channels; width of a code; scale and zero point."""

    name: str
    shape: tuple[int, int, int]
    bits: int
    scale: float
    zero: int


@dataclass(frozen=True)
class Window:
    """A window that slides over an image: its size, its steps (height, width) and the zeros around the image."""

    size: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Top, bottom, left, right."""

    def out(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what it gives."""
        top, bottom, left, right = self.padding
        return (
            (height + top + bottom - self.size[0]) // self.stride[0] + 1,
            (width + left + right - self.size[1]) // self.stride[1] + 1,
        )


@dataclass(frozen=True)
class Product:
    """A layer with weights. `weight_zero` has one entry, or one a channel."""

    name: str
    kind: Kind
    input: str
    output: str
    window: Window
    weights: Bytes
    weight_shape: tuple[int, ...]
    weight_bits: int
    weight_zero: Ints
    requantization: Requantization

    def weight_codes(self) -> Ints:
        """Its weights unpacked, in their stored shape."""
        return formats.unpack(self.weights, self.weight_bits, self.weight_shape)


class Pooling(Enum):
    """What a pooling layer takes of its window."""

    AVERAGE = "average"
    MAX = "max"


@dataclass(frozen=True)
class Pool:
    """A pooling layer: input and output have the same scale, zero point and width.

    An average is rounded to the nearest code, halves up; windows of an average lie within the image.
    """

    name: str
    kind: Pooling
    input: str
    output: str
    window: Window


@dataclass(frozen=True)
class Add:
    """An element-wise sum of two values: Y = clamp(Zy + floor(M*(A1*(X1 - Z1) + A2*(X2 - Z2) + Bq))).

    The factors A are to each other as the scales of the two values; of one scale, both are 1. The channels that one of
    them lacks at its end count as zeros.
    """

    name: str
    inputs: tuple[str, str]
    output: str
    requantization: Icn
    factors: tuple[int, int] = (1, 1)


Layer = Product | Pool | Add


@dataclass(frozen=True)
class Network:
    """Layers in the order they run, over the values they name; made by `hwsim.quant.training.convert` or by hand.

    `heads` are further outputs, of a network with several.
    """

    name: str
    values: Mapping[str, Value]
    layers: tuple[Layer, ...]
    input: str
    output: str
    heads: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The values it is run for, `output` first."""
        return (self.output, *self.heads)

    def flash_bits(self) -> int:
        """Size of all packed weights."""
        return sum(8 * layer.weights.size for layer in self.layers if isinstance(layer, Product))


def inputs_of(layer: Layer) -> tuple[str, ...]:
    """The values a layer reads."""
    return layer.inputs if isinstance(layer, Add) else (layer.input,)


def check(network: Network) -> Network:
    """`network`, if every layer reads what was written before it and writes a value of the shape it makes.

    Raises InputError otherwise.
    """
    written = {network.input}
    for layer in network.layers:
        for name in inputs_of(layer):
            if name not in written:
                raise bad_input("order", name, "no layer before has written this value", key=layer.name)
        _check_shape(network, layer)
        written.add(layer.output)
    for name in network.outputs:
        if name not in written:
            raise bad_input("order", name, "no layer writes the network's output")
    return network


def _check_shape(network: Network, layer: Layer) -> None:
    values = [network.values[name] for name in inputs_of(layer)]
    out, source = network.values[layer.output], values[0]
    if isinstance(layer, Add):
        a, b = layer.factors
        apart = abs(values[0].scale * b - values[1].scale * a) / max(v.scale for v in values)
        # Factors are rounded, but for 1 and 1, which say that the scales are the same.
        apart_by_rounding = 0.501 if (a, b) != (1, 1) else 0
        shapes = max(v.shape for v in values) == out.shape and len({v.shape[:2] for v in values}) == 1
        if not shapes or min(a, b) < 1 or apart > apart_by_rounding:
            rule = "one input of a sum has its shape, the other at most its channels, scales in its factors' ratio"
            raise bad_input("shape", layer.name, rule)
        return
    height, width, channels = source.shape
    size = layer.window.out(height, width)
    made: tuple[Any, ...] = (*size, channels)
    if isinstance(layer, Product):
        flat = int(np.prod(source.shape))
        made = (1, 1, layer.weight_shape[0]) if layer.kind is Kind.LINEAR else (*size, out.shape[2])
        wanted = {
            Kind.LINEAR: (out.shape[2], flat),
            Kind.DEPTHWISE: (*layer.window.size, channels),
        }.get(layer.kind, (out.shape[2], *layer.window.size, channels))
        if layer.weight_shape != wanted:
            raise bad_input("shape", layer.weight_shape, f"the weights have the shape {wanted}", key=layer.name)
    elif (out.bits, out.scale, out.zero) != (source.bits, source.scale, source.zero):
        raise bad_input("format", out.name, "pooling keeps the format of its input", key=layer.name)
    if out.shape != made:
        raise bad_input("shape", out.shape, f"the layer makes {made}", key=layer.name)
