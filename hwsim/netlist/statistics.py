"""What a network of look-up tables takes on an FPGA of 6-input tables, and its mapping to them.

A LUT of k inputs takes one 6-input table for k <= 6, else 2^(k - 6), and 2^(k - 6) - 1 two-way multiplexers that
choose among them by the other inputs (AMD UG384 and UG474 name them F7 and F8 in a slice).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hwsim.netlist.lut6 import LUT_PINS, lut6_of, muxes_of
from hwsim.netlist.netlist import Lut, Netlist
from hwsim.netlist.simplify import simplify
from hwsim.netlist.tables import joined, tied

MUX_TABLE = 0b11001010
"""Of the pins (select, one, zero): `one` where select is 1, else `zero`."""
WIRE = 0b10
"""The table of one pin that passes it on."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of a network.

    luts: all of the file; live_luts: those that reach an output; lut6: 6-input tables that all LUTs take; muxes: the
    two-way multiplexers beside them; inputs_used: inputs that reach an output; outputs; depth: levels of LUTs on the
    longest way from an input to an output.
    """

    luts: int
    live_luts: int
    lut6: int
    muxes: int
    inputs_used: int
    outputs: int
    depth: int


def statistics(netlist: Netlist) -> Statistics:
    """Counts of the network as it is."""
    live = netlist.live()
    return Statistics(
        luts=len(netlist.luts),
        live_luts=sum(live[netlist.inputs :]),
        lut6=lut6_cost(netlist),
        muxes=mux_count(netlist),
        inputs_used=sum(live[: netlist.inputs]),
        outputs=len(netlist.outputs),
        depth=netlist.depth,
    )


def report(netlist: Netlist, simplified: Netlist | None = None) -> dict[str, Any]:
    """Counts as it is, and under `simplified` after simplification, as plain data."""
    after = simplify(netlist) if simplified is None else simplified
    return {**asdict(statistics(netlist)), "simplified": asdict(statistics(after))}


def lut6_cost(netlist: Netlist) -> int:
    """6-input tables of a network as it is wired; after `simplify`, by what the tables depend on.

    The inputs of a LUT are its pins, each signal counted once and constants (LUTs without pins) left out. Constants
    and LUTs of one input that pass it on take none.
    """
    return sum(lut6_of(k) for k in effective_pins(netlist))


def mux_count(netlist: Netlist) -> int:
    """Two-way multiplexers that join the 6-input tables of wider LUTs."""
    return sum(muxes_of(k) for k in effective_pins(netlist))


def effective_pins(netlist: Netlist) -> tuple[int, ...]:
    """Inputs of each LUT that have to be wired: distinct, not constant; 0 for a LUT that passes its one input on."""
    return tuple(0 if _is_wire(lut) else len(lut.pins) for lut in _wired(netlist))


def _is_wire(lut: Lut) -> bool:
    return len(lut.pins) == 1 and lut.table == WIRE


def _wired(netlist: Netlist) -> list[Lut]:
    """The LUTs with constants folded into those that read them, and each signal at one pin."""
    constants = {netlist.inputs + i: lut.table for i, lut in enumerate(netlist.luts) if not lut.pins}
    return [Lut(*joined(*tied(lut.pins, lut.table, constants))) for lut in netlist.luts]


# --- mapping ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mapped:
    """A network of LUTs of at most 6 pins, and which of them are two-way multiplexers of pins (select, one, zero).

    `muxes[i]` is 0 for a table, and the number of inputs that a multiplexer completes otherwise: 7 for an F7, 8 for an
    F8, more for those beyond a slice.
    """

    netlist: Netlist
    muxes: tuple[int, ...]

    @property
    def lut6(self) -> int:
        """6-input tables; constants are none."""
        return sum(not mux and bool(lut.pins) for mux, lut in zip(self.muxes, self.netlist.luts, strict=True))

    @property
    def mux_count(self) -> int:
        """Two-way multiplexers."""
        return sum(map(bool, self.muxes))


def map_lut6(netlist: Netlist) -> Mapped:
    """The network with every LUT of more than 6 inputs expanded (Shannon) by its first inputs, nothing else changed.

    It has `lut6_cost(netlist)` tables and `mux_count(netlist)` multiplexers and computes the same outputs.
    """
    build = _Mapping(netlist.inputs)
    for lut in _wired(netlist):
        pins = tuple(build.place[pin] for pin in lut.pins)
        build.place.append(pins[0] if _is_wire(lut) else build.expanded(pins, lut.table))
    outputs = tuple(build.place[s] for s in netlist.outputs)
    return Mapped(Netlist(netlist.inputs, tuple(build.luts), outputs), tuple(build.muxes))


class _Mapping:
    """Collects the LUTs of a mapped network."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.luts: list[Lut] = []
        self.muxes: list[int] = []
        self.place = list(range(inputs))

    def put(self, lut: Lut, mux: int = 0) -> int:
        self.luts.append(lut)
        self.muxes.append(mux)
        return self.inputs + len(self.luts) - 1

    def expanded(self, pins: tuple[int, ...], table: int) -> int:
        """The signal of this function, made of 6-input tables and multiplexers."""
        if len(pins) <= LUT_PINS:
            return self.put(Lut(pins, table))
        half = 1 << (len(pins) - 1)
        zero = self.expanded(pins[1:], table & ((1 << half) - 1))
        one = self.expanded(pins[1:], table >> half)
        return self.put(Lut((pins[0], one, zero), MUX_TABLE), mux=len(pins))
