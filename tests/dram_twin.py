"""A DRAM channel in plain Python, slow and obvious: a table of rules over the whole history of commands.

Nothing is shared with `hwsim.dram_machine` but the names of the commands; the scheduling policy is written out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hwsim.dram import Dram

COLUMN = ("RD", "WR")


class Command(NamedTuple):
    """One command on the bus. Bank and row are -1 where the command has none."""

    clock: int
    name: str
    bank: int
    row: int


class Rule(NamedTuple):
    """`after` may follow `before` no sooner than `cycles` later, within the same bank, bank group, or channel."""

    jedec: str
    before: str
    after: str
    scope: str
    cycles: int


def rules(d: Dram) -> tuple[Rule, ...]:
    """Every pairwise constraint of a part, by its JEDEC name."""
    written = d.cwl_cycles + d.burst_cycles
    table = [
        Rule("tRAS", "ACT", "PRE", "bank", d.ras_cycles),
        Rule("tRP", "PRE", "ACT", "bank", d.rp_cycles),
        Rule("tRP", "PRE", "REF", "channel", d.rp_cycles),
        Rule("tRRD_S", "ACT", "ACT", "channel", d.rrd_s_cycles),
        Rule("tRRD_L", "ACT", "ACT", "group", d.rrd_l_cycles),
        Rule("tRTP", "RD", "PRE", "bank", d.rtp_cycles),
        Rule("tWR", "WR", "PRE", "bank", written + d.wr_cycles),
        Rule("tRFC", "REF", "ACT", "channel", d.rfc_cycles),
        Rule("tRFC", "REF", "REF", "channel", d.rfc_cycles),
        Rule("tWTR_S", "WR", "RD", "channel", written + d.wtr_s_cycles),
        Rule("tWTR_L", "WR", "RD", "group", written + d.wtr_l_cycles),
        Rule("tRTW", "RD", "WR", "channel", d.cl_cycles + d.burst_cycles + 2 - d.cwl_cycles),
    ]
    for column in COLUMN:
        table.append(Rule("tRCD", "ACT", column, "bank", d.rcd_cycles))
        for before in COLUMN:
            table.append(Rule("tCCD_S", before, column, "channel", max(d.ccd_s_cycles, d.burst_cycles)))
            table.append(Rule("tCCD_L", before, column, "group", d.ccd_l_cycles))
    return tuple(table)


class Channel:
    """The commands so far, and whether another may follow."""

    def __init__(self, dram: Dram) -> None:
        self.dram = dram
        self.rules = rules(dram)
        self.horizon = max(r.cycles for r in self.rules) + dram.faw_cycles
        self.history: list[Command] = []
        self.open: dict[int, int] = {}

    def _recent(self, clock: int) -> Iterator[Command]:
        for command in reversed(self.history):
            if clock - command.clock > self.horizon:
                return
            yield command

    def _same(self, scope: str, a: int, b: int) -> bool:
        if scope == "group":
            return a % self.dram.groups == b % self.dram.groups
        return scope == "channel" or a == b

    def legal(self, clock: int, name: str, bank: int, row: int) -> bool:
        """Whether a command may be issued now."""
        state = {"ACT": bank not in self.open, "PRE": bank in self.open, "REF": not self.open}
        if not state.get(name, self.open.get(bank) == row):
            return False
        acts = 0
        for past in self._recent(clock):
            since = clock - past.clock
            for rule in self.rules:
                pair = (rule.before, rule.after) == (past.name, name)
                if pair and since < rule.cycles and self._same(rule.scope, past.bank, bank):
                    return False
            if name == past.name == "ACT":
                acts += 1
                if acts == 4 and since < self.dram.faw_cycles:
                    return False
        return True

    def issue(self, clock: int, name: str, bank: int, row: int) -> None:
        """Issue a command; it must be legal."""
        assert self.legal(clock, name, bank, row), (clock, name, bank, row)
        self.history.append(Command(clock, name, bank, row))
        if name == "ACT":
            self.open[bank] = row
        elif name == "PRE":
            del self.open[bank]


def serve(dram: Dram, bursts: Sequence[tuple[int, int, int]], window: int, refresh_at: int) -> list[Command]:
    """Serve (bank, row, write) bursts in order, stepping one clock at a time; the commands issued."""
    channel, waiting, clock = Channel(dram), list(bursts), 0
    while waiting:
        if 0 <= refresh_at <= clock:
            if channel.legal(clock, "REF", -1, -1):
                channel.issue(clock, "REF", -1, -1)
                refresh_at += dram.refi_cycles
            else:
                for bank in sorted(channel.open):
                    if channel.legal(clock, "PRE", bank, -1):
                        channel.issue(clock, "PRE", bank, -1)
                        break
        else:
            bank, row, write = waiting[0]
            if channel.legal(clock, COLUMN[write], bank, row):
                channel.issue(clock, COLUMN[write], bank, row)
                waiting.pop(0)
            _row_command(channel, waiting[:window], clock)
        clock += 1
    return channel.history


def _row_command(channel: Channel, ahead: Sequence[tuple[int, int, int]], clock: int) -> None:
    first: dict[int, int] = {}
    for bank, row, _ in ahead:
        first.setdefault(bank, row)
    for bank, row in first.items():
        if bank not in channel.open and channel.legal(clock, "ACT", bank, row):
            channel.issue(clock, "ACT", bank, row)
            return
        if channel.open.get(bank, row) != row and channel.legal(clock, "PRE", bank, -1):
            channel.issue(clock, "PRE", bank, -1)
            return
