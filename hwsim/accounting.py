"""From one evaluation to a Result: the sums, by component, level, layer, unit and time. No model is asked anything
here that `hwsim.evaluation` did not already answer, but for area and its own checks."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hwsim.config import DesignFile
from hwsim.demand import LOAD, MOVE, STORE
from hwsim.evaluation import PJ_PER_J, PS_PER_S, Evaluation
from hwsim.memory import DRAM, peak_bits_per_s
from hwsim.model import Program, Violation
from hwsim.result import Interval, LayerResult, Occupancy, Result, Roof, Slice, Track
from hwsim.timing import recurrence
from hwsim.units import bare_name
from hwsim.version import __version__
from hwsim.workload import store
from hwsim.workload.family import parameters_of
from hwsim.workload.ir import Workload


def result_of(
    file: DesignFile, e: Evaluation, fidelity: str, latency: Interval, energy: Interval, notes: Sequence[str]
) -> Result:
    """The Result of an evaluation of the design `file`, with its two intervals and what they left to say."""
    clock_khz = _clock_khz(e)
    occupancy = _occupancy(e)
    peaks = {o.level: max(o.bits, default=0) for o in occupancy}
    capacities = {n: getattr(e.machine, n).capacity_bits for n in e.names.levels}
    violations = tuple(_over_capacity(e, peaks, capacities)) + tuple(
        e.job.model.check(e.job.design, e.job.parts, e.program)
    )
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
        binding={**parameters_of(e.job.workload), **e.job.binding},
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
        notes=(*e.program.notes, *_remarks(e), *notes),
        accuracy=dict(e.job.model.accuracy),
        provenance=_provenance(file, e),
        slices=tuple(slices),
        occupancy=tuple(occupancy),
        frontier=tuple(_frontier(e)),
    )


def _type_of(model: Any) -> type:
    """The class whose code made a run: of a model with mapped tasks (`hwsim.mapping.space`), the model's own."""
    return type(getattr(model, "unmapped", model))


def _remarks(e: Evaluation) -> Sequence[str]:
    """What the model has to say of this design and program; a model need not say anything."""
    remarks: Callable[[Any, Any, Program], Sequence[str]] | None = getattr(e.job.model, "remarks", None)
    return remarks(e.job.design, e.job.parts, e.program) if remarks else ()


def _clock_khz(e: Evaluation) -> int:
    return int(getattr(e.machine, e.names.units[0]).clock_khz)


def _over_capacity(e: Evaluation, peaks: Mapping[str, int], capacities: Mapping[str, int]) -> list[Violation]:
    return [
        Violation(f"{level} holds too little", bits, capacities[level], "bits", _levers(e, level))
        for level, bits in peaks.items()
        if bits > capacities[level]
    ]


def _levers(e: Evaluation, level: str) -> str:
    """The design values that size a level: those whose doubling gives it more capacity."""
    design, model, parts = e.job.design, e.job.model, e.job.parts
    capacity = getattr(e.machine, level).capacity_bits
    found = []
    for field in dataclasses.fields(design):
        value = getattr(design, field.name)
        if type(value) is int:
            doubled = model.machine(dataclasses.replace(design, **{field.name: 2 * value}), parts)
            if getattr(doubled, level).capacity_bits > capacity:
                found.append(bare_name(field.name))
    return ", ".join(found) or f"the capacity of {level}"


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


_TRAFFIC_KINDS = (LOAD, MOVE, STORE)


def _traffic(e: Evaluation) -> dict[str, dict[str, int]]:
    moved = {level: {"read": 0, "write": 0} for level in e.names.levels}
    for f, bits in enumerate(_totals(e, e.counts)):
        if e.columns.kind[f] in _TRAFFIC_KINDS:
            way = "write" if e.columns.write[f] else "read"
            moved[e.names.levels[e.columns.resource[f]]][way] += int(bits)
    return moved


def _utilisation(e: Evaluation, executed: int) -> float:
    """MACs executed over what all units could have executed in the latency; 0 when no unit multiplies."""
    peak = sum(getattr(e.machine, n).macs_per_cycle * getattr(e.machine, n).clock_khz * 1e3 for n in e.names.units)
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
    for i, line in enumerate(program.layers):
        joules = _layer_energy(e, tasks_of[i])
        if exposed[i] and static_w:
            joules["static"] = static_w * exposed[i] / PS_PER_S
        lines.append(
            LayerResult(
                name=line.name,
                op=line.op,
                phase=line.phase,
                passes=passes[i],
                macs=line.macs,
                macs_executed=sum(e.counts[t][executed_at] * k for t, k in tasks_of[i].items())
                if executed_at >= 0
                else 0,
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


def _frontier(e: Evaluation) -> list[Slice]:
    """Which layer moved the end of the run, when: slices that tile the latency."""
    out: list[Slice] = []
    top = 0
    for i, done in enumerate(e.clocked.done_ps):
        if done > top:
            layer = e.program.layer[i]
            if out and out[-1].layer == layer:
                out[-1] = dataclasses.replace(out[-1], end_ps=done)
            else:
                out.append(Slice("latency", e.program.layers[layer].name, layer, top, done, "exposed"))
            top = done
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
    """What each level holds, step by step in program order, drawn at the time the run has reached by then.

    Program order, and not the clock, decides the peak: what a step fetches ahead lies in the slots of its buffer, which
    are placed for the whole run.
    """
    steps = len(e.program)
    changes: dict[str, dict[int, int]] = {}
    for placement, bits in zip(e.program.occupied, e.occupied_bits, strict=True):
        at = changes.setdefault(placement.level, {})
        at[placement.first] = at.get(placement.first, 0) + bits
        at[placement.last + 1] = at.get(placement.last + 1, 0) - bits
    reached = [0, *itertools.accumulate(e.clocked.done_ps, max)]
    return [
        _curve(level, getattr(e.machine, level).capacity_bits, sorted(at.items()), reached[: steps + 1])
        for level, at in changes.items()
    ]


def _curve(level: str, capacity: int, changes: Sequence[tuple[int, int]], reached: Sequence[int]) -> Occupancy:
    moments: list[int] = []
    bits: list[int] = []
    held = 0
    for step, change in changes:
        held += change
        moments.append(reached[step])
        bits.append(held)
    return Occupancy(level, capacity, tuple(moments), tuple(bits))


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
def code_hash(model_type: type) -> str:
    """sha256 of the source files of the engine and of a model: two runs with the same one compute alike."""
    model_file = sys.modules[model_type.__module__].__file__ or ""
    folders = (Path(__file__).parent, Path(model_file).parent)
    return _digest(*(p.read_bytes() for folder in folders for p in sorted(folder.rglob("*.py"))))


def _masks_provenance(workload: Workload) -> dict[str, str]:
    """The hash of the file of masks, where the workload brings one: the masks are part of what was run."""
    path = store.mask_path(workload)
    return {"masks_sha256": hashlib.sha256(path.read_bytes()).hexdigest()} if path else {}


def _provenance(file: DesignFile, e: Evaluation) -> dict[str, str]:
    workload = e.job.workload
    return {
        "hwsim": __version__,
        "design_file": file.place,
        "design_sha256": _digest(*(f"{v.key}={v.value!r}" for v in file.values)),
        "workload_sha256": _digest(store.dumps(workload)),
        "binding_sha256": _digest(repr(sorted(e.job.binding.items()))),
        **file.named,
        "prices_sha256": _digest(repr(e.job.parts)),
        "code_sha256": code_hash(_type_of(e.job.model)),
        **_masks_provenance(workload),
        **{f"workload.{k}": v for k, v in workload.provenance.items()},
    }
