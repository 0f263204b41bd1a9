"""The conformance suite every accelerator must pass, shipped or a third party's."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from hwsim.config import DesignFile, load_design
from hwsim.demand import LOAD, MOVE, STORE, WORK, layout, task_times
from hwsim.errors import InputError
from hwsim.evaluation import Evaluation, Job, evaluate, resources_of, steps_of
from hwsim.memory import DRAM, FLASH, MemoryLevel, peak_bits_per_s
from hwsim.model import Program, structural_of
from hwsim.parts import resolve_parts
from hwsim.result import Result
from hwsim.simulate import resolve_binding, run
from hwsim.testing.samples import random_designs, random_tasks, unsupported_workload
from hwsim.timing import events, recurrence
from hwsim.timing.compile import agreement
from hwsim.workload.ir import Workload
from hwsim.workload.store import load_workload

CLOSE = 1e-9
DEEP = 10 if os.environ.get("HWSIM_DEEP") else 1


class ModelSuite:
    """Subclass it, name designs and workloads, and pytest holds the model to the engine's promises.

    designs     shipped names or YAML paths; a tuple adds overrides: ("mine", "macs=4")
    workloads   names, JSON paths, or functions that return a Workload
    bindings    per workload name, the sizes to run it at (small ones: every test runs them all)
    agreement_rows   random rows on which plain and compiled functions must agree, over all functions together
    random_points    random designs the invariants are checked on
    tasks            tasks that no workload lowers to, such as those a circuit alone is asked
    """

    designs: ClassVar[Sequence[str | tuple[str, ...]]] = ()
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = ()
    bindings: ClassVar[Mapping[str, Mapping[str, float]]] = {}
    agreement_rows: ClassVar[int] = 100_000
    random_points: ClassVar[int] = 20
    tasks: ClassVar[Sequence[Any]] = ()

    # --- inputs -------------------------------------------------------------------------------------------------

    def _files(self) -> list[DesignFile]:
        assert self.designs, "name at least one design"
        named = [(d,) if isinstance(d, str) else d for d in self.designs]
        return [load_design(name, overrides) for name, *overrides in named]

    def _workloads(self) -> list[Workload]:
        assert self.workloads, "name at least one workload"
        return [w() if callable(w) else load_workload(w) for w in self.workloads]

    def _binding(self, workload: Workload) -> dict[str, float]:
        return resolve_binding(workload, self.bindings.get(workload.name, {}))

    def _jobs(self) -> Iterator[tuple[DesignFile, Job]]:
        for file, workload in itertools.product(self._files(), self._workloads()):
            parts = resolve_parts(file.named)
            yield file, Job(file.model, file.design, parts, workload, self._binding(workload))

    def _results(self) -> Iterator[tuple[Job, Result]]:
        for file, job in self._jobs():
            given = self.bindings.get(job.workload.name, {})
            yield job, run(file, job.workload, bind=given, interval=False)

    def _points(self) -> Iterator[Job]:
        """Every named job, then jobs on random designs around the first design."""
        jobs = [job for _, job in self._jobs()]
        yield from jobs
        designs = random_designs(jobs[0].model, jobs[0].design, seed=7)
        for design, job in zip(designs, itertools.cycle(jobs), strict=False):
            if design is None:
                return
            yield dataclasses.replace(job, design=design)

    def _some_points(self) -> Iterator[Job]:
        jobs = len(self.designs) * len(self.workloads)
        return itertools.islice(self._points(), jobs + self.random_points * DEEP)

    # --- form ---------------------------------------------------------------------------------------------------

    def test_counts_are_annotated(self) -> None:
        """Every field of Counts says what it is and names a unit or level of the Machine."""
        for _, job in self._jobs():
            columns, _ = layout(job.model.Counts, job.model.machine(job.design, job.parts))
            assert len(columns.kind) == len(job.model.Counts._fields)  # type: ignore[attr-defined]

    def test_prices_cover_every_count(self) -> None:
        """One finite, non-negative price for each field of Counts; static power and area likewise."""
        for job in self._some_points():
            prices = job.model.price(job.design, job.parts)
            assert prices._fields == job.model.Counts._fields  # type: ignore[attr-defined]
            for group in (prices, job.model.static_w(job.design, job.parts), job.model.area_mm2(job.design, job.parts)):
                for name, value in group._asdict().items():
                    assert math.isfinite(value) and value >= 0, f"{name} = {value}"

    def test_one_unit_and_one_port_a_task(self) -> None:
        """A task works on one unit, loads from one level and stores to one; its counts are integers, never negative."""
        for job in self._some_points():
            e = evaluate(job)
            for task, row, time in zip(e.program.tasks, e.counts, e.times, strict=True):
                assert all(isinstance(v, int) and v >= 0 for v in row), (task, row)
                units = {e.columns.resource[f] for f, v in enumerate(row) if v and e.columns.kind[f] == WORK}
                assert len(units) <= 1, f"{task} works on several units"
                assert time.chunks >= 1
                assert time.unit >= 0 or time.work_ps == 0, f"{task} moves data during work but names no unit"

    def test_an_unsupported_operator_is_named(self) -> None:
        """An operator the model cannot run is an InputError that names it."""
        for file in self._files():
            with pytest.raises(InputError, match=r"network\.strange"):
                file.model.lower(unsupported_workload(), file.design, {})

    def test_only_structural_fields_change_the_program(self) -> None:
        """A program is reused in sweeps unless a structural field moved, so no other field may change it."""
        for _, job in self._jobs():
            base = job.lower()
            structural = structural_of(job.model, base)
            for design in itertools.islice(random_designs(job.model, job.design, seed=3), 10):
                kept = {name: getattr(job.design, name) for name in structural}
                try:
                    moved = dataclasses.replace(design, **kept)
                except InputError:
                    continue
                if list(getattr(moved, "problems", list)()):
                    continue
                assert _shape(dataclasses.replace(job, design=moved).lower()) == _shape(base)

    # --- one source ---------------------------------------------------------------------------------------------

    def test_plain_and_compiled_agree(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Every pure function gives the same answer as ordinary Python and compiled, on random rows."""
        compared = 0
        file, job = next(self._jobs())
        tasks: dict[type, list[Any]] = {type(task): [task] for task in self.tasks}
        for _, each in self._jobs():
            for task in each.lower().tasks:
                tasks.setdefault(type(task), []).append(task)
        base = job.lower()
        unused = [t.__name__ for t in job.model.kernels if t not in tasks]
        assert not unused, f"no workload of the suite lowers to {unused}: name one that does, or tasks"
        designs = list(itertools.islice(random_designs(job.model, job.design, seed=11), 500))
        share = self.agreement_rows * DEEP // len(tasks) + 1
        for task_type, found in tasks.items():
            count = job.model.kernels[task_type]
            compared += agreement(count, _countable(count, designs, found, share))
        parts = resolve_parts(file.named)
        for placement in base.occupied:
            if not isinstance(placement.bits, int):
                bits = job.model.holdings[type(placement.bits)]
                compared += agreement(bits, [(design, placement.bits) for design in designs])
        for function in (job.model.machine, job.model.price, job.model.static_w, job.model.area_mm2):
            compared += agreement(function, [(design, parts) for design in designs])
        with capsys.disabled():
            print(f"\n{type(self).__name__}: plain and compiled agree on {compared} rows")
        assert compared >= self.agreement_rows

    # --- accounting ---------------------------------------------------------------------------------------------

    def test_every_mac_is_accounted_for(self) -> None:
        """The layers' MACs sum to those of one of the workload's schedules, exactly."""
        for job, result in self._results():
            binding = {k: int(v) for k, v in job.binding.items() if not job.workload.symbols[k].ratio}
            totals = {job.workload.macs(binding, name) for name in job.workload.schedules}
            assert result.macs in totals
            assert sum(layer.macs_executed for layer in result.layers) == result.macs_executed

    def test_times_add_up(self) -> None:
        """Exposed times sum to the latency; for each unit and port busy + stall + idle is the latency."""
        for _, result in self._results():
            latency = result.latency_s.value
            assert sum(x.exposed_s for x in result.layers) == pytest.approx(latency, rel=CLOSE)
            for track in result.tracks:
                assert track.busy_s + track.stall_s + track.idle_s == pytest.approx(latency, rel=CLOSE)
                assert min(track.busy_s, track.stall_s, track.idle_s) >= -latency * CLOSE

    def test_energy_adds_up(self) -> None:
        """Energy is the sum over components, and over layers."""
        for _, result in self._results():
            assert sum(result.energy_breakdown_j.values()) == pytest.approx(result.energy_j.value, rel=1e-6)
            assert sum(x.energy_j for x in result.layers) == pytest.approx(result.energy_j.value, rel=1e-6)

    def test_capacity_decides_feasibility(self) -> None:
        """A level that holds more than its capacity makes the design infeasible, and only a violation does."""
        for _, result in self._results():
            over = [n for n, bits in result.memory_peak_bits.items() if bits > result.memory_capacity_bits[n]]
            assert len(over) <= len(result.violations)
            assert result.feasible == (not result.violations)

    def test_same_input_same_answer(self) -> None:
        """Two runs of one question are equal, field by field."""
        first = [r for _, r in self._results()]
        assert first == [r for _, r in self._results()]

    # --- bounds -------------------------------------------------------------------------------------------------

    def test_nothing_beats_its_own_hardware(self) -> None:
        """Latency is at least MACs over peak, and at least bits over bandwidth for each port; utilisation at most 1."""
        for job in self._some_points():
            e = evaluate(job)
            for bound_s, what in _lower_bounds(e):
                assert e.latency_s >= bound_s * (1 - CLOSE), f"{what}: {e.latency_s} s < {bound_s} s"

    def test_off_chip_traffic_is_at_least_compulsory(self) -> None:
        """Every weight that is placed off chip crosses the port once at least."""
        for job in self._some_points():
            e = evaluate(job)
            for name in e.names.levels:
                if getattr(e.machine, name).kind in (DRAM, FLASH):
                    placed = zip(e.program.occupied, e.occupied_bits, strict=True)
                    weights = sum(bits for p, bits in placed if (p.level, p.what) == (name, "weights"))
                    assert _moved(e, name, write=0) >= weights, f"{name}: weights of {weights} bits were not all read"

    def test_events_match_the_closed_form(self) -> None:
        """The event replay equals the recurrence to the picosecond without contention, and is never faster with it."""
        for _, job in self._jobs():
            e = evaluate(job)
            steps, resources = steps_of(e.program, e.times), resources_of(e.machine)
            alone = resources._replace(port=list(range(len(resources.port))))
            assert list(events.replay(steps, alone, contended=False).done_ps) == list(
                recurrence.schedule(steps, alone).done_ps
            )
            shared = events.replay(steps, resources, contended=True)
            closed = recurrence.schedule(steps, resources)
            assert all(a >= b for a, b in zip(shared.done_ps, closed.done_ps, strict=True))

    # --- metamorphic --------------------------------------------------------------------------------------------

    def test_twice_the_price_is_twice_the_dynamic_energy(self) -> None:
        """Dynamic energy is linear in the prices."""
        for _, job in self._jobs():
            e = evaluate(job)
            once = sum(map(sum, e.dynamic_pj))
            prices = [2 * p for p in job.model.price(job.design, job.parts)]
            twice = sum(c * p for row in e.counts for c, p in zip(row, prices, strict=True))
            assert twice == pytest.approx(2 * once, rel=CLOSE)

    def test_faster_memory_and_more_slots_are_never_slower(self) -> None:
        """Doubling any port's width, or adding a buffer slot, never delays the end of the same program."""
        for job in self._some_points():
            e = evaluate(job)
            for name, better in _better_levels(e):
                there = _with_level(e, name, better)
                assert there <= e.makespan_ps, f"{name} {better} made it slower"

    def test_a_faster_clock_is_never_slower(self) -> None:
        """Doubling the clock of every unit never delays the end of the same program."""
        for _, job in self._jobs():
            e = evaluate(job)
            faster = {n: getattr(e.machine, n)._replace(clock_khz=2 * getattr(e.machine, n).clock_khz)
                      for n in e.names.units}  # fmt: skip
            assert _rerun(e, e.machine._replace(**faster)) <= e.makespan_ps


def _shape(program: Program) -> tuple[Any, ...]:
    return (
        program.tasks, program.task, program.after, program.load_waits, program.layers, program.turn, program.occupied,
        program.free_ops, program.notes,
    )  # fmt: skip


def _countable(
    count: Callable[[Any, Any], Any], designs: Sequence[Any], tasks: Sequence[Any], rows: int
) -> list[tuple[Any, Any]]:
    """`rows` random (design, task) pairs on which `count` stays within 63 bits and divides by no zero."""
    pairs: list[tuple[Any, Any]] = []
    for i, task in enumerate(random_tasks(tasks, seed=5)):
        if len(pairs) == rows:
            break
        pair = (designs[i % len(designs)], task)
        if max(abs(v) for v in count(*pair)) < 2**62:
            pairs.append(pair)
    return pairs


def _lower_bounds(e: Evaluation) -> Iterator[tuple[float, str]]:
    totals = [0] * len(e.names.fields)
    for t in e.program.task:
        for f, value in enumerate(e.counts[t]):
            totals[f] += value
    peak = sum(getattr(e.machine, n).macs_per_cycle * getattr(e.machine, n).clock_khz * 1e3 for n in e.names.units)
    if "macs_executed" in e.names.fields and peak:
        yield totals[e.names.fields.index("macs_executed")] / peak, "macs_executed / peak"
    for f, bits in enumerate(totals):
        if e.columns.kind[f] in (LOAD, MOVE, STORE) and bits:
            name = e.names.levels[e.columns.resource[f]]
            yield (
                bits / peak_bits_per_s(getattr(e.machine, name), e.columns.write[f]),
                f"{e.names.fields[f]} / bandwidth",
            )


def _moved(e: Evaluation, level: str, write: int) -> int:
    """Bits read from or written to a level over the whole run."""
    fields = [
        f
        for f, kind in enumerate(e.columns.kind)
        if kind in (LOAD, MOVE, STORE) and e.columns.write[f] == write and e.names.components[f] == level
    ]
    return sum(e.counts[t][f] for t in e.program.task for f in fields)


def _better_levels(e: Evaluation) -> Iterator[tuple[str, MemoryLevel]]:
    for name in e.names.levels:
        level = getattr(e.machine, name)
        yield name, level._replace(slots=level.slots + 1)
        if level.kind == DRAM:
            yield name, level._replace(channels=2 * level.channels)
        else:
            yield (
                name,
                level._replace(
                    read_bits_per_cycle=2 * level.read_bits_per_cycle,
                    write_bits_per_cycle=2 * level.write_bits_per_cycle,
                ),
            )


def _with_level(e: Evaluation, name: str, level: MemoryLevel) -> int:
    return _rerun(e, e.machine._replace(**{name: level}))


def _rerun(e: Evaluation, machine: Any) -> int:
    """The makespan of the same counts on another machine."""
    units = tuple(getattr(machine, n) for n in e.names.units)
    levels = tuple(getattr(machine, n) for n in e.names.levels)
    times = [task_times(row, e.columns, units, levels, e.job.parts.dram) for row in e.counts]
    out = recurrence.schedule(steps_of(e.program, times), resources_of(machine))
    return max(out.done_ps, default=0)
