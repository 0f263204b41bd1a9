"""Training, plain: Adam on cross entropy, for a network as it is or with quantizers in place."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def train(
    network: nn.Module, images: Tensor, labels: Tensor, *, epochs: int, rate: float, seed: int, batch: int = 64,
    threshold_rate: float | None = None,
) -> None:  # fmt: skip
    """Train in place; the rate falls to zero along a half cosine. Deterministic for one seed and one thread.

    `threshold_rate` is that of log thresholds, if it is not `rate`. A network with quantizers keeps its norms'
    statistics (batch x C x H x W images, integer labels).
    """
    order = torch.Generator().manual_seed(seed)
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    thresholds = [p for name, p in named if name.endswith("log2_threshold")]
    others = [p for name, p in named if not name.endswith("log2_threshold")]
    groups = [{"params": others}, {"params": thresholds, "lr": rate if threshold_rate is None else threshold_rate}]
    optimizer = torch.optim.Adam(groups, lr=rate)
    steps = epochs * (len(images) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=order)[: len(images) // batch * batch].split(batch):
            optimizer.zero_grad()
            loss_of(network(images[chosen]).flatten(1), labels[chosen]).backward()
            optimizer.step()
            schedule.step()


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images whose largest output is their label's; the first of equal ones counts."""
    with torch.no_grad():
        found = network(images).flatten(1).argmax(dim=1)
    return float((found == labels).double().mean())
