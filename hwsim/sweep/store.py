"""What a sweep keeps: studies, the pieces of each that are done, and the points, exactly once.

Points belong to the store and are found by content hash; a study's trials refer to them. The work of a study is cut
into pieces that tile its points. A process leases open pieces, and gives a piece back as done in the transaction that
adds its rows: killed before, it has done nothing; killed after, everything. Pieces of a process that is dead (or, on
another machine, silent past its deadline) are taken back by whoever looks next, and nobody has to clear anything.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hwsim.errors import bad_input, shown
from hwsim.sweep import tables
from hwsim.sweep.codec import canonical, study_document, study_from
from hwsim.sweep.database import Database, damaged
from hwsim.sweep.metrics import SCALARS
from hwsim.sweep.owner import is_alive
from hwsim.sweep.study import FAILED, Row, Study

LEASE_S = 60.0
"""How long a process on another machine may be silent before its pieces are taken back. A lease saves work and keeps
nothing right: a piece that is done twice is stored once."""
MAX_TRIES = 3
"""Workers that one point may cost before it is set aside."""
AGREEMENT = 1e-9
"""Relative difference below which two computations of one point agree: compiled and plain sums differ by 1e-12."""


class Piece(NamedTuple):
    """Trials start to stop - 1 of a study."""

    start: int
    stop: int


class Counts(NamedTuple):
    """How many trials are what."""

    ok: int = 0
    infeasible: int = 0
    failed: int = 0

    @property
    def all(self) -> int:
        """Trials of any status."""
        return sum(self)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A study's i-th trial and what came of it.

    row      status and reason as the study judges them (its own constraints included), with the point's figures
    point_status, point_why   the point's own, which all studies share; "" where it never ran
    goals    values of the study's objectives, in their order; empty unless the row is ok
    rung     rung of a multi-fidelity search, 0 for others
    kept     why a ledger keeps this row ("front", "top", "sample"); "" where every row is kept
    log      what a failure left behind; kept apart from the rows
    """

    trial: int
    row: Row
    point_status: str = ""
    point_why: str = ""
    goals: tuple[float, ...] = ()
    rung: int = 0
    kept: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """A study in a store: its number there, how many points it has, and whether its rows are a choice (`kept`)."""

    number: int
    study: Study
    points: int
    kept: bool
    fingerprint: str


class Store:
    """An open store. Raises InputError for whatever is wrong with the file."""

    def __init__(self, path: str | Path, create: bool = False) -> None:
        self.db = Database(Path(path), create)
        self.path = self.db.path

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _int(self, value: object) -> int:
        """An integer as it was stored; another kind of value is damage."""
        if not isinstance(value, int):
            raise damaged(self.path, f"an integer is wanted and {shown(value)} is there")
        return value

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """One transaction around several changes."""
        return self.db.writing()

    # --- studies

    def register(self, study: Study, fingerprint: str, points: int, piece: int, kept: bool) -> Registered:
        """The study of that fingerprint, entered with its open pieces if it is new."""
        definition = canonical(study_document(study))
        with self.writing():
            found = self.db.rows("SELECT study FROM study WHERE fingerprint = ?", (fingerprint,))
            if found:
                number = self._int(found[0][0])
            else:
                number = self._add_study(study.name, definition, fingerprint, points, kept)
                starts = range(0, points, piece)
                for start in starts:
                    self._open_piece(number, Piece(start, min(start + piece, points)))
            self.db.change("UPDATE study SET turn = (SELECT max(turn) + 1 FROM study) WHERE study = ?", (number,))
        return next(s for s in self.studies() if s.number == number)

    def _add_study(self, name: str, definition: str, fingerprint: str, points: int, kept: bool) -> int:
        number = self._int(self.db.one("SELECT coalesce(max(study), 0) + 1 FROM study")[0])
        fields = (number, fingerprint, name, definition, points, int(kept))
        self.db.insert("study", fields, turn=0)
        return number

    def _open_piece(self, number: int, piece: Piece, tries: int = 0) -> None:
        self.db.change("INSERT INTO piece (study, start, stop, state, tries) VALUES (?, ?, ?, 'open', ?)",
                       (number, *piece, tries))  # fmt: skip

    def studies(self) -> list[Registered]:
        """Every study, the one that was asked last at the end."""
        columns = ",".join(tables.STUDY_COLUMNS)
        found = []
        for row in self.db.rows(f"SELECT {columns} FROM study ORDER BY turn, study"):
            number, fingerprint, _, definition, points, kept = self.db.sealed("study", row)
            study = study_from(json.loads(str(definition)))
            found.append(Registered(self._int(number), study, self._int(points), bool(kept), str(fingerprint)))
        return found

    def chosen(self, name: str | None = None) -> Registered:
        """The study asked last, or the last one of that name. Raises InputError when there is none."""
        studies = self.studies()
        for one in reversed(studies):
            if name in (None, one.study.name):
                return one
        known = ", ".join(sorted({s.study.name for s in studies})) or "none"
        raise bad_input("unknown-study", name, f"the store has no such study (it has: {known})",
                        "Run `hwsim sweep FILE --store DB` first.", key="--study")  # fmt: skip

    # --- pieces

    def claim(self, study: Registered, owner: str, most: int) -> list[Piece]:
        """Lease up to `most` open pieces that nobody holds, those first that cost no worker yet."""
        with self.writing():
            found = self.db.rows(
                "SELECT start, stop FROM piece WHERE study = ? AND state = 'open' AND owner IS NULL "
                "ORDER BY tries, start LIMIT ?", (study.number, most))  # fmt: skip
            for start, _ in found:
                self.db.change("UPDATE piece SET owner = ?, deadline = ? WHERE study = ? AND start = ?",
                               (owner, time.time() + LEASE_S, study.number, start))  # fmt: skip
        return [Piece(self._int(start), self._int(stop)) for start, stop in found]

    def renew(self, owner: str) -> None:
        """Move the deadline of everything `owner` holds."""
        with self.writing():
            self.db.change("UPDATE piece SET deadline = ? WHERE owner = ?", (time.time() + LEASE_S, owner))

    def release(self, owner: str) -> None:
        """Give back what `owner` holds, as if it had never been taken."""
        with self.writing():
            self.db.change("UPDATE piece SET owner = NULL, deadline = NULL WHERE owner = ?", (owner,))

    def reclaim(self, study: Registered) -> list[Piece]:
        """Take back the pieces of dead processes; single trials that cost too many are returned, to be set aside."""
        with self.writing():
            return [piece for piece in self._orphans(study) if self.lost(study, piece)]

    def reclaim_whole(self, study: Registered) -> None:
        """Take back the pieces of dead processes as they are: for a search, whose one piece many trials share."""
        with self.writing():
            for piece in self._orphans(study):
                self.db.change("UPDATE piece SET owner = NULL, deadline = NULL WHERE study = ? AND start = ?",
                               (study.number, piece.start))  # fmt: skip

    def _orphans(self, study: Registered) -> list[Piece]:
        held = self.db.rows("SELECT start, stop, owner, deadline FROM piece WHERE study = ? AND owner IS NOT NULL "
                            "AND state = 'open'", (study.number,))  # fmt: skip
        return [Piece(self._int(start), self._int(stop)) for start, stop, owner, deadline in held
                if not _holds(str(owner), deadline)]  # fmt: skip

    def lost(self, study: Registered, piece: Piece) -> bool:
        """A worker died over `piece`: halve it, or, for a single trial, count the loss; whether it is to be set aside.

        The halves go to different workers, so whatever kills them is soon alone, and everything else is done.
        """
        with self.writing():
            (tries,) = self.db.one("SELECT tries FROM piece WHERE study = ? AND start = ?", (study.number, piece.start))
            tries = self._int(tries) + 1
            middle = (piece.start + piece.stop) // 2
            if middle > piece.start:
                self.db.change("DELETE FROM piece WHERE study = ? AND start = ?", (study.number, piece.start))
                self._open_piece(study.number, Piece(piece.start, middle), 1)
                self._open_piece(study.number, Piece(middle, piece.stop), 1)
                return False
            self.db.change("UPDATE piece SET owner = NULL, deadline = NULL, tries = ? WHERE study = ? AND start = ?",
                           (tries, study.number, piece.start))  # fmt: skip
            return tries > MAX_TRIES

    def note_incident(self, study: Registered, trial: int, log: str) -> None:
        """Keep the log of a trial that was set aside."""
        with self.writing():
            self.db.change("INSERT INTO incident VALUES (?, ?, ?)", (study.number, trial, log))

    def open_pieces(self, study: Registered) -> int:
        """How many pieces are not done. Raises InputError unless the pieces tile the study's points."""
        at = waiting = 0
        for start, stop, state in self.db.rows(
            "SELECT start, stop, state FROM piece WHERE study = ? ORDER BY start", (study.number,)
        ):
            if start != at or self._int(stop) <= self._int(start) or state not in ("open", "done"):
                raise damaged(self.path, "the ledger of pieces is not what was written")
            at, waiting = self._int(stop), waiting + (state == "open")
        if at != study.points:
            raise damaged(self.path, "the ledger of pieces is not what was written")
        return waiting

    def finish(self, study: Registered, piece: Piece, counts: Counts, digest: str = "") -> bool:
        """Mark a piece done; False if it is not open any more (another process was faster, or cut it up)."""
        with self.writing():
            open_ = self.db.rows("SELECT 1 FROM piece WHERE study = ? AND start = ? AND stop = ? AND state = 'open'",
                                 (study.number, *piece))  # fmt: skip
            if not open_:
                return False
            self.db.change("DELETE FROM piece WHERE study = ? AND start = ?", (study.number, piece.start))
            self.db.insert("piece", (study.number, *piece, *counts, digest), state="done")
            return True

    def counts(self, study: Registered) -> Counts:
        """What the done pieces add up to."""
        columns = ",".join(tables.PIECE_COLUMNS)
        total = [0, 0, 0]
        for row in self.db.rows(f"SELECT {columns} FROM piece WHERE study = ? AND state = 'done'", (study.number,)):
            for i, n in enumerate(self.db.sealed("piece", row)[3:6]):
                total[i] += self._int(n)
        return Counts(*total)

    # --- points and trials

    def has_other_points(self, study: Registered) -> bool:
        """Whether any point is stored that is none of this study's."""
        return bool(self.db.rows("SELECT 1 FROM point WHERE point NOT IN (SELECT point FROM trial WHERE study = ?) "
                                 "LIMIT 1", (study.number,)))  # fmt: skip

    def known(self, points: Iterable[str]) -> dict[str, Row]:
        """Those of the points that are stored and did not fail, with their own status, reason and figures."""
        columns = ",".join(tables.POINT_COLUMNS)
        found = {}
        for point in points:
            for row in self.db.rows(f"SELECT {columns} FROM point WHERE point = ?", (point,)):
                known = _point_row(self.db.sealed("point", row))
                if known.status != FAILED:
                    found[point] = known
        return found

    def add(self, study: Registered, trials: Iterable[Outcome]) -> int:
        """Store trials and their points, those that are there already excepted; how many points were new.

        Raises RuntimeError when a point or a trial is there with other content: the models are deterministic.
        """
        new = 0
        with self.writing():
            for trial in trials:
                new += self._add_point(trial)
                self._add_trial(study, trial)
        return new

    def _add_point(self, trial: Outcome) -> bool:
        if not trial.point_status:
            return False
        row = trial.row
        own = Row(row.point, {}, trial.point_status, row.metrics, trial.point_why)
        if self.db.insert("point", _point_fields(own)):
            return True
        columns = ",".join(tables.POINT_COLUMNS)
        stored = self.db.one(f"SELECT {columns} FROM point WHERE point = ?", (row.point,))
        there = _point_row(self.db.sealed("point", stored))
        if there.status == FAILED and own.status != FAILED:
            self._forget_point(row.point)
            return self.db.insert("point", _point_fields(own))
        if not _agree(there, own):
            raise RuntimeError(f"two computations of the point {row.point} differ: {there} and {own}")
        return False

    def _forget_point(self, point: str) -> None:
        for (seal,) in self.db.rows("SELECT seal FROM point WHERE point = ?", (point,)):
            self.db.change("DELETE FROM point WHERE point = ?", (point,))
            self.db.count("point", -1, -self._int(seal))

    def _add_trial(self, study: Registered, trial: Outcome) -> None:
        fields = _trial_fields(study.number, trial)
        if self.db.insert("trial", fields):
            if trial.log:
                self.note_incident(study, trial.trial, trial.log)
            return
        (point,) = self.db.one("SELECT point FROM trial WHERE study = ? AND trial = ? AND rung = ?",
                               (study.number, trial.trial, trial.rung))  # fmt: skip
        if point != trial.row.point:
            raise RuntimeError(f"trial {trial.trial} of {study.study.name} is already the point {point}, "
                               f"not {trial.row.point}")  # fmt: skip

    def trials(self, study: Registered) -> Iterator[Outcome]:
        """Every stored trial of a study in the order of its number, with its figures; each row's seal is checked.

        Raises InputError when a trial, or the point of one that ran, is missing or is not what was written.
        """
        trial_columns = ",".join(f"t.{c}" for c in tables.TRIAL_COLUMNS)
        point_columns = ",".join(f"p.{c}" for c in tables.POINT_COLUMNS)
        width = len(tables.TRIAL_COLUMNS)
        query = (f"SELECT {trial_columns},{point_columns} FROM trial t "
                 "LEFT JOIN point p ON t.ran AND p.point = t.point "
                 "WHERE t.study = ? ORDER BY t.trial, t.rung")  # fmt: skip
        for row in self.db.stream(query, (study.number,)):
            fields = self.db.sealed("trial", row[:width])
            point = self.db.sealed("point", row[width:]) if row[width] is not None else None
            if point is None and fields[3]:
                raise damaged(self.path, f"the point of trial {fields[1]} is missing")
            yield _trial_from(fields, _point_row(point) if point else None)

    def check_complete(self, study: Registered) -> None:
        """Raise InputError unless what the ledger says was done is there."""
        done = self.counts(study).all
        (stored,) = self.db.one("SELECT count(*) FROM trial WHERE study = ?", (study.number,))
        if not study.kept and stored != done:
            raise damaged(self.path, f"{done} trials were done and {stored} are there")

    def replace_kept(self, study: Registered, gone: Iterable[int], trials: Sequence[Outcome]) -> None:
        """Exchange rows of a study that keeps a choice: take out trials by number, put in others."""
        with self.writing():
            for number in gone:
                (seal,) = self.db.one("SELECT seal FROM trial WHERE study = ? AND trial = ?", (study.number, number))
                self.db.change("DELETE FROM trial WHERE study = ? AND trial = ?", (study.number, number))
                self.db.count("trial", -1, -self._int(seal))
            self.add(study, trials)

    def reopen_failed(self, study: Registered) -> int:
        """Forget the failed trials of a study and open them again, as single pieces; how many there were."""
        if study.kept:
            return 0
        with self.writing():
            failed = [t for t in self.trials(study) if t.row.status == FAILED]
            for trial in failed:
                self._reopen(study, trial)
        return len(failed)

    def _reopen(self, study: Registered, trial: Outcome) -> None:
        self.replace_kept(study, (trial.trial,), ())
        if trial.point_status == FAILED:
            self._forget_point(trial.row.point)
        columns = ",".join(tables.PIECE_COLUMNS)
        held = self.db.one(f"SELECT {columns} FROM piece WHERE study = ? AND start <= ? ORDER BY start DESC LIMIT 1",
                           (study.number, trial.trial))  # fmt: skip
        _, start, stop, *_, digest = self.db.sealed("piece", held)
        self.db.change("DELETE FROM piece WHERE study = ? AND start = ?", (study.number, start))
        self.db.count("piece", -1, -self._int(held[-1]))
        self._resplit(study, Piece(self._int(start), self._int(stop)), trial.trial, str(digest))

    def _resplit(self, study: Registered, piece: Piece, trial: int, digest: str) -> None:
        """A done piece as what lies before `trial`, `trial` alone and open, and what lies after it."""
        self._open_piece(study.number, Piece(trial, trial + 1))
        for part in (Piece(piece.start, trial), Piece(trial + 1, piece.stop)):
            if part.start < part.stop:
                counts = self._counted(study, part)
                self.db.insert("piece", (study.number, *part, *counts, digest), state="done")

    def _counted(self, study: Registered, piece: Piece) -> Counts:
        statement = "SELECT status, count(*) FROM trial WHERE study = ? AND trial >= ? AND trial < ? GROUP BY status"
        found = {str(status): self._int(n) for status, n in self.db.rows(statement, (study.number, *piece))}
        return Counts(*(found.get(name, 0) for name in Counts._fields))

    # --- searches that learn

    def save_search(self, study: Registered, state: Mapping[str, Any]) -> None:
        """Keep where a search is; part of the transaction that adds what it was told."""
        with self.writing():
            for (seal,) in self.db.rows("SELECT seal FROM search WHERE study = ?", (study.number,)):
                self.db.change("DELETE FROM search WHERE study = ?", (study.number,))
                self.db.count("search", -1, -self._int(seal))
            self.db.insert("search", (study.number, canonical(state)))

    def search(self, study: Registered) -> dict[str, Any] | None:
        """Where a search was left; None if it never began."""
        for row in self.db.rows("SELECT study, state, seal FROM search WHERE study = ?", (study.number,)):
            state: dict[str, Any] = json.loads(str(self.db.sealed("search", row)[1]))
            return state
        return None

    def trial_counts(self, study: Registered) -> Counts:
        """How many of the stored trials are what."""
        return self._counted(study, Piece(0, 1 << 62))

    def check(self) -> None:
        """Raise InputError unless the whole store is what was written: pages, seals, totals, ledgers."""
        self.db.check_pages()
        self.db.check_totals()
        for study in self.studies():
            self.open_pieces(study)
            self.check_complete(study)


# --- rows as tuples ---------------------------------------------------------------------------------------------


def _holds(owner: str, deadline: object) -> bool:
    """Whether the process that leased a piece still has it. Nobody is given a deadline further off than a lease."""
    try:
        alive = is_alive(owner)
    except ValueError:  # no name of a process: a damaged lease is no lease
        return False
    if alive is not None:
        return alive
    return isinstance(deadline, float) and 0 <= deadline - time.time() <= 2 * LEASE_S


def _point_fields(row: Row) -> tuple[object, ...]:
    figures = [_figure(name, row.metrics.get(name)) for name in SCALARS]
    more = {name: value for name, value in row.metrics.items() if name not in SCALARS}
    return (row.point, row.status, row.why, *figures, canonical(more))


def _figure(name: str, value: float | None) -> float | None:
    """A figure in its column's type, so that what is read is what was sealed."""
    if value is None:
        return None
    return int(value) if name in tables.INTEGER_SCALARS else float(value)


def _point_row(fields: Sequence[Any]) -> Row:
    point, status, why, *figures, more = fields
    metrics = {name: value for name, value in zip(SCALARS, figures, strict=True) if value is not None}
    return Row(point, {}, status, {**metrics, **json.loads(more)}, why)


def _trial_fields(number: int, trial: Outcome) -> tuple[object, ...]:
    row = trial.row
    ran = int(bool(trial.point_status))
    assignment, goals = canonical(dict(row.assignment)), canonical(trial.goals)
    return (number, trial.trial, row.point, ran, row.status, row.why, assignment, goals, trial.rung, trial.kept)


def _trial_from(fields: Sequence[Any], point: Row | None) -> Outcome:
    _, number, name, _, status, why, assignment, goals, rung, kept = fields
    row = Row(name, json.loads(assignment), status, point.metrics if point else {}, why)
    own = (point.status, point.why) if point else ("", "")
    return Outcome(number, row, *own, tuple(json.loads(goals)), rung, kept)


def _agree(a: Row, b: Row) -> bool:
    """Whether two computations of a point say the same; one that failed says nothing."""
    if FAILED in (a.status, b.status):
        return True
    return a.status == b.status and _close(a.metrics, b.metrics)


def _close(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    return a.keys() == b.keys() and all(math.isclose(a[k], b[k], rel_tol=AGREEMENT, abs_tol=0.0) for k in a)
