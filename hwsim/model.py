"""What an accelerator model is, what it lowers a workload to, and how models are found.

    lower(workload, design)  -> Program      which tasks, in which order, after which
    count(design, task)      -> Counts       what one task asks of each unit and memory (pure, compiled in sweeps)
    machine(design, parts)   -> Machine      clocks, ports and buffers (pure)
    price(design, parts)     -> Prices       picojoules per count (pure)

The engine adds time (`hwsim.timing`) and energy and knows no accelerator; a model knows no engine. Each field of
`Counts` says by annotation what it stands for, so that timing, energy, the invariants and RTL monitors all find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, ClassVar, NamedTuple, Protocol

from hwsim.errors import bad_input
from hwsim.parts import DEFAULT_TABLES, Parts
from hwsim.workload.ir import Workload

ENTRY_POINT_GROUP = "hwsim.models"


# --- what a field of Counts means -------------------------------------------------------------------------------
# Classes that compare by type, not tuples: Python 3.11 up to 3.11.3 keeps one `Annotated` for arguments that are equal,
# so that Drain("vector") would stand for Action("vector") where both were tuples.


@dataclass(frozen=True, slots=True)
class Work:
    """Cycles of `unit` (a field of Machine) at that unit's clock. A task works on at most one unit, though several
    Work fields may name the same one: the largest is how long the unit is held, and names what bound it: the unit,
    or `component` where the cycles are those of something else (a bandwidth that is given as a rate)."""

    unit: str
    component: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bits moved through memory `level` (a field of Machine).

    direction  "read" or "write"
    stage      "load": a transfer ahead of the work, in chunks, through a buffer of `level.slots` chunks;
               "work": moved while the unit works, and bounds its rate;
               "store": moved away after the work, chunk by chunk.
    """

    level: str
    direction: str
    stage: str = "work"


@dataclass(frozen=True, slots=True)
class Runs:
    """Number of contiguous runs that the traffic through DRAM `level` consists of: at least one row activation each."""

    level: str
    direction: str


@dataclass(frozen=True, slots=True)
class Action:
    """A priced event of `component` that takes no time of its own (a multiply-accumulate, a comparison)."""

    component: str


@dataclass(frozen=True, slots=True)
class Chunks:
    """In how many equal pieces the load, the work and the store of this task are cut (at least 1)."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Cycles of `unit` between the unit's release and the result being usable (pipeline depth)."""

    unit: str


# --- the program ------------------------------------------------------------------------------------------------


class Placement(NamedTuple):
    """A stretch of memory occupied: `bits` in `level` from the start of step `first` to the end of step `last`.

    `bits` is a number, or where it depends on the design a holding: a NamedTuple whose type is a key of the model's
    `holdings`, so that one program serves every design that differs in widths and formats alone. `what` says what lies
    there; what is placed off chip as "weights" is read whole at least once, which the conformance suite checks.
    """

    level: str
    bits: Any
    first: int
    last: int
    what: str
    address_bits: int = -1


@dataclass(frozen=True, slots=True)
class Layer:
    """A line of the report: an operator (or a part of one) in a phase, with what it stands for in the network."""

    name: str
    op: str
    phase: str
    macs: int = 0
    """MACs the network asks for here, over all its passes."""


@dataclass(slots=True)
class Program:
    """Tasks in program order. Equal tasks are stored once in `tasks`; step i runs `tasks[task[i]]`.

    Columns, one entry a step: `task` (index into tasks), `layer` (index into layers), `turn` (the token that is
    generated, from 0, or -1), `after` (earlier steps whose results the work needs), `load_waits` (whether what is
    loaded is produced by `after`, so that even the transfer has to wait).
    """

    tasks: list[Any] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)
    task: list[int] = field(default_factory=list)
    layer: list[int] = field(default_factory=list)
    turn: list[int] = field(default_factory=list)
    after: list[tuple[int, ...]] = field(default_factory=list)
    load_waits: list[bool] = field(default_factory=list)
    occupied: list[Placement] = field(default_factory=list)
    free_ops: dict[str, str] = field(default_factory=dict)
    """Operators that cost nothing on this machine, each with the reason."""
    notes: list[str] = field(default_factory=list)
    structural: frozenset[str] | None = None
    """Design fields this program depends on, where it depends on fewer than the model's `structural`."""
    _index: dict[Any, int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.task)

    def add_layer(self, name: str, op: str, phase: str, macs: int = 0) -> int:
        """A new report line; its index."""
        self.layers.append(Layer(name, op, phase, macs))
        return len(self.layers) - 1

    def add(self, task: Any, layer: int, after: Sequence[int] = (), *, turn: int = -1, load_waits: bool = False) -> int:
        """Append a step that runs `task` once everything in `after` is done; its index."""
        key = (type(task), task)
        at = self._index.get(key)
        if at is None:
            at = self._index[key] = len(self.tasks)
            self.tasks.append(task)
        self.task.append(at)
        self.layer.append(layer)
        self.turn.append(turn)
        self.after.append(tuple(after))
        self.load_waits.append(load_waits)
        return len(self.task) - 1


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a design cannot run this workload: data, not an exception. `lever` names the fields that would mend it."""

    what: str
    demand: float
    bound: float
    unit: str
    lever: str


class Model(Protocol):
    """One accelerator family. Registered as an entry point of group "hwsim.models".

    A model may also have `remarks(design, parts, program) -> Sequence[str]`: notes of a result that need the parts.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Design: ClassVar[type]
    """Frozen dataclass of ints, floats, bools and IntEnums (see hwsim.config for units and ranges)."""
    Counts: ClassVar[type]
    """NamedTuple of ints; every field Annotated with Work, Traffic, Runs, Action, Chunks or Drain."""
    kernels: ClassVar[Mapping[type, Callable[[Any, Any], Any]]]
    """Task type (NamedTuple of numbers) -> pure count(design, task) -> Counts."""
    structural: ClassVar[frozenset[str]]
    """Design fields that `lower` reads. A program is used again for designs that differ in other fields alone."""
    holdings: ClassVar[Mapping[type, Callable[[Any, Any], int]]]
    """Holding type (NamedTuple of numbers) -> pure bits(design, holding), for placements the design sizes."""
    tables: ClassVar[tuple[str, ...]] = DEFAULT_TABLES
    """Keys of the tables that its designs name an entry of (`hwsim.parts.TABLES`); a model need not have it."""
    accuracy: ClassVar[Mapping[str, str]]
    """Class of each reported figure: "RTL-validated", "literature-checked" or "unvalidated", by figure name, with
    "" for the rest."""

    def lower(self, workload: Workload, design: Any, binding: Mapping[str, float]) -> Program:
        """The tasks of `workload` on `design`. Raises InputError naming any operator it cannot run."""
        ...

    @staticmethod
    def machine(design: Any, parts: Parts) -> Any:
        """NamedTuple whose fields are Unit and MemoryLevel; the first Unit's clock is the design's. Pure."""
        ...

    @staticmethod
    def price(design: Any, parts: Parts) -> Any:
        """NamedTuple with the field names of Counts: picojoules each. Pure."""
        ...

    @staticmethod
    def static_w(design: Any, parts: Parts) -> Any:
        """NamedTuple component -> watts drawn all the time (leakage, clock tree, idle DRAM). Pure."""
        ...

    @staticmethod
    def area_mm2(design: Any, parts: Parts) -> Any:
        """NamedTuple component -> mm2 of silicon. Pure."""
        ...

    def check(self, design: Any, parts: Parts, program: Program) -> Sequence[Violation]:
        """What makes `design` unable to run `program`, beyond the capacities the engine checks itself."""
        ...


# --- the registry -----------------------------------------------------------------------------------------------


def _plugins() -> Iterator[tuple[str, Any]]:
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        yield point.name, point


def structural_of(model: Model, program: Program) -> frozenset[str]:
    """The design fields that `program` depends on."""
    return model.structural if program.structural is None else program.structural


def model_names() -> list[str]:
    """Names of every installed model, without importing any."""
    return [name for name, _ in _plugins()]


def load_model(name: str) -> Model:
    """The installed model called `name`.

    Raises InputError when there is none, naming those there are.
    """
    for found, point in _plugins():
        if found == name:
            return point.load()  # type: ignore[no-any-return]
    known = ", ".join(model_names()) or "none"
    raise bad_input("unknown-model", name, f"no installed model has this name (installed: {known})",
                    "Run `hwsim list` to see them.")  # fmt: skip
