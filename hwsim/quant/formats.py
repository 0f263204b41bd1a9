"""Codes and scales: uniform formats of 8, 4 and 2 bits, one scale a tensor or a channel, and their packing.

A real value is scale * (code - zero). Unsigned codes run from 0 to 2^Q - 1, signed ones from -2^(Q-1) to 2^(Q-1) - 1;
a symmetric signed format has the zero 0, an unsigned one its middle code. Zero is always a code, so that padding with
zeros is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import bad_input

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]
Bytes = NDArray[np.uint8]

PACKABLE = (8, 4, 2)
TINY = 2.0**-100
"""Stands in for the width of an empty range, so that a tensor of zeros has a scale."""


def code_range(bits: int, *, signed: bool = False) -> tuple[int, int]:
    """The smallest and the largest code."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


@dataclass(frozen=True)
class Format:
    """A uniform format. `scale` and `zero` have one entry for the tensor, or one for each channel of the first axis."""

    bits: int
    scale: Reals
    zero: Ints
    signed: bool = False

    def quantize(self, values: Any) -> Ints:
        """The nearest codes (ties to even), clamped to the range. Shape of `values`, channels first."""
        real = np.asarray(values, dtype=np.float64)
        low, high = code_range(self.bits, signed=self.signed)
        codes = np.rint(real / _spread(self.scale, real.ndim)).astype(np.int64) + _spread(self.zero, real.ndim)
        clamped: Ints = np.clip(codes, low, high)
        return clamped

    def dequantize(self, codes: Any) -> Reals:
        """The values of `codes`, channels first."""
        whole = np.asarray(codes, dtype=np.int64)
        real: Reals = _spread(self.scale, whole.ndim) * (whole - _spread(self.zero, whole.ndim))
        return real


def _spread(parameter: NDArray[Any], ndim: int) -> NDArray[Any]:
    """`parameter` shaped to meet the first of `ndim` axes."""
    return parameter.reshape((-1, *(1,) * (ndim - 1))) if parameter.size > 1 else parameter.reshape(())


def fit(values: Any, bits: int, *, per_channel: bool = False, symmetric: bool = False, signed: bool = False) -> Format:
    """The format of `bits` bits that just holds `values` (channels first), and zero.

    Asymmetric: the range from the smallest to the largest value on all codes, scale (max - min)/(2^Q - 1).
    Symmetric: the range -a to a of the largest magnitude a; signed codes then have scale a/(2^(Q-1) - 1) and zero 0,
    unsigned ones scale 2a/(2^Q - 1) and the zero 2^(Q-1).
    """
    real = np.asarray(values, dtype=np.float64)
    rows = real.reshape(real.shape[0], -1) if per_channel else real.reshape(1, -1)
    low, high = np.minimum(rows.min(axis=1), 0.0), np.maximum(rows.max(axis=1), 0.0)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    if symmetric and signed:
        scale = np.maximum(high, TINY) / max(1, code_range(bits, signed=True)[1])
        return Format(bits, scale, np.zeros(scale.shape, np.int64), signed=True)
    scale = np.maximum(high - low, TINY) / (2**bits - 1)
    # Halves go up: the middle of a symmetric range is the code 2^(Q-1).
    zero = np.floor(-low / scale + 0.5).astype(np.int64) + code_range(bits, signed=signed)[0]
    return Format(bits, scale, zero, signed)


# --- packing ----------------------------------------------------------------------------------------------------


def pack(codes: Any, bits: int) -> Bytes:
    """Codes in C order as bytes: the first code in the lowest bits, the last byte filled with zeros.

    Signed codes are kept in two's complement. Raises InputError for a width other than 8, 4 and 2.
    """
    _check_width(bits)
    per_byte = 8 // bits
    flat = np.asarray(codes).reshape(-1).astype(np.int64) & (1 << bits) - 1
    padded = np.concatenate([flat, np.zeros(-flat.size % per_byte, np.int64)]).reshape(-1, per_byte)
    packed: Bytes = (padded << np.arange(per_byte) * bits).sum(axis=1).astype(np.uint8)
    return packed


def unpack(packed: Bytes, bits: int, shape: tuple[int, ...], *, signed: bool = False) -> Ints:
    """The codes that `pack` packed."""
    _check_width(bits)
    fields = packed.astype(np.int64)[:, None] >> np.arange(8 // bits) * bits & (1 << bits) - 1
    codes = fields.reshape(-1)[: int(np.prod(shape))].reshape(shape)
    return np.where(codes >= 1 << bits - 1, codes - (1 << bits), codes) if signed else codes


def _check_width(bits: int) -> None:
    if bits not in PACKABLE:
        raise bad_input("bits", bits, "codes are packed at 8, 4 or 2 bits")
