"""README.md in numbers: folds one by one, the cycles in which they enter and leave, and what is counted.

Nothing here knows the model. `walk` follows the sequencer's rules fold by fold; `total_cycles` is the closed form that
comes of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from accelerators.systolic.design import Dataflow
from hwsim.cosim.circuit import Event


class Product(NamedTuple):
    """out[m, n] = in[m, k] x w[k, n]."""

    m: int
    k: int
    n: int


class Paces(NamedTuple):
    """Cycles from one vector of a stream to the next, and from one row of a shift-in or drain to the next."""

    stream: int
    fill: int


class Plan(NamedTuple):
    """How a product lies on an array: lengths along the outer and inner folds, their steps, vectors of a fold."""

    outer: int
    outer_step: int
    inner: int
    inner_step: int
    vectors: int

    @property
    def folds(self) -> int:
        """How many there are."""
        return -(-self.outer // self.outer_step) * -(-self.inner // self.inner_step)


class Fold(NamedTuple):
    """One fold: rows and columns it uses, and cycles. `load` is -1 where nothing is shifted in; `closes` says whether
    results leave, not partial sums."""

    rows: int
    columns: int
    load: int
    first: int
    last: int
    left: int
    closes: bool


def plan(design: Any, p: Product) -> Plan:
    """The table of README.md, "What is computed"."""
    rows, columns = design.rows, design.columns
    if design.dataflow == Dataflow.OS:
        return Plan(p.m, rows, p.n, columns, p.k)
    if design.dataflow == Dataflow.WS:
        return Plan(p.n, columns, p.k, rows, p.m)
    return Plan(p.m, columns, p.k, rows, p.n)


def paces(design: Any, p: Product) -> Paces:
    """README.md, "Narrow ports": a vector takes as many cycles as its words need on the narrowest port."""
    inputs = design.input_bandwidth * design.input_banks
    weights = design.weight_bandwidth * design.weight_banks
    outputs = design.output_bandwidth * design.output_banks
    if design.dataflow == Dataflow.OS:
        rows, columns = min(design.rows, p.m), min(design.columns, p.n)
        return Paces(max(-(-rows // inputs), -(-columns // weights)), -(-columns // outputs))
    along, across, length = inputs, weights, p.n
    if design.dataflow == Dataflow.IS:
        along, across, length = weights, inputs, p.m
    rows, columns = min(design.rows, p.k), min(design.columns, length)
    return Paces(max(-(-rows // along), -(-columns // outputs)), -(-columns // across))


def total_cycles(design: Any, p: Product) -> int:
    """The closed form of README.md, "Cycles"."""
    found, pace = plan(design, p), paces(design, p)
    stream, fill = found.vectors * pace.stream, design.rows * pace.fill
    alone = fill + stream + design.rows + design.columns - 2
    between = max(stream, fill) if design.overlap else alone
    return (found.folds - 1) * between + alone


def walk(design: Any, p: Product) -> Iterator[Fold]:
    """Every fold in order."""
    found, pace = plan(design, p), paces(design, p)
    stationary = design.dataflow != Dataflow.OS
    skew = design.rows + design.columns - 2
    fill, length = design.rows * pace.fill, (found.vectors - 1) * pace.stream
    entered = left = last = -1  # of the fold before: first vector, all gone, last vector
    for outer in range(0, found.outer, found.outer_step):
        for inner in range(0, found.inner, found.inner_step):
            load = -1
            if not design.overlap or left < 0:
                load = left + pace.fill if stationary else -1
                first = left + (fill if stationary else 0) + pace.stream
                last = first + length
            elif stationary:
                load = entered + pace.fill - 1  # in the cycle of that vector at the earliest
                first = max(last + pace.stream, entered + fill)
                last = first + length
            else:
                drained = last + fill  # the last row of the drain before is issued
                before, first = last, last + pace.stream
                last = max(first + length, drained)
                first = last if found.vectors == 1 else before + pace.stream
            left = last + skew + (0 if stationary else fill)
            entered = first
            uses = min(found.outer_step, found.outer - outer), min(found.inner_step, found.inner - inner)
            rows, columns = uses[::-1] if stationary else uses
            closes = not stationary or inner + found.inner_step >= found.inner
            yield Fold(rows, columns, load, first, last, left, closes)


def exact(design: Any, p: Product) -> dict[str, int]:
    """What README.md says of every counter."""
    folds, found = list(walk(design, p)), plan(design, p)
    drain = design.rows * paces(design, p).fill if design.dataflow == Dataflow.OS else 0
    total = total_cycles(design, p)
    return {
        "cycles_total": total, "cycles_fill": 0, "cycles_compute": total, "cycles_stall": 0, "cycles_drain": 0,
        "cycles_before_mac": folds[0].first,
        "cycles_to_last_mac": max(f.last + f.rows + f.columns - 1 for f in folds),
        "cycles_to_last_result": max(f.last + drain + design.rows + f.columns - 1 for f in folds if f.closes),
        "count_folds": found.folds, "count_results": p.m * p.n, **counts(design, p),
    }  # fmt: skip


def counts(design: Any, p: Product) -> dict[str, int]:
    """README.md, "Counts"."""
    over_rows, over_columns = (lambda size: -(-size // design.rows)), (lambda size: -(-size // design.columns))
    inputs = weights = partial = 1
    if design.dataflow == Dataflow.WS:
        inputs, partial = over_columns(p.n), over_rows(p.k)
    elif design.dataflow == Dataflow.IS:
        weights, partial = over_columns(p.m), over_rows(p.k)
    else:
        inputs, weights = over_columns(p.n), over_rows(p.m)
    return {
        "count_macs": p.m * p.k * p.n,
        "count_input_reads": p.m * p.k * inputs * design.input_bits,
        "count_weight_reads": p.k * p.n * weights * design.weight_bits,
        "count_output_reads": p.m * p.n * (partial - 1) * design.accumulator_bits,
        "count_output_writes": p.m * p.n * partial * design.accumulator_bits,
    }


def events(design: Any, p: Product) -> list[Event]:
    """README.md, "Events"."""
    found: list[tuple[int, int, Event]] = []
    for number, fold in enumerate(walk(design, p)):
        if fold.load >= 0:
            found.append((fold.load, 0, Event(fold.load, "load", (number,))))
        found.append((fold.first, 1, Event(fold.first, "stream", (number,))))
        found.append((fold.left, 2, Event(fold.left, "left", (number,))))
    return [event for *_, event in sorted(found)]
