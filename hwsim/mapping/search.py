"""The cheapest choice of every task: all that a model offers, by the cost of an ordinary run, with proof.

    best(model, design, parts, task, "energy") -> Found
    priced(model, design, parts, task) -> Priced        what an ordinary run of this one task takes

Every choice is counted and timed by the engine's compiled functions. A lower bound of each follows from its times: the
first piece has to be loaded before any work, all of the work follows, and the last piece has to be stored; likewise
from the loads and from the stores. Choices are then run in order of their bounds, each as a program of one step, until
no bound is below the best: what is found is the cheapest of all that the model offers, and not by an estimate.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.demand import Layout, layout
from hwsim.dram import Dram
from hwsim.errors import bad_input
from hwsim.evaluation import evaluate_program
from hwsim.mapping.space import mapped_task, space_of
from hwsim.memory import MemoryLevel, Unit
from hwsim.model import Program
from hwsim.parts import Parts

OBJECTIVES = ("latency", "energy", "edp")
PJ_PER_W_PS = 1.0
"""A watt over a picosecond is a picojoule."""
SAFE = 1 - 1e-12
"""Bounds are floating point and what they bound is not: they are taken this much lower."""


class Priced(NamedTuple):
    """What one task takes when it runs by itself: static power counts over its own latency."""

    latency_ps: int
    energy_pj: float

    def of(self, objective: str) -> float:
        """The figure that is minimized: picoseconds, picojoules, or their product."""
        if objective == "latency":
            return float(self.latency_ps)
        return self.energy_pj if objective == "energy" else self.latency_ps * self.energy_pj


@dataclass(frozen=True)
class Found:
    """The best choice of a task.

    choices     all that were bounded; `run` of them were run
    default     what the model takes by itself, and its price
    seconds     of the search
    """

    choice: Any
    priced: Priced
    default: Any
    default_priced: Priced
    choices: int
    run: int
    seconds: float


def best(model: Any, design: Any, parts: Parts, task: Any, objective: str) -> Found:
    """The cheapest choice for a task; of equal ones the model's own, else the first by latency, energy and order.

    Raises InputError for an unknown objective, and for a model that leaves no choice.
    """
    if objective not in OBJECTIVES:
        raise bad_input("choice", objective, f"an objective is one of {', '.join(OBJECTIVES)}", key="--objective")
    started = time.perf_counter()
    space = space_of(model)
    own = space.default(design, task)
    default = priced(model, design, parts, mapped_task(space, task, own))
    rows = space.choices(design, task)
    floor = SAFE * bounds(model, design, parts, task, rows, objective)
    least, choice, run = default, own, 1
    for at in np.argsort(floor, kind="stable"):
        if floor[at] >= least.of(objective):
            break
        other = space.Choice(*(int(v) for v in rows[at]))
        price = priced(model, design, parts, mapped_task(space, task, other))
        run += 1
        if (price.of(objective), *price) < (least.of(objective), *least):
            least, choice = price, other
    return Found(choice, least, own, default, len(rows), run, time.perf_counter() - started)


def priced(model: Any, design: Any, parts: Parts, task: Any) -> Priced:
    """Latency and energy of a program of this one task."""
    program = Program()
    program.add(task, program.add_layer("", "", ""))
    timed = evaluate_program(model, design, parts, program)
    latency = max(timed.clocked.done_ps)
    dynamic = sum(c * p for c, p in zip(timed.counts[0], model.price(design, parts), strict=True))
    return Priced(latency, dynamic + sum(model.static_w(design, parts)) * latency * PJ_PER_W_PS)


# --- bounds -------------------------------------------------------------------------------------------------------


def bounds(
    model: Any, design: Any, parts: Parts, task: Any, rows: NDArray[np.int64], objective: str
) -> NDArray[np.float64]:
    """For every row of choices what its objective cannot be below."""
    counts, times = _counted(model, design, parts, task, rows)
    latency = shortest_ps(times)
    if objective == "latency":
        return latency
    prices = np.array(model.price(design, parts), np.float64)
    static_w = float(sum(model.static_w(design, parts)))
    energy: NDArray[np.float64] = counts @ prices + static_w * PJ_PER_W_PS * latency
    return energy if objective == "energy" else energy * latency


def shortest_ps(times: NDArray[np.int64]) -> NDArray[np.float64]:
    """What a task of these times (rows of `hwsim.timing.driver.TIME_COLUMNS`) takes at least by itself."""
    from hwsim.timing import driver

    t = times.astype(np.float64)
    load, lead, work, drain, store, pieces = (
        t[:, c] for c in (driver.T_LOAD_PS, driver.T_LEAD, driver.T_WORK, driver.T_DRAIN, driver.T_STORE_PS,
                          driver.T_CHUNKS)
    )  # fmt: skip
    first = [np.floor(total / pieces) for total in (load, work)]
    last = [total - (pieces - 1) * np.floor(total / pieces) for total in (work, store)]
    end = np.maximum(drain, last[1])
    ways = (lead + first[0] + work + end, lead + load + last[0] + end, lead + first[0] + first[1] + store)
    shortest: NDArray[np.float64] = np.maximum.reduce(ways)
    return shortest


def _counted(
    model: Any, design: Any, parts: Parts, task: Any, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Counts and times of the task with every choice.

    Raises InputError where a count leaves 64 bits.
    """
    from hwsim.timing import compile as jit
    from hwsim.timing import driver

    kind = space_of(model).mapped[type(task)]
    tasks = np.zeros(len(rows), jit.dtype_of(kind))
    own, *chosen = tasks.dtype.names
    tasks[own] = jit.rows(type(task), [task])[0]
    for at, name in enumerate(chosen):
        tasks[name] = rows[:, at]
    counts = np.zeros((1, len(rows), len(model.Counts._fields)), np.int64)
    status = np.zeros((1, len(rows)), np.int8)
    _table(model.kernels[kind])(jit.rows(type(design), [design]), tasks, counts, status)
    if status.any():
        raise bad_input("overflow", str(tuple(task)), "a count of this product leaves 64 bits", "Map smaller sizes.")
    columns, units, levels = _machine(model, model.machine(design, parts))
    times = np.zeros((1, len(rows), driver.TIME_COLUMNS), np.int64)
    none, zero = np.zeros((len(rows), 3), np.int64), np.zeros(1, np.int64)
    sums, serial, failed = np.zeros((1, 3), np.int64), np.zeros((1, 3), np.int64), np.zeros(1, np.int8)
    machines = jit.rows(Unit, units)[None], jit.rows(MemoryLevel, levels)[None]
    asked = driver.new_asked(*machines, jit.rows(Dram, [parts.dram]))
    driver.times_driver(columns)(
        asked, zero, counts, zero, failed.copy(), none, True, times, sums, serial, np.zeros(1), failed
    )
    if failed.any():
        raise bad_input("overflow", str(tuple(task)), "a time of this product leaves 64 bits", "Map smaller sizes.")
    return counts[0], times[0]


@lru_cache(maxsize=16)
def _table(count: Any) -> Any:
    from hwsim.timing import compile as jit

    return jit.table(count)


def _machine(model: Any, machine: Any) -> tuple[Layout, Sequence[Unit], Sequence[MemoryLevel]]:
    columns, names = layout(model.Counts, machine)
    return columns, [getattr(machine, n) for n in names.units], [getattr(machine, n) for n in names.levels]
