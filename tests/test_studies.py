"""The shipped studies: files that load, pages that are true, pictures drawn from numbers that fresh runs give."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelerators.skynet import measured
from accelerators.skynet.accuracy import FLOAT, PUBLISHED_IOU, Scheme
from accelerators.skynet.resources import luts
from accelerators.skynet.tasks import Pointwise
from hwsim.model import Program
from hwsim.parts import resolve_parts
from hwsim.report.text import digits, memory, percent, quantity
from hwsim.result import Result
from hwsim.sweep.answer import Answer, rerun
from hwsim.sweep.file import load_study
from hwsim.sweep.formula import Formula
from hwsim.sweep.metrics import metrics_of
from hwsim.sweep.pareto import pareto_front
from hwsim.sweep.resolve import Resolved, resolve
from hwsim.sweep.space import Space
from hwsim.sweep.study import OK, Assignment, Row, Study

ROOT = Path(__file__).resolve().parent.parent
DEEP = bool(os.environ.get("HWSIM_DEEP"))
PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
AGAIN = 400 if DEEP else 12


@lru_cache(maxsize=8)
def study_of(name: str) -> Study:
    return load_study(ROOT / "sweeps" / f"{name}.yaml")


def row_of(study: Study, assignment: Assignment) -> tuple[Row, Result]:
    row = Row("", assignment, OK)
    result = rerun(study)(row)
    return Row("", assignment, OK, metrics_of(result)), result


@lru_cache(maxsize=8)
def numbers_of(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "docs" / "studies" / f"{name}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_study_has_its_place_in_the_page(path: Path) -> None:
    study = study_of(path.stem)
    assert study.summary and study.name == path.stem.replace("_", "-")
    assert f"(../sweeps/{path.name})" in PAGE and f"(studies/{path.stem}.svg)" in PAGE


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_numbers_of_the_picture_are_those_of_fresh_runs(path: Path) -> None:
    study, numbers = study_of(path.stem), numbers_of(path.stem)
    space = Space(study)
    feasible = [a for a in space.chunk(0, space.size) if not space.excludes(a)]
    keys = numbers["parameters"]
    assert numbers["points"] == space.size and numbers["feasible"] == len(numbers["rows"]) <= len(feasible)
    assert numbers["objectives"] == [o.figure for o in study.objectives]
    picks = np.linspace(0, len(numbers["rows"]) - 1, AGAIN).round().astype(int).tolist()
    for values in (numbers["rows"][i] for i in {*picks, *numbers["front"][:3]}):
        assignment = dict(zip(keys, values, strict=False))
        assert assignment in feasible
        row, _ = row_of(study, assignment)
        assert Answer(study, [row]).goals[0].tolist() == pytest.approx(values[len(keys) :], rel=1e-9)
    print(f"{path.stem}: {AGAIN} of {len(feasible)} points run again")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_front_and_sensitivities_follow_from_the_numbers(path: Path) -> None:
    study, numbers = study_of(path.stem), numbers_of(path.stem)
    keys = numbers["parameters"]
    goals = np.array([row[len(keys) :] for row in numbers["rows"]])
    front = np.flatnonzero(pareto_front(goals, [o.direction for o in study.objectives]))
    assert front.tolist() == numbers["front"]
    for k, figure in enumerate(numbers["objectives"]):
        for i, key in enumerate(keys):
            groups: dict[object, list[float]] = {}
            for row in numbers["rows"]:
                groups.setdefault(row[i], []).append(row[len(keys) + k])
            means = [np.mean(g) for g in groups.values() for _ in g]
            assert numbers["sensitivity"][figure][key][0] == pytest.approx(np.var(means) / goals[:, k].var(), abs=1e-3)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_pictures_name_what_they_show(path: Path) -> None:
    picture = (ROOT / "docs" / "studies" / f"{path.stem}.svg").read_text(encoding="utf-8")
    for axis in Space(study_of(path.stem)).axes:
        assert f">{axis.key}</text>" in picture
    marks = picture.count("<use ")
    assert marks >= numbers_of(path.stem)["feasible"] + len(numbers_of(path.stem)["front"])


# --- the tables of the page -------------------------------------------------------------------------------------


def tables() -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """(study, heads, rows) of each table of the page."""
    for section in PAGE.split("\n## ")[1:]:
        [name] = re.findall(r"\(\.\./sweeps/(\w+)\.yaml\)", section)
        lines = [
            [c.strip() for c in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")
        ]
        yield name, lines[0], lines[2:]


FIGURES = {
    "latency": lambda r: quantity(r.latency_s.value, "s"),
    "energy": lambda r: quantity(r.energy_j.value, "J"),
    "energy a token": lambda r: quantity(r.energy_j.value / r.binding["m"], "J"),
    "utilisation": lambda r: percent(r.utilisation),
    "throughput": lambda r: digits(float(f"{r.throughput_per_s:.3g}")),
    "tables": lambda r: f"{r.memory_peak_bits['luts'] // 64:,}",
    "energy of 1,000": lambda r: quantity(r.energy_j.value, "J"),
    "area": lambda r: f"{digits(r.area_mm2)} mm²",
}


MEMORIES = {"flash_capacity", "ram", "input_sram", "weight_sram", "output_sram"}


def shown_value(key: str, value: object) -> str:
    """A parameter's value as a table has it: sizes of memories with a unit."""
    return memory(int(str(value))) if key in MEMORIES else str(value)


@pytest.mark.parametrize(("name", "heads", "rows"), list(tables()), ids=[t[0] for t in tables()])
def test_the_tables_are_what_fresh_runs_give(name: str, heads: list[str], rows: list[list[str]]) -> None:
    study = study_of(name)
    values = {p.key: {shown_value(p.key, v): v for v in p.values} for p in study.parameters}
    chosen = {"accelerator": study.accelerators, "workload": study.workloads}
    values |= {key: {name: name for name in names} for key, names in chosen.items()}
    several = {key for key, names in chosen.items() if len(names) > 1}
    assert {p.key for p in study.parameters} | several <= {*heads}
    for row in rows:
        assignment = {key: values[key][text] for key, text in zip(heads, row, strict=True) if key in values}
        _, result = row_of(study, assignment)
        shown = {head: FIGURES[head](result) for head in heads if head in FIGURES}
        assert shown == {head: text for head, text in zip(heads, row, strict=True) if head in FIGURES}
    assert len(rows) > 8


def latency(**changes: object) -> float:
    base: dict[str, Any] = {"bind.density": 0.25, "macs": 1024, "sets": 64, "dram_channels": 20}
    return row_of(study_of("optimus_array"), {**base, **changes})[1].latency_s.value


def test_the_shares_quoted_of_the_array_study() -> None:
    assert round(100 * (1 - latency(macs=4096) / latency())) == 21
    assert round(100 * (latency(sets=1024) / latency() - 1)) == 66
    _, here = row_of(study_of("optimus_array"), {"bind.density": 0.25, "macs": 1024, "sets": 64, "dram_channels": 20})
    assert 0.75 < here.energy_breakdown_j["dram"] / here.energy_j.value < 0.85
    assert round(100 * numbers_of("optimus_array")["sensitivity"]["energy_j"]["bind.density"][1]) == 95


def token(weight_format: str = "sa_rcsc", technology: str = "28nm") -> Result:
    base: Assignment = {"bind.n": 30, "bind.m": 30, "weight_format": weight_format, "technology": technology}
    return row_of(study_of("optimus_length"), base)[1]


def test_the_shares_quoted_of_the_length_study() -> None:
    sa, rcsc, dense = token(), token("rcsc"), token("dense")
    assert round(sa.throughput_per_s / dense.throughput_per_s, 1) == 3.3
    assert round(dense.energy_j.value / sa.energy_j.value) == 3
    assert round(100 * (sa.throughput_per_s / rcsc.throughput_per_s - 1)) == 66
    assert round(100 * (1 - sa.energy_j.value / rcsc.energy_j.value)) == 7
    old, new = token(technology="45nm"), token(technology="7nm")
    assert round(100 * (1 - new.energy_j.value / old.energy_j.value)) == 4
    assert 13 < old.area_mm2 / new.area_mm2 < 14
    dram = sum(v for k, v in sa.energy_breakdown_j.items() if k.startswith("dram"))
    assert round(100 * dram / sa.energy_j.value) == 94
    numbers = numbers_of("optimus_length")
    best = [row for i, row in enumerate(numbers["rows"]) if i in numbers["front"]]
    assert {(m, form, node) for _, m, form, node, *_ in best} == {(50, "sa_rcsc", "7nm")}
    forms = [row for row in numbers["rows"] if row[2:4] == ["sa_rcsc", "28nm"]]
    short, long = ({(row[0], row[1]): row for row in forms}[pair] for pair in ((50, 10), (10, 50)))
    assert (round(long[4] / short[4], 1), round(100 * (1 - long[5] / short[5]))) == (3.2, 28)


def test_the_shares_quoted_of_the_microcontroller_study() -> None:
    numbers = numbers_of("mcu_mobilenet")
    assert (numbers["points"], numbers["feasible"], len(numbers["front"])) == (1152, 460, 78)
    assert round(100 * numbers["sensitivity"]["latency_s"]["workload"][0]) == 96
    keys = numbers["parameters"]
    latency = {tuple(row[: len(keys)]): row[len(keys)] for row in numbers["rows"]}

    def ratios(key: str, base: object, other: object) -> tuple[float, float]:
        place = keys.index(key)
        pairs = [
            (value, latency.get((*point[:place], base, *point[place + 1 :])))
            for point, value in latency.items()
            if point[place] == other
        ]
        found = [value / start for value, start in pairs if start is not None]
        return min(found), max(found)

    assert ratios("weight", 8, 4) == pytest.approx((0.81, 0.90), abs=0.005)
    assert ratios("weight", 4, 2)[0] == pytest.approx(0.94, abs=0.005)
    assert ratios("activation", 8, 4)[1] == pytest.approx(1.06, abs=0.005)
    assert ratios("scaling", "pl", "pc") == pytest.approx((1.17, 1.29), abs=0.005)
    small = {row[0] for row in numbers["rows"] if row[1:5] == [2**22, 2**22, 8, 8]}
    large = {row[0] for row in numbers["rows"] if row[1:5] == [2**24, 2**22, 8, 8]}
    assert small == {f"mobilenet-v1-0.25-{size}" for size in (128, 160, 192, 224)} and len(large) == 7
    fits = {part: {row[0] for row in numbers["rows"] if row[1:3] == [part, 2**22]} for part in (2**22, 2**24)}
    assert (len(fits[2**22]), len(fits[2**24])) == (8, 15)
    assert not [row for row in numbers["rows"] if "0.5" in row[0] and row[1] == 2**23 and row[3:5] == [8, 8]]


def test_the_shares_quoted_of_the_shape_study() -> None:
    numbers = numbers_of("poetbin_shape")
    assert (numbers["points"], numbers["feasible"]) == (576, 92)
    tables, joules = numbers["objectives"][1:]
    assert {k for k, (_, total) in numbers["sensitivity"][tables].items() if total < 0.001} >= {"q"}
    assert numbers["sensitivity"][joules]["q"][1] < 0.001


def test_the_proxy_ranks_measured_shapes() -> None:
    from accelerators.poetbin import proxy

    measured = proxy.read()
    formula = Formula(study_of("poetbin_shape").objectives[0].figure)
    said = [
        formula.value({"inputs_per_lut": p, "groups": groups, "trees_per_group": trees, "q": q})
        for p, groups, trees, q in measured
    ]
    found = proxy.fit(measured)
    assert len(measured) == 125
    assert (round(found.ranked, 2), round(found.explained, 2)) == (0.97, 0.94)
    for shape, value in zip(measured, said, strict=True):
        if 2 not in shape[1:3]:
            assert value == pytest.approx(found.log_error(shape), abs=0.002)


def test_what_is_said_of_the_skynet_study() -> None:
    numbers = numbers_of("skynet_engine")
    keys = numbers["parameters"]
    points = {tuple(row[: len(keys)]): row[len(keys) :] for row in numbers["rows"]}
    space = Space(study_of("skynet_engine"))
    every = [a for a in space.chunk(0, space.size) if not space.excludes(a)]
    assert (len(every), numbers["feasible"]) == (1920, 1536)

    def point(network: str = "skynet-c", device: str = "xczu3eg", **changes: object) -> list[float]:
        base: dict[str, object] = {
            "workload": network, "device": device, "tile_height": 42, "tile_width": 82, "lanes": 32,
            "inputs_per_cycle": 16,
            "outputs_per_cycle": 32, "pw_interval": 2, "feature": 9, "weight": 11, "port": 128, "overlap_bundle": False,
        }  # fmt: skip
        return list(points[tuple((base | changes)[key] for key in keys)])

    published = point()
    best = point(outputs_per_cycle=16, pw_interval=1, port=256, overlap_bundle=True)
    assert 4 / published[0] == pytest.approx(38.75, abs=0.01) and 4 / best[0] == pytest.approx(40.86, abs=0.01)
    here = {p: goals for p, goals in points.items() if p[:2] == ("skynet-c", "xczu3eg")}
    assert best[0] == min(goals[0] for goals in here.values())
    fast = [dict(zip(keys, p, strict=True)) for p, goals in here.items() if goals[0] <= published[0]]
    fast = [p for p in fast if (p["feature"], p["weight"]) == (9, 11)]
    assert len(fast) == 12 and {(p["tile_height"], p["lanes"]) for p in fast} == {(42, 32)}
    assert {p["inputs_per_cycle"] * p["outputs_per_cycle"] // p["pw_interval"] for p in fast} == {256}
    small = point(tile_height=22, tile_width=42, outputs_per_cycle=16, pw_interval=1, port=256, overlap_bundle=True)
    assert (round(100 * (small[0] / best[0] - 1)), round(100 * (1 - small[2] / best[2]))) == (17, 21)
    narrow = point(outputs_per_cycle=16, pw_interval=1, port=256, overlap_bundle=True, feature=8)
    assert narrow[0] == best[0] and round(100 * (1 - narrow[2] / best[2])) == 4
    iou = {(net, f, w): point(net, feature=f, weight=w)[3] for net in study_of("skynet_engine").workloads
           for f in (8, 9) for w in (10, 11)}  # fmt: skip
    rows = measured.read(measured.TABLE)
    for (net, features, weights), value in iou.items():
        remembered = {"skynet-a": 0.673, "skynet-b": 0.703, "skynet-c": 0.741}[net]
        assert value == pytest.approx(remembered * measured.share(rows, Scheme(features, weights)), abs=1e-5)
    bits = keys.index("feature"), keys.index("weight")
    front = {tuple(numbers["rows"][at][key] for key in bits) for at in numbers["front"]}
    assert front == {(9, 11), (8, 11), (8, 10)}


def test_the_shares_beside_the_skynet_study_are_those_measured_and_published(root: Path) -> None:
    rows, page = measured.read(measured.TABLE), (root / "docs" / "studies.md").read_text(encoding="utf-8")
    schemes = [Scheme(*bits) for bits in ((9, 11), (9, 10), (8, 11), (8, 10))]
    said = re.findall(r"(\d+) and (\d+)(?: bits)? leave ([\d.]+) % \(([\d.]+) %", page)
    assert said == [(str(s.feature_bits), str(s.weight_bits), f"{100 * measured.share(rows, s):.1f}",
                     f"{100 * PUBLISHED_IOU[s] / PUBLISHED_IOU[FLOAT]:.1f}") for s in schemes]  # fmt: skip
    left = measured.ious(rows, "c", "relu6", schemes[0]) / measured.ious(rows, "c", "relu6", FLOAT)
    assert f"{100 * left.min():.0f} to {100 * left.max():.0f} % are left" in page


def test_what_binds_the_engines_of_the_skynet_study() -> None:
    best: Assignment = {
        "workload": "skynet-c", "device": "xczu3eg", "tile_height": 42, "tile_width": 82, "lanes": 32,
            "inputs_per_cycle": 16,
        "outputs_per_cycle": 16, "pw_interval": 1, "feature": 9, "weight": 11, "port": 256, "overlap_bundle": True,
    }  # fmt: skip
    large: Assignment = {**best, "device": "xczu7ev", "inputs_per_cycle": 32, "outputs_per_cycle": 32}
    for assignment, total, work in ((best, 97.9, 76), (large, 82.0, 43)):
        result = row_of(study_of("skynet_engine"), assignment)[1]
        busy = {track.name: track.busy_s * 1e3 for track in result.tracks}
        assert result.latency_s.value * 1e3 == pytest.approx(total, abs=0.05)
        assert (round(busy["engine"]), round(busy["host"])) == (work, 10)
    _, refused = row_of(study_of("skynet_engine"), {**best, "outputs_per_cycle": 32})
    assert [(v.what, v.demand, v.bound) for v in refused.violations] == [("DSP slices", 544, 360)]


def skynet_design(**changes: object) -> Resolved:
    base: Assignment = {
        "workload": "skynet-c", "device": "xczu3eg", "tile_height": 42, "tile_width": 82, "lanes": 32,
        "inputs_per_cycle": 16, "outputs_per_cycle": 16, "pw_interval": 1, "feature": 9, "weight": 11, "port": 256,
        "overlap_bundle": True,
    }  # fmt: skip
    return resolve(study_of("skynet_engine"), {**base, **changes})  # type: ignore[arg-type]


def test_what_the_skynet_study_says_of_resources() -> None:
    halved, published = skynet_design(), skynet_design(outputs_per_cycle=32, pw_interval=2)
    assert round(100 * (1 - luts(halved.design) / luts(published.design))) == 21
    space = Space(study_of("skynet_engine"))
    reasons = []
    for assignment in space.chunk(0, space.size):
        if not space.excludes(assignment):
            one = resolve(study_of("skynet_engine"), assignment)
            violations = one.base.model.check(one.design, resolve_parts(one.named), Program())
            reasons += [tuple(v.what for v in violations)] if violations else []
    assert len(reasons) == 384 and set(reasons) == {("DSP slices",)}
    eight = row_of(study_of("skynet_engine"), assignment_of(skynet_design(feature=8)))[1]
    nine = row_of(study_of("skynet_engine"), assignment_of(skynet_design()))[1]
    assert round(100 * (1 - eight.energy_j.value / nine.energy_j.value), 1) == 0.1


def assignment_of(resolved: Resolved) -> Assignment:
    return {"workload": resolved.workload.name, **resolved.changes}


def test_where_the_time_of_the_smaller_tile_goes() -> None:
    """Copies of weights into registers, pixels, waits: milliseconds of a batch, by what commands there are."""
    found, read = [], []
    for resolved in (skynet_design(), skynet_design(tile_height=22, tile_width=42)):
        design, result = resolved.design, row_of(study_of("skynet_engine"), assignment_of(resolved))[1]
        program = resolved.base.model.lower(resolved.workload, design, resolved.binding)
        sums = sum(isinstance(program.tasks[t], Pointwise) for t in program.task)
        copied = sums * design.lanes**2 / design.clock_khz  # a cycle a weight of a block
        busy = {track.name: track.busy_s * 1e3 for track in result.tracks}
        total = result.latency_s.value * 1e3
        read.append(result.traffic_bits["dram"]["read"])
        found.append((total, copied, busy["engine"] - copied, total - busy["engine"] - busy["host"]))
    more = [round(small - large, 1) for large, small in zip(*found, strict=True)]
    assert more == [16.6, 9.8, 5.4, 1.4] and round(100 * (read[1] / read[0] - 1)) == 18


# --- ParaDnn ----------------------------------------------------------------------------------------------------

PARADNN = [path.stem for path in FILES if path.stem.startswith("paradnn")]


@pytest.mark.parametrize("name", PARADNN)
def test_heat_maps_and_rooflines_show_the_points(name: str) -> None:
    """Every cell's figure is a utilisation of the numbers; every feasible point stands under the ceilings."""
    numbers = numbers_of(name)
    at = len(numbers["parameters"]) + numbers["objectives"].index("utilisation")
    known = {f"{100 * v:.0f}" if v >= 0.095 else f"{100 * v:.1g}" for v in (row[at] for row in numbers["rows"])}
    heat = (ROOT / "docs" / "studies" / f"{name}_heat.svg").read_text(encoding="utf-8")
    cells = re.findall(r"<text style=\"[^\"]*5\.5px[^\"]*\"[^>]*>([^<]+)</text>", heat)
    assert len(cells) > 100 and set(cells) <= known
    roofline = (ROOT / "docs" / "studies" / f"{name}_roofline.svg").read_text(encoding="utf-8")
    for design in study_of(name).accelerators:
        assert f">{design}</text>" in roofline and f">{design}: " in heat
    assert roofline.count("<use ") >= numbers["feasible"]


@lru_cache(maxsize=4)
def utilisations(name: str) -> dict[tuple[object, ...], float]:
    numbers = numbers_of(name)
    count = len(numbers["parameters"])
    return {tuple(row[:count]): row[count] for row in numbers["rows"]}


def test_the_shares_quoted_of_the_paradnn_studies() -> None:
    fc = utilisations("paradnn_fc")
    assert numbers_of("paradnn_fc")["parameters"] == ["accelerator", "bind.layers", "bind.nodes", "bind.batch"]
    assert [round(100 * fc["tpu-v2", 8, 8192, batch], 1) for batch in (64, 16384)] == [0.5, 59.4]
    assert round(100 * fc["v100", 8, 8192, 64], 1) == 3.7
    small = [u for (a, layers, nodes, _), u in fc.items() if layers == 8 and nodes < 1024 and a != "i7-6900k"]
    assert len(small) == 75 and 0.03 < max(small) < 0.04
    shares = {name: numbers_of(name)["sensitivity"]["utilisation"] for name in PARADNN}
    first = {(name, key): round(100 * own[0]) for name, keys in shares.items() for key, own in keys.items()}
    assert first["paradnn_fc", "accelerator"] == 72
    assert (first["paradnn_fc", "bind.nodes"], first["paradnn_fc", "bind.batch"]) == (7, 7)
    assert (first["paradnn_cnn", "bind.filters"], first["paradnn_rnn", "bind.batch"]) == (9, 10)
    assert first["paradnn_rnn", "bind.embedding"] == 6
    assert max(first["paradnn_cnn", key] for key in ("bind.blocks", "bind.batch")) == 1
    counts = {name: (numbers_of(name)["points"], numbers_of(name)["feasible"]) for name in PARADNN}
    assert counts == {"paradnn_cnn": (288, 287), "paradnn_fc": (1080, 1074), "paradnn_rnn": (576, 576)}
    rnn = utilisations("paradnn_rnn")
    for cell in ("rnn", "lstm", "gru"):
        assert 0.3 < rnn["tpu-v2", f"paradnn-{cell}", 5, 900, 1024] < 0.4
        assert rnn["tpu-v2", f"paradnn-{cell}", 5, 900, 16] < 0.01


def test_the_fastest_machines_quoted_of_the_paradnn_studies() -> None:
    found: dict[str, dict[str, int]] = {}
    for name in ("paradnn_cnn", "paradnn_rnn"):
        numbers = numbers_of(name)
        count, goal = len(numbers["parameters"]), numbers["objectives"].index("latency_s / bind.batch")
        times: dict[tuple[object, ...], dict[str, float]] = {}
        for row in numbers["rows"]:
            times.setdefault(tuple(row[1:count]), {})[row[0]] = row[count + goal]
        fastest = [min(own, key=lambda a: own[a]) for own in times.values()]
        found[name] = {a: fastest.count(a) for a in set(fastest)}
    assert set(found["paradnn_cnn"]) == {"tpu-v2", "tpu-v3"}
    assert found["paradnn_rnn"]["tpu-v3"] == 124


def test_the_shares_quoted_of_the_systolic_study() -> None:
    numbers = numbers_of("systolic_shape")
    assert numbers["feasible"] == 900
    by_point = {(*row[:4], row[4] // 8192): row for row in numbers["rows"]}
    used = {point: row[7] for point, row in by_point.items()}

    def slower(network: str, a: tuple[object, ...], b: tuple[object, ...]) -> float:
        """How many times as long a takes as b: the array has one size."""
        return used[(network, *b)] / used[(network, *a)]

    square = (32, 32, "ws", 256)
    for figure in ("utilisation", "1e12 * energy_j / macs"):
        assert round(100 * numbers["sensitivity"][figure]["workload"][0]) == 94
        assert all(numbers["sensitivity"][figure][key][0] < 0.01 for key in ("rows", "dataflow"))
    assert round(100 * (1 - slower("resnet18", square, (8, 128, "ws", 256)))) == 22
    for flow in ("os", "is"):
        assert round(100 * (1 - slower("resnet18", square, (32, 32, flow, 256)))) == 5
    assert round(slower("mobilenet-v2", square, (8, 128, "is", 256)), 1) == 2.3
    assert round(slower("mobilenet-v2", (128, 8, "is", 256), square)) == 13
    wide = [used["gpt2-small", r, 1024 // r, flow, 256] for r in (8, 16, 32) for flow in ("ws", "os")]
    assert max(wide) / min(wide) < 1.02 and slower("gpt2-small", (128, 8, "ws", 256), square) > 2
    assert round(100 * (1 - slower("vit-b16", square, (32, 32, "ws", 64)))) == 32
    assert round(100 * (1 - slower("vit-b16", (32, 32, "ws", 1024), square)), 1) == 0.5
    least = {min((row[8], row[3]) for row in numbers["rows"] if row[0] == name and row[4] == 8192 * 256)[1]
             for name in ("resnet18", "unet", "bert-base", "vit-b16")}  # fmt: skip
    assert least == {"os"}
