"""One SQLite file, opened so that nothing can half-happen to it, and every way it can fail told in one sentence.

The rollback journal (not a write-ahead log) keeps a store one file at rest, works wherever file locks do, and survives
SIGKILL and power loss at any instant: docs/decisions/0004-one-sqlite-file.md.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from hwsim.errors import InputError, bad_input
from hwsim.sweep import tables
from hwsim.sweep.codec import TOTAL_MASK, row_check

BUSY_S = 120.0
"""How long a process waits for its turn to write before it gives up."""

_FULL_OR_FAILING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM)
_NO_ACCESS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def damaged(path: Path, what: str) -> InputError:
    """The error for a store whose content is not what was written."""
    return bad_input("store-damaged", str(path), f"this store is damaged: {what}",
                     "Save what is whole with `hwsim export DB --salvage NEW`, then run the sweep on NEW: it computes "
                     "only what is missing.", key="--store")  # fmt: skip


def _told(path: Path, error: sqlite3.Error) -> InputError:
    """What an SQLite error means to the person whose store it is."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in _FULL_OR_FAILING:
        return bad_input("store-write", str(path), f"the store can't be written ({error}); what it held is intact",
                         "Make room on the disk and run the same command again: it continues.",
                         key="--store")  # fmt: skip
    if code in _NO_ACCESS:
        return bad_input("store-open", str(path), f"the store can't be opened for this ({error})",
                         "Name a file in an existing folder that may be written.", key="--store")  # fmt: skip
    if code in _BUSY:
        return bad_input("store-busy", str(path), f"other processes kept the store busy for {BUSY_S:g} s",
                         "Run the same command again: it continues.", key="--store")  # fmt: skip
    return damaged(path, str(error))


@lru_cache(maxsize=1)
def _expected_schema() -> tuple[tuple[str, str, str], ...]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for statement in tables.STATEMENTS:
            connection.execute(statement)
        return _schema_of(connection)


def _schema_of(connection: sqlite3.Connection) -> tuple[tuple[str, str, str], ...]:
    return tuple(connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name"))


class Database:
    """A store's file: transactions, sealed rows, and the check that it is what it should be.

    Raises InputError for a file that cannot be opened or written, is no store, or is damaged.
    """

    def __init__(self, path: Path, create: bool = False) -> None:
        self.path = path
        if not create and not path.is_file():
            raise bad_input("no-store", str(path), "there is no such store", "Make it: hwsim sweep FILE --store DB.")
        self._added: dict[str, list[int]] = {}
        with self.told():
            self._connection = self._connect("rwc" if create else "rw")
            try:
                self._prepare(create)
            except BaseException:
                self._connection.close()
                raise

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path.absolute()))}?mode={mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)

    def _prepare(self, create: bool) -> None:
        if create and self._is_blank():
            with self.writing():
                if self._is_blank():  # nobody else was first
                    for statement in tables.STATEMENTS:
                        self._connection.execute(statement)
        self._check_kind()

    def _number(self, pragma: str) -> int:
        found = self.one(f"PRAGMA {pragma}")[0]
        return found if isinstance(found, int) else -1

    def _is_blank(self) -> bool:
        """Whether this file was never written as a database: new, or one whose creation was cut short."""
        return self._number("page_count") == 0 or self._number("schema_version") == 0

    def _check_kind(self) -> None:
        schema = self.rows("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name")
        number, version = self._number("application_id"), self._number("user_version")
        if tuple(schema) == _expected_schema() and (number, version) == (tables.APPLICATION_ID, tables.VERSION):
            return
        if not schema:
            raise bad_input("no-store", str(self.path), "this file holds no store",
                            "Make it: hwsim sweep FILE --store DB.", key="--store")  # fmt: skip
        if number != tables.APPLICATION_ID and "piece" not in {name for _, name, _ in schema}:
            raise bad_input("no-store", str(self.path), "this is a database, but not a store of hwsim",
                            "Name another file.", key="--store")  # fmt: skip
        if version != tables.VERSION and number == tables.APPLICATION_ID:
            raise bad_input("store-version", version, f"this hwsim reads stores of version {tables.VERSION}",
                            "Use a new file, or the hwsim that wrote it.", key="--store")  # fmt: skip
        raise damaged(self.path, "its tables are not those of a store")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    # --- reading and writing

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """SQLite's errors inside become InputErrors."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise _told(self.path, error) from error
        except UnicodeDecodeError as error:
            raise damaged(self.path, "a text is not UTF-8") from error

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """All rows of a query."""
        with self.told():
            return self._execute(statement, values).fetchall()

    def one(self, statement: str, values: Sequence[object] = ()) -> tuple[object, ...]:
        """The one row of a query."""
        return self.rows(statement, values)[0]

    def stream(self, statement: str, values: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        """The rows of a query, one by one. Close it, or read it to its end, before writing."""
        with self.told():
            yield from self._execute(statement, values)

    def change(self, statement: str, values: Sequence[object] = ()) -> int:
        """Run one statement inside `writing`; how many rows it changed."""
        return self._execute(statement, values).rowcount

    def _execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run a statement, waiting for others: SQLite itself does not wait where it finds a journal to roll back."""
        give_up = time.monotonic() + BUSY_S
        while True:
            try:
                return self._connection.execute(statement, values)
            except sqlite3.OperationalError as error:
                busy = ((getattr(error, "sqlite_errorcode", None) or 0) & 0xFF) in _BUSY
                if not busy or time.monotonic() > give_up:
                    raise
                time.sleep(random.uniform(0.001, 0.02))

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: everything inside happens, or nothing. Inside another one, part of it."""
        if self._in_transaction():
            yield
            return
        with self.told():
            self._execute("BEGIN IMMEDIATE")
            self._added = {}
            try:
                yield
                self._add_totals()
                self._execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    if self._in_transaction():
                        self._connection.execute("ROLLBACK")
                raise

    def _in_transaction(self) -> bool:
        return self._connection.in_transaction

    # --- sealed rows

    def insert(self, table: str, fields: Sequence[object], **unsealed: object) -> bool:
        """Add a row of `tables.COLUMNS[table]` less its seal, unless its key is there; whether it was added."""
        seal = row_check(*fields)
        columns = (*tables.COLUMNS[table], *unsealed)
        marks = ",".join("?" * len(columns))
        statement = f"INSERT OR IGNORE INTO {table} ({','.join(columns)}) VALUES ({marks})"
        added = self.change(statement, (*fields, seal, *unsealed.values())) == 1
        if added:
            self.count(table, 1, seal)
        return added

    def count(self, table: str, rows: int, seals: int) -> None:
        """Note that `table` gained `rows` rows whose seals sum to `seals` (both negative for rows taken out)."""
        delta = self._added.setdefault(table, [0, 0])
        delta[0] += rows
        delta[1] += seals

    def _add_totals(self) -> None:
        for name, (rows, seals) in self._added.items():
            self.change(f"UPDATE total SET rows = rows + ?, seals = (seals + ?) & {TOTAL_MASK} WHERE name = ?",
                        (rows, seals & TOTAL_MASK, name))  # fmt: skip

    def sealed(self, table: str, row: Sequence[object]) -> tuple[object, ...]:
        """The fields of a row read from `table`, if its seal (the last of them) is right; an InputError if not."""
        *fields, seal = row
        if row_check(*fields) != seal:
            raise damaged(self.path, f"a row of the table {table} is not what was written")
        return tuple(fields)

    # --- is it whole?

    def check_pages(self) -> None:
        """Raise InputError unless SQLite finds its own structure sound."""
        found = [str(row[0]) for row in self.rows("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise damaged(self.path, "; ".join(found))

    def check_totals(self) -> None:
        """Raise InputError unless every sealed row is there, once, and is what was written."""
        totals = {str(name): (rows, seals) for name, rows, seals in self.rows("SELECT name, rows, seals FROM total")}
        for table in tables.SEALED:
            rows = seals = 0
            for row in self.stream(self._whole_table(table)):
                self.sealed(table, row)
                rows, seals = rows + 1, seals + (row[-1] if isinstance(row[-1], int) else 0)
            if totals.get(table) != (rows, seals & TOTAL_MASK):
                raise damaged(self.path, f"rows of the table {table} are missing")

    def _whole_table(self, table: str) -> str:
        only = " WHERE state = 'done'" if table == "piece" else ""
        return f"SELECT {','.join(tables.COLUMNS[table])} FROM {table} NOT INDEXED{only}"
