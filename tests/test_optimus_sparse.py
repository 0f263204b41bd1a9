"""SA-RCSC on real masks: the format, the balance, the windowed input, and the closed forms beside them."""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from accelerators.optimus import closed_form, sparse, sparse_kernels
from accelerators.optimus.design import WeightFormat
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
    assert sparse.windowed_cycles(vast, 8, 2) == sparse.windowed_cycles_plain(few, 8, 2)


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
            fast = sparse.windowed_cycles(packed, window, rate)
            assert fast == sparse.windowed_cycles_plain(packed, window, rate)
            if packed.nnz:
                assert fast >= sparse.balanced_cycles(packed)
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


class Family(NamedTuple):
    """Masks of one kind. The fitted constants saw the families whose number leaves 0 or 1 modulo 3; every third
    family was held out before the fit."""

    number: int
    shape: str
    skew: float
    weight_format: WeightFormat

    @property
    def held_out(self) -> bool:
        return self.number % 3 == 2


_FORMATS = (WeightFormat.SA_RCSC, WeightFormat.SA_RCSC, WeightFormat.RCSC, WeightFormat.CSC)
FAMILIES = [
    Family(number, *kind)
    for number, kind in enumerate(itertools.product(("tall", "square", "wide"), (0.0, 0.2, 0.4), _FORMATS))
]


class Errors(NamedTuple):
    balanced: float
    windowed: float
    roomy: bool
    family: Family


def random_case(family: Family, draw: int) -> Errors | None:
    """Relative errors of both closed forms on one random mask; None for an empty one."""
    rng = np.random.default_rng((5, family.number, draw))
    short = int(rng.choice([64, 96, 128, 192, 256, 384, 512]))
    long = short * int(rng.choice([2, 4]))
    rows, columns = {"tall": (long, short), "square": (short, short), "wide": (short, long)}[family.shape]
    macs, ways = int(rng.choice([64, 128, 256, 512, 1024])), int(rng.choice([2, 4, 8, 16, 32, 64]))
    row_density = rng.uniform(0.05, 0.6) * np.exp(rng.normal(0, family.skew, rows) - family.skew**2 / 2)
    mask = rng.random((rows, columns)) < row_density[:, None]
    window, rate = int(rng.choice([2, 4, 8, 16, 32, 64, 128])), int(rng.choice([1, 2, 4, 8, 16]))
    if not mask.any():
        return None
    packed = sparse.pack(mask, macs // ways, macs, family.weight_format)
    task = (int(family.weight_format), packed.nnz, rows, columns, macs, macs // ways)
    cv = int(1000 * family.skew)
    balanced = closed_form.balanced_cycles(*task, cv) / sparse.balanced_cycles(packed) - 1
    windowed = closed_form.windowed_cycles(*task, window, rate, cv) / sparse.windowed_cycles(packed, window, rate) - 1
    return Errors(balanced, windowed, window >= 32, family)


def summary(errors: list[float]) -> tuple[float, float, float, float]:
    """Bias, median, 95th percentile and worst of the absolute relative errors."""
    size = np.abs(errors)
    return float(np.mean(errors)), float(np.median(size)), float(np.percentile(size, 95)), float(size.max())


def test_closed_forms_against_real_masks() -> None:
    draws = 84 if DEEP else 17
    cases = [random_case(family, draw) for family in FAMILIES for draw in range(draws)]
    done = [case for case in cases if case is not None]
    print(f"{len(done)} matrices, a third of the families held out")
    table = {}
    for name, chosen in (
        ("fitted", [e for e in done if not e.family.held_out]),
        ("held out", [e for e in done if e.family.held_out]),
        ("held out, equal rows", [e for e in done if e.family.held_out and e.family.skew == 0]),
        ("SA-RCSC, equal rows, B >= 32", [e for e in done if e.family.weight_format == WeightFormat.SA_RCSC
                                          and e.family.skew == 0 and e.roomy]),
    ):  # fmt: skip
        table[name] = summary([e.balanced for e in chosen]), summary([e.windowed for e in chosen])
        for what, (bias, median, p95, worst) in zip(("balance", "windowed"), table[name], strict=True):
            print(f"{name:30} {len(chosen):5} {what:9} bias {bias:+.3f} median {median:.3f}", end=" ")
            print(f"p95 {p95:.3f} worst {worst:.3f}")
    for balance, windowed in table.values():
        assert abs(balance[0]) < 0.03 and balance[1] < 0.03
        assert abs(windowed[0]) < 0.04 and windowed[1] < 0.06
    assert table["held out"][0][2] < 0.25 and table["held out"][1][2] < 0.25
    assert table["SA-RCSC, equal rows, B >= 32"][1][2] < 0.06


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
