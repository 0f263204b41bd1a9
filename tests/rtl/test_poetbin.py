"""The PoET-BiN circuit: every case on both simulators, seeded mistakes, arg-max, pauses, and what Yosys counts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hwsim.cosim.case import Case, CaseFile, hdl_of, read_cases
from hwsim.cosim.circuit import Generated, Hdl, Stimulus
from hwsim.cosim.compare import Wanted, compare, in_order
from hwsim.cosim.golden import IDENTITY, MODEL, TOOLS, read_golden, rows_of
from hwsim.cosim.simulator import Observation, build, in_parallel, lint, run
from hwsim.cosim.tables import mapped
from hwsim.cosim.toolchain import SIMULATORS, available, require
from hwsim.cosim.validation import Validation, markdown
from hwsim.errors import InputError
from hwsim.netlist.mapping import estimate
from hwsim.netlist.netlist import Lut, Netlist
from hwsim.netlist.statistics import lut6_cost
from hwsim.netlist.verilog import Style, verilog
from rtl_models.poetbin import generate, networks, synthesis
from rtl_models.poetbin.bench import CIRCUIT, registers, stimulus_of
from rtl_models.poetbin.generate import COUNTS, CYCLES, LATENCIES, Block
from rtl_models.poetbin.networks import threshold_table

LARGE = "trained-large"
"""Networks of thousands of tables, whose builds take minutes."""
COUNTERS = (*CYCLES, *COUNTS, *LATENCIES)


def needs(simulator: str) -> None:
    if simulator not in available():
        pytest.skip(f"{simulator} is not installed")


@lru_cache(maxsize=1)
def case_file() -> CaseFile:
    return read_cases(CIRCUIT.cases, CIRCUIT)


def chosen(deep: bool) -> list[Case]:
    return [case for case in case_file().cases if deep or case.family != LARGE]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_every_case(simulator: str, deep: bool) -> None:
    """Outputs, toggles of every table, latencies and cycles equal those of `evaluate`, `toggles` and the model; what
    the circuit did is what golden.csv says, and its log is the model's."""
    needs(simulator)
    golden = {row["name"]: row for row in read_golden(CIRCUIT)}
    cases = chosen(deep)
    verdicts = in_order(cases, compare(case_file(), cases, simulator, jobs=2, wanted=Wanted(explained=0)))
    assert [v.case.name for v in verdicts if not v.within(case_file().tolerance)] == []
    for row in rows_of(CIRCUIT, verdicts, simulator):
        of_circuit = {k: v for k, v in row.items() if k not in (*IDENTITY, *MODEL, *TOOLS, "error")}
        assert of_circuit == {k: golden[row["name"]][k] for k in of_circuit}, row["name"]
    cycles, vectors = sum(v.cycles for v in verdicts), sum(v.case.task.vectors for v in verdicts)
    print(f"{simulator}: {len(verdicts)} networks, {vectors:,} vectors, {cycles:,} cycles")
    assert len(verdicts) >= 50 and vectors >= 10_000
    if simulator == "verilator" and len(cases) == len(case_file().cases):
        fresh = Validation(case_file(), tuple(verdicts), simulator, require(simulator).versions)
        page = CIRCUIT.cases.parents[2] / "docs" / "validation.md"
        assert markdown([fresh]).partition("\n## ")[2] in page.read_text(encoding="utf-8")


def test_the_circuit_logs_the_events_of_the_model() -> None:
    needs("icarus")
    cases = [case for case in chosen(False) if case.task.number < 4 and not case.task.network.trained]
    assert len(cases) == 4  # of each port, with registers inside and without
    for verdict in compare(case_file(), cases, "icarus", wanted=Wanted(trace=True)):
        assert verdict.events and verdict.events[1] and verdict.first_event is None, verdict.case.name


def test_lint_is_clean() -> None:
    needs("verilator")
    assert lint(hdl_of(CIRCUIT, chosen(False)[:16]), {}) == []


# --- small blocks -------------------------------------------------------------------------------------------------


def small_blocks() -> list[Block]:
    """Networks in which every mistake below shows: both styles, both ports, several registers inside, ties of scores
    and of thresholds."""
    rng = np.random.default_rng(12)
    tie = Netlist(8, (Lut((0, 1, 2, 3), threshold_table(np.ones(4))), *(Lut((i, i + 1), 6) for i in range(4))),
                  (8, 9, 10, 11, 12, 8, 9, 10))  # fmt: skip
    deep = networks.graph(rng, 12, 5, 12, 5, 12)
    wide = networks.graph(rng, 16, 8, 12, 2, 6)
    return [
        Block(tie, 4, 2, 0, True),
        Block(deep, 6, 2, 5, True, 0),
        Block(deep, 3, 4, 0, True, 1),
        Block(wide, 4, 3, 3, False, 0, Style.LUT6),
        Block(wide, 12, 1, 16, True, 1),
    ]


def drive(block: Block, vectors: np.ndarray, idle: int = 0) -> Stimulus:
    """A run whose latencies and counts are those of the page."""
    stages, last = block.inside, int(block.argmax)
    exact = {"settle_min": stages + 2, "settle_max": stages + 2, "count_vectors": len(vectors),
             "count_beats": len(vectors) * block.beats}  # fmt: skip
    if not idle:
        late = block.latency_scores
        exact |= {"cycles_total": len(vectors) * block.beats + 1 + stages + last, "latency_scores_min": late,
                  "latency_scores_max": late}  # fmt: skip
    if block.argmax and (block.beats == 1 or not idle):
        exact |= {"latency_class_min": block.latency_scores + 1, "latency_class_max": block.latency_scores + 1}
    made = stimulus_of(block, vectors, exact)
    return replace(made, registers=registers(block, len(vectors), idle), limit=made.limit * (40 if idle else 1))


def stimuli(blocks: Sequence[Block], idle: int = 0) -> list[Stimulus]:
    rng = np.random.default_rng(13)
    return [drive(b, rng.integers(0, 2, (60, b.netlist.inputs), dtype=np.uint8), idle) for b in blocks]


def hdl_for(blocks: Sequence[Block]) -> Hdl:
    return replace(CIRCUIT.hdl, generated=generate.sources(tuple(blocks)))


def wrong(asked: Sequence[Stimulus], seen: Sequence[Observation]) -> str:
    """What first differs; "" where nothing does."""
    for number, (want, got) in enumerate(zip(asked, seen, strict=True)):
        if got.timed_out:
            return f"network {number} is not done"
        for name, image in want.expected.items():
            if list(got.memories[name]) != [int(word) for word in image.words]:
                return f"network {number}: {name}"
        for name, value in want.exact.items():
            if got.counters[name] != value:
                return f"network {number}: {name}"
    return ""


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("idle", [0, 1, 7])
def test_pauses_between_beats_change_nothing(simulator: str, idle: int) -> None:
    """Never a pause, one in two beats, seven in eight: outputs, and cycles from a vector's last beat, are the same."""
    needs(simulator)
    blocks = small_blocks()
    asked = stimuli(blocks, idle)
    seen = run(build(hdl_for(blocks), {}, simulator), asked, COUNTERS)
    assert wrong(asked, seen) == ""
    assert all(((o.counters["cycles_stall"] or 0) > 0) == (idle > 0) for o in seen)


def test_arg_max_of_every_pair_and_of_ties() -> None:
    """All 4,096 triples of 4-bit scores, the lowest of equal ones."""
    needs("icarus")
    wires = Block(Netlist(12, (), tuple(range(12))), 3, 4, 0, True)
    every = (np.arange(4096)[:, None] >> np.arange(12) & 1).astype(np.uint8)
    asked = [drive(wires, every[start : start + 1024]) for start in range(0, 4096, 1024)]
    assert wrong(asked, run(build(hdl_for([wires]), {}, "icarus"), asked, COUNTERS)) == ""


# --- mistakes -----------------------------------------------------------------------------------------------------


class Mistake(NamedTuple):
    """An edit of one source (its name, or ".v" for generated networks): `before`, a pattern, becomes `after`."""

    name: str
    source: str
    before: str
    after: str


MISTAKES = (
    Mistake("beats enter below", "poetbin_input.sv", r"\{in_data, shifted\[BEATS\*WIDTH-1:WIDTH\]\}",
            "{shifted[(BEATS-1)*WIDTH-1:0], in_data}"),
    Mistake("a vector ends a beat early", "poetbin_input.sv", r"BEATS - 1\)", "BEATS - 2)"),
    Mistake("an input is stuck at 0", "poetbin_input.sv", r"vector <= in_data\[INPUTS-1:0\]",
            "vector <= in_data[INPUTS-1:0] & ~INPUTS'(1)"),
    Mistake("a vector counts as settled always", "poetbin_input.sv", r"in_valid && !reset;\n +if \(reset\) vector",
            "!reset;\n if (reset) vector"),
    Mistake("scores a cycle late", "poetbin_output.sv", r"assign at_last = settled;",
            "logic late; always_ff @(posedge clk) late <= settled; assign at_last = late;"),
    Mistake("scores of pipelines too early", "poetbin_output.sv", r"entered\[INSIDE-1\]", "entered[0]"),
    Mistake("a score bit is stuck at 1", "poetbin_output.sv", r"out_scores <= scores", "out_scores <= scores | 1'b1"),
    Mistake("the class is that of the vector before", "poetbin_output.sv", r"out_class <= largest;\n",
            "earlier <= largest;\n if (out_valid) out_class <= earlier;\n"),
    Mistake("a tie goes to the higher class", "poetbin_argmax.sv", r"\) > \$signed", ") >= $signed"),
    Mistake("scores compared without sign", "poetbin_argmax.sv",
            r"\$signed\(score\[2\*node\+1\]\) > \$signed\(score\[2\*node\]\)", "score[2*node+1] > score[2*node]"),
    Mistake("classes numbered in another order", "poetbin_argmax.sv", r"CLASS_BITS'\(leaf\)", "CLASS_BITS'(leaf ^ 1)"),
    Mistake("pins in the wrong order", ".v", r"= T(\d+)\[\{(\w[^,}]*), ([^}]*)\}\]", r"= T\1[{\3, \2}]"),
    Mistake("a threshold that is not strict", ".v", r"16'he880", "16'hfee8"),
    Mistake("a table bit is stuck", ".v", r"4'h6", "4'h7"),
    Mistake("halves of a wide table exchanged", ".v", r"\.I0\((n\d+(?:_\d)*_0)\), \.I1\((n\d+(?:_\d)*_1)\)",
            r".I0(\2), .I1(\1)"),
    Mistake("a feature passes a register too few", ".v", r"\b(in\d+)_r2 <= \1_r1;", r"\1_r2 <= in[0];"),
    Mistake("outputs in the wrong order", ".v", r"assign out = \{\n +(n\d\w*), (n\d\w*)", r"assign out = {\n \2, \1"),
)  # fmt: skip


def mistaken(hdl: Hdl, mistake: Mistake, folder: Path) -> Hdl:
    """A copy of the sources with one mistake in them."""
    change: Callable[[str], tuple[str, int]] = lambda text: re.subn(mistake.before, mistake.after, text)  # noqa: E731
    done = 0
    if mistake.source == ".v":
        made = []
        for source in hdl.generated:
            text, count = change(source.text) if source.suffix == ".v" else (source.text, 0)
            done += count
            made.append(Generated(source.name, text))
        assert done, mistake.name
        return replace(hdl, generated=tuple(made))
    folder.mkdir()
    copies = []
    for path in hdl.sources:
        text = path.read_text(encoding="utf-8")
        if path.name == mistake.source:
            text, done = change(text)
            assert done == 1, mistake.name
            if "earlier <=" in text:
                text = text.replace("    logic at_last;", "    logic [CLASS_BITS-1:0] earlier;\n    logic at_last;")
        copies.append(folder / path.name)
        copies[-1].write_text(text, encoding="utf-8")
    return replace(hdl, sources=tuple(copies))


def test_every_seeded_mistake_is_caught(tmp_path: Path) -> None:
    needs("icarus")
    blocks = small_blocks()
    asked, right = stimuli(blocks), hdl_for(blocks)

    def caught_by(number: int) -> str:
        hdl = mistaken(right, MISTAKES[number], tmp_path / str(number))
        try:
            return wrong(asked, run(build(hdl, {}, "icarus"), asked, COUNTERS))
        except InputError as error:
            assert error.problems[0].code in ("simulation", "assertion"), MISTAKES[number].name
            return str(error)

    assert wrong(asked, run(build(right, {}, "icarus"), asked, COUNTERS)) == ""
    found = dict(in_parallel(caught_by, range(len(MISTAKES)), 2))
    print(f"{sum(map(bool, found.values()))} of {len(MISTAKES)} mistakes caught")
    for number, mistake in enumerate(MISTAKES):
        print(f"{mistake.name}: {found[number] or 'NOT CAUGHT'}")
    assert len(MISTAKES) >= 10 and all(found.values())


# --- Yosys --------------------------------------------------------------------------------------------------------

COUNTED = ("graph-04", "classifier-04", "digits-class-0")


@pytest.mark.parametrize("name", COUNTED)
def test_counts_of_yosys_are_those_of_the_table(name: str) -> None:
    """A few of them; `hwsim validate --deep` makes all anew."""
    pytest.importorskip("pyosys")
    subject = next(s for s in synthesis.subjects() if s.name == name)
    line = next(line for line in synthesis.read_table() if line["name"] == name)
    found = mapped(verilog(subject.netlist), "network")
    assert (str(found.luts), str(found.depth)) == (line["yosys_area"], line["yosys_area_depth"])
    assert abs(estimate(subject.netlist).lut6 / found.luts - 1) <= synthesis.WITHIN_WORST


def test_primitives_stay_what_they_are() -> None:
    """Yosys leaves every one alone, so the count is that of the tables as they are."""
    pytest.importorskip("pyosys")
    netlist = networks.classifier(np.random.default_rng(3), 40, 8, 3, 2, 4, 2, 4)
    assert mapped(verilog(netlist, style="lut6"), "network").luts == lut6_cost(netlist)
