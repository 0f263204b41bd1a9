"""The fields of the SkyNet engine: two time-shared convolution engines on an FPGA, their buffers, ports and host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hwsim.config import Doc, Range

ELEMENT_BITS = 16
"""Lane of an element in memory (arXiv 1909.09709's released code: 32 channels make a word of 512 bits)."""


@dataclass(frozen=True)
class Design:
    """An engine of `rtl_models/skynet/README.md` behind a host. Intervals are initiation intervals, in cycles."""

    lanes: Annotated[int, Range(1, 256), Doc("channels of a word; multipliers of the depthwise engine")]
    inputs_per_cycle: Annotated[int, Range(1, 256), Doc("inputs of a tree of the pointwise engine")]
    outputs_per_cycle: Annotated[int, Range(1, 256), Doc("output channels of a pass of the pointwise engine")]
    pw_interval: Annotated[int, Range(1, 64), Doc("cycles a pixel takes in a pass of the pointwise engine")]
    dw_interval: Annotated[int, Range(1, 16), Doc("cycles a pixel and tap takes in the depthwise engine")]
    tile_height: Annotated[int, Range(2, 1_024), Doc("rows of the largest tile, without halo")]
    tile_width: Annotated[int, Range(2, 1_024), Doc("columns of the largest tile, without halo")]
    whole_tiles: Annotated[bool, Doc("tiles of split layers are all computed at the largest size")]
    batch_rows: Annotated[int, Range(1, 16), Doc("frames of a batch, down; they are stitched")]
    batch_columns: Annotated[int, Range(1, 16), Doc("frames of a batch, across")]
    overlap_image: Annotated[bool, Doc("bundles on the image load the next tile while they compute")]
    overlap_bundle: Annotated[bool, Doc("bundles on maps load while they compute")]
    overlap_single: Annotated[bool, Doc("depthwise and pointwise layers of their own load while they compute")]
    feature_bits: Annotated[int, Range(2, 16), Doc("width of an element of a map")]
    feature_integer_bits: Annotated[int, Range(1, 16), Doc("its bits before the point, sign included")]
    weight_bits: Annotated[int, Range(2, 16), Doc("width of a weight or bias")]
    weight_integer_bits: Annotated[int, Range(1, 16), Doc("its bits before the point, sign included")]
    accumulator_bits: Annotated[int, Range(2, 32), Doc("width of an accumulator of the pointwise engine")]
    accumulator_integer_bits: Annotated[int, Range(1, 32), Doc("its bits before the point, sign included")]
    port_bits: Annotated[int, Range(8, 4_096), Doc("width of the port for loads, and of the port for stores")]
    image_interval: Annotated[int, Range(1, 64), Doc("cycles an 8-bit element of the image takes on the port")]
    latency: Annotated[int, Range(2, 10_000), Doc("cycles from the end of a load on the port to its first use")]
    run_gap: Annotated[int, Range(0, 10_000), Doc("cycles a port is idle before a contiguous run; 0 in the circuit")]
    clock_khz: Annotated[int, Range(1_000, 1_000_000), Doc("clock of engines and ports")]
    host_gap_us: Annotated[int, Range(0, 10_000_000), Doc("time between two runs: copy, start, poll")]
    dram_channels: Annotated[int, Range(1, 64), Doc("channels of the DRAM part")]
    platform_power_w: Annotated[float, Range(0.0, 1_000.0), Doc("board less logic and DRAM: processors, regulators")]
    logic_changes_permille: Annotated[
        int, Range(0, 1_000), Doc("share of look-up tables and flip-flops that change in a cycle of work")
    ]

    def problems(self) -> list[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy)."""
        found = []
        for key, value in (("inputs_per_cycle", self.inputs_per_cycle), ("outputs_per_cycle", self.outputs_per_cycle)):
            if self.lanes % value:
                found.append((key, f"divides lanes ({self.lanes})", "Write a divisor."))
        if self.outputs_per_cycle % self.pw_interval:
            rule = (
                f"divides outputs_per_cycle ({self.outputs_per_cycle}): the same trees serve a share of it each cycle"
            )
            found.append(("pw_interval", rule, "Write a divisor."))
        if self.whole_tiles and min(self.tile_height, self.tile_width) <= 3:
            found.append(("whole_tiles", "a tile of more than 3 rows and columns", "Write false, or a larger tile."))
        for key in ("feature", "weight", "accumulator"):
            if getattr(self, f"{key}_integer_bits") > getattr(self, f"{key}_bits"):
                found.append((f"{key}_integer", f"is no more than {key}", "Write less."))
        return found
