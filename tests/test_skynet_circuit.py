"""The cases of the SkyNet circuit without a simulator: what they are, what drives them, and the model held to them."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytest

from accelerators.skynet import commands, fixed, network, resources, tasks
from accelerators.skynet.design import Design
from accelerators.skynet.model import MODEL
from hwsim.config import load_design
from hwsim.cosim.case import Case, CaseFile, read_cases
from hwsim.cosim.compare import question
from hwsim.cosim.golden import Row, check_model, read_golden
from hwsim.errors import InputError
from rtl_models.skynet import blocks, data, draw, images, layers, timeline
from rtl_models.skynet.bench import CIRCUIT, datapaths
from rtl_models.skynet.data import Task, What
from rtl_models.skynet.layers import Kind, Layer, joined, tiled

Function = Callable[..., Any]


@lru_cache(maxsize=1)
def case_file() -> CaseFile:
    return read_cases(CIRCUIT.cases, CIRCUIT)


@lru_cache(maxsize=1)
def golden() -> dict[str, Row]:
    return {row["name"]: row for row in read_golden(CIRCUIT)}


def design(**fields: Any) -> Design:
    return dataclasses.replace(load_design(CIRCUIT.cases.with_name("circuit.yaml")).design, **fields)


# --- the cases ----------------------------------------------------------------------------------------------------


def test_the_case_file_is_what_the_sequence_draws() -> None:
    assert CIRCUIT.cases.read_text(encoding="utf-8") == "".join(draw.lines())


def test_there_are_cases_enough_and_a_third_of_them_is_held_out() -> None:
    cases = case_file().cases
    drawn = [case for case in cases if case.name[1:].isdigit()]
    counts = Counter(case.held_out for case in cases)
    print(f"{len(drawn)} drawn layers, {len(cases)} cases: {counts[False]} development, {counts[True]} held out")
    assert len(drawn) >= 200
    assert counts[True] * 3 >= len(cases)
    assert len({tuple(case.parameters(CIRCUIT).values()) for case in cases}) <= 10
    assert {case.family for case in cases if case.held_out} == set(case_file().held_out)


def test_the_cases_vary_all_that_the_page_names() -> None:
    """Every kind of layer, remainders, borders, odd sizes, stitching, reorder, overlap, ports: at least ten of each."""
    found: Counter[str] = Counter()
    for case in case_file().cases:
        for layer in data.planned(case.design, case.task):
            rest = [c % case.design.lanes for c in (*layer.channels, layer.outputs)]
            found.update(key for key, holds in {
                layer.kind.name: True, "image": layer.image, "reorder": layer.reorder, "joined": layer.joined,
                "stitched": layer.frames > 1, "overlap": layer.overlap, "no overlap": not layer.overlap,
                "pooled": bool(layer.pooled), "both": bool(layer.pooled and layer.target), "remainder": any(rest),
                "odd": layer.height % 2 + layer.width % 2 > 0, "many tiles": layer.tiles > (1, 1),
                "last tile hangs over": not layer.joined and layer.height % layer.pitch_y > 0,
                "pitch below tile": layer.pitch_y < layer.tile_height,
                "several groups": sum(layer.channels) > case.design.lanes,
                f"beta {timeline.beat_cycles(case.design)}": True, f"interval {case.design.dw_interval}": True,
            }.items() if holds)  # fmt: skip
    print(", ".join(f"{key} {n}" for key, n in sorted(found.items())))
    assert found.pop("beta 16") == 2  # a corner
    assert min(found.values()) >= 10


# --- the page -----------------------------------------------------------------------------------------------------


def released(layer: Layer) -> tuple[Design, Layer]:
    """A layer with the released design's 42 x 82 tile."""
    formula = design(lanes=32, inputs_per_cycle=16, outputs_per_cycle=32, pw_interval=2, port_bits=128, tile_height=42,
                     tile_width=82)  # fmt: skip
    return formula, layer


def test_commands_of_the_released_design_take_the_released_cycles() -> None:
    """The formulas of the reference: nine passes and 1,722 cycles of bias; 14,800 cycles a block; 14,784 a tile."""
    shape, layer = released(joined(Layer("pw4", Kind.POINTWISE, "a", "b", "", (192,), 384, 20, 40, 2, 2)))
    first = next(layers.commands([layer], shape.lanes))
    cycles = timeline.cycles_of(shape, layer, first)
    assert (layer.tile_height, layer.tile_width) == (42, 82)
    assert cycles.work == 14_800 + 1_722 + layers.PIPELINE_CYCLES
    assert cycles.load == 14_784 + 32 * 4 + 4
    shape, layer = released(joined(Layer("dw4", Kind.DEPTHWISE, "a", "b", "", (192,), 192, 20, 40, 2, 2)))
    cycles = timeline.cycles_of(shape, layer, next(layers.commands([layer], shape.lanes)))
    assert cycles == (14_784 + 10 * 4, 30_996 + 1_722 + layers.PIPELINE_CYCLES, 14_784)
    bundle = Layer("b1", Kind.BUNDLE, "image", "", "p", (3,), 48, 160, 320, 2, 2)
    shape, layer = released(tiled(bundle, 42, 82, 40, 80))
    run = [(c, timeline.cycles_of(shape, layer, c)) for c in layers.commands([layer], shape.lanes)]
    assert len(run) == 64 * 3
    assert run[0][1].work == 30_996 + 1_722 + 3_444 + layers.PIPELINE_CYCLES
    assert run[1][1].store == max(1_600, 800 * 4)


def test_a_layer_without_overlap_takes_the_sum_of_its_parts() -> None:
    checked = 0
    for case in case_file().cases:
        run = data.planned(case.design, case.task)
        if any(layer.overlap for layer in run):
            continue
        parts = [timeline.cycles_of(case.design, run[c.layer], c) for c in layers.commands(run, case.design.lanes)]
        total = sum(sum(cycles) + case.design.latency for cycles in parts)
        assert timeline.cycle_counters(case.design, run)["cycles_total"] == total
        checked += 1
    assert checked >= 100


def test_overlap_hides_loads_and_nothing_else() -> None:
    """With overlap a run is no longer, and never shorter than its work and stores."""
    for case in case_file().cases:
        run = data.planned(case.design, case.task)
        apart = [layer._replace(overlap=False) for layer in run]
        done = list(timeline.placed(case.design, run))
        total = done[-1][2].done
        assert sum(c.work + c.store for _, c, _ in done) < total
        assert total <= timeline.cycle_counters(case.design, apart)["cycles_total"]


def test_the_weights_of_skynet_c_take_the_released_words() -> None:
    """413 blocks of 32 words, 64 of 9, 106 of biases, 889,472 bytes; and a bias for the head, not in the release."""
    plan = data.scaled_plan(1)
    numbers = fixed.quantize(network.fold(plan, network.random_state(plan, 1)))
    task = Task(What.NETWORK, 160, 320, 1, frames_y=2, frames_x=2, tile_rows=42, tile_columns=82, pitch_rows=40,
                pitch_columns=80, overlap=True)  # fmt: skip
    shape = design(lanes=32, inputs_per_cycle=16, outputs_per_cycle=32, tile_height=42, tile_width=82)
    built = data._NetworkBuilder(shape, task, {layer.name: layer for layer in numbers.convolutions()})
    words = 0
    for layer, weights in zip(*built.layers(), strict=True):
        if weights.depthwise is not None:
            words += len(images.depthwise_words(weights, images.input_parts(layer), 32))
        if weights.pointwise is not None:
            words += len(images.pointwise_words(weights, layer.channels, 32))
    assert (words - 1) * 64 == 889_472
    kinds = [layer.kind for layer in built.layers()[0]]
    assert kinds[:3] == [Kind.BUNDLE] * 3 and len(kinds) == 11


# --- images -------------------------------------------------------------------------------------------------------


def unpacked(words: list[int], lanes: int) -> np.ndarray:
    """Words as [words, lanes] signed elements, bit by bit."""
    fields = [[(word >> (16 * lane)) & 0xFFFF for lane in range(lanes)] for word in words]
    return np.array([[v - (v >> 15 << 16) for v in row] for row in fields], np.int64)


def test_a_map_lies_in_memory_as_the_page_says() -> None:
    """Pixel (y, x) of channel c of frame f is lane c mod N of word ((f G + c div N) h + y) w + x, padded with zeros."""
    rng = np.random.default_rng(5)
    codes = rng.integers(-256, 256, (3, 7, 4, 5))
    words = unpacked(images.map_words(codes, (7,), 4), 4)
    assert len(words) == 3 * 2 * 4 * 5
    for f, c, y, x in np.ndindex(codes.shape):
        assert words[((f * 2 + c // 4) * 4 + y) * 5 + x, c % 4] == codes[f, c, y, x]
    assert not words[20:40, 3].any()
    parts = unpacked(images.map_words(codes, (3, 4), 4), 4)
    assert np.array_equal(parts[20:40, 0].reshape(4, 5), codes[0, 3])


def test_weights_lie_in_memory_command_by_command() -> None:
    rng = np.random.default_rng(6)
    weights = data.Weights(
        rng.integers(-9, 9, (5, 3, 3)), rng.integers(-9, 9, 5), rng.integers(-9, 9, (6, 5)), rng.integers(-9, 9, 6)
    )
    assert weights.depthwise is not None and weights.pointwise is not None
    assert weights.depthwise_bias is not None and weights.pointwise_bias is not None
    taps = unpacked(images.depthwise_words(weights, (5,), 4), 4)
    assert taps[10, 0] == weights.depthwise_bias[4] and taps[10 + 1 + 5, 0] == weights.depthwise[4, 1, 2]
    rows = unpacked(images.pointwise_words(weights, (5,), 4), 4)
    assert len(rows) == 2 * (1 + 8)
    assert rows[9, 1] == weights.pointwise_bias[5]
    assert rows[9 + 1 + 4, 1] == weights.pointwise[5, 4]
    assert not rows[9 + 1 + 5 :].any()


def test_descriptors_have_the_fields_of_the_verilog() -> None:
    text = (CIRCUIT.cases.parent / "hdl" / "layer_fields.sv").read_text(encoding="utf-8")
    numbers = {name.lower(): int(value) for name, value in re.findall(r"int (\w+) = (\d+)", text)}
    assert [name for name, at in list(numbers.items())[: numbers["words"]]] == list(images.FIELDS)
    assert numbers["words"] == len(images.FIELDS)
    bits = ("overlap", "joined", "image", "reorder", "relu", "stored", "stored_pooled")
    assert [numbers[bit] for bit in bits] == list(range(7))


@pytest.mark.parametrize(("fields", "task", "message"), [
    ({}, Task(What.DEPTHWISE, 1, 3, 4), "at least 4 pixels"),
    ({}, Task(What.DEPTHWISE, 13, 3, 4), "at most 12 x 22 pixels"),
    ({}, Task(What.BUNDLE, 4, 4, 25, 4, tile_rows=4, tile_columns=4, overlap=True), "keeps at most 2 groups"),
    ({}, Task(What.BUNDLE, 4, 4, 33, 4, tile_rows=4, tile_columns=4), "keeps at most 3 groups"),
    ({}, Task(What.POINTWISE, 5, 5, 4, 4, tile_rows=3, tile_columns=4, pooled=True), "an even pitch"),
    ({}, Task(What.POINTWISE, 5, 5, 4, 4, pooled=True), "even pitch|nothing is pooled in a joined layer"),
    ({}, Task(What.DEPTHWISE, 5, 5, 4, tile_rows=4, tile_columns=4, pitch_rows=5), "the pitch is at most the tile"),
    ({"lanes": 2, "inputs_per_cycle": 2, "outputs_per_cycle": 2}, Task(What.DEPTHWISE, 5, 5, 4), "at least 4 lanes"),
])  # fmt: skip
def test_what_the_circuit_cannot_run_is_said(fields: dict[str, int], task: Task, message: str) -> None:
    with pytest.raises(InputError, match=message):
        CIRCUIT.check(design(**fields), task)


# --- model against circuit ----------------------------------------------------------------------------------------


def test_the_model_says_what_the_circuit_did() -> None:
    assert check_model(CIRCUIT) == []
    rows = list(golden().values())
    worst = max(abs(float(row["model_total"]) - float(row["rtl_total"])) for row in rows)
    causes = [
        abs(float(row[f"model_{c}"]) - float(row[f"rtl_{c}"]))
        for row in rows
        for c in ("fill", "compute", "stall", "drain")
    ]
    print(f"{len(rows)} cases; largest difference {worst:.0f} cycles in total, {max(causes):.0f} in a cause")
    assert worst == 0 and max(causes) == 0


class Fault(NamedTuple):
    """`wrong(right)` stands in for the function `right`."""

    name: str
    right: Function
    wrong: Callable[[Function], Function]


def plus(amount: int) -> Callable[[Function], Function]:
    return lambda right: lambda *args: right(*args) + amount


def counted(**changes: Callable[[int], int]) -> Callable[[Function], Function]:
    """Counts with some of their fields changed."""

    def wrong(right: Function) -> Function:
        def count(*args: Any) -> Any:
            counts = right(*args)
            return counts._replace(**{name: change(getattr(counts, name)) for name, change in changes.items()})

        return count

    return wrong


def of_design(**fields: Any) -> Callable[[Function], Function]:
    """A function of a design that sees some of its fields wrong."""
    return lambda right: lambda shape, *args: right(dataclasses.replace(shape, **fields), *args)


def of_task(**fields: Any) -> Callable[[Function], Function]:
    """A function of a task that sees some of its fields wrong."""
    return lambda right: lambda shape, task: right(shape, task._replace(**fields))


def of_layer(**fields: Any) -> Callable[[Function], Function]:
    return lambda right: lambda program, layer, *lines: right(program, layer._replace(**fields), *lines)


FAULTS = (
    Fault("depthwise pipeline a cycle short", tasks.depthwise_work, plus(-1)),
    Fault("pointwise pipeline left out", tasks.pointwise_work, plus(-4)),
    Fault("no cycles of bias", tasks.pointwise_work, of_task(first=0)),
    Fault("ReLU6 of bundles takes no time", tasks.depthwise_work, of_task(bundle=0)),
    Fault("depthwise interval of one", tasks.depthwise_work, of_design(dw_interval=1)),
    Fault("pointwise interval of one", tasks.pointwise_work, of_design(pw_interval=1)),
    Fault("tiles without their border", tasks.buffer_pixels, lambda right: lambda height, width: height * width),
    Fault("a word a cycle", tasks.beta, lambda right: lambda shape: 1),
    Fault("image elements a cycle each", tasks.depthwise, of_design(image_interval=1)),
    Fault("loads always under work", commands.add, of_layer(overlap=True)),
    Fault("loads never under work", commands.add, of_layer(overlap=False)),
    Fault("nothing is pooled", commands.add, of_layer(pooled=False)),
    Fault("maps not stored beside pooled ones", commands.add, lambda right: lambda program, layer, *lines:
          right(program, layer._replace(full=layer.full and not layer.pooled), *lines)),
    Fault("a group of outputs too many", commands.add, lambda right: lambda program, layer, *lines:
          right(program, layer._replace(outputs=layer.outputs and layer.outputs + 1), *lines)),
    Fault("image read as words", commands.add, of_layer(image=False)),
    Fault("tile not read again for each group", tasks.pointwise, counted(dram_read_bits=lambda bits: bits // 2)),
    Fault("products of padding not counted", tasks.pointwise, counted(pw_macs=lambda n: n - 1)),
    Fault("sums read once", tasks.pointwise, counted(accumulator_read_bits=lambda n: n // 2)),
    Fault("taps do not read what they add to", tasks.depthwise, counted(feature_read_bits=lambda n: n // 2)),
    Fault("a run of memory for each tile", tasks.depthwise, counted(dram_read_runs=lambda n: 2)),
)  # fmt: skip
EVERY = 8
"""Of the drawn cases; of the corners and layers all are looked at."""


def looked_at() -> list[Case]:
    cases = [case for case in case_file().cases if case.task.what != What.NETWORK]
    drawn = [case for case in cases if case.name[1:].isdigit()]
    return [*drawn[::EVERY], *(case for case in cases if not case.name[1:].isdigit())]


def modules() -> Iterator[Any]:
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("hwsim", "accelerators", "rtl_models"):
            yield module


def seed(fault: Fault, patch: pytest.MonkeyPatch) -> None:
    """Put the wrong function wherever the right one is looked up: by name, or in the table of kernels."""
    wrong = fault.wrong(fault.right)
    places = [(module, name) for module in modules() for name, value in vars(module).items() if value is fault.right]
    assert places
    for module, name in places:
        patch.setattr(module, name, wrong)
    kernels = {task: wrong if kernel is fault.right else kernel for task, kernel in MODEL.kernels.items()}
    patch.setattr(MODEL, "kernels", kernels, raising=False)


def caught_by(cases: list[Case]) -> str:
    """What gives the model away against the columns of the circuit; "" if nothing does."""
    for case in cases:
        row, asked = golden()[case.name], question(CIRCUIT, case)
        for name, count in asked.answer.counts.items():
            if str(int(count)) != row[f"count_{name}"]:
                return f"{case.name}: {name}"
        for cause, cycles in asked.answer.cycles._asdict().items():
            if float(row[f"rtl_{cause}"]) != cycles:
                return f"{case.name}: {cause} cycles"
    return ""


def test_every_fault_of_the_model_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = looked_at()
    assert caught_by(cases) == ""
    found = {}
    for fault in FAULTS:
        with monkeypatch.context() as patch:
            seed(fault, patch)
            found[fault.name] = caught_by(cases)
    print(f"{sum(map(bool, found.values()))} of {len(FAULTS)} faults of the model caught on {len(cases)} cases")
    assert [name for name, by in found.items() if not by] == []


# --- resources ----------------------------------------------------------------------------------------------------


def test_the_table_has_every_block() -> None:
    asked = [blocks.described(subject) for subject in blocks.subjects()]
    assert [{key: line[key] for key in asked[0]} for line in blocks.read_table()] == asked


def test_resources_are_those_of_yosys() -> None:
    """DSP slices equal, block RAM within 5 %, look-up tables within 15 %; the released datapath is among those held
    out."""
    found = datapaths()
    assert len(found) >= 10 and sum(one.held_out for one in found) * 3 >= len(found)
    for one in found:
        assert one.dsps[0] == one.dsps[1], one.name
        assert abs(one.block_rams[1] / one.block_rams[0] - 1) <= 0.05, one.name
    for held_out in (False, True):
        errors = [abs(one.lut_error) for one in found if one.held_out == held_out]
        which = "held out" if held_out else "fitted"
        print(
            f"{which}: {len(errors)} datapaths, tables {np.mean(errors):.1%} off on average, {max(errors):.1%} at most"
        )
    assert all(abs(one.lut_error) <= 0.15 for one in found)


def test_what_yosys_makes_of_comparators_with_six() -> None:
    """Two datapaths alike but for the point of a feature: <9, 3> ends below 6, <9, 4> does not."""
    plain, reaching = (f"engine-8-4-8-2-12-22-9-{integer}-11-4-12-4" for integer in (3, 4))
    counted = {one.name: one.luts for one in datapaths()}
    more = [after - before for before, after in zip(counted[plain], counted[reaching], strict=True)]
    print(f"look-up tables more by Yosys and by the model: {more}")
    assert more[0] > 0 and abs(more[1] / more[0] - 1) < 0.15


def test_block_ram_of_every_buffer_is_that_of_yosys() -> None:
    for line in blocks.read_table():
        if line["block"] != "tile_buffer":
            continue
        size = blocks.parameters_of(line)
        mine = size["lanes"] * resources.bram18s_of(size["DEPTH"], size["BITS"])
        assert abs(mine / int(line["block_rams_18k"]) - 1) <= 0.05, line["name"]
