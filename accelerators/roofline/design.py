"""The fields of a roofline processor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hwsim.config import Doc, Range


@dataclass(frozen=True)
class Design:
    """A CPU or GPU as its datasheet describes it."""

    clock_khz: Annotated[int, Range(1_000, 10_000_000), Doc("clock the peak rate is quoted at")]
    macs_per_cycle: Annotated[int, Range(1, 1_000_000), Doc("multiply-accumulates a cycle at peak, all cores")]
    vector_ops_per_cycle: Annotated[int, Range(1, 1_000_000), Doc("other arithmetic operations a cycle at peak")]
    matmul_ceiling_percent: Annotated[int, Range(1, 100), Doc("share of the peak that a large product reaches")]
    vector_ceiling_percent: Annotated[int, Range(1, 100), Doc("share of the peak that elementwise work reaches")]
    memory_bandwidth_bits_per_s: Annotated[int, Range(1_000_000, 10**15), Doc("peak DRAM bandwidth of the datasheet")]
    bandwidth_ceiling_percent: Annotated[int, Range(1, 100), Doc("share of the bandwidth that streaming reaches")]
    cache_bits: Annotated[int, Range(0, 2**40), Doc("last-level cache; data that fits stays on chip")]
    memory_bits: Annotated[int, Range(1, 2**48), Doc("off-chip memory")]
    launch_ns: Annotated[int, Range(0, 10_000_000), Doc("overhead of starting one operator")]
    operand_bits: Annotated[int, Range(1, 64), Doc("width of one operand as computed and stored")]
    board_power_w: Annotated[float, Range(0.001, 100_000.0), Doc("power at full load (TDP)")]
    idle_power_w: Annotated[float, Range(0.0, 100_000.0), Doc("power when nothing runs")]
    die_mm2: Annotated[float, Range(0.0, 10_000.0), Doc("die area")]
    dram_channels: Annotated[int, Range(1, 1024), Doc("channels of the DRAM part")]

    def problems(self) -> list[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy)."""
        if self.idle_power_w >= self.board_power_w:
            return [("idle_power", "must be below board_power", "Give the idle power of the same board.")]
        return []
