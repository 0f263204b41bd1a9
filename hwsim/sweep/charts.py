"""The pictures of a sweep's page that need no script: sensitivities and hypervolume, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from hwsim.report import svg
from hwsim.report.charts import clipped
from hwsim.report.text import percent, plain
from hwsim.sweep.pareto import Progress
from hwsim.sweep.sensitivity import Sensitivity

WIDTH = 1120.0
LABEL_PX = 210.0
VALUE_PX = 150.0
TOP_PARAMETERS = 12
MAX_STEPS = 400


def sensitivity_bars(labels: Sequence[str], shares: Sequence[Sequence[Sensitivity]]) -> Markup:
    """A block of bars an objective, one bar a parameter: first-order index, then up to the total index."""
    y, marks = 0.0, []
    for label, indices in zip(labels, shares, strict=True):
        marks.append(svg.text(0, y + 16, f"Variance of {label}", "strong"))
        y += 26
        for s in indices[:TOP_PARAMETERS]:
            marks.append(_bar(y, s))
            y += 22
        y += 14
    return svg.drawing(WIDTH, y, "Sensitivity of each objective to each parameter", *marks)


def _bar(y: float, s: Sensitivity) -> Markup:
    room = WIDTH - LABEL_PX - VALUE_PX
    name, first, total = plain(s.key, 60), min(s.first, 1.0), max(s.first, s.total)
    tip = f"{name}: first-order index {percent(s.first)}, total index {percent(s.total)}"
    return Markup("").join((
        svg.text(LABEL_PX - 10, y + 13, clipped(name, LABEL_PX - 20), anchor="end"),
        svg.rect(LABEL_PX, y + 2, room, 15, "well"),
        svg.rect(LABEL_PX, y + 2, room * total, 15, "joint", tip),
        svg.rect(LABEL_PX, y + 2, room * first, 15, "c0", tip),
        svg.text(WIDTH - VALUE_PX + 12, y + 13, f"{percent(s.first)}, total {percent(s.total)}", "small muted"),
    ))  # fmt: skip


def volume_line(volume: Sequence[Progress]) -> Markup:
    """The hypervolume's share of its box after each number of points, as steps."""
    left, top, width, height = 60.0, 12.0, WIDTH - 80.0, 190.0
    last = max(volume[-1].points, 1)

    def x(points: int) -> float:
        return left + width * points / last

    def y(share: float) -> float:
        return top + height * (1 - share)

    steps = _thinned(volume)
    corners = [(x(steps[0].points), y(steps[0].volume))]
    for before, after in pairwise(steps):
        corners += [(x(after.points), y(before.volume)), (x(after.points), y(after.volume))]
    marks = [_level(left, width, y(share), share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        anchor = "end" if share == 1 else "middle"
        marks.append(
            svg.text(x(round(share * last)), top + height + 18, f"{round(share * last):,}", "small muted", anchor)
        )
    marks.append(svg.text(left + width / 2, top + height + 36, "points evaluated", "small muted", "middle"))
    marks.append(svg.path(corners, "trace"))
    return svg.drawing(WIDTH, top + height + 42, "Hypervolume over the points evaluated", *marks)


def _thinned(volume: Sequence[Progress]) -> list[Progress]:
    """At most about `MAX_STEPS` of the steps, with the first and the last."""
    every = -(-len(volume) // MAX_STEPS)
    return [*volume[:-1:every], volume[-1]]


def _level(left: float, width: float, y: float, share: float) -> Markup:
    return Markup("").join((
        svg.line(left, y, left + width, y, "grid"),
        svg.text(left - 8, y + 4, f"{share:.0%}", "small muted", "end"),
    ))  # fmt: skip
