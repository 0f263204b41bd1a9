"""A system frame by frame: SimPy processes for the source and for every worker, queues of frames between them.

A worker takes a frame, or a batch of them, from the queue before its stage; does the steps one after another, each
with one of what it uses; and puts the frames into the next queue, which blocks it while that is full. Only one worker
of a stage gathers a batch at a time. Without overlap all frames of a batch leave a stage before any of them enters the
next, and a batch leaves the system before the next one enters it; queues then hold whatever waits.

Integer picoseconds; the same system and seed give the same run.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from math import log, sqrt
from typing import Any, NamedTuple

import simpy

from hwsim.errors import bad_input
from hwsim.pipeline.service import PS_PER_S, Services
from hwsim.pipeline.system import EXPONENTIAL, FIXED, LOGNORMAL, UNIFORM, Stage, Step, System

MAX_EVENTS = 20_000_000
EVENTS_A_FRAME = 12
"""Upper estimate of SimPy's events for a frame in a stage."""
END = -1
"""Stands in a queue behind the last frame."""

Process = Generator[simpy.Event, Any, None]


class Turn(NamedTuple):
    """One step of one worker on some frames: when it asked for what it uses, and when it worked."""

    stage: int
    step: int
    worker: int
    first: int
    frames: int
    asked_ps: int
    start_ps: int
    end_ps: int


class Level(NamedTuple):
    """How many frames stood in the queue before a stage from `at_ps` on."""

    stage: int
    at_ps: int
    frames: int


@dataclass(slots=True)
class Record:
    """What happened. Per frame: picoseconds of arrival, of entering and of leaving each stage's queue, and of leaving
    the system (-1: dropped)."""

    frames: int
    stages: int
    turns: list[Turn] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    arrived_ps: list[int] = field(default_factory=list)
    queued_ps: list[list[int]] = field(default_factory=list)
    taken_ps: list[list[int]] = field(default_factory=list)
    done_ps: list[int] = field(default_factory=list)
    blocked_ps: list[int] = field(default_factory=list)
    end_ps: int = 0

    def __post_init__(self) -> None:
        self.arrived_ps, self.done_ps = [-1] * self.frames, [-1] * self.frames
        self.queued_ps = [[-1] * self.frames for _ in range(self.stages)]
        self.taken_ps = [[-1] * self.frames for _ in range(self.stages)]
        self.blocked_ps = [0] * self.stages


def replay(system: System, services: Services, max_events: int = MAX_EVENTS) -> Record:
    """Run `system` from its first frame to its last.

    Raises InputError when it has so many frames that about `max_events` events would not do.
    """
    events = system.frames * len(system.stages) * EVENTS_A_FRAME
    if events > max_events:
        raise bad_input("too-many-events", events, f"a replay has at most {max_events} events",
                        f"Run at most {max_events // (len(system.stages) * EVENTS_A_FRAME)} frames.",
                        key="frames")  # fmt: skip
    return _Replay(system, services).run()


def factor(step: Step, rng: random.Random) -> float:
    """How much longer or shorter than the mean one turn takes: a random number of mean 1."""
    if step.distribution == FIXED or (step.spread == 0 and step.distribution != EXPONENTIAL):
        return 1.0
    if step.distribution == EXPONENTIAL:
        return rng.expovariate(1.0)
    if step.distribution == UNIFORM:
        return rng.uniform(1 - step.spread, 1 + step.spread)
    assert step.distribution == LOGNORMAL
    variance = log(1 + step.spread**2)
    return rng.lognormvariate(-variance / 2, sqrt(variance))


class _Replay:
    """One simulation: the environment, its queues and what they use, and the record being filled."""

    def __init__(self, system: System, services: Services) -> None:
        self.env = simpy.Environment()
        self.system, self.services = system, services
        self.rng = random.Random(system.seed)
        self.out = Record(system.frames, len(system.stages))
        room = [s.queue if system.overlap or k == 0 else float("inf") for k, s in enumerate(system.stages)]
        self.queues = [simpy.Store(self.env, capacity) for capacity in room]
        self.gathering = [simpy.Resource(self.env) for _ in system.stages]
        self.shared = {name: simpy.Resource(self.env, count) for name, count in (system.resources or {}).items()}
        self.gates = [simpy.Container(self.env) for _ in system.stages]
        self.passed = [0] * len(system.stages)
        self.waiting = [0] * len(system.stages)
        self.working = [stage.workers for stage in system.stages]

    def run(self) -> Record:
        if not self.system.overlap:
            self.gates[0].put(self.system.batch)
        self.env.process(self.source())
        for k, stage in enumerate(self.system.stages):
            for worker in range(stage.workers):
                self.env.process(self.worker(k, stage, worker))
        self.env.run()
        self.out.end_ps = max(self.out.done_ps, default=0)
        return self.out

    def now(self) -> int:
        return int(self.env.now)

    # Queues

    def source(self) -> Process:
        """Files are there when asked for; a camera's frames come when they come, and are lost where none fits."""
        rate = self.system.frame_rate_hz
        for frame in range(self.system.frames):
            if rate:
                yield self.env.timeout(round(frame * PS_PER_S / rate) - self.now())
                self.out.arrived_ps[frame] = self.now()
                if len(self.queues[0].items) >= self.queues[0].capacity:
                    continue
            yield from self.put(0, frame)
        yield self.queues[0].put(END)

    def put(self, k: int, frame: int) -> Process:
        yield self.queues[k].put(frame)
        self.out.queued_ps[k][frame] = self.now()
        if self.out.arrived_ps[frame] < 0:
            self.out.arrived_ps[frame] = self.now()
        self.note(k, 1)

    def note(self, k: int, change: int) -> None:
        self.waiting[k] += change
        self.out.levels.append(Level(k, self.now(), self.waiting[k]))

    def gather(self, k: int, most: int) -> Generator[simpy.Event, Any, list[int]]:
        """The next `most` frames, fewer at the end of the stream, none behind it."""
        group: list[int] = []
        with self.gathering[k].request() as turn:
            yield turn
            while len(group) < most:
                if not self.system.overlap:
                    yield self.gates[k].get(1)
                frame = yield self.queues[k].get()
                if frame == END:
                    yield from self.leave_for_others(k)
                    break
                self.out.taken_ps[k][frame] = self.now()
                self.note(k, -1)
                group.append(frame)
        return group

    def leave_for_others(self, k: int) -> Process:
        """Put back what says that the stream has ended, for the other workers of the stage."""
        yield self.queues[k].put(END)
        if not self.system.overlap:
            yield self.gates[k].put(1)

    # Workers

    def worker(self, k: int, stage: Stage, number: int) -> Process:
        most = self.system.units(stage)
        while group := (yield from self.gather(k, most)):
            for i, step in enumerate(stage.steps):
                yield from self.turn(k, i, number, group, step)
            yield from self.hand_on(k, group)
        self.working[k] -= 1
        if self.working[k] == 0 and k + 1 < len(self.queues):
            if not self.system.overlap:
                yield self.gates[k + 1].put(self.system.batch)
            yield self.queues[k + 1].put(END)

    def turn(self, k: int, i: int, number: int, group: list[int], step: Step) -> Process:
        """One step, with one of what it uses."""
        asked, length = self.now(), self.length(k, step, len(group))
        if step.uses:
            with self.shared[step.uses].request() as held:
                yield held
                start = self.now()
                yield self.env.timeout(length)
        else:
            start = asked
            yield self.env.timeout(length)
        self.out.turns.append(Turn(k, i, number, group[0], len(group), asked, start, self.now()))

    def length(self, k: int, step: Step, frames: int) -> int:
        """Picoseconds of one turn: what is written down varies, the accelerator's run does not."""
        stage = self.system.stages[k]
        own = step.unit_time.value + frames * step.frame_time.value
        return round(own * factor(step, self.rng)) + self.services.run_ps(stage, step, frames)

    def hand_on(self, k: int, group: list[int]) -> Process:
        """Frames into the next queue, or out of the system."""
        finished = self.now()
        for frame in group:
            if k + 1 < len(self.queues):
                yield from self.put(k + 1, frame)
            else:
                self.out.done_ps[frame] = finished
        self.out.blocked_ps[k] += self.now() - finished
        if self.system.overlap:
            return
        self.passed[k] += len(group)
        if self.passed[k] == self.system.batch:
            self.passed[k] = 0
            yield self.gates[(k + 1) % len(self.gates)].put(self.system.batch)
