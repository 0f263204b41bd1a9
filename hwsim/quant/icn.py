"""From an accumulator to a code: integer channel normalization (ICN), and folded batch norm as its one-scale case.

Source: Rusci, Capotondi and Benini, arXiv 1905.13082, section 4, and the kernels of `EEESlab/CMix-NN`::

    Phi = sum (X - Zx)*(W - Zw)                                   int32
    M   = (Sx*Sw/Sy)*(gamma/sigma) = M0*2^N0                      0.5 <= |M0| < 1; M0 as Q1.31, N0 int8
    Bq  = round((b - mu + beta*sigma/gamma)/(Sx*Sw))              int32
    Y   = clamp(Zy + floor(M0*2^N0*(Phi + Bq)), 0, 2^Q - 1)

The kernels start the accumulator at Bq, shift it left, take the high word of a signed 32 x 32 product (SMULL), shift
that right, add Zy and saturate (USAT). The high word of a product with a Q1.31 number is half the product of the
values, so what the kernels call N0 is -(N0 + 1) here. Dropping low bits twice is dropping them once, since
floor(floor(a/b)/c) = floor(a/(b*c)) for positive integers b and c: the kernel computes the formula exactly while the
shifted accumulator fits 32 bits, which `icn_parameters` makes sure of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import bad_input
from hwsim.quant.formats import Ints

INT32_MAX = (1 << 31) - 1
SMALLEST_N0 = -32
"""A right shift by 31 already leaves only the sign; smaller N0 give the same codes."""
LARGEST_N0 = 30


@dataclass(frozen=True)
class Icn:
    """Parameters of one layer: `m0` int32 and `n0` int8, one each or one a channel; `bias` int32, one a channel.

    One M0 and N0 for all channels is folded batch norm (PL+FB).
    """

    m0: NDArray[np.int32]
    n0: NDArray[np.int8]
    bias: NDArray[np.int32]

    @property
    def kernel_n0(self) -> NDArray[np.int8]:
        """N0 as the kernels take it: shift left by max(0, -N0) before the product, right by max(0, N0) after it."""
        return (-(self.n0.astype(np.int64) + 1)).astype(np.int8)

    def codes(self, phi: Ints, zero: int, bits: int) -> Ints:
        """Output codes of the accumulators `phi` (channels last), in the order of the kernels."""
        n0 = self.kernel_n0.astype(np.int64)
        shifted = phi + self.bias.astype(np.int64) << np.maximum(0, -n0)
        high = shifted * self.m0.astype(np.int64) >> 32
        found: Ints = np.clip((high >> np.maximum(0, n0)) + zero, 0, (1 << bits) - 1)
        return found


def fixed_point(multiplier: float) -> tuple[int, int]:
    """M0 (times 2^31) and N0 of a real multiplier; M0 rounds to nearest, ties to even.

    (0, 0) for the multiplier 0. Raises InputError for one of 2^30 or more, which no accumulator of 32 bits survives.
    """
    if multiplier == 0:
        return 0, 0
    finite = math.isfinite(multiplier)
    mantissa, exponent = math.frexp(multiplier if finite else 1.0)
    m0 = round(mantissa * (1 << 31))
    if abs(m0) == 1 << 31:
        m0, exponent = m0 // 2, exponent + 1
    if exponent > LARGEST_N0 or not finite:
        raise bad_input("multiplier", multiplier, f"a layer's multiplier is below 2^{LARGEST_N0}",
                        "Look at the scales of its input, its weights and its output.")  # fmt: skip
    return m0, max(exponent, SMALLEST_N0)


def icn_parameters(multipliers: Any, offsets: Any, reach: Any) -> Icn:
    """ICN for real multipliers M (one, or one a channel) and real offsets in accumulator units (one a channel).

    `reach` is the largest |Phi| of each channel. Bq is clipped so that Phi + Bq, shifted, fits 32 bits: a clipped
    bias is one that saturates the output whatever Phi is, where M is at least 2^-22 and |Phi| below 2^29. Raises
    InputError where Phi alone does not fit.
    """
    pairs = [fixed_point(float(m)) for m in np.atleast_1d(np.asarray(multipliers, np.float64))]
    m0 = np.array([pair[0] for pair in pairs], np.int32)
    n0 = np.array([pair[1] for pair in pairs], np.int8)
    room = (INT32_MAX >> np.maximum(0, n0.astype(np.int64) + 1)) - np.asarray(reach, np.int64)
    check_accumulator(room)
    wanted = np.clip(np.asarray(offsets, np.float64), -(2.0**40), 2.0**40)
    bias = np.clip(np.rint(wanted).astype(np.int64), -room, room)
    return Icn(m0, n0, bias.astype(np.int32))


def check_accumulator(room: Ints) -> None:
    """Raise InputError where the accumulator of a channel can leave 32 bits."""
    if room.min() < 0:
        channel = int(room.argmin())
        raise bad_input("accumulator", f"channel {channel}", "its products can exceed an accumulator of 32 bits",
                        "Use fewer bits, or split the layer.")  # fmt: skip


def reach_of(weights: Ints, zero: Ints, input_zero: int, input_bits: int) -> Ints:
    """The largest |Phi| of each output channel: weights (channels first) against the farthest input code."""
    farthest = max(input_zero, (1 << input_bits) - 1 - input_zero)
    centred = weights.reshape(weights.shape[0], -1) - np.reshape(zero, (-1, 1))
    reach: Ints = np.abs(centred).sum(axis=1) * farthest
    return reach
