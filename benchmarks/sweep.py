"""How fast sweeps are: points and layer evaluations a second, all in one run on the machine at hand.

    python benchmarks/sweep.py [--points 100000] [--profile]

A point is one design; a layer evaluation is one report line of one design, with full cycles, energy and traffic. Every
thread has a Batch of its own and hands it designs in calls of 16,384 at most.

    random   every design value moves at random, but for those the program depends on: nothing is shared
    grid     a study's grid of two prices, two rates and one size: designs share what is the same for them

The limit beside it is memory bandwidth: a copy of the figures that the points have, by as many threads.
"""

from __future__ import annotations

import argparse
import cProfile
import dataclasses
import itertools
import pstats
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hwsim.config import DesignFile, load_design
from hwsim.evaluation import Job
from hwsim.parts import resolve_parts
from hwsim.simulate import resolve_binding
from hwsim.sweep.batch import Batch
from hwsim.sweep.plain import evaluate_plain
from hwsim.testing.samples import random_designs
from hwsim.workload.ir import Workload
from hwsim.workload.store import load_workload

CASES = (
    ("titan-xp", "efficientnet-lite0"),
    ("titan-xp", "transformer-base"),
    ("optimus", "efficientnet-lite0"),
    ("optimus", "transformer-base"),
)
GRIDS = {
    "roofline": {
        "board_power_w": [150.0 + 5 * i for i in range(16)],
        "idle_power_w": [5.0 + i for i in range(8)],
        "launch_ns": [1000 * i for i in range(1, 17)],
        "matmul_ceiling_percent": list(range(50, 98, 3)),
        "macs_per_cycle": [1024 * i for i in range(1, 17)],
    },
    "optimus": {
        "activation_buffer_bits": [1 << k for k in range(20, 28)],
        "dram_capacity_bits": [1 << k for k in range(30, 38)],
        "clock_khz": [100_000 * i for i in range(1, 9)],
        "dram_channels": [4 * i for i in range(1, 9)],
        "macs": [256 << k for k in range(8)],
    },
}
STRUCTURAL = {"optimus": ("decode_cache", "logits_rows", "intermediates_on_chip")}
CALL = 16_384
WARM_UP = 300


class Case:
    """One design file on one workload, with the designs that are tried."""

    def __init__(self, design: str, workload: str) -> None:
        self.name = f"{design} on {workload}"
        self.file: DesignFile = load_design(design)
        self.workload: Workload = load_workload(workload)
        self.parts = resolve_parts(self.file.named)
        self.binding = resolve_binding(self.workload)
        self.program = self.job(self.file.design).lower()

    def job(self, design: Any) -> Job:
        """The question of one design."""
        return Job(self.file.model, design, self.parts, self.workload, self.binding)

    def batch(self) -> Batch:
        """A new Batch."""
        return Batch(self.file.model, self.workload, self.binding, self.parts)

    def random(self, n: int) -> np.ndarray[Any, Any]:
        """`n` designs, all values moved but those that change the program. From 20,000 on they come again."""
        kept = STRUCTURAL.get(self.file.model.name, tuple(self.file.model.structural))
        same = {name: getattr(self.file.design, name) for name in kept}
        found = itertools.islice(random_designs(self.file.model, self.file.design, seed=1), min(n, 20_000))
        rows = self.rows([dataclasses.replace(design, **same) for design in found])
        return np.resize(rows, n)

    def grid(self, n: int) -> np.ndarray[Any, Any]:
        """The first `n` points of the grid, the last key fastest; from the whole grid on they come again."""
        axes = GRIDS[self.file.model.name]
        points = list(itertools.product(*axes.values()))
        rows = np.resize(self.rows([self.file.design]), len(points))
        for name, column in zip(axes, zip(*points, strict=True), strict=True):
            rows[name] = column
        return np.resize(rows, n)

    def rows(self, designs: Sequence[Any]) -> np.ndarray[Any, Any]:
        """Designs as a record array."""
        return np.array([dataclasses.astuple(design) for design in designs], self.batch().dtype)


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """The shortest of several runs."""
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def in_threads(pieces: Sequence[Callable[[], object]]) -> None:
    """Run each piece in a thread of its own."""
    threads = [threading.Thread(target=piece) for piece in pieces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def evaluated(batch: Batch, rows: np.ndarray[Any, Any]) -> int:
    """Evaluate all rows, call by call, keeping nothing; the number of figures a row."""
    columns: dict[str, Any] = {}
    for start in range(0, len(rows), CALL):
        columns = batch.metrics(rows[start : start + CALL])
    return len(columns)


def measured(batches: Sequence[Batch], rows: np.ndarray[Any, Any]) -> float:
    """Points a second of as many threads as there are batches."""
    parts = np.array_split(rows, len(batches))
    work = [lambda b=b, p=p: evaluated(b, p) for b, p in zip(batches, parts, strict=True)]
    return len(rows) / seconds(lambda: in_threads(work))


def copied(n_figures: int, threads: int) -> float:
    """Points a second whose figures could be copied from memory to memory."""
    n = 1 << 20
    arrays = [np.ones(n * n_figures // threads) for _ in range(threads)]
    targets = [np.empty_like(a) for a in arrays]
    pairs = zip(targets, arrays, strict=True)
    return n / seconds(lambda pieces=[lambda t=t, a=a: np.copyto(t, a) for t, a in pairs]: in_threads(pieces))


def plain_rate(case: Case, rows: np.ndarray[Any, Any], n: int = 100) -> float:
    """Points a second of an ordinary Python loop over one lowered program."""
    kinds = [type(getattr(case.file.design, f.name)) for f in dataclasses.fields(case.file.design)]
    designs = [
        case.file.model.Design(*(kind(v) for kind, v in zip(kinds, row.item(), strict=True)))
        for row in random.Random(0).sample(list(rows[:1000]), n)
    ]
    return n / seconds(lambda: [evaluate_plain(case.job(d), case.program) for d in designs], rounds=1)


def report(case: Case, n_points: int) -> list[Batch]:
    """Print one case: rates by thread for random designs and for a grid, and what they are compared with."""
    program = case.program
    layers, tasks, steps = len(program.layers), len(program.tasks), len(program)
    print(f"\n{case.name}: {layers} layers, {tasks} distinct tasks, {steps} steps")
    rows = case.random(n_points)
    batches = [case.batch() for _ in range(2)]
    start = time.perf_counter()
    n_figures = evaluated(batches[0], rows[:WARM_UP])
    evaluated(batches[1], rows[:WARM_UP])
    print(f"  first call, with compilation  {time.perf_counter() - start:>10.1f} s")
    plain = plain_rate(case, rows)
    print(f"  plain Python loop             {plain:>10,.0f} points/s {plain * layers / 1e6:>9.3f} M layers/s")
    names = ("M layers/s", "M tasks/s", "M steps/s")
    print(f"  {'':<30}{'points/s':>12}" + "".join(f"{n:>13}" for n in names) + f"{'x plain':>11}{'of copying':>12}")
    for name, designs in (("random", rows), ("grid", case.grid(n_points))):
        evaluated(batches[0], designs[:CALL])
        for threads in (1, 2):
            rate = measured(batches[:threads], designs)
            share = rate / copied(n_figures, threads)
            numbers = "".join(f"{rate * k / 1e6:>13.1f}" for k in (layers, tasks, steps))
            who = f"{name} {threads} thread{'s' * (threads > 1)}"
            print(f"  {who:<30}{rate:>12,.0f}{numbers}{rate / plain:>11,.0f}{share:>12.1%}")
    return batches


def by_number(case: Case, batch: Batch, largest: int) -> None:
    """Print points/s against the number of points."""
    print(f"\n{case.name}: points/s by the number of points (random, one thread)")
    n = 10
    while n <= largest:
        rows = case.random(n)
        print(f"  {n:>10,} {n / seconds(lambda r=rows: evaluated(batch, r)):>12,.0f}")
        n *= 10


def profile(case: Case, batch: Batch, n_points: int) -> None:
    """Print where the time of one thread goes."""
    rows = case.random(n_points)
    profiler = cProfile.Profile()
    profiler.enable()
    evaluated(batch, rows)
    profiler.disable()
    print(f"\nprofile of {case.name} (random, one thread)")
    pstats.Stats(profiler).sort_stats("tottime").print_stats(10)


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description="points and layer evaluations a second of compiled sweeps")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--case", type=int, choices=range(len(CASES)), help="one case only")
    n_points = parser.parse_args().points
    chosen = CASES if parser.parse_args().case is None else [CASES[parser.parse_args().case]]
    for names in chosen:
        case = Case(*names)
        batches = report(case, n_points)
        by_number(case, batches[0], n_points)
        profile(case, batches[0], n_points)


if __name__ == "__main__":
    main()
