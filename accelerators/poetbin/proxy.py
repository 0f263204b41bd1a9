"""What stands in for accuracy where shapes are swept: a formula of the shape, fitted to measured accuracies.

    python -m accelerators.poetbin.proxy [--data mnist-5k]      the fit to accuracy.csv, and how well it ranks shapes

log2(error) = base + trees * log2(trees of a neuron) + inputs * log2(inputs of a table) + bits / q^2, by least squares
over the seeds' means, error being 1 - accuracy. A cost model knows no accuracy: the formula interpolates trainings of
one data set and says nothing of others.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path

import numpy as np

from hwsim.errors import EXIT_BAD_INPUT

TABLE = Path(__file__).with_name("accuracy.csv")
FEWEST = 8
Shape = tuple[int, int, int, int]
"""Inputs of a table, groups, trees a group, bits of a score."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The formula's numbers, its share of the variance explained, and Spearman's rank correlation."""

    base: float
    trees: float
    inputs: float
    bits: float
    explained: float
    ranked: float

    def log_error(self, shape: Shape) -> float:
        """What the formula says of a shape: log2 of its error."""
        return float(np.dot((self.base, self.trees, self.inputs, self.bits), _terms(shape)))


def read(path: Path = TABLE, data: str = "mnist-5k") -> dict[Shape, float]:
    """Measured accuracy of each shape, the mean of its seeds."""
    found: dict[Shape, list[float]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["data"] == data:
                shape = (int(row["p"]), int(row["groups"]), int(row["trees"]), int(row["q"]))
                found[shape].append(float(row["accuracy"]))
    return {shape: sum(values) / len(values) for shape, values in found.items()}


def _terms(shape: Shape) -> tuple[float, float, float, float]:
    inputs, groups, trees, q = shape
    return 1.0, log2(groups * trees), log2(inputs), 1 / (q * q)


def fit(measured: Mapping[Shape, float]) -> Fit:
    """Least squares over the shapes."""
    columns = np.array([_terms(shape) for shape in measured])
    values = np.array([log2(max(1e-4, 1 - accuracy)) for accuracy in measured.values()])
    numbers, *_ = np.linalg.lstsq(columns, values, rcond=None)
    said = columns @ numbers
    explained = 1 - float(((values - said) ** 2).sum() / ((values - values.mean()) ** 2).sum())
    return Fit(*(float(n) for n in numbers), explained, rank_correlation(said, values))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's."""
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def main(arguments: Sequence[str]) -> int:
    """Print the fit."""
    parser = argparse.ArgumentParser(prog="python -m accelerators.poetbin.proxy",
                                     description=(__doc__ or "").split("\n")[0])  # fmt: skip
    parser.add_argument("--data", default="mnist-5k", help="data set in accuracy.csv")
    parser.add_argument("--table", type=Path, default=TABLE, help="another table of accuracies")
    given = parser.parse_args(arguments)
    measured = read(given.table, given.data)
    if len(measured) < FEWEST:
        print(f"{given.table}: {len(measured)} shapes of {given.data}; a fit needs {FEWEST}", file=sys.stderr)
        return EXIT_BAD_INPUT
    found = fit(measured)
    print(f"{found.base:.4f} + {found.trees:.4f} * log2(groups * trees_per_group) + "
          f"{found.inputs:.4f} * log2(inputs_per_lut) + {found.bits:.4f} / (q * q)")  # fmt: skip
    print(f"{len(measured)} shapes of {given.data}: explains {found.explained:.0%} of the variance, "
          f"rank correlation {found.ranked:.2f}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
