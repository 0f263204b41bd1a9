"""The array stepped one clock cycle at a time: slow, and written from rtl_models/optimus/README.md alone.

It shares no formula with `accelerators.optimus.array` or `accelerators.optimus.sparse_kernels`, and so is the second
opinion on the cycles measured there; its events are those that the circuit logs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from accelerators.optimus.design import Design
from accelerators.optimus.sparse import Piece
from hwsim.cosim.circuit import Event


@dataclass(slots=True)
class _Window:
    """One row of a piece as it is issued: per set the columns of its entries that are left, in stored order."""

    left: list[list[int]]
    window: int
    rate: int
    ways: int
    base: int = 0

    def issue(self) -> list[tuple[int, int]]:
        """Each set takes its next entries; (set, how many) of those that take any."""
        taken = []
        for number, columns in enumerate(self.left):
            count = 0
            while count < self.ways and count < len(columns) and columns[count] < self.base + self.window:
                count += 1
            del columns[:count]
            if count:
                taken.append((number, count))
        return taken

    def move(self) -> bool:
        """Whether the window moved: past elements that no set needs, unless nothing is left to issue."""
        needed = [columns[0] for columns in self.left if columns]
        before = self.base
        while needed and self.base - before < self.rate and self.base < min(needed):
            self.base += 1
        return self.base > before


def _columns_of_sets(piece: Piece) -> list[list[int]]:
    return [[c for c, n in enumerate(lengths) for _ in range(n)] for lengths in piece.packed.lengths.tolist()]


@dataclass(slots=True)
class _Array:
    """The array in cycle `now`: how many cycles the sums of the row before still take (`leaving`), and how many all
    results take that are still to be written (`writing`)."""

    design: Design
    now: int = 0
    leaving: int = 0
    writing: int = 0
    events: list[Event] = field(default_factory=list)

    def log(self, name: str, *numbers: int) -> None:
        self.events.append(Event(self.now, name, numbers))

    def step(self) -> None:
        self.now += 1
        self.leaving = max(0, self.leaving - 1)
        self.writing = max(0, self.writing - 1)

    def depth(self, piece: Piece) -> int:
        """Rows of the tile in its fullest set."""
        return max(len(range(s, piece.packed.shape[0], piece.packed.sets)) for s in range(piece.packed.sets))

    def cycles_of(self, bits: int, bits_a_cycle: int) -> int:
        """Cycles until `bits` have passed."""
        cycles = 0
        while bits > 0:
            bits -= bits_a_cycle
            cycles += 1
        return cycles

    def moving_sums(self, piece: Piece) -> int:
        """Cycles in which the sums of a row are set aside, or come back."""
        bits = self.depth(piece) * self.design.accumulator_width_bits
        return self.cycles_of(bits, self.design.activation_width_bits * piece.packed.ways)

    def hold(self, number: int, piece: Piece, rows: int) -> None:
        """One piece, from the first cycle of its fill to the last of its last row."""
        fill = self.cycles_of(min(self.design.window, piece.packed.shape[1]), self.design.macs)
        back = self.moving_sums(piece) if rows > 1 and not piece.opens else 0
        if piece.opens:
            self.leaving = 0
        self.log("hold", number)
        for _ in range(fill + back):
            self.step()
        for row in range(rows):
            another = row + 1 < rows
            self.row(number, row, piece, fill if another else 0, back if another else 0)
            if piece.closes:
                self.writing += self.cycles_of(self.depth(piece), piece.packed.ways)
                self.leaving = self.writing
            elif rows > 1:
                self.leaving = self.writing + self.moving_sums(piece)
        self.events.append(Event(self.now - 1, "free", (number,)))

    def row(self, number: int, row: int, piece: Piece, fetching: int, loading: int) -> None:
        """One row: it is issued, the next one's first window is fetched, the sums of the one before are written, and
        after both the next one's sums are loaded. It lasts until all of that is done."""
        run = _Window(_columns_of_sets(piece), self.design.window, self.design.rate, piece.packed.ways)
        began = self.now
        while any(run.left) or fetching or self.leaving or loading:
            if self.now == began:
                self.log("row", number, row)
            if fetching or self.leaving:
                fetching = max(0, fetching - 1)
            elif loading:
                loading -= 1
            self.issue(number, row, run)
            self.step()

    def issue(self, number: int, row: int, run: _Window) -> None:
        """What the sets take in this cycle, and where the window then goes."""
        for taken in run.issue():
            self.log("take", number, row, *taken)
        if run.move():
            self.log("base", number, row, run.base)


def product_events(design: Design, pieces: Sequence[Piece], rows: int, writing: int = 0) -> Iterator[Event]:
    """What happens in the array when `rows` input vectors are multiplied with the pieces of one product.

    Cycle 0 is the first one in which the first piece is held, and all pieces are there when they are needed. In the
    first `writing` cycles the sums of what ran before are still being written or set aside. Events, in order: `hold k`,
    `row k i` (of rows that last at least a cycle), `take k i set count`, `base k i column`, `free k`, `done 0`; pieces
    k, rows i and columns of a piece count from 0.
    """
    array = _Array(design, writing=writing)
    for number, piece in enumerate(pieces):
        array.hold(number, piece, rows)
    network = 0
    while 2**network < pieces[-1].packed.ways:
        network += 1
    last = Event(array.now - 1 + design.pipeline_cycles + network + array.writing - 1, "done", (0,))
    order = ("hold", "row", "take", "base", "free", "done")
    yield from sorted([*array.events, last], key=lambda event: (event.cycle, order.index(event.name)))
