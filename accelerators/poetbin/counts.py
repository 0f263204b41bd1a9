"""How many look-up tables a PoET-BiN classifier takes, from its sizes alone, and how much arithmetic it replaces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hwsim.netlist.lut6 import lut6_of
from hwsim.pure import ceil_div


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


def rinc_shape(groups: int, trees: int) -> tuple[int, ...]:
    """The shape of a neuron of `groups` groups of `trees` trees: one group has no second MAT, and of one group one
    tree stands alone."""
    if groups > 1:
        return groups, trees
    return (trees,) if trees > 1 else ()


def neuron_lut6(p: int, trees: int, groups: int) -> int:
    """6-input tables of such a neuron, each table by the pins it uses."""
    modules, total = 1, 0
    for size in rinc_shape(groups, trees):
        total += modules * lut6_of(size)
        modules *= size
    return total + modules * lut6_of(p)


def nominal_luts(p: int, trees: int, groups: int, neurons: int, classes: int, q: int) -> int:
    """LUTs of a classifier of neurons of `groups` groups of `trees` trees: a table of up to p inputs is one LUT.

    With all groups full (trees = p) this is neurons * (T + ceil(T / p) + 1) + classes * q, T = trees * groups.
    Raises ValueError where a table needs more than p inputs.
    """
    _check_pins(p, trees, groups, ceil_div(neurons, classes))
    return neurons * rinc_luts(rinc_shape(groups, trees)) + classes * q


def naive_lut6(p: int, trees: int, groups: int, neurons: int, classes: int, q: int) -> int:
    """The same in 6-input LUTs, each table by the pins it uses and nothing simplified."""
    _check_pins(p, trees, groups, ceil_div(neurons, classes))
    return neurons * neuron_lut6(p, trees, groups) + classes * q * lut6_of(ceil_div(neurons, classes))


def _check_pins(p: int, *used: int) -> None:
    if max(used) > p:
        raise ValueError(f"a table of {p} inputs cannot read {max(used)} signals")


def macs_replaced(widths: Sequence[int]) -> int:
    """Multiply-accumulates of the fully connected layers between these widths, inputs first."""
    return sum(a * b for a, b in pairwise(widths))
