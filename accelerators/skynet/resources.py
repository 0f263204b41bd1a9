"""What an engine takes of an FPGA: DSP slices, block RAM, look-up tables, flip-flops. Pure, so that sweeps have them.

Block RAM follows from the buffers' shapes (docs of the release: four maps and one accumulator, split by lane), DSP
slices from the multipliers; look-up tables and flip-flops are estimates.
"""

from __future__ import annotations

from accelerators.skynet.design import ELEMENT_BITS, Design
from accelerators.skynet.tasks import buffer_pixels
from hwsim.pure import ceil_div, pure

FEATURE_BUFFERS = 4
MILLI = 1_000

TREE_MILLILUTS = 689
LANE_BIT_MILLILUTS = 20_270
SELECT_MILLILUTS = 1_305
ENABLE_MILLILUTS = 1_915
CLIP_MILLILUTS = 1_257
DATAPATH_LUTS = 235
"""Fitted by least squares of relative errors to thirteen datapaths of `rtl_models/skynet` (those of its blocks.py that
are not held out) as Yosys 0.70 maps them for 7 series, before placement; 1.6 % off at most."""
SIX_BITS = 4
"""Bits before the point, sign included, from which on a type reaches 6, so that ReLU6 takes comparators."""
SELECT_WAYS = 4
"""A table of six inputs chooses among four bits; more tables choose among more, the last step is free (MUXF7, F8)."""
DATAPATH_FLIP_FLOPS = 75
"""What the same datapaths have beside registers of products and weights: 70 to 82, addresses of tiles."""

CONTROL_LUTS = 1_341
CONTROL_FLIP_FLOPS = 367
"""The circuit's loader for 32 lanes and its walker, by the same count; the sequencer is not in it."""

DSP_LEAST_BITS = 9
"""A product of fewer bits is made of look-up tables (Yosys, `synth_xilinx`: mul2dsp.v, DSP_Y_MINWIDTH)."""


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
def bram18s_of(words: int, bits: int) -> int:
    """The fewest 18 Kbit block RAMs that hold `words` words of `bits` bits behind two ports.

    Columns are 1, 2, 4, 9 or 18 bits wide and 16 K, 8 K, 4 K, 2 K or 1 K words deep (AMD UG473 and UG573). Two columns
    of a width are never better than one of the next, so each but the widest is there at most once.
    """
    best = ceil_div(bits, 18) * ceil_div(words, 1_024)
    for columns in range(16):
        nine, four, two, one = columns // 8, columns // 4 % 2, columns // 2 % 2, columns % 2
        blocks = nine * ceil_div(words, 2_048) + four * ceil_div(words, 4_096)
        blocks = blocks + two * ceil_div(words, 8_192) + one * ceil_div(words, 16_384)
        rest = max(0, bits - 9 * nine - 4 * four - 2 * two - one)
        best = min(best, blocks + ceil_div(rest, 18) * ceil_div(words, 1_024))
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
def weight_luts(design: Design) -> int:
    """Look-up tables that store the two weight blocks and biases: 32 words of six bits, or 64 of three, take four.
    More words take several of the latter; what chooses among those is not counted: no such block was synthesized."""
    bits = 6
    if design.lanes + 1 > 32:
        bits = 3
    return 2 * 4 * ceil_div(design.lanes + 1, 64) * ceil_div(design.lanes * design.weight_bits, bits)


@pure
def _trees(design: Design) -> int:
    """Adder trees of the pointwise engine."""
    return design.outputs_per_cycle // design.pw_interval


@pure
def _tree_luts(design: Design) -> int:
    """One tree, from what Yosys makes of it: compressors of two look-up tables a bit, the last adder, rounding."""
    product = design.feature_bits + design.weight_bits
    compressors = 2 * max(0, design.inputs_per_cycle - 2)
    return (compressors + 1) * product + 16 + design.accumulator_bits


@pure
def datapath_luts(design: Design) -> int:
    """Look-up tables of engines, buffers and outlet: fitted, see the table of coefficients.

    Trees; lanes, with their buffers and outlet; an enable for each weight register; the choice among the weights that a
    multiplier takes in turn; comparators with 6, which a type that ends below 6 does without (`relu6.sv`).
    """
    milli = TREE_MILLILUTS * _trees(design) * _tree_luts(design)
    milli = milli + LANE_BIT_MILLILUTS * design.lanes * design.feature_bits
    milli = milli + ENABLE_MILLILUTS * design.inputs_per_cycle * design.outputs_per_cycle
    if design.pw_interval > 1:
        selected = _trees(design) * design.inputs_per_cycle * design.weight_bits
        milli = milli + SELECT_MILLILUTS * selected * ceil_div(design.pw_interval, SELECT_WAYS)
    if design.feature_integer_bits >= SIX_BITS:
        milli = milli + CLIP_MILLILUTS * design.lanes * design.feature_bits
    return DATAPATH_LUTS + ceil_div(milli, MILLI) + weight_luts(design)


@pure
def datapath_flip_flops(design: Design) -> int:
    """Flip-flops of engines, buffers and outlet: a product a multiplier, and weights where pixels take several cycles
    (else they lie in the DSP slices)."""
    registers = multipliers(design) * (design.feature_bits + design.weight_bits)
    if design.pw_interval > 1:
        registers = registers + design.inputs_per_cycle * design.outputs_per_cycle * design.weight_bits
    return registers + DATAPATH_FLIP_FLOPS


@pure
def luts(design: Design) -> int:
    """6-input look-up tables of datapath and control; AXI masters and interconnect are not in it."""
    return datapath_luts(design) + CONTROL_LUTS


@pure
def flip_flops(design: Design) -> int:
    """Flip-flops of datapath and control; AXI masters and interconnect are not in it."""
    return datapath_flip_flops(design) + CONTROL_FLIP_FLOPS
