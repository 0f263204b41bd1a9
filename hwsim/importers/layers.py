"""Layers that stand for themselves, as lists of layers have them: sizes, and nothing of how they are joined."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hwsim.expr import parse
from hwsim.workload.ir import Attr, Call, Graph, Op, Phase, Role, Tensor, Workload

MAX_SIZE = 1 << 24
"""Largest size of one loop of an imported layer."""
MAX_MACS = 1 << 53
"""Most multiply-accumulates of an imported layer: what a 64-bit float counts exactly."""
_GRAPH = "layers"


class Widths(NamedTuple):
    """Bits of an element of each operand."""

    inputs: int
    weights: int
    outputs: int


BYTES = Widths(8, 8, 8)


@dataclass(frozen=True, slots=True)
class Matmul:
    """out[m, n] = in[m, k] x w[k, n], `batch` times, with weights of its own each time."""

    name: str
    m: int
    n: int
    k: int
    batch: int = 1
    widths: Widths = BYTES
    source: str = ""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.batch * self.m * self.n * self.k

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Of input, weights and output."""
        lead = (self.batch,) if self.batch > 1 else ()
        return (*lead, self.m, self.k), (*lead, self.n, self.k), (*lead, self.m, self.n)

    def op(self) -> tuple[str, dict[str, int], dict[str, Attr]]:
        """Kind, loop sizes and attributes."""
        dims = {"batch": self.batch, "m": self.m, "n": self.n, "k": self.k}
        return "matmul", dims, {"static": True, "weight_layout": "nk"}


@dataclass(frozen=True, slots=True)
class Convolution:
    """A two-dimensional convolution. `pad` is top, bottom, left, right."""

    name: str
    in_channels: int
    out_channels: int
    in_h: int
    in_w: int
    out_h: int
    out_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    batch: int = 1
    widths: Widths = BYTES
    source: str = ""

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        taps = self.in_channels // self.groups * self.kernel_h * self.kernel_w
        return self.batch * self.out_channels * self.out_h * self.out_w * taps

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Of input, weights and output."""
        weights = (self.out_channels, self.in_channels // self.groups, self.kernel_h, self.kernel_w)
        inputs = (self.batch, self.in_channels, self.in_h, self.in_w)
        return inputs, weights, (self.batch, self.out_channels, self.out_h, self.out_w)

    def op(self) -> tuple[str, dict[str, int], dict[str, Attr]]:
        """Kind, loop sizes and attributes."""
        sizes = ("batch", "groups", "in_channels", "out_channels", "in_h", "in_w", "out_h", "out_w", "kernel_h",
                 "kernel_w")  # fmt: skip
        top, bottom, left, right = self.pad
        attrs: dict[str, Attr] = {
            "static": True, "stride_h": self.stride_h, "stride_w": self.stride_w, "dilation_h": self.dilation_h,
            "dilation_w": self.dilation_w, "pad_top": top, "pad_bottom": bottom, "pad_left": left, "pad_right": right,
        }  # fmt: skip
        return "conv2d", {name: getattr(self, name) for name in sizes}, attrs


Layer = Matmul | Convolution


def unique_names(names: Iterable[str]) -> list[str]:
    """The names as words, each once: what is no word becomes "_", and the second `x` becomes `x#2`."""
    found: list[str] = []
    taken: set[str] = set()
    for i, name in enumerate(names):
        word = re.sub(r"[^\w.+/-]", "_", name)[:150] or f"layer{i}"
        copy, tried = word, 1
        while copy in taken:
            tried += 1
            copy = f"{word}#{tried}"
        taken.add(copy)
        found.append(copy)
    return found


def workload_name(text: str) -> str:
    """A text as the name of a workload."""
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100]
    return word or "imported"


def workload_of(name: str, summary: str, layers: Sequence[Layer], origin: Mapping[str, str]) -> Workload:
    """The layers one after another, none fed by another: each with an input, weights and an output of its own."""
    tensors: dict[str, Tensor] = {}
    ops = []
    for layer, word in zip(layers, unique_names(layer.name for layer in layers), strict=True):
        roles = (Role.INPUT, Role.WEIGHT, Role.OUTPUT)
        names = (f"{word}.input", f"{word}.weight", f"{word}.output")
        for tensor, shape, role, bits in zip(names, layer.shapes(), roles, layer.widths, strict=True):
            tensors[tensor] = Tensor(tensor, tuple(parse(size) for size in shape), bits, f"int{bits}", role)
        kind, dims, attrs = layer.op()
        sizes = {key: parse(size) for key, size in dims.items()}
        ops.append(Op(word, kind, names[:2], names[2:], sizes, attrs, word, layer.source))
    ends = {role: tuple(t.name for t in tensors.values() if t.role is role) for role in (Role.INPUT, Role.OUTPUT)}
    graph = Graph(_GRAPH, tensors, tuple(ops), ends[Role.INPUT], ends[Role.OUTPUT])
    schedules = {"once": (Phase("run", (Call(_GRAPH),)),)}
    return Workload(workload_name(name), summary, {}, {_GRAPH: graph}, schedules, dict(origin))
