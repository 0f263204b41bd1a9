"""A chain of torch layers with quantizers in place: what is trained, and what `convert` reads."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from hwsim.errors import InputError, bad_input
from hwsim.quant.assign import Bits
from hwsim.quant.chain import short_names
from hwsim.quant.training.blocks import RELU6, AveragePool, Block, MaxPool, Output, Recipe, read_from


class QuantizedChain(nn.Module):
    """The network's input quantizer, then blocks and pooling in order. Real values in, real values out."""

    def __init__(self, source: Output, parts: Iterable[nn.Module]) -> None:
        super().__init__()
        self.source, self.parts = source, nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        x = self.source(x)
        for part in self.parts:
            x = part(x)
        return x

    def blocks(self) -> list[Block]:
        """The layers with weights."""
        return [part for part in self.parts if isinstance(part, Block)]

    def outputs(self) -> list[Output]:
        """Every quantizer of values, the input's first."""
        return [self.source, *(block.output for block in self.blocks())]


def weighted_layers(network: nn.Module) -> int:
    """How many layers with weights a chain has: what `Bits` must name."""
    return sum(isinstance(leaf, nn.Conv2d | nn.Linear) for _, leaf in _leaves("", network))


def prepare(network: nn.Module, bits: Bits, recipe: Recipe, samples: Tensor) -> QuantizedChain:
    """Put quantizers into a copy of `network`, in inference mode, with ranges from `samples` (batch x C x H x W).

    `network` is nn.Sequential, nested at will, of Conv2d (dense or depth-wise), Linear, BatchNorm2d, ReLU, ReLU6,
    MaxPool2d, AvgPool2d, AdaptiveAvgPool2d(1), Flatten and Dropout. Raises InputError for anything else, and for bits
    that do not name as many layers as it has.
    """
    chain = _chain(copy.deepcopy(network).eval(), bits)
    _observe(chain, samples)
    for block, width in zip(chain.blocks(), bits.weights, strict=True):
        block.quantize(recipe, width)
    chain.eval()
    return chain


def _observe(chain: QuantizedChain, samples: Tensor) -> None:
    for output in chain.outputs():
        output.observe = True
    with torch.no_grad():
        chain(samples)
    for output in chain.outputs():
        output.observe = False


def _leaves(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential):
        yield prefix, module
        return
    for name, child in module.named_children():
        yield from _leaves(f"{prefix}.{name}" if prefix else name, child)


def _chain(network: nn.Module, bits: Bits) -> QuantizedChain:
    leaves = [pair for pair in _leaves("", network) if not isinstance(pair[1], nn.Dropout | nn.Identity | nn.Flatten)]
    heads = [name for name, leaf in leaves if isinstance(leaf, nn.Conv2d | nn.Linear)]
    if len(bits.weights) != len(heads) or len(bits.values) != len(heads) + 1:
        raise bad_input("bits", len(bits.weights), f"the network has {len(heads)} layers with weights")
    names = dict(zip(heads, short_names(heads), strict=True))
    builder = _Builder(bits)
    for name, leaf in leaves:
        builder.add(names.get(name, name), leaf)
    chain = QuantizedChain(builder.source, builder.parts)
    if not any(isinstance(leaf, nn.Flatten) for _, leaf in _leaves("", network)):
        return chain
    builder.flatten_before_linear()
    return chain


class _Builder:
    """Groups a layer with weights, its norm and its ReLU into one block."""

    def __init__(self, bits: Bits) -> None:
        self.bits = bits
        self.parts: list[nn.Module] = []
        self.source = Output(bits.values[0], relu=False, nearest=True)
        self.count = 0

    def add(self, name: str, leaf: nn.Module) -> None:
        last = self.parts[-1] if self.parts else None
        if isinstance(leaf, nn.Conv2d | nn.Linear):
            _check(name, leaf)
            source = self._last_output()
            self.count += 1
            self.parts.append(Block(name, leaf, None, Output(self.bits.values[self.count], relu=False)))
            read_from(self.parts[-1], source)
        elif isinstance(leaf, nn.BatchNorm2d) and isinstance(last, Block) and last.norm is None:
            _check_norm(name, leaf, last)
            last.norm = leaf
        elif isinstance(leaf, nn.ReLU | nn.ReLU6) and isinstance(last, Block) and not last.output.relu:
            ceiling = RELU6 if isinstance(leaf, nn.ReLU6) else float("inf")
            last.output = Output(last.output.bits, relu=True, ceiling=ceiling)
        else:
            self.parts.append(self._pool(name, leaf))

    def _pool(self, name: str, leaf: nn.Module) -> nn.Module:
        if isinstance(leaf, nn.MaxPool2d) and leaf.dilation == 1 and not leaf.ceil_mode:
            return MaxPool(name, leaf)
        if isinstance(leaf, nn.AdaptiveAvgPool2d) and leaf.output_size in (1, (1, 1)):
            pool = AveragePool(name)
        elif isinstance(leaf, nn.AvgPool2d) and leaf.padding in (0, (0, 0)) and not leaf.ceil_mode:
            pool = AveragePool(name, leaf.kernel_size, leaf.stride)
        else:
            raise _unsupported(name, leaf)
        read_from(pool, self._last_output())
        return pool

    def _last_output(self) -> Output:
        return next((part.output for part in reversed(self.parts) if isinstance(part, Block)), self.source)

    def flatten_before_linear(self) -> None:
        for part in self.parts:
            if isinstance(part, Block) and isinstance(part.layer, nn.Linear):
                part.register_forward_pre_hook(_flatten)


def _flatten(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(x.flatten(1) for x in inputs)


def _check(name: str, layer: nn.Conv2d | nn.Linear) -> None:
    if isinstance(layer, nn.Linear):
        return
    depthwise = layer.groups == layer.in_channels == layer.out_channels
    plain = layer.groups == 1 or depthwise
    if not plain or layer.dilation != (1, 1) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise _unsupported(name, layer)


def _check_norm(name: str, norm: nn.BatchNorm2d, block: Block) -> None:
    if norm.running_mean is None or norm.weight is None or block.output.relu:
        raise _unsupported(name, norm)


def _unsupported(name: str, layer: nn.Module) -> InputError:
    rule = (
        "a quantized network is a chain of Conv2d (dense or depth-wise, undilated), Linear, BatchNorm2d, ReLU, ReLU6, "
        "MaxPool2d, AvgPool2d, AdaptiveAvgPool2d(1), Flatten and Dropout"
    )
    return bad_input("unsupported", type(layer).__name__, rule, key=name)
