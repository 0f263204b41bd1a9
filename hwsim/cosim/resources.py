"""What a circuit takes on an FPGA: look-up tables, flip-flops, multipliers and memories, as Yosys counts them.

Yosys comes as the Python wheel `pyosys` (extra `synth`). It synthesizes for Xilinx 7-series parts, flattened, without
pads and clock buffers. Its counts stand before packing: a LUT6 of the part may hold two of the smaller functions, so
placed designs need fewer LUTs than this. Nothing is placed or routed, so there is no clock rate.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from hwsim.cosim.circuit import Hdl
from hwsim.cosim.simulator import BUILD_S, CACHE_VARIABLE, cache_folder
from hwsim.cosim.toolchain import missing
from hwsim.errors import InputError, Problem, Where, bad_input

TARGET = "xc7"
"""The family that is synthesized for, as `synth_xilinx` names it: Xilinx 7 series."""

MEMORY_LUTS = {
    "RAM32X1S": 1, "RAM32X1D": 2, "RAM32M": 4, "RAM64X1S": 1, "RAM64X1D": 2, "RAM64M": 4,
    "RAM128X1S": 2, "RAM128X1D": 4, "RAM256X1S": 4,
    "SRL16E": 1, "SRLC16E": 1, "SRLC32E": 1,
}  # fmt: skip
"""LUTs that a memory or a shift register occupies: AMD UG474 v1.9, "Distributed RAM (SLICEM Only)", table 1, and
"Shift Registers (SLICEM Only)"."""

BLOCK_RAMS_18K = {"RAMB18E1": 1, "RAMB36E1": 2}
"""Halves of a 36 Kb block RAM: AMD UG473, "Block RAM Resources"."""

NOT_HARDWARE = ("$check", "$print", "$scopeinfo")
"""Cells by which Yosys remembers assertions, messages and names."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Cells of one module after synthesis.

    luts            look-up tables that compute, of up to 6 inputs, inverters included
    memory_luts     look-up tables that store: distributed RAM and shift registers
    flip_flops, latches
    dsps            DSP48E1 slices (25 x 18 bit multipliers)
    block_rams_18k  block RAM in units of 18 Kb
    carries         CARRY4 blocks, which stand beside the LUTs
    cells           every cell type of the netlist and how often it occurs; also those that are in no sum above
    tool            what synthesized it
    """

    luts: int
    memory_luts: int
    flip_flops: int
    latches: int
    dsps: int
    block_rams_18k: int
    carries: int
    cells: Mapping[str, int]
    tool: str
    target: str = TARGET


def resources(hdl: Hdl, parameters: Mapping[str, int], top: str = "") -> Resources:
    """Resources of the module `top` of a circuit, `hdl.leaf` unless named. Answers are kept where builds are.

    parameters  by name; those the module does not declare are left out, so that a leaf can be asked with the
                parameters of its circuit

    Raises InputError if Yosys is not installed, the module is not named, or Yosys cannot synthesize it.
    """
    top = top or hdl.leaf
    if not re.fullmatch(r"[A-Za-z_]\w*", top):
        raise bad_input("no-leaf", top, "resources are counted of one module, and the circuit names none",
                        "Give Hdl.leaf, the module without test memories.")  # fmt: skip
    tool = f"pyosys {yosys_version()}"
    given = {name: int(value) for name, value in sorted(parameters.items())}
    kept = cache_folder().with_name("resources") / f"{_key(hdl, given, top, tool)}.json"
    cells = _kept(kept)
    if cells is None:
        cells = _synthesized(hdl, given, top)
        _keep(kept, cells)
    return summed(cells, tool)


def summed(cells: Mapping[str, int], tool: str) -> Resources:
    """Cell counts of a netlist as Resources. Raises InputError for a cell that is still to be synthesized."""
    left = {name: n for name, n in sorted(cells.items()) if name.startswith("$") and name not in NOT_HARDWARE}
    if left:
        raise bad_input("synthesis", left, "Yosys has no cell of the part for these",
                        "Count a module that can be built: without test memories and files.")  # fmt: skip

    def total(pattern: str) -> int:
        return sum(n for name, n in cells.items() if re.fullmatch(pattern, name))

    return Resources(
        luts=total(r"LUT\d|INV"),
        memory_luts=_weighted(cells, MEMORY_LUTS),
        flip_flops=total(r"FD(RE|SE|CE|PE)(_1)?"),
        latches=total(r"LD[CP]E"),
        dsps=total(r"DSP48E1"),
        block_rams_18k=_weighted(cells, BLOCK_RAMS_18K),
        carries=total(r"CARRY4"),
        cells=dict(sorted(cells.items())),
        tool=tool,
    )


def _weighted(cells: Mapping[str, int], weights: Mapping[str, int]) -> int:
    return sum(n * weights.get(name.removesuffix("_1"), 0) for name, n in cells.items())


def as_json(found: Resources) -> dict[str, object]:
    """Resources as JSON prints them."""
    return asdict(found)


# --- Yosys ------------------------------------------------------------------------------------------------------


def yosys_version() -> str:
    """The version of Yosys. Raises InputError where it is not installed."""
    try:
        return metadata.version("pyosys")
    except metadata.PackageNotFoundError:
        raise missing("Yosys", "resources are counted by the Python package pyosys",
                      "Install it with: pip install 'hwsim[synth]'.") from None  # fmt: skip


def _synthesized(hdl: Hdl, parameters: Mapping[str, int], top: str) -> dict[str, int]:
    """Cell type -> number, of a netlist that Yosys makes in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="hwsim-yosys-") as name:
        folder = Path(name)
        names = _copied(hdl, folder)
        generics = (f"-G {parameter}={value}" for parameter, value in parameters.items())
        commands = (
            f"read_slang --top {top} {' '.join((*generics, *names))}",
            f"synth_xilinx -family {TARGET} -flatten -noiopad -noclkbuf -top {top}",
            "tee -q -o stat.json stat -json",
        )
        run_yosys(folder, "\n".join(commands) + "\n", top)
        counted = json.loads((folder / "stat.json").read_text(encoding="utf-8"))
    return {cell: int(n) for cell, n in counted["design"].get("num_cells_by_type", {}).items()}


def _copied(hdl: Hdl, folder: Path) -> list[str]:
    """Copy sources and their headers to where Yosys, which splits its commands at spaces, can read them; the names of
    the sources."""
    for header in _headers(hdl):
        (folder / header.name).write_bytes(header.read_bytes())
    names: list[str] = []
    for source in hdl.compiled:
        name = re.sub(r"[^\w.-]", "_", source.name)
        if name in names:
            raise bad_input("sources", source.name, "two sources have the same file name", "Rename one.")
        (folder / name).write_bytes(source.read_bytes())
        names.append(name)
    return names


def _headers(hdl: Hdl) -> list[Path]:
    folders = dict.fromkeys(source.parent for source in hdl.sources)
    return [header for folder in folders for header in sorted((*folder.glob("*.svh"), *folder.glob("*.vh")))]


def run_yosys(folder: Path, script: str, top: str) -> None:
    """Run a script in `folder`, about the module `top`. Raises InputError with what Yosys says is wrong, or when it
    takes too long."""
    (folder / "count.ys").write_text(script, encoding="utf-8")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hwsim.cosim.synthesize", "count.ys"], cwd=folder, capture_output=True, text=True,
            errors="replace", stdin=subprocess.DEVNULL, check=False, timeout=BUILD_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise bad_input("synthesis", top, f"Yosys was given up after {BUILD_S} s",
                        "Count a smaller module, or smaller parameters.") from None  # fmt: skip
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-3:]
        raise InputError(
            Problem("synthesis", Where(key=top), line.replace("ERROR: ", ""), "Yosys cannot synthesize the module")
            for line in (told or [f"exit code {done.returncode}"])
        )


# --- what is kept -----------------------------------------------------------------------------------------------


def _key(hdl: Hdl, parameters: Mapping[str, int], top: str, tool: str) -> str:
    """Hash of all that the counts depend on."""
    told = hashlib.sha256(json.dumps([tool, TARGET, top, parameters]).encode())
    for source in (*hdl.compiled, *_headers(hdl)):
        told.update(hashlib.sha256(source.name.encode() + b"\0" + source.read_bytes()).digest())
    return told.hexdigest()[:32]


def _kept(path: Path) -> dict[str, int] | None:
    """Counts that were kept; None if there are none, or the file is damaged."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(cells, dict) and all(isinstance(n, int) for n in cells.values())
    return cells if whole else None


def _keep(path: Path, cells: Mapping[str, int]) -> None:
    """Move the counts into place whole. Raises InputError where the cache cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(cells, file)
        Path(file.name).replace(path)
    except OSError as error:
        raise bad_input("write", str(path.parent), f"the cache cannot be written ({error.strerror})",
                        f"Set {CACHE_VARIABLE} to a folder that can be.") from None  # fmt: skip
