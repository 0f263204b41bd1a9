"""ParaDnn's families of networks: fully connected, residual, bottleneck, and recurrent (RNN, LSTM, GRU).

As published with Y. E. Wang, G.-Y. Wei, D. Brooks, "A Systematic Methodology for Analysis of Deep Learning Hardware and
Software Platforms", MLSys 2020 (arXiv:1907.10701), and its code (github.com/Emma926/paradnn, files fc.py,
resnet_model.py, rnn.py). docs/paradnn.md says what each network is, and which ranges the paper sweeps.

Operators have the names, kinds and loop sizes that tracing the same network in PyTorch gives. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwsim.expr import Expr, parse
from hwsim.workload.family import Family, Parameter
from hwsim.workload.ir import Attr, Call, Disposition, Graph, Op, Phase, Repeat, Role, Symbol, Tensor, Workload

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
            if old.role is Role.STATE:
                continue
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


# --- convolutional ----------------------------------------------------------------------------------------------

POOL = 7
"""Side of the window of the last average pooling, which moves by one: an image of 224 gives a single value."""
DOWNSCALE = 32
"""How much smaller the last feature maps are than the image; rounded up."""
CNN_SYMBOLS = {
    "filters": _symbol(64, 1, 1 << 12, "filters of the first group; each further group has twice as many"),
    "image": _symbol(224, (POOL - 1) * DOWNSCALE + 1, 1 << 12, "width and height of an image of three channels"),
    "output": _symbol(1000, 1, 1 << 20, "classes"),
    "batch": BATCH,
}
_EXPANSION = 4
"""How many times its filters a bottleneck block has channels."""


class _Cnn(_Builder):
    """A convolutional network; `scale` is how much smaller feature maps are than the image."""

    def conv(self, name: str, source: str, channels: tuple[Size, Size], kernel: int, scale: int,
             stride: int = 1) -> str:  # fmt: skip
        """A convolution without bias, padded so that a stride of 1 keeps the size, and its batch norm."""
        before, after = _side(scale), _side(scale * stride)
        weight = self.weight(f"{name}.weight", channels[1], channels[0], kernel, kernel)
        dims: dict[str, Size] = {
            "batch": "batch", "groups": 1, "in_channels": channels[0], "out_channels": channels[1], "in_h": before,
            "in_w": before, "out_h": after, "out_w": after, "kernel_h": kernel, "kernel_w": kernel,
        }  # fmt: skip
        attrs: dict[str, Attr] = {"static": True, "stride_h": stride, "stride_w": stride, "dilation_h": 1,
                                  "dilation_w": 1}  # fmt: skip
        attrs |= dict.fromkeys(("pad_top", "pad_bottom", "pad_left", "pad_right"), kernel // 2)
        shape = ("batch", channels[1], after, after)
        return self.norm(self.op(name, "conv2d", "conv2d.default", (source, weight), shape, dims, attrs), shape)

    def norm(self, conv: str, shape: Sequence[Size]) -> str:
        """The batch norm of a convolution, in inference a part of it."""
        name, (_, channels, side, _) = f"{conv}.norm", shape
        kept = [self.weight(f"{name}.{what}", channels) for what in ("weight", "bias", "mean", "variance")]
        dims = {"rows": _product("batch", channels), "length": _product(side, side)}
        attrs: dict[str, Attr] = {"function": "batch_norm", "affine": True}
        self.op(name, "norm", "batch_norm.default", (conv, *kept), shape, dims, attrs)
        self.ops[-1] = replace(self.ops[-1], disposition=Disposition.FUSED, reason=FOLDED, into=conv)
        return name

    def relu(self, source: str, channels: Size, scale: int) -> str:
        """A ReLU."""
        side = _side(scale)
        return self.elementwise(f"{source}.relu", "relu", (source,), ("batch", channels, side, side))

    def pool(self, name: str, source: str, function: str, kernel: int, stride: int, channels: Size,
             side: Size) -> str:  # fmt: skip
        """A pooling to `side` values a side."""
        dims: dict[str, Size] = {"batch": "batch", "channels": channels, "out_h": side, "out_w": side,
                                 "kernel_h": kernel, "kernel_w": kernel}  # fmt: skip
        attrs: dict[str, Attr] = {"function": function, "stride_h": stride, "stride_w": stride}
        return self.op(name, "pool", f"{function}_pool2d.default", (source,), ("batch", channels, side, side), dims,
                       attrs)  # fmt: skip

    def residual(self, name: str, source: str, channels: tuple[Size, Size], scale: int, stride: int) -> str:
        """Two convolutions of 3 x 3."""
        _, filters = channels
        first = self.conv(f"{name}.conv0", source, channels, 3, scale, stride)
        first = self.relu(first, filters, scale * stride)
        return self.conv(f"{name}.conv1", first, (filters, filters), 3, scale * stride)

    def bottleneck(self, name: str, source: str, channels: tuple[Size, Size], scale: int, stride: int) -> str:
        """Convolutions of 1 x 1, of 3 x 3, which strides, and of 1 x 1."""
        before, after = channels
        filters = _less(after)
        first = self.relu(self.conv(f"{name}.conv0", source, (before, filters), 1, scale), filters, scale)
        second = self.conv(f"{name}.conv1", first, (filters, filters), 3, scale, stride)
        second = self.relu(second, filters, scale * stride)
        return self.conv(f"{name}.conv2", second, (filters, after), 1, scale * stride)


FOLDED = "folded into the weights and the bias of the layer before, which nothing else reads"


def _side(scale: int) -> Size:
    """Values a side of a feature map: strides round up, one after another as well as all together."""
    return "image" if scale == 1 else f"ceil(image, {scale})"


def _times(factor: int) -> Size:
    return "filters" if factor == 1 else f"{factor} * filters"


def _less(channels: Size) -> Size:
    """The filters of a bottleneck block with these channels."""
    factor = int(str(channels).partition(" ")[0])
    return _times(factor // _EXPANSION)


def _network(kind: str, groups: Sequence[int]) -> Graph:
    """Convolution, pooling, four groups of blocks, pooling, a dense layer."""
    b = _Cnn("network")
    widen = _EXPANSION if kind == "bottleneck" else 1
    image = b.tensor("x", ("batch", 3, "image", "image"), Role.INPUT)
    at = b.relu(b.conv("initial", image, (3, "filters"), 7, 1, 2), "filters", 2)
    at = b.pool("initial.pool", at, "max", 3, 2, "filters", _side(4))
    scale, before = 4, _times(1)
    for g, blocks in enumerate(groups):
        channels = _times(widen << g)
        for i in range(blocks):
            name, stride = f"group{g + 1}.block{i}", 2 if g and not i else 1
            if i == 0:
                shortcut = b.conv(f"{name}.projection", at, (before, channels), 1, scale, stride)
            else:
                shortcut = at
            inner = getattr(b, kind)(name, at, (before, channels), scale, stride)
            scale, before = scale * stride, channels
            shape = ("batch", channels, _side(scale), _side(scale))
            at = b.relu(b.elementwise(f"{name}.add", "add", (inner, shortcut), shape), channels, scale)
    side = f"ceil(image, {DOWNSCALE}) - {POOL - 1}"
    at = b.pool("final.pool", at, "avg", POOL, 1, before, side)
    flat = _product(before, side, side)
    b.tensor("final.flatten", ("batch", flat))
    b.ops.append(Op("final.flatten", "view", (at,), ("final.flatten",), source="aten.flatten.using_ints",
                    disposition=Disposition.FREE, reason=LAYOUT))  # fmt: skip
    return b.graph(b.linear("final.dense", "final.flatten", ("batch",), flat, "output"))


LAYOUT = "layout only: the values and their order stay, even where PyTorch copies them"


def _cnn(kind: str, blocks: int, others: Sequence[int]) -> Workload:
    groups = (blocks, *(other or blocks for other in others))
    summary = f"ParaDnn: {kind} blocks, {', '.join(map(str, groups))} in its groups"
    return _single(f"paradnn-{kind}", summary, CNN_SYMBOLS, _network(kind, groups))


def residual(blocks: int, blocks_2: int, blocks_3: int, blocks_4: int) -> Workload:
    """Four groups of residual blocks; 0 for as many as in the first."""
    return _cnn("residual", blocks, (blocks_2, blocks_3, blocks_4))


def bottleneck(blocks: int, blocks_2: int, blocks_3: int, blocks_4: int) -> Workload:
    """Four groups of bottleneck blocks; 0 for as many as in the first."""
    return _cnn("bottleneck", blocks, (blocks_2, blocks_3, blocks_4))


_MAX_BLOCKS = 64
_GROUPS = {
    "blocks": Parameter(1, 1, _MAX_BLOCKS, "blocks of a group", source=SOURCE),
    **{f"blocks_{g}": Parameter(0, 0, _MAX_BLOCKS, f"blocks of group {g}; 0: as many as in the first")
       for g in (2, 3, 4)},
}  # fmt: skip

RESIDUAL = Family("paradnn-residual", "ParaDnn: convolutions in residual blocks", _GROUPS, residual)
BOTTLENECK = Family("paradnn-bottleneck", "ParaDnn: convolutions in bottleneck blocks", _GROUPS, bottleneck)


# --- recurrent --------------------------------------------------------------------------------------------------

RNN_SYMBOLS = {
    "embedding": _symbol(100, 1, 1 << 14, "length of an embedded word, and of every layer's state"),
    "length": _symbol(10, 1, 1 << 12, "words of a sequence"),
    "vocabulary": _symbol(1024, 1, 1 << 20, "different words"),
    "batch": BATCH,
}
_STATE = ("batch", "embedding")


class _Step(_Builder):
    """One word through all layers. A layer's state is read, then written."""

    def state(self, name: str) -> str:
        """What the last step left of `name`."""
        return self.tensor(name, _STATE, Role.STATE)

    def gate(self, name: str, function: str, *operands: str) -> str:
        """A function of vectors as long as a state."""
        return self.elementwise(name, function, operands, _STATE)

    def written(self, state: str) -> str:
        """Let the last operator write `state` in place of its own result."""
        last = self.ops[-1]
        del self.tensors[last.outputs[0]]
        self.ops[-1] = replace(last, outputs=(state,))
        return state

    def joined(self, name: str, x: str, h: str, factor: int) -> str:
        """[x, h] by a matrix: `factor` times as many results as a state has values."""
        dims = {"elements": _product("batch", "2 * embedding")}
        both = self.op(f"{name}.cat", "concat", "cat.default", (x, h), ("batch", "2 * embedding"), dims,
                       {"append": False})  # fmt: skip
        width = "embedding" if factor == 1 else f"{factor} * embedding"
        return self.linear(name, both, ("batch",), "2 * embedding", width)

    def parts(self, source: str, count: int) -> list[str]:
        """Equal parts of a product's results."""
        made = [self.tensor(f"{source}.chunk.{i}", _STATE) for i in range(count)]
        self.ops.append(Op(f"{source}.chunk", "view", (source,), tuple(made), source="aten.chunk.default",
                           disposition=Disposition.FREE,
                           reason="layout only: the same values, addressed differently"))  # fmt: skip
        return made

    def rnn(self, layer: str, x: str) -> str:
        """BasicRNNCell: tanh of the product."""
        h = self.state(f"{layer}.h")
        self.gate(f"{layer}.tanh", "tanh", self.joined(f"{layer}.cell", x, h, 1))
        return self.written(h)

    def lstm(self, layer: str, x: str) -> str:
        """BasicLSTMCell: gates in the order input, new, forget, output."""
        h, c = self.state(f"{layer}.h"), self.state(f"{layer}.c")
        i, j, f, o = self.parts(self.joined(f"{layer}.cell", x, h, 4), 4)
        kept = self.gate(f"{layer}.kept", "mul", c, self.gate(f"{layer}.forget", "sigmoid", f))
        let, new = self.gate(f"{layer}.input", "sigmoid", i), self.gate(f"{layer}.new", "tanh", j)
        self.gate(f"{layer}.add", "add", kept, self.gate(f"{layer}.let", "mul", let, new))
        self.written(c)
        shown = self.gate(f"{layer}.output", "sigmoid", o)
        self.gate(f"{layer}.result", "mul", self.gate(f"{layer}.tanh", "tanh", c), shown)
        return self.written(h)

    def gru(self, layer: str, x: str) -> str:
        """GRUCell: reset and update gates, then the candidate from the reset state."""
        h = self.state(f"{layer}.h")
        gates = self.joined(f"{layer}.gates", x, h, 2)
        both = self.elementwise(f"{layer}.sigmoid", "sigmoid", (gates,), ("batch", "2 * embedding"))
        reset, keep = self.parts(both, 2)
        past = self.gate(f"{layer}.past", "mul", reset, h)
        candidate = self.gate(f"{layer}.tanh", "tanh", self.joined(f"{layer}.candidate", x, past, 1))
        kept = self.gate(f"{layer}.kept", "mul", keep, h)
        rest = self.gate(f"{layer}.rest", "rsub", keep)
        self.gate(f"{layer}.add", "add", kept, self.gate(f"{layer}.new", "mul", rest, candidate))
        return self.written(h)


def _recurrent(kind: str, layers: int) -> Workload:
    """Embedding, `layers` cells a word, a dense layer to the vocabulary.

    A word is one pass of a repeated graph: the sequence can be as long as one likes without more operators to build,
    hash, differentiate or report, and its length stays a size.
    """
    embed = _Builder("embed")
    words = embed.tensor("words", ("batch", "length"), Role.INPUT, "int64")
    table = embed.weight("embeddings", "vocabulary", "embedding")
    dims = {"rows": "batch * length", "width": "embedding"}
    embed.op("embedded", "embedding", "embedding.default", (table, words), ("batch", "length", "embedding"), dims)
    step = _Step("step")
    at = step.state("x")
    for i in range(layers):
        at = getattr(step, kind)(f"layer{i}", at)
    logits = _Builder("logits")
    source = logits.tensor("outputs", ("batch * length", "embedding"), Role.STATE)
    logits.linear("dense", source, ("batch * length",), "embedding", "vocabulary")
    graphs = {g.name: g for g in (embed.graph("embedded"), step.graph(at), logits.graph("dense"))}
    phases = (
        Phase("embed", (Call("embed"),)),
        Phase("recur", (Call("step"),), Repeat("t", parse(1), parse("length"))),
        Phase("classify", (Call("logits"),)),
    )
    summary = f"ParaDnn: {layers} {kind.upper()} layers"
    return Workload(f"paradnn-{kind}", summary, RNN_SYMBOLS, graphs, {"once": phases})


_LAYERS = {"layers": Parameter(1, 1, 128, "cells a word goes through", source=SOURCE)}

RNN = Family("paradnn-rnn", "ParaDnn: plain recurrent layers", _LAYERS, lambda layers: _recurrent("rnn", layers))
LSTM = Family("paradnn-lstm", "ParaDnn: LSTM layers", _LAYERS, lambda layers: _recurrent("lstm", layers))
GRU = Family("paradnn-gru", "ParaDnn: GRU layers", _LAYERS, lambda layers: _recurrent("gru", layers))
