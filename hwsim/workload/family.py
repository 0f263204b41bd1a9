"""Workload families: generators with integer parameters, and what a name after `-w` stands for.

A family is what a network of a given make is before its structure is chosen: `build(layers=4)` returns the workload
with four layers. Only what changes the structure is a parameter; sizes that do not (a batch, the width of a layer)
stay symbols of the workload that is built. Packages offer families by entry points of group "hwsim.families".

`load_network` answers for every name: a family, a shipped workload or a file, each with or without its training step.
Its `symbols` are all that `--bind` may name, parameters first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from hwsim.document import suggestion
from hwsim.errors import InputError, bad_input
from hwsim.workload import store
from hwsim.workload.ir import Role, Symbol, Workload
from hwsim.workload.training import OPTIMIZERS, training_step

ENTRY_POINT_GROUP = "hwsim.families"
FAMILY, PARAMETERS = "family", "parameters"
"""Keys of a built workload's provenance: its family, and the parameters as "layers=4, blocks=2"."""
MAX_BUILT = 256
"""Workloads of one family that are kept built."""


@dataclass(frozen=True, slots=True)
class Parameter(Symbol):
    """An integer that the structure of a workload follows from. `choices`: the values it may have; () for all from
    `low` to `high`."""

    choices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """A generator of workloads.

    `build` takes every parameter by its name. The symbols of what it returns do not depend on the parameters, and none
    has the name of a parameter.
    """

    name: str
    summary: str
    parameters: Mapping[str, Parameter]
    build: Callable[..., Workload]

    def workload(self, values: Mapping[str, int]) -> Workload:
        """The workload with these values of all parameters; its provenance names them."""
        built = self.build(**values)
        text = ", ".join(f"{name}={values[name]}" for name in self.parameters)
        return dataclasses.replace(built, provenance={**built.provenance, FAMILY: self.name, PARAMETERS: text})


def parameters_of(workload: Workload) -> dict[str, int]:
    """The parameters that a workload of a family was built with; {} for other workloads."""
    text = workload.provenance.get(PARAMETERS, "") if FAMILY in workload.provenance else ""
    pairs = (part.partition("=") for part in text.split(", ") if part)
    return {name: int(value) for name, _, value in pairs if value.isdigit()}


def weights_of(workload: Workload, sizes: Mapping[str, int]) -> int:
    """The elements of all weights of a workload, each counted once."""
    found = {t.name: t for graph in workload.graphs.values() for t in graph.tensors.values() if t.role is Role.WEIGHT}
    return sum(tensor.elements(sizes) for tensor in found.values())


# --- the registry -----------------------------------------------------------------------------------------------


def find_families() -> dict[str, EntryPoint]:
    """Name -> entry point of every installed family, without importing any."""
    return {point.name: point for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name)}


def load_family(name: str) -> Family:
    """The installed family called `name`. Raises InputError when there is none."""
    known = find_families()
    if name not in known:
        raise bad_input("unknown-family", name, "no installed family has this name", suggestion(name, known))
    family: Family = known[name].load()
    return family


# --- what -w names ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """What a name after `-w` stands for, before sizes are bound: one workload, or every workload of a family; with
    `train`, the name of an optimizer, each as its training step."""

    name: str
    workload: Workload | None = None
    family: Family | None = None
    train: str = ""
    _built: dict[tuple[int, ...], Workload] = field(default_factory=dict, repr=False, compare=False)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The parameters of its family; {} for a single workload."""
        return self.family.parameters if self.family else {}

    @cached_property
    def symbols(self) -> Mapping[str, Symbol]:
        """Everything that can be bound: parameters, then the symbols of the workload."""
        return {**self.parameters, **self.built({}).symbols}

    def built(self, values: Mapping[str, float]) -> Workload:
        """The workload under these values; a parameter that is left out has its default, other names do not matter.

        Raises InputError for a training step that cannot be made.
        """
        chosen = {name: int(values.get(name, p.default)) for name, p in self.parameters.items()}
        key = tuple(chosen.values())
        found = self._built.pop(key, None)
        if found is None:
            found = self.family.workload(chosen) if self.family else self.workload
            assert found is not None
            found = training_step(found, self.train) if self.train else found
        while len(self._built) >= MAX_BUILT:
            del self._built[next(iter(self._built))]
        self._built[key] = found
        return found

    def own(self, values: Mapping[str, float]) -> dict[str, float]:
        """Those of `values` that are symbols of the built workload."""
        return {name: value for name, value in values.items() if name not in self.parameters}


def load_network(name_or_path: str | Path, train: str = "") -> Network:
    """The family, shipped workload or workload file of this name; with `train`, its training step with that optimizer.

    Raises InputError for an unknown name, a broken rule of the file, an unknown optimizer, or a workload that has no
    training step.
    """
    check_optimizer(train)
    name = str(name_or_path)
    if not isinstance(name_or_path, Path) and name in find_families():
        return Network(name, family=load_family(name), train=train)
    plain = not isinstance(name_or_path, Path) and store.is_name(name)
    if plain and name not in store.find_workloads():
        known = [*store.find_workloads(), *find_families()]
        remedy = suggestion(name, known) or "Run `hwsim list` to see those there are, or give a file."
        raise bad_input("unknown-workload", name, "no installed workload has this name", remedy)
    return network_of(store.load_workload(name_or_path), train)


def network_of(workload: Workload, train: str = "") -> Network:
    """A single workload as a Network, whose training step is made at once. Raises as `load_network` does."""
    check_optimizer(train)
    found = Network(workload.name, workload=workload, train=train)
    found.built({})
    return found


def check_optimizer(train: str) -> None:
    """Raises InputError unless `train` is "" or names an optimizer."""
    if train and train not in OPTIMIZERS:
        raise bad_input("optimizer", train, "no optimizer has this name", suggestion(train, OPTIMIZERS),
                        key="--optimizer")  # fmt: skip


def summaries() -> Iterator[tuple[str, str]]:
    """Name and summary of every installed family, or what is wrong with it."""
    for name in find_families():
        try:
            family = load_family(name)
            yield name, f"{family.summary} ({', '.join(family.parameters)})"
        except (ImportError, AttributeError, InputError) as error:
            yield name, f"cannot be loaded: {error}"
