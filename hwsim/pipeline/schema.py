"""The JSON Schema of system files, made from the same tables that the reader checks by.

`python -m hwsim.pipeline.schema FILE` writes it to FILE; `hwsim/schemas/system.schema.json` is the published copy.
Units, names that repeat, and rules across keys are the reader's alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hwsim.config import EVIDENCE, VALUE_KEYS
from hwsim.pipeline import file
from hwsim.pipeline.system import DISTRIBUTIONS, MAX_BATCH, MAX_FRAMES, MAX_QUEUE, MAX_WORKERS

PUBLISHED = Path(__file__).parent.parent / "schemas" / "system.schema.json"

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "pattern": "\\S"}
_FLAG: Schema = {"type": "boolean"}
_QUANTITY: Schema = {"$ref": "#/$defs/quantity"}
NAME: Schema = {"type": "string", "pattern": "^[^.\\u0000-\\u001f\\u007f]+$", "maxLength": file.MAX_NAME}
"""Control characters are ruled out here; what else is not printable is the reader's to tell."""


def _object(properties: Mapping[str, Schema], required: Iterable[str] = (), others: Any = False) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": others,
            "required": list(required)}  # fmt: skip


def _whole(low: int, high: int, description: str) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high, "description": description}


def _number(low: float, high: float) -> Schema:
    return {"type": "number", "minimum": low, "maximum": high}


def _listed(items: Schema, most: int) -> Schema:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _agreed(made: Schema, keys: Iterable[str], what: str) -> Schema:
    """The schema, which has these keys and no others, as the reader does."""
    if set(made["properties"]) != set(keys):
        raise TypeError(f"the schema and the reader disagree about the keys of {what}")
    return made


def _quantity() -> Schema:
    """A quantity with its unit, plain or with where it comes from."""
    parts: dict[str, Schema] = {
        "value": _TEXT, "source": _TEXT, "evidence": {"enum": list(EVIDENCE)},
        "range": {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2},
    }  # fmt: skip
    return {"anyOf": [_TEXT, _agreed(_object(parts, ("value",)), VALUE_KEYS, "a value")]}


def _step() -> Schema:
    properties: dict[str, Schema] = {
        "name": NAME | {"description": "of the step, which no other of its stage has"},
        "unit_time": _QUANTITY | {"description": "once for what the worker holds"},
        "frame_time": _QUANTITY | {"description": "for each frame of it"},
        "uses": _TEXT | {"description": "one of the resources, while it works"},
        "distribution": {"enum": list(DISTRIBUTIONS)},
        "spread": _number(0, file.MAX_SPREAD),
        "active_power": _QUANTITY | {"description": "drawn while it works"},
        "accelerator": _TEXT | {"description": "a design, as of hwsim run"},
        "workload": _TEXT,
        "set": {"type": "object", "description": "values of the design"},
        "bind": {"type": "object", "additionalProperties": {"type": "number"}},
        "run_frames": _whole(1, MAX_BATCH, "frames that take one run"),
        "batched": _FLAG | {"description": "the workload is run on the whole batch at once"},
    }
    timed = [{"required": [key]} for key in ("unit_time", "frame_time", "accelerator")]
    made = _object(properties, ("name",)) | {"anyOf": timed, "dependentRequired": {"accelerator": ["workload"]}}
    return _agreed(made, ("name", *file.STEP_OPTIONAL), "a step")


def _stage() -> Schema:
    properties: dict[str, Schema] = {
        "name": NAME | {"description": "of the stage, which no other has"},
        "steps": _listed(_step(), file.MAX_STEPS) | {"description": "what a worker does in turn"},
        "workers": _whole(1, MAX_WORKERS, "how many there are"),
        "queue": _whole(1, MAX_QUEUE, "frames that may wait before it"),
        "batched": _FLAG | {"description": "a worker takes a batch, not a frame"},
    }
    keys = (*file.STAGE_REQUIRED, *file.STAGE_OPTIONAL)
    return _agreed(_object(properties, file.STAGE_REQUIRED), keys, "a stage")


def system_schema() -> Schema:
    """JSON Schema (draft 2020-12) of system files."""
    contest = {"iou": _number(0, 1), "reference_energy": _QUANTITY, "base": _number(1, 1e6)}
    published = dict.fromkeys(("throughput", "power", "energy"), _QUANTITY) | {"score": _number(0, 10)}
    properties: dict[str, Schema] = {
        "system": _TEXT | {"description": "its name"},
        "summary": _TEXT | {"description": "one line"},
        "frames": _whole(1, MAX_FRAMES, "how many are run"),
        "batch": _whole(1, MAX_BATCH, "frames of a batch"),
        "overlap": _FLAG | {"description": "stages side by side, or one batch after another"},
        "frame_rate": _QUANTITY | {"description": "of a camera; without it, files"},
        "seed": _whole(0, file.MAX_SEED, "where random times start"),
        "base_power": _QUANTITY | {"description": "drawn all the time"},
        "resources": {"type": "object", "additionalProperties": _whole(1, MAX_WORKERS, "how many there are")},
        "stages": _listed(_stage(), file.MAX_STAGES) | {"description": "in order"},
        "contest": _object(contest, contest),
        "published": _object(published) | {"description": "figures to show beside the system's own"},
    }
    body = _agreed(_object(properties, file.REQUIRED), (*file.REQUIRED, *file.OPTIONAL), "a system")
    heading = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "hwsim system"}
    return {**heading, **body, "$defs": {"quantity": _quantity()}}


def text() -> str:
    """The schema as the text of its published file."""
    return json.dumps(system_schema(), indent=1) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
