"""Fronts and hypervolumes against slow obvious twins, sampling, and shapes whose volume is known."""

from __future__ import annotations

import itertools
import math
import os
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.sweep.pareto import Front, hypervolume, hypervolume_over_time, minimised, pareto_front, worst_of
from hwsim.sweep.study import Direction

DEEP = bool(os.environ.get("HWSIM_DEEP"))
MIN, MAX = Direction.MINIMIZE, Direction.MAXIMIZE
FEW = (-math.inf, -1.0, 0.0, 1.0, 2.0, 3.0, math.inf, math.nan)


def tables(cells: st.SearchStrategy[float], rows: int) -> st.SearchStrategy[list[list[float]]]:
    """Up to `rows` points of one to five objectives."""
    return st.integers(1, 5).flatmap(lambda k: st.lists(st.lists(cells, min_size=k, max_size=k), max_size=rows))


def dominates(a: list[float], b: list[float]) -> bool:
    """The definition, for objectives to minimise."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def slow_front(points: list[list[float]]) -> list[bool]:
    """Every point against every other."""
    return [not any(math.isnan(x) for x in p) and not any(dominates(q, p) for q in points) for p in points]


def slow_volume(points: np.ndarray, corner: np.ndarray) -> float:
    """The cells of the grid through all coordinates that some point dominates."""
    axes = [sorted({*points[:, k].clip(max=corner[k]).tolist(), float(corner[k])}) for k in range(points.shape[1])]
    total = 0.0
    for cell in itertools.product(*(range(len(a) - 1) for a in axes)):
        low = np.array([axes[k][i] for k, i in enumerate(cell)])
        if (points <= low).all(axis=1).any():
            total += math.prod(axes[k][i + 1] - axes[k][i] for k, i in enumerate(cell))
    return total


def clouds(rng: np.random.Generator, n: int, k: int) -> dict[str, np.ndarray]:
    """Shapes that stress different parts: nothing dominated, much dominated, ties, correlated objectives."""
    sphere = np.abs(rng.normal(size=(n, k)))
    base = rng.random((n, 1))
    return {
        "uniform": rng.random((n, k)),
        "sphere": 1 - sphere / np.linalg.norm(sphere, axis=1, keepdims=True),
        "ties": rng.integers(0, 5, (n, k)).astype(float),
        "correlated": base + 0.1 * rng.random((n, k)),
        "equal": np.ones((n, k)),
    }


# --- fronts -----------------------------------------------------------------------------------------------------


@settings(max_examples=400 if DEEP else 150, deadline=None)
@given(
    st.integers(1, 5).flatmap(lambda k: st.lists(st.lists(st.sampled_from(FEW), min_size=k, max_size=k), max_size=30))
)
def test_the_front_is_what_nothing_dominates(points: list[list[float]]) -> None:
    values = np.array(points).reshape(len(points), -1) if points else np.empty((0, 2))
    assert pareto_front(values).tolist() == slow_front(points)


def test_large_fronts_equal_the_slow_twin() -> None:
    rng, compared = np.random.default_rng(3), 0
    for k in (1, 2, 3, 4, 6):
        for name, points in clouds(rng, 1500, k).items():
            twin = [not ((points <= p).all(axis=1) & (points < p).any(axis=1)).any() for p in points]
            assert pareto_front(points).tolist() == twin, (k, name)
            compared += len(points)
    print(f"{compared} points compared with the slow twin")


def test_directions_turn_objectives_round() -> None:
    points = np.random.default_rng(1).random((300, 3))
    turned = points * [1, -1, 1]
    assert (pareto_front(turned, (MIN, MAX, MIN)) == pareto_front(points)).all()
    assert (minimised([[1.0, 2.0]], (MAX, MIN)) == [[-1.0, 2.0]]).all()
    with pytest.raises(ValueError, match="2 directions for 3 objectives"):
        pareto_front(points, (MIN, MAX))


def test_equal_points_are_on_the_front_together() -> None:
    assert pareto_front([[1, 2], [1, 2], [2, 1], [2, 2], [2, 2]]).tolist() == [True, True, True, False, False]


def test_a_dominated_point_is_lost_even_where_a_sum_rounds_to_a_tie() -> None:
    tiny = np.nextafter(1.0, 2.0)
    points = [[1e16, 1.0, 1.0, 1.0], [1e16, tiny, 1.0, 1.0]]
    assert pareto_front(points).tolist() == [True, False]


@pytest.mark.parametrize("k", [2, 3, 5])
def test_a_stream_ends_at_the_front_of_the_whole(k: int) -> None:
    rng = np.random.default_rng(k)
    for points in clouds(rng, 900, k).values():
        whole = np.flatnonzero(pareto_front(points))
        keys = np.arange(len(points))
        for size in (1 if k == 2 else 7, 100, 900):
            front, order = Front([MIN] * k), rng.permutation(len(points))
            for start in range(0, len(points), size):
                part = order[start : start + size]
                front.update(points[part], keys[part])
            assert front.keys.tolist() == whole.tolist() and len(front) == len(whole)
            assert (front.values == points[whole]).all()


def test_the_front_of_many_points() -> None:
    rng = np.random.default_rng(0)
    n = 1_000_000 if DEEP else 200_000
    for k in (2, 3, 4):
        points = rng.random((n, k))
        start = time.process_time()
        size = int(pareto_front(points).sum())
        spent = time.process_time() - start
        print(f"{n:,} points, {k} objectives: front of {size:,} in {spent:.2f} s")
        assert 0 < size < n


# --- hypervolume ------------------------------------------------------------------------------------------------


@settings(max_examples=300 if DEEP else 80, deadline=None)
@given(tables(st.integers(0, 6), 7))
def test_the_volume_is_that_of_the_dominated_cells(points: list[list[int]]) -> None:
    k = len(points[0]) if points else 2
    array, corner = np.array(points, dtype=float).reshape(-1, k), np.full(k, 5.0)
    assert hypervolume(array, corner) == pytest.approx(slow_volume(array, corner), abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_the_volume_agrees_with_sampling(k: int) -> None:
    rng = np.random.default_rng(k)
    points = clouds(rng, 40, k)["sphere"]
    shots = rng.random((100_000, k))
    hit = np.zeros(len(shots), dtype=bool)
    for p in points:
        hit |= (shots >= p).all(axis=1)
    share = float(hit.mean())
    sigma = math.sqrt(share * (1 - share) / len(shots))
    exact = hypervolume(points, np.ones(k))
    print(f"{k} objectives: exact {exact:.4f}, sampled {share:.4f} +- {sigma:.4f}")
    assert abs(exact - share) < 5 * sigma


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_known_volumes(k: int) -> None:
    assert hypervolume([[0.0] * k], [2.0] * k) == 2.0**k
    assert hypervolume(np.empty((0, k)), [1.0] * k) == 0.0
    assert hypervolume([[1.0] * k, [3.0] * k], [1.0] * k) == 0.0
    # k slabs of thickness 1/2 out of the unit cube leave a cube of side 1/2.
    assert hypervolume(np.eye(k) * 0.5, np.ones(k)) == pytest.approx(1 - 0.5**k)
    assert hypervolume([[1.0] * k], [0.0] * k, [MAX] * k) == 1.0


def test_more_points_never_dominate_less_and_the_order_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    for k in (2, 3, 4):
        points = rng.random((30, k))
        volumes = [hypervolume(points[:n], np.ones(k)) for n in range(31)]
        assert all(a <= b + 1e-12 for a, b in itertools.pairwise(volumes))
        assert hypervolume(points[rng.permutation(30)], np.ones(k)) == pytest.approx(volumes[-1])


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_over_time_is_the_volume_of_every_beginning(k: int) -> None:
    points = np.random.default_rng(k).integers(0, 12, (150, k)).astype(float)
    reference = worst_of(points)
    steps = hypervolume_over_time(points, reference)
    assert steps[0].points == 0 and steps[-1].points == 150
    known = {s.points: s.volume for s in steps}
    volume = 0.0
    for n in range(151):
        volume = known.get(n, volume)
        assert volume == pytest.approx(hypervolume(points[:n], reference), abs=1e-6), n


def test_over_time_with_directions_and_useless_points() -> None:
    steps = hypervolume_over_time([[1, 1], [math.nan, 5], [2, 2], [2, 2], [0, 9]], [0, 0], [MAX, MAX])
    assert [(s.points, s.volume) for s in steps] == [(0, 0.0), (1, 1.0), (3, 4.0), (5, 4.0)]


def test_the_worst_of_each_objective() -> None:
    values = [[1, 5], [2, 3], [math.inf, 9], [math.nan, 1]]
    assert worst_of(values).tolist() == [2, 5]
    assert worst_of(values, [MAX, MIN]).tolist() == [1, 5]
    with pytest.raises(ValueError, match="finite"):
        worst_of([[math.nan, 1]])
