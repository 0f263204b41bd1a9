"""A network of look-up tables (LUTs), immutable and checked when it is made.

Signals are numbered: 0 ... inputs - 1 are the inputs, inputs + i is the output of LUT i. A LUT reads signals before its
own only, so the order of the LUTs is an order of evaluation and no network has a cycle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any, NamedTuple

from hwsim.document import Path_, described, dotted
from hwsim.errors import InputError, Problem, Where

MAX_PINS = 16
"""A table of 2^16 bits is 8 KiB: wider functions are networks, not tables."""
MAX_SIGNALS = 1 << 20
"""Of inputs, of LUTs and of outputs, each."""
_NAMED_IN_CYCLE = 8


class Fault(NamedTuple):
    """A broken rule, and where: a path in the terms of the file (`luts[3].inputs[0]`)."""

    path: Path_
    code: str
    got: object
    rule: str
    remedy: str = ""

    def problem(self, prefix: Path_ = ()) -> Problem:
        """The fault as a problem of something that stands in no file."""
        where = Where(key=dotted((*prefix, *self.path)))
        return Problem(self.code, where, described(self.got), self.rule, self.remedy)


@dataclass(frozen=True, slots=True)
class Lut:
    """A look-up table.

    `pins` are signals, the most significant address bit first, at most MAX_PINS; `table` holds the output at address a
    in bit a, the address being the pins read as a binary number. A LUT without pins is a constant. A signal may stand
    at several pins. Raises InputError for more pins, negative signals, a table that has no 2^pins bits.
    """

    pins: tuple[int, ...]
    table: int

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "pins", tuple(index(pin) for pin in self.pins))
            object.__setattr__(self, "table", index(self.table))
        except TypeError:
            fault = Fault((), "type", repr(self.pins), "pins are integers, and so is the table")
            raise InputError((fault.problem(("lut",)),)) from None
        faults = [fault.problem(("lut",)) for fault in _lut_faults(self)]
        if faults:
            raise InputError(faults)

    def bits(self) -> str:
        """The table as a text of 2^pins characters, the one for address 0 first."""
        return format(self.table, f"0{1 << len(self.pins)}b")[::-1]


def _lut_faults(lut: Lut) -> Iterator[Fault]:
    if len(lut.pins) > MAX_PINS:
        yield Fault(("inputs",), "range", list(lut.pins), f"a LUT has at most {MAX_PINS} inputs", "Split it.")
    elif lut.table < 0 or lut.table.bit_length() > 1 << len(lut.pins):
        rule = f"the table of {len(lut.pins)} inputs has {1 << len(lut.pins)} bits"
        yield Fault(("table",), "length", f"{lut.table.bit_length()} bits", rule)
    for i, pin in enumerate(lut.pins):
        if pin < 0:
            yield Fault(("inputs", i), "range", pin, "signals are numbered from 0")


@dataclass(frozen=True)
class Netlist:
    """`inputs` input signals, LUTs in an order of evaluation, and the signals that are the outputs.

    Raises InputError with every broken rule: LUT i reads signals below inputs + i, outputs are signals there are, there
    is at least one input and one output, and at most MAX_SIGNALS of each kind.
    """

    inputs: int
    luts: tuple[Lut, ...]
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "inputs", index(self.inputs))
            object.__setattr__(self, "luts", tuple(self.luts))
            object.__setattr__(self, "outputs", tuple(index(signal) for signal in self.outputs))
        except TypeError:
            fault = Fault(("outputs",), "type", repr(self.outputs), "inputs is an integer, and outputs are signals")
            raise InputError((fault.problem(),)) from None
        faults = list(faults_of(self.inputs, [lut.pins for lut in self.luts], self.outputs))
        if faults:
            raise InputError([fault.problem() for fault in faults])

    @property
    def signals(self) -> int:
        """Inputs and LUTs together."""
        return self.inputs + len(self.luts)

    def levels(self) -> tuple[int, ...]:
        """The level of each LUT: one more than the highest among its pins. Inputs and constants are at level 0."""
        return self._levels

    @cached_property
    def _levels(self) -> tuple[int, ...]:
        found = [0] * self.inputs
        for lut in self.luts:
            found.append(max((found[pin] for pin in lut.pins), default=-1) + 1)
        return tuple(found[self.inputs :])

    @property
    def depth(self) -> int:
        """The level of the highest output: LUTs on the longest way from an input to an output."""
        levels = self.levels()
        return max(0 if s < self.inputs else levels[s - self.inputs] for s in self.outputs)

    def live(self) -> tuple[bool, ...]:
        """Whether each signal reaches an output."""
        found = [False] * self.signals
        for signal in self.outputs:
            found[signal] = True
        for i in range(len(self.luts) - 1, -1, -1):
            if found[self.inputs + i]:
                for pin in self.luts[i].pins:
                    found[pin] = True
        return tuple(found)


# --- rules ------------------------------------------------------------------------------------------------------


def faults_of(inputs: int, pins: Sequence[Sequence[int]], outputs: Sequence[int]) -> Iterator[Fault]:
    """Every rule that a network of these pins breaks, in the order of the file."""
    yield from _count_faults(inputs, pins, outputs)
    if not 1 <= inputs <= MAX_SIGNALS:
        return
    signals = inputs + len(pins)
    known = f"signals are numbered 0 to {signals - 1} (inputs: {inputs}, LUTs: {len(pins)})"
    forward: list[tuple[int, int]] = []
    for i, read in enumerate(pins):
        if all(0 <= pin < inputs + i for pin in read):
            continue
        for j, pin in enumerate(read):
            if not 0 <= pin < signals:
                yield Fault(("luts", i, "inputs", j), "dangling", pin, known, "Name a signal that exists.")
            elif pin >= inputs + i:
                forward.append((i, j))
    if forward:
        yield from _order_faults(inputs, pins, forward)
    for j, signal in enumerate(outputs):
        if not 0 <= signal < signals:
            yield Fault(("outputs", j), "dangling", signal, known, "Name a signal that exists.")


def _count_faults(inputs: int, pins: Sequence[Any], outputs: Sequence[Any]) -> Iterator[Fault]:
    limit = f"1 to {MAX_SIGNALS}"
    if not 1 <= inputs <= MAX_SIGNALS:
        yield Fault(("inputs",), "range", inputs, f"must be an integer from {limit}")
    if len(pins) > MAX_SIGNALS:
        yield Fault(("luts",), "range", pins, f"a network has at most {MAX_SIGNALS} LUTs")
    if not 1 <= len(outputs) <= MAX_SIGNALS:
        remedy = "" if outputs else "Name the signals that are the outputs."
        yield Fault(("outputs",), "range", outputs, f"a network has {limit} outputs", remedy)


def _order_faults(inputs: int, pins: Sequence[Sequence[int]], forward: Sequence[tuple[int, int]]) -> Iterator[Fault]:
    """Of pins that read their own LUT or a later one: one fault a cycle, and one for all that are merely too early."""
    group = _groups(inputs, pins)
    named: set[int] = set()
    early: list[tuple[int, int]] = []
    for i, j in forward:
        source = pins[i][j] - inputs
        if group[i] != group[source]:
            early.append((i, j))
        elif group[i] not in named:
            named.add(group[i])
            ring = _ring(inputs, pins, i, source)
            rule = f"a network has no cycles, and {_fed(ring)}"
            yield Fault(("luts", i, "inputs", j), "cycle", pins[i][j], rule, "Break the cycle.")
    if early:
        i, j = early[0]
        source = pins[i][j] - inputs
        more = f" ({len(early) - 1} more inputs are read too early)" if len(early) > 1 else ""
        rule = f"LUT {i} reads LUT {source}, and a LUT stands after those it reads{more}"
        remedy = f"Put LUT {i} after LUT {source} and renumber, or sort all topologically."
        yield Fault(("luts", i, "inputs", j), "order", pins[i][j], rule, remedy)


def _fed(ring: Sequence[int]) -> str:
    if len(ring) == 1:
        return f"LUT {ring[0]} reads its own output"
    if len(ring) == 2:
        return f"LUT {min(ring)} and LUT {max(ring)} feed one another"
    names = ", ".join(f"LUT {i}" for i in ring[:_NAMED_IN_CYCLE])
    rest = "" if len(ring) <= _NAMED_IN_CYCLE else f" and {len(ring) - _NAMED_IN_CYCLE} more"
    return f"{names}{rest} feed one another in a ring"


def _ring(inputs: int, pins: Sequence[Sequence[int]], reader: int, source: int) -> list[int]:
    """The shortest cycle through `reader`, which reads `source`: each reads the one after it, the last the first."""
    before = {source: -1}
    queue = [source]
    for at in queue:
        if at == reader:
            break
        for pin in pins[at]:
            lut = pin - inputs
            if 0 <= lut < len(pins) and lut not in before:
                before[lut] = at
                queue.append(lut)
    ring = [reader]
    while before[ring[-1]] >= 0:
        ring.append(before[ring[-1]])
    return [ring[0], *reversed(ring[1:])]


def _groups(inputs: int, pins: Sequence[Sequence[int]]) -> list[int]:
    """The strongly connected component of each LUT (Tarjan 1972), without recursion."""
    count = len(pins)
    order, low, group = [-1] * count, [0] * count, [-1] * count
    stack: list[int] = []
    clock = groups = 0
    for root in range(count):
        work = [(root, 0)] if order[root] < 0 else []
        while work:
            at, nth = work.pop()
            if nth == 0:
                order[at] = low[at] = clock
                clock += 1
                stack.append(at)
            for k in range(nth, len(pins[at])):
                lut = pins[at][k] - inputs
                if not 0 <= lut < count:
                    continue
                if order[lut] < 0:
                    work += [(at, k + 1), (lut, 0)]
                    break
                if group[lut] < 0:
                    low[at] = min(low[at], low[lut])
            else:
                if low[at] == order[at]:
                    while group[at] < 0:
                        group[stack.pop()] = groups
                    groups += 1
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[at])
    return group
