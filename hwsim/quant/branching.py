"""Bits for networks that branch: the rules of `hwsim.quant.assign`, over values instead of a chain of layers.

What the authors' procedure says of a layer's input and output is said here of the values that live while a step runs:
those it reads, the one it writes, and those held for a later step. In a chain these are one input and one output, and
both procedures are the same.

- RAM of a step is the sum of all that lives, a value held for a later sum included.
- A sum is a step like a layer with weights, but has none. Its output is cut under the rule for outputs, against the
  wider of its operands (of equal ones the larger).
- A step that stays too large gets the widest (of equal ones the largest) value that lives and that it does not write
  cut, under the rule for inputs: so a held value can be cut too.
- Pooling keeps the width of what it reads, and the parts of a concat that copies nothing have one width.
- Inputs and outputs of the network stay at 8 bits. Weights are cut as in a chain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from hwsim.quant.assign import (
    BYTE,
    NARROWEST,
    WIDEST,
    Bits,
    Limits,
    Overflow,
    Scheme,
    cut_weights,
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
    kind: str = "sum"
    """what a step without weights is called"""


@dataclass(frozen=True)
class Flow:
    """Steps in the order they run, over values of so many elements.

    `inputs` and `outputs` are the network's, inputs there from the start and outputs kept to the end. Each set of
    values in `tied` has one width.
    """

    elements: tuple[int, ...]
    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    inputs: tuple[int, ...] = (0,)
    tied: tuple[tuple[int, ...], ...] = ()

    @cached_property
    def lives(self) -> tuple[frozenset[int], ...]:
        """The values that live while each step runs."""
        last = {value: i for i, step in enumerate(self.steps) for value in (*step.reads, step.writes)}
        first = {step.writes: i for i, step in enumerate(self.steps)} | dict.fromkeys(self.inputs, 0)
        last |= dict.fromkeys(self.outputs, len(self.steps))
        return tuple(frozenset(v for v in last if first[v] <= i <= last[v]) for i in range(len(self.steps)))

    @cached_property
    def root(self) -> tuple[int, ...]:
        """The value whose width each value has: the first of those that it shares a width with."""
        found = list(range(len(self.elements)))
        pools = [(step.reads[0], step.writes) for step in self.steps if step.pools]
        for one, other in [*pools, *(pair for values in self.tied for pair in pairwise(values))]:
            low, high = sorted((found[one], found[other]))
            found = [low if value == high else value for value in found]
        return tuple(found)

    @cached_property
    def fixed(self) -> frozenset[int]:
        """The roots that stay at 8 bits: those of the network's inputs and outputs."""
        return frozenset(self.root[v] for v in (*self.inputs, *self.outputs))

    @cached_property
    def free(self) -> tuple[int, ...]:
        """The roots whose widths are to be chosen, in the order they are made."""
        return tuple(dict.fromkeys(r for step in self.steps if (r := self.root[step.writes]) not in self.fixed))

    def maker(self, root: int) -> str:
        """The step that a free root's width is named by: the first that writes a value of it; "" for other roots."""
        return next((s.name for s in self.steps if self.root[s.writes] == root), "") if root in self.free else ""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers with weights."""
        return tuple(step.layer for step in self.steps if step.layer)

    def ram_bits(self, widths: Sequence[int], i: int) -> int:
        """RAM while step `i` runs, for widths by value."""
        return sum(tensor_bits(self.elements[v], widths[self.root[v]]) for v in self.lives[i])

    def outputs_of_layers(self, widths: Sequence[int]) -> tuple[int, ...]:
        """The width of what each layer with weights writes."""
        return tuple(widths[self.root[step.writes]] for step in self.steps if step.layer)

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

    @property
    def flash_bits(self) -> int:
        return sum(layer_flash(self))

    @property
    def ram_bits(self) -> int:
        return max(self.flow.ram_bits(self.widths, i) for i in range(len(self.flow.steps)))


def layer_flash(plan: FlowPlan) -> list[int]:
    """Flash of each layer with weights."""
    layers, outputs = plan.flow.layers, plan.flow.outputs_of_layers(plan.widths)
    last = len(layers) - 1
    return [layer_flash_bits(layer, plan.scheme, plan.weights[i], outputs[i], last=i == last)
            for i, layer in enumerate(layers)]  # fmt: skip


def assign_flow(flow: Flow, limits: Limits, scheme: Scheme, weight_bits: int = 0) -> FlowPlan:
    """Bits by the rules above; all weights have `weight_bits` where these are given."""
    widths = cut_values(flow, limits.ram_bits)
    outputs = (WIDEST, *flow.outputs_of_layers(widths))
    weights = (weight_bits,) * len(flow.layers) if weight_bits else cut_weights(
        flow.layers, outputs, limits.flash_bits, scheme)  # fmt: skip
    plan = FlowPlan(flow, limits, scheme, weights, widths)
    return replace(plan, overflows=(*ram_overflows(plan), *flash_overflows(plan)))


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


def _may_cut_output(flow: Flow, widths: Sequence[int], i: int) -> bool:
    step = flow.steps[i]
    out, source = step.writes, _widest(flow, widths, step.reads)
    if step.pools or flow.root[out] in flow.fixed:
        return False
    x, y = widths[flow.root[source]], widths[flow.root[out]]
    yields = flow.root[source] in flow.fixed or flow.elements[source] <= flow.elements[out]
    return y > NARROWEST and (y > x or (y == x and yields))


def _input_to_cut(flow: Flow, widths: Sequence[int], i: int) -> int:
    """The value whose width the backward sweep halves at step `i`; -1 for none."""
    out = flow.steps[i].writes
    others = [v for v in flow.lives[i] if flow.root[v] not in {flow.root[out], *flow.fixed}]
    if not others:
        return -1
    value = _widest(flow, widths, others)
    x, y = widths[flow.root[value]], widths[flow.root[out]]
    yields = flow.root[out] in flow.fixed or flow.elements[out] <= flow.elements[value]
    return flow.root[value] if x > NARROWEST and (x > y or (x == y and yields)) else -1


def ram_overflows(plan: FlowPlan, rules: bool = True) -> tuple[Overflow, ...]:
    """The steps that are too large for RAM, and by how much; `rules`: whether these chose the widths."""
    flow, limit = plan.flow, plan.limits.ram_bits
    over = {i: size - limit for i in range(len(flow.steps)) if (size := flow.ram_bits(plan.widths, i)) > limit}
    return tuple(_ram_overflow(plan, i, bits, rules) for i, bits in over.items())


def _ram_overflow(plan: FlowPlan, i: int, over_bits: int, rules: bool) -> Overflow:
    flow, widths = plan.flow, plan.widths
    step = flow.steps[i]
    held = len(flow.lives[i] - {*step.reads, step.writes})
    cut = all(flow.root[v] in flow.fixed or widths[v] == NARROWEST for v in flow.lives[i])
    reason = "no tensor of it can be narrower" if cut or not rules else "the rules cut no further"
    reason += f", with {held} values held for later steps" if held else ""
    x = widths[_widest(flow, widths, step.reads)]
    return Overflow("ram", step.name, over_bits, 0, x, widths[step.writes], reason)


def flash_overflows(plan: FlowPlan) -> tuple[Overflow, ...]:
    """By how much the network is too large for flash, if it is; the layer is the one that takes most of it."""
    sizes = layer_flash(plan)
    over = sum(sizes) - plan.limits.flash_bits
    if over <= 0:
        return ()
    i = max(range(len(sizes)), key=sizes.__getitem__)
    step = [step for step in plan.flow.steps if step.layer][i]
    share = f"that layer takes {sizes[i] // BYTE} of {sum(sizes) // BYTE} bytes"
    x = plan.widths[_widest(plan.flow, plan.widths, step.reads)]
    return (Overflow("flash", step.name, over, plan.weights[i], x, plan.widths[step.writes], share),)
