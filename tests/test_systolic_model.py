"""Systolic arrays: cycles and traffic against slow twins that walk folds and tiles one by one, and what must hold."""

import dataclasses
import itertools
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from accelerators.systolic import tiling
from accelerators.systolic.array import Pace, array_cycles, pace, run_cycles
from accelerators.systolic.design import Conv, Dataflow, Design, LoopOrder
from accelerators.systolic.lowering import reading
from accelerators.systolic.resident import Resident
from accelerators.systolic.tasks import Infeed, MappedProduct, Product, Stream, count_product, count_stream, infeed_ps
from accelerators.systolic.tiling import Tile
from hwsim.config import load_design
from hwsim.errors import InputError
from hwsim.evaluation import Evaluation, Job, evaluate
from hwsim.parts import resolve_parts
from hwsim.simulate import resolve_binding
from hwsim.testing import ModelSuite, matmul_chain
from hwsim.workload.ir import Workload
from hwsim.workload.store import load_workload
from hwsim.workload.training import training_step

DEEP = 10 if os.environ.get("HWSIM_DEEP") else 1
FLOWS = list(Dataflow)
ORDERS = [order for order in LoopOrder if order != LoopOrder.BEST]
FILE = load_design("systolic-16")
BASE: Design = FILE.design  # type: ignore[assignment]


class TestPromises(ModelSuite):
    """Every promise of the engine, on networks that reach every kind of task."""

    designs: ClassVar[Sequence[str | tuple[str, ...]]] = (
        "systolic-16",
        ("systolic-16", "dataflow=os", "overlap=false", "keep_on_chip=true", "cores=4", "infeed_rate=1 GB/s",
         "input_sram=32 KiB", "weight_sram=32 KiB", "output_sram=32 KiB", "input_banks=3", "step_overhead=1 us"),
        ("systolic-16", "dataflow=is", "conv=im2col", "fuse=false", "number_format=bf16", "op_overhead=2 us"),
        ("tpu-v2", "input_sram=64 KiB", "weight_sram=64 KiB", "output_sram=128 KiB"),
    )  # fmt: skip
    workloads: ClassVar[Sequence[Any]] = (
        "mobilenet-v1-0.25-128",
        "transformer-base",
        lambda: matmul_chain("chain", 7, (30, 200, 10)),
        lambda: training_step(load_workload("mnist-mlp"), "rmsprop"),
    )
    bindings: ClassVar[Mapping[str, Mapping[str, float]]] = {"transformer-base": {"n": 5, "m": 3}}
    agreement_rows: ClassVar[int] = 15_000
    random_points: ClassVar[int] = 12
    tasks: ClassVar[Sequence[Any]] = (
        Resident(20, 30, 40),
        MappedProduct(Product(2, 20, 30, 40, 0, 0, 5, 1, 0, 0), 8, 16, 40, 1),
        MappedProduct(Product(1, 60, 30, 90, 700, 12, 0, 0, 0, 0), 20, 30, 18, 4),
    )


def evaluated(network: str | Workload, *settings: str, design: str = "systolic-16", **bind: float) -> Evaluation:
    """One design, its settings changed, on one network."""
    file = load_design(design, settings)
    workload = load_workload(network) if isinstance(network, str) else network
    binding = resolve_binding(workload, bind)
    return evaluate(Job(file.model, file.design, resolve_parts(file.named), workload, binding))


def total(e: Evaluation, field: str) -> int:
    """A count over the whole run."""
    return sum(e.counts[t][e.names.fields.index(field)] for t in e.program.task)


def random_design(rng: random.Random) -> Design:
    """Small arrays and SRAMs, so that folds, tiles and stalls all occur."""
    while True:
        rows, columns = rng.randint(1, 9), rng.randint(1, 9)
        d = dataclasses.replace(
            BASE, rows=rows, columns=columns, dataflow=rng.choice(FLOWS), overlap=rng.random() < 0.5,
            input_sram_bits=8 * rng.randint(128, 2000), weight_sram_bits=8 * rng.randint(128, 2000),
            output_sram_bits=32 * rng.randint(32, 2000), input_bandwidth=rng.randint(1, 9),
            weight_bandwidth=rng.randint(1, 9), output_bandwidth=rng.randint(1, 9), input_banks=1, weight_banks=1,
            output_banks=1, dram_rate_bits_per_s=rng.choice([0, 10**9, 10**11]),
        )  # fmt: skip
        if not list(d.problems()):
            return d


# --- the array ----------------------------------------------------------------------------------------------------


def walked_cycles(overlap: bool, rows: int, columns: int, streams: Sequence[int], p: Pace, drains: bool) -> int:
    """Cycles of streams one after the other, each with its filling or its drain: the slow twin.

    Without overlap a filling begins when the last result is out, and a drain when the skew is over. With it, the next
    filling begins with the stream, whose end and its own it has to wait for; a drain likewise begins with the next
    stream, whose slot is at least as long. What is first (last) has no stream to hide under.
    """
    now = 0 if drains else p.fill
    for at, length in enumerate(streams):
        stream = length * p.interval
        if at == len(streams) - 1:
            return now + stream + rows + columns - 2 + (p.fill if drains else 0)
        if overlap:
            beside = now + p.fill
            now = max(now + stream, beside)
        else:
            now = now + stream + rows + columns - 2
            now += p.fill
    raise AssertionError("no stream")


def wavefront_cycles(rows: int, columns: int, length: int) -> int:
    """A fold of weights that stay, by the cycle in which each operand is where: the first is 0."""
    last = 0
    for t, i, j in itertools.product(range(length), range(rows), range(columns)):
        enters = rows + t + i
        last = max(last, enters + j)
    return last + 1


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("columns", [1, 3, 4])
def test_a_fold_takes_as_long_as_its_wavefront(rows: int, columns: int) -> None:
    for length in (1, 2, 7):
        assert array_cycles(Dataflow.WS, False, rows, columns, length, columns, rows) == wavefront_cycles(
            rows, columns, length
        )


def test_folds_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The closed forms against folds that are walked one by one, with and without overlap and stalls."""
    rng, n = random.Random(1), 0
    for _ in range(400 * DEEP):
        rows, columns, folds = rng.randint(1, 7), rng.randint(1, 7), rng.randint(1, 6)
        pieces, full = rng.randint(1, 4), rng.randint(1, 20)
        last = rng.randint(1, full)
        p = Pace(rng.randint(1, 3), rows * rng.randint(1, 3))
        streams = ([full] * (pieces - 1) + [last]) * folds
        for overlap in (False, True):
            found = run_cycles(overlap, rows, columns, folds, pieces, full, last, p)
            for drains in (False, True):
                assert found == walked_cycles(overlap, rows, columns, streams, p, drains), (overlap, drains, streams, p)
                n += 1
    with capsys.disabled():
        print(f"\nfolds walked one by one: {n} cases")


GEMM1 = (128, 768, 768)
BERT_LAYER = [GEMM1] * 4 + [(128, 128, 64)] * 12 + [(128, 64, 128)] * 12 + [(128, 3072, 768), (128, 768, 3072)]


@pytest.mark.parametrize("side, cycles", [(16, 4_944_354), (32, 1_577_058), (128, 232_530)])
def test_scale_sims_totals(side: int, cycles: int) -> None:
    """A BERT-base layer on SCALE-Sim 3.0.0, weight stationary, as measured: its last cycle of a layer is numbered from
    0, so that each is one less."""
    assert sum(array_cycles(Dataflow.WS, False, side, side, *gemm) - 1 for gemm in BERT_LAYER) == cycles


@pytest.mark.parametrize("flow", FLOWS)
def test_the_published_formula(flow: Dataflow) -> None:
    """folds * (2R + C + T - 2), and with overlap R + (folds - 1) * max(T, R) + T + R + C - 2."""
    rng = random.Random(int(flow))
    for _ in range(200):
        r, c, m, n, k = (rng.randint(1, 40) for _ in range(5))
        up, across, t = {0: (k, n, m), 1: (m, n, k), 2: (k, m, n)}[int(flow)]
        folds = -(-up // r) * -(-across // c)
        assert array_cycles(flow, False, r, c, m, n, k) == folds * (2 * r + c + t - 2)
        assert array_cycles(flow, True, r, c, m, n, k) == r + (folds - 1) * max(t, r) + t + r + c - 2


# --- tiles --------------------------------------------------------------------------------------------------------


def ranges(size: int, tile: int) -> list[range]:
    return [range(at, min(size, at + tile)) for at in range(0, size, tile)]


@dataclasses.dataclass
class Walk:
    """Tiles and folds one by one, everything counted as it moves: the slow twin of `tiling.traffic` and `cycles`."""

    design: Design
    held: dict[str, Any] = dataclasses.field(default_factory=dict)
    moved: dict[str, int] = dataclasses.field(default_factory=dict)
    streams: list[int] = dataclasses.field(default_factory=list)
    block: Any = None

    def add(self, what: str, bits: int) -> None:
        self.moved[what] = self.moved.get(what, 0) + bits

    def run(self, m: int, n: int, k: int, tile: Tile) -> None:
        axes = {"m": ranges(m, tile.tile_m), "n": ranges(n, tile.tile_n), "k": ranges(k, tile.tile_k)}
        names = LoopOrder(tile.order).name.lower()
        d, seen = self.design, set()
        for spans in itertools.product(*(axes[a] for a in names)):
            at = dict(zip(names, spans, strict=True))
            for operand, (a, b), bits in (("input", "mk", d.input_bits), ("weight", "kn", d.weight_bits)):
                if self.held.get(operand) != (at[a], at[b]):
                    self.held[operand] = (at[a], at[b])
                    self.add(f"{operand}_bits", len(at[a]) * len(at[b]) * bits)
            place = (at["m"], at["n"])
            if self.held.get("result") != place:
                self.leave(k)
                if place in seen:
                    self.add("partial_read_bits", len(at["m"]) * len(at["n"]) * d.accumulator_bits)
                seen.add(place)
                self.held["result"] = place
            self.held["k"] = at["k"]
            self.folds(at["m"], at["n"], at["k"], tile)
        self.leave(k)

    def leave(self, k: int) -> None:
        """What stands in the output SRAM leaves: complete, or as partial sums."""
        if "result" in self.held:
            rows, columns = self.held["result"]
            whole = self.held["k"].stop == k
            bits = self.design.output_bits if whole else self.design.accumulator_bits
            self.add("result_bits" if whole else "partial_write_bits", len(rows) * len(columns) * bits)

    def folds(self, m: range, n: range, k: range, tile: Tile) -> None:
        """The folds of one tile: what the array reads and writes in each."""
        d = self.design
        up, across, along = {0: (k, n, m), 1: (m, n, k), 2: (k, m, n)}[int(d.dataflow)]
        sizes = {0: (tile.tile_k, tile.tile_n), 1: (tile.tile_m, tile.tile_n), 2: (tile.tile_k, tile.tile_m)}
        tall, broad = sizes[int(d.dataflow)]
        for i, j in itertools.product(range(0, len(up), d.rows), range(0, len(across), d.columns)):
            high, wide = min(d.rows, len(up) - i), min(d.columns, len(across) - j)
            block, length = (up.start + i, across.start + j), len(along)
            # The same block again, in the tile that follows on along the stream: it never left the array.
            again = self.block == block and tall <= d.rows and broad <= d.columns
            self.block = block
            if again:
                self.streams[-1] += length
            else:
                self.streams.append(length)
            if d.dataflow == Dataflow.WS:
                self.words(length * high, 0 if again else high * wide, length * wide, again)
            elif d.dataflow == Dataflow.IS:
                self.words(0 if again else high * wide, length * high, length * wide, again)
            else:
                self.words(length * high, length * wide, 0 if again else high * wide, again)

    def words(self, inputs: int, weights: int, outputs: int, again: bool) -> None:
        self.add("input_reads", inputs * self.design.input_bits)
        self.add("weight_reads", weights * self.design.weight_bits)
        self.add("output_writes", outputs * self.design.accumulator_bits)


def random_case(rng: random.Random, d: Design) -> tuple[int, int, int, Tile]:
    """A product, and tiles in steps of the array as `choose` makes them, or of any size."""
    m, n, k = (rng.randint(1, 40) for _ in range(3))
    steps = {0: (1, d.columns, d.rows), 1: (d.rows, d.columns, 1), 2: (d.columns, 1, d.rows)}[int(d.dataflow)]
    if rng.random() < 0.3:
        steps = (1, 1, 1)
    sizes = (min(size, step * rng.randint(1, 8)) for size, step in zip((m, n, k), steps, strict=True))
    return m, n, k, Tile(*sizes, order=int(rng.choice(ORDERS)))


def test_tiles_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Traffic of DRAM and SRAM, and cycles, against tiles and folds walked one by one."""
    rng, n_cases = random.Random(2), 600 * DEEP
    kept = spilled = 0
    for _ in range(n_cases):
        d = random_design(rng)
        m, n, k, tile = random_case(rng, d)
        walk = Walk(d)
        walk.run(m, n, k, tile)
        found = tiling.traffic(d, m, n, k, *tile)._asdict()
        case = (d.rows, d.columns, d.dataflow, (m, n, k), tile)
        for name in ("input_bits", "weight_bits", "partial_read_bits", "partial_write_bits", "result_bits",
                     "input_reads", "weight_reads", "output_writes"):  # fmt: skip
            assert found[name] == walk.moved.get(name, 0), (name, case)
        first = m * n * d.accumulator_bits
        assert found["output_reads"] == walk.moved["output_writes"] - first, case
        p = pace(d, tile.tile_m, tile.tile_n, tile.tile_k)
        drains = d.dataflow == Dataflow.OS
        assert tiling.cycles(d, m, n, k, *tile) == walked_cycles(
            d.overlap, d.rows, d.columns, walk.streams, p, drains
        ), case
        kept += len(walk.streams) < -(-m // tile.tile_m) * -(-n // tile.tile_n) * -(-k // tile.tile_k)
        spilled += found["partial_read_bits"] > 0
    with capsys.disabled():
        print(f"\ntiles walked one by one: {n_cases} cases, {kept} with a block kept, {spilled} with partial sums out")
    assert kept > 20 and spilled > 100


def pixels_of(rows: Sequence[int], out_w: int, in_h: int, in_w: int, kernel: int, stride: int, pad: int) -> int:
    """Different input pixels that output pixels need, by looking at each."""
    found = set()
    for p in rows:
        for i, j in itertools.product(range(kernel), range(kernel)):
            y, x = p // out_w * stride + i - pad, p % out_w * stride + j - pad
            if 0 <= y < in_h and 0 <= x < in_w:
                found.add((y, x))
    return len(found)


@pytest.mark.parametrize("kernel, stride, pad", [(3, 1, 1), (3, 2, 1), (5, 1, 2), (1, 1, 0), (7, 2, 3), (2, 2, 0)])
def test_a_convolutions_inputs_pixel_by_pixel(kernel: int, stride: int, pad: int) -> None:
    """What tiles of rows read of one channel, against the pixels that their windows touch. A tile that ends within a
    row of the image shares up to a window more with the next, which the formula leaves out."""
    size = 12
    out = (size + 2 * pad - kernel) // stride + 1
    halo = max(0, kernel - stride) * size
    for tile_m in (out, 2 * out, 3 * out, 5, 17, out * out):
        tiles = ranges(out * out, tile_m)
        looked = sum(pixels_of(list(t), out, size, size, kernel, stride, pad) for t in tiles)
        formula = tiling.input_elements(out * out, kernel * kernel, len(tiles), size * size, halo)
        assert formula >= looked - len(tiles) * kernel * kernel
        if tile_m % out == 0:
            # Padding is read by nobody, and rows that no window touches neither.
            assert looked <= formula <= looked + len(tiles) * kernel * size


def products(rng: random.Random, n: int) -> Iterator[tuple[int, int, int]]:
    for _ in range(n):
        yield rng.randint(1, 400), rng.randint(1, 400), rng.randint(1, 400)


def test_chosen_tiles_fit_and_no_order_of_them_is_cheaper() -> None:
    """Whatever is chosen fits half of each SRAM; the same tiles in another order cost no less."""
    rng = random.Random(3)
    for m, n, k in products(rng, 150 * DEEP):
        d = random_design(rng)
        tile = tiling.choose(d, m, n, k)
        assert tiling.fits(d, m, n, k, tile.tile_m, tile.tile_n, tile.tile_k), (d, m, n, k, tile)
        q = tiling.Question(m, n, k, 0, 0, 1, 1, d.dram_rate_bits_per_s * d.dram_channels // d.clock_khz)
        best = tiling.cost(d, q, tile)
        for order in ORDERS:
            assert not tiling.cheaper(tiling.cost(d, q, tile._replace(order=int(order))), best), (
                d,
                m,
                n,
                k,
                tile,
                order,
            )
        fixed = dataclasses.replace(d, loop_order=rng.choice(ORDERS))
        chosen = tiling.choose(fixed, m, n, k)
        assert chosen.order == fixed.loop_order
        assert tiling.fits(d, m, n, k, chosen.tile_m, chosen.tile_n, chosen.tile_k)
        assert not tiling.cheaper(tiling.cost(d, q, chosen), best)


def all_tiles(d: Design, m: int, n: int, k: int) -> Iterator[Tile]:
    sizes = itertools.product(range(1, m + 1), range(1, n + 1), range(1, k + 1), ORDERS)
    return (Tile(a, b, c, int(o)) for a, b, c, o in sizes if tiling.fits(d, m, n, k, a, b, c))


def test_chosen_tiles_against_all_tiles(capsys: pytest.CaptureFixture[str]) -> None:
    """How much more the choice costs than the best of all tiles and orders, on products small enough to try them."""
    rng = random.Random(4)
    over = []
    for _ in range(12 * DEEP):
        d = dataclasses.replace(random_design(rng), rows=2, columns=2, dram_rate_bits_per_s=10**10)
        d = dataclasses.replace(d, input_sram_bits=1 << 10, weight_sram_bits=1 << 10, output_sram_bits=1 << 11)
        m, n, k = (rng.randint(4, 24) for _ in range(3))
        q = tiling.Question(m, n, k, 0, 0, 1, 1, d.dram_rate_bits_per_s * d.dram_channels // d.clock_khz)
        best = min(tiling.cost(d, q, tile).slower for tile in all_tiles(d, m, n, k))
        over.append(tiling.cost(d, q, tiling.choose(d, m, n, k)).slower / best)
    with capsys.disabled():
        print(f"\nchosen tiles over the best of all: mean {sum(over) / len(over):.3f}, worst {max(over):.3f}")
    assert min(over) >= 1
    assert sum(over) / len(over) < 1.15


@pytest.mark.parametrize("flow", FLOWS)
def test_larger_srams_never_cost_more(flow: Dataflow) -> None:
    """The cost that tiles are chosen by never rises with an SRAM: neither bits nor cycles are traded for nothing."""
    rng = random.Random(10 + int(flow))
    for m, n, k in products(rng, 40 * DEEP):
        d = dataclasses.replace(random_design(rng), dataflow=flow, input_bandwidth=9, weight_bandwidth=9,
                                output_bandwidth=9)  # fmt: skip
        if list(d.problems()):
            continue
        q = tiling.Question(m, n, k, 0, 0, 1, 1, d.dram_rate_bits_per_s * d.dram_channels // d.clock_khz)
        cost = tiling.cost(d, q, tiling.choose(d, m, n, k))
        for field in ("input_sram_bits", "weight_sram_bits", "output_sram_bits"):
            larger = dataclasses.replace(d, **{field: round(getattr(d, field) * rng.uniform(1, 3))})
            there = tiling.cost(larger, q, tiling.choose(larger, m, n, k))
            assert there.slower <= cost.slower, (d, m, n, k, field)


# --- tasks --------------------------------------------------------------------------------------------------------


def product(**sizes: int) -> Product:
    """A plain product with these sizes."""
    named = {"batch": 1, "m": 40, "n": 30, "k": 50, "unique": 0, "halo": 0, "added": 0, "fused": 0, "handed_in": 0}
    return Product(**{**named, "handed_out": 0, **sizes})


@pytest.mark.parametrize("cores, batch, m", [(4, 1, 40), (4, 6, 40), (4, 2, 41), (3, 1, 2), (5, 3, 7), (1, 1, 9)])
@pytest.mark.parametrize("share", [False, True])
def test_cores_one_by_one(cores: int, batch: int, m: int, share: bool) -> None:
    """Rows and products dealt to cores by hand: the busiest one sets the cycles, all of them the traffic."""
    d = dataclasses.replace(BASE, cores=cores, share_weights=share)
    found = count_product(d, product(batch=batch, m=m))
    if batch >= cores:
        hands = [(m, batch // cores + (core < batch % cores)) for core in range(cores)]
    else:
        rows = -(-m // (cores // batch))
        hands = [(rows, 1)] * (batch * -(-m // rows))
    alone = dataclasses.replace(d, cores=1)
    each = {rows: count_product(alone, product(m=rows)) for rows, _ in hands}
    assert found.array_cycles <= max(number * each[rows].array_cycles for rows, number in hands)
    assert found.array_cycles >= max(rows * 30 * 50 * number for rows, number in hands) // 256
    reads = sum(number * each[rows].weight_read_bits for rows, number in hands)
    assert found.weight_read_bits == reads
    weights = 30 * 50 * 8
    read_once = batch * weights if share or batch >= cores else len(hands) * weights
    assert found.dram_read_bits == sum(number * rows for rows, number in hands) * 50 * 8 + read_once
    assert found.macs_executed == batch * m * 30 * 50


def test_a_batch_is_as_its_products_one_by_one() -> None:
    """Without overlap a batch takes as long as its products; with it, later fillings are hidden as well."""
    for flow, overlap in itertools.product(FLOWS, (False, True)):
        d = dataclasses.replace(BASE, dataflow=flow, overlap=overlap)
        one, seven = count_product(d, product()), count_product(d, product(batch=7))
        assert seven.array_cycles <= 7 * one.array_cycles
        assert (seven.array_cycles == 7 * one.array_cycles) == (not overlap)
        assert seven.dram_read_bits == 7 * one.dram_read_bits
        assert seven.output_write_bits == 7 * one.output_write_bits


def test_lanes_behind_the_array_can_hold_it() -> None:
    few = dataclasses.replace(BASE, vector_lanes=1)
    found = count_product(few, product(fused=2))
    assert found.post_cycles == 2 * 40 * 30 > found.array_cycles
    assert found.vector_ops == 2 * 40 * 30


def test_a_row_too_long_is_read_in_every_pass() -> None:
    """Half of 256 KiB holds 131,072 elements of 8 bits."""
    short, long = Stream(131_072, 131_072, 0, 131_072, 3, 0, 0, 0), Stream(131_073, 131_073, 0, 131_073, 3, 0, 0, 0)
    assert count_stream(BASE, short).dram_read_bits == 8 * 131_072
    assert count_stream(BASE, long).dram_read_bits == 3 * 8 * 131_073


@pytest.mark.parametrize("bits", [0, 1, 8_000, 3 * 10**12 + 7])
def test_the_link_in_exact_fractions(bits: int) -> None:
    d = dataclasses.replace(BASE, infeed_rate_bits_per_s=8 * 10**9)
    assert infeed_ps(d, bits) == -(-bits * 1000 // 8)


# --- networks -----------------------------------------------------------------------------------------------------

NETWORKS = ("resnet18", "mobilenet-v2", "bert-layer", "gpt2-small", "transformer-base", "lstm-lm", "gcn-cora")
SMALL: Mapping[str, Mapping[str, float]] = {"gpt2-small": {"n": 3, "m": 2}, "transformer-base": {"n": 4, "m": 3}}


def compulsory_bits(e: Evaluation) -> int:
    """Weights that products read, once each, at 8 bits."""
    return sum(b for p, b in zip(e.program.occupied, e.occupied_bits, strict=True) if p.what == "weights")


@pytest.mark.parametrize("network", NETWORKS)
def test_no_network_beats_the_hardware(network: str) -> None:
    """Cycles against MACs over the peak; weights cross the port; every MAC of the network is executed."""
    workload = load_workload(network)
    given = {k: v for k, v in SMALL.get(network, {}).items() if k in workload.symbols}
    for side, flow in ((16, "ws"), (32, "os"), (8, "is")):
        e = evaluated(network, f"rows={side}", f"columns={2 * side}", f"dataflow={flow}", **given)
        executed = total(e, "macs_executed")
        assert executed == sum(layer.macs for layer in e.program.layers) > 0
        assert total(e, "array_cycles") * 2 * side * side >= executed
        assert total(e, "dram_read_bits") >= compulsory_bits(e) > 0
        assert e.makespan_ps >= 1000 * total(e, "array_cycles")


@pytest.mark.parametrize("flow", ["ws", "os", "is"])
def test_larger_srams_are_never_slower(flow: str) -> None:
    """Time, and bits through DRAM, of whole networks while all SRAMs double from 16 KiB to 2 MiB."""
    compared = 0
    for network, side in itertools.product(("resnet18", "bert-layer"), (8, 48)):
        settings = [f"dataflow={flow}", *(f"{x}={side}" for x in ("rows", "columns"))]
        settings += [f"{x}_banks={side}" for x in ("input", "weight", "output")]
        last = None
        for kib in (32, 64, 128, 256, 512, 1024, 2048):
            e = evaluated(network, *settings, *(f"{x}_sram={kib} KiB" for x in ("input", "weight", "output")))
            here = e.makespan_ps, total(e, "dram_read_bits") + total(e, "dram_write_bits")
            if last:
                assert here[0] <= last[0] and here[1] <= last[1], (network, side, kib)
                compared += 1
            last = here
    assert compared == 24


def test_stalls_are_named_and_never_faster() -> None:
    """Fewer words a cycle: never fewer cycles, and the report says what held the array."""
    free = evaluated("resnet18")
    held = evaluated("resnet18", "input_banks=5")
    assert held.makespan_ps > free.makespan_ps
    fields = held.names.fields
    slow = [t for t, time in enumerate(held.times) if fields[time.bound] == "buffer_cycles"]
    assert slow and all(fields[time.bound] != "buffer_cycles" for time in free.times)
    assert total(free, "array_cycles") == total(held, "array_cycles")


def test_im2col_moves_the_lowered_matrix_twice() -> None:
    direct, lowered = evaluated("resnet18"), evaluated("resnet18", "conv=im2col")
    passes = [t for t in lowered.program.tasks if isinstance(t, Stream) and t.operations == 0]
    assert all(t.written >= t.read for t in passes) and sum(t.written > t.read for t in passes) > 5
    extra = total(lowered, "dram_read_bits") - total(direct, "dram_read_bits")
    assert extra > 0 and lowered.makespan_ps > direct.makespan_ps
    assert total(lowered, "macs_executed") == total(direct, "macs_executed")
    assert total(lowered, "dram_write_bits") - total(direct, "dram_write_bits") == 8 * sum(
        lowered.program.tasks[t].written for t in lowered.program.task if lowered.program.tasks[t] in passes
    )


def test_what_stays_on_chip_is_not_moved() -> None:
    """Small networks: only weights, what several layers read, and the ends go through DRAM."""
    through, kept = evaluated("mnist-mlp"), evaluated("mnist-mlp", "keep_on_chip=true")
    handed = [t.handed_out for t in kept.program.tasks if isinstance(t, Product)]
    saved = total(through, "dram_write_bits") - total(kept, "dram_write_bits")
    assert saved == 8 * sum(handed) > 0
    assert total(through, "dram_read_bits") - total(kept, "dram_read_bits") == saved
    assert evaluated("mnist-mlp", "keep_on_chip=true", "input_sram=1 Kibit").makespan_ps > kept.makespan_ps
    tiny = evaluated("mnist-mlp", "keep_on_chip=true", "input_sram=1 Kibit")
    assert total(tiny, "dram_write_bits") == total(through, "dram_write_bits")


def test_activations_run_with_what_makes_them() -> None:
    """ReLUs behind convolutions and additions have no step; without fusion each is a pass through DRAM."""
    fused, apart = evaluated("resnet18"), evaluated("resnet18", "fuse=false")
    relus = [op for g in load_workload("resnet18").graphs.values() for op in g.ops if "relu" in op.name]
    assert len(apart.program) - len(fused.program) == len(relus) == 17
    assert total(fused, "vector_ops") == total(apart, "vector_ops")
    assert total(fused, "dram_read_bits") < total(apart, "dram_read_bits")


def test_reading_leaves_shared_results_alone() -> None:
    """What a residual reads again is neither fused away nor handed on."""
    graph = next(iter(load_workload("resnet18").graphs.values()))
    read = reading(graph, dataclasses.replace(BASE, keep_on_chip=True))
    readers: dict[str, int] = {}
    for op in graph.ops:
        for name in op.inputs:
            readers[name] = readers.get(name, 0) + 1
    made = {op.name: op for op in graph.ops}
    for name in read.fused:
        assert readers[made[name].inputs[0]] == 1
    for name in read.handed:
        shown = [other for other, root in read.alias.items() if root == name]
        assert sum(readers.get(n, 0) for n in shown if n not in {o for f in read.fused for o in made[f].inputs}) <= 1


# --- ceilings and overheads ---------------------------------------------------------------------------------------


def test_infeed_is_a_third_ceiling() -> None:
    """The run lasts as long as the link or the network, whichever is slower; the host's time precedes the latter."""
    alone = evaluated("resnet18")
    elements = next(t.elements for t in alone.program.tasks if isinstance(t, Infeed))
    assert elements == 3 * 224 * 224
    for rate in (1, 10, 1000):
        e = evaluated("resnet18", f"infeed_rate={rate} MB/s", "step_overhead=50 us", "infeed_overhead=7 us")
        link = 7_000_000 + elements * 1_000_000 // rate
        assert e.makespan_ps == max(link, 50_000_000 + alone.makespan_ps)
        assert total(e, "infeed_bits") == 8 * elements


def test_every_operator_waits_for_its_overhead() -> None:
    """A chain of n steps takes n overheads more, but for what stores hide of them."""
    chain = matmul_chain("chain", 64, (256, 256, 256, 256))
    without, paid = evaluated(chain), evaluated(chain, "op_overhead=3 us")
    steps = len(without.program) - 2
    assert steps * 3_000_000 * 0.8 <= paid.makespan_ps - without.makespan_ps <= steps * 3_000_000


def test_a_convolution_without_halo_reads_its_image_once() -> None:
    """A 1 x 1 convolution of stride 1 is a plain product, direct or not."""
    graph = next(iter(load_workload("mobilenet-v1-0.25-128").graphs.values()))
    pointwise = sum(op.kind == "conv2d" and str(op.dims["kernel_h"]) == "1" for op in graph.ops)
    for conv in Conv:
        e = evaluated("mobilenet-v1-0.25-128", f"conv={conv.name.lower()}")
        plain = [t for t in e.program.task if isinstance(e.program.tasks[t], Product) and not e.program.tasks[t].unique]
        assert len(plain) >= pointwise


def test_the_page_shows_what_its_code_prints() -> None:
    """The example of docs/systolic.md."""
    design = load_design("systolic-32").design
    tile = tiling.choose(design, 3136, 64, 576)  # type: ignore[arg-type]
    page = (Path(__file__).parent.parent / "docs" / "systolic.md").read_text(encoding="utf-8")
    assert f"# {tile}" in page
    assert f"# {tiling.cycles(design, 3136, 64, 576, *tile)}" in page  # type: ignore[arg-type]


# --- bad input ----------------------------------------------------------------------------------------------------


def test_an_sram_too_small_says_what_it_needs() -> None:
    with pytest.raises(InputError) as caught:
        load_design("systolic-128", ["weight_sram=16 KiB"])
    assert str(caught.value) == (
        "--set weight_sram=16 KiB: [rule] weight_sram: got 16 KiB; each half holds one fold of the array: "
        "16384 elements of 8 bits for ws. Write 262144 bit or more, or a smaller array."
    )


def test_a_link_too_slow_to_be_timed_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        load_design("systolic-16", ["infeed_rate=100 kbit/s"])
    assert str(caught.value) == (
        "--set infeed_rate=100 kbit/s: [rule] infeed_rate: got 100 kbit/s; 0, or 1 Mbit/s or more. "
        "Write 0 GB/s for inputs that are there."
    )


def test_a_rate_that_is_not_the_parts_is_remarked_on() -> None:
    file = load_design("systolic-16", ["dram=hbm2"])
    (note,) = file.model.remarks(file.design, resolve_parts(file.named), None)  # type: ignore[attr-defined]
    assert note == "tiles are chosen for DRAM channels of 19.2 GB/s; the part has 32.0"
    assert FILE.model.remarks(FILE.design, resolve_parts(FILE.named), None) == ()  # type: ignore[attr-defined]
