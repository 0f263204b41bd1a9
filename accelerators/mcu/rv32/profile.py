"""From the trace of a firmware to what one call of a layer asks of a core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from accelerators.mcu.rv32 import pipeline
from accelerators.mcu.rv32.cache import as_ints, lines_of_blocks, missed
from accelerators.mcu.rv32.design import BITS_PER_BYTE, Design
from accelerators.mcu.rv32.instructions import Kind
from accelerators.mcu.rv32.pipeline import Codes, Passage
from accelerators.mcu.rv32.trace import Trace, block_end, block_start


class Call(NamedTuple):
    """What one call executes: instructions by kind, branches by direction and outcome, waits, and misses.

    The call itself and the stamp behind it are part of it: a jump and a store.
    """

    alu: int
    shift: int
    multiply: int
    multiply_high: int
    divide: int
    dot: int
    load: int
    store: int
    taken_back: int
    taken_ahead: int
    passed_back: int
    passed_ahead: int
    jump: int
    jump_register: int
    wait_cycles: int
    fetch_misses: int
    load_misses: int
    flash_loads: int = 0
    """loads that read flash; where everything lies in one memory, none"""
    macs: int = 0
    weight_bits: int = 0
    """weights and their parameters in flash"""


STAMP = Counter({Kind.JUMP: 1, Kind.STORE: 1})


def call_of(trace: Trace, number: int, design: Design) -> Call:
    """The call `number` of a run, counted for a core."""
    first, last, _, _ = trace.spans[number]
    blocks = trace.blocks[first:last]
    codes = {block: trace.code(block) for block in set(blocks)}
    edges = Counter(pairwise(blocks))
    passages = pipeline.passages(blocks, codes, design)
    missing = load_misses(trace, number, design) if design.dcache_bits else []
    pending = sum(passage.pending[load] for passage, load in loads_of(passages, missing))
    kinds = kinds_of(Counter(blocks), codes)
    taken, passed = branches_of(edges, codes)
    return Call(
        alu=kinds[Kind.ALU],
        shift=kinds[Kind.SHIFT],
        multiply=kinds[Kind.MULTIPLY],
        multiply_high=kinds[Kind.MULTIPLY_HIGH],
        divide=kinds[Kind.DIVIDE],
        dot=kinds[Kind.DOT],
        load=kinds[Kind.LOAD],
        store=kinds[Kind.STORE],
        taken_back=taken[True],
        taken_ahead=taken[False],
        passed_back=passed[True],
        passed_ahead=passed[False],
        jump=kinds[Kind.JUMP],
        jump_register=kinds[Kind.JUMP_REGISTER],
        wait_cycles=sum(one.waited for one in passages) + pending,
        fetch_misses=fetch_misses(trace, number, design) if design.icache_bits else 0,
        load_misses=len(missing),
    )


def kinds_of(blocks: Counter[int], codes: Codes) -> Counter[Kind]:
    """Instructions by kind."""
    kinds = Counter(STAMP)
    for block, times in blocks.items():
        for instruction in codes[block]:
            kinds[instruction.kind] += times
    return kinds


def branches_of(edges: Counter[tuple[int, int]], codes: Codes) -> tuple[Counter[bool], Counter[bool]]:
    """Conditional branches taken and not taken, each by whether they go backwards."""
    taken: Counter[bool] = Counter()
    passed: Counter[bool] = Counter()
    for (block, following), times in edges.items():
        last = codes[block][-1]
        if last.kind == Kind.BRANCH:
            counter = passed if block_end(block) == block_start(following) else taken
            counter[last.distance_bytes < 0] += times
    return taken, passed


# --- caches -----------------------------------------------------------------------------------------------------------


def fetch_misses(trace: Trace, number: int, design: Design) -> int:
    """Lines of instructions that a call waits for, after all that ran before it."""
    first, last, _, _ = trace.spans[number]
    blocks = as_ints(trace.blocks)
    line_bytes = design.line_bits // BITS_PER_BYTE
    starts = blocks >> 16
    lines, block = lines_of_blocks(starts, starts + (blocks & 0xFFFF), line_bytes)
    miss = missed(lines, design.icache_bits // design.line_bits)
    return int((miss & (block >= first) & (block < last)).sum())


def load_misses(trace: Trace, number: int, design: Design) -> list[int]:
    """Which loads of a call (numbered from 0) wait for a line, after all that ran before it. Stores fetch none."""
    _, _, first, last = trace.spans[number]
    accesses = as_ints(trace.accesses)
    loads = accesses & 1 == 0
    position = np.flatnonzero(loads)
    miss = missed((accesses[loads] >> 1) // (design.line_bits // BITS_PER_BYTE), design.dcache_bits // design.line_bits)
    inside = (position >= first) & (position < last)
    return [int(n) for n in np.flatnonzero(miss[inside])]


def loads_of(passages: Sequence[Passage], numbers: Sequence[int]) -> Iterator[tuple[Passage, int]]:
    """For loads numbered through a call: the passage each is in, and its number there."""
    if not len(numbers):
        return
    ends = np.cumsum([len(one.pending) for one in passages])
    for number, at in zip(numbers, np.searchsorted(ends, numbers, side="right"), strict=True):
        yield passages[at], int(number - ends[at] + len(passages[at].pending))
