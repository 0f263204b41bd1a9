"""Recurrent layers: PyTorch's one operator for all layers, directions and steps, as the operators it consists of.

Of every layer and direction (`l0`, `l0_reverse`, `l1` ...):

    input    the products of all steps' inputs at once: steps * batch rows
    hidden   the products of the state, one step after another: `batch` = steps products of batch rows, one weight
    cell     the gates' arithmetic: as many elements as PyTorch's own cell computes one by one
    project  the product that narrows an LSTM's output (proj_size), step after step

To split the first states by layers, lay two directions side by side and collect the last states moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch.fx import Node

from hwsim.tracing.call import Call, Cost, Part, Unsupported, free, shape
from hwsim.tracing.products import product_attrs
from hwsim.tracing.sizes import Size, size_of

ONE = size_of(1)
STATES = "hc"
STATE = "layout only: one layer's part of the state"
JOINED = "layout only: each direction writes its half"
LAST = "layout only: the states that the last step left"


@dataclass(frozen=True, slots=True)
class Cell:
    """A recurrent cell: its weights' rows a hidden unit, the elements a hidden unit that its arithmetic computes, and
    which of the states (h, c) that arithmetic reads ("" for none)."""

    gates: int
    elements: int
    reads: str


CELLS: Mapping[str, Cell] = {
    # The sum of both products (4 gates), three sigmoids and a tanh (4), f * c + i * g (3), o * tanh(c) (2).
    "lstm": Cell(4, 13, "c"),
    # Sum and sigmoid of two gates (4), tanh(n + r * h) (3), (h - n) * z + n (3).
    "gru": Cell(3, 10, "h"),
    # Sum and activation.
    "rnn_tanh": Cell(1, 2, ""),
    "rnn_relu": Cell(1, 2, ""),
}
"""By the operator's name."""


def recurrent(call: Call) -> Cost:
    """The parts of `lstm`, `gru`, `rnn_tanh` and `rnn_relu`."""
    if call["train"] and call["dropout"]:
        raise Unsupported("dropout that is active in inference; pass training=False")
    return Cost("recurrent", parts=_Layers(call).parts())


class _Layers:
    """The layers of one call."""

    def __init__(self, call: Call) -> None:
        self.call, self.cell = call, CELLS[call.name]
        first, second, self.length = call.shape("input")
        self.steps, self.batch = (second, first) if call["batch_first"] else (first, second)
        given = call["hx"]
        self.first: list[Node] = list(given) if isinstance(given, list | tuple) else [given]
        self.directions = ("", "_reverse") if call["bidirectional"] else ("",)
        self.layers: int = call["num_layers"]
        self.width, self.units = shape(self.first[0])[-1], shape(self.first[-1])[-1]
        self.projected = self.width != self.units

    def parts(self) -> tuple[Part, ...]:
        """Every layer's, then the last states; the output of the last layer is the call's own."""
        last = f"l{self.layers - 1}"
        output = self.result(last) if len(self.directions) == 1 else last
        made = (*self.all_layers(), *self.last_states())
        return tuple(replace(part, writes=0) if part.name == output else part for part in made)

    def all_layers(self) -> Iterator[Part]:
        read: Node | str = self.call["input"]
        length = self.length
        for number in range(self.layers):
            names = [f"l{number}{direction}" for direction in self.directions]
            for name in names:
                yield from self.layer(name, read, length)
            results, length = tuple(map(self.result, names)), self.width * len(names)
            if len(names) > 1:
                yield Part(f"l{number}", free(JOINED), results, (self.steps, self.batch, length))
            read = results[0] if len(names) == 1 else f"l{number}"

    def names(self) -> list[str]:
        """What the layers are called, as in the names of PyTorch's weights, in the order of its weights."""
        return [f"l{number}{direction}" for number in range(self.layers) for direction in self.directions]

    def result(self, name: str) -> str:
        """The part that makes a layer's output."""
        return f"{name}.project" if self.projected else f"{name}.cell"

    def weights(self, name: str) -> list[Node]:
        """A layer's weights: of the input, of the state, their biases, of the projection."""
        count = 2 + 2 * bool(self.call["has_biases"]) + self.projected
        at = self.names().index(name) * count
        return list(self.call["params"])[at : at + count]

    def layer(self, name: str, read: Node | str, length: Size) -> Iterator[Part]:
        """The parts of one layer in one direction."""
        of_input, of_state, *more = self.weights(name)
        biases = more[:2] if self.call["has_biases"] else []
        states = {letter: f"{name}.{letter}" for letter in STATES[: len(self.first)]}
        for state, node in zip(states.values(), self.first, strict=True):
            yield Part(state, free(STATE), (node,), (self.batch, shape(node)[-1]))
        gates, rows = self.cell.gates * self.units, self.steps * self.batch
        sums = (self.steps, self.batch, gates)
        whole = self.product(of_input, ONE, rows, gates, length)
        yield Part(f"{name}.input", whole, (read, of_input, *biases[:1]), sums)
        yield Part(
            f"{name}.hidden", self.stepwise(of_state, gates, self.width), (states["h"], of_state, *biases[1:]), sums
        )
        arithmetic = Cost(
            "elementwise", {"elements": self.cell.elements * rows * self.units}, {"function": self.called}
        )
        operands = (f"{name}.input", f"{name}.hidden", *(states[letter] for letter in self.cell.reads))
        yield Part(f"{name}.cell", arithmetic, operands, (self.steps, self.batch, self.units))
        if self.projected:
            narrowed = self.stepwise(more[-1], self.width, self.units)
            yield Part(f"{name}.project", narrowed, (f"{name}.cell", more[-1]), (self.steps, self.batch, self.width))

    @property
    def called(self) -> str:
        """The function of the cells' arithmetic."""
        return f"{self.call.name}_cell"

    def product(self, weight: Node, batch: Size, m: Size, n: Size, k: Size) -> Cost:
        """A product by a weight, which PyTorch stores output features first."""
        attrs = product_attrs(self.call.is_weight(weight), "nk")
        return Cost("matmul", {"batch": batch, "m": m, "n": n, "k": k}, attrs)

    def stepwise(self, weight: Node, n: Size, k: Size) -> Cost:
        """A product of every step, each of which waits for the one before."""
        cost = self.product(weight, self.steps, self.batch, n, k)
        return replace(cost, attrs={**cost.attrs, "sequential": True})

    def last_states(self) -> Iterator[Part]:
        """The states after the last step, those of all layers in one tensor each."""
        for number, node in enumerate(self.first):
            made = tuple(f"{name}.cell" if number else self.result(name) for name in self.names())
            yield Part(f"last_{STATES[number]}", free(LAST), made, tuple(shape(node)), writes=1 + number)
