"""Pictures of a sweep as files for papers and slides, by matplotlib: PNG, PDF or SVG, the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from hwsim.pure import ceil_div
from hwsim.report.plots import FORMATS, SETTINGS, UNDATED
from hwsim.report.text import digits, plain, quantity

_LEVELS = 16
"""More names than this and the legend takes every second or third, spread over all."""
_TITLE_COLUMNS = 48
"""A longer title would leave the picture."""


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis: what it shows, in what unit ("" for plain numbers), and whether logarithmically."""

    label: str
    unit: str
    log: bool


@dataclass(frozen=True, slots=True)
class Cloud:
    """Points of a sweep in two objectives, coloured by the levels of one parameter."""

    x: Sequence[float]
    y: Sequence[float]
    level: Sequence[int]
    levels: Sequence[str]
    front: Sequence[int]
    x_scale: Scale
    y_scale: Scale
    parameter: str


@dataclass(frozen=True, slots=True)
class Shares:
    """What each parameter explains of one objective: first-order and total indices."""

    objective: str
    keys: Sequence[str]
    first: Sequence[float]
    total: Sequence[float]


def sweep_figure(cloud: Cloud, shares: Sequence[Shares]) -> Figure:
    """The points with their front on the left, what explains each objective on the right."""
    bars = sum(len(share.keys) for share in shares)
    height = max(4.0, 0.125 * bars + 0.4 * len(shares) + 0.5)
    figure = Figure(figsize=(9, height), layout="constrained")
    grid = figure.add_gridspec(max(len(shares), 1), 2, width_ratios=(1.45, 1))
    _cloud(figure.add_subplot(grid[:, 0]), cloud)
    for i, share in enumerate(shares):
        axes = figure.add_subplot(grid[i, 1])
        _shares(axes, share)
        if i < len(shares) - 1:
            axes.set_xticklabels([])
        else:
            axes.set_xlabel("share of the variance (dark: alone; light: with others)")
    return figure


def _cloud(axes: Axes, c: Cloud) -> None:
    colours = colormaps["viridis"].resampled(max(len(c.levels), 2))
    every = ceil_div(len(c.levels), _LEVELS)
    for level in range(len(c.levels)):
        at = [i for i, own in enumerate(c.level) if own == level]
        label = None if level % every else plain(c.levels[level], 24)
        axes.scatter([c.x[i] for i in at], [c.y[i] for i in at], s=12, color=colours(level), label=label, linewidths=0)
    axes.scatter([c.x[i] for i in c.front], [c.y[i] for i in c.front], s=30, facecolors="none", edgecolors="black",
                 linewidths=0.7, label="on the front")  # fmt: skip
    _scale(axes, c.x_scale, "x")
    _scale(axes, c.y_scale, "y")
    axes.legend(title=plain(c.parameter, 30), frameon=False, fontsize=7, labelspacing=0.15)


def _scale(axes: Axes, scale: Scale, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    if scale.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    form = FuncFormatter(lambda value, _: _tick(value, scale.unit))
    axis.set_major_formatter(form)
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    narrow = scale.log and high < 100 * low
    axis.set_minor_formatter(FuncFormatter(lambda value, at: form(value, at) if _round(value) else "") if narrow
                             else NullFormatter())  # fmt: skip
    axis.set_label_text(plain(scale.label, 60))


def _tick(value: float, unit: str) -> str:
    """A value at an axis; a share as per cent."""
    if unit == "%":
        return f"{digits(100 * value)} %"
    return quantity(value, unit) if unit else digits(value)


def _round(value: float) -> bool:
    """Whether a tick between decades is one worth a label: 2, 3 or 5 of its decade."""
    return f"{value:.1e}"[:3] in ("2.0", "3.0", "5.0")


def _shares(axes: Axes, s: Shares) -> None:
    rows = range(len(s.keys))
    axes.barh(rows, [max(f, t) for f, t in zip(s.first, s.total, strict=True)], color="#b9cde8")
    axes.barh(rows, s.first, color="#3869b0")
    axes.set(yticks=rows, yticklabels=[plain(key, 24) for key in s.keys], xlim=(0, 1))
    axes.set_title(fill(plain(s.objective, 90), _TITLE_COLUMNS), fontsize=8, loc="left")
    axes.invert_yaxis()


def save_figure(cloud: Cloud, shares: Sequence[Shares], path: Path) -> Path:
    """Write the picture to `path`, whose suffix is one of `plots.FORMATS`; answers with it.

    Raises ValueError for another suffix, OSError when it cannot be written.
    """
    suffix = path.suffix.removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(f"{suffix!r} is none of {', '.join(FORMATS)}")
    with rc_context(SETTINGS):
        sweep_figure(cloud, shares).savefig(path, metadata=UNDATED[suffix], dpi=150)
    return path
