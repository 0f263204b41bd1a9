"""Truth tables as integers: bit a of the table is the output at address a.

Variables are named by their place in the address: variable w is the address bit of weight 2^w. A table of k variables
has 2^k bits. All of it is shifts and masks of whole tables, so wide tables cost little.
"""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=512)
def low_half(k: int, w: int) -> int:
    """The addresses at which variable w is 0, as a mask of 2^k bits: blocks of 2^w ones between as many zeros."""
    return int(((1 << (1 << k)) - 1) // ((1 << (1 << w)) + 1))


def depends(table: int, k: int, w: int) -> bool:
    """Whether variable w ever makes a difference."""
    return bool(((table >> (1 << w)) ^ table) & low_half(k, w))


def inverted(table: int, k: int) -> int:
    """The complement of the function."""
    return table ^ ((1 << (1 << k)) - 1)


def with_inverted_input(table: int, k: int, w: int) -> int:
    """The function of the complement of variable w."""
    low, shift = low_half(k, w), 1 << w
    return ((table & low) << shift) | ((table >> shift) & low)


def with_swapped_inputs(table: int, k: int, u: int, w: int) -> int:
    """The function with variables u and w exchanged."""
    u, w = min(u, w), max(u, w)
    if u == w:
        return table
    shift = (1 << w) - (1 << u)
    moved = ((table >> shift) ^ table) & low_half(k, w) & ~low_half(k, u)
    return table ^ moved ^ (moved << shift)


def cofactor(table: int, k: int, w: int, value: int) -> int:
    """The function of the other k - 1 variables, in their order, with variable w held at `value` (Shannon)."""
    for above in range(w + 1, k):
        table = with_swapped_inputs(table, k, above - 1, above)
    half = 1 << (k - 1)
    return (table >> half) if value else table & ((1 << half) - 1)


def with_joined_inputs(table: int, k: int, u: int, w: int) -> int:
    """The function of k - 1 variables with variable w tied to variable u, u < w."""
    low = low_half(k - 1, u)
    return (cofactor(table, k, w, 0) & low) | (cofactor(table, k, w, 1) & ~low)


def tidied(pins: tuple[int, ...], table: int) -> tuple[tuple[int, ...], int]:
    """The same function of the same signals with each signal at one pin, of those it depends on, in rising order.

    `pins` are signals, the most significant first, as in `hwsim.netlist.netlist.Lut`.
    """
    pins, table = joined(pins, table)
    return in_order(*needed(pins, table))


def joined(pins: tuple[int, ...], table: int) -> tuple[tuple[int, ...], int]:
    """The same function with each signal at one pin, the last it stood at."""
    if len(set(pins)) == len(pins):
        return pins, table
    found = list(pins)
    for at in range(len(pins) - 2, -1, -1):
        if found[at] in found[at + 1 :]:
            k, same = len(found), found.index(found[at], at + 1)
            table = with_joined_inputs(table, k, k - 1 - same, k - 1 - at)
            del found[at]
    return tuple(found), table


def needed(pins: tuple[int, ...], table: int) -> tuple[tuple[int, ...], int]:
    """The same function without the pins on which it does not depend."""
    found = list(pins)
    for at in range(len(pins) - 1, -1, -1):
        w = len(found) - 1 - at
        if not depends(table, len(found), w):
            table = cofactor(table, len(found), w, 0)
            del found[at]
    return tuple(found), table


def in_order(pins: tuple[int, ...], table: int) -> tuple[tuple[int, ...], int]:
    """The same function with its pins in rising order."""
    found, k = list(pins), len(pins)
    for at in range(k):
        least = min(range(at, k), key=found.__getitem__)
        found[at], found[least] = found[least], found[at]
        table = with_swapped_inputs(table, k, k - 1 - at, k - 1 - least)
    return tuple(found), table


def tied(pins: tuple[int, ...], table: int, constants: dict[int, int]) -> tuple[tuple[int, ...], int]:
    """The same function without the pins whose signals are constant; `constants` holds their values."""
    found = list(pins)
    for at in range(len(pins) - 1, -1, -1):
        value = constants.get(found[at])
        if value is not None:
            table = cofactor(table, len(found), len(found) - 1 - at, value)
            del found[at]
    return tuple(found), table
