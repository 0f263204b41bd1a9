"""The operators in `hdl/`, synthesized and tried out: where `operators.csv` comes from.

    python -m accelerators.fpga_mac.operators             what Yosys counts (needs pyosys), beside the committed counts
    python -m accelerators.fpga_mac.operators --write     the same, written to operators.csv

Counts are of Yosys's synth_xilinx for 7 series, in look-up tables and carry chains without DSP slices, before packing.
`changes` is how often outputs of look-up tables, multiplexers and carry chains change over `samples` random operands,
one after another; settled values alone.
"""

from __future__ import annotations

import argparse
import csv
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TABLE = HERE / "operators.csv"
FIELDS = ("operator", "module", "parameters", "operations", "luts", "carries", "changes", "samples", "tool")
SAMPLES = 2_000
SEED = 6


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: a module with its parameters, its operands' widths by port, and how many MACs it does."""

    name: str
    module: str
    parameters: Mapping[str, int]
    ports: Mapping[str, int]
    result_bits: int
    operations: int = 1

    @property
    def source(self) -> Path:
        """Its Verilog."""
        return HERE / "hdl" / f"{self.module}.v"


OPERATORS = (
    Operator("fp32_mult", "fp32_mult", {}, {"a": 32, "b": 32}, 32),
    Operator("fp32_add", "fp32_add", {}, {"a": 32, "b": 32}, 32),
    Operator("int32_mult", "int_mult", {"WIDTH": 32}, {"a": 32, "b": 32}, 64),
    Operator("int32_add", "int_add", {"WIDTH": 64}, {"a": 64, "b": 64}, 64),
    Operator("int16_mult", "int_mult", {"WIDTH": 16}, {"a": 16, "b": 16}, 32),
    Operator("int16_add", "int_add", {"WIDTH": 32}, {"a": 32, "b": 32}, 32),
    Operator("binary_mac", "binary_mac", {"WIDTH": 64, "SUM": 13}, {"a": 64, "b": 64, "sum": 13}, 13, 64),
)  # fmt: skip


def read_table() -> dict[str, dict[str, str]]:
    """The committed counts, by operator."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["operator"]: row for row in csv.DictReader(file)}


# --- trying out -----------------------------------------------------------------------------------------------------


def _bench(operator: Operator, dump: bool) -> str:
    """A module that prints the result of every line of vectors.hex; with `dump`, each change goes to changes.vcd."""
    width = sum(operator.ports.values())
    at, wires = width, []
    for port, bits in operator.ports.items():
        wires.append(f".{port}(line[{at - 1}:{at - bits}])")
        at -= bits
    given = ", ".join(f".{name}({value})" for name, value in operator.parameters.items() if not dump)
    return f"""module bench;
  reg [{width - 1}:0] lines [0:{SAMPLES - 1}];
  reg [{width - 1}:0] line;
  wire [{operator.result_bits - 1}:0] y;
  {operator.module} {f"#({given})" if given else ""} dut ({", ".join(wires)}, .y(y));
  integer i;
  initial begin
    {'$dumpfile("changes.vcd"); $dumpvars(0, dut);' if dump else ""}
    $readmemh("vectors.hex", lines);
    for (i = 0; i < {SAMPLES}; i = i + 1) begin
      line = lines[i]; #1;
      $display("%h", y);
    end
    $finish;
  end
endmodule
"""


def _run(operator: Operator, operands: Sequence[int], folder: Path, sources: Sequence[Path], dump: bool) -> list[int]:
    width = sum(operator.ports.values())
    (folder / "vectors.hex").write_text("".join(f"{o:0{(width + 3) // 4}x}\n" for o in operands), encoding="ascii")
    (folder / "bench.v").write_text(_bench(operator, dump), encoding="ascii")
    built = ["iverilog", "-g2012", "-gno-specify", "-o", "bench.vvp", "-s", "bench", "bench.v", *map(str, sources)]
    subprocess.run(built, cwd=folder, check=True, capture_output=True, timeout=60)
    out = subprocess.run(["vvp", "bench.vvp"], cwd=folder, check=True, capture_output=True, timeout=120, text=True)
    return [int(line, 16) for line in out.stdout.splitlines() if not line.startswith("VCD")]


def simulate(operator: Operator, operands: Sequence[int]) -> list[int]:
    """The results of SAMPLES operands (all ports side by side, the first one highest) in Icarus Verilog."""
    with tempfile.TemporaryDirectory(prefix="hwsim-operator-") as name:
        return _run(operator, operands, Path(name), [operator.source], dump=False)


def random_operands(operator: Operator) -> list[int]:
    """SAMPLES random operands; floating-point numbers have magnitudes from 2^-8 to 2^8."""
    rng = random.Random(f"{SEED} {operator.name}")

    def one(bits: int) -> int:
        value = rng.getrandbits(bits)
        return value & 0x807FFFFF | rng.randrange(119, 136) << 23 if operator.name.startswith("fp32") else value

    found = []
    for _ in range(SAMPLES):
        line = 0
        for bits in operator.ports.values():
            line = line << bits | one(bits)
        found.append(line)
    return found


def changes(operator: Operator, design: Any) -> int:
    """Settled changes at the outputs of all cells of a netlist over `random_operands`, whose results are also held to
    those of the operator's own source."""
    from pyosys import __file__ as installed
    from pyosys import libyosys

    models = Path(installed).parent / "share" / "xilinx" / "cells_sim.v"
    operands = random_operands(operator)
    with tempfile.TemporaryDirectory(prefix="hwsim-operator-") as name:
        folder = Path(name)
        libyosys.run_pass(f"tee -q -o {folder / 'log'} write_verilog -noattr {folder / 'netlist.v'}", design)
        results = _run(operator, operands, folder, [folder / "netlist.v", models], dump=True)
        if results != simulate(operator, operands):
            raise AssertionError(f"the netlist of {operator.name} computes something else than its source")
        return _settled_changes(folder / "changes.vcd")


OUTPUTS = frozenset({"O", "CO"})


def _settled_changes(path: Path) -> int:
    """Changed bits of cell outputs (ports O and CO of instances) from one time to the next."""
    watched: dict[str, str] = {}
    now: dict[str, str] = {}
    total, depth = 0, 0

    def settle() -> int:
        found = 0
        for code, value in now.items():
            before = watched[code]
            found += sum(a != b for a, b in zip(before, value, strict=True)) if before.strip("x") else 0
            watched[code] = value
        now.clear()
        return found

    with path.open(encoding="ascii") as file:
        for line in file:
            words = line.split()
            if line.startswith("$scope"):
                depth += 1
            elif line.startswith("$upscope"):
                depth -= 1
            elif line.startswith("$var") and depth > 1 and words[4] in OUTPUTS:
                watched[words[3]] = "x" * int(words[2])
            elif line.startswith("#"):
                total += settle()
            elif line[0] in "01x" and line[1:].strip() in watched:
                now[line[1:].strip()] = line[0]
            elif line[0] == "b" and words[1] in watched:
                width = len(watched[words[1]])
                now[words[1]] = words[0][1:].rjust(width, "0")
    return total + settle()


# --- synthesis ------------------------------------------------------------------------------------------------------


def synthesized(operator: Operator) -> Any:
    """The operator's netlist of 7-series cells, as Yosys's design object. Needs pyosys."""
    from pyosys import libyosys

    design = libyosys.Design()
    chosen = " ".join(f"-set {name} {value}" for name, value in operator.parameters.items())
    for command in (
        f"read_verilog {operator.source}",
        f"chparam {chosen} {operator.module}" if chosen else "",
        f"synth_xilinx -family xc7 -nodsp -flatten -noiopad -noclkbuf -top {operator.module}",
    ):
        if command:
            libyosys.run_pass(f"tee -q -o /dev/null {command}", design)
    return design


def cells(design: Any) -> Counter[str]:
    """Cell type -> number."""
    module = design.top_module()
    return Counter(cell.type.str().removeprefix("\\") for cell in module.cells_.values())


def rows(operators: Sequence[Operator] = OPERATORS) -> Iterator[dict[str, object]]:
    """The rows of the table, made anew."""
    from importlib import metadata

    for operator in operators:
        design = synthesized(operator)
        found = cells(design)
        yield {
            "operator": operator.name,
            "module": operator.module,
            "parameters": " ".join(f"{name}={value}" for name, value in operator.parameters.items()),
            "operations": operator.operations,
            "luts": sum(n for name, n in found.items() if name.startswith("LUT") or name == "INV"),
            "carries": found["CARRY4"],
            "changes": changes(operator, design),
            "samples": SAMPLES,
            "tool": f"pyosys {metadata.version('pyosys')}",
        }


def main(arguments: Sequence[str]) -> int:
    """Print or write the table."""
    parser = argparse.ArgumentParser(prog="python -m accelerators.fpga_mac.operators",
                                     description=(__doc__ or "").split("\n")[0])  # fmt: skip
    parser.add_argument("--write", action="store_true", help="write operators.csv")
    given = parser.parse_args(arguments)
    made = list(rows())
    if given.write:
        with TABLE.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(made)
    for row in made:
        print(", ".join(f"{key} {value}" for key, value in row.items() if value != ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
