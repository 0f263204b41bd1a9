"""The SimPy replay: equal to the closed timing where nothing is shared, never faster where something is."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from timing_cases import random_resources, random_steps

from hwsim.errors import InputError
from hwsim.timing.events import Refresh, pieces, replay, transfer_end
from hwsim.timing.recurrence import CAUSES, SLOT, Resources, Steps, Times, schedule

DEEP = 10 if os.environ.get("HWSIM_DEEP") else 1
CHUNK_COUNTS = ((1,), (1, 2, 3), (1, 5, 12, 40), tuple(range(1, 41)))
ENDS = ("load_start", "load_end", "work_start", "work_end", "store_start", "store_end", "done_ps")


def programs(count: int, *, shared: bool) -> Iterator[tuple[random.Random, Steps, Resources]]:
    for seed in range(count):
        rng = random.Random(1_000_000 + seed)
        resources = random_resources(rng, shared=shared)
        both_ways = shared and rng.random() < 0.5
        n_steps, counts = rng.randint(1, 30), rng.choice(CHUNK_COUNTS)
        yield rng, random_steps(rng, resources, n_steps, counts, both_ways=both_ways), resources


def assert_never_faster(found: Times, closed: Times) -> None:
    for name in ENDS:
        columns = zip(getattr(found, name), getattr(closed, name), strict=True)
        assert all(a >= b for a, b in columns), name


def test_uncontended_replay_is_the_recurrence_to_the_picosecond(capsys: pytest.CaptureFixture[str]) -> None:
    n_programs, n_chunks = 3000 * DEEP, 0
    for _, steps, resources in programs(n_programs, shared=False):
        found, closed = replay(steps, resources), schedule(steps, resources)
        for name in Times._fields:
            assert getattr(found, name) == getattr(closed, name), name
        n_chunks += sum(steps.chunks)
    with capsys.disabled():
        print(f"\nevents = recurrence: {n_programs} programs, {n_chunks} chunks")


def test_own_ports_contend_with_nobody() -> None:
    for _, steps, resources in programs(100, shared=False):
        assert replay(steps, resources, contended=True) == replay(steps, resources)


def test_contended_replay_is_never_faster(capsys: pytest.CaptureFixture[str]) -> None:
    n_programs, exact, ratio = 1500 * DEEP, 0, 0.0
    for rng, steps, resources in programs(n_programs, shared=True):
        period = rng.randint(2, 200)
        refresh = {0: Refresh(period, rng.randint(0, period // 2))} if rng.random() < 0.5 else {}
        closed, found = schedule(steps, resources), replay(steps, resources, contended=True, refresh=refresh)
        assert_never_faster(found, closed)
        assert sum(found.exposed_ps) == max(found.done_ps)
        exact += found.done_ps == closed.done_ps
        ratio += max(found.done_ps) / max(1, *closed.done_ps)
    with capsys.disabled():
        mean = ratio / n_programs
        print(f"\nevents >= recurrence: {n_programs} contended programs, equal in {exact}, {mean:.2f} times on average")
    assert 0 < exact < n_programs


def test_refresh_is_never_faster() -> None:
    for rng, steps, resources in programs(200, shared=False):
        period = rng.randint(2, 200)
        refresh = {port: Refresh(period, rng.randint(1, period - 1)) for port in resources.port}
        assert_never_faster(replay(steps, resources, refresh=refresh), schedule(steps, resources))


# --- by hand ----------------------------------------------------------------------------------------------------


def two_transfers() -> Steps:
    """Two steps without units, each loading 3 chunks of 10 from a resource of its own."""
    return Steps(
        load=[0, 1], load_ps=[30, 30], lead_ps=[0, 0], unit=[-1, -1], work_ps=[0, 0], drain_ps=[0, 0], store=[-1, -1],
        store_ps=[0, 0], chunks=[3, 3], load_waits=[0, 0], dep_start=[0, 0, 0], dep=[],
    )  # fmt: skip


def test_streams_of_one_port_take_turns_by_hand() -> None:
    shared = Resources(slots=[2, 2], port=[0, 0], n_units=0)
    assert replay(two_transfers(), shared).done_ps == [30, 30]
    assert replay(two_transfers(), shared, contended=True).done_ps == [50, 60]
    assert replay(two_transfers(), shared, contended=True).load_start == [0, 10]


def test_a_store_takes_turns_with_the_loads_by_hand() -> None:
    """Loads and stores of 10 on one port, work of 1, one slot."""
    step = Steps([0], [40], [0], [0], [4], [0], [1], [40], [4], [0], [0, 0], [])
    found = replay(step, Resources([1, 1], [0, 0], 1), contended=True)
    # Load 0-10, work 10-11; at 11 the next load asks before the first store, and so on: eight turns and one work.
    assert (found.store_start, found.done_ps) == ([21], [81])


def test_refresh_pauses_a_transfer_by_hand() -> None:
    """Available 0-100, 110-200, 210-300: 30 from 90 on end at 130; 250 from 0 on end at 270."""
    refresh = Refresh(period_ps=100, busy_ps=10)
    assert transfer_end(90, 30, refresh) == 130
    assert transfer_end(0, 250, refresh) == 270
    assert transfer_end(0, 100, refresh) == 100
    assert transfer_end(105, 5, refresh) == 115
    assert transfer_end(105, 0, refresh) == 105
    assert transfer_end(7, 30, Refresh()) == 37
    steps = two_transfers()._replace(load_ps=[30, 120], chunks=[1, 1])
    found = replay(steps, Resources([2, 2], [0, 1], 0), refresh={1: refresh})
    assert found.done_ps == [30, 130]


def ticked_end(start_ps: int, length_ps: int, refresh: Refresh) -> int:
    """The slow twin of `transfer_end`: one picosecond at a time."""
    now = start_ps
    while length_ps:
        length_ps -= now < refresh.period_ps or now % refresh.period_ps >= refresh.busy_ps
        now += 1
    return now


def test_refresh_against_one_picosecond_at_a_time() -> None:
    rng, n_cases = random.Random(3), 5000
    for _ in range(n_cases):
        period = rng.randint(1, 30)
        refresh = Refresh(period, rng.randrange(period))
        start, length = rng.randint(0, 100), rng.randint(0, 100)
        assert transfer_end(start, length, refresh) == ticked_end(start, length, refresh), (start, length, refresh)


def test_pieces_differ_in_the_last_alone() -> None:
    assert list(pieces(103, 10)) == [10] * 9 + [13]
    assert list(pieces(2, 5)) == [0, 0, 0, 0, 2]


def test_slots_are_to_blame_in_both() -> None:
    step = Steps([0], [900], [7], [0], [800], [0], [-1], [0], [10], [0], [0, 0], [])
    machine = Resources([1], [0], 1)
    assert replay(step, machine).cause == schedule(step, machine).cause == [SLOT]
    assert CAUSES[SLOT] == "slot"


# --- limits -----------------------------------------------------------------------------------------------------


def test_too_many_chunks_are_refused_before_the_first() -> None:
    step = Steps([0], [10**9], [0], [0], [0], [0], [-1], [0], [10**9], [0], [0, 0], [])
    with pytest.raises(InputError) as error:
        replay(step, Resources([2], [0], 1))
    assert str(error.value) == (
        "[too-many-events] fidelity: got 17000000000; a replay has at most 20000000 events, and this program cuts its "
        "transfers into 1000000000 chunks. Use --fidelity closed, a smaller workload, or larger chunks."
    )


def test_the_estimate_of_events_is_an_upper_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import simpy

    from hwsim.timing.events import EVENTS_A_CHUNK

    n_events = 0
    original = simpy.Environment.step

    def counted(env: simpy.Environment) -> None:
        nonlocal n_events
        n_events += 1
        original(env)

    monkeypatch.setattr(simpy.Environment, "step", counted)
    step = Steps([0], [4000], [1], [0], [9000], [1], [1], [5000], [1000], [0], [0, 0], [])
    replay(step, Resources([2, 2], [0, 1], 1))
    assert 0.9 * 1000 * EVENTS_A_CHUNK < n_events <= 1000 * EVENTS_A_CHUNK


def test_a_port_that_only_refreshes_is_refused() -> None:
    with pytest.raises(InputError) as error:
        replay(two_transfers(), Resources([2, 2], [0, 1], 0), refresh={1: Refresh(10, 10)})
    assert str(error.value) == "[refresh] got (10, 10); port 1 must be available for part of each refresh period."


def test_a_malformed_program_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^step 0 has a negative duration or no chunk$"):
        replay(two_transfers()._replace(chunks=[0, 1]), Resources([2, 2], [0, 1], 0))
