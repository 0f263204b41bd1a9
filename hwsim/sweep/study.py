"""What a sweep asks: plain data that the file reader fills and everything else reads.

An *assignment* maps the keys of the varied parameters to plain values: design values in the unit of their field
(`clock` in kHz, as in `DesignValue`), enum members by lower-case name, `technology`, `dram`, `accelerator` and
`workload` by name, `bind.NAME` for symbols of the workload and parameters of its family. A parameter whose condition
does not hold is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Value = bool | int | float | str
Assignment = Mapping[str, Value]

ACCELERATOR = "accelerator"
WORKLOAD = "workload"
BIND = "bind."


class Direction(Enum):
    """Which way an objective is better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One axis of the space: either listed `values`, or a range from `low` to `high`, both included.

    A range is of integers in steps of `step`, or of floats (`step` 0). `log` ranges are sampled uniformly in the
    logarithm; a grid takes `grid` points of a float or log range, evenly spaced on its scale. `when` is a formula over
    earlier parameters: where it is false the parameter keeps the design's own value and is absent from assignments.
    """

    key: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0
    log: bool = False
    grid: int = 0
    when: str = ""


@dataclass(frozen=True, slots=True)
class Objective:
    """A figure to make small or large: a metric name (see `hwsim.sweep.metrics`) or a formula over metrics."""

    figure: str
    direction: Direction = Direction.MINIMIZE


@dataclass(frozen=True, slots=True)
class Study:
    """A whole question.

    accelerators, workloads   design and workload names or paths; with several, `accelerator` and `workload` are the
                              first two axes of the space
    fixed                     overrides that every point shares ("key=value")
    bind                      bindings that every point shares
    train                     the optimizer of a training step; "" where the workloads themselves are run
    constraints               formulas over parameters (decided before a point runs) or over metrics (after)
    method                    grid, random, sobol, tpe, nsgaii, ..., asha; its options in `options`
    budget                    points at most (0: the whole grid)
    keep_rows                 up to this many points every one is a row of the store; above, chunks are kept
    """

    name: str
    summary: str
    accelerators: tuple[str, ...]
    workloads: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    bind: Mapping[str, float] = field(default_factory=dict)
    method: str = "grid"
    options: Mapping[str, Any] = field(default_factory=dict)
    fidelity: str = "closed"
    budget: int = 0
    seed: int = 0
    keep_rows: int = 1_000_000
    train: str = ""


OK = "ok"
INFEASIBLE = "infeasible"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Row:
    """One evaluated point, as the store keeps it.

    point     sha256 of what was resolved: design values, technology and DRAM figures, workload, binding, fidelity, code
    status    "ok"; "infeasible" (a capacity, a rule of the design, or a constraint: `why` says which); "failed" (our
              bug or a fault: `why` is the log)
    metrics   as `hwsim.sweep.metrics.metrics_of` names them; empty where the point never ran
    """

    point: str
    assignment: Assignment
    status: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    why: str = ""
