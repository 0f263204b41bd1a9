"""YAML and JSON files as plain data that remembers where every value stands.

Reading never runs code and never guesses: duplicate keys, anchors, tags, non-text keys, control characters, infinite
numbers and the scalars that YAML 1.1 readers reinterpret in silence (`010`, `12:30`, `yes`) are refused, each with its
place. Data are dicts, lists, strings, integers within 64 bits, finite floats, booleans and None.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import re
import stat
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from hwsim.errors import InputError, Problem, Where, shown

Path_ = tuple[str | int, ...]
Place = tuple[int, int]

MAX_YAML_BYTES = 1 << 20
MAX_JSON_BYTES = 8 << 20
MAX_DEPTH = 32
GZIP = ".gz"
MAX_INTEGER = 2**63 - 1
MAX_PROBLEMS = 100
_LONGEST_INTEGER = len(str(-MAX_INTEGER))
_SHOWN_PART = 60
_SHOWN_PATH = 200
_SHOWN_NAMES = 400
_SHOWN_TEXT = 600

# What YAML 1.2 section 5.1 calls printable, less line breaks other than \n and the characters that reorder text.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


# --- documents --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Marks:
    """Where values and keys stand: path -> (line, column), both from 1."""

    values: dict[Path_, Place] = field(default_factory=dict)
    keys: dict[Path_, Place] = field(default_factory=dict)


class Document:
    """Plain data with the place of every value: what a YAML or JSON file says."""

    def __init__(self, data: Any, file: str, find_marks: Callable[[], Marks]) -> None:
        self.data = data
        self.file = file
        self._find_marks = find_marks

    @cached_property
    def _marks(self) -> Marks:
        return self._find_marks()

    def where(self, path: Path_ = (), *, at_key: bool = False) -> Where:
        """The place of the value at `path` (or of its key); of what encloses it where there is no such value."""
        marks = self._marks.keys if at_key else self._marks.values
        place = marks.get(path)
        rest = path
        while place is None and rest:
            rest = rest[:-1]
            place = self._marks.values.get(rest)
        line, col = place or (1, 1)
        return Where(self.file, line, col, dotted(path))

    def problem(
        self, path: Path_, code: str, got: object, rule: str, remedy: str = "", *, at_key: bool = False
    ) -> Problem:
        """A Problem about the value (or the key) at `path`; `got` is quoted as `described` does."""
        return Problem(code, self.where(path, at_key=at_key), described(got), one_line(rule), one_line(remedy))


def dotted(path: Iterable[str | int]) -> str:
    """`("ops", 3, "dims")` as `ops[3].dims`. Parts that would not read as one word are quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _plain_part(part) else shown(part))
    return text


def _plain_part(part: str) -> bool:
    return 0 < len(part) <= _SHOWN_PART and part.isprintable() and not set(part) & set(" .[]:")


def described(value: object) -> str:
    """A value as a message quotes it: containers by kind, the rest as `errors.shown`."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return shown(value)


def one_line(text: str) -> str:
    """A message's text, which may quote the user's names: unprintable characters escaped, cut to a readable length."""
    clean = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:_SHOWN_TEXT])
    return clean if len(clean) <= _SHOWN_TEXT else clean[: _SHOWN_TEXT - 3] + "..."


def nearest(word: object, known: Iterable[str]) -> str:
    """A remedy that names the known word nearest to `word`; "" when none is near."""
    from difflib import get_close_matches

    near = get_close_matches(word[:_SHOWN_PART], sorted(known), n=1) if isinstance(word, str) else []
    return f"Did you mean {near[0]}?" if near else ""


def suggestion(word: str, known: Iterable[str]) -> str:
    """A remedy that names the known word nearest to `word`, or all of them where they are few; "" otherwise."""
    names = sorted(known)
    near = nearest(word, names)
    listing = ", ".join(names)
    return near if near or not 0 < len(listing) <= _SHOWN_NAMES else f"Known: {listing}."


# --- files ------------------------------------------------------------------------------------------------------


def _refuse(file: str, code: str, got: str, rule: str, remedy: str = "") -> NoReturn:
    raise InputError((Problem(code, Where(file), got, rule, remedy),))


def read_text(path: str | Path, max_bytes: int) -> str:
    """The text of a regular UTF-8 file of at most `max_bytes`, with a byte-order mark dropped and CRLF as LF.

    Raises InputError for a file that is missing, unreadable, not regular, too large or not UTF-8.
    """
    return decoded(read_bytes(path, max_bytes), shown_path(path))


def decoded(raw: bytes, file: str) -> str:
    """UTF-8 as text, with a byte-order mark dropped and CRLF as LF. `file` names it in messages.

    Raises InputError for what is not UTF-8.
    """
    if raw.startswith(_UTF16):
        where = Where(file, 1, 1)
        raise InputError((Problem("encoding", where, "UTF-16", "files are UTF-8", "Save the file as UTF-8."),))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        line = raw.count(b"\n", 0, bad.start) + 1
        col = len(raw[raw.rfind(b"\n", 0, bad.start) + 1 : bad.start].decode("utf-8", "replace")) + 1
        where = Where(file, line, col)
        got = f"the byte 0x{raw[bad.start]:02x}"
        raise InputError((Problem("encoding", where, got, "files are UTF-8", "Save the file as UTF-8."),)) from None
    return text.replace("\r\n", "\n")


def read_bytes(path: str | Path, max_bytes: int) -> bytes:
    """The bytes of a regular file of at most `max_bytes`.

    Raises InputError for a file that is missing, unreadable, not regular or too large.
    """
    file = shown_path(path)
    try:
        mode = Path(path).stat().st_mode
        if stat.S_ISDIR(mode):
            _refuse(file, "not-a-file", "a directory", "a file is needed here")
        if not stat.S_ISREG(mode):
            _refuse(file, "not-a-file", "a device or pipe", "a regular file is needed here")
        with Path(path).open("rb") as stream:
            raw = stream.read(max_bytes + 1)
    except FileNotFoundError:
        _refuse(file, "missing-file", shown(str(path), _SHOWN_PATH), "there is no such file")
    except (OSError, ValueError) as failed:
        reason = failed.strerror if isinstance(failed, OSError) and failed.strerror else "the path is not legal"
        _refuse(file, "unreadable-file", shown(str(path), _SHOWN_PATH), f"the file cannot be read ({reason})")
    if len(raw) > max_bytes:
        _refuse(file, "too-large", f"more than {max_bytes} bytes", f"a file of this kind has at most {max_bytes} bytes")
    return raw


def shown_path(path: str | Path) -> str:
    """A path as messages and reports print it: relative where it lies below the working directory, on one line."""
    text = str(path)
    with contextlib.suppress(ValueError, OSError):
        text = str(Path(path).relative_to(Path.cwd()))
    return text if text.isprintable() else shown(text, _SHOWN_PATH)


def read_yaml(path: str | Path) -> Document:
    """The one document of a YAML file.

    Raises InputError for what `read_text` and `parse_yaml` refuse.
    """
    return parse_yaml(read_text(path, MAX_YAML_BYTES), shown_path(path))


def read_json(path: str | Path) -> Document:
    """The value in a JSON file; one whose name ends in `.gz` is decompressed, to at most MAX_JSON_BYTES.

    Raises InputError for what `read_text` and `parse_json` refuse, and for what is no whole gzip file.
    """
    file = shown_path(path)
    raw = read_bytes(path, MAX_JSON_BYTES)
    if str(path).endswith(GZIP):
        raw = _unpacked(raw, file)
    return parse_json(decoded(raw, file), file)


def packed(text: bytes, path: str | Path) -> bytes:
    """What a file of that name holds: `text`, compressed if the name ends in `.gz`. The same text, the same bytes."""
    return gzip.compress(text, mtime=0) if str(path).endswith(GZIP) else text


def _unpacked(raw: bytes, file: str) -> bytes:
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = unpacker.decompress(raw, MAX_JSON_BYTES + 1)
    except zlib.error:
        _refuse_archive(file, "other bytes", "the file is not compressed by gzip", "Drop .gz from its name.")
    if len(text) > MAX_JSON_BYTES:
        rule = f"a file of this kind has at most {MAX_JSON_BYTES} bytes of text"
        _refuse_archive(file, f"more than {MAX_JSON_BYTES} bytes", rule, code="too-large")
    if not unpacker.eof:
        _refuse_archive(file, "a cut file", "the compressed text ends too early", "Copy or compress it again.")
    if unpacker.unused_data:
        _refuse_archive(file, "more bytes", "nothing follows the compressed text", "Compress it again.")
    return text


def _refuse_archive(file: str, got: str, rule: str, remedy: str = "", code: str = "archive") -> NoReturn:
    raise InputError((Problem(code, Where(file, 1, 1), got, rule, remedy),)) from None


class _Lines:
    """Offsets in a text as (line, column)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(m.end() for m in re.finditer("\n", text))]

    def place(self, offset: int) -> Place:
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


def _check_characters(text: str, file: str) -> None:
    found = (_CONTROL if text.isascii() else _UNPRINTABLE).search(text)
    if found:
        where = Where(file, *_Lines(text).place(found.start()))
        raise InputError((_bad_character(where, found.group()),))


def _bad_character(where: Where, character: str) -> Problem:
    rule = "text may hold no control, reordering or unpaired characters"
    return Problem("character", where, f"U+{ord(character):04X}", rule, "Remove it.")


# --- scalars ----------------------------------------------------------------------------------------------------


class ScalarError(ValueError):
    """A plain scalar that could be read in more than one way, or not at all."""

    def __init__(self, code: str, rule: str, remedy: str) -> None:
        super().__init__(rule)
        self.code, self.rule, self.remedy = code, rule, remedy


_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\Z")
_BOOLEANS = re.compile(r"(?:yes|no|on|off|true|false)\Z", re.IGNORECASE)
_NULLS = re.compile(r"(?:null)\Z", re.IGNORECASE)
_NOT_FINITE = re.compile(r"[-+]?\.?(?:inf|nan|infinity)\Z", re.IGNORECASE)
_ODD_NUMBER = re.compile(
    r"""[-+]?(?:
        0[xX][0-9a-fA-F_]* | 0[bB][01_]* | 0[oO][0-7_]* |       # other bases
        0[0-9_]+(?:\.[0-9_]*)? |                                # 010 is eight to YAML 1.1
        [0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)? |           # 12:30 is 750 to YAML 1.1
        [0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)? |                  # .5, 5., 1_0.5
        [0-9][0-9_]*(?:[eE][-+]?[0-9]*)?                        # 1_000, 1e
    )\Z | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ][0-9:.+\-Zz ]*)?\Z""",
    re.VERBOSE,
)


def plain_scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted YAML scalar, of which `--set` values follow the same rules.

    Only `true` and `false` are booleans; only decimal numbers without leading zeros or underscores are numbers.
    Raises ScalarError for what YAML 1.1 and 1.2 readers disagree about.
    """
    if text in {"", "~", "null"}:
        return None
    if text in {"true", "false"}:
        return text == "true"
    if _INTEGER.match(text):
        return _bounded_integer(text)
    if _FLOAT.match(text):
        return _finite_float(text)
    _refuse_ambiguous(text)
    return text


def _refuse_ambiguous(text: str) -> None:
    if _BOOLEANS.match(text):
        raise ScalarError(
            "ambiguous", "some YAML readers take this for a boolean", f'Write true or false, or quote it: "{text}".'
        )
    if _NULLS.match(text) or text in {"=", "<<"}:
        raise ScalarError("ambiguous", "YAML readers disagree about this word", f'Quote it: "{text}".')
    if _NOT_FINITE.match(text):
        raise ScalarError("not-finite", "numbers are finite", "Write a number, or quote it if it is a text.")
    if any(c.isdigit() for c in text) and _ODD_NUMBER.match(text):
        raise ScalarError(
            "ambiguous",
            "YAML readers disagree about this number, time or date",
            f'Write a plain decimal number, or quote it if it is a text: "{text[:_SHOWN_PART]}".',
        )


def _bounded_integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER or abs(int(text)) > MAX_INTEGER:
        raise ScalarError("too-large", f"integers lie within {MAX_INTEGER} of zero", "")
    return int(text)


def _finite_float(text: str) -> float:
    value = float(text)
    lost = value == 0.0 and re.search("[1-9]", re.split("[eE]", text)[0])
    if lost or not math.isfinite(value):
        raise ScalarError("not-finite", "the number must fit a 64-bit float", "")
    return value


# --- YAML -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Frame:
    container: dict[str, Any] | list[Any]
    path: Path_
    key: str | None = None
    """Of a mapping: the key whose value comes next; None when a key does."""


class _YamlBuilder:
    """Builds data and marks from the parser's events, without recursion, collecting every problem."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.marks = Marks()
        self.problems: list[Problem] = []
        self.data: Any = None
        self.stack: list[_Frame] = []
        self.documents = 0

    def fail(self, mark: Any, code: str, got: str, rule: str, remedy: str = "", path: Path_ = ()) -> None:
        where = Where(self.file, mark.line + 1, mark.column + 1, dotted(path))
        self.problems.append(Problem(code, where, got, rule, remedy))
        if len(self.problems) >= MAX_PROBLEMS:
            raise InputError(self.problems)

    def stop(self, mark: Any, code: str, got: str, rule: str, remedy: str = "", path: Path_ = ()) -> NoReturn:
        self.fail(mark, code, got, rule, remedy, path)
        raise InputError(self.problems)

    def next_path(self) -> Path_:
        if not self.stack:
            return ()
        top = self.stack[-1]
        if isinstance(top.container, list):
            return (*top.path, len(top.container))
        return top.path if top.key is None else (*top.path, top.key)

    @property
    def wants_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].container, dict) and self.stack[-1].key is None

    def put(self, value: Any, mark: Any) -> None:
        """Store the next value at the place it belongs to."""
        path = self.next_path()
        self.marks.values[path] = (mark.line + 1, mark.column + 1)
        if not self.stack:
            self.data = value
            return
        top = self.stack[-1]
        if isinstance(top.container, list):
            top.container.append(value)
        else:
            assert top.key is not None
            top.container[top.key] = value
            top.key = None

    def document_start(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self.stop(event.start_mark, "syntax", "a second document", "a file holds one YAML document", "Split it.")
        if event.version or event.tags:
            self.stop(event.start_mark, "syntax", "a % directive", "directives are not read", "Remove the line.")

    def open(self, container: dict[str, Any] | list[Any], event: Any) -> None:
        mark, path = event.start_mark, self.next_path()
        if self.wants_key:
            self.stop(mark, "key", described(container), "keys are plain text", path=path)
        if len(self.stack) >= MAX_DEPTH:
            self.stop(mark, "too-deep", "one level more", f"values nest at most {MAX_DEPTH} deep", path=path[:4])
        self.check_plain(event)
        self.put(container, mark)
        self.stack.append(_Frame(container, path))

    def alias(self, event: Any) -> None:
        got = shown("*" + event.anchor)
        self.fail(event.start_mark, "alias", got, "aliases are not read", "Write the value out.", self.next_path())
        if self.wants_key:
            raise InputError(self.problems)
        self.put(None, event.start_mark)

    def check_plain(self, event: Any) -> None:
        """Refuse anchors and tags."""
        if event.anchor is not None:
            got = shown("&" + event.anchor)
            self.fail(event.start_mark, "anchor", got, "anchors are not read", "Remove it.", self.next_path())
        if event.tag is not None:
            self.fail(event.start_mark, "tag", shown(event.tag), "tags are not read", "Remove it.", self.next_path())

    def scalar(self, event: Any) -> None:
        self.check_plain(event)
        if self.wants_key:
            self.key(event)
        else:
            self.put(self.resolved(event, self.next_path()), event.start_mark)

    def resolved(self, event: Any, path: Path_) -> Any:
        mark = event.start_mark
        found = _UNPRINTABLE.search(event.value)
        if found:
            where = Where(self.file, mark.line + 1, mark.column + 1, dotted(path))
            self.problems.append(_bad_character(where, found.group()))
        if not event.implicit[0] or event.style not in {None, ""}:
            return event.value
        try:
            return plain_scalar(event.value)
        except ScalarError as bad:
            self.fail(mark, bad.code, shown(event.value), bad.rule, bad.remedy, path)
            return event.value

    def key(self, event: Any) -> None:
        top, mark = self.stack[-1], event.start_mark
        assert isinstance(top.container, dict)
        key = self.resolved(event, (*top.path, event.value))
        if not isinstance(key, str):
            rule, remedy = "keys are text", f'Quote it: "{event.value}".' if event.value else "Write a key."
            self.fail(mark, "key", shown(event.value), rule, remedy, (*top.path, event.value))
            key = event.value
        path = (*top.path, key)
        if key in top.container:
            line = self.marks.keys[path][0]
            self.fail(mark, "duplicate-key", shown(key), f"the key stands at line {line} already", "Keep one.", path)
        self.marks.keys.setdefault(path, (mark.line + 1, mark.column + 1))
        top.key = key

    def feed(self, event: Any, kind: str) -> None:
        if kind == "ScalarEvent":
            self.scalar(event)
        elif kind == "MappingStartEvent":
            self.open({}, event)
        elif kind == "SequenceStartEvent":
            self.open([], event)
        elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
            self.stack.pop()
        elif kind == "AliasEvent":
            self.alias(event)
        elif kind == "DocumentStartEvent":
            self.document_start(event)


def parse_yaml(text: str, file: str = "<text>") -> Document:
    """The one YAML document in `text`. `file` names it in messages.

    Raises InputError with every problem found: syntax, duplicate or non-text keys, anchors, aliases, tags, ambiguous
    scalars, numbers beyond 64 bits, nesting deeper than MAX_DEPTH, control characters, tabs.
    """
    import yaml

    text = text.replace("\r\n", "\n")
    _check_characters(text, file)
    if "\t" in text:
        where = Where(file, *_Lines(text).place(text.index("\t")))
        raise InputError((Problem("tab", where, "a tab", "YAML readers disagree about tabs", "Write spaces."),))
    builder = _YamlBuilder(file)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.feed(event, type(event).__name__)
    except yaml.MarkedYAMLError as bad:
        builder.problems.append(_syntax_problem(bad, text, file))
    except (yaml.YAMLError, RecursionError):
        _refuse(file, "syntax", "this file", "it is not YAML that can be read")
    if builder.problems:
        raise InputError(builder.problems)
    if not builder.documents:
        raise InputError((Problem("empty", Where(file, 1, 1), "an empty file", "the file must say something"),))
    return Document(builder.data, file, lambda: builder.marks)


def _syntax_problem(bad: Any, text: str, file: str) -> Problem:
    mark = bad.problem_mark or bad.context_mark
    line, col = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.split("\n")
    source = lines[line - 1] if line <= len(lines) else ""
    got = shown(source.strip()) if source.strip() else "the end of the text"
    reason = bad.problem or bad.context or "the text is not YAML"
    return Problem("syntax", Where(file, line, col), got, f"YAML: {reason}", _syntax_remedy(reason))


def _syntax_remedy(reason: str) -> str:
    if "mapping values" in reason:
        return "Quote a text that holds a colon and a space."
    return "Check the indentation, quotes and colons of this line and the one before."


# --- JSON -------------------------------------------------------------------------------------------------------


class _SuspiciousError(Exception):
    """The fast reader met something to refuse; the scanner says what and where."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _SuspiciousError
    return found


def _json_integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER or abs(int(text)) > MAX_INTEGER:
        raise _SuspiciousError
    return int(text)


def _json_float(text: str) -> float:
    try:
        return _finite_float(text)
    except ScalarError:
        raise _SuspiciousError from None


def _json_constant(text: str) -> NoReturn:
    raise _SuspiciousError


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_json_integer, parse_float=_json_float, parse_constant=_json_constant
)
_CONTROL_ESCAPE = re.compile(r"\\[ubfr]")
_JSON_TOKEN = re.compile(r'[{}\[\],:]|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s{}\[\],:"]+')


def parse_json(text: str, file: str = "<text>") -> Document:
    """The JSON value in `text`. `file` names it in messages. Places are found only when a message needs them.

    Raises InputError for syntax, duplicate keys, NaN and infinities, numbers beyond 64 bits, nesting deeper than
    MAX_DEPTH, control characters and unpaired surrogates.
    """
    text = text.replace("\r\n", "\n")
    _check_characters(text, file)
    if not text.strip():
        raise InputError((Problem("empty", Where(file, 1, 1), "an empty file", "the file must say something"),))
    scan = _JsonScan(text, file)
    try:
        data = _DECODER.decode(text)
    except json.JSONDecodeError as bad:
        raise InputError((_json_syntax_problem(bad, text, file),)) from None
    except (_SuspiciousError, RecursionError):
        _check_json_syntax(text, file)
        scan.run()
        raise InputError(scan.problems) from None
    if _CONTROL_ESCAPE.search(text) or _deeper_than(data, MAX_DEPTH):
        scan.run()
        if scan.problems:
            raise InputError(scan.problems)
    return Document(data, file, scan.run)


def _check_json_syntax(text: str, file: str) -> None:
    """Refuse text that is not JSON, up to where it nests too deeply to be read at all."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as bad:
        raise InputError((_json_syntax_problem(bad, text, file),)) from None
    except RecursionError:
        return


def _json_syntax_problem(bad: json.JSONDecodeError, text: str, file: str) -> Problem:
    line, col = _Lines(text).place(min(bad.pos, len(text)))
    source = text.split("\n")[line - 1].strip()
    got = shown(source) if source else "the end of the text"
    reason = bad.msg[0].lower() + bad.msg[1:]
    remedy = "Check the quotes, commas and brackets of this line and the one before."
    return Problem("syntax", Where(file, line, col), got, f"JSON: {reason}", remedy)


def _deeper_than(data: Any, depth: int) -> bool:
    level = [data]
    for _ in range(depth):
        level = list(
            chain.from_iterable(
                v.values() if type(v) is dict else v for v in level if type(v) is dict or type(v) is list
            )
        )
        if not level:
            return False
    return any(isinstance(v, dict | list) for v in level)


class _JsonScan:
    """A second, slower pass over valid JSON text that keeps places and finds what the fast reader refused."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.marks = Marks()
        self.problems: list[Problem] = []
        self.stack: list[_Frame] = []
        self.counts: list[int] = []
        self.done = False

    def run(self) -> Marks:
        """Scan once; the places found."""
        if not self.done:
            self.done = True
            self.lines = _Lines(self.text)
            for token in _JSON_TOKEN.finditer(self.text):
                if not self.feed(token.group(), token.start()):
                    break
        return self.marks

    def fail(self, at: int, code: str, got: str, rule: str, remedy: str, path: Path_) -> None:
        where = Where(self.file, *self.lines.place(at), dotted(path))
        self.problems.append(Problem(code, where, got, rule, remedy))

    def path(self) -> Path_:
        if not self.stack:
            return ()
        top = self.stack[-1]
        if isinstance(top.container, list):
            return (*top.path, self.counts[-1])
        return top.path if top.key is None else (*top.path, top.key)

    def feed(self, token: str, at: int) -> bool:
        """Take one token; False to stop early."""
        if token in "{[":
            return self.open(token, at)
        if token in "}]":
            self.stack.pop()
            self.counts.pop()
        elif token == ",":
            self.counts[-1] += 1
            self.stack[-1].key = None
        elif token != ":":
            self.leaf(token, at)
        return len(self.problems) < MAX_PROBLEMS

    def open(self, token: str, at: int) -> bool:
        path = self.path()
        self.marks.values[path] = self.lines.place(at)
        if len(self.stack) >= MAX_DEPTH:
            self.fail(at, "too-deep", "one level more", f"values nest at most {MAX_DEPTH} deep", "", path[:4])
            return False
        self.stack.append(_Frame({} if token == "{" else [], path))
        self.counts.append(0)
        return True

    def leaf(self, token: str, at: int) -> None:
        top = self.stack[-1] if self.stack else None
        value = self.checked(token, at)
        if top and isinstance(top.container, dict) and top.key is None:
            self.key(top, value, at)
        else:
            self.marks.values[self.path()] = self.lines.place(at)

    def key(self, top: _Frame, key: str, at: int) -> None:
        assert isinstance(top.container, dict)
        path = (*top.path, key)
        if key in top.container:
            line = self.marks.keys[path][0]
            self.fail(at, "duplicate-key", shown(key), f"the key stands at line {line} already", "Keep one.", path)
        top.container[key] = None
        self.marks.keys.setdefault(path, self.lines.place(at))
        top.key = key

    def checked(self, token: str, at: int) -> Any:
        if token.startswith('"'):
            text = json.loads(token)
            found = _UNPRINTABLE.search(text)
            if found:
                where = Where(self.file, *self.lines.place(at), dotted(self.path()))
                self.problems.append(_bad_character(where, found.group()))
            return text
        try:
            if token not in {"true", "false", "null"}:
                _bounded_integer(token) if _INTEGER.match(token) else self.float(token)
        except ScalarError as bad:
            self.fail(at, bad.code, shown(token), bad.rule, bad.remedy, self.path())
        return token

    @staticmethod
    def float(token: str) -> None:
        if _NOT_FINITE.match(token):
            raise ScalarError("not-finite", "numbers are finite", "Write a number.")
        _finite_float(token)


# --- checking a document ----------------------------------------------------------------------------------------


class Checker:
    """Collects every problem of a document while its values are read.

    Methods that read a value return None when it is wrong, after noting the problem. `path` is the place of the
    enclosing mapping; it is joined with the key only when a message needs it.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def fail(self, path: Path_, code: str, got: object, rule: str, remedy: str = "", *, at_key: bool = False) -> None:
        """Note one problem. Raises InputError once MAX_PROBLEMS are noted."""
        self.problems.append(self.document.problem(path, code, got, rule, remedy, at_key=at_key))
        if len(self.problems) >= MAX_PROBLEMS:
            self.raise_problems()

    def raise_problems(self) -> None:
        """Raise InputError if any problem was noted."""
        if self.problems:
            raise InputError(self.problems)

    def mapping(self, path: Path_, value: Any, what: str) -> dict[str, Any] | None:
        """`value` as a mapping."""
        if type(value) is dict:
            return value
        self.fail(path, "type", value, f"{what} is a mapping")
        return None

    def keys(
        self, path: Path_, value: Any, what: str, required: Sequence[str], optional: Sequence[str] = ()
    ) -> dict[str, Any] | None:
        """`value` as a mapping that has every required key and no unknown one (None only if it is no mapping)."""
        if self.mapping(path, value, what) is None:
            return None
        for key in value:
            if key not in required and key not in optional:
                remedy = suggestion(key, (*required, *optional))
                self.fail((*path, key), "unknown-key", key, f"{what} has no such key", remedy, at_key=True)
        for key in required:
            if key not in value:
                self.fail((*path, key), "missing-key", None, f"{what} needs the key {key}")
        return value  # type: ignore[no-any-return]

    def items(self, path: Path_, value: Any, what: str) -> list[Any]:
        """`value` as a list; empty when it is none."""
        if type(value) is list:
            return value
        self.fail(path, "type", value, f"{what} is a list")
        return []

    def text(self, path: Path_, raw: Mapping[str, Any], key: str, default: str | None = None) -> str | None:
        """A text; required to be non-empty where there is no default."""
        value = raw.get(key, default)
        if type(value) is str and (value or default is not None):
            return value
        if key in raw:
            self.fail((*path, key), "type", value, "a text is needed here")
        return None

    def flag(self, path: Path_, raw: Mapping[str, Any], key: str) -> bool | None:
        """true or false, false when absent."""
        value = raw.get(key, False)
        if type(value) is bool:
            return value
        self.fail((*path, key), "type", value, "true or false is needed here")
        return None

    def integer(self, path: Path_, value: Any, low: int, high: int) -> int | None:
        """`value`, which stands at `path`, as an integer from `low` to `high`."""
        if type(value) is int and low <= value <= high:
            return value
        code = "range" if type(value) is int else "type"
        self.fail(path, code, value, f"must be an integer from {low} to {high}")
        return None

    def number(self, path: Path_, value: Any) -> float | None:
        """`value`, which stands at `path`, as a number (integers stay integers)."""
        if type(value) is int or type(value) is float:
            return value
        self.fail(path, "type", value, "must be a number")
        return None

    def choice(self, path: Path_, value: Any, choices: Mapping[str, Any]) -> Any:
        """What `choices` holds under the text `value`, which stands at `path`."""
        if type(value) is str and value in choices:
            return choices[value]
        self.fail(path, "choice", value, f"must be one of {', '.join(choices)}", nearest(value, choices))
        return None


def summary_in(path: str | Path, read: Callable[[str | Path], Document]) -> str:
    """The `summary` that the file at `path` gives of itself, or what is wrong with the file."""
    try:
        data = read(path).data
    except InputError as bad:
        return f"(not readable: {bad.problems[0].rule})"
    summary = data.get("summary", "") if isinstance(data, dict) else ""
    return summary if isinstance(summary, str) else ""
