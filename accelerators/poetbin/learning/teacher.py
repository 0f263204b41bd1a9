"""The teacher: a network with a binary feature layer and a binary intermediate layer, whose bits the trees learn.

    extractor -> F bits -> linear, BN, ReLU -> linear to classes*k, BN -> bits -> k -> 1 unit for each class -> BN

Structure and optimizer as in PoET-BiN (arXiv 2002.09794) and its released training code: SGD with momentum 0.9 and
weight decay 5e-4, batches of 100, cross entropy, for MNIST 50 epochs at a rate of 0.01. Our own are: batch norms in
the extractor (they centre the features before they become bits), and the extractor for 8 x 8 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from accelerators.arrays import read_arrays, write_arrays
from accelerators.poetbin.folder import damaged
from accelerators.poetbin.learning import train
from accelerators.poetbin.learning.binary import Binarize, binarize
from hwsim.errors import InputError

MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
FEATURES = 512


@dataclass(frozen=True, slots=True)
class Shape:
    """A teacher's sizes. `side` is that of the image in pixels, 0 where inputs are `features` bits already;
    `units` is the number of intermediate neurons of a class."""

    side: int
    features: int
    classes: int
    units: int
    hidden: int = 512


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and at which rate."""

    epochs: int = 50
    rate: float = 0.01


def _lenet() -> list[nn.Module]:
    """16C5-MP-32C5-MP on 28 x 28 pixels, the last block without ReLU: 512 numbers."""
    return [nn.Conv2d(1, 16, 5), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5), nn.BatchNorm2d(32), nn.MaxPool2d(2)]  # fmt: skip


def _small() -> list[nn.Module]:
    """16C3-MP-32C3 on 8 x 8 pixels, padded: 512 numbers."""
    return [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32)]  # fmt: skip


_EXTRACTORS: dict[int, Callable[[], list[nn.Module]]] = {28: _lenet, 8: _small}


class Units(nn.Module):
    """One linear unit a class over that class's own `units` inputs: (n x classes*units) -> (n x classes)."""

    def __init__(self, classes: int, units: int) -> None:
        super().__init__()
        bound = units**-0.5  # As torch initializes a linear layer of this fan-in.
        self.weight = nn.Parameter(torch.empty(classes, units).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(classes).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return (x.unflatten(1, self.weight.shape) * self.weight).sum(2) + self.bias


class Teacher(nn.Module):
    """The whole network. Initialized from `seed`."""

    def __init__(self, shape: Shape, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        neurons = shape.classes * shape.units
        layers = [*_EXTRACTORS[shape.side](), nn.Flatten(), Binarize()] if shape.side else []
        self.extractor = nn.Sequential(*layers)
        self.hidden = nn.Sequential(nn.Linear(shape.features, shape.hidden), nn.BatchNorm1d(shape.hidden), nn.ReLU())
        self.intermediate = nn.Sequential(nn.Linear(shape.hidden, neurons), nn.BatchNorm1d(neurons))
        self.output = nn.Sequential(Units(shape.classes, shape.units), nn.BatchNorm1d(shape.classes))

    def neurons(self, features: Tensor) -> Tensor:
        """The intermediate bits for given feature bits."""
        return binarize(self.intermediate(self.hidden(features)))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.output(self.neurons(self.extractor(x)))
        return found


def train_teacher(
    shape: Shape, schedule: Schedule, inputs: NDArray[Any], labels: NDArray[np.int64], seed: int,
    checkpoint: Path | None = None, on_epoch: Callable[[int], None] = lambda done: None,
) -> Teacher:  # fmt: skip
    """A teacher trained on `inputs` and `labels`. After each epoch its state goes to `checkpoint`, from which a later
    call goes on, to the same bits. `on_epoch` is told how many epochs are done, first of all those found there."""
    teacher = Teacher(shape, seed)
    optimizer = torch.optim.SGD(teacher.parameters(), schedule.rate, MOMENTUM, weight_decay=WEIGHT_DECAY)
    done = _resume(checkpoint, teacher, optimizer)
    on_epoch(done)
    samples, targets = _tensor(inputs), torch.from_numpy(labels)
    with train.one_thread():
        for epoch in range(done, schedule.epochs):
            train.train_epoch(teacher, optimizer, samples, targets, functional.cross_entropy, seed, epoch)
            _save(checkpoint, teacher, optimizer, epoch + 1)
            on_epoch(epoch + 1)
    teacher.eval()
    return teacher


def _save(path: Path | None, teacher: Teacher, optimizer: torch.optim.Optimizer, done: int) -> None:
    if path is not None:
        arrays = {f"teacher.{name}": tensor.numpy() for name, tensor in teacher.state_dict().items()}
        for name, parameter in teacher.named_parameters():
            arrays[f"momentum.{name}"] = optimizer.state[parameter]["momentum_buffer"].numpy()
        write_arrays(path, {"epochs": np.array(done, dtype=np.int64), **arrays})


def _resume(path: Path | None, teacher: Teacher, optimizer: torch.optim.Optimizer) -> int:
    if path is None or not path.exists():
        return 0
    state, parameters = teacher.state_dict(), dict(teacher.named_parameters())
    wanted = {f"teacher.{name}": tensor.numpy() for name, tensor in state.items()}
    wanted |= {f"momentum.{name}": tensor.detach().numpy() for name, tensor in parameters.items()}
    wanted["epochs"] = np.zeros((), dtype=np.int64)
    try:
        found = read_arrays(path, tuple(wanted))
    except InputError:
        raise damaged(path) from None
    if any(found[key].shape != like.shape or found[key].dtype != like.dtype for key, like in wanted.items()):
        raise damaged(path)
    teacher.load_state_dict({name: torch.from_numpy(found[f"teacher.{name}"]) for name in state})
    for name, parameter in parameters.items():
        optimizer.state[parameter]["momentum_buffer"] = torch.from_numpy(found[f"momentum.{name}"])
    return int(found["epochs"])


def _tensor(inputs: NDArray[Any]) -> Tensor:
    return torch.from_numpy(inputs).float()


@dataclass(frozen=True, slots=True)
class Bits:
    """What a teacher makes of some samples: `features` (n x F) and `neurons` (n x classes*units), uint8 of 0 and 1."""

    features: NDArray[np.uint8]
    neurons: NDArray[np.uint8]


def bits_of(teacher: Teacher, inputs: NDArray[Any]) -> Bits:
    """The bits of both binary layers, in inference."""
    teacher.eval()
    with train.one_thread():
        features = train.run(teacher.extractor, _tensor(inputs))
        neurons = train.run(teacher.neurons, features)
    return Bits(features.numpy().astype(np.uint8), neurons.numpy().astype(np.uint8))


def accuracy(teacher: Teacher, inputs: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """The share of samples whose class the teacher finds."""
    with train.one_thread():
        return train.accuracy(train.classes(teacher, _tensor(inputs)), labels)
