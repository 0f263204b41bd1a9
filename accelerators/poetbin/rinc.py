"""RINC modules as plain data: trees in which a level tests one feature, and MATs over them. No training, no numpy.

A module is a tree of look-up tables. A table is an integer whose bit a is the output at address a; the address is the
pins read as a binary number, the first one most significant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hwsim.errors import bad_input

MAX_PINS = 16
"""Pins of one table; 2^16 entries are far more than any FPGA puts into one LUT."""


@dataclass(frozen=True, slots=True)
class Tree:
    """RINC-0: one table over features; `features[0]` was chosen first and is the most significant pin."""

    features: tuple[int, ...]
    table: int

    def __post_init__(self) -> None:
        pins = len(self.features)
        if not 1 <= pins <= MAX_PINS or len(set(self.features)) != pins or min(self.features) < 0:
            raise bad_input("features", self.features, f"a tree tests 1 to {MAX_PINS} different features")
        if not 0 <= self.table < 1 << (1 << pins):
            raise bad_input("table", self.table, f"a table of {pins} pins has 2^{pins} bits")

    @property
    def pins(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Mat:
    """RINC-L, L >= 1: multiply, add, threshold over its children's outputs; child 0 is the most significant pin."""

    children: tuple[Rinc, ...]
    alphas: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.children) <= MAX_PINS or len(self.alphas) != len(self.children):
            raise bad_input("children", len(self.children), f"a MAT has 1 to {MAX_PINS} children and a vote for each")

    @property
    def pins(self) -> int:
        return len(self.children)

    @cached_property
    def table(self) -> int:
        return mat_table(self.alphas)


Rinc = Tree | Mat


def dyadic(numbers: Sequence[float]) -> tuple[list[int], int]:
    """Floats as integers over one common denominator, exactly. Raises InputError for what is not finite."""
    try:
        ratios = [number.as_integer_ratio() for number in numbers]
    except (OverflowError, ValueError):
        raise bad_input("not-finite", list(numbers), "weights and votes are finite numbers") from None
    denominator = max((d for _, d in ratios), default=1)
    return [n * (denominator // d) for n, d in ratios], denominator


def subset_sums(weights: Sequence[int], start: int) -> list[int]:
    """start + the weights of the set address bits, for every address; weights[0] is the most significant bit."""
    sums = [start]
    for weight in reversed(weights):
        sums += [s + weight for s in sums]
    return sums


def mat_table(alphas: Sequence[float]) -> int:
    """1 where sum(alpha_i * b_i) > 0.5 * sum(alpha_i), strictly, in exact arithmetic, so that ties are ties.

    Source: MAT of PoET-BiN (arXiv 2002.09794; table generation of the released code).
    """
    exact, _ = dyadic(alphas)
    whole = sum(exact)
    return sum(1 << a for a, s in enumerate(subset_sums(exact, 0)) if 2 * s > whole)


def tied_table(rinc: Rinc, pins: int) -> int:
    """The module's table as a LUT of `pins` pins, of which the last, least significant ones are unused and tied to 0.

    A tied pin carries no vote, so the table does not depend on it.
    """
    if pins < rinc.pins:
        raise bad_input("pins", pins, f"the table has {rinc.pins} pins already")
    spread = 1 << (pins - rinc.pins)
    ones = (1 << spread) - 1
    return sum(ones << (a * spread) for a in range(1 << rinc.pins) if rinc.table >> a & 1)


def modules(rinc: Rinc) -> Iterator[Rinc]:
    """Every module of the tree, children before what reads them."""
    if isinstance(rinc, Mat):
        for child in rinc.children:
            yield from modules(child)
    yield rinc


def level(rinc: Rinc) -> int:
    """L of a RINC-L: 0 for a tree."""
    return 1 + max(map(level, rinc.children)) if isinstance(rinc, Mat) else 0
