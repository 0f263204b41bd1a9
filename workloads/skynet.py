"""SkyNet (arXiv 1909.09709): the three detectors A, B and C for one frame of 160 x 320, and their plans.

A Bundle is a depthwise 3x3 and a pointwise convolution, each with batch norm and ReLU6. Behind the first three stands a
2x2 max pool. In B and C the third Bundle's map goes past the pool: reordered (space to depth, 2x2, the sub-position
outermost) it is put in front of the fifth's, and a sixth Bundle reads both. The head is a pointwise convolution to two
anchors of x, y, w, h, confidence; accelerators/skynet/boxes.py decodes them. Shapes only: weights are random and not
hashed. Structure: the paper and the released code TomG008/SkyNet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwsim.errors import bad_input
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

if TYPE_CHECKING:
    import torch

IMAGE_CHANNELS = 3
HEIGHT, WIDTH = 160, 320
POOLED_BUNDLES = 3
ANCHORS = 2
BOX_VALUES = 5
"""x, y, w, h, confidence."""
HEAD_OUTPUTS = ANCHORS * BOX_VALUES


@dataclass(frozen=True)
class Plan:
    """The shape of a SkyNet: outputs of the first five Bundles, and of Bundle 6 behind the bypass (0: neither).

    Raises InputError for other than five positive numbers, or a negative `last`.
    """

    channels: tuple[int, ...] = (48, 96, 192, 384, 512)
    last: int = 96

    def __post_init__(self) -> None:
        if len(self.channels) != 5 or min(self.channels) < 1 or self.last < 0:
            rule = "five positive numbers of channels, and Bundle 6's, which may be 0"
            raise bad_input("plan", f"{self.channels}, {self.last}", rule)

    def bundles(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of every Bundle."""
        pairs = tuple(zip((IMAGE_CHANNELS, *self.channels), self.channels, strict=False))
        return (*pairs, (4 * self.channels[2] + self.channels[4], self.last)) if self.last else pairs


PLANS: Mapping[str, Plan] = {"skynet-a": Plan(last=0), "skynet-b": Plan(last=48), "skynet-c": Plan()}


def network(plan: Plan, *, relu6: bool = True) -> torch.nn.Module:
    """The detector of `plan`: normalized images [n, 3, H, W] -> box map [n, 10, H / 8, W / 8]; random weights.

    relu6  whether activations stop at 6, as in the released networks
    H and W are multiples of 8. In training mode, as PyTorch makes it.
    """
    from torch import nn

    class SkyNet(nn.Module):
        """Bundles 1 to 5, the bypass and Bundle 6 where the plan has them, and the head."""

        def __init__(self) -> None:
            super().__init__()
            self.bundles = plan.bundles()
            for i, (inside, out) in enumerate(self.bundles, 1):
                self.add_module(f"bundle{i}", _bundle(inside, out, relu6))
            self.pool = nn.MaxPool2d(2)
            self.head = nn.Conv2d(self.bundles[-1][1], HEAD_OUTPUTS, 1, bias=False)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x, bypass = image, image
            for i in range(1, len(plan.channels) + 1):
                x = self.get_submodule(f"bundle{i}")(x)
                if i == POOLED_BUNDLES:
                    bypass = x
                x = self.pool(x) if i <= POOLED_BUNDLES else x
            return self.head(self._joined(bypass, x) if plan.last else x)

        def _joined(self, bypass: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            import torch

            return self.get_submodule("bundle6")(torch.cat((reorg(bypass), x), 1))

    return SkyNet()


def _bundle(inside: int, out: int, relu6: bool) -> torch.nn.Module:
    from collections import OrderedDict

    from torch import nn

    activation = nn.ReLU6 if relu6 else nn.ReLU
    return nn.Sequential(
        OrderedDict(
            dw=nn.Conv2d(inside, inside, 3, 1, 1, groups=inside, bias=False),
            dw_bn=nn.BatchNorm2d(inside),
            dw_relu=activation(),
            pw=nn.Conv2d(inside, out, 1, bias=False),
            pw_bn=nn.BatchNorm2d(out),
            pw_relu=activation(),
        )
    )


def reorg(x: torch.Tensor) -> torch.Tensor:
    """Space to depth, 2x2: channel (2 dy + dx) C + c at (y, x) is channel c at (2y + dy, 2x + dx)."""
    n, channels, height, width = x.shape
    cells = x.view(n, channels, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return cells.reshape(n, 4 * channels, height // 2, width // 2)


def spec(name: str) -> TraceSpec:
    """The detector `name` of PLANS on one frame."""
    letter = name[-1].upper()
    return TraceSpec(
        name=name,
        summary=f"SkyNet {letter}, one frame of {HEIGHT} x {WIDTH}",
        graphs=(GraphSpec("network", network(PLANS[name]).eval(), (Input((1, IMAGE_CHANNELS, HEIGHT, WIDTH)),)),),
        trained=False,
        provenance={"network": "arXiv 1909.09709 and the released code TomG008/SkyNet"},
    )


def target_name(name: str) -> str:
    """The function of this module that `hwsim trace` is given for a detector of PLANS."""
    return name.rpartition("-")[2]


def _target(name: str) -> Callable[[], TraceSpec]:
    def target() -> TraceSpec:
        return spec(name)

    target.__doc__ = f"{name}, one frame."
    return target


globals().update({target_name(name): _target(name) for name in PLANS})
