"""From the box map to one box, and how well it fits.

The head gives, for each of two anchors, x, y, w, h and confidence: channel 5 a + v is value v of anchor a. The engine
looks for the cell and anchor of the highest confidence; the host turns it into a box. Boxes are (x, y, w, h), the
centre and the size as shares of the image. Decoder and anchors: the released code TomG008/SkyNet, which uses YOLO's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import bad_input
from workloads.skynet import ANCHORS, BOX_VALUES

ANCHOR_CELLS = ((1.494, 2.360), (4.011, 5.761))
"""Width and height of the anchors in cells of the 20 x 40 grid, as released."""
LARGEST_EXPONENT = 50.0
"""Where exp stops, far beyond any image, so that an untrained network gives a finite box."""


class Cell(NamedTuple):
    """Where in a box map."""

    anchor: int
    row: int
    column: int


class Detection(NamedTuple):
    """A box as shares of the image, and its confidence (0 to 1)."""

    x: float
    y: float
    w: float
    h: float
    confidence: float


def best_cell(box_map: NDArray[Any]) -> Cell:
    """The highest confidence of a box map [10, H, W]; of equal ones the first in the order anchor, row, column.

    Codes and values give the same cell. Raises InputError for another shape.
    """
    confidence = _values(box_map)[:, BOX_VALUES - 1]
    return Cell(*(int(i) for i in np.unravel_index(int(np.argmax(confidence)), confidence.shape)))


def _values(box_map: NDArray[Any]) -> NDArray[Any]:
    if np.ndim(box_map) != 3 or len(box_map) != ANCHORS * BOX_VALUES or not np.size(box_map):
        raise bad_input("box_map", np.shape(box_map), f"a box map is [{ANCHORS * BOX_VALUES}, rows, columns]")
    return np.reshape(box_map, (ANCHORS, BOX_VALUES, *np.shape(box_map)[1:]))


def decode(box_map: NDArray[Any], anchors: Sequence[tuple[float, float]] = ANCHOR_CELLS) -> Detection:
    """The best box of a box map [10, H, W] of values (not codes).

    x = (column + sigmoid(tx)) / W, w = exp(tw) * anchor's width / W, likewise y and h over H; confidence is a sigmoid.
    """
    values = _values(box_map)
    rows, columns = values.shape[2:]
    anchor, row, column = best_cell(box_map)
    tx, ty, tw, th, confidence = (float(v) for v in values[anchor, :, row, column])
    width, height = anchors[anchor]
    return Detection(
        (column + sigmoid(tx)) / columns,
        (row + sigmoid(ty)) / rows,
        float(np.exp(min(tw, LARGEST_EXPONENT))) * width / columns,
        float(np.exp(min(th, LARGEST_EXPONENT))) * height / rows,
        sigmoid(confidence),
    )


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return float(0.5 * (1 + np.tanh(0.5 * x)))


def iou(first: NDArray[Any] | Sequence[float], second: NDArray[Any] | Sequence[float]) -> NDArray[np.float64]:
    """Intersection over union of boxes (x, y, w, h) [..., 4], broadcast against one another; 0 for two empty boxes.

    Raises InputError for a negative size.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    for boxes in (a, b):
        if boxes.shape[-1:] != (4,) or (boxes[..., 2:] < 0).any():
            raise bad_input("boxes", boxes.shape, "boxes are x, y, w, h with sizes of 0 or more")
    low = np.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = np.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = np.prod(a[..., 2:], axis=-1) + np.prod(b[..., 2:], axis=-1) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(union), where=union > 0))
