"""From a study to a store that holds its answer: cut into pieces, shared among processes, resumed, never done twice.

The process that runs a study is the only one of its workers that touches the store. Several such processes on one
store share the work by leases, and each returns when all of it is done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwsim.errors import InputError, bad_input
from hwsim.parts import TABLES
from hwsim.sweep import ledger
from hwsim.sweep.codec import digest, study_document
from hwsim.sweep.executors import Done, Executor, executor_of
from hwsim.sweep.owner import this_process
from hwsim.sweep.pareto import pareto_front
from hwsim.sweep.proposer import Proposer, Trial
from hwsim.sweep.resolve import engine_hash, network_hash
from hwsim.sweep.search import GRID, INDEXED, proposer_of, top_rung
from hwsim.sweep.store import LEASE_S, MAX_TRIES, Counts, Outcome, Piece, Registered, Store
from hwsim.sweep.study import FAILED, INFEASIBLE, OK, Direction, Study
from hwsim.sweep.subjects import PARTS
from hwsim.sweep.work import Bench, outcome_from, plain_trial, set_aside

PIECES = 256
"""Pieces a study is cut into, unless they would be too large or too small."""
MAX_PIECE = 1024
"""Trials lost at most when a worker dies."""
COMMIT_S = 0.25
"""Results wait this long for others to share their transaction."""
POLL_S = 0.05
IDLE_S = (0.01, 1.0)
"""How often a process that has nothing to do looks whether others died or finished: soon, then less and less."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is: trials done of all, those of this process a second, the best first objective so far, and
    the seconds left at this rate (None: not known yet)."""

    done: int
    points: int
    per_second: float
    best: float | None
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a study.

    points = feasible + infeasible + failed; `reused` of them were in the store before this call. `front` holds the
    rows that nothing dominates, in the order of their trials. points_per_second counts what this call computed.
    """

    points: int
    feasible: int
    infeasible: int
    failed: int
    reused: int
    points_per_second: float
    seconds: float
    front: tuple[Outcome, ...] = field(repr=False)


Told = Callable[[Progress], None]


def run_study(
    study: Study,
    store_path: str | Path,
    workers: int = 1,
    engine: str = "process",
    on_progress: Told | None = None,
    *,
    scheduler: str = "",
    retry_failed: bool = False,
    executor: Callable[[Study], Executor] | None = None,
) -> Summary:
    """Run every trial of `study` that the store at `store_path` does not hold, and answer from the store.

    workers     worker processes (engines "process" and "dask"); "serial" runs in this process
    scheduler   address of a Dask scheduler; without it the engine "dask" starts workers of its own
    retry_failed   run the trials that failed once more
    executor    makes the executor, in place of `engine`

    Killed at any moment, it continues when called again. Raises InputError for what is wrong with the study or the
    store; KeyboardInterrupt passes through with all results so far stored and all leases given back.
    """
    bench = Bench(study)
    with Store(store_path, create=True) as store:
        registered = register(store, bench)
        if retry_failed:
            _check_indexed(study)
            store.reopen_failed(registered)
        run = _Run(store, registered, bench, on_progress)
        make = executor or (lambda study: executor_of(engine, study, workers, scheduler))
        run.all(make)
        return run.summary()


def _check_indexed(study: Study) -> None:
    if study.method not in INDEXED:
        raise bad_input("retry-failed", study.method, "this method was told of its failures and went on without them",
                        f"Use it with {', '.join(INDEXED)}.", key="--retry-failed")  # fmt: skip


def register(store: Store, bench: Bench) -> Registered:
    """Enter the study of `bench` in the store, cut into pieces."""
    study = bench.study
    if study.method not in INDEXED:
        return store.register(study, fingerprint(bench), study.budget, max(study.budget, 1), False)
    points = bench.space.size if study.method == GRID else study.budget
    points = min(points, study.budget) if study.budget else points
    kept = points > study.keep_rows
    size = ledger.CHUNK if kept else min(MAX_PIECE, max(1, points // PIECES))
    return store.register(study, fingerprint(bench), points, size, kept)


def fingerprint(bench: Bench) -> str:
    """sha256 of everything that a study's answer follows from: what it asks, designs, parts, workloads, the code."""
    study, subjects = bench.study, bench.space.subjects
    asked = {key: value for key, value in study_document(study).items() if key != "summary"}
    designs = [[[v.key, str(v.value)] for v in subjects.designs[name].values] for name in study.accelerators]
    networks = [network_hash(subjects.workloads[name]) for name in study.workloads]
    code = [engine_hash(type(subjects.designs[name].model)) for name in study.accelerators]
    return digest(asked, designs, _tables(bench), networks, code)


def _tables(bench: Bench) -> list[str]:
    """The figures of every entry of a table that a study names."""
    own = [bench.space.subjects.design_values(name, bench.study) for name in bench.study.accelerators]
    named = {key: {str(values[key]) for values in own if key in values} for key in PARTS}
    for parameter in bench.study.parameters:
        if parameter.key in PARTS:
            named[parameter.key] |= set(map(str, parameter.values))
    return [repr(TABLES[key].read(name)) for key, names in named.items() for name in sorted(names)]


class _Run:
    """One call of `run_study` at work."""

    def __init__(self, store: Store, study: Registered, bench: Bench, told: Told | None) -> None:
        self.store, self.study, self.bench, self.told = store, study, bench, told
        self.owner = this_process()
        self.began = self.renewed = self.committed = self.spoke = time.monotonic()
        self.before = store.counts(study).all
        self.reused = self.computed = 0
        self.named = not study.kept and store.has_other_points(study)
        self.best: float | None = None
        self.top = top_rung(study.study)
        self.idle_s = IDLE_S[0]
        self.cut: dict[str, Any] | None = None
        self.ready: deque[tuple[Piece, dict[str, Any]]] = deque()
        self.answered: list[tuple[Piece, dict[str, Any]]] = []

    def all(self, make: Callable[[Study], Executor]) -> None:
        """Do what is open, until nothing is."""
        if not self.store.open_pieces(self.study):
            return
        with self._executor(make) as executor:
            if self.study.study.method in INDEXED:
                self._pieces(executor)
            else:
                _Search(self, executor).all()

    @contextlib.contextmanager
    def _executor(self, make: Callable[[Study], Executor]) -> Iterator[Executor]:
        """Workers, which end with the block; what they had finished is stored, what they held is given back."""
        executor = make(self.study.study)
        try:
            yield executor
        except KeyboardInterrupt:
            self.commit()
            raise
        finally:
            executor.stop()
            with contextlib.suppress(InputError):  # the store's own trouble is on its way up already
                self.store.release(self.owner)

    # --- pieces

    def _pieces(self, executor: Executor) -> None:
        running = 0
        while True:
            running += self._give(executor)
            if not running and executor.room():  # nothing is left to take
                self.commit()
                if not self.wait_for_others():
                    return
                continue
            for done in executor.wait(POLL_S):
                running -= 1
                self._ended(done)
            if self.answered and time.monotonic() - self.committed > COMMIT_S:
                self.commit()
            self.renew()

    def _give(self, executor: Executor) -> int:
        """Put orders to work while there is room; how many."""
        given = 0
        for _ in range(room := executor.room()):
            if not self.ready and not self._take(2 * room):
                break
            executor.submit(*self.ready.popleft())
            given += 1
        return given

    def _take(self, most: int) -> bool:
        for piece in self.store.claim(self.study, self.owner, most):
            self.ready.append(self._order(piece))
        return bool(self.ready)

    def _order(self, piece: Piece) -> tuple[Piece, dict[str, Any]]:
        stretch = {"start": piece.start, "stop": piece.stop}
        if self.study.kept:
            return piece, {"do": "fold", **stretch, **self._cut()}
        return piece, {"do": "run", **stretch, "known": self._known(piece) if self.named else {}}

    def _known(self, piece: Piece) -> dict[str, Any]:
        """What the store has already of a piece's points, from other studies."""
        points = [self.bench.name(trial) for trial in self.bench.stretch(*piece)]
        known = self.store.known(points)
        self.reused += sum(point in known for point in points)
        return {point: [row.status, row.why, dict(row.metrics)] for point, row in known.items()}

    def _cut(self) -> dict[str, Any]:
        """What is kept already, as of the last commit: it saves work and decides nothing."""
        if self.cut is None:
            self.cut = ledger.cut(self.store, self.study)
        return self.cut

    def _ended(self, done: Done) -> None:
        piece: Piece = done.key
        if done.reply is None:
            self._lost(piece, done.death)
        else:
            self.answered.append((piece, done.reply))

    def _lost(self, piece: Piece, death: str) -> None:
        """A worker died over a piece, while this process lives."""
        if self.store.lost(self.study, piece):
            self.set_aside(piece.start, death)

    def set_aside(self, trial: int, death: str) -> None:
        """Store a trial that killed every worker that took it as failed, with the last one's log."""
        how = death.partition("\n")[0]
        why = f"{MAX_TRIES} workers ended over it"
        outcome = set_aside(self.bench, self.bench.stretch(trial, trial + 1)[0], why, death or how)
        if self.study.kept:
            outcome = dataclasses.replace(outcome, kept=FAILED)
        with self.store.writing():
            self.store.add(self.study, [outcome])
            self.store.finish(self.study, Piece(trial, trial + 1), Counts(failed=1))

    def commit(self) -> None:
        """Store what was answered, all of it in one transaction."""
        if not self.answered:
            return
        with self.store.writing():
            for piece, reply in self.answered:
                self._store(piece, reply)
        self.answered.clear()
        self.committed = time.monotonic()
        self.tell()

    def _store(self, piece: Piece, reply: Mapping[str, Any]) -> None:
        outcomes = [outcome_from(fields) for fields in reply["outcomes"]]
        if self.study.kept:
            if self.store.finish(self.study, piece, Counts(*reply["counts"]), reply["digest"]):
                ledger.merge(self.store, self.study, outcomes)
                self.cut = None
                self.computed += sum(reply["counts"])
        else:
            self.store.finish(self.study, piece, counted(outcomes))
            self.store.add(self.study, outcomes)
            self.computed += len(outcomes)
        self.see(outcomes)

    def see(self, outcomes: Iterable[Outcome]) -> None:
        """Keep the best value of the first objective, for progress."""
        better = max if self.study.study.objectives[0].direction is Direction.MAXIMIZE else min
        for goals in (o.goals for o in outcomes if o.goals and o.rung == self.top):
            self.best = goals[0] if self.best is None else better(self.best, goals[0])

    def wait_for_others(self) -> bool:
        """Nothing is left to take: take back what dead processes held, or wait; False when all is done."""
        for piece in self.store.reclaim(self.study):
            self.set_aside(piece.start, "each process that took it ended")
        if not self.store.open_pieces(self.study):
            return False
        if self._take(1):
            self.idle_s = IDLE_S[0]
        else:
            self.sleep()
        return True

    def sleep(self) -> None:
        """Wait a little, and the next time longer."""
        time.sleep(self.idle_s)
        self.idle_s = min(2 * self.idle_s, IDLE_S[1])

    def renew(self) -> None:
        """Tell other machines, now and then, that this process lives."""
        if time.monotonic() - self.renewed > LEASE_S / 4:
            self.store.renew(self.owner)
            self.renewed = time.monotonic()

    # --- what is said

    def tell(self) -> None:
        """Say how far it is."""
        if self.told is None:
            return
        indexed = self.study.study.method in INDEXED
        done = (self.store.counts if indexed else self.store.trial_counts)(self.study).all
        rate = self.computed / max(time.monotonic() - self.began, 1e-9)
        here = done - self.before
        left = (self.study.points - done) / rate if rate and here else None
        self.told(Progress(done, self.study.points, rate, self.best, left))

    def summary(self) -> Summary:
        """The answer, from the store."""
        self.store.check_complete(self.study)
        counts = self.store.counts(self.study)
        seconds = time.monotonic() - self.began
        fresh = max(0, self.computed - self.reused)
        return Summary(
            counts.all, *counts, reused=self.before + self.reused, points_per_second=fresh / max(seconds, 1e-9),
            seconds=seconds, front=front_of(self.study.study, self.store.trials(self.study)),
        )  # fmt: skip


def counted(outcomes: Iterable[Outcome]) -> Counts:
    """How many outcomes are what."""
    found = [outcome.row.status for outcome in outcomes]
    return Counts(found.count(OK), found.count(INFEASIBLE), found.count(FAILED))


def front_of(study: Study, outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """The outcomes that no other dominates, in their order; of equal ones the first.

    Of a search over a ladder only its top rung counts: lower rungs are of shorter or rougher runs.
    """
    top = top_rung(study)
    rows = [outcome for outcome in outcomes if outcome.goals and outcome.rung == top]
    if not rows:
        return ()
    mask = pareto_front([row.goals for row in rows], [o.direction for o in study.objectives])
    first: dict[tuple[float, ...], Outcome] = {}
    for row, on_front in zip(rows, mask, strict=True):
        if on_front:
            first.setdefault(row.goals, row)
    return tuple(first.values())


# --- searches that learn as they go -----------------------------------------------------------------------------


class _Search:
    """A method that proposes from what it was told. One process at a time leads it, as one piece; its state is stored
    in the transaction that adds the results it has seen."""

    def __init__(self, run: _Run, executor: Executor) -> None:
        self.run, self.executor = run, executor
        self.proposer: Proposer = proposer_of(run.study.study, run.bench.space)
        self.running: dict[tuple[int, int], Trial] = {}
        self.losses: Counter[tuple[int, int]] = Counter()
        self.fresh: list[Outcome] = []

    def all(self) -> None:
        """Lead the search to its end, or wait for whoever leads it."""
        run = self.run
        while not (claimed := run.store.claim(run.study, run.owner, 1)):
            run.store.reclaim_whole(run.study)
            if not run.store.open_pieces(run.study):
                return
            run.sleep()
        state = run.store.search(run.study)
        if state is not None:
            self.proposer.restore(state)
        run.before = run.store.trial_counts(run.study).all
        self._lead()
        with run.store.writing():
            self._store()
            run.store.finish(run.study, claimed[0], run.store.trial_counts(run.study))
        run.tell()

    def _lead(self) -> None:
        while True:
            self._give()
            if not self.running and self.executor.room():  # nothing to propose, nothing to wait for
                return
            for done in self.executor.wait(POLL_S):
                self._ended(done)
            if self.fresh and time.monotonic() - self.run.committed > COMMIT_S:
                self._commit()
            self.run.renew()

    def _give(self) -> None:
        """Propose while there is room."""
        while self.executor.room() > 0 and (trial := self.proposer.ask()) is not None:
            self._try(trial)

    def _try(self, trial: Trial) -> None:
        """Have a trial run, unless the store knows its point."""
        self.running[trial.id, trial.rung] = trial
        known: dict[str, Any] = {}
        name = self.run.bench.name(trial)
        for point, row in self.run.store.known([name]).items():
            known[point] = [row.status, row.why, dict(row.metrics)]
        if known:
            self.run.reused += 1
            self._answered(trial, *self.run.bench.outcomes([trial], known))
            return
        self.executor.submit((trial.id, trial.rung), {"do": "try", "trials": [plain_trial(trial)]})

    def _ended(self, done: Done) -> None:
        trial = self.running[done.key]
        if done.reply is not None:
            self._answered(trial, outcome_from(done.reply["outcomes"][0]))
            return
        self.losses[done.key] += 1
        if self.losses[done.key] < MAX_TRIES:
            self.executor.submit(done.key, {"do": "try", "trials": [plain_trial(trial)]})
            return
        why = f"{MAX_TRIES} workers ended over it"
        self._answered(trial, set_aside(self.run.bench, trial, why, done.death))

    def _answered(self, trial: Trial, outcome: Outcome) -> None:
        del self.running[trial.id, trial.rung]
        self.proposer.tell(trial, outcome.goals or None)
        self.fresh.append(outcome)
        self.run.computed += 1
        self.run.see([outcome])

    def _commit(self) -> None:
        with self.run.store.writing():
            self._store()
        self.fresh.clear()
        self.run.committed = time.monotonic()
        self.run.tell()

    def _store(self) -> None:
        self.run.store.add(self.run.study, self.fresh)
        self.run.store.save_search(self.run.study, self.proposer.state())
