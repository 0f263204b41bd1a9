"""Memory contents of a case: weights and maps as words, descriptors of the layers, and the words that must come out.

Layout and fields are those of README.md and of hdl/layer_fields.sv.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.cosim.circuit import Image
from hwsim.errors import bad_input
from rtl_models.skynet.data import Codes, Map, Run, Weights, formats_of
from rtl_models.skynet.layers import ELEMENT_BITS, TAPS, Kind, Layer, groups_in, groups_of, groups_out

MEMORY_WORDS = 1 << 20
IMAGE_BYTES = 1 << 20
MOST_LAYERS = 64
FIELDS = (
    "kind", "flags", "groups_in", "groups_out", "height", "width", "tile_height", "tile_width", "pitch_y", "pitch_x",
    "frames_y", "frames_x", "source", "source_groups", "target", "target_groups", "target_first", "pooled",
    "dw_weights", "pw_weights", "tiles_y", "tiles_x",
)  # fmt: skip


class Memory(NamedTuple):
    """What lies in memory before a run: words from address 0, image bytes, descriptors; and where the results lie."""

    words: list[int]
    image: list[int]
    descriptors: list[int]
    result_base: int
    results: list[int]


# --- words ------------------------------------------------------------------------------------------------------


def packed(elements: NDArray[np.int64]) -> list[int]:
    """Words of [words, lanes] elements, lane 0 lowest, two's complement in 16 bits each."""
    halves = np.ascontiguousarray(elements, np.int64).astype("<i2")
    return [int.from_bytes(row.tobytes(), "little") for row in halves]


def in_groups(codes: Codes, parts: Sequence[int], lanes: int) -> Codes:
    """[..., channels, ...] on axis 0 with every part padded with zeros to whole groups: [groups * lanes, ...]."""
    padded, first = [], 0
    for part in parts:
        block = codes[first : first + part]
        short = -part % lanes
        padded.append(np.concatenate((block, np.zeros((short, *block.shape[1:]), np.int64))))
        first += part
    return np.concatenate(padded)


def map_words(codes: Codes, parts: Sequence[int], lanes: int) -> list[int]:
    """A map [frame, channel, row, column]: frame, group, row, column, lane."""
    words: list[int] = []
    for frame in codes:
        channels = in_groups(frame, parts, lanes)
        groups = channels.reshape(-1, lanes, *channels.shape[1:]).transpose(0, 2, 3, 1)
        words += packed(groups.reshape(-1, lanes))
    return words


def depthwise_words(weights: Weights, parts: Sequence[int], lanes: int) -> list[int]:
    """For each group, its bias and nine taps."""
    assert weights.depthwise is not None
    assert weights.depthwise_bias is not None
    flat = np.concatenate((weights.depthwise_bias[:, None], weights.depthwise.reshape(-1, TAPS)), 1)
    groups = in_groups(flat, parts, lanes).reshape(-1, lanes, TAPS + 1)
    return packed(groups.transpose(0, 2, 1).reshape(-1, lanes))


def pointwise_words(weights: Weights, parts: Sequence[int], lanes: int) -> list[int]:
    """For each group of outputs its bias, then for each input channel, padded by parts, the weights of the outputs."""
    assert weights.pointwise is not None
    assert weights.pointwise_bias is not None
    outputs = (len(weights.pointwise_bias),)
    inputs = in_groups(weights.pointwise.T, parts, lanes)
    rows = in_groups(inputs.T, outputs, lanes).reshape(-1, lanes, len(inputs))
    bias = in_groups(weights.pointwise_bias, outputs, lanes).reshape(-1, lanes, 1)
    return packed(np.concatenate((bias, rows), 2).transpose(0, 2, 1).reshape(-1, lanes))


# --- layers -----------------------------------------------------------------------------------------------------


def input_parts(layer: Layer) -> tuple[int, ...]:
    """Channels of what a layer computes on, part by part."""
    return layer.channels * 4 if layer.reorder else layer.channels


def flags(layer: Layer) -> int:
    """The bits of a layer's flags."""
    bits = (layer.overlap, layer.joined, layer.image, layer.reorder, layer.relu, bool(layer.target), bool(layer.pooled))
    return sum(int(bit) << at for at, bit in enumerate(bits))


def descriptor(
    layer: Layer, lanes: int, maps: Mapping[str, Map], at: Mapping[str, int], weights: Sequence[int]
) -> list[int]:
    """The words of a layer's descriptor. at: addresses of maps; weights: those of its two blocks."""
    target = groups_of(maps[layer.target].parts, lanes) if layer.target else 0
    tiles = layer.tiles
    values = {
        "kind": int(layer.kind), "flags": flags(layer), "groups_in": groups_in(layer, lanes),
        "groups_out": groups_out(layer, lanes), "height": layer.height, "width": layer.width,
        "tile_height": layer.tile_height, "tile_width": layer.tile_width, "pitch_y": layer.pitch_y,
        "pitch_x": layer.pitch_x, "frames_y": layer.frames_y, "frames_x": layer.frames_x,
        "source": 0 if layer.image else at[layer.source], "source_groups": groups_of(layer.channels, lanes),
        "target": at.get(layer.target, 0), "target_groups": target, "target_first": layer.first_group,
        "pooled": at.get(layer.pooled, 0), "dw_weights": weights[0], "pw_weights": weights[1],
        "tiles_y": tiles[0], "tiles_x": tiles[1],
    }  # fmt: skip
    return [values[field] for field in FIELDS]


def memory(design: Any, run: Run) -> Memory:
    """Weights, given maps, room for the results. Raises InputError where a memory of the bench is too small."""
    lanes = design.lanes
    words: list[int] = []
    blocks = []
    for layer, weights in zip(run.layers, run.weights, strict=True):
        depthwise = depthwise_words(weights, input_parts(layer), lanes) if layer.kind != Kind.POINTWISE else []
        pointwise = pointwise_words(weights, layer.channels, lanes) if layer.kind != Kind.DEPTHWISE else []
        blocks.append((len(words), len(words) + len(depthwise)))
        words += depthwise + pointwise
    at: dict[str, int] = {}
    for name, codes in run.given.items():
        at[name] = len(words)
        words += map_words(codes, run.maps[name].parts, lanes)
    base = len(words)
    results: list[int] = []
    for name, codes in run.wanted.items():
        at[name] = base + len(results)
        results += map_words(codes, run.maps[name].parts, lanes)
    image = [] if run.image is None else run.image.reshape(-1).tolist()
    _check_room(base + len(results), len(image), len(run.layers))
    pairs = zip(run.layers, blocks, strict=True)
    described = [word for layer, block in pairs for word in descriptor(layer, lanes, run.maps, at, block)]
    return Memory(words, image or [0], described, base, results)


def _check_room(words: int, image_bytes: int, layers: int) -> None:
    for what, got, most in (("words", words, MEMORY_WORDS), ("image bytes", image_bytes, IMAGE_BYTES),
                            ("layers", layers, MOST_LAYERS)):  # fmt: skip
        if got > most:
            raise bad_input("memory", f"{got} {what}", f"the bench has room for {most}", "Make the case smaller.")


def normalization(design: Any) -> Image:
    """The codes of the 256 bytes."""
    from accelerators.skynet import fixed

    bits = design.feature_bits
    return Image(bits, [int(code) % (1 << bits) for code in fixed.normalization(formats_of(design))])


def images(design: Any, run: Run) -> tuple[Memory, dict[str, Image]]:
    """The memory, and the images that the circuit reads."""
    held = memory(design, run)
    word_bits = ELEMENT_BITS * design.lanes
    return held, {"map": Image(word_bits, held.words), "image": Image(8, held.image),
                  "layers": Image(32, held.descriptors), "codes": normalization(design)}  # fmt: skip
