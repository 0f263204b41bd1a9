"""RV32IM words, and the packed dot products of XPULP, as far as timing needs to know them."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import NamedTuple

INSTRUCTION_BYTES = 4


class Kind(IntEnum):
    """What an instruction costs like."""

    ALU = 0
    SHIFT = 1
    MULTIPLY = 2
    MULTIPLY_HIGH = 3
    DIVIDE = 4
    LOAD = 5
    STORE = 6
    BRANCH = 7
    JUMP = 8
    JUMP_REGISTER = 9
    DOT = 10


class Instruction(NamedTuple):
    """One instruction: the register it writes (0: none), those it reads, and, for a branch, how far it goes."""

    kind: Kind
    writes: int
    reads: tuple[int, ...]
    distance_bytes: int = 0


LUI, AUIPC, OP_IMM, OP, LOAD, STORE, BRANCH, JAL, JALR, CUSTOM_3 = (
    0x37, 0x17, 0x13, 0x33, 0x03, 0x23, 0x63, 0x6F, 0x67, 0x7B,
)  # fmt: skip
"""Opcodes (The RISC-V Instruction Set Manual, volume I, RV32/64G listings). In custom-3 lies the SIMD of XPULP."""
_SHIFTS = (1, 5)
"""funct3 of shifts in OP and OP-IMM."""


def branch_distance(word: int) -> int:
    """The signed offset of a conditional branch."""
    offset = (word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | (word >> 8 & 0xF) << 1
    return offset - (offset >> 12 << 13)


def _operation(word: int) -> Kind:
    funct3, funct7 = word >> 12 & 7, word >> 25
    if funct7 == 1:
        return Kind.MULTIPLY if funct3 == 0 else Kind.MULTIPLY_HIGH if funct3 < 4 else Kind.DIVIDE
    return Kind.SHIFT if funct3 in _SHIFTS else Kind.ALU


@cache
def decode(word: int) -> Instruction:
    """What `word` is. Raises ValueError for what the kernels never execute (system instructions, fences)."""
    opcode, rd, rs1, rs2 = word & 0x7F, word >> 7 & 31, word >> 15 & 31, word >> 20 & 31
    if opcode in (LUI, AUIPC):
        return Instruction(Kind.ALU, rd, ())
    if opcode == OP_IMM:
        return Instruction(Kind.SHIFT if word >> 12 & 7 in _SHIFTS else Kind.ALU, rd, (rs1,))
    if opcode == BRANCH:
        return Instruction(Kind.BRANCH, 0, (rs1, rs2), branch_distance(word))
    if opcode == OP:
        return Instruction(_operation(word), rd, (rs1, rs2))
    plain = {
        LOAD: Instruction(Kind.LOAD, rd, (rs1,)),
        STORE: Instruction(Kind.STORE, 0, (rs1, rs2)),
        JAL: Instruction(Kind.JUMP, rd, ()),
        JALR: Instruction(Kind.JUMP_REGISTER, rd, (rs1,)),
        CUSTOM_3: Instruction(Kind.DOT, rd, (rs1, rs2, rd)),
    }
    if opcode not in plain:
        raise ValueError(f"{word:#010x} is no instruction of the kernels")
    return plain[opcode]
