"""Where the sources of the cores are: in the Python packages that carry them, unmodified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from hwsim.cosim.circuit import Hdl
from hwsim.errors import bad_input

HDL = Path(__file__).parent / "hdl"


def package_folder(core: str) -> Path:
    """The folder of `pythondata_cpu_<core>`. Raises InputError when the package is not installed."""
    name = f"pythondata_cpu_{core}"
    spec = find_spec(name)
    if spec is None or not spec.origin:
        rule = f"the sources of {core} come with the Python package {name.replace('_', '-')}"
        raise bad_input("missing-package", "nothing", rule, "Install it: pip install hwsim[cores]")
    return Path(spec.origin).parent


def _picorv32(folder: Path) -> list[Path]:
    return [folder / "verilog" / "picorv32.v"]


def _vexriscv(folder: Path) -> list[Path]:
    return [folder / "verilog" / "VexRiscv.v"]


_IBEX_PRIMITIVES = (
    "secded_pkg", "ram_1p_pkg", "count_pkg", "cipher_pkg", "mubi_pkg", "util_pkg", "onehot_check", "onehot_enc",
    "secded_inv_39_32_enc", "secded_inv_39_32_dec", "secded_inv_28_22_enc", "secded_inv_28_22_dec", "lfsr", "count",
    "ram_1p_scr", "ram_1p_adv", "prince",
)  # fmt: skip
_IBEX_GENERIC = ("buf", "clock_gating", "clock_mux2", "flop", "ram_1p", "and2")
_IBEX = (
    "alu", "branch_predict", "compressed_decoder", "controller", "csr", "cs_registers", "counter", "decoder",
    "ex_block", "fetch_fifo", "icache", "id_stage", "if_stage", "load_store_unit", "multdiv_fast", "multdiv_slow",
    "prefetch_buffer", "pmp", "wb_stage", "dummy_instr", "register_file_ff", "register_file_fpga",
    "register_file_latch", "lockstep", "core", "top",
)  # fmt: skip


def _ibex(folder: Path) -> list[Path]:
    root = folder / "system_verilog"
    library = root / "vendor/lowrisc_ip/ip"
    chosen = root / "dv/uvm/core_ibex/common/prim"
    primitives = [library / f"prim/rtl/prim_{name}.sv" for name in _IBEX_PRIMITIVES]
    packages = [path for path in primitives if path.stem.endswith("_pkg")]
    return [
        root / "vendor/lowrisc_ip/dv/sv/dv_utils/dv_fcov_macros.svh",
        library / "prim/rtl/prim_assert.sv",
        library / "prim/rtl/prim_flop_macros.sv",
        *packages,
        root / "rtl/ibex_pkg.sv",
        chosen / "prim_pkg.sv",
        *(path for path in primitives if path not in packages),
        *(library / f"prim_generic/rtl/prim_generic_{name}.sv" for name in _IBEX_GENERIC),
        *(chosen / f"prim_{name}.sv" for name in _IBEX_GENERIC),
        *(root / f"rtl/ibex_{name}.sv" for name in _IBEX),
    ]


_CV32E40P = (
    "if_stage", "cs_registers", "register_file_ff", "load_store_unit", "id_stage", "aligner", "decoder",
    "compressed_decoder", "fifo", "prefetch_buffer", "hwloop_regs", "mult", "int_controller", "ex_stage", "alu_div",
    "alu", "ff_one", "popcnt", "apu_disp", "controller", "obi_interface", "prefetch_controller", "sleep_unit", "core",
    "top",
)  # fmt: skip


def _cv32e40p(folder: Path) -> list[Path]:
    root = folder / "system_verilog"
    packages = [root / f"rtl/include/cv32e40p_{name}_pkg.sv" for name in ("apu_core", "fpu")]
    return [
        *packages,
        root / "rtl/include/cv32e40p_pkg.sv",
        *(root / f"rtl/cv32e40p_{name}.sv" for name in _CV32E40P),
        root / "bhv/cv32e40p_sim_clock_gate.sv",
    ]


SOURCES: Mapping[str, Callable[[Path], list[Path]]] = {
    "picorv32": _picorv32,
    "vexriscv": _vexriscv,
    "ibex": _ibex,
    "cv32e40p": _cv32e40p,
}
"""Core -> its sources in order, in the folder of its package. Leading headers are only included."""


@cache
def hdl_of(core: str) -> Hdl:
    """The circuit of a core. Raises InputError when its package is not installed."""
    own = (HDL / "mcu_defines.sv", HDL / "mcu_system.sv", HDL / f"mcu_{core}.sv")
    sources = tuple(path for path in SOURCES[core](package_folder(core)) if path.exists())
    return Hdl(f"mcu_{core}", (own[0], *sources, *own[1:]))
