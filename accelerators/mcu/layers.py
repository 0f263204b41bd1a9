"""Layers as tasks of the model `mcu`: executed instructions by class, and what the memories see."""

from __future__ import annotations

from accelerators.mcu import mixes
from accelerators.mcu.design import Core, Design
from accelerators.mcu.emulate import CLASSES
from accelerators.mcu.kernels import SUMS
from accelerators.mcu.lowering import Run, Target
from accelerators.mcu.quantized import BYTE
from accelerators.mcu.tasks import Kernel as Task
from accelerators.mcu.toolchain import Isa

ISA_OF = {Core.CORTEX_M7: Isa.ARMV7EM}


def target_of(design: Design) -> Target:
    """The kernels of the design's core."""
    isa = ISA_OF[Core(design.core)]
    return Target(isa, lambda run, macs: task_of(isa, run, macs))


def task_of(isa: Isa, run: Run, macs: int) -> Task:
    """Counts of one kernel call."""
    counts = mixes.instructions(isa, run.kernel, run.shape)
    traffic = mixes.traffic(isa, run.kernel, run.shape)
    s, k = run.shape, run.kernel
    other = s.out_h * s.out_w * s.out_c * k.weight_bits if k.operation in SUMS else 0
    return Task(
        **{("returns" if name == "return" else name): counts.get(name, 0) for name in CLASSES},
        macs=macs,
        weight_bits=run.weight_bits,
        weight_sweeps=traffic.weight_sweeps,
        text_bits=mixes.text_bytes(isa, [k]) * BYTE,
        input_bits=s.in_h * s.in_w * s.in_c * k.in_bits + other,
        output_bits=s.out_h * s.out_w * s.out_c * k.out_bits,
    )
