"""The Cortex-M7 model against the measured profile: the split is pinned, every layer's error is printed."""

from __future__ import annotations

import csv
import dataclasses
import math
import random
from pathlib import Path

import pytest

from accelerators.mcu import m7, mixes
from accelerators.mcu.cortex_m7 import cycles
from accelerators.mcu.design import Design
from accelerators.mcu.kernels import all_kernels
from accelerators.mcu.tasks import SHARE, Kernel, count, decay, missed_share
from accelerators.mcu.toolchain import Isa
from hwsim.config import load_design

PROFILE = Path(m7.__file__).with_name("m7_profile.csv")
FITTED = {2, 3, 7, 8, 13, 14}
TARGET = 0.10


@pytest.fixture(scope="module")
def design() -> Design:
    return load_design("stm32h7").design


def rows() -> list[dict[str, str]]:
    with PROFILE.open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def shape(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[key] for key in ("operation", "stride", "kernel", "in_c", "in_size", "out_c", "out_size"))


def test_the_split_is_by_distinct_shape_and_at_most_half_is_fitted() -> None:
    use: dict[tuple[str, ...], set[str]] = {}
    for row in rows():
        use.setdefault(shape(row), set()).add(row["use"])
    assert len(rows()) == 23 and len(use) == 15
    assert all(len(kinds) == 1 for kinds in use.values()), "a repeated shape is used alike"
    fitted = {int(row["layer"]) for row in rows() if row["use"] == "fitted"} & set(range(1, 16))
    assert fitted == FITTED and 2 * len(fitted) <= len(use)
    assert {layer.number for layer in m7.profile() if layer.fitted} == FITTED


def test_every_layer_is_printed_and_held_out_shapes_meet_the_target(
    design: Design, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print("\n" + "\n".join(m7.table(design)))
    held = [abs(m7.error(design, layer)) for layer in m7.profile() if not layer.fitted]
    assert len(held) == 9
    assert m7.mape(design, fitted=False) == pytest.approx(sum(held) / 9) and sum(held) / 9 <= TARGET


def test_the_golden_table_is_what_the_model_says_and_holds_it(design: Design) -> None:
    """Every profiled layer, those that repeat a shape too: fitted and held out, model, measured and error."""
    text = PROFILE.with_name(m7.GOLDEN).read_text(encoding="utf-8")
    assert text == m7.golden(design), "python -m accelerators.mcu.m7 --write"
    table = list(csv.DictReader(text.splitlines()))
    assert [(row["layer"], row["held_out"] == "true", row["measured_cycles"]) for row in table] == [
        (row["layer"], row["use"] == "held_out", row["cycles"]) for row in rows()
    ]
    errors = {row["layer"]: abs(int(row["model_cycles"]) / int(row["measured_cycles"]) - 1) for row in table}
    held = [errors[row["layer"]] for row in table if row["held_out"] == "true"]
    print(f"{len(held)} of {len(table)} held out: {sum(held) / len(held):.2%} on average, {max(held):.2%} at most")
    assert len(table) == 23 and max(errors.values()) <= TARGET and sum(held) / len(held) <= TARGET
    rates = {row["layer"]: int(row["model_cycles"]) for row in table}
    assert 1_638_400 / rates["15"] == pytest.approx(0.562, rel=0.05)
    assert 115_200 / rates["14"] == pytest.approx(0.102, rel=0.05)


def test_the_shipped_parameters_are_the_fit_to_the_fitted_shapes_alone(
    design: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy")
    wrong = tuple(layer if layer.fitted else dataclasses.replace(layer, cycles=1) for layer in m7.profile())
    monkeypatch.setattr(m7, "profile", lambda: wrong)
    for name, value in m7.fit(design).items():
        assert getattr(design, name) == pytest.approx(1000 * value, abs=0.6), name
        low, high = (bound[m7.FITTED.index(name)] for bound in m7.BOUNDS)
        assert low <= value <= high


def test_cycles_are_the_published_formula(design: Design) -> None:
    rng = random.Random(1)
    for _ in range(200):
        task = Kernel(*(rng.randrange(1000) for _ in Kernel._fields))
        ordinary = sum(task[i] for i in (0, *range(5, 15)))
        want = (
            design.issue_millicycles * ordinary
            + design.product_millicycles * (task.multiply + task.dot + task.simd)
            + design.exit_millicycles * task.branch_not_taken
        )
        assert cycles(design, task) == math.ceil(want / 1000) + design.divide_cycles * task.divide


def simulated_share(working: int, places: int, rounds: int, rng: random.Random) -> float:
    """Misses of a fully associative cache with random replacement, read round and round, once it has settled."""
    cache: list[int] = [-1] * places
    where: dict[int, int] = {}
    misses = 0
    for turn in range(rounds):
        for line in range(working):
            if line not in where:
                misses += turn >= rounds // 2
                victim = rng.randrange(places)
                where.pop(cache[victim], None)
                cache[victim], where[line] = line, victim
    return misses / (working * (rounds - rounds // 2))


@pytest.mark.parametrize("percent", [105, 120, 150, 200, 300])
def test_the_missed_share_is_that_of_a_cache_that_replaces_at_random(percent: int) -> None:
    places = 256
    found = simulated_share(places * percent // 100, places, 60, random.Random(percent))
    assert missed_share(places * percent // 100, places) / SHARE == pytest.approx(found, abs=0.03)
    assert missed_share(places, places) == 0


def test_decay_is_the_exponential() -> None:
    for x in range(0, 20 * SHARE, 99_991):
        assert decay(x) / SHARE == pytest.approx(math.exp(-x / SHARE), abs=2e-3)
    assert decay(256 * SHARE) == 0


SIZES = [1, 2, 4, 8, 16, 64, 256]


@pytest.mark.parametrize(("cache", "settles"), [("instruction_cache_bits", 2), ("data_cache_bits", 64)])
def test_both_caches_can_be_swept(design: Design, cache: str, settles: int) -> None:
    """Layer 15 has 16.5 KiB of weights and 2 KiB of code: more cache never costs, what holds all is as good as any, and
    without room each sweep brings all lines again."""
    task = m7.profile()[-1].task
    found = {size: count(dataclasses.replace(design, **{cache: size * 8192}), task) for size in SIZES}
    cycles_by_size = [found[size].core_cycles for size in SIZES]
    assert cycles_by_size == sorted(cycles_by_size, reverse=True) and cycles_by_size[0] > cycles_by_size[-1]
    assert len({found[size].core_cycles for size in SIZES if size >= settles}) == 1
    swept = task.text_bits if cache == "instruction_cache_bits" else task.weight_bits
    most = (found[1].flash_read_bits - found[256].flash_read_bits) / (swept * (task.weight_sweeps - 1))
    assert 0.7 < most <= 1.01
    parts = [mixes.part(Isa.ARMV7EM, name) for kernel in all_kernels() for name in kernel.parts(Isa.ARMV7EM)]
    assert max(part.text_bytes for part in parts) <= 1024, "the smallest cache holds any one function"
    line = (found[1].core_cycles - found[256].core_cycles) / (found[1].flash_read_bits - found[256].flash_read_bits)
    assert line * design.line_width_bits == 20, "a line from flash takes 20 cycles"


def test_a_larger_cache_and_faster_flash_never_cost_cycles(design: Design) -> None:
    task = m7.profile()[-1].task._replace(weight_bits=8 << 17)
    base = count(design, task).core_cycles
    larger = dataclasses.replace(design, data_cache_bits=2 * design.data_cache_bits)
    faster = dataclasses.replace(design, flash_wait_states=0)
    assert count(larger, task).core_cycles < base and count(faster, task).core_cycles < base
