"""Design files of the systolic model, written for hardware that another tool describes.

The model is named, not imported: the text that is written is read back by the loader of all design files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hwsim.config import read_design
from hwsim.document import parse_yaml
from hwsim.errors import InputError, Problem, Where, bad_input

MODEL = "systolic"
DEFAULT_DRAM = "ddr4-2400"
OUTPUT = "the design that this file makes"


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a design: as its YAML has it, why it is so, and where in the other tool's file it stands."""

    value: str | int | bool
    source: str
    evidence: str = "verified"
    where: Where | None = None


def chosen(value: str | int | bool, why: str) -> Value:
    """A value that the other tool says nothing about."""
    return Value(value, f"chosen: {why}", "assumed")


@dataclass(frozen=True, slots=True)
class Array:
    """What every importer knows of an array, by key of a design file; `defaults` is the rest."""

    summary: str
    values: Mapping[str, Value]
    dram: str = DEFAULT_DRAM
    dram_channels: int = 1


def defaults(rows: int, columns: int, tool: str) -> dict[str, Value]:
    """The values that no other tool has, and neutral ones for what some have."""
    lanes = max(rows, columns)
    silent = f"{tool} says nothing about it"
    unhindered = f"{tool}'s memories beside the array never hold it back"
    found = {
        "cores": chosen(1, "one array is described"),
        "share_weights": chosen(True, "without effect on one core"),
        "overlap": chosen(False, silent),
        "in_order": chosen(True, f"{tool} runs one layer after another"),
        "clock": chosen("1 GHz", f"{silent}; cycles do not depend on it but for DRAM"),
        "number_format": chosen("int8", silent),
        "keep_on_chip": chosen(False, "layers are listed one by one: each reads its input from DRAM"),
        "conv": chosen("direct", "addresses are formed on the fly"),
        "loop_order": chosen("best", "the cheapest order of the tile loops for each layer"),
        "fuse": chosen(True, "activation functions run on results as they leave"),
        "vector_lanes": chosen(lanes, silent),
        "dram_capacity": chosen("8 GiB", silent),
        "dram_rate": chosen("0 GB/s", "tiles are those with the fewest bits of DRAM traffic"),
        "infeed_rate": chosen("0 GB/s", "inputs are in DRAM"),
        "infeed_element": chosen("8 bit", "without effect: inputs are in DRAM"),
    }
    for key in ("infeed_overhead", "step_overhead", "op_overhead"):
        found[key] = chosen("0 ns", "no host is described")
    for operand in ("input", "weight", "output"):
        found[f"{operand}_bandwidth"] = chosen(1, "a bank for each row or column")
        found[f"{operand}_banks"] = chosen(lanes, unhindered)
    return found


def design_text(array: Array, tool: str, file: str) -> str:
    """The design file of an array.

    Raises InputError where the values break a rule of the model; the place is that in the other tool's file.
    """
    known = {key: int(str(array.values[key].value)) for key in ("rows", "columns")}
    channels = chosen(array.dram_channels, "as asked for") if array.dram_channels > 1 else chosen(1, "one channel")
    values = {**defaults(**known, tool=tool), "dram_channels": channels, **array.values}
    text = "".join(_lines(array, values, tool, file))
    _check(text, values)
    return text


def _lines(array: Array, values: Mapping[str, Value], tool: str, file: str) -> Iterator[str]:
    yield f"# Written by `hwsim import {tool.lower().replace('-', '')}` from {file}.\n"
    yield f"model: {MODEL}\nsummary: {_quoted(array.summary)}\ntechnology: 28nm\ndram: {array.dram}\n\n"
    for key, v in values.items():
        yield f"{key}: {{value: {_scalar(v.value)}, evidence: {v.evidence}, source: {_quoted(v.source)}}}\n"


def _quoted(text: str) -> str:
    return json.dumps("".join(c if c.isprintable() else "?" for c in text), ensure_ascii=False)


def _scalar(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check(text: str, values: Mapping[str, Value]) -> None:
    """Read the design as any other is read; its problems become problems of what it was made from."""
    from hwsim.model import load_model, model_names
    from hwsim.parts import resolve_parts

    if MODEL not in model_names():
        raise bad_input("unknown-model", MODEL, "no installed model has this name", "Install the accelerators.")
    try:
        resolve_parts(read_design(parse_yaml(text, OUTPUT), load_model(MODEL), "imported").named)
    except InputError as bad:
        raise InputError(_moved(p, values) for p in bad.problems) from None


def _moved(problem: Problem, values: Mapping[str, Value]) -> Problem:
    """A problem of the design at the place that its value came from."""
    value = values.get(problem.where.key.removesuffix(".value"))
    if value is None or value.where is None:
        return problem
    return Problem(problem.code, value.where, problem.got, problem.rule, problem.remedy)
