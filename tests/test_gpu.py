"""The GPU model against its definition: waves and tiles, occupancy, cache, latency and launch, by hand."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accelerators.gpu.cache import Lru, fused_into, plan
from accelerators.gpu.kernels import (
    STREAM_THREADS,
    operand_traffic,
    product,
    rate_share_percent,
    resident_blocks,
    stream,
    tile_cycles,
    tile_reads,
    tile_resident,
    tile_waiting,
    waiting_cycles,
    window,
)
from accelerators.gpu.model import MODEL
from accelerators.gpu.tasks import Product, Stream, Window
from hwsim.config import load_design
from hwsim.errors import InputError
from hwsim.evaluation import Evaluation, Job, evaluate
from hwsim.expr import parse
from hwsim.parts import resolve_parts
from hwsim.simulate import run
from hwsim.testing import ModelSuite, matmul_chain
from hwsim.workload.batch import batched
from hwsim.workload.ir import Call, Disposition, Graph, Op, Phase, Role, Tensor, Workload
from hwsim.workload.store import load_workload

TX2 = load_design("jetson-tx2").design
# A clock of 1 GHz, so that a nanosecond is a cycle; no issue losses; no gaps; latency that one block's threads hide.
PLAIN = dataclasses.replace(
    TX2, clock_khz=1_000_000, multiprocessors=4, lanes=128, product_macs_per_cycle=128, load_lanes=32,
    issue_ceiling_percent=100, launch_ns=0, gap_ns=0, arithmetic_latency_cycles=4, memory_latency_ns=100,
    in_flight_per_thread_bits=64, memory_bandwidth_bits_per_s=800 * 10**9, bandwidth_ceiling_percent=50,
)  # fmt: skip


def two_layers() -> Workload:
    return matmul_chain("two-layers", rows=3, widths=(64, 100, 10))


class TestGpu(ModelSuite):
    designs: ClassVar[Sequence[str | tuple[str, ...]]] = ("jetson-tx2", ("tesla-v100-fp16", "fuse=true"), "v100")
    workloads: ClassVar[Sequence[str | Callable[[], Workload]]] = (
        "mobilenet-v1-0.25-128", "minilm-l6", "transformer-base", two_layers,
    )  # fmt: skip
    bindings: ClassVar[Mapping[str, Mapping[str, float]]] = {
        "transformer-base": {"n": 3, "m": 2},
        "minilm-l6": {"n": 5},
    }
    random_points: ClassVar[int] = 8
    agreement_rows: ClassVar[int] = 30_000


# --- datasheets -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("design", "clock_mhz", "cores", "teraflops", "gigabytes_per_s"),
    [
        ("jetson-tx2", 1300, 256, 0.665, 58.3),
        ("titan-xp-tiled", 1582, 3840, 12.15, 547.7),
        ("tesla-v100", 1455, 5120, 15.0, 900.0),
        ("tesla-v100-fp16", 1455, 5120, 120.0, 900.0),
        ("v100", 1530, 5120, 125.0, 900.0),
    ],
)
def test_peaks_are_those_that_are_advertised(
    design: str, clock_mhz: int, cores: int, teraflops: float, gigabytes_per_s: float
) -> None:
    """Two operations a multiply-accumulate; without tensor cores, one of them a core and cycle."""
    d = load_design(design).design
    assert d.clock_khz == 1_000 * clock_mhz
    assert d.multiprocessors * d.lanes == cores
    peak = 2 * d.multiprocessors * d.product_macs_per_cycle * d.clock_khz * 1e3
    assert peak == pytest.approx(teraflops * 1e12, rel=0.01)
    assert d.memory_bandwidth_bits_per_s == pytest.approx(8e9 * gigabytes_per_s)
    if d.operand_bits == 32:
        assert d.product_macs_per_cycle == d.lanes


# --- products ---------------------------------------------------------------------------------------------------


def matrix(m: int, n: int, k: int, batch: int = 1, **changes: int) -> Product:
    """A product whose operands are all on chip."""
    bits = [32 * batch * rows * columns for rows, columns in ((m, k), (k, n), (m, n))]
    return Product(batch, m, n, k, *bits, 0, 0, 0)._replace(**changes)


@pytest.mark.parametrize(
    ("m", "n", "k", "waves"),
    [(128, 128, 8, 1), (512, 128, 8, 1), (513, 128, 8, 2), (512, 129, 8, 2), (1024, 128, 16, 4), (1, 1, 1, 1)],
)
def test_blocks_come_in_waves_over_the_multiprocessors(m: int, n: int, k: int, waves: int) -> None:
    """Four SMs with a block of 128 x 128 each: steps of 128*128*8 MACs at 128 a cycle."""
    assert tile_cycles(PLAIN, matrix(m, n, k), 128, 128, 256) == waves * 128 * 128 * 8 // 128


def test_few_threads_wait_for_their_own_results() -> None:
    """64 threads with 4 independent operations each start 16 a cycle at a latency of 16, where 128 lanes take 128."""
    slow = dataclasses.replace(PLAIN, arithmetic_latency_cycles=16)
    assert rate_share_percent(slow, 64, 4) == 12  # 64 * 4 / 16 = 16 of 128 lanes, rounded down to percent
    assert tile_cycles(slow, matrix(64, 64, 8), 64, 64, 64) == -(-64 * 64 * 8 * 100 // (128 * 12))
    assert rate_share_percent(PLAIN, 2048, 1) == 100


@pytest.mark.parametrize(
    ("changes", "threads", "registers", "shared", "blocks"),
    [
        ({}, 256, 32, 1, 8),  # 2,048 threads
        ({}, 256, 64, 1, 4),  # 65,536 registers
        ({}, 64, 16, 1, 32),  # 32 block slots, as many as threads allow
        ({"blocks": 16}, 64, 16, 1, 16),
        ({}, 64, 16, 10 * 8192, 6),  # 64 KiB in blocks of 10 KiB
        ({"registers": 4096}, 256, 64, 1, 1),  # one block always runs
    ],
)
def test_occupancy(changes: dict[str, int], threads: int, registers: int, shared: int, blocks: int) -> None:
    assert resident_blocks(dataclasses.replace(TX2, **changes), threads, registers, shared) == blocks


def test_a_large_tile_holds_two_blocks() -> None:
    """64 + 40 registers for each of 256 threads: two blocks of 26,624 in 65,536 registers."""
    assert tile_resident(TX2, 128, 128, 256) == 2


def test_resident_blocks_wait_for_their_next_step() -> None:
    """Four blocks of 64 x 64 ask for 8 x 128 words of 32 bits every 100 cycles."""
    bits = 32 * 10**6
    task = matrix(128, 128, 8, dram_a_bits=bits)
    assert tile_waiting(PLAIN, task, 64, 64, 64) == -(-bits * 100 // (4 * 8 * 128 * 32))


def test_a_block_keeps_two_steps_of_both_operands() -> None:
    """2 steps of 8 x (128 + 128) words are 16 KiB; two such blocks need 32 KiB of shared memory."""
    held = [tile_resident(dataclasses.replace(TX2, shared_memory_bits=kib * 8192), 128, 128, 256) for kib in (31, 32)]
    assert held == [1, 2]


def test_each_tile_reads_its_rows_and_columns() -> None:
    """300 x 40 over 50 in tiles of 128 x 64: three tall, one wide."""
    assert tile_reads(TX2, matrix(300, 40, 50), 128, 64) == 32 * 50 * (1 * 300 + 3 * 40)


def test_operands_are_read_once_if_half_the_cache_holds_one() -> None:
    """Otherwise one of them once for every band of the other; the better of the two orders."""
    cache = dataclasses.replace(PLAIN, cache_bits=2 * 8 * 64 * 32)
    small = matrix(1000, 8, 64, dram_a_bits=1000 * 64 * 32, dram_b_bits=64 * 8 * 32)
    assert operand_traffic(cache, small) == (1000 * 64 + 64 * 8) * 32
    square = matrix(64, 64, 64, dram_a_bits=64 * 64 * 32, dram_b_bits=64 * 64 * 32)
    assert operand_traffic(cache, square) == (8 + 1) * 64 * 64 * 32
    tall = matrix(640, 16, 64, dram_a_bits=640 * 64 * 32, dram_b_bits=16 * 64 * 32)
    assert operand_traffic(cache, tall) == (2 * 640 * 64 + 16 * 64) * 32


@given(m=st.integers(1, 3000), n=st.integers(1, 3000), k=st.integers(1, 3000), batch=st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_a_product_never_beats_its_peak_and_never_gains_by_growing(m: int, n: int, k: int, batch: int) -> None:
    here = product(TX2, matrix(m, n, k, batch))
    peak = TX2.multiprocessors * TX2.product_macs_per_cycle
    assert here.compute_cycles * peak >= here.macs_executed == batch * m * n * k

    def time(task: Product) -> int:
        c = product(TX2, task)
        return max(c.compute_cycles, -(-c.cache_read_bits // TX2.cache_bits_per_cycle))

    gap = -(-TX2.gap_ns * TX2.clock_khz // 1_000_000)
    for bigger in (matrix(m + 1, n, k, batch), matrix(m, n + 1, k, batch), matrix(m, n, k, batch + 1)):
        assert time(bigger) >= time(matrix(m, n, k, batch)) - gap


# --- kernels of one thread a result -----------------------------------------------------------------------------


def test_a_depthwise_convolution_is_bound_by_its_loads() -> None:
    """Two loads a tap for 32 lanes, against one multiply-accumulate for 128: eight times as long."""
    c = window(PLAIN, Window(4 * 2048, 9, 0, 0, 0, 0))
    assert c.compute_cycles == 2048 * 9 // 128
    assert c.load_cycles == 2048 * 9 * 2 // 32 == 8 * c.compute_cycles
    assert c.macs_executed == 4 * 2048 * 9


def test_depthwise_reaches_far_less_of_the_peak_than_pointwise() -> None:
    """SkyNet's second bundle: 3x3 depthwise and 1x1 to 96 channels, 80 x 160, 48 channels."""
    pixels = 80 * 160
    deep = window(TX2, Window(pixels * 48, 9, 0, 0, 0, 0))
    point = product(TX2, matrix(pixels, 96, 48))
    rates = [c.macs_executed / max(c.compute_cycles, c.load_cycles) for c in (deep, point)]
    assert rates[1] > 4 * rates[0]


def test_whole_blocks_go_to_the_busiest_multiprocessor() -> None:
    one, more = (stream(PLAIN, Stream(t, t, 0, 0, 0, 0)).compute_cycles for t in (4 * STREAM_THREADS, 4 * 256 + 1))
    # A block of 256 threads keeps half of 128 lanes busy at a latency of 4; two keep all.
    assert (one, more) == (256 // 64, 512 // 128)


@pytest.mark.parametrize("threads", [1, 100, 4 * 2048, 10**6])
def test_data_in_flight_bound_the_rate_of_memory(threads: int) -> None:
    """Little's law: resident threads with 64 bits each under way for 100 cycles."""
    bits = 32 * 10**6
    held = min(threads, 4 * 2048)
    c = stream(PLAIN, Stream(threads, 0, bits, 0, bits, 0))
    assert c.latency_cycles == waiting_cycles(PLAIN, bits, 64 * held) == -(-bits * 100 // (64 * held))
    assert c.bandwidth_cycles == bits * 2 * 1_000 // 800_000


def test_launches_hide_behind_long_kernels_alone() -> None:
    slow = dataclasses.replace(PLAIN, launch_ns=5_000, gap_ns=10)
    c = stream(slow, Stream(128, 128, 0, 0, 0, 0))
    assert (c.launch_cycles, c.compute_cycles) == (5_000, 10 + 4)


def test_the_gap_before_a_kernel_delays_whatever_binds_it() -> None:
    later = dataclasses.replace(PLAIN, gap_ns=7)
    for kernel, task in (
        (product, matrix(64, 64, 64, dram_a_bits=32 * 64 * 64, result_bits=32 * 64 * 64)),
        (window, Window(256, 9, 8_192, 8_192, 8_192, 8_192)),
        (stream, Stream(256, 256, 8_192, 8_192, 8_192, 8_192)),
    ):
        near, far = kernel(PLAIN, task), kernel(later, task)
        for what in ("compute_cycles", "bandwidth_cycles", "latency_cycles"):
            assert getattr(far, what) == getattr(near, what) + 7


@pytest.mark.parametrize("design", ["jetson-tx2", "titan-xp-tiled", "tesla-v100", "tesla-v100-fp16"])
def test_at_peak_arithmetic_the_board_draws_its_power(design: str) -> None:
    """Static power and products alone; the energy of DRAM's bits is charged on top."""
    file = load_design(design)
    d, parts = file.design, resolve_parts(file.named)
    price, idle = MODEL.price(d, parts), sum(MODEL.static_w(d, parts))
    for pj, a_cycle in ((price.macs_executed, d.product_macs_per_cycle), (price.vector_ops, d.lanes)):
        watts = pj * 1e-12 * a_cycle * d.multiprocessors * d.clock_khz * 1e3
        assert watts + idle == pytest.approx(d.board_power_w)


# --- cache ------------------------------------------------------------------------------------------------------


def test_least_recently_used() -> None:
    cache = Lru(100)
    touched = [("a", 40), ("b", 40), ("a", 40), ("c", 40), ("a", 40), ("b", 40), ("d", 101), ("a", 40)]
    assert [cache.touch(("", n), bits) for n, bits in touched] == [False, False, True, False, True, False, False, False]


@given(st.lists(st.integers(0, 7), max_size=60), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_the_cache_equals_stack_distance(asked: list[int], capacity: int) -> None:
    """A tensor is there if what was touched since, and it, fit (sizes 1 to 8, so none fills the cache alone)."""
    capacity += 8
    cache = Lru(capacity)
    for i, name in enumerate(asked):
        before = asked[:i]
        expected = False
        if name in before:
            since = set(before[i - before[::-1].index(name) :])
            expected = sum(n + 1 for n in since | {name}) <= capacity
        found = cache.touch(("", str(name)), name + 1)
        assert found == expected


def evaluated(design: Any, workload: Workload) -> Evaluation:
    file = load_design("jetson-tx2")
    return evaluate(Job(file.model, design, resolve_parts(file.named), workload, {}))


def off_chip(design: Any, workload: Workload) -> tuple[int, int]:
    """Bits read and written off chip."""
    e = evaluated(design, workload)
    read, write = (e.names.fields.index(f"dram_{way}_bits") for way in ("read", "write"))
    return tuple(sum(e.counts[t][f] for t in e.program.task) for f in (read, write))  # type: ignore[return-value]


def test_what_fits_the_cache_stays_there() -> None:
    """A chain of 64 x 16 by 128 by 8: everything fits 1 MiB; in no cache at all everything is moved."""
    chain = matmul_chain("chain", 64, (16, 128, 8))
    x, w0, y0, w1, y1 = (32 * v for v in (64 * 16, 16 * 128, 64 * 128, 128 * 8, 64 * 8))
    assert off_chip(dataclasses.replace(PLAIN, cache_bits=1 << 23), chain) == (x + w0 + w1, y1)
    read, write = off_chip(dataclasses.replace(PLAIN, cache_bits=0, fuse=True), chain)
    assert write == y0 + y1
    assert read >= x + w0 + y0 + w1


def test_without_a_cache_everything_comes_from_memory_and_goes_there() -> None:
    """Every operand of every kernel: products, attention's three kernels, depthwise windows, norms of their own."""
    for name, binding in (("minilm-l6", {"n": 5}), ("mobilenet-v1-0.25-128", {})):
        file = load_design("jetson-tx2")
        design = dataclasses.replace(TX2, cache_bits=0)
        program = file.model.lower(load_workload(name), design, binding)
        for task in program.tasks:
            if isinstance(task, Product):
                moved = (task.dram_a_bits, task.dram_b_bits, task.result_bits)
                assert moved == (task.a_bits, task.b_bits, task.out_bits)
            else:
                assert task.dram_write_bits == task.write_bits
                assert task.dram_read_bits == task.read_bits or name == "minilm-l6"  # rows of a table come as written


def test_what_was_pushed_out_before_its_second_reader_went_to_memory() -> None:
    """y, then z in 64 elements each, then z + y: a cache of 100 elements holds one of them, one of 200 all."""
    size, names = parse(64), ("x", "y", "z", "out")
    roles = (Role.INPUT, Role.ACTIVATION, Role.ACTIVATION, Role.OUTPUT)
    tensors = {n: Tensor(n, (size,), 32, "float32", role) for n, role in zip(names, roles, strict=True)}
    reads = {"y": ("x",), "z": ("y",), "out": ("z", "y")}
    ops = tuple(Op(f"make_{n}", "elementwise", i, (n,), {"elements": size}) for n, i in reads.items())
    graph = Graph("main", tensors, ops, ("x",), ("out",))
    network = Workload("skip", "", {}, {"main": graph}, {"once": (Phase("run", (Call("main"),)),)})
    found = {}
    for elements in (100, 140, 200):
        moves = plan(network, network.schedule(), {}, 32 * elements, 32, lambda graph: {})
        found[elements] = [(sorted(m.missed), sorted(m.spilled)) for m in moves]
    alone = [(["x"], []), ([], []), ([], ["out"])]
    assert found[200] == alone
    assert found[140] == alone
    assert found[100] == [(["x"], ["y"]), ([], []), (["y"], ["out"])]


def test_traffic_falls_as_the_cache_grows() -> None:
    network = batched(load_workload("mobilenet-v1-0.25-128"), 4)
    moved = [sum(off_chip(dataclasses.replace(TX2, cache_bits=1 << b), network)) for b in range(17, 29)]
    assert all(a >= b for a, b in itertools.pairwise(moved))
    assert moved[0] > 3 * moved[-1]


# --- networks ---------------------------------------------------------------------------------------------------


def test_fusion_and_folding_leave_fewer_kernels() -> None:
    network = load_workload("mobilenet-v1-0.25-128")
    steps = {
        (norms, fuse): len(evaluated(dataclasses.replace(TX2, norm_kernels=norms, fuse=fuse), network).program)
        for norms in (False, True) for fuse in (False, True)
    }  # fmt: skip
    graph = next(iter(network.graphs.values()))
    assert steps[False, False] - steps[False, True] == len(fused_into(graph)) == 27
    assert steps[True, False] - steps[False, False] == 27


def test_a_batch_is_that_many_inputs_and_one_set_of_weights() -> None:
    network = load_workload("mobilenet-v1-0.25-128")
    eight = batched(network, 8)
    layers = batched(two_layers(), 8).graphs["main"].ops
    assert [op.sizes({}) for op in layers if op.kind == "matmul"] == [
        {"batch": 1, "m": 24, "n": 100, "k": 64}, {"batch": 1, "m": 24, "n": 10, "k": 100},
    ]  # fmt: skip
    assert eight.macs({}) == 8 * network.macs({})
    one, many = (run("jetson-tx2", w, interval=False) for w in (network, eight))
    assert many.memory_peak_bits == one.memory_peak_bits
    assert one.latency_s.value < many.latency_s.value < 8 * one.latency_s.value
    with pytest.raises(InputError, match="an integer from 1"):
        batched(network, 0)


@pytest.mark.parametrize("name", ["minilm-l6", "efficientnet-lite0", "skynet-c"])
def test_a_batch_multiplies_the_work_of_every_operator(name: str) -> None:
    """The product of an operator's loop sizes, whatever they are called."""
    network = load_workload(name)
    binding = dict.fromkeys(network.symbols, 5)
    pairs = [
        (a, b)
        for graph, wide in zip(network.graphs.values(), batched(network, 4).graphs.values(), strict=True)
        for a, b in zip(graph.ops, wide.ops, strict=True)
        if a.disposition is Disposition.MODELLED
    ]
    assert len(pairs) > 10
    for a, b in pairs:
        assert math.prod(b.sizes(binding).values()) == 4 * math.prod(a.sizes(binding).values()), a.name


@pytest.mark.parametrize("workload", ["mobilenet-v1-1.0-224", "efficientnet-lite0"])
@pytest.mark.parametrize("design", ["jetson-tx2", "titan-xp-tiled", "tesla-v100"])
def test_networks_run(design: str, workload: str) -> None:
    result = run(design, workload)
    assert result.feasible
    assert result.macs_executed == result.macs == load_workload(workload).macs({})
    assert result.latency_s.low <= result.latency_s.value <= result.latency_s.high
