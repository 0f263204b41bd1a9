"""Random programs and a per-chunk twin of the closed timing, shared by the timing tests.

The twin is written from the semantics alone (docs/timing.md): it walks every chunk and keeps every chunk's end of work
by memory level. It indexes and loops only, so that numba can run it where programs have millions of chunks.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from hwsim.timing.recurrence import Resources, Steps, Times

CHUNKED = ("load_start", "load_end", "work_start", "work_end", "store_start", "store_end", "done_ps")


def twin(steps: Steps, resources: Resources, out: Times, ends: Sequence[list[int]]) -> None:
    """Chunk by chunk, uncontended. `ends[r]` has room for the end of work of every chunk loaded by resource r."""
    n_resources = len(resources.slots)
    unit_free = [0] * (resources.n_units + 1)
    load_free = [0] * n_resources
    store_free = [0] * n_resources
    n_loaded = [0] * n_resources
    for i in range(len(steps.load)):
        deps = 0
        for k in range(steps.dep_start[i], steps.dep_start[i + 1]):
            deps = max(deps, out.done_ps[steps.dep[k]])
        r, u, s, count = steps.load[i], steps.unit[i], steps.store[i], steps.chunks[i]
        worked = deps
        work_total = 0
        if u >= 0:
            worked = max(deps, unit_free[u])
            work_total = steps.work_ps[i]
        for j in range(count):
            load, work, store = steps.load_ps[i] // count, work_total // count, steps.store_ps[i] // count
            if j == count - 1:
                load = steps.load_ps[i] - j * load
                work = work_total - j * work
                store = steps.store_ps[i] - j * store
            work_start = worked
            if r >= 0:
                load_start = load_free[r]
                if j == 0 and steps.load_waits[i]:
                    load_start = max(load_start, deps)
                if n_loaded[r] >= resources.slots[r]:
                    load_start = max(load_start, ends[r][n_loaded[r] - resources.slots[r]])
                load_free[r] = load_start + load
                work_start = max(work_start, load_free[r] + steps.lead_ps[i])
                if j == 0:
                    out.load_start[i] = load_start
                out.load_end[i] = load_free[r]
            worked = work_start + work
            if r >= 0:
                ends[r][n_loaded[r]] = worked
                n_loaded[r] += 1
            if j == 0:
                out.work_start[i] = work_start
            if s >= 0:
                store_start = max(worked, store_free[s])
                store_free[s] = store_start + store
                if j == 0:
                    out.store_start[i] = store_start
                out.store_end[i] = store_free[s]
        out.work_end[i] = worked
        if u >= 0:
            unit_free[u] = worked
        out.done_ps[i] = worked + steps.drain_ps[i]
        if r < 0:
            out.load_start[i] = out.load_end[i] = out.work_start[i]
        if s < 0:
            out.store_start[i] = out.store_end[i] = worked
        out.done_ps[i] = max(out.done_ps[i], out.store_end[i])


def room(steps: Steps, resources: Resources) -> list[list[int]]:
    """The `ends` argument of `twin`."""
    loaded = [0] * len(resources.slots)
    for r, count in zip(steps.load, steps.chunks, strict=True):
        if r >= 0:
            loaded[r] += count
    return [[0] * (count + 1) for count in loaded]


def random_resources(rng: random.Random, *, shared: bool = False) -> Resources:
    """Two to four memory resources with 1 to 4 slots, each on a port of its own or (`shared`) on one of two ports."""
    n = rng.randint(2, 4)
    port = [rng.randrange(2) for _ in range(n)] if shared else list(range(n))
    return Resources([rng.randint(1, 4) for _ in range(n)], port, rng.randint(1, 3))


def _total(rng: random.Random, chunks: int) -> int:
    """A duration: none, a few chunks' worth with a remainder, or a long one that sets the pace."""
    each = rng.choice((0, 0, 1, 2, 3, 5, 8, 13, rng.randint(0, 40)))
    return each * chunks + rng.choice((0, 0, rng.randint(0, chunks - 1)))


def random_steps(
    rng: random.Random, resources: Resources, n_steps: int, chunk_counts: Sequence[int], *, both_ways: bool = False
) -> Steps:
    """Unequal steps. The first resources only load and the others only store, unless resources serve `both_ways`."""
    steps = Steps(*([] for _ in Steps._fields))
    n = len(resources.slots)
    first_store = 0 if both_ways else rng.randint(1, n - 1)
    last_load = n if both_ways else first_store
    steps.dep_start.append(0)
    for i in range(n_steps):
        chunks = rng.choice(chunk_counts)
        load, store = rng.randrange(-1, last_load), rng.choice((-1, rng.randrange(first_store, n)))
        row = (
            load, _total(rng, chunks), rng.choice((0, 0, 1, 7, 60)), rng.randrange(-1, resources.n_units),
            _total(rng, chunks) + rng.choice((0, 0, 0, 400)), rng.choice((0, 0, 3, 50)), store, _total(rng, chunks),
            chunks, rng.randint(0, 1),
        )  # fmt: skip
        for column, value in zip(steps, row, strict=False):
            column.append(value)
        steps.dep.extend(rng.sample(range(i), min(i, rng.choice((0, 0, 1, 1, 2, 3)))))
        steps.dep_start.append(len(steps.dep))
    return steps
