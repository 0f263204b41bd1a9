"""The work that every tool is given: the distinct products of a network, taken from hwsim's traces by one path.

A product is out[m, n] = in[m, k] x w[k, n]; a convolution is one by im2col, and keeps its window beside it. Equal
operators of a network are one product that is counted `times` over; a grouped convolution is `copies` products of one
group each, an attention two products a head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hwsim.errors import bad_input
from hwsim.workload.ir import Op, Workload
from hwsim.workload.store import load_workload


@dataclass(frozen=True)
class Window:
    """A convolution of one group. `in_h` x `in_w` counts the rows and columns that are read, padding among them: sizes
    of which both rounding up and rounding down make out_h x out_w. `rest_h` and `rest_w` are padded rows and columns
    beyond them that no output reads."""

    in_h: int
    in_w: int
    kernel_h: int
    kernel_w: int
    channels: int
    filters: int
    stride_h: int
    stride_w: int
    out_h: int
    out_w: int
    rest_h: int = 0
    rest_w: int = 0
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Rows above and below, columns to the left and to the right."""


@dataclass(frozen=True)
class Product:
    """One distinct product of a network.

    name    the first operator it stands for
    copies  how many of it one operator is: groups of a convolution, heads of an attention
    times   how many operators of the network are equal to it
    fixed   whether `w` is a weight, and so the same for all samples
    """

    name: str
    m: int
    n: int
    k: int
    copies: int = 1
    fixed: bool = True
    window: Window | None = None
    times: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all its copies and times."""
        return self.m * self.n * self.k * self.copies * self.times


def products(workload: Workload, binding: Mapping[str, int]) -> list[Product]:
    """The distinct products of the workload's default schedule, in the order they are met.

    Raises InputError for a dilated convolution and for one of several samples: neither peer's file says those.
    """
    found: dict[Product, int] = {}
    for _, _, local, graph in workload.walk(binding, workload.schedule()):
        for op in graph.ops:
            for product in of_operator(op, op.sizes(local)):
                key = next((p for p in found if _same(p, product)), product)
                found[key] = found.get(key, 0) + 1
    return [dataclasses.replace(product, times=times) for product, times in found.items()]


def _same(one: Product, other: Product) -> bool:
    return one == dataclasses.replace(other, name=one.name)


def of_operator(op: Op, sizes: Mapping[str, int]) -> Iterator[Product]:
    """The products of one operator; none of one without multiply-accumulates."""
    s = dict(sizes)
    if op.kind == "matmul":
        static = bool(op.attrs.get("static"))
        yield Product(op.name, s["m"], s["n"], s["k"], s["batch"], static)
    elif op.kind == "attention":
        heads = s["batch"] * s["heads"]
        yield Product(f"{op.name}.scores", s["q"], s["kv"], s["d_qk"], heads, fixed=False)
        yield Product(f"{op.name}.mix", s["q"], s["d_v"], s["kv"], heads, fixed=False)
    elif op.kind == "conv2d":
        yield _convolution(op, s)


def _convolution(op: Op, s: Mapping[str, int]) -> Product:
    a: Mapping[str, Any] = op.attrs
    if s["batch"] != 1 or a.get("dilation_h", 1) != 1 or a.get("dilation_w", 1) != 1:
        raise bad_input("peer-convolution", op.name, "a convolution here has one sample and no dilation",
                        "Trace the network with a batch of one.")  # fmt: skip
    pads = (a["pad_top"], a["pad_bottom"], a["pad_left"], a["pad_right"])
    in_h = read(s["out_h"], s["kernel_h"], a["stride_h"])
    in_w = read(s["out_w"], s["kernel_w"], a["stride_w"])
    window = Window(
        in_h, in_w, s["kernel_h"], s["kernel_w"], s["in_channels"] // s["groups"], s["out_channels"] // s["groups"],
        a["stride_h"], a["stride_w"], s["out_h"], s["out_w"],
        s["in_h"] + sum(pads[:2]) - in_h, s["in_w"] + sum(pads[2:]) - in_w, pads,
    )  # fmt: skip
    k = window.channels * window.kernel_h * window.kernel_w
    return Product(op.name, window.out_h * window.out_w, window.filters, k, s["groups"], window=window)


def read(outputs: int, kernel: int, stride: int) -> int:
    """Rows that `outputs` windows read."""
    return (outputs - 1) * stride + kernel


# --- the four networks ------------------------------------------------------------------------------------------------

CONTEXT = 128
"""Tokens that the decode step attends to, itself among them."""


@dataclass(frozen=True)
class Network:
    """A network of the benchmark: the committed trace, sizes bound, and the one phase that is run ("" for all)."""

    title: str
    trace: str
    bind: Mapping[str, int] = dataclasses.field(default_factory=dict)
    phase: str = ""

    def workload(self) -> Workload:
        """The trace, cut down to the phase where one is named."""
        whole = load_workload(self.trace)
        return step_alone(whole, self.phase) if self.phase else whole

    def binding(self) -> dict[str, int]:
        """A value for every symbol."""
        return {name: int(s.default) for name, s in self.workload().symbols.items()} | dict(self.bind)

    def products(self) -> list[Product]:
        """Its distinct products."""
        return products(self.workload(), self.binding())


def step_alone(workload: Workload, phase: str) -> Workload:
    """The workload with nothing but the first pass of `phase` of its default schedule."""
    name = next(iter(workload.schedules))
    (whole,) = (p for p in workload.schedules[name] if p.name == phase)
    repeat = whole.repeat and dataclasses.replace(whole.repeat, last=whole.repeat.first)
    alone = dataclasses.replace(whole, repeat=repeat)
    used = {symbol for call in alone.calls for e in call.bind.values() for symbol in e.symbols}
    symbols = {symbol: s for symbol, s in workload.symbols.items() if symbol in used}
    return dataclasses.replace(workload, name=f"{workload.name}-{phase}", symbols=symbols, schedules={name: (alone,)})


NETWORKS = {
    "resnet18": Network("ResNet-18, 224 x 224", "resnet18"),
    "mobilenet": Network("MobileNetV1 1.0, 224 x 224", "mobilenet-v1-1.0-224"),
    "bert-layer": Network("a BERT-base layer, 128 tokens", "bert-layer"),
    "gpt2-step": Network(f"a GPT-2 decode step, context {CONTEXT}", "gpt2-small", {"n": CONTEXT - 1}, "decode"),
}
ARRAYS = (16, 32, 128)
