"""What README.md says of every command, in plain formulas: its cycles, its counts, and when it loads, works and stores.

The oracle of the circuit that owes nothing to the model: totals, counts and events follow from the page alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hwsim.cosim.circuit import Event
from hwsim.pure import ceil_div
from rtl_models.skynet.layers import (
    ELEMENT_BITS,
    IMAGE_CHANNELS,
    PIPELINE_CYCLES,
    TAPS,
    Command,
    Kind,
    Layer,
    commands,
    groups_in,
)

IN_A_CYCLE = ("ready", "load", "work", "free", "store", "done", "layer")
IMAGE_BITS = 8


class Cycles(NamedTuple):
    """L, W and R of a command."""

    load: int
    work: int
    store: int


class Placed(NamedTuple):
    """First cycles of load and work, and the first one after load, work and the whole command."""

    load: int
    loaded: int
    work: int
    worked: int
    done: int


def beat_cycles(design: Any) -> int:
    """beta."""
    return ceil_div(ELEMENT_BITS * design.lanes, design.port_bits)


# --- a command by itself ----------------------------------------------------------------------------------------


def has_tile(layer: Layer, command: Command) -> bool:
    """Whether the command loads a tile."""
    return command.depthwise or layer.kind == Kind.POINTWISE


def stores(layer: Layer, command: Command, lanes: int) -> tuple[bool, bool]:
    """Whether the command stores its map, and its pooled map."""
    if command.depthwise:
        return layer.kind == Kind.DEPTHWISE, False
    last = command.group == groups_in(layer, lanes) - 1
    return last and bool(layer.target), last and bool(layer.pooled)


def weight_words(command: Command, lanes: int) -> int:
    """Words of bias and weights."""
    return TAPS + 1 if command.depthwise else lanes + (command.group == 0)


def cycles_of(design: Any, layer: Layer, command: Command) -> Cycles:
    """L, W and R: the first table of "Commands, cycle by cycle"."""
    beta = beat_cycles(design)
    load = weight_words(command, design.lanes) * beta
    if command.depthwise and layer.image:
        load += IMAGE_CHANNELS * layer.cells * design.image_interval
    elif has_tile(layer, command):
        load += layer.cells * beta
    full, pooled = stores(layer, command, design.lanes)
    store = (layer.cells * beta if full else 0) + (layer.pooled_pixels * max(2, beta) if pooled else 0)
    return Cycles(load, _work_cycles(design, layer, command), store)


def _work_cycles(design: Any, layer: Layer, command: Command) -> int:
    half = ceil_div(layer.pixels, 2)
    if command.depthwise:
        tail = layer.pixels if layer.kind == Kind.BUNDLE else 0
        return half + TAPS * layer.pixels * design.dw_interval + tail + PIPELINE_CYCLES
    inputs, outputs = design.inputs_per_cycle, design.outputs_per_cycle
    passes = (design.lanes // inputs) * (design.lanes // outputs)
    work = passes * (inputs * outputs + design.pw_interval * layer.pixels)
    return work + (half if command.group == 0 else 0) + PIPELINE_CYCLES


# --- counts -----------------------------------------------------------------------------------------------------


def counts_of(design: Any, layer: Layer, command: Command) -> dict[str, int]:
    """The table of "Counters" for one command."""
    lanes, pixels, cells = design.lanes, layer.pixels, layer.cells
    word, rows = ELEMENT_BITS * lanes, layer.tile_height + 2
    full, pooled = stores(layer, command, lanes)
    words = weight_words(command, lanes)
    image, tile = command.depthwise and layer.image, has_tile(layer, command)
    counts = {
        "commands": 1,
        "dram_read_bits": word * words
        + (IMAGE_CHANNELS * IMAGE_BITS * cells if image else word * cells if tile else 0),
        "dram_read_runs": 1 + (IMAGE_CHANNELS * rows if image else rows if tile else 0),
        "dram_write_bits": word * (cells * full + layer.pooled_pixels * pooled),
        "dram_write_runs": rows * full + layer.pitch_y // 2 * pooled,
        "weight_write_bits": words * lanes * design.weight_bits,
        "weight_read_bits": words * lanes * design.weight_bits,
    }
    loaded = cells * (lanes + 2 if image else lanes if tile else 0)
    return counts | (_of_depthwise if command.depthwise else _of_pointwise)(
        design, layer, command, pixels, loaded, (full, pooled)
    )


def _of_depthwise(
    design: Any, layer: Layer, command: Command, pixels: int, loaded: int, stored: tuple[bool, bool]
) -> dict[str, int]:
    """Everything on the chip: a pass reads what it taps and what it adds to, and writes it."""
    bundle = layer.kind == Kind.BUNDLE
    read = pixels * (2 * TAPS + bundle + stored[0])
    written = pixels * (TAPS + 1 + bundle)
    return {
        "dw_macs": TAPS * pixels * design.lanes,
        "pw_macs": 0,
        "feature_write_bits": design.feature_bits * (loaded + design.lanes * written),
        "feature_read_bits": design.feature_bits * design.lanes * read,
        "accumulator_write_bits": 0,
        "accumulator_read_bits": 0,
    }


def _of_pointwise(
    design: Any, layer: Layer, command: Command, pixels: int, loaded: int, stored: tuple[bool, bool]
) -> dict[str, int]:
    lanes, inputs = design.lanes, design.inputs_per_cycle
    passes = (lanes // inputs) * (lanes // design.outputs_per_cycle)
    adds, first = lanes // inputs, command.group == 0
    read = pixels * (adds + stored[0]) + 4 * layer.pooled_pixels * stored[1]
    return {
        "dw_macs": 0,
        "pw_macs": pixels * lanes * lanes,
        "feature_write_bits": design.feature_bits * loaded,
        "feature_read_bits": passes * inputs * design.feature_bits * pixels,
        "accumulator_write_bits": lanes * design.accumulator_bits * pixels * (first + adds),
        "accumulator_read_bits": lanes * design.accumulator_bits * read,
    }


def total_counts(design: Any, layers: Sequence[Layer]) -> dict[str, int]:
    """The counters of a run."""
    totals: dict[str, int] = {}
    for command in commands(layers, design.lanes):
        for name, value in counts_of(design, layers[command.layer], command).items():
            totals[name] = totals.get(name, 0) + value
    return totals


# --- commands in time -------------------------------------------------------------------------------------------


def placed(design: Any, layers: Sequence[Layer]) -> Iterator[tuple[Command, Cycles, Placed]]:
    """Every command in its place: "Order"."""
    port_free = done = 0
    worked = [0, 0]
    for command in commands(layers, design.lanes):
        cycles = cycles_of(design, layers[command.layer], command)
        load = max(port_free, worked[0], done if command.waits else 0)
        port_free = load + cycles.load
        work = max(port_free + design.latency, done)
        worked = [worked[1], work + cycles.work]
        done = work + cycles.work + cycles.store
        yield command, cycles, Placed(load, port_free, work, worked[1], done)


def cycle_counters(design: Any, layers: Sequence[Layer]) -> dict[str, int]:
    """The total, and the cycles by cause."""
    run = list(placed(design, layers))
    total, fill = run[-1][2].done, run[0][2].work
    compute, drain = sum(cycles.work for _, cycles, _ in run), run[-1][1].store
    return {"cycles_total": total, "cycles_fill": fill, "cycles_compute": compute,
            "cycles_stall": total - fill - compute - drain, "cycles_drain": drain}  # fmt: skip


def layer_ends(design: Any, layers: Sequence[Layer]) -> list[int]:
    """For each layer, the first cycle in which all of it is done."""
    return [at.done for command, _, at in placed(design, layers) if command.closes_layer]


def events(design: Any, layers: Sequence[Layer]) -> list[Event]:
    """The log of a run."""
    found = []
    for k, (command, cycles, at) in enumerate(placed(design, layers)):
        first = {"load": at.load, "ready": at.loaded + design.latency, "work": at.work, "free": at.worked - 1,
                 "done": at.done - 1}  # fmt: skip
        found += [Event(cycle, name, (k,)) for name, cycle in first.items()]
        if cycles.store:
            found.append(Event(at.worked, "store", (k,)))
        if command.closes_layer:
            found.append(Event(at.done - 1, "layer", (command.layer,)))
    return sorted(found, key=lambda event: (event.cycle, IN_A_CYCLE.index(event.name)))


def exact(design: Any, layers: Sequence[Layer]) -> Mapping[str, int]:
    """Every counter port with what the page says it holds."""
    counted = {f"count_{name}": value for name, value in total_counts(design, layers).items()}
    return cycle_counters(design, layers) | counted
