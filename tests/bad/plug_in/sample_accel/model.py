"""A plug-in for the tests of design files: every kind of field, and nothing to run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from hwsim.config import Doc, Range


class Dataflow(IntEnum):
    WEIGHT_STATIONARY = 0
    OUTPUT_STATIONARY = 1


@dataclass(frozen=True)
class Buffer:
    capacity_bits: Annotated[int, Range(8192, 2**33), Doc("of all banks")] = 2**19
    banks: Annotated[int, Range(1, 64)] = 4


@dataclass(frozen=True)
class Design:
    macs: Annotated[int, Range(1, 65536), Doc("multiply-accumulate units")]
    clock_khz: Annotated[int, Range(1_000, 4_000_000), Doc("clock of everything")]
    dataflow: Dataflow = Dataflow.WEIGHT_STATIONARY
    sparse: bool = True
    activity: Annotated[float, Range(0.0, 1.0), Doc("share of cycles that switch")] = 0.5
    link_bits_per_s: Annotated[int, Range(10**6, 10**13)] = 10**9
    idle_w: Annotated[float, Range(0.0, 10.0)] = 0.1
    buffer: Buffer = Buffer(capacity_bits=2**20)

    def problems(self) -> Iterable[tuple[str, str, str]]:
        if self.macs % self.buffer.banks:
            yield "buffer.banks", f"banks must divide macs ({self.macs})", "1 does."


class Sample:
    name = "sample"
    summary = "a sample"
    Design = Design


MODEL = Sample()
