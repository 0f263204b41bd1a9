"""What leaves a store: CSV, Parquet, an Optuna storage, or a new store with everything that is whole in a damaged one.

An export checks the whole store first, so that what is written is what was computed. Rows come in the order of their
trials; a point that several trials came to is written once, for the first of them.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from hwsim.errors import InputError, bad_input
from hwsim.sweep import tables
from hwsim.sweep.metrics import SCALARS
from hwsim.sweep.store import Outcome, Registered, Store
from hwsim.sweep.study import OK, Parameter

PARQUET_ROWS = 50_000
DESIGN = "design."
RESULT = "result."
OBJECTIVE = "objective."


class Table:
    """A study's rows under one list of columns: study, trial, point, status, why; `design.` and what was assigned;
    `objective.` and the objectives; `result.` and the figures."""

    def __init__(self, store: Store, study: Registered) -> None:
        self._store, self._study = store, study
        keys: set[str] = set()
        figures: set[str] = set()
        for outcome in store.trials(study):
            keys |= outcome.row.assignment.keys()
            figures |= outcome.row.metrics.keys()
        order = [p.key for p in study.study.parameters]
        self._keys = sorted(keys, key=lambda k: (order.index(k) if k in order else -1, k))
        self._figures = [name for name in SCALARS if name in figures] + sorted(figures - set(SCALARS))
        self._goals = [objective.figure for objective in study.study.objectives]

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return ["study", "trial", "rung", "point", "status", "why", *(DESIGN + k for k in self._keys),
                *(OBJECTIVE + g for g in self._goals), *(RESULT + f for f in self._figures)]  # fmt: skip

    def rows(self) -> Iterator[list[Any]]:
        """The cells of each row; None where there is nothing."""
        seen: set[str] = set()
        for outcome in self._store.trials(self._study):
            if outcome.row.point not in seen:
                seen.add(outcome.row.point)
                yield self._cells(outcome)

    def _cells(self, outcome: Outcome) -> list[Any]:
        row = outcome.row
        goals = outcome.goals or (None,) * len(self._goals)
        return [self._study.study.name, outcome.trial, outcome.rung, row.point, row.status, row.why,
                *(row.assignment.get(k) for k in self._keys), *goals,
                *(row.metrics.get(f) for f in self._figures)]  # fmt: skip


def write_csv(store: Store, study: Registered, out: Path) -> int:
    """Write a study as CSV, one line a point; how many. The same store content gives the same bytes.

    Numbers are written so that they read back exactly, truth as true and false, absence as nothing.
    """
    store.check()
    table = Table(store, study)
    count = 0
    with _written(out, "w") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(table.columns)
        for cells in table.rows():
            lines.writerow([_text(cell) for cell in cells])
            count += 1
    return count


def _text(cell: Any) -> Any:
    return str(cell).lower() if isinstance(cell, bool) else cell


@contextlib.contextmanager
def _written(out: Path, mode: str) -> Iterator[IO[Any]]:
    """A file that appears under its name when it is whole."""
    part = out.with_name(f".{out.name}.part")
    try:
        options: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
        with part.open(mode, **options) as file:
            yield file
        part.replace(out)
    except OSError as error:
        raise bad_input("write", str(out), f"the export can't be written: {error.strerror}",
                        "Name a file in a folder that can be written.", key="hwsim export") from None  # fmt: skip
    finally:
        part.unlink(missing_ok=True)


# --- Parquet ----------------------------------------------------------------------------------------------------


def write_parquet(store: Store, study: Registered, out: Path) -> int:
    """Write a study as Parquet, one row a point; how many. Raises InputError where pyarrow is missing."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise bad_input("export", "--parquet", "this needs the package pyarrow",
                        "Install it: pip install 'hwsim[parquet]'.", key="--parquet") from None  # fmt: skip
    store.check()
    table = Table(store, study)
    types = [_column_type(cells) for cells in zip(*table.rows(), strict=True)] or [str] * len(table.columns)
    kinds = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
    schema = pyarrow.schema([(n, kinds[t]) for n, t in zip(table.columns, types, strict=True)])
    count = 0
    with _written(out, "wb") as file, parquet.ParquetWriter(file, schema) as writer:
        for rows in _batches(table.rows()):
            cells_of = zip(types, zip(*rows, strict=True), strict=True)
            columns = [[None if c is None else t(c) for c in cells] for t, cells in cells_of]
            arrays = [pyarrow.array(cells, kinds[t]) for cells, t in zip(columns, types, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
            count += len(rows)
    return count


def _column_type(cells: Sequence[Any]) -> type:
    """The narrowest type for all cells of a column; text where they have none in common."""
    found = {type(cell) for cell in cells if cell is not None}
    for wanted, accepted in ((bool, {bool}), (int, {int}), (float, {int, float})):
        if found and found <= accepted:
            return wanted
    return str


def _batches(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    batch: list[list[Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == PARQUET_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


# --- Optuna -----------------------------------------------------------------------------------------------------


def write_optuna(store: Store, study: Registered, url: str) -> int:
    """Add a study's points to an Optuna storage as finished trials, for its dashboard and its samplers; how many.

    Points that are there already (by the user attribute "point") are left. A point without objectives is a failed
    trial. Raises InputError where Optuna is missing or the storage cannot be opened.
    """
    try:
        import optuna
    except ImportError:
        raise bad_input("export", "--optuna", "this needs the package optuna",
                        "Install it: pip install 'hwsim[search]'.", key="--optuna") from None  # fmt: skip
    store.check()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    directions: list[Any] = [objective.direction.value for objective in study.study.objectives]
    try:
        target = optuna.create_study(storage=url, study_name=study.study.name, directions=directions,
                                     load_if_exists=True)  # fmt: skip
    except Exception as error:  # whatever SQLAlchemy and its drivers raise for an address they cannot use
        raise bad_input("export", url, f"Optuna can't open this storage ({type(error).__name__})",
                        "For instance sqlite:///optuna.db.", key="--optuna") from None  # fmt: skip
    there = {trial.user_attrs.get("point") for trial in target.get_trials(deepcopy=False)}
    spaces = {p.key: _distribution(optuna, p) for p in _axes(study)}
    fresh = []
    for outcome in store.trials(study):
        if outcome.row.point not in there:
            there.add(outcome.row.point)
            fresh.append(_optuna_trial(optuna, outcome, spaces))
    target.add_trials(fresh)
    return len(fresh)


def _axes(study: Registered) -> tuple[Parameter, ...]:
    from hwsim.sweep.proposer import axes

    return axes(study.study)


def _distribution(optuna: Any, parameter: Parameter) -> Any:
    kinds = optuna.distributions
    if parameter.values:
        return kinds.CategoricalDistribution(parameter.values)
    if parameter.step:
        return kinds.IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log,
                                     step=1 if parameter.log else int(parameter.step))  # fmt: skip
    return kinds.FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _optuna_trial(optuna: Any, outcome: Outcome, spaces: Mapping[str, Any]) -> Any:
    row = outcome.row
    given = {key: value for key, value in row.assignment.items() if key in spaces}
    attributes = {"point": row.point, "status": row.status, "why": row.why, "trial": outcome.trial,
                  "rung": outcome.rung}  # fmt: skip
    state = optuna.trial.TrialState.COMPLETE if row.status == OK and outcome.goals else optuna.trial.TrialState.FAIL
    known = {key: spaces[key] for key in given}
    values = list(outcome.goals) or None
    return optuna.trial.create_trial(
        state=state, values=values, params=given, distributions=known, user_attrs=attributes
    )


# --- what is left of a damaged store ----------------------------------------------------------------------------


def salvage(path: Path, out: Path) -> int:
    """Copy every whole point of a (damaged) store into a new one; how many.

    Points are enough: a sweep on the new store finds them by content and computes the rest. Reads the table from
    both ends, so that one bad page in its middle costs only what is on it.
    """
    if not path.is_file():
        raise bad_input("no-store", str(path), "there is no such store", key="DB")
    if out.exists():
        raise bad_input("write", str(out), "this file exists", "Name a new file.", key="--salvage")
    found = {str(row[0]): row for order in ("ASC", "DESC") for row in _readable(path, order)}
    with Store(out, create=True) as store, store.writing():
        return sum(_kept(store, row) for _, row in sorted(found.items()))


def _readable(path: Path, order: str) -> Iterator[tuple[Any, ...]]:
    """Rows of the table of points up to the first that SQLite cannot read."""
    columns = ",".join(tables.POINT_COLUMNS)
    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(path)) as connection:
        yield from connection.execute(f"SELECT {columns} FROM point NOT INDEXED ORDER BY rowid {order}")


def _kept(store: Store, row: tuple[Any, ...]) -> bool:
    try:
        fields = store.db.sealed("point", row)
        json.loads(str(fields[-1]))
        return store.db.insert("point", fields)
    except (InputError, ValueError):
        return False
