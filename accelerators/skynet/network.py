"""The detector as a list of layers: what is left of SkyNet A, B, C once batch norm is folded.

    plan = PLANS["skynet-c"]
    network = fold(plan, state)          state: arrays by the names of workloads.skynet's state_dict
    maps = evaluate(network, image)      every map by layer name, in floating point

Layers name their sources; `IMAGE` is the normalized image. Maps are [channels, height, width], weights of a depthwise
layer [channels, 3, 3], of a pointwise one [outputs, inputs], biases [outputs]. Source of the structure: arXiv
1909.09709 and the released code TomG008/SkyNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import bad_input
from workloads.skynet import HEAD_OUTPUTS, IMAGE_CHANNELS, PLANS, Plan

__all__ = [
    "IMAGE", "PLANS", "Kind", "Layer", "Network", "Plan", "evaluate", "fold", "interleaved", "interleaving", "max_pool",
    "random_state", "reorg", "reorg_layer",
]  # fmt: skip

IMAGE = "image"
REORG, INTERLEAVED = "reorg", "reorg_interleaved"
"""Names of the reorg layer, as the network has it and with sub-positions innermost."""
TAPS = 9
EPSILON = 1e-5
"""torch.nn.BatchNorm2d's, which the released training code leaves as it is."""
RELU_LIMIT = 6

Array = NDArray[Any]


class Kind(Enum):
    """What a layer does."""

    DEPTHWISE = "depthwise"
    POINTWISE = "pointwise"
    POOL = "pool"
    REORG = "reorg"
    CONCAT = "concat"


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer. `weight` is there for convolutions, `bias` for those with a batch norm; `relu`: 0..6 behind it."""

    name: str
    kind: Kind
    sources: tuple[str, ...]
    weight: Array | None = None
    bias: Array | None = None
    relu: bool = False

    def arrays(self) -> tuple[Array, Array]:
        """Weight and bias of a convolution; zeros where it has no bias."""
        if self.weight is None:
            raise bad_input("layer", self.name, "a convolution needs its weights")
        return self.weight, np.zeros(len(self.weight), self.weight.dtype) if self.bias is None else self.bias

    @property
    def is_convolution(self) -> bool:
        """Whether it has weights."""
        return self.kind in (Kind.DEPTHWISE, Kind.POINTWISE)


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in the order they run. Raises InputError when a source is not known or a shape does not fit."""

    layers: tuple[Layer, ...]
    inputs: int = IMAGE_CHANNELS

    def __post_init__(self) -> None:
        known = {IMAGE: self.inputs}
        for layer in self.layers:
            missing = [s for s in layer.sources if s not in known]
            if missing or not layer.sources or layer.name in known:
                raise bad_input("layer", layer.name, f"sources must come before, names be new; missing: {missing}")
            known[layer.name] = _outputs(layer, [known[s] for s in layer.sources])

    def channels(self) -> dict[str, int]:
        """Channels of every map by name."""
        known = {IMAGE: self.inputs}
        for layer in self.layers:
            known[layer.name] = _outputs(layer, [known[s] for s in layer.sources])
        return known

    def convolutions(self) -> list[Layer]:
        """The layers with weights."""
        return [layer for layer in self.layers if layer.is_convolution]

    def parts(self) -> dict[str, tuple[int, ...]]:
        """Channels of the parts of every map: a reorg makes four of each, a concat keeps its operands' apart.

        A depthwise layer and a pool keep those of their source; a pointwise layer's map is one part, as the image is,
        and as a reorg in interleaved order is.
        """
        known: dict[str, tuple[int, ...]] = {IMAGE: (self.inputs,)}
        for layer in self.layers:
            held = sum((known[s] for s in layer.sources), ())
            known[layer.name] = _parts(layer, held)
        return known

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        arrays = (a for layer in self.convolutions() for a in (layer.weight, layer.bias))
        return sum(a.size for a in arrays if a is not None)


def _parts(layer: Layer, held: tuple[int, ...]) -> tuple[int, ...]:
    if layer.kind is Kind.POINTWISE:
        return (len(layer.arrays()[0]),)
    if layer.kind is not Kind.REORG:
        return held
    return (4 * sum(held),) if layer.name == INTERLEAVED else 4 * held


def _outputs(layer: Layer, inputs: list[int]) -> int:
    total = sum(inputs)
    if layer.kind is not Kind.CONCAT and len(inputs) != 1:
        raise bad_input("layer", layer.name, "only a concatenation has several sources")
    if not layer.is_convolution:
        return 4 * total if layer.kind is Kind.REORG else total
    weight, bias = layer.arrays()
    wanted = (total, 3, 3) if layer.kind is Kind.DEPTHWISE else (len(bias), total)
    if weight.shape != wanted or bias.shape != wanted[:1]:
        got = f"weights {weight.shape}, biases {bias.shape}"
        raise bad_input("layer", layer.name, f"{got}; its {total} input channels ask for weights {wanted}")
    return wanted[0]


# --- making one -------------------------------------------------------------------------------------------------


def fold(plan: Plan, state: Mapping[str, Array]) -> Network:
    """The layers of `plan` with the weights of `state`, each batch norm folded into weights and a bias (float64).

    y = g (w x - m) / sqrt(v + e) + b: weights w g / sqrt(v + e), bias b - m g / sqrt(v + e). Names: `bundle1.dw.weight`
    [C, 1, 3, 3], `bundle1.dw_bn.{weight,bias,running_mean,running_var}`, `bundle1.pw...`, `head.weight` [10, C, 1, 1].
    Raises InputError when one is missing.
    """
    layers: list[Layer] = []
    source = IMAGE
    for i in range(1, len(plan.bundles()) + 1):
        if i == 6:
            layers += _bypass()
            source = "concat"
        layers += [
            Layer(f"dw{i}", Kind.DEPTHWISE, (source,), *_folded(state, f"bundle{i}.dw"), relu=True),
            Layer(f"pw{i}", Kind.POINTWISE, (f"dw{i}",), *_folded(state, f"bundle{i}.pw"), relu=True),
        ]
        source = f"pw{i}"
        if i <= 3:
            layers.append(Layer(f"pool{i}", Kind.POOL, (source,)))
            source = f"pool{i}"
    head = _entry(state, "head.weight")
    matrix = np.asarray(head, np.float64).reshape(head.shape[:2])
    layers.append(Layer("head", Kind.POINTWISE, (source,), matrix))
    return Network(tuple(layers))


def _bypass() -> list[Layer]:
    return [Layer(REORG, Kind.REORG, ("pw3",)), Layer("concat", Kind.CONCAT, (REORG, "pw5"))]


def _folded(state: Mapping[str, Array], name: str) -> tuple[Array, Array]:
    weight = np.asarray(_entry(state, f"{name}.weight"), np.float64)
    kept = weight[:, 0] if name.endswith("dw") else weight[:, :, 0, 0]
    scale, shift, mean, variance = (
        np.asarray(_entry(state, f"{name}_bn.{part}"), np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    gain = scale / np.sqrt(variance + EPSILON)
    return kept * gain.reshape(-1, *(1,) * (kept.ndim - 1)), shift - mean * gain


def _entry(state: Mapping[str, Array], name: str) -> Array:
    if name not in state:
        raise bad_input("state", name, "the trained network has no such array", "Names are those of workloads.skynet.")
    return np.asarray(state[name])


def random_state(plan: Plan, seed: int) -> dict[str, Array]:
    """Arrays for `fold` that keep maps within a few units, from a seed: for tests and benches."""
    rng = np.random.default_rng(seed)
    state: dict[str, Array] = {}
    for i, (inside, out) in enumerate(plan.bundles(), 1):
        for name, shape, fan in (("dw", (inside, 1, 3, 3), TAPS), ("pw", (out, inside, 1, 1), inside)):
            state[f"bundle{i}.{name}.weight"] = rng.normal(0, fan**-0.5, shape)
            state |= {f"bundle{i}.{name}_bn.{part}": values for part, values in _random_norm(rng, shape[0]).items()}
    state["head.weight"] = rng.normal(0, out**-0.5, (HEAD_OUTPUTS, out, 1, 1))
    return state


def _random_norm(rng: np.random.Generator, channels: int) -> dict[str, Array]:
    return {
        "weight": rng.uniform(0.5, 1.5, channels),
        "bias": rng.normal(0.3, 0.5, channels),
        "running_mean": rng.normal(0, 0.3, channels),
        "running_var": rng.uniform(0.3, 1.5, channels),
    }


# --- reorder ----------------------------------------------------------------------------------------------------


def interleaving(channels: int) -> NDArray[np.int64]:
    """Which of the 4 x `channels` reordered channels stands where when sub-positions are innermost.

    Position 4 c + s holds channel c + s * channels (ch, ch + 192, ch + 384, ch + 576 for 192), the order of the
    released FPGA design.
    """
    return np.arange(4 * channels).reshape(4, channels).T.reshape(-1)


def interleaved(network: Network) -> Network:
    """The same function with the bypass channels of Bundle 6 in interleaved order: DW6 permuted, PW6's columns too.

    A map after `concat` then has its first channels in the order of `interleaving`; everything from PW6 on is the same
    function. Sums of PW6 are added in another order, so rounding after each tree may differ. A network without a
    bypass is returned as it is. Whoever runs the result loads the reordered map in that order: `run` and `evaluate` see
    it by the layer's name, INTERLEAVED.
    """
    names = {layer.name for layer in network.layers}
    if REORG not in names:
        return network
    reordered = network.channels()[REORG]
    order = np.arange(network.channels()["concat"])
    order[:reordered] = interleaving(reordered // 4)
    return Network(tuple(_permuted(layer, order) for layer in network.layers), network.inputs)


def _permuted(layer: Layer, order: NDArray[np.int64]) -> Layer:
    sources = tuple(INTERLEAVED if s == REORG else s for s in layer.sources)
    if layer.name == REORG:
        return replace(layer, name=INTERLEAVED)
    if layer.name == "dw6":
        weight, bias = layer.arrays()
        return replace(layer, weight=weight[order], bias=bias[order], sources=sources)
    if layer.name == "pw6":
        return replace(layer, weight=layer.arrays()[0][:, order])
    return replace(layer, sources=sources)


def reorg(x: Array) -> Array:
    """Space to depth, 2x2: channel (2 dy + dx) C + c at (y, x) is channel c at (2y + dy, 2x + dx)."""
    if x.shape[1] % 2 or x.shape[2] % 2:
        raise bad_input("reorg", x.shape, "height and width must be even")
    channels, height, width = x.shape
    cells = x.reshape(channels, height // 2, 2, width // 2, 2)
    return np.ascontiguousarray(cells.transpose(2, 4, 0, 1, 3).reshape(4 * channels, height // 2, width // 2))


def max_pool(x: Array) -> Array:
    """The largest of each 2x2 cells; a last odd row or column is left out, as in the network."""
    height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
    corners = [x[:, dy:height:2, dx:width:2] for dy in (0, 1) for dx in (0, 1)]
    return np.ascontiguousarray(reduce(np.maximum, corners))


def reorg_layer(name: str, x: Array) -> Array:
    """`reorg` in the channel order that a layer's name asks for."""
    reordered = reorg(x)
    return reordered[interleaving(len(x))] if name == INTERLEAVED else reordered


# --- in floating point ------------------------------------------------------------------------------------------


def evaluate(network: Network, image: Array) -> dict[str, Array]:
    """Every map by layer name for a normalized image [3, H, W], in float64."""
    maps: dict[str, Array] = {IMAGE: np.asarray(image, np.float64)}
    for layer in network.layers:
        maps[layer.name] = _evaluated(layer, [maps[s] for s in layer.sources])
    return maps


def _evaluated(layer: Layer, inputs: list[Array]) -> Array:
    if layer.kind is Kind.POOL:
        return max_pool(inputs[0])
    if layer.kind is Kind.REORG:
        return reorg_layer(layer.name, inputs[0])
    if layer.kind is Kind.CONCAT:
        return np.concatenate(inputs)
    weight, bias = layer.arrays()
    product = _depthwise(inputs[0], weight) if layer.kind is Kind.DEPTHWISE else np.tensordot(weight, inputs[0], 1)
    sums = product + bias[:, None, None]
    return np.clip(sums, 0, RELU_LIMIT) if layer.relu else sums


def _depthwise(x: Array, weight: Array) -> Array:
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    taps = ((dy, dx) for dy in range(3) for dx in range(3))
    shifted = (weight[:, dy, dx, None, None] * padded[:, dy : dy + height, dx : dx + width] for dy, dx in taps)
    return np.asarray(sum(shifted))
