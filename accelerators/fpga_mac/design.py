"""The fields of a multiply-accumulate engine in the soft logic of an FPGA."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from hwsim.config import Doc, Range


class Format(IntEnum):
    """What numbers are multiplied: IEEE single precision, integers, or bits that stand for +1 and -1."""

    FP32 = 0
    INT32 = 1
    INT16 = 2
    BINARY = 3


@dataclass(frozen=True)
class Design:
    """`lanes` operators side by side, weights in block RAM. Operator figures are those of one multiply-accumulate."""

    number_format: Annotated[Format, Doc("the numbers that are multiplied")]
    lanes: Annotated[int, Range(1, 100_000), Doc("multiply-accumulates a clock")]
    clock_khz: Annotated[int, Range(1_000, 2_000_000), Doc("clock")]
    weight_bits: Annotated[int, Range(1, 64), Doc("width of a stored weight")]
    mac_milliluts: Annotated[
        int, Range(1, 100_000_000), Doc("thousandths of a 6-input table of one multiply-accumulate")
    ]
    mac_millichanges: Annotated[int, Range(0, 100_000_000), Doc("thousandths of a settled change in one of them")]
    add_millichanges: Annotated[int, Range(0, 100_000_000), Doc("the same of an addition alone")]
    sum_bits: Annotated[int, Range(1, 128), Doc("width of the sum, a register a lane")]
    glitch_factor: Annotated[float, Range(1.0, 100.0), Doc("changes in a clock for one that settles")]
