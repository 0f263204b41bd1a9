"""The measures of the search by name: the training-free one, and short trainings that are kept on disk."""

from __future__ import annotations

from pathlib import Path

from accelerators.skynet.search import folder
from accelerators.skynet.search.measure import ENTROPY, Measure
from accelerators.skynet.structure import Structure

ENTROPY_NAME, TRAINING_NAME = "entropy", "training"
NAMES = (ENTROPY_NAME, TRAINING_NAME)
FRAMES = 2_000


def named(name: str, kept: Path, seed: int, frames: int) -> Measure:
    """A measure; trainings are kept in the CSV file `kept`."""
    return ENTROPY if name == ENTROPY_NAME else trained(kept, seed, frames)


def trained(kept: Path, seed: int, frames: int) -> Measure:
    """IoU after a short training from `seed` on `frames` frames. One that `kept` has is not repeated."""
    known = {
        row["structure"]: float(row["iou"]) for row in folder.read_csv(kept)
        if (row["seed"], row["frames"]) == (str(seed), str(frames))
    }  # fmt: skip

    def iou(structure: Structure) -> float:
        key = structure.text
        if key not in known:
            from accelerators.skynet.learning.short import train_short  # PyTorch

            known[key] = train_short(structure, seed, frames)
            folder.append_csv(kept, {"structure": key, "seed": seed, "frames": frames, "iou": known[key]})
        return known[key]

    return Measure(TRAINING_NAME, iou)
