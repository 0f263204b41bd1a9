"""Stretches of a study by compiled code: columns of assignments in, statuses, figures and objectives out.

What a single point goes through (`hwsim.sweep.work`) is done here for columns: designs become records, a design's own
rules are asked once for each combination of the values they read, figures come from `hwsim.sweep.batch`, constraints
and objectives from the columns of their formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwsim.config import Leaf, describe, leaves
from hwsim.errors import InputError
from hwsim.parts import resolve_parts
from hwsim.sweep.batch import STATUSES, Batch
from hwsim.sweep.formula import Formula
from hwsim.sweep.space import Columns, Space
from hwsim.sweep.study import ACCELERATOR, BIND, INFEASIBLE, OK, WORKLOAD, Assignment, Study
from hwsim.sweep.subjects import PARTS, RESULT
from hwsim.timing.compile import rows as records
from hwsim.workload.family import PARAMETERS

if TYPE_CHECKING:
    from hwsim.sweep.resolve import Resolver

Array = npt.NDArray[Any]

COMPILED_FROM = 10_000
"""Points from which on a study is compiled: that takes a process some 20 s, a point without it some 3 ms. It depends
on the study alone, so that all workers of a study compute alike."""
MAX_BATCHES = 16
CODES = {status: np.int8(code) for code, status in enumerate(STATUSES)}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Points that were evaluated: status codes (n; places in `hwsim.sweep.batch.STATUSES`), which of them ran (n),
    figures by name (n; NaN where a point that ran has none), and why a point is what it is."""

    statuses: Array
    ran: Array
    figures: Mapping[str, Array]
    why: Callable[[int], str]

    def metrics(self, i: int) -> dict[str, float]:
        """The figures of one point."""
        if not self.ran[i]:
            return {}
        values = ((name, column[i].item()) for name, column in self.figures.items())
        return {name: value for name, value in values if not math.isnan(value)}


class Compiled:
    """A study's points, many at a time."""

    def __init__(self, study: Study, space: Space, resolver: Resolver) -> None:
        self.study, self.space, self.resolver = study, space, resolver
        self._batches: dict[Any, Batch] = {}
        self._goals = [Formula(objective.figure) for objective in study.objectives]

    def columns_of(self, assignments: Sequence[Assignment]) -> Columns:
        """Assignments as columns, for points that are no stretch of a grid."""
        names = [self.space.names(a) for a in assignments]
        found = Columns()
        for axis in self.space.axes:
            found[axis.key] = np.array([n[axis.key] for n in names])
        return found

    # --- figures

    def groups(self, columns: Mapping[str, Array], count: int) -> Iterator[tuple[Array, Stretch]]:
        """The points in groups that share all but values of the design: their places, and what came of them."""
        shared = [c for k, c in columns.items() if k in (ACCELERATOR, WORKLOAD, *PARTS) or k.startswith(BIND)]
        for places in _alike(shared, count):
            yield places, self._stretch({key: column[places] for key, column in columns.items()}, len(places))

    def _stretch(self, columns: Mapping[str, Array], count: int) -> Stretch:
        first = _row(columns, 0)
        try:
            group = self.resolver.group(first)
            ruled_out = self._ruled_out(group, columns, count)
            batch = self._batch(group, first)
            figures = batch.metrics(self._records(group, columns, count))
        except InputError as error:
            return _infeasible(count, str(error))
        statuses = batch.status.copy()
        broken = np.array([bool(text) for text in ruled_out.texts])[ruled_out.of]
        statuses[broken] = CODES[INFEASIBLE]

        def why(i: int) -> str:
            return ruled_out.texts[ruled_out.of[i]] or batch.why(i)

        return Stretch(statuses, ~broken, figures, why)

    def _batch(self, group: Any, first: Assignment) -> Batch:
        """The compiled model for a group of points; the last few are kept."""
        key = (group.file.place, group.file.name, tuple(group.named.items()), group.workload.name,
               group.workload.provenance.get(PARAMETERS, ""), tuple(group.binding.items()))  # fmt: skip
        found = self._batches.pop(key, None)
        if found is None:
            parts = resolve_parts(group.named)
            found = Batch(group.file.model, group.workload, group.binding, parts, self.study.fidelity)
        while len(self._batches) >= MAX_BATCHES:
            del self._batches[next(iter(self._batches))]
        self._batches[key] = found
        return found

    def _records(self, group: Any, columns: Mapping[str, Array], count: int) -> Array:
        """The designs of a group as a record array."""
        known = _leaves(type(group.file.design))
        found: Array = np.repeat(records(type(group.file.design), [group.file.design]), count)
        for key, value in group.fixed.items():
            if key in known:
                _assign(found, known[key], np.broadcast_to(np.array(value), (count,)))
        for key, column in columns.items():
            if key in known:
                _assign(found, known[key], column)
        return found

    def _ruled_out(self, group: Any, columns: Mapping[str, Array], count: int) -> _RuledOut:
        """What a design's own rules say of each point, asked once for each combination of the values they read."""
        design = type(group.file.design)
        read = _read_by_rules(design)
        known = _leaves(design)
        asked = [c for k, c in columns.items() if k in known and (read is None or known[k].fields[0] in read)]
        of = np.zeros(count, np.int64)
        texts = []
        for number, places in enumerate(_alike(asked, count)):
            of[places] = number
            texts.append(_rule_broken(group, _row(columns, int(places[0]))))
        return _RuledOut(texts, of)

    # --- what the study says of them

    def judged(self, columns: Mapping[str, Array], places: Array, stretch: Stretch) -> tuple[Array, Array]:
        """Statuses (n) of a group after the study's constraints, and objectives (n, k; NaN unless ok)."""
        statuses = stretch.statuses.copy()
        part = {key: column[places] for key, column in columns.items()}
        goals = np.full((len(places), len(self._goals)), np.nan)
        try:
            for formula in self.space.after:
                statuses[(statuses == CODES[OK]) & ~self._column(formula, part, stretch, False)] = CODES[INFEASIBLE]
            for k, formula in enumerate(self._goals):
                goals[:, k] = self._column(formula, part, stretch, True)
        except InputError:  # a figure that none of these points has
            statuses[statuses == CODES[OK]] = CODES[INFEASIBLE]
        statuses[(statuses == CODES[OK]) & ~np.isfinite(goals).all(axis=1)] = CODES[INFEASIBLE]
        goals[statuses != CODES[OK]] = np.nan
        return statuses, goals

    def _column(self, formula: Formula, columns: Mapping[str, Array], stretch: Stretch, figures_first: bool) -> Array:
        """A formula's values; where a key and a figure share a name, the one or the other is meant."""
        count = len(stretch.statuses)
        needed: dict[str, Array] = {}
        for name in formula.names:
            figure = stretch.figures.get(name.removeprefix(RESULT))
            own = columns.get(name)
            if own is None and name in self.space.subjects.targets:
                own = self.space.own_column(name, columns, count)
            chosen = (figure, own) if figures_first or name.startswith(RESULT) else (own, figure)
            value = chosen[0] if chosen[0] is not None else chosen[1]
            if value is not None:
                needed[name] = value
        found: Array = np.broadcast_to(formula.column(needed), (count,))
        return found


@dataclass(frozen=True, slots=True)
class _RuledOut:
    """Which rule each point breaks: `texts[of[i]]`, "" for none."""

    texts: list[str]
    of: Array


def _leaves(design: type) -> dict[str, Leaf]:
    return {leaf.key: leaf for leaf in leaves(describe(design))}


def _infeasible(count: int, why: str) -> Stretch:
    return Stretch(np.full(count, CODES[INFEASIBLE]), np.zeros(count, bool), {}, lambda _: why)


def _alike(columns: Sequence[Array], count: int) -> list[Array]:
    """The places of rows that agree in all columns, group by group."""
    ids = np.zeros(count, np.int64)
    for column in columns:
        if (column != column[0]).any():
            _, codes = np.unique(column, return_inverse=True)
            _, ids = np.unique(ids * (int(codes.max()) + 1) + codes.reshape(-1), return_inverse=True)
            ids = ids.reshape(-1)
    if not ids.any():
        return [np.arange(count)]
    order = np.argsort(ids, kind="stable")
    return list(np.split(order, np.flatnonzero(np.diff(ids[order])) + 1))


def _row(columns: Mapping[str, Array], i: int) -> Assignment:
    return {key: column[i].item() for key, column in columns.items()}


def _assign(found: Array, leaf: Leaf, values: Array) -> None:
    """Put values into the field of a leaf; members of enumerations come by name."""
    target: Any = found
    for name in leaf.fields[:-1]:
        target = target[name]
    if values.dtype.kind in "US":
        members = {name.lower(): int(member) for name, member in leaf.kind.__members__.items()}  # type: ignore[attr-defined]
        names, codes = np.unique(values, return_inverse=True)
        values = np.array([members[str(name)] for name in names])[codes.reshape(-1)]
    target[leaf.fields[-1]] = values


def _rule_broken(group: Any, assignment: Assignment) -> str:
    try:
        group.file.replaced(group.design_changes(assignment))
    except InputError as error:
        return str(error)
    return ""


def _read_by_rules(design: type) -> frozenset[str] | None:
    """The fields that a design's own rules may read; None where that cannot be told from their code."""
    check = getattr(design, "problems", None)
    code = getattr(check, "__code__", None)
    if check is None:
        return frozenset()
    names = frozenset(_names(code)) if code is not None else frozenset()
    helpers = {name for name in names if callable(getattr(design, name, None)) or isinstance(
        getattr(design, name, None), property)}  # fmt: skip
    return None if code is None or helpers or {"getattr", "fields", "asdict", "vars"} & names else names


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
