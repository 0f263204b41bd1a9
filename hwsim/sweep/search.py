"""The search methods by name: grid, random and Sobol here, ASHA and halving over a ladder, the rest through Optuna.

What each is deterministic in is said in docs/search.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.errors import bad_input
from hwsim.sweep.proposer import (
    GRID,
    Listed,
    Options,
    Outstanding,
    Proposer,
    SampleSpace,
    State,
    Trial,
    needed_budget,
)
from hwsim.sweep.study import Study

__all__ = ["GRID", "INDEXED", "LADDERED", "METHODS", "THROUGH_OPTUNA", "Listed", "Points", "Proposer", "Trial",
           "grid_count", "proposer_of", "top_rung"]  # fmt: skip

INDEXED = (GRID, "random", "sobol")
LADDERED = ("asha", "halving")
THROUGH_OPTUNA = ("tpe", "nsgaii", "nsgaiii", "cmaes")
METHODS = INDEXED + LADDERED + THROUGH_OPTUNA


def proposer_of(study: Study, space: SampleSpace) -> Proposer:
    """The study's method, ready to be asked.

    Raises InputError for an unknown method, wrong options, a missing budget, or a method whose package is missing.
    """
    if study.method in LADDERED:
        from hwsim.sweep import asha

        return asha.Asha(study, space) if study.method == "asha" else asha.Halving(study, space)
    if study.method in THROUGH_OPTUNA:
        from hwsim.sweep.optuna_search import OptunaSearch

        return OptunaSearch(study, space)
    return Points(study, space)


def top_rung(study: Study) -> int:
    """The rung whose rows answer the study: the last of its ladder, 0 for methods without one.

    Figures of lower rungs are of shorter or rougher runs: they are never compared with those of the top.
    Raises InputError for wrong options of the ladder.
    """
    if study.method not in LADDERED:
        return 0
    from hwsim.sweep.asha import ladder_of

    options = Options(study)
    _, ladder = ladder_of(study, options)
    options.raise_problems()
    return len(ladder) - 1


class Points:
    """Grid, random and Sobol: trial i is point i of the grid or of the sequence, whatever was told."""

    def __init__(self, study: Study, space: SampleSpace) -> None:
        if study.method not in INDEXED:
            rule = f"must be one of {', '.join(METHODS)}"
            raise bad_input("unknown-method", study.method, rule, key="method")
        Options(study).done()
        self.count = grid_count(study, space) if study.method == GRID else needed_budget(study)
        self._points = Listed(study.method, study, space)
        self._next = 0
        self._out = Outstanding()

    def ask(self) -> Trial | None:
        again = self._out.again()
        if again is not None:
            return Trial(again[0], self._points[again[0]])
        if self._next >= self.count:
            return None
        self._next += 1
        return self._out.add(Trial(self._next - 1, self._points[self._next - 1]))

    def tell(self, trial: Trial, values: Sequence[float] | None) -> None:
        self._out.remove(trial)

    def state(self) -> State:
        return {"next": self._next, "out": self._out.state()}

    def restore(self, state: State) -> None:
        self._next = state["next"]
        self._out.restore(state["out"])


def grid_count(study: Study, space: SampleSpace) -> int:
    """Points of a grid search: the whole grid, or its first `budget` points."""
    return min(space.size, study.budget) if study.budget else space.size
