"""From counts to time, against arithmetic done by hand."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import pytest

from hwsim import dram
from hwsim.demand import TaskTime, layout, task_times
from hwsim.memory import MemoryLevel, Unit, dram_level, sram_level
from hwsim.model import Action, Chunks, Drain, Runs, Traffic, Work

PART = dram.part("ddr4-2400")
MHZ = 1_000
CYCLE_PS = 10_000
"""A cycle at 100 MHz."""


class Machine(NamedTuple):
    """Two units at 100 and 200 MHz; a memory with a port each way, one with a port for both, and DRAM."""

    slow: Unit = Unit(100 * MHZ, 4)
    fast: Unit = Unit(200 * MHZ, 0)
    two_ports: MemoryLevel = sram_level(1 << 20, 32, 100 * MHZ, 2, 0)
    one_port: MemoryLevel = sram_level(1 << 20, 32, 100 * MHZ, 2, 1)
    dram: MemoryLevel = dram_level(PART, 1, 1 << 33, 2)


class Counts(NamedTuple):
    slow_cycles: Annotated[int, Work("slow")] = 0
    limit_cycles: Annotated[int, Work("slow", "dram")] = 0
    fast_cycles: Annotated[int, Work("fast")] = 0
    drain_cycles: Annotated[int, Drain("slow")] = 0
    flush_cycles: Annotated[int, Drain("slow")] = 0
    chunks: Annotated[int, Chunks()] = 0
    load_bits: Annotated[int, Traffic("dram", "read", "load")] = 0
    load_runs: Annotated[int, Runs("dram", "read")] = 0
    store_bits: Annotated[int, Traffic("dram", "write", "store")] = 0
    spill_bits: Annotated[int, Traffic("two_ports", "write", "store")] = 0
    fill_bits: Annotated[int, Traffic("two_ports", "read", "load")] = 0
    read_bits: Annotated[int, Traffic("two_ports", "read")] = 0
    write_bits: Annotated[int, Traffic("two_ports", "write")] = 0
    shared_read_bits: Annotated[int, Traffic("one_port", "read")] = 0
    shared_write_bits: Annotated[int, Traffic("one_port", "write")] = 0
    events: Annotated[int, Action("adder")] = 0


COLUMNS, NAMES = layout(Counts, Machine())


def timed(machine: Machine | None = None, **counts: int) -> TaskTime:
    machine = machine or Machine()
    units, levels = (machine.slow, machine.fast), (machine.two_ports, machine.one_port, machine.dram)
    return task_times(Counts(**counts), COLUMNS, units, levels, PART)


def bound(time: TaskTime) -> tuple[str, str]:
    return NAMES.fields[time.bound], NAMES.components[time.bound]


def test_nothing_takes_no_time() -> None:
    assert timed() == TaskTime(-1, 0, 0, -1, 0, 0, -1, 0, 1, -1)
    assert timed(events=1000) == timed()


@pytest.mark.parametrize(
    ("counts", "work_ps", "name", "component"),
    [
        ({"slow_cycles": 3}, 3 * CYCLE_PS, "slow_cycles", "slow"),
        ({"fast_cycles": 3}, 3 * CYCLE_PS // 2, "fast_cycles", "fast"),
        ({"slow_cycles": 3, "limit_cycles": 5}, 5 * CYCLE_PS, "limit_cycles", "dram"),
        ({"slow_cycles": 5, "limit_cycles": 5}, 5 * CYCLE_PS, "slow_cycles", "slow"),
        # A port each way: the longer of both. One port: both in turn.
        ({"slow_cycles": 1, "read_bits": 96, "write_bits": 65}, 3 * CYCLE_PS, "read_bits", "two_ports"),
        ({"slow_cycles": 1, "shared_read_bits": 96, "shared_write_bits": 65}, 6 * CYCLE_PS, "shared_write_bits",
         "one_port"),
        ({"slow_cycles": 7, "shared_read_bits": 96, "shared_write_bits": 65}, 7 * CYCLE_PS, "slow_cycles", "slow"),
    ],
)  # fmt: skip
def test_work_lasts_as_long_as_the_slowest_of_its_parts(
    counts: dict[str, int], work_ps: int, name: str, component: str
) -> None:
    time = timed(**counts)
    assert time.work_ps == work_ps
    assert bound(time) == (name, component)


def test_a_unit_is_held_at_its_own_clock() -> None:
    assert timed(slow_cycles=1).unit == 0
    assert timed(fast_cycles=1).unit == 1


def test_the_longest_drain_counts() -> None:
    assert timed(slow_cycles=1, drain_cycles=4, flush_cycles=9).drain_ps == 9 * CYCLE_PS
    assert timed(slow_cycles=1, drain_cycles=9, flush_cycles=4).drain_ps == 9 * CYCLE_PS


def test_loads_and_stores_take_what_the_part_takes() -> None:
    time = timed(load_bits=100_000, load_runs=7, store_bits=5_000, chunks=3)
    assert (time.load, time.store, time.chunks) == (2, 2, 3)
    assert time.load_ps == dram.transfer_ps(PART, 1, 100_000, 7, 1, 0)
    assert time.lead_ps == dram.first_access_ps(PART) > 0
    assert time.store_ps == dram.transfer_ps(PART, 1, 5_000, 1, 1, 1)
    assert time.work_ps == 0


def test_more_runs_take_longer() -> None:
    assert timed(load_bits=100_000, load_runs=400).load_ps > timed(load_bits=100_000, load_runs=1).load_ps
    assert timed(load_bits=100_000, load_runs=0).load_ps == timed(load_bits=100_000, load_runs=1).load_ps


@pytest.mark.parametrize(("dram_bits", "sram_bits"), [(100_000, 32), (64, 320_000)])
def test_the_longest_transfer_counts_and_the_first_names_the_port(dram_bits: int, sram_bits: int) -> None:
    of_sram = -(-sram_bits // 32) * CYCLE_PS
    time = timed(load_bits=dram_bits, fill_bits=sram_bits, store_bits=dram_bits, spill_bits=sram_bits)
    assert time.load_ps == max(dram.transfer_ps(PART, 1, dram_bits, 1, 1, 0), of_sram)
    assert time.store_ps == max(dram.transfer_ps(PART, 1, dram_bits, 1, 1, 1), of_sram)
    assert (time.load, time.store) == (2, 2)
    assert timed(fill_bits=32).load == timed(spill_bits=32).store == 0
    assert timed(fill_bits=32).lead_ps == CYCLE_PS


def test_marks_are_held_against_the_machine() -> None:
    class Stray(NamedTuple):
        cycles: Annotated[int, Work("nowhere")]

    class Bare(NamedTuple):
        cycles: int

    with pytest.raises(TypeError, match=r"Stray\.cycles: .* names nothing in the Machine"):
        layout(Stray, Machine())
    with pytest.raises(TypeError, match=r"Bare\.cycles: annotate it with exactly one of"):
        layout(Bare, Machine())


def test_what_a_count_stands_for_is_told_apart_by_type() -> None:
    """Equal annotations share one `Annotated` in Python 3.11.0 to 3.11.3: they must differ beyond their fields."""
    from hwsim.model import Action, Drain, Work

    assert len({Work("vector"), Action("vector"), Drain("vector")}) == 3
    assert Drain("vector") != Action("vector") and Drain("vector") == Drain("vector")
