"""What a firmware executes: its basic blocks and data accesses in order, call by call, from an emulator (unicorn).

The firmware announces each call by writing the registers of rtl_models/mcu: BEGIN and END around it, DONE at the end.
The emulator is exact in what is executed and knows no time.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

from accelerators.mcu.rv32.instructions import INSTRUCTION_BYTES, Instruction, decode

REGISTERS = 0xF000_0000
BEGIN, END, DONE = REGISTERS, REGISTERS + 4, REGISTERS + 8
_PAGE_BYTES = 4096
_SIZE_BITS = 16
LIMIT_S = 300


@dataclass(frozen=True)
class Trace:
    """blocks    of the whole run: address << 16 | bytes
    accesses  of the whole run: address << 1 | 1 for a write; registers left out; empty unless asked for
    spans     per call: blocks from, blocks to, accesses from, accesses to
    """

    memory: bytes
    blocks: array[int]
    accesses: array[int]
    spans: tuple[tuple[int, int, int, int], ...]

    def code(self, block: int) -> list[Instruction]:
        """The instructions of one block."""
        start, size = block >> _SIZE_BITS, block & (1 << _SIZE_BITS) - 1
        words = (self.memory[at : at + INSTRUCTION_BYTES] for at in range(start, start + size, INSTRUCTION_BYTES))
        return [decode(int.from_bytes(word, "little")) for word in words]


def block_start(block: int) -> int:
    """The address of a block's first instruction."""
    return block >> _SIZE_BITS


def block_end(block: int) -> int:
    """The address behind a block."""
    return (block >> _SIZE_BITS) + (block & (1 << _SIZE_BITS) - 1)


class _Run:
    """One execution; its hooks fill the lists."""

    def __init__(self, memory: bytes, size: int, data: bool) -> None:
        import unicorn as un

        self.blocks, self.accesses = array("q"), array("q")
        self.spans: list[tuple[int, int, int, int]] = []
        self.begun = (0, 0)
        self.done = False
        self.core = un.Uc(un.UC_ARCH_RISCV, un.UC_MODE_RISCV32)
        self.core.mem_map(0, size)
        self.core.mem_map(REGISTERS, _PAGE_BYTES)
        self.core.mem_write(0, memory)
        self.core.hook_add(un.UC_HOOK_BLOCK, self.block)
        self.core.hook_add(un.UC_HOOK_INTR, self.trap)
        self.core.hook_add(un.UC_HOOK_MEM_WRITE, self.register, None, REGISTERS, REGISTERS + _PAGE_BYTES)
        if data:
            self.core.hook_add(un.UC_HOOK_MEM_READ | un.UC_HOOK_MEM_WRITE, self.access, None, 0, size)

    def block(self, _core: object, address: int, size: int, _data: object) -> None:
        self.blocks.append(address << _SIZE_BITS | size)

    def access(self, _core: object, kind: int, address: int, _size: int, _value: int, _data: object) -> None:
        self.accesses.append(address << 1 | (kind == 17))

    def register(self, core: Any, _kind: int, address: int, _size: int, _value: int, _data: object) -> None:
        """A stamp. Its own block is not part of the call: the first begins behind it, the last ends before it."""
        now = (len(self.blocks), len(self.accesses))
        if address == BEGIN:
            self.begun = now
        elif address == END:
            self.spans.append((self.begun[0], now[0] - 1, self.begun[1], now[1]))
        else:
            self.done = True
            core.emu_stop()

    def trap(self, core: Any, number: int, _data: object) -> None:
        """Does a dot product of unsigned bytes that the emulator refused; the program counter is behind it already."""
        import unicorn.riscv_const as rv

        from accelerators.mcu.emulate import SDOTUP_B, SDOTUP_B_MASK

        word = int.from_bytes(core.mem_read(core.reg_read(rv.UC_RISCV_REG_PC) - INSTRUCTION_BYTES, 4), "little")
        if word & SDOTUP_B_MASK != SDOTUP_B:
            raise ValueError(f"trap {number}: {word:#010x}")
        target, first, second = (rv.UC_RISCV_REG_X0 + (word >> shift & 31) for shift in (7, 15, 20))
        a, b = (core.reg_read(register).to_bytes(4, "little") for register in (first, second))
        total = core.reg_read(target) + sum(x * y for x, y in zip(a, b, strict=True))
        core.reg_write(target, total & 0xFFFF_FFFF)


def traced(memory: bytes, entry: int, size: int, *, data: bool) -> Trace:
    """Run a firmware from `entry` in `size` bytes of memory to its end; with `data`, note its accesses (slower).

    Raises ValueError if it does not end.
    """
    run = _Run(memory, size, data)
    run.core.emu_start(entry, 0xFFFF_FFFC, timeout=LIMIT_S * 1_000_000)
    if not run.done:
        raise ValueError("the firmware did not end")
    return Trace(memory, run.blocks, run.accesses, tuple(run.spans))
