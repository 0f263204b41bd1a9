"""Studies too large for a row a point: every piece is counted and digested, and a choice of rows is kept.

Kept are the front (of equal points the first), the best of each objective, and a sample drawn by the study's seed.
Each is a function of the set of points alone, so the choice does not depend on how the work was cut, ordered or shared.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwsim.sweep.pareto import minimised, pareto_front
from hwsim.sweep.store import Outcome, Registered, Store
from hwsim.sweep.study import FAILED, INFEASIBLE, OK, Study

if TYPE_CHECKING:
    from hwsim.sweep.work import Bench

CHUNK = 1 << 17
"""Points a piece: seconds of work, so that a ledger of 10^8 points has 763 lines."""
BLOCK = 1 << 14
"""Points held in memory at once."""
TOP = 100
SAMPLE = 1000
CUT_FRONT = 256
"""Front points that workers are told, to leave out at once what those dominate."""
STATUSES = (OK, INFEASIBLE, FAILED)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a study, evaluated: trial numbers (n), statuses as places in STATUSES (n), objectives (n, k; NaN
    unless ok), and `rows`, which gives the full outcomes at some places."""

    trials: Ints
    statuses: npt.NDArray[np.int8]
    goals: Floats
    rows: Any


def fold(bench: Bench, order: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate a piece block by block: its counts, the sha256 of its statuses and objectives, and what may be kept."""
    counts = np.zeros(len(STATUSES), dtype=np.int64)
    total = hashlib.sha256()
    picked: list[Outcome] = []
    for start in range(order["start"], order["stop"], BLOCK):
        block = bench.block(start, min(start + BLOCK, order["stop"]))
        counts += np.bincount(block.statuses, minlength=len(STATUSES))
        total.update(block.statuses.tobytes() + block.goals.tobytes())
        picked += block.rows(_candidates(bench.study, block, order))
    return {"outcomes": picked, "counts": counts.tolist(), "digest": total.hexdigest()}


def _candidates(study: Study, block: Block, order: Mapping[str, Any]) -> Ints:
    """Places of the block whose points may be kept, given what is kept already."""
    ok = np.flatnonzero(block.statuses == 0)
    goals = minimised(block.goals[ok], directions(study)) if len(ok) else block.goals[ok]
    hopeful = np.zeros(len(ok), dtype=bool)
    if len(ok):
        front = _front(goals, block.trials[ok])
        hopeful[front[~_beaten(goals[front], np.array(order["front"], dtype=np.float64))]] = True
        for k, limit in enumerate(order["top"]):
            best = _best(goals[:, k], block.trials[ok])
            hopeful[best if limit is None else best[goals[best, k] <= limit]] = True
    keep = sampled(study.seed, block.trials, order["points"])
    keep[ok[hopeful]] = True
    return np.flatnonzero(keep)


def directions(study: Study) -> list[Any]:
    """The directions of a study's objectives."""
    return [objective.direction for objective in study.objectives]


def _front(goals: Floats, trials: Ints) -> Ints:
    """Places of the front, of equal points the one with the lowest number."""
    order = np.argsort(trials, kind="stable")
    _, first = np.unique(goals[order], axis=0, return_index=True)
    distinct = order[first]
    return distinct[pareto_front(goals[distinct])]


def _best(values: Floats, trials: Ints) -> Ints:
    """Places of the TOP smallest values, of equal ones the lowest numbers."""
    return np.lexsort((trials, values))[:TOP]


def _beaten(goals: Floats, by: Floats) -> Bools:
    """Which of the points some point of `by` dominates."""
    lost = np.zeros(len(goals), dtype=bool)
    for point in by:
        lost |= (goals >= point).all(axis=1) & (goals > point).any(axis=1)
    return lost


def sampled(seed: int, trials: Ints, points: int) -> Bools:
    """Which trials are of the sample of a study with `points` points: each with probability SAMPLE / points, by a hash
    of the seed and its number (SplitMix64's finalizer, Steele, Lea and Flood, OOPSLA 2014)."""
    key = int.from_bytes(hashlib.blake2b(f"sample {seed}".encode(), digest_size=8).digest(), "little")
    z = trials.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    limit = min((1 << 64) - 1, (SAMPLE << 64) // max(points, 1))
    kept: Bools = z <= np.uint64(limit)
    return kept


# --- in the store -----------------------------------------------------------------------------------------------


def cut(store: Store, study: Registered) -> dict[str, Any]:
    """What workers need to know of what is kept: part of the front, and the worst of the best of each objective."""
    rows = [o for o in store.trials(study) if o.goals]
    goals = minimised([o.goals for o in rows], directions(study.study)) if rows else np.empty((0, 0))
    front = [g for g, o in zip(goals.tolist(), rows, strict=True) if "front" in o.kept][:CUT_FRONT]
    top: list[float | None] = [
        max(g[k] for g, o in zip(goals.tolist(), rows, strict=True) if f"top {k}" in o.kept.split(", "))
        if sum(f"top {k}" in o.kept.split(", ") for o in rows) == TOP
        else None
        for k in range(len(study.study.objectives))
    ]
    return {"front": front, "top": top, "points": study.points}


def merge(store: Store, study: Registered, found: Sequence[Outcome]) -> None:
    """Bring the kept rows up to date with a piece's candidates; part of the transaction that marks the piece done."""
    there = {o.trial: o for o in store.trials(study)}
    everything = {**{o.trial: o for o in found}, **there}
    wanted = _reasons(study, list(everything.values()))
    gone = [number for number, o in there.items() if wanted[number] != o.kept]
    fresh = [
        dataclasses.replace(o, kept=wanted[number])
        for number, o in sorted(everything.items())
        if wanted[number] and (number not in there or wanted[number] != there[number].kept)
    ]
    store.replace_kept(study, gone, fresh)


def _reasons(study: Registered, rows: Sequence[Outcome]) -> dict[int, str]:
    """Why each of some rows is kept, by trial; "" for those that are not."""
    trials = np.array([o.trial for o in rows], dtype=np.int64)
    reasons: dict[int, list[str]] = {o.trial: [o.kept] if o.kept == FAILED else [] for o in rows}
    ok = np.array([i for i, o in enumerate(rows) if o.goals], dtype=np.int64)
    if len(ok):
        goals = minimised([rows[i].goals for i in ok], directions(study.study))
        _note(reasons, trials[ok[_front(goals, trials[ok])]], "front")
        for k in range(goals.shape[1]):
            _note(reasons, trials[ok[_best(goals[:, k], trials[ok])]], f"top {k}")
    _note(reasons, trials[sampled(study.study.seed, trials, study.points)], "sample")
    return {number: ", ".join(why) for number, why in reasons.items()}


def _note(reasons: dict[int, list[str]], trials: Iterable[int], why: str) -> None:
    for number in trials:
        reasons[int(number)].append(why)


def plain_block(bench: Bench, start: int, stop: int) -> Block:
    """A block evaluated point by point."""
    outcomes = list(bench.outcomes(bench.stretch(start, stop), {}))
    width = len(bench.study.objectives)
    goals = np.array([o.goals or (np.nan,) * width for o in outcomes], dtype=np.float64).reshape(-1, width)
    statuses = np.array([STATUSES.index(o.row.status) for o in outcomes], dtype=np.int8)

    def rows(places: Ints) -> list[Outcome]:
        return [outcomes[i] for i in places]

    return Block(np.arange(start, stop), statuses, goals, rows)
