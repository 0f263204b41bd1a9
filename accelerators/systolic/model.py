"""Systolic arrays with double-buffered SRAMs, vector lanes and DRAM: GEMM, convolution, attention and the rest.

cycles   of folds in the array, or of SRAMs that hold it back, or of lanes behind it; loads run ahead, stores follow
traffic  of tiles that fit the SRAMs, in the cheapest of a few dozen choices a layer (`tiling.choose`)
energy   multipliers, SRAM, lanes and DRAM on the shared tables

Formulas and what they leave out: README.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from accelerators.systolic import hardware, lowering, mapping, resident, tasks, training
from accelerators.systolic.design import Design
from hwsim.dram import peak_bits_per_s
from hwsim.model import Parts, Program, Violation
from hwsim.result import UNVALIDATED
from hwsim.workload.ir import Workload

FAR = 1.25
"""A `dram_rate` further than this factor from the DRAM part's peak is remarked on."""


class SystolicModel:
    """See the module's text."""

    name = "systolic"
    summary = "systolic arrays (ws, os, is) with double-buffered SRAMs, a vector unit, DRAM and host infeed"
    Design = Design
    Counts = tasks.Counts
    kernels: ClassVar[Mapping[type, Any]] = {
        tasks.Product: tasks.count_product,
        tasks.MappedProduct: tasks.count_mapped,
        tasks.Stream: tasks.count_stream,
        tasks.Lookup: tasks.count_lookup,
        tasks.Overhead: tasks.count_overhead,
        tasks.Infeed: tasks.count_infeed,
        resident.Resident: resident.count_resident,
        training.State: training.count_state,
        training.Exchange: training.count_exchange,
    }
    structural = lowering.STRUCTURAL
    holdings: ClassVar[Mapping[type, Any]] = {
        tasks.Parameters: tasks.parameter_bits,
        tasks.Values: tasks.value_bits,
    }
    accuracy: ClassVar[Mapping[str, str]] = {"": UNVALIDATED}
    mapping: ClassVar[Any] = mapping.SPACE
    machine = staticmethod(hardware.machine)
    price = staticmethod(hardware.price)
    static_w = staticmethod(hardware.static_w)
    area_mm2 = staticmethod(hardware.area_mm2)

    def lower(self, workload: Workload, design: Design, binding: Mapping[str, float]) -> Program:
        """Steps in order. Raises InputError naming every operator that cannot run."""
        return lowering.lower(workload, design, binding, self.name)

    def check(self, design: Design, parts: Parts, program: Program) -> Sequence[Violation]:
        """Nothing beyond the capacity of DRAM, which the engine checks."""
        return ()

    def remarks(self, design: Design, parts: Parts, program: Program) -> Sequence[str]:
        """Whether tiles are chosen by another rate than the DRAM has."""
        peak, rate = peak_bits_per_s(parts.dram), design.dram_rate_bits_per_s
        if rate and not peak / FAR <= rate <= peak * FAR:
            return (f"tiles are chosen for DRAM channels of {rate / 8e9:.1f} GB/s; the part has {peak / 8e9:.1f}",)
        return ()


MODEL: Any = SystolicModel()
