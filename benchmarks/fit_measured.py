"""Fit a few design values to the fit side of measurements, by robust least squares of log errors.

    python benchmarks/fit_measured.py DIR FREE.yaml [--measurements FILE.yaml] [--table N]

DIR and FILE.yaml are those of `hwsim validate --data`; table N (from 0) of the file is fitted. FREE.yaml maps each
design value to fit to its lowest and highest plausible value, in the units of the design file::

    launch: [3 us, 40 us]

Rows that are held out are never run. Printed are the values, their plausible range, how much the error grows when the
value is moved by a tenth alone (0: the rows do not know it), and the errors on the fit side.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from hwsim.config import DesignFile, convert, describe, leaves, load_design
from hwsim.document import read_yaml
from hwsim.evaluation import Job, evaluate
from hwsim.measured.file import UNITS, DataSet, read_measurements
from hwsim.measured.predict import Networks, figure
from hwsim.measured.statistics import accuracy
from hwsim.measured.text import HEAD, row
from hwsim.model import Program, structural_of
from hwsim.parts import resolve_parts
from hwsim.units import readable

LOSS_SCALE = 0.1
"""Log errors well beyond this weigh linearly, not by their square."""
STEP = 0.05
MOVE = 0.1


class Fit:
    """The rows of one table with their programs, and the values that are free."""

    def __init__(self, data: DataSet, file: DesignFile, bounds: Mapping[str, tuple[float, float]]) -> None:
        self.data, self.file, self.bounds = data, file, bounds
        self.rows = [r for r in data.rows if not r.held_out]
        networks = Networks(data)
        parts = resolve_parts(file.named)
        self.jobs = [Job(file.model, file.design, parts, *networks.of(r.bind)) for r in self.rows]
        self.programs: dict[tuple[Any, ...], list[Program]] = {}

    def changes(self, values: Sequence[float]) -> dict[str, int]:
        """The design values at a point of the search, which moves the share of each range in log scale."""
        found = {}
        for (key, (low, high)), x in zip(self.bounds.items(), values, strict=True):
            found[key] = round(low * (high / low) ** float(np.clip(x, 0, 1)))
        return found

    def predicted(self, values: Sequence[float]) -> list[float]:
        """What the model says of every row of the fit side."""
        changes = self.changes(values)
        design, named = self.file.replaced(changes)
        unit = UNITS[self.data.unit]
        told = []
        for job, program in zip(self.jobs, self.lowered(design, changes), strict=True):
            there = Job(job.model, design, resolve_parts(named), job.workload, job.binding)
            told.append(figure(evaluate(there, program), unit.figure) / unit.scale)
        return told

    def lowered(self, design: Any, changes: Mapping[str, int]) -> list[Program]:
        """The programs, lowered again where a structural value moved."""
        first = next(iter(self.programs.values()), None)
        structural = structural_of(self.file.model, first[0]) if first else self.file.model.structural
        fields = sorted(f for f in map(self.file.field_of, changes) if f in structural and not f.endswith("_per_s"))
        key = tuple(getattr(design, f) for f in fields)
        if key not in self.programs:
            self.programs[key] = [j.model.lower(j.workload, design, j.binding) for j in self.jobs]
        return self.programs[key]

    def errors(self, values: Sequence[float]) -> Any:
        """Log of predicted over measured, row by row."""
        return np.log([p / r.value for p, r in zip(self.predicted(values), self.rows, strict=True)])

    def run(self, start: Sequence[float]) -> Any:
        """The point of least robust error."""
        found = least_squares(self.errors, start, bounds=(0, 1), loss="soft_l1", f_scale=LOSS_SCALE, diff_step=STEP,
                              xtol=1e-3, ftol=1e-4)  # fmt: skip
        return found.x


def bounds_of(path: Path, file: DesignFile) -> dict[str, tuple[float, float]]:
    """The ranges in a file of free values, as numbers of the design's own units."""
    known = {leaf.key: leaf for leaf in leaves(describe(file.model.Design))}
    return {key: tuple(convert(known[key], end) for end in ends) for key, ends in read_yaml(path).data.items()}


def robust(errors: Any) -> float:
    """The mean loss that is made least."""
    return float(np.mean(2 * (np.sqrt(1 + (errors / LOSS_SCALE) ** 2) - 1)))


def tell(fit: Fit, values: Sequence[float]) -> None:
    """Print the values and the errors of the fit side."""
    base = robust(fit.errors(values))
    units = {v.key: v.unit for v in fit.file.values}
    for i, (key, number) in enumerate(fit.changes(values).items()):
        low, high = fit.bounds[key]
        moved = list(values)
        shift = math.log(1 + MOVE) / math.log(high / low)
        moved[i] = values[i] + shift if values[i] + shift <= 1 else values[i] - shift
        grown = robust(fit.errors(moved)) / base - 1
        ends = " to ".join(readable(end, units[key]) for end in (low, high))
        print(f"  {key:24} {readable(number, units[key]):>16}  plausible {ends}; a tenth more or less: {grown:+.1%}")
    pairs = [(p, r.value) for p, r in zip(fit.predicted(values), fit.rows, strict=True)]
    print("\n".join([*HEAD, row("fit", accuracy(pairs))]))


def main() -> None:
    """Read, fit, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("free", type=Path)
    parser.add_argument("--measurements", type=Path, default=Path(__file__).with_name("paradnn.yaml"))
    parser.add_argument("--table", type=int, default=0)
    given = parser.parse_args()
    data = read_measurements(given.measurements, given.folder).sets[given.table]
    file = load_design(data.design, data.overrides)
    bounds = bounds_of(given.free, file)
    fit = Fit(data, file, bounds)
    design = {leaf.key: getattr(file.design, leaf.name) for leaf in leaves(describe(file.model.Design))}
    start = [math.log(design[k] / low) / math.log(high / low) for k, (low, high) in bounds.items()]
    print(f"{file.name}: {len(fit.rows)} rows of the fit side")
    tell(fit, fit.run([min(max(x, 0.02), 0.98) for x in start]))


if __name__ == "__main__":
    main()
