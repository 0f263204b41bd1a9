"""What a case of the SkyNet circuit computes: its task, its layers, its numbers, and the maps that must come out.

Everything follows from the task, the design's sizes and the seed. Maps come from `accelerators.skynet.fixed`, which
knows nothing of tiles, groups or commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerators.skynet import fixed, network
from hwsim.config import Doc, Range
from hwsim.pure import ceil_div
from rtl_models.skynet.layers import BUFFERS, IMAGE_CHANNELS, Kind, Layer, groups_of, joined, tiled

Codes = NDArray[np.int64]
PUBLISHED = network.Plan()


class What(IntEnum):
    """What a task runs."""

    BUNDLE = 0
    """Depthwise and pointwise convolution tile by tile, from a map or an image."""
    DEPTHWISE = 1
    POINTWISE = 2
    BYPASS = 3
    """A map reordered and another, both through depthwise convolutions into one map, and a pointwise one of that."""
    NETWORK = 4
    """SkyNet C with a part of its channels, image to head."""
    PAIR = 5
    """A pointwise layer that is pooled, and one of the pooled map: one of the two has ReLU6."""


class Values(IntEnum):
    """Which numbers weights and maps hold."""

    NORMAL = 0
    """Maps and weights of about 1, so that few results saturate."""
    ANY = 1
    """All codes alike: most results saturate."""
    HALVES = 2
    """Few and round ones, whose products often lie halfway between two codes."""


@dataclass(frozen=True, slots=True)
class Task:
    """A layer, or a chain of them. A tile of 0 joins all frames in one."""

    what: Annotated[What, Doc("bundle, depthwise, pointwise, bypass, network or pair")]
    height: Annotated[int, Range(1, 512), Doc("rows of a frame of the map that is computed")]
    width: Annotated[int, Range(1, 1024), Doc("columns of it")]
    channels: Annotated[int, Range(1, 1024), Doc("channels in; of a network, the divisor of its channels")]
    outputs: Annotated[int, Range(0, 1024), Doc("channels out, where there is a pointwise convolution")] = 0
    frames_y: Annotated[int, Range(1, 4), Doc("frames of the batch, down")] = 1
    frames_x: Annotated[int, Range(1, 4), Doc("frames of the batch, across")] = 1
    tile_rows: Annotated[int, Range(0, 256), Doc("rows of a tile; 0: all frames in one")] = 0
    tile_columns: Annotated[int, Range(0, 256), Doc("columns of a tile")] = 0
    pitch_rows: Annotated[int, Range(0, 256), Doc("rows from tile to tile; 0: those of the tile")] = 0
    pitch_columns: Annotated[int, Range(0, 256), Doc("columns from tile to tile; 0: those of the tile")] = 0
    overlap: Annotated[bool, Doc("loads run under work; of a network, where the released design has it")] = False
    image: Annotated[bool, Doc("the input is an image of bytes; bundle and depthwise")] = False
    reorder: Annotated[bool, Doc("the input is a map of twice the size, reordered; depthwise")] = False
    relu: Annotated[bool, Doc("ReLU6 behind the layer; behind a bundle's depthwise part it always is")] = True
    stored: Annotated[bool, Doc("the map is stored as it is")] = True
    pooled: Annotated[bool, Doc("the map is stored pooled")] = False
    values: Annotated[Values, Doc("normal, any or halves")] = Values.NORMAL

    def problems(self) -> Iterable[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy) of each one broken."""
        if bool(self.outputs) != (self.what in (What.BUNDLE, What.POINTWISE, What.BYPASS, What.PAIR)):
            yield "outputs", "channels out are those of a pointwise convolution", "Give them there, and only there."
        if self.image and (self.what not in (What.BUNDLE, What.DEPTHWISE) or self.channels != IMAGE_CHANNELS):
            yield "image", "an image has 3 channels, and is read by bundle and depthwise", "Leave it out."
        if self.reorder and (self.what != What.DEPTHWISE or self.image):
            yield "reorder", "a depthwise layer reorders a map", "Leave it out."
        if self.pooled and self.what not in (What.BUNDLE, What.POINTWISE, What.PAIR):
            yield "pooled", "bundle and pointwise pool", "Leave it out."
        if bool(self.tile_rows) != bool(self.tile_columns):
            yield "tile_rows", "a tile has rows and columns, or neither", "Give both."
        if not self.stored and not self.pooled:
            yield "stored", "something is stored", "Leave it out, or pool."
        if self.what == What.NETWORK and (self.height % 8 or self.width % 8):
            yield "height", "an image is a multiple of 8 both ways", "Write such sizes."


class Weights(NamedTuple):
    """Codes of a layer: depthwise [C, 3, 3] and [C], pointwise [O, C] and [O]; None where it has no such part."""

    depthwise: Codes | None = None
    depthwise_bias: Codes | None = None
    pointwise: Codes | None = None
    pointwise_bias: Codes | None = None


class Map(NamedTuple):
    """A map in memory: channels part by part, each padded to whole groups; pixels of a frame."""

    parts: tuple[int, ...]
    height: int
    width: int

    def words(self, lanes: int, frames: int) -> int:
        """What it takes of memory."""
        return frames * groups_of(self.parts, lanes) * self.height * self.width


class Run(NamedTuple):
    """Layers with their numbers. given: maps that lie in memory at first; wanted: those that must lie there at last, in
    the order of memory. Both are [frame, channel, row, column]."""

    layers: tuple[Layer, ...]
    weights: tuple[Weights, ...]
    maps: Mapping[str, Map]
    given: Mapping[str, Codes]
    image: NDArray[np.uint8] | None
    wanted: Mapping[str, Codes]


def formats_of(design: Any) -> fixed.Formats:
    """The design's number formats. Trees are wide enough never to saturate ahead of an accumulator."""
    fields = ("feature", "weight", "accumulator")
    return fixed.Formats(
        **{f"{f}{rest}": getattr(design, f"{f}{rest}") for f in fields for rest in ("_bits", "_integer_bits")}
    )


@lru_cache(maxsize=512)
def run_of(design: Any, task: Task, seed: int) -> Run:
    """The layers, numbers and results of a case."""
    return _BUILDERS[task.what](design, task, np.random.default_rng(seed))


def planned(design: Any, task: Task) -> tuple[Layer, ...]:
    """The layers of a case, without their numbers."""
    if task.what == What.NETWORK:
        return _network_layers(design, task)
    if task.what == What.PAIR:
        return _pair_layers(task)
    return _bypass_layers(design, task) if task.what == What.BYPASS else (_single_layer(task),)


# --- numbers ----------------------------------------------------------------------------------------------------


def _drawn(rng: np.random.Generator, task: Task, shape: tuple[int, ...], kind: fixed.Fixed, spread: float) -> Codes:
    """Codes of one type; `spread` is the deviation of normal ones."""
    if task.values == Values.ANY:
        return rng.integers(kind.low, kind.high + 1, shape)
    if task.values == Values.HALVES:
        step = 1 << max(0, kind.fraction_bits - 1)
        return np.clip(rng.integers(-3, 4, shape) * (step if spread < 1 else 1), kind.low, kind.high)
    return fixed.quantize_array(rng.normal(0, spread, shape), kind)


def _map(rng: np.random.Generator, design: Any, task: Task, channels: int, height: int, width: int) -> Codes:
    frames = task.frames_y * task.frames_x
    return _drawn(rng, task, (frames, channels, height, width), formats_of(design).feature, 1.0)


def _depthwise_weights(rng: np.random.Generator, design: Any, task: Task, channels: int) -> tuple[Codes, Codes]:
    kind = formats_of(design).weight
    return _drawn(rng, task, (channels, 3, 3), kind, 0.33), _drawn(rng, task, (channels,), kind, 0.5)


def _pointwise_weights(
    rng: np.random.Generator, design: Any, task: Task, channels: int, outputs: int
) -> tuple[Codes, Codes]:
    kind = formats_of(design).weight
    return _drawn(rng, task, (outputs, channels), kind, channels**-0.5 * 0.9), _drawn(rng, task, (outputs,), kind, 0.5)


def _each_frame(compute: Callable[[Any], Codes], maps: NDArray[Any]) -> Codes:
    return np.stack([compute(frame) for frame in maps])


def _image(rng: np.random.Generator, task: Task) -> NDArray[np.uint8]:
    shape = (task.frames_y * task.frames_x, IMAGE_CHANNELS, task.height, task.width)
    return rng.integers(0, 256, shape, dtype=np.uint8)


# --- layers -----------------------------------------------------------------------------------------------------


def _shaped(task: Task, layer: Layer) -> Layer:
    """The layer with the task's frames and tiles."""
    layer = layer._replace(frames_y=task.frames_y, frames_x=task.frames_x, overlap=task.overlap)
    if not task.tile_rows:
        return joined(layer)
    return tiled(layer, task.tile_rows, task.tile_columns, task.pitch_rows, task.pitch_columns)


def _single_layer(task: Task) -> Layer:
    outputs = task.outputs or task.channels * (4 if task.reorder else 1)
    return _shaped(task, Layer(
        task.what.name.lower(), Kind[task.what.name], "image" if task.image else "input",
        "output" if task.stored else "", "pooled" if task.pooled else "", (task.channels,), outputs, task.height,
        task.width, reorder=task.reorder, relu=task.relu,
    ))  # fmt: skip


def _single(design: Any, task: Task, rng: np.random.Generator) -> Run:
    """One layer of any kind."""
    formats, layer = formats_of(design), _single_layer(task)
    scale = 2 if task.reorder else 1
    image = _image(rng, task) if task.image else None
    given = {}
    if image is None:
        given["input"] = _map(rng, design, task, task.channels, scale * task.height, scale * task.width)
    inputs = given["input"] if image is None else _each_frame(lambda x: fixed.normalize(x, formats), image)
    if task.reorder:
        inputs = _each_frame(network.reorg, inputs)
    weights = _weights(design, task, rng, layer.kind, inputs.shape[1], layer.outputs)
    out = _each_frame(lambda x: _computed(design, layer, weights, x), inputs)
    wanted = {"output": out} if task.stored else {}
    if task.pooled:
        wanted["pooled"] = _each_frame(network.max_pool, out)
    parts = (task.channels,) * 4 if task.reorder else (layer.outputs,)
    maps = {name: Map((task.channels,), *codes.shape[2:]) for name, codes in given.items()}
    maps |= {name: Map(parts, *codes.shape[2:]) for name, codes in wanted.items()}
    return Run((layer,), (weights,), maps, given, image, wanted)


def _weights(design: Any, task: Task, rng: np.random.Generator, kind: Kind, channels: int, outputs: int) -> Weights:
    depthwise = _depthwise_weights(rng, design, task, channels) if kind != Kind.POINTWISE else (None, None)
    pointwise = _pointwise_weights(rng, design, task, channels, outputs) if kind != Kind.DEPTHWISE else (None, None)
    return Weights(*depthwise, *pointwise)


def _computed(design: Any, layer: Layer, weights: Weights, x: Codes, parts: tuple[int, ...] = ()) -> Codes:
    """A frame through a layer, unpooled."""
    formats = formats_of(design)
    if weights.depthwise is not None and weights.depthwise_bias is not None:
        relu = layer.relu if layer.kind == Kind.DEPTHWISE else True
        x = fixed.depthwise(x, weights.depthwise, weights.depthwise_bias, formats, relu)
    if weights.pointwise is not None and weights.pointwise_bias is not None:
        inputs = design.inputs_per_cycle
        x = fixed.pointwise(x, weights.pointwise, weights.pointwise_bias, formats, layer.relu, parts, inputs)
    return x


def _bypass_layers(design: Any, task: Task) -> tuple[Layer, Layer, Layer]:
    size, channels = (task.height, task.width), task.channels
    parts = (channels,) * 4 + (2 * channels,)
    early = Layer("early", Kind.DEPTHWISE, "early", "both", "", (channels,), 4 * channels, *size, reorder=True)
    late = Layer("late", Kind.DEPTHWISE, "late", "both", "", (2 * channels,), 2 * channels, *size,
                 first_group=groups_of(parts[:4], design.lanes))  # fmt: skip
    mix = Layer("mix", Kind.POINTWISE, "both", "output", "", parts, task.outputs, *size, relu=task.relu)
    return _shaped(task, early), _shaped(task, late), _shaped(task, mix)


def _bypass(design: Any, task: Task, rng: np.random.Generator) -> Run:
    """Two depthwise layers into one map, the first of a reordered map, and a pointwise layer."""
    height, width, channels = task.height, task.width, task.channels
    layers = _bypass_layers(design, task)
    parts = layers[2].channels
    given = {"early": _map(rng, design, task, channels, 2 * height, 2 * width),
             "late": _map(rng, design, task, 2 * channels, height, width)}  # fmt: skip
    weights = (
        _weights(design, task, rng, Kind.DEPTHWISE, 4 * channels, 0),
        _weights(design, task, rng, Kind.DEPTHWISE, 2 * channels, 0),
        _weights(design, task, rng, Kind.POINTWISE, sum(parts), task.outputs),
    )
    early = _each_frame(lambda x: _computed(design, layers[0], weights[0], network.reorg(x)), given["early"])
    late = _each_frame(lambda x: _computed(design, layers[1], weights[1], x), given["late"])
    both = np.concatenate((early, late), 1)
    output = _each_frame(lambda x: _computed(design, layers[2], weights[2], x, parts), both)
    maps = {"early": Map((channels,), 2 * height, 2 * width), "late": Map((2 * channels,), height, width),
            "both": Map(parts, height, width), "output": Map((task.outputs,), height, width)}  # fmt: skip
    return Run(layers, weights, maps, given, None, {"both": both, "output": output})


def _pair_layers(task: Task) -> tuple[Layer, Layer]:
    size, half = (task.height, task.width), (task.height // 2, task.width // 2)
    first = Layer("first", Kind.POINTWISE, "input", "", "pooled", (task.channels,), task.outputs, *size, relu=task.relu)
    second = Layer("second", Kind.POINTWISE, "pooled", "output", "", (task.outputs,), task.outputs, *half,
                   relu=not task.relu)  # fmt: skip
    return _shaped(task, first), _shaped(task, second)


def _pair(design: Any, task: Task, rng: np.random.Generator) -> Run:
    """A pooled layer and one behind it, of which one clips and the other does not."""
    layers = _pair_layers(task)
    x = _map(rng, design, task, task.channels, task.height, task.width)
    weights = tuple(
        _weights(design, task, rng, Kind.POINTWISE, channels, task.outputs)
        for channels in (task.channels, task.outputs)
    )
    first = _each_frame(lambda frame: _computed(design, layers[0], weights[0], frame), x)
    pooled = _each_frame(network.max_pool, first)
    output = _each_frame(lambda frame: _computed(design, layers[1], weights[1], frame), pooled)
    maps = {"input": Map((task.channels,), task.height, task.width)}
    wanted = {"pooled": pooled, "output": output}
    maps |= {name: Map((task.outputs,), *codes.shape[2:]) for name, codes in wanted.items()}
    return Run(layers, weights, maps, {"input": x}, None, wanted)


# --- a whole network --------------------------------------------------------------------------------------------


def scaled_plan(divisor: int) -> network.Plan:
    """SkyNet C with a part of its channels."""
    return network.Plan(tuple(ceil_div(c, divisor) for c in PUBLISHED.channels), ceil_div(PUBLISHED.last, divisor))


def _network(design: Any, task: Task, rng: np.random.Generator) -> Run:
    plan = scaled_plan(task.channels)
    seed = int(rng.integers(1 << 31))
    numbers = fixed.quantize(network.fold(plan, network.random_state(plan, seed)), formats_of(design))
    return network_run(design, task, numbers, _image(rng, task))


@lru_cache(maxsize=64)
def _network_layers(design: Any, task: Task) -> tuple[Layer, ...]:
    plan = scaled_plan(task.channels)
    shapes = network.fold(plan, network.random_state(plan, 0))
    return _NetworkBuilder(design, task, {layer.name: layer for layer in shapes.convolutions()}).layers()[0]


def network_run(design: Any, task: Task, numbers: network.Network, image: NDArray[np.uint8]) -> Run:
    """A quantized SkyNet with a bypass on `image` [frames, 3, H, W]: as the released design maps it (README.md)."""
    formats = formats_of(design)
    built = _NetworkBuilder(design, task, {layer.name: layer for layer in numbers.convolutions()})
    layers, weights = built.layers()
    frames = [fixed.run(numbers, fixed.normalize(one, formats), formats, design.inputs_per_cycle) for one in image]
    names = _written(layers)
    wanted = {name: np.stack([maps[name] for maps in frames]) for name in names}
    maps = {name: Map(built.parts(name), *wanted[name].shape[2:]) for name in names}
    return Run(layers, weights, maps, {}, image, wanted)


def _written(layers: Iterable[Layer]) -> list[str]:
    return list(dict.fromkeys(name for layer in layers for name in (layer.target, layer.pooled) if name))


class _NetworkBuilder:
    """SkyNet C as layers of the circuit."""

    def __init__(self, design: Any, task: Task, convolutions: Mapping[str, network.Layer]) -> None:
        self.design, self.task, self.convolutions = design, task, convolutions

    def layers(self) -> tuple[tuple[Layer, ...], tuple[Weights, ...]]:
        """All layers with their weights."""
        pairs = [pair for bundle in range(1, 4) for pair in self._early(bundle)]
        for bundle in (4, 5):
            source = "pool3" if bundle == 4 else "pw4"
            pairs += [
                self._depthwise(f"dw{bundle}", source, f"dw{bundle}", 3),
                self._pointwise(f"pw{bundle}", f"dw{bundle}"),
            ]
        pairs += self._behind_the_bypass()
        pairs.append(self._pointwise("head", "pw6"))
        return tuple(layer for layer, _ in pairs), tuple(weights for _, weights in pairs)

    def parts(self, name: str) -> tuple[int, ...]:
        """Channels of a map, part by part."""
        if name == "dw6":
            third, fifth = self._outputs("pw3"), self._outputs("pw5")
            return (third,) * 4 + (fifth,)
        return (self._outputs(name.replace("pool", "pw")),)

    def _outputs(self, name: str) -> int:
        return len(self.convolutions[name].arrays()[1])

    def _size(self, poolings: int) -> tuple[int, int]:
        return self.task.height >> poolings, self.task.width >> poolings

    def _shaped(self, layer: Layer, overlap: bool) -> Layer:
        """Joined where the frames fit in a tile, else split. Overlap as released, where the task has it."""
        layer = layer._replace(frames_y=self.task.frames_y, frames_x=self.task.frames_x,
                               overlap=overlap and self.task.overlap)  # fmt: skip
        whole = joined(layer)
        fits = whole.tile_height <= self.design.tile_height and whole.tile_width <= self.design.tile_width
        if fits and not layer.pooled:
            return whole
        task = self.task
        return tiled(layer, task.tile_rows, task.tile_columns, task.pitch_rows, task.pitch_columns)

    def _early(self, bundle: int) -> list[tuple[Layer, Weights]]:
        """Bundles 1 to 3: tile by tile where their depthwise results find room, else layer by layer."""
        source = "image" if bundle == 1 else f"pool{bundle - 1}"
        channels = (self._outputs(f"pw{bundle - 1}"),) if bundle > 1 else (IMAGE_CHANNELS,)
        keep = "pw3" if bundle == 3 else ""
        overlap = bundle == 1 and self.task.overlap
        if groups_of(channels, self.design.lanes) > BUFFERS - (2 if overlap else 1):
            first = self._depthwise(f"dw{bundle}", source, f"dw{bundle}", bundle - 1)
            last, weights = self._pointwise(f"pw{bundle}", f"dw{bundle}", bundle - 1)
            last = self._shaped(last._replace(target=keep, pooled=f"pool{bundle}"), False)
            return [first, (last, weights)]
        layer = Layer(f"bundle{bundle}", Kind.BUNDLE, source, keep, f"pool{bundle}", channels,
                      self._outputs(f"pw{bundle}"), *self._size(bundle - 1))  # fmt: skip
        depthwise, pointwise = self.convolutions[f"dw{bundle}"], self.convolutions[f"pw{bundle}"]
        return [(self._shaped(layer, overlap), Weights(*depthwise.arrays(), *pointwise.arrays()))]

    def _depthwise(self, name: str, source: str, target: str, poolings: int) -> tuple[Layer, Weights]:
        channels = self._outputs(name)
        layer = Layer(name, Kind.DEPTHWISE, source, target, "", (channels,), channels, *self._size(poolings))
        return self._shaped(layer, True), Weights(*self.convolutions[name].arrays())

    def _pointwise(self, name: str, source: str, poolings: int = 3) -> tuple[Layer, Weights]:
        convolution = self.convolutions[name]
        layer = Layer(name, Kind.POINTWISE, source, name, "", self.parts(source), self._outputs(name),
                      *self._size(poolings), relu=convolution.relu)  # fmt: skip
        return self._shaped(layer, True), Weights(None, None, *convolution.arrays())

    def _behind_the_bypass(self) -> list[tuple[Layer, Weights]]:
        """DW6 in two layers, of Bundle 3's map reordered and of Bundle 5's, into one map; and PW6."""
        third, fifth = self._outputs("pw3"), self._outputs("pw5")
        weight, bias = self.convolutions["dw6"].arrays()
        first = Layer(
            "dw6.reorder", Kind.DEPTHWISE, "pw3", "dw6", "", (third,), 4 * third, *self._size(3), reorder=True
        )
        second = Layer("dw6.direct", Kind.DEPTHWISE, "pw5", "dw6", "", (fifth,), fifth, *self._size(3),
                       first_group=groups_of((third,) * 4, self.design.lanes))  # fmt: skip
        return [
            (self._shaped(first, True), Weights(weight[: 4 * third], bias[: 4 * third])),
            (self._shaped(second, True), Weights(weight[4 * third :], bias[4 * third :])),
            self._pointwise("pw6", "dw6"),
        ]


_BUILDERS: Mapping[What, Callable[[Any, Task, np.random.Generator], Run]] = {
    What.BUNDLE: _single, What.DEPTHWISE: _single, What.POINTWISE: _single, What.BYPASS: _bypass,
    What.NETWORK: _network, What.PAIR: _pair,
}  # fmt: skip
