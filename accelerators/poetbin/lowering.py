"""From a workload to the tasks of a PoET-BiN: one a stack of linear layers, or a network that replaced one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from accelerators.poetbin.design import Design
from accelerators.poetbin.stacks import NETWORK_KIND, Stack, stacks
from accelerators.poetbin.tasks import Network, Registers, Tables, untrained
from hwsim.errors import InputError, Problem, Where
from hwsim.lowering import Item, items
from hwsim.model import Placement, Program
from hwsim.workload.ir import Disposition, Graph, Phase, Workload

SHAPE = ("inputs_per_lut", "trees_per_group", "groups", "neurons", "q")
"""Design fields that a trained network has to agree with, and attributes of the operator that carries one."""

TRAINED = Network._fields[Network._fields.index("depth") :]
"""What the operator carries of the network: attributes called as the fields of a task."""


def lower(workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
    """One task a stack. Raises InputError naming an operator that is no part of one, or sizes that do not agree."""
    schedule = workload.schedule()
    refuse(workload, schedule)
    sizes = {k: int(v) for k, v in binding.items() if not workload.symbols[k].ratio}
    program = Program(structural=frozenset())
    heads = {(graph.name, stack.products[0].name): stack for graph in _graphs(workload, schedule)
             for stack in stacks(graph)}  # fmt: skip
    placed: dict[tuple[str, str], None] = {}
    for item, walk in items(program, workload, schedule, sizes):
        key = (item.graph.name, item.op.name)
        task = _task(item, heads.get(key), design, program)
        if task is None:
            walk.produced(item, item.after)
            continue
        walk.produced(item, (program.add(task, item.layer, item.after, turn=item.turn),))
        placed[key] = None
    last = len(program) - 1
    for task in dict.fromkeys(program.tasks[t] for t in program.task) if program.task else ():
        program.occupied.append(Placement("luts", Tables(*task), 0, last, "look-up tables"))
        program.occupied.append(Placement("flip_flops", Registers(*task), 0, last, "registers"))
    return program


def _graphs(workload: Workload, schedule: tuple[Phase, ...]) -> Iterator[Graph]:
    yield from (workload.graphs[name] for name in {call.graph: None for phase in schedule for call in phase.calls})


def _task(item: Item, stack: Stack | None, design: Design, program: Program) -> Network | None:
    """The task that begins with this operator; None for one that is part of what came before."""
    if item.op.kind == NETWORK_KIND:
        return _trained(item, design, program)
    if stack is None:
        return None
    last = stack.products[-1].sizes(item.binding)
    name = stack.products[0].name
    note = (
        f"{name} to {stack.ops[-1].name}: no trained network; tables and activity are those of the shape, unvalidated"
    )
    if note not in program.notes:
        program.notes.append(note)
    return untrained(item.sizes["batch"] * item.sizes["m"], item.sizes["k"], last["batch"] * last["n"])


def _trained(item: Item, design: Design, program: Program) -> Network:
    """The network that the operator carries, where it has the shape of the design; else what the shape alone says."""
    program.structural = frozenset(SHAPE)
    differ = [f for f in SHAPE if item.op.attrs.get(f) != getattr(design, f)]
    if differ:
        text = ", ".join(f"{f} {item.op.attrs.get(f)}" for f in differ)
        settings = " ".join(f"--set {f}={item.op.attrs.get(f)}" for f in differ)
        note = (f"{item.op.name}: its network has {text}; tables and activity are those of the shape, unvalidated. "
                f"For the network's own: {settings}")  # fmt: skip
        if note not in program.notes:
            program.notes.append(note)
        return untrained(*(item.sizes[size] for size in ("samples", "inputs", "outputs")))
    numbers = [item.op.attrs.get(f) for f in TRAINED]
    if not all(type(n) is int and n >= 0 for n in numbers):
        wrong = next(f for f, n in zip(TRAINED, numbers, strict=True) if type(n) is not int or n < 0)
        raise _wrong(item, wrong, "must be a number of the network")
    of = dict(zip(TRAINED, numbers, strict=True))
    for field in ("depth", "toggled_vectors"):
        if not of[field]:
            raise _wrong(item, field, "a network has levels, and its changes are counted over samples")
    for field, signals in (("lut6_toggles", of["lut6"]), ("opaque_lut6_toggles", of["lut6_opaque"]),
                           ("input_toggles", item.sizes["inputs"])):  # fmt: skip
        if of[field] > signals * of["toggled_vectors"]:
            rule = f"{signals} signals change at most once in each of {of['toggled_vectors']} samples"
            raise _wrong(item, field, rule)
    return Network(item.sizes["samples"], item.sizes["inputs"], item.sizes["outputs"], 1, *numbers)  # type: ignore[arg-type]


def _wrong(item: Item, field: str, rule: str) -> InputError:
    where = Where(file="workload", key=f"graphs.{item.graph.name}.{item.op.name}.attrs.{field}")
    remedy = "Write the workload anew: python -m accelerators.poetbin.replace."
    return InputError([Problem("network", where, repr(item.op.attrs.get(field)), rule, remedy)])


def refuse(workload: Workload, schedule: tuple[Phase, ...]) -> None:
    """Raise one problem that names the first operator which no stack holds, and says how many there are."""
    strange = []
    for graph in _graphs(workload, schedule):
        inside = {i for stack in stacks(graph) for i in range(stack.first, stack.last + 1)}
        for i, op in enumerate(graph.ops):
            fine = i in inside or op.kind == NETWORK_KIND or op.disposition in (Disposition.FREE, Disposition.FUSED)
            if not fine:
                strange.append((graph, op))
    if not strange:
        return
    graph, op = strange[0]
    more = f", nor can {len(strange) - 1} more" if len(strange) > 1 else ""
    why = f" ({op.reason})" if op.disposition is Disposition.UNSUPPORTED else ""
    rule = f"look-up tables replace linear layers with their norms and activations; this operator cannot be{why}{more}"
    remedy = "Run the network on another accelerator."
    if any(o.kind in (NETWORK_KIND, "matmul") for g in _graphs(workload, schedule) for o in g.ops):
        remedy = ("Give its classifier alone, with a trained network in its place (python -m "
                  "accelerators.poetbin.replace WORKLOAD --network NAME --alone).")  # fmt: skip
    where = Where(file=f"workload {workload.name}", key=f"graphs.{graph.name}.{op.name}")
    raise InputError([Problem("unsupported-op", where, f"{op.kind} ({op.source})", rule, remedy)])
