"""Layers as the engine runs them, cut into tiles and commands: `rtl_models/skynet/README.md`, "Layers".

    add(program, layer, overlap)    append the commands of a layer to a program

Every command works after the one before it; it also loads after it where it is the first of its layer or the layer does
not overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from accelerators.skynet.tasks import TAPS, Depthwise, Pointwise
from hwsim.model import Program
from hwsim.pure import ceil_div

BUNDLE_BUFFERS = 3
"""Buffers that can hold results of depthwise commands in a bundle; the accumulators are none of them."""
LEAST = 2
"""Rows and columns of the smallest tile: the pipeline asks for four pixels."""


class Kind(Enum):
    """What a layer does with each tile."""

    BUNDLE = "bundle"
    DEPTHWISE = "depthwise"
    POINTWISE = "pointwise"


class Tiling(NamedTuple):
    """Tiles of `height` x `width` pixels, of which `pitch_y` x `pitch_x` are kept; `tiles` in a batch."""

    height: int
    width: int
    pitch_y: int
    pitch_x: int
    tiles: int
    joined: bool


class EngineLayer(NamedTuple):
    """One layer of the engine.

    groups   G: groups in; of a pointwise layer the commands that add up to one group out
    outputs  P: groups out of a bundle or a pointwise layer
    full, pooled   what a bundle or a pointwise layer stores
    """

    kind: Kind
    tiling: Tiling
    groups: int
    outputs: int = 0
    image: bool = False
    full: bool = True
    pooled: bool = False
    overlap: bool = False


def joined(height: int, width: int, frames: tuple[int, int]) -> Tiling:
    """All frames in one tile, each with a border of one pixel."""
    rows = max(LEAST, frames[0] * (height + 2) - 2)
    columns = max(LEAST, frames[1] * (width + 2) - 2)
    return Tiling(rows, columns, rows, columns, 1, True)


def split(
    height: int, width: int, frames: tuple[int, int], largest: tuple[int, int], *, whole: bool, even: bool
) -> Tiling:
    """Frame after frame in equal tiles, as few as there can be. `whole`: tiles are computed at their largest size, of
    which all but two rows and columns are kept; `even`: pitches are even, for pooling."""
    rows, kept_rows, down = _cut(height, largest[0], whole, even)
    columns, kept_columns, across = _cut(width, largest[1], whole, even)
    return Tiling(rows, columns, kept_rows, kept_columns, frames[0] * frames[1] * down * across, False)


def _cut(size: int, largest: int, whole: bool, even: bool) -> tuple[int, int, int]:
    """Pixels computed and kept of one tile along one side, and how many tiles there are."""
    most = largest - 2 if whole else largest
    if even:
        most -= most % 2
    count = ceil_div(size, most)
    pitch = max(LEAST, ceil_div(size, count))
    if even:
        pitch += pitch % 2
    return (largest if whole else pitch), pitch, ceil_div(size, pitch)


def commands(layer: EngineLayer) -> Iterator[Depthwise | Pointwise]:
    """The commands of one tile, in order."""
    t, bundle = layer.tiling, layer.kind is Kind.BUNDLE
    if layer.kind is not Kind.POINTWISE:
        for _ in range(layer.groups):
            yield Depthwise(t.height, t.width, int(layer.image), int(bundle))
    if layer.kind is Kind.DEPTHWISE:
        return
    for _ in range(layer.outputs):
        for g in range(layer.groups):
            last = g == layer.groups - 1
            pooled = (t.pitch_y // 2, t.pitch_x // 2) if last and layer.pooled else (0, 0)
            yield Pointwise(t.height, t.width, int(g == 0), int(bundle), int(last and layer.full), *pooled)


def add(program: Program, layer: EngineLayer, depthwise_line: int, pointwise_line: int) -> tuple[int, int]:
    """Append the commands of all tiles; the first and the last step. Lines are those of the report."""
    first = len(program)
    tile = list(commands(layer))
    for number in range(layer.tiling.tiles):
        for k, task in enumerate(tile):
            before = (len(program) - 1,) if len(program) else ()
            line = depthwise_line if isinstance(task, Depthwise) else pointwise_line
            program.add(task, line, before, load_waits=(number == 0 and k == 0) or not layer.overlap)
    return first, len(program) - 1


def weight_words(layer: EngineLayer, lanes: int) -> int:
    """Words of its weights and biases in memory."""
    depthwise = (TAPS + 1) * layer.groups if layer.kind is not Kind.POINTWISE else 0
    return depthwise + layer.outputs * (1 + layer.groups * lanes)
