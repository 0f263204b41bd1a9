"""What every `lower` needs: the operators of a schedule in order, with sizes, producers and report lines.

A model that lowers operator by operator writes one function from an `Item` to tasks and leaves the walk to
`items`: it refuses what cannot run by name, and keeps the network's MACs accounted for to the last one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from hwsim.errors import InputError, Problem, Where
from hwsim.model import Program
from hwsim.workload.ir import Disposition, Graph, Op, Phase, Role, Workload


@dataclass(slots=True)
class Item:
    """One operator of one graph call, as a lowering meets it."""

    op: Op
    graph: Graph
    sizes: Mapping[str, int]
    binding: Mapping[str, int]
    phase: Phase
    turn: int
    """The token this pass generates, from 0 over all generating phases; -1 elsewhere."""
    number: int
    """Pass of the phase, from 0."""
    layer: int
    """Index of its report line."""
    after: tuple[int, ...]
    """Steps that produce its inputs."""
    first_call: bool
    """Whether this graph runs for the first time."""

    def bits(self, tensor: str) -> int:
        """Bits of one of its tensors under the binding of this call."""
        t = self.graph.tensors[tensor]
        return t.elements(self.binding) * t.bits

    def weights(self) -> tuple[str, ...]:
        """Its inputs that are weights."""
        return tuple(n for n in self.op.inputs if self.graph.tensors[n].role is Role.WEIGHT)


@dataclass(slots=True)
class Walk:
    """The walk's state: report lines met so far, and which step made each tensor last."""

    program: Program
    layers: dict[tuple[str, str, str], int] = field(default_factory=dict)
    made: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)
    macs: list[int] = field(default_factory=list)

    def produced(self, item: Item, steps: tuple[int, ...]) -> None:
        """Record that `steps` made the outputs of `item` (or carried them, for an operator without cost)."""
        for name in item.op.outputs:
            self.made[item.graph.name, name] = steps


def refuse(workload: Workload, schedule: tuple[Phase, ...], kinds: Collection[str], machine: str) -> None:
    """Raise an InputError that names every operator of `schedule` that is not of one of `kinds`."""
    problems = []
    for name in {call.graph: None for phase in schedule for call in phase.calls}:
        for op in workload.graphs[name].ops:
            if op.disposition is Disposition.UNSUPPORTED:
                rule, remedy = f"the operator has no model ({op.reason})", "Replace it in the network and trace again."
            elif op.disposition is Disposition.MODELLED and op.kind not in kinds:
                rule = f"{machine} cannot run {op.kind} operators"
                remedy = f"Run the network on another accelerator; {machine} runs {', '.join(sorted(kinds))}."
            else:
                continue
            where = Where(file=f"workload {workload.name}", key=f"graphs.{name}.{op.name}")
            problems.append(Problem("unsupported-op", where, f"{op.kind} ({op.source})", rule, remedy))
    if problems:
        raise InputError(problems)


def items(
    program: Program, workload: Workload, schedule: tuple[Phase, ...], binding: Mapping[str, int]
) -> Iterator[tuple[Item, Walk]]:
    """Every modelled operator of `schedule` in order; the caller adds its tasks and calls `walk.produced`.

    Operators without cost pass their producers on and are recorded in `program.free_ops`. When the walk ends, every
    report line holds the MACs of all its passes.
    """
    walk = Walk(program)
    seen: set[str] = set()
    sizes_of: dict[tuple[object, ...], dict[str, int]] = {}
    turns: dict[tuple[str, int], int] = {}
    last_step: tuple[int, ...] = ()
    for phase, number, local, graph in workload.walk(binding, schedule):
        first = graph.name not in seen
        seen.add(graph.name)
        if phase.generates:
            turn = turns.setdefault((phase.name, number), len(turns))
        else:
            turn = -1
        used = tuple((s, local[s]) for s in sorted(graph.symbols))
        for name in graph.inputs:
            if graph.tensors[name].role is not Role.WEIGHT:
                walk.made[graph.name, name] = last_step
        for op in graph.ops:
            after = tuple(sorted({s for n in op.inputs for s in walk.made.get((graph.name, n), ())}))
            if op.disposition is not Disposition.MODELLED:
                if op.disposition is Disposition.FREE:
                    program.free_ops[op.name] = op.reason
                for name in op.outputs:
                    walk.made[graph.name, name] = after
                continue
            key = (graph.name, op.name, used)
            sizes = sizes_of.get(key)
            if sizes is None:
                sizes = sizes_of[key] = op.sizes(local)
            layer = _layer(walk, phase, graph, op)
            walk.macs[layer] += op.macs(local)
            yield Item(op, graph, sizes, local, phase, turn, number, layer, after, first), walk
        if len(program):
            last_step = (len(program) - 1,)
    for i, macs in enumerate(walk.macs):
        line = program.layers[i]
        program.layers[i] = type(line)(line.name, line.op, line.phase, macs)


def _layer(walk: Walk, phase: Phase, graph: Graph, op: Op) -> int:
    key = (phase.name, graph.name, op.name)
    if key not in walk.layers:
        # A graph of one module has operators without a path: "linear" alone would say nothing in a report.
        name = op.name if "." in op.name else f"{graph.name}.{op.name}"
        walk.layers[key] = walk.program.add_layer(name, op.kind, phase.name)
        walk.macs.append(0)
    return walk.layers[key]
