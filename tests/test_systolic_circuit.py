"""The cases of the systolic circuit without a simulator: what they are, what drives them, the model held to them."""

from __future__ import annotations

import itertools
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from accelerators.systolic import array, resident, tiling
from accelerators.systolic.array import Pace, array_cycles, run_cycles
from accelerators.systolic.design import Dataflow
from accelerators.systolic.model import MODEL
from hwsim.cosim.case import CaseFile, read_cases
from hwsim.cosim.compare import question
from hwsim.cosim.golden import Row, check_model, read_golden
from hwsim.errors import InputError
from rtl_models.systolic import data, draw, folds, picture, synthesis
from rtl_models.systolic.bench import CIRCUIT
from rtl_models.systolic.data import Task, Values
from rtl_models.systolic.folds import Paces, Product

Function = Callable[..., Any]


@lru_cache(maxsize=1)
def case_file() -> CaseFile:
    return read_cases(CIRCUIT.cases, CIRCUIT)


@lru_cache(maxsize=1)
def golden() -> dict[str, Row]:
    return {row["name"]: row for row in read_golden(CIRCUIT)}


def design(rows: int, columns: int, dataflow: Dataflow, overlap: bool, **fields: int) -> Any:
    """What the circuit's side needs of a design, with ports that hold nothing back."""
    ports = {f"{name}_{what}": 64 for name in ("input", "weight", "output") for what in ("bandwidth", "banks")}
    return SimpleNamespace(**{**ports, "rows": rows, "columns": columns, "dataflow": dataflow, "overlap": overlap,
                              "input_bits": 8, "weight_bits": 8, "accumulator_bits": 32, **fields})  # fmt: skip


def drawn_designs(count: int, seed: int) -> Iterator[tuple[Any, Product]]:
    """Arrays and products of all kinds, half of them with narrow ports."""
    rng = random.Random(seed)
    for _ in range(count):
        ports = {"input_bandwidth": 1, "weight_bandwidth": 1, "output_bandwidth": 1,
                 "input_banks": rng.choice((1, 2, 3, 64)), "weight_banks": rng.choice((1, 2, 5, 64)),
                 "output_banks": rng.choice((1, 4, 64))} if rng.random() < 0.5 else {}  # fmt: skip
        sides = rng.randint(1, 16), rng.randint(1, 16)
        yield (design(*sides, rng.choice(list(Dataflow)), rng.random() < 0.5, **ports),
               Product(rng.randint(1, 64), rng.randint(1, 64), rng.randint(1, 64)))  # fmt: skip


# --- the cases ----------------------------------------------------------------------------------------------------


def test_the_case_file_is_what_the_sequence_draws() -> None:
    assert CIRCUIT.cases.read_text(encoding="utf-8") == "".join(draw.lines())


def test_there_are_cases_enough_and_a_third_of_them_is_held_out() -> None:
    cases = case_file().cases
    wide = [case for case in cases if folds.paces(case.design, case.task.product) == Paces(1, 1)]
    counts = Counter(case.held_out for case in cases)
    print(f"{len(cases)} cases, {len(wide)} compute only: {counts[False]} development, {counts[True]} held out")
    assert len(wide) >= 300
    assert counts[True] * 3 >= len(cases)
    assert {case.family for case in cases if case.held_out} == set(case_file().held_out)


def test_the_cases_vary_all_that_the_page_names() -> None:
    """Dataflows with overlap and without, partial folds both ways, streams shorter than the array, single rows and
    columns, primes, wraps, convolutions: at least ten of each."""
    found: Counter[str] = Counter()
    for case in case_file().cases:
        p, shape = case.task.product, case.design
        plan = folds.plan(shape, p)
        numbers = data.operands(shape, case.task, case.seed)
        wraps = bool(np.any(numbers.results != data.wrapped(numbers.results, shape.accumulator_bits)))
        found.update(key for key, holds in {
            f"{Dataflow(shape.dataflow).name}{'-overlap' if shape.overlap else ''}": True,
            "partial outer fold": plan.outer % plan.outer_step > 0,
            "partial inner fold": plan.inner % plan.inner_step > 0,
            "short stream under overlap": shape.overlap and plan.vectors < shape.rows and plan.folds > 1,
            "one fold": plan.folds == 1, "m = 1": p.m == 1, "k = 1": p.k == 1, "n = 1": p.n == 1,
            "primes or 1": all(x in draw.ONE_AND_PRIMES for x in p), "64": 64 in p, "wraps": wraps,
            "convolution": case.task.is_convolution, Values(case.task.values).name: True,
            "narrow stream": folds.paces(shape, p).stream > 1, "narrow fill": folds.paces(shape, p).fill > 1,
        }.items() if holds)  # fmt: skip
    print(", ".join(f"{key} {n}" for key, n in sorted(found.items())))
    assert min(found.values()) >= 10 and len(found) == 24


# --- the page -----------------------------------------------------------------------------------------------------


def test_folds_one_by_one_come_to_the_closed_form(deep: bool) -> None:
    """The sequencer's rules, fold by fold, against README.md's formula and the model's."""
    count = 20_000 if deep else 1_500
    for shape, p in drawn_designs(count, 1):
        walked = list(folds.walk(shape, p))
        total, pace, plan = folds.total_cycles(shape, p), folds.paces(shape, p), folds.plan(shape, p)
        assert walked[-1].left + 1 == total
        assert len(walked) == plan.folds
        model = run_cycles(shape.overlap, shape.rows, shape.columns, plan.folds, 1, plan.vectors, plan.vectors,
                           Pace(pace.stream, shape.rows * pace.fill))  # fmt: skip
        assert model == total
    print(f"{count} products")


def test_the_formula_is_that_of_the_model_where_nothing_holds_it_back() -> None:
    for shape, p in drawn_designs(1_000, 2):
        wide = design(shape.rows, shape.columns, shape.dataflow, shape.overlap)
        flow = int(shape.dataflow)
        assert folds.total_cycles(wide, p) == array_cycles(
            flow, shape.overlap, shape.rows, shape.columns, p.m, p.n, p.k
        )


def test_no_two_folds_meet() -> None:
    """Vectors leave by one port, at least a pace apart; a shift-in ends before the stream that needs it, and begins
    no earlier than the first vector that frees its registers."""
    for shape, p in drawn_designs(1_500, 3):
        pace, walked = folds.paces(shape, p), list(folds.walk(shape, p))
        for before, after in itertools.pairwise(walked):
            assert after.first >= before.last + pace.stream
            assert after.left >= before.left + shape.rows * pace.fill
            if after.load >= 0:
                assert after.load >= before.first
                assert after.load + (shape.rows - 1) * pace.fill < after.first


def test_the_counters_of_folds_stand_in_order() -> None:
    """The first MAC, the last, the last result, the last slot: none overtakes the next."""
    for shape, p in drawn_designs(500, 4):
        found = folds.exact(shape, p)
        assert found["cycles_before_mac"] < found["cycles_to_last_mac"]
        assert found["cycles_to_last_mac"] <= found["cycles_to_last_result"] <= found["cycles_total"]
        busiest = p.m * p.k * p.n / (shape.rows * shape.columns)
        assert found["cycles_to_last_mac"] >= busiest


def test_the_pictures_of_the_page_are_those_of_the_rules() -> None:
    page = CIRCUIT.cases.with_name("README.md").read_text(encoding="utf-8")
    assert picture.pictures() in page


def test_a_picture_shows_every_product_once() -> None:
    """Each element meets each vector of both folds in a cycle of its own."""
    for flow in Dataflow:
        for overlap in (False, True):
            shape = picture.small(flow, overlap)
            for r in range(picture.ROWS):
                for c in range(picture.COLUMNS):
                    seen = Counter("".join(picture.cells(shape, r, c).values()).upper())
                    assert seen["A"] == seen["B"] == picture.VECTORS


# --- numbers ------------------------------------------------------------------------------------------------------


def test_convolutions_are_those_of_pytorch() -> None:
    """Results tap by tap, and the matrices of im2col, against conv2d in float64."""
    torch = pytest.importorskip("torch")
    checked = 0
    for case in case_file().cases:
        task = case.task
        if not task.is_convolution:
            continue
        found = data.operands(case.design, task, case.seed)
        assert np.array_equal(found.inputs @ found.weights, found.results)
        rng = np.random.default_rng(case.seed)
        image = data.drawn(
            rng, task.values, (task.batch, task.channels, task.height, task.width), case.design.input_bits
        )
        kernels = torch.tensor(
            found.weights.T.reshape(task.outputs, task.channels, task.kernel_rows, task.kernel_columns)
        )
        theirs = torch.nn.functional.conv2d(
            torch.tensor(image).double(), kernels.double(), stride=task.stride, padding=task.padding
        )
        mine = found.results.reshape(task.batch, task.rows_out, task.columns_out, task.outputs)
        assert np.array_equal(mine, theirs.permute(0, 2, 3, 1).long().numpy())
        checked += 1
    assert checked >= 18


def test_words_wrap_as_twos_complement() -> None:
    assert data.words(np.array([-1, 127, -128, 128, 300]), 8) == [255, 127, 128, 128, 44]
    assert data.wrapped(np.array([128, -129, 5]), 8).tolist() == [-128, 127, 5]


def test_every_kind_of_values_fits_its_width() -> None:
    rng = np.random.default_rng(1)
    for values in (Values.ANY, Values.LEAST, Values.MOST, Values.ENDS):
        found = data.drawn(rng, values, (50, 50), 8)
        assert found.min() >= -128 and found.max() <= 127
    assert set(np.unique(data.drawn(rng, Values.ENDS, (50, 50), 8))) == {-128, 127}


# --- bad input ----------------------------------------------------------------------------------------------------

HEAD = """circuit: systolic
design: {design}
tolerance: {{mape: 0 %, p95: 0 %, worst: 0 %, reason: a closed form}}
cases:
  - {{name: a, family: b, seed: 1, task: {task}{fields}}}
"""


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("{m: 4, k: 4}", "a product has m, k and n"),
        ("{m: 4, k: 4, n: 4, height: 3}", "a product has m, k and n, and nothing of an image"),
        ("{channels: 3, outputs: 4, height: 5}", "a convolution has channels, outputs, height and width"),
        ("{channels: 3, outputs: 4, height: 2, width: 5, kernel_rows: 3}", "the kernel fits into the padded image"),
        ("{m: 4, k: 4, n: -1}", "n"),
        ("{m: 4, k: 4, n: 4, values: odd}", "values"),
    ],
)
def test_a_task_that_is_none_is_told_with_its_place(tmp_path: Any, task: str, message: str) -> None:
    path = tmp_path / "cases.yaml"
    text = HEAD.format(design=CIRCUIT.cases.with_name("circuit.yaml"), task=task, fields="")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_cases(path, CIRCUIT)
    (problem,) = caught.value.problems
    assert message in f"{problem.rule} {problem.where.key}"
    assert problem.where.line == 5


@pytest.mark.parametrize(
    ("fields", "task", "message"),
    [
        ({"rows": 129}, Task(m=4, k=4, n=4), "128 rows or columns"),
        ({}, Task(m=1024, k=65, n=1), "65536 elements in a matrix"),
        ({}, Task(m=4097, k=1, n=1), "4096 vectors of a fold"),
    ],
)
def test_what_the_circuit_has_no_room_for_is_said(fields: dict[str, int], task: Task, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CIRCUIT.check(design(**{"rows": 4, "columns": 4, "dataflow": Dataflow.WS, "overlap": False, **fields}), task)


# --- the model against the circuit --------------------------------------------------------------------------------


def test_the_model_says_what_the_circuit_did() -> None:
    """Cycles and counts of every case, against golden.csv, without a simulator."""
    found = check_model(CIRCUIT)
    rows = golden().values()
    off = [abs(float(row["model_total"]) - float(row["rtl_total"])) for row in rows]
    print(f"{len(off)} cases: cycles {max(off):.0f} apart; {found}")
    assert len(off) >= 400 and max(off) == 0


def test_the_page_says_what_the_circuit_did() -> None:
    for case in case_file().cases:
        row, said = golden()[case.name], folds.exact(case.design, case.task.product)
        assert {name: row[f"exact_{name}"] for name in said} == {name: str(value) for name, value in said.items()}


class Fault(NamedTuple):
    """`wrong(right)` stands in for the function `right`."""

    name: str
    right: Function
    wrong: Callable[[Function], Function]


def moved_field(name: str, by: Callable[[int], int]) -> Callable[[Function], Function]:
    def wrong(right: Function) -> Function:
        def traffic(*args: Any) -> Any:
            found = right(*args)
            return found._replace(**{name: by(getattr(found, name))})

        return traffic

    return wrong


def released_os(right: Function) -> Function:
    """SCALE-Sim's release: no drain of an output-stationary fold."""
    return lambda shape, f, p: (
        right(shape, f, p) - (f.blocks * shape.rows if shape.dataflow == Dataflow.OS and not shape.overlap else 0)
    )


FAULTS = (
    Fault("the last cycle is numbered from zero", tiling.fold_cycles, lambda right: lambda *a: right(*a) - 1),
    Fault("an output-stationary fold has no drain", tiling.fold_cycles, released_os),
    Fault("skew a cycle long", array.skew, lambda right: lambda *a: right(*a) + 1),
    Fault("no skew", array.skew, lambda right: lambda *a: 0),
    Fault("overlap is taken for none", array.run_cycles, lambda right: lambda overlap, *a: right(False, *a)),
    Fault("all is overlapped", array.run_cycles, lambda right: lambda overlap, *a: right(True, *a)),
    Fault("rows and columns exchanged", array.run_cycles, lambda right: lambda o, r, c, n, p, f, t, pace:
          right(o, c, r, n, p, f, t, pace._replace(fill=pace.fill // r * c))),
    Fault("shift-in is free", array.run_cycles, lambda right: lambda *a: right(*a[:-1], a[-1]._replace(fill=0))),
    Fault("folds rounded down", tiling.blocks, lambda right: lambda size, tile, side: max(1, size // side)),
    Fault("a fold too many", tiling.blocks, lambda right: lambda *a: right(*a) + 1),
    Fault("a port is never narrow", tiling.pace, lambda right: lambda shape, *a: Pace(1, shape.rows)),
    Fault("a narrow port holds up the stream alone", tiling.pace, lambda right: lambda shape, *a:
          right(shape, *a)._replace(fill=shape.rows)),
    Fault("inputs read once", tiling.moved, moved_field("input_reads", lambda n: n // 2)),
    Fault("partial sums are not read", tiling.moved, moved_field("output_reads", lambda n: 0)),
    Fault("partial sums are written once", tiling.moved, moved_field("output_writes", lambda n: n // 2)),
    Fault("a weight is read twice", tiling.moved, moved_field("weight_reads", lambda n: n + 8)),
)  # fmt: skip


def seed(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    """Put the wrong function wherever the right one is looked up."""
    wrong, places = fault.wrong(fault.right), []
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "accelerators":
            places += [(module, key) for key, value in vars(module).items() if value is fault.right]
    assert places
    for module, key in places:
        patch.setattr(module, key, wrong)


def caught_by() -> str:
    """The first case in which the model differs from what the circuit did, and in what; "" if in none."""
    for case in case_file().cases[::5]:
        row, answer = golden()[case.name], question(CIRCUIT, case).answer
        if float(row["rtl_total"]) != answer.cycles.total:
            return f"{case.name}: cycles"
        for name, count in answer.counts.items():
            if str(int(count)) != row[f"count_{name}"]:
                return f"{case.name}: {name}"
    return ""


def test_every_fault_of_the_formulas_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert caught_by() == ""
    found = {}
    for fault in FAULTS:
        with monkeypatch.context() as patch:
            seed(fault, patch)
            found[fault.name] = caught_by()
    print(f"{sum(map(bool, found.values()))} of {len(FAULTS)} faults of the formulas caught")
    print("\n".join(f"{name}: {by}" for name, by in found.items()))
    assert [name for name, by in found.items() if not by] == []


def test_an_empty_product_asks_for_nothing() -> None:
    shape = read_cases(CIRCUIT.cases, CIRCUIT).cases[0].design
    assert not any(
        v for k, v in resident.count_resident(shape, resident.Resident(0, 3, 3))._asdict().items() if k != "chunks"
    )
    assert resident.Resident in MODEL.kernels


# --- resources ----------------------------------------------------------------------------------------------------


def test_the_table_of_resources_has_every_array() -> None:
    table = synthesis.read_table()
    assert [line["name"] for line in table] == [subject.name for subject in synthesis.subjects()]
    assert all(line["dsps"] == line["elements"] for line in table)
    by_name = {line["name"]: line for line in table}
    ws, twin = by_name["ws-4x4-8-8-32"], by_name["is-4x4-8-8-32"]
    assert {k: v for k, v in ws.items() if k != "name"} == {k: v for k, v in twin.items() if k != "name"}
