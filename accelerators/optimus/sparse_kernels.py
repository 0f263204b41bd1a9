"""The compiled loop of `accelerators.optimus.sparse`. Imported only where a window is simulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

R = TypeVar("R")

_FAR = np.int64(2**62)


def kept(function: Callable[..., R]) -> Callable[..., R]:
    """`function` compiled, and kept on disk unless neither its folder nor a home can be written."""
    try:
        return njit(cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        return njit(function)  # type: ignore[no-any-return]


@kept
def windowed_run(
    start: NDArray[np.int64], column: NDArray[np.int32], head: NDArray[np.int64], window: int, rate: int
) -> tuple[int, int]:
    """Cycles until every queue is empty, and where the window then begins; see
    `accelerators.optimus.sparse.windowed_run`.

    `start[p]:start[p + 1]` are the entries of queue p in `column`; `head` is scratch, one entry a queue.
    """
    queues = start.size - 1
    head[:] = start[:queues]
    left = start[queues]
    base = np.int64(0)
    cycles = 0
    while left > 0:
        oldest_needed = _FAR
        for p in range(queues):
            if head[p] < start[p + 1] and column[head[p]] < base + window:
                head[p] += 1
                left -= 1
            if head[p] < start[p + 1]:
                oldest_needed = min(oldest_needed, np.int64(column[head[p]]))
        if left > 0:
            base = min(base + rate, oldest_needed)
        cycles += 1
    return cycles, base
