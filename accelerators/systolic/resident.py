"""A product that finds its operands in the SRAMs and leaves its result there: what a circuit without DRAM is asked.

Nothing is lowered to it. The same functions as in `tasks.count_product`, for one tile and one core.
"""

from __future__ import annotations

from typing import NamedTuple

from accelerators.systolic.array import free_pace, pace
from accelerators.systolic.design import Design
from accelerators.systolic.tasks import Counts, waited
from accelerators.systolic.tiling import MNK, Tile, fold_cycles, moved, tile_folds, trips
from hwsim.pure import pure


class Resident(NamedTuple):
    """One product of m x n over k, whatever the SRAMs hold."""

    m: int
    n: int
    k: int


@pure
def count_resident(design: Design, task: Resident) -> Counts:
    """Cycles of the array and bits of the SRAMs; nothing moves through DRAM."""
    m, n, k = task.m, task.n, task.k
    if min(m, n, k) < 1:
        return waited(0, 0, 0)
    tile = Tile(m, n, k, MNK)
    t = trips(m, n, k, m, n, k, MNK)
    f = tile_folds(design, m, n, k, tile, t)
    own = moved(design, m, n, k, tile, t, f, 0, 0)
    return Counts(
        array_cycles=fold_cycles(design, f, free_pace(design)),
        buffer_cycles=fold_cycles(design, f, pace(design, m, n, k)),
        post_cycles=0,
        vector_cycles=0,
        host_ps=0,
        infeed_ps=0,
        array_overhead_cycles=0,
        vector_overhead_cycles=0,
        chunks=1,
        dram_read_bits=0,
        dram_read_runs=0,
        dram_write_bits=0,
        dram_write_runs=0,
        input_read_bits=own.input_reads,
        weight_read_bits=own.weight_reads,
        output_read_bits=own.output_reads,
        output_write_bits=own.output_writes,
        input_fill_bits=0,
        weight_fill_bits=0,
        output_fill_bits=0,
        output_drain_bits=0,
        macs_executed=m * n * k,
        vector_ops=0,
        infeed_bits=0,
    )
