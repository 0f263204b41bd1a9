"""Quantization without training: biases that make up for what rounding does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hwsim.quant.training.blocks import Block
from hwsim.quant.training.prepare import INPUT, QuantizedNetwork

PASSES = 3
"""Corrections of one layer after the other: a clamped output moves by less than its bias."""


def round_to_nearest(network: QuantizedNetwork) -> QuantizedNetwork:
    """`network`, each layer's bias raised by half a step of its output, in place.

    Integer layers round down, which lowers every value by half a step on average, and along a network these add up.
    Training moves the biases by itself; a network that is not trained needs this. The integer layer costs no more.
    """
    for block in network.blocks():
        _raise(block, torch.tensor(block.output.format()[0] / 2))
    return network


def correct_biases(network: QuantizedNetwork, samples: Tensor) -> QuantizedNetwork:
    """`network`, each channel's bias moved until its mean over `samples` is that of the network without quantizers.

    In place, layer by layer in order, each behind those corrected already (Nagel et al., "Data-free quantization",
    arXiv 1906.04721, section 4.2, with samples instead of assumptions). What `round_to_nearest` does is part of it.
    """
    with torch.no_grad():
        wanted = _plain_values(network, samples)
        values = {INPUT: network.source(samples)}
        for i, (part, reads) in enumerate(zip(network.parts, network.reads, strict=True)):
            given = [values[read] for read in reads]
            for _ in range(PASSES if isinstance(part, Block) else 0):
                axes = [axis for axis in range(wanted[i].ndim) if axis != 1]
                _raise(part, (wanted[i] - part(*given)).mean(dim=axes))
            values[i] = part(*given)
    return network


def _plain_values(network: QuantizedNetwork, samples: Tensor) -> dict[int, Tensor]:
    """What each part makes of `samples` without quantizers. Ranges stay as they are."""
    outputs = network.outputs()
    ranges = [(output.low.clone(), output.high.clone()) for output in outputs]
    for output in outputs:
        output.observe = True
    values = {INPUT: network.source(samples)}
    for i, (part, reads) in enumerate(zip(network.parts, network.reads, strict=True)):
        values[i] = part(*(values[read] for read in reads))
    for output, (low, high) in zip(outputs, ranges, strict=True):
        output.observe = False
        output.low.copy_(low)
        output.high.copy_(high)
    return values


def _raise(block: Block, by: Tensor) -> None:
    """Add to what a layer's channels are moved by, behind its gain."""
    with torch.no_grad():
        if block.norm is not None:
            block.norm.bias += by
            return
        layer: Any = block.layer
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(layer.weight.shape[0], dtype=layer.weight.dtype))
        layer.bias += by
