"""An integer network as a torch graph in float64 that is exact: the second opinion on the golden function.

Tensors hold fake-quantized values in units of their scale, code - zero, so convolutions are sums of integers below
2^31 and float64, which holds integers up to 2^53, adds them without rounding in any order. The multiplier M = m/2^s
with |m| < 2^31 and s >= 16 (any M below 2^15) is applied in two exact products of at most 47 bits: with m = 2^16 h + l,
0 <= l < 2^16,

    floor(a m / 2^s) = floor((a h + floor(a l / 2^16)) / 2^(s-16)),

because floor(floor(x)/n) = floor(x/n) for a positive integer n, and a power of two divides a float64 exactly. No step
uses an integer type, and none shares code with `hwsim.quant.infer`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.errors import bad_input
from hwsim.quant.chain import Kind
from hwsim.quant.icn import Icn
from hwsim.quant.network import Add, Network, Pool, Pooling, Product, inputs_of

SPLIT = 16


class Deployed(nn.Module):
    """Products, sums and pooling with ICN. Input and output: real values, batch x C x H x W, float64."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        for layer in network.layers:
            if not isinstance(layer, Pool) and not isinstance(layer.requantization, Icn):
                raise bad_input("unsupported", layer.name, "only ICN layers have this graph")
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        out = self.network.values[self.network.output]
        return (self.codes(x) - out.zero) * out.scale

    def codes(self, x: Tensor) -> Tensor:
        """Output codes, in float64: exact, which their product with a scale need not be."""
        return self.all_codes(x)[self.network.output]

    def all_codes(self, x: Tensor) -> dict[str, Tensor]:
        """The codes of every output, in float64."""
        value = self.network.values[self.network.input]
        steps = torch.round(x.double() / value.scale)
        steps = torch.clamp(steps, -value.zero, 2**value.bits - 1 - value.zero)
        found = {self.network.input: steps}
        for layer in self.network.layers:
            found[layer.output] = self.steps(layer, *(found[name] for name in inputs_of(layer)))
        return {name: found[name] + self.network.values[name].zero for name in self.network.outputs}

    def steps(self, layer: Any, steps: Tensor, *others: Tensor) -> Tensor:
        """What `layer` makes of values in units of their scale."""
        out = self.network.values[layer.output]
        if isinstance(layer, Add):
            first, second = layer.factors
            one, other = (functional.pad(s, (0, 0, 0, 0, 0, out.shape[2] - s.shape[1])) for s in (steps, others[0]))
            total = first * one + second * other + _column(layer.requantization.bias)
            return torch.clamp(_scaled(total, layer.requantization), -out.zero, 2**out.bits - 1 - out.zero)
        source = self.network.values[layer.input]
        if isinstance(layer, Pool):
            return _pooled(layer, steps, source.zero)
        assert isinstance(layer, Product) and isinstance(layer.requantization, Icn)
        total = _products(layer, steps) + _column(layer.requantization.bias)
        scaled = _scaled(total, layer.requantization)
        return torch.clamp(scaled, -out.zero, 2**out.bits - 1 - out.zero)


def _column(parameter: Any) -> Tensor:
    return torch.as_tensor(parameter.astype("float64")).reshape(1, -1, 1, 1)


def _products(layer: Product, steps: Tensor) -> Tensor:
    weights = torch.as_tensor(layer.weight_codes().astype("float64"))
    zero = torch.as_tensor(layer.weight_zero.astype("float64"))
    if layer.kind is Kind.DEPTHWISE:
        weights = weights.permute(2, 0, 1).unsqueeze(1)
    elif layer.kind is Kind.LINEAR:
        steps = steps.permute(0, 2, 3, 1).reshape(steps.shape[0], -1, 1, 1)
        weights = weights[:, :, None, None]
    else:
        weights = weights.permute(0, 3, 1, 2)
    weights = weights - zero.reshape(-1, 1, 1, 1)
    top, bottom, left, right = layer.window.padding
    groups = weights.shape[0] if layer.kind is Kind.DEPTHWISE else 1
    return functional.conv2d(functional.pad(steps, (left, right, top, bottom)), weights, None, layer.window.stride,
                             groups=groups)  # fmt: skip


def _scaled(total: Tensor, icn: Icn) -> Tensor:
    """floor(M * total)."""
    m0, n0 = _column(icn.m0), _column(icn.n0)
    high = torch.floor(m0 / 2**SPLIT)
    low = m0 - high * 2**SPLIT
    # Divided by 2^(s-16) with s = 31 - N0.
    return torch.floor((total * high + torch.floor(total * low / 2**SPLIT)) * torch.exp2(n0 - (31 - SPLIT)))


def _pooled(layer: Pool, steps: Tensor, zero: int) -> Tensor:
    window = layer.window
    if layer.kind is Pooling.MAX:
        return functional.max_pool2d(steps, window.size, window.stride, (window.padding[0], window.padding[2]))
    total = functional.avg_pool2d(steps + zero, window.size, window.stride, divisor_override=1)
    count = window.size[0] * window.size[1]
    # n/d rounds to less than a whole number only if it is one: a quotient of small integers is 1/d away otherwise.
    return torch.floor((2 * total + count) / (2 * count)) - zero
