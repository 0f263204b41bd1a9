"""ASHA against a literal transcription of the published rule with 1 to 500 simulated workers; and what always holds."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import InputError
from hwsim.sweep.asha import Asha, Halving
from hwsim.sweep.proposer import Listed, Proposer, Trial
from hwsim.sweep.search import proposer_of
from hwsim.sweep.study import Assignment, Direction, Objective, Parameter, Study
from hwsim.testing.workers import Done, simulate


class Cube:
    """A space of floats, or of a few listed values."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self._parameters = parameters

    @property
    def size(self) -> int:
        return math.prod(max(len(p.values), 1) for p in self._parameters)

    def at(self, index: int) -> Assignment:
        point: dict[str, Any] = {}
        for p in reversed(self._parameters):
            index, within = divmod(index, len(p.values))
            point[p.key] = p.values[within]
        return dict(reversed(point.items()))

    def sample(self, u: Sequence[float]) -> Assignment:
        return {
            p.key: p.values[int(x * len(p.values))] if p.values else p.low + x * (p.high - p.low)
            for p, x in zip(self._parameters, u, strict=True)
        }


FLOATS = (Parameter("x", low=0, high=1), Parameter("y", low=0, high=1))


def study_of(parameters: Sequence[Parameter] = FLOATS, **changes: Any) -> Study:
    given = {"method": "asha", "budget": 400, "seed": 1, "objectives": (Objective("energy_j"),),
             "options": {"resource": "m", "min": 1, "max": 64, "eta": 4}}  # fmt: skip
    return Study("study", "", ("optimus",), ("transformer-base",), tuple(parameters), **(given | changes))


def asha_of(study: Study) -> Asha:
    return Asha(study, Cube(study.parameters))


def chance(*what: object) -> float:
    """A number in [0, 1) that is a function of what it is for."""
    return int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=7).digest(), "little") / (1 << 56)


class Cluster:
    """Simulated evaluation: noisy times with stragglers, losses whose noise shrinks with the rung, and dropped jobs."""

    def __init__(self, seed: int, *, stragglers: float = 0.5, dropped: float = 0.05, levels: int = 0) -> None:
        self._seed, self._stragglers, self._dropped, self._levels = seed, stragglers, dropped, levels

    def __call__(self, trial: Trial) -> tuple[float, Sequence[float] | None]:
        seed = (self._seed, trial.id, trial.rung)
        slow = 1 + self._stragglers * abs(random.Random(f"{seed} time").gauss(0, 1))
        loss = chance(self._seed, trial.id) + 0.5 / trial.resource * chance(seed, "noise")
        if self._levels:
            loss = float(int(loss * self._levels))
        return trial.resource * slow, None if chance(seed, "dropped") < self._dropped else (loss,)


def plain(done: Sequence[Done]) -> list[tuple[int, int, float, int, float]]:
    return [(d.trial.id, d.trial.rung, d.trial.resource, d.worker, d.end_s) for d in done]


# --- the published rule, slow and literal -------------------------------------------------------------------------


class Published:
    """Algorithm 2 of Li et al., MLSys 2020, line by line: every rung is sorted anew for every question."""

    def __init__(self, study: Study, r: float, R: float, eta: int, s: int) -> None:
        self._r, self._eta, self._s, self._left = r, eta, s, study.budget
        self._top = round(math.log(R / r, eta)) - s
        self._rungs: list[dict[int, float]] = [{} for _ in range(self._top + 1)]
        self._promoted: list[set[int]] = [set() for _ in range(self._top + 1)]
        self._theta: list[Assignment] = []
        self._random = Listed("random", study, Cube(study.parameters))

    def _get_job(self) -> tuple[int, int]:
        for k in range(self._top - 1, -1, -1):
            ranked = sorted(self._rungs[k], key=lambda theta: (self._rungs[k][theta], theta))
            candidates = ranked[: math.floor(len(self._rungs[k]) / self._eta)]
            promotable = [t for t in candidates if t not in self._promoted[k]]
            if len(promotable) > 0:
                self._promoted[k].add(promotable[0])
                return promotable[0], k + 1
        self._theta.append(self._random[len(self._theta)])
        return len(self._theta) - 1, 0

    def ask(self) -> Trial | None:
        if not self._left:
            return None
        self._left -= 1
        theta, k = self._get_job()
        return Trial(theta, self._theta[theta], k, self._r * self._eta ** (self._s + k))

    def tell(self, trial: Trial, values: Sequence[float] | None) -> None:
        if values is not None:
            self._rungs[trial.rung][trial.id] = values[0]

    def state(self) -> dict[str, Any]:
        raise AssertionError("this twin is never stored")

    def restore(self, state: dict[str, Any]) -> None:
        raise AssertionError("this twin is never stored")


LADDERS = ((1, 64, 4, 0), (1, 81, 3, 0), (2, 64, 2, 1), (1, 256, 4, 2), (3, 3, 4, 0))


def assert_as_published(workers: int, case: int, jobs: int) -> int:
    r, R, eta, s = LADDERS[case % len(LADDERS)]
    study = study_of(budget=jobs, seed=case, options={"resource": "m", "min": r, "max": R, "eta": eta, "s": s})
    cluster = Cluster(case, stragglers=case % 3, dropped=0.1 * (case % 2), levels=5 * (case % 4 == 3))
    ours = simulate(asha_of(study), workers, cluster)
    twin = simulate(Published(study, r, R, eta, s), workers, cluster)
    assert plain(ours) == plain(twin)
    assert [d.trial.assignment for d in ours] == [d.trial.assignment for d in twin]
    return len(ours)


def test_asha_is_the_published_rule_from_1_to_500_workers(deep: bool) -> None:
    counts = range(1, 501) if deep else (1, 2, 3, 4, 7, 16, 25, 64, 100, 250, 499, 500)
    cases = 5 if deep else 4
    jobs = sum(
        assert_as_published(workers, case, 300 + 2 * workers)
        for number, workers in enumerate(counts)
        for case in range(number, number + cases)
    )
    print(f"asha against the published rule: {len(counts)} worker counts from 1 to 500, {jobs} jobs, all the same")


# --- invariants ---------------------------------------------------------------------------------------------------


class Watched:
    """ASHA with every promise checked from outside, by what was asked and told."""

    def __init__(self, study: Study, finite_space: bool = False) -> None:
        self._inner, self._study = asha_of(study), study
        self.eta = self._inner.eta
        self.top = len(self._inner.ladder) - 1
        self.jobs: set[tuple[int, int]] = set()
        self.results: list[dict[int, float]] = [{} for _ in range(self.top + 1)]
        self._space_size = Cube(study.parameters).size if finite_space else math.inf

    def promotable(self) -> bool:
        """Whether, by counting, some configuration is among the best 1/eta of its rung and not promoted."""
        return any(
            (number, k + 1) not in self.jobs
            for k in range(self.top)
            for _, number in heapq.nsmallest(
                len(self.results[k]) // self.eta, ((loss, number) for number, loss in self.results[k].items())
            )
        )

    def rank(self, number: int, k: int) -> int:
        mine = (self.results[k][number], number)
        return sum((loss, other) < mine for other, loss in self.results[k].items())

    def ask(self) -> Trial | None:
        promotable = self.promotable()
        trial = self._inner.ask()
        drawn = sum(rung == 0 for _, rung in self.jobs)
        if trial is None:
            assert len(self.jobs) == self._study.budget or (drawn == self._space_size and not promotable)
            return None
        assert (trial.id, trial.rung) not in self.jobs, "twice on a rung"
        assert (trial.rung > 0) == promotable, "promotes when it can, and only then"
        assert trial.resource <= self._study.options["max"]
        assert trial.bind == {"m": trial.resource}
        if trial.rung:
            k = trial.rung - 1
            assert self.rank(trial.id, k) < len(self.results[k]) // self.eta, "not among the best"
        self.jobs.add((trial.id, trial.rung))
        return trial

    def tell(self, trial: Trial, values: Sequence[float] | None) -> None:
        self._inner.tell(trial, values)
        if values is not None and math.isfinite(values[0]):
            self.results[trial.rung][trial.id] = values[0]

    def state(self) -> dict[str, Any]:
        return self._inner.state()

    def restore(self, state: dict[str, Any]) -> None:
        raise AssertionError("this twin is never stored")


LOSSES = st.one_of(st.none(), st.sampled_from([math.nan, math.inf]), st.integers(-3, 3).map(float))


@given(st.data(), st.integers(2, 4), st.integers(1, 12), st.booleans())
def test_promises_hold_for_any_order_of_results(data: st.DataObject, eta: int, workers: int, small: bool) -> None:
    parameters = (Parameter("x", values=(1, 2, 3)), Parameter("y", values=(True, False, "third"))) if small else FLOATS
    options = {"resource": "m", "min": 1, "max": eta**3, "eta": eta}
    watched = Watched(study_of(parameters, budget=60, options=options), finite_space=small)
    out: list[Trial] = []
    seen: dict[int, Assignment] = {}
    while True:
        while len(out) < workers and (trial := watched.ask()) is not None:
            out.append(trial)
            assert seen.setdefault(trial.id, trial.assignment) == trial.assignment
        if not out:
            break
        trial = out.pop(data.draw(st.integers(0, len(out) - 1)))
        value = data.draw(LOSSES)
        watched.tell(trial, None if value is None else (value,))
    assert len({tuple(sorted(a.items())) for a in seen.values()}) == len(seen), "a configuration was drawn twice"
    assert len(seen) == 9 or not small or len(watched.jobs) == 60


def test_workers_never_wait() -> None:
    for workers in (1, 9, 100, 500):
        done = simulate(Watched(study_of(budget=600 + workers)), workers, Cluster(workers))
        last_start = max(d.start_s for d in done)
        for worker in range(workers):
            mine = sorted((d for d in done if d.worker == worker), key=lambda d: d.start_s)
            assert mine[0].start_s == 0.0
            assert all(a.end_s == b.start_s for a, b in itertools.pairwise(mine)), "idle between two trials"
            assert mine[-1].end_s >= last_start, "idle before the budget was spent"


def test_a_rung_of_one_ladder_step_only_grows_the_bottom() -> None:
    study = study_of(options={"rungs": ["closed"]}, budget=20)
    done = simulate(asha_of(study), 3, Cluster(0))
    assert {d.trial.rung for d in done} == {0}
    assert sorted(d.trial.id for d in done) == list(range(20))


def test_maximising_is_minimising_the_negative() -> None:
    class Negative(Cluster):
        def __call__(self, trial: Trial) -> tuple[float, Sequence[float] | None]:
            duration_s, values = super().__call__(trial)
            return duration_s, values and (-values[0],)

    up = study_of(objectives=(Objective("energy_j", Direction.MAXIMIZE),))
    assert plain(simulate(asha_of(up), 5, Negative(3))) == plain(simulate(asha_of(study_of()), 5, Cluster(3)))


# --- hand-checked -------------------------------------------------------------------------------------------------


def order_by_hand(loss: Callable[[int], float]) -> list[tuple[int, int]]:
    study = study_of(budget=13, options={"resource": "m", "min": 1, "max": 9, "eta": 3})
    return [(d.trial.id, d.trial.rung) for d in simulate(asha_of(study), 1, lambda t: (1.0, (loss(t.id),)))]


def test_two_small_searches_by_hand() -> None:
    """One worker, r = 1, R = 9, eta = 3: nine on the bottom, three in the middle, one on top."""
    # Earlier is better: the best third of 0..2 is 0, of 0..5 it is 0 and 1, of 0..8 it is 0, 1, 2; of those, 0.
    assert order_by_hand(float) == [
        (0, 0), (1, 0), (2, 0), (0, 1), (3, 0), (4, 0), (5, 0), (1, 1), (6, 0), (7, 0), (8, 0), (2, 1), (0, 2)
    ]  # fmt: skip
    # Later is better: from the third on, each new one is the best of all and climbs as far as its rungs are filled.
    assert order_by_hand(lambda number: -number) == [
        (0, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2), (5, 0), (5, 1), (5, 2), (6, 0)
    ]  # fmt: skip


def test_enough_workers_reach_the_top_in_the_time_of_one_climb() -> None:
    """Nine workers and nine configurations: nobody waits, so the first at R needs 1 + 3 + 9 seconds."""
    options = {"resource": "m", "min": 1, "max": 9, "eta": 3}
    done = simulate(asha_of(study_of(budget=30, options=options)), 9, lambda t: (t.resource, (chance(t.id),)))
    assert min(d.end_s for d in done if d.trial.rung == 2) == 13.0


def test_scaling_curve() -> None:
    """Time to the first configuration at R falls with workers, down to the time of one climb (1 + 4 + 16 + 64)."""
    climb_s = 85.0
    curve = {}
    for workers in (1, 4, 16, 64, 125, 250, 500):
        cluster = Cluster(2, stragglers=0, dropped=0)
        done = simulate(asha_of(study_of(budget=1 << 20)), workers, cluster, horizon_s=climb_s + 600 / workers)
        curve[workers] = min(d.end_s for d in done if d.trial.rung == 3)
    print("workers -> time to the first at R, in climbs:", {w: round(t / climb_s, 2) for w, t in curve.items()})
    times = list(curve.values())
    assert times == sorted(times, reverse=True)
    assert curve[1] > 4 + 4 * 4 + 4 * 16 + 64, "every rung below the top needs four results first"
    assert curve[500] == climb_s


# --- synchronous halving ------------------------------------------------------------------------------------------


def test_halving_keeps_the_best_of_every_rung() -> None:
    options = {"resource": "m", "min": 1, "max": 64, "eta": 4, "overlap": False}
    study = study_of(method="halving", budget=2 * (64 + 16 + 4 + 1), options=options)
    done = simulate(Halving(study, Cube(study.parameters)), 10, Cluster(4, dropped=0))
    for bracket in (done[:85], done[85:]):
        rungs = [[d for d in bracket if d.trial.rung == k] for k in range(4)]
        assert [len(rung) for rung in rungs] == [64, 16, 4, 1]
        for lower, upper in itertools.pairwise(rungs):
            best = sorted(lower, key=lambda d: (d.values, d.trial.id))[: len(upper)]
            assert {d.trial.id for d in best} == {d.trial.id for d in upper}
            assert max(d.end_s for d in lower) <= min(d.start_s for d in upper), "before the rung was decided"


def test_halving_runs_the_same_trials_for_any_number_of_workers() -> None:
    """Whole brackets: which trials run is decided by results alone."""
    study = study_of(method="halving", budget=4 * 85)
    ran = []
    for workers in (1, 2, 4, 200):
        done = simulate(Halving(study, Cube(study.parameters)), workers, Cluster(5))
        ran.append(sorted((d.trial.id, d.trial.rung) for d in done))
    assert 4 * 64 < len(ran[0]) <= 4 * 85
    assert ran == ran[:1] * 4


def test_overlapping_brackets_leave_no_worker_idle() -> None:
    study = study_of(method="halving", budget=1000)
    done = simulate(Halving(study, Cube(study.parameters)), 100, Cluster(6))
    last_start = max(d.start_s for d in done if d.trial.rung == 0)
    for worker in range(100):
        mine = sorted((d for d in done if d.worker == worker), key=lambda d: d.start_s)
        assert all(a.end_s == b.start_s for a, b in itertools.pairwise(mine) if a.end_s < last_start)
        assert max(d.end_s for d in mine if d.start_s <= last_start) >= last_start


# --- stopping and going on ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["asha", "halving"])
def test_a_restored_search_goes_on_as_if_never_stopped(method: str, deep: bool) -> None:
    study = study_of(method=method, budget=120, options={"resource": "m", "min": 1, "max": 16, "eta": 4})
    cluster = Cluster(7, dropped=0.1)

    def fresh() -> Proposer:
        return proposer_of(study, Cube(study.parameters))

    whole = [(d.trial, d.values) for d in simulate(fresh(), 1, cluster)]
    for cut in range(0, len(whole), 1 if deep else 7):
        first = fresh()
        ran = []
        for _ in range(cut):
            trial = first.ask()
            assert trial is not None
            ran.append((trial, cluster(trial)[1]))
            first.tell(*ran[-1])
        lost = first.ask()
        second = fresh()
        second.restore(json.loads(json.dumps(first.state())))
        rest = [(d.trial, d.values) for d in simulate(second, 1, cluster)]
        assert rest[0][0] == lost
        assert ran + rest == whole
    print(f"{method}: stopped after up to {cut} of {len(whole)} trials, and every time it ended the same")


def test_what_was_out_comes_back_first_and_once() -> None:
    study = study_of(budget=100)
    first = asha_of(study)
    out = [trial for trial in (first.ask() for _ in range(20)) if trial]
    for trial in out[::3]:
        first.tell(trial, (chance(trial.id),))
    lost = [trial for trial in out if trial not in out[::3]]
    second = asha_of(study)
    second.restore(json.loads(json.dumps(first.state())))
    again = json.loads(json.dumps(second.state()))
    assert again == json.loads(json.dumps(first.state()))
    assert [second.ask() for _ in lost] == lost
    following = second.ask()
    assert following is not None
    assert (following.id, following.rung) not in {(t.id, t.rung) for t in lost}


def test_a_result_can_be_told_once_only() -> None:
    search = asha_of(study_of())
    trial = search.ask()
    assert trial is not None
    search.tell(trial, (1.0,))
    with pytest.raises(ValueError, match="trial 0 on rung 0 is not out"):
        search.tell(trial, (1.0,))
    with pytest.raises(ValueError, match="is not out"):
        search.tell(Trial(7, {}), (1.0,))


# --- options ------------------------------------------------------------------------------------------------------

BAD = {
    "eta": ({"eta": 1, "rungs": ["closed"]}, "[option] options.eta: got 1; must be a whole number from 2 to 1000. "
            "Leave it out for 4."),
    "neither": ({}, "[option] options.rungs: got {}; needs either a list of rungs or a resource with min and max. "
                "Write rungs: [closed, events]."),
    "rung": ({"rungs": ["closed", "rtl"]}, "[option] options.rungs: got 'rtl'; a fidelity is one of closed, events."),
    "not a power": ({"resource": "m", "min": 1, "max": 100}, "[option] options.max: got 100; must be min (1) times a "
                    "power of eta (4). 64 is."),
    "s": ({"rungs": ["closed", "events"], "s": 2}, "[option] options.s: got 2; the ladder has 2 rungs; at least one "
          "has to be left."),
    "unknown": ({"rungs": ["closed"], "rung": 3}, "[option] options.rung: got 3; the method asha has no such option (it"
                " has eta, s, resource, rungs, min, max, sampler)."),
    "symbol": ({"resource": "k", "min": 1, "max": 4}, "--bind k=1: [unknown-symbol] k: got 1; the workload "
               "transformer-base has no such symbol (it has: n, m, density). Leave it out or correct its name."),
    "too long": ({"resource": "m", "min": 4096, "max": 16384}, "--bind m=16384: [range] m: got 16384; must be from 1"
                 " to 4096. Bind it: --bind m=NUMBER."),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_wrong_options_are_said(name: str) -> None:
    options, message = BAD[name]
    with pytest.raises(InputError) as error:
        asha_of(study_of(options=options))
    assert str(error.value) == message


def test_what_else_a_ladder_needs() -> None:
    with pytest.raises(InputError, match="needs a number of points to stop after"):
        asha_of(study_of(budget=0))
    with pytest.raises(InputError, match="promotes by one objective"):
        asha_of(study_of(objectives=(Objective("energy_j"), Objective("latency_s"))))
    with pytest.raises(InputError, match="is both a parameter and set by the rungs"):
        asha_of(study_of((Parameter("bind.m", values=(1, 2)),)))


def test_rungs_by_list() -> None:
    rungs = ["closed", {"m": 8}, {"m": 8, "fidelity": "events"}]
    ladder = asha_of(study_of(options={"rungs": rungs, "eta": 3})).ladder
    assert [(r.resource, r.fidelity, dict(r.bind)) for r in ladder] == [
        (1, "closed", {}), (3, "", {"m": 8}), (9, "events", {"m": 8})
    ]  # fmt: skip
