"""golden.csv: what model and circuit said of every case, so that tests without a simulator hold the model to it.

One line a case. The same verdicts from the same tools give the same bytes: wall times are left out. `check_model`
needs no simulator; `check_rtl` runs the circuit afresh.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hwsim.cosim.case import Case, CaseFile, read_cases
from hwsim.cosim.circuit import Circuit, load_circuit
from hwsim.cosim.compare import (
    CYCLE_PORTS,
    SUM_OF_CAUSES,
    Question,
    Spread,
    Verdict,
    compare,
    crc32_of,
    in_order,
    question,
    spread,
)
from hwsim.cosim.model_side import Cycles
from hwsim.cosim.simulator import words_of
from hwsim.cosim.toolchain import require
from hwsim.errors import InputError, bad_input

IDENTITY = ("name", "family", "held_out")
MODEL = tuple(f"model_{port.removeprefix('cycles_')}" for port in CYCLE_PORTS)
RTL = tuple(f"rtl_{port.removeprefix('cycles_')}" for port in CYCLE_PORTS)
TOOLS = ("simulator", "versions")
EXACT_PREFIX = "exact_"
COUNT_PREFIX = "count_"

Row = dict[str, str]


def golden_path(circuit: Circuit) -> Path:
    """Where the golden figures of a circuit lie: beside its cases."""
    return circuit.cases.parent / "golden.csv"


def number(value: float) -> str:
    """A figure as golden.csv has it: whole numbers plainly, others as the shortest text that reads back the same."""
    if math.isnan(value):
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def versions_text(versions: Mapping[str, str]) -> str:
    """Tools with their versions on one line."""
    return "; ".join(f"{tool} {version}" for tool, version in sorted(versions.items()))


# --- writing ----------------------------------------------------------------------------------------------------


def rows_of(circuit: Circuit, verdicts: Sequence[Verdict], simulator: str) -> list[Row]:
    """The lines of golden.csv. Raises InputError for a case that failed: it has no figures."""
    tools = (simulator, versions_text(require(simulator).versions))
    return [_row(circuit, verdict, tools) for verdict in verdicts]


def _row(circuit: Circuit, verdict: Verdict, tools: tuple[str, str]) -> Row:
    if verdict.rtl is None or verdict.error is None or verdict.timed_out:
        reason = verdict.failure or ("it was not done within its limit" if verdict.timed_out else "it has no total")
        raise bad_input("golden", verdict.case.name, f"the case has no figures: {reason}", "Mend it first.")
    exact = {f"{EXACT_PREFIX}{k}": str(rtl) for k, (_, rtl) in verdict.exact.items() if k != SUM_OF_CAUSES}
    counts = {f"{COUNT_PREFIX}{name}": str(verdict.counts[name][1]) for name in circuit.counters}
    return {
        **_identity(verdict.case),
        **dict(zip(MODEL, map(number, verdict.model), strict=True)),
        **dict(zip(RTL, map(number, verdict.rtl), strict=True)),
        **exact,
        "error": f"{verdict.error:.6f}",
        **counts,
        "outputs_crc32": f"{verdict.outputs_crc32:08x}",
        **dict(zip(TOOLS, tools, strict=True)),
    }


def _identity(case: Case) -> Row:
    return {"name": case.name, "family": case.family, "held_out": str(case.held_out).lower()}


def csv_text(rows: Sequence[Row]) -> str:
    """The text of golden.csv: a header with every column, then a line a case."""
    heads = dict.fromkeys(name for row in rows for name in row)
    fixed = [*IDENTITY, *MODEL, *RTL, *(h for h in heads if h.startswith(EXACT_PREFIX)), "error"]
    return table_text(rows, [*fixed, *(h for h in heads if h not in (*fixed, *TOOLS)), *TOOLS])


def table_text(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Lines with these columns as CSV."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def write_golden(circuit: Circuit, verdicts: Sequence[Verdict], simulator: str) -> Path:
    """Write golden.csv of a circuit from the verdicts of all its cases. Raises InputError as `rows_of` does."""
    path = golden_path(circuit)
    path.write_text(csv_text(rows_of(circuit, verdicts, simulator)), encoding="utf-8")
    return path


# --- reading ----------------------------------------------------------------------------------------------------


def read_golden(circuit: Circuit) -> list[Row]:
    """The lines of a circuit's golden.csv. Raises InputError when there is none or it has other columns."""
    path = golden_path(circuit)
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        raise bad_input("missing-file", str(path), "the circuit has no golden figures",
                        f"Write them with: hwsim cosim {circuit.name} --golden.") from None  # fmt: skip
    lacking = [c for c in (*IDENTITY, *MODEL, *RTL, "error", "outputs_crc32", *TOOLS) if rows and c not in rows[0]]
    if lacking or not rows:
        raise bad_input("golden", ", ".join(lacking) or "no line", "golden.csv lacks this",
                        f"Write it anew with: hwsim cosim {circuit.name} --golden.")  # fmt: skip
    return rows


# --- checking ---------------------------------------------------------------------------------------------------


def check_model(circuit: Circuit | str) -> list[str]:
    """What the model says now that golden.csv does not, a sentence each; none when it holds. No simulator is needed.

    Held: the cases are those of the file, the model's cycles and counts, the values of exact counters and the
    expected words are the golden ones, and the errors against the golden RTL are within the tolerance.
    """
    circuit, file, golden = _opened(circuit)
    found = list(_same_cases(file, golden))
    asked = {case.name: question(circuit, case) for case in file.cases if case.name in golden}
    for name, one in asked.items():
        found += _differences(name, _model_columns(one), golden[name])
    return [*found, *_tolerance_broken(file, asked, golden)]


def _opened(circuit: Circuit | str) -> tuple[Circuit, CaseFile, dict[str, Row]]:
    circuit = load_circuit(circuit) if isinstance(circuit, str) else circuit
    return circuit, read_cases(circuit.cases, circuit), {row["name"]: row for row in read_golden(circuit)}


def _same_cases(file: CaseFile, golden: Mapping[str, Row]) -> Iterator[str]:
    names = {case.name for case in file.cases}
    yield from (f"{name}: not in golden.csv" for name in (c.name for c in file.cases) if name not in golden)
    yield from (f"{name}: in golden.csv, but no case" for name in golden if name not in names)
    for case in file.cases:
        if case.name in golden:
            yield from _differences(case.name, _identity(case), golden[case.name])


def _differences(name: str, now: Row, golden: Row) -> Iterator[str]:
    for column, value in now.items():
        if golden.get(column) != value:
            yield f"{name}: {column} is {value}, and {golden.get(column)} in golden.csv"


def _model_columns(asked: Question) -> Row:
    """The columns of golden.csv that follow from model and data alone."""
    expected = {name: words_of(image) for name, image in asked.stimulus.expected.items()}
    return {
        **dict(zip(MODEL, map(number, asked.answer.cycles), strict=True)),
        **{f"{EXACT_PREFIX}{name}": str(int(value)) for name, value in asked.stimulus.exact.items()},
        **{f"{COUNT_PREFIX}{name}": str(int(value)) for name, value in asked.answer.counts.items()},
        "outputs_crc32": f"{crc32_of(expected):08x}",
    }


def _tolerance_broken(file: CaseFile, asked: Mapping[str, Question], golden: Mapping[str, Row]) -> Iterator[str]:
    """Whether the model's totals of now are within the tolerance of the golden RTL's."""
    errors = {name: one.answer.cycles.total / float(golden[name]["rtl_total"]) - 1 for name, one in asked.items()}
    held = _spread(file, errors)
    for bound in ("mape", "p95", "worst"):
        allowed, got = getattr(file.tolerance, bound), getattr(held, bound)
        if not got <= allowed:
            yield f"{bound} is {got:.4%}, and {allowed:.4%} is allowed"


def _spread(file: CaseFile, errors: Mapping[str, float]) -> Spread:
    nothing = Cycles(0, 0, 0, 0, 0)
    return spread([Verdict(c, nothing, error=errors[c.name]) for c in file.cases if c.name in errors])


def check_rtl(circuit: Circuit | str, simulator: str = "verilator", jobs: int | None = None) -> list[str]:
    """What the circuit says now that golden.csv does not, a sentence each; none when it holds.

    Raises InputError when the simulator is missing.
    """
    circuit, file, golden = _opened(circuit)
    verdicts = in_order(file.cases, compare(file, file.cases, simulator, jobs=jobs))
    found = list(_same_cases(file, golden))
    for verdict in verdicts:
        if verdict.case.name in golden:
            found += _rtl_differences(circuit, verdict, golden[verdict.case.name])
    return found


def _rtl_differences(circuit: Circuit, verdict: Verdict, golden: Row) -> list[str]:
    """Differences in the columns that the circuit fills."""
    try:
        row = _row(circuit, verdict, ("", ""))
    except InputError as error:
        return [str(error)]
    own = {k: v for k, v in row.items() if k not in (*MODEL, *IDENTITY, *TOOLS, "error")}
    return list(_differences(verdict.case.name, own, golden))
