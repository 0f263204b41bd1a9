"""What else could classify the same binary features: a float network, a 1-bit network, boosted trees of a library."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from accelerators.poetbin.learning import train
from accelerators.poetbin.learning.binary import signs
from accelerators.poetbin.learning.teacher import MOMENTUM, WEIGHT_DECAY, Schedule

HIDDEN = 512
BOOSTING_ROUNDS = 100
BINARY_RATE = 1e-3

Bits = NDArray[np.uint8]
Labels = NDArray[np.int64]
Predict = Callable[[Bits], Labels]


class BinaryLinear(nn.Linear):
    """A linear layer without bias whose weights are -1 or 1; their float shadows stay within [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, signs(self.weight))

    def clip(self) -> None:
        """Put the shadows back into the range where they have a gradient."""
        with torch.no_grad():
            self.weight.clamp_(-1, 1)


class _Signs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return signs(x)


def float_classifier(bits: Bits, labels: Labels, classes: int, seed: int, schedule: Schedule) -> Predict:
    """F-512-classes with batch norm and ReLU in float, trained as the teacher is."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(bits.shape[1], HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))
    optimizer = torch.optim.SGD(net.parameters(), schedule.rate, MOMENTUM, weight_decay=WEIGHT_DECAY)
    return _trained(net, optimizer, bits, labels, seed, schedule.epochs)


def binary_network(bits: Bits, labels: Labels, classes: int, seed: int, schedule: Schedule) -> Predict:
    """F-512-classes with weights and activations of -1 and 1 (BinaryNet, arXiv 1602.02830): batch norms, Adam."""
    torch.manual_seed(seed)
    layers = (BinaryLinear(bits.shape[1], HIDDEN, bias=False), BinaryLinear(HIDDEN, classes, bias=False))
    net = nn.Sequential(_ToSigns(), layers[0], nn.BatchNorm1d(HIDDEN), _Signs(), layers[1], nn.BatchNorm1d(classes))
    optimizer = torch.optim.Adam(net.parameters(), BINARY_RATE)
    return _trained(net, optimizer, bits, labels, seed, schedule.epochs, after=[layer.clip for layer in layers])


class _ToSigns(nn.Module):
    """Bits 0 and 1 as -1 and 1."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x - 1


def boosted_trees(bits: Bits, labels: Labels, seed: int, threads: int, rounds: int = BOOSTING_ROUNDS) -> Predict:
    """scikit-learn's histogram gradient boosting (of XGBoost's and LightGBM's kind), as it comes: `rounds` rounds of
    one tree a class, 31 leaves, rate 0.1."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        model = HistGradientBoostingClassifier(max_iter=rounds, early_stopping=False, random_state=seed)
        model.fit(bits, labels)
    return lambda seen: np.asarray(model.predict(seen), dtype=np.int64)


def _trained(
    net: nn.Module, optimizer: torch.optim.Optimizer, bits: Bits, labels: Labels, seed: int, epochs: int,
    after: list[Callable[[], None]] | None = None,
) -> Predict:  # fmt: skip
    inputs, targets = torch.from_numpy(bits).float(), torch.from_numpy(labels)
    with train.one_thread():
        for epoch in range(epochs):
            _epoch(net, optimizer, inputs, targets, seed, epoch, after or [])
    return lambda seen: train.classes(net, torch.from_numpy(seen).float())


def _epoch(
    net: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor, seed: int, epoch: int,
    after: list[Callable[[], None]],
) -> None:  # fmt: skip
    net.train()
    for rows in train.batches(len(labels), seed, epoch):
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(net(inputs[rows]), labels[rows]).backward()
        optimizer.step()
        for step in after:
            step()
