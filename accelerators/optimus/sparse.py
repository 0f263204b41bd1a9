"""Weight matrices packed for the array, for real: SA-RCSC and the formats it grew out of.

A matrix of H x W is spread over N multipliers in M sets of w = N / M ways. A row belongs to a set, and its non-zeros
to whichever way of the set holds fewest so far. One way per set is RCSC (direct mapped); one set is fully associative.
What is stored is per set: values and row-in-set numbers in column order, and one length per column. The ways need no
index of their own, since the least-loaded rule deals the stream to them in turn.

Source of the mapping: US patents 11,361,052 and 11,651,224 (columns, row numbers, column lengths, row allocation), and
the set-associative assignment as defined in README.md.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerators.optimus.closed_form import array_sets, stored_bits
from accelerators.optimus.design import WeightFormat
from hwsim.errors import bad_input

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed matrix: the stored fields, and nothing that does not follow from them.

    order       (H,) the original row at each new position; position i is row i // M of set i % M
    lengths     (min(M, H), W) non-zeros of a set in a column; sets beyond the rows hold none
    row_in_set  (nnz,) per non-zero, set after set, column by column, in rising position
    values      (nnz,) in the same order
    """

    shape: tuple[int, int]
    macs: int
    sets: int
    weight_format: WeightFormat
    order: IntArray
    lengths: IntArray
    row_in_set: IntArray
    values: NDArray[np.int16]

    @property
    def nnz(self) -> int:
        """Stored non-zeros."""
        return int(self.values.size)

    @property
    def ways(self) -> int:
        """Multipliers in a set."""
        return self.macs // self.sets

    def bits(self, value_bits: int) -> int:
        """Bits this matrix takes in memory: values, row numbers, column lengths."""
        rows, columns = self.shape
        return stored_bits(self.weight_format, self.nnz, rows, columns, self.macs, self.sets, value_bits)


def _reversed_every_second(rows: IntArray, size: int) -> IntArray:
    pieces = [rows[at : at + size] for at in range(0, rows.size, size)]
    return np.concatenate([piece[::-1] if i % 2 else piece for i, piece in enumerate(pieces)])


def snake_order(row_lengths: IntArray, macs: int, sets: int) -> IntArray:
    """Rows by falling length, dealt as a snake: every second group of `macs` rows reversed, and inside a group every
    second chunk of `sets` rows."""
    falling = np.argsort(-row_lengths, kind="stable").astype(np.int64)
    dealt = _reversed_every_second(falling, macs)
    groups = [dealt[at : at + macs] for at in range(0, dealt.size, macs)]
    return np.concatenate([_reversed_every_second(group, sets) for group in groups])


def _checked(matrix: NDArray[np.generic], macs: int, sets: int) -> None:
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise bad_input("shape", matrix.shape, "a weight matrix has two dimensions, both at least 1")
    if sets < 1 or macs % sets:
        raise bad_input("sets", sets, f"sets must divide macs ({macs})", key="sets")


def pack(
    matrix: NDArray[np.generic], sets: int, macs: int, weight_format: WeightFormat = WeightFormat.SA_RCSC
) -> Packed:
    """Pack a mask (bool) or an int16 matrix of shape (H, W) for `macs` multipliers in `sets` sets.

    CSC and RCSC have one way per set whatever `sets` says; CSC keeps the rows in their natural order. DENSE stores
    every element. Raises InputError when the shape is not H x W or `sets` does not divide `macs`.
    """
    _checked(matrix, macs, sets)
    sets = array_sets(weight_format, macs, sets)
    rows, columns = matrix.shape
    present = np.ones(matrix.shape, bool) if weight_format == WeightFormat.DENSE else matrix != 0
    order = np.arange(rows, dtype=np.int64)
    if weight_format in (WeightFormat.RCSC, WeightFormat.SA_RCSC):
        order = snake_order(present.sum(axis=1), macs, sets)
    depth, used = -(-rows // sets), min(sets, rows)
    padded = np.zeros((depth * used, columns), bool)
    padded[:rows] = present[order]
    by_set = padded.reshape(depth, used, columns).transpose(1, 2, 0)
    set_of, column, row_in_set = np.nonzero(by_set)
    values = matrix[order[row_in_set * sets + set_of], column].astype(np.int16)
    lengths = by_set.sum(axis=2, dtype=np.int64)
    return Packed((rows, columns), macs, sets, weight_format, order, lengths, row_in_set, values)


def _stream(packed: Packed) -> tuple[IntArray, IntArray]:
    """Set and column of every stored non-zero, read back from the column lengths."""
    sets, columns = packed.lengths.shape
    cell = np.repeat(np.arange(sets * columns), packed.lengths.ravel())
    return cell // columns, cell % columns


def unpack(packed: Packed) -> NDArray[np.int16]:
    """The dense matrix, from the stored fields alone."""
    set_of, column = _stream(packed)
    dense = np.zeros(packed.shape, np.int16)
    dense[packed.order[packed.row_in_set * packed.sets + set_of], column] = packed.values
    return dense


def queues(packed: Packed) -> tuple[IntArray, NDArray[np.int32], IntArray]:
    """Each multiplier's queue: where it starts (N + 1), and the column and row-in-set of its entries in order.

    The non-zeros of a set go to the least loaded of its ways, lowest first, which is to each in turn. Way j of set s
    is multiplier j * M + s.
    """
    set_of, column = _stream(packed)
    set_start = np.concatenate(([0], np.cumsum(packed.lengths.sum(axis=1))))
    ordinal = np.arange(packed.nnz) - set_start[set_of]
    multiplier = ordinal % packed.ways * packed.sets + set_of
    in_order = np.argsort(multiplier, kind="stable")
    start = np.concatenate(([0], np.cumsum(np.bincount(multiplier, minlength=packed.macs)))).astype(np.int64)
    return start, column[in_order].astype(np.int32), packed.row_in_set[in_order]


def balanced_cycles(packed: Packed) -> int:
    """Length of the longest queue: the cycles of one product when no input is ever missing."""
    in_sets = packed.lengths.sum(axis=1)
    return int(-(-in_sets.max() // packed.ways))


def utilisation(packed: Packed) -> float:
    """Share of the multipliers' cycles that work, without input stalls: nnz / (N * longest queue)."""
    return packed.nnz / (packed.macs * max(1, balanced_cycles(packed)))


def _check_window(window: int, rate: int) -> None:
    if window < 1 or rate < 1:
        raise bad_input("window", (window, rate), "the input window and its rate are at least 1")


def windowed_cycles(packed: Packed, window: int, rate: int) -> int:
    """Cycles of one product when `window` consecutive input elements are visible at a time.

    In each cycle every multiplier whose next entry lies in the window consumes it and the others stall. Then the
    window moves on past elements nobody needs any more, by at most `rate`. Compiled; `windowed_cycles_plain` is the
    same in plain Python.
    """
    from accelerators.optimus import sparse_kernels

    _check_window(window, rate)
    start, column, _ = queues(packed)
    used = np.unique(start)  # an empty queue starts where the next one does
    return int(sparse_kernels.windowed_cycles(used, column, np.empty(used.size - 1, np.int64), window, rate))


def windowed_cycles_plain(packed: Packed, window: int, rate: int) -> int:
    """The definition of `windowed_cycles`, word by word and slowly."""
    _check_window(window, rate)
    start, column, _ = queues(packed)
    waiting = [deque(column[a:b].tolist()) for a, b in itertools.pairwise(start)]
    oldest = 0
    cycle = 0
    while any(waiting):
        cycle += 1
        for queue in waiting:
            if queue and oldest <= queue[0] < oldest + window:
                queue.popleft()
        for _ in range(rate):
            if any(queue and queue[0] == oldest for queue in waiting):
                break
            oldest += 1
    return cycle
