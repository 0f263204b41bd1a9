"""Run the shipped studies and write what docs/studies.md shows of them: a picture and the numbers it was drawn from.

    python scripts/studies.py [NAME ...]

For each sweeps/NAME.yaml: docs/studies/NAME.svg, and docs/studies/NAME.json, which tests/test_studies.py compares with
points that it runs again.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from hwsim.sweep.answer import Answer, units_of
from hwsim.sweep.file import load_study
from hwsim.sweep.pictures import save_picture
from hwsim.sweep.runner import run_study
from hwsim.sweep.store import Store

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "studies"


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
            print(f"{path.stem}: {rows['points']} points, {len(rows['front'])} on the front")


if __name__ == "__main__":
    main(sys.argv[1:])
