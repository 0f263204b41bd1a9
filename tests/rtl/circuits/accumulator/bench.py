"""Cases of the accumulator as runs of the circuit and questions to the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from accumulator.model import Design, Group, Pause, groups
from hwsim.config import Doc, Range
from hwsim.cosim.circuit import Event, Hdl, Image, Stimulus
from hwsim.errors import bad_input
from hwsim.model import Program
from hwsim.pure import ceil_div

FOLDER = Path(__file__).parent
DEPTH = 4096


class Knob(IntEnum):
    """Deliberate mistakes of the circuit."""

    NONE = 0
    WRONG_WORD = 1
    WRONG_COUNT = 2
    SLOW = 3
    UNDEFINED_COUNT = 4
    UNDEFINED_WORD = 5
    HANG = 6
    ASSERTION = 7
    CRASH = 8
    WRONG_EVENT = 9


@dataclass(frozen=True, slots=True)
class Task:
    """What is summed."""

    words: Annotated[int, Range(1, 60_000), Doc("words to add")]
    group: Annotated[int, Range(1, 4096), Doc("words of a group")] = 6
    knob: Knob = Knob.NONE
    limit: Annotated[int, Range(1, 1_000_000), Doc("cycles after which the run is given up")] = 100_000

    def problems(self) -> list[tuple[str, str, str]]:
        """Rules about several values."""
        return [("group", "must not exceed the words", "")] if self.group > self.words else []


class AccumulatorCircuit:
    """See the module's text."""

    name: ClassVar[str] = "accumulator"
    model: ClassVar[str] = "accumulator"
    hdl: ClassVar[Hdl] = Hdl("accumulator", (FOLDER / "accumulator.sv",), ("lanes",), (FOLDER / "waivers.vlt",))
    cases: ClassVar[Path] = FOLDER / "cases.yaml"
    unit: ClassVar[str] = "adder"
    counters: ClassVar[Mapping[str, str]] = {"additions": "additions"}
    built_for: ClassVar[Mapping[str, Any]] = {"signed": False}
    Task: ClassVar[type] = Task

    def stimulus(self, design: Design, task: Task, seed: int) -> Stimulus:
        """Random words and their running sums by numpy."""
        if task.words > DEPTH:
            raise bad_input("memory", task.words, f"the memory holds {DEPTH} words", "Sum fewer.", key="task.words")
        data = np.random.default_rng(seed).integers(0, 1 << 16, task.words, dtype=np.int64)
        sizes = groups(task.words, task.group, design.lanes)
        ends = np.cumsum(sizes) - 1
        registers = {"words": task.words, "group": task.group, "fill": design.fill, "gap": design.gap,
                     "knob": int(task.knob)}  # fmt: skip
        exact = {"cycles_compute": ceil_div(task.words, design.lanes)}
        if task.knob == Knob.UNDEFINED_COUNT:
            exact["unreliable"] = 0
        return Stimulus(registers, {"data": Image(16, data)}, {"sums": Image(32, np.cumsum(data)[ends])}, exact,
                        task.limit)  # fmt: skip

    def program(self, design: Design, task: Task, seed: int) -> Program:
        """A pause and a group in turn."""
        program = Program()
        layer = program.add_layer("sum", "sum", "run")
        sizes = groups(task.words, task.group, design.lanes)
        step: tuple[int, ...] = ()
        for i, size in enumerate(sizes):
            pause = design.gap if i else design.fill
            if pause:
                step = (program.add(Pause(pause), layer, step),)
            step = (program.add(Group(size, int(i == len(sizes) - 1)), layer, step),)
        return program

    def trace(self, design: Design, task: Task, seed: int) -> Iterable[Event]:
        """Every cycle in which words are taken, and every sum."""
        cycle, at = design.fill, 0
        for slot, size in enumerate(groups(task.words, task.group, design.lanes)):
            for taken in range(0, size, design.lanes):
                yield Event(cycle, "take", (at + taken,))
                cycle += 1
            yield Event(cycle - 1, "sum", (slot,))
            at, cycle = at + size, cycle + design.gap


CIRCUIT = AccumulatorCircuit()
