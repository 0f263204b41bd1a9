"""How many 6-input look-up tables a wider table takes: the one rule that counts, models and estimates share."""

from __future__ import annotations

from hwsim.pure import pure

LUT_PINS = 6
"""Pins of one look-up table of every FPGA family that is modelled."""
LUT_BITS = 1 << LUT_PINS
"""Configuration bits of one: its truth table."""


@pure
def lut6_of(pins: int) -> int:
    """6-input tables of one table of so many inputs: 1 up to 6, else 2^(pins - 6); none for a constant."""
    if pins < 1:
        return 0
    tables = 1
    for _ in range(LUT_PINS, pins):
        tables = 2 * tables
    return tables


@pure
def muxes_of(pins: int) -> int:
    """Two-way multiplexers that join them: 2^(pins - 6) - 1, none up to 6 (AMD UG384 and UG474: F7 and F8)."""
    return max(0, lut6_of(pins) - 1)
