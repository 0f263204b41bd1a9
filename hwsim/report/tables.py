"""The report's figures as CSV, and as data frames for notebooks: full precision, units in the column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from hwsim.result import LayerResult, Result

if TYPE_CHECKING:
    import pandas as pd  # type: ignore[import-untyped]

Cell = str | int | float | None

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def cell(value: object) -> Cell:
    """A value as it stands in a CSV file: numbers in full, true/false, enum members by lower-case name.

    Text that a spreadsheet would run as a formula gets a leading apostrophe (the remedy OWASP gives for CSV
    injection); numbers are never touched.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, int | float) or value is None:
        return value
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([cell(h) for h in heads])
    writer.writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def _keys(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    return sorted({key for m in mappings for key in m})


def layer_columns(result: Result) -> tuple[list[str], list[list[object]]]:
    """Heads and rows of the layer table: a column for each energy component and each memory level."""
    components = _keys(x.energy_breakdown_j for x in result.layers)
    levels = _keys(x.traffic_bits for x in result.layers)
    heads = ["name", "op", "phase", "passes", "macs", "macs_executed", "cycles", "busy_s", "exposed_s", "energy_j",
             "bound", *(f"energy_j.{c}" for c in components), *(f"traffic_bits.{v}" for v in levels)]  # fmt: skip
    return heads, [_layer_row(x, components, levels) for x in result.layers]


def _layer_row(x: LayerResult, components: Sequence[str], levels: Sequence[str]) -> list[object]:
    return [x.name, x.op, x.phase, x.passes, x.macs, x.macs_executed, x.cycles, x.busy_s, x.exposed_s, x.energy_j,
            x.bound, *(x.energy_breakdown_j.get(c, 0.0) for c in components),
            *(x.traffic_bits.get(v, 0) for v in levels)]  # fmt: skip


def layers_csv(result: Result) -> str:
    """One row a layer, in program order."""
    return _csv(*layer_columns(result))


def energy_csv(result: Result) -> str:
    """One row a component: its energy and its share."""
    total = sum(result.energy_breakdown_j.values())
    rows = [(name, joules, joules / total if total else 0.0) for name, joules in result.energy_breakdown_j.items()]
    return _csv(("component", "energy_j", "share"), rows)


def design_csv(result: Result) -> str:
    """One row a resolved design value: its unit, range, evidence, source and place."""
    rows = [(v.key, v.value, v.unit, v.low, v.high, v.evidence, v.source, v.place) for v in result.design]
    return _csv(("key", "value", "unit", "low", "high", "evidence", "source", "place"), rows)


def layers_frame(result: Result) -> pd.DataFrame:
    """The layer table as a pandas DataFrame, columns as in layers.csv."""
    import pandas as pd  # a quarter of a second that only notebooks pay

    heads, rows = layer_columns(result)
    return pd.DataFrame(rows, columns=heads)
