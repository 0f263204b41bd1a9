"""Tracing: every operator ends somewhere, loop sizes are right, sizes stay symbolic, and errors are one message."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_docs
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cli import run_command
from hwsim.errors import InputError
from hwsim.workload import store
from hwsim.workload.ir import KINDS, Disposition, Graph, Op, Phase, Role, Symbol, Workload
from hwsim.workload.ir import Call as GraphCall
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

torch = pytest.importorskip("torch")
import sympy  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._sympy.functions import FloorDiv, Max, Min, PythonMod  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from hwsim.trace import coverage, trace, trace_target, trace_workload, unsupported  # noqa: E402
from hwsim.tracing.graph import measure  # noqa: E402
from hwsim.tracing.sizes import to_expr  # noqa: E402

Body = Callable[..., Any]


class Net(nn.Module):
    """A network of one function over its own layers."""

    def __init__(self, body: Body, **layers: Any) -> None:
        super().__init__()
        self.body = body
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.body(self, x)


def traced(body: Body, x: Any, **layers: Any) -> Graph:
    """The graph of one function of x; valid by every rule of a workload file."""
    graph = trace(Net(body, **layers), (x,))
    assert_valid(graph)
    return graph


def assert_valid(graph: Graph) -> None:
    symbols = {s: Symbol(8, 0, 64, s) for s in graph.symbols}
    phases = (Phase("run", (GraphCall(graph.name),)),)
    whole = Workload("net", "", symbols, {graph.name: graph}, {"once": phases})
    assert store.parse(store.dumps(whole)) == whole


def only(graph: Graph, kind: str) -> Op:
    """The one operator of a kind."""
    (found,) = (op for op in graph.ops if op.kind == kind)
    return found


def macs_of_torch(module: nn.Module, inputs: tuple[Any, ...]) -> int:
    """Half the FLOPs PyTorch counts, with its fused layers and attention off, which it counts as nothing."""
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops() // 2


# --- one operator at a time: kinds and sizes by hand ------------------------------------------------------------

SEQUENCE = (2, 5, 12)
IMAGE = (2, 6, 9, 8)

MODELLED: list[tuple[str, Body, tuple[int, ...], dict[str, Any], str, dict[str, int]]] = [
    ("linear", lambda s, x: s.l(x), SEQUENCE, {"l": lambda: nn.Linear(12, 7)}, "matmul",
     {"batch": 1, "m": 10, "n": 7, "k": 12}),
    ("matmul by a weight", lambda s, x: x @ s.l.weight.t(), SEQUENCE, {"l": lambda: nn.Linear(12, 7)}, "matmul",
     {"batch": 1, "m": 10, "n": 7, "k": 12}),
    ("weight by a matrix", lambda s, x: s.l.weight @ x[0].t(), SEQUENCE, {"l": lambda: nn.Linear(12, 7)}, "matmul",
     {"batch": 1, "m": 5, "n": 7, "k": 12}),
    ("values by values", lambda s, x: x @ x.transpose(1, 2), SEQUENCE, {}, "matmul",
     {"batch": 2, "m": 5, "n": 5, "k": 12}),
    ("einsum", lambda s, x: torch.einsum("bik,bjk->bij", x, x), SEQUENCE, {}, "matmul",
     {"batch": 2, "m": 5, "n": 5, "k": 12}),
    ("baddbmm", lambda s, x: torch.baddbmm(x[:, :, :5], x, x.transpose(1, 2)), SEQUENCE, {}, "matmul",
     {"batch": 2, "m": 5, "n": 5, "k": 12}),
    ("matrix by vector", lambda s, x: torch.mv(x[0], x[1, 0]), SEQUENCE, {}, "matmul",
     {"batch": 1, "m": 5, "n": 1, "k": 12}),
    ("attention", lambda s, x: F.scaled_dot_product_attention(x[:, None], x[:, None, :3], x[:, None, :3, :4]), SEQUENCE,
     {}, "attention", {"batch": 2, "heads": 1, "kv_heads": 1, "q": 5, "kv": 3, "d_qk": 12, "d_v": 4}),
    ("conv2d", lambda s, x: s.c(x), IMAGE, {"c": lambda: nn.Conv2d(6, 4, (3, 5), 2, 1, groups=2)}, "conv2d",
     {"batch": 2, "groups": 2, "in_channels": 6, "out_channels": 4, "in_h": 9, "in_w": 8, "out_h": 5, "out_w": 3,
      "kernel_h": 3, "kernel_w": 5}),
    ("conv1d", lambda s, x: s.c(x.flatten(2)), IMAGE, {"c": lambda: nn.Conv1d(6, 4, 3)}, "conv2d",
     {"batch": 2, "groups": 1, "in_channels": 6, "out_channels": 4, "in_h": 1, "in_w": 72, "out_h": 1, "out_w": 70,
      "kernel_h": 1, "kernel_w": 3}),
    ("transposed convolution", lambda s, x: s.c(x), IMAGE, {"c": lambda: nn.ConvTranspose2d(6, 4, (2, 3), (2, 3))},
     "matmul", {"batch": 1, "m": 144, "n": 24, "k": 6}),
    ("transposed 1d convolution", lambda s, x: s.c(x), SEQUENCE, {"c": lambda: nn.ConvTranspose1d(5, 4, 3, 3)},
     "matmul", {"batch": 1, "m": 24, "n": 12, "k": 5}),
    ("softmax", lambda s, x: x.softmax(1), SEQUENCE, {}, "softmax", {"rows": 24, "length": 5}),
    ("layer norm", lambda s, x: F.layer_norm(x, (5, 12)), SEQUENCE, {}, "norm", {"rows": 2, "length": 60}),
    ("rms norm", lambda s, x: s.r(x), SEQUENCE, {"r": lambda: nn.RMSNorm(12)}, "norm", {"rows": 10, "length": 12}),
    ("group norm", lambda s, x: F.group_norm(x, 3), IMAGE, {}, "norm", {"rows": 6, "length": 144}),
    ("batch norm alone", lambda s, x: s.b(x), IMAGE, {"b": lambda: nn.BatchNorm2d(6)}, "norm",
     {"rows": 12, "length": 72}),
    ("mean", lambda s, x: x.mean((0, 2)), SEQUENCE, {}, "reduce", {"rows": 5, "length": 24}),
    ("sum of all", lambda s, x: x.sum(), SEQUENCE, {}, "reduce", {"rows": 1, "length": 120}),
    ("amax", lambda s, x: x.amax(-1), SEQUENCE, {}, "reduce", {"rows": 10, "length": 12}),
    ("max with places", lambda s, x: x.max(1), SEQUENCE, {}, "reduce", {"rows": 24, "length": 5}),
    ("max pool", lambda s, x: F.max_pool2d(x, 3, 2), IMAGE, {}, "pool",
     {"batch": 2, "channels": 6, "out_h": 4, "out_w": 3, "kernel_h": 3, "kernel_w": 3}),
    ("average pool", lambda s, x: F.avg_pool2d(x, (3, 2)), IMAGE, {}, "pool",
     {"batch": 2, "channels": 6, "out_h": 3, "out_w": 4, "kernel_h": 3, "kernel_w": 2}),
    ("adaptive pool", lambda s, x: F.adaptive_avg_pool2d(x, (3, 1)), IMAGE, {}, "pool",
     {"batch": 2, "channels": 6, "out_h": 3, "out_w": 1, "kernel_h": 3, "kernel_w": 8}),
    ("embedding", lambda s, x: s.e((x > 0).long()), SEQUENCE, {"e": lambda: nn.Embedding(9, 4)}, "embedding",
     {"rows": 120, "width": 4}),
    ("scattered sum", lambda s, x: x.new_zeros(9, 12).index_add(0, torch.arange(5), x[0]), SEQUENCE, {},
     "elementwise", {"elements": 60}),
    ("gelu", lambda s, x: F.gelu(x), SEQUENCE, {}, "elementwise", {"elements": 120}),
    ("broadcast sum", lambda s, x: x + x[:1], SEQUENCE, {}, "elementwise", {"elements": 120}),
    ("maximum of two", lambda s, x: torch.max(x, x[:1]), SEQUENCE, {}, "elementwise", {"elements": 120}),
    ("concat", lambda s, x: torch.cat([x, x[:, :2]], 1), SEQUENCE, {}, "concat", {"elements": 168}),
    ("stack", lambda s, x: torch.stack([x, x]), SEQUENCE, {}, "concat", {"elements": 240}),
    ("clone", lambda s, x: x.clone(), SEQUENCE, {}, "copy", {"elements": 120}),
    ("real transposition", lambda s, x: x.transpose(1, 2).contiguous(), SEQUENCE, {}, "copy", {"elements": 120}),
    ("new type", lambda s, x: x.half(), SEQUENCE, {}, "copy", {"elements": 120}),
    ("padding for no convolution", lambda s, x: F.pad(x, (1, 2)), SEQUENCE, {}, "copy", {"elements": 150}),
    ("repeat", lambda s, x: x.repeat(3, 1, 1), SEQUENCE, {}, "copy", {"elements": 360}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "shape", "layers", "kind", "dims"), [c[1:] for c in MODELLED], ids=[c[0] for c in MODELLED]
)
def test_loop_sizes(
    body: Body, shape: tuple[int, ...], layers: dict[str, Any], kind: str, dims: dict[str, int]
) -> None:
    made = {name: make() for name, make in layers.items()}
    graph = traced(body, torch.randn(shape), **made)
    op = next(op for op in graph.ops if op.kind == kind)
    assert op.disposition is Disposition.MODELLED
    assert tuple(op.dims) == KINDS[kind]
    assert op.sizes({}) == dims
    assert unsupported(Workload("n", "", {}, {"g": graph}, {})) == []


def test_every_kind_is_tried() -> None:
    """But for what no operator of a framework becomes: a network of look-up tables replaces some later."""
    assert {case[4] for case in MODELLED} == KINDS.keys() - {"view", "unsupported", "lut_network"}


def test_grouped_query_attention() -> None:
    def body(_: Any, x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x[:, :2], x[:, :2], enable_gqa=True, is_causal=True)

    x = torch.randn(1, 6, 5, 8)
    op = only(traced(body, x), "attention")
    assert (op.sizes({})["heads"], op.sizes({})["kv_heads"], op.attrs["causal"]) == (6, 2, True)
    assert op.macs({}) == macs_of_torch(Net(body), (x,))


# --- what is fused and what is free -----------------------------------------------------------------------------


def conv_and_norm() -> dict[str, nn.Module]:
    return {"c": nn.Conv2d(6, 4, 3), "b": nn.BatchNorm2d(4)}


def test_a_batch_norm_folds_into_the_convolution_it_alone_reads() -> None:
    graph = traced(lambda s, x: F.relu(s.b(s.c(x))), torch.randn(IMAGE), **conv_and_norm())
    norm = only(graph, "norm")
    assert (norm.disposition, norm.into) == (Disposition.FUSED, "c")
    assert norm.reason == "folded into the weights and the bias of the layer before, which nothing else reads"
    assert only(graph, "elementwise").inputs == norm.outputs
    assert only(graph, "elementwise").disposition is Disposition.MODELLED


def test_a_batch_norm_behind_a_result_that_others_read_stays() -> None:
    def body(s: Any, x: Tensor) -> Tensor:
        y = s.c(x)
        return s.b(y) + y

    assert only(traced(body, torch.randn(IMAGE), **conv_and_norm()), "norm").disposition is Disposition.MODELLED


def test_a_batch_norm_behind_no_layer_with_weights_stays() -> None:
    graph = traced(lambda s, x: s.b(x[:, :4] * 2), torch.randn(IMAGE), **conv_and_norm())
    assert only(graph, "norm").disposition is Disposition.MODELLED


def test_a_batch_norm_folds_into_a_linear_layer_only_along_its_features() -> None:
    layers = {"l": nn.Linear(12, 5), "b": nn.BatchNorm1d(5)}
    rows = traced(lambda s, x: s.b(s.l(x[:, 0])), torch.randn(SEQUENCE), **layers)
    assert (only(rows, "norm").disposition, only(rows, "norm").into) == (Disposition.FUSED, "l")
    stacked = traced(lambda s, x: s.b(s.l(x)), torch.randn(SEQUENCE), **layers)
    assert only(stacked, "norm").disposition is Disposition.MODELLED


def test_zero_padding_becomes_the_convolutions_own() -> None:
    graph = traced(lambda s, x: s.c(F.pad(x, (1, 2, 0, 3))), torch.randn(IMAGE), **conv_and_norm())
    convolution, pad = only(graph, "conv2d"), only(graph, "copy")
    assert (pad.disposition, pad.into) == (Disposition.FUSED, "c")
    assert [convolution.attrs[f"pad_{side}"] for side in ("top", "bottom", "left", "right")] == [0, 3, 1, 2]
    sizes = convolution.sizes({})
    assert (sizes["in_h"], sizes["in_w"], sizes["out_h"], sizes["out_w"]) == (9, 8, 10, 9)


@pytest.mark.parametrize("pad", [((1, 1, 1, 1), "reflect", None), ((1, 1), "constant", 2.0)])
def test_other_padding_stays_a_copy(pad: tuple[Any, ...]) -> None:
    widths, mode, fill = pad
    graph = traced(lambda s, x: s.c(F.pad(x, widths, mode, fill)), torch.randn(IMAGE), **conv_and_norm())
    assert only(graph, "copy").disposition is Disposition.MODELLED
    assert only(graph, "conv2d").attrs["pad_left"] == 0


def test_masks_and_positions_are_computed_ahead() -> None:
    def body(_: Any, x: Tensor) -> Tensor:
        rows = torch.arange(x.shape[1])
        mask = rows[:, None] >= rows[None, :]
        return torch.where(mask, x @ x.transpose(1, 2), torch.zeros(()))

    graph = traced(body, torch.randn(SEQUENCE))
    free = {op.source: op.reason for op in graph.ops if op.disposition is Disposition.FREE}
    assert free["aten.ge.Tensor"] == "depends on sizes alone: computed once they are known, not in every run"
    assert [op.source for op in graph.ops if op.disposition is Disposition.MODELLED] == [
        "aten.matmul.default", "aten.where.self",
    ]  # fmt: skip


def test_dropout_sleeps_and_the_module_is_left_as_it_was() -> None:
    net = Net(lambda s, x: s.d(s.l(x)), d=nn.Dropout(0.5), l=nn.Linear(12, 12))
    net.l.eval()
    graph = trace(net, (torch.randn(SEQUENCE),))
    assert {op.source: op.reason for op in graph.ops}["aten.dropout.default"] == "dropout does nothing in inference"
    assert (net.training, net.d.training, net.l.training) == (True, True, False)
    assert "forward" not in vars(net)


def test_in_place_operators_are_their_functional_twins() -> None:
    def body(_: Any, x: Tensor) -> Tensor:
        y = x * 2
        z = y
        z += 1
        return F.relu(y, inplace=True) + y

    ops = traced(body, torch.randn(SEQUENCE)).ops
    assert [(op.name, op.inputs, op.outputs) for op in ops] == [
        ("mul", ("x",), ("mul",)),
        ("add", ("mul",), ("add",)),
        ("relu", ("add",), ("relu",)),
        ("add_2", ("relu",), ("add_2",)),
    ]


def test_weights_are_read_as_they_are_stored() -> None:
    """Views of weights are no operators; a transposed weight keeps its own name, a piece of one gets its own."""
    body = lambda s, x: (x @ s.l.weight.t(), x @ s.l.weight.chunk(2)[0].t())  # noqa: E731
    graph = traced(body, torch.randn(3, 4), l=nn.Linear(4, 4))
    whole, half = _products(graph)
    assert (whole.inputs[1], whole.attrs["weight_layout"]) == ("l.weight", "nk")
    assert (half.inputs[1], half.attrs["weight_layout"]) == ("l.weight.chunk.0", "nk")
    assert graph.tensors["l.weight.chunk.0"].role is Role.WEIGHT


def _products(graph: Graph) -> tuple[Op, Op]:
    first, second = (op for op in graph.ops if op.kind == "matmul")
    return first, second


def test_operators_and_tensors_are_called_by_their_modules() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.act = nn.Linear(12, 12), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.up(x)) + x + x

    graph = traced(lambda s, x: {"y": s.b(x), "parts": [x.sum()]}, torch.randn(SEQUENCE), b=Block())
    assert [op.name for op in graph.ops] == ["b.up", "b.act", "b.add", "b.add_2", "sum"]
    assert graph.outputs == ("y", "parts_0")
    assert graph.tensors["y"].role is Role.OUTPUT
    assert only(graph, "matmul").inputs == ("x", "b.up.weight", "b.up.bias")


# --- what nobody can price --------------------------------------------------------------------------------------

TRANSPOSED = "transposed convolutions have no groups, padding or dilation here, and a stride as large as the kernel"
REFUSED: list[tuple[str, Body, str, str]] = [
    ("no rule", lambda _, x: x.topk(2), "aten.topk.default", "no cost is known for this operator"),
    ("active dropout", lambda _, x: F.dropout(x, 0.5, True), "aten.dropout.default",
     "dropout that is active in inference; pass training=False"),
    ("random values", lambda _, x: x + torch.rand(12), "aten.rand.default", "no cost is known for this operator"),
    ("uneven windows", lambda _, x: F.adaptive_avg_pool2d(x, 2), "aten.adaptive_avg_pool2d.default",
     "adaptive pooling of 5 into 2: windows of unequal size"),
    ("slice assignment", lambda _, x: _assign(x.clone()), "aten.fill_.Tensor",
     "writes into a part of a tensor or into a buffer; write it with torch.cat or torch.where"),
    ("view of what is overwritten", lambda _, x: _overwrite(x * 2), "aten.relu_.default",
     "overwrites a tensor of which a view is read later; write it out of place"),
    ("batch statistics", lambda _, x: F.batch_norm(x, None, None, training=True), "aten.batch_norm.default",
     "batch norm on the statistics of the batch; inference uses the stored ones"),
    ("transposed convolution", lambda _, x: F.conv_transpose1d(x, torch.ones(5, 2, 3)), "aten.conv_transpose1d.default",
     TRANSPOSED),
    ("dilated transposed convolution", lambda _, x: F.conv_transpose1d(x, torch.ones(5, 2, 3), stride=3, dilation=2),
     "aten.conv_transpose1d.default", TRANSPOSED),
    ("active dropout between layers", lambda _, x: torch.rnn_tanh(
        x, torch.zeros(2, 5, 4), [torch.ones(4, 12), *[torch.ones(4, 4)] * 3], False, 2, 0.5, True, False, False)[0],
     "aten.rnn_tanh.input", "dropout that is active in inference; pass training=False"),
    ("einsum of three", lambda _, x: torch.einsum("bij,bij,bij->b", x, x, x), "aten.einsum.default",
     "an einsum of other than two operands, or with an ellipsis"),
    ("scaled product", lambda _, x: torch.addmm(x[0], x[0], torch.ones(12, 12), alpha=2),
     "aten.addmm.default", "a product scaled by alpha or beta; multiply in an operator of its own"),
]  # fmt: skip


def _assign(y: Tensor) -> Tensor:
    y[:, 0] = 1
    return y


def _overwrite(y: Tensor) -> Tensor:
    flat = y.view(-1)
    return y.relu_() + flat.sum()


@pytest.mark.parametrize(("body", "source", "reason"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_unsupported_operators_are_listed_with_the_reason(body: Body, source: str, reason: str) -> None:
    graph = traced(body, torch.randn(SEQUENCE))
    found = unsupported(Workload("n", "", {}, {"g": graph}, {}))
    assert [(op.source, op.reason) for op in found] == [(source, reason)]


# --- recurrent layers -------------------------------------------------------------------------------------------


def recurrent_layers() -> list[tuple[str, dict[str, Any]]]:
    """Every kind of layer with every mix of its options."""
    options: list[dict[str, Any]] = [
        {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": first}
        for layers in (1, 3) for both in (False, True) for bias in (False, True) for first in (False, True)
    ]  # fmt: skip
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("LSTM", {}), ("LSTM", {"proj_size": 3}), ("GRU", {}), ("RNN", {}), ("RNN", {"nonlinearity": "relu"}),
    ]  # fmt: skip
    return [(kind, own | shared) for kind, own in kinds for shared in options]


class Arithmetic(TorchDispatchMode):  # type: ignore[misc]
    """Counts the elements that pointwise operators compute."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if torch.Tag.pointwise in func.tags:
            self.elements += found.numel()
        return found


def test_recurrent_layers_are_their_products_and_gates(deep: bool) -> None:
    """Products as PyTorch counts their FLOPs, the gates' arithmetic as many elements as its own cell computes."""
    cases = recurrent_layers() if deep else recurrent_layers()[::3]
    for kind, options in cases:
        layer = getattr(nn, kind)(8, 5, device="meta", **options).eval()
        x = torch.empty(7, 2, 8, device="meta")
        graph = trace(layer, (x,), trained=False)
        assert_valid(graph)
        with torch.no_grad(), Arithmetic() as arithmetic:
            out = layer(x)[0]
        assert sum(op.macs({}) for op in graph.ops) == macs_of_torch(layer, (x,)), (kind, options)
        gates = [op.sizes({})["elements"] for op in graph.ops if op.kind == "elementwise"]
        assert sum(gates) == arithmetic.elements, (kind, options)
        assert [e.value({}) for e in graph.tensors[graph.outputs[0]].shape] == list(out.shape)
        used = {name for op in graph.ops for name in op.inputs if graph.tensors[name].role is Role.WEIGHT}
        assert used == {name for name, _ in layer.named_parameters()}
    print(f"recurrent layers: {len(cases)} of {len(recurrent_layers())} mixes of options equal")


def test_the_steps_of_a_recurrent_layer_follow_one_another() -> None:
    graph = traced(lambda s, x: s.l(x)[0], torch.randn(SEQUENCE), l=nn.LSTM(12, 4, 2))
    assert [(op.name, op.kind, op.sizes({})) for op in graph.ops if op.name.startswith("l.lstm.l1")] == [
        ("l.lstm.l1.h", "view", {}), ("l.lstm.l1.c", "view", {}),
        ("l.lstm.l1.input", "matmul", {"batch": 1, "m": 10, "n": 16, "k": 4}),
        ("l.lstm.l1.hidden", "matmul", {"batch": 2, "m": 5, "n": 16, "k": 4}),
        ("l.lstm.l1.cell", "elementwise", {"elements": 2 * 5 * 4 * 13}),
    ]  # fmt: skip
    assert next(op for op in graph.ops if op.name == "l.lstm.l1.hidden").inputs == (
        "l.lstm.l1.h", "l.weight_hh_l1", "l.bias_hh_l1",
    )  # fmt: skip
    assert [op.name for op in graph.ops if op.attrs.get("sequential")] == ["l.lstm.l0.hidden", "l.lstm.l1.hidden"]
    assert graph.outputs == ("l.lstm.0",)


def test_a_recurrent_layer_keeps_a_symbolic_batch() -> None:
    net = Net(lambda s, x: s.l(x)[0], l=nn.GRU(12, 4, bidirectional=True))
    graph = trace(net, (torch.randn(SEQUENCE),), dynamic={"x": {1: "batch"}})
    assert_valid(graph)
    assert graph.symbols == {"batch"}
    assert sum(op.macs({"batch": 3}) for op in graph.ops) == macs_of_torch(net, (torch.randn(2, 3, 12),))


# --- MACs of random networks ------------------------------------------------------------------------------------


class Attend(nn.Module):
    """Attention with fewer heads for keys than for queries, spelt out or in one operator."""

    def __init__(self, d: int, heads: int, kv_heads: int, spelt_out: bool) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.spelt_out = heads, kv_heads, spelt_out
        self.q, self.kv = nn.Linear(d, heads * 4), nn.Linear(d, 2 * kv_heads * 4, bias=False)
        self.o = nn.Linear(heads * 4, d)

    def forward(self, x: Tensor) -> Tensor:
        b, n, _ = x.shape
        q = self.q(x).view(b, n, self.heads, 4).transpose(1, 2)
        k, v = self.kv(x).view(b, n, 2 * self.kv_heads, 4).transpose(1, 2).chunk(2, 1)
        if self.spelt_out:
            k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
            y = (q @ k.transpose(-1, -2) / 2).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return x + self.o(y.transpose(1, 2).reshape(b, n, -1))


class Convolve(nn.Module):
    """A grouped convolution along the rows, or over an image made of them, and back."""

    def __init__(self, d: int, rng: random.Random) -> None:
        super().__init__()
        groups, dilation = rng.choice((1, 2, d)), rng.choice((1, 2))
        self.image = rng.random() < 0.5
        kind = nn.Conv2d if self.image else nn.Conv1d
        self.c = kind(d, 2 * d, 3, padding=dilation, dilation=dilation, groups=groups)
        self.back = nn.Linear(2 * d, d)

    def forward(self, x: Tensor) -> Tensor:
        y = x.transpose(1, 2)
        y = self.c(y[:, :, :, None].expand(-1, -1, -1, 3)).amax(3) if self.image else self.c(y)
        return x + self.back(y.transpose(1, 2))


class Mix(nn.Module):
    """Products that no layer makes: einsum, bmm, a weight from the left, addmm."""

    def __init__(self, d: int, which: int) -> None:
        super().__init__()
        self.which, self.w, self.b = which, nn.Parameter(torch.randn(d, d)), nn.Parameter(torch.randn(d))

    def forward(self, x: Tensor) -> Tensor:
        if self.which == 0:
            return torch.einsum("bnd,de->bne", x, self.w)
        if self.which == 1:
            return torch.bmm(torch.bmm(x, x.transpose(1, 2)), x)
        if self.which == 2:
            return (self.w @ x.transpose(1, 2)).transpose(1, 2)
        return torch.addmm(self.b, x.reshape(-1, x.shape[2]), self.w.t()).view(x.shape)


def random_network(seed: int) -> tuple[nn.Module, int]:
    """A stack of blocks that take and give (2, n, d)."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    d = rng.choice((4, 8, 12))
    makers: tuple[Callable[[], nn.Module], ...] = (
        lambda: Attend(d, 4, rng.choice((1, 2, 4)), rng.random() < 0.5),
        lambda: Convolve(d, rng),
        lambda: Mix(d, rng.randrange(4)),
        lambda: nn.Sequential(nn.Linear(d, 3 * d), nn.GELU(), nn.Linear(3 * d, d, bias=False), nn.LayerNorm(d)),
        lambda: nn.TransformerEncoderLayer(d, 2, 2 * d, batch_first=True),
    )
    return nn.Sequential(*(rng.choice(makers)() for _ in range(rng.randint(2, 5)))), d


def test_macs_of_random_networks(deep: bool) -> None:
    """Traced once with n symbolic; at several n as many MACs as PyTorch counts, and results of the same shape."""
    count = 100 if deep else 12
    compared = 0
    for seed in range(count):
        net, d = random_network(seed)
        graph = trace(net, (torch.randn(2, 11, d),), dynamic={"input": {1: "n"}}, limits={"n": (1, 512)})
        assert graph.symbols == {"n"}
        assert_valid(graph)
        net.to("meta")
        for n in (1, 2, 11, 40):
            inputs = (torch.empty(2, n, d, device="meta"),)
            assert sum(op.macs({"n": n}) for op in graph.ops) == macs_of_torch(net, inputs), (seed, n)
            (out,) = graph.outputs
            assert [e.value({"n": n}) for e in graph.tensors[out].shape] == list(net(*inputs).shape)
            compared += 1
    print(f"random networks: {count} traced, {compared} sizes equal")


# --- symbolic sizes ---------------------------------------------------------------------------------------------

A, B = sympy.symbols("s77 s26", integer=True, positive=True)
LEAVES = st.sampled_from((A, B)) | st.integers(1, 9).map(sympy.Integer)
DIVISORS = st.integers(2, 7).map(sympy.Integer)
BINARY = (sympy.Add, sympy.Mul, lambda x, y: x - y, Max, Min)
SIZES = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda f, x, y: f(x, y), st.sampled_from(BINARY), inner, inner)
        | st.builds(lambda f, x, y: f(x, y), st.sampled_from((FloorDiv, PythonMod)), inner, DIVISORS)
    ),
    max_leaves=8,
)


@given(SIZES, st.integers(1, 50), st.integers(1, 50))
def test_sizes_keep_their_value(size: Any, n: int, m: int) -> None:
    try:
        found = to_expr(size, {A: "n", B: "m"})
    except InputError as error:
        assert "at most 300 characters" in str(error)
        return
    assert found.value({"n": n, "m": m}) == int(sympy.sympify(size).subs({A: n, B: m}))


def test_sizes_read_the_same_whatever_torch_calls_its_symbols() -> None:
    q, p = sympy.symbols("s3 s90", integer=True, positive=True)
    swapped = {p: "q", q: "p"}
    for build in (lambda a, b: 4 * a * (a + b), lambda a, b: a + b - 3, lambda a, b: a * b**2, FloorDiv):
        assert to_expr(build(q, p), {q: "q", p: "p"}) == to_expr(build(p, q), swapped)


def test_nested_inputs_stay_symbolic() -> None:
    class Cache(nn.Module):
        def forward(self, x: Tensor, past: dict[str, list[Tensor]]) -> Tensor:
            return torch.cat([past["k"][0], x]) + torch.cat([past["k"][1], x])

    inputs = (torch.randn(3, 4), {"k": [torch.randn(5, 4), torch.randn(5, 4)]})
    dynamic = {"x": {0: "q"}, "past": {"k": [{0: "p"}, {0: "p"}]}}
    graph = trace(Cache(), inputs, dynamic=dynamic)
    assert [str(e) for e in graph.tensors[graph.outputs[0]].shape] == ["p + q", "4"]
    assert [graph.tensors[name].role for name in graph.inputs] == [Role.INPUT] * 3


def test_a_declared_state_grows_in_place() -> None:
    class Grow(nn.Module):
        def forward(self, x: Tensor, past: Tensor) -> Tensor:
            return torch.cat([past, x])

    spec = GraphSpec("grow", Grow(), (Input(("q", 4)), Input(("p", 4), role=Role.STATE)), limits={"p": (0, 64)})
    found = trace_workload(TraceSpec("w", "", (spec,), {"q": Symbol(1, 1, 9, ""), "p": Symbol(0, 0, 64, "")}))
    op = only(found.graphs["grow"], "concat")
    assert (op.sizes({"q": 2, "p": 9}), op.attrs["append"]) == ({"elements": 8}, True)


# --- weights ----------------------------------------------------------------------------------------------------


def test_weights_are_measured_and_hashed() -> None:
    net = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    with torch.no_grad():
        net[0].weight[:, :6] = 0
        net[1].bias[:] = 0
    graph = trace(net, (torch.randn(3, 8),))
    weight, bias = graph.tensors["0.weight"], graph.tensors["1.bias"]
    assert weight.density == 8 / 32
    assert weight.content == hashlib.sha256(net[0].weight.detach().numpy().tobytes()).hexdigest()
    assert bias.density == 1.0
    untrained = trace(net, (torch.randn(3, 8),), trained=False).tensors["0.weight"]
    assert (untrained.density, untrained.content) == (1.0, "")


def test_a_piece_of_a_weight_is_measured_by_itself() -> None:
    layer = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight[:2] = 0
    graph = traced(lambda s, x: x @ s.l.weight[2:].t() + x @ s.l.weight[1:3].t(), torch.randn(3, 4), l=layer)
    shares = [graph.tensors[op.inputs[1]].density for op in _products(graph)]
    assert shares == [1.0, 0.5]


@given(st.integers(0, 2**32 - 1))
def test_measured_density_against_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rng.integers(1, 9), rng.integers(1, 9))) * (rng.random() < rng.random((1, 1)))
    values[rng.random(values.shape) < 0.5] = 0
    density, content = measure(torch.tensor(values))
    assert density == max(1, np.count_nonzero(values)) / values.size
    assert content == hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def test_tracing_twice_gives_the_same() -> None:
    net, d = random_network(3)
    x = torch.randn(2, 11, d)
    assert trace(net, (x,), dynamic={"input": {1: "n"}}) == trace(net, (x,), dynamic={"input": {1: "n"}})


# --- errors -----------------------------------------------------------------------------------------------------


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x - 1


class Boom(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no flour left")


HERE = __file__
BRANCH_LINE = Branch.forward.__code__.co_firstlineno + 1
BOOM_LINE = Boom.forward.__code__.co_firstlineno + 1

BAD: list[tuple[str, nn.Module, tuple[int, ...], dict[str, Any], str]] = [
    ("control flow", Branch(), (3,), {},
     f"{HERE}:{BRANCH_LINE}:1: [export] got GuardOnDataDependentSymNode: Could not guard on data-dependent expression "
     "Eq(u0, 1) (unhinted: Eq(u0, 1)).  (Size-like symbols: none); torch.export cannot turn net into a graph. Its "
     "control flow or its sizes depend on the values it computes: use torch.where or torch.cond instead of if, and no "
     ".item()."),
    ("failing network", Boom(), (3,), {},
     f"{HERE}:{BOOM_LINE}:1: [export] got ValueError: no flour left; torch.export cannot turn net into a graph. Call "
     "the network once with the same inputs; if that works, rewrite the place named into plain tensor code."),
    ("value read back", Net(lambda _, x: x * x.sum().item()), (3,), {},
     "[data-dependent] got 'aten.item.default in module (the network itself)'; the network reads a computed value back "
     "into Python. Keep it a tensor (torch.where instead of if, no .item() or float())."),
    ("selection", Net(lambda _, x: x[x > 0]), (3,), {},
     "[data-dependent] got 'aten.index.Tensor in module (the network itself)'; the size of its result depends on "
     "the values it computes. Only sizes that follow from the sizes of the inputs can be traced; mask instead of "
     "selecting."),
    ("fixed size", Net(lambda _, x: x.view(3, 4)), (12,), {"dynamic": {"x": {0: "n"}}},
     "[export] got UserError: Constraints violated (n)!; torch.export cannot turn net into a graph. A symbolic size "
     "does not stay free: PyTorch finds n = 12."),
    ("limited size", Net(lambda s, x: x + s.p[: x.shape[0]], p=nn.Parameter(torch.ones(9, 2))), (4, 2),
     {"dynamic": {"x": {0: "n"}}, "limits": {"n": (1, 99)}},
     "[export] got UserError: Constraints violated (n)!; torch.export cannot turn net into a graph. A symbolic size "
     "does not stay free: PyTorch finds n = Dim('n', max=9)."),
    ("unknown argument", Net(lambda _, x: x), (3,), {"dynamic": {"y": {0: "n"}}},
     "[unknown-argument] got 'y'; the network's arguments are x."),
    ("unknown axis", Net(lambda _, x: x), (3,), {"dynamic": {"x": {1: "n"}}},
     "[dynamic] got {1: 'n'}; must map axes of x (it has 1) to symbols. For instance {0: \"n\"}."),
    ("unknown method", Net(lambda _, x: x), (3,), {"method": "encode"},
     "[no-method] got 'encode'; Net has no such method."),
]  # fmt: skip


@pytest.mark.parametrize(("net", "shape", "options", "message"), [c[1:] for c in BAD], ids=[c[0] for c in BAD])
def test_errors(
    net: nn.Module, shape: tuple[int, ...], options: dict[str, Any], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as caught:
        trace(net, (torch.randn(shape),), name="net", **options)
    assert str(caught.value) == message
    assert capfd.readouterr() == ("", "")


def test_a_module_is_needed() -> None:
    with pytest.raises(InputError, match=r"^\[not-a-module\] got 'function'; a torch.nn.Module is needed here\.$"):
        trace(only, (torch.zeros(1),))


# --- targets and the command ------------------------------------------------------------------------------------

MODULE = """
import torch
from torch import nn

def tiny_net():
    print("building")
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 4), nn.ReLU()), torch.zeros(3, 8)

def sorts():
    return nn.Sequential(nn.Linear(8, 4), Sort()), (torch.zeros(3, 8),)

class Sort(nn.Module):
    def forward(self, x):
        return x.sort()

def nothing():
    return None

def fails():
    return {}["flour"]

def leaves():
    raise SystemExit(0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the module `bakery`, as the current one."""
    (tmp_path / "bakery.py").write_text(MODULE)
    (tmp_path / "broken_bakery.py").write_text("import bakery\nraise OSError('oven is cold')\n")
    monkeypatch.chdir(tmp_path)
    for name in ("bakery", "broken_bakery"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_a_plain_network_becomes_a_workload_of_one_call(folder: Path) -> None:
    found = trace_target("bakery:tiny_net")
    assert (found.name, list(found.graphs), list(found.schedules)) == ("tiny-net", ["network"], ["once"])
    assert found.macs({}) == 3 * 8 * 4
    assert coverage(found) == [
        ("network", "aten.linear.default", "modelled", "", 1), ("network", "aten.relu.default", "modelled", "", 1),
    ]  # fmt: skip


def test_the_command_writes_the_workload(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["trace", "bakery:tiny_net", "--out", "tiny.json", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ops"] == {"modelled": 2, "fused": 0, "free": 0, "unsupported": 0}
    assert store.read("tiny.json") == trace_target("bakery:tiny_net")


def test_the_command_refuses_unsupported_operators(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["trace", "bakery:sorts", "--out", "sorts.json"]) == 2
    assert "error: unsupported: 1 (aten.sort.default): no cost is known for this operator" in capsys.readouterr().err
    assert not (folder / "sorts.json").exists()


TARGETS: Mapping[str, str] = {
    "bakery": "[target] got 'bakery'; must read MODULE:FUNCTION. For instance workloads.transformer:base.",
    "bakery:no-such": "[target] got 'bakery:no-such'; must read MODULE:FUNCTION. "
    "For instance workloads.transformer:base.",
    "no_bakery:bread": "[target] got 'no_bakery:bread'; there is no module no_bakery here or among the installed ones. "
    "Run in the folder that holds it.",
    "bakery:bread": "[target] got 'bakery:bread'; bakery has no function bread. "
    "It has: fails, leaves, nothing, sorts, tiny_net.",
    "bakery:leaves": "FOLDER/bakery.py:24:1: [target] bakery:leaves: got SystemExit: 0; the function must run "
    "without raising. Mend it and retry.",
    "bakery:nothing": "[target] bakery:nothing: got 'NoneType'; the function must return (module, inputs) or a "
    "TraceSpec. See docs/tracing.md.",
    "bakery:fails": "FOLDER/bakery.py:21:1: [target] bakery:fails: got KeyError: 'flour'; the function must run "
    "without raising. Mend it and retry.",
    "broken_bakery:bread": "FOLDER/broken_bakery.py:2:1: [target] broken_bakery:bread: got OSError: oven is cold; the "
    "function must run without raising. Mend it and retry.",
}


@pytest.mark.parametrize("target", TARGETS)
def test_bad_targets(target: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as caught:
        trace_target(target)
    assert str(caught.value) == TARGETS[target].replace("FOLDER", str(folder))
    assert run_command(["trace", target]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_without_torch_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['torch'] = None; from hwsim.cli import main; main(['trace', 'bakery:tiny_net'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "[no-torch] got 'no PyTorch'; tracing needs PyTorch. Install it: pip install 'hwsim[trace]'." in done.stderr
    assert "Traceback" not in done.stderr


def test_the_guide_runs_as_printed(tmp_path: Path, root: Path) -> None:
    ran = test_docs.run_page(root / "docs" / "tracing.md", tmp_path)
    print(f"docs/tracing.md: {ran} blocks ran")
    assert ran >= 2
