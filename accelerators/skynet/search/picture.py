"""The picture of a search: every network on the engines that fit, by time and accuracy, and what explains each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from accelerators.skynet.search.engines import FRAME_S, Designed
from hwsim.report import sweep_plots
from hwsim.report.text import plain
from hwsim.sweep.answer import Answer
from hwsim.sweep.study import OK, Row, Study

POINTS = 1_500
"""Points drawn beside the front: every k-th."""


def save(study: Study, rows: Sequence[Row], designs: Sequence[Designed], front: Sequence[Designed], path: Path) -> Path:
    """Draw `designs` to `path`; those of `front` are marked. Raises ValueError for a suffix that is no picture's."""
    every = -(-len(designs) // POINTS)
    drawn = [*designs[::every], *front]
    names = sorted({d.candidate.name for d in designs})
    answer = Answer(study, [row for row in rows if row.status == OK][::every])
    shares = [
        sweep_plots.Shares(label, [s.key for s in own], [s.first for s in own], [s.total for s in own])
        for label, own in zip(("time of a frame", "energy of a frame"), answer.sensitivities(), strict=True)
    ]
    cloud = sweep_plots.Cloud(
        x=[d.frame_s for d in drawn],
        y=[d.accuracy for d in drawn],
        level=[names.index(d.candidate.name) for d in drawn],
        levels=names,
        front=range(len(drawn) - len(front), len(drawn)),
        x_scale=sweep_plots.Scale(plain(f"time of a frame ({FRAME_S})", 60), "s", True),
        y_scale=sweep_plots.Scale("accuracy by the measure, bits in it", "", False),
        parameter="network",
    )
    return sweep_plots.save_figure(cloud, shares, path)
