"""Predicted against measured, a panel a table, by matplotlib: PNG, PDF or SVG, the same bytes every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hwsim.report.plots import SETTINGS, UNDATED
from hwsim.report.text import digits, plain

_SIDES = (("fit", False, "#a9a9a9", "o"), ("held out", True, "#3869b0", "^"))
_BAND = 0.2
"""Half width of the band around the diagonal, as a fraction of what was measured."""
_MARGIN = 1.3


@dataclass(frozen=True, slots=True)
class Cloud:
    """One panel: a table's measured and predicted values, and which rows are held out."""

    title: str
    axis: str
    measured: Sequence[float]
    predicted: Sequence[float]
    held_out: Sequence[bool]


def figure_of(clouds: Sequence[Cloud]) -> Figure:
    """One square panel a cloud, side by side, both axes logarithmic and alike."""
    figure = Figure(figsize=(4.2 * len(clouds), 4.2), layout="constrained")
    for axes, cloud in zip(figure.subplots(1, len(clouds), squeeze=False)[0], clouds, strict=True):
        _panel(axes, cloud)
    return figure


def _panel(axes: Axes, cloud: Cloud) -> None:
    values = [*cloud.measured, *cloud.predicted]
    low, high = min(values) / _MARGIN, max(values) * _MARGIN
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal",
             title=plain(cloud.title, 60), xlabel=f"measured {plain(cloud.axis, 40)}",
             ylabel=f"predicted {plain(cloud.axis, 40)}")  # fmt: skip
    ends = [low, high]
    axes.fill_between(ends, [x * (1 - _BAND) for x in ends], [x * (1 + _BAND) for x in ends], color="#f0ead8",
                      linewidth=0, label=f"within {_BAND:.0%}")  # fmt: skip
    axes.plot(ends, ends, color="black", linewidth=0.8)
    for name, side, colour, marker in _SIDES:
        at = [i for i, held in enumerate(cloud.held_out) if held == side]
        if at:
            axes.scatter([cloud.measured[i] for i in at], [cloud.predicted[i] for i in at], s=7, color=colour,
                         marker=marker, linewidths=0, alpha=0.8, label=f"{name} ({len(at)})")  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=6))
        axis.set_major_formatter(FuncFormatter(lambda value, _: digits(value)))
        axis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, loc="upper left")


def save(clouds: Sequence[Cloud], path: Path) -> Path:
    """Write the picture to `path`, whose suffix is one of `plots.FORMATS`; answers with it.

    Raises OSError when the file cannot be written.
    """
    with rc_context(SETTINGS):
        figure_of(clouds).savefig(path, metadata=UNDATED[path.suffix.removeprefix(".")], dpi=150)
    return path
