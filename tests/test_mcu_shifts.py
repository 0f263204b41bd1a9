"""Networks in powers of two on microcontrollers: trained, deployed and run, priced, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from accelerators.mcu import toolchain
from accelerators.mcu.deploy import binding, deployer, emulation, parts
from accelerators.mcu.deploy.deployer import image_of
from accelerators.mcu.kernels import Scheme
from accelerators.mcu.toolchain import Isa
from hwsim.cli import run_command
from hwsim.deploy import folder as folders
from hwsim.errors import InputError
from hwsim.quant import assign, formats
from hwsim.quant.assign import Bits
from hwsim.quant.chain import Kind
from hwsim.quant.infer import infer, quantize_input
from hwsim.quant.network import Network, Product
from hwsim.quant.tqt import Shifts
from hwsim.quant.training.convert import convert
from hwsim.quant.training.power_of_two import LARGEST_SUM, PowerOfTwoLayer, prepare_power_of_two
from hwsim.quant.training.quantizers import TqtQuantizer, best_bin
from hwsim.quant.training.train import accuracy, train
from hwsim.simulate import run

ROOT = Path(__file__).parent.parent
COMPILERS = {target.compiler for target in toolchain.TARGETS.values()}
compiled = pytest.mark.skipif(
    any(shutil.which(name) is None for name in COMPILERS), reason=f"needs {' and '.join(sorted(COMPILERS))}"
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """scikit-learn's digits of 8 x 8 pixels; for accuracy at 28 x 28 see docs/quantization.md."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.images / 16.0, dtype=torch.float32)[:, None], torch.tensor(data.target)


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A convolution, a depthwise and a pointwise layer, both pools, a layer without a ReLU and a classifier."""
    torch.manual_seed(0)
    images, labels = digits()
    net = nn.Sequential(
        nn.Conv2d(1, 10, 3, padding=1, bias=False), nn.BatchNorm2d(10), nn.ReLU(),
        nn.Conv2d(10, 10, 3, 1, 1, groups=10, bias=False), nn.BatchNorm2d(10), nn.ReLU6(), nn.MaxPool2d(2),
        nn.Conv2d(10, 14, 1), nn.Conv2d(14, 24, 3, 2, 1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip
    train(net.train(), images[:1200], labels[:1200], epochs=15, rate=5e-3, seed=0)
    assert accuracy(net.eval(), images[1200:], labels[1200:]) > 0.9
    return net, images, labels


def deployed(network: Network, codes: Any, where: Path, isas: tuple[Isa, ...]) -> None:
    """Write the sources once, compile and run them, and hold every word of the output to the golden one."""
    image = image_of(network, isas[0])
    found = deployer.deployment(image, network, parts.find_part("stm32h743"), codes)
    folders.write_folder(found.files, where, force=False)
    out = next(v for v in found.report["values"] if v["name"] == network.output)
    wanted = infer(image.network, binding.fill(network.values[network.input], codes)[None])[0]
    assert np.array_equal(wanted[..., : network.values[network.output].shape[2]], infer(network, codes[None])[0])
    for isa in isas:
        outcome = emulation.run_program(where, isa, (out["offset_bytes"], out["bytes"]))
        assert outcome.wrong == 0
        assert outcome.output == formats.pack(wanted, out["bits"]).tobytes()


@compiled
@pytest.mark.parametrize(("weights", "values"), [(8, 8), (4, 8), (4, 4), (2, 4)])
def test_a_network_trained_in_powers_of_two_word_for_word(
    weights: int, values: int, trained: Any, tmp_path: Path
) -> None:
    net, images, labels = trained
    bits = Bits((8, *(weights,) * 3, 8), (8, *(values,) * 4, 8))
    chain = prepare_power_of_two(net, bits, images[:256])
    train(chain, images[:1200], labels[:1200], epochs=3, rate=2e-3, seed=0, threshold_rate=0.009)
    network = convert(chain, (1, 8, 8), "digits")
    assert all(isinstance(layer.requantization, Shifts) for layer in network.layers if isinstance(layer, Product))
    codes = quantize_input(network, images[1200:].numpy().transpose(0, 2, 3, 1))
    outputs = infer(network, codes)[:, 0, 0]
    with torch.no_grad():
        graph = chain.double()(images[1200:].double()).flatten(1).numpy()
    out = network.values[network.output]
    assert np.array_equal((outputs - out.zero) * out.scale, graph)
    share = float((outputs.argmax(axis=1) == labels[1200:].numpy()).mean())
    assert share > (0.9 if weights > 2 else 0.6)
    deployed(network, codes[weights + values], tmp_path / "net", (Isa.ARMV7EM, Isa.RV32IM))
    if (weights, values) == (4, 4):
        deployed(network, codes[0], tmp_path / "xpulp", (Isa.XPULP,))
    print(f"{weights}-bit weights, {values}-bit values: equal to the graph on {len(codes)} digits, word for word on "
          f"2 instruction sets; {100 * share:.1f} %")  # fmt: skip


def test_signed_inputs_keep_their_sign(trained: Any) -> None:
    net, images, _ = trained
    chain = prepare_power_of_two(net, Bits((8,) * 5, (8,) * 6), images[:64] - 0.5)
    network = convert(chain, (1, 8, 8))
    assert network.values["input"].zero == 128 and network.values[network.output].zero == 128
    codes = quantize_input(network, (images[:9] - 0.5).numpy().transpose(0, 2, 3, 1))
    steps = np.rint((images[:9, 0].numpy() - 0.5) / network.values["input"].scale)
    assert np.array_equal(codes[..., 0], np.clip(steps + 128, 0, 255))
    with torch.no_grad():
        graph = chain.double()((images[:9] - 0.5).double()).flatten(1).numpy()
    out = network.values[network.output]
    assert np.array_equal((infer(network, codes)[:, 0, 0] - out.zero) * out.scale, graph)


def test_the_first_threshold_lies_in_the_bin_with_the_least_error() -> None:
    """Against every bin, by the formula in numpy."""
    torch.manual_seed(1)
    for scale in (0.02, 1.0, 50.0):
        values = scale * torch.randn(400)
        for bits in (8, 4, 2):
            errors = {}
            for e in range(-16, 9):
                step = 2.0 ** (e - bits + 1)
                codes = np.clip(
                    np.rint(values.numpy().astype(np.float64) / step), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
                )
                errors[e] = float(((step * codes - values.numpy()) ** 2).sum())
            assert best_bin(values, bits, signed=True) == min(errors, key=errors.__getitem__)
    assert best_bin(torch.zeros(3), 8, signed=False) == 0


# --- what is refused --------------------------------------------------------------------------------------------------


class Sums(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.first(x))
        return self.second(y) + y


def test_what_is_no_chain_of_products_and_pools_is_refused() -> None:
    with pytest.raises(InputError, match="got 'a sum'; networks in powers of two are chains"):
        prepare_power_of_two(Sums(), Bits((8, 8), (8, 8, 8, 8)), torch.rand(2, 1, 4, 4))
    clamped = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Hardtanh(-2.0, 3.0))
    with pytest.raises(InputError, match="got 'Hardtanh'; a Hardtanh has a range, which a trained threshold changes"):
        prepare_power_of_two(clamped, Bits((8,), (8, 8)), torch.rand(2, 1, 4, 4))


def test_sums_too_large_for_the_kernels_are_refused() -> None:
    inputs = LARGEST_SUM // (255 * 127) + 1
    layer = nn.Linear(inputs, 1, bias=False)
    layer.weight.data.fill_(127 / 128)
    source, outputs = TqtQuantizer(8, signed=False), TqtQuantizer(8, signed=False)
    with pytest.raises(InputError, match="sums stay below"):
        PowerOfTwoLayer("wide", layer, source, 8, outputs).shifts()
    narrow = nn.Linear(inputs - 1, 1, bias=False)
    narrow.weight.data.fill_(127 / 128)
    assert PowerOfTwoLayer("wide", narrow, source, 8, outputs).shifts().to_16 == 15


def test_shifts_that_no_kernel_has_are_refused(trained: Any) -> None:
    net, images, _ = trained
    network = convert(prepare_power_of_two(net, Bits((8,) * 5, (8,) * 6), images[:64]), (1, 8, 8))
    first, *others = binding.filled(network).layers
    for shifts, zero in ((Shifts(17, np.zeros(12, np.int64), 0), np.array([128])),
                         (Shifts(3, np.zeros(12, np.int64), 0), np.arange(12))):  # fmt: skip
        bent = replace(first, requantization=shifts, weight_zero=zero)
        with pytest.raises(InputError, match="no kernel computes this layer"):
            binding.bind(replace(binding.filled(network), layers=(bent, *others)))


# --- what it takes ----------------------------------------------------------------------------------------------------


def test_flash_of_a_layer_in_powers_of_two() -> None:
    """16 bits of bias a channel and two shifts."""
    layer = assign.Layer("pw", Kind.POINTWISE, 64 * 32, 32 * 100, 64 * 100, 64, 64 * 32 * 100)
    for last in (False, True):
        bits = assign.layer_flash_bits(layer, assign.Scheme.TQT, 4, 8, last=last)
        assert bits == 8 * (64 * 32 // 2 + 2 * 64 + 2)


@pytest.mark.parametrize("design", ["stm32h7", "ibex", "picorv32", "cv32e40p"])
def test_networks_in_powers_of_two_are_priced_as_documented(design: str) -> None:
    """Two roundings take longer than one long product."""
    results = {scaling: run(design, "mobilenet-v1-0.25-160", overrides=(f"scaling={scaling}",), interval=False)
               for scaling in ("pl", "pc", "tqt")}  # fmt: skip
    assert len(results["tqt"].layers) == len(results["pl"].layers)
    times_s = {scaling: result.latency_s.value for scaling, result in results.items()}
    cells = [f"{1e3 * s:,.0f} ms" for s in times_s.values()] + [f"{times_s['tqt'] / times_s['pl']:.2f}"]
    assert f"| {design} | {' | '.join(cells)} |" in (ROOT / "docs" / "microcontrollers.md").read_text(encoding="utf-8")
    assert times_s["tqt"] > times_s["pl"]


def test_a_network_in_powers_of_two_is_deployed_by_the_command(tmp_path: Path, capsys: Any) -> None:
    where = tmp_path / "out"
    ask = ["deploy", "-a", "mcu", "-w", "mobilenet-v1-0.25-128", "--part", "stm32h743", "--scheme", "tqt"]
    assert run_command([*ask, "--out", str(where)]) == 0
    capsys.readouterr()
    text = (where / "network.c").read_text()
    assert text.count(f"_{Scheme.SHIFTS.name.lower()}(&layers[") == 28 and ".offsets" not in text
    assert run_command([*ask[:4], "efficientnet-lite0", *ask[5:], "--out", str(tmp_path / "other")]) == 2
    assert "got 'a sum'; networks in powers of two are chains" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
