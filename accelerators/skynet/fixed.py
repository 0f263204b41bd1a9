"""SkyNet in fixed point, to the bit: the numbers the engine computes with. NUMERICS.md tells the same with examples.

    formats = Formats()                         9-bit features, 11-bit weights, 12-bit accumulators, as released
    network = quantize(float_network, formats)  weights and biases as integer codes
    box_map = run(network, normalize(image, formats), formats)["head"]

A *code* is an integer that stands for code / 2^fraction bits of its type. All arrays are int64 codes; maps are
[channels, height, width]. `ap_fixed<W, I>`: W bits, sign included, I of them in front of the point, W - I behind it.

The rules, which define the circuit's results too:

1.  *Conversion* to a type rounds to the nearest code, halves upwards (floor(x + 1/2): -1/2 becomes 0), then saturates
    to the type's range (AP_RND, AP_SAT). Nothing wraps.
2.  *Image*: byte b becomes the conversion of (b / 255 - 1/2) / (1/4), computed exactly, to a feature.
3.  *Depthwise 3x3*, stride 1, zeros around the map: an output starts as the bias converted to a feature; then, for taps
    (0, 0), (0, 1), (0, 2), (1, 0) ... (2, 2) in this order, output = feature(output + weight * x), the product and the
    sum exact before they are converted. Tap (dy, dx) reads (y + dy - 1, x + dx - 1).
4.  *Pointwise*: an output starts as the bias converted to an accumulator. Inputs are taken in channel order,
    `tree_inputs` at a time: tree = tree type(sum of the products, exact); output = accumulator(output + tree). At the
    end the output is converted to a feature. A map made of several parts (the four sub-positions of a reorg, the
    operands of a concat) begins a new tree with every part, as if each part were padded with channels of zeros to
    whole trees; a last tree of a part may be short. So padding channels to groups of any multiple of
    `tree_inputs` changes nothing. A depthwise layer keeps the parts of its input.
5.  *ReLU6* is taken of the feature: clip to 0..6, or to the largest feature where that is less (255/64 for <9, 3>).
6.  *Max pool* 2x2 and *reorg* move codes and round nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelerators.skynet.network import IMAGE, RELU_LIMIT, Kind, Layer, Network, max_pool, reorg, reorg_layer
from hwsim.errors import bad_input

__all__ = [
    "Fixed", "Formats", "convert", "depthwise", "dequantize", "max_pool", "normalize", "pointwise", "quantize",
    "quantize_array", "reorg", "run",
]  # fmt: skip

Codes = NDArray[np.int64]
TREE_INPUTS = 16
WORD_BITS = 63
"""Magnitude of an int64, in which every sum has to fit before it is rounded."""


@dataclass(frozen=True)
class Fixed:
    """One type, ap_fixed<bits, integer_bits, AP_RND, AP_SAT>."""

    bits: int
    integer_bits: int

    @property
    def fraction_bits(self) -> int:
        """Bits behind the point."""
        return self.bits - self.integer_bits

    @property
    def low(self) -> int:
        """The smallest code."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """The largest code."""
        return (1 << (self.bits - 1)) - 1

    def code(self, value: Fraction) -> int:
        """The code of an exact value."""
        nearest = floor(value * (1 << self.fraction_bits) + Fraction(1, 2))
        return min(max(nearest, self.low), self.high)


@dataclass(frozen=True)
class Formats:
    """The four types, in bits. The defaults are those of the released design.

    Raises InputError where a type has no bit in front of or a negative number behind the point, where a tree could not
    hold the fraction of a product or of an accumulator, or where a sum would not fit 64 bits.
    """

    feature_bits: int = 9
    feature_integer_bits: int = 3
    weight_bits: int = 11
    weight_integer_bits: int = 4
    accumulator_bits: int = 12
    accumulator_integer_bits: int = 4
    tree_bits: int = 32
    tree_integer_bits: int = 10

    def __post_init__(self) -> None:
        for name in ("feature", "weight", "accumulator", "tree"):
            bits, whole = getattr(self, f"{name}_bits"), getattr(self, f"{name}_integer_bits")
            if not 1 <= whole <= bits or bits < 2:
                rule = "a type has at least 2 bits, from 1 to all of them in front of the point"
                raise bad_input("format", f"<{bits}, {whole}>", rule, key=f"{name}_bits")
        self._check_sums()

    def _check_sums(self) -> None:
        product_fraction = self.feature.fraction_bits + self.weight.fraction_bits
        if self.tree.fraction_bits < product_fraction:
            rule = f"a tree needs the {product_fraction} fraction bits of a product"
            raise bad_input("format", self.tree.fraction_bits, rule, "Widen tree_bits.", key="tree_bits")
        if self.tree.fraction_bits < self.accumulator.fraction_bits:
            rule = f"an accumulator keeps at most the {self.tree.fraction_bits} fraction bits of a tree"
            raise bad_input("format", self.accumulator.fraction_bits, rule, key="accumulator_bits")
        depthwise_bits = self.feature_integer_bits + self.weight_integer_bits + 1 + product_fraction
        pointwise_bits = max(self.tree_integer_bits, self.accumulator_integer_bits) + 1 + self.tree.fraction_bits
        if max(depthwise_bits, pointwise_bits) > WORD_BITS:
            rule = f"sums before rounding may take {WORD_BITS} bits"
            raise bad_input("format", max(depthwise_bits, pointwise_bits), rule, "Use narrower types.", key="tree_bits")

    @property
    def feature(self) -> Fixed:
        """Type of the maps."""
        return Fixed(self.feature_bits, self.feature_integer_bits)

    @property
    def weight(self) -> Fixed:
        """Type of weights and biases."""
        return Fixed(self.weight_bits, self.weight_integer_bits)

    @property
    def accumulator(self) -> Fixed:
        """Type of the pointwise engine's sums."""
        return Fixed(self.accumulator_bits, self.accumulator_integer_bits)

    @property
    def tree(self) -> Fixed:
        """Type of what a tree of products yields."""
        return Fixed(self.tree_bits, self.tree_integer_bits)


DEFAULT = Formats()


# --- conversion -------------------------------------------------------------------------------------------------


def convert(codes: NDArray[Any], source: Fixed, target: Fixed) -> Codes:
    """Codes of one type as codes of another: rule 1."""
    from accelerators.skynet import fixed_kernels

    flat = np.ascontiguousarray(codes, np.int64).reshape(-1)
    out = np.empty_like(flat)
    fixed_kernels.convert(flat, source.fraction_bits - target.fraction_bits, target.low, target.high, out)
    return out.reshape(np.shape(codes))


def quantize_array(values: NDArray[Any], target: Fixed) -> Codes:
    """Codes of floating-point values. Raises InputError for a value that is not a number."""
    scaled = np.clip(np.asarray(values, np.float64) * 2.0**target.fraction_bits, target.low - 1, target.high + 1)
    if np.isnan(scaled).any():
        raise bad_input("values", "nan", "only numbers can be rounded to a code")
    below = np.floor(scaled)
    nearest = np.where(scaled - below >= 0.5, below + 1, below)  # scaled + 0.5 would itself be rounded
    codes: Codes = np.clip(nearest, target.low, target.high).astype(np.int64)
    return codes


def dequantize(codes: NDArray[Any], source: Fixed) -> NDArray[np.float64]:
    """The values that codes stand for."""
    return np.asarray(codes, np.float64) / 2.0**source.fraction_bits


def quantize(network: Network, formats: Formats = DEFAULT) -> Network:
    """The network with codes of the weight type in place of its floating-point weights and biases."""

    def coded(layer: Layer) -> Layer:
        bias = None if layer.bias is None else quantize_array(layer.bias, formats.weight)
        return replace(layer, weight=quantize_array(layer.arrays()[0], formats.weight), bias=bias)

    layers = tuple(coded(layer) if layer.is_convolution else layer for layer in network.layers)
    return Network(layers, network.inputs)


# --- layers -----------------------------------------------------------------------------------------------------


def normalization(formats: Formats = DEFAULT) -> Codes:
    """The feature code of each of the 256 bytes: rule 2."""
    return np.array([formats.feature.code(4 * (Fraction(b, 255) - Fraction(1, 2))) for b in range(256)], np.int64)


def normalize(image: NDArray[Any], formats: Formats = DEFAULT) -> Codes:
    """Feature codes of an image of bytes [3, H, W]. Raises InputError for anything but uint8."""
    if np.asarray(image).dtype != np.uint8:
        raise bad_input("image", np.asarray(image).dtype, "an image is bytes (uint8)")
    codes: Codes = normalization(formats)[image]
    return codes


def depthwise(
    x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any], formats: Formats = DEFAULT, relu: bool = True
) -> Codes:
    """Rule 3: x [C, H, W], weight [C, 3, 3], bias [C] -> features [C, H, W]. Raises InputError for other shapes."""
    from accelerators.skynet import fixed_kernels

    _check("depthwise", x, weight, bias, (np.shape(x)[0], 3, 3))
    feature = formats.feature
    start = convert(bias, formats.weight, feature)
    out = np.broadcast_to(start[:, None, None], np.shape(x)).copy()
    up = formats.weight.fraction_bits
    fixed_kernels.depthwise(_codes(x), _codes(weight), out, up, feature.low, feature.high)
    return rectified(out, formats) if relu else out


def pointwise(
    x: NDArray[Any],
    weight: NDArray[Any],
    bias: NDArray[Any],
    formats: Formats = DEFAULT,
    relu: bool = True,
    parts: Sequence[int] = (),
    tree_inputs: int = TREE_INPUTS,
) -> Codes:
    """Rule 4: x [C, H, W], weight [O, C], bias [O] -> features [O, H, W].

    parts  channels of each part of x, in order; one part where not given
    Raises InputError for shapes or parts that do not fit, and for a tree whose exact sum could pass 64 bits.
    """
    from accelerators.skynet import fixed_kernels

    channels, height, width = np.shape(x)
    _check("pointwise", x, weight, bias, (len(bias), channels))
    out = pointwise_start(bias, formats, height * width)
    plan = tree_bounds(parts or (channels,), tree_inputs)
    if plan[-1, 1] != channels:
        raise bad_input("parts", tuple(parts), f"the parts of a map sum up to its {channels} channels")
    fixed_kernels.pointwise(
        _codes(x).reshape(channels, -1), _codes(weight), plan, out, *_tree_shifts(formats, tree_inputs)
    )
    features = convert(out, formats.accumulator, formats.feature).reshape(-1, height, width)
    return rectified(features, formats) if relu else features


def pointwise_start(bias: NDArray[Any], formats: Formats, pixels: int) -> Codes:
    """Accumulators [O, pixels] that hold the biases."""
    start = convert(bias, formats.weight, formats.accumulator)
    return np.broadcast_to(start[:, None], (len(start), pixels)).copy()


def tree_bounds(parts: Sequence[int], tree_inputs: int = TREE_INPUTS) -> Codes:
    """First and last channel (excluded) of each tree, in order [trees, 2]."""
    if tree_inputs < 1 or not parts or min(parts) < 1:
        raise bad_input("trees", f"{tree_inputs} inputs, parts {tuple(parts)}", "both are positive")
    bounds, first = [], 0
    for part in parts:
        last = first + part
        bounds += [(at, min(at + tree_inputs, last)) for at in range(first, last, tree_inputs)]
        first = last
    return np.array(bounds, np.int64)


def _tree_shifts(formats: Formats, tree_inputs: int) -> tuple[int, int, int, int, int, int]:
    tree, total = formats.tree, formats.accumulator
    product_bits = formats.feature_bits + formats.weight_bits - 1
    if product_bits + (tree_inputs - 1).bit_length() > WORD_BITS:
        raise bad_input("trees", tree_inputs, f"an exact sum may take {WORD_BITS} bits", "Use narrower types.")
    tree_up = tree.fraction_bits - formats.feature.fraction_bits - formats.weight.fraction_bits
    return tree_up, tree.low, tree.high, tree.fraction_bits - total.fraction_bits, total.low, total.high


def rectified(features: Codes, formats: Formats = DEFAULT) -> Codes:
    """ReLU6 of features: rule 5."""
    limit = min(RELU_LIMIT << formats.feature.fraction_bits, formats.feature.high)
    return np.clip(features, 0, limit)


def _codes(values: NDArray[Any]) -> Codes:
    return np.ascontiguousarray(values, np.int64)


def _check(name: str, x: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any], wanted: tuple[int, ...]) -> None:
    if np.shape(weight) != wanted or np.shape(bias) != wanted[:1]:
        got = f"weights {np.shape(weight)}, biases {np.shape(bias)} for a map {np.shape(x)}"
        raise bad_input(name, got, f"the weights must be {wanted}, one bias for each output")
    for array in (x, weight, bias):
        if not np.issubdtype(np.asarray(array).dtype, np.integer):
            raise bad_input(name, np.asarray(array).dtype, "codes are integers", "Quantize the network first.")


# --- the network ------------------------------------------------------------------------------------------------


def run(
    network: Network, image: NDArray[Any], formats: Formats = DEFAULT, tree_inputs: int = TREE_INPUTS
) -> dict[str, Codes]:
    """Every map by layer name (the last is the result), from the feature codes of an image.

    network  as `quantize` gives it; image: as `normalize` gives it. Raises InputError for an image of other channels.
    """
    if np.ndim(image) != 3 or len(image) != network.inputs:
        raise bad_input("image", np.shape(image), f"an image here is [{network.inputs}, height, width]")
    maps, parts = {IMAGE: _codes(image)}, network.parts()
    for layer in network.layers:
        held = sum((parts[s] for s in layer.sources), ())
        maps[layer.name] = _run_layer(layer, [maps[s] for s in layer.sources], held, formats, tree_inputs)
    return maps


def _run_layer(layer: Layer, inputs: list[Codes], parts: tuple[int, ...], formats: Formats, tree_inputs: int) -> Codes:
    if layer.kind is Kind.POOL:
        return max_pool(inputs[0])
    if layer.kind is Kind.REORG:
        return reorg_layer(layer.name, inputs[0])
    if layer.kind is Kind.CONCAT:
        return np.concatenate(inputs)
    weight, bias = layer.arrays()
    if layer.kind is Kind.DEPTHWISE:
        return depthwise(inputs[0], weight, bias, formats, layer.relu)
    return pointwise(inputs[0], weight, bias, formats, layer.relu, parts, tree_inputs)
