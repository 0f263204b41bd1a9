"""The compiled batch evaluation against single runs, figure by figure, and on designs that cannot run."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
import pytest

from hwsim.config import DesignFile, load_design
from hwsim.errors import InputError
from hwsim.evaluation import Job, evaluate
from hwsim.memory import SRAM, MemoryLevel, Unit
from hwsim.model import Chunks, Parts, Placement, Program, Traffic, Violation, Work
from hwsim.parts import resolve_parts
from hwsim.pure import clog2, isqrt, pure
from hwsim.simulate import resolve_binding, run
from hwsim.sweep.batch import Batch, _needed
from hwsim.sweep.metrics import metrics_of
from hwsim.sweep.plain import evaluate_plain
from hwsim.testing.samples import matmul_chain, random_designs
from hwsim.timing.compile import agreement, names_read
from hwsim.timing.driver import finish
from hwsim.timing.recurrence import Resources, Steps, new_scratch, schedule
from hwsim.workload.ir import Workload
from hwsim.workload.store import load_workload

DEEP = 10 if os.environ.get("HWSIM_DEEP") else 1
CLOSE = 1e-12

SMALL = {"transformer-base": {"n": 3, "m": 3}, "gpt2-small": {"prompt": 4, "generate": 3}}
COUNTED: dict[str, dict[str, int]] = {}
"""Model -> what was compared -> how often, for the printed summary."""


def _binding(workload: Workload) -> dict[str, float]:
    given = {k: v for k, v in SMALL.get(workload.name, {}).items() if k in workload.symbols}
    return resolve_binding(workload, given)


def _designs(file: DesignFile, seed: int, held: Mapping[str, Any]) -> Iterator[Any]:
    """Random designs; the fields a program is made anew for take few values, so that programs are shared."""
    rng = random.Random(seed)
    menu = {name: [getattr(file.design, name)] for name in file.model.structural}
    if file.model.name == "roofline":
        menu["cache_bits"] = [file.design.cache_bits, 1 << 22, 0]
        menu["operand_bits"] = [file.design.operand_bits, 8]
    else:
        menu = {"decode_cache": [True, False], "logits_rows": list(type(file.design.logits_rows)),
                "intermediates_on_chip": [True, False]}  # fmt: skip
    for design in random_designs(file.model, file.design, seed):
        picked = {name: rng.choice(values) for name, values in menu.items()} | dict(held)
        yield dataclasses.replace(design, **picked)


def _held(file: DesignFile, workload: Workload) -> dict[str, Any]:
    """Packing real masks takes a while: for workloads that bring them, what they are packed for stays."""
    if not workload.masks or file.model.name == "roofline":
        return {}
    return {name: getattr(file.design, name) for name in file.model.structural if name != "intermediates_on_chip"}


def _row(columns: Mapping[str, np.ndarray[Any, Any]], i: int) -> dict[str, float]:
    """One design's figures: NaN stands for what a single run leaves out."""
    row = {name: column[i].item() for name, column in columns.items()}
    return {name: value for name, value in row.items() if not (isinstance(value, float) and math.isnan(value))}


def _assert_same(got: Mapping[str, float], wanted: Mapping[str, float]) -> None:
    assert set(got) == set(wanted)
    for name, value in wanted.items():
        if isinstance(value, int):
            assert isinstance(got[name], int) and got[name] == value, name
        else:
            assert math.isclose(got[name], value, rel_tol=CLOSE, abs_tol=0.0), (name, got[name], value)


def _compare(model_name: str, file: DesignFile, workload: Workload, n: int, seed: int) -> None:
    binding = _binding(workload)
    parts = resolve_parts(file.named)
    designs = list(itertools.islice(_designs(file, seed, _held(file, workload)), n * DEEP))
    batch = Batch(file.model, workload, binding, parts)
    columns = batch.metrics(designs)
    programs: dict[Any, Program] = {}
    counted = COUNTED.setdefault(model_name, {"designs": 0, "figures": 0, "infeasible": 0})
    for i, design in enumerate(designs):
        job = Job(file.model, design, parts, workload, binding)
        key = tuple(getattr(design, name) for name in sorted(file.model.structural))
        if key not in programs:
            programs[key] = job.lower()
        point = evaluate_plain(job, programs[key])
        assert (batch.statuses()[i], batch.why(i)) == (point.status, point.why)
        _assert_same(_row(columns, i), point.metrics)
        counted["designs"] += 1
        counted["figures"] += len(point.metrics)
        counted["infeasible"] += point.status == "infeasible"


@pytest.mark.parametrize(
    ("design", "workload", "n"),
    [
        ("titan-xp", "efficientnet-lite0", 700),
        ("i7-6900k", "transformer-base", 500),
        ("titan-xp", "gpt2-small", 400),
        ("i7-6900k", "minilm-l6", 500),
        ("optimus", "efficientnet-lite0", 850),
        ("optimus-baseline", "transformer-base", 500),
        ("optimus", "gpt2-small", 250),
        ("optimus", "minilm-l6", 500),
    ],
)
def test_every_figure_is_a_single_runs(design: str, workload: str, n: int) -> None:
    """Random designs of every shipped model: each figure, status and reason as ordinary Python has them."""
    file = load_design(design)
    _compare(file.model.name, file, load_workload(workload), n, seed=len(workload) + n)


def test_compared_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """At least 2,000 designs of each shipped model were compared, some of them infeasible."""
    if not COUNTED:
        pytest.skip("runs after the comparisons")
    with capsys.disabled():
        for model, counted in COUNTED.items():
            print(f"\nbatch against single runs, {model}: " + ", ".join(f"{v:,} {k}" for k, v in counted.items()))
    for counted in COUNTED.values():
        assert counted["designs"] >= 2000
    assert any(counted["infeasible"] for counted in COUNTED.values())


@pytest.mark.parametrize("design", ["titan-xp", "i7-6900k", "optimus", "optimus-baseline"])
@pytest.mark.parametrize("workload", ["transformer-base", "efficientnet-lite0"])
def test_plain_figures_are_a_results(design: str, workload: str) -> None:
    """`evaluate_plain` and a batch of one say what the Result of `run` says."""
    file, network = load_design(design), load_workload(workload)
    given = SMALL.get(workload, {})
    result = run(file, network, bind=given, interval=False)
    job = Job(file.model, file.design, resolve_parts(file.named), network, _binding(network))
    point = evaluate_plain(job)
    wanted = metrics_of(result)
    assert list(point.metrics) == list(wanted)
    _assert_same(point.metrics, wanted)
    assert (point.status == "ok") == result.feasible


def test_a_call_is_its_pieces() -> None:
    """Designs give the same figures one by one, in any order, and as a record array."""
    file, workload = load_design("optimus"), load_workload("efficientnet-lite0")
    batch = Batch(file.model, workload, _binding(workload), resolve_parts(file.named))
    designs = list(itertools.islice(_designs(file, 5, {}), 60))
    together = batch.metrics(designs)
    rows = [_row(together, i) for i in range(len(designs))]
    array = np.array([tuple(dataclasses.astuple(d)) for d in designs], batch.dtype)
    backwards = batch.metrics(array[::-1])
    assert [_row(backwards, i) for i in range(len(designs))] == rows[::-1]
    for i in range(0, len(designs), 7):
        assert _row(batch.metrics(designs[i : i + 1]), 0) == rows[i]
    assert batch.metrics([])["cycles"].shape == (0,) if batch.metrics([]) else True


def test_two_threads_do_not_disturb_each_other() -> None:
    """A Batch for each thread: the same figures as one after the other."""
    file, workload = load_design("titan-xp"), load_workload("efficientnet-lite0")
    parts = resolve_parts(file.named)
    designs = [list(itertools.islice(_designs(file, seed, {}), 300)) for seed in (1, 2)]
    batches = [Batch(file.model, workload, _binding(workload), parts) for _ in designs]
    alone = [batch.metrics(mine) for batch, mine in zip(batches, designs, strict=True)]
    found: dict[int, Any] = {}

    def work(k: int) -> None:
        for _ in range(5):
            found[k] = batches[k].metrics(designs[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2):
        assert all(np.array_equal(found[k][n], alone[k][n], equal_nan=c.dtype != np.int64) for n, c in alone[k].items())


def test_other_fidelities_are_refused() -> None:
    """Only the closed form is compiled."""
    file, workload = load_design("titan-xp"), load_workload("efficientnet-lite0")
    with pytest.raises(InputError, match="a batch evaluates the closed form only"):
        Batch(file.model, workload, {}, resolve_parts(file.named), fidelity="events")


# --- a model with every corner --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Inner:
    depth: int
    share: float


@dataclass(frozen=True)
class _Design:
    clock_khz: int
    lanes: int
    inner: _Inner
    slots: int
    capacity_bits: int
    huge: int
    shared: bool


class _Task(NamedTuple):
    elements: int
    loads: int
    stores: int


class _Stored(NamedTuple):
    elements: int


class _Counts(NamedTuple):
    cycles: Annotated[int, Work("core")]
    chunks: Annotated[int, Chunks()]
    read_bits: Annotated[int, Traffic("memory", "read", "load")]
    write_bits: Annotated[int, Traffic("memory", "write", "store")]
    moved_bits: Annotated[int, Traffic("near", "read")]
    moved_back_bits: Annotated[int, Traffic("near", "write")]


class _Machine(NamedTuple):
    memory: MemoryLevel
    core: Unit
    near: MemoryLevel


class _Watts(NamedTuple):
    core: float
    none: float


@pure
def _count(design: _Design, task: _Task) -> _Counts:
    return _Counts(
        cycles=task.elements * design.inner.depth // design.lanes,
        chunks=max(1, task.elements // 64),
        read_bits=task.loads * design.huge,
        write_bits=task.stores,
        moved_bits=task.elements * 3,
        moved_back_bits=task.elements,
    )


@pure
def _stored_bits(design: _Design, held: _Stored) -> int:
    return held.elements * design.inner.depth


class _Corner:
    name = "corner"
    summary = "loads, stores, chunks, ports in any order, a check of its own"
    Design = _Design
    Counts = _Counts
    kernels: ClassVar[Any] = {_Task: _count}
    structural = frozenset({"lanes"})
    holdings: ClassVar[Any] = {_Stored: _stored_bits}
    accuracy: ClassVar[Any] = {}

    def lower(self, workload: Workload, design: _Design, binding: Mapping[str, float]) -> Program:
        program = Program()
        rng = random.Random(design.lanes)
        for i in range(40):
            layer = program.add_layer(f"l{i}", "matmul", "run", i)
            task = _Task(rng.choice([0, 100, 700]), rng.choice([0, 64, 5000]), rng.choice([0, 0, 900]))
            after = sorted(rng.sample(range(i), min(i, rng.randint(0, 3))))
            turn = rng.choice([-1, 0, 1, 2])
            program.add(task, layer, after, turn=turn, load_waits=rng.random() < 0.3)
        program.occupied += [Placement("near", _Stored(rng.randint(1, 99)), i, i + 3, "x") for i in range(30)]
        program.occupied.append(Placement("memory", 77, 3, 9, "fixed"))
        return program

    @staticmethod
    @pure
    def machine(design: _Design, parts: Parts) -> _Machine:
        return _Machine(
            MemoryLevel(SRAM, 1 << 40, 32, 16, design.clock_khz, 5, int(design.shared), design.slots),
            Unit(design.clock_khz, design.lanes),
            MemoryLevel(SRAM, design.capacity_bits, 64, 64, design.clock_khz, 1, int(design.shared), 2),
        )

    @staticmethod
    @pure
    def price(design: _Design, parts: Parts) -> _Counts:
        return _Counts(0.5, 0.0, design.inner.share, 2.0, 0.25, 0.0)

    @staticmethod
    @pure
    def static_w(design: _Design, parts: Parts) -> _Watts:
        return _Watts(0.125 * design.inner.share, 0.0)

    @staticmethod
    @pure
    def area_mm2(design: _Design, parts: Parts) -> _Watts:
        return _Watts(1.5, design.lanes * 0.25)

    def check(self, design: _Design, parts: Parts, program: Program) -> list[Violation]:
        deep = design.inner.depth
        return [Violation("too deep", deep, 90, "stages", "depth")] if deep > 90 else []


def _corner_designs(n: int) -> Iterator[_Design]:
    rng = random.Random(3)
    for _ in range(n):
        inner = _Inner(rng.choice([1, 5, 40, 99]), rng.choice([0.0, 0.3, 1.7]))
        huge = rng.choice([1, 1, 7, 2**60])
        yield _Design(rng.choice([1000, 777_777]), rng.choice([0, 1, 3]), inner, rng.randint(1, 4),
                      rng.choice([100, 10_000, 1 << 30]), huge, rng.random() < 0.5)  # fmt: skip


def test_a_model_with_every_corner() -> None:
    """Stores, shared ports, chunks, nested designs, machine fields in any order, a check in Python; zero divisors and
    overflow mark their rows alone."""
    model: Any = _Corner()
    workload = matmul_chain("chain", 1, (1, 1))
    parts = resolve_parts({"technology": "28nm", "dram": "lpddr4-3200"})
    designs = list(_corner_designs(1000))
    batch = Batch(model, workload, {}, parts)
    columns = batch.metrics(designs)
    seen = {"ok": 0, "infeasible": 0, "failed": 0, "zero divisor": 0, "overflow": 0}
    for i, design in enumerate(designs):
        status = batch.statuses()[i]
        seen[status] += 1
        job = Job(model, design, parts, workload, {})
        if design.lanes == 0:
            assert status == "failed" and batch.why(i).startswith("ZeroDivisionError")
            seen["zero divisor"] += 1
            continue
        point = evaluate_plain(job)
        if status == "failed":
            assert design.huge == 2**60 and batch.why(i).startswith("OverflowError")
            seen["overflow"] += 1
            continue
        assert (status, batch.why(i)) == (point.status, point.why)
        _assert_same(_row(columns, i), point.metrics)
    assert min(seen.values()) > 50, seen


# --- the parts -------------------------------------------------------------------------------------------------------


def test_names_read_see_through_calls() -> None:
    """A field read by a callee is read."""
    assert {"elements", "inner", "depth", "lanes", "loads", "huge"} <= names_read(_count)
    assert "share" not in names_read(_count)
    with pytest.raises(TypeError, match="is not marked @pure"):
        names_read(_corner_designs)


def test_needless_dependencies_change_nothing() -> None:
    """Every dropped dependency is an ancestor of one that was kept."""
    rng = random.Random(1)
    dropped = 0
    for _ in range(300):
        after = [tuple(sorted(rng.sample(range(i), min(i, rng.randint(0, 4))))) for i in range(25)]
        ancestors: list[set[int]] = []
        for deps, kept in zip(after, _needed(after), strict=True):
            reach = set(kept).union(*(ancestors[d] for d in kept))
            assert set(kept) <= set(deps) <= reach
            ancestors.append(reach)
            dropped += len(deps) - len(kept)
    assert dropped > 1000


def test_a_price_change_reuses_the_counts() -> None:
    """What only prices read is worked out once a price, and times once a rate; figures stay a single run's."""
    file, workload = load_design("titan-xp"), load_workload("efficientnet-lite0")
    parts = resolve_parts(file.named)
    designs = [
        dataclasses.replace(file.design, board_power_w=100.0 + i % 40, clock_khz=1_000_000 + i // 40 * 1000)
        for i in range(1000)
    ]
    batch = Batch(file.model, workload, {}, parts)
    columns = batch.metrics(designs)
    for i in range(0, 1000, 37):
        job = Job(file.model, designs[i], parts, workload, {})
        assert columns["latency_s"][i] == evaluate(job).latency_s
        _assert_same(_row(columns, i), evaluate_plain(job).metrics)


def test_quick_roots_are_the_same() -> None:
    """What compiled code puts in the place of `isqrt` and `clog2` answers the same, at every edge of 64 bits."""
    rng = random.Random(2)
    roots = [rng.randrange(3_037_000_499) for _ in range(3000)] + [3_037_000_499]
    values = [*range(-5, 5000), *(r * r + d for r in roots for d in (-1, 0, 1))]
    values += [(1 << k) + d for k in range(1, 63) for d in (-2, -1, 0, 1, 2)] + [2**63 - 1, 2**63 - 2]
    values = [v for v in values if v < 2**63]
    for function in (isqrt, clog2):
        assert agreement(function, [(v,) for v in values]) == len(values)


def test_the_short_recurrence_is_the_whole_one() -> None:
    """`finish`, as ordinary Python, ends every step when `run_recurrence` does."""
    rng = random.Random(4)
    steps_run = bounded = 0
    for _ in range(400 * DEEP):
        n, n_levels, n_units = rng.randint(1, 30), rng.randint(1, 3), rng.randint(1, 2)
        times = [_random_time(rng, n_levels, n_units, stores=rng.random() < 0.7) for _ in range(8)]
        order = [rng.randrange(8) for _ in range(n)]
        after = [sorted(rng.sample(range(i), min(i, rng.randint(0, 3)))) for i in range(n)]
        dep_start = list(itertools.accumulate(map(len, after), initial=0))
        dep = [d for deps in after for d in deps]
        waits = [rng.randint(0, 1) for _ in range(n)]
        slots = [rng.randint(1, 3) for _ in range(2 * n_levels)]
        shared = [rng.random() < 0.5 for _ in range(n_levels)]
        resources = Resources(
            slots, [2 * k + way * (not shared[k]) for k in range(n_levels) for way in (0, 1)], n_units
        )
        rows = [times[t] for t in order]
        column = dict(zip(_TIME_NAMES, zip(*rows, strict=True), strict=True))
        steps = Steps(
            load=[2 * v if v >= 0 else -1 for v in column["load"]], load_ps=list(column["load_ps"]),
            lead_ps=list(column["lead_ps"]), unit=list(column["unit"]), work_ps=list(column["work_ps"]),
            drain_ps=list(column["drain_ps"]), store=[2 * v + 1 if v >= 0 else -1 for v in column["store"]],
            store_ps=list(column["store_ps"]), chunks=list(column["chunks"]),
            load_waits=waits, dep_start=dep_start, dep=dep,
        )  # fmt: skip
        done = [0] * n
        flat, at = [v for row in [[0], *times] for v in row], [1 + 9 * t for t in range(8)]
        latest = finish(order, dep_start, dep, waits, flat, at, resources, done, new_scratch(resources))
        wanted = schedule(steps, resources).done_ps
        assert done == wanted and latest == max(wanted)
        steps_run += n
        bounded += wanted != schedule(steps, resources._replace(port=list(range(2 * n_levels)))).done_ps
    assert steps_run > 5000 and bounded > 50


_TIME_NAMES = ("load", "load_ps", "lead_ps", "unit", "work_ps", "drain_ps", "store", "store_ps", "chunks")


def _random_time(rng: random.Random, n_levels: int, n_units: int, stores: bool) -> list[int]:
    """A task, in the order of `hwsim.timing.driver.TIME_COLUMNS`."""
    return [
        rng.randint(-1, n_levels - 1), rng.randint(0, 90), rng.randint(0, 9), rng.randint(-1, n_units - 1),
        rng.randint(0, 90), rng.randint(0, 5), rng.randint(-1, n_levels - 1) if stores else -1, rng.randint(0, 90),
        rng.choice([1, 1, 2, 5, 17]),
    ]  # fmt: skip
