"""The four steps, once, for every accelerator: lower -> count -> time -> price -> Result.

`run` is the whole of it. `evaluate` is one pass through the steps without the reporting, which the interval and the
sweeps use.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import hwsim
from hwsim import dram as dram_tables
from hwsim import energy as energy_tables
from hwsim.config import DesignFile, load_design
from hwsim.demand import Layout, Names, TaskTime, layout, machine_fields, task_times
from hwsim.dram import Dram
from hwsim.errors import InputError, Problem, Where, bad_input, shown
from hwsim.memory import DRAM, peak_bits_per_s
from hwsim.model import Model, Parts, Program, Violation
from hwsim.pure import cycles_to_ps
from hwsim.result import (
    DesignValue,
    Interval,
    LayerResult,
    Occupancy,
    Result,
    Roof,
    Slice,
    Track,
)
from hwsim.timing import recurrence
from hwsim.workload import store
from hwsim.workload.ir import Workload

FIDELITIES = ("closed", "events")
PS_PER_S = 1e12
PJ_PER_J = 1e12


# --- the inputs of a run ----------------------------------------------------------------------------------------


def resolve_binding(workload: Workload, given: Mapping[str, float] | None = None) -> dict[str, float]:
    """Every symbol of `workload` with its value: the one given, or its default.

    Raises InputError for unknown symbols, values out of range, and fractions where an integer is due.
    """
    given = given or {}
    problems = []
    for name in given:
        if name not in workload.symbols:
            known = ", ".join(workload.symbols) or "none"
            problems.append(_binding_problem(name, given[name], f"the workload {workload.name} has no such symbol "
                                             f"(it has: {known})", "unknown-symbol"))  # fmt: skip
    binding: dict[str, float] = {}
    for name, symbol in workload.symbols.items():
        value = given.get(name, symbol.default)
        if not symbol.ratio and value != int(value):
            problems.append(_binding_problem(name, value, "must be a whole number", "type"))
        elif not symbol.low <= value <= symbol.high or (symbol.ratio and value <= 0):
            rule = f"must be from {symbol.low:g} to {symbol.high:g}"
            problems.append(_binding_problem(name, value, rule, "range"))
        binding[name] = value if symbol.ratio else int(value)
    if problems:
        raise InputError(problems)
    return binding


def _binding_problem(name: str, value: float, rule: str, code: str) -> Problem:
    remedy = f"Bind it: --bind {name}=NUMBER." if code != "unknown-symbol" else "Leave it out or correct its name."
    return Problem(code, Where(file=f"--bind {name}={value:g}", key=name), shown(value), rule, remedy)


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


def resolve_parts(technology: str, dram: str) -> Parts:
    """The technology node and the DRAM part called so, or read from the user's own table files."""
    return Parts(energy_tables.node(technology), dram_tables.part(dram))


# --- one pass ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _layout(counts_type: type, machine_type: type, machine: Any) -> tuple[Layout, Names]:
    return layout(counts_type, machine)


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
    dep_start, dep = [0], []
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
    machine = model.machine(design, parts)
    columns, names = _layout(model.Counts, type(machine), machine)
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
    prices = model.price(design, parts)
    dynamic = tuple(tuple(c * p for c, p in zip(row, prices, strict=True)) for row in counts)
    static = model.static_w(design, parts)._asdict()
    return Evaluation(job, program, machine, names, columns, counts, times, clocked, dynamic, static)


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
    busy = cycles_to_ps(dram_tables.refresh_steal_cycles(dram), dram.clock_khz)
    _, levels = machine_fields(machine)
    refresh = {
        resources.port[2 * i]: events.Refresh(period, busy)
        for i, name in enumerate(levels)
        if getattr(machine, name).kind == DRAM
    }
    return events.replay(steps, resources, contended=True, refresh=refresh)


# --- the interval -----------------------------------------------------------------------------------------------


def _uncertain(file: DesignFile, workload: Workload, given: Mapping[str, float]) -> dict[str, tuple[Any, Any]]:
    """Every uncertain input with the two ends of its range: design values and, unless bound by the user, symbols."""
    ends: dict[str, tuple[Any, Any]] = {
        v.key: (v.low, v.high) for v in file.values if v.low is not None and v.low != v.high
    }
    for name, symbol in workload.symbols.items():
        if symbol.uncertain and name not in given:
            ends[f"bind.{name}"] = symbol.uncertain
    return ends


def _intervals(
    nominal: Evaluation, ends: Mapping[str, tuple[Any, Any]], moved: Callable[[Mapping[str, Any]], Evaluation | None]
) -> tuple[Interval, Interval, list[str]]:
    """Latency and energy intervals: each input to each end alone, then all together to the ends that lower and
    that raise the figure. Exact where the figure is monotone in every input; the drivers say how much each moves it.
    """
    notes: list[str] = []
    alone: dict[str, list[tuple[Any, Evaluation]]] = {}
    for key, pair in ends.items():
        tried = [(end, moved({key: end})) for end in pair]
        alone[key] = [(end, e) for end, e in tried if e is not None]
        if len(alone[key]) < len(pair):
            notes.append(f"interval: an end of the range of {key} gives an impossible design and was left out")
    out = []
    for figure in (_latency, _energy):
        base = figure(nominal)
        seen = [base]
        corner_low, corner_high, drivers = {}, {}, []
        for key, tries in alone.items():
            figures = [(base, None)] + [(figure(e), end) for end, e in tries]
            lowest, highest = min(figures, key=_first), max(figures, key=_first)
            if lowest[1] is not None:
                corner_low[key] = lowest[1]
            if highest[1] is not None:
                corner_high[key] = highest[1]
            seen += [lowest[0], highest[0]]
            if lowest[0] > 0 and highest[0] > lowest[0]:
                drivers.append((key, highest[0] / lowest[0]))
        for corner in (corner_low, corner_high):
            joint = moved(corner) if len(corner) > 1 else None
            if joint is not None:
                seen.append(figure(joint))
        drivers.sort(key=lambda d: (-d[1], d[0]))
        out.append(Interval(base, min(seen), max(seen), tuple(drivers)))
    return out[0], out[1], notes


def _latency(e: Evaluation) -> float:
    return e.latency_s


def _energy(e: Evaluation) -> float:
    return e.energy_j


def _first(pair: tuple[float, Any]) -> float:
    return pair[0]


def _mover(file: DesignFile, job: Job, program: Program) -> Callable[[Mapping[str, Any]], Evaluation | None]:
    """A function that evaluates the job with some inputs moved; None where the moved design is impossible.

    The program is lowered again only when a moved input is structural for the model.
    """
    structural = getattr(job.model, "structural", None)
    known: Known = {}

    def moved(changes: Mapping[str, Any]) -> Evaluation | None:
        binding = dict(job.binding)
        design_changes = {}
        for key, value in changes.items():
            if key.startswith("bind."):
                binding[key[5:]] = value
            else:
                design_changes[key] = value
        try:
            design, technology, dram = file.replaced(design_changes)
        except InputError:
            return None
        parts = resolve_parts(technology, dram)
        there = dataclasses.replace(job, design=design, parts=parts, binding=binding)
        rebind = any(key.startswith("bind.") for key in changes)
        same = not rebind and structural is not None and not structural & set(design_changes)
        return evaluate(there, program, known=known) if same else evaluate(there)

    return moved


# --- the run ----------------------------------------------------------------------------------------------------


def run(
    design: str | Path | DesignFile,
    workload: str | Path | Workload,
    *,
    overrides: Sequence[str] = (),
    bind: Mapping[str, float] | None = None,
    fidelity: str = "closed",
    interval: bool = True,
) -> Result:
    """Run `workload` on `design` and answer with every figure.

    design      a shipped design's name, a YAML file, or a loaded DesignFile
    workload    a shipped workload's name, a JSON file, or a Workload
    overrides   "key=value" texts, as of --set
    bind        values of the workload's symbols (sizes and ratios)
    fidelity    "closed" (the recurrence) or "events" (SimPy replay with contention)
    interval    whether to move every uncertain input through its range

    Raises InputError for anything wrong with the input. An infeasible design is a Result, not an exception.
    """
    if fidelity not in FIDELITIES:
        raise bad_input("fidelity", fidelity, f"must be one of {', '.join(FIDELITIES)}", key="fidelity")
    file = design if isinstance(design, DesignFile) else load_design(design, overrides)
    network = workload if isinstance(workload, Workload) else store.load_workload(workload)
    given = dict(bind or {})
    job = Job(file.model, file.design, resolve_parts(file.technology, file.dram), network,
              resolve_binding(network, given))  # fmt: skip
    done = evaluate(job, fidelity=fidelity)
    latency = Interval(done.latency_s, done.latency_s, done.latency_s)
    energy = Interval(done.energy_j, done.energy_j, done.energy_j)
    notes: list[str] = []
    ends = _uncertain(file, network, given) if interval else {}
    if ends:
        closed = done if fidelity == "closed" else evaluate(job, done.program)
        latency, energy, notes = _intervals(closed, ends, _mover(file, job, done.program))
        latency = dataclasses.replace(latency, value=done.latency_s, high=max(latency.high, done.latency_s))
        energy = dataclasses.replace(energy, value=done.energy_j, high=max(energy.high, done.energy_j))
    return _result(file, done, fidelity, latency, energy, notes)


def _result(
    file: DesignFile, e: Evaluation, fidelity: str, latency: Interval, energy: Interval, notes: Sequence[str]
) -> Result:
    clock_khz = _clock_khz(e)
    occupancy = _occupancy(e)
    peaks = {o.level: max(o.bits, default=0) for o in occupancy}
    capacities = {n: getattr(e.machine, n).capacity_bits for n in e.names.levels}
    violations = tuple(_over_capacity(peaks, capacities)) + tuple(e.job.model.check(e.job.design, e.job.parts, e.program))
    layers = _layers(e, clock_khz)
    macs = sum(layer.macs for layer in layers)
    executed = sum(layer.macs_executed for layer in layers)
    slices = _slices(e)
    first, each, turns = _token_times(e)
    area = e.job.model.area_mm2(e.job.design, e.job.parts)._asdict()
    per_second = 1 / e.latency_s if e.latency_s else 0.0
    return Result(
        accelerator=file.name,
        model=e.job.model.name,
        workload=e.job.workload.name,
        binding=dict(e.job.binding),
        fidelity=fidelity,
        design=tuple(file.values),
        feasible=not violations,
        violations=violations,
        cycles=round(e.makespan_ps * clock_khz / 1e9),
        clock_hz=clock_khz * 1e3,
        latency_s=latency,
        throughput_per_s=turns * per_second if turns else per_second,
        throughput_unit="tokens/s" if turns else "runs/s",
        energy_j=energy,
        energy_breakdown_j=_energy_breakdown(e),
        power_w=energy.value / e.latency_s if e.latency_s else 0.0,
        area_mm2=sum(area.values()),
        area_breakdown_mm2=area,
        macs=macs,
        macs_executed=executed,
        flops=2 * macs,
        utilisation=_utilisation(e, executed),
        traffic_bits=_traffic(e),
        memory_peak_bits={n: peaks.get(n, 0) for n in e.names.levels},
        memory_capacity_bits=capacities,
        layers=tuple(layers),
        tracks=tuple(_tracks(slices, e)),
        roofs=tuple(_roofs(e)),
        time_to_first_token_s=first,
        time_per_token_s=each,
        free_ops=dict(e.program.free_ops),
        notes=(*e.program.notes, *notes),
        accuracy=dict(e.job.model.accuracy),
        provenance=_provenance(file, e),
        slices=tuple(slices),
        occupancy=tuple(occupancy),
    )


def _clock_khz(e: Evaluation) -> int:
    return int(getattr(e.machine, e.names.units[0]).clock_khz)


def _over_capacity(peaks: Mapping[str, int], capacities: Mapping[str, int]) -> list[Violation]:
    return [
        Violation(f"{level} holds too little", bits, capacities[level], "bits", f"{level} capacity")
        for level, bits in peaks.items()
        if bits > capacities[level]
    ]


def _field(e: Evaluation, name: str) -> int:
    return e.names.fields.index(name) if name in e.names.fields else -1


def _totals(e: Evaluation, amounts: Sequence[Sequence[float]]) -> list[float]:
    """Column sums over all steps of a table with one row a distinct task."""
    times_run = [0] * len(e.program.tasks)
    for t in e.program.task:
        times_run[t] += 1
    width = len(e.names.fields)
    return [sum(row[f] * n for row, n in zip(amounts, times_run, strict=True)) for f in range(width)]


def _energy_breakdown(e: Evaluation) -> dict[str, float]:
    """Joules by component: dynamic under its own name, static as "NAME (static)"."""
    parts: dict[str, float] = {}
    for f, picojoules in enumerate(_totals(e, e.dynamic_pj)):
        if picojoules:
            component = e.names.components[f] or e.names.fields[f]
            parts[component] = parts.get(component, 0.0) + picojoules / PJ_PER_J
    for component, watts in e.static_w.items():
        if watts:
            parts[f"{component} (static)"] = watts * e.latency_s
    return parts


_TRAFFIC_KINDS = (1, 2, 3)


def _traffic(e: Evaluation) -> dict[str, dict[str, int]]:
    moved = {level: {"read": 0, "write": 0} for level in e.names.levels}
    for f, bits in enumerate(_totals(e, e.counts)):
        if e.columns.kind[f] in _TRAFFIC_KINDS:
            way = "write" if e.columns.write[f] else "read"
            moved[e.names.levels[e.columns.resource[f]]][way] += int(bits)
    return moved


def _utilisation(e: Evaluation, executed: int) -> float:
    """MACs executed over what all units could have executed in the latency; 0 when no unit multiplies."""
    peak = sum(
        getattr(e.machine, n).macs_per_cycle * getattr(e.machine, n).clock_khz * 1e3 for n in e.names.units
    )
    return executed / (peak * e.latency_s) if peak and e.latency_s else 0.0


def _roofs(e: Evaluation) -> list[Roof]:
    roofs = []
    for n in e.names.units:
        unit = getattr(e.machine, n)
        if unit.macs_per_cycle:
            roofs.append(Roof(n, ops_per_s=2.0 * unit.macs_per_cycle * unit.clock_khz * 1e3))
    for n in e.names.levels:
        level = getattr(e.machine, n)
        if level.kind == DRAM:
            roofs.append(Roof(n, bits_per_s=float(peak_bits_per_s(level, 0))))
    return roofs


_CAUSES = recurrence.CAUSES


def _bound_of(e: Evaluation, step: int) -> str:
    """What limited a step, by name: a unit, a memory port, a buffer, or a dependency."""
    time = e.times[e.program.task[step]]
    cause = _CAUSES[e.clocked.cause[step]]
    if cause == "work" and time.bound >= 0:
        return e.names.components[time.bound]
    if cause in ("load", "slot") and time.load >= 0:
        return e.names.levels[time.load] + (" buffer" if cause == "slot" else "")
    if cause == "store" and time.store >= 0:
        return e.names.levels[time.store] + " write"
    return "dependency"


def _layers(e: Evaluation, clock_khz: int) -> list[LayerResult]:
    program = e.program
    n = len(program.layers)
    busy, exposed, passes = [0] * n, [0] * n, [0] * n
    tasks_of: list[dict[int, int]] = [{} for _ in range(n)]
    bound: list[dict[str, int]] = [{} for _ in range(n)]
    turns: list[set[int]] = [set() for _ in range(n)]
    for step, (t, layer) in enumerate(zip(program.task, program.layer, strict=True)):
        shown_ps = e.clocked.exposed_ps[step]
        busy[layer] += e.times[t].work_ps
        exposed[layer] += shown_ps
        tasks_of[layer][t] = tasks_of[layer].get(t, 0) + 1
        turns[layer].add(program.turn[step])
        passes[layer] = len(turns[layer])
        why = _bound_of(e, step)
        bound[layer][why] = bound[layer].get(why, 0) + shown_ps
    executed_at = _field(e, "macs_executed")
    static_w = sum(e.static_w.values())
    lines = []
    for i, layer in enumerate(program.layers):
        joules = _layer_energy(e, tasks_of[i])
        if exposed[i] and static_w:
            joules["static"] = static_w * exposed[i] / PS_PER_S
        lines.append(
            LayerResult(
                name=layer.name,
                op=layer.op,
                phase=layer.phase,
                passes=passes[i],
                macs=layer.macs,
                macs_executed=sum(e.counts[t][executed_at] * k for t, k in tasks_of[i].items()) if executed_at >= 0 else 0,
                cycles=round(busy[i] * clock_khz / 1e9),
                busy_s=busy[i] / PS_PER_S,
                exposed_s=exposed[i] / PS_PER_S,
                energy_j=sum(joules.values()),
                energy_breakdown_j=joules,
                traffic_bits=_layer_traffic(e, tasks_of[i]),
                bound=max(bound[i], key=lambda k: (bound[i][k], k)) if bound[i] else "",
            )
        )
    return lines


def _layer_energy(e: Evaluation, tasks: Mapping[int, int]) -> dict[str, float]:
    joules: dict[str, float] = {}
    for t, k in tasks.items():
        for f, picojoules in enumerate(e.dynamic_pj[t]):
            if picojoules:
                component = e.names.components[f] or e.names.fields[f]
                joules[component] = joules.get(component, 0.0) + picojoules * k / PJ_PER_J
    return joules


def _layer_traffic(e: Evaluation, tasks: Mapping[int, int]) -> dict[str, int]:
    bits: dict[str, int] = {}
    for t, k in tasks.items():
        for f, value in enumerate(e.counts[t]):
            if value and e.columns.kind[f] in _TRAFFIC_KINDS:
                level = e.names.levels[e.columns.resource[f]]
                bits[level] = bits.get(level, 0) + value * k
    return bits


def _slices(e: Evaluation) -> list[Slice]:
    """What each unit and port did. A held resource that waits for data shows its waiting first, then its work."""
    out: list[Slice] = []
    c, program = e.clocked, e.program
    for i, t in enumerate(program.task):
        time = e.times[t]
        layer = program.layer[i]
        name = program.layers[layer].name
        held = []
        if time.unit >= 0:
            held.append((e.names.units[time.unit], c.work_start[i], c.work_end[i], time.work_ps))
        if time.load >= 0:
            held.append((f"{e.names.levels[time.load]} read", c.load_start[i], c.load_end[i], time.load_ps))
        if time.store >= 0:
            held.append((f"{e.names.levels[time.store]} write", c.store_start[i], c.store_end[i], time.store_ps))
        for track, start, end, busy in held:
            waiting = end - start - busy
            if waiting > 0:
                out.append(Slice(track, name, layer, start, start + waiting, "stall"))
            if busy > 0:
                out.append(Slice(track, name, layer, start + waiting, end))
    return out


def _tracks(slices: Sequence[Slice], e: Evaluation) -> list[Track]:
    sums: dict[str, dict[str, int]] = {n: {"busy": 0, "stall": 0} for n in e.names.units}
    for s in slices:
        sums.setdefault(s.track, {"busy": 0, "stall": 0})[s.kind] += s.end_ps - s.start_ps
    total = e.makespan_ps
    return [
        Track(n, v["busy"] / PS_PER_S, v["stall"] / PS_PER_S, (total - v["busy"] - v["stall"]) / PS_PER_S)
        for n, v in sums.items()
    ]


def _occupancy(e: Evaluation) -> list[Occupancy]:
    c = e.clocked
    changes: dict[str, dict[int, int]] = {}
    for o in e.program.occupied:
        at = changes.setdefault(o.level, {})
        begin, end = c.start_ps[o.first], c.done_ps[o.last]
        at[begin] = at.get(begin, 0) + o.bits
        at[end] = at.get(end, 0) - o.bits
    curves = []
    for level, steps in changes.items():
        held, moments, bits = 0, [], []
        for moment in sorted(steps):
            held += steps[moment]
            moments.append(moment)
            bits.append(held)
        capacity = getattr(e.machine, level).capacity_bits
        curves.append(Occupancy(level, capacity, tuple(moments), tuple(bits)))
    return curves


def _token_times(e: Evaluation) -> tuple[float | None, float | None, int]:
    """Time to the first token, mean time of each later one, and the number of tokens; None for other programs."""
    ends: dict[int, int] = {}
    for turn, done in zip(e.program.turn, e.clocked.done_ps, strict=True):
        if turn >= 0:
            ends[turn] = max(ends.get(turn, 0), done)
    if not ends:
        return None, None, 0
    first, last = ends[min(ends)], ends[max(ends)]
    each = (last - first) / (len(ends) - 1) / PS_PER_S if len(ends) > 1 else None
    return first / PS_PER_S, each, len(ends)


# --- provenance -------------------------------------------------------------------------------------------------


def _digest(*texts: str | bytes) -> str:
    total = hashlib.sha256()
    for text in texts:
        total.update(text.encode() if isinstance(text, str) else text)
        total.update(b"\0")
    return total.hexdigest()


@lru_cache(maxsize=16)
def _code_hash(model_type: type) -> str:
    """Hash of the engine's and the model's own source files."""
    import sys

    model_file = sys.modules[model_type.__module__].__file__ or ""
    folders = (Path(hwsim.__file__).parent, Path(model_file).parent)
    return _digest(*(p.read_bytes() for folder in folders for p in sorted(folder.rglob("*.py"))))


def _provenance(file: DesignFile, e: Evaluation) -> dict[str, str]:
    workload = e.job.workload
    return {
        "hwsim": hwsim.__version__,
        "design_file": file.place,
        "design_sha256": _digest(*(f"{v.key}={v.value!r}" for v in file.values)),
        "workload_sha256": _digest(store.dumps(workload)),
        "binding_sha256": _digest(repr(sorted(e.job.binding.items()))),
        "technology": file.technology,
        "dram": file.dram,
        "prices_sha256": _digest(repr(e.job.parts)),
        "code_sha256": _code_hash(type(e.job.model)),
        **{f"workload.{k}": v for k, v in workload.provenance.items()},
    }


def design_values(file: DesignFile) -> tuple[DesignValue, ...]:
    """Every resolved value of a design and where it came from, for `hwsim explain`."""
    return tuple(file.values)
