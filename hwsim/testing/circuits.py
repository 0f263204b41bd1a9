"""The warranty for authors of circuits: every case of a case file is a test, model beside circuit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hwsim.cosim.case import CaseFile, hdl_of, read_cases
from hwsim.cosim.circuit import Circuit, load_circuit
from hwsim.cosim.compare import Spread, Verdict, compare, spread
from hwsim.cosim.simulator import lint
from hwsim.cosim.text import cycles, details
from hwsim.cosim.toolchain import SIMULATORS, require
from hwsim.cosim.validation import percent
from hwsim.errors import InputError

_Found = Mapping[str, Verdict]
_KEPT: pytest.StashKey[dict[tuple[type, str], _Found | str]] = pytest.StashKey()


class CircuitSuite:
    """Subclass it and name a circuit; pytest then runs each of its cases as a test of that name (`pytest -k NAME`).

        class TestMine(CircuitSuite):
            circuit = "mine"

    circuit     name of an installed circuit, or a `hwsim.cosim.circuit.Circuit`
    cases       a case file of your own; "" for those that come with the circuit
    simulators  on which; one that is not installed skips its tests

    The selected cases are run together when the first of them is asked for: one build and one simulator process for
    all that share their parameters. With pytest-xdist, `--dist=loadfile` keeps them together.
    """

    circuit: ClassVar[str | Circuit] = ""
    cases: ClassVar[str | Path] = ""
    simulators: ClassVar[Sequence[str]] = SIMULATORS

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test a simulator, and a case where a test asks for one."""
        if "simulator" in metafunc.fixturenames:
            metafunc.parametrize("simulator", self.simulators)
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", [case.name for case in self._file().cases])

    def test_case(self, request: pytest.FixtureRequest, simulator: str, case: str) -> None:
        """Words, counts and exact counters are equal, and the error is within the bound on the worst case."""
        verdict = self._verdicts(request, simulator)[case]
        if not verdict.within(self._file().tolerance):
            pytest.fail(told(verdict, self._file()), pytrace=False)

    def test_all_cases_together_are_within_the_tolerance(self, request: pytest.FixtureRequest, simulator: str) -> None:
        """Mean, 95th percentile and worst of the errors of all cases."""
        found, allowed = spread(list(self._verdicts(request, simulator).values())), self._file().tolerance
        print(figures(found))
        if not found.holds(allowed):
            bounds = f"MAPE {percent(allowed.mape)}, p95 {percent(allowed.p95)}, worst {percent(allowed.worst)}"
            pytest.fail(f"{figures(found)}; allowed are {bounds}, and that every case agrees", pytrace=False)

    def test_lint(self) -> None:
        """Verilator -Wall has nothing to say that no waiver answers."""
        file = self._file()
        _needs("verilator")
        assert lint(hdl_of(file.circuit, file.cases[:1]), file.cases[0].parameters(file.circuit)) == []

    # --- what they share ----------------------------------------------------------------------------------------

    @classmethod
    def _file(cls) -> CaseFile:
        """The case file, read once a class. Fails with its problems alone where it has any."""
        if "_read" not in cls.__dict__:
            cls._read = _opened(cls.circuit, cls.cases)
        if isinstance(cls._read, str):
            pytest.fail(cls._read, pytrace=False)
        return cls._read

    _read: ClassVar[CaseFile | str]

    def _verdicts(self, request: pytest.FixtureRequest, simulator: str) -> _Found:
        """The verdicts of every case that this session has selected, from one go a simulator."""
        _needs(simulator)
        kept = request.config.stash.setdefault(_KEPT, {})
        key = (type(self), simulator)
        if key not in kept:
            kept[key] = _run(self._file(), _selected(request.session.items, *key), simulator)
        found = kept[key]
        if isinstance(found, str):
            pytest.fail(found, pytrace=False)
        return found


def _opened(circuit: str | Circuit, cases: str | Path) -> CaseFile | str:
    try:
        known = load_circuit(circuit) if isinstance(circuit, str) else circuit
        return read_cases(cases or known.cases, known)
    except InputError as error:
        return str(error)


def _needs(simulator: str) -> None:
    try:
        require(simulator)
    except InputError as error:
        pytest.skip(f"{simulator} cannot be used: {error}")


def _selected(items: Sequence[pytest.Item], suite: type, simulator: str) -> set[str] | None:
    """The cases of `suite` that the session runs on `simulator`; None for all, where a test is about all of them."""
    own: list[dict[str, Any]] = [i.callspec.params for i in items if getattr(i, "cls", None) is suite and
                                 hasattr(i, "callspec")]  # fmt: skip
    asked = [params for params in own if params.get("simulator") == simulator]
    return {params["case"] for params in asked} if all("case" in params for params in asked) else None


def _run(file: CaseFile, names: set[str] | None, simulator: str) -> _Found | str:
    cases = [case for case in file.cases if names is None or case.name in names]
    try:
        return {verdict.case.name: verdict for verdict in compare(file, cases, simulator)}
    except InputError as error:
        return str(error)


# --- what a failed test says ------------------------------------------------------------------------------------


def told(verdict: Verdict, file: CaseFile) -> str:
    """Why a case fails, as `hwsim cosim` tells it, and how to see its waves."""
    own = "" if file.path == file.circuit.cases else f" --cases {file.path}"
    return "\n".join((
        f"{verdict.case.name}: model {cycles(verdict.model.total)} cycles, RTL {_total(verdict)}",
        *details(verdict, within=False),
        f"    to see its waves: hwsim cosim {file.circuit.name}{own} --case {verdict.case.name} --waves",
    ))  # fmt: skip


def _total(verdict: Verdict) -> str:
    return "failed" if verdict.rtl is None else cycles(verdict.rtl.total)


def figures(found: Spread) -> str:
    """The figures of all cases in a line."""
    return (f"{found.agreeing} of {found.cases} cases agree; bias {percent(found.bias)}, MAPE {percent(found.mape)}, "
            f"p95 {percent(found.p95)}, worst {percent(found.worst)}")  # fmt: skip
