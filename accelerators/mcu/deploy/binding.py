"""The layers of an integer network as the C kernels take them.

Kernels work on quads of channels, so every value is filled up to a multiple of four channels. A channel that fills up
holds zeros, and whoever reads it multiplies it by zero, but for a sum with a value of more channels, which adds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from accelerators.mcu.kernels import Kernel, LayerData, Operation, Scheme, Shape
from hwsim.errors import InputError, bad_input
from hwsim.pure import ceil_div
from hwsim.quant import formats
from hwsim.quant.chain import Kind
from hwsim.quant.formats import Ints
from hwsim.quant.icn import Icn
from hwsim.quant.network import Add, Layer, Network, Pool, Pooling, Product, Value, Window, check, inputs_of
from hwsim.quant.thresholds import Thresholds
from hwsim.quant.tqt import Shifts

QUAD = 4
OPERATIONS = {
    Kind.CONV: Operation.CONV,
    Kind.DEPTHWISE: Operation.DEPTHWISE,
    Kind.POINTWISE: Operation.POINTWISE,
    Kind.LINEAR: Operation.DENSE,
}
LEFTMOST, RIGHTMOST = -14, 30
"""Shifts behind the offset that kernels take; negative to the left."""
NO_INPUTS: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True)
class BoundLayer:
    """One layer and the kernel that runs it. `data` has all parameters and no inputs."""

    name: str
    reads: tuple[str, ...]
    output: str
    kernel: Kernel
    shape: Shape
    data: LayerData


def bind(network: Network) -> tuple[BoundLayer, ...]:
    """The kernels' view of `filled(network)`, layer by layer.

    Raises InputError for a layer that no kernel computes.
    """
    return tuple(_bound(network.values, layer) for layer in network.layers)


# --- channels in fours --------------------------------------------------------------------------------------------


def filled(network: Network) -> Network:
    """The same network with every value's channels filled up to a multiple of four."""
    values = {name: replace(v, shape=(*v.shape[:2], _up(v.shape[2]))) for name, v in network.values.items()}
    layers = [_filled(network.values, layer) if isinstance(layer, Product) else layer for layer in network.layers]
    for layer in network.layers:
        if isinstance(layer, Add):
            _check_filling(network, layer)
    return check(replace(network, values=values, layers=tuple(layers)))


def _check_filling(network: Network, layer: Add) -> None:
    """Raise InputError where a sum would add what fills up an operand with fewer channels, and that is not zero.

    Layers with weights fill up with zeros, pools hand on what they read, and a sum makes zeros of zeros unless its bias
    is a step of its output or more.
    """
    most = max(network.values[name].shape[2] for name in layer.inputs)
    for name in layer.inputs:
        channels = network.values[name].shape[2]
        if channels < most and channels % QUAD and not _zero_filled(network, name):
            raise _unsupported(layer.name, "a sum that fills up channels of a sum with a bias", "Take its bias away.")


def _zero_filled(network: Network, name: str) -> bool:
    maker = next((layer for layer in network.layers if layer.output == name), None)
    if isinstance(maker, Pool):
        return _zero_filled(network, maker.input)
    if isinstance(maker, Add):
        out = network.values[name]
        return bool((maker.requantization.codes(np.zeros((1, 1), np.int64), out.zero, out.bits) == out.zero).all())
    return True


def fill(value: Value, codes: Ints) -> Ints:
    """Codes (..., channels) of `value` with the channels that `filled` adds."""
    spare = _up(value.shape[2]) - value.shape[2]
    return np.pad(codes, (*((0, 0),) * (codes.ndim - 1), (0, spare)), constant_values=value.zero)


def _up(channels: int) -> int:
    return QUAD * ceil_div(channels, QUAD)


def _filled(values: Mapping[str, Value], layer: Product) -> Product:
    source, out = values[layer.input], values[layer.output]
    spare_in, spare_out = (_up(v.shape[2]) - v.shape[2] for v in (source, out))
    zeros = _per_channel(layer.weight_zero, spare_out)
    centred = layer.weight_codes() - _spread(layer.weight_zero, layer)
    if layer.kind is Kind.DEPTHWISE:
        wide = np.pad(centred, ((0, 0), (0, 0), (0, spare_out)))
    elif layer.kind is Kind.LINEAR:
        pixels = centred.reshape(len(centred), -1, source.shape[2])
        wide = np.pad(pixels, ((0, spare_out), (0, 0), (0, spare_in))).reshape(len(centred) + spare_out, -1)
    else:
        wide = np.pad(centred, ((0, spare_out), (0, 0), (0, 0), (0, spare_in)))
    made = replace(layer, weight_shape=wide.shape, weight_zero=zeros,
                   requantization=_requantization(layer.requantization, out, spare_out))  # fmt: skip
    return replace(made, weights=formats.pack(wide + _spread(zeros, made), layer.weight_bits))


def _per_channel(parameter: Any, spare: int) -> Any:
    """One entry stays one; one a channel gets `spare` more, all 0."""
    return np.pad(parameter, (0, spare)) if parameter.size > 1 else parameter


def _spread(zero: Ints, layer: Product) -> Ints:
    """Zero points shaped to meet the weights."""
    return zero if layer.kind is Kind.DEPTHWISE else zero.reshape(-1, *(1,) * (len(layer.weight_shape) - 1))


def _requantization(given: Any, out: Value, spare: int) -> Any:
    if isinstance(given, Icn):
        bias = np.pad(np.broadcast_to(given.bias, (out.shape[2],)), (0, spare))
        return Icn(_per_channel(given.m0, spare), _per_channel(given.n0, spare), bias)
    if isinstance(given, Thresholds):
        rows = np.where(np.arange(given.table.shape[1]) < out.zero, np.int16(-(1 << 15)), np.int16((1 << 15) - 1))
        table = np.concatenate([given.table, np.broadcast_to(rows, (spare, len(rows)))])
        return Thresholds(table, np.pad(given.sign, (0, spare), constant_values=1), given.clipped)
    return replace(given, bias=np.pad(given.bias, (0, spare)))


# --- one layer ----------------------------------------------------------------------------------------------------


def _bound(values: Mapping[str, Value], layer: Layer) -> BoundLayer:
    layer = _fewer_first(values, layer) if isinstance(layer, Add) else layer
    make: Any = {Add: _add, Pool: _pool, Product: _product}[type(layer)]
    kernel, shape, data = make(values, layer)
    return BoundLayer(layer.name, inputs_of(layer), layer.output, kernel, shape, data)


def _product(values: Mapping[str, Value], layer: Product) -> tuple[Kernel, Shape, LayerData]:
    source, out = values[layer.input], values[layer.output]
    operation = OPERATIONS[layer.kind]
    if operation is Operation.POINTWISE and layer.window != Window():
        operation = Operation.CONV
    data = LayerData(NO_INPUTS, layer.weight_codes(), input_zero=source.zero, output_zero=out.zero)
    scheme, data = _schemed(layer, data, out.shape[2])
    kernel = Kernel(operation, source.bits, out.bits, layer.weight_bits, scheme)
    if operation is Operation.DENSE:
        return kernel, Shape(*source.shape, *out.shape), data
    return kernel, _windowed(layer, source, out), data


def _schemed(layer: Product, data: LayerData, channels: int) -> tuple[Scheme, LayerData]:
    given, zeros = layer.requantization, layer.weight_zero
    if isinstance(given, Shifts):
        return Scheme.SHIFTS, _shifted(layer, given, data)
    if isinstance(given, Thresholds):
        return Scheme.THRESHOLDS, _mirrored(layer, given, data, channels)
    data = replace(data, bias=given.bias.astype(np.int64))
    if zeros.size == 1 and given.m0.size == 1:
        numbers = {"multiplier": int(given.m0[0]), "shift": int(given.kernel_n0[0])}
        return Scheme.PL_FB, replace(data, weight_zero=int(zeros[0]), **numbers)
    data = replace(data, multipliers=_whole(given.m0, channels), shifts=_whole(given.kernel_n0, channels))
    if zeros.size == 1:
        return Scheme.PL_ICN, replace(data, weight_zero=int(zeros[0]))
    return Scheme.PC_ICN, replace(data, weight_zeros=zeros)


def _shifted(layer: Product, given: Shifts, data: LayerData) -> LayerData:
    """Shifts as the kernels take them. To the left 14 bits saturate as more do; to the right 30 leave 0 as more do."""
    if layer.weight_zero.size > 1:
        raise _unsupported(layer.name, "shifts and a zero point a channel", "Give all weights one zero point.")
    if not 0 <= given.to_16 <= 16:
        raise _unsupported(layer.name, f"a shift by {given.to_16} bits to 16", "Kernels shift sums by 0 to 16 bits.")
    return replace(data, weight_zero=int(layer.weight_zero[0]), shift=given.to_16, thresholds=given.bias[:, None],
                   multiplier=min(max(given.to_out, LEFTMOST), RIGHTMOST))  # fmt: skip


def _whole(parameter: Any, channels: int) -> Ints:
    return np.broadcast_to(parameter, (channels,)).astype(np.int64)


def _mirrored(layer: Product, given: Thresholds, data: LayerData, channels: int) -> LayerData:
    """Thresholds rise with the sum, so a channel whose multiplier is negative gets its weights mirrored."""
    top = (1 << layer.weight_bits) - 1
    zeros, down = _whole(layer.weight_zero, channels), given.sign < 0
    rows = _spread(down, layer)
    weights, table = np.where(rows, top - data.weights, data.weights), given.table.astype(np.int64)
    return replace(data, weights=weights, weight_zeros=np.where(down, top - zeros, zeros), thresholds=table)


def _pool(values: Mapping[str, Value], layer: Pool) -> tuple[Kernel, Shape, LayerData]:
    source, out = values[layer.input], values[layer.output]
    operation = Operation.MAX_POOL if layer.kind is Pooling.MAX else Operation.AVERAGE_POOL
    if layer.kind is Pooling.AVERAGE and any(layer.window.padding):
        raise _unsupported(layer.name, "an average over padding", "Pool without padding.")
    kernel = Kernel(operation, source.bits, source.bits, source.bits)
    return kernel, _windowed(layer, source, out), LayerData(NO_INPUTS)


def _fewer_first(values: Mapping[str, Value], layer: Add) -> Add:
    """The same sum with the operand of fewer channels first, if one has fewer."""
    (first, second), factors = layer.inputs, layer.factors
    if values[first].shape[2] <= values[second].shape[2]:
        return layer
    return replace(layer, inputs=(second, first), factors=(factors[1], factors[0]))


def _add(values: Mapping[str, Value], layer: Add) -> tuple[Kernel, Shape, LayerData]:
    (first, second), out, icn = (values[name] for name in layer.inputs), values[layer.output], layer.requantization
    if icn.m0.size > 1 or len(set(icn.bias.tolist())) > 1:
        raise _unsupported(layer.name, "a sum with a multiplier or a bias a channel", "Give all channels one.")
    data = LayerData(
        NO_INPUTS, bias=icn.bias[:1].astype(np.int64), input_zero=first.zero, other_zero=second.zero,
        output_zero=out.zero, multiplier=int(icn.m0[0]), shift=int(icn.kernel_n0[0]),
        input_scale=layer.factors[0], other_scale=layer.factors[1],
    )  # fmt: skip
    operation = Operation.ADD if first.shape == out.shape else Operation.PADDED_ADD
    return Kernel(operation, first.bits, out.bits, second.bits), Shape(*first.shape, *out.shape), data


def _windowed(layer: Product | Pool, source: Value, out: Value) -> Shape:
    window = layer.window
    for size, made, kernel, stride, before in zip(source.shape[:2], out.shape[:2], window.size, window.stride,
                                                  window.padding[::2], strict=True):  # fmt: skip
        if before >= kernel or (made - 1) * stride - before >= size:
            raise _unsupported(layer.name, "a window that lies in the padding alone", "Use less padding.")
    return Shape(*source.shape, *out.shape, *window.size, *window.stride, window.padding[0], window.padding[2])


def _unsupported(name: str, got: str, remedy: str) -> InputError:
    return bad_input("unsupported", got, "no kernel computes this layer", remedy, key=name)
