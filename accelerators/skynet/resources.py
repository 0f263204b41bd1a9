"""What an engine takes of an FPGA: DSP slices, block RAM, look-up tables, flip-flops. Pure, so that sweeps have them.

Block RAM follows from the buffers' shapes (docs of the release: four maps and one accumulator, split by lane), DSP
slices from the multipliers; look-up tables and flip-flops are estimates.
"""

from __future__ import annotations

from typing import NamedTuple

from accelerators.skynet.design import ELEMENT_BITS, Design
from accelerators.skynet.tasks import buffer_pixels
from hwsim.pure import ceil_div, pure

FEATURE_BUFFERS = 4
DSP_LEAST_BITS = 9
"""A product of fewer bits is made of look-up tables (Yosys, `synth_xilinx`: mul2dsp.v, DSP_Y_MINWIDTH)."""
BRAM_DEPTH = 16_384
"""Words of one bit of an 18 Kbit block RAM; 9 to 36 bits of width use the parity bits as well (Xilinx UG473, UG573)."""


class Resources(NamedTuple):
    """Of a whole engine with its ports."""

    dsps: int
    bram18s: int
    luts: int
    flip_flops: int


@pure
def multipliers(design: Design) -> int:
    """Multipliers of both engines."""
    return design.inputs_per_cycle * design.outputs_per_cycle // design.pw_interval + design.lanes


@pure
def dsps(design: Design) -> int:
    """DSP slices: one a multiplier, for operands of up to 16 bits."""
    if design.feature_bits + design.weight_bits < DSP_LEAST_BITS:
        return 0
    return multipliers(design)


@pure
def _column_blocks(words: int, width: int) -> int:
    """Block RAMs side by side of one aspect ratio, `width` bits of 1, 2, 4, 9 or 18 in each, to hold `words` words."""
    depth = BRAM_DEPTH // width
    if width == 9:
        depth = 2_048
    if width == 18:
        depth = 1_024
    return ceil_div(words, depth)


@pure
def _width(k: int) -> int:
    """The k-th width of a block RAM with two ports."""
    if k < 3:
        return 2**k
    return 9 * 2 ** (k - 3)


@pure
def bram18s_of(words: int, bits: int) -> int:
    """The fewest 18 Kbit block RAMs that hold `words` words of `bits` bits behind two ports: whole columns of one
    width, and the rest of the bits in columns of another."""
    best = bits * _column_blocks(words, 1)
    for wide in range(5):
        whole = bits // _width(wide)
        rest = bits - whole * _width(wide)
        blocks = whole * _column_blocks(words, _width(wide))
        if rest == 0:
            best = min(best, blocks)
        else:
            for narrow in range(5):
                columns = ceil_div(rest, _width(narrow))
                best = min(best, blocks + columns * _column_blocks(words, _width(narrow)))
    return best


@pure
def buffer_bram18s(design: Design) -> int:
    """Four feature buffers with halo and one of accumulators, split by lane."""
    cells = buffer_pixels(design.tile_height, design.tile_width)
    pixels = design.tile_height * design.tile_width
    lane = FEATURE_BUFFERS * bram18s_of(cells, design.feature_bits) + bram18s_of(pixels, design.accumulator_bits)
    return design.lanes * lane


@pure
def port_bram18s(design: Design) -> int:
    """FIFOs of a word's width and 512 words, one each way, as generated AXI masters have them (assumed)."""
    return 2 * ceil_div(ELEMENT_BITS * design.lanes, 36)


@pure
def bram18s(design: Design) -> int:
    """All block RAM."""
    return buffer_bram18s(design) + port_bram18s(design)


@pure
def luts(design: Design) -> int:
    """6-input look-up tables of all blocks."""
    return 1000


@pure
def flip_flops(design: Design) -> int:
    """Flip-flops of all blocks."""
    return 1000
