"""The closed timing against a per-chunk twin, against itself compiled, and against what must hold for any program."""

from __future__ import annotations

import doctest
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np
import pytest
from timing_cases import CHUNKED, random_resources, random_steps, room, twin

from hwsim.timing.compile import as_arrays, compiled_recurrence
from hwsim.timing.recurrence import (
    CAUSES,
    DEPENDENCY,
    LOAD,
    SLOT,
    STORE,
    WORK,
    Resources,
    Steps,
    Times,
    cause_of,
    new_scratch,
    new_times,
    schedule,
    validate,
)

DEEP = 10 if os.environ.get("HWSIM_DEEP") else 1
CHUNK_COUNTS = ((1,), (1, 2, 3), (1, 5, 12, 40), tuple(range(1, 41)))


def programs(
    count: int, *, shared: bool = False, both_ways: bool | None = None
) -> Iterator[tuple[int, Steps, Resources]]:
    """Seeded random programs of 1 to 30 steps. On shared ports, half of them have streams both ways per resource."""
    for seed in range(count):
        rng = random.Random(seed)
        resources = random_resources(rng, shared=shared)
        mixed = shared and rng.random() < 0.5 if both_ways is None else both_ways
        yield (
            seed,
            random_steps(rng, resources, rng.randint(1, 30), rng.choice(CHUNK_COUNTS), both_ways=mixed),
            resources,
        )


def one(**columns: int) -> Steps:
    """A program of one step: nothing but what is named."""
    absent = {"load": -1, "unit": -1, "store": -1, "chunks": 1}
    row = {name: [columns.get(name, absent.get(name, 0))] for name in Steps._fields[:10]}
    return Steps(**row, dep_start=[0, 0], dep=[])


def chained(first: Steps, second: Steps, *, dependent: bool = True) -> Steps:
    """Two programs of one step, the second after the first."""
    columns = [a + b for a, b in zip(first[:10], second[:10], strict=True)]
    return Steps(*columns, dep_start=[0, 0, int(dependent)], dep=[0] if dependent else [])


def regime(steps: Steps, resources: Resources, i: int) -> str:
    """Which way of treating the chunks of step i this program exercises."""
    r, t = steps.load[i], steps.chunks[i]
    if r < 0:
        return "no load" if t == 1 else "no load, chunks"
    depth = resources.slots[r]
    if t - 1 - min(t - 1, 2 * depth) < depth:
        return "one by one"
    load, work = steps.load_ps[i] // t, steps.work_ps[i] // t if steps.unit[i] >= 0 else 0
    if load + steps.lead_ps[i] + work > depth * max(load, work):
        return "slots set the pace"
    return "load sets the pace" if load > work else "work sets the pace"


# --- against the twin -------------------------------------------------------------------------------------------


def test_equal_to_the_twin_to_the_picosecond(capsys: pytest.CaptureFixture[str]) -> None:
    n_programs, seen = 3000 * DEEP, Counter[str]()
    for seed, steps, resources in programs(n_programs):
        expected = new_times(len(steps.load))
        twin(steps, resources, expected, room(steps, resources))
        found = schedule(steps, resources)
        for name in CHUNKED:
            assert getattr(found, name) == getattr(expected, name), (seed, name)
        seen.update(
            regime(steps, resources, i) + (", stored" if steps.store[i] >= 0 else "") for i in range(len(steps.load))
        )
    with capsys.disabled():
        print(f"\nrecurrence = per-chunk twin: {n_programs} programs, {seen.total()} steps: {dict(seen)}")
    assert len(seen) == 12
    assert min(seen.values()) > 100


def large_programs(count: int) -> Iterator[tuple[Steps, Resources]]:
    for seed in range(count):
        rng = random.Random(seed)
        resources = random_resources(rng)
        counts = [rng.randint(10**5, 10**6) for _ in range(2)] + [1, 7]
        yield random_steps(rng, resources, rng.randint(2, 6), counts), resources


def test_a_million_chunks_cost_no_more_and_stay_exact(capsys: pytest.CaptureFixture[str]) -> None:
    n_programs, n_chunks = 40 * DEEP, 0
    fast_twin = numba.njit(twin)
    for steps, resources in large_programs(n_programs):
        n_chunks += sum(steps.chunks)
        expected = as_arrays(new_times(len(steps.load)))
        ends = tuple(np.array(e, np.int64) for e in room(steps, resources))
        fast_twin(as_arrays(steps), as_arrays(resources), expected, ends)
        found = schedule(steps, resources)
        for name in CHUNKED:
            assert getattr(found, name) == getattr(expected, name).tolist()
    with capsys.disabled():
        print(f"\nrecurrence = per-chunk twin: {n_programs} programs of {n_chunks} chunks")
    assert n_chunks > 10**7


def test_compiled_and_plain_are_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    run, n_programs = compiled_recurrence(), 1500 * DEEP
    for seed, steps, resources in programs(n_programs, shared=True):
        out = as_arrays(new_times(len(steps.load)))
        run(as_arrays(steps), as_arrays(resources), out, as_arrays(new_scratch(resources)))
        assert [column.tolist() for column in out] == list(schedule(steps, resources)), seed
    with capsys.disabled():
        print(f"\nplain = compiled recurrence: {n_programs} programs")


def test_scratch_can_be_used_again() -> None:
    from hwsim.timing.recurrence import run_recurrence

    for _, steps, resources in programs(50, shared=True):
        out, scratch = new_times(len(steps.load)), new_scratch(resources)
        run_recurrence(steps, resources, out, scratch)
        first = [list(column) for column in out]
        run_recurrence(steps, resources, out, scratch)
        assert list(out) == first


# --- what must hold for any program -----------------------------------------------------------------------------


def busy_stall_idle(steps: Steps, times: Times, unit: int) -> tuple[int, int, int]:
    """How long `unit` works, is held waiting, and is free, from the intervals it is held in."""
    mine = [i for i, u in enumerate(steps.unit) if u == unit]
    free_since, idle = 0, 0
    for i in mine:
        assert times.work_start[i] >= free_since, "a unit serves one step at a time"
        idle += times.work_start[i] - free_since
        free_since = times.work_end[i]
    idle += max(times.done_ps) - free_since
    return sum(steps.work_ps[i] for i in mine), sum(times.stall_ps[i] for i in mine), idle


def test_time_is_accounted_for() -> None:
    for _, steps, resources in programs(600, shared=True):
        times = schedule(steps, resources)
        makespan = max(times.done_ps)
        assert sum(times.exposed_ps) == makespan
        assert min(times.exposed_ps) >= 0
        assert min(times.stall_ps) >= 0
        for unit in range(resources.n_units):
            busy, stall, idle = busy_stall_idle(steps, times, unit)
            assert busy + stall + idle == makespan
        for i in range(len(steps.load)):
            assert times.turn_ps[i] <= times.load_start[i] <= times.load_end[i] <= times.work_end[i]
            assert times.ready_ps[i] <= times.work_start[i] <= times.work_end[i] <= times.done_ps[i]
            assert times.store_start[i] <= times.store_end[i] <= times.done_ps[i]


def never_slower(times: Times, than: Times) -> bool:
    return all(a <= b for a, b in zip(times.done_ps, than.done_ps, strict=True))


def test_more_slots_are_never_slower() -> None:
    faster = 0
    for _, steps, resources in programs(600, shared=True):
        before = schedule(steps, resources)
        after = schedule(steps, resources._replace(slots=[d + 1 for d in resources.slots]))
        assert never_slower(after, before)
        faster += after.done_ps != before.done_ps
    assert faster > 100


def test_shorter_durations_are_never_slower() -> None:
    """Each of the five durations, shortened in one random step."""
    faster = 0
    for seed, steps, resources in programs(600, shared=True):
        rng = random.Random(seed)
        before = schedule(steps, resources)
        for name in ("load_ps", "lead_ps", "work_ps", "drain_ps", "store_ps"):
            column = list(getattr(steps, name))
            at = rng.randrange(len(column))
            # Whole chunks, because cutting a shorter total anew may lengthen its last piece.
            column[at] -= rng.randint(0, column[at] // steps.chunks[at]) * steps.chunks[at]
            after = schedule(steps._replace(**{name: column}), resources)
            assert never_slower(after, before), (seed, name, at)
            faster += after.done_ps != before.done_ps
    assert faster > 500


def test_a_shared_port_never_helps_and_often_costs() -> None:
    slower = 0
    for _, steps, resources in programs(600, shared=True, both_ways=False):
        own_ports = resources._replace(port=list(range(len(resources.port))))
        before, after = schedule(steps, own_ports), schedule(steps, resources)
        assert never_slower(before, after)
        slower += before.done_ps != after.done_ps
    assert slower > 20


# --- by hand ----------------------------------------------------------------------------------------------------

DDR = Resources(slots=[2, 2], port=[0, 1], n_units=1)
PIPELINED = one(load=0, load_ps=400, lead_ps=7, unit=0, work_ps=1000, drain_ps=5, store=1, store_ps=40, chunks=10)


def test_a_work_bound_pipeline_by_hand() -> None:
    """First load 40 and lead 7, ten works of 100, last store 4; drain 5 is longer than that store."""
    times = schedule(PIPELINED, DDR)
    assert (times.load_start, times.work_start, times.work_end) == ([0], [47], [1047])
    assert (times.store_start, times.store_end, times.done_ps) == ([147], [1051], [1052])
    assert times.load_end == [887]  # load of chunk 10 waits for the end of work of chunk 8, at 847
    assert (times.stall_ps, times.cause) == ([0], [WORK])


def test_a_load_bound_pipeline_by_hand() -> None:
    """Ten loads of 100, lead 7, the last work 40, the last store 4."""
    times = schedule(PIPELINED._replace(load_ps=[1000], work_ps=[400]), DDR)
    assert (times.load_end, times.work_end, times.done_ps) == ([1000], [1047], [1052])
    assert (times.stall_ps, times.cause) == ([540], [LOAD])


def test_one_slot_alternates_load_and_work_by_hand() -> None:
    times = schedule(PIPELINED, DDR._replace(slots=[1, 1]))
    assert times.work_end == [10 * (40 + 7 + 100)]
    assert times.stall_ps == [9 * 47]


def test_the_remainder_goes_to_the_last_chunk_by_hand() -> None:
    """103 in 10 chunks: nine of 10 and one of 13."""
    times = schedule(one(load=0, load_ps=103, unit=0, work_ps=0, chunks=10), DDR)
    assert (times.work_start, times.work_end) == ([10], [103])


def test_a_load_runs_ahead_unless_it_waits_by_hand() -> None:
    first, second = one(unit=0, work_ps=100), one(load=0, load_ps=30, unit=0, work_ps=10)
    ahead = schedule(chained(first, second), DDR)
    assert (ahead.load_start[1], ahead.work_start[1], ahead.exposed_ps) == (0, 100, [100, 10])
    waits = schedule(chained(first, second._replace(load_waits=[1])), DDR)
    assert (waits.load_start[1], waits.work_start[1], waits.exposed_ps) == (100, 130, [100, 40])
    assert (ahead.cause[1], waits.cause[1]) == (WORK, LOAD)


def test_a_transfer_without_a_unit_frees_its_slot_at_once_by_hand() -> None:
    times = schedule(one(load=0, load_ps=100, lead_ps=3, work_ps=999, chunks=10), DDR._replace(slots=[1, 1]))
    assert times.done_ps == [10 * 10 + 10 * 3]  # one slot: each chunk holds it through its lead
    assert schedule(one(load=0, load_ps=100, lead_ps=3, chunks=10), DDR).done_ps == [103]


def test_loads_and_stores_of_one_port_take_at_least_their_sum_by_hand() -> None:
    step = one(load=0, load_ps=100, unit=0, work_ps=1, store=1, store_ps=100, chunks=10)
    assert schedule(step, DDR).done_ps == [111]
    assert schedule(step, DDR._replace(port=[0, 0])).done_ps == [200]


def test_a_shared_port_counts_from_the_latest_start_by_hand() -> None:
    """Idle until 1000, the port then carries 100 in and 100 out."""
    step = one(load=0, load_ps=100, unit=0, work_ps=1, store=1, store_ps=100, chunks=10)
    first = step._replace(work_ps=[1000], load_ps=[0], store_ps=[0])
    times = schedule(chained(first, step._replace(load_waits=[1])), DDR._replace(port=[0, 0]))
    assert times.done_ps == [1000, 1200]


def test_a_shared_port_counts_all_stores_from_its_first_use_by_hand() -> None:
    """Idle until 1000, the port then carries 500 out, and 100 in and 100 out of a second unit's step."""
    stores = one(unit=0, work_ps=1000, store=1, store_ps=500)
    moves = one(load=0, load_ps=100, unit=1, work_ps=1, store=1, store_ps=100, load_waits=1)
    waits = one(unit=1, work_ps=1000)
    columns = [a + b + c for a, b, c in zip(stores[:10], waits[:10], moves[:10], strict=True)]
    steps = Steps(*columns, dep_start=[0, 0, 0, 1], dep=[1])
    assert schedule(steps, DDR._replace(n_units=2)).done_ps == [1500, 1000, 1600]
    assert schedule(steps, DDR._replace(n_units=2, port=[0, 0])).done_ps == [1500, 1000, 1700]


def test_a_shared_port_counts_stores_without_a_load_by_hand() -> None:
    """Two hundred in and out, then 500 out, then 100 in, which ran ahead, and 10 out: 810, one after the other."""
    both = one(load=0, load_ps=100, unit=0, work_ps=1, store=1, store_ps=100, chunks=10)
    programs = (both, one(store=1, store_ps=500), both._replace(store_ps=[10]))
    columns = [a + b + c for a, b, c in zip(*(p[:10] for p in programs), strict=True)]
    steps = Steps(*columns, dep_start=[0, 0, 0, 0], dep=[])
    assert schedule(steps, DDR._replace(port=[0, 0])).done_ps == [200, 700, 810]


@pytest.mark.parametrize(
    ("waited", "slot_waited", "worked", "tail", "cause"),
    [
        (0, 0, 10, 0, WORK),
        (11, 5, 10, 0, LOAD),
        (11, 6, 10, 0, SLOT),
        (10, 6, 10, 0, WORK),
        (11, 0, 10, 12, STORE),
        (0, 0, 10, 11, STORE),
        (0, 99, 0, 0, DEPENDENCY),
    ],
)
def test_cause_is_the_largest_part(waited: int, slot_waited: int, worked: int, tail: int, cause: int) -> None:
    assert CAUSES[cause_of(waited, slot_waited, worked, tail)] == CAUSES[cause]


def test_causes_all_occur() -> None:
    seen = Counter(cause for _, steps, resources in programs(300) for cause in schedule(steps, resources).cause)
    assert set(seen) == set(range(len(CAUSES)))


def test_an_empty_program_takes_no_time() -> None:
    empty = Steps(*([] for _ in Steps._fields[:10]), dep_start=[0], dep=[])
    assert schedule(empty, DDR) == new_times(0)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"chunks": 0}, "step 0 has a negative duration or no chunk"),
        ({"work_ps": -1}, "step 0 has a negative duration or no chunk"),
        ({"load": 2}, "step 0 names a unit or memory that does not exist"),
        ({"unit": 1}, "step 0 names a unit or memory that does not exist"),
    ],
)
def test_a_malformed_program_is_refused(columns: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        validate(one(**columns), DDR)


def test_a_dependency_on_a_later_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^step 0 depends on a step that is not earlier$"):
        validate(one()._replace(dep_start=[0, 1], dep=[0]), DDR)
    with pytest.raises(ValueError, match=r"^the columns of a program differ in length$"):
        validate(one()._replace(unit=[]), DDR)
    with pytest.raises(ValueError, match=r"^a memory resource needs at least one slot and a port$"):
        validate(one(), DDR._replace(slots=[0, 1]))


def test_the_worked_example_of_the_manual() -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "timing.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.failed == 0
    assert result.attempted >= 5
