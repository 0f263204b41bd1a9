"""Networks that `hwsim deploy -w tests.deploy_target:NAME` finds."""

from __future__ import annotations

import torch
from torch import nn


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.deep = nn.Conv2d(8, 8, 3, 1, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = x + self.deep(x)
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def residual() -> tuple[nn.Module, torch.Tensor]:
    """A residual network of seeded weights, with images to take ranges from."""
    torch.manual_seed(2)
    return _Residual().eval(), torch.rand(8, 3, 12, 12)


def not_a_number() -> tuple[nn.Module, torch.Tensor]:
    """An image that is none."""
    module, images = residual()
    images[3, 0, 5, 5] = float("nan")
    return module, images


def no_images() -> tuple[nn.Module, torch.Tensor]:
    """Nothing to take ranges from."""
    module, images = residual()
    return module, images[:0]


def bad_weights() -> tuple[nn.Module, torch.Tensor]:
    """What training that diverged leaves."""
    module, images = residual()
    module.get_parameter("stem.weight").data[0] = float("nan")
    return module, images


def sigmoid() -> tuple[nn.Module, torch.Tensor]:
    """A network that there are no kernels for."""

    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(self.conv(x))

    return Odd().eval(), torch.rand(2, 3, 8, 8)
