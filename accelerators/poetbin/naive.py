"""The training rules of PoET-BiN once more, slow and obvious: the oracle of `trees` and `boosting`.

Written from the rules alone (arXiv 2002.09794 and its released code), with a boolean mask for every node, child and
class. It shares no code with the fast search, and comes in two arithmetics:

    FLOATS  weights are 64-bit floats with a sum of 1, costs are compared as they come out: the published training
    EXACT   weights are integer multiples of 2^-60, costs are compared in steps of 2^-40: what the fast search defines

EXACT and the fast search agree in every feature and table. FLOATS agrees with them except where two features tie in
exact arithmetic and rounding tells them apart, or where a weight's last bits turn the scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Module = tuple[Any, ...]
"""("tree", features, outputs by address) or ("mat", modules, votes, outputs by address)"""


@dataclass(frozen=True)
class Arithmetic:
    """How weights begin and change, and what of a cost is compared."""

    uniform: Callable[[int], Any]
    boosted: Callable[[Any, Any], Any]
    cost: Callable[[float], float]


def _float_boosted(weights: Any, missed: Any) -> Any:
    error = weights[missed].sum()
    if error <= 0 or error >= 1:
        return weights
    return np.where(missed, weights * 0.5 / error, weights * 0.5 / (1 - error))


def _exact_boosted(weights: Any, missed: Any) -> Any:
    wrong, right = int(weights[missed].sum()), int(weights[~missed].sum())
    if wrong == 0 or right == 0:
        return weights
    return np.array([round(int(w) * (2.0**59 / (wrong if m else right))) for w, m in zip(weights, missed, strict=True)])


FLOATS = Arithmetic(lambda samples: np.full(samples, 1 / samples), _float_boosted, lambda cost: cost)
EXACT = Arithmetic(
    lambda samples: np.full(samples, round(Fraction(2**60, samples))), _exact_boosted, lambda cost: round(cost * 2**40)
)


def split_entropy(column: Any, labels: Any, weights: Any, nodes: Any, depth: int) -> float:
    """E(f) of a feature whose bits are `column`; `nodes` tells where each sample stands."""
    total = 0.0
    for v in range(2**depth):
        node_weight = weights[nodes == v].sum()
        entropy = 0.0
        for c in (0, 1):
            child = (nodes == v) & (column == c)
            child_weight = weights[child].sum()
            for k in (0, 1):
                weight = weights[child & (labels == k)].sum()
                if weight > 0:
                    entropy -= weight * math.log2(weight / child_weight)
        if node_weight > 0:
            total += entropy / node_weight
    return total


def tree(features: Any, labels: Any, weights: Any, p: int, arithmetic: Arithmetic) -> tuple[Module, Any]:
    """RINC-0 and its outputs."""
    nodes = np.zeros(len(labels), int)
    chosen: list[int] = []
    for depth in range(p):
        unused = [f for f in range(features.shape[1]) if f not in chosen]
        lowest, best = arithmetic.cost(2.0**depth), unused[0]
        for f in unused:
            cost = arithmetic.cost(split_entropy(features[:, f], labels, weights, nodes, depth))
            if cost < lowest:
                lowest, best = cost, f
        chosen.append(best)
        nodes = 2 * nodes + features[:, best]
    leaves = [int(weights[(nodes == a) & (labels == 1)].sum() > weights[(nodes == a) & (labels == 0)].sum())
              for a in range(2**p)]  # fmt: skip
    return ("tree", tuple(chosen), tuple(leaves)), np.array(leaves)[nodes]


def vote(weights: Any, missed: Any) -> float:
    """alpha = 0.5 * log2((1 - e) / e), 10.36 at e = 0 and -10.36 at e = 1."""
    wrong, right = weights[missed].sum().item(), weights[~missed].sum().item()
    if wrong <= 0:
        return 10.36
    return 0.5 * math.log2(right / wrong) if right > 0 else -10.36


def mat(alphas: Sequence[float]) -> tuple[int, ...]:
    """1 where the votes of the set bits exceed half of all: votes for less votes against, summed exactly, exceed 0."""
    count = len(alphas)
    table = []
    for address in range(2**count):
        bits = [address >> (count - 1 - i) & 1 for i in range(count)]
        table.append(int(math.fsum(a if b else -a for a, b in zip(alphas, bits, strict=True)) > 0))
    return tuple(table)


def rinc(
    features: Any, labels: Any, weights: Any, p: int, shape: tuple[int, ...], arithmetic: Arithmetic
) -> tuple[Module, Any]:
    """RINC-L and its outputs. `features` [samples, features] and `labels` are integers 0 or 1."""
    if not shape:
        return tree(features, labels, weights, p, arithmetic)
    modules, alphas, nodes = [], [], np.zeros(len(labels), int)
    for _ in range(shape[0]):
        module, output = rinc(features, labels, weights, p, shape[1:], arithmetic)
        missed = output != labels
        modules.append(module)
        alphas.append(vote(weights, missed))
        nodes = 2 * nodes + output
        weights = arithmetic.boosted(weights, missed)
    table = mat(alphas)
    return ("mat", tuple(modules), tuple(alphas), table), np.array(table)[nodes]


def train(features: Any, labels: Any, p: int, shape: tuple[int, ...], arithmetic: Arithmetic = FLOATS) -> Module:
    """A RINC-L of the given shape, outermost level first, from equal weights."""
    features, labels = np.asarray(features, int), np.asarray(labels, int)
    return rinc(features, labels, arithmetic.uniform(len(labels)), p, shape, arithmetic)[0]
