"""Pictures of a space of workloads on several machines, by matplotlib: points under the ceilings of each machine, and
heat maps of a share over two sizes. PNG, PDF or SVG, the same bytes every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from hwsim.report.plots import FORMATS, SETTINGS, UNDATED
from hwsim.report.text import digits, plain, quantity

LEAST_SHARE = 1e-3
"""The colour of a share this small or smaller is the darkest."""
_BRIGHT = 0.1
"""From this share on a cell is light enough for dark figures."""
_WHOLE = 0.095
"""From this share on, per cent are rounded to whole ones; below, to one figure."""
_COLOURS = 64
"""Steps of the scale: each is a shape in the file."""
_BEYOND = 2
"""A roofline goes on for so many times its ridge at least."""
_MANY = 6
"""Columns from which on their labels are turned."""


@dataclass(frozen=True, slots=True)
class RoofPanel:
    """One machine: points at operations a byte and operations a second, each of a level, and its two ceilings."""

    title: str
    ops_per_byte: Sequence[float]
    ops_per_s: Sequence[float]
    level: Sequence[int]
    peak_ops_per_s: float
    memory_bits_per_s: float


@dataclass(frozen=True, slots=True)
class HeatPanel:
    """Shares in [0, 1], a row for each of `rows` and a column for each of `columns`; NaN where there is none."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    shares: Sequence[Sequence[float]]
    row_label: str
    column_label: str


def roofline_figure(panels: Sequence[RoofPanel], levels: Sequence[str], parameter: str) -> Figure:
    """A panel for each machine on common scales; colours are the levels of `parameter`."""
    figure = Figure(figsize=(2.6 * len(panels) + 0.6, 3.2), layout="constrained")
    row = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    colours = colormaps["viridis"].resampled(max(len(levels), 2))
    for axes, panel in zip(row, panels, strict=True):
        for level, label in enumerate(levels):
            at = [i for i, own in enumerate(panel.level) if own == level]
            axes.scatter([panel.ops_per_byte[i] for i in at], [panel.ops_per_s[i] for i in at], s=5,
                         color=colours(level), label=plain(label, 24), linewidths=0)  # fmt: skip
        axes.set(xscale="log", yscale="log", title=plain(panel.title, 40))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: digits(value)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value, "op/s")))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_formatter(NullFormatter())
    right = max(row[0].get_xlim()[1], *(_BEYOND * _ridge(panel) for panel in panels))
    for axes, panel in zip(row, panels, strict=True):
        _ceilings(axes, panel, right)
    figure.supxlabel("operations per byte of DRAM traffic")
    row[0].set_ylabel("operations per second")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, title=plain(parameter, 30), loc="outside right center", frameon=False,
                  markerscale=2)  # fmt: skip
    return figure


def _ridge(panel: RoofPanel) -> float:
    """Operations a byte at which memory is as fast as compute."""
    return 8 * panel.peak_ops_per_s / panel.memory_bits_per_s


def _ceilings(axes: Axes, panel: RoofPanel, right: float) -> None:
    """Memory up to the ridge, compute from there on."""
    left = axes.get_xlim()[0]
    corner = max(_ridge(panel), left)
    axes.plot([left, corner], [panel.memory_bits_per_s / 8 * x for x in (left, corner)], color="black", linewidth=1)
    axes.plot([corner, right], [panel.peak_ops_per_s] * 2, color="black", linewidth=1)
    axes.set_xlim(left, right)


def heat_figure(panels: Sequence[Sequence[HeatPanel]]) -> Figure:
    """Rows of equally many panels; a darker cell is a smaller share, a white one has none."""
    wide, high = len(panels[0]), sum(0.2 * len(row[0].rows) + 0.75 for row in panels)
    figure = Figure(figsize=(2.35 * wide + 0.8, high), layout="constrained")
    grid = figure.subplots(len(panels), wide, squeeze=False, height_ratios=[len(row[0].rows) for row in panels])
    norm, colours = LogNorm(LEAST_SHARE, 1.0), colormaps["viridis"].resampled(_COLOURS)
    for line, row in zip(grid, panels, strict=True):
        for axes, panel in zip(line, row, strict=True):
            _cells(axes, panel, norm, colours)
            axes.set_yticks(
                [i + 0.5 for i in range(len(panel.rows))], panel.rows if axes is line[0] else [""] * len(panel.rows)
            )
            axes.set_ylabel(plain(panel.row_label, 30) if axes is line[0] else "")
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=grid, aspect=40, shrink=0.8, pad=0.01)
    if bar.solids is not None:
        # Drawings alone, also where a viewer would show gaps between the steps.
        bar.solids.set(rasterized=False, edgecolor="face")
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{digits(100 * value)} %"))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    return figure


def _cells(axes: Axes, panel: HeatPanel, norm: LogNorm, colours: Colormap) -> None:
    """One heat map with its columns named."""
    values = [[max(v, LEAST_SHARE) for v in shares] for shares in panel.shares]
    axes.pcolormesh(values, norm=norm, cmap=colours, edgecolors="white", linewidth=0.4)
    _figures(axes, panel)
    axes.set_title(plain(panel.title, 60), fontsize=8)
    axes.set_xticks([i + 0.5 for i in range(len(panel.columns))], panel.columns)
    axes.set_xlabel(plain(panel.column_label, 30), labelpad=1)
    axes.tick_params(length=0, labelsize=6.5)
    if len(panel.columns) > _MANY:
        axes.tick_params(axis="x", rotation=45, pad=1)


def _figures(axes: Axes, panel: HeatPanel) -> None:
    """Every share as per cent, in its cell."""
    for y, shares in enumerate(panel.shares):
        for x, share in enumerate(shares):
            if not math.isnan(share):
                text = f"{100 * share:.0f}" if share >= _WHOLE else f"{100 * share:.1g}"
                axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=5.5,
                          color="black" if share >= _BRIGHT else "white")  # fmt: skip


def save(figure: Figure, path: Path) -> Path:
    """Write a picture to `path`, whose suffix is one of `plots.FORMATS`; answers with it.

    Raises ValueError for another suffix, OSError when it cannot be written.
    """
    suffix = path.suffix.removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(f"{suffix!r} is none of {', '.join(FORMATS)}")
    with rc_context(SETTINGS):
        figure.savefig(path, metadata=UNDATED[suffix], dpi=150)
    return path
