"""How many look-up tables a PoET-BiN classifier takes, from its sizes alone, and how much arithmetic it replaces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hwsim.pure import ceil_div

LUT6_PINS = 6


def full_rinc_luts(p: int, depth: int) -> int:
    """LUTs of a full RINC-L of p-input tables: sum of p^i for i = 0..L."""
    return sum(p**i for i in range(depth + 1))


def rinc_luts(shape: Sequence[int]) -> int:
    """LUTs of one module of the shape that `train_rinc` takes: (4, 8) has 32 trees, 4 MATs and 1 MAT."""
    modules, total = 1, 1
    for size in shape:
        modules *= size
        total += modules
    return total


def lut6_of(pins: int) -> int:
    """6-input LUTs of one table of so many pins: 1 up to 6, else 2^(pins - 6), which wide multiplexers join."""
    return 1 << max(0, pins - LUT6_PINS)


def nominal_luts(p: int, trees: int, groups: int, neurons: int, classes: int, q: int) -> int:
    """LUTs of a classifier of RINC-2 neurons, `groups` groups of `trees` trees: a table of up to p inputs is one LUT.

    With all groups full (trees = p) this is neurons * (T + ceil(T / p) + 1) + classes * q, T = trees * groups.
    Raises ValueError where a table needs more than p inputs.
    """
    _check_pins(p, trees, groups, ceil_div(neurons, classes))
    return neurons * rinc_luts((groups, trees)) + classes * q


def naive_lut6(p: int, trees: int, groups: int, neurons: int, classes: int, q: int) -> int:
    """The same in 6-input LUTs, each table by the pins it uses and nothing simplified."""
    _check_pins(p, trees, groups, ceil_div(neurons, classes))
    a_neuron = trees * groups * lut6_of(p) + groups * lut6_of(trees) + lut6_of(groups)
    return neurons * a_neuron + classes * q * lut6_of(ceil_div(neurons, classes))


def _check_pins(p: int, *used: int) -> None:
    if max(used) > p:
        raise ValueError(f"a table of {p} inputs cannot read {max(used)} signals")


def macs_replaced(widths: Sequence[int]) -> int:
    """Multiply-accumulates of the fully connected layers between these widths, inputs first."""
    return sum(a * b for a, b in pairwise(widths))
