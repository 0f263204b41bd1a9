"""Compiled loops of `accelerators.skynet.fixed`, on int64 codes. The rules of the numbers are said there."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


@numba.njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def rounded(code: int, drop: int, low: int, high: int) -> int:
    """`code` without its last `drop` bits (added, where negative), half up, then saturated to low..high."""
    if drop > 0:
        code = (code + (1 << (drop - 1))) >> drop
    elif drop < 0:
        code = code << -drop
    return min(max(code, low), high)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def convert(codes: Codes, drop: int, low: int, high: int, out: Codes) -> None:
    """`rounded` of every entry of a flat array."""
    for i in range(codes.size):
        out[i] = rounded(codes[i], drop, low, high)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def depthwise(x: Codes, weight: Codes, out: Codes, up: int, low: int, high: int) -> None:
    """Add the nine taps to `out` [C, H, W], which holds the biases; round after each.

    up  fraction bits of a weight: a product has that many more than a feature
    A tap outside the map is a product of zero, which changes no code, so it is passed over.
    """
    channels, height, width = x.shape
    for c in range(channels):
        for dy in range(3):
            for dx in range(3):
                w = weight[c, dy, dx]
                first, last = max(0, 1 - dx), min(width, width + 1 - dx)
                for y in range(max(0, 1 - dy), min(height, height + 1 - dy)):
                    for k in range(first, last):
                        total = (out[c, y, k] << up) + w * x[c, y + dy - 1, k + dx - 1]
                        out[c, y, k] = rounded(total, up, low, high)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def pointwise(
    x: Codes, weight: Codes, trees: Codes, out: Codes,
    tree_up: int, tree_low: int, tree_high: int, up: int, low: int, high: int,
) -> None:  # fmt: skip
    """Add the trees to `out` [O, pixels], which holds the biases; round after each.

    trees     first and last channel (excluded) of each tree, in order
    tree_up   fraction bits that a tree has more than a product; tree_low, tree_high: its limits
    up        fraction bits that a tree has more than an accumulator
    """
    outputs, pixels = out.shape
    most, least = tree_high >> tree_up, tree_low >> tree_up
    block = 512
    sums = np.empty(block, np.int64)
    for start in range(0, pixels, block):
        count = min(block, pixels - start)
        for o in range(outputs):
            for t in range(trees.shape[0]):
                sums[:count] = 0
                for i in range(trees[t, 0], trees[t, 1]):
                    w = weight[o, i]
                    for p in range(count):
                        sums[p] += w * x[i, start + p]
                for p in range(count):
                    s = sums[p]
                    tree = tree_high if s > most else tree_low if s < least else s << tree_up
                    out[o, start + p] = rounded((out[o, start + p] << up) + tree, up, low, high)
