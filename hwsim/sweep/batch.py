"""Many designs of one model on one workload at once: every figure of `hwsim.sweep.metrics`, in columns.

The model's own `count`, `machine`, `price`, `static_w`, `area_mm2` and `holdings`, and the engine's own timing, are
compiled (`hwsim.timing.driver`) and run over designs x distinct tasks; each distinct task is counted once and enters
the sums as often as it runs. A figure equals what a single run answers: integers exactly, floats to 1e-12 of their
value (energy is summed field by field here and step by step there).

What is the same for several designs is worked out once. For each kind of task the designs are grouped by the fields
that its `count` reads and by the rates of the machine; for prices, areas and holdings by the fields those read. In a
grid most designs agree in most of these.

Importing this module imports numpy; numba is imported by the first Batch.
"""

from __future__ import annotations

import dataclasses
import dis
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hwsim.demand import LOAD, MOVE, STORE, layout
from hwsim.dram import Dram
from hwsim.errors import bad_input
from hwsim.evaluation import PJ_PER_J, PS_PER_S, Job
from hwsim.memory import MemoryLevel, Unit
from hwsim.model import Model, Placement, Program, structural_of
from hwsim.parts import Parts
from hwsim.sweep.plain import capacity_text, evaluate_plain
from hwsim.sweep.study import FAILED, INFEASIBLE, OK
from hwsim.workload.ir import Workload

Array = np.ndarray[Any, Any]

STATUSES = (OK, INFEASIBLE, FAILED)
"""The meaning of the codes in `Batch.status`."""
_OK, _INFEASIBLE, _FAILED = range(3)

TABLE_BYTES = 8 << 20
"""Scratch for the times of tasks: a block is as many designs as fit, so that it stays in a core's caches."""
COUNT_BYTES = 1 << 19
"""Scratch for counts between counting and timing: well inside a core's second-level cache."""
BLOCK = 8192
PLANS = 64
"""Programs kept from one call to the next."""
EXACT_FLOAT = 1 << 53
"""Integers up to here are floats, so that a product or quotient of two of them is rounded once, as Python's is."""
LARGEST = 2.0**63


class _Scratch:
    """Arrays by name, allocated once and used again by block after block."""

    def __init__(self) -> None:
        self._flat: dict[str, Array] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: Any = np.int64) -> Array:
        """An array of `shape` with whatever it holds."""
        size = math.prod(shape)
        flat = self._flat.get(name)
        if flat is None or flat.size < size:
            flat = self._flat[name] = np.zeros(size, dtype)
        return flat[:size].reshape(shape)


class _Groups(NamedTuple):
    """Designs that agree in something: the group of each design, and the first design of each group."""

    ids: Array
    reps: Array


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """All tasks of one type in a program."""

    task_type: type
    tasks: Array
    times_run: Array
    reads: Array
    """Columns of the designs that its `count` reads."""


@dataclasses.dataclass(slots=True, eq=False)
class _Plan:
    """One program as arrays, for every design that shares its structural fields."""

    program: Program
    fields: tuple[str, ...]
    values: tuple[Any, ...]
    kinds: list[_Kind]
    order: Any
    events: tuple[Array, Array, Array, Array]
    fixed_bits: Array
    holdings: list[tuple[type, Array, Array, Array]]
    """Per holding type: the holdings, where each stands among all holdings, and the design columns it reads."""
    macs: int
    turns: int
    keeps_times: bool = False


class Batch:
    """The closed form of one model on one workload, compiled, for as many designs as one likes.

    model, workload, binding, parts   as in `hwsim.evaluation.Job`
    fidelity                          "closed"; anything else raises InputError

    Not for several threads at once: give each its own. The compiled loops run without the GIL.
    """

    def __init__(
        self, model: Model, workload: Workload, binding: Mapping[str, float], parts: Parts, fidelity: str = "closed"
    ) -> None:
        if fidelity != "closed":
            raise bad_input("fidelity", fidelity, "a batch evaluates the closed form only", key="fidelity")
        from hwsim.timing import compile as jit
        from hwsim.timing import driver

        self.model, self.workload, self.binding, self.parts = model, workload, dict(binding), parts
        self.status: Array = np.zeros(0, np.int8)
        self._jit, self._driver = jit, driver
        self._design_type = jit.dtype_of(model.Design)
        self._columns = list(_leaves(self._design_type))
        self._dram = jit.rows(Dram, [parts.dram])
        self._scratch = _Scratch()
        self._plans: list[_Plan] = []
        self._designs: Array = np.zeros(0, self._design_type)
        self._checked: dict[int, list[str]] = {}
        self._held = self._capacity = np.zeros((0, 0), np.int64)
        self._plan_of = np.zeros(0, np.int64)
        self._reads = {name: self._read_by(getattr(model, name)) for name in ("price", "static_w", "area_mm2")}
        self._static_check = _passes_always(model.check)
        self._shape: Any = None

    # --- what is asked --------------------------------------------------------------------------------------------

    def metrics(self, designs: Sequence[Any] | Array) -> dict[str, Array]:
        """Every figure of `designs`, a column each: int64 for integers, float64 for the rest.

        designs   Design objects, or a record array of `Batch.dtype`
        A float that a single run leaves out (the energy of a component that used none, a token time) is NaN, and a
        column of NaN alone is left out. `status` then holds a code a design (see STATUSES); a failed row's figures are
        zeros and NaN. Raises InputError when the model cannot run the workload.
        """
        rows = designs if isinstance(designs, np.ndarray) else self._jit.rows(self.model.Design, designs)
        self._designs = rows
        self.status = np.zeros(len(rows), np.int8)
        self._checked = {}
        del self._plans[:-PLANS]
        out: dict[str, Array] = {}
        self._plan_of = np.zeros(len(rows), np.int64)
        for plan, chosen in self._by_program(rows):
            self._plan_of[chosen] = self._plans.index(plan)
            if self._held.shape != (len(rows), len(self._shape.levels)):
                self._held = np.zeros((len(rows), len(self._shape.levels)), np.int64)
                self._capacity = np.zeros_like(self._held)
            size = self._block_size(plan)
            for start in range(0, len(chosen), size):
                part: Any = chosen[start : start + size]
                if len(chosen) == len(rows):
                    part = slice(start, start + len(part))
                _put(self._block(plan, rows[part], part), part, len(rows), out)
        return {name: c for name, c in out.items() if c.dtype == np.int64 or not np.isnan(c).all()}

    @property
    def dtype(self) -> Any:
        """The record type of a design: what `metrics` takes without converting."""
        return self._design_type

    def statuses(self) -> list[str]:
        """The status of each design of the last call: "ok", "infeasible" or "failed"."""
        return [STATUSES[code] for code in self.status]

    def why(self, i: int) -> str:
        """Why design i of the last call is infeasible or failed; "" when it is ok."""
        if self.status[i] == _FAILED:
            return self._failure(i)
        if self.status[i] == _OK:
            return ""
        held, capacity = self._held[i].tolist(), self._capacity[i].tolist()
        at = {level: k for k, level in enumerate(self._shape.levels)}
        filled = dict.fromkeys(p.level for p in self._plans[self._plan_of[i]].program.occupied)
        texts = [capacity_text(x, held[at[x]], capacity[at[x]]) for x in filled if held[at[x]] > capacity[at[x]]]
        return "; ".join([*texts, *self._checked.get(i, [])])

    def _failure(self, i: int) -> str:
        """What ordinary Python says of a design that failed."""
        job = Job(self.model, self._design(i), self.parts, self.workload, self.binding)
        try:
            evaluate_plain(job)
        except Exception as error:  # whatever a model's code raises is the reason
            return f"{type(error).__name__}: {error}"
        return "OverflowError: an integer left 64 bits; a single run has the figures"

    def _design(self, i: int) -> Any:
        return _built(self.model.Design, self._designs[i])

    # --- which program ----------------------------------------------------------------------------------------------

    def _by_program(self, rows: Array) -> Iterator[tuple[_Plan, Array]]:
        """Each program with the designs it serves."""
        left = np.ones(len(rows), bool)
        for plan in self._plans:
            served = left & self._alike(rows, plan)
            if served.any():
                yield plan, np.flatnonzero(served)
                left &= ~served
        while left.any():
            plan = self._planned(int(left.argmax()))
            self._plans.append(plan)
            served = left & self._alike(rows, plan)
            yield plan, np.flatnonzero(served)
            left &= ~served

    @staticmethod
    def _alike(rows: Array, plan: _Plan) -> Array:
        same = np.ones(len(rows), bool)
        for name, value in zip(plan.fields, plan.values, strict=True):
            same &= rows[name] == value
        return same

    def _planned(self, i: int) -> _Plan:
        design = self._design(i)
        program = self.model.lower(self.workload, design, self.binding)
        if self._shape is None:
            self._shape = _Shape.of(self.model, design, self.parts)
        fields = tuple(sorted(structural_of(self.model, program)))
        values = tuple(self._designs[i][name] for name in fields)
        numbers, kinds = self._kinds(program)
        events, fixed, holdings = self._placed(program)
        macs = sum(layer.macs for layer in program.layers)
        turns = len({turn for turn in program.turn if turn >= 0})
        order = self._driver.Order(*_order(program, numbers))
        return _Plan(program, fields, values, kinds, order, events, fixed, holdings, macs, turns)

    def _kinds(self, program: Program) -> tuple[Array, list[_Kind]]:
        """A new number for every task, kind after kind, and the kinds."""
        times_run = _times_run(program)
        numbers, kinds = np.zeros(len(program.tasks), np.int64), []
        met = 0
        for task_type, count in self.model.kernels.items():
            chosen = [i for i, task in enumerate(program.tasks) if type(task) is task_type]
            if chosen:
                numbers[chosen] = np.arange(met, met + len(chosen))
                met += len(chosen)
                tasks = self._jit.rows(task_type, [program.tasks[i] for i in chosen])
                kinds.append(_Kind(task_type, tasks, times_run[chosen], self._read_by(count)))
        if met < len(program.tasks):
            raise KeyError({type(task) for task in program.tasks} - set(self.model.kernels))
        return numbers, kinds

    def _placed(self, program: Program) -> tuple[Any, Array, list[Any]]:
        """Placements as events by level, their fixed bits, and the holdings that the design sizes."""
        numbers: dict[Any, int] = {}
        keys = [(type(p.bits), p.bits) for p in program.occupied]
        for key in keys:
            numbers.setdefault(key, len(numbers))
        fixed = np.array([b if kind is int else 0 for kind, b in numbers], np.int64)
        holdings = []
        for holding, bits in self.model.holdings.items():
            mine = [(value, at) for (kind, value), at in numbers.items() if kind is holding]
            if mine:
                rows = self._jit.rows(holding, [value for value, _ in mine])
                holdings.append((holding, rows, np.array([at for _, at in mine]), self._read_by(bits)))
        return _events(program.occupied, [numbers[key] for key in keys], self._shape.levels), fixed, holdings

    def _read_by(self, function: Any) -> Array:
        """Numbers of the design columns that a pure function may read."""
        names = self._jit.names_read(function)
        return np.array([c for c, (name, _) in enumerate(self._columns) if name in names], np.int64)

    # --- one block ------------------------------------------------------------------------------------------------

    def _block_size(self, plan: _Plan) -> int:
        tasks = max(1, len(plan.program.tasks))
        row = 8 * self._driver.TIME_COLUMNS * tasks if plan.keeps_times else 1
        return int(min(BLOCK, max(256, TABLE_BYTES // row)))

    def _block(self, plan: _Plan, designs: Array, places: Any) -> dict[str, Array]:
        """The figures of a block of designs; `places`, numbers or a slice, are theirs in the call."""
        n = len(designs)
        status = np.zeros(n, np.int8)
        machine = self._machine(designs, status)
        keys = self._keys(designs, machine)
        found = self._run(plan, designs, machine, keys, status)
        held = self._peaks(plan, designs, keys, status)
        amounts = {name: self._amounts(name, designs, keys, status) for name in self._reads}
        with np.errstate(all="ignore"):
            figures = dict(self._figures(plan, machine, found, held, amounts, status))
        self._judge(plan, designs, places, machine, held, status)
        failed = status == _FAILED
        if failed.any():
            for column in figures.values():
                column[failed] = 0 if column.dtype == np.int64 else np.nan
        self.status[places] = status
        return figures

    def _machine(self, designs: Array, status: Array) -> _Machine:
        shape, n = self._shape, len(designs)
        units = self._scratch.take("units", (n, len(shape.units), len(Unit._fields)))
        levels = self._scratch.take("levels", (n, len(shape.levels), len(MemoryLevel._fields)))
        failed = np.zeros(n, np.int8)
        self._driver.machine_driver(self.model.machine, shape.places)(designs, self.parts, units, levels, failed)
        status[failed != 0] = _FAILED
        units[failed != 0] = levels[failed != 0] = 0
        return _Machine(units, levels)

    def _keys(self, designs: Array, machine: _Machine) -> _Keys:
        """The designs as integers, and after them the rates of their machines."""
        n, own = len(designs), len(self._columns)
        rates = [machine.units[:, :, 0], *(machine.levels[:, :, f] for f in _RATES)]
        wide = own + sum(r.shape[1] for r in rates)
        values = self._scratch.take("keys", (n, wide))
        for c, (_, path) in enumerate(self._columns):
            column = designs
            for name in path:
                column = column[name]
            values[:, c] = column.view(np.int64) if column.dtype == np.float64 else column
        at = own
        for r in rates:
            values[:, at : at + r.shape[1]] = r
            at += r.shape[1]
        varied = (values != values[0]).any(axis=0)
        return _Keys(values, varied, np.arange(own, wide))

    def _grouped(self, values: Array, columns: Array) -> _Groups:
        """Rows of `values` that agree in `columns`."""
        n = len(values)
        ids, reps = np.zeros(n, np.int64), np.zeros(n, np.int64)
        if len(columns) == 0:
            return _Groups(ids, reps[: min(1, n)])
        size = 1 << max(4, (2 * n - 1).bit_length())
        table = self._scratch.take(f"table {size}", (size,))
        found = self._driver.group(values, columns, table, ids, reps)
        return _Groups(ids, reps[:found])

    def _amounts(self, name: str, designs: Array, keys: _Keys, status: Array) -> Array:
        """What `price`, `static_w` or `area_mm2` answers, a row a design."""
        groups = self._grouped(keys.values, keys.of(self._reads[name]))
        out = np.zeros((len(groups.reps), len(self._shape.amounts[name])))
        failed = np.zeros(len(groups.reps), np.int8)
        drive = self._driver.amounts_driver(getattr(self.model, name))
        drive(designs, groups.reps, self.parts, out, failed)
        if failed.any():
            status[failed[groups.ids] != 0] = _FAILED
        return out[groups.ids] if len(groups.reps) > 1 else np.broadcast_to(out, (len(designs), out.shape[1]))

    def _peaks(self, plan: _Plan, designs: Array, keys: _Keys, status: Array) -> Array:
        """The most bits each level holds, a row a design."""
        reads = [columns for _, _, _, columns in plan.holdings]
        groups = self._grouped(keys.values, keys.of(np.concatenate([np.zeros(0, np.int64), *reads])))
        n = len(groups.reps)
        bits = self._scratch.take("bits", (n, len(plan.fixed_bits)))
        bits[:] = plan.fixed_bits
        failed = np.zeros(n, np.int8)
        for holding, rows, at, _ in plan.holdings:
            self._driver.holding_driver(self.model.holdings[holding])(designs, groups.reps, rows, at, bits, failed)
        out = np.zeros((n, len(self._shape.levels)), np.int64)
        self._driver.peaks(bits, *plan.events, np.zeros(len(self._shape.levels), np.int64), out, failed)
        if failed.any():
            status[failed[groups.ids] != 0] = _FAILED
        return out[groups.ids]

    # --- counts and time --------------------------------------------------------------------------------------------

    def _run(self, plan: _Plan, designs: Array, machine: _Machine, keys: _Keys, status: Array) -> _Found:
        """Counts over the whole program, and when it ends."""
        parts = [self._parted(keys, kind) for kind in plan.kinds]
        table, rows = self._timed(plan, parts, designs, machine)
        n = len(designs)
        sums = self._scratch.take("sums of counts", (n, self._shape.n_fields))
        failed = np.zeros(n, np.int8)
        counted = _picked(n, [p.counted for p in parts], [len(p.count_reps) for p in parts])
        self._driver.add_up(counted, table.totals, table.status, sums, failed)
        picked = _picked(n, [p.ids for p in parts], [len(p.reps) for p in parts])
        ends = self._ends(plan, machine, picked, rows, failed)
        status[failed != 0] = _FAILED
        return _Found(sums, ends)

    def _ends(self, plan: _Plan, machine: _Machine, picked: Array, rows: Any, failed: Array) -> Array:
        """The ends of the program; where they take the recurrence, once for all designs that share their times."""
        if not plan.keeps_times:
            out = np.zeros((len(picked), 3), np.int64)
            self._driver.finish_serial(picked, rows, plan.order.chained, out, failed)
            return out
        who = np.concatenate([picked, *_resources(machine)], axis=1)
        groups = self._grouped(who, np.flatnonzero((who != who[0]).any(axis=0)))
        late = np.zeros(len(groups.reps), np.int8)
        of_reps = _Machine(machine.units[groups.reps], machine.levels[groups.reps])
        ends = self._finish(plan, of_reps, picked[groups.reps], rows, late)
        failed |= late[groups.ids]
        return ends[groups.ids]

    def _timed(
        self, plan: _Plan, parts: Sequence[_Parted], designs: Array, machine: _Machine
    ) -> tuple[_Table, Any]:  # fmt: skip
        """Count and time every kind of task over its groups of designs: sums of counts, and times."""
        table = self._table(parts)
        rows = self._rows(plan, [len(p.reps) for p in parts])
        count_at = time_at = 0
        for kind, part in zip(plan.kinds, parts, strict=True):
            self._run_kind(plan, kind, part, designs, machine, table.part(count_at), rows, time_at)
            count_at += len(part.count_reps)
            time_at += len(part.reps)
        if not plan.keeps_times and _needs_times(plan, rows):
            plan.keeps_times = True
            return self._timed(plan, parts, designs, machine)
        return table, rows

    def _parted(self, keys: _Keys, kind: _Kind) -> _Parted:
        """Designs by what the times of a kind depend on, those with the same counts side by side."""
        reads = keys.of(kind.reads)
        groups = self._grouped(keys.values, np.union1d(reads, keys.of(keys.rates)))
        counted = self._grouped(keys.values[groups.reps], reads)
        order = np.argsort(counted.ids, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        rows = counted.ids[order]
        return _Parted(place[groups.ids], groups.reps[order], rows, counted.ids[groups.ids], groups.reps[counted.reps])

    def _table(self, parts: Sequence[_Parted]) -> _Table:
        n = sum(len(p.count_reps) for p in parts)
        status = self._scratch.take("counted", (n,), np.int8)
        status[:] = 0
        return _Table(self._scratch.take("totals", (n, self._shape.n_fields)), status)

    def _rows(self, plan: _Plan, sizes: Sequence[int]) -> Any:
        """Where the times of all kinds go, after one another."""
        width = self._driver.TIME_COLUMNS
        n, take = sum(sizes), self._scratch.take
        tasks = [len(kind.tasks) for kind in plan.kinds]
        per_row = [width * m if plan.keeps_times else 0 for m in tasks]
        at = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.repeat(per_row, sizes))])[:-1].astype(np.int64)
        space = max([sum(a * b for a, b in zip(per_row, sizes, strict=True)), *(width * m for m in tasks), 1])
        first = np.cumsum([0, *tasks])[:-1].astype(np.int64)
        return self._driver.Rows(
            first, np.array(tasks, np.int64), take("times", (space,)), at, take("sums", (n, 3)),
            take("serial", (n, 3)), take("spans", (n,), np.float64), take("timed", (n,), np.int8),
        )  # fmt: skip

    def _run_kind(
        self, plan: _Plan, kind: _Kind, part: _Parted, designs: Array, machine: _Machine, table: _Table, rows: Any,
        at: int,
    ) -> None:  # fmt: skip
        """Count and time one kind, as many designs at a time as their counts fit a core's cache."""
        m, fields = len(kind.tasks), self._shape.n_fields
        step = max(1, COUNT_BYTES // (8 * m * fields))
        count = self._driver.counts_driver(self.model.kernels[kind.task_type])
        asked = self._asked(machine)
        for start in range(0, len(part.count_reps), step):
            reps = part.count_reps[start : start + step]
            counts = self._scratch.take("counts", (len(reps), m, fields))
            one = _Table(table.totals[start : start + step], table.status[start : start + step])
            count(designs, reps, kind.tasks, kind.times_run, counts, one.totals, one.status)
            first, last = np.searchsorted(part.rows, (start, start + step))
            self._time_kind(plan, kind, part, asked, counts, one.status, start, rows, at, slice(first, last))

    def _asked(self, machine: _Machine) -> Any:
        """What the times of tasks depend on, beside their counts."""
        units = machine.units.view(self._shape.unit_type)[..., 0]
        levels = machine.levels.view(self._shape.level_type)[..., 0]
        leads = self._scratch.take("leads", (len(self._shape.levels),))
        memory = self._scratch.take("transfers", (self._driver.MEMORY, 4))
        return self._driver.Asked(units, levels, self._dram, leads, memory)

    def _time_kind(
        self, plan: _Plan, kind: _Kind, part: _Parted, asked: Any, counts: Array, counted: Array, start: int,
        rows: Any, at: int, mine: slice,
    ) -> None:  # fmt: skip
        shape = (mine.stop - mine.start if plan.keeps_times else 1, len(kind.tasks), self._driver.TIME_COLUMNS)
        there = slice(at + mine.start, at + mine.stop)
        begin = int(rows.at[there.start]) if plan.keeps_times else 0
        times = rows.times[begin : begin + shape[0] * shape[1] * shape[2]].reshape(shape)
        self._driver.times_driver(self._shape.columns)(
            asked, part.reps[mine], counts, part.rows[mine] - start, counted, kind.times_run,
            plan.keeps_times, times, rows.sums[there], rows.serial[there], rows.spans[there], rows.status[there],
        )  # fmt: skip

    def _finish(self, plan: _Plan, machine: _Machine, picked: Array, rows: Any, failed: Array) -> Array:
        slots, ports = _resources(machine)
        out = np.zeros((len(picked), 3), np.int64)
        work = self._work(plan, slots)
        units = len(self._shape.units)
        self._driver.finish_driver()(picked, rows, plan.order, slots, ports, units, work, out, failed)
        return out

    def _work(self, plan: _Plan, slots: Array) -> Any:
        """Scratch for the recurrence of one program."""
        from hwsim.timing import recurrence

        take, resources = self._scratch.take, slots.shape[1]
        columns: dict[str, Any] = {name: take(f"state {name}", (resources,)) for name in recurrence.Scratch._fields}
        ring = take("ring", (int(slots.sum(axis=1).max(initial=0)),))
        units = take("unit_free", (len(self._shape.units),))
        state = recurrence.Scratch(**columns | {"ring": ring, "unit_free": units})
        program = plan.program
        return self._driver.Work(take("places", (len(program.tasks),)), take("done", (len(program),)), state)

    # --- the figures ------------------------------------------------------------------------------------------------

    def _figures(
        self, plan: _Plan, machine: _Machine, found: _Found, held: Array, amounts: Mapping[str, Array], status: Array
    ) -> Iterator[tuple[str, Array]]:
        shape, totals = self._shape, found.totals
        makespan = found.ends[:, 0]
        latency = makespan / PS_PER_S
        runs = latency > 0
        per_second = np.where(runs, 1 / latency, 0.0)
        static = amounts["static_w"]
        energies = self._energies(totals, amounts["price"], static, latency)
        dynamic = [joules for name, joules in energies.items() if name in shape.components]
        energy = _added(dynamic, len(latency)) + _added(static.T, len(latency)) * latency
        executed = totals[:, shape.executed].copy() if shape.executed >= 0 else np.zeros(len(latency), np.int64)
        peak = _added(machine.units[:, :, 1].T * machine.units[:, :, 0].T * 1e3, len(latency))
        yield "cycles", _cycles(makespan, machine.units[:, 0, 0])
        yield "latency_s", latency
        yield "throughput_per_s", plan.turns * per_second if plan.turns else per_second
        yield "energy_j", energy
        yield "power_w", np.where(runs, energy / latency, 0.0)
        yield "area_mm2", _added(amounts["area_mm2"].T, len(latency))
        yield "macs", np.full(len(latency), plan.macs)
        yield "macs_executed", executed
        yield "utilisation", np.where(runs & (peak > 0), executed / (peak * latency), 0.0)
        if plan.turns:
            yield "time_to_first_token_s", found.ends[:, 1] / PS_PER_S
        if plan.turns > 1:
            yield "time_per_token_s", (found.ends[:, 2] - found.ends[:, 1]) / (plan.turns - 1) / PS_PER_S
        for name, fields in shape.traffic.items():
            yield f"traffic_bits.{name}", _checked_sum(totals, fields, status)
        for at, level in enumerate(shape.levels):
            yield f"memory_peak_bits.{level}", held[:, at].copy()
        for name, joules in energies.items():
            yield f"energy_breakdown_j.{name}", np.where(joules != 0, joules, np.nan)

    def _energies(self, totals: Array, prices: Array, static: Array, latency: Array) -> dict[str, Array]:
        """Joules by component: dynamic, then static."""
        joules: dict[str, Array] = {}
        for f, component in enumerate(self._shape.components_of):
            if prices[:, f].any():
                own = totals[:, f] * prices[:, f] / PJ_PER_J
                joules[component] = joules[component] + own if component in joules else own
        for at, component in enumerate(self._shape.amounts["static_w"]):
            joules[f"{component} (static)"] = np.where(static[:, at] != 0, static[:, at] * latency, np.nan)
        return joules

    def _judge(self, plan: _Plan, designs: Array, places: Any, machine: _Machine, held: Array, status: Array) -> None:
        """Mark what cannot run: a level that holds too little, or what the model itself checks."""
        capacity = machine.levels[:, :, _CAPACITY]
        status[(held > capacity).any(axis=1) & (status == _OK)] = _INFEASIBLE
        self._held[places], self._capacity[places] = held, capacity
        if not self._static_check:
            self._check_each(plan, designs, np.arange(len(self.status))[places], status)

    def _check_each(self, plan: _Plan, designs: Array, numbers: Array, status: Array) -> None:
        """The model's own check, design by design: it is ordinary Python."""
        for i in np.flatnonzero(status != _FAILED):
            design = _built(self.model.Design, designs[i])
            found = self.model.check(design, self.parts, plan.program)
            texts = [f"{v.what}: {v.demand:.15g} of {v.bound:.15g} {v.unit}" for v in found]
            if texts:
                status[i] = _INFEASIBLE
                self._checked[int(numbers[i])] = texts


# --- what a model is made of --------------------------------------------------------------------------------------


_RATES = tuple(i for i, name in enumerate(MemoryLevel._fields) if name not in ("capacity_bits", "slots"))
_CAPACITY = MemoryLevel._fields.index("capacity_bits")
_SLOTS = MemoryLevel._fields.index("slots")
_SHARED = MemoryLevel._fields.index("shared_port")


class _Machine(NamedTuple):
    """Units and levels of every design's machine, as integers."""

    units: Array
    levels: Array


class _Keys(NamedTuple):
    """Designs as integers, a row each: `varied` says which columns differ in this block, `rates` are the columns of
    the machine."""

    values: Array
    varied: Array
    rates: Array

    def of(self, columns: Array) -> Array:
        """Those of `columns` that differ in this block."""
        kept: Array = np.unique(columns[self.varied[columns]])
        return kept


class _Parted(NamedTuple):
    """Groups of designs for one kind of task.

    ids, reps   the group of each design by its times, and the first design of each; groups with the same counts follow
                one another
    rows        which counts a group's times are of, in rising order
    counted     which counts a design has
    count_reps  the first design with each counts
    """

    ids: Array
    reps: Array
    rows: Array
    counted: Array
    count_reps: Array


class _Table(NamedTuple):
    """Counts summed over the program, a row for each group of designs with the same, and whether counting failed."""

    totals: Array
    status: Array

    def part(self, start: int) -> _Table:
        """The rows from `start` on."""
        return _Table(self.totals[start:], self.status[start:])


class _Found(NamedTuple):
    """Counts over the program, and the ends of the program, of the first and of the last token."""

    totals: Array
    ends: Array


@dataclasses.dataclass(frozen=True, slots=True)
class _Shape:
    """Names and numbers of a model's units, levels and counts."""

    units: tuple[str, ...]
    levels: tuple[str, ...]
    places: tuple[tuple[int, int], ...]
    columns: Any
    n_fields: int
    components_of: tuple[str, ...]
    components: frozenset[str]
    executed: int
    traffic: dict[str, list[int]]
    amounts: dict[str, tuple[str, ...]]
    unit_type: Any
    level_type: Any

    @staticmethod
    def of(model: Model, design: Any, parts: Parts) -> _Shape:
        """Read from one design's machine."""
        machine = model.machine(design, parts)
        columns, names = layout(model.Counts, machine)
        places = tuple(
            (1, names.levels.index(f)) if f in names.levels else (0, names.units.index(f)) for f in machine._fields
        )
        traffic: dict[str, list[int]] = {f"{level}.{way}": [] for level in names.levels for way in ("read", "write")}
        for f, kind in enumerate(columns.kind):
            if kind in (LOAD, MOVE, STORE):
                traffic[f"{names.levels[columns.resource[f]]}.{('read', 'write')[columns.write[f]]}"].append(f)
        components = tuple(c or f for c, f in zip(names.components, names.fields, strict=True))
        amounts = {n: getattr(model, n)(design, parts)._fields for n in ("price", "static_w", "area_mm2")}
        executed = names.fields.index("macs_executed") if "macs_executed" in names.fields else -1
        return _Shape(
            names.units, names.levels, places, columns, len(names.fields), components, frozenset(components), executed,
            traffic, amounts, _record(Unit), _record(MemoryLevel),
        )  # fmt: skip


def _record(kind: Any) -> Any:
    return np.dtype([(name, np.int64) for name in kind._fields], align=True)


def _leaves(dtype: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every number of a record type: the field of the outermost record it lies in, and the way to it."""
    for name in dtype.names:
        inner = dtype[name]
        if inner.names:
            yield from _leaves(inner, (*path, name))
        else:
            yield (path[0] if path else name), (*path, name)


def _built(kind: Any, row: Any) -> Any:
    """The dataclass that a record stands for."""
    import typing

    hints = typing.get_type_hints(kind)
    values = {}
    for f in dataclasses.fields(kind):
        value = row[f.name]
        hint = hints[f.name]
        values[f.name] = _built(hint, value) if dataclasses.is_dataclass(hint) else hint(value.item())
    return kind(**values)


def _passes_always(check: Any) -> bool:
    """Whether `check` is nothing but `return ()`."""
    code = [step for step in dis.get_instructions(check) if step.opname not in ("RESUME", "NOP")]
    loads = [step.argval for step in code if step.opname in ("LOAD_CONST", "RETURN_CONST")]
    known = {"LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    return loads == [()] and all(step.opname in known for step in code)


# --- a program as arrays ------------------------------------------------------------------------------------------


def _times_run(program: Program) -> Array:
    """int64[tasks, 3]: how often each task runs in all, up to the end of the first token, and of the last."""
    turns = [turn for turn in program.turn if turn >= 0]
    ends = [len(program), 0, 0]
    if turns:
        for k, wanted in ((1, min(turns)), (2, max(turns))):
            ends[k] = 1 + max(i for i, turn in enumerate(program.turn) if turn == wanted)
    out = np.zeros((len(program.tasks), 3), np.int64)
    steps = np.array(program.task, np.int64)
    for k, end in enumerate(ends):
        out[:, k] = np.bincount(steps[:end], minlength=len(program.tasks))
    return out


MAX_LOOKS = 64


def _needed(after: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """The dependencies of every step less those that another of them waits for anyway, as far as a short look back
    tells: a result is never done before what it waited for."""
    out: list[list[int]] = []
    for deps in after:
        kept: list[int] = []
        for dep in sorted(set(deps), reverse=True):
            if not any(_reaches(out, later, dep) for later in kept):
                kept.append(dep)
        out.append(kept)
    return out


def _reaches(needed: Sequence[Sequence[int]], start: int, goal: int) -> bool:
    waiting, seen, looks = [start], set(), 0
    while waiting and looks < MAX_LOOKS:
        looks += 1
        for dep in needed[waiting.pop()]:
            if dep == goal:
                return True
            if dep > goal and dep not in seen:
                seen.add(dep)
                waiting.append(dep)
    return False


def _order(program: Program, numbers: Array) -> tuple[Any, ...]:
    """The fields of `hwsim.timing.driver.Order`."""
    needed = _needed(program.after)
    start = np.cumsum([0, *map(len, needed)]).astype(np.int64)
    dep = np.array([d for deps in needed for d in deps], np.int64)
    turns = np.array(program.turn, np.int64)
    generated = turns[turns >= 0]
    first = np.flatnonzero(turns == generated.min()) if len(generated) else np.zeros(0, np.int64)
    last = np.flatnonzero(turns == generated.max()) if len(generated) else np.zeros(0, np.int64)
    chained = int(all(deps == ([i - 1] if i else []) for i, deps in enumerate(needed)))
    waits = np.array(program.load_waits, np.int64)
    task = numbers[program.task] if len(program) else np.zeros(0, np.int64)
    return task, start, dep, waits, first, last, chained


def _events(
    placed: Sequence[Placement], holding: Sequence[int], levels: Sequence[str]
) -> tuple[Array, Array, Array, Array]:
    """Level, holding, sign and end-of-step mark of every beginning and end of a placement, level by level in the
    order of steps."""
    at = {level: k for k, level in enumerate(levels)}
    begins = [(at[p.level], p.first, h, 1) for p, h in zip(placed, holding, strict=True)]
    ends = [(at[p.level], p.last + 1, h, -1) for p, h in zip(placed, holding, strict=True)]
    events = sorted(begins + ends)
    moment = [k + 1 == len(events) or events[k][:2] != events[k + 1][:2] for k in range(len(events))]
    columns = np.array(events, np.int64).reshape(-1, 4)
    level, found, sign = (np.ascontiguousarray(columns[:, c]) for c in (0, 2, 3))
    return level, found, sign, np.array(moment, np.int64)


def _picked(n: int, ids: Sequence[Array], sizes: Sequence[int]) -> Array:
    """int64[n, kinds]: each design's row of every kind, rows of all kinds numbered through."""
    out = np.zeros((n, len(ids)), np.int64)
    start = 0
    for k, (column, size) in enumerate(zip(ids, sizes, strict=True)):
        out[:, k] = column + start
        start += size
    return out


def _needs_times(plan: _Plan, rows: Any) -> bool:
    """Whether the end of the program is more than a sum of work for any row."""
    serial = rows.serial[rows.status == 0]
    if not len(serial):
        return False
    units = serial[:, 0]
    sums = plan.order.chained or ((units >= 0).all() and (units == units[0]).all() and not serial[:, 2].any())
    return bool(serial[:, 1].any() or not sums)


def _resources(machine: _Machine) -> tuple[Array, Array]:
    """Slots and ports as in `hwsim.evaluation.resources_of`: reads of level k are resource 2 k, its writes 2 k + 1."""
    slots = np.repeat(machine.levels[:, :, _SLOTS], 2, axis=1)
    ports = np.empty_like(slots)
    ports[:] = np.arange(slots.shape[1])
    ports[:, 1::2] -= (machine.levels[:, :, _SHARED] == 1).astype(np.int64)
    return slots, ports


# --- columns ------------------------------------------------------------------------------------------------------


def _put(figures: Mapping[str, Array], places: Any, n: int, out: dict[str, Array]) -> None:
    """The figures of some of `n` designs into the columns of all."""
    for name, column in figures.items():
        if len(column) == n:
            out[name] = column
            continue
        if name not in out:
            out[name] = np.full(n, 0 if column.dtype == np.int64 else np.nan, column.dtype)
        out[name][places] = column


def _added(columns: Any, n: int) -> Array:
    """The sum of columns, from the first to the last as Python adds them up."""
    total = np.zeros(n)
    for column in columns:
        total += column
    return total


def _checked_sum(totals: Array, fields: Sequence[int], status: Array) -> Array:
    """Fields of `totals` added; rows whose sum leaves 64 bits fail."""
    out = np.zeros(len(totals), np.int64)
    shadow = np.zeros(len(totals))
    for f in fields:
        out += totals[:, f]
        shadow += np.abs(totals[:, f].astype(np.float64))
    if len(fields) > 1:
        status[shadow >= LARGEST] = _FAILED
    return out


def _cycles(makespan: Array, clock_khz: Array) -> Array:
    """round(makespan * clock / 1e9) as Python's integers have it."""
    out = np.rint(makespan.astype(np.float64) * clock_khz.astype(np.float64) / 1e9).astype(np.int64)
    for i in np.flatnonzero((makespan >= EXACT_FLOAT) | (clock_khz >= EXACT_FLOAT)):
        out[i] = round(int(makespan[i]) * int(clock_khz[i]) / 1e9)
    return out
