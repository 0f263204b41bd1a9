"""What a case of the systolic circuit computes: its task, its operands, and the results that must come out.

A convolution becomes a matrix product of one group (im2col); its results are computed as a convolution, tap by tap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.config import Doc, Range
from rtl_models.systolic.folds import Product

Numbers = NDArray[np.int64]
_Size = Range(0, 4096)


class Values(IntEnum):
    """Which numbers the operands hold."""

    ANY = 0
    """All alike."""
    LEAST = 1
    """The least one everywhere, whose square is the largest product."""
    MOST = 2
    """The largest one everywhere."""
    ENDS = 3
    """The least and the largest, at random."""
    NUMBERED = 4
    """Inputs count up; weights have a one in each column, so that results are inputs and show where they went."""


@dataclass(frozen=True, slots=True)
class Task:
    """A product m x k x n, or a convolution of one group."""

    m: Annotated[int, _Size, Doc("rows of the inputs; 0 for a convolution")] = 0
    k: Annotated[int, _Size, Doc("what is summed over")] = 0
    n: Annotated[int, _Size, Doc("columns of the weights")] = 0
    batch: Annotated[int, Range(1, 64), Doc("images of a convolution")] = 1
    channels: Annotated[int, _Size, Doc("channels in, of the group")] = 0
    outputs: Annotated[int, _Size, Doc("channels out, of the group")] = 0
    height: Annotated[int, _Size, Doc("rows of an image")] = 0
    width: Annotated[int, _Size, Doc("columns of an image")] = 0
    kernel_rows: Annotated[int, Range(1, 16), Doc("rows of the kernel")] = 1
    kernel_columns: Annotated[int, Range(1, 16), Doc("columns of the kernel")] = 1
    stride: Annotated[int, Range(1, 8), Doc("pixels from output to output, both ways")] = 1
    padding: Annotated[int, Range(0, 8), Doc("zeros around an image, on every side")] = 0
    values: Annotated[Values, Doc("any, least, most, ends or numbered")] = Values.ANY

    @property
    def is_convolution(self) -> bool:
        """Whether an image is given."""
        return self.channels > 0

    def problems(self) -> Iterable[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy) of each one broken."""
        image = (self.channels, self.outputs, self.height, self.width)
        if self.is_convolution and (not all(image) or any((self.m, self.k, self.n))):
            yield (
                "channels",
                "a convolution has channels, outputs, height and width, and no m, k, n",
                "Give those four.",
            )
        if not self.is_convolution and (not all((self.m, self.k, self.n)) or any(image)):
            yield "m", "a product has m, k and n, and nothing of an image", "Give those three."
        if self.is_convolution and all(image) and min(self.rows_out, self.columns_out) < 1:
            yield "kernel_rows", "the kernel fits into the padded image", "Make the image larger."

    @property
    def rows_out(self) -> int:
        """Rows of a convolution's output, rounded down as PyTorch does."""
        return (self.height + 2 * self.padding - self.kernel_rows) // self.stride + 1

    @property
    def columns_out(self) -> int:
        """Columns of it."""
        return (self.width + 2 * self.padding - self.kernel_columns) // self.stride + 1

    @property
    def product(self) -> Product:
        """The sizes of the matrix product."""
        if not self.is_convolution:
            return Product(self.m, self.k, self.n)
        pixels = self.batch * self.rows_out * self.columns_out
        return Product(pixels, self.channels * self.kernel_rows * self.kernel_columns, self.outputs)


class Operands(NamedTuple):
    """The matrices that the circuit reads, and the result before it wraps: [m, k], [k, n], [m, n]."""

    inputs: Numbers
    weights: Numbers
    results: Numbers


def operands(design: Any, task: Task, seed: int) -> Operands:
    """The numbers of a case."""
    rng = np.random.default_rng(seed)
    if task.is_convolution:
        return convolution(design, task, rng)
    p = task.product
    if task.values == Values.NUMBERED:
        inputs = wrapped(np.arange(p.m * p.k, dtype=np.int64).reshape(p.m, p.k), design.input_bits)
        weights = np.zeros((p.k, p.n), np.int64)
        weights[rng.integers(0, p.k, p.n), np.arange(p.n)] = 1
    else:
        inputs = drawn(rng, task.values, (p.m, p.k), design.input_bits)
        weights = drawn(rng, task.values, (p.k, p.n), design.weight_bits)
    return Operands(inputs, weights, inputs @ weights)


def drawn(rng: np.random.Generator, values: Values, shape: tuple[int, ...], bits: int) -> Numbers:
    """Numbers of `bits` in two's complement."""
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    if values == Values.LEAST:
        return np.full(shape, least, np.int64)
    if values == Values.MOST:
        return np.full(shape, most, np.int64)
    if values == Values.ENDS:
        return rng.choice(np.array([least, most], np.int64), shape)
    return rng.integers(least, most, shape, np.int64, endpoint=True)


def convolution(design: Any, task: Task, rng: np.random.Generator) -> Operands:
    """Operands of the matrix product (k is channel, kernel row, kernel column), and results of the convolution."""
    image = drawn(rng, task.values, (task.batch, task.channels, task.height, task.width), design.input_bits)
    kernels = drawn(rng, task.values, (task.outputs, task.channels, task.kernel_rows, task.kernel_columns),
                    design.weight_bits)  # fmt: skip
    around = (task.padding, task.padding)
    padded = np.pad(image, ((0, 0), (0, 0), around, around))
    taps = [tap(padded, task, y, x) for y in range(task.kernel_rows) for x in range(task.kernel_columns)]
    inputs = np.stack(taps, 2).transpose(0, 3, 4, 1, 2).reshape(task.product.m, -1)
    flat = kernels.reshape(task.outputs, task.channels, -1)
    sums = sum(np.einsum("bchw,oc->bhwo", taken, flat[:, :, at]) for at, taken in enumerate(taps))
    return Operands(inputs, flat.reshape(task.outputs, -1).T, np.asarray(sums).reshape(task.product.m, task.outputs))


def tap(padded: Numbers, task: Task, y: int, x: int) -> Numbers:
    """What one tap of the kernel sees: [batch, channel, row, column] of the output."""
    step = task.stride
    rows, columns = y + step * (task.rows_out - 1) + 1, x + step * (task.columns_out - 1) + 1
    return padded[:, :, y:rows:step, x:columns:step]


def wrapped(numbers: Numbers, bits: int) -> Numbers:
    """What is left of numbers in `bits` bits, as two's complement."""
    half = 1 << bits - 1
    return (numbers + half) % (1 << bits) - half


def words(numbers: Numbers, bits: int) -> list[int]:
    """Numbers as the words of a memory, row by row; what `bits` cannot hold wraps."""
    mask = (1 << bits) - 1
    return [int(number) & mask for number in numbers.reshape(-1)]
