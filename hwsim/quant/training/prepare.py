"""Torch networks with quantizers in place: what is trained, and what `convert` reads."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwsim.errors import InputError, bad_input
from hwsim.quant.assign import Bits
from hwsim.quant.chain import short_names
from hwsim.quant.training.blocks import RELU6, AveragePool, Block, MaxPool, Output, Recipe, Sum, read_from
from hwsim.quant.training.graph import SUPPORTED, Step, ZeroChannels, read_graph, read_network

INPUT = -1
"""Stands for the network's input where parts are named by number."""


class QuantizedNetwork(nn.Module):
    """The input's quantizer, then blocks, sums and pooling in order. Real values in, real values out.

    `reads` has the numbers of the parts that each part reads; without it each reads the one before. `results` are the
    parts that make the outputs: one tensor, or a tuple of several; without it the last one.
    """

    def __init__(
        self, source: Output, parts: Iterable[nn.Module], reads: Sequence[tuple[int, ...]] | None = None,
        results: Sequence[int] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        self.source, self.parts = source, nn.ModuleList(parts)
        self.reads = tuple(reads) if reads is not None else tuple((i - 1,) for i in range(len(self.parts)))
        self.results = tuple(results) or (len(self.parts) - 1,)
        self._last = {read: i for i, reads_ in enumerate(self.reads) for read in reads_}

    def forward(self, x: Tensor) -> Any:
        values = {INPUT: self.source(x)}
        for i, (part, reads) in enumerate(zip(self.parts, self.reads, strict=True)):
            values[i] = part(*(values[read] for read in reads))
            for read in reads:
                if self._last[read] == i and read not in self.results:
                    values.pop(read, None)
        found = tuple(values[i] for i in self.results)
        return found if len(found) > 1 else found[0]

    def blocks(self) -> list[Block]:
        """The layers with weights."""
        return [part for part in self.parts if isinstance(part, Block)]

    def outputs(self) -> list[Output]:
        """Every quantizer of values, the input's first, then those of blocks and sums."""
        return [self.source, *(part.output for part in self.parts if isinstance(part, Block | Sum))]


def weighted_layers(network: nn.Module) -> int:
    """How many layers with weights a network has: what `Bits.weights` must name."""
    return sum(isinstance(step.layer, nn.Conv2d | nn.Linear) for step in read_graph(network))


def quantized_values(network: nn.Module) -> int:
    """How many values get a width of their own, the input's among them: what `Bits.values` must name."""
    return 1 + sum(step.layer is None or isinstance(step.layer, nn.Conv2d | nn.Linear) for step in read_graph(network))


def prepare(network: nn.Module, bits: Bits, recipe: Recipe, samples: Tensor) -> QuantizedNetwork:
    """Put quantizers into a copy of `network`, in inference mode, with ranges from `samples` (batch x C x H x W).

    `network` is made of the layers that `graph.SUPPORTED` names; values are those of its input, of each layer with
    weights and of each sum. Raises InputError for anything else, and for bits that do not name as many as it has.
    """
    found = _built(copy.deepcopy(network).eval(), bits)
    _observe(found, samples)
    for block, width in zip(found.blocks(), bits.weights, strict=True):
        block.quantize(recipe, width)
    found.eval()
    return found


def _observe(network: QuantizedNetwork, samples: Tensor) -> None:
    for output in network.outputs():
        output.observe = True
    with torch.no_grad():
        network(samples)
    for output in network.outputs():
        output.observe = False


def _built(network: nn.Module, bits: Bits) -> QuantizedNetwork:
    steps, results = read_network(network)
    heads = [step.name for step in steps if isinstance(step.layer, nn.Conv2d | nn.Linear)]
    sums = sum(step.layer is None for step in steps)
    if len(bits.weights) != len(heads):
        raise bad_input("bits", len(bits.weights), f"the network has {len(heads)} layers with weights")
    if len(bits.values) != len(heads) + sums + 1:
        rule = f"the network has {len(heads) + sums + 1} values with widths of their own"
        raise bad_input("bits", len(bits.values), rule)
    builder = _Builder(bits, steps, results, dict(zip(heads, short_names(heads), strict=True)))
    return QuantizedNetwork(builder.source, builder.parts, builder.reads, [builder.result(i) for i in results])


class _Builder:
    """Groups padding, a layer with weights, its norm and its ReLU into one block, and a sum with its ReLU."""

    def __init__(
        self, bits: Bits, steps: Sequence[Step], results: Sequence[int], names: dict[str, str]
    ) -> None:  # fmt: skip
        self.bits, self.names = bits, names
        self.parts: list[nn.Module] = []
        self.reads: list[tuple[int, ...]] = []
        self.source = Output(bits.values[0], relu=False, nearest=True)
        self.count = 0
        self.part: dict[int, int] = {INPUT: INPUT}
        """The part that makes each step's value."""
        self.padding: dict[int, tuple[int, int, int, int]] = {}
        """The steps that only pad: top, bottom, left, right."""
        self.filled: set[int] = set()
        """The steps that only add channels of zeros, which sums do by themselves."""
        self.readers = [sum(i in step.reads for step in steps) + (i in results) for i in range(len(steps))]
        for i, step in enumerate(steps):
            self._add(i, step)

    def _add(self, i: int, step: Step) -> None:
        layer, reads = step.layer, tuple(self.part[read] for read in step.reads)
        padded = next((read for read in step.reads if read in self.padding), None)
        if padded is not None and not isinstance(layer, nn.Conv2d):
            raise _unsupported(step.name, "padding that no convolution reads")
        if layer is not None and not self.filled.isdisjoint(step.reads):
            raise _unsupported(step.name, "channels of zeros that no sum reads")
        if isinstance(layer, ZeroChannels):
            self.filled.add(i)
            self.part[i] = reads[0]
        elif isinstance(layer, nn.ZeroPad2d):
            left, right, top, bottom = (int(n) for n in layer.padding)
            self.padding[i] = (top, bottom, left, right)
            self.part[i] = reads[0]
        elif isinstance(layer, nn.BatchNorm2d | nn.ReLU | nn.ReLU6 | nn.Hardtanh):
            self._join(step, reads[0])
            self.part[i] = reads[0]
        else:
            part = self._made(step, self.padding[padded] if padded is not None else None)
            self.part[i] = len(self.parts)
            self.parts.append(part)
            self.reads.append(reads)

    def result(self, step: int) -> int:
        """The part that makes the value of `step`, an output."""
        if self.part[step] == INPUT or step in self.padding or step in self.filled:
            raise _unsupported("output", "an output that no layer makes")
        return self.part[step]

    def _made(self, step: Step, padding: tuple[int, int, int, int] | None) -> nn.Module:
        layer = step.layer
        if layer is None:
            return Sum(step.name, Output(self._width(), relu=False))
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            return self._pool(step, layer)
        _check(step.name, layer)
        block = Block(self.names[step.name], layer, None, Output(self._width(), relu=False), padding)
        read_from(block, self._format(self.part[step.reads[0]]))
        return block

    def _width(self) -> int:
        self.count += 1
        return self.bits.values[self.count]

    def _join(self, step: Step, part: int) -> None:
        """A norm or a ReLU becomes part of what it reads, which nothing else may read."""
        last = self.parts[part] if part != INPUT else None
        alone = self.readers[step.reads[0]] == 1
        if isinstance(step.layer, nn.BatchNorm2d):
            if not isinstance(last, Block) or last.norm is not None or not alone or not _plain(step.layer, last):
                raise _unsupported(step.name, "BatchNorm2d")
            last.norm = step.layer
        elif not isinstance(last, Block | Sum) or last.output.relu or last.output.limits or not alone:
            raise _unsupported(step.name, type(step.layer).__name__)
        elif type(step.layer) is nn.Hardtanh:
            last.output = Output(last.output.bits, relu=False, limits=_limits(step))
        else:
            ceiling = RELU6 if isinstance(step.layer, nn.ReLU6) else float("inf")
            last.output = Output(last.output.bits, relu=True, ceiling=ceiling)

    def _pool(self, step: Step, leaf: nn.Module) -> nn.Module:
        if isinstance(leaf, nn.MaxPool2d) and leaf.dilation == 1 and not leaf.ceil_mode:
            return MaxPool(step.name, leaf)
        if isinstance(leaf, nn.AdaptiveAvgPool2d) and leaf.output_size in (1, (1, 1)):
            pool = AveragePool(step.name)
        elif isinstance(leaf, nn.AvgPool2d) and leaf.padding in (0, (0, 0)) and not leaf.ceil_mode:
            pool = AveragePool(step.name, leaf.kernel_size, leaf.stride)
        else:
            raise _unsupported(step.name, type(leaf).__name__)
        read_from(pool, self._format(self.part[step.reads[0]]))
        return pool

    def _format(self, part: int) -> Output:
        """The quantizer that a part's value has: pooling keeps that of what it reads."""
        while part != INPUT and not isinstance(self.parts[part], Block | Sum):
            part = self.reads[part][0]
        found: Any = self.source if part == INPUT else self.parts[part].output
        return found  # type: ignore[no-any-return]


def _check(name: str, layer: nn.Conv2d | nn.Linear) -> None:
    if isinstance(layer, nn.Linear):
        return
    depthwise = layer.groups == layer.in_channels == layer.out_channels
    plain = layer.groups == 1 or depthwise
    if not plain or layer.dilation != (1, 1) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise _unsupported(name, type(layer).__name__)


def _limits(step: Step) -> tuple[float, float]:
    """The range of a Hardtanh, which must hold zero, as every format does."""
    layer: Any = step.layer
    low, high = float(layer.min_val), float(layer.max_val)
    if not low <= 0.0 <= high:
        raise _unsupported(step.name, "a Hardtanh that leaves out zero")
    return low, high


def _plain(norm: nn.BatchNorm2d, block: Block) -> bool:
    return norm.running_mean is not None and norm.weight is not None and not block.output.relu


def _unsupported(name: str, got: str) -> InputError:
    return bad_input("unsupported", got, f"a quantized network is made of {SUPPORTED}", key=name)
