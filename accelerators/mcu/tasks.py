"""What a layer asks of a microcontroller, and how much of it a core's pipeline makes of it.

A task holds executed instructions by class (`accelerators.mcu.mixes`, exact) and what the caches see; the pipeline of
the design's core turns them into cycles. Bits never change with clocks and caches, so a sweep over these lowers once.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from accelerators.mcu.cortex_m7 import cycles as cortex_m7_cycles
from accelerators.mcu.cortex_m7 import ordinary, products
from accelerators.mcu.design import Design
from hwsim.model import Action, Chunks, Traffic, Work
from hwsim.pure import ceil_div, pure


class Kernel(NamedTuple):
    """One layer in one kernel: executed instructions by class (`emulate.CLASSES`), then what memories see."""

    alu: int
    multiply: int
    dot: int
    simd: int
    divide: int
    load: int
    store: int
    load_multiple: int
    store_multiple: int
    predicate: int
    branch_taken: int
    branch_not_taken: int
    jump: int
    call: int
    returns: int
    macs: int
    weight_bits: int
    """weights and their parameters in flash"""
    weight_sweeps: int
    """how often they are read from end to end"""
    text_bits: int
    input_bits: int
    output_bits: int


class Counts(NamedTuple):
    """What one layer takes."""

    core_cycles: Annotated[int, Work("core")]
    chunks: Annotated[int, Chunks()]
    flash_read_bits: Annotated[int, Traffic("flash", "read")]
    ram_read_bits: Annotated[int, Traffic("ram", "read")]
    ram_write_bits: Annotated[int, Traffic("ram", "write")]
    macs_executed: Annotated[int, Action("core")]
    instructions: Annotated[int, Action("core")]


@pure
def instructions(task: Kernel) -> int:
    """All of them."""
    return ordinary(task) + products(task) + task.divide


@pure
def lines(bits: int, line_bits: int) -> int:
    """Cache lines that hold `bits`."""
    return ceil_div(bits, line_bits)


SHARE_BITS = 20
SHARE = 1 << SHARE_BITS
"""Resolution of shares and of `decay`."""

SQUARINGS = 8
DECAY_STEPS = 1 << SQUARINGS


@pure
def decay(x: int) -> int:
    """exp(-x) with x and the result in 1 / SHARE, as (1 - x / 2^8)^(2^8); 0 from x = 2^8 on."""
    steps = DECAY_STEPS
    if x >= steps * SHARE:
        return 0
    value = SHARE - x // steps
    for _ in range(SQUARINGS):
        value = value * value // SHARE
    return value


@pure
def missed_share(working_lines: int, cache_lines: int) -> int:
    """Share of the lines, in 1 / SHARE, that miss when `working_lines` are read round and round through a cache that
    replaces at random.

    A line that was read stays until a replacement hits its place: with a share m of W lines missing a round, C places
    and random choice it is gone with probability 1 - exp(-m W / C), which has to be m. No miss where all fits. Random
    replacement is recalled of the Cortex-M7.
    """
    if working_lines <= cache_lines:
        return 0
    low, high = 0, SHARE
    for _ in range(SHARE_BITS):
        middle = (low + high + 1) // 2
        if SHARE - decay(middle * working_lines // cache_lines) >= middle:
            low = middle
        else:
            high = middle - 1
    return low


@pure
def swept_lines(bits: int, sweeps: int, cache_bits: int, line_bits: int) -> int:
    """Lines that flash delivers of what is read from end to end so often: each once, and again in later sweeps where
    the cache lost it."""
    whole = lines(bits, line_bits)
    lost = missed_share(whole, max(1, cache_bits // line_bits))
    return whole + ceil_div(max(0, sweeps - 1) * whole * lost, SHARE)


@pure
def flash_lines(design: Design, task: Kernel) -> int:
    """Lines of weights and of code that flash delivers, each through its cache.

    All code of a kernel is run once a sweep of the weights, for two pixels (in depthwise layers one). Loops within lie
    in one function, and none takes more than 928 bytes (`mixes.json`): the smallest cache holds it.
    """
    line = design.line_width_bits
    weights = swept_lines(task.weight_bits, task.weight_sweeps, design.data_cache_bits, line)
    return weights + swept_lines(task.text_bits, task.weight_sweeps, design.instruction_cache_bits, line)


@pure
def pipeline_cycles(design: Design, task: Kernel) -> int:
    """Cycles of the instructions on the design's core. A further core is a member of `Core`, a module with its
    `cycles`, and a case here."""
    return cortex_m7_cycles(design, task)


@pure
def count(design: Design, task: Kernel) -> Counts:
    """Cycles of the pipeline, and of lines that come from flash and cached SRAM while it waits.

    Inputs are read and outputs written once each through the data cache: windows reuse a few rows, which it holds.
    """
    line = design.line_width_bits
    beats = line // design.bus_width_bits + design.bus_latency_cycles
    flash = flash_lines(design, task)
    read = lines(task.input_bits, line) + lines(task.output_bits, line)
    written = lines(task.output_bits, line)
    bus_cycles = flash * (beats + design.flash_wait_states) + (read + written) * beats
    return Counts(
        core_cycles=pipeline_cycles(design, task) + bus_cycles * design.bus_divider,
        chunks=1,
        flash_read_bits=flash * line,
        ram_read_bits=read * line,
        ram_write_bits=written * line,
        macs_executed=task.macs,
        instructions=instructions(task),
    )
