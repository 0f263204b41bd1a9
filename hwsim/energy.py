"""The shared energy model: technology nodes, and what one action costs as a function of size, width and node.

A `Node` holds the figures of one technology; the functions below turn them into picojoules, watts and square
millimetres. They are plain arithmetic on plain numbers, so the same functions run in a single run and compiled in a
sweep. Between published sizes every figure follows a power law (a straight line in log-log); docs/energy.md has the
sources, the rule, and how far it is from published points it was not fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from hwsim.pure import loglog, pure

if TYPE_CHECKING:
    from pathlib import Path

    from hwsim.table import Bounds, Figure, Reader

SRAM_WORD_BITS = 64
"""Width of the published SRAM accesses (Horowitz 2014; Jouppi 2021)."""
BITS_PER_KIB = 8192
_UM2_PER_MM2 = 1e6
INTERPOLATION_SPREAD = 1.35
"""An interpolated figure's range is widened by this factor either way: no less than the error of the rule at any
published area or arithmetic point it was not given (docs/energy.md; `tests/test_energy.py` prints them)."""


class Node(NamedTuple):
    """One technology node. Energies are of one operation at nominal voltage; SRAM energies of one 64-bit read."""

    feature_nm: float
    supply_v: float
    int8_add_pj: float
    int32_add_pj: float
    int8_mult_pj: float
    int32_mult_pj: float
    fp16_add_pj: float
    fp32_add_pj: float
    fp16_mult_pj: float
    fp32_mult_pj: float
    bf16_add_pj: float
    bf16_mult_pj: float
    register_pj_per_bit: float
    sram_8kib_pj: float
    sram_32kib_pj: float
    sram_1mib_pj: float
    sram_fixed_share: float
    sram_write_ratio: float
    flash_read_pj_per_bit: float
    wire_pj_per_bit_mm: float
    sram_cell_um2: float
    sram_array_efficiency: float
    int8_add_um2: float
    int32_add_um2: float
    int8_mult_um2: float
    int32_mult_um2: float
    fp16_add_um2: float
    fp32_add_um2: float
    fp16_mult_um2: float
    fp32_mult_um2: float
    register_um2_per_bit: float
    logic_utilisation: float
    sram_leakage_w_per_bit: float
    logic_leakage_w_per_mm2: float


# --- arithmetic ---------------------------------------------------------------------------------------------------


@pure
def int_add_pj(node: Node, bits: int) -> float:
    """An integer addition of two `bits`-bit numbers: a power law through the published 8 and 32 bits."""
    return loglog(bits, 8, node.int8_add_pj, 32, node.int32_add_pj)


@pure
def compare_pj(node: Node, bits: int) -> float:
    """A comparison (a maximum, a ReLU): a subtraction whose sign is kept."""
    return int_add_pj(node, bits)


@pure
def int_mult_pj(node: Node, a_bits: int, b_bits: int) -> float:
    """An integer multiplication: a power law in the partial-product bits a*b, through the published 8x8 and 32x32."""
    return loglog(a_bits * b_bits, 64, node.int8_mult_pj, 1024, node.int32_mult_pj)


@pure
def mac_pj(node: Node, a_bits: int, b_bits: int, acc_bits: int) -> float:
    """A multiplication and its addition to an `acc_bits`-bit sum. The register that holds the sum is not in it."""
    return int_mult_pj(node, a_bits, b_bits) + int_add_pj(node, acc_bits)


@pure
def fp_add_pj(node: Node, bits: int) -> float:
    """An IEEE floating-point addition: a power law through the published 16 and 32 bits."""
    return loglog(bits, 16, node.fp16_add_pj, 32, node.fp32_add_pj)


@pure
def fp_mult_pj(node: Node, bits: int) -> float:
    """An IEEE floating-point multiplication: a power law through the published 16 and 32 bits."""
    return loglog(bits, 16, node.fp16_mult_pj, 32, node.fp32_mult_pj)


@pure
def fp_mac_pj(node: Node, bits: int) -> float:
    """A floating-point multiply-accumulate of `bits`-bit numbers, not fused: a multiplication and an addition."""
    return fp_mult_pj(node, bits) + fp_add_pj(node, bits)


@pure
def bf16_mac_pj(node: Node) -> float:
    """A bfloat16 multiplication added to an fp32 sum."""
    return node.bf16_mult_pj + node.fp32_add_pj


# --- storage and wires ----------------------------------------------------------------------------------------------


@pure
def register_pj_per_bit(node: Node) -> float:
    """One bit of a register clocked and written once."""
    return node.register_pj_per_bit


@pure
def _sram_read_64_pj(node: Node, capacity_bits: int) -> float:
    """A 64-bit read of an SRAM of `capacity_bits`: a power law between the published sizes.

    Beyond them it goes as the square root of the size: bit and word lines, and the way to a bank, grow with the side
    of the array (assumed; the published points lie between the powers 0.1 and 0.5).
    """
    kib = capacity_bits / BITS_PER_KIB
    if kib <= 8:
        return node.sram_8kib_pj * sqrt(kib / 8)
    if kib <= 32:
        return loglog(kib, 8, node.sram_8kib_pj, 32, node.sram_32kib_pj)
    if kib <= 1024:
        return loglog(kib, 32, node.sram_32kib_pj, 1024, node.sram_1mib_pj)
    return node.sram_1mib_pj * sqrt(kib / 1024)


@pure
def sram_read_pj(node: Node, capacity_bits: int, word_bits: int) -> float:
    """One read of a `word_bits`-bit word: a fixed share (decoder, word line) and one that grows with the word.

    Never below the energy of as many register bits.
    """
    share = node.sram_fixed_share
    access = _sram_read_64_pj(node, capacity_bits) * (share + (1 - share) * word_bits / SRAM_WORD_BITS)
    return max(access, word_bits * node.register_pj_per_bit)


@pure
def sram_read_pj_per_bit(node: Node, capacity_bits: int, word_bits: int) -> float:
    """`sram_read_pj` over the word's bits; an SRAM of more than one bank counts one bank's capacity."""
    return sram_read_pj(node, capacity_bits, word_bits) / word_bits


@pure
def sram_write_pj_per_bit(node: Node, capacity_bits: int, word_bits: int) -> float:
    """One write over the word's bits: a fixed ratio to the read."""
    return node.sram_write_ratio * sram_read_pj_per_bit(node, capacity_bits, word_bits)


@pure
def flash_read_pj_per_bit(node: Node) -> float:
    """One bit read from embedded flash."""
    return node.flash_read_pj_per_bit


@pure
def wire_pj_per_bit_mm(node: Node) -> float:
    """One bit of random data over one millimetre of full-swing wire."""
    return node.wire_pj_per_bit_mm


@pure
def bus_pj(node: Node, bits: int, length_mm: float) -> float:
    """`bits` of random data over `length_mm` of bus."""
    return bits * length_mm * node.wire_pj_per_bit_mm


# --- leakage --------------------------------------------------------------------------------------------------------


@pure
def sram_leakage_w(node: Node, capacity_bits: int) -> float:
    """Watts an SRAM of `capacity_bits` leaks."""
    return capacity_bits * node.sram_leakage_w_per_bit


@pure
def logic_leakage_w(node: Node, area_mm2: float) -> float:
    """Watts that `area_mm2` of placed logic leaks."""
    return area_mm2 * node.logic_utilisation * node.logic_leakage_w_per_mm2


# --- area -----------------------------------------------------------------------------------------------------------


@pure
def sram_area_mm2(node: Node, capacity_bits: int) -> float:
    """Area of an SRAM macro: its bit cells over the share of the macro they fill."""
    return capacity_bits * node.sram_cell_um2 / node.sram_array_efficiency / _UM2_PER_MM2


@pure
def register_area_mm2(node: Node, bits: int) -> float:
    """Placed area of `bits` flip-flops."""
    return bits * node.register_um2_per_bit / node.logic_utilisation / _UM2_PER_MM2


@pure
def adder_area_mm2(node: Node, bits: int) -> float:
    """Placed area of an integer adder: a power law through the published 8 and 32 bits."""
    return loglog(bits, 8, node.int8_add_um2, 32, node.int32_add_um2) / node.logic_utilisation / _UM2_PER_MM2


@pure
def mult_area_mm2(node: Node, a_bits: int, b_bits: int) -> float:
    """Placed area of an integer multiplier: a power law in a*b, through the published 8x8 and 32x32."""
    cells = loglog(a_bits * b_bits, 64, node.int8_mult_um2, 1024, node.int32_mult_um2)
    return cells / node.logic_utilisation / _UM2_PER_MM2


@pure
def mac_area_mm2(node: Node, a_bits: int, b_bits: int, acc_bits: int) -> float:
    """Placed area of a multiplier, the adder of its `acc_bits`-bit sum, and the register that holds the sum."""
    arithmetic = mult_area_mm2(node, a_bits, b_bits) + adder_area_mm2(node, acc_bits)
    return arithmetic + register_area_mm2(node, acc_bits)


@pure
def fp_mac_area_mm2(node: Node, bits: int) -> float:
    """Placed area of a floating-point multiplier and adder of `bits` bits."""
    mult = loglog(bits, 16, node.fp16_mult_um2, 32, node.fp32_mult_um2)
    add = loglog(bits, 16, node.fp16_add_um2, 32, node.fp32_add_um2)
    return (mult + add) / node.logic_utilisation / _UM2_PER_MM2


@pure
def at_voltage_pj(node: Node, energy_pj: float, supply_v: float) -> float:
    """A dynamic energy of this node at another supply voltage: as the square of the voltage (full-swing CMOS)."""
    ratio = supply_v / node.supply_v
    return energy_pj * ratio * ratio


# --- the scaling rule -----------------------------------------------------------------------------------------------


def scale(feature_nm: float, points: Sequence[tuple[float, float]]) -> float:
    """A figure at `feature_nm` from published (nm, value) points, each nm once.

    Log-log through the two nearest points, along the outermost two beyond the ends; the value itself where there is
    one point. A point's own value is returned exactly.
    """
    ordered = sorted(points)
    for nm, value in ordered:
        if nm == feature_nm:
            return value
    if len(ordered) == 1:
        return ordered[0][1]
    at = 1
    while at < len(ordered) - 1 and ordered[at][0] < feature_nm:
        at += 1
    (low_nm, low), (high_nm, high) = ordered[at - 1], ordered[at]
    return loglog(feature_nm, low_nm, low, high_nm, high)


# --- the table ----------------------------------------------------------------------------------------------------

_TABLE = "technology.yaml"
_RATIOS = ("sram_fixed_share", "sram_array_efficiency", "logic_utilisation")
_CURVES = (*(f for f in Node._fields if f != "feature_nm"), "logic_area_ratio")


class Curve(NamedTuple):
    """The published points of one figure, as (nm, Figure); `like` names the curve that a lone point follows."""

    points: tuple[tuple[float, Figure], ...]
    like: str = ""


def node_names() -> list[str]:
    """Names of the shipped technology nodes."""
    return list(_shipped())


def node(name: str) -> Node:
    """The technology node called `name`: a shipped one, or FILE.yaml (or FILE.yaml#NODE) of the user's own.

    Raises InputError when there is no such node, or the file breaks a rule, with its place.
    """
    figures = node_figures(name)
    return Node(*(figures[f].value for f in Node._fields))


def node_bounds(name: str) -> tuple[Node, Node]:
    """The node called `name` with every figure at the low, and at the high end of its range. Raises as `node` does."""
    figures = node_figures(name)
    return Node(*(figures[f].low for f in Node._fields)), Node(*(figures[f].high for f in Node._fields))


def node_figures(name: str) -> Mapping[str, Figure]:
    """Every field of the node called `name` with its source, evidence and range. Raises as `node` does."""
    from hwsim.table import TABLES, select

    return select(name, "technology", _TABLE, lambda path: _shipped() if path == TABLES / _TABLE else read_table(path))


@lru_cache(maxsize=1)
def _shipped() -> Mapping[str, Mapping[str, Figure]]:
    from hwsim.table import TABLES

    return read_table(TABLES / _TABLE)


@lru_cache(maxsize=1)
def _shipped_curves() -> Mapping[str, Curve]:
    from hwsim.document import read_yaml
    from hwsim.table import TABLES, Reader

    reader = Reader(read_yaml(TABLES / _TABLE))
    return _curves(reader, reader.document.data["figures"])


def read_table(path: str | Path) -> dict[str, dict[str, Figure]]:
    """The technology table in the file at `path`: node name -> field of `Node` -> figure.

    A node gives its `feature_nm` and whatever figures it knows; the rest come from the table's curves, and from the
    shipped table's where it has none. Raises InputError with every problem and its place.
    """
    from hwsim.document import read_yaml
    from hwsim.table import Reader

    reader = Reader(read_yaml(path))
    checker = reader.checker
    data = checker.keys((), reader.document.data, "a technology table", ("nodes",), ("figures",)) or {}
    curves = _curves(reader, data["figures"]) if "figures" in data else {}
    raw = (checker.mapping(("nodes",), data["nodes"], "nodes") or {}) if "nodes" in data else {}
    given = {name: _given(reader, ("nodes", name), entry) for name, entry in raw.items()}
    if "nodes" in data and not raw:
        checker.fail(("nodes",), "empty", data["nodes"], "a technology table has at least one node")
    checker.raise_problems()
    if not set(_CURVES) <= set(curves):
        curves = {**_shipped_curves(), **curves}
    return {name: _complete(figures, curves) for name, figures in given.items()}


def _bounds(name: str) -> Bounds:
    from hwsim.table import Bounds

    if name in ("nm", "feature_nm"):
        return Bounds(1, 1000)
    if name == "sram_fixed_share":
        return Bounds(0, 1)
    return Bounds(0.01, 1) if name in _RATIOS else Bounds(1e-18, 1e6)


def _given(reader: Reader, path: tuple[str | int, ...], raw: Any) -> dict[str, Figure]:
    """The figures one node gives itself; `feature_nm` is its name's number and needs no source."""
    if not isinstance(raw, dict):
        reader.checker.mapping(path, raw, "a node")
        return {}
    if "summary" in raw:
        reader.checker.text(path, raw, "summary")
    rest = {k: v for k, v in raw.items() if k not in ("summary", "feature_nm")}
    figures = reader.figures(path, rest, "a node", {f: _bounds(f) for f in Node._fields[1:]}, ())
    if "feature_nm" not in raw:
        reader.checker.fail(path, "missing-key", None, "a node needs the key feature_nm")
        return figures
    itself = {"source": "the node's name", "evidence": "verified"}
    size = reader.figure((*path, "feature_nm"), raw["feature_nm"], _bounds("feature_nm"), itself)
    return figures if size is None else {**figures, "feature_nm": size}


def _curves(reader: Reader, raw: Any) -> dict[str, Curve]:
    checker = reader.checker
    if checker.keys(("figures",), raw, "figures", (), _CURVES) is None:
        return {}
    found = {name: _curve(reader, name, raw[name]) for name in _CURVES if name in raw}
    for name, curve in found.items():
        if curve.like and (curve.like not in found or found[curve.like].like):
            rule = "names a figure of this table that follows no other"
            checker.fail(("figures", name, "like"), "choice", curve.like, rule)
    return found


def _curve(reader: Reader, name: str, raw: Any) -> Curve:
    """One curve: a list of points, or a mapping of `at` with `like`, `source` and `evidence` for all of them."""
    path: tuple[str | int, ...] = ("figures", name)
    checker = reader.checker
    whole = raw if isinstance(raw, dict) else {"at": raw}
    if isinstance(raw, dict):
        checker.keys(path, raw, "a figure", ("at",), ("like", "source", "evidence"))
        path = (*path, "at")
    points = []
    for i, entry in enumerate(checker.items(path, whole.get("at"), "the points of a figure")):
        point = _point(reader, (*path, i), entry, name, whole)
        if point is not None:
            points.append(point)
    if len({nm for nm, _ in points}) < len(points):
        checker.fail(path, "duplicate", [nm for nm, _ in points], "every point has its own nm")
    like = checker.text(("figures", name), whole, "like", "") or ""
    if like and len(points) != 1:
        checker.fail(("figures", name), "points", len(points), "a figure that follows another has exactly one point")
    if not points and not checker.problems:
        checker.fail(path, "empty", [], "a figure has at least one point")
    return Curve(tuple(points), like)


def _point(
    reader: Reader, path: tuple[str | int, ...], raw: Any, name: str, shared: Mapping[str, Any]
) -> tuple[float, Figure] | None:
    checker = reader.checker
    keys = ("nm", "value"), ("source", "evidence", "range")
    if checker.keys(path, raw, "a point", *keys) is None or "nm" not in raw or "value" not in raw:
        return None
    if not reader.allowed((*path, "nm"), raw["nm"], _bounds("nm")):
        return None
    rest = {k: v for k, v in raw.items() if k != "nm"}
    figure = reader.figure(path, rest, _bounds(name), {k: shared[k] for k in ("source", "evidence") if k in shared})
    return None if figure is None else (float(raw["nm"]), figure)


def _complete(given: Mapping[str, Figure], curves: Mapping[str, Curve]) -> dict[str, Figure]:
    """The figures a node gives, and the others from the curves at its feature size."""
    nm = given["feature_nm"].value
    return {f: given[f] if f in given else _figure_at(nm, curves[f], curves) for f in Node._fields}


def _figure_at(nm: float, curve: Curve, curves: Mapping[str, Curve]) -> Figure:
    from hwsim.table import Figure

    for at, figure in curve.points:
        if at == nm or (len(curve.points) == 1 and not curve.like):
            return figure
    at, anchor = curve.points[0]
    rule = f"log-log between {', '.join(f'{p:g} nm' for p, _ in sorted(curve.points, key=lambda p: p[0]))}"
    ends = [scale(nm, [(p, end(f)) for p, f in curve.points]) for end in _ENDS]
    if curve.like:
        guide = curves[curve.like]
        ratio = _figure_at(nm, guide, curves).value / _figure_at(at, guide, curves).value
        ends = [end(anchor) * ratio for end in _ENDS]
        rule = f"as {curve.like} from {at:g} nm"
    sources = "; ".join(dict.fromkeys(f.source for _, f in curve.points))
    low, high = min(ends[1:]) / INTERPOLATION_SPREAD, max(ends[1:]) * INTERPOLATION_SPREAD
    return Figure(ends[0], low, high, f"{rule}: {sources}", "computed", anchor.where)


def _low(figure: Figure) -> float:
    return figure.low


def _high(figure: Figure) -> float:
    return figure.high


def _value(figure: Figure) -> float:
    return figure.value


_ENDS = (_value, _low, _high)
