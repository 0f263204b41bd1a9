"""Networks of look-up tables: the type and its files. A bad file says what is wrong and where; no mutant slips by."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import netlist_twin as twin
import pytest
from hypothesis import given
from mutate import Mutator

from hwsim.errors import InputError
from hwsim.netlist import document
from hwsim.netlist.netlist import MAX_SIGNALS, Lut, Netlist
from hwsim.testing.netlists import netlists, random_netlist

BAD = Path(__file__).parent / "bad_netlists"
GOOD = BAD / "good.json"
MUTANTS = 20_000 if os.environ.get("HWSIM_DEEP") == "1" else 800
SECONDS_PER_FILE = 5
TEXT_CODES = {"syntax", "empty", "encoding", "character", "too-deep", "archive", "too-large"}
"""Problems of the text, met before there are keys."""


# --- the type ---------------------------------------------------------------------------------------------------


def test_the_first_pin_is_the_most_significant() -> None:
    """Address 2 of two pins has the first pin 1 and the second 0."""
    only_first = Lut((0, 1), 0b0100)
    assert only_first.bits() == "0010"
    assert twin.truth(Netlist(2, (only_first,), (2,))) == [[0], [0], [1], [0]]


def test_levels_count_tables_with_pins() -> None:
    luts = (Lut((), 1), Lut((2,), 0b01), Lut((0, 3), 0b0110), Lut((4, 4, 1), 7), Lut((5,), 0b01))
    network = Netlist(2, luts, (5, 0))
    assert network.levels() == (0, 1, 2, 3, 4)
    assert network.depth == 3, "the last LUT reaches no output"
    assert Netlist(2, luts, (1,)).depth == 0
    assert network.live() == (True, True, True, True, True, True, False)


@given(netlists())
def test_depth_is_the_longest_way(network: Netlist) -> None:
    assert network.depth == twin.depth(network)


@pytest.mark.parametrize(
    ("pins", "table", "message"),
    [
        ((0, -1), 0, "[range] lut.inputs[1]: got -1; signals are numbered from 0."),
        ((0,), 4, "[length] lut.table: got '3 bits'; the table of 1 inputs has 2 bits."),
        ((0,), -1, "[length] lut.table: got '1 bits'; the table of 1 inputs has 2 bits."),
        (tuple(range(17)), 0, "[range] lut.inputs: got a list of 17; a LUT has at most 16 inputs. Split it."),
        ((0.5,), 0, "[type] lut: got '(0.5,)'; pins are integers, and so is the table."),
    ],
)
def test_a_wrong_table_is_refused(pins: Any, table: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Lut(pins, table)
    assert str(caught.value) == message


def test_a_wrong_network_is_refused_where_it_is_made() -> None:
    inverter, both = Lut((3,), 1), Lut((0, 2), 1)
    with pytest.raises(InputError) as caught:
        Netlist(2, (inverter, both), (9,))
    assert [(p.code, p.where.key) for p in caught.value.problems] == [
        ("cycle", "luts[0].inputs[0]"),
        ("dangling", "outputs[0]"),
    ]
    for inputs, outputs in ((0, (0,)), (MAX_SIGNALS + 1, (0,)), (1, ()), (1, (-1,)), (1, ("a",))):
        with pytest.raises(InputError):
            Netlist(inputs, (), outputs)  # type: ignore[arg-type]


def test_a_long_ring_is_named_in_short() -> None:
    count = 50
    luts = tuple(Lut(((i + 1) % count + 1,), 1) for i in range(count))
    with pytest.raises(InputError) as caught:
        Netlist(1, luts, (1,))
    [problem] = caught.value.problems
    assert problem.code == "cycle"
    assert problem.rule.endswith("LUT 0, LUT 1, LUT 2, LUT 3, LUT 4, LUT 5, LUT 6, LUT 7 and 42 more "
                                 "feed one another in a ring")  # fmt: skip


@given(netlists(max_luts=8, max_pins=3))
def test_cycles_are_told_from_wrong_order(network: Netlist) -> None:
    """Reversed, a network is in the wrong order and has no cycle; closed to a ring, it has one. Judged by removal of
    LUTs that read none that is left."""
    count = len(network.luts)
    place = {network.inputs + i: network.inputs + count - 1 - i for i in range(count)}
    luts = [Lut(tuple(place.get(pin, pin) for pin in lut.pins), lut.table) for lut in reversed(network.luts)]
    codes = _codes(network.inputs, luts)
    reads_a_lut = any(pin >= network.inputs for lut in network.luts for pin in lut.pins)
    assert codes == ({"order"} if reads_a_lut else set())
    if count:
        ring = [Lut((*luts[0].pins, network.inputs + count - 1), 0), *luts[1:]]
        assert ("cycle" in _codes(network.inputs, ring)) == _has_cycle(network.inputs, ring)


def _codes(inputs: int, luts: list[Lut]) -> set[str]:
    try:
        Netlist(inputs, tuple(luts), (0,))
    except InputError as bad:
        return {p.code for p in bad.problems}
    return set()


def _has_cycle(inputs: int, luts: list[Lut]) -> bool:
    left = set(range(len(luts)))
    while free := {i for i in left if not any(pin - inputs in left for pin in luts[i].pins)}:
        left -= free
    return bool(left)


# --- files ------------------------------------------------------------------------------------------------------


@given(netlists())
def test_what_is_written_is_read(network: Netlist) -> None:
    text = document.dumps(network)
    assert document.loads(text) == network
    assert json.loads(text) == document.as_json(network)
    assert document.dumps(document.loads(text)) == text


def test_compressed_files(tmp_path: Path) -> None:
    network = random_netlist(random.Random(1), inputs=5, luts=40, pins=8, outputs=3)
    for name in ("n.json", "n.json.gz"):
        document.write(network, tmp_path / name)
        assert document.read(tmp_path / name) == network
    first = (tmp_path / "n.json.gz").read_bytes()
    document.write(network, tmp_path / "m.json.gz")
    assert (tmp_path / "m.json.gz").read_bytes() == first, "no time stamp, no name"
    assert len(first) < (tmp_path / "n.json").stat().st_size


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    file = tmp_path / "bomb.json.gz"
    file.write_bytes(gzip.compress(b" " * (64 << 20)))
    with pytest.raises(InputError, match=r"a netlist has at most 8388608 bytes of text"):
        document.read(file)


def test_format_and_version_may_be_left_out() -> None:
    plain = json.loads(GOOD.read_text(encoding="utf-8"))
    whole = document.loads(json.dumps(plain))
    del plain["format"], plain["schema_version"]
    assert document.loads(json.dumps(plain)) == whole


def test_a_network_within_a_document() -> None:
    """Formats that embed a network get its places as well."""
    inner = json.loads(GOOD.read_text(encoding="utf-8"))
    whole = document.loads(json.dumps(inner))
    assert document.from_document(document.parse_json(json.dumps({"a": [inner]})), ("a", 0)) == whole
    inner["outputs"] = [99]
    with pytest.raises(InputError, match=r"<text>:1:\d+: \[dangling\] a\[0\]\.outputs\[0\]: got 99"):
        document.from_document(document.parse_json(json.dumps({"a": [inner]})), ("a", 0))


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the file cannot be written \(No such file or directory\)"):
        document.write(document.read(GOOD), tmp_path / "none" / "n.json")


# --- bad files --------------------------------------------------------------------------------------------------


def curated() -> list[Path]:
    return sorted(path for path in BAD.glob("*.json*") if path != GOOD)


def expected(name: str) -> list[str]:
    lines = (BAD / "messages.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(f"{name}:")]


@pytest.mark.parametrize("path", curated(), ids=lambda path: path.name)
def test_a_bad_netlist_says_what_is_wrong(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    start = time.perf_counter()
    with pytest.raises(InputError) as caught:
        document.read(path.name)
    assert [str(p) for p in caught.value.problems] == expected(path.name)
    assert_placed(caught.value)
    assert time.perf_counter() - start < SECONDS_PER_FILE


def assert_placed(bad: InputError) -> None:
    assert bad.problems
    for p in bad.problems:
        assert p.where.file, p
        assert p.where.line > 0, p
        assert p.where.col > 0, p
        assert p.where.key or p.code in TEXT_CODES or p.code == "type", p
        assert p.got, p
        assert p.rule, p
        assert str(p).isprintable()
        assert len(str(p)) < 1500


def test_there_are_enough_and_each_message_is_about_one() -> None:
    names = {path.name for path in curated()}
    about = {line.partition(":")[0] for line in (BAD / "messages.txt").read_text(encoding="utf-8").splitlines()}
    assert about == names
    print(f"{len(names)} curated bad netlists")
    assert len(names) >= 60
    assert document.read(GOOD).depth == 3, "what they were made from is fine"


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, code in ((tmp_path, "not-a-file"), (tmp_path / "none.json", "missing-file")):
        with pytest.raises(InputError) as caught:
            document.read(path)
        assert [p.code for p in caught.value.problems] == [code]


@pytest.mark.parametrize("name", ["cycle_of_two.json", "deep.json", "binary.json", "not_gzip.json.gz"])
def test_the_command_prints_the_same_messages(name: str) -> None:
    done = subprocess.run([sys.executable, "-m", "hwsim", "netlist", name], cwd=BAD, check=False, capture_output=True,
                          text=True, timeout=60, env={**os.environ, "PYTHONUTF8": "1"})  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"error: {line}" for line in expected(name)]


# --- mutants ----------------------------------------------------------------------------------------------------


def judge(raw: bytes, network: Netlist) -> None:
    """An accepted file is a valid network, by json and by rules written again."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(found)) == len(found), "duplicate keys"
        return dict(found)

    data = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=pairs)
    assert {"inputs", "luts", "outputs"} <= set(data) <= {"inputs", "luts", "outputs", "format", "schema_version"}
    assert data.get("format", "hwsim-netlist") == "hwsim-netlist"
    assert type(data.get("schema_version", 1)) is int
    assert data.get("schema_version", 1) == 1
    assert type(data["inputs"]) is int
    assert 1 <= data["inputs"] <= 2**20
    for i, lut in enumerate(data["luts"]):
        assert set(lut) == {"inputs", "table"}
        assert all(type(pin) is int and 0 <= pin < data["inputs"] + i for pin in lut["inputs"])
        assert len(lut["inputs"]) <= 16
        assert set(lut["table"]) <= {"0", "1"}
        assert len(lut["table"]) == 2 ** len(lut["inputs"])
    assert data["outputs"]
    assert all(type(s) is int and 0 <= s < data["inputs"] + len(data["luts"]) for s in data["outputs"])
    assert document.as_json(network) == {**data, "format": "hwsim-netlist", "schema_version": 1}


def test_no_mutant_crashes_hangs_or_slips_through(tmp_path: Path) -> None:
    rng = random.Random(6)
    larger = document.dumps(random_netlist(rng, inputs=6, luts=12, pins=4, outputs=4))
    sources = [Mutator(text, is_json=True) for text in (GOOD.read_text(encoding="utf-8"), larger)]
    file, slowest = tmp_path / "mutant.json", 0.0
    tally: Counter[str] = Counter()
    for n in range(MUTANTS):
        mutant = sources[n % 2].mutant(rng)
        file.write_bytes(mutant.raw)
        start = time.perf_counter()
        try:
            network = document.read(file)
        except InputError as bad:
            assert_placed(bad)
            tally.update({p.code for p in bad.problems})
            tally["refused"] += 1
        else:
            judge(mutant.raw, network)
            tally["accepted"] += 1
        slowest = max(slowest, time.perf_counter() - start)
    print(f"{MUTANTS} mutants of netlists, slowest {slowest:.2f} s: {dict(tally)}")
    assert slowest < SECONDS_PER_FILE
    assert tally["refused"] > MUTANTS // 2
    assert tally["accepted"] > 10
    assert tally["cycle"] + tally["order"] + tally["dangling"] > 10
