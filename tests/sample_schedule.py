"""Graphs for the tests of ordering and placement: the reference cell by hand, random DAGs, and slow twins."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from hwsim.schedule.graph import Graph, Node

UNIT = 1


def darts_cell(concat: str) -> Graph:
    """The DARTS-V2 normal cell in units of one map: concat "copied", "aliased", or "raw" (aliased, raw inputs)."""
    nodes: list[Node] = []

    def add(name: str, *reads: str, size: int = UNIT, alias: bool = False) -> str:
        nodes.append(Node(name, reads, size, alias=alias))
        return name

    def chain(name: str, read: str, length: int) -> str:
        for k in range(length):
            read = add(f"{name}.{k}", read)
        return read

    if concat == "raw":
        raw = [add("raw0", size=4), add("raw1", size=4)]
        s0, s1 = add("s0", raw[0]), add("s1", raw[1])
    else:
        s0, s1 = add("s0"), add("s1")
    n2 = add("n2", chain("a", s0, 4), chain("b", s1, 4))
    n3 = add("n3", chain("c", s0, 4), chain("d", s1, 4))
    n4 = add("n4", chain("e", s1, 4), s0)
    n5 = add("n5", s0, chain("f", n2, 2))
    add("cat", n2, n3, n4, n5, size=4 if concat == "copied" else 0, alias=concat != "copied")
    return Graph(nodes, ["cat"], f"darts-{concat}")


def random_graph(seed: int, most: int = 12, plain: bool = False) -> Graph:
    """A DAG of up to `most` nodes of random sizes; unless `plain`, with aliases, in-place nodes and shared buffers."""
    rng = random.Random(seed)
    count, density = rng.randint(1, most), rng.choice([0.15, 0.25, 0.4, 0.6])
    nodes: list[Node] = []
    for i in range(count):
        reads = tuple(f"n{j}" for j in range(i) if rng.random() < density)
        alias = not plain and bool(reads) and rng.random() < 0.15
        in_place = rng.choice(reads) if not plain and not alias and reads and rng.random() < 0.4 else ""
        shared = not plain and not alias and rng.random() < 0.15
        size = 0 if alias else 3 if shared else rng.choice([1, 1, 2, 3, 5, 8])
        nodes.append(Node(f"n{i}", reads, size, alias=alias, in_place=in_place, buffer="shared" if shared else ""))
    return Graph(nodes, [f"n{count - 1}", f"n{rng.randrange(count)}"], f"random-{seed}")


def slow_peak(graph: Graph, order: Sequence[str]) -> int:
    """The transition of SERENITY, section 2.1, on names and sets: allocate, take the peak, free."""
    by_name = {n.name: n for n in graph.nodes}

    def shown(name: str) -> set[str]:
        node = by_name[name]
        return set().union(*(shown(r) for r in node.reads)) if node.alias else {node.buffer or name}

    size = {n.buffer or n.name: n.size_bits for n in graph.nodes if not n.alias}
    users: dict[str, set[str]] = {b: set() for b in size}
    for n in graph.nodes:
        for b in {b for r in n.reads for b in shown(r)} | (set() if n.alias else {n.buffer or n.name}):
            users[b].add(n.name)
    read = {r for n in graph.nodes for r in n.reads}
    kept = {b for n in graph.nodes if n.name in graph.outputs or n.name not in read for b in shown(n.name)}
    live: set[str] = set()
    done: set[str] = set()
    peak = 0
    for name in order:
        node = by_name[name]
        over = 0
        if node.in_place and not node.alias:
            operand = shown(node.in_place)
            own = node.buffer or name
            alone = sum((n.buffer or n.name) == own and not n.alias for n in graph.nodes) == 1
            if len(operand) == 1 and alone:
                (b,) = operand
                if b not in kept and users[b] - done == {name} and size[b] == size[own]:
                    over = size[b]
        live |= set() if node.alias else {node.buffer or name}
        peak = max(peak, sum(size[b] for b in live) - over)
        done.add(name)
        live -= {b for b in live if b not in kept and users[b] <= done}
    return peak


def all_orders(graph: Graph) -> Iterator[list[str]]:
    """Every order of the graph, one by one."""

    def extend(done: list[str]) -> Iterator[list[str]]:
        if len(done) == len(graph):
            yield done
        for n in graph.nodes:
            if n.name not in done and {*n.reads, *n.after} <= set(done):
                yield from extend([*done, n.name])

    return extend([])
