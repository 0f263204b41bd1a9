"""Sample weights of boosting as integers, so that every sum of them is exact.

A tree is chosen by comparing sums of weights, and equal sums decide by the lowest index. Sums of floating-point numbers
depend on their order, hence on blocking, vector width and threads, and a difference of one rounding step undoes a tie.
Here a weight is an integer multiple of 2^-60: sums are exact in 64 bits in any order, "weight of one child = weight of
the node - weight of the other" holds exactly, equal data tie exactly, and any number of threads finds the same tree.

How far this is from 64-bit floats: a weight keeps the 53 bits of a float while it is above 2^-7, and an absolute error
of 2^-61 below. A tree at most halves the weight of a right sample, and a group hands its weights back, so in the eighth
tree of the eighth group it is at least 2^-14 of where it began: 1/50,000 then still has 30 bits. Weights are not
renormalized to a sum of exactly 1; errors are quotients by the true sum instead. Why: docs/decisions, 0006.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

ONE = 1 << 60
"""The weight 1. All samples together weigh ONE, up to half a step a sample, so that sums stay below 2^61."""

LARGEST_ALPHA = 10.36
"""Vote of a learner without error (the released training code of PoET-BiN)."""


def uniform(samples: int) -> NDArray[np.int64]:
    """Equal weights with a sum of 1, each rounded alike."""
    return np.full(samples, (2 * ONE + samples) // (2 * samples), np.int64)


def alpha(wrong: int, total: int) -> float:
    """The vote 0.5 * log2((1 - e) / e) of a learner with the error e = wrong / total.

    LARGEST_ALPHA for e = 0, and its negative for e = 1, where the formula has no value either. For 0.5 < e < 1 the
    formula holds as it is: the vote is negative, which counts the learner's 0 as a 1. Trees never get there, since each
    leaf takes its heavier class; a MAT may, on the weights that its group began with. At e = 0.5 the vote is 0.
    """
    if wrong <= 0:
        return LARGEST_ALPHA
    if wrong >= total:
        return -LARGEST_ALPHA
    return 0.5 * math.log2((total - wrong) / wrong)


def boosted(weights: NDArray[np.int64], missed: NDArray[np.bool_], wrong: int, total: int) -> NDArray[np.int64]:
    """The next weights: wrong samples times 0.5 / e, right ones times 0.5 / (1 - e), rounded to the nearest step.

    `wrong` and `total` are the sums of weights over `missed` and over all. Where e is 0 or 1 only proportions would be
    kept, so the weights stay as they are, and the next learner is the same one again.
    """
    if wrong <= 0 or wrong >= total:
        return weights
    half = float(ONE // 2)
    factor = np.where(missed, half / wrong, half / (total - wrong))
    return np.rint(weights * factor).astype(np.int64)
