"""What a detector costs on an engine, by the model, and what limits it.

Nothing here is an approximation beside the model: a structure is lowered and timed as `hwsim run` does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from accelerators.skynet.design import Design
from accelerators.skynet.structure import MOST_UNITS, Structure, units, workload
from hwsim.config import DesignFile, load_design
from hwsim.errors import InputError
from hwsim.evaluation import PS_PER_S, Evaluation, Job, evaluate
from hwsim.model import Violation
from hwsim.parts import resolve_parts

MILLI = 1_000
ENGINE, HOST = "engine", "host"


class Cost(NamedTuple):
    """Of one frame: time, energy, MACs. compute, memory, host: shares of the time in which the engines work, wait for
    memory, and wait for the host. why: what of the device does not suffice, "" where all does."""

    frame_s: float
    energy_j: float
    macs: int
    compute: float
    memory: float
    host: float
    why: str

    @property
    def fps(self) -> float:
        """Frames a second."""
        return 1 / self.frame_s

    @property
    def limit(self) -> str:
        """The largest of the shares."""
        return max(("compute", "memory", "host"), key=lambda name: float(getattr(self, name)))


@dataclass(frozen=True)
class Engine:
    """An engine in its file."""

    file: DesignFile

    @classmethod
    def named(cls, name: str, *overrides: str) -> Engine:
        """A shipped design, or one in a file. Raises InputError as `load_design` does, and for another model's."""
        file = load_design(name, overrides)
        if not isinstance(file.design, Design):
            from hwsim.errors import bad_input

            raise bad_input("design", name, "the search is over SkyNet's engine", "Name a design of the model skynet.")
        return cls(file)

    @property
    def design(self) -> Design:
        """Its fields."""
        made: Design = self.file.design
        return made

    def changed(self, **fields: Any) -> Engine:
        """The engine with other fields of its design, unchecked."""
        return Engine(dataclasses.replace(self.file, design=dataclasses.replace(self.design, **fields)))

    def cost(self, structure: Structure) -> Cost:
        """Of `structure`. Raises InputError naming the operators that the engine does not run."""
        return cost_of(self.evaluated(structure))

    def evaluated(self, structure: Structure) -> Evaluation:
        """One pass of the model."""
        parts = resolve_parts(self.file.named)
        return evaluate(Job(self.file.model, self.design, parts, workload(structure, "candidate"), {}))


def refusal(engine: Engine, kind: str) -> str:
    """Why Bundles of this kind are no candidates; "" for those that are."""
    asked = units(kind)
    if len(asked) > MOST_UNITS:
        return f"{len(asked)} compute units ({', '.join(asked)}); a Bundle has {MOST_UNITS} at most"
    try:
        engine.evaluated(Structure(kind))
    except InputError as refused:
        first = refused.problems[0]
        return f"{first.where.key.rpartition('graphs.network.')[2]}: {first.rule}"
    return ""


def cost_of(e: Evaluation) -> Cost:
    """A frame's cost in a batch that was evaluated."""
    design: Design = e.job.design
    frames = design.batch_rows * design.batch_columns
    busy = {ENGINE: 0, HOST: 0}
    for t in e.program.task:
        unit = e.names.units[e.times[t].unit]
        busy[unit] += e.times[t].work_ps
    compute, host = (busy[name] / e.makespan_ps for name in (ENGINE, HOST))
    macs = sum(layer.macs for layer in e.program.layers)
    return Cost(e.makespan_ps / PS_PER_S / frames, e.energy_j / frames, macs, compute, 1 - compute - host, host,
                "; ".join(map(_told, violations(e))))  # fmt: skip


def violations(e: Evaluation) -> list[Violation]:
    """Resources that the device has too few of."""
    return list(e.job.model.check(e.job.design, e.job.parts, e.program))


def _told(v: Violation) -> str:
    return f"{v.what}: {v.demand:,} of {v.bound:,}"


# --- what limits a design -----------------------------------------------------------------------------------------


class Limit(NamedTuple):
    """The change that would save most time: which, the share it would save, and what stands against it."""

    change: str
    saves: float
    against: str


def levers(design: Design) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each way to give the engine twice as much of something."""
    if design.pw_interval > 1:
        yield "twice the products", {"pw_interval": design.pw_interval // 2}
    elif design.outputs_per_cycle < design.lanes:
        yield "twice the products", {"outputs_per_cycle": 2 * design.outputs_per_cycle}
    elif design.inputs_per_cycle < design.lanes:
        yield "twice the products", {"inputs_per_cycle": 2 * design.inputs_per_cycle}
    yield "twice the lanes", {"lanes": 2 * design.lanes}
    yield "a port twice as wide", {"port_bits": 2 * design.port_bits}
    if not design.overlap_bundle:
        yield "loading ahead in Bundles on maps", {"overlap_bundle": True}
    if design.whole_tiles:
        yield "tiles of what is kept alone", {"whole_tiles": False}


OUTSIDE = {"a port twice as wide": "more ports of the processing system"}


def limit(engine: Engine, structure: Structure, base: Cost) -> Limit:
    """What would make `structure` fastest on `engine`, which takes `base` now."""
    found = []
    for change, fields in levers(engine.design):
        after = engine.changed(**fields).cost(structure)
        against = after.why or OUTSIDE.get(change, "nothing of the device")
        found.append(Limit(change, 1 - after.frame_s / base.frame_s, against))
    return max(found, key=lambda one: one.saves)
