"""RINC-0: a tree in which all nodes of a level test the same feature, chosen greedily by weighted entropy.

For level l = 0..P-1 and every feature f not used yet, with W_{c,k} the weight of class k in child c of node v, W_c that
of the child and W_v that of the node,

    E_v(f) = -(1 / W_v) * sum over c, k of W_{c,k} * log2(W_{c,k} / W_c)        E(f) = sum over the 2^l nodes of E_v(f)

and the f with the smallest E(f) is taken; nodes count alike, whatever their mass (arXiv 2002.09794 and its released
code). The lowest index wins ties. E(f) must lie strictly below 2^l, the entropy of a level that knows nothing; where no
feature does, the first unused one is taken. 0 * log2(0) = 0, and a node without weight has the entropy 0.

Arithmetic. The weights of all W are integers and their sums exact (`accelerators.poetbin.weights`). E(f) is computed in
64-bit floats, node after node, and compared after rounding to multiples of 2^-40. Its error is below 2^-43 at the
eighth level (measured against 80-bit floats) and depends on the logarithm of the platform's mathematical library, so
smaller differences are no differences. How often training in plain floats would choose otherwise: of the 1,517 choices
of the tests' small and tie-ridden tasks in 17; on scikit-learn's digits (1,797 samples, 160 trees of 4 inputs) never.

How it is fast. Samples are sorted by (node, class), so each W is a sum over one run of samples; one pass over them adds
the weight to each of the 64 features of a word under a mask, which compiles to vector instructions. The other child is
the difference to the node, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelerators.poetbin import tree_kernels
from accelerators.poetbin.bits import WORD, PackedBits, table_of
from accelerators.poetbin.rinc import Tree

COST_STEPS = float(1 << 40)
"""Steps of E(f) in one bit of entropy."""

CostsOf = Callable[["Level"], NDArray[np.float64]]


@dataclass(slots=True)
class Level:
    """Samples sorted by the nodes of one level. Fields as the kernels name them."""

    address: NDArray[np.int32]
    starts: NDArray[np.int64]
    masses: NDArray[np.int64]
    order: NDArray[np.int32]
    weights: NDArray[np.int64]


def sorted_level(
    address: NDArray[np.int32], depth: int, labels: NDArray[np.uint8], weights: NDArray[np.int64]
) -> Level:
    """The level `depth` of samples that stand at `address`."""
    nodes = 1 << depth
    starts, masses = np.empty(2 * nodes + 1, np.int64), np.empty((nodes, 2), np.int64)
    order, sorted_weights = np.empty(address.size, np.int32), np.empty(address.size, np.int64)
    tree_kernels.sort_by_node(address, labels, weights, starts, masses, order, sorted_weights)
    return Level(address, starts, masses, order, sorted_weights)


class Search:
    """Finds trees in the same features again and again, the features shared among threads.

    Results do not depend on the number of threads: each feature's cost is computed by one of them, in one order. Use
    as a context manager; with one thread none is started.
    """

    def __init__(self, features: PackedBits, threads: int = 1) -> None:
        self.features = features
        words = features.words
        self._shares = [share for share in np.array_split(np.arange(len(words)), max(1, threads)) if share.size]
        self._pool = ThreadPoolExecutor(len(self._shares)) if len(self._shares) > 1 else None

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown()

    def costs(self, level: Level) -> NDArray[np.float64]:
        """E(f) of every feature, in steps."""
        found = np.empty((len(self.features.words), WORD))

        def fill(share: NDArray[np.int64]) -> None:
            part = slice(share[0], share[-1] + 1)
            tree_kernels.level_costs(
                self.features.words[part], level.order, level.weights, level.starts, level.masses, found[part]
            )

        list(self._pool.map(fill, self._shares) if self._pool else map(fill, self._shares))
        return np.rint(found.reshape(-1)[: self.features.features] * COST_STEPS)

    def tree(self, labels: NDArray[np.uint8], weights: NDArray[np.int64], pins: int) -> tuple[Tree, NDArray[np.uint8]]:
        """The tree of `pins` levels for these labels and weights, and its output for every sample.

        There are at least `pins` features.
        """
        chosen: list[int] = []
        address = np.zeros(labels.size, np.int32)
        for depth in range(pins):
            feature = pick(self.costs(sorted_level(address, depth, labels, weights)), chosen, depth)
            chosen.append(feature)
            tree_kernels.descend(self.features.words[feature // WORD], feature % WORD, address)
        masses = sorted_level(address, pins, labels, weights).masses
        leaves = masses[:, 1] > masses[:, 0]
        return Tree(tuple(chosen), table_of(leaves)), leaves[address].astype(np.uint8)


def pick(costs: NDArray[np.float64], used: Sequence[int], depth: int) -> int:
    """The unused feature of the lowest cost (in steps), which is below 2^depth; the first unused one if none is."""
    free = np.ones(costs.size, bool)
    free[list(used)] = False
    open_costs = np.where(free, costs, np.inf)
    best = int(np.argmin(open_costs))  # the first of equal ones
    return best if open_costs[best] < (1 << depth) * COST_STEPS else int(np.argmax(free))
