"""Optuna's samplers through its ask-and-tell interface: TPE, NSGA-II, NSGA-III, CMA-ES. Needs the extra `search`.

Trials go in batches. Every trial of a batch is proposed from the results of the batches before, and the results are
told in the order of the trials once all are there: what is proposed then does not depend on how many workers there were
or which was quick. A batch of 0 proposes from whatever is known at the moment, which keeps every worker busy and is
reproducible with one worker only.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from hwsim.errors import bad_input
from hwsim.sweep.proposer import Options, Outstanding, SampleSpace, State, Trial, axes, finite, needed_budget
from hwsim.sweep.study import Assignment, Parameter, Study

BATCH = 8
_BELOW_ONE = 1.0 - 2.0**-53
_POPULATION = {"nsgaii": 50, "nsgaiii": 50}  # Optuna's own defaults


class OptunaSearch:
    """A sampler of Optuna at work on a study.

    It searches the unit cube of the space (`SampleSpace.sample`): a list of numbers is an ordered axis, a list of other
    things a categorical one, a range a continuous one on its own scale. Conditions stay the space's business.
    State is the history of calls; `restore` repeats them, so that the sampler is where it was to the last bit.
    """

    def __init__(self, study: Study, space: SampleSpace) -> None:
        self._optuna = _imported(study.method)
        options = Options(study)
        self._batch = options.integer("batch", BATCH, 0, 1 << 20)
        sampler = _sampler(self._optuna, study, options)
        options.done()
        directions = [o.direction.value for o in study.objectives]
        if study.method == "cmaes" and len(directions) != 1:
            rule = "the method cmaes improves one objective"
            raise bad_input("objectives", len(directions), rule, "Use nsgaii, or one formula.", key="objectives")
        self._search = self._optuna.create_study(directions=directions, sampler=sampler)
        self._axes, self._space, self._budget = axes(study), space, needed_budget(study)
        self._distributions = {a.key: _distribution(self._optuna, a) for a in self._axes}
        self._trials: list[Assignment] = []
        self._told: dict[int, Sequence[float] | None] = {}
        self._history: list[Any] = []
        self._out = Outstanding()

    def ask(self) -> Trial | None:
        again = self._out.again()
        if again is not None:
            return Trial(again[0], self._trials[again[0]])
        if len(self._trials) >= self._budget or self._batch_is_out():
            return None
        return self._out.add(self._proposed())

    def _batch_is_out(self) -> bool:
        """Whether all of a batch was proposed and not all of it told."""
        done = len(self._trials)
        return self._batch > 0 and done % self._batch == 0 and len(self._out) > 0

    def _proposed(self) -> Trial:
        self._history.append(None)
        asked = self._search.ask(self._distributions)
        point = [_coordinate(axis, asked.params[axis.key]) for axis in self._axes]
        self._trials.append(self._space.sample(point))
        return Trial(asked.number, self._trials[-1])

    def tell(self, trial: Trial, values: Sequence[float] | None) -> None:
        self._out.remove(trial)
        self._told[trial.id] = finite(values)
        if self._batch == 0 or (not len(self._out) and self._whole()):
            self._pass_on()

    def _whole(self) -> bool:
        return len(self._trials) % self._batch == 0 or len(self._trials) == self._budget

    def _pass_on(self) -> None:
        """Tells Optuna what is known, in the order of the trials."""
        for number in sorted(self._told):
            values = self._told[number]
            self._history.append([number, None if values is None else list(values)])
            self._tell(number, values)
        self._told.clear()

    def _tell(self, number: int, values: Sequence[float] | None) -> None:
        state = self._optuna.trial.TrialState
        if values is None:
            self._search.tell(number, state=state.FAIL)
        else:
            self._search.tell(number, list(values))

    def state(self) -> State:
        told = [[number, None if values is None else list(values)] for number, values in self._told.items()]
        return {"history": list(self._history), "told": told, "out": self._out.state()}

    def restore(self, state: State) -> None:
        for call in state["history"]:
            if call is None:
                self._proposed()
            else:
                self._history.append(call)
                self._tell(*call)
        self._told = dict(state["told"])
        self._out.restore(state["out"])


def _imported(method: str) -> Any:
    """The optuna package; raises InputError naming what to install."""
    try:
        import optuna

        if method == "cmaes":
            import cmaes  # noqa: F401 (Optuna imports it only when it first samples)
    except ImportError as missing:
        rule = f"this method needs the package {missing.name}, which is not installed"
        remedy = "Run: pip install 'hwsim[search]'."
        raise bad_input("missing-package", method, rule, remedy, key="method") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _sampler(optuna: Any, study: Study, options: Options) -> Any:
    """The method's sampler. Its seed is the study's, brought into the 32 bits that Optuna takes."""
    samplers, seed = optuna.samplers, study.seed % (1 << 32)
    if study.method == "tpe":
        return samplers.TPESampler(seed=seed, n_startup_trials=options.integer("startup", 10, 1), constant_liar=True)
    if study.method == "cmaes":
        return samplers.CmaEsSampler(
            seed=seed, n_startup_trials=options.integer("startup", 1, 1), warn_independent_sampling=False
        )
    population = options.integer("population", _POPULATION[study.method], 2)
    kind = samplers.NSGAIISampler if study.method == "nsgaii" else samplers.NSGAIIISampler
    with warnings.catch_warnings():
        # Optuna says of NSGA-III that its interface may change; the extra's users cannot act on that.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return kind(seed=seed, population_size=population)


def _ordered(axis: Parameter) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in axis.values)


def _distribution(optuna: Any, axis: Parameter) -> Any:
    distributions, count = optuna.distributions, len(axis.values)
    if not count:
        return distributions.FloatDistribution(0.0, 1.0)
    if _ordered(axis):
        return distributions.IntDistribution(0, count - 1)
    return distributions.CategoricalDistribution(tuple(range(count)))


def _coordinate(axis: Parameter, value: float) -> float:
    """The place on the axis, in [0, 1); a listed value's is the middle of its share."""
    return (value + 0.5) / len(axis.values) if axis.values else min(value, _BELOW_ONE)
