"""Networks for the circuit: random graphs of look-up tables and random PoET-BiN classifiers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hwsim.netlist.netlist import Lut, Netlist

Rng = np.random.Generator
SHARES_OF_ONES = (0.1, 0.3, 0.5, 0.5, 0.7, 0.9)


def packed(bits: npt.ArrayLike) -> int:
    """Bits as a number, the first the least significant."""
    return int.from_bytes(np.packbits(np.asarray(bits, np.uint8), bitorder="little").tobytes(), "little")


def random_table(rng: Rng, pins: int) -> int:
    """A table whose entries are 1 with a probability of its own, from rarely to nearly always."""
    return packed(rng.random(1 << pins) < rng.choice(SHARES_OF_ONES))


# --- graphs -----------------------------------------------------------------------------------------------------


def graph(rng: Rng, inputs: int, pins: int, outputs: int, depth: int, widest: int = 24) -> Netlist:
    """A random network of exactly `depth` levels: look-up tables of 1 to `pins` pins, each with one on the level below
    and others anywhere, now and then the same signal twice; some reach no output, and an output may be a constant."""
    luts: list[Lut] = []
    below = range(inputs)
    for _ in range(depth):
        first, count = inputs + len(luts), int(rng.integers(1, widest))
        luts += [_lut(rng, below, first, int(rng.integers(1, pins + 1))) for _ in range(count)]
        below = range(first, first + count)
    signals = [int(s) for s in rng.integers(0, inputs + len(luts), outputs)]
    if rng.random() < 0.3:
        signals[0] = inputs + len(luts)
        luts.append(Lut((), int(rng.integers(0, 2))))
    signals[-1] = int(rng.choice(below))
    return Netlist(inputs, tuple(luts), tuple(signals))


def _lut(rng: Rng, below: Sequence[int], signals: int, pins: int) -> Lut:
    chosen = rng.permutation([int(rng.choice(below)), *rng.integers(0, signals, pins - 1)])
    return Lut(tuple(int(s) for s in chosen), random_table(rng, pins))


# --- classifiers ------------------------------------------------------------------------------------------------


class _Builder:
    """Adds look-up tables one behind the other."""

    def __init__(self, rng: Rng, inputs: int, pins: int) -> None:
        self.rng, self.inputs, self.pins = rng, inputs, pins
        self.luts: list[Lut] = []

    def add(self, signals: Sequence[int], table: int) -> int:
        self.luts.append(Lut(tuple(int(s) for s in signals), table))
        return self.inputs + len(self.luts) - 1

    def tree(self) -> int:
        features = self.rng.choice(self.inputs, self.pins, replace=False)
        return self.add(features, random_table(self.rng, self.pins))

    def threshold(self, parts: Sequence[int]) -> int:
        return self.add(parts, threshold_table(self.rng.uniform(0.1, 3, len(parts))))

    def neuron(self, trees: int, groups: int) -> int:
        """Trees, a threshold a group, and one over the groups; of one tree, or one group, what is left of it."""
        if trees * groups == 1:
            return self.tree()
        made = [self.threshold([self.tree() for _ in range(trees)]) for _ in range(groups)]
        return self.threshold(made) if groups > 1 else made[0]


def classifier(
    rng: Rng, inputs: int, pins: int, trees: int, groups: int, neurons: int, classes: int, q: int
) -> Netlist:  # fmt: skip
    """A classifier of the shape that training makes, with random trees and weights: neurons of `groups` groups of
    `trees` trees, then q tables a class, each of its neurons."""
    build = _Builder(rng, inputs, pins)
    bits = [build.neuron(trees, groups) for _ in range(neurons)]
    own = neurons // classes
    outputs = [
        build.add(bits[c * own : (c + 1) * own], table)
        for c in range(classes)
        for table in score_tables(rng.uniform(-1, 1, own), rng.uniform(-0.5, 0.5), q)
    ]
    return Netlist(inputs, tuple(build.luts), tuple(outputs))


def _addresses(pins: int) -> npt.NDArray[np.int64]:
    """Every address as its bits, most significant first: int64[2^pins, pins]."""
    return np.array(list(itertools.product((0, 1), repeat=pins)), np.int64)


def threshold_table(weights: npt.NDArray[np.float64]) -> int:
    """The table of: the weights of the pins that are 1 exceed half of all weights."""
    return packed(_addresses(len(weights)) @ weights > weights.sum() / 2)


def score_tables(weights: npt.NDArray[np.float64], bias: float, q: int) -> list[int]:
    """Tables of the q bits of a weighted sum of pins, least significant first."""
    limit = 1 << (q - 1)
    sums = np.round(limit * (_addresses(len(weights)) @ weights + bias) / 2)
    values = np.clip(sums, -limit, limit - 1).astype(np.int64)
    return [packed((values >> bit) & 1) for bit in range(q)]
