"""The machine behind a design: units, memories, energies, leakage, area. Pure functions on the shared models.

What the shared model does not know is assumed: a bank is as wide as the words it gives a cycle; a vector lane spends an
addition at the width of a partial sum an operation; a multiplier takes in one streamed operand and passes on another a
cycle, each through a register. Links and hosts draw nothing here.
"""

from __future__ import annotations

from typing import NamedTuple

from accelerators.systolic.array import OS, WS
from accelerators.systolic.design import Design, NumberFormat
from accelerators.systolic.tasks import KHZ_PER_THZ, Counts
from hwsim.dram import idle_w
from hwsim.energy import (
    Node,
    adder_area_mm2,
    bf16_mac_pj,
    fp_add_pj,
    fp_mac_area_mm2,
    fp_mac_pj,
    fp_mult_pj,
    int_add_pj,
    logic_leakage_w,
    mac_pj,
    mult_area_mm2,
    register_area_mm2,
    register_pj_per_bit,
    sram_area_mm2,
    sram_leakage_w,
    sram_read_pj_per_bit,
    sram_write_pj_per_bit,
)
from hwsim.memory import SRAM, MemoryLevel, Unit, dram_level
from hwsim.model import Parts
from hwsim.pure import pure

INT8, INT16, FP16, BF16, FP32 = (int(f) for f in NumberFormat)
SLOTS = 2
"""Pieces of a transfer in flight: one is worked on while the next is loaded."""


class Machine(NamedTuple):
    """All arrays as one unit, all vector lanes as another, the host and its link; three SRAMs and DRAM."""

    array: Unit
    vector: Unit
    host: Unit
    infeed: Unit
    inputs: MemoryLevel
    weights: MemoryLevel
    outputs: MemoryLevel
    dram: MemoryLevel


class Statics(NamedTuple):
    """Watts drawn all the time."""

    array: float
    vector: float
    inputs: float
    weights: float
    outputs: float
    dram: float


class Areas(NamedTuple):
    """mm2 of the chip; the DRAM is beside it."""

    array: float
    vector: float
    inputs: float
    weights: float
    outputs: float


@pure
def buffer(design: Design, capacity_bits: int, words: int, width_bits: int) -> MemoryLevel:
    """The SRAMs of all cores for one operand: `words` words of `width_bits` a cycle and core, each way."""
    rate = design.cores * words * width_bits
    return MemoryLevel(SRAM, design.cores * capacity_bits, rate, rate, design.clock_khz, 1, 0, SLOTS)


@pure
def machine(design: Design, parts: Parts) -> Machine:
    """Clocks, ports, buffers."""
    return Machine(
        Unit(design.clock_khz, design.cores * design.rows * design.columns),
        Unit(design.clock_khz),
        Unit(KHZ_PER_THZ),
        Unit(KHZ_PER_THZ),
        buffer(design, design.input_sram_bits, design.input_bandwidth * design.input_banks, design.input_bits),
        buffer(design, design.weight_sram_bits, design.weight_bandwidth * design.weight_banks, design.weight_bits),
        buffer(design, design.output_sram_bits, design.output_bandwidth * design.output_banks, design.accumulator_bits),
        dram_level(parts.dram, design.dram_channels, design.dram_capacity_bits, SLOTS),
    )


# --- energy -----------------------------------------------------------------------------------------------------


@pure
def arithmetic_pj(node: Node, number_format: int, accumulator_bits: int) -> float:
    """A multiplication and its addition to the partial sum. Integers add at the width of a partial sum; 16-bit floating
    point adds in fp32, as tensor units do."""
    if number_format == INT8:
        return mac_pj(node, 8, 8, accumulator_bits)
    if number_format == INT16:
        return mac_pj(node, 16, 16, accumulator_bits)
    if number_format == FP16:
        return fp_mult_pj(node, 16) + fp_add_pj(node, 32)
    if number_format == BF16:
        return bf16_mac_pj(node)
    return fp_mac_pj(node, 32)


@pure
def lane_pj(node: Node, number_format: int, accumulator_bits: int) -> float:
    """One operation of a vector lane."""
    if number_format in (INT8, INT16):
        return int_add_pj(node, accumulator_bits)
    return fp_add_pj(node, 32)


@pure
def moving_bits(design: Design) -> int:
    """Bits that a multiplier clocks into registers a cycle: what streams past it, and what it passes on."""
    if design.dataflow == WS:
        return design.input_bits + design.accumulator_bits
    if design.dataflow == OS:
        return design.input_bits + design.weight_bits + design.accumulator_bits
    return design.weight_bits + design.accumulator_bits


@pure
def read_pj(node: Node, capacity_bits: int, banks: int, words: int, width_bits: int) -> float:
    """A bit read from an SRAM of so many banks."""
    word = words * width_bits
    return sram_read_pj_per_bit(node, max(word, capacity_bits // banks), word)


@pure
def write_pj(node: Node, capacity_bits: int, banks: int, words: int, width_bits: int) -> float:
    """A bit written to it."""
    word = words * width_bits
    return sram_write_pj_per_bit(node, max(word, capacity_bits // banks), word)


@pure
def price(design: Design, parts: Parts) -> Counts:
    """Picojoules of each count."""
    node, dram = parts.node, parts.dram
    d = design
    row = dram.activate_pj / dram.row_bits
    output_read = read_pj(node, d.output_sram_bits, d.output_banks, d.output_bandwidth, d.accumulator_bits)
    output_write = write_pj(node, d.output_sram_bits, d.output_banks, d.output_bandwidth, d.accumulator_bits)
    return Counts(
        array_cycles=0.0,
        buffer_cycles=0.0,
        post_cycles=0.0,
        vector_cycles=0.0,
        host_ps=0.0,
        infeed_ps=0.0,
        array_overhead_cycles=0.0,
        vector_overhead_cycles=0.0,
        chunks=0.0,
        dram_read_bits=dram.read_pj_per_bit + row,
        dram_read_runs=dram.activate_pj,
        dram_write_bits=dram.write_pj_per_bit + row,
        dram_write_runs=dram.activate_pj,
        input_read_bits=read_pj(node, d.input_sram_bits, d.input_banks, d.input_bandwidth, d.input_bits),
        weight_read_bits=read_pj(node, d.weight_sram_bits, d.weight_banks, d.weight_bandwidth, d.weight_bits),
        output_read_bits=output_read,
        output_write_bits=output_write,
        input_fill_bits=write_pj(node, d.input_sram_bits, d.input_banks, d.input_bandwidth, d.input_bits),
        weight_fill_bits=write_pj(node, d.weight_sram_bits, d.weight_banks, d.weight_bandwidth, d.weight_bits),
        output_fill_bits=output_write,
        output_drain_bits=output_read,
        macs_executed=arithmetic_pj(node, d.number_format, d.accumulator_bits)
        + moving_bits(design) * register_pj_per_bit(node),
        vector_ops=lane_pj(node, d.number_format, d.accumulator_bits),
        infeed_bits=0.0,
    )


# --- area and leakage -------------------------------------------------------------------------------------------


@pure
def arithmetic_mm2(node: Node, number_format: int, accumulator_bits: int) -> float:
    """A multiplier and its adder. For 16-bit floating point the mean of the published 16- and 32-bit units stands for a
    16-bit multiplier with a 32-bit adder (assumed); the table has no bfloat16."""
    if number_format == INT8:
        return mult_area_mm2(node, 8, 8) + adder_area_mm2(node, accumulator_bits)
    if number_format == INT16:
        return mult_area_mm2(node, 16, 16) + adder_area_mm2(node, accumulator_bits)
    if number_format == FP32:
        return fp_mac_area_mm2(node, 32)
    return (fp_mac_area_mm2(node, 16) + fp_mac_area_mm2(node, 32)) / 2


@pure
def area_mm2(design: Design, parts: Parts) -> Areas:
    """Multipliers with their registers (two operands and a partial sum, a shadow of what stays with overlap), lanes (an
    arithmetic unit each) and SRAMs; no wiring beyond what the shared model puts into its utilisation, no pads, no
    controller."""
    node, d = parts.node, design
    unit = arithmetic_mm2(node, d.number_format, d.accumulator_bits)
    held = d.input_bits + d.weight_bits + d.accumulator_bits
    if d.overlap:
        shadow = d.weight_bits
        if d.dataflow == OS:
            shadow = d.accumulator_bits
        elif d.dataflow != WS:
            shadow = d.input_bits
        held = held + shadow
    return Areas(
        array=d.cores * d.rows * d.columns * (unit + register_area_mm2(node, held)),
        vector=d.cores * d.vector_lanes * (unit + register_area_mm2(node, d.accumulator_bits)),
        inputs=d.cores * sram_area_mm2(node, d.input_sram_bits),
        weights=d.cores * sram_area_mm2(node, d.weight_sram_bits),
        outputs=d.cores * sram_area_mm2(node, d.output_sram_bits),
    )


@pure
def static_w(design: Design, parts: Parts) -> Statics:
    """Leakage of logic and SRAM, and the DRAM's background and refresh."""
    areas = area_mm2(design, parts)
    node, cores = parts.node, design.cores
    return Statics(
        array=logic_leakage_w(node, areas.array),
        vector=logic_leakage_w(node, areas.vector),
        inputs=cores * sram_leakage_w(node, design.input_sram_bits),
        weights=cores * sram_leakage_w(node, design.weight_sram_bits),
        outputs=cores * sram_leakage_w(node, design.output_sram_bits),
        dram=idle_w(parts.dram, design.dram_channels),
    )
