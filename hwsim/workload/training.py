"""A training step of a workload: forward, loss, gradients, update of the weights, all as operators.

    training_step(workload, "adam")    the same network, the schedule "train" in place of its own

The loss is the cross entropy of every result against targets, one class of the last axis a row: a softmax and a
difference. Every float weight is trained, but for running statistics. The update of a weight is one elementwise
operator that reads the weight, its gradient and the optimizer's state, and writes the weight and that state, each as
wide as the weight itself.

A workload that is one call of one graph becomes one graph, so that an activation lives until its gradient has been
made. Other schedules keep their graphs: calls run forward, then backward in the opposite order, repeats as often as
forward; what a later call reads of an earlier one is state, and weights that are met more than once collect their
gradients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from hwsim.errors import InputError, bad_input
from hwsim.workload.gradients import Tape, elements, is_float, needed, product, trainable, unfolded, walk
from hwsim.workload.ir import Attr, Call, Disposition, Graph, Phase, Role, Tensor, Workload

TRAIN = "train"
"""The schedule of a training step, and the key of its optimizer in the provenance."""
UPDATE = "update"
LABEL_BITS, LABEL_DTYPE = 32, "int32"

OPTIMIZERS: Mapping[str, tuple[str, ...]] = {
    "sgd": (),
    "momentum": ("velocity",),
    "rmsprop": ("square", "velocity"),
    "adam": ("mean", "square"),
}
"""What each optimizer keeps of every weight. RMSProp with momentum, as ParaDnn uses it."""

STEPWISE = "Write its cell out of products and functions, and repeat one step of it, as the family paradnn-lstm does."


def training_step(workload: Workload, optimizer: str) -> Workload:
    """`workload` with one training step in place of its schedules.

    optimizer   one of OPTIMIZERS

    Raises InputError for a schedule that generates, an operator that has no gradient, and a network without weights to
    train.
    """
    if optimizer not in OPTIMIZERS:
        raise bad_input("optimizer", optimizer, f"must be one of {', '.join(OPTIMIZERS)}", key="--optimizer")
    phases = workload.schedule()
    _refuse(workload, phases)
    calls = [call for phase in phases for call in phase.calls]
    if len(calls) == 1 and phases[0].repeat is None:
        graphs, schedule = _one_graph(workload.graphs[calls[0].graph], calls[0], optimizer)
    else:
        graphs, schedule = _Calls(workload, phases, optimizer).step()
    if not any(op.kind == "elementwise" and op.module == UPDATE for graph in graphs for op in graph.ops):
        raise _refusal(workload, "it has no weights that a gradient reaches", "Train a network of floats.")
    return replace(
        workload,
        name=f"{workload.name}-training",
        summary=f"{workload.summary}; one training step with {optimizer}",
        graphs={graph.name: graph for graph in graphs},
        schedules={TRAIN: schedule},
        provenance={**workload.provenance, TRAIN: optimizer},
    )


# --- what cannot be trained -------------------------------------------------------------------------------------


def _refusal(workload: Workload, rule: str, remedy: str) -> InputError:
    return bad_input("training", workload.name, f"this workload has no training step: {rule}", remedy, key="--train")


def _refuse(workload: Workload, phases: tuple[Phase, ...]) -> None:
    if TRAIN in workload.provenance:
        raise _refusal(workload, f"it is one already, with {workload.provenance[TRAIN]}", "Leave out --train.")
    if any(phase.generates for phase in phases):
        raise _refusal(workload, "its schedule generates token by token", "Trace the network on whole sequences.")
    for name in dict.fromkeys(call.graph for phase in phases for call in phase.calls):
        for op in workload.graphs[name].ops:
            if op.disposition is Disposition.UNSUPPORTED or op.kind == "lut_network":
                raise _refusal(workload, f"the operator {op.name} ({op.kind}) has no gradient that is known here",
                               "Replace it in the network.")  # fmt: skip
            if op.attrs.get("sequential"):
                raise _refusal(workload, f"the steps of {op.name} follow one another within one operator, which hides "
                               "the states between them", STEPWISE)  # fmt: skip


# --- the parts of a step ----------------------------------------------------------------------------------------


def _loss(tape: Tape) -> list[str]:
    """Append the loss of every result that has a gradient; the names of the targets."""
    targets = []
    for name in tape.graph.outputs:
        if name not in tape.needed:
            continue
        result = tape.tensors[name]
        target = tape.fresh(f"{name}.target")
        tape.tensors[target] = Tensor(target, result.shape[:-1], LABEL_BITS, LABEL_DTYPE, Role.INPUT)
        targets.append(target)
        chances, grad = tape.like(f"{name}.softmax", result), tape.value(name)
        rows = {"rows": product(result.shape[:-1]), "length": product(result.shape[-1:])}
        tape.add(f"loss.{name}.softmax", "softmax", (name,), (chances,), rows, {"function": "softmax"}, "loss")
        tape.add(f"loss.{name}.grad", "elementwise", (chances, target), (grad,), {"elements": elements(result)},
                 {"function": "sub"}, "loss")  # fmt: skip
        tape.contribute(name, grad)
    return targets


def _update(tape: Tape, weight: str, gradient: str, optimizer: str) -> str:
    """Append the update of a weight; the name of what it becomes, which takes its place."""
    source = tape.tensors[weight]
    states = []
    for what in OPTIMIZERS[optimizer]:
        name = tape.like(f"{weight}.{what}", source)
        tape.tensors[name] = replace(tape.tensors[name], role=Role.STATE)
        states.append(name)
    after = tape.like(f"{weight}.next", source)
    tape.tensors[after] = replace(tape.tensors[after], role=Role.OUTPUT)
    dims = {"elements": elements(source)}
    attrs: dict[str, Attr] = {"function": optimizer, "in_place": True}
    tape.add(f"{UPDATE}.{weight}", "elementwise", (weight, gradient, *states), (after, *states), dims, attrs, UPDATE)
    return after


def _carried(tape: Tape, gradient: str, name: str, role: Role) -> None:
    """Give a gradient that leaves the graph its name and role, at no cost."""
    source = tape.tensors[gradient]
    if name not in tape.tensors:
        tape.tensors[name] = Tensor(name, source.shape, source.bits, source.dtype, role)
    reason = "a name for the gradient that leaves the graph"
    tape.add(f"{name}.carry", "view", (gradient,), (name,), {}, {}, "", reason)


# --- one graph --------------------------------------------------------------------------------------------------


def _one_graph(graph: Graph, call: Call, optimizer: str) -> tuple[list[Graph], tuple[Phase, ...]]:
    """Forward, backward and update in one graph."""
    weights = trainable(graph)
    tape = Tape(graph, dict(graph.tensors), needed(graph, weights))
    targets = _loss(tape)
    walk(tape)
    found = {weight: tape.gradient(weight) for weight in weights}
    after = [_update(tape, weight, gradient, optimizer) for weight, gradient in found.items() if gradient]
    ops = (*unfolded(graph, tape.kept), *tape.ops)
    step = Graph(graph.name, tape.tensors, ops, (*graph.inputs, *targets), (*graph.outputs, *after))
    return [step], (Phase(TRAIN, (Call(graph.name, call.bind),)),)


# --- several calls ----------------------------------------------------------------------------------------------


class _Calls:
    """A step of a schedule of several calls or of repeats: every graph forward, every graph backward, the update."""

    def __init__(self, workload: Workload, phases: tuple[Phase, ...], optimizer: str) -> None:
        self.workload, self.phases, self.optimizer = workload, phases, optimizer
        calls = [(call.graph, phase.repeat is not None) for phase in phases for call in phase.calls]
        self.times = Counter(name for name, _ in calls)
        self.repeated = {name for name, again in calls if again or self.times[name] > 1}
        self.first, self.last = calls[0][0], calls[-1][0]
        if self.last in self.repeated:
            raise _refusal(workload, f"its last graph, {self.last}, runs more than once and would have several losses",
                           "End the schedule with a graph that runs once.")  # fmt: skip
        users = Counter(w for name in self.times for w in trainable(workload.graphs[name]))
        self.shared = {weight for weight, count in users.items() if count > 1}
        self.trained: dict[str, Tensor] = {}

    def step(self) -> tuple[list[Graph], tuple[Phase, ...]]:
        """Its graphs and its schedule."""
        forward, backward = [], []
        for name in self.times:
            ahead, back = self.both(self.workload.graphs[name])
            forward.append(ahead)
            backward += [back] if back.ops else []
        there = {graph.name for graph in backward}
        update = self.update()
        schedule = (*self.phases, *self.returned(there), Phase(UPDATE, (Call(update.name),)))
        return [*forward, *backward, update], schedule

    def returned(self, there: set[str]) -> Iterable[Phase]:
        """The phases backward, from the last to the first."""
        for phase in reversed(self.phases):
            calls = tuple(Call(_back(c.graph), c.bind) for c in reversed(phase.calls) if _back(c.graph) in there)
            if calls:
                yield Phase(f"{phase.name}-backward", calls, phase.repeat)

    def both(self, graph: Graph) -> tuple[Graph, Graph]:
        """A graph forward, which also hands out what its gradients read, and backward."""
        weights = trainable(graph)
        outside = [n for n, t in graph.tensors.items() if self.has_gradient(graph, t)]
        tape = Tape(graph, dict(graph.tensors), needed(graph, [*weights, *outside]))
        last = graph.name == self.last
        targets, arrived = (_loss(tape), {}) if last else ([], self.arriving(tape))
        walk(tape)
        leaving = [self.leave(tape, name, arrived.get(name, "")) for name in outside]
        leaving += [self.collect(tape, name) for name in weights]
        return self.ahead(tape), self.back(tape, targets, [name for name in leaving if name])

    def has_gradient(self, graph: Graph, tensor: Tensor) -> bool:
        """Whether a value from outside was computed by an earlier call: state, or an input of a later graph."""
        earlier = tensor.role is Role.STATE or (tensor.role is Role.INPUT and graph.name != self.first)
        return earlier and is_float(tensor)

    def arriving(self, tape: Tape) -> dict[str, str]:
        """The gradients that later calls have left of this graph's results and of the state it writes."""
        arrived: dict[str, str] = {}
        written = {name for op in tape.graph.ops for name in op.outputs}
        for name in tape.graph.outputs:
            if name in tape.needed:
                self.arrive(tape, name)
        for name, tensor in list(tape.graph.tensors.items()):
            if tensor.role is Role.STATE and name in written and name in tape.needed:
                arrived[name] = self.arrive(tape, name)
        return arrived

    def arrive(self, tape: Tape, name: str) -> str:
        """A part of the gradient of `name` that a later call has left."""
        made = tape.value(name)
        tape.tensors[made] = replace(tape.tensors[made], role=Role.STATE)
        tape.contribute(name, made)
        return made

    def leave(self, tape: Tape, name: str, arrived: str) -> str:
        """Hand the gradient of a value from outside to the call that made it: in place of the one that `arrived`, or
        as a new result, whose name is returned."""
        gradient = tape.gradient(name)
        if gradient is None or gradient == arrived:
            return ""
        target = arrived or tape.fresh(f"{name}.gradient")
        _carried(tape, gradient, target, Role.OUTPUT)
        return "" if arrived else target

    def collect(self, tape: Tape, weight: str) -> str:
        """Add up a weight's gradient over calls, or hand it out where there is one call; the name of a new result."""
        gradient = tape.gradient(weight)
        if gradient is None:
            return ""
        self.trained.setdefault(weight, tape.tensors[weight])
        total = f"{weight}.gradient"
        source = tape.tensors[weight]
        if weight not in self.shared and tape.graph.name not in self.repeated:
            _carried(tape, gradient, total, Role.OUTPUT)
            return total
        tape.tensors[total] = Tensor(total, source.shape, source.bits, source.dtype, Role.STATE)
        tape.add(f"{weight}.accumulate", "elementwise", (total, gradient), (total,), {"elements": elements(source)},
                 {"function": "add"})  # fmt: skip
        return ""

    def ahead(self, tape: Tape) -> Graph:
        """The graph forward: what the gradients read becomes a result."""
        graph = tape.graph
        made = {name for op in graph.ops for name in (*op.outputs, *tape.kept.get(op.name, ()))}
        read = {name for op in tape.ops for name in op.inputs}
        saved = [name for name in tape.tensors if name in made & read and tape.tensors[name].role is Role.ACTIVATION]
        ops = unfolded(graph, tape.kept)
        used = {*graph.tensors, *saved, *(name for op in ops for name in op.outputs)}
        tensors = {n: replace(t, role=Role.OUTPUT) if n in saved else t for n, t in tape.tensors.items() if n in used}
        return Graph(graph.name, tensors, ops, graph.inputs, (*graph.outputs, *saved))

    def back(self, tape: Tape, targets: list[str], leaving: list[str]) -> Graph:
        """The graph backward: what it reads of the graph forward is state."""
        used = dict.fromkeys(name for op in tape.ops for name in (*op.inputs, *op.outputs))
        written = {name for op in tape.ops for name in op.outputs}
        tensors = {name: _as_read(tape.tensors[name], name in written or name in targets) for name in used}
        return Graph(_back(tape.graph.name), tensors, tuple(tape.ops), tuple(targets), tuple(leaving))

    def update(self) -> Graph:
        """The update of every weight."""
        graph = Graph(UPDATE, {}, (), (), ())
        tape = Tape(graph, {}, frozenset())
        after = []
        for name, weight in self.trained.items():
            tape.tensors[name] = weight
            gradient = f"{name}.gradient"
            tape.tensors[gradient] = Tensor(gradient, weight.shape, weight.bits, weight.dtype, Role.STATE)
            after.append(_update(tape, name, gradient, self.optimizer))
        return Graph(UPDATE, tape.tensors, tuple(tape.ops), (), tuple(after))


def _back(graph: str) -> str:
    return f"{graph}-backward"


def _as_read(tensor: Tensor, own: bool) -> Tensor:
    """A tensor as the graph backward has it: state, where the graph forward made or read it."""
    return tensor if own or tensor.role is Role.WEIGHT else replace(tensor, role=Role.STATE)
