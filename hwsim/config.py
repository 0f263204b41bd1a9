"""Design files: YAML to a frozen dataclass, with the place, the source and the range of every value.

A model's `Design` is a frozen dataclass of int, float, bool and IntEnum fields, and of further such dataclasses. The
YAML key of a field is its name less its unit suffix (`clock_khz` is `clock: 800 MHz`). A value is written plainly, or
as a mapping {value, source, evidence, range}; `range` is where the truth is thought to lie. Problems are reported
together: first all those of the YAML, then all those of the values.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from hwsim.document import (
    Checker,
    Document,
    Path_,
    ScalarError,
    described,
    dotted,
    nearest,
    plain_scalar,
    read_yaml,
    shown_path,
    suggestion,
    summary_in,
)
from hwsim.errors import InputError, Problem, Where, bad_input, shown
from hwsim.parts import DEFAULT_TABLES, TABLES, tables_of
from hwsim.units import (
    QuantityError,
    bare_name,
    dimension_of,
    format_quantity,
    missing_unit,
    parse_integer,
    parse_number,
    unit_of,
)

if TYPE_CHECKING:
    from hwsim.model import Model
    from hwsim.result import DesignValue

OWN_KEYS = ("model", "summary")
"""Keys of every design file, whatever its model, beside those of the tables that its model's designs name."""

RESERVED_KEYS = (*OWN_KEYS, *TABLES)
"""Keys that no field of a Design may have."""

EVIDENCE = ("verified", "computed", "simulated", "recalled", "assumed")
"""How much a value's source is worth, from read in the source itself to our own choice."""

VALUE_KEYS = ("value", "source", "evidence", "range")
DEFAULT_PLACE = "default"


@dataclass(frozen=True, slots=True)
class Range:
    """The legal values of a number field, both ends included: `Annotated[int, Range(1, 65536)]`."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Doc:
    """One line about a field, for `explain`, the JSON Schema and error messages."""

    text: str


# --- what a Design's fields are ---------------------------------------------------------------------------------


class _Required:
    """Stands for the default of a field that has none."""


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of a design: its YAML path, the field names that lead to it, and what it may be."""

    path: tuple[str, ...]
    fields: tuple[str, ...]
    kind: type
    range: Range | None
    doc: str
    default: object = REQUIRED

    @property
    def name(self) -> str:
        """The field's own name, whose suffix is its unit."""
        return self.fields[-1]

    @property
    def key(self) -> str:
        """The dotted YAML key."""
        return dotted(self.path)


Tree = dict[str, "Leaf | Tree"]


@lru_cache(maxsize=64)
def describe(design: type) -> Tree:
    """The fields of a Design as a tree by YAML key.

    Raises TypeError, for the model's author, for a field that no YAML can express.
    """
    tree = _describe(design, (), (), None)
    clash = set(tree) & set(RESERVED_KEYS)
    if clash:
        raise TypeError(f"{design.__qualname__}: the keys {sorted(clash)} belong to every design file")
    return tree


def _describe(design: type, path: tuple[str, ...], fields: tuple[str, ...], given: object) -> Tree:
    """The tree of one dataclass; `given` is the instance that is the default of the field it sits in."""
    _check_dataclass(design)
    hints = typing.get_type_hints(design, include_extras=True)
    tree: Tree = {}
    for f in dataclasses.fields(design):
        kind, extras = _unwrapped(hints[f.name])
        key = f.name if dataclasses.is_dataclass(kind) else bare_name(f.name)
        if key in tree:
            raise TypeError(f"{design.__qualname__}: two fields share the YAML key {key!r}; rename {f.name}")
        default = _default(f, given)
        if dataclasses.is_dataclass(kind):
            outer = None if default is REQUIRED else default
            tree[key] = _describe(kind, (*path, key), (*fields, f.name), outer)
        else:
            tree[key] = _leaf(design, (*path, key), (*fields, f.name), kind, extras, default)
    return tree


def _check_dataclass(design: type) -> None:
    params = getattr(design, "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise TypeError(f"{design.__qualname__} must be a frozen dataclass")


def _unwrapped(hint: Any) -> tuple[type, tuple[object, ...]]:
    if typing.get_origin(hint) is Annotated:
        kind, *extras = typing.get_args(hint)
        return kind, tuple(extras)
    return hint, ()


def _default(f: dataclasses.Field[Any], given: object) -> object:
    if given is not None:
        return getattr(given, f.name)
    if f.default is not dataclasses.MISSING:
        return f.default
    if f.default_factory is not dataclasses.MISSING:
        return f.default_factory()
    return REQUIRED


def _leaf(
    design: type, path: tuple[str, ...], fields: tuple[str, ...], kind: type, extras: Sequence[object], default: object
) -> Leaf:
    if kind not in (int, float, bool) and not (isinstance(kind, type) and issubclass(kind, IntEnum)):
        raise TypeError(f"{design.__qualname__}.{fields[-1]}: a field is int, float, bool, IntEnum or a dataclass")
    limits = next((e for e in extras if isinstance(e, Range)), None)
    doc = next((e.text for e in extras if isinstance(e, Doc)), "")
    return Leaf(path, fields, kind, limits, doc, default)


def leaves(tree: Tree) -> Iterator[Leaf]:
    """Every value of a design, in the order of its fields."""
    for node in tree.values():
        if isinstance(node, Leaf):
            yield node
        else:
            yield from leaves(node)


# --- reading one value ------------------------------------------------------------------------------------------


class _ValueError(ValueError):
    """A raw value that a leaf cannot take."""

    def __init__(self, code: str, rule: str, remedy: str = "") -> None:
        super().__init__(rule)
        self.code, self.rule, self.remedy = code, rule, remedy


def convert(leaf: Leaf, raw: object) -> Any:
    """The field value that a YAML scalar stands for. Raises a ValueError with code, rule and remedy."""
    if issubclass(leaf.kind, IntEnum):
        return _member(leaf.kind, raw)
    if leaf.kind is bool:
        if type(raw) is bool:
            return raw
        raise _ValueError("type", "must be true or false")
    value = _number(leaf, raw)
    limits = leaf.range
    if limits and not limits.low <= value <= limits.high:
        raise _ValueError("range", _range_rule(leaf, limits))
    return value


def _member(kind: type[IntEnum], raw: object) -> IntEnum:
    names = {name.lower(): member for name, member in kind.__members__.items()}
    if isinstance(raw, str) and raw in names:
        return names[raw]
    raise _ValueError("choice", f"must be one of {', '.join(names)}", nearest(raw, names))


def _number(leaf: Leaf, raw: object) -> int | float:
    dimension = dimension_of(leaf.name)
    if dimension is None:
        return _plain_number(leaf, raw)
    if isinstance(raw, str):
        return parse_integer(raw, leaf.name) if leaf.kind is int else parse_number(raw, leaf.name)
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        raise missing_unit(raw, dimension)
    raise _ValueError("type", f"must be a quantity with a unit, such as 1 {dimension.typical}")


def _plain_number(leaf: Leaf, raw: object) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        remedy = "Write it without quotes." if isinstance(raw, str) and _reads_as_number(raw) else ""
        raise _ValueError("type", f"must be {_kind_text(leaf)}", remedy)
    if leaf.kind is float:
        return float(raw)
    if isinstance(raw, float) and (not raw.is_integer() or abs(raw) > 2**53):
        raise _ValueError("type", f"must be {_kind_text(leaf)}")
    return int(raw)


def _reads_as_number(text: str) -> bool:
    value = _scalar_or_none(text)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind_text(leaf: Leaf) -> str:
    what = "an integer" if leaf.kind is int else "a number"
    return f"{what} from {leaf.range.low} to {leaf.range.high}" if leaf.range else what


def _range_rule(leaf: Leaf, limits: Range) -> str:
    if dimension_of(leaf.name) is None:
        return f"must be {_kind_text(leaf)}"
    return f"must lie from {format_quantity(limits.low, leaf.name)} to {format_quantity(limits.high, leaf.name)}"


def plain(value: object) -> object:
    """A field value as JSON and reports show it: enum members by lower-case name, the rest unchanged."""
    return value.name.lower() if isinstance(value, IntEnum) else value


# --- reading a file ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Given:
    """One value as given by the user: raw, converted, and where it came from."""

    value: Any
    place: str
    where: Where
    source: str = ""
    evidence: str = ""
    low: Any = None
    high: Any = None


class _DesignReader:
    """Collects the values of a design document and of overrides; notes every problem."""

    def __init__(self, document: Document, tree: Tree, tables: Sequence[str]) -> None:
        self.check = Checker(document)
        self.document, self.tree = document, tree
        self.texts = (*OWN_KEYS, *tables)
        self.given: dict[tuple[str, ...], Given] = {}
        self.misnamed: set[tuple[str, ...]] = set()

    # The file

    def file(self) -> None:
        """Every key of the document."""
        raw = self.check.mapping((), self.document.data, "a design")
        if raw is None:
            raise InputError(self.check.problems)
        for key in self.texts:
            if key in raw:
                self.text_value(key, raw[key])
        self.group((), {k: v for k, v in raw.items() if k not in self.texts}, self.tree)

    def group(self, path: tuple[str, ...], raw: Mapping[str, Any], tree: Tree) -> None:
        for key, value in raw.items():
            here = (*path, key)
            node = tree.get(key)
            if node is None:
                self.unknown(here, tree, value)
            elif isinstance(node, Leaf):
                self.leaf(here, value, node)
            else:
                inner = self.check.mapping(here, value, "a group of values")
                self.group(here, inner or {}, node)

    def unknown(self, path: tuple[str, ...], tree: Tree, raw: Any) -> None:
        rule, remedy = unknown_key(path[-1], tree, self.texts if len(path) == 1 else (), raw=raw)
        self.check.fail(path, "unknown-key", path[-1], rule, remedy, at_key=True)
        self.misnamed.add((*path[:-1], bare_name(path[-1])))

    def text_value(self, key: str, raw: Any) -> None:
        """One of the keys that every design file has."""
        parts = self.parts((key,), raw, ("value", "source", "evidence")) if isinstance(raw, dict) else {"value": raw}
        value = parts.get("value")
        place = (key, "value") if isinstance(raw, dict) else (key,)
        if type(value) is not str or not value.strip():
            if "value" in parts:
                self.check.fail(place, "type", value, "a text is needed here")
            return
        self.given[(key,)] = Given(value, *self.placed((key,)), *self.evidence((key,), parts))

    def leaf(self, path: tuple[str, ...], raw: Any, leaf: Leaf) -> None:
        if not isinstance(raw, dict):
            value = self.converted(path, raw, leaf)
            if value is not None:
                self.given[path] = Given(value, *self.placed(path))
            return
        parts = self.parts(path, raw, VALUE_KEYS)
        value = self.converted((*path, "value"), parts["value"], leaf) if "value" in parts else None
        source, evidence = self.evidence(path, parts)
        if value is None:
            return
        low, high = self.range(path, parts, leaf, value) if "range" in parts else (None, None)
        self.given[path] = Given(value, *self.placed(path), source, evidence, low, high)

    def parts(self, path: Path_, raw: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
        return self.check.keys(path, raw, "a value", ("value",), [k for k in keys if k != "value"]) or {}

    def placed(self, path: Path_) -> tuple[str, Where]:
        where = self.document.where(path)
        return f"{where.file}:{where.line}", where

    def converted(self, path: Path_, raw: Any, leaf: Leaf) -> Any:
        """The value under `path`; None, noted, if the leaf cannot take it."""
        try:
            return convert(leaf, raw)
        except (_ValueError, QuantityError) as bad:
            self.check.fail(path, bad.code, raw, bad.rule, bad.remedy)
            return None

    def evidence(self, path: Path_, parts: Mapping[str, Any]) -> tuple[str, str]:
        source = self.check.text(path, parts, "source", "") or ""
        evidence = ""
        if "evidence" in parts:
            evidence = self.check.choice((*path, "evidence"), parts["evidence"], {e: e for e in EVIDENCE}) or ""
            if evidence and not source:
                self.check.fail(path, "missing-key", None, "a value with evidence needs the key source")
        return source, evidence

    def range(self, path: Path_, parts: Mapping[str, Any], leaf: Leaf, value: Any) -> tuple[Any, Any]:
        """The two ends of an uncertain value's range, around the value."""
        place = (*path, "range")
        if "evidence" not in parts:
            self.check.fail(place, "missing-key", None, "a value with a range needs the key evidence")
        ends = self.check.items(place, parts["range"], "a range")
        if len(ends) != 2:
            self.check.fail(place, "type", parts["range"], "must be a list of two values, [low, high]")
            return None, None
        low, high = (self.converted((*place, i), end, leaf) for i, end in enumerate(ends))
        if low is None or high is None:
            return None, None
        if not low <= value <= high:
            got = f"[{_as_text(leaf, low)}, {_as_text(leaf, high)}]"
            problem = Problem("range", self.document.where(place), got,
                              f"must hold the value ({_as_text(leaf, value)}), low end first")  # fmt: skip
            self.check.problems.append(problem)
        return low, high

    # Overrides

    def override(self, text: str, seen: set[str]) -> None:
        """One `key=value` of --set, which replaces what the file says."""
        key, equals, raw = text.partition("=")
        key = key.strip()
        where = Where(_set_place(text), key=dotted(key.split(".")) if key else "")
        if not equals or not key:
            self.note("override", where, text, "an override is KEY=VALUE", "For example --set macs=1024.")
        elif key in seen:
            self.note("override", where, key, "this key is set twice", "Keep one --set for it.")
        else:
            seen.add(key)
            self.set(key, raw.strip(), where)

    def note(self, code: str, where: Where, got: object, rule: str, remedy: str = "") -> None:
        self.check.problems.append(Problem(code, where, described(got), rule, remedy))

    def set(self, key: str, raw: str, where: Where) -> None:
        if key in self.texts:
            self.set_text(key, raw, where)
            return
        path = tuple(key.split("."))
        node: Leaf | Tree | None = self.tree
        for i, part in enumerate(path):
            inner = node.get(part) if isinstance(node, dict) else None
            if inner is None:
                known = node if isinstance(node, dict) else {}
                texts = () if i else self.texts
                self.note("unknown-key", where, part, *unknown_key(part, known, texts, raw=_scalar_or_none(raw)))
                return
            node = inner
        if not isinstance(node, Leaf):
            assert node is not None
            self.note("type", where, raw, "this is a group of values", f"Set one of {', '.join(node)} in it.")
            return
        try:
            self.given[path] = Given(convert(node, plain_scalar(raw)), _set_place(where.file), where)
        except (ScalarError, _ValueError, QuantityError) as bad:
            self.note(bad.code, where, raw, bad.rule, bad.remedy)

    def set_text(self, key: str, raw: str, where: Where) -> None:
        if key in ("model", "summary"):
            self.note("override", where, raw, f"{key} cannot be overridden", "Choose another design with -a.")
        elif not raw:
            self.note("type", where, raw, "a text is needed here")
        else:
            self.given[key,] = Given(raw, _set_place(where.file), where)

    # The whole

    def missing(self, tree: Tree) -> None:
        """Note each value that neither the file nor --set gives and that has no default."""
        noted = {p.where.key for p in self.check.problems}
        for leaf in leaves(tree):
            wrong = leaf.path in self.misnamed or any(dotted(leaf.path[:n]) in noted for n in range(1, len(leaf.path)))
            wrong = wrong or any(key == leaf.key or key.startswith(f"{leaf.key}.") for key in noted)
            if leaf.default is REQUIRED and leaf.path not in self.given and not wrong:
                about = f" ({leaf.doc})" if leaf.doc else ""
                rule = f"the design needs the key {leaf.key}{about}"
                self.check.fail(leaf.path, "missing-key", None, rule, f"Write {_example_line(leaf)}.")

    def missing_texts(self) -> None:
        data = self.document.data
        for key in self.texts:
            if key not in data and (key,) not in self.given:
                self.check.fail((key,), "missing-key", None, f"the design needs the key {key}")

    def value(self, leaf: Leaf) -> Any:
        return self.given[leaf.path].value if leaf.path in self.given else leaf.default


def _as_text(leaf: Leaf, value: Any) -> str:
    if isinstance(value, IntEnum | bool):
        return str(plain(value)).lower()
    return format_quantity(value, leaf.name)


def _scalar_or_none(text: str) -> object:
    try:
        return plain_scalar(text)
    except ScalarError:
        return None


def _set_place(text: str) -> str:
    """How messages and reports name an override."""
    text = text.removeprefix("--set ")
    return f"--set {text if text.isprintable() and len(text) <= 100 else shown(text)}"


def unknown_key(key: str, tree: Mapping[str, object], texts: Sequence[str], raw: object = None) -> tuple[str, str]:
    """Rule and remedy about a key that is no field and none of `texts`; a field's full name is told its key."""
    node = tree.get(bare_name(key))
    if isinstance(node, Leaf) and node.name == key:
        number = isinstance(raw, int | float) and not isinstance(raw, bool)
        line = f"{node.path[-1]}: {raw} {unit_of(key)}" if number else _example_line(node)
        return "keys drop the unit suffix", f"Write {line}."
    return "the design has no such key", suggestion(key, (*tree, *texts))


def _example_line(leaf: Leaf) -> str:
    if issubclass(leaf.kind, IntEnum):
        return f"{leaf.path[-1]}: {next(iter(leaf.kind.__members__)).lower()}"
    if leaf.kind is bool:
        return f"{leaf.path[-1]}: true"
    dimension = dimension_of(leaf.name)
    low = leaf.range.low if leaf.range else 1
    return f"{leaf.path[-1]}: {format_quantity(low, leaf.name) if dimension else low}"


def _build(design: type, tree: Tree, values: Mapping[tuple[str, ...], Any]) -> Any:
    """The dataclass from the values of its leaves, by YAML path."""
    arguments = {}
    for f in dataclasses.fields(design):
        node = tree[f.name] if f.name in tree and isinstance(tree[f.name], dict) else tree[bare_name(f.name)]
        if isinstance(node, Leaf):
            arguments[f.name] = values[node.path]
        else:
            kind, _ = _unwrapped(typing.get_type_hints(design, include_extras=True)[f.name])
            arguments[f.name] = _build(kind, node, values)
    return design(**arguments)


def _broken_rules(design: Any) -> list[tuple[str, str, str]]:
    """What the Design's own cross-field check says: (key, rule, remedy) each."""
    check = getattr(design, "problems", None)
    return list(check()) if callable(check) else []


# --- designs ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DesignFile:
    """A design read from its file: the model, the built Design, and every value with where it came from."""

    name: str
    place: str
    model: Model
    design: Any
    named: Mapping[str, str]
    """The entry of each table that the design names, by the table's key."""
    summary: str
    values: tuple[DesignValue, ...]
    path: Path | None = field(default=None, compare=False)

    def field_of(self, key: str) -> str:
        """The name of the Design's own field that holds the value with this YAML key; other keys are their own name."""
        kind: type = type(self.design)
        known = {leaf.key: leaf.fields[0] for leaf in leaves(describe(kind))}
        return known.get(key, key)

    def replaced(self, changes: Mapping[str, object]) -> tuple[Any, dict[str, str]]:
        """(design, named) with some values moved, each a field value as in `values`, by its key.

        Raises InputError if the moved design breaks a rule.
        """
        kind: type = type(self.design)
        tree = describe(kind)
        known = {leaf.key: leaf for leaf in leaves(tree)}
        values = {leaf.path: _current(self.design, leaf) for leaf in known.values()}
        named = dict(self.named)
        for key, value in changes.items():
            if key in named:
                named[key] = str(value)
            elif key in known:
                values[known[key].path] = _member_or_value(known[key], value)
            else:
                raise bad_input("unknown-key", key, "the design has no such key", suggestion(key, known), key=key)
        design = _build(kind, tree, values)
        broken = _broken_rules(design)
        if broken:
            raise InputError(
                Problem("rule", Where(key=k), _shown_value(design, known, k), rule, rem) for k, rule, rem in broken
            )
        return design, named


def _current(design: Any, leaf: Leaf) -> Any:
    for name in leaf.fields:
        design = getattr(design, name)
    return design


def _member_or_value(leaf: Leaf, value: object) -> Any:
    if issubclass(leaf.kind, IntEnum) and isinstance(value, str):
        return _member(leaf.kind, value)
    return leaf.kind(value)


def _shown_value(design: Any, known: Mapping[str, Leaf], key: str) -> str:
    """The value of the field that a cross-field rule is about, as people write it."""
    leaf = known.get(key)
    return _as_text(leaf, _current(design, leaf)) if leaf else "this design"


def read_design(document: Document, model: Model, name: str, overrides: Sequence[str] = ()) -> DesignFile:
    """The design in `document`, for `model`, with `overrides` ("key=value" texts) applied.

    Raises InputError with every problem of the file and of the overrides.
    """
    tree = describe(model.Design)
    tables = tables_of(model)
    reader = _DesignReader(document, tree, tables)
    reader.file()
    seen: set[str] = set()
    for text in overrides:
        reader.override(text, seen)
    reader.missing_texts()
    reader.missing(tree)
    reader.check.raise_problems()
    design = _build(model.Design, tree, {leaf.path: reader.value(leaf) for leaf in leaves(tree)})
    _check_rules(reader, design, tree)
    texts = {key: reader.given[key,].value for key in reader.texts}
    named = {key: texts[key] for key in tables}
    values = tuple(_design_values(reader, tree, tables))
    return DesignFile(name, document.file, model, design, named, texts["summary"], values)


def read_values(
    check: Checker, path: Path_, raw: Any, tree: Tree, what: str
) -> dict[tuple[str, ...], tuple[Leaf, Any]]:
    """YAML path -> (leaf, converted value) of a mapping of plain values for some of the leaves of `tree`.

    `path` is where the mapping stands in the checker's document; every problem is noted in `check`.
    """
    found: dict[tuple[str, ...], tuple[Leaf, Any]] = {}
    for key, value in (check.mapping(path, raw, what) or {}).items():
        node = tree.get(key)
        if node is None:
            rule, remedy = unknown_key(key, tree, (), raw=value)
            check.fail((*path, key), "unknown-key", key, rule.replace("the design", what), remedy, at_key=True)
        elif not isinstance(node, Leaf):
            found |= read_values(check, (*path, key), value, node, f"{what}.{key}")
        else:
            try:
                found[node.path] = (node, convert(node, value))
            except (_ValueError, QuantityError) as bad:
                check.fail((*path, key), bad.code, value, bad.rule, bad.remedy)
    return found


def read_record(check: Checker, path: Path_, raw: Any, kind: type, what: str) -> Any:
    """A frozen dataclass with the annotations of a Design from the mapping at `path`; None, noted, if it is wrong."""
    tree, noted = describe(kind), len(check.problems)
    given = {leaf_path: value for leaf_path, (_, value) in read_values(check, path, raw, tree, what).items()}
    for leaf in leaves(tree) if len(check.problems) == noted else ():
        if leaf.path not in given and leaf.default is REQUIRED:
            about = f" ({leaf.doc})" if leaf.doc else ""
            rule = f"{what} needs the key {leaf.key}{about}"
            check.fail((*path, *leaf.path), "missing-key", None, rule, f"Write {_example_line(leaf)}.")
    if len(check.problems) > noted:
        return None
    record = _build(kind, tree, {leaf.path: given.get(leaf.path, leaf.default) for leaf in leaves(tree)})
    known = {leaf.key: leaf for leaf in leaves(tree)}
    for key, rule, remedy in _broken_rules(record):
        place = (*path, *known[key].path) if key in known else path
        check.problems.append(
            Problem("rule", check.document.where(place), _shown_value(record, known, key), rule, remedy)
        )
    return record if len(check.problems) == noted else None


def _check_rules(reader: _DesignReader, design: Any, tree: Tree) -> None:
    known = {leaf.key: leaf for leaf in leaves(tree)}
    for key, rule, remedy in _broken_rules(design):
        path = known[key].path if key in known else (key,)
        where = reader.given[path].where if path in reader.given else reader.document.where(path)
        got = _shown_value(design, known, key)
        reader.check.problems.append(Problem("rule", where, got, rule, remedy))
    reader.check.raise_problems()


def _design_values(reader: _DesignReader, tree: Tree, tables: Sequence[str]) -> Iterator[DesignValue]:
    from hwsim.result import DesignValue

    for key in ("model", *tables):
        g = reader.given[key,]
        yield DesignValue(key, g.value, "", g.place, g.source, g.evidence)
    for leaf in leaves(tree):
        given = reader.given.get(leaf.path)
        unit = unit_of(leaf.name)
        if given is None:
            yield DesignValue(leaf.key, plain(leaf.default), unit, DEFAULT_PLACE, "", "")
            continue
        ends = (plain(given.low), plain(given.high))
        yield DesignValue(leaf.key, plain(given.value), unit, given.place, given.source, given.evidence, *ends)


def load_design(name_or_path: str | Path, overrides: Sequence[str] = ()) -> DesignFile:
    """A shipped design by name, or the design in a YAML file, with `overrides` ("key=value" texts) applied.

    Raises InputError for an unknown name or model, and for every problem of the file and of the overrides.
    """
    from hwsim.model import load_model, model_names

    path = _find(name_or_path)
    document = read_yaml(path)
    data = document.data
    named = data.get("model") if isinstance(data, dict) else None
    if isinstance(named, dict):
        named = named.get("value")
    if not isinstance(named, str):
        got = named if isinstance(data, dict) else data
        code, rule = ("type", "a design is a mapping") if not isinstance(data, dict) else (
            "missing-key", "the design needs the key model")  # fmt: skip
        if isinstance(data, dict) and "model" in data:
            code, rule = "type", "a text is needed here"
        place = ("model",) if isinstance(data, dict) else ()
        raise InputError((document.problem(place, code, got, rule),))
    if named not in model_names():
        rule, remedy = "no installed model has this name", suggestion(named, model_names())
        raise InputError((document.problem(("model",), "unknown-model", named, rule, remedy),))
    file = read_design(document, load_model(named), design_name(path), overrides)
    return dataclasses.replace(file, path=path)


def design_name(path: Path) -> str:
    """The name of the design in a file: the file's, without its ending, with "-" for "_"."""
    return path.stem.replace("_", "-")


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith((".yaml", ".yml")) or os.sep in text:
        return Path(name_or_path)
    matches = sorted({path for name, path in _shipped() if name == text})
    if len(matches) == 1:
        return matches[0]
    if matches:
        rule = "several installed packages offer a design of this name"
        raise bad_input("ambiguous-design", text, rule, f"Give one of the files: {', '.join(map(str, matches))}.")
    remedy = (
        suggestion(text, (name for name, _ in _shipped())) or "Run `hwsim list` to see those there are, or give a file."
    )
    raise bad_input("unknown-design", text, "no installed design has this name", remedy)


def _shipped() -> Iterator[tuple[str, Path]]:
    """(name, file) of every design beside an installed model; no model is imported."""
    from importlib.metadata import entry_points

    from hwsim.model import ENTRY_POINT_GROUP

    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        for folder in _folders(point.module):
            for path in sorted(Path(folder).glob("*.yaml")):
                yield design_name(path), path


def _folders(module: str) -> Iterable[str]:
    """Folders of the package that holds `module` (or that it is)."""
    parent, _, last = module.rpartition(".")
    try:
        spec = importlib.util.find_spec(parent or module)
    except (ImportError, ValueError):
        return ()
    folders = list((spec.submodule_search_locations or ()) if spec else ())
    own = [os.path.join(folder, last) for folder in folders if parent]
    return [f for f in own if os.path.isdir(f)] or folders


def find_designs() -> dict[str, Path]:
    """Name -> YAML file of every design beside an installed model (entry points of group "hwsim.models").

    No model is imported. Where two packages offer the same name, the first is listed, and `load_design` refuses it.
    """
    found: dict[str, Path] = {}
    for name, path in _shipped():
        found.setdefault(name, path)
    return found


def summary_of(path: str | Path) -> str:
    """The summary line of a design file, or what is wrong with the file."""
    return summary_in(path, read_yaml)


# --- JSON Schema ------------------------------------------------------------------------------------------------


QUANTITY_PATTERN = r"^\s*[-+]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?\s*(UNITS)\s*$"


def design_schema(design: type, tables: Sequence[str] = DEFAULT_TABLES) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the YAML files of a model with this Design, whose designs name entries of
    `tables`, for editors.

    It states every rule about one value; ranges of quantities, which are texts, stand in their descriptions, and
    cross-field rules are left to `hwsim check`. Raises TypeError as `describe` does.
    """
    texts: dict[str, Any] = {"model": _text_schema("entry point of the model")}
    texts["summary"] = _text_schema("one line for `hwsim list`")
    texts |= {key: _text_schema(TABLES[key].text) for key in tables}
    body = _group_schema(describe(design), texts, list(texts))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hwsim design", **body}


def _text_schema(description: str) -> dict[str, Any]:
    plain_text = {"type": "string", "pattern": r"\S"}
    return {"description": description, "anyOf": [plain_text, _value_schema(plain_text, with_range=False)]}


def _group_schema(tree: Tree, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """The object of one group; a group may be left out when all its values have defaults."""
    for key, node in tree.items():
        properties[key] = _leaf_schema(node) if isinstance(node, Leaf) else _group_schema(node, {}, [])
        inside = [node] if isinstance(node, Leaf) else leaves(node)
        if any(leaf.default is REQUIRED for leaf in inside):
            required.append(key)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _leaf_schema(leaf: Leaf) -> dict[str, Any]:
    scalar = _scalar_schema(leaf)
    schema: dict[str, Any] = {"anyOf": [scalar, _value_schema(scalar)]}
    notes = [leaf.doc]
    if leaf.range and dimension_of(leaf.name):
        notes.append(_range_rule(leaf, leaf.range))
    description = "; ".join(n for n in notes if n)
    if description:
        schema["description"] = description
    if leaf.default is not REQUIRED:
        schema["default"] = _schema_default(leaf)
    return schema


def _schema_default(leaf: Leaf) -> object:
    if dimension_of(leaf.name) and not isinstance(leaf.default, IntEnum):
        return format_quantity(typing.cast("int | float", leaf.default), leaf.name)
    return plain(leaf.default)


def _scalar_schema(leaf: Leaf) -> dict[str, Any]:
    if issubclass(leaf.kind, IntEnum):
        return {"enum": [name.lower() for name in leaf.kind.__members__]}
    if leaf.kind is bool:
        return {"type": "boolean"}
    dimension = dimension_of(leaf.name)
    if dimension is not None:
        units = "|".join(text.replace("u", "[uµμ]") for text in dimension.ladder)
        return {"type": "string", "pattern": QUANTITY_PATTERN.replace("UNITS", units)}
    schema: dict[str, Any] = {"type": "integer" if leaf.kind is int else "number"}
    if leaf.range:
        schema |= {"minimum": leaf.range.low, "maximum": leaf.range.high}
    return schema


def _value_schema(scalar: dict[str, Any], *, with_range: bool = True) -> dict[str, Any]:
    """The mapping form of a value."""
    properties: dict[str, Any] = {
        "value": scalar,
        "source": {"type": "string"},
        "evidence": {"enum": list(EVIDENCE)},
    }
    rules: dict[str, Any] = {"evidence": ["source"]}
    if with_range:
        properties["range"] = {"type": "array", "items": scalar, "minItems": 2, "maxItems": 2}
        rules["range"] = ["evidence"]
    return {
        "type": "object",
        "properties": properties,
        "required": ["value"],
        "dependentRequired": rules,
        "additionalProperties": False,
    }


__all__ = [
    "EVIDENCE",
    "RESERVED_KEYS",
    "DesignFile",
    "Doc",
    "Range",
    "convert",
    "describe",
    "design_name",
    "design_schema",
    "find_designs",
    "leaves",
    "load_design",
    "read_design",
    "read_record",
    "read_values",
    "shown_path",
    "summary_of",
]
