"""Operators made of multiply-accumulates: products, convolutions, attention.

Loop sizes are those torch.utils.flop_counter.FlopCounterMode counts, so that MACs are half its FLOPs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.fx import Node

from hwsim.tracing.call import Call, Cost, Unsupported, arguments, op_name, shape, unsupported, users_of
from hwsim.tracing.sizes import Size, product, size_of
from hwsim.workload.ir import Attr

ONE = size_of(1)
IMAGE, MATRIX, VECTOR = 2, 2, 1


# --- matrix products --------------------------------------------------------------------------------------------


def _linear(call: Call) -> Cost:
    return _against(call, call["input"], call["weight"], call["bias"], layout="nk")


def _against(call: Call, activation: Node, weight: Node, bias: Any, layout: str) -> Cost:
    """A product whose right operand is a matrix: every row of `activation` by the same `weight`.

    `layout` says how the weight lies here: "nk" (output feature by reduction) or "kn".
    """
    rows, k = shape(activation)[:-1], shape(activation)[-1]
    n = shape(weight)[0 if layout == "nk" else -1]
    static = call.is_weight(weight)
    if static:
        weight, swapped = call.stored(weight)
        layout = layout[::-1] if swapped else layout
    dims = {"batch": ONE, "m": product(rows), "n": n, "k": k}
    operands = tuple(x for x in (activation, weight, bias) if isinstance(x, Node))
    return Cost("matmul", dims, product_attrs(static, layout), operands)


def product_attrs(static: bool, layout: str) -> dict[str, Attr]:
    """Attributes of a matmul: whether its right operand is a weight, and if so, how that lies."""
    return {"static": True, "weight_layout": layout} if static else {"static": False}


def _product(call: Call, a: Node, b: Node, bias: Any = None) -> Cost:
    """`a @ b` by the rules of torch.matmul, whichever of the two is a weight."""
    sizes_a, sizes_b = shape(a), shape(b)
    if call.is_weight(a) and not call.is_weight(b) and len(sizes_a) == MATRIX:
        return _mirrored(call, a, b, bias)
    if len(sizes_b) == MATRIX and len(sizes_a) >= VECTOR:
        return _against(call, a, b, bias, layout="kn")
    if len(sizes_b) == VECTOR:
        return _times_vector(call, a, b, bias)
    m = sizes_a[-2] if len(sizes_a) >= MATRIX else ONE
    lead = call.out[: -2 if len(sizes_a) >= MATRIX else -1]
    dims = {"batch": product(lead), "m": m, "n": sizes_b[-1], "k": sizes_b[-2]}
    operands = tuple(x for x in (a, b, bias) if isinstance(x, Node))
    return Cost("matmul", dims, product_attrs(call.is_weight(b), "kn"), operands)


def _mirrored(call: Call, weight: Node, b: Node, bias: Any) -> Cost:
    """weight @ b: the columns of `b` are the rows that the weight multiplies."""
    weight, swapped = call.stored(weight)
    n, k = shape(weight)[::-1] if swapped else shape(weight)
    columns = shape(b)
    m = product([*columns[:-2], columns[-1]]) if len(columns) >= MATRIX else ONE
    operands = tuple(x for x in (b, weight, bias) if isinstance(x, Node))
    return Cost(
        "matmul", {"batch": ONE, "m": m, "n": n, "k": k}, product_attrs(True, "kn" if swapped else "nk"), operands
    )


def _times_vector(call: Call, a: Node, b: Node, bias: Any) -> Cost:
    rows, k = shape(a)[:-1], shape(a)[-1]
    operands = tuple(x for x in (a, b, bias) if isinstance(x, Node))
    dims = {"batch": ONE, "m": product(rows), "n": ONE, "k": k}
    return Cost("matmul", dims, product_attrs(call.is_weight(b), "kn"), operands)


def _matmul(call: Call) -> Cost:
    a, b = list(call.args.values())[:2]
    return _product(call, a, b)


def _added(call: Call) -> Cost:
    """addmm, baddbmm, addmv: a product with something added."""
    bias, a, b = list(call.args.values())[:3]
    if call["alpha"] != 1 or call["beta"] not in (0, 1):
        raise Unsupported("a product scaled by alpha or beta; multiply in an operator of its own")
    return _product(call, a, b, bias if call["beta"] else None)


def _einsum(call: Call) -> Cost:
    operands = call["tensors"]
    if len(operands) != 2 or "." in call["equation"]:
        raise Unsupported("an einsum of other than two operands, or with an ellipsis")
    left, right, out = _letters(call["equation"])
    sizes = dict(zip(left, shape(operands[0]), strict=True)) | dict(zip(right, shape(operands[1]), strict=True))
    groups = {
        "batch": [x for x in out if x in left and x in right],
        "m": [x for x in out if x not in right],
        "n": [x for x in out if x not in left],
        "k": [x for x in left if x in right and x not in out],
    }
    if sum(map(len, groups.values())) != len(sizes):
        raise Unsupported("an einsum that sums over an axis of one operand alone")
    return _einsum_cost(call, groups, {name: product(sizes[x] for x in axes) for name, axes in groups.items()})


def _letters(equation: str) -> tuple[str, str, str]:
    sides = equation.replace(" ", "").split("->")
    left, right = sides[0].split(",")
    both = left + right
    if len(set(left)) != len(left) or len(set(right)) != len(right):
        raise Unsupported("an einsum that takes a diagonal")
    implied = "".join(sorted(x for x in set(both) if both.count(x) == 1))
    return left, right, sides[1] if len(sides) > 1 else implied


def _einsum_cost(call: Call, groups: dict[str, list[str]], dims: dict[str, Size]) -> Cost:
    a, b = call["tensors"]
    if not groups["k"]:
        return Cost("elementwise", {"elements": product(call.out)}, {"function": "mul"})
    if call.is_weight(a) and not call.is_weight(b):
        a, b, dims = b, a, dims | {"m": dims["n"], "n": dims["m"]}
    static = call.is_weight(b)
    attrs = product_attrs(static, "einsum") | {"equation": call["equation"]}
    return Cost("matmul", dims, attrs, (a, b))


# --- attention --------------------------------------------------------------------------------------------------


def _attention(call: Call) -> Cost:
    q, k, v = call.shape("query"), call.shape("key"), call.shape("value")
    if call["dropout_p"]:
        return unsupported("attention with dropout in inference; pass dropout_p=0")
    headed = len(q) > MATRIX + 1
    dims = {
        "batch": product(q[:-3] if headed else q[:-2]),
        "heads": q[-3] if headed else ONE,
        "kv_heads": k[-3] if headed else ONE,
        "q": q[-2], "kv": k[-2], "d_qk": q[-1], "d_v": v[-1],
    }  # fmt: skip
    mask = call["attn_mask"]
    attrs: dict[str, Attr] = {"causal": bool(call["is_causal"]), "masked": mask is not None}
    operands = (call["query"], call["key"], call["value"], *((mask,) if isinstance(mask, Node) else ()))
    return Cost("attention", dims, attrs, operands)


# --- convolutions -----------------------------------------------------------------------------------------------


def _conv2d(call: Call) -> Cost:
    steps = {name: _pairwise(call[name], IMAGE) for name in ("stride", "dilation")}
    return _convolution(call, steps, IMAGE)


def _conv1d(call: Call) -> Cost:
    steps = {name: [1, *_pairwise(call[name], 1)] for name in ("stride", "dilation")}
    return _convolution(call, steps, 1)


def _general(call: Call) -> Cost:
    if call["transposed"]:
        return _transposed(call)
    space = len(call.shape("weight")) - 2
    if space not in (1, IMAGE):
        return unsupported("three-dimensional convolutions are not modelled")
    return _conv1d(call) if space == 1 else _conv2d(call)


def _transposed(call: Call) -> Cost:
    """A transposed convolution whose windows do not overlap: every pixel by the whole kernel, laid side by side."""
    space = len(call.shape("weight")) - 2
    kernel = [int(size) for size in call.shape("weight")[2:]]
    usual = {"padding": 0, "output_padding": 0, "dilation": 1}
    plain = all(_pairwise(call[name], space) == [value] * space for name, value in usual.items())
    if call["groups"] != 1 or not plain or _pairwise(call["stride"], space) != kernel:
        raise Unsupported(TRANSPOSED)
    *lead, k = shape(call["input"])[:-space]
    rows = product([*lead, *shape(call["input"])[-space:]])
    dims = {"batch": ONE, "m": rows, "n": product(call.shape("weight")[1:]), "k": k}
    operands = tuple(x for x in (call["input"], call["weight"], call["bias"]) if isinstance(x, Node))
    attrs = product_attrs(call.is_weight(call["weight"]), "kn") | {"function": call.name}
    return Cost("matmul", dims, attrs, operands)


def _pairwise(value: Any, space: int) -> list[int]:
    """One number per axis of a stride, dilation or padding that may be given as a single number for all."""
    values = [int(v) for v in (value if isinstance(value, list | tuple) else [value])]
    return values * space if len(values) == 1 else values


def _convolution(call: Call, steps: dict[str, list[int]], space: int) -> Cost:
    source: Node = call["input"]
    padding = _padding(call, steps["dilation"], space)
    pad = folded_padding(source)
    if pad:
        left, right, top, bottom = _edges(pad)
        padding = [padding[0] + top, padding[1] + bottom, padding[2] + left, padding[3] + right]
    weight = call.shape("weight")
    image, out = _plane(shape(pad.all_input_nodes[0] if pad else source), space), _plane(call.out, space)
    dims = {
        "batch": product(shape(source)[: -space - 1]),
        "groups": size_of(call["groups"]), "in_channels": weight[1] * call["groups"], "out_channels": weight[0],
        "in_h": image[0], "in_w": image[1], "out_h": out[0], "out_w": out[1],
        "kernel_h": _plane(weight, space)[0], "kernel_w": weight[-1],
    }  # fmt: skip
    attrs: dict[str, Attr] = {"static": call.is_weight(call["weight"])}
    for name, values in steps.items():
        attrs |= {f"{name}_h": values[0], f"{name}_w": values[1]}
    attrs |= dict(zip(("pad_top", "pad_bottom", "pad_left", "pad_right"), padding, strict=True))
    operands = tuple(x for x in (source, call["weight"], call["bias"]) if isinstance(x, Node))
    return Cost("conv2d", dims, attrs, operands)


def _plane(sizes: list[Size], space: int) -> list[Size]:
    return sizes[-2:] if space == IMAGE else [ONE, sizes[-1]]


def _padding(call: Call, dilation: list[int], space: int) -> list[int]:
    """[top, bottom, left, right]; "same" puts the odd element at the end, as PyTorch does."""
    value = call["padding"]
    if value == "valid":
        return [0, 0, 0, 0]
    if value == "same":
        window = [int(s) for s in _plane(call.shape("weight"), space)]
        total = [d * (w - 1) for d, w in zip(dilation, window, strict=True)]
        return [total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2]
    sides = _pairwise(value, space)
    vertical, horizontal = sides if space == IMAGE else (0, sides[0])
    return [vertical, vertical, horizontal, horizontal]


def folded_padding(node: Node) -> Node | None:
    """`node` if it pads an image with zeros for the one convolution that reads it, and so becomes a part of that."""
    if op_name(node) not in ("pad", "constant_pad_nd"):
        return None
    args, readers = arguments(node), list(users_of(node))
    if len(readers) != 1 or op_name(readers[0]) not in CONVOLUTIONS:
        return None
    zeros = args.get("mode", "constant") == "constant" and not args["value"]
    space = len(shape(arguments(readers[0])["weight"])) - 2
    plain = len(args["pad"]) <= 2 * space and all(isinstance(w, int) and w >= 0 for w in args["pad"])
    return node if zeros and plain and arguments(readers[0])["input"] is node else None


def _edges(pad: Node) -> tuple[int, int, int, int]:
    widths: list[int] = arguments(pad)["pad"]
    left, right, top, bottom = [*widths, *([0] * (2 * IMAGE - len(widths)))]
    return left, right, top, bottom


TRANSPOSED = "transposed convolutions have no groups, padding or dilation here, and a stride as large as the kernel"
CONVOLUTIONS = ("conv1d", "conv2d", "convolution", "_convolution")

PRODUCTS: dict[str, Callable[[Call], Cost]] = {
    "linear": _linear,
    "matmul": _matmul,
    "mm": _matmul,
    "bmm": _matmul,
    "mv": _matmul,
    "dot": _matmul,
    "addmm": _added,
    "baddbmm": _added,
    "addmv": _added,
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
    "conv1d": _conv1d,
    "conv2d": _conv2d,
    "conv_transpose1d": _transposed,
    "conv_transpose2d": _transposed,
    "convolution": _general,
    "_convolution": _general,
}
"""Rules by operator name."""
