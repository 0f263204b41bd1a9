"""Random networks of look-up tables for tests: a Hypothesis strategy, and others from a seed.

It is imported by its full name, `hwsim.testing.netlists`; the strategy alone needs Hypothesis.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hwsim.netlist.netlist import Lut, Netlist
from hwsim.netlist.tables import inverted, with_swapped_inputs

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

KINDS = ("fresh", "fresh", "fresh", "constant", "wire", "inverter", "copy", "complement", "flat", "narrow", "repeated")
"""What LUTs of random networks are: most compute something new; the others are what simplification is for."""

Choose = Callable[[int, int], int]
"""An integer from the first to the second, both included."""


def random_netlist(
    rng: random.Random, *, inputs: int, luts: int, pins: int, outputs: int, kinds: Sequence[str] = KINDS
) -> Netlist:
    """A network of LUTs with up to `pins` pins each, drawn from any earlier signals; some reach no output."""
    return _built(rng.randint, inputs, luts, pins, outputs, kinds)


def netlists(
    *, max_inputs: int = 7, max_luts: int = 12, max_pins: int = 8, max_outputs: int = 5, kinds: Sequence[str] = KINDS
) -> SearchStrategy[Netlist]:
    """A Hypothesis strategy of networks with shared pins, constants, duplicates, wires, wide LUTs and dead logic."""
    from hypothesis import strategies as st

    @st.composite
    def build(draw: Callable[[SearchStrategy[int]], int]) -> Netlist:
        def choose(low: int, high: int) -> int:
            return draw(st.integers(low, high))

        sizes = (choose(1, max_inputs), choose(0, max_luts), max_pins, choose(1, max_outputs))
        return _built(choose, *sizes, kinds)

    return build()


def layered_netlist(rng: random.Random, *, inputs: int, pins: int, widths: Sequence[int]) -> Netlist:
    """A network of layers: each LUT reads `pins` different signals of the layer before (all of them where it has
    fewer), and the last layer is the outputs."""
    luts: list[Lut] = []
    layer = range(inputs)
    for width in widths:
        start = inputs + len(luts)
        for _ in range(width):
            chosen = rng.sample(layer, min(pins, len(layer)))
            luts.append(Lut(tuple(chosen), rng.getrandbits(1 << len(chosen))))
        layer = range(start, start + width)
    return Netlist(inputs, tuple(luts), tuple(layer))


def _built(choose: Choose, inputs: int, count: int, pins: int, outputs: int, kinds: Sequence[str]) -> Netlist:
    luts: list[Lut] = []
    for _ in range(count):
        kind = kinds[choose(0, len(kinds) - 1)]
        luts.append(_lut(choose, kind, inputs + len(luts), pins, luts))
    last = inputs + len(luts) - 1
    return Netlist(inputs, tuple(luts), tuple(choose(0, last) for _ in range(outputs)))


def _lut(choose: Choose, kind: str, signals: int, most: int, luts: Sequence[Lut]) -> Lut:
    if kind == "constant":
        return Lut((), choose(0, 1))
    if kind in {"wire", "inverter"}:
        return Lut((choose(0, signals - 1),), 0b10 if kind == "wire" else 0b01)
    if kind in {"copy", "complement"} and luts:
        return _twin(choose, luts[choose(0, len(luts) - 1)], kind == "complement")
    pins = tuple(choose(0, signals - 1) for _ in range(choose(1, most)))
    size = 1 << len(pins)
    if kind == "flat":
        return Lut(pins, choose(0, 1) * ((1 << size) - 1))
    if kind == "narrow":
        half = choose(0, (1 << (size >> 1)) - 1)
        return Lut(pins, half | half << (size >> 1))
    if kind == "repeated":
        pins = (*pins[:-1], pins[0])
    return Lut(pins, choose(0, (1 << size) - 1))


def _twin(choose: Choose, lut: Lut, complement: bool) -> Lut:
    """The same function, or its complement, with two pins exchanged."""
    k, pins, table = len(lut.pins), list(lut.pins), lut.table
    if k:
        a, b = choose(0, k - 1), choose(0, k - 1)
        pins[a], pins[b] = pins[b], pins[a]
        table = with_swapped_inputs(table, k, k - 1 - a, k - 1 - b)
    return Lut(tuple(pins), inverted(table, k) if complement else table)
