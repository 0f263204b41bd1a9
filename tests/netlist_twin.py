"""Networks of look-up tables, slowly and obviously: straight from the definition, on plain Python lists."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hwsim.netlist.netlist import Netlist


def signals(netlist: Netlist, bits: Sequence[int]) -> list[int]:
    """Every signal for one vector."""
    found = [int(bit) for bit in bits]
    for lut in netlist.luts:
        address = "".join(str(found[pin]) for pin in lut.pins)
        place = int(address, 2) if address else 0
        found.append(int(format(lut.table, "b")[::-1].ljust(place + 1, "0")[place]))
    return found


def outputs(netlist: Netlist, bits: Sequence[int]) -> list[int]:
    found = signals(netlist, bits)
    return [found[signal] for signal in netlist.outputs]


def truth(netlist: Netlist) -> list[list[int]]:
    """The outputs at every assignment of the inputs."""
    return [outputs(netlist, bits) for bits in itertools.product((0, 1), repeat=netlist.inputs)]


def depth(netlist: Netlist) -> int:
    """The most LUTs with pins on a way to an output, by recursion."""

    def level(signal: int) -> int:
        if signal < netlist.inputs or not netlist.luts[signal - netlist.inputs].pins:
            return 0
        return 1 + max(level(pin) for pin in netlist.luts[signal - netlist.inputs].pins)

    return max(level(signal) for signal in netlist.outputs)


def toggles(netlist: Netlist, vectors: Sequence[Sequence[int]]) -> list[int]:
    """Changes of each signal from one vector to the next."""
    rows = [signals(netlist, bits) for bits in vectors]
    return [sum(a[s] != b[s] for a, b in itertools.pairwise(rows)) for s in range(netlist.inputs + len(netlist.luts))]
