"""The systolic circuit: cases on both simulators, logs, SCALE-Sim's formulas, seeded mistakes, what Yosys counts."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest

from accelerators.systolic.design import Dataflow
from hwsim.config import load_design
from hwsim.cosim.case import Case, CaseFile, read_cases
from hwsim.cosim.circuit import Hdl
from hwsim.cosim.compare import Verdict, Wanted, compare, in_order
from hwsim.cosim.golden import IDENTITY, MODEL, TOOLS, read_golden, rows_of
from hwsim.cosim.simulator import build, in_parallel, lint, run
from hwsim.cosim.toolchain import available, require
from hwsim.cosim.validation import Validation, disagreement, main_cause, markdown
from hwsim.testing import CircuitSuite
from rtl_models.systolic import draw, folds, synthesis
from rtl_models.systolic.bench import CIRCUIT, SystolicCircuit
from rtl_models.systolic.data import Task
from rtl_models.systolic.folds import Paces

WIDE = Paces(1, 1)
DAILY = 320
"""Cases with ports as wide as the array that run every day: those that a simulator is done with soonest."""


@lru_cache(maxsize=1)
def case_file() -> CaseFile:
    return read_cases(CIRCUIT.cases, CIRCUIT)


@lru_cache(maxsize=1)
def golden() -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in read_golden(CIRCUIT)}


def needs(simulator: str) -> None:
    if simulator not in available():
        pytest.skip(f"{simulator} is not installed")


def is_wide(case: Case) -> bool:
    """Whether nothing holds the array back."""
    return folds.paces(case.design, case.task.product) == WIDE


def effort(case: Case) -> int:
    """What a simulator has to do: every element in every cycle, and what is there in any case."""
    return int(golden()[case.name]["rtl_total"]) * (case.design.rows * case.design.columns + 16)


def daily() -> list[Case]:
    """The quickest cases, in the order of the file; all those with narrow ports."""
    quick = sorted(filter(is_wide, case_file().cases), key=effort)[:DAILY]
    kept = {case.name for case in quick}
    return [case for case in case_file().cases if case.name in kept or not is_wide(case)]


def held(cases: Sequence[Case], simulator: str, wanted: Wanted | None = None) -> list[Verdict]:
    """The verdicts on these cases: within the tolerance, with the columns of the circuit as golden.csv has them."""
    verdicts = in_order(cases, compare(case_file(), cases, simulator, jobs=2, wanted=wanted))
    cycles, seconds = sum(v.cycles for v in verdicts), sum(v.seconds for v in verdicts)
    print(f"{simulator}: {len(verdicts)} cases, {cycles:,} cycles, {cycles / seconds:,.0f} cycles/s while running")
    assert [v.case.name for v in verdicts if not v.within(case_file().tolerance)] == []
    for row in rows_of(CIRCUIT, verdicts, simulator):
        of_circuit = {k: v for k, v in row.items() if k not in (*IDENTITY, *MODEL, *TOOLS, "error")}
        assert of_circuit == {k: golden()[row["name"]][k] for k in of_circuit}, row["name"]
    return verdicts


def test_cases_on_icarus(deep: bool) -> None:
    """At least 300 of nothing but computing, in all dataflows: results, counts and cycles equal."""
    needs("icarus")
    cases = list(case_file().cases) if deep else daily()
    verdicts = held(cases, "icarus", Wanted(explained=0))
    wide = [v for v in verdicts if is_wide(v.case)]
    off = [abs(v.model.total - v.rtl.total) for v in verdicts if v.rtl]
    flows = {(v.case.design.dataflow, v.case.design.overlap) for v in wide}
    print(f"{len(wide)} compute-only cases, {len(verdicts) - len(wide)} with narrow ports; {max(off):.0f} cycles apart")
    assert len(wide) >= 300 and len(flows) == 6 and max(off) == 0


def test_cases_on_verilator(deep: bool) -> None:
    """One build; deep, all 36 of them, and the validation page."""
    needs("verilator")
    cases = case_file().cases
    verdicts = held([c for c in cases if deep or c.family == cases[0].family], "verilator", Wanted(explained=0))
    if not deep:
        return
    fresh = Validation(case_file(), tuple(verdicts), "verilator", require("verilator").versions)
    page = CIRCUIT.cases.parents[2] / "docs" / "validation.md"
    assert markdown([fresh]).partition("\n## ")[2] in page.read_text(encoding="utf-8")


class TestConformance(CircuitSuite):
    """One build on every simulator, through the suite that others use."""

    circuit = CIRCUIT
    cases = Path(__file__).parent / "circuits" / "systolic.yaml"


def test_logs(deep: bool) -> None:
    """The log of the circuit is that of README.md's rules, event by event: a case of each dataflow, with overlap and
    without, and with narrow ports; deep, of each build."""
    needs("icarus")
    found: dict[object, Case] = {}
    for case in sorted(case_file().cases, key=effort):
        design = case.design
        many = folds.plan(design, case.task.product).folds > 2
        key = (case.family if deep else "", design.dataflow, design.overlap, is_wide(case))
        if many and min(design.rows, design.columns) > 1:
            found.setdefault(key, case)
    verdicts = held(list(found.values()), "icarus", Wanted(trace=True))
    print(f"{len(verdicts)} logs, {sum(len(v.events[1]) for v in verdicts if v.events):,} events")
    assert len(verdicts) >= 12
    assert all(v.events and v.events[1] and v.first_event is None for v in verdicts)


def test_lint_is_clean(deep: bool) -> None:
    needs("verilator")
    by_build = {tuple(c.parameters(CIRCUIT).values()): c for c in case_file().cases}
    chosen = [c for c in by_build.values() if deep or c.family in ("r1c1", "r5c3")]
    for case in chosen:
        assert lint(CIRCUIT.hdl, case.parameters(CIRCUIT)) == [], case.name
    print(f"{len(chosen)} of {len(by_build)} builds without a warning")


# --- what SCALE-Sim says ------------------------------------------------------------------------------------------


class Claim(NamedTuple):
    """A product on an array of side x side, and what SCALE-Sim's release 3.0.0 reports by its formulas."""

    dataflow: Dataflow
    side: int
    task: Task
    release: int


CLAIMS = (
    Claim(Dataflow.OS, 4, Task(m=4, k=4, n=4), 9),
    Claim(Dataflow.OS, 16, Task(m=16, k=3, n=16), 32),
    Claim(Dataflow.WS, 8, Task(m=8, k=8, n=8), 29),
    Claim(Dataflow.IS, 8, Task(m=8, k=8, n=8), 29),
)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.dataflow.name}-{claim.side}")
def test_the_circuit_decides_between_scalesims_formulas(claim: Claim) -> None:
    """The published 2R + C + T - 2 is right; the release numbers the last cycle from zero, and stops its
    output-stationary array at the last MAC, with all results still in it."""
    needs("icarus")
    base = load_design(CIRCUIT.cases.with_name("circuit.yaml")).design
    design = dataclasses.replace(base, rows=claim.side, columns=claim.side, dataflow=claim.dataflow)
    built = build(CIRCUIT.hdl, {name: int(getattr(design, name)) for name in CIRCUIT.hdl.parameters}, "icarus")
    names = ["cycles_total", "cycles_to_last_mac", "cycles_to_last_result"]
    (seen,) = run(built, [CIRCUIT.stimulus(design, claim.task, 1)], names)
    total, mac, result = (seen.counters[name] for name in names)
    side, streamed = claim.side, claim.task.k if claim.dataflow == Dataflow.OS else 8
    print(
        f"{claim.dataflow.name} {side} x {side}: last MAC {mac}, last result {result}; the release says {claim.release}"
    )
    assert total == result == 2 * side + side + streamed - 2
    if claim.dataflow == Dataflow.OS:
        assert mac == side + side + streamed - 2 == claim.release + 1
    else:
        assert total == claim.release + 1


# --- mistakes -----------------------------------------------------------------------------------------------------

CASES = ("short-stream", "many-folds-of-k", "outer", "numbered")
"""Corners that mistakes are looked for in, on small arrays, in each dataflow with overlap and without; and narrow
ports."""


class Mistake(NamedTuple):
    """`before`, which stands once in `source`, becomes `after`."""

    name: str
    source: str
    before: str
    after: str


MISTAKES = (
    Mistake("skew a cycle short", "skew.sv", "held[(i-1)*BITS+:BITS]", "held[(i>1?i-2:0)*BITS+:BITS]"),
    Mistake("an operand without sign", "stationary_element.sv", "$signed(operand)", "$signed({1'b0, operand})"),
    Mistake("invalid operands are multiplied", "stationary_element.sv", "(mac ? SUM_BITS'(product) : '0)",
            "SUM_BITS'(product)"),
    Mistake("a sum is not passed on", "stationary_element.sv", "sum <= sum_above +", "sum <= '0 & sum_above +"),
    Mistake("weights stay those of the fold before", "stationary_element.sv", "first ? chain : kept", "kept"),
    Mistake("shadow registers are worked with", "stationary_element.sv", "assign held = first ? chain : kept;",
            "assign held = chain;"),
    Mistake("accumulators are not cleared", "output_element.sv", "(first ? '0 : sum[SUM_BITS-1:0])",
            "sum[SUM_BITS-1:0]"),
    Mistake("valid bit of the result before is kept", "output_element.sv", "mac || (!first && sum[SUM_BITS])",
            "mac || sum[SUM_BITS]"),
    Mistake("the last product is forgotten", "output_element.sv", "if (last) chain <= next;",
            "if (last) chain <= sum;"),
    Mistake("a row of drain too few", "systolic_array.sv", "32'(fill_index) + r >= rows", "32'(fill_index) + r > rows"),
    Mistake("rows drain to the end", "systolic_array.sv", "draining && 32'(fill_index) + r >= rows", "draining"),
    Mistake("all rows take all weights", "systolic_array.sv", "loading && 32'(fill_index) + r < rows", "loading"),
    Mistake("the array is emptied a cycle longer", "sequencer.sv", "16'(SKEW) - 16'd1", "16'(SKEW)"),
    Mistake("the next fold comes a cycle early", "sequencer.sv", "steps == 16'(SKEW) - 16'd1",
            "steps == 16'(SKEW) - 16'd2"),
    Mistake("a stream does not wait for its weights", "sequencer.sv", "vector == '0 && !loaded", "1'b0"),
    Mistake("a stream does not wait for the drain", "sequencer.sv", "vector == vectors - 16'd1 && filling && !fill_end",
            "1'b0"),
    Mistake("a shift-in begins a cycle late", "sequencer.sv", "filling || (first && to_load)", "filling"),
    Mistake("a vector too few", "sequencer.sv", "assign stream_end = stream_tick && vector == vectors - 16'd1",
            "assign stream_end = stream_tick && vector + 16'd1 >= vectors - 16'd1"),
    Mistake("a row of a narrow port comes early", "sequencer.sv", "fill_wait + 16'd1 >= fill_interval",
            "fill_wait + 16'd2 >= fill_interval"),
    Mistake("folds of K are not added up", "column_end.sv", "sum + (opens ? '0 : so_far)", "sum"),
    Mistake("sums of the block before are added", "column_end.sv", "(opens ? '0 : so_far)", "so_far"),
    Mistake("results of a fold that is not the last leave", "column_end.sv", "slot && valid && closes;",
            "slot && valid;"),
    Mistake("results come out upside down", "drain_end.sv", "outer + 16'(ROWS) - 16'd1 - gone", "outer + gone"),
    Mistake("one fold too many", "fold_counter.sv", "{1'b0, inner} + 17'(INNER_STEP) >= {1'b0, inner_size}",
            "{1'b0, inner} + 17'(INNER_STEP) > {1'b0, inner_size}"),
)  # fmt: skip


def seeded(mistake: Mistake, folder: Path) -> CaseFile:
    """The case file on a copy of the circuit with this mistake in it."""
    folder.mkdir()
    for source in CIRCUIT.hdl.sources:
        text = source.read_text(encoding="utf-8")
        if source.name == mistake.source:
            assert text.count(mistake.before) == 1, mistake.name
            text = text.replace(mistake.before, mistake.after)
        (folder / source.name).write_text(text, encoding="utf-8")
    copies = tuple(folder / source.name for source in CIRCUIT.hdl.sources)

    class Mistaken(SystolicCircuit):
        hdl: ClassVar[Hdl] = dataclasses.replace(CIRCUIT.hdl, sources=copies)

    return dataclasses.replace(case_file(), circuit=Mistaken())


def shown_in() -> list[Case]:
    """Cases for mistakes to show in: corners and narrow ports on the smallest arrays of each kind."""
    kinds: dict[object, Case] = {}
    for case in sorted(case_file().cases, key=effort):
        sides = min(case.design.rows, case.design.columns)
        corner = case.name.startswith(CASES)
        if sides > 1 and (corner or not is_wide(case)):
            kinds.setdefault((case.design.dataflow, case.design.overlap, corner), case)
    least = [c for c in case_file().cases if min(c.design.rows, c.design.columns) > 1 and c.name[1:].isdigit()]
    for case in sorted(least, key=effort):
        many = folds.plan(case.design, case.task.product)
        if many.folds > 4 and many.vectors < case.design.rows:
            kinds.setdefault((case.design.dataflow, case.design.overlap, "short"), case)
    return list(kinds.values())


def given_away(verdict: Verdict, file: CaseFile) -> str:
    """What gives the circuit away in one case; "" if nothing does."""
    name = verdict.case.name
    if not verdict.agrees:
        return f"{name}: {disagreement(verdict) or 'an exact counter'}"
    return "" if verdict.within(file.tolerance) else f"{name}: cycles, {main_cause(verdict)}"


def caught_by(file: CaseFile, cases: Sequence[Case]) -> str:
    """What gives the circuit away, in the first of these cases in which anything does."""
    for case in cases:
        (verdict,) = compare(file, [case], "icarus", jobs=1, wanted=Wanted(explained=0))
        found = given_away(verdict, file)
        if found:
            return found
    return ""


def concerned(mistake: Mistake, cases: Sequence[Case]) -> list[Case]:
    """The cases whose dataflow has the source at all, those first that show most."""
    output = {"output_element.sv", "output_array.sv", "drain_end.sv"}
    held_back = {"stationary_element.sv", "stationary_array.sv", "column_end.sv"}
    return [case for case in cases if not (
        (mistake.source in output and case.design.dataflow != Dataflow.OS)
        or (mistake.source in held_back and case.design.dataflow == Dataflow.OS))]  # fmt: skip


def test_seeded_mistakes_are_caught(tmp_path: Path, deep: bool) -> None:
    """Every third one, and all when asked to look deep."""
    needs("icarus")
    cases = shown_in()
    assert caught_by(case_file(), cases[:4]) == ""
    mistakes = MISTAKES if deep else MISTAKES[::3]
    found = dict(
        in_parallel(lambda at: caught_by(seeded(mistakes[at], tmp_path / str(at)), concerned(mistakes[at], cases)),
                    range(len(mistakes)), min(2, os.cpu_count() or 1))
    )  # fmt: skip
    print(f"{sum(map(bool, found.values()))} of {len(mistakes)} mistakes of the circuit caught on {len(cases)} cases")
    for at, mistake in enumerate(mistakes):
        print(f"{mistake.name}: {found[at] or 'NOT CAUGHT'}")
    assert [mistake.name for at, mistake in enumerate(mistakes) if not found[at]] == []


# --- resources ----------------------------------------------------------------------------------------------------


def test_yosys_counts_what_the_table_says(deep: bool) -> None:
    """One array every day; those of 16 elements when asked to look deep."""
    pytest.importorskip("pyosys")
    table = {line["name"]: line for line in synthesis.read_table()}
    subjects = [s for s in synthesis.subjects() if s.rows * s.columns == 16]
    assert len(table) == len(list(synthesis.subjects()))
    for subject in subjects if deep else subjects[:1]:
        assert synthesis.row(CIRCUIT.hdl, subject) == table[subject.name]
    assert all(line["dsps"] == line["elements"] for line in table.values())


def test_the_shapes_of_the_builds_are_those_of_the_cases() -> None:
    assert {shape.family for shape in draw.SHAPES} == {case.family for case in case_file().cases}
