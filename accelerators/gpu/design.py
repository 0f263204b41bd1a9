"""The fields of a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hwsim.config import Doc, Range


@dataclass(frozen=True)
class Design:
    """A GPU as its datasheet and its programming guide describe it, and how its framework drives it."""

    clock_khz: Annotated[int, Range(1_000, 10_000_000), Doc("clock of the multiprocessors")]
    multiprocessors: Annotated[int, Range(1, 1024), Doc("streaming multiprocessors (SM)")]
    lanes: Annotated[int, Range(1, 1024), Doc("fp32 lanes of one SM, a multiply-accumulate a cycle each")]
    product_macs_per_cycle: Annotated[int, Range(1, 8192), Doc("MACs a cycle of one SM in matrix products")]
    load_lanes: Annotated[int, Range(1, 1024), Doc("load/store lanes of one SM, one operand a cycle each")]
    registers: Annotated[int, Range(4096, 1 << 20), Doc("32-bit registers of one SM")]
    shared_memory_bits: Annotated[int, Range(1 << 17, 1 << 24), Doc("memory that the threads of a block share, an SM")]
    threads: Annotated[int, Range(256, 1 << 14), Doc("threads that one SM holds at a time")]
    blocks: Annotated[int, Range(1, 256), Doc("thread blocks that one SM holds at a time")]
    arithmetic_latency_cycles: Annotated[int, Range(1, 100), Doc("from one arithmetic operation to one that needs it")]
    issue_ceiling_percent: Annotated[int, Range(1, 100), Doc("share of issue slots that do a kernel's own arithmetic")]
    cache_bits: Annotated[int, Range(0, 2**40), Doc("second-level cache")]
    cache_bits_per_cycle: Annotated[int, Range(32, 1 << 20), Doc("bits a cycle from the second-level cache to all SMs")]
    memory_bits: Annotated[int, Range(1, 2**48), Doc("off-chip memory")]
    memory_bandwidth_bits_per_s: Annotated[int, Range(1_000_000, 10**15), Doc("peak DRAM bandwidth of the datasheet")]
    bandwidth_ceiling_percent: Annotated[int, Range(1, 100), Doc("share of the bandwidth that streaming reaches")]
    memory_latency_ns: Annotated[int, Range(1, 100_000), Doc("from a load that misses the caches to its data")]
    in_flight_per_thread_bits: Annotated[int, Range(8, 4096), Doc("bits that a thread has asked memory for at a time")]
    launch_ns: Annotated[int, Range(0, 10_000_000), Doc("host time to issue one operator, while the GPU works on")]
    gap_ns: Annotated[int, Range(0, 10_000_000), Doc("idle time of the GPU between two kernels")]
    operand_bits: Annotated[int, Range(1, 64), Doc("width of one operand as computed and stored")]
    norm_kernels: Annotated[bool, Doc("batch norms run as kernels of their own, as where nothing folds them")]
    fuse: Annotated[bool, Doc("elementwise operators run within the kernel before them")]
    board_power_w: Annotated[float, Range(0.001, 100_000.0), Doc("power at full load (TDP)")]
    idle_power_w: Annotated[float, Range(0.0, 100_000.0), Doc("power when nothing runs")]
    die_mm2: Annotated[float, Range(0.0, 10_000.0), Doc("die area")]
    dram_channels: Annotated[int, Range(1, 1024), Doc("channels of the DRAM part")]
    state_bits: Annotated[
        int, Range(0, 64), Doc("width that training keeps weights and what it updates in; 0: as computed")
    ] = 0
    infeed_rate_bits_per_s: Annotated[
        int, Range(0, 10**15), Doc("host that brings a step's inputs during the step before; 0: they are there")
    ] = 0
    infeed_element_bits: Annotated[int, Range(1, 64), Doc("width of an element of the network's inputs there")] = 32
    infeed_overhead_ps: Annotated[int, Range(0, 10**15), Doc("time of that host beside the bits, once a run")] = 0
    step_overhead_ps: Annotated[int, Range(0, 10**15), Doc("time before the first kernel of a run, once")] = 0

    def problems(self) -> list[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy)."""
        if self.idle_power_w >= self.board_power_w:
            return [("idle_power", "must be below board_power", "Give the idle power of the same board.")]
        return []
