"""The mapping of a whole workload: every task that leaves a choice, searched once; a file of it, and a run with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.config import DesignFile, load_design
from hwsim.document import Checker, read_json, shown_path
from hwsim.errors import InputError, bad_input, shown
from hwsim.mapping.search import OBJECTIVES, Found, best
from hwsim.mapping.space import Mapped, space_of
from hwsim.parts import resolve_parts
from hwsim.simulate import resolve_binding
from hwsim.workload.family import load_network

SCHEMA = "hwsim/mapping/1"
KEYS = ("schema", "model", "design", "workload", "objective", "products")
PRODUCT_KEYS = ("layers", "task", "choice")
LARGEST = 1 << 62


@dataclass(frozen=True)
class Line:
    """One distinct task: the layers it stands for, how often it runs, and what was found."""

    layers: tuple[str, ...]
    runs: int
    task: Any
    found: Found


@dataclass(frozen=True)
class Plan:
    """The best choice of every task of a workload on a design."""

    file: DesignFile
    workload: str
    objective: str
    lines: tuple[Line, ...]

    def total(self, objective: str, *, default: bool = False) -> float:
        """The figure of all tasks together, each as it runs by itself: picoseconds, picojoules or their product."""
        prices = [(line.runs, line.found.default_priced if default else line.found.priced) for line in self.lines]
        latency = sum(n * p.latency_ps for n, p in prices)
        energy = sum(n * p.energy_pj for n, p in prices)
        return {"latency": float(latency), "energy": energy, "edp": latency * energy}[objective]

    def as_json(self) -> dict[str, Any]:
        """All of it, for `--json`."""
        return {
            "design": self.file.name, "workload": self.workload, "objective": self.objective,
            "products": [_line_json(space_of(self.file.model), line) for line in self.lines],
        }  # fmt: skip

    def document(self) -> dict[str, Any]:
        """What `write` writes: the choices, and what they belong to."""
        space = space_of(self.file.model)
        return {
            "schema": SCHEMA, "model": self.file.model.name, "design": self.file.name, "workload": self.workload,
            "objective": self.objective,
            "products": [
                {"layers": list(line.layers), "task": line.task._asdict(), "choice": space.words(line.found.choice)}
                for line in self.lines
            ],
        }  # fmt: skip

    def write(self, path: Path) -> None:
        """The mapping as a file for `hwsim run --mapping`. Raises InputError where it cannot be written."""
        try:
            path.write_text(json.dumps(self.document(), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise bad_input("write", str(path), f"the mapping cannot be written: {error.strerror}",
                            "Name a file in a folder that can be written.", key="--out") from None  # fmt: skip


def _line_json(space: Any, line: Line) -> dict[str, Any]:
    found = line.found
    return {
        "layers": list(line.layers), "runs": line.runs, "task": line.task._asdict(),
        "choice": space.words(found.choice), "latency_ps": found.priced.latency_ps,
        "energy_pj": found.priced.energy_pj, "default": space.words(found.default),
        "default_latency_ps": found.default_priced.latency_ps, "default_energy_pj": found.default_priced.energy_pj,
        "choices": found.choices, "run": found.run, "proven": True, "seconds": found.seconds,
    }  # fmt: skip


def plan(file: DesignFile, workload: str, objective: str, bind: Mapping[str, float], train: str = "") -> Plan:
    """Search every distinct task of `workload` on a design.

    Raises InputError for what is wrong with the input, and for a model that leaves no choice.
    """
    space, parts = space_of(file.model), resolve_parts(file.named)
    network = load_network(workload, train)
    values = resolve_binding(network, bind)
    program = file.model.lower(network.built(values), file.design, network.own(values))
    lines = []
    for at, task in enumerate(program.tasks):
        if type(task) in space.mapped:
            steps = [i for i, t in enumerate(program.task) if t == at]
            layers = tuple(dict.fromkeys(program.layers[program.layer[i]].name for i in steps))
            lines.append(Line(layers, len(steps), task, best(file.model, file.design, parts, task, objective)))
    return Plan(file, workload, objective, tuple(lines))


def mapped_design(name_or_path: str | Path, mapping: Path, overrides: tuple[str, ...] = ()) -> DesignFile:
    """A design whose products run as the file `mapping` says.

    Raises InputError for every problem of the design and of the file, with its place.
    """
    file = load_design(name_or_path, overrides)
    chosen = _read(mapping, file)
    note = f"products run in the tiles of {shown_path(mapping)}"
    model: Any = Mapped(file.model, chosen, note)
    return dataclasses.replace(file, model=model)


def _read(path: Path, file: DesignFile) -> dict[Any, Any]:
    """The choices of a file, by task."""
    space = space_of(file.model)
    check = Checker(read_json(path))
    raw = check.keys((), check.document.data, "a mapping", KEYS)
    if raw is None:
        raise InputError(check.problems)
    if raw.get("schema", SCHEMA) != SCHEMA:
        check.fail(("schema",), "schema", raw["schema"], f"this version reads {shown(SCHEMA)}")
    if raw.get("model", file.model.name) != file.model.name:
        rule = f"the design {file.name} is of the model {file.model.name}"
        check.fail(("model",), "mapping", raw["model"], rule, "Map this design with `hwsim map`.")
    if raw.get("objective", OBJECTIVES[0]) not in OBJECTIVES:
        check.fail(("objective",), "choice", raw["objective"], f"must be one of {', '.join(OBJECTIVES)}")
    chosen: dict[Any, Any] = {}
    for at, entry in enumerate(check.items(("products",), raw.get("products", []), "products")):
        _read_product(check, space, at, entry, chosen)
    check.raise_problems()
    return chosen


def _read_product(check: Checker, space: Any, at: int, entry: Any, chosen: dict[Any, Any]) -> None:
    path = ("products", at)
    raw = check.keys(path, entry, "a product", PRODUCT_KEYS)
    if raw is None:
        return
    kind = next(iter(space.mapped))
    sizes = check.keys((*path, "task"), raw.get("task", {}), "a task", kind._fields)
    words = check.mapping((*path, "choice"), raw.get("choice", {}), "a choice")
    if sizes is None or words is None:
        return
    values = [check.integer((*path, "task", name), sizes.get(name, 0), 0, LARGEST) for name in kind._fields]
    try:
        choice = space.read(words)
    except InputError as bad:
        problem = bad.problems[0]
        check.fail((*path, "choice"), "mapping", words, problem.rule, "Map again with `hwsim map`.")
        return
    if None in values:
        return
    task = kind(*values)
    if task in chosen:
        check.fail(path, "duplicate", sizes, "a product is mapped once", "Delete one of the two.")
    chosen[task] = choice
