"""Training with quantizers in place, on real digits; the full table is benchmarks/quantization.py's."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hwsim.quant.infer import infer_all, quantize_input

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from hwsim.quant.training import quantizers as q  # noqa: E402
from hwsim.quant.training.blocks import Recipe  # noqa: E402
from hwsim.quant.training.convert import convert  # noqa: E402
from hwsim.quant.training.train import accuracy, train  # noqa: E402

torch.set_num_threads(1)


def load_benchmark() -> ModuleType:
    path = Path(__file__).parent.parent / "benchmarks" / "quantization.py"
    spec = importlib.util.spec_from_file_location("benchmark_quantization", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


benchmark = load_benchmark()


@pytest.fixture(scope="module")
def data() -> Any:
    return benchmark.digits()


@pytest.fixture(scope="module")
def net(data: Any) -> Any:
    return benchmark.trained(0, data, epochs=8)


def test_the_network_learns_in_float(net: Any, data: Any) -> None:
    found = accuracy(net, data.held_out, data.held_out_labels)
    print(f"float: {100 * found:.1f} % of {len(data.held_out)} digits")
    assert found > 0.95


@pytest.mark.parametrize("recipe", Recipe, ids=lambda recipe: recipe.value)
@pytest.mark.parametrize("width", [8, 4])
def test_training_makes_up_for_few_bits(net: Any, data: Any, width: int, recipe: Recipe) -> None:
    found = benchmark.score(net, width, recipe, data, 3, seed=0)
    print(f"{width} bits, {recipe.value}: {100 * found.untrained:.1f} %, trained {100 * found.integer:.1f} %")
    assert found.integer > (0.95 if width == 8 else 0.9)
    assert found.integer >= found.untrained - 0.01
    assert abs(found.integer - found.fake) < 0.005
    if found.thresholds is not None:
        assert found.clipped == (0, 4800 // 2) and found.thresholds == found.integer


def test_a_trained_network_is_its_graph_in_float64_to_the_bit(net: Any, data: Any) -> None:
    """Every layer but the last: its largest outputs are where a clip starts, and rounding M there may move a code."""
    chain = benchmark.quantized(net, 4, Recipe.PC_ICN, data)
    train(chain, data.images, data.labels, epochs=1, rate=2e-3, seed=0)
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
            assert not off.any() if part is not chain.parts[-1] else off.max() <= 1 and off.mean() < 0.002
            equal += int((off == 0).sum())
    print(f"{equal} codes of {len(found.layers)} layers equal")


def test_training_leaves_the_given_network_alone(net: Any, data: Any) -> None:
    before = copy.deepcopy(net.state_dict())
    chain = benchmark.quantized(net, 4, Recipe.PL_FB, data)
    train(chain, data.images[:64], data.labels[:64], epochs=1, rate=1e-2, seed=0)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


def test_training_is_deterministic(net: Any, data: Any) -> None:
    runs = []
    for _ in range(2):
        chain = benchmark.quantized(net, 4, Recipe.PC_ICN, data)
        train(chain, data.images[:256], data.labels[:256], epochs=1, rate=1e-3, seed=3)
        runs.append(chain.state_dict())
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])


# --- the quantizers' gradients ----------------------------------------------------------------------------------


def test_gradients_of_pact() -> None:
    """A value's gradient passes inside the clips and goes to the clip outside them."""
    z = torch.tensor([-2.0, -0.5, 0.25, 0.75, 3.0, 4.0], dtype=torch.float64, requires_grad=True)
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
