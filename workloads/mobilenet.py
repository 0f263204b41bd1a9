"""MobileNetV1 (Howard et al., "MobileNets", arXiv 1704.04861, table 1) at four widths and four resolutions.

Shapes only: the weights are random and not hashed. `conv0` is followed by `dw1`, `pw1` ... `dw13`, `pw13`, a mean over
what is left of the image, and `fc`; every convolution has a batch norm and a ReLU6. A width multiplies the number of
channels of every layer but the last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from hwsim.workload.spec import GraphSpec, Input, TraceSpec

if TYPE_CHECKING:
    import torch

WIDTHS = ("0.25", "0.5", "0.75", "1.0")
RESOLUTIONS = (128, 160, 192, 224)
CLASSES = 1000
STEM = 32
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1),
)  # fmt: skip
"""Output channels and stride of the thirteen depth-wise separable blocks."""


def spec(width: str, resolution: int) -> TraceSpec:
    """The classifier of one width on one image of `resolution` x `resolution`."""
    return TraceSpec(
        name=f"mobilenet-v1-{width}-{resolution}",
        summary=f"MobileNetV1, width {width}, one image of {resolution} x {resolution}",
        graphs=(GraphSpec("network", network(float(width)), (Input((1, 3, resolution, resolution)),)),),
        trained=False,
        provenance={"network": "arXiv 1704.04861, table 1"},
    )


def network(width: float, classes: int = CLASSES) -> torch.nn.Module:
    """The network, for inference; random weights."""
    from torch import nn

    channels = [int(STEM * width), *(int(out * width) for out, _ in BLOCKS)]
    layers = OrderedDict([("conv0", _unit(3, channels[0], 3, 2, 1))])
    for i, (_, stride) in enumerate(BLOCKS):
        inside, out = channels[i], channels[i + 1]
        layers[f"dw{i + 1}"] = _unit(inside, inside, 3, stride, inside)
        layers[f"pw{i + 1}"] = _unit(inside, out, 1, 1, 1)
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flat"] = nn.Flatten()
    layers["fc"] = nn.Linear(channels[-1], classes)
    return nn.Sequential(layers).eval()


def _unit(inside: int, out: int, kernel: int, stride: int, groups: int) -> torch.nn.Module:
    from torch import nn

    conv = nn.Conv2d(inside, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(out), relu=nn.ReLU6()))


def _target(width: str, resolution: int) -> Callable[[], TraceSpec]:
    def target() -> TraceSpec:
        return spec(width, resolution)

    target.__doc__ = f"Width {width}, {resolution} x {resolution}."
    return target


def target_name(width: str, resolution: int) -> str:
    """The function of this module that `hwsim trace` is given for one size."""
    return f"v1_{width.replace('.', '_')}_{resolution}"


globals().update({target_name(w, r): _target(w, r) for w in WIDTHS for r in RESOLUTIONS})
