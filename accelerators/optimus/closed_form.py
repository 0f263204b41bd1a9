"""Cycles and bits of a sparse weight product in closed form.

What `accelerators.optimus.sparse` measures on a real mask is estimated here for a Bernoulli mask of the same number of
non-zeros. Pure functions of integers, so that a sweep can compile them. README.md has the measured errors.
"""

from __future__ import annotations

from accelerators.optimus.design import WeightFormat
from hwsim.pure import ceil_div, clog2, isqrt, pure

DENSE, CSC, RCSC, SA_RCSC = (int(f) for f in WeightFormat)


@pure
def array_sets(weight_format: int, macs: int, sets: int) -> int:
    """Sets a format deals rows to: one multiplier each for CSC and RCSC."""
    if weight_format in (CSC, RCSC):
        return macs
    return sets


@pure
def rows_of_set(weight_format: int, rows: int, macs: int, sets: int) -> int:
    """Rows of the set that has most."""
    return ceil_div(rows, array_sets(weight_format, macs, sets))


@pure
def entry_bits(weight_format: int, rows: int, macs: int, sets: int, value_bits: int) -> int:
    """Bits of one stored element: its value and, except in DENSE, the number of its row (CSC) or row in set."""
    if weight_format == DENSE:
        return value_bits
    if weight_format == CSC:
        return value_bits + clog2(rows)
    return value_bits + clog2(rows_of_set(weight_format, rows, macs, sets))


@pure
def column_bits(weight_format: int, rows: int, macs: int, sets: int) -> int:
    """Bits of the lengths of one column: none (DENSE), one length (CSC), or one for each set that has rows."""
    if weight_format == DENSE:
        return 0
    if weight_format == CSC:
        return clog2(rows + 1)
    used = min(rows, array_sets(weight_format, macs, sets))
    return used * clog2(rows_of_set(weight_format, rows, macs, sets) + 1)


@pure
def stored_bits(weight_format: int, nnz: int, rows: int, columns: int, macs: int, sets: int, value_bits: int) -> int:
    """Bits a matrix of `rows` x `columns` with `nnz` non-zeros takes in memory."""
    elements = nnz
    if weight_format == DENSE:
        elements = rows * columns
    entries = elements * entry_bits(weight_format, rows, macs, sets, value_bits)
    return entries + columns * column_bits(weight_format, rows, macs, sets)


# --- balance ----------------------------------------------------------------------------------------------------

_LARGEST_NORMAL = (
    0, 564, 1029, 1424, 1766, 2070, 2344, 2595, 2827, 3044, 3248, 3442, 3626, 3802, 3971, 4134, 4291, 4443, 4590, 4733,
    4872,
)  # fmt: skip
"""Expected largest of 2**i standard normal variables, in thousandths: the integral of x d(cdf(x)**n), by quadrature."""

PAIRED_MILLI = 600
ODD_MILLI = 3000
"""Fitted on the development families of accelerators/optimus/fit.py: how far, in standard deviations of a row, the
fullest set stands above the mean after snake dealing, for an even number of rows a set; and what an odd number adds,
times the number of rows. (Rows of the first and the second half cancel in pairs; an odd row has no partner.)"""

DRIFT_MILLI = 700
SLACK_MILLI = 400
"""Fitted on the same families; see `windowed_cycles`."""


@pure
def largest_normal_milli(n: int) -> int:
    """Thousandths of the expected largest of n standard normal variables, log-linear between powers of two."""
    step = min(clog2(n), len(_LARGEST_NORMAL) - 1)
    if step < 1:
        return 0
    low = 2 ** (step - 1)
    below = _LARGEST_NORMAL[step - 1]
    return below + (_LARGEST_NORMAL[step] - below) * min(n - low, low) // low


@pure
def row_spread_milli(nnz: int, rows: int, columns: int, row_cv_milli: int) -> int:
    """Thousandths of the standard deviation of a row's non-zeros: Bernoulli, and row densities that differ by
    `row_cv_milli` thousandths of their mean."""
    mean_milli = nnz * 1000 // rows
    bernoulli = mean_milli * (columns * 1000 - mean_milli) // columns
    skew = mean_milli * row_cv_milli // 1000
    return isqrt(bernoulli + skew * skew)


@pure
def fullest_set_milli(
    weight_format: int,
    nnz: int,
    rows: int,
    columns: int,
    of_array: int,
    row_cv_milli: int,
    pieces: int = 1,
    paired_milli: int = PAIRED_MILLI,
    odd_milli: int = ODD_MILLI,
) -> int:
    """Thousandths of the expected non-zeros in the fullest of `of_array` sets.

    One row a set: the longest of all rows. More rows: dealt as a snake they nearly cancel; in natural order (CSC)
    their sums spread by the square root of their number. `pieces` > 1 says that the matrix is one of as many equal
    pieces of a tile: rows are dealt by their length in the whole tile, so that in a piece they cancel only in part, and
    the rest spreads as in natural order.
    """
    depth = ceil_div(rows, of_array)
    deepest = rows - (depth - 1) * of_array
    spread = row_spread_milli(nnz, rows, columns, row_cv_milli)
    z_milli = largest_normal_milli(rows)
    tail_milli = row_cv_milli * row_cv_milli * max(0, z_milli * z_milli - 1_000_000) // 2_000_000_000
    tail = nnz * 1000 // rows * tail_milli // 1000
    if depth == 1:
        above = spread * z_milli // 1000 + tail
    elif weight_format == CSC:
        above = spread * isqrt(depth * 1_000_000) // 1000 * largest_normal_milli(deepest) // 1000
    else:
        above = spread * (paired_milli + depth % 2 * odd_milli // depth) // 1000 + tail
        if pieces > 1:
            above = above * 1000 // isqrt(pieces * 1_000_000)
            within = row_spread_milli(nnz, rows, columns, 0) * isqrt(depth * 1_000_000 * (pieces - 1) // pieces) // 1000
            apart = within * largest_normal_milli(deepest) // 1000
            above = isqrt(above * above + apart * apart)
    return min(depth * nnz * 1000 // rows + above, min(nnz, depth * columns) * 1000)


@pure
def balanced_cycles(
    weight_format: int,
    nnz: int,
    rows: int,
    columns: int,
    macs: int,
    sets: int,
    row_cv_milli: int = 0,
    pieces: int = 1,
    paired_milli: int = PAIRED_MILLI,
    odd_milli: int = ODD_MILLI,
) -> int:
    """Expected longest queue of a Bernoulli mask: cycles of one product when no input is ever missing.

    max over sets of ceil(nnz of the set / ways), which the least-loaded rule reaches exactly. The last two are fitted.
    """
    of_array = array_sets(weight_format, macs, sets)
    ways = macs // of_array
    if weight_format == DENSE:
        return ceil_div(ceil_div(rows, of_array) * columns, ways)
    fullest = fullest_set_milli(
        weight_format, nnz, rows, columns, of_array, row_cv_milli, pieces, paired_milli, odd_milli
    )
    return max(ceil_div(nnz, macs), ceil_div(fullest, 1000 * ways))


# --- input supply -----------------------------------------------------------------------------------------------


@pure
def input_cycles(columns: int, window: int, rate: int) -> int:
    """The fewest cycles in which a window of `window` elements can travel over `columns` elements.

    It moves by at most `rate`, and by at most its own width as long as anybody waits for the element ahead of it.
    """
    if window >= columns:
        return 1
    return ceil_div(columns - window, min(rate, window)) + 1


@pure
def windowed_cycles(
    weight_format: int,
    nnz: int,
    rows: int,
    columns: int,
    macs: int,
    sets: int,
    window: int,
    rate: int,
    row_cv_milli: int = 0,
    pieces: int = 1,
    paired_milli: int = PAIRED_MILLI,
    odd_milli: int = ODD_MILLI,
    drift_milli: int = DRIFT_MILLI,
    slack_milli: int = SLACK_MILLI,
) -> int:
    """Expected cycles of one product of a Bernoulli mask with windowed input; none where there are no non-zeros.

    The largest of: the longest queue; the window's own travel; and the multipliers' drift against one another, which a
    narrow window turns into stalls: 0.6 of the longest queue plus 0.7 z sd W / sqrt(B), where sd is the spread of a
    multiplier's non-zeros in one column and z the expected largest of as many normal variables as there are sets. No
    column takes longer than all its elements do. `pieces` is that of `fullest_set_milli`; the last four are fitted.
    """
    if nnz < 1 and weight_format != DENSE:
        return 0
    balanced = balanced_cycles(
        weight_format, nnz, rows, columns, macs, sets, row_cv_milli, pieces, paired_milli, odd_milli
    )
    supply = max(balanced, input_cycles(columns, window, rate))
    if window >= columns or weight_format == DENSE:
        return supply
    of_array = array_sets(weight_format, macs, sets)
    ways = macs // of_array
    depth = ceil_div(rows, of_array)
    density_milli = min(1000, nnz * 1000 // (rows * columns))
    column_spread_milli = isqrt(depth * density_milli * (1000 - density_milli))
    z_milli = largest_normal_milli(min(rows, of_array))
    per_root = isqrt(window * 1_000_000)
    drift = drift_milli * z_milli // 1000 * column_spread_milli // 1000 * columns // (per_root * ways)
    stalled = balanced * (1000 - slack_milli) // 1000 + drift
    return max(supply, min(stalled, columns * ceil_div(depth, ways)))
