"""The fields of a microcontroller: its core, its memories, and the bit widths a network is run at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from accelerators.mcu.quantized import KIB, Quantized
from hwsim.config import Doc, Range


class Core(IntEnum):
    """Which pipeline times the instructions: one module each."""

    CORTEX_M7 = 0


@dataclass(frozen=True)
class Design(Quantized):
    """A microcontroller as its datasheet describes it, with what no document gives fitted to a profile."""

    core: Annotated[Core, Doc("the pipeline model")]
    clock_khz: Annotated[int, Range(1_000, 2_000_000), Doc("core clock")]
    scratch_bits: Annotated[int, Range(KIB, 2**36), Doc("tightly coupled RAM: stack and im2col columns")]
    instruction_cache_bits: Annotated[int, Range(KIB, 2**24), Doc("instruction cache")]
    data_cache_bits: Annotated[int, Range(KIB, 2**24), Doc("data cache")]
    line_width_bits: Annotated[int, Range(64, 4096), Doc("a cache line")]
    bus_width_bits: Annotated[int, Range(8, 1024), Doc("data width of the bus to flash and cached SRAM")]
    bus_divider: Annotated[int, Range(1, 16), Doc("core clocks a bus clock")]
    flash_wait_states: Annotated[int, Range(0, 64), Doc("bus cycles beyond the first until flash has a line")]
    bus_latency_cycles: Annotated[int, Range(0, 64), Doc("bus cycles from a miss to its memory and back")]
    issue_millicycles: Annotated[int, Range(500, 1000), Doc("thousandths of a cycle an ordinary instruction takes")]
    product_millicycles: Annotated[int, Range(1000, 3000), Doc("the same of products and other SIMD instructions")]
    exit_millicycles: Annotated[int, Range(0, 12000), Doc("what leaving a loop costs beyond: a branch mispredicted")]
    divide_cycles: Annotated[int, Range(1, 40), Doc("cycles of a division")]
    active_power_w: Annotated[float, Range(1e-6, 100.0), Doc("power of the whole chip while the core works")]
    idle_power_w: Annotated[float, Range(0.0, 100.0), Doc("power of the whole chip while it waits")]
    power_clock_khz: Annotated[int, Range(1_000, 2_000_000), Doc("clock that the powers were measured at")]
    die_mm2: Annotated[float, Range(0.0, 1_000.0), Doc("die area")]

    def problems(self) -> list[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy)."""
        found = self.width_problems()
        if self.idle_power_w >= self.active_power_w:
            found.append(("idle_power", "must be below active_power", "Give both of the same chip."))
        if self.line_width_bits % self.bus_width_bits:
            found.append(("line_width", "must be whole bus words", "Give a multiple of bus_width."))
        return found
