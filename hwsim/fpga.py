"""FPGA devices: what a device holds, and what its look-up tables, nets, flip-flops and memories cost.

An `Fpga` is one device with the figures of its family; the functions below turn them into picojoules, picoseconds and
square millimetres. They are plain arithmetic on plain numbers, so the same functions run in a single run and compiled
in a sweep. docs/energy.md says what each figure stands for and how far it is to be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hwsim.netlist.lut6 import LUT_PINS
from hwsim.pure import pure

if TYPE_CHECKING:
    from pathlib import Path

    from hwsim.table import Bounds, Figure, Reader

BRAM18_BITS = 18 * 1024
BRAM_WORD_BITS = 36
"""The widest word of one 18 Kbit block RAM; its access energy is of this word."""
_UM2_PER_MM2 = 1e6


class Fpga(NamedTuple):
    """One device. Counts are of the whole device; energies of one event, at the family's nominal supply.

    luts, flip_flops, dsps, bram18s   6-input look-up tables, flip-flops, DSP slices, block RAMs of 18 Kbit
    lut_toggle_pj     inside a look-up table, when its output changes once
    net_ff            switched capacitance of the average net a look-up table or flip-flop drives, femtofarads
    ff_clock_pj       one flip-flop clocked once, with its share of the last branches of the clock tree
    clock_cycle_pj    the rest of one clock tree, per cycle
    bram_access_pj    one access of an 18 Kbit block RAM, a word of 36 bits
    dsp_op_pj         one multiplication and addition of a DSP slice
    static_w          the whole device, configured, at 25 degrees C
    lut_ps, mux_ps    through a look-up table, through one wide multiplexer (F7, F8)
    net_ps            routing from one level of look-up tables to the next
    lut_um2, bram_um2 silicon of one look-up table with its flip-flops and its share of the routing; of one block RAM
    """

    luts: int
    flip_flops: int
    dsps: int
    bram18s: int
    supply_v: float
    lut_toggle_pj: float
    net_ff: float
    ff_clock_pj: float
    clock_cycle_pj: float
    bram_access_pj: float
    dsp_op_pj: float
    static_w: float
    lut_ps: float
    mux_ps: float
    net_ps: float
    lut_um2: float
    bram_um2: float


# --- look-up tables -----------------------------------------------------------------------------------------------


@pure
def level_ps(fpga: Fpga, pins: int) -> float:
    """Picoseconds of one level of `pins`-input tables: table, a multiplexer for each pin beyond 6, and the net."""
    return fpga.lut_ps + max(0, pins - LUT_PINS) * fpga.mux_ps + fpga.net_ps


# --- energy -------------------------------------------------------------------------------------------------------


@pure
def net_toggle_pj(fpga: Fpga) -> float:
    """One change of an average net: C V^2 / 2, half of what a full cycle up and down draws."""
    return fpga.net_ff * fpga.supply_v * fpga.supply_v / 2000


@pure
def lut_toggle_pj(fpga: Fpga) -> float:
    """One change of a look-up table's output, inside the table; the net it drives is not in it."""
    return fpga.lut_toggle_pj


@pure
def clock_w(fpga: Fpga, clock_khz: int, flip_flops: int) -> float:
    """Watts of one clock tree that runs all the time with `flip_flops` on it."""
    return (fpga.clock_cycle_pj + flip_flops * fpga.ff_clock_pj) * clock_khz * 1e-9


@pure
def bram_pj_per_bit(fpga: Fpga) -> float:
    """One bit of a word read from or written to block RAM."""
    return fpga.bram_access_pj / BRAM_WORD_BITS


# --- area ---------------------------------------------------------------------------------------------------------


@pure
def fabric_mm2(fpga: Fpga, luts: int) -> float:
    """Silicon of `luts` look-up tables with their flip-flops and routing."""
    return luts * fpga.lut_um2 / _UM2_PER_MM2


@pure
def bram_mm2(fpga: Fpga, blocks: int) -> float:
    """Silicon of `blocks` block RAMs."""
    return blocks * fpga.bram_um2 / _UM2_PER_MM2


# --- the table ----------------------------------------------------------------------------------------------------

_TABLE = "fpga.yaml"
COUNTS = ("luts", "flip_flops", "dsps", "bram18s")
_OF_DEVICE = (*COUNTS, "static_w")
_OF_FAMILY = tuple(f for f in Fpga._fields if f not in _OF_DEVICE)


def device_names() -> list[str]:
    """Names of the shipped devices."""
    return list(_shipped())


def device(name: str) -> Fpga:
    """The device called `name`: a shipped one, or FILE.yaml (or FILE.yaml#DEVICE) of the user's own.

    Raises InputError when there is no such device, or the file breaks a rule, with its place.
    """
    figures = device_figures(name)
    return _built({f: figures[f].value for f in Fpga._fields})


def device_bounds(name: str) -> tuple[Fpga, Fpga]:
    """The device called `name` with every energy, delay and area at the low, and at the high end of its range.

    What the device holds stays as it is. Raises as `device` does.
    """
    figures = device_figures(name)
    return _built({f: figures[f].low for f in Fpga._fields}), _built({f: figures[f].high for f in Fpga._fields})


def device_figures(name: str) -> Mapping[str, Figure]:
    """Every field of the device called `name` with its source, evidence and range. Raises as `device` does."""
    from hwsim.table import TABLES, select

    return select(name, "device", _TABLE, lambda path: _shipped() if path == TABLES / _TABLE else read_table(path))


def _built(values: Mapping[str, float]) -> Fpga:
    return Fpga(**{f: int(v) if f in COUNTS else v for f, v in values.items()})  # type: ignore[arg-type]


@lru_cache(maxsize=1)
def _shipped() -> Mapping[str, Mapping[str, Figure]]:
    from hwsim.table import TABLES

    return read_table(TABLES / _TABLE)


def read_table(path: str | Path) -> dict[str, dict[str, Figure]]:
    """The FPGA table in the file at `path`: device name -> field of `Fpga` -> figure.

    Raises InputError with every problem and its place.
    """
    from hwsim.document import read_yaml
    from hwsim.table import Reader

    reader = Reader(read_yaml(path))
    checker = reader.checker
    data = checker.keys((), reader.document.data, "an FPGA table", ("families", "devices")) or {}
    families = {
        name: reader.figures(("families", name), raw, "a family", {f: _bounds(f) for f in _OF_FAMILY})
        for name, raw in _entries(reader, data, "families").items()
    }
    found = {
        name: _device(reader, ("devices", name), raw, families)
        for name, raw in _entries(reader, data, "devices").items()
    }
    checker.raise_problems()
    return found


def _entries(reader: Reader, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if key not in data:
        return {}
    raw = reader.checker.mapping((key,), data[key], key)
    if raw is not None and not raw:
        reader.checker.fail((key,), "empty", raw, f"an FPGA table has at least one entry of {key}")
    return raw or {}


def _device(
    reader: Reader, path: tuple[str | int, ...], raw: Any, families: Mapping[str, Mapping[str, Figure]]
) -> dict[str, Figure]:
    """The figures of one device: its own, and those of the family it names."""
    checker = reader.checker
    own = checker.keys(path, raw, "a device", ("family", "summary", *_OF_DEVICE), ("source", "evidence"))
    if own is None:
        return {}
    checker.text(path, own, "summary")
    family = checker.choice((*path, "family"), own["family"], families) if "family" in own else None
    rest = {k: v for k, v in own.items() if k not in ("family", "summary")}
    return {**(family or {}), **reader.figures(path, rest, "a device", {f: _bounds(f) for f in _OF_DEVICE}, ())}


def _bounds(field: str) -> Bounds:
    from hwsim.table import Bounds

    if field in COUNTS:
        return Bounds(1 if field == "luts" else 0, 1 << 24, True)
    return Bounds(0.1, 10) if field == "supply_v" else Bounds(0, 1e7)
