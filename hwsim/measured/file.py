"""What measurements there are: a YAML file that says of each table which design, workload and figure it is about.

summary: training speed of fully connected networks        # optional
split: how the held-out rows were chosen, and when         # optional
measurements:
  - file: speeds.csv                                       # in the folder given by --data
    design: v100                                           # a shipped design or a YAML file
    set: ["infeed_rate=2 Gbit/s"]                          # optional
    workload: paradnn-fc
    train: rmsprop                                         # optional: a training step with this optimizer
    bind: {layers: depth, batch: 64}                       # symbol: a column of the table, or a number
    measured: {column: steps_per_s, unit: 1/s}
    held_out: [{depth: [8, 32]}, {batch: 64, width: 512}]  # optional: rows of which any entry holds
    tolerance: {mape: 0.1}                                 # optional: of held-out rows, or of all
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hwsim.document import Checker, Path_, read_yaml
from hwsim.errors import InputError, Problem, Where, shown
from hwsim.measured.table import Row, Table, column_problem, read_table

KEY = "measurements"
_REQUIRED = ("file", "design", "workload", "bind", "measured")
_OPTIONAL = ("set", "train", "held_out", "tolerance")
_BOUNDS = ("mape", "median", "p95", "worst", "spearman", "kendall")


class Unit(NamedTuple):
    """What a measured column is of: a run's "time" or "energy" in so many of its base unit, or its "rate"."""

    figure: str
    scale: float


UNITS: Mapping[str, Unit] = {
    "s": Unit("time", 1.0), "ms": Unit("time", 1e-3), "us": Unit("time", 1e-6), "ns": Unit("time", 1e-9),
    "1/s": Unit("rate", 1.0), "J": Unit("energy", 1.0), "mJ": Unit("energy", 1e-3), "uJ": Unit("energy", 1e-6),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """Columns with the values of which a row has to have one each. Numbers are compared as numbers."""

    values: Mapping[str, tuple[float | str, ...]]

    def holds(self, row: Row) -> bool:
        """Whether the row is one of those meant."""
        return all(any(_same(row.cells[c].strip(), v) for v in values) for c, values in self.values.items())


def _same(text: str, value: float | str) -> bool:
    try:
        return text == value if isinstance(value, str) else float(text) == value
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Measured:
    """One row to predict: what to bind, what was measured, and whether it is held out."""

    row: Row
    bind: Mapping[str, float]
    value: float
    held_out: bool


@dataclass(frozen=True, slots=True)
class DataSet:
    """One table: what it is about, and its rows."""

    table: Table
    design: str
    overrides: tuple[str, ...]
    workload: str
    train: str
    column: str
    unit: str
    rows: tuple[Measured, ...]
    tolerance: Mapping[str, float]
    where: Where


@dataclass(frozen=True, slots=True)
class Measurements:
    """A file of measurements, read and checked, with its tables."""

    summary: str
    split: str
    sets: tuple[DataSet, ...]


def is_measurements(data: Any) -> bool:
    """Whether what a YAML file says is meant as measurements."""
    return isinstance(data, dict) and KEY in data


def read_measurements(path: str | Path, folder: str | Path) -> Measurements:
    """The measurements that the YAML file at `path` describes, of tables in `folder`.

    Raises InputError with every problem of the YAML file; and where that is right, of the tables.
    """
    read = _Reader(Path(path), Path(folder))
    return read.all(tables=True)


def check_measurements(path: str | Path) -> int:
    """How many tables the YAML file at `path` describes; the tables themselves are not read.

    Raises InputError with every problem of the YAML file.
    """
    reader = _Reader(Path(path), Path())
    reader.all(tables=False)
    return reader.described


class _Reader:
    """Reads one file; every problem is noted in `check`."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.document, self.folder = read_yaml(path), folder
        self.check, self.described = Checker(self.document), 0

    def all(self, *, tables: bool) -> Measurements:
        raw = self.check.keys((), self.document.data, "a file of measurements", (KEY,), ("summary", "split")) or {}
        entries = self.check.items((KEY,), raw.get(KEY), KEY) if KEY in raw else []
        if not entries and KEY in raw and not self.check.problems:
            self.check.fail((KEY,), "empty", entries, "at least one table is described")
        found = [self.entry((KEY, i), entry) for i, entry in enumerate(entries)]
        texts = [self.check.text((), raw, key, "") or "" for key in ("summary", "split")]
        self.check.raise_problems()
        self.described = len(found)
        sets = [self.data(*one) for one in found if one] if tables else []
        return Measurements(texts[0], texts[1], tuple(sets))

    def entry(self, path: Path_, entry: Any) -> tuple[Path_, dict[str, Any]] | None:
        """One description whose form is right, its texts and numbers checked."""
        check = self.check
        raw = check.keys(path, entry, "a description of a table", _REQUIRED, _OPTIONAL)
        if raw is None:
            return None
        for key in ("file", "design", "workload", "train"):
            if key in raw:
                check.text(path, raw, key)
        self.file_name((*path, "file"), raw.get("file"))
        for key, value in (check.mapping((*path, "bind"), raw.get("bind", {}), "bind") or {}).items():
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                check.fail((*path, "bind", key), "type", value, "must be a number or the name of a column")
        self.measured((*path, "measured"), raw.get("measured", {}))
        self.overrides((*path, "set"), raw.get("set", []))
        self.rules((*path, "held_out"), raw.get("held_out", []))
        self.tolerance((*path, "tolerance"), raw.get("tolerance", {}))
        return path, raw

    def file_name(self, path: Path_, name: Any) -> None:
        if isinstance(name, str) and (Path(name).is_absolute() or ".." in Path(name).parts):
            self.check.fail(path, "path", name, "must be a file in the folder given, or below it")

    def measured(self, path: Path_, entry: Any) -> None:
        raw = self.check.keys(path, entry, "measured", ("column", "unit"))
        if raw and "column" in raw:
            self.check.text(path, raw, "column")
        if raw and "unit" in raw:
            self.check.choice((*path, "unit"), raw["unit"], UNITS)

    def overrides(self, path: Path_, entry: Any) -> None:
        for i, text in enumerate(self.check.items(path, entry, "set")):
            if not isinstance(text, str) or "=" not in text:
                self.check.fail((*path, i), "type", text, "must be a text KEY=VALUE")

    def rules(self, path: Path_, entry: Any) -> None:
        for i, rule in enumerate(self.check.items(path, entry, "held_out")):
            named = self.check.mapping((*path, i), rule, "an entry of held_out")
            if named is not None and not named:
                self.check.fail((*path, i), "empty", rule, "an entry names at least one column")
            for column, values in (named or {}).items():
                for value in values if isinstance(values, list) else [values]:
                    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                        self.check.fail(
                            (*path, i, column), "type", value, "must be a number or text, or a list of them"
                        )

    def tolerance(self, path: Path_, entry: Any) -> None:
        for key, value in (self.check.keys(path, entry, "tolerance", (), _BOUNDS) or {}).items():
            bound = self.check.number((*path, key), value)
            if bound is not None and bound < 0:
                self.check.fail((*path, key), "range", value, "must be 0 or more, a fraction")

    # --- tables ---

    def data(self, path: Path_, raw: Mapping[str, Any]) -> DataSet:
        """The table and its rows. Raises InputError with every problem of the table."""
        table = read_table(self.folder / raw["file"])
        self.columns(path, raw, table)
        rules = [Rule({c: tuple(v) if isinstance(v, list) else (v,) for c, v in rule.items()})
                 for rule in raw.get("held_out", [])]  # fmt: skip
        rows, problems = [], list[Problem]()
        for row in table.rows:
            try:
                rows.append(_measured(table, row, raw["bind"], raw["measured"]["column"], rules))
            except InputError as bad:
                problems.extend(bad.problems)
        if problems:
            raise InputError(problems[:MAX_SHOWN])
        return DataSet(
            table, raw["design"], tuple(raw.get("set", ())), raw["workload"], raw.get("train", ""),
            raw["measured"]["column"], raw["measured"]["unit"], tuple(rows), raw.get("tolerance", {}),
            self.document.where(path),
        )  # fmt: skip

    def columns(self, path: Path_, raw: Mapping[str, Any], table: Table) -> None:
        """Raise InputError unless the table has every column that is named."""
        named: list[tuple[Path_, str]] = [((*path, "measured", "column"), raw["measured"]["column"])]
        named += [((*path, "bind", k), v) for k, v in raw["bind"].items() if isinstance(v, str)]
        named += [((*path, "held_out", i, c), c) for i, rule in enumerate(raw.get("held_out", [])) for c in rule]
        missing = [(at, name) for at, name in named if name not in table.columns]
        if missing:
            raise InputError(column_problem(table, name, self.document.where(at)) for at, name in missing)


MAX_SHOWN = 20
"""Problems of a table's cells that are shown at a time."""


def _measured(table: Table, row: Row, bind: Mapping[str, Any], column: str, rules: list[Rule]) -> Measured:
    problems, bound = list[Problem](), dict[str, float]()
    for name, given in (*bind.items(), (None, column)):
        try:
            value = table.number(row, given) if isinstance(given, str) else given
        except InputError as bad:
            problems.extend(bad.problems)
            continue
        if name is not None:
            bound[name] = value
        elif value <= 0:
            problems.append(Problem("range", table.where(row, column), shown(value), "must be greater than 0"))
    if problems:
        raise InputError(problems)
    return Measured(row, bound, table.number(row, column), any(rule.holds(row) for rule in rules))
