"""Studies and rows for tests of what is shown of sweeps: made up, with sums that hold, in any number and with any
names."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from sample_result import build

from hwsim.result import Interval, Result
from hwsim.sweep.study import (
    FAILED,
    INFEASIBLE,
    OK,
    Direction,
    Objective,
    Parameter,
    Row,
    Study,
    Value,
)

OBJECTIVES = (
    Objective("latency_s"), Objective("energy_j"), Objective("throughput_per_s", Direction.MAXIMIZE),
)  # fmt: skip


def study(names: Sequence[str] = ("macs", "format", "share", "cache"), method: str = "grid") -> Study:
    """A study of four parameters, called `names`: whole numbers, texts, a continuous range, a switch."""
    formats = ("dense", "csc", "rcsc")
    return Study(
        name="sample", summary="What a made-up design costs.", accelerators=("optimus",),
        workloads=("transformer-base",),
        parameters=(
            Parameter(names[0], (256, 512, 1024, 2048)), Parameter(names[1], formats),
            Parameter(names[2], low=0.1, high=0.9, grid=40),
            Parameter(names[3], (False, True), when=f"{names[0]} > 256"),
        ),
        objectives=OBJECTIVES, constraints=("macs % 256 == 0",), method=method, bind={"n": 8},
    )  # fmt: skip


def rows(of: Study, n: int = 300, seed: int = 1, why: str = "sets must divide macs (256)") -> list[Row]:
    """`n` rows at random places of the space: every 20th infeasible, every 50th failed."""
    rng, found = np.random.default_rng(seed), []
    keys = [p.key for p in of.parameters]
    for i in range(n):
        macs, share = int(rng.choice((256, 512, 1024, 2048))), round(float(rng.uniform(0.1, 0.9)), 3)
        kind = str(rng.choice(("dense", "csc", "rcsc")))
        assignment: dict[str, Value] = {keys[0]: macs, keys[1]: kind, keys[2]: share}
        if macs > 256:
            assignment[keys[3]] = bool(rng.integers(2))
        point = hashlib.sha256(f"{seed} {i}".encode()).hexdigest()
        if i % 20 == 7:
            found.append(Row(point, assignment, FAILED if i % 50 == 27 else INFEASIBLE, {}, f"{why} at {i}"))
        else:
            found.append(Row(point, assignment, OK, figures(macs, kind, share)))
    return found


def figures(macs: int, kind: str, share: float) -> dict[str, float]:
    """Smooth trade-offs: more multipliers are faster and larger, sparser weights cheaper."""
    work = {"dense": 1.0, "csc": share + 0.2, "rcsc": share + 0.05}[kind]
    latency = 1e-3 * (512 / macs * work + 0.2 * share)
    energy = 1e-2 * (0.2 + work + macs / 1024)
    return {
        "cycles": round(latency * 2e8), "latency_s": latency, "throughput_per_s": 30 / latency, "energy_j": energy,
        "power_w": energy / latency, "area_mm2": 2 + macs / 1024, "macs": 10**9,
        "macs_executed": round(work * 5e8), "utilisation": 0.5, "traffic_bits.dram.read": round(share * 1e9),
        "energy_breakdown_j.dram": 0.7 * energy, "energy_breakdown_j.array": 0.3 * energy,
    }  # fmt: skip


def result_of(row: Row, names: tuple[str, ...] = ()) -> Result:
    """A run whose latency and energy are the row's."""
    base = build(2, 1, names=names)
    latency, energy = row.metrics["latency_s"], row.metrics["energy_j"]
    slower, dearer = latency / base.latency_s.value, energy / base.energy_j.value
    layers = tuple(
        dataclasses.replace(x, exposed_s=x.exposed_s * slower, energy_j=x.energy_j * dearer) for x in base.layers
    )
    parts = {name: joules * dearer for name, joules in base.energy_breakdown_j.items()}
    return dataclasses.replace(
        base, layers=layers, energy_breakdown_j=parts, latency_s=Interval(latency, latency, latency),
        energy_j=Interval(energy, energy, energy),
    )  # fmt: skip
