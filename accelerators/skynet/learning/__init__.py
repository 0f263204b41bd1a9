"""What PyTorch learns for SkyNet: detectors on the composed detection set, and how few bits they stand.

    detector     a structure as a module
    loss         one object a frame: where it is, and how well its box fits
    training     a training that can be interrupted, and resumes to the same numbers
    tuning       a short training with the engine's number formats in sight
    short        train_short(structure, seed, frames) -> IoU, for a search over structures
    study        all trainings of docs/skynet-training.md, into accuracy.csv

Needs PyTorch. A training runs on one thread: sums in another order would be another detector.
"""

from __future__ import annotations

from hwsim.errors import bad_input

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise bad_input(
        "no-torch", "no PyTorch", "detectors are trained in PyTorch", "Install it: pip install 'hwsim[trace]'."
    ) from None
