"""A cache with one way, read through: which accesses of a stream miss.

A load that misses fetches its line, a store never does. The state is the line that each set holds; since a set only
ever holds what was last loaded into it, an access misses if and only if the one before it in the same set was another
line: all sets are run through at once by sorting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def missed(lines: Ints, sets: int) -> NDArray[np.bool_]:
    """Which of the accesses to `lines` (line numbers, in order) miss in a cache of `sets` lines that starts empty."""
    order = np.argsort(lines % sets, kind="stable")
    ordered = lines[order]
    miss = np.ones(len(lines), bool)
    same_set = ordered[1:] % sets == ordered[:-1] % sets
    miss[order[1:]] = ~(same_set & (ordered[1:] == ordered[:-1]))
    return miss


def lines_of_blocks(starts: Ints, ends: Ints, line_bytes: int) -> tuple[Ints, Ints]:
    """Lines that blocks of code are fetched from, in order, and for each the number of its block."""
    first, last = starts // line_bytes, (ends - 1) // line_bytes
    counts = last - first + 1
    block = np.repeat(np.arange(len(starts)), counts)
    offset = np.arange(len(block)) - np.repeat(np.cumsum(counts) - counts, counts)
    return first[block] + offset, block


def as_ints(values: Any) -> Ints:
    """An array of 64-bit integers without a copy."""
    return np.frombuffer(values, np.int64) if len(values) else np.zeros(0, np.int64)
