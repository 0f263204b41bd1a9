"""Generated sources, compiled and run in the emulator: the same files, another instruction set, the same words.

Needs the compilers, and the packages unicorn, capstone and pyelftools.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from accelerators.mcu.emulate import RAM_ADDRESS, RAM_BYTES, STACK_BYTES, Execution, Machine, load
from accelerators.mcu.toolchain import TEXT_ADDRESS, Isa, build

UNTOUCHED = 0xC5
ENTRY = "network_check"


@dataclass(frozen=True)
class Outcome:
    """`wrong`: how many bytes of the output differ from those in check.c. Sizes in bytes, measured."""

    wrong: int
    output: bytes
    text_bytes: int
    constant_bytes: int
    ram_bytes: int
    stack_bytes: int
    execution: Execution


def build_program(folder: Path, isa: Isa) -> Path:
    """The ELF of the sources in `folder`, with what nobody calls left out."""
    state = hashlib.sha256()
    for path in sorted(folder.glob("*.[ch]")):
        state.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    options = (f"-Wl,-Ttext={TEXT_ADDRESS:#x}", f"-Wl,--entry={ENTRY}", "-Wl,--gc-sections",
               f"-DNETWORK_DIGEST=0x{state.hexdigest()[:7]}")  # fmt: skip
    return build(isa, sorted(folder.glob("*.c")), options)


def run_program(
    folder: Path, isa: Isa, output: tuple[int, int], *, count: bool = False, time_limit_s: int = 600
) -> Outcome:
    """Run the check of the sources in `folder`. `output`: offset in the arena and size of the output.

    With `count` the executed instructions are counted (slow).
    """
    path = build_program(folder, isa)
    core = Machine(load(path, isa), count=count)
    stack = RAM_ADDRESS + RAM_BYTES - STACK_BYTES
    core.write(stack, bytes([UNTOUCHED]) * STACK_BYTES)
    execution = core.call(ENTRY, 0, time_limit_s=time_limit_s)
    left = core.read(stack, STACK_BYTES)
    used = STACK_BYTES - len(left) + len(left.lstrip(bytes([UNTOUCHED]))) - 16
    arena, sizes = _layout(path)
    return Outcome(core.result, core.read(arena + output[0], output[1]), *sizes, used, execution)


def _layout(path: Path) -> tuple[int, tuple[int, int, int]]:
    """The address of the arena, and bytes of code, constants and RAM."""
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        elf = ELFFile(file)
        sizes = {section.name.split(".")[1]: 0 for section in elf.iter_sections() if section.name.startswith(".")}
        for section in elf.iter_sections():
            if section.name.startswith("."):
                sizes[section.name.split(".")[1]] += section["sh_size"]
        arena = elf.get_section_by_name(".symtab").get_symbol_by_name("network_arena")[0]["st_value"]
    names = (("text",), ("rodata", "data", "sdata", "srodata"), ("bss", "sbss"))
    found = [sum(sizes.get(name, 0) for name in group) for group in names]
    return arena, (found[0], found[1], found[2])
