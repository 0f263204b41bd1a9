"""The space of a study: counts, points by number, columns, samples, conditions; and what is said of it beforehand."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import random
import subprocess
import sys
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import cli
from hwsim.config import load_design
from hwsim.sweep import subjects
from hwsim.sweep.facts import EXACT_POINTS, describe
from hwsim.sweep.file import load_study, read_study
from hwsim.sweep.formula import Formula
from hwsim.sweep.resolve import Resolver, engine_hash, point_hash, resolve, workload_hash
from hwsim.sweep.schema import PUBLISHED, text
from hwsim.sweep.space import Space
from hwsim.sweep.study import Objective, Parameter, Study
from hwsim.workload.family import load_network
from hwsim.workload.store import load_workload

GOOD = Path(__file__).parent / "bad_sweeps" / "good.yaml"
WANDB = GOOD.with_name("good_wandb.yaml")


@pytest.fixture(autouse=True)
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "load_design", _design)
    monkeypatch.setattr(subjects, "load_network", _network)


_design = lru_cache(load_design)
_network = lru_cache(load_network)


def study(*parameters: Parameter, **changes: Any) -> Study:
    plain = Study("s", "", ("optimus",), ("transformer-base",), parameters, (Objective("latency_s"),))
    return dataclasses.replace(plain, **changes)


MACS = Parameter("macs", values=(256, 512, 1024))
CHANNELS = Parameter("dram_channels", low=1, high=9, step=2)
WINDOW = Parameter("window", low=2, high=512, step=1, log=True, grid=5)
RATE = Parameter("rate", low=1, high=4, step=1, when="window > 8")
SETS = Parameter("sets", values=(16, 32), when="rate > 2 and macs >= 512")
DENSITY = Parameter("bind.density", low=0.1, high=0.5, grid=3)
NODE = Parameter("technology", values=("28nm", "7nm"))
CACHE = Parameter("decode_cache", values=(True, False))


# --- against listing everything ---------------------------------------------------------------------------------


def listed(asked: Study) -> list[dict[str, Any]]:
    """Every point, the slow obvious way: axis after axis, each split where its condition holds."""
    space = Space(asked)
    points: list[dict[str, Any]] = [{}]
    for axis in space.axes:
        values = [axis.value(i) for i in range(axis.count)]
        when = Formula(axis.parameter.when) if axis.parameter.when else None
        split = []
        for point in points:
            holds = when is None or when.value(space.names(point))
            split += [{**point, axis.key: v} for v in values] if holds else [point]
        points = split
    return points


def as_set(points: Any) -> Counter[Any]:
    return Counter(tuple(point.items()) for point in points)


STUDIES = {
    "empty": study(),
    "one": study(MACS),
    "plain": study(MACS, CHANNELS, DENSITY, NODE, CACHE),
    "conditions": study(NODE, MACS, CHANNELS, WINDOW, RATE, SETS, DENSITY),
    "two accelerators": study(
        dataclasses.replace(MACS, when="accelerator == 'optimus'"), CHANNELS, NODE, accelerators=("optimus", "titan-xp")
    ),
    "own values in a condition": study(
        CHANNELS,
        Parameter("rate", values=(1, 2, 3), when="decode_cache"),
        accelerators=("optimus", "optimus-baseline"),
        workloads=("transformer-base", "gpt2-small"),
    ),
    "all conditional": study(
        dataclasses.replace(CHANNELS, when="sets == 64"), dataclasses.replace(RATE, when="sets == 1")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_every_point_comes_once(name: str) -> None:
    asked = STUDIES[name]
    space = Space(asked)
    whole = space.chunk(0, space.size + 5)
    assert space.size == len(whole) == len(listed(asked))
    assert as_set(whole) == as_set(listed(asked))
    assert [space.at(i) for i in range(space.size)] == whole
    keys = [axis.key for axis in space.axes]
    assert all(list(p) == [k for k in keys if k in p] for p in whole)


@given(st.sampled_from(sorted(STUDIES)), st.integers(0, 10**6), st.integers(0, 400))
def test_a_stretch_is_what_its_points_are(name: str, start: int, length: int) -> None:
    space = Space(STUDIES[name])
    start %= space.size
    assert space.chunk(start, start + length) == [space.at(i) for i in range(start, min(start + length, space.size))]


@given(st.integers(0, 2**32))
def test_random_spaces_against_their_lists(seed: int) -> None:
    rng = random.Random(seed)
    rate = Parameter("rate", low=1, high=rng.randint(2, 30), step=rng.randint(1, 4))
    axes = [MACS, CHANNELS, WINDOW, DENSITY, NODE, CACHE, rate]
    chosen = rng.sample(axes, rng.randint(1, 5))
    for i in range(1, len(chosen)):
        if rng.random() < 0.4:
            conditions = ("macs > 300", "window < 9", "technology == '7nm'", "decode_cache", "dram_channels % 3 == 1")
            able = [c for c in conditions if Formula(c).names & {p.key for p in chosen[:i]}]
            if able:
                chosen[i] = dataclasses.replace(chosen[i], when=rng.choice(able))
    space = Space(study(*chosen))
    cut = rng.randrange(space.size + 1)
    assert as_set(itertools.chain(space.chunk(0, cut), space.chunk(cut, space.size))) == as_set(listed(space.study))


def test_constraints_over_columns_are_those_over_points() -> None:
    asked = study(NODE, MACS, CHANNELS, WINDOW, RATE, SETS, constraints=(
        "macs % sets == 0 and rate < 4", "technology == '7nm' or dram_channels > 2", "accumulators / (rate - 1) > 700",
        "latency_s < 1", "result.macs > macs"))  # fmt: skip
    space = Space(asked)
    assert [f.text for f in space.before] == list(asked.constraints[:3])
    assert [f.text for f in space.after] == list(asked.constraints[3:])
    points = space.chunk(0, space.size)
    kept = space.feasible(space.columns(0, space.size)).tolist()
    assert kept == [not space.excludes(p) for p in points]
    assert 0 < sum(kept) < len(kept)
    assert space.breaks(points[0], {"latency_s": 2.0, "macs": 10**6}) == "latency_s < 1"
    assert space.breaks(points[0], {"latency_s": 0.5, "macs": 3}) == "result.macs > macs"
    assert space.breaks(points[0], {"latency_s": 0.5, "macs": 10**6}) == ""


def test_a_column_has_the_designs_own_value_where_a_parameter_is_not_varied() -> None:
    space = Space(study(WINDOW, RATE))
    columns = space.columns(0, space.size)
    still = ~columns.active["rate"]
    assert set(columns["rate"][still].tolist()) == {8}
    assert set(columns["window"][still].tolist()) == {2, 8}


# --- samples ----------------------------------------------------------------------------------------------------


def test_samples_cover_each_axis_evenly_on_its_scale() -> None:
    space = Space(study(MACS, CHANNELS, WINDOW, DENSITY))
    rng = random.Random(5)
    n = 20_000
    points = [space.sample([rng.random() for _ in range(4)]) for _ in range(n)]
    for key, count in (("macs", 3), ("dram_channels", 5)):
        seen = Counter(p[key] for p in points)
        assert len(seen) == count
        assert all(abs(times - n / count) < 5 * math.sqrt(n / count) for times in seen.values())
    logs = [math.log2(float(p["window"])) for p in points]
    assert all(2 <= float(p["window"]) <= 512 for p in points)
    assert abs(sum(x > 5 for x in logs) / n - 0.5) < 0.03
    assert all(0.1 <= float(p["bind.density"]) <= 0.5 for p in points)


def test_the_ends_of_the_unit_interval_are_the_ends_of_the_axes() -> None:
    space = Space(study(MACS, CHANNELS, WINDOW, DENSITY))
    last = math.nextafter(1.0, 0.0)
    assert space.sample([0.0] * 4) == {"macs": 256, "dram_channels": 1, "window": 2, "bind.density": 0.1}
    assert list(space.sample([last] * 4).values())[:3] == [1024, 9, 512]


def test_an_inactive_parameter_is_absent() -> None:
    space = Space(study(WINDOW, RATE))
    assert space.sample([0.0, 0.9]) == {"window": 2}
    assert space.sample([0.9, 0.9])["rate"] == 4


# --- large ------------------------------------------------------------------------------------------------------


def test_a_grid_of_a_million_million_points() -> None:
    space = Space(
        study(*(Parameter(key, low=1, high=1000, step=1) for key in ("macs", "sets", "window", "rate")), NODE)
    )
    assert space.size == 2 * 10**12
    assert space.at(2 * 10**12 - 1) == {"macs": 1000, "sets": 1000, "window": 1000, "rate": 1000, "technology": "7nm"}
    assert space.at(10**12 + 1001) == {"macs": 1, "sets": 1, "window": 2, "rate": 2, "technology": "7nm"}
    assert space.chunk(10**12 - 1, 10**12 + 1) == [space.at(10**12 - 1), space.at(10**12)]


def test_hashes_of_many_points_differ() -> None:
    asked = study(
        MACS, CHANNELS, NODE, *(Parameter(key, low=1, high=100, step=1) for key in ("window", "rate", "sets"))
    )
    space = Space(asked)
    chunk, points = 1 << 17, 0
    start = time.perf_counter()
    while points < 4_000_000:
        points += len(space.columns(points, points + chunk)["macs"])
    columns = points / (time.perf_counter() - start)
    start = time.perf_counter()
    assignments = space.chunk(0, 100_000)
    rows = len(assignments) / (time.perf_counter() - start)
    resolver = Resolver(asked)
    resolver.hash(assignments[0])
    start = time.perf_counter()
    hashes = resolver.hashes(assignments)
    rate = len(hashes) / (time.perf_counter() - start)
    print(
        f"{columns / 1e6:.0f} M assignments/s as columns, {rows / 1e3:.0f} k/s as mappings, {rate / 1e3:.0f} k hashes/s"
    )
    assert len(set(hashes)) == len(hashes)


# --- identity ---------------------------------------------------------------------------------------------------


def test_a_point_is_what_was_resolved_however_it_was_asked_for() -> None:
    """The order of keys, the study, and whether a value was varied, fixed or the design's own change nothing."""
    point = {"macs": 512, "rate": 8, "technology": "28nm", "bind.n": 30}
    asked = study(MACS, RATE)
    same = point_hash(asked, point)
    assert point_hash(asked, dict(reversed(point.items()))) == same
    assert point_hash(asked, {"macs": 512}) == same
    assert point_hash(study(CHANNELS, fixed=("macs=512",), name="other", seed=3, method="random"), {}) == same
    assert point_hash(study(accelerators=("titan-xp", "optimus")), {"accelerator": "optimus", "macs": 512}) == same
    assert point_hash(study(bind={"n": 30}), {"macs": 512, "workload": "transformer-base"}) == same


@pytest.mark.parametrize("change", [{"macs": 256}, {"technology": "7nm"}, {"dram": "lpddr4-3200"},
                                    {"bind.n": 31}, {"bind.density": 0.26}, {"decode_cache": False},
                                    {"weight_format": "dense"}])  # fmt: skip
def test_whatever_changes_the_figures_changes_the_hash(change: dict[str, Any]) -> None:
    assert point_hash(study(), change) != point_hash(study(), {})
    point = resolve(study(), change)
    assert point.point_hash == point_hash(study(), change)
    for key, value in change.items():
        held = {v.key: v.value for v in point.file.values} | {f"bind.{k}": v for k, v in point.binding.items()}
        assert held[key] == value
    assert point_hash(study(fidelity="events"), change) != point_hash(study(), change)


def test_no_two_points_of_a_space_share_a_hash() -> None:
    asked = STUDIES["conditions"]
    hashes = Resolver(asked).hashes(Space(asked).chunk(0, Space(asked).size))
    assert len(set(hashes)) == len(hashes)


def test_the_hash_is_the_same_in_another_process() -> None:
    code = (f"from hwsim.sweep.file import load_study; from hwsim.sweep.resolve import point_hash; "
            f"from hwsim.sweep.space import Space; s = load_study({str(GOOD)!r}); "
            "print(point_hash(s, Space(s).at(99)))")  # fmt: skip
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip
    asked = load_study(GOOD)
    assert seen == {point_hash(asked, Space(asked).at(99))}


def test_the_hash_covers_masks_and_code_and_no_place(tmp_path: Path) -> None:
    net = load_workload("minilm-l6")
    moved = tmp_path / "elsewhere.npz"
    moved.write_bytes(Path(net.masks).read_bytes())
    assert workload_hash(dataclasses.replace(net, masks=str(moved))) == workload_hash(net)
    moved.write_bytes(moved.read_bytes() + b"x")
    assert workload_hash(dataclasses.replace(net, masks=str(moved))) != workload_hash(net)
    assert engine_hash(type(_design("optimus").model)) != engine_hash(type(_design("titan-xp").model))


def test_a_point_that_breaks_a_rule_of_the_design_has_a_hash_all_the_same() -> None:
    from hwsim.errors import InputError

    asked = study(fixed=("sets=96",))
    with pytest.raises(InputError, match="sets must divide macs"):
        resolve(asked, {"macs": 512})
    assert len(point_hash(asked, {"macs": 512})) == 64


# --- files, facts, schema ---------------------------------------------------------------------------------------


def test_a_file_becomes_a_study() -> None:
    asked = load_study(GOOD)
    space = Space(asked)
    assert asked.accelerators == ("optimus", "optimus-baseline")
    assert asked.fixed == ("load_overlap=true",)
    by_key = {p.key: p for p in asked.parameters}
    assert by_key["clock"].values == (100_000, 200_000)
    assert by_key["bind.density"].values == (0.1, 0.2, 0.3, 0.4, 0.5)
    assert (by_key["weight_buffer"].low, by_key["weight_buffer"].step) == (128 * 8192, 128 * 8192)
    assert asked.constraints[0] == "macs % sets == 0 and clock >= 100000"
    # 2 accelerators, macs, clock, cache, node; 5 densities and channel counts; a rate for 3 of 5 windows (of 2, 8, 32,
    # 128, 512), a weight buffer for one of two formats.
    assert space.size == 2**5 * 5 * 5 * (2 + 3 * 16) * (4 + 1)


def test_a_weights_and_biases_file_is_accepted_as_it_is() -> None:
    found = read_study(WANDB)
    asked = found.study
    by_key = {p.key: p for p in asked.parameters}
    assert (asked.method, asked.budget, asked.fixed) == ("random", 50, ("sets=32",))
    assert asked.workloads == ("transformer-base", "gpt2-small")
    assert (by_key["rate"].low, by_key["rate"].step) == (4, 4)
    assert by_key["window"].log
    assert (by_key["bind.n"].low, by_key["bind.n"].high) == (2, 64)
    assert [n.partition(" ")[0] for n in found.notes] == ["program", "command", "project"]


def test_overrides() -> None:
    texts = "macs=1024; dram_channels=1,2; rate=range(2,8,2); bind.n=4; method=random; budget=9; accelerator=optimus"
    asked = load_study(GOOD, [*texts.split("; "), "clock=100 MHz,300 MHz", "window=log_range(4,64,3)"])
    by_key = {p.key: p for p in asked.parameters}
    assert (asked.method, asked.budget, asked.accelerators, asked.bind) == ("random", 9, ("optimus",), {"n": 4})
    assert asked.fixed == ("load_overlap=true", "macs=1024")
    assert "macs" not in by_key
    assert by_key["dram_channels"].values == (1, 2)
    assert by_key["clock"].values == (100_000, 300_000)
    assert (by_key["rate"].low, by_key["rate"].high, by_key["rate"].step, by_key["rate"].when) == (
        2,
        8,
        2,
        "window > 8",
    )
    assert (by_key["window"].log, by_key["window"].grid) == (True, 3)


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design = _design("optimus").path
    assert design is not None
    (tmp_path / "mine.yaml").write_bytes(design.read_bytes())
    (tmp_path / "sweep.yaml").write_text(
        "accelerators: [mine.yaml, optimus]\nworkload: transformer-base\nspace:\n"
        "  macs: {values: [256], when: accelerator == 'mine.yaml'}\nobjectives: {energy_j: minimize}\n"
    )
    monkeypatch.chdir("/")
    space = Space(load_study(tmp_path / "sweep.yaml"))
    assert space.size == 2
    assert [p.get("macs") for p in space.chunk(0, 2)] == [256, None]


def test_facts_of_a_small_space_are_exact() -> None:
    asked = study(
        MACS, Parameter("sets", values=(16, 48, 64)), CHANNELS, constraints=("dram_channels < 5 or macs > 256",)
    )
    facts = describe(asked)
    assert facts.points == facts.grid_points == 45
    assert (facts.excluded.exact, facts.excluded.of(45)) == (True, 3 * 3)
    # 48 divides none of the three sizes of the array.
    assert (facts.impossible.exact, facts.impossible.share) == (True, 12 / 36)
    assert facts.seconds_per_point > 0
    assert facts.seconds == pytest.approx(24 * facts.seconds_per_point)


def test_facts_of_a_large_space_hold_the_truth_in_their_interval() -> None:
    side = Parameter("window", low=1, high=1000, step=1), Parameter("rate", low=1, high=1000, step=1)
    exactly = describe(study(*side, constraints=("rate * 4 < window",)), measure=False)
    assert exactly.excluded.exact
    assert exactly.excluded.of(10**6) == sum(4 * r >= w for r in range(1, 1001) for w in range(1, 1001))
    wider = describe(study(*side, MACS, CHANNELS, constraints=("rate * 4 < window",)), measure=False)
    assert wider.points > EXACT_POINTS
    assert not wider.excluded.exact
    assert wider.excluded.low < exactly.excluded.share < wider.excluded.high
    assert wider.excluded.high - wider.excluded.low < 0.02


def test_check_and_explain_say_it_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(["check", str(GOOD), "optimus"]) == 0
    out = capsys.readouterr().out
    assert "a valid sweep" in out and "a valid design" in out and "100 points of a grid of 200,000" in out
    assert cli.run_command(["explain", str(GOOD), "--set", "macs=256", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["grid_points"] == 100_000
    assert {a["key"]: a["count"] for a in facts["axes"]}["rate"] == 16
    assert cli.run_command(["explain", str(WANDB)]) == 0
    assert "note: command is not used" in capsys.readouterr().out


def test_the_published_schema_is_current_and_completes_keys(capsys: pytest.CaptureFixture[str]) -> None:
    import jsonschema

    assert PUBLISHED.read_text(encoding="utf-8") == text(), "run: python -m hwsim.sweep.schema " + str(PUBLISHED)
    assert cli.run_command(["explain", "--schema", str(GOOD)]) == 0
    own = json.loads(capsys.readouterr().out)
    import yaml

    for schema in (own, json.loads(text())):
        jsonschema.Draft202012Validator.check_schema(schema)
        for file in (GOOD, WANDB):
            jsonschema.validate(yaml.safe_load(file.read_text()), schema)
    assert own["else"]["properties"]["space"]["properties"]["macs"]["description"]
    assert "traffic_bits.dram.read" in own["else"]["properties"]["objectives"]["properties"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**yaml.safe_load(GOOD.read_text()), "space": {"mac": [1]}}, own)


def test_the_sweeps_of_the_documentation_are_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "sweeps.md").read_text(encoding="utf-8")
    blocks = [b.partition("```")[0] for b in page.split("```yaml\n")[1:]]
    assert len(blocks) >= 2
    for i, block in enumerate(blocks):
        file = tmp_path / f"s{i}.yaml"
        file.write_text(block, encoding="utf-8")
        assert len(Space(load_study(file)).axes) >= 4
