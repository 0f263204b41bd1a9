"""Reverse-mode differentiation of a graph: for every operator the operators of its gradients, with exact loop sizes.

The operators are walked backwards. What reads a tensor contributes to that tensor's gradient; contributions are summed
by elementwise operators where there are several, as an autograd engine does it. Only what a weight's gradient needs is
made: the first layer has no gradient of its input.

A product of m x n x k multiply-accumulates has two gradients of as many each. So has a convolution: its input's is a
convolution of the output's gradient with the kernel's channels swapped, whose out_h and out_w are those of the
convolution itself (with a stride the zeros between the rows of the gradient are not multiplied); its weight's is the
convolution of the input, channels in place of the batch, with the output's gradient as a kernel, dilated by the stride.
Attention keeps its probabilities: four products backward for two forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hwsim.errors import InputError, bad_input
from hwsim.expr import Expr, parse
from hwsim.workload.ir import Attr, Disposition, Graph, Op, Role, Tensor

SOURCE = "training"
"""`source` of every operator that this pass adds."""
ONE = parse(1)
LAYOUT = "layout only: the same values, addressed differently"
BORDER = "the gradient without its border of zeros: read from within"
TRANSPOSED = {"nk": "kn", "kn": "nk"}

STATISTICS = {"batch_norm": 3, "_native_batch_norm_legit_no_training": 3}
"""Operators with running statistics behind so many inputs: those are kept, not trained."""
_STEPS = """
    all any argmax argmin bitwise_and bitwise_not bitwise_or ceil eq floor floor_divide ge gt isinf isnan le logical_and
    logical_not logical_or lt ne round sign trunc
"""
STEPS = frozenset(_STEPS.split())
"""Functions whose gradient is zero or none: nothing flows back through them."""
SPREADS = frozenset({"mean", "sum"})
"""Reductions whose gradient needs none of their values."""
OF_RESULT = frozenset({"relu", "relu6", "sigmoid", "tanh", "hardtanh", "clamp", "clamp_min", "exp", "sqrt", "rsqrt"})
"""Functions whose gradient follows from their result; the others keep what they read."""
SCATTERED = frozenset({"index_add", "scatter_add"})
"""Sums of elements scattered by an index: what was scattered has the gradients of where it went, looked up."""
DETACHED = ("aten.detach.", "aten.detach_.")
"""Sources of views that no gradient passes."""
PASSES = frozenset({"add", "sub", "rsub"})
"""Functions whose gradient is that of their result, but for a sign."""


def is_float(tensor: Tensor) -> bool:
    """Whether a tensor's values can have a gradient."""
    return tensor.dtype.startswith(("float", "bfloat"))


def product(sizes: Iterable[Expr]) -> Expr:
    """The product of sizes, numbers multiplied out."""
    number, symbolic = 1, []
    for size in sizes:
        if size.symbols:
            symbolic.append(size.text)
        else:
            number *= size.value({})
    texts = [text if text.isidentifier() else f"({text})" for text in symbolic]
    return parse("*".join([*([str(number)] if number != 1 or not texts else []), *texts]))


def quotient(a: Expr, b: Expr) -> Expr:
    """a // b, which leaves nothing over."""
    if not a.symbols and not b.symbols:
        return parse(a.value({}) // b.value({}))
    if not b.symbols and b.value({}) == 1:
        return a
    return parse(f"({a.text}) // ({b.text})")


def elements(tensor: Tensor) -> Expr:
    """The number of a tensor's elements."""
    return product(tensor.shape)


@dataclass(slots=True)
class Tape:
    """What a walk adds to a graph: tensors and operators, and for every tensor the contributions to its gradient."""

    graph: Graph
    tensors: dict[str, Tensor]
    needed: frozenset[str]
    """Tensors with a gradient."""
    ops: list[Op] = field(default_factory=list)
    parts: dict[str, list[str]] = field(default_factory=dict)
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Operator -> more outputs that its gradient reads: attention's probabilities."""
    named: set[str] = field(default_factory=set)
    """Names of operators."""

    def fresh(self, name: str) -> str:
        """A tensor's name, numbered where it is taken."""
        found, number = name, 1
        while found in self.tensors:
            number += 1
            found = f"{name}_{number}"
        return found

    def like(self, name: str, source: Tensor, shape: tuple[Expr, ...] | None = None) -> str:
        """A new activation of the width of `source`, and its shape unless one is given."""
        made = self.fresh(name)
        size = source.shape if shape is None else shape
        self.tensors[made] = Tensor(made, size, source.bits, source.dtype, Role.ACTIVATION)
        return made

    def add(self, name: str, kind: str, inputs: Sequence[str], outputs: Sequence[str], dims: Mapping[str, Expr],
            attrs: Mapping[str, Attr] | None = None, module: str = "", reason: str = "") -> None:  # fmt: skip
        """One more operator; with a `reason` it is free."""
        disposition = Disposition.FREE if reason else Disposition.MODELLED
        self.ops.append(Op(self.fresh_op(name), kind, tuple(inputs), tuple(outputs), dict(dims), dict(attrs or {}),
                           module, SOURCE, disposition, reason))  # fmt: skip

    def fresh_op(self, name: str) -> str:
        """An operator's name, numbered where it is taken."""
        if not self.named:
            self.named.update(op.name for op in self.graph.ops)
        found, number = name, 1
        while found in self.named:
            number += 1
            found = f"{name}_{number}"
        self.named.add(found)
        return found

    # Gradients

    def contribute(self, name: str, gradient: str) -> None:
        """`gradient` is a part of the gradient of the tensor `name`."""
        self.parts.setdefault(name, []).append(gradient)

    def gradient(self, name: str) -> str | None:
        """The gradient of a tensor, its contributions summed and used up; None where nothing reached it."""
        parts = self.parts.pop(name, [])
        if not parts:
            return None
        total = parts[0]
        for part in parts[1:]:
            summed = self.like(f"{name}.grad.sum", self.tensors[name])
            dims = {"elements": elements(self.tensors[name])}
            self.add(f"{name}.grad.add", "elementwise", (total, part), (summed,), dims, {"function": "add"})
            total = summed
        return total

    def value(self, name: str) -> str:
        """A name for the gradient of `name`, a tensor of the same shape and width."""
        return self.like(f"{name}.grad", self.tensors[name])

    def same_size(self, a: str, b: str) -> bool:
        """Whether two tensors have equally many elements, whatever the symbols are bound to."""
        return _sizes_agree(elements(self.tensors[a]), elements(self.tensors[b]))

    def smaller(self, a: str, b: str) -> bool:
        """Whether `a` has fewer elements than `b`."""
        scope = _scope(elements(self.tensors[a]), elements(self.tensors[b]))
        return elements(self.tensors[a]).value(scope) < elements(self.tensors[b]).value(scope)

    def narrowed(self, op: Op, name: str, gradient: str) -> None:
        """Contribute a gradient of the size of `op`'s result to an operand that may have been broadcast."""
        if not self.smaller(name, gradient):
            self.contribute(name, gradient)
            return
        rows, whole = elements(self.tensors[name]), elements(self.tensors[gradient])
        made = self.value(name)
        dims = {"rows": rows, "length": quotient(whole, rows)}
        self.add(f"{op.name}.grad.reduce", "reduce", (gradient,), (made,), dims, {"function": "sum"}, op.module)
        self.contribute(name, made)

    def wants(self, op: Op) -> list[str]:
        """The operands of `op` that need a gradient, each once."""
        return [name for name in dict.fromkeys(op.inputs) if name in self.needed]


_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


def _scope(*sizes: Expr) -> dict[str, int]:
    names = sorted(set().union(*(size.symbols for size in sizes)))
    return {name: 64 * _PRIMES[i % len(_PRIMES)] + 64 * i for i, name in enumerate(names)}


def _sizes_agree(a: Expr, b: Expr) -> bool:
    scope = _scope(a, b)
    return a.value(scope) == b.value(scope)


# --- what needs a gradient --------------------------------------------------------------------------------------


def trainable(graph: Graph) -> list[str]:
    """The weights of a graph that training changes, in order of first use: floats, but for running statistics."""
    found: dict[str, None] = {}
    for op in graph.ops:
        for i, name in enumerate(op.inputs):
            tensor = graph.tensors[name]
            if tensor.role is Role.WEIGHT and is_float(tensor) and i < STATISTICS.get(_function(op), len(op.inputs)):
                found.setdefault(name)
    return list(found)


def _function(op: Op) -> str:
    return str(op.attrs.get("function", "")).rstrip("_")


def _flows(op: Op) -> bool:
    """Whether a gradient can pass through an operator."""
    return _function(op) not in STEPS and op.kind != "lut_network" and not op.source.startswith(DETACHED)


def needed(graph: Graph, roots: Iterable[str]) -> frozenset[str]:
    """The float tensors on the way from `roots` to an output."""
    reached = set(roots)
    for op in graph.ops:
        if _flows(op) and any(name in reached for name in op.inputs):
            reached.update(name for name in op.outputs if is_float(graph.tensors[name]))
    return frozenset(reached)


# --- the walk ---------------------------------------------------------------------------------------------------


def walk(tape: Tape) -> None:
    """Append the gradients of every operator, last first. The gradients of the results are contributed before."""
    for op in reversed(tape.graph.ops):
        if not any(name in tape.needed for name in op.outputs) or not tape.wants(op):
            for name in op.outputs:
                tape.parts.pop(name, None)
            continue
        found = {name: tape.gradient(name) for name in op.outputs}
        if not any(found.values()):
            continue
        if op.kind not in _RULES or (op.kind in _OF_ONE and len(tape.wants(op)) > 1):
            raise _unknown(tape, op)
        _RULES[op.kind](tape, op, found)


def _unknown(tape: Tape, op: Op) -> InputError:
    return bad_input("training", op.name, f"this {op.kind} operator has no gradient that is known here",
                     "Train the network without it.", key=f"graphs.{tape.graph.name}.{op.name}")  # fmt: skip


Found = Mapping[str, str | None]
Rule = Callable[[Tape, Op, Found], None]


def _only(op: Op, found: Found) -> str:
    gradient = found[op.outputs[0]]
    assert gradient is not None
    return gradient


def _matmul(tape: Tape, op: Op, found: Found) -> None:
    grad = _only(op, found)
    a, b, *bias = op.inputs
    batch, m, n, k = (op.dims[s] for s in ("batch", "m", "n", "k"))
    layout = str(op.attrs.get("weight_layout", ""))
    wanted = tape.wants(op)
    if a in wanted:
        made = tape.value(a)
        attrs = {**op.attrs, **({"weight_layout": TRANSPOSED[layout]} if layout in TRANSPOSED else {})}
        dims = {"batch": batch, "m": m, "n": k, "k": n}
        tape.add(f"{op.name}.grad_input", "matmul", (grad, b), (made,), dims, attrs, op.module)
        tape.contribute(a, made)
    if b in wanted:
        made = tape.value(b)
        stored_nk = layout == "nk"
        operands, rows, columns = ((grad, a), n, k) if stored_nk else ((a, grad), k, n)
        dims = {"batch": batch, "m": rows, "n": columns, "k": m}
        name = "grad_weight" if op.attrs.get("static") else "grad_second"
        tape.add(f"{op.name}.{name}", "matmul", operands, (made,), dims, {"static": False}, op.module)
        tape.contribute(b, made)
    for name in bias:
        if name in wanted:
            tape.narrowed(op, name, grad)


def _conv2d(tape: Tape, op: Op, found: Found) -> None:
    grad = _only(op, found)
    source, weight, *bias = op.inputs
    wanted = tape.wants(op)
    if source in wanted:
        _conv_input(tape, op, grad)
    if weight in wanted:
        _conv_weight(tape, op, grad)
    for name in bias:
        if name in wanted:
            tape.narrowed(op, name, grad)


def _conv_input(tape: Tape, op: Op, grad: str) -> None:
    source, weight = op.inputs[:2]
    d = op.dims
    made = tape.value(source)
    dims = {**d, "in_channels": d["out_channels"], "out_channels": d["in_channels"], "in_h": d["out_h"],
            "in_w": d["out_w"]}  # fmt: skip
    attrs = {**op.attrs, "gradient": "input"}
    for axis in ("h", "w"):
        attrs[f"stride_{axis}"] = 1
    attrs |= _same_padding(op)
    tape.add(f"{op.name}.grad_input", "conv2d", (grad, weight), (made,), dims, attrs, op.module)
    tape.contribute(source, made)


def _same_padding(op: Op) -> dict[str, Attr]:
    """The padding under which the convolution of a gradient with its kernel is as large as that gradient."""
    found: dict[str, Attr] = {}
    for axis, first, last in (("h", "pad_top", "pad_bottom"), ("w", "pad_left", "pad_right")):
        total = int(op.attrs.get(f"dilation_{axis}", 1)) * (op.dims[f"kernel_{axis}"].value({}) - 1)
        found |= {first: total // 2, last: total - total // 2}
    return found


def _conv_weight(tape: Tape, op: Op, grad: str) -> None:
    source, weight = op.inputs[:2]
    d, groups = op.dims, op.dims["groups"]
    made = tape.value(weight)
    dims = {
        "batch": quotient(d["in_channels"], groups), "groups": groups, "in_channels": product((d["batch"], groups)),
        "out_channels": d["out_channels"], "in_h": d["in_h"], "in_w": d["in_w"], "out_h": d["kernel_h"],
        "out_w": d["kernel_w"], "kernel_h": d["out_h"], "kernel_w": d["out_w"],
    }  # fmt: skip
    attrs: dict[str, Attr] = {**op.attrs, "static": False, "gradient": "weight"}
    for axis in ("h", "w"):
        step, spread = (op.attrs.get(f"{name}_{axis}", 1) for name in ("stride", "dilation"))
        attrs |= {f"stride_{axis}": spread, f"dilation_{axis}": step}
    tape.add(f"{op.name}.grad_weight", "conv2d", (source, grad), (made,), dims, attrs, op.module)
    tape.contribute(weight, made)


def _attention(tape: Tape, op: Op, found: Found) -> None:
    grad = _only(op, found)
    query, key, value, *mask = op.inputs
    d, wanted = op.dims, tape.wants(op)
    heads = product((d["batch"], d["heads"]))
    scores = (d["batch"], d["heads"], d["q"], d["kv"])
    kept = tape.like(f"{op.outputs[0]}.probabilities", tape.tensors[op.outputs[0]], scores)
    tape.kept[op.name] = (kept,)
    plain = {"static": False}
    if value in wanted:
        _per_head(tape, op, value, (kept, grad), {"batch": heads, "m": d["kv"], "n": d["d_v"], "k": d["q"]}, "grad_v")
    if not {query, key, *mask} & set(wanted):
        return
    inner = tape.like(f"{op.outputs[0]}.probabilities.grad", tape.tensors[kept])
    dims = {"batch": heads, "m": d["q"], "n": d["kv"], "k": d["d_v"]}
    tape.add(f"{op.name}.grad_probabilities", "matmul", (grad, value), (inner,), dims, plain, op.module)
    score = tape.like(f"{op.outputs[0]}.scores.grad", tape.tensors[kept])
    rows = {"rows": product((heads, d["q"])), "length": d["kv"]}
    tape.add(f"{op.name}.grad_scores", "softmax", (inner, kept), (score,), rows, {"function": "softmax_backward"},
             op.module)  # fmt: skip
    if query in wanted:
        made = tape.value(query)
        dims = {"batch": heads, "m": d["q"], "n": d["d_qk"], "k": d["kv"]}
        tape.add(f"{op.name}.grad_q", "matmul", (score, key), (made,), dims, plain, op.module)
        tape.contribute(query, made)
    if key in wanted:
        _per_head(tape, op, key, (score, query), {"batch": heads, "m": d["kv"], "n": d["d_qk"], "k": d["q"]}, "grad_k")
    for name in mask:
        if name in wanted:
            tape.narrowed(op, name, score)


def _per_head(tape: Tape, op: Op, name: str, operands: tuple[str, str], dims: Mapping[str, Expr], what: str) -> None:
    """The gradient of keys or values: by head of the query, then summed where several of them share one."""
    shared = not _sizes_agree(op.dims["heads"], op.dims["kv_heads"])
    whole = (op.dims["batch"], op.dims["heads"], dims["m"], dims["n"])
    made = tape.like(f"{name}.grad", tape.tensors[name], whole if shared else None)
    tape.add(f"{op.name}.{what}", "matmul", operands, (made,), dims, {"static": False}, op.module)
    if shared:
        tape.narrowed(op, name, made)
    else:
        tape.contribute(name, made)


def _rows(tape: Tape, op: Op, found: Found) -> None:
    """Softmax: from its result."""
    grad = _only(op, found)
    (name,) = tape.wants(op)
    made = tape.value(name)
    attrs = {"function": f"{_function(op) or op.kind}_backward"}
    tape.add(f"{op.name}.grad_input", op.kind, (grad, op.outputs[0]), (made,), op.dims, attrs, op.module)
    tape.contribute(name, made)


def _norm(tape: Tape, op: Op, found: Found) -> None:
    grad = _only(op, found)
    source, wanted = op.inputs[0], tape.wants(op)
    weights = [name for name in op.inputs[1:] if name in wanted]
    if weights:
        made = [tape.value(name) for name in weights]
        channels = elements(tape.tensors[weights[0]])
        dims = {"rows": channels, "length": quotient(elements(tape.tensors[op.outputs[0]]), channels)}
        attrs = {"function": f"{_function(op)}_backward"}
        tape.add(f"{op.name}.grad_weight", "reduce", (grad, source), made, dims, attrs, op.module)
        for name, gradient in zip(weights, made, strict=True):
            tape.contribute(name, gradient)
    if source in wanted:
        gradient = tape.value(source)
        backward: dict[str, Attr] = {**op.attrs, "function": f"{_function(op)}_backward"}
        tape.add(f"{op.name}.grad_input", "norm", (grad, source, *op.inputs[1:2]), (gradient,), op.dims, backward,
                 op.module)  # fmt: skip
        tape.contribute(source, gradient)


def _reduce(tape: Tape, op: Op, found: Found) -> None:
    grad = _only(op, found)
    (name,) = tape.wants(op)
    made = tape.value(name)
    reads = (grad,) if _function(op) in SPREADS else (grad, name)
    dims = {"elements": elements(tape.tensors[name])}
    tape.add(f"{op.name}.grad_input", "elementwise", reads, (made,), dims, {"function": f"{_function(op)}_backward"},
             op.module)  # fmt: skip
    tape.contribute(name, made)


def _pool(tape: Tape, op: Op, found: Found) -> None:
    grad = _only(op, found)
    (name,) = tape.wants(op)
    made = tape.value(name)
    reads = (grad,) if op.attrs.get("function") == "avg" else (grad, name)
    attrs = {**op.attrs, "gradient": "input"}
    tape.add(f"{op.name}.grad_input", "pool", reads, (made,), op.dims, attrs, op.module)
    tape.contribute(name, made)


def _elementwise(tape: Tape, op: Op, found: Found) -> None:
    grad = _only(op, found)
    function = _function(op)
    wanted = tape.wants(op)
    if function in SCATTERED:
        _scattered(tape, op, grad)
        return
    for name in wanted:
        if function in PASSES and (function == "add" or name == op.inputs[0]):
            tape.narrowed(op, name, grad)
            continue
        others = [other for other in op.inputs if other != name]
        unary = op.outputs[0] if function in OF_RESULT else name
        reads = (grad, *others) if others else (grad, unary)
        made = tape.like(f"{name}.grad", tape.tensors[op.outputs[0]])
        suffix = "grad_input" if len(wanted) == 1 else f"grad_{op.inputs.index(name)}"
        tape.add(f"{op.name}.{suffix}", "elementwise", tuple(dict.fromkeys(reads)), (made,), op.dims,
                 {"function": f"{function}_backward"}, op.module)  # fmt: skip
        tape.narrowed(op, name, made)


def _scattered(tape: Tape, op: Op, grad: str) -> None:
    """A scattered sum: what it is added to passes the gradient on; each element that was added has that of its place.
    An index along an axis looks whole rows up."""
    base, index, source = op.inputs
    if tape.smaller(source, index):
        raise _unknown(tape, op)
    wanted = tape.wants(op)
    if base in wanted:
        tape.contribute(base, grad)
    if source in wanted:
        made = tape.value(source)
        rows = elements(tape.tensors[index])
        dims = {"rows": rows, "width": quotient(elements(tape.tensors[source]), rows)}
        attrs: dict[str, Attr] = {"function": f"{_function(op)}_backward"}
        tape.add(f"{op.name}.grad_source", "embedding", (grad, index), (made,), dims, attrs, op.module)
        tape.contribute(source, made)


def _embedding(tape: Tape, op: Op, found: Found) -> None:
    """A table's gradient: as large as the table, rows added where the indices say."""
    grad = _only(op, found)
    (table,) = tape.wants(op)
    made = tape.value(table)
    indices = [name for name in op.inputs if name != table]
    tape.add(f"{op.name}.grad_weight", "embedding", (grad, *indices), (made,), op.dims,
             {"function": "embedding_backward"}, op.module)  # fmt: skip
    tape.contribute(table, made)


def _concat(tape: Tape, op: Op, found: Found) -> None:
    """Parts of the result's gradient, where they lie."""
    grad = _only(op, found)
    wanted = tape.wants(op)
    made = [tape.value(name) for name in wanted]
    tape.add(f"{op.name}.grad_input", "view", (grad,), made, {}, {}, op.module, LAYOUT)
    for name, gradient in zip(wanted, made, strict=True):
        tape.contribute(name, gradient)


def _copy(tape: Tape, op: Op, found: Found) -> None:
    grad = _only(op, found)
    (name,) = tape.wants(op)
    if op.disposition is Disposition.FUSED:
        made = tape.value(name)
        tape.add(f"{op.name}.grad_input", "view", (grad,), (made,), {}, {}, op.module, BORDER)
        tape.contribute(name, made)
    elif tape.smaller(name, op.outputs[0]) and _function(op).startswith(("upsample", "repeat", "tile")):
        tape.narrowed(op, name, grad)
    else:
        _moved(tape, op, name, (grad,))


def _moved(tape: Tape, op: Op, name: str, gradients: Sequence[str], kind: str = "copy") -> None:
    """A gradient that is put together from others: copied, or joined, into a tensor of the operand's size."""
    made = tape.value(name)
    attrs: dict[str, Attr] = {"append": False} if kind == "concat" else {"function": f"{op.kind}_backward"}
    dims = {"elements": elements(tape.tensors[name])}
    tape.add(f"{op.name}.grad_input", kind, gradients, (made,), dims, attrs, op.module)
    tape.contribute(name, made)


def _view(tape: Tape, op: Op, found: Found) -> None:
    """Layout both ways; a part is put back among zeros, parts are joined, what was broadcast is summed."""
    name, gradients = op.inputs[0], [g for g in found.values() if g]
    if name not in tape.needed:
        return
    if len(op.outputs) > 1:
        _moved(tape, op, name, gradients, "concat")
    elif tape.same_size(name, op.outputs[0]):
        made = tape.value(name)
        tape.add(f"{op.name}.grad_input", "view", gradients, (made,), {}, {}, op.module, LAYOUT)
        tape.contribute(name, made)
    elif tape.smaller(name, op.outputs[0]):
        tape.narrowed(op, name, gradients[0])
    else:
        _moved(tape, op, name, gradients)


_RULES: Mapping[str, Rule] = {
    "matmul": _matmul, "conv2d": _conv2d, "attention": _attention, "softmax": _rows, "norm": _norm,
    "reduce": _reduce, "pool": _pool, "elementwise": _elementwise, "embedding": _embedding, "concat": _concat,
    "copy": _copy, "view": _view,
}  # fmt: skip


_OF_ONE = frozenset({"softmax", "reduce", "pool", "embedding", "copy"})
"""Kinds whose rule knows the gradient of one operand alone."""


def unfolded(graph: Graph, kept: Mapping[str, tuple[str, ...]]) -> tuple[Op, ...]:
    """The operators of a graph as training runs them: norms stand for themselves, since what they would be folded
    into changes with every step; operators write what their gradients read."""
    return tuple(_unfolded(op, kept) for op in graph.ops)


def _unfolded(op: Op, kept: Mapping[str, tuple[str, ...]]) -> Op:
    if op.kind == "norm" and op.disposition is Disposition.FUSED:
        op = replace(op, disposition=Disposition.MODELLED, reason="", into="")
    return replace(op, outputs=(*op.outputs, *kept[op.name])) if op.name in kept else op
