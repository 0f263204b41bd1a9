"""What a circuit is to the harness, and how circuits are found.

The top module of a circuit has the ports

    clk, reset, start   inputs: reset is synchronous and active high; start is high for one cycle
    case_id[31:0]       input: which files of the folder +images=FOLDER belong to this run
    <register> ...      inputs: one for each of `Stimulus.registers`, held from before start until done
    done                output: rises when the run is over, and stays until the next reset
    <counter> ...       outputs: one for each name the harness reads, valid while done

and one Verilog parameter for each Design field that its sources are built for. Between start and its first use of a
memory it reads FOLDER/<case_id>.<memory>.hex with $readmemh; before done rises it writes FOLDER/<case_id>.<memory>.out
with $writememh. With the plusarg +trace it also writes FOLDER/<case_id>.trace, an event a line: "cycle name number
...". Cycle 0 is the first one after start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from hwsim.errors import bad_input
from hwsim.model import Program

ENTRY_POINT_GROUP = "hwsim.circuits"

CAUSES = ("fill", "compute", "stall", "drain")
"""Cycles before the unit is first held, while it is held, between, and after it is last held. They sum to the total."""


class Generated(NamedTuple):
    """A source that is made rather than kept: the name of its file, and its text."""

    name: str
    text: str

    @property
    def suffix(self) -> str:
        """The ending of its name, as `Path.suffix` has it."""
        return Path(self.name).suffix

    def read_bytes(self) -> bytes:
        """The text as a file of it would hold it."""
        return self.text.encode()


@dataclass(frozen=True, slots=True)
class Hdl:
    """Sources of a circuit. `parameters` are the Design fields of the same name that a build depends on."""

    top: str
    sources: tuple[Path, ...]
    parameters: tuple[str, ...] = ()
    waivers: tuple[Path, ...] = ()
    """Verilator configuration files (.vlt) with the lint warnings that are waived, each with its reason."""
    leaf: str = ""
    """Module whose resources Yosys counts: the datapath without test memories; "" for none."""
    generated: tuple[Generated, ...] = ()
    """Sources made for this build, compiled behind `sources`."""

    @property
    def compiled(self) -> tuple[Path | Generated, ...]:
        """Every source, in the order of compilation; leading headers are only included."""
        return (*self.sources, *self.generated)


class Image(NamedTuple):
    """Contents of a memory: words of `width_bits`, each from 0 to 2**width_bits - 1, from address 0 on."""

    width_bits: int
    words: Sequence[int]


class Event(NamedTuple):
    """Something that happens in cycle `cycle` (0 is the first after start): a name and its numbers."""

    cycle: int
    name: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One run of the circuit, and what has to come out whatever the model says.

    expected  memory name -> the words the circuit must leave in it, computed from the data alone (numpy integers)
    exact     counter port -> its value, by a formula or a golden function of the model that allows no tolerance
    estimates counter port -> what a coarser form of the model says of it; its error is reported, and held to nothing
    limit     cycles after which a run that is not done is given up
    """

    registers: Mapping[str, int]
    memories: Mapping[str, Image]
    expected: Mapping[str, Image]
    exact: Mapping[str, int] = field(default_factory=dict)
    limit: int = 1_000_000
    estimates: Mapping[str, int] = field(default_factory=dict)


class Circuit(Protocol):
    """A circuit and the model it holds.

    It may also have

    check(design, task)     raises InputError where either is too large for it. All cases are asked before anything is
                            built, so it must be quick whatever the sizes.
    hdl_of(pairs)           the Hdl of one build for these (design, task), for a circuit that is generated from them;
                            `hdl` then holds what all builds share
    build_key(design, task) anything hashable, with `hdl_of`: cases with the same key (and parameters) go into one build
    deep()                  the lines, as mappings of the same columns to text, of a table of what takes too long for
                            every day; `validate --deep` writes it to `deep_table`, a path beside the cases
    deep_lines()            what the validation page says of that table, as Markdown
    """

    name: ClassVar[str]
    model: ClassVar[str]
    """Name of the installed model."""
    hdl: ClassVar[Hdl]
    cases: ClassVar[Path]
    """The cases that come with it: cases.yaml; golden.csv lies beside it."""
    unit: ClassVar[str]
    """Unit of the model's Machine whose cycles are told apart by cause."""
    counters: ClassVar[Mapping[str, str]]
    """Counts field -> counter port. Cycle counters are `cycles_total` and `cycles_<cause>`."""
    built_for: ClassVar[Mapping[str, Any]]
    """Design fields the circuit has one value of."""
    Task: ClassVar[type]
    """Frozen dataclass of what a case's `task` says, with the annotations of a Design (hwsim.config)."""

    def stimulus(self, design: Any, task: Any, seed: int) -> Stimulus:
        """What drives the circuit, and what must come out. Raises InputError where a task cannot run on it."""
        ...

    def program(self, design: Any, task: Any, seed: int) -> Program:
        """What the model is asked: the tasks of this case in order."""
        ...

    def trace(self, design: Any, task: Any, seed: int) -> Iterable[Event]:
        """The model's events in order of their cycles, named as the circuit names them."""
        ...


def circuit_names() -> list[str]:
    """Names of every installed circuit, without importing any."""
    return sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP))


def load_circuit(name: str) -> Circuit:
    """The installed circuit called `name`. Raises InputError when there is none, naming those there are."""
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            return point.load()  # type: ignore[no-any-return]
    known = ", ".join(circuit_names()) or "none"
    raise bad_input("unknown-circuit", name, f"no installed circuit has this name (installed: {known})",
                    "Run `hwsim list` to see them.")  # fmt: skip
