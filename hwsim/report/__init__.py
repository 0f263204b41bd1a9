"""What a run shows: terminal, HTML, CSV, pictures, timeline. Reads a Result and nothing else."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from hwsim.result import Result


def write_report(result: Result, folder: str | Path) -> list[Path]:
    """Write the whole report of one run into `folder`, which is made when absent; answers with the files written.

    report.html              everything, in one file that needs no network and runs no script
    layers.csv, energy.csv,
    design.csv               the tables at full precision
    result.json              the `--json` document of the run
    timeline.perfetto-trace  opens at ui.perfetto.dev

    The same Result gives the same bytes. Raises OSError when the folder cannot be written.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=target) as made:
        names = _write_into(result, Path(made))
        for name in names:
            os.replace(Path(made) / name, target / name)
    return [target / name for name in names]


def _write_into(result: Result, folder: Path) -> list[str]:
    """Write the report's files; their names. The caller moves them into place, so that a link standing there is
    replaced and not followed, and a report that fails half-way leaves the one before."""
    from hwsim.report import page, tables, timeline  # jinja2, numpy and protobuf load only when a report is written

    trace = "timeline.perfetto-trace"
    notes = timeline.write(result, folder / trace)
    texts = {
        "report.html": page.html(result, notes),
        "layers.csv": tables.layers_csv(result),
        "energy.csv": tables.energy_csv(result),
        "design.csv": tables.design_csv(result),
        "result.json": json.dumps(result.as_json(), indent=1, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return [*texts, trace]


__all__ = ["write_report"]
