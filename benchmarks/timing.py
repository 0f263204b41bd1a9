"""How fast the timing engines are: nanoseconds per step, all in one run on the machine at hand.

    python benchmarks/timing.py [--steps 20000]

The same program goes through the recurrence as ordinary Python, the recurrence compiled, and the SimPy replay; each
figure is the best of several rounds. SimPy's cost is per chunk, so its programs are shorter where there are many.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from hwsim.timing.compile import as_arrays, compiled_recurrence
from hwsim.timing.events import replay
from hwsim.timing.recurrence import Resources, Steps, new_scratch, new_times, run_recurrence

MACHINE = Resources(slots=[2, 2], port=[0, 1], n_units=1)
MAX_REPLAYED_CHUNKS = 20_000


class Case(NamedTuple):
    """A chain of equal kinds of steps: whether they load and store, and in how many chunks."""

    name: str
    loads: bool
    stores: bool
    chunks: int


CASES = (
    Case("work only", False, False, 1),
    Case("load", True, False, 1),
    Case("load and store", True, True, 1),
    Case("load in 100 chunks", True, False, 100),
    Case("load and store in 100 chunks", True, True, 100),
    Case("load in 1,000,000 chunks", True, False, 1_000_000),
)


def chain(case: Case, n_steps: int) -> Steps:
    """`n_steps` steps of random durations, each after the one before."""
    rng = random.Random(0)

    def durations() -> list[int]:
        return [rng.randint(1, 1000) * case.chunks for _ in range(n_steps)]

    return Steps(
        load=[0 if case.loads else -1] * n_steps, load_ps=durations(), lead_ps=[50] * n_steps,
        unit=[0] * n_steps, work_ps=durations(), drain_ps=[20] * n_steps,
        store=[1 if case.stores else -1] * n_steps, store_ps=durations(),
        chunks=[case.chunks] * n_steps, load_waits=[0] * n_steps,
        dep_start=[max(0, i - 1) for i in range(n_steps + 1)], dep=list(range(n_steps - 1)),
    )  # fmt: skip


def best_ns_per_step(run: Callable[[], object], n_steps: int, rounds: int = 5) -> float:
    """The shortest of several runs, by step."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds) / n_steps * 1e9


def plain_ns(steps: Steps) -> float:
    """The recurrence as ordinary Python."""
    n_steps = len(steps.load)
    out, scratch = new_times(n_steps), new_scratch(MACHINE)
    return best_ns_per_step(lambda: run_recurrence(steps, MACHINE, out, scratch), n_steps)


def compiled_ns(steps: Steps) -> float:
    """The recurrence compiled, over arrays."""
    n_steps = len(steps.load)
    arguments = [as_arrays(x) for x in (steps, MACHINE, new_times(n_steps), new_scratch(MACHINE))]
    run = compiled_recurrence()
    run(*arguments)
    return best_ns_per_step(lambda: run(*arguments), n_steps)


def replay_ns(case: Case, n_steps: int) -> float | None:
    """The SimPy replay, or None where it has too many chunks to be waited for."""
    n_steps = min(n_steps, MAX_REPLAYED_CHUNKS // case.chunks)
    if n_steps == 0:
        return None
    steps = chain(case, n_steps)
    return best_ns_per_step(lambda: replay(steps, MACHINE), n_steps, rounds=2)


def table_line(name: str, plain: float, compiled: float, events: float | None) -> str:
    """One case: nanoseconds a step, and how many times faster compiled code is."""
    shown = f"{events:>13,.0f} {events / compiled:>9,.0f}x" if events else f"{'-':>13} {'-':>10}"
    return f"{name:<30}{plain:>10,.0f} {compiled:>10,.1f} {plain / compiled:>7,.0f}x {shown}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="nanoseconds per step of the timing engines")
    parser.add_argument("--steps", type=int, default=20_000)
    n_steps = parser.parse_args().steps
    print("nanoseconds per step")
    print(f"{'':<30}{'plain':>10} {'compiled':>10} {'ratio':>8} {'SimPy':>13} {'ratio':>10}")
    for case in CASES:
        steps = chain(case, n_steps)
        print(table_line(case.name, plain_ns(steps), compiled_ns(steps), replay_ns(case, n_steps)))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
