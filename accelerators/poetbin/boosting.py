"""RINC-L by boosting: AdaBoost over trees within a group, over groups at the second level, and so on.

A learner's error e is the weight of the samples it gets wrong, its vote alpha and the next weights are those of
`accelerators.poetbin.weights`. A group begins with the weights that its level has reached; once it is complete, the
error of its MAT output yields its own vote and the level's next weights, exactly as for a single tree (arXiv 2002.09794
and its released code). After e = 0 the next learner is the same one again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelerators.poetbin.bits import PackedBits, checked_bits, pack, table_outputs
from accelerators.poetbin.rinc import MAX_PINS, Mat, Rinc
from accelerators.poetbin.trees import Search
from accelerators.poetbin.weights import alpha, boosted, uniform
from hwsim.errors import bad_input

MAX_SAMPLES = 1 << 24
"""Sums of so many integer weights stay within 64 bits with room to spare, and a weight of 1/2^24 keeps 36 bits."""

Learned = tuple[Rinc, NDArray[np.uint8]]


class Progress(NamedTuple):
    """How far `train_neurons` has come."""

    neuron: int
    """the one just finished"""
    done: int
    total: int
    elapsed_s: float
    left_s: float
    """estimate from the neurons finished"""


class _StoppedError(Exception):
    """The caller wants no more neurons."""


def train_rinc(
    features: ArrayLike | PackedBits, labels: ArrayLike, p: int, shape: Sequence[int] = (), threads: int = 1
) -> Rinc:
    """A RINC-L for one bit, L = len(shape).

    features  0 or 1, [samples, features], packed or not; at least p features
    labels    0 or 1, [samples]
    p         inputs of a tree, 1 to 16
    shape     modules a MAT combines, outermost level first: (4, 8) is 4 groups of 8 trees, (8,) a RINC-1, () a tree
    threads   share the search for one tree; the result does not depend on their number

    Raises InputError for what is not so.
    """
    packed = pack(features)
    wanted = checked_bits(labels, 1, "labels")
    check_shape(packed, wanted.size, p, shape)
    with Search(packed, threads) as search:
        return _learn(search, wanted, uniform(wanted.size), p, tuple(shape), Event())[0]


def check_shape(packed: PackedBits, samples: int, p: int, shape: Sequence[int]) -> None:
    """Raise InputError unless a RINC of this shape can be trained from these features."""
    if samples != packed.samples:
        raise bad_input("shape", samples, f"there is one label for each of the {packed.samples} samples")
    if samples > MAX_SAMPLES:
        raise bad_input("range", samples, f"at most {MAX_SAMPLES} samples", "Train on a part of them.")
    if not 1 <= p <= MAX_PINS:
        raise bad_input("range", p, f"must be an integer from 1 to {MAX_PINS}", key="p")
    if p > packed.features:
        raise bad_input("range", p, f"a tree tests p different features and there are {packed.features}", key="p")
    for size in shape:
        if not 1 <= size <= MAX_PINS:
            raise bad_input("range", size, f"a MAT combines 1 to {MAX_PINS} modules", key="shape")


def _learn(
    search: Search, labels: NDArray[np.uint8], weights: NDArray[np.int64], p: int, shape: tuple[int, ...], stop: Event
) -> Learned:
    """A module of this shape from these weights, and its output for every sample."""
    if stop.is_set():
        raise _StoppedError
    if not shape:
        return search.tree(labels, weights, p)
    children: list[Rinc] = []
    alphas: list[float] = []
    address = np.zeros(labels.size, np.int32)
    for _ in range(shape[0]):
        child, output = _learn(search, labels, weights, p, shape[1:], stop)
        missed = output != labels
        wrong, total = int(weights[missed].sum()), int(weights.sum())
        children.append(child)
        alphas.append(alpha(wrong, total))
        address = 2 * address + output
        weights = boosted(weights, missed, wrong, total)
    mat = Mat(tuple(children), tuple(alphas))
    return mat, table_outputs(mat.table, mat.pins)[address]


def train_neurons(
    features: ArrayLike | PackedBits,
    bits: ArrayLike,
    p: int,
    shape: Sequence[int],
    *,
    neurons: Iterable[int] | None = None,
    threads: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[tuple[int, Rinc]]:
    """Train one RINC a neuron and yield (neuron, module) in the order asked for, each once those before it are done.

    bits     0 or 1, [samples, neurons]: what each neuron is to say
    neurons  which of them, all if None; to resume, name those that are missing
    threads  neurons trained at a time, one thread each; results do not depend on it

    Neurons do not depend on one another, so whatever was yielded may be stored and the rest trained later. Closing the
    iterator, or an exception in the loop that reads it (Ctrl-C too), ends the threads after the tree each is at.
    Arguments are checked at the call. Raises InputError as `train_rinc`, and for a neuron that there is not.
    """
    packed = pack(features)
    wanted = checked_bits(bits, 2, "neuron bits")
    check_shape(packed, wanted.shape[0], p, shape)
    asked = list(range(wanted.shape[1]) if neurons is None else neurons)
    for neuron in asked:
        if not 0 <= neuron < wanted.shape[1]:
            raise bad_input("range", neuron, f"there are {wanted.shape[1]} neurons", key="neurons")

    def one(neuron: int, stop: Event) -> Rinc:
        labels = np.ascontiguousarray(wanted[:, neuron])
        return _learn(Search(packed), labels, uniform(labels.size), p, tuple(shape), stop)[0]

    return _in_turn(one, asked, max(1, threads), on_progress)


def _in_turn(
    one: Callable[[int, Event], Rinc],
    asked: list[int],
    threads: int,
    on_progress: Callable[[Progress], None] | None,
) -> Iterator[tuple[int, Rinc]]:
    stop, begun = Event(), time.monotonic()
    pool = ThreadPoolExecutor(threads)
    try:
        futures = [pool.submit(one, neuron, stop) for neuron in asked]
        for done, (neuron, future) in enumerate(zip(asked, futures, strict=True), start=1):
            module = future.result()
            if on_progress:
                elapsed_s = time.monotonic() - begun
                left_s = elapsed_s / done * (len(asked) - done)
                on_progress(Progress(neuron, done, len(asked), elapsed_s, left_s))
            yield neuron, module
    finally:
        stop.set()  # those that wait end at their first tree
        pool.shutdown()
