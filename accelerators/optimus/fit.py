"""The closed forms beside measured masks, and the fit of their constants: python -m accelerators.optimus.fit [--write].

Draws random masks family by family, packs and steps them, and prints the table of errors that stands in README.md (with
--write: puts it there) and the constants that fit the development families best.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from accelerators.optimus import closed_form, masks, sparse, tasks
from accelerators.optimus.design import Design, WeightFormat
from accelerators.optimus.masks import Mask
from accelerators.optimus.reproduce import table
from hwsim.config import load_design

README = Path(__file__).with_name("README.md")
BEGIN = "<!-- begin: python -m accelerators.optimus.fit -->"
END = "<!-- end of the errors -->"
DRAWS = 84
"""Masks a family in the published table."""


class Family(NamedTuple):
    """Masks of one kind. The fitted constants saw the families whose number leaves 0 or 1 modulo 3; every third
    family was held out before the fit."""

    number: int
    shape: str
    skew: float
    weight_format: WeightFormat

    @property
    def held_out(self) -> bool:
        """Whether the fit must not see it."""
        return self.number % 3 == 2


_FORMATS = (WeightFormat.SA_RCSC, WeightFormat.SA_RCSC, WeightFormat.RCSC, WeightFormat.CSC)
FAMILIES = [
    Family(number, *kind)
    for number, kind in enumerate(itertools.product(("tall", "square", "wide"), (0.0, 0.2, 0.4), _FORMATS))
]


class Case(NamedTuple):
    """A random mask, measured: its longest queue, its cycles behind a window, and those for which the array is held
    when it passes through a smaller weight buffer, for several rows."""

    family: Family
    nnz: int
    rows: int
    columns: int
    design: Design
    vectors: int
    balanced: int
    windowed: int
    held: int

    @property
    def task(self) -> tuple[int, int, int, int, int, int]:
        """The arguments of the closed forms."""
        return int(self.family.weight_format), self.nnz, self.rows, self.columns, self.design.macs, self.design.sets

    @property
    def cv_milli(self) -> int:
        """How far row densities differ, in thousandths."""
        return int(1000 * self.family.skew)


_SHIPPED = load_design("optimus").design
_BUFFER_SHARES = (1, 2, 3, 5, 8)
"""Over how many slots of the weight buffer the bits of a matrix are spread in `Case.held`."""


def drawn(family: Family, draw: int) -> tuple[Mask, Design, int]:
    """A random mask of `family`, the design it is measured on, and how many vectors it is multiplied with."""
    rng = np.random.default_rng((5, family.number, draw))
    short = int(rng.choice([64, 96, 128, 192, 256, 384, 512]))
    long = short * int(rng.choice([2, 4]))
    rows, columns = {"tall": (long, short), "square": (short, short), "wide": (short, long)}[family.shape]
    macs, ways = int(rng.choice([64, 128, 256, 512, 1024])), int(rng.choice([2, 4, 8, 16, 32, 64]))
    row_density = rng.uniform(0.05, 0.6) * np.exp(rng.normal(0, family.skew, rows) - family.skew**2 / 2)
    mask = rng.random((rows, columns)) < row_density[:, None]
    window, rate = int(rng.choice([2, 4, 8, 16, 32, 64, 128])), int(rng.choice([1, 2, 4, 8, 16]))
    design = replace(
        _SHIPPED, macs=macs, sets=macs // ways, window=window, rate=rate, weight_format=family.weight_format
    )
    bits = tasks.product_held(design, 1, rows, columns, int(mask.sum())).stored_bits
    share = int(rng.choice(_BUFFER_SHARES))
    design = replace(design, weight_buffer_bits=tasks.weight_slots(design) * (bits // share + bits // 32))
    return mask, design, int(rng.choice([1, 4, 30]))


def measured(family: Family, draw: int) -> Case | None:
    """One random mask, packed and stepped; None for an empty one."""
    mask, design, vectors = drawn(family, draw)
    if not mask.any():
        return None
    packed = sparse.pack(mask, design.sets, design.macs, family.weight_format)
    rows, columns = mask.shape
    return Case(
        family, packed.nnz, rows, columns, design, vectors, sparse.balanced_cycles(packed),
        sparse.windowed_cycles(packed, design.window, design.rate),
        masks.packed_product(mask, design, vectors).cycles,
    )  # fmt: skip


def cases(draws: int = DRAWS) -> list[Case]:
    """`draws` measured masks of every family, empty ones left out."""
    found = (measured(family, draw) for family in FAMILIES for draw in range(draws))
    return [case for case in found if case is not None]


# --- errors -----------------------------------------------------------------------------------------------------


class Constants(NamedTuple):
    """What is fitted, in thousandths; see `accelerators.optimus.closed_form`."""

    paired: int = closed_form.PAIRED_MILLI
    odd: int = closed_form.ODD_MILLI
    drift: int = closed_form.DRIFT_MILLI
    slack: int = closed_form.SLACK_MILLI


SHIPPED = Constants()
"""Those of the model."""


def balance_error(case: Case, fitted: Constants = SHIPPED) -> float:
    """Relative error of the longest queue."""
    closed = closed_form.balanced_cycles(*case.task, case.cv_milli, 1, fitted.paired, fitted.odd)
    return closed / case.balanced - 1


def windowed_error(case: Case, fitted: Constants = SHIPPED) -> float:
    """Relative error of the cycles behind a window."""
    at = (case.design.window, case.design.rate, case.cv_milli, 1)
    return closed_form.windowed_cycles(*case.task, *at, *fitted) / case.windowed - 1


def held_error(case: Case) -> float:
    """Relative error of the cycles for which a product holds the array. Nothing was fitted to these."""
    return tasks.product_held(case.design, case.vectors, case.rows, case.columns, case.nnz).cycles / case.held - 1


MEASURES: tuple[tuple[str, Callable[[Case], float]], ...] = (
    ("balance", balance_error),
    ("windowed", windowed_error),
    ("product in pieces", held_error),
)


class Group(NamedTuple):
    """Some of the masks, by what they have in common."""

    name: str
    has: Callable[[Case], bool]


GROUPS = (
    Group("families of the fit", lambda c: not c.family.held_out),
    Group("held-out families", lambda c: c.family.held_out),
    Group("held out, rows of equal density", lambda c: c.family.held_out and c.family.skew == 0),
    Group(
        "SA-RCSC, equal density, window of 32 or more",
        lambda c: c.family.weight_format == WeightFormat.SA_RCSC and c.family.skew == 0 and c.design.window >= 32,
    ),
)


class Summary(NamedTuple):
    """Of relative errors: their mean; the median, 95th percentile and largest of their sizes."""

    bias: float
    median: float
    p95: float
    worst: float


def summary(errors: Sequence[float]) -> Summary:
    """Summary of at least one error."""
    size = np.abs(errors)
    return Summary(float(np.mean(errors)), float(np.median(size)), float(np.percentile(size, 95)), float(size.max()))


def summaries(done: Sequence[Case]) -> dict[tuple[str, str], Summary]:
    """Summary by (group, measure)."""
    return {
        (group.name, name): summary([error(case) for case in done if group.has(case)])
        for group in GROUPS
        for name, error in MEASURES
    }


def errors_table(done: Sequence[Case]) -> str:
    """The summaries as a table."""
    rows = [
        [group, measure, f"{of.bias:+.1%}", f"{of.median:.1%}", f"{of.p95:.0%}", f"{of.worst:.0%}"]
        for (group, measure), of in summaries(done).items()
    ]
    return table((f"{len(done):,} masks", "", "bias", "median", "95 % below", "worst"), rows)


# --- the fit ----------------------------------------------------------------------------------------------------


Fitted = Callable[[Case, Constants], float]


def mean_size(done: Sequence[Case], error: Fitted, fitted: Constants) -> float:
    """Mean size of the errors of `done` under some constants: what the fit makes small."""
    return float(np.mean([abs(error(case, fitted)) for case in done]))


def _best(done: Sequence[Case], error: Fitted, tried: Iterable[Constants]) -> Constants:
    return min(tried, key=lambda fitted: mean_size(done, error, fitted))


def fit(done: Sequence[Case]) -> Constants:
    """The constants with the smallest mean absolute error on the development families: those of the balance first, then
    those of the window on top of them. Steps of 0.1 (the odd row: 0.5)."""
    seen = [case for case in done if not case.family.held_out]
    balance = (Constants(paired, odd) for paired in range(0, 1501, 100) for odd in range(0, 5001, 500))
    found = _best(seen, balance_error, balance)
    window = (found._replace(drift=d, slack=s) for d in range(200, 1501, 100) for s in range(0, 801, 100))
    return _best(seen, windowed_error, window)


# --- the page ---------------------------------------------------------------------------------------------------


def readme_part(text: str) -> str:
    """What stands between the markers of a README."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    """Print the table of errors and the fit, or write the table into README.md."""
    parser = argparse.ArgumentParser(description="The closed forms of OPTIMUS beside measured masks")
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    write = parser.parse_args().write
    done = cases()
    errors = errors_table(done)
    print(errors)
    if write:
        text = README.read_text(encoding="utf-8")
        head, tail = text.partition(BEGIN)[0], text.partition(END)[2]
        README.write_text(f"{head}{BEGIN}\n\n{errors}\n\n{END}{tail}", encoding="utf-8")
        return
    seen = [case for case in done if not case.family.held_out]
    for name, constants in (("in the model", SHIPPED), ("fits best", fit(done))):
        sizes = (f"{mean_size(seen, error, constants):.2%}" for error in (balance_error, windowed_error))
        print(f"{name}: {constants}, mean error of the balance and behind a window: {', '.join(sizes)}")


if __name__ == "__main__":
    main()
