"""One DRAM channel stepped clock by clock, command by command: the oracle of the closed forms in `hwsim.dram`.

The controller keeps pages open, serves bursts in order, and looks `window` bursts ahead to close and open rows. In
every clock it may issue one column command and one row command (the row and column command buses of HBM; on the
shared bus of DDR and LPDDR the two would sometimes meet, which is not modelled). Refresh is all-bank: once it is due,
nothing is issued but precharges, until every bank is closed and the refresh has run.

Importing this module loads numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hwsim.dram import Dram

ACT, PRE, RD, WR, REF = range(5)
COMMANDS = ("ACT", "PRE", "RD", "WR", "REF")
_LONG_AGO = -(1 << 40)
_NOTHING, _LATER = -2, -1
_FAW_ACTIVATES = 4
READ_TO_WRITE_GAP = 2
"""Clocks between the last read data and the first write data (JESD79-4, read to write: CL - CWL + BL/2 + 2 tCK)."""

Ints = NDArray[np.int64]


class Channel(NamedTuple):
    """When what last happened, by bank, by bank group and in the whole channel. Clocks; `_LONG_AGO` for never."""

    open_row: Ints
    act_at: Ints
    pre_at: Ints
    read_at: Ints
    write_at: Ints
    group_act_at: Ints
    group_column_at: Ints
    group_write_at: Ints
    four_acts: Ints
    """The last four activates, oldest first."""
    last: Ints
    """Whole channel: last activate, last column command, last read, last write, end of the last refresh."""


_L_ACT, _L_COLUMN, _L_READ, _L_WRITE, _L_REFRESHED = range(5)


class Run(NamedTuple):
    """What a stream took: clocks from its first column command to its last data bit, and the commands issued."""

    cycles: int
    activates: int
    refreshes: int
    first_column: int
    commands: Ints
    """One row a command: clock, command, bank, row."""


def new_channel(dram: Dram) -> Channel:
    """A channel with every bank closed and nothing in the past."""

    def never(n: int) -> Ints:
        return np.full(n, _LONG_AGO, dtype=np.int64)

    b, g = dram.banks, dram.groups
    closed = np.full(b, -1, dtype=np.int64)
    return Channel(
        closed, never(b), never(b), never(b), never(b), never(g), never(g), never(g), never(_FAW_ACTIVATES), never(5)
    )


@njit(cache=True)
def may_activate(dram: Dram, at: Channel, bank: int, clock: int) -> bool:
    """Whether an activate of `bank` is legal: bank closed for tRP, tRRD, tFAW, and no refresh under way."""
    group = bank % dram.groups
    return bool(
        at.open_row[bank] < 0
        and clock >= at.pre_at[bank] + dram.rp_cycles
        and clock >= at.last[_L_ACT] + dram.rrd_s_cycles
        and clock >= at.group_act_at[group] + dram.rrd_l_cycles
        and clock >= at.four_acts[0] + dram.faw_cycles
        and clock >= at.last[_L_REFRESHED]
    )


@njit(cache=True)
def may_precharge(dram: Dram, at: Channel, bank: int, clock: int) -> bool:
    """Whether a precharge of `bank` is legal: row open for tRAS, tRTP after a read, tWR after a write's data."""
    written = at.write_at[bank] + dram.cwl_cycles + dram.burst_cycles + dram.wr_cycles
    return bool(
        at.open_row[bank] >= 0
        and clock >= at.act_at[bank] + dram.ras_cycles
        and clock >= at.read_at[bank] + dram.rtp_cycles
        and clock >= written
    )


@njit(cache=True)
def may_access(dram: Dram, at: Channel, bank: int, write: int, clock: int) -> bool:
    """Whether a read or write of the open row of `bank` is legal: tRCD, tCCD, the data bus, and its turnaround."""
    group = bank % dram.groups
    if at.open_row[bank] < 0 or clock < at.act_at[bank] + dram.rcd_cycles:
        return False
    if clock < at.last[_L_COLUMN] + max(dram.ccd_s_cycles, dram.burst_cycles):
        return False
    if clock < at.group_column_at[group] + dram.ccd_l_cycles:
        return False
    if write == 1:
        turn = dram.cl_cycles + dram.burst_cycles + READ_TO_WRITE_GAP - dram.cwl_cycles
        return bool(clock >= at.last[_L_READ] + turn)
    data = dram.cwl_cycles + dram.burst_cycles
    after = clock >= at.last[_L_WRITE] + data + dram.wtr_s_cycles
    return bool(after and clock >= at.group_write_at[group] + data + dram.wtr_l_cycles)


@njit(cache=True)
def may_refresh(dram: Dram, at: Channel, clock: int) -> bool:
    """Whether an all-bank refresh is legal: every bank closed for tRP, the last refresh over."""
    if clock < at.last[_L_REFRESHED]:
        return False
    closed = at.open_row.max() < 0
    return bool(closed and clock >= at.pre_at.max() + dram.rp_cycles)


@njit(cache=True)
def activate(dram: Dram, at: Channel, bank: int, row: int, clock: int) -> None:
    """Open `row` of `bank`."""
    at.open_row[bank] = row
    at.act_at[bank] = clock
    at.group_act_at[bank % dram.groups] = clock
    at.last[_L_ACT] = clock
    for i in range(_FAW_ACTIVATES - 1):
        at.four_acts[i] = at.four_acts[i + 1]
    at.four_acts[_FAW_ACTIVATES - 1] = clock


@njit(cache=True)
def precharge(dram: Dram, at: Channel, bank: int, clock: int) -> None:
    """Close the open row of `bank`."""
    at.open_row[bank] = -1
    at.pre_at[bank] = clock


@njit(cache=True)
def access(dram: Dram, at: Channel, bank: int, write: int, clock: int) -> None:
    """Read or write one burst of the open row of `bank`."""
    group = bank % dram.groups
    at.last[_L_COLUMN] = clock
    at.group_column_at[group] = clock
    if write == 1:
        at.write_at[bank] = clock
        at.group_write_at[group] = clock
        at.last[_L_WRITE] = clock
    else:
        at.read_at[bank] = clock
        at.last[_L_READ] = clock


@njit(cache=True)
def refresh(dram: Dram, at: Channel, clock: int) -> None:
    """Refresh: no activate for tRFC."""
    at.last[_L_REFRESHED] = clock + dram.rfc_cycles


@njit(cache=True)
def _row_command(dram: Dram, at: Channel, bank: Ints, row: Ints, head: int, end: int, seen: Ints, clock: int) -> int:
    """The first burst in [head, end) whose bank can be closed or opened for it now.

    The first burst that needs a bank decides what becomes of it; later ones wait. _LATER when there is only work that
    is not legal yet, _NOTHING when every bank is as it should be.
    """
    found = _NOTHING
    for i in range(head, end):
        b = bank[i]
        if seen[b] == clock:
            continue
        seen[b] = clock
        if at.open_row[b] == row[i]:
            continue
        found = _LATER
        if at.open_row[b] < 0:
            if may_activate(dram, at, b, clock):
                return i
        elif may_precharge(dram, at, b, clock):
            return i
    return found


@njit(cache=True)
def _close_one(dram: Dram, at: Channel, clock: int) -> int:
    """The first bank that can be closed now, or -1."""
    for bank in range(dram.banks):
        if may_precharge(dram, at, bank, clock):
            return bank
    return -1


@njit(cache=True)
def _note(commands: Ints, tally: Ints, clock: int, command: int, bank: int, row: int) -> None:
    """Count one command, and write it down while there is room."""
    if tally[0] < len(commands):
        commands[tally[0]] = (clock, command, bank, row)
    tally[0] += 1
    tally[1 + command] += 1


@njit(cache=True)
def _refresh_step(dram: Dram, at: Channel, clock: int, commands: Ints, tally: Ints) -> bool:
    """One clock with a refresh due; whether the refresh was issued."""
    if may_refresh(dram, at, clock):
        refresh(dram, at, clock)
        _note(commands, tally, clock, REF, -1, -1)
        return True
    closing = _close_one(dram, at, clock)
    if closing >= 0:
        precharge(dram, at, closing, clock)
        _note(commands, tally, clock, PRE, closing, -1)
    return False


@njit(cache=True)
def _row_step(dram: Dram, at: Channel, bank: int, row: int, clock: int, commands: Ints, tally: Ints) -> None:
    """Close `bank`, or open `row` of it when it is closed."""
    if at.open_row[bank] < 0:
        activate(dram, at, bank, row, clock)
        _note(commands, tally, clock, ACT, bank, row)
    else:
        precharge(dram, at, bank, clock)
        _note(commands, tally, clock, PRE, bank, -1)


@njit(cache=True)
def _serve(
    dram: Dram, at: Channel, bank: Ints, row: Ints, write: Ints, window: int, refresh_at: int, commands: Ints
) -> tuple[Ints, int, int]:
    """Run the stream; returns the tally (commands, then each kind) and the clocks of the first and last column command.

    A column command comes before a row command of the same clock.
    """
    n, head, clock, first, last = len(bank), 0, 0, -1, -1
    seen = np.full(dram.banks, -1, dtype=np.int64)
    tally = np.zeros(6, dtype=np.int64)
    rows = _LATER
    while head < n:
        if 0 <= refresh_at <= clock:
            rows = _LATER
            if _refresh_step(dram, at, clock, commands, tally):
                refresh_at += dram.refi_cycles
        else:
            b, w = bank[head], write[head]
            if at.open_row[b] == row[head] and may_access(dram, at, b, w, clock):
                access(dram, at, b, w, clock)
                _note(commands, tally, clock, WR if w == 1 else RD, b, row[head])
                first = clock if first < 0 else first
                last = clock
                head += 1
                rows = _LATER
            if rows != _NOTHING:
                rows = _row_command(dram, at, bank, row, head, min(n, head + window), seen, clock)
                if rows >= 0:
                    _row_step(dram, at, bank[rows], row[rows], clock, commands, tally)
        clock += 1
    return tally, first, last


def run(
    dram: Dram, bank: Ints, row: Ints, write: Ints, window: int, refresh_at: int = -1, *, trace: bool = False
) -> Run:
    """Serve bursts in order from a fresh channel.

    `bank`, `row` and `write` have one entry a burst; the first refresh is due at clock `refresh_at` and every tREFI
    from then on (-1: no refresh). Without `trace`, `commands` is empty. No bursts take 0 clocks.
    """
    none = np.empty((0, 4), dtype=np.int64)
    if len(bank) == 0:
        return Run(0, 0, 0, 0, none)
    tally, first, last = _serve(dram, new_channel(dram), bank, row, write, window, refresh_at, none)
    commands = none
    if trace:
        commands = np.empty((int(tally[0]), 4), dtype=np.int64)
        _serve(dram, new_channel(dram), bank, row, write, window, refresh_at, commands)
    return Run(int(last - first) + dram.burst_cycles, int(tally[1 + ACT]), int(tally[1 + REF]), int(first), commands)


def locate(dram: Dram, burst: Ints) -> tuple[Ints, Ints]:
    """(bank, row) of burst addresses, counted in bursts from the start of the channel.

    From the least significant end: bank group, place in the row, bank of the group, row; the bank of the group is
    then hashed with the row (permutation-based page interleaving, Zhang, Zhu, Zhang, MICRO 2000).
    """
    group, rest = burst % dram.groups, burst // dram.groups
    rest = rest // (dram.row_bits // dram.burst_bits)
    per_group = dram.banks // dram.groups
    row = rest // per_group
    within = (rest + row + row // per_group) % per_group
    return group + dram.groups * within, row
