"""What a sweep's rows answer, whatever shows it: objectives, front, hypervolume over time, sensitivities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hwsim.report.text import plain
from hwsim.result import Result
from hwsim.sweep.formula import Formula
from hwsim.sweep.pareto import Floats, Progress, hypervolume_over_time, pareto_front, worst_of
from hwsim.sweep.sensitivity import Sensitivity, sensitivity
from hwsim.sweep.study import ACCELERATOR, OK, WORKLOAD, Direction, Row, Study, Value
from hwsim.units import bare_name, unit_of

DETAILED = 120
"""Front points to look into."""
VOLUME_POINTS = 20_000
"""Points of the hypervolume's history; of a longer one, every k-th and the front."""
TOP_METRICS = 60

Details = Callable[[Row], Result]


class Answer:
    """A study's rows, and what follows from them: objectives, front, hypervolume, sensitivities."""

    def __init__(self, study: Study, rows: Sequence[Row]) -> None:
        self.study = study
        self.every = rows
        self.rows = [row for row in rows if row.status == OK]
        self.order = [i for i, row in enumerate(rows) if row.status == OK]
        self.directions = tuple(o.direction for o in study.objectives)
        self.goals = self._goals()
        self.front = np.flatnonzero(pareto_front(self.goals, self.directions)).tolist() if self.rows else []

    def _goals(self) -> Floats:
        """Values of the objectives, (points, objectives)."""
        formulas = [Formula(o.figure) for o in self.study.objectives]
        found = [[_number(f, row) for f in formulas] for row in self.rows]
        return np.array(found, dtype=np.float64).reshape(len(self.rows), len(formulas))

    @property
    def keys(self) -> list[str]:
        """The varied keys: accelerator and workload where there are several, then the parameters."""
        several = [(ACCELERATOR, self.study.accelerators), (WORKLOAD, self.study.workloads)]
        return [key for key, names in several if len(names) > 1] + [p.key for p in self.study.parameters]

    def column(self, key: str) -> list[Value | None]:
        """Values of one parameter; None where it is absent."""
        return [row.assignment.get(key) for row in self.rows]

    def levels(self, key: str) -> list[Value]:
        """The different values that the points have of a parameter: numbers in order, others as the study lists
        them."""
        there = {v for v in self.column(key) if v is not None}
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in there):
            return sorted(there)
        listed = {p.key: p.values for p in self.study.parameters}.get(key, ())
        listed = {ACCELERATOR: self.study.accelerators, WORKLOAD: self.study.workloads}.get(key, listed)
        return [v for v in listed if v in there] + sorted(there - set(listed), key=str)

    def sensitivities(self) -> list[list[Sensitivity]]:
        """By objective, the indices of every parameter over the points whose objective is finite."""
        out = []
        for k in range(len(self.directions)):
            finite = np.flatnonzero(np.isfinite(self.goals[:, k]))
            columns = {key: [column[i] for i in finite] for key, column in self._columns().items()}
            out.append(sensitivity(columns, self.goals[finite, k], sampled=self.study.method != "grid"))
        return out

    def _columns(self) -> dict[str, list[Value | None]]:
        return {key: self.column(key) for key in self.keys}

    def volume(self) -> list[Progress]:
        """The hypervolume as a share of the box between the worst and the best of each objective, after each of
        the study's points that raised it."""
        if not self.front or not np.isfinite(self.goals).all(axis=1).any():
            return []
        keep = np.arange(0, len(self.goals), max(1, math.ceil(len(self.goals) / VOLUME_POINTS)))
        keep = np.unique(np.concatenate((keep, np.array(self.front, dtype=keep.dtype))))
        worst = worst_of(self.goals, self.directions)
        best = worst_of(self.goals, [_other(d) for d in self.directions])
        box = float(np.prod(np.abs(worst - best)))
        if box == 0:
            return []
        steps = hypervolume_over_time(self.goals[keep], worst, self.directions)
        at = [0, *(self.order[i] + 1 for i in keep)]
        return [Progress(at[s.points], s.volume / box) for s in steps[:-1]] + [
            Progress(len(self.every), steps[-1].volume / box)
        ]

    def detailed(self) -> list[int]:
        """Places of the front points to look into: all, or evenly along the first objective with both of its ends."""
        along = sorted(self.front, key=lambda i: (self.goals[i, 0], i))
        if len(along) <= DETAILED:
            return along
        ends = np.linspace(0, len(along) - 1, DETAILED).round().astype(int)
        return [along[i] for i in ends]

    def results(self, result_of: Details) -> dict[int, tuple[Row, Result]]:
        """By place, the runs of the front points to look into; without those whose latency is not the row's (the row
        is of another fidelity, or the code has changed since)."""
        ran = {i: (self.rows[i], result_of(self.rows[i])) for i in self.detailed()}
        return {i: (row, result) for i, (row, result) in ran.items() if _same(row, result)}

    def best(self, k: int) -> int:
        """The place of the point that is best in one objective; of equal ones the first."""
        sign = -1.0 if self.directions[k] is Direction.MAXIMIZE else 1.0
        return int(np.argmin(np.where(np.isnan(self.goals[:, k]), np.inf, sign * self.goals[:, k])))


def _same(row: Row, result: Result) -> bool:
    return math.isclose(row.metrics.get("latency_s", math.nan), result.latency_s.value, rel_tol=1e-9)


def _other(d: Direction) -> Direction:
    return Direction.MINIMIZE if d is Direction.MAXIMIZE else Direction.MAXIMIZE


def _number(formula: Formula, row: Row) -> float:
    """An objective of a row; not a number where a figure it needs is missing."""
    names: dict[str, Any] = {**row.assignment, **row.metrics}
    if not formula.names <= names.keys():
        return math.nan
    try:
        return float(formula.value(names))
    except (ArithmeticError, ValueError):
        return math.nan


# --- names and units of what is shown ---------------------------------------------------------------------------


def metric_names(answer: Answer) -> list[str]:
    """Figures that the points have: those of the objectives, the headline ones, then the breakdowns, in the order of
    the first row."""
    named = dict.fromkeys(n for o in answer.study.objectives for n in sorted(Formula(o.figure).names))
    seen = dict.fromkeys(name for row in answer.rows[:1] for name in row.metrics)
    every = dict.fromkeys([*(n for n in named if n in seen), *seen])
    return list(every)[:TOP_METRICS]


def label_of(figure: str) -> str:
    """A figure in words: `energy_breakdown_j.dram` is "energy: dram"."""
    head, _, rest = figure.partition(".")
    words = {"energy_breakdown_j": "energy", "memory_peak_bits": "memory peak"}.get(head) or bare_name(head)
    words = words.removesuffix("_per_s").replace("_", " ")
    return plain(f"{words}: {rest.replace('.', ' ')}" if rest else words, 60)


def objective_label(figure: str) -> str:
    """An objective in words: a figure's, or the formula itself."""
    return label_of(figure) if figure.replace("_", "").replace(".", "").isalnum() else plain(figure, 60)


def unit_shown(figure: str) -> str:
    """The unit of a figure for the page: of its own name, "%" for a share; "" for plain numbers and formulas."""
    if figure == "utilisation":
        return "%"
    return unit_of(figure.partition(".")[0]) if figure.replace("_", "").replace(".", "").isalnum() else ""


def short(row: Row) -> str:
    """Enough of a point's hash to tell it apart."""
    return "".join(c for c in row.point if c.isalnum())[:12]


def units_of(study: Study) -> dict[str, str]:
    """The unit in which values of each parameter are kept; "" for plain numbers and texts."""
    from hwsim.sweep.subjects import Subjects

    targets = Subjects.of(study).targets
    return {p.key: unit_of(targets[p.key].unit_name) for p in study.parameters if p.key in targets}


# --- points again -----------------------------------------------------------------------------------------------


def rerun(study: Study) -> Details:
    """A function that runs a row's point as `study` does."""
    from hwsim.sweep.resolve import resolve
    from hwsim.sweep.work import simulated

    return lambda row: simulated(resolve(study, row.assignment), study.fidelity)
