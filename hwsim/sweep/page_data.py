"""A sweep as the JSON that its page's script draws: columns of parameters and figures, breakdowns of front points."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from hwsim.report import views
from hwsim.report.text import plain, value_text
from hwsim.result import Result
from hwsim.sweep.answer import Answer, label_of, metric_names, objective_label, short, unit_shown
from hwsim.sweep.study import ACCELERATOR, BIND, WORKLOAD, Direction, Row, Study, Value

DRAWN = 5000
"""Points drawn at most; fewer where their figures would not fit the page."""
DATA_BYTES = 1_200_000
"""Budget of the points' figures."""
DETAIL_BYTES = 500_000
"""Budget of the embedded breakdowns."""
TOP_LAYERS = 40
TOP_PARTS = 12
SIGNIFICANT = 6


def drawn(answer: Answer, most: int) -> list[int]:
    """Places of the points to draw: all, or at most about `most`: the front, the extremes of each figure, and of the
    others every k-th."""
    if len(answer.rows) <= most:
        return list(range(len(answer.rows)))
    kept = set(_evenly(answer.front, most // 2))
    for name in metric_names(answer):
        column = np.array([row.metrics.get(name, math.nan) for row in answer.rows])
        if np.isfinite(column).any():
            kept |= {int(np.nanargmin(column)), int(np.nanargmax(column))}
    rest = [i for i in range(len(answer.rows)) if i not in kept]
    return sorted(kept | set(_evenly(rest, max(most - len(kept), 0))))


def _evenly(places: Sequence[int], most: int) -> list[int]:
    """At most `most` of some places, evenly, with both ends."""
    if len(places) <= most:
        return list(places)
    return [places[i] for i in np.linspace(0, len(places) - 1, most).round().astype(int)] if most else []


def _rounded(value: float) -> float | int | None:
    """A figure to six significant digits, whole where it is; None where it is no finite number."""
    if not math.isfinite(value):
        return None
    if isinstance(value, int) or (value == int(value) and abs(value) < 10**SIGNIFICANT):
        return int(float(f"{value:.{SIGNIFICANT}g}")) if abs(value) >= 10**SIGNIFICANT else int(value)
    return float(f"{value:.{SIGNIFICANT}g}")


def _parameter(answer: Answer, key: str, places: Sequence[int], unit: str) -> dict[str, Any]:
    """A parameter as the script reads it: its levels in order, and each point's level (-1 where it is absent)."""
    column, levels = answer.column(key), answer.levels(key)
    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in levels)
    used = {column[i] for i in places}
    levels = [v for v in levels if v in used]
    place: dict[Value | None, int] = {v: i for i, v in enumerate(levels)} | {None: -1}
    return {
        "key": plain(key, 60),
        "levels": [value_text(v, unit) for v in levels],
        "values": [_rounded(float(v)) for v in levels] if numeric else None,
        "column": [place[column[i]] for i in places],
    }


def data_of(answer: Answer, places: Sequence[int], units: Mapping[str, str]) -> dict[str, Any]:
    """Parameters, figures and objectives of the points at `places`, as columns."""
    names = metric_names(answer)
    objectives = [
        {"label": objective_label(o.figure), "unit": unit_shown(o.figure),
         "maximize": o.direction is Direction.MAXIMIZE,
         "metric": names.index(o.figure) if o.figure in names else -1,
         "column": [_rounded(float(answer.goals[i, k])) for i in places]}
        for k, o in enumerate(answer.study.objectives)
    ]  # fmt: skip
    back = {place: i for i, place in enumerate(places)}
    return {
        "parameters": [_parameter(answer, key, places, units.get(key, "")) for key in answer.keys],
        "metrics": [{"label": label_of(n), "unit": unit_shown(n),
                     "column": [_metric(answer.rows[i], n) for i in places]} for n in names],
        "objectives": objectives,
        "trial": [answer.order[i] for i in places],
        "point": [short(answer.rows[i]) for i in places],
        "front": [back[i] for i in answer.front if i in back],
    }  # fmt: skip


def _metric(row: Row, name: str) -> float | int | None:
    value = row.metrics.get(name)
    return None if value is None else _rounded(value)


def detail_of(result: Result) -> dict[str, Any]:
    """The breakdown of one run: time by limit, phase and layer, energy and area by component, memories."""
    families = views.families(result.layers, few=0)
    return {
        "limits": _parts(views.time_by(result.layers, lambda x: x.bound)),
        "phases": _parts(views.time_by(result.layers, lambda x: x.phase)),
        "layers": [[plain(f"{g.phase}: {g.label}" if g.phase else g.label, 70), g.layers, _rounded(g.exposed_s),
                    _rounded(g.energy_j), plain(g.bound, 40)] for g in families[:TOP_LAYERS]],
        "rest": [max(len(families) - TOP_LAYERS, 0), _rounded(sum(g.exposed_s for g in families[TOP_LAYERS:])),
                 _rounded(sum(g.energy_j for g in families[TOP_LAYERS:]))],
        "energy": _parts(result.energy_breakdown_j),
        "area": _parts(result.area_breakdown_mm2),
        "memory": [[plain(name, 40), result.memory_peak_bits.get(name, 0), capacity]
                   for name, capacity in result.memory_capacity_bits.items()][:TOP_PARTS],
    }  # fmt: skip


def _parts(parts: Mapping[str, float]) -> list[list[Any]]:
    return [[plain(name, 40), _rounded(value)] for name, value in views.headed(parts, TOP_PARTS)]


def command_of(study: Study, row: Row, units: Mapping[str, str]) -> str:
    """The command that reports on a row's point alone."""
    given = dict(text.partition("=")[::2] for text in study.fixed)
    given |= {k: value_text(v, units.get(k, "")) for k, v in row.assignment.items() if not k.startswith(BIND)}
    bound: dict[str, Value] = {**study.bind, **{k.removeprefix(BIND): v for k, v in row.assignment.items()
                                                if k.startswith(BIND)}}  # fmt: skip
    names = (given.pop(ACCELERATOR, study.accelerators[0]), given.pop(WORKLOAD, study.workloads[0]))
    words = ["hwsim", "report", "-a", names[0], "-w", names[1]]
    words += ["--train", "--optimizer", study.train] if study.train else []
    for key, text in given.items():
        words += ["--set", f"{key}={text}"]
    for key, value in bound.items():
        words += ["--bind", f"{key}={value_text(value)}"]
    words += [] if study.fidelity == "closed" else ["--fidelity", study.fidelity]
    return plain(" ".join(map(shlex.quote, [*words, "--out", "report"])), 2000)


def details_of(answer: Answer, results: Mapping[int, tuple[Row, Result]], reports: int) -> dict[str, Any]:
    """By the point's short hash: its breakdown, and whether its report lies beside the page. What goes beyond the
    budget is left out, evenly along the front."""
    found = {short(row): detail_of(result) for row, result in results.values()}
    written = [short(row) for row, _ in results.values()][:reports]
    while sum(len(embedded(d)) for d in found.values()) > DETAIL_BYTES:
        found = dict(list(found.items())[::2])
    return {"breakdowns": found, "reports": written}


def embedded(document: object) -> Markup:
    """JSON that HTML can hold within a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def fitting(answer: Answer, units: Mapping[str, str]) -> tuple[dict[str, Any], list[int]]:
    """The data of as many points as fit the page, and their places."""
    most = DRAWN
    while True:
        places = drawn(answer, most)
        data = data_of(answer, places, units)
        if len(embedded(data)) <= DATA_BYTES or most < 100:
            return data, places
        most = most * 3 // 4
