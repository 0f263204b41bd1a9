"""One family of user errors.

A user error is data: what was wrong, where, what was found, the rule it broke and how to mend it. It prints as one
line a problem::

    designs/mine.yaml:4:7: [range] macs: got 0; must be an integer from 1 to 1048576. Write a count such as 1024.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

EXIT_OK = 0
EXIT_BOUND_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_PARTIAL = 3
EXIT_OUR_BUG = 70


@dataclass(frozen=True, slots=True)
class Where:
    """A place in the user's input. Lines and columns count from 1; 0 means "not in a file"."""

    file: str = ""
    line: int = 0
    col: int = 0
    key: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.col}" if self.line else self.file
        return ": ".join(part for part in (place,) if part)


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule. `code` is stable and short ("range", "unknown-key"); the other texts are for people."""

    code: str
    where: Where
    got: str
    rule: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if str(self.where) else ""
        key = f" {self.where.key}:" if self.where.key else ""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{place}[{self.code}]{key} got {self.got}; {self.rule}.{remedy}"

    def as_json(self) -> dict[str, object]:
        w = self.where
        return {
            "code": self.code,
            "file": w.file,
            "line": w.line,
            "col": w.col,
            "key": w.key,
            "got": self.got,
            "rule": self.rule,
            "remedy": self.remedy,
        }


class InputError(Exception):
    """The user's input breaks one or more rules; every problem found is carried, none is dropped.

    Exit code 2. Raised by everything that reads input; never for a bug of ours.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object, limit: int = 60) -> str:
    """How a value is quoted in a message: one line, control characters escaped, cut at `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def bad_input(
    code: str, got: object, rule: str, remedy: str = "", where: Where | None = None, key: str = ""
) -> InputError:
    """An InputError of one problem, for checks that are not about one place in a file."""
    return InputError((Problem(code, where or Where(key=key), shown(got), rule, remedy),))
