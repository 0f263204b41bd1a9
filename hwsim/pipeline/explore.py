"""Every combination of a system's choices: batch, workers, queues, overlap."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hwsim.errors import bad_input
from hwsim.pipeline.outcome import Outcome, outcome, percentile
from hwsim.pipeline.service import Services, runs_of
from hwsim.pipeline.system import System, chosen

MAX_POINTS = 10_000
AS_GOOD = 0.98
"""Rates this near to the highest count as the highest: the choice among them is made by latency."""


@dataclass(frozen=True, slots=True)
class Point:
    """One combination: the choices made, and what they give."""

    choices: Mapping[str, str]
    throughput_per_s: float
    latency_p95_s: float
    energy_per_frame_j: float
    bound: str

    @property
    def costs(self) -> tuple[float, float, float]:
        """What is the better the lower."""
        return -self.throughput_per_s, self.latency_p95_s, self.energy_per_frame_j

    def dominates(self, other: Point) -> bool:
        """Whether it is as good in everything and better in something."""
        pairs = zip(self.costs, other.costs, strict=True)
        return self.costs != other.costs and all(a <= b for a, b in pairs)


def grid(text: str) -> tuple[str, tuple[str, ...]]:
    """`KEY=V1,V2,...` as a key and its values. Raises InputError where it is none."""
    key, equals, values = text.partition("=")
    found = tuple(v.strip() for v in values.split(","))
    if not equals or not key.strip() or not all(found):
        raise bad_input("sweep", text, "must read KEY=VALUE[,VALUE...]", "For instance --sweep batch=1,8,32.",
                        key="--sweep")  # fmt: skip
    return key.strip(), found


def explore(
    system: System, axes: Mapping[str, Sequence[str]], on_point: Callable[[int, int], None] = lambda done, of: None
) -> list[Point]:
    """Run every combination of `axes` (key -> values), in their order.

    Raises InputError for an unknown choice or an impossible value before anything runs, and for too many of them.
    """
    combinations = list(itertools.islice(itertools.product(*axes.values()), MAX_POINTS + 1))
    if len(combinations) > MAX_POINTS:
        raise bad_input("too-many-points", f"over {MAX_POINTS}", f"a sweep has at most {MAX_POINTS} combinations",
                        key="--sweep")  # fmt: skip
    systems = [_made(system, dict(zip(axes, values, strict=True))) for values in combinations]
    points = []
    for i, (made, values) in enumerate(zip(systems, combinations, strict=True)):
        points.append(_point(dict(zip(axes, values, strict=True)), outcome(made, Services(runs_of(made)))))
        on_point(i + 1, len(systems))
    return points


def _made(system: System, choices: Mapping[str, str]) -> System:
    for key, value in choices.items():
        system = chosen(system, key, value)
    return system


def _point(choices: Mapping[str, str], result: Outcome) -> Point:
    p95 = percentile(result.latencies_s, 0.95)
    return Point(choices, result.throughput_per_s, p95, result.energy_per_frame_j, result.bound)


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other dominates in rate, latency and energy together (one of equals); the fastest first."""
    first = {p.costs: p for p in reversed(points)}.values()
    kept = [p for p in first if not any(q.dominates(p) for q in first)]
    return sorted(kept, key=lambda p: -p.throughput_per_s)


def picked(points: Sequence[Point]) -> Point:
    """Of the combinations that are as good as the fastest, the one with the lowest latency; the first where several
    have it."""
    most = max(p.throughput_per_s for p in points)
    return min((p for p in points if p.throughput_per_s >= AS_GOOD * most), key=lambda p: p.latency_p95_s)
