"""The OPTIMUS model: what is lowered, counted, held and moved, against formulas and figures from elsewhere."""

from __future__ import annotations

import dataclasses
import io
import itertools
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelerators.optimus import masks, reproduce, sparse, tasks
from accelerators.optimus.design import Design, LogitsRows, WeightFormat
from accelerators.optimus.placement import held, lifetimes
from accelerators.optimus.tasks import DenseProduct, Fetch, Lookup, PackedProduct, SparseProduct, VectorOp
from hwsim.config import DesignFile, load_design
from hwsim.errors import InputError
from hwsim.evaluation import Evaluation, Job, evaluate
from hwsim.expr import parse
from hwsim.model import Program
from hwsim.parts import resolve_parts
from hwsim.result import Result
from hwsim.simulate import resolve_binding, run
from hwsim.testing import matmul_chain, random_designs, random_tasks
from hwsim.timing.compile import agreement
from hwsim.workload.ir import Call, Graph, Op, Phase, Role, Symbol, Tensor, Workload
from hwsim.workload.store import load_workload

SHIPPED = load_design("optimus")
TRANSFORMER = load_workload("transformer-base")


def job(file: DesignFile = SHIPPED, workload: Workload = TRANSFORMER, bind: Mapping[str, float] | None = None) -> Job:
    parts = resolve_parts(file.named)
    return Job(file.model, file.design, parts, workload, resolve_binding(workload, bind))


def moved(**changes: Any) -> Design:
    return dataclasses.replace(SHIPPED.design, **changes)


def evaluated(design: Design, workload: Workload = TRANSFORMER, bind: Mapping[str, float] | None = None) -> Evaluation:
    return evaluate(dataclasses.replace(job(workload=workload, bind=bind), design=design))


def total(e: Evaluation, field: str) -> int:
    at = e.names.fields.index(field)
    return sum(e.counts[t][at] for t in e.program.task)


def one_graph(name: str, tensors: Sequence[Tensor], ops: Sequence[Op]) -> Workload:
    graph = Graph("main", {t.name: t for t in tensors}, tuple(ops), (tensors[0].name,), (ops[-1].outputs[0],))
    density = {"density": Symbol(1.0, 0.01, 1.0, "share of non-zeros", ratio=True)}
    return Workload(name, "a test", density, {"main": graph}, {"once": (Phase("run", (Call("main"),)),)})


def tensor(name: str, shape: Sequence[int], role: Role, **more: Any) -> Tensor:
    return Tensor(name, tuple(parse(s) for s in shape), 32, "float32", role, **more)


def dims(**sizes: int) -> dict[str, Any]:
    return {name: parse(size) for name, size in sizes.items()}


def one_product(rows: int, outputs: int, columns: int, **more: Any) -> Workload:
    tensors = [tensor("x", (rows, columns), Role.INPUT), tensor("w", (outputs, columns), Role.WEIGHT, **more)]
    tensors.append(tensor("y", (rows, outputs), Role.OUTPUT))
    sizes = dims(batch=1, m=rows, n=outputs, k=columns)
    return one_graph("one-product", tensors, [Op("linear", "matmul", ("x", "w"), ("y",), sizes, {"static": True})])


# --- MACs and schedules -----------------------------------------------------------------------------------------


def sheet_macs(n: int, rows: str) -> tuple[int, int]:
    """(encoder, decoder) MACs of Transformer base with n = m, from the closed formulas of its dimensions."""
    layers, d, f, vocabulary = 6, 512, 2048, 37_000
    encoder = layers * (n * (4 * d * d + 2 * d * f) + 2 * n * n * d)
    if rows == "cached":
        steps = (layers * (6 * d * d + 2 * d * f + 2 * t * d + 2 * n * d) + d * vocabulary for t in range(1, n + 1))
        return encoder, layers * n * 2 * d * d + sum(steps)
    decoder = 0
    for t in range(1, n + 1):
        logits = t if rows == "all" else 1
        layer = t * (6 * d * d + 2 * d * f) + 2 * t * t * d + 2 * t * n * d + n * 2 * d * d
        decoder += layers * layer + logits * d * vocabulary
    return encoder, decoder


@pytest.mark.parametrize(
    ("n", "last_row", "all_rows"), [(10, 3.03, 4.38), (20, 5.28, 8.12), (30, 7.54, 11.87), (50, 12.08, 19.36)]
)
def test_mac_ratios_of_decode_caching_are_exact(n: int, last_row: float, all_rows: float) -> None:
    asked = {}
    for name, changes in (
        ("cached", {}),
        ("last", {"decode_cache": False}),
        ("all", {"decode_cache": False, "logits_rows": LogitsRows.ALL}),
    ):
        program = SHIPPED.model.lower(TRANSFORMER, moved(**changes), resolve_binding(TRANSFORMER, {"n": n, "m": n}))
        asked[name] = sum(layer.macs for layer in program.layers)
        assert asked[name] == sum(sheet_macs(n, name))
    assert round(asked["last"] / asked["cached"], 2) == last_row
    assert round(asked["all"] / asked["cached"], 2) == all_rows


def test_a_layer_a_phase_carries_the_macs_of_all_passes() -> None:
    program = job(bind={"n": 5, "m": 4}).lower()
    names = [(layer.phase, layer.name) for layer in program.layers]
    assert len(names) == len(set(names))
    encoder = sum(layer.macs for layer in program.layers if layer.phase == "encode")
    assert encoder == sheet_macs(5, "cached")[0]


def test_turns_number_the_generated_tokens() -> None:
    program = job(bind={"n": 3, "m": 4}).lower()
    assert sorted(set(program.turn)) == [-1, 0, 1, 2, 3]


def test_other_workloads_run_their_default_schedule() -> None:
    chain = matmul_chain("chain", rows=2, widths=(8, 8))
    for cached in (True, False):
        program = SHIPPED.model.lower(chain, moved(decode_cache=cached), {})
        assert sum(layer.macs for layer in program.layers) == 2 * 8 * 8


# --- counts by hand ---------------------------------------------------------------------------------------------


def test_counts_of_one_sparse_product() -> None:
    nnz = 512 * 512 // 4
    counts = tasks.count_sparse(SHIPPED.design, SparseProduct(1, 512, 512, nnz, 0))
    stored = nnz * (16 + 3) + 512 * 64 * 4
    assert counts.macs_executed == nnz
    assert counts.dram_read_bits == counts.weight_write_bits == counts.weight_read_bits == stored
    assert 1 + 64 <= counts.array_cycles <= 1 + 66
    assert counts.array_drain_cycles == 4 + 4
    assert counts.activation_read_bits == 512 * 16
    assert counts.activation_write_bits == 512 * 16
    assert counts.dram_write_bits == 0


def test_rows_reuse_one_load() -> None:
    nnz = 512 * 512 // 4
    one = tasks.count_sparse(SHIPPED.design, SparseProduct(1, 512, 512, nnz, 0))
    many = tasks.count_sparse(SHIPPED.design, SparseProduct(30, 512, 512, nnz, 0))
    assert many.dram_read_bits == one.dram_read_bits
    assert many.array_cycles - 1 == 30 * (one.array_cycles - 1)  # the first window of later rows arrives meanwhile
    assert many.weight_read_bits == 30 * one.weight_read_bits


def test_the_vocabulary_runs_in_tiles_of_the_accumulators() -> None:
    task = SparseProduct(1, 37_000, 512, 37_000 * 512 // 4, 0)
    counts = tasks.count_sparse(SHIPPED.design, task)
    tile = tasks.count_sparse(SHIPPED.design, SparseProduct(1, 2048, 512, 2048 * 512 // 4, 0))
    rest = tasks.count_sparse(SHIPPED.design, SparseProduct(1, 136, 512, 136 * 512 // 4, 0))
    assert counts.array_cycles == 18 * tile.array_cycles + rest.array_cycles
    assert counts.activation_read_bits == 19 * 512 * 16


def test_dense_storage_multiplies_every_zero() -> None:
    counts = tasks.count_sparse(moved(weight_format=WeightFormat.DENSE), SparseProduct(2, 512, 512, 9_999, 0))
    assert counts.chunks == 2  # 4 Mbit in two slots of 2 Mbit
    aside = -(-8 * 40 // (16 * 16))  # 8 rows a set, of 16 ways
    assert counts.array_cycles == 2 * (1 + 2 * 128) + aside  # the first row's sums come back before it runs
    assert counts.activation_write_bits == 2 * 512 * 16 + 2 * 512 * 40
    assert counts.macs_executed == 2 * 512 * 512
    assert counts.dram_read_bits == 512 * 512 * 16
    assert counts.index_reads == 0


def test_counts_of_one_attention_product() -> None:
    """8 heads of 64 against 30 keys: 240 outputs over 64 sets are 4 rows of 64 over 16 ways, 16 cycles; the 512 inputs
    pass the window in 49. The first window takes a cycle."""
    counts = tasks.count_dense(SHIPPED.design, DenseProduct(3, 240, 64, 512, 0))
    assert counts.array_cycles == 1 + 3 * 49
    assert tasks.count_dense(moved(rate=64), DenseProduct(3, 240, 64, 512, 0)).array_cycles == 1 + 3 * 16
    assert counts.macs_executed == 3 * 240 * 64
    assert counts.activation_read_bits == (3 * 240 * 64 + 3 * 512) * 16


def test_counts_of_vector_work_and_lookups() -> None:
    softmax = tasks.count_vector(SHIPPED.design, VectorOp(240, 1, 240, 3, 0))
    assert softmax.vector_cycles == 3 * 4
    assert softmax.activation_read_bits == 3 * 240 * 16
    lookup = tasks.count_lookup(SHIPPED.design, Lookup(30, 512, 0))
    assert (lookup.dram_read_bits, lookup.dram_read_runs) == (30 * 512 * 16, 30)


def test_partial_sums_are_set_aside_only_between_chunks_of_a_tile() -> None:
    task = SparseProduct(30, 512, 512, 512 * 512 // 4, 0)
    roomy = tasks.count_sparse(moved(weight_buffer_bits=1 << 24), task)
    tight = tasks.count_sparse(moved(weight_buffer_bits=1 << 20), task)
    assert roomy.chunks == 1 and tight.chunks == 3
    assert tight.activation_write_bits - roomy.activation_write_bits == 2 * 30 * 512 * 40


def test_plain_and_compiled_agree_on_packed_products_and_fetches() -> None:
    """The task types that the conformance suite's designs and workloads do not lower to."""
    compared = 0
    for task in (
        PackedProduct(30, 2048, 512, 262_144, 7_900, 3, 5_000_000, 150_000_000, 15_360, 122_880, 61_440, 1, 2, 100),
        Fetch(40_000, 2),
    ):
        designs = itertools.cycle(itertools.islice(random_designs(SHIPPED.model, SHIPPED.design, seed=3), 300))
        rows = itertools.islice(zip(designs, random_tasks([task], seed=4), strict=False), 20_000)
        compared += agreement(SHIPPED.model.kernels[type(task)], list(rows))
    print(f"{compared} rows compared")
    assert compared == 40_000


# --- time -------------------------------------------------------------------------------------------------------


def test_without_overlap_loading_and_computing_add_up() -> None:
    """One product that fits the buffer: load, first access, compute, drain, each after the other."""
    e = evaluated(moved(load_overlap=False), one_product(1, 512, 512), {"density": 0.25})
    (time_of,) = e.times
    assert e.makespan_ps == time_of.load_ps + time_of.lead_ps + time_of.work_ps + time_of.drain_ps


def test_overlap_hides_all_but_the_first_load() -> None:
    chain = matmul_chain("chain", rows=64, widths=(512,) * 9)  # each matrix fits half a buffer, so is one piece in both
    roomy = {"weight_buffer_bits": 1 << 24}
    overlapped, serial = evaluated(moved(**roomy), chain), evaluated(moved(**roomy, load_overlap=False), chain)
    loads = [overlapped.times[t].load_ps for t in overlapped.program.task]
    hidden = serial.makespan_ps - overlapped.makespan_ps
    assert sum(loads[1:]) * 0.9 <= hidden <= sum(loads) + 8 * overlapped.times[0].lead_ps


@pytest.mark.parametrize(
    "without",
    [
        {"decode_cache": False},
        {"weight_format": WeightFormat.RCSC},
        {"weight_format": WeightFormat.CSC},
        {"weight_format": WeightFormat.DENSE},
        {"load_overlap": False},
        {"intermediates_on_chip": False},
        {"window": 2, "rate": 1},
        {"dram_channels": 1},
        {"vector_lanes": 4},
    ],
    ids=str,
)
def test_every_mechanism_pays(without: dict[str, Any]) -> None:
    size = {"n": 12, "m": 12}
    assert evaluated(moved(**without), bind=size).makespan_ps > evaluated(moved(), bind=size).makespan_ps


def test_how_long_lowering_takes() -> None:
    took = []
    for n in (29, 28, 27):
        begin = time.perf_counter()
        here = job(bind={"n": n, "m": 30})
        program = here.lower()
        for task in program.tasks:
            here.model.kernels[type(task)](here.design, task)
        took.append(time.perf_counter() - begin)
    print(f"lower and count {len(program)} steps: {min(took) * 1e3:.0f} ms")
    assert len(program) > 3_000


# --- memory and traffic -----------------------------------------------------------------------------------------


def test_no_dram_bit_for_intermediates() -> None:
    """DRAM reads are the stored weights, once a call, and table rows; nothing is written. Counted independently."""
    size = {"n": 4, "m": 3}
    e = evaluated(moved(), bind=size)
    expected = 0
    binding = resolve_binding(TRANSFORMER, size)
    sizes = {k: int(v) for k, v in binding.items() if k != "density"}
    for _, _, local, graph in TRANSFORMER.walk(sizes, TRANSFORMER.schedule("cached")):
        for op in graph.ops:
            s = op.sizes(local)
            if op.attrs.get("static"):
                nnz = round(s["n"] * s["k"] * 0.25)
                expected += tasks.product_bits(SHIPPED.design, s["n"], s["k"], nnz)
            elif op.kind == "embedding":
                expected += s["rows"] * s["width"] * 16
    assert total(e, "dram_read_bits") == expected
    assert total(e, "dram_write_bits") == 0


def test_off_chip_intermediates_are_written_once_and_read_by_each_reader() -> None:
    chain = matmul_chain("chain", rows=3, widths=(16, 32, 8))
    e = evaluated(moved(intermediates_on_chip=False), chain)
    assert total(e, "dram_write_bits") == 3 * (32 + 8) * 16
    assert total(e, "fetched_bits") == 3 * (16 + 32) * 16
    fetches = [i for i, t in enumerate(e.program.task) if isinstance(e.program.tasks[t], Fetch)]
    assert all(e.program.load_waits[i] for i in fetches)


def test_keys_and_values_grow_to_the_stated_store() -> None:
    """2 L (m + n) d b bits: the last step reads m - 1 + n rows, and makes one more that it holds meanwhile."""
    n, m = 7, 5
    done = evaluate(job(bind={"n": n, "m": m}))
    program = done.program
    held = [
        (p, bits) for p, bits in zip(program.occupied, done.occupied_bits, strict=True) if p.what == "keys and values"
    ]
    stores = [p for p, _ in held]
    assert [bits for _, bits in held] == [2 * 6 * (t + n) * 512 * 16 for t in range(m)]
    assert all(a.last + 1 == b.first for a, b in itertools.pairwise(stores))
    assert stores[-1].last == len(program) - 1


def test_too_long_a_sentence_says_how_far_over_it_is() -> None:
    result = run("optimus", TRANSFORMER, bind={"n": 200, "m": 200}, interval=False)
    assert not result.feasible
    (violation,) = result.violations
    held_bits = 2 * 6 * (200 + 199) * 512 * 16
    assert violation.bound == 1 << 24
    assert violation.demand > held_bits > violation.bound
    assert violation.lever == "activation_buffer"


def test_the_published_lengths_fit() -> None:
    for name in ("optimus", "optimus-baseline"):
        assert run(name, TRANSFORMER, bind={"n": 50, "m": 50}, interval=False).feasible


def held_slowly(graph: Graph, binding: Mapping[str, int]) -> int:
    """Peak elements alive by looking, at every operator, at which tensors exist and are still needed."""
    peak = 0
    for i, op in enumerate(graph.ops):
        made = {*graph.inputs, *(o for earlier in graph.ops[: i + 1] for o in earlier.outputs)}
        needed = {n for later in graph.ops[i:] for n in later.inputs} | set(op.outputs) | set(graph.outputs)
        alive = [n for n in made & needed if graph.tensors[n].role is not Role.WEIGHT]
        peak = max(peak, sum(graph.tensors[n].elements(binding) for n in alive))
    return peak


def test_peak_of_a_graph_against_a_slow_twin() -> None:
    chain = matmul_chain("chain", rows=3, widths=(16, 64, 4, 50)).graphs["main"]
    assert held(lifetimes(chain), {}).peak == held_slowly(chain, {})
    branches = [
        tensor("x", (8,), Role.INPUT),
        tensor("a", (8,), Role.ACTIVATION),
        tensor("b", (8,), Role.ACTIVATION),
        tensor("y", (8,), Role.OUTPUT),
    ]
    ops = [
        Op("f", "elementwise", ("x",), ("a",), dims(elements=8)),
        Op("g", "elementwise", ("a",), ("b",), dims(elements=8)),
        Op("add", "elementwise", ("b", "x"), ("y",), dims(elements=8)),
    ]
    residual = one_graph("residual", branches, ops).graphs["main"]
    assert held(lifetimes(residual), {}).peak == held_slowly(residual, {}) == 24


# --- operators --------------------------------------------------------------------------------------------------


def program_of(workload: Workload, design: Design | None = None, **bind: float) -> Program:
    return SHIPPED.model.lower(workload, design or SHIPPED.design, resolve_binding(workload, bind))


def test_density_is_bound_or_traced() -> None:
    bound = program_of(one_product(1, 64, 64), density=0.5)
    traced = program_of(one_product(1, 64, 64, density=0.125, content="0" * 64), density=0.5)
    assert bound.tasks == [SparseProduct(1, 64, 64, 2048, 0)]
    assert traced.tasks == [SparseProduct(1, 64, 64, 512, 0)]


def conv(groups: int, kernel: Role = Role.WEIGHT) -> Workload:
    tensors = [
        tensor("x", (1, 16, 8, 8), Role.INPUT),
        tensor("k", (32, 16 // groups, 3, 3), kernel),
        tensor("y", (1, 32, 6, 6), Role.OUTPUT),
    ]
    sizes = dims(batch=1, groups=groups, in_channels=16, out_channels=32, in_h=8, in_w=8, out_h=6, out_w=6,
                 kernel_h=3, kernel_w=3)  # fmt: skip
    workload = one_graph("conv", tensors, [Op("conv", "conv2d", ("x", "k"), ("y",), sizes, source="aten.conv2d")])
    if kernel is Role.WEIGHT:
        return workload
    graph = dataclasses.replace(workload.graphs["main"], inputs=("x", "k"))
    return dataclasses.replace(workload, graphs={"main": graph})


@pytest.mark.parametrize("groups", [1, 2, 16])
def test_a_convolution_is_a_product_with_a_block_diagonal_matrix(groups: int) -> None:
    program = program_of(conv(groups))
    nnz = 32 * (16 // groups) * 9
    assert program.tasks == [SparseProduct(36, 32, 16 * 9, nnz, 0)]
    assert program.layers[0].macs == 36 * nnz


def test_a_computed_kernel_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"graphs\.main\.conv.*the kernel of a convolution must be a weight"):
        program_of(conv(1, Role.INPUT))


def test_clipping_a_product_is_free_and_other_functions_are_not() -> None:
    chain = matmul_chain("chain", rows=2, widths=(8, 8, 8))
    program = program_of(chain)
    assert list(program.free_ops) == ["relu0"]
    assert [type(program.tasks[t]) for t in program.task] == [SparseProduct, SparseProduct]
    graph = chain.graphs["main"]
    ops = tuple(dataclasses.replace(op, attrs={"function": "gelu"}) if op.kind == "elementwise" else op
                for op in graph.ops)  # fmt: skip
    smooth = dataclasses.replace(chain, graphs={"main": dataclasses.replace(graph, ops=ops)})
    assert [type(program_of(smooth).tasks[t]) for t in program_of(smooth).task] == [
        SparseProduct, VectorOp, SparseProduct,
    ]  # fmt: skip


def test_a_result_that_others_read_is_not_clipped_on_its_way_out() -> None:
    tensors = [
        tensor("x", (4, 8), Role.INPUT),
        tensor("w", (8, 8), Role.WEIGHT),
        tensor("y", (4, 8), Role.ACTIVATION),
        tensor("r", (4, 8), Role.ACTIVATION),
        tensor("z", (4, 8), Role.OUTPUT),
    ]
    ops = [
        Op("linear", "matmul", ("x", "w"), ("y",), dims(batch=1, m=4, n=8, k=8), {"static": True}),
        Op("relu", "elementwise", ("y",), ("r",), dims(elements=32), {"function": "relu"}),
        Op("add", "elementwise", ("y", "r"), ("z",), dims(elements=32), {"function": "add"}),
    ]
    program = program_of(one_graph("shared", tensors, ops))
    assert [type(program.tasks[t]) for t in program.task] == [SparseProduct, VectorOp, VectorOp]
    assert not program.free_ops


def test_dependencies_follow_the_data() -> None:
    """In the first encoder layer the scores wait for q and k, and the weighted sum for v as well."""
    program = job(bind={"n": 4, "m": 1}).lower()
    by_name: dict[str, list[int]] = {}
    for step, layer in enumerate(program.layer):
        by_name.setdefault(program.layers[layer].name, []).append(step)
    q, k, v = (by_name[f"encoder.0.attention.{x}"][0] for x in "qkv")
    scores, softmax, weighted = by_name["encoder.0.attention.sdpa"]
    assert {q, k} <= set(program.after[scores])
    assert program.after[softmax] == (scores,)
    assert {softmax, v} <= set(program.after[weighted])
    residual = by_name["encoder.0.add"][0]
    assert by_name["encoder.0.attention.o"][0] in program.after[residual]
    assert by_name["encoder.add"][0] in program.after[residual]


def test_counts_of_one_vector_operation() -> None:
    """Each pass over 100 elements fills 64 lanes twice; the pipeline of 8 drains once."""
    found = tasks.count_vector(SHIPPED.design, VectorOp(elements=100, operands=2, results=90, passes=3, spilled=0))
    assert (found.vector_cycles, found.vector_drain_cycles, found.vector_ops) == (3 * 2, 8, 300)
    assert (found.activation_read_bits, found.activation_write_bits) == (3 * 2 * 100 * 16, 90 * 16)
    assert (found.dram_read_bits, found.dram_write_bits, found.dram_write_runs) == (0, 0, 0)


def test_counts_of_one_fetch() -> None:
    found = tasks.count_fetch(SHIPPED.design, Fetch(elements=1000, runs=5))
    assert (found.dram_read_bits, found.dram_read_runs, found.fetched_bits) == (16_000, 5, 16_000)


def test_every_product_with_a_stored_weight_reads_its_row_number() -> None:
    task = SparseProduct(rows=7, outputs=512, columns=512, nnz=60_000, spilled=0)
    found = tasks.count_sparse(SHIPPED.design, task)
    assert found.index_reads == found.macs_executed == found.window_reads == found.accumulations == 7 * 60_000


# --- masks ------------------------------------------------------------------------------------------------------


def masked(tmp_path: Path, mask: Any, **arrays: Any) -> Workload:
    path = tmp_path / "masks.npz"
    np.savez_compressed(path, **({"w": mask} if mask is not None else {}), **arrays)
    return dataclasses.replace(one_product(2, *SHAPE), masks=str(path))


SHAPE = (300, 100)
MASK = np.random.default_rng(3).random(SHAPE) < 0.3


@pytest.mark.parametrize("stored", [MASK, np.packbits(MASK, axis=1)], ids=["bools", "packed"])
def test_masks_are_packed_and_measured(tmp_path: Path, stored: Any) -> None:
    design = moved(macs=64, sets=16, window=8, rate=2, accumulators=128)
    program = program_of(masked(tmp_path, stored), design)
    tiles = [sparse.pack(MASK[at : at + 128], 16, 64) for at in (0, 128, 256)]
    runs = [sparse.windowed_run_plain(tile, 8, 2) for tile in tiles]
    assert [run.columns for run in runs] == [100, 100, 100]
    writing = [2, 2, 1]  # results of the deepest set over its ways; a row takes longer
    assert program.tasks == [
        PackedProduct(2, rows, 100, tile.nnz, 1 + 2 * run.cycles, 1, bits, 2 * bits, 200, 0, 2 * rows, runs, left, 0)
        for rows, tile, run, bits, runs, left in zip(
            (128, 128, 44), tiles, runs, [tile.bits(16) for tile in tiles], (1, 0, 0), writing, strict=True
        )
    ]
    assert any("real masks" in note for note in program.notes)


def test_a_matrix_without_a_mask_keeps_its_density(tmp_path: Path) -> None:
    program = program_of(masked(tmp_path, None, other=MASK), density=0.5)
    assert program.tasks == [SparseProduct(2, 300, 100, 15_000, 0)]


@pytest.mark.parametrize(
    ("mask", "rule"),
    [
        (MASK.T, "the mask must be 300 x 100 bools, or its rows packed eight to a byte"),
        (np.packbits(MASK), "the mask must be 300 x 100 bools"),
        (MASK.astype(np.int8), "the mask must be 300 x 100 bools"),
        (np.zeros((3000, 1000), bool), "a mask of 30000 elements is smaller"),
        (np.array([{}], dtype=object), "the mask must be 300 x 100 bools"),
    ],
    ids=["transposed", "flat", "numbers", "huge", "pickled"],
)
def test_wrong_masks_are_refused(tmp_path: Path, mask: Any, rule: str) -> None:
    with pytest.raises(InputError, match=rule) as refused:
        program_of(masked(tmp_path, mask))
    assert refused.value.problems[0].where.key == "w"


def test_what_is_no_mask_file_is_refused(tmp_path: Path) -> None:
    for name, content in (("text.npz", b"hello"), ("empty.npz", b""), ("broken.npz", b"PK\x03\x04" + bytes(60))):
        path = tmp_path / name
        path.write_bytes(content)
        workload = dataclasses.replace(one_product(2, *SHAPE), masks=str(path))
        with pytest.raises(InputError, match=r"not an \.npz file"):
            program_of(workload)
    with pytest.raises(InputError, match="not there"):
        program_of(dataclasses.replace(one_product(2, *SHAPE), masks=str(tmp_path / "none.npz")))


def _npy(shape: str, data: bytes = b"") -> bytes:
    """A .npy member whose header claims `shape`."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def _flip(data: bytes, *at: tuple[int, int]) -> bytes:
    changed = bytearray(data)
    for place, value in at:
        changed[place] = value
    return bytes(changed)


def _archive(member: bytes, name: str = "w.npy") -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, member)
    return whole.getvalue()


GOOD = _archive(_npy("(300, 13)", np.random.default_rng(4).bytes(3900)))
DIRECTORY = GOOD.index(b"PK\x01\x02")
METHOD, FLAGS = (8, DIRECTORY + 10), (6, DIRECTORY + 8)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (_archive(_npy("(1 << 40, 1024)")), "damaged"),
        (_archive(_npy("(1099511627776, 1024)")), "must be 300 x 100 bools"),
        (_archive(_npy("(300, 13)")), "damaged"),
        (_archive(_npy("(-1, 13)")), "must be 300 x 100 bools"),
        (_archive(b"\x93NUMPY\x09\x00" + bytes(90)), "damaged"),
        (_archive(b"hello"), "damaged"),
        (_archive(_npy("(300, 13)"), "w"), "not an .npz file of masks"),
        (_flip(GOOD, *((at, 0xFF) for at in range(200, 260))), "damaged"),
        (_flip(GOOD, *((at, 99) for at in METHOD)), "damaged"),
        (_flip(GOOD, *((at, 1) for at in FLAGS)), "damaged"),
        (_npy("(1099511627776, 1024)"), "not an .npz file"),
    ],
    ids=["expression", "claims terabytes", "no data", "negative", "version", "text", "no suffix", "bad deflate",
         "unknown method", "encrypted", "lone array"],
)  # fmt: skip
def test_hostile_mask_files_are_refused(tmp_path: Path, content: bytes, rule: str) -> None:
    path = tmp_path / "masks.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rule):
        program_of(dataclasses.replace(one_product(2, *SHAPE), masks=str(path)))


def test_a_mask_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    first = program_of(masked(tmp_path, MASK)).tasks[0]
    path = Path(masked(tmp_path, ~MASK).masks)
    assert masks.mask_file(path).mask("w", SHAPE).sum() == (~MASK).sum()
    assert first.nnz == MASK.sum()


def test_a_pruned_trained_network_runs_on_its_masks() -> None:
    workload = load_workload("minilm-l6")
    program = job(workload=workload, bind={"n": 16}).lower()
    packed = [t for t in program.tasks if isinstance(t, PackedProduct)]
    assert len(packed) >= 6
    for task in packed:
        assert task.cycles >= task.rows * -(-task.nnz // SHIPPED.design.macs)
        assert task.cycles < 2 * task.rows * task.nnz / SHIPPED.design.macs


# --- designs ----------------------------------------------------------------------------------------------------


def test_the_baseline_differs_in_three_mechanisms_only() -> None:
    baseline = load_design("optimus-baseline")
    ours, theirs = dataclasses.asdict(SHIPPED.design), dataclasses.asdict(baseline.design)
    assert {k for k in ours if ours[k] != theirs[k]} == {"decode_cache", "weight_format", "load_overlap"}
    assert SHIPPED.named == baseline.named


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("sets=48", r"sets must divide macs \(1024\)\. 32 does\."),
        ("accumulators=32", r"each of the 64 sets needs an accumulator"),
    ],
)
def test_rules_across_fields(override: str, rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        load_design("optimus", [override])


def test_every_assumed_value_names_its_source() -> None:
    for name in ("optimus", "optimus-baseline"):
        for value in load_design(name).values:
            if value.key not in ("model", "summary", "technology", "dram"):
                assert value.source and value.evidence, value.key


# --- the published figures --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours() -> reproduce.Bench:
    return reproduce.Bench("optimus")


@pytest.fixture(scope="module")
def base() -> reproduce.Bench:
    return reproduce.Bench("optimus-baseline")


def published() -> str:
    return reproduce.readme_part(reproduce.README.read_text(encoding="utf-8"))


def test_readme_is_current() -> None:
    assert published() == reproduce.report(), "run: python -m accelerators.optimus.reproduce --write"


def test_the_published_ratio_lies_in_the_interval(ours: reproduce.Bench, base: reproduce.Bench) -> None:
    """With the recalled size and the matched supply; 20 % is the tolerance of the nominal ratio."""
    pair = reproduce.Pair(ours, base)
    found = reproduce.interval(pair, frozenset({"macs", "dram_channels"}))
    print(f"latency ratio {found.nominal:.2f}, {found.low:.2f} to {found.high:.2f}; published 16.01")
    assert found.low < 16.01 < found.high
    assert abs(found.nominal / 16.01 - 1) < 0.2


def test_power_is_that_of_a_chip(ours: reproduce.Bench) -> None:
    """Report only: 0.73 W is recalled. Bounds are an order of magnitude either way."""
    e = ours.run()
    watts = reproduce.chip_energy_j(e) / e.latency_s
    print(f"chip power {watts:.2f} W (recalled: 0.73 W)")
    assert 0.07 < watts < 7.3


def test_a_result_has_both_token_times() -> None:
    result: Result = run("optimus", TRANSFORMER, bind={"n": 6, "m": 5}, interval=False)
    assert result.time_to_first_token_s and result.time_per_token_s
    assert result.latency_s.value == pytest.approx(result.time_to_first_token_s + 4 * result.time_per_token_s)
