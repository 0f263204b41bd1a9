"""ONNX models as workloads: read, shapes inferred, every node accounted for.

Weights' values are not looked at, and files of external data are never opened: sizes stand in the model itself. What
each operator costs is in `onnx_operators`, after the ONNX operator specification.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwsim.document import one_line, read_bytes, shown_path
from hwsim.errors import InputError, Problem, Where, bad_input, shown
from hwsim.expr import MAX_VALUE, Expr, parse
from hwsim.importers.layers import unique_names, workload_name
from hwsim.importers.notes import Imported, Note, counted, provenance, shown_name
from hwsim.importers.onnx_operators import Known, Made, Node, Shape, UnknownSizeError, UnsupportedError, made_by
from hwsim.workload.ir import Call, Disposition, Graph, Op, Phase, Role, Symbol, Tensor, Workload

TOOL = "ONNX"
MAX_BYTES = 1 << 30
MAX_NODES = 50_000
MAX_RANK = 16
KEPT_ELEMENTS = 1 << 12
"""Constants of more elements are no sizes, and their values are dropped before shapes are inferred."""
_GRAPH = "model"
UNKNOWN = "its sizes cannot be inferred; fix open dimensions with --bind"
DTYPES: Mapping[int, tuple[str, int]] = {
    1: ("float32", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16), 6: ("int32", 32),
    7: ("int64", 64), 8: ("string", 8), 9: ("bool", 8), 10: ("float16", 16), 11: ("float64", 64), 12: ("uint32", 32),
    13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128), 16: ("bfloat16", 16), 17: ("float8_e4m3fn", 8),
    18: ("float8_e4m3fnuz", 8), 19: ("float8_e5m2", 8), 20: ("float8_e5m2fnuz", 8), 21: ("uint4", 4), 22: ("int4", 4),
    23: ("float4_e2m1", 4),
}  # fmt: skip
"""TensorProto.DataType of onnx.proto: name and bits of an element."""
_DATA = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data",
         "external_data")  # fmt: skip


def read_onnx(path: Path, bind: Mapping[str, int] | None = None) -> Imported:
    """The workload of an ONNX model; `bind` fixes dimensions that the model leaves open, the others stay symbols.

    Operators of which nobody knows the cost are of kind "unsupported". Raises InputError for a file that is no model,
    or one whose sizes cannot be found.
    """
    onnx = _package()
    file = shown_path(path)
    raw = read_bytes(path, MAX_BYTES)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(raw)
    except Exception as bad:  # protobuf's DecodeError, whose module depends on its release
        raise _bad(file, "syntax", type(bad).__name__, "this is not an ONNX model, or only a part of one") from None
    if not all(isinstance(text, str) for text in _texts(model)):
        raise _bad(file, "encoding", "other bytes", "the names of a model are UTF-8")
    if not model.graph.node:
        raise _bad(file, "empty", "no node", "an ONNX model has a graph of at least one node")
    if len(model.graph.node) > MAX_NODES:
        raise _bad(file, "too-large", f"{len(model.graph.node)} nodes", f"at most {MAX_NODES} nodes are read")
    used = _fix(model, dict(bind or {}), file)
    inferred = _inferred(onnx, model, file)
    workload, notes = _Reader(inferred, path, file).workload()
    left = sorted(set(bind or {}) - used)
    if left:
        raise bad_input("bind", left[0], "the model has no open dimension of this name", key=f"--bind {left[0]}")
    return Imported(workload, "", notes)


def _texts(model: Any) -> Iterator[object]:
    """All names of a model, which are bytes where they are no UTF-8."""
    graph = model.graph
    yield from (model.producer_name, model.producer_version, *(o.domain for o in model.opset_import))
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output, *(a.name for a in node.attribute))
    for info in (*graph.input, *graph.output, *graph.value_info):
        yield info.name
        yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)
    yield from (tensor.name for tensor in graph.initializer)
    yield from (tensor.values.name for tensor in graph.sparse_initializer)


def _package() -> Any:
    try:
        import onnx
    except ImportError:
        raise bad_input(
            "missing-package", "onnx", "reading ONNX models needs this package", 'Install "hwsim[onnx]".'
        ) from None
    return onnx


def _bad(file: str, code: str, got: object, rule: str, remedy: str = "", key: str = "") -> InputError:
    return InputError((Problem(code, Where(file, key=key), shown(got), one_line(rule), remedy),))


def _fix(model: Any, bind: Mapping[str, int], file: str) -> set[str]:
    """Put numbers for dimensions that are bound; the names that were there."""
    used = set()
    for info in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param in bind:
                used.add(dim.dim_param)
                if not 1 <= bind[dim.dim_param] <= MAX_VALUE:
                    raise bad_input("bind", bind[dim.dim_param], f"a size is from 1 to {MAX_VALUE}", key="--bind")
                dim.dim_value = bind[dim.dim_param]
    if used:  # sizes that follow from them are inferred anew
        del model.graph.value_info[:]
    return used


def _inferred(onnx: Any, model: Any, file: str) -> Any:
    """The model with the shapes of all values that can be known, and without the values of weights."""
    for tensor in (*model.graph.initializer, *_constants(model)):
        if math.prod(tensor.dims) > KEPT_ELEMENTS or tensor.data_location == 1:
            for name in _DATA:
                tensor.ClearField(name)
            tensor.ClearField("data_location")
    try:
        if model.functions:
            from onnx import inliner

            model = inliner.inline_local_functions(model)
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as bad:  # whatever its C++ throws for a model that breaks a rule
        text = str(bad).strip().split("\n")[0]
        raise _bad(file, "onnx", type(bad).__name__, f"onnx cannot infer the shapes ({text})") from None


def _constants(model: Any) -> Iterator[Any]:
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield attribute.t


@dataclass(slots=True)
class _Reader:
    """Builds the one graph of a workload from a model with shapes."""

    model: Any
    path: Path
    file: str
    known: Known = field(default_factory=Known)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    symbols: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    outputs: tuple[str, ...] = ()
    lost: set[str] = field(default_factory=set)

    def workload(self) -> tuple[Workload, tuple[Note, ...]]:
        graph = self.model.graph
        self.known.opset = max((o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")), default=1)
        self.values()
        inputs = [v.name for v in graph.input if v.name not in self.known.constants]
        self.ends(inputs)
        ops = [op for node, name in self.named_nodes() for op in self.node(node, name)]
        if self.problems:
            raise InputError(self.problems[:100])
        made = self.wired(inputs, ops)
        symbols = {name: Symbol(1, 1, 1 << 20, f"the model's dimension {shown(said)}") for said, name in
                   self.symbols.items() if name in made.symbols}  # fmt: skip
        opset = f"opset {self.known.opset}"
        producer = one_line(f"{self.model.producer_name} {self.model.producer_version}".strip())[:200]
        origin = provenance(TOOL, {"model": self.path}, opset=opset, **({"producer": producer} if producer else {}))
        summary = f"{counted(len(graph.node), 'node')} of the ONNX model {shown_name(self.path)}"
        schedules = {"once": (Phase("run", (Call(_GRAPH),)),)}
        workload = Workload(workload_name(self.path.stem), summary, symbols, {_GRAPH: made}, schedules, origin)
        return workload, tuple(self.notes())

    def notes(self) -> Iterator[Note]:
        for said, name in self.symbols.items():
            if said != name:
                yield Note(Where(self.file), f"the dimension {shown(said)} is called {name} here")

    # --- names, shapes, constants ---

    def values(self) -> None:
        """What is known of every value before its node is met."""
        graph = self.model.graph
        for info in (*graph.input, *graph.value_info, *graph.output):
            kind = info.type.tensor_type
            self.known.dtypes[info.name] = kind.elem_type
            if kind.HasField("shape"):
                self.known.shapes[info.name] = self.shape(kind.shape.dim)
        for tensor in graph.initializer:
            self.constant(tensor.name, tensor)
        for node in graph.node:
            self.known.readers.update(filter(None, node.input))
            for attribute in node.attribute if node.op_type == "Constant" and len(node.output) == 1 else ():
                self.literal(node.output[0], attribute)
        self.known.readers.update(info.name for info in graph.output)
        for tensor in graph.sparse_initializer:
            self.fail("not-carried", tensor.values.name, "sparse weights are not carried over", tensor.values.name)

    def constant(self, name: str, tensor: Any) -> None:
        if any(size < 0 or size > MAX_VALUE for size in tensor.dims) or math.prod(tensor.dims) > MAX_VALUE:
            self.fail("range", list(tensor.dims), f"a size is from 0 to {MAX_VALUE}", name)
        self.known.constants[name] = tensor
        self.known.dtypes[name] = tensor.data_type
        self.known.shapes[name] = tuple(parse(min(abs(size), MAX_VALUE)) for size in tensor.dims)

    def literal(self, name: str, attribute: Any) -> None:
        """The value of a Constant node: a tensor, or numbers."""
        if attribute.name == "value":
            self.constant(name, attribute.t)
        elif attribute.name in ("value_int", "value_ints", "value_float", "value_floats"):
            whole = "int" in attribute.name
            values = attribute.ints or attribute.floats or [attribute.i if whole else attribute.f]
            tensor = type(attribute.t)(
                data_type=7 if whole else 1, dims=[len(values)] if attribute.name[-1] == "s" else []
            )
            (tensor.int64_data if whole else tensor.float_data).extend(values)
            self.constant(name, tensor)

    def shape(self, dims: Sequence[Any]) -> Shape:
        return tuple(self.size(dim) for dim in dims)

    def size(self, dim: Any) -> Expr | None:
        if dim.HasField("dim_value"):
            return parse(dim.dim_value) if 0 <= dim.dim_value <= MAX_VALUE else None
        if not dim.dim_param or dim.dim_param.startswith("unk__"):
            return None
        return self.symbolic(dim.dim_param)

    def symbolic(self, text: str) -> Expr | None:
        """A symbol, or an expression of symbols that PyTorch's exporter writes as a dimension's name."""
        if re.fullmatch(r"[A-Za-z_]\w{0,40}(\s*[*+-]\s*\w{1,40})*", text) and not text.isidentifier():
            names = re.findall(r"[A-Za-z_]\w*", text)
            if all(name in self.symbols for name in names):
                return parse(text)
            return None
        if text not in self.symbols:
            word = re.sub(r"\W", "_", text, flags=re.ASCII)[:40]
            word = word if re.match(r"[A-Za-z]", word) else f"d_{word}"
            taken = set(self.symbols.values())
            while word in taken or word in _RESERVED:
                word += "_"
            self.symbols[text] = word
        return parse(self.symbols[text])

    def fail(self, code: str, got: object, rule: str, key: str) -> None:
        where = Where(self.file, key=one_line(key)[:200])
        self.problems.append(Problem(code, where, one_line(shown(got)), one_line(rule)))

    def word(self, value: str) -> str:
        """A value's name as a tensor's."""
        if value not in self.names:
            plain = re.sub(r"[^\x21-\x7e]", "_", value)[:150] or "value"
            taken, word, tried = set(self.names.values()), plain, 1
            while word in taken:
                tried += 1
                word = f"{plain}#{tried}"
            self.names[value] = word
        return self.names[value]

    # --- nodes ---

    def ends(self, inputs: Sequence[str]) -> None:
        for name in inputs:
            self.tensor(name, Role.INPUT)
        made = {out for node in self.model.graph.node for out in node.output}
        outputs = []
        for info in self.model.graph.output:
            if info.name in made:
                outputs.append(info.name)
            else:
                self.fail("output", info.name, "no node computes this output of the graph", info.name)
        self.outputs = tuple(dict.fromkeys(outputs))

    def tensor(self, value: str, role: Role) -> str:
        """A value as a tensor of the workload; its name there."""
        word = self.word(value)
        if word not in self.tensors:
            shape = self.known.shapes.get(value)
            if value in self.known.fixed and (shape is None or None in shape):
                shape = ()  # sizes alone: nothing reads it that runs
            if shape is None or None in shape or len(shape) > MAX_RANK:
                self.fail("unknown-shape", value, UNKNOWN, value)
                shape = ()
            sizes = tuple(size for size in shape if size is not None)
            dtype, bits = DTYPES.get(self.known.dtypes.get(value, 0), ("float32", 32))
            self.tensors[word] = Tensor(word, sizes, bits, dtype, role)
        return word

    def named_nodes(self) -> Iterator[tuple[Any, str]]:
        nodes = self.model.graph.node
        plain = [re.sub(r"[^\x21-\x7e]", "_", n.name)[:120] or f"{n.op_type}_{i}" for i, n in enumerate(nodes)]
        return zip(nodes, unique_names(plain), strict=True)

    def node(self, node: Any, name: str) -> Iterator[Op]:
        """The operators of one node, with their tensors; none for what follows from a node that has a problem."""
        if node.op_type == "Constant" and len(node.output) == 1 and node.output[0] in self.known.constants:
            return
        made, before = set(filter(None, node.output)), len(self.problems)
        if not self.lost & set(node.input):
            self.check_wiring(node, name, made)
            if len(self.problems) == before:
                self.known.made |= made
                call = Node(node, name, self.known)
                for part in self.parts(call):
                    yield self.op(part, call)
        if len(self.problems) > before or self.lost & set(node.input):
            self.lost |= made

    def check_wiring(self, node: Any, name: str, made: set[str]) -> None:
        given = {v.name for v in self.model.graph.input} | set(self.known.constants)
        for value in filter(None, node.input):
            if value not in given and value not in self.known.made:
                self.fail("order", value, "nothing has computed this value yet", name)
        if made & self.known.made:
            self.fail("produced-twice", min(made & self.known.made), "two nodes compute this value", name)
        if not made or made & given:
            self.fail("output", node.op_type, "a node computes at least one value, and none that is given", name)

    def parts(self, call: Node) -> list[Made]:
        try:
            return made_by(call)
        except UnsupportedError as why:
            if any(None in self.shape_of(out) for out in call.outputs):
                self.fail("unsupported", call.called, str(why), call.name)
                return []
            return [Made("", "unsupported", {}, tuple(call.read()), tuple(call.outputs), reason=str(why))]
        except UnknownSizeError as why:
            self.fail("unknown-shape", str(why), UNKNOWN, call.name)
            return []

    def shape_of(self, value: str) -> Shape:
        return self.known.shapes.get(value) or (None,)

    def op(self, part: Made, call: Node) -> Op:
        for value, (shape, dtype) in part.values.items():
            self.known.shapes.setdefault(value, shape)
            self.known.dtypes.setdefault(value, dtype)
        role = dict.fromkeys((*self.known.constants, *part.weights), Role.WEIGHT)
        inputs = tuple(self.tensor(v, role.get(v, Role.ACTIVATION)) for v in part.inputs)
        outputs = tuple(self.tensor(v, Role.OUTPUT if v in self.outputs else Role.ACTIVATION) for v in part.outputs)
        disposition = Disposition.UNSUPPORTED if part.kind == "unsupported" else part.disposition
        name = f"{call.name}.{part.name}" if part.name else call.name
        return Op(name, part.kind, inputs, outputs, part.dims, part.attrs, call.name, call.called, disposition,
                  one_line(part.reason), part.into)  # fmt: skip

    def wired(self, inputs: Sequence[str], ops: Sequence[Op]) -> Graph:
        """The graph, without what nothing reads, with the names of operators each once."""
        names = unique_names(op.name for op in ops)
        called = dict(zip((op.name for op in ops), names, strict=True))
        ops = [dataclasses.replace(op, name=name, into=called.get(op.into, op.into))
               for op, name in zip(ops, names, strict=True)]  # fmt: skip
        used = {name for op in ops for name in (*op.inputs, *op.outputs)}
        given = [self.names[name] for name in inputs]
        tensors = {n: t for n, t in self.tensors.items() if n in used or n in given}
        return Graph(_GRAPH, tensors, tuple(ops), tuple(given), tuple(self.names[name] for name in self.outputs))


_RESERVED = frozenset({"min", "max", "ceil", "and", "or", "not", "if", "else", "for", "in", "is", "lambda", "None",
                       "True", "False", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
                       "elif", "except", "finally", "from", "global", "import", "nonlocal", "pass", "raise", "return",
                       "try", "while", "with", "yield"})  # fmt: skip
