"""What a design's model says of every row of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from hwsim.config import DesignFile, load_design
from hwsim.errors import InputError, Problem, Where
from hwsim.evaluation import Evaluation, Job, evaluate
from hwsim.measured.file import UNITS, DataSet, Measured
from hwsim.measured.statistics import Accuracy, Pair, accuracy
from hwsim.parts import resolve_parts
from hwsim.simulate import resolve_binding
from hwsim.workload.family import load_network
from hwsim.workload.ir import Workload


class Prediction(NamedTuple):
    """One row with what the model says, in the unit of what was measured."""

    measured: Measured
    predicted: float

    @property
    def pair(self) -> Pair:
        """(predicted, measured)."""
        return self.predicted, self.measured.value

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured.value - 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One table with the predictions of all its rows, in their order."""

    data: DataSet
    design: DesignFile
    predictions: tuple[Prediction, ...]

    def groups(self) -> dict[str, Accuracy]:
        """Errors of all rows, and where rows are held out, of those and of the others."""
        held = [p.pair for p in self.predictions if p.measured.held_out]
        fit = [p.pair for p in self.predictions if not p.measured.held_out]
        everything = {"all": accuracy([p.pair for p in self.predictions])}
        return everything | {"fit": accuracy(fit), "held out": accuracy(held)} if held else everything

    @property
    def judged(self) -> str:
        """The group that the tolerance is about."""
        return "held out" if any(p.measured.held_out for p in self.predictions) else "all"

    def broken(self) -> tuple[str, ...]:
        """The bounds of the tolerance that do not hold."""
        figures = self.groups()[self.judged]._asdict()
        return tuple(name for name, bound in self.data.tolerance.items() if not _within(name, figures[name], bound))


def _within(name: str, value: float, bound: float) -> bool:
    return value >= bound if name in ("spearman", "kendall") else value <= bound


def predictions(data: DataSet) -> Iterator[Prediction]:
    """The rows of a table with their predictions, one after the other.

    Raises InputError for a workload that cannot be read, naming the entry, and for a row that cannot be run, naming
    its line.
    """
    file = design_of(data)
    parts = resolve_parts(file.named)
    unit = UNITS[data.unit]
    networks = Networks(data)
    for row in data.rows:
        with placed(data.table.where(row.row, data.column)):
            done = evaluate(Job(file.model, file.design, parts, *networks.of(row.bind)))
        yield Prediction(row, figure(done, unit.figure) / unit.scale)


@contextmanager
def placed(where: Where) -> Iterator[None]:
    """Problems that name no place of a file get `where`, and keep what they name as part of the rule."""
    try:
        yield
    except InputError as bad:
        raise InputError(_placed(p, where) for p in bad.problems) from None


def _placed(p: Problem, where: Where) -> Problem:
    if p.where.line:
        return p
    key = f"{p.where.key}: " if p.where.key else ""
    return Problem(p.code, where, p.got, f"{key}{p.rule}", p.remedy)


def figure(done: Evaluation, name: str) -> float:
    """Seconds, joules, or runs a second of an evaluation."""
    if name == "energy":
        return done.energy_j
    return 1 / done.latency_s if name == "rate" else done.latency_s


def design_of(data: DataSet) -> DesignFile:
    """The design a table is about, with its overrides. Raises InputError where there is none."""
    with placed(data.where):
        return load_design(data.design, data.overrides)


class Networks:
    """The workloads of a table's rows; one that several rows share is made once.

    Raises InputError for a name that nothing has, and for a workload without a training step where one is asked for,
    naming the entry.
    """

    def __init__(self, data: DataSet) -> None:
        with placed(data.where):
            self.network = load_network(data.workload, data.train)

    def of(self, bind: Mapping[str, float]) -> tuple[Workload, dict[str, float]]:
        """The workload of a row, and every symbol of it with its value. Raises InputError for a bad value."""
        values = resolve_binding(self.network, bind)
        return self.network.built(values), self.network.own(values)
