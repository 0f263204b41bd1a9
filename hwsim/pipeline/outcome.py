"""What a replay says: frames a second, latencies, how long each stage worked and why not longer, energy, and limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import fmean

from hwsim.pipeline.replay import Record, replay
from hwsim.pipeline.score import contest_score
from hwsim.pipeline.service import PS_PER_S, Services
from hwsim.pipeline.system import Stage, System, Value, moved, uncertain

WARM_UP = 4
"""The first frames, one in so many, are left out of the rate: the pipeline fills."""
NEAR = 0.95
"""A run this near to its closest limit is held back by it, and by nothing else worth a name."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The frames a second that one stage, one shared resource, the source or the order of work would allow at most."""

    name: str
    frames_per_s: float


@dataclass(frozen=True, slots=True)
class StageShare:
    """The time of a stage's workers: shares of workers times the whole run. What is left is waiting for frames."""

    name: str
    workers: int
    busy: float
    waiting: float
    blocked: float
    mean_queue: float
    steps: Mapping[str, float]
    """Share of the workers' time in each step."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a system says."""

    frames: int
    dropped: int
    duration_s: float
    throughput_per_s: float
    latencies_s: tuple[float, ...]
    stages: tuple[StageShare, ...]
    limits: tuple[Limit, ...]
    energy_j: float
    energy_breakdown_j: Mapping[str, float]
    record: Record = field(repr=False)

    @property
    def energy_per_frame_j(self) -> float:
        """Joules a frame that came out."""
        return self.energy_j / self.frames if self.frames else 0.0

    @property
    def power_w(self) -> float:
        """Mean power of the whole run."""
        return self.energy_j / self.duration_s if self.duration_s else 0.0

    @property
    def bound(self) -> str:
        """What held it back: the closest limit, or that stages wait for one another although none is at its limit."""
        if not self.limits:
            return "nothing"
        closest = min(self.limits, key=lambda limit: limit.frames_per_s)
        if self.throughput_per_s >= NEAR * closest.frames_per_s:
            return closest.name
        return f"queues and variation, below {closest.name}"


ACCELERATOR = "accelerator"
"""What an interval calls the runs of the accelerators, moved together; their ends are named, not numbers."""
End = float | str


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the `ordered` values that at least `share` of them do not exceed; 0 of none."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0


# --- closed forms -----------------------------------------------------------------------------------------------


def limits(system: System, services: Services) -> tuple[Limit, ...]:
    """What each part of a system would allow, were nothing else in its way.

    A stage: workers * frames held / time of a turn; what is shared: how many there are over their use by a frame;
    a camera: its rate. Without overlap: a batch over the sum of the times it spends in each stage. What takes no time
    limits nothing.
    """
    found = [Limit(f"stage {s.name}", _stage_rate(system, services, s)) for s in system.stages]
    found += [Limit(name, rate) for name, rate in _resource_rates(system, services).items()]
    if system.frame_rate_hz:
        found.append(Limit("the camera", system.frame_rate_hz))
    if not system.overlap:
        found.append(Limit("one batch after another", _serial_rate(system, services)))
    return tuple(limit for limit in found if limit.frames_per_s < float("inf"))


def _per_second(frames: float, ps: float) -> float:
    return frames * PS_PER_S / ps if ps else float("inf")


def _stage_rate(system: System, services: Services, stage: Stage) -> float:
    held = system.units(stage)
    return _per_second(stage.workers * held, services.stage_ps(stage, held))


def _resource_rates(system: System, services: Services) -> dict[str, float]:
    rates = {}
    for name, count in (system.resources or {}).items():
        used = sum(
            services.mean_ps(stage, step, system.units(stage)) / system.units(stage)
            for stage in system.stages for step in stage.steps if step.uses == name
        )  # fmt: skip
        rates[f"the {count} {name}"] = _per_second(count, used)
    return rates


def _serial_rate(system: System, services: Services) -> float:
    """Frames a second when each stage takes the whole batch, in rounds of its workers, before the next one does."""
    total = 0
    for stage in system.stages:
        held = system.units(stage)
        total += ceil(system.batch / (stage.workers * held)) * services.stage_ps(stage, held)
    return _per_second(system.batch, total)


# --- one run ----------------------------------------------------------------------------------------------------


def outcome(system: System, services: Services) -> Outcome:
    """Replay a system and say what happened."""
    record = replay(system, services)
    done = sorted(t for t in record.done_ps if t >= 0)
    energy = _energy(system, services, record)
    since = record.arrived_ps if system.frame_rate_hz else record.taken_ps[0]
    spans = (end - begin for begin, end in zip(since, record.done_ps, strict=True) if end >= 0)
    return Outcome(
        frames=len(done),
        dropped=system.frames - len(done),
        duration_s=record.end_ps / PS_PER_S,
        throughput_per_s=steady_rate(done, system.batch),
        latencies_s=tuple(sorted(span / PS_PER_S for span in spans)),
        stages=tuple(_share(system, record, k) for k in range(len(system.stages))),
        limits=limits(system, services),
        energy_j=sum(energy.values()),
        energy_breakdown_j=energy,
        record=record,
    )


def steady_rate(done_ps: Sequence[int], batch: int) -> float:
    """Frames a second between the end of one batch and that of another, the first quarter of the frames left out.

    Where there are too few frames for that, all of them over all the time.
    """
    first = batch * ceil(len(done_ps) / WARM_UP / batch)
    last = batch * (len(done_ps) // batch)
    if last > first > 0 and done_ps[last - 1] > done_ps[first - 1]:
        return _per_second(last - first, done_ps[last - 1] - done_ps[first - 1])
    return _per_second(len(done_ps), done_ps[-1]) if done_ps and done_ps[-1] else 0.0


def _share(system: System, record: Record, k: int) -> StageShare:
    stage = system.stages[k]
    whole = stage.workers * record.end_ps or 1
    turns = [t for t in record.turns if t.stage == k]
    steps = {step.name: 0.0 for step in stage.steps}
    for t in turns:
        steps[stage.steps[t.step].name] += (t.end_ps - t.start_ps) / whole
    waiting = sum(t.start_ps - t.asked_ps for t in turns) / whole
    return StageShare(stage.name, stage.workers, sum(steps.values()), waiting, record.blocked_ps[k] / whole,
                      mean_level(record, k), steps)  # fmt: skip


def mean_level(record: Record, k: int) -> float:
    """Frames in the queue before stage `k`, averaged over time."""
    area, at, level = 0, 0, 0
    for entry in record.levels:
        if entry.stage == k:
            area += level * (entry.at_ps - at)
            at, level = entry.at_ps, entry.frames
    return area / record.end_ps if record.end_ps else 0.0


def _energy(system: System, services: Services, record: Record) -> dict[str, float]:
    """Joules by what drew them: all the time, by the accelerators' static power, and by each step while it worked."""
    seconds = record.end_ps / PS_PER_S
    spent = {"base": system.base_power.value * seconds, "accelerator static": services.static_w() * seconds}
    for t in record.turns:
        stage = system.stages[t.stage]
        step = stage.steps[t.step]
        joules = step.active_power.value * (t.end_ps - t.start_ps) / PS_PER_S
        joules += services.dynamic_j(stage, step, t.frames)
        key = f"{stage.name}.{step.name}"
        spent[key] = spent.get(key, 0.0) + joules
    return {key: joules for key, joules in spent.items() if joules}


# --- intervals --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the ranges of the inputs, and which inputs move it: (key, high over low), most first."""

    value: float
    low: float
    high: float
    drivers: tuple[tuple[str, float], ...]


def figures_of(system: System, result: Outcome) -> dict[str, float]:
    """The figures that an interval is made of."""
    figures = {"throughput_per_s": result.throughput_per_s, "energy_per_frame_j": result.energy_per_frame_j}
    if system.contest and result.energy_per_frame_j:
        c = system.contest
        figures["score"] = contest_score(c.iou, result.energy_per_frame_j, c.reference_energy_j, c.base)
    return figures


def spreads(system: System, services: Services, nominal: Outcome) -> dict[str, Spread]:
    """Each input to each end of its range alone, then all together to their low and to their high ends.

    An inner estimate, as of `hwsim.simulate`: every end was run.
    """
    alone = {key: [_at(system, services, {key: end}) for end in ends] for key, ends in _ends(system, services).items()}
    lows, highs = ({k: ends[i] for k, ends in _ends(system, services).items()} for i in (0, 1))
    joint = [_at(system, services, corner) for corner in (lows, highs)] if alone else []
    base = figures_of(system, nominal)
    return {name: _spread(name, value, alone, joint) for name, value in base.items()}


def _ends(system: System, services: Services) -> dict[str, tuple[End, End]]:
    ends: dict[str, tuple[End, End]] = {k: (v.low, v.high) for k, v in uncertain(system).items()}
    moving: list[Value] = [v for run in services.runs.values() for v in (run.latency_s, run.dynamic_j)]
    if any(v.low < v.high for v in moving):
        ends[ACCELERATOR] = ("low", "high")
    return ends


def _at(system: System, services: Services, corner: Mapping[str, End]) -> dict[str, float]:
    speed = str(corner.get(ACCELERATOR, services.speed))
    there = moved(system, {key: float(value) for key, value in corner.items() if key != ACCELERATOR})
    return figures_of(there, outcome(there, Services(services.runs, speed)))


def _spread(
    name: str, value: float, alone: Mapping[str, Sequence[Mapping[str, float]]], joint: Sequence[Mapping[str, float]]
) -> Spread:
    reached = [value, *(f[name] for figures in (*alone.values(), joint) for f in figures if name in f)]
    drivers = []
    for key, figures in alone.items():
        ends = [value, *(f[name] for f in figures if name in f)]
        if 0 < min(ends) < max(ends):
            drivers.append((key, max(ends) / min(ends)))
    drivers.sort(key=lambda d: (-d[1], d[0]))
    return Spread(value, min(reached), max(reached), tuple(drivers))


def mean_latency_s(result: Outcome) -> float:
    """Mean latency of a frame."""
    return fmean(result.latencies_s) if result.latencies_s else 0.0
