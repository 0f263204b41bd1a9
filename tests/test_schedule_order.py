"""Orders: the reference cell to the unit, the search equal to trying every order, and what may not change it."""

from __future__ import annotations

import os
import random

import pytest

from hwsim.errors import InputError
from hwsim.schedule import order as orders
from hwsim.schedule.graph import Graph, Node, bits, is_order, live_steps, peak_bits
from tests.sample_schedule import all_orders, darts_cell, random_graph, slow_peak

DEEP = bool(os.environ.get("HWSIM_DEEP"))
COUNT = 2000 if DEEP else 250
MAP_BYTES = 48 * 28 * 28 * 4


# --- the reference cell -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("concat", "nodes", "peak", "kahn", "depth_first"),
    [("copied", 29, 8, 8, 8), ("aliased", 29, 6, 7, 6), ("raw", 31, 6, 9, 8)],
)
def test_the_darts_cell(concat: str, nodes: int, peak: int, kahn: int, depth_first: int) -> None:
    """Units of one 48 x 28 x 28 map; SERENITY publishes 903 KB for this cell."""
    graph = darts_cell(concat)
    found = orders.search(graph)
    assert len(graph) == nodes
    assert (found.peak_bits, found.proven) == (peak, True)
    assert peak_bits(graph, orders.kahn(graph)) == kahn
    assert peak_bits(graph, orders.depth_first(graph)) == depth_first
    if concat == "aliased":
        assert found.peak_bits * MAP_BYTES == 903_168


# --- accounting and plain orders --------------------------------------------------------------------------------


def test_every_order_is_accounted_as_defined() -> None:
    count = 0
    for seed in range(COUNT):
        graph = random_graph(seed)
        found = [orders.random_order(graph, s) for s in range(4)]
        for order in (*found, orders.kahn(graph), orders.depth_first(graph), orders.reverse_postorder(graph)):
            assert is_order(graph, order)
            assert peak_bits(graph, order) == slow_peak(graph, order), graph.name
            count += 1
    print(f"{count} orders accounted alike")


def test_what_is_live_after_each_step_depends_on_the_nodes_run_alone() -> None:
    for seed in range(100):
        graph = random_graph(seed)
        order, run = orders.random_order(graph, seed), 0
        for name, (_, after) in zip(order, live_steps(graph, order), strict=True):
            run |= 1 << graph.position[name]
            assert graph.frame.live_bits(run) == after


def test_an_order_that_breaks_a_dependency_is_refused() -> None:
    graph = Graph([Node("a", (), 1), Node("b", ("a",), 1)])
    with pytest.raises(InputError) as caught:
        peak_bits(graph, ["b", "a"])
    assert str(caught.value) == (
        "[schedule-order] graph: got ['b', 'a']; must name every node once, after all that it reads."
    )


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([Node("a"), Node("a")], "[schedule-graph] graph.a: got 'a'; every node needs a name of its own."),
        ([Node("a", ("b",))], "[schedule-graph] graph.a: got 'b'; a node may name only nodes that come before it."),
        ([Node("a", (), -1)], "[schedule-graph] graph.a: got -1; a size is at least 0, and 0 for an alias."),
        ([Node("a", (), 1, in_place="b")],
         "[schedule-graph] graph.a: got 'b'; in_place must be one of the node's reads."),
        ([Node("a", (), 1, buffer="x"), Node("b", (), 2, buffer="x")],
         "[schedule-graph] graph.b: got 2; writers of one buffer must agree on its size."),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_be(nodes: list[Node], text: str) -> None:
    with pytest.raises(InputError) as caught:
        Graph(nodes)
    assert str(caught.value) == text


# --- the search -------------------------------------------------------------------------------------------------


def test_the_search_equals_trying_every_order() -> None:
    for seed in range(COUNT):
        graph = random_graph(seed)
        best, found = orders.exhaustive(graph), orders.search(graph)
        assert (found.peak_bits, found.proven) == (best.peak_bits, True), graph.name
        assert peak_bits(graph, found.order) == slow_peak(graph, found.order) == found.peak_bits
        assert peak_bits(graph, best.order) == best.peak_bits
    print(f"{COUNT} graphs of up to 12 nodes: search equals exhaustive")


def test_trying_every_order_tries_every_order() -> None:
    count = 0
    for seed in range(120):
        graph = random_graph(seed, most=6)
        peaks = [slow_peak(graph, order) for order in all_orders(graph)]
        count += len(peaks)
        assert orders.exhaustive(graph).peak_bits == min(peaks)
        assert orders.static_bound_bits(graph) <= min(peaks)
    print(f"{count} orders listed without pruning")


def test_no_order_stays_below_what_one_node_needs() -> None:
    """Its operands and its output, whatever the order; and what is left in the end."""
    for seed in range(COUNT):
        graph = random_graph(seed, plain=True)
        size = {node.name: node.size_bits for node in graph.nodes}
        needs = [sum(size[read] for read in node.reads) + node.size_bits for node in graph.nodes]
        assert orders.static_bound_bits(graph) >= max(needs)


def test_neither_parts_nor_free_moves_nor_budgets_change_the_optimum() -> None:
    divided = 0
    for seed in range(COUNT):
        graph = random_graph(seed)
        frame = graph.frame
        whole = orders.Part(0, frame.all_run)
        plain = orders.walk(frame, whole, 0, free_moves=False)
        assert orders.walk(frame, whole, 0).peak_bits == plain.peak_bits
        assert orders.search(graph).peak_bits == orders.search(graph, divide=False).peak_bits == plain.peak_bits
        tight = orders.search(graph, state_limit=1)
        assert (tight.peak_bits, tight.proven) == (plain.peak_bits, True)
        assert orders.walk(frame, whole, 0, plain.peak_bits).peak_bits == plain.peak_bits
        assert orders.walk(frame, whole, 0, plain.peak_bits - 1).nodes is None
        divided += len(orders.parts_of(graph)) > 1
    print(f"{COUNT} graphs, {divided} of them divided")
    assert divided > COUNT // 4


def test_a_signature_is_a_set_of_nodes_closed_under_dependence() -> None:
    """Without free moves the walk holds one state per such set: counted here from the definition."""
    for seed in range(60):
        graph = random_graph(seed, most=10)
        frame = graph.frame
        closed = [s for s in range(frame.all_run + 1) if all(not frame.preds[i] & ~s for i in bits(s))]
        assert len({frame.ready(s) for s in closed}) == len(closed)
        found = orders.walk(frame, orders.Part(0, frame.all_run), 0, free_moves=False)
        assert found.states == len(closed)


def test_states_grow_with_the_width() -> None:
    counts = []
    for width in range(1, 6):
        chains = [Node(f"{c}.{i}", (f"{c}.{i - 1}",) if i else (), 1) for c in range(width) for i in range(3)]
        graph = Graph(chains)
        counts.append(orders.walk(graph.frame, orders.Part(0, graph.frame.all_run), 0, free_moves=False).states)
    assert counts == [4**width for width in range(1, 6)]


def test_cuts_are_the_nodes_every_order_passes_alone() -> None:
    nodes = [
        Node("a", (), 1),
        Node("b", ("a",), 2),
        Node("c", ("a",), 2),
        Node("d", ("b", "c"), 1),
        Node("e", ("d",), 1),
    ]
    graph = Graph(nodes)
    assert [graph.names[i] for i in orders.cuts(graph)] == ["a", "d", "e"]
    assert orders.search(graph).parts == (1, 2, 1, 1)


def wide(seed: int, width: int = 9, depth: int = 4) -> Graph:
    """Layers of nodes that read two or three of the layer before: many states, few cuts."""
    rng, nodes = random.Random(seed), [Node("in", (), 4)]
    before = ["in"]
    for d in range(depth):
        layer = [Node(f"{d}.{i}", tuple(rng.sample(before, min(len(before), 2 + i % 2))), rng.randint(1, 9))
                 for i in range(width)]  # fmt: skip
        nodes += layer
        before = [n.name for n in layer]
    return Graph([*nodes, Node("out", tuple(before), 3)], ["out"])


def test_an_answer_without_a_proof_says_so() -> None:
    graph = wide(1)
    sure = orders.search(graph)
    rough = orders.search(graph, state_limit=4, max_state_limit=16)
    assert sure.proven
    assert not rough.proven
    assert rough.lower_bound_bits <= sure.peak_bits <= rough.peak_bits
    assert is_order(graph, rough.order)
    plain = (orders.kahn, orders.depth_first, orders.reverse_postorder)
    assert rough.peak_bits < min(peak_bits(graph, order(graph)) for order in plain)
    assert rough == orders.search(graph, state_limit=4, max_state_limit=16)


def test_the_guard_of_time_says_that_it_ended_the_search() -> None:
    graph = wide(2)
    found = orders.search(graph, seconds=1e-9)
    assert found.timed_out and not found.proven
    assert found.lower_bound_bits <= orders.search(graph).peak_bits <= found.peak_bits


def test_trying_every_order_has_a_limit() -> None:
    with pytest.raises(InputError, match="at most 16 nodes"):
        orders.exhaustive(wide(0))
