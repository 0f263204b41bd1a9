"""Runs compiled functions in an emulator (unicorn) and counts what was executed, by class and by function.

The emulator is exact in what is executed and knows no time. Counts are taken per basic block and multiplied out with
the classes of its instructions, which capstone names; a mnemonic that `CLASS_OF` does not list is an error, never
uncounted. The dot products of XPULP, unknown to the emulator, trap and are done here.

Needs the packages unicorn, capstone and pyelftools.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from accelerators.mcu.toolchain import Isa

CLASSES = (
    "alu",
    "multiply",
    "dot",
    "simd",
    "divide",
    "load",
    "store",
    "load_multiple",
    "store_multiple",
    "predicate",
    "branch_taken",
    "branch_not_taken",
    "jump",
    "call",
    "return",
)
"""Classes of instructions; every executed instruction is in one of them.

alu: one-cycle integer work, shifts, moves. multiply: products and multiply-accumulate of 32-bit words. dot: SMLAD,
cv.sdotup.b. simd: other work on halves, bytes or with saturation. load_multiple, store_multiple: LDRD, LDM, POP and
STRD, STM, PUSH. predicate: IT; an instruction that it voids counts like any other, since it takes its slot in the
pipeline. jump: unconditional. return: also POP into the program counter.
"""

WORDS = ("load_words", "store_words")
"""Not instructions: the words that load_multiple, store_multiple and POP into the program counter moved."""

MEASURES = CLASSES + WORDS

_ARM = {
    "alu": "adc add addw adr and asr bfc bfi bic clz cmn cmp eor lsl lsr mov movs movt movw mvn nop orn orr rbit rev "
    "ror rrx rsb sbc sbfx sub subw sxtb sxth teq tst ubfx uxtb uxth uxtab uxtah sxtab sxtah",
    "multiply": "mla mls mul smlabb smlabt smlatb smlatt smlal smlalbb smmul smulbb smulbt smultb smultt smull umlal "
    "umull",
    "dot": "smlad",
    "simd": "pkhbt pkhtb ssat ssub16 usat uxtb16",
    "divide": "sdiv udiv",
    "load": "ldr ldrb ldrh ldrsb ldrsh",
    "store": "str strb strh",
    "load_multiple": "ldm ldmdb ldrd pop",
    "store_multiple": "push stm stmdb strd",
    "predicate": "it",
    "branch": "b cbz cbnz",
    "call": "bl blx",
    "return": "bx",
}

_RISCV = {
    "alu": "add addi and andi auipc lui or ori sll slli slt slti sltiu sltu sra srai srl srli sub xor xori",
    "multiply": "mul mulh mulhsu mulhu",
    "divide": "div divu rem remu",
    "load": "lb lbu lh lhu lw",
    "store": "sb sh sw",
    "branch": "beq bge bgeu blt bltu bne",
    "jump": "jal jalr",
    "dot": "cv.sdotup.b",
}

CLASS_OF = {
    True: {mnemonic: name for name, mnemonics in _ARM.items() for mnemonic in mnemonics.split()},
    False: {mnemonic: name for name, mnemonics in _RISCV.items() for mnemonic in mnemonics.split()},
}
"""Class by mnemonic: of ARM (True) and of RISC-V (False). "branch" is split into taken and not taken when counted."""

SDOTUP_B_MASK, SDOTUP_B = 0xFE00707F, 0x9800107B
"""cv.sdotup.b: funct7 0x4c, funct3 1, opcode 0x7b (cv32e40p_decoder.sv)."""

RAM_ADDRESS, RAM_BYTES = 0x2000_0000, 0x0010_0000
STACK_BYTES = 0x1000
_PAGE = 0x1000


@dataclass(frozen=True, slots=True)
class Block:
    """A basic block: its function, how often each measure counts when it runs, and how it ends."""

    function: str
    measures: Counter[str]
    conditional: bool


@dataclass(frozen=True, slots=True)
class Execution:
    """What one call executed: measures by function, and bytes read and written by array if they were watched."""

    functions: Mapping[str, Mapping[str, int]]
    bytes_read: Mapping[str, int]
    bytes_written: Mapping[str, int]

    @property
    def total(self) -> Counter[str]:
        """Measures of all functions together."""
        total: Counter[str] = Counter()
        for measures in self.functions.values():
            total.update(measures)
        return total

    @property
    def instructions(self) -> int:
        """Instructions executed."""
        return sum(n for name, n in self.total.items() if name in CLASSES)


@dataclass(frozen=True)
class Program:
    """An ELF: its loaded bytes, its functions by address, and their sizes."""

    isa: Isa
    segments: tuple[tuple[int, bytes], ...]
    symbols: Mapping[str, tuple[int, int]]
    global_pointer: int = 0
    """Where RISC-V's linker takes register gp to point, which start-up code sets; 0 for a program without."""

    @property
    def is_arm(self) -> bool:
        return self.isa == Isa.ARMV7EM

    @cached_property
    def _starts(self) -> list[tuple[int, str]]:
        return sorted((address, name) for name, (address, _) in self.symbols.items())

    def function_at(self, address: int) -> str:
        """The name of the function that `address` lies in."""
        start, name = self._starts[bisect.bisect(self._starts, (address, "\x7f")) - 1]
        if address >= start + self.symbols[name][1]:
            raise ValueError(f"{address:#x} lies in no function")
        return name

    def code(self, address: int, size: int) -> bytes:
        """`size` bytes of the loaded image."""
        for start, data in self.segments:
            if start <= address < start + len(data):
                return data[address - start : address - start + size]
        raise ValueError(f"{address:#x} is not loaded")


def load(path: Path, isa: Isa) -> Program:
    """The program in an ELF file."""
    from elftools.elf.elffile import ELFFile

    with path.open("rb") as file:
        elf = ELFFile(file)
        # What a program zeroes before it starts (.bss) takes no room in the file.
        segments = tuple(
            (s["p_vaddr"], s.data().ljust(s["p_memsz"], b"\0")) for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"
        )
        table = elf.get_section_by_name(".symtab")
        functions = [s for s in table.iter_symbols() if s["st_info"]["type"] == "STT_FUNC"]
        pointer = next((s["st_value"] for s in table.iter_symbols() if s.name == "__global_pointer$"), 0)
    return Program(isa, segments, {s.name: (s["st_value"] & ~1, s["st_size"]) for s in functions}, pointer)


# --- what a block counts ----------------------------------------------------------------------------------------------


@cache
def _disassembler(arm: bool) -> Any:
    import capstone as cs

    made = (
        cs.Cs(cs.CS_ARCH_ARM, cs.CS_MODE_THUMB | cs.CS_MODE_MCLASS)
        if arm
        else cs.Cs(cs.CS_ARCH_RISCV, cs.CS_MODE_RISCV32)
    )
    made.detail = True
    return made


def _arm_class(instruction: Any) -> Counter[str]:
    """Measures of one ARM instruction; "branch" stands for a conditional one."""
    from capstone import arm

    name = instruction.insn_name()
    kind = CLASS_OF[True][name]
    registers = [o.reg for o in instruction.operands if o.type == arm.ARM_OP_REG]
    if kind == "branch" and name == "b" and instruction.cc in (arm.ARM_CC_AL, arm.ARM_CC_INVALID):
        return Counter(jump=1)
    if kind in {"load_multiple", "store_multiple"}:
        based = name not in {"push", "pop"} and name not in {"ldrd", "strd"}
        words = {kind.replace("multiple", "words"): len(registers) - based}
        return Counter({"return" if arm.ARM_REG_PC in registers else kind: 1} | words)
    return Counter({kind: 1})


def _riscv_class(name: str, word: int) -> Counter[str]:
    """Measures of one RISC-V instruction; "branch" stands for a conditional one."""
    kind = CLASS_OF[False][name]
    links, source = word >> 7 & 31, word >> 15 & 31
    if kind == "jump" and links:
        return Counter(call=1)
    return Counter({"return" if name == "jalr" and source == 1 else kind: 1})


def _instructions(program: Program, address: int, size: int) -> list[Counter[str]]:
    """Measures of each instruction of a block."""
    code = program.code(address, size)
    found = []
    if program.is_arm:
        found = [_arm_class(i) for i in _disassembler(True).disasm(code, address)]
        used = sum(i.size for i in _disassembler(True).disasm(code, address))
        if used != size:
            raise ValueError(f"not disassembled at {address + used:#x}")
        return found
    for offset in range(0, size, 4):
        word = int.from_bytes(code[offset : offset + 4], "little")
        if word & SDOTUP_B_MASK == SDOTUP_B:
            found.append(Counter(dot=1))
        else:
            one = next(_disassembler(False).disasm(code[offset : offset + 4], address + offset))
            found.append(_riscv_class(one.insn_name(), word))
    return found


def _decode(program: Program, address: int, size: int) -> Block:
    parts = _instructions(program, address, size)
    measures: Counter[str] = Counter()
    for part in parts:
        measures.update(part)
    conditional = measures.pop("branch", 0)
    if conditional and "branch" not in parts[-1]:
        raise ValueError(f"a branch inside the block at {address:#x}")
    return Block(program.function_at(address), measures, bool(conditional))


# --- running ----------------------------------------------------------------------------------------------------------


class Machine:
    """A core with one program loaded and 1 MiB of memory, which calls functions of one pointer argument.

    `watch`: note which bytes of which arrays are read and written. `step`: note each instruction by itself too, in
    `steps`: the slow twin of counting by block. Both are slow, and fixed for good because the emulator lets only hooks
    that were there before the first run see all code. Without `count` nothing is counted, which is many times faster.
    """

    def __init__(self, program: Program, *, watch: bool = False, step: bool = False, count: bool = True) -> None:
        import unicorn as un

        self.program = program
        self._blocks: dict[int, Block] = {}
        self._edges: Counter[tuple[int, int]] = Counter()
        self._last = 0
        self._arrays: list[tuple[int, int, str]] = []
        self._traffic: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        if program.is_arm:
            self._core = un.Uc(un.UC_ARCH_ARM, un.UC_MODE_THUMB | un.UC_MODE_MCLASS)
            self._core.ctl_set_cpu_model(un.arm_const.UC_CPU_ARM_CORTEX_M7)
        else:
            self._core = un.Uc(un.UC_ARCH_RISCV, un.UC_MODE_RISCV32)
            self._core.hook_add(un.UC_HOOK_INTR, self._trap)
        self._map()
        if count:
            self._core.hook_add(un.UC_HOOK_BLOCK, self._block)
        self.steps: Counter[int] = Counter()
        if watch:
            self._core.hook_add(un.UC_HOOK_MEM_READ | un.UC_HOOK_MEM_WRITE, self._access)
        if step:
            self._core.hook_add(un.UC_HOOK_CODE, self._step)

    def _map(self) -> None:
        low = min(start for start, _ in self.program.segments) // _PAGE * _PAGE
        high = max(start + len(data) for start, data in self.program.segments)
        self._core.mem_map(low, -(-(high - low) // _PAGE) * _PAGE + _PAGE)
        self._stop = low + -(-(high - low) // _PAGE) * _PAGE
        for start, data in self.program.segments:
            self._core.mem_write(start, data)
        self._core.mem_map(RAM_ADDRESS, RAM_BYTES)

    def _block(self, _core: object, address: int, size: int, _data: object) -> None:
        key = address << 16 | size
        self._edges[self._last, key] += 1
        self._last = key

    def _step(self, _core: object, address: int, _size: int, _data: object) -> None:
        self.steps[address] += 1

    def _access(self, _core: object, kind: int, address: int, size: int, _value: int, _data: object) -> None:
        import unicorn as un

        place = bisect.bisect_right(self._arrays, address, key=lambda array: array[0]) - 1
        inside = place >= 0 and address < self._arrays[place][1]
        name = self._arrays[place][2] if inside else "elsewhere"
        self._traffic[kind == un.UC_MEM_WRITE][name] += size

    def _trap(self, core: Any, number: int, _data: object) -> None:
        """Does a dot product that the emulator refused; the program counter is behind it already."""
        import unicorn.riscv_const as rv

        word = int.from_bytes(core.mem_read(core.reg_read(rv.UC_RISCV_REG_PC) - 4, 4), "little")
        if number != 2 or word & SDOTUP_B_MASK != SDOTUP_B:
            raise ValueError(f"trap {number} at {core.reg_read(rv.UC_RISCV_REG_PC) - 4:#x}: {word:#010x}")
        target, first, second = (rv.UC_RISCV_REG_X0 + (word >> shift & 31) for shift in (7, 15, 20))
        a, b = (core.reg_read(register).to_bytes(4, "little") for register in (first, second))
        total = core.reg_read(target) + sum(x * y for x, y in zip(a, b, strict=True))
        core.reg_write(target, total & 0xFFFFFFFF)

    def write(self, address: int, data: bytes) -> None:
        """Put `data` into memory."""
        self._core.mem_write(address, data)

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of memory."""
        return bytes(self._core.mem_read(address, size))

    @property
    def result(self) -> int:
        """What the last call returned, as a signed 32-bit number."""
        import unicorn.arm_const as arm
        import unicorn.riscv_const as rv

        value = int(self._core.reg_read(arm.UC_ARM_REG_R0 if self.program.is_arm else rv.UC_RISCV_REG_A0)) & 0xFFFFFFFF
        return value - (value >> 31 << 32)

    def call(
        self, function: str, argument: int, arrays: Mapping[str, tuple[int, int]] | None = None, time_limit_s: int = 600
    ) -> Execution:
        """Call `function(argument)` and count. `arrays`: (address, bytes) by name, for a machine that watches.

        Raises ValueError if the function does not return in time.
        """
        self._edges.clear()
        self.steps.clear()
        self._last = 0
        self._traffic = (Counter(), Counter())
        self._arrays = sorted((start, start + size, name) for name, (start, size) in (arrays or {}).items())
        self._start(function, argument, time_limit_s)
        return Execution(self._functions(), dict(self._traffic[0]), dict(self._traffic[1]))

    def _start(self, function: str, argument: int, time_limit_s: int) -> None:
        import unicorn.arm_const as arm
        import unicorn.riscv_const as rv

        start = self.program.symbols[function][0]
        top = RAM_ADDRESS + RAM_BYTES - 16
        if self.program.is_arm:
            registers = {arm.UC_ARM_REG_R0: argument, arm.UC_ARM_REG_SP: top, arm.UC_ARM_REG_LR: self._stop | 1}
            start, counter = start | 1, arm.UC_ARM_REG_PC
        else:
            registers = {rv.UC_RISCV_REG_A0: argument, rv.UC_RISCV_REG_SP: top, rv.UC_RISCV_REG_RA: self._stop,
                         rv.UC_RISCV_REG_GP: self.program.global_pointer}  # fmt: skip
            counter = rv.UC_RISCV_REG_PC
        for register, value in registers.items():
            self._core.reg_write(register, value)
        self._core.emu_start(start, self._stop, timeout=time_limit_s * 1_000_000)
        if self._core.reg_read(counter) & ~1 != self._stop:
            raise ValueError(f"{function} did not return")

    def _block_of(self, key: int) -> Block:
        if key not in self._blocks:
            self._blocks[key] = _decode(self.program, key >> 16, key & 0xFFFF)
        return self._blocks[key]

    def _functions(self) -> dict[str, Counter[str]]:
        """Measures by function, from how often each block followed which."""
        functions: dict[str, Counter[str]] = {}
        for (before, key), times in self._edges.items():
            block = self._block_of(key)
            counts = functions.setdefault(block.function, Counter())
            for name, n in block.measures.items():
                counts[name] += n * times
            if before and (last := self._block_of(before)).conditional:
                fell_through = (before >> 16) + (before & 0xFFFF) == key >> 16
                functions[last.function]["branch_not_taken" if fell_through else "branch_taken"] += times
        return functions
