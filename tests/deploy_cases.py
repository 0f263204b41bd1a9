"""Random integer layers and networks, put together by hand, for the tests of deployment."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from hwsim.quant import formats
from hwsim.quant.chain import Kind
from hwsim.quant.icn import icn_parameters, reach_of
from hwsim.quant.network import Add, Network, Pool, Pooling, Product, Value, Window, check
from hwsim.quant.thresholds import thresholds_of
from hwsim.quant.tqt import Shifts

WIDTHS = tuple(itertools.product((8, 4, 2), repeat=3))
SCHEMES = ("pl_fb", "pl_icn", "pc_icn", "thresholds", "shifts")
PADDINGS = ((0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 0, 1), (1, 2, 1, 2), (1, 0, 0, 1))


def value(rng: np.random.Generator, name: str, shape: tuple[int, int, int], bits: int) -> Value:
    """A value of any zero point."""
    return Value(name, shape, bits, float(rng.uniform(0.01, 0.1)), int(rng.integers(0, 1 << bits)))


def window(rng: np.random.Generator, size: tuple[int, int]) -> Window:
    """A window each of whose places has a tap inside an image of `size`."""
    while True:
        kernel = tuple(int(n) for n in rng.integers(1, 5, 2))
        padding = PADDINGS[rng.integers(len(PADDINGS))]
        found = Window(kernel, tuple(int(n) for n in rng.integers(1, 4, 2)), padding)
        out = found.out(*size)
        last = [(o - 1) * s - p for o, s, p in zip(out, found.stride, padding[::2], strict=True)]
        begins = all(p < k for p, k in zip(padding[::2], kernel, strict=True))
        if min(out) >= 1 and begins and all(at < n for at, n in zip(last, size, strict=True)):
            return found


def product(
    rng: np.random.Generator,
    kind: Kind,
    widths: tuple[int, int, int],
    scheme: str,
    source: Value,
    name: str = "layer",
    channels: int = 0,
) -> tuple[Product, Value]:
    """A layer on `source` with any weights and multipliers, whose outputs use most codes, and its output."""
    _, out_bits, weight_bits = widths
    out_c = source.shape[2] if kind is Kind.DEPTHWISE else channels or int(rng.integers(2, 12))
    over = window(rng, source.shape[:2]) if kind in (Kind.CONV, Kind.DEPTHWISE) else Window()
    size = (1, 1) if kind is Kind.LINEAR else over.out(*source.shape[:2])
    out = value(rng, name, (*size, out_c), out_bits)
    inner = int(np.prod(source.shape)) if kind is Kind.LINEAR else source.shape[2]
    shape: tuple[int, ...] = {Kind.LINEAR: (out_c, inner), Kind.DEPTHWISE: (out_c, *over.size)}.get(
        kind, (out_c, *over.size, inner)
    )
    codes = rng.integers(0, 1 << weight_bits, shape)
    per_channel = scheme == "pc_icn" or (scheme == "thresholds" and rng.integers(2))
    zero = rng.integers(0, 1 << weight_bits, out_c if per_channel else 1)
    spread = (1 << source.bits) * (1 << weight_bits) * np.sqrt(codes[0].size) / 4
    count = 1 if scheme == "pl_fb" else out_c
    multipliers = (1 << out_bits) / spread * rng.uniform(0.5, 2, count) * rng.choice([1, 1, 1, -1], count)
    if count > 1 and rng.integers(4) == 0:
        multipliers[rng.integers(count)] = 0
    offsets = rng.uniform(-spread, spread, out_c)
    requantization: Any = icn_parameters(multipliers, offsets, reach_of(codes, zero, source.zero, source.bits))
    if scheme == "thresholds":
        requantization = thresholds_of(requantization, out_c, out.zero, out_bits)
    if scheme == "shifts":
        requantization = shifts(rng, spread, out_bits, out_c)
    stored = codes.transpose(1, 2, 0) if kind is Kind.DEPTHWISE else codes
    packed = formats.pack(stored, weight_bits)
    return Product(name, kind, source.name, name, over, packed, stored.shape, weight_bits, zero, requantization), out


def shifts(rng: np.random.Generator, spread: float, out_bits: int, channels: int) -> Shifts:
    """Any two shifts, at times to the left, or too far either way, that leave most sums of this spread within range."""
    first = int(np.clip(np.log2(spread) - rng.integers(4, 16), 0, 16))
    middle = min(spread / 2**first, 2.0**15)
    second = round(np.log2(2 * middle) - out_bits) + int(rng.integers(-1, 2))
    if rng.integers(20) == 0:
        second = int(rng.choice([-40, 40]))
    return Shifts(first, rng.integers(-int(middle), int(middle), channels), second)


def one_product(rng: np.random.Generator, kind: Kind, widths: tuple[int, int, int], scheme: str) -> Network:
    """A network of one layer with weights."""
    size = tuple(int(n) for n in rng.integers(1, 7, 2))
    source = value(rng, "input", (*size, int(rng.integers(1, 9))), widths[0])
    layer, out = product(rng, kind, widths, scheme, source)
    return check(Network("one", {"input": source, out.name: out}, (layer,), "input", out.name))


def one_pool(rng: np.random.Generator, kind: Pooling, bits: int) -> Network:
    """A network of one pooling layer."""
    source = value(rng, "input", (6, 5, int(rng.integers(1, 9))), bits)
    over = window(rng, source.shape[:2])
    if kind is Pooling.AVERAGE:
        over = Window((2, 3), (1, 2))
    out = Value("pool", (*over.out(6, 5), source.shape[2]), bits, source.scale, source.zero)
    layer = Pool("pool", kind, "input", "pool", over)
    return check(Network("one", {"input": source, "pool": out}, (layer,), "input", "pool"))


def one_sum(rng: np.random.Generator, widths: tuple[int, int, int]) -> Network:
    """The sum of the input and of what a layer makes of it: operands with formats of their own."""
    first_bits, out_bits, second_bits = widths
    source = value(rng, "input", (3, 5, int(rng.integers(1, 9))), first_bits)
    widths = (first_bits, second_bits, 4)
    second, other = product(rng, Kind.POINTWISE, widths, "pl_icn", source, "other", source.shape[2])
    unit = max(source.scale, other.scale) / (1 << 16)
    factors = (round(source.scale / unit), round(other.scale / unit))
    spread = factors[0] * (1 << first_bits) + factors[1] * (1 << second_bits)
    multiplier = (1 << out_bits) / spread * rng.uniform(0.5, 2) * rng.choice([1, 1, -1])
    icn = icn_parameters(multiplier, rng.uniform(-spread / 4, spread / 4, 1), spread)
    out = value(rng, "sum", source.shape, out_bits)
    layers = (second, Add("sum", ("input", "other"), "sum", icn, factors))
    return check(Network("sum", {v.name: v for v in (source, other, out)}, layers, "input", "sum"))
