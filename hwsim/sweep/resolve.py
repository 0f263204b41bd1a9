"""From an assignment to the design, parts, workload and binding of a point, and to the hash that is its identity.

The hash covers everything that decides a point's figures: every value of the design (varied or not), the figures of
its technology and DRAM, the content of the workload with its masks, the whole binding, the fidelity, and the code of
the engine and of the model. It knows no file names and no study: a point of another study, of a changed space or of
another machine has the same hash exactly where it would have the same figures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from hwsim.config import DesignFile
from hwsim.parts import resolve_parts
from hwsim.simulate import resolve_binding
from hwsim.sweep.study import ACCELERATOR, BIND, WORKLOAD, Assignment, Study, Value
from hwsim.sweep.subjects import PARTS, Subjects
from hwsim.workload import store
from hwsim.workload.family import Network
from hwsim.workload.ir import Workload

SWEPT = "sweep"
"""The place of a value that the study gives, in reports."""

_NOT_ENGINE = ("report", "testing", "tracing", "trace.py", "cli.py", "__main__.py", "sweep", "schemas")
_SWEEP_ENGINE = ("batch*.py", "metrics.py")
"""The code of sweeps that gives figures; searching, storing and drawing do not change them."""

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Resolved:
    """One point, ready to run."""

    base: DesignFile
    """The design's own file."""
    design: Any
    named: Mapping[str, str]
    """The entry of each table that the design names."""
    workload: Workload
    binding: Mapping[str, float]
    point_hash: str
    changes: Mapping[str, Value] = field(default_factory=dict)
    """The values of the design that the study or the assignment gives, by key."""

    @cached_property
    def file(self) -> DesignFile:
        """The design as a DesignFile of its own, whose changed values say that they come from a sweep."""
        values = tuple(
            dataclasses.replace(v, value=self.changes[v.key], place=SWEPT, source="", evidence="", low=None, high=None)
            if v.key in self.changes
            else v
            for v in self.base.values
        )
        return dataclasses.replace(self.base, design=self.design, named=self.named, values=values)


# --- what is hashed ---------------------------------------------------------------------------------------------


def _digest(texts: Iterable[str | bytes]) -> str:
    total = hashlib.sha256()
    for text in texts:
        raw = text.encode() if isinstance(text, str) else text
        total.update(b"%d:" % len(raw))
        total.update(raw)
    return total.hexdigest()


def _sources(folder: Path, leave_out: tuple[str, ...] = ()) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    return [p for p in found if p.relative_to(folder).parts[0] not in leave_out]


@lru_cache(maxsize=16)
def engine_hash(model_type: type) -> str:
    """sha256 of the sources of the engine and of the model's package."""
    engine = Path(__file__).parent.parent
    sweep = [p for pattern in _SWEEP_ENGINE for p in sorted((engine / "sweep").glob(pattern))]
    own = sys.modules[model_type.__module__].__file__
    model = _sources(Path(own).parent) if own else []
    return _digest(part for p in (*_sources(engine, _NOT_ENGINE), *sweep, *model) for part in (p.name, p.read_bytes()))


def workload_hash(workload: Workload) -> str:
    """sha256 of a workload's content and of its masks', wherever the files lie."""
    masks = store.mask_path(workload)
    content = masks.read_bytes() if masks else b""
    return _digest((store.dumps(dataclasses.replace(workload, masks="")), content))


def network_hash(network: Network) -> str:
    """sha256 of what a study's workloads of one name follow from: of a family, its default workload and its code."""
    default = workload_hash(network.built({}))
    if network.family is None:
        return default
    source = sys.modules[network.family.build.__module__].__file__
    return _digest((default, Path(source).read_bytes() if source else b""))


@lru_cache(maxsize=256)
def _parts_text(named: tuple[tuple[str, str], ...]) -> str:
    return repr(resolve_parts(dict(named)))


# --- one study --------------------------------------------------------------------------------------------------


class _Group:
    """The points that share accelerator, parts, workload and binding: what is common to their hashes, hashed once."""

    def __init__(self, resolver: Resolver, accelerator: str, workload: str, named: dict[str, str], key: Key) -> None:
        study, subjects = resolver.study, resolver.subjects
        self.file, network = subjects.designs[accelerator], subjects.workloads[workload]
        bound = {**study.bind, **dict(key)}
        given = {name: value for name, value in bound.items() if name in network.symbols}
        sizes = resolve_binding(network, given)
        self.workload = network.built(sizes)
        self.binding = network.own(sizes)
        self.named = named
        model = self.file.model
        common = (engine_hash(type(model)), model.name, resolver.workload_hash(workload, sizes), repr(sorted(
            self.binding.items())), study.fidelity, _parts_text(tuple(named.items())))  # fmt: skip
        self._prefix = hashlib.sha256(_digest(common).encode())
        self.fixed = subjects.fixed_of(accelerator, study)
        values = {key: v for key, v in subjects.design_values(accelerator, study).items() if key not in PARTS}
        self._values = dict(sorted(values.items()))
        self._kinds = {key: leaf.kind for key, leaf in subjects.leaves[accelerator].items()}
        self._templates: dict[tuple[str, ...], tuple[str, tuple[tuple[str, type], ...]]] = {}

    def hash(self, assignment: Assignment) -> str:
        """The point's hash: the design's values by sorted key, those of the assignment in their places."""
        template, slots = self._template(tuple(assignment))
        total = self._prefix.copy()
        total.update((template % tuple([_text(assignment[k], kind) for k, kind in slots])).encode())
        return total.hexdigest()

    def _template(self, keys: tuple[str, ...]) -> tuple[str, tuple[tuple[str, type], ...]]:
        found = self._templates.get(keys)
        if found is None:
            varied = set(keys) & set(self._values)
            lines = [
                f"{key}=%s" if key in varied else f"{key}={_text(value, self._kinds[key])}".replace("%", "%%")
                for key, value in self._values.items()
            ]
            slots = tuple((key, self._kinds[key]) for key in self._values if key in varied)
            found = self._templates[keys] = ("\n".join(lines), slots)
        return found

    def design_changes(self, assignment: Assignment) -> dict[str, Value]:
        """What differs from the design's file: fixed and assigned values of keys that this design has."""
        return self.fixed | {k: v for k, v in assignment.items() if k in self._values or k in self.named}


def _text(value: Value, kind: type) -> str:
    """A value as it is hashed: 2 in a float field is 2.0, whoever wrote it."""
    return repr(float(value) if kind is float else value)


class Resolver:
    """Resolves the points of one study. Raises InputError when its designs or workloads cannot be read."""

    def __init__(self, study: Study, subjects: Subjects | None = None) -> None:
        self.study = study
        self.subjects = subjects or Subjects.of(study)
        self._groups: dict[Key, _Group] = {}
        self._workloads: dict[tuple[str, tuple[float, ...]], str] = {}

    def workload_hash(self, name: str, values: Mapping[str, float]) -> str:
        """`workload_hash` of one of the study's workloads; of a family, the one that `values` choose."""
        network = self.subjects.workloads[name]
        key = (name, tuple(values[parameter] for parameter in network.parameters))
        if key not in self._workloads:
            self._workloads[key] = workload_hash(network.built(values))
        return self._workloads[key]

    def group(self, assignment: Assignment) -> _Group:
        """What the point shares with those that differ from it in values of the design alone."""
        study = self.study
        accelerator = str(assignment.get(ACCELERATOR, study.accelerators[0]))
        workload = str(assignment.get(WORKLOAD, study.workloads[0]))
        bind = tuple((k[len(BIND) :], v) for k, v in sorted(assignment.items()) if k.startswith(BIND))
        key = (accelerator, workload, tuple(assignment.get(table) for table in PARTS), bind)
        found = self._groups.get(key)
        if found is None:
            own = self.subjects.design_values(accelerator, study)
            named = {table: str(assignment.get(table) or own[table]) for table in PARTS if table in own}
            found = self._groups[key] = _Group(self, accelerator, workload, named, bind)
        return found

    def hash(self, assignment: Assignment) -> str:
        """The content hash of a point, also of one whose design breaks a rule."""
        return self.group(assignment).hash(assignment)

    def hashes(self, assignments: Iterable[Assignment]) -> list[str]:
        """The content hashes of many points."""
        return [self.group(a).hash(a) for a in assignments]

    def resolve(self, assignment: Assignment) -> Resolved:
        """The point, ready to run. Raises InputError, which makes the point infeasible, where the design breaks a rule
        of its own."""
        group = self.group(assignment)
        changes = group.design_changes(assignment)
        design, named = group.file.replaced(changes)
        return Resolved(group.file, design, named, group.workload, group.binding, group.hash(assignment), changes)


# --- by study ---------------------------------------------------------------------------------------------------


_RESOLVERS: dict[Key, Resolver] = {}
_MAX_RESOLVERS = 32


def resolver_of(study: Study) -> Resolver:
    """The resolver of a study, kept for the next call: studies that differ in what is searched share one."""
    key = (
        study.accelerators,
        study.workloads,
        study.train,
        study.fixed,
        tuple(sorted(study.bind.items())),
        study.fidelity,
    )
    found = _RESOLVERS.get(key)
    if found is None:
        same = next((r for k, r in _RESOLVERS.items() if k[:3] == key[:3]), None)
        if len(_RESOLVERS) >= _MAX_RESOLVERS:
            del _RESOLVERS[next(iter(_RESOLVERS))]
        found = _RESOLVERS[key] = Resolver(study, same.subjects if same else None)
    return found


def resolve(study: Study, assignment: Assignment) -> Resolved:
    """`Resolver.resolve` of a point of `study`."""
    return resolver_of(study).resolve(assignment)


def point_hash(study: Study, assignment: Assignment) -> str:
    """`Resolver.hash` of a point of `study`."""
    return resolver_of(study).hash(assignment)
