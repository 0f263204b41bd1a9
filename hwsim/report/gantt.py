"""A picture of rows over time: who did what when, each piece of work a bar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hwsim.report import svg
from hwsim.report.arena import HUES, STYLE
from hwsim.report.text import plain, quantity

WIDTH, LEFT, TOP, LANE, ROW = 1120.0, 130.0, 46.0, 20.0, 18.0
LEGEND_PX = 210.0
TICKS = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """Work from `start_s` to `end_s`, of a kind (its colour), and what a pointer over it says."""

    start_s: float
    end_s: float
    kind: int
    about: str


@dataclass(frozen=True, slots=True)
class Lane:
    """Who did it, and its bars."""

    label: str
    bars: Sequence[Bar]


def picture(title: str, rows: Sequence[Lane], kinds: Sequence[str], start_s: float, end_s: float) -> Markup:
    """A whole SVG file of `rows` from `start_s` to `end_s`, with the names of the kinds of work under it."""
    span = (end_s - start_s) or 1.0
    scale = (WIDTH - LEFT - 20) / span
    foot = TOP + LANE * len(rows)
    a_row = max(1, int((WIDTH - LEFT) // LEGEND_PX))
    height = foot + 44 + ROW * -(-len(kinds) // a_row)
    parts = [
        svg.tag("style", Markup(STYLE)),
        svg.text(LEFT, 24, plain(title, 140), "strong"),
        *_ticks(span, scale, foot),
        *(part for i, lane in enumerate(rows) for part in _lane(i, lane, start_s, scale)),
        *_legend(kinds, a_row, foot + 44),
    ]
    return svg.tag("svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH:g} {height:g}", role="img",
                   aria_label=plain(title, 140))  # fmt: skip


def _ticks(span: float, scale: float, foot: float) -> Iterator[Markup]:
    for i in range(TICKS + 1):
        x = LEFT + scale * span * i / TICKS
        yield svg.line(x, TOP - 4, x, foot, "grid")
        yield svg.text(x, foot + 16, quantity(span * i / TICKS, "s") if i else "0", "small muted", "middle")


def _lane(i: int, lane: Lane, start_s: float, scale: float) -> Iterator[Markup]:
    y = TOP + LANE * i
    yield svg.text(LEFT - 8, y + 13, plain(lane.label, 20), "small", "end")
    for bar in lane.bars:
        x = LEFT + scale * (bar.start_s - start_s)
        about = f"{plain(bar.about)}, {quantity(bar.end_s - bar.start_s, 's')}"
        yield svg.rect(x, y + 2, scale * (bar.end_s - bar.start_s), LANE - 4, f"block c{bar.kind % HUES}", about)


def _legend(kinds: Sequence[str], a_row: int, top: float) -> Iterator[Markup]:
    for i, kind in enumerate(kinds):
        x, y = LEFT + LEGEND_PX * (i % a_row), top + ROW * (i // a_row)
        yield svg.rect(x, y - 9, 12, 10, f"c{i % HUES}")
        yield svg.text(x + 17, y, plain(kind, 32), "small")
