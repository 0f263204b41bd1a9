"""Bits for every tensor of a chain of layers from two memory limits: the model of memory, and the authors' rules.

Source of the memory model, of the sizes of auxiliary parameters and of both cutting procedures: Rusci, Capotondi and
Benini, arXiv 1905.13082, sections 4 and 5, with the authors' `training-mixed-precision-quantized-networks`. Sizes are
held in bits here and are whole bytes, since a tensor starts at a byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from hwsim.pure import ceil_div
from hwsim.quant.chain import Layer

WIDTHS = (8, 4, 2)
WIDEST, NARROWEST = 8, 2
BYTE = 8
SHARE_SLACK = 20
"""A layer's weights count as among the largest within 1/20 of the sum of all (the authors' delta of 5 %)."""


class Scheme(Enum):
    """How weights are scaled: one scale a layer (`PL`), or one a channel (`PC`); `TQT`: one power of two a layer, as of
    every value."""

    PL = "pl"
    PC = "pc"
    TQT = "tqt"


class Requantizer(Enum):
    """What turns accumulators into outputs, for which auxiliary parameters are stored.

    PL_FB        one scale a layer, batch norm folded into the weights
    PL_ICN       one scale a layer, integer channel normalization
    PC_ICN       a scale and a zero point a channel, integer channel normalization
    PC_THRESHOLDS  a scale and a zero point a channel, 2^Q - 1 thresholds of 16 bits a channel
    PL_SHIFTS    powers of two: a bias of 16 bits a channel, two shifts
    """

    PL_FB = "pl+fb"
    PL_ICN = "pl+icn"
    PC_ICN = "pc+icn"
    PC_THRESHOLDS = "pc+thresholds"
    PL_SHIFTS = "pl+shifts"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a device has: flash for weights and their auxiliary parameters, RAM for input and output of a layer."""

    flash_bits: int
    ram_bits: int


@dataclass(frozen=True, slots=True)
class Bits:
    """Bit widths of a chain of n layers: n of weights, and n + 1 of values, from the network's input to its output."""

    weights: tuple[int, ...]
    values: tuple[int, ...]

    @staticmethod
    def widest(layers: int) -> Bits:
        """Every tensor at 8 bits."""
        return Bits((WIDEST,) * layers, (WIDEST,) * (layers + 1))


@dataclass(frozen=True, slots=True)
class Overflow:
    """One limit that is not met: by how much, and at which bits of the layer that is (most) to blame."""

    memory: str
    layer: str
    over_bits: int
    weight_bits: int
    input_bits: int
    output_bits: int
    reason: str

    def __str__(self) -> str:
        over = f"{self.over_bits // BYTE} bytes too many"
        if self.memory == "flash":
            return f"flash: {over} with the weights of {self.layer} at {self.weight_bits} bits; {self.reason}"
        widths = f"its input at {self.input_bits} bits and its output at {self.output_bits}"
        return f"RAM: {over} for {self.layer} with {widths}; {self.reason}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Bits for every tensor and what they take; `overflows` is empty where both limits are met."""

    layers: tuple[Layer, ...]
    limits: Limits
    scheme: Scheme
    bits: Bits
    overflows: tuple[Overflow, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.overflows

    @property
    def flash_bits(self) -> int:
        return flash_bits(self.layers, self.bits, self.scheme)

    @property
    def ram_bits(self) -> int:
        return max(ram_bits(self.layers, self.bits, i) for i in range(len(self.layers)))


# --- the memory model -------------------------------------------------------------------------------------------


def tensor_bits(elements: int, width: int) -> int:
    """Whole bytes, in bits, of a tensor packed at `width` bits an element."""
    return BYTE * ceil_div(elements * width, BYTE)


def requantizer(scheme: Scheme, weight_bits: int, output_bits: int) -> Requantizer:
    """The requantizer that mixed-precision networks use: folding where weights and output have 8 bits under PL."""
    if scheme is not Scheme.PL:
        return Requantizer.PC_ICN if scheme is Scheme.PC else Requantizer.PL_SHIFTS
    return Requantizer.PL_FB if weight_bits == output_bits == WIDEST else Requantizer.PL_ICN


def auxiliary_bits(kind: Requantizer, channels: int, output_bits: int, *, last: bool) -> int:
    """Size of a layer's parameters beside its weights (arXiv 1905.13082, table 1).

    Bias and M0 take 4 bytes, N0 and the zero point of a channel's weights 1, zero points of a layer 4 each. The last
    layer has one scale for all its channels, so that its outputs compare. Thresholds are 2 bytes each, in the last
    layer as well. Shifts (ours, by the datapath of arXiv 1903.08066): 2 bytes of bias a channel, 1 a shift.
    """
    if kind is Requantizer.PL_SHIFTS:
        size = channels * 2 + 2
    elif kind is Requantizer.PC_THRESHOLDS:
        size = channels * (2 * ((1 << output_bits) - 1) + 1) + 2 * 4
    elif kind is Requantizer.PC_ICN:
        size = channels * (4 + 1 + 2) + 4 if last else channels * (4 + 1 + 4 + 1) + 2 * 4
    elif kind is Requantizer.PL_ICN and not last:
        size = channels * (4 + 1 + 4) + 3 * 4
    else:
        size = channels * 4 + 5 * 4
    return BYTE * size


def layer_flash_bits(layer: Layer, scheme: Scheme, weight_bits: int, output_bits: int, *, last: bool) -> int:
    """Flash of one layer: weights and auxiliary parameters."""
    kind = requantizer(scheme, weight_bits, output_bits)
    extra = auxiliary_bits(kind, layer.channels, output_bits, last=last)
    return tensor_bits(layer.weights, weight_bits) + extra


def flash_bits(layers: Sequence[Layer], bits: Bits, scheme: Scheme) -> int:
    """Flash of the whole network."""
    return sum(flash_of(layers, bits, scheme, i) for i in range(len(layers)))


def flash_of(layers: Sequence[Layer], bits: Bits, scheme: Scheme, i: int) -> int:
    """Flash of layer `i`."""
    last = i == len(layers) - 1
    return layer_flash_bits(layers[i], scheme, bits.weights[i], bits.values[i + 1], last=last)


def ram_bits(layers: Sequence[Layer], bits: Bits, i: int) -> int:
    """RAM while layer `i` runs: its input and its output."""
    layer = layers[i]
    return tensor_bits(layer.inputs, bits.values[i]) + tensor_bits(layer.outputs, bits.values[i + 1])


# --- the rules --------------------------------------------------------------------------------------------------


def assign_by_rules(layers: Sequence[Layer], limits: Limits, scheme: Scheme) -> Plan:
    """Bits by the authors' two procedures: cut values until every layer fits RAM, then weights until all fit flash.

    Where a limit cannot be met so, the plan holds the bits reached and says what is over.
    """
    values, stuck = cut_values(layers, limits.ram_bits)
    weights = cut_weights(layers, values, limits.flash_bits, scheme)
    bits = Bits(weights, values)
    plan = Plan(tuple(layers), limits, scheme, bits)
    over = [ram_overflow(plan, i, stuck) for i in range(len(layers)) if ram_bits(layers, bits, i) > limits.ram_bits]
    if plan.flash_bits > limits.flash_bits:
        over.append(flash_overflow(plan))
    return Plan(plan.layers, limits, scheme, bits, tuple(over))


def cut_values(layers: Sequence[Layer], limit_bits: int) -> tuple[tuple[int, ...], bool]:
    """Widths of the values between the layers, and whether the procedure ended with a layer that does not fit.

    Forward sweeps lower the outputs of layers that are too large, backward sweeps their inputs, in turn, each under
    its rule, until every layer fits or neither sweep may cut any more. Input and output of the network stay at 8 bits.
    """
    widths = [WIDEST] * (len(layers) + 1)
    while any(_too_large(layers, widths, i, limit_bits) for i in range(len(layers))):
        before = tuple(widths)
        for i in range(len(layers) - 1):
            while _too_large(layers, widths, i, limit_bits) and _may_cut_output(layers, widths, i):
                widths[i + 1] //= 2
        for i in range(len(layers) - 1, 0, -1):
            while _too_large(layers, widths, i, limit_bits) and _may_cut_input(layers, widths, i):
                widths[i] //= 2
        if tuple(widths) == before:
            return before, True
    return tuple(widths), False


def _too_large(layers: Sequence[Layer], widths: Sequence[int], i: int, limit_bits: int) -> bool:
    layer = layers[i]
    return tensor_bits(layer.inputs, widths[i]) + tensor_bits(layer.outputs, widths[i + 1]) > limit_bits


def _may_cut_output(layers: Sequence[Layer], widths: Sequence[int], i: int) -> bool:
    """Wider than the input; or as wide and no smaller, which the network's input, never cut, yields to."""
    x, y = widths[i], widths[i + 1]
    return y > NARROWEST and (y > x or (y == x and (i == 0 or layers[i].inputs <= layers[i].outputs)))


def _may_cut_input(layers: Sequence[Layer], widths: Sequence[int], i: int) -> bool:
    """The mirror of `_may_cut_output`: here the network's output is what is never cut."""
    x, y = widths[i], widths[i + 1]
    last = i == len(layers) - 1
    return x > NARROWEST and (x > y or (x == y and (last or layers[i].outputs <= layers[i].inputs)))


def cut_weights(
    layers: Sequence[Layer], values: Sequence[int], limit_bits: int, scheme: Scheme
) -> tuple[int, ...]:  # fmt: skip
    """Widths of the weights: while flash is exceeded, halve those of the first layer among the largest.

    Ends with all at 2 bits where that does not suffice.
    """
    widths = [WIDEST] * len(layers)
    while flash_bits(layers, Bits(tuple(widths), tuple(values)), scheme) > limit_bits:
        sizes = [tensor_bits(layer.weights, width) for layer, width in zip(layers, widths, strict=True)]
        open_ = [i for i, width in enumerate(widths) if width > NARROWEST]
        if not open_:
            break
        largest = max(sizes[i] for i in open_)
        widths[next(i for i in open_ if (largest - sizes[i]) * SHARE_SLACK < sum(sizes))] //= 2
    return tuple(widths)


# --- what does not fit ------------------------------------------------------------------------------------------


def ram_overflow(plan: Plan, i: int, rules: bool = True) -> Overflow:
    """By how much layer `i` is too large for RAM."""
    x, y = plan.bits.values[i], plan.bits.values[i + 1]
    narrowest = x == (WIDEST if i == 0 else NARROWEST) and y == (WIDEST if i == len(plan.layers) - 1 else NARROWEST)
    reason = "no tensor of it can be narrower" if narrowest or not rules else "the rules cut no further"
    over = ram_bits(plan.layers, plan.bits, i) - plan.limits.ram_bits
    return Overflow("ram", plan.layers[i].name, over, plan.bits.weights[i], x, y, reason)


def flash_overflow(plan: Plan) -> Overflow:
    """By how much the network is too large for flash; the layer is the one that takes most of it."""
    sizes = list(layer_flash(plan))
    i = max(range(len(sizes)), key=sizes.__getitem__)
    share = f"that layer takes {sizes[i] // BYTE} of {sum(sizes) // BYTE} bytes"
    over = sum(sizes) - plan.limits.flash_bits
    values = plan.bits.values
    return Overflow("flash", plan.layers[i].name, over, plan.bits.weights[i], values[i], values[i + 1], share)


def layer_flash(plan: Plan) -> Iterator[int]:
    """Flash of each layer of a plan."""
    return (flash_of(plan.layers, plan.bits, plan.scheme, i) for i in range(len(plan.layers)))
