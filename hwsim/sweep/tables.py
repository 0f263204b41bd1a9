"""The tables of a store. Plain columns of plain types, so that DuckDB, pandas and the sqlite3 shell read them as they
are; docs/sweeps-cluster.md says it for users.

study     one question each time it was asked differently: its definition, its fingerprint, how many points it has
piece     the work ledger of a study: pieces that tile its points, done or open, and who holds an open one until when
point     what was computed, by content hash; shared by all studies
trial     which point a study's i-th trial is, what was assigned, and what the study's own constraints said of it
search    where the search method of a study is, for methods that learn as they go
incident  the log of each point that was set aside
total     rows and sum of seals of each table above: what shows that rows are missing
result    (view) one line a trial, with its study's name and its point's figures

`seal` is a checksum of its row (`hwsim.sweep.codec.row_check`).
"""

from __future__ import annotations

from hwsim.sweep.metrics import SCALARS

APPLICATION_ID = 0x6877_736D
"""The letters "hwsm", in the place of the file header that SQLite keeps for this."""
VERSION = 1

INTEGER_SCALARS = ("cycles", "macs", "macs_executed")
SEALED = ("study", "piece", "point", "trial", "search")

_FIGURES = ", ".join(f"{name} {'INTEGER' if name in INTEGER_SCALARS else 'REAL'}" for name in SCALARS)

POINT_COLUMNS = ("point", "status", "why", *SCALARS, "more", "seal")
TRIAL_COLUMNS = ("study", "trial", "point", "ran", "status", "why", "assignment", "goals", "rung", "kept", "seal")
STUDY_COLUMNS = ("study", "fingerprint", "name", "definition", "points", "kept", "seal")
PIECE_COLUMNS = ("study", "start", "stop", "ok", "infeasible", "failed", "digest", "seal")
SEARCH_COLUMNS = ("study", "state", "seal")
COLUMNS = {
    "point": POINT_COLUMNS,
    "trial": TRIAL_COLUMNS,
    "study": STUDY_COLUMNS,
    "piece": PIECE_COLUMNS,
    "search": SEARCH_COLUMNS,
}

STATEMENTS = (
    """CREATE TABLE study (study INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, name TEXT NOT NULL,
 definition TEXT NOT NULL, points INTEGER NOT NULL, kept INTEGER NOT NULL, turn INTEGER NOT NULL,
 seal INTEGER NOT NULL)""",
    """CREATE TABLE piece (study INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, state TEXT NOT NULL,
 tries INTEGER NOT NULL DEFAULT 0, owner TEXT, deadline REAL, ok INTEGER, infeasible INTEGER, failed INTEGER,
 digest TEXT, seal INTEGER, PRIMARY KEY (study, start))""",
    f"""CREATE TABLE point (point TEXT PRIMARY KEY, status TEXT NOT NULL, why TEXT NOT NULL, {_FIGURES},
 more TEXT NOT NULL, seal INTEGER NOT NULL)""",
    """CREATE TABLE trial (study INTEGER NOT NULL, trial INTEGER NOT NULL, point TEXT NOT NULL, ran INTEGER NOT NULL,
 status TEXT NOT NULL, why TEXT NOT NULL, assignment TEXT NOT NULL, goals TEXT NOT NULL,
 rung INTEGER NOT NULL, kept TEXT NOT NULL, seal INTEGER NOT NULL, PRIMARY KEY (study, trial, rung))""",
    "CREATE TABLE search (study INTEGER PRIMARY KEY, state TEXT NOT NULL, seal INTEGER NOT NULL)",
    "CREATE TABLE incident (study INTEGER NOT NULL, trial INTEGER NOT NULL, log TEXT NOT NULL)",
    "CREATE TABLE total (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, seals INTEGER NOT NULL)",
    "CREATE INDEX piece_by_state ON piece (study, state, tries, start)",
    f"""CREATE VIEW result AS SELECT study.name AS study, trial.study AS study_number, trial.trial, trial.point,
 trial.ran, trial.status, trial.why, trial.assignment, trial.goals, trial.rung, trial.kept,
 {", ".join(f"point.{name}" for name in SCALARS)}, point.more
 FROM trial JOIN study ON study.study = trial.study LEFT JOIN point ON trial.ran AND point.point = trial.point""",
    *(f"INSERT INTO total VALUES ('{name}', 0, 0)" for name in SEALED),
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)
