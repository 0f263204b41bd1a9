"""`python -m accelerators.poetbin.train --data mnist-5k --out DIR`: train a PoET-BiN classifier, or go on with one."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from accelerators.poetbin import data
from accelerators.poetbin.folder import Settings
from hwsim.errors import EXIT_BAD_INPUT, EXIT_OK, InputError, Problem, Where

EXIT_INTERRUPTED = 130
LINE_S, LOG_LINE_S = 0.2, 10.0
RATE = 0.01
EPOCHS = {"fashion-mnist": 30}
"""Where 50 as for MNIST would be long."""
DEFAULT_EPOCHS = 50
LIMITS = {
    "p": (2, 16), "groups": (1, 16), "trees": (1, 16), "neurons": (2, 4096), "q": (2, 16), "seed": (0, 2**31 - 1),
    "threads": (1, 256), "epochs": (1, 10_000), "copies": (0, 100), "steps": (1, 10_000_000),
}  # fmt: skip


class Progress:
    """How far a training is, on stderr: a live line on a terminal, a line a step and now and then elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live = stream, stream.isatty()
        self._what, self._first, self._spoke, self._width = "", 0, 0.0, 0

    def __call__(self, what: str, done: int, total: int, elapsed_s: float) -> None:
        """Show it, unless it was shown just now."""
        if what != self._what:
            self._what, self._first, self._spoke = what, done, 0.0
        now = time.monotonic()
        if done < total and now - self._spoke < (LINE_S if self._live else LOG_LINE_S):
            return
        self._spoke = now
        line = described(what, self._first, done, total, elapsed_s)
        self._stream.write(f"\r{line:{self._width}}" if self._live else f"{line}\n")
        self._width = len(line)
        self._stream.flush()

    def close(self) -> None:
        """End the live line."""
        if self._live and self._width:
            self._stream.write("\n")


def described(what: str, first: int, done: int, total: int, elapsed_s: float) -> str:
    """`neurons: 12 of 80, 41 s left`; no estimate before one was made since `first`."""
    if done in (first, total):
        return f"{what} {done} of {total}"
    left_s = elapsed_s / (done - first) * (total - done)
    return f"{what} {done} of {total}, {left_s:.0f} s left"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m accelerators.poetbin.train", description=(__doc__ or "").split(": ", 1)[1]
    )
    add = parser.add_argument
    add("--data", required=True, help="mnist-5k, fashion-mnist, digits, or a file FILE.npz of bits and labels")
    add("--out", required=True, type=Path, metavar="DIR", help="where the training is kept; an earlier one goes on")
    add("--p", type=int, default=8, help="inputs of a table (8)")
    add("--groups", type=int, default=4, help="groups of trees in a neuron (4)")
    add("--trees", type=int, default=8, help="trees in a group (8)")
    add("--neurons", type=int, help="intermediate neurons, a multiple of the classes (p for each class)")
    add("--q", type=int, default=8, help="bits of a class's score (8)")
    add("--seed", type=int, default=0, help="decides everything random (0)")
    add("--threads", type=int, default=1, help="neurons trained at a time; changes no result (1)")
    add("--epochs", type=int, help="of the teacher (50; 30 for fashion-mnist)")
    add("--steps", type=int, default=17_500, help="of the retraining of the output layer (17500)")
    add("--copies", type=int, default=0, help="shifted copies of each training image (0)")
    add("--fashion-folder", type=Path, default=data.FASHION_FOLDER, metavar="DIR", help="where its IDX files are")
    add("--json", action="store_true", help="print the results as JSON")
    return parser


def options_of(**given: Any) -> argparse.Namespace:
    """The command's options with their defaults, but for those given: `options_of(data="digits", seed=3)`."""
    words = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    options = _parser().parse_args(["--out", "", *words])
    checked(options)
    return options


def checked(options: argparse.Namespace) -> None:
    """Raise InputError with every option that is out of its range."""
    problems = [
        Problem("range", Where(key=f"--{name}"), str(value), f"must be an integer from {low} to {high}")
        for name, (low, high) in LIMITS.items()
        if (value := getattr(options, name)) is not None and not low <= value <= high
    ]
    problems += [
        Problem("range", Where(key=f"--{name}"), str(getattr(options, name)), "a MAT combines at most p modules",
                f"p is {options.p}.")
        for name in ("groups", "trees") if 2 <= options.p < getattr(options, name) <= 16
    ]  # fmt: skip
    if problems:
        raise InputError(problems)


def settings_of(options: argparse.Namespace, dataset: data.Dataset) -> Settings:
    """What decides the result. Raises InputError where options and data do not go together."""
    neurons = dataset.classes * options.p if options.neurons is None else options.neurons
    problems = []
    if neurons % dataset.classes or not 0 < neurons <= dataset.classes * options.p:
        rule = f"each of {dataset.classes} classes reads as many neurons, at most p = {options.p}"
        problems.append(Problem("neurons", Where(key="--neurons"), str(neurons), rule))
    if options.copies and not dataset.images:
        problems.append(Problem("copies", Where(key="--copies"), str(options.copies), "only images can be shifted"))
    inputs = dataset.train.inputs.shape[1]
    if not dataset.images and inputs < options.p:
        rule = f"a tree tests p different features and there are {inputs}"
        problems.append(Problem("range", Where(key="--p"), str(options.p), rule))
    if problems:
        raise InputError(problems)
    epochs = EPOCHS.get(dataset.name, DEFAULT_EPOCHS) if options.epochs is None else options.epochs
    return Settings(dataset.name, dataset.digest(), options.p, options.groups, options.trees, neurons, options.q,
                    options.seed, epochs, RATE, options.copies, options.steps)  # fmt: skip


def _run(options: argparse.Namespace) -> None:
    checked(options)
    dataset = data.load(options.data, options.fashion_folder)
    settings = settings_of(options, dataset)
    from accelerators.poetbin import pipeline

    progress = Progress(sys.stderr)
    try:
        results = pipeline.train(options.out, settings, dataset, options.threads, progress).results
    finally:
        progress.close()
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, accuracy in pipeline.stages(results):
        print(f"{name:32}{accuracy:8.2%}")
    print(
        f"{results['luts']} tables, {results['lut6_naive']} LUT6 before simplification: {options.out}/netlist.json.gz"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; its exit code."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
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
