"""How long ordering takes and how much memory it saves, on the shipped irregular networks and on random small worlds.

    python benchmarks/schedule.py [--seeds 10]

A row: nodes, then the peak of live tensors breadth first, depth first, by the search, and by the search after
rewriting, the arena that holds the last (kB of 1000 bytes, fp32), and the processor seconds of both searches. "proven"
says that no order stays below. The ablation takes away divide and conquer, the soft budgets, and the free moves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from hwsim.schedule.extract import Rules, from_workload
from hwsim.schedule.graph import Graph, Node, peak_bits
from hwsim.schedule.order import Part, depth_first, kahn, parts_of, search, walk
from hwsim.schedule.place import place
from hwsim.schedule.rewrite import rewrite
from hwsim.workload.store import load_workload
from workloads import randwire

NETWORKS = ("darts-v2-cell", "darts-v2-stack", "nasnet-a-stack", "randwire-ws32")
KB_BITS = 8000
MAP_BITS = 78 * 28 * 28 * 32
STATE_LIMIT = 400_000


def small_worlds(seed: int, stages: int = 2) -> Graph:
    """RandWire stages in a row, one node of the graph a node of the network, each stage at half the size."""
    nodes, before, size = [Node("in", (), 4 * MAP_BITS, "input")], "in", MAP_BITS
    for stage in range(stages):
        reads = randwire.operands(randwire.watts_strogatz(32, 4, 0.75, 100 * seed + stage))
        names = [f"{stage}.{i}" for i in range(32)]
        nodes += [Node(names[i], tuple(names[r] for r in read) or (before,), size) for i, read in enumerate(reads)]
        last = tuple(names[i] for i in range(32) if not any(i in r for r in reads))
        before = f"{stage}.out"
        nodes.append(Node(before, last, size))
        size //= 2
    return Graph(nodes, [before], f"WS(32, 4, 0.75) x {stages}, seed {seed}")


def graphs(seeds: int) -> Iterator[tuple[str, Graph]]:
    """Every graph of the table."""
    for name in NETWORKS:
        traced = next(iter(load_workload(name).graphs.values()))
        yield name, from_workload(traced, {})
        if name != "randwire-ws32":
            yield f"{name}, concat copied", from_workload(traced, {}, Rules(copy_concat=True))
    for seed in range(seeds):
        graph = small_worlds(seed)
        yield graph.name, graph


def row(name: str, graph: Graph) -> str:
    """One line of the table."""
    started = time.process_time()
    found = search(graph)
    middle = time.process_time()
    other = rewrite(graph)
    after = search(other)
    ended = time.process_time()
    plain = [peak_bits(graph, order(graph)) / KB_BITS for order in (kahn, depth_first)]
    arena = place(other, after.order, "exact").arena_bits / KB_BITS
    peaks = [*plain, found.peak_bits / KB_BITS, after.peak_bits / KB_BITS, arena]
    proven = "proven" if found.proven and after.proven else "not proven"
    return (f"{name:34} {len(graph):4} " + " ".join(f"{p:8.1f}" for p in peaks)
            + f" {middle - started:7.2f} {ended - middle:7.2f} {found.states:9,} {proven}")  # fmt: skip


def ablation(graph: Graph) -> Iterator[str]:
    """States and seconds of one graph without each of the three aids; "-" where a layer outgrows the limit."""
    whole, frame = Part(0, graph.frame.all_run), graph.frame
    cases = {
        "parts, budgets, free moves": lambda: search(graph).states,
        "no parts": lambda: search(graph, divide=False).states,
        "parts and free moves, no budgets": lambda: _walked(graph, free_moves=True),
        "parts alone": lambda: _walked(graph, free_moves=False),
        "free moves alone": lambda: _states(walk(frame, whole, 0, limit=STATE_LIMIT)),
    }
    for name, run in cases.items():
        started = time.process_time()
        states = run()
        shown = f"{states:,}" if states else f"- (a layer of over {STATE_LIMIT:,})"
        yield f"  {name:34} {shown:>12} states {time.process_time() - started:7.2f} s"


def _walked(graph: Graph, free_moves: bool) -> int | None:
    total = 0
    for part in parts_of(graph):
        states = _states(walk(graph.frame, part, 0, limit=STATE_LIMIT, free_moves=free_moves))
        if states is None:
            return None
        total += states
    return total


def _states(found: object) -> int | None:
    return None if found.nodes is None else found.states  # type: ignore[attr-defined]


def main() -> None:
    """Print the table and the ablation."""
    parser = argparse.ArgumentParser(description="ordering and placement of irregular networks")
    parser.add_argument("--seeds", type=int, default=10)
    seeds = parser.parse_args().seeds
    print(f"{'':34} {'n':>4} {'Kahn':>8} {'DFS':>8} {'DP':>8} {'DP+rw':>8} {'arena':>8} {'s':>7} {'s rw':>7} states")
    for name, graph in graphs(seeds):
        print(row(name, graph), flush=True)
    for name in ("darts-v2-stack", "randwire-ws32"):
        graph = from_workload(next(iter(load_workload(name).graphs.values())), {})
        print(f"{name}, {len(graph)} nodes:")
        for line in ablation(graph):
            print(line, flush=True)


if __name__ == "__main__":
    main()
