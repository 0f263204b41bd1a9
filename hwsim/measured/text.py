"""What `hwsim validate --data` says: a table of errors, the worst rows, and one JSON document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from hwsim.measured.file import Measurements
from hwsim.measured.predict import Outcome, Prediction
from hwsim.measured.statistics import Accuracy
from hwsim.report.text import plain

WORST = 5
HEAD = ("| rows | number | bias | MAPE | median | p95 | worst | Spearman | Kendall |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")  # fmt: skip


def markdown(measurements: Measurements, outcomes: Sequence[Outcome]) -> str:
    """The page. The same predictions give the same text."""
    head = [plain(measurements.summary, 200), ""] if measurements.summary else []
    split = [plain(measurements.split, 400), ""] if measurements.split else []
    sections = [line for outcome in outcomes for line in _section(outcome)]
    return "\n".join(["# Models against measurements", "", *head, *split, *sections]).rstrip() + "\n"


def _section(outcome: Outcome) -> Iterator[str]:
    data = outcome.data
    yield f"## {plain(outcome.design.name)} on {plain(data.table.file.rpartition('/')[2])}"
    yield ""
    train = f", a training step ({plain(data.train)})" if data.train else ""
    yield f"`{plain(data.workload)}`{train}; errors are of the column `{plain(data.column)}` ({data.unit})."
    yield ""
    yield from HEAD
    yield from (row(name, a) for name, a in outcome.groups().items())
    yield ""
    yield from _tolerance(outcome)
    yield f"The {min(WORST, len(outcome.predictions))} worst rows:"
    yield ""
    yield "| line | bound to | side | predicted | measured | error |"
    yield "| ---: | --- | --- | ---: | ---: | ---: |"
    ranked = sorted(outcome.predictions, key=lambda p: (-abs(p.error), p.measured.row.line))
    yield from (_worst(p) for p in ranked[:WORST])
    yield ""


def row(name: str, a: Accuracy) -> str:
    """One line of the table of errors."""
    shares = " | ".join(_percent(x) for x in (a.bias, a.mape, a.median, a.p95, a.worst))
    return f"| {name} | {a.rows} | {shares} | {_plain(a.spearman)} | {_plain(a.kendall)} |"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def _plain(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _tolerance(outcome: Outcome) -> Iterator[str]:
    bounds = outcome.data.tolerance
    if not bounds:
        return
    said = ", ".join(f"{name} {bound:g}" for name, bound in bounds.items())
    broken = outcome.broken()
    held = "The tolerance holds" if not broken else f"**The tolerance does not hold** for {', '.join(broken)}"
    yield f"{held} ({said}, rows: {outcome.judged})."
    yield ""


def _worst(p: Prediction) -> str:
    bound = ", ".join(f"{plain(name)}={value:g}" for name, value in p.measured.bind.items())
    side = "held out" if p.measured.held_out else "fit"
    return (f"| {p.measured.row.line} | {bound} | {side} | {p.predicted:.5g} | {p.measured.value:.5g} "
            f"| {p.error:+.1%} |")  # fmt: skip


def document(measurements: Measurements, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Everything as plain types; what is not a number is null."""
    return {"summary": measurements.summary, "split": measurements.split,
            "tables": [_table(outcome) for outcome in outcomes]}  # fmt: skip


def _table(outcome: Outcome) -> dict[str, Any]:
    data = outcome.data
    return {
        "file": data.table.file, "design": outcome.design.name, "workload": data.workload, "train": data.train,
        "column": data.column, "unit": data.unit, "tolerance": dict(data.tolerance), "judged": outcome.judged,
        "within_tolerance": not outcome.broken(),
        "summary": {name: {k: _finite(v) for k, v in a._asdict().items()} for name, a in outcome.groups().items()},
        "rows": [{"line": p.measured.row.line, "bind": dict(p.measured.bind), "held_out": p.measured.held_out,
                  "predicted": p.predicted, "measured": p.measured.value, "error": p.error}
                 for p in outcome.predictions],
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value
