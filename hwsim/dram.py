"""Off-chip DRAM: timing sets, energies, and closed forms for what streaming through it takes.

A channel is one set of banks behind one data bus. Addresses go round the bank groups burst by burst (so that two
column commands in a row fall into different groups), then along the row, then to the next bank; the bank is hashed
with the row, so a run that starts anywhere meets a bank at random. A *run* is a stretch of consecutive addresses.

The closed forms are steady-state means over runs that start at random; `hwsim.dram_machine` steps the same channel
command by command and is their oracle (docs/memory.md has the measured error).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hwsim.pure import ceil_div, cycles_to_ps, isqrt, pure

if TYPE_CHECKING:
    from pathlib import Path

    from hwsim.table import Bounds, Figure, Reader

WINDOW_BURSTS = 32
"""Bursts the controller looks ahead to open rows: the depth of its read queue. Assumed; 16 to 64 are usual."""

_Q = 256
"""Fixed point of the steady-state arithmetic: a cycle is 256 units."""
_ONE = _Q * _Q
"""Fixed point of its probabilities."""


class Dram(NamedTuple):
    """One DRAM part as one channel sees it. Timings are in cycles of the command clock, already rounded up.

    `burst_bits` moves with one column command and holds the data bus for `burst_cycles`. Refresh steals `rfc_cycles`
    out of every `refi_cycles`. Names follow JEDEC: `rcd` is tRCD, `ccd_s`/`ccd_l` are tCCD_S/tCCD_L (different or
    same bank group). Energies are of one channel: `activate_pj` opens and closes one row of all its devices,
    `refresh_pj` is one refresh command, reads and writes hold core and interface, `background_w` flows all the time.
    """

    clock_khz: int
    width_bits: int
    burst_bits: int
    burst_cycles: int
    row_bits: int
    banks: int
    groups: int
    channel_capacity_bits: int
    rcd_cycles: int
    rp_cycles: int
    ras_cycles: int
    cl_cycles: int
    cwl_cycles: int
    ccd_s_cycles: int
    ccd_l_cycles: int
    rrd_s_cycles: int
    rrd_l_cycles: int
    faw_cycles: int
    wr_cycles: int
    wtr_s_cycles: int
    wtr_l_cycles: int
    rtp_cycles: int
    rfc_cycles: int
    refi_cycles: int
    activate_pj: float
    read_pj_per_bit: float
    write_pj_per_bit: float
    refresh_pj: float
    background_w: float


# --- one run, in the steady state ---------------------------------------------------------------------------------


@pure
def column_cycles(dram: Dram) -> int:
    """Cycles between column commands of one run: the data bus, tCCD_S, and tCCD_L shared by the bank groups."""
    return max(dram.burst_cycles, dram.ccd_s_cycles, ceil_div(dram.ccd_l_cycles, dram.groups))


@pure
def _run_activations_q(dram: Dram, bursts: int) -> int:
    """Mean rows that a run of `bursts` opens, times _Q: one a bank group it touches, one more a row's length after."""
    touched = min(bursts, dram.groups)
    return _Q * touched + _Q * (bursts - touched) // (dram.row_bits // dram.burst_bits)


@pure
def _activate_bound_q(dram: Dram, bursts: int) -> int:
    """Cycles a run takes by tRRD and tFAW alone, times _Q."""
    rrd_q = _Q * (dram.rrd_s_cycles * (dram.groups - 1) + dram.rrd_l_cycles) // dram.groups
    faw_q = _Q * dram.faw_cycles // 4
    return _run_activations_q(dram, bursts) * max(rrd_q, faw_q) // _Q


@pure
def _late_cycles(dram: Dram) -> int:
    """Cycles by which the next row of a long run opens too late: WINDOW_BURSTS ahead may not be early enough for a
    precharge, an activate in every bank group, and tRCD."""
    column = column_cycles(dram)
    opening = dram.rp_cycles + dram.rcd_cycles + (dram.groups - 1) * max(0, dram.rrd_s_cycles - column)
    return max(0, opening - WINDOW_BURSTS * column)


@pure
def stream_cycles(dram: Dram, bursts: int) -> int:
    """Cycles one run of `bursts` takes once it flows: column commands, and the rows of all groups changing together."""
    rows = bursts // (dram.groups * (dram.row_bits // dram.burst_bits))
    return bursts * column_cycles(dram) + rows * _late_cycles(dram)


@pure
def _column_bound_q(dram: Dram, bursts: int) -> int:
    """Cycles one of many runs takes by its column commands alone, times _Q: one run in `groups` begins in the group
    where the last one ended, and one longer than the window is seen coming too late."""
    late_q = _Q * _late_cycles(dram) * min(1, bursts // WINDOW_BURSTS)
    same_q = _Q * max(0, dram.ccd_l_cycles - column_cycles(dram)) // dram.groups
    return _Q * stream_cycles(dram, bursts) + late_q + same_q


@pure
def _reopen_cycles(dram: Dram, span: int, write: int) -> int:
    """Cycles from the activation of a bank to that of its next row, when its columns take `span` cycles.

    Reads of a waiting run find part of tRAS over, which makes up for the spread of the waits about their mean; writes
    hold the bank through their recovery and show it: a sixth more, fitted to `hwsim.dram_machine` (docs/memory.md).
    """
    if write == 1:
        recovery = dram.cwl_cycles + dram.burst_cycles + dram.wr_cycles
        held = max(dram.rcd_cycles + recovery, dram.ras_cycles - span) + dram.rp_cycles
        return held + ceil_div(held, 6)
    return max(dram.rcd_cycles + dram.rtp_cycles, dram.ras_cycles - span) + dram.rp_cycles


@pure
def _conflict(dram: Dram, bursts: int, write: int) -> int:
    """Cycles a run waits when the run before it holds a row it needs closed: closing and opening, less what the run
    takes anyway. Where it needs every bank group, their activations follow one another by tRRD."""
    column = column_cycles(dram)
    tail = min(bursts, dram.groups * (dram.row_bits // dram.burst_bits))
    span = max(0, tail - dram.groups) * column
    stagger = 0
    if bursts > dram.groups:
        stagger = (dram.groups - 1) * max(0, dram.rrd_s_cycles - column)
    return _reopen_cycles(dram, span, write) + stagger - (tail * column - span)


@pure
def _with_conflicts_q(dram: Dram, bursts: int, write: int) -> int:
    """Mean cycles of a run that meets its banks at random, times _Q.

    A run meets a bank of the d-th run before it, and none nearer, with probability p (1-p)^(d-1), and then waits
    for what is left of the conflict after d-1 runs. The mean x solves
    x = column_bound + sum_d p (1-p)^(d-1) max(0, conflict - (d-1) x), term by term.
    """
    base_q = _column_bound_q(dram, bursts)
    conflict_q = _Q * _conflict(dram, bursts, write)
    share = _ONE * min(dram.groups, 2 * bursts - 1) // dram.banks
    weight, met, delayed = share, 0, 0
    mean_q = base_q
    d = 1
    while d <= 64 and conflict_q > (d - 1) * mean_q:
        met = met + weight
        delayed = delayed + weight * (d - 1)
        mean_q = base_q + (conflict_q * met - base_q * delayed) // (_ONE + delayed)
        weight = weight * (_ONE - share) // _ONE
        d = d + 1
    return mean_q


@pure
def _smooth_max(a: int, b: int) -> int:
    """(a^4 + b^4)^(1/4): two random bounds that are nearly equal delay each other; far apart the larger one rules.

    The exponent is fitted to `hwsim.dram_machine` (docs/memory.md).
    """
    high, low = max(a, b), min(a, b)
    if high == 0:
        return 0
    ratio = _Q * low // high
    fourth = _ONE * _ONE + ratio * ratio * ratio * ratio
    root = isqrt(isqrt(fourth * _ONE) * _Q)
    # In two parts, so that no product leaves 64 bits.
    return high // _ONE * root + high % _ONE * root // _ONE


@pure
def run_cycles_q(dram: Dram, bursts: int, write: int) -> int:
    """Mean cycles a channel spends on one of many runs of `bursts` at random addresses, times 256."""
    return _smooth_max(_activate_bound_q(dram, bursts), _with_conflicts_q(dram, bursts, write))


# --- transfers ----------------------------------------------------------------------------------------------------


class Share(NamedTuple):
    """What one channel gets of a transfer: `runs` pieces of `bursts` each."""

    runs: int
    bursts: int


@pure
def channel_share(dram: Dram, channels: int, bits: int, runs: int) -> Share:
    """The busiest channel's share of `bits` in `runs` equal runs, each dealt out burst by burst over the channels."""
    runs = max(1, min(runs, bits))
    bursts = ceil_div(ceil_div(bits, runs), dram.burst_bits)
    spread = max(1, min(channels, bursts))
    return Share(ceil_div(runs * spread, channels), ceil_div(bursts, spread))


@pure
def refresh_steal_cycles(dram: Dram) -> int:
    """Cycles one all-bank refresh takes from the data bus: drain and close the rows, tRFC, open them again."""
    return dram.rtp_cycles + dram.rp_cycles + dram.rfc_cycles + dram.rcd_cycles


@pure
def _with_refresh(dram: Dram, cycles: int) -> int:
    steal = refresh_steal_cycles(dram)
    between = dram.refi_cycles - steal
    whole = cycles // between
    return cycles + whole * steal + ceil_div((cycles - whole * between) * steal, between)


@pure
def transfer_cycles(dram: Dram, channels: int, bits: int, runs: int, refresh: int, write: int = 0) -> int:
    """`transfer_ps` in cycles of the command clock."""
    if bits <= 0:
        return 0
    share = channel_share(dram, channels, bits, runs)
    cycles = stream_cycles(dram, share.bursts)
    if share.runs > 1:
        mean_q = run_cycles_q(dram, share.bursts, write)
        cycles = cycles + ceil_div((share.runs - 1) * mean_q, _Q)
    if refresh == 1:
        cycles = _with_refresh(dram, cycles)
    return cycles


@pure
def transfer_ps(dram: Dram, channels: int, bits: int, runs: int, refresh: int, write: int = 0) -> int:
    """Picoseconds that streaming `bits`, in `runs` equal contiguous runs at random places, holds the data bus.

    The stream is dealt out over `channels` channels. `refresh` is 1 to give refresh its share of the time, `write` 1
    for writes. The latency of the first access is not in it (`first_access_ps`). Exact in 64 bits for up to 2^45
    bits as long as the result stays below 10^6 s.
    """
    return cycles_to_ps(transfer_cycles(dram, channels, bits, runs, refresh, write), dram.clock_khz)


@pure
def activations(dram: Dram, channels: int, bits: int, runs: int) -> int:
    """Mean number of row activations over all channels for `bits` in `runs` equal runs at random places, rounded up.

    A run opens a row in every bank group it touches, and one more for each row's length after that.
    """
    if bits <= 0:
        return 0
    runs = max(1, min(runs, bits))
    bursts = ceil_div(ceil_div(bits, runs), dram.burst_bits)
    spread = max(1, min(channels, bursts))
    piece = ceil_div(bursts, spread)
    touched = min(piece, dram.groups)
    per_row = dram.row_bits // dram.burst_bits
    return runs * spread * touched + ceil_div(runs * spread * (piece - touched), per_row)


@pure
def first_access_ps(dram: Dram) -> int:
    """Picoseconds from a request to an idle channel to the last bit of its first burst: tRCD, CL and the burst."""
    return cycles_to_ps(dram.rcd_cycles + dram.cl_cycles + dram.burst_cycles, dram.clock_khz)


@pure
def peak_bits_per_s(dram: Dram) -> int:
    """Bits a second on the data bus of one channel when nothing is in the way."""
    return dram.burst_bits // dram.burst_cycles * dram.clock_khz * 1000


@pure
def transfer_pj(dram: Dram, channels: int, bits: int, runs: int, write: int = 0) -> float:
    """Picojoules of moving `bits` in `runs` runs: row activations and the bits themselves, core and interface."""
    per_bit = dram.read_pj_per_bit
    if write == 1:
        per_bit = dram.write_pj_per_bit
    return activations(dram, channels, bits, runs) * dram.activate_pj + bits * per_bit


@pure
def idle_w(dram: Dram, channels: int) -> float:
    """Watts of `channels` channels that are on and do nothing but refresh."""
    refresh_w = dram.refresh_pj * dram.clock_khz / dram.refi_cycles * 1e-9
    return channels * (dram.background_w + refresh_w)


# --- the table ----------------------------------------------------------------------------------------------------

_ORGANISATION = (
    "clock_khz", "width_bits", "burst_bits", "burst_cycles", "row_bits", "banks", "groups", "channel_capacity_bits",
)  # fmt: skip
ENERGY = ("activate_pj", "read_pj_per_bit", "write_pj_per_bit", "refresh_pj", "background_w")
_TIMING = tuple(f for f in Dram._fields if f not in _ORGANISATION + ENERGY)
_CURRENTS = ("devices", "current_share", "interface_pj_per_bit")
_RAIL = ("volts", "idd0_ma", "idd2n_ma", "idd3n_ma", "idd4r_ma", "idd4w_ma", "idd5b_ma")
_TABLE = "dram.yaml"


def part_names() -> list[str]:
    """Names of the shipped DRAM parts."""
    return list(_shipped())


def part(name: str) -> Dram:
    """The DRAM part called `name`: a shipped one, or FILE.yaml (or FILE.yaml#PART) of the user's own.

    Raises InputError when there is no such part, or the file breaks a rule, with its place.
    """
    figures = part_figures(name)
    values = {f: figures[f].value for f in Dram._fields}
    return Dram(**{f: v if f in ENERGY else int(v) for f, v in values.items()})  # type: ignore[arg-type]


def part_bounds(name: str) -> tuple[Dram, Dram]:
    """The part called `name` with every energy at the low, and at the high end of its range. Raises as `part` does.

    Timings stay as they are: they are what the standard grades the part by.
    """
    nominal, figures = part(name), part_figures(name)
    low: dict[str, Any] = {f: figures[f].low for f in ENERGY}
    high: dict[str, Any] = {f: figures[f].high for f in ENERGY}
    return nominal._replace(**low), nominal._replace(**high)


def part_figures(name: str) -> Mapping[str, Figure]:
    """Every field of the part called `name` with its source, evidence and range. Raises as `part` does."""
    from hwsim.table import TABLES, select

    return select(name, "dram", _TABLE, lambda path: _shipped() if path == TABLES / _TABLE else read_table(path))


@lru_cache(maxsize=1)
def _shipped() -> Mapping[str, Mapping[str, Figure]]:
    from hwsim.table import TABLES

    return read_table(TABLES / _TABLE)


def read_table(path: str | Path) -> dict[str, dict[str, Figure]]:
    """The DRAM table in the file at `path`: part name -> field of `Dram` -> figure.

    Raises InputError with every problem and its place.
    """
    from hwsim.document import read_yaml
    from hwsim.table import Reader

    reader = Reader(read_yaml(path))
    checker = reader.checker
    data = checker.keys((), reader.document.data, "a DRAM table", ("parts",)) or {}
    raw = checker.mapping(("parts",), data.get("parts"), "parts") if "parts" in data else None
    found = {name: _part(reader, ("parts", name), entry) for name, entry in (raw or {}).items()}
    if raw is not None and not raw:
        checker.fail(("parts",), "empty", raw, "a DRAM table has at least one part")
    checker.raise_problems()
    return found


def _bounds() -> dict[str, Bounds]:
    from hwsim.table import Bounds

    special = {
        "clock_khz": Bounds(1_000, 20_000_000, True),
        "burst_cycles": Bounds(1, 64, True),
        "banks": Bounds(1, 256, True),
        "groups": Bounds(1, 64, True),
        "channel_capacity_bits": Bounds(1 << 10, 1 << 50, True),
        "devices": Bounds(1, 64, True),
        "volts": Bounds(0.1, 10),
        "current_share": Bounds(0.01, 1),
    }
    whole = dict.fromkeys((*_ORGANISATION, *_TIMING), Bounds(1, 1 << 24, True))
    real = dict.fromkeys((*ENERGY, *_CURRENTS, *_RAIL), Bounds(0, 1e9))
    return {**whole, **real, **special}


def _part(reader: Reader, path: tuple[str | int, ...], raw: Any) -> dict[str, Figure]:
    checker = reader.checker
    groups = ("summary", "organisation", "timing")
    if checker.keys(path, raw, "a DRAM part", groups, ("currents", "energy")) is None:
        return {}
    checker.text(path, raw, "summary")
    if ("currents" in raw) == ("energy" in raw):
        checker.fail(path, "energy", sorted(raw), "a DRAM part has either currents or energy")
        return {}
    bounds = _bounds()
    figures: dict[str, Figure] = {}
    for group, fields in (("organisation", _ORGANISATION), ("timing", _TIMING), ("energy", ENERGY)):
        if group in raw:
            figures |= reader.figures((*path, group), raw[group], group, {f: bounds[f] for f in fields})
    _check_geometry(reader, path, figures)
    if "currents" in raw and not checker.problems:
        figures |= _energies(reader, (*path, "currents"), raw["currents"], figures)
    return figures


_RULES = (
    ("groups", "banks", "the bank groups share the banks evenly"),
    ("burst_bits", "row_bits", "a row holds whole bursts"),
    ("width_bits", "burst_bits", "a burst is a whole number of beats"),
    ("burst_cycles", "burst_bits", "a burst moves the same number of bits every cycle"),
)


def _check_geometry(reader: Reader, path: tuple[str | int, ...], figures: Mapping[str, Figure]) -> None:
    """The rules between fields, for those that were read."""
    for divisor, whole, rule in _RULES:
        if divisor in figures and whole in figures and figures[whole].value % figures[divisor].value:
            where = (*path, "organisation", divisor)
            reader.checker.fail(where, "geometry", int(figures[divisor].value), f"must divide {whole}: {rule}")
    names = ("refi_cycles", "rtp_cycles", "rp_cycles", "rfc_cycles", "rcd_cycles")
    if all(n in figures for n in names):
        period, *steal = (figures[n].value for n in names)
        if period <= sum(steal):
            rule = f"must exceed the {sum(steal):g} cycles that one refresh takes"
            reader.checker.fail((*path, "timing", "refi_cycles"), "geometry", int(period), rule)


def _energies(
    reader: Reader, path: tuple[str | int, ...], raw: Any, figures: Mapping[str, Figure]
) -> dict[str, Figure]:
    """Energies of a channel from its currents: the formulas at the head of tables/dram.yaml."""
    checker, bounds = reader.checker, _bounds()
    if checker.keys(path, raw, "currents", (*_CURRENTS, "rails"), ("source", "evidence")) is None:
        return {}
    plain = {k: v for k, v in raw.items() if k != "rails"}
    outer = reader.figures(path, plain, "currents", {k: bounds[k] for k in _CURRENTS}, ())
    texts = {k: raw[k] for k in ("source", "evidence") if k in raw}
    rails = []
    for i, rail in enumerate(checker.items((*path, "rails"), raw.get("rails"), "rails")):
        whole = {**texts, **rail} if isinstance(rail, dict) else rail
        rails.append(reader.figures((*path, "rails", i), whole, "a rail", {k: bounds[k] for k in _RAIL}))
    if not rails:
        checker.fail((*path, "rails"), "empty", [], "there is at least one supply rail")
    if checker.problems:
        return {}
    return _from_currents(outer, rails, {k: f.value for k, f in figures.items()})


def _from_currents(
    outer: Mapping[str, Figure], rails: list[dict[str, Figure]], part: Mapping[str, float]
) -> dict[str, Figure]:
    from hwsim.table import Figure

    cycle_ns = 1e6 / part["clock_khz"]
    ras_ns, rp_ns = part["ras_cycles"] * cycle_ns, part["rp_cycles"] * cycle_ns
    burst_ns_per_bit = part["burst_cycles"] * cycle_ns / part["burst_bits"]
    sums = dict.fromkeys(ENERGY, 0.0)
    for rail in rails:
        i = {k: f.value for k, f in rail.items()}
        volts = i["volts"] * outer["devices"].value  # mA * V * ns is pJ
        row = i["idd0_ma"] * (ras_ns + rp_ns) - i["idd3n_ma"] * ras_ns - i["idd2n_ma"] * rp_ns
        sums["activate_pj"] += volts * row
        sums["read_pj_per_bit"] += volts * (i["idd4r_ma"] - i["idd3n_ma"]) * burst_ns_per_bit
        sums["write_pj_per_bit"] += volts * (i["idd4w_ma"] - i["idd3n_ma"]) * burst_ns_per_bit
        sums["refresh_pj"] += volts * (i["idd5b_ma"] - i["idd3n_ma"]) * part["rfc_cycles"] * cycle_ns
        sums["background_w"] += volts * i["idd3n_ma"] / 1e3
    source = f"computed from the currents: {rails[0]['volts'].source}"
    share, wire = outer["current_share"], outer["interface_pj_per_bit"]
    found = {}
    for name, core in sums.items():
        on_wire = int(name.endswith("_per_bit"))
        value, low, high = (
            max(0.0, core * s + w * on_wire)
            for s, w in ((share.value, wire.value), (share.low, wire.low), (share.high, wire.high))
        )
        found[name] = Figure(value, low, high, source, "computed", wire.where)
    return found
