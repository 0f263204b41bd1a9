"""Look-up tables and levels of a combinational module on a 7-series part, as Yosys maps it.

The module is plain Verilog in one file, so that primitives of the part stay what they are. Two mappers, both with the
areas that `synth_xilinx` gives tables of 1 to 8 inputs (2, 2, 3, 5, 5, 5, 10, 20):

    area    `abc -luts`: every table takes the same time; least depth, then least area
    timing  `abc9`, which `synth_xilinx` runs by default: delays of the part; speed first, so it takes more tables
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.cosim.resources import run_yosys, summed, yosys_version

MAPPERS = ("area", "timing")
_SYNTHESIZE = "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top {top}"
_MAP_FOR_AREA = (
    f"{_SYNTHESIZE} -run begin:map_luts",
    "opt_expr -mux_undef -noclkinv",
    "abc -luts 2:2,3,6:5,10,20",
    "clean",
    "techmap -map +/xilinx/lut_map.v -map +/xilinx/cells_map.v -D LUT_WIDTH=6",
    "opt_lut_ins -tech xilinx",
    "clean",
)
"""The steps of `synth_xilinx` with `abc` in the place of `abc9`."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What synthesis made: look-up tables with their inverters, wide multiplexers, and tables on the longest path."""

    luts: int
    muxes: int
    depth: int
    cells: Mapping[str, int]


def mapped(verilog: str, top: str, mapper: str = "area") -> Mapped:
    """Map the module `top` of a Verilog text. Raises InputError without Yosys, or with what it says is wrong."""
    yosys_version()
    steps = _MAP_FOR_AREA if mapper == "area" else (_SYNTHESIZE,)
    with tempfile.TemporaryDirectory(prefix="hwsim-yosys-") as name:
        folder = Path(name)
        (folder / "module.v").write_text(verilog, encoding="utf-8")
        commands = ("read_verilog module.v", *(step.format(top=top) for step in steps),
                    f"select {top}", "write_json -selected netlist.json")  # fmt: skip
        run_yosys(folder, "\n".join(commands) + "\n", top)
        module = json.loads((folder / "netlist.json").read_text(encoding="utf-8"))["modules"][top]
    cells: dict[str, int] = {}
    for cell in module["cells"].values():
        cells[cell["type"]] = cells.get(cell["type"], 0) + 1
    luts = summed(cells, "").luts
    return Mapped(luts, sum(n for kind, n in cells.items() if kind.startswith("MUXF")), _depth(module), cells)


def _depth(module: Mapping[str, Any]) -> int:
    """Tables on the longest path of a mapped module; multiplexers and wires are none."""
    drivers: dict[int, tuple[int, list[int]]] = {}
    for cell in module["cells"].values():
        outs, ins = _ports(cell)
        counted = int(cell["type"].startswith("LUT") or cell["type"] == "INV")
        drivers.update((bit, (counted, ins)) for bit in outs)
    ends = [bit for port in module["ports"].values() if port["direction"] == "output" for bit in port["bits"]]
    return _longest(drivers, [bit for bit in ends if isinstance(bit, int)])


def _ports(cell: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    found: dict[str, list[int]] = {"output": [], "input": []}
    for port, bits in cell["connections"].items():
        found[cell["port_directions"][port]] += [bit for bit in bits if isinstance(bit, int)]
    return found["output"], found["input"]


def _longest(drivers: Mapping[int, tuple[int, list[int]]], ends: Sequence[int]) -> int:
    level: dict[int, int] = {}
    work = list(ends)
    while work:
        bit = work[-1]
        counted, read = drivers.get(bit, (0, []))
        waiting = [pin for pin in read if pin not in level]
        if waiting and bit not in level:
            work += waiting
            continue
        level[bit] = counted + max((level[pin] for pin in read), default=0)
        work.pop()
    return max((level[bit] for bit in ends), default=0)
