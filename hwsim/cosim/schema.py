"""The JSON Schema of a circuit's case files, for editors, made from what the reader checks by.

`python -m hwsim.cosim.schema CIRCUIT` prints it. Ranges of quantities, rules about several values and what a circuit
is built for are the reader's alone.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from hwsim.config import RESERVED_KEYS, design_schema
from hwsim.cosim.case import (
    BOUNDS,
    CASE_OPTIONAL,
    CASE_REQUIRED,
    MAX_CASES,
    MAX_SEED,
    NAME_PATTERN,
    OPTIONAL,
    PERCENT_PATTERN,
    REQUIRED,
)
from hwsim.cosim.circuit import Circuit, load_circuit
from hwsim.model import load_model
from hwsim.parts import tables_of

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_NAME: Schema = {"type": "string", "pattern": f"^{NAME_PATTERN}$"}


def _object(properties: Schema, required: tuple[str, ...] | list[str] = ()) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _record(kind: type, *, partial: bool) -> Schema:
    """The mapping of plain values for a dataclass; `partial` where every value may be left out."""
    return _plain(design_schema(kind), partial=partial)


def _plain(schema: Schema, *, partial: bool) -> Schema:
    """A schema of design files without what only those have: the reserved keys, and values with their sources."""
    if schema.get("type") != "object":
        return {**schema["anyOf"][0], **{k: v for k, v in schema.items() if k != "anyOf"}}
    fields = {k: _plain(v, partial=partial) for k, v in schema["properties"].items() if k not in RESERVED_KEYS}
    required = [] if partial else [k for k in schema["required"] if k in fields]
    return _object(fields, required)


def case_schema(circuit: Circuit) -> Schema:
    """JSON Schema (draft 2020-12) of the case files of `circuit`."""
    design = _record(load_model(circuit.model).Design, partial=True)
    design["properties"] |= dict.fromkeys(tables_of(load_model(circuit.model)), _TEXT)
    case = {
        "name": _NAME, "family": _NAME, "design": design, "task": _record(circuit.Task, partial=False),
        "seed": {"type": "integer", "minimum": 0, "maximum": MAX_SEED},
    }  # fmt: skip
    percent: Schema = {"type": "string", "pattern": f"^{PERCENT_PATTERN}$"}
    body = {
        "circuit": {"const": circuit.name},
        "design": _TEXT | {"description": "a file beside this one, or the name of a shipped design"},
        "tolerance": _object({**dict.fromkeys(BOUNDS, percent), "reason": _TEXT}, (*BOUNDS, "reason")),
        "held_out": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "split": _TEXT | {"description": "how held-out families were chosen and kept apart"},
        "cases": {"type": "array", "minItems": 1, "maxItems": MAX_CASES, "items": _object(case, CASE_REQUIRED)},
    }  # fmt: skip
    if set(body) != {*REQUIRED, *OPTIONAL} or set(case) != {*CASE_REQUIRED, *CASE_OPTIONAL}:
        raise TypeError("the schema and the reader disagree about the keys of a case file")
    title = f"cases of the circuit {circuit.name}"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **_object(body, REQUIRED)}


if __name__ == "__main__":
    print(json.dumps(case_schema(load_circuit(sys.argv[1])), indent=1))
