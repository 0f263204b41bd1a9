"""Commands of the engine as tasks: cycles, transfers and accesses, from `rtl_models/skynet/README.md`.

N, I, O are lanes, inputs_per_cycle, outputs_per_cycle; T pixels of a tile, F with its border; beta cycles of a word on
a port; Q pooled pixels. Everything that holds a port or an engine counts, padding too.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from accelerators.skynet.design import ELEMENT_BITS, Design
from hwsim.model import Action, Chunks, Runs, Traffic, Work
from hwsim.pure import ceil_div, pure

TAPS = 9
PIPELINE_CYCLES = 4
IMAGE_CHANNELS = 3
IMAGE_BITS = 8
NS_PER_US = 1_000


class Depthwise(NamedTuple):
    """DW: one group of a tile. `image`: 1 when it reads the image, 0 a map; `bundle`: 1 when its result stays in the
    buffer for pointwise commands, with ReLU6 in place; else it is stored."""

    height: int
    width: int
    image: int
    bundle: int


class Pointwise(NamedTuple):
    """PW: one group in to one group out of a tile.

    `first`: 1 for the first of its sum, which sets the bias; `bundle`: 1 when its input is in a buffer already; `full`:
    1 when the map is stored after it; `pooled_height`, `pooled_width`: the pooled map that is stored after it, or 0.
    """

    height: int
    width: int
    first: int
    bundle: int
    full: int
    pooled_height: int
    pooled_width: int


class Host(NamedTuple):
    """What the host does before it starts the engine on a batch."""

    batches: int


class Counts(NamedTuple):
    """What a command asks for; names of the page's counters. Port bits are cycles of a port times its width."""

    engine_cycles: Annotated[int, Work("engine")]
    host_cycles: Annotated[int, Work("host")]
    chunks: Annotated[int, Chunks()]
    port_read_bits: Annotated[int, Traffic("port", "read", "load")]
    dram_read_bits: Annotated[int, Traffic("dram", "read", "load")]
    dram_read_runs: Annotated[int, Runs("dram", "read")]
    port_write_bits: Annotated[int, Traffic("port", "write", "store")]
    dram_write_bits: Annotated[int, Traffic("dram", "write", "store")]
    dram_write_runs: Annotated[int, Runs("dram", "write")]
    commands: Annotated[int, Action("logic")]
    macs_executed: Annotated[int, Action("multipliers")]
    dw_macs: Annotated[int, Action("multipliers")]
    pw_macs: Annotated[int, Action("multipliers")]
    feature_write_bits: Annotated[int, Action("feature buffers")]
    feature_read_bits: Annotated[int, Action("feature buffers")]
    accumulator_write_bits: Annotated[int, Action("accumulators")]
    accumulator_read_bits: Annotated[int, Action("accumulators")]
    weight_write_bits: Annotated[int, Action("weights")]
    weight_read_bits: Annotated[int, Action("weights")]
    logic_cycles: Annotated[int, Action("logic")]


@pure
def beta(design: Design) -> int:
    """Cycles of a word on a port."""
    return ceil_div(ELEMENT_BITS * design.lanes, design.port_bits)


@pure
def buffer_pixels(height: int, width: int) -> int:
    """F: a tile with its halo."""
    return (height + 2) * (width + 2)


@pure
def depthwise_work(design: Design, task: Depthwise) -> int:
    """Cycles of a DW: bias, nine taps, and in a bundle ReLU6 in place."""
    pixels = task.height * task.width
    return ceil_div(pixels, 2) + TAPS * pixels * design.dw_interval + PIPELINE_CYCLES + task.bundle * pixels


@pure
def pointwise_work(design: Design, task: Pointwise) -> int:
    """Cycles of a PW: bias, and for each pass the weight registers, then the pixels."""
    pixels = task.height * task.width
    passes = (design.lanes // design.inputs_per_cycle) * (design.lanes // design.outputs_per_cycle)
    one = design.inputs_per_cycle * design.outputs_per_cycle + design.pw_interval * pixels
    return task.first * ceil_div(pixels, 2) + passes * one + PIPELINE_CYCLES


@pure
def depthwise(design: Design, task: Depthwise) -> Counts:
    """Counts of a DW."""
    n, pixels, cells = design.lanes, task.height * task.width, buffer_pixels(task.height, task.width)
    stored, mapped = 1 - task.bundle, 1 - task.image
    words = TAPS + 1 + mapped * cells
    elements = task.image * IMAGE_CHANNELS * cells
    read_runs = 1 + (mapped + IMAGE_CHANNELS * task.image) * (task.height + 2)
    write_runs = stored * (task.height + 2)
    load = words * beta(design) + elements * design.image_interval + read_runs * design.run_gap
    store = stored * cells * beta(design) + write_runs * design.run_gap
    work = depthwise_work(design, task)
    word = n * design.feature_bits
    filled = mapped * n * cells + task.image * cells * (n + IMAGE_CHANNELS - 1)
    return Counts(
        engine_cycles=work,
        host_cycles=0,
        chunks=1,
        port_read_bits=load * design.port_bits,
        dram_read_bits=ELEMENT_BITS * n * words + IMAGE_BITS * elements,
        dram_read_runs=read_runs,
        port_write_bits=store * design.port_bits,
        dram_write_bits=stored * ELEMENT_BITS * n * cells,
        dram_write_runs=write_runs,
        commands=1,
        macs_executed=TAPS * pixels * n,
        dw_macs=TAPS * pixels * n,
        pw_macs=0,
        feature_write_bits=filled * design.feature_bits + word * pixels * (TAPS + 1 + task.bundle),
        feature_read_bits=word * pixels * (2 * TAPS + 1),
        accumulator_write_bits=0,
        accumulator_read_bits=0,
        weight_write_bits=(TAPS + 1) * n * design.weight_bits,
        weight_read_bits=(TAPS + 1) * n * design.weight_bits,
        logic_cycles=work,
    )


@pure
def pointwise(design: Design, task: Pointwise) -> Counts:
    """Counts of a PW."""
    n, pixels, cells = design.lanes, task.height * task.width, buffer_pixels(task.height, task.width)
    pooled, loaded = task.pooled_height * task.pooled_width, 1 - task.bundle
    weights = n + task.first
    words = weights + loaded * cells
    read_runs = 1 + loaded * (task.height + 2)
    write_runs = task.full * (task.height + 2) + min(pooled, task.pooled_height)
    load = words * beta(design) + read_runs * design.run_gap
    store = task.full * cells * beta(design) + pooled * max(2, beta(design)) + write_runs * design.run_gap
    work = pointwise_work(design, task)
    inputs, outputs = n // design.inputs_per_cycle, n // design.outputs_per_cycle
    sums = n * design.accumulator_bits
    return Counts(
        engine_cycles=work,
        host_cycles=0,
        chunks=1,
        port_read_bits=load * design.port_bits,
        dram_read_bits=ELEMENT_BITS * n * words,
        dram_read_runs=read_runs,
        port_write_bits=store * design.port_bits,
        dram_write_bits=ELEMENT_BITS * n * (task.full * cells + pooled),
        dram_write_runs=write_runs,
        commands=1,
        macs_executed=pixels * n * n,
        dw_macs=0,
        pw_macs=pixels * n * n,
        feature_write_bits=loaded * n * design.feature_bits * cells,
        feature_read_bits=inputs * outputs * design.inputs_per_cycle * design.feature_bits * pixels,
        accumulator_write_bits=sums * pixels * (task.first + inputs),
        accumulator_read_bits=sums * (pixels * (inputs + task.full) + 4 * pooled),
        weight_write_bits=weights * n * design.weight_bits,
        weight_read_bits=weights * n * design.weight_bits,
        logic_cycles=work,
    )


@pure
def host(design: Design, task: Host) -> Counts:
    """Counts of the host: nanoseconds of its gap, and nothing else."""
    return Counts(
        engine_cycles=0,
        host_cycles=task.batches * design.host_gap_us * NS_PER_US,
        chunks=1,
        port_read_bits=0,
        dram_read_bits=0,
        dram_read_runs=0,
        port_write_bits=0,
        dram_write_bits=0,
        dram_write_runs=0,
        commands=0,
        macs_executed=0,
        dw_macs=0,
        pw_macs=0,
        feature_write_bits=0,
        feature_read_bits=0,
        accumulator_write_bits=0,
        accumulator_read_bits=0,
        weight_write_bits=0,
        weight_read_bits=0,
        logic_cycles=0,
    )
