"""How long a kernel takes on a GPU: waves of thread blocks, occupancy, cache and DRAM traffic, latency, launch.

    time = max(host issue, gap + max(arithmetic, load/store lanes, DRAM bandwidth, memory latency, cache bandwidth))

* Blocks are dealt to the SMs; the SM that gets most of them, ceil(blocks / SMs), decides (waves and tails).
* An SM holds as many blocks as its registers, shared memory, threads and block slots allow (CUDA C++ Programming Guide,
  "Hardware Multithreading": occupancy). While it holds few threads its lanes wait for their own results: it starts
  threads * independent / latency operations a cycle at most.
* Data in flight are at most what resident threads have asked for, or resident blocks for the next step of their tiles,
  so the rate of memory is at most data in flight / latency (Little's law; Volkov, "Understanding Latency Hiding on
  GPUs", Berkeley 2016).
* A product is cut into tiles, one a block. Each tile of tm x tn reads tm + tn operands a step of k from the cache.
  What leaves DRAM is each operand once where one of them fits half the cache, and otherwise one of them once for every
  band of the other that does. Of five tile shapes the fastest is taken, as libraries choose.

No number in here is fitted to a measurement; six values of the design v100 are (docs/measured.md).
"""

from __future__ import annotations

from accelerators.gpu.design import Design
from accelerators.gpu.tasks import Counts, Infeed, Product, Start, Stream, Window
from accelerators.systolic.tasks import infeed_ps
from hwsim.pure import ceil_div, pure

TILE_STEP = 8
"""Depth of k that a tile keeps in shared memory, twice (double buffered): the usual 8 of fp32 SGEMM kernels."""
REGISTERS_BESIDE = 40
"""Registers of a thread beside its accumulators: operands of a step, twice, and addresses."""
STREAM_THREADS = 256
STREAM_REGISTERS = 32
TILE_INDEPENDENT = 4
"""Independent accumulations that a thread of a product can have under way at the least (its tile has 16 to 64)."""


@pure
def ns_cycles(design: Design, ns: int) -> int:
    """Cycles of the SMs' clock that `ns` nanoseconds last, rounded up."""
    return ceil_div(ns * design.clock_khz, 1_000_000)


@pure
def resident_blocks(design: Design, threads: int, registers: int, shared_bits: int) -> int:
    """Blocks of so many threads, with so many registers a thread and so much shared memory, that one SM holds; at
    least one."""
    by_threads = min(design.threads // threads, design.registers // (registers * threads))
    by_memory = design.shared_memory_bits // max(shared_bits, 1)
    return max(1, min(design.blocks, by_threads, by_memory))


@pure
def transfer_cycles(design: Design, bits: int) -> int:
    """Cycles that `bits` take through DRAM at the share of its bandwidth that streaming reaches."""
    bits_per_us = design.memory_bandwidth_bits_per_s // 1_000_000
    return ceil_div(ceil_div(bits * 100, design.bandwidth_ceiling_percent) * design.clock_khz, bits_per_us * 1_000)


@pure
def waiting_cycles(design: Design, bits: int, in_flight_bits: int) -> int:
    """Cycles that `bits` of DRAM take when so many bits are asked for at a time."""
    if bits == 0:
        return 0
    return ceil_div(bits * ns_cycles(design, design.memory_latency_ns), max(1, in_flight_bits))


@pure
def rate_share_percent(design: Design, threads: int, independent: int) -> int:
    """Share of an SM's lanes that `threads` resident threads keep busy, 1 to 100."""
    started = threads * independent * 100 // design.arithmetic_latency_cycles
    return max(1, min(100, started // design.lanes))


# --- products ---------------------------------------------------------------------------------------------------


@pure
def tile_resident(design: Design, tile_m: int, tile_n: int, threads: int) -> int:
    """Blocks of this tile that one SM holds."""
    registers = tile_m * tile_n // threads + REGISTERS_BESIDE
    shared = 2 * (tile_m + tile_n) * TILE_STEP * design.operand_bits
    return resident_blocks(design, threads, registers, shared)


@pure
def tile_cycles(design: Design, task: Product, tile_m: int, tile_n: int, threads: int) -> int:
    """Cycles of arithmetic of a product in tiles of this shape: those of the SM with most blocks."""
    blocks = task.batch * ceil_div(task.m, tile_m) * ceil_div(task.n, tile_n)
    most = ceil_div(blocks, design.multiprocessors)
    held = min(most, tile_resident(design, tile_m, tile_n, threads))
    share = rate_share_percent(design, held * threads, TILE_INDEPENDENT)
    depth = ceil_div(task.k, TILE_STEP) * TILE_STEP
    macs = most * tile_m * tile_n * depth
    return ceil_div(ceil_div(macs * 100, design.product_macs_per_cycle * share) * 100, design.issue_ceiling_percent)


@pure
def tile_reads(design: Design, task: Product, tile_m: int, tile_n: int) -> int:
    """Bits from the cache to the SMs: the rows and the columns of every tile, over all of k."""
    tall, wide = ceil_div(task.m, tile_m), ceil_div(task.n, tile_n)
    return task.batch * task.k * design.operand_bits * (wide * task.m + tall * task.n)


@pure
def operand_traffic(design: Design, task: Product) -> int:
    """Bits that DRAM reads for the operands of a product (see the module's text)."""
    half = max(1, design.cache_bits // 2)
    each = max(1, task.batch)
    bands_of_b = ceil_div(ceil_div(task.b_bits, each), half)
    bands_of_a = ceil_div(ceil_div(task.a_bits, each), half)
    by_bands_of_b = task.dram_a_bits * max(1, bands_of_b) + task.dram_b_bits
    by_bands_of_a = task.dram_b_bits * max(1, bands_of_a) + task.dram_a_bits
    return min(by_bands_of_a, by_bands_of_b)


@pure
def tile_waiting(design: Design, task: Product, tile_m: int, tile_n: int, threads: int) -> int:
    """Cycles that operands from DRAM take while every resident block has asked for the next step of its tile."""
    blocks = task.batch * ceil_div(task.m, tile_m) * ceil_div(task.n, tile_n)
    held = min(blocks, design.multiprocessors * tile_resident(design, tile_m, tile_n, threads))
    step_bits = (tile_m + tile_n) * TILE_STEP * design.operand_bits
    return waiting_cycles(design, operand_traffic(design, task), held * step_bits)


@pure
def tile_total(design: Design, task: Product, tile_m: int, tile_n: int, threads: int) -> int:
    """Cycles of a product in tiles of this shape: arithmetic, its reads from the cache, or its wait for memory."""
    reads = ceil_div(tile_reads(design, task, tile_m, tile_n), design.cache_bits_per_cycle)
    waiting = tile_waiting(design, task, tile_m, tile_n, threads)
    return max(tile_cycles(design, task, tile_m, tile_n, threads), reads, waiting)


@pure
def tiled(design: Design, task: Product, tile_m: int, tile_n: int, threads: int) -> Counts:
    """The counts of a product in tiles of this shape."""
    gap = ns_cycles(design, design.gap_ns)
    dram = operand_traffic(design, task)
    moved = dram + task.result_bits
    return Counts(
        compute_cycles=gap + tile_cycles(design, task, tile_m, tile_n, threads),
        load_cycles=0,
        bandwidth_cycles=gap + transfer_cycles(design, moved),
        latency_cycles=gap + tile_waiting(design, task, tile_m, tile_n, threads),
        launch_cycles=ns_cycles(design, design.launch_ns),
        start_cycles=0,
        infeed_ps=0,
        chunks=1,
        dram_read_bits=dram,
        dram_read_runs=min(1, dram),
        dram_write_bits=task.result_bits,
        dram_write_runs=min(1, task.result_bits),
        cache_read_bits=tile_reads(design, task, tile_m, tile_n),
        cache_write_bits=task.out_bits,
        macs_executed=task.batch * task.m * task.n * task.k,
        vector_ops=0,
    )


@pure
def product(design: Design, task: Product) -> Counts:
    """A matrix product or dense convolution, in the fastest of five tile shapes; the larger one where two tie."""
    large = tile_total(design, task, 128, 128, 256)
    wide = tile_total(design, task, 128, 64, 128)
    square = tile_total(design, task, 64, 64, 64)
    small = tile_total(design, task, 32, 32, 64)
    best = min(large, wide, square, small, tile_total(design, task, 1, 128, 128))
    tile_m, tile_n, threads = 1, 128, 128
    if best == large:
        tile_m, tile_n, threads = 128, 128, 256
    elif best == wide:
        tile_m, tile_n, threads = 128, 64, 128
    elif best == square:
        tile_m, tile_n, threads = 64, 64, 64
    elif best == small:
        tile_m, tile_n, threads = 32, 32, 64
    return tiled(design, task, tile_m, tile_n, threads)


# --- kernels of one thread a result -----------------------------------------------------------------------------


@pure
def busiest_threads(design: Design, threads: int) -> int:
    """Threads, in whole blocks, of the SM that gets most of them."""
    blocks = ceil_div(threads, STREAM_THREADS)
    return ceil_div(blocks, design.multiprocessors) * STREAM_THREADS


@pure
def held_bits(design: Design, threads: int) -> int:
    """Bits that the threads of such a kernel which all SMs hold at a time have asked memory for."""
    resident = resident_blocks(design, STREAM_THREADS, STREAM_REGISTERS, 1) * STREAM_THREADS
    return min(threads, design.multiprocessors * resident) * design.in_flight_per_thread_bits


@pure
def lane_cycles(design: Design, threads: int, operations: int) -> int:
    """Cycles of `operations` dependent operations of each of `threads` threads, on the SM with most of them."""
    most = busiest_threads(design, threads)
    held = min(most, resident_blocks(design, STREAM_THREADS, STREAM_REGISTERS, 1) * STREAM_THREADS)
    share = rate_share_percent(design, held, 1)
    return ceil_div(ceil_div(most * operations * 100, design.lanes * share) * 100, design.issue_ceiling_percent)


@pure
def window(design: Design, task: Window) -> Counts:
    """A depthwise convolution: every tap loads its value and its weight, so load/store lanes bind before arithmetic."""
    gap = ns_cycles(design, design.gap_ns)
    loads = busiest_threads(design, task.outputs) * task.taps * 2
    return Counts(
        compute_cycles=gap + lane_cycles(design, task.outputs, task.taps),
        load_cycles=gap + ceil_div(ceil_div(loads, design.load_lanes) * 100, design.issue_ceiling_percent),
        bandwidth_cycles=gap + transfer_cycles(design, task.dram_read_bits + task.dram_write_bits),
        latency_cycles=gap + waiting_cycles(design, task.dram_read_bits, held_bits(design, task.outputs)),
        launch_cycles=ns_cycles(design, design.launch_ns),
        start_cycles=0,
        infeed_ps=0,
        chunks=1,
        dram_read_bits=task.dram_read_bits,
        dram_read_runs=min(1, task.dram_read_bits),
        dram_write_bits=task.dram_write_bits,
        dram_write_runs=min(1, task.dram_write_bits),
        cache_read_bits=task.read_bits,
        cache_write_bits=task.write_bits,
        macs_executed=task.outputs * task.taps,
        vector_ops=0,
    )


@pure
def stream(design: Design, task: Stream) -> Counts:
    """An operator that reads and writes once: elementwise, norm, pooling, softmax, copies."""
    gap = ns_cycles(design, design.gap_ns)
    each = ceil_div(task.operations, max(task.threads, 1))
    return Counts(
        compute_cycles=gap + lane_cycles(design, task.threads, each),
        load_cycles=0,
        bandwidth_cycles=gap + transfer_cycles(design, task.dram_read_bits + task.dram_write_bits),
        latency_cycles=gap + waiting_cycles(design, task.dram_read_bits, held_bits(design, task.threads)),
        launch_cycles=ns_cycles(design, design.launch_ns),
        start_cycles=0,
        infeed_ps=0,
        chunks=1,
        dram_read_bits=task.dram_read_bits,
        dram_read_runs=min(1, task.dram_read_bits),
        dram_write_bits=task.dram_write_bits,
        dram_write_runs=min(1, task.dram_write_bits),
        cache_read_bits=task.read_bits,
        cache_write_bits=task.write_bits,
        macs_executed=0,
        vector_ops=task.operations,
    )


# --- the host ---------------------------------------------------------------------------------------------------


@pure
def waited(start_cycles: int, infeed_ps: int) -> Counts:
    """Time before the first kernel or beside all of them, and nothing else."""
    return Counts(
        compute_cycles=0,
        load_cycles=0,
        bandwidth_cycles=0,
        latency_cycles=0,
        launch_cycles=0,
        start_cycles=start_cycles,
        infeed_ps=infeed_ps,
        chunks=1,
        dram_read_bits=0,
        dram_read_runs=0,
        dram_write_bits=0,
        dram_write_runs=0,
        cache_read_bits=0,
        cache_write_bits=0,
        macs_executed=0,
        vector_ops=0,
    )


@pure
def start(design: Design, task: Start) -> Counts:
    """The time before the first kernel."""
    return waited(ceil_div(task.runs * design.step_overhead_ps * design.clock_khz, 1_000_000_000), 0)


@pure
def infeed(design: Design, task: Infeed) -> Counts:
    """The host's time for the inputs of the next run; none where inputs are already there."""
    if design.infeed_rate_bits_per_s == 0 or task.elements == 0:
        return waited(0, 0)
    bits = task.elements * design.infeed_element_bits
    return waited(0, design.infeed_overhead_ps + infeed_ps(design, bits))
