"""A layer with weights whose every scale is a trained power of two: q8(q16(sum q8(w)*q8(x)) + q16(b)).

Source: arXiv 1903.08066, section 4 and `Xilinx/graffitist`. The 16-bit scale is the finest on which the largest sum
fits, so q16 never clips a sum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwsim.quant import formats
from hwsim.quant.chain import Kind
from hwsim.quant.icn import reach_of
from hwsim.quant.network import Product, Value, Window
from hwsim.quant.tqt import Shifts
from hwsim.quant.training.quantizers import Tqt, TqtQuantizer, tqt_scale

MIDDLE_BITS = 16


class PowerOfTwoLayer(nn.Module):
    """`layer` (a Conv2d or Linear with a bias, its norm folded before) followed by a ReLU, in powers of two.

    Inputs are unsigned values of `input_bits` bits at the scale 2^`input_exponent`. Thresholds start from the largest
    weight and from `largest_output`.
    """

    def __init__(
        self, layer: nn.Conv2d | nn.Linear, input_bits: int, input_exponent: int, weight_bits: int, output_bits: int,
        largest_output: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layer = layer
        self.input_bits, self.input_exponent = input_bits, input_exponent
        self.weights = TqtQuantizer(weight_bits, signed=True, start=float(layer.weight.detach().abs().max()))
        self.outputs = TqtQuantizer(output_bits, signed=False, start=largest_output)

    def forward(self, x: Tensor) -> Tensor:
        layer: Any = self.layer
        weight = self.weights(layer.weight)
        if isinstance(layer, nn.Conv2d):
            z = functional.conv2d(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
        else:
            z = functional.linear(x, weight)
        shape = (1, -1, 1, 1) if z.ndim == 4 else (1, -1)
        found: Tensor = self.outputs(self._middle(z) + self._middle(layer.bias).reshape(shape))
        return found

    def _middle(self, values: Tensor) -> Tensor:
        threshold = torch.tensor(float(self.middle_exponent() + MIDDLE_BITS - 1))
        found: Tensor = Tqt.apply(values, threshold, MIDDLE_BITS, True)
        return found

    def middle_exponent(self) -> int:
        """log2 of the 16-bit scale."""
        return self._sum_exponent() + self._to_middle()

    def _sum_exponent(self) -> int:
        scale = tqt_scale(self.weights.log2_threshold, self.weights.bits, signed=True)
        return self.input_exponent + int(torch.log2(scale))

    def _to_middle(self) -> int:
        codes = self._codes()
        reach = reach_of(codes.numpy(), torch.zeros(1).long().numpy(), 0, self.input_bits).max()
        return max(0, int(reach).bit_length() - (MIDDLE_BITS - 1))

    def _codes(self) -> Tensor:
        layer: Any = self.layer
        scale = tqt_scale(self.weights.log2_threshold, self.weights.bits, signed=True)
        return torch.round(self.weights(layer.weight).detach() / scale).long()

    def product(self, name: str, kind: Kind, source: Value, shape: tuple[int, int, int]) -> tuple[Product, Value]:
        """The integer layer, and its output of `shape` (height, width, channels)."""
        layer: Any = self.layer
        codes = self._codes().numpy()
        bits, zero = self.weights.bits, 1 << self.weights.bits - 1
        if codes.ndim == 4:
            codes = codes.transpose(0, 2, 3, 1)
        stored = codes[..., 0].transpose(1, 2, 0) if kind is Kind.DEPTHWISE else codes
        out = torch.log2(tqt_scale(self.outputs.log2_threshold, self.outputs.bits, signed=False))
        middle = self.middle_exponent()
        bias = torch.round(self._middle(layer.bias).detach() / 2.0**middle).long().numpy()
        shifts = Shifts(self._to_middle(), bias, int(out) - middle)
        window = Window()
        if isinstance(layer, nn.Conv2d):
            padding: Any = layer.padding
            stride: Any = layer.stride
            size: Any = layer.kernel_size
            window = Window(size, stride, (padding[0], padding[0], padding[1], padding[1]))
        packed = formats.pack(stored + zero, bits)
        zeros = torch.tensor([zero]).numpy()
        product = Product(name, kind, source.name, name, window, packed, stored.shape, bits, zeros, shifts)
        return product, Value(name, shape, self.outputs.bits, float(2.0 ** int(out)), 0)
