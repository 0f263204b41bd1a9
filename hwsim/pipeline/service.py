"""How long the steps of a system take, and what they draw: accelerators are run once, the rest is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

from hwsim.config import load_design
from hwsim.errors import bad_input
from hwsim.parts import resolve_parts
from hwsim.pipeline.system import Runs, Stage, Step, System, Value
from hwsim.simulate import run
from hwsim.workload.batch import batched
from hwsim.workload.family import load_network, network_of

PS_PER_S = 10**12


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an accelerator: seconds, joules beside what is drawn all the time, and that in watts."""

    latency_s: Value
    dynamic_j: Value
    static_w: float
    frames: int
    accuracy: str
    accelerator: tuple[str, tuple[str, ...]]
    """The design and its overrides: steps that share one share its static power."""


@lru_cache(maxsize=256)
def measured(runs: Runs, batch: int) -> Run:
    """One run for up to `batch` frames.

    Raises InputError for what is wrong with the design or the workload, and for a design that cannot run it.
    """
    network = load_network(runs.workload)
    if runs.batched and network.workload:
        network = network_of(batched(network.workload, batch))
    file = load_design(runs.accelerator, runs.overrides)
    result = run(file, network, bind=dict(runs.bind))
    if not result.feasible:
        v = result.violations[0]
        rule = f"{runs.accelerator} cannot run {runs.workload}: {v.what} takes {v.demand:g} of {v.bound:g} {v.unit}"
        raise bad_input("infeasible", runs.accelerator, rule, f"Change {v.lever}." if v.lever else "")
    static_w = sum(file.model.static_w(file.design, resolve_parts(file.named)))
    latency, energy = result.latency_s, result.energy_j
    dynamic = [max(0.0, e - static_w * t) for e, t in ((energy.value, latency.value), (energy.low, latency.low),
                                                       (energy.high, latency.high))]  # fmt: skip
    kind = result.accuracy.get("latency_s", result.accuracy.get("", ""))
    return Run(Value(latency.value, latency.low, latency.high), Value(dynamic[0], min(dynamic), max(dynamic)), static_w,
               batch if runs.batched else runs.frames, kind, (runs.accelerator, runs.overrides))  # fmt: skip


def runs_of(system: System) -> dict[str, Run]:
    """Every accelerator step of a system, by its key "stage.step", run once."""
    return {
        f"{stage.name}.{step.name}": measured(step.runs, system.units(stage))
        for stage in system.stages for step in stage.steps if step.runs
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Services:
    """Times and energies of all steps, accelerators' included. `speed` moves those through their range: "low" is the
    shortest time and least energy, "high" the other end."""

    runs: Mapping[str, Run]
    speed: str = "value"

    def mean_ps(self, stage: Stage, step: Step, frames: int) -> int:
        """Mean picoseconds of one turn of `step` on `frames` frames."""
        return round(step.unit_time.value + frames * step.frame_time.value) + self.run_ps(stage, step, frames)

    def run_ps(self, stage: Stage, step: Step, frames: int) -> int:
        """Picoseconds of the accelerator in it, which do not vary."""
        ran = self.runs.get(f"{stage.name}.{step.name}")
        if ran is None:
            return 0
        return ceil(frames / ran.frames) * round(float(getattr(ran.latency_s, self.speed)) * PS_PER_S)

    def stage_ps(self, stage: Stage, frames: int) -> int:
        """Mean picoseconds of one turn of a worker of `stage` on `frames` frames."""
        return sum(self.mean_ps(stage, step, frames) for step in stage.steps)

    def dynamic_j(self, stage: Stage, step: Step, frames: int) -> float:
        """Joules of the accelerator runs of one turn, beside static power."""
        ran = self.runs.get(f"{stage.name}.{step.name}")
        return 0.0 if ran is None else ceil(frames / ran.frames) * float(getattr(ran.dynamic_j, self.speed))

    def static_w(self) -> float:
        """Watts that the accelerators draw all the time, each once however many steps it does."""
        return sum({ran.accelerator: ran.static_w for ran in self.runs.values()}.values())
