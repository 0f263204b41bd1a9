"""What can be said of a study before it runs: how many points, along which axes, how many are impossible, how long.

Small spaces are counted; of large ones a seeded sample is looked at, and the interval within which the truth lies 19
times out of 20 is stated. The time is measured: a few points are run.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hwsim.errors import InputError
from hwsim.evaluation import Job, evaluate
from hwsim.parts import resolve_parts
from hwsim.sweep.resolve import Resolver
from hwsim.sweep.search import GRID
from hwsim.sweep.space import Axis, Space, iterate
from hwsim.sweep.study import Assignment, Study
from hwsim.sweep.subjects import Subjects
from hwsim.units import format_quantity

EXACT_POINTS = 2_000_000
"""Grids up to this size have their constraints decided point by point."""
EXACT_DESIGNS = 2_000
"""Grids up to this size have every design built."""
SAMPLES = 10_000
"""Points looked at in larger spaces: a share of a half is then known to one percent."""
MEASURE_S = 1.0
"""Seconds that the measured run may take, once its first point is done."""
MEASURED_POINTS = 8
MANY_POINTS = 10_000
"""About from here on a study is worth compiling, which takes some 20 s (`hwsim.sweep.compiled`)."""
_Z = 1.959964
"""Quantile of the normal distribution for 95 percent."""
_SHOWN_VALUES = 8


TIMES_AS_FAST = (80, 2_000)
"""How much faster compiled code ran on one thread than one point after another: lowest and highest of the eight cases
of docs/benchmarks.md (benchmarks/sweep.py)."""
COMPILING_S = 25.0
"""The longest that a worker took to compile, from the same page."""


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the points something is true of: `share` with its 95 % interval (Wilson's; a point if `exact`)."""

    share: float
    low: float
    high: float
    exact: bool
    looked_at: int

    def of(self, points: int) -> int:
        """The number of `points` it is true of, as far as is known."""
        return round(self.share * points)


@dataclass(frozen=True, slots=True)
class AxisFacts:
    """One axis: its key, the number of its values on a grid (0: continuous), what they are, and its condition."""

    key: str
    count: int
    values: str
    when: str


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """Everything that is known of a study before it runs.

    grid_points         points of the whole grid; 0 where an axis is continuous
    points              points that will be looked at: the grid, or the budget
    excluded            share that the constraints over parameters exclude
    impossible          share that the designs' own rules refuse, of those not excluded
    seconds_per_point   measured, of `measured_points` points run one after another; 0 where none could be run
    seconds             of all points that are possible, one after another on one worker; points that are evaluated
                        together in compiled code take less
    """

    study: Study
    axes: tuple[AxisFacts, ...]
    grid_points: int
    points: int
    excluded: Share
    impossible: Share
    seconds_per_point: float
    measured_points: int
    seconds: float
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The facts as one JSON document."""
        s = self.study
        named = {"study": s.name, "summary": s.summary, "accelerators": list(s.accelerators),
                 "workloads": list(s.workloads), "method": s.method, "fidelity": s.fidelity, "seed": s.seed,
                 "train": s.train, "set": list(s.fixed), "bind": dict(s.bind), "constraints": list(s.constraints),
                 "objectives": {o.figure: o.direction.value for o in s.objectives}}  # fmt: skip
        facts = {key: value for key, value in asdict(self).items() if key != "study"}
        return named | facts | {"axes": [asdict(a) for a in self.axes], "notes": list(self.notes)}

    def lines(self) -> Iterator[str]:
        """The facts for people, a line each."""
        s = self.study
        yield f"{s.name}: {s.summary}" if s.summary else s.name
        yield f"  accelerators: {', '.join(s.accelerators)}"
        yield f"  workloads: {', '.join(s.workloads)}" + (f", a training step with {s.train}" if s.train else "")
        for what, texts in (("set", s.fixed), ("bind", [f"{k}={v:g}" for k, v in s.bind.items()])):
            if texts:
                yield f"  {what}: {', '.join(texts)}"
        for axis in self.axes:
            count = f"{axis.count} values" if axis.count else "continuous"
            yield f"  {axis.key}: {count}: {axis.values}" + (f"  when {axis.when}" if axis.when else "")
        yield "  objectives: " + ", ".join(f"{o.direction.value} {o.figure}" for o in s.objectives)
        for text in s.constraints:
            yield f"  constraint: {text}"
        yield f"  method {s.method}, fidelity {s.fidelity}, seed {s.seed}"
        yield from self.counts()

    def counts(self) -> Iterator[str]:
        """How many points, how many of them impossible, how long."""
        grid = f" of a grid of {self.grid_points:,}" if self.grid_points not in (0, self.points) else ""
        yield f"  {self.points:,} points{grid}"
        yield f"  excluded by constraints: {_share_text(self.excluded, self.points)}"
        yield f"  refused by the design's own rules: {_share_text(self.impossible, self.points)}"
        if self.measured_points:
            each = f"{self.seconds_per_point:.3g} s a point, measured on {self.measured_points}"
            yield f"  at most about {duration(self.seconds)} on one worker ({each})"
            yield from self.compiled()
        else:
            yield "  how long it takes is not known: no point of the sample can be run"
        for note in self.notes:
            yield f"  note: {note}"

    def compiled(self) -> Iterator[str]:
        """What to expect of a study whose points are run together by compiled code."""
        if self.study.fidelity == "closed" and self.points > MANY_POINTS:
            low, high = (duration(COMPILING_S + self.seconds / times) for times in reversed(TIMES_AS_FAST))
            fast = " to ".join(f"{times:,}" for times in TIMES_AS_FAST)
            yield f"  more likely {low} to {high}: compiled code runs shipped designs {fast} times as fast"


def _share_text(share: Share, points: int) -> str:
    number = f"{share.of(points):,}"
    if share.exact:
        return f"{number} of {points:,}" if share.looked_at else "not known: nothing is left to look at"
    return (f"about {number} of {points:,} ({share.share:.2%}; {share.low:.2%} to {share.high:.2%} with 95 % "
            f"confidence, from {share.looked_at:,} samples)")  # fmt: skip


def duration(seconds: float) -> str:
    """A time as people say it."""
    for unit, size in (("years", 31_557_600), ("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.3g} {unit}" if seconds < 1000 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.2g} s"


def _share(found: int, looked_at: int, *, exact: bool) -> Share:
    """A share with Wilson's interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 209-212, 1927)."""
    if not looked_at:
        return Share(0.0, 0.0, 0.0, True, 0)
    p = found / looked_at
    if exact:
        return Share(p, p, p, True, looked_at)
    z2 = _Z * _Z / looked_at
    middle, half = p + z2 / 2, _Z * math.sqrt(p * (1 - p) / looked_at + z2 / looked_at / 4)
    return Share(p, max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2)), False, looked_at)


# --- the facts --------------------------------------------------------------------------------------------------


def describe(
    study: Study, subjects: Subjects | None = None, notes: tuple[str, ...] = (), *, measure: bool = True
) -> StudyFacts:
    """The facts of a study; with `measure`, a few of its points are run.

    Raises InputError for designs or workloads that cannot be read.
    """
    space = Space(study, subjects)
    points = min(space.size, study.budget or space.size) if study.method == GRID else study.budget
    whole = study.method == GRID and points == space.size
    every = whole and points <= EXACT_DESIGNS
    sample = space.chunk(0, points) if every else _sample(space)
    kept = [a for a in sample if not space.excludes(a)]
    excluded = _share(len(sample) - len(kept), len(sample), exact=every or not space.before)
    if space.before and whole and not every and points <= EXACT_POINTS:
        excluded = _share(_count_excluded(space), points, exact=True)
    resolver = Resolver(study, space.subjects)
    tried = kept[:EXACT_DESIGNS]
    possible = [a for a in tried if _builds(resolver, a)]
    impossible = _share(len(tried) - len(possible), len(tried), exact=every)
    each, measured = _measured(resolver, possible) if measure else (0.0, 0)
    axes = tuple(_axis_facts(space, axis) for axis in space.axes)
    running = points * (1 - excluded.share) * (1 - impossible.share)
    return StudyFacts(study, axes, space.size, points, excluded, impossible, each, measured, running * each, notes)


def _sample(space: Space) -> list[Assignment]:
    """Seeded points: of the grid where that is what is searched, else of the whole space."""
    rng = random.Random(space.study.seed)
    if space.study.method == GRID:
        return [space.at(rng.randrange(space.size)) for _ in range(min(SAMPLES, space.size))]
    dimensions = len(space.axes)
    return [space.sample([rng.random() for _ in range(dimensions)]) for _ in range(SAMPLES)]


def _count_excluded(space: Space) -> int:
    return sum(int((~space.feasible(columns)).sum()) for columns in iterate(space))


def _builds(resolver: Resolver, assignment: Assignment) -> bool:
    try:
        resolver.resolve(assignment)
    except InputError:
        return False
    return True


def _measured(resolver: Resolver, points: list[Assignment]) -> tuple[float, int]:
    """Mean seconds of running some points, and how many were timed; the first one, which warms up, only if alone."""
    step = max(1, len(points) // MEASURED_POINTS)
    times: list[float] = []
    for assignment in points[::step][: MEASURED_POINTS + 1]:
        seconds = _seconds(resolver, assignment)
        if seconds is not None:
            times.append(seconds)
        if sum(times) > MEASURE_S:
            break
    timed = times[1:] or times
    return (sum(timed) / len(timed), len(timed)) if timed else (0.0, 0)


def _seconds(resolver: Resolver, assignment: Assignment) -> float | None:
    """Seconds one point takes; None for a point that its model cannot run."""
    start = time.perf_counter()
    try:
        point = resolver.resolve(assignment)
        parts = resolve_parts(point.named)
        evaluate(Job(point.base.model, point.design, parts, point.workload, point.binding),
                 fidelity=resolver.study.fidelity)  # fmt: skip
    except InputError:
        return None
    return time.perf_counter() - start


def _axis_facts(space: Space, axis: Axis) -> AxisFacts:
    target = space.subjects.targets.get(axis.key)
    name = target.unit_name if target and target.has_unit else ""

    def text(value: Any) -> str:
        return format_quantity(value, name) if name else str(value).lower() if isinstance(value, bool) else str(value)

    p = axis.parameter
    if axis.listed:
        shown = [text(v) for v in axis.listed]
        cut = len(shown) > _SHOWN_VALUES
        values = ", ".join([*shown[: _SHOWN_VALUES - 2], "...", shown[-1]] if cut else shown)
    else:
        values = f"{text(p.low)} to {text(p.high)}"
        values += " (logarithmic)" if p.log else f" in steps of {text(p.step)}" if p.step > 1 else ""
    return AxisFacts(axis.key, axis.count, values, p.when)
