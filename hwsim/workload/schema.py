"""The JSON Schema of workload files, made from the same tables that the reader checks by.

`python -m hwsim.workload.schema FILE` writes it to FILE; `hwsim/schemas/workload.schema.json` is the published copy. It
states every rule about one value or one object. Rules across objects (names that must exist, operators that read only
what was produced before, symbols that must be bound) are the reader's alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwsim import expr
from hwsim.workload import store
from hwsim.workload.ir import KINDS, Disposition, Role

PUBLISHED = Path(__file__).parent.parent / "schemas" / "workload.schema.json"

Schema = dict[str, Any]
_KeyLists = tuple[Sequence[str], Sequence[str]]

_TEXT: Schema = {"type": "string"}
_FULL_TEXT: Schema = {"type": "string", "minLength": 1}
_WORD: Schema = {"type": "string", "pattern": "^\\S{1,200}$"}
_RATIO: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
_SIZE_VALUE: Schema = {"type": "integer", "minimum": 0, "maximum": expr.MAX_VALUE}
_SIZE: Schema = {"$ref": "#/$defs/size"}


def _pattern(compiled: Any) -> Schema:
    """A text that one of the reader's patterns matches; `\\Z` is `$` to JSON Schema."""
    return {"type": "string", "pattern": "^(?:" + compiled.pattern.replace("\\Z", ")$")}


def _object(keys: _KeyLists, properties: Mapping[str, Schema]) -> Schema:
    required, optional = keys
    wanted = {*required, *optional}
    if wanted != set(properties):
        raise TypeError(f"the schema and the reader disagree about {sorted(wanted ^ set(properties))}")
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


def _map(values: Schema, names: Schema | None = None, at_least: int = 0) -> Schema:
    schema: Schema = {"type": "object", "additionalProperties": values}
    if names:
        schema["propertyNames"] = names
    return schema | ({"minProperties": at_least} if at_least else {})


def _list(items: Schema, at_least: int = 0) -> Schema:
    schema: Schema = {"type": "array", "items": items}
    return schema | ({"minItems": at_least} if at_least else {})


def _symbol() -> Schema:
    number = {"type": "number"}
    body = _object(store.SYMBOL_KEYS, {
        "default": number, "low": number, "high": number, "meaning": _FULL_TEXT, "ratio": {"type": "boolean"},
        "source": _TEXT, "uncertain": {"type": "array", "items": number, "minItems": 2, "maxItems": 2},
    })  # fmt: skip
    is_ratio = {"properties": {"ratio": {"const": True}}, "required": ["ratio"]}
    return body | {"if": is_ratio, "then": _symbol_numbers(_RATIO), "else": _symbol_numbers(_SIZE_VALUE)}


def _symbol_numbers(number: Schema) -> Schema:
    pair = {"items": number}
    return {"properties": {"default": number, "low": number, "high": number, "uncertain": pair}}


def _tensor() -> Schema:
    return _object(store.TENSOR_KEYS, {
        "shape": {"type": "array", "items": _SIZE, "maxItems": store.MAX_RANK},
        "bits": {"type": "integer", "minimum": 1, "maximum": store.MAX_BITS},
        "dtype": _FULL_TEXT,
        "role": {"enum": [role.value for role in Role]},
        "density": _RATIO,
        "content": _pattern(store.SHA256),
    })  # fmt: skip


def _op() -> Schema:
    names = _list(_FULL_TEXT)
    body = _object(store.OP_KEYS, {
        "name": _WORD, "kind": {"enum": list(KINDS)}, "inputs": names, "outputs": _list(_FULL_TEXT, 1),
        "dims": _map(_SIZE), "attrs": _map({"type": ["string", "number", "boolean"]}),
        "module": _TEXT, "source": _TEXT, "disposition": {"enum": [d.value for d in Disposition]},
        "reason": _TEXT, "into": _TEXT,
    })  # fmt: skip
    return body | {"allOf": [*_disposition_rules(), *(_kind_rule(kind, dims) for kind, dims in KINDS.items())]}


def _kind_rule(kind: str, dims: Sequence[str]) -> Schema:
    """A kind has exactly its loop sizes."""
    sizes = {"required": list(dims), "propertyNames": {"enum": list(dims)}} if dims else {"maxProperties": 0}
    then: Schema = {"properties": {"dims": sizes}} | ({"required": ["dims"]} if dims else {})
    if kind == "view":
        then |= {"required": ["disposition"], **_with_disposition(["fused", "free", "unsupported"], sizes)}
    if kind == "unsupported":
        then |= {"required": ["disposition"], **_with_disposition(["unsupported"], sizes)}
    return {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then}


def _with_disposition(legal: list[str], sizes: Schema) -> Schema:
    return {"properties": {"dims": sizes, "disposition": {"enum": legal}}}


def _disposition_rules() -> list[Schema]:
    """Whatever is not modelled says why; what is fused says into what, and nothing else does."""
    other = {"properties": {"disposition": {"not": {"const": "modelled"}}}, "required": ["disposition"]}
    fused = {"properties": {"disposition": {"const": "fused"}}, "required": ["disposition"]}
    return [
        {"if": other, "then": {"required": ["reason"], "properties": {"reason": {"minLength": 1}}}},
        {"if": fused, "then": {"required": ["into"], "properties": {"into": {"minLength": 1}}},
         "else": {"properties": {"into": {"const": ""}}}},
    ]  # fmt: skip


def _graph() -> Schema:
    names = _list(_FULL_TEXT) | {"uniqueItems": True}
    return _object(store.GRAPH_KEYS, {
        "tensors": _map(_tensor(), _WORD), "ops": _list(_op()), "inputs": names, "outputs": names,
    })  # fmt: skip


def _phase() -> Schema:
    call = _object(store.CALL_KEYS, {"graph": _FULL_TEXT, "bind": _map(_SIZE)})
    repeat = _object(store.REPEAT_KEYS, {"symbol": _pattern(store.SYMBOL_NAME), "first": _SIZE, "last": _SIZE})
    return _object(store.PHASE_KEYS, {
        "name": _WORD, "calls": _list(call, 1), "repeat": repeat, "generates": {"type": "boolean"},
    })  # fmt: skip


def workload_schema() -> Schema:
    """JSON Schema (draft 2020-12) of workload files."""
    body = _object(store.WORKLOAD_KEYS, {
        "schema": {"const": store.SCHEMA},
        "name": _pattern(store.WORKLOAD_NAME),
        "summary": _TEXT,
        "symbols": _map(_symbol(), _pattern(store.SYMBOL_NAME)),
        "graphs": _map(_graph(), _WORD, 1),
        "schedules": _map(_list(_phase(), 1), _WORD, 1),
        "provenance": _map(_TEXT),
        "masks": _pattern(store.PLAIN_FILE),
    })  # fmt: skip
    size = {"anyOf": [_SIZE_VALUE, _pattern(store.EXPRESSION)]}
    heading = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hwsim workload"}
    return {**heading, **body, "$defs": {"size": size}}


def text() -> str:
    """The schema as the text of its published file."""
    return json.dumps(workload_schema(), indent=1) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
