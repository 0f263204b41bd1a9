"""Rewriting: the same numbers come out, to the bit for integers, and the lowest peak never rises."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from hwsim.schedule import order as orders
from hwsim.schedule.graph import Graph, Node, peak_bits
from hwsim.schedule.rewrite import rewrite

COUNT = 150
SIDE, KERNEL, AREA = 5, 3, 25
BITS = 32


def size(channels: int) -> int:
    return channels * AREA * BITS


def random_network(seed: int, copied: bool | None = None) -> Graph:
    """Convolutions, sums and concats at random; some concats copy, some have readers that cannot be rewritten."""
    rng = random.Random(seed)
    nodes = [Node("in", (), size(2), "input", channels=2)]
    for i in range(rng.randint(4, 11)):
        values = nodes[-6:]
        a = rng.choice(values)
        kind = rng.choice(["conv2d", "depthwise", "concat", "concat", "add", "relu"])
        if kind == "concat" and len(values) > 1:
            parts = rng.sample(values, min(len(values), rng.randint(2, 3)))
            alias = rng.random() < 0.5 if copied is None else not copied
            channels = sum(p.channels for p in parts)
            nodes.append(Node(f"n{i}", tuple(p.name for p in parts), 0 if alias else size(channels), "concat", alias,
                              channels=channels))  # fmt: skip
            a, kind = nodes[-1], rng.choice(["conv2d", "depthwise"])
        twin = next((v for v in values if v.name != a.name and v.channels == a.channels), a)
        channels = rng.randint(1, 4) if kind == "conv2d" else a.channels
        reads = (a.name, twin.name) if kind == "add" else (a.name,)
        in_place = a.name if kind in ("add", "relu") and rng.random() < 0.5 else ""
        nodes.append(Node(f"m{i}", reads, size(channels), kind if kind != "concat" else "relu", in_place=in_place,
                          channels=channels))  # fmt: skip
    return Graph(nodes, [nodes[-1].name], f"network-{seed}")


def convolved(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Zero-padded 3x3 convolution of (channels, side, side) by (out, in, 3, 3), one tap at a time."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    taps = [(i, j) for i in range(KERNEL) for j in range(KERNEL)]
    return sum(np.einsum("oc,cyx->oyx", weight[:, :, i, j], padded[:, i : i + SIDE, j : j + SIDE]) for i, j in taps)


def filtered(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The same, each channel by its own (channels, 3, 3)."""
    return np.concatenate([convolved(x[c : c + 1], weight[c : c + 1, None]) for c in range(len(x))])


class Machine:
    """Runs a graph in an order, on storage: what a node writes over is gone."""

    def __init__(self, graph: Graph, given: Graph, weights: dict[str, np.ndarray]) -> None:
        self.graph, self.given, self.weights = graph, given, weights
        self.store: dict[str, np.ndarray] = {}

    def value(self, name: str) -> np.ndarray:
        node = self.graph[name]
        if not node.alias:
            return self.store[node.storage]
        if all(self.graph[r].buffer for r in node.reads):
            return self.value(node.reads[0])
        return np.concatenate([self.value(r) for r in node.reads])

    def run(self, order: tuple[str, ...], x: np.ndarray) -> dict[str, np.ndarray]:
        for name in order:
            node = self.graph[name]
            if not node.alias:
                self.write(node, x)
        return {name: self.value(name) for name in self.graph.outputs}

    def write(self, node: Node, x: np.ndarray) -> None:
        if node.op == "input":
            self.store[node.storage] = x
            return
        operands = [self.value(r) for r in node.reads]
        whole = self.weights.get(node.source or node.name)
        low, high = node.part or (0, None)
        if node.op == "conv2d":
            term = convolved(operands[0], whole[:, low:high])
            before = self.store.get(node.storage) if node.buffer else None
            self.store[node.storage] = term if before is None else before + term
        elif node.op == "depthwise":
            term = filtered(operands[0], whole[low:high])
            if node.buffer:
                full = self.store.setdefault(node.storage, np.zeros((len(whole), SIDE, SIDE), x.dtype))
                full[low:high] = term
            else:
                self.store[node.storage] = term
        elif node.op == "concat":
            self.store[node.storage] = np.concatenate(operands)
        else:
            self.store[node.storage] = np.maximum(operands[0], 0) if node.op == "relu" else operands[0] + operands[-1]


def weights_of(graph: Graph, rng: np.random.Generator, kind: str) -> dict[str, np.ndarray]:
    shapes = {n.name: (n.channels, graph[n.reads[0]].channels, 3, 3) if n.op == "conv2d" else (n.channels, 3, 3)
              for n in graph.nodes if n.op in ("conv2d", "depthwise")}  # fmt: skip
    draw = {"int": lambda s: rng.integers(-8, 8, s), "float": rng.standard_normal}[kind]
    return {name: draw(shape) for name, shape in shapes.items()}


def test_the_same_numbers_come_out() -> None:
    changed = 0
    for seed in range(COUNT):
        graph, rng = random_network(seed), np.random.default_rng(seed)
        other = rewrite(graph)
        for kind in ("int", "float"):
            weights = weights_of(graph, rng, kind)
            x = rng.integers(-8, 8, (2, SIDE, SIDE)) if kind == "int" else rng.standard_normal((2, SIDE, SIDE))
            wanted = Machine(graph, graph, weights).run(graph.names, x)
            for order in (other.names, orders.search(other).order, orders.random_order(other, seed)):
                found = Machine(other, graph, weights).run(order, x)
                for name, value in wanted.items():
                    if kind == "int":
                        assert np.array_equal(found[name], value), (seed, name)
                    else:
                        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-9 * np.abs(value).max())
        changed += len(other) != len(graph)
    print(f"{COUNT} networks equal, {changed} of them rewritten")
    assert changed > COUNT // 3


def test_the_lowest_peak_never_rises() -> None:
    lower = 0
    for seed in range(2 * COUNT):
        graph = random_network(seed)
        before, after = orders.search(graph), orders.search(rewrite(graph))
        assert before.proven and after.proven
        assert after.peak_bits <= before.peak_bits, seed
        lower += after.peak_bits < before.peak_bits
    print(f"{2 * COUNT} networks, {lower} with a lower peak")
    assert lower > 10


def four_parts(op: str, alias: bool = True, element_bits: int = 32) -> Graph:
    """Four maps made one by one from one, joined, and read by one convolution."""
    parts = [Node(f"x{i}", ("in",), size(4), "conv2d", channels=4) for i in range(4)]
    whole = size(16)
    joined = Node("cat", tuple(p.name for p in parts), 0 if alias else whole, "concat", alias, channels=16)
    out = Node("y", ("cat",), whole if op == "depthwise" else size(4), op, channels=16 if op == "depthwise" else 4,
               element_bits=element_bits)  # fmt: skip
    return Graph([Node("in", (), size(1), "input", channels=1), *parts, joined, out], ["y"])


@pytest.mark.parametrize("alias", [True, False])
def test_by_input_channel(alias: bool) -> None:
    """From the four parts and the output to one part and the output, beside the input."""
    graph = four_parts("conv2d", alias)
    assert orders.search(graph).peak_bits == (size(20) if alias else size(32))
    assert orders.search(rewrite(graph)).peak_bits == size(1) + size(4) + size(4)


def test_by_kernel() -> None:
    """From parts and outputs together to all outputs and what makes the last of them."""
    graph = four_parts("depthwise")
    assert orders.search(graph).peak_bits == size(32)
    assert orders.search(rewrite(graph)).peak_bits == size(16) + size(4)


def test_a_narrow_output_is_no_accumulator() -> None:
    assert rewrite(four_parts("conv2d", element_bits=8)).names == four_parts("conv2d").names
    assert len(rewrite(four_parts("depthwise", element_bits=8))) > len(four_parts("depthwise"))


def test_a_copy_with_another_reader_stays() -> None:
    graph = four_parts("conv2d", alias=False)
    other = Graph([*graph.nodes, Node("z", ("cat",), size(16), "relu")], ["y", "z"])
    assert rewrite(other).names == other.names
    kept = Graph(graph.nodes, ["y", "cat"])
    assert rewrite(kept).names == kept.names


def test_the_machine_sees_a_wrong_rewriting() -> None:
    graph, rng = four_parts("conv2d"), np.random.default_rng(0)
    weights, x = weights_of(graph, rng, "int"), rng.integers(-8, 8, (1, SIDE, SIDE))
    good = rewrite(graph)
    wrong = Graph([replace(n, part=(0, 4)) if n.part else n for n in good.nodes], good.outputs)
    runs = [Machine(g, graph, weights).run(g.names, x)["y"] for g in (graph, good, wrong)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert peak_bits(wrong, wrong.names) == peak_bits(good, good.names)
