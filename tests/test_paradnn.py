"""ParaDnn's families: parameters and products by formula, and operator by operator the networks that PyTorch traces."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from hwsim.simulate import resolve_binding, run
from hwsim.workload import store
from hwsim.workload.family import Network, load_network, weights_of
from hwsim.workload.gradients import trainable
from hwsim.workload.ir import Graph, Workload
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from hwsim.trace import trace_workload  # noqa: E402

FAMILIES = ("fc", "residual", "bottleneck", "rnn", "lstm", "gru")
Sizes = Mapping[str, int]
load = cache(load_network)


def network(kind: str, train: str = "") -> Network:
    return load(f"paradnn-{kind}", train)


def built(kind: str, sizes: Sizes, train: str = "") -> Workload:
    return network(kind, train).built(sizes)


def parameters(workload: Workload, sizes: Sizes) -> int:
    """The elements of all weights that training changes."""
    names = {n: g.tensors[n] for g in workload.graphs.values() for n in trainable(g)}
    return sum(t.elements(sizes) for t in names.values())


# --- by formula -------------------------------------------------------------------------------------------------


def dense(k: int, n: int) -> tuple[int, int]:
    """(parameters, products of one row) of a dense layer with a bias."""
    return k * n + n, k * n


def fc_formula(s: Sizes) -> tuple[int, int]:
    widths = [s["input"], *[s["nodes"]] * s["layers"], s["output"]]
    layers = [dense(a, b) for a, b in pairwise(widths)]
    return sum(p for p, _ in layers), s["batch"] * sum(m for _, m in layers)


def half(size: int) -> int:
    return -(-size // 2)


def cnn_formula(s: Sizes, widen: int) -> tuple[int, int]:
    """Published: 7 x 7 convolution and pooling, each halving; groups halve but the first; every first block projects;
    a window of 7 x 7 at the end."""
    weights = products = 0

    def conv(a: int, b: int, kernel: int, side: int) -> None:
        nonlocal weights, products
        weights += a * b * kernel**2 + 2 * b
        products += a * b * kernel**2 * side**2

    side = half(s["image"])
    conv(3, s["filters"], 7, side)
    side, before = half(side), s["filters"]
    for g in range(4):
        f = s["filters"] * 2**g
        for i in range(s[f"blocks_{g + 1}" if g else "blocks"] or s["blocks"]):
            wide = side
            side = half(side) if g and not i else side
            if not i:
                conv(before, widen * f, 1, side)
            if widen == 1:
                conv(before, f, 3, side)
                conv(f, f, 3, side)
            else:
                conv(before, f, 1, wide)
                conv(f, f, 3, side)
                conv(f, widen * f, 1, side)
            before = widen * f
    last = dense(before * (side - 6) ** 2, s["output"])
    return weights + last[0], s["batch"] * (products + last[1])


def rnn_formula(s: Sizes, gates: tuple[int, ...]) -> tuple[int, int]:
    """Published cells: one matrix from [x, h] for each of `gates`, which yields so many times the state."""
    e = s["embedding"]
    cell = [dense(2 * e, g * e) for g in gates]
    last = dense(e, s["vocabulary"])
    weights = s["vocabulary"] * e + s["layers"] * sum(p for p, _ in cell) + last[0]
    return weights, s["batch"] * s["length"] * (s["layers"] * sum(m for _, m in cell) + last[1])


FORMULAS: Mapping[str, Callable[[Sizes], tuple[int, int]]] = {
    "fc": fc_formula,
    "residual": lambda s: cnn_formula(s, 1),
    "bottleneck": lambda s: cnn_formula(s, 4),
    "rnn": lambda s: rnn_formula(s, (1,)),
    "lstm": lambda s: rnn_formula(s, (4,)),
    "gru": lambda s: rnn_formula(s, (2, 1)),
}
PUBLISHED: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "fc": {"layers": (4, 128), "nodes": (32, 8192), "input": (2000, 8000), "output": (200, 1000),
           "batch": (64, 16384)},
    **{kind: {"blocks": (1, 8), "filters": (16, 64), "image": (200, 300), "output": (500, 1500), "batch": (64, 1024)}
       for kind in ("residual", "bottleneck")},
    **{kind: {"layers": (1, 13), "embedding": (100, 900), "length": (10, 90), "vocabulary": (2, 1024),
              "batch": (16, 1024)} for kind in ("rnn", "lstm", "gru")},
}  # fmt: skip
"""The ends of the ranges that the paper sweeps."""


def drawn(kind: str, number: int, small: bool) -> dict[str, int]:
    """Random sizes, all of them odd ones out; `small` for networks that PyTorch builds."""
    rng = random.Random(f"{kind} {number}")
    if kind == "fc":
        top = 60 if small else 9000
        sizes = {"layers": rng.randint(1, 6), **{n: rng.randint(1, top) for n in ("nodes", "input", "output")}}
    elif kind in ("residual", "bottleneck"):
        sizes = {"blocks": rng.randint(1, 2 if small else 8), "filters": rng.randint(1, 4 if small else 64),
                 "image": rng.choice((193, 200, 224, 225, 257, 300)), "output": rng.randint(1, 40)}  # fmt: skip
        sizes |= {f"blocks_{g}": rng.randint(0, 2) for g in (2, 3, 4)}
    else:
        sizes = {"layers": rng.randint(1, 3 if small else 13), "length": rng.randint(1, 6 if small else 90),
                 "embedding": rng.randint(1, 20 if small else 900), "vocabulary": rng.randint(2, 50)}  # fmt: skip
    return sizes | {"batch": rng.randint(2, 5)}


@pytest.mark.parametrize("kind", FAMILIES)
def test_parameters_and_products_by_formula(kind: str, deep: bool) -> None:
    count = 400 if deep else 40
    for number in range(count):
        sizes = drawn(kind, number, small=False)
        made = built(kind, sizes)
        assert (parameters(made, sizes), made.macs(sizes)) == FORMULAS[kind](sizes), sizes
    print(f"{kind}: {count} random networks, parameters and MACs as by formula")


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_published_ranges_can_be_built(kind: str) -> None:
    """Both ends of every range are bound and have the numbers of the formula; files of them are valid."""
    for end in (0, 1):
        given = {name: ends[end] for name, ends in PUBLISHED[kind].items()}
        sizes = {n: int(v) for n, v in resolve_binding(network(kind), given).items()}
        made = built(kind, sizes)
        assert (parameters(made, sizes), made.macs(sizes)) == FORMULAS[kind](sizes)
    for train in ("", "rmsprop"):
        made = built(kind, {}, train)
        assert store.parse(store.dumps(made)) == made


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_step_has_twice_the_products_backward(kind: str) -> None:
    """All but the gradient of the image or of the input, which nobody asks for."""
    for number in range(10):
        sizes = drawn(kind, number, small=False)
        first = 0
        if kind == "fc":
            first = sizes["batch"] * sizes["input"] * sizes["nodes"]
        elif kind in ("residual", "bottleneck"):
            first = sizes["batch"] * 3 * sizes["filters"] * 49 * half(sizes["image"]) ** 2
        ahead = built(kind, sizes).macs(sizes)
        assert built(kind, sizes, "sgd").macs(sizes) == 3 * ahead - first


# --- in PyTorch -------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """A block of resnet_model.py."""

    def __init__(self, before: int, filters: int, stride: int, project: bool, widen: int) -> None:
        super().__init__()
        after = widen * filters
        plan = [(before, filters, 3, stride), (filters, filters, 3, 1)]
        if widen > 1:
            plan = [(before, filters, 1, 1), (filters, filters, 3, stride), (filters, after, 1, 1)]
        self.convs = nn.ModuleList(normed(*each) for each in plan)
        self.projection = normed(before, after, 1, stride) if project else None

    def forward(self, x: Tensor) -> Tensor:
        at = x
        for i, layer in enumerate(self.convs):
            at = layer(F.relu(at) if i else at)
        return F.relu(at + (self.projection(x) if self.projection else x))


def normed(a: int, b: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(b))


def cnn(s: Sizes, widen: int) -> nn.Module:
    layers: list[nn.Module] = [normed(3, s["filters"], 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before, side = s["filters"], s["image"]
    for _ in range(5):
        side = half(side)
    for g in range(4):
        for i in range(s[f"blocks_{g + 1}" if g else "blocks"] or s["blocks"]):
            layers.append(Block(before, s["filters"] * 2**g, 2 if g and not i else 1, not i, widen))
            before = widen * s["filters"] * 2**g
    layers += [nn.AvgPool2d(7, 1), nn.Flatten(), nn.Linear(before * (side - 6) ** 2, s["output"])]
    return nn.Sequential(*layers)


def fc(s: Sizes) -> nn.Module:
    layers: list[nn.Module] = []
    for i in range(s["layers"]):
        layers += [nn.Linear(s["nodes"] if i else s["input"], s["nodes"]), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(s["nodes"], s["output"]))


class Cells(nn.Module):
    """One word through the cells of rnn.py, which are TensorFlow's."""

    def __init__(self, kind: str, layers: int, width: int) -> None:
        super().__init__()
        gates = {"rnn": 1, "lstm": 4, "gru": 2}[kind]
        self.kind = kind
        self.cells = nn.ModuleList(nn.Linear(2 * width, gates * width) for _ in range(layers))
        self.candidates = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(layers if kind == "gru" else 0))

    def forward(self, x: Tensor, hs: list[Tensor], cs: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        hs, cs = list(hs), list(cs)
        for i, cell in enumerate(self.cells):
            product = cell(torch.cat([x, hs[i]], 1))
            if self.kind == "rnn":
                hs[i] = torch.tanh(product)
            elif self.kind == "lstm":
                a, b, f, o = product.chunk(4, 1)
                cs[i] = cs[i] * torch.sigmoid(f) + torch.sigmoid(a) * torch.tanh(b)
                hs[i] = torch.tanh(cs[i]) * torch.sigmoid(o)
            else:
                reset, keep = torch.sigmoid(product).chunk(2, 1)
                new = torch.tanh(self.candidates[i](torch.cat([x, reset * hs[i]], 1)))
                hs[i] = keep * hs[i] + (1 - keep) * new
            x = hs[i]
        return (hs, cs) if self.kind == "lstm" else (hs, [])


class Recurrent(nn.Module):
    """The whole of rnn.py: table, cells for every word, dense layer."""

    def __init__(self, kind: str, s: Sizes) -> None:
        super().__init__()
        self.table = nn.Embedding(s["vocabulary"], s["embedding"])
        self.cells = Cells(kind, s["layers"], s["embedding"])
        self.dense = nn.Linear(s["embedding"], s["vocabulary"])

    def forward(self, words: Tensor) -> Tensor:
        seen = self.table(words)
        hs = cs = [torch.zeros_like(seen[:, 0])] * len(self.cells.cells)
        out = []
        for t in range(words.shape[1]):
            hs, new = self.cells(seen[:, t], hs, cs)
            cs = new or cs
            out.append(hs[-1])
        logits: Tensor = self.dense(torch.stack(out, 1).flatten(0, 1))
        return logits


def module(kind: str, s: Sizes) -> nn.Module:
    if kind == "fc":
        return fc(s)
    return cnn(s, 4 if kind == "bottleneck" else 1) if kind in ("residual", "bottleneck") else Recurrent(kind, s)


def example(kind: str, s: Sizes) -> Tensor:
    if kind == "fc":
        return torch.zeros(s["batch"], s["input"])
    if kind in ("residual", "bottleneck"):
        return torch.zeros(s["batch"], 3, s["image"], s["image"])
    return torch.zeros(s["batch"], s["length"], dtype=torch.long)


def graphs(kind: str, net: Any, s: Sizes) -> tuple[GraphSpec, ...]:
    """The network as graphs to trace: one, or table, one word, dense layer."""
    if not isinstance(net, Recurrent):
        return (GraphSpec("network", net, (Input(tuple(example(kind, s).shape)),)),)
    words = Input((s["batch"], s["length"]), "int64")
    state = Input((s["batch"], s["embedding"]))
    states = [state] * s["layers"]
    rows = Input((s["batch"] * s["length"], s["embedding"]))
    return (GraphSpec("embed", net.table, (words,)),
            GraphSpec("step", net.cells, (state, states, states if kind == "lstm" else [])),
            GraphSpec("logits", net.dense, (rows,)))  # fmt: skip


def content(graph: Graph, sizes: Sizes) -> Counter[Any]:
    """What the operators are, names aside: kind, loop sizes, attributes, disposition, shapes read and written."""

    def shapes(names: tuple[str, ...]) -> tuple[Any, ...]:
        return tuple(tuple(e.value(sizes) for e in graph.tensors[n].shape) for n in names)

    return Counter((op.kind, tuple(sorted(op.sizes(sizes).items())), tuple(sorted(op.attrs.items())), op.disposition,
                    shapes(op.inputs), shapes(op.outputs)) for op in graph.ops)  # fmt: skip


NUMBERS = {"fc": 8, "residual": 4, "bottleneck": 4, "rnn": 5, "lstm": 5, "gru": 5}


@pytest.mark.parametrize("kind", FAMILIES)
def test_operators_are_those_that_pytorch_traces(kind: str, deep: bool) -> None:
    operators = 0
    for number in range(NUMBERS[kind] * (4 if deep else 1)):
        sizes = drawn(kind, 1000 + number, small=True)
        net = module(kind, sizes)
        ours = built(kind, sizes)
        theirs = trace_workload(TraceSpec("net", "", graphs(kind, net.eval(), sizes), trained=False))
        assert parameters(ours, sizes) == sum(p.numel() for p in net.parameters())
        for name, graph in theirs.graphs.items():
            assert content(ours.graphs[name], sizes) == content(graph, {}), (name, sizes)
            operators += len(graph.ops)
    print(f"{kind}: {NUMBERS[kind] * (4 if deep else 1)} random networks, {operators} operators as PyTorch traces them")


@pytest.mark.parametrize("kind", FAMILIES)
def test_products_of_a_step_are_those_that_pytorch_counts(kind: str) -> None:
    """Forward and backward on PyTorch's meta device, where nothing is computed: networks can be large."""
    for number in range(NUMBERS[kind]):
        sizes = drawn(kind, 2000 + number, small=kind in ("rnn", "lstm", "gru"))
        with torch.device("meta"):
            net, values = module(kind, sizes).train(), example(kind, sizes)
        with FlopCounterMode(display=False) as counter:
            ahead = net(values)
            forward = counter.get_total_flops()
            ahead.sum().backward()
        assert forward == 2 * built(kind, sizes).macs(sizes)
        assert counter.get_total_flops() == 2 * built(kind, sizes, "sgd").macs(sizes), sizes
    print(f"{kind}: {NUMBERS[kind]} random networks, products of a training step as FlopCounterMode counts them")


# --- what stays cheap -------------------------------------------------------------------------------------------


def test_a_long_sequence_is_no_more_operators() -> None:
    """Length is a size: a sequence of 1000 words has the graphs of one of 10, and runs in less than a second."""
    made = built("lstm", {"layers": 1}, "rmsprop")
    assert sum(len(g.ops) for g in made.graphs.values()) < 60
    short, long = (run("i7-6900k", network("lstm", "rmsprop"), bind={"length": n}, interval=False) for n in (10, 1000))
    assert len(short.layers) == len(long.layers)
    assert long.macs == 100 * short.macs


def test_groups_of_their_own_lengths() -> None:
    """ResNet-18 and ResNet-50's blocks, by name: 2, 2, 2, 2 and 3, 4, 6, 3."""
    sizes = {"filters": 64, "image": 224, "output": 1000, "batch": 1}
    groups = {"blocks": 3, "blocks_2": 4, "blocks_3": 6, "blocks_4": 3}
    bottleneck = built("bottleneck", groups)
    assert parameters(bottleneck, sizes) == 25_557_032
    assert weights_of(bottleneck, sizes) - parameters(bottleneck, sizes) == 2 * 26_560
    # ResNet-18 has no projection in its first group: 64 x 64 weights and a norm less.
    assert parameters(built("residual", {"blocks": 2}), sizes) == 11_689_512 + 64 * 64 + 2 * 64
    assert bottleneck.graphs["network"].tensors["final.flatten"].shape[1].value(sizes) == 2048
