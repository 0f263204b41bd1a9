"""Networks whose every scale is a trained power of two: a layer with weights is q8(q16(sum q8(w)*q8(x)) + q16(b)).

Source: arXiv 1903.08066, section 4 and `Xilinx/graffitist`. The 16-bit scale is the finest on which the largest sum
fits before it is rounded, so q16 clips a sum by half a step at most. Rescaling is a shift, and `convert` makes layers
with `Shifts` of such a network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hwsim.errors import InputError, bad_input
from hwsim.quant.assign import Bits
from hwsim.quant.chain import Kind
from hwsim.quant.formats import Ints
from hwsim.quant.icn import reach_of
from hwsim.quant.tqt import Shifts
from hwsim.quant.training.blocks import AveragePool, Block, MaxPool, Padding, Recipe, kind_of, products, read_from
from hwsim.quant.training.prepare import INPUT, QuantizedNetwork, prepare
from hwsim.quant.training.quantizers import Tqt, TqtQuantizer, tqt_scale

MIDDLE_BITS = 16
LARGEST_SUM = (1 << 30) - (1 << MIDDLE_BITS)
"""Kernels round sums in registers of 32 bits, which takes a bit and a half of the largest step."""


class PowerOfTwoLayer(nn.Module):
    """A convolution or a linear layer with its norm folded, from the values of `source` to those of `outputs`.

    Unsigned outputs are those of a ReLU; the threshold takes the place of a ceiling. The threshold of the weights
    starts where their squared error is least.
    """

    def __init__(
        self, name: str, layer: nn.Conv2d | nn.Linear, source: TqtQuantizer, weight_bits: int, outputs: TqtQuantizer,
        padding: Padding = (0, 0, 0, 0),
    ) -> None:  # fmt: skip
        super().__init__()
        self.name, self.layer, self.outputs, self.padding = name, layer, outputs, padding
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(layer.weight.shape[0], dtype=layer.weight.dtype))
        self.weights = TqtQuantizer(weight_bits, signed=True)
        self.weights.fit(layer.weight)
        self.source: Any = None
        read_from(self, source)

    def forward(self, x: Tensor) -> Tensor:
        if self.outputs.observe:
            found: Tensor = self.outputs(self._with_bias(products(self.layer, self.padding, x, self.layer.weight)))
            return found
        z = self._middle(products(self.layer, self.padding, x, self.weights(self.layer.weight)))
        found = self.outputs(self._with_bias(z, self._middle(self.layer.bias)))
        return found

    def _with_bias(self, z: Tensor, bias: Tensor | None = None) -> Tensor:
        shape = (1, -1, 1, 1) if z.ndim == 4 else (1, -1)
        return z + (self.layer.bias if bias is None else bias).reshape(shape)

    def _middle(self, values: Tensor) -> Tensor:
        threshold = torch.tensor(float(self.middle_exponent() + MIDDLE_BITS - 1))
        found: Tensor = Tqt.apply(values, threshold, MIDDLE_BITS, True)
        return found

    def middle_exponent(self) -> int:
        """log2 of the 16-bit scale."""
        return self._sum_exponent() + self._to_middle()

    def _sum_exponent(self) -> int:
        return int(self.source.exponent() + self.weights.exponent())

    def _to_middle(self) -> int:
        return max(0, self._reach().bit_length() - (MIDDLE_BITS - 1))

    def _reach(self) -> int:
        """The largest magnitude of a sum."""
        none = torch.zeros(1).long().numpy()
        return int(reach_of(self.weight_codes(), none, self.source.zero, self.source.bits).max())

    def weight_codes(self) -> Ints:
        """Signed codes, shaped like the weights of torch."""
        scale = tqt_scale(self.weights.log2_threshold, self.weights.bits, signed=True)
        found: Ints = torch.round(self.weights(self.layer.weight).detach() / scale).long().numpy()
        return found

    def shifts(self) -> Shifts:
        """How the integer layer rescales. Raises InputError where a sum is too large for the kernels."""
        if self._reach() > LARGEST_SUM:
            raise bad_input("accumulator", self._reach(), f"sums stay below {LARGEST_SUM}", key=self.name)
        middle = self.middle_exponent()
        bias = torch.round(self._middle(self.layer.bias).detach() / 2.0**middle).long().numpy()
        return Shifts(self._to_middle(), bias, self.outputs.exponent() - middle)

    @property
    def kind(self) -> Kind:
        """How its products are arranged."""
        return kind_of(self.layer)


def prepare_power_of_two(network: nn.Module, bits: Bits, samples: Tensor) -> QuantizedNetwork:
    """Power-of-two quantizers in a copy of `network`, with thresholds from `samples` (batch x C x H x W).

    Norms are folded with their statistics. The input and outputs without a ReLU are signed where they have negative
    values. Thresholds start in the middle of the power-of-two bin with the least squared error (our choice: the
    paper names several). `network` and `bits` are as `prepare` takes them; raises InputError for those it refuses, and
    for sums of values.
    """
    chain = prepare(network, bits, Recipe.PL_FB, samples)
    source = TqtQuantizer(bits.values[0], signed=bool((samples < 0).any()))
    quantizer: dict[int, TqtQuantizer] = {INPUT: source}
    parts: list[nn.Module] = []
    for i, (part, (read, *more)) in enumerate(zip(chain.parts, chain.reads, strict=True)):
        if more:
            raise _unsupported(part.name, "a sum", "networks in powers of two are chains")
        made = _part(part, quantizer[read])
        parts.append(made)
        quantizer[i] = made.outputs if isinstance(made, PowerOfTwoLayer) else quantizer[read]
    found = QuantizedNetwork(source, parts, chain.reads, chain.results)
    _observe(found, set(quantizer.values()), samples)
    found.eval()
    return found


def _part(part: Any, source: TqtQuantizer) -> nn.Module:
    if isinstance(part, Block):
        if part.output.limits:
            raise _unsupported(part.name, "Hardtanh", "a Hardtanh has a range, which a trained threshold changes")
        outputs = TqtQuantizer(part.output.bits, signed=not part.output.relu)
        found: nn.Module = PowerOfTwoLayer(part.name, part.layer, source, part.weight_bits, outputs, part.padding)
        return found
    if not isinstance(part, AveragePool | MaxPool):
        raise _unsupported(part.name, type(part).__name__, "networks in powers of two have weights and pools")
    if isinstance(part, AveragePool):
        read_from(part, source)
    return part


def _unsupported(name: str, got: str, rule: str) -> InputError:
    return bad_input("unsupported", got, rule, "Take scales of any value: the scheme pl or pc.", key=name)


def _observe(network: nn.Module, quantizers: set[TqtQuantizer], samples: Tensor) -> None:
    for one in quantizers:
        one.observe = True
    with torch.no_grad():
        network(samples)
    for one in quantizers:
        one.observe = False
