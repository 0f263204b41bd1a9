"""Whether two networks compute the same: every assignment where an output depends on few inputs, random ones else.

It knows nothing of simplification, so it can judge it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwsim.errors import bad_input
from hwsim.netlist.cones import restricted, supports
from hwsim.netlist.evaluate import BLOCK_SAMPLES, evaluate
from hwsim.netlist.netlist import Netlist

EXHAUSTIVE_INPUTS = 16
RANDOM_VECTORS = 10_000


@dataclass(frozen=True, slots=True)
class Counterexample:
    """An assignment of the inputs at which output `output` of the two networks differs."""

    inputs: tuple[int, ...]
    output: int
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: `proven` outputs agree at every assignment; the others agreed at `vectors` random ones."""

    counterexample: Counterexample | None
    outputs: int
    proven: int
    assignments: int
    """Assignments of inputs tried in the proofs, over all cones."""
    vectors: int

    @property
    def equivalent(self) -> bool:
        """Whether no difference was found."""
        return self.counterexample is None

    @property
    def is_proof(self) -> bool:
        """Whether that holds for every assignment, or is refuted by one."""
        return not self.equivalent or self.proven == self.outputs

    def __str__(self) -> str:
        if self.counterexample:
            c = self.counterexample
            bits = "".join(map(str, c.inputs))
            return f"output {c.output} differs: {c.first} and {c.second} at inputs {bits}"
        rest = f", {self.outputs - self.proven} agree on {self.vectors} vectors" if not self.is_proof else ""
        return f"equivalent: {self.proven} of {self.outputs} outputs proven{rest}"


def equivalent(
    a: Netlist, b: Netlist, *, exhaustive_inputs: int = EXHAUSTIVE_INPUTS, vectors: int = RANDOM_VECTORS, seed: int = 0
) -> Verdict:
    """Compare two networks output by output.

    Outputs that depend on at most `exhaustive_inputs` inputs, in both networks together, are compared at every
    assignment of them; where any output depends on more, all are compared on `vectors` vectors as well: all 0, all 1,
    one 1 among 0, one 0 among 1, and random ones of `seed` (numpy's PCG64). Raises InputError for networks of different
    numbers of inputs or outputs.
    """
    _check_widths(a, b)
    cones = [x | y for x, y in zip(supports(a), supports(b), strict=True)]
    small = [place for place, cone in enumerate(cones) if len(cone) <= exhaustive_inputs]
    assignments, found = 0, None
    for places, inputs in _groups(small, cones, exhaustive_inputs):
        assignments += 1 << len(inputs)
        found = _refuted(a, b, places, inputs)
        if found:
            return Verdict(found, len(cones), 0, assignments, 0)
    tried = vectors if len(small) < len(cones) else 0
    found = _differing(a, b, tried, seed) if tried else None
    return Verdict(found, len(cones), len(small), assignments, tried)


def _check_widths(a: Netlist, b: Netlist) -> None:
    for what, first, second in (("inputs", a.inputs, b.inputs), ("outputs", len(a.outputs), len(b.outputs))):
        if first != second:
            rule = f"networks that are compared have the same number of {what}"
            raise bad_input("width", f"{first} and {second}", rule, key=what)


def _groups(
    places: Sequence[int], cones: Sequence[frozenset[int]], limit: int
) -> Iterator[tuple[list[int], frozenset[int]]]:
    """Outputs in a row whose cones are enumerated together as long as they have few inputs."""
    group: list[int] = []
    inputs: frozenset[int] = frozenset()
    for place in places:
        joined = inputs | cones[place]
        # Together only where that costs no more assignments than the widest of them does alone.
        if (group and len(joined) > max(len(inputs), len(cones[place]))) or len(joined) > limit:
            yield group, inputs
            group, joined = [], cones[place]
        group.append(place)
        inputs = joined
    if group:
        yield group, inputs


def _refuted(a: Netlist, b: Netlist, places: Sequence[int], inputs: frozenset[int]) -> Counterexample | None:
    """A difference at any assignment of `inputs`, which are all that these outputs depend on."""
    small_a, small_b = restricted(a, places, inputs), restricted(b, places, inputs)
    order = sorted(inputs)
    for start in range(0, 1 << len(order), BLOCK_SAMPLES):
        numbers = np.arange(start, min(start + BLOCK_SAMPLES, 1 << len(order)))
        bits = ((numbers[:, None] >> np.arange(small_a.inputs)) & 1).astype(np.uint8)
        difference = _first_difference(evaluate(small_a, bits), evaluate(small_b, bits))
        if difference:
            row, column, first, second = difference
            full = [0] * a.inputs
            for value, signal in zip(bits[row], order, strict=False):
                full[signal] = int(value)
            return Counterexample(tuple(full), places[column], first, second)
    return None


def _differing(a: Netlist, b: Netlist, vectors: int, seed: int) -> Counterexample | None:
    for bits in _vectors(a.inputs, vectors, seed):
        difference = _first_difference(evaluate(a, bits), evaluate(b, bits))
        if difference:
            row, column, first, second = difference
            return Counterexample(tuple(map(int, bits[row])), column, first, second)
    return None


def _first_difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    rows, columns = np.nonzero(a != b)
    if not len(rows):
        return None
    row, column = int(rows[0]), int(columns[0])
    return row, column, int(a[row, column]), int(b[row, column])


def _vectors(inputs: int, count: int, seed: int) -> Iterator[npt.NDArray[np.uint8]]:
    """`count` vectors in blocks: the corners first, then random ones."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, BLOCK_SAMPLES):
        rows = min(BLOCK_SAMPLES, count - start)
        bits = rng.integers(0, 2, (rows, inputs), dtype=np.uint8)
        for row in range(min(rows, 2 * inputs + 2 - start)):
            corner, one = divmod(start + row, 2)
            bits[row] = one
            if corner:
                bits[row, corner - 1] = 1 - one
        yield bits
