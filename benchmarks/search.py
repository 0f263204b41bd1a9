"""How good the searches are: three real studies at equal cost, and how ASHA scales with workers.

    python benchmarks/search.py [--seeds 30] [--only NAME] [--draw FOLDER]

Every value comes from `hwsim.evaluation`; only time is simulated: a trial lasts the cost of its rung, in units of the
cheapest one, times 1 + |z| with z normal of deviation 0.5 (stragglers). All methods get the same workers for the same
time. What counts is the best value found on the top rung by then; random search evaluates on the top rung only.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scipy.stats import wilcoxon

from hwsim.config import DesignFile, load_design
from hwsim.errors import InputError
from hwsim.evaluation import Job, evaluate
from hwsim.model import Program, structural_of
from hwsim.parts import resolve_parts
from hwsim.simulate import resolve_binding
from hwsim.sweep.asha import Asha, Halving
from hwsim.sweep.proposer import Proposer, Trial
from hwsim.sweep.search import Points
from hwsim.sweep.space import Space
from hwsim.sweep.study import Objective, Parameter, Study
from hwsim.testing.workers import Done, simulate
from hwsim.workload import store

FOREVER = 1 << 30
CREWS = ((1, 80), (16, 80), (64, 160))
"""Workers, and how many trials of the top rung they pay for together."""
DRAWN = CREWS[1]
METHODS = ("asha", "random", "halving", "halving, overlapping")


@dataclass(frozen=True)
class Case:
    """A study, and the cost of each rung in units of the cheapest.

    Costs are measured: milliseconds of one whole evaluation, lowering included, the best of five; translation
    5.7, 12.8, 41.6, 161; generation 3.4, 8.4, 27.5, 106; contention 23.6, 111. Fixed here so that results are exact.
    """

    study: Study
    costs: tuple[float, ...]
    bracket: int = 64
    """Configurations of a bracket of halving: what lets one reach the top of four rungs, and keeps 64 workers busy."""


def _study(
    name: str, workload: str, options: Mapping[str, Any], parameters: Mapping[str, Sequence[int]], **bind: int
) -> Study:
    axes = tuple(Parameter(key, values=tuple(values)) for key, values in parameters.items())
    objective = (Objective("energy_j * latency_s"),)
    return Study(name, "", ("optimus",), (workload,), axes, objective, bind=bind, method="asha", options=options,
                 budget=FOREVER)  # fmt: skip


ARRAY = {
    "macs": (256, 512, 1024, 2048, 4096),
    "sets": (8, 16, 32, 64, 128, 256),
    "window": (16, 32, 64, 128, 256, 512),
    "rate": (1, 2, 4, 6, 8, 12, 16),
    "dram_channels": (2, 4, 8, 12, 16, 20, 24),
}
BALANCE = {
    "macs": (256, 512, 1024, 2048, 4096, 8192, 16384),
    "clock": tuple(range(100_000, 1_000_001, 100_000)),
    "dram_channels": (1, 2, 4, 8, 12, 16, 24, 32),
    "vector_lanes": (4, 16, 64, 256, 1024),
    "accumulators": (256, 1024, 4096, 16384),
}

CASES = {
    "translation": Case(
        _study("translation", "transformer-base", {"resource": "m", "min": 2, "max": 128, "eta": 4}, ARRAY),
        (1, 2.2, 7.3, 28.3),
    ),
    "generation": Case(
        _study("generation", "gpt2-small", {"resource": "m", "min": 1, "max": 64, "eta": 4}, BALANCE),
        (1, 2.5, 8.1, 31.1),
    ),
    "contention": Case(
        _study("contention", "transformer-base", {"rungs": ["closed", "events"], "eta": 4}, ARRAY, n=16, m=16), (1, 4.7)
    ),
}


class Evaluator:
    """Real values of (assignment, rung), each worked out once; None where the design breaks a rule."""

    def __init__(self, case: Case) -> None:
        study = case.study
        self._file: DesignFile = load_design(study.accelerators[0])
        self._workload = store.load_workload(study.workloads[0])
        self._study = study
        self._programs: dict[Any, Program] = {}
        self._known: dict[Any, float | None] = {}
        self.seconds: dict[int, list[float]] = {}

    def __call__(self, trial: Trial) -> float | None:
        key = (tuple(trial.assignment.items()), trial.rung)
        if key not in self._known:
            start_s = time.perf_counter()
            self._known[key] = self._value(trial)
            if self._known[key] is not None:
                self.seconds.setdefault(trial.rung, []).append(time.perf_counter() - start_s)
        return self._known[key]

    def _value(self, trial: Trial) -> float | None:
        try:
            design, named = self._file.replaced(trial.assignment)
        except InputError:
            return None
        binding = resolve_binding(self._workload, {**self._study.bind, **trial.bind})
        job = Job(self._file.model, design, resolve_parts(named), self._workload, binding)
        done = evaluate(job, self._program(job), trial.fidelity or self._study.fidelity)
        return done.energy_j * done.latency_s

    def _program(self, job: Job) -> Program:
        """The program of a job; one for all designs that agree in the fields it depends on."""
        binding = tuple(sorted(job.binding.items()))
        if binding not in self._programs:
            self._programs[binding] = job.lower()
        program = self._programs[binding]
        fields = sorted(structural_of(job.model, program))
        key = (binding, *(getattr(job.design, name) for name in fields))
        if key not in self._programs:
            self._programs[key] = job.lower()
        return self._programs[key]


def search(case: Case, method: str, seed: int) -> Proposer:
    """A method at work on a case; it never runs out of budget."""
    study = replace(case.study, seed=seed)
    space = Space(study)
    if method == "asha":
        return Asha(study, space)
    if method == "random":
        return Points(replace(study, method="random", options={}), space)
    options = {**study.options, "configurations": case.bracket, "overlap": method.endswith("overlapping")}
    return Halving(replace(study, method="halving", options=options), space)


def runner(case: Case, method: str, seed: int, evaluator: Evaluator) -> Callable[[Trial], tuple[float, Any]]:
    """What running a trial takes and gives; random search runs every trial as the top rung has it."""
    top = Asha(case.study, Space(case.study)).ladder[-1]

    def run(trial: Trial) -> tuple[float, Any]:
        at = Trial(trial.id, trial.assignment, len(case.costs) - 1, top.resource, top.fidelity, top.bind)
        at = at if method == "random" else trial
        slow = 1 + abs(random.Random(f"{seed} {trial.id} {at.rung}").gauss(0, 0.5))
        value = evaluator(at)
        # A broken rule shows before anything is evaluated.
        return (0.01, None) if value is None else (case.costs[at.rung] * slow, (value,))

    return run


def best_so_far(case: Case, method: str, done: Sequence[Done]) -> list[tuple[float, float]]:
    """(time, best value on the top rung by then), at each improvement."""
    top = 0 if method == "random" else len(case.costs) - 1
    curve: list[tuple[float, float]] = []
    for d in done:
        better = d.values is not None and d.trial.rung == top and (not curve or d.values[0] < curve[-1][1])
        if better and d.values is not None:
            curve.append((d.end_s, d.values[0]))
    return curve


Curves = dict[str, list[list[tuple[float, float]]]]


def compare(case: Case, seeds: int, evaluator: Evaluator, workers: int, tops: int) -> Curves:
    """Per method and seed, the best value over time; the workers together pay for `tops` trials of the top rung."""
    curves: Curves = {method: [] for method in METHODS}
    horizon_s = tops * case.costs[-1] / workers
    for seed in range(seeds):
        for method in METHODS:
            run = runner(case, method, seed, evaluator)
            done = simulate(search(case, method, seed), workers, run, horizon_s)
            curves[method].append(best_so_far(case, method, done))
    return curves


def ends(curves: Sequence[Sequence[tuple[float, float]]]) -> list[float]:
    """The best value each search ended with."""
    return [curve[-1][1] if curve else math.inf for curve in curves]


@dataclass(frozen=True)
class Verdict:
    """ASHA against another method over paired seeds."""

    other: str
    median: float
    wins: int
    ties: int
    losses: int
    p: float
    """One-sided Wilcoxon signed-rank test on the log ratios: how likely so much in ASHA's favour is by chance."""


def verdicts(curves: Curves) -> list[Verdict]:
    asha, out = ends(curves["asha"]), []
    for method in METHODS[1:]:
        other = ends(curves[method])
        logs = [_log_ratio(a, b) for a, b in zip(asha, other, strict=True)]
        p = float(wilcoxon(logs, alternative="less").pvalue) if any(logs) else 1.0
        signs = [sum(x < 0 for x in logs), sum(x == 0 for x in logs), sum(x > 0 for x in logs)]
        out.append(Verdict(method, statistics.median(other), *signs, p))
    return out


def _log_ratio(a: float, b: float) -> float:
    """ln(a / b); a search that found nothing on the top rung counts as a million times worse than one that did."""
    if a == b:
        return 0.0
    return math.log(min(a, 1e6 * b) / min(b, 1e6 * a))


def report(name: str, seeds: int) -> Curves:
    """Print how one case goes with every crew; the curves of the one that is drawn."""
    case = CASES[name]
    evaluator, drawn, lines = Evaluator(case), {}, []
    for crew in CREWS:
        curves = compare(case, seeds, evaluator, *crew)
        drawn[crew] = curves
        lines += told(name, case, crew, curves)
    taken = {k: round(1e3 * statistics.median(s), 1) for k, s in sorted(evaluator.seconds.items())}
    print(
        *lines,
        f"  costs {case.costs}; here, milliseconds an evaluation without lowering: {taken}",
        sep="\n",
        flush=True,
    )
    return drawn[DRAWN]


def told(name: str, case: Case, crew: tuple[int, int], curves: Curves) -> list[str]:
    median = statistics.median(ends(curves["asha"]))
    size, seeds = Space(case.study).size, len(curves["asha"])
    lines = [
        f"{name}: {size} configurations, {crew[0]} workers, {crew[1]} top trials, {seeds} seeds; asha {median:.5g}"
    ]
    for v in verdicts(curves):
        lines.append(f"  against {v.other:22} {v.median / median - 1:+8.2%} above asha; asha better {v.wins}, "
                     f"equal {v.ties}, worse {v.losses}; p = {v.p:.2g}")  # fmt: skip
    return lines


# --- scaling ------------------------------------------------------------------------------------------------------


def scaling(workers: Sequence[int], method: str, seeds: int = 20) -> list[float]:
    """Median time to the first configuration on the top rung (1, 4, 16, 64), in climbs of one configuration (85)."""
    case = CASES["translation"]
    firsts = []
    for count in workers:
        found = []
        for seed in range(seeds):
            run = _noise(seed)
            done = simulate(search(case, method, seed), count, run, until=lambda d: d.trial.rung == 3)
            found.append(done[-1].end_s / 85)
        firsts.append(statistics.median(found))
    return firsts


def _noise(seed: int) -> Callable[[Trial], tuple[float, Sequence[float]]]:
    """Values that say little on low rungs and more on high ones; times with stragglers."""

    def run(trial: Trial) -> tuple[float, Sequence[float]]:
        own = random.Random(f"{seed} {trial.id}").random()
        here = random.Random(f"{seed} {trial.id} {trial.rung}")
        return 4**trial.rung * (1 + abs(here.gauss(0, 0.5))), (own + here.random() / 4**trial.rung,)

    return run


# --- pictures -----------------------------------------------------------------------------------------------------

COLOURS = {"asha": "#3869b0", "random": "#8a6a4c", "halving": "#b8475c", "halving, overlapping": "#e18a2b"}
SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "hwsim", "font.size": 9, "axes.spines.top": False,
            "axes.spines.right": False}  # fmt: skip


def draw_scaling(folder: Path, workers: Sequence[int], times: Mapping[str, Sequence[float]]) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS):
        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        for method, climbs in times.items():
            axes.loglog(workers, climbs, marker="o", markersize=3, color=COLOURS[method], label=method)
        axes.axhline(1, color="grey", linewidth=0.8, linestyle=":")
        axes.set(xlabel="workers", ylabel="time to the first at R\n[climbs of one configuration]")
        axes.set_yticks([1, 1.5, 2, 3, 4], labels=["1", "1.5", "2", "3", "4"])
        axes.set_xticks([1, 10, 100, 500], labels=["1", "10", "100", "500"])
        axes.minorticks_off()
        axes.legend(frameon=False)
        figure.savefig(folder / "search_scaling.svg", metadata={"Date": None})


def draw_studies(folder: Path, curves: Mapping[str, Curves]) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(SETTINGS):
        figure = Figure(figsize=(9, 2.8), layout="constrained")
        for axes, (name, case) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
            best = min(min(ends(c)) for c in case.values())
            for method, found in case.items():
                times, medians = median_curve(found, DRAWN[1] / DRAWN[0] * CASES[name].costs[-1])
                axes.plot(times, [100 * (m / best - 1) for m in medians], color=COLOURS[method], label=method)
            axes.set(title=name, xlabel="time [cheapest trials]", yscale="symlog", ylim=(0, None))
        figure.axes[0].set_ylabel("median above the best known [%]")
        figure.axes[0].legend(frameon=False)
        figure.savefig(folder / "search_studies.svg", metadata={"Date": None})


def median_curve(curves: Sequence[Sequence[tuple[float, float]]], until_s: float) -> tuple[list[float], list[float]]:
    """The median best value at 60 times, from where more than half of the searches have one."""
    times = [until_s * (i + 1) / 60 for i in range(60)]
    medians = [statistics.median([_at(curve, t) for curve in curves]) for t in times]
    known = [(t, m) for t, m in zip(times, medians, strict=True) if math.isfinite(m)]
    return [t for t, _ in known], [m for _, m in known]


def _at(curve: Sequence[tuple[float, float]], time_s: float) -> float:
    return min((value for end_s, value in curve if end_s <= time_s), default=math.inf)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--only", choices=sorted(CASES))
    parser.add_argument("--draw", type=Path)
    given = parser.parse_args(arguments)
    names = [name for name in CASES if given.only in (None, name)]
    with ProcessPoolExecutor() as pool:
        curves = dict(zip(names, pool.map(report, names, [given.seeds] * len(names)), strict=True))
    workers = (1, 2, 4, 8, 16, 32, 64, 125, 250, 500)
    times = {method: scaling(workers, method) for method in ("asha", "halving")}
    print("workers", workers)
    for method, climbs in times.items():
        print(f"  {method}: climbs to the first at R {[round(c, 2) for c in climbs]}")
    if given.draw:
        draw_scaling(given.draw, workers, times)
        draw_studies(given.draw, curves)


if __name__ == "__main__":
    main(sys.argv[1:])
