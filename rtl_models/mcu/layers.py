"""What a case runs: a layer with random numbers, and what has to come out of it, in numpy from the arithmetic alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerators.mcu.kernels import (
    PER_CHANNEL,
    SUMS,
    WITH_WEIGHTS,
    Kernel,
    LayerData,
    Operation,
    Scheme,
    Shape,
    random_data,
)
from hwsim.config import Doc, Range

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Task:
    """One layer. Kernels, strides and padding are square. What an operation does not use is 1, 0 or ignored."""

    operation: Annotated[Operation, Doc("conv, pointwise, dense, depthwise, max_pool, average_pool or add")]
    scheme: Annotated[Scheme, Doc("how sums become outputs: pl_fb, pl_icn, pc_icn, thresholds or shifts")]
    input_bits: Annotated[int, Range(2, 8), Doc("width of an input value: 8, 4 or 2")]
    weight_bits: Annotated[int, Range(2, 8), Doc("width of a weight, or of the second operand of add")]
    output_bits: Annotated[int, Range(2, 8), Doc("width of an output value")]
    height: Annotated[int, Range(1, 256), Doc("rows of the input")]
    width: Annotated[int, Range(1, 256), Doc("columns of the input")]
    channels: Annotated[int, Range(4, 4096), Doc("channels of the input")]
    outputs: Annotated[int, Range(4, 4096), Doc("channels of the output")]
    kernel: Annotated[int, Range(1, 16), Doc("taps of a window along each axis")]
    stride: Annotated[int, Range(1, 16), Doc("distance of windows along each axis")]
    pad: Annotated[int, Range(0, 15), Doc("rows and columns of zeros on each side")]
    dot: Annotated[bool, Doc("use the packed dot product of XPULP")]
    warm: Annotated[bool, Doc("time the second of two calls instead of a first one")]
    spacing_bits: Annotated[int, Range(0, 1 << 18), Doc("arrays start at multiples of this; 0: one behind another")]


def kernel_of(task: Task) -> Kernel:
    """The C function of a task."""
    pool = task.operation in {Operation.MAX_POOL, Operation.AVERAGE_POOL}
    scheme = task.scheme if task.operation in WITH_WEIGHTS else Scheme.PL_FB
    width = task.input_bits
    return Kernel(
        task.operation, width, width if pool else task.output_bits, width if pool else task.weight_bits, scheme
    )


def shape_of(task: Task) -> Shape:
    """The sizes of a task."""
    if task.operation == Operation.DENSE:
        return Shape(task.height, task.width, task.channels, 1, 1, task.outputs)
    windowed = task.operation not in {Operation.POINTWISE, Operation.ADD}
    kernel, stride, pad = (task.kernel, task.stride, task.pad) if windowed else (1, 1, 0)
    out_h, out_w = ((n + 2 * pad - kernel) // stride + 1 for n in (task.height, task.width))
    mixes = task.operation in {Operation.CONV, Operation.POINTWISE}
    outputs = task.outputs if mixes else task.channels
    return Shape(
        task.height, task.width, task.channels, out_h, out_w, outputs, kernel, kernel, stride, stride, pad, pad
    )  # fmt: skip


def macs_of(shape: Shape, kernel: Kernel) -> int:
    """Multiply-accumulates of a layer; window elements of pools, elements of sums."""
    if kernel.operation == Operation.DENSE:
        return shape.in_h * shape.in_w * shape.in_c * shape.out_c
    deep = shape.in_c if kernel.operation in {Operation.CONV, Operation.POINTWISE} else 1
    return shape.out_h * shape.out_w * shape.out_c * shape.taps * deep


def data_of(task: Task, seed: int) -> LayerData:
    """The numbers of a case."""
    return random_data(kernel_of(task), shape_of(task), np.random.default_rng(seed))


# --- the golden function ----------------------------------------------------------------------------------------------


def wrapped(values: Ints) -> Ints:
    """Integers as 32-bit registers hold them."""
    return (values + 2**31) % 2**32 - 2**31


def scaled(sums: Ints, multipliers: Ints, shifts: Ints, zero: int, bits: int) -> Ints:
    """Left shift, high word of the product, right shift, zero point, saturation (integer channel normalization)."""
    high = (wrapped(sums << np.maximum(0, -shifts)) * multipliers) >> 32
    return np.clip((high >> np.maximum(0, shifts)) + zero, 0, 2**bits - 1)


def rounded(values: Ints, right: int) -> Ints:
    """values / 2^right to the nearest integer, halves to even: exact in float64, which holds 53 bits."""
    return np.rint(values * 2.0**-right).astype(np.int64)


def requantized(kernel: Kernel, data: LayerData, sums: Ints) -> Ints:
    """The outputs of sums of products, channels last."""
    if kernel.scheme == Scheme.THRESHOLDS:
        return (wrapped(sums)[..., None] >= data.thresholds).sum(axis=-1)
    if kernel.scheme == Scheme.SHIFTS:
        middle = np.clip(rounded(sums, data.shift), -(2**15), 2**15 - 1) + data.thresholds[:, 0]
        return np.clip(rounded(middle, data.multiplier) + data.output_zero, 0, 2**kernel.out_bits - 1)
    sums = wrapped(sums + data.bias)
    if kernel.scheme == Scheme.PL_FB:
        return scaled(sums, np.int64(data.multiplier), np.int64(data.shift), data.output_zero, kernel.out_bits)
    return scaled(sums, data.multipliers, data.shifts, data.output_zero, kernel.out_bits)


class Tap(NamedTuple):
    """One tap of all windows: the outputs whose tap lies inside, and the inputs it falls on."""

    row: int
    column: int
    outputs: tuple[slice, slice]
    inputs: tuple[slice, slice]


def taps_of(shape: Shape) -> Iterator[Tap]:
    """Every tap that lies inside the input of any window."""
    for row in range(shape.kernel_h):
        for column in range(shape.kernel_w):
            y = _inside(shape.in_h, shape.out_h, shape.stride_h, row - shape.pad_top)
            x = _inside(shape.in_w, shape.out_w, shape.stride_w, column - shape.pad_left)
            if y and x:
                yield Tap(row, column, (y[0], x[0]), (y[1], x[1]))


def _inside(size: int, outputs: int, stride: int, offset: int) -> tuple[slice, slice] | None:
    """Outputs o with 0 <= o * stride + offset < size, and those places, along one axis."""
    first = max(0, -(offset // stride))
    last = min(outputs - 1, (size - 1 - offset) // stride)
    if first > last:
        return None
    start = first * stride + offset
    return slice(first, last + 1), slice(start, start + (last - first) * stride + 1, stride)


def weighted(kernel: Kernel, shape: Shape, data: LayerData) -> Ints:
    """Sums of products of any layer with weights."""
    zeros = data.weight_zeros if kernel.scheme in PER_CHANNEL else np.int64(data.weight_zero)
    values = data.inputs - data.input_zero
    if kernel.operation == Operation.DENSE:
        weights = data.weights.reshape(shape.out_c, -1) - np.reshape(zeros, (-1, 1))
        return (weights @ values.reshape(-1)).reshape(1, 1, -1)
    sums = np.zeros((shape.out_h, shape.out_w, shape.out_c), np.int64)
    for tap in taps_of(shape):
        if kernel.operation == Operation.DEPTHWISE:
            sums[tap.outputs] += values[tap.inputs] * (data.weights[tap.row, tap.column] - zeros)
        else:
            weights = data.weights[:, tap.row, tap.column] - np.reshape(zeros, (-1, 1))
            sums[tap.outputs] += values[tap.inputs] @ weights.T
    return sums


def pooled(kernel: Kernel, shape: Shape, data: LayerData) -> Ints:
    """Largest or mean value of the taps inside; halves round up."""
    size = (shape.out_h, shape.out_w, shape.out_c)
    largest, total, inside = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64)
    for tap in taps_of(shape):
        seen = data.inputs[tap.inputs]
        largest[tap.outputs] = np.maximum(largest[tap.outputs], seen)
        total[tap.outputs] += seen
        inside[tap.outputs] += 1
    return largest if kernel.operation == Operation.MAX_POOL else (2 * total + inside) // (2 * inside)


def added(kernel: Kernel, data: LayerData) -> Ints:
    """The element-wise sum; channels that the first operand lacks are zeros."""
    lacking = data.other.shape[-1] - data.inputs.shape[-1]
    inputs = np.pad(data.inputs, ((0, 0), (0, 0), (0, lacking)), constant_values=data.input_zero)
    sums = (inputs - data.input_zero) * data.input_scale + (data.other - data.other_zero) * data.other_scale
    sums = wrapped(sums + data.bias[0])
    return scaled(sums, np.int64(data.multiplier), np.int64(data.shift), data.output_zero, kernel.out_bits)


def golden(kernel: Kernel, shape: Shape, data: LayerData) -> Ints:
    """The outputs of a layer, (out_h, out_w, out_c)."""
    if kernel.operation in SUMS:
        return added(kernel, data)
    if kernel.operation in WITH_WEIGHTS:
        return requantized(kernel, data, weighted(kernel, shape, data))
    return pooled(kernel, shape, data)
