"""Power-of-two quantizers with trained thresholds: forward, gradients, training, and layers that rescale by shifts."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from hwsim.quant import tqt
from hwsim.quant.chain import Kind
from hwsim.quant.formats import code_range
from hwsim.quant.infer import infer

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from hwsim.quant.training.convert import convert  # noqa: E402
from hwsim.quant.training.power_of_two import PowerOfTwoLayer  # noqa: E402
from hwsim.quant.training.prepare import QuantizedNetwork  # noqa: E402
from hwsim.quant.training.quantizers import Tqt, TqtQuantizer  # noqa: E402

torch.set_num_threads(1)
FORMATS = [(bits, signed) for bits in (8, 4, 2) for signed in (True, False)]


def slow(x: float, log2_threshold: float, bits: int, signed: bool) -> float:
    """The quantizer in exact fractions."""
    scale = Fraction(2) ** (math.ceil(log2_threshold) - (bits - 1 if signed else bits))
    low, high = code_range(bits, signed=signed)
    return float(scale * min(max(round(Fraction(x) / scale), low), high))


def torch_quantized(x: object, log2_threshold: float, bits: int, signed: bool) -> tuple[object, object, object]:
    """Values and both gradients, with an upstream gradient of 1."""
    values = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor(log2_threshold, dtype=torch.float64, requires_grad=True)
    found = Tqt.apply(values, threshold, bits, signed)
    found.sum().backward()
    return found.detach().numpy(), values.grad.numpy(), threshold.grad.numpy()


@pytest.mark.parametrize(("bits", "signed"), FORMATS)
def test_forward_on_a_grid(bits: int, signed: bool) -> None:
    """A threshold of exactly a power of two, and just above it, where the scale doubles."""
    grid = [i / 64 for i in range(-320, 321)]
    for exponent in (-1, 0, 1):
        for log2_threshold in (float(exponent), exponent + 1e-9):
            wanted = [slow(x, log2_threshold, bits, signed) for x in grid]
            assert tqt.quantized(grid, log2_threshold, bits, signed=signed).tolist() == wanted
            assert torch_quantized(grid, log2_threshold, bits, signed)[0].tolist() == wanted
    at, above = (tqt.exponent(t, bits, signed=signed) for t in (1.0, 1.0 + 1e-9))
    assert above == at + 1
    print(f"{bits} bits: {6 * len(grid)} values exact")


@pytest.mark.parametrize(("bits", "signed"), FORMATS)
def test_gradients_are_the_papers_equations(bits: int, signed: bool) -> None:
    """Equations 7 and 8, written out value by value."""
    rng = np.random.default_rng(bits)
    low, high = code_range(bits, signed=signed)
    for log2_threshold in (0.0, 0.3, -2.0, 1.7):
        values = rng.normal(size=400) * 2.0**log2_threshold
        scale = 2.0 ** (math.ceil(log2_threshold) - (bits - 1 if signed else bits))
        of_x, of_threshold = [], []
        for x in values:
            r = round(x / scale)
            inside = low <= r <= high
            of_x.append(1.0 if inside else 0.0)
            of_threshold.append(scale * math.log(2) * (r - x / scale if inside else low if r < low else high))
        _, by_x, by_threshold = torch_quantized(values, log2_threshold, bits, signed)
        assert by_x.tolist() == of_x
        assert by_threshold == pytest.approx(sum(of_threshold), rel=1e-12)
        plain = tqt.gradients(values, log2_threshold, bits, signed=signed)
        assert plain[0].tolist() == of_x
        assert plain[1] == pytest.approx(of_threshold, rel=1e-12)


@pytest.mark.parametrize(("bits", "signed"), FORMATS)
def test_gradients_are_finite_differences(bits: int, signed: bool) -> None:
    """Of the function that the equations differentiate: s = 2^(log2 t) without ceiling, round(u) = u + its error here.

    Where a value is clipped the quantizer itself is that function, and no error is held fixed.
    """
    rng = np.random.default_rng(bits + 10)
    low, high = code_range(bits, signed=signed)
    step, checked = 1e-6, 0
    for x in rng.normal(size=200) * 1.5:
        steps = x / 2.0 ** tqt.exponent(0.0, bits, signed=signed)
        error = np.rint(steps) - steps
        if min(abs(steps - low), abs(steps - high)) < 0.51:
            continue

        def smooth(value: float, log2_threshold: float, held: float = float(error)) -> float:
            scale = 2.0 ** (log2_threshold - (bits - 1 if signed else bits))
            return float(scale * np.clip(value / scale + held, low, high))

        _, by_x, by_threshold = torch_quantized([x], 0.0, bits, signed)
        wanted_x = (smooth(x + step, 0) - smooth(x - step, 0)) / (2 * step)
        wanted_threshold = (smooth(x, step) - smooth(x, -step)) / (2 * step)
        assert by_x[0] == pytest.approx(wanted_x, abs=1e-8)
        assert float(by_threshold) == pytest.approx(wanted_threshold, abs=1e-8)
        checked += 1
    assert checked > 50
    print(f"{bits} bits: {checked} derivatives")


@pytest.mark.parametrize(("bits", "signed"), FORMATS)
def test_gradients_are_multiplied_by_the_upstream_one_and_summed(bits: int, signed: bool) -> None:
    rng = np.random.default_rng(bits + 20)
    x, up = rng.normal(size=(3, 4, 50)), rng.normal(size=(3, 4, 50))
    values, threshold = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, 0.3))
    Tqt.apply(values, threshold, bits, signed).backward(torch.tensor(up))
    of_x, of_threshold = tqt.gradients(x, 0.3, bits, signed=signed)
    assert values.grad.numpy() == pytest.approx(up * of_x, abs=0)
    assert float(threshold.grad) == pytest.approx(float((up * of_threshold).sum()), rel=1e-12)


def test_gradients_of_a_layer_are_those_of_its_three_quantizers() -> None:
    """By the chain rule in numpy: q16 lets gradients pass, and adds no threshold of its own."""
    torch.manual_seed(3)
    source, outputs = TqtQuantizer(8, signed=False, start=1.0), TqtQuantizer(4, signed=False, start=0.9)
    layer = PowerOfTwoLayer("layer", nn.Linear(6, 4).double(), source, 4, outputs).double()
    x, up = torch.randint(0, 256, (40, 6)).double() / 256, torch.randn(40, 4).double()
    layer(x).backward(up)
    weight, bias = (p.detach().numpy() for p in (layer.layer.weight, layer.layer.bias))
    of_weight, of_weight_t = tqt.gradients(weight, layer.weights.log2_threshold.item(), 4, signed=True)
    step = 2.0 ** layer.middle_exponent()
    quantized = tqt.quantized(weight, layer.weights.log2_threshold.item(), 4, signed=True)
    sums = step * (np.rint(x.numpy() @ quantized.T / step) + np.rint(bias / step))
    of_sum, of_output_t = tqt.gradients(sums, outputs.log2_threshold.item(), 4, signed=False)
    inner = up.numpy() * of_sum
    assert 0.1 < of_sum.mean() < 1 and 0 < of_weight.mean() <= 1
    assert layer.layer.bias.grad.numpy() == pytest.approx(inner.sum(axis=0), rel=1e-12)
    assert layer.layer.weight.grad.numpy() == pytest.approx(inner.T @ x.numpy() * of_weight, rel=1e-12)
    at_weights = float((inner.T @ x.numpy() * of_weight_t).sum())
    assert float(layer.weights.log2_threshold.grad) == pytest.approx(at_weights, rel=1e-10)
    at_outputs = float((up.numpy() * of_output_t).sum())
    assert float(outputs.log2_threshold.grad) == pytest.approx(at_outputs, rel=1e-10)


def test_signs_of_the_threshold_gradient() -> None:
    """In range it has the sign of r - x/s; outside it is n or p times s ln2."""
    bits, scale = 4, 2.0**-3
    for x in (0.3, 0.32, -0.31, -0.44, 0.7):
        steps = x / scale
        gradient = float(torch_quantized([x], 0.0, bits, True)[2])
        assert math.copysign(1, gradient) == math.copysign(1, round(steps) - steps)
    assert float(torch_quantized([5.0], 0.0, bits, True)[2]) == 7 * scale * math.log(2)
    assert float(torch_quantized([-5.0], 0.0, bits, True)[2]) == -8 * scale * math.log(2)


@pytest.mark.parametrize("bits", [8, 4, 3])
@pytest.mark.parametrize("sigma", [0.01, 1.0, 100.0])
def test_a_trained_threshold_settles_in_the_best_bin(bits: int, sigma: float) -> None:
    """Gaussian values, squared error, Adam with the rates that the paper's guideline gives, from both sides.

    The equations push a threshold up in every bin below some power of two and down in every bin above it, so it comes
    to rest there; one of the two bins that meet in it is the one with the least error of all.
    """
    torch.manual_seed(bits)
    sample = sigma * torch.randn(500)
    pushes, errors = {}, {}
    for e in range(-12, 12):
        off = tqt.quantized(sample.numpy(), e, bits, signed=True) - sample.double().numpy()
        errors[e] = float((off**2).sum())
        pushes[e] = float((off * tqt.gradients(sample.numpy(), e, bits, signed=True)[1]).sum())
    [rest] = [e for e in range(-12, 11) if pushes[e] < 0 < pushes[e + 1]]
    assert min(errors, key=errors.__getitem__) in (rest, rest + 1)
    largest = 2 ** (bits - 1) - 1
    rate, decay = 0.1 / math.sqrt(largest), 1 - 0.1 / largest
    for start in (rest - 1.5, rest + 1.5):
        quantizer = TqtQuantizer(bits, signed=True, start=2.0**start)
        optimizer = torch.optim.Adam(quantizer.parameters(), lr=rate, betas=(0.9, decay))
        for _ in range(int(4 / rate + 1 / (1 - decay))):
            optimizer.zero_grad()
            ((quantizer(sample) - sample) ** 2).mean().div(sigma**2).backward()
            optimizer.step()
        assert abs(float(quantizer.log2_threshold.detach()) - rest) < 0.2, (start, rest)


# --- shifts -----------------------------------------------------------------------------------------------------


def test_shifts_round_halves_to_even() -> None:
    values = np.arange(-600, 600)
    for right in range(-2, 9):
        wanted = [round(Fraction(int(v)) / Fraction(2) ** right) for v in values]
        assert tqt.shifted(values, right).tolist() == wanted


def quantizer_of(bits: int, kind: Kind) -> TqtQuantizer:
    """Unsigned for convolutions and pointwise layers, signed for the others; a threshold that clips some values."""
    return TqtQuantizer(bits, signed=kind in (Kind.DEPTHWISE, Kind.LINEAR), start=0.7)


def layer_of(kind: Kind) -> tuple[nn.Module, tuple[int, int, int], Kind]:
    if kind is Kind.LINEAR:
        return nn.Linear(37, 11), (1, 1, 37), kind
    if kind is Kind.DEPTHWISE:
        return nn.Conv2d(5, 5, 3, 2, 1, groups=5), (7, 6, 5), kind
    return nn.Conv2d(5, 7, 3 if kind is Kind.CONV else 1, 1, 1 if kind is Kind.CONV else 0), (7, 6, 5), kind


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
def test_shift_layers_are_their_fake_quantized_graph(kind: Kind) -> None:
    """Exact in float64: scales are powers of two, codes have at most 8 bits, sums far fewer than 53."""
    cases = 0
    for input_bits in (8, 4, 2):
        for weight_bits in (8, 4, 2):
            for output_bits in (8, 4, 2):
                torch.manual_seed(100 * input_bits + 10 * weight_bits + output_bits)
                layer, shape, _ = layer_of(kind)
                source, outputs = quantizer_of(input_bits, kind), quantizer_of(output_bits, kind)
                padding = (1, 1, 1, 1) if kind in (Kind.CONV, Kind.DEPTHWISE) else (0, 0, 0, 0)
                part = PowerOfTwoLayer("layer", layer.double(), source, weight_bits, outputs, padding)
                codes = torch.randint(0, 2**input_bits, (3, *shape))
                real = source.format()[0] * (codes.double() - source.zero)
                flat = real.reshape(3, -1) if kind is Kind.LINEAR else real.permute(0, 3, 1, 2)
                with torch.no_grad():
                    wanted = part(flat)
                wanted = wanted.reshape(3, -1, 1, 1) if kind is Kind.LINEAR else wanted
                wanted = wanted.permute(0, 2, 3, 1)
                network = convert(QuantizedNetwork(source, [part]), (shape[2], *shape[:2]))
                value = network.values["layer"]
                assert np.array_equal((infer(network, codes.numpy()) - value.zero) * value.scale, wanted.numpy())
                cases += len(np.unique(wanted)) > 1
    assert cases >= 24
    print(f"{kind.value}: 27 combinations of widths, rescaled by shifts, equal")


def test_the_sixteen_bit_scale_is_the_finest_that_holds_every_sum() -> None:
    """The largest sum, of the worst input, takes 16 bits with its sign; on half the scale it would not."""
    shifts = set()
    for case in range(60):
        torch.manual_seed(case)
        source = TqtQuantizer((8, 4, 2)[case % 3], signed=case % 2 == 0, start=1.0)
        layer = nn.Linear(2 ** (case // 6), 3).double()
        part = PowerOfTwoLayer("layer", layer, source, (8, 4, 2)[case // 3 % 3], source)
        farthest = max(source.zero, 2**source.bits - 1 - source.zero)
        largest = int(np.abs(part.weight_codes()).sum(axis=1).max()) * farthest
        right = part.shifts().to_16
        assert largest >> right < 2**15
        assert tqt.shifted(np.array([largest]), right) <= 2**15
        assert right == 0 or largest >> right - 1 >= 2**15
        shifts.add(right)
    assert len(shifts) > 5


def test_shift_layers_learn() -> None:
    torch.manual_seed(0)
    source, outputs = TqtQuantizer(8, signed=False, start=1.0), TqtQuantizer(4, signed=False, start=1.0)
    layer = PowerOfTwoLayer("layer", nn.Linear(6, 4), source, 4, outputs)
    inputs = torch.randint(0, 256, (64, 6)) / 256
    wanted = torch.relu(inputs @ torch.randn(6, 4) * 0.5)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = ((layer(inputs) - wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-20:]) < losses[0] / 3
