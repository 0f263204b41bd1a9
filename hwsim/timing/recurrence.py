"""Closed timing: when each step of a program loads, works, stores and is done, in integer picoseconds.

A step moves its data in `chunks` pieces: a chunk is loaded into a slot of its memory level's buffer, worked on by a
unit, and stored. Units and streams serve chunks in program order, so every time is the maximum of a few earlier times
plus a duration (a max-plus recurrence). The chunks of one step but the last are equal, which gives the recurrence a
closed form over them: a step costs O(slots) whatever its number of chunks. docs/timing.md states the semantics and
derives the form; tests/test_recurrence.py holds it against a per-chunk twin and against SimPy.

The functions here index columns and loop, nothing else, so that `hwsim.timing.compile.compiled_recurrence` turns the
same source into machine code over numpy arrays. In a single run they are ordinary Python over lists.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import NamedTuple

from hwsim.pure import pure

Column = MutableSequence[int]

WORK, LOAD, SLOT, DEPENDENCY, STORE = range(5)
CAUSES = ("work", "load", "slot", "dependency", "store")
"""What bound a step, by code: its unit's work, its load stream, too few slots, nothing of its own, its store stream."""


class Steps(NamedTuple):
    """A program as parallel columns, one entry a step, in program order.

    load, store  memory resource of the step's load and store stream, or -1; a resource used both ways is two streams
    lead_ps      from the end of a chunk's load until it can be worked on; does not occupy the port
    unit         what works, or -1: then the work takes no time and `work_ps` is not read
    drain_ps     from the end of the last work until the result can be used
    chunks       in how many pieces load, work and store are cut, >= 1; X over T is T-1 pieces of X // T and the rest
    load_waits   1 when the load, and not only the work, needs the dependencies done
    dep_start    of length n + 1: step i needs the steps dep[dep_start[i] : dep_start[i + 1]], all earlier than i
    """

    load: Column
    load_ps: Column
    lead_ps: Column
    unit: Column
    work_ps: Column
    drain_ps: Column
    store: Column
    store_ps: Column
    chunks: Column
    load_waits: Column
    dep_start: Column
    dep: Column


class Resources(NamedTuple):
    """What a program runs on. By memory resource: `slots`, chunks its load buffer holds (>= 1), and `port`, the
    physical port that its streams use."""

    slots: Column
    port: Column
    n_units: int


class Times(NamedTuple):
    """What is computed, one entry a step, in picoseconds.

    start_ps                 when anything of the step starts: its load, or its work when it has none
    done_ps                  when its result can be used: after its drain and its last store
    exposed_ps               by how much it moves the end of the program so far; sums to the makespan
    turn_ps                  when its load could have started with a slot free
    ready_ps                 when its work could have started with the data there: unit free, dependencies done
    load_start .. store_end  from the start of the first chunk to the end of the last one; without a load, both
                             load columns are `work_start`; without a store, both store columns are `work_end`
    stall_ps                 how long its unit was held without working: between `work_start` and `work_end`
    cause                    what bound it, an index into CAUSES (see `cause_of`)
    """

    start_ps: Column
    done_ps: Column
    exposed_ps: Column
    turn_ps: Column
    ready_ps: Column
    load_start: Column
    load_end: Column
    work_start: Column
    work_end: Column
    store_start: Column
    store_end: Column
    stall_ps: Column
    cause: Column


class Scratch(NamedTuple):
    """State of a run, by unit or memory resource; `ring` holds, level after level, the ends of work of the last
    `slots` chunks, the oldest at `head`. The fields from `mate` on serve the bound for a shared port."""

    unit_free: Column
    load_free: Column
    store_free: Column
    ring: Column
    ring_at: Column
    head: Column
    mate: Column
    bound: Column
    seen: Column
    first_load: Column
    first_store: Column
    load_sum: Column
    store_sum: Column


def new_times(n_steps: int) -> Times:
    """Zeroed output columns, as lists."""
    return Times(*([0] * n_steps for _ in Times._fields))


def new_scratch(resources: Resources) -> Scratch:
    """State for one program at a time on `resources`, as lists; `run_recurrence` resets it."""
    n = len(resources.slots)
    by_name = {name: [0] * n for name in Scratch._fields}
    return Scratch(**{**by_name, "unit_free": [0] * resources.n_units, "ring": [0] * sum(resources.slots)})


def schedule(steps: Steps, resources: Resources) -> Times:
    """The times of a program, by ordinary Python over lists."""
    out = new_times(len(steps.load))
    run_recurrence(steps, resources, out, new_scratch(resources))
    return out


def validate(steps: Steps, resources: Resources) -> None:
    """Raise ValueError, naming the step or resource, where columns break what `Steps` and `Resources` promise."""
    n, n_resources = len(steps.load), len(resources.slots)
    if len(steps.dep_start) != n + 1 or any(len(column) != n for column in steps[:10]):
        raise ValueError("the columns of a program differ in length")
    if min(resources.slots, default=1) < 1 or min(resources.port, default=0) < 0:
        raise ValueError("a memory resource needs at least one slot and a port")
    for i in range(n):
        _validate_step(steps, i, n_resources, resources.n_units)


def _validate_step(steps: Steps, i: int, n_resources: int, n_units: int) -> None:
    durations = (steps.load_ps, steps.lead_ps, steps.work_ps, steps.drain_ps, steps.store_ps)
    if min(column[i] for column in durations) < 0 or steps.chunks[i] < 1:
        raise ValueError(f"step {i} has a negative duration or no chunk")
    streams_known = -1 <= steps.load[i] < n_resources and -1 <= steps.store[i] < n_resources
    if not streams_known or not -1 <= steps.unit[i] < n_units:
        raise ValueError(f"step {i} names a unit or memory that does not exist")
    if not all(0 <= steps.dep[k] < i for k in range(steps.dep_start[i], steps.dep_start[i + 1])):
        raise ValueError(f"step {i} depends on a step that is not earlier")


@pure
def cause_of(waited_ps: int, slot_waited_ps: int, worked_ps: int, tail_ps: int) -> int:
    """What bound a step: the largest of the three parts that lie between its being ready and its being done.

    waited_ps       its unit, ready for it, waited for data: the load stream, or the slots where the load spent more
                    than half as long waiting for one (`slot_waited_ps`)
    worked_ps       work and drain
    tail_ps         what stores added after them
    """
    if waited_ps > worked_ps and waited_ps >= tail_ps:
        return SLOT if 2 * slot_waited_ps > waited_ps else LOAD
    if tail_ps > worked_ps:
        return STORE
    return WORK if worked_ps > 0 else DEPENDENCY


@pure
def reset(resources: Resources, scratch: Scratch) -> None:
    """The state before the first step."""
    for u in range(resources.n_units):
        scratch.unit_free[u] = 0
    for k in range(len(scratch.ring)):
        scratch.ring[k] = 0
    at = 0
    for r in range(len(resources.slots)):
        scratch.ring_at[r] = at
        at = at + resources.slots[r]
        scratch.head[r] = 0
        scratch.load_free[r] = 0
        scratch.store_free[r] = 0
        scratch.load_sum[r] = 0
        scratch.store_sum[r] = 0
        scratch.mate[r] = -1
        scratch.first_load[r] = -1
        scratch.first_store[r] = -1


@pure
def _chunks(
    count: int, load: int, lead: int, work: int, store: int,
    loaded: int, worked: int, stored: int, ring: Column, base: int, depth: int, head: int,
) -> tuple[int, int, int, int]:  # fmt: skip
    """`count` equal chunks one by one, from the ends of the last load, work and store; the same ends after them."""
    for _ in range(count):
        slot = base + head
        loaded = max(loaded, ring[slot])
        loaded = loaded + load
        worked = max(worked, loaded + lead)
        worked = worked + work
        ring[slot] = worked
        head = head + 1
        if head == depth:
            head = 0
        stored = max(stored, worked)
        stored = stored + store
    return loaded, worked, stored, head


@pure
def _jump_rounds(
    rounds: int, trip: int, store: int, stored: int, ring: Column, base: int, depth: int, head: int
) -> int:
    """Slots bind: each round of `depth` chunks repeats the one before, `trip` later. The end of the last store.

    A store queue behind a periodic sequence is longest after its first period, which has been walked, or its last.
    """
    stored = stored + rounds * depth * store
    slot = head
    for k in range(depth):
        ring[base + slot] = ring[base + slot] + rounds * trip
        stored = max(stored, ring[base + slot] + (depth - k) * store)
        slot = slot + 1
        if slot == depth:
            slot = 0
    return stored


@pure
def _jump_steady(
    count: int, load: int, lead: int, work: int, store: int,
    loaded: int, worked: int, stored: int, ring: Column, base: int, depth: int, head: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Slots do not bind: the load runs at its own rate when it is the slower one, the work when that is.

    For `count` >= depth chunks. The ends of work are the larger of two straight lines in the chunk number, which is
    convex, so a store queue behind them is longest after the chunk walked last or the last of these. Where slots hold
    faster loads back, the end of the last load comes out too early; the next load then starts when its slot is free.
    """
    arrived = loaded + lead + work
    slot = head
    for n in range(count - depth + 1, count + 1):
        ring[base + slot] = max(worked + n * work, arrived + n * load)
        slot = slot + 1
        if slot == depth:
            slot = 0
    worked = max(worked + count * work, arrived + count * load)
    return loaded + count * load, worked, max(stored + count * store, worked + store)


@pure
def pipeline(
    chunks: int, load_ps: int, lead: int, work_ps: int, store_ps: int,
    loaded: int, worked: int, stored: int, ring: Column, base: int, depth: int, head: int,
) -> tuple[int, int, int, int]:  # fmt: skip
    """The ends of the last load, work and store of a step of several chunks, and the ring's new head.

    After 2 * depth chunks only one of three things can set the pace, and the rest but the last chunk is one jump.
    """
    if chunks == 1:
        return _chunks(1, load_ps, lead, work_ps, store_ps, loaded, worked, stored, ring, base, depth, head)
    load = load_ps // chunks
    work = work_ps // chunks
    store = store_ps // chunks
    rest = chunks - 1
    ahead = min(rest, 2 * depth)
    loaded, worked, stored, head = _chunks(
        ahead, load, lead, work, store, loaded, worked, stored, ring, base, depth, head
    )
    rest = rest - ahead
    if rest >= depth:
        trip = load + lead + work
        if trip > depth * max(load, work):
            rounds = rest // depth
            stored = _jump_rounds(rounds, trip, store, stored, ring, base, depth, head)
            loaded = loaded + rounds * trip
            worked = worked + rounds * trip
            rest = rest - rounds * depth
        else:
            loaded, worked, stored = _jump_steady(
                rest, load, lead, work, store, loaded, worked, stored, ring, base, depth, head
            )
            rest = 0
    if rest > 0:
        loaded, worked, stored, head = _chunks(
            rest, load, lead, work, store, loaded, worked, stored, ring, base, depth, head
        )
    before = chunks - 1
    return _chunks(
        1, load_ps - before * load, lead, work_ps - before * work, store_ps - before * store,
        loaded, worked, stored, ring, base, depth, head,
    )  # fmt: skip


@pure
def store_behind(chunks: int, store_ps: int, begin: int, work_ps: int, stored: int) -> int:
    """The end of the last store behind work that never pauses from `begin` on."""
    store = store_ps // chunks
    work = work_ps // chunks
    before = chunks - 1
    if before > 0:
        stored = max(stored, begin + work, begin + before * work - (before - 1) * store) + before * store
    return max(stored, begin + work_ps) + store_ps - before * store


@pure
def _port_bound(r: int, s: int, load_ps: int, store_ps: int, begin: int, scratch: Scratch, same: bool) -> int:
    """A time before which the last store of a step cannot end, when its stores share a port with loads.

    By then the port has carried, one after the other, all stores of its store stream `s` so far and all loads of the
    load stream that shares the port (`same`: this step's, `r`) up to the last step that used both. The bound takes the
    best start to count from: the first use of the two streams, or the start (`begin`) of any step that used both.
    """
    if not same:
        scratch.bound[s] = scratch.bound[s] + store_ps
        return scratch.bound[s]
    if scratch.mate[s] == r:
        total = scratch.bound[s] + scratch.load_sum[r] - scratch.seen[s] + store_ps
    else:
        total = min(scratch.first_load[r], scratch.first_store[s]) + scratch.load_sum[r] + scratch.store_sum[s]
    scratch.mate[s] = r
    scratch.seen[s] = scratch.load_sum[r]
    scratch.bound[s] = max(total, begin + load_ps + store_ps)
    return scratch.bound[s]


@pure
def _dependencies_done(i: int, steps: Steps, out: Times) -> int:
    latest = 0
    for k in range(steps.dep_start[i], steps.dep_start[i + 1]):
        done = out.done_ps[steps.dep[k]]
        latest = max(latest, done)
    return latest


@pure
def _work_alone(i: int, steps: Steps, out: Times, ready: int, work: int, stored: int) -> tuple[int, int]:
    """A step without a load: its work never pauses. The ends of its work and of its last store."""
    out.turn_ps[i] = ready
    out.load_start[i] = ready
    out.load_end[i] = ready
    out.work_start[i] = ready
    if steps.store[i] < 0:
        return ready + work, stored
    out.store_start[i] = max(stored, ready + work // steps.chunks[i])
    return ready + work, store_behind(steps.chunks[i], steps.store_ps[i], ready, work, stored)


@pure
def _load_and_work(
    i: int, steps: Steps, resources: Resources, out: Times, scratch: Scratch,
    deps: int, ready: int, work: int, stored: int,
) -> tuple[int, int]:  # fmt: skip
    """A step with a load. The ends of its work and of its last store."""
    r = steps.load[i]
    load_ps = steps.load_ps[i]
    chunks = steps.chunks[i]
    turn = scratch.load_free[r]
    if steps.load_waits[i] and deps > turn:
        turn = deps
    base = scratch.ring_at[r]
    head = scratch.head[r]
    begin = max(turn, scratch.ring[base + head])
    out.turn_ps[i] = turn
    out.load_start[i] = begin
    out.work_start[i] = max(ready, begin + load_ps // chunks + steps.lead_ps[i])
    store_ps = 0
    if steps.store[i] >= 0:
        store_ps = steps.store_ps[i]
        out.store_start[i] = max(stored, out.work_start[i] + work // chunks)
    loaded, end, stored, head = pipeline(
        chunks, load_ps, steps.lead_ps[i], work, store_ps,
        turn, ready, stored, scratch.ring, base, resources.slots[r], head,
    )  # fmt: skip
    out.load_end[i] = loaded
    scratch.head[r] = head
    scratch.load_free[r] = loaded
    scratch.load_sum[r] += load_ps
    if scratch.first_load[r] < 0:
        scratch.first_load[r] = begin
    return end, stored


@pure
def store_end(
    r: int, s: int, load_ps: int, store_ps: int, begin: int, store_start: int, resources: Resources, scratch: Scratch,
    stored: int,
) -> int:  # fmt: skip
    """The end of the last store of a step, raised to what a port shared with loads allows.

    r, s          its load stream, or -1, and its store stream
    begin         when its first load starts
    store_start   when its first store starts; read for the first step that stores to `s` alone
    """
    scratch.store_sum[s] += store_ps
    if scratch.first_store[s] < 0:
        scratch.first_store[s] = store_start
    same = r >= 0 and resources.port[r] == resources.port[s]
    if same or scratch.mate[s] >= 0:
        stored = max(stored, _port_bound(r, s, load_ps, store_ps, begin, scratch, same))
    scratch.store_free[s] = stored
    return stored


@pure
def _attribute(i: int, steps: Steps, out: Times, ready: int, work: int, latest: int) -> int:
    """Fill the columns that follow from the times of step i; the end of the program so far."""
    end = out.work_end[i]
    done = out.done_ps[i]
    worked = work + steps.drain_ps[i]
    waited = end - ready - work
    out.start_ps[i] = out.load_start[i]
    out.stall_ps[i] = end - out.work_start[i] - work if steps.unit[i] >= 0 else 0
    out.cause[i] = WORK
    if done - ready != worked or worked == 0:
        slot_waited = out.load_end[i] - out.turn_ps[i] - steps.load_ps[i]
        out.cause[i] = cause_of(waited, slot_waited, worked, done - ready - waited - worked)
    out.exposed_ps[i] = 0
    if done > latest:
        out.exposed_ps[i] = done - latest
        latest = done
    return latest


@pure
def run_recurrence(steps: Steps, resources: Resources, out: Times, scratch: Scratch) -> None:
    """Fill `out` with the times of the program `steps` on `resources`.

    All columns are lists of ints (ordinary Python) or int64 arrays (compiled). `scratch` comes from `new_scratch` and
    may be used again; nothing is allocated here.
    """
    reset(resources, scratch)
    latest = 0
    for i in range(len(steps.load)):
        u = steps.unit[i]
        s = steps.store[i]
        deps = _dependencies_done(i, steps, out)
        ready = deps
        work = 0
        if u >= 0:
            ready = max(deps, scratch.unit_free[u])
            work = steps.work_ps[i]
        out.ready_ps[i] = ready
        stored = scratch.store_free[s] if s >= 0 else 0
        if steps.load[i] < 0:
            end, stored = _work_alone(i, steps, out, ready, work, stored)
        else:
            end, stored = _load_and_work(i, steps, resources, out, scratch, deps, ready, work, stored)
        if u >= 0:
            scratch.unit_free[u] = end
        out.work_end[i] = end
        done = end + steps.drain_ps[i]
        if s >= 0:
            stored = store_end(
                steps.load[i], s, steps.load_ps[i], steps.store_ps[i], out.load_start[i], out.store_start[i],
                resources, scratch, stored,
            )  # fmt: skip
            done = max(done, stored)
        else:
            out.store_start[i] = end
            stored = end
        out.store_end[i] = stored
        out.done_ps[i] = done
        latest = _attribute(i, steps, out, ready, work, latest)
