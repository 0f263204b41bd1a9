"""The sparse output layer, retrained on what the trees say instead of the teacher's own bits.

As in PoET-BiN (arXiv 2002.09794): squared hinge with targets of -1 and 1, Adam, a rate that falls exponentially from
1e-4 to 3e-7, batches of 100, weights clipped to [-1, 1], no batch norm. Two things differ. The released code keeps the
epoch with the best result on the *test* samples, which makes that result too good; here validation samples choose.
And the published 35 epochs are 17,500 steps on 50,000 samples; smaller sets get as many steps, hence more epochs.
It starts from the teacher's own layer, its batch norm folded in and all of it scaled so that the largest weight is 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from accelerators.poetbin.learning import train
from accelerators.poetbin.learning.teacher import Teacher, Units

FIRST_RATE, LAST_RATE = 1e-4, 3e-7
STEPS = 17_500


class Layer(NamedTuple):
    """Weights (classes x units) and biases (classes), float64."""

    weights: NDArray[np.float64]
    biases: NDArray[np.float64]

    def scores(self, bits: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Scores (n x classes) of bits (n x classes*units), unit j of class c reading bit c*units + j."""
        grouped = bits.reshape(-1, *self.weights.shape).astype(np.float64)
        return (grouped * self.weights).sum(axis=2) + self.biases

    def accuracy(self, bits: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        """The share of samples whose class scores highest, the lowest class of equals."""
        return float(np.mean(np.argmax(self.scores(bits), axis=1) == labels))


@dataclass(frozen=True, slots=True)
class Labelled:
    """Intermediate bits (n x classes*units, uint8) and classes (n)."""

    bits: NDArray[np.uint8]
    labels: NDArray[np.int64]


def of_teacher(teacher: Teacher) -> Layer:
    """The teacher's output layer with its norm folded in; one factor for all classes, so that none gains."""
    units, norm = teacher.output
    gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().double()
    weights = units.weight.detach().double() * gain[:, None]
    biases = (units.bias.detach() - norm.running_mean).double() * gain + norm.bias.detach().double()
    largest = weights.abs().max()
    return Layer((weights / largest).numpy(), (biases / largest).numpy())


def squared_hinge(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean over samples and classes of max(0, 1 - t*y)^2, with t = 1 for the sample's own class and -1 else."""
    targets = 2.0 * torch.nn.functional.one_hot(labels, scores.shape[1]) - 1
    return torch.clamp(1 - targets * scores, min=0).square().mean()


def random_layer(classes: int, units: int, seed: int) -> Layer:
    """Weights as torch begins a linear layer of this fan-in with: a start that knows nothing."""
    torch.manual_seed(seed)
    return _layer(Units(classes, units))


def retrain(
    start: Layer, known: Labelled, validation: Labelled, seed: int, steps: int = STEPS, first_rate: float = FIRST_RATE
) -> Layer:
    """The layer after the epoch that did best on `validation`; of equals the one with the smallest loss there, and
    the layer at the start counts as an epoch."""
    units = _units(start)
    optimizer = torch.optim.Adam(units.parameters(), first_rate)
    epochs = max(1, round(steps / max(1, len(known.labels) // train.BATCH)))
    fall = torch.optim.lr_scheduler.ExponentialLR(optimizer, (LAST_RATE / first_rate) ** (1 / epochs))
    inputs, labels = torch.from_numpy(known.bits).float(), torch.from_numpy(known.labels)
    best, merit = start, _merit(start, validation)
    with train.one_thread():
        for epoch in range(epochs):
            _epoch(units, optimizer, inputs, labels, seed, epoch)
            fall.step()
            found = _layer(units)
            if (better := _merit(found, validation)) > merit:
                best, merit = found, better
    return best


def _epoch(
    units: Units, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor, seed: int, epoch: int
) -> None:
    for rows in train.batches(len(labels), seed, epoch):
        optimizer.zero_grad(set_to_none=True)
        squared_hinge(units(inputs[rows]), labels[rows]).backward()
        optimizer.step()
        with torch.no_grad():
            units.weight.clamp_(-1, 1)


def _units(layer: Layer) -> Units:
    units = Units(*layer.weights.shape)
    with torch.no_grad():
        units.weight.copy_(torch.from_numpy(layer.weights))
        units.bias.copy_(torch.from_numpy(layer.biases))
    return units


def _layer(units: Units) -> Layer:
    return Layer(units.weight.detach().double().numpy().copy(), units.bias.detach().double().numpy().copy())


def _merit(layer: Layer, data: Labelled) -> tuple[float, float]:
    scores = torch.from_numpy(layer.scores(data.bits))
    return layer.accuracy(data.bits, data.labels), -float(squared_hinge(scores, torch.from_numpy(data.labels)))
