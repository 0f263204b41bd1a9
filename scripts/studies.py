"""Run the shipped studies and write what docs/studies.md shows of them: a picture and the numbers it was drawn from.

    python scripts/studies.py [NAME ...]

For each sweeps/NAME.yaml: docs/studies/NAME.svg, and docs/studies/NAME.json, which tests/test_studies.py compares with
points that it runs again. A study of workload families that SPACES names gets two pictures more: NAME_roofline.svg,
its points under the ceilings of each machine, and NAME_heat.svg, utilisation over two sizes.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context

from hwsim.report import space_plots
from hwsim.report.plots import SETTINGS
from hwsim.report.space_plots import HeatPanel, RoofPanel
from hwsim.sweep.answer import Answer, rerun, units_of
from hwsim.sweep.file import load_study
from hwsim.sweep.pictures import save_picture
from hwsim.sweep.runner import run_study
from hwsim.sweep.store import Store
from hwsim.sweep.study import ACCELERATOR, Row, Value

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "studies"


@dataclass(frozen=True, slots=True)
class Heat:
    """A row of heat maps, one for each machine: two keys, and what every other key is."""

    row: str
    column: str
    at: Mapping[str, Value]
    title: str = ""


SPACES: Mapping[str, tuple[str, tuple[Heat, ...]]] = {
    "paradnn_fc": ("bind.batch", (
        Heat("bind.nodes", "bind.batch", {"bind.layers": 8}, "8 layers"),
        Heat("bind.layers", "bind.nodes", {"bind.batch": 1024}, "batch 1024"),
    )),
    "paradnn_cnn": ("bind.filters", tuple(
        Heat("bind.filters", column, {"workload": f"paradnn-{kind}", **at}, f"{kind}, {text}")
        for kind in ("residual", "bottleneck")
        for column, at, text in (("bind.batch", {"bind.blocks": 4}, "4 blocks a group"),
                                 ("bind.blocks", {"bind.batch": 256}, "batch 256"))
    )),
    "paradnn_rnn": ("bind.embedding", tuple(
        Heat("bind.embedding", "bind.batch", {"workload": f"paradnn-{kind}", "bind.layers": 5}, f"{kind}, 5 layers")
        for kind in ("rnn", "lstm", "gru")
    )),
}  # fmt: skip
"""By study: the key that colours its points, and its rows of heat maps."""


def intensity_of(row: Row) -> tuple[float, float]:
    """(operations a byte of DRAM traffic, operations a second) of a point: two operations a multiply-accumulate."""
    m = row.metrics
    moved = (m["traffic_bits.dram.read"] + m["traffic_bits.dram.write"]) / 8
    return 2 * m["macs"] / moved, 2 * m["macs"] / m["latency_s"]


def draw_rooflines(answer: Answer, key: str, path: Path) -> None:
    """The points of every machine under its ceilings, coloured by `key`."""
    levels = answer.levels(key)
    panels = []
    for name in answer.study.accelerators:
        rows = [row for row in answer.rows if row.assignment[ACCELERATOR] == name]
        roofs = rerun(answer.study)(rows[0]).roofs
        x, y = zip(*map(intensity_of, rows), strict=True)
        panels.append(RoofPanel(name, x, y, [levels.index(row.assignment[key]) for row in rows],
                                max(roof.ops_per_s for roof in roofs),
                                next(roof.bits_per_s for roof in roofs if roof.name == "dram")))  # fmt: skip
    with rc_context(SETTINGS):
        space_plots.save(space_plots.roofline_figure(panels, [str(v) for v in levels], bare(key)), path)


def bare(key: str) -> str:
    """A key as a label."""
    return key.removeprefix("bind.")


def draw_heat(answer: Answer, heats: tuple[Heat, ...], path: Path) -> None:
    """Utilisation over two sizes, a row of panels for each of `heats`, a column for each machine."""
    panels = [[heat_of(answer, heat, name) for name in answer.study.accelerators] for heat in heats]
    with rc_context(SETTINGS):
        space_plots.save(space_plots.heat_figure(panels), path)


def heat_of(answer: Answer, heat: Heat, accelerator: str) -> HeatPanel:
    """One heat map."""
    fixed = {ACCELERATOR: accelerator, **heat.at}
    found = {(row.assignment[heat.row], row.assignment[heat.column]): row.metrics["utilisation"]
             for row in answer.rows if fixed.items() <= dict(row.assignment).items()}  # fmt: skip
    rows, columns = answer.levels(heat.row), answer.levels(heat.column)
    shares = [[found.get((y, x), math.nan) for x in columns] for y in rows]
    title = f"{accelerator}: {heat.title}"
    return HeatPanel(title, [str(v) for v in rows], [str(v) for v in columns], shares, bare(heat.row),
                     bare(heat.column))  # fmt: skip


def answer_of(path: Path) -> Answer:
    """The whole study, run in this process."""
    study = load_study(path)
    with tempfile.TemporaryDirectory() as folder:
        run_study(study, Path(folder) / "study.db", engine="serial")
        with Store(Path(folder) / "study.db") as store:
            rows = [outcome.row for outcome in store.trials(store.chosen(study.name))]
    return Answer(study, rows)


def numbers_of(answer: Answer) -> dict[str, Any]:
    """The points with their objectives, the front, and the sensitivities."""
    figures = [o.figure for o in answer.study.objectives]
    return {
        "points": len(answer.every),
        "feasible": len(answer.rows),
        "objectives": figures,
        "front": answer.front,
        "sensitivity": {
            figure: {s.key: [round(s.first, 4), round(s.total, 4)] for s in shares}
            for figure, shares in zip(figures, answer.sensitivities(), strict=True)
        },
        "parameters": answer.keys,
        "rows": [
            [*(row.assignment[key] for key in answer.keys), *goals]
            for row, goals in zip(answer.rows, answer.goals.tolist(), strict=True)
        ],
    }


def main(names: list[str]) -> None:
    """Write the pictures and numbers of the studies called so, or of all."""
    OUT.mkdir(exist_ok=True)
    for path in sorted((ROOT / "sweeps").glob("*.yaml")):
        if not names or path.stem in names:
            answer = answer_of(path)
            save_picture(answer, OUT / f"{path.stem}.svg", units_of(answer.study))
            rows = numbers_of(answer)
            lines = ",\n".join(json.dumps(row) for row in rows.pop("rows"))
            text = json.dumps(rows, indent=1).removesuffix("\n}") + f',\n "rows": [\n{lines}\n]\n}}\n'
            (OUT / f"{path.stem}.json").write_text(text, encoding="utf-8")
            if path.stem in SPACES:
                key, heats = SPACES[path.stem]
                draw_rooflines(answer, key, OUT / f"{path.stem}_roofline.svg")
                draw_heat(answer, heats, OUT / f"{path.stem}_heat.svg")
            print(f"{path.stem}: {rows['points']} points, {len(rows['front'])} on the front")


if __name__ == "__main__":
    main(sys.argv[1:])
