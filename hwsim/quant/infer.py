"""The golden function: an integer network on batches of codes, to the bit.

Products of codes are summed by BLAS in float64. Every partial sum is an integer below 2^31 (conversion checks the
accumulators), and float64 holds all integers up to 2^53, so no order of summation rounds.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from hwsim.errors import bad_input
from hwsim.quant import formats
from hwsim.quant.chain import Kind
from hwsim.quant.formats import Bytes, Ints, Reals
from hwsim.quant.network import Add, Layer, Network, Pool, Pooling, Product, Value, Window
from hwsim.quant.thresholds import Thresholds


def quantize_input(network: Network, images: Reals) -> Ints:
    """Codes of real images (batch x height x width x channels) in the format of the network's input."""
    value = network.values[network.input]
    codes = np.rint(np.asarray(images, np.float64) / value.scale).astype(np.int64) + value.zero
    return np.clip(codes, 0, (1 << value.bits) - 1)


def infer(network: Network, codes: Ints) -> Ints:
    """Output codes (batch x height x width x channels) of input codes of the same layout."""
    return infer_all(network, codes)[network.output]


def infer_all(network: Network, codes: Ints) -> dict[str, Ints]:
    """Codes of every value of the network. Raises InputError for codes of another shape than the input's."""
    value = network.values[network.input]
    found = np.asarray(codes, np.int64)
    if found.ndim != 4 or found.shape[1:] != value.shape:
        raise bad_input("shape", found.shape, f"input codes have the shape (batch, {', '.join(map(str, value.shape))})")
    if found.size and not 0 <= found.min() <= found.max() < 1 << value.bits:
        wrong = found.min() if found.min() < 0 else found.max()
        raise bad_input("range", int(wrong), f"input codes have {value.bits} bits")
    values = {network.input: found}
    for layer in network.layers:
        values[layer.output] = _run(network, layer, values)
    return values


def pack_value(value: Value, codes: Ints) -> Bytes:
    """One image's codes as the network stores them."""
    return formats.pack(codes.reshape(value.shape), value.bits)


def unpack_value(value: Value, packed: Bytes) -> Ints:
    """The codes of one stored value, with a batch axis."""
    return formats.unpack(packed, value.bits, value.shape)[None]


def _run(network: Network, layer: Layer, values: dict[str, Ints]) -> Ints:
    out = network.values[layer.output]
    if isinstance(layer, Add):
        terms = zip(layer.inputs, layer.factors, strict=True)
        total = sum(
            (factor * _widened(values[name] - network.values[name].zero, out.shape[2]) for name, factor in terms),
            start=np.zeros(1, np.int64),
        )
        return layer.requantization.codes(total, out.zero, out.bits)
    codes, source = values[layer.input], network.values[layer.input]
    if isinstance(layer, Pool):
        return _pool(layer, codes)
    phi = accumulators(layer, codes - source.zero)
    if isinstance(layer.requantization, Thresholds):
        return layer.requantization.codes(phi)
    return layer.requantization.codes(phi, out.zero, out.bits)


def _widened(centred: Ints, channels: int) -> Ints:
    """Codes less their zero point, filled up with zeros to so many channels."""
    return np.pad(centred, (*((0, 0),) * (centred.ndim - 1), (0, channels - centred.shape[-1])))


def accumulators(layer: Product, centred: Ints) -> Ints:
    """Phi of a layer with weights, channels last, without bias. `centred` are input codes less their zero point."""
    weights = layer.weight_codes()
    if layer.kind is Kind.DEPTHWISE:
        return _depthwise(layer.window, centred, weights - layer.weight_zero)
    zero = layer.weight_zero.reshape((-1, *(1,) * (weights.ndim - 1)))
    columns = (weights - zero).reshape(weights.shape[0], -1).T.astype(np.float64)
    if layer.kind is Kind.LINEAR:
        rows = centred.reshape(centred.shape[0], 1, 1, -1)
    else:
        rows = _windows(layer.window, centred).transpose(0, 1, 2, 4, 5, 3)
        rows = rows.reshape(*rows.shape[:3], -1)
    phi: Ints = (rows.astype(np.float64) @ columns).astype(np.int64)
    return phi


def _depthwise(window: Window, centred: Ints, weights: Ints) -> Ints:
    views = _windows(window, centred)
    phi = np.zeros(views.shape[:4], np.int64)
    for y in range(window.size[0]):
        for x in range(window.size[1]):
            phi += views[..., y, x] * weights[y, x]
    return phi


def _windows(window: Window, centred: Ints, fill: int = 0) -> Ints:
    """Batch x out height x out width x channels x kernel height x kernel width."""
    top, bottom, left, right = window.padding
    padded = np.pad(centred, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    views = sliding_window_view(padded, window.size, axis=(1, 2))
    return views[:, :: window.stride[0], :: window.stride[1]]


def _pool(layer: Pool, codes: Ints) -> Ints:
    if layer.kind is Pooling.MAX:
        # Padding never wins: codes are at least 0.
        largest: Ints = _windows(layer.window, codes, fill=-1).max(axis=(4, 5))
        return largest
    count = layer.window.size[0] * layer.window.size[1]
    total: Ints = _windows(layer.window, codes).sum(axis=(4, 5))
    return (2 * total + count) // (2 * count)
