"""SA-RCSC on real masks: the format, the balance, the windowed input, and the closed forms beside them."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from accelerators.optimus import array, closed_form, fit, masks, sparse, sparse_kernels, tasks, trace
from accelerators.optimus.design import Design, WeightFormat
from accelerators.optimus.model import MODEL
from hwsim.config import load_design
from hwsim.cosim.circuit import Event
from hwsim.errors import InputError

DEEP = os.environ.get("HWSIM_DEEP") == "1"
PAPER_SHAPES = ((512, 512, 256), (512, 512, 512), (512, 512, 1024), (2048, 512, 1024), (512, 2048, 1024))
WAYS = (1, 2, 4, 8, 16, 64)
UTILISATION = {
    (512, 512, 256): (0.988, 0.991, 0.995, 0.995, 0.995, 0.999),
    (512, 512, 512): (0.809, 0.984, 0.991, 0.991, 0.991, 0.999),
    (512, 512, 1024): (0.405, 0.809, 0.984, 0.984, 0.984, 0.984),
    (2048, 512, 1024): (0.987, 0.991, 0.995, 0.995, 0.995, 0.999),
    (512, 2048, 1024): (0.451, 0.902, 0.993, 0.997, 0.997, 0.997),
}
"""H x W on N multipliers by ways: an independent simulation of the same assignment at density 0.25."""


def bernoulli(rng: np.random.Generator, rows: int, columns: int, density: float) -> NDArray[np.bool_]:
    return rng.random((rows, columns)) < density


# --- the format -------------------------------------------------------------------------------------------------


@st.composite
def matrices(draw: st.DrawFn) -> tuple[NDArray[np.int16], int, int, WeightFormat]:
    rows, columns = draw(st.integers(1, 90)), draw(st.integers(1, 40))
    sets, ways = draw(st.sampled_from((1, 2, 3, 4, 8, 16))), draw(st.sampled_from((1, 2, 3, 4, 8)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.integers(-(2**15), 2**15, (rows, columns), dtype=np.int16)
    keep = bernoulli(rng, rows, columns, draw(st.sampled_from((0.0, 0.05, 0.3, 0.8, 1.0))))
    return values * keep, sets, sets * ways, draw(st.sampled_from(WeightFormat))


@settings(max_examples=400 if DEEP else 120)
@given(matrices())
def test_unpacking_gives_the_matrix_back(case: tuple[NDArray[np.int16], int, int, WeightFormat]) -> None:
    matrix, sets, macs, weight_format = case
    packed = sparse.pack(matrix, sets, macs, weight_format)
    back = sparse.unpack(packed)
    assert back.dtype == np.int16
    assert np.array_equal(back, matrix)
    if weight_format != WeightFormat.DENSE:
        assert packed.nnz == np.count_nonzero(matrix)


def dealt_slowly(matrix: NDArray[np.int16], sets: int, macs: int) -> list[list[tuple[int, int, int]]]:
    """The assignment as its definition reads: (column, original row, value) queues, least loaded way first."""
    nonzeros = [sum(1 for v in row if v) for row in matrix.tolist()]
    falling = sorted(range(len(nonzeros)), key=lambda row: -nonzeros[row])
    order: list[int] = []
    for g, group_at in enumerate(range(0, len(falling), macs)):
        group = falling[group_at : group_at + macs]
        if g % 2 == 1:
            group.reverse()
        for c, chunk_at in enumerate(range(0, len(group), sets)):
            chunk = group[chunk_at : chunk_at + sets]
            order += chunk[::-1] if c % 2 == 1 else chunk
    queues: list[list[tuple[int, int, int]]] = [[] for _ in range(macs)]
    for column in range(matrix.shape[1]):
        for position, row in enumerate(order):
            if matrix[row, column]:
                s = position % macs % sets
                ways = range(s, macs, sets)
                least = min(ways, key=lambda p: (len(queues[p]), p))
                queues[least].append((column, row, int(matrix[row, column])))
    return queues


def test_queues_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(11)
    compared = 0
    for rows, columns, sets, ways in itertools.product((5, 16, 33, 70), (7, 20), (1, 4, 8), (1, 2, 4)):
        values = rng.integers(1, 99, (rows, columns), dtype=np.int16) * bernoulli(rng, rows, columns, 0.4)
        packed = sparse.pack(values, sets, sets * ways)
        start, column, row_in_set = sparse.queues(packed)
        for p, expected in enumerate(dealt_slowly(values, sets, sets * ways)):
            of_queue = slice(start[p], start[p + 1])
            rows_of = packed.order[row_in_set[of_queue] * sets + p % sets]
            assert list(zip(column[of_queue].tolist(), rows_of.tolist(), strict=True)) == [e[:2] for e in expected]
            compared += len(expected)
    print(f"{compared} queue entries compared")
    assert compared > 5_000


def test_stored_bits_count_the_fields() -> None:
    rng = np.random.default_rng(5)
    mask = bernoulli(rng, 512, 512, 0.25)
    nnz = int(mask.sum())
    assert sparse.pack(mask, 64, 1024, WeightFormat.DENSE).bits(16) == 512 * 512 * 16
    assert sparse.pack(mask, 64, 1024, WeightFormat.CSC).bits(16) == nnz * (16 + 9) + 512 * 10
    assert sparse.pack(mask, 64, 1024, WeightFormat.RCSC).bits(16) == nnz * 16 + 512 * 512
    assert sparse.pack(mask, 64, 1024).bits(16) == nnz * (16 + 3) + 512 * 64 * 4
    # One way more than another doubling of the sets costs one bit a row number.
    assert sparse.pack(mask, 1, 1024).bits(16) == nnz * (16 + 9) + 512 * 10


def test_every_stored_field_fits_its_bits() -> None:
    rng = np.random.default_rng(6)
    for rows, sets in ((512, 64), (100, 16), (48, 64), (129, 64)):
        packed = sparse.pack(bernoulli(rng, rows, 64, 0.6), sets, sets * 4)
        depth = -(-rows // sets)
        assert packed.row_in_set.max() < depth
        assert packed.lengths.max() <= depth


def test_sets_beyond_the_rows_cost_nothing() -> None:
    """A million multipliers for forty rows are packed and stepped like the forty that work."""
    mask = bernoulli(np.random.default_rng(8), 40, 30, 0.4)
    vast, few = sparse.pack(mask, 1 << 20, 1 << 20), sparse.pack(mask, 40, 40)
    assert vast.lengths.shape == (40, 30)
    assert np.array_equal(sparse.unpack(vast), mask)
    assert sparse.windowed_cycles(vast, 8, 2) == sparse.windowed_run_plain(few, 8, 2).cycles


@pytest.mark.parametrize("sets", [0, 3, -1])
def test_sets_must_divide_macs(sets: int) -> None:
    with pytest.raises(InputError, match="sets must divide macs \\(64\\)"):
        sparse.pack(np.ones((4, 4)), sets, 64)


def test_a_matrix_has_two_dimensions() -> None:
    with pytest.raises(InputError, match="two dimensions"):
        sparse.pack(np.ones(4), 1, 4)


# --- balance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", PAPER_SHAPES, ids=str)
def test_utilisation_by_ways(shape: tuple[int, int, int]) -> None:
    """Within 2 % of the independent simulation, averaged over masks (a single mask scatters by up to 3 %)."""
    rows, columns, macs = shape
    masks = [bernoulli(np.random.default_rng(seed), rows, columns, 0.25) for seed in range(12)]
    for ways, expected in zip(WAYS, UTILISATION[shape], strict=True):
        measured = np.mean([sparse.utilisation(sparse.pack(mask, macs // ways, macs)) for mask in masks])
        print(f"{shape} {ways} ways: {measured:.3f} (expected {expected:.3f})")
        assert abs(measured / expected - 1) < 0.02


def test_utilisation_grows_with_ways_and_falls_with_macs() -> None:
    masks = [bernoulli(np.random.default_rng(seed), 512, 512, 0.25) for seed in range(6)]

    def mean(macs: int, ways: int) -> float:
        return float(np.mean([sparse.utilisation(sparse.pack(mask, macs // ways, macs)) for mask in masks]))

    by_ways = [mean(1024, ways) for ways in (1, 2, 4, 16, 64)]
    assert by_ways == sorted(by_ways)
    by_macs = [mean(macs, 1) for macs in (128, 256, 512, 1024)]
    assert by_macs == sorted(by_macs, reverse=True)
    assert by_macs[-1] <= 512 / 1024


def test_a_single_set_is_perfectly_balanced() -> None:
    mask = bernoulli(np.random.default_rng(2), 300, 200, 0.3)
    assert sparse.balanced_cycles(sparse.pack(mask, 1, 256)) == -(-int(mask.sum()) // 256)


def test_snake_dealing_beats_natural_order() -> None:
    rng = np.random.default_rng(8)
    mask = rng.random((512, 256)) < rng.uniform(0.05, 0.6, (512, 1))
    snake = sparse.balanced_cycles(sparse.pack(mask, 64, 128, WeightFormat.RCSC))
    natural = sparse.balanced_cycles(sparse.pack(mask, 64, 128, WeightFormat.CSC))
    assert snake < natural


# --- pieces -----------------------------------------------------------------------------------------------------


def small_product(seed: int) -> tuple[NDArray[np.bool_], Design, int]:
    """A random small mask, a design that cuts it, and a number of rows; empty and full masks and sets among them."""
    rng = np.random.default_rng((29, seed))
    ways, sets = int(rng.integers(1, 6)), int(rng.choice([1, 2, 3, 4, 8]))
    outputs, columns = (int(n) for n in rng.integers(1, 40, 2))
    mask = bernoulli(rng, outputs, columns, float(rng.choice([0.0, 0.02, 0.1, 0.3, 0.7, 1.0])))
    if rng.random() < 0.3:
        mask[:, rng.random(columns) < 0.5] = False
    if rng.random() < 0.3:
        mask[rng.random(outputs) < 0.5] = False
    macs = ways * sets
    design = dataclasses.replace(
        SHIPPED, macs=macs, sets=sets,
        window=int(rng.choice([1, 2, 4, 8, 16, 64])), rate=int(rng.choice([1, 2, 4, 16])),
        accumulators=max(macs, int(rng.choice([8, 16, 64]))), load_overlap=bool(rng.random() < 0.5),
        weight_buffer_bits=int(rng.choice([1 << 11, 1 << 12, 1 << 14])),
        weight_format=rng.choice([*WeightFormat, WeightFormat.SA_RCSC, WeightFormat.SA_RCSC]),
    )  # fmt: skip
    return mask, design, int(rng.choice([1, 1, 2, 3, 5]))


SHIPPED = load_design("optimus").design


def test_pieces_make_up_the_matrix() -> None:
    several = 0
    for seed in range(300 if DEEP else 80):
        mask, design, _ = small_product(seed)
        values = np.where(mask, np.random.default_rng(seed).integers(1, 99, mask.shape), 0).astype(np.int16)
        found = sparse.pieces(values, design)
        back = np.zeros_like(values)
        for tile, group in itertools.groupby(found, key=lambda piece: piece.tile):
            parts = list(group)
            several += len(parts) > 1
            assert [p.opens for p in parts] == [True] + [False] * (len(parts) - 1)
            assert [p.closes for p in parts] == [False] * (len(parts) - 1) + [True]
            whole = sparse.pack(
                values[parts[0].first_row :][: design.accumulators], design.sets, design.macs, design.weight_format
            )
            assert sum(p.bits(16) for p in parts) == whole.bits(16)
            assert tile == parts[0].first_row // design.accumulators
            for p in parts:
                assert np.array_equal(p.packed.order, whole.order)
                assert p.bits(16) <= tasks.slot_bits(design)
                rows, columns = p.packed.shape
                back[p.first_row : p.first_row + rows, p.first_column : p.first_column + columns] = sparse.unpack(
                    p.packed
                )
        assert np.array_equal(back, values)
    assert several > 20


def cuts_tried(bits: list[int], capacity: int) -> tuple[int, int]:
    """(fewest pieces, their smallest largest) over every way to cut columns of `bits`."""
    ways = []
    for inner in itertools.product((False, True), repeat=len(bits) - 1):
        ends = [0, *(i + 1 for i, here in enumerate(inner) if here), len(bits)]
        sizes = [sum(bits[a:b]) for a, b in itertools.pairwise(ends)]
        if max(sizes) <= capacity:
            ways.append((len(sizes), max(sizes)))
    return min(ways)


def test_pieces_are_few_and_even() -> None:
    """Against every way to cut, for columns of any size (none at all among them)."""
    rng = np.random.default_rng(12)
    for _ in range(150):
        bits = rng.integers(0, 30, int(rng.integers(1, 11)))
        capacity = int(rng.integers(max(1, bits.max()), 100))
        cuts = [*sparse.cut(bits, capacity), bits.size]
        sizes = [int(bits[a:b].sum()) for a, b in itertools.pairwise(cuts)]
        assert cuts == sorted(set(cuts)) and cuts[0] == 0
        assert (len(sizes), max(sizes)) == cuts_tried(bits.tolist(), capacity)


def test_a_column_that_fits_no_slot_is_refused() -> None:
    design = dataclasses.replace(SHIPPED, weight_buffer_bits=1 << 13)
    with pytest.raises(InputError, match=r"a column of a tile takes up to \d+ bits, and a slot .* holds 4096"):
        sparse.pieces(np.ones((2048, 4), bool), design)


def stepped(design: Design, found: list[sparse.Piece], rows: int) -> list[Event]:
    """Events of a product: with load_overlap of all pieces at once, else of one piece after the other, each of which
    finds all results written."""
    if design.load_overlap:
        return list(trace.product_events(design, found, rows))
    events: list[Event] = []
    for number, piece in enumerate(found):
        start = 1 + max((e.cycle for e in events if e.name == "free"), default=-1)
        alone = trace.product_events(design, [piece], rows)
        events = [e for e in events if e.name != "done"]
        events += [
            Event(start + cycle, name, numbers if name == "done" else (number, *numbers[1:]))
            for cycle, name, numbers in alone
        ]
    return events


def test_held_cycles_are_those_of_a_slow_simulation() -> None:
    """Cycles, and everything that passes the buffers, counted from the events of every cycle."""
    compared, kinds = 0, Counter[str]()
    for seed in range(2_000 if DEEP else 400):
        mask, design, rows = small_product(seed)
        found = sparse.pieces(mask, design)
        task = masks.packed_product(mask, design, rows)
        counts = tasks.count_packed(design, task)
        events = stepped(design, found, rows)
        held = 1 + max((e.cycle for e in events if e.name == "free"), default=-1)
        assert task.cycles == held
        assert (events[-1].name, events[-1].cycle) == ("done", held - 1 + counts.array_drain_cycles)
        assert counts.macs_executed == sum(e.numbers[3] for e in events if e.name == "take")
        assert (task.elements_read, task.read_bits) == passed(events, found, design, rows)
        compared += 1
        kinds["results that wait for others"] += task.writing > array.write_cycles(design, found[-1].packed.shape[0])
        kinds["several pieces"] += any(not p.opens for p in found)
        kinds["several tiles"] += found[-1].tile > 0
        kinds["several rows"] += rows > 1
        kinds["several rows of several pieces"] += rows > 1 and any(not p.opens for p in found)
        kinds["nothing to multiply"] += not mask.any()
        kinds["a piece with nothing in it"] += mask.any() and any(p.packed.nnz == 0 for p in found)
        kinds["an empty set"] += any((p.packed.lengths.sum(axis=1) == 0).any() for p in found)
    print(f"{compared} products: {dict(kinds)}")
    assert min(kinds.values()) >= 3


def test_rows_wait_for_sums_that_wait_for_results() -> None:
    """Short rows after a deep tile, where writing is the longest of all: rare among the products above."""
    waiting = Counter[str]()
    for seed in range(200):
        rng = np.random.default_rng((31, seed))
        mask = bernoulli(rng, int(rng.integers(40, 120)), int(rng.integers(1, 12)), 0.1)
        sets, rows = int(rng.integers(1, 3)), int(rng.integers(2, 5))
        design = dataclasses.replace(
            SHIPPED, macs=sets * int(rng.integers(1, 3)), sets=sets, window=4, rate=4, accumulators=mask.shape[0] // 2,
            weight_buffer_bits=int(rng.choice([1 << 10, 1 << 11])),
        )  # fmt: skip
        found = masks.measured(mask, design)
        task = masks.packed_product(mask, design, rows)
        events = list(trace.product_events(design, sparse.pieces(mask, design), rows))
        assert task.cycles == 1 + max(e.cycle for e in events if e.name == "free")
        assert events[-1].cycle == task.cycles - 1 + tasks.count_packed(design, task).array_drain_cycles
        plain = [array.piece_cycles(design, rows, p.outputs, p.columns, p.run, p.opens, p.closes) for p in found]
        waiting["set aside"] += any(not p.closes for p in found) and task.cycles > sum(plain)
        waiting["written"] += all(p.closes for p in found) and task.cycles > sum(plain)
    print(dict(waiting))
    assert min(waiting["set aside"], waiting["written"]) >= 10


def passed(events: list[Event], found: list[sparse.Piece], design: Design, rows: int) -> tuple[int, int]:
    """(input elements, bits of weights) read from the buffers, from where the window stood at the end of each row."""
    elements = bits = 0
    base = {(k, i): 0 for k in range(len(found)) for i in range(rows)}
    base |= {(e.numbers[0], e.numbers[1]): e.numbers[2] for e in events if e.name == "base"}
    for (k, _), at in base.items():
        packed = found[k].packed
        seen = min(packed.shape[1], at + design.window)
        elements += seen
        deepest = -(-packed.shape[0] // packed.sets)
        numbered, lengths = {
            WeightFormat.DENSE: (1, 0),
            WeightFormat.CSC: (packed.shape[0], (packed.shape[0]).bit_length()),
            WeightFormat.RCSC: (deepest, min(packed.shape[0], packed.sets) * deepest.bit_length()),
            WeightFormat.SA_RCSC: (deepest, min(packed.shape[0], packed.sets) * deepest.bit_length()),
        }[packed.weight_format]
        bits += packed.nnz * (16 + (numbered - 1).bit_length()) + seen * lengths
    return elements, bits


def test_events_of_a_product_by_hand() -> None:
    """Two sets of one way, a window of 2, two rows: set 0 has columns 0, 1, 3; set 1 has 2. The third cycle finds
    nothing to issue, since the window moves on by one and column 2 is still needed by nobody but set 1."""
    mask = np.array([[1, 1, 0, 1], [0, 0, 1, 0]], bool)
    design = dataclasses.replace(SHIPPED, macs=2, sets=2, window=2, rate=1, pipeline_cycles=4)
    events = [tuple(e) for e in MODEL.trace(design, mask, 1)]
    assert events == [
        (0, "hold", (0,)),
        (1, "row", (0, 0)),
        (1, "take", (0, 0, 0, 1)),
        (1, "base", (0, 0, 1)),
        (2, "take", (0, 0, 0, 1)),
        (2, "take", (0, 0, 1, 1)),
        (2, "base", (0, 0, 2)),
        (3, "take", (0, 0, 0, 1)),
        (3, "free", (0,)),
        (7, "done", (0,)),
    ]


def test_dense_products_against_simulation() -> None:
    """The closed form of attention products beside their windowed runs."""
    errors = []
    for seed in range(200):
        rng = np.random.default_rng((31, seed))
        ways, sets = int(rng.choice([1, 2, 4, 8])), int(rng.choice([2, 4, 8, 16]))
        heads, kv, reduction = int(rng.choice([1, 2, 4, 8])), int(rng.integers(1, 33)), int(rng.choice([4, 8, 16, 32]))
        design = dataclasses.replace(
            SHIPPED, macs=ways * sets, sets=sets, window=int(rng.choice([8, 16, 32])), rate=int(rng.choice([1, 2, 4]))
        )
        piece = sparse.attention_piece(heads, kv, reduction, design)
        rows = int(rng.choice([1, 3]))
        closed = tasks.count_dense(design, tasks.DenseProduct(rows, heads * kv, reduction, heads * reduction, 0))
        errors.append(
            closed.array_cycles / masks.occupancy(design, [masks.measured_piece(piece, design)], rows).held - 1
        )
    found = fit.summary(errors)
    print(f"{len(errors)} dense products: {found}")
    assert abs(found.bias) < 0.01 and found.median < 0.005 and found.p95 < 0.05


# --- windowed input ---------------------------------------------------------------------------------------------


def test_input_bound_example_takes_511_cycles() -> None:
    rng = np.random.default_rng(3)
    mask = rng.permutation(np.arange(512 * 512) < 65_747).reshape(512, 512)
    assert abs(sparse.windowed_cycles(sparse.pack(mask, 64, 1024), 2, 1) - 511) <= 1


def test_compiled_window_equals_the_definition() -> None:
    compared = 0
    for seed in range(300 if DEEP else 80):
        rng = np.random.default_rng((17, seed))
        rows, columns = (int(x) for x in rng.integers(1, 60, 2))
        sets, ways = int(rng.choice([1, 2, 4, 8])), int(rng.choice([1, 2, 4]))
        weight_format = rng.choice([WeightFormat.SA_RCSC, WeightFormat.RCSC, WeightFormat.CSC, WeightFormat.DENSE])
        packed = sparse.pack(bernoulli(rng, rows, columns, rng.uniform(0, 1)), sets, sets * ways, weight_format)
        for window, rate in ((1, 1), (2, 1), (3, 5), (8, 2), (columns, 1)):
            fast = sparse.windowed_run(packed, window, rate)
            assert fast == sparse.windowed_run_plain(packed, window, rate)
            if packed.nnz:
                assert fast.cycles >= sparse.balanced_cycles(packed)
            compared += 1
    print(f"{compared} windowed products compared")


def test_kernels_compile_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only installation without a home: numba then refuses to cache."""
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    with pytest.raises(RuntimeError, match="cannot cache"):
        njit(cache=True)(twice)
    assert sparse_kernels.kept(twice)(21) == 42


def twice(number: int) -> int:
    return 2 * number


def test_a_window_over_the_whole_input_never_stalls() -> None:
    packed = sparse.pack(bernoulli(np.random.default_rng(4), 200, 90, 0.3), 16, 64)
    assert sparse.windowed_cycles(packed, 90, 1) == sparse.balanced_cycles(packed)


def test_wider_and_faster_windows_are_never_slower() -> None:
    packed = sparse.pack(bernoulli(np.random.default_rng(9), 256, 256, 0.2), 32, 128)
    by_window = [sparse.windowed_cycles(packed, window, 2) for window in (1, 2, 4, 8, 16, 64, 256)]
    by_rate = [sparse.windowed_cycles(packed, 16, rate) for rate in (1, 2, 4, 8, 16)]
    assert by_window == sorted(by_window, reverse=True)
    assert by_rate == sorted(by_rate, reverse=True)


def test_a_window_needs_a_width_and_a_rate() -> None:
    packed = sparse.pack(np.ones((4, 4)), 1, 4)
    with pytest.raises(InputError, match="at least 1"):
        sparse.windowed_cycles(packed, 0, 1)


# --- closed forms -----------------------------------------------------------------------------------------------


def test_closed_forms_against_real_masks() -> None:
    done = fit.cases(fit.DRAWS if DEEP else 17)
    print(f"{len(done)} matrices, a third of the families held out\n{fit.errors_table(done)}")
    found = fit.summaries(done)
    for group in fit.GROUPS:
        balance, windowed, _ = (found[group.name, measure] for measure, _ in fit.MEASURES)
        assert abs(balance.bias) < 0.03 and balance.median < 0.03
        assert abs(windowed.bias) < 0.04 and windowed.median < 0.06
    every, equal, shipped = (found[group.name, "product in pieces"] for group in fit.GROUPS[1:])
    assert found["held-out families", "balance"].p95 < 0.25 and found["held-out families", "windowed"].p95 < 0.25
    assert every.median < 0.05 and equal.p95 < 0.25 and abs(equal.bias) < 0.03
    assert abs(shipped.bias) < 0.01 and shipped.median < 0.01 and shipped.p95 < 0.1
    assert found["SA-RCSC, equal density, window of 32 or more", "windowed"].p95 < 0.06


def test_the_constants_are_as_good_as_a_fit() -> None:
    """The optimum is flat: no other constants on the grid are better by more than a small part of a percent."""
    seen = [case for case in fit.cases(fit.DRAWS if DEEP else 17) if not case.family.held_out]
    best, ours = fit.fit(seen), fit.Constants()
    for error in (fit.balance_error, fit.windowed_error):
        assert fit.mean_size(seen, error, ours) < fit.mean_size(seen, error, best) + (0.0015 if DEEP else 0.005)


def test_the_table_of_errors_is_current() -> None:
    """Its rows and columns always; its numbers where there is time to draw all the masks."""
    published = fit.readme_part(fit.README.read_text(encoding="utf-8"))
    done = fit.cases(fit.DRAWS if DEEP else 1)
    expected = fit.errors_table(done)
    if DEEP:
        assert published == expected, "run: python -m accelerators.optimus.fit --write"
    assert [line.split("|")[1:3] for line in published.splitlines()[2:]] == [
        line.split("|")[1:3] for line in expected.splitlines()[2:]
    ]


@pytest.mark.parametrize("shape", PAPER_SHAPES, ids=str)
def test_closed_balance_on_the_network_shapes(shape: tuple[int, int, int]) -> None:
    """Within 2.5 % of the mean over masks for every number of ways, at the density of the default binding."""
    rows, columns, macs = shape
    masks = [bernoulli(np.random.default_rng(seed), rows, columns, 0.25) for seed in range(8)]
    for ways in WAYS:
        measured = np.mean([sparse.balanced_cycles(sparse.pack(mask, macs // ways, macs)) for mask in masks])
        nnz = rows * columns // 4
        closed = closed_form.balanced_cycles(WeightFormat.SA_RCSC, nnz, rows, columns, macs, macs // ways)
        assert abs(closed / measured - 1) < 0.025, (ways, closed, measured)


def test_closed_dense_is_exact() -> None:
    for rows, columns, macs, sets in ((512, 512, 1024, 64), (100, 30, 64, 8), (7, 9, 16, 16), (2048, 512, 1024, 1)):
        packed = sparse.pack(np.ones((rows, columns)), sets, macs, WeightFormat.DENSE)
        closed = closed_form.balanced_cycles(WeightFormat.DENSE, rows * columns, rows, columns, macs, sets)
        assert closed == sparse.balanced_cycles(packed)


def test_largest_normal_against_sampling() -> None:
    rng = np.random.default_rng(1)
    for n in (1, 2, 3, 5, 37, 64, 512, 1000):
        sampled = rng.standard_normal((4_000, n)).max(axis=1)
        tolerance = 4 * sampled.std() / np.sqrt(4_000) + 0.02
        assert abs(closed_form.largest_normal_milli(n) / 1000 - sampled.mean()) < tolerance
