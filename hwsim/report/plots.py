"""The main pictures as files for papers and slides, by matplotlib: PNG, PDF or SVG, the same bytes every time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from hwsim.report import views
from hwsim.report.text import digits, plain, quantity
from hwsim.result import Result

FORMATS = ("png", "svg", "pdf")
_TOP_GROUPS = 15
_COLOURS = ("#3869b0", "#e18a2b", "#3c9a68", "#b8475c", "#7a5fb0", "#8a6a4c", "#2f9db3", "#a8a13a")
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hwsim",
    "font.size": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=_COLOURS),
    "text.parse_math": False,
}
UNDATED: dict[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""What to leave out of a file so that it is the same bytes every time."""


def layers_figure(result: Result) -> Figure:
    """Exposed time and, stacked by component, energy of the longest groups of layers, side by side."""
    groups = views.families(result.layers)[:_TOP_GROUPS]
    figure = Figure(figsize=(9, 0.6 + 0.22 * max(len(groups), 1)), layout="constrained")
    time, energy = figure.subplots(1, 2, sharey=True)
    labels = [f"{plain(g.label, 50)} ×{g.layers}" for g in groups]
    rows = range(len(groups))
    time.barh(rows, [1e6 * g.exposed_s for g in groups], color=_COLOURS[0])
    time.set(xlabel="exposed time [µs]", yticks=rows, yticklabels=labels)
    _stack_energy(energy, groups)
    energy.set(xlabel="energy [µJ]")
    time.invert_yaxis()
    return figure


def _stack_energy(axes: Axes, groups: Sequence[views.Group]) -> None:
    left = [0.0] * len(groups)
    for name, _ in views.ranked(views.total_of(g.energy_breakdown_j for g in groups)):
        widths = [1e6 * g.energy_breakdown_j.get(name, 0.0) for g in groups]
        axes.barh(range(len(groups)), widths, left=left, label=plain(name, 40))
        left = [a + b for a, b in zip(left, widths, strict=True)]
    if groups:
        axes.legend(frameon=False)


def roofline_figure(result: Result) -> Figure:
    """Layers under the roofs, log-log; those that move nothing through the level are left out."""
    roof = views.roofline(result, views.families(result.layers))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    points = [p for p in roof.points if math.isfinite(p.ops_per_bit)]
    axes.set(xscale="log", yscale="log", xlabel=f"operations per byte through {plain(roof.level, 40)}",
             ylabel="operations per second")  # fmt: skip
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: digits(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: quantity(value, "op/s")))
    axes.scatter([8 * p.ops_per_bit for p in points], [p.ops_per_s for p in points], s=14, color=_COLOURS[0])
    _draw_roofs(axes, roof)
    return figure


def _draw_roofs(axes: Axes, roof: views.Roofline) -> None:
    """Each compute roof from its ridge on, and the memory roof two decades below the highest."""
    left, right = axes.get_xlim()
    for _, peak in roof.compute:
        ridge = 8 * peak / roof.bits_per_s if roof.bits_per_s else left
        axes.plot([ridge, max(right, 10 * ridge)], [peak, peak], color="black", linewidth=1)
    if roof.bits_per_s and roof.compute:
        peak = max(value for _, value in roof.compute)
        ridge = 8 * peak / roof.bits_per_s
        axes.plot([ridge / 100, ridge], [peak / 100, peak], color="black", linewidth=1)


def save(result: Result, folder: Path, suffix: str = "png") -> list[Path]:
    """Write `layers` and `roofline` with `suffix` (one of FORMATS) into `folder`; answers with the files.

    Raises ValueError for another suffix, OSError when the folder cannot be written.
    """
    if suffix not in FORMATS:
        raise ValueError(f"{suffix!r} is none of {', '.join(FORMATS)}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with rc_context(SETTINGS):
        for name, figure in (("layers", layers_figure(result)), ("roofline", roofline_figure(result))):
            written.append(folder / f"{name}.{suffix}")
            figure.savefig(written[-1], metadata=UNDATED[suffix], dpi=150)
    return written
