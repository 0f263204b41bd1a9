"""`hwsim import onnx`: our own networks, exported by PyTorch, beside their traces; rules; bad and malicious files."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from importing import messages, ops_of, sizes, try_mutants

from hwsim.cli import run_command
from hwsim.importers.onnx_model import read_onnx
from hwsim.workload.family import weights_of
from hwsim.workload.ir import Disposition, Role
from hwsim.workload.spec import Input
from hwsim.workload.store import load_workload

onnx = pytest.importorskip("onnx")
helper, FLOAT, INT64 = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64

# --- our own networks ---------------------------------------------------------------------------------------------

# Name, and whether PyTorch's exporter may fold constants: it must where it builds weights of recurrent layers, and
# must not where it would fold batch norms and so change the number of parameters.
NETWORKS = [
    ("svhn-mlp", False), ("mobilenet-v1-0.25-128", False), ("squeezenet1-1", False), ("bert-layer", False),
    ("lstm-lm", True), ("gru-lm", True),
]  # fmt: skip


def example(value: Any, bind: dict[str, int]) -> Any:
    """A tensor for each declared input."""
    import torch

    if isinstance(value, Input):
        shape = [bind[size] if isinstance(size, str) else size for size in value.shape]
        return torch.zeros(shape, dtype=getattr(torch, value.dtype))
    return tuple(example(inner, bind) for inner in value)


def exported(name: str, optimize: bool, path: Path) -> tuple[str, dict[str, int]]:
    """Export the first graph of a shipped network; its name, and the sizes it was exported at."""
    import torch

    from hwsim.trace import load_target

    trace = load_workload(name)
    spec, _ = load_target(trace.provenance["target"])
    graph = spec.graphs[0]
    bind = {symbol: int(s.default) for symbol, s in trace.symbols.items() if not s.ratio}
    if any(p.is_meta for p in graph.module.parameters()):
        graph.module.to_empty(device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(graph.module.eval(), example(graph.args, bind), str(path), dynamo=True, optimize=optimize,
                          verbose=False, external_data=False)  # fmt: skip
    return graph.name, bind


@pytest.mark.parametrize(("name", "optimize"), NETWORKS)
def test_an_exported_network_is_its_trace(name: str, optimize: bool, tmp_path: Path) -> None:
    """MACs and parameters are those of the committed trace, and every node is accounted for."""
    pytest.importorskip("onnxscript")
    path = tmp_path / "network.onnx"
    graph, bind = exported(name, optimize, path)
    made = read_onnx(path).workload
    assert made is not None
    traced = load_workload(name).graphs[graph]
    assert made.macs({}) == sum(op.macs(bind) for op in traced.ops)
    weights = [t for t in traced.tensors.values() if t.role is Role.WEIGHT]
    assert weights_of(made, {}) == sum(t.elements(bind) for t in weights)
    kinds = {op.disposition for op in ops_of(made)}
    assert Disposition.UNSUPPORTED not in kinds
    print(f"{name}: {len(ops_of(made))} operators, {made.macs({}):,} MACs as traced")


# --- models by hand -----------------------------------------------------------------------------------------------


def weight(name: str, *shape: int) -> Any:
    count = 1
    for size in shape:
        count *= size
    return helper.make_tensor(name, FLOAT, shape, [0.5] * count)


def saved(path: Path, nodes: list[Any], given: dict[str, list[Any]], out: list[str], weights: list[Any],
          opset: int = 17) -> Path:  # fmt: skip
    inputs = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in given.items()]
    outputs = [helper.make_tensor_value_info(name, FLOAT, None) for name in out]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="by hand")
    path.write_bytes(model.SerializeToString())
    return path


def small(path: Path, batch: Any = "batch") -> Path:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", strides=[2, 1], pads=[1, 0, 2, 1], group=2),
        helper.make_node("BatchNormalization", ["c", "s", "s", "s", "s"], ["n"], name="norm"),
        helper.make_node("Relu", ["n"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "v", "d"], ["y"], name="last", transB=1),
    ]
    weights = [weight("w", 6, 2, 3, 2), weight("b", 6), weight("s", 6), weight("v", 10, 6), weight("d", 10)]
    return saved(path, nodes, {"x": [batch, 4, 9, 8]}, ["y"], weights)


def test_a_small_network_by_hand(tmp_path: Path) -> None:
    """Rows: (9 + 3 - 3) // 2 + 1 = 5; columns: 8 + 1 - 2 + 1 = 8."""
    found = read_onnx(small(tmp_path / "m.onnx"))
    conv, norm, relu, pool, flat, last = ops_of(found.workload)
    n = {"batch": 3}
    assert conv.sizes(n) == {"batch": 3, "groups": 2, "in_channels": 4, "out_channels": 6, "in_h": 9, "in_w": 8,
                             "out_h": 5, "out_w": 8, "kernel_h": 3, "kernel_w": 2}  # fmt: skip
    assert (conv.attrs["stride_h"], conv.attrs["stride_w"]) == (2, 1)
    assert [conv.attrs[f"pad_{side}"] for side in ("top", "bottom", "left", "right")] == [1, 2, 0, 1]
    assert conv.macs(n) == 3 * 6 * 5 * 8 * 2 * 3 * 2
    assert (norm.disposition, norm.into, norm.dims["rows"].value(n)) == (Disposition.FUSED, "conv", 18)
    assert (relu.kind, relu.dims["elements"].value(n)) == ("elementwise", 3 * 6 * 40)
    assert (pool.kind, pool.sizes(n)["kernel_h"], pool.sizes(n)["kernel_w"]) == ("pool", 5, 8)
    assert flat.disposition is Disposition.FREE
    assert last.sizes(n) == {"batch": 1, "m": 3, "n": 10, "k": 6}
    assert last.attrs["weight_layout"] == "nk"
    assert found.workload is not None
    assert found.workload.symbols["batch"].default == 1
    assert found.workload.provenance["producer"] == "by hand"


def test_a_bound_dimension_is_a_number(tmp_path: Path) -> None:
    path = small(tmp_path / "m.onnx")
    made = read_onnx(path, {"batch": 7}).workload
    assert made is not None
    assert not made.symbols
    assert sizes(ops_of(made)[5])["m"] == 7
    assert "no open dimension of this name" in messages(lambda: read_onnx(path, {"bacht": 7}))[0]


PRODUCTS = [
    (["x", "w"], [5, 7, 4], (4, 6), {"batch": 1, "m": 35, "n": 6, "k": 4}),
    (["w", "x"], [5, 4, 7], (6, 4), {"batch": 1, "m": 35, "n": 6, "k": 4}),
    (["x", "w"], [3, 5, 4], (3, 4, 2), {"batch": 3, "m": 5, "n": 2, "k": 4}),
    (["x", "w"], [5, 4], (4,), {"batch": 1, "m": 5, "n": 1, "k": 4}),
]


@pytest.mark.parametrize(("operands", "given", "shape", "wanted"), PRODUCTS)
def test_products(operands: list[str], given: list[int], shape: tuple[int, ...], wanted: dict[str, int],
                  tmp_path: Path) -> None:  # fmt: skip
    nodes = [helper.make_node("MatMul", operands, ["y"])]
    (op,) = ops_of(read_onnx(saved(tmp_path / "m.onnx", nodes, {"x": given}, ["y"], [weight("w", *shape)])).workload)
    assert (op.kind, sizes(op), op.inputs, op.attrs["static"]) == ("matmul", wanted, ("x", "w"), True)


def one(tmp_path: Path, node: Any, given: list[int], weights: list[Any], opset: int = 17) -> tuple[str, dict[str, int]]:
    made = read_onnx(saved(tmp_path / "m.onnx", [node], {"x": given}, ["y"], weights, opset)).workload
    (op,) = ops_of(made)
    return op.kind, sizes(op)


def ints(name: str, *values: int) -> Any:
    return helper.make_tensor(name, INT64, [len(values)], values)


RULES: list[tuple[Any, list[int], list[Any], int, tuple[str, dict[str, int]]]] = [
    (helper.make_node("Softmax", ["x"], ["y"]), [2, 3, 4], [], 17, ("softmax", {"rows": 6, "length": 4})),
    (helper.make_node("Softmax", ["x"], ["y"]), [2, 3, 4], [], 11, ("softmax", {"rows": 2, "length": 12})),
    (helper.make_node("LayerNormalization", ["x", "s"], ["y"], axis=-1), [2, 3, 4], [weight("s", 4)], 17,
     ("norm", {"rows": 6, "length": 4})),
    (helper.make_node("ReduceMean", ["x"], ["y"], axes=[1]), [2, 3, 4], [], 17, ("reduce", {"rows": 8, "length": 3})),
    (helper.make_node("ReduceSum", ["x", "a"], ["y"]), [2, 3, 4], [ints("a", 0, 2)], 17,
     ("reduce", {"rows": 3, "length": 8})),
    (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 2]), [1, 5, 9, 8], [], 17,
     ("pool", {"batch": 1, "channels": 5, "out_h": 4, "out_w": 4, "kernel_h": 3, "kernel_w": 2})),
    (helper.make_node("Concat", ["x", "x"], ["y"], axis=0), [2, 3], [], 17, ("concat", {"elements": 12})),
    (helper.make_node("Add", ["x", "x"], ["y"]), [2, 3], [], 17, ("elementwise", {"elements": 6})),
    (helper.make_node("Transpose", ["x"], ["y"]), [2, 3], [], 17, ("view", {})),
    (helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2]), [1, 3, 4, 5], [weight("w", 3, 6, 2, 2)], 17,
     ("matmul", {"batch": 1, "m": 20, "n": 24, "k": 3})),
    (helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction="add"), [5, 3],
     [helper.make_tensor("i", INT64, [2, 1], [0, 4]), weight("u", 2, 3)], 17, ("elementwise", {"elements": 6})),
    (helper.make_node("LRN", ["x"], ["y"], size=3), [1, 4, 3, 3], [], 17, ("unsupported", {})),
    (helper.make_node("ConvTranspose", ["x", "w"], ["y"]), [1, 3, 4, 5], [weight("w", 3, 6, 2, 2)], 17,
     ("unsupported", {})),
]  # fmt: skip


@pytest.mark.parametrize(("node", "given", "weights", "opset", "wanted"), RULES, ids=[r[0].op_type for r in RULES])
def test_rules(node: Any, given: list[int], weights: list[Any], opset: int, wanted: Any, tmp_path: Path) -> None:
    assert one(tmp_path, node, given, weights, opset) == wanted


def test_the_same_padding_is_on_the_side_it_says(tmp_path: Path) -> None:
    """Seven columns under three taps in steps of two: one zero each side; under two taps one zero in all."""
    for mode, wanted in (("SAME_UPPER", (1, 1, 0, 1)), ("SAME_LOWER", (1, 1, 1, 0))):
        node = helper.make_node("Conv", ["x", "w"], ["y"], auto_pad=mode, strides=[2, 2])
        path = saved(tmp_path / "m.onnx", [node], {"x": [1, 1, 7, 7]}, ["y"], [weight("w", 1, 1, 3, 2)])
        (op,) = ops_of(read_onnx(path).workload)
        assert tuple(op.attrs[f"pad_{side}"] for side in ("top", "bottom", "left", "right")) == wanted
        assert (sizes(op)["out_h"], sizes(op)["out_w"]) == (4, 4)


def test_what_follows_from_sizes_alone_is_free(tmp_path: Path) -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Gather", ["s", "i"], ["first"]),
             helper.make_node("Concat", ["first", "rest"], ["to"], axis=0),
             helper.make_node("Reshape", ["x", "to"], ["y"])]  # fmt: skip
    made = read_onnx(
        saved(tmp_path / "m.onnx", nodes, {"x": [2, 3, 4]}, ["y"], [ints("i", 0), ints("rest", -1)])
    ).workload
    assert made is not None
    assert [op.disposition for op in ops_of(made)] == [Disposition.FREE] * 4
    assert weights_of(made, {}) == 0


# --- running, and what is refused -----------------------------------------------------------------------------------


def test_what_is_written_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = small(tmp_path / "m.onnx"), str(tmp_path / "w.json")
    assert run_command(["import", "onnx", str(path), "--bind", "batch=2", "--out", out]) == 0
    assert run_command(["check", out]) == 0
    assert run_command(["run", "-a", "systolic-16", "-w", out, "--no-interval"]) == 0
    assert "m: 6 nodes of the ONNX model m.onnx" in capsys.readouterr().out
    assert run_command(["import", "onnx", str(path), "--bind", "batch"]) == 2


def test_an_unsupported_operator_is_told_and_nothing_is_written(tmp_path: Path, capsys: Any) -> None:
    nodes = [helper.make_node("LRN", ["x"], ["y"], name="lrn", size=3)]
    path, out = saved(tmp_path / "m.onnx", nodes, {"x": [1, 4, 3, 3]}, ["y"], []), tmp_path / "w.json"
    assert run_command(["import", "onnx", str(path), "--out", str(out)]) == 2
    assert capsys.readouterr().err.splitlines() == ["error: unsupported: lrn (LRN): no cost is known for this operator"]
    assert not out.exists()


def test_external_data_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that point out of the model's folder: their sizes count, their file does not."""
    path = small(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        tensor.ClearField("float_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../../../etc/passwd")
    path.write_bytes(model.SerializeToString())
    opened: list[Any] = []
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: opened.append(self) or original(self, *a, **k))
    made = read_onnx(path).workload
    assert made is not None
    assert weights_of(made, {}) == 6 * 2 * 3 * 2 + 2 * 6 + 60 + 10
    assert {p.name for p in opened} == {"m.onnx"}


def broken(path: Path, change: Callable[[Any], object]) -> list[str]:
    model = onnx.load(str(small(path)))
    change(model)
    path.write_bytes(model.SerializeToString())
    return messages(lambda: read_onnx(Path(path.name)))


def test_curated_bad_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.onnx"
    fix = "its sizes cannot be inferred; fix open dimensions with --bind."
    assert broken(path, lambda m: m.graph.node[0].input.__setitem__(0, "z")) == [
        "m.onnx: [order] conv: got 'z'; nothing has computed this value yet."]  # fmt: skip
    assert broken(path, lambda m: m.graph.ClearField("node")) == [
        "m.onnx: [empty] got 'no node'; an ONNX model has a graph of at least one node."]  # fmt: skip
    assert f"m.onnx: [unknown-shape] x: got 'x'; {fix}" in broken(
        path, lambda m: m.graph.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value"))  # fmt: skip
    assert "m.onnx: [produced-twice] relu: got 'c'; two nodes compute this value." in broken(
        path, lambda m: m.graph.node[2].output.__setitem__(0, "c"))  # fmt: skip
    assert "m.onnx: [output] q: got 'q'; no node computes this output of the graph." in broken(
        path, lambda m: setattr(m.graph.output[0], "name", "q"))  # fmt: skip
    assert "m.onnx: [unsupported] relu: got 'far.Relu'; operators of the domain 'far' are not known." in broken(
        path, lambda m: (setattr(m.graph.node[2], "domain", "far"), m.opset_import.add(domain="far"))
    )  # fmt: skip
    whole = small(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "[syntax]" in messages(lambda: read_onnx(path))[0]
    assert "[missing-file]" in messages(lambda: read_onnx(tmp_path / "no.onnx"))[0]


def test_without_the_package_a_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small(tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert messages(lambda: read_onnx(path)) == [
        "[missing-package] got 'onnx'; reading ONNX models needs this package. Install \"hwsim[onnx]\"."
    ]


def test_no_mutant_ends_in_a_traceback(tmp_path: Path) -> None:
    path = small(tmp_path / "m.onnx")
    found = try_mutants([path], lambda: read_onnx(path), 500, seed=3, text=False)
    print(f"ONNX: {dict(found)} mutants")
    assert min(found.values()) > 20
