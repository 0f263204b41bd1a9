"""Co-simulation: RTL cycles a second of the OPTIMUS circuit with 16 multipliers, on both simulators.

    python benchmarks/cosim.py

Each simulator runs the same long products in one process, beside the short cases of the suite on the same build, where
reading memories and starting up weigh more. The figure to hold is 200,000 cycles/s on Verilator.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from hwsim.cosim.case import Case, read_cases
from hwsim.cosim.compare import question
from hwsim.cosim.simulator import Built, build, run
from hwsim.cosim.toolchain import available
from rtl_models.optimus.bench import CIRCUIT

LONG = """circuit: optimus
design: {design}
tolerance: {{mape: 1 %, p95: 3 %, worst: 8 %, reason: a benchmark}}
cases:
  - name: long
    family: n16m4
    design: {{macs: 16, sets: 4, window: 8, rate: 4, weight_buffer: 1048576 bit, dram_channels: 20}}
    task: {{kind: sparse, products: {products}, rows: 12, outputs: 192, columns: 128, density: 900, shift: 16}}
    seed: 1
"""
PRODUCTS = {"verilator": 8, "icarus": 1}


def long_case(simulator: str) -> Case:
    """Products that keep the array busy for 15,000 cycles each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.yaml"
        design = CIRCUIT.cases.parent / "circuit.yaml"
        path.write_text(LONG.format(design=design, products=PRODUCTS[simulator]), encoding="utf-8")
        return read_cases(path, CIRCUIT).cases[0]


def rate(built: Built, cases: list[Case]) -> tuple[int, float, float]:
    """Cycles of these cases, and cycles a second while they run and of the whole process."""
    stimuli = [question(CIRCUIT, case).stimulus for case in cases]
    begun = time.perf_counter()
    seen = run(built, stimuli, ["cycles_total"])
    whole = time.perf_counter() - begun
    cycles = sum(one.cycles for one in seen)
    return cycles, cycles / sum(one.seconds for one in seen), cycles / whole


def main() -> None:
    """Print the table, and the ratio of the simulators."""
    rates = {}
    for simulator in available():
        long = long_case(simulator)
        parameters = long.parameters(CIRCUIT)
        built = build(CIRCUIT.hdl, parameters, simulator)
        short = [c for c in read_cases(CIRCUIT.cases, CIRCUIT).cases if c.parameters(CIRCUIT) == parameters]
        if simulator == "icarus":
            short = short[:4]
        for name, cases in (("one long run", [long]), (f"{len(short)} cases of the suite", short)):
            cycles, running, whole = rate(built, cases)
            print(f"{simulator:9}  {name:22} {cycles:>8,} cycles  {running:>9,.0f} cycles/s while running  "
                  f"{whole:>9,.0f} with the start of the process")  # fmt: skip
            rates.setdefault(simulator, running)
    if len(rates) == 2:
        print(f"Verilator runs {rates['verilator'] / rates['icarus']:.0f} times as fast as Icarus")


if __name__ == "__main__":
    main()
