"""How good a structure becomes in a short training: what a search over structures asks.

    train_short(structure, seed, frames) -> IoU on the test frames

The structure is trained small: a quarter of its channels, on frames of the detection set (a quarter of the pixels of
the contest's). What comes out ranks structures; it is not the IoU of the structure itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from accelerators.skynet import accuracy, detection
from accelerators.skynet.learning import training
from accelerators.skynet.structure import Structure
from hwsim.pure import ceil_div

DIVISOR = 4
TEST_FRAMES = 200


def train_short(structure: Structure, seed: int, frames: int) -> float:
    """Mean IoU of the structure's small twin after `frames` frames. The same numbers give the same result.

    Raises InputError for fewer frames than a batch, a negative seed, or more pools than the small frame halves evenly.
    """
    small = twin(structure)
    seen = _sight(2 ** len(small.pools))
    trained = training.train(small, training.Settings(frames, seed), seen)
    test = _test(seen)
    return accuracy.mean_iou(training.box_maps(trained, test.images), test.boxes, seen.anchors)


def twin(structure: Structure) -> Structure:
    """The structure at a quarter of its channels, on the set's frames."""
    return replace(
        structure, channels=tuple(ceil_div(c, DIVISOR) for c in structure.channels),
        last=ceil_div(structure.last, DIVISOR), height=detection.HEIGHT, width=detection.WIDTH,
    )  # fmt: skip


@lru_cache(maxsize=8)
def _sight(cell: int) -> training.Sight:
    """Anchors in cells of that many pixels."""
    sources = detection.load_sources()
    known = detection.compose(sources, "train", accuracy.ANCHOR_FRAMES)
    return training.Sight(sources, detection.anchors(known.boxes, detection.HEIGHT // cell, detection.WIDTH // cell))


_KEPT: dict[str, detection.Frames] = {}


def _test(seen: training.Sight) -> detection.Frames:
    if "test" not in _KEPT:
        _KEPT["test"] = detection.compose(seen.sources, "test", TEST_FRAMES)
    return _KEPT["test"]
