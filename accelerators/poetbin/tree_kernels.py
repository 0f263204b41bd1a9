"""The compiled loops of `accelerators.poetbin.trees`. Imported only where trees are trained.

Arrays: `words` as in `accelerators.poetbin.bits.PackedBits`; `order` holds samples sorted by (node, class), and range
r = 2 * node + class of it is `starts[r]:starts[r + 1]`; `masses[node, class]` are sums of integer weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

R = TypeVar("R")


def kept(function: Callable[..., R]) -> Callable[..., R]:
    """`function` compiled to run without the GIL; kept on disk unless neither its folder nor a home can be written."""
    try:
        return njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:
        return njit(nogil=True)(function)  # type: ignore[no-any-return]


@kept
def add_set_bits(
    words: NDArray[np.uint64], order: NDArray[np.int32], weights: NDArray[np.int64], sums: NDArray[np.int64]
) -> None:
    """Set sums[b] to the weight of the samples in `order` whose word has bit b; `weights` stand in the same order.

    The inner loop has no branch, so that it compiles to vector instructions: a weight is masked by each of 64 bits.
    """
    sums[:] = 0
    for i in range(order.size):
        word = words[order[i]]
        weight = weights[i]
        for b in range(64):
            sums[b] += weight & -np.int64((word >> np.uint64(b)) & np.uint64(1))


@kept
def child_entropy(negative: np.int64, positive: np.int64) -> float:
    """-sum of W_k * log2(W_k / W) over the classes k of a child; 0 for a pure or an empty one."""
    if negative == 0 or positive == 0:
        return 0.0
    whole = float(negative + positive)
    return -(negative * math.log2(negative / whole) + positive * math.log2(positive / whole))


@kept
def level_costs(
    words: NDArray[np.uint64],
    order: NDArray[np.int32],
    weights: NDArray[np.int64],
    starts: NDArray[np.int64],
    masses: NDArray[np.int64],
    costs: NDArray[np.float64],
) -> None:
    """Set costs[t, b] to E(64 * t + b): the sum over all nodes of the entropy left by a split on that feature.

    Node by node in order, so each cost is one defined sequence of additions whatever the share of `words` given here.
    `weights` stand in the order of `order`.
    """
    negative = np.empty(64, np.int64)
    positive = np.empty(64, np.int64)
    costs[:, :] = 0.0
    for t in range(words.shape[0]):
        for v in range(masses.shape[0]):
            whole = masses[v, 0] + masses[v, 1]
            if masses[v, 0] == 0 or masses[v, 1] == 0:
                continue  # pure or empty: no split leaves any entropy
            a, b, c = starts[2 * v], starts[2 * v + 1], starts[2 * v + 2]
            add_set_bits(words[t], order[a:b], weights[a:b], negative)
            add_set_bits(words[t], order[b:c], weights[b:c], positive)
            for f in range(64):
                clear = child_entropy(masses[v, 0] - negative[f], masses[v, 1] - positive[f])
                costs[t, f] += (clear + child_entropy(negative[f], positive[f])) / whole


@kept
def descend(words: NDArray[np.uint64], bit: int, address: NDArray[np.int32]) -> None:
    """Send every sample to its child: its address gains the feature's bit as the least significant one."""
    for s in range(address.size):
        address[s] = 2 * address[s] + np.int32((words[s] >> np.uint64(bit)) & np.uint64(1))


@kept
def sort_by_node(
    address: NDArray[np.int32],
    labels: NDArray[np.uint8],
    weights: NDArray[np.int64],
    starts: NDArray[np.int64],
    masses: NDArray[np.int64],
    order: NDArray[np.int32],
    sorted_weights: NDArray[np.int64],
) -> None:
    """Fill the last four arrays for the nodes that `address` tells; samples of a range keep their order."""
    starts[:] = 0
    masses[:, :] = 0
    for s in range(address.size):
        starts[2 * address[s] + labels[s] + 1] += 1
        masses[address[s], labels[s]] += weights[s]
    for r in range(starts.size - 1):
        starts[r + 1] += starts[r]
    free = starts[:-1].copy()
    for s in range(address.size):
        r = 2 * address[s] + labels[s]
        order[free[r]] = s
        sorted_weights[free[r]] = weights[s]
        free[r] += 1
