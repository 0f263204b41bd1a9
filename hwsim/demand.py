"""From counts to time, one task at a time: what each field of a model's Counts asks of which unit or memory.

`layout` reads the annotations of a Counts type once; `task_times` is the arithmetic, the same for every model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from hwsim.dram import Dram
from hwsim.memory import MemoryLevel, Unit, latency_ps, level_ps
from hwsim.model import Action, Chunks, Drain, Runs, Traffic, Work
from hwsim.pure import cycles_to_ps, pure

WORK, LOAD, MOVE, STORE, RUNS, ACTION, CHUNKS, DRAIN = range(8)
_STAGES = {"load": LOAD, "work": MOVE, "store": STORE}


class Layout(NamedTuple):
    """What each field of a Counts type stands for, as columns of plain integers.

    `kind` is one of WORK .. DRAIN; `resource` the index of its unit or memory level; `write` 1 for a write;
    `runs` the index of the field that counts the contiguous runs of this field's traffic, or -1.
    """

    kind: tuple[int, ...]
    resource: tuple[int, ...]
    write: tuple[int, ...]
    runs: tuple[int, ...]


class Names(NamedTuple):
    """The names behind a Layout's indices, for people: fields, units, levels, and the component each field prices."""

    fields: tuple[str, ...]
    units: tuple[str, ...]
    levels: tuple[str, ...]
    components: tuple[str, ...]


class TaskTime(NamedTuple):
    """How long one task holds what. `load` and `store` are memory levels (-1: none), `unit` a unit (-1: none).

    `bound` is the Counts field that decides how long the unit is held.
    """

    load: int
    load_ps: int
    lead_ps: int
    unit: int
    work_ps: int
    drain_ps: int
    store: int
    store_ps: int
    chunks: int
    bound: int


def machine_fields(machine: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the units and of the memory levels of a Machine, each in field order."""
    pairs = list(zip(machine._fields, machine, strict=True))
    units = tuple(name for name, value in pairs if isinstance(value, Unit))
    levels = tuple(name for name, value in pairs if isinstance(value, MemoryLevel))
    return units, levels


def _mark(counts_type: type, name: str, hint: Any) -> Any:
    marks = get_args(hint)[1:] if get_origin(hint) is not None else getattr(hint, "__metadata__", ())
    known = [m for m in marks if isinstance(m, Work | Traffic | Runs | Action | Chunks | Drain)]
    if len(known) != 1:
        raise TypeError(
            f"{counts_type.__module__}.{counts_type.__qualname__}.{name}: annotate it with exactly one of "
            "Work, Traffic, Runs, Action, Chunks, Drain (hwsim.model)"
        )
    return known[0]


def marks_of(counts_type: type) -> dict[str, Any]:
    """The one mark of every field of a Counts type. Raises TypeError where a field has none or several."""
    hints = get_type_hints(counts_type, include_extras=True)
    return {name: _mark(counts_type, name, hints[name]) for name in counts_type._fields}  # type: ignore[attr-defined]


def layout(counts_type: type, machine: Any) -> tuple[Layout, Names]:
    """Read a Counts type against a Machine.

    Raises TypeError when a mark names a unit or level the Machine does not have.
    """
    units, levels = machine_fields(machine)
    marks = marks_of(counts_type)
    fields = tuple(marks)
    runs_at = {(m.level, m.direction): i for i, m in enumerate(marks.values()) if isinstance(m, Runs)}
    kind, resource, write, runs, components = [], [], [], [], []
    for name, mark in marks.items():
        k, r, w, n, component = ACTION, -1, 0, -1, ""
        try:
            if isinstance(mark, Work | Drain):
                k, r = WORK if isinstance(mark, Work) else DRAIN, units.index(mark.unit)
                component = getattr(mark, "component", "") or mark.unit
            elif isinstance(mark, Traffic):
                k, r, component = _STAGES[mark.stage], levels.index(mark.level), mark.level
                w, n = int(mark.direction == "write"), runs_at.get((mark.level, mark.direction), -1)
            elif isinstance(mark, Runs):
                k, r, component = RUNS, levels.index(mark.level), mark.level
            elif isinstance(mark, Chunks):
                k = CHUNKS
            else:
                component = mark.component
        except (ValueError, KeyError):
            raise TypeError(
                f"{counts_type.__qualname__}.{name}: {mark} names nothing in the Machine "
                f"(units {units}, levels {levels})"
            ) from None
        kind.append(k)
        resource.append(r)
        write.append(w)
        runs.append(n)
        components.append(component)
    columns = Layout(tuple(kind), tuple(resource), tuple(write), tuple(runs))
    return columns, Names(fields, units, levels, tuple(components))


@pure
def traffic_ps(counts: Sequence[int], columns: Layout, field: int, level: MemoryLevel, dram: Dram) -> int:
    """Picoseconds the traffic of one field holds its port."""
    runs = 1
    if columns.runs[field] >= 0:
        runs = max(1, counts[columns.runs[field]])
    return level_ps(level, dram, counts[field], runs, columns.write[field])


@pure
def task_times(
    counts: Sequence[int], columns: Layout, units: Sequence[Unit], levels: Sequence[MemoryLevel], dram: Dram
) -> TaskTime:
    """What a task's counts take.

    load   the largest of its load transfers; the first of them names the port
    work   the largest of: cycles of its unit; per memory level, the traffic while the unit works (reads and writes
           add on a shared port)
    store  the largest of its store transfers
    """
    load, load_time, lead = -1, 0, 0
    unit, work_time, drain = -1, 0, 0
    store, store_time = -1, 0
    chunks, bound = 1, -1
    for f in range(len(columns.kind)):
        value = counts[f]
        kind = columns.kind[f]
        if value > 0:
            at = columns.resource[f]
            if kind == WORK:
                held = cycles_to_ps(value, units[at].clock_khz)
                unit = at
                if held > work_time:
                    work_time, bound = held, f
            elif kind == DRAIN:
                drain = max(drain, cycles_to_ps(value, units[at].clock_khz))
            elif kind == LOAD:
                load_time = max(load_time, traffic_ps(counts, columns, f, levels[at], dram))
                if load < 0:
                    load, lead = at, latency_ps(levels[at], dram)
            elif kind == STORE:
                store_time = max(store_time, traffic_ps(counts, columns, f, levels[at], dram))
                if store < 0:
                    store = at
            elif kind == MOVE:
                held = traffic_ps(counts, columns, f, levels[at], dram)
                if levels[at].shared_port == 1:
                    for g in range(f):
                        if columns.kind[g] == MOVE and columns.resource[g] == at and counts[g] > 0:
                            held = held + traffic_ps(counts, columns, g, levels[at], dram)
                if held > work_time:
                    work_time, bound = held, f
            elif kind == CHUNKS:
                chunks = value
    return TaskTime(load, load_time, lead, unit, work_time, drain, store, store_time, chunks, bound)
