"""Designs from YAML: what every value becomes, where it came from, and what the schema says of it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import pytest

from hwsim import config
from hwsim.config import (
    DesignFile,
    Doc,
    Range,
    describe,
    design_schema,
    find_designs,
    leaves,
    load_design,
    summary_of,
)
from hwsim.document import read_yaml
from hwsim.errors import InputError
from hwsim.parts import DEFAULT_TABLES
from hwsim.result import DesignValue

PLUG_IN = Path(__file__).parent / "bad" / "plug_in"
WIDE = PLUG_IN / "sample_accel" / "sample_wide.yaml"


@pytest.fixture(autouse=True)
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The sample plug-in, found as any installed one is: by its entry point."""
    monkeypatch.syspath_prepend(str(PLUG_IN))
    yield
    for name in [name for name in sys.modules if name.startswith("sample_accel")]:
        del sys.modules[name]


def sample(text: str, tmp_path: Path, overrides: tuple[str, ...] = ()) -> DesignFile:
    file = tmp_path / "mine_too.yaml"
    file.write_text("model: sample\nsummary: s\ntechnology: 28nm\ndram: ddr4-2400\n" + text)
    return load_design(file, overrides)


def messages(text: str, tmp_path: Path, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(InputError) as caught:
        sample(text, tmp_path, overrides)
    return [str(p).replace(str(tmp_path) + "/", "") for p in caught.value.problems]


# --- good files -------------------------------------------------------------------------------------------------


def test_a_shipped_design_is_found_without_importing_its_model() -> None:
    assert find_designs()["sample-wide"] == WIDE
    assert not any(name.startswith("sample_accel.model") for name in sys.modules)
    assert summary_of(WIDE) == "every kind of field"


def test_every_kind_of_value() -> None:
    file = load_design("sample-wide")
    d = file.design
    assert dataclasses.asdict(d) == {
        "macs": 1024, "clock_khz": 200_000, "dataflow": 1, "sparse": False, "activity": 0.25,
        "link_bits_per_s": 102_400_000_000, "idle_w": 0.025, "buffer": {"capacity_bits": 256 * 8192, "banks": 8},
    }  # fmt: skip
    assert d.dataflow.name == "OUTPUT_STATIONARY"
    assert (file.name, file.named["technology"], file.named["dram"], file.summary) == (
        "sample-wide", "28nm", "lpddr4-3200", "every kind of field",
    )  # fmt: skip
    assert file.path == WIDE
    assert file.model.name == "sample"


def test_every_value_knows_where_it_came_from() -> None:
    file = load_design("sample-wide", ["activity=0.75"])
    values = {v.key: v for v in file.values}
    place = file.place
    assert values["macs"] == DesignValue(
        "macs", 1024, "", f"{place}:6", "reference sheet, table 3", "recalled", 256, 4096
    )
    assert values["clock"] == DesignValue(
        "clock", 200_000, "kHz", f"{place}:7", "reference sheet", "recalled", 100_000, 400_000
    )
    assert values["dataflow"].low == "weight_stationary"
    assert values["dataflow"].value == "output_stationary"
    assert values["idle"] == DesignValue("idle", 0.025, "W", f"{place}:12", "estimate", "assumed", 0.01, 0.1)
    assert values["dram"] == DesignValue("dram", "lpddr4-3200", "", f"{place}:5", "the board's parts list", "verified")
    assert values["activity"] == DesignValue("activity", 0.75, "", "--set activity=0.75", "", "")
    assert values["buffer.banks"] == DesignValue("buffer.banks", 8, "", f"{place}:15", "", "")
    keys = [leaf.key for leaf in leaves(describe(type(file.design)))]
    assert [v.key for v in file.values] == ["model", "technology", "dram", *keys]


def test_defaults_are_the_models_own(tmp_path: Path) -> None:
    file = sample("macs: 8\nclock: 1 GHz\nbuffer: {banks: 2}\n", tmp_path)
    assert file.name == "mine-too"
    assert file.design.buffer == type(file.design.buffer)(capacity_bits=2**20, banks=2)
    values = {v.key: v for v in file.values}
    assert values["buffer.capacity"] == DesignValue("buffer.capacity", 2**20, "bit", "default", "", "")


def test_overrides_follow_the_rules_of_the_file(tmp_path: Path) -> None:
    text = "macs: {value: 8, source: s, evidence: assumed, range: [4, 16]}\n"
    overrides = ("macs=64", "clock=1.5 GHz", "buffer.banks=16", "sparse=false", "dataflow=output_stationary",
                 "technology=16nm", "activity=1e-1")  # fmt: skip
    file = sample(text, tmp_path, overrides)
    assert (file.design.macs, file.design.clock_khz, file.design.buffer.banks) == (64, 1_500_000, 16)
    assert (file.design.sparse, file.design.dataflow, file.design.activity) == (False, 1, 0.1)
    assert file.named["technology"] == "16nm"
    macs = next(v for v in file.values if v.key == "macs")
    assert macs == DesignValue("macs", 64, "", "--set macs=64", "", "")


def test_moved_values_make_a_design_of_their_own() -> None:
    file = load_design("sample-wide")
    ends = {v.key: v.low for v in file.values if v.low is not None}
    design, named = file.replaced({**ends, "technology": "7nm", "buffer.banks": 4})
    assert (design.macs, design.clock_khz, design.idle_w, design.dataflow.name) == (
        256, 100_000, 0.01, "WEIGHT_STATIONARY",
    )  # fmt: skip
    assert (design.buffer.banks, named) == (4, {"technology": "7nm", "dram": "lpddr4-3200"})
    assert file.replaced({}) == (file.design, file.named)
    with pytest.raises(InputError) as caught:
        file.replaced({"buffer.banks": 3})
    assert str(caught.value) == "[rule] buffer.banks: got 3; banks must divide macs (1024). 1 does."
    with pytest.raises(InputError, match="no such key"):
        file.replaced({"bufer": 3})


# --- bad files: what the curated files do not show ---------------------------------------------------------------


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = "macs: 0\nclok: 3\nbuffer: {bank: 3, capacity: 64}\nactivity: 2\nsparse: 1\n"
    assert messages(text, tmp_path, ("idle=5", "model=x")) == [
        "mine_too.yaml:5:7: [range] macs: got 0; must be an integer from 1 to 65536.",
        "mine_too.yaml:6:1: [unknown-key] clok: got 'clok'; the design has no such key. Did you mean clock?",
        "mine_too.yaml:7:10: [unknown-key] buffer.bank: got 'bank'; the design has no such key. Did you mean banks?",
        "mine_too.yaml:7:29: [unit] buffer.capacity: got 64; a unit is needed here. Write for example 64 KiB.",
        "mine_too.yaml:8:11: [range] activity: got 2; must be a number from 0.0 to 1.0.",
        "mine_too.yaml:9:9: [type] sparse: got 1; must be true or false.",
        "--set idle=5: [unit] idle: got '5'; a unit is needed here. Write for example 5 W.",
        "--set model=x: [override] model: got 'x'; model cannot be overridden. Choose another design with -a.",
        "mine_too.yaml:1:1: [missing-key] clock: got nothing; the design needs the key clock (clock of everything). "
        "Write clock: 1 MHz.",
    ]


GOOD = "macs: 8\nclock: 1 GHz\n"

BAD_OVERRIDES = {
    "macs": "--set macs: [override] macs: got 'macs'; an override is KEY=VALUE. For example --set macs=1024.",
    "=3": "--set =3: [override] got '=3'; an override is KEY=VALUE. For example --set macs=1024.",
    "macs=": "--set macs=: [type] macs: got ''; must be an integer from 1 to 65536.",
    "macs=yes": "--set macs=yes: [ambiguous] macs: got 'yes'; some YAML readers take this for a boolean. "
    'Write true or false, or quote it: "yes".',
    "macs=2.5": "--set macs=2.5: [type] macs: got '2.5'; must be an integer from 1 to 65536.",
    "buffer=3": "--set buffer=3: [type] buffer: got '3'; this is a group of values. Set one of capacity, banks in it.",
    "buffer.bank=3": "--set buffer.bank=3: [unknown-key] buffer.bank: got 'bank'; the design has no such key. "
    "Did you mean banks?",
    "macs.x=3": "--set macs.x=3: [unknown-key] macs.x: got 'x'; the design has no such key.",
    "clock_khz=3": "--set clock_khz=3: [unknown-key] clock_khz: got 'clock_khz'; keys drop the unit suffix. "
    "Write clock: 3 kHz.",
    "dram=": "--set dram=: [type] dram: got ''; a text is needed here.",
    "buffer.banks=3": "--set buffer.banks=3: [rule] buffer.banks: got 3; banks must divide macs (8). 1 does.",
    "a\nb=1": "--set 'a\\nb=1': [unknown-key] 'a\\nb': got 'a\\nb'; the design has no such key. "
    "Known: activity, buffer, clock, dataflow, dram, idle, link, macs, model, sparse, summary, technology.",
}


@pytest.mark.parametrize("override", BAD_OVERRIDES)
def test_bad_overrides(override: str, tmp_path: Path) -> None:
    assert messages(GOOD, tmp_path, (override,)) == [BAD_OVERRIDES[override]]


def test_a_key_is_set_once(tmp_path: Path) -> None:
    assert messages(GOOD, tmp_path, ("macs=4", "macs=8")) == [
        "--set macs=8: [override] macs: got 'macs'; this key is set twice. Keep one --set for it."
    ]


def test_unknown_names() -> None:
    with pytest.raises(InputError) as caught:
        load_design("sample-wid")
    assert str(caught.value) == (
        "[unknown-design] got 'sample-wid'; no installed design has this name. Did you mean sample-wide?"
    )
    with pytest.raises(InputError, match=r"nowhere\.yaml: \[missing-file\]"):
        load_design("nowhere.yaml")


def test_a_name_that_two_packages_offer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "other_accel"
    info = tmp_path / "other_accel-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir()
    (package / "__init__.py").touch()
    (package / "sample_wide.yaml").write_text("model: other\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-accel\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hwsim.models]\nother = other_accel:MODEL\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=r"\[ambiguous-design\].*other_accel/sample_wide.yaml"):
        load_design("sample-wide")


# --- what an author may declare ---------------------------------------------------------------------------------


class Colour(IntEnum):
    RED = 0


@dataclass(frozen=True)
class TwoOfOneKey:
    memory_bits: int
    memory_bits_per_s: int


@dataclass(frozen=True)
class WithText:
    name: str


@dataclass
class Thawed:
    macs: int


@dataclass(frozen=True)
class WithReserved:
    technology_nm: int


@pytest.mark.parametrize(
    ("design", "text"),
    [
        (TwoOfOneKey, "two fields share the YAML key 'memory'; rename memory_bits_per_s"),
        (WithText, "WithText.name: a field is int, float, bool, IntEnum or a dataclass"),
        (Thawed, "Thawed must be a frozen dataclass"),
        (WithReserved, r"the keys \['technology'\] belong to every design file"),
    ],
)
def test_an_author_is_told_of_fields_that_no_yaml_can_express(design: type, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        describe(design)


@dataclass(frozen=True)
class Inner:
    depth_bits: Annotated[int, Range(8, 800), Doc("depth")]


@dataclass(frozen=True)
class Outer:
    colour: Colour
    inner: Inner
    share: float = 0.5


def test_what_is_described() -> None:
    found = {leaf.key: (leaf.fields, leaf.kind, leaf.doc) for leaf in leaves(describe(Outer))}
    assert found == {
        "colour": (("colour",), Colour, ""),
        "inner.depth": (("inner", "depth_bits"), int, "depth"),
        "share": (("share",), float, ""),
    }


# --- the JSON Schema --------------------------------------------------------------------------------------------


def _validator(design: type, tables: Sequence[str] = DEFAULT_TABLES) -> Any:
    schema = json.loads(json.dumps(design_schema(design, tables)))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_accepts_every_shipped_design() -> None:
    checked = 0
    for path in find_designs().values():
        file = load_design(path)
        assert list(_validator(file.model.Design, tuple(file.named)).iter_errors(read_yaml(path).data)) == []
        checked += 1
    assert checked >= 1


SCHEMA_REFUSES = [
    {"macs": 0}, {"macs": 65537}, {"macs": "8"}, {"macs": 8.5}, {"clock": 800}, {"clock": "800 KiB"}, {"clock": "fast"},
    {"sparse": "false"}, {"sparse": 1}, {"activity": 1.5}, {"dataflow": "row_stationary"}, {"unknown": 1},
    {"buffer": {"banks": 0}}, {"buffer": {"bank": 1}}, {"buffer": 3}, {"technology": 28}, {"dram": ""},
    {"macs": {"source": "s"}}, {"macs": {"value": 8, "why": "?"}}, {"macs": {"value": 8, "evidence": "rumoured"}},
    {"macs": {"value": 8, "evidence": "assumed"}}, {"macs": {"value": 8, "range": [1, 9]}},
    {"macs": {"value": 8, "range": [1], "evidence": "assumed", "source": "s"}},
]  # fmt: skip


def test_the_schema_and_the_reader_refuse_the_same(tmp_path: Path) -> None:
    model = load_design(WIDE).model
    validator = _validator(model.Design)
    good = {"model": "sample", "summary": "s", "technology": "28nm", "dram": "x", "macs": 8, "clock": "1 GHz"}
    assert list(validator.iter_errors(good)) == []
    for change in SCHEMA_REFUSES:
        assert list(validator.iter_errors({**good, **change})), change
        file = tmp_path / "f.yaml"
        file.write_text(json.dumps({**good, **change}))
        with pytest.raises(InputError):
            load_design(file)
    for key in good:
        assert list(validator.iter_errors({k: v for k, v in good.items() if k != key})), key


def test_the_schema_names_units_and_ranges() -> None:
    schema = design_schema(load_design(WIDE).model.Design)
    clock = schema["properties"]["clock"]
    assert clock["description"] == "clock of everything; must lie from 1 MHz to 4 GHz"
    assert schema["properties"]["buffer"]["properties"]["capacity"]["default"] == "128 KiB"
    assert schema["required"] == ["model", "summary", "technology", "dram", "macs", "clock"]


# --- speed ------------------------------------------------------------------------------------------------------


def test_import_is_light() -> None:
    """Reading designs needs none of the heavy packages, and no model."""
    code = "import hwsim.config, sys; print(*sorted(m for m in sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"numpy", "numba", "torch", "pandas", "matplotlib", "yaml", "hwsim.model"}
    assert not heavy & set(out)
    assert config.__name__ in out
