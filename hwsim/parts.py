"""What a design names rather than spells out: entries of tables, each a named tuple of numbers.

A model says which tables its designs name (`Model.tables`, by default technology and DRAM). A design file has the key
of each of them, and `Parts` the entry; a table that a model's designs do not name stands in `Parts` as figures that
are no numbers, so that a price that reads one is caught.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hwsim import dram, energy, fpga
from hwsim.dram import Dram
from hwsim.energy import Node
from hwsim.fpga import Fpga

_NAN = float("nan")
_NO_NODE = Node(*(_NAN for _ in Node._fields))
_NO_DRAM = Dram(*(_NAN if f in dram.ENERGY else 0 for f in Dram._fields))  # type: ignore[arg-type]
_NO_FPGA = Fpga(*(0 if f in fpga.COUNTS else _NAN for f in Fpga._fields))  # type: ignore[arg-type]


class Parts(NamedTuple):
    """The entries that a design names, resolved (see hwsim.energy, hwsim.dram, hwsim.fpga). Named tuples of numbers,
    usable from compiled code."""

    node: Node = _NO_NODE
    dram: Dram = _NO_DRAM
    fpga: Fpga = _NO_FPGA


@dataclass(frozen=True, slots=True)
class Table:
    """One table that designs name an entry of.

    key      the key of design files, of sweeps and of --set
    part     the field of Parts
    figures  what an interval calls the table's figures, moved together
    text     what the key holds, for the JSON Schema
    """

    key: str
    part: str
    figures: str
    text: str
    names: Callable[[], list[str]]
    read: Callable[[str], Any]
    bounds: Callable[[str], tuple[Any, Any]]


TABLES: Mapping[str, Table] = {
    table.key: table
    for table in (
        Table("technology", "node", "technology energies", "a node of the technology table, or a table file",
              energy.node_names, energy.node, energy.node_bounds),
        Table("dram", "dram", "dram energies", "a part of the DRAM table, or a table file",
              dram.part_names, dram.part, dram.part_bounds),
        Table("device", "fpga", "device energies and delays", "a device of the FPGA table, or a table file",
              fpga.device_names, fpga.device, fpga.device_bounds),
    )
}  # fmt: skip
"""Every table there is, by key, in the order of reports."""

DEFAULT_TABLES = ("technology", "dram")


def tables_of(model: Any) -> tuple[str, ...]:
    """The keys of the tables that designs of `model` name."""
    keys: Sequence[str] = getattr(model, "tables", DEFAULT_TABLES)
    return tuple(key for key in TABLES if key in keys)


def resolve_parts(named: Mapping[str, str]) -> Parts:
    """The entries called so, or read from the user's own table files, by the tables' keys.

    Raises InputError for an unknown entry or a wrong file.
    """
    return Parts(**{TABLES[key].part: TABLES[key].read(name) for key, name in named.items()})
