"""The SkyNet circuit: cases on both simulators, logs, a whole network, seeded mistakes, and what Yosys counts."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest

from hwsim.cosim.case import Case, CaseFile, read_cases
from hwsim.cosim.circuit import Hdl
from hwsim.cosim.compare import Verdict, Wanted, compare, in_order
from hwsim.cosim.golden import IDENTITY, MODEL, TOOLS, read_golden, rows_of
from hwsim.cosim.simulator import in_parallel, lint
from hwsim.cosim.toolchain import available, require
from hwsim.cosim.validation import Validation, disagreement, main_cause, markdown
from rtl_models.skynet import blocks
from rtl_models.skynet.bench import CIRCUIT, SkyNetCircuit
from rtl_models.skynet.data import Task, Values, What

QUICK = ("l8i4o8p2", "l4i2o4p1", "l4i4o2p2")
"""Families for every day: the released engine scaled to a quarter, with the whole network; and two small ones, the last
held out."""
ON_ICARUS = 2
"""Cases of each build, none of them longer than ICARUS_CYCLES."""
ICARUS_CYCLES = 20_000


@lru_cache(maxsize=1)
def case_file() -> CaseFile:
    return read_cases(CIRCUIT.cases, CIRCUIT)


@lru_cache(maxsize=1)
def golden() -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in read_golden(CIRCUIT)}


def needs(simulator: str) -> None:
    if simulator not in available():
        pytest.skip(f"{simulator} is not installed")


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


def shortest(each: int) -> list[Case]:
    """The shortest runs of each build."""
    families: dict[str, list[Case]] = {}
    cycles = {case.name: int(golden()[case.name]["rtl_total"]) for case in case_file().cases}
    for case in sorted(case_file().cases, key=lambda c: cycles[c.name]):
        if cycles[case.name] < ICARUS_CYCLES:
            families.setdefault(case.family, []).append(case)
    return [case for cases in families.values() for case in cases[:each]]


def test_cases_on_verilator(deep: bool) -> None:
    """Every layer and the whole network: maps, counts and cycles equal."""
    needs("verilator")
    cases = [case for case in case_file().cases if deep or case.family in QUICK]
    verdicts = held(cases, "verilator", Wanted(explained=0))
    networks = [v for v in verdicts if v.case.task.what == What.NETWORK]
    assert networks and all(v.agrees for v in networks)
    print(f"{len(networks)} whole networks of {networks[0].cycles:,} cycles equal to `fixed.run` to the bit")
    if deep:
        fresh = Validation(case_file(), tuple(verdicts), "verilator", require("verilator").versions)
        page = CIRCUIT.cases.parents[2] / "docs" / "validation.md"
        assert markdown([fresh]).partition("\n## ")[2] in page.read_text(encoding="utf-8")


def test_cases_of_each_build_on_icarus_and_their_logs() -> None:
    """The log of the circuit is that of README.md's rules, event by event."""
    needs("icarus")
    verdicts = held(shortest(ON_ICARUS), "icarus", Wanted(trace=True))
    events = sum(len(v.events[1]) for v in verdicts if v.events)
    print(f"{len(verdicts)} logs, {events:,} events")
    assert all(v.events and v.events[1] and v.first_event is None for v in verdicts)


def test_logs_of_long_runs() -> None:
    """Many tiles, overlap and all layers of a network, where starts depend on all that went before."""
    needs("verilator")
    cases = [c for c in case_file().cases if c.family == QUICK[0] and int(golden()[c.name]["rtl_total"]) > 20_000]
    verdicts = held(cases, "verilator", Wanted(trace=True))
    print(f"{len(verdicts)} logs, {sum(len(v.events[1]) for v in verdicts if v.events):,} events")
    assert len(verdicts) >= 10
    assert all(v.first_event is None for v in verdicts)


def test_lint_is_clean() -> None:
    needs("verilator")
    by_build = {tuple(c.parameters(CIRCUIT).values()): c for c in case_file().cases}
    for case in by_build.values():
        assert lint(CIRCUIT.hdl, case.parameters(CIRCUIT)) == [], case.family
    print(f"{len(by_build)} builds without a warning")


# --- mistakes -----------------------------------------------------------------------------------------------------

CASES = (
    "last-word-l8i4o8p2", "s054", "s234", "waiting-layers-l8i8o4p1", "border-l4i2o4p1", "odd-pool-l4i4o2p2",
    "all-saturate-l8i8o4p1", "s188", "odd-pooled-l8i2o8p4",
)  # fmt: skip
"""Short ones, those that show most first: ports of one cycle a word and slower, bundles from image and map, reorder,
tiles that hang over, several groups, loads under work, formats in which ReLU6 clips at 6."""


class Mistake(NamedTuple):
    """`before`, which stands once in `source`, becomes `after`."""

    name: str
    source: str
    before: str
    after: str


MISTAKES = (
    Mistake("halves are rounded down", "round_saturate.sv", "(BITS'(1) << (RIGHT > 0 ? RIGHT - 1 : 0)) : '0",
            "(BITS'(1) << (RIGHT > 0 ? RIGHT - 1 : 0)) - BITS'(1) : '0"),
    Mistake("negative results saturate one off", "round_saturate.sv",
            "OUT_BITS'(-MOST - BITS'(1))", "OUT_BITS'(-MOST)"),
    Mistake("ReLU6 does not clip at 6", "relu6.sv", "WIDE'(in) > SIX ? BITS'(SIX) : in", "in"),
    Mistake("bundles keep negative results", "depthwise.sv", "tail ? clipped : after", "tail ? partial : after"),
    Mistake("a depthwise operand without sign", "depthwise.sv", "$signed(operands[k*feature_bits+:feature_bits])",
            "$signed({1'b0, operands[k*feature_bits+:feature_bits]})"),
    Mistake("a tree forgets its last input", "pointwise.sv", "k < inputs_per_cycle; k++) total",
            "k < inputs_per_cycle - 1; k++) total"),
    Mistake("the head is clipped too", "outlet.sv", ".enable(relu)", ".enable(1'b1)"),
    Mistake("the last word is the next command's", "engine.sv",
            ".from_features(depthwise_1)", ".from_features(depthwise)"),
    Mistake("the image leaves other lanes as they were", "engine.sv",
            "write_tile || (write_image && channel == '0) ? '1 :", "write_tile ? '1 :"),
    Mistake("weights are transposed", "engine.sv", "copy_index / 16'(outputs_per_cycle)",
            "copy_index % 16'(inputs_per_cycle)"),
    Mistake("taps are transposed", "engine_control.sv",
            "tap_y * (tile_width + 32'd2) + tap_x", "tap_x * (tile_width + 32'd2) + tap_y"),
    Mistake("a cycle of pipeline too many", "engine_control.sv", "DRAIN_CYCLES = 4", "DRAIN_CYCLES = 5"),
    Mistake("a cycle of bias too many", "engine_control.sv", "pixel + 32'd2 >= pixels", "pixel + 32'd2 > pixels"),
    Mistake("a pooled word takes a cycle on a fast port", "engine_control.sv",
            "beat_cycles < 16'd2 ? 16'd2 : beat_cycles", "beat_cycles"),
    Mistake("the border is stored", "engine_control.sv", "in_frame && own", "in_frame"),
    Mistake("pooled pixels outside the frame are stored", "engine_control.sv",
            "map_y < pool_height && map_x < pool_width", "1'b1"),
    Mistake("the smallest of four", "outlet.sv", "pooled && second > first", "pooled && second < first"),
    Mistake("the upper two of four are forgotten", "outlet.sv", "pooled && kept > clipped", "1'b0 && kept > clipped"),
    Mistake("both loads of a layer go to one slot", "walker.sv", "descriptor[FLAGS*32+OVERLAP] && !slot", "1'b0"),
    Mistake("sub-positions exchanged", "loader.sv", "2 * pixel_y + 32'(part[1])", "2 * pixel_y + 32'(part[0])"),
    Mistake("a bias with every block", "loader.sv", "16'(lanes) + 16'(first_group);", "16'(lanes) + 16'd1;"),
    Mistake("the border is not zero", "loader.sv", "write_zero <= absent;", "write_zero <= 1'b0;"),
    Mistake("loads do not wait for the layer before", "skynet.sv", "waits = load_opens ||", "waits = "),
    Mistake("a load runs further ahead than two slots", "skynet.sv", "worked + 32'd2", "worked + 32'd3"),
    Mistake("loads are ready a cycle early", "skynet.sv", "ready_at[load_command[0]] <= cycle + 48'd1 + 48'(latency)",
            "ready_at[load_command[0]] <= cycle + 48'(latency)"),
    Mistake("stall counted as drain", "counters.sv", "else if (last_store)", "else if (!last_store)"),
    Mistake("results read without count", "engine.sv",
            "+ (tap_1 || tail_1 ? 16'(lanes) : '0);", "+ (tap_1 ? 16'(lanes) : '0);"),
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

    class Mistaken(SkyNetCircuit):
        hdl: ClassVar[Hdl] = dataclasses.replace(CIRCUIT.hdl, sources=copies)

    return dataclasses.replace(case_file(), circuit=Mistaken())


def given_away(verdict: Verdict, file: CaseFile) -> str:
    """What gives the circuit away in one case; "" if nothing does."""
    name = verdict.case.name
    if not verdict.agrees:
        return f"{name}: {disagreement(verdict) or 'an exact counter'}"
    if not verdict.within(file.tolerance):
        return f"{name}: cycles, {main_cause(verdict)}"
    return f"{name}: the log" if verdict.first_event else ""


def caught_by(file: CaseFile, cases: Sequence[Case]) -> str:
    """What gives the circuit away, in the first of these cases in which anything does."""
    for case in cases:
        (verdict,) = compare(file, [case], "icarus", jobs=1, wanted=Wanted(trace=True, explained=0))
        found = given_away(verdict, file)
        if found:
            return found
    return ""


def test_every_seeded_mistake_is_caught(tmp_path: Path) -> None:
    needs("icarus")
    cases = [case_file().selected((name,))[0] for name in CASES]
    assert caught_by(case_file(), cases) == ""
    folders = [tmp_path / str(at) for at in range(len(MISTAKES))]
    found = dict(
        in_parallel(lambda at: caught_by(seeded(MISTAKES[at], folders[at]), cases), range(len(MISTAKES)),
                    min(2, os.cpu_count() or 1))
    )  # fmt: skip
    print(f"{sum(map(bool, found.values()))} of {len(MISTAKES)} mistakes of the circuit caught on {len(cases)} cases")
    for at, mistake in enumerate(MISTAKES):
        print(f"{mistake.name}: {found[at] or 'NOT CAUGHT'}")
    assert [mistake.name for at, mistake in enumerate(MISTAKES) if not found[at]] == []


# --- the last pooled word -----------------------------------------------------------------------------------------

FLAG = Mistake("the last pooled word is clipped as the next layer is", "engine.sv", ".relu(relu_1)", ".relu(relu)")
"""A word leaves a cycle after it was read, when the next layer's flag may stand already. Stored whole maps end on their
border, which is not written, so that only a pooled word shows it, and only where the layers differ in ReLU6: SkyNet has
no such two, and no drawn case."""


def pair() -> Case:
    """A pooled layer whose results stay as they are, before one that clips. (The other way the flag cannot show: a
    pooled word is the largest of the two pixels read before, clipped by then, and of the last two.)"""
    like = case_file().selected(("last-word-l8i4o8p2",))[0]
    task = Task(What.PAIR, 4, 4, channels=5, outputs=8, tile_rows=4, tile_columns=4, overlap=True, relu=False,
                stored=False, pooled=True, values=Values.ANY)  # fmt: skip
    return dataclasses.replace(like, name="pair", task=task, seed=3)


def test_the_last_pooled_word_is_clipped_as_its_own_layer_is(tmp_path: Path) -> None:
    needs("icarus")
    assert caught_by(case_file(), [pair()]) == ""
    found = caught_by(seeded(FLAG, tmp_path / "flag"), [pair()])
    print(f"with the flag of the next layer, {found}")
    assert found.startswith("pair: results[3]")  # the last of four pooled words


# --- resources ----------------------------------------------------------------------------------------------------


def test_yosys_counts_what_the_table_says(deep: bool) -> None:
    """One block of each kind every day, all of a small size when asked to look deep."""
    pytest.importorskip("pyosys")
    table = {line["name"]: line for line in blocks.read_table()}
    quick = [subject for subject in blocks.subjects() if subject.quick]
    first = {subject.block: subject for subject in reversed(quick)}
    chosen = quick if deep else list(first.values())
    for _, row in in_parallel(lambda subject: blocks.row(CIRCUIT.hdl, subject), chosen, 2):
        assert row == table[row["name"]]
    print(f"{len(chosen)} of {len(table)} blocks synthesized again")
