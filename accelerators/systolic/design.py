"""The fields of a systolic accelerator. How they act: README.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from hwsim.config import Doc, Range

SLOWEST_LINK = 1_000_000
"""Bits a second below which a link's time would be rounded too coarsely."""


class Dataflow(IntEnum):
    """Which operand stays in the array."""

    WS = 0
    OS = 1
    IS = 2


class NumberFormat(IntEnum):
    """What the multipliers and adders work on. It decides their energy and area; all widths are fields of their own."""

    INT8 = 0
    INT16 = 1
    FP16 = 2
    BF16 = 3
    FP32 = 4


class Conv(IntEnum):
    """How a convolution becomes a matrix product."""

    IM2COL = 0
    DIRECT = 1


class LoopOrder(IntEnum):
    """The loops over tiles, outermost first, or the cheapest of them for each layer."""

    MNK = 0
    MKN = 1
    NMK = 2
    NKM = 3
    KMN = 4
    KNM = 5
    BEST = 6


_Words = Range(1, 1 << 16)
_Width = Range(1, 64)
_Sram = Range(1 << 10, 1 << 40)
_Overhead = Range(0, 10**15)


@dataclass(frozen=True, slots=True)
class Design:
    """One accelerator: `cores` arrays, each with its own SRAMs and vector lanes, over one DRAM."""

    rows: Annotated[int, Range(1, 4096), Doc("rows of the array (R); the reduction runs along them but for os")]
    columns: Annotated[int, Range(1, 4096), Doc("columns of the array (C)")]
    dataflow: Annotated[Dataflow, Doc("what stays in the array: ws weights, os results, is inputs")]
    overlap: Annotated[bool, Doc("a fold's stationary operand is loaded, or its result drained, under the next stream")]
    cores: Annotated[int, Range(1, 4096), Doc("arrays; the matrices of a batch are split over them, else rows of one")]
    share_weights: Annotated[bool, Doc("weights that all cores need at a time are read from DRAM once for all")]
    clock_khz: Annotated[int, Range(1_000, 10_000_000), Doc("clock of arrays, vector lanes and SRAMs")]
    number_format: Annotated[NumberFormat, Doc("arithmetic, for energy and area")]
    input_bits: Annotated[int, _Width, Doc("width of an element of the array's inputs")]
    weight_bits: Annotated[int, _Width, Doc("width of an element of its weights, or of what stands in their place")]
    accumulator_bits: Annotated[int, _Width, Doc("width of a partial sum, in SRAM and where it goes to DRAM")]
    output_bits: Annotated[int, _Width, Doc("width of a result as it leaves for DRAM")]
    input_sram_bits: Annotated[int, _Sram, Doc("input SRAM of a core, both halves of its double buffer")]
    weight_sram_bits: Annotated[int, _Sram, Doc("weight SRAM of a core, both halves")]
    output_sram_bits: Annotated[int, _Sram, Doc("output SRAM of a core, both halves; holds partial sums")]
    input_bandwidth: Annotated[int, _Words, Doc("words a cycle of one bank of the input SRAM")]
    input_banks: Annotated[int, _Words, Doc("banks of the input SRAM")]
    weight_bandwidth: Annotated[int, _Words, Doc("words a cycle of one bank of the weight SRAM")]
    weight_banks: Annotated[int, _Words, Doc("banks of the weight SRAM")]
    output_bandwidth: Annotated[int, _Words, Doc("words a cycle of one bank of the output SRAM, each way")]
    output_banks: Annotated[int, _Words, Doc("banks of the output SRAM")]
    vector_lanes: Annotated[int, Range(1, 1 << 20), Doc("element operations a cycle of a core's vector unit")]
    fuse: Annotated[bool, Doc("activation functions run on results as they leave for DRAM")]
    keep_on_chip: Annotated[bool, Doc("what the next operator alone reads stays in half the input SRAM if it fits")]
    conv: Annotated[Conv, Doc("im2col: the lowered matrix goes through DRAM; direct: addresses are formed on the fly")]
    loop_order: Annotated[LoopOrder, Doc("tile loops, outermost first, or best: the cheapest of them a layer")]
    dram_rate_bits_per_s: Annotated[
        int, Range(0, 10**15), Doc("rate of a DRAM channel that tiles are chosen by; 0: by fewest DRAM bits alone")
    ]
    dram_channels: Annotated[int, Range(1, 1024), Doc("channels of the DRAM part, all used together")]
    dram_capacity_bits: Annotated[int, Range(1 << 20, 1 << 48), Doc("off-chip memory")]
    infeed_rate_bits_per_s: Annotated[
        int, Range(0, 10**15), Doc("link that brings a step's inputs during the step before; 0: they are there")
    ]
    infeed_element_bits: Annotated[int, _Width, Doc("width of an element of the network's inputs on that link")]
    infeed_overhead_ps: Annotated[int, _Overhead, Doc("time of the link beside its bits, once a run")]
    step_overhead_ps: Annotated[int, _Overhead, Doc("time of the host before a run, once")]
    op_overhead_ps: Annotated[int, _Overhead, Doc("time behind an operator before its result can be used")]
    infeed_target_bits: Annotated[
        int, Range(0, 64), Doc("width of each class of a training target on that link; 0: one number a target")
    ] = 0
    in_order: Annotated[bool, Doc("an operator starts when the one before is done, whatever unit each needs")] = False
    replicas: Annotated[
        int, Range(1, 4096), Doc("copies of the parameters, each with its share of a training step's batch")
    ] = 1
    exchange_rate_bits_per_s: Annotated[
        int, Range(0, 10**15), Doc("rate at which a replica passes sums of gradients on to the next; 0: no time")
    ] = 0
    state_bits: Annotated[
        int, Range(0, 64), Doc("width that training keeps weights and what it updates in; 0: weight")
    ] = 0

    def problems(self) -> Iterator[tuple[str, str, str]]:
        """Rules across fields: the smallest tile of the dataflow fits half of every SRAM."""
        for key, elements, bits in self.smallest_tile():
            need = 2 * elements * bits
            if getattr(self, f"{key}_bits") < need:
                flow = Dataflow(self.dataflow).name.lower()
                rule = f"each half holds one fold of the array: {elements} elements of {bits} bits for {flow}"
                yield key, rule, f"Write {need} bit or more, or a smaller array."
        if 0 < self.infeed_rate_bits_per_s < SLOWEST_LINK:
            yield "infeed_rate", "0, or 1 Mbit/s or more", "Write 0 GB/s for inputs that are there."
        if self.cores % self.replicas:
            yield "replicas", f"the {self.cores} cores are split evenly over replicas", "Write a divisor of cores."

    def smallest_tile(self) -> tuple[tuple[str, int, int], ...]:
        """Per SRAM its key, and the elements and their width that the smallest tile needs of it."""
        rows, columns = self.rows, self.columns
        inputs, weights, outputs = {
            Dataflow.WS: (rows, rows * columns, columns),
            Dataflow.OS: (rows, columns, rows * columns),
            Dataflow.IS: (rows * columns, rows, columns),
        }[Dataflow(self.dataflow)]
        return (
            ("input_sram", inputs, self.input_bits),
            ("weight_sram", weights, self.weight_bits),
            ("output_sram", outputs, self.accumulator_bits),
        )
