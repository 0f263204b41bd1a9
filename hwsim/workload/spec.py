"""What to trace: graphs over declared inputs, and the schedules that run them. Torch-free: a module is any object.

A `TraceSpec` is what a tracing target (`hwsim trace module:function`) returns when its network has sizes to keep
symbolic, several graphs, or more than one way to run::

    TraceSpec(
        name="tiny-decoder",
        summary="...",
        graphs=(GraphSpec("step", net, (Input(("q", 64)), Input(("p", 64), role=Role.STATE)), limits={"q": (1, 512)}),),
        symbols={"m": Symbol(16, 1, 512, "tokens to generate")},
        schedules={"cached": (Phase("decode", (Call("step", {"q": parse(1), "p": parse("t - 1")}),),
                                    Repeat("t", parse(1), parse("m")), generates=True),)},
    )
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hwsim.workload.ir import Phase, Role, Symbol


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor a graph is called with.

    A string in `shape` is a size that stays symbolic. Integer inputs are indices, below `below`; `role` is INPUT,
    or STATE for what an earlier call left behind (a key/value cache).
    """

    shape: tuple[int | str, ...]
    dtype: str = "float32"
    role: Role = Role.INPUT
    below: int = 2


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph: `method` of the torch module `module`, called with `args`.

    `args` holds an `Input` per argument, or tuples, lists and dictionaries of them. `limits` are the smallest and
    the largest value a symbolic size may take; a size not named there is at least 1 and has no upper limit.
    """

    name: str
    module: Any
    args: tuple[Any, ...]
    method: str = "forward"
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TraceSpec:
    """A whole workload to trace. Without `schedules` every graph runs once, in order.

    With `trained` the weights mean something: their share of non-zeros is measured and their values are hashed.
    """

    name: str
    summary: str
    graphs: tuple[GraphSpec, ...]
    symbols: Mapping[str, Symbol] = field(default_factory=dict)
    schedules: Mapping[str, tuple[Phase, ...]] = field(default_factory=dict)
    trained: bool = True
    provenance: Mapping[str, str] = field(default_factory=dict)
    masks: str = ""
