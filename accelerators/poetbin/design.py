"""The fields of a PoET-BiN classifier on an FPGA: the shape of its network of look-up tables, and its wrapper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hwsim.config import Doc, Range

MAX_PINS = 12


@dataclass(frozen=True)
class Design:
    """A classifier of look-up tables between registers (`rtl_models/poetbin/README.md`)."""

    inputs: Annotated[int, Range(1, 65_536), Doc("binary features of a sample")]
    inputs_per_lut: Annotated[int, Range(2, MAX_PINS), Doc("P: inputs of a look-up table, levels of a tree")]
    trees_per_group: Annotated[int, Range(1, MAX_PINS), Doc("trees that one MAT module joins")]
    groups: Annotated[int, Range(1, MAX_PINS), Doc("groups of trees of a neuron; 1: no second MAT module")]
    neurons: Annotated[int, Range(1, 65_536), Doc("intermediate neurons, the same number for each class")]
    classes: Annotated[int, Range(2, 1_000), Doc("classes")]
    q: Annotated[int, Range(1, 32), Doc("bits of a score, a look-up table each")]
    serial_width: Annotated[int, Range(0, 65_536), Doc("features taken in a clock; 0: all at once")]
    argmax: Annotated[bool, Doc("whether the class of the largest score is found on the chip")]
    pipeline: Annotated[int, Range(0, 16), Doc("levels of look-up tables between registers; 0: none inside")]
    opaque: Annotated[bool, Doc("tables are instantiated primitives that synthesis leaves as they are")]
    clock_khz: Annotated[int, Range(1_000, 2_000_000), Doc("clock")]
    ones_permille: Annotated[int, Range(0, 1_000), Doc("share of ones at a table's output where no data say; it then "
                                                       "changes with 2p(1-p)")]  # fmt: skip
    glitch_factor: Annotated[float, Range(1.0, 100.0), Doc("changes in a clock for one that settles")]

    def problems(self) -> list[tuple[str, str, str]]:
        """Rules across fields: (key, rule, remedy)."""
        found = []
        for key, pins in (("trees_per_group", self.trees_per_group), ("groups", self.groups)):
            if pins > self.inputs_per_lut:
                rule = f"a MAT module has {self.inputs_per_lut} inputs at most (inputs_per_lut)"
                found.append((key, rule, f"Write {self.inputs_per_lut} or less."))
        if self.neurons % self.classes:
            rule = f"each of the {self.classes} classes has the same number of neurons"
            found.append(("neurons", rule, f"Write {max(1, self.neurons // self.classes) * self.classes}."))
        elif self.neurons > self.classes * self.inputs_per_lut:
            rule = f"a class reads {self.inputs_per_lut} neurons at most (inputs_per_lut)"
            found.append(("neurons", rule, f"Write {self.classes * self.inputs_per_lut} or less."))
        if self.inputs_per_lut > self.inputs:
            found.append(("inputs_per_lut", f"there are {self.inputs} features (inputs)", "Write less."))
        return found
