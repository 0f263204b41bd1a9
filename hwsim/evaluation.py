"""One pass through the four steps: lower -> count -> time -> price, for every accelerator alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from hwsim.demand import Layout, Names, TaskTime, layout, machine_fields, task_times
from hwsim.dram import Dram, refresh_steal_cycles
from hwsim.memory import DRAM
from hwsim.model import Model, Program
from hwsim.parts import Parts
from hwsim.pure import cycles_to_ps
from hwsim.timing import recurrence
from hwsim.workload.ir import Workload

PS_PER_S = 1e12
PJ_PER_J = 1e12


@dataclass(frozen=True, slots=True)
class Job:
    """One resolved question: a design of a model, its named parts, a workload and the sizes it is bound to."""

    model: Model
    design: Any
    parts: Parts
    workload: Workload
    binding: Mapping[str, float]

    def lower(self) -> Program:
        """The program; raises InputError naming every operator the model cannot run."""
        return self.model.lower(self.workload, self.design, self.binding)


# --- one pass ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _layout(counts_type: Any, machine: Any) -> tuple[Layout, Names]:
    return layout(counts_type, machine)


class Timed(NamedTuple):
    """Counts and times of one program, the fields of the same name of an Evaluation."""

    machine: Any
    names: Names
    columns: Layout
    counts: tuple[tuple[int, ...], ...]
    times: tuple[TaskTime, ...]
    clocked: recurrence.Times


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One design, one workload, one pass: everything a Result is made of."""

    job: Job
    program: Program
    machine: Any
    names: Names
    columns: Layout
    counts: tuple[tuple[int, ...], ...]
    """One entry a distinct task."""
    times: tuple[TaskTime, ...]
    clocked: recurrence.Times
    """The timing's output columns (`hwsim.timing.recurrence.Times`), one entry a step."""
    dynamic_pj: tuple[tuple[float, ...], ...]
    """Per distinct task, picojoules of each Counts field."""
    static_w: Mapping[str, float]
    occupied_bits: tuple[int, ...]
    """One entry a placement of the program."""

    @property
    def makespan_ps(self) -> int:
        """Picoseconds from start to the last result."""
        return max(self.clocked.done_ps, default=0)

    @property
    def latency_s(self) -> float:
        """Seconds from start to the last result."""
        return self.makespan_ps / PS_PER_S

    @property
    def energy_j(self) -> float:
        """Joules: every count at its price, and static power over the whole latency."""
        per_task = [sum(row) for row in self.dynamic_pj]
        dynamic = sum(per_task[t] for t in self.program.task) / PJ_PER_J
        return dynamic + sum(self.static_w.values()) * self.latency_s


def steps_of(program: Program, times: Sequence[TaskTime]) -> recurrence.Steps:
    """The program's steps as the columns that timing reads: a memory level's reads are resource 2 * level, its
    writes 2 * level + 1."""
    rows = [times[t] for t in program.task]
    dep_start: list[int] = [0]
    dep: list[int] = []
    for after in program.after:
        dep.extend(after)
        dep_start.append(len(dep))
    return recurrence.Steps(
        load=[2 * r.load if r.load >= 0 else -1 for r in rows],
        load_ps=[r.load_ps for r in rows],
        lead_ps=[r.lead_ps for r in rows],
        unit=[r.unit for r in rows],
        work_ps=[r.work_ps for r in rows],
        drain_ps=[r.drain_ps for r in rows],
        store=[2 * r.store + 1 if r.store >= 0 else -1 for r in rows],
        store_ps=[r.store_ps for r in rows],
        chunks=[r.chunks for r in rows],
        load_waits=[int(w) for w in program.load_waits],
        dep_start=dep_start,
        dep=dep,
    )


def resources_of(machine: Any) -> recurrence.Resources:
    """Buffer slots and physical ports of the machine, in the numbering of `steps_of`."""
    units, levels = machine_fields(machine)
    slots, port = [], []
    for i, name in enumerate(levels):
        level = getattr(machine, name)
        slots += [level.slots, level.slots]
        port += [2 * i, 2 * i if level.shared_port == 1 else 2 * i + 1]
    return recurrence.Resources(slots=slots, port=port, n_units=len(units))


Known = dict[tuple[TaskTime, ...], recurrence.Times]


def evaluate(
    job: Job, program: Program | None = None, fidelity: str = "closed", known: Known | None = None
) -> Evaluation:
    """Lower (unless a program is given), count, time and price one job.

    `known` keeps the timing of `program` by its tasks' times, for callers that ask often about one program.
    """
    program = job.lower() if program is None else program
    design, parts, model = job.design, job.parts, job.model
    timed = evaluate_program(model, design, parts, program, fidelity, known)
    prices = model.price(design, parts)
    dynamic = tuple(tuple(c * p for c, p in zip(row, prices, strict=True)) for row in timed.counts)
    static = model.static_w(design, parts)._asdict()
    bits = occupied_bits(model, design, program)
    return Evaluation(job, program, *timed, dynamic, static, bits)


def evaluate_program(
    model: Model, design: Any, parts: Parts, program: Program, fidelity: str = "closed", known: Known | None = None
) -> Timed:
    """Count and time `program`, whatever workload, if any, it was lowered from. `known` as in `evaluate`."""
    machine = model.machine(design, parts)
    columns, names = _layout(model.Counts, machine)
    kernels = model.kernels
    counts = tuple(tuple(kernels[type(task)](design, task)) for task in program.tasks)
    units = tuple(getattr(machine, n) for n in names.units)
    levels = tuple(getattr(machine, n) for n in names.levels)
    dram = parts.dram if fidelity == "closed" else _without_refresh(parts.dram)
    times = tuple(task_times(row, columns, units, levels, dram) for row in counts)
    clocked = known.get(times) if known is not None else None
    if clocked is None:
        clocked = _clock(program, times, machine, parts.dram, fidelity)
    if known is not None:
        known[times] = clocked
    return Timed(machine, names, columns, counts, times, clocked)


def occupied_bits(model: Model, design: Any, program: Program) -> tuple[int, ...]:
    """Bits of every placement of `program` on `design`."""
    holdings = model.holdings
    return tuple(
        p.bits if isinstance(p.bits, int) else holdings[type(p.bits)](design, p.bits) for p in program.occupied
    )


NEVER_CYCLES = 1 << 40
"""A refresh interval beyond any run: about twelve minutes of a 1.6 GHz command clock."""


def _without_refresh(dram: Dram) -> Dram:
    """The part as if it never refreshed: the replay puts each refresh where it falls instead of averaging it."""
    return dram._replace(refi_cycles=NEVER_CYCLES)


def _clock(program: Program, times: Sequence[TaskTime], machine: Any, dram: Dram, fidelity: str) -> recurrence.Times:
    steps, resources = steps_of(program, times), resources_of(machine)
    if fidelity == "closed":
        return recurrence.schedule(steps, resources)
    from hwsim.timing import events  # SimPy is only needed here

    period = cycles_to_ps(dram.refi_cycles, dram.clock_khz)
    busy = cycles_to_ps(refresh_steal_cycles(dram), dram.clock_khz)
    _, levels = machine_fields(machine)
    refresh = {
        resources.port[2 * i]: events.Refresh(period, busy)
        for i, name in enumerate(levels)
        if getattr(machine, name).kind == DRAM
    }
    return events.replay(steps, resources, contended=True, refresh=refresh)
