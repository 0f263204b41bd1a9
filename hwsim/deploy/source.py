"""The network that a name stands for, and images to take its ranges from. Needs PyTorch."""

from __future__ import annotations

import tokenize
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hwsim.errors import InputError, bad_input
from hwsim.quant.assign import Bits, Scheme
from hwsim.quant.network import Network
from hwsim.quant.training.blocks import Recipe
from hwsim.quant.training.calibrate import correct_biases, round_to_nearest
from hwsim.quant.training.convert import convert
from hwsim.quant.training.power_of_two import prepare_power_of_two
from hwsim.quant.training.prepare import QuantizedNetwork, prepare, quantized_values, weighted_layers
from hwsim.trace import load_target
from hwsim.workload.spec import Input
from hwsim.workload.store import find_workloads, load_workload

RANDOM_IMAGES = 8
SEED = 0
LARGEST_SAMPLE = 1e30
"""So that sums over a layer stay far within single precision."""
RECIPES = {Scheme.PL: Recipe.PL_ICN, Scheme.PC: Recipe.PC_ICN}


@dataclass(frozen=True)
class Source:
    """A network in torch, its name, and real images for it: batch x channels x height x width."""

    name: str
    network: nn.Module
    samples: Tensor
    notes: tuple[str, ...]
    real: bool = True
    """Whether the samples are images, and not random numbers."""

    def make(self, bits: Bits, scheme: Scheme) -> Network:
        """The integer network at `bits`; the ranges of its values come from the samples."""
        shape = self.samples.shape
        with _one_thread():
            chain = _prepared(self.network, bits, scheme, self.samples, correct=self.real)
            return convert(chain, (int(shape[1]), int(shape[2]), int(shape[3])), self.name)

    def widest(self, scheme: Scheme) -> Network:
        """The integer network at 8 bits throughout."""
        return self.make(Bits((8,) * weighted_layers(self.network), (8,) * quantized_values(self.network)), scheme)


def _prepared(
    network: nn.Module, bits: Bits, scheme: Scheme, samples: Tensor, *, correct: bool
) -> QuantizedNetwork:  # fmt: skip
    """Quantizers in place, and biases that make up for rounding: nothing is trained that would learn to."""
    if scheme is Scheme.TQT:
        return prepare_power_of_two(network, bits, samples)
    chain = prepare(network, bits, RECIPES[scheme], samples)
    return correct_biases(chain, samples) if correct else round_to_nearest(chain)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, whatever the machine; the many small operations are no slower for it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def find_source(name: str, samples: Path | None) -> Source:
    """The network called `name`: MODULE:FUNCTION, or a shipped workload, which says what it was traced from.

    The same name gives the same network: where weights or images are random, they are from one seed. Raises InputError
    for a name that stands for no network of one image, and for samples of another shape.
    """
    torch.manual_seed(SEED)
    target = name if ":" in name else _target_of(name)
    spec, given = load_target(target)
    graph = spec.graphs[0]
    declared = graph.args[0] if len(graph.args) == 1 else None
    if len(spec.graphs) != 1 or not isinstance(declared, Input) or len(declared.shape) != 4:
        raise bad_input("not-deployable", name, "a deployed network takes one image, batch x channels x height x width")
    shape = tuple(int(size) for size in declared.shape[1:])
    check_weights(graph.module)
    images, note = _images(samples, given, shape)
    real = not note
    random = () if spec.trained else ("the weights are random: this network is shipped as shapes",)
    return Source(spec.name, graph.module.eval(), images, (*random, *note), real)


def _target_of(name: str) -> str:
    if name not in find_workloads():
        raise bad_input("unknown-name", name, "this is neither a shipped workload nor MODULE:FUNCTION",
                        "A file of shapes has no weights: name the function that makes the network.",
                        key="--workload")  # fmt: skip
    return load_workload(name).provenance.get("target", "")


def check_weights(network: nn.Module) -> None:
    """Raise InputError where a weight is no finite number."""
    for name, values in network.state_dict().items():
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise bad_input("not-finite", "NaN or infinity", "weights are finite", "Train the network anew.", key=name)


def _images(path: Path | None, given: object, shape: tuple[int, ...]) -> tuple[Tensor, tuple[str, ...]]:
    """Images to take ranges from, and what the report should say about them."""
    if path is not None:
        return torch.as_tensor(read_samples(path, shape)), ()
    if isinstance(given, list | tuple) and len(given) == 1:
        [given] = given
    if isinstance(given, Tensor):
        return torch.as_tensor(_checked(given.detach().numpy(), "the function's images", shape)), ()
    images = torch.randn(RANDOM_IMAGES, *shape, generator=torch.Generator().manual_seed(SEED))
    return images, ("ranges of values are from random numbers: give images with --samples",)


Images = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def read_samples(path: Path, shape: tuple[int, ...]) -> Images:
    """The images of an .npy file, batch x channels x height x width. Raises InputError for anything else."""
    if path.exists() and not path.is_file():
        raise _bad_samples(str(path), "samples can't be read: it is no regular file")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header may promise more than is there
    except (OSError, ValueError, OverflowError, EOFError, tokenize.TokenError, zipfile.BadZipFile) as bad:
        reason = getattr(bad, "strerror", None) or "it is no array in NumPy's format"
        raise _bad_samples(str(path), f"samples can't be read: {reason}") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
        raise _bad_samples(str(path), "samples are one array of numbers")
    return _checked(found, str(path), shape)


def _checked(found: np.ndarray[tuple[int, ...], np.dtype[Any]], name: str, shape: tuple[int, ...]) -> Images:
    """Images in single precision. Raises InputError for none, for those of another shape, and beyond that precision."""
    if found.ndim != 4 or found.shape[1:] != shape or not len(found):
        raise _bad_samples(found.shape, f"samples have the shape (images, {', '.join(map(str, shape))})")
    if not (np.abs(found) <= LARGEST_SAMPLE).all():
        raise _bad_samples(name, f"samples are numbers from {-LARGEST_SAMPLE:.0e} to {LARGEST_SAMPLE:.0e}")
    return found.astype(np.float32)


def _bad_samples(got: object, rule: str) -> InputError:
    return bad_input("samples", got, rule, "Save them with numpy.save.", key="--samples")
