"""The bits with the least loss under both memory limits, by mixed-integer programming (HiGHS, through SciPy)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hwsim.errors import bad_input
from hwsim.quant.assign import (
    NARROWEST,
    WIDEST,
    WIDTHS,
    Bits,
    Limits,
    Plan,
    Scheme,
    flash_bits,
    flash_overflow,
    layer_flash_bits,
    ram_bits,
    ram_overflow,
    tensor_bits,
)
from hwsim.quant.chain import Layer
from hwsim.quant.proxy import Proxy

SPAN = 1e6
"""Objectives are scaled to this size: HiGHS stops within 1e-6 of the best, which then is a millionth of a millionth."""


def assign_exactly(layers: Sequence[Layer], limits: Limits, scheme: Scheme, proxy: Proxy) -> Plan:
    """The bits of least `proxy` loss that meet both limits; of several such, the ones that HiGHS finds.

    Where no bits do, the plan has the bits that come nearest and says what is over. Raises InputError without SciPy.
    """
    narrow = _narrowest_values(len(layers))
    tight = Bits((NARROWEST,) * len(layers), narrow)
    plan = Plan(tuple(layers), limits, scheme, tight)
    over = [i for i in range(len(layers)) if ram_bits(layers, tight, i) > limits.ram_bits]
    if over:
        return replace(plan, overflows=tuple(ram_overflow(plan, i, rules=False) for i in over))
    program = _Program(layers, limits, scheme)
    bits = program.least(lambda i, width: proxy.weights[i][width], lambda i, width: proxy.outputs[i][width])
    if bits is not None:
        return replace(plan, bits=bits)
    smallest = replace(plan, bits=program.smallest())
    return replace(smallest, overflows=(flash_overflow(smallest),))


def _narrowest_values(layers: int) -> tuple[int, ...]:
    return (WIDEST, *(NARROWEST,) * (layers - 1), WIDEST)


class _Program:
    """One binary per tensor and width; under PL also one per hidden layer whose batch norm is folded.

    Columns: weights of layer i at width k, then the value after layer i at width k (the last layer's is fixed), then
    the folded ones.
    """

    def __init__(self, layers: Sequence[Layer], limits: Limits, scheme: Scheme) -> None:
        self.layers, self.limits, self.scheme = layers, limits, scheme
        self.hidden = len(layers) - 1
        self.folds = self.hidden if scheme is Scheme.PL else 0
        self.columns = (len(layers) + self.hidden) * len(WIDTHS) + self.folds
        self.rows: list[tuple[dict[int, float], float, float]] = []
        self._one_width_each()
        self._ram()
        self._folding()

    def weight(self, i: int, width: int) -> int:
        return i * len(WIDTHS) + WIDTHS.index(width)

    def value(self, i: int, width: int) -> int:
        return (len(self.layers) + i) * len(WIDTHS) + WIDTHS.index(width)

    def fold(self, i: int) -> int:
        return self.columns - self.folds + i

    def _one_width_each(self) -> None:
        for tensor in range(len(self.layers) + self.hidden):
            self.rows.append(({tensor * len(WIDTHS) + k: 1.0 for k in range(len(WIDTHS))}, 1, 1))

    def _ram(self) -> None:
        for i, layer in enumerate(self.layers):
            row: dict[int, float] = {}
            fixed = 0
            for count, at in ((layer.inputs, i - 1), (layer.outputs, i)):
                if 0 <= at < self.hidden:
                    row |= {self.value(at, width): tensor_bits(count, width) / 8 for width in WIDTHS}
                else:
                    fixed += tensor_bits(count, WIDEST)
            if row:
                self.rows.append((row, 0, (self.limits.ram_bits - fixed) // 8))

    def _folding(self) -> None:
        """A layer folds its norm exactly where its weights and its output have 8 bits."""
        for i in range(self.folds):
            both = {self.fold(i): 1.0, self.weight(i, WIDEST): -1.0, self.value(i, WIDEST): -1.0}
            self.rows.append((both, -1, 1))
            self.rows.append(({self.fold(i): 1.0, self.weight(i, WIDEST): -1.0}, -1, 0))
            self.rows.append(({self.fold(i): 1.0, self.value(i, WIDEST): -1.0}, -1, 0))

    def flash(self) -> dict[int, float]:
        """Bytes of flash that each column brings."""
        row = {}
        for i, layer in enumerate(self.layers):
            last = i == self.hidden
            for width in WIDTHS:
                # An output below 8 bits never folds; what folding saves is the fold column's.
                output = WIDEST if last else NARROWEST
                size = layer_flash_bits(layer, self.scheme, width, output, last=last)
                row[self.weight(i, width)] = size / 8
        for i in range(self.folds):
            folded = layer_flash_bits(self.layers[i], self.scheme, WIDEST, WIDEST, last=False)
            row[self.fold(i)] = folded / 8 - row[self.weight(i, WIDEST)]
        return row

    def least(self, of_weights: Callable[[int, int], float], of_values: Callable[[int, int], float]) -> Bits | None:
        """The bits of least cost; None where none meet the limits."""
        costs = [0.0] * self.columns
        for width in WIDTHS:
            for i in range(len(self.layers)):
                costs[self.weight(i, width)] = of_weights(i, width)
            for i in range(self.hidden):
                costs[self.value(i, width)] = of_values(i, width)
        rows = [*self.rows, (self.flash(), -math.inf, self.limits.flash_bits // 8)]
        return self._solved(costs, rows, self._meets)

    def smallest(self) -> Bits:
        """The bits with the least flash among those that meet the limit of RAM."""
        costs = [0.0] * self.columns
        for column, size in self.flash().items():
            costs[column] = size
        found = self._solved(costs, list(self.rows), self._fits_ram)
        assert found is not None, "the narrowest values fit RAM"
        return found

    def _fits_ram(self, bits: Bits) -> bool:
        return all(ram_bits(self.layers, bits, i) <= self.limits.ram_bits for i in range(len(self.layers)))

    def _meets(self, bits: Bits) -> bool:
        return self._fits_ram(bits) and flash_bits(self.layers, bits, self.scheme) <= self.limits.flash_bits

    def _solved(
        self, costs: list[float], rows: list[tuple[dict[int, float], float, float]], legal: Callable[[Bits], bool]
    ) -> Bits | None:
        """The solver's bits, held against the limits in integers: its tolerance lets it overstep them by a byte, and
        bits that do are cut off and the program solved again."""
        while True:
            chosen = _solve(costs, rows)
            if chosen is None:
                return None
            bits = self._bits(chosen)
            if legal(bits):
                return bits
            held = {column: 1.0 for column in chosen if column < self.columns - self.folds}
            rows.append((held, 0, len(held) - 1))

    def _bits(self, chosen: Sequence[int]) -> Bits:
        widths = [WIDTHS[c % len(WIDTHS)] for c in sorted(chosen) if c < self.columns - self.folds]
        return Bits(tuple(widths[: len(self.layers)]), (WIDEST, *widths[len(self.layers) :], WIDEST))


def _solve(costs: Sequence[float], rows: Sequence[tuple[dict[int, float], float, float]]) -> list[int] | None:
    """The columns that are 1 in an optimal solution, in order; None where there is no solution."""
    milp, constraint, array, sparse = _solver()
    scale = SPAN / (sum(abs(cost) for cost in costs) or 1.0)
    entries = [(r, c, v) for r, (row, _, _) in enumerate(rows) for c, v in row.items()]
    at, to, values = zip(*entries, strict=True)
    matrix = sparse((values, (at, to)), shape=(len(rows), len(costs)))
    limits = constraint(matrix, array([low for _, low, _ in rows]), array([high for _, _, high in rows]))
    found = milp(array(costs) * scale, integrality=array([1] * len(costs)), bounds=(0, 1), constraints=limits,
                 options={"mip_rel_gap": 0.0})  # fmt: skip
    if found.status == 2:
        return None
    if found.x is None:
        raise RuntimeError(f"HiGHS: {found.message}")
    return [column for column, value in enumerate(found.x) if value > 0.5]


def _solver() -> tuple[Any, Any, Any, Any]:
    try:
        from numpy import array
        from scipy.optimize import LinearConstraint, milp
        from scipy.sparse import csr_array
    except ImportError:
        raise bad_input("no-scipy", "no SciPy", "the exact method needs SciPy",
                        "Install it: pip install 'hwsim[exact]'; or take --method rules.") from None  # fmt: skip
    return milp, LinearConstraint, array, csr_array
