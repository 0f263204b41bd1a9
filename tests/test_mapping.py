"""The mapper: against every tile there is, its bounds, its file, and runs with it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelerators.systolic.design import Dataflow
from accelerators.systolic.mapping import ORDERS, SPACE, Choice
from accelerators.systolic.tasks import Product, shared, unique_share
from accelerators.systolic.tiling import fits
from benchmarks.peers import mappings as peers
from benchmarks.peers.work import ARRAYS, NETWORKS
from hwsim.cli import run_command
from hwsim.config import DesignFile, load_design
from hwsim.errors import InputError
from hwsim.mapping import search
from hwsim.mapping.plan import mapped_design, plan
from hwsim.mapping.search import OBJECTIVES, best, priced
from hwsim.mapping.space import mapped_task
from hwsim.parts import resolve_parts
from hwsim.simulate import run

SMALL = "rows=4", "columns=4", "vector_lanes=4"


def design(*overrides: str, name: str = "systolic-16") -> DesignFile:
    return load_design(name, overrides)


def product(*sizes: int, **others: int) -> Product:
    rest = dict.fromkeys(("unique", "halo", "added", "fused", "handed_in", "handed_out"), 0)
    return Product(*sizes, **{**rest, **others})


def found(file: DesignFile, task: Product, objective: str = "latency") -> search.Found:
    return best(file.model, file.design, resolve_parts(file.named), task, objective)


def price_of(file: DesignFile, task: Product, choice: Choice) -> search.Priced:
    return priced(file.model, file.design, resolve_parts(file.named), mapped_task(SPACE, task, choice))


# --- against everything there is ----------------------------------------------------------------------------------


def all_choices(file: DesignFile, task: Product) -> list[Choice]:
    """Every tile of every size, in every order."""
    s = shared(file.design, task.batch, task.m)
    unique = unique_share(task, s)
    tiles = itertools.product(*(range(1, size + 1) for size in (s.rows, task.n, task.k)))
    held = [t for t in tiles if fits(file.design, s.rows, task.n, task.k, *t, unique, task.halo)]
    return [Choice(*tile, order) for tile in held for order in ORDERS.values()]


def random_case(rng: random.Random) -> tuple[DesignFile, Product]:
    sizes = [rng.randint(1, 14) for _ in range(3)]
    bits = [64 * rng.choice((16, 24, 32, 64, 128)) for _ in range(3)]
    file = design(
        *SMALL, f"dataflow={rng.choice(list(Dataflow)).name.lower()}", f"overlap={str(rng.random() < 0.5).lower()}",
        f"cores={rng.choice((1, 1, 2))}", *(f"{k}_sram={b} bit" for k, b in zip(("input", "weight", "output"), bits,
                                                                                strict=True)),
    )  # fmt: skip
    formed: dict[str, int] = {}
    if rng.random() < 0.3:
        formed = {"unique": max(1, sizes[0] * sizes[2] // 2), "halo": rng.randint(1, 4)}
    return file, product(rng.choice((1, 1, 3)), *sizes, **formed)


def test_nothing_is_cheaper_than_what_is_found(deep: bool) -> None:
    """Every tile of every size in every order, by bounds that are checked below and by running those near the best."""
    rng, cases, tried = random.Random(7), 60 if deep else 12, 0
    for _ in range(cases):
        file, task = random_case(rng)
        parts = resolve_parts(file.named)
        everything = np.array(all_choices(file, task), np.int64)
        tried += len(everything)
        for objective in OBJECTIVES:
            ours = found(file, task, objective).priced.of(objective)
            floor = search.bounds(file.model, file.design, parts, task, everything, objective)
            near = [Choice(*map(int, row)) for row in everything[floor < ours]]
            cheaper = [c for c in near if price_of(file, task, c).of(objective) < ours * (1 - 1e-12)]
            assert cheaper == [], (task, objective)
    print(f"{cases} products, {tried:,} choices, {len(OBJECTIVES)} objectives")


def test_bounds_are_below_and_near(deep: bool) -> None:
    rng, gaps = random.Random(3), []
    for _ in range(40 if deep else 8):
        file, task = random_case(rng)
        rows = SPACE.choices(file.design, task)
        rows = rows[np.array(rng.sample(range(len(rows)), min(30, len(rows))))]
        for objective in OBJECTIVES:
            floor = search.bounds(file.model, file.design, resolve_parts(file.named), task, rows, objective)
            prices = [price_of(file, task, Choice(*map(int, row))).of(objective) for row in rows]
            assert np.all(floor <= np.array(prices) * (1 + 1e-12))
            gaps += [1 - f / p for f, p in zip(floor, prices, strict=True)]
    print(f"{len(gaps)} bounds; below by {np.median(gaps):.2%} (median), {max(gaps):.0%} (worst)")
    assert np.median(gaps) < 0.05


def test_every_offered_choice_fits_and_the_orders_differ() -> None:
    rng = random.Random(5)
    for _ in range(20):
        file, task = random_case(rng)
        offered = [Choice(*map(int, row)) for row in SPACE.choices(file.design, task)]
        assert len(set(offered)) == len(offered)
        assert {SPACE.broken(file.design, task, c) for c in offered} == {""}
        assert SPACE.broken(file.design, task, SPACE.default(file.design, task)) == ""


def test_a_fixed_order_is_kept() -> None:
    file = design("loop_order=nkm")
    assert {int(row[3]) for row in SPACE.choices(file.design, product(1, 100, 200, 300))} == {ORDERS["nkm"]}


# --- whole workloads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_plan_is_never_worse_than_the_default(objective: str) -> None:
    made = plan(load_design("systolic-32"), "bert-layer", objective, {})
    assert made.lines and all(
        line.found.priced.of(objective) <= line.found.default_priced.of(objective) for line in made.lines
    )
    assert made.total(objective) <= made.total(objective, default=True)


def test_a_default_priced_by_itself_is_an_ordinary_run() -> None:
    """A network of one product: the mapper's price of the default is the run's own figure."""
    made = plan(load_design("systolic-32"), "paradnn-fc", "latency",
                {"layers": 1, "nodes": 64, "input": 96, "output": 8, "batch": 32})  # fmt: skip
    for line in made.lines:
        at = price_of(made.file, line.task, line.found.default)
        assert at == line.found.default_priced
        plain = priced(made.file.model, made.file.design, resolve_parts(made.file.named), line.task)
        assert plain == at


def test_a_mapping_goes_through_its_file(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    made = plan(load_design("systolic-32"), "bert-layer", "edp", {})
    made.write(path)
    ran = run(mapped_design("systolic-32", path), "bert-layer", interval=False)
    own = run("systolic-32", "bert-layer", interval=False)
    assert ran.macs_executed == own.macs_executed
    assert any(note.startswith("products run in the tiles of") and "map.json" in note for note in ran.notes)
    assert ran.provenance["code_sha256"] == own.provenance["code_sha256"]


def test_the_default_as_a_mapping_changes_nothing(tmp_path: Path) -> None:
    made = plan(load_design("systolic-16"), "bert-layer", "latency", {})
    lines = [dataclasses.replace(one, found=dataclasses.replace(one.found, choice=one.found.default))
             for one in made.lines]  # fmt: skip
    dataclasses.replace(made, lines=tuple(lines)).write(tmp_path / "map.json")
    ran = run(mapped_design("systolic-16", tmp_path / "map.json"), "bert-layer", interval=False)
    own = run("systolic-16", "bert-layer", interval=False)
    assert (ran.latency_s, ran.energy_j, ran.traffic_bits) == (own.latency_s, own.energy_j, own.traffic_bits)


# --- beside ZigZag ------------------------------------------------------------------------------------------------


def test_no_choice_of_zigzags_is_cheaper_and_the_page_says_so(deep: bool) -> None:
    """Every recorded layer on 32 x 32 (deep: on all), priced anew; the ratios of the page are these."""
    held = json.loads(peers.FILE.read_text())
    sides = ARRAYS if deep else (32,)
    page = {tuple(row.split(" | ")[:3]): row.split(" | ")[3:7] for row in peers.PAGE.read_text().splitlines()
            if row.startswith("| ")}  # fmt: skip
    count = 0
    for name, network in NETWORKS.items():
        for side in sides:
            layers = [one for one in held["layers"] if (one["network"], one["side"]) == (name, side)]
            ratios = []
            for objective in OBJECTIVES:
                pairs = [peers.beside(layer, objective) for layer in layers]
                assert all(p.found.priced.of(objective) <= p.theirs.of(objective) for p in pairs)
                ratios.append(peers.three([p.found.priced.of(objective) / p.theirs.of(objective) for p in pairs]))
                count += len(pairs)
            assert page[f"| {network.title}", str(side), str(len(layers))][1:] == ratios
    print(f"{count} searches beside ZigZag's choices")


# --- the command and its messages ---------------------------------------------------------------------------------


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "map.json"
    assert run_command(["map", "-a", "systolic-16", "-w", "bert-layer", "--out", str(path)]) == 0
    text = capsys.readouterr().out
    assert "none of the others is cheaper" in text and "tile_m" in text
    assert run_command(["run", "-a", "systolic-16", "-w", "bert-layer", "--mapping", str(path), "--no-interval"]) == 0
    capsys.readouterr()
    assert run_command(["map", "-a", "systolic-16", "-w", "bert-layer", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["objective"] == "latency" and told["products"][0]["proven"] is True


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("map") / "map.json"
    plan(load_design("systolic-16"), "bert-layer", "latency", {}).write(path)
    return json.loads(path.read_text())


def _first(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**document, "products": [{**document["products"][0], **changes}, *document["products"][1:]]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: [d], "a mapping is a mapping"),
        (lambda d: {**d, "schema": "hwsim/mapping/9"}, "this version reads"),
        (lambda d: {**d, "model": "gpu"}, "of the model systolic"),
        (lambda d: {**d, "objective": "speed"}, "must be one of latency, energy, edp"),
        (lambda d: {**d, "extra": 1}, "no such key"),
        (lambda d: {k: v for k, v in d.items() if k != "products"}, "needs the key products"),
        (lambda d: {**d, "products": d["products"][1:]}, "has no choice for it"),
        (lambda d: {**d, "products": [*d["products"], d["products"][0]]}, "mapped once"),
        (lambda d: _first(d, choice={"tile_m": 1}), "a choice has whole numbers"),
        (lambda d: _first(d, choice={"tile_m": 1.5, "tile_n": 1, "tile_k": 1, "order": "mnk"}), "whole numbers"),
        (lambda d: _first(d, choice={"tile_m": 1, "tile_n": 1, "tile_k": 1, "order": "kkk"}), "the order is one of"),
        (lambda d: _first(d, choice={"tile_m": 0, "tile_n": 1, "tile_k": 1, "order": "mnk"}), "tile_m is from 1 to"),
        (lambda d: _first(d, choice={"tile_m": 128, "tile_n": 768, "tile_k": 768, "order": "mnk"}), "half of its SRAM"),
        (lambda d: _first(d, task={**d["products"][0]["task"], "m": -1}), "must be an integer from 0"),
        (lambda d: _first(d, task={"m": 1}), "a task needs the key"),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_with_its_place(
    written: dict[str, Any], change: Any, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "map.json"
    path.write_text(json.dumps(change(written)))
    with pytest.raises(InputError) as caught:
        run(mapped_design("systolic-16", path), "bert-layer", interval=False)
    assert words in str(caught.value)


def test_other_input_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["map", "-a", "titan-xp", "-w", "bert-layer"], "leaves no choice"),
        (["map", "-a", "systolic-16", "-w", "bert-layer", "--out", str(tmp_path)], "is a directory"),
        (["run", "-a", "systolic-16", "-w", "bert-layer", "--mapping", str(tmp_path / "none.json")], "none.json"),
        (["map", "-a", "systolic-16", "-w", "bert-layer", "--objective", "speed"], "speed"),
    ):
        assert run_command(arguments) == 2
        assert words in capsys.readouterr().err
