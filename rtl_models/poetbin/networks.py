"""Networks for the circuit: random graphs of look-up tables, random PoET-BiN classifiers, and the trained ones."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

import numpy as np

from hwsim.netlist.document import read
from hwsim.netlist.netlist import Lut, Netlist

Rng = np.random.Generator
LUTS_A_LEVEL = (1, 24)


def random_table(rng: Rng, pins: int) -> int:
    """A table whose entries are 1 with a probability of its own, from rarely to nearly always."""
    share = rng.choice((0.1, 0.3, 0.5, 0.5, 0.7, 0.9))
    bits = rng.random(1 << pins) < share
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def graph(rng: Rng, inputs: int, pins: int, outputs: int, depth: int) -> Netlist:
    """A random network of exactly `depth` levels: look-up tables of 1 to `pins` pins, each with one on the level below
    and others anywhere, now and then the same signal twice; some reach no output, and one may be a constant."""
    luts: list[Lut] = []
    below = range(inputs)
    for _ in range(depth):
        count = int(rng.integers(*LUTS_A_LEVEL))
        first = inputs + len(luts)
        new = [_lut(rng, below, first, int(rng.integers(1, pins + 1))) for _ in range(count)]
        luts += new
        below = range(first, first + count)
    signals = rng.integers(0, inputs + len(luts), outputs)
    signals[rng.integers(0, outputs)] = rng.choice(below)
    if rng.random() < 0.3:
        signals[rng.integers(0, outputs)] = inputs + len(luts) if outputs > 1 else signals[0]
        luts.append(Lut((), int(rng.integers(0, 2))))
    return _as_deep(Netlist(inputs, tuple(luts), tuple(int(s) for s in signals)), below, depth)


def _as_deep(netlist: Netlist, deepest: Sequence[int], depth: int) -> Netlist:
    """The network with its last output moved to the deepest level, where none was there."""
    if netlist.depth == depth:
        return netlist
    return Netlist(netlist.inputs, netlist.luts, (*netlist.outputs[:-1], deepest[0]))


def _lut(rng: Rng, below: Sequence[int], signals: int, pins: int) -> Lut:
    others = rng.integers(0, signals, pins - 1)
    chosen = rng.permutation([int(rng.choice(below)), *others])
    return Lut(tuple(int(s) for s in chosen), random_table(rng, pins))


def classifier(
    rng: Rng, inputs: int, pins: int, trees: int, groups: int, neurons: int, classes: int, q: int
) -> Netlist:  # fmt: skip
    """A classifier of the shape that training makes (README.md of accelerators/poetbin) with random trees and weights:
    per neuron `groups` groups of `trees` trees, a threshold a group, a threshold over groups; then q tables a class."""
    luts: list[Lut] = []

    def add(signals: Sequence[int], table: int) -> int:
        luts.append(Lut(tuple(int(s) for s in signals), table))
        return inputs + len(luts) - 1

    def tree() -> int:
        return add(rng.choice(inputs, min(pins, inputs), replace=False), random_table(rng, min(pins, inputs)))

    def joined(parts: Sequence[int]) -> int:
        return add(parts, threshold_table(rng.uniform(0.1, 3, len(parts))))

    bits = [joined([joined([tree() for _ in range(trees)]) for _ in range(groups)]) for _ in range(neurons)]
    each = max(1, neurons // classes)
    scores = [_scores(rng, bits[c * each : (c + 1) * each], q) for c in range(classes)]
    outputs = [add(read, table) for read, tables in scores for table in tables]
    return Netlist(inputs, tuple(luts), tuple(outputs))


def threshold_table(weights: np.ndarray) -> int:
    """The table of: the weights of the pins that are 1 exceed half of all weights."""
    addresses = np.array(list(itertools.product((0, 1), repeat=len(weights))))
    bits = addresses @ weights > weights.sum() / 2
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


def _scores(rng: Rng, read: Sequence[int], q: int) -> tuple[Sequence[int], list[int]]:
    """Tables of the q bits of a weighted sum of these signals."""
    weights, bias = rng.uniform(-1, 1, len(read)), rng.uniform(-0.5, 0.5)
    addresses = np.array(list(itertools.product((0, 1), repeat=len(read))))
    limit = 1 << (q - 1)
    values = np.clip(np.round(limit * (addresses @ weights + bias) / 2), -limit, limit - 1).astype(int)
    planes = [(values >> bit) & 1 for bit in range(q)]
    return read, [int.from_bytes(np.packbits(p, bitorder="little").tobytes(), "little") for p in planes]


@lru_cache(maxsize=8)
def trained(name: str) -> Netlist:
    """A network that training made, as it comes with the model."""
    return read(trained_folder(name) / "netlist.json.gz")


def trained_folder(name: str):  # type: ignore[no-untyped-def]
    return resources.files("accelerators.poetbin") / "trained" / name
