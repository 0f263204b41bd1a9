"""What PyTorch learns for PoET-BiN: the teacher, the sparse output layer, and the networks it is compared with.

    binary       the binary activation, whose rounding is invisible to the gradient
    teacher      features, hidden layer, intermediate layer, ten sparse units; trained, resumable, dumped as bits
    output       the sparse output layer retrained on what the trees say
    rivals       a float classifier and a 1-bit network on the same features

Needs PyTorch. Everything runs on one thread: sums in another order would be another teacher.
"""

from __future__ import annotations

from hwsim.errors import bad_input

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise bad_input(
        "no-torch", "no PyTorch", "the teacher is trained in PyTorch", "Install it: pip install 'hwsim[trace]'."
    ) from None
