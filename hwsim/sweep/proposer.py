"""What every search method is: something that proposes trials and is told what came of them.

    trial = proposer.ask()              # None: nothing to run now
    ... run trial.assignment at trial.fidelity, with trial.bind on top of the study's bindings ...
    proposer.tell(trial, values)        # one figure an objective; None where there is none

Any number of trials may be out at once and tells may come in any order. A proposer draws nothing from a clock or a
global generator: what it proposes follows from the study and the sequence of calls. `state` gives that as plain data;
a proposer made for the same study takes it with `restore`, and proposes the trials that were out then once more, first.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hwsim.errors import InputError, Problem, Where, bad_input, shown
from hwsim.sweep.study import ACCELERATOR, WORKLOAD, Assignment, Direction, Objective, Parameter, Study

State = dict[str, Any]

GRID = "grid"
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration to evaluate, on one rung of a fidelity ladder (methods without a ladder have rung 0 only).

    id          number of the configuration; (id, rung) never comes twice from one proposer, but after `restore`
    resource    what the rung invests, in units of the lowest rung, or the value of the symbol that grows
    fidelity    "closed" or "events"; empty: the study's
    bind        symbols of the workload that the rung fixes, on top of the study's bindings
    """

    id: int
    assignment: Assignment
    rung: int = 0
    resource: float = 1.0
    fidelity: str = ""
    bind: Mapping[str, float] = field(default_factory=dict)


class Proposer(Protocol):
    """A search method at work on one study."""

    def ask(self) -> Trial | None:
        """The next trial. None: nothing to run until another trial is told, or, if none is out, the search is over."""

    def tell(self, trial: Trial, values: Sequence[float] | None) -> None:
        """What came of a trial: a value an objective, in order. None, or a value that is not finite: infeasible, or
        failed for good. Raises ValueError for a trial that is not out."""

    def state(self) -> State:
        """Everything that `restore` needs: dicts with text keys, lists, numbers and texts."""

    def restore(self, state: State) -> None:
        """Go on from a state of the same study and method; for a new proposer."""


class SampleSpace(Protocol):
    """The part of a space that searching needs (`hwsim.sweep.space.Space` is one)."""

    @property
    def size(self) -> int:
        """Points of the grid."""

    def at(self, index: int) -> Assignment:
        """The index-th point of the grid."""

    def sample(self, u: Sequence[float]) -> Assignment:
        """The assignment at a place of the unit cube, one coordinate in [0, 1) an axis (see `axes`)."""


def axes(study: Study) -> tuple[Parameter, ...]:
    """The axes of a study in order: the accelerators and the workloads, where there are several, and its parameters."""
    chosen = ((ACCELERATOR, study.accelerators), (WORKLOAD, study.workloads))
    return tuple(Parameter(key, values=names) for key, names in chosen if len(names) > 1) + study.parameters


class Listed:
    """Assignments by number, for the methods whose points do not depend on results."""

    def __init__(self, method: str, study: Study, space: SampleSpace) -> None:
        self._method, self._seed, self._space = method, study.seed, space
        self._dimensions = len(axes(study))
        self._block: tuple[int, list[list[float]]] = (-1, [])

    def __getitem__(self, index: int) -> Assignment:
        if self._method == GRID:
            return self._space.at(index)
        number, within = divmod(index, _BLOCK)
        if self._block[0] != number:
            self._block = (number, self._points(number))
        return self._space.sample(self._block[1][within])

    def _points(self, number: int) -> list[list[float]]:
        from hwsim.sweep.sampling import uniforms

        start = number * _BLOCK
        points: list[list[float]] = uniforms(self._method, self._seed, self._dimensions, start, start + _BLOCK).tolist()
        return points


class Outstanding:
    """The trials that are out, by (id, rung), and those to propose again because their workers are gone."""

    def __init__(self) -> None:
        self._out: dict[tuple[int, int], None] = {}
        self._again: deque[tuple[int, int]] = deque()

    def __len__(self) -> int:
        return len(self._out) + len(self._again)

    def again(self) -> tuple[int, int] | None:
        """The next trial that was out when the state was taken, out once more."""
        if not self._again:
            return None
        job = self._again.popleft()
        self._out[job] = None
        return job

    def add(self, trial: Trial) -> Trial:
        self._out[trial.id, trial.rung] = None
        return trial

    def remove(self, trial: Trial) -> None:
        if (trial.id, trial.rung) not in self._out:
            raise ValueError(f"trial {trial.id} on rung {trial.rung} is not out")
        del self._out[trial.id, trial.rung]

    def state(self) -> list[list[int]]:
        return [list(job) for job in (*self._again, *self._out)]

    def restore(self, jobs: Iterable[Sequence[int]]) -> None:
        self._again = deque((job[0], job[1]) for job in jobs)


def finite(values: Sequence[float] | None) -> Sequence[float] | None:
    """The values, or None unless all of them are finite numbers."""
    return values if values is not None and all(map(math.isfinite, values)) else None


def losses(objectives: Sequence[Objective], values: Sequence[float]) -> tuple[float, ...]:
    """The values with their signs so that less is better."""
    return tuple(
        -v if o.direction is Direction.MAXIMIZE else v for o, v in zip(objectives, values, strict=True)
    )  # fmt: skip


# --- options ----------------------------------------------------------------------------------------------------


class Options:
    """Reads the options of a method; every problem is collected and `done` raises them together."""

    def __init__(self, study: Study) -> None:
        self._given = dict(study.options)
        self._method = study.method
        self._known: list[str] = []
        self._problems: list[Problem] = []

    def integer(self, name: str, default: int, low: int, high: int = 1 << 40) -> int:
        value = self.any(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problem(name, value, f"must be a whole number from {low} to {high}", f"Leave it out for {default}.")
            return default
        return value

    def choice(self, name: str, default: str, among: Sequence[str]) -> str:
        value = self.any(name, default)
        if value not in among:
            self.problem(name, value, f"must be one of {', '.join(among)}", f"Leave it out for {default}.")
            return default
        return str(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.any(name, default)
        if not isinstance(value, bool):
            self.problem(name, value, "must be true or false")
        return bool(value)

    def any(self, name: str, default: Any = None) -> Any:
        self._known.append(name)
        return self._given.get(name, default)

    def problem(self, name: str, got: object, rule: str, remedy: str = "") -> None:
        self._problems.append(Problem("option", Where(key=f"options.{name}"), shown(got), rule, remedy))

    def done(self) -> None:
        """Raises InputError with every problem: wrong values, and options that the method does not have."""
        has = f"it has {', '.join(self._known)}" if self._known else "it has none"
        for name in self._given:
            if name not in self._known:
                self.problem(name, self._given[name], f"the method {self._method} has no such option ({has})")
        self.raise_problems()

    def raise_problems(self) -> None:
        """Raises InputError with the wrong values among what was read."""
        if self._problems:
            raise InputError(self._problems)


def needed_budget(study: Study) -> int:
    """The budget of a study whose method has no end of its own; raises InputError where there is none."""
    if study.budget < 1:
        rule = f"the method {study.method} needs a number of points to stop after"
        raise bad_input("missing-key", study.budget, rule, "Write budget: 1000.", key="budget")
    return study.budget
