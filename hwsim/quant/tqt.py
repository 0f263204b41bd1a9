"""Power-of-two quantizers whose thresholds are trained in the log domain (TQT), as plain formulas, and shifts.

Source: Jain, Gural, Wu and Dick, "Trained Quantization Thresholds for Accurate and Efficient Fixed-Point Inference of
Deep Neural Networks" (arXiv 1903.08066), section 3, and `Xilinx/graffitist`. One log2 t a tensor, b bits::

    s = 2^ceil(log2 t) / 2^(b-1)  signed        s = 2^ceil(log2 t) / 2^b  unsigned
    q(x) = s * clip(round(x/s), n, p)           n, p: the smallest and the largest code

The denominator of the unsigned form and rounding halves to even are recalled, not verified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.quant.formats import Ints, Reals, code_range

LN2 = math.log(2.0)


def exponent(log2_threshold: float, bits: int, *, signed: bool) -> int:
    """log2 of the scale."""
    return math.ceil(log2_threshold) - (bits - 1 if signed else bits)


def codes(values: Any, log2_threshold: float, bits: int, *, signed: bool) -> Ints:
    """Codes of the quantizer, ties to even."""
    scale = 2.0 ** exponent(log2_threshold, bits, signed=signed)
    low, high = code_range(bits, signed=signed)
    return np.clip(np.rint(np.asarray(values, np.float64) / scale), low, high).astype(np.int64)


def quantized(values: Any, log2_threshold: float, bits: int, *, signed: bool) -> Reals:
    """q(x)."""
    real: Reals = 2.0 ** exponent(log2_threshold, bits, signed=signed) * codes(
        values, log2_threshold, bits, signed=signed
    ).astype(np.float64)
    return real


def gradients(values: Any, log2_threshold: float, bits: int, *, signed: bool) -> tuple[Reals, Reals]:
    """dq/dx and dq/d(log2 t) of each value (equations 8 and 7 of the paper).

    With r = round(x/s): dq/dx is 1 for n <= r <= p, else 0; dq/d(log2 t) is s ln2 times r - x/s inside, n below, p
    above. Rounding and ceiling pass gradients straight through, but r - x/s stays.
    """
    scale = 2.0 ** exponent(log2_threshold, bits, signed=signed)
    low, high = code_range(bits, signed=signed)
    steps = np.asarray(values, np.float64) / scale
    nearest = np.rint(steps)
    inside = (nearest >= low) & (nearest <= high)
    of_threshold = scale * LN2 * np.where(inside, nearest - steps, np.clip(nearest, low, high))
    return inside.astype(np.float64), of_threshold


# --- rescaling by shifts ----------------------------------------------------------------------------------------


def shifted(values: Ints, right: int) -> Ints:
    """values / 2^right to the nearest integer, ties to even; a negative `right` shifts left."""
    if right <= 0:
        return values << -right
    floor = values >> right
    rest, half = values - (floor << right), 1 << right - 1
    rounded: Ints = floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))
    return rounded


@dataclass(frozen=True)
class Shifts:
    """The datapath of a compute layer, q8(q16(sum q8(w)*q8(x)) + q16(b)): scales are powers of two, so each is a shift.

    `to_16` shifts the accumulator right onto the 16-bit scale, `bias` are 16-bit codes on it (one a channel), `to_out`
    shifts the sum right onto the output's scale.
    """

    to_16: int
    bias: Ints
    to_out: int

    def codes(self, phi: Ints, zero: int, bits: int) -> Ints:
        """Output codes of accumulators (channels last)."""
        low, high = code_range(16, signed=True)
        middle = np.clip(shifted(phi, self.to_16), low, high) + self.bias
        found: Ints = np.clip(shifted(middle, self.to_out) + zero, 0, (1 << bits) - 1)
        return found
