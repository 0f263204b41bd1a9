"""Offsets in one arena: tensors that live at the same time must not overlap, and the arena should be small.

This is dynamic storage allocation, known to be NP-hard: two quick heuristics, an exact search for small graphs, a lower
bound, and a checker that shares no code with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from hwsim.errors import bad_input
from hwsim.schedule.graph import Graph, Node, bits, is_order

BYTE_BITS = 8
TRY_LIMIT = 20_000
"""Blocks that the exact search puts down before it gives the best placement found: seconds for a hundred blocks, about
a minute for three hundred."""


class Block(NamedTuple):
    """A stretch of the arena: from step `first` to step `last` of the order, both included, `size_bits` long.

    `buffers` share it, one written over the other.
    """

    buffers: tuple[str, ...]
    size_bits: int
    first: int
    last: int

    def meets(self, other: Block) -> bool:
        """Whether the two live at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each buffer lies. `lower_bound_bits`: no arena is smaller; `proven`: this one is the smallest."""

    method: str
    offset_bits: Mapping[str, int]
    arena_bits: int
    lower_bound_bits: int
    proven: bool
    blocks: tuple[Block, ...]
    align_bits: int = BYTE_BITS
    tried: int = 0


def blocks_of(graph: Graph, order: Sequence[str]) -> tuple[Block, ...]:
    """The storage that `order` needs, by the step in which it begins; buffers of no size need none."""
    frame, end = graph.frame, len(order) - 1
    step = {graph.position[name]: i for i, name in enumerate(order)}
    blocks: dict[int, Block] = {}
    home: dict[int, int] = {}
    run = 0
    for at, name in enumerate(order):
        node = graph.position[name]
        own = frame.own[node]
        if own >= 0 and frame.size_bits[own] and own not in home:
            last = end if frame.held[own] else max(step[u] for u in bits(frame.users[own]))
            home[own] = home[frame.over[node]] if frame.takes_over(run, node) else own
            before = blocks.get(home[own], Block((), frame.size_bits[own], at, at))
            blocks[home[own]] = before._replace(buffers=(*before.buffers, frame.buffers[own]), last=last)
        run |= 1 << node
    return tuple(blocks.values())


def arena_bound_bits(blocks: Sequence[Block], align_bits: int = BYTE_BITS) -> int:
    """What is live at once, every tensor but the topmost filled up to the alignment."""
    bound = 0
    for at in {b.first for b in blocks}:
        live = [b.size_bits for b in blocks if b.first <= at <= b.last]
        slack = max((_up(size, align_bits) - size for size in live), default=0)
        bound = max(bound, sum(_up(size, align_bits) for size in live) - slack)
    return bound


def _up(value: int, align: int) -> int:
    return -(-value // align) * align


# --- heuristics -------------------------------------------------------------------------------------------------


Fit = Callable[[Block, Sequence[tuple[Block, int]], int], int]


def _gaps(block: Block, placed: Sequence[tuple[Block, int]], align_bits: int) -> list[tuple[int, int | None]]:
    """(offset, room) of every gap beside what lives at the same time as `block`; the last has no end."""
    gaps, top = list[tuple[int, int | None]](), 0
    for other, offset in sorted((p for p in placed if block.meets(p[0])), key=lambda p: p[1]):
        if offset > top:
            gaps.append((top, offset - top))
        top = max(top, _up(offset + other.size_bits, align_bits))
    return [*gaps, (top, None)]


def _first_fit(block: Block, placed: Sequence[tuple[Block, int]], align_bits: int) -> int:
    gaps = _gaps(block, placed, align_bits)
    return next(offset for offset, room in gaps if room is None or room >= block.size_bits)


def _best_fit(block: Block, placed: Sequence[tuple[Block, int]], align_bits: int) -> int:
    fits = [(room, offset) for offset, room in _gaps(block, placed, align_bits) if room and room >= block.size_bits]
    return min(fits)[1] if fits else _gaps(block, placed, align_bits)[-1][0]


def _place(blocks: Iterable[Block], fit: Fit, align_bits: int) -> list[tuple[Block, int]]:
    placed: list[tuple[Block, int]] = []
    for block in blocks:
        placed.append((block, fit(block, placed, align_bits)))
    return placed


def greedy(blocks: Sequence[Block], align_bits: int = BYTE_BITS) -> list[tuple[Block, int]]:
    """Greedy by size, after Pisarchyk and Lee (arXiv 2001.03288): largest first, each in the lowest gap."""
    return _place(sorted(blocks, key=lambda b: (-b.size_bits, b.first)), _first_fit, align_bits)


def best_fit(blocks: Sequence[Block], align_bits: int = BYTE_BITS) -> list[tuple[Block, int]]:
    """As the tensors come, each in the smallest gap that holds it, as an allocator at run time could."""
    return _place(sorted(blocks, key=lambda b: (b.first, -b.size_bits)), _best_fit, align_bits)


def _quick(blocks: Sequence[Block], align_bits: int) -> list[list[tuple[Block, int]]]:
    """Placements by several rules, for the exact search to start from."""
    keys: list[Callable[[Block], tuple[int, int]]] = [
        lambda b: (-b.size_bits, b.first),
        lambda b: (b.first, -b.size_bits),
        lambda b: (b.first - b.last, -b.size_bits),
        lambda b: (b.size_bits * (b.first - b.last - 1), b.first),
        lambda b: (-b.last, -b.size_bits),
    ]
    return [_place(sorted(blocks, key=key), fit, align_bits) for key in keys for fit in (_first_fit, _best_fit)]


# --- exact ------------------------------------------------------------------------------------------------------


class _Stack(NamedTuple):
    """Some blocks put down: their offsets, the lowest offset that each block may have, and the offset of the last."""

    offsets: dict[int, int]
    floor: list[int]
    lowest: int


class _Exact:
    """Branch and bound over the ways to stack blocks.

    Some smallest arena has every block at 0 or on top of one that it meets. In the order of their offsets each block
    then lies on the highest top of those before it that it meets, so trying every such order finds it.
    """

    def __init__(self, blocks: Sequence[Block], align_bits: int, bound_bits: int, limit: int) -> None:
        self.blocks, self.align_bits, self.bound_bits, self.limit = blocks, align_bits, bound_bits, limit
        self.meeting = [[j for j, b in enumerate(blocks) if j != i and a.meets(b)] for i, a in enumerate(blocks)]
        times = sorted({b.first for b in blocks})
        self.at = [[i for i, b in enumerate(blocks) if b.first <= t <= b.last] for t in times]
        self.best = min(_quick(blocks, align_bits), key=_height)
        self.height = _height(self.best)
        self.tried = 0

    def run(self) -> None:
        """Search until the bound is met, every stack was tried, or `limit` of them were.

        Depth first, without recursion, whose depth would be the number of blocks.
        """
        open_ = [self._stack({}, [0] * len(self.blocks), 0)]
        while open_ and not self.done:
            higher = next(open_[-1], None)
            if higher is None:
                open_.pop()
            elif len(higher.offsets) < len(self.blocks):
                open_.append(self._stack(*higher))
            else:
                self.best = [(b, higher.offsets[i]) for i, b in enumerate(self.blocks)]
                self.height = _height(self.best)

    @property
    def done(self) -> bool:
        """Whether nothing better is to be found, or no more may be tried."""
        return self.height <= self.bound_bits or self.tried >= self.limit

    def _stack(self, offsets: dict[int, int], floor: list[int], lowest: int) -> Iterator[_Stack]:
        """The stacks with one block more, lowest first, that may stay below the best arena so far."""
        todo = [i for i in range(len(self.blocks)) if i not in offsets and floor[i] >= lowest]
        for i in sorted(todo, key=lambda i: (floor[i], -self.blocks[i].size_bits)):
            self.tried += 1
            raised = self._raised(i, floor)
            now = {**offsets, i: floor[i]}
            if self._reach(now, raised, floor[i]) < self.height:
                yield _Stack(now, raised, floor[i])
            elif self.done:
                return

    def _raised(self, i: int, floor: list[int]) -> list[int]:
        top = _up(floor[i] + self.blocks[i].size_bits, self.align_bits)
        raised = list(floor)
        for j in self.meeting[i]:
            raised[j] = max(raised[j], top)
        return raised

    def _reach(self, offsets: dict[int, int], floor: list[int], lowest: int) -> int:
        """The arena is at least this high: what is live at once and not placed lies on what is placed."""
        reach = max(offset + self.blocks[i].size_bits for i, offset in offsets.items())
        for live in self.at:
            open_ = [i for i in live if i not in offsets]
            if open_:
                base = max(lowest, min(floor[i] for i in open_))
                slack = max(_up(self.blocks[i].size_bits, self.align_bits) - self.blocks[i].size_bits for i in open_)
                reach = max(reach, base + sum(_up(self.blocks[i].size_bits, self.align_bits) for i in open_) - slack)
        return reach


def _height(placed: Iterable[tuple[Block, int]]) -> int:
    return max((offset + block.size_bits for block, offset in placed), default=0)


# --- the three by name ------------------------------------------------------------------------------------------


def place(
    graph: Graph, order: Sequence[str], method: str = "greedy", align_bits: int = BYTE_BITS, limit: int = TRY_LIMIT
) -> Placement:
    """Offsets for `order` by "greedy", "best-fit" or "exact". An exact search that ends at its `limit` says so: it is
    not `proven`. Raises InputError for an alignment that is not positive."""
    if align_bits < 1:
        raise bad_input("align", align_bits, "an alignment is at least one bit", key="align")
    blocks = blocks_of(graph, order)
    bound = arena_bound_bits(blocks, align_bits)
    searched, tried = False, 0
    if method == "exact":
        exact = _Exact(blocks, align_bits, bound, limit)
        exact.run()
        placed, tried, searched = exact.best, exact.tried, exact.tried < limit
    else:
        placed = {"greedy": greedy, "best-fit": best_fit}[method](blocks, align_bits)
    arena = _height(placed)
    offsets = {name: offset for block, offset in sorted(placed, key=lambda p: p[0].first) for name in block.buffers}
    return Placement(method, offsets, arena, arena if searched else bound, searched or arena == bound, blocks,
                     align_bits, tried)  # fmt: skip


# --- checking ---------------------------------------------------------------------------------------------------


def overlaps(graph: Graph, order: Sequence[str], placement: Placement) -> list[str]:
    """What is wrong with a placement, one sentence each; nothing for a valid one.

    Replays the order on the nodes themselves and shares no code with lifetimes or placement: a value is alive from
    the first node that writes it until no node to come reads it, aliases followed.
    """
    if not is_order(graph, order):
        return ["the order does not run every node once after what it reads"]
    wrong = [f"{name} lies at {at}, off the alignment of {placement.align_bits}"
             for name, at in placement.offset_bits.items() if at % placement.align_bits or at < 0]  # fmt: skip
    read = {r for node in graph.nodes for r in node.reads}
    kept = _shown(graph, [*graph.outputs, *(n.name for n in graph.nodes if n.name not in read)])
    written: set[str] = set()
    for at, name in enumerate(order):
        node = graph[name]
        own = {node.storage} - {""}
        written |= own
        coming = [graph[n] for n in order[at + 1 :]]
        needed = written & (kept | _shown(graph, [r for n in coming for r in n.reads]) | {n.storage for n in coming})
        during = needed | own | _shown(graph, node.reads)
        if _lies_on_operand(graph, placement, node, needed):
            during -= _shown(graph, [node.in_place])
        wrong += _collisions(graph, placement, during, name)
    return wrong


def _lies_on_operand(graph: Graph, placement: Placement, node: Node, needed: set[str]) -> bool:
    """Whether a node lies on its in-place operand, which nothing needs any more."""
    operand = _shown(graph, [node.in_place]) if node.in_place else set()
    lies = {placement.offset_bits.get(b) for b in {*operand, node.storage}}
    return len(operand) == 1 and not operand & needed and len(lies) == 1


def _shown(graph: Graph, names: Iterable[str]) -> set[str]:
    """The buffers behind values, by walking up through aliases."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        node = graph[todo.pop()]
        todo += node.reads if node.alias else ()
        found |= {node.storage} - {""}
    return found


def _collisions(graph: Graph, placement: Placement, live: set[str], at: str) -> list[str]:
    sizes = {n.storage: n.size_bits for n in graph.nodes if n.storage}
    spans = sorted((placement.offset_bits[b], placement.offset_bits[b] + sizes[b], b) for b in live if sizes[b])
    clashes = [f"{a[2]} and {b[2]} overlap at {at}" for a, b in pairwise(spans) if b[0] < a[1]]
    high = [f"{b} ends beyond the arena" for _, end, b in spans if end > placement.arena_bits]
    return clashes + high
