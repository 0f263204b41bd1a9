"""The C kernels from Python: their names, how their data are packed, and calls of them in the emulator.

Arrays in this module are unpacked, one unsigned value an element: activations (height, width, channels) and weights
(filters, height, width, channels), or (height, width, channels) for depthwise layers. The C code sees them packed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerators.mcu.emulate import RAM_ADDRESS, RAM_BYTES, STACK_BYTES, Execution, Machine, load
from accelerators.mcu.toolchain import Isa, library
from hwsim.pure import ceil_div

Ints = NDArray[np.int64]

BITS = (8, 4, 2)


class Operation(IntEnum):
    """What a kernel computes."""

    CONV = 0
    POINTWISE = 1
    DENSE = 2
    DEPTHWISE = 3
    MAX_POOL = 4
    AVERAGE_POOL = 5
    ADD = 6
    PADDED_ADD = 7
    """A sum whose input has fewer channels than the other operand: those it lacks count as zero."""


class Scheme(IntEnum):
    """How sums become outputs; the order of `enum nn_scheme`."""

    PL_FB = 0
    PL_ICN = 1
    PC_ICN = 2
    THRESHOLDS = 3
    SHIFTS = 4


WITH_WEIGHTS = (Operation.CONV, Operation.POINTWISE, Operation.DENSE, Operation.DEPTHWISE)
SUMS = (Operation.ADD, Operation.PADDED_ADD)
PER_CHANNEL = (Scheme.PC_ICN, Scheme.THRESHOLDS)
STARTS_AT_0 = (Scheme.THRESHOLDS, Scheme.SHIFTS)
"""Schemes that add their bias, if any, behind the sum and not to it."""


class Kernel(NamedTuple):
    """One kernel. Sums: `weight_bits` are those of the other operand. Pools: all bits are the same, scheme unused."""

    operation: Operation
    in_bits: int
    out_bits: int
    weight_bits: int
    scheme: Scheme = Scheme.PL_FB

    @property
    def name(self) -> str:
        """The name of its C function."""
        operation = self.operation.name.lower()
        if self.operation in {Operation.MAX_POOL, Operation.AVERAGE_POOL}:
            return f"{operation}_u{self.in_bits}"
        bits = f"{operation}_u{self.in_bits}_u{self.out_bits}_u{self.weight_bits}"
        return bits if self.operation in SUMS else f"{bits}_{self.scheme.name.lower()}"

    def parts(self, isa: Isa) -> tuple[str, ...]:
        """The C functions that do its work: itself first, then those it calls."""
        product = f"w{self.weight_bits}_u{self.out_bits}_{self.scheme.name.lower()}"
        sums = "sum" if isa == Isa.XPULP or self.scheme not in PER_CHANNEL else "nosum"
        return (self.name, *_called(self, product, sums))


def _called(kernel: Kernel, product: str, sums: str) -> tuple[str, ...]:
    match kernel.operation:
        case Operation.CONV:
            return (f"im2col_u{kernel.in_bits}_{sums}", f"product2_{product}", f"product1_{product}")
        case Operation.POINTWISE:
            return (f"unpack_u{kernel.in_bits}_{sums}", f"product2_{product}", f"product1_{product}")
        case Operation.DENSE:
            return (f"unpack_u{kernel.in_bits}_{sums}", f"product1_{product}")
        case Operation.DEPTHWISE:
            return (f"window_u{kernel.in_bits}", f"taps_{product}")
        case _:
            return ()


def all_kernels() -> Iterator[Kernel]:
    """Every kernel there is: 126 of each operation with weights, 27 of each kind of sum, 6 pools."""
    for operation in WITH_WEIGHTS:
        for i in BITS:
            for o in BITS:
                for w in BITS:
                    schemes = (s for s in Scheme if o < 8 or s != Scheme.THRESHOLDS)
                    yield from (Kernel(operation, i, o, w, scheme) for scheme in schemes)
    for i in BITS:
        yield Kernel(Operation.MAX_POOL, i, i, i)
        yield Kernel(Operation.AVERAGE_POOL, i, i, i)
        yield from (Kernel(operation, i, o, w) for operation in SUMS for o in BITS for w in BITS)


class Shape(NamedTuple):
    """Sizes of a layer in values. Channels come in multiples of four; every window has a tap inside the input."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    kernel_h: int = 1
    kernel_w: int = 1
    stride_h: int = 1
    stride_w: int = 1
    pad_top: int = 0
    pad_left: int = 0

    @property
    def taps(self) -> int:
        return self.kernel_h * self.kernel_w


@dataclass(frozen=True)
class LayerData:
    """The numbers of a layer. What a scheme does not use stays empty.

    Scheme SHIFTS has three by other names (`c/layer.h`): in `thresholds` one offset a channel, of 16 bits, in `shift`
    the right shift ahead of it, 0 to 16, in `multiplier` the one behind it, -14 to 30.

    shifts: right shift behind the high word of the product with the Q1.31 multiplier, -31 to 31; negative: left shift
    of the sum before it. With M = M0 * 2^N0, 0.5 <= |M0| < 1, that is -1 - N0.
    """

    inputs: Ints
    weights: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    bias: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    multipliers: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    shifts: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    weight_zeros: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    thresholds: Ints = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    other: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    input_zero: int = 0
    weight_zero: int = 0
    output_zero: int = 0
    multiplier: int = 0
    shift: int = 0
    other_zero: int = 0
    input_scale: int = 0
    other_scale: int = 0


# --- packing ----------------------------------------------------------------------------------------------------------


def pack(values: Ints, bits: int) -> bytes:
    """Unsigned values of `bits` bits, least significant first, in whole bytes."""
    flat = np.asarray(values, np.int64).reshape(-1)
    if flat.size and (flat.min() < 0 or flat.max() >= 1 << bits):
        raise ValueError(f"values beyond {bits} bits")
    per_byte = 8 // bits
    flat = np.pad(flat, (0, -flat.size % per_byte)).reshape(-1, per_byte)
    return (flat << np.arange(0, 8, bits)).sum(axis=1).astype(np.uint8).tobytes()


def unpack(data: bytes, bits: int) -> Ints:
    """The inverse of `pack`."""
    parts = np.frombuffer(data, np.uint8).astype(np.int64)[:, None] >> np.arange(0, 8, bits)
    return (parts & ((1 << bits) - 1)).reshape(-1)


def field_order(bits: int, isa: Isa) -> Ints:
    """Which of the 32 / bits weights of a word, in channel order, stands in which of its fields.

    Columns of halfwords hold quads as 0, 2, 1, 3 and fields j and j + F/2 meet their j-th pair; columns of bytes hold
    them as they are and fields j, j + F/4, ... meet their j-th word (`c/product.c`).
    """
    fields = np.arange(32 // bits)
    if isa == Isa.XPULP:
        return fields % (8 // bits) * 4 + fields // (8 // bits)
    pair, half = fields % (16 // bits), fields // (16 // bits)
    return pair // 2 * 4 + pair % 2 + 2 * half


def pack_weights(kernel: Kernel, weights: Ints, isa: Isa) -> bytes:
    """Weights as the kernel reads them: filters of whole words in `field_order`; depthwise ones like an activation."""
    if kernel.operation == Operation.DEPTHWISE:
        return pack(weights, kernel.weight_bits)
    rows = weights.reshape(weights.shape[0], -1)
    per_word = 32 // kernel.weight_bits
    words = np.pad(rows, ((0, 0), (0, -rows.shape[1] % per_word))).reshape(-1, per_word)
    return pack(words[:, field_order(kernel.weight_bits, isa)], kernel.weight_bits)


def filter_values(kernel: Kernel, shape: Shape) -> int:
    """Weights of one output channel."""
    if kernel.operation == Operation.DENSE:
        return shape.in_h * shape.in_w * shape.in_c
    return shape.taps * (1 if kernel.operation == Operation.DEPTHWISE else shape.in_c)


def weights_bytes(kernel: Kernel, shape: Shape) -> int:
    """What `pack_weights` takes: up to three bytes a filter more than the bits themselves."""
    bits = filter_values(kernel, shape) * kernel.weight_bits
    if kernel.operation == Operation.DEPTHWISE:
        return shape.out_c * bits // 8
    return shape.out_c * 4 * ceil_div(bits, 32) if kernel.operation in WITH_WEIGHTS else 0


def columns_bytes(kernel: Kernel, shape: Shape, isa: Isa) -> int:
    """Size of the scratch buffer `columns`."""
    if kernel.operation == Operation.DEPTHWISE:
        return shape.taps * shape.in_c
    if kernel.operation not in WITH_WEIGHTS:
        return 0
    filled = ceil_div(filter_values(kernel, shape) * kernel.weight_bits, 32) * 32 // kernel.weight_bits
    columns = 1 if kernel.operation == Operation.DENSE else 2
    return columns * filled * (1 if isa == Isa.XPULP else 2)


def kernel_bias(kernel: Kernel, data: LayerData, isa: Isa) -> Ints:
    """The bias array for `isa`. Byte columns keep the input's zero point; its share of the sum moves into the bias."""
    if isa != Isa.XPULP or kernel.operation not in WITH_WEIGHTS or kernel.operation == Operation.DEPTHWISE:
        return data.bias
    rows = data.weights.reshape(data.weights.shape[0], -1)
    zeros = data.weight_zeros if kernel.scheme in PER_CHANNEL else np.full(rows.shape[0], data.weight_zero)
    bias = np.zeros(rows.shape[0], np.int64) if kernel.scheme in STARTS_AT_0 else data.bias
    return bias - data.input_zero * (rows.sum(axis=1) - rows.shape[1] * zeros)


def wrapped(values: Ints) -> Ints:
    """Integers as 32-bit registers hold them."""
    return (values + 2**31) % 2**32 - 2**31


# --- calls in the emulator --------------------------------------------------------------------------------------------

POINTERS = (
    "input", "other", "weights", "output", "columns", "bias", "multipliers", "shifts", "weight_zeros", "thresholds",
)  # fmt: skip
"""Pointer fields of `struct nn_layer`, in its order."""


def arrays_of(kernel: Kernel, shape: Shape, data: LayerData, isa: Isa) -> dict[str, bytes]:
    """Every array of `struct nn_layer` as bytes; output and columns start as a pattern, to show what is not written."""
    return {
        "input": pack(data.inputs, kernel.in_bits),
        "other": pack(data.other, kernel.weight_bits),
        "weights": pack_weights(kernel, data.weights, isa) if data.weights.size else b"",
        "output": b"\xa5" * (shape.out_h * shape.out_w * shape.out_c * kernel.out_bits // 8),
        "columns": b"\x5a" * columns_bytes(kernel, shape, isa),
        "bias": wrapped(kernel_bias(kernel, data, isa)).astype("<i4").tobytes(),
        "multipliers": data.multipliers.astype("<i4").tobytes(),
        "shifts": data.shifts.astype(np.int8).tobytes(),
        "weight_zeros": data.weight_zeros.astype(np.uint8).tobytes(),
        "thresholds": data.thresholds.astype("<i2").tobytes(),
    }


def layer_struct(pointers: dict[str, int], shape: Shape, data: LayerData) -> bytes:
    """`struct nn_layer` as both instruction sets lay it out: 32-bit fields in order, little endian."""
    numbers = (
        *shape,
        data.input_zero,
        data.weight_zero,
        data.output_zero,
        data.multiplier,
        data.shift,
        data.other_zero,
        data.input_scale,
        data.other_scale,
    )
    return struct.pack("<10I20i", *(pointers[name] for name in POINTERS), *numbers)


@cache
def machine(isa: Isa, watch: bool = False) -> Machine:
    """A core with the library loaded."""
    return Machine(load(library(isa), isa), watch=watch)


@dataclass(frozen=True)
class Run:
    """One layer executed: its output, (out_h, out_w, out_c), and what that took."""

    output: Ints
    execution: Execution


def run_layer(
    isa: Isa, kernel: Kernel, shape: Shape, data: LayerData, watch: bool = False, core: Machine | None = None
) -> Run:
    """Execute a layer on `isa`; with `watch`, the bytes read and written per array too (slow)."""
    core = core or machine(isa, watch)
    arrays = arrays_of(kernel, shape, data, isa)
    places, address = {}, RAM_ADDRESS
    for name, content in arrays.items():
        core.write(address, content)
        places[name] = (address, len(content))
        address += len(content) + 8 - len(content) % 4  # four bytes at least between arrays, which stay aligned
    core.write(address, layer_struct({name: at for name, (at, _) in places.items()}, shape, data))
    if address > RAM_ADDRESS + RAM_BYTES - STACK_BYTES:
        raise ValueError("the layer is larger than the emulated memory")
    execution = core.call(kernel.name, address, {name: place for name, place in places.items() if place[1]})
    values = unpack(core.read(*places["output"]), kernel.out_bits)
    return Run(values.reshape(shape.out_h, shape.out_w, shape.out_c), execution)


# --- random layers ----------------------------------------------------------------------------------------------------


def random_shape(operation: Operation, rng: np.random.Generator, largest: int = 6) -> Shape:
    """A small shape that `operation` accepts: any kernel, stride and padding, and odd sizes."""
    in_h, in_w = (int(n) for n in rng.integers(1, largest + 1, 2))
    in_c, out_c = (4 * int(n) for n in rng.integers(1, 6, 2))
    if operation == Operation.DENSE:
        return Shape(in_h, in_w, in_c, 1, 1, out_c)
    if operation == Operation.PADDED_ADD:
        return Shape(in_h, in_w, in_c, in_h, in_w, in_c + out_c)
    if operation in {Operation.POINTWISE, Operation.ADD}:
        return Shape(in_h, in_w, in_c, in_h, in_w, in_c if operation == Operation.ADD else out_c)
    out_c = out_c if operation == Operation.CONV else in_c
    (out_h, kernel_h, stride_h, top), (out_w, kernel_w, stride_w, left) = (_axis(n, rng) for n in (in_h, in_w))
    return Shape(in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w, stride_h, stride_w, top, left)


def _axis(size: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Outputs, kernel, stride and leading padding along one axis, each window with a tap inside."""
    kernel, stride = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    pad = int(rng.integers(0, kernel))
    outputs = (size - 1 + pad) // stride + 1
    return int(rng.integers(max(1, outputs - 2), outputs + 1)), kernel, stride, pad


def random_data(kernel: Kernel, shape: Shape, rng: np.random.Generator) -> LayerData:
    """Random numbers for a layer, scaled so that outputs use the whole range."""
    top = 2**kernel.in_bits
    inputs = rng.integers(0, top, (shape.in_h, shape.in_w, shape.in_c))
    data = LayerData(inputs, input_zero=int(rng.integers(0, top)), output_zero=int(rng.integers(0, 2**kernel.out_bits)))
    if kernel.operation in SUMS:
        return _random_add(kernel, shape, data, rng)
    if kernel.operation not in WITH_WEIGHTS:
        return data
    taps = (shape.in_h, shape.in_w) if kernel.operation == Operation.DENSE else (shape.kernel_h, shape.kernel_w)
    size = (*taps, shape.in_c) if kernel.operation == Operation.DEPTHWISE else (shape.out_c, *taps, shape.in_c)
    data = replace(data, weights=rng.integers(0, 2**kernel.weight_bits, size))
    spread = top * 2**kernel.weight_bits * np.sqrt(filter_values(kernel, shape)) / 4
    return _random_scheme(kernel, shape.out_c, spread, data, rng)


def _random_add(kernel: Kernel, shape: Shape, data: LayerData, rng: np.random.Generator) -> LayerData:
    scales = rng.integers(1, 2**12, 2)
    spread = float(scales[0] * 2**kernel.in_bits + scales[1] * 2**kernel.weight_bits) / 2
    multiplier, shift = _multiplier(2**kernel.out_bits / spread, rng)
    return replace(
        data,
        other=rng.integers(0, 2**kernel.weight_bits, (shape.out_h, shape.out_w, shape.out_c)),
        other_zero=int(rng.integers(0, 2**kernel.weight_bits)),
        input_scale=int(scales[0]),
        other_scale=int(scales[1]),
        bias=rng.integers(-100, 100, 1),
        multiplier=multiplier,
        shift=shift,
    )


def _multiplier(scale: float, rng: np.random.Generator) -> tuple[int, int]:
    """Q1.31 multiplier and shift for about `scale`; its sign is random."""
    mantissa, exponent = np.frexp(scale * rng.uniform(0.5, 2))
    value = min(int(mantissa * 2**31), 2**31 - 1)
    return value if rng.integers(0, 4) else -value, int(np.clip(-1 - exponent, -31, 31))


def _random_scheme(
    kernel: Kernel, channels: int, spread: float, data: LayerData, rng: np.random.Generator
) -> LayerData:
    if kernel.scheme == Scheme.SHIFTS:
        return _random_shifts(kernel, channels, spread, data, rng)
    pairs = [_multiplier(2**kernel.out_bits / spread, rng) for _ in range(channels)]
    data = replace(data, bias=rng.integers(-int(spread) - 1, int(spread) + 2, channels))
    if kernel.scheme == Scheme.PL_FB:
        data = replace(data, multiplier=pairs[0][0], shift=pairs[0][1])
    elif kernel.scheme != Scheme.THRESHOLDS:
        data = replace(data, multipliers=np.array([m for m, _ in pairs]), shifts=np.array([n for _, n in pairs]))
    if kernel.scheme in PER_CHANNEL:
        data = replace(data, weight_zeros=rng.integers(0, 2**kernel.weight_bits, channels))
    else:
        data = replace(data, weight_zero=int(rng.integers(0, 2**kernel.weight_bits)))
    if kernel.scheme == Scheme.THRESHOLDS:
        steps = rng.integers(-int(spread), int(spread) + 1, (channels, 2**kernel.out_bits - 1))
        data = replace(data, thresholds=np.sort(np.clip(steps, -(2**15), 2**15 - 1)), bias=data.bias[:0])
    return data


def _random_shifts(
    kernel: Kernel, channels: int, spread: float, data: LayerData, rng: np.random.Generator
) -> LayerData:
    """A first shift with which most sums fit 16 bits, or less, and a second to the output's; some go to the left."""
    first = int(np.clip(np.log2(spread) - rng.integers(4, 16), 0, 16))
    middle = min(spread / 2**first, 2.0**15)
    offsets = rng.integers(-int(middle) - 1, int(middle) + 1, (channels, 1)).clip(-(2**15), 2**15 - 1)
    second = int(np.clip(round(np.log2(2 * middle) - kernel.out_bits) + rng.integers(-1, 2), -14, 30))
    zero = int(rng.integers(0, 2**kernel.weight_bits))
    return replace(data, shift=first, multiplier=second, thresholds=offsets, weight_zero=zero)
