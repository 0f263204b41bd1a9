"""What the report shows, as plain data: groups of layers, shares, binned series, roofline points.

No drawing and no text formatting here, so that every figure in a picture can be tested as a number.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.result import LayerResult, Occupancy, Result, Slice

PS_PER_S = 1e12
MAX_BINS = 300
OPS_PER_MAC = 2

FloatArray = npt.NDArray[np.float64]

_NUMBER = re.compile(r"(?<![^\W_])\d+(?![^\W_])")


@dataclass(frozen=True, slots=True)
class Group:
    """Layers summed. `bounds` maps what limited them to the exposed seconds it limited."""

    label: str
    phase: str
    op: str
    layers: int
    macs: int
    macs_executed: int
    cycles: int
    busy_s: float
    exposed_s: float
    energy_j: float
    energy_breakdown_j: Mapping[str, float]
    traffic_bits: Mapping[str, int]
    bounds: Mapping[str, float]

    @property
    def bound(self) -> str:
        """What limited most of the exposed time; the first by name where several tie."""
        return max(sorted(self.bounds), key=lambda name: self.bounds[name], default="")


def family(name: str) -> str:
    """`name` with each number that stands alone replaced by *: numbered siblings share a family."""
    return _NUMBER.sub("*", name)


def total_of(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Breakdowns summed name by name."""
    total: dict[str, float] = defaultdict(float)
    for part in parts:
        for name, value in part.items():
            total[name] += value
    return dict(total)


def _shared(values: Iterable[str]) -> str:
    """The one value all have, or "" when they differ."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else ""


def _group(label: str, members: Sequence[LayerResult]) -> Group:
    traffic: dict[str, int] = defaultdict(int)
    for x in members:
        for level, bits in x.traffic_bits.items():
            traffic[level] += bits
    return Group(
        label=label,
        phase=_shared(x.phase for x in members),
        op=_shared(x.op for x in members),
        layers=len(members),
        macs=sum(x.macs for x in members),
        macs_executed=sum(x.macs_executed for x in members),
        cycles=sum(x.cycles for x in members),
        busy_s=sum(x.busy_s for x in members),
        exposed_s=sum(x.exposed_s for x in members),
        energy_j=sum(x.energy_j for x in members),
        energy_breakdown_j=total_of(x.energy_breakdown_j for x in members),
        traffic_bits=dict(traffic),
        bounds=total_of({x.bound: x.exposed_s} for x in members),
    )


def group_layers(layers: Sequence[LayerResult], key: Callable[[LayerResult], str]) -> list[Group]:
    """Layers summed by `key`, the longest exposed time first."""
    members: dict[str, list[LayerResult]] = defaultdict(list)
    for x in layers:
        members[key(x)].append(x)
    groups = [_group(label, part) for label, part in members.items()]
    return sorted(groups, key=lambda g: (-g.exposed_s, -g.energy_j, g.label))


def alone(layer: LayerResult) -> Group:
    """One layer as a group of its own."""
    return _group(layer.name, [layer])


def families(layers: Sequence[LayerResult], few: int = 24) -> list[Group]:
    """Layers with numbered siblings summed; the layers themselves where there are at most `few`.

    A family stays within one phase and one kind of operator, so that its figures mean something.
    """
    if len(layers) <= few:
        groups = [_group(x.name, [x]) for x in layers]
        return sorted(groups, key=lambda g: (-g.exposed_s, -g.energy_j, g.label))
    members: dict[tuple[str, str, str], list[LayerResult]] = defaultdict(list)
    for x in layers:
        members[x.phase, x.op, family(x.name)].append(x)
    groups = [_group(part[0].name if len(part) == 1 else key[2], part) for key, part in members.items()]
    return sorted(groups, key=lambda g: (-g.exposed_s, -g.energy_j, g.label))


def ranked(parts: Mapping[str, float]) -> list[tuple[str, float]]:
    """Parts of a whole, the largest first, nothing that is zero."""
    return sorted(((k, v) for k, v in parts.items() if v > 0), key=lambda kv: (-kv[1], kv[0]))


def headed(parts: Mapping[str, float], most: int) -> list[tuple[str, float]]:
    """The `most` largest parts, with what is left summed as "other"."""
    order = ranked(parts)
    rest = sum(value for _, value in order[most:])
    return order[:most] + ([("other", rest)] if rest > 0 else [])


def time_by(layers: Sequence[LayerResult], key: Callable[[LayerResult], str]) -> dict[str, float]:
    """Exposed seconds by `key`; sums to the latency."""
    return {g.label: g.exposed_s for g in group_layers(layers, key)}


def energy_by(layers: Sequence[LayerResult], key: Callable[[LayerResult], str]) -> dict[str, float]:
    """Joules by `key`."""
    return {g.label: g.energy_j for g in group_layers(layers, key)}


# --- time series ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Series:
    """A track's share of each time bin spent busy and stalled; both have as many entries as there are bins."""

    track: str
    busy: FloatArray
    stall: FloatArray


def span_ps(result: Result) -> int:
    """The time axis of the pictures in picoseconds: the latency, or the last slice where that ends later."""
    last = max((s.end_ps for s in result.slices), default=0)
    return max(round(result.latency_s.value * PS_PER_S), last, 1)


def _coverage(intervals: Sequence[tuple[int, int]], edges: FloatArray) -> FloatArray:
    """Share of each bin covered by `intervals`, which do not overlap: an exact integral, not a sample.

    The covered time up to t is piecewise linear with its corners at the intervals' ends; bins are its differences.
    """
    if not intervals:
        return np.zeros(len(edges) - 1)
    ordered = np.array(sorted(intervals), dtype=np.float64)
    corners = ordered.reshape(-1)
    covered = np.repeat(np.concatenate(([0.0], np.cumsum(ordered[:, 1] - ordered[:, 0]))), 2)[1:-1]
    within: FloatArray = np.interp(edges, corners, covered)
    return np.diff(within) / np.diff(edges)


def utilisation(result: Result, bins: int = MAX_BINS) -> list[Series]:
    """Busy and stalled share of every track that has slices, in `bins` equal bins of the run, in track order."""
    edges = np.linspace(0.0, float(span_ps(result)), bins + 1)
    busy: dict[str, list[tuple[int, int]]] = {t.name: [] for t in result.tracks}
    stall: dict[str, list[tuple[int, int]]] = {t.name: [] for t in result.tracks}
    for s in result.slices:
        (stall if s.kind == "stall" else busy).setdefault(s.track, []).append((s.start_ps, s.end_ps))
    names = list(dict.fromkeys([*busy, *stall]))
    return [
        Series(n, _coverage(busy.get(n, []), edges), _coverage(stall.get(n, []), edges))
        for n in names
        if busy.get(n) or stall.get(n)
    ]


@dataclass(frozen=True, slots=True)
class Fill:
    """A memory level's content over time as steps: from `at_ps[i]` on, `bits[i]`. `thinned`: not every change is in."""

    level: str
    capacity_bits: int
    peak_bits: int
    at_ps: tuple[int, ...]
    bits: tuple[int, ...]
    thinned: bool


def _thin(level: Occupancy, span: int, bins: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The highest content within each of `bins` bins (including what the bin starts with), so that no peak is lost."""
    highest: dict[int, int] = {}
    before, at_bin = 0, 0
    for at, bits in zip(level.at_ps, level.bits, strict=True):
        now = min(at * bins // span, bins - 1)
        begins_with = now + (at * bins > now * span)  # a change at a bin's very start leaves nothing of what was before
        for unchanged in range(at_bin + 1, begins_with):
            highest[unchanged] = before
        highest[now] = max(highest.get(now, 0), bits)
        before, at_bin = bits, now
    return tuple(b * span // bins for b in highest), tuple(highest.values())


def fills(result: Result, bins: int = MAX_BINS) -> list[Fill]:
    """Occupancy of every memory level, at most `bins` steps each."""
    span = span_ps(result)
    answer = []
    for o in result.occupancy:
        thinned = len(o.at_ps) > bins
        at, bits = _thin(o, span, bins) if thinned else (o.at_ps, o.bits)
        answer.append(Fill(o.level, o.capacity_bits, max(o.bits, default=0), at, bits, thinned))
    return answer


def _ports(result: Result) -> set[str]:
    """Tracks that are memory ports: named by a memory level and a direction."""
    return {f"{level} {way}" for level in result.memory_capacity_bits for way in ("read", "write")}


def phase_spans(result: Result) -> list[tuple[str, int, int]]:
    """(phase, first start, last end) in picoseconds of every phase seen in the timeline, in order of start.

    Only units count: what a port loads ahead for the next phase does not begin it.
    """
    start: dict[str, int] = {}
    end: dict[str, int] = {}
    ports = _ports(result)
    for s in result.slices:
        if 0 <= s.layer < len(result.layers) and s.track not in ports:
            phase = result.layers[s.layer].phase
            start[phase] = min(start.get(phase, s.start_ps), s.start_ps)
            end[phase] = max(end.get(phase, 0), s.end_ps)
    return sorted(((p, start[p], end[p]) for p in start), key=lambda x: (x[1], x[2], x[0]))


# --- roofline ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """A group of layers on the roofline. `ops_per_bit` is infinite where it moves nothing through the level."""

    group: Group
    ops_per_bit: float
    ops_per_s: float


@dataclass(frozen=True, slots=True)
class Roofline:
    """Roofs over operations per bit of `level`, the slowest memory that layers use, and the layers under them."""

    level: str
    compute: tuple[tuple[str, float], ...]
    bits_per_s: float
    points: tuple[Point, ...]
    without_ops: int
    """Groups that multiply nothing and so have no place in the picture."""


def _slowest_memory(result: Result) -> tuple[str, float]:
    """The memory roof that bounds most: the lowest bandwidth among levels the layers move bits through."""
    used = {level for x in result.layers for level, bits in x.traffic_bits.items() if bits}
    roofs = [(r.bits_per_s, r.name) for r in result.roofs if r.bits_per_s > 0 and r.name in used]
    bits_per_s, name = min(roofs, default=(0.0, ""))
    return name, bits_per_s


def roofline(result: Result, groups: Sequence[Group]) -> Roofline:
    """Operations (two per MAC executed) per bit moved, against operations per second while the layer is on the clock.

    A group's time is its exposed time or its busy time, whichever is longer: exposed time alone leaves out what ran
    beside another layer, busy time alone leaves out waiting for data.
    """
    level, bits_per_s = _slowest_memory(result)
    points = []
    for g in groups:
        ops, seconds = OPS_PER_MAC * g.macs_executed, max(g.exposed_s, g.busy_s)
        if ops and seconds > 0:
            bits = g.traffic_bits.get(level, 0)
            points.append(Point(g, ops / bits if bits else float("inf"), ops / seconds))
    compute = tuple((r.name, r.ops_per_s) for r in result.roofs if r.ops_per_s > 0)
    return Roofline(level, compute, bits_per_s, tuple(points), len(groups) - len(points))


# --- the timeline's size ----------------------------------------------------------------------------------------


def merge_runs(slices: Sequence[Slice]) -> list[Slice]:
    """One track's slices (in order of start) with each run of the same layer drawn as at most two slices.

    A run keeps its busy and its stalled time exactly: the stalls are drawn together from its start on, the work up to
    its end, and what was idle stays empty between them.
    """
    merged: list[Slice] = []
    run: list[Slice] = []
    for s in slices:
        if run and (s.layer, s.name) != (run[0].layer, run[0].name):
            merged += _drawn(run)
            run = []
        run.append(s)
    return merged + _drawn(run)


def _drawn(run: Sequence[Slice]) -> list[Slice]:
    if len(run) <= 1:
        return list(run)
    first, end = run[0], run[-1].end_ps
    stall = sum(s.end_ps - s.start_ps for s in run if s.kind == "stall")
    busy = sum(s.end_ps - s.start_ps for s in run if s.kind != "stall")
    drawn = []
    if stall:
        drawn.append(Slice(first.track, first.name, first.layer, first.start_ps, first.start_ps + stall, "stall"))
    if busy:
        drawn.append(Slice(first.track, first.name, first.layer, end - busy, end, "busy"))
    return drawn
