"""One traced operator with its arguments by name, and what a rule says about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch.fx import Node

from hwsim.tracing.sizes import Size, sizes_of
from hwsim.workload.ir import Attr, Disposition

TRANSPOSES = ("t", "numpy_T", "mT", "transpose", "permute", "swapaxes", "swapdims")
_READINGS = """
    alias as_strided chunk detach diagonal expand expand_as flatten lift_fresh_copy lift_fresh movedim moveaxis narrow
    reshape reshape_as select slice split split_with_sizes squeeze tensor_split unbind unflatten unsafe_split unsqueeze
    view view_as _unsafe_view
"""
VIEWS = frozenset((*TRANSPOSES, *_READINGS.split()))
"""Operators that only say how the values of their first argument are to be read."""


class Unsupported(Exception):
    """Raised by a rule that cannot say what an operator costs; the text says why."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an operator is: its kind, loop sizes and attributes (see hwsim.workload.ir), or why it is none.

    `operands` are the nodes it reads where they are not simply its tensor arguments in order; `into` is the node a
    fused operator became a part of. An operator with `parts` is those, in order, and nothing else.
    """

    kind: str
    dims: Mapping[str, Size] = field(default_factory=dict)
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    operands: tuple[Node, ...] | None = None
    disposition: Disposition = Disposition.MODELLED
    reason: str = ""
    into: Node | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One of several operators that one of PyTorch's stands for.

    It reads nodes and what earlier parts made, by their names, and makes a tensor of `shape`: the output number
    `writes` of the operator it is a part of, or one of its own (-1).
    """

    name: str
    cost: Cost
    reads: tuple[Node | str, ...]
    shape: tuple[Size, ...]
    writes: int = -1


def free(reason: str, kind: str = "view") -> Cost:
    """The cost of an operator that costs nothing, and why."""
    return Cost(kind, disposition=Disposition.FREE, reason=reason)


def unsupported(reason: str) -> Cost:
    """The cost of an operator nobody can price, and why."""
    return Cost("unsupported", disposition=Disposition.UNSUPPORTED, reason=reason)


def fused(cost: Cost, into: Node, reason: str) -> Cost:
    """`cost` as a part of the operator at `into`, and why."""
    return replace(cost, disposition=Disposition.FUSED, into=into, reason=reason)


def tensors(node: Node) -> tuple[Any, ...]:
    """The tensors a node yields: none for a size or a check."""
    value = node.meta.get("val")
    values = value if isinstance(value, tuple | list) else (value,)
    return tuple(v for v in values if isinstance(v, torch.Tensor))


def shape(node: Node) -> list[Size]:
    """The sizes of the first tensor a node yields."""
    return sizes_of(tensors(node)[0].shape)


def op_name(node: Node) -> str:
    """`linear` of `aten.linear.default`; an in-place operator is called like its functional twin, an input ""."""
    target = node.target
    if node.op != "call_function":
        return ""
    if not isinstance(target, torch._ops.OpOverload):
        return getattr(target, "__name__", str(target))
    name: str = target._schema.name.split("::")[-1]
    return name.rstrip("_") if target._schema.is_mutable else name


def arguments(node: Node) -> dict[str, Any]:
    """The arguments of an ATen node by the names of its schema, defaults filled in."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return {}
    schema = node.target._schema.arguments
    given = {a.name: v for a, v in zip(schema, node.args, strict=False)} | dict(node.kwargs)
    defaults = {a.name: a.default_value for a in schema if a.has_default_value()}
    bound = defaults | given
    return {a.name: bound[a.name] for a in schema}


class Call:
    """A node and the graph facts its rule may ask for. `weights` are the placeholders that hold parameters."""

    def __init__(self, node: Node, weights: frozenset[Node], states: frozenset[Node]) -> None:
        self.node = node
        self.name = op_name(node)
        self.args = arguments(node)
        self.weights = weights
        self.states = states

    def __getitem__(self, name: str) -> Any:
        return self.args[name]

    def shape(self, name: str) -> list[Size]:
        """Sizes of the tensor argument `name`."""
        return shape(self.args[name])

    @property
    def out(self) -> list[Size]:
        """Sizes of the first output."""
        return shape(self.node)

    def is_weight(self, node: Any) -> bool:
        """Whether a node is a parameter, or only a view of one."""
        return root(node) in self.weights if isinstance(node, Node) else False

    def stored(self, node: Node) -> tuple[Node, bool]:
        """A weight operand as it is stored, and whether its last two axes are swapped between there and here."""
        swapped = False
        while op_name(node) in TRANSPOSES and isinstance(node.args[0], Node) and _swaps_last(node):
            node, swapped = node.args[0], not swapped
        return node, swapped


def _swaps_last(node: Node) -> bool:
    """Whether a transposing operator swaps the two axes of a matrix."""
    if len(shape(node)) != 2:
        return False
    args = arguments(node)
    if "dims" in args:
        return [a % 2 for a in args["dims"]] == [1, 0]
    axes = [a % 2 for name, a in args.items() if name in ("dim0", "dim1", "axis0", "axis1")]
    return axes in ([], [0, 1], [1, 0])


def root(node: Node) -> Node:
    """The node whose values a chain of views reads."""
    while node.op == "call_function" and (op_name(node) in VIEWS or op_name(node) == "getitem"):
        if not node.all_input_nodes:
            break
        node = node.all_input_nodes[0]
    return node


def users_of(node: Node) -> Iterator[Node]:
    """The operators that read a node, sizes aside: asking a tensor for its size is not reading it."""
    return (u for u in node.users if op_name(u) not in ("sym_size", "sym_numel", "sym_stride"))
