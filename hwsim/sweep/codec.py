"""How a sweep is written down: one text per value, one number that vouches for a row, a Study as JSON and back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hwsim.sweep.study import Direction, Objective, Parameter, Study

CHECK_BYTES = 6
"""48 bits: a damaged row passes for a sound one once in 3e14, and the sum of a million checks fits 62 bits' wrap."""
TOTAL_MASK = (1 << 62) - 1


def canonical(value: object) -> str:
    """`value` as JSON in one spelling: keys sorted, no spaces. Raises ValueError for numbers that are not finite."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(*values: object) -> str:
    """sha256 over the canonical texts of `values`, in hexadecimal."""
    return hashlib.sha256(canonical(values).encode()).hexdigest()


def row_check(*fields: object) -> int:
    """A 48-bit checksum of a row of None, int, float and str: Python writes each of them in exactly one way."""
    return int.from_bytes(hashlib.blake2b(repr(fields).encode(), digest_size=CHECK_BYTES).digest(), "big")


def study_document(study: Study) -> dict[str, Any]:
    """A Study as plain JSON values; `study_from` is its inverse."""
    document = {f.name: getattr(study, f.name) for f in dataclasses.fields(study)}
    document["parameters"] = [dataclasses.asdict(p) for p in study.parameters]
    document["objectives"] = [{"figure": o.figure, "direction": o.direction.value} for o in study.objectives]
    document["bind"] = dict(study.bind)
    document["options"] = dict(study.options)
    return document


def study_from(document: Mapping[str, Any]) -> Study:
    """The Study of a document made by `study_document`."""
    plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
    plain["parameters"] = tuple(Parameter(**{**p, "values": tuple(p["values"])}) for p in document["parameters"])
    plain["objectives"] = tuple(Objective(o["figure"], Direction(o["direction"])) for o in document["objectives"])
    return Study(**plain)
