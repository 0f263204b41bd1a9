"""SkyNet's swarm against random search at equal cost, seed by seed: accelerators/skynet/search/contest.csv.

    python benchmarks/skynet_search.py [SEEDS]

Both see as many different networks; accuracy is the training-free measure, the engine is the published one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from accelerators.skynet.search import folder, stages, swarm
from accelerators.skynet.search.cost import Engine
from accelerators.skynet.search.measure import ENTROPY

OUT = Path(__file__).resolve().parent.parent / "accelerators" / "skynet" / "search" / "contest.csv"
KINDS = ("dw3-pw", "pw-dw3")
PARTICLES = (8, 16)
ITERATIONS = 20
SEEDS = 12


def contest(particles: int, seed: int) -> dict[str, object]:
    """One row of the table."""
    judge = stages.judge(Engine.named(stages.Plan().design), ENTROPY, stages.Plan())
    found = swarm.contest(swarm.Space(KINDS), judge, particles, ITERATIONS, seed)
    return {"particles": particles, "seed": seed, **found._asdict()}


def main(seeds: int) -> None:
    """Write the table."""
    rows = []
    for particles in PARTICLES:
        for seed in range(seeds):
            rows.append(contest(particles, seed))
            print(*rows[-1].values(), flush=True)
    folder.write_csv(OUT, rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
