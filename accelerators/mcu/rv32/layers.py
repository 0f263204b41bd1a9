"""Layers of whole networks as tasks of the model `rv32`, for cores whose cycles are a formula of a layer's shape."""

from __future__ import annotations

from accelerators.mcu import mixes
from accelerators.mcu.kernels import Operation
from accelerators.mcu.lowering import QUAD, Run, Target
from accelerators.mcu.rv32.design import WORD_BITS, Design
from accelerators.mcu.rv32.formulas import call_of_layer, obstacle
from accelerators.mcu.rv32.profile import Call
from accelerators.mcu.toolchain import Isa
from hwsim.errors import bad_input


def target_of(design: Design) -> Target:
    """The kernels of the core. Raises InputError where its cycles are no formula of a layer's shape."""
    if found := obstacle(design):
        raise bad_input(
            "not-lowered",
            "a whole network",
            f"{found}, and this model runs single layers on such a core",
            "Run layers with `hwsim cosim`, such as mcu-vexriscv, or take a core without caches, such as ibex.",
        )
    isa = Isa.XPULP if design.packed_dots else Isa.RV32IM
    return Target(isa, lambda run, macs: task_of(design, isa, run, macs))


def task_of(design: Design, isa: Isa, run: Run, macs: int) -> Call:
    """One kernel call. Loads of weights read flash; those of their parameters, far fewer, count as RAM."""
    call = call_of_layer(design, isa, run.kernel, run.shape)
    loads = mixes.traffic(isa, run.kernel, run.shape).weight_read_bits // bits_a_load(run)
    return call._replace(flash_loads=loads, macs=macs, weight_bits=run.weight_bits)


def bits_a_load(run: Run) -> int:
    """Bits of weights that one load brings: a word of a filter, or of a depthwise layer one tap of four channels."""
    return QUAD * run.kernel.weight_bits if run.kernel.operation == Operation.DEPTHWISE else WORD_BITS
