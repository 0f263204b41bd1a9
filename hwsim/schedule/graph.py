"""What ordering and placement see of a network: nodes, the storage they write, and who needs it how long.

The accounting is that of SERENITY (arXiv 2003.02369): a node's output is allocated as it runs, the peak is taken, and
what no later node needs is freed. Weights are not counted: they lie in flash or DRAM.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from hwsim.errors import bad_input


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a schedule and the value it leaves behind.

    `reads` names the nodes whose values it reads; `after` nodes that only have to run earlier. An `alias` owns no
    storage: its value is what it reads, where that lies (a view, a concat without copy). A node may be written over
    `in_place`, one of its `reads`, where that has its size and nothing else needs it any more. Nodes that name the same
    `buffer` write parts of one storage or add to it; without a name the storage is the node's own.

    `op`, `channels` (of the value), `element_bits`, `part` (the channels of its input that it covers) and `source`
    (the node of the graph as given) are what rewriting needs to know.
    """

    name: str
    reads: tuple[str, ...] = ()
    size_bits: int = 0
    op: str = ""
    alias: bool = False
    in_place: str = ""
    buffer: str = ""
    after: tuple[str, ...] = ()
    channels: int = 0
    element_bits: int = 32
    part: tuple[int, int] | None = None
    source: str = ""

    @property
    def storage(self) -> str:
        """Name of the buffer it writes; "" for an alias."""
        return "" if self.alias else self.buffer or self.name


class Graph:
    """Nodes in an order they can run in. `outputs` are kept to the end, and so is what nobody reads.

    Immutable. Raises InputError for a name that is used twice, a node that reads one that does not come before it, a
    negative size, storage whose writers differ in size, and an `in_place` that is none of the reads.
    """

    def __init__(self, nodes: Iterable[Node], outputs: Iterable[str] = (), name: str = "graph") -> None:
        self.nodes: tuple[Node, ...] = tuple(nodes)
        self.outputs = frozenset(outputs)
        self.name = name
        self._check()

    def _check(self) -> None:
        known: dict[str, Node] = {}
        sizes: dict[str, int] = {}
        for node in self.nodes:
            self._check_node(node, known, sizes)
            known[node.name] = node
        for output in sorted(self.outputs - known.keys()):
            raise bad_input("schedule-graph", output, "an output must be a node of the graph", key=self.name)

    def _check_node(self, node: Node, known: dict[str, Node], sizes: dict[str, int]) -> None:
        key = f"{self.name}.{node.name}"
        if node.name in known:
            raise bad_input("schedule-graph", node.name, "every node needs a name of its own", key=key)
        for read in (*node.reads, *node.after):
            if read not in known:
                raise bad_input("schedule-graph", read, "a node may name only nodes that come before it", key=key)
        if node.size_bits < 0 or (node.alias and node.size_bits):
            raise bad_input("schedule-graph", node.size_bits, "a size is at least 0, and 0 for an alias", key=key)
        if sizes.setdefault(node.storage or node.name, node.size_bits) != node.size_bits:
            raise bad_input("schedule-graph", node.size_bits, "writers of one buffer must agree on its size", key=key)
        if node.in_place and node.in_place not in node.reads:
            raise bad_input("schedule-graph", node.in_place, "in_place must be one of the node's reads", key=key)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, name: str) -> Node:
        return self.nodes[self.position[name]]

    @cached_property
    def position(self) -> dict[str, int]:
        """Index of each node by name."""
        return {node.name: i for i, node in enumerate(self.nodes)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the nodes, as listed."""
        return tuple(node.name for node in self.nodes)

    @cached_property
    def roots(self) -> dict[str, tuple[str, ...]]:
        """The buffers in which each node's value lies, aliases followed."""
        found: dict[str, tuple[str, ...]] = {}
        for node in self.nodes:
            parts = (found[r] for r in node.reads) if node.alias else ((node.storage,),)
            found[node.name] = tuple(dict.fromkeys(root for part in parts for root in part))
        return found

    @cached_property
    def readers(self) -> dict[str, tuple[str, ...]]:
        """The nodes that read each node's value."""
        found: dict[str, list[str]] = {node.name: [] for node in self.nodes}
        for node in self.nodes:
            for read in dict.fromkeys(node.reads):
                found[read].append(node.name)
        return {name: tuple(readers) for name, readers in found.items()}

    @cached_property
    def frame(self) -> Frame:
        """The same graph as bit masks."""
        return _frame(self)


@dataclass(frozen=True, slots=True)
class Frame:
    """A graph as bit masks: bit i stands for node i. A state of a schedule is the mask of the nodes that have run.

    Per node: `preds` and `succs` (masks), `own` (the buffer it writes, -1: none), `over` (the buffer it may be written
    over, -1: none), `touched` (the buffers that may end with it). Per buffer: `size_bits`, `writers` and `users`
    (masks; a writer is a user), `held` (kept to the end).
    """

    names: tuple[str, ...]
    preds: tuple[int, ...]
    succs: tuple[int, ...]
    own: tuple[int, ...]
    over: tuple[int, ...]
    touched: tuple[tuple[int, ...], ...]
    buffers: tuple[str, ...]
    size_bits: tuple[int, ...]
    writers: tuple[int, ...]
    users: tuple[int, ...]
    held: tuple[bool, ...]

    @property
    def all_run(self) -> int:
        """The state in which every node has run."""
        return (1 << len(self.names)) - 1

    def ready(self, run: int) -> int:
        """Mask of the nodes that can run next: the signature of the state `run`."""
        return sum(1 << u for u, before in enumerate(self.preds) if not run >> u & 1 and not before & ~run)

    def live_bits(self, run: int) -> int:
        """Bits that are live once the nodes in `run` have run."""
        return sum(
            size
            for size, writers, users, held in zip(self.size_bits, self.writers, self.users, self.held, strict=True)
            if writers & run and (held or users & ~run)
        )

    def takes_over(self, run: int, node: int) -> bool:
        """Whether `node`, run in state `run`, is written over the operand it names."""
        over = self.over[node]
        return over >= 0 and not self.held[over] and self.users[over] & ~run == 1 << node

    def step(self, run: int, live_bits: int, node: int) -> tuple[int, int]:
        """Bits live while `node` runs in state `run`, and after it: SERENITY's transition.

        Allocate the output, unless it was begun by another writer or is written over an operand; then free every
        buffer whose users have all run.
        """
        own = self.own[node]
        begun = own < 0 or self.writers[own] & run
        allocated = live_bits if begun else live_bits + self.size_bits[own]
        during = allocated - self.size_bits[self.over[node]] if self.takes_over(run, node) else allocated
        left = ~(run | 1 << node)
        freed = sum(self.size_bits[b] for b in self.touched[node] if not self.users[b] & left)
        return during, allocated - freed


def _frame(graph: Graph) -> Frame:
    index = graph.position
    preds = [_mask(index[r] for r in (*node.reads, *node.after)) for node in graph.nodes]
    succs = [0] * len(graph)
    for i, before in enumerate(preds):
        for p in bits(before):
            succs[p] |= 1 << i
    buffers = tuple(dict.fromkeys(node.storage for node in graph.nodes if node.storage))
    number = {name: b for b, name in enumerate(buffers)}
    size, writers, users = [0] * len(buffers), [0] * len(buffers), [0] * len(buffers)
    for i, node in enumerate(graph.nodes):
        if node.storage:
            own = number[node.storage]
            size[own] = node.size_bits
            writers[own] |= 1 << i
            users[own] |= 1 << i
        for root in _read_roots(graph, node):
            users[number[root]] |= 1 << i
    kept = {root for n in graph.nodes if n.name in graph.outputs or not graph.readers[n.name]
            for root in graph.roots[n.name]}  # fmt: skip
    held = tuple(name in kept for name in buffers)
    touched = tuple(
        tuple(b for b in {number[r] for r in (*_read_roots(graph, n), *filter(None, (n.storage,)))} if not held[b])
        for n in graph.nodes
    )
    owned = [number[n.storage] if n.storage else -1 for n in graph.nodes]
    over = [_over(graph, n, number, size, writers) for n in graph.nodes]
    return Frame(graph.names, tuple(preds), tuple(succs), tuple(owned), tuple(over), touched, buffers, tuple(size),
                 tuple(writers), tuple(users), held)  # fmt: skip


def _read_roots(graph: Graph, node: Node) -> tuple[str, ...]:
    return tuple(dict.fromkeys(root for r in node.reads for root in graph.roots[r]))


def _over(graph: Graph, node: Node, number: dict[str, int], size_bits: Sequence[int], writers: Sequence[int]) -> int:
    """The buffer that `node` may be written over, -1 for none: both it and the node's own are whole and of one size."""
    roots = graph.roots[node.in_place] if node.in_place else ()
    if len(roots) != 1 or not node.storage:
        return -1
    operand, own = number[roots[0]], number[node.storage]
    alone = writers[own] == 1 << graph.position[node.name]
    return operand if alone and size_bits[operand] == size_bits[own] else -1


def _mask(indices: Iterable[int]) -> int:
    mask = 0
    for i in indices:
        mask |= 1 << i
    return mask


def bits(mask: int) -> list[int]:
    """Indices of the bits that are set, lowest first."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


# --- accounting -------------------------------------------------------------------------------------------------


def is_order(graph: Graph, order: Sequence[str]) -> bool:
    """Whether `order` names every node once, each after all that it depends on."""
    seen: set[str] = set()
    for name in order:
        if name not in graph.position or not {*graph[name].reads, *graph[name].after} <= seen or name in seen:
            return False
        seen.add(name)
    return len(seen) == len(graph)


def live_steps(graph: Graph, order: Sequence[str]) -> list[tuple[int, int]]:
    """Per step of `order`: bits live while the node runs, and after it. Raises InputError if it is no order."""
    if not is_order(graph, order):
        raise bad_input("schedule-order", list(order), "must name every node once, after all that it reads",
                        key=graph.name)  # fmt: skip
    frame, run, live, steps = graph.frame, 0, 0, []
    for name in order:
        node = graph.position[name]
        during, live = frame.step(run, live, node)
        run |= 1 << node
        steps.append((during, live))
    return steps


def peak_bits(graph: Graph, order: Sequence[str]) -> int:
    """The largest sum of live tensors over the steps of `order`."""
    return max((during for during, _ in live_steps(graph, order)), default=0)
