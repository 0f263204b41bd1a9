"""torch.export with sizes by name, and its complaints as user errors."""

from __future__ import annotations

import io
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.fx import Node
from torch.utils import _pytree as pytree

from hwsim.errors import InputError, Problem, Where, bad_input
from hwsim.tracing.graph import Source
from hwsim.workload.ir import Role

MESSAGE_LENGTH = 300
Limits = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Arguments:
    """Example arguments of a network, and per tensor leaf which axes stay symbolic and what role it has."""

    values: tuple[Any, ...]
    axes: tuple[Mapping[int, str], ...]
    roles: tuple[Role, ...]


def export(
    module: torch.nn.Module, arguments: Arguments, *, method: str, limits: Limits, trained: bool, name: str
) -> Source:
    """Export `method` of `module`, in inference mode, with the named axes symbolic.

    Raises InputError when PyTorch cannot turn it into a graph, or when the network fixes or narrows a size that was to
    stay symbolic.
    """
    dims = {symbol: Dim(symbol, **_range(symbol, limits)) for axes in arguments.axes for symbol in axes.values()}
    shapes = [{axis: dims[symbol] for axis, symbol in axes.items()} or None for axes in arguments.axes]
    structure = pytree.tree_structure(arguments.values)
    with _inference(module, method), _quiet():
        try:
            dynamic = pytree.tree_unflatten(shapes, structure) if dims else None
            program = torch.export.export(module, arguments.values, dynamic_shapes=dynamic)
        except Exception as error:
            raise _complaint(error, name) from None
    return _source(module, program, arguments, limits, trained)


def _range(symbol: str, limits: Limits) -> dict[str, int]:
    low, high = limits.get(symbol, (1, 0))
    return {"min": low, "max": high} if high else {"min": low}


@contextmanager
def _inference(module: torch.nn.Module, method: str) -> Iterator[None]:
    """`module` with dropout and the like asleep and `method` as its forward; as it was, afterwards."""
    modes = {m: m.training for m in module.modules()}
    module.eval()
    if method != "forward":
        module.__dict__["forward"] = getattr(module, method)
    try:
        with torch.no_grad():
            yield
    finally:
        if method != "forward":
            del module.__dict__["forward"]
        for part, training in modes.items():
            part.training = training


@contextmanager
def _quiet() -> Iterator[None]:
    """Results alone go to stdout, so what the network prints goes to stderr. PyTorch prints half-made graphs there and
    warns about its own internals; what matters of that comes as an exception."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


# --- what came out ----------------------------------------------------------------------------------------------


def _source(
    module: torch.nn.Module, program: ExportedProgram, arguments: Arguments, limits: Limits, trained: bool
) -> Source:
    nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    leaves = pytree.tree_leaves(arguments.values)
    inputs: dict[Node, Role] = {}
    symbols: dict[Any, str] = {}
    for leaf, axes, role, name in zip(
        leaves, arguments.axes, arguments.roles, program.graph_signature.user_inputs, strict=True
    ):
        if isinstance(leaf, torch.Tensor):
            inputs[nodes[str(name)]] = role
            symbols |= {_symbol(nodes[str(name)], axis, symbol): symbol for axis, symbol in axes.items()}
    _check_ranges(program, symbols, limits)
    parameters, constants = _held(module, program, nodes, trained)
    return Source(program, symbols, inputs, parameters, constants)


def _symbol(node: Node, axis: int, name: str) -> Any:
    size = node.meta["val"].shape[axis]
    found = getattr(getattr(size, "node", None), "expr", size)
    if getattr(found, "is_Symbol", False):
        return found
    raise bad_input(
        "fixed-size",
        f"{name} = {found}",
        f"the network fixes axis {axis} of {node.name}, which was to stay symbolic",
        "Drop it from the symbolic sizes, or make the network work for every value.",
    )


def _check_ranges(program: ExportedProgram, symbols: Mapping[Any, str], limits: Limits) -> None:
    for symbol, name in symbols.items():
        found = program.range_constraints.get(symbol)
        low, high = limits.get(name, (1, 0))
        if found is None or (found.lower <= max(2, low) and (not high or found.upper >= high)):
            continue
        raise bad_input(
            "narrowed-size",
            f"{name} from {found.lower} to {found.upper}",
            f"the network accepts fewer values of {name} than were asked for",
            "Narrow its limits or widen the network.",
        )


def _held(
    module: torch.nn.Module, program: ExportedProgram, nodes: Mapping[str, Node], trained: bool
) -> tuple[dict[Node, tuple[str, torch.Tensor | None]], frozenset[Node]]:
    parameters: dict[Node, tuple[str, torch.Tensor | None]] = {}
    constants = set()
    for spec in program.graph_signature.input_specs:
        node, target = nodes.get(getattr(spec.arg, "name", "")), spec.target
        if node is None or target is None:
            continue
        if spec.kind.name in ("PARAMETER", "BUFFER"):
            values = _values(module, program, target) if trained else None
            parameters[node] = target, values
        else:
            constants.add(node)
    return parameters, frozenset(constants)


def _values(module: torch.nn.Module, program: ExportedProgram, target: str) -> torch.Tensor | None:
    found = program.state_dict.get(target)
    if found is None:
        found = program.constants.get(target)
    values = found if isinstance(found, torch.Tensor) else module.get_buffer(target)
    return None if values.is_meta else values


# --- complaints -------------------------------------------------------------------------------------------------


def _complaint(error: Exception, name: str) -> InputError:
    """PyTorch's pages of advice as one problem: the first line, the place in the user's code, the remedy."""
    if isinstance(error, InputError):
        return error
    text = str(error)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "").split(" For more information")[0]
    got = f"{type(error).__name__}: {first}"[:MESSAGE_LENGTH]
    rule = f"torch.export cannot turn {name} into a graph"
    return InputError((Problem("export", _user_code(error, text), got, rule, _remedy(text)),))


def _remedy(text: str) -> str:
    if "data-dependent" in text:
        return (
            "Its control flow or its sizes depend on the values it computes: use torch.where or torch.cond instead of "
            "if, and no .item()."
        )
    if "Suggested fixes:" in text:
        fixes = [line.strip() for line in text.split("Suggested fixes:")[1].splitlines() if "=" in line]
        if fixes:
            return f"A symbolic size does not stay free: PyTorch finds {'; '.join(fixes)}."
    return "Call the network once with the same inputs; if that works, rewrite the place named into plain tensor code."


def _user_code(error: Exception, text: str) -> Where:
    """The last place outside PyTorch and this package, from the traceback or from PyTorch's own message."""
    ours = (torch.__path__[0], str(Path(__file__).parent))
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(".py")]
    outside = [f for f in frames if not f.filename.startswith((*ours, sys.base_prefix))]
    named = [line.split('"') for line in text.splitlines() if line.strip().startswith('File "')]
    for parts in reversed(named):
        number = parts[2].removeprefix(", line ").split(",")[0]
        if number.isdigit() and not parts[1].startswith((*ours, sys.base_prefix)):
            return Where(parts[1], int(number), 1)
    return Where(outside[-1].filename, outside[-1].lineno or 0, 1) if outside else Where()


def name_axes(names: Sequence[str], values: Sequence[Any], dynamic: Mapping[str, Any]) -> list[Mapping[int, str]]:
    """Per tensor leaf of `values` its symbolic axes, from `dynamic`: argument name -> {axis: symbol}.

    For an argument that is a list, a tuple or a dictionary, `dynamic` holds the same structure. Raises InputError for
    a name that is no argument and a structure that does not match.
    """
    for name in dynamic:
        if name not in names:
            raise bad_input("unknown-argument", name, f"the network's arguments are {', '.join(names)}")
    return [axes for name, value in zip(names, values, strict=False) for axes in _axes(name, value, dynamic.get(name))]


def _axes(name: str, value: Any, wanted: Any) -> list[Mapping[int, str]]:
    if wanted is None:
        return [{} for _ in pytree.tree_leaves(value)]
    if isinstance(value, torch.Tensor):
        return [_tensor_axes(name, value, wanted)]
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, tuple | list) else []
    if not keys or not isinstance(wanted, Mapping | tuple | list) or len(wanted) != len(keys):
        raise bad_input("dynamic", wanted, f"must have the structure of the argument {name}")
    return [axes for key in keys for axes in _axes(f"{name}[{key}]", value[key], wanted[key])]


def _tensor_axes(name: str, value: torch.Tensor, wanted: Any) -> Mapping[int, str]:
    legal = isinstance(wanted, Mapping) and all(
        isinstance(axis, int)
        and -value.dim() <= axis < value.dim()
        and isinstance(symbol, str)
        and symbol.isidentifier()
        for axis, symbol in wanted.items()
    )
    if not legal:
        rule = f"must map axes of {name} (it has {value.dim()}) to symbols"
        raise bad_input("dynamic", wanted, rule, 'For instance {0: "n"}.')
    return {axis % value.dim(): symbol for axis, symbol in wanted.items()}
