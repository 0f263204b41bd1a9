"""The SkyNet circuit for the harness: what drives it, what must come out, and what the model says to the same case.

Maps come from `accelerators.skynet.fixed`. Every counter has two oracles: README.md's formulas in `timeline`, which
allow no tolerance, and the model, which is asked command by command.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from accelerators.skynet import commands
from hwsim.config import load_design
from hwsim.cosim.circuit import Event, Hdl, Image, Stimulus
from hwsim.errors import bad_input
from hwsim.model import Program
from rtl_models.skynet import blocks, data, images, layers, timeline
from rtl_models.skynet.data import Task
from rtl_models.skynet.layers import Kind, Layer

FOLDER = Path(__file__).parent
SPARE_CYCLES = 1000
BUILT = (
    "lanes", "inputs_per_cycle", "outputs_per_cycle", "pw_interval", "tile_height", "tile_width", "feature_bits",
    "feature_integer_bits", "weight_bits", "weight_integer_bits", "accumulator_bits", "accumulator_integer_bits",
)  # fmt: skip
COUNTED = (
    "commands", "dram_read_bits", "dram_read_runs", "dram_write_bits", "dram_write_runs", "dw_macs", "pw_macs",
    "feature_write_bits", "feature_read_bits", "accumulator_write_bits", "accumulator_read_bits", "weight_write_bits",
    "weight_read_bits",
)  # fmt: skip
MOST_BITS = 16
LEAST_LANES = 4
PACKAGE = "layer_fields.sv"
"""Constants that other sources import: first."""


def sources() -> tuple[Path, ...]:
    """The Verilog, the package first."""
    files = sorted((FOLDER / "hdl").glob("*.sv"))
    return tuple(sorted(files, key=lambda file: file.name != PACKAGE))


class SkyNetCircuit:
    """See the module's text."""

    name: ClassVar[str] = "skynet"
    model: ClassVar[str] = "skynet"
    hdl: ClassVar[Hdl] = Hdl("skynet", sources(), BUILT, tuple(sorted((FOLDER / "hdl").glob("*.vlt"))), "engine")
    cases: ClassVar[Path] = FOLDER / "cases.yaml"
    unit: ClassVar[str] = "engine"
    counters: ClassVar[Mapping[str, str]] = {name: f"count_{name}" for name in COUNTED}
    built_for: ClassVar[Mapping[str, Any]] = {"run_gap": 0}
    Task: ClassVar[type] = Task
    deep_table: ClassVar[Path] = blocks.TABLE

    def check(self, design: Any, task: Task) -> None:
        """Raises InputError where the design or the layers are beyond the circuit."""
        _check_design(design)
        layers.check(data.planned(design, task), design)

    def stimulus(self, design: Any, task: Task, seed: int) -> Stimulus:
        """Memories and registers of a case. Raises InputError where a memory of the circuit is too small for it."""
        run = data.run_of(design, task, seed)
        layers.check(run.layers, design)
        memory, loaded = images.images(design, run)
        exact = timeline.exact(design, run.layers)
        registers = {
            "layers": len(run.layers), "beat_cycles": timeline.beat_cycles(design),
            "image_interval": design.image_interval, "dw_interval": design.dw_interval, "latency": design.latency,
            "result_base": memory.result_base, "result_words": len(memory.results),
        }  # fmt: skip
        expected = {"results": Image(layers.ELEMENT_BITS * design.lanes, memory.results)}
        return Stimulus(registers, loaded, expected, exact, 2 * exact["cycles_total"] + SPARE_CYCLES)

    def program(self, design: Any, task: Task, seed: int) -> Program:
        """The model's commands of every layer."""
        program = Program()
        for layer in data.planned(design, task):
            line = program.add_layer(layer.name, "conv2d", "run")
            commands.add(program, engine_layer(layer, design.lanes), line, line)
        return program

    def trace(self, design: Any, task: Task, seed: int) -> Iterable[Event]:
        """The events of README.md's rules."""
        return timeline.events(design, data.planned(design, task))

    def deep(self) -> Iterator[dict[str, str]]:
        """The lines of resources.csv, synthesized anew: some minutes for each of the large ones."""
        return (blocks.row(self.hdl, subject) for subject in blocks.subjects())

    def deep_lines(self) -> list[str]:
        """The model's resources beside those of resources.csv."""
        return blocks.summary(datapaths())


def datapaths() -> list[blocks.Estimate]:
    """Every synthesized datapath beside the model's figures."""
    base = load_design(FOLDER / "circuit.yaml").design
    lines = (line for line in blocks.read_table() if line["block"] == "engine")
    return [blocks.estimate(line, replace(base, **blocks.parameters_of(line))) for line in lines]


def engine_layer(layer: Layer, lanes: int) -> commands.EngineLayer:
    """A layer of the circuit as the model knows it."""
    down, across = layer.tiles
    tiles = down * across * (1 if layer.joined else layer.frames)
    tiling = commands.Tiling(layer.tile_height, layer.tile_width, layer.pitch_y, layer.pitch_x, tiles, layer.joined)
    outputs = layers.groups_out(layer, lanes) if layer.kind != Kind.DEPTHWISE else 0
    return commands.EngineLayer(
        commands.Kind[layer.kind.name], tiling, layers.groups_in(layer, lanes), outputs, layer.image,
        bool(layer.target), bool(layer.pooled), layer.overlap,
    )  # fmt: skip


def _check_design(design: Any) -> None:
    """What the Verilog is written for, beyond the rules of the design."""
    fraction = {f: getattr(design, f"{f}_bits") - getattr(design, f"{f}_integer_bits")
                for f in ("feature", "weight", "accumulator")}  # fmt: skip
    data.formats_of(design)
    for broken, got, rule, key in (
        (design.lanes < LEAST_LANES, design.lanes, "the circuit has at least 4 lanes", "lanes"),
        (max(design.feature_bits, design.weight_bits) > MOST_BITS, design.feature_bits,
         "an element has 16 bits in memory", "feature"),
        (fraction["accumulator"] > fraction["feature"] + fraction["weight"], fraction["accumulator"],
         "an accumulator has no more fraction bits than a product", "accumulator"),
        (fraction["feature"] > fraction["accumulator"], fraction["feature"],
         "an accumulator has at least the fraction bits of a feature", "accumulator"),
    ):  # fmt: skip
        if broken:
            raise bad_input("circuit", got, rule, "Change the design.", key=key)


CIRCUIT = SkyNetCircuit()
