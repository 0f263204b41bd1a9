"""The space of a study: how many grid points, which one is the i-th, columns of a stretch of them, samples.

A grid is never listed: a point is the digits of its number in a mixed radix, one digit an axis. What decides which
program runs (accelerator, workload, bindings, technology, DRAM) varies slowest, so that neighbours share work. Axes
that a condition reads, and conditional ones, come before all: the combinations of the former are listed once with the
number of points each has, so that no point comes twice and none is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hwsim.errors import bad_input
from hwsim.sweep.formula import Formula
from hwsim.sweep.study import ACCELERATOR, BIND, WORKLOAD, Assignment, Parameter, Study, Value
from hwsim.sweep.subjects import PARTS, RESULT, Subjects

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MAX_GRID = 1_000_000
"""Values of one axis that are spelled out."""
_MAX_DECIMAL = 10_000
"""Grids of an axis up to this size are worked out in fractions; larger ones in floats, which is quicker."""
MAX_COMBINATIONS = 2_000_000
"""Combinations of the parameters that conditions read."""


# --- one axis ---------------------------------------------------------------------------------------------------


class Axis:
    """The values of one parameter, by number."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self.key = parameter.key

    @cached_property
    def listed(self) -> tuple[Value, ...]:
        """The values, where they are spelled out; empty for a plain range of integers and for a continuous range."""
        p = self.parameter
        if p.values or not p.grid:
            return p.values
        points = _inner_points(p)
        whole = bool(p.step)
        ends = (int(p.low), int(p.high)) if whole else (float(p.low), float(p.high))
        inner = sorted({round(x) for x in points} - set(ends)) if whole else points
        return (ends[0], *inner, ends[1])

    @cached_property
    def count(self) -> int:
        """How many values a grid takes; 0 where the range is continuous and has no `grid`."""
        p = self.parameter
        if self.listed:
            return len(self.listed)
        return 0 if p.log or not p.step else int((p.high - p.low) // p.step) + 1

    def value(self, digit: int) -> Value:
        """The value with this number."""
        return self.listed[digit] if self.listed else int(self.parameter.low) + digit * int(self.parameter.step)

    def at(self, u: float) -> Value:
        """The value at `u` in [0, 1): uniform over listed values and steps, or over a range, or over its logarithm."""
        p = self.parameter
        if p.values:
            return p.values[min(int(u * len(p.values)), len(p.values) - 1)]
        if p.step and not p.log:
            steps = int((p.high - p.low) // p.step) + 1
            return int(p.low) + min(int(u * steps), steps - 1) * int(p.step)
        if p.step:
            # Each integer has the share of the logarithmic scale up to the next one.
            return max(int(p.low), min(int(p.low * ((p.high + 1) / p.low) ** u), int(p.high)))
        return max(p.low, min(_between(p, u), p.high))

    @cached_property
    def _array(self) -> Array:
        import numpy as np

        return np.array(self.listed)

    def take(self, digits: Array) -> Array:
        """The values with these numbers."""
        if self.listed:
            return self._array[digits]
        return digits * int(self.parameter.step) + int(self.parameter.low)


def _inner_points(p: Parameter) -> list[float]:
    """The points of a `grid` between the ends: on a linear scale in decimal, where three tenths are 0.3."""
    shares = range(1, p.grid - 1)
    if p.log or p.grid > _MAX_DECIMAL:
        return [_between(p, i / (p.grid - 1)) for i in shares]
    low, high = (Fraction(repr(end)) for end in (p.low, p.high))
    return [float(low + (high - low) * i / (p.grid - 1)) for i in shares]


def _between(p: Parameter, share: float) -> float:
    return p.low * (p.high / p.low) ** share if p.log else p.low + (p.high - p.low) * share


def axes_of(study: Study) -> tuple[Axis, ...]:
    """The axes of a study in order: accelerators and workloads where there are several, then its parameters."""
    chosen = ((ACCELERATOR, study.accelerators), (WORKLOAD, study.workloads))
    several = [Parameter(key, values=names) for key, names in chosen if len(names) > 1]
    return tuple(Axis(p) for p in (*several, *study.parameters))


def _speed(axis: Axis) -> int:
    """Axes that decide which program runs vary slowest."""
    if axis.key in (ACCELERATOR, WORKLOAD):
        return 0
    return 1 if axis.key.startswith(BIND) or axis.key in PARTS else 2


# --- columns ----------------------------------------------------------------------------------------------------


class Columns(dict[str, "Array"]):
    """A column of values per axis. Where the condition of a parameter does not hold, its column has the design's own
    value and `active`, which holds the conditional parameters, is False."""

    def __init__(self) -> None:
        super().__init__()
        self.active: dict[str, Array] = {}

    def assignments(self) -> list[Assignment]:
        """The rows as assignments."""
        keys = list(self)
        rows: list[Any] = [dict(zip(keys, row, strict=True)) for row in zip(*(c.tolist() for c in self.values()))]  # noqa: B905
        for key, active in self.active.items():
            for i in (~active).nonzero()[0].tolist():
                del rows[i][key]
        return rows


def _digits_column(axis: Axis, stride: int, start: int, length: int) -> Array:
    """Values of an axis, each `stride` times over, for the points from `start` on."""
    import numpy as np

    count, first = axis.count, start // stride
    runs = (start + length - 1) // stride - first + 1
    period = count * stride
    if runs == 1:
        return np.broadcast_to(axis.take(np.array([first % count])), (length,))
    if period * 2 <= length:
        once = np.repeat(axis.take(np.arange(count)), stride)
        return _repeated(np.roll(once, -(start % period)), length)
    values = axis.take((np.arange(runs) + first % count) % count)
    if stride == 1:
        return values
    lengths = np.full(runs, stride)
    lengths[0] = (first + 1) * stride - start
    lengths[-1] = start + length - (first + runs - 1) * stride
    return np.repeat(values, lengths)


def _repeated(once: Array, length: int) -> Array:
    """`once` over and over, by doubling what is there: as fast as memory is copied."""
    import numpy as np

    whole = np.empty(length, once.dtype)
    have = len(once)
    whole[:have] = once
    while have < length:
        more = min(have, length - have)
        whole[have : have + more] = whole[:more]
        have += more
    return whole


# --- conditions -------------------------------------------------------------------------------------------------


class _Branches:
    """Every combination of the axes that conditions read, with which conditional axes each has."""

    def __init__(self, space: Space, drivers: Sequence[Axis], hanging: Sequence[Axis]) -> None:
        import numpy as np

        self.hanging = hanging
        self.values = Columns()
        self.rows = 1
        for axis in drivers:
            self._branch(space, axis)
        self.active = {a.key: space.when(a, self.values, self.rows) for a in hanging}
        self.counts = np.ones(self.rows, np.int64)
        most = math.prod(max(a.count, 1) for a in hanging) * self.rows
        if most >= 2**62:
            raise bad_input("too-large", most, "the conditional parameters have too many combinations", key="space")
        for axis in hanging:
            self.counts *= np.where(self.active[axis.key], max(axis.count, 1), 1)
        self.first = np.concatenate([[0], np.cumsum(self.counts)])

    @property
    def size(self) -> int:
        return int(self.first[-1])

    def _branch(self, space: Space, axis: Axis) -> None:
        """Split every combination by the values of one more axis, where its condition holds."""
        import numpy as np

        active = space.when(axis, self.values, self.rows)
        times = np.where(active, max(axis.count, 1), 1)
        if int(times.sum()) > MAX_COMBINATIONS:
            rule = f"conditions read parameters with more than {MAX_COMBINATIONS} combinations of values"
            raise bad_input("too-large", axis.key, rule, "Give the parameters that conditions read fewer values.",
                            key=f"space.{axis.key}")  # fmt: skip
        own = space.own_column(axis.key, self.values, self.rows)
        parent = np.repeat(np.arange(self.rows), times)
        within = np.arange(len(parent)) - np.repeat(np.cumsum(times) - times, times)
        for key in self.values:
            self.values[key] = self.values[key][parent]
        for key in self.values.active:
            self.values.active[key] = self.values.active[key][parent]
        self.rows = len(parent)
        if axis.parameter.when:
            self.values.active[axis.key] = active[parent]
            self.values[axis.key] = np.where(active[parent], axis.take(within), own[parent])
        else:
            self.values[axis.key] = axis.take(within)

    def columns(self, space: Space, start: int, stop: int) -> Columns:
        """The columns of outer points `start` to `stop` - 1."""
        import numpy as np

        numbers = np.arange(start, stop)
        row = np.searchsorted(self.first, numbers, side="right") - 1
        rest = numbers - self.first[row]
        found = Columns()
        for key, column in self.values.items():
            found[key] = column[row]
        found.active = {key: column[row] for key, column in self.values.active.items()}
        for axis in reversed(self.hanging):
            active = self.active[axis.key][row]
            radix = np.where(active, max(axis.count, 1), 1)
            own = space.own_column(axis.key, found, len(numbers))
            found[axis.key] = np.where(active, axis.take(rest % radix), own)
            found.active[axis.key] = active
            rest = rest // radix
        return found


# --- the space --------------------------------------------------------------------------------------------------


class Space:
    """The space of a study. Designs and workloads are read when a condition or a constraint needs their values.

    Raises InputError, then or at once, for what the study names and is not there.
    """

    def __init__(self, study: Study, subjects: Subjects | None = None) -> None:
        self.study = study
        self.axes = axes_of(study)
        self._subjects = subjects
        self._when = {a.key: Formula(a.parameter.when) for a in self.axes if a.parameter.when}
        read = set().union(*(f.names for f in self._when.values())) | {ACCELERATOR, WORKLOAD}
        drivers = [a for a in self.axes if a.key in read] if self._when else []
        hanging = [a for a in self.axes if a.key in self._when and a not in drivers]
        free = [a for a in self.axes if a not in drivers and a not in hanging]
        self._drivers, self._hanging, self._free = drivers, hanging, sorted(free, key=_speed)
        counts = [a.count for a in self._free]
        self._strides = [math.prod(counts[i + 1 :]) for i in range(len(counts))]
        self._block = math.prod(counts)

    # The grid

    @property
    def continuous(self) -> tuple[str, ...]:
        """Keys of the axes that a grid cannot take: continuous ranges without a `grid`."""
        return tuple(a.key for a in self.axes if not a.count)

    @property
    def size(self) -> int:
        """Points of the grid before constraints; 0 where an axis is continuous."""
        return 0 if self.continuous else self._block * (self._branches.size if self._branches else 1)

    @cached_property
    def _branches(self) -> _Branches | None:
        return _Branches(self, self._drivers, self._hanging) if self._when else None

    def at(self, index: int) -> Assignment:
        """The grid point with this number. Raises IndexError beyond the grid."""
        if not 0 <= index < self.size:
            raise IndexError(f"the grid has {self.size} points; there is no number {index}")
        outer, inner = divmod(index, self._block)
        branch = self._branches.columns(self, outer, outer + 1).assignments()[0] if self._branches else {}
        digits = zip(self._free, self._strides, strict=True)
        return self._ordered({**branch, **{a.key: a.value(inner // s % a.count) for a, s in digits}})

    def _ordered(self, found: Mapping[str, Value]) -> Assignment:
        return {a.key: found[a.key] for a in self.axes if a.key in found}

    def columns(self, start: int, stop: int) -> Columns:
        """The grid points `start` to `stop` - 1, a column an axis; numbers beyond the grid are left out. Columns may
        be read-only."""
        import numpy as np

        stop = min(stop, self.size)
        length = max(stop - start, 0)
        found = {a.key: _digits_column(a, s, start, length) for a, s in zip(self._free, self._strides, strict=True)
                 if length}  # fmt: skip
        whole = Columns()
        if self._branches and length:
            first, last = start // self._block, (stop - 1) // self._block
            outer = self._branches.columns(self, first, last + 1)
            lengths = np.full(last - first + 1, min(self._block, length))
            lengths[0] = min((first + 1) * self._block, stop) - start
            lengths[-1] = stop - max(last * self._block, start)
            found |= {key: np.repeat(column, lengths) for key, column in outer.items()}
            whole.active = {key: np.repeat(column, lengths) for key, column in outer.active.items()}
        for axis in self.axes if length else ():
            whole[axis.key] = found[axis.key]
        return whole

    def chunk(self, start: int, stop: int) -> list[Assignment]:
        """The grid points `start` to `stop` - 1 as assignments."""
        if not self.axes:
            return [{} for _ in range(start, min(stop, self.size))]
        return self.columns(start, stop).assignments()

    # Samples

    def sample(self, u: Sequence[float]) -> Assignment:
        """The assignment at a place of the unit cube: one coordinate in [0, 1) an axis, in the order of `axes`.

        The coordinate of a parameter whose condition does not hold changes nothing.
        """
        found: dict[str, Value] = {}
        for axis, share in zip(self.axes, u, strict=True):
            when = self._when.get(axis.key)
            if when is None or when.holds(self.names(found)):
                found[axis.key] = axis.at(share)
        return found

    # Names and conditions

    @cached_property
    def subjects(self) -> Subjects:
        """The study's designs and workloads."""
        return self._subjects or Subjects.of(self.study)

    @cached_property
    def _base(self) -> dict[tuple[Value, Value], dict[str, Value]]:
        study = self.study
        return {(a, w): self.subjects.base(a, w, study) for a in study.accelerators for w in study.workloads}

    def names(self, assignment: Assignment) -> dict[str, Value]:
        """The value of every key at a point: those of the assignment, and the study's and design's own."""
        study = self.study
        pair = (assignment.get(ACCELERATOR, study.accelerators[0]), assignment.get(WORKLOAD, study.workloads[0]))
        return {**self._base[pair], **assignment}

    def own_column(self, key: str, columns: Mapping[str, Array], rows: int) -> Array:
        """The value that `key` has where it is not varied, for each row of `columns`."""
        import numpy as np

        if len(self._base) == 1:
            return np.full(rows, next(iter(self._base.values()))[key])
        found: Array | None = None
        for (accelerator, workload), base in self._base.items():
            here = np.ones(rows, np.bool_)
            if ACCELERATOR in columns:
                here &= columns[ACCELERATOR] == accelerator
            if WORKLOAD in columns:
                here &= columns[WORKLOAD] == workload
            found = np.full(rows, base[key]) if found is None else np.where(here, base[key], found)
        assert found is not None
        return found

    def when(self, axis: Axis, columns: Mapping[str, Array], rows: int) -> Array:
        """Whether the condition of an axis holds, for each row of `columns`."""
        import numpy as np

        formula = self._when.get(axis.key)
        return np.ones(rows, np.bool_) if formula is None else self._judged(formula, columns, rows)

    def _judged(self, formula: Formula, columns: Mapping[str, Array], rows: int) -> Array:
        import numpy as np

        needed = {n: columns[n] if n in columns else self.own_column(n, columns, rows) for n in formula.names}
        return np.array(np.broadcast_to(formula.column(needed), (rows,)))

    # Constraints

    @cached_property
    def before(self) -> tuple[Formula, ...]:
        """The constraints over parameters alone, which are decided before a point runs."""
        return tuple(f for f in map(Formula, self.study.constraints) if self._known_before(f))

    @cached_property
    def after(self) -> tuple[Formula, ...]:
        """The constraints that need figures of the point's Result."""
        return tuple(f for f in map(Formula, self.study.constraints) if not self._known_before(f))

    def _known_before(self, formula: Formula) -> bool:
        varied = {a.key for a in self.axes} | {ACCELERATOR, WORKLOAD}
        return formula.names <= varied or formula.names <= {*varied, *self.subjects.targets}

    def excludes(self, assignment: Assignment) -> str:
        """The first constraint over parameters that a point breaks; "" where it breaks none."""
        names = self.names(assignment) if self.before else {}
        return next((f.text for f in self.before if not f.holds(names)), "")

    def feasible(self, columns: Columns) -> Array:
        """Whether each row of `columns` (of `columns()`) keeps every constraint over parameters."""
        import numpy as np

        rows = len(next(iter(columns.values()))) if columns else 0
        kept = np.ones(rows, np.bool_)
        for formula in self.before:
            kept &= self._judged(formula, columns, rows)
        return kept

    def breaks(self, assignment: Assignment, metrics: Mapping[str, float]) -> str:
        """The first constraint over figures that a point with these `metrics` breaks; "" where it breaks none.

        A name that is both a key of the design and a figure is the key; `result.NAME` is the figure.
        """
        if not self.after:
            return ""
        names = {**metrics, **{RESULT + n: v for n, v in metrics.items()}, **self.names(assignment)}
        return next((f.text for f in self.after if not f.holds(names)), "")


def iterate(space: Space, chunk: int = 1 << 16) -> Iterator[Columns]:
    """The whole grid in columns of at most `chunk` points."""
    for start in range(0, space.size, chunk):
        yield space.columns(start, start + chunk)
