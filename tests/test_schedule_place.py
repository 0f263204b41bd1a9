"""Offsets: nothing that lives at once overlaps, and the exact search equals a mixed-integer program."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from hwsim.errors import InputError
from hwsim.schedule import order as orders
from hwsim.schedule import place as places
from hwsim.schedule.graph import Graph, Node
from hwsim.schedule.place import Block, Placement, best_fit, blocks_of, greedy, overlaps, place
from tests.sample_schedule import darts_cell, random_graph

COUNT = 600 if os.environ.get("HWSIM_DEEP") else 60


ABOVE_THE_BOUND = (3599, 3989, 4936, 5087, 5318, 5399)
"""Seeds of blocks that no arena holds in what is live at once: proven by trying every stack alone."""


def milp_height(blocks: Sequence[Block], align: int) -> int:
    """The smallest arena by HiGHS: integer offsets in units of `align`, and of each meeting pair one lies below."""
    n = len(blocks)
    pairs = [(i, j) for i in range(n) for j in range(i) if blocks[i].meets(blocks[j])]
    units = [-(-b.size_bits // align) for b in blocks]
    big, columns = sum(units), n + len(pairs) + 1
    rows, low = [], []
    for k, (i, j) in enumerate(pairs):
        for a, b, sign in ((i, j, 1), (j, i, -1)):
            row = np.zeros(columns)
            row[b], row[a], row[n + k] = 1, -1, sign * big
            rows.append(row)
            low.append(units[a] - (0 if sign > 0 else big))
    for i, b in enumerate(blocks):
        row = np.zeros(columns)
        row[-1], row[i] = 1, -align
        rows.append(row)
        low.append(b.size_bits)
    cost = np.zeros(columns)
    cost[-1] = 1
    upper = np.concatenate([np.full(n, big), np.ones(len(pairs)), [align * big]])
    done = milp(cost, constraints=LinearConstraint(np.array(rows), np.array(low), np.inf),
                bounds=Bounds(np.zeros(columns), upper), integrality=np.ones(columns))  # fmt: skip
    assert done.status == 0, done.message
    return round(done.fun)


def test_exact_equals_a_mixed_integer_program() -> None:
    better = 0
    for seed in range(COUNT):
        graph, align = random_graph(seed, most=8), (1, 2, 4)[seed % 3]
        order = orders.random_order(graph, seed)
        exact = place(graph, order, "exact", align)
        if exact.blocks:
            assert exact.arena_bits == milp_height(exact.blocks, align), seed
        assert exact.proven
        better += exact.arena_bits < place(graph, order, "best-fit", align).arena_bits
    print(f"{COUNT} placements equal HiGHS; smaller than best-fit in {better}")
    assert better


def random_blocks(seed: int, align: int) -> list[Block]:
    """A few blocks of short lives, more than one of which is alive most of the time."""
    rng = random.Random(seed)
    count, steps = rng.randint(3, 8), rng.randint(3, 7)
    found = []
    for i in range(count):
        first = rng.randrange(steps)
        last = min(steps - 1, first + rng.randrange(3))
        found.append(Block((f"b{i}",), rng.randint(1, 3 * align), first, last))
    return found


def test_the_search_alone_finds_the_smallest_arena(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without good placements to start from and without the bound that ends it early."""

    def piled(blocks: Sequence[Block], align_bits: int) -> list[list[tuple[Block, int]]]:
        tops = accumulate((-(-b.size_bits // align_bits) * align_bits for b in blocks), initial=0)
        return [list(zip(blocks, tops, strict=False))]

    monkeypatch.setattr(places, "_quick", piled)
    tried = above = 0
    for seed in (*range(COUNT), *ABOVE_THE_BOUND):
        align = (1, 3, 4)[seed % 3]
        blocks = random_blocks(seed, align)
        search = places._Exact(blocks, align, 0, 10**6)
        search.run()
        assert search.height == milp_height(blocks, align), seed
        for i, (a, at) in enumerate(search.best):
            assert at % align == 0
            assert not any(a.meets(b) and at < other + b.size_bits and other < at + a.size_bits
                           for b, other in search.best[:i])  # fmt: skip
        tried += search.tried
        above += search.height > places.arena_bound_bits(blocks, align)
    print(f"{COUNT} arenas equal HiGHS, {tried} blocks put down; {above} above the bound")
    assert tried > 10 * COUNT and above >= len(ABOVE_THE_BOUND)


def test_many_blocks_are_no_deep_recursion() -> None:
    nodes = [Node("n0", (), 1000)]
    nodes += [Node(f"n{i}", (f"n{i - 1}",), 1000 + i * 37 % 501) for i in range(1, 600)]
    graph = Graph(nodes)
    found = place(graph, graph.names, "exact", limit=700)
    assert overlaps(graph, graph.names, found) == []
    assert not found.proven and found.tried == 700


def test_greedy_and_best_fit_by_hand() -> None:
    """Greedy takes the largest first, each in the lowest gap; best-fit as they come, each in the smallest gap."""
    lives = {"a": (4, 0, 1), "p": (3, 0, 5), "c": (2, 0, 1), "q": (1, 0, 5), "g": (2, 2, 5)}
    blocks = [Block((name,), *life) for name, life in lives.items()]
    for rule, g in ((greedy, 0), (best_fit, 7)):
        assert {b.buffers[0]: at for b, at in rule(blocks, 1)} == {"a": 0, "p": 4, "c": 7, "q": 9, "g": g}


def test_every_placement_is_valid_and_bounded() -> None:
    for seed in range(COUNT):
        graph, align = random_graph(seed), (1, 3, 8)[seed % 3]
        order = orders.random_order(graph, seed)
        arenas = {}
        for method in ("greedy", "best-fit", "exact"):
            found = place(graph, order, method, align)
            assert overlaps(graph, order, found) == []
            assert found.lower_bound_bits <= found.arena_bits
            arenas[method] = found.arena_bits
        assert arenas["exact"] <= min(arenas.values())


def test_the_checker_sees_every_fault() -> None:
    graph = Graph([Node("a", (), 8), Node("b", ("a",), 8), Node("c", ("a", "b"), 8)], ["c"])
    order = graph.names

    def at(**offsets: int) -> list[str]:
        return overlaps(graph, order, Placement("by hand", offsets, 24, 0, False, (), 8))

    assert at(a=0, b=8, c=16) == []
    assert at(a=0, b=0, c=16) == ["a and b overlap at b", "a and b overlap at c"]
    assert at(a=0, b=4, c=16)[0] == "b lies at 4, off the alignment of 8"
    assert at(a=0, b=8, c=24) == ["c ends beyond the arena at c"] or "c ends beyond the arena" in at(a=0, b=8, c=24)[0]
    assert overlaps(graph, ("b", "a", "c"), Placement("", {}, 0, 0, False, ()))


def test_moving_any_tensor_onto_another_that_lives_with_it_is_seen() -> None:
    moved = 0
    for seed in range(60):
        graph = random_graph(seed, plain=True)
        order = orders.kahn(graph)
        found = place(graph, order, "greedy", 1)
        for a in found.blocks:
            for b in found.blocks:
                if a != b and a.meets(b):
                    offsets = {**found.offset_bits, a.buffers[0]: found.offset_bits[b.buffers[0]]}
                    changed = Placement("", offsets, found.arena_bits + 8, 0, False, found.blocks, 1)
                    assert overlaps(graph, order, changed)
                    moved += 1
    print(f"{moved} moved tensors seen")
    assert moved > 500


def test_in_place_nodes_share_a_block() -> None:
    nodes = [Node("a", (), 4), Node("b", ("a",), 4, in_place="a"), Node("c", ("b",), 4, in_place="b")]
    graph = Graph(nodes, ["c"])
    assert blocks_of(graph, graph.names) == (Block(("a", "b", "c"), 4, 0, 2),)
    assert place(graph, graph.names, align_bits=1).arena_bits == 4


def test_alignment_costs_and_the_bound_knows() -> None:
    graph = Graph([Node("a", (), 3), Node("b", (), 3), Node("c", ("a", "b"), 1)], ["c"])
    found = place(graph, graph.names, "exact", 8)
    assert (found.arena_bits, found.lower_bound_bits, found.proven) == (17, 17, True)


def test_a_search_that_ends_early_says_so() -> None:
    graphs = (random_graph(s, most=30) for s in range(300))
    found = next(
        p for g in graphs for p in [place(g, orders.random_order(g, 0), "exact", 1, limit=1)] if p.tried
    )  # fmt: skip
    assert not found.proven


def test_the_darts_cell_fits_its_peak() -> None:
    graph = darts_cell("aliased")
    found = place(graph, orders.search(graph).order, "greedy", 1)
    assert (found.arena_bits, found.proven) == (6, True)


def test_no_alignment_below_a_bit() -> None:
    graph = darts_cell("aliased")
    with pytest.raises(InputError, match="at least one bit"):
        place(graph, graph.names, align_bits=0)
