"""The machine behind a design: memories, power, area. Pure functions on the shared models."""

from __future__ import annotations

from typing import NamedTuple

from accelerators.mcu.design import Design
from accelerators.mcu.tasks import Counts
from hwsim.energy import flash_read_pj_per_bit, sram_read_pj_per_bit, sram_write_pj_per_bit
from hwsim.memory import FLASH, SRAM, MemoryLevel, Unit
from hwsim.model import Parts
from hwsim.pure import pure

MACS_PER_CYCLE = 2
"""SMLAD multiplies two pairs of halfwords; one is issued a cycle."""

SRAM_BANK_BITS = 1 << 20
"""Assumed: SRAMs of this size and above consist of banks of 128 KiB."""


class Machine(NamedTuple):
    """Core, flash, cached SRAM, tightly coupled SRAM. The caches are in what the core's power covers."""

    core: Unit
    flash: MemoryLevel
    ram: MemoryLevel
    scratch: MemoryLevel


class Statics(NamedTuple):
    """Watts drawn all the time."""

    core: float


class Areas(NamedTuple):
    """mm2."""

    die: float


@pure
def machine(design: Design, parts: Parts) -> Machine:
    """Clocks and ports: flash and cached SRAM lie behind the bus, the scratch RAM beside the core."""
    bus_khz = design.clock_khz // design.bus_divider
    bus = design.bus_width_bits
    return Machine(
        Unit(design.clock_khz, MACS_PER_CYCLE),
        MemoryLevel(FLASH, design.flash_capacity_bits, bus, bus, bus_khz, design.flash_wait_states + 1),
        MemoryLevel(SRAM, design.ram_bits, bus, bus, bus_khz),
        MemoryLevel(SRAM, design.scratch_bits, 64, 64, design.clock_khz),
    )


@pure
def price(design: Design, parts: Parts) -> Counts:
    """Picojoules: what the chip draws beyond idling, a cycle of the clock it was measured at; flash and cached SRAM by
    the shared model for what crosses the bus. The measured power has usual bus traffic in it, so this counts some of it
    twice: less than half a per cent, on the safe side."""
    node = parts.node
    bank = min(design.ram_bits, SRAM_BANK_BITS)
    return Counts(
        core_cycles=(design.active_power_w - design.idle_power_w) * 1e9 / design.power_clock_khz,
        chunks=0.0,
        flash_read_bits=flash_read_pj_per_bit(node),
        ram_read_bits=sram_read_pj_per_bit(node, bank, design.bus_width_bits),
        ram_write_bits=sram_write_pj_per_bit(node, bank, design.bus_width_bits),
        macs_executed=0.0,
        instructions=0.0,
    )


@pure
def static_w(design: Design, parts: Parts) -> Statics:
    """What it draws while it waits."""
    return Statics(design.idle_power_w)


@pure
def area_mm2(design: Design, parts: Parts) -> Areas:
    """The die."""
    return Areas(design.die_mm2)
