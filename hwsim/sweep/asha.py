"""Successive halving over a ladder of fidelities: asynchronous by promotion (ASHA), and in synchronous brackets.

L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, J. Ben-tzur, M. Hardt, B. Recht and A. Talwalkar, "A System for
Massively Parallel Hyperparameter Tuning", MLSys 2020: algorithm 2 (ASHA) and algorithm 1 (synchronous halving).
A configuration starts on the lowest rung; of the results of a rung, the best 1/eta go on to the next one, which costs
more.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.errors import bad_input
from hwsim.simulate import FIDELITIES, resolve_binding
from hwsim.sweep.proposer import (
    Listed,
    Options,
    Outstanding,
    SampleSpace,
    State,
    Trial,
    finite,
    losses,
    needed_budget,
)
from hwsim.sweep.study import BIND, Study, Value
from hwsim.workload.family import load_network

ETA = 4
"""The paper's reduction factor in its experiments."""

TRIES = 1000
"""Draws that may all be known before a space counts as used up."""

Ranked = tuple[float, int]
"""(loss, id): less is better, and of equal losses the earlier configuration."""


# --- the ladder -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rung:
    """How the trials of one rung are evaluated; see `hwsim.sweep.proposer.Trial`."""

    resource: float
    fidelity: str
    bind: Mapping[str, float]


def ladder_of(study: Study, options: Options) -> tuple[int, tuple[Rung, ...]]:
    """eta, and the rungs, the cheapest first, that the options describe:

    resource, min, max   a symbol of the workload that grows from r = min to R = max, by eta a rung; or
    rungs                a list of fidelities ("events"), or of mappings with a fidelity, symbols, or both
    eta, s               the reduction factor, and how many of the lowest rungs to leave out
    """
    eta = options.integer("eta", ETA, 2, 1000)
    early = options.integer("s", 0, 0, 1000)
    symbol, given = options.any("resource"), options.any("rungs")
    low, high = options.any("min"), options.any("max")
    if (symbol is None) == (given is None):
        got, rule = study.options, "needs either a list of rungs or a resource with min and max"
        options.problem("rungs", got, rule, "Write rungs: [closed, events].")
        return eta, ()
    if given is not None:
        rungs = _listed_rungs(eta, given, options)
    else:
        rungs = _growing_rungs(eta, symbol, low, high, options)
    if rungs and early >= len(rungs):
        options.problem("s", early, f"the ladder has {len(rungs)} rungs; at least one has to be left")
    return eta, rungs[early:]


def _growing_rungs(eta: int, symbol: Any, low: Any, high: Any, options: Options) -> tuple[Rung, ...]:
    if not isinstance(symbol, str):
        options.problem("resource", symbol, "must be the name of a symbol of the workload")
        return ()
    for name, value in (("min", low), ("max", high)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            options.problem(name, value, "must be a whole number from 1")
            return ()
    sizes = [low]
    while sizes[-1] * eta <= high:
        sizes.append(sizes[-1] * eta)
    if sizes[-1] != high:
        options.problem("max", high, f"must be min ({low}) times a power of eta ({eta})", f"{sizes[-1]} is.")
        return ()
    return tuple(Rung(size, "", {symbol: size}) for size in sizes)


def _listed_rungs(eta: int, given: Any, options: Options) -> tuple[Rung, ...]:
    if not isinstance(given, (list, tuple)) or not given:
        options.problem("rungs", given, "must be a list of rungs, the cheapest first")
        return ()
    return tuple(_listed_rung(eta**k, rung, options) for k, rung in enumerate(given))


def _listed_rung(resource: int, given: Any, options: Options) -> Rung:
    rung = dict(given) if isinstance(given, Mapping) else {"fidelity": given}
    fidelity = rung.pop("fidelity", "")
    if fidelity and fidelity not in FIDELITIES:
        options.problem("rungs", fidelity, f"a fidelity is one of {', '.join(FIDELITIES)}")
    for name, value in rung.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            options.problem("rungs", {name: value}, "the value of a symbol is a number")
            return Rung(resource, "", {})
    return Rung(resource, fidelity, rung)


def _check_symbols(study: Study, ladder: Sequence[Rung]) -> None:
    """Raises InputError for a rung that some workload of the study cannot be bound to.

    Found here, because every point of such a rung would turn out infeasible.
    """
    varied = {p.key for p in study.parameters}
    for symbol in sorted({name for rung in ladder for name in rung.bind}):
        if BIND + symbol in varied:
            raise bad_input("option", symbol, "is both a parameter and set by the rungs", key="options.rungs")
    for name in study.workloads if any(rung.bind for rung in ladder) else ():
        workload = load_network(name, study.train)
        for rung in ladder:
            resolve_binding(workload, {**study.bind, **rung.bind})


# --- configurations ---------------------------------------------------------------------------------------------


class _Configurations:
    """Distinct configurations by id, drawn from a sequence; what was drawn before is skipped."""

    def __init__(self, sampler: str, study: Study, space: SampleSpace) -> None:
        self._points = Listed(sampler, study, space)
        self._seen: set[tuple[tuple[str, Value], ...]] = set()
        self._places: list[int] = []
        self._drawn = 0

    def draw(self) -> int | None:
        """The id of a new configuration; None where the space is used up."""
        for _ in range(TRIES):
            place, self._drawn = self._drawn, self._drawn + 1
            key = tuple(sorted(self._points[place].items()))
            if key not in self._seen:
                self._seen.add(key)
                self._places.append(place)
                return len(self._places) - 1
        return None

    def trial(self, number: int, k: int, rung: Rung) -> Trial:
        assignment = self._points[self._places[number]]
        return Trial(number, assignment, k, rung.resource, rung.fidelity, rung.bind)

    def state(self) -> State:
        return {"places": list(self._places), "drawn": self._drawn}

    def restore(self, state: State) -> None:
        self._places, self._drawn = list(state["places"]), state["drawn"]
        self._seen = {tuple(sorted(self._points[place].items())) for place in self._places}


class _Laddered(ABC):
    """What both methods share: the ladder, the budget, the trials that are out."""

    def __init__(self, study: Study, space: SampleSpace) -> None:
        options = Options(study)
        self.eta, self.ladder = ladder_of(study, options)
        sampler = options.choice("sampler", "random", ("random", "sobol"))
        self._read(options)
        options.done()
        _check_symbols(study, self.ladder)
        if len(study.objectives) != 1:
            rule = f"the method {study.method} promotes by one objective"
            remedy = "Write a formula such as energy_j * latency_s."
            raise bad_input("objectives", [o.figure for o in study.objectives], rule, remedy, key="objectives")
        self._objectives = study.objectives
        self._left = needed_budget(study)
        self._configurations = _Configurations(sampler, study, space)
        self._out = Outstanding()

    def _read(self, options: Options) -> None:
        """Reads the options that only one method has."""
        del options

    @abstractmethod
    def _job(self) -> tuple[int, int] | None:
        """(id, rung) of the next trial."""

    @abstractmethod
    def _told(self, number: int, k: int, loss: float | None) -> None:
        """Take the loss of trial `number` at rung `k`; None where it failed or is infeasible."""

    def ask(self) -> Trial | None:
        again = self._out.again()
        if again is not None:
            return self._trial(*again)
        job = self._job() if self._left else None
        if job is None:
            return None
        self._left -= 1
        return self._out.add(self._trial(*job))

    def tell(self, trial: Trial, values: Sequence[float] | None) -> None:
        self._out.remove(trial)
        known = finite(values)
        self._told(trial.id, trial.rung, None if known is None else losses(self._objectives, known)[0])

    def _trial(self, number: int, k: int) -> Trial:
        return self._configurations.trial(number, k, self.ladder[k])

    def state(self) -> State:
        return {"left": self._left, "configurations": self._configurations.state(), "out": self._out.state()}

    def restore(self, state: State) -> None:
        self._left = state["left"]
        self._configurations.restore(state["configurations"])
        self._out.restore(state["out"])


# --- asynchronous -----------------------------------------------------------------------------------------------


class _Results:
    """The results of one rung: those promoted, sorted, and those not, as a heap. O(log n) a result."""

    def __init__(self, promoted: Sequence[Sequence[Any]] = (), waiting: Sequence[Sequence[Any]] = ()) -> None:
        self._promoted: list[Ranked] = [(loss, number) for loss, number in promoted]
        self._waiting: list[Ranked] = [(loss, number) for loss, number in waiting]

    def add(self, loss: float, number: int) -> None:
        heapq.heappush(self._waiting, (loss, number))

    def promote(self, eta: int) -> int | None:
        """Promotes the best configuration not promoted yet, if it is among the best 1/eta of the rung; its id.

        Everything better than it has been promoted, so its rank is the number of promoted ones that are better.
        """
        if not self._waiting:
            return None
        best = self._waiting[0]
        if bisect_left(self._promoted, best) >= (len(self._promoted) + len(self._waiting)) // eta:
            return None
        insort(self._promoted, heapq.heappop(self._waiting))
        return best[1]

    def state(self) -> list[list[list[float]]]:
        return [[list(r) for r in self._promoted], [list(r) for r in self._waiting]]


class Asha(_Laddered):
    """Asynchronous successive halving by promotion: algorithm 2 of the paper.

    A free worker gets, from the top rung down, the best configuration among the best 1/eta of its rung that was not
    promoted yet, one rung up; where there is none, a new configuration on the lowest rung. So no worker ever waits.
    Trials without a value belong to no rung: they are never promoted and do not widen its best 1/eta.
    """

    def __init__(self, study: Study, space: SampleSpace) -> None:
        super().__init__(study, space)
        self._rungs = [_Results() for _ in self.ladder]

    def _job(self) -> tuple[int, int] | None:
        for k in reversed(range(len(self.ladder) - 1)):
            number = self._rungs[k].promote(self.eta)
            if number is not None:
                return number, k + 1
        fresh = self._configurations.draw()
        return None if fresh is None else (fresh, 0)

    def _told(self, number: int, k: int, loss: float | None) -> None:
        if loss is not None:
            self._rungs[k].add(loss, number)

    def state(self) -> State:
        return super().state() | {"rungs": [results.state() for results in self._rungs]}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._rungs = [_Results(promoted, waiting) for promoted, waiting in state["rungs"]]


# --- synchronous ------------------------------------------------------------------------------------------------


class _Bracket:
    """One round of halving, at one of its rungs: who is on it, who has still to run, and what was found."""

    def __init__(self, members: Sequence[int], rung: int = 0) -> None:
        self.rung = rung
        self.members = list(members)
        self.queue = deque(members)
        self._told = 0
        self._found: list[Ranked] = []

    def tell(self, number: int, loss: float | None) -> bool:
        """Notes one result; whether it was the last one of the rung."""
        self._told += 1
        if loss is not None:
            insort(self._found, (loss, number))
        return self._told == len(self.members)

    def survivors(self, eta: int) -> list[int]:
        """The best 1/eta of the members, as far as they have a value."""
        return [number for _, number in self._found[: len(self.members) // eta]]

    def state(self) -> State:
        found = [list(ranked) for ranked in self._found]
        return {"rung": self.rung, "members": list(self.members), "queue": list(self.queue), "told": self._told,
                "found": found}  # fmt: skip

    @classmethod
    def from_state(cls, state: State) -> _Bracket:
        bracket = cls(state["members"], state["rung"])
        bracket.queue, bracket._told = deque(state["queue"]), state["told"]
        bracket._found = [(loss, number) for loss, number in state["found"]]
        return bracket


class Halving(_Laddered):
    """Synchronous successive halving: algorithm 1 of the paper, one bracket of `configurations` after another.

    A rung is decided when all its trials are told; as many whole brackets run as the budget holds. With `overlap`,
    workers that would wait for it start the next bracket (as in S. Falkner, A. Klein and F. Hutter, "BOHB", ICML 2018);
    without, `ask` answers None.
    """

    def __init__(self, study: Study, space: SampleSpace) -> None:
        super().__init__(study, space)
        self._brackets: list[_Bracket] = []
        trials = sum(self._size // self.eta**k for k in range(len(self.ladder)))
        self._to_come = self._left // trials
        if not self._to_come:
            rule, remedy = f"a bracket of {self._size} configurations has {trials} trials", f"Write {trials} or more."
            raise bad_input("range", study.budget, rule, remedy, key="budget")

    def _read(self, options: Options) -> None:
        default = min(self.eta ** max(len(self.ladder) - 1, 0), 1 << 24)
        self._size = options.integer("configurations", default, 1, 1 << 24)
        self._overlap = options.flag("overlap", True)

    def _job(self) -> tuple[int, int] | None:
        for bracket in self._brackets:
            if bracket.queue:
                return bracket.queue.popleft(), bracket.rung
        if not self._to_come or (self._brackets and not self._overlap):
            return None
        self._to_come -= 1
        drawn = (self._configurations.draw() for _ in range(self._size))
        members = [number for number in drawn if number is not None]
        if not members:
            return None
        self._brackets.append(_Bracket(members))
        return self._brackets[-1].queue.popleft(), 0

    def _told(self, number: int, k: int, loss: float | None) -> None:
        place, bracket = next((i, b) for i, b in enumerate(self._brackets) if number in b.members)
        if not bracket.tell(number, loss):
            return
        survivors = bracket.survivors(self.eta) if k + 1 < len(self.ladder) else []
        if survivors:
            self._brackets[place] = _Bracket(survivors, k + 1)
        else:
            del self._brackets[place]

    def state(self) -> State:
        brackets = [bracket.state() for bracket in self._brackets]
        return super().state() | {"brackets": brackets, "to_come": self._to_come}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._brackets = [_Bracket.from_state(bracket) for bracket in state["brackets"]]
        self._to_come = state["to_come"]
