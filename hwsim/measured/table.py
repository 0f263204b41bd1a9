"""A CSV file of numbers with the place of every cell, for messages."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwsim.document import read_text, shown_path, suggestion
from hwsim.errors import InputError, Problem, Where, shown

MAX_CSV_BYTES = 64 << 20
MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its number in the file, and its cells by column."""

    line: int
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file: a header and rows as wide as it."""

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def where(self, row: Row, column: str) -> Where:
        """The place of a cell: its line, and the character it starts at (of a line without quotes)."""
        before = self.columns[: self.columns.index(column)]
        start = 1 + sum(len(row.cells[name]) + 1 for name in before)
        return Where(self.file, row.line, start, column)

    def number(self, row: Row, column: str) -> float:
        """A cell as a finite number; an integer where it is written as one. Raises InputError for anything else."""
        text = row.cells[column].strip()
        value = _finite(text)
        if value is None:
            raise InputError((Problem("type", self.where(row, column), shown(text), "must be a number",
                                      "Write a decimal number such as 12 or 0.5."),))  # fmt: skip
        return value


def _finite(text: str) -> float | None:
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else value


def read_table(path: str | Path) -> Table:
    """The table in a CSV file (comma, a header first, blank lines skipped).

    Raises InputError for a file that cannot be read, a header that is missing or names a column twice, a row that is
    not as wide as the header, and a table without rows.
    """
    file = shown_path(path)
    lines = csv.reader(read_text(path, MAX_CSV_BYTES).splitlines(keepends=True), strict=True)
    found: list[tuple[int, list[str]]] = []
    try:
        found.extend((lines.line_num, cells) for cells in lines if cells)
    except csv.Error as bad:
        raise InputError((_problem(file, lines.line_num, "csv", "this line", f"must be CSV ({bad})"),)) from None
    if not found:
        raise InputError((_problem(file, 1, "csv", "an empty file", "the first line names the columns"),))
    header = tuple(name.strip() for name in found[0][1])
    problems = [*_header_problems(file, header), *_width_problems(file, header, found[1:])]
    if problems:
        raise InputError(problems[:MAX_PROBLEMS])
    return Table(file, header, tuple(Row(at, dict(zip(header, cells, strict=True))) for at, cells in found[1:]))


def _header_problems(file: str, header: Sequence[str]) -> Iterable[Problem]:
    for i, name in enumerate(header):
        if not name or name in header[:i]:
            rule = "every column has a name of its own"
            yield _problem(file, 1, "csv", shown(name), rule, "Name it in the first line.")


def _width_problems(file: str, header: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> Iterable[Problem]:
    if not rows:
        yield _problem(file, 1, "csv", "no rows", "a table has a row below its header")
    for line, cells in rows:
        if len(cells) != len(header):
            rule = f"every row has the {len(header)} cells that the header names"
            yield _problem(file, line, "csv", f"{len(cells)} cells", rule, "Add or remove commas.")


def _problem(file: str, line: int, code: str, got: str, rule: str, remedy: str = "") -> Problem:
    return Problem(code, Where(file, line, 1), got, rule, remedy)


def column_problem(table: Table, name: str, where: Where) -> Problem:
    """That `table` has no column `name`, which stands at `where`."""
    remedy = suggestion(name, table.columns)
    return Problem("unknown-column", where, shown(name), f"{table.file} has no such column", remedy)
