"""golden.csv of OPTIMUS against the circuit itself: every case on Verilator, the shortest of each build on Icarus."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

import pytest

from hwsim.cosim.case import Case, CaseFile, read_cases
from hwsim.cosim.compare import Verdict, Wanted, compare, in_order
from hwsim.cosim.golden import IDENTITY, MODEL, TOOLS, read_golden, rows_of
from hwsim.cosim.simulator import lint
from hwsim.cosim.toolchain import available
from rtl_models.optimus.bench import CIRCUIT

ON_ICARUS = 3
"""Cases of each build."""
ONLY_IN_THE_LOG = ("s005", "s147", "s166")
"""Rows that wait for sums that wait for results: totals were nearly the same when model and circuit differed."""
LINTED = (0, 7, 14, 21)


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
    """The verdicts on these cases, whose columns of the circuit must be the golden ones."""
    verdicts = in_order(cases, compare(case_file(), cases, simulator, wanted=wanted))
    cycles, seconds = sum(v.cycles for v in verdicts), sum(v.seconds for v in verdicts)
    print(f"{simulator}: {len(verdicts)} cases, {cycles:,} cycles, {cycles / seconds:,.0f} cycles/s while running")
    for row in rows_of(CIRCUIT, verdicts, simulator):
        of_circuit = {k: v for k, v in row.items() if k not in (*IDENTITY, *MODEL, *TOOLS, "error")}
        assert of_circuit == {k: golden()[row["name"]][k] for k in of_circuit}, row["name"]
    return verdicts


def shortest(each: int) -> list[Case]:
    """The shortest runs of each build."""
    builds: dict[tuple[int, ...], list[Case]] = {}
    for case in sorted(case_file().cases, key=lambda c: int(golden()[c.name]["rtl_total"])):
        builds.setdefault(tuple(case.parameters(CIRCUIT).values()), []).append(case)
    return [case for cases in builds.values() for case in cases[:each]]


def test_every_case_on_verilator() -> None:
    needs("verilator")
    verdicts = held(case_file().cases, "verilator")
    assert len(verdicts) == len(case_file().cases) == len(golden())
    assert [v.case.name for v in verdicts if not v.within(case_file().tolerance)] == []
    small = [v for v in verdicts if v.case.design.macs == 16]
    print(f"N = 16: {sum(v.cycles for v in small) / sum(v.seconds for v in small):,.0f} cycles/s while running")


def test_cases_of_each_build_on_icarus() -> None:
    needs("icarus")
    chosen = shortest(ON_ICARUS)
    assert len(chosen) >= 60
    assert all(v.agrees for v in held(chosen, "icarus"))


def test_the_circuit_logs_the_events_of_the_model() -> None:
    """The whole log, of the fourth shortest run of each build (the shortest have little to say) and of those where only
    the log shows a difference; with HWSIM_DEEP of every case."""
    needs("verilator")
    chosen = [*shortest(4)[3::4], *case_file().selected(ONLY_IN_THE_LOG)]
    if os.environ.get("HWSIM_DEEP"):
        chosen = list(case_file().cases)
    verdicts = held(chosen, "verilator", Wanted(trace=True))
    events = 0
    for verdict in verdicts:
        assert verdict.events is not None and verdict.first_event is None, verdict.case.name
        events += len(verdict.events[1])
    print(f"{events:,} events of {len(verdicts)} cases")


@pytest.mark.parametrize("at", LINTED)
def test_lint_is_clean(at: int) -> None:
    needs("verilator")
    builds = list(dict.fromkeys(tuple(case.parameters(CIRCUIT).items()) for case in case_file().cases))
    assert lint(CIRCUIT.hdl, dict(builds[at])) == []
