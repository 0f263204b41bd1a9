"""The bits with the least loss under both memory limits, by mixed-integer programming (HiGHS, through SciPy)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hwsim.errors import bad_input
from hwsim.quant import branching
from hwsim.quant.assign import (
    NARROWEST,
    WIDEST,
    WIDTHS,
    Bits,
    Limits,
    Plan,
    Scheme,
    flash_overflow,
    layer_flash_bits,
    ram_bits,
    ram_overflow,
    tensor_bits,
)
from hwsim.quant.branching import Flow, FlowPlan
from hwsim.quant.chain import Layer
from hwsim.quant.proxy import Proxy

SPAN = 1e6
"""Objectives are scaled to this size: HiGHS stops within 1e-6 of the best, which then is a millionth of a millionth."""


def assign_exactly(layers: Sequence[Layer], limits: Limits, scheme: Scheme, proxy: Proxy) -> Plan:
    """The bits of least `proxy` loss that meet both limits; of several such, the ones that HiGHS finds.

    Where no bits do, the plan has the bits that come nearest and says what is over. Raises InputError without SciPy.
    """
    count = len(layers)
    plan = Plan(
        tuple(layers), limits, scheme, Bits((NARROWEST,) * count, (WIDEST, *(NARROWEST,) * (count - 1), WIDEST))
    )
    over = [i for i in range(count) if ram_bits(layers, plan.bits, i) > limits.ram_bits]
    if over:
        return replace(plan, overflows=tuple(ram_overflow(plan, i, rules=False) for i in over))

    def bits(widths: _Widths) -> Bits:
        return Bits(widths.weights, (WIDEST, *(widths.values[v] for v in range(1, count)), WIDEST))

    program = _Program(_of_chain(layers), limits, scheme)
    found = program.least(proxy)
    if found:
        return replace(plan, bits=bits(found))
    smallest = replace(plan, bits=bits(program.smallest()))
    return replace(smallest, overflows=(flash_overflow(smallest),))


def assign_flow_exactly(flow: Flow, limits: Limits, scheme: Scheme, proxy: Proxy) -> FlowPlan:
    """The same for a network that branches, its steps in the order given; `proxy.outputs` are those of `flow.free`."""

    def planned(widths: _Widths) -> FlowPlan:
        of_root = {root: widths.values.get(root, WIDEST) for root in flow.root}
        return FlowPlan(flow, limits, scheme, widths.weights, tuple(of_root[root] for root in flow.root))

    tight = planned(_Widths((NARROWEST,) * len(flow.layers), dict.fromkeys(flow.free, NARROWEST)))
    if over := branching.ram_overflows(tight, rules=False):
        return replace(tight, overflows=over)
    program = _Program(_of_flow(flow), limits, scheme)
    found = program.least(proxy)
    if found:
        return planned(found)
    smallest = planned(program.smallest())
    return replace(smallest, overflows=branching.flash_overflows(smallest))


@dataclass(frozen=True, slots=True)
class _Widths:
    """Widths of the layers' weights, in order, and of the free values, by number."""

    weights: tuple[int, ...]
    values: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class _Network:
    """What the limits see. Values are numbered; those that are not `free` have 8 bits.

    `writes`: the value that each layer with weights writes. `live`: (value, elements) of each tensor in RAM, by step.
    """

    layers: Sequence[Layer]
    writes: tuple[int, ...]
    free: tuple[int, ...]
    live: tuple[tuple[tuple[int, int], ...], ...]

    def ram_bits(self, step: int, values: Mapping[int, int]) -> int:
        return sum(tensor_bits(elements, values.get(v, WIDEST)) for v, elements in self.live[step])

    def flash_bits(self, scheme: Scheme, widths: _Widths) -> int:
        last = len(self.layers) - 1
        return sum(layer_flash_bits(layer, scheme, widths.weights[i], widths.values.get(self.writes[i], WIDEST),
                                    last=i == last) for i, layer in enumerate(self.layers))  # fmt: skip


def _of_chain(layers: Sequence[Layer]) -> _Network:
    """Value 0 goes in, value i comes out of layer i - 1; the two that a pool lies between are one in width."""
    live = tuple(((i, layer.inputs), (i + 1, layer.outputs)) for i, layer in enumerate(layers))
    return _Network(layers, tuple(range(1, len(layers) + 1)), tuple(range(1, len(layers))), live)


def _of_flow(flow: Flow) -> _Network:
    writes = tuple(flow.root[step.writes] for step in flow.steps if step.layer)
    live = tuple(tuple((flow.root[v], flow.elements[v]) for v in sorted(values)) for values in flow.lives)
    return _Network(flow.layers, writes, flow.free, live)


class _Program:
    """One binary per tensor and width; under PL also one per hidden layer whose batch norm is folded.

    Columns: weights of layer i at width k, then each free value at width k, then the folded ones.
    """

    def __init__(self, network: _Network, limits: Limits, scheme: Scheme) -> None:
        self.network, self.limits, self.scheme = network, limits, scheme
        self.layers = network.layers
        self.place = {value: len(self.layers) + at for at, value in enumerate(network.free)}
        self.tensors = len(self.layers) + len(network.free)
        self.folds = len(self.layers) - 1 if scheme is Scheme.PL else 0
        self.columns = self.tensors * len(WIDTHS) + self.folds
        self.rows: list[tuple[dict[int, float], float, float]] = []
        self._one_width_each()
        self._ram()
        self._folding()

    def weight(self, i: int, width: int) -> int:
        return i * len(WIDTHS) + WIDTHS.index(width)

    def value(self, value: int, width: int) -> int:
        return self.place[value] * len(WIDTHS) + WIDTHS.index(width)

    def fold(self, i: int) -> int:
        return self.columns - self.folds + i

    def _one_width_each(self) -> None:
        for tensor in range(self.tensors):
            self.rows.append(({tensor * len(WIDTHS) + k: 1.0 for k in range(len(WIDTHS))}, 1, 1))

    def _ram(self) -> None:
        for live in dict.fromkeys(self.network.live):
            row: dict[int, float] = {}
            fixed = 0
            for value, elements in live:
                if value not in self.place:
                    fixed += tensor_bits(elements, WIDEST)
                    continue
                for width in WIDTHS:
                    column = self.value(value, width)
                    row[column] = row.get(column, 0.0) + tensor_bits(elements, width) / 8
            if row:
                self.rows.append((row, 0, (self.limits.ram_bits - fixed) // 8))

    def _folding(self) -> None:
        """A layer folds its norm exactly where its weights and its output have 8 bits."""
        for i in range(self.folds):
            fold, weight, out = self.fold(i), self.weight(i, WIDEST), self.network.writes[i]
            if out not in self.place:
                self.rows.append(({fold: 1.0, weight: -1.0}, 0, 0))
                continue
            self.rows.append(({fold: 1.0, weight: -1.0, self.value(out, WIDEST): -1.0}, -1, 1))
            self.rows.append(({fold: 1.0, weight: -1.0}, -1, 0))
            self.rows.append(({fold: 1.0, self.value(out, WIDEST): -1.0}, -1, 0))

    def flash(self) -> dict[int, float]:
        """Bytes of flash that each column brings."""
        row = {}
        for i, layer in enumerate(self.layers):
            last = i == len(self.layers) - 1
            for width in WIDTHS:
                # An output below 8 bits never folds; what folding saves is the fold column's.
                output = WIDEST if last else NARROWEST
                row[self.weight(i, width)] = layer_flash_bits(layer, self.scheme, width, output, last=last) / 8
        for i in range(self.folds):
            folded = layer_flash_bits(self.layers[i], self.scheme, WIDEST, WIDEST, last=False)
            row[self.fold(i)] = folded / 8 - row[self.weight(i, WIDEST)]
        return row

    def least(self, proxy: Proxy) -> _Widths | None:
        """The widths of least loss; None where none meet the limits."""
        costs = [0.0] * self.columns
        for width in WIDTHS:
            for i, cost in enumerate(proxy.weights):
                costs[self.weight(i, width)] = cost[width]
            for value, cost in zip(self.network.free, proxy.outputs, strict=True):
                costs[self.value(value, width)] = cost[width]
        rows = [*self.rows, (self.flash(), -math.inf, self.limits.flash_bits // 8)]
        return self._solved(costs, rows, self._meets)

    def smallest(self) -> _Widths:
        """The widths with the least flash among those that meet the limit of RAM."""
        costs = [0.0] * self.columns
        for column, size in self.flash().items():
            costs[column] = size
        found = self._solved(costs, list(self.rows), self._fits_ram)
        assert found is not None, "the narrowest values fit RAM"
        return found

    def _fits_ram(self, widths: _Widths) -> bool:
        steps = range(len(self.network.live))
        return all(self.network.ram_bits(i, widths.values) <= self.limits.ram_bits for i in steps)

    def _meets(self, widths: _Widths) -> bool:
        return self._fits_ram(widths) and self.network.flash_bits(self.scheme, widths) <= self.limits.flash_bits

    def _solved(
        self, costs: list[float], rows: list[tuple[dict[int, float], float, float]], legal: Callable[[_Widths], bool]
    ) -> _Widths | None:
        """The solver's widths, held against the limits in integers: its tolerance lets it overstep them by a byte, and
        widths that do are cut off and the program solved again."""
        while True:
            chosen = _solve(costs, rows)
            if chosen is None:
                return None
            widths = self._widths(chosen)
            if legal(widths):
                return widths
            held = {column: 1.0 for column in chosen if column < self.columns - self.folds}
            rows.append((held, 0, len(held) - 1))

    def _widths(self, chosen: Sequence[int]) -> _Widths:
        found = [WIDTHS[c % len(WIDTHS)] for c in sorted(chosen) if c < self.columns - self.folds]
        count = len(self.layers)
        return _Widths(tuple(found[:count]), dict(zip(self.network.free, found[count:], strict=True)))


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
