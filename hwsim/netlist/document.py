"""Netlist files: JSON in and out, plain or compressed by gzip (a name that ends in `.gz`).

    {"format": "hwsim-netlist", "schema_version": 1,
     "inputs": 4, "luts": [{"inputs": [3, 0], "table": "0110"}], "outputs": [4, 1]}

The character of `table` at place a is the output at address a, the inputs read as a binary number whose first digit is
the first of `inputs`: [a, b] with "0001" is AND. `format` and `schema_version` may be left out.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwsim.document import MAX_JSON_BYTES, Checker, Document, Path_, decoded, parse_json, read_bytes, shown_path
from hwsim.errors import InputError, Problem, Where, bad_input
from hwsim.netlist.netlist import MAX_PINS, MAX_SIGNALS, Lut, Netlist, faults_of

FORMAT = "hwsim-netlist"
SCHEMA_VERSION = 1
MAX_BYTES = MAX_JSON_BYTES
"""Of the text, whether compressed or not: 25,000 LUTs of 8 inputs."""

NETLIST_KEYS = ("inputs", "luts", "outputs"), ("format", "schema_version")
LUT_KEYS = ("inputs", "table"), ()
_SIGNALS = "Input s is signal s, and LUT i is signal inputs + i."
_NOT_A_BIT = re.compile("[^01]")


# --- reading ----------------------------------------------------------------------------------------------------


def read(path: str | Path) -> Netlist:
    """The network in a file; `.gz` files are decompressed, to at most MAX_BYTES.

    Raises InputError with every problem and its place.
    """
    file = shown_path(path)
    raw = read_bytes(path, MAX_BYTES)
    if str(path).endswith(".gz"):
        raw = _decompressed(raw, file)
    return from_document(parse_json(decoded(raw, file), file))


def loads(text: str, file: str = "<text>") -> Netlist:
    """The network in a JSON text. `file` names it in messages. Raises InputError as `read` does."""
    return from_document(parse_json(text, file))


def _decompressed(raw: bytes, file: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = unpacker.decompress(raw, MAX_BYTES + 1)
    except zlib.error:
        raise _bad_archive(
            file, "other bytes", "the file is not compressed by gzip", "Drop .gz from its name."
        ) from None
    if len(text) > MAX_BYTES:
        raise _bad_archive(file, f"more than {MAX_BYTES} bytes", f"a netlist has at most {MAX_BYTES} bytes of text")
    if not unpacker.eof:
        raise _bad_archive(file, "a cut file", "the compressed text ends too early", "Copy or compress it again.")
    if unpacker.unused_data:
        raise _bad_archive(file, "more bytes", "nothing follows the compressed text", "Compress it again.")
    return text


def _bad_archive(file: str, got: str, rule: str, remedy: str = "") -> InputError:
    code = "too-large" if got.startswith("more than") else "archive"
    return InputError((Problem(code, Where(file, 1, 1), got, rule, remedy),))


def from_document(document: Document, at: Path_ = ()) -> Netlist:
    """The network that a JSON document holds at the path `at`, which other formats may embed.

    Raises InputError with every problem and its place.
    """
    check = Checker(document)
    data = document.data
    for part in at:
        data = data[part]
    raw = check.keys(at, data, "a netlist", *NETLIST_KEYS)
    check.raise_problems()
    assert raw is not None
    _check_format(check, at, raw)
    inputs = check.integer((*at, "inputs"), raw["inputs"], 1, MAX_SIGNALS)
    entries = check.items((*at, "luts"), raw["luts"], "luts")
    luts = [_lut(check, (*at, "luts", i), entry) for i, entry in enumerate(entries)]
    outputs = _signals(check, (*at, "outputs"), raw["outputs"], "outputs")
    check.raise_problems()
    assert inputs is not None
    found = [lut for lut in luts if lut is not None]
    for fault in faults_of(inputs, [lut.pins for lut in found], outputs):
        check.fail((*at, *fault.path), fault.code, fault.got, fault.rule, fault.remedy)
    check.raise_problems()
    return Netlist(inputs, tuple(found), tuple(outputs))


def _check_format(check: Checker, at: Path_, raw: dict[str, Any]) -> None:
    if raw.get("format", FORMAT) != FORMAT:
        check.fail((*at, "format"), "format", raw["format"], f"must be {FORMAT}", "Leave it out if it is a netlist.")
    version = raw.get("schema_version", SCHEMA_VERSION)
    if type(version) is not int or version != SCHEMA_VERSION:
        rule = f"this version of hwsim reads schema_version {SCHEMA_VERSION}"
        check.fail((*at, "schema_version"), "schema", version, rule, "Leave it out, or write the network anew.")


def _lut(check: Checker, path: Path_, entry: Any) -> Lut | None:
    noted = len(check.problems)
    raw = check.keys(path, entry, "a LUT", *LUT_KEYS)
    if raw is None or not raw.keys() >= {"inputs", "table"}:
        return None
    pins = _signals(check, (*path, "inputs"), raw["inputs"], "inputs")
    if len(pins) > MAX_PINS:
        rule = f"a LUT has at most {MAX_PINS} inputs"
        check.fail((*path, "inputs"), "range", pins, rule, "Make it of several LUTs.")
    if len(check.problems) > noted:
        return None
    table = _table(check, (*path, "table"), raw["table"], len(pins))
    return None if table is None else Lut(tuple(pins), table)


def _signals(check: Checker, path: Path_, value: Any, what: str) -> list[int]:
    """A list of signals; what is none is noted and left out."""
    found = check.items(path, value, what)
    for i, signal in enumerate(found):
        if type(signal) is not int:
            check.fail((*path, i), "type", signal, "a signal is an integer from 0", _SIGNALS)
        elif signal < 0:
            check.fail((*path, i), "range", signal, "signals are numbered from 0", _SIGNALS)
    return [signal for signal in found if type(signal) is int]


def _table(check: Checker, path: Path_, value: Any, pins: int) -> int | None:
    bits = 1 << pins
    if type(value) is not str:
        check.fail(path, "type", value, "a table is a text of 0 and 1", 'Quote it: "0110".')
        return None
    odd = _NOT_A_BIT.search(value)
    if odd:
        rule = f"a table holds 0 and 1 alone, not {odd.group()!r} (character {odd.start() + 1})"
        check.fail(path, "table", value, rule, "Write one 0 or 1 an address, without blanks.")
        return None
    if len(value) != bits:
        rule = f"a LUT of {pins} inputs has a table of {bits} characters, not {len(value)}"
        check.fail(path, "length", value, rule, _length_remedy(len(value)))
        return None
    return int(value[::-1], 2)


def _length_remedy(length: int) -> str:
    pins = length.bit_length() - 1
    if length < 1 or length != 1 << pins or pins > MAX_PINS:
        return "Write one 0 or 1 an address, address 0 first."
    return f"A table of {length} is one of {pins} inputs."


# --- writing ----------------------------------------------------------------------------------------------------


def dumps(netlist: Netlist) -> str:
    """The JSON text of a network, one LUT a line: the same network, the same text."""
    return "\n".join(_lines(netlist)) + "\n"


def as_json(netlist: Netlist) -> dict[str, Any]:
    """The network as plain data."""
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "inputs": netlist.inputs,
        "luts": [{"inputs": list(lut.pins), "table": lut.bits()} for lut in netlist.luts],
        "outputs": list(netlist.outputs),
    }


def _lines(netlist: Netlist) -> Iterator[str]:
    yield f'{{"format": "{FORMAT}", "schema_version": {SCHEMA_VERSION},'
    yield f' "inputs": {netlist.inputs},'
    rows = [f'  {{"inputs": {list(lut.pins)}, "table": "{lut.bits()}"}}' for lut in netlist.luts]
    yield ' "luts": [' + ("\n" + ",\n".join(rows) if rows else "") + "],"
    yield f' "outputs": {json.dumps(netlist.outputs)}}}'


def write(netlist: Netlist, path: str | Path) -> None:
    """Write a network to `path`, compressed if its name ends in `.gz`: the same network, the same bytes.

    Raises InputError for a place that cannot be written, and for a network whose text no reader would take.
    """
    text = dumps(netlist).encode()
    if len(text) > MAX_BYTES:
        raise bad_input("too-large", f"{len(text)} bytes", f"a netlist file has at most {MAX_BYTES} bytes of text")
    raw = gzip.compress(text, mtime=0) if str(path).endswith(".gz") else text
    try:
        Path(path).write_bytes(raw)
    except (OSError, ValueError) as failed:
        reason = getattr(failed, "strerror", None) or "the path is not legal"
        raise bad_input("unwritable-file", shown_path(path), f"the file cannot be written ({reason})") from None
