"""Deliberate mistakes in the OPTIMUS model, each of which the circuit's golden figures must give away.

A mistake is seeded by replacing one function wherever the model and the engine look it up. What counts as caught are
the columns of the circuit alone: an action count or the cycles of the windowed kernel that are not the circuit's,
cycles of the array that were equal and are no longer, or totals beyond the tolerance.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from accelerators.optimus import array, closed_form, masks, sparse, tasks
from hwsim import demand, memory
from hwsim.cosim.case import Case, CaseFile, read_cases
from hwsim.cosim.compare import question
from hwsim.cosim.golden import Row, read_golden
from hwsim.errors import InputError
from rtl_models.optimus.bench import CIRCUIT

EVERY = 6
"""Of the drawn cases; of the corners all are looked at."""

Function = Callable[..., Any]


class Fault(NamedTuple):
    """`wrong(right)` stands in for the function `right`."""

    name: str
    right: Function
    wrong: Callable[[Function], Function]


def plus(amount: int) -> Callable[[Function], Function]:
    return lambda right: lambda *args: max(0, right(*args) + amount)


def always(value: int) -> Callable[[Function], Function]:
    return lambda right: lambda *args: value


def counted(**changes: Callable[[int], int]) -> Callable[[Function], Function]:
    """Counts with some of their fields changed."""

    def wrong(right: Function) -> Function:
        def count(*args: Any) -> Any:
            counts = right(*args)
            return counts._replace(**{name: change(getattr(counts, name)) for name, change in changes.items()})

        return count

    return wrong


def moved(field: str, amount: int) -> Callable[[Function], Function]:
    """A windowed run with another window or rate."""

    def wrong(right: Function) -> Function:
        def run(packed: Any, window: int, rate: int) -> Any:
            by = {"window": (amount, 0), "rate": (0, amount)}[field]
            return right(packed, max(1, window + by[0]), max(1, rate + by[1]))

        return run

    return wrong


def natural_order(right: Function) -> Function:
    return lambda row_lengths, macs, sets: np.arange(row_lengths.size, dtype=np.int64)


def blocks_of_rows(right: Function) -> Function:
    """The wrong set hash: rows that follow one another share a set."""

    def order(row_lengths: Any, macs: int, sets: int) -> Any:
        found = right(row_lengths, macs, sets)
        return np.concatenate([found[at::sets] for at in range(sets)])

    return order


def blocked_ways(right: Function) -> Function:
    """Each way of a set takes a contiguous share of its entries instead of every w-th."""

    def queues(packed: Any) -> Any:
        set_of = np.repeat(np.arange(packed.lengths.shape[0]), packed.lengths.sum(axis=1))
        start = np.concatenate(([0], np.cumsum(packed.lengths.sum(axis=1))))
        ordinal = np.arange(packed.nnz) - start[set_of]
        share = np.maximum(1, -(-(start[set_of + 1] - start[set_of]) // packed.ways))
        multiplier = ordinal // share * packed.sets + set_of
        by_queue = np.argsort(multiplier, kind="stable")
        begin = np.concatenate(([0], np.cumsum(np.bincount(multiplier, minlength=packed.macs)))).astype(np.int64)
        column = np.concatenate([np.repeat(np.arange(row.size), row) for row in packed.lengths])
        return begin, column[by_queue].astype(np.int32), packed.row_in_set[by_queue]

    return queues


def of_design(**fields: Any) -> Callable[[Function], Function]:
    """A function of a design that sees some of its fields wrong."""
    return lambda right: lambda design, *args: right(dataclasses.replace(design, **fields), *args)


def rows_less(right: Function) -> Function:
    return lambda design, rows, *args: right(design, max(1, rows - 1), *args)


FAULTS = (
    Fault("fill off by one", array.fill_cycles, plus(1)),
    Fault("fill left out", array.fill_cycles, always(0)),
    Fault("drain left out", array.drain_cycles, always(0)),
    Fault("drain without the reduction network", array.drain_cycles, lambda right: lambda design, writing:
          design.pipeline_cycles + writing - 1),
    Fault("drain without the writing of results", array.drain_cycles, lambda right: lambda design, writing:
          right(design, 1)),
    Fault("results written one a set and cycle", array.write_cycles, lambda right: array.depth_of),
    Fault("sums set aside in no time", array.aside_cycles, always(0)),
    Fault("sums set aside at the width of results", array.aside_cycles, of_design(accumulator_width_bits=16)),
    Fault("one row less", array.piece_cycles, rows_less),
    Fault("load hidden where it is not: always two slots", tasks.weight_slots, always(2)),
    Fault("load never hidden: always one slot", tasks.weight_slots, always(1)),
    Fault("latency of the port left out", demand.latency_ps, always(0)),
    Fault("transfers free", memory.transfer_ps, always(0)),
    Fault("one channel where there are more", memory.transfer_ps, lambda right: lambda dram, channels, *rest:
          right(dram, 1, *rest)),
    Fault("load counted twice", tasks.weight_product, counted(dram_read_bits=lambda bits: 2 * bits)),
    Fault("a run of memory for each piece", tasks.weight_product, counted(dram_read_runs=lambda runs: 1)),
    Fault("sums set aside, not counted", masks._piece_task, lambda right: lambda *args, **named:
          right(*args, **named)._replace(sums_aside=0)),
    Fault("wrong set hash: blocks of rows", sparse.snake_order, blocks_of_rows),
    Fault("rows not ordered by length", sparse.snake_order, natural_order),
    Fault("ways take blocks of entries", sparse.queues, blocked_ways),
    Fault("window one element wider", sparse.windowed_run, moved("window", 1)),
    Fault("window one element narrower", sparse.windowed_run, moved("window", -1)),
    Fault("window moves one element further", sparse.windowed_run, moved("rate", 1)),
    Fault("row numbers a bit wider", closed_form.entry_bits, plus(1)),
    Fault("column lengths not stored", closed_form.column_bits, always(0)),
    Fault("all columns seen, empty ones at the end too", sparse.windowed_run, lambda right: lambda packed, *rest:
          right(packed, *rest)._replace(columns=packed.shape[1])),
    Fault("dense products with one element a window", tasks.count_dense, of_design(window=1)),
    Fault("matrix elements of dense products not read", tasks.count_dense,
          counted(activation_read_bits=lambda bits: bits // 2)),
)  # fmt: skip


@lru_cache(maxsize=1)
def case_file() -> CaseFile:
    return read_cases(CIRCUIT.cases, CIRCUIT)


@lru_cache(maxsize=1)
def golden() -> dict[str, Row]:
    return {row["name"]: row for row in read_golden(CIRCUIT)}


def looked_at() -> list[Case]:
    drawn = [case for case in case_file().cases if case.name[1:].isdigit()]
    named = [case for case in case_file().cases if not case.name[1:].isdigit()]
    return [*drawn[::EVERY], *named]


def modules() -> Iterator[Any]:
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("hwsim", "accelerators", "rtl_models"):
            yield module


def forget() -> None:
    """Empty every cache of measured masks and drawn data: a mistake must be asked afresh."""
    for module in modules():
        if module.__name__.split(".")[0] != "hwsim":
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def seed(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    """Put the wrong function wherever the right one is looked up: by name, or in a table of kernels."""
    wrong = fault.wrong(fault.right)
    places = [(module, name) for module in modules() for name, value in vars(module).items() if value is fault.right]
    assert places
    for module, name in places:
        patch.setattr(module, name, wrong)
    kernels = {task: wrong if kernel is fault.right else kernel for task, kernel in tasks_of_model().items()}
    patch.setattr(model_of_circuit(), "kernels", kernels, raising=False)


def model_of_circuit() -> Any:
    from accelerators.optimus.model import MODEL

    return MODEL


def tasks_of_model() -> dict[type, Function]:
    return dict(model_of_circuit().kernels)


def caught_by(cases: list[Case]) -> str:
    """What gives the model away against the columns of the circuit; "" if nothing does."""
    errors = []
    for case in cases:
        row = golden()[case.name]
        try:
            asked = question(CIRCUIT, case)
        except InputError:
            return f"{case.name}: refused"
        for name, count in asked.answer.counts.items():
            if str(int(count)) != row[f"count_{name}"]:
                return f"{case.name}: {name}"
        for name, value in asked.stimulus.exact.items():
            if str(value) != row[f"exact_{name}"]:
                return f"{case.name}: {name}"
        equal = float(row["model_compute"]) == float(row["rtl_compute"])
        if equal and asked.answer.cycles.compute != float(row["rtl_compute"]):
            return f"{case.name}: compute cycles"
        errors.append(abs(asked.answer.cycles.total / float(row["rtl_total"]) - 1))
    allowed = case_file().tolerance
    if max(errors) > allowed.worst:
        return f"worst error {max(errors):.0%}"
    if np.percentile(errors, 95) > allowed.p95 or np.mean(errors) > allowed.mape:
        return f"errors: MAPE {np.mean(errors):.1%}, p95 {np.percentile(errors, 95):.1%}"
    return ""


def test_the_model_itself_is_not_caught() -> None:
    forget()
    assert caught_by(looked_at()) == ""


def test_every_seeded_mistake_is_caught() -> None:
    cases = looked_at()
    found = {}
    for fault in FAULTS:
        with pytest.MonkeyPatch.context() as patch:
            forget()
            seed(fault, patch)
            found[fault.name] = caught_by(cases)
    forget()
    caught = sum(bool(by) for by in found.values())
    print(f"{caught} of {len(FAULTS)} mistakes caught on {len(cases)} cases")
    for name, by in found.items():
        print(f"{name}: {by or 'NOT CAUGHT'}")
    assert len(FAULTS) >= 15
    assert caught == len(FAULTS)
