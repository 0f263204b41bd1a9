"""Orders of a graph: breadth first, depth first, at random, all of them, and the one with the lowest peak.

The search is SERENITY's dynamic programming (arXiv 2003.02369): partial schedules with the same set of ready nodes have
run the same nodes and hold the same memory, so of each set only the one with the lowest peak is kept. Three things make
it fast, and none of them changes the optimum:

- *Divide and conquer.* A node that is ordered against every other node cuts the graph: what runs before it and after it
  is known, so the parts are ordered one by one.
- *Adaptive soft budgets.* States above a budget are dropped. A budget without a schedule is a lower bound; a budget
  under which a layer outgrows the limit of states is too generous, and a lower one is tried. The limit counts states
  and not seconds, so that the same graph gives the same answer on every machine.
- *Free moves.* A ready node that needs no more than the peak so far and leaves no more memory than it found can run at
  once: moved to the front of any schedule that runs it later, it lowers what is live at every step in between, because
  what it frees now it would free then as well.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd
from typing import NamedTuple

from hwsim.errors import bad_input
from hwsim.schedule.graph import Frame, Graph, bits, peak_bits

STATE_LIMIT = 50_000
"""States a layer may hold before a lower budget is tried: a second or two of search a layer."""
MAX_STATE_LIMIT = 400_000
"""States a layer may hold when every budget is too generous for STATE_LIMIT: some hundred MiB."""
EXHAUSTIVE_NODES = 16


@dataclass(frozen=True, slots=True)
class Schedule:
    """An order and what is known of it.

    `lower_bound_bits` is proven: no order of the graph stays below it. `states` counts the signatures that were held,
    `parts` the nodes of each part that was ordered by itself.
    """

    method: str
    order: tuple[str, ...]
    peak_bits: int
    lower_bound_bits: int
    states: int = 0
    parts: tuple[int, ...] = ()
    timed_out: bool = False

    @property
    def proven(self) -> bool:
        """Whether the order is proven to have the lowest peak of all."""
        return self.peak_bits == self.lower_bound_bits


# --- plain orders -----------------------------------------------------------------------------------------------


def kahn(graph: Graph) -> tuple[str, ...]:
    """Breadth first: of the ready nodes the one that became ready first."""
    return _topological(graph, last=False)


def depth_first(graph: Graph) -> tuple[str, ...]:
    """Depth first: of the ready nodes the one that became ready last (a stack)."""
    return _topological(graph, last=True)


def _topological(graph: Graph, last: bool) -> tuple[str, ...]:
    frame = graph.frame
    waiting = [before.bit_count() for before in frame.preds]
    ready = deque(i for i, n in enumerate(waiting) if not n)
    order = []
    while ready:
        node = ready.pop() if last else ready.popleft()
        order.append(frame.names[node])
        for follower in bits(frame.succs[node]):
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    return tuple(order)


def reverse_postorder(graph: Graph) -> tuple[str, ...]:
    """The reverse of the order in which a depth-first walk from the sources leaves the nodes."""
    frame, seen, left = graph.frame, 0, []
    for source in (i for i, before in enumerate(frame.preds) if not before):
        stack = [(source, iter(bits(frame.succs[source])))]
        seen |= 1 << source
        while stack:
            node, followers = stack[-1]
            follower = next((f for f in followers if not seen >> f & 1), None)
            if follower is None:
                left.append(frame.names[node])
                stack.pop()
            else:
                seen |= 1 << follower
                stack.append((follower, iter(bits(frame.succs[follower]))))
    return tuple(reversed(left))


def random_order(graph: Graph, seed: int) -> tuple[str, ...]:
    """Of the ready nodes any one, by `seed`. Not every order is equally likely."""
    rng, frame, run, order = random.Random(seed), graph.frame, 0, []
    while ready := bits(frame.ready(run)):
        node = rng.choice(ready)
        order.append(frame.names[node])
        run |= 1 << node
    return tuple(order)


def exhaustive(graph: Graph) -> Schedule:
    """The best of all orders, one after the other: the oracle of the search.

    An order is left as soon as it reaches the best peak so far, and all are once the best is what lives in the end,
    which no order avoids. Raises InputError above EXHAUSTIVE_NODES nodes.
    """
    if len(graph) > EXHAUSTIVE_NODES:
        raise bad_input("schedule-size", len(graph), f"trying every order takes at most {EXHAUSTIVE_NODES} nodes",
                        "Use the search.", key=graph.name)  # fmt: skip
    frame = graph.frame
    best = list(kahn(graph))
    lowest, path = peak_bits(graph, best), list[int]()
    unavoidable = frame.live_bits(frame.all_run)

    def extend(run: int, live: int, peak: int) -> None:
        nonlocal best, lowest
        if run == frame.all_run:
            best, lowest = [frame.names[i] for i in path], peak
        for node in bits(frame.ready(run)):
            during, after = frame.step(run, live, node)
            if max(peak, during) < lowest and lowest > unavoidable:
                path.append(node)
                extend(run | 1 << node, after, max(peak, during))
                path.pop()

    extend(0, 0, 0)
    return Schedule("exhaustive", tuple(best), lowest, lowest)


# --- the search -------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    """A stretch between two states that every order passes through."""

    start: int
    end: int


class Walk(NamedTuple):
    """What one run through the layers of a part came to. `nodes` is None where no schedule keeps the budget, or where
    a layer outgrew the limit (`overflowed`)."""

    nodes: tuple[int, ...] | None
    peak_bits: int
    states: int
    overflowed: bool


def cuts(graph: Graph) -> list[int]:
    """The nodes that are ordered against every other node, first to last."""
    before, after = _closure(graph.frame)
    n = len(graph)
    found = [i for i in range(n) if before[i].bit_count() + after[i].bit_count() == n - 1]
    return sorted(found, key=lambda i: before[i].bit_count())


def _closure(frame: Frame) -> tuple[list[int], list[int]]:
    """Masks of all that each node depends on, and of all that depends on it."""
    n = len(frame.names)
    before, after = [0] * n, [0] * n
    for i in range(n):
        for p in bits(frame.preds[i]):
            before[i] |= before[p] | 1 << p
    for i in reversed(range(n)):
        for s in bits(frame.succs[i]):
            after[i] |= after[s] | 1 << s
    return before, after


def parts_of(graph: Graph, divide: bool = True) -> list[Part]:
    """The parts that can be ordered one by one; the whole as one part without `divide`."""
    frame = graph.frame
    before, _ = _closure(frame)
    through = cuts(graph) if divide else []
    passed = {state for i in through for state in (before[i], before[i] | 1 << i)}
    states = sorted({0, frame.all_run} | passed, key=int.bit_count)
    return [Part(a, b) for a, b in pairwise(states)]


def static_bound_bits(graph: Graph) -> int:
    """No order stays below this: while a node runs, what was made before it and is needed by it or later lives."""
    frame, (before, after) = graph.frame, _closure(graph.frame)
    bound = frame.live_bits(frame.all_run)
    for node in range(len(graph)):
        made, wanted = before[node] | 1 << node, after[node] | 1 << node
        alive = sum(
            size
            for size, writers, users, held in zip(frame.size_bits, frame.writers, frame.users, frame.held, strict=True)
            if writers & made and (held or users & wanted)
        )
        over = frame.over[node]
        bound = max(bound, alive - (frame.size_bits[over] if over >= 0 and not frame.held[over] else 0))
    return bound


def walk(
    frame: Frame, part: Part, floor_bits: int, budget_bits: int | None = None, limit: int | None = None,
    free_moves: bool = True, beam: bool = False, deadline: float | None = None,
) -> Walk:  # fmt: skip
    """The schedule of `part` with the lowest peak, no lower than `floor_bits`: one layer a node, one state a signature.

    States above `budget_bits` are dropped. A layer of more than `limit` states ends the walk, or, as a `beam`, goes on
    with the best of them.
    """
    layer = {part.start: (floor_bits, frame.live_bits(part.start), frame.ready(part.start))}
    cameby: dict[int, int] = {}
    states = 1
    for _ in range((part.end & ~part.start).bit_count()):
        layer = _next_layer(frame, part, layer, cameby, budget_bits, free_moves)
        states += len(layer)
        if deadline is not None and time.monotonic() > deadline:
            return Walk(None, 0, states, True)
        if limit is not None and len(layer) > limit:
            if not beam:
                return Walk(None, 0, states, True)
            layer = dict(sorted(layer.items(), key=lambda kv: (kv[1][0], kv[1][1], kv[0]))[:limit])
        if not layer:
            return Walk(None, 0, states, False)
    return Walk(_path(part, cameby), layer[part.end][0], states, False)


def _path(part: Part, cameby: dict[int, int]) -> tuple[int, ...]:
    run, nodes = part.end, list[int]()
    while run != part.start:
        nodes.append(cameby[run])
        run ^= 1 << nodes[-1]
    return tuple(reversed(nodes))


State = tuple[int, int, int]
"""Peak so far, bits live, ready nodes."""


def _next_layer(
    frame: Frame, part: Part, layer: dict[int, State], cameby: dict[int, int], budget_bits: int | None, free_moves: bool
) -> dict[int, State]:
    """Every state one node further on, each with its lowest peak; `cameby` learns the node that led there."""
    following: dict[int, State] = {}
    succs, preds = frame.succs, frame.preds
    for run, (peak, live, ready) in layer.items():
        moves = _moves(frame, run, peak, live, ready & part.end, free_moves)
        for node, during, after in moves:
            reached = during if during > peak else peak
            if budget_bits is not None and reached > budget_bits:
                continue
            state = run | 1 << node
            known = following.get(state)
            if known is None:
                opened = ready ^ 1 << node
                for follower in bits(succs[node]):
                    if not preds[follower] & ~state:
                        opened |= 1 << follower
                following[state] = (reached, after, opened)
                cameby[state] = node
            elif reached < known[0]:
                following[state] = (reached, after, known[2])
                cameby[state] = node
    return following


def _moves(frame: Frame, run: int, peak: int, live: int, ready: int, free_moves: bool) -> list[tuple[int, int, int]]:
    """The ready nodes with the bits live during and after each; one alone where that one is free."""
    moves = []
    for node in bits(ready):
        during, after = frame.step(run, live, node)
        if free_moves and after <= live and during <= peak:
            return [(node, during, after)]
        moves.append((node, during, after))
    return moves


@dataclass(slots=True)
class _Search:
    """The soft budgets of one part: what is proven, what is found, and how much it took."""

    frame: Frame
    part: Part
    quantum_bits: int
    lower_bits: int
    nodes: tuple[int, ...]
    peak_bits: int
    deadline: float | None
    states: int = 0

    def run(self, limit: int, most: int) -> None:
        """Lower the peak and raise the bound until they meet, or until layers of `most` states are too small."""
        while self.lower_bits < self.peak_bits and limit <= most and not self.late:
            self._under(limit)
            limit *= 4
        if self.lower_bits < self.peak_bits:
            self._keep(self._walk(self.peak_bits - self.quantum_bits, most // 8, beam=True))

    @property
    def late(self) -> bool:
        """Whether the guard of time has ended the search."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def _under(self, limit: int) -> None:
        """Budgets between the bound and the peak until the two meet or no budget is left that `limit` allows."""
        ceiling, budget = self.peak_bits, self.peak_bits - self.quantum_bits
        while self.lower_bits <= budget < ceiling and not self.late:
            found = self._walk(budget, limit)
            if found.nodes is not None:
                self._keep(found)
                self.lower_bits = found.peak_bits
                return
            if found.overflowed:
                ceiling = budget
            else:
                self.lower_bits = budget + self.quantum_bits
            budget = self._middle(ceiling)

    def _middle(self, ceiling: int) -> int:
        """A budget halfway between the bound and below `ceiling`."""
        steps = (ceiling - self.quantum_bits - self.lower_bits) // self.quantum_bits
        return self.lower_bits + steps // 2 * self.quantum_bits

    def _walk(self, budget_bits: int, limit: int, beam: bool = False) -> Walk:
        found = walk(self.frame, self.part, self.lower_bits, budget_bits, limit, beam=beam, deadline=self.deadline)
        self.states += found.states
        return found

    def _keep(self, found: Walk) -> None:
        if found.nodes is not None and found.peak_bits < self.peak_bits:
            self.nodes, self.peak_bits = found.nodes, found.peak_bits


def search(
    graph: Graph, *, divide: bool = True, state_limit: int = STATE_LIMIT, max_state_limit: int = MAX_STATE_LIMIT,
    seconds: float | None = None,
) -> Schedule:  # fmt: skip
    """The order with the lowest peak, and the proof of it: peak and lower bound are equal.

    Where a layer of more than `max_state_limit` states would be needed, the best order found and the best bound proven
    are given instead. `seconds` is a guard: when it ends the search, the answer says so and depends on the machine.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    frame = graph.frame
    plain = [[graph.position[n] for n in f(graph)] for f in (kahn, depth_first, reverse_postorder)]
    quantum = gcd(*frame.size_bits) or 1
    lower, peak, nodes, states = static_bound_bits(graph), 0, list[int](), 0
    parts = parts_of(graph, divide)
    for part in parts:
        start, start_peak = min(((o, _peak_of(frame, part, o)) for o in (_within(part, o) for o in plain)),
                                key=lambda pair: pair[1])  # fmt: skip
        hunt = _Search(frame, part, quantum, lower, start, max(start_peak, lower), deadline)
        hunt.run(state_limit, max_state_limit)
        lower, peak, states = hunt.lower_bits, max(peak, hunt.peak_bits), states + hunt.states
        nodes += hunt.nodes
    order = tuple(frame.names[i] for i in nodes)
    sizes = tuple((p.end & ~p.start).bit_count() for p in parts)
    late = deadline is not None and time.monotonic() > deadline
    return Schedule("dp", order, peak_bits(graph, order), lower, states, sizes, late and lower < peak)


def _within(part: Part, order: Sequence[int]) -> tuple[int, ...]:
    return tuple(i for i in order if part.end & ~part.start & 1 << i)


def _peak_of(frame: Frame, part: Part, order: Sequence[int]) -> int:
    run, live, peak = part.start, frame.live_bits(part.start), 0
    for node in order:
        during, live = frame.step(run, live, node)
        peak = max(peak, during)
        run |= 1 << node
    return peak


def plain_schedule(graph: Graph, method: str) -> Schedule:
    """One of the orders that look at no sizes ("kahn", "dfs" or "rpo"), beside the static lower bound."""
    order = {"kahn": kahn, "dfs": depth_first, "rpo": reverse_postorder}[method](graph)
    return Schedule(method, order, peak_bits(graph, order), static_bound_bits(graph))
