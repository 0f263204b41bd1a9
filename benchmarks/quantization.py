"""Accuracy against bit width on real digits: `python -m benchmarks.quantization [--seeds N]` prints the table of
docs/quantization.md.

scikit-learn's 1,797 handwritten digits of 8 x 8 pixels (UCI "Optical Recognition of Handwritten Digits", test part),
500 held out. A network of MobileNet's kind is trained in float, then quantized and trained on; accuracies are those of
the integer network, whose golden function runs on the held-out digits.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.quant.assign import Bits
from hwsim.quant.infer import infer, quantize_input
from hwsim.quant.network import Network, Product
from hwsim.quant.thresholds import Thresholds
from hwsim.quant.training.blocks import Recipe
from hwsim.quant.training.convert import convert, with_thresholds
from hwsim.quant.training.prepare import QuantizedNetwork, prepare
from hwsim.quant.training.train import accuracy, train

HELD_OUT = 500
SHAPE = (1, 8, 8)
LAYERS = 6
WIDTHS = (8, 4, 2)


@dataclass(frozen=True)
class Digits:
    """Images (batch x 1 x 8 x 8, from 0 to 1) and labels, to train with and held out."""

    images: Tensor
    labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor


def digits() -> Digits:
    """The data, split once for all seeds."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.tensor(data.images / 16.0, dtype=torch.float32)[:, None]
    labels = torch.tensor(data.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    kept, out = order[HELD_OUT:], order[:HELD_OUT]
    return Digits(images[kept], labels[kept], images[out], labels[out])


def network(seed: int) -> nn.Sequential:
    """A convolution, two depth-wise separable blocks, a mean over the image and a classifier: 3,776 weights."""
    torch.manual_seed(seed)

    def unit(inside: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        conv = nn.Conv2d(inside, out, size, stride, size // 2, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())

    return nn.Sequential(
        unit(1, 16, 3), unit(16, 16, 3, groups=16), unit(16, 32, 1), unit(32, 32, 3, 2, 32), unit(32, 64, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def trained(seed: int, data: Digits, epochs: int) -> nn.Sequential:
    """The network in float, trained."""
    net = network(seed)
    train(net.train(), data.images, data.labels, epochs=epochs, rate=5e-3, seed=seed)
    return net.eval()


def quantized(net: nn.Module, width: int, recipe: Recipe, data: Digits) -> QuantizedNetwork:
    """The network with all weights and all values between layers at `width` bits; input and output keep 8."""
    bits = Bits((width,) * LAYERS, (8, *(width,) * (LAYERS - 1), 8))
    return prepare(net, bits, recipe, data.images[:256])


def integer_accuracy(found: Network, data: Digits) -> float:
    """Accuracy of an integer network on the held-out digits."""
    codes = quantize_input(found, data.held_out.numpy().transpose(0, 2, 3, 1).astype(np.float64))
    chosen = infer(found, codes).reshape(len(codes), -1).argmax(axis=1)
    return float((chosen == data.held_out_labels.numpy()).mean())


def clipped(found: Network) -> tuple[int, int]:
    """Thresholds that 16 bits cannot hold, and thresholds in all."""
    layers = [layer.requantization for layer in found.layers if isinstance(layer, Product)]
    tables = [layer for layer in layers if isinstance(layer, Thresholds)]
    return sum(layer.clipped for layer in tables), sum(layer.table.size for layer in tables)


@dataclass(frozen=True)
class Score:
    """One trained network: accuracy before training with quantizers, of the torch graph after it, in integers."""

    width: int
    recipe: Recipe
    untrained: float
    fake: float
    integer: float
    thresholds: float | None
    clipped: tuple[int, int] | None


def score(net: nn.Module, width: int, recipe: Recipe, data: Digits, epochs: int, seed: int) -> Score:
    """Quantize, train on, convert, and run in integers."""
    chain = quantized(net, width, recipe, data)
    untrained = integer_accuracy(convert(chain, SHAPE), data)
    train(chain, data.images, data.labels, epochs=epochs, rate=2e-3, seed=seed)
    # In float32 the sums of the graph round; in float64 they give the codes of the integer network.
    fake = accuracy(chain.double(), data.held_out.double(), data.held_out_labels)
    found = convert(chain, SHAPE)
    other = with_thresholds(found) if width < 8 and recipe is not Recipe.PL_FB else None
    return Score(width, recipe, untrained, fake, integer_accuracy(found, data),
                 integer_accuracy(other, data) if other else None, clipped(other) if other else None)  # fmt: skip


def scores(seed: int, data: Digits, net: nn.Module, epochs: int) -> Iterator[Score]:
    """Every width and recipe for one seed."""
    for width in WIDTHS:
        for recipe in Recipe:
            yield score(net, width, recipe, data, epochs, seed)


def _spread(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def _row(found: list[Score]) -> str:
    first = found[0]
    cells = [_spread([s.untrained for s in found]), _spread([s.fake for s in found]),
             _spread([s.integer for s in found])]  # fmt: skip
    by_thresholds = [s.thresholds for s in found if s.thresholds is not None]
    cells.append(_spread(by_thresholds) if by_thresholds else "-")
    lost = [s.clipped for s in found if s.clipped is not None]
    cells.append(f"{sum(a for a, _ in lost)} of {sum(b for _, b in lost)}" if lost else "-")
    return f"| {first.width} | {first.recipe.value} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--float-epochs", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = digits()
    rows: dict[tuple[int, Recipe], list[Score]] = {}
    plain = []
    for seed in range(arguments.seeds):
        net = trained(seed, data, arguments.float_epochs)
        plain.append(accuracy(net, data.held_out, data.held_out_labels))
        for found in scores(seed, data, net, arguments.epochs):
            rows.setdefault((found.width, found.recipe), []).append(found)
    print(f"float: {_spread(plain)} ({arguments.seeds} seeds)")
    print("| bits | scheme | not trained on | fake-quantized | integers, ICN | integers, thresholds | beyond 16 bits |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for found in rows.values():
        print(_row(found))


if __name__ == "__main__":
    main()
