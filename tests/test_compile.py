"""Compiled pure functions: the same numbers as Python or none, overflow and zero divisors found row by row."""

from __future__ import annotations

import operator
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from math import floor, log
from types import ModuleType
from typing import Annotated, Any, NamedTuple

import numba
import numpy as np
import pytest

from hwsim import pure as helpers
from hwsim.memory import MemoryLevel
from hwsim.pure import ceil_div, clog2, cycles_to_ps, is_pure, isqrt, pure
from hwsim.timing import compile as compiling
from hwsim.timing.compile import (
    OK,
    OVERFLOW,
    ZERO_DIVISION,
    agreement,
    compile_pure,
    compiled_recurrence,
    dtype_of,
    rows,
    table,
)

DEEP = 10 if os.environ.get("HWSIM_DEEP") else 1
MAX_INT = 2**63 - 1


# --- a sample model ---------------------------------------------------------------------------------------------


class Format(IntEnum):
    DENSE = 0
    CSC = 1
    RCSC = 2


@dataclass(frozen=True)
class Array:
    rows: int
    cols: int


@dataclass(frozen=True)
class Design:
    macs: Array
    weight_format: Format
    cached: bool
    density: Annotated[float, "share of non-zeros"]
    clock_khz: int


class Matmul(NamedTuple):
    m: int
    n: int
    k: int
    bits: int


class Counts(NamedTuple):
    cycles: int
    macs: int
    weight_bits: int
    index_bits: int
    ps: int


SPARSE = (Format.CSC, Format.RCSC)
INDEX_BITS = 4


@pure
def weights_stored(design: Design, task: Matmul) -> int:
    if design.weight_format == Format.DENSE:
        return task.n * task.k
    return int(design.density * task.n * task.k)


@pure
def count(design: Design, task: Matmul) -> Counts:
    folds = ceil_div(task.k, design.macs.rows) * ceil_div(task.n, design.macs.cols)
    cycles = folds * (task.m + design.macs.rows - 1)
    stored = weights_stored(design, task)
    index_bits = 0
    if design.weight_format == SPARSE[0] or design.weight_format == SPARSE[1]:
        index_bits = stored * min(INDEX_BITS, clog2(task.k))
    passes = 1 if design.cached else task.m
    return Counts(
        cycles, task.m * stored, index_bits=index_bits, ps=cycles_to_ps(cycles, design.clock_khz),
        weight_bits=passes * stored * task.bits,
    )  # fmt: skip


def magnitude(rng: random.Random, low_bits: int, high_bits: int) -> int:
    """A positive integer whose size is uniform in bits."""
    return rng.randint(1, 2 ** rng.randint(low_bits, high_bits))


def random_design(rng: random.Random, *, zeros: bool = False) -> Design:
    macs = Array(rng.randint(0 if zeros else 1, 20), magnitude(rng, 0, 8))
    return Design(macs, rng.choice(list(Format)), rng.random() < 0.5, rng.random(), magnitude(rng, 10, 20))


def random_task(rng: random.Random, bits: int) -> Matmul:
    return Matmul(*(magnitude(rng, 0, bits) for _ in range(3)), rng.choice((1, 4, 8, 16)))


# --- agreement --------------------------------------------------------------------------------------------------


def any_integer(rng: random.Random) -> int:
    return rng.choice((-1, 1)) * rng.randint(0, 2 ** rng.randint(0, 63) - 1)


HELPER_ROWS: dict[Any, Callable[[random.Random], tuple[Any, ...]]] = {
    helpers.ceil_div: lambda rng: (any_integer(rng), any_integer(rng)),
    helpers.clog2: lambda rng: (any_integer(rng),),
    helpers.isqrt: lambda rng: (any_integer(rng),),
    helpers.cycles_to_ps: lambda rng: (magnitude(rng, 0, 50), magnitude(rng, 0, 22)),
    helpers.loglog: lambda rng: tuple(rng.uniform(0.01, 100) for _ in range(5)),
}


def test_every_helper_is_compared() -> None:
    assert set(HELPER_ROWS) == {value for value in vars(helpers).values() if is_pure(value)}


def test_helpers_agree_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    n_compared = {}
    for function, draw in HELPER_ROWS.items():
        rng = random.Random(function.__name__)
        n_compared[function.__name__] = agreement(function, (draw(rng) for _ in range(30_000 * DEEP)))
    with capsys.disabled():
        print(f"\nplain = compiled helpers: {sum(n_compared.values())} rows: {n_compared}")
    assert sum(n_compared.values()) >= 100_000
    assert min(n_compared.values()) >= 15_000


def test_a_model_agrees_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(1)
    n_rows = 100_000 * DEEP
    pairs = ((random_design(rng, zeros=True), random_task(rng, 13)) for _ in range(n_rows))
    n_compared = agreement(count, pairs)
    with capsys.disabled():
        print(f"\nplain = compiled sample model: {n_compared} rows")
    assert n_compared == n_rows


@pure
def powers(x: float, y: float) -> float:
    return x**y + log(y)


def test_rows_without_an_answer_do_not_count() -> None:
    """Python raises for a float beyond range and for the logarithm of a negative number."""
    assert agreement(powers, [(2.0, 3.0), (10.0, 400.0), (2.0, -1.0)]) == 1


def test_disagreement_is_reported_with_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    @pure
    def one_more(x: int) -> int:
        return x + 1

    compiled = compile_pure(one_more)
    monkeypatch.setattr(compiling, "compile_pure", lambda function: lambda x: compiled(x) + (x == 3))
    with pytest.raises(AssertionError) as error:
        agreement(one_more, [(1,), (2,), (3,)])
    assert str(error.value).endswith(
        "one_more(3,): plain _Outcome(value=4, error=None), compiled _Outcome(value=5, error=None)"
    )


def test_arguments_may_be_named_tuples_records_and_numbers() -> None:
    @pure
    def area(macs: Any, scale: float) -> float:
        return macs.rows * macs.cols * scale

    class Pair(NamedTuple):
        rows: int
        cols: int

    compiled = compile_pure(area)
    assert compiled(Pair(3, 4), 0.5) == 6.0
    assert compiled(rows(Array, [Array(3, 4)])[0], 0.5) == 6.0
    assert compiled(rows(Pair, [Pair(3, 4)])[0], 0.5) == 6.0


@pure
def sram(capacity_bits: int) -> MemoryLevel:
    return MemoryLevel(1, capacity_bits, write_bits_per_cycle=8, read_bits_per_cycle=16, clock_khz=5, slots=3)


def test_named_tuples_are_built_with_keywords_and_defaults() -> None:
    assert compile_pure(sram)(64) == sram(64)
    assert sram(64).slots == 3


# --- overflow and zero divisors ---------------------------------------------------------------------------------


class Watched(int):
    """A Python integer that remembers whether any arithmetic with it left 64 bits."""

    left = False

    @classmethod
    def of(cls, operation: Callable[..., int]) -> Callable[..., Any]:
        def watched(*operands: Any) -> Any:
            value = operation(*map(_bare, operands))
            if isinstance(value, int):
                cls.left |= not -MAX_INT <= value <= MAX_INT
                return cls(value)
            return value

        return watched


def _bare(value: Any) -> Any:
    return int(value) if isinstance(value, int) else value


for _name in ("add", "sub", "mul", "floordiv", "mod", "neg"):
    _operation = getattr(operator, _name)
    setattr(Watched, f"__{_name}__", Watched.of(_operation))
    if _name != "neg":
        setattr(Watched, f"__r{_name}__", Watched.of(lambda a, b, op=_operation: op(b, a)))


def watched(value: Any) -> Any:
    """`value` with watched integers in place of its own."""
    if isinstance(value, Array | Design):
        return type(value)(*(watched(getattr(value, name)) for name in vars(value)))
    if isinstance(value, tuple):
        return type(value)(*map(watched, value))
    return Watched(value) if type(value) is int else value


def expected_status(design: Design, task: Matmul) -> tuple[set[int], Any]:
    """What a row may be marked, and its counts, from Python's unbounded integers."""
    Watched.left = False
    try:
        value = count(watched(design), watched(task))
    except ZeroDivisionError:
        return ({ZERO_DIVISION, OVERFLOW} if Watched.left else {ZERO_DIVISION}), None
    left = Watched.left or max(value) > MAX_INT
    return ({OVERFLOW} if left else {OK}), value


def test_table_marks_exactly_the_rows_that_fail(capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(2)
    designs = [random_design(rng, zeros=True) for _ in range(200)]
    tasks = [random_task(rng, 40) for _ in range(100 * DEEP)]
    out = np.full((len(designs), len(tasks), len(Counts._fields)), -1, np.int64)
    status = np.full(out.shape[:2], -1, np.int8)
    table(count)(rows(Design, designs), rows(Matmul, tasks), out, status)
    for i, design in enumerate(designs):
        for j, task in enumerate(tasks):
            allowed, value = expected_status(design, task)
            assert status[i, j] in allowed, (design, task)
            assert tuple(out[i, j]) == (value if status[i, j] == OK else (0,) * 5)
    found = {name: int((status == code).sum()) for name, code in (("ok", 0), ("zero", 1), ("overflow", 2))}
    with capsys.disabled():
        print(f"\ntable against unbounded integers: {status.size} rows: {found}")
    assert min(found.values()) > 500


@pure
def hidden_overflow(design: Array, task: Matmul) -> Matmul:
    """The product leaves 64 bits and comes back by the division."""
    return Matmul(task.m * task.n // task.n, task.n, task.k, task.bits)


def test_an_overflow_of_an_intermediate_is_found() -> None:
    out, status = np.zeros((1, 2, 4), np.int64), np.zeros((1, 2), np.int8)
    tasks = rows(Matmul, [Matmul(2**32, 2**30, 1, 1), Matmul(2**32, 2**31, 1, 1)])
    table(hidden_overflow)(rows(Array, [Array(1, 1)]), tasks, out, status)
    assert status.tolist() == [[OK, OVERFLOW]]


@pytest.mark.parametrize(
    ("operation", "arguments", "edge"),
    [
        (operator.add, (MAX_INT - 1, 1), (MAX_INT, 1)),
        (operator.sub, (-MAX_INT + 1, 1), (-MAX_INT, 1)),
        (operator.mul, (MAX_INT // 7, 7), (MAX_INT // 7 + 1, 7)),
        (operator.pow, (3, 39), (3, 40)),
    ],
)
def test_each_operator_is_exact_up_to_the_edge(
    operation: Callable[[int, int], int], arguments: tuple[int, int], edge: tuple[int, int]
) -> None:
    compiled = compile_pure(OPERATORS[operation])
    assert compiled(*arguments) == operation(*arguments)
    with pytest.raises(OverflowError, match="an integer left 64 bits"):
        compiled(*edge)


@pure
def added(a: int, b: int) -> int:
    a += b
    return a


@pure
def subtracted(a: int, b: int) -> int:
    return a - b


@pure
def multiplied(a: int, b: int) -> int:
    a *= b
    return a


@pure
def raised(a: int, b: int) -> int:
    return a**b


OPERATORS = {operator.add: added, operator.sub: subtracted, operator.mul: multiplied, operator.pow: raised}


@pure
def rounded(x: float) -> int:
    return int(x) + floor(x)


def test_rounding_a_number_beyond_64_bits_is_an_overflow() -> None:
    compiled = compile_pure(rounded)
    assert compiled(-2.5) == rounded(-2.5) == -5
    for too_large in (2.0**63, -(2.0**63), float("inf"), float("nan")):
        with pytest.raises(OverflowError, match="an integer left 64 bits"):
            compiled(too_large)


def test_division_follows_python() -> None:
    compiled = compile_pure(divided)
    for a in (-7, 0, 7):
        for b in (-2, 2, 3):
            assert compiled(a, b) == divided(a, b)
    with pytest.raises(ZeroDivisionError):
        compiled(1, 0)


@pure
def divided(a: int, b: int) -> tuple[int, int, float]:
    return a // b, a % b, a / b


def test_a_table_of_the_wrong_shape_is_refused() -> None:
    designs, tasks = rows(Design, []), rows(Matmul, [])
    with pytest.raises(
        ValueError, match=r"^out must be int64 of shape \(0, 0, 'fields'\) and status of shape \(0, 0\)$"
    ):
        table(count)(designs, tasks, np.zeros((1, 0, 5), np.int64), np.zeros((0, 0), np.int8))


# --- rows -------------------------------------------------------------------------------------------------------


def test_rows_hold_every_field() -> None:
    design = Design(Array(3, 4), Format.CSC, True, 0.25, 200_000)
    found = rows(Design, [design, design])
    assert found.shape == (2,)
    assert found[1].item() == ((3, 4), 1, True, 0.25, 200_000)
    assert dtype_of(Design)["macs"] == dtype_of(Array)


def test_a_field_that_is_no_number_is_refused() -> None:
    class Named(NamedTuple):
        name: str

    with pytest.raises(TypeError) as error:
        dtype_of(Named)

    assert str(error.value).endswith(
        "Named.name is <class 'str'>; a row holds int, float, bool, IntEnum and classes of these"
    )


# --- what cannot be compiled ------------------------------------------------------------------------------------

TABLE = [1, 2, 3]
HUGE = 2**64


def unmarked(x: int) -> int:
    return x


@pure
def calls_unmarked(x: int) -> int:
    return unmarked(x)


@pure
def calls_that(x: int) -> int:
    return calls_unmarked(x) + 1


@pure
def reads_module(x: int) -> int:
    return np.abs(x)


@pure
def reads_list(x: int) -> int:
    return TABLE[x]


@pure
def reads_huge(x: int) -> int:
    return x + HUGE


@pure
def reads_nothing(x: int) -> int:
    return x + undefined_name  # type: ignore[name-defined]  # noqa: F821


@pure
def calls_print(x: int) -> int:
    print(x)
    return x


@pure
def calls_itself(x: int) -> int:
    return calls_itself(x - 1) if x else 0


@pure
def comprehends(x: int) -> int:
    return len(list(i for i in range(x)))  # noqa: C400


@pure
def shifts(x: int) -> int:
    return x << 3


GRAMMAR = "pure functions may use numbers, tuples of numbers, IntEnum and NamedTuple classes, and pure functions"


@pytest.mark.parametrize(
    ("function", "culprit", "line", "what"),
    [
        (unmarked, unmarked, 0, "is not marked @pure"),
        (calls_unmarked, calls_unmarked, 2, "calls unmarked, which is not marked @pure"),
        (calls_that, calls_unmarked, 2, "calls unmarked, which is not marked @pure"),
        (reads_module, reads_module, 2, "reads from the module 'np'; import what it needs by its own name"),
        (reads_list, reads_list, 2, f"uses the global 'TABLE', a list; {GRAMMAR}"),
        (reads_huge, reads_huge, 2, f"uses the global 'HUGE', a int; {GRAMMAR}"),
        (reads_nothing, reads_nothing, 2, "uses the name 'undefined_name', which is not defined"),
        (calls_print, calls_print, 2, f"uses the global 'print', a builtin_function_or_method; {GRAMMAR}"),
        (calls_itself, calls_itself, 0, "calls itself, directly or through another function"),
        (comprehends, comprehends, 0,
         "defines a function, class or comprehension inside; write a loop or a @pure function"),
        (shifts, shifts, 2, "uses the operator <<, which pure functions do not have"),
    ],
)  # fmt: skip
def test_what_is_outside_the_grammar_is_named(function: Any, culprit: Any, line: int, what: str) -> None:
    with pytest.raises(TypeError) as error:
        compile_pure(function)
    code = culprit.__code__
    assert str(error.value) == (
        f"{code.co_filename}:{code.co_firstlineno + line}: {culprit.__name__} cannot be compiled: it {what}"
    )


def test_a_closure_is_refused() -> None:
    bits = 8

    @pure
    def closed_over(x: int) -> int:
        return x * bits

    with pytest.raises(TypeError, match=r"it is a closure over 'bits'; pass it as an argument$"):
        compile_pure(closed_over)
    with pytest.raises(TypeError, match=r"is no plain function and cannot be compiled; mark a function with @pure$"):
        compile_pure(len)


class Shares(NamedTuple):
    work: float
    wait: float


@pure
def counts_in_floats(design: Array, task: Matmul) -> Shares:
    return Shares(1.0 * task.m, 2.0)


@pure
def builds_wrongly(design: Array, task: Matmul) -> Array:
    return Matmul(task.m)  # type: ignore[call-arg, return-value]


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (counts_in_floats, r"it returns Shares\(float64 x 2\), which is no NamedTuple of integers$"),
        (builds_wrongly, r"it has types that do not fit: .*Matmul is not given its fields m, n, k, bits"),
    ],
)
def test_a_count_that_is_no_row_of_integers_is_refused(function: Any, what: str) -> None:
    designs, tasks = rows(Array, [Array(1, 1)]), rows(Matmul, [Matmul(1, 1, 1, 1)])
    with pytest.raises(TypeError, match=re.escape(f"{function.__name__} cannot be compiled: ") + what):
        table(function)(designs, tasks, np.zeros((1, 1, 2), np.int64), np.zeros((1, 1), np.int8))


# --- the border -------------------------------------------------------------------------------------------------


def test_a_function_is_compiled_once() -> None:
    assert compile_pure(count) is compile_pure(count)


def test_math_functions_are_known() -> None:
    assert compile_pure(doublings)(8.0) == doublings(8.0)


@pure
def doublings(x: float) -> int:
    return floor(log(x) / log(2.0) + 0.5)


def test_the_plain_path_imports_neither_numba_nor_numpy() -> None:
    script = "import sys, hwsim.timing.recurrence, hwsim.timing.events; print({'numba', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_without_a_place_to_write_the_recurrence_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    caching: ModuleType = numba.core.caching
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    monkeypatch.setattr(compiling, "_built", {})
    compiled_recurrence.cache_clear()
    assert compiled_recurrence().py_func.__name__ == "run_recurrence"
    compiled_recurrence.cache_clear()


def test_compiled_functions_call_each_other() -> None:
    """A sweep's own loop is compiled code that calls compiled functions."""
    root = compile_pure(isqrt)

    @numba.njit
    def total(n: int) -> int:
        found = 0
        for i in range(n):
            found += root(i)
        return found

    assert total(100) == sum(map(isqrt, range(100)))


def draws() -> Iterator[int]:
    rng = random.Random(5)
    while True:
        yield magnitude(rng, 0, 20)


def test_times_do_not_leave_64_bits_for_a_million_seconds() -> None:
    """The promise of cycles_to_ps: the largest clock and count it names."""
    compiled = compile_pure(cycles_to_ps)
    for clock_khz in islice(draws(), 2000):
        cycles = 1_000_000 * 1000 * clock_khz
        assert compiled(cycles, clock_khz) == 10**18
