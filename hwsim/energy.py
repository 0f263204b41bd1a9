"""The shared energy model: technology nodes, and what one action costs as a function of size, width and node."""

from __future__ import annotations

from typing import NamedTuple


class Node(NamedTuple):
    """One technology node. Energies are of one operation; SRAM energies are of one 64-bit read."""

    feature_nm: float
    supply_v: float
    int8_add_pj: float
    int32_add_pj: float
    int8_mult_pj: float
    int32_mult_pj: float
    fp16_add_pj: float
    fp32_add_pj: float
    fp16_mult_pj: float
    fp32_mult_pj: float
    bf16_add_pj: float
    bf16_mult_pj: float
    register_pj_per_bit: float
    sram_8kib_pj: float
    sram_32kib_pj: float
    sram_1mib_pj: float
    sram_fixed_share: float
    sram_write_ratio: float
    flash_read_pj_per_bit: float
    wire_pj_per_bit_mm: float
    sram_cell_um2: float
    sram_array_efficiency: float
    int8_add_um2: float
    int32_add_um2: float
    int8_mult_um2: float
    int32_mult_um2: float
    register_um2_per_bit: float
    logic_utilisation: float
    sram_leakage_w_per_bit: float
    logic_leakage_w_per_mm2: float
