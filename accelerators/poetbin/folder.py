"""The folder a training is kept in: what it was made with, who is at work in it, and what is done already.

    settings.json        the options, and a digest of the data
    teacher.npz          the teacher after its last whole epoch
    bits.npz             features and intermediate bits of all samples, and their labels
    neurons/NNN.json     the tables of one neuron each
    classifier.json      the trained classifier           \\
    netlist.json.gz      the same as a network of tables   } written last, results.json after all others
    test.npz             the test samples' features        |
    results.json         accuracies and counts            /

Every file is written whole or not at all, so a training may be killed at any moment and go on later.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerators.arrays import write_atomically
from hwsim.document import one_line, read_json, shown_path
from hwsim.errors import InputError, Problem, Where, bad_input

SETTINGS = "settings.json"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the result of a training, the software and the machine's arithmetic aside."""

    data: str
    digest: str
    p: int
    groups: int
    trees: int
    neurons: int
    q: int
    seed: int
    epochs: int
    rate: float
    copies: int
    steps: int

    def document(self) -> dict[str, object]:
        """As settings.json has it."""
        return {"format": "poetbin-training", "schema_version": 1, **asdict(self)}


@contextlib.contextmanager
def opened(folder: Path, settings: Settings) -> Iterator[Path]:
    """The folder, made if need be, with nobody else at work in it while inside.

    Raises InputError when it was made with other settings, holds other things, is in use or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_settings(folder, settings)
        with (folder / _LOCK).open("w") as lock:
            _take(lock.fileno(), folder)
            if not (folder / SETTINGS).exists():
                write_json(folder / SETTINGS, settings.document())
            (folder / "neurons").mkdir(exist_ok=True)
            yield folder
    except OSError as failed:
        raise bad_input("write", shown_path(folder), f"the folder cannot be written ({failed.strerror})",
                        "Name another folder, or make room.", key="--out") from None  # fmt: skip


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise bad_input("in-use", shown_path(folder), "another training is at work in this folder",
                        "Wait for it, or name another folder.", key="--out") from None  # fmt: skip


def _check_settings(folder: Path, settings: Settings) -> None:
    path = folder / SETTINGS
    if not path.exists():
        others = sorted(set(os.listdir(folder)) - {_LOCK, "neurons", f".{SETTINGS}.part"})
        if others:
            raise bad_input("not-empty", f"{shown_path(folder)} with {others[0]}",
                            "a training starts in an empty folder or goes on in its own",
                            "Name another folder.", key="--out")  # fmt: skip
        return
    document = read_json(path)
    found = document.data if isinstance(document.data, dict) else {}
    wanted = settings.document()
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        got = ", ".join(f"{key} {found.get(key)}" for key in differing)
        rule = f"the command asks for {', '.join(f'{key} {wanted[key]}' for key in differing)}"
        where = document.where((differing[0],))
        remedy = "Give the options that the folder was made with, or name another folder."
        raise InputError((Problem("settings", where, one_line(got), one_line(rule), remedy),))


def write_json(path: Path, data: object) -> None:
    """Write JSON, a key a line, atomically."""
    write_atomically(path, (json.dumps(data, indent=2) + "\n").encode())


def damaged(path: Path) -> InputError:
    """The message for a file of the folder that cannot be what a training wrote."""
    rule = "the file is not as training wrote it"
    return InputError((Problem("damaged", Where(shown_path(path)), "other content", rule, "Delete it and go on."),))
