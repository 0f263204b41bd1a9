"""RISC-V cores: a random tenth of their golden cases run again, and the jump of two arrays that share a cache line."""

from __future__ import annotations

import random

import numpy as np
import pytest

from accelerators.mcu.kernels import POINTERS, LayerData, Shape, layer_struct
from accelerators.mcu.mixes import _table
from accelerators.mcu.rv32.model import cycles_of
from accelerators.mcu.rv32.profile import call_of
from accelerators.mcu.rv32.trace import traced
from accelerators.mcu.toolchain import Isa, build, compiler_version
from hwsim.config import load_design
from hwsim.cosim.case import read_cases
from hwsim.cosim.circuit import Image, Stimulus, load_circuit
from hwsim.cosim.compare import compare, in_order
from hwsim.cosim.golden import read_golden
from hwsim.cosim.simulator import build as build_circuit
from hwsim.cosim.simulator import run
from hwsim.errors import InputError
from rtl_models.mcu import firmware, probe
from rtl_models.mcu.cores import SOURCES, hdl_of


@pytest.fixture(params=list(SOURCES), autouse=True)
def core(request: pytest.FixtureRequest) -> str:
    """Each core in turn; skipped where its package or Verilator is missing, which CI takes for a failure."""
    from hwsim.cosim import toolchain

    try:
        hdl_of(request.param)
        toolchain.require("verilator")
    except InputError as error:
        pytest.skip(str(error))
    return str(request.param)


def test_a_random_tenth_of_the_golden_cases_is_run_again(core: str, deep: bool) -> None:
    """Outputs, cycles and counts are those of golden.csv; with another compiler, outputs and counts alone."""
    circuit = load_circuit(f"mcu-{core}")
    file, rows = read_cases(circuit.cases, circuit), {row["name"]: row for row in read_golden(circuit)}
    chosen = file.cases if deep else tuple(random.Random(11).sample(file.cases, -(-len(file.cases) // 10)))
    same_code = compiler_version(Isa.RV32IM) == _table()["rv32im"]["compiler"]
    for verdict in in_order(chosen, compare(file, chosen, "verilator")):
        assert verdict.agrees, verdict
        assert verdict.rtl is not None
        if same_code:
            assert int(rows[verdict.case.name]["rtl_total"]) == verdict.rtl.total, verdict.case.name
            assert rows[verdict.case.name]["outputs_crc32"] == f"{verdict.outputs_crc32:08x}"
    print(f"{core}: {len(chosen)} of {len(file.cases)} cases")


def test_layers_that_rescale_by_shifts(core: str, deep: bool) -> None:
    """Outputs and counts exact, cycles within the tolerance of the other cases; without a table of earlier runs."""
    circuit = load_circuit(f"mcu-{core}")
    file = read_cases(circuit.cases.with_name("shifts.yaml"), circuit)
    chosen = file.cases if deep else tuple(random.Random(12).sample(file.cases, 6))
    errors = []
    for verdict in in_order(chosen, compare(file, chosen, "verilator")):
        assert verdict.agrees, verdict
        assert verdict.rtl is not None
        errors.append(abs(verdict.error))
    print(f"{core}: {len(chosen)} layers, mean error {100 * sum(errors) / len(errors):.2f} %, "
          f"worst {100 * max(errors):.2f} %, {errors.count(0)} exact")  # fmt: skip
    assert sum(errors) / len(errors) < 0.01 and max(errors) < 0.03


# --- two arrays 16 KiB apart ------------------------------------------------------------------------------------------

VALUES = 16384


def dot_product(apart_bytes: int) -> tuple[bytes, int, int]:
    """A firmware that multiplies two arrays that far apart: its memory, the address of the result, and the result."""
    kernels = [build(Isa.RV32IM, [firmware.FOLDER / "dot.c"], ("-r",))]
    content = bytearray(firmware.linked(Isa.RV32IM, kernels, "dot"))
    first, second = np.random.default_rng(8).integers(-128, 128, (2, VALUES))
    start = 4096
    content.extend(bytes(start + apart_bytes + VALUES + 256 - len(content)))
    for at, values in ((start, first), (start + apart_bytes, second)):
        content[at : at + VALUES] = values.astype(np.int8).tobytes()
    result, layer = len(content) - 256, len(content) - 192
    pointers = dict.fromkeys(POINTERS, 0) | {"input": start, "other": start + apart_bytes, "output": result}
    struct = layer_struct(pointers, Shape(1, 1, VALUES, 1, 1, 1), LayerData(first))
    content[layer : layer + len(struct)] = struct
    firmware.set_parameters(content, 1, layer)
    return bytes(content), result, int(first @ second) % 2**32


def test_aliasing_costs_what_the_model_says(core: str) -> None:
    """Byte by byte from two arrays 16 KiB apart, VexRiscv's cache of 4 KiB with one way gives up a line for each value;
    a line further apart it does not. Cores without a cache do not care."""
    design = load_design(core).design
    macs = {}
    for apart_bytes in (VALUES, VALUES + 64):
        content, result, expected = dot_product(apart_bytes)
        stimulus = Stimulus(
            {"result_base": result // 4, "result_words": 1},
            {"program": Image(32, firmware.words(content))},
            {"results": Image(32, [expected])},
            limit=4_000_000,
        )
        seen = run(build_circuit(hdl_of(core), {}, "verilator"), [stimulus], ["cycles_total"])[0]
        assert seen.memories["results"] == [expected]
        trace = traced(content, firmware.ENTRY, firmware.MEMORY_BYTES, data=bool(design.dcache_bits))
        cycles = cycles_of(design, call_of(trace, 0, design))
        total = int(seen.counters["cycles_total"] or 0)
        assert abs(cycles / total - 1) < 0.01, (core, apart_bytes, cycles, total)
        macs[apart_bytes] = (total / VALUES, cycles / VALUES)
    print(core, {apart: f"RTL {rtl:.2f}, model {ours:.2f} cycles/MAC" for apart, (rtl, ours) in macs.items()})
    jump = macs[VALUES][0] / macs[VALUES + 64][0]
    assert jump > 3 if core == "vexriscv" else jump == pytest.approx(1, abs=0.001)


# --- figures that come from the RTL -----------------------------------------------------------------------------------

MEASURED = {
    "picorv32": {"mul, not used": 6 + 5 * 3, "mulh, not used": 6 + 5 * 3},
    "vexriscv": {"load, used next": 1 + 2 + 5, "mul, used then": 1 + 1 + 6, "shift, used next": 1 + 1 + 5,
                 "divu, not used": 34 + 5, "branch ahead, taken": 4 + 4, "call and return": 2 + 4 + 4,
                 "two loads 4 KiB apart": 8 + 2 * 20, "three stores": 3 + 1 + 4,
                 "four stores, then both": 4 + 2 + 2 + 8 + 2 * 20},  # two wait for the bus, and the first load for both
    "ibex": {"divu, not used": 37 + 5},
    "cv32e40p": {},
}  # fmt: skip


def test_figures_of_the_designs_are_measured_again(core: str) -> None:
    """What designs say of loops of a few instructions is what the RTL takes."""
    table = probe.measured(core)
    assert {name: table[name] for name in MEASURED[core]} == MEASURED[core]
