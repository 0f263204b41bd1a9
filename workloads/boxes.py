"""Boxes from what BlazeFace's heads say, and images as it takes them. NumPy alone.

After the anchor and detection calculators of MediaPipe: two anchors a place of the 16 x 16 map, six a place of the
8 x 8 map, all of size 1, so that a box is its anchor's centre plus an offset, in pixels of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

SIZE = 128
ANCHORS = ((16, 2), (8, 6))
"""Side of each map, and anchors a place."""
NUMBERS = 16
"""Of an anchor: x and y of the centre, width and height, then six points."""
LARGEST_LOGIT = 80.0
LEAST_SCORE = 0.5
LARGEST_OVERLAP = 0.3
"""Thresholds of MediaPipe's short-range detector."""


class Face(NamedTuple):
    """A box as shares of the image's sides (left, top, right, bottom) and its score."""

    box: tuple[float, float, float, float]
    score: float


def anchors() -> Reals:
    """The centres (x, y) of the 896 anchors, as shares of the image's sides, in the order of the heads' numbers."""
    found = []
    for side, count in ANCHORS:
        centres = (np.arange(side) + 0.5) / side
        y, x = np.meshgrid(centres, centres, indexing="ij")
        found.append(np.repeat(np.stack([x, y], axis=-1).reshape(-1, 2), count, axis=0))
    return np.concatenate(found)


def flat(maps: Sequence[Any], numbers: int) -> Reals:
    """One image's maps (H x W x C each) as one row of `numbers` an anchor: reshaped and put one behind the other."""
    return np.concatenate([np.asarray(m, np.float64).reshape(-1, numbers) for m in maps])


def decode(score_maps: Sequence[Any], box_maps: Sequence[Any]) -> tuple[Reals, Reals]:
    """Boxes (left, top, right, bottom; 896 x 4) and scores (896) of one image; maps are H x W x C."""
    logits = np.clip(flat(score_maps, 1)[:, 0], -LARGEST_LOGIT, LARGEST_LOGIT)
    numbers = flat(box_maps, NUMBERS) / SIZE
    centre, half = numbers[:, 0:2] + anchors(), numbers[:, 2:4] / 2
    return np.concatenate([centre - half, centre + half], axis=1), 1 / (1 + np.exp(-logits))


def overlap(one: Any, other: Any) -> float:
    """Intersection over union of two boxes."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = float(sides.prod())
    whole = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared
    return shared / whole if whole > 0 else 0.0


def suppress(boxes: Reals, scores: Reals, least: float = LEAST_SCORE) -> list[Face]:
    """Non-maximum suppression as MediaPipe does it: boxes that overlap the best one become their mean, weighted by
    score, with the best one's score; then the same of what is left."""
    solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    left = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= least and solid[i]]
    found = []
    while left:
        near = [i for i in left if overlap(boxes[i], boxes[left[0]]) > LARGEST_OVERLAP]
        mean = np.average(boxes[near], axis=0, weights=scores[near])
        found.append(Face((float(mean[0]), float(mean[1]), float(mean[2]), float(mean[3])), float(scores[left[0]])))
        left = [i for i in left if i not in near]
    return found


def faces(maps: Sequence[Any], least: float = LEAST_SCORE) -> list[Face]:
    """The faces of one image from the network's four maps, H x W x C, in the order of its outputs."""
    return suppress(*decode(maps[:2], maps[2:]), least)


def square(image: Any) -> Reals:
    """An image (height x width x 3, 0 to 255) filled up with black to a square and scaled to the network's input:
    3 x 128 x 128 in [-1, 1]. Each output pixel is the mean of the area it covers."""
    given = np.asarray(image, np.float64)
    side = max(given.shape[:2])
    spare = [side - n for n in given.shape[:2]]
    filled = np.pad(given, (*((n // 2, n - n // 2) for n in spare), (0, 0)))
    means = _means(side)
    scaled = np.einsum("ya,abc,xb->cyx", means, filled, means, optimize=True)
    return scaled / 127.5 - 1


def _means(side: int) -> Reals:
    """SIZE x side: the share that each of `side` pixels has in each of SIZE equal parts of their row."""
    edges = np.arange(SIZE + 1) * side / SIZE
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(side)
    covered = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return covered / covered.sum(axis=1, keepdims=True)
