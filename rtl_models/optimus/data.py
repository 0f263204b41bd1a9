"""What a case of the OPTIMUS circuit computes: its task, its numbers, and the results by integers alone.

Everything here follows from the task and the seed. Nothing is taken from the model or from the circuit: results are
matrix products in 64-bit integers, rounded and saturated as README.md says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.config import Doc, Range

Words = NDArray[np.int16]
Mask = NDArray[np.bool_]

LOWEST, HIGHEST = -(1 << 15), (1 << 15) - 1
SMALL = 3


class Kind(IntEnum):
    """Whose products a task runs."""

    SPARSE = 0
    DENSE = 1


class Pattern(IntEnum):
    """Which elements of a matrix are not zero. Thirds are of its rows or columns."""

    BERNOULLI = 0
    """Each with the density of its row."""
    ZERO = 1
    FULL = 2
    IDENTITY = 3
    """One in a row: the diagonal, starting again at column 0 where the rows outnumber the columns."""
    FULL_ROW = 4
    """The middle row."""
    FULL_COLUMN = 5
    """The middle column."""
    EMPTY_FIRST = 6
    """All but the first third of the columns."""
    EMPTY_INNER = 7
    """All but the second third of the columns."""
    EMPTY_LAST = 8
    """All but the last third of the columns."""
    EMPTY_ROWS = 9
    """Every third row."""


class Values(IntEnum):
    """Which numbers the matrices and the inputs hold."""

    RANDOM = 0
    """All 16-bit numbers."""
    LOWEST = 1
    """-32768 in both: the largest sums."""
    OPPOSITE = 2
    """-32768 times 32767: the smallest sums."""
    SMALL = 3
    """-3 to 3, whose sums often lie halfway between two results."""


@dataclass(frozen=True, slots=True)
class Task:
    """Products that follow one another. With `chain`, each takes the results of the one before as its input, so that
    every second matrix is `columns` x `outputs`."""

    kind: Annotated[Kind, Doc("sparse: weight products; dense: products with heads matrices of kv x reduction")]
    products: Annotated[int, Range(1, 8), Doc("products, one after the other")] = 1
    rows: Annotated[int, Range(1, 256), Doc("input vectors of a product")] = 1
    outputs: Annotated[int, Range(0, 1024), Doc("rows of a weight matrix; sparse only")] = 0
    columns: Annotated[int, Range(0, 511), Doc("columns of a weight matrix; sparse only")] = 0
    density: Annotated[int, Range(0, 1000), Doc("thousandths of the elements that are not zero; for bernoulli")] = 0
    skew: Annotated[int, Range(0, 1000), Doc("rows' densities differ by up to so many thousandths; for bernoulli")] = 0
    pattern: Annotated[Pattern, Doc("which elements are not zero; sparse only")] = Pattern.BERNOULLI
    values: Annotated[Values, Doc("random, lowest, opposite or small numbers")] = Values.RANDOM
    chain: Annotated[bool, Doc("each product waits for the one before and takes its results; sparse only")] = False
    heads: Annotated[int, Range(0, 64), Doc("matrices side by side; dense only")] = 0
    kv: Annotated[int, Range(0, 1024), Doc("rows of each; dense only")] = 0
    reduction: Annotated[int, Range(0, 511), Doc("columns of each; dense only")] = 0
    shift: Annotated[int, Range(0, 39), Doc("bits by which sums are shifted to results")] = 0

    def problems(self) -> Iterable[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy) of each one broken."""
        needed, unused = _FIELDS[self.kind]
        kind = self.kind.name.lower()
        for key in needed:
            if not getattr(self, key):
                yield key, f"a {kind} task needs it", "Write 1 or more."
        for key in unused:
            if getattr(self, key):
                yield key, f"a {kind} task has no such size", "Remove it."
        bernoulli = self.kind == Kind.SPARSE and self.pattern == Pattern.BERNOULLI
        if bernoulli and not self.density:
            yield "density", "pattern bernoulli needs a density", "Write 1 to 1000, or pattern: zero."
        if not bernoulli and (self.density or self.skew):
            yield "density", "density and skew are those of pattern bernoulli", "Remove them."
        if self.chain and self.outputs > _MOST_TERMS:
            yield "outputs", f"a sum of 40 bits holds {_MOST_TERMS} products", f"Chain {_MOST_TERMS} outputs or fewer."


_FIELDS = {
    Kind.SPARSE: (("outputs", "columns"), ("heads", "kv", "reduction")),
    Kind.DENSE: (("heads", "kv", "reduction"), ("outputs", "columns", "pattern", "chain")),
}
_MOST_TERMS = 511
"""2**30 is the largest product; 511 of them stay below 2**39."""


class Product(NamedTuple):
    """One product. Matrices are (matrices, outputs, columns): one of weights, or one a head.

    inputs   (rows, matrices, columns)
    results  (rows, matrices, outputs)
    """

    matrices: Words
    inputs: Words
    results: Words


# --- masks --------------------------------------------------------------------------------------------------------


def bernoulli(outputs: int, columns: int, density: float, skew: float, draw: np.random.Generator) -> Mask:
    """A mask whose row r has density `density` * (1 + skew x), x uniform from -1 to 1, at most 1."""
    of_row = np.minimum(1, density * (1 + skew * draw.uniform(-1, 1, outputs)))
    return draw.random((outputs, columns)) < of_row[:, None]


def _third(size: int, which: int) -> slice:
    return slice(which * size // 3, (which + 1) * size // 3)


def _all_but(columns: Callable[[int], slice]) -> Callable[[int, int], Mask]:
    def mask(outputs: int, width: int) -> Mask:
        full = np.ones((outputs, width), bool)
        full[:, columns(width)] = False
        return full

    return mask


def _identity(outputs: int, columns: int) -> Mask:
    return np.arange(outputs)[:, None] % columns == np.arange(columns)[None, :]


def _full_row(outputs: int, columns: int) -> Mask:
    return np.repeat(np.arange(outputs)[:, None] == outputs // 2, columns, axis=1)


def _full_column(outputs: int, columns: int) -> Mask:
    return _full_row(columns, outputs).T


def _empty_rows(outputs: int, columns: int) -> Mask:
    return np.repeat(np.arange(outputs)[:, None] % 3 != 0, columns, axis=1)


_MASKS: Mapping[Pattern, Callable[[int, int], Mask]] = {
    Pattern.ZERO: lambda outputs, columns: np.zeros((outputs, columns), bool),
    Pattern.FULL: lambda outputs, columns: np.ones((outputs, columns), bool),
    Pattern.IDENTITY: _identity,
    Pattern.FULL_ROW: _full_row,
    Pattern.FULL_COLUMN: _full_column,
    Pattern.EMPTY_FIRST: _all_but(lambda columns: _third(columns, 0)),
    Pattern.EMPTY_INNER: _all_but(lambda columns: _third(columns, 1)),
    Pattern.EMPTY_LAST: _all_but(lambda columns: _third(columns, 2)),
    Pattern.EMPTY_ROWS: _empty_rows,
}


def mask_of(task: Task, outputs: int, columns: int, draw: np.random.Generator) -> Mask:
    """Which elements of a matrix of `outputs` x `columns` are not zero."""
    if task.pattern == Pattern.BERNOULLI:
        return bernoulli(outputs, columns, task.density / 1000, task.skew / 1000, draw)
    return _MASKS[task.pattern](outputs, columns)


# --- numbers ------------------------------------------------------------------------------------------------------


def _random(shape: tuple[int, ...], draw: np.random.Generator) -> Words:
    return draw.integers(LOWEST, HIGHEST, shape, np.int16, endpoint=True)


def _small(shape: tuple[int, ...], draw: np.random.Generator) -> Words:
    return draw.integers(-SMALL, SMALL, shape, np.int16, endpoint=True)


def _all(value: int) -> Callable[[tuple[int, ...], np.random.Generator], Words]:
    return lambda shape, draw: np.full(shape, value, np.int16)


_NUMBERS = {
    Values.RANDOM: (_random, _random),
    Values.LOWEST: (_all(LOWEST), _all(LOWEST)),
    Values.OPPOSITE: (_all(LOWEST), _all(HIGHEST)),
    Values.SMALL: (_small, _small),
}
"""What fills matrices, and what fills inputs."""


def weights(task: Task, outputs: int, columns: int, draw: np.random.Generator) -> Words:
    """A weight matrix: numbers other than zero where the mask is set."""
    numbers = _NUMBERS[task.values][0]((outputs, columns), draw)
    return np.where(mask_of(task, outputs, columns, draw), np.where(numbers == 0, 1, numbers), 0).astype(np.int16)


def rounded(sums: NDArray[np.int64], shift: int) -> Words:
    """(sum + 2**(shift - 1)) >> shift, saturated to 16 bit; no rounding term for shift 0."""
    half = 1 << shift >> 1
    return np.clip(sums + half >> shift, LOWEST, HIGHEST).astype(np.int16)


def multiplied(matrices: Words, inputs: Words, shift: int) -> Words:
    """Results of (matrices, outputs, columns) with (rows, matrices, columns): (rows, matrices, outputs)."""
    sums = np.einsum("hoc,rhc->rho", matrices.astype(np.int64), inputs.astype(np.int64))
    return rounded(sums, shift)


# --- products -----------------------------------------------------------------------------------------------------


def _shapes(task: Task) -> Iterator[tuple[int, int]]:
    """Outputs and columns of each weight product."""
    for number in range(task.products):
        turned = task.chain and number % 2
        yield (task.columns, task.outputs) if turned else (task.outputs, task.columns)


def _sparse(task: Task, draw: np.random.Generator) -> Iterator[Product]:
    handed_on: Words | None = None
    for outputs, columns in _shapes(task):
        matrices = weights(task, outputs, columns, draw)[None]
        inputs = handed_on
        if inputs is None:
            inputs = _NUMBERS[task.values][1]((task.rows, 1, columns), draw)
        results = multiplied(matrices, inputs, task.shift)
        yield Product(matrices, inputs, results)
        handed_on = results if task.chain else None


def _dense(task: Task, draw: np.random.Generator) -> Iterator[Product]:
    of_matrix, of_input = _NUMBERS[task.values]
    for _ in range(task.products):
        matrices = of_matrix((task.heads, task.kv, task.reduction), draw)
        inputs = of_input((task.rows, task.heads, task.reduction), draw)
        yield Product(matrices, inputs, multiplied(matrices, inputs, task.shift))


@lru_cache(maxsize=8)
def products(task: Task, seed: int) -> tuple[Product, ...]:
    """The products of a case, in order: the same ones for the same task and seed."""
    draw = np.random.default_rng(seed)
    return tuple((_sparse if task.kind == Kind.SPARSE else _dense)(task, draw))
