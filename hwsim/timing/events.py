"""Event-driven timing: a SimPy replay of a program, chunk by chunk, in integer picoseconds.

Every load stream, unit and store stream is a process that serves its chunks in program order; buffer slots and ports
are SimPy resources. With a port to each stream this is what `hwsim.timing.recurrence` says in closed form, and its
oracle; with `contended` the streams of one physical port take turns chunk by chunk, first come, first served, which
the recurrence does not see.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import simpy

from hwsim.errors import bad_input
from hwsim.timing.recurrence import Resources, Steps, Times, cause_of, new_times, validate

MAX_EVENTS = 20_000_000
EVENTS_A_CHUNK = 17
"""Upper estimate of SimPy's events for a chunk that is loaded, worked on and stored (a test counts 16)."""

Process = Generator[simpy.Event, Any, None]


class Refresh(NamedTuple):
    """A port is unavailable for `busy_ps` (tRFC) from every multiple of `period_ps` (tREFI) on; period 0: never.

    A transfer under way pauses meanwhile. Time 0 is not refreshed.
    """

    period_ps: int = 0
    busy_ps: int = 0


def transfer_end(start_ps: int, length_ps: int, refresh: Refresh) -> int:
    """When a transfer of `length_ps` that gets the port at `start_ps` has ended, pauses for refreshes included."""
    period, busy = refresh
    if period == 0 or length_ps == 0:
        return start_ps + length_ps
    useful = _useful_before(start_ps, refresh) + length_ps
    if useful <= period:
        return useful
    pauses = -((period - useful) // (period - busy))
    return useful + pauses * busy


def _useful_before(time_ps: int, refresh: Refresh) -> int:
    """Picoseconds before `time_ps` in which the port was available."""
    pauses = time_ps // refresh.period_ps
    if pauses == 0:
        return time_ps
    still_busy = max(0, pauses * refresh.period_ps + refresh.busy_ps - time_ps)
    return time_ps - pauses * refresh.busy_ps + still_busy


def pieces(total: int, count: int) -> Iterator[int]:
    """`total` cut into `count` whole numbers: equal ones, and the rest in the last."""
    for _ in range(count - 1):
        yield total // count
    yield total - (count - 1) * (total // count)


def replay(
    steps: Steps,
    resources: Resources,
    contended: bool = False,
    refresh: Mapping[int, Refresh] | None = None,
    max_events: int = MAX_EVENTS,
) -> Times:
    """The times of the program `steps` on `resources`, by simulating every chunk.

    contended   streams on one physical port take turns; otherwise each stream has a port of its own
    refresh     by physical port, when it is unavailable

    Raises InputError when the program has so many chunks that about `max_events` events would not do.
    """
    validate(steps, resources)
    _check_size(sum(steps.chunks), max_events)
    _check_refresh(refresh or {})
    return _Replay(steps, resources, contended, refresh or {}).run()


def _check_size(n_chunks: int, max_events: int) -> None:
    if n_chunks * EVENTS_A_CHUNK > max_events:
        raise bad_input(
            "too-many-events",
            n_chunks * EVENTS_A_CHUNK,
            f"a replay has at most {max_events} events, and this program cuts its transfers into {n_chunks} chunks",
            "Use --fidelity closed, a smaller workload, or larger chunks.",
            key="fidelity",
        )


def _check_refresh(refresh: Mapping[int, Refresh]) -> None:
    for port, (period, busy) in refresh.items():
        if period and not 0 <= busy < period:
            raise bad_input("refresh", (period, busy), f"port {port} must be available for part of each refresh period")


class _Replay:
    """One simulation: the environment, its resources, and the columns being filled."""

    def __init__(self, steps: Steps, resources: Resources, contended: bool, refresh: Mapping[int, Refresh]) -> None:
        n = len(steps.load)
        self.env = simpy.Environment()
        self.steps = steps
        self.resources = resources
        self.refresh = refresh
        self.out = new_times(n)
        self.loaded = [simpy.Store(self.env) for _ in range(n)]
        self.worked = [simpy.Store(self.env) for _ in range(n)]
        self.work_ended = [self.env.event() for _ in range(n)]
        self.store_ended = [self.env.event() for _ in range(n)]
        self.done = [self.env.event() for _ in range(n)]
        self.slots = [[simpy.Resource(self.env) for _ in range(count)] for count in resources.slots]
        self.load_port = self._ports(contended)
        self.store_port = self.load_port if contended else self._ports(contended)

    def _ports(self, shared: bool) -> list[simpy.Resource]:
        """The port of each memory resource: the physical one, or one of its own."""
        numbers = self.resources.port if shared else range(len(self.resources.port))
        ports = {number: simpy.Resource(self.env) for number in numbers}
        return [ports[number] for number in numbers]

    def run(self) -> Times:
        for process in self._processes():
            self.env.process(process)
        self.env.run()
        self._attribute()
        return self.out

    def _now(self) -> int:
        return int(self.env.now)

    def _processes(self) -> Iterator[Process]:
        steps = self.steps
        for r in range(len(self.resources.slots)):
            yield self._load_stream(r)
            yield self._store_stream(r)
        for u in range(self.resources.n_units):
            yield self._unit(_where(steps.unit, u))
        for i in _where(steps.unit, -1):
            yield self._unit([i])
        for i in range(len(steps.load)):
            yield self._completion(i)

    def _after(self, i: int) -> simpy.Event:
        first, last = self.steps.dep_start[i], self.steps.dep_start[i + 1]
        return self.env.all_of([self.done[self.steps.dep[k]] for k in range(first, last)])

    def _transfer(self, port: simpy.Resource, r: int, length_ps: int) -> Generator[simpy.Event, Any, int]:
        """One chunk's turn on a port; when it got it."""
        with port.request() as turn:
            yield turn
            start = self._now()
            end = transfer_end(start, length_ps, self.refresh.get(self.resources.port[r], Refresh()))
            yield self.env.timeout(end - start)
        return start

    def _load_stream(self, r: int) -> Process:
        """Loads its steps' chunks, each into the next slot of a circular buffer."""
        out, slots = self.out, itertools.cycle(self.slots[r])
        for i in _where(self.steps.load, r):
            if self.steps.load_waits[i]:
                yield self._after(i)
            out.turn_ps[i] = self._now()
            for j, load_ps in enumerate(pieces(self.steps.load_ps[i], self.steps.chunks[i])):
                slot = next(slots)
                held = slot.request()
                yield held
                start = yield from self._transfer(self.load_port[r], r, load_ps)
                if j == 0:
                    out.load_start[i] = start
                self.env.process(self._arrive(i, slot, held))
            out.load_end[i] = self._now()

    def _arrive(self, i: int, slot: simpy.Resource, held: Any) -> Process:
        yield self.env.timeout(self.steps.lead_ps[i])
        yield self.loaded[i].put((slot, held))

    def _unit(self, mine: Sequence[int]) -> Process:
        """Works on its steps' chunks as they arrive; the work of a pure transfer takes no time."""
        out, steps = self.out, self.steps
        for i in mine:
            yield self._after(i)
            out.ready_ps[i] = self._now()
            total = steps.work_ps[i] if steps.unit[i] >= 0 else 0
            for j, work_ps in enumerate(pieces(total, steps.chunks[i])):
                chunk = (yield self.loaded[i].get()) if steps.load[i] >= 0 else None
                if j == 0:
                    out.work_start[i] = self._now()
                yield self.env.timeout(work_ps)
                if chunk is not None:
                    slot, held = chunk
                    yield slot.release(held)
                yield self.worked[i].put(j)
            out.work_end[i] = self._now()
            self.work_ended[i].succeed()

    def _store_stream(self, r: int) -> Process:
        """Stores its steps' chunks in program order, each once it is worked on."""
        for i in _where(self.steps.store, r):
            for j, store_ps in enumerate(pieces(self.steps.store_ps[i], self.steps.chunks[i])):
                yield self.worked[i].get()
                start = yield from self._transfer(self.store_port[r], r, store_ps)
                if j == 0:
                    self.out.store_start[i] = start
            self.out.store_end[i] = self._now()
            self.store_ended[i].succeed()

    def _completion(self, i: int) -> Process:
        yield self.work_ended[i]
        yield self.env.timeout(self.steps.drain_ps[i])
        if self.steps.store[i] >= 0:
            yield self.store_ended[i]
        self.out.done_ps[i] = self._now()
        self.done[i].succeed()

    def _attribute(self) -> None:
        """Fill the columns that follow from the times of each step."""
        out, latest = self.out, 0
        for i in range(len(self.steps.load)):
            self._fill_absent(i)
            out.exposed_ps[i] = max(0, out.done_ps[i] - latest)
            latest = max(latest, out.done_ps[i])
            work = self.steps.work_ps[i] if self.steps.unit[i] >= 0 else 0
            span = out.work_end[i] - out.work_start[i]
            out.stall_ps[i] = span - work if self.steps.unit[i] >= 0 else 0
            worked = work + self.steps.drain_ps[i]
            waited = out.work_end[i] - out.ready_ps[i] - work
            tail = out.done_ps[i] - out.work_end[i] - self.steps.drain_ps[i]
            out.cause[i] = cause_of(waited, self._slot_waited(i), worked, tail)

    def _fill_absent(self, i: int) -> None:
        out = self.out
        if self.steps.load[i] < 0:
            out.turn_ps[i] = out.load_start[i] = out.load_end[i] = out.work_start[i]
        if self.steps.store[i] < 0:
            out.store_start[i] = out.store_end[i] = out.work_end[i]
        out.start_ps[i] = out.load_start[i]

    def _slot_waited(self, i: int) -> int:
        """How long the load of step i had its turn without loading: for want of a slot, or of the port."""
        if self.steps.load[i] < 0:
            return 0
        return self.out.load_end[i] - self.out.turn_ps[i] - self.steps.load_ps[i]


def _where(column: Sequence[int], value: int) -> list[int]:
    return [i for i, found in enumerate(column) if found == value]
