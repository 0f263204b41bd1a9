"""The JSON Schema of sweep files, made from the same tables that the reader checks by.

`python -m hwsim.sweep.schema FILE` writes it to FILE; `hwsim/schemas/sweep.schema.json` is the published copy.
`hwsim explain --schema SWEEP.yaml` prints one that knows the keys, values and figures of that sweep's own designs and
workloads, for completion in an editor. Rules that depend on a design (units, ranges) and on other keys are the
reader's alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hwsim.parts import TABLES
from hwsim.simulate import FIDELITIES
from hwsim.sweep import file, source
from hwsim.sweep.grammar import MAX_LENGTH
from hwsim.sweep.metrics import SCALARS
from hwsim.sweep.search import METHODS
from hwsim.sweep.space import MAX_GRID
from hwsim.sweep.study import BIND, Direction
from hwsim.sweep.subjects import Subjects, Target
from hwsim.workload.training import OPTIMIZERS

PUBLISHED = Path(__file__).parent.parent / "schemas" / "sweep.schema.json"

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "pattern": "\\S"}
_SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_FORMULA: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH}


def _object(properties: Mapping[str, Schema], required: Iterable[str] = (), others: Any = False) -> Schema:
    body = {"type": "object", "properties": dict(properties), "additionalProperties": others}
    return body | ({"required": list(required)} if required else {})


def _whole(low: int, high: int, description: str) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": description}


def _axis(scalar: Schema) -> Schema:
    """One parameter: a list of values, or a mapping with one of the three forms."""
    listed = {"type": "array", "items": scalar, "minItems": 1, "maxItems": MAX_GRID}
    ends = {"type": "array", "items": scalar, "minItems": 2, "maxItems": 2}
    number = {"type": ["string", "number"]}
    forms: dict[str, Schema] = {
        "values": listed | {"description": "the values, one by one"},
        "range": ends | {"description": "[low, high], both included"},
        "log_range": ends | {"description": "[low, high], both included, even on a logarithmic scale"},
        "step": number | {"description": "distance of two values of a range"},
        "grid": _whole(2, MAX_GRID, "how many values of a continuous or logarithmic range a grid takes"),
        "when": _FORMULA | {"description": "the parameter is varied only where this holds of those above it"},
    }
    if set(forms) != set(file.AXIS_KEYS):
        raise TypeError("the schema and the reader disagree about the keys of a parameter")
    body = _object(forms) | {"oneOf": [{"required": [form]} for form in file.FORMS]}
    return {"anyOf": [listed, body]}


def _scalar_of(target: Target) -> Schema:
    """A value of one key of a loaded design or workload."""
    if target.leaf is not None and target.leaf.kind is bool:
        return {"type": "boolean"}
    if target.leaf is not None and hasattr(target.leaf.kind, "__members__"):
        return {"enum": [name.lower() for name in target.leaf.kind.__members__]}
    if target.symbol is not None:
        return {"type": "number", "minimum": target.symbol.low, "maximum": target.symbol.high}
    return {"type": "string"} if target.leaf is None or target.has_unit else {"type": "number"}


def _described(target: Target, schema: Schema) -> Schema:
    about = target.leaf.doc if target.leaf else target.symbol.meaning if target.symbol else ""
    return schema | ({"description": about} if about else {})


def _names(known: Iterable[str]) -> Schema:
    """A name of those known, or a file."""
    return {"anyOf": [{"enum": sorted(known)}, _TEXT]}


def _keys(subjects: Subjects | None) -> tuple[Schema, Schema, Schema]:
    """`space`, `set` and `bind`: the keys of the subjects, or any."""
    if subjects is None:
        parts = {key: _names(table.names()) for key, table in TABLES.items()}
        return (_object({k: _axis(s) for k, s in parts.items()}, others=_axis(_SCALAR)),
                _object(parts, others=_SCALAR), _object({}, others={"type": "number"}))  # fmt: skip
    scalars = {key: _scalar_of(target) for key, target in subjects.targets.items()}
    scalars |= {key: _names(table.names()) for key, table in TABLES.items() if key in subjects.targets}
    described = {k: _described(t, _axis(scalars[k])) for k, t in subjects.targets.items()}
    plain = {k: _described(t, scalars[k]) for k, t in subjects.targets.items() if not k.startswith(BIND)}
    bound = {k.removeprefix(BIND): _described(t, scalars[k]) for k, t in subjects.targets.items() if k.startswith(BIND)}
    return _object(described), _object(plain), _object(bound)


def _native(subjects: Subjects | None) -> Schema:
    space, fixed, bind = _keys(subjects)
    several = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True}]}
    figures = subjects.figures if subjects else SCALARS
    way: Schema = {"enum": [d.value for d in Direction]}
    properties: dict[str, Schema] = {
        "study": _TEXT | {"description": "name of the study; without it, the name of the file"},
        "summary": {"type": "string", "description": "one line"},
        **{key: several for pair in file.SUBJECTS.items() for key in pair},
        "train": {"enum": list(OPTIMIZERS), "description": "run a training step of the workloads, with this optimizer"},
        "set": fixed | {"description": "values that every point shares"},
        "bind": bind
        | {"description": "symbols of the workload, and parameters of its family, that every point shares"},
        "space": space | {"maxProperties": file.MAX_AXES, "description": "what is varied"},
        "objectives": _object(dict.fromkeys(sorted(figures), way), others=way) | {"minProperties": 1},
        "constraints": {
            "type": "array",
            "items": _FORMULA,
            "description": "formulas that hold of every feasible point",
        },
        "method": {"enum": list(METHODS)},
        "options": {"type": "object", "description": "options of the method (docs/search.md)"},
        "fidelity": {"enum": list(FIDELITIES)},
        "budget": _whole(1, file.MAX_BUDGET, "points at most"),
        "seed": _whole(0, file.MAX_SEED, "seed of every random choice"),
        "keep_rows": _whole(0, file.MAX_KEEP_ROWS, "up to this many points every one is a row of the store"),
    }
    if set(properties) != {*file.REQUIRED, *file.OPTIONAL}:
        raise TypeError("the schema and the reader disagree about the keys of a sweep")
    one_of_each = [{"oneOf": [{"required": [key]} for key in pair]} for pair in file.SUBJECTS.items()]
    return _object(properties, file.REQUIRED) | {"allOf": one_of_each}


def _wandb() -> Schema:
    """The shape of Weights & Biases."""
    number = {"type": ["number", "string"]}
    own = {"value": _SCALAR, "values": {"type": "array", "items": _SCALAR, "minItems": 1}, "min": number,
           "max": number, "q": number, "distribution": {"enum": list(source.DISTRIBUTIONS)},
           "parameters": {"$ref": "#/$defs/parameters"}}  # fmt: skip
    if set(own) != set(source.WANDB_PARAMETER_KEYS):
        raise TypeError("the schema and the reader disagree about the keys of a parameter")
    metric = _object({"name": _TEXT, "goal": {"enum": [d.value for d in Direction]}}, ("name",))
    properties: dict[str, Schema] = {
        "method": {"enum": list(source.WANDB_METHODS)}, "metric": metric, "name": _TEXT,
        "description": {"type": "string"}, "parameters": {"$ref": "#/$defs/parameters"},
        "run_cap": _whole(1, file.MAX_BUDGET, "points at most"), **{key: {} for key in source.WANDB_IGNORED},
    }  # fmt: skip
    parameters = {"type": "object", "additionalProperties": _object(own)}
    return _object(properties, ("method", "metric", "parameters")) | {"$defs": {"parameters": parameters}}


def sweep_schema(subjects: Subjects | None = None) -> Schema:
    """JSON Schema (draft 2020-12) of sweep files; with `subjects`, of sweeps of these designs and workloads."""
    heading: Schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hwsim sweep"}
    other = _wandb()
    return {**heading, "type": "object", "if": {"required": ["parameters"]}, "then": _without(other, "$defs"),
            "else": _native(subjects), "$defs": other["$defs"]}  # fmt: skip


def _without(schema: Schema, key: str) -> Schema:
    return {k: v for k, v in schema.items() if k != key}


def text() -> str:
    """The schema as the text of its published file."""
    return json.dumps(sweep_schema(), indent=1) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
