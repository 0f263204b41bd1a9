"""Microcontrollers: a quantized network layer by layer, from exact instruction counts to cycles of a core.

instructions   of C kernels of our own, exactly (`accelerators.mcu.mixes`)
cycles         of the design's core (`cortex_m7`), and of cache lines from flash and SRAM while it waits
memory         weights and code in flash, tensors in one arena (`hwsim.schedule`), columns in tightly coupled RAM
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from accelerators.mcu import hardware
from accelerators.mcu.design import Assignment, Design
from accelerators.mcu.tasks import Counts, Kernel, count
from hwsim.model import Parts, Program, Violation
from hwsim.result import LITERATURE_CHECKED, UNVALIDATED
from hwsim.workload.ir import Workload

BYTE = 8

STRUCTURAL = frozenset({"core", "weight_bits", "activation_bits", "scaling", "assignment"})
RULED = STRUCTURAL | {"flash_capacity_bits", "ram_bits"}
"""Where the memory-driven rules choose the widths."""


class McuModel:
    """See the module's text."""

    name = "mcu"
    summary = "microcontrollers: quantized networks in 8, 4 and 2 bits on a Cortex-M7"
    Design = Design
    Counts = Counts
    kernels: ClassVar[Mapping[type, Any]] = {Kernel: count}
    structural = RULED
    holdings: ClassVar[Mapping[type, Any]] = {}
    accuracy: ClassVar[Mapping[str, str]] = {"": LITERATURE_CHECKED, "area_mm2": UNVALIDATED}
    machine = staticmethod(hardware.machine)
    price = staticmethod(hardware.price)
    static_w = staticmethod(hardware.static_w)
    area_mm2 = staticmethod(hardware.area_mm2)

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """One kernel a layer, in network order; activations are part of the layer before them."""
        from accelerators.mcu.lowering import lower  # NumPy is needed here alone

        program = lower(workload, design, binding)
        program.structural = RULED if design.assignment == Assignment.RULES else STRUCTURAL
        return program

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Which layer is to blame where flash or RAM does not suffice, with its bytes."""
        return [*_flash(design, program), *_ram(design, program)]


def _flash(design: Design, program: Program) -> list[Violation]:
    demand = sum(p.bits for p in program.occupied if p.level == "flash")
    if demand <= design.flash_capacity_bits:
        return []
    step = max(range(len(program)), key=lambda i: program.tasks[program.task[i]].weight_bits)
    largest = program.tasks[program.task[step]].weight_bits // BYTE
    name = program.layers[program.layer[step]].name
    what = f"weights do not fit flash; {name} takes most, {largest} bytes"
    return [Violation(what, demand // BYTE, design.flash_capacity_bits // BYTE, "bytes", "weight, flash_capacity")]


def _ram(design: Design, program: Program) -> list[Violation]:
    held = [0] * len(program)
    for p in program.occupied:
        if p.level == "ram":
            for step in range(p.first, p.last + 1):
                held[step] += p.bits
    step = max(range(len(held)), key=held.__getitem__, default=-1)
    if step < 0 or held[step] <= design.ram_bits:
        return []
    name = program.layers[program.layer[step]].name
    what = f"tensors of {name} do not fit RAM"
    return [Violation(what, held[step] // BYTE, design.ram_bits // BYTE, "bytes", "activation, ram")]


MODEL: Any = McuModel()
