"""What a worker does with an order: list trials, resolve them, run what is not known yet, judge, answer.

Orders and answers are JSON documents (`hwsim.sweep.executors`):

    {"do": "run", "start": 0, "stop": 8, "known": {...}}      -> {"outcomes": [...]}
    {"do": "try", "trials": [...], "known": {...}}            -> {"outcomes": [...]}
    {"do": "fold", "start": 0, "stop": 131072, "cut": {...}}  -> {"outcomes": [...], "counts": [...], "digest": "..."}

`known` holds points that the store has already, by hash: status, reason and figures.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from hwsim.accounting import result_of
from hwsim.errors import InputError
from hwsim.evaluation import Job, evaluate
from hwsim.parts import resolve_parts
from hwsim.result import Interval, Result
from hwsim.sweep import ledger
from hwsim.sweep.codec import canonical, study_from
from hwsim.sweep.formula import Formula
from hwsim.sweep.metrics import metrics_of
from hwsim.sweep.plain import Point, evaluate_plain
from hwsim.sweep.proposer import Trial
from hwsim.sweep.resolve import Resolved, point_hash, resolve, resolver_of
from hwsim.sweep.search import GRID, INDEXED, Listed
from hwsim.sweep.space import Space
from hwsim.sweep.store import MAX_TRIES, Outcome
from hwsim.sweep.study import FAILED, INFEASIBLE, OK, Row, Study
from hwsim.sweep.subjects import RESULT

if TYPE_CHECKING:
    from hwsim.sweep.compiled import Compiled, Stretch
    from hwsim.sweep.space import Columns

Known = Mapping[str, Sequence[Any]]
STATUSES = ledger.STATUSES
INT64_MAX = (1 << 63) - 1


class Bench:
    """A study made ready: its space, its formulas, and what running its points needs.

    parent   PID of the process whose orders these are; when another one has adopted this process, it ends.
    Raises InputError for a study whose files are missing or wrong.
    """

    def __init__(self, study: Study, parent: int = 0) -> None:
        self.study, self._parent = study, parent
        self.space = Space(study, resolver_of(study).subjects)
        self._listed = Listed(study.method, study, self.space) if study.method in INDEXED else None
        self._goals = [Formula(objective.figure) for objective in study.objectives]

    def handle(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one order."""
        if order["do"] == "fold":
            answer = ledger.fold(self, order)
        else:
            answer = {"outcomes": self.outcomes(self.trials(order), order.get("known", {}))}
        return {**answer, "outcomes": [plain_outcome(outcome) for outcome in answer["outcomes"]]}

    # --- which trials

    def trials(self, order: Mapping[str, Any]) -> list[Trial]:
        """The trials an order is about: those it spells out, or a stretch of the study's."""
        if "trials" in order:
            return [Trial(**trial) for trial in order["trials"]]
        return self.stretch(order["start"], order["stop"])

    def stretch(self, start: int, stop: int) -> list[Trial]:
        """Trials `start` to `stop` - 1 of a study whose points are known beforehand."""
        if self.study.method == GRID:
            return [Trial(start + i, a) for i, a in enumerate(self.space.chunk(start, stop))]
        assert self._listed is not None
        return [Trial(i, self._listed[i]) for i in range(start, stop)]

    def at_rung(self, trial: Trial) -> Study:
        """The study as a trial's rung has it."""
        if not trial.fidelity and not trial.bind:
            return self.study
        bind = {**self.study.bind, **trial.bind}
        return dataclasses.replace(self.study, fidelity=trial.fidelity or self.study.fidelity, bind=bind)

    def name(self, trial: Trial) -> str:
        """The content hash of a trial's point."""
        return point_hash(self.at_rung(trial), trial.assignment)

    @cached_property
    def points(self) -> int:
        """How many points the study has at most."""
        if self.study.method != GRID:
            return self.study.budget
        return min(self.space.size, self.study.budget) if self.study.budget else self.space.size

    @cached_property
    def compiled(self) -> Compiled | None:
        """The study compiled; None for one that is too small to wait for that, or that replays events."""
        from hwsim.sweep import compiled

        if self.study.fidelity != "closed" or self._listed is None or self.points < compiled.COMPILED_FROM:
            return None
        return compiled.Compiled(self.study, self.space, resolver_of(self.study))

    def block(self, start: int, stop: int) -> ledger.Block:
        """A stretch of the study, evaluated."""
        if self.compiled is None:
            return ledger.plain_block(self, start, stop)
        if self.study.method == GRID:
            columns = self.space.columns(start, stop)
        else:
            columns = self.compiled.columns_of([t.assignment for t in self.stretch(start, stop)])
        return self._compiled_block(self.compiled, columns, start, stop)

    def _compiled_block(self, compiled: Compiled, columns: Columns, start: int, stop: int) -> ledger.Block:
        import numpy as np

        count = stop - start
        statuses = np.full(count, ledger.STATUSES.index(INFEASIBLE), np.int8)
        goals = np.full((count, len(self._goals)), np.nan)
        allowed = np.flatnonzero(self.space.feasible(columns)) if columns else np.arange(count)
        part = {key: column[allowed] for key, column in columns.items()}
        for places, stretch in compiled.groups(part, len(allowed)):
            found = compiled.judged(part, places, stretch)
            statuses[allowed[places]], goals[allowed[places]] = found
        for i in np.flatnonzero(statuses == ledger.STATUSES.index(FAILED)).tolist():
            (outcome,) = self._plainly(self.stretch(start + i, start + i + 1), {})
            statuses[i] = ledger.STATUSES.index(outcome.row.status)
            goals[i] = outcome.goals or np.nan

        def rows(places: Any) -> list[Outcome]:
            trials = [self.stretch(start + i, start + i + 1)[0] for i in places.tolist()]
            return list(self.outcomes(trials, {})) if trials else []

        return ledger.Block(np.arange(start, stop), statuses, goals, rows)

    # --- what comes of them

    def outcomes(self, trials: Iterable[Trial], known: Known) -> Iterator[Outcome]:
        """What came of each trial. Nothing a point does raises: it fails, and says why."""
        if self.compiled is not None:
            return iter(self._compiled_outcomes(self.compiled, list(trials), known))
        return self._plainly(trials, known)

    def _plainly(self, trials: Iterable[Trial], known: Known) -> Iterator[Outcome]:
        for trial in trials:
            self._check_parent()
            yield self._outcome(trial, known)

    def _compiled_outcomes(self, compiled: Compiled, trials: Sequence[Trial], known: Known) -> list[Outcome]:
        """As one by one, but that what has to run runs together."""
        self._check_parent()
        found: dict[int, Outcome] = {}
        waiting = []
        for i, trial in enumerate(trials):
            if self.space.excludes(trial.assignment) or self.name(trial) in known:
                found[i] = self._outcome(trial, known)
            else:
                waiting.append(i)
        columns = compiled.columns_of([trials[i].assignment for i in waiting])
        for places, stretch in compiled.groups(columns, len(waiting)) if waiting else ():
            for place, at in enumerate(places.tolist()):
                found[waiting[at]] = self._ran(trials[waiting[at]], stretch, place)
        return [found[i] for i in range(len(trials))]

    def _ran(self, trial: Trial, stretch: Stretch, place: int) -> Outcome:
        """The outcome of a trial that ran as one of many."""
        status, point = STATUSES[stretch.statuses[place]], self.name(trial)
        if status == FAILED:  # or out of the range of 64-bit integers, which ordinary Python knows to tell
            return self._outcome(trial, {})
        metrics, why = stretch.metrics(place), stretch.why(place) if status != OK else ""
        if not metrics:
            return never_ran(trial, point, status, why)
        return self._judged(trial, Row(point, trial.assignment, status, metrics, why), "")

    def _check_parent(self) -> None:
        if self._parent and os.getppid() != self._parent:
            os._exit(0)

    def _outcome(self, trial: Trial, known: Known) -> Outcome:
        point = self.name(trial)
        excluded = self.space.excludes(trial.assignment)
        if excluded:
            return never_ran(trial, point, INFEASIBLE, f"constraint: {excluded}")
        if point in known:
            status, why, metrics = known[point]
            return self._judged(trial, Row(point, trial.assignment, status, metrics, why), "")
        study = self.at_rung(trial)
        try:
            resolved = resolve(study, trial.assignment)
        except InputError as error:
            return never_ran(trial, point, INFEASIBLE, str(error))
        return self._judged(trial, *run_point(resolved, study.fidelity, trial))

    # --- what the study says of it

    def _judged(self, trial: Trial, row: Row, log: str) -> Outcome:
        """The outcome of a trial whose point is `row`."""
        own = (row.status, row.why)
        why, goals = self._goals_of(row) if row.status == OK else ("", ())
        if why:
            row = dataclasses.replace(row, status=INFEASIBLE, why=why)
        return Outcome(trial.id, row, *own, goals, trial.rung, log=log)

    def _goals_of(self, row: Row) -> tuple[str, tuple[float, ...]]:
        """Why the study rules out a point that ran, or the values of its objectives."""
        try:
            broken = self.space.breaks(row.assignment, row.metrics)
            if broken:
                return f"constraint: {broken}", ()
            figures = {RESULT + name: value for name, value in row.metrics.items()}
            names = {**self.space.names(row.assignment), **figures, **row.metrics}
            goals = tuple(float(goal.value(names)) for goal in self._goals)
        except (ArithmeticError, InputError) as error:
            return f"no objective: {error}", ()
        return ("", goals) if all(map(math.isfinite, goals)) else ("no objective: not a finite number", ())


def never_ran(trial: Trial, point: str, status: str, why: str) -> Outcome:
    """The outcome of a trial that was decided without running it."""
    return Outcome(trial.id, Row(point, trial.assignment, status, {}, why), rung=trial.rung)


def set_aside(bench: Bench, trial: Trial, why: str, log: str) -> Outcome:
    """The outcome of a trial that killed its workers."""
    row = Row(bench.name(trial), trial.assignment, FAILED, {}, why)
    return Outcome(trial.id, row, FAILED, why, rung=trial.rung, log=log)


def run_point(resolved: Resolved, fidelity: str, trial: Trial) -> tuple[Row, str]:
    """Run one point, as often as it takes and no more than `MAX_TRIES` times; the row, and the log of a failure."""
    log = why = ""
    for _ in range(MAX_TRIES):
        try:
            status, metrics, why = figures_of(resolved, fidelity)
            return Row(resolved.point_hash, trial.assignment, status, storable(metrics), why), ""
        except InputError as error:  # the model cannot run this at all
            return Row(resolved.point_hash, trial.assignment, INFEASIBLE, {}, str(error)), ""
        except Exception as error:  # a bug in a model must not end a sweep
            log, why = traceback.format_exc(), f"{type(error).__name__}: {error}"
    return Row(resolved.point_hash, trial.assignment, FAILED, {}, why), log


def figures_of(resolved: Resolved, fidelity: str) -> Point:
    """Status, figures and reason of one resolved point."""
    if fidelity == "closed":
        return evaluate_plain(_job(resolved))
    result = simulated(resolved, fidelity)
    return Point(OK if result.feasible else INFEASIBLE, metrics_of(result), _violated(result))


def simulated(resolved: Resolved, fidelity: str) -> Result:
    """The Result of one resolved point, without moving its uncertain inputs."""
    done = evaluate(_job(resolved), fidelity=fidelity)
    latency, energy = (Interval(value, value, value) for value in (done.latency_s, done.energy_j))
    return result_of(resolved.file, done, fidelity, latency, energy, ())


def _job(resolved: Resolved) -> Job:
    parts = resolve_parts(resolved.named)
    return Job(resolved.base.model, resolved.design, parts, resolved.workload, resolved.binding)


def storable(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics, or an OverflowError for one that no column holds."""
    for name, value in metrics.items():
        if not math.isfinite(value) or (isinstance(value, int) and abs(value) > INT64_MAX):
            raise OverflowError(f"{name} is {value}")
    return dict(metrics)


def _violated(result: Result) -> str:
    return "; ".join(f"{v.what}: {v.demand:.15g} of {v.bound:.15g} {v.unit}" for v in result.violations)


# --- as JSON ----------------------------------------------------------------------------------------------------


def plain_outcome(o: Outcome) -> list[Any]:
    """An Outcome as a JSON list."""
    row = o.row
    return [o.trial, row.point, dict(row.assignment), row.status, dict(row.metrics), row.why,
            o.point_status, o.point_why, list(o.goals), o.rung, o.kept, o.log]  # fmt: skip


def outcome_from(fields: Sequence[Any]) -> Outcome:
    """The Outcome of a list made by `plain_outcome`."""
    trial, point, assignment, status, metrics, why, point_status, point_why, goals, rung, kept, log = fields
    row = Row(point, assignment, status, metrics, why)
    return Outcome(trial, row, point_status, point_why, tuple(goals), rung, kept, log)


def plain_trial(trial: Trial) -> dict[str, Any]:
    """A proposer's Trial as JSON values."""
    return {"id": trial.id, "assignment": dict(trial.assignment), "rung": trial.rung, "resource": trial.resource,
            "fidelity": trial.fidelity, "bind": dict(trial.bind)}  # fmt: skip


@lru_cache(maxsize=2)
def _bench_of(study: str) -> Bench:
    return Bench(study_from(json.loads(study)))


def handle_text(study: str, order: str) -> str:
    """Answer an order in a process that keeps its bench from one order to the next (a Dask worker)."""
    return canonical(_bench_of(study).handle(json.loads(order)))
