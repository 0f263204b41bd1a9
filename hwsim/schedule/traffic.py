"""Off-chip traffic of an order on a scratchpad: what it loads and writes back under Belady's replacement.

Whole tensors move. A node needs its operands and its output on chip together; what is evicted to make room is what is
needed furthest in the future (L. A. Belady, IBM Systems Journal 5(2), 1966). A tensor that was made on chip and is
still needed is written back when it is evicted, once; the network's inputs lie off chip to begin with, and its outputs
are written there in the end. A node that does not fit streams: what is not on chip is read from, and its output written
to, off-chip memory, and the scratchpad stays as it is. Weights are not counted.

Belady's rule loads least for tensors of one size that are only read. With sizes and write-backs it is a rule, no
optimum (`tests/test_schedule_traffic.py` measures the gap).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hwsim.errors import bad_input
from hwsim.schedule.graph import Graph

INPUT = "input"


class Use(NamedTuple):
    """One step: the buffers it reads and the one it writes ("" for none)."""

    reads: tuple[str, ...]
    writes: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bits moved. `streamed` counts the nodes that did not fit."""

    scratchpad_bits: int
    loaded_bits: int
    written_bits: int
    streamed: int

    @property
    def bits(self) -> int:
        """All that crosses the border of the scratchpad."""
        return self.loaded_bits + self.written_bits


def uses_of(graph: Graph, order: Sequence[str]) -> list[Use]:
    """The steps that touch storage: aliases and inputs do not, and who adds to a buffer that was begun reads it."""
    begun: set[str] = set()
    uses = []
    for name in order:
        node = graph[name]
        if node.alias or node.op == INPUT:
            continue
        reads = dict.fromkeys(root for r in node.reads for root in graph.roots[r])
        if node.storage in begun:
            reads[node.storage] = None
        begun.add(node.storage)
        uses.append(Use(tuple(reads), node.storage))
    return uses


@dataclass
class _Scratchpad:
    capacity_bits: int
    sizes: dict[str, int]
    uses: list[Use]
    kept: frozenset[str]
    off_chip: set[str]
    """Buffers whose present value off-chip memory holds."""
    on_chip: set[str] = field(default_factory=set)
    loaded_bits: int = 0
    written_bits: int = 0
    streamed: int = 0

    def next_use(self, buffer: str, after: int) -> int:
        """The step that needs the buffer next; past the end for outputs, further yet for what nobody needs."""
        ahead = (i for i in range(after + 1, len(self.uses)) if buffer in (*self.uses[i].reads, self.uses[i].writes))
        return next(ahead, len(self.uses) + (buffer not in self.kept))

    def run(self, at: int) -> None:
        """One step."""
        use = self.uses[at]
        needed = {*use.reads, use.writes} - {""}
        if sum(self.sizes[b] for b in needed) > self.capacity_bits:
            self._stream(use)
        else:
            self._make_room(at, needed)
            self.loaded_bits += sum(self.sizes[b] for b in use.reads if b not in self.on_chip)
            self.on_chip |= needed
            self.off_chip.discard(use.writes)
        self.on_chip = {b for b in self.on_chip if self.next_use(b, at) <= len(self.uses)}

    def _stream(self, use: Use) -> None:
        self.streamed += 1
        self.loaded_bits += sum(self.sizes[b] for b in use.reads if b not in self.on_chip)
        if use.writes:
            self.written_bits += self.sizes[use.writes]
            self.on_chip.discard(use.writes)
            self.off_chip.add(use.writes)

    def _make_room(self, at: int, needed: set[str]) -> None:
        total = sum(self.sizes[b] for b in self.on_chip | needed)
        furthest = sorted(self.on_chip - needed, key=lambda b: (-self.next_use(b, at), b))
        for buffer in furthest:
            if total <= self.capacity_bits:
                return
            total -= self.sizes[buffer]
            self.on_chip.discard(buffer)
            self.write_back(buffer)

    def write_back(self, buffer: str) -> None:
        """Bring off-chip memory up to date."""
        if buffer not in self.off_chip:
            self.written_bits += self.sizes[buffer]
            self.off_chip.add(buffer)


def belady(graph: Graph, order: Sequence[str], scratchpad_bits: int) -> Traffic:
    """The traffic of `order` on a scratchpad. Raises InputError for a size that is not positive."""
    if scratchpad_bits < 1:
        raise bad_input("scratchpad", scratchpad_bits, "a scratchpad holds at least one bit", key="scratchpad")
    sizes = {n.storage: n.size_bits for n in graph.nodes if n.storage}
    frame = graph.frame
    inputs = {n.storage for n in graph.nodes if n.op == INPUT}
    kept = frozenset(name for name, held in zip(frame.buffers, frame.held, strict=True) if held)
    pad = _Scratchpad(scratchpad_bits, sizes, uses_of(graph, order), kept, set(inputs))
    for at in range(len(pad.uses)):
        pad.run(at)
    for buffer in sorted(kept - inputs):
        pad.write_back(buffer)
    return Traffic(scratchpad_bits, pad.loaded_bits, pad.written_bits, pad.streamed)
