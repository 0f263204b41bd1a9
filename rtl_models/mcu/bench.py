"""RISC-V cores for the harness: one circuit each, all with the same cases, firmware and model.

Outputs are computed by `rtl_models.mcu.layers` from integers alone. The model is asked about the firmware that runs:
its instructions by kind, and, where there are caches, its addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from accelerators.mcu.rv32.profile import call_of
from accelerators.mcu.rv32.trace import Trace, traced
from accelerators.mcu.toolchain import Isa
from hwsim.cosim.circuit import Event, Hdl, Image, Stimulus
from hwsim.errors import bad_input
from hwsim.model import Program
from rtl_models.mcu import firmware
from rtl_models.mcu.cores import hdl_of
from rtl_models.mcu.layers import Task, data_of, kernel_of, macs_of, shape_of

FOLDER = Path(__file__).parent
BITS_PER_BYTE = 8
LIMIT_PER_MAC = 400
LIMIT_PER_LAYER = 400_000


class CoreCircuit:
    """One core. See the module's text."""

    model: ClassVar[str] = "rv32"
    unit: ClassVar[str] = "core"
    built_for: ClassVar[Mapping[str, Any]] = {}
    Task: ClassVar[type] = Task

    def __init__(self, core: str, counters: tuple[str, ...], dots: bool = False) -> None:
        """`counters`: Counts fields that the bus shows exactly; `dots`: whether it has the dot products of XPULP."""
        self.core, self.dots = core, dots
        self.name = f"mcu-{core}"
        self.cases = FOLDER / core / "cases.yaml"
        self.counters = {field: f"count_{field}" for field in counters}

    @property
    def hdl(self) -> Hdl:
        """The sources. Raises InputError when the core's package is not installed."""
        return hdl_of(self.core)

    def stimulus(self, design: Any, task: Task, seed: int) -> Stimulus:
        """The memory of a case. Raises InputError where it is too small."""
        image = self.image(task, seed)
        macs = macs_of(shape_of(task), kernel_of(task))
        registers = {
            "result_base": image.result_base // firmware.WORD_BYTES,
            "result_words": len(image.results) // firmware.WORD_BYTES,
        }
        return Stimulus(
            registers,
            {"program": Image(32, firmware.words(image.content))},
            {"results": Image(32, firmware.words(image.results))},
            limit=image.calls * (LIMIT_PER_LAYER + macs * LIMIT_PER_MAC),
        )

    def image(self, task: Task, seed: int) -> firmware.Image:
        """The memory of a case: one call of the layer, or for a warm one two. Raises InputError for dot products on a
        core that has none."""
        if task.dot and not self.dots:
            raise bad_input("no-dot", "true", f"{self.core} has no packed dot products", "Write false.", key="dot")
        isa = Isa.XPULP if task.dot else Isa.RV32IM
        spacing_bytes = task.spacing_bits // BITS_PER_BYTE
        return firmware.image_of(
            isa, kernel_of(task), shape_of(task), data_of(task, seed), 1 + int(task.warm), spacing_bytes
        )  # fmt: skip

    def program(self, design: Any, task: Task, seed: int) -> Program:
        """One step: the last call of the firmware."""
        trace = self.trace_of(task, seed, bool(design.dcache_bits))
        program = Program()
        macs = macs_of(shape_of(task), kernel_of(task))
        layer = program.add_layer(kernel_of(task).name, "layer", "run", macs)
        program.add(call_of(trace, len(trace.spans) - 1, design)._replace(macs=macs), layer)
        return program

    @lru_cache(maxsize=4)  # noqa: B019 - there are four circuits, as long as the process
    def trace_of(self, task: Task, seed: int, data: bool) -> Trace:
        """What the firmware of a case executes."""
        content = self.image(task, seed).content
        return traced(content, firmware.ENTRY, firmware.MEMORY_BYTES, data=data)

    def trace(self, design: Any, task: Task, seed: int) -> Iterable[Event]:
        """No events: the model counts instructions and does not place them in time."""
        return ()


PICORV32 = CoreCircuit("picorv32", ("loaded_bits", "stored_bits"))
VEXRISCV = CoreCircuit("vexriscv", ("loaded_bits", "stored_bits"))
IBEX = CoreCircuit("ibex", ("loaded_bits", "stored_bits"))
CV32E40P = CoreCircuit("cv32e40p", ("loaded_bits", "stored_bits"), dots=True)
