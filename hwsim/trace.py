"""PyTorch networks to workloads, through `torch.export` on the undecomposed ATen graph.

    trace(module, inputs)              one network -> one Graph
    trace_workload(spec)               graphs, schedules and symbolic sizes -> Workload
    trace_target("module:function")    what `hwsim trace` runs

Only this module and `hwsim.tracing` import torch. docs/tracing.md is the guide.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from hwsim.errors import InputError, Problem, Where, bad_input
from hwsim.workload.ir import Call, Disposition, Graph, Op, Phase, Role, Workload
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

try:
    import torch
except ImportError:
    raise bad_input(
        "no-torch", "no PyTorch", "tracing needs PyTorch", "Install it: pip install 'hwsim[trace]'."
    ) from None

from torch.utils import _pytree as pytree

from hwsim.tracing import graph as _graph
from hwsim.tracing.export import Arguments, export, name_axes

EXAMPLE_SIZES = (7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)
"""Sizes that symbols have while tracing: unlike one another, and unlike 0 and 1, which PyTorch treats apart."""


# --- one network ------------------------------------------------------------------------------------------------


def trace(
    module: torch.nn.Module,
    inputs: Sequence[Any] | torch.Tensor,
    *,
    name: str = "network",
    dynamic: Mapping[str, Any] | None = None,
    limits: Mapping[str, tuple[int, int]] | None = None,
    method: str = "forward",
    trained: bool = True,
) -> Graph:
    """Trace `module(*inputs)`, in inference mode, into a Graph.

    dynamic  argument name -> {axis: symbol}: sizes that stay symbolic (for a list argument, a list of these)
    limits   symbol -> (smallest, largest) value; 1 and up where not given
    method   the method to trace instead of forward
    trained  whether to measure the share of non-zeros of the weights and hash their values

    The module is left as it was. Operators nobody can price are in the graph, with the disposition UNSUPPORTED.
    Raises InputError when PyTorch cannot turn the network into a graph.
    """
    values = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
    _check_module(module, method)
    names = list(inspect.signature(getattr(module, method)).parameters)
    axes = name_axes(names, values, dynamic or {})
    if len(axes) != len(pytree.tree_leaves(values)):
        rule = f"{len(values)} inputs for a network with the arguments {', '.join(names)}"
        raise bad_input("inputs", len(values), rule, "Name every argument of the network; *args cannot be traced.")
    arguments = Arguments(values, tuple(axes), (Role.INPUT,) * len(axes))
    return _traced(module, arguments, name, method, limits or {}, trained)


def _check_module(module: Any, method: str) -> None:
    if not isinstance(module, torch.nn.Module):
        raise bad_input("not-a-module", type(module).__name__, "a torch.nn.Module is needed here")
    if not callable(getattr(module, method, None)):
        raise bad_input("no-method", method, f"{type(module).__name__} has no such method")


def _traced(
    module: torch.nn.Module,
    arguments: Arguments,
    name: str,
    method: str,
    limits: Mapping[str, tuple[int, int]],
    trained: bool,
) -> Graph:
    source = export(module, arguments, method=method, limits=limits, trained=trained, name=name)
    _graph.refuse_data_dependent(source)
    return _graph.build(source, name)


# --- a workload -------------------------------------------------------------------------------------------------


def trace_workload(spec: TraceSpec) -> Workload:
    """Trace every graph of `spec`.

    Raises InputError as `trace` does.
    """
    graphs = {g.name: trace_graph(g, trained=spec.trained) for g in spec.graphs}
    schedules = dict(spec.schedules) or {"once": (Phase("run", tuple(Call(name) for name in graphs)),)}
    provenance = {"torch": torch.__version__.split("+")[0], **spec.provenance}
    return Workload(spec.name, spec.summary, dict(spec.symbols), graphs, schedules, provenance, spec.masks)


def trace_graph(spec: GraphSpec, *, trained: bool = True) -> Graph:
    """Trace one declared graph, at example sizes that keep every symbol apart from the others."""
    _check_module(spec.module, spec.method)
    declared = pytree.tree_leaves(spec.args)
    for leaf in declared:
        if not isinstance(leaf, Input):
            raise bad_input("not-an-input", type(leaf).__name__, "args hold Input declarations", "Write Input((1, 8)).")
    axes = tuple({i: s for i, s in enumerate(leaf.shape) if isinstance(s, str)} for leaf in declared)
    values = example_inputs(spec, example_sizes(spec))
    arguments = Arguments(values, axes, tuple(leaf.role for leaf in declared))
    return _traced(spec.module, arguments, spec.name, spec.method, spec.limits, trained)


def example_sizes(spec: GraphSpec) -> dict[str, int]:
    """A value for every symbol of `spec`, within its limits and unlike the other sizes."""
    shapes = [leaf.shape for leaf in pytree.tree_leaves(spec.args)]
    taken = {s for shape in shapes for s in shape if isinstance(s, int)}
    sizes: dict[str, int] = {}
    for symbol in sorted({s for shape in shapes for s in shape if isinstance(s, str)}):
        low, high = spec.limits.get(symbol, (1, 0))
        free = (s for s in EXAMPLE_SIZES if s not in taken and s >= low and (not high or s <= high))
        sizes[symbol] = next(free, high or low)
        taken.add(sizes[symbol])
    return sizes


def example_inputs(spec: GraphSpec, sizes: Mapping[str, int]) -> tuple[Any, ...]:
    """Arguments for `spec` with its symbols at `sizes`: zeros for indices, a fixed ramp for the rest.

    They live where the module's weights live.
    """
    held = next(iter([*spec.module.parameters(), *spec.module.buffers()]), None)
    device = held.device if held is not None else torch.device("cpu")

    def example(leaf: Input) -> torch.Tensor:
        shape = [sizes[s] if isinstance(s, str) else s for s in leaf.shape]
        dtype = getattr(torch, leaf.dtype)
        if not dtype.is_floating_point:
            return (torch.arange(_count(shape), device=device) % leaf.below).reshape(shape).to(dtype)
        return torch.linspace(-1, 1, _count(shape), device=device).reshape(shape).to(dtype)

    made: tuple[Any, ...] = pytree.tree_map(example, spec.args)
    return made


def _count(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


# --- a target ---------------------------------------------------------------------------------------------------


def trace_target(target: str) -> Workload:
    """Trace what the function at "module:function" returns.

    The function takes no argument and returns a `TraceSpec`, or `(module, inputs)` for a network with fixed sizes,
    which becomes a workload of one graph called once. Modules are looked for in the current folder too. Raises
    InputError for a target that cannot be found, fails or returns something else.
    """
    spec, _ = load_target(target)
    return trace_workload(replace(spec, provenance={"target": target, **spec.provenance}))


def load_target(target: str) -> tuple[TraceSpec, Any]:
    """What the function at "module:function" returns, and the inputs it gave with it (None with a `TraceSpec`).

    Raises InputError for a target that cannot be found, fails or returns something else.
    """
    function = _find(target)
    try:
        with _current_folder(), redirect_stdout(sys.stderr):
            found = function()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(target, error) from None
    return _spec(target, found), None if isinstance(found, TraceSpec) else found[1]


def _spec(target: str, found: Any) -> TraceSpec:
    if isinstance(found, TraceSpec):
        return found
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], torch.nn.Module)):
        rule = "the function must return (module, inputs) or a TraceSpec"
        raise bad_input("target", type(found).__name__, rule, "See docs/tracing.md.", key=target)
    module, inputs = found
    values = (inputs,) if isinstance(inputs, torch.Tensor) else tuple(inputs)
    args = pytree.tree_map(_declared, values)
    name = target.partition(":")[2].replace("_", "-")
    return TraceSpec(name, f"{type(module).__name__}, traced from {target}", (GraphSpec("network", module, args),))


def _declared(value: Any) -> Input:
    if not isinstance(value, torch.Tensor):
        raise bad_input("input", type(value).__name__, "inputs are tensors, or lists and dictionaries of them")
    return Input(tuple(value.shape), str(value.dtype).removeprefix("torch."))


def _find(target: str) -> Callable[[], Any]:
    path, colon, name = target.partition(":")
    legal = colon and name.isidentifier() and all(part.isidentifier() for part in path.split("."))
    if not legal:
        raise bad_input("target", target, "must read MODULE:FUNCTION", "For instance workloads.transformer:base.")
    try:
        with _current_folder(), redirect_stdout(sys.stderr):
            module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and path.startswith(error.name):
            rule = f"there is no module {error.name} here or among the installed ones"
            raise bad_input("target", target, rule, "Run in the folder that holds it.") from None
        raise _failed(target, error) from None
    except (Exception, SystemExit) as error:
        raise _failed(target, error) from None
    function = getattr(module, name, None)
    if not callable(function):
        offered = sorted(n for n, f in vars(module).items() if inspect.isfunction(f) and not n.startswith("_"))
        raise bad_input("target", target, f"{path} has no function {name}", f"It has: {', '.join(offered) or 'none'}.")
    return function  # type: ignore[no-any-return]


@contextmanager
def _current_folder() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _failed(target: str, error: BaseException) -> InputError:
    """The user's own code raised: one problem that says what and where."""
    frame = error.__traceback__
    place = Where(key=target)
    while frame is not None:
        file = frame.tb_frame.f_code.co_filename
        if not file.startswith("<") and file != __file__:
            place = Where(file, frame.tb_lineno, 1, target)
        frame = frame.tb_next
    got = f"{type(error).__name__}: {error}"[:300]
    return InputError((Problem("target", place, got, "the function must run without raising", "Mend it and retry."),))


# --- coverage ---------------------------------------------------------------------------------------------------


def coverage(workload: Workload) -> list[tuple[str, str, str, str, int]]:
    """How every operator ended: (graph, ATen operator, disposition, reason, how many), in order of first use."""
    counts: dict[tuple[str, str, str, str], int] = {}
    for graph in workload.graphs.values():
        for op in graph.ops:
            key = (graph.name, op.source, op.disposition.value, op.reason)
            counts[key] = counts.get(key, 0) + 1
    return [(*key, count) for key, count in counts.items()]


def unsupported(workload: Workload) -> list[Op]:
    """The operators nobody can price."""
    return [op for g in workload.graphs.values() for op in g.ops if op.disposition is Disposition.UNSUPPORTED]
