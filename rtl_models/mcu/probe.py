"""Measures on the RTL what instructions cost: python -m rtl_models.mcu.probe [CORE...]

Each line is a loop whose body is a few instructions; printed are the cycles of one round less those of an empty loop.
This is where the figures in the designs come from that no documentation has.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from accelerators.mcu.toolchain import Isa
from hwsim.cosim.circuit import Image, Stimulus
from hwsim.cosim.simulator import build, run
from rtl_models.mcu import firmware
from rtl_models.mcu.cores import SOURCES, hdl_of

ROUNDS = (50, 150)
LIMIT = 1_000_000

_SOURCE = """
    .text
    .globl probe
probe:
    mv t6, ra
    li t0, {rounds}
    li a1, 0x8000
    li a2, 3
    li a3, 5
    .balign 32
1:
    {body}
    addi t0, t0, -1
    bnez t0, 1b
    mv ra, t6
    ret
9:  ret
"""

_NOPS = ("nop",) * 4
BODIES: Mapping[str, Sequence[str]] = {
    "nop": ("nop",),
    "shift, used next": ("sll a4, a2, a3", "add a5, a4, a3", *_NOPS),
    "mul, not used": ("mul a4, a2, a3", "nop", *_NOPS),
    "mul, used next": ("mul a4, a2, a3", "add a5, a4, a3", *_NOPS),
    "mul, used then": ("mul a4, a2, a3", "nop", "add a5, a4, a3", *_NOPS),
    "mulh, not used": ("mulh a4, a2, a3", "nop", *_NOPS),
    "divu, not used": ("divu a4, a2, a3", "nop", *_NOPS),
    "divu, used next": ("divu a4, a2, a3", "add a5, a4, a3", *_NOPS),
    "load, not used": ("lw a4, 0(a1)", "nop", *_NOPS),
    "load, used next": ("lw a4, 0(a1)", "add a5, a4, a3", *_NOPS),
    "load, used then": ("lw a4, 0(a1)", "nop", "add a5, a4, a3", *_NOPS),
    "one store": ("sw a2, 0(a1)", *_NOPS),
    "two stores": ("sw a2, 0(a1)",) * 2 + _NOPS,
    "three stores": ("sw a2, 0(a1)",) * 3 + _NOPS,
    "six stores": ("sw a2, 0(a1)",) * 6 + _NOPS,
    "store, every other": ("sw a2, 0(a1)", "nop") * 6,
    "branch ahead, taken": ("beqz x0, 2f", "nop", "2:", *_NOPS),
    "branch ahead, not taken": ("bnez x0, 2f", "nop", "2:", *_NOPS),
    "branch back, not taken": ("j 2f", "3: nop", "2: bnez x0, 3b", *_NOPS),
    "branch back, taken": ("j 2f", "3: j 4f", "2: beqz x0, 3b", "4: nop", *_NOPS),
    "jump": ("j 2f", "2:", *_NOPS),
    "call and return": ("jal ra, 9f", *_NOPS),
    "two loads on one line": ("li a6, 0x9000", "li a5, 0x9004", "lw a4, 0(a6)", "lw a4, 0(a5)", *_NOPS),
    "two loads 4 KiB apart": ("li a6, 0x9000", "li a5, 0xA000", "lw a4, 0(a6)", "lw a4, 0(a5)", *_NOPS),
    "four stores, then both": (
        "li a6, 0x9000",
        "li a5, 0xA000",
        *("sw a2, 0(a1)",) * 4,
        "lw a4, 0(a6)",
        "lw a4, 0(a5)",
        *_NOPS,
    ),
    "1200 nops": ("nop",) * 1200,
}


def _stimulus(body: Sequence[str], rounds: int, folder: Path) -> Stimulus:
    source = folder / "probe.S"
    source.write_text(_SOURCE.format(rounds=rounds, body="\n    ".join(body)), encoding="ascii")
    content = bytearray(firmware.linked(Isa.RV32IM, [source], "probe"))
    firmware.set_parameters(content, 2, 0)
    image = Image(32, firmware.words(bytes(content)))
    return Stimulus({"result_base": 0, "result_words": 1}, {"program": image}, {}, limit=LIMIT)


def measured(core: str) -> dict[str, float]:
    """Cycles of one round of each body less those of an empty one. Raises InputError where a tool is missing."""
    bodies = {"": (), **BODIES}
    with tempfile.TemporaryDirectory() as name:
        stimuli = [_stimulus(body, rounds, Path(name)) for body in bodies.values() for rounds in ROUNDS]
    seen = [int(one.counters["cycles_total"] or 0) for one in run(build(hdl_of(core), {}, "verilator"), stimuli,
                                                                  ["cycles_total"])]  # fmt: skip
    rounds = [(more - fewer) / (ROUNDS[1] - ROUNDS[0]) for fewer, more in zip(seen[::2], seen[1::2], strict=True)]
    return {name: cycles - rounds[0] for name, cycles in zip(bodies, rounds, strict=True) if name}


def main(cores: Sequence[str]) -> None:
    """Print a table, a column a core."""
    tables = {core: measured(core) for core in cores or SOURCES}
    print(f"{'':26}" + "".join(f"{core:>12}" for core in tables))
    for name in BODIES:
        print(f"{name:26}" + "".join(f"{table[name]:12.2f}" for table in tables.values()))


if __name__ == "__main__":
    main(sys.argv[1:])
