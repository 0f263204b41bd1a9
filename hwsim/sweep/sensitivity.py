"""How much of a figure's spread each parameter explains: variance-based indices (Sobol 1993, Homma and Saltelli 1996).

Over the points of a study, each counted once, with X the parameters and Y the figure:

    first  S_i = Var(E[Y | X_i]) / Var(Y)        what X_i explains alone
    total  T_i = E[Var(Y | X_others)] / Var(Y)   what is left when all others are fixed: alone and together with others

On a grid both are sums over its points, exact. A grid with holes (infeasible points) is taken as the points it has; its
parameters are then not independent, and the firsts may add up to more than one. On a sampled study both are estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.sweep.study import Value

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Column = Sequence[Value | None]

_BINS = 32
"""Groups that a sampled parameter with more values is cut into for its first index."""
_NEIGHBOURS = 4096
"""Points of a sampled study among which nearest neighbours are sought for its total indices."""
_CHUNK = 256
_ROUNDING = 1e-12
"""Squared distances in [0, 1] coordinates that differ by less are equal."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One parameter's share of the variance of a figure; both indices lie between 0 and 1."""

    key: str
    first: float
    total: float


def sensitivity(parameters: Mapping[str, Column], figure: npt.ArrayLike, sampled: bool) -> list[Sensitivity]:
    """The indices of every parameter, the largest total first.

    parameters   a column of values each, one entry a point; None where a conditional parameter is absent
    figure       one finite number a point
    sampled      whether the points are a sample of the space (random, Sobol, a search) and not a grid of it

    A sample's first index comes from the means of its levels or of 32 equal groups, with the variance that the means
    of that many groups have by chance taken off (Kelley's epsilon squared, 1935). Its total index is half the mean
    squared difference of Y between each point and its nearest neighbours in the other parameters. What a search sampled
    is not uniform over the space, and the indices are those of what it visited. All 0 where the figure does not vary.
    """
    y: Floats = np.asarray(figure, dtype=np.float64)
    spread = float(y.var()) if len(y) else 0.0
    if spread == 0.0 or not parameters:
        return [Sensitivity(key, 0.0, 0.0) for key in parameters]
    codes = {key: levels_of(column) for key, column in parameters.items()}
    first = {key: (_sampled_first(c, y) if sampled else _between(c, y)) / spread for key, c in codes.items()}
    left = _neighbours_differ(parameters, codes, y) if sampled else _within_others(codes, y)
    found = [Sensitivity(key, _share(first[key]), _share(left[key] / spread)) for key in parameters]
    return sorted(found, key=lambda s: (-s.total, -s.first, s.key))


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def levels_of(column: Column) -> Ints:
    """Each value's place among the distinct ones: numbers in order, then texts; true and false apart from 1 and 0."""
    distinct = sorted(set(map(_sortable, column)))
    place = {value: i for i, value in enumerate(distinct)}
    return np.array([place[_sortable(value)] for value in column], dtype=np.int64)


def _sortable(value: Value | None) -> tuple[int, float, str]:
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, bool):
        return (1, float(value), "")
    return (2, float(value), "") if isinstance(value, int | float) else (3, 0.0, value)


# --- grids ------------------------------------------------------------------------------------------------------


def _means(groups: Ints, y: Floats) -> tuple[Ints, Floats]:
    """Points and mean of y in each group."""
    size: Ints = np.bincount(groups)
    mean: Floats = np.bincount(groups, weights=y) / size
    return size, mean


def _between(groups: Ints, y: Floats) -> float:
    """Variance of the groups' means, each weighted by its points."""
    size, mean = _means(groups, y)
    return float((size * (mean - y.mean()) ** 2).sum() / len(y))


def _within_others(codes: Mapping[str, Ints], y: Floats) -> dict[str, float]:
    """By parameter, the mean variance of y among points that differ in that parameter alone."""
    out = {}
    for key in codes:
        others = np.zeros(len(y), dtype=np.int64)
        for other, levels in codes.items():
            if other != key:
                joint = others * (int(levels.max()) + 1) + levels
                others = np.unique(joint, return_inverse=True)[1].reshape(-1)
        out[key] = float(y.var()) - _between(others, y)
    return out


# --- samples ----------------------------------------------------------------------------------------------------


def _groups(levels: Ints) -> Ints:
    """The levels themselves where they are few, else equal-sized groups of neighbouring ones."""
    if int(levels.max()) < _BINS:
        return levels
    order = np.argsort(levels, kind="stable")
    bins = np.empty(len(levels), dtype=np.int64)
    bins[order] = np.arange(len(levels)) * min(_BINS, max(len(levels) // 8, 1)) // len(levels)
    return bins


def _sampled_first(levels: Ints, y: Floats) -> float:
    groups = _groups(levels)
    size, mean = _means(groups, y)
    within = float(((y - mean[groups]) ** 2).sum())
    by_chance = within * (len(size) - 1) / max(len(y) - len(size), 1)
    return _between(groups, y) - by_chance / len(y)


def _coordinates(column: Column, levels: Ints) -> tuple[Floats, bool]:
    """A parameter's values spread evenly over [0, 1], and whether it is of numbers (else only equality counts)."""
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in column)
    middle = (np.searchsorted(np.sort(levels), levels, "left") + np.searchsorted(np.sort(levels), levels, "right")) / 2
    return (middle / len(levels) if numeric else levels.astype(np.float64)), numeric


def _neighbours_differ(parameters: Mapping[str, Column], codes: Mapping[str, Ints], y: Floats) -> dict[str, float]:
    """By parameter, half the mean squared difference of y to the nearest point in the others."""
    taken = np.unique(np.linspace(0, len(y) - 1, min(len(y), _NEIGHBOURS)).astype(np.int64))
    axes = []
    for key, column in parameters.items():
        place, numeric = _coordinates(column, codes[key])
        axes.append((place[taken], numeric))
    total = np.zeros(len(axes))
    for start in range(0, len(taken), _CHUNK):
        total += _squared_to_nearest(axes, y[taken], np.arange(start, min(start + _CHUNK, len(taken))))
    return dict(zip(parameters, (total / (2 * len(taken))).tolist(), strict=True))


def _squared_to_nearest(axes: Sequence[tuple[Floats, bool]], y: Floats, rows: Ints) -> Floats:
    """By axis, the sum over `rows` of the squared difference of y to the nearest other points in the other axes, the
    mean of it where several are equally near."""
    gaps = [((a[rows, None] - a) ** 2 if numeric else (a[rows, None] != a).astype(np.float64)) for a, numeric in axes]
    squared = (y[rows, None] - y) ** 2
    every = np.sum(gaps, axis=0)
    every[np.arange(len(rows)), rows] = np.inf
    differ = []
    for gap in gaps:
        apart = every - gap
        nearest = apart <= apart.min(axis=1, keepdims=True) + _ROUNDING
        differ.append(((squared * nearest).sum(axis=1) / nearest.sum(axis=1)).sum())
    return np.array(differ)
