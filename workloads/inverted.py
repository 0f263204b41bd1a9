"""MobileNetV2 (Sandler et al., CVPR 2018, arXiv 1801.04381, table 2) and MobileNetV3-Large (Howard et al., "Searching
for MobileNetV3", ICCV 2019, arXiv 1905.02244, table 1): networks of inverted residuals. Untrained.

Squeezed channels of V3's squeeze-and-excitation are a quarter of the expanded ones, rounded to multiples of 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hwsim.workload.spec import TraceSpec
from workloads.untrained import images, on_meta

if TYPE_CHECKING:
    import torch

CLASSES = 1000
V2_STEM, V2_LAST = 32, 1280
V2 = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, output channels, blocks and stride of the first block."""
V3_STEM, V3_LAST, V3_HIDDEN = 16, 960, 1280
V3 = (
    (3, 16, 16, False, False, 1), (3, 64, 24, False, False, 2), (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2), (5, 120, 40, True, False, 1), (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2), (3, 200, 80, False, True, 1), (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1), (3, 480, 112, True, True, 1), (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2), (5, 960, 160, True, True, 1), (5, 960, 160, True, True, 1),
)  # fmt: skip
"""Kernel, expanded and output channels, squeeze-and-excitation, hard swish instead of ReLU, stride of each block."""
SQUEEZE, MULTIPLE = 4, 8


class Bottleneck(NamedTuple):
    """One inverted residual: `activation` is relu6, relu or hardswish; `squeezed` channels of the gate, 0 for none."""

    inside: int
    expanded: int
    out: int
    kernel: int
    stride: int
    activation: str
    squeezed: int


def v2() -> TraceSpec:
    """MobileNetV2 on ImageNet's images."""
    source = "arXiv 1801.04381, table 2"
    return images("mobilenet-v2", "MobileNetV2, images of 224 x 224", on_meta(network_v2), source)


def v3_large() -> TraceSpec:
    """MobileNetV3-Large on ImageNet's images."""
    source = "arXiv 1905.02244, table 1"
    return images("mobilenet-v3-large", "MobileNetV3-Large, images of 224 x 224", on_meta(network_v3), source)


def _activation(name: str) -> torch.nn.Module:
    from torch import nn

    return {"relu6": nn.ReLU6, "relu": nn.ReLU, "hardswish": nn.Hardswish}[name]()


def _unit(
    inside: int, out: int, activation: str = "", kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[torch.nn.Module]:
    """A convolution, its norm, and its activation if it has one."""
    from torch import nn

    conv = nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(out), *([_activation(activation)] if activation else [])]


def _gate(channels: int, squeezed: int) -> torch.nn.Module:
    from torch import Tensor, nn

    class Gate(nn.Module):
        """Squeeze-and-excitation: a factor from 0 to 1 a channel, made of the channels' means."""

        def __init__(self) -> None:
            super().__init__()
            self.mean, self.relu, self.sigmoid = nn.AdaptiveAvgPool2d(1), nn.ReLU(), nn.Hardsigmoid()
            self.squeeze, self.excite = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.sigmoid(self.excite(self.relu(self.squeeze(self.mean(x)))))

    return Gate()


def _inverted(shape: Bottleneck) -> torch.nn.Module:
    from torch import Tensor, nn

    inside, expanded, out, kernel, stride, activation, squeezed = shape

    class Inverted(nn.Module):
        """Wider by a 1x1 convolution, depthwise, gate, narrower by a 1x1; added to its input where shapes allow."""

        def __init__(self) -> None:
            super().__init__()
            wider = _unit(inside, expanded, activation) if expanded != inside else []
            depthwise = _unit(expanded, expanded, activation, kernel, stride, expanded)
            gate = [_gate(expanded, squeezed)] if squeezed else []
            self.layers = nn.Sequential(*wider, *depthwise, *gate, *_unit(expanded, out))
            self.residual = stride == 1 and inside == out

        def forward(self, x: Tensor) -> Tensor:
            return x + self.layers(x) if self.residual else self.layers(x)

    return Inverted()


def network_v2() -> torch.nn.Module:
    """Stem, seventeen inverted residuals, a 1x1 convolution, mean, classifier."""
    from torch import nn

    layers, inside = _unit(3, V2_STEM, "relu6", 3, 2), V2_STEM
    for expansion, out, blocks, first_stride in V2:
        for i in range(blocks):
            stride = first_stride if i == 0 else 1
            layers.append(_inverted(Bottleneck(inside, inside * expansion, out, 3, stride, "relu6", 0)))
            inside = out
    layers += _unit(inside, V2_LAST, "relu6")
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(V2_LAST, CLASSES)]
    return nn.Sequential(*layers)


def network_v3() -> torch.nn.Module:
    """Stem, fifteen inverted residuals, a 1x1 convolution, mean, two linear layers."""
    from torch import nn

    layers, inside = _unit(3, V3_STEM, "hardswish", 3, 2), V3_STEM
    for kernel, expanded, out, gated, hard, stride in V3:
        squeezed = round_channels(expanded / SQUEEZE) if gated else 0
        activation = "hardswish" if hard else "relu"
        layers.append(_inverted(Bottleneck(inside, expanded, out, kernel, stride, activation, squeezed)))
        inside = out
    layers += _unit(inside, V3_LAST, "hardswish")
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(V3_LAST, V3_HIDDEN), nn.Hardswish(), nn.Dropout()]
    return nn.Sequential(*layers, nn.Linear(V3_HIDDEN, CLASSES))


def round_channels(channels: float) -> int:
    """The nearest multiple of 8, but never less than nine tenths of `channels` (the papers' own rounding)."""
    nearest = max(MULTIPLE, int(channels + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return nearest if nearest >= 0.9 * channels else nearest + MULTIPLE
