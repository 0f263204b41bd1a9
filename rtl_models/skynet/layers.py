"""Layers as the circuit runs them, and the commands they are cut into: README.md, "Layers" and "Commands".

Sizes alone: no numbers of a network, and nothing of a model. Shapes are given with a `Shape`, the part of a design that
decides them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from hwsim.errors import bad_input
from hwsim.pure import ceil_div

PIPELINE_CYCLES = 4
TAPS = 9
IMAGE_CHANNELS = 3
BUFFERS = 4
LEAST_PIXELS = 4
ELEMENT_BITS = 16


class Kind(IntEnum):
    """What a layer does, by the number that its descriptor has."""

    BUNDLE = 0
    DEPTHWISE = 1
    POINTWISE = 2


class Layer(NamedTuple):
    """One layer. Names of maps are those of a `Plan`; "" for none.

    channels       of the input, part by part (see Map); of a reordered input, of its source
    outputs        channels out; of a depthwise layer those of its input
    height, width  of a frame of the map that is computed, before pooling
    first_group    of the target map, that this layer writes
    """

    name: str
    kind: Kind
    source: str
    target: str
    pooled: str
    channels: tuple[int, ...]
    outputs: int
    height: int
    width: int
    frames_y: int = 1
    frames_x: int = 1
    tile_height: int = 0
    tile_width: int = 0
    pitch_y: int = 0
    pitch_x: int = 0
    joined: bool = False
    overlap: bool = False
    reorder: bool = False
    relu: bool = True
    first_group: int = 0

    @property
    def image(self) -> bool:
        """Whether the input is the image."""
        return self.source == "image"

    @property
    def frames(self) -> int:
        """Frames of the batch."""
        return self.frames_y * self.frames_x

    @property
    def pixels(self) -> int:
        """T: pixels of a tile."""
        return self.tile_height * self.tile_width

    @property
    def cells(self) -> int:
        """F: pixels of a tile with its border."""
        return (self.tile_height + 2) * (self.tile_width + 2)

    @property
    def pooled_pixels(self) -> int:
        """Q: pooled pixels of a tile."""
        return (self.pitch_y // 2) * (self.pitch_x // 2)

    @property
    def tiles(self) -> tuple[int, int]:
        """Tiles of a frame, down and across; of all frames where they are joined."""
        if self.joined:
            return 1, 1
        return ceil_div(self.height, self.pitch_y), ceil_div(self.width, self.pitch_x)


def groups_of(channels: Sequence[int], lanes: int) -> int:
    """Groups that parts of so many channels take: each part is padded to whole groups."""
    return sum(ceil_div(part, lanes) for part in channels)


def groups_in(layer: Layer, lanes: int) -> int:
    """G: groups that a depthwise or pointwise command list goes through."""
    return (4 if layer.reorder else 1) * groups_of(layer.channels, lanes)


def groups_out(layer: Layer, lanes: int) -> int:
    """P: groups of outputs; 1 where there is no pointwise command."""
    return ceil_div(layer.outputs, lanes) if layer.kind != Kind.DEPTHWISE else 1


def tiled(layer: Layer, tile_height: int, tile_width: int, pitch_y: int = 0, pitch_x: int = 0) -> Layer:
    """The layer, split into tiles of this size; the pitch is the tile unless it is given."""
    return layer._replace(tile_height=tile_height, tile_width=tile_width, pitch_y=pitch_y or tile_height,
                          pitch_x=pitch_x or tile_width, joined=False)  # fmt: skip


def joined(layer: Layer) -> Layer:
    """The layer with all frames in one tile."""
    height = layer.frames_y * (layer.height + 2) - 2
    width = layer.frames_x * (layer.width + 2) - 2
    return layer._replace(tile_height=height, tile_width=width, pitch_y=height, pitch_x=width, joined=True)


# --- commands ---------------------------------------------------------------------------------------------------


class Command(NamedTuple):
    """One command: group in `group`, group out `output` (-1: depthwise). waits: for all before it."""

    layer: int
    depthwise: bool
    group: int
    output: int
    waits: bool
    closes_layer: bool


def commands(layers: Sequence[Layer], lanes: int) -> Iterator[Command]:
    """Every command of a run, in order."""
    for number, layer in enumerate(layers):
        tiles = layer.tiles[0] * layer.tiles[1] * (1 if layer.joined else layer.frames)
        of_tile = list(_of_tile(layer, lanes))
        for tile in range(tiles):
            for at, (depthwise, group, output) in enumerate(of_tile):
                first = tile == 0 and at == 0
                last = tile == tiles - 1 and at == len(of_tile) - 1
                yield Command(number, depthwise, group, output, first or not layer.overlap, last)


def _of_tile(layer: Layer, lanes: int) -> Iterator[tuple[bool, int, int]]:
    inputs = groups_in(layer, lanes)
    if layer.kind != Kind.POINTWISE:
        yield from ((True, group, -1) for group in range(inputs))
    if layer.kind != Kind.DEPTHWISE:
        yield from ((False, group, output) for output in range(groups_out(layer, lanes)) for group in range(inputs))


# --- what the circuit can run -----------------------------------------------------------------------------------


def check(layers: Sequence[Layer], design: Any) -> None:
    """Raises InputError for a layer that the buffers or the sequencer cannot run."""
    for layer in layers:
        for broken, got, rule in _rules(layer, design):
            if broken:
                raise bad_input("layer", f"{layer.name}: {got}", rule, "Change its sizes.")


def _rules(layer: Layer, design: Any) -> Iterator[tuple[bool, object, str]]:
    tile = (layer.tile_height, layer.tile_width)
    yield (tile[0] > design.tile_height or tile[1] > design.tile_width, tile,
           f"a tile has at most {design.tile_height} x {design.tile_width} pixels")  # fmt: skip
    yield layer.pixels < LEAST_PIXELS, tile, f"a tile has at least {LEAST_PIXELS} pixels"
    yield (layer.pitch_y > tile[0] or layer.pitch_x > tile[1], (layer.pitch_y, layer.pitch_x),
           "the pitch is at most the tile")  # fmt: skip
    pools = bool(layer.pooled)
    yield (
        pools and bool(layer.pitch_y % 2 or layer.pitch_x % 2),
        (layer.pitch_y, layer.pitch_x),
        "pooling needs an even pitch",
    )
    yield pools and layer.joined, "pooled", "nothing is pooled in a joined layer"
    yield layer.reorder and layer.kind != Kind.DEPTHWISE, layer.kind.name, "reorder is a way to load depthwise layers"
    most = BUFFERS - (2 if layer.overlap else 1)
    kept = groups_in(layer, design.lanes)
    yield layer.kind == Kind.BUNDLE and kept > most, kept, f"a bundle keeps at most {most} groups"
    yield not layer.target and not layer.pooled, "no target", "a layer writes a map"
