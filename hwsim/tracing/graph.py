"""From an exported program to a workload graph: names, tensors, operators."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node
from torch.utils import _pytree as pytree

from hwsim.errors import bad_input
from hwsim.expr import Expr
from hwsim.tracing.call import Call, Cost, Part, op_name, root, tensors, unsupported
from hwsim.tracing.operators import CONSTANT, CREATIONS, cost_of
from hwsim.tracing.products import PRODUCTS
from hwsim.tracing.recurrent import CELLS
from hwsim.tracing.sizes import sizes_of, to_expr
from hwsim.workload.ir import Disposition, Graph, Op, Role, Tensor

OPERATOR = "call_function"
SHORT = {"scaled_dot_product_attention": "sdpa"}
"""Operators whose names would crowd a report."""


@dataclass(frozen=True, slots=True)
class Source:
    """An exported program and what its caller knows about it.

    `inputs` are the placeholders of the user's tensors with their roles; `parameters` the placeholders of weights
    with their name and their values (None where they mean nothing); `constants` those of literal tensors.
    """

    program: ExportedProgram
    symbols: Mapping[Any, str]
    inputs: Mapping[Node, Role]
    parameters: Mapping[Node, tuple[str, torch.Tensor | None]]
    constants: frozenset[Node]

    @property
    def held(self) -> frozenset[Node]:
        """The placeholders whose values the network brings along."""
        return frozenset(self.parameters) | self.constants

    @property
    def operators(self) -> list[Node]:
        """The nodes that work on tensors in a run, in order.

        Picking one output of several is no work, nor is a view of a weight, which can be stored as it is read, nor
        arithmetic on sizes and checks, which yield no tensor.
        """
        nodes = (n for n in self.program.graph.nodes if n.op == OPERATOR and op_name(n) != "getitem")
        return [n for n in nodes if tensors(n) and root(n) not in self.held]


def build(source: Source, name: str) -> Graph:
    """The workload graph of an exported program."""
    costs = _costs(source)
    ops = _op_names(source.operators)
    values = _Values(source, ops)
    unique = _Unique(ops.values())
    operators = tuple(op for node in source.operators for op in _operators(node, costs[node], ops, values, unique))
    inputs = tuple(values.names[n, 0] for n in source.inputs)
    outputs = tuple(dict.fromkeys(n for node in _results(source.program) for n in values.read(node)))
    used = {*inputs, *outputs, *(name for op in operators for name in (*op.inputs, *op.outputs))}
    return Graph(name, values.tensors(used), operators, inputs, outputs)


# --- costs ------------------------------------------------------------------------------------------------------


def _costs(source: Source) -> dict[Node, Cost]:
    """What each operator is. Values that follow from sizes alone are computed ahead of the run, so they are free."""
    constant: set[Node] = set(source.constants)
    weights = frozenset(source.parameters)
    states = frozenset(n for n, role in source.inputs.items() if role is Role.STATE)
    costs: dict[Node, Cost] = {}
    for node in source.program.graph.nodes:
        if _is_constant(node, constant):
            constant.add(node)
    for node in source.operators:
        cost = _mutation(node, source) or cost_of(Call(node, weights, states))
        foldable = node in constant and cost.disposition is Disposition.MODELLED
        costs[node] = replace(cost, disposition=Disposition.FREE, reason=CONSTANT) if foldable else cost
    return costs


def refuse_data_dependent(source: Source) -> None:
    """Raise an InputError for an operator whose cost no size shows: it hands values back to Python, or how much it
    yields depends on them."""
    for node in source.program.graph.nodes:
        if node.op != OPERATOR:
            continue
        place = f"{node.target} in module {_module(node) or '(the network itself)'}"
        if op_name(node) in ("item", "_local_scalar_dense"):
            remedy = "Keep it a tensor (torch.where instead of if, no .item() or float())."
            raise bad_input("data-dependent", place, "the network reads a computed value back into Python", remedy)
        if any(_symbols(value) - source.symbols.keys() for value in tensors(node)):
            remedy = "Only sizes that follow from the sizes of the inputs can be traced; mask instead of selecting."
            raise bad_input("data-dependent", place, "the size of its result depends on the values it computes", remedy)


def _symbols(value: torch.Tensor) -> set[Any]:
    return {symbol for size in sizes_of(value.shape) for symbol in size.free_symbols}


def _is_constant(node: Node, constant: set[Node]) -> bool:
    if node.op != OPERATOR:
        return False
    if op_name(node) in CREATIONS:
        return True
    reads = [n for n in node.all_input_nodes if tensors(n)]
    random = isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags
    costly = op_name(node) in PRODUCTS or op_name(node) in CELLS
    return bool(reads) and all(n in constant for n in reads) and not costly and not random


def _mutation(node: Node, source: Source) -> Cost | None:
    """An in-place operator is its functional twin, unless someone else looks at what it overwrites."""
    if not (isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable):
        return None
    target = node.all_input_nodes[0]
    if target is not root(target) or root(target) in source.parameters:
        return unsupported("writes into a part of a tensor or into a buffer; write it with torch.cat or torch.where")
    nodes = list(source.program.graph.nodes)
    later = set(nodes[nodes.index(node) + 1 :])
    aliases = (n for n in nodes if n is not target and n is not node and n.op == OPERATOR and root(n) is target)
    if any(user in later for alias in aliases for user in alias.users):
        return unsupported("overwrites a tensor of which a view is read later; write it out of place")
    return None


# --- names ------------------------------------------------------------------------------------------------------


def _module(node: Node) -> str:
    """The path of the innermost module an operator was called in; "" for the network itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    return path if all(part.isidentifier() or part.isdigit() for part in path.split(".")) else ""


def _op_names(nodes: Iterable[Node]) -> dict[Node, str]:
    """An operator is named after its module if that is a leaf which does nothing else, and otherwise
    module.operator, numbered."""
    listed = list(nodes)
    calls = Counter(map(_module, listed))
    containers = {path[:i] for path in calls for i, letter in enumerate(path) if letter == "."}
    leaves = {path for path, count in calls.items() if path and count == 1} - containers
    unique = _Unique()
    return {n: unique(_module(n) if _module(n) in leaves else _plain_name(n)) for n in listed}


def _plain_name(node: Node) -> str:
    name = op_name(node).strip("_")
    return ".".join(filter(None, (_module(node), SHORT.get(name, name))))


class _Unique:
    """Hands out each name once: add, add_2, add_3."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken: set[str] = set(taken)

    def __call__(self, name: str) -> str:
        found, number = name, 1
        while found in self.taken:
            number += 1
            found = f"{name}_{number}"
        self.taken.add(found)
        return found


class _Values:
    """The tensors of a graph: what each node's outputs are called and what they are."""

    def __init__(self, source: Source, ops: Mapping[Node, str]) -> None:
        self.source = source
        self.names: dict[tuple[Node, int], str] = {}
        self.parts: dict[str, Tensor] = {}
        self.unique = _Unique()
        for node in source.inputs:
            self.names[node, 0] = self.unique(node.name)
        self._name_held()
        for node, name in _named_results(source.program):
            if name and self._origin(node) not in self.names:
                self.names[self._origin(node)] = self.unique(name)
        for node, name in ops.items():
            self._name_outputs(node, name)
        results = {n for node in _results(source.program) for n in self.read(node)}
        self.results = results - {self.names[n, 0] for n in source.inputs}

    def _name_held(self) -> None:
        """A weight is called by its path in the network, a view of one `path.view`."""
        for node in self.source.program.graph.nodes:
            if node in self.source.parameters:
                self.names[node, 0] = self.unique(self.source.parameters[node][0])
            elif node in self.source.constants:
                self.names[node, 0] = self.unique(str(node.target))
            elif tensors(node) and root(node) in self.source.held and op_name(node) != "getitem":
                self._name_outputs(node, f"{self.read(node.all_input_nodes[0])[0]}.{op_name(node)}")

    def _name_outputs(self, node: Node, name: str) -> None:
        count = len(tensors(node))
        for i in range(count):
            if (node, i) not in self.names:
                self.names[node, i] = self.unique(name if count == 1 else f"{name}.{i}")

    def _origin(self, node: Node) -> tuple[Node, int]:
        """The operator and the number of its output that a node stands for."""
        if op_name(node) == "getitem":
            source, index = node.args
            assert isinstance(source, Node) and isinstance(index, int)
            kept = source.meta["val"][:index]
            return source, sum(isinstance(v, torch.Tensor) for v in kept)
        return node, 0

    def read(self, node: Node) -> tuple[str, ...]:
        """Names of the tensors that reading `node` reads."""
        if op_name(node) != "getitem" and len(tensors(node)) > 1:
            return tuple(self.names[node, i] for i in range(len(tensors(node))))
        return (self.names[self._origin(node)],) if tensors(node) else ()

    def tensors(self, used: set[str]) -> dict[str, Tensor]:
        """The tensors called by the names in `used`: the network's inputs, its weights, then values as they arise."""
        named = {name: self.tensor(node, i) for (node, i), name in self.names.items() if name in used}
        return named | self.parts

    def part(self, node: Node, owner: str, part: Part) -> str:
        """The name of what a part of `node`, an operator called `owner`, makes: its own tensor or one of the node's."""
        if part.writes >= 0:
            return self.names[node, part.writes]
        value, name = tensors(node)[0], self.unique(f"{owner}.{part.name}")
        shape = tuple(to_expr(s, self.source.symbols) for s in part.shape)
        dtype = str(value.dtype).removeprefix("torch.")
        self.parts[name] = Tensor(name, shape, value.dtype.itemsize * 8, dtype, Role.ACTIVATION)
        return name

    def tensor(self, node: Node, index: int) -> Tensor:
        """One output of a node as a workload tensor."""
        name, value = self.names[node, index], tensors(node)[index]
        shape = tuple(to_expr(s, self.source.symbols) for s in sizes_of(value.shape))
        bits, dtype = value.dtype.itemsize * 8, str(value.dtype).removeprefix("torch.")
        role, held = self._role(node, name), self._held(node, index)
        density, content = (1.0, "") if held is None else measure(held)
        return Tensor(name, shape, bits, dtype, role, density, content)

    def _role(self, node: Node, name: str) -> Role:
        if node in self.source.inputs:
            return self.source.inputs[node]
        if root(node) in self.source.held:
            return Role.WEIGHT
        return Role.OUTPUT if name in self.results else Role.ACTIVATION

    def _held(self, node: Node, index: int) -> torch.Tensor | None:
        """The values of a weight, or of a view of one, where they mean something."""
        found = _evaluate(node, self.source.parameters)
        return found[index] if isinstance(found, tuple | list) else found


def _evaluate(node: Node, parameters: Mapping[Node, tuple[str, torch.Tensor | None]]) -> Any:
    """The values of a view of a parameter; None for anything else, and for a view that depends on a symbolic size."""
    if node in parameters:
        return parameters[node][1]
    if root(node) not in parameters or not callable(node.target):
        return None
    first, *rest = node.args
    held = _evaluate(first, parameters) if isinstance(first, Node) else None
    if held is None or any(isinstance(leaf, Node) for leaf in pytree.tree_leaves((rest, node.kwargs))):
        return None
    return node.target(held, *rest, **node.kwargs)


def measure(values: torch.Tensor) -> tuple[float, str]:
    """(share of non-zeros, sha256 of the bytes) of a weight.

    Vectors are stored dense, whatever they hold: their share is 1. A matrix of zeros alone counts as one non-zero,
    since nothing can be stored with a density of 0.
    """
    flat = values.detach().cpu().contiguous().reshape(-1)
    content = hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()).hexdigest()
    if values.dim() < 2 or not values.numel():
        return 1.0, content
    return max(1, int(torch.count_nonzero(flat))) / flat.numel(), content


def _results(program: ExportedProgram) -> list[Node]:
    return [node for node, _ in _named_results(program) if tensors(node)]


def _named_results(program: ExportedProgram) -> list[tuple[Node, str]]:
    """The nodes a network returns, each with its key where it returns a dictionary and "" elsewhere."""
    wanted = {s.arg.name for s in program.graph_signature.output_specs if s.kind.name == "USER_OUTPUT"
              and hasattr(s.arg, "name")}  # fmt: skip
    output = next(n for n in program.graph.nodes if n.op == "output")
    nodes = [n for n in output.args[0] if isinstance(n, Node) and n.name in wanted]
    spec = program.call_spec.out_spec
    if spec is None or len(nodes) != spec.num_leaves:
        return [(n, "") for n in nodes]
    paths = [path for path, _ in pytree.tree_leaves_with_path(pytree.tree_unflatten(nodes, spec))]
    keyed = [any(isinstance(k, pytree.MappingKey) for k in path) for path in paths]
    return [(n, "_".join(_key(k) for k in path) if k_ else "") for n, path, k_ in zip(nodes, paths, keyed, strict=True)]


def _key(key: Any) -> str:
    return str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", ""))))


# --- operators --------------------------------------------------------------------------------------------------


def _operators(node: Node, cost: Cost, ops: Mapping[Node, str], values: _Values, unique: _Unique) -> Iterator[Op]:
    """The operator of a node, or those it stands for, called `unique`ly."""
    if not cost.parts:
        yield _operator(node, cost, ops, values)
    made: dict[str, str] = {}
    for part in cost.parts:
        made[part.name] = values.part(node, ops[node], part)
        read = (values.read(n) if isinstance(n, Node) else (made[n],) for n in part.reads)
        inputs = tuple(name for names in read for name in names)
        yield replace(
            _operator(node, part.cost, ops, values),
            name=unique(f"{ops[node]}.{part.name}"), inputs=inputs, outputs=(made[part.name],),
        )  # fmt: skip


def _operator(node: Node, cost: Cost, ops: Mapping[Node, str], values: _Values) -> Op:
    operands = cost.operands if cost.operands is not None else tuple(n for n in node.all_input_nodes if tensors(n))
    return Op(
        name=ops[node],
        kind=cost.kind,
        inputs=tuple(name for n in operands for name in values.read(n)),
        outputs=tuple(values.names[node, i] for i in range(len(tensors(node)))),
        dims=_dims(cost, values.source.symbols),
        attrs=dict(cost.attrs),
        module=_module(node),
        source=str(node.target) if isinstance(node.target, torch._ops.OpOverload) else op_name(node),
        disposition=cost.disposition,
        reason=cost.reason,
        into=ops[cost.into] if cost.into is not None else "",
    )


def _dims(cost: Cost, symbols: Mapping[Any, str]) -> dict[str, Expr]:
    return {name: to_expr(size, symbols) for name, size in cost.dims.items()}
