"""What has to be held at a time: intermediates of one graph call, keys and values, weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hwsim.expr import Expr
from hwsim.workload.ir import Disposition, Graph, Op, Role

_HELD_IN_PLACE = frozenset({"concat"})
"""Kinds whose pieces are written side by side by their producers, so that the result is the pieces."""


@dataclass(slots=True)
class Lifetimes:
    """When the values of a graph are alive, without sizes: those depend on the binding of a call.

    `shapes` are the distinct shapes; `state` counts the state tensors of each; `births[i]` and `deaths[i]` list the
    shapes that come alive with modelled operator i and end after it. `inner[i]` is the operator itself.
    """

    shapes: list[tuple[Expr, ...]] = field(default_factory=list)
    state: list[int] = field(default_factory=list)
    births: list[list[int]] = field(default_factory=list)
    deaths: list[list[int]] = field(default_factory=list)
    inner: list[Op] = field(default_factory=list)


def _index(found: dict[tuple[Expr, ...], int], shape: tuple[Expr, ...]) -> int:
    return found.setdefault(shape, len(found))


def _runs(op: Op) -> bool:
    return op.disposition is Disposition.MODELLED and op.kind not in _HELD_IN_PLACE


def _roots(graph: Graph) -> dict[str, frozenset[str]]:
    """Per tensor, the values it is made of: itself, or what a view, a concatenation or a fused operator shows."""
    roots = {n: frozenset((n,)) for n in graph.inputs}
    for op in graph.ops:
        shown = frozenset().union(*(roots.get(n, frozenset()) for n in op.inputs))
        for name in op.outputs:
            roots[name] = frozenset((name,)) if _runs(op) else shown
    return roots


def _held(graph: Graph, names: Iterable[str]) -> list[str]:
    kept = (Role.WEIGHT, Role.STATE)
    return [n for n in names if graph.tensors[n].role not in kept]


def lifetimes(graph: Graph, streamed: Iterable[str] = ()) -> Lifetimes:
    """Births and deaths of the values of `graph`. `streamed` outputs leave as they appear and are never held."""
    roots, ops = _roots(graph), [op for op in graph.ops if _runs(op)]
    last = dict.fromkeys(_held(graph, graph.inputs), -1)
    for i, op in enumerate(ops):
        for root in {r for n in op.inputs for r in roots.get(n, ())} | set(op.outputs):
            last[root] = i
    for name in graph.outputs:
        for root in roots.get(name, ()):
            last[root] = len(ops) - 1
    skipped, found = set(streamed), {}
    born = [[n for n in _held(graph, op.outputs) if n not in skipped] for op in ops]
    if ops:
        born[0] = [*_held(graph, graph.inputs), *born[0]]
    out = Lifetimes(inner=ops, births=[], deaths=[[] for _ in ops])
    for names in born:
        out.births.append([_index(found, graph.tensors[n].shape) for n in names])
        for n in names:
            out.deaths[max(0, last[n])].append(_index(found, graph.tensors[n].shape))
    states = [_index(found, t.shape) for t in graph.tensors.values() if t.role is Role.STATE]
    out.shapes = list(found)
    out.state = [states.count(i) for i in range(len(found))]
    return out


def _elements(shape: tuple[Expr, ...], binding: Mapping[str, int]) -> int:
    count = 1
    for size in shape:
        count *= size.value(binding)
    return count


@dataclass(frozen=True, slots=True)
class Held:
    """Elements one call of a graph holds: at most `peak` intermediates at a time, and `state` keys and values."""

    peak: int
    state: int


def held(of: Lifetimes, binding: Mapping[str, int]) -> Held:
    """What a call under `binding` holds. The scores of an attention operator live inside it."""
    sizes = [_elements(shape, binding) for shape in of.shapes]
    alive = peak = 0
    for op, births, deaths in zip(of.inner, of.births, of.deaths, strict=True):
        alive += sum(sizes[i] for i in births)
        peak = max(peak, alive + _scores(op, binding))
        alive -= sum(sizes[i] for i in deaths)
    return Held(peak, sum(size * n for size, n in zip(sizes, of.state, strict=True)))


def _scores(op: Op, binding: Mapping[str, int]) -> int:
    if op.kind != "attention":
        return 0
    return _elements(tuple(op.dims[d] for d in ("batch", "heads", "q", "kv")), binding)
