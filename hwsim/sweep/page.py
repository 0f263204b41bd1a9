"""A sweep as one HTML file that a person explores: scatter, filters, brushes, parallel coordinates, a point's details.

The file asks for nothing and its Content-Security-Policy admits one script and one style sheet, by their hashes. What
comes from studies, designs and workloads is in it as escaped text and as JSON that no parser of HTML can leave; the
script writes it as text only. The same study and rows give the same bytes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jinja2 import Template
from markupsafe import Markup

from hwsim.report import page as report_page
from hwsim.report import views
from hwsim.report.page import Table, list_of, table_of
from hwsim.report.text import digits, percent, plain, quantity, value_text
from hwsim.result import Result
from hwsim.sweep import charts
from hwsim.sweep.answer import Answer, Details, objective_label, rerun, short, unit_shown, units_of
from hwsim.sweep.page_data import command_of, details_of, embedded, fitting
from hwsim.sweep.pareto import Progress, worst_of
from hwsim.sweep.sensitivity import Sensitivity
from hwsim.sweep.study import FAILED, INFEASIBLE, OK, Direction, Row, Study

REPORTED = 12
"""Front points whose full reports are written beside the page."""
TOP_REASONS = 12


def write_page(
    study: Study,
    rows: Sequence[Row],
    folder: str | Path,
    *,
    points: int | None = None,
    result_of: Details | None = None,
    units: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write `sweep.html` into `folder`, which is made when absent, and reports of front points into `points/` beside
    it; answers with the files written, the page first.

    rows        the study's rows in the order they were evaluated
    points      how many points the study evaluated, where `rows` are not all of them
    result_of   runs a point again for its breakdown; by default as the study says
    units       the unit of each parameter's values; by default as its designs say

    Raises InputError when the study's designs or workloads cannot be read, OSError when the folder cannot be written.
    """
    answer = Answer(study, rows)
    results = answer.results(result_of or rerun(study))
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    reports = [(target / report_name(row), result) for row, result in list(results.values())[:REPORTED]]
    text = html(answer, results, units_of(study) if units is None else units, points, len(reports))
    files = [target / "sweep.html", *(path for path, _ in reports)]
    files[0].write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    for path, result in reports:
        path.parent.mkdir(exist_ok=True)
        path.write_text(report_page.html(result), encoding="utf-8", errors="backslashreplace", newline="\n")
    return files


def write_answer(study: Study, store_path: str | Path, folder: str | Path, points: int | None = None) -> list[Path]:
    """Write the page of a study that the store holds, and its picture as SVG and PNG where a point is feasible.

    Of a multi-fidelity search the rows of the last rung are shown. Raises as `write_page`, and InputError for a store
    that cannot be read.
    """
    from hwsim.sweep.pictures import save_picture
    from hwsim.sweep.search import top_rung
    from hwsim.sweep.store import Store

    top = top_rung(study)
    with Store(store_path) as store:
        rows = [outcome.row for outcome in store.trials(store.chosen(study.name)) if outcome.rung == top]
    units = units_of(study)
    files = write_page(study, rows, folder, points=points, units=units)
    answer = Answer(study, rows)
    suffixes = ("svg", "png") if answer.rows else ()
    return files + [save_picture(answer, Path(folder) / f"sweep.{suffix}", units) for suffix in suffixes]


def report_name(row: Row) -> str:
    """Where the report of a front point lies, beside the page."""
    return f"points/{short(row)}.html"


# --- the page ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the template writes."""

    title: str
    lead: str
    summary: str
    finding: str
    cards: list[tuple[str, str, list[str]]]
    thinned: str
    detailed: str
    data: Markup
    sensitivity: Markup | None
    sensitivity_note: str
    volume: Markup | None
    volume_note: str
    space: Table
    constraints: list[str]
    front: Table
    reasons: Table
    failed: int


def html(
    answer: Answer,
    results: Mapping[int, tuple[Row, Result]],
    units: Mapping[str, str],
    points: int | None = None,
    reports: int = 0,
) -> str:
    """The whole page as text. `results` are runs of front points by their place, the first `reports` of which have a
    report beside the page."""
    template, style, script = _template()
    page = _page(answer, results, units, points, reports)
    return template.render(p=page, policy=report_page.policy_of(style, script), style=Markup(style),
                           script=Markup(script))  # fmt: skip


@lru_cache(maxsize=1)
def _template() -> tuple[Template, str, str]:
    environment = report_page.environment_of("hwsim.sweep", "hwsim.report")
    style = report_page.source_of(environment, "page.css") + report_page.source_of(environment, "sweep.css")
    return environment.get_template("sweep.html.j2"), style, report_page.source_of(environment, "sweep.js")


def _page(
    answer: Answer,
    results: Mapping[int, tuple[Row, Result]],
    units: Mapping[str, str],
    points: int | None,
    reports: int,
) -> Page:
    study, shares, volume = answer.study, answer.sensitivities(), answer.volume()
    labels = [objective_label(o.figure) for o in study.objectives]
    details = details_of(answer, results, reports)
    data, places = fitting(answer, units)
    commands = {
        short(answer.rows[i]): command_of(study, answer.rows[i], units) for i in answer.front if i in set(places)
    }
    strongest = plain(shares[0][0].key, 60) if shares and shares[0] else ""
    return Page(
        title=plain(study.name, 80),
        lead=_lead(answer, points),
        summary=plain(study.summary, 600),
        finding=_finding(labels, shares),
        cards=_cards(answer, labels, volume, points),
        thinned=_thinned(answer, places, points),
        detailed=_detailed(answer, details["breakdowns"]),
        data=embedded({**data, **details, "commands": commands, "strongest": strongest}),
        sensitivity=charts.sensitivity_bars(labels, shares) if shares and shares[0] else None,
        sensitivity_note=_sensitivity_note(answer),
        volume=charts.volume_line(volume) if volume else None,
        volume_note=_volume_note(answer, labels),
        space=_space_table(answer, units),
        constraints=list_of(plain(c, 300) for c in study.constraints),
        front=_front_table(answer, labels, units),
        reasons=_reasons(answer.every),
        failed=sum(row.status == FAILED for row in answer.every),
    )  # fmt: skip


def _lead(answer: Answer, points: int | None) -> str:
    study = answer.study
    asked = " and ".join(plain(a, 60) for a in study.accelerators[:4]) + " running "
    asked += " and ".join(plain(w, 60) for w in study.workloads[:4])
    timing = {"closed": "closed-form timing", "events": "event-by-event timing"}.get(study.fidelity, study.fidelity)
    bound = ", ".join(f"{plain(k, 30)} = {digits(v)}" for k, v in list(study.bind.items())[:10])
    method = plain(study.method, 30) + (f" with seed {study.seed}" if study.method != "grid" else "")
    return "  ·  ".join(part for part in (asked, bound, method, plain(timing, 40)) if part)


def _finding(labels: Sequence[str], shares: Sequence[Sequence[Sensitivity]]) -> str:
    """What moves each objective most, in a sentence."""
    told = []
    for label, indices in zip(labels, shares, strict=True):
        if indices and indices[0].total > 0:
            first = indices[0]
            alone = f" ({percent(first.first)} alone)" if first.total - first.first > 0.005 else ""
            told.append(
                f"{plain(first.key, 60)} takes part in {percent(first.total)} of the variance of {label}{alone}"
            )
    return "; ".join(told) + "." if told else ""


def _cards(
    answer: Answer, labels: Sequence[str], volume: Sequence[Progress], points: int | None
) -> list[tuple[str, str, list[str]]]:
    every = points if points is not None else len(answer.every)
    seen = Counter(row.status for row in answer.every)
    others = [f"{seen[s]:,} {s}" for s in (INFEASIBLE, FAILED) if seen[s]]
    cards = [
        ("Points", f"{every:,}", [*others, f"{len(answer.rows):,} feasible rows"]),
        ("On the front", f"{len(answer.front):,}", [f"of {len(labels)} objective{'s' * (len(labels) > 1)}"]),
    ]
    for k, (label, objective) in enumerate(zip(labels, answer.study.objectives, strict=True)):
        word = "Most" if objective.direction is Direction.MAXIMIZE else "Least"
        if answer.rows and np.isfinite(answer.goals[:, k]).any():
            value = float(answer.goals[answer.best(k), k])
            cards.append((f"{word} {label}", _shown(value, unit_shown(objective.figure)), []))
    if volume:
        cards.append(("Hypervolume", percent(volume[-1].volume), ["of the box from worst to best"]))
    return cards


def _shown(value: float, unit: str) -> str:
    """A figure for people."""
    if not math.isfinite(value):
        return f"{value:g}"
    if unit == "%":
        return percent(value)
    if unit in {"mm²", "mm2"}:
        return f"{digits(value)} mm²"
    return quantity(value, unit) if unit or abs(value) >= 1e4 else f"{float(f'{value:.3g}'):g}"


def _thinned(answer: Answer, places: Sequence[int], points: int | None) -> str:
    told = []
    if len(places) < len(answer.rows):
        shown = f"{len(places):,} of {len(answer.rows):,} feasible points are drawn"
        told.append(f"{shown}: the front, the extremes of each figure, and of the others every k-th.")
        told.append("Front, hypervolume and sensitivities are of all.")
    missing = len(answer.front) - len(set(places) & set(answer.front))
    if missing:
        told.append(f"{missing:,} points of the front are not drawn.")
    if points is not None and points > len(answer.every):
        told.append(f"The store keeps {len(answer.every):,} rows of {points:,} points; this page shows those.")
    return " ".join(told)


def _detailed(answer: Answer, breakdowns: Mapping[str, object]) -> str:
    if len(breakdowns) == len({short(answer.rows[i]) for i in answer.front}):
        return "Every point of the front has its breakdown here; of others the page holds the figures."
    return (f"{len(breakdowns):,} of the {len(answer.front):,} points of the front, evenly along the first objective, "
            "have their breakdown here; of others the page holds the figures.")  # fmt: skip


def _sensitivity_note(answer: Answer) -> str:
    study = answer.study
    method = {"grid": "over the feasible points of the grid"}.get(study.method) or (
        "estimated from a sample of the space" if study.method in ("random", "sobol") else
        "estimated from what the search visited, which is not spread evenly")  # fmt: skip
    holes = (" Points that fell out leave holes in the grid, so parameters are not quite independent."
             if study.method == "grid" and len(answer.rows) < len(answer.every) else "")  # fmt: skip
    bars = ("Dark: what the parameter explains alone (first-order index). Light: what it explains together with "
            "others, on top of that (up to the total index).")  # fmt: skip
    return f"Share of the variance of each objective, {method}. {bars}{holes}"


def _volume_note(answer: Answer, labels: Sequence[str]) -> str:
    if not answer.rows:
        return ""
    finite = bool(np.isfinite(answer.goals).all(axis=1).any())
    worst = worst_of(answer.goals, answer.directions).tolist() if finite else []
    corner = ", ".join(f"{label} {_shown(w, unit_shown(o.figure))}"
                       for label, w, o in zip(labels, worst, answer.study.objectives, strict=False))  # fmt: skip
    return (f"Share of the box between the worst and the best value of each objective that the points found so far "
            f"dominate, in the order they were evaluated. The worst corner: {corner}.")  # fmt: skip


def _space_table(answer: Answer, units: Mapping[str, str]) -> Table:
    def row(key: str) -> tuple[str, ...]:
        levels = answer.levels(key)
        texts = [value_text(v, units.get(key, "")) for v in levels]
        shown = ", ".join(texts) if len(texts) <= 12 else f"{texts[0]} to {texts[-1]}"
        return plain(key, 60), plain(shown, 300), f"{len(levels):,}"

    return table_of(("parameter", "values", "different values"), map(row, answer.keys), (0, 1))


def _front_table(answer: Answer, labels: Sequence[str], units: Mapping[str, str]) -> Table:
    def row(i: int) -> tuple[str, ...]:
        values = [value_text(answer.rows[i].assignment.get(key), units.get(key, "")) for key in answer.keys]
        goals = [_shown(float(g), unit_shown(o.figure)) for g, o in zip(answer.goals[i], answer.study.objectives,
                                                                       strict=True)]  # fmt: skip
        return (short(answer.rows[i]), *values, *goals)

    order = sorted(answer.front, key=lambda i: (answer.goals[i, 0], i))
    heads = ("point", *(plain(key, 40) for key in answer.keys), *labels)
    return table_of(heads, map(row, order), (0,))


def _reasons(rows: Iterable[Row]) -> Table:
    """Why points are not feasible, the most frequent kind of reason first, each by its first example."""
    counts: Counter[tuple[str, str]] = Counter()
    example: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.status != OK:
            text = row.why.partition("\n")[0][:400]
            kind = (row.status, views.family(text))
            counts[kind] += 1
            example.setdefault(kind, text)
    order = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))[:TOP_REASONS]
    every = ((plain(example[kind], 300) or "(no reason given)", kind[0], f"{n:,}") for kind, n in order)
    return table_of(("reason, by its first example", "status", "points"), every, (0, 1))
