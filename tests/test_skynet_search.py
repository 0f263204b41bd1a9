"""SkyNet's design search: networks without PyTorch, what they cost, the swarm, resuming, and what was found."""

from __future__ import annotations

import csv
import dataclasses
import math
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml

from accelerators.skynet.search import engines, folder, measures, stages, swarm
from accelerators.skynet.search.__main__ import main
from accelerators.skynet.search.cost import Engine, limit, refusal
from accelerators.skynet.search.measure import ENTROPY, Measure, entropy, score
from accelerators.skynet.structure import KINDS, PUBLISHED, Structure, units, workload
from hwsim.errors import InputError
from hwsim.simulate import run
from hwsim.workload.store import dumps, load_workload, read, write

ROOT = Path(__file__).resolve().parent.parent
FOUND = ROOT / "accelerators" / "skynet" / "search"
PAGE = (ROOT / "docs" / "skynet-search.md").read_text(encoding="utf-8")
BASE = "skynet-ultra96"


def engine(*overrides: str) -> Engine:
    return Engine.named(BASE, *overrides)


# --- networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_structure_is_the_traced_network(name: str) -> None:
    traced = load_workload(name)
    made = workload(PUBLISHED[name], name, traced.summary)
    same = dataclasses.replace(made, provenance=traced.provenance)
    assert same == traced
    assert dumps(same) == dumps(traced)  # and so in order


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_workload_that_files_hold(kind: str, tmp_path: Path) -> None:
    one = workload(Structure(kind, (16, 32, 48), (1, 3), last=24, height=8, width=16), "one")
    write(one, tmp_path / "one.json")
    assert read(tmp_path / "one.json") == one
    convolutions = [op for op in one.graphs["network"].ops if op.kind == "conv2d"]
    assert len(convolutions) == 4 * len(KINDS[kind]) + 1


def macs(structure: Structure) -> int:
    """By hand: MACs of the Bundles and the head."""
    total, pixels = 0, structure.height * structure.width
    for number, (inputs, outputs) in enumerate(structure.bundles(), 1):
        channels = inputs
        for c in KINDS[structure.kind]:
            wide = outputs if c.widens else channels
            total += pixels * c.kernel**2 * channels // (c.groups or channels) * wide
            channels = wide
        pixels //= 4 if number in structure.pools else 1
    return total + pixels * structure.bundles()[-1][1] * 10


def test_macs_of_random_structures_are_those_counted_by_hand() -> None:
    rng = random.Random(7)
    for _ in range(200):
        bundles = rng.randint(2, 6)
        pools = tuple(sorted(rng.sample(range(1, bundles + 1), rng.randint(1, min(3, bundles)))))
        channels = tuple(2 * rng.randint(1, 64) for _ in range(bundles))
        able = [kind for kind in KINDS if kind != "pw-conv3-in-2-groups"]
        one = Structure(rng.choice(able), channels, pools, 2 * rng.randint(0, 20), height=16, width=24)
        assert workload(one, "one").macs({}) == macs(one)
    print("200 structures")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "conv7"}, "kind"), ({"channels": ()}, "channels"), ({"channels": (0, 1, 1, 1, 1)}, "channels"),
        ({"pools": (3, 2)}, "pools"), ({"pools": (1, 2, 9)}, "pools"), ({"last": -1}, "last"),
        ({"pools": (), "last": 9}, "last"), ({"height": 100}, "height"), ({"activation": "tanh"}, "activation"),
    ],
)  # fmt: skip
def test_structures_that_are_none_say_why(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Structure(**changes)  # type: ignore[arg-type]


# --- cost ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_cost_is_that_of_a_run(name: str) -> None:
    cost, result = engine().cost(PUBLISHED[name]), run(BASE, name, interval=False)
    assert cost.frame_s * 4 == pytest.approx(result.latency_s.value, rel=1e-12)
    assert cost.energy_j * 4 == pytest.approx(result.energy_j.value, rel=1e-12)
    assert cost.macs == result.macs and not cost.why
    busy = {track.name: track.busy_s / result.latency_s.value for track in result.tracks}
    assert (cost.compute, cost.host) == pytest.approx((busy["engine"], busy["host"]))
    assert cost.compute + cost.memory + cost.host == pytest.approx(1)


def test_kinds_that_the_engine_cannot_run_are_named_with_the_reason() -> None:
    refused = {kind: refusal(engine(), kind) for kind in KINDS}
    assert {kind for kind, why in refused.items() if why} == {
        "pw-conv3-in-2-groups", "dilated-dw3-pw", "conv3-dw3-pw",
    }  # fmt: skip
    assert refused["dilated-dw3-pw"] == "bundle1.dw: windows are not dilated: tiles have a halo of one pixel"
    assert "one group" in refused["pw-conv3-in-2-groups"]
    assert refused["conv3-dw3-pw"].startswith("3 compute units") and len(units("conv3-dw3-pw")) == 3
    assert all(len(units(kind)) <= 2 for kind, why in refused.items() if not why)


def test_what_limits_a_design_is_what_would_help_most() -> None:
    base = engine()
    cost = base.cost(PUBLISHED["skynet-c"])
    held = limit(base, PUBLISHED["skynet-c"], cost)
    assert (held.change, held.against) == ("twice the products", "DSP slices: 544 of 360")
    faster = engine("pw_interval=1").changed(host_gap_us=10_000).cost(PUBLISHED["skynet-c"])
    assert held.saves == pytest.approx(1 - faster.frame_s / cost.frame_s)
    slow = engine("port=8 bit")
    held = limit(slow, PUBLISHED["skynet-c"], slow.cost(PUBLISHED["skynet-c"]))
    assert (held.change, held.against) == ("a port twice as wide", "more ports of the processing system")


# --- the measure --------------------------------------------------------------------------------------------------


def test_the_entropy_is_the_formula() -> None:
    one = Structure("dw3-pw", (16, 32), (1, 2), last=8, height=8, width=8)
    fan_ins = (9, 3, 9, 16, 9, 4 * 32 + 32)
    coarse = sum(math.log(f) / 2 for f in fan_ins) + math.log(8)
    fine = sum(math.log(f) / 2 for f in fan_ins[:4]) + math.log(32)
    assert entropy(one) == pytest.approx(coarse + 0.31 * fine)
    a, b, c = (score(PUBLISHED[f"skynet-{letter}"]) for letter in "abc")
    assert a < b < c == 1


# --- the swarm ----------------------------------------------------------------------------------------------------

SPACE = swarm.Space(("dw3-pw", "pw-dw3"))


def toy(structures: Sequence[Structure]) -> list[swarm.Fit]:
    """Best at 256 channels everywhere and late pools; free."""
    found = []
    for s in structures:
        apart = sum(abs(math.log2(c / 256)) for c in s.channels)
        found.append(swarm.Fit(0.0, 1.0, sum(s.pools) - apart + (s.kind == "pw-dw3")))
    return found


def test_positions_are_networks_of_the_space() -> None:
    rng = random.Random(3)
    for _ in range(2000):
        one = SPACE.structure("dw3-pw", SPACE.drawn(rng))
        assert all(16 <= c <= 512 and c % 16 == 0 for c in one.channels)
        assert len(set(one.pools)) == 3 and all(1 <= p <= 5 for p in one.pools)
    assert SPACE.places([5, 5, 5]) == (3, 4, 5) and SPACE.places([1, 1, 1]) == (1, 2, 3)
    assert SPACE.places([4.6, 1.2, 1.4]) == (1, 2, 5)
    print("2000 positions")


def test_the_nearest_places_are_found_wherever_there_is_room() -> None:
    for wanted in product(range(1, 6), repeat=3):
        found = SPACE.places(wanted)
        assert list(found) == sorted(set(found)) and found[0] >= 1 and found[-1] <= 5
        if len(set(wanted)) == 3:
            assert found == tuple(sorted(wanted))


def test_the_swarm_is_a_function_of_its_seed() -> None:
    once, again = ([*swarm.swarm(SPACE, toy, 4, 6, seed)] for seed in (5, 5))
    assert once == again and once != [*swarm.swarm(SPACE, toy, 4, 6, 6)]
    assert len(once) == 2 * 4 * 6
    assert [*swarm.swarm(SPACE, toy, 4, 3, 5)] == once[: 2 * 4 * 3]  # longer searches go on where shorter ones end


def test_groups_keep_their_kind_and_find_their_best() -> None:
    steps = [*swarm.swarm(SPACE, toy, 12, 40, 1)]
    for kind, best in (("dw3-pw", 12), ("pw-dw3", 13)):
        own = [s.fit.fitness for s in steps if s.structure.kind == kind]
        assert len(own) == 12 * 40 and max(own) > best - 1.0


def test_random_search_draws_what_the_swarm_begins_with() -> None:
    found = swarm.contest(SPACE, toy, 8, 20, 2)
    assert 100 < found.networks <= 320 and found.swarm > found.random


# --- a whole search -----------------------------------------------------------------------------------------------

SMALL = {
    "tile_height": [42], "tile_width": [82], "whole_tiles": [False], "batch_rows": [2], "batch_columns": [2],
    "lanes": [32], "inputs_per_cycle": [16], "outputs_per_cycle": [16], "pw_interval": [1],
    "overlap_bundle": [False, True], "feature": ["8 bit", "9 bit"], "weight": ["11 bit"],
}  # fmt: skip
ASKED = ["--particles", "3", "--iterations", "3", "--finalists", "2"]


def files(out: Path) -> dict[str, bytes]:
    names = ("settings.json", "bundles.csv", "networks.csv", "designs.csv", "engine.yaml", "designs.svg")
    return {name: (out / name).read_bytes() for name in names}


def test_a_search_end_to_end_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engines, "SPACE", SMALL)
    assert main(["--out", str(tmp_path / "a"), *ASKED]) == 0
    rows = folder.read_csv(tmp_path / "a" / "designs.csv")
    assert rows[0]["network"] == "skynet-c" and len(rows) > 2
    assert f"{float(rows[1]['fps']):6.1f} FPS" in capsys.readouterr().out
    assert main(["--out", str(tmp_path / "b"), *ASKED]) == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")
    before = files(tmp_path / "a")
    assert main(["--out", str(tmp_path / "a"), *ASKED]) == 0 and files(tmp_path / "a") == before
    study = yaml.safe_load((tmp_path / "a" / "engine.yaml").read_text())
    assert len(study["workloads"]) == 6 and all((tmp_path / "a" / name).exists() for name in study["workloads"])
    design = {"port_bits": int(rows[1]["port"]), "feature_bits": int(rows[1]["feature"])}
    assert design == {"port_bits": 128, "feature_bits": 9} or design["feature_bits"] == 8


def test_a_front_has_what_nothing_beats() -> None:
    rng = random.Random(1)
    one = engines.Candidate("n", Structure(), 1.0)
    made = [engines.Designed(one, {}, *(rng.randint(1, 9) for _ in range(3))) for _ in range(300)]
    kept = {(d.accuracy, d.frame_s, d.energy_j) for d in engines.front(made)}
    points = {(d.accuracy, d.frame_s, d.energy_j) for d in made}
    slow = {p for p in points if not any(q != p and q[0] >= p[0] and q[1] <= p[1] and q[2] <= p[2] for q in points)}
    assert kept == slow and kept


def test_what_is_asked_wrongly_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    for words, said in (
        (["--alpha", "0.5"], "--alpha"), (["--particles", "0"], "--particles"), (["--design", "nothing"], "nothing"),
        (["--design", "optimus"], "SkyNet's engine"), (["--target-ms", "0.5"], "--target-ms"),
    ):  # fmt: skip
        assert main(["--out", f"{out}-{said.strip('-')[:3]}", *words]) == 2
        shown = capsys.readouterr().err
        assert said in shown and "Traceback" not in shown
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    assert main(["--out", str(tmp_path / "full")]) == 2 and "not-empty" in capsys.readouterr().err
    with folder.opened(tmp_path / "out", {"seed": 1}):
        assert main(["--out", out]) == 2
        assert "settings" in capsys.readouterr().err
        with pytest.raises(InputError, match="in-use"), folder.opened(tmp_path / "out", {"seed": 1}):
            pass


def test_an_interrupted_search_goes_on(tmp_path: Path) -> None:
    """SIGTERM in the sweep over engines; then the same command ends as one that was left alone."""
    words = [sys.executable, "-m", "accelerators.skynet.search", "--out", str(tmp_path / "out"), "--finalists", "1",
             "--particles", "2", "--iterations", "2", "--most", "64"]  # fmt: skip
    running = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "engine.db").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130 and "interrupted: the same command goes on from here" in said
    assert (tmp_path / "out" / "engine.yaml").exists() and not (tmp_path / "out" / "designs.csv").exists()
    with folder.opened(tmp_path / "out", {}):
        pass  # nobody holds the folder


# --- trainings ----------------------------------------------------------------------------------------------------


def test_a_training_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, int]] = []

    def counted(structure: Structure, seed: int, frames: int) -> tuple[tuple[str, int], float]:
        done.append((structure.text, seed))
        return (structure.text, seed), frames / 1e4 + seed / 10

    monkeypatch.setattr(measures, "_train", counted)
    kept, one, other = tmp_path / "trained.csv", Structure(), PUBLISHED["skynet-c"]
    found = measures.named("both", kept, range(3, 5), 100)
    assert found.networks is ENTROPY
    assert found.kinds.of_all([one, one]) == pytest.approx([0.31, 0.31])
    assert found.designs.of_all([one, other]) == pytest.approx([0.36, 0.36])
    assert done == [(one.text, 3), (one.text, 4), (other.text, 3), (other.text, 4)]
    kept.write_text(kept.read_text() + "dw3-pw/1,9,100,0.")  # cut off by a crash
    assert measures.named("training", kept, range(3, 5), 100).designs.of(other) == pytest.approx(0.36)
    assert measures.named("training", kept, range(9, 10), 100).networks.of(one) == pytest.approx(0.91)
    assert len(done) == 5 and len(folder.read_csv(kept)) == 5
    assert measures.named("training", kept, range(3, 5), 200).designs.of(one) == pytest.approx(0.37)


# --- what was found -----------------------------------------------------------------------------------------------


def designs() -> list[dict[str, str]]:
    return folder.read_csv(FOUND / "designs.csv")


def structure_of(text: str) -> Structure:
    kind, channels, pools, last, activation = text.split("/")
    return Structure(kind, tuple(map(int, channels.split("-"))), tuple(map(int, pools[1:])), int(last[1:]), activation)


def test_the_table_of_designs_is_what_the_model_gives() -> None:
    for row in designs():
        structure = structure_of(row["structure"])
        assert structure.text == row["structure"]
        fields = {engines.KEYS.get(key, key): row[key] == "True" if row[key] in ("True", "False") else int(row[key])
                  for key in engines.VARIED}  # fmt: skip
        made = engine().changed(**fields)
        cost = made.cost(structure)
        assert not cost.why
        assert (cost.fps, 1e3 * cost.energy_j) == pytest.approx((float(row["fps"]), float(row["energy_mj"])), rel=1e-8)
        held = limit(made, structure, cost)
        assert (held.change, held.against, cost.limit) == (row["would_help"], row["against"], row["limit"])
    print(f"{len(designs())} designs")


def test_the_accuracies_of_the_table_are_those_that_were_trained() -> None:
    trained: dict[str, list[float]] = {}
    for row in folder.read_csv(FOUND / "trained.csv"):
        trained.setdefault(row["structure"], []).append(float(row["iou"]))
    for row in designs():
        assert len(trained[row["structure"]]) == 2  # two seeds
        assert float(row["network_accuracy"]) == pytest.approx(np.mean(trained[row["structure"]]), rel=1e-8)


def test_designs_as_fast_as_the_published_one_with_a_network_no_worse() -> None:
    published, *found = designs()
    better = [r for r in found if float(r["fps"]) >= float(published["fps"])
              and float(r["accuracy"]) >= float(published["accuracy"])]  # fmt: skip
    print(f"{len(better)} of {len(found)} designs")
    assert better and {int(r["port"]) for r in better} == {128}
    assert max(int(r["dsps"]) for r in better) <= int(published["dsps"])


def test_the_page_shows_the_table() -> None:
    for row in designs():
        line = (f"| {row['network']} | {float(row['fps']):.1f} | {float(row['energy_mj']):.0f} mJ | "
                f"{float(row['network_accuracy']):.3f} | {row['feature']}, {row['weight']} |")  # fmt: skip
        assert line in PAGE, line


def test_the_contest_of_the_page_is_that_of_the_table() -> None:
    rows = list(csv.DictReader((FOUND / "contest.csv").open(encoding="utf-8")))
    for particles, wins in {p: [float(r["swarm"]) > float(r["random"]) for r in rows if r["particles"] == p]
                            for p in ("8", "16")}.items():  # fmt: skip
        assert re.search(rf"\| {particles} \| \d+ \| {sum(wins)} of {len(wins)} \|", PAGE), (particles, sum(wins))
    first = rows[0]
    space = swarm.Space(("dw3-pw", "pw-dw3"))
    judge = stages.judge(engine(), ENTROPY, stages.Plan())
    fresh = swarm.contest(space, judge, 8, 20, 0)
    assert (fresh.networks, fresh.swarm) == (int(first["networks"]), pytest.approx(float(first["swarm"]), rel=1e-8))
    assert fresh.random == pytest.approx(float(first["random"]), rel=1e-8)


def test_a_measure_asks_once_for_each_of_many() -> None:
    asked: list[int] = []

    def counted(structures: Sequence[Structure]) -> list[float]:
        asked.append(len(structures))
        return [0.5] * len(structures)

    judge = stages.judge(engine(), Measure("counted", counted), stages.Plan())
    fits = judge([Structure(), PUBLISHED["skynet-a"], PUBLISHED["skynet-c"]])
    assert asked == [2] and fits[0] == fits[1]
    assert fits[0].fitness == pytest.approx(0.5 - 0.01 * (fits[0].frame_ms - 25))


def test_what_the_page_says_of_the_measure_and_of_the_engine() -> None:
    trained: dict[str, list[float]] = {}
    for row in folder.read_csv(FOUND / "trained.csv"):
        trained.setdefault(row["structure"], []).append(float(row["iou"]))
    one_kind = [text for text in trained if text.startswith("dw3-pw/")]
    sketches = [row for row in folder.read_csv(FOUND / "bundles.csv") if not row["refused"]]
    within = ranked([(score(structure_of(text)), float(np.mean(trained[text]))) for text in one_kind])
    plan = PUBLISHED["skynet-a"].channels
    across = ranked([(score(Structure(row["kind"], plan)), float(row["accuracy"])) for row in sketches])
    assert (len(one_kind), len(sketches)) == (8, 8)
    assert f"{within:.2f} over the eight" in " ".join(PAGE.split()) and f"{across:.2f} over the eight kinds" in PAGE
    pairs = [ious for ious in trained.values() if len(ious) == 2]
    assert f"{math.sqrt(np.mean([np.var(ious, ddof=1) for ious in pairs])):.3f} (standard deviation)" in PAGE
    found = engine("whole_tiles=false", "outputs_per_cycle=16", "pw_interval=1", "overlap_bundle=true")
    assert f"itself runs at {found.cost(PUBLISHED['skynet-c']).fps:.1f} on it" in " ".join(PAGE.split())


def ranked(pairs: list[tuple[float, float]]) -> float:
    """Spearman's rank correlation, equal values sharing their ranks."""
    sides = []
    for side in zip(*pairs, strict=True):
        order = sorted(side)
        sides.append([order.index(x) + (order.count(x) - 1) / 2 for x in side])
    return float(np.corrcoef(sides)[0, 1])


def test_what_the_page_says_of_limits() -> None:
    _, *found = designs()
    assert {row["limit"] for row in found} == {"compute"}
    assert {(row["would_help"], row["against"]) for row in found} == {
        ("twice the products", "DSP slices: 544 of 360"),
    }  # fmt: skip
    for key, low, high in (("compute", 67, 75), ("host", 10, 20), ("memory", 11, 17), ("saves", 6, 12)):
        shares = [100 * float(row[key]) for row in found]
        assert (round(min(shares)), round(max(shares))) == (low, high), key
    luts = {row["luts"] for row in found if (row["feature"], row["weight"]) == ("9", "11")}
    assert {round(100 * (1 - int(n) / int(designs()[0]["luts"]))) for n in luts} == {21}


@pytest.mark.parametrize("row", folder.read_csv(FOUND / "bundles.csv"), ids=lambda row: row["kind"])
def test_the_table_of_bundles_is_what_the_model_gives(row: dict[str, str]) -> None:
    assert row["refused"] == refusal(engine(), row["kind"])
    if not row["refused"]:
        cost = engine().cost(Structure(row["kind"], PUBLISHED["skynet-a"].channels))
        assert float(row["frame_ms"]) == pytest.approx(1e3 * cost.frame_s, rel=1e-8)
        assert f"| `{row['kind']}` | {1e3 * cost.frame_s:.1f} | {1e3 * cost.energy_j:.0f} mJ |" in PAGE
