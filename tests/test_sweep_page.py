"""A sweep's page and picture say what the rows say, stay small, inert and the same bytes, and own up to what they leave
out."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_sweep

from hwsim.cli import run_command
from hwsim.simulate import run
from hwsim.sweep.answer import Answer, label_of, short, unit_shown
from hwsim.sweep.page import html as page_html
from hwsim.sweep.page import write_page
from hwsim.sweep.page_data import command_of, detail_of, drawn, embedded
from hwsim.sweep.pareto import hypervolume, pareto_front, worst_of
from hwsim.sweep.pictures import save_picture
from hwsim.sweep.study import INFEASIBLE, OK, Objective, Parameter, Row, Study

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<!--<script>",
    "\u2028\u2029]]>",
    "right\u202eto left \x1b[31m \ud800",
)
UNITS: dict[str, str] = {}


def page_of(study: Study, rows: list[Row], **more: Any) -> str:
    answer = Answer(study, rows)
    return page_html(answer, answer.results(sample_sweep.result_of), UNITS, **more)


def data_in(page: str) -> dict[str, Any]:
    """The JSON that the script will read."""
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def study() -> Study:
    return sample_sweep.study()


@pytest.fixture(scope="module")
def rows(study: Study) -> list[Row]:
    return sample_sweep.rows(study)


@pytest.fixture(scope="module")
def page(study: Study, rows: list[Row]) -> str:
    return page_of(study, rows)


# --- what it holds ----------------------------------------------------------------------------------------------


def test_every_feasible_point_is_in_the_page_with_its_figures(study: Study, rows: list[Row], page: str) -> None:
    data, fine = data_in(page), [r for r in rows if r.status == OK]
    assert data["point"] == [short(r) for r in fine] and [rows[t] for t in data["trial"]] == fine
    checked = 0
    for parameter, key in zip(data["parameters"], [p.key for p in study.parameters], strict=True):
        assert parameter["key"] == key
        for level, row in zip(parameter["column"], fine, strict=True):
            shown = None if level < 0 else parameter["levels"][level]
            given = row.assignment.get(key)
            assert shown == (str(given).lower() if isinstance(given, bool) else None if given is None else str(given))
            checked += 1
    labels = [m["label"] for m in data["metrics"]]
    for name in fine[0].metrics:
        column = data["metrics"][labels.index(label_of(name))]["column"]
        assert column == pytest.approx([r.metrics[name] for r in fine], rel=1e-5)
        checked += len(column)
    print(f"{checked} values of the page compared with the rows")


def test_the_front_is_the_front(study: Study, rows: list[Row], page: str) -> None:
    fine = [r for r in rows if r.status == OK]
    goals = [[r.metrics[o.figure] for o in study.objectives] for r in fine]
    front = np.flatnonzero(pareto_front(goals, [o.direction for o in study.objectives])).tolist()
    data = data_in(page)
    assert data["front"] == front and len(front) > 3
    assert set(data["breakdowns"]) == {short(fine[i]) for i in front}
    assert page.count("<tr>") > len(front)


def test_breakdowns_sum_to_the_figures(study: Study, rows: list[Row], page: str) -> None:
    data = data_in(page)
    by_point = {short(r): r for r in rows}
    for point, d in data["breakdowns"].items():
        figures = by_point[point].metrics
        layers = sum(g[2] for g in d["layers"]) + d["rest"][1]
        assert layers == pytest.approx(figures["latency_s"], rel=1e-3)
        for parts in (d["limits"], d["phases"]):
            assert sum(v for _, v in parts) == pytest.approx(figures["latency_s"], rel=1e-3)
        assert sum(v for _, v in d["energy"]) == pytest.approx(figures["energy_j"], rel=1e-3)


def test_the_hypervolume_over_time_ends_at_that_of_the_front(study: Study, rows: list[Row]) -> None:
    answer = Answer(study, rows)
    steps = answer.volume()
    worst, best = worst_of(answer.goals, answer.directions), [answer.goals[answer.best(k), k] for k in range(3)]
    whole = hypervolume(answer.goals, worst, answer.directions) / float(np.prod(np.abs(worst - best)))
    assert steps[0].points == 0 and steps[-1].points == len(rows)
    assert steps[-1].volume == pytest.approx(whole) and 0 < whole <= 1
    assert [s.volume for s in steps] == sorted(s.volume for s in steps)


def test_what_fell_out_is_counted_by_its_reason(page: str, rows: list[Row]) -> None:
    lost = [r for r in rows if r.status == INFEASIBLE]
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
    assert html.unescape(cells[cells.index("infeasible") - 1]).startswith("sets must divide macs (256) at 7")
    assert cells[cells.index("infeasible") + 1] == str(len(lost))
    assert f"{sum(r.status == 'failed' for r in rows)} failed" in page


# --- its size and its bytes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "<", "\U0010ffff"])
def test_a_big_sweep_is_thinned_and_the_page_says_so(name: str) -> None:
    study = sample_sweep.study(names=[name * 300 + str(i) for i in range(4)])
    study = replace(study, parameters=tuple(replace(p, when="") for p in study.parameters))
    rows = sample_sweep.rows(study, 20_000, why=name * 300)
    page = page_of(study, rows, points=10**8)
    data = data_in(page)
    fine = [r for r in rows if r.status == OK]
    size = len(page.encode())
    print(f"{len(fine):,} feasible points, {len(data['point']):,} drawn, {size:,} bytes")
    assert size <= 2_000_000 and len(data["point"]) < len(fine)
    assert f"{len(data['point']):,} of {len(fine):,} feasible points are drawn" in page
    assert "20,000 rows of 100,000,000 points" in page


def test_thinning_keeps_the_front_and_the_extremes(study: Study) -> None:
    rows = sample_sweep.rows(study, 3000)
    answer = Answer(study, rows)
    places = drawn(answer, 400)
    assert set(answer.front) <= set(places) and 300 < len(places) <= 430 and places == sorted(set(places))
    for name in answer.rows[0].metrics:
        column = [r.metrics[name] for r in answer.rows]
        kept = [column[i] for i in places]
        assert (min(kept), max(kept)) == (min(column), max(column))
    assert drawn(answer, 10**6) == list(range(len(answer.rows)))


def test_the_same_rows_give_the_same_bytes_in_another_process(study: Study, page: str) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_sweep_page as t, sample_sweep as s\n"
        "study = s.study(); page = t.page_of(study, s.rows(study))\n"
        "sys.stdout.buffer.write(page.encode('utf-8', 'backslashreplace'))"
    )
    made = subprocess.run([sys.executable, "-c", program, str(Path(__file__).parent)], capture_output=True, check=True)
    assert made.stdout == page.encode("utf-8", "backslashreplace")


# --- nothing in it acts -----------------------------------------------------------------------------------------


def test_the_policy_admits_one_script_and_one_style_sheet_by_their_hashes(page: str) -> None:
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    [style] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    allowed = {p.strip() for p in html.unescape(policy).split(";")}

    def sha(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert allowed == {
        "default-src 'none'", f"script-src 'sha256-{sha(script)}'", f"style-src 'sha256-{sha(style)}'",
        "img-src data:", "base-uri 'none'", "form-action 'none'",
    }  # fmt: skip
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(|fetch\(|import\(", script
    )
    assert "style=" not in page.replace(script, "") and not re.search(r"\son\w+=", page.replace(script, ""))


def test_hostile_names_are_text(study: Study) -> None:
    names = [f"{h}{i}" for i, h in enumerate(HOSTILE)]
    odd = replace(
        sample_sweep.study(names), name=HOSTILE[0], summary=HOSTILE[1] + HOSTILE[3], constraints=(HOSTILE[0],),
        accelerators=(HOSTILE[2],), workloads=(HOSTILE[0],), fixed=(f"a={HOSTILE[0]}",), bind={HOSTILE[0]: 1},
        parameters=tuple(replace(p, when="") for p in sample_sweep.study(names).parameters),
    )  # fmt: skip
    rows = [replace(r, assignment={**r.assignment, names[1]: HOSTILE[i % 4]}) for i, r in enumerate(
        sample_sweep.rows(odd, why=HOSTILE[0]))]  # fmt: skip
    answer = Answer(odd, rows)
    page = page_html(answer, answer.results(lambda row: sample_sweep.result_of(row, HOSTILE)), UNITS)
    assert len(re.findall(r"<script", page)) == 2 and len(re.findall(r"</script", page)) == 2
    assert not {"\u2028", "\u2029", "\u202e", "\x1b", "\ud800", "<!--"} & set(page) and "<!--" not in page
    assert data_in(page)["parameters"][0]["key"] == names[0]


def test_embedded_json_reads_back_and_cannot_end_its_element() -> None:
    value = {"a": [*HOSTILE, "&amp;", "é"], "b": [1, None, 0.25]}
    text = embedded(value)
    assert json.loads(text) == value and not set("<>&\u2028\u2029") & set(text) and text.isascii()
    with pytest.raises(ValueError, match="JSON"):
        embedded([math.nan])


# --- odd studies ------------------------------------------------------------------------------------------------


def test_a_study_without_a_feasible_point_has_a_page(study: Study) -> None:
    rows = [Row(str(i), {"macs": 1}, INFEASIBLE, {}, "too small") for i in range(3)]
    page = page_of(study, rows)
    assert data_in(page)["point"] == [] and "too small" in page and data_in(page_of(study, []))["front"] == []


def test_one_objective_one_point_and_missing_figures(study: Study) -> None:
    one = replace(study, objectives=(Objective("energy_j"),))
    rows = sample_sweep.rows(one, 6)
    assert data_in(page_of(one, rows))["front"] and data_in(page_of(one, rows[:1]))["front"] == [0]
    tokens = replace(study, objectives=(Objective("time_per_token_s"), Objective("energy_j / macs")))
    data = data_in(page_of(tokens, rows))
    assert data["front"] == [] and set(data["objectives"][0]["column"]) == {None}
    assert data["objectives"][1]["label"] == "energy_j / macs"


def test_labels_and_units() -> None:
    assert [label_of(n) for n in ("latency_s", "throughput_per_s", "energy_breakdown_j.dram", "traffic_bits.dram.read",
                                  "macs_executed")] == ["latency", "throughput", "energy: dram", "traffic: dram read",
                                                        "macs executed"]  # fmt: skip
    assert [unit_shown(n) for n in ("latency_s", "energy_breakdown_j.dram", "utilisation", "energy_j / macs")] == [
        "s", "J", "%", ""]  # fmt: skip


def test_the_command_of_a_point_gives_its_figures(tmp_path: Path) -> None:
    real = Study(
        "real", "", ("optimus",), ("transformer-base",), (Parameter("macs", (512,)), Parameter("clock", (100_000,))),
        (Objective("latency_s"),), fixed=("sets=16",), bind={"n": 4},
    )  # fmt: skip
    row = Row("0" * 64, {"macs": 512, "clock": 100_000, "bind.m": 2, "weight_format": "csc"}, OK, {})
    command = command_of(real, row, {"clock": "kHz"})
    assert command == ("hwsim report -a optimus -w transformer-base --set sets=16 --set macs=512 --set 'clock=100 MHz' "
                       "--set weight_format=csc --bind n=4 --bind m=2 --out report")  # fmt: skip
    words = ["run", *shlex.split(command)[2:-2], "--json", "--no-interval"]
    done = subprocess.run([Path(sys.executable).with_name("hwsim"), *words], capture_output=True, text=True, check=True)
    same = run("optimus", "transformer-base", bind={"n": 4, "m": 2}, interval=False, overrides=(
        "sets=16", "macs=512", "clock=100 MHz", "weight_format=csc"))  # fmt: skip
    assert json.loads(done.stdout)["latency_s"] == same.latency_s.value
    assert sum(v for _, v in detail_of(same)["limits"]) == pytest.approx(same.latency_s.value, rel=1e-5)


# --- files ------------------------------------------------------------------------------------------------------


def test_write_page_writes_the_page_and_reports_of_front_points(study: Study, rows: list[Row], tmp_path: Path) -> None:
    files = write_page(study, rows, tmp_path / "a" / "b", result_of=sample_sweep.result_of, units=UNITS)
    assert files[0] == tmp_path / "a" / "b" / "sweep.html" and 1 < len(files) <= 13
    data = data_in(files[0].read_text(encoding="utf-8"))
    assert [f.stem for f in files[1:]] == data["reports"]
    assert all(f.parent.name == "points" and f.stat().st_size > 10_000 for f in files[1:])


def test_breakdowns_that_do_not_give_the_stored_figures_are_left_out(study: Study, rows: list[Row]) -> None:
    answer = Answer(study, rows)
    other = replace(rows[0], metrics={"latency_s": 1.0, "energy_j": 1.0})
    data = data_in(page_html(answer, answer.results(lambda row: sample_sweep.result_of(other)), UNITS))
    assert data["breakdowns"] == {} and data["front"]


def test_hwsim_sweep_writes_the_page(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(
        "accelerator: optimus\nworkload: transformer-base\nbind: {n: 4, m: 2}\n"
        "space: {macs: [256, 512], clock: [100 MHz, 200 MHz], sets: [64, 100]}\n"
        "objectives: {latency_s: minimize, area_mm2: minimize}\n"
    )
    asked = ["sweep", str(file), "--store", str(tmp_path / "s.db"), "--engine", "serial", "--report"]
    assert run_command([*asked, str(tmp_path / "out")]) == 0
    page = (tmp_path / "out" / "sweep.html").read_text(encoding="utf-8")
    data = data_in(page)
    assert len(data["point"]) == 4 and data["parameters"][1]["levels"] == ["100 MHz", "200 MHz"]
    assert set(data["breakdowns"]) == {data["point"][i] for i in data["front"]} and "sets must divide macs" in page
    assert len(list((tmp_path / "out" / "points").iterdir())) == len(data["front"])
    assert (tmp_path / "out" / "sweep.svg").stat().st_size > 5_000
    capfd.readouterr()
    assert run_command([*asked, str(file / "below a file")]) == 2
    assert "Name a folder that can be written" in capfd.readouterr().err


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_pictures_are_the_same_bytes_twice(study: Study, rows: list[Row], tmp_path: Path, suffix: str) -> None:
    answer = Answer(study, rows)
    files = [save_picture(answer, tmp_path / f"{name}.{suffix}", UNITS) for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes() and files[0].stat().st_size > 5_000


def test_pictures_of_odd_studies(study: Study, rows: list[Row], tmp_path: Path) -> None:
    one = replace(study, objectives=study.objectives[:1])
    assert save_picture(Answer(one, rows), tmp_path / "one.svg", UNITS).stat().st_size > 5_000
    with pytest.raises(ValueError, match="none of"):
        save_picture(Answer(study, rows), tmp_path / "x.gif", UNITS)
    with pytest.raises(ValueError, match="no feasible"):
        save_picture(Answer(study, []), tmp_path / "x.svg", UNITS)
