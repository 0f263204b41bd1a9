"""SkyNet's FPGA engine (arXiv 1909.09709): one depthwise and one pointwise engine, run command by command.

cycles     of `rtl_models/skynet/README.md`: loads, work and stores of commands, and what overlaps
transfers  the longer of the port's cycles and the DRAM part's time for the same bits and runs
resources  `accelerators.skynet.resources`; a design that does not fit its device is infeasible
energy     multipliers, block RAM, look-up tables, nets and clock on the FPGA table, DRAM on its part, the board

A read and a write of DRAM at the same time do not slow one another; see the README.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from accelerators.skynet import lowering
from accelerators.skynet.design import Design
from accelerators.skynet.resources import bram18s, dsps, flip_flops, luts
from accelerators.skynet.tasks import Counts, Depthwise, Host, Pointwise, buffer_pixels, depthwise, host, pointwise
from hwsim.dram import idle_w
from hwsim.fpga import Fpga, bram_mm2, bram_pj_per_bit, clock_w, fabric_mm2, lut_toggle_pj, net_toggle_pj
from hwsim.memory import BRAM, MemoryLevel, Unit, dram_level
from hwsim.model import Parts, Program, Violation
from hwsim.pure import pure
from hwsim.result import UNVALIDATED
from hwsim.workload.ir import Workload

NS_CLOCK_KHZ = 1_000_000
"""The host is counted in nanoseconds."""
SLOTS = 2
"""Loads go to two slots in turn."""
PERMILLE = 1_000
HALF = 2
"""Half of the bits of a word change from one to the next: data as random (assumed)."""


class Machine(NamedTuple):
    """The engine, its host, the ports with the buffers they fill, and DRAM."""

    engine: Unit
    host: Unit
    port: MemoryLevel
    dram: MemoryLevel


class Statics(NamedTuple):
    """Watts that flow all the time."""

    clock: float
    device: float
    dram: float
    platform: float


class Areas(NamedTuple):
    """mm2 of the device that the engine takes."""

    fabric: float
    block_ram: float


class SkyNetModel:
    """See the module's text."""

    name = "skynet"
    summary = "depthwise and pointwise engine on an FPGA, tile by tile from DRAM (SkyNet)"
    Design = Design
    Counts = Counts
    tables = ("dram", "device")
    kernels: ClassVar[Mapping[type, Any]] = {
        Depthwise: depthwise, Pointwise: pointwise, Host: host,
    }  # fmt: skip
    structural = lowering.SHAPE
    holdings: ClassVar[Mapping[type, Any]] = {}
    accuracy: ClassVar[Mapping[str, str]] = {"": UNVALIDATED}

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """Commands of a batch. Raises InputError naming what the engines cannot run."""
        return lowering.lower(workload, design, binding)

    @staticmethod
    @pure
    def machine(design: Design, parts: Parts) -> Machine:
        """Both ports run at the engine's clock; the buffers behind them hold two tiles."""
        peak = max(design.inputs_per_cycle * design.outputs_per_cycle // design.pw_interval, design.lanes)
        word = design.lanes * design.feature_bits
        tile = buffer_pixels(design.tile_height, design.tile_width) * word
        port = MemoryLevel(
            BRAM, SLOTS * tile, design.port_bits, design.port_bits, design.clock_khz, design.latency, 0, SLOTS
        )
        capacity = parts.dram.channel_capacity_bits * design.dram_channels
        return Machine(
            Unit(design.clock_khz, peak),
            Unit(NS_CLOCK_KHZ),
            port,
            dram_level(parts.dram, design.dram_channels, capacity, SLOTS),
        )

    @staticmethod
    @pure
    def price(design: Design, parts: Parts) -> Counts:
        """Picojoules. A row is opened by each run in every channel, and for each row's length of bits after."""
        fpga, dram = parts.fpga, parts.dram
        bram = bram_pj_per_bit(fpga)
        change = lut_toggle_pj(fpga) + net_toggle_pj(fpga)
        row = dram.activate_pj / dram.row_bits
        logic = (luts(design) + flip_flops(design)) * design.logic_changes_permille / PERMILLE
        return Counts(
            engine_cycles=0.0,
            host_cycles=0.0,
            chunks=0.0,
            port_read_bits=0.0,
            dram_read_bits=dram.read_pj_per_bit + row,
            dram_read_runs=design.dram_channels * dram.activate_pj,
            port_write_bits=0.0,
            dram_write_bits=dram.write_pj_per_bit + row,
            dram_write_runs=design.dram_channels * dram.activate_pj,
            commands=0.0,
            macs_executed=0.0,
            dw_macs=fpga.dsp_op_pj,
            pw_macs=fpga.dsp_op_pj,
            feature_write_bits=bram,
            feature_read_bits=bram,
            accumulator_write_bits=bram,
            accumulator_read_bits=bram,
            weight_write_bits=change / HALF,
            weight_read_bits=change / HALF,
            logic_cycles=logic * change,
        )

    @staticmethod
    @pure
    def static_w(design: Design, parts: Parts) -> Statics:
        """The clock tree with its flip-flops, the device's leakage, idle DRAM, and the rest of the board."""
        return Statics(
            clock_w(parts.fpga, design.clock_khz, flip_flops(design)),
            parts.fpga.static_w,
            idle_w(parts.dram, design.dram_channels),
            design.platform_power_w,
        )

    @staticmethod
    @pure
    def area_mm2(design: Design, parts: Parts) -> Areas:
        """Fabric and block RAM taken; DSP slices have no figure in the table."""
        return Areas(fabric_mm2(parts.fpga, luts(design)), bram_mm2(parts.fpga, bram18s(design)))

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Resources beyond the device's."""
        return [
            Violation(what, asked, held, unit, levers)
            for what, asked, held, unit, levers in _budget(design, parts.fpga) if asked > held
        ]  # fmt: skip

    def remarks(self, design: Design, parts: Parts, program: Program) -> Sequence[str]:
        """Resources in figures."""
        used = ", ".join(f"{asked:,} of {held:,} {unit}" + (f" ({asked / held:.0%})" if held else "")
                         for _, asked, held, unit, _ in _budget(design, parts.fpga))  # fmt: skip
        return (f"of the device: {used}",)


def _budget(design: Design, fpga: Fpga) -> list[tuple[str, int, int, str, str]]:
    """What is taken and what the device has: resource, both numbers, unit, and the fields that decide."""
    engines = "inputs_per_cycle, outputs_per_cycle, pw_interval, lanes, device"
    return [
        ("DSP slices", dsps(design), fpga.dsps, "DSP slices", engines),
        ("block RAM", bram18s(design), fpga.bram18s, "18 Kbit block RAMs",
         "tile_height, tile_width, lanes, feature, accumulator, device"),
        ("look-up tables", luts(design), fpga.luts, "LUT6", engines),
        ("flip-flops", flip_flops(design), fpga.flip_flops, "flip-flops", engines),
    ]  # fmt: skip


MODEL: Any = SkyNetModel()
