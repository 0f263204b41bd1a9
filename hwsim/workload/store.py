"""Workload files: JSON in and out, every rule of the workload checked with its place.

A file is an object with `"schema": "hwsim/workload/1"` and the fields of `hwsim.workload.ir.Workload`; size
expressions are integers or texts, defaults are left out. `hwsim/schemas/workload.schema.json` is its JSON Schema; the
rules that a schema cannot state (an operator reads only what was produced before it) are checked here as well.
"""

from __future__ import annotations

import dataclasses
import json
import keyword
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hwsim import expr
from hwsim.document import Checker, Document, Path_, parse_json, read_json, suggestion, summary_in
from hwsim.errors import InputError, bad_input, shown
from hwsim.expr import Expr
from hwsim.workload.ir import (
    KINDS,
    Call,
    Disposition,
    Graph,
    Op,
    Phase,
    Repeat,
    Role,
    Symbol,
    Tensor,
    Workload,
)

SCHEMA = "hwsim/workload/1"
ENTRY_POINT_GROUP = "hwsim.workloads"

MAX_BITS = 1024
MAX_RANK = 16
WORD = re.compile(r"[^\s]{1,200}\Z")
WORKLOAD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
SYMBOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
SHA256 = re.compile(r"(?:[0-9a-f]{64})?\Z")
EXPRESSION = re.compile(r"[A-Za-z0-9_+*/(), -]{1,300}\Z")
PLAIN_FILE = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,199})?\Z")
_RESERVED = frozenset({"min", "max", "ceil"})

_ROLES = {role.value: role for role in Role}
_DISPOSITIONS = {d.value: d for d in Disposition}
_KINDS = {kind: kind for kind in KINDS}
_READY = frozenset({Role.INPUT, Role.WEIGHT, Role.STATE})

WORKLOAD_KEYS = ("schema", "name", "summary", "graphs", "schedules"), ("symbols", "provenance", "masks")
SYMBOL_KEYS = ("default", "low", "high", "meaning"), ("ratio", "source", "uncertain")
GRAPH_KEYS = ("tensors", "ops", "inputs", "outputs"), ()
TENSOR_KEYS = ("shape", "bits", "dtype", "role"), ("density", "content")
OP_KEYS = (
    ("name", "kind", "inputs", "outputs"),
    ("dims", "attrs", "module", "source", "disposition", "reason", "into"),
)
PHASE_KEYS = ("name", "calls"), ("repeat", "generates")
CALL_KEYS = ("graph",), ("bind",)
REPEAT_KEYS = ("symbol", "first", "last"), ()


# --- reading ----------------------------------------------------------------------------------------------------


class _Reader:
    """Turns a document into a Workload; notes every broken rule in `check`.

    Methods return None for what is wrong, so a Workload is built only when no problem was noted.
    """

    def __init__(self, document: Document) -> None:
        self.check = Checker(document)
        self.symbols: dict[str, Symbol] = {}
        self.unread: set[str] = set()
        """Symbols that are declared wrongly: using them is no further problem."""
        self.illegal: set[Path_] = set()
        """Places of sizes that are no legal number in some call, noted once."""
        self.graphs: dict[str, Graph] = {}

    def workload(self) -> Workload:
        check = self.check
        raw = check.keys((), check.document.data, "a workload", *WORKLOAD_KEYS)
        if raw is None:
            raise InputError(check.problems)
        if raw.get("schema", SCHEMA) != SCHEMA:
            check.fail(("schema",), "schema", raw["schema"], f"this version reads {shown(SCHEMA)}")
        name = self.named((), raw, "name", WORKLOAD_NAME, "letters, digits, '.', '_' and '-'")
        summary = check.text((), raw, "summary", "") if "summary" in raw else ""
        self.read_symbols(raw.get("symbols", {}))
        self.read_graphs(raw.get("graphs", {}))
        schedules = self.read_schedules(raw.get("schedules", {}))
        provenance = self.read_provenance(raw.get("provenance", {}))
        masks = self.named((), raw, "masks", PLAIN_FILE, "a plain file name, beside this file", default="")
        check.raise_problems()
        self.check_sizes(schedules)
        check.raise_problems()
        assert name is not None and summary is not None and masks is not None
        return Workload(name, summary, self.symbols, self.graphs, schedules, provenance, masks)

    # Names and sizes

    def named(
        self,
        path: Path_,
        raw: Mapping[str, Any],
        key: str,
        legal: re.Pattern[str],
        rule: str,
        default: str | None = None,
    ) -> str | None:
        """The text under `key` if `legal` matches it."""
        value = self.check.text(path, raw, key, default)
        if value is not None and not (legal.match(value) and value.isprintable()):
            self.check.fail((*path, key), "name", value, f"must be {rule}")
            return None
        return value

    def legal_key(self, path: Path_, name: str, what: str) -> bool:
        """Whether a mapping's key may name `what`."""
        if WORD.match(name) and name.isprintable():
            return True
        rule = f"the name of {what} has 1 to 200 printable characters and no spaces"
        self.check.fail((*path, name), "name", name, rule,
                        at_key=True)  # fmt: skip
        return False

    def symbol_name(self, path: Path_, name: Any, *, at_key: bool = False) -> bool:
        """Whether `name` may be a size symbol."""
        legal = isinstance(name, str) and SYMBOL_NAME.match(name) and not keyword.iskeyword(name)
        if legal and name not in _RESERVED:
            return True
        rule = "a symbol is an ASCII identifier other than min, max, ceil and Python's keywords"
        self.check.fail(path, "name", name, rule, at_key=at_key)
        return False

    def expression(self, path: Path_, value: Any) -> Expr | None:
        """A size: an integer from 0, or an expression that may not use a ratio symbol."""
        if type(value) is str and not EXPRESSION.match(value):
            rule = "a size expression has 1 to 300 characters out of letters, digits, _ + - * / ( ) , and space"
            self.check.fail(path, "expression", value, rule)
            return None
        try:
            found = expr.parse(value)
        except InputError as bad:
            for p in bad.problems:
                self.check.fail(path, p.code, value, p.rule, p.remedy)
            return None
        for name in found.symbols:
            if name in self.symbols and self.symbols[name].ratio:
                self.check.fail(path, "expression", value, f"the symbol {name} is a ratio, not a size")
                return None
        if not found.symbols and self.constant(path, found) is None:
            return None
        return found

    def constant(self, path: Path_, size: Expr) -> int | None:
        value = self.evaluated(path, size, {})
        if value is not None and value < 0:
            self.check.fail(path, "range", size.text, "a size is at least 0")
            return None
        return value

    def evaluated(self, path: Path_, size: Expr, scope: Mapping[str, int]) -> int | None:
        try:
            return size.value(scope)
        except InputError as bad:
            for p in bad.problems:
                self.check.fail(path, p.code, size.text, p.rule, p.remedy)
            return None

    def words(self, path: Path_, raw: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """A list of texts, each at most once."""
        found: list[str] = []
        for i, word in enumerate(self.check.items((*path, key), raw.get(key, []), f"{key}")):
            if type(word) is not str or not word:
                self.check.fail((*path, key, i), "type", word, "a name is needed here")
            else:
                found.append(word)
        return tuple(found)

    def known(self, path: Path_, name: str, names: Iterable[str], what: str) -> bool:
        """Whether `name` is one of `names`."""
        if name in names:
            return True
        self.check.fail(path, "unknown-name", name, f"there is no such {what}", suggestion(name, names))
        return False

    # Symbols

    def read_symbols(self, raw: Any) -> None:
        """The workload's symbols, into `self.symbols`."""
        for name, entry in (self.check.mapping(("symbols",), raw, "symbols") or {}).items():
            path = ("symbols", name)
            legal = self.symbol_name(path, name, at_key=True)
            symbol = self.symbol(path, entry)
            if legal and symbol:
                self.symbols[name] = symbol
            else:
                self.unread.add(name)

    def symbol(self, path: Path_, entry: Any) -> Symbol | None:
        check = self.check
        raw = check.keys(path, entry, "a symbol", *SYMBOL_KEYS)
        if raw is None:
            return None
        ratio = check.flag(path, raw, "ratio")
        default, low, high = (self.bound(path, raw, key, ratio) for key in ("default", "low", "high"))
        meaning, source = check.text(path, raw, "meaning"), check.text(path, raw, "source", "")
        if default is None or low is None or high is None or meaning is None or source is None:
            return None
        if not low <= default <= high:
            check.fail((*path, "default"), "range", default, f"must lie from low ({low}) to high ({high})")
        uncertain = self.uncertain(path, raw, low, default, high)
        return Symbol(default, low, high, meaning, bool(ratio), source, uncertain)

    def bound(self, path: Path_, raw: Mapping[str, Any], key: str, ratio: bool | None) -> float | None:
        if key not in raw:
            return None
        return self.symbol_value((*path, key), raw[key], ratio)

    def symbol_value(self, path: Path_, value: Any, ratio: bool | None) -> float | None:
        """A share in (0, 1] for a ratio symbol, an integer from 0 for the others."""
        if not ratio:
            return self.check.integer(path, value, 0, expr.MAX_VALUE)
        number = self.check.number(path, value)
        if number is not None and not 0 < number <= 1:
            self.check.fail(path, "range", value, "a ratio lies in (0, 1]")
            return None
        return number

    def uncertain(
        self, path: Path_, raw: Mapping[str, Any], low: float, default: float, high: float
    ) -> tuple[float, float] | None:
        """The optional range [from, to] around the default."""
        if "uncertain" not in raw:
            return None
        place = (*path, "uncertain")
        pair = self.check.items(place, raw["uncertain"], "uncertain")
        if len(pair) != 2:
            self.check.fail(place, "type", raw["uncertain"], "must be a list of two numbers, [low, high]")
            return None
        ratio = bool(raw.get("ratio"))
        ends = [self.symbol_value((*place, i), end, ratio) for i, end in enumerate(pair)]
        if ends[0] is None or ends[1] is None:
            return None
        if not low <= ends[0] <= default <= ends[1] <= high:
            rule = f"must hold the default ({default}) and lie from low ({low}) to high ({high})"
            self.check.fail(place, "range", f"[{ends[0]}, {ends[1]}]", rule)
        return ends[0], ends[1]

    # Graphs

    def read_graphs(self, raw: Any) -> None:
        """The workload's graphs, into `self.graphs`."""
        graphs = self.check.mapping(("graphs",), raw, "graphs")
        if graphs is not None and not graphs and "graphs" in self.check.document.data:
            self.check.fail(("graphs",), "empty", raw, "a workload has at least one graph")
        for name, entry in (graphs or {}).items():
            path = ("graphs", name)
            self.legal_key(("graphs",), name, "a graph")
            body = self.check.keys(path, entry, "a graph", *GRAPH_KEYS)
            if body is not None:
                self.graphs[name] = self.graph(path, name, body)

    def graph(self, path: Path_, name: str, raw: Mapping[str, Any]) -> Graph:
        tensors: dict[str, Tensor] = {}
        declared = self.check.mapping((*path, "tensors"), raw.get("tensors", {}), "tensors") or {}
        for key, entry in declared.items():
            self.legal_key((*path, "tensors"), key, "a tensor")
            tensor = self.tensor((*path, "tensors", key), key, entry)
            if tensor:
                tensors[key] = tensor
        noted = len(self.check.problems)
        ops: list[Op] = []
        for i, entry in enumerate(self.check.items((*path, "ops"), raw.get("ops", []), "ops")):
            op = self.op((*path, "ops", i), entry)
            if op:
                ops.append(op)
        inputs, outputs = self.words(path, raw, "inputs"), self.words(path, raw, "outputs")
        graph = Graph(name, tensors, tuple(ops), inputs, outputs)
        if len(self.check.problems) == noted and len(tensors) == len(declared):
            _Wiring(self, path, graph).run()
        return graph

    def tensor(self, path: Path_, name: str, entry: Any) -> Tensor | None:
        check = self.check
        raw = check.keys(path, entry, "a tensor", *TENSOR_KEYS)
        if raw is None:
            return None
        sizes = check.items((*path, "shape"), raw["shape"], "a shape") if "shape" in raw else []
        if len(sizes) > MAX_RANK:
            check.fail((*path, "shape"), "range", sizes, f"a tensor has at most {MAX_RANK} dimensions")
            return None
        shape = [self.expression((*path, "shape", i), size) for i, size in enumerate(sizes)]
        bits = check.integer((*path, "bits"), raw["bits"], 1, MAX_BITS) if "bits" in raw else None
        role = check.choice((*path, "role"), raw["role"], _ROLES) if "role" in raw else None
        dtype = check.text(path, raw, "dtype")
        density = self.density(path, raw)
        content = self.named(path, raw, "content", SHA256, "a sha256 in 64 lower-case hexadecimal digits", default="")
        if None in shape or None in (bits, role, dtype, density, content):
            return None
        return Tensor(name, tuple(shape), bits, dtype, role, density, content)  # type: ignore[arg-type]

    def density(self, path: Path_, raw: Mapping[str, Any]) -> float | None:
        if "density" not in raw:
            return 1.0
        value = self.check.number((*path, "density"), raw["density"])
        if value is not None and not 0 < value <= 1:
            self.check.fail((*path, "density"), "range", value, "a density lies in (0, 1]")
            return None
        return value

    def op(self, path: Path_, entry: Any) -> Op | None:
        check = self.check
        raw = check.keys(path, entry, "an operator", *OP_KEYS)
        if raw is None:
            return None
        noted = len(check.problems)
        name = self.named(path, raw, "name", WORD, "1 to 200 printable characters without spaces")
        kind = check.choice((*path, "kind"), raw["kind"], _KINDS) if "kind" in raw else None
        dims = self.dims(path, raw, kind)
        attrs = self.attrs(path, raw)
        disposition = Disposition.MODELLED
        if "disposition" in raw:
            disposition = check.choice((*path, "disposition"), raw["disposition"], _DISPOSITIONS)
        module, source, reason, into = (check.text(path, raw, k, "") for k in ("module", "source", "reason", "into"))
        op = Op(name, kind, self.words(path, raw, "inputs"), self.words(path, raw, "outputs"), dims, attrs,  # type: ignore[arg-type]
                module, source, disposition, reason, into)  # type: ignore[arg-type]  # fmt: skip
        if len(check.problems) > noted or not all(key in raw for key in OP_KEYS[0]):
            return None
        self.check_disposition(path, op)
        return op

    def dims(self, path: Path_, raw: Mapping[str, Any], kind: str | None) -> dict[str, Expr]:
        """The loop sizes: exactly those of the kind, in the kind's order."""
        given = self.check.mapping((*path, "dims"), raw.get("dims", {}), "dims")
        if kind is None or given is None:
            return {}
        wanted = KINDS[kind]
        for key in given:
            if key not in wanted:
                rule = f"the kind {kind} has no such size"
                self.check.fail((*path, "dims", key), "unknown-key", key, rule, suggestion(key, wanted), at_key=True)
        sizes = {}
        for key in wanted:
            if key not in given:
                self.check.fail((*path, "dims", key), "missing-key", None, f"the kind {kind} needs the size {key}")
                continue
            size = self.expression((*path, "dims", key), given[key])
            if size is not None:
                sizes[key] = size
        return sizes

    def attrs(self, path: Path_, raw: Mapping[str, Any]) -> dict[str, Any]:
        if "attrs" not in raw:
            return {}
        place = (*path, "attrs")
        attrs = self.check.mapping(place, raw["attrs"], "attrs") or {}
        for key, value in attrs.items():
            if type(value) not in (bool, int, float, str):
                self.check.fail((*place, key), "type", value, "must be a text, a number, true or false")
        return attrs

    def check_disposition(self, path: Path_, op: Op) -> None:
        """How an operator ended must be said in full, so that no cost vanishes."""
        fused, unsupported = op.disposition is Disposition.FUSED, op.disposition is Disposition.UNSUPPORTED
        place, ended = (*path, "disposition"), op.disposition.value
        if op.disposition is not Disposition.MODELLED and not op.reason:
            self.check.fail(path, "missing-key", None, f"an operator that is {ended} needs a reason")
        if fused and not op.into:
            self.check.fail(path, "missing-key", None, "a fused operator names the one it went into: into")
        if op.into and not fused:
            self.check.fail((*path, "into"), "disposition", op.into, f"only a fused operator has into; this is {ended}")
        if op.kind == "unsupported" and not unsupported:
            self.check.fail(place, "disposition", ended, "an operator of kind unsupported is unsupported")
        if op.kind == "view" and op.disposition is Disposition.MODELLED:
            self.check.fail(place, "disposition", ended, "a view has no cost to model",
                            'Write "disposition": "free" and the reason.')  # fmt: skip

    # Schedules

    def read_schedules(self, raw: Any) -> dict[str, tuple[Phase, ...]]:
        found: dict[str, tuple[Phase, ...]] = {}
        schedules = self.check.mapping(("schedules",), raw, "schedules")
        if schedules is not None and not schedules and "schedules" in self.check.document.data:
            self.check.fail(("schedules",), "empty", raw, "a workload has at least one schedule")
        for name, entry in (schedules or {}).items():
            path = ("schedules", name)
            self.legal_key(("schedules",), name, "a schedule")
            phases = self.check.items(path, entry, "a schedule")
            if entry == []:
                self.check.fail(path, "empty", entry, "a schedule has at least one phase")
            read = [self.phase((*path, i), phase) for i, phase in enumerate(phases)]
            self.unique(path, [(i, p.name) for i, p in enumerate(read) if p], "phase")
            found[name] = tuple(p for p in read if p)
        return found

    def unique(self, path: Path_, names: Iterable[tuple[int, str]], what: str) -> None:
        seen: dict[str, int] = {}
        for i, name in names:
            if name in seen:
                rule = f"the {what} {dotted_index(path, seen[name])} has this name already"
                self.check.fail((*path, i, "name"), "duplicate-name", name, rule)
            seen.setdefault(name, i)

    def phase(self, path: Path_, entry: Any) -> Phase | None:
        check = self.check
        raw = check.keys(path, entry, "a phase", *PHASE_KEYS)
        if raw is None:
            return None
        name = self.named(path, raw, "name", WORD, "1 to 200 printable characters without spaces")
        generates = check.flag(path, raw, "generates")
        repeat = self.repeat((*path, "repeat"), raw["repeat"]) if "repeat" in raw else None
        scope = self.sizes() | self.repeated(raw.get("repeat"))
        entries = check.items((*path, "calls"), raw.get("calls", []), "calls")
        if raw.get("calls") == []:
            check.fail((*path, "calls"), "empty", [], "a phase has at least one call")
        calls = [self.call((*path, "calls", i), entry, scope) for i, entry in enumerate(entries)]
        if name is None or generates is None or None in calls:
            return None
        return Phase(name, tuple(calls), repeat, generates)  # type: ignore[arg-type]

    def repeat(self, path: Path_, entry: Any) -> Repeat | None:
        raw = self.check.keys(path, entry, "a repeat", *REPEAT_KEYS)
        if raw is None or any(key not in raw for key in REPEAT_KEYS[0]):
            return None
        legal = self.symbol_name((*path, "symbol"), raw["symbol"])
        if legal and raw["symbol"] in self.symbols:
            rule = "the workload has a symbol of this name, which the repeat would hide"
            self.check.fail((*path, "symbol"), "shadowing", raw["symbol"], rule, "Rename one.")
            legal = False
        first, last = (self.scoped((*path, key), raw[key], self.sizes()) for key in ("first", "last"))
        return Repeat(raw["symbol"], first, last) if legal and first is not None and last is not None else None

    def sizes(self) -> frozenset[str]:
        """The workload's symbols that are sizes."""
        return frozenset(name for name, symbol in self.symbols.items() if not symbol.ratio) | self.unread

    def scoped(self, path: Path_, value: Any, scope: frozenset[str]) -> Expr | None:
        """An expression over the symbols in `scope`."""
        found = self.expression(path, value)
        if found is None:
            return None
        for name in sorted(found.symbols - scope):
            self.check.fail(path, "unbound", value, f"there is no symbol {name} here", suggestion(name, scope))
        return found if found.symbols <= scope else None

    def repeated(self, entry: Any) -> frozenset[str]:
        """The symbol that a repeat brings into its phase, even where the rest of it is wrong."""
        symbol = entry.get("symbol") if isinstance(entry, dict) else None
        return frozenset({symbol}) if isinstance(symbol, str) else frozenset()

    def call(self, path: Path_, entry: Any, scope: frozenset[str]) -> Call | None:
        raw = self.check.keys(path, entry, "a call", *CALL_KEYS)
        if raw is None:
            return None
        name = self.check.text(path, raw, "graph")
        bind = self.check.mapping((*path, "bind"), raw.get("bind", {}), "bind")
        if name is None or bind is None or not self.known((*path, "graph"), name, self.graphs, "graph"):
            return None
        bound = {key: self.scoped((*path, "bind", key), value, scope) for key, value in bind.items()}
        self.check_bound(path, self.graphs[name], bind, scope)
        return None if None in bound.values() else Call(name, bound)  # type: ignore[arg-type]

    def check_bound(self, path: Path_, graph: Graph, bind: Mapping[str, Any], scope: frozenset[str]) -> None:
        """Every symbol of the graph has a value in this call, and nothing else is bound."""
        used = graph.symbols
        for key in bind:
            if key not in used:
                rule = f"the graph {graph.name} uses no such symbol"
                place = (*path, "bind", key)
                self.check.fail(place, "unknown-symbol", key, rule, suggestion(key, used), at_key=True)
        for key in sorted(used - bind.keys() - scope):
            remedy = f'Write "bind": {{"{key}": SIZE}}.'
            self.check.fail(path, "unbound", None, f"the graph {graph.name} needs a value for {key}", remedy)

    # The rest

    def read_provenance(self, raw: Any) -> dict[str, str]:
        found = self.check.mapping(("provenance",), raw, "provenance") or {}
        for key, value in found.items():
            if type(value) is not str:
                self.check.fail(("provenance", key), "type", value, "a text is needed here")
        return found

    def check_sizes(self, schedules: Mapping[str, tuple[Phase, ...]]) -> None:
        """Every size is a legal number under the default binding, in the first and the last pass of each phase."""
        defaults = {name: int(symbol.default) for name, symbol in self.symbols.items() if not symbol.ratio}
        for name, phases in schedules.items():
            for i, phase in enumerate(phases):
                self.check_phase_sizes(("schedules", name, i), phase, defaults)

    def check_phase_sizes(self, path: Path_, phase: Phase, defaults: Mapping[str, int]) -> None:
        for extra in self.passes(path, phase, defaults):
            for j, call in enumerate(phase.calls):
                self.check_call_sizes((*path, "calls", j), call, {**defaults, **extra})

    def passes(self, path: Path_, phase: Phase, defaults: Mapping[str, int]) -> list[dict[str, int]]:
        """What the first and the last pass add to the defaults; nothing for a phase that runs no pass."""
        if phase.repeat is None:
            return [{}]
        symbol = phase.repeat.symbol
        first = self.evaluated((*path, "repeat", "first"), phase.repeat.first, defaults)
        last = self.evaluated((*path, "repeat", "last"), phase.repeat.last, defaults)
        if first is None or last is None or last < first:
            return []
        return [{symbol: at} for at in sorted({first, last})]

    def check_call_sizes(self, path: Path_, call: Call, scope: dict[str, int]) -> None:
        local = dict(scope)
        for key, size in call.bind.items():
            value = self.evaluated((*path, "bind", key), size, scope)
            if value is None:
                return
            local[key] = value
        for size, place in _sizes(self.graphs[call.graph]).items():
            if place not in self.illegal and not self.legal_size(place, size, local):
                self.illegal.add(place)

    def legal_size(self, place: Path_, size: Expr, scope: Mapping[str, int]) -> bool:
        """Whether a size is a number from 0 under `scope`."""
        value = self.evaluated(place, size, scope)
        if value is not None and value < 0:
            binding = ", ".join(f"{k}={scope[k]}" for k in sorted(size.symbols))
            rule = f"a size is at least 0, and this is {value} under the default binding ({binding})"
            self.check.fail(place, "range", size.text, rule)
            return False
        return value is not None


def dotted_index(path: Path_, index: int) -> str:
    """How a message names a list's entry that stands beside the one it is about."""
    return f"{path[-1]}[{index}]"


def _sizes(graph: Graph) -> dict[Expr, Path_]:
    """Every distinct size of a graph that uses a symbol, with the first place it stands at."""
    found: dict[Expr, Path_] = {}
    for name, tensor in graph.tensors.items():
        for i, size in enumerate(tensor.shape):
            if size.symbols:
                found.setdefault(size, ("graphs", graph.name, "tensors", name, "shape", i))
    for i, op in enumerate(graph.ops):
        for key, size in op.dims.items():
            if size.symbols:
                found.setdefault(size, ("graphs", graph.name, "ops", i, "dims", key))
    return found


class _Wiring:
    """What operators and tensors of one graph owe each other."""

    def __init__(self, reader: _Reader, path: Path_, graph: Graph) -> None:
        self.reader, self.check = reader, reader.check
        self.path, self.graph = path, graph
        self.producer: dict[str, int] = {}

    def run(self) -> None:
        ops = self.graph.ops
        self.reader.unique((*self.path, "ops"), [(i, op.name) for i, op in enumerate(ops)], "operator")
        names = {op.name for op in ops}
        ready = {name for name, tensor in self.graph.tensors.items() if tensor.role in _READY}
        for i, op in enumerate(ops):
            path = (*self.path, "ops", i)
            self.reads(path, op, ready)
            self.writes(path, i, op, ready)
            if op.into == op.name:
                self.check.fail((*path, "into"), "disposition", op.into, "an operator cannot go into itself")
            elif op.into:
                self.reader.known((*path, "into"), op.into, names, "operator")
        self.ends(ready)
        self.roles(ready)

    def reads(self, path: Path_, op: Op, ready: set[str]) -> None:
        for j, name in enumerate(op.inputs):
            place = (*path, "inputs", j)
            if name in ready or not self.reader.known(place, name, self.graph.tensors, "tensor"):
                continue
            self.check.fail(place, "order", name, "nothing has produced this tensor yet", "Put its producer before.")

    def writes(self, path: Path_, index: int, op: Op, ready: set[str]) -> None:
        if not op.outputs:
            self.check.fail((*path, "outputs"), "empty", [], "an operator has at least one output")
        for j, name in enumerate(op.outputs):
            place = (*path, "outputs", j)
            if not self.reader.known(place, name, self.graph.tensors, "tensor"):
                continue
            role = self.graph.tensors[name].role
            if role in {Role.INPUT, Role.WEIGHT}:
                self.check.fail(place, "role", name, f"this tensor has the role {role.value}, which no operator writes")
            elif name in self.producer:
                earlier = self.graph.ops[self.producer[name]].name
                self.check.fail(
                    place, "produced-twice", name, f"the operator {shown(earlier)} has written this already"
                )
            self.producer.setdefault(name, index)
            ready.add(name)

    def ends(self, ready: set[str]) -> None:
        """The graph's inputs come from outside, its outputs exist when it ends."""
        tensors = self.graph.tensors
        for key, names in (("inputs", self.graph.inputs), ("outputs", self.graph.outputs)):
            for j, name in enumerate(names):
                place = (*self.path, key, j)
                if not self.reader.known(place, name, tensors, "tensor"):
                    continue
                if name in names[:j]:
                    self.check.fail(place, "duplicate-name", name, f"{key} names each tensor once")
                elif key == "inputs" and tensors[name].role not in {Role.INPUT, Role.STATE}:
                    rule = "an input of a graph has the role input or state"
                    self.check.fail(place, "role", name, f"{rule}, and this one is {tensors[name].role.value}")
                elif key == "outputs" and name not in ready:
                    self.check.fail(place, "order", name, "no operator produces this output")

    def roles(self, ready: set[str]) -> None:
        """A tensor's role agrees with the graph's inputs and outputs, and every value comes from somewhere."""
        inputs, outputs = set(self.graph.inputs), set(self.graph.outputs)
        for name, tensor in self.graph.tensors.items():
            place = (*self.path, "tensors", name, "role")
            if tensor.role is Role.INPUT and name not in inputs:
                self.check.fail(place, "role", "input", "the graph does not list this tensor among its inputs")
            if tensor.role is Role.OUTPUT and name not in outputs:
                self.check.fail(place, "role", "output", "the graph does not list this tensor among its outputs")
            if name not in ready:
                self.check.fail(place, "role", tensor.role.value, "no operator produces this tensor")


def parse(text: str, file: str = "<text>") -> Workload:
    """The workload in a JSON text. `file` names it in messages.

    Raises InputError with every broken rule and its place.
    """
    return _Reader(parse_json(text, file)).workload()


def read(path: str | Path) -> Workload:
    """The workload in a JSON file, exactly as written: `masks` stays a plain file name (see `load_workload`).

    Raises InputError with every broken rule and its place.
    """
    return _Reader(read_json(path)).workload()


# --- writing ----------------------------------------------------------------------------------------------------


def dumps(workload: Workload) -> str:
    """`workload` as the text of its file: defaults left out, one tensor, operator or phase to a line.

    Equal workloads give equal texts, wherever their masks lie.
    """
    return "".join(_object_lines(_plain_workload(workload), 0)) + "\n"


def write(workload: Workload, path: str | Path) -> None:
    """Write `workload` to a file that `read` accepts; replaces the file in one step.

    Raises InputError if `workload` breaks a rule or the file cannot be written; nothing is written then.
    """
    text = dumps(workload)
    parse(text, workload.name)
    target = Path(path)
    if target.exists() and not target.is_file():
        raise bad_input("unwritable-file", str(path), "a regular file is needed here, not a folder, device or pipe")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(target)
    except OSError as failed:
        partial.unlink(missing_ok=True)
        reason = failed.strerror or "unknown reason"
        raise bad_input("unwritable-file", str(path), f"the file cannot be written ({reason})") from None


def _object_lines(value: Any, depth: int) -> Iterator[str]:
    """A mapping over several lines; from the third level on, and below a list, one line an entry."""
    pad = " " * (depth + 1)
    if depth > 3 or not isinstance(value, dict | list) or not value or not _has_containers(value):
        yield _one_line(value)
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    entries = list(value.items()) if isinstance(value, dict) else [("", v) for v in value]
    yield opening + "\n"
    for i, (key, entry) in enumerate(entries):
        yield pad + (json.dumps(key, ensure_ascii=False) + ": " if isinstance(value, dict) else "")
        if depth == 3 or isinstance(value, list):
            yield _one_line(entry)
        else:
            yield from _object_lines(entry, depth + 1)
        yield ",\n" if i + 1 < len(entries) else "\n"
    yield " " * depth + closing


def _has_containers(value: dict[str, Any] | list[Any]) -> bool:
    """Whether anything in `value` is more than a scalar or a list of scalars."""
    entries = value.values() if isinstance(value, dict) else value
    return any(isinstance(v, dict) or (isinstance(v, list) and _has_containers(v)) for v in entries)


def _one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _plain_workload(workload: Workload) -> dict[str, Any]:
    body = {
        "schema": SCHEMA,
        "name": workload.name,
        "summary": workload.summary,
        "symbols": {name: _plain(symbol) for name, symbol in workload.symbols.items()},
        "graphs": {name: _plain_graph(graph) for name, graph in workload.graphs.items()},
        "schedules": {name: [_plain(phase) for phase in phases] for name, phases in workload.schedules.items()},
        "provenance": dict(workload.provenance),
        "masks": Path(workload.masks).name,
    }
    return {key: value for key, value in body.items() if value or key in WORKLOAD_KEYS[0]}


def _plain_graph(graph: Graph) -> dict[str, Any]:
    return {
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "tensors": {name: _without_name(tensor) for name, tensor in graph.tensors.items()},
        "ops": [_plain(op) for op in graph.ops],
    }


def _without_name(tensor: Tensor) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(tensor)
    del plain["name"]
    return plain


def _plain(value: Any) -> Any:
    """Plain JSON data for a part of a workload; fields at their defaults are left out."""
    if isinstance(value, Expr):
        return int(value.text) if value.text.isdigit() else value.text
    if isinstance(value, Role | Disposition):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value) if not _at_default(f, value)}
    if isinstance(value, float) and not math.isfinite(value):
        raise bad_input("not-finite", value, "a workload holds finite numbers only")
    return value


def _at_default(field: dataclasses.Field[Any], owner: Any) -> bool:
    value = getattr(owner, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return bool(value == field.default_factory())
    return field.default is not dataclasses.MISSING and bool(value == field.default)


# --- shipped workloads ------------------------------------------------------------------------------------------


def _shipped() -> Iterator[tuple[str, Path]]:
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        try:
            spec = find_spec(point.value)
        except (ImportError, ValueError):
            continue
        for folder in sorted((spec.submodule_search_locations or ()) if spec else ()):
            for path in sorted(Path(folder).glob("*.json")):
                yield path.stem.replace("_", "-"), path


def find_workloads() -> dict[str, Path]:
    """Name -> file of every workload that an installed package offers, without importing any.

    Packages say so by an entry point of group "hwsim.workloads" that names the package; the name is the file's, with
    "-" for "_". Where two packages offer the same name, the first package by entry-point name is meant.
    """
    found: dict[str, Path] = {}
    for name, path in _shipped():
        found.setdefault(name, path)
    return found


def summary_of(path: str | Path) -> str:
    """The summary line of a workload file, or what is wrong with the file."""
    return summary_in(path, read_json)


def load_workload(name_or_path: str | Path) -> Workload:
    """A shipped workload by name, or the workload in a file (a path that ends in .json or holds a separator).

    `masks` becomes the full path of the file beside it. Raises InputError for an unknown name, a broken rule, or masks
    that are not there.
    """
    path = _find(name_or_path)
    workload = read(path)
    if not workload.masks:
        return workload
    masks = path.resolve().parent / workload.masks
    if not masks.is_file() or masks.is_symlink():
        where = read_json(path).where(("masks",))
        rule = (
            "a link would lead out of the folder" if masks.is_symlink() else "there is no such file beside the workload"
        )
        raise bad_input("missing-file", workload.masks, rule, where=where)
    return dataclasses.replace(workload, masks=str(masks))


def is_name(text: str) -> bool:
    """Whether a text after `-w` is a name, and not a path."""
    return not text.endswith(".json") and os.sep not in text


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or not is_name(text):
        return Path(name_or_path)
    known = find_workloads()
    if text in known:
        return known[text]
    remedy = suggestion(text, known) or "Run `hwsim list` to see those there are, or give a file."
    raise bad_input("unknown-workload", text, "no installed workload has this name", remedy)


def mask_path(workload: Workload) -> Path | None:
    """The file of `workload`'s masks, None if it has none. Of a workload from `load_workload` it is a full path."""
    return Path(workload.masks) if workload.masks else None
