"""The accumulator: `lanes` words a cycle, a pause between groups, a pipeline at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from hwsim.config import Doc, Range
from hwsim.errors import bad_input
from hwsim.memory import Unit
from hwsim.model import Action, Drain, Parts, Program, Violation, Work
from hwsim.pure import ceil_div, pure
from hwsim.workload.ir import Workload


@dataclass(frozen=True, slots=True)
class Design:
    """What can be chosen."""

    lanes: Annotated[int, Range(1, 16), Doc("words added in a cycle")]
    clock_khz: Annotated[int, Range(1_000, 1_000_000)] = 100_000
    fill: Annotated[int, Range(0, 255)] = 4
    gap: Annotated[int, Range(0, 255)] = 3
    signed: bool = False

    def problems(self) -> list[tuple[str, str, str]]:
        """Rules about several values."""
        return (
            [("gap", "must be at most 100 where there are 16 lanes", "")] if self.lanes == 16 and self.gap > 100 else []
        )


class Pause(NamedTuple):
    """Cycles in which the sequencer keeps the adder waiting."""

    cycles: int


class Group(NamedTuple):
    """Words of one group; the last of a run has the pipeline behind it."""

    words: int
    last: int


class Counts(NamedTuple):
    """What a task asks for."""

    add_cycles: Annotated[int, Work("adder")]
    pause_cycles: Annotated[int, Work("sequencer")]
    drain_cycles: Annotated[int, Drain("adder")]
    additions: Annotated[int, Action("adder")]


class Machine(NamedTuple):
    """The adder and what starts it."""

    adder: Unit
    sequencer: Unit


class Statics(NamedTuple):
    """Watts."""

    adder: float


@pure
def count_group(design: Design, task: Group) -> Counts:
    """A group of words."""
    return Counts(ceil_div(task.words, design.lanes), 0, 3 * task.last, task.words)


@pure
def count_pause(design: Design, task: Pause) -> Counts:
    """A pause."""
    return Counts(0, task.cycles, 0, 0)


def groups(words: int, group: int, lanes: int) -> list[int]:
    """Words of each group: a group ends with the cycle that takes its last word, and takes all lanes of that cycle."""
    size = ceil_div(group, lanes) * lanes
    return [min(size, words - begin) for begin in range(0, words, size)]


class AccumulatorModel:
    """See the module's text."""

    name = "accumulator"
    summary = "sums groups of words"
    Design = Design
    Counts = Counts
    kernels: ClassVar[Mapping[type, Any]] = {Group: count_group, Pause: count_pause}
    structural: ClassVar[frozenset[str]] = frozenset()
    holdings: ClassVar[Mapping[type, Any]] = {}
    accuracy: ClassVar[Mapping[str, str]] = {"": "unvalidated"}

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """Always refused: no network runs here."""
        raise bad_input("unsupported", workload.name, "no network runs on an accumulator")

    @staticmethod
    @pure
    def machine(design: Design, parts: Parts) -> Machine:
        """Both on one clock."""
        return Machine(Unit(design.clock_khz), Unit(design.clock_khz))

    @staticmethod
    @pure
    def price(design: Design, parts: Parts) -> Counts:
        """Free."""
        return Counts(0.0, 0.0, 0.0, 0.0)

    @staticmethod
    @pure
    def static_w(design: Design, parts: Parts) -> Statics:
        """Free."""
        return Statics(0.0)

    @staticmethod
    @pure
    def area_mm2(design: Design, parts: Parts) -> Statics:
        """Nothing."""
        return Statics(0.0)

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Anything runs."""
        return ()


MODEL = AccumulatorModel()
