"""Plain training loops: batches in an order that hangs on seed and epoch alone, so that any epoch can be resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BATCH = 100
EVALUATED_AT_ONCE = 1000

Loss = Callable[[Tensor, Tensor], Tensor]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread while inside: the result must not hang on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def batches(count: int, seed: int, epoch: int) -> Iterator[Tensor]:
    """Rows of each batch of an epoch. The last is left out when it is but a part (a batch norm needs company), unless
    it is the only one."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
    whole = order[: max(count - count % BATCH, min(count, BATCH))]
    yield from whole.split(BATCH)


def train_epoch(
    module: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor,
    loss: Loss, seed: int, epoch: int,
) -> None:  # fmt: skip
    """One pass over the samples."""
    module.train()
    for rows in batches(len(labels), seed, epoch):
        optimizer.zero_grad(set_to_none=True)
        loss(module(inputs[rows]), labels[rows]).backward()
        optimizer.step()


def run(module: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """`module` on all samples, without gradients."""
    with torch.no_grad():
        return torch.cat([module(part) for part in inputs.split(EVALUATED_AT_ONCE)])


def classes(module: nn.Module, inputs: Tensor) -> NDArray[np.int64]:
    """The class with the highest score for each sample, the lowest of equals."""
    module.eval()
    scores = run(module, inputs).numpy()
    return np.argmax(scores, axis=1).astype(np.int64)


def accuracy(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The share of samples whose class was found."""
    return float(np.mean(predicted == labels))
