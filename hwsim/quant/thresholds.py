"""Threshold layers: an output code is the number of thresholds that the accumulator reaches, found by bisection.

There are 2^Q - 1 thresholds a channel, of 16 bits, for Q of 4 and 2; the bias is part of them. The layer gives the
codes of the ICN layer it was made from for every accumulator from -32768 to 32766 (mirrored for a channel with a
negative multiplier): a threshold beyond 16 bits is kept as the nearest end, so only accumulators out there meet a wrong
one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import bad_input
from hwsim.quant.formats import Ints
from hwsim.quant.icn import Icn

LOWEST, HIGHEST = -(1 << 15), (1 << 15) - 1
WIDEST_OUTPUT = 4


@dataclass(frozen=True)
class Thresholds:
    """`table` int16, channels x (2^Q - 1), each row rising; `sign` int8, -1 where a channel's multiplier is negative.

    `clipped` counts the thresholds that 16 bits cannot hold.
    """

    table: NDArray[np.int16]
    sign: NDArray[np.int8]
    clipped: int = 0

    def codes(self, phi: Ints) -> Ints:
        """Output codes of accumulators without bias (channels last): bisection, one comparison a bit."""
        value = phi * self.sign.astype(np.int64)
        channel = np.broadcast_to(np.arange(self.table.shape[0]), phi.shape)
        code = np.zeros(phi.shape, np.int64)
        step = (self.table.shape[1] + 1) // 2
        while step:
            code += step * (value >= self.table[channel, code + step - 1])
            step //= 2
        return code


def thresholds_of(icn: Icn, channels: int, zero: int, bits: int) -> Thresholds:
    """The thresholds of an ICN layer with the output zero point `zero`.

    Code k or more means M*(Phi + Bq) >= k - Zy: for positive M, Phi >= ceil((k - Zy)/M) - Bq, and for negative M the
    same of -Phi. Exact, in integers. Raises InputError for 8-bit outputs, which have no such variant.
    """
    if bits > WIDEST_OUTPUT:
        raise bad_input("bits", bits, "threshold layers have outputs of 4 or 2 bits", "Use ICN for this layer.")
    m0, n0 = (np.broadcast_to(p, (channels,)).tolist() for p in (icn.m0, icn.n0))
    rows = [
        _channel(m, n, b, zero, bits) for m, n, b in zip(m0, n0, icn.bias.tolist(), strict=True)
    ]  # fmt: skip
    clipped = sum(not LOWEST <= t <= HIGHEST for row in rows for t in row)
    table = np.array([[min(max(t, LOWEST), HIGHEST) for t in row] for row in rows], np.int16)
    return Thresholds(table, np.array([-1 if m < 0 else 1 for m in m0], np.int8), clipped)


def _channel(m0: int, n0: int, bias: int, zero: int, bits: int) -> list[int]:
    wanted = range(1 - zero, (1 << bits) - zero)
    if m0 == 0:
        return [2 * LOWEST if k <= 0 else 2 * HIGHEST for k in wanted]
    # k <= m0 * 2^(n0 - 31) * (phi + bias), in integers; the sign of m0 goes to phi and bias.
    up, down = 1 << max(0, 31 - n0), abs(m0) << max(0, n0 - 31)
    signed_bias = bias if m0 > 0 else -bias
    return [-(-k * up // down) - signed_bias for k in wanted]
