"""`python -m accelerators.skynet.search --out DIR`: search Bundles, networks and engines, or go on with a search."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from accelerators.skynet.search import folder, measures, stages
from hwsim.errors import EXIT_BAD_INPUT, EXIT_OK, InputError, Problem, Where
from hwsim.sweep.commands import terminated_like_interrupted
from hwsim.sweep.progress import ProgressLine

EXIT_INTERRUPTED = 130
LINE_S, LOG_LINE_S = 0.2, 10.0
LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1), "target_ms": (0.01, 1e6), "alpha": (-1e3, -1e-9), "groups": (1, 16),
    "particles": (1, 1_000), "iterations": (1, 10_000), "bundles": (3, 12), "most": (16, 2_048),
    "finalists": (1, 64), "frames": (100, 1_000_000), "seeds": (1, 100), "workers": (1, 256),
}  # fmt: skip
PORTS = (32, 64, 128, 256, 512, 1_024)


class Told:
    """How far a search is, on stderr: a live line on a terminal, a line now and then elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live, self._spoke, self._width = stream, stream.isatty(), 0.0, 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show it, unless something was shown just now."""
        now = time.monotonic()
        if done < total and now - self._spoke < (LINE_S if self._live else LOG_LINE_S):
            return
        self._spoke = now
        line = f"{what} {done:,} of {total:,}"
        self._stream.write(f"\r{line:{self._width}}" if self._live else f"{line}\n")
        self._width = len(line)
        self._stream.flush()

    def close(self) -> None:
        """End the live line."""
        if self._live and self._width:
            self._stream.write("\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    plan = stages.Plan()
    made = argparse.ArgumentParser(prog="python -m accelerators.skynet.search",
                                   description=(__doc__ or "").split(": ", 1)[1])  # fmt: skip
    add = made.add_argument
    add("--out", required=True, type=Path, metavar="DIR", help="where the search is kept; an earlier one goes on")
    add("--design", default=plan.design, help=f"the engine to begin with, by name or file ({plan.design})")
    add("--seed", type=int, default=plan.seed, help="decides everything random (0)")
    add(
        "--measure",
        default="entropy",
        choices=measures.NAMES,
        help="accuracy: training-free, short trainings, or trainings of Bundles and of what is found (entropy)",
    )
    add("--frames", type=int, default=measures.FRAMES, help=f"frames of a short training ({measures.FRAMES})")
    add("--seeds", type=int, default=1, help="trainings of each network at the end (1)")
    add("--target-ms", type=float, default=plan.target_ms, help="of a frame (25)")
    add("--alpha", type=float, default=plan.alpha, help="fitness a millisecond beyond the target, below 0 (-0.01)")
    add("--groups", type=int, default=plan.groups, help="Bundle kinds that go on to the swarm (3)")
    add("--particles", type=int, default=plan.particles, help="networks of a group at a time (8)")
    add("--iterations", type=int, default=plan.iterations, help="moves of the swarm (20)")
    add("--bundles", type=int, default=plan.bundles, help="Bundles of a network before the bypass (5)")
    add("--most", type=int, default=plan.most, help="channels of a Bundle at most (512)")
    add("--finalists", type=int, default=plan.finalists, help="networks that go on to the engines (4)")
    add("--port", type=int, action="append", dest="ports", choices=PORTS, metavar="BITS",
        help="widths of the ports, given once or more (128, as published)")  # fmt: skip
    add("--workers", type=int, default=1, help="processes that train and sweep; changes no result (1)")
    return made


def checked(options: argparse.Namespace) -> stages.Plan:
    """The plan that the options ask for. Raises InputError with every option that is out of its range."""
    problems = [
        Problem("range", Where(key=f"--{name.replace('_', '-')}"), str(value), f"must be from {low:g} to {high:g}")
        for name, (low, high) in LIMITS.items()
        if not low <= (value := getattr(options, name)) <= high
    ]
    if problems:
        raise InputError(problems)
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(stages.Plan)}
    ports = tuple(sorted(set(options.ports or stages.Plan().ports)))
    return stages.Plan(**(given | {"ports": ports}))


def settings_of(plan: stages.Plan, options: argparse.Namespace) -> dict[str, Any]:
    """What decides the result."""
    chosen = {**dataclasses.asdict(plan), "ports": list(plan.ports), "measure": options.measure}
    frames = {"frames": options.frames, "seeds": options.seeds} if options.measure != measures.ENTROPY_NAME else {}
    return {"format": "skynet-search", "schema_version": 1, **chosen, **frames}


def run(options: argparse.Namespace) -> None:
    """Search."""
    plan = checked(options)
    stages.Engine.named(plan.design)  # before the folder keeps a name that there is none of
    told, line = Told(sys.stderr), ProgressLine("time of a frame")
    with folder.opened(options.out, settings_of(plan, options)) as out:
        seeds = range(plan.seed, plan.seed + options.seeds)
        chosen = measures.named(options.measure, out / "trained.csv", seeds, options.frames, options.workers)
        try:
            stages.search(plan, chosen, out, options.workers, told, line)
        finally:
            line.close()
            told.close()
    for row in folder.read_csv(options.out / "designs.csv"):
        print(f"{row['network']:10} accuracy {float(row['accuracy']):.3f}  {float(row['fps']):6.1f} FPS  "
              f"{float(row['energy_mj']):6.1f} mJ  {row['limit']:8}{row['structure']}")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code."""
    options = parser().parse_args(arguments)
    try:
        with terminated_like_interrupted():
            run(options)
    except InputError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
