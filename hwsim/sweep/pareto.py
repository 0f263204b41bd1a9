"""Pareto fronts and hypervolumes: exact, for any number of objectives, over arrays or over a stream of chunks.

A point *dominates* another if it is at least as good in every objective and better in one. The front is what nothing
dominates; so equal points are on it together, or not at all. A point with an objective that is not a number is never on
the front and dominates nothing. Values are an array of shape (points, objectives), in any units; directions say which
way each objective is better, minimize where none is given.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.sweep.study import Direction

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_BLOCK = 1024
"""Points compared with one another at once: a block of 1024 x 1024 comparisons is a megabyte a step."""
_GUESS = 64
"""Good points that a first pass compares everything with."""


def minimised(values: npt.ArrayLike, directions: Sequence[Direction] | None = None) -> Floats:
    """`values` as floats with the objectives to maximize negated, so that less is better everywhere.

    Raises ValueError unless there is one direction an objective.
    """
    array: Floats = np.array(values, dtype=np.float64, ndmin=2)
    if directions is None:
        return array
    if len(directions) != array.shape[1]:
        raise ValueError(f"{len(directions)} directions for {array.shape[1]} objectives")
    signs: Floats = np.array([-1.0 if d is Direction.MAXIMIZE else 1.0 for d in directions])
    return array * signs


# --- the front --------------------------------------------------------------------------------------------------


def pareto_front(values: npt.ArrayLike, directions: Sequence[Direction] | None = None) -> Bools:
    """Which of the points (points, objectives) nothing dominates, as a mask over the points.

    O(n log n) for one to three objectives: the maxima algorithm of Kung, Luccio and Preparata (1975), by sorting and,
    for three, a staircase. Beyond three, points in the order of the sum of their ranks are compared in blocks with the
    front so far, which is O(n x front) at worst.
    """
    array = minimised(values, directions)
    mask: Bools = np.zeros(len(array), dtype=bool)
    valid = np.flatnonzero(~np.isnan(array).any(axis=1))
    if len(valid) == 0 or array.shape[1] == 0:
        return mask
    array = array[valid]
    hopeful = _hopeful(array)
    distinct, inverse = np.unique(array[hopeful], axis=0, return_inverse=True)
    find = {1: _front_1, 2: _front_2, 3: _front_3}.get(array.shape[1], _front_k)
    mask[valid[hopeful]] = find(distinct)[inverse.reshape(-1)]
    return mask


def _hopeful(array: Floats) -> Ints:
    """Points that a few good ones do not dominate: most of a large cloud goes in one cheap pass."""
    if len(array) <= 4 * _GUESS:
        return np.arange(len(array))
    with np.errstate(invalid="ignore"):
        low, high = array.min(axis=0), array.max(axis=0)
        scaled = np.nan_to_num((array - low) / np.where(high > low, high - low, 1.0), nan=0.0)
    best = np.argpartition(scaled.sum(axis=1), _GUESS)[:_GUESS]
    left: Ints = np.arange(len(array))
    for point in array[best]:
        left = left[~_dominated(array[left], point[None])]
    return left


def _dominated(array: Floats, by: Floats) -> Bools:
    """Which points of `array` some point of `by` dominates."""
    lost: Bools = np.zeros(len(array), dtype=bool)
    for point in by:
        lost |= np.all(array >= point, axis=1) & np.any(array > point, axis=1)
    return lost


def _front_1(distinct: Floats) -> Bools:
    first: Bools = np.arange(len(distinct)) == 0
    return first


def _front_2(distinct: Floats) -> Bools:
    """Distinct points in lexicographic order: on the front where the second objective falls below all before."""
    best = np.minimum.accumulate(distinct[:, 1])
    return np.concatenate(([True], distinct[1:, 1] < best[:-1]))


def _front_3(distinct: Floats) -> Bools:
    """Distinct points in lexicographic order: no later one dominates an earlier one, so each is held against the
    staircase that the earlier ones leave in the last two objectives."""
    stairs = _Staircase()
    rest: list[list[float]] = distinct[:, 1:].tolist()
    return np.fromiter((stairs.add(y, z) for y, z in rest), dtype=bool, count=len(distinct))


class _Staircase:
    """Minima in two dimensions, in ascending order of the first and descending order of the second."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.second: list[float] = []

    def add(self, y: float, z: float) -> bool:
        """Whether no step is at least as good as (y, z) in both; if so it becomes one."""
        at = bisect_right(self.first, y)
        if at and self.second[at - 1] <= z:
            return False
        if at and self.first[at - 1] == y:
            at -= 1
        end = at
        while end < len(self.second) and self.second[end] >= z:
            end += 1
        self.first[at:end], self.second[at:end] = [y], [z]
        return True


def _front_k(distinct: Floats) -> Bools:
    """Distinct points by rank sums: what dominates a point has a smaller sum, so it comes earlier.

    Ranks are whole numbers: no rounding can tie a point with what dominates it, and infinities are as good as any.
    """
    ranks = np.stack([np.unique(c, return_inverse=True)[1].reshape(-1) for c in distinct.T], axis=1)
    order = np.argsort(ranks.sum(axis=1), kind="stable")
    ranks = ranks[order]
    kept = np.empty((0, ranks.shape[1]), dtype=ranks.dtype)
    mask = np.zeros(len(ranks), dtype=bool)
    for start in range(0, len(ranks), _BLOCK):
        block = ranks[start : start + _BLOCK]
        alive = np.flatnonzero(~_covered(block, kept))
        alive = alive[~_covered(block[alive], block[alive], strict=True)]
        mask[order[start + alive]] = True
        kept = np.concatenate((kept, block[alive]))
    return mask


def _covered(block: Ints, by: Ints, strict: bool = False) -> Bools:
    """Which points of `block` some point of `by` is at least as good as; `strict` leaves the point itself out."""
    lost = np.zeros(len(block), dtype=bool)
    for start in range(0, len(by), _BLOCK):
        part = by[start : start + _BLOCK]
        better = np.ones((len(block), len(part)), dtype=bool)
        for k in range(block.shape[1]):
            better &= part[None, :, k] <= block[:, None, k]
        if strict:
            better[np.arange(start, start + len(part)), np.arange(len(part))] = False
        lost |= better.any(axis=1)
    return lost


class Front:
    """The front of a stream: `update` with chunks, in any order, and read `keys` and `values` at any time.

    Holds the front alone. Points are told apart by whole-number keys (their place in the space, for instance); the
    result does not depend on how the stream was cut or ordered, as keys come out sorted.
    """

    def __init__(self, directions: Sequence[Direction]) -> None:
        self.directions = tuple(directions)
        self._values: Floats = np.empty((0, len(self.directions)))
        self._keys: Ints = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._keys)

    def update(self, values: npt.ArrayLike, keys: npt.ArrayLike) -> None:
        """Take in points (points, objectives) with a key each."""
        fresh: Floats = np.array(values, dtype=np.float64, ndmin=2)
        own = pareto_front(fresh, self.directions)
        joined = np.concatenate((self._values, fresh[own]))
        named = np.concatenate((self._keys, np.asarray(keys, dtype=np.int64)[own]))
        mask = pareto_front(joined, self.directions)
        order = np.argsort(named[mask], kind="stable")
        self._values, self._keys = joined[mask][order], named[mask][order]

    @property
    def values(self) -> Floats:
        """Objectives of the front as they were given, (front, objectives), in the order of `keys`."""
        return self._values

    @property
    def keys(self) -> Ints:
        """Keys of the front, ascending."""
        return self._keys


# --- the hypervolume --------------------------------------------------------------------------------------------


def hypervolume(
    points: npt.ArrayLike, reference: npt.ArrayLike, directions: Sequence[Direction] | None = None
) -> float:
    """Volume that `points` (points, objectives) dominate up to `reference` (objectives), exactly but for rounding.

    A point that is not better than the reference in every objective adds nothing. One and two objectives by sorting,
    three by sweeping a staircase, more by the exclusive volumes of WFG (While, Bradstreet and Barone, 2012), whose
    time grows fast with the front and the number of objectives.
    """
    corner = minimised(np.asarray(reference, dtype=np.float64).reshape(1, -1), directions)[0]
    array = minimised(np.asarray(points, dtype=np.float64).reshape(-1, len(corner)), directions)
    array = array[(array < corner).all(axis=1)]
    return _volume(np.unique(array[pareto_front(array)], axis=0), corner)


def _volume(front: Floats, corner: Floats) -> float:
    """Volume of distinct points, none dominating another, all better than `corner`; in lexicographic order."""
    if len(front) == 0:
        return 0.0
    if len(front) == 1:
        return float(np.prod(corner - front[0]))
    if front.shape[1] == 2:
        return _area(front, corner)
    if front.shape[1] == 3:
        return _slabs(front, corner)
    return sum(_exclusive(front[i], front[i + 1 :], corner) for i in range(len(front)))


def _area(front: Floats, corner: Floats) -> float:
    """In ascending order of the first objective the second descends: one rectangle a point."""
    above = np.concatenate(([corner[1]], front[:-1, 1]))
    return float(((corner[0] - front[:, 0]) * (above - front[:, 1])).sum())


def _slabs(front: Floats, corner: Floats) -> float:
    """The area that the points up to each value of the first objective dominate, times the way to the next value."""
    ends = [*front[1:, 0].tolist(), float(corner[0])]
    y_end, z_end = float(corner[1]), float(corner[2])
    stairs, total = _Staircase(), 0.0
    for (x, y, z), end in zip(front.tolist(), ends, strict=True):
        stairs.add(y, z)
        if end > x:
            total += (end - x) * _under(stairs, y_end, z_end)
    return total


def _under(stairs: _Staircase, y_end: float, z_end: float) -> float:
    """Area between a staircase and the corner (y_end, z_end)."""
    first, second = np.array(stairs.first), np.array(stairs.second)
    above = np.concatenate(([z_end], second[:-1]))
    return float(((y_end - first) * (above - second)).sum())


def _exclusive(point: Floats, others: Floats, corner: Floats) -> float:
    """Volume that `point` dominates and none of `others` does."""
    own = float(np.prod(corner - point))
    if len(others) == 0:
        return own
    limited = np.maximum(others, point)
    return own - _volume(np.unique(limited[pareto_front(limited)], axis=0), corner)


def worst_of(values: npt.ArrayLike, directions: Sequence[Direction] | None = None) -> Floats:
    """The worst finite value of each objective among all points: the reference that needs no choice.

    Points that are the worst in an objective add nothing to a volume up to it. Raises ValueError without a point
    whose objectives are all finite.
    """
    array: Floats = np.array(values, dtype=np.float64, ndmin=2)
    turned = minimised(array, directions)
    finite: Bools = np.all(np.isfinite(turned), axis=1)
    if not finite.any():
        raise ValueError("no point has finite objectives")
    at = np.argmax(np.where(finite[:, None], turned, -np.inf), axis=0)
    worst: Floats = array[at, np.arange(array.shape[1])]
    return worst


@dataclass(frozen=True, slots=True)
class Progress:
    """The hypervolume after a number of evaluated points."""

    points: int
    volume: float


def hypervolume_over_time(
    values: npt.ArrayLike, reference: npt.ArrayLike, directions: Sequence[Direction] | None = None
) -> list[Progress]:
    """The hypervolume after each point (points, objectives), in the order they were evaluated, that raised it.

    Adds up exclusive volumes: each improvement costs one volume of the front so far. The first entry is of 0 points,
    the last of all.
    """
    array = minimised(values, directions)
    corner = minimised(np.asarray(reference, dtype=np.float64).reshape(1, -1), directions)[0]
    steps, total = [Progress(0, 0.0)], 0.0
    front: Floats = np.empty((0, array.shape[1]))
    for i in _improving(array, corner):
        gained = _exclusive(array[i], front, corner)
        front = front[~_dominated(front, array[i : i + 1])]
        front = np.concatenate((front, array[i : i + 1]))
        total += gained
        steps.append(Progress(i + 1, total))
    return [*steps, Progress(len(array), total)] if steps[-1].points < len(array) else steps


def _improving(array: Floats, corner: Floats) -> Iterator[int]:
    """Places of the points that no earlier one is as good as, among those better than `corner`."""
    front: Floats = np.empty((0, array.shape[1]))
    inside: Bools = np.all(array < corner, axis=1)
    for start in range(0, len(array), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(array)))
        block = block[inside[block]]
        block = block[~_weakly_dominated(array[block], front)]
        for i in _first_of_their_kind(array, block):
            yield i
            front = np.concatenate((front[~_dominated(front, array[i : i + 1])], array[i : i + 1]))


def _weakly_dominated(array: Floats, by: Floats) -> Bools:
    lost: Bools = np.zeros(len(array), dtype=bool)
    for point in by:
        lost |= np.all(array >= point, axis=1)
    return lost


def _first_of_their_kind(array: Floats, block: Iterable[int]) -> Iterator[int]:
    """Of some places in order, those that none before them weakly dominates."""
    left = np.fromiter(block, dtype=np.int64)
    while len(left):
        first, left = int(left[0]), left[1:]
        yield first
        left = left[~(array[left] >= array[first]).all(axis=1)]
