"""Pictures of a space of workloads: ceilings where they belong, figures in their cells, the same bytes twice."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hwsim.report.space_plots import HeatPanel, RoofPanel, heat_figure, roofline_figure, save
from hwsim.report.sweep_plots import _tick

ROOFS = (
    RoofPanel("small", [0.5, 200.0], [1e9, 5e10], [0, 1], 1e11, 8e9),
    RoofPanel("large", [10.0], [1e12], [1], 1e13, 8e12),
)
HEAT = HeatPanel(
    "share", ["1", "2"], ["a", "b", "c"], [[0.0042, 0.5, math.nan], [0.0958, 1.0, 1e-5]], "rows", "columns"
)


def test_ceilings_meet_at_the_ridge() -> None:
    figure = roofline_figure(ROOFS, ["few", "many"], "level")
    for axes, panel in zip(figure.axes, ROOFS, strict=True):
        memory, compute = axes.get_lines()
        ridge = 8 * panel.peak_ops_per_s / panel.memory_bits_per_s
        assert memory.get_xdata()[-1] == compute.get_xdata()[0] == pytest.approx(ridge)
        assert list(compute.get_ydata()) == [panel.peak_ops_per_s] * 2
        assert memory.get_ydata()[-1] == pytest.approx(panel.peak_ops_per_s)
        assert axes.get_title() == panel.title
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["few", "many"]


def test_cells_say_their_share() -> None:
    figure = heat_figure([[HEAT, HEAT]])
    for axes in figure.axes[:2]:
        assert [t.get_text() for t in axes.texts] == ["0.4", "50", "10", "100", "0.001"]
        assert [t.get_text() for t in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["1", "2"]
    assert not any(t.get_text() for t in figure.axes[1].get_yticklabels())


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    for name, draw in (
        ("roof", lambda: roofline_figure(ROOFS, ["few", "many"], "level")),
        ("heat", lambda: heat_figure([[HEAT]])),
    ):
        first, second = (save(draw(), tmp_path / f"{name}{i}.svg").read_bytes() for i in (1, 2))
        assert first == second and b"<image" not in first
    with pytest.raises(ValueError, match="'gif' is none of png, svg, pdf"):
        save(heat_figure([[HEAT]]), tmp_path / "a.gif")


def test_shares_are_per_cent_at_an_axis() -> None:
    assert [_tick(v, "%") for v in (1.0, 0.1, 0.001)] == ["100 %", "10 %", "0.1 %"]
    assert (_tick(0.002, "s"), _tick(0.002, "")) == ("2 ms", "0.002")
