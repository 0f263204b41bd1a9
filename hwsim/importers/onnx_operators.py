"""What each ONNX operator costs: its kind and loop sizes, or why it is free, or why nobody can say.

Kinds and loop sizes are those that tracing gives the same operators of PyTorch; meaning and defaults of attributes are
those of the ONNX operator specification (github.com/onnx/onnx, docs/Operators.md). The default domain alone is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hwsim.expr import MAX_VALUE, Expr, parse
from hwsim.workload.ir import Attr, Disposition

Shape = tuple[Expr | None, ...]
Sizes = tuple[Expr, ...]
INT64 = 7
ONE = parse(1)
IMAGE, MATRIX = 2, 2
CONSTANT = "depends on constants and sizes alone: computed once, not in every run"
VIEW = "layout only: the same values, addressed differently"
FOLDED = "folded into the weights and the bias of the layer before, which nothing else reads"


class UnsupportedError(Exception):
    """Nobody knows what a node costs; the text says why."""


class UnknownSizeError(Exception):
    """A size that a cost needs is not known; the text is the value's name."""


@dataclass(frozen=True, slots=True)
class Made:
    """One operator that a node becomes: `name` tells the parts of a node apart, `values` are those it adds with shape
    and type, `weights` those among its inputs that it adds as weights."""

    name: str
    kind: str
    dims: Mapping[str, Expr]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Attr] = field(default_factory=dict)
    disposition: Disposition = Disposition.MODELLED
    reason: str = ""
    into: str = ""
    values: Mapping[str, tuple[Shape, int]] = field(default_factory=dict)
    weights: tuple[str, ...] = ()


class Alias(NamedTuple):
    """A constant that is another one in another layout; `swapped` if a matrix lies the other way round."""

    root: str
    swapped: bool


@dataclass(slots=True)
class Known:
    """What is known of the values of a graph. `constants` are tensors of the model; `fixed` values follow from them and
    from sizes; `hosts` are products by value, with what reads them counted in `readers`."""

    opset: int = 1
    shapes: dict[str, Shape] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    aliases: dict[str, Alias] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    readers: Counter[str] = field(default_factory=Counter)
    made: set[str] = field(default_factory=set)


class Node:
    """A node with what is known of its values."""

    def __init__(self, proto: Any, name: str, known: Known) -> None:
        self.proto, self.name, self.known = proto, name, known
        self.op: str = proto.op_type
        self.inputs: list[str] = list(proto.input)
        self.outputs: list[str] = [out for out in proto.output if out]
        self.attributes = {a.name: a for a in proto.attribute}

    @property
    def called(self) -> str:
        """The operator with its domain."""
        domain = self.proto.domain
        text = self.op if domain in ("", "ai.onnx") else f"{domain}.{self.op}"
        return "".join(c if c.isprintable() else "?" for c in text)[:150] or "?"

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        found = self.attributes.get(name)
        return int(found.i) if found is not None else default

    def integers(self, name: str) -> list[int]:
        """A list of integers; [] where there is none."""
        found = self.attributes.get(name)
        return [int(i) for i in found.ints] if found is not None else []

    def text(self, name: str, default: str) -> str:
        """A text attribute."""
        found = self.attributes.get(name)
        return found.s.decode("utf-8", "replace") if found is not None else default

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        found = self.attributes.get(name)
        return float(found.f) if found is not None else default

    def at(self, place: int) -> str:
        """The input at a place.

        Raises UnsupportedError where the node has none there.
        """
        if place >= len(self.inputs) or not self.inputs[place]:
            raise UnsupportedError(f"the operator needs an input at place {place}, and has none")
        return self.inputs[place]

    def has(self, place: int) -> bool:
        """Whether there is an input at a place."""
        return place < len(self.inputs) and bool(self.inputs[place])

    def sizes(self, value: str) -> Sizes:
        """The shape of a value.

        Raises UnknownSizeError where a size of it is unknown.
        """
        shape = self.known.shapes.get(value)
        if shape is None or None in shape:
            raise UnknownSizeError(value)
        return tuple(size for size in shape if size is not None)

    def out(self) -> Sizes:
        """The shape of the first output."""
        return self.sizes(self.outputs[0])

    def is_constant(self, value: str) -> bool:
        """Whether a value is the same in every run."""
        return value in self.known.constants or value in self.known.fixed or value in self.known.aliases

    def root(self, value: str) -> str:
        """The constant that a value is, in whatever layout; else the value."""
        found = self.known.aliases.get(value)
        return found.root if found else value

    def stored(self, value: str) -> tuple[str, bool]:
        """The root of a value, and whether it lies the other way round."""
        return self.known.aliases.get(value, Alias(value, False))

    def read(self) -> Iterator[str]:
        """The inputs that are data: no numbers, no lists of sizes."""
        for value in filter(None, self.inputs):
            root = self.root(value)
            shape = self.known.shapes.get(root)
            plain = self.is_constant(value) and (
                self.known.dtypes.get(root) == INT64 or shape is None or all(size == ONE for size in shape)
            )
            if not plain and value not in self.known.fixed:
                yield root

    def bias(self, place: int) -> list[str]:
        """The bias at a place, if there is one that is no more than zeros that an exporter computes."""
        value = self.inputs[place] if self.has(place) else ""
        unknown = None in self.known.shapes.get(value, (None,))
        return [self.root(value)] if value and not (value in self.known.fixed and unknown) else []

    def ints_of(self, value: str) -> list[int]:
        """The integers of a constant.

        Raises UnsupportedError where the value is no constant of integers.
        """
        tensor = self.known.constants.get(self.root(value))
        if tensor is None or tensor.data_type != INT64:
            raise UnsupportedError("a list of sizes that is computed in every run")
        raw = tensor.raw_data
        whole = [int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, len(raw) - 7, 8)]
        return whole or [int(i) for i in tensor.int64_data]


def product(sizes: Iterable[Expr]) -> Expr:
    """The sizes multiplied: numbers first, then what is open."""
    number, rest = 1, []
    for size in sizes:
        if size.text.isdigit():
            number *= int(size.text)
        else:
            rest.append(size.text if size.text.isidentifier() else f"({size.text})")
    if number > MAX_VALUE:
        raise UnsupportedError("more elements than can be counted")
    if number == 0 or not rest:
        return parse(number)
    return parse(" * ".join([*([str(number)] if number != 1 else []), *rest]))


def plain(size: Expr, value: str) -> int:
    """A size as a number.

    Raises UnknownSizeError where it is open.
    """
    if not size.text.isdigit():
        raise UnknownSizeError(value)
    return int(size.text)


def made_by(node: Node) -> list[Made]:
    """The operators that a node becomes, with what it tells about its outputs noted in `node.known`.

    Raises UnsupportedError where nobody knows its cost, UnknownSizeError where a size is missing.
    """
    if node.proto.domain not in ("", "ai.onnx"):
        raise UnsupportedError(f"operators of the domain {node.proto.domain!r} are not known")
    if node.op == "Constant":
        return []
    given = [value for value in node.inputs[: 1 if node.op == "CastLike" else None] if value]
    if node.op in SIZES or (all(map(node.is_constant, given)) and node.op not in RANDOM):
        return [_constant(node)]
    rule = RULES.get(node.op)
    if rule is None:
        raise UnsupportedError(REASONS.get(node.op, "no cost is known for this operator"))
    return rule(node)


def _constant(node: Node) -> Made:
    first = node.inputs[0] if node.inputs else ""
    if node.op in RELAID and first and not node.known.fixed & {first}:
        root, swapped = node.stored(first)
        turned = node.op == "Transpose" and len(node.known.shapes.get(first, ())) == MATRIX
        node.known.aliases[node.outputs[0]] = Alias(root, swapped != turned)
    else:
        node.known.fixed |= set(node.outputs)
    return free(node, CONSTANT)


def free(node: Node, why: str) -> Made:
    """An operator that moves nothing."""
    read = () if why == CONSTANT else tuple(node.read())
    return Made("", "view", {}, read, tuple(node.outputs), {}, Disposition.FREE, why)


def _one(node: Node, kind: str, dims: Mapping[str, Expr], attrs: Mapping[str, Attr] | None = None,
         inputs: Sequence[str] | None = None) -> list[Made]:  # fmt: skip
    read = tuple(node.read()) if inputs is None else tuple(inputs)
    return [Made("", kind, dims, read, tuple(node.outputs), attrs or {})]


# --- products -----------------------------------------------------------------------------------------------------


def _matmul(node: Node, left: int = 0, right: int = 1) -> list[Made]:
    a, b = node.at(left), node.at(right)
    if node.is_constant(a) and not node.is_constant(b) and len(node.sizes(a)) == MATRIX:
        return _mirrored(node, a, b)
    sizes_a, sizes_b = node.sizes(a), node.sizes(b)
    if not sizes_a or not sizes_b:
        raise UnsupportedError("a product of a number")
    root, swapped = node.stored(b)
    attrs = _attrs(node.is_constant(b), "nk" if swapped else "kn")
    if len(sizes_b) == 1:
        dims = {"batch": ONE, "m": product(sizes_a[:-1]), "n": ONE, "k": sizes_a[-1]}
    elif len(sizes_b) == MATRIX:
        dims = {"batch": ONE, "m": product(sizes_a[:-1]), "n": sizes_b[-1], "k": sizes_a[-1]}
    else:
        m = sizes_a[-2] if len(sizes_a) >= MATRIX else ONE
        lead = node.out()[: -2 if len(sizes_a) >= MATRIX else -1]
        dims = {"batch": product(lead), "m": m, "n": sizes_b[-1], "k": sizes_b[-2]}
    return _host(node, _one(node, "matmul", dims, attrs, (node.root(a), root)))


def _mirrored(node: Node, weight: str, b: str) -> list[Made]:
    """weight @ b: the columns of `b` are the rows that the weight multiplies."""
    root, swapped = node.stored(weight)
    (n, k), columns = node.sizes(weight), node.sizes(b)
    m = product([*columns[:-2], columns[-1]]) if len(columns) >= MATRIX else ONE
    dims = {"batch": ONE, "m": m, "n": n, "k": k}
    return _one(node, "matmul", dims, _attrs(True, "kn" if swapped else "nk"), (b, root))


def _attrs(static: bool, layout: str) -> dict[str, Attr]:
    return {"static": True, "weight_layout": layout} if static else {"static": False}


def _gemm(node: Node) -> list[Made]:
    a, b = node.at(0), node.at(1)
    if node.number("alpha", 1.0) != 1 or (node.has(2) and node.number("beta", 1.0) not in (0, 1)):
        raise UnsupportedError("a product scaled by alpha or beta; multiply in an operator of its own")
    root, swapped = node.stored(b)
    turned = bool(node.integer("transB", 0))
    sizes_a, sizes_b = node.sizes(a), node.sizes(b)
    if len(sizes_a) != MATRIX or len(sizes_b) != MATRIX:
        raise UnsupportedError("a Gemm of other than two matrices")
    m, k = sizes_a[::-1] if node.integer("transA", 0) else sizes_a
    dims = {"batch": ONE, "m": m, "n": sizes_b[0 if turned else 1], "k": k}
    bias = node.bias(2) if node.number("beta", 1.0) else []
    attrs = _attrs(node.is_constant(b), "nk" if turned != swapped else "kn")
    return _host(node, _one(node, "matmul", dims, attrs, (node.root(a), root, *bias)))


def _host(node: Node, made: list[Made]) -> list[Made]:
    node.known.hosts[node.outputs[0]] = node.name
    return made


def _conv(node: Node, at: int = 1, bias: int = 2) -> list[Made]:
    image, weight, out = node.sizes(node.at(0)), node.sizes(node.at(at)), node.out()
    space, groups = len(weight) - 2, node.integer("group", 1)
    if space not in (1, IMAGE) or len(image) != len(weight) or groups < 1:
        raise UnsupportedError("convolutions of one and two dimensions alone are modelled")
    kernel, plane, made = ((*((ONE,) * (IMAGE - space)), *s[2:]) for s in (weight, image, out))
    dims = {
        "batch": image[0], "groups": parse(groups), "in_channels": product([weight[1], parse(groups)]),
        "out_channels": weight[0], "in_h": plane[0], "in_w": plane[1], "out_h": made[0], "out_w": made[1],
        "kernel_h": kernel[0], "kernel_w": kernel[1],
    }  # fmt: skip
    steps = {name: _pair(node.integers(f"{name}s"), space, 1) for name in ("stride", "dilation")}
    attrs: dict[str, Attr] = {"static": node.is_constant(node.at(at))}
    for name, (high, wide) in steps.items():
        attrs |= {f"{name}_h": high, f"{name}_w": wide}
    pads = _pads(node, space, plane, made, kernel, steps)
    attrs |= dict(zip(("pad_top", "pad_bottom", "pad_left", "pad_right"), pads, strict=True))
    operands = [node.root(node.at(0)), node.root(node.at(at)), *node.bias(bias)]
    return _host(node, _one(node, "conv2d", dims, attrs, operands))


def _pair(values: Sequence[int], space: int, default: int) -> tuple[int, int]:
    whole = [1] * (IMAGE - space) + (list(values) or [default] * space)
    if len(whole) != IMAGE:
        raise UnsupportedError("an attribute with another number of axes than the kernel")
    return whole[0], whole[1]


def _pads(node: Node, space: int, plane: Sequence[Expr], made: Sequence[Expr], kernel: Sequence[Expr],
          steps: Mapping[str, tuple[int, int]]) -> tuple[int, ...]:  # fmt: skip
    """Top, bottom, left, right. Padding that is "the same" puts the odd element where the attribute says."""
    mode = node.text("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        given = node.integers("pads") or [0] * (2 * space)
        if len(given) != 2 * space:
            raise UnsupportedError("pads for another number of axes than the kernel")
        first, last = [0] * (IMAGE - space) + given[:space], [0] * (IMAGE - space) + given[space:]
        return first[0], last[0], first[1], last[1]
    pads: list[int] = []
    for i in range(IMAGE):
        size, out, taps = (plain(s[i], node.at(0)) for s in (plane, made, kernel))
        total = max(0, (out - 1) * steps["stride"][i] + (taps - 1) * steps["dilation"][i] + 1 - size)
        pads += [total - total // 2, total // 2] if mode == "SAME_LOWER" else [total // 2, total - total // 2]
    return tuple(pads)


def _transposed(node: Node) -> list[Made]:
    """A transposed convolution whose windows do not overlap: every pixel by the whole kernel, laid side by side."""
    weight, image = node.sizes(node.at(1)), node.sizes(node.at(0))
    kernel = [plain(size, node.at(1)) for size in weight[2:]]
    padded = (
        any(node.integers("pads"))
        or any(node.integers("output_padding"))
        or node.text("auto_pad", "NOTSET") != "NOTSET"
    )
    if node.integer("group", 1) != 1 or padded or (node.integers("strides") or [1] * len(kernel)) != kernel:
        raise UnsupportedError("transposed convolutions are modelled without groups and padding, and with a stride as "
                               "large as the kernel")  # fmt: skip
    dims = {"batch": ONE, "m": product([image[0], *image[2:]]), "n": product(weight[1:]), "k": image[1]}
    return _one(node, "matmul", dims, {**_attrs(node.is_constant(node.at(1)), "kn"), "function": "conv_transpose"})


# --- recurrent layers ---------------------------------------------------------------------------------------------


class _Cell(NamedTuple):
    """Rows of weights a hidden unit, elements its arithmetic computes (as tracing counts PyTorch's), function."""

    gates: int
    elements: int
    function: str


CELLS = {"LSTM": _Cell(4, 13, "lstm_cell"), "GRU": _Cell(3, 10, "gru_cell"), "RNN": _Cell(1, 2, "rnn_cell")}


def _recurrent(node: Node) -> list[Made]:
    """Per direction the product of all steps' inputs, the products of the state step after step, the cell."""
    cell, x, units = CELLS[node.op], node.sizes(node.at(0)), node.integer("hidden_size", 0)
    known = all(map(node.is_constant, (node.at(1), node.at(2))))
    if node.integer("layout", 0) or len(x) != MATRIX + 1 or units < 1 or not known:
        raise UnsupportedError("a recurrent layer other than [steps, batch, features] by constant weights")
    directions = ("forward", "reverse") if node.text("direction", "forward") == "bidirectional" else ("",)
    parts = [part for name in directions for part in _direction(node, cell, name, (*x, parse(units)))]
    cells = tuple(part.outputs[0] for part in parts if part.kind == "elementwise")
    states = ("sequence", "state", "cell_state")
    for name, value in zip(states, node.proto.output, strict=False):
        if value:
            parts.append(Made(name, "view", {}, cells, (value,), {}, Disposition.FREE, VIEW))
    return parts


def _direction(node: Node, cell: _Cell, direction: str, sizes: Sizes) -> list[Made]:
    """One direction, with weights of its own: ONNX keeps those of all directions in one tensor, PyTorch's in two."""
    steps, batch, length, units = sizes
    tag = f"{direction}." if direction else ""
    gates, rows = product([parse(cell.gates), units]), product([steps, batch])
    dtype = node.known.dtypes.get(node.at(1)) or node.known.dtypes.get(node.at(0), 1)
    of_input, of_state, of_bias, summed, fed, out = (
        f"{node.name}.{tag}{part}" for part in ("weight_ih", "weight_hh", "bias", "input", "hidden", "cell")
    )
    sums: tuple[Shape, int] = ((steps, batch, gates), dtype)
    whole = {"batch": ONE, "m": rows, "n": gates, "k": length}
    step = {"batch": steps, "m": batch, "n": gates, "k": units}
    biases: dict[str, tuple[Shape, int]] = {of_bias: ((parse(2), gates), dtype)} if node.has(3) else {}
    static = _attrs(True, "nk")
    return [
        Made(f"{tag}input", "matmul", whole, (node.at(0), of_input, *biases), (summed,), static,
             values={of_input: ((gates, length), dtype), summed: sums, **biases}, weights=(of_input, *biases)),
        Made(f"{tag}hidden", "matmul", step, (summed, of_state), (fed,), {**static, "sequential": True},
             values={of_state: ((gates, units), dtype), fed: sums}, weights=(of_state,)),
        Made(f"{tag}cell", "elementwise", {"elements": product([parse(cell.elements), rows, units])}, (summed, fed),
             (out,), {"function": cell.function}, values={out: ((steps, batch, units), dtype)}),
    ]  # fmt: skip


# --- rows, windows, movement --------------------------------------------------------------------------------------


def _rows(kind: str, sizes: Sizes, axes: Iterable[int], attrs: dict[str, Attr]) -> tuple[dict[str, Expr], Any]:
    try:
        inner = {range(len(sizes))[axis] for axis in axes}
    except IndexError:
        raise UnsupportedError("an axis that its input does not have") from None
    length = product(s for i, s in enumerate(sizes) if i in inner)
    return {"rows": product(s for i, s in enumerate(sizes) if i not in inner), "length": length}, attrs


def _softmax(node: Node) -> list[Made]:
    """Before opset 13 all axes from `axis` on are one."""
    out, old = node.out(), node.known.opset < SOFTMAX_OF_ONE_AXIS
    axis = node.integer("axis", 1 if old else -1)
    axes = range(axis % max(1, len(out)), len(out)) if old else [axis]
    return _one(node, "softmax", *_rows("softmax", out, axes, {"function": node.op.lower()}))


SOFTMAX_OF_ONE_AXIS = 13


def _layer_norm(node: Node) -> list[Made]:
    out = node.out()
    axis = node.integer("axis", -1)
    dims, attrs = _rows("norm", out, range(axis % max(1, len(out)), len(out)), {"function": _FUNCTIONS[node.op]})
    return _one(node, "norm", dims, {**attrs, "affine": node.has(1)})


_FUNCTIONS = {"LayerNormalization": "layer_norm", "RMSNormalization": "rms_norm"}


def _group_norm(node: Node) -> list[Made]:
    batch, channels, *space = node.out()
    groups, count = node.integer("num_groups", 1), plain(channels, node.outputs[0])
    if groups < 1 or count % groups:
        raise UnsupportedError("groups that do not divide the channels")
    dims = {"rows": product([batch, parse(groups)]), "length": product([parse(count // groups), *space])}
    return _one(node, "norm", dims, {"function": "group_norm", "affine": True})


def _channel_norm(node: Node) -> list[Made]:
    """Batch norm on fixed statistics, which folds into the product before it; instance norm."""
    if node.integer("training_mode", 0):
        raise UnsupportedError("batch norm on the statistics of the batch; export the model for inference")
    out, source = node.out(), node.at(0)
    function = "batch_norm" if node.op == "BatchNormalization" else "instance_norm"
    dims, attrs = _rows("norm", out, range(2, len(out)), {"function": function, "affine": True})
    (made,) = _one(node, "norm", dims, attrs)
    host = node.known.hosts.get(source) if function == "batch_norm" and node.known.readers[source] == 1 else None
    if host is None:
        return [made]
    node.known.hosts[node.outputs[0]] = host
    return [Made("", "norm", dims, made.inputs, made.outputs, attrs, Disposition.FUSED, FOLDED, host)]


def _reduce(node: Node) -> list[Made]:
    sizes = node.sizes(node.at(0))
    axes = node.integers("axes") or (node.ints_of(node.at(1)) if node.has(1) else [])
    if node.op in ("ArgMax", "ArgMin"):
        axes = [node.integer("axis", 0)]
    if not axes and node.integer("noop_with_empty_axes", 0):
        return [free(node, VIEW)]
    function = node.op.removeprefix("Reduce").lower()
    dims, attrs = _rows("reduce", sizes, axes or range(len(sizes)), {"function": function})
    return _one(node, "reduce", dims, attrs, [node.root(node.at(0))])


def _pool(node: Node) -> list[Made]:
    image, out = node.sizes(node.at(0)), node.out()
    space = len(image) - 2
    if space not in (1, IMAGE) or len(out) != len(image):
        raise UnsupportedError("pooling of one and two dimensions alone is modelled")
    whole = node.op.startswith("Global")
    window = image[2:] if whole else tuple(parse(abs(size)) for size in node.integers("kernel_shape"))
    if len(window) != space:
        raise UnsupportedError("a kernel of another number of axes than the input")
    kernel, made = ((*((ONE,) * (IMAGE - space)), *sizes) for sizes in (window, out[2:]))
    dims = {"batch": out[0], "channels": out[1], "out_h": made[0], "out_w": made[1], "kernel_h": kernel[0],
            "kernel_w": kernel[1]}  # fmt: skip
    attrs: dict[str, Attr] = {"function": "avg" if "Average" in node.op else "max"}
    if not whole:
        attrs["stride_h"], attrs["stride_w"] = _pair(node.integers("strides"), space, 1)
    return _one(node, "pool", dims, attrs)


def _elementwise(node: Node) -> list[Made]:
    return _one(node, "elementwise", {"elements": product(node.out())}, {"function": node.op.lower()})


def _copy(node: Node) -> list[Made]:
    return _one(node, "copy", {"elements": product(node.out())}, {"function": node.op.lower()},
                [node.root(node.at(0))])  # fmt: skip


def _cast(node: Node) -> list[Made]:
    same = node.known.dtypes.get(node.at(0)) == node.known.dtypes.get(node.outputs[0])
    return [free(node, "the values have this type already")] if same else _copy(node)


def _concat(node: Node) -> list[Made]:
    return _one(node, "concat", {"elements": product(node.out())}, {"append": False})


def _gather(node: Node) -> list[Made]:
    """Rows of a table; one fixed place of an axis is a view."""
    data, indices = node.at(0), node.at(1)
    if node.is_constant(indices) and not node.is_constant(data) and all(s == ONE for s in node.sizes(indices)):
        return [free(node, VIEW)]
    sizes, picked = node.sizes(data), node.sizes(indices)
    if node.integer("axis", 0) % max(1, len(sizes)):
        return _copy(node)
    dims = {"rows": product(picked), "width": product(sizes[1:])}
    return _one(node, "embedding", dims, {}, [node.root(data), *([] if node.is_constant(indices) else [indices])])


def _scatter(node: Node) -> list[Made]:
    """Every element of the updates is put, or added to what is there, in its place; the rest stays where it is."""
    function, elements = node.text("reduction", "none"), product(node.sizes(node.at(2)))
    kind = "copy" if function == "none" else "elementwise"
    return _one(node, kind, {"elements": elements}, {"function": f"scatter_{function}"[:40]})


def _view(node: Node) -> list[Made]:
    return [free(node, VIEW)]


def _dropout(node: Node) -> list[Made]:
    return [free(node, "dropout does nothing in inference")]


SIZES = frozenset({"Shape", "Size"})
RANDOM = frozenset({"RandomNormal", "RandomUniform", "Multinomial", "Bernoulli", "If", "Loop", "Scan"})
RELAID = frozenset(
    {"Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Cast", "DequantizeLinear",
     "QuantizeLinear"}
)  # fmt: skip
_GROUPS: tuple[tuple[Callable[[Node], list[Made]], str], ...] = (
    (_matmul, "MatMul MatMulInteger"),
    (lambda node: _matmul(node, 0, 3), "QLinearMatMul"),
    (_gemm, "Gemm"),
    (_conv, "Conv"),
    (lambda node: _conv(node, 1, 4), "ConvInteger"),
    (lambda node: _conv(node, 3, 8), "QLinearConv"),
    (_transposed, "ConvTranspose"),
    (_recurrent, "LSTM GRU RNN"),
    (_softmax, "Softmax LogSoftmax"),
    (_layer_norm, "LayerNormalization RMSNormalization"),
    (_group_norm, "GroupNormalization"),
    (_channel_norm, "BatchNormalization InstanceNormalization"),
    (_reduce, "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum"),
    (_reduce, "ReduceLogSumExp ArgMax ArgMin"),
    (_pool, "MaxPool AveragePool GlobalAveragePool GlobalMaxPool"),
    (_concat, "Concat"),
    (_gather, "Gather"),
    (_cast, "Cast CastLike"),
    (_copy, "Tile Pad Resize Upsample DepthToSpace SpaceToDepth GatherElements GatherND"),
    (_scatter, "ScatterND ScatterElements"),
    (_view, "Reshape Flatten Squeeze Unsqueeze Transpose Identity Slice Split Expand"),
    (_dropout, "Dropout"),
    (_elementwise, "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor"),
    (_elementwise, "Ceil Celu Clip Cos Cosh DequantizeLinear Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual"),
    (
        _elementwise,
        "HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not",
    ),
    (_elementwise, "Or PRelu Pow QuantizeLinear Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus"),
    (_elementwise, "Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Trilu Where Xor"),
)
RULES: Mapping[str, Callable[[Node], list[Made]]] = {name: rule for rule, names in _GROUPS for name in names.split()}
_FLOW = "what runs in it depends on values; export the model without control flow"
REASONS = {**dict.fromkeys(("If", "Loop", "Scan"), _FLOW), "Einsum": "write it as MatMul"}
