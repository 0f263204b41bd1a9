"""Bits for networks that branch: the rules of `hwsim.quant.assign`, over values instead of a chain of layers.

What the authors' procedure says of a layer's input and output is said here of the values that live while a step runs:
those it reads, the one it writes, and those held for a later step. In a chain these are one input and one output, and
both procedures are the same.

- RAM of a step is the sum of all that lives, a value held for a later sum included.
- A sum is a step like a layer with weights, but has none. Its output is cut under the rule for outputs, against the
  wider of its operands (of equal ones the larger).
- A step that stays too large gets the widest (of equal ones the largest) value that lives and that it does not write
  cut, under the rule for inputs: so a held value can be cut too.
- Pooling keeps the width of what it reads.
- Input and output of the network stay at 8 bits. Weights are cut as in a chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from hwsim.quant.assign import (
    BYTE,
    NARROWEST,
    WIDEST,
    Bits,
    Limits,
    Overflow,
    Scheme,
    cut_weights,
    flash_bits,
    layer_flash_bits,
    tensor_bits,
)
from hwsim.quant.chain import Layer


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the values it reads and writes, by number, and its layer if it has weights."""

    name: str
    reads: tuple[int, ...]
    writes: int
    layer: Layer | None = None
    pools: bool = False


@dataclass(frozen=True)
class Flow:
    """Steps in the order they run, over values of so many elements; value 0 is the network's input."""

    elements: tuple[int, ...]
    steps: tuple[Step, ...]
    output: int

    @cached_property
    def lives(self) -> tuple[frozenset[int], ...]:
        """The values that live while each step runs."""
        last = {value: i for i, step in enumerate(self.steps) for value in (*step.reads, step.writes)}
        first = {step.writes: i for i, step in enumerate(self.steps)} | {0: 0}
        last[self.output] = len(self.steps)
        values = range(len(self.elements))
        return tuple(frozenset(v for v in values if first[v] <= i <= last[v]) for i in range(len(self.steps)))

    @cached_property
    def root(self) -> tuple[int, ...]:
        """The value whose width each value has: its own, or of a pool that of what was pooled."""
        found = list(range(len(self.elements)))
        for step in self.steps:
            if step.pools:
                found[step.writes] = found[step.reads[0]]
        return tuple(found)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers with weights."""
        return tuple(step.layer for step in self.steps if step.layer)

    def ram_bits(self, widths: Sequence[int], i: int) -> int:
        """RAM while step `i` runs, for widths by value."""
        return sum(tensor_bits(self.elements[v], widths[self.root[v]]) for v in self.lives[i])

    def bits(self, weights: Sequence[int], widths: Sequence[int]) -> Bits:
        """As `hwsim.quant.training.prepare` takes them: values without those of pools."""
        own = (step.writes for step in self.steps if not step.pools)
        return Bits(tuple(weights), (widths[0], *(widths[v] for v in own)))


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """Bits of a flow; `overflows` is empty where both limits are met."""

    flow: Flow
    limits: Limits
    scheme: Scheme
    weights: tuple[int, ...]
    widths: tuple[int, ...]
    overflows: tuple[Overflow, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.overflows

    @property
    def bits(self) -> Bits:
        return self.flow.bits(self.weights, self.widths)


def assign_flow(flow: Flow, limits: Limits, scheme: Scheme, weight_bits: int = 0) -> FlowPlan:
    """Bits by the rules above; all weights have `weight_bits` where these are given."""
    widths = cut_values(flow, limits.ram_bits)
    outputs = _output_widths(flow, widths)
    weights = (weight_bits,) * len(flow.layers) if weight_bits else cut_weights(
        flow.layers, outputs, limits.flash_bits, scheme)  # fmt: skip
    over = [_ram_overflow(flow, widths, i, limits) for i in range(len(flow.steps))
            if flow.ram_bits(widths, i) > limits.ram_bits]  # fmt: skip
    if flash_bits(flow.layers, Bits(weights, outputs), scheme) > limits.flash_bits:
        over.append(_flash_overflow(flow, weights, outputs, limits, scheme))
    return FlowPlan(flow, limits, scheme, weights, widths, tuple(over))


def _output_widths(flow: Flow, widths: Sequence[int]) -> tuple[int, ...]:
    """What the chain's formulas for flash ask for: the width of each layer's output, behind that of the input."""
    return (widths[0], *(widths[flow.root[step.writes]] for step in flow.steps if step.layer))


def cut_values(flow: Flow, limit_bits: int) -> tuple[int, ...]:
    """Widths by value: forward sweeps lower outputs, backward sweeps what else lives, in turn, as in a chain."""
    widths = [WIDEST] * len(flow.elements)
    steps = range(len(flow.steps))
    while any(flow.ram_bits(widths, i) > limit_bits for i in steps):
        before = tuple(widths)
        for i in steps:
            while flow.ram_bits(widths, i) > limit_bits and _may_cut_output(flow, widths, i):
                widths[flow.root[flow.steps[i].writes]] //= 2
        for i in reversed(steps):
            while flow.ram_bits(widths, i) > limit_bits and (value := _input_to_cut(flow, widths, i)) >= 0:
                widths[value] //= 2
        if tuple(widths) == before:
            break
    return tuple(widths[root] for root in flow.root)


def _widest(flow: Flow, widths: Sequence[int], values: Sequence[int]) -> int:
    """The widest of some values, of equal ones the largest."""
    return max(values, key=lambda v: (widths[flow.root[v]], flow.elements[v]))


def _fixed(flow: Flow, value: int) -> bool:
    return flow.root[value] in (0, flow.root[flow.output])


def _may_cut_output(flow: Flow, widths: Sequence[int], i: int) -> bool:
    step = flow.steps[i]
    out, source = step.writes, _widest(flow, widths, step.reads)
    if step.pools or _fixed(flow, out):
        return False
    x, y = widths[flow.root[source]], widths[out]
    yields = source == 0 or flow.elements[source] <= flow.elements[out]
    return y > NARROWEST and (y > x or (y == x and yields))


def _input_to_cut(flow: Flow, widths: Sequence[int], i: int) -> int:
    """The value whose width the backward sweep halves at step `i`; -1 for none."""
    out = flow.steps[i].writes
    others = [v for v in flow.lives[i] if flow.root[v] != flow.root[out] and not _fixed(flow, v)]
    if not others:
        return -1
    value = _widest(flow, widths, others)
    x, y = widths[flow.root[value]], widths[flow.root[out]]
    yields = flow.root[out] == flow.root[flow.output] or flow.elements[out] <= flow.elements[value]
    return flow.root[value] if x > NARROWEST and (x > y or (x == y and yields)) else -1


def _ram_overflow(flow: Flow, widths: Sequence[int], i: int, limits: Limits) -> Overflow:
    step = flow.steps[i]
    held = len(flow.lives[i]) - len({*step.reads, step.writes})
    reason = "the rules cut no further" + (f", with {held} values held for later steps" if held else "")
    x = widths[flow.root[_widest(flow, widths, step.reads)]]
    over = flow.ram_bits(widths, i) - limits.ram_bits
    return Overflow("ram", step.name, over, 0, x, widths[flow.root[step.writes]], reason)


def _flash_overflow(flow: Flow, weights: Sequence[int], outputs: Sequence[int], limits: Limits,
                    scheme: Scheme) -> Overflow:  # fmt: skip
    layers, last = flow.layers, len(flow.layers) - 1
    sizes = [layer_flash_bits(layer, scheme, weights[i], outputs[i + 1], last=i == last)
             for i, layer in enumerate(layers)]  # fmt: skip
    i = max(range(len(sizes)), key=sizes.__getitem__)
    share = f"that layer takes {sizes[i] // BYTE} of {sum(sizes) // BYTE} bytes"
    over = sum(sizes) - limits.flash_bits
    return Overflow("flash", layers[i].name, over, weights[i], outputs[i], outputs[i + 1], share)
