"""The fields of an OPTIMUS design. Reasons and ranges of the values that the paper leaves open: docs/decisions/0002."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Annotated

from hwsim.config import Doc, Range


class WeightFormat(IntEnum):
    """How weight matrices are stored and dealt to the multipliers."""

    DENSE = 0
    CSC = 1
    RCSC = 2
    SA_RCSC = 3


class LogitsRows(IntEnum):
    """Rows of logits a decoder computes that recomputes all its rows in every step."""

    LAST = 0
    ALL = 1


@dataclass(frozen=True, slots=True)
class Design:
    """One OPTIMUS instance. Every mechanism of the paper is a switch."""

    macs: Annotated[int, Range(1, 1 << 20), Doc("multiply-accumulate units of the array")]
    sets: Annotated[int, Range(1, 1 << 20), Doc("sets the array is split into; macs / sets ways each; for SA-RCSC")]
    clock_khz: Annotated[int, Range(1_000, 10_000_000), Doc("clock of array, vector unit and on-chip memories")]
    decode_cache: Annotated[bool, Doc("a decoder step computes its newest row only and keeps keys and values")]
    weight_format: Annotated[WeightFormat, Doc("storage of weight matrices: dense, csc, rcsc or sa_rcsc")]
    load_overlap: Annotated[bool, Doc("weights are loaded while the array computes (double buffering)")]
    intermediates_on_chip: Annotated[bool, Doc("intermediates, keys and values stay in the activation buffer")]
    logits_rows: Annotated[LogitsRows, Doc("rows of logits in a step without decode_cache: last or all")]
    window: Annotated[int, Range(1, 1 << 16), Doc("consecutive input elements all multipliers can see")]
    rate: Annotated[int, Range(1, 1 << 16), Doc("input elements by which the window can move on in a cycle")]
    value_width_bits: Annotated[int, Range(2, 16), Doc("width of a stored weight")]
    activation_width_bits: Annotated[int, Range(2, 32), Doc("width of activations, keys and values")]
    accumulator_width_bits: Annotated[int, Range(8, 64), Doc("width of a partial sum")]
    accumulators: Annotated[int, Range(1, 1 << 24), Doc("partial sums in flight: output rows of one tile")]
    weight_buffer_bits: Annotated[int, Range(1 << 10, 1 << 34), Doc("on-chip buffer that weights are loaded into")]
    activation_buffer_bits: Annotated[int, Range(1 << 10, 1 << 36), Doc("holds intermediates, keys and values")]
    dram_channels: Annotated[int, Range(1, 1024), Doc("channels of the DRAM part, all used together")]
    dram_capacity_bits: Annotated[int, Range(1 << 20, 1 << 46), Doc("off-chip memory for the weights")]
    vector_lanes: Annotated[int, Range(1, 1 << 16), Doc("elements the vector unit handles in a cycle")]
    pipeline_cycles: Annotated[int, Range(0, 1024), Doc("depth of the array behind its last product, less the adders")]
    vector_pipeline_cycles: Annotated[int, Range(0, 1024), Doc("depth of the vector unit")]

    def problems(self) -> Iterable[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy) of each one broken."""
        if self.macs % self.sets:
            below = max(d for d in range(1, min(self.sets, self.macs) + 1) if self.macs % d == 0)
            yield "sets", f"sets must divide macs ({self.macs})", f"{below} does."
        if self.accumulators < self.sets:
            yield "accumulators", f"each of the {self.sets} sets needs an accumulator", f"Write {self.sets} or more."


_ANY = Design(
    macs=1,
    sets=1,
    clock_khz=1_000,
    decode_cache=True,
    weight_format=WeightFormat.SA_RCSC,
    load_overlap=True,
    intermediates_on_chip=True,
    logits_rows=LogitsRows.LAST,
    window=1,
    rate=1,
    value_width_bits=16,
    activation_width_bits=16,
    accumulator_width_bits=32,
    accumulators=1,
    weight_buffer_bits=1 << 10,
    activation_buffer_bits=1 << 10,
    dram_channels=1,
    dram_capacity_bits=1 << 20,
    vector_lanes=1,
    pipeline_cycles=0,
    vector_pipeline_cycles=0,
)
"""Stands in for the fields a cached result does not depend on; it is never run."""


def only(design: Design, fields: Iterable[str]) -> Design:
    """`design` with all but `fields` reset, so that designs which agree in them are equal."""
    return replace(_ANY, **{name: getattr(design, name) for name in fields})
