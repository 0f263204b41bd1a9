"""What a layer executes as a formula of its shape, and its cycles on cores without caches.

No branch of the kernels depends on data, so what each function of `accelerators/mcu/c` executes is linear in the loop
trips of `accelerators.mcu.mixes`: instructions by kind, branches by direction and outcome, and pairs of instructions of
which the second needs what the first has just made. `formulas.json` holds the integers by instruction set, solved for
as the instruction mixes are, beside the compiler. Where no result is late by more than a cycle and no address matters,
such pairs are all that waits, and the cycles of any layer follow (`call_of_layer`).

    python -m accelerators.mcu.rv32.formulas --write
"""

from __future__ import annotations

import argparse
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
from accelerators.mcu.rv32.design import Design
from accelerators.mcu.rv32.instructions import INSTRUCTION_BYTES, Instruction, Kind, decode
from accelerators.mcu.rv32.profile import Call
from accelerators.mcu.rv32.trace import block_end, block_start
from accelerators.mcu.toolchain import C_FOLDER, Isa, compiler_version, digest, library

TABLE = Path(__file__).resolve().parent / "formulas.json"
ISAS = (Isa.RV32IM, Isa.XPULP)

EXECUTED = ("alu", "shift", "multiply", "multiply_high", "divide", "dot", "load", "store", "taken_back", "taken_ahead",
            "passed_back", "passed_ahead", "jump", "jump_register")  # fmt: skip
"""Fields of `Call` that depend on the compiled code alone."""

PAIRS = {
    Kind.SHIFT: "after_shift",
    Kind.MULTIPLY: "after_multiply",
    Kind.MULTIPLY_HIGH: "after_multiply",
    Kind.DIVIDE: "after_divide",
    Kind.LOAD: "after_load",
}
"""An instruction that needs the result of one of this kind right before it."""

JUMP_PAIR = "jump_register_after"
"""A jump to an address that the instruction before it made."""

STAMP = Counter({"jump": 1, "store": 1})
"""The call of a layer, and the stamp behind it."""


@cache
def _table() -> dict[str, Any]:
    return dict(json.loads(TABLE.read_text(encoding="utf-8")))


def rounds_of(isa: Isa, function: str) -> dict[str, dict[str, int]]:
    """What `formulas.json` says of one function of `c/`: by measure, occurrences a round of each loop."""
    entry = _table()[isa.name.lower()]
    return dict(entry["mixes"][entry["functions"][function]])


@cache
def _mixes(isa: Isa, kernel: Kernel) -> dict[str, mixes.Trips]:
    """By measure, occurrences a round of every loop of the kernel's functions together."""
    total: dict[str, Counter[str]] = defaultdict(Counter)
    for name in kernel.parts(isa):
        for measure, loops in rounds_of(isa, name).items():
            total[measure].update(loops)
    return {measure: mixes.Trips(**loops) for measure, loops in total.items()}


def measures_of(isa: Isa, kernel: Kernel, shape: Shape) -> Counter[str]:
    """`EXECUTED`, `PAIRS` and `JUMP_PAIR` of one layer, from its call to the stamp behind it."""
    done = mixes.trips(kernel, shape)
    found = {measure: mixes.executed(mix, done) for measure, mix in _mixes(isa, kernel).items()}
    return Counter(found) + STAMP


def obstacle(design: Design) -> str:
    """Why the cycles of a layer on this core are no formula of its shape; empty where they are."""
    if design.icache_bits or design.dcache_bits:
        return "with caches the cycles of a layer depend on addresses"
    if design.store_bus_cycles or design.store_slots:
        return "with stores under way the cycles of a layer depend on when they began"
    late = (design.shift_use_cycles, design.multiply_use_cycles, design.divide_use_cycles, design.load_use_cycles)
    if max(late) > 1:
        return "with results late by more than a cycle the cycles of a layer depend on more than neighbours"
    return ""


def wait_cycles(design: Design, measures: Mapping[str, int]) -> int:
    """Cycles that instructions wait for results of the one before, of a design without `obstacle`."""
    return (
        measures["after_shift"] * design.shift_use_cycles
        + measures["after_multiply"] * design.multiply_use_cycles
        + measures["after_divide"] * design.divide_use_cycles
        + measures["after_load"] * design.load_use_cycles
        + measures[JUMP_PAIR] * design.jump_register_use_cycles
    )


def call_of_layer(design: Design, isa: Isa, kernel: Kernel, shape: Shape) -> Call:
    """What one layer asks of a core without `obstacle`: as `profile.call_of` has it from a trace."""
    measures = measures_of(isa, kernel, shape)
    executed = {name: measures[name] for name in EXECUTED}
    return Call(**executed, wait_cycles=wait_cycles(design, measures), fetch_misses=0, load_misses=0)


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


def pair_of(before: Instruction, after: Instruction) -> list[str]:
    """Which of `PAIRS` and `JUMP_PAIR` two instructions in a row are."""
    if not before.writes or before.writes not in after.reads:
        return []
    late = [PAIRS[before.kind]] if before.kind in PAIRS else []
    return [*late, JUMP_PAIR] if after.kind == Kind.JUMP_REGISTER else late


def measure_of(instruction: Instruction, taken: bool) -> str:
    """Which of `EXECUTED` an instruction is."""
    if instruction.kind != Kind.BRANCH:
        return instruction.kind.name.lower()
    return f"{'taken' if taken else 'passed'}_{'back' if instruction.distance_bytes < 0 else 'ahead'}"


def measures_of_passage(before: Sequence[Instruction], block: Sequence[Instruction], taken: bool) -> Counter[str]:
    """One pass through a block behind another; `taken`: whether the branch that ends it is."""
    found = Counter(measure_of(one, taken) for one in block)
    for pair in pairwise([*before[-1:], *block]):
        found.update(pair_of(*pair))
    return found


def measures_by_function(program: Program, blocks: Sequence[int]) -> dict[str, Counter[str]]:
    """What each function did in a call that ran these blocks."""
    codes = {block: instructions(program, block) for block in set(blocks)}
    total: dict[str, Counter[str]] = defaultdict(Counter)
    for (before, block, following), times in Counter(zip([0, *blocks], blocks, [*blocks[1:], 0], strict=False)).items():
        taken = block_end(block) != block_start(following)
        found = measures_of_passage(codes.get(before, ()), codes[block], taken)
        function = program.function_at(block_start(block))
        total[function].update({measure: n * times for measure, n in found.items()})
    return total


def measured(isa: Isa, seed: int) -> dict[str, list[mixes.Sample]]:
    """Samples by function: every kernel run on random shapes with random data."""
    import numpy as np

    from accelerators.mcu import kernels as k

    rng = np.random.default_rng(seed)
    recorder = Recorder(load(library(isa), isa))
    samples: dict[str, list[mixes.Sample]] = defaultdict(list)
    for kernel in k.all_kernels():
        for shape in mixes.designed_shapes(kernel, rng):
            del recorder.order[:]
            k.run_layer(isa, kernel, shape, k.random_data(kernel, shape, rng), core=recorder)
            found = measures_by_function(recorder.program, recorder.order)
            for function in kernel.parts(isa):
                samples[function].append((mixes.trips(kernel, shape), found.get(function, {})))
    return samples


def solved(isa: Isa, seed: int) -> dict[str, Any]:
    """The entry of one instruction set. Raises ValueError where a count is not linear in the trips."""
    functions = {name: mixes.solve(name, found) for name, found in sorted(measured(isa, seed).items())}
    return {
        "compiler": compiler_version(isa),
        "build": digest(isa, sorted(C_FOLDER.glob("*.c")), ()),
        **_shared(functions),
    }


def _shared(functions: Mapping[str, Any]) -> dict[str, Any]:
    """Equal mixes once, and which of them each function has."""
    different: list[Any] = []
    for mix in functions.values():
        if mix not in different:
            different.append(mix)
    return {"functions": {name: different.index(mix) for name, mix in functions.items()}, "mixes": different}


def write(seed: int = 1) -> None:
    """Measure, solve and write `formulas.json`."""
    entries = {isa.name.lower(): solved(isa, seed) for isa in ISAS}
    TABLE.write_text(_json(entries), encoding="utf-8")
    _table.cache_clear()
    _mixes.cache_clear()


def _json(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """The table with a function and a mix a line."""
    parts = []
    for isa, entry in entries.items():
        heads = [f'"{key}": {json.dumps(entry[key])}' for key in ("compiler", "build")]
        functions = ",\n".join(f"   {json.dumps(name)}: {index}" for name, index in entry["functions"].items())
        rounds = ",\n".join(f"   {json.dumps(mix)}" for mix in entry["mixes"])
        body = ",\n  ".join([*heads, f'"functions": {{\n{functions}\n  }}', f'"mixes": [\n{rounds}\n  ]'])
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
