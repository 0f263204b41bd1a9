"""When the pieces of a run are loaded and held: the model's array events, placed by the weight port of README.md.

The array's own cycles are those of `accelerators.optimus.trace`, piece by piece; what is added here is when each piece
is there, its slot of the buffer, and what a product waits for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from accelerators.optimus import array, sparse
from accelerators.optimus.trace import product_events
from hwsim.cosim.circuit import Event
from hwsim.pure import ceil_div
from rtl_models.optimus.images import Step

BURST_BITS, BURST_CYCLES, LATENCY_CYCLES = 64, 4, 12
IN_A_CYCLE = ("load", "ready", "hold", "row", "take", "base", "free", "done")
SPARE_CYCLES = 1000


def port_cycles(design: Any, bits: int) -> int:
    """Cycles for which a piece of `bits` holds the weight port."""
    return BURST_CYCLES * ceil_div(ceil_div(bits, BURST_BITS), design.dram_channels)


def limit(design: Any, run: Sequence[Step]) -> int:
    """Twice the cycles of a run in which nothing overlaps, and some."""
    cycles = SPARE_CYCLES
    for step in run:
        rows = step.product.inputs.shape[0]
        for piece in step.pieces:
            outputs, columns = piece.packed.shape
            run_cycles = sparse.windowed_cycles(piece.packed, design.window, design.rate)
            aside = array.aside_cycles(design, outputs)
            held = rows * (run_cycles + array.fill_cycles(design, columns) + 3 * aside)
            cycles += held + port_cycles(design, piece.bits(design.value_width_bits)) + LATENCY_CYCLES
    return 2 * cycles


@dataclass(slots=True)
class _Timeline:
    """The run so far.

    port_free   first cycle in which the port can begin another load
    frees       last cycle of each piece in its slot
    held_until  last cycle in which the array was held
    done        cycle in which the last result of all products so far is written
    writing     cycles after `held_until` in which results are still written
    """

    design: Any
    port_free: int = 0
    frees: list[int] = field(default_factory=list)
    held_until: int = -1
    done: int = -1
    writing: int = 0
    pieces: int = 0
    events: list[Event] = field(default_factory=list)

    def load(self, number: int, piece: sparse.Piece) -> int:
        """The first cycle in which the piece can be used."""
        slots = 2 if self.design.load_overlap else 1
        start = self.port_free
        if len(self.frees) >= slots:
            start = max(start, self.frees[-slots] + 1)
        self.port_free = start + port_cycles(self.design, piece.bits(self.design.value_width_bits))
        ready = self.port_free + LATENCY_CYCLES
        self.events += [Event(start, "load", (number,)), Event(ready, "ready", (number,))]
        return ready

    def hold(self, number: int, piece: sparse.Piece, rows: int, earliest: int) -> int:
        """The piece's own events; the cycle in which its product would be done if it were the last."""
        start = max(earliest, self.held_until + 1)
        left = max(0, self.writing - (start - self.held_until - 1))
        done = start
        for event in product_events(self.design, [piece], rows, left):
            at = start + event.cycle
            if event.name == "done":
                done = at
            else:
                self.events.append(Event(at, event.name, (number, *event.numbers[1:])))
            if event.name == "free":
                self.held_until = at
        self.frees.append(self.held_until)
        held, outputs = self.held_until + 1 - start, piece.packed.shape[0]
        self.writing = array.writing_cycles(self.design, rows, outputs, held, int(piece.closes), left)
        return done

    def product(self, number: int, step: Step, loads: bool) -> None:
        """All pieces of a product, and when its last result is written."""
        earliest = self.done + 1 if step.waits else 0
        for piece in step.pieces:
            ready = self.load(self.pieces, piece) if loads else 0
            last = self.hold(self.pieces, piece, step.product.inputs.shape[0], max(ready, earliest))
            self.pieces += 1
        self.done = max(self.done, last)
        self.events.append(Event(last, "done", (number,)))


def events(design: Any, run: Sequence[Step], loads: bool) -> Iterator[Event]:
    """All events of a run in the order of their cycles. `loads` is false for products of operands on the chip."""
    timeline = _Timeline(design)
    for number, step in enumerate(run):
        timeline.product(number, step, loads)
    yield from sorted(timeline.events, key=lambda event: (event.cycle, IN_A_CYCLE.index(event.name)))
