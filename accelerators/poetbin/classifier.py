"""A trained PoET-BiN classifier, and the names by which the rest of the package knows its parts.

Input features -> neurons, each a RINC module -> q-bit scores of the classes, each from its own neurons -> arg-max.
Class c of C reads the neurons c * N / C to (c + 1) * N / C - 1. Training is in `accelerators.poetbin.boosting`,
files are in `accelerators.poetbin.document`.

Importing this module imports numpy, training imports numba.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from accelerators.poetbin.bits import PackedBits, checked_bits, pack, table_outputs
from accelerators.poetbin.counts import full_rinc_luts, macs_replaced, naive_lut6, nominal_luts, rinc_luts
from accelerators.poetbin.output import score_luts, score_table
from accelerators.poetbin.rinc import MAX_PINS, Mat, Rinc, Tree, modules, tied_table
from hwsim.errors import bad_input
from hwsim.netlist.netlist import Lut, Netlist

__all__ = [
    "Classifier",
    "Mat",
    "PackedBits",
    "Rinc",
    "Tree",
    "full_rinc_luts",
    "macs_replaced",
    "naive_lut6",
    "nominal_luts",
    "pack",
    "rinc_luts",
    "rinc_outputs",
    "scores_from_outputs",
    "table_outputs",
]

MAX_SCORE_BITS = 16


def _looked_up(table: int, columns: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    address = np.zeros(columns[0].shape, np.int32)
    for column in columns:
        address = 2 * address + column
    return table_outputs(table, len(columns))[address]


def rinc_outputs(rinc: Rinc, features: ArrayLike | PackedBits) -> NDArray[np.uint8]:
    """The module's output for every sample, uint8[samples]. `features` are 0 or 1, [samples, features]."""
    packed = pack(features)
    if isinstance(rinc, Tree):
        return _looked_up(rinc.table, [packed.column(f) for f in rinc.features])
    return _looked_up(rinc.table, [rinc_outputs(child, packed) for child in rinc.children])


@dataclass(frozen=True)
class Classifier:
    """Checked where it is made: raises InputError for sizes that do not fit one another."""

    inputs: int
    """binary features"""
    p: int
    """inputs of the tables; a table that combines fewer signals leaves pins unused"""
    neurons: tuple[Rinc, ...]
    weights: tuple[tuple[float, ...], ...]
    """[class][neuron of that class]"""
    biases: tuple[float, ...]
    """[class]"""
    q: int = 8
    """bits of a score"""

    def __post_init__(self) -> None:
        if not 1 <= self.p <= MAX_PINS or not 1 <= self.q <= MAX_SCORE_BITS:
            raise bad_input("range", (self.p, self.q), f"p and q are integers from 1 to {MAX_PINS}")
        if not self.weights or len(self.biases) != self.classes or any(len(w) != self.fan_in for w in self.weights):
            raise bad_input("weights", len(self.biases), "each class has one bias and as many weights as any other")
        if not 1 <= self.fan_in <= self.p or len(self.neurons) != self.classes * self.fan_in:
            rule = f"{self.classes} classes of {self.fan_in} neurons, at most p = {self.p}, need that many neurons"
            raise bad_input("neurons", len(self.neurons), rule)
        self._check_modules()

    def _check_modules(self) -> None:
        for neuron, rinc in enumerate(self.neurons):
            for module in modules(rinc):
                if module.pins > self.p:
                    raise bad_input("pins", module.pins, f"neuron {neuron} has a table of more than p = {self.p} pins")
                if isinstance(module, Tree) and max(module.features) >= self.inputs:
                    rule = f"neuron {neuron} reads features 0 to {self.inputs - 1}"
                    raise bad_input("feature", max(module.features), rule)

    @property
    def classes(self) -> int:
        return len(self.weights)

    @property
    def fan_in(self) -> int:
        """Neurons a class reads."""
        return len(self.weights[0])

    @cached_property
    def score_tables(self) -> tuple[tuple[int, ...], ...]:
        """[class][address]: the q-bit scores."""
        return tuple(tuple(score_table(w, b, self.q)) for w, b in zip(self.weights, self.biases, strict=True))

    def neuron_bits(self, features: ArrayLike | PackedBits) -> NDArray[np.uint8]:
        """What every neuron says, uint8[samples, neurons]."""
        packed = self._packed(features)
        return np.stack([rinc_outputs(rinc, packed) for rinc in self.neurons], axis=1)

    def _packed(self, features: ArrayLike | PackedBits) -> PackedBits:
        packed = pack(features)
        if packed.features != self.inputs:
            raise bad_input("shape", packed.features, f"the classifier reads {self.inputs} features")
        return packed

    def scores_of(self, neuron_bits: ArrayLike) -> NDArray[np.int32]:
        """Scores [samples, classes] for given neuron bits [samples, neurons]."""
        bits = checked_bits(neuron_bits, 2, "neuron bits").reshape(-1, self.classes, self.fan_in)
        address = bits.astype(np.int64) @ (1 << np.arange(self.fan_in)[::-1])
        return np.asarray(self.score_tables, np.int32)[np.arange(self.classes), address]

    def scores(self, features: ArrayLike | PackedBits) -> NDArray[np.int32]:
        """Scores [samples, classes], each from -2^(q-1) to 2^(q-1) - 1."""
        return self.scores_of(self.neuron_bits(features))

    def predict(self, features: ArrayLike | PackedBits) -> NDArray[np.int64]:
        """The class of the highest score, the lowest class where several share it, int64[samples]."""
        best: NDArray[np.int64] = np.argmax(self.scores(features), axis=1)
        return best

    def netlist(self, *, tied_pins: bool = False) -> Netlist:
        """The network of tables: neuron after neuron, then the output layer. Output c * q + b is bit b of c's score.

        With `tied_pins` every table of a module has p pins, the unused ones tied to a constant 0, as the published
        circuits have it; else unused pins are left out, which is the same function.
        """
        builder = _Builder(self.inputs, self.p if tied_pins else 0)
        neurons = [builder.module(rinc) for rinc in self.neurons]
        outputs = []
        for c, scores in enumerate(self.score_tables):
            pins = tuple(neurons[c * self.fan_in : (c + 1) * self.fan_in])
            outputs += [builder.lut(pins, table) for table in score_luts(scores, self.q)]
        return Netlist(self.inputs, tuple(builder.luts), tuple(outputs))


class _Builder:
    """Collects LUTs; `pins` is the width to which modules are filled up with tied pins, 0 for none."""

    def __init__(self, inputs: int, pins: int) -> None:
        self.inputs, self.pins = inputs, pins
        self.luts: list[Lut] = []
        self.zero = self.lut((), 0) if pins else -1

    def lut(self, pins: tuple[int, ...], table: int) -> int:
        self.luts.append(Lut(pins, table))
        return self.inputs + len(self.luts) - 1

    def module(self, rinc: Rinc) -> int:
        children = rinc.features if isinstance(rinc, Tree) else tuple(map(self.module, rinc.children))
        width = max(self.pins, rinc.pins)
        return self.lut(children + (self.zero,) * (width - rinc.pins), tied_table(rinc, width))


def scores_from_outputs(outputs: ArrayLike, classes: int, q: int) -> NDArray[np.int32]:
    """Scores [samples, classes] from a netlist's output bits [samples, classes * q]."""
    bits = checked_bits(outputs, 2, "output bits").reshape(-1, classes, q).astype(np.int32)
    unsigned: NDArray[np.int32] = bits @ (1 << np.arange(q, dtype=np.int32))
    return unsigned - (bits[:, :, q - 1] << q)
