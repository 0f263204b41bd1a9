"""Deployment to microcontrollers: kernels against the golden function, generated C against it word for word."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import deploy_cases as cases
import numpy as np
import pytest
import torch
from torch import nn

from accelerators.mcu import kernels as k
from accelerators.mcu import toolchain
from accelerators.mcu.deploy import binding, deployer, emulation, parts, sources
from accelerators.mcu.deploy.deployer import image_of
from accelerators.mcu.toolchain import Isa
from hwsim.cli import run_command
from hwsim.deploy import folder as folders
from hwsim.deploy.source import find_source, read_samples
from hwsim.errors import InputError
from hwsim.quant import formats
from hwsim.quant.assign import Bits, Limits, Scheme, cut_values
from hwsim.quant.branching import Flow, Step, assign_flow
from hwsim.quant.branching import cut_values as cut_flow
from hwsim.quant.chain import Kind, chain_of
from hwsim.quant.infer import infer, infer_all, quantize_input
from hwsim.quant.network import Network, Pooling, Product, check
from hwsim.quant.training.blocks import Recipe
from hwsim.quant.training.convert import convert, with_thresholds
from hwsim.quant.training.deployed import Deployed
from hwsim.quant.training.prepare import prepare, quantized_values, weighted_layers
from hwsim.quant.training.train import accuracy, train
from hwsim.schedule.place import overlaps
from hwsim.units import parse_integer
from hwsim.workload.store import load_workload

COMPILERS = {target.compiler for target in toolchain.TARGETS.values()}
compiled = pytest.mark.skipif(
    any(shutil.which(name) is None for name in COMPILERS), reason=f"needs {' and '.join(sorted(COMPILERS))}"
)
H743 = parts.find_part("stm32h743")
BOTH = (Isa.ARMV7EM, Isa.RV32IM)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small operations, many of them: threads only get in one another's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- kernels against the golden function of hwsim.quant --------------------------------------------------------------


def compare(isa: Isa, network: Network, rng: np.random.Generator) -> tuple[int, int]:
    """Runs each layer's kernel on the golden function's inputs: outputs, and how many of them differ."""
    value = network.values[network.input]
    wanted = infer_all(network, rng.integers(0, 1 << value.bits, (1, *value.shape)))
    wide = {name: binding.fill(network.values[name], codes[0]) for name, codes in wanted.items()}
    outputs = wrong = 0
    for layer in binding.bind(binding.filled(network)):
        data = replace(layer.data, inputs=wide[layer.reads[0]])
        if len(layer.reads) == 2:
            data = replace(data, other=wide[layer.reads[1]])
        found = k.run_layer(isa, layer.kernel, layer.shape, data).output
        channels = network.values[layer.output].shape[2]
        outputs += found[..., :channels].size
        wrong += int((found != wide[layer.output])[..., :channels].sum())
    return outputs, wrong


def all_layers(rng: np.random.Generator, deep: bool) -> Iterator[Network]:
    for kind, widths, scheme in itertools.product(Kind, cases.WIDTHS, cases.SCHEMES):
        if scheme != "thresholds" or widths[1] < 8:
            yield from (cases.one_product(rng, kind, widths, scheme) for _ in range(10 if deep else 1))
    yield from (cases.one_pool(rng, kind, bits) for kind in Pooling for bits in (8, 4, 2))
    yield from (cases.one_sum(rng, widths) for widths in cases.WIDTHS)


@compiled
@pytest.mark.parametrize("isa", Isa, ids=lambda isa: isa.name.lower())
def test_every_kernel_is_the_golden_function(isa: Isa, deep: bool) -> None:
    rng = np.random.default_rng(7 + isa)
    found = np.array([compare(isa, network, rng) for network in all_layers(rng, deep)])
    assert len(found) >= 4 * 27 * 4 + 4 * 18 + 6 + 27
    outputs, wrong = found.sum(axis=0)
    assert wrong == 0
    print(f"{isa.name.lower()}: {len(found)} layers, {outputs} outputs, difference 0")


def test_the_layers_use_their_codes() -> None:
    rng, inner, total = np.random.default_rng(1), 0, 0
    for network in all_layers(rng, False):
        value, out = network.values[network.input], network.values[network.output]
        codes = infer(network, rng.integers(0, 1 << value.bits, (1, *value.shape)))
        inner += int(((codes > 0) & (codes < (1 << out.bits) - 1)).sum())
        total += codes.size
    assert inner > total // 4


def test_filling_up_channels_changes_no_other() -> None:
    rng = np.random.default_rng(3)
    for network in all_layers(rng, False):
        whole = binding.filled(network)
        assert all(value.shape[2] % 4 == 0 for value in whole.values.values())
        value, out = network.values[network.input], network.values[network.output]
        codes = rng.integers(0, 1 << value.bits, (2, *value.shape))
        found = infer(whole, binding.fill(value, codes))
        assert np.array_equal(found[..., : out.shape[2]], infer(network, codes))


# --- networks that branch ---------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """Two bottlenecks, the second added to the first; an uneven padding, a ReLU behind the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1))
        self.stem = nn.Conv2d(3, 6, 3, 2)
        self.wide = nn.Conv2d(6, 10, 1)
        self.norm = nn.BatchNorm2d(10)
        self.deep = nn.Conv2d(10, 10, 3, 1, 1, groups=10)
        self.narrow = nn.Conv2d(10, 6, 1)
        self.again = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(self.pad(x)))
        y = self.narrow(torch.relu(self.deep(nn.functional.relu6(self.norm(self.wide(x))))))
        z = torch.relu(x + y)
        z = self.again(z) + z
        return self.head(nn.functional.adaptive_avg_pool2d(z, 1).flatten(1))


def residual(widths: tuple[int, int] = (8, 8), scheme: Recipe = Recipe.PC_ICN) -> tuple[Any, Network, torch.Tensor]:
    """A trained-like network with quantizers, its integer network, and images; weights and values have `widths`."""
    torch.manual_seed(4)
    net = Residual().eval()
    images = torch.rand(6, 3, 12, 12, dtype=torch.float64)
    layers, values = weighted_layers(net), quantized_values(net)
    assert (layers, values) == (6, 9)
    bits = Bits((widths[0],) * layers, (8, *(widths[1],) * (values - 2), 8))
    chain = prepare(net.double(), bits, scheme, images)
    return chain, convert(chain, (3, 12, 12), "residual"), images


def test_a_network_that_branches_is_read_as_torch_runs_it() -> None:
    torch.manual_seed(4)
    net = Residual().double().eval()
    images = torch.rand(3, 3, 12, 12, dtype=torch.float64)
    chain = prepare(net, Bits((8,) * 6, (8,) * 9), Recipe.PL_ICN, images)
    for output in chain.outputs():
        output.observe = True
    with torch.no_grad():
        torch.testing.assert_close(chain(images), net(images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("widths", [(8, 8), (4, 8), (8, 4), (2, 2)])
@pytest.mark.parametrize("scheme", Recipe, ids=lambda scheme: scheme.value)
def test_integers_with_sums_equal_their_graphs(scheme: Recipe, widths: tuple[int, int]) -> None:
    """The exact torch graph to the bit; the trained graph but for multipliers and factors rounded to 17 bits."""
    chain, network, images = residual(widths, scheme)
    codes = quantize_input(network, images.numpy().transpose(0, 2, 3, 1))
    found = infer(network, codes)
    out = network.values[network.output]
    with torch.no_grad():
        exact = Deployed(network).codes(images).numpy().transpose(0, 2, 3, 1)
        graph = chain.double()(images).numpy() / out.scale + out.zero
    assert np.array_equal(found, exact)
    if widths[1] == 8:  # with few bits a value on the edge of a code is a large step
        assert np.abs(found[:, 0, 0] - graph).max() <= 4
    assert [type(layer).__name__ for layer in network.layers].count("Add") == 2


def test_a_sum_of_two_scales_is_the_rounded_sum() -> None:
    """Against fractions: the nearest code of the real sum, unless that lies within the rounding of the factors."""
    _, network, images = residual()
    found = infer_all(network, quantize_input(network, images.numpy().transpose(0, 2, 3, 1)))
    checked = 0
    for layer in network.layers:
        if not hasattr(layer, "factors"):
            continue
        (a, b), out = (network.values[name] for name in layer.inputs), network.values[layer.output]
        real = a.scale * (found[a.name] - a.zero) + b.scale * (found[b.name] - b.zero)
        steps = real / out.scale + 0.5
        sure = np.abs(steps - np.rint(steps)) > 0.01
        nearest = np.clip(np.floor(steps) + out.zero, 0, (1 << out.bits) - 1)
        assert np.array_equal(found[out.name][sure], nearest[sure])
        assert layer.factors[0] != layer.factors[1]
        checked += int(sure.sum())
    assert checked > 2000


def test_quantizing_what_is_no_such_network_says_why() -> None:
    class Odd(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.how, self.conv = how, nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            if self.how == "sigmoid":
                return torch.sigmoid(y)
            if self.how == "number":
                return y + 1
            if self.how == "input":
                return y + x
            return y if y.sum() > 0 else x

    def refused(how: str) -> str:
        with pytest.raises(InputError) as caught:
            prepare(Odd(how), Bits((8,), (8, 8)), Recipe.PL_ICN, torch.zeros(1, 3, 2, 2))
        return str(caught.value)

    assert refused("sigmoid").startswith("[unsupported] sigmoid: got 'sigmoid'; a quantized network is made of Conv2d")
    assert refused("number").startswith("[unsupported] add: got 'a sum with a number'; ")
    assert refused("input").startswith("[unsupported] add: got 'a sum of a value with itself or with the input'; ")
    assert refused("flow").startswith("[not-a-graph] Odd: got 'symbolically traced variables cannot be used")
    assert refused("flow").endswith("layers run for every image. Move what depends on values out of forward.")


# --- bits for networks that branch ------------------------------------------------------------------------------------


def chain_flow(name: str) -> tuple[Flow, Any]:
    layers = chain_of(load_workload(name))
    steps = tuple(Step(layer.name, (i,), i + 1, layer) for i, layer in enumerate(layers))
    return Flow((layers[0].inputs, *(layer.outputs for layer in layers)), steps, (len(layers),)), layers


def test_on_chains_the_rules_are_the_published_ones() -> None:
    limits = [kilobytes * 8000 for kilobytes in (512, 256, 128, 64, 32)]
    cut = 0
    for width, resolution, limit in itertools.product(("0.25", "0.5", "0.75", "1.0"), (128, 160, 192, 224), limits):
        flow, layers = chain_flow(f"mobilenet-v1-{width}-{resolution}")
        # Between pooling and classifier the chain's numbers do not meet: its memory model leaves pooling out.
        flow = Flow(flow.elements[:-1], flow.steps[:-1], (len(layers) - 1,))
        wanted, _ = cut_values(layers[:-1], limit)
        assert cut_flow(flow, limit) == wanted
        cut += sum(bits < 8 for bits in wanted)
    assert cut > 100


def test_a_value_held_for_a_sum_counts_and_can_be_cut() -> None:
    """0 -> 1 -> 2 -> 3, 4 = 1 + 3, 5: while step 2 runs, value 1 lives beside 2 and 3."""
    steps = [Step("a", (0,), 1), Step("b", (1,), 2), Step("c", (2,), 3), Step("sum", (1, 3), 4), Step("d", (4,), 5)]
    flow = Flow((100, 400, 500, 400, 100, 10), tuple(steps), (5,))
    assert [sorted(live) for live in flow.lives] == [[0, 1], [1, 2], [1, 2, 3], [1, 3, 4], [4, 5]]
    widest = (8,) * 6
    assert [flow.ram_bits(widest, i) // 8 for i in range(5)] == [500, 900, 1300, 900, 110]
    assert cut_flow(flow, 8 * 1300) == widest
    # Forward: step c may not cut 3, which is smaller than 2. Backward: of what lives 2 is as wide and the largest.
    assert cut_flow(flow, 8 * 1100) == (8, 8, 4, 8, 8, 8)
    # Then 2 has 4 bits and 1 is the widest: as wide as 3 and no smaller.
    assert cut_flow(flow, 8 * 900) == (8, 4, 4, 8, 8, 8)
    assert all(flow.ram_bits(cut_flow(flow, 8 * 900), i) <= 8 * 900 for i in range(5))


def test_what_no_rule_can_fit_names_the_step() -> None:
    flow, _ = chain_flow("mobilenet-v1-0.25-128")
    plan = assign_flow(flow, Limits(1 << 30, 8 * 20_000), Scheme.PC)
    assert not plan.fits
    assert str(plan.overflows[0]) == (
        "RAM: 37344 bytes too many for conv0 with its input at 8 bits and its output at 2; "
        "no tensor of it can be narrower"
    )


# --- whole networks, compiled and run ---------------------------------------------------------------------------------


def write(image: deployer.Image, network: Network, codes: Any, where: Path) -> deployer.Deployment:
    found = deployer.deployment(image, network, H743, codes)
    folders.write_folder(found.files, where, force=False)
    return found


def run(network: Network, codes: Any, where: Path, isas: tuple[Isa, ...] = BOTH) -> dict[Isa, emulation.Outcome]:
    """Generate once, compile for each instruction set, run, and hold every word of the output to the golden one."""
    image = image_of(network, isas[0])
    found = write(image, network, codes, where)
    out = next(v for v in found.report["values"] if v["name"] == network.output)
    wanted = infer(image.network, binding.fill(network.values[network.input], codes)[None])[0]
    golden = infer(network, codes[None])[0]
    assert np.array_equal(wanted[..., : golden.shape[2]], golden)
    outcomes = {isa: emulation.run_program(where, isa, (out["offset_bytes"], out["bytes"])) for isa in isas}
    for outcome in outcomes.values():
        assert outcome.wrong == 0
        assert outcome.output == formats.pack(wanted, out["bits"]).tobytes()
        assert outcome.stack_bytes <= deployer.STACK_BYTES // 2
    return outcomes


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.images / 16.0, dtype=torch.float32)[:, None], torch.tensor(data.target)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A small network with a residual block, trained on real digits for some seconds."""

    class Digits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU6())
            self.deep = nn.Sequential(nn.Conv2d(12, 12, 3, 1, 1, groups=12, bias=False), nn.BatchNorm2d(12), nn.ReLU6())
            self.mix = nn.Sequential(nn.Conv2d(12, 12, 1, bias=False), nn.BatchNorm2d(12))
            self.down = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU())
            self.head = nn.Linear(24, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            x = self.down(x + self.mix(self.deep(x)))
            return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))

    torch.manual_seed(0)
    images, labels = digits()
    net = Digits()
    train(net.train(), images[:1200], labels[:1200], epochs=20, rate=5e-3, seed=0)
    assert accuracy(net.eval(), images[1200:], labels[1200:]) > 0.9
    return net, images, labels


@compiled
@pytest.mark.parametrize(
    ("weights", "values", "recipe", "thresholds"),
    [(8, 8, Recipe.PL_FB, False), (8, 8, Recipe.PC_ICN, False), (4, 8, Recipe.PL_ICN, False),
     (4, 4, Recipe.PC_ICN, True), (2, 4, Recipe.PC_ICN, False), (2, 2, Recipe.PL_ICN, True)],
)  # fmt: skip
def test_a_trained_network_word_for_word(
    weights: int, values: int, recipe: Recipe, thresholds: bool, trained: Any, tmp_path: Path
) -> None:
    net, images, labels = trained
    bits = Bits((weights,) * 5, (8, *(values,) * 5, 8))
    network = convert(prepare(net, bits, recipe, images[:256]), (1, 8, 8), "digits")
    network = with_thresholds(network) if thresholds else network
    codes = quantize_input(network, images[1200:].numpy().transpose(0, 2, 3, 1))
    share = float((infer(network, codes)[:, 0, 0].argmax(axis=1) == labels[1200:].numpy()).mean())
    run(network, codes[weights + values], tmp_path / "net")
    if (weights, values) == (8, 8):
        assert share > 0.9
    print(f"{weights}-bit weights, {values}-bit values, {recipe.value}: equal on 2 instruction sets; "
          f"{100 * share:.1f} % of {len(codes)} digits")  # fmt: skip


@compiled
def test_xpulp_has_sources_of_its_own(trained: Any, tmp_path: Path) -> None:
    net, images, _ = trained
    network = convert(prepare(net, Bits((4,) * 5, (8, *(4,) * 5, 8)), Recipe.PC_ICN, images[:64]), (1, 8, 8), "digits")
    codes = quantize_input(network, images[:1].numpy().transpose(0, 2, 3, 1))[0]
    outcome = run(with_thresholds(network), codes, tmp_path / "xpulp", (Isa.XPULP,))[Isa.XPULP]
    assert outcome.wrong == 0
    assert "#if NN_BYTE_COLUMNS != 1\n#error weights" in (tmp_path / "xpulp" / "network.c").read_text()
    with pytest.raises(InputError, match="sources must compile without warnings"):
        emulation.build_program(tmp_path / "xpulp", Isa.ARMV7EM)


@compiled
def test_a_network_that_branches_word_for_word(tmp_path: Path) -> None:
    _, network, images = residual((4, 8))
    codes = quantize_input(network, images[:1].numpy().transpose(0, 2, 3, 1))[0]
    run(network, codes, tmp_path / "residual")


@compiled
def test_a_wrong_weight_is_seen(tmp_path: Path) -> None:
    """The comparison can fail: one bit of one weight, and the output differs."""
    _, network, images = residual()
    codes = quantize_input(network, images[:1].numpy().transpose(0, 2, 3, 1))[0]
    image = image_of(network, Isa.ARMV7EM)
    write(image, network, codes, tmp_path / "net")
    first = network.layers[0]
    assert isinstance(first, Product)
    bent = first.weights.copy()
    bent[0] ^= 0x80
    other = check(replace(network, layers=(replace(first, weights=bent), *network.layers[1:])))
    text = sources.network_text(image_of(other, Isa.ARMV7EM).network, image_of(other, Isa.ARMV7EM).plan, Isa.ARMV7EM)
    (tmp_path / "net" / "network.c").write_text(text)
    assert emulation.run_program(tmp_path / "net", Isa.ARMV7EM, (0, 4)).wrong > 0


@compiled
def test_mobilenet_word_for_word_and_byte_for_byte(tmp_path: Path) -> None:
    from workloads import mobilenet

    torch.manual_seed(1)
    net, images = mobilenet.network(0.25), torch.rand(1, 3, 128, 128)
    network = convert(prepare(net, Bits((8,) * 28, (8,) * 29), Recipe.PC_ICN, images), (3, 128, 128), "mobilenet")
    codes = quantize_input(network, images.numpy().transpose(0, 2, 3, 1))[0]
    outcomes = run(network, codes, tmp_path / "net")
    image = image_of(network, Isa.ARMV7EM)
    told, check_bytes = image.flash_bytes, 128 * 128 * 4 + 1000
    for isa, outcome in outcomes.items():
        assert outcome.constant_bytes - check_bytes == told["weights"] + told["parameters"] + told["layers"]
        assert outcome.ram_bytes == image.plan.arena_bytes
        code = image_of(network, isa).flash_bytes["code"]
        assert code - 1000 <= outcome.text_bytes <= code
        print(f"{isa.name.lower()}: {outcome.text_bytes} bytes of code (told {code}), stack {outcome.stack_bytes}")
    assert image.plan.arena_bytes == 98_448


def test_the_makefile_runs_the_check_on_this_computer(tmp_path: Path) -> None:
    _, network, images = residual()
    codes = quantize_input(network, images[:1].numpy().transpose(0, 2, 3, 1))[0]
    write(image_of(network, Isa.ARMV7EM), network, codes, tmp_path / "net")
    done = subprocess.run(["make", "check"], cwd=tmp_path / "net", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "net" / "check.c").read_text()
    start = text.index("wanted[")
    (tmp_path / "net" / "check.c").write_text(text[:start] + text[start:].replace("{\n    ", "{\n    1 + ", 1))
    for _ in range(2):  # what failed once is no target that is up to date
        assert subprocess.run(["make", "check"], cwd=tmp_path / "net", capture_output=True, check=False).returncode != 0


@compiled
@pytest.mark.parametrize("floats", ["-mfloat-abi=soft", "-mfpu=fpv5-d16 -mfloat-abi=hard"])
def test_the_library_links_into_a_program_with_a_main(tmp_path: Path, floats: str) -> None:
    """That calls the check, and passes floats either way."""
    _, network, images = residual()
    codes = quantize_input(network, images[:1].numpy().transpose(0, 2, 3, 1))[0]
    where = tmp_path / "net"
    write(image_of(network, Isa.ARMV7EM), network, codes, where)
    made = subprocess.run(["make", f"FLOAT={floats}"], cwd=where, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    (tmp_path / "main.c").write_text('#include "network.h"\nint main(void)\n{\n    return (int)network_check();\n}\n')
    linked = ["arm-none-eabi-gcc", "-mcpu=cortex-m7", "-mthumb", *floats.split(), "-I", str(where),
              str(tmp_path / "main.c"), str(where / "libnetwork.a"), "-nostdlib", "-Wl,--gc-sections",
              "-Wl,--entry=main", "-lgcc", "-o", str(tmp_path / "main.elf")]  # fmt: skip
    done = subprocess.run(linked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_addresses_do_not_collide() -> None:
    for network in (residual()[1], residual((4, 4))[1]):
        for isa in Isa:
            plan = image_of(network, isa).plan
            assert overlaps(graph_of(network, isa), plan.schedule.order, plan.placement) == []
            assert plan.arena_bytes * 8 >= plan.schedule.lower_bound_bits


def graph_of(network: Network, isa: Isa) -> Any:
    """The nodes again, from the layers: sizes rounded up to words, columns living for their layer alone."""
    from hwsim.schedule.graph import Graph, Node

    image = image_of(network, isa)
    size = {n: -(-int(np.prod(v.shape)) * v.bits // 32) * 32 for n, v in image.network.values.items()}
    nodes = [Node(network.input, (), size[network.input])]
    for layer in image.layers:
        reads, scratch = layer.reads, k.columns_bytes(layer.kernel, layer.shape, isa)
        if scratch:
            nodes.append(Node(f"columns of {layer.name}", (), -(-scratch // 4) * 32, after=reads))
            reads = (*reads, f"columns of {layer.name}")
        over = layer.reads[0] if layer.kernel.operation == k.Operation.ADD else ""
        nodes.append(Node(layer.output, reads, size[layer.output], in_place=over))
    return Graph(nodes, [network.output])


def test_the_report_and_the_header_say_what_the_sources_hold(tmp_path: Path) -> None:
    """Sizes from the text of network.c, products from the shapes of the network, codes from its scales."""
    _, network, images = residual((4, 8))
    codes = quantize_input(network, images[:1].numpy().transpose(0, 2, 3, 1))[0]
    report = write(image_of(network, Isa.ARMV7EM), network, codes, tmp_path / "net").report
    text, header = ((tmp_path / "net" / name).read_text() for name in ("network.c", "network.h"))
    arrays = re.findall(r"^static const u?int(\d+)_t (\w+)_(\d+)\[(\d+)\](.*) = {$", text, re.MULTILINE)
    assert (
        all(tail == " __attribute__((aligned(4)))" for *_, tail in arrays)
        and len(arrays) == text.count("static const") - 1
    )
    sizes = [0] * len(report["layers"])
    for bits, _, layer, length, _ in arrays:
        sizes[int(layer)] += int(bits) // 8 * int(length)
    assert [row["flash_bytes"] for row in report["layers"]] == sizes
    flash, ram = report["flash_bytes"], report["ram_bytes"]
    weights = sum(4 * int(length) for _, name, _, length, _ in arrays if name == "weights")
    words = sum(-(-int(bits) * int(length) // 32) * 4 for bits, _, _, length, _ in arrays)
    assert (flash["weights"], flash["weights"] + flash["parameters"]) == (weights, words)
    assert flash["layers"] == 120 * len(sizes) and flash["total"] == sum(flash.values()) - flash["total"]
    assert f"#define NETWORK_ARENA_BYTES {ram['arena']}\n" in header
    assert ram["total"] == ram["arena"] + 2048
    # Channels in fours: from 4 to 8 by 3 x 3 taps for 6 x 6 pixels, and so on.
    macs = {"stem": 36 * 6 * 6 * 8, "wide": 8 * 36 * 12, "deep": 9 * 36 * 12, "narrow": 12 * 36 * 8,
            "again": 72 * 36 * 8, "head": 8 * 8}  # fmt: skip
    assert {row["name"]: row["macs"] for row in report["layers"] if row["macs"]} == macs
    for title, name in (("INPUT", network.input), ("OUTPUT", network.output)):
        value = network.values[name]
        at = next(v["offset_bytes"] for v in report["values"] if v["name"] == name)
        assert f"value = {value.scale:.9g} * (code - {value.zero}) */\n#define NETWORK_{title} " in header
        assert f"#define NETWORK_{title} ((uint8_t *)network_arena + {at})\n" in header


def test_names_of_the_user_cannot_leave_a_comment() -> None:
    assert sources.plain('*/ int x; "\n') == "___int_x____"


# --- folders ----------------------------------------------------------------------------------------------------------

FILES = {"plan.json": '{"files": ["a.c", "plan.json"]}', "a.c": "int a;\n"}


def refused(where: Path, force: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        folders.write_folder(FILES, where, force=force)
    return str(caught.value)


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    where = Path("deep") / "net"
    assert [path.name for path in folders.write_folder(FILES, where, force=False)] == ["a.c", "plan.json"]
    assert refused(where) == (
        "[write] --out: got 'deep/net'; the folder must be empty, and holds a.c, plan.json. Name another folder, or "
        "replace an earlier deployment with --force."
    )
    folders.write_folder({**FILES, "a.c": "int b;\n"}, where, force=True)
    assert (where / "a.c").read_text() == "int b;\n"

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert refused(where, force=True).startswith(
        "[write] --out: got 'deep/net'; the files can't be written: No space left"
    )
    assert refused(Path("new") / "one").endswith("Name a folder that can be.")
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert refused(where / "a.c" / "in").endswith("a.c. Name a folder that can be written.")
    assert refused(Path("x" * 300)).endswith("File name too long. Name a folder that can be.")
    assert refused(Path("none") / ".." / "deep" / "net").startswith("[write] --out: got 'none/../deep/net'; the folder")
    assert (where / "a.c").read_text() == "int b;\n"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.c", "deep", "net", "plan.json"]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupt_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Ctrl-C while files are written, and before each of the two renames that put them in place."""
    where = tmp_path / "net"
    folders.write_folder(FILES, where, force=False)
    calls = iter(range(9))

    def interrupted(real: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            if next(calls) == at + 1:
                raise KeyboardInterrupt
            return real(*given, **named)

        return call

    monkeypatch.setattr(Path, "write_text", interrupted(Path.write_text))
    monkeypatch.setattr(Path, "rename", interrupted(Path.rename))
    with pytest.raises(KeyboardInterrupt):
        folders.write_folder({**FILES, "a.c": "int b;\n"}, where, force=True)
    assert (where / "a.c").read_text() == "int a;\n"
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_force_replaces_nothing_but_a_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    where = Path("net")
    where.mkdir()
    (where / "thesis.txt").write_text("years of work")
    rule = "--force replaces an earlier deployment and nothing else, and this holds thesis.txt. Name another folder."
    assert refused(where, force=True) == f"[write] --out: got 'net'; {rule}"
    for name, text in FILES.items():
        (where / name).write_text(text)
    assert refused(where, force=True) == f"[write] --out: got 'net'; {rule}"
    (where / "thesis.txt").unlink()
    (where / "libnetwork.a").write_text("built")
    folders.write_folder(FILES, where, force=True)
    assert not (where / "libnetwork.a").exists()
    Path("link").symlink_to(where)
    assert "must be a folder, and no link to one" in refused(Path("link"), force=True)
    with pytest.raises(ValueError, match="not a plain file name"):
        folders.write_folder({"../x": ""}, Path("other"), force=False)
    assert not Path("other").exists()


# --- parts and samples ------------------------------------------------------------------------------------------------


def test_parts_have_sizes_and_sources() -> None:
    found = parts.read_parts()
    assert found["stm32h743"].flash_bits == parse_integer("2 MiB", "flash_bits") == 8 * 2_097_152
    assert found["stm32h743"].ram_bits == 8 * 524_288
    assert all(part.source for part in found.values())


def test_a_table_of_parts_says_all_that_is_wrong(tmp_path: Path) -> None:
    table = tmp_path / "mine.yaml"
    table.write_text("parts:\n  a:\n    summary: mine\n    core: z80\n    flash: 3\n    ram: 64 KiB\n    clock: 8 MHz\n"
                     "    evidence: cited\n    source: me\n  b: 3\n")  # fmt: skip
    with pytest.raises(InputError) as caught:
        parts.read_parts(table)
    told = [(p.where.line, p.where.key) for p in caught.value.problems]
    assert told == [(4, "parts.a.core"), (5, "parts.a.flash"), (10, "parts.b")]


def test_samples_are_images_of_the_network(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    np.save(path, np.zeros((3, 1, 8, 8)))
    assert read_samples(path, (1, 8, 8)).shape == (3, 1, 8, 8)
    for array, rule in ((np.zeros((3, 8, 8, 1)), "samples have the shape (images, 1, 8, 8)"),
                        (np.full((1, 1, 8, 8), np.nan), "samples are numbers from -1e+30 to 1e+30"),
                        (np.full((1, 1, 8, 8), 1e300), "samples are numbers from -1e+30 to 1e+30"),
                        (np.zeros((0, 1, 8, 8)), "samples have the shape (images, 1, 8, 8)"),
                        (np.array(["a"]), "samples are one array of numbers")):  # fmt: skip
        np.save(path, array)
        with pytest.raises(InputError) as caught:
            read_samples(path, (1, 8, 8))
        assert rule in str(caught.value)
    path.write_bytes(b"no array")
    with pytest.raises(InputError, match="it is no array in NumPy's format"):
        read_samples(path, (1, 8, 8))


@pytest.mark.parametrize("images", ["1" + 12 * "0", "1" + 30 * "0", "-5", "(((((((1", "'a'"])
def test_a_header_that_lies_is_no_array(tmp_path: Path, images: str) -> None:
    """More images than there are, or than there is memory for; and what is no number of images."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({images}, 1, 8, 8), }}"
    path = tmp_path / "images.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + bytes([118, 0]) + header.ljust(117).encode() + b"\n")
    with pytest.raises(InputError, match="it is no array in NumPy's format"):
        read_samples(path, (1, 8, 8))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(InputError, match="it is no regular file"):
        read_samples(tmp_path / "pipe.npy", (1, 8, 8))


@pytest.mark.parametrize(("name", "told"), [("not_a_number", "samples are numbers"), ("no_images", "(0, 3, 12, 12)"),
                                            ("bad_weights", "[not-finite] stem.weight: ")])  # fmt: skip
def test_what_a_function_returns_is_looked_at(
    name: str, told: str, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(InputError) as caught:
        find_source(f"tests.deploy_target:{name}", None)
    assert told in str(caught.value)


# --- the command ------------------------------------------------------------------------------------------------------


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command(["deploy", *arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


TARGET = "tests.deploy_target:residual"


def test_the_command_writes_a_deployment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.chdir(root)
    where = tmp_path / "net"
    ask = ("-a", "mcu", "-w", TARGET, "--part", "stm32h743", "--out", str(where))
    code, out, err = command(capsys, *ask, "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["fits"] and document["part"]["name"] == "stm32h743" and document["notes"] == []
    assert sorted(path.name for path in where.iterdir()) == document["files"]
    assert document["written"] == [str(where / name) for name in document["files"]]
    assert json.loads((where / "plan.json").read_text())["layers"] == document["layers"]
    code, out, err = command(capsys, *ask)
    assert code == 2 and "the folder must be empty" in err and not out
    code, out, err = command(capsys, *ask, "--force", "--weights", "2")
    assert code == 0 and {row["weight_bits"] for row in json.loads((where / "plan.json").read_text())["layers"]} <= {
        2,
        None,
    }
    ram = document["ram_bytes"]["total"] - 100
    code, out, err = command(capsys, *ask, "--force", "--flash", "1 MiB", "--ram", str(ram), "--json")
    less = json.loads(out)
    assert (code, err) == (0, "") and less["ram_bytes"]["total"] <= ram == less["part"]["ram_bytes"]
    assert (
        min(row["output_bits"] for row in less["layers"]) < 8 == min(row["output_bits"] for row in document["layers"])
    )
    assert less["notes"] == ["1,048,576 bytes of flash are left to other code",
                             f"{512 * 1024 - ram:,} bytes of RAM are left to other code"]  # fmt: skip
    command(capsys, *ask, "--force", "--weights", "2")
    first = (where / "network.c").read_bytes()
    command(capsys, *ask, "--force", "--weights", "2")
    assert (where / "network.c").read_bytes() == first


def test_what_cannot_be_deployed_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.chdir(root)
    tiny = tmp_path / "tiny.yaml"
    tiny.write_text("parts:\n  tiny:\n    summary: a part with little RAM\n    core: cortex-m4\n    flash: 64 KiB\n"
                    "    ram: 2.5 KiB\n    clock: 8 MHz\n    evidence: recalled\n    source: a test\n")  # fmt: skip
    where = tmp_path / "net"

    def told(accelerator: str, network: str, part: str, *more: str) -> tuple[int, str]:
        code, _, err = command(capsys, "-a", accelerator, "-w", network, "--part", part, "--out", str(where), *more)
        assert not where.exists()
        return code, err

    assert told("optimus", TARGET, "x") == (
        2,
        "error: [accelerator] --accelerator: got 'optimus'; networks can be deployed to: mcu. Name one of these.\n",
    )
    assert told("mcu", TARGET, "stm32h74")[1].startswith(
        "error: [part] --part: got 'stm32h74'; no such part is known. Did you mean stm32h743? There are stm32h743, "
    )
    assert told("mcu", "nowhere.json", "stm32h743")[1].startswith(
        "error: [unknown-name] --workload: got 'nowhere.json'; this is neither a shipped workload nor MODULE:FUNCTION."
    )
    assert told("mcu", "tests.deploy_target:sigmoid", "stm32h743")[1].startswith(
        "error: [unsupported] sigmoid: got 'sigmoid'; a quantized network is made of "
    )
    assert told("mcu", TARGET, "stm32h743", "--ram", "1 MiB") == (
        2,
        "error: [range] --ram: got '1048576 bytes'; stm32h743 has 524288 bytes. Give at most that, or take a larger "
        "part.\n",
    )
    code, err = told("mcu", TARGET, "stm32h743", "--ram", "2 KiB")
    assert code == 1 and err.startswith("error: does not fit RAM: ")
    code, err = told("mcu", TARGET, "tiny", "--parts", str(tiny))
    assert code == 1
    assert err.startswith(
        "error: does not fit RAM: 208 bytes too many for stem with its input at 8 bits and its output "
    )
