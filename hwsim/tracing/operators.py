"""What each ATen operator costs: its kind and loop sizes, or why it is free, or why nobody can say.

A rule is a function from `Call` to `Cost`, found by the operator's name. Operators without one are elementwise if
PyTorch tags them pointwise, and unsupported otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.fx import Node

from hwsim.tracing.call import (
    VIEWS,
    Call,
    Cost,
    Unsupported,
    arguments,
    free,
    fused,
    op_name,
    shape,
    tensors,
    unsupported,
    users_of,
)
from hwsim.tracing.products import CONVOLUTIONS, PRODUCTS, folded_padding
from hwsim.tracing.recurrent import CELLS, recurrent
from hwsim.tracing.sizes import Size, product, size_of
from hwsim.workload.ir import Attr

Rule = Callable[[Call], Cost]

CHANNEL_SIDES = 6
"""Both sides of width, height and channels, as padding counts them."""


# --- free operators ---------------------------------------------------------------------------------------------


def _view(call: Call) -> Cost:
    if call.name in ("reshape", "flatten", "reshape_as"):
        return free("layout only: the values and their order stay, even where PyTorch copies them")
    return free("layout only: the same values, addressed differently")


def _dropout(call: Call) -> Cost:
    if call["train"] and call["p"] > 0:
        return unsupported("dropout that is active in inference; pass training=False")
    return free("dropout does nothing in inference")


def _constant(_: Call) -> Cost:
    return free(CONSTANT)


CONSTANT = "depends on sizes alone: computed once they are known, not in every run"


# --- data movement ----------------------------------------------------------------------------------------------


def _copy(call: Call) -> Cost:
    return Cost("copy", {"elements": product(call.out)}, {"function": call.name})


def _contiguous(call: Call) -> Cost:
    source, target = tensors(call["self"])[0], tensors(call.node)[0]
    if call.is_weight(call["self"]):
        return free("a weight can be stored in this order")
    if list(map(str, source.stride())) == list(map(str, target.stride())):
        return free("the values are in this order already")
    return _copy(call)


def _to(call: Call) -> Cost:
    source, target = tensors(call.node.all_input_nodes[0])[0], tensors(call.node)[0]
    if source.dtype == target.dtype:
        return free("the values have this type already")
    return _copy(call)


def _pad(call: Call) -> Cost:
    cost = _copy(call)
    if folded_padding(call.node) is not None:
        return fused(cost, next(users_of(call.node)), "zero padding of the convolution that alone reads it")
    if _fills_sum(call.node):
        return fused(cost, next(users_of(call.node)), "channels of zeros for the sum that alone reads them")
    return cost


def _fills_sum(node: Node) -> bool:
    """Whether `node` adds channels of zeros behind an image's own for the one sum that reads it: a sum can leave out
    what it need not read."""
    args, readers = arguments(node), list(users_of(node))
    zeros = op_name(node) in ("pad", "constant_pad_nd") and args.get("mode", "constant") == "constant"
    if not zeros or args["value"] or len(args["pad"]) != CHANNEL_SIDES or any(args["pad"][:-1]):
        return False
    more = args["pad"][-1]
    return isinstance(more, int) and more > 0 and len(readers) == 1 and op_name(readers[0]) == "add"


def _concat(call: Call) -> Cost:
    parts = call["tensors"]
    if parts[0] in call.states:
        # A state that grows in place: what is there already stays where it is.
        moved = sum((product(shape(p)) for p in parts[1:]), start=size_of(0))
        return Cost("concat", {"elements": moved}, {"append": True})
    return Cost("concat", {"elements": product(call.out)}, {"append": False})


def _embedding(call: Call) -> Cost:
    return Cost("embedding", {"rows": product(call.shape("indices")), "width": call.out[-1]})


def _index(call: Call) -> Cost:
    indices = call["indices"]
    if len(indices) != 1 or indices[0] is None or tensors(indices[0])[0].dtype == torch.bool:
        raise Unsupported("indexing other than by one list of rows")
    rows = shape(indices[0])
    return Cost("embedding", {"rows": product(rows), "width": product(call.out[len(rows):])})  # fmt: skip


def _scattered_sum(call: Call) -> Cost:
    """Every element of what is scattered is added to one of what is there: the order of the additions is free."""
    source = call.args.get("source", call.args.get("src"))
    if not isinstance(source, Node):
        raise Unsupported("a scattered sum of a number")
    return Cost("elementwise", {"elements": product(shape(source))}, {"function": call.name})


def _index_select(call: Call) -> Cost:
    if call["dim"] != 0:
        raise Unsupported("index_select along another axis than the first")
    return Cost("embedding", {"rows": call.out[0], "width": product(call.out[1:])})


# --- rows of some length: softmax, norms, reductions ------------------------------------------------------------


def _rows(kind: str, sizes: list[Size], axes: Iterable[int], attrs: dict[str, Attr]) -> Cost:
    inner = {a % len(sizes) for a in axes} if sizes else set()
    length = product(s for i, s in enumerate(sizes) if i in inner)
    return Cost(kind, {"rows": product(s for i, s in enumerate(sizes) if i not in inner), "length": length}, attrs)


def _softmax(call: Call) -> Cost:
    return _rows("softmax", call.out, [call["dim"]], {"function": call.name.strip("_")})


def _layer_norm(call: Call) -> Cost:
    axes = range(-len(call["normalized_shape"]), 0)
    return _norm(call, _rows("norm", call.out, axes, {"function": call.name}))


def _norm(call: Call, cost: Cost) -> Cost:
    affine = call.args.get("weight") is not None
    return Cost("norm", cost.dims, {**cost.attrs, "affine": affine})


def _group_norm(call: Call) -> Cost:
    batch, channels, *space = call.out
    groups = size_of(call["num_groups"])
    dims = {"rows": batch * groups, "length": product([channels / groups, *space])}
    return _norm(call, Cost("norm", dims, {"function": "group_norm"}))


def _channel_norm(call: Call) -> Cost:
    """Batch norm on fixed statistics and instance norm: one row per channel of each sample."""
    if call.args.get("training") and call.name == "batch_norm":
        return unsupported("batch norm on the statistics of the batch; inference uses the stored ones")
    cost = _norm(call, _rows("norm", call.out, range(2, len(call.out)), {"function": call.name}))
    producer = call.node.all_input_nodes[0]
    if call.name != "instance_norm" and _absorbs(call, producer):
        return fused(
            cost, producer, "folded into the weights and the bias of the layer before, which nothing else reads"
        )
    return cost


def _absorbs(call: Call, producer: Node) -> bool:
    """Whether a scale and a shift per channel can vanish in the weights of `producer`."""
    if op_name(producer) not in (*CONVOLUTIONS, "linear") or len(list(users_of(producer))) != 1:
        return False
    if op_name(producer) == "linear" and len(call.out) != 2:
        return False  # its features are the last axis, the norm's channels the second
    parameters = [n for n in call.node.all_input_nodes if n is not producer]
    return call.is_weight(arguments(producer)["weight"]) and all(map(call.is_weight, parameters))


def _reduce(call: Call) -> Cost:
    source = call.node.all_input_nodes[0]
    sizes = shape(source)
    axes = call.args.get("dim")
    axes = [axes] if isinstance(axes, int) else list(axes or range(len(sizes)))
    return _rows("reduce", sizes, axes, {"function": call.name})


# --- windows ----------------------------------------------------------------------------------------------------


def _pair(value: Any, fallback: Any = 1) -> tuple[Any, Any]:
    """(height, width) of a window argument, which PyTorch gives as an int, a list of one or two, or an empty list."""
    if isinstance(value, int):
        return value, value
    values = list(value) or list(fallback if isinstance(fallback, list | tuple) else [fallback])
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _lead(sizes: list[Size], space: int) -> tuple[Size, Size]:
    """(batch, channels) of an image tensor with or without its batch axis, `space` axes at the end."""
    return product(sizes[: -space - 1]), sizes[-space - 1]


def _pool2d(call: Call) -> Cost:
    window = _pair(call["kernel_size"])
    step = _pair(call.args.get("stride") or [], list(window))
    return _pool(call, 2, window, step)


def _pool1d(call: Call) -> Cost:
    (window, _), step = _pair(call["kernel_size"]), call.args.get("stride") or []
    return _pool(call, 1, (1, window), (1, _pair(step, [window])[0]))


def _pool(call: Call, space: int, window: tuple[Size, Size], step: tuple[Size, Size]) -> Cost:
    out = call.out
    batch, channels = _lead(out, space)
    dims = {"batch": batch, "channels": channels, "out_h": out[-2] if space == 2 else size_of(1), "out_w": out[-1]}
    kernel = {"kernel_h": size_of(window[0]), "kernel_w": size_of(window[1])}
    function = "avg" if "avg" in call.name else "max"
    attrs: dict[str, Attr] = {"function": function}
    if all(size_of(s).is_Integer for s in step):
        attrs |= {"stride_h": int(step[0]), "stride_w": int(step[1])}
    return Cost("pool", dims | kernel, attrs)


def _adaptive2d(call: Call) -> Cost:
    window = tuple(_window(a, b) for a, b in zip(call.shape("self")[-2:], call.out[-2:], strict=True))
    return _pool(call, 2, (window[0], window[1]), window)


def _adaptive1d(call: Call) -> Cost:
    window = _window(call.shape("self")[-1], call.out[-1])
    return _pool(call, 1, (size_of(1), window), (size_of(1), window))


def _window(size: Size, cells: Size) -> Size:
    if cells == 1:
        return size
    if not (size.is_Integer and cells.is_Integer):
        raise Unsupported("adaptive pooling of a symbolic size")
    if size % cells:
        raise Unsupported(f"adaptive pooling of {size} into {cells}: windows of unequal size")
    return size / cells


# --- the table --------------------------------------------------------------------------------------------------


def _elementwise(call: Call) -> Cost:
    return Cost("elementwise", {"elements": product(call.out)}, {"function": call.name})


_GROUPS: tuple[tuple[Rule, str], ...] = (
    (_dropout, "dropout alpha_dropout feature_dropout"),
    (_copy, "clone repeat repeat_interleave tile flip roll pixel_shuffle pixel_unshuffle channel_shuffle"),
    (_copy, "upsample_nearest1d upsample_nearest2d"),
    (_contiguous, "contiguous"),
    (_to, "to _to_copy type_as"),
    (_pad, "pad constant_pad_nd reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d"),
    (_concat, "cat concat stack"),
    (_embedding, "embedding"),
    (_index, "index"),
    (_index_select, "index_select"),
    (_scattered_sum, "index_add scatter_add"),
    (_softmax, "softmax _softmax log_softmax _log_softmax"),
    (_layer_norm, "layer_norm native_layer_norm rms_norm _fused_rms_norm"),
    (_group_norm, "group_norm"),
    (_channel_norm, "batch_norm instance_norm _native_batch_norm_legit_no_training"),
    (_reduce, "mean sum amax amin max min argmax argmin prod all any var std logsumexp linalg_vector_norm norm"),
    (_pool2d, "max_pool2d avg_pool2d max_pool2d_with_indices"),
    (_pool1d, "max_pool1d avg_pool1d"),
    (_adaptive2d, "adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d"),
    (_adaptive1d, "adaptive_avg_pool1d adaptive_max_pool1d"),
    (_elementwise, "hardswish prelu glu log_sigmoid rsub floor_divide tril triu relu6 masked_fill where outer"),
)

_CREATIONS = """
    arange empty eye full linspace ones scalar_tensor tril_indices triu_indices zeros empty_like full_like ones_like
    zeros_like new_empty new_full new_ones new_zeros
"""
CREATIONS = frozenset(_CREATIONS.split())
"""Operators whose values follow from sizes and constants alone."""

RULES: dict[str, Rule] = (
    {name: rule for rule, names in _GROUPS for name in names.split()}
    | dict.fromkeys(VIEWS, _view)
    | dict.fromkeys(CREATIONS, _constant)
    | dict(PRODUCTS)
    | dict.fromkeys(CELLS, recurrent)
)

_VOLUMES = "three-dimensional convolutions are not modelled"
_REASONS = {
    **dict.fromkeys(("conv3d", "conv_transpose3d"), _VOLUMES),
    "wrap_with_autocast": "autocast hides its operators; give weights and inputs the types they should have",
    "wrap_with_set_grad_enabled": "a change of the gradient mode hides its operators; leave it out",
    "_weight_norm": "the weight is computed in every run; fold it first (remove_parametrizations)",
}


def cost_of(call: Call) -> Cost:
    """What `call` is. Never raises for an operator without a rule: that one is unsupported, and says so."""
    try:
        return _rule(call)(call)
    except Unsupported as why:
        return unsupported(str(why))


def _rule(call: Call) -> Rule:
    if call.name in RULES and call.node.op == "call_function":
        return _binary_extreme(call) or RULES[call.name]
    target = call.node.target
    if isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags:
        return _elementwise
    return lambda _: unsupported(_REASONS.get(call.name, "no cost is known for this operator"))


def _binary_extreme(call: Call) -> Rule | None:
    """`max` and `min` of two tensors are elementwise; of one, they reduce it."""
    return _elementwise if call.name in ("max", "min") and "other" in call.args else None
