"""Microcontrollers: a quantized network layer by layer, from exact instruction counts to cycles of a core.

instructions   of C kernels of our own, exactly (`accelerators.mcu.mixes`)
cycles         of the design's core (`cortex_m7`), and of cache lines from flash and SRAM while it waits
memory         weights and code in flash, tensors in one arena (`hwsim.schedule`), columns in tightly coupled RAM
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from accelerators.mcu import hardware
from accelerators.mcu.design import Design
from accelerators.mcu.quantized import RULED, program_fields, violations
from accelerators.mcu.tasks import Counts, Kernel, count
from hwsim.model import Parts, Program, Violation
from hwsim.result import LITERATURE_CHECKED, UNVALIDATED
from hwsim.workload.ir import Workload

CORE = frozenset({"core"})
NOTES = (
    "latency: the pipeline is held to a published profile of other kernels; the kernels counted here were never timed",
    "energy: the chip's power times time, with a power recalled from literature unless the design gives another; "
    "never compared with a measured energy",
)
"""What the classes of accuracy do not say."""


class McuModel:
    """See the module's text."""

    name = "mcu"
    summary = "microcontrollers: quantized networks in 8, 4 and 2 bits on a Cortex-M7"
    Design = Design
    Counts = Counts
    kernels: ClassVar[Mapping[type, Any]] = {Kernel: count}
    structural = CORE | RULED
    holdings: ClassVar[Mapping[type, Any]] = {}
    accuracy: ClassVar[Mapping[str, str]] = {"": LITERATURE_CHECKED, "area_mm2": UNVALIDATED}
    machine = staticmethod(hardware.machine)
    price = staticmethod(hardware.price)
    static_w = staticmethod(hardware.static_w)
    area_mm2 = staticmethod(hardware.area_mm2)

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """One kernel a layer, in network order; activations are part of the layer before them."""
        from accelerators.mcu import layers, lowering  # NumPy is needed here alone

        program = lowering.lower(workload, design, binding, layers.target_of(design))
        program.structural = CORE | program_fields(design)
        program.notes.extend(NOTES)
        return program

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Which layer is to blame where flash or RAM does not suffice, with its bytes."""
        return violations(design, program)


MODEL: Any = McuModel()
