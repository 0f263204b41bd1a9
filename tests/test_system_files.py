"""System files: their published JSON Schema, what it and the reader say of one another, and the page's figures."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from hwsim.cli import cli
from hwsim.errors import InputError
from hwsim.pipeline.file import MAX_NAME, read_system
from hwsim.pipeline.schema import PUBLISHED, system_schema, text

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = sorted((ROOT / "systems").glob("*.yaml"))
PAGE = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")


def written(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def test_the_published_schema_is_current() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == text(), f"run: python -m hwsim.pipeline.schema {PUBLISHED}"
    jsonschema.Draft202012Validator.check_schema(system_schema())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_shipped_systems_point_to_the_schema_and_keep_it(path: Path) -> None:
    assert "yaml-language-server: $schema=../hwsim/schemas/system.schema.json" in path.read_text(encoding="utf-8")
    jsonschema.validate(written(path), system_schema())
    assert "hwsim/schemas/system.schema.json" in PAGE


WRONG = {
    "an unknown key": lambda d: d.update(frame=3),
    "no stages": lambda d: d.update(stages=[]),
    "a stage without steps": lambda d: d["stages"][0].pop("steps"),
    "a step without time": lambda d: [d["stages"][0]["steps"][0].pop(k) for k in ("frame_time",)],
    "a quantity without unit": lambda d: d["stages"][0]["steps"][0].update(frame_time=5),
    "a name with a dot": lambda d: d["stages"][0].update(name="a.b"),
    "a name of two lines": lambda d: d["stages"][0].update(name="a\nb"),
    "a name with an escape": lambda d: d["stages"][0]["steps"][0].update(name="\x1b[31mred"),
    "a long name": lambda d: d["stages"][0].update(name="x" * (MAX_NAME + 1)),
    "too many workers": lambda d: d["stages"][0].update(workers=10**6),
    "evidence that is none": lambda d: d["stages"][0]["steps"][0]["frame_time"].update(evidence="sure"),
    "an accelerator without workload": lambda d: d["stages"][1]["steps"][2].pop("workload"),
}


@pytest.mark.parametrize("what", WRONG)
def test_schema_and_reader_refuse_alike(what: str, tmp_path: Path) -> None:
    data = copy.deepcopy(written(ROOT / "systems" / "skynet_ultra96.yaml"))
    WRONG[what](data)
    assert list(jsonschema.Draft202012Validator(system_schema()).iter_errors(data))
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=False), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_system(path)
    assert str(refused.value).isprintable()


def test_a_name_beyond_ascii_that_prints_is_a_name(tmp_path: Path) -> None:
    data = copy.deepcopy(written(ROOT / "systems" / "skynet_ultra96.yaml"))
    data["stages"][0]["name"] = "Zusammenfügen"
    path = tmp_path / "good.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    assert read_system(path).stages[0].name == "Zusammenfügen"
    data["stages"][0]["name"] = "turned\u202earound"
    path.write_text(yaml.safe_dump(data, allow_unicode=False), encoding="utf-8")
    with pytest.raises(InputError, match="reordering"):
        read_system(path)


# --- the page -----------------------------------------------------------------------------------------------------


@cache
def answer(name: str, *settings: str) -> dict[str, Any]:
    words = [word for setting in settings for word in ("--set", setting)]
    done = CliRunner().invoke(cli, ["system", str(ROOT / "systems" / f"{name}.yaml"), "--json", *words])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def table(heading: str) -> dict[str, list[str]]:
    """The first table under a heading of the page: cells by the text of the first."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows[2:]}


def shown(text: str) -> list[tuple[float, float]]:
    """The numbers of a cell, and half a unit of the last digit of each."""
    return [(float(n), 0.5 * 10.0 ** -len(n.partition(".")[2])) for n in re.findall(r"\d+(?:\.\d+)?", text)]


def assert_shown(cells: list[str], value: float, low: float | None = None, high: float | None = None) -> None:
    said = shown(cells[0]) + shown(cells[1])
    wanted = [x for x in (value, low, high) if x is not None]
    assert len(said) == len(wanted)
    for (number, half), fresh in zip(said, wanted, strict=True):
        assert number == pytest.approx(fresh, abs=half * 1.001)


@pytest.mark.parametrize(
    ("name", "heading", "iou"),
    [("skynet_tx2", "SkyNet on a Jetson TX2", "0.731"), ("skynet_ultra96", "SkyNet on an Ultra96", "0.716")],
)
def test_the_figures_of_the_page_are_those_of_fresh_runs(name: str, heading: str, iou: str) -> None:
    found, cells = answer(name), table(heading)
    spread = found["intervals"]
    rate, energy, score = (spread[key] for key in ("throughput_per_s", "energy_per_frame_j", "score"))
    assert_shown(cells["frames/s"], rate["value"], rate["low"], rate["high"])
    assert_shown(cells["power"], found["power_w"])
    assert_shown(cells["energy a frame"], *(1e3 * energy[key] for key in ("value", "low", "high")))
    assert_shown(cells[f"score at IoU {iou}"], *(score[key] for key in ("value", "low", "high")))


def test_overlap_on_the_tx2_is_worth_what_the_page_says() -> None:
    serial = answer("skynet_tx2", "overlap=false", "batch=1", "load.workers=1")["throughput_per_s"]
    cells = table("SkyNet on a Jetson TX2")
    assert_shown(cells["overlapped against serial (batch 1, one worker)"],
                 answer("skynet_tx2")["throughput_per_s"] / serial)  # fmt: skip
    assert_shown(cells["serial, ms a frame"], 1e3 / serial)
