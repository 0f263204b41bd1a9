"""The folder a search is kept in, so that it can be stopped at any moment and gone on with.

    settings.json     the options it was begun with
    trained.csv       every short training: never repeated
    bundles.csv       stage 1: Bundle kinds
    networks.csv      stage 2: every network of the swarm
    networks/*.json   stage 3: the networks with their features, as workloads
    engine.yaml       stage 3: the sweep over engines, which `hwsim sweep` reads as well
    engine.db         its points
    designs.csv       what came out
    designs.svg       the same as a picture

What costs no time is computed anew by every call; trainings and the sweep's points are kept.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hwsim.document import one_line, read_json, shown_path
from hwsim.errors import InputError, Problem, Where, bad_input

SETTINGS = "settings.json"
_LOCK = ".lock"


@contextlib.contextmanager
def opened(folder: Path, settings: Mapping[str, Any]) -> Iterator[Path]:
    """The folder, made if need be, with nobody else at work in it while inside.

    Raises InputError when it was begun with other settings, holds other things, is in use or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check(folder, settings)
        with (folder / _LOCK).open("w") as lock:
            _take(lock.fileno(), folder)
            if not (folder / SETTINGS).exists():
                write(folder / SETTINGS, json.dumps(settings, indent=1) + "\n")
            (folder / "networks").mkdir(exist_ok=True)
            yield folder
    except OSError as failed:
        raise bad_input("write", shown_path(folder), f"the folder cannot be written ({failed.strerror})",
                        "Name another folder, or make room.", key="--out") from None  # fmt: skip


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise bad_input("in-use", shown_path(folder), "another search is at work in this folder",
                        "Wait for it, or name another folder.", key="--out") from None  # fmt: skip


def _check(folder: Path, settings: Mapping[str, Any]) -> None:
    path = folder / SETTINGS
    if not path.exists():
        others = sorted(set(os.listdir(folder)) - {_LOCK, f".{SETTINGS}.part", "networks"})
        if others:
            raise bad_input("not-empty", f"{shown_path(folder)} with {others[0]}",
                            "a search begins in an empty folder or goes on in its own",
                            "Name another folder.", key="--out")  # fmt: skip
        return
    document = read_json(path)
    found = document.data if isinstance(document.data, dict) else {}
    differing = [key for key in settings if found.get(key) != settings[key]]
    if differing:
        got = ", ".join(f"{key} {found.get(key)}" for key in differing)
        rule = f"the command asks for {', '.join(f'{key} {settings[key]}' for key in differing)}"
        remedy = "Give the options that the folder was begun with, or name another folder."
        raise InputError((Problem("settings", document.where((differing[0],)), one_line(got), one_line(rule), remedy),))


# --- files ------------------------------------------------------------------------------------------------------


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows under the keys of the first."""
    write(path, csv_text(rows))


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as CSV, numbers to nine digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([f"{v:.9g}" if isinstance(v, float) else v for v in row.values()])
    return out.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file; none where there is no file. A last line that was cut off is left out."""
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        rule = "a CSV file is text in UTF-8"
        raise bad_input("csv", "other bytes", rule, "Delete the file.", Where(shown_path(path))) from None
    return list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1])))


def append_csv(path: Path, row: Mapping[str, object]) -> None:
    """Add a row, on the disk when this returns. A line that was cut off before is taken away first."""
    new = not path.exists() or not path.stat().st_size
    with path.open("r+b" if path.exists() else "w+b") as file:
        held = file.read()
        file.seek(held.rfind(b"\n") + 1)
        file.truncate()
        lines = csv_text([row]).splitlines(keepends=True)
        file.write("".join(lines if new or file.tell() == 0 else lines[1:]).encode())
        file.flush()
        os.fsync(file.fileno())


def column(rows: Iterable[Mapping[str, str]], key: str) -> list[float]:
    """A column of numbers; cells without one are left out."""
    return [float(row[key]) for row in rows if row[key]]
