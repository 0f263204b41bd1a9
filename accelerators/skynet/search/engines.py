"""Features and engines: the networks found, with and without a bypass, on every engine that a device may hold.

The engines are a sweep of hwsim's own, written to a file that `hwsim sweep` reads too: resources, progress, interrupts
and resuming are the sweep's. A cost model knows no accuracy, so the front over accuracy, time and energy is drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from accelerators.skynet.resources import bram18s, dsps, flip_flops, luts
from accelerators.skynet.search.cost import Cost, Engine, limit
from accelerators.skynet.search.measure import bit_share
from accelerators.skynet.structure import Structure, workload
from hwsim.sweep.file import load_study
from hwsim.sweep.pareto import pareto_front
from hwsim.sweep.runner import Told, run_study
from hwsim.sweep.store import Store
from hwsim.sweep.study import OK, Direction, Row, Study
from hwsim.workload import store as workloads

BYPASSES = (0, 48, 96)
"""Outputs of the Bundle behind the bypass: none, and those of SkyNet B and C."""
ACTIVATION = "relu6"
"""The engine clamps as it stores, so the feature costs nothing (SkyNet's paper: IoU 0.713 to 0.741, remembered)."""

FRAMES = "(batch_rows * batch_columns)"
FRAME_S, FRAME_J = f"latency_s / {FRAMES}", f"energy_j / {FRAMES}"
SPACE: Mapping[str, Sequence[Any]] = {
    "tile_height": [20, 22, 42],
    "tile_width": [40, 42, 82],
    "whole_tiles": [False, True],
    "batch_rows": [1, 2],
    "batch_columns": [1, 2],
    "lanes": [16, 32, 64],
    "inputs_per_cycle": [8, 16, 32],
    "outputs_per_cycle": [16, 32],
    "pw_interval": [1, 2],
    "overlap_bundle": [False, True],
    "feature": ["8 bit", "9 bit"],
    "weight": ["10 bit", "11 bit"],
}
"""Fields that are varied. The widths are those that the paper has an accuracy of."""
VARIED = (*SPACE, "port")
CONSTRAINTS = (
    "abs(tile_width - 2 * tile_height) <= 2",
    "batch_rows <= batch_columns",
    "lanes % inputs_per_cycle == 0 and lanes % outputs_per_cycle == 0",
)


class Candidate(NamedTuple):
    """A network by name, with its accuracy by the measure."""

    name: str
    structure: Structure
    accuracy: float


class Designed(NamedTuple):
    """A network on an engine. accuracy: the measure's, times what the bits leave of it."""

    candidate: Candidate
    fields: Mapping[str, Any]
    accuracy: float
    frame_s: float
    energy_j: float


def featured(structure: Structure) -> list[Structure]:
    """A network with each set of features."""
    return [replace(structure, last=last, activation=ACTIVATION) for last in BYPASSES]


# --- the sweep --------------------------------------------------------------------------------------------------


def write_study(folder: Path, design: str, candidates: Sequence[Candidate], ports: Sequence[int]) -> Path:
    """Write the networks as workloads and the sweep over engines; the sweep's file."""
    for one in candidates:
        workloads.write(workload(one.structure, one.name), folder / "networks" / f"{one.name}.json")
    document = {
        "study": "engine",
        "summary": "networks of the design search on every engine that the device may hold",
        "accelerator": design,
        "workloads": [f"networks/{one.name}.json" for one in candidates],
        "space": {**SPACE, "port": [f"{bits} bit" for bits in ports]},
        "constraints": list(CONSTRAINTS),
        "objectives": {FRAME_S: "minimize", FRAME_J: "minimize"},
    }
    path = folder / "engine.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False, width=120), encoding="utf-8")
    return path


def sweep(file: Path, store: Path, workers: int, on_progress: Told | None) -> tuple[Study, list[Row]]:
    """Run the sweep, or what is left of it; the study and its points."""
    study = load_study(file)
    run_study(study, store, workers, "process" if workers > 1 else "serial", on_progress)
    with Store(store) as held:
        return study, [outcome.row for outcome in held.trials(held.chosen(study.name))]


def designed(rows: Sequence[Row], candidates: Sequence[Candidate]) -> list[Designed]:
    """The points that fit, in order."""
    by_name = {one.name: one for one in candidates}
    found = []
    for row in rows:
        if row.status != OK:
            continue
        a = row.assignment
        one = by_name[Path(str(a.get("workload", candidates[0].name))).stem]
        frames = int(a["batch_rows"]) * int(a["batch_columns"])
        share = bit_share(int(a["feature"]), int(a["weight"]))
        fields = {key: a[key] for key in VARIED}
        found.append(Designed(one, fields, one.accuracy * share, row.metrics["latency_s"] / frames,
                              row.metrics["energy_j"] / frames))  # fmt: skip
    return found


def front(designs: Sequence[Designed]) -> list[Designed]:
    """Those that no other is better than or equal to in accuracy, frame rate and energy, fastest first."""
    goals = np.array([(d.accuracy, d.frame_s, d.energy_j) for d in designs])
    ways = (Direction.MAXIMIZE, Direction.MINIMIZE, Direction.MINIMIZE)
    kept = [d for d, on in zip(designs, pareto_front(goals, ways), strict=True) if on]
    distinct = {(d.accuracy, d.frame_s, d.energy_j): d for d in reversed(kept)}
    return sorted(distinct.values(), key=lambda d: (d.frame_s, d.energy_j))


# --- what came out ----------------------------------------------------------------------------------------------


KEYS = {"feature": "feature_bits", "weight": "weight_bits", "port": "port_bits"}
"""Keys of the sweep that are no names of fields."""


@dataclass(frozen=True)
class Described:
    """A design of the front with its resources and what limits it."""

    design: Designed
    engine: Engine
    cost: Cost

    @classmethod
    def on(cls, base: Engine, design: Designed) -> Described:
        """A point of the sweep, run again by itself."""
        engine = base.changed(**{KEYS.get(key, key): value for key, value in design.fields.items()})
        return cls(design, engine, engine.cost(design.candidate.structure))

    def row(self) -> dict[str, object]:
        """As designs.csv has it."""
        d, made = self.design, self.engine.design
        held = limit(self.engine, d.candidate.structure, self.cost)
        return {
            "network": d.candidate.name, "structure": d.candidate.structure.text, **d.fields,
            "network_accuracy": d.candidate.accuracy, "accuracy": d.accuracy, "fps": self.cost.fps,
            "energy_mj": 1_000 * self.cost.energy_j, "dsps": dsps(made), "bram18s": bram18s(made), "luts": luts(made),
            "flip_flops": flip_flops(made), "compute": self.cost.compute, "memory": self.cost.memory,
            "host": self.cost.host, "limit": self.cost.limit, "would_help": held.change, "saves": held.saves,
            "against": held.against,
        }  # fmt: skip
