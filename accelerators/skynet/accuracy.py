"""How well a detector's boxes fit the detection set's: in floating point, and with the engine's numbers, to the bit.

    network = load(TRAINED)                                    the trained detector that is shipped, batch norm folded
    anchors = anchor_cells()                                   k-means on the training boxes
    mean_iou(fixed_maps(network, images, formats), boxes, anchors)

IoU is the mean over frames of intersection over union of the one box found and the one there. No PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerators.arrays import read_arrays, write_arrays
from accelerators.skynet import boxes, detection, fixed, network
from accelerators.skynet.fixed import Formats
from accelerators.skynet.network import Layer, Network
from hwsim.errors import bad_input
from workloads.skynet import Plan

TRAINED = Path(__file__).with_name("trained")
"""Folder of the shipped detectors."""
PLAN = Plan((12, 24, 32, 48, 64), 24)
"""SkyNet C at about a quarter to an eighth of its channels: what is trained here."""
CELL = 8
"""Pixels of a frame to a cell of the box map."""
ANCHOR_FRAMES = 2_000
TEST_FRAMES = 400

Boxes = NDArray[np.float64]


class Scheme(NamedTuple):
    """Widths of features and weights in bits; (0, 0) is floating point. The points stay where the release has them."""

    feature_bits: int
    weight_bits: int

    @property
    def formats(self) -> Formats:
        """The engine's types. Raises InputError for floating point."""
        if not self.feature_bits:
            raise bad_input("scheme", "floating point", "the engine computes with codes")
        return Formats(feature_bits=self.feature_bits, weight_bits=self.weight_bits)


FLOAT = Scheme(0, 0)
PUBLISHED_IOU: Mapping[Scheme, float] = {
    FLOAT: 0.741, Scheme(9, 11): 0.727, Scheme(9, 10): 0.714, Scheme(8, 11): 0.690, Scheme(8, 10): 0.680,
}  # fmt: skip
"""Of SkyNet C on the contest's validation set: the paper's schemes 0 to 4, as known from reading notes."""


@lru_cache(maxsize=1)
def anchor_cells() -> tuple[tuple[float, float], ...]:
    """The two anchors of the detection set in cells, from its first training boxes."""
    known = detection.compose(detection.load_sources(), "train", ANCHOR_FRAMES)
    return detection.anchors(known.boxes, detection.HEIGHT // CELL, detection.WIDTH // CELL)


def mean_iou(box_maps: Iterable[NDArray[Any]], wanted: Boxes, anchors: Sequence[tuple[float, float]]) -> float:
    """Mean IoU of the boxes that box maps [10, H, W] of values hold with those wanted [n, 4]."""
    found = np.array([boxes.decode(box_map, anchors)[:4] for box_map in box_maps])
    return float(boxes.iou(found, wanted).mean())


def fixed_maps(trained: Network, images: NDArray[np.uint8], formats: Formats) -> Iterator[NDArray[np.float64]]:
    """Box maps of images [n, 3, H, W] as values, as the engine computes them."""
    coded = fixed.quantize(trained, formats)
    for image in images:
        codes = fixed.run(coded, fixed.normalize(image, formats), formats)["head"]
        yield fixed.dequantize(codes, formats.feature)


def float_maps(trained: Network, images: NDArray[np.uint8]) -> Iterator[NDArray[np.float64]]:
    """Box maps of images [n, 3, H, W] in float64."""
    for image in images:
        yield network.evaluate(trained, (image / 255 - 0.5) / 0.25)["head"]


# --- files --------------------------------------------------------------------------------------------------------


def save(trained: Network, path: Path) -> None:
    """Weights and biases of a folded network as float32, by layer."""
    write_arrays(path, {name: array.astype(np.float32) for name, array in _arrays(trained)})


def load(path: Path, plan: Plan = PLAN) -> Network:
    """A network that `save` wrote. Raises InputError for a file of other arrays or shapes."""
    shape = network.fold(plan, network.random_state(plan, 0))
    held = read_arrays(path, [name for name, _ in _arrays(shape)])
    for name, array in _arrays(shape):
        if held[name].shape != array.shape or held[name].dtype != np.float32:
            got = f"{held[name].dtype} {held[name].shape}"
            raise bad_input("array", f"{path.name}: {name} {got}", f"float32 {array.shape} for this plan")
    return Network(tuple(_filled(layer, held) for layer in shape.layers), shape.inputs)


def _arrays(trained: Network) -> Iterator[tuple[str, NDArray[Any]]]:
    for layer in trained.convolutions():
        yield f"{layer.name}.weight", layer.arrays()[0]
        if layer.bias is not None:
            yield f"{layer.name}.bias", layer.bias


def _filled(layer: Layer, held: Mapping[str, NDArray[Any]]) -> Layer:
    weight, bias = (held.get(f"{layer.name}.{part}") for part in ("weight", "bias"))
    return replace(layer, weight=_wide(weight), bias=_wide(bias))


def _wide(array: NDArray[Any] | None) -> NDArray[np.float64] | None:
    return None if array is None else array.astype(np.float64)
