"""What a training step needs beside products and streams: parameters that are kept wider than they are computed with,
a copy of them in every replica, and gradients that replicas exchange.

With `replicas` a batch is split over that many copies of the network (data parallel). Each makes the whole gradient of
a weight from its share of the batch: as many products of the same m x n, each over its share of k. An all-reduce in a
ring then sends 2 (r - 1) / r of every gradient from each replica to the next (Patarasuk and Yuan, J. Parallel Distrib.
Comput. 69(2), 2009), and each replica updates all its parameters. With `state_bits` parameters, their gradients and
what the optimizer keeps lie in DRAM in that width; weights are rounded before they are first used, gradients widened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from accelerators.systolic.design import Design
from accelerators.systolic.tasks import Counts, Product, on_lanes, waited
from hwsim.pure import ceil_div, pure
from hwsim.workload.ir import Disposition, Graph

UPDATE, LOSS = "update", "loss"
"""Modules of the operators that `hwsim.workload.training` adds to a network."""


class State(NamedTuple):
    """A pass of the vector lanes of every replica over `elements` parameters: tensors that are read and written in the
    width that parameters are kept in, and in the one they are computed with; `operations` of one replica."""

    elements: int
    kept_read: int
    kept_written: int
    read: int
    written: int
    operations: int


class Exchange(NamedTuple):
    """The sum over all replicas of `elements` of a gradient."""

    elements: int


@pure
def kept_bits(design: Design) -> int:
    """Width of a parameter in DRAM."""
    if design.state_bits == 0:
        return design.weight_bits
    return design.state_bits


@pure
def count_state(design: Design, task: State) -> Counts:
    """Every replica reads and writes its own copy."""
    each = design.replicas * task.elements
    if each < 1:
        return waited(0, 0, 0)
    kept, width = kept_bits(design), design.weight_bits
    read = each * (task.kept_read * kept + task.read * width)
    written = each * (task.kept_written * kept + task.written * width)
    operations = design.replicas * task.operations
    tensors = task.kept_read + task.kept_written + task.read + task.written
    return on_lanes(
        design, max(operations, each), read, min(read, tensors), written, read, written, read, operations
    )  # fmt: skip


@pure
def count_exchange(design: Design, task: Exchange) -> Counts:
    """The ring's time; the vector unit waits for it."""
    if design.replicas < 2 or design.exchange_rate_bits_per_s == 0:
        return waited(0, 0, 0)
    sent = ceil_div(2 * (design.replicas - 1) * task.elements * kept_bits(design), design.replicas)
    bits_per_us = max(1, design.exchange_rate_bits_per_s // 1_000_000)
    cycles = ceil_div(sent * design.clock_khz, 1_000 * bits_per_us)
    return on_lanes(design, cycles * design.cores * design.vector_lanes, 0, 0, 0, 0, 0, 0, 0)


# --- what is trained ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trained:
    """What of a graph a training step keeps: operator -> weights that it is the first to read, operator -> gradients of
    weights that it makes, and the operators that update weights."""

    first: Mapping[str, tuple[str, ...]]
    makes: Mapping[str, tuple[str, ...]]
    updates: frozenset[str]


NOTHING = Trained({}, {}, frozenset())


def trained(graph: Graph) -> Trained:
    """What the operators of a graph keep in the course of a training step."""
    updates = [op for op in graph.ops if op.module == UPDATE and op.attrs.get("in_place")]
    weights, gradients = ({op.inputs[at] for op in updates} for at in (0, 1))
    if not updates:
        return NOTHING
    names = frozenset(op.name for op in updates)
    first: dict[str, tuple[str, ...]] = {}
    makes: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for op in graph.ops:
        if op.disposition is Disposition.MODELLED and op.name not in names:
            first[op.name] = tuple(n for n in dict.fromkeys(op.inputs) if n in weights - seen)
            makes[op.name] = tuple(n for n in op.outputs if n in gradients)
            seen.update(first[op.name])
    return Trained(first, makes, names)


def target_classes(graph: Graph, binding: Mapping[str, int]) -> int:
    """Classes that the targets of a graph's loss are told from, over all targets."""
    sizes = (op.sizes(binding) for op in graph.ops if op.module == LOSS and op.kind == "softmax")
    return sum(s["rows"] * s["length"] for s in sizes)


def split(design: Design, task: Product) -> Product:
    """The product that makes a weight's gradient, from the share of the batch that each replica has."""
    if design.replicas < 2:
        return task
    return task._replace(batch=task.batch * design.replicas, k=ceil_div(task.k, design.replicas), unique=0, halo=0)


def rounded(elements: int, design: Design) -> Iterator[State]:
    """Before a weight is first used: from the width it is kept in to the one it is computed with."""
    if kept_bits(design) != design.weight_bits:
        yield State(elements, 1, 0, 0, 1, elements)


def handed_on(elements: int, design: Design) -> Iterator[State | Exchange]:
    """After the gradient of a weight is made: widened, and summed over the replicas."""
    if kept_bits(design) != design.weight_bits:
        yield State(elements, 0, 1, 1, 0, elements)
    if design.replicas > 1:
        yield Exchange(elements)
