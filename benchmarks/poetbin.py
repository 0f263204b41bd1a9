"""Training of PoET-BiN: one RINC-2 neuron, against the slow twin and against scikit-learn's trees, in one run.

    python benchmarks/poetbin.py

The neuron is the published MNIST size: 512 binary features, 50,000 samples, 4 groups of 8 trees of 8 inputs, on data
whose label is a noisy threshold of all features. The figure to hold is 10 s on two cores. The twin is far too slow for
that size, so its ratio is of a smaller one. scikit-learn fits as many trees of the same depth, boosted alike, one core;
its trees choose a feature for each node, which a single table cannot hold, so this compares work and not accuracy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from accelerators.poetbin import naive
from accelerators.poetbin.bits import PackedBits, pack
from accelerators.poetbin.boosting import train_neurons, train_rinc
from accelerators.poetbin.classifier import rinc_outputs

SAMPLES, FEATURES, P, SHAPE = 50_000, 512, 8, (4, 8)
SMALL_SAMPLES, SMALL_FEATURES, SMALL_SHAPE = 5_000, 64, (2,)
NEURONS = 8


def data(samples: int, features: int, neurons: int) -> tuple[Any, Any]:
    """Random bits, and noisy thresholds of weighted sums of them."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (samples, features), dtype=np.uint8)
    sums = (bits - 0.5) @ rng.normal(size=(features, neurons)) + rng.normal(size=(samples, neurons))
    return bits, (sums > 0).astype(np.uint8)


class Took(NamedTuple):
    """Time of one call: on the clock, and of all processors."""

    wall_s: float
    processor_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.2f} s ({self.processor_s:.2f} s of processors)"


def timed(run: Callable[[], object]) -> Took:
    """How long one call took."""
    begun, worked = time.perf_counter(), time.process_time()
    run()
    return Took(time.perf_counter() - begun, time.process_time() - worked)


def boosted_sklearn(features: Any, labels: Any, trees: int) -> None:
    """AdaBoost over trees of depth P."""
    weights = np.full(len(labels), 1 / len(labels))
    for _ in range(trees):
        tree = DecisionTreeClassifier(criterion="entropy", max_depth=P, random_state=0)
        tree.fit(features, labels, sample_weight=weights)
        missed = tree.predict(features) != labels
        error = weights[missed].sum()
        weights = np.where(missed, weights * 0.5 / error, weights * 0.5 / (1 - error))


def one_neuron(packed: PackedBits, labels: Any, threads: int) -> Took:
    """The median of three runs."""
    return sorted(timed(lambda: train_rinc(packed, labels, P, SHAPE, threads=threads)) for _ in range(3))[1]


def against_twin() -> str:
    """Both on a size that the twin can do."""
    bits, labels = data(SMALL_SAMPLES, SMALL_FEATURES, 1)
    fast = min(timed(lambda: train_rinc(bits, labels[:, 0], P, SMALL_SHAPE)) for _ in range(5))
    slow = timed(lambda: naive.train(bits, labels[:, 0], P, SMALL_SHAPE))
    size = f"{SMALL_SHAPE[0]} trees, {SMALL_SAMPLES:,} samples, {SMALL_FEATURES} features"
    ratio = slow.processor_s / fast.processor_s
    return f"{size}: fast {fast.processor_s * 1000:.1f} ms of processors, twin {slow}, ratio {ratio:,.0f}"


def main() -> None:
    """Print times and ratios; ratios are of processor time, which other load disturbs less."""
    bits, labels = data(SAMPLES, FEATURES, NEURONS)
    print(f"compiling or loading, with a first tree: {timed(lambda: train_rinc(bits[:100], labels[:100, 0], 1))}")
    packed = pack(bits)
    print(f"packing {SAMPLES:,} samples of {FEATURES} bits: {timed(lambda: pack(bits))}")
    own = one_neuron(packed, labels[:, 0], 1)
    print(f"one neuron, one thread: {own}; two threads: {one_neuron(packed, labels[:, 0], 2)}")
    right = np.mean(rinc_outputs(train_rinc(packed, labels[:, 0], P, SHAPE), packed) == labels[:, 0])
    print(f"  which says {right:.1%} of its {SAMPLES:,} training labels")
    for threads in (1, 2):
        took = timed(partial(list, train_neurons(packed, labels, P, SHAPE, threads=threads)))
        print(f"{NEURONS} neurons, {threads} at a time: {took}")
    print(against_twin())
    trees = SHAPE[0] * SHAPE[1]
    theirs = timed(lambda: boosted_sklearn(bits.astype(np.float32), labels[:, 0], trees))
    ratio = theirs.processor_s / own.processor_s
    print(f"scikit-learn, {trees} trees of depth {P}, one thread: {theirs}, ratio {ratio:,.0f}")


if __name__ == "__main__":
    main()
