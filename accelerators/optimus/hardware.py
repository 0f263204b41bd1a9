"""The machine behind a design: units, memories, energies, leakage, area. Pure functions on the shared models.

Memories are banked: a bank serves words of `BANK_WORD_BITS`, and as many banks stand side by side as the port is wide,
so that energy and area are those of the small banks.
"""

from __future__ import annotations

from typing import NamedTuple

from accelerators.optimus.closed_form import array_sets, column_bits
from accelerators.optimus.design import Design
from accelerators.optimus.tasks import Counts, weight_slots
from hwsim.dram import idle_w
from hwsim.energy import (
    int_add_pj,
    logic_leakage_w,
    mac_area_mm2,
    mac_pj,
    register_area_mm2,
    register_pj_per_bit,
    sram_area_mm2,
    sram_leakage_w,
    sram_read_pj_per_bit,
    sram_write_pj_per_bit,
)
from hwsim.memory import MemoryLevel, Unit, dram_level, sram_level
from hwsim.model import Parts
from hwsim.pure import ceil_div, clog2, pure

BANK_WORD_BITS = 128
"""Assumed: the word of one bank. 64 to 256 are usual for compiled SRAM macros."""


class Machine(NamedTuple):
    """Array and vector unit; weight buffer, activation buffer, and DRAM."""

    array: Unit
    vector: Unit
    weights: MemoryLevel
    activations: MemoryLevel
    dram: MemoryLevel


class Statics(NamedTuple):
    """Watts drawn all the time."""

    array: float
    weights: float
    activations: float
    dram: float


class Areas(NamedTuple):
    """mm2 of the chip; the DRAM is beside it."""

    array: float
    vector: float
    accumulators: float
    window: float
    weights: float
    activations: float


@pure
def entry_port_bits(design: Design) -> int:
    """Width at which the weight buffer gives entries: for each multiplier a value, and as much again for its row number
    and its share of the column lengths."""
    return 2 * design.macs * design.value_width_bits


@pure
def arriving_elements(design: Design) -> int:
    """Input elements that arrive in a cycle at most: the first window of the next row, and those the window moves on
    by."""
    return min(design.window, design.macs) + design.rate


@pure
def weight_port_bits(design: Design) -> int:
    """Width of the weight buffer: entries, and the lengths of every column whose element arrives."""
    lengths = column_bits(design.weight_format, design.accumulators, design.macs, design.sets)
    return entry_port_bits(design) + arriving_elements(design) * lengths


@pure
def activation_port_bits(design: Design) -> int:
    """Width of the activation buffer: one element for each multiplier (attention products have no other operand
    store), and at least two for each lane of the vector unit, besides what the window takes."""
    return (max(design.macs, 2 * design.vector_lanes) + arriving_elements(design)) * design.activation_width_bits


@pure
def bank_bits(capacity_bits: int, port_bits: int) -> int:
    """Capacity of one bank."""
    return max(BANK_WORD_BITS, capacity_bits // ceil_div(port_bits, BANK_WORD_BITS))


@pure
def row_number_bits(design: Design) -> int:
    """Width of the register that names a non-zero's row in its set."""
    return clog2(ceil_div(design.accumulators, array_sets(design.weight_format, design.macs, design.sets)))


@pure
def machine(design: Design, parts: Parts) -> Machine:
    """Clocks, ports, buffers."""
    slots = weight_slots(design)
    return Machine(
        Unit(design.clock_khz, design.macs),
        Unit(design.clock_khz, 0),
        sram_level(design.weight_buffer_bits, weight_port_bits(design), design.clock_khz, slots, 0),
        sram_level(design.activation_buffer_bits, activation_port_bits(design), design.clock_khz, 2, 0),
        dram_level(parts.dram, design.dram_channels, design.dram_capacity_bits, slots),
    )


@pure
def price(design: Design, parts: Parts) -> Counts:
    """Picojoules of each count. Registers (window, row numbers, accumulators) are read and, where they change,
    written once an event; the window is read by each multiplier for itself."""
    node, dram = parts.node, parts.dram
    bit = register_pj_per_bit(node)
    weight_bank = bank_bits(design.weight_buffer_bits, entry_port_bits(design))
    activation_bank = bank_bits(design.activation_buffer_bits, activation_port_bits(design))
    weight, activation, sum_width = design.value_width_bits, design.activation_width_bits, design.accumulator_width_bits
    activation_write = sram_write_pj_per_bit(node, activation_bank, BANK_WORD_BITS)
    return Counts(
        array_cycles=0.0,
        array_drain_cycles=0.0,
        vector_cycles=0.0,
        vector_drain_cycles=0.0,
        chunks=0.0,
        dram_read_bits=dram.read_pj_per_bit + dram.activate_pj / dram.row_bits,
        dram_read_runs=dram.activate_pj,
        dram_write_bits=dram.write_pj_per_bit + dram.activate_pj / dram.row_bits,
        dram_write_runs=dram.activate_pj,
        weight_read_bits=sram_read_pj_per_bit(node, weight_bank, BANK_WORD_BITS),
        weight_write_bits=sram_write_pj_per_bit(node, weight_bank, BANK_WORD_BITS),
        activation_read_bits=sram_read_pj_per_bit(node, activation_bank, BANK_WORD_BITS),
        activation_write_bits=activation_write,
        fetched_bits=activation_write,
        macs_executed=mac_pj(node, activation, weight, sum_width),
        window_reads=activation * bit,
        index_reads=row_number_bits(design) * bit,
        accumulations=2 * sum_width * bit,
        vector_ops=int_add_pj(node, 2 * activation),
    )


@pure
def area_mm2(design: Design, parts: Parts) -> Areas:
    """Multipliers, lanes (a multiplier and adder each), registers and SRAM banks; no wiring beyond what the shared
    model puts into its utilisation, no pads. Accumulators are double (one half is written or loaded while the other
    takes sums), and so is the window (the next row's first one is fetched while a row runs)."""
    node = parts.node
    mac = mac_area_mm2(node, design.activation_width_bits, design.value_width_bits, design.accumulator_width_bits)
    lane = mac_area_mm2(node, design.activation_width_bits, design.activation_width_bits, design.accumulator_width_bits)
    bit = register_area_mm2(node, 1)
    return Areas(
        array=design.macs * mac,
        vector=design.vector_lanes * lane,
        accumulators=2 * design.accumulators * design.accumulator_width_bits * bit,
        window=2 * design.window * design.activation_width_bits * bit,
        weights=sram_area_mm2(node, design.weight_buffer_bits),
        activations=sram_area_mm2(node, design.activation_buffer_bits),
    )


@pure
def static_w(design: Design, parts: Parts) -> Statics:
    """Leakage of logic and SRAM, and the DRAM's background and refresh."""
    areas = area_mm2(design, parts)
    logic = areas.array + areas.vector + areas.accumulators + areas.window
    return Statics(
        array=logic_leakage_w(parts.node, logic),
        weights=sram_leakage_w(parts.node, design.weight_buffer_bits),
        activations=sram_leakage_w(parts.node, design.activation_buffer_bits),
        dram=idle_w(parts.dram, design.dram_channels),
    )
