"""Functions that run as ordinary Python in a single run and are compiled unchanged for a sweep.

A function marked `@pure` touches only attributes, `+ - * // %`, comparisons, `min`, `max`, `if`, `for` over `range`,
and other pure functions. `hwsim.timing.compile` rebuilds it and every marked callee as machine code; nothing here
imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])

PURE_MARK = "__hwsim_pure__"


def pure(function: F) -> F:
    """Mark `function` as compilable. It is returned unchanged and stays an ordinary function."""
    setattr(function, PURE_MARK, True)
    return function


def is_pure(function: object) -> bool:
    """Whether `function` was marked with `@pure`."""
    return getattr(function, PURE_MARK, False) is True


@pure
def ceil_div(a: int, b: int) -> int:
    """The smallest integer not below a / b, for b > 0."""
    return -((-a) // b)


@pure
def clog2(x: int) -> int:
    """Bits needed to tell x things apart: ceil(log2(x)); 0 for x <= 1."""
    bits = 0
    rest = x - 1
    while rest > 0:
        bits = bits + 1
        rest = rest // 2
    return bits


@pure
def isqrt(x: int) -> int:
    """The integer square root: the largest r with r*r <= x, by Newton's method; 0 for x <= 0."""
    if x <= 0:
        return 0
    r = x
    better = (r + 1) // 2
    while better < r:
        r = better
        better = (r + x // r) // 2
    return r


FEW_CYCLES = 9_000_000_000
"""Times 10^9 still within 63 bits."""


@pure
def cycles_to_ps(cycles: int, clock_khz: int) -> int:
    """Picoseconds that `cycles` cycles of a `clock_khz` clock last, rounded up.

    Split where an intermediate might else leave 64 bits, so that none does for any time below 10^6 seconds.
    """
    if 0 <= cycles <= FEW_CYCLES:
        return ceil_div(cycles * 1_000_000_000, clock_khz)
    whole = cycles // clock_khz
    rest = cycles - whole * clock_khz
    return whole * 1_000_000_000 + ceil_div(rest * 1_000_000_000, clock_khz)


@pure
def loglog(x: float, x0: float, y0: float, x1: float, y1: float) -> float:
    """The power law through (x0, y0) and (x1, y1) at x: a straight line in log-log. 0 at x = 0; all others positive."""
    if x <= 0:
        return 0.0
    return y0 * float((x / x0) ** (log(y1 / y0) / log(x1 / x0)))
