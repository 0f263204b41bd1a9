"""A model's pure functions over many designs at once: what the compiled batch evaluation runs.

    machine_driver, amounts_driver, holding_driver: one pure function over the designs
    counts_driver, times_driver   count, and time, all tasks of one kind; sums over the program
    finish_driver                 when the program ends, design by design
    peaks                         what every memory level holds at most, in program order
    group                         designs that agree in some columns, found by hashing

Every driver fills arrays that its caller owns and uses again, runs without the GIL, and marks the rows in which a
divisor was zero or an integer left 64 bits. The timing of a task is `hwsim.demand.task_times` with the layout's loop
unrolled: each field's share is a closure over its indices, which the compiler folds to constants.

Importing this module imports numba.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numba
import numpy as np

from hwsim.demand import CHUNKS as CHUNKS_KIND
from hwsim.demand import DRAIN, LOAD, MOVE, STORE, WORK, Layout
from hwsim.memory import DRAM, latency_ps, level_ps
from hwsim.pure import cycles_to_ps, pure
from hwsim.timing import recurrence
from hwsim.timing.checked import checked_add
from hwsim.timing.compile import CHECKED_PART, LOOP, engine_part, pure_part
from hwsim.timing.linking import PartCompiler
from hwsim.timing.recurrence import Column, pipeline, reset, store_behind, store_end

T_LOAD, T_LOAD_PS, T_LEAD, T_UNIT, T_WORK, T_DRAIN, T_STORE, T_STORE_PS, T_CHUNKS = range(9)
TIME_COLUMNS = 9
"""A task's time as the drivers keep it: the fields of `hwsim.demand.TaskTime` less `bound`."""

FAILED = 1
NOT_SERIAL = -2
"""In place of a unit: the tasks of a row load, store, drain, or work on several units."""
LARGEST_SPAN_PS = 2.0**62
"""Time can only leave 64 bits where all durations of a program together come near it."""

ROW: dict[str, Any] = CHECKED_PART
"""Options of what handles one design: checked arithmetic, errors raised."""
INLINED: dict[str, Any] = ROW | {"inline": "always"}
"""Options of the small parts of a task's time: calls would cost as much as what they do."""
PART: dict[str, Any] = LOOP | {"pipeline_class": PartCompiler}
"""Options of the parts of loops, whose integers are known to stay within 64 bits."""


# --- one pure function over the designs -------------------------------------------------------------------------


@cache
def machine_driver(machine: Callable[..., Any], places: tuple[tuple[int, int], ...]) -> Any:
    """drive(designs, parts, units, levels, status): the machine of designs[i] in row i.

    places  per field of the Machine: 0 for a unit and 1 for a level, and its index among those
    units   int64[designs, units, fields of Unit]
    levels  int64[designs, levels, fields of MemoryLevel]
    """
    built = pure_part(machine)
    write = _written(places)

    @numba.njit(**LOOP)
    def drive(designs: Any, parts: Any, units: Any, levels: Any, status: Any) -> None:
        for i in range(len(designs)):
            try:
                write(built(designs[i], parts), units, levels, i)
            except Exception:
                status[i] = FAILED

    return drive


def _written(places: Sequence[tuple[int, int]]) -> Any:
    """A function that writes every field of a machine to its place: fields differ in type, so there is no loop."""
    whole: Any = None
    for field, (is_level, at) in enumerate(places):
        whole = _field_writer(field, at, bool(is_level), whole)
    return whole


def _field_writer(field: int, at: int, is_level: bool, before: Any) -> Any:
    def to_level(machine: Any, units: Any, levels: Any, i: Any) -> None:
        row = machine[field]
        for k in range(len(row)):
            levels[i, at, k] = row[k]

    def to_unit(machine: Any, units: Any, levels: Any, i: Any) -> None:
        row = machine[field]
        for k in range(len(row)):
            units[i, at, k] = row[k]

    own = numba.njit(**PART)(to_level if is_level else to_unit)
    if before is None:
        return own

    @numba.njit(**PART)
    def both(machine: Any, units: Any, levels: Any, i: Any) -> None:
        before(machine, units, levels, i)
        own(machine, units, levels, i)

    return both


@cache
def amounts_driver(function: Callable[..., Any]) -> Any:
    """drive(designs, reps, parts, out, status): the numbers that function(design, parts) answers with, in row g."""
    built = pure_part(function)

    @numba.njit(**LOOP)
    def drive(designs: Any, reps: Any, parts: Any, out: Any, status: Any) -> None:
        for g in range(len(reps)):
            try:
                row = built(designs[reps[g]], parts)
                for k in range(len(row)):
                    out[g, k] = row[k]
            except Exception:
                status[g] = FAILED

    return drive


@cache
def holding_driver(bits: Callable[..., Any]) -> Any:
    """drive(designs, reps, holdings, columns, out, status): bits(design, holding) into out[g, columns[h]]."""
    built = pure_part(bits)

    @numba.njit(**LOOP)
    def drive(designs: Any, reps: Any, holdings: Any, columns: Any, out: Any, status: Any) -> None:
        for g in range(len(reps)):
            try:
                design = designs[reps[g]]
                for h in range(len(holdings)):
                    out[g, columns[h]] = built(design, holdings[h])
            except Exception:
                status[g] = FAILED

    return drive


# --- the time of a task, field by field -------------------------------------------------------------------------

MEMORY = 4096
"""Transfers that are remembered, a power of two: tasks and designs that move the same bits in the same runs share
what the DRAM part takes for them."""


class Asked(NamedTuple):
    """What the time of a task depends on, beside its counts.

    units, levels   of a design's machine
    dram            the part, the same for all designs
    leads           int64[levels]: latencies found so far for this design, -1 elsewhere
    memory          int64[MEMORY, 4]: transfers found so far, for any design; zeros where none
    """

    units: Any
    levels: Any
    dram: Any
    leads: Any
    memory: Any


def new_asked(units: Any, levels: Any, dram: Any) -> Asked:
    """An Asked that remembers nothing yet. units and levels have a row a design, dram one row."""
    return Asked(units, levels, dram, np.zeros(levels.shape[1], np.int64), np.zeros((MEMORY, 4), np.int64))


_UNUSED_BITS = np.uint64(64 - (MEMORY.bit_length() - 1))
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, odd: a product with it spreads what differs over its upper bits."""


@numba.njit(**PART)
def _place(bits: Any, runs: Any, key: Any) -> Any:
    """Where a transfer is remembered."""
    code = (np.uint64(bits) * _MIX ^ np.uint64(runs)) * _MIX ^ np.uint64(key)
    return np.int64((code * _MIX) >> _UNUSED_BITS)


def _held() -> Any:
    """`hwsim.memory.level_ps`, which looks up what a DRAM part takes for a transfer that was met before."""
    level_of = pure_part(level_ps)

    @numba.njit(**ROW)
    def held(asked: Any, at: Any, bits: Any, runs: Any, write: Any) -> Any:
        level = asked.levels[at]
        if level.kind != DRAM:
            return level_of(level, asked.dram, bits, runs, write)
        key = 2 * level.channels + write
        row = asked.memory[_place(bits, runs, key)]
        if row[0] != bits or row[1] != runs or row[2] != key:
            ps = level_of(level, asked.dram, bits, runs, write)
            row[0], row[1], row[2], row[3] = bits, runs, key, ps
        return row[3]

    return held


def _cycles_part(fields: Sequence[int], unit: int) -> Any:
    """Picoseconds of the largest of several fields of cycles of one unit."""
    to_ps = pure_part(cycles_to_ps)
    most = _folded([_field(field) for field in fields], _larger_field)

    @numba.njit(**INLINED)
    def part(counts: Any, asked: Any) -> Any:
        value = most(counts)
        return to_ps(value, asked.units[unit].clock_khz) if value > 0 else 0

    return part


def _field(field: int) -> Any:
    @numba.njit(**INLINED)
    def part(counts: Any) -> Any:
        return counts[field]

    return part


def _larger_field(first: Any, second: Any) -> Any:
    @numba.njit(**INLINED)
    def part(counts: Any) -> Any:
        return max(first(counts), second(counts))

    return part


def _traffic_part(field: int, runs: int, level: int, write: int) -> Any:
    """Picoseconds one field of traffic holds its port: `hwsim.demand.traffic_ps`."""
    held = _held()
    counted = runs if runs >= 0 else field
    floor = 1 if runs >= 0 else 0

    @numba.njit(**INLINED)
    def part(counts: Any, asked: Any) -> Any:
        bits = counts[field]
        if bits <= 0:
            return 0
        pieces = np.int64(1)
        if floor == 1:
            pieces = max(pieces, counts[counted])
        # Not as literals: each would have the whole of the memory's timing compiled once more.
        return held(asked, np.int64(level), bits, pieces, np.int64(write))

    return part


def _sum_or_max(level: int, first: Any, second: Any) -> Any:
    """Two transfers while the unit works: one after the other on a shared port, at the same time on two."""

    @numba.njit(**INLINED)
    def part(counts: Any, asked: Any) -> Any:
        a = first(counts, asked)
        b = second(counts, asked)
        return checked_add(a, b) if asked.levels[level].shared_port == 1 else max(a, b)

    return part


def _larger(first: Any, second: Any) -> Any:
    @numba.njit(**INLINED)
    def part(counts: Any, asked: Any) -> Any:
        return max(first(counts, asked), second(counts, asked))

    return part


def _nothing() -> Any:
    @numba.njit(**INLINED)
    def part(counts: Any, asked: Any) -> Any:
        return 0

    return part


def _folded(parts: Sequence[Any], join: Callable[[Any, Any], Any]) -> Any:
    """All parts joined pair by pair; 0 where there is none."""
    if not parts:
        return _nothing()
    whole = parts[0]
    for part in parts[1:]:
        whole = join(whole, part)
    return whole


def _named(fields: Sequence[tuple[int, int]], otherwise: int, last: bool) -> Any:
    """The second number of the first (or the last) pair whose first names a positive count."""
    whole = _constant(otherwise)
    for field, value in fields if last else reversed(fields):
        whole = _if_positive(field, value, whole)
    return whole


def _constant(value: int) -> Any:
    @numba.njit(**INLINED)
    def part(counts: Any) -> Any:
        return value

    return part


def _if_positive(field: int, value: int, otherwise: Any) -> Any:
    @numba.njit(**INLINED)
    def part(counts: Any) -> Any:
        return value if counts[field] > 0 else otherwise(counts)

    return part


def _count_or_one(fields: Sequence[int]) -> Any:
    """The last positive count of `fields`, or 1."""
    whole = _constant(1)
    for field in fields:
        whole = _own_if_positive(field, whole)
    return whole


def _own_if_positive(field: int, otherwise: Any) -> Any:
    @numba.njit(**INLINED)
    def part(counts: Any) -> Any:
        return counts[field] if counts[field] > 0 else otherwise(counts)

    return part


def _by_unit(columns: Layout, kind: int) -> list[Any]:
    """The cycles of each unit that fields of this kind name."""
    named = _of_kind(columns, kind)
    return [_cycles_part([f for f, u in named if u == unit], unit) for unit in sorted({u for _, u in named})]


def _of_kind(columns: Layout, kind: int) -> list[tuple[int, int]]:
    return [(f, columns.resource[f]) for f, k in enumerate(columns.kind) if k == kind]


@cache
def task_timer(columns: Layout) -> Any:
    """`hwsim.demand.task_times` for one layout, without its loop and without `bound`: timer(counts,
    asked) -> the nine numbers of a task's time."""

    def transfers(kind: int) -> list[tuple[int, Any]]:
        return [(at, _traffic_part(f, columns.runs[f], at, columns.write[f])) for f, at in _of_kind(columns, kind)]

    moves = transfers(MOVE)
    by_level = [
        _folded([p for at, p in moves if at == level], partial(_sum_or_max, level))
        for level in sorted({at for at, _ in moves})
    ]
    work = _folded(_by_unit(columns, WORK) + by_level, _larger)
    drain = _folded(_by_unit(columns, DRAIN), _larger)
    load = _folded([p for _, p in transfers(LOAD)], _larger)
    store = _folded([p for _, p in transfers(STORE)], _larger)
    unit_of = _named(_of_kind(columns, WORK), -1, last=True)
    load_of = _named(_of_kind(columns, LOAD), -1, last=False)
    store_of = _named(_of_kind(columns, STORE), -1, last=False)
    chunks_of = _count_or_one([f for f, _ in _of_kind(columns, CHUNKS_KIND)])
    latency = pure_part(latency_ps)

    @numba.njit(**ROW)
    def timer(counts: Any, asked: Any) -> Any:
        at = load_of(counts)
        lead = 0
        if at >= 0:
            if asked.leads[at] < 0:
                asked.leads[at] = latency(asked.levels[at], asked.dram)
            lead = asked.leads[at]
        return (
            at, load(counts, asked), lead,
            unit_of(counts), work(counts, asked), drain(counts, asked),
            store_of(counts), store(counts, asked), chunks_of(counts),
        )  # fmt: skip

    return timer


# --- all tasks of one kind --------------------------------------------------------------------------------------


def _counter(count: Callable[..., Any]) -> Any:
    """count_all(design, tasks, times_run, counts, totals): every task's counts, and their sums over the program."""
    built = pure_part(count)

    @numba.njit(**ROW)
    def count_all(design: Any, tasks: Any, times_run: Any, counts: Any, totals: Any) -> None:
        for f in range(len(totals)):
            totals[f] = 0
        for j in range(len(tasks)):
            row = built(design, tasks[j])
            n = times_run[j, 0]
            for f in range(len(row)):
                counts[j, f] = row[f]
                totals[f] = totals[f] + n * row[f]

    return count_all


@cache
def counts_driver(count: Callable[..., Any]) -> Any:
    """drive(designs, reps, tasks, times_run, counts, totals, status): row g counts the tasks on designs[reps[g]].

    times_run   int64[tasks, 3]: how often each task runs in all, up to the first token, and up to the last
    counts      int64[rows, tasks, fields]
    totals      int64[rows, fields]: counts summed over the program
    """
    count_all = _counter(count)

    @numba.njit(**LOOP)
    def drive(designs: Any, reps: Any, tasks: Any, times_run: Any, counts: Any, totals: Any, status: Any) -> None:
        for g in range(len(reps)):
            try:
                count_all(designs[reps[g]], tasks, times_run, counts[g], totals[g])
            except Exception:
                status[g] = FAILED

    return drive


def _timed(columns: Layout) -> Any:
    """time_all(asked, counts, times_run, keep, times, sums): every task's time, and how the whole
    program's time adds up where its steps follow one another. Answers (the one unit or NOT_SERIAL, whether anything
    loads or stores, whether anything drains, all durations together)."""
    timer = task_timer(columns)

    @numba.njit(**ROW)
    def time_all(asked: Any, counts: Any, times_run: Any, keep: Any, times: Any, sums: Any) -> Any:
        for k in range(len(asked.leads)):
            asked.leads[k] = -1
        only, moves, drains, span = -1, 0, 0, 0.0
        for k in range(3):
            sums[k] = 0
        for j in range(len(counts)):
            t = timer(counts[j], asked)
            busy = t[T_DRAIN]
            if t[T_UNIT] >= 0:
                busy = busy + t[T_WORK]
            for k in range(3):
                sums[k] = sums[k] + times_run[j, k] * busy
            if t[T_LOAD] >= 0 or t[T_STORE] >= 0:
                moves = 1
            if t[T_DRAIN] > 0:
                drains = 1
            if j == 0:
                only = t[T_UNIT]
            if t[T_UNIT] < 0 or only != t[T_UNIT]:
                only = NOT_SERIAL
            n = float(times_run[j, 0])
            span += n * (float(t[T_LOAD_PS]) + float(t[T_CHUNKS]) * float(t[T_LEAD]) + float(busy))
            span += n * float(t[T_STORE_PS])
            if keep:
                for k in range(TIME_COLUMNS):
                    times[j, k] = t[k]
        return only, moves, drains, span

    return time_all


@cache
def times_driver(columns: Layout) -> Any:
    """drive(asked, reps, counts, row, counted, times_run, keep, times, sums, serial, spans, status).

    Row g times the tasks that counts[row[g]] counted, on the machine of design reps[g].

    asked    an Asked with the units and levels of all designs, and an array that holds the one DRAM part
    counted  status of every row of `counts`
    times    int64[rows, tasks, TIME_COLUMNS], filled when `keep` is set
    sums     int64[rows, 3]: work and drain summed as `times_run` says
    serial   int64[rows, 3]: the one unit that works (or NOT_SERIAL); whether anything loads or stores; or drains
    spans    float64[rows]: all durations together, in picoseconds
    """
    time_all = _timed(columns)

    @numba.njit(**LOOP)
    def drive(
        asked: Any, reps: Any, counts: Any, row: Any, counted: Any, times_run: Any, keep: Any, times: Any,
        sums: Any, serial: Any, spans: Any, status: Any,
    ) -> None:  # fmt: skip
        for g in range(len(reps)):
            status[g] = counted[row[g]]
            if status[g] == 0:
                try:
                    i = reps[g]
                    kept = times[g] if keep else times[0]
                    one = Asked(asked.units[i], asked.levels[i], asked.dram[0], asked.leads, asked.memory)
                    only, moves, drains, span = time_all(one, counts[row[g]], times_run, keep, kept, sums[g])
                    serial[g, 0] = only
                    serial[g, 1] = moves
                    serial[g, 2] = drains
                    spans[g] = span
                except Exception:
                    status[g] = FAILED

    return drive


# --- the end of the program -------------------------------------------------------------------------------------


@pure
def _dependencies_done(i: int, dep_start: Column, dep: Column, done: Column, done_before: int) -> int:
    latest = 0
    for k in range(dep_start[i], dep_start[i + 1]):
        # The step before is in a register still: most programs are nearly chains.
        latest = max(latest, done_before if dep[k] == i - 1 else done[dep[k]])
    return latest


class Worked(NamedTuple):
    """When a step's first load and its first work start, and when its work and its stores end."""

    begin: int
    works: int
    end: int
    stored: int


@pure
def _loaded(
    t: int, times: Column, turn: int, ready: int, work: int, stored: int,
    resources: recurrence.Resources, scratch: recurrence.Scratch,
) -> Worked:  # fmt: skip
    """A step whose times begin at times[t], its load free to start at `turn`."""
    r = 2 * times[t + T_LOAD]
    load, lead, chunks, store = times[t + T_LOAD_PS], times[t + T_LEAD], times[t + T_CHUNKS], times[t + T_STORE_PS]
    base, head, depth = scratch.ring_at[r], scratch.head[r], resources.slots[r]
    begin = max(turn, scratch.ring[base + head])
    works = max(ready, begin + load // chunks + lead)
    if chunks == 1 and times[t + T_STORE] < 0:
        turn = begin + load
        end = works + work
        scratch.ring[base + head] = end
        head = head + 1
        if head == depth:
            head = 0
    else:
        turn, end, stored, head = pipeline(
            chunks, load, lead, work, store, turn, ready, stored, scratch.ring, base, depth, head
        )
    scratch.load_free[r] = turn
    scratch.head[r] = head
    scratch.load_sum[r] += load
    if scratch.first_load[r] < 0:
        scratch.first_load[r] = begin
    return Worked(begin, works, end, stored)


@pure
def _stored(
    t: int, times: Column, step: Worked, work: int, free: int, resources: recurrence.Resources,
    scratch: recurrence.Scratch,
) -> int:  # fmt: skip
    """The end of the last store of a step, its store stream `free` before."""
    r, load = -1, 0
    if times[t + T_LOAD] >= 0:
        r, load = 2 * times[t + T_LOAD], times[t + T_LOAD_PS]
    starts = max(free, step.works + work // times[t + T_CHUNKS])
    return store_end(
        r, 2 * times[t + T_STORE] + 1, load, times[t + T_STORE_PS], step.begin, starts, resources, scratch, step.stored
    )


@pure
def finish(
    order: Column, dep_start: Column, dep: Column, load_waits: Column, times: Column, at: Column,
    resources: recurrence.Resources, done: Column, scratch: recurrence.Scratch,
) -> int:  # fmt: skip
    """`hwsim.timing.recurrence.run_recurrence` as far as `done`; the makespan.

    order  the task of every step
    times  the times of tasks, TIME_COLUMNS numbers each; those of task t begin at times[at[t]]
    done   is filled with the picosecond at which each step's result can be used
    """
    reset(resources, scratch)
    latest = done_before = 0
    for i in range(len(order)):
        t = at[order[i]]
        deps = _dependencies_done(i, dep_start, dep, done, done_before)
        ready, work, free = deps, 0, 0
        u = times[t + T_UNIT]
        if u >= 0:
            ready = max(deps, scratch.unit_free[u])
            work = times[t + T_WORK]
        if times[t + T_STORE] >= 0:
            free = scratch.store_free[2 * times[t + T_STORE] + 1]
        step = Worked(ready, ready, ready + work, free)
        if times[t + T_LOAD] >= 0:
            turn = scratch.load_free[2 * times[t + T_LOAD]]
            if load_waits[i] and deps > turn:
                turn = deps
            step = _loaded(t, times, turn, ready, work, free, resources, scratch)
        elif times[t + T_STORE] >= 0:
            stored = store_behind(times[t + T_CHUNKS], times[t + T_STORE_PS], ready, work, free)
            step = Worked(ready, ready, ready + work, stored)
        if u >= 0:
            scratch.unit_free[u] = step.end
        done_before = step.end + times[t + T_DRAIN]
        if times[t + T_STORE] >= 0:
            done_before = max(done_before, _stored(t, times, step, work, free, resources, scratch))
        done[i] = done_before
        latest = max(latest, done_before)
    return latest


class Order(NamedTuple):
    """A program's steps as arrays: the task of each, what it waits for, and which end with the first and last token.

    task        int64[steps], numbered so that tasks of one kind follow one another
    dep_start   int64[steps + 1], with `dep` as in `hwsim.timing.recurrence.Steps`
    load_waits  int64[steps]
    first       int64[...]: steps of the first token; empty where the program generates none
    last        int64[...]: steps of the last token
    chained     1 when every step waits for the one before it
    """

    task: Any
    dep_start: Any
    dep: Any
    load_waits: Any
    first: Any
    last: Any
    chained: int


class Rows(NamedTuple):
    """The times that were found, row by row, all kinds after one another.

    first   int64[kinds]: where a kind's tasks begin among all tasks
    n       int64[kinds]: how many there are
    times   int64[...]: every row's times, flat
    at      int64[rows]: where a row's times begin
    sums, serial, spans, status: as in `times_driver`
    """

    first: Any
    n: Any
    times: Any
    at: Any
    sums: Any
    serial: Any
    spans: Any
    status: Any


class Work(NamedTuple):
    """Scratch of `finish_driver`: where the times of one design's tasks begin, the end of each step, and the state of
    the recurrence."""

    at: Any
    done: Any
    state: recurrence.Scratch


UNKNOWN, SERIAL, STEPS = range(3)
"""How the end of a program is found: not at all; as a sum; step by step."""


@numba.njit(**PART)
def _way(picked: Any, rows: Rows, chained: int) -> int:
    """Which of the ways above serves a design whose row of kind k is picked[k]; UNKNOWN where a row failed or times
    might leave 64 bits."""
    only, moves, drains, span = -1, 0, 0, 0.0
    for k in range(len(picked)):
        row = picked[k]
        if rows.status[row] != 0:
            return UNKNOWN
        span += rows.spans[row]
        unit = rows.serial[row, 0]
        only = unit if k == 0 or only == unit else NOT_SERIAL
        moves = max(moves, rows.serial[row, 1])
        drains = max(drains, rows.serial[row, 2])
    if not span < LARGEST_SPAN_PS:
        return UNKNOWN
    if moves == 0 and (chained == 1 or (only >= 0 and drains == 0)):
        return SERIAL
    return STEPS


@numba.njit(**PART)
def _add_sums(picked: Any, rows: Rows, out: Any) -> None:
    for c in range(3):
        out[c] = 0
        for k in range(len(picked)):
            out[c] += rows.sums[picked[k], c]


@numba.njit(**LOOP)
def finish_serial(picked: Any, rows: Rows, chained: int, out: Any, status: Any) -> None:
    """`finish_driver` for programs whose end is a sum for every design; one for which it is not is marked failed."""
    for i in range(len(picked)):
        if _way(picked[i], rows, chained) == SERIAL:
            _add_sums(picked[i], rows, out[i])
        else:
            status[i] = FAILED


@numba.njit(**PART)
def _places(picked: Any, rows: Rows, at: Any) -> None:
    """Where the times of one design's tasks begin, in the rows of their kinds."""
    for k in range(len(picked)):
        begin = rows.at[picked[k]]
        for j in range(rows.n[k]):
            at[rows.first[k] + j] = begin + j * TIME_COLUMNS


@cache
def finish_driver() -> Any:
    """drive(picked, rows, order, slots, ports, n_units, work, out, status): when the program ends.

    picked  int64[designs, kinds]: the rows of `rows` that a design is made of
    slots   int64[designs, resources], ports likewise: as in `hwsim.timing.recurrence.Resources`
    out     int64[designs, 3]: picoseconds until the program, the first token and the last token are done
    """
    by_steps = engine_part(finish)

    @numba.njit(**PART)
    def latest(steps: Any, done: Any) -> Any:
        end = 0
        for k in range(len(steps)):
            end = max(end, done[steps[k]])
        return end

    @numba.njit(**LOOP)
    def drive(
        picked: Any, rows: Any, order: Any, slots: Any, ports: Any, n_units: Any, work: Any, out: Any, status: Any
    ) -> None:
        for i in range(len(picked)):
            way = _way(picked[i], rows, order.chained)
            if way == UNKNOWN:
                status[i] = FAILED
            elif way == SERIAL:
                _add_sums(picked[i], rows, out[i])
            else:
                _places(picked[i], rows, work.at)
                resources = recurrence.Resources(slots[i], ports[i], n_units)
                end = by_steps(
                    order.task, order.dep_start, order.dep, order.load_waits, rows.times, work.at,
                    resources, work.done, work.state,
                )  # fmt: skip
                out[i, 0] = end
                out[i, 1] = latest(order.first, work.done)
                out[i, 2] = latest(order.last, work.done)

    return drive


# --- sums over kinds, and what is held --------------------------------------------------------------------------


@numba.njit(**ROW)
def _add_up(picked: Any, totals: Any, out: Any) -> None:
    for f in range(len(out)):
        out[f] = 0
        for k in range(len(picked)):
            out[f] = out[f] + totals[picked[k], f]


@numba.njit(**LOOP)
def add_up(picked: Any, totals: Any, counted: Any, out: Any, status: Any) -> None:
    """Counts over the whole program: out[i] is the sum of totals[picked[i, k]] over kinds k, whose status is
    in `counted`."""
    for i in range(len(picked)):
        for k in range(picked.shape[1]):
            if counted[picked[i, k]] != 0:
                status[i] = FAILED
        try:
            _add_up(picked[i], totals, out[i])
        except Exception:
            status[i] = FAILED


@numba.njit(**ROW)
def _peaks(bits: Any, level: Any, holding: Any, sign: Any, moment: Any, held: Any, out: Any) -> None:
    for at in range(len(out)):
        held[at] = 0
        out[at] = 0
    for e in range(len(level)):
        at = level[e]
        held[at] = held[at] + sign[e] * bits[holding[e]]
        if moment[e]:
            out[at] = max(out[at], held[at])


@numba.njit(**LOOP)
def peaks(bits: Any, level: Any, holding: Any, sign: Any, moment: Any, held: Any, out: Any, status: Any) -> None:
    """The most that each level holds, in program order: out[g, level] from bits[g, holding].

    Event e lets holding[e] begin (sign 1) or end (sign -1) in level[e]; a level's events are in the order of their
    steps, and moment[e] is 1 for the last event of a step.
    """
    for g in range(len(bits)):
        try:
            _peaks(bits[g], level, holding, sign, moment, held, out[g])
        except Exception:
            status[g] = FAILED


# --- designs that agree -----------------------------------------------------------------------------------------


@numba.njit(**LOOP)
def group(keys: Any, columns: Any, table: Any, ids: Any, reps: Any) -> int:
    """Number the rows of `keys` by their values in `columns`, in the order they are met; how many there are.

    keys   int64[n, m]
    table  int64[power of two, at least 2 n]: scratch
    ids    int64[n]: the number of each row's group
    reps   int64[n]: filled with the first row of each group
    """
    mask = len(table) - 1
    for k in range(len(table)):
        table[k] = -1
    found = 0
    for i in range(len(keys)):
        code = np.uint64(14695981039346656037)
        for c in range(len(columns)):
            code = (code ^ np.uint64(keys[i, columns[c]])) * np.uint64(0x9E3779B97F4A7C15)
            code = code ^ (code >> np.uint64(29))
        at = np.int64(code & np.uint64(mask))
        while True:
            g = table[at]
            if g < 0:
                table[at] = found
                reps[found] = i
                ids[i] = found
                found += 1
                break
            same = True
            for c in range(len(columns)):
                if keys[i, columns[c]] != keys[reps[g], columns[c]]:
                    same = False
                    break
            if same:
                ids[i] = g
                break
            at = (at + 1) & mask
    return found
