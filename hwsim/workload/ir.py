"""The workload: what is asked for, without a word about the machine.

A workload is a *program*. Its graphs hold operators over symbolic sizes; its schedules say in which order the graphs
run, how often, and under which sizes, so that decoding m tokens is one graph and one repeat, not m copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from hwsim.expr import Expr

Attr = bool | int | float | str


class Role(Enum):
    """What a tensor is to its graph. `STATE` outlives one call: a key/value cache."""

    INPUT = "input"
    WEIGHT = "weight"
    ACTIVATION = "activation"
    OUTPUT = "output"
    STATE = "state"


class Disposition(Enum):
    """How an operator ended. Nothing ends otherwise, so no cost vanishes in silence."""

    MODELLED = "modelled"
    FUSED = "fused"
    FREE = "free"
    UNSUPPORTED = "unsupported"


KINDS: Mapping[str, tuple[str, ...]] = {
    "matmul": ("batch", "m", "n", "k"),
    "conv2d": (
        "batch", "groups", "in_channels", "out_channels", "in_h", "in_w", "out_h", "out_w", "kernel_h", "kernel_w",
    ),
    "attention": ("batch", "heads", "kv_heads", "q", "kv", "d_qk", "d_v"),
    "softmax": ("rows", "length"),
    "norm": ("rows", "length"),
    "reduce": ("rows", "length"),
    "pool": ("batch", "channels", "out_h", "out_w", "kernel_h", "kernel_w"),
    "elementwise": ("elements",),
    "embedding": ("rows", "width"),
    "concat": ("elements",),
    "copy": ("elements",),
    "lut_network": ("samples", "inputs", "outputs"),
    "view": (),
    "unsupported": (),
}  # fmt: skip
"""Operator kinds and the loop sizes each one names. `m` rows by `n` columns over a reduction of `k`. No
operator of a framework is a "lut_network": it stands where a trained network of look-up tables replaced others."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One value. `bits` is the width of one element; `density` the share of non-zeros that was measured in it."""

    name: str
    shape: tuple[Expr, ...]
    bits: int
    dtype: str
    role: Role
    density: float = 1.0
    content: str = ""
    """sha256 of a weight's values as traced ("" where none were read), so that a run can name what it ran."""

    def elements(self, binding: Mapping[str, int]) -> int:
        """Number of elements under `binding`."""
        count = 1
        for size in self.shape:
            count *= size.value(binding)
        return count


@dataclass(frozen=True, slots=True)
class Op:
    """One operator of a graph.

    `dims` names the loop sizes of its kind (see KINDS). `inputs` and `outputs` are tensor names, in the order of the
    framework's operator. `reason` says why an operator is free, fused or unsupported; `into` names the operator a
    fused one became a part of.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dims: Mapping[str, Expr] = field(default_factory=dict)
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    module: str = ""
    source: str = ""
    disposition: Disposition = Disposition.MODELLED
    reason: str = ""
    into: str = ""

    def sizes(self, binding: Mapping[str, int]) -> dict[str, int]:
        """Its loop sizes as integers under `binding`."""
        return {name: size.value(binding) for name, size in self.dims.items()}

    def macs(self, binding: Mapping[str, int]) -> int:
        """Multiply-accumulates it asks for: exact for matmul, conv2d and attention, 0 for the rest."""
        s = self.sizes(binding)
        if self.kind == "matmul":
            return s["batch"] * s["m"] * s["n"] * s["k"]
        if self.kind == "conv2d":
            window = s["in_channels"] // s["groups"] * s["kernel_h"] * s["kernel_w"]
            return s["batch"] * s["out_channels"] * s["out_h"] * s["out_w"] * window
        if self.kind == "attention":
            return s["batch"] * s["heads"] * s["q"] * s["kv"] * (s["d_qk"] + s["d_v"])
        return 0


@dataclass(frozen=True, slots=True)
class Graph:
    """Operators in an order they can run in, over the tensors they name."""

    name: str
    tensors: Mapping[str, Tensor]
    ops: tuple[Op, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol its shapes and loop sizes use."""
        used: set[str] = set()
        for t in self.tensors.values():
            for e in t.shape:
                used |= e.symbols
        for op in self.ops:
            for e in op.dims.values():
                used |= e.symbols
        return frozenset(used)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A size the user may bind. `ratio` symbols are shares in (0, 1] (a density); the others are integers."""

    default: float
    low: float
    high: float
    meaning: str
    ratio: bool = False
    source: str = ""
    uncertain: tuple[float, float] | None = None
    """The range within which the truth is thought to lie, when the default is an assumption."""


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a graph, its symbols bound by expressions over the workload's symbols and the repeat's."""

    graph: str
    bind: Mapping[str, Expr] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Repeat:
    """`symbol` runs from `first` to `last`, both included, in steps of one."""

    symbol: str
    first: Expr
    last: Expr


@dataclass(frozen=True, slots=True)
class Phase:
    """Calls in order, once or once per value of `repeat`. A phase that `generates` yields one token per pass."""

    name: str
    calls: tuple[Call, ...]
    repeat: Repeat | None = None
    generates: bool = False


@dataclass(frozen=True, slots=True)
class Workload:
    """A network and the ways to run it. The first schedule is the default one."""

    name: str
    summary: str
    symbols: Mapping[str, Symbol]
    graphs: Mapping[str, Graph]
    schedules: Mapping[str, tuple[Phase, ...]]
    provenance: Mapping[str, str] = field(default_factory=dict)
    masks: str = ""
    """File beside the workload's that holds the non-zero masks of its weights, by tensor name; "" for none."""

    def schedule(self, *names: str) -> tuple[Phase, ...]:
        """The first of `names` that this workload has, or its default schedule."""
        for name in names:
            if name in self.schedules:
                return self.schedules[name]
        return next(iter(self.schedules.values()))

    def macs(self, binding: Mapping[str, int], schedule: str = "") -> int:
        """MACs of a whole schedule (the default one if not named) under `binding`, which must bind every symbol."""
        return sum(
            op.macs(local) for _, _, local, graph in self.walk(binding, self.schedule(schedule)) for op in graph.ops
        )

    def walk(
        self, binding: Mapping[str, int], schedule: tuple[Phase, ...]
    ) -> list[tuple[Phase, int, dict[str, int], Graph]]:
        """Every graph call in order: its phase, the pass (from 0), the symbols bound for it, and the graph."""
        calls = []
        for phase in schedule:
            passes: range = range(1)
            if phase.repeat:
                passes = range(phase.repeat.first.value(binding), phase.repeat.last.value(binding) + 1)
            for number, at in enumerate(passes):
                scope = dict(binding)
                if phase.repeat:
                    scope[phase.repeat.symbol] = at
                for call in phase.calls:
                    local = scope | {name: e.value(scope) for name, e in call.bind.items()}
                    calls.append((phase, number, local, self.graphs[call.graph]))
        return calls
