"""Cones of a network: what some of its outputs depend on."""

from __future__ import annotations

from collections.abc import Iterable

from hwsim.netlist.netlist import Lut, Netlist


def support(netlist: Netlist, outputs: Iterable[int]) -> frozenset[int]:
    """The inputs that reach one of these signals."""
    return frozenset(s for s in _cone(netlist, outputs) if s < netlist.inputs)


def supports(netlist: Netlist) -> tuple[frozenset[int], ...]:
    """The inputs that reach each output."""
    return tuple(support(netlist, [signal]) for signal in netlist.outputs)


def _cone(netlist: Netlist, signals: Iterable[int]) -> set[int]:
    """These signals and all that they read, however far."""
    found: set[int] = set()
    work = list(signals)
    while work:
        at = work.pop()
        if at not in found:
            found.add(at)
            work += netlist.luts[at - netlist.inputs].pins if at >= netlist.inputs else ()
    return found


def restricted(netlist: Netlist, outputs: Iterable[int], inputs: Iterable[int]) -> Netlist:
    """The network of the outputs at these places, and of these inputs alone in rising order; others are 0."""
    asked = [netlist.outputs[place] for place in outputs]
    kept = sorted(set(inputs))
    place = {signal: i for i, signal in enumerate(kept)}
    count = max(1, len(kept))
    cone = sorted(_cone(netlist, asked))
    luts: list[Lut] = []
    for signal in cone:
        if signal in place:
            continue
        place[signal] = count + len(luts)
        lut = netlist.luts[signal - netlist.inputs] if signal >= netlist.inputs else Lut((), 0)
        luts.append(Lut(tuple(place[pin] for pin in lut.pins), lut.table))
    return Netlist(count, tuple(luts), tuple(place[signal] for signal in asked))
