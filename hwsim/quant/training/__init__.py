"""Quantization in PyTorch: fake quantization, training with it, and conversion to an integer network.

    prepare, calibrate   a chain of torch layers with quantizers in place, their ranges from data
    convert              that, as a `hwsim.quant.network.Network`
    deployed             an integer network as an exact float64 torch graph: the second opinion on the golden function
    quantizers           the autograd functions: PACT, min/max, TQT

Needs PyTorch.
"""

from __future__ import annotations

from hwsim.errors import bad_input

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise bad_input(
        "no-torch", "no PyTorch", "quantization in PyTorch needs PyTorch", "Install it: pip install 'hwsim[trace]'."
    ) from None
