"""The figures of one job by ordinary Python: for sweeps too small to wait for a compiler.

The same names and the same numbers as `hwsim.sweep.metrics.metrics_of` finds in a Result, without the layers, slices
and curves that a Result also holds.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from hwsim.demand import LOAD, MOVE, STORE
from hwsim.evaluation import PJ_PER_J, PS_PER_S, Evaluation, Job, evaluate
from hwsim.model import Program
from hwsim.sweep.study import INFEASIBLE, OK


class Point(NamedTuple):
    """What came of one job: its status ("ok" or "infeasible"), its figures by name, and why it is infeasible."""

    status: str
    metrics: dict[str, float]
    why: str


def evaluate_plain(job: Job, program: Program | None = None) -> Point:
    """The closed form's figures of `job`, lowered unless `program` is given.

    Raises InputError where the model cannot run the workload, and ZeroDivisionError where a count divides by zero.
    """
    e = evaluate(job, program)
    why = "; ".join(_violations(e))
    return Point(INFEASIBLE if why else OK, dict(_figures(e)), why)


def capacity_text(level: str, bits: int, capacity: int) -> str:
    """Why a memory level is too small."""
    return f"{level} holds too little: {bits:.15g} of {capacity:.15g} bits"


def _violations(e: Evaluation) -> Iterator[str]:
    for level, bits in _peaks(e).items():
        capacity = getattr(e.machine, level).capacity_bits
        if bits > capacity:
            yield capacity_text(level, bits, capacity)
    for v in e.job.model.check(e.job.design, e.job.parts, e.program):
        yield f"{v.what}: {v.demand:.15g} of {v.bound:.15g} {v.unit}"


def _totals(e: Evaluation) -> list[int]:
    """Every count summed over the program."""
    times_run = [0] * len(e.counts)
    for t in e.program.task:
        times_run[t] += 1
    columns = range(len(e.names.fields))
    return [sum(row[f] * n for row, n in zip(e.counts, times_run, strict=True)) for f in columns]


def _figures(e: Evaluation) -> Iterator[tuple[str, float]]:
    totals, latency = _totals(e), e.latency_s
    per_second = 1 / latency if latency else 0.0
    turns = len({turn for turn in e.program.turn if turn >= 0})
    energy = e.energy_j
    at = e.names.fields.index("macs_executed") if "macs_executed" in e.names.fields else -1
    executed = totals[at] if at >= 0 else 0
    yield "cycles", round(e.makespan_ps * _clock_khz(e) / 1e9)
    yield "latency_s", latency
    yield "throughput_per_s", turns * per_second if turns else per_second
    yield "energy_j", energy
    yield "power_w", energy / latency if latency else 0.0
    yield "area_mm2", sum(e.job.model.area_mm2(e.job.design, e.job.parts))
    yield "macs", sum(layer.macs for layer in e.program.layers)
    yield "macs_executed", executed
    yield "utilisation", _utilisation(e, executed)
    yield from _token_times(e)
    yield from _traffic(e, totals)
    peaks = _peaks(e)
    for level in e.names.levels:
        yield f"memory_peak_bits.{level}", peaks.get(level, 0)
    for component, joules in _energies(e, totals).items():
        yield f"energy_breakdown_j.{component}", joules


def _clock_khz(e: Evaluation) -> int:
    return int(getattr(e.machine, e.names.units[0]).clock_khz)


def _utilisation(e: Evaluation, executed: int) -> float:
    units = [getattr(e.machine, name) for name in e.names.units]
    peak = sum(unit.macs_per_cycle * unit.clock_khz * 1e3 for unit in units)
    return executed / (peak * e.latency_s) if peak and e.latency_s else 0.0


def _token_times(e: Evaluation) -> Iterator[tuple[str, float]]:
    ends: dict[int, int] = {}
    for turn, done in zip(e.program.turn, e.clocked.done_ps, strict=True):
        if turn >= 0:
            ends[turn] = max(ends.get(turn, 0), done)
    if ends:
        first, last = ends[min(ends)], ends[max(ends)]
        yield "time_to_first_token_s", first / PS_PER_S
        if len(ends) > 1:
            yield "time_per_token_s", (last - first) / (len(ends) - 1) / PS_PER_S


def _traffic(e: Evaluation, totals: list[int]) -> Iterator[tuple[str, int]]:
    moved = {(level, way): 0 for level in e.names.levels for way in ("read", "write")}
    for f, bits in enumerate(totals):
        if e.columns.kind[f] in (LOAD, MOVE, STORE):
            moved[e.names.levels[e.columns.resource[f]], ("read", "write")[e.columns.write[f]]] += bits
    for (level, way), bits in moved.items():
        yield f"traffic_bits.{level}.{way}", bits


def _peaks(e: Evaluation) -> dict[str, int]:
    """The most each level holds, in program order."""
    changes: dict[str, dict[int, int]] = {}
    for placement, bits in zip(e.program.occupied, e.occupied_bits, strict=True):
        at = changes.setdefault(placement.level, {})
        at[placement.first] = at.get(placement.first, 0) + bits
        at[placement.last + 1] = at.get(placement.last + 1, 0) - bits
    return {level: max(itertools.accumulate(at[s] for s in sorted(at))) for level, at in changes.items()}


def _energies(e: Evaluation, totals: list[int]) -> dict[str, float]:
    joules: dict[str, float] = {}
    prices = e.job.model.price(e.job.design, e.job.parts)
    for f, (count, picojoules) in enumerate(zip(totals, prices, strict=True)):
        if count * picojoules:
            component = e.names.components[f] or e.names.fields[f]
            joules[component] = joules.get(component, 0.0) + count * picojoules / PJ_PER_J
    for component, watts in e.static_w.items():
        if watts:
            joules[f"{component} (static)"] = watts * e.latency_s
    return joules
