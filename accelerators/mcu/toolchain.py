"""Compilers of the kernels in `c/`, found on PATH, run without a shell, their output kept by content.

What is compiled with which flags stands in `TARGETS`. A build lands in `$HWSIM_CACHE` (default `~/.cache/hwsim`) under
the hash of its sources, flags and compiler version, so a changed source is a new build and an unchanged one is none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

from hwsim.errors import bad_input

C_FOLDER = Path(__file__).resolve().parent / "c"

TEXT_ADDRESS = 0x0001_0000
"""Where `library` links the code: above the first 2 KiB, which RISC-V linkers address in one instruction less."""


class Isa(IntEnum):
    """The instruction sets that the kernels have a back end for."""

    ARMV7EM = 0
    RV32IM = 1
    XPULP = 2


@dataclass(frozen=True, slots=True)
class Target:
    """How one instruction set is compiled for."""

    compiler: str
    package: str
    flags: tuple[str, ...]


COMMON_FLAGS = (
    "-O2",
    "-std=c11",
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-tree-loop-distribute-patterns",  # no calls of memset, which a program without a C library lacks
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Werror",
)

RISCV = ("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf")

TARGETS = {
    # Scheduling before register allocation and rewritten induction variables need more than the 14 registers there are:
    # with both the inner loop of the 8-bit product has 26 instructions, without them 20.
    Isa.ARMV7EM: Target(
        "arm-none-eabi-gcc",
        "gcc-arm-none-eabi",
        ("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=soft", "-fno-schedule-insns", "-fno-ivopts"),
    ),
    Isa.RV32IM: Target(*RISCV, ("-march=rv32im", "-mabi=ilp32")),
    Isa.XPULP: Target(*RISCV, ("-march=rv32im", "-mabi=ilp32", "-DNN_XPULP=1", "-fno-ivopts")),
}


def find_compiler(isa: Isa) -> str:
    """The path of the compiler for `isa`. Raises InputError naming the Debian package if there is none on PATH."""
    target = TARGETS[isa]
    found = shutil.which(target.compiler)
    if found is None:
        raise bad_input(
            "no-compiler",
            "nothing",
            f"kernels for {isa.name.lower()} are compiled with {target.compiler}, which must be on PATH",
            f"Install it: apt-get install {target.package}",
            key=target.compiler,
        )
    return found


@cache
def compiler_version(isa: Isa) -> str:
    """The first line that the compiler says of itself."""
    done = subprocess.run([find_compiler(isa), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def flags_of(isa: Isa) -> tuple[str, ...]:
    """All compiler flags of `isa`, in order."""
    return COMMON_FLAGS + TARGETS[isa].flags


def cache_folder() -> Path:
    """Where builds are kept."""
    return Path(os.environ.get("HWSIM_CACHE") or Path.home() / ".cache" / "hwsim")


def digest(isa: Isa, sources: Sequence[Path], options: Sequence[str]) -> str:
    """A name for what the compiler would make of `sources` and everything in `c/`."""
    state = hashlib.sha256(repr((compiler_version(isa), flags_of(isa), tuple(options))).encode())
    for path in sorted({*sources, *C_FOLDER.glob("*.[ch]")}):
        state.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()[:24]


def build(isa: Isa, sources: Sequence[Path], options: Sequence[str] = ()) -> Path:
    """An ELF linked from C or assembler `sources`, which may include the headers in `c/`; kept in the cache.

    `options` go to the compiler behind the flags of the target, for instance `("-T", "link.ld")`. Raises InputError if
    the compiler is missing or refuses a source, with its first message.
    """
    compiler = find_compiler(isa)
    kept = cache_folder() / "mcu" / f"{isa.name.lower()}-{digest(isa, sources, options)}.elf"
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        made = Path(folder) / "made.elf"
        command = [compiler, *flags_of(isa), "-I", str(C_FOLDER), *map(str, sources), "-nostdlib", *options]
        done = subprocess.run([*command, "-lgcc", "-o", str(made)], capture_output=True, text=True, check=False)
        if done.returncode:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
            raise bad_input("compile", first, "sources must compile without warnings", key=Path(compiler).name)
        made.replace(kept)
    return kept


def library(isa: Isa) -> Path:
    """An ELF with every kernel, linked at `TEXT_ADDRESS` for the emulator."""
    return build(isa, sorted(C_FOLDER.glob("*.c")), (f"-Wl,-Ttext={TEXT_ADDRESS:#x}", "-Wl,--entry=0"))
