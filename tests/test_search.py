"""Searches by point number against SciPy and by their own promises; Optuna's; and real studies at equal cost."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, qmc

from hwsim.errors import InputError
from hwsim.sweep.proposer import Proposer, Trial, axes
from hwsim.sweep.sampling import UNSCRAMBLED, uniforms
from hwsim.sweep.search import METHODS, THROUGH_OPTUNA, proposer_of, top_rung
from hwsim.sweep.space import Space, axes_of
from hwsim.sweep.study import Assignment, Objective, Parameter, Study
from hwsim.testing.workers import simulate

ROOT = Path(__file__).resolve().parent.parent
DEEP = os.environ.get("HWSIM_DEEP") == "1"
MIXED = (
    Parameter("x", low=-1, high=1),
    Parameter("clock", low=100_000, high=1_000_000, log=True),
    Parameter("macs", values=(256, 512, 1024, 2048)),
    Parameter("weight_format", values=("dense", "csc", "sa_rcsc")),
    Parameter("sets", low=8, high=64, step=8),
)
LISTED = (Parameter("macs", values=(1, 2, 4, 8)), Parameter("kind", values=("a", "b", "c")))


def study_of(method: str, parameters: Sequence[Parameter] = MIXED, **changes: Any) -> Study:
    given = {"budget": 60, "seed": 3, "objectives": (Objective("energy_j"),)} | changes
    if method in ("asha", "halving"):
        given = {"options": {"resource": "m", "min": 1, "max": 16, "eta": 4}} | given
    return Study("study", "", ("optimus",), ("transformer-base",), tuple(parameters), method=method, **given)


def search(study: Study) -> Proposer:
    return proposer_of(study, Space(study))


# --- points by number ---------------------------------------------------------------------------------------------


def test_sobol_is_scipys_in_64_dimensions(deep: bool) -> None:
    count = 1 << (16 if deep else 12)
    expected = qmc.Sobol(64, scramble=False, bits=32).random(count)
    assert np.array_equal(uniforms(UNSCRAMBLED, 0, 64, 0, count), expected)
    high = 1 << (31 if deep else 20)
    far = qmc.Sobol(64, scramble=False, bits=32).fast_forward(high).random(64)
    assert np.array_equal(uniforms(UNSCRAMBLED, 0, 64, high, high + 64), far)
    print(f"Sobol points equal to SciPy's: {64 * (count + 64)} coordinates")


def intervals_hold_one_each(points: np.ndarray[Any, Any], shape: Sequence[int]) -> bool:
    cells = {tuple(int(x * 2**k) for x, k in zip(row, shape, strict=True)) for row in points}
    return len(cells) == len(points)


@pytest.mark.parametrize("seed", range(3))
def test_scrambling_keeps_the_net(seed: int) -> None:
    """The first two Sobol coordinates are a (0, m, 2)-net: of 2^m points, every box of area 2^-m holds one."""
    for m in range(1, 9):
        for block in (0, 1, 5):
            points = uniforms("sobol", seed, 2, block << m, (block + 1) << m)
            assert all(intervals_hold_one_each(points, (k, m - k)) for k in range(m + 1))
    points = uniforms("sobol", seed, 64, 0, 1 << 10)
    assert all(intervals_hold_one_each(points[:, d : d + 1], (10,)) for d in range(64))


def test_scrambled_points_are_as_even_as_scipys() -> None:
    ours = [qmc.discrepancy(uniforms("sobol", seed, 8, 0, 256)) for seed in range(20)]
    scipys = [qmc.discrepancy(qmc.Sobol(8, seed=seed).random(256)) for seed in range(20)]
    at_random = [qmc.discrepancy(uniforms("random", seed, 8, 0, 256)) for seed in range(20)]
    print(f"discrepancy: ours {np.mean(ours):.3g}, SciPy's {np.mean(scipys):.3g}, random {np.mean(at_random):.3g}")
    assert np.mean(ours) == pytest.approx(np.mean(scipys), rel=0.1)
    assert np.mean(ours) < np.mean(at_random) / 4


def test_owen_scrambling_is_uniform_and_unbiased() -> None:
    """One point over many seeds is uniform in every coordinate; a smooth integral's error falls faster than 1/n."""
    first = np.array([uniforms("sobol", seed, 4, 5, 6)[0] for seed in range(2000)])
    assert all(kstest(first[:, d], "uniform").pvalue > 1e-3 for d in range(4))
    assert np.abs(np.corrcoef(first.T) - np.eye(4)).max() < 0.1

    def error(n: int) -> float:
        means = [np.prod(1.5 * np.sqrt(uniforms("sobol", seed, 3, 0, n)), axis=1).mean() for seed in range(40)]
        return float(np.sqrt(np.mean((np.array(means) - 1) ** 2)))

    assert error(1024) < error(64) / 16


def test_random_points_are_uniform_and_independent() -> None:
    points = uniforms("random", 11, 5, 0, 20_000)
    assert all(kstest(points[:, d], "uniform").pvalue > 1e-3 for d in range(5))
    assert np.abs(np.corrcoef(points.T) - np.eye(5)).max() < 0.03
    assert np.abs(np.corrcoef(points[:-1, 0], points[1:, 0])[0, 1]) < 0.03
    words = np.random.Philox(key=0, counter=0).random_raw(4)
    assert len(set(words)) == 4
    assert points.min() >= 0 and points.max() < 1


@given(st.sampled_from(["random", "sobol"]), st.integers(), st.integers(0, 12), st.data())
def test_a_point_depends_on_its_number_alone(method: str, seed: int, dimensions: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, 1 << 31))
    cuts = sorted({start, *data.draw(st.lists(st.integers(start, start + 200), max_size=5)), start + 200})
    whole = uniforms(method, seed, dimensions, start, start + 200)
    pieces = [uniforms(method, seed, dimensions, a, b) for a, b in itertools.pairwise(cuts)]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert whole.shape == (200, dimensions)


def test_seeds_differ_in_every_bit() -> None:
    seeds = [0, 1, -1, 1 << 32, 1 << 64, 1 << 128, (1 << 128) + 1]
    for method in ("random", "sobol"):
        drawn = {uniforms(method, seed, 3, 0, 4).tobytes() for seed in seeds}
        assert len(drawn) == len(seeds)


def test_where_the_sobol_table_ends() -> None:
    with pytest.raises(InputError, match="at most 64 parameters"):
        uniforms("sobol", 0, 65, 0, 1)
    with pytest.raises(InputError, match=r"end after 2\^32 points"):
        uniforms("sobol", 0, 2, (1 << 32) - 1, (1 << 32) + 1)
    assert uniforms("sobol", 0, 2, (1 << 32) - 1, 1 << 32).shape == (1, 2)


# --- every method -------------------------------------------------------------------------------------------------


def value_of(trial: Trial) -> tuple[float, ...] | None:
    """A made-up figure of an assignment, the same every time; one in ten is infeasible."""
    own = random.Random(json.dumps(dict(trial.assignment), sort_keys=True))
    return None if own.random() < 0.1 else (own.random() + float(trial.assignment.get("x", 0)) ** 2,)


def drive(proposer: Proposer, workers: int, seed: int = 0) -> list[tuple[Trial, tuple[float, ...] | None]]:
    done = simulate(proposer, workers, lambda t: (random.Random(f"{seed} {t.id} {t.rung}").random(), value_of(t)))
    return sorted(((d.trial, value_of(d.trial)) for d in done), key=lambda p: (p[0].id, p[0].rung))


@pytest.mark.parametrize("method", METHODS)
def test_one_worker_and_one_seed_are_one_search(method: str) -> None:
    parameters = LISTED if method == "grid" else MIXED
    runs = [drive(search(study_of(method, parameters)), 1, seed) for seed in (0, 1)]
    assert runs[0] == runs[1]
    assert 0 < len(runs[0]) <= 60
    if method != "grid":
        assert runs[0] != drive(search(study_of(method, parameters, seed=4)), 1)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "asha"])
def test_workers_do_not_change_which_trials_run(method: str) -> None:
    """All but ASHA, which decides by what is known when a worker is free."""
    parameters = LISTED if method == "grid" else MIXED
    study = study_of(method, parameters)
    one = drive(search(study), 1)
    for workers, seed in ((2, 0), (4, 1), (8, 2), (50, 3)):
        assert drive(search(study), workers, seed) == one


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_search_goes_on(method: str) -> None:
    """State goes through JSON; what was out comes first; the rest is what would have come."""
    study = study_of(method, LISTED if method == "grid" else MIXED)
    whole = drive(search(study), 1)
    for cut in (0, 1, 5, 8, 11, 30):
        first, ran = search(study), []
        for _ in range(cut):
            trial = first.ask()
            if trial is not None:
                ran.append((trial, value_of(trial)))
                first.tell(*ran[-1])
        lost = first.ask()
        second = search(study)
        second.restore(json.loads(json.dumps(first.state())))
        assert second.state() == json.loads(json.dumps(first.state()))
        again = second.ask()
        assert again == lost
        if again is not None:
            ran.append((again, value_of(again)))
            second.tell(*ran[-1])
        assert sorted(ran + drive(second, 1), key=lambda p: (p[0].id, p[0].rung)) == whole


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_that_is_not_out_cannot_be_told(method: str) -> None:
    proposer = search(study_of(method, LISTED if method == "grid" else MIXED))
    with pytest.raises(ValueError, match="is not out"):
        proposer.tell(Trial(0, {}), (1.0,))


@pytest.mark.parametrize("method", [m for m in METHODS if m != "grid"])
def test_budgets(method: str) -> None:
    with pytest.raises(InputError, match="needs a number of points to stop after"):
        search(study_of(method, budget=0))
    with pytest.raises(InputError, match=r"options.colour: got 3; the method \w+ has no such option"):
        search(study_of(method, options={"colour": 3}))


def test_a_grid_is_every_point_once_or_its_first() -> None:
    points = [tuple(t.assignment.values()) for t, _ in drive(search(study_of("grid", LISTED, budget=0)), 3)]
    assert points == list(itertools.product((1, 2, 4, 8), ("a", "b", "c")))
    assert len(drive(search(study_of("grid", LISTED, budget=5)), 1)) == 5


def test_the_rung_that_answers() -> None:
    assert [top_rung(study_of(method)) for method in METHODS] == [2 if m in ("asha", "halving") else 0 for m in METHODS]
    assert top_rung(study_of("asha", options={"rungs": ["closed", "events"]})) == 1
    with pytest.raises(InputError, match="a fidelity is one of closed, events"):
        top_rung(study_of("asha", options={"rungs": ["rtl"]}))


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(InputError) as error:
        search(study_of("bayes"))
    assert str(error.value) == (
        "[unknown-method] method: got 'bayes'; must be one of grid, random, sobol, asha, halving, tpe, nsgaii, nsgaiii,"
        " cmaes."
    )


def test_axes_are_the_spaces_own() -> None:
    study = replace(study_of("random"), accelerators=("optimus", "optimus-baseline"), workloads=("a", "b"))
    assert [a.key for a in axes(study)] == [a.key for a in axes_of(study)]


def test_choosing_a_method_imports_neither_numpy_nor_optuna() -> None:
    code = "import sys, hwsim.sweep.search; print([m for m in ('numpy', 'optuna', 'numba') if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


# --- Optuna -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", THROUGH_OPTUNA)
def test_samplers_learn(method: str) -> None:
    """On a bowl, each ends better than random points do at the same number of trials, in the median of seeds."""
    bowl = tuple(Parameter(name, low=-1, high=1) for name in "abcd")

    def bests(chosen: str) -> list[float]:
        out = []
        for seed in range(5):
            done = simulate(
                search(study_of(chosen, bowl, budget=150, seed=seed)), 4, lambda t: (1.0, (dome(t.assignment),))
            )
            out.append(min(d.values[0] for d in done if d.values))
        return out

    assert np.median(bests(method)) < np.median(bests("random"))


def dome(assignment: Assignment) -> float:
    return sum((float(v) - 0.3) ** 2 for v in assignment.values())


def test_several_objectives() -> None:
    two = (Objective("energy_j"), Objective("latency_s"))
    study = study_of("nsgaii", budget=100, objectives=two)
    done = simulate(search(study), 4, lambda t: (1.0, (float(t.assignment["x"]), -float(t.assignment["x"]))))
    assert len(done) == 100
    with pytest.raises(InputError, match="the method cmaes improves one objective"):
        search(study_of("cmaes", objectives=two))


def test_without_waiting_every_worker_is_busy() -> None:
    study = study_of("tpe", budget=64, options={"batch": 0})
    done = simulate(search(study), 16, lambda t: (1 + random.Random(t.id).random(), value_of(t)))
    last_start = max(d.start_s for d in done)
    for worker in range(16):
        mine = sorted((d for d in done if d.worker == worker), key=lambda d: d.start_s)
        assert all(a.end_s == b.start_s for a, b in itertools.pairwise(mine)) and mine[-1].end_s >= last_start


@pytest.mark.parametrize(("method", "package"), [("tpe", "optuna"), ("cmaes", "optuna"), ("cmaes", "cmaes")])
def test_a_missing_package_is_one_clear_error(method: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError) as error:
        search(study_of(method))
    assert str(error.value) == (
        f"[missing-package] method: got '{method}'; this method needs the package {package}, which is not installed. "
        "Run: pip install 'hwsim[search]'."
    )


# --- real studies at equal cost -----------------------------------------------------------------------------------


def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_search", ROOT / "benchmarks" / "search.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_search"] = module
    spec.loader.exec_module(module)
    return module


def smaller(module: ModuleType, name: str, deep: bool) -> Any:
    """The case as it is, or with a shorter ladder of the same steps, which costs an eighth of the evaluations."""
    case = module.CASES[name]
    if deep:
        return case
    options = {**case.study.options, "max": case.study.options["min"] * 16}
    return replace(case, study=replace(case.study, options=options), costs=case.costs[:3], bracket=16)


@pytest.mark.parametrize("name", ["translation", "generation"] if DEEP else ["translation"])
def test_asha_beats_random_and_synchronous_halving_at_equal_cost(name: str, deep: bool) -> None:
    module = benchmark()
    case = smaller(module, name, deep)
    workers, tops = (16, 80) if deep else (8, 24)
    curves = module.compare(case, 20, module.Evaluator(case), workers, tops)
    median = np.median(module.ends(curves["asha"]))
    print(f"{name}, {workers} workers, 20 seeds: median of asha {median:.5g}")
    for v in module.verdicts(curves):
        print(f"  {v.other}: {v.median / median - 1:+.1%}; asha better {v.wins}, equal {v.ties}, worse {v.losses}; "
              f"p = {v.p:.2g}")  # fmt: skip
        if v.other in ("random", "halving"):
            assert v.p < 0.05
            assert v.wins > v.losses
    assert math.isfinite(float(median))
