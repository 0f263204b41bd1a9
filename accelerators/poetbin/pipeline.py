"""A whole training, step by step: teacher, its bits, one neuron after another, output layer, netlist.

Each step leaves files in the folder (see `accelerators.poetbin.folder`) and is skipped where they are there already.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelerators.arrays import Samples, read_arrays, write_arrays, write_atomically, write_samples
from accelerators.poetbin import data, document
from accelerators.poetbin.bits import pack
from accelerators.poetbin.boosting import train_neurons
from accelerators.poetbin.classifier import Classifier, rinc_outputs
from accelerators.poetbin.counts import naive_lut6, nominal_luts, rinc_shape
from accelerators.poetbin.folder import Settings, damaged, opened, write_json
from accelerators.poetbin.learning import output, teacher
from accelerators.poetbin.rinc import Rinc, Tree
from hwsim.document import read_text, shown_path
from hwsim.netlist.document import write as write_netlist

PARTS = ("train", "validation", "test")
MAX_NEURON_BYTES = 64 << 20
Report = Callable[[str, int, int, float], None]
"""Told of a step: what it does, how many are done, of how many, and the seconds since it began (or went on)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one part of the data after the teacher: bits (uint8 of 0 and 1) and classes."""

    features: NDArray[np.uint8]
    neurons: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Taught:
    """All that is needed of the teacher: its bits of each part, its accuracy there, its output layer."""

    parts: dict[str, Known]
    accuracy: dict[str, float]
    layer: output.Layer


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training ends with. `retrained` is the output layer in float, `results` is results.json."""

    classifier: Classifier
    taught: Taught
    retrained: output.Layer
    results: dict[str, Any]


def train(folder: Path, settings: Settings, dataset: data.Dataset, threads: int, report: Report) -> Trained:
    """Train what `settings` says from `dataset` in `folder`, or go on where an earlier call was stopped.

    Raises InputError as `folder.opened` does, and for files in it that were changed.
    """
    with opened(folder, settings):
        taught = teach(folder / "bits.npz", folder / "teacher.npz", settings, dataset, report)
        wanted = Wanted(settings.neurons, settings.p, rinc_shape(settings.groups, settings.trees))
        neurons = grow(folder / "neurons", wanted, taught.parts["train"], threads, report)
        return _finish(folder, settings, taught, neurons, report)


# --- teacher ----------------------------------------------------------------------------------------------------


def teach(path: Path, checkpoint: Path, settings: Settings, dataset: data.Dataset, report: Report) -> Taught:
    """The teacher's bits: from `path`, or from a teacher trained now."""
    if not path.exists():
        write_arrays(path, _teacher_arrays(checkpoint, settings, dataset, report))
    return _read_taught(path, settings)


def _teacher_arrays(
    checkpoint: Path, settings: Settings, dataset: data.Dataset, report: Report
) -> dict[str, NDArray[Any]]:
    side = dataset.train.inputs.shape[-1] if dataset.images else 0
    features = teacher.FEATURES if side else dataset.train.inputs.shape[1]
    shape = teacher.Shape(side, features, dataset.classes, settings.neurons // dataset.classes)
    schedule = teacher.Schedule(settings.epochs, settings.rate)
    seen = data.with_shifted(dataset.train, settings.copies, settings.seed) if settings.copies else dataset.train
    tell = _counted(report, "teacher: epoch", settings.epochs)
    net = teacher.train_teacher(shape, schedule, seen.inputs, seen.labels, settings.seed, checkpoint, tell)
    layer = output.of_teacher(net)
    arrays: dict[str, NDArray[Any]] = {"weights": layer.weights, "biases": layer.biases}
    for name, part in zip(PARTS, (seen, dataset.validation, dataset.test), strict=True):
        bits = teacher.bits_of(net, part.inputs)
        arrays |= {
            f"{name}_features": np.packbits(bits.features, axis=1),
            f"{name}_neurons": np.packbits(bits.neurons, axis=1),
            f"{name}_labels": part.labels,
            f"{name}_accuracy": np.array(teacher.accuracy(net, part.inputs, part.labels)),
        }
    return arrays | {"features": np.array(features)}


def _counted(report: Report, what: str, total: int) -> Callable[[int], None]:
    begun = time.monotonic()

    def tell(done: int) -> None:
        report(what, done, total, time.monotonic() - begun)

    return tell


def _read_taught(path: Path, settings: Settings) -> Taught:
    kinds = ("features", "neurons", "labels", "accuracy")
    keys = ("weights", "biases", "features", *(f"{name}_{kind}" for name in PARTS for kind in kinds))
    found = read_arrays(path, keys)
    try:
        parts = {name: _known(found, name, settings.neurons) for name in PARTS}
        accuracy = {name: float(found[f"{name}_accuracy"]) for name in PARTS}
        return Taught(parts, accuracy, _layer(found["weights"], found["biases"], settings.neurons))
    except (ValueError, TypeError):
        raise damaged(path) from None


def _known(found: dict[str, NDArray[Any]], name: str, neurons: int) -> Known:
    """One part of the data. Raises ValueError or TypeError where arrays are not of one another's sizes."""
    features, labels = int(found["features"]), found[f"{name}_labels"]
    bits = [_unpacked(found[f"{name}_{kind}"], len(labels), width)
            for kind, width in (("features", features), ("neurons", neurons))]  # fmt: skip
    if labels.ndim != 1 or labels.dtype.kind != "i" or (labels.size and labels.min() < 0):
        raise ValueError(name)
    return Known(bits[0], bits[1], labels)


def _unpacked(packed: NDArray[Any], samples: int, width: int) -> NDArray[np.uint8]:
    if width < 1 or packed.shape != (samples, -(-width // 8)):
        raise ValueError(packed.shape)
    return np.unpackbits(packed, axis=1, count=width)


def _layer(weights: NDArray[Any], biases: NDArray[Any], neurons: int) -> output.Layer:
    fits = weights.ndim == 2 and weights.size == neurons and biases.shape == weights.shape[:1]
    if not fits or weights.dtype != np.float64 or biases.dtype != np.float64:
        raise ValueError(weights.shape)
    return output.Layer(weights, biases)


# --- neurons ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """The neurons to train: how many, of which tables, and which modules one is made of (see `train_rinc`)."""

    neurons: int
    p: int
    shape: tuple[int, ...]


def grow(folder: Path, wanted: Wanted, known: Known, threads: int, report: Report) -> tuple[Rinc, ...]:
    """All neurons: those that have a file in `folder`, and the others trained now, each put there when it is done."""
    paths = [folder / f"{neuron:03}.json" for neuron in range(wanted.neurons)]
    missing = [neuron for neuron, path in enumerate(paths) if not path.exists()]
    first, begun = wanted.neurons - len(missing), time.monotonic()
    report("neurons:", first, wanted.neurons, 0.0)
    features = pack(known.features)
    made = train_neurons(features, known.neurons, wanted.p, wanted.shape, neurons=missing, threads=threads)
    with closing(made) as coming:
        for done, (neuron, module) in enumerate(coming, start=first + 1):
            write_atomically(paths[neuron], json.dumps(document.module_data(module)).encode())
            report("neurons:", done, wanted.neurons, time.monotonic() - begun)
    return tuple(_neuron(path, features.features, wanted) for path in paths)


def _neuron(path: Path, inputs: int, wanted: Wanted) -> Rinc:
    module = document.parse_module(read_text(path, MAX_NEURON_BYTES), inputs, wanted.p, shown_path(path))
    if not _has_shape(module, wanted.p, wanted.shape):
        raise damaged(path)
    return module


def _has_shape(module: Rinc, p: int, shape: tuple[int, ...]) -> bool:
    """Whether it is what `train_rinc` makes for this shape."""
    if not shape or isinstance(module, Tree):
        return not shape and isinstance(module, Tree) and module.pins == p
    return module.pins == shape[0] and all(_has_shape(child, p, shape[1:]) for child in module.children)


# --- output layer and what is handed on -------------------------------------------------------------------------


def _finish(folder: Path, settings: Settings, taught: Taught, neurons: tuple[Rinc, ...], report: Report) -> Trained:
    report("output layer", 0, 1, 0.0)
    seen = said_by(neurons, taught)
    layer = output.retrain(taught.layer, seen["train"], seen["validation"], settings.seed, settings.steps)
    inputs = taught.parts["train"].features.shape[1]
    classifier = classifier_of(inputs, settings.p, neurons, layer, settings.q)
    results = _results(settings, taught, seen, layer, classifier)
    _hand_on(folder, classifier, taught.parts["test"], results)
    return Trained(classifier, taught, layer, results)


def said_by(neurons: tuple[Rinc, ...], taught: Taught) -> dict[str, output.Labelled]:
    """What the trained neurons say of each part, in place of the teacher's bits."""
    packed = {name: pack(part.features) for name, part in taught.parts.items()}
    return {
        name: output.Labelled(np.stack([rinc_outputs(n, packed[name]) for n in neurons], axis=1), part.labels)
        for name, part in taught.parts.items()
    }


def classifier_of(inputs: int, p: int, neurons: tuple[Rinc, ...], layer: output.Layer, q: int) -> Classifier:
    """Neurons and output layer together, its scores of q bits."""
    weights = tuple(tuple(row) for row in layer.weights.tolist())
    return Classifier(inputs, p, neurons, weights, tuple(layer.biases.tolist()), q)


def quantized_accuracy(classifier: Classifier, seen: output.Labelled) -> float:
    """The share of samples whose class the integer scores find, from neuron bits."""
    return float(np.mean(np.argmax(classifier.scores_of(seen.bits), axis=1) == seen.labels))


def _results(
    settings: Settings, taught: Taught, seen: dict[str, output.Labelled], layer: output.Layer, classifier: Classifier
) -> dict[str, Any]:
    sizes = (settings.p, settings.trees, settings.groups, settings.neurons, classifier.classes, settings.q)
    return {
        **settings.document(),
        "format": "poetbin-results",
        "samples": {name: len(part.labels) for name, part in taught.parts.items()},
        "teacher_accuracy": taught.accuracy,
        "neuron_agreement": {n: float(np.mean(seen[n].bits == taught.parts[n].neurons)) for n in PARTS},
        "accuracy_before_retraining": {n: taught.layer.accuracy(seen[n].bits, seen[n].labels) for n in PARTS},
        "accuracy_retrained": {n: layer.accuracy(seen[n].bits, seen[n].labels) for n in PARTS},
        "accuracy": {n: quantized_accuracy(classifier, seen[n]) for n in PARTS},
        "luts": nominal_luts(*sizes),
        "lut6_naive": naive_lut6(*sizes),
    }


def _hand_on(folder: Path, classifier: Classifier, test: Known, results: dict[str, Any]) -> None:
    write_atomically(folder / "classifier.json", document.dumps(classifier).encode())
    write_netlist(classifier.netlist(), folder / "netlist.json.gz")
    write_samples(folder / "test.npz", Samples(test.features, test.labels))
    write_json(folder / "results.json", results)


def stages(results: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Accuracy on the test samples from the teacher to the tables."""
    yield "teacher", results["teacher_accuracy"]["test"]
    yield "trees, teacher's output layer", results["accuracy_before_retraining"]["test"]
    yield "trees, output layer retrained", results["accuracy_retrained"]["test"]
    yield f"tables, q = {results['q']}", results["accuracy"]["test"]
