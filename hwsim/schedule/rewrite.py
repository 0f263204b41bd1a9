"""Identity rewriting: what a concat joins is used part by part, so that a part can go before the next one is made.

- *By input channel*: concat + convolution becomes a sum of convolutions, each over the channels of one part, that add
  to one buffer. From sum|x_i| + |y| to max_i |x_i| + |y|.
- *By kernel*: concat + depthwise convolution becomes a depthwise convolution a part, joined where they lie. From
  sum|x_i| + |y| to max_i(|x_i| + |y_i|) beside what is made already.

Both compute the same products and sums (SERENITY, arXiv 2003.02369, section on identity graph rewriting); partial sums
are added in another order, which integers do not see and floating point does in its last bits. Bias, folded norm and
activation belong to the last partial convolution to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate

from hwsim.schedule.graph import Graph, Node

ACCUMULATOR_BITS = 32
"""A partial sum needs an accumulator; where the output's elements are narrower the sum does not fit its buffer."""
SUM, CONCAT, CONV, DEPTHWISE = "sum", "concat", "conv2d", "depthwise"


def rewrite(graph: Graph) -> Graph:
    """The graph with every concat + convolution taken apart where that cannot raise the lowest peak.

    A concat that copies goes only when all its readers are rewritten; one that leaves its parts where they lie may keep
    other readers. A convolution is left alone where it has other operands, where its output's elements are narrower
    than an accumulator, or where the channels of the parts are not known.
    """
    chosen = {name for concat in graph.nodes for name in _readers_to_rewrite(graph, concat)}
    gone = {
        n.name for n in graph.nodes if n.op == CONCAT and _all_readers(graph, n) and _all_readers(graph, n) <= chosen
    }
    gone -= graph.outputs
    nodes = [new for node in graph.nodes if node.name not in gone for new in _rewritten(graph, node, chosen)]
    return Graph(nodes, graph.outputs, graph.name)


def _all_readers(graph: Graph, node: Node) -> set[str]:
    waiting = {n.name for n in graph.nodes if node.name in n.after}
    return {*graph.readers[node.name], *waiting}


def _readers_to_rewrite(graph: Graph, concat: Node) -> set[str]:
    if concat.op != CONCAT or len(concat.reads) < 2 or any(not graph[r].channels for r in concat.reads):
        return set()
    fit = {name for name in graph.readers[concat.name] if _can_be_split(graph[name], concat)}
    stays = concat.name in graph.outputs or fit != _all_readers(graph, concat)
    return set() if stays and not concat.alias else fit


def _can_be_split(node: Node, concat: Node) -> bool:
    alone = node.reads == (concat.name,) and not (node.alias or node.in_place or node.buffer)
    return alone and (node.op == DEPTHWISE or (node.op == CONV and node.element_bits >= ACCUMULATOR_BITS))


def _rewritten(graph: Graph, node: Node, chosen: set[str]) -> Iterator[Node]:
    if node.name not in chosen:
        yield node
        return
    concat = graph[node.reads[0]]
    shared = node.op == CONV or not concat.alias or _is_overwritten(graph, node)
    partials = list(_partials(graph, node, concat, shared))
    yield from partials
    yield Node(node.name, tuple(p.name for p in partials), op=SUM if node.op == CONV else CONCAT, alias=True,
               channels=node.channels, element_bits=node.element_bits, source=node.name)  # fmt: skip


def _is_overwritten(graph: Graph, node: Node) -> bool:
    return any(graph[r].in_place == node.name for r in graph.readers[node.name])


def _partials(graph: Graph, node: Node, concat: Node, shared: bool) -> Iterator[Node]:
    """One node a part. With `shared` they write one buffer of the whole output, each its share or its sum."""
    ends = list(accumulate(graph[r].channels for r in concat.reads))
    for i, (read, end) in enumerate(zip(concat.reads, ends, strict=True)):
        part = (end - graph[read].channels, end)
        size = node.size_bits if shared else node.size_bits * (part[1] - part[0]) // ends[-1]
        yield replace(
            node, name=f"{node.name}[{i}]", reads=(read,), size_bits=size, part=part, source=node.name,
            buffer=f"{node.name}[]" if shared else "", after=(*node.after, *concat.after),
            channels=node.channels if node.op == CONV else part[1] - part[0],
        )  # fmt: skip
