"""An estimate of the 6-input tables that synthesis needs for a network: tables that fit one are merged.

`statistics.lut6_cost` counts each table by itself. Synthesis covers the network anew: a table is drawn into those that
read it where they still have 6 inputs together, and may be duplicated if that saves one. This does the same on whole
tables with the usual means of technology mapping: cuts (sets of signals that a signal is a function of) by merging the
cuts of what a table reads; first the cover of least depth, then exact areas where the depth allows it (Mishchenko,
Chatterjee, Brayton, "Improvements to technology mapping for LUT-based FPGAs", 2007). What a table of so many inputs
counts is what Yosys' `synth_xilinx` tells its mapper, `abc -luts 2:2,3,6:5,10,20`: it is by this, and not by their
number, that it prefers tables. So two tables of 2 inputs (2 each) are preferred to one of 4 (5).

It never takes a table apart, and does not look for other logic with the same function, as synthesis may.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hwsim.netlist.netlist import Netlist
from hwsim.netlist.simplify import simplify
from hwsim.netlist.statistics import lut6_of

WIDEST = 8
"""Signals of a cut: two multiplexers behind 6-input tables serve 8 (AMD UG474)."""
CUTS = 12
"""Cuts kept of a signal."""
ROUNDS = 3
AREAS = (0, 2, 2, 3, 5, 5, 5, 10, 20)
"""By inputs: see above."""

Cut = frozenset[int]


def area_of(inputs: int) -> int:
    """What the mapper counts for a table of so many inputs; each one more than WIDEST doubles it."""
    return AREAS[inputs] if inputs <= WIDEST else AREAS[WIDEST] << (inputs - WIDEST)


@dataclass(frozen=True, slots=True)
class Estimate:
    """6-input tables, and the tables on the longest way through the covered network."""

    lut6: int
    depth: int


def estimate(netlist: Netlist) -> Estimate:
    """What synthesis is expected to make of a network, which is simplified first."""
    cover = _Cover(simplify(netlist))
    chosen = cover.chosen()
    return Estimate(sum(lut6_of(len(cut)) for cut in chosen.values()), cover.depth(chosen))


class _Cover:
    """The cuts of a network's signals, and a choice among them."""

    def __init__(self, netlist: Netlist) -> None:
        self.netlist = netlist
        self.inputs = netlist.inputs
        self.constant = {netlist.inputs + i for i, lut in enumerate(netlist.luts) if not lut.pins}
        self.roots = [s for s in dict.fromkeys(netlist.outputs) if s >= self.inputs and s not in self.constant]
        self.readers = self._readers()
        self.flow = [0.0] * netlist.signals
        self.level = [0] * netlist.signals
        self.cuts: list[list[Cut]] = [[frozenset((s,))] for s in range(netlist.signals)]
        for i, lut in enumerate(netlist.luts):
            if lut.pins:
                self._add_cuts(netlist.inputs + i, lut.pins)

    def _readers(self) -> list[int]:
        """How many tables and outputs read each signal."""
        found = [0] * self.netlist.signals
        for lut in self.netlist.luts:
            for pin in lut.pins:
                found[pin] += 1
        for output in self.roots:
            found[output] += 1
        return found

    def _add_cuts(self, signal: int, pins: Sequence[int]) -> None:
        """The cuts of a table's output from those of its pins; the table itself is always among them."""
        own = frozenset(pins)
        partial: list[Cut] = [frozenset()]
        for pin in dict.fromkeys(pins):
            merged = {cut | more for cut in partial for more in self.cuts[pin]}
            partial = self._best(cut for cut in merged if len(cut) <= max(WIDEST, len(own)))
        found = self._best({*partial, own})
        self.level[signal] = min(map(self._arrival, found))
        self.flow[signal] = self._flow_of(found[0]) / max(1, self.readers[signal])
        self.cuts[signal] = [*found, frozenset((signal,))]

    def _best(self, cuts: Iterable[Cut]) -> list[Cut]:
        """The quickest cut, and of the others the cheapest."""
        ordered = sorted(cuts, key=self._order)
        quickest = min(ordered, key=self._arrival)
        return [*ordered[:CUTS], *([] if quickest in ordered[:CUTS] else [quickest])]

    def _order(self, cut: Cut) -> tuple[float, int, list[int]]:
        return self._flow_of(cut), len(cut), sorted(cut)

    def _flow_of(self, cut: Cut) -> float:
        """Area of a cut, with its share of those below."""
        return area_of(len(cut)) + sum(self.flow[s] for s in cut)

    # --- choosing ---------------------------------------------------------------------------------------------

    def chosen(self) -> dict[int, Cut]:
        """Signal -> its cut, of every signal that the covered network has."""
        best = {s: self._quickest(s) for s, cuts in enumerate(self.cuts) if len(cuts) > 1}
        used = self._references(best)
        for _ in range(ROUNDS):
            required = self._required(best, used)
            for signal in range(self.inputs, self.netlist.signals):
                if used[signal] and signal in best:
                    self._improve(signal, required[signal], best, used)
                elif signal in best:
                    best[signal] = self._quickest(signal)
                    self.level[signal] = self._arrival(best[signal])
        return {s: cut for s, cut in best.items() if used[s]}

    def _quickest(self, signal: int) -> Cut:
        return min(self.cuts[signal][:-1], key=lambda cut: (self._arrival(cut), self._order(cut)))

    def _arrival(self, cut: Cut) -> int:
        return 1 + max((self.level[leaf] for leaf in cut), default=0)

    def _required(self, best: dict[int, Cut], used: list[int]) -> list[int]:
        """The level by which each signal is needed if the least depth is to be kept."""
        found = [max((self.level[root] for root in self.roots), default=0)] * self.netlist.signals
        for signal in range(self.netlist.signals - 1, self.inputs - 1, -1):
            if used[signal] and signal in best:
                for leaf in best[signal]:
                    found[leaf] = min(found[leaf], found[signal] - 1)
        return found

    def _references(self, best: dict[int, Cut]) -> list[int]:
        used = [0] * self.netlist.signals
        for root in self.roots:
            used[root] += 1
        for signal in range(self.netlist.signals - 1, self.inputs - 1, -1):
            if used[signal] and signal in best:
                for leaf in best[signal]:
                    used[leaf] += 1
        return used

    def _improve(self, signal: int, required: int, best: dict[int, Cut], used: list[int]) -> None:
        """Give a signal the cut that costs fewest tables, with all it alone needs below."""
        self._release(best[signal], best, used)
        costs = []
        latest = max(required, self._arrival(self._quickest(signal)))
        for cut in self.cuts[signal][:-1]:
            if self._arrival(cut) > latest:
                continue
            area = area_of(len(cut)) + self._take(cut, best, used)
            self._release(cut, best, used)
            costs.append((area, len(cut), sorted(cut), cut))
        best[signal] = min(costs)[3]
        self.level[signal] = self._arrival(best[signal])
        self._take(best[signal], best, used)

    def _take(self, cut: Cut, best: dict[int, Cut], used: list[int]) -> int:
        """Count the leaves of a cut as used; the tables that this brings in."""
        area = 0
        for leaf in cut:
            used[leaf] += 1
            if used[leaf] == 1 and leaf in best:
                area += area_of(len(best[leaf])) + self._take(best[leaf], best, used)
        return area

    def _release(self, cut: Cut, best: dict[int, Cut], used: list[int]) -> None:
        for leaf in cut:
            used[leaf] -= 1
            if used[leaf] == 0 and leaf in best:
                self._release(best[leaf], best, used)

    def depth(self, chosen: dict[int, Cut]) -> int:
        """Tables on the longest way from an input to an output."""
        level = [0] * self.netlist.signals
        for signal in sorted(chosen):
            level[signal] = 1 + max((level[leaf] for leaf in chosen[signal]), default=0)
        return max((level[root] for root in self.roots), default=0)
