"""A search method on simulated workers: who ran what when, without running anything.

    done = simulate(proposer_of(study, space), workers=100, run=lambda trial: (seconds, values))

For tests of a search method, and for asking how it would scale before buying machines.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hwsim.sweep.proposer import Proposer, Trial


@dataclass(frozen=True, slots=True)
class Done:
    """One trial as it went: on which worker, from when to when (simulated seconds), and what came of it."""

    trial: Trial
    worker: int
    start_s: float
    end_s: float
    values: Sequence[float] | None


Run = Callable[[Trial], tuple[float, Sequence[float] | None]]


def simulate(
    proposer: Proposer,
    workers: int,
    run: Run,
    horizon_s: float = math.inf,
    until: Callable[[Done], bool] = lambda done: False,
) -> list[Done]:
    """The trials that end by `horizon_s`, in order of their ends; equal ends in the order of their starts.

    run     (duration in seconds, values) of a trial
    until   after which trial to stop
    A worker asks when it is free, and again after every tell while there is nothing for it.
    """
    done: list[Done] = []
    busy: list[tuple[float, int, Done]] = []
    idle = list(range(workers))
    now_s, started = 0.0, 0
    while True:
        while idle and (trial := proposer.ask()) is not None:
            duration_s, values = run(trial)
            heapq.heappush(
                busy, (now_s + duration_s, started, Done(trial, idle.pop(0), now_s, now_s + duration_s, values))
            )
            started += 1
        if not busy or busy[0][0] > horizon_s:
            return done
        now_s, _, ended = heapq.heappop(busy)
        proposer.tell(ended.trial, ended.values)
        done.append(ended)
        if until(ended):
            return done
        idle.append(ended.worker)
