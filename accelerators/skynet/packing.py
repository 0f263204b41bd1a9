"""Weights as the engine's memory holds them: words of `lanes` elements of 16 bits, in the order of its commands.

A *group* is `lanes` consecutive channels; every part of a map (see `Network.parts`) is padded with zeros to whole
groups. For each convolution in network order:

    depthwise   for each input group:   a bias word, then a block of nine words, tap (0, 0), (0, 1) ... (2, 2);
                                        lane c is channel c of the group
    pointwise   for each output group:  a bias word, then for each input group a block of `lanes` words;
                                        word i is input channel i of the group, lane o output channel o

A layer without biases (the head) has no bias words. An element is the weight's code in two's complement. SkyNet C at 32
lanes: 413 pointwise blocks, 64 depthwise blocks, 106 bias words, 889,472 bytes, the size of the released file; the
order of blocks in that file is not documented in public text, this one is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from accelerators.skynet.network import TAPS, Kind, Layer, Network
from hwsim.errors import bad_input
from hwsim.pure import ceil_div

LANES = 32
ELEMENT_BITS = 16

Words = NDArray[np.uint16]


class Sizes(NamedTuple):
    """What a packed network consists of."""

    pointwise_blocks: int
    depthwise_blocks: int
    bias_words: int
    bits: int


def sizes(network: Network, lanes: int = LANES) -> Sizes:
    """Blocks, bias words and bits of the packed network."""
    pointwise = depthwise = biases = 0
    for layer, slots, outputs in _padded_layers(network, lanes):
        if layer.kind is Kind.DEPTHWISE:
            depthwise += slots // lanes
        else:
            pointwise += slots // lanes * (outputs // lanes)
        biases += 0 if layer.bias is None else outputs // lanes
    words = pointwise * lanes + depthwise * TAPS + biases
    return Sizes(pointwise, depthwise, biases, words * lanes * ELEMENT_BITS)


def positions(parts: tuple[int, ...], lanes: int = LANES) -> NDArray[np.int64]:
    """Where each channel of a map stands once its parts are padded to whole groups."""
    places, first = [], 0
    for part in parts:
        places.append(np.arange(first, first + part))
        first += ceil_div(part, lanes) * lanes
    return np.concatenate(places)


def padded_channels(parts: tuple[int, ...], lanes: int = LANES) -> int:
    """Channels of a map whose parts are padded to whole groups."""
    return sum(ceil_div(part, lanes) for part in parts) * lanes


def _padded_layers(network: Network, lanes: int) -> Iterator[tuple[Layer, int, int]]:
    """Every convolution with its padded input and output channels."""
    parts = network.parts()
    for layer in network.convolutions():
        inside, out = (padded_channels(parts[name], lanes) for name in (*layer.sources, layer.name))
        yield layer, inside, out


def pack(network: Network, lanes: int = LANES) -> Words:
    """The words [count, lanes] of a network of codes. Raises InputError for weights that are not 16-bit codes."""
    parts = network.parts()
    blocks = [block for layer in network.convolutions() for block in _layer_words(layer, parts, lanes)]
    return np.concatenate(blocks).astype(np.uint16)


def _layer_words(layer: Layer, parts: dict[str, tuple[int, ...]], lanes: int) -> list[NDArray[np.int64]]:
    weight, bias = layer.arrays()
    _check_codes(layer.name, weight, bias)
    inside, out = parts[layer.sources[0]], parts[layer.name]
    biases = _spread(bias, out, lanes).reshape(-1, 1, lanes)
    if layer.kind is Kind.DEPTHWISE:
        taps = _spread(weight.reshape(len(weight), TAPS), inside, lanes).reshape(-1, lanes, TAPS)
        groups = taps.transpose(0, 2, 1)[:, None]
    else:
        padded = _spread(_spread(weight, out, lanes).T, inside, lanes)
        groups = padded.reshape(-1, lanes, len(biases), lanes).transpose(2, 0, 1, 3)
    words = []
    for head, group in zip(biases, groups, strict=True):
        words += [head] if layer.bias is not None else []
        words.append(group.reshape(-1, lanes))
    return words


def _spread(array: NDArray[Any], parts: tuple[int, ...], lanes: int) -> NDArray[np.int64]:
    """`array` with zeros between its rows, so that every part fills whole groups."""
    out = np.zeros((padded_channels(parts, lanes), *array.shape[1:]), np.int64)
    out[positions(parts, lanes)] = array
    return out


def _check_codes(name: str, *arrays: NDArray[Any]) -> None:
    for array in arrays:
        fits = np.issubdtype(array.dtype, np.integer) and np.array_equal(array, array.astype(np.int16))
        if not fits:
            raise bad_input("weights", name, f"packed weights are codes of {ELEMENT_BITS} bits", "Quantize it first.")


def unpack(words: Words, network: Network, lanes: int = LANES) -> Network:
    """The network with the weights of `words`, as `pack` wrote them for one of the same shape.

    Raises InputError when `words` has another size.
    """
    expected = (sizes(network, lanes).bits // (lanes * ELEMENT_BITS), lanes)
    if words.shape != expected:
        raise bad_input("words", words.shape, f"this network packs into {expected}")
    signed = words.view(np.int16).astype(np.int64)
    parts, layers, at = network.parts(), [], 0
    for layer in network.layers:
        if layer.is_convolution:
            count = sum(len(block) for block in _layer_words(layer_zeros(layer), parts, lanes))
            layers.append(_unpacked(layer, signed[at : at + count], parts, lanes))
            at += count
        else:
            layers.append(layer)
    return Network(tuple(layers), network.inputs)


def layer_zeros(layer: Layer) -> Layer:
    """The layer with zeros for weights and biases."""
    weight, bias = (np.zeros(a.shape, np.int64) for a in layer.arrays())
    return replace(layer, weight=weight, bias=None if layer.bias is None else bias)


def _unpacked(layer: Layer, words: NDArray[np.int64], parts: dict[str, tuple[int, ...]], lanes: int) -> Layer:
    inside, out = parts[layer.sources[0]], parts[layer.name]
    groups = words.reshape(padded_channels(out, lanes) // lanes, -1, lanes)
    bias = None if layer.bias is None else groups[:, 0].reshape(-1)[positions(out, lanes)]
    blocks = groups if bias is None else groups[:, 1:]
    if layer.kind is Kind.DEPTHWISE:
        weight = blocks.transpose(0, 2, 1).reshape(-1, 3, 3)[positions(inside, lanes)]
    else:
        matrix = blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])
        weight = matrix[positions(out, lanes)][:, positions(inside, lanes)]
    return replace(layer, weight=weight, bias=bias)
