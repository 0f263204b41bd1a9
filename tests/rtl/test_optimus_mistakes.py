"""Deliberate mistakes in the OPTIMUS circuit, each of which the comparison with the model must give away.

A mistake is one edit of one source, on a copy. It is built for a few small arrays and runs short cases on Icarus,
which builds in a second. Caught means that a case does not agree (an output word, a count, the cycles of the windowed
kernel, or a run that does not end), that its cycles are beyond the tolerance, or that its log of events is not the
model's. The golden figures of the circuit are not asked.
"""

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
from hwsim.cosim.compare import Wanted, compare, in_order, spread
from hwsim.cosim.simulator import in_parallel
from hwsim.cosim.toolchain import available
from hwsim.cosim.validation import disagreement, main_cause
from rtl_models.optimus.bench import CIRCUIT, OptimusCircuit

CASES = ("s025", "s057", "s086", "s174", "s181", "s247", "s327", "d07")
"""Short ones of the suite, on arrays with one way a set and with three: chained products, sums set aside, one slot and
two, pieces that fill their last burst, a dense product."""


class Mistake(NamedTuple):
    """`before`, which stands once in `source`, becomes `after`."""

    name: str
    source: str
    before: str
    after: str


MISTAKES = (
    Mistake("a row ends a cycle late", "sequencer.sv",
            "row_end = running && !any_pending_after", "row_end = running && !any_pending"),
    Mistake("the window moves past elements still needed", "sequencer.sv",
            "(16'(distance) < rate ? distance : LOOK_BITS'(rate))", "LOOK_BITS'(rate)"),
    Mistake("a waiting product does not wait", "sequencer.sv",
            "next_blocked = next_first && next_waits", "next_blocked = 1'b0"),
    Mistake("fill reads a window beyond the last column", "sequencer.sv",
            "columns < 16'(window) ? columns : 16'(window)", "16'(window)"),
    Mistake("sums come back before those of the row before have left", "sequencer.sv",
            "(running && !restored && fetched && jobs == '0)", "(running && !restored && fetched)"),
    Mistake("the port is a cycle too fast", "optimus.sv", "PORT_LATENCY = 12", "PORT_LATENCY = 11"),
    Mistake("a slot is free a cycle late", "weight_port.sv",
            "(used_after == 2'd0 || (overlap && used_after == 2'd1))",
            "(slots_used == 2'd0 || (overlap && slots_used == 2'd1))"),
    Mistake("a burst more where bits fill the last one", "weight_port.sv",
            "(bits_left + 32'd63) >> 6", "(bits_left + 32'd64) >> 6"),
    Mistake("the load does not stop at two slots", "weight_port.sv",
            "(overlap && used_after == 2'd1)", "overlap"),
    Mistake("sets see an element behind the window", "walker.sv", ".offset) < WINDOW", ".offset) <= WINDOW"),
    Mistake("entries are read as if there were a column less", "stream.sv",
            "start + 19'(columns) * 19'(length_bits)", "start + 19'(columns - 16'd1) * 19'(length_bits)"),
    Mistake("merging forgets which lanes are valid", "merge_level.sv",
            "assign match = valid[lane] && valid[FROM] && rows", "assign match = valid[lane] && rows"),
    Mistake("unsigned operands", "multiplier.sv", "full = weight * operand",
            "full = weight * $signed({1'b0, operand})"),
    Mistake("rounding adds a whole unit", "accumulators.sv", "41'd1 << (by - 6'd1)", "41'd1 << by"),
    Mistake("negative results saturate one off", "accumulators.sv", "rounded = 16'h8000", "rounded = 16'h8001"),
    Mistake("sums come back from the wrong address", "accumulators.sv",
            "set_aside[load_address + 32'(load_row) + 32'(k)]", "set_aside[load_address + 32'(k)]"),
    Mistake("sums leave at 32 bits", "pace.sv", "SUM_BITS = 40", "SUM_BITS = 32"),
    Mistake("results written in the order of sets", "optimus.sv",
            "write_results[(way*sets+s)*16+:16]", "write_results[(s*WAYS+way)*16+:16]"),
    Mistake("heads of a dense product out of step", "heads.sv",
            "state[31:16] + 16'd1 == count", "state[31:16] == count"),
    Mistake("a product counted for each load", "counters.sv",
            "48'(load_begins && load_begins_product)", "48'(load_begins)"),
    Mistake("stall counted as drain", "counters.sv", "else if (more_to_hold)", "else if (!more_to_hold)"),
    Mistake("products added twice in the count", "counters.sv",
            "accumulations <= accumulations + 48'(added)", "accumulations <= accumulations + 48'(added + multiplied)"),
)  # fmt: skip


@lru_cache(maxsize=1)
def case_file() -> CaseFile:
    return read_cases(CIRCUIT.cases, CIRCUIT)


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

    class Mistaken(OptimusCircuit):
        hdl: ClassVar[Hdl] = dataclasses.replace(CIRCUIT.hdl, sources=copies)

    return dataclasses.replace(case_file(), circuit=Mistaken())


def caught_by(file: CaseFile, cases: Sequence[Case]) -> str:
    """What gives the circuit away; "" if nothing does."""
    verdicts = in_order(cases, compare(file, cases, "icarus", jobs=1, wanted=Wanted(trace=True, explained=0)))
    for verdict in verdicts:
        name = verdict.case.name
        if not verdict.agrees:
            return f"{name}: {disagreement(verdict) or 'an exact counter'}"
        if not verdict.within(file.tolerance):
            return f"{name}: cycles, {main_cause(verdict)}"
    for verdict in verdicts:
        if verdict.first_event:
            at = verdict.first_event.rtl or verdict.first_event.model
            return f"{verdict.case.name}: {at.name if at else 'no'} event in cycle {at.cycle if at else '-'}"
    found = spread(verdicts)
    if not found.holds(file.tolerance):
        return f"errors: MAPE {found.mape:.1%}, p95 {found.p95:.1%}"
    return ""


def test_every_seeded_mistake_is_caught(tmp_path: Path) -> None:
    if "icarus" not in available():
        pytest.skip("icarus is not installed")
    cases = case_file().selected(CASES)
    assert caught_by(case_file(), cases) == ""
    folders = [tmp_path / str(at) for at in range(len(MISTAKES))]
    jobs = min(4, os.cpu_count() or 1)
    found = dict(
        in_parallel(lambda at: caught_by(seeded(MISTAKES[at], folders[at]), cases), range(len(MISTAKES)), jobs)
    )
    caught = sum(bool(by) for by in found.values())
    print(f"{caught} of {len(MISTAKES)} mistakes caught on {len(cases)} cases")
    for at, mistake in enumerate(MISTAKES):
        print(f"{mistake.name}: {found[at] or 'NOT CAUGHT'}")
    assert len(MISTAKES) >= 10
    assert caught == len(MISTAKES)
