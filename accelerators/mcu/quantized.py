"""What every microcontroller needs to run a quantized network: bit widths, flash and RAM, and what does not fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from hwsim.config import Doc, Range
from hwsim.model import Program, Violation

BYTE = 8
KIB = 1024 * BYTE


class Scaling(IntEnum):
    """One weight scale a layer, or one a channel; TQT: one a layer, and all scales powers of two."""

    PL = 0
    PC = 1
    TQT = 2


class Assignment(IntEnum):
    """Where bit widths come from: the design's two fields for every layer, or the memory-driven rules."""

    UNIFORM = 0
    RULES = 1


@dataclass(frozen=True)
class Quantized:
    """Fields of a design that runs quantized networks."""

    weight_bits: Annotated[int, Range(2, 8), Doc("bits of a weight: 8, 4 or 2")]
    activation_bits: Annotated[int, Range(2, 8), Doc("bits of an activation between layers: 8, 4 or 2")]
    scaling: Annotated[Scaling, Doc("scale and zero point of weights, by layer or by channel; tqt: powers of two")]
    assignment: Annotated[Assignment, Doc("uniform: the widths above; rules: cut until flash and RAM suffice")]
    flash_capacity_bits: Annotated[int, Range(KIB, 2**36), Doc("flash: code, weights and their parameters")]
    ram_bits: Annotated[int, Range(KIB, 2**36), Doc("RAM that the arena of activations lies in")]

    def width_problems(self) -> list[tuple[str, str, str]]:
        """(key, rule, remedy) of each width that no kernel has."""
        return [
            (key, "must be 8, 4 or 2", "The kernels exist in these widths.")
            for key in ("weight", "activation")
            if getattr(self, f"{key}_bits") not in (8, 4, 2)
        ]


WIDTHS = frozenset({"weight_bits", "activation_bits", "scaling", "assignment"})
"""Fields that a program depends on."""

RULED = WIDTHS | {"flash_capacity_bits", "ram_bits"}
"""The same where the memory-driven rules choose the widths."""


def program_fields(design: Quantized) -> frozenset[str]:
    """The fields of `Quantized` that the program of this design depends on."""
    return RULED if design.assignment == Assignment.RULES else WIDTHS


def violations(design: Quantized, program: Program) -> Sequence[Violation]:
    """Which layer is to blame where flash or RAM does not suffice, with its bytes. Tasks have `weight_bits`."""
    return [*_flash(design, program), *_ram(design, program)]


def _flash(design: Quantized, program: Program) -> list[Violation]:
    demand = sum(p.bits for p in program.occupied if p.level == "flash")
    if demand <= design.flash_capacity_bits:
        return []
    step = max(range(len(program)), key=lambda i: program.tasks[program.task[i]].weight_bits)
    largest = program.tasks[program.task[step]].weight_bits // BYTE
    name = program.layers[program.layer[step]].name
    what = f"weights do not fit flash; {name} takes most, {largest} bytes"
    return [Violation(what, demand // BYTE, design.flash_capacity_bits // BYTE, "bytes", "weight, flash_capacity")]


def _ram(design: Quantized, program: Program) -> list[Violation]:
    held = [0] * len(program)
    for p in program.occupied:
        if p.level == "ram":
            for step in range(p.first, p.last + 1):
                held[step] = max(held[step], p.address_bits + p.bits)
    step = max(range(len(held)), key=held.__getitem__, default=-1)
    if step < 0 or held[step] <= design.ram_bits:
        return []
    name = program.layers[program.layer[step]].name
    what = f"tensors of {name} do not fit RAM"
    return [Violation(what, held[step] // BYTE, design.ram_bits // BYTE, "bytes", "activation, ram")]
