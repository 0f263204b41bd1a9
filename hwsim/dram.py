"""Off-chip DRAM: timing sets, energies, and closed forms for what streaming through them takes."""

from __future__ import annotations

from typing import NamedTuple


class Dram(NamedTuple):
    """One DRAM part as one channel sees it. Timings are in cycles of the command clock, already rounded up.

    `burst_bits` moves with one column command and holds the data bus for `burst_cycles`. Refresh steals `rfc_cycles`
    out of every `refi_cycles`. Energies are of one channel: `activate_pj` opens and closes one row of all its devices,
    `refresh_pj` is one refresh command, `background_w` flows all the time.
    """

    clock_khz: int
    width_bits: int
    burst_bits: int
    burst_cycles: int
    row_bits: int
    banks: int
    groups: int
    rcd_cycles: int
    rp_cycles: int
    ras_cycles: int
    cl_cycles: int
    cwl_cycles: int
    ccd_s_cycles: int
    ccd_l_cycles: int
    rrd_s_cycles: int
    rrd_l_cycles: int
    faw_cycles: int
    wr_cycles: int
    wtr_cycles: int
    rtp_cycles: int
    rfc_cycles: int
    refi_cycles: int
    channel_capacity_bits: int
    activate_pj: float
    read_pj_per_bit: float
    write_pj_per_bit: float
    refresh_pj: float
    background_w: float
