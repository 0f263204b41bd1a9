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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerators.optimus.closed_form import array_sets, column_bits, entry_bits, stored_bits
from accelerators.optimus.design import Design, WeightFormat
from accelerators.optimus.tasks import slot_bits
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


def present(matrix: NDArray[np.generic], weight_format: WeightFormat) -> NDArray[np.bool_]:
    """Which elements are stored: the non-zeros, or for DENSE all."""
    return np.ones(matrix.shape, bool) if weight_format == WeightFormat.DENSE else matrix != 0


def row_order(stored: NDArray[np.bool_], macs: int, sets: int, weight_format: WeightFormat) -> IntArray:
    """The original row at each position: dealt as a snake for RCSC and SA-RCSC, as they come for the others."""
    if weight_format in (WeightFormat.RCSC, WeightFormat.SA_RCSC):
        return snake_order(stored.sum(axis=1), macs, array_sets(weight_format, macs, sets))
    return np.arange(stored.shape[0], dtype=np.int64)


def pack(
    matrix: NDArray[np.generic],
    sets: int,
    macs: int,
    weight_format: WeightFormat = WeightFormat.SA_RCSC,
    order: IntArray | None = None,
) -> Packed:
    """Pack a mask (bool) or an int16 matrix of shape (H, W) for `macs` multipliers in `sets` sets.

    CSC and RCSC have one way per set whatever `sets` says; CSC keeps the rows in their natural order. DENSE stores
    every element. `order` (H,) gives the row at each position instead. Raises InputError when the shape is not H x W
    or `sets` does not divide `macs`.
    """
    _checked(matrix, macs, sets)
    rows, columns = matrix.shape
    stored = present(matrix, weight_format)
    if order is None:
        order = row_order(stored, macs, sets, weight_format)
    sets = array_sets(weight_format, macs, sets)
    depth, used = -(-rows // sets), min(sets, rows)
    padded = np.zeros((depth * used, columns), bool)
    padded[:rows] = stored[order]
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


# --- windowed input ---------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """One product with windowed input: its cycles, and how many columns came into the window."""

    cycles: int
    columns: int


def _check_window(window: int, rate: int) -> None:
    if window < 1 or rate < 1:
        raise bad_input("window", (window, rate), "the input window and its rate are at least 1")


def windowed_run(packed: Packed, window: int, rate: int) -> Run:
    """One product when `window` consecutive input elements are visible at a time.

    In each cycle every multiplier whose next entry lies in the window consumes it and the others stall. Then, unless
    that was the last entry of all, the window moves on past elements nobody needs any more, by at most `rate`.
    Compiled; `windowed_run_plain` is the same in plain Python.
    """
    from accelerators.optimus import sparse_kernels

    _check_window(window, rate)
    start, column, _ = queues(packed)
    used = np.unique(start)  # an empty queue starts where the next one does
    run = sparse_kernels.windowed_run(used, column, np.empty(used.size - 1, np.int64), window, rate)
    return Run(int(run[0]), min(packed.shape[1], int(run[1]) + window))


def windowed_run_plain(packed: Packed, window: int, rate: int) -> Run:
    """The definition of `windowed_run`, word by word and slowly."""
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
            if not any(waiting) or any(queue and queue[0] == oldest for queue in waiting):
                break
            oldest += 1
    return Run(cycle, min(packed.shape[1], oldest + window))


def windowed_cycles(packed: Packed, window: int, rate: int) -> int:
    """Cycles of `windowed_run`."""
    return windowed_run(packed, window, rate).cycles


# --- pieces -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive columns of a tile of output rows: what a slot of the weight buffer holds at a time.

    packed        its columns; `packed.order` is the tile's, so that all pieces of a tile sum into the same places
    tile          number of the tile
    first_row     first output row of the tile in the matrix
    first_column  first column of the piece in the matrix
    opens, closes whether it is the first and the last piece of its tile
    """

    packed: Packed
    tile: int
    first_row: int
    first_column: int
    opens: bool
    closes: bool

    def bits(self, value_bits: int) -> int:
        """Bits this piece takes in memory."""
        return self.packed.bits(value_bits)


def _bits_of_columns(stored: NDArray[np.bool_], design: Design) -> IntArray:
    """(W,) bits that each column of a tile takes."""
    rows = stored.shape[0]
    array = (design.weight_format, rows, design.macs, design.sets)
    return stored.sum(axis=0) * entry_bits(*array, design.value_width_bits) + column_bits(*array)


def _filled(ends: IntArray, capacity: int) -> list[int]:
    """Where pieces begin when each takes as many columns as `capacity` bits hold. `ends` (W + 1,): bits before each
    column, and of all."""
    cuts = [0]
    while ends[-1] - ends[cuts[-1]] > capacity:
        cuts.append(int(np.searchsorted(ends, ends[cuts[-1]] + capacity, side="right")) - 1)
    return cuts


def cut(bits: IntArray, capacity: int) -> list[int]:
    """Where the pieces of a tile begin: as few pieces as fit into `capacity` bits each, and of those the ones whose
    largest is smallest. `bits` (W,) are those of each column. Raises InputError when a column does not fit."""
    if bits.max() > capacity:
        rule = f"a column of a tile takes up to {bits.max()} bits, and a slot of the weight buffer holds {capacity}"
        raise bad_input("weight-buffer", capacity, rule, "Enlarge weight_buffer, or cut tiles with fewer accumulators.")
    ends = np.concatenate(([0], np.cumsum(bits)))
    fewest = len(_filled(ends, capacity))
    low, high = max(int(bits.max()), -(-int(ends[-1]) // fewest)), capacity
    while low < high:
        middle = (low + high) // 2
        if len(_filled(ends, middle)) <= fewest:
            high = middle
        else:
            low = middle + 1
    return _filled(ends, high)


def _tile_pieces(matrix: NDArray[np.generic], design: Design, tile: int, first_row: int) -> Iterator[Piece]:
    weight_format = WeightFormat(design.weight_format)
    stored = present(matrix, weight_format)
    order = row_order(stored, design.macs, design.sets, weight_format)
    cuts = cut(_bits_of_columns(stored, design), slot_bits(design))
    for first, end in itertools.pairwise([*cuts, matrix.shape[1]]):
        packed = pack(matrix[:, first:end], design.sets, design.macs, weight_format, order)
        yield Piece(packed, tile, first_row, first, first == 0, end == matrix.shape[1])


def pieces(matrix: NDArray[np.generic], design: Design) -> list[Piece]:
    """A mask (bool) or int16 matrix of shape (H, W) in the pieces in which it passes through the weight buffer.

    Tiles of `design.accumulators` consecutive output rows, each with its rows ordered once; a tile's columns in the
    fewest pieces that fit a slot of the weight buffer, the largest of them as small as columns allow. Raises
    InputError when the shape is not H x W or one column does not fit. Source: rtl_models/optimus/README.md.
    """
    _checked(matrix, design.macs, design.sets)
    firsts = range(0, matrix.shape[0], design.accumulators)
    return [
        piece
        for tile, first in enumerate(firsts)
        for piece in _tile_pieces(matrix[first : first + design.accumulators], design, tile, first)
    ]


def attention_piece(heads: int, kv: int, reduction: int, design: Design) -> Piece:
    """The piece of a dense product: `heads` matrices of `kv` x `reduction` as one of heads * kv x heads * reduction,
    where output h * kv + j has an element in each column i * heads + h. Rows stay as they come; nothing is loaded."""
    mask = np.zeros((heads, kv, reduction, heads), bool)
    mask[np.arange(heads), :, :, np.arange(heads)] = True
    rows, columns = heads * kv, reduction * heads
    weight_format = WeightFormat(design.weight_format)
    sparse_format = WeightFormat.SA_RCSC if weight_format == WeightFormat.DENSE else weight_format
    order = np.arange(rows, dtype=np.int64)
    packed = pack(mask.reshape(rows, columns), design.sets, design.macs, sparse_format, order)
    return Piece(packed, 0, 0, 0, True, True)
