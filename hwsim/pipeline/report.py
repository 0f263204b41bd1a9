"""The report of one run of a system: its figures, its frames, and a picture of who did what when."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hwsim.pipeline.outcome import Outcome
from hwsim.pipeline.replay import Record, Turn
from hwsim.pipeline.service import PS_PER_S
from hwsim.pipeline.system import System
from hwsim.report.gantt import Bar, Lane, picture

SHOWN_BATCHES = 4
"""Batches that the picture covers, from the middle of the run."""
MOST_WORKERS = 12
"""Workers of a stage that the picture shows."""


def write_report(system: System, result: Outcome, told: Mapping[str, object], folder: Path) -> list[Path]:
    """Write system.json, frames.csv and timeline.svg into `folder`, made when absent; the files written.

    They are moved into place when all are made: a link standing there is replaced and not followed. Raises OSError when
    the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "system.json": json.dumps({"schema_version": 1, **told}, indent=1, allow_nan=False) + "\n",
        "frames.csv": frames_csv(system, result.record),
        "timeline.svg": timeline(system, result.record),
    }
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as made:
        for name, text in texts.items():
            (Path(made) / name).write_text(text, encoding="utf-8", newline="\n")
        for name in texts:
            os.replace(Path(made) / name, folder / name)
    return [folder / name for name in texts]


def frames_csv(system: System, record: Record) -> str:
    """A line a frame: when it arrived, entered and left each queue, and left the system, in microseconds; empty where
    it never did."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [f"{stage.name}_{what}_us" for stage in system.stages for what in ("queued", "taken")]
    writer.writerow(["frame", "arrived_us", *names, "done_us"])
    for frame in range(record.frames):
        times = [record.arrived_ps[frame]]
        for k in range(record.stages):
            times += [record.queued_ps[k][frame], record.taken_ps[k][frame]]
        writer.writerow([frame, *(f"{t / 1e6:.3f}" if t >= 0 else "" for t in (*times, record.done_ps[frame]))])
    return out.getvalue()


# --- the picture ------------------------------------------------------------------------------------------------


def window(system: System, record: Record) -> tuple[int, int]:
    """Picoseconds that the picture covers: from when some batch in the middle came out until a few later ones did."""
    done = sorted(t for t in record.done_ps if t >= 0)
    batches = len(done) // system.batch
    if batches < SHOWN_BATCHES + 2:
        return 0, record.end_ps
    first = (batches - SHOWN_BATCHES) // 2
    return done[first * system.batch - 1], done[(first + SHOWN_BATCHES) * system.batch - 1]


def timeline(system: System, record: Record) -> str:
    """Each worker a lane, each turn a bar coloured by step."""
    start, end = window(system, record)
    steps = [(s.name, step.name) for s in system.stages for step in s.steps]
    rows = [lane for k in range(len(system.stages)) for lane in _rows(system, record.turns, k, start, end, steps)]
    title = f"{system.name}: {SHOWN_BATCHES} batches of {system.batch} in the middle of the run"
    legend = [f"{stage}: {step}" for stage, step in steps]
    return str(picture(title, rows, legend, start / PS_PER_S, end / PS_PER_S))


def _rows(
    system: System, turns: Sequence[Turn], k: int, start: int, end: int, steps: Sequence[tuple[str, str]]
) -> Iterator[Lane]:
    stage = system.stages[k]
    mine = [t for t in turns if t.stage == k and t.end_ps > start and t.start_ps < end]
    for worker in range(min(stage.workers, MOST_WORKERS)):
        bars = [
            Bar(max(t.start_ps, start) / PS_PER_S, min(t.end_ps, end) / PS_PER_S,
                steps.index((stage.name, stage.steps[t.step].name)), f"{stage.steps[t.step].name}: {t.frames} frames "
                f"from {t.first}")
            for t in mine if t.worker == worker
        ]  # fmt: skip
        label = stage.name if stage.workers == 1 else f"{stage.name} {worker + 1}"
        yield Lane(label, bars)
