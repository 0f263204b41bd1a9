"""hwsim's points a second on ResNet-18, in a process that does nothing else: python -m benchmarks.peers.rates OUT.json

    cold    from the start of this process to the last of 1,000 points, compilation and imports included
    warm    the same 1,000 points once more, everything compiled: the shortest of several
    many    100,000 points of a finer grid, warm
    plain   ordinary Python, one point after the other, which is what `hwsim sweep` takes for a study of 1,000

One thread. Every point has cycles, energy and traffic, as a single run gives them.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

import numpy as np  # noqa: E402 - imports are part of what is measured

from benchmarks.peers.ours import DESIGNS  # noqa: E402
from benchmarks.peers.sweep import KIB_BITS, NETWORK, Point, grid  # noqa: E402
from benchmarks.peers.work import NETWORKS  # noqa: E402
from hwsim.config import load_design  # noqa: E402
from hwsim.evaluation import Job  # noqa: E402
from hwsim.parts import resolve_parts  # noqa: E402
from hwsim.sweep.batch import Batch  # noqa: E402
from hwsim.sweep.plain import evaluate_plain  # noqa: E402

ROUNDS = 7
PLAIN_POINTS = 30
FINE = (tuple(range(8, 208, 4)), tuple(range(8, 208, 4)), tuple(range(128, 128 + 40 * 100, 100)))
CALL = 16_384
KIB = 1024
NEEDED = ("cycles", "energy_j", "traffic_bits.dram.read", "traffic_bits.dram.write")


class Sweep:
    """One thread's sweep of the design that has SCALE-Sim's hardware."""

    def __init__(self) -> None:
        self.file = load_design(str(DESIGNS["scalesim"]))
        self.parts = resolve_parts(self.file.named)
        self.workload, self.binding = NETWORKS[NETWORK].workload(), NETWORKS[NETWORK].binding()
        self.batch = Batch(self.file.model, self.workload, self.binding, self.parts)

    def rows(self, points: Sequence[Point]) -> Any:
        """The designs of the points, as the batch takes them."""
        rows = np.resize(np.array([dataclasses.astuple(self.file.design)], self.batch.dtype), len(points))
        rows["rows"], rows["columns"] = [p.rows for p in points], [p.columns for p in points]
        rows["input_sram_bits"] = [p.sram_kib * KIB_BITS for p in points]
        return rows

    def evaluate(self, rows: Any) -> dict[str, Any]:
        """Every figure of the last call's points. Raises RuntimeError for a point that failed."""
        found: dict[str, Any] = {}
        for start in range(0, len(rows), CALL):
            found = self.batch.metrics(rows[start : start + CALL])
            if set(self.batch.statuses()) != {"ok"} or not set(NEEDED) <= set(found):
                raise RuntimeError(
                    f"points of the sweep failed: {next(filter(None, map(self.batch.why, range(CALL))))}"
                )
        return found

    def plain_rate(self, points: Sequence[Point]) -> float:
        """Points a second of ordinary Python over one lowered program."""
        designs = [dataclasses.replace(self.file.design, rows=p.rows, columns=p.columns,
                                       input_sram_bits=p.sram_kib * KIB_BITS) for p in points]  # fmt: skip
        jobs = [Job(self.file.model, d, self.parts, self.workload, self.binding) for d in designs]
        program = jobs[0].lower()
        start = time.perf_counter()
        for job in jobs:
            evaluate_plain(job, program)
        return len(points) / (time.perf_counter() - start)


def timed(sweep: Sweep, rows: Any) -> float:
    """Seconds of one evaluation."""
    start = time.perf_counter()
    sweep.evaluate(rows)
    return time.perf_counter() - start


def main() -> None:
    """Measure, and write what came of it."""
    sweep, points = Sweep(), grid()
    rows = sweep.rows(points)
    ready = time.perf_counter() - STARTED
    first = timed(sweep, rows)
    warm = min(timed(sweep, rows) for _ in range(ROUNDS))
    fine = [Point(*sizes) for sizes in itertools.product(*FINE)]
    random.Random(0).shuffle(fine)
    many = min(timed(sweep, r) for r in [sweep.rows(fine)] * 3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB * 8
    plain = sweep.plain_rate(random.Random(0).sample(points, PLAIN_POINTS))
    answer = {
        "points": len(points), "ready_s": ready, "first_s": first, "cold_s": ready + first, "warm_s": warm,
        "warm_per_s": len(points) / warm, "many": len(fine), "many_per_s": len(fine) / many, "peak_bits": peak,
        "plain_per_s": plain,
    }  # fmt: skip
    Path(sys.argv[1]).write_text(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
