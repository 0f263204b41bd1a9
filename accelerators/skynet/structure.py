"""A detector as a few numbers, and as a workload without PyTorch: what the design search varies.

    structure = Structure("dw3-pw", (48, 96, 192, 384, 512), (1, 2, 3), last=96)      SkyNet C
    workload(structure, "skynet-c")                                                   as the traced one

A *Bundle kind* is a short list of convolutions, each with batch norm and an activation. A network stacks one kind
(arXiv 1909.09709: all Bundles of a network are alike), pools 2x2 behind some Bundles, and may lead the map before the
last pool past it, reordered, to one more Bundle. The head is a pointwise convolution to two anchors of five numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

from hwsim.errors import bad_input
from hwsim.expr import parse
from hwsim.workload.ir import Attr, Call, Disposition, Graph, Op, Phase, Role, Tensor, Workload
from workloads.skynet import HEAD_OUTPUTS, HEIGHT, IMAGE_CHANNELS, PLANS, WIDTH

MOST_UNITS = 2
"""Compute units of a Bundle at most (the paper, as known from reading notes)."""
MOST_BUNDLES, MOST_CHANNELS = 16, 4_096
BITS, DTYPE = 32, "float32"
ACTIVATIONS: Mapping[str, tuple[str, str, str]] = {
    "relu6": ("relu", "hardtanh", "aten.hardtanh.default"),
    "relu": ("relu", "relu", "aten.relu.default"),
    "hardswish": ("hardswish", "hardswish", "aten.hardswish.default"),
}
"""Name of the layer, function and operator, as tracing writes them."""
FOLDED = "folded into the weights and the bias of the layer before, which nothing else reads"
LAYOUT = "layout only: the same values, addressed differently"
COPIED = "layout only: the values and their order stay, even where PyTorch copies them"


class Convolution(NamedTuple):
    """One convolution of a Bundle. groups: 0 for one a channel; `widens`: it goes to the Bundle's own channels."""

    name: str
    kernel: int
    groups: int
    widens: bool
    dilation: int = 1

    @property
    def unit(self) -> str:
        """The compute unit it asks for: two of one Bundle that ask for the same share it."""
        sort = "depthwise" if not self.groups else "dense" if self.groups == 1 else f"{self.groups} groups"
        apart = f", dilated {self.dilation}" if self.dilation > 1 else ""
        return f"{sort} {self.kernel}x{self.kernel}{apart}"


_DW, _PW = Convolution("dw", 3, 0, False), Convolution("pw", 1, 1, True)
KINDS: Mapping[str, tuple[Convolution, ...]] = {
    "dw3-pw": (_DW, _PW),
    "dw3-pw-pw": (_DW, _PW, _PW._replace(name="pw2")),
    "dw3-dw3-pw": (_DW, _DW._replace(name="dw2"), _PW),
    "pw-dw3": (_PW, _DW),
    "pw-dw3-pw": (_PW, _DW, _PW._replace(name="pw2")),
    "dw5-pw": (_DW._replace(kernel=5), _PW),
    "conv3": (Convolution("conv", 3, 1, True),),
    "conv3-pw": (Convolution("conv", 3, 1, True), _PW),
    "pw-conv3-in-2-groups": (_PW, Convolution("conv", 3, 2, False)),
    "dilated-dw3-pw": (_DW._replace(dilation=2), _PW),
    "conv3-dw3-pw": (Convolution("conv", 3, 1, True), _DW, _PW),
}
"""Candidates. What the engine does not run among them it refuses by itself, in `accelerators.skynet.lowering`."""


def units(kind: str) -> tuple[str, ...]:
    """Compute units of a Bundle of this kind."""
    return tuple(dict.fromkeys(convolution.unit for convolution in KINDS[kind]))


@dataclass(frozen=True)
class Structure:
    """A detector.

    kind        of all its Bundles, a key of KINDS
    channels    outputs of the Bundles
    pools       numbers of the Bundles (from 1) behind which a 2x2 pool stands
    last        outputs of one more Bundle, which also reads the reordered map before the last pool; 0: neither
    activation  a key of ACTIVATIONS
    Frames are height x width, multiples of 2 to the number of pools. Raises InputError for anything else.
    """

    kind: str = "dw3-pw"
    channels: tuple[int, ...] = (48, 96, 192, 384, 512)
    pools: tuple[int, ...] = (1, 2, 3)
    last: int = 0
    activation: str = "relu6"
    height: int = HEIGHT
    width: int = WIDTH

    def __post_init__(self) -> None:
        for key, rule in self._broken():
            raise bad_input("structure", f"{key} {getattr(self, key)!r}", rule)

    def _broken(self) -> Iterator[tuple[str, str]]:
        if self.kind not in KINDS:
            yield "kind", f"a Bundle is one of {', '.join(KINDS)}"
        if self.activation not in ACTIVATIONS:
            yield "activation", f"an activation is one of {', '.join(ACTIVATIONS)}"
        if not 0 < len(self.channels) <= MOST_BUNDLES or not all(0 < c <= MOST_CHANNELS for c in self.channels):
            yield "channels", f"there are 1 to {MOST_BUNDLES} Bundles of 1 to {MOST_CHANNELS:,} channels"
        if list(self.pools) != sorted(set(self.pools)) or not set(self.pools) <= {*range(1, len(self.channels) + 1)}:
            yield "pools", f"pools stand behind different Bundles, 1 to {len(self.channels)}, in order"
        if not 0 <= self.last <= MOST_CHANNELS or (self.last and not self.pools):
            yield "last", f"0, or up to {MOST_CHANNELS:,} channels where there is a pool for the bypass to go past"
        for key in ("height", "width"):
            if getattr(self, key) < 1 or getattr(self, key) % 2 ** len(self.pools):
                yield key, f"a multiple of {2 ** len(self.pools)}, so that every pool halves it"

    def bundles(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of every Bundle, the one behind the bypass too."""
        pairs = tuple(zip((IMAGE_CHANNELS, *self.channels), self.channels, strict=False))
        return (*pairs, (4 * self.channels[self.tap - 1] + self.channels[-1], self.last)) if self.last else pairs

    @property
    def tap(self) -> int:
        """The Bundle whose map goes past the last pool (0 without pools)."""
        return self.pools[-1] if self.pools else 0

    @property
    def text(self) -> str:
        """All of it in one word: `dw3-pw/48-96-192-384-512/p123/b96/relu6`, with the frame where it is another."""
        pools = "".join(str(p) if p < 10 else f"({p})" for p in self.pools)
        frame = "" if (self.height, self.width) == (HEIGHT, WIDTH) else f"/{self.height}x{self.width}"
        return f"{self.kind}/{'-'.join(map(str, self.channels))}/p{pools}/b{self.last}/{self.activation}{frame}"


PUBLISHED: Mapping[str, Structure] = {
    name: Structure(channels=plan.channels, last=plan.last) for name, plan in PLANS.items()
}
"""SkyNet A, B and C."""


# --- as a workload ----------------------------------------------------------------------------------------------


def workload(structure: Structure, name: str, summary: str = "") -> Workload:
    """The detector on one frame, operator for operator as tracing the PyTorch network gives it."""
    graph = _Builder(structure).graph()
    return Workload(
        name=name,
        summary=summary or f"a detector of the design search, {structure.text}",
        symbols={},
        graphs={graph.name: graph},
        schedules={"once": (Phase("run", (Call("network"),)),)},
        provenance={"structure": structure.text},
    )


@dataclass
class _Builder:
    """A graph on its way: tensors in the order of tracing, which lists weights, then statistics, then activations."""

    structure: Structure
    weights: dict[str, Tensor] = field(default_factory=dict)
    statistics: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)

    def graph(self) -> Graph:
        """The whole network."""
        s = self.structure
        image = _tensor("image", (1, IMAGE_CHANNELS, s.height, s.width), Role.INPUT)
        self.values["image"] = image
        x, tapped = "image", ""
        for number, outputs in enumerate(s.channels, 1):
            x = self.bundle(number, x, outputs)
            tapped = x if number == s.tap else tapped
            x = self.pool(x, s.pools.index(number)) if number in s.pools else x
        if s.last:
            x = self.bundle(len(s.channels) + 1, self.joined(tapped, x), s.last)
        head = self.convolution("head", x, _PW, HEAD_OUTPUTS)
        self.values[head] = _tensor(head, self.shape(head), Role.OUTPUT)
        held = {"image": image, **self.weights, **self.statistics, **self.values}
        return Graph("network", held, tuple(self.ops), ("image",), (head,))

    def shape(self, name: str) -> tuple[int, ...]:
        """Sizes of a value."""
        return tuple(size.value({}) for size in self.values[name].shape)

    def value(self, name: str, shape: Sequence[int]) -> str:
        """A new activation."""
        self.values[name] = _tensor(name, shape, Role.ACTIVATION)
        return name

    def weight(self, name: str, *shape: int) -> str:
        """A new parameter."""
        self.weights[name] = _tensor(name, shape, Role.WEIGHT)
        return name

    # --- layers

    def bundle(self, number: int, x: str, outputs: int) -> str:
        """One Bundle; the value it gives."""
        kind = KINDS[self.structure.kind]
        for convolution in kind:
            name = f"bundle{number}.{convolution.name}"
            made = self.convolution(name, x, convolution, outputs if convolution.widens else self.shape(x)[1])
            x = self.activation(name, self.norm(f"{name}_bn", made))
        return x

    def convolution(self, name: str, x: str, c: Convolution, outputs: int) -> str:
        """A convolution that keeps the map's size."""
        _, inputs, height, width = self.shape(x)
        groups = c.groups or inputs
        if inputs % groups or outputs % groups:
            raise bad_input("structure", f"{inputs} to {outputs} channels", f"{groups} groups divide both")
        weight = self.weight(f"{name}.weight", outputs, inputs // groups, c.kernel, c.kernel)
        pad = (c.kernel - 1) // 2 * c.dilation
        dims = {"batch": 1, "groups": groups, "in_channels": inputs, "out_channels": outputs, "in_h": height,
                "in_w": width, "out_h": height, "out_w": width, "kernel_h": c.kernel, "kernel_w": c.kernel}  # fmt: skip
        attrs = {"static": True, "stride_h": 1, "stride_w": 1, "dilation_h": c.dilation, "dilation_w": c.dilation,
                 "pad_top": pad, "pad_bottom": pad, "pad_left": pad, "pad_right": pad}  # fmt: skip
        self.op(name, "conv2d", (x, weight), dims, attrs, name, "aten.conv2d.default")
        return self.value(name, (1, outputs, height, width))

    def norm(self, name: str, x: str) -> str:
        """A batch norm, folded into the convolution before."""
        shape = self.shape(x)
        scale = [self.weight(f"{name}.{part}", shape[1]) for part in ("weight", "bias")]
        seen = []
        for part in ("running_mean", "running_var"):
            self.statistics[f"{name}.{part}"] = _tensor(f"{name}.{part}", (shape[1],), Role.WEIGHT)
            seen.append(f"{name}.{part}")
        dims = {"rows": shape[1], "length": shape[2] * shape[3]}
        op = self.op(name, "norm", (x, *scale, *seen), dims, {"function": "batch_norm", "affine": True}, name,
                     "aten.batch_norm.default")  # fmt: skip
        self.settle(op, Disposition.FUSED, FOLDED, x)
        return self.value(name, shape)

    def activation(self, name: str, x: str) -> str:
        """The activation behind convolution `name`."""
        suffix, function, source = ACTIVATIONS[self.structure.activation]
        name = f"{name}_{suffix}"
        self.op(name, "elementwise", (x,), {"elements": prod(self.shape(x))}, {"function": function}, name, source)
        return self.value(name, self.shape(x))

    def pool(self, x: str, before: int) -> str:
        """The maximum of 2x2; `before` pools came first."""
        _, channels, height, width = self.shape(x)
        name = f"pool.max_pool2d{f'_{before + 1}' if before else ''}"
        dims = {"batch": 1, "channels": channels, "out_h": height // 2, "out_w": width // 2, "kernel_h": 2,
                "kernel_w": 2}  # fmt: skip
        attrs = {"function": "max", "stride_h": 2, "stride_w": 2}
        self.op(name, "pool", (x,), dims, attrs, "pool", "aten.max_pool2d.default")
        return self.value(name, (1, channels, height // 2, width // 2))

    def joined(self, tapped: str, x: str) -> str:
        """The reordered map `tapped` and `x`, side by side."""
        _, channels, height, width = self.shape(tapped)
        h, w = height // 2, width // 2
        steps = (("view", LAYOUT, (1, channels, h, 2, w, 2)), ("permute", LAYOUT, (1, 2, 2, channels, h, w)),
                 ("reshape", COPIED, (1, 4 * channels, h, w)))  # fmt: skip
        for name, reason, shape in steps:
            op = self.op(name, "view", (tapped,), {}, {}, "", f"aten.{name}.default")
            self.settle(op, Disposition.FREE, reason)
            tapped = self.value(name, shape)
        total = 4 * channels + self.shape(x)[1]
        dims = {"elements": total * h * w}
        self.op("cat", "concat", (tapped, x), dims, {"append": False}, "", "aten.cat.default")
        return self.value("cat", (1, total, h, w))

    # --- operators

    def op(self, name: str, kind: str, inputs: Sequence[str], dims: Mapping[str, int], attrs: Mapping[str, Attr],
           module: str, source: str) -> Op:  # fmt: skip
        """A new operator with one output of its own name."""
        sizes = {key: parse(value) for key, value in dims.items()}
        made = Op(name, kind, tuple(inputs), (name,), sizes, dict(attrs), module, source)
        self.ops.append(made)
        return made

    def settle(self, op: Op, disposition: Disposition, reason: str, into: str = "") -> None:
        """Say of the last operator why it costs nothing."""
        self.ops[-1] = Op(op.name, op.kind, op.inputs, op.outputs, op.dims, op.attrs, op.module, op.source,
                          disposition, reason, into)  # fmt: skip


def _tensor(name: str, shape: Sequence[int], role: Role) -> Tensor:
    return Tensor(name, tuple(parse(size) for size in shape), BITS, DTYPE, role)
