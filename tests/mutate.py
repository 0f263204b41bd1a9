"""Structure-aware mutants of good files: what a tired user, a broken tool or an attacker might hand in.

A file is taken apart into a tree whose mappings are lists of pairs (so that keys may repeat) and whose scalars are the
texts they are written as (so that `010` stays `010`), changed in one place or two, and written out again.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

UNITS = [
    "kHz",
    "MHz",
    "GHz",
    "KiB",
    "kB",
    "KB",
    "Mbit",
    "bit",
    "B",
    "GB/s",
    "us",
    "ps",
    "mW",
    "W",
    "pJ",
    "mm2",
    "mhz",
    "",
]
EXTREMES = [
    "0", "-0", "-1", "1", "2", "1e9", "1e308", "1e309", "1e-320", "-1e400", "9223372036854775807",
    "9223372036854775808", "-99999999999999999999", "9" * 400, "0.1", "0.30000000000000004", "1.0", "1E3", "NaN",
    "Infinity", "-.inf", ".nan",
]  # fmt: skip
AMBIGUOUS = [
    "010", "0x1F", "0o17", "1_000", "12:30", "yes", "off", "True", "NULL", "~", ".5", "5.", "2024-01-01", "<<", "=",
]  # fmt: skip
CHARACTERS = [
    "\x00", "\x07", "\x1b[2J", "\x7f", "\x85", "\xa0", "\u200b", "\u2028", "\u202e", "\ufeff", "\U0001f600", "é",
    "\t", "\r", "\n", "\ufffe", "\\", '"', "'", "#", ":", ": ", "{", "]", "&", "*", "!", "|", ">", "%", "@", "`",
]  # fmt: skip
TYPES = ["null", "true", "false", "[]", "{}", "[1, 2]", '{"value": 3}', '""', '"x"', "3", "-2.5"]


@dataclass
class Map:
    """A mapping as pairs; a pair's key is a text, its value a node."""

    pairs: list[tuple[str, Any]]


@dataclass
class Seq:
    """A list of nodes."""

    items: list[Any]


@dataclass
class Token:
    """A scalar as it is written; `text` says whether it was a string."""

    raw: str
    text: bool = False


Node = Map | Seq | Token


def take_apart(data: Any) -> Node:
    """The tree of plain data."""
    if isinstance(data, dict):
        return Map([(str(key), take_apart(value)) for key, value in data.items()])
    if isinstance(data, list):
        return Seq([take_apart(value) for value in data])
    return Token(json.dumps(data, ensure_ascii=False), isinstance(data, str))


def write_json(node: Node) -> str:
    """The tree as JSON text, one entry a line at the top two levels."""
    if isinstance(node, Token):
        return node.raw
    if isinstance(node, Seq):
        return "[" + ",\n".join(map(write_json, node.items)) + "]"
    return "{" + ",\n".join(f"{json.dumps(k, ensure_ascii=False)}: {write_json(v)}" for k, v in node.pairs) + "}"


def write_yaml(node: Node, depth: int = 0) -> str:
    """The tree as YAML: block mappings for the top two levels, flow for values; plain scalars where they read back."""
    if _is_block(node, depth):
        assert isinstance(node, Map)
        pairs = [(k, "\n" if _is_block(v, depth + 1) else " ", write_yaml(v, depth + 1)) for k, v in node.pairs]
        return "\n".join(f"{'  ' * depth}{_plain(key)}:{gap}{value}" for key, gap, value in pairs)
    if isinstance(node, Map):
        return "{" + ", ".join(f"{_plain(k)}: {write_yaml(v, 9)}" for k, v in node.pairs) + "}"
    if isinstance(node, Seq):
        return "[" + ", ".join(write_yaml(v, 9) for v in node.items) + "]"
    return _plain(json.loads(node.raw)) if node.text and _is_json(node.raw) else node.raw


def _is_block(node: Node, depth: int) -> bool:
    return isinstance(node, Map) and bool(node.pairs) and depth < 2 and all(key != "value" for key, _ in node.pairs)


def _is_json(raw: str) -> bool:
    try:
        return isinstance(json.loads(raw), str)
    except ValueError:
        return False


def _plain(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_. /+-]*[A-Za-z0-9_]|[A-Za-z]", text) else json.dumps(text)


# --- changes to the tree ----------------------------------------------------------------------------------------


def _places(node: Node, found: list[tuple[Map | Seq, int]]) -> list[tuple[Map | Seq, int]]:
    """Every (container, index) of a tree."""
    if isinstance(node, Map):
        for i, (_, value) in enumerate(node.pairs):
            found.append((node, i))
            _places(value, found)
    elif isinstance(node, Seq):
        for i, value in enumerate(node.items):
            found.append((node, i))
            _places(value, found)
    return found


def _get(owner: Map | Seq, i: int) -> Node:
    return owner.pairs[i][1] if isinstance(owner, Map) else owner.items[i]


def _put(owner: Map | Seq, i: int, value: Node) -> None:
    if isinstance(owner, Map):
        owner.pairs[i] = (owner.pairs[i][0], value)
    else:
        owner.items[i] = value


def _pick(rng: random.Random, root: Node, wanted: Callable[[Map | Seq, int], bool] = lambda o, i: True) -> Any:
    places = [p for p in _places(root, []) if wanted(*p)]
    return rng.choice(places) if places else None


def drop(rng: random.Random, root: Node) -> None:
    """Leave an entry out."""
    owner, i = _pick(rng, root)
    del (owner.pairs if isinstance(owner, Map) else owner.items)[i]


def duplicate(rng: random.Random, root: Node) -> None:
    """Write an entry twice."""
    owner, i = _pick(rng, root)
    entries: list[Any] = owner.pairs if isinstance(owner, Map) else owner.items
    entries.insert(rng.randrange(len(entries) + 1), copy.deepcopy(entries[i]))


def rename(rng: random.Random, root: Node) -> None:
    """Misspell a key, or give it another one's name."""
    place = _pick(rng, root, lambda owner, i: isinstance(owner, Map))
    if place:
        owner, i = place
        key = owner.pairs[i][0]
        at = rng.randrange(len(key) + 1)
        others = [
            key[:at] + key[at + 1 :],
            key[:at] + rng.choice("aeXx_9 .") + key[at:],
            key.upper(),
            rng.choice(owner.pairs)[0],
        ]
        owner.pairs[i] = (rng.choice([*others, key + "_bits", "value", "", "1", "true"]), owner.pairs[i][1])


def retype(rng: random.Random, root: Node) -> None:
    """Put a value of another kind."""
    owner, i = _pick(rng, root)
    _put(owner, i, Token(rng.choice(TYPES)))


def extreme(rng: random.Random, root: Node) -> None:
    """Put a number at or beyond a limit where a number stands."""
    place = _pick(rng, root, lambda o, i: isinstance(_get(o, i), Token) and bool(re.match(r'"?[-0-9]', _get(o, i).raw)))
    if place:
        number = rng.choice(EXTREMES)
        old = _get(*place)
        quantity = re.match(r'"(-?[0-9.]+)( ?[A-Za-z].*)"', old.raw)
        _put(*place, Token(f'"{number}{quantity[2]}"', True) if quantity and rng.random() < 0.7 else Token(number))


def ambiguous(rng: random.Random, root: Node) -> None:
    """Put a scalar that YAML readers disagree about."""
    owner, i = _pick(rng, root)
    _put(owner, i, Token(rng.choice(AMBIGUOUS)))


def unit(rng: random.Random, root: Node) -> None:
    """Swap a quantity's unit."""
    place = _pick(rng, root, lambda o, i: bool(re.match(r'"-?[0-9.]+ ?[A-Za-z]', getattr(_get(o, i), "raw", ""))))
    if place:
        number = re.match(r'"(-?[0-9.]+)', _get(*place).raw)
        assert number
        _put(*place, Token(f'"{number[1]} {rng.choice(UNITS)}"', True))


def swap(rng: random.Random, root: Node) -> None:
    """Exchange two values."""
    first, second = _pick(rng, root), _pick(rng, root)
    a, b = copy.deepcopy(_get(*first)), copy.deepcopy(_get(*second))
    _put(*first, b)
    _put(*second, a)


def shuffle(rng: random.Random, root: Node) -> None:
    """Reorder a list or a mapping."""
    owner, _ = _pick(rng, root)
    rng.shuffle(owner.pairs if isinstance(owner, Map) else owner.items)


def character(rng: random.Random, root: Node) -> None:
    """Put a strange character into a text, escaped or raw."""
    place = _pick(rng, root, lambda o, i: isinstance(_get(o, i), Token) and _get(o, i).text)
    if place:
        text = json.loads(_get(*place).raw)
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice([*CHARACTERS, "\ud800"]) + text[at:]
        _put(*place, Token(json.dumps(text, ensure_ascii=rng.random() < 0.5 or "\ud800" in text)))


def long(rng: random.Random, root: Node) -> None:
    """Put a very long text."""
    owner, i = _pick(rng, root)
    _put(owner, i, Token('"' + rng.choice(["x", "9", "n+", " ", "("]) * rng.choice([201, 1000, 50_000]) + '"', True))


def deep(rng: random.Random, root: Node) -> None:
    """Nest a value deeply."""
    owner, i = _pick(rng, root)
    depth = rng.choice([3, 31, 40, 2000])
    opening, closing = rng.choice([("[", "]"), ('{"a": ', "}"), ('{"value": ', "}")])
    _put(owner, i, Token(opening * depth + "1" + closing * depth))


def reference(rng: random.Random, root: Node) -> None:
    """Put an anchor, an alias or a tag."""
    owner, i = _pick(rng, root)
    old = _get(owner, i)
    raw = old.raw if isinstance(old, Token) else "1"
    _put(
        owner,
        i,
        Token(rng.choice([f"&a {raw}", "*a", f"!!str {raw}", "!!python/name:os.system", f"!x {raw}", "&a [*a]"])),
    )


TREE_CHANGES = [
    drop, duplicate, rename, retype, extreme, ambiguous, unit, swap, shuffle, character, long, deep, reference,
]  # fmt: skip


# --- changes to the text ----------------------------------------------------------------------------------------


def cut(rng: random.Random, raw: bytes) -> bytes:
    """Lose the end."""
    return raw[: rng.randrange(len(raw))]


def lines(rng: random.Random, raw: bytes) -> bytes:
    """Lose, repeat or exchange lines."""
    parts = raw.split(b"\n")
    i, j = rng.randrange(len(parts)), rng.randrange(len(parts))
    action = rng.randrange(3)
    if action == 0:
        del parts[i]
    elif action == 1:
        parts.insert(j, parts[i])
    else:
        parts[i], parts[j] = parts[j], parts[i]
    return b"\n".join(parts)


def insert(rng: random.Random, raw: bytes) -> bytes:
    """Put a strange character anywhere."""
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.choice(CHARACTERS).encode() + raw[at:]


def flip(rng: random.Random, raw: bytes) -> bytes:
    """Change one byte to any other."""
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]


def indent(rng: random.Random, raw: bytes) -> bytes:
    """Indent a line by one space or a tab, or take a space away."""
    parts = raw.split(b"\n")
    i = rng.randrange(len(parts))
    parts[i] = rng.choice([b" " + parts[i], b"\t" + parts[i], parts[i].removeprefix(b" ")])
    return b"\n".join(parts)


def encoding(rng: random.Random, raw: bytes) -> bytes:
    """Other line ends, a byte-order mark, another encoding."""
    text = raw.decode("utf-8", "replace")
    others = [
        raw.replace(b"\n", b"\r\n"),
        raw.replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + raw,
        text.encode("utf-16"),
        text.encode("latin-1", "replace") + b"\n#\xe9",
        raw + b"\n---\n" + raw,
        raw + b"\0",
    ]
    return rng.choice(others)


TEXT_CHANGES = [cut, lines, insert, flip, indent, encoding]


# --- mutants ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    """One changed file and the names of the changes made to it."""

    changes: tuple[str, ...]
    raw: bytes


class Mutator:
    """Makes mutants of one good file."""

    def __init__(self, text: str, *, is_json: bool) -> None:
        self.text = text
        self.write = write_json if is_json else write_yaml
        data = json.loads(text) if is_json else yaml.safe_load(text)
        self.root = take_apart(data)

    def mutant(self, rng: random.Random) -> Mutant:
        """One mutant: one change in four of five, two in the others."""
        names: list[str] = []
        if rng.random() < 0.7:
            root = copy.deepcopy(self.root)
            for _ in range(1 if rng.random() < 0.8 else 2):
                change = rng.choice(TREE_CHANGES)
                if _places(root, []):
                    change(rng, root)
                    names.append(change.__name__)
            raw = self.write(root).encode("utf-8", "surrogatepass")
        else:
            raw = self.text.encode()
        if not names or rng.random() < 0.1:
            text_change = rng.choice(TEXT_CHANGES)
            raw = text_change(rng, raw or b"\n")
            names.append(text_change.__name__)
        return Mutant(tuple(names), raw)
