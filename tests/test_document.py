"""YAML and JSON as data with places: what is read, what is refused, and where the refusal points."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hwsim.document import (
    MAX_DEPTH,
    MAX_YAML_BYTES,
    ScalarError,
    dotted,
    parse_json,
    parse_yaml,
    plain_scalar,
    read_json,
    read_yaml,
)
from hwsim.errors import InputError

YAML = """\
# a comment
model: optimus
clock: {value: 800 MHz, range: [1, 2.5]}
list:
  - one
  - two: 1e9
    three: false
nothing:
text: "010"
"""


def problems(text: str, read: Any = parse_yaml) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(text, "f")
    return [str(p) for p in caught.value.problems]


def test_yaml_data_and_places() -> None:
    document = parse_yaml(YAML, "d.yaml")
    assert document.data == {
        "model": "optimus",
        "clock": {"value": "800 MHz", "range": [1, 2.5]},
        "list": ["one", {"two": 1e9, "three": False}],
        "nothing": None,
        "text": "010",
    }
    places = {
        ("model",): (2, 8, "model"),
        ("clock", "range", 1): (3, 36, "clock.range[1]"),
        ("list", 1, "three"): (7, 12, "list[1].three"),
        ("clock", "evidence"): (3, 8, "clock.evidence"),
        (): (2, 1, ""),
    }
    for path, (line, col, key) in places.items():
        where = document.where(path)
        assert (where.file, where.line, where.col, where.key) == ("d.yaml", line, col, key)
    assert document.where(("list", 1, "three"), at_key=True).col == 5


def test_json_data_and_places() -> None:
    text = '{"a": [1, {"b": "x",\n  "c": 2.5}], "d": null}'
    document = parse_json(text, "d.json")
    assert document.data == {"a": [1, {"b": "x", "c": 2.5}], "d": None}
    assert str(document.where(("a", 1, "c"))) == "d.json:2:8"
    assert str(document.where(("a", 1, "c"), at_key=True)) == "d.json:2:3"
    assert str(document.where(("d", "missing"))) == "d.json:2:20"


SCALARS = {
    "1024": 1024, "-5": -5, "+5": 5, "0": 0, "1e9": 1e9, "1.5": 1.5, "2E-3": 0.002, "true": True, "false": False,
    "null": None, "~": None, "": None, "800 MHz": "800 MHz", "45nm": "45nm", "1.2.3": "1.2.3", "lpddr4-3200":
    "lpddr4-3200", "n": "n", "y": "y", "e": "e", "2x": "2x", "a:b": "a:b", "9223372036854775807": 2**63 - 1,
}  # fmt: skip

AMBIGUOUS = [
    "010", "0o17", "0x1F", "0b11", "1_000", "12:30", "1:30:00", "190:20:30.15", "yes", "No", "ON", "off", "True",
    "FALSE", ".5", "5.", "1e", "1.e5", "2020-01-01", "2001-12-14t21:59:43.10-05:00", "Null", "NULL", "=", "<<", "-010",
    "00", "0.5_0", "+0x1",
]  # fmt: skip

NOT_NUMBERS = [".inf", "-.INF", "inf", "nan", ".NaN", "Infinity", "1e999", "-1e400", "1e-400"]


@pytest.mark.parametrize("text", SCALARS)
def test_plain_scalars(text: str) -> None:
    value = plain_scalar(text)
    assert value == SCALARS[text]
    assert type(value) is type(SCALARS[text])


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_ambiguous_scalars_are_refused(text: str) -> None:
    with pytest.raises(ScalarError) as caught:
        plain_scalar(text)
    assert caught.value.code == "ambiguous"
    assert text in caught.value.remedy


@pytest.mark.parametrize("text", NOT_NUMBERS)
def test_numbers_are_finite(text: str) -> None:
    with pytest.raises(ScalarError) as caught:
        plain_scalar(text)
    assert caught.value.code == "not-finite"


@pytest.mark.parametrize("text", ["9223372036854775808", "-9223372036854775808", "9" * 5000])
def test_integers_fit_64_bits(text: str) -> None:
    with pytest.raises(ScalarError) as caught:
        plain_scalar(text)
    assert caught.value.code == "too-large"


@given(st.text("0123456789.:-+eExXoObB_ynosfalrutNYOSTF~", min_size=1, max_size=12))
def test_where_yaml_1_1_reads_no_text_neither_do_we_silently(text: str) -> None:
    """An independent reader (PyYAML's resolver) agrees with every plain scalar we accept, or we refuse it.

    The one difference meant: `1e9` is a number, which PyYAML reads as a text.
    """
    resolver = yaml.SafeLoader("")
    tag = resolver.resolve(yaml.ScalarNode, text, (True, False)).rpartition(":")[2]
    try:
        value = plain_scalar(text)
    except ScalarError:
        return
    kinds = {"int": int, "float": float, "bool": bool, "null": type(None), "str": str}
    assert tag in kinds
    if tag == "str" and isinstance(value, float):
        assert "e" in text.lower()
    else:
        assert isinstance(value, kinds[tag])


YAML_REFUSED = {
    "a: 1\nb: 2\na: 3\n": "f:3:1: [duplicate-key] a: got 'a'; the key stands at line 1 already. Keep one.",
    "a: &x 1\n": "f:1:4: [anchor] a: got '&x'; anchors are not read. Remove it.",
    "a: *x\n": "f:1:4: [alias] a: got '*x'; aliases are not read. Write the value out.",
    "a: !!int 3\n": "f:1:4: [tag] a: got 'tag:yaml.org,2002:int'; tags are not read. Remove it.",
    "a: !run {b: 1}\n": "f:1:4: [tag] a: got '!run'; tags are not read. Remove it.",
    "a: 1\n---\nb: 2\n": "f:2:1: [syntax] got a second document; a file holds one YAML document. Split it.",
    "%YAML 1.1\n---\na: 1\n": "f:1:1: [syntax] got a % directive; directives are not read. Remove the line.",
    "1: x\n": "f:1:1: [key] 1: got '1'; keys are text. Quote it: \"1\".",
    "? \n: x\n": "f:1:2: [key] '': got ''; keys are text. Write a key.",
    "? [a]\n: 1\n": "f:1:3: [key] got a list of 0; keys are plain text.",
    "a: [1, 2\n": "f:2:1: [syntax] got the end of the text; YAML: did not find expected ',' or ']'. "
    "Check the indentation, quotes and colons of this line and the one before.",
    "a: b: c\n": "f:1:5: [syntax] got 'a: b: c'; YAML: mapping values are not allowed in this context. "
    "Quote a text that holds a colon and a space.",
    "a:\n\t- b\n": "f:2:1: [tab] got a tab; YAML readers disagree about tabs. Write spaces.",
    "a: 1\t# b\n": "f:1:5: [tab] got a tab; YAML readers disagree about tabs. Write spaces.",
    "": "f:1:1: [empty] got an empty file; the file must say something.",
    "# only this\n": "f:1:1: [empty] got an empty file; the file must say something.",
    "a: x\x00\n": "f:1:5: [character] got U+0000; text may hold no control, reordering or unpaired characters. "
    "Remove it.",
    "a: x\r": "f:1:5: [character] got U+000D; text may hold no control, reordering or unpaired characters. Remove it.",
    'a: "\\e[31m"\n': "f:1:4: [character] a: got U+001B; text may hold no control, reordering or unpaired "
    "characters. Remove it.",
    "a: \u202eb\n": "f:1:4: [character] got U+202E; text may hold no control, reordering or unpaired characters. "
    "Remove it.",
    "[" * 100: f"f:1:{MAX_DEPTH + 1}: [too-deep] [0][0][0][0]: got one level more; values nest at most "
    f"{MAX_DEPTH} deep.",
}


@pytest.mark.parametrize("text", YAML_REFUSED)
def test_yaml_traps_are_refused_with_their_place(text: str) -> None:
    assert problems(text) == [YAML_REFUSED[text]]


def test_every_problem_of_a_yaml_file_is_reported() -> None:
    assert [line.split(":")[1] for line in problems("a: 010\nb: yes\nc: 1\nd: .inf\nc: 2\n")] == ["1", "2", "4", "5"]


JSON_REFUSED = {
    '{"a": 1,\n "a": 2}': "f:2:2: [duplicate-key] a: got 'a'; the key stands at line 1 already. Keep one.",
    '{"a": NaN}': "f:1:7: [not-finite] a: got 'NaN'; numbers are finite. Write a number.",
    '{"a": [0, -Infinity]}': "f:1:11: [not-finite] a[1]: got '-Infinity'; numbers are finite. Write a number.",
    '{"a": 1e999}': "f:1:7: [not-finite] a: got '1e999'; the number must fit a 64-bit float.",
    '{"a": 12345678901234567890}': "f:1:7: [too-large] a: got '12345678901234567890'; integers lie within "
    "9223372036854775807 of zero.",
    '{"a": "\\ud800"}': "f:1:7: [character] a: got U+D800; text may hold no control, reordering or unpaired "
    "characters. Remove it.",
    '{"a": "\\u001b"}': "f:1:7: [character] a: got U+001B; text may hold no control, reordering or unpaired "
    "characters. Remove it.",
    '{"a": "x\\r"}': "f:1:7: [character] a: got U+000D; text may hold no control, reordering or unpaired characters. "
    "Remove it.",
    '{"a": 1': "f:1:8: [syntax] got '{\"a\": 1'; JSON: expecting ',' delimiter. Check the quotes, commas and "
    "brackets of this line and the one before.",
    '{"a": 1e999, "b": &x 1}': 'f:1:19: [syntax] got \'{"a": 1e999, "b": &x 1}\'; JSON: expecting value. Check the '
    "quotes, commas and brackets of this line and the one before.",
    "{} {}": "f:1:4: [syntax] got '{} {}'; JSON: extra data. Check the quotes, commas and brackets of this line and "
    "the one before.",
    " \n": "f:1:1: [empty] got an empty file; the file must say something.",
    "[" * 40 + "]" * 40: f"f:1:{MAX_DEPTH + 1}: [too-deep] [0][0][0][0]: got one level more; values nest at most "
    f"{MAX_DEPTH} deep.",
    "[" * 100_000 + "]" * 100_000: f"f:1:{MAX_DEPTH + 1}: [too-deep] [0][0][0][0]: got one level more; values nest "
    f"at most {MAX_DEPTH} deep.",
}


@pytest.mark.parametrize("text", JSON_REFUSED, ids=lambda text: text[:20])
def test_json_traps_are_refused_with_their_place(text: str) -> None:
    assert problems(text, parse_json) == [JSON_REFUSED[text]]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abc é{}[]:,\"\\/ \n", max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab\"\\:{ ", max_size=3), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def _check_places(text: str, value: Any, path: tuple[str | int, ...], document: Any) -> int:
    """At the place of each value stands text that reads back as that value."""
    where = document.where(path)
    offset = sum(len(line) + 1 for line in text.split("\n")[: where.line - 1]) + where.col - 1
    found, _ = json.JSONDecoder().raw_decode(text, offset)
    assert found == value
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return 1 + sum(_check_places(text, inner, (*path, key), document) for key, inner in entries)


@given(value=JSON_VALUES, indent=st.sampled_from([None, 0, 3]))
def test_json_places_point_at_the_values(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    document = parse_json(text, "f")
    assert document.data == value
    assert _check_places(text, value, (), document) >= 1


@given(value=JSON_VALUES)
def test_yaml_reads_what_json_writes(value: Any) -> None:
    """Flow YAML in JSON's notation is the same data (exponents are written the JSON way)."""
    assert parse_yaml(json.dumps(value), "f").data == parse_json(json.dumps(value), "f").data


def test_dotted_keys_stay_one_line() -> None:
    assert dotted(("graphs", "g", "ops", 3, "dims", "m")) == "graphs.g.ops[3].dims.m"
    assert dotted(("a.b", "c\nd", "")) == "'a.b'.'c\\nd'.''"


# --- files ------------------------------------------------------------------------------------------------------


def _message(path: Path, read: Any = read_yaml) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    return str(caught.value).replace(str(path), "FILE")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert _message(tmp_path / "no.yaml") == "FILE: [missing-file] got 'FILE'; there is no such file."
    assert _message(tmp_path) == "FILE: [not-a-file] got a directory; a file is needed here."
    os.mkfifo(tmp_path / "pipe")
    assert _message(tmp_path / "pipe") == "FILE: [not-a-file] got a device or pipe; a regular file is needed here."
    assert "[unreadable-file]" in _message(tmp_path / "a\0b")
    assert "[unreadable-file]" in _message(tmp_path / ("x" * 5000))


def test_encodings(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(b"a: 1\nb: \xc3\xa9\xff\n")
    assert _message(file) == "FILE:2:5: [encoding] got the byte 0xff; files are UTF-8. Save the file as UTF-8."
    file.write_bytes("a: 1\n".encode("utf-16"))
    assert _message(file) == "FILE:1:1: [encoding] got UTF-16; files are UTF-8. Save the file as UTF-8."
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    document = read_yaml(file)
    assert document.data == {"a": 1, "b": 2}
    assert (document.where(("b",)).line, document.where(("b",)).col) == (2, 4)
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n')
    assert read_json(file).data == {"a": 1}


def test_size_limit(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("a: " + "x" * MAX_YAML_BYTES)
    assert _message(file) == (
        f"FILE: [too-large] got more than {MAX_YAML_BYTES} bytes; "
        f"a file of this kind has at most {MAX_YAML_BYTES} bytes."
    )


HOSTILE = {
    "a long line": "a: " + "x" * 900_000,
    "many keys": "".join(f"k{i}: {i}\n" for i in range(60_000)),
    "many wrong scalars": "".join(f"k{i}: 010\n" for i in range(60_000)),
    "many duplicates": "a: 1\n" * 100_000,
    "many brackets": "[" * 900_000,
    "many braces": "{" * 900_000,
    "many dashes": "- " * 400_000,
    "many quotes": '"' * 900_000,
    "an unclosed quote": '"' + "x" * 900_000,
    "many question marks": "? " * 400_000,
    "one long number": "a: " + "9" * 900_000,
    "noise": "".join(random.Random(7).choice("{}[],:-? \n\"'#&*!|>%@`ab1") for _ in range(200_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_end_soon(name: str) -> None:
    """Each within 5 s, as data or as an InputError: nothing else, no recursion, no quadratic time."""
    for read in (parse_yaml, parse_json):
        start = time.perf_counter()
        try:
            read(HOSTILE[name], "f")
        except InputError as bad:
            assert all(p.where.line > 0 and p.where.col > 0 for p in bad.problems)
            assert len(str(bad)) < 100_000
        assert time.perf_counter() - start < 5
