"""A trained detector on the SkyNet circuit: a picture in, the box out, equal to the fixed-point path's."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from accelerators.skynet import accuracy, boxes, detection, fixed, packing
from accelerators.skynet.network import Network
from hwsim.cosim.case import Case, read_cases
from hwsim.cosim.circuit import Image, Stimulus
from hwsim.cosim.compare import CYCLE_PORTS, first_difference
from hwsim.cosim.simulator import Observation, build, run
from hwsim.cosim.toolchain import available
from rtl_models.skynet import data, images, layers, timeline
from rtl_models.skynet.bench import CIRCUIT, SPARE_CYCLES
from rtl_models.skynet.data import Run, Task, What

pytest.importorskip("PIL")
pytest.importorskip("skimage")
pytest.importorskip("sklearn")

LIKE = "network-l8i4o8p2"
"""The case whose build is used: the released engine scaled to a quarter, in the released formats."""
FOUND, MISSED = 0, 5
"""Frames of the test part, whole (80 x 160 pixels): one whose object is found and one whose is not, which the circuit
has to miss in the same way."""
FRAMES = (FOUND, MISSED)
TILES = {"tile_rows": 12, "tile_columns": 22, "pitch_rows": 10, "pitch_columns": 20}


@lru_cache(maxsize=1)
def case() -> Case:
    return read_cases(CIRCUIT.cases, CIRCUIT).selected((LIKE,))[0]


@lru_cache(maxsize=1)
def coded() -> Network:
    """The trained detector in codes, its weights once through the words of the released memory layout."""
    network = fixed.quantize(accuracy.load(accuracy.TRAINED / "skynet_c_narrow.npz"), data.formats_of(case().design))
    return packing.unpack(packing.pack(network), network)


@lru_cache(maxsize=1)
def frames() -> detection.Frames:
    return detection.compose(detection.load_sources(), "test", max(FRAMES) + 1)


def planned(frame: int) -> Run:
    """What the circuit is given for a frame, and what must lie in memory afterwards."""
    task = Task(What.NETWORK, detection.HEIGHT, detection.WIDTH, channels=1, overlap=True, **TILES)
    return data.network_run(case().design, task, coded(), frames().images[frame : frame + 1])


class Driven(NamedTuple):
    """A run as the harness takes it, and where in the results the box map lies, in words."""

    stimulus: Stimulus
    at: int
    count: int


def driven(asked: Run) -> Driven:
    design = case().design
    layers.check(asked.layers, design)
    memory, loaded = images.images(design, asked)
    exact = timeline.exact(design, asked.layers)
    registers = {
        "layers": len(asked.layers), "beat_cycles": timeline.beat_cycles(design),
        "image_interval": design.image_interval, "dw_interval": design.dw_interval, "latency": design.latency,
        "result_base": memory.result_base, "result_words": len(memory.results),
    }  # fmt: skip
    expected = {"results": Image(layers.ELEMENT_BITS * design.lanes, memory.results)}
    limit = 2 * exact["cycles_total"] + SPARE_CYCLES
    words = [asked.maps[name].words(design.lanes, 1) for name in asked.wanted]
    assert list(asked.wanted)[-1] == "head" and sum(words) == len(memory.results)
    return Driven(Stimulus(registers, loaded, expected, exact, limit), sum(words[:-1]), words[-1])


def box_map(words: list[int | None]) -> np.ndarray[Any, Any]:
    """Codes [10, 10, 20] of the box map from its words: groups of channels, rows, columns, lanes."""
    lanes = case().design.lanes
    fields = np.array([[word >> (16 * lane) & 0xFFFF for lane in range(lanes)] for word in words if word is not None])
    signed = fields - (fields >> 15 << 16)
    cells = signed.reshape(-1, detection.HEIGHT // 8, detection.WIDTH // 8, lanes)
    return cells.transpose(0, 3, 1, 2).reshape(-1, *cells.shape[1:3])[:10]


def decoded(codes: np.ndarray[Any, Any]) -> boxes.Detection:
    values = fixed.dequantize(codes, data.formats_of(case().design).feature)
    return boxes.decode(values, accuracy.anchor_cells())


def observed(asked: list[Driven]) -> list[Observation]:
    built = build(CIRCUIT.hdl, case().parameters(CIRCUIT), "verilator")
    return run(built, [one.stimulus for one in asked], list(CYCLE_PORTS))


def test_boxes_of_the_circuit_are_those_of_the_fixed_path(deep: bool) -> None:
    """The map of every layer, the cycles, and the box: equal; a box on the object, and when deep one that is not."""
    if "verilator" not in available():
        pytest.skip("verilator is not installed")
    design, shown = case().design, FRAMES if deep else (FOUND,)
    asked = [driven(planned(frame)) for frame in shown]
    formats = data.formats_of(design)
    for frame, one, seen in zip(shown, asked, observed(asked), strict=True):
        assert not seen.timed_out and first_difference(one.stimulus, seen) is None
        assert seen.counters["cycles_total"] == one.stimulus.exact["cycles_total"]
        found = decoded(box_map(seen.memories["results"][one.at : one.at + one.count]))
        codes = fixed.normalize(frames().images[frame], formats)
        wanted = decoded(fixed.run(coded(), codes, formats, design.inputs_per_cycle)["head"])
        overlap = float(boxes.iou(found[:4], frames().boxes[frame]))
        print(f"frame {frame}: {seen.cycles:,} cycles, IoU {overlap:.3f}, confidence {found.confidence:.2f}")
        assert found == wanted
        assert (overlap > 0.5) == (frame == FOUND)


def test_another_picture_gives_another_box() -> None:
    """The decoder sees what the circuit left: with another frame's words it finds another object."""
    first, second = (driven(planned(frame)) for frame in FRAMES)
    maps = [box_map(one.stimulus.expected["results"].words[one.at :]) for one in (first, second)]
    found = [decoded(codes) for codes in maps]
    assert float(boxes.iou(found[0][:4], found[1][:4])) < 0.1
