"""Which tensors a GPU's second-level cache still holds when an operator asks for them.

Least recently used, by whole tensors: a tensor is there if all that was touched since its last use fits the cache with
it. One larger than the cache leaves nothing else in it. Results that every reader finds in the cache never reach DRAM:
the memory they stood in is written over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hwsim.workload.ir import Disposition, Graph, Op, Phase, Role, Workload

Key = tuple[str, str]
PRODUCERS = frozenset({"matmul", "conv2d"})


@dataclass(slots=True)
class Moves:
    """What one operator moves off chip: inputs that are not in the cache, outputs that do not stay in it."""

    missed: set[str] = field(default_factory=set)
    spilled: set[str] = field(default_factory=set)


class Lru:
    """A cache of whole tensors."""

    def __init__(self, capacity_bits: int) -> None:
        self.capacity_bits, self.held_bits = capacity_bits, 0
        self._held: OrderedDict[Key, int] = OrderedDict()

    def touch(self, key: Key, bits: int) -> bool:
        """Use a tensor: whether it was there. It is there afterwards if it fits at all."""
        was_there = key in self._held
        if was_there:
            self.held_bits -= self._held.pop(key)
        if bits > self.capacity_bits:
            self._held.clear()
            self.held_bits = 0
            return False
        self._held[key] = bits
        self.held_bits += bits
        while self.held_bits > self.capacity_bits:
            self.held_bits -= self._held.popitem(last=False)[1]
        return was_there


def fused_into(graph: Graph) -> dict[str, str]:
    """Elementwise operators that can run within the product before them: its result is their one operand, and theirs
    alone. Operator name -> name of that product."""
    readers: dict[str, int] = {}
    for op in graph.ops:
        for name in op.inputs:
            readers[name] = readers.get(name, 0) + 1
    made = {name: op for op in graph.ops for name in op.outputs}
    found = {}
    for op in graph.ops:
        if op.kind != "elementwise" or op.disposition is not Disposition.MODELLED:
            continue
        source = _behind_fused(graph, op, made)
        if source and all(readers[n] == 1 for n in (*source.outputs, *op.inputs)) and op.outputs:
            found[op.name] = source.name
    return found


def _behind_fused(graph: Graph, op: Op, made: Mapping[str, Op]) -> Op | None:
    """The product whose result is the only operand of `op`, with nothing but what was folded into it between."""
    if len(op.inputs) != 1:
        return None
    source = made.get(op.inputs[0])
    while source is not None and source.disposition is Disposition.FUSED:
        source = made.get(source.inputs[0])
    if source is None or source.kind not in PRODUCERS or source.disposition is not Disposition.MODELLED:
        return None
    return source


def plan(
    workload: Workload,
    schedule: tuple[Phase, ...],
    sizes: Mapping[str, int],
    capacity_bits: int,
    operand_bits: int,
    skipped: Callable[[Graph], Mapping[str, str]],
) -> list[Moves]:
    """What every modelled operator of `schedule` moves, in order; `skipped` names the operators of a graph that run
    within another."""
    return _Planner(capacity_bits, operand_bits).run(workload, schedule, sizes, skipped)


class _Planner:
    """Walks the schedule once, with the cache as it would be."""

    def __init__(self, capacity_bits: int, operand_bits: int) -> None:
        self.lru, self.operand_bits = Lru(capacity_bits), operand_bits
        self.alias: dict[Key, Key] = {}
        self.made_by: dict[Key, tuple[Moves, str]] = {}
        self.unread: set[Key] = set()
        self.moves: list[Moves] = []

    def run(
        self,
        workload: Workload,
        schedule: tuple[Phase, ...],
        sizes: Mapping[str, int],
        skipped: Callable[[Graph], Mapping[str, str]],
    ) -> list[Moves]:
        within = {name: skipped(graph) for name, graph in workload.graphs.items()}
        for _, _, local, graph in workload.walk(sizes, schedule):
            for op in graph.ops:
                modelled = op.disposition is Disposition.MODELLED
                if modelled and op.name not in within[graph.name]:
                    self.operator(graph, op, local)
                    continue
                self.passed_on(graph, op)
                if modelled:
                    self.moves.append(Moves())
        self.never_read()
        return self.moves

    def passed_on(self, graph: Graph, op: Op) -> None:
        """An operator without a kernel: its results are its first operand under other names."""
        first = next((n for n in op.inputs if graph.tensors[n].role is not Role.WEIGHT), None)
        for name in op.outputs if first else ():
            assert first is not None
            self.alias[graph.name, name] = self.key(graph, first)

    def key(self, graph: Graph, name: str) -> Key:
        return self.alias.get((graph.name, name), (graph.name, name))

    def operator(self, graph: Graph, op: Op, local: Mapping[str, int]) -> None:
        """Touch its inputs, then its outputs."""
        moves = Moves()
        self.moves.append(moves)
        for name in op.inputs:
            if op.kind == "embedding" and graph.tensors[name].role is Role.WEIGHT:
                moves.missed.add(name)  # a few rows of a table, which are somewhere else every time
                continue
            bits = graph.tensors[name].elements(local) * self.operand_bits
            key = self.key(graph, name)
            self.unread.discard(key)
            if not self.lru.touch(key, bits):
                moves.missed.add(name)
                if key in self.made_by:
                    maker, made = self.made_by[key]
                    maker.spilled.add(made)
        for name in op.outputs:
            key = (graph.name, name)
            self.alias.pop(key, None)
            self.unread.add(key)
            self.made_by[key] = (moves, name)
            bits = graph.tensors[name].elements(local) * self.operand_bits
            self.lru.touch(key, bits)

    def never_read(self) -> None:
        """What nobody reads is what the network answers, or leaves for the next call: it goes to memory."""
        for key in self.unread:
            moves, name = self.made_by[key]
            moves.spilled.add(name)
