"""What an importer says beside what it writes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hwsim.document import one_line
from hwsim.errors import InputError, Problem, Where, bad_input, shown
from hwsim.workload.ir import Workload


@dataclass(frozen=True, slots=True)
class Note:
    """Something of a file that is not in the output, or is there in another form, and why that is so."""

    where: Where
    text: str

    def __str__(self) -> str:
        key = f"{self.where.key}: " if self.where.key else ""
        return one_line(f"{self.where}: {key}{self.text}")

    def as_json(self) -> dict[str, object]:
        w = self.where
        return {"file": w.file, "line": w.line, "col": w.col, "key": w.key, "text": self.text}


@dataclass(frozen=True, slots=True)
class Imported:
    """What came out of an import: a workload, the text of a design file, or both."""

    workload: Workload | None
    design: str
    notes: tuple[Note, ...]


@dataclass(slots=True)
class Findings:
    """Problems and notes gathered while files are read; problems are raised together."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def fail(self, where: Where, code: str, got: object, rule: str, remedy: str = "") -> None:
        """One more problem; `got` is quoted."""
        self.problems.append(Problem(code, where, shown(got), one_line(rule), one_line(remedy)))

    def note(self, where: Where, text: str) -> None:
        """One more note."""
        self.notes.append(Note(where, text))

    def check(self) -> None:
        """Raise all problems found so far, if there are any, as InputError."""
        if self.problems:
            raise InputError(self.problems[:MAX_PROBLEMS])


MAX_PROBLEMS = 100


def provenance(tool: str, sources: Mapping[str, Path], **more: str) -> dict[str, str]:
    """Where a workload comes from: the tool, and name and sha256 of each file of it."""
    found = {"imported from": tool}
    for what, path in sources.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[what] = f"{shown_name(path)} (sha256 {digest})"
    return {**found, **more}


def counted(number: int, what: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def shown_name(path: Path) -> str:
    """The name of a file without its folder, on one line."""
    return path.name if path.name.isprintable() else shown(path.name)


def write_text(text: str, path: Path) -> None:
    """Write a text file in one step.

    Raises InputError where the file cannot be written.
    """
    if path.exists() and not path.is_file():
        raise bad_input("unwritable-file", str(path), "a regular file is needed here, not a folder, device or pipe")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    except OSError as failed:
        partial.unlink(missing_ok=True)
        reason = failed.strerror or "unknown reason"
        raise bad_input("unwritable-file", str(path), f"the file cannot be written ({reason})") from None
