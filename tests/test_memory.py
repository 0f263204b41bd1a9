"""Memory levels: what a port takes, whichever kind of memory stands behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import dram, memory
from hwsim.dram import Dram
from hwsim.memory import DRAM, MemoryLevel, dram_level, latency_ps, level_ps, sram_level
from hwsim.timing.compile import compile_pure

PARTS = [dram.part(name) for name in dram.part_names()]
parts = st.sampled_from(PARTS)
KINDS = st.sampled_from([memory.REGISTER_FILE, memory.SRAM, memory.BRAM, memory.FLASH])
clocks = st.integers(1_000, 5_000_000)
bit_counts = st.integers(0, 1 << 45)
flags = st.integers(0, 1)


def test_kinds_have_names() -> None:
    assert memory.LEVEL_KINDS[DRAM] == "DRAM"
    assert len(memory.LEVEL_KINDS) == 5


@given(KINDS, clocks, st.integers(1, 4096), st.integers(1, 4096), bit_counts, flags)
def test_on_chip_levels_move_whole_words_at_their_clock(
    kind: int, clock_khz: int, read: int, write: int, bits: int, flag: int
) -> None:
    level = MemoryLevel(kind, 1 << 45, read, write, clock_khz)
    words = -(-bits // (write if flag else read))
    assert level_ps(level, PARTS[0], bits, 1, flag) == -(-words * 10**9 // clock_khz)


@given(parts, st.integers(1, 64), st.integers(1, 1 << 45), st.integers(1, 1000), flags)
def test_dram_levels_take_what_their_part_takes(d: Dram, channels: int, bits: int, runs: int, flag: int) -> None:
    level = dram_level(d, channels, 1 << 34, 2)
    assert level_ps(level, d, bits, runs, flag) == dram.transfer_ps(d, channels, bits, runs, 1, flag)
    assert latency_ps(level, d) == dram.first_access_ps(d)
    assert level_ps(level, d, bits, runs, flag) * memory.peak_bits_per_s(level, flag) >= bits * 10**12


@given(parts, st.integers(1, 64))
def test_a_dram_level_states_the_peak_of_all_its_channels(d: Dram, channels: int) -> None:
    level = dram_level(d, channels, 1 << 34, 3)
    assert level.read_bits_per_cycle == channels * d.burst_bits // d.burst_cycles
    assert memory.peak_bits_per_s(level, 0) == channels * dram.peak_bits_per_s(d)
    assert (level.kind, level.channels, level.slots, level.shared_port) == (DRAM, channels, 3, 1)
    assert level.latency_cycles == pytest.approx(dram.first_access_ps(d) * d.clock_khz / 1e9, abs=1)


def test_an_sram_level() -> None:
    level = sram_level(1 << 20, 128, 200_000, 2, 0)
    assert level_ps(level, PARTS[0], 129, 7, 1) == 2 * 5_000
    assert latency_ps(level, PARTS[0]) == 5_000
    assert memory.peak_bits_per_s(level, 1) == 128 * 200_000_000
    assert (level.kind, level.shared_port, level.channels) == (memory.SRAM, 0, 1)


@given(st.integers(1, 512), st.integers(1, 512), clocks, bit_counts)
def test_a_wider_port_and_a_faster_clock_are_never_slower(narrow: int, more: int, clock_khz: int, bits: int) -> None:
    slow = sram_level(1 << 20, narrow, clock_khz, 2, 1)
    assert level_ps(sram_level(1 << 20, narrow + more, clock_khz, 2, 1), PARTS[0], bits, 1, 0) <= level_ps(
        slow, PARTS[0], bits, 1, 0
    )
    assert level_ps(slow._replace(clock_khz=clock_khz + more), PARTS[0], bits, 1, 0) <= level_ps(
        slow, PARTS[0], bits, 1, 0
    )


@given(parts, st.integers(1, 16), clocks, bit_counts, st.integers(1, 1 << 20), flags)
def test_plain_and_compiled_agree(d: Dram, channels: int, clock_khz: int, bits: int, runs: int, flag: int) -> None:
    compiled = compile_pure(level_ps)
    runs = max(1, min(runs, bits))
    for level in (dram_level(d, channels, 1 << 34, 2), sram_level(1 << 20, 64 * channels, clock_khz, 2, 1)):
        assert compiled(level, d, bits, runs, flag) == level_ps(level, d, bits, runs, flag)
