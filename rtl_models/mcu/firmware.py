"""The memory of a core: a compiled kernel with its few lines of start code, and behind them the numbers of a layer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from accelerators.mcu import kernels
from accelerators.mcu.emulate import load
from accelerators.mcu.kernels import POINTERS, Kernel, LayerData, Shape, arrays_of, layer_struct
from accelerators.mcu.toolchain import C_FOLDER, Isa, build
from hwsim.errors import bad_input
from hwsim.pure import ceil_div
from rtl_models.mcu.layers import golden

FOLDER = Path(__file__).parent / "firmware"
MEMORY_BYTES = 1 << 18
"""The parameter WORDS of hdl/mcu_system.sv."""
ENTRY = 0x80
PARAMETERS = ENTRY + 4
"""The number of calls and the address of the first layer, in firmware/start.S."""
STACK_BYTES = 1 << 10
ALIGNMENT_BYTES = 4
WORD_BYTES = 4
UNWRITTEN = b"\xa5"
"""What outputs hold before a call, to show what is not written."""


def linked(isa: Isa, sources: Sequence[Path], function: str) -> bytes:
    """The start code linked with `function` and what it calls, from address 0 on.

    Raises InputError where there is no compiler.
    """
    script = FOLDER / "link.ld"
    said = hashlib.sha256(script.read_bytes()).hexdigest()[:16]
    options = (f"-DKERNEL={function}", f"-DSTACK={MEMORY_BYTES}", f"-DLINK_{said}", f"-Wl,-T,{script}")
    program = load(build(isa, [FOLDER / "start.S", *sources], (*options, "-Wl,--gc-sections")), isa)
    content = bytearray(max(start + len(data) for start, data in program.segments))
    for start, data in program.segments:
        content[start : start + len(data)] = data
    return bytes(content)


@cache
def code_of(isa: Isa, kernel: Kernel) -> bytes:
    """`linked` for one kernel. All of them are compiled once and linked one by one."""
    return linked(isa, [build(isa, sorted(C_FOLDER.glob("*.c")), ("-r",))], kernel.name)


@dataclass(frozen=True)
class Image:
    """What a run begins with, where its outputs lie, and what must be there at its end."""

    content: bytes
    result_base: int
    results: bytes
    calls: int


def image_of(isa: Isa, kernel: Kernel, shape: Shape, data: LayerData, calls: int, spacing_bytes: int) -> Image:
    """The memory for `calls` calls of one layer, each with an output of its own.

    Raises InputError when it does not fit into the memory.
    """
    code = code_of(isa, kernel)
    arrays = {k: v for k, v in arrays_of(kernel, shape, data, isa).items() if k != "output"}
    content = bytearray(code)
    pointers = {name: _append(content, array, spacing_bytes) for name, array in arrays.items()}
    output = kernels.pack(golden(kernel, shape, data), kernel.out_bits)
    padding = bytes(-len(output) % WORD_BYTES)
    base = _append(content, (UNWRITTEN * len(output) + padding) * calls, spacing_bytes)
    output += padding
    structs = [layer_struct(pointers | {"output": base + i * len(output)}, shape, data) for i in range(calls)]
    first = _append(content, b"".join(structs), 0)
    set_parameters(content, calls, first)
    if len(content) > MEMORY_BYTES - STACK_BYTES:
        rule = f"a layer must fit into {MEMORY_BYTES - STACK_BYTES} bytes with its code"
        raise bad_input("memory", len(content), rule, "Make it smaller.")
    return Image(bytes(content), base, output * calls, calls)


def network_of(isa: Isa, folder: Path, output_bytes: int) -> tuple[bytes, int]:
    """The memory for one run of the network deployed to `folder` on its own check: where the result lies, a word that
    counts wrong bytes and then the bytes of the first output."""
    said = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.[ch]")))).hexdigest()[:16]
    arena = """-DNETWORK_ARENA=__attribute__((section(".arena")))"""
    options = ("-r", "-I", str(folder), arena, f"-DNETWORK_{said}")
    content = bytearray(
        linked(isa, [build(isa, [*sorted(folder.glob("*.c")), FOLDER / "network.c"], options)], "deployed")
    )
    base = _append(content, UNWRITTEN * (WORD_BYTES + output_bytes), 0)
    layer = _append(content, layer_struct(dict.fromkeys(POINTERS, 0) | {"output": base}, Shape(1, 1, 4, 1, 1, 4),
                                          LayerData(np.zeros(0, np.int64))), 0)  # fmt: skip
    set_parameters(content, 1, layer)
    return bytes(content), base


def set_parameters(content: bytearray, calls: int, layer: int) -> None:
    """Say how often to call, and where the first `struct nn_layer` lies."""
    content[PARAMETERS : PARAMETERS + 8] = calls.to_bytes(4, "little") + layer.to_bytes(4, "little")


def _append(content: bytearray, array: bytes, spacing_bytes: int) -> int:
    """Put an array behind what there is, at a multiple of the spacing; where it begins."""
    step = spacing_bytes or ALIGNMENT_BYTES
    content.extend(bytes(ceil_div(len(content), step) * step - len(content)))
    place = len(content)
    content.extend(array)
    content.extend(bytes(-len(content) % WORD_BYTES))
    return place


def words(content: bytes) -> list[int]:
    """Little-endian 32-bit words."""
    return [int.from_bytes(content[i : i + WORD_BYTES], "little") for i in range(0, len(content), WORD_BYTES)]
