"""Time in the pipeline of an in-order core: how long instructions wait for operands and for the store bus.

Each pass through a basic block is timed behind the blocks that ran just before it, with every access a hit. Equal
histories take equal time, so each is worked out once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from accelerators.mcu.rv32.design import Design
from accelerators.mcu.rv32.instructions import Instruction, Kind
from accelerators.mcu.rv32.trace import block_end, block_start

HISTORY = 2
"""Blocks ahead of one that its waits depend on: no result is later than a few instructions."""

Codes = Mapping[int, Sequence[Instruction]]


class Passage(NamedTuple):
    """One pass through a block: cycles its instructions wait, and for each of its loads how long the bus is still busy
    with stores, which a load that misses has to wait for."""

    waited: int
    pending: tuple[int, ...]


def passages(blocks: Sequence[int], codes: Codes, design: Design) -> list[Passage]:
    """Every pass through a block, in order."""
    known: dict[tuple[int, ...], Passage] = {}
    found = []
    for at in range(len(blocks)):
        history = tuple(blocks[max(0, at - HISTORY) : at + 1])
        if history not in known:
            known[history] = _passage(history, codes, design)
        found.append(known[history])
    return found


def _passage(history: Sequence[int], codes: Codes, design: Design) -> Passage:
    pipeline = Pipeline(design)
    for before, after in pairwise(history):
        taken = block_end(before) != block_start(after)
        for instruction in codes[before]:
            pipeline.issue(instruction, taken)
    pipeline.waited, pipeline.pending = 0, []
    for instruction in codes[history[-1]]:
        pipeline.issue(instruction, False)
    return Passage(pipeline.waited, tuple(pipeline.pending))


class Pipeline:
    """When instructions issue, one behind the other."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.time = 0
        self.ready: dict[int, int] = {}
        self.written = -1
        """The register that the instruction before wrote."""
        self.stored: list[int] = []
        """When each store so far leaves the bus."""
        self.waited = 0
        self.pending: list[int] = []

    def issue(self, instruction: Instruction, taken: bool) -> None:
        """Let one instruction issue; `taken`: whether it is a branch that is taken."""
        start = max(self._operands(instruction), self._slot() if instruction.kind == Kind.STORE else 0, self.time)
        self.waited += start - self.time
        if instruction.kind == Kind.LOAD:
            self.pending.append(max(0, self.stored[-1] - start) if self.stored else 0)
        if instruction.kind == Kind.STORE and self.design.store_bus_cycles:
            self.stored.append(max(start, self.stored[-1] if self.stored else 0) + self.design.store_bus_cycles)
        self.time = start + issue_cycles(instruction, taken, self.design)
        self.written = instruction.writes
        if instruction.writes:
            self.ready[instruction.writes] = self.time + use_cycles(instruction.kind, self.design)

    def _operands(self, instruction: Instruction) -> int:
        """When all operands are there."""
        ready = max((self.ready.get(register, 0) for register in instruction.reads), default=0)
        if instruction.kind == Kind.JUMP_REGISTER and self.written in instruction.reads and self.written > 0:
            ready = max(ready, self.time) + self.design.jump_register_use_cycles
        return ready

    def _slot(self) -> int:
        """When the bus takes one more store: a cycle after the one that makes room has left."""
        slots = self.design.store_slots
        return self.stored[-slots] + 1 if slots and len(self.stored) >= slots else 0


def use_cycles(kind: Kind, design: Design) -> int:
    """How long an instruction right behind one of `kind` waits for its result."""
    if kind == Kind.LOAD:
        return design.load_use_cycles
    if kind in (Kind.MULTIPLY, Kind.MULTIPLY_HIGH):
        return design.multiply_use_cycles
    if kind == Kind.DIVIDE:
        return design.divide_use_cycles
    return design.shift_use_cycles if kind == Kind.SHIFT else 0


def issue_cycles(instruction: Instruction, taken: bool, design: Design) -> int:
    """How long an instruction keeps the next from issuing."""
    if instruction.kind == Kind.BRANCH:
        back = instruction.distance_bytes < 0
        if taken:
            return design.taken_back_cycles if back else design.taken_ahead_cycles
        return design.passed_back_cycles if back else design.passed_ahead_cycles
    return {
        Kind.ALU: design.alu_cycles,
        Kind.SHIFT: design.shift_cycles,
        Kind.MULTIPLY: design.multiply_cycles,
        Kind.MULTIPLY_HIGH: design.multiply_high_cycles,
        Kind.DIVIDE: design.divide_cycles,
        Kind.DOT: design.dot_cycles,
        Kind.LOAD: design.load_cycles,
        Kind.STORE: design.store_cycles,
        Kind.JUMP: design.jump_cycles,
        Kind.JUMP_REGISTER: design.jump_register_cycles,
    }[instruction.kind]
