"""The loss of a detector of one object a frame, on the box map of two anchors that `accelerators.skynet.boxes` reads.

The released training scores every cell by itself (YOLO's); frames here hold one object each, and the engine only looks
for the highest confidence. So the confidences of all cells and anchors compete (cross-entropy), and the box of the
object's own cell, with the anchor of the nearest shape, is drawn to it by generalized IoU (Rezatofighi et al., CVPR
2019). Confidences count as far as a feature of the engine can tell them apart, which is from -4 to 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from workloads.skynet import ANCHORS, BOX_VALUES

LARGEST_CONFIDENCE = 4.0
"""What <9, 3> reaches: beyond it the engine's cells are all alike."""
SHARPNESS = 2.0
"""Confidences are scaled by this in the cross-entropy, so that 8 apart stands for odds of 10^7. Ours."""
BOX_WEIGHT = 2.0
"""Of the box beside the confidence. Ours."""
LARGEST_EXPONENT = 4.0


def loss(box_maps: Tensor, boxes: Tensor, anchors: Sequence[tuple[float, float]]) -> Tensor:
    """Mean over the frames of box maps [n, 10, H, W] and boxes [n, 4] (x, y, w, h as shares of the frame)."""
    frames, _, rows, columns = box_maps.shape
    values = box_maps.view(frames, ANCHORS, BOX_VALUES, rows, columns)
    cells = boxes * boxes.new_tensor([columns, rows, columns, rows])
    row, column = (cells[:, at].long().clamp(0, size - 1) for at, size in ((1, rows), (0, columns)))
    sizes = boxes.new_tensor(anchors)
    anchor = nearest(cells[:, 2:], sizes)
    own = values[torch.arange(frames), anchor, :, row, column]
    found = torch.cat(
        (
            torch.sigmoid(own[:, :2]) + torch.stack((column, row), 1),
            torch.exp(own[:, 2:4].clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)) * sizes[anchor],
        ),
        1,
    )
    confidence = values[:, :, BOX_VALUES - 1].clamp(-LARGEST_CONFIDENCE, LARGEST_CONFIDENCE).reshape(frames, -1)
    where = (anchor * rows + row) * columns + column
    return nn.functional.cross_entropy(SHARPNESS * confidence, where) + BOX_WEIGHT * (1 - generalized_iou(found, cells))


def nearest(sizes: Tensor, anchors: Tensor) -> Tensor:
    """The anchor [n] whose shape overlaps each size [n, 2] most about one centre."""
    shared = torch.minimum(sizes[:, None], anchors[None]).prod(2)
    return (shared / (sizes.prod(1)[:, None] + anchors.prod(1)[None] - shared)).argmax(1)


def generalized_iou(first: Tensor, second: Tensor) -> Tensor:
    """Mean of IoU less the share of the box around both that neither covers; boxes [n, 4] as x, y, w, h."""
    (low, high), (other_low, other_high) = corners(first), corners(second)
    shared = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0).prod(1)
    union = first[:, 2:].prod(1) + second[:, 2:].prod(1) - shared
    around = (torch.maximum(high, other_high) - torch.minimum(low, other_low)).prod(1)
    return (shared / union - (around - union) / around).mean()


def corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Left and top, right and bottom."""
    return boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
