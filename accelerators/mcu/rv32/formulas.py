"""Cycles of a layer as a formula of its shape, for cores without caches: loop trips times cycles a round.

No branch of the kernels depends on data, so what each function of `accelerators/mcu/c` takes, waits for operands
included (`pipeline`), is linear in the loop trips of `accelerators.mcu.mixes`. `formulas.json` holds the integers by
core, solved for as the instruction mixes are, beside the compiler and the cycles of the designs they follow from.

    python -m accelerators.mcu.rv32.formulas --write
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from accelerators.mcu import mixes
from accelerators.mcu.emulate import Machine, Program, load
from accelerators.mcu.kernels import Kernel, Shape
from accelerators.mcu.rv32 import pipeline
from accelerators.mcu.rv32.design import Design
from accelerators.mcu.rv32.instructions import INSTRUCTION_BYTES, Instruction, decode
from accelerators.mcu.rv32.trace import block_end, block_start
from accelerators.mcu.toolchain import C_FOLDER, Isa, compiler_version, digest, library

TABLE = Path(__file__).resolve().parent / "formulas.json"
CORES = {Isa.RV32IM: ("picorv32", "ibex", "cv32e40p"), Isa.XPULP: ("cv32e40p",)}
"""The cores without caches, by what they can run."""


@cache
def _table() -> dict[str, Any]:
    return dict(json.loads(TABLE.read_text(encoding="utf-8")))


def layer_cycles(core: str, isa: Isa, kernel: Kernel, shape: Shape) -> int:
    """Cycles of one layer on one of `CORES`: from the call to the stamp behind it."""
    entry, done = _table()[isa.name.lower()], mixes.trips(kernel, shape)
    rounds = (mixes.Trips(**entry["functions"][name].get(core, {})) for name in kernel.parts(isa))
    return int(entry["stamp"][core]) + sum(mixes.executed(one, done) for one in rounds)


def timing_of(design: Design) -> dict[str, int]:
    """The fields that cycles depend on."""
    fields = dataclasses.asdict(design)
    return {name: value for name, value in fields.items() if name.endswith("_cycles") or name == "store_slots"}


# --- measuring and solving --------------------------------------------------------------------------------------------


class Recorder(Machine):
    """The emulator that also notes every block in order."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.order = array("q")

    def _block(self, core: object, address: int, size: int, data: object) -> None:
        super()._block(core, address, size, data)
        self.order.append(address << 16 | size)


def instructions(program: Program, block: int) -> list[Instruction]:
    """The instructions of a block."""
    content = program.code(block_start(block), block_end(block) - block_start(block))
    words = (content[at : at + INSTRUCTION_BYTES] for at in range(0, len(content), INSTRUCTION_BYTES))
    return [decode(int.from_bytes(word, "little")) for word in words]


def cycles_by_function(program: Program, blocks: Sequence[int], design: Design) -> Counter[str]:
    """Cycles of each function in a call that ran these blocks."""
    codes = {block: instructions(program, block) for block in set(blocks)}
    function = {block: program.function_at(block_start(block)) for block in codes}
    total: Counter[str] = Counter()
    for block, passage in zip(blocks, pipeline.passages(blocks, codes, design), strict=True):
        total[function[block]] += passage.waited
    for (block, following), times in Counter(pairwise([*blocks, 0])).items():
        taken = block_end(block) != block_start(following)
        issue = sum(pipeline.issue_cycles(one, taken, design) for one in codes[block])
        total[function[block]] += issue * times
    return total


def measured(isa: Isa, designs: Mapping[str, Design], seed: int) -> dict[str, list[mixes.Sample]]:
    """Samples by function, cycles by core: every kernel run on random shapes with random data."""
    import numpy as np

    from accelerators.mcu import kernels as k

    rng = np.random.default_rng(seed)
    recorder = Recorder(load(library(isa), isa))
    samples: dict[str, list[mixes.Sample]] = defaultdict(list)
    for kernel in k.all_kernels():
        for shape in mixes.designed_shapes(kernel, rng):
            del recorder.order[:]
            k.run_layer(isa, kernel, shape, k.random_data(kernel, shape, rng), core=recorder)
            blocks = recorder.order
            found = {core: cycles_by_function(recorder.program, blocks, one) for core, one in designs.items()}
            for function in kernel.parts(isa):
                cycles = {core: by_function[function] for core, by_function in found.items()}
                samples[function].append((mixes.trips(kernel, shape), cycles))
    return samples


def solved(isa: Isa, designs: Mapping[str, Design], seed: int) -> dict[str, Any]:
    """The entry of one instruction set. Raises ValueError where cycles are not linear in the trips."""
    samples = measured(isa, designs, seed)
    return {
        "compiler": compiler_version(isa),
        "build": digest(isa, sorted(C_FOLDER.glob("*.c")), ()),
        "timing": {core: timing_of(design) for core, design in designs.items()},
        "stamp": {core: design.jump_cycles + design.store_cycles for core, design in designs.items()},
        "functions": {name: mixes.solve(name, found) for name, found in sorted(samples.items())},
    }


def write(seed: int = 1) -> None:
    """Measure, solve and write `formulas.json`."""
    from hwsim.config import load_design

    entries = {
        isa.name.lower(): solved(isa, {core: load_design(core).design for core in cores}, seed)
        for isa, cores in CORES.items()
    }
    TABLE.write_text(_json(entries), encoding="utf-8")
    _table.cache_clear()


def _json(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The table with a function a line."""
    parts = []
    for isa, entry in entries.items():
        heads = [f'"{key}": {json.dumps(value)}' for key, value in entry.items() if key != "functions"]
        functions = ",\n".join(f"   {json.dumps(name)}: {json.dumps(got)}" for name, got in entry["functions"].items())
        body = ",\n  ".join([*heads, f'"functions": {{\n{functions}\n  }}'])
        parts.append(f' "{isa}": {{\n  {body}\n }}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main(arguments: Sequence[str]) -> int:
    """`--write` makes the table."""
    parser = argparse.ArgumentParser(prog="python -m accelerators.mcu.rv32.formulas")
    parser.add_argument("--write", action="store_true", required=True, help="trace, solve and write formulas.json")
    parser.parse_args(arguments)
    write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
