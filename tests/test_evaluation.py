"""The program and the machine as timing reads them, and what the pass adds up, on a program small enough to read."""

from __future__ import annotations

from typing import Any, NamedTuple

from hwsim import dram
from hwsim.demand import TaskTime
from hwsim.evaluation import resources_of, steps_of
from hwsim.memory import MemoryLevel, Unit, dram_level, sram_level
from hwsim.model import Program

PART = dram.part("ddr4-2400")


class Load(NamedTuple):
    number: int


class Machine(NamedTuple):
    core: Unit = Unit(100_000, 4)
    both: MemoryLevel = sram_level(1 << 20, 32, 100_000, 3, 0)
    off: MemoryLevel = dram_level(PART, 1, 1 << 33, 1)


def two_steps() -> tuple[Program, list[TaskTime]]:
    """A step that loads from level 1 and stores to level 0, one that does neither, and the first again."""
    program = Program()
    layer = program.add_layer("layer", "matmul", "run")
    first = program.add(Load(1), layer)
    second = program.add(Load(2), layer, (first,))
    program.add(Load(1), layer, (first, second), load_waits=True)
    busy = TaskTime(load=1, load_ps=50, lead_ps=7, unit=0, work_ps=40, drain_ps=3, store=0, store_ps=20, chunks=4,
                    bound=0)  # fmt: skip
    idle = TaskTime(load=-1, load_ps=0, lead_ps=0, unit=-1, work_ps=0, drain_ps=0, store=-1, store_ps=0, chunks=1,
                    bound=-1)  # fmt: skip
    return program, [busy, idle]


def columns_of(steps: Any) -> dict[str, list[int]]:
    return {name: list(column) for name, column in steps._asdict().items()}


def test_every_column_of_the_program_reaches_the_timing() -> None:
    """Reads of level i are resource 2 i, writes 2 i + 1; a repeated task repeats its row."""
    program, times = two_steps()
    assert len(program.tasks) == 2
    assert columns_of(steps_of(program, times)) == {
        "load": [2, -1, 2],
        "load_ps": [50, 0, 50],
        "lead_ps": [7, 0, 7],
        "unit": [0, -1, 0],
        "work_ps": [40, 0, 40],
        "drain_ps": [3, 0, 3],
        "store": [1, -1, 1],
        "store_ps": [20, 0, 20],
        "chunks": [4, 1, 4],
        "load_waits": [0, 0, 1],
        "dep_start": [0, 0, 1, 3],
        "dep": [0, 0, 1],
    }


def test_a_shared_port_is_one_port() -> None:
    """SRAM reads and writes through ports of their own, DRAM through one; both directions have the level's slots."""
    found = resources_of(Machine())
    assert list(found.slots) == [3, 3, 1, 1]
    assert list(found.port) == [0, 1, 2, 2]
    assert found.n_units == 1
