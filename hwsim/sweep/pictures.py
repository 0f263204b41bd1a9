"""A sweep's picture for papers and slides: its points, its front, and what explains each objective."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hwsim.report.text import value_text
from hwsim.sweep.answer import Answer, objective_label, unit_shown
from hwsim.sweep.pareto import Floats

WIDE = 8.0
"""An axis is logarithmic where its largest value is more than this many times its smallest."""


def save_picture(answer: Answer, path: Path, units: Mapping[str, str]) -> Path:
    """Write the first two objectives (or the one, over the strongest parameter) of a sweep with feasible points to
    `path`: .png, .svg or .pdf; answers with it.

    Raises ValueError for another suffix or a sweep without feasible points, OSError when it cannot be written.
    """
    from hwsim.report import sweep_plots

    if not answer.rows:
        raise ValueError("no feasible point to draw")
    shares = answer.sensitivities()
    labels = [objective_label(o.figure) for o in answer.study.objectives]
    strongest = shares[0][0].key if shares[0] else ""
    levels = answer.levels(strongest) if strongest else []
    texts = [value_text(v, units.get(strongest, "")) for v in levels] or [""]
    place = {v: n for n, v in enumerate(levels)}
    level = [place.get(v, 0) for v in answer.column(strongest)]  # type: ignore[arg-type]
    scales = [sweep_plots.Scale(label, unit_shown(o.figure), _wide(answer.goals[:, k]))
              for k, (label, o) in enumerate(zip(labels, answer.study.objectives, strict=True))]  # fmt: skip
    flat = sweep_plots.Scale(strongest, "", False)
    several = len(labels) > 1
    cloud = sweep_plots.Cloud(
        x=answer.goals[:, 0].tolist() if several else list(map(float, level)),
        y=answer.goals[:, 1 if several else 0].tolist(),
        level=level,
        levels=texts,
        front=answer.front,
        x_scale=scales[0] if several else flat,
        y_scale=scales[1 if several else 0],
        parameter=strongest,
    )
    bars = [sweep_plots.Shares(label, [s.key for s in own], [s.first for s in own], [s.total for s in own])
            for label, own in zip(labels, shares, strict=True)]  # fmt: skip
    return sweep_plots.save_figure(cloud, bars, path)


def _wide(values: Floats) -> bool:
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and bool(finite.min() > 0 and finite.max() > WIDE * finite.min())
