"""hwsim's points a second on ResNet-18, in a process that does nothing else: python -m benchmarks.peers.rates OUT.json

    cold    from the start of this process to the last of 1,000 points, compilation and imports included
    warm    the same 1,000 points once more, everything compiled: the shortest of several
    many    100,000 points of a finer grid, warm, by one thread and by two
    plain   ordinary Python, one point after the other, which is what `hwsim sweep` takes for a study of 1,000

Every point has cycles, energy and traffic, as a single run gives them.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import resource
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
PLAIN_POINTS = 100
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


class Took(NamedTuple):
    """Seconds on the clock, and of processor time in all threads."""

    wall_s: float
    cpu_s: float


def timed(sweeps: Sequence[Sweep], rows: Any) -> Took:
    """One evaluation, each sweep a thread with its part of the rows."""
    parts = np.array_split(rows, len(sweeps))
    threads = [threading.Thread(target=s.evaluate, args=(part,)) for s, part in zip(sweeps, parts, strict=True)]
    start, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Took(time.perf_counter() - start, time.process_time() - cpu)


def best(sweeps: Sequence[Sweep], rows: Any) -> dict[str, float]:
    """The shortest of several evaluations, on the clock and in processor time."""
    took = [timed(sweeps, rows) for _ in range(ROUNDS)]
    return {"wall_s": min(t.wall_s for t in took), "cpu_s": min(t.cpu_s for t in took)}


def main() -> None:
    """Measure, and write what came of it."""
    sweeps, points = [Sweep()], grid()
    rows = sweeps[0].rows(points)
    ready = time.perf_counter() - STARTED
    first = timed(sweeps, rows)
    fine = [Point(*sizes) for sizes in itertools.product(*FINE)]
    random.Random(0).shuffle(fine)
    fine_rows = sweeps[0].rows(fine)
    warm, many = best(sweeps, rows), best(sweeps, fine_rows)
    sweeps.append(Sweep())
    timed(sweeps, rows)
    warm_two, many_two = best(sweeps, rows), best(sweeps, fine_rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB * 8
    plain = sweeps[0].plain_rate(random.Random(0).sample(points, PLAIN_POINTS))
    answer = {
        "points": len(points), "ready_s": ready, "first": first._asdict(), "cold_s": ready + first.wall_s, "warm": warm,
        "warm_two": warm_two, "many_points": len(fine), "many": many, "many_two": many_two, "peak_bits": peak,
        "plain_points": PLAIN_POINTS, "plain_per_s": plain,
    }  # fmt: skip
    Path(sys.argv[1]).write_text(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()
