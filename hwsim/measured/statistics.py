"""How far predictions are from measurements: relative errors and whether the order is kept. Plain Python.

Rank correlations are Spearman's rho (Pearson's r of mid-ranks) and Kendall's tau-b, the latter by Knight's algorithm
(W. R. Knight, "A computer method for calculating Kendall's tau with ungrouped data", JASA 61, 1966): n log n.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Pair = tuple[float, float]


class Accuracy(NamedTuple):
    """Errors of a group of rows as fractions of what was measured: mean (bias), mean of the absolute values (MAPE),
    their median, 95th percentile (linear between ranks) and largest; and both rank correlations. NaN where a group is
    empty, and correlations also where all predictions or all measurements are one number."""

    rows: int
    bias: float
    mape: float
    median: float
    p95: float
    worst: float
    spearman: float
    kendall: float


NOTHING = Accuracy(0, *(math.nan,) * 7)


def accuracy(pairs: Sequence[Pair]) -> Accuracy:
    """The figures of (predicted, measured) pairs; what was measured is positive."""
    if not pairs:
        return NOTHING
    errors = [predicted / measured - 1 for predicted, measured in pairs]
    sizes = sorted(map(abs, errors))
    predicted, measured = zip(*pairs, strict=True)
    return Accuracy(
        len(pairs), math.fsum(errors) / len(errors), math.fsum(sizes) / len(sizes), percentile(sizes, 0.5),
        percentile(sizes, 0.95), sizes[-1], spearman(predicted, measured), kendall(predicted, measured),
    )  # fmt: skip


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` of ascending values lie, linear between ranks (Hyndman and Fan's type 7)."""
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def ranks(values: Sequence[float]) -> list[float]:
    """Rank of each value from 1, equal values at the mean of the ranks they share."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for i in order[start:end]:
            found[i] = (start + 1 + end) / 2
        start = end
    return found


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN where either side is constant."""
    a, b = ranks(x), ranks(y)
    mean = (len(a) + 1) / 2
    across = math.fsum((p - mean) * (q - mean) for p, q in zip(a, b, strict=True))
    along = math.fsum((p - mean) ** 2 for p in a) * math.fsum((q - mean) ** 2 for q in b)
    return across / math.sqrt(along) if along else math.nan


def kendall(x: Sequence[float], y: Sequence[float]) -> float:
    """Kendall's tau-b; NaN where either side is constant."""
    pairs = sorted(zip(x, y, strict=True))
    total = len(pairs) * (len(pairs) - 1) // 2
    tied_x, tied_y, tied_both = (_tied(v) for v in (x, y, pairs))
    free = (total - tied_x) * (total - tied_y)
    if not free:
        return math.nan
    swaps = _swaps([q for _, q in pairs])
    return (total - tied_x - tied_y + tied_both - 2 * swaps) / math.sqrt(free)


def _tied(values: Iterable[object]) -> int:
    """Pairs of equal values."""
    return sum(n * (n - 1) // 2 for n in Counter(values).values())


def _swaps(values: list[float]) -> int:
    """Pairs that stand in descending order, by merge sort; `values` is sorted on return."""
    if len(values) < 2:
        return 0
    middle = len(values) // 2
    left, right = values[:middle], values[middle:]
    swaps = _swaps(left) + _swaps(right)
    at = i = j = 0
    while i < len(left) and j < len(right):
        if right[j] < left[i]:
            values[at], j, swaps = right[j], j + 1, swaps + len(left) - i
        else:
            values[at], i = left[i], i + 1
        at += 1
    values[at:] = left[i:] or right[j:]
    return swaps
