"""Case files and what follows from them without a simulator: messages, schema, the model's cycles, golden figures."""

from __future__ import annotations

import math
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cosim_circuits
import jsonschema
import pytest
from cosim_circuits import ACCUMULATOR
from hypothesis import given
from hypothesis import strategies as st
from mutate import Mutator
from test_bad_files import assert_placed, strict_yaml

from hwsim.cosim import golden
from hwsim.cosim.case import CaseFile, Tolerance, read_cases
from hwsim.cosim.circuit import Event, Image, Stimulus, circuit_names, load_circuit
from hwsim.cosim.compare import (
    Verdict,
    crc32_of,
    first_difference,
    first_event_difference,
    percentile,
    question,
    spread,
)
from hwsim.cosim.model_side import Cycles, modelled
from hwsim.cosim.schema import case_schema
from hwsim.cosim.simulator import Observation
from hwsim.cosim.validation import Validation, markdown
from hwsim.errors import InputError

MUTANTS = 10_000 if os.environ.get("HWSIM_DEEP") == "1" else 600

GOOD = f"""circuit: accumulator
design: {ACCUMULATOR / "accumulator_design.yaml"}
tolerance: {{mape: 1 %, p95: 2.5%, worst: 8 %, reason: "for a test"}}
held_out: [n3]
cases:
  - {{name: a, family: n2, task: {{words: 20}}, seed: 1}}
  - {{name: b, family: n3, design: {{lanes: 3, clock: 250 MHz}}, task: {{words: 9, group: 2, knob: slow}}, seed: 2}}
"""

A = "{name: a, family: n2, task: {words: 20}, seed: 1}"
BAD = {
    "circuit: accumulator\n": ("", "1:1: [missing-key] circuit: got nothing"),
    "circuit: accumulator": ("circuit: accumulater", "1:10: [unknown-circuit] circuit: got 'accumulater'; no installed "
                             "circuit has this name. Did you mean accumulator?"),
    "circuit": ("circuits", "1:1: [unknown-key] circuits: got 'circuits'; a case file has no such key. Did you mean "
                "circuit?"),
    "circuit: acc": ("circuit: [acc]  #", "1:10: [type] circuit: got a list of 1; a text is needed here"),
    "accumulator_design.yaml": ("no_design.yaml", "2:9: [missing-file] design: got"),
    "held_out: [n3]": ("held_out: [n4]", "4:12: [unknown-family] held_out[0]: got 'n4'; no case is of this family"),
    "[n3]": ("[n3, n3]", "4:16: [duplicate] held_out[1]: got 'n3'; this family stands here already. Keep one."),
    "held_out: [n": ("held_out: [7, n", "4:12: [type] held_out[0]: got 7; the name of a family is needed here"),
    "held_out: ": ("held_out: {} #", "4:11: [type] held_out: got a mapping; held_out is a list"),
    "mape: 1 %": ("mape: 1", "3:19: [type] tolerance.mape: got 1; must be a percentage from 0 % to 100 %. For example "
                  "1.5 %."),
    "mape: 1": ("mape: 101", "3:19: [type] tolerance.mape: got '101 %'; must be a percentage"),
    "mape": ("mean", "3:13: [unknown-key] tolerance.mean: got 'mean'; a tolerance has no such key"),
    "p95: 2.5%, ": ("", "3:12: [missing-key] tolerance.p95: got nothing; a tolerance needs the key p95"),
    'reason: "for a test"': ("reason: 3", "[type] tolerance.reason: got 3; a text is needed here"),
    ', reason: "for a test"': ("", "[missing-key] tolerance.reason: got nothing"),
    "tolerance: {": ("tolerance: 3 # {", "3:12: [type] tolerance: got 3; a tolerance is a mapping"),
    "{name: a,": ("{name: b,", "7:12: [duplicate] cases[1].name: got 'b'; the case at line 6 has this name. Rename "
                  "one."),
    "name: a": ("name: a/b", "6:12: [type] cases[0].name: got 'a/b'; must be a name of letters"),
    "name: a,": ("", "6:5: [missing-key] cases[0].name: got nothing; a case needs the key name"),
    "family: n2": ("family: 2", "6:23: [type] cases[0].family: got 2; must be a name"),
    "seed: 1": ("seed: -1", "6:52: [range] cases[0].seed: got -1; must be an integer from 0 to 4294967295"),
    "seed: 2": ("seed: 2.5", "[type] cases[1].seed: got 2.5; must be an integer from 0 to 4294967295"),
    ", seed: 1": ("", "6:5: [missing-key] cases[0].seed: got nothing; a case needs the key seed"),
    ", task: {words: 20}": ("", "6:5: [missing-key] cases[0].task: got nothing; a case needs the key task"),
    "{words: 20}": ("{words: 0}", "6:41: [range] cases[0].task.words: got 0; must be an integer from 1 to 60000."),
    "words: 20": ("words: 20.5", "6:41: [type] cases[0].task.words: got 20.5; must be an integer from 1 to 60000."),
    "words: 9": ("word: 9", "[unknown-key] cases[1].task.word: got 'word'; a task has no such key. Did you mean "
                 "words?"),
    "task: {words: 9, ": ("task: {", "[missing-key] cases[1].task.words: got nothing; a task needs the key words "
                          "(words to add). Write words: 1."),
    "group: 2": ("group: 10", "[rule] cases[1].task.group: got 10; must not exceed the words"),
    "knob: slow": ("knob: slew", "[choice] cases[1].task.knob: got 'slew'; must be one of none, wrong_word"),
    "task: {words: 20}": ("task: 3", "6:33: [type] cases[0].task: got 3; a task is a mapping"),
    "lanes: 3": ("lanes: 17", "[range] cases[1].design.lanes: got 17; must be an integer from 1 to 16."),
    "lanes: 3, ": ("lane: 3, ", "[unknown-key] cases[1].design.lane: got 'lane'; the design has no such key. Did you "
                   "mean lanes?"),
    "250 MHz": ("250", "[unit] cases[1].design.clock: got 250; a unit is needed here"),
    "clock: 250 MHz": ("clock_khz: 250", "[unknown-key] cases[1].design.clock_khz: got 'clock_khz'; keys drop the unit "
                       "suffix. Write clock: 250 kHz."),
    "clock: ": ("signed: true, clock: ", "[not-built] cases[1].design.signed: got true; the circuit accumulator is "
                "built for False alone"),
    "3, clock": ("16, gap: 101, clock", "[rule] cases[1].design.gap: got 101; must be at most 100 where there are 16 "
                 "lanes"),
    "clock: 250": ("dram: ddr9, clock: 250", "[unknown-dram] cases[1].design.dram: got 'ddr9'; no dram has this name"),
    "design: {lanes: 3, clock: 250 MHz}": ("design: []", "[type] cases[1].design: got a list of 0; the design is a "
                                           "mapping"),
    "  - {name: a": ("  - 7\n  - {name: a", "6:5: [type] cases[0]: got 7; a case is a mapping"),
    f"cases:\n  - {A}": ("cases: []\nx:\n  - 3", "[range] cases: got a list of 0; a case file has 1 to 10000 cases"),
    "cases:\n": ("cases: {}\nx:\n", "[type] cases: got a mapping; cases is a list"),
    "seed: 1}": ("seed: 1, sed: 2}", "[unknown-key] cases[0].sed: got 'sed'; a case has no such key. Did you mean "
                 "seed?"),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def circuits() -> Iterator[None]:
    yield from cosim_circuits.installed()


def written(folder: Path, text: str) -> Path:
    file = folder / "cases.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def good(tmp_path: Path) -> CaseFile:
    return read_cases(written(tmp_path, GOOD))


# --- reading ----------------------------------------------------------------------------------------------------


def test_a_file_says_what_is_run(good: CaseFile) -> None:
    a, b = good.cases
    assert (a.name, a.family, a.seed, a.held_out) == ("a", "n2", 1, False)
    assert (b.name, b.family, b.seed, b.held_out) == ("b", "n3", 2, True)
    assert (a.design.lanes, a.design.clock_khz) == (2, 100_000)
    assert (b.design.lanes, b.design.clock_khz) == (3, 250_000)
    assert (a.task.words, a.task.group, b.task.group) == (20, 6, 2)
    assert b.task.knob.name == "SLOW"
    assert b.parameters(good.circuit) == {"lanes": 3}
    assert good.tolerance == Tolerance(0.01, 0.025, 0.08, "for a test")
    assert (a.where.line, b.where.line) == (6, 7)


def test_cases_are_selected_by_name_and_family(good: CaseFile) -> None:
    assert [c.name for c in good.selected()] == ["a", "b"]
    assert [c.name for c in good.selected(["b"])] == ["b"]
    assert [c.name for c in good.selected([], ["n2"])] == ["a"]
    with pytest.raises(InputError, match=r"--case: got 'c'; no case has this name\. Known: a, b"):
        good.selected(["c"])
    with pytest.raises(InputError, match="--family: got 'n9'; no case has this family"):
        good.selected([], ["n9"])


@pytest.mark.parametrize("old", BAD)
def test_a_bad_case_file_says_what_is_wrong(old: str, tmp_path: Path) -> None:
    assert old in GOOD
    new, message = BAD[old]
    with pytest.raises(InputError) as caught:
        read_cases(written(tmp_path, GOOD.replace(old, new, 1)))
    assert_placed(caught.value.problems)
    texts = [str(p) for p in caught.value.problems]
    assert any(message in text for text in texts), texts


def test_there_are_enough_bad_files() -> None:
    print(f"{len(BAD)} curated bad case files")
    assert len(BAD) >= 40


def test_cases_of_another_circuit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1:10: \[conflict\] circuit: got 'accumulator'; these are to be cases of "
                                         r"optimus. Write circuit: optimus."):  # fmt: skip
        read_cases(written(tmp_path, GOOD), load_circuit("optimus"))


def test_a_design_of_another_model_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace(str(ACCUMULATOR / "accumulator_design.yaml"), "cpu-server")
    with pytest.raises(InputError, match=r"2:9: \[(conflict|unknown-design)\] design: got"):
        read_cases(written(tmp_path, text))


def test_parts_are_found_beside_the_file_that_names_them(tmp_path: Path) -> None:
    from hwsim.table import TABLES

    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "dram.yaml").write_text((TABLES / "dram.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    text = GOOD.replace("lanes: 3", "lanes: 3, dram: dram.yaml#hbm2")
    file = read_cases(written(tmp_path / "cases", text))
    assert file.cases[0].parts.dram != file.cases[1].parts.dram


def test_no_mutant_crashes_or_slips_through(tmp_path: Path) -> None:
    rng = random.Random(4)
    validator = jsonschema.Draft202012Validator(case_schema(load_circuit("accumulator")))
    mutator = Mutator(GOOD, is_json=False)
    accepted, codes = 0, Counter[str]()
    for _ in range(MUTANTS):
        mutant = mutator.mutant(rng)
        file = tmp_path / "mutant.yaml"
        file.write_bytes(mutant.raw)
        try:
            read = read_cases(file)
        except InputError as bad:
            codes.update({p.code for p in bad.problems})
            assert_placed(bad.problems)
            continue
        except Exception as crash:
            raise AssertionError(f"{mutant.changes}: {mutant.raw!r}") from crash
        accepted += 1
        data = strict_yaml(mutant.raw)
        assert not [e.message for e in validator.iter_errors(data)], mutant.raw
        assert [c.name for c in read.cases] == [c["name"] for c in data["cases"]]
        assert [c.task.words for c in read.cases] == [c["task"]["words"] for c in data["cases"]]
    print(f"{MUTANTS} mutants of a good case file: {accepted} accepted, the rest refused with {len(codes)} codes")
    assert 10 < accepted < MUTANTS / 2
    assert len(codes) > 15


def test_the_schema_takes_every_shipped_case_file() -> None:
    for name in circuit_names():
        circuit = load_circuit(name)
        schema = case_schema(circuit)
        jsonschema.Draft202012Validator.check_schema(schema)
        errors = list(jsonschema.Draft202012Validator(schema).iter_errors(strict_yaml(circuit.cases.read_bytes())))
        assert not errors, errors[0]


def test_check_and_list_know_cases_and_circuits(tmp_path: Path) -> None:
    def said(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run([sys.executable, "-m", "hwsim", *arguments], check=False, capture_output=True, text=True,
                              timeout=120, cwd=tmp_path)  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    written(tmp_path, GOOD)
    assert said("check", "cases.yaml") == (0, "cases.yaml: a valid file of 2 cases of accumulator\n", "")
    written(tmp_path, GOOD.replace("words: 20", "words: 0"))
    code, out, err = said("check", "cases.yaml")
    assert (code, out) == (2, "")
    assert err == ("error: cases.yaml:6:41: [range] cases[0].task.words: got 0; must be an integer from 1 to 60000.\n")
    assert re.search(r"^circuits: accumulator, .*\boptimus\b", said("list")[1], re.MULTILINE)
    code, _, err = said("cosim", "accumulater")
    assert (code, err.partition(";")[0]) == (2, "error: [unknown-circuit] got 'accumulater'")


# --- the model's side -------------------------------------------------------------------------------------------


@given(words=st.integers(1, 300), group=st.integers(1, 40), lanes=st.integers(1, 15), fill=st.integers(0, 9),
       gap=st.integers(0, 9))  # fmt: skip
def test_cycles_by_cause_are_those_of_the_formula(words: int, group: int, lanes: int, fill: int, gap: int) -> None:
    """fill + gap * (groups - 1) + ceil(words / lanes) + 3, each under its cause."""
    group = min(group, words)
    edited = f"design: {{lanes: {lanes}, fill: {fill}, gap: {gap}}}, task: {{words: {words}, group: {group}}}"
    case = _case(edited)
    steps = math.ceil(words / lanes)
    groups = math.ceil(steps / math.ceil(group / lanes))
    answer = modelled(load_circuit("accumulator"), case)
    expected = (fill, steps, gap * (groups - 1), 3)
    assert answer.cycles == (sum(expected), *expected)
    assert answer.counts == {"additions": words}


def _case(edited: str) -> Any:
    from hwsim.cosim.case import _Reader
    from hwsim.document import parse_yaml

    text = GOOD.replace("task: {words: 20}", edited)
    return _Reader(parse_yaml(text), Path("cases.yaml")).file(None).cases[0]


def test_a_case_the_bench_refuses_says_which(tmp_path: Path) -> None:
    file = read_cases(written(tmp_path, GOOD.replace("words: 20", "words: 5000")))
    with pytest.raises(InputError, match=r"cases.yaml:6:5: \[memory\] a: task.words: got 5000; the memory holds 4096"):
        question(file.circuit, file.cases[0])


# --- comparing --------------------------------------------------------------------------------------------------


def test_the_first_word_that_differs() -> None:
    stimulus = Stimulus({}, {}, {"x": Image(8, [1, 2, 3]), "y": Image(8, [4])})

    def seen(x: list[int | None], y: list[int | None]) -> Observation:
        return Observation({}, {"x": x, "y": y}, (), 0, False, 0.0)

    assert first_difference(stimulus, seen([1, 2, 3], [4])) is None
    assert first_difference(stimulus, seen([1, 5, 6], [4])) == ("x", 1, 2, 5)
    assert first_difference(stimulus, seen([1, 2, None], [4])) == ("x", 2, 3, None)
    assert first_difference(stimulus, seen([1, 2, 3], [0])) == ("y", 0, 4, 0)


def test_the_first_event_that_differs() -> None:
    events = [Event(i, "take", (i,)) for i in range(8)]
    assert first_event_difference(events, list(events)) is None
    for at in range(8):
        for wrong in (Event(at + 1, "take", (at,)), Event(at, "tale", (at,)), Event(at, "take", (at, 1))):
            other = [*events[:at], wrong, *events[at + 1 :]]
            before = tuple(events[max(0, at - 3) : at])
            assert first_event_difference(events, other) == (at, events[at], wrong, before)
    assert first_event_difference(events[:6], events) == (6, None, events[6], tuple(events[3:6]))
    assert first_event_difference(events, []) == (0, events[0], None, ())


def test_equal_outputs_have_one_checksum() -> None:
    assert crc32_of({"a": [1, 2], "b": [3]}) == crc32_of({"b": [3], "a": [1, 2]})
    texts = [{"a": [1, 2]}, {"a": [2, 1]}, {"a": [12]}, {"b": [1, 2]}, {"a": [1, None]}, {"a": [1, 0]}]
    assert len({crc32_of(t) for t in texts}) == len(texts)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_the_spread_is_numpys(errors: list[float]) -> None:
    import numpy as np

    held = spread([Verdict(None, Cycles(0, 0, 0, 0, 0), error=e) for e in errors])  # type: ignore[arg-type]
    sizes = np.abs(errors)
    assert held.bias == pytest.approx(np.mean(errors))
    assert held.mape == pytest.approx(np.mean(sizes))
    assert held.median == pytest.approx(np.median(sizes))
    assert held.p95 == pytest.approx(np.percentile(sizes, 95))
    assert held.worst == sizes.max()
    assert percentile(sorted(sizes), 1.0) == sizes.max()


def agreed(file: CaseFile, errors: dict[str, float]) -> list[Verdict]:
    """Verdicts that agree on all but the totals."""
    cycles = Cycles(100, 0, 100, 0, 0)
    return [Verdict(c, cycles._replace(total=100 * (1 + errors[c.name])), cycles, errors[c.name], True, {}, {})
            for c in file.cases]  # fmt: skip


@pytest.mark.parametrize(("errors", "holds"), [((0.01, -0.01), True), ((0.0, 0.03), False), ((0.0, -0.0199), True),
                                              ((0.09, 0.0), False)])  # fmt: skip
def test_the_tolerance_is_held_by_mean_percentile_and_worst(
    good: CaseFile, errors: tuple[float, float], holds: bool
) -> None:
    verdicts = agreed(good, dict(zip("ab", errors, strict=True)))
    assert spread(verdicts).holds(good.tolerance) is holds
    assert spread(verdicts).holds(good.tolerance, whole=False) is (max(map(abs, errors)) <= 0.08)


def test_no_case_may_disagree(good: CaseFile) -> None:
    from dataclasses import replace

    first, second = agreed(good, {"a": 0.0, "b": 0.0})
    assert spread([first, second]).holds(good.tolerance)
    for wrong in ({"outputs_match": False}, {"timed_out": True}, {"failure": "it crashed"}, {"rtl": None},
                  {"error": None}, {"counts": {"n": (1, 2)}}, {"exact": {"n": (1, None)}}):  # fmt: skip
        assert not spread([first, replace(second, **wrong)]).holds(good.tolerance), wrong


def test_the_page_drops_no_case(good: CaseFile) -> None:
    first, second = agreed(good, {"a": 0.005, "b": -0.02})
    failed = Verdict(second.case, second.model, failure="verilator died of signal 11 in run 0 of 1\nits log")
    text = markdown([Validation(good, (first, failed), "verilator", {"verilator": "5.48"})])
    assert "| all | 2 | 1 | 0.500% |" in text
    assert "- b: failed: verilator died of signal 11 in run 0 of 1\n" in text
    assert "on 1 of 2 cases. **The tolerance does not hold.**" in text
    text = markdown([Validation(good, (first, second), "verilator", {"verilator": "5.48"})])
    assert text.index("| b | n3 (held out) | -2.000% |") < text.index("| a | n2 | 0.500% |")


# --- golden figures ---------------------------------------------------------------------------------------------


def test_the_model_is_held_to_golden_figures() -> None:
    assert golden.check_model("accumulator") == []


@pytest.fixture
def copied(tmp_path: Path) -> Any:
    """The accumulator with cases and golden figures of its own."""
    for name in ("cases.yaml", "golden.csv", "accumulator_design.yaml"):
        (tmp_path / name).write_bytes((ACCUMULATOR / name).read_bytes())
    kind = type(load_circuit("accumulator"))
    return type("Copied", (kind,), {"cases": tmp_path / "cases.yaml"})()


@pytest.mark.parametrize(("column", "value", "said"), [
    ("model_total", "27", "plain: model_total is 26, and 27 in golden.csv"),
    ("model_stall", "8", "plain: model_stall is 9, and 8 in golden.csv"),
    ("family", "n9", "plain: family is n2, and n9 in golden.csv"),
    ("held_out", "true", "plain: held_out is false, and true in golden.csv"),
    ("count_additions", "21", "plain: count_additions is 20, and 21 in golden.csv"),
    ("exact_cycles_compute", "11", "plain: exact_cycles_compute is 10, and 11 in golden.csv"),
    ("outputs_crc32", "00000000", "plain: outputs_crc32 is 46bf7128, and 00000000 in golden.csv"),
    ("rtl_total", "25", "worst is 4.0000%, and 0.0000% is allowed"),
    ("name", "plane", "plain: not in golden.csv"),
])  # fmt: skip
def test_a_golden_figure_that_no_longer_holds_is_named(copied: Any, column: str, value: str, said: str) -> None:
    rows = golden.read_golden(copied)
    rows[0][column] = value
    golden.golden_path(copied).write_text(golden.csv_text(rows), encoding="utf-8")
    assert said in golden.check_model(copied)


def test_golden_figures_read_back_the_same(copied: Any) -> None:
    text = golden.golden_path(copied).read_text(encoding="utf-8")
    assert golden.csv_text(golden.read_golden(copied)) == text


def test_missing_golden_figures_say_how_to_write_them(copied: Any) -> None:
    golden.golden_path(copied).unlink()
    with pytest.raises(InputError, match=r"Write them with: hwsim cosim accumulator --golden\."):
        golden.check_model(copied)
