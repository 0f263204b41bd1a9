"""Draws the cases of the systolic circuit: `python -m rtl_models.systolic.draw > rtl_models/systolic/cases.yaml`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from scipy.stats import qmc

from accelerators.systolic.design import Dataflow
from rtl_models.systolic import folds

Case = dict[str, Any]

SOBOL_SEED, SOBOL_POINTS, EACH = 8, 6, 9
"""Seed of the sequence, points drawn for a build (as a power of two), and cases taken of them."""
LONGEST_CYCLES = 12_000
LARGEST = 64
ONE_AND_PRIMES = (1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61)
PORTS = {"input_bandwidth": 1, "input_banks": 16, "weight_bandwidth": 1, "weight_banks": 16, "output_bandwidth": 1,
         "output_banks": 16}  # fmt: skip
"""Those of circuit.yaml: as wide as any array here."""


class Shape(NamedTuple):
    """An array and its widths: rows, columns, bits of an input, a weight and a sum."""

    rows: int
    columns: int
    widths: tuple[int, int, int] = (8, 8, 32)

    @property
    def family(self) -> str:
        """Its name."""
        return f"r{self.rows}c{self.columns}"


BYTES, WORDS, MIXED, TURNED, NARROW = (8, 8, 32), (16, 16, 48), (16, 8, 32), (8, 16, 24), (8, 8, 16)
DEVELOPMENT = (
    Shape(1, 1, WORDS), Shape(4, 4), Shape(8, 8, MIXED), Shape(16, 16), Shape(2, 16, TURNED), Shape(16, 2, NARROW),
    Shape(5, 3, WORDS), Shape(7, 11),
)  # fmt: skip
HELD_OUT = (Shape(3, 5, NARROW), Shape(1, 16), Shape(16, 1, TURNED), Shape(13, 6, MIXED))
SHAPES = (*DEVELOPMENT, *HELD_OUT)
TOLERANCE = {"mape": "0 %", "p95": "0 %", "worst": "0 %",
             "reason": "README.md has a closed form of every fold, and the model has nothing coarser"}  # fmt: skip
SPLIT = """\
split: >-
  Held out are four whole shapes of the array, r3c5, r1c16, r16c1 and r13c6. Model and circuit agreed on every case the
  first time they were compared, held out or not. Before that, while it was written, the circuit had been run against
  the formulas of its page on random sizes of a dozen shapes, r3c5 among them. The rule for narrow ports (p...) was the
  model's first, and the circuit was made to it; they show that a circuit can keep it.
"""
HEAD = """\
# Cases of the systolic circuit. Written by draw.py; edit that, not this.
#
# s...     {each} points of a Sobol sequence (scipy.stats.qmc.Sobol, scrambled, seeds {seed} to {last_seed}) for each of
#          {builds} builds: m, k, n (up to {largest}, every other one 1 or prime) and values; wide ports.
#          Points that ask for more than {longest} cycles are passed over.
# others   corners and convolutions on a development shape and a held-out one each; p... with narrow ports.
"""


class Build(NamedTuple):
    """What a build is made for."""

    shape: Shape
    dataflow: Dataflow
    overlap: bool

    def fields(self) -> dict[str, Any]:
        """Its fields of a design."""
        inputs, weights, sums = self.shape.widths
        return {"rows": self.shape.rows, "columns": self.shape.columns, "dataflow": self.dataflow.name.lower(),
                "overlap": self.overlap, "input_bits": inputs, "weight_bits": weights,
                "accumulator_bits": sums}  # fmt: skip


def builds() -> list[Build]:
    """Every shape in the three dataflows; overlap in turns, so that each dataflow has it on half of the shapes."""
    pairs = itertools.product(enumerate(SHAPES), enumerate(Dataflow))
    return [Build(shape, flow, (i + j) % 2 == 1) for (i, shape), (j, flow) in pairs]


# --- the sequence -------------------------------------------------------------------------------------------------

VALUES = ("any", "any", "any", "any", "ends", "ends", "least", "most", "numbered")


def chosen(x: float, items: Sequence[Any]) -> Any:
    """One of the items."""
    return items[int(x * len(items))]


def size(x: float, prime: bool) -> int:
    """A length up to LARGEST, smaller ones more often."""
    return int(chosen(x, ONE_AND_PRIMES)) if prime else 1 + int(x**1.5 * LARGEST)


def cycles(case: Case) -> int:
    """What README.md says a case takes."""
    design = SimpleNamespace(**{**PORTS, **case["design"], "dataflow": Dataflow[case["design"]["dataflow"].upper()]})
    task = case["task"]
    return folds.total_cycles(design, folds.Product(task["m"], task["k"], task["n"]))


def sequence(build: Build, seed: int) -> Iterator[Case]:
    """The points of one build that are not too long."""
    for at, point in enumerate(qmc.Sobol(4, seed=seed).random_base2(SOBOL_POINTS)):
        m, k, n = (size(float(x), (at + axis) % 2 == 0) for axis, x in enumerate(point[:3]))
        task = {"m": m, "k": k, "n": n, "values": chosen(float(point[3]), VALUES)}
        case = {"family": build.shape.family, "design": build.fields(), "task": task}
        if cycles(case) <= LONGEST_CYCLES:
            yield case


def sobol_cases() -> Iterator[Case]:
    """EACH cases of each build."""
    number = itertools.count(1)
    for at, build in enumerate(builds()):
        for case in itertools.islice(sequence(build, SOBOL_SEED + at), EACH):
            yield {"name": f"s{next(number):03}", **case}


# --- named cases --------------------------------------------------------------------------------------------------


def corners(rows: int, columns: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and task of each corner, by the sides of the array."""
    whole = {"m": rows, "k": rows, "n": columns}
    yield "one", {"m": 1, "k": 1, "n": 1}
    yield "row", {"m": 1, "k": 64, "n": 7}
    yield "column", {"m": 64, "k": 7, "n": 1}
    yield "outer", {"m": 31, "k": 1, "n": 33}
    yield "whole", whole
    yield "one-more", {key: value + 1 for key, value in whole.items()}
    yield "one-less", {key: max(1, value - 1) for key, value in whole.items()}
    yield "short-stream", {"m": 3, "k": 3, "n": 40}
    yield "many-folds-of-k", {"m": 2, "k": 64, "n": 2}
    yield "least", {"m": 9, "k": 37, "n": 9, "values": "least"}
    yield "most", {"m": 9, "k": 37, "n": 9, "values": "most"}
    yield "numbered", {"m": 11, "k": 13, "n": 17, "values": "numbered"}


def convolutions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and task of each convolution."""
    yield "conv3x3", {"channels": 3, "outputs": 8, "height": 7, "width": 6, "kernel_rows": 3, "kernel_columns": 3,
                      "padding": 1}  # fmt: skip
    yield "conv-stride", {"channels": 4, "outputs": 5, "height": 9, "width": 8, "kernel_rows": 3, "kernel_columns": 3,
                          "stride": 2, "padding": 1}  # fmt: skip
    yield "conv-pointwise", {"channels": 12, "outputs": 10, "height": 4, "width": 5}
    yield "conv-depthwise", {"channels": 1, "outputs": 1, "height": 8, "width": 8, "kernel_rows": 3,
                             "kernel_columns": 3, "padding": 1}  # fmt: skip
    yield "conv-stem", {"channels": 3, "outputs": 6, "height": 12, "width": 12, "kernel_rows": 7, "kernel_columns": 7,
                        "stride": 2, "padding": 3}  # fmt: skip
    yield "conv-batch", {"batch": 3, "channels": 2, "outputs": 4, "height": 5, "width": 5, "kernel_rows": 2,
                         "kernel_columns": 3}  # fmt: skip


def ports(at: int) -> dict[str, int]:
    """Words a cycle of the three SRAMs: from one bank of one to several of two."""
    return {"input_bandwidth": 1 + at % 2, "input_banks": chosen(at * 0.381966 % 1, (1, 2, 3, 16)),
            "weight_bandwidth": 1, "weight_banks": chosen(at * 0.618034 % 1, (1, 2, 5, 16)),
            "output_banks": chosen(at * 0.723607 % 1, (1, 4, 16, 16))}  # fmt: skip


def named(name: str, build: Build, task: Mapping[str, Any], extra: Mapping[str, int] | None = None) -> Case:
    """A case that says in its name what it is run on."""
    where = f"{build.shape.family}-{build.dataflow.name.lower()}{'-overlap' if build.overlap else ''}"
    return {"name": f"{name}-{where}", "family": build.shape.family, "design": build.fields() | dict(extra or {}),
            "task": dict(task)}  # fmt: skip


def named_cases() -> Iterator[Case]:
    """Corners and convolutions on two development builds and a held-out one each, in turn; narrow ports on all."""
    halves = [[b for b in builds() if b.shape in shapes] for shapes in (DEVELOPMENT, HELD_OUT)]
    turns = (itertools.cycle(halves[0]), itertools.cycle(halves[0][7:] + halves[0][:7]), itertools.cycle(halves[1]))
    names = [name for name, _ in corners(1, 1)]
    for at, turn in itertools.product(range(len(names)), turns):
        build = next(turn)
        name, task = list(corners(build.shape.rows, build.shape.columns))[at]
        yield named(name, build, task)
    for (name, task), turn in itertools.product(convolutions(), turns):
        yield named(name, next(turn), task)
    for at, build in enumerate(builds()):
        task = {"m": 3 + at * 5 % 17, "k": 2 + at * 7 % 23, "n": 1 + at * 11 % 19}
        yield named(f"p{at:02}", build, task, ports(at))


# --- the file -----------------------------------------------------------------------------------------------------


def flow(value: Any) -> str:
    """YAML in one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {flow(v)}" for k, v in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def written(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a design as a file has them: widths have their unit."""
    return {k.removesuffix("_bits"): f"{v} bit" if k.endswith("_bits") else v for k, v in fields.items()}


def lines() -> Iterator[str]:
    """The case file, line by line."""
    yield HEAD.format(each=EACH, seed=SOBOL_SEED, last_seed=SOBOL_SEED + len(builds()) - 1, builds=len(builds()),
                      largest=LARGEST, longest=LONGEST_CYCLES)  # fmt: skip
    yield "circuit: systolic\ndesign: circuit.yaml\ntolerance:\n"
    yield from (f"  {key}: {value}\n" for key, value in TOLERANCE.items())
    yield f"held_out: [{', '.join(shape.family for shape in HELD_OUT)}]\n{SPLIT}cases:\n"
    for seed, case in enumerate(itertools.chain(sobol_cases(), named_cases()), 1):
        yield f"  - {flow({**case, 'design': written(case['design']), 'seed': seed})}\n"


if __name__ == "__main__":
    sys.stdout.writelines(lines())
