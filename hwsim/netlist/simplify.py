"""Simplification of networks of look-up tables: fewer LUTs and pins, the same outputs.

One pass in the order of evaluation rewrites every LUT in terms of what is known of its pins, and one pass back drops
what reaches no output. After the first pass equal functions of equal signals are one node, and what a LUT reads is
final before it is looked at itself, so nothing is left for a second round: the result is a fixed point.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hwsim.netlist.netlist import Lut, Netlist
from hwsim.netlist.tables import cofactor, inverted, tidied, with_inverted_input

INVERTER = 0b01
"""The table of one pin whose output is 1 at address 0."""


def simplify(netlist: Netlist, *, opaque: bool = False) -> Netlist:
    """The network with the same inputs and outputs after these rules, to a fixed point:

    - a pin that is always 0 or 1 is folded into the table, and a LUT that is always 0 or 1 is a constant;
    - a pin on which a table does not depend is dropped; a signal at several pins keeps one;
    - a LUT that only passes a signal on, or inverts it, is bypassed (the readers' tables take the inversion);
    - LUTs of equal function, or of complementary function, of the same signals become one;
    - LUTs that reach no output are dropped.

    It never has more LUTs, a greater depth, more pins at a LUT or a higher `lut6_cost`. Inputs stay, read or not. Pins
    are in rising order. With `opaque`, LUTs are primitives that a synthesizer leaves as they are: tables and pins are
    not touched and nothing is merged or bypassed; only LUTs that reach no output are dropped.
    """
    return without_dead_logic(netlist) if opaque else _rebuilt(_nodes_of(netlist))


def without_dead_logic(netlist: Netlist) -> Netlist:
    """The network without LUTs that reach no output; the rest as it was."""
    live = netlist.live()
    place = {s: s for s in range(netlist.inputs)}
    luts: list[Lut] = []
    for i, lut in enumerate(netlist.luts):
        if live[netlist.inputs + i]:
            place[netlist.inputs + i] = netlist.inputs + len(luts)
            luts.append(Lut(tuple(place[pin] for pin in lut.pins), lut.table))
    return Netlist(netlist.inputs, tuple(luts), tuple(place[s] for s in netlist.outputs))


# --- what every signal is ---------------------------------------------------------------------------------------

CONSTANT = -1


class _Literal(NamedTuple):
    """A node or its complement; of CONSTANT, 0 or its complement 1."""

    node: int
    inverse: bool


class _Node(NamedTuple):
    """A function of at least two earlier nodes, in rising order, with output 0 at address 0."""

    pins: tuple[int, ...]
    table: int


@dataclass
class _Nodes:
    """Distinct functions: nodes 0 ... inputs - 1 are the inputs, the others are made of LUTs."""

    inputs: int
    nodes: list[_Node] = field(default_factory=list)
    places: dict[_Node, int] = field(default_factory=dict)
    first: list[bool] = field(default_factory=list)
    """Whether the LUT that a node was made of was its complement."""
    as_luts: set[_Literal] = field(default_factory=set)
    """Nodes and complements that some LUT computes from the node's own pins."""
    outputs: list[_Literal] = field(default_factory=list)

    def literal_of(self, pins: list[_Literal], table: int) -> _Literal:
        """What a LUT is whose pins are these."""
        nodes, table = tidied(*_plain(pins, table))
        if not nodes:
            return _Literal(CONSTANT, bool(table))
        if len(nodes) == 1:
            return _Literal(nodes[0], table == INVERTER)
        inverse = bool(table & 1)
        node = _Node(nodes, inverted(table, len(nodes)) if inverse else table)
        found = _Literal(self.placed(node, inverse), inverse)
        self.as_luts.add(found)
        return found

    def placed(self, node: _Node, inverse: bool) -> int:
        place = self.places.setdefault(node, self.inputs + len(self.nodes))
        if place == self.inputs + len(self.nodes):
            self.nodes.append(node)
            self.first.append(inverse)
        return place


def _plain(pins: list[_Literal], table: int) -> tuple[tuple[int, ...], int]:
    """Pins and table with constants folded in and inversions moved into the table."""
    found: list[int] = []
    k = len(pins)
    for w, pin in enumerate(reversed(pins)):
        at = w - (len(pins) - k)
        if pin.node == CONSTANT:
            table = cofactor(table, k, at, int(pin.inverse))
            k -= 1
            continue
        if pin.inverse:
            table = with_inverted_input(table, k, at)
        found.append(pin.node)
    return tuple(reversed(found)), table


def _nodes_of(netlist: Netlist) -> _Nodes:
    nodes = _Nodes(netlist.inputs)
    known = [_Literal(s, False) for s in range(netlist.inputs)]
    for lut in netlist.luts:
        known.append(nodes.literal_of([known[pin] for pin in lut.pins], lut.table))
    nodes.outputs = [known[s] for s in netlist.outputs]
    return nodes


# --- a network of them ------------------------------------------------------------------------------------------


@dataclass
class _Builder:
    """Writes the LUTs of the result."""

    nodes: _Nodes
    luts: list[Lut] = field(default_factory=list)
    signal: dict[_Literal, int] = field(default_factory=dict)
    """Where a node or its complement is to be had."""
    kept: dict[int, _Literal] = field(default_factory=dict)
    """Which of the two the readers of a node read."""

    def put(self, literal: _Literal, pins: tuple[int, ...], table: int) -> None:
        self.signal[literal] = self.nodes.inputs + len(self.luts)
        self.luts.append(Lut(pins, table))

    def put_node(self, place: int, wanted: set[_Literal]) -> None:
        """A node in the sense that the outputs want, or in that of its first LUT; in both if both are wanted."""
        plain, inverse = _Literal(place, False), _Literal(place, True)
        first = inverse if self.nodes.first[place - self.nodes.inputs] else plain
        other = plain if first.inverse else inverse
        kept = other if other in wanted and first not in wanted else first
        self.kept[place] = kept
        self.put(kept, *self.function(kept))
        if plain in wanted and inverse in wanted:
            # An inverter would make the network deeper where both were LUTs of their own.
            own = self.function(other) if other in self.nodes.as_luts else ((self.signal[kept],), INVERTER)
            self.put(other, *own)

    def function(self, literal: _Literal) -> tuple[tuple[int, ...], int]:
        node = self.nodes.nodes[literal.node - self.nodes.inputs]
        k, table = len(node.pins), node.table
        pins = [self.kept[place] for place in node.pins]
        for w, pin in enumerate(reversed(pins)):
            if pin.inverse:
                table = with_inverted_input(table, k, w)
        return tuple(self.signal[pin] for pin in pins), inverted(table, k) if literal.inverse else table


def _rebuilt(nodes: _Nodes) -> Netlist:
    build = _Builder(nodes)
    wanted = set(nodes.outputs)
    for place in range(nodes.inputs):
        build.kept[place] = _Literal(place, False)
        build.signal[build.kept[place]] = place
    for literal in sorted(literal for literal in wanted if literal.node == CONSTANT):
        build.put(literal, (), int(literal.inverse))
    for literal in sorted(literal for literal in wanted if 0 <= literal.node < nodes.inputs and literal.inverse):
        build.put(literal, (literal.node,), INVERTER)
    for place in sorted(_live(nodes)):
        build.put_node(place, wanted)
    return Netlist(nodes.inputs, tuple(build.luts), tuple(build.signal[literal] for literal in nodes.outputs))


def _live(nodes: _Nodes) -> set[int]:
    """Nodes made of LUTs that reach an output."""
    live: set[int] = set()
    work = [literal.node for literal in nodes.outputs]
    while work:
        place = work.pop()
        if place >= nodes.inputs and place not in live:
            live.add(place)
            work += nodes.nodes[place - nodes.inputs].pins
    return live
