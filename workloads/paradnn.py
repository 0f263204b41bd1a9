"""ParaDnn's families of networks: fully connected, residual, bottleneck, and recurrent (RNN, LSTM, GRU).

As published with Y. E. Wang, G.-Y. Wei, D. Brooks, "A Systematic Methodology for Analysis of Deep Learning Hardware and
Software Platforms", MLSys 2020 (arXiv:1907.10701), and its code (github.com/Emma926/paradnn, files fc.py,
resnet_model.py, rnn.py). docs/paradnn.md says what each network is, and which ranges the paper sweeps.

Operators have the names, kinds and loop sizes that tracing the same network in PyTorch gives. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hwsim.expr import Expr, parse
from hwsim.workload.family import Family, Parameter
from hwsim.workload.ir import Attr, Call, Graph, Op, Phase, Role, Symbol, Tensor, Workload

SOURCE = "Wang, Wei, Brooks, MLSys 2020 (ParaDnn)"
Size = int | str


def _sizes(sizes: Sequence[Size]) -> tuple[Expr, ...]:
    return tuple(parse(size) for size in sizes)


def _product(*sizes: Size) -> str:
    return " * ".join(s if isinstance(s, str) and s.isidentifier() else f"({s})" for s in sizes)


class _Builder:
    """One graph, operator by operator."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: dict[str, Tensor] = {}
        self.ops: list[Op] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []

    def tensor(self, name: str, shape: Sequence[Size], role: Role = Role.ACTIVATION, dtype: str = "float32") -> str:
        """One more tensor."""
        bits = 64 if dtype == "int64" else 32
        self.tensors[name] = Tensor(name, _sizes(shape), bits, dtype, role)
        if role is Role.INPUT:
            self.inputs.append(name)
        return name

    def op(self, name: str, kind: str, source: str, inputs: Sequence[str], shape: Sequence[Size],
           dims: Mapping[str, Size], attrs: Mapping[str, Attr] | None = None) -> str:  # fmt: skip
        """One more operator with one result of `shape`, which has its name."""
        self.tensor(name, shape)
        sizes = {key: parse(size) for key, size in dims.items()}
        self.ops.append(Op(name, kind, tuple(inputs), (name,), sizes, dict(attrs or {}), source=f"aten.{source}"))
        return name

    def weight(self, name: str, *shape: Size) -> str:
        """One more weight."""
        return self.tensor(name, shape, Role.WEIGHT)

    def linear(self, name: str, source: str, rows: Sequence[Size], k: Size, n: Size) -> str:
        """A dense layer with a bias."""
        operands = (source, self.weight(f"{name}.weight", n, k), self.weight(f"{name}.bias", n))
        dims = {"batch": 1, "m": _product(*rows), "n": n, "k": k}
        attrs: dict[str, Attr] = {"static": True, "weight_layout": "nk"}
        return self.op(name, "matmul", "linear.default", operands, (*rows, n), dims, attrs)

    def elementwise(self, name: str, function: str, inputs: Sequence[str], shape: Sequence[Size]) -> str:
        """A function of elements."""
        source = f"{function}.{'Tensor' if len(inputs) > 1 else 'default'}"
        return self.op(name, "elementwise", source, inputs, shape, {"elements": _product(*shape)},
                       {"function": function})  # fmt: skip

    def graph(self, *outputs: str) -> Graph:
        """The graph with these results."""
        for name in outputs:
            old = self.tensors[name]
            self.tensors[name] = Tensor(name, old.shape, old.bits, old.dtype, Role.OUTPUT)
        return Graph(self.name, self.tensors, tuple(self.ops), tuple(self.inputs), outputs)


def _symbol(default: int, low: int, high: int, meaning: str) -> Symbol:
    return Symbol(default, low, high, meaning, source=SOURCE)


BATCH = _symbol(64, 1, 1 << 16, "inputs at once")


def _single(name: str, summary: str, symbols: Mapping[str, Symbol], graph: Graph) -> Workload:
    """A workload that is one graph, run once."""
    return Workload(name, summary, symbols, {graph.name: graph}, {"once": (Phase("run", (Call(graph.name),)),)})


# --- fully connected --------------------------------------------------------------------------------------------

FC_SYMBOLS = {
    "nodes": _symbol(32, 1, 1 << 16, "nodes of a hidden layer"),
    "input": _symbol(2000, 1, 1 << 20, "values of an input"),
    "output": _symbol(200, 1, 1 << 20, "classes"),
    "batch": BATCH,
}


def fully_connected(layers: int) -> Workload:
    """`layers` hidden layers with ReLU, then a dense layer to the classes."""
    b = _Builder("network")
    at, width = b.tensor("x", ("batch", "input"), Role.INPUT), "input"
    for i in range(layers):
        made = b.linear(f"fc_{i}", at, ("batch",), width, "nodes")
        at, width = b.elementwise(f"fc_{i}.relu", "relu", (made,), ("batch", "nodes")), "nodes"
    graph = b.graph(b.linear(f"fc_{layers}", at, ("batch",), width, "output"))
    return _single("paradnn-fc", f"ParaDnn: {layers} fully connected hidden layers", FC_SYMBOLS, graph)


FC = Family(
    "paradnn-fc",
    "ParaDnn: fully connected hidden layers",
    {"layers": Parameter(4, 1, 256, "hidden layers", source=SOURCE)},
    fully_connected,
)
