"""Sensitivity indices against functions whose indices are known in closed form, and against the definition by loops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from hwsim.sweep.sensitivity import Sensitivity, levels_of, sensitivity

A, B = 7.0, 0.1
Indices = Mapping[str, tuple[float, float]]


def ishigami(x: np.ndarray) -> np.ndarray:
    """Ishigami and Homma (1990), on [-pi, pi] cubed."""
    return np.sin(x[:, 0]) + A * np.sin(x[:, 1]) ** 2 + B * x[:, 2] ** 4 * np.sin(x[:, 0])


def ishigami_indices() -> dict[str, tuple[float, float]]:
    """Its first and total indices, integrated by hand."""
    v1 = 0.5 * (1 + B * math.pi**4 / 5) ** 2
    v2 = A**2 / 8
    v13 = B**2 * math.pi**8 * (1 / 18 - 1 / 50)
    v = v1 + v2 + v13
    return {"x0": (v1 / v, (v1 + v13) / v), "x1": (v2 / v, v2 / v), "x2": (0.0, v13 / v)}


def sobol_g(x: np.ndarray, a: Sequence[float]) -> np.ndarray:
    """Sobol's g function on the unit cube."""
    return np.prod([(np.abs(4 * x[:, i] - 2) + c) / (1 + c) for i, c in enumerate(a)], axis=0)


def sobol_g_indices(a: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Its indices: independent factors of mean 1 and variance 1 / (3 (1 + a)^2)."""
    v = [1 / (3 * (1 + c) ** 2) for c in a]
    whole = math.prod(1 + x for x in v) - 1
    return {f"x{i}": (x / whole, x * math.prod(1 + o for j, o in enumerate(v) if j != i) / whole)
            for i, x in enumerate(v)}  # fmt: skip


def columns(x: np.ndarray) -> dict[str, list[float]]:
    return {f"x{i}": x[:, i].tolist() for i in range(x.shape[1])}


def by_key(found: Sequence[Sensitivity]) -> dict[str, tuple[float, float]]:
    return {s.key: (s.first, s.total) for s in found}


def by_definition(parameters: Mapping[str, Sequence[object]], y: Sequence[float]) -> dict[str, tuple[float, float]]:
    """The two definitions, in loops over the points."""

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    def grouped(same: Callable[[int, int], bool], i: int) -> list[float]:
        return [y[j] for j in range(len(y)) if same(i, j)]

    centre = mean(y)
    whole = mean([(v - centre) ** 2 for v in y])
    out = {}
    for key, column in parameters.items():
        others = [c for k, c in parameters.items() if k != key]
        first = mean([(mean(grouped(lambda i, j, c=column: c[i] == c[j], i)) - centre) ** 2 for i in range(len(y))])
        total = 0.0
        for i in range(len(y)):
            group = grouped(lambda i, j, o=others: all(c[i] == c[j] for c in o), i)
            total += mean([(v - mean(group)) ** 2 for v in group]) / len(y)
        out[key] = (first / whole, total / whole)
    return out


def assert_near(found: Indices, wanted: Indices, by: float) -> None:
    assert set(found) == set(wanted)
    for key, (first, total) in wanted.items():
        assert found[key] == (pytest.approx(first, abs=by), pytest.approx(total, abs=by)), key


# --- grids ------------------------------------------------------------------------------------------------------


def test_a_fine_grid_of_ishigami_has_its_indices() -> None:
    axis = (np.arange(60) + 0.5) / 60 * 2 * np.pi - np.pi
    x = np.array(list(itertools.product(axis, repeat=3)))
    assert_near(by_key(sensitivity(columns(x), ishigami(x), sampled=False)), ishigami_indices(), 2e-3)


def test_a_fine_grid_of_sobols_g_has_its_indices() -> None:
    a, axis = (0.0, 1.0, 4.5, 9.0), (np.arange(20) + 0.5) / 20
    x = np.array(list(itertools.product(axis, repeat=4)))
    assert_near(by_key(sensitivity(columns(x), sobol_g(x, a), sampled=False)), sobol_g_indices(a), 5e-3)


@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_grids_follow_the_definition_with_and_without_holes(holes: float) -> None:
    rng = np.random.default_rng(4)
    points = [
        p for p in itertools.product((1, 2, 4), ("dense", "csc"), (True, False), (0.5, None)) if rng.random() >= holes
    ]
    parameters = {key: [p[i] for p in points] for i, key in enumerate("abcd")}
    y = rng.random(len(points)).tolist()
    assert_near(by_key(sensitivity(parameters, y, sampled=False)), by_definition(parameters, y), 1e-12)


def test_an_additive_figure_splits_its_variance_and_a_product_shares_it() -> None:
    points = list(itertools.product((-1, 1), (-2, 2), (0, 1)))
    parameters = {key: [p[i] for p in points] for i, key in enumerate("abc")}
    additive = by_key(sensitivity(parameters, [p[0] + p[1] for p in points], sampled=False))
    assert_near(additive, {"a": (0.2, 0.2), "b": (0.8, 0.8), "c": (0, 0)}, 1e-12)
    product = by_key(sensitivity(parameters, [p[0] * p[1] for p in points], sampled=False))
    assert_near(product, {"a": (0, 1), "b": (0, 1), "c": (0, 0)}, 1e-12)


def test_the_largest_comes_first_and_nothing_varies_in_a_constant() -> None:
    parameters = {"a": [1, 1, 2, 2], "b": [1, 2, 1, 2]}
    assert [s.key for s in sensitivity(parameters, [0, 5, 1, 6], sampled=False)] == ["b", "a"]
    assert by_key(sensitivity(parameters, [3, 3, 3, 3], sampled=True)) == {"a": (0, 0), "b": (0, 0)}
    assert sensitivity({}, [1, 2], sampled=False) == []


def test_levels_keep_booleans_and_absent_values_apart() -> None:
    assert levels_of([None, True, 1, 1.0, "1", False]).tolist() == [0, 2, 3, 3, 4, 1]


# --- samples ----------------------------------------------------------------------------------------------------


def test_a_sample_of_ishigami_comes_near_its_indices() -> None:
    x = np.random.default_rng(5).uniform(-np.pi, np.pi, (16384, 3))
    found = by_key(sensitivity(columns(x), ishigami(x), sampled=True))
    print({k: (round(f, 3), round(t, 3)) for k, (f, t) in found.items()})
    assert_near(found, ishigami_indices(), 0.06)


def test_a_sample_of_a_grid_comes_near_the_grid() -> None:
    rng = np.random.default_rng(6)
    points = list(itertools.product(range(8), ("p", "q", "r"), range(5), (False, True)))
    score = {"p": 0.0, "q": 3.0, "r": 4.0}

    def indices(chosen: Sequence[tuple[int, str, int, bool]], sampled: bool) -> dict[str, tuple[float, float]]:
        parameters = {key: [p[i] for p in chosen] for i, key in enumerate("abcd")}
        y = [p[0] * (1 + p[3]) + score[p[1]] for p in chosen]
        return by_key(sensitivity(parameters, y, sampled))

    drawn = [points[i] for i in rng.integers(0, len(points), 3000)]
    assert_near(indices(drawn, True), indices(points, False), 0.06)


def test_a_parameter_that_does_nothing_explains_nothing_by_chance() -> None:
    rng = np.random.default_rng(7)
    x = rng.random((500, 2))
    found = by_key(sensitivity(columns(x), x[:, 0], sampled=True))
    assert found["x1"][0] < 0.03 and found["x1"][1] < 0.01 and found["x0"][0] > 0.97
