"""SkyNet's networks, boxes, packed weights and fixed-point numbers, against PyTorch, the sheet and slow twins."""

from __future__ import annotations

import doctest
import os
import re
import time
from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from accelerators.skynet import boxes, fixed, packing
from accelerators.skynet import network as nets
from hwsim.errors import InputError
from hwsim.workload import store
from hwsim.workload.ir import Disposition
from workloads import skynet

Values = list[list[list[Fraction]]]
SMALL = nets.Plan((5, 7, 6, 9, 20), 4)
"""Channels that fill no group, so that every part of the concat ends inside a tree."""
RELEASED = fixed.Formats()
EXAMPLES = 10_000 if os.environ.get("HWSIM_DEEP") == "1" else 250
RELAXED = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def folded(name: str) -> nets.Network:
    return nets.fold(nets.PLANS[name], nets.random_state(nets.PLANS[name], 1))


@cache
def small() -> nets.Network:
    return nets.fold(SMALL, nets.random_state(SMALL, 5))


def frame(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (3, height, width)).astype(np.uint8)


def normalized(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray((image / 255 - 0.5) / 0.25)


# --- sizes ------------------------------------------------------------------------------------------------------

LAYERS = {
    "bundle1": (27, 1_382_400, 144, 7_372_800), "bundle2": (432, 5_529_600, 4_608, 58_982_400),
    "bundle3": (864, 2_764_800, 18_432, 58_982_400), "bundle4": (1_728, 1_382_400, 73_728, 58_982_400),
    "bundle5": (3_456, 2_764_800, 196_608, 157_286_400), "bundle6": (11_520, 9_216_000, 122_880, 98_304_000),
}  # fmt: skip
"""Weights and MACs of the depthwise and of the pointwise layer, by the published table."""


def test_macs_and_weights_of_every_layer_of_skynet_c() -> None:
    graph = store.load_workload("skynet-c").graphs["network"]
    found: dict[str, tuple[int, ...]] = {}
    for op in graph.ops:
        if op.kind == "conv2d":
            name = op.module.split(".")[0]
            found[name] = (*found.get(name, ()), graph.tensors[op.inputs[1]].elements({}), op.macs({}))
    assert found == LAYERS | {"head": (960, 768_000)}
    assert sum(v for pairs in found.values() for v in pairs[1::2]) == 463_718_400
    assert sum(v for pairs in found.values() for v in pairs[::2]) == 435_387


def test_parameters_with_folded_batch_norm() -> None:
    assert folded("skynet-c").parameters == 438_718
    assert 4 * folded("skynet-c").parameters == 1_754_872


@pytest.mark.parametrize(("name", "megabytes"), [("skynet-a", 1.25), ("skynet-b", 1.546), ("skynet-c", 1.795)])
def test_sizes_of_the_unfolded_networks(name: str, megabytes: float) -> None:
    """Weights and four vectors a batch norm in fp32, the content of the released files without their container."""
    layers = folded(name).convolutions()
    norms = sum(len(layer.bias) for layer in layers if layer.bias is not None)
    size = 4 * (folded(name).parameters + 3 * norms)
    assert size / 1e6 == pytest.approx(megabytes, abs=2e-3)
    print(f"{name}: {size} bytes in fp32, {4 * folded(name).parameters} with batch norm folded")


def test_packed_weights_of_skynet_c() -> None:
    network = fixed.quantize(folded("skynet-c"))
    assert packing.sizes(network) == (413, 64, 106, 8 * 889_472)
    assert packing.pack(network).nbytes == 889_472


# --- the traced networks on accelerators ------------------------------------------------------------------------


def test_reorder_is_layout_and_the_concatenation_is_counted() -> None:
    graph = store.load_workload("skynet-c").graphs["network"]
    told = {op.source: (op.kind, op.disposition) for op in graph.ops}
    for name in ("view", "permute", "reshape"):
        assert told[f"aten.{name}.default"] == ("view", Disposition.FREE)
    assert told["aten.cat.default"] == ("concat", Disposition.MODELLED)
    (joined,) = (op for op in graph.ops if op.kind == "concat")
    assert joined.sizes({}) == {"elements": 1280 * 20 * 40}


def test_accelerators_run_skynet_c_or_name_what_they_cannot() -> None:
    from hwsim.simulate import run

    for design in ("titan-xp", "i7-6900k", "optimus"):
        assert run(design, "skynet-c", interval=False).as_json()["macs"] == 463_718_400
    with pytest.raises(InputError) as caught:
        run("stm32h7", "skynet-c", interval=False)
    assert str(caught.value) == (
        "workload skynet-c: [unsupported-op] graphs.network.cat: got concat (aten.cat.default); a microcontroller "
        "cannot run concat operators. Run the network on another accelerator; a microcontroller runs conv2d, "
        "elementwise, matmul, pool."
    )


# --- against PyTorch --------------------------------------------------------------------------------------------


def torch_detector(plan: nets.Plan, seed: int) -> tuple[Any, dict[str, NDArray[Any]]]:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    net = skynet.network(plan).double().eval()
    state = nets.random_state(plan, seed)
    missing = net.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    assert not missing.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys)
    return net, state


@pytest.mark.parametrize("plan", [SMALL, nets.Plan((5, 7, 6, 9, 20), 0), nets.Plan((8, 16, 32, 32, 64), 24)])
def test_the_folded_network_is_pytorchs(plan: nets.Plan) -> None:
    net, state = torch_detector(plan, 3)
    import torch

    image = normalized(frame(32, 48))
    with torch.no_grad():
        wanted = net(torch.from_numpy(image)[None])[0].numpy()
    got = nets.evaluate(nets.fold(plan, state), image)["head"]
    assert np.abs(wanted).max() > 0.5
    assert np.abs(got - wanted).max() < 1e-12 * max(1, np.abs(wanted).max()) * 100


def test_reorg_is_the_networks_and_its_definition() -> None:
    torch = pytest.importorskip("torch")
    x = np.arange(3 * 4 * 6).reshape(3, 4, 6)
    got = nets.reorg(x)
    assert np.array_equal(got, skynet.reorg(torch.from_numpy(x)[None])[0].numpy())
    for dy, dx, c, y, k in np.ndindex(2, 2, 3, 2, 3):
        assert got[(2 * dy + dx) * 3 + c, y, k] == x[c, 2 * y + dy, 2 * k + dx]


# --- the twin: values as fractions, straight from the text ------------------------------------------------------


def ap_fixed(value: Fraction, bits: int, integer_bits: int) -> Fraction:
    """Round to nearest (half up), saturate."""
    step = Fraction(1, 2 ** (bits - integer_bits))
    nearest = floor(value / step + Fraction(1, 2)) * step
    return max(-Fraction(2 ** (integer_bits - 1)), min(nearest, Fraction(2 ** (integer_bits - 1)) - step))


def to_feature(value: Fraction, f: fixed.Formats) -> Fraction:
    return ap_fixed(value, f.feature_bits, f.feature_integer_bits)


def twin_relu6(value: Fraction, f: fixed.Formats) -> Fraction:
    return to_feature(max(Fraction(0), min(value, Fraction(6))), f)


def twin_depthwise(x: Values, weight: Any, bias: Any, f: fixed.Formats, relu: bool) -> Values:
    height, width = len(x[0]), len(x[0][0])

    def at(c: int, y: int, k: int) -> Fraction:
        return x[c][y][k] if 0 <= y < height and 0 <= k < width else Fraction(0)

    def one(c: int, y: int, k: int) -> Fraction:
        total = to_feature(bias[c], f)
        for tap in range(9):
            total = to_feature(total + weight[c][tap // 3][tap % 3] * at(c, y + tap // 3 - 1, k + tap % 3 - 1), f)
        return twin_relu6(total, f) if relu else total

    return [[[one(c, y, k) for k in range(width)] for y in range(height)] for c in range(len(x))]


def twin_pointwise(x: Values, weight: Any, bias: Any, f: fixed.Formats, relu: bool, tree_inputs: int = 16) -> Values:
    def one(o: int, y: int, k: int) -> Fraction:
        total = ap_fixed(bias[o], f.accumulator_bits, f.accumulator_integer_bits)
        for first in range(0, len(x), tree_inputs):
            channels = range(first, min(first + tree_inputs, len(x)))
            tree = sum((weight[o][i] * x[i][y][k] for i in channels), Fraction(0))
            tree = ap_fixed(tree, f.tree_bits, f.tree_integer_bits)
            total = ap_fixed(total + tree, f.accumulator_bits, f.accumulator_integer_bits)
        # Clipped before it is converted, where the code under test clips afterwards.
        return twin_relu6(total, f) if relu else to_feature(total, f)

    height, width = len(x[0]), len(x[0][0])
    return [[[one(o, y, k) for k in range(width)] for y in range(height)] for o in range(len(bias))]


def fractions(codes: NDArray[Any], of: fixed.Fixed) -> Any:
    if codes.ndim == 0:
        return Fraction(int(codes), 2**of.fraction_bits)
    return [fractions(part, of) for part in codes]


def equal(codes: NDArray[Any], of: fixed.Fixed, values: Values) -> bool:
    return bool(fractions(codes, of) == values)


@st.composite
def formats(draw: st.DrawFn) -> fixed.Formats:
    def kind(low: int, high: int, most_whole: int) -> tuple[int, int]:
        bits = draw(st.integers(low, high))
        return bits, draw(st.integers(1, min(bits, most_whole)))

    feature, weight = kind(3, 14, 5), kind(3, 14, 6)
    fraction = feature[0] - feature[1] + weight[0] - weight[1]
    whole = draw(st.integers(2, 12))
    tree = (whole + fraction + draw(st.integers(0, 8)), whole)
    accumulator = kind(3, 18, 7)
    kept = min(accumulator[0] - accumulator[1], tree[0] - tree[1])
    accumulator = (accumulator[1] + kept, accumulator[1]) if accumulator[1] + kept > 1 else (2, 2)
    return fixed.Formats(*feature, *weight, *accumulator, *tree)


def codes_of(rng: np.random.Generator, of: fixed.Fixed, *shape: int) -> NDArray[np.int64]:
    """Codes of the whole range, or of a small one, so that both saturation and its absence happen."""
    narrow = int(rng.integers(0, max(1, of.bits - 1)))
    return rng.integers(of.low >> narrow, (of.high >> narrow) + 1, shape)


@RELAXED
@given(formats(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.booleans(), st.integers(0, 2**32))
def test_depthwise_equals_its_twin(f: fixed.Formats, c: int, h: int, w: int, relu: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight, bias = codes_of(rng, f.feature, c, h, w), codes_of(rng, f.weight, c, 3, 3), codes_of(rng, f.weight, c)
    wanted = twin_depthwise(
        *(fractions(a, t) for a, t in ((x, f.feature), (weight, f.weight), (bias, f.weight))), f, relu
    )
    assert equal(fixed.depthwise(x, weight, bias, f, relu), f.feature, wanted)


@RELAXED
@given(
    formats(), st.integers(1, 40), st.integers(1, 3), st.integers(1, 4), st.sampled_from([1, 4, 8, 16]), st.booleans(),
    st.integers(0, 2**32),
)  # fmt: skip
def test_pointwise_equals_its_twin(
    f: fixed.Formats, inputs: int, outputs: int, pixels: int, tree_inputs: int, relu: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, weight = codes_of(rng, f.feature, inputs, 1, pixels), codes_of(rng, f.weight, outputs, inputs)
    bias = codes_of(rng, f.weight, outputs)
    values = (fractions(a, t) for a, t in ((x, f.feature), (weight, f.weight), (bias, f.weight)))
    wanted = twin_pointwise(*values, f, relu, tree_inputs)
    assert equal(fixed.pointwise(x, weight, bias, f, relu, tree_inputs=tree_inputs), f.feature, wanted)


def test_the_twins_see_rounding_and_saturation() -> None:
    """In the released formats: what one rounding at the end would give differs, so the order of rounding is tested."""
    rng = np.random.default_rng(2)
    x, bias = rng.integers(0, 256, (64, 4, 16)), np.zeros(8, np.int64)
    weight = rng.integers(-40, 41, (8, 64))
    whole = fixed.pointwise(x, weight, bias, relu=False, tree_inputs=64)
    trees = fixed.pointwise(x, weight, bias, relu=False)
    assert np.abs(whole - trees).max() > 0
    assert (trees == RELEASED.feature.high).any() and (trees == RELEASED.feature.low).any()


@cache
def twin_network() -> dict[str, Values]:
    """The small network on a small image, its maps padded with channels of zeros to groups of 32 where they join."""
    network, f = fixed.quantize(small()), RELEASED
    image = frame(16, 32, 4)
    maps: dict[str, Values] = {"image": [[[byte(b) for b in row] for row in plane] for plane in image.tolist()]}
    for layer in network.layers:
        inputs = [maps[s] for s in layer.sources]
        maps[layer.name] = twin_layer(layer, inputs, f)
    return maps


def byte(b: int) -> Fraction:
    return to_feature((Fraction(b, 255) - Fraction(1, 2)) / Fraction(1, 4), RELEASED)


def twin_layer(layer: nets.Layer, inputs: list[Values], f: fixed.Formats) -> Values:
    x = inputs[0]
    if layer.kind is nets.Kind.POOL:
        return [[[max(p[2 * y + i][2 * k + j] for i in (0, 1) for j in (0, 1)) for k in range(len(p[0]) // 2)]
                 for y in range(len(p) // 2)] for p in x]  # fmt: skip
    if layer.kind is nets.Kind.REORG:
        return [[row[dx::2] for row in plane[dy::2]] for dy in (0, 1) for dx in (0, 1) for plane in x]
    if layer.kind is nets.Kind.CONCAT:
        return [plane for part in inputs for plane in part]
    weight, bias = (fractions(a, f.weight) for a in layer.arrays())
    if layer.kind is nets.Kind.DEPTHWISE:
        return twin_depthwise(x, weight, bias, f, layer.relu)
    if layer.name == "pw6":
        x, weight = padded(x, weight)
    return twin_pointwise(x, weight, bias, f, layer.relu)


def padded(x: Values, weight: Any) -> tuple[Values, Any]:
    """Four sub-positions of 6 channels and 20 channels of Bundle 5, each in its own group of 32."""
    zero = [[Fraction(0)] * len(x[0][0])] * len(x[0])
    planes: Values = []
    columns: list[list[Fraction]] = [[] for _ in weight]
    first = 0
    for part in (6, 6, 6, 6, 20):
        planes += x[first : first + part] + [zero] * (32 - part)
        for o, row in enumerate(weight):
            columns[o] += row[first : first + part] + [Fraction(0)] * (32 - part)
        first += part
    return planes, columns


def test_every_map_of_a_network_equals_its_twin() -> None:
    found = fixed.run(fixed.quantize(small()), fixed.normalize(frame(16, 32, 4)))
    wanted = twin_network()
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert equal(found[name], RELEASED.feature, values), name
    print(f"{len(wanted)} maps, {sum(m.size for m in found.values())} numbers equal")


def test_parts_matter_and_are_in_use() -> None:
    network = fixed.quantize(small())
    assert network.parts()["dw6"] == (6, 6, 6, 6, 20)
    maps = fixed.run(network, fixed.normalize(frame(16, 32, 4)))
    layer = next(layer for layer in network.layers if layer.name == "pw6")
    joined = fixed.pointwise(maps["dw6"], *layer.arrays())
    assert not np.array_equal(joined, maps["pw6"])


# --- properties of the numbers ----------------------------------------------------------------------------------


@RELAXED
@given(st.integers(2, 30), st.integers(1, 30), st.fractions(-600, 600, max_denominator=1 << 20))
def test_conversion_of_exact_values(bits: int, whole: int, value: Fraction) -> None:
    kind = fixed.Fixed(bits, min(bits, whole))
    code, step = kind.code(value), Fraction(1, 2**kind.fraction_bits)
    assert kind.low <= code <= kind.high
    assert code * step == ap_fixed(value, kind.bits, kind.integer_bits)
    if kind.low < code < kind.high:
        assert -step / 2 < code * step - value <= step / 2


@RELAXED
@given(st.integers(2, 20), st.integers(1, 8), st.integers(2, 20), st.integers(1, 8), st.integers(0, 2**32))
def test_conversion_of_codes(bits: int, whole: int, to_bits: int, to_whole: int, seed: int) -> None:
    source, target = fixed.Fixed(bits, min(whole, bits)), fixed.Fixed(to_bits, min(to_whole, to_bits))
    codes = np.sort(codes_of(np.random.default_rng(seed), source, 50))
    found = fixed.convert(codes, source, target)
    assert found.tolist() == [target.code(v) for v in fractions(codes, source)]
    assert (np.diff(found) >= 0).all()
    assert np.array_equal(fixed.convert(found, target, target), found)
    assert np.array_equal(fixed.quantize_array(fixed.dequantize(codes, source), target), found)


def test_halves_go_up() -> None:
    kind = fixed.Fixed(9, 3)
    halves = np.array([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 0.49999999999999994]) / 64
    assert fixed.quantize_array(halves, kind).tolist() == [-1, -1, 0, 1, 1, 2, 0]
    assert fixed.quantize_array(np.array([-np.inf, -4.1, 3.99, np.inf]), kind).tolist() == [-256, -256, 255, 255]


def test_the_released_formats() -> None:
    f = RELEASED
    assert (f.feature.low / 64, f.feature.high / 64) == (-4, 3.984375)
    assert (f.weight.low / 128, f.weight.high / 128) == (-8, 7.9921875)
    assert f.accumulator.fraction_bits == 8 and f.tree.fraction_bits == 22
    assert fixed.rectified(np.arange(-256, 256)).tolist() == [0] * 256 + list(range(256))
    wider = fixed.Formats(feature_bits=10, feature_integer_bits=4)
    assert fixed.rectified(np.array([-1, 383, 384, 385, 511]), wider).tolist() == [0, 383, 384, 384, 384]
    table = fixed.normalization()
    assert (table[0], table[127], table[128], table[255]) == (-128, -1, 1, 128)
    assert (np.diff(table) >= 0).all()


@RELAXED
@given(st.integers(1, 70), st.sampled_from([16, 32, 48]), st.sampled_from([1, 2, 4, 8, 16]), st.integers(0, 2**32))
def test_padding_with_channels_of_zeros_changes_nothing(inputs: int, lanes: int, tree_inputs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight = codes_of(rng, RELEASED.feature, inputs, 2, 3), codes_of(rng, RELEASED.weight, 3, inputs)
    bias = codes_of(rng, RELEASED.weight, 3)
    more = -inputs % lanes
    wide, columns = np.pad(x, ((0, more), (0, 0), (0, 0))), np.pad(weight, ((0, 0), (0, more)))
    narrow = fixed.pointwise(x, weight, bias, tree_inputs=tree_inputs)
    assert np.array_equal(narrow, fixed.pointwise(wide, columns, bias, tree_inputs=tree_inputs))


@RELAXED
@given(st.integers(1, 13), st.integers(1, 17), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32))
def test_tiles_with_a_halo_give_the_whole_map(h: int, w: int, tile_h: int, tile_w: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, weight = codes_of(rng, RELEASED.feature, 2, h, w), codes_of(rng, RELEASED.weight, 2, 3, 3)
    bias = codes_of(rng, RELEASED.weight, 2)
    around = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros_like(x)
    for y, k in ((y, k) for y in range(0, h, tile_h) for k in range(0, w, tile_w)):
        tile = fixed.depthwise(around[:, y : y + tile_h + 2, k : k + tile_w + 2], weight, bias)
        out[:, y : y + tile_h, k : k + tile_w] = tile[:, 1:-1, 1:-1]
    assert np.array_equal(out, fixed.depthwise(x, weight, bias))


def wide(fraction_bits: int) -> fixed.Formats:
    n = fraction_bits
    return fixed.Formats(8 + n, 8, 8 + n, 8, 14 + 2 * n, 14, 16 + 2 * n, 16)


def test_wide_formats_approach_the_floating_point_network() -> None:
    """Every two bits more quarter the error, down to what is asked for."""
    network, image = small(), frame(32, 64)
    exact = nets.evaluate(network, normalized(image))["head"]
    errors = []
    for bits in (8, 10, 12, 14, 16, 18, 20):
        f = wide(bits)
        found = fixed.run(fixed.quantize(network, f), fixed.normalize(image, f), f)["head"]
        errors.append(float(np.abs(fixed.dequantize(found, f.feature) - exact).max()))
    print("largest error by fraction bits:", [f"{e:.1e}" for e in errors])
    assert all(later < 0.5 * earlier for earlier, later in pairwise(errors))
    assert errors[-1] < 1e-4 < np.abs(exact).max()


def test_a_whole_frame_takes_seconds_and_stays_in_range() -> None:
    network, image = fixed.quantize(folded("skynet-c")), fixed.normalize(frame(160, 320))
    begun = time.monotonic()
    maps = fixed.run(network, image)
    took_s = time.monotonic() - begun
    print(f"skynet-c, one frame in fixed point: {took_s:.2f} s")
    assert took_s < 10
    assert maps["head"].shape == (10, 20, 40) and maps["concat"].shape == (1280, 20, 40)
    for layer in network.layers:
        low = 0 if layer.relu else RELEASED.feature.low
        assert low <= maps[layer.name].min() and maps[layer.name].max() <= RELEASED.feature.high


def test_the_examples_of_the_page(root: Path) -> None:
    page = root / "accelerators" / "skynet" / "NUMERICS.md"
    failed, ran = doctest.testfile(str(page), module_relative=False)
    assert (failed, ran) == (0, 10)


def test_the_table_of_the_page(root: Path) -> None:
    page = (root / "accelerators" / "skynet" / "NUMERICS.md").read_text(encoding="utf-8")
    for name in nets.PLANS:
        network = folded(name)
        unfolded = network.parameters + 3 * sum(len(v.bias) for v in network.layers if v.bias is not None)
        macs = store.load_workload(name).macs({}) / 1e6
        row = f"{macs:.4f} | {network.parameters:,} | {network.parameters * 4e-6:.3f} MB | {unfolded * 4e-6:.3f} MB |"
        assert re.search(rf"^\| `{name}` \|[^|]*\| {re.escape(row)}", page, re.MULTILINE), row


# --- reorder by weights, packing --------------------------------------------------------------------------------


def test_interleaved_weights_keep_the_function() -> None:
    network, image = small(), frame(16, 32)
    other = nets.interleaved(network)
    straight, mixed = (nets.evaluate(n, normalized(image)) for n in (network, other))
    order = np.concatenate([nets.interleaving(6), np.arange(24, 44)])
    assert order[:8].tolist() == [0, 6, 12, 18, 1, 7, 13, 19]
    assert np.array_equal(mixed["dw6"], straight["dw6"][order])
    assert np.abs(mixed["head"] - straight["head"]).max() < 1e-12
    # Accumulators that hold every product exactly: the order of sums is no matter, and all is equal to the bit.
    f = fixed.Formats(accumulator_bits=28, accumulator_integer_bits=10)
    codes = fixed.normalize(image, f)
    ours, theirs = (fixed.run(fixed.quantize(n, f), codes, f) for n in (network, other))
    assert np.array_equal(ours["head"], theirs["head"]) and ours["head"].any()
    # In the released formats the depthwise layer is still equal; PW6 rounds along another order.
    ours, theirs = (fixed.run(fixed.quantize(n), fixed.normalize(image)) for n in (network, other))
    assert np.array_equal(theirs["dw6"], ours["dw6"][order])


def test_interleaving_of_the_released_sizes() -> None:
    assert nets.interleaving(192)[:8].tolist() == [0, 192, 384, 576, 1, 193, 385, 577]
    assert sorted(nets.interleaving(192)) == list(range(768))
    packed = packing.pack(fixed.quantize(nets.interleaved(folded("skynet-c"))))
    assert packed.nbytes == 889_472
    assert nets.interleaved(folded("skynet-a")) is folded("skynet-a")


@pytest.mark.parametrize("lanes", [1, 4, 16, 32])
@pytest.mark.parametrize("bypass", [True, False])
def test_packed_weights_come_back(lanes: int, bypass: bool) -> None:
    plan = SMALL if bypass else nets.Plan(SMALL.channels, 0)
    network = fixed.quantize(nets.fold(plan, nets.random_state(plan, 8)))
    words = packing.pack(network, lanes)
    assert 8 * words.nbytes == packing.sizes(network, lanes).bits
    found = packing.unpack(words, network, lanes)
    for ours, theirs in zip(network.convolutions(), found.convolutions(), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours.arrays(), theirs.arrays(), strict=True))


def test_order_of_blocks() -> None:
    """Every element at the place that the documented order gives it."""
    network, lanes = fixed.quantize(small()), 8
    words = packing.pack(network, lanes).view(np.int16)
    parts, at = network.parts(), 0
    for layer in network.convolutions():
        weight, bias = layer.arrays()
        into, out = (packing.positions(parts[n], lanes) for n in (layer.sources[0], layer.name))
        groups_in, groups_out = (
            packing.padded_channels(parts[n], lanes) // lanes for n in (layer.sources[0], layer.name)
        )
        has_bias = layer.bias is not None
        for o in range(groups_out):
            if has_bias:
                lane = {int(p) % lanes: b for p, b in zip(out, bias, strict=True) if p // lanes == o}
                assert words[at].tolist() == [lane.get(i, 0) for i in range(lanes)]
                at += 1
            rows = 9 if layer.kind is nets.Kind.DEPTHWISE else groups_in * lanes
            for r in range(rows):
                wanted = [0] * lanes
                for c, p in enumerate(out):
                    if p // lanes == o and layer.kind is nets.Kind.DEPTHWISE:
                        wanted[p % lanes] = weight[c, r // 3, r % 3]
                    elif p // lanes == o and r in into:
                        wanted[p % lanes] = weight[c, list(into).index(r)]
                assert words[at + r].tolist() == wanted, (layer.name, o, r)
            at += rows
    assert at == len(words)


# --- boxes ------------------------------------------------------------------------------------------------------


def empty_map(rows: int = 20, columns: int = 40) -> NDArray[np.float64]:
    return np.full((10, rows, columns), -4.0)


def test_decoding_a_box_by_hand() -> None:
    found = empty_map()
    found[5:10, 7, 30] = (0, np.log(3), 0, np.log(2), 1)
    box = boxes.decode(found)
    assert boxes.best_cell(found) == (1, 7, 30)
    assert box == pytest.approx((30.5 / 40, 7.75 / 20, 4.011 / 40, 2 * 5.761 / 20, 1 / (1 + np.exp(-1))))
    found[4, 0, 0] = 1.5
    assert boxes.decode(found)[2:4] == pytest.approx((np.exp(-4) * 1.494 / 40, np.exp(-4) * 2.360 / 20))


def test_the_first_of_equal_cells_is_taken() -> None:
    found = empty_map()
    found[9, 3, 3] = found[4, 12, 1] = found[4, 12, 0] = 2
    assert boxes.best_cell(found) == (0, 12, 0)
    assert boxes.best_cell(fixed.quantize_array(found, RELEASED.feature)) == (0, 12, 0)


def test_huge_values_give_finite_boxes() -> None:
    found = empty_map()
    found[:5, 0, 0] = (1e4, -1e4, 1e4, -1e4, 1e4)
    box = boxes.decode(found)
    assert all(np.isfinite(box)) and (box.x, box.y, box.confidence) == (1 / 40, 0, 1)


def covered(box: tuple[int, int, int, int], size: int) -> NDArray[np.bool_]:
    """Cells of a grid inside a box whose corners lie on it."""
    x, y, w, h = box
    cells = np.zeros((size, size), bool)
    cells[y : y + h, x : x + w] = True
    return cells


@RELAXED
@given(st.lists(st.integers(0, 8), min_size=8, max_size=8))
def test_iou_counts_cells(numbers: list[int]) -> None:
    corners = (tuple(numbers[:4]), tuple(numbers[4:]))
    first, second = (covered(c, 17) for c in corners)  # type: ignore[arg-type]
    union = (first | second).sum()
    wanted = (first & second).sum() / union if union else 0
    centred = [(x + w / 2, y + h / 2, w, h) for x, y, w, h in corners]
    assert boxes.iou(*centred) == pytest.approx(wanted)
    assert boxes.iou(np.array([centred[0]] * 3), centred[1]).shape == (3,)


# --- messages ---------------------------------------------------------------------------------------------------


def message(call: Any) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def test_messages() -> None:
    codes, plan = np.zeros((2, 4, 4), np.int64), nets.Plan()
    assert "a type has at least 2 bits" in message(lambda: fixed.Formats(feature_integer_bits=10))
    assert "a tree needs the 13 fraction bits of a product" in message(lambda: fixed.Formats(tree_bits=22))
    assert "keeps at most the 22 fraction bits of a tree" in message(lambda: fixed.Formats(accumulator_bits=30))
    assert "sums before rounding may take 63 bits" in message(lambda: fixed.Formats(tree_bits=70))
    weight = np.zeros((3, 2), np.int64)
    assert "the weights must be (4, 2)" in message(lambda: fixed.pointwise(codes, weight, np.zeros(4, np.int64)))
    assert "codes are integers" in message(lambda: fixed.pointwise(codes, weight, np.zeros(3)))
    zeros = np.zeros(3, np.int64)
    assert "sum up to its 2 channels" in message(lambda: fixed.pointwise(codes, weight, zeros, parts=(1, 2)))
    assert "an image is bytes (uint8)" in message(lambda: fixed.normalize(np.zeros((3, 8, 8))))
    assert "an image here is [3, height, width]" in message(lambda: fixed.run(fixed.quantize(small()), codes))
    assert "only numbers" in message(lambda: fixed.quantize_array(np.array([np.nan]), RELEASED.weight))
    assert "five positive numbers" in message(lambda: nets.Plan((1, 2, 3)))
    assert "the trained network has no such array" in message(lambda: nets.fold(plan, {}))
    assert "height and width must be even" in message(lambda: nets.reorg(np.zeros((1, 3, 4))))
    assert "sources must come before" in message(lambda: nets.Network((nets.Layer("a", nets.Kind.POOL, ("b",)),)))
    assert "packed weights are codes of 16 bits" in message(lambda: packing.pack(small()))
    assert "this network packs into" in message(
        lambda: packing.unpack(np.zeros((1, 32), np.uint16), fixed.quantize(small()))
    )
    assert "a box map is [10, rows, columns]" in message(lambda: boxes.decode(codes))
    assert "sizes of 0 or more" in message(lambda: boxes.iou((0, 0, -1, 1), (0, 0, 1, 1)))
