"""Formulas: their grammar, their kinds, and that one point and columns of points give the same answers."""

from __future__ import annotations

import math
import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import InputError
from hwsim.sweep.formula import Formula
from hwsim.sweep.grammar import Kind

NAMES = {"a": 7, "b": 3, "x": 0.5, "bind.n": 4, "on": True, "mode": "dense"}
KINDS = {"a": Kind.NUMBER, "b": Kind.NUMBER, "x": Kind.NUMBER, "on": Kind.TRUTH, "mode": Kind.TEXT}

VALUES = {
    "a + b * 2": 13, "-a // b": -3, "-a % b": 2, "a / 2": 3.5, "min(a, b, x)": 0.5, "max(a, b)": 7, "abs(b - a)": 4,
    "log2(8 * bind.n)": 5.0, "a > b": True, "1 < b <= 3 < a": True, "a == 7 and not a == 8": True, "on and x < 1": True,
    "mode == 'dense' or a / 0 > 1": True, "mode != 'dense'": False, "true and on == true": True, "+a - -b": 10,
    "2.5e1 // x": 50.0, "(a + b) % 4 == 2": True, "4611686018427387904 * a": 7 * 2**62,
}  # fmt: skip

REFUSED = [
    "", "a b", "a = 1", "a ** b", "a << 1", "a & b", "~a", "a if on else b", "[a]", "(a, b)", "{a}", "a[0]",
    "lambda: 1", "a.b()",
    "__import__('os')", "f(a)", "min(a)", "min(*a)", "abs(a, b)", "log2(a, base=2)", "min", "a is b", "a in b",
    "'x'.upper()", "(a).b.c()", "1j", "None", "...", "b'x'", "f'{a}'", "1e999", "9" * 30, "a := 1", "é + 1", "(" * 300,
    "-" * 60 + "a", "a" * 1001, "a\n; b", "not", "a and", "yield a", "await a", "a\0",
]  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_values(text: str) -> None:
    value = Formula(text).value(NAMES)
    assert value == VALUES[text]
    assert type(value) is type(VALUES[text])


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_of_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Formula(text)
    assert caught.value.problems[0].code == "formula"


def test_names_hold_dots() -> None:
    assert Formula("bind.n * traffic_bits.dram.read + min(a, a)").names == {"bind.n", "traffic_bits.dram.read", "a"}


@pytest.mark.parametrize("text", ["a + on", "not a", "a and on", "mode + 1", "mode < 'x'", "a == mode", "min(a, on)"])
def test_kinds_that_do_not_fit_are_refused_before_anything_runs(text: str) -> None:
    with pytest.raises(InputError):
        Formula(text).kind(KINDS)
    with pytest.raises(InputError):
        Formula(text).value(NAMES)


def test_the_kind_of_a_formula() -> None:
    assert Formula("a * 2").kind(KINDS) is Kind.NUMBER
    assert Formula("a < 2 or on").kind(KINDS) is Kind.TRUTH
    assert Formula("mode").kind(KINDS) is Kind.TEXT
    assert Formula("unheard_of").kind(KINDS) is Kind.ANY


@pytest.mark.parametrize("text", ["a / 0", "a // (b - 3)", "a % 0", "log2(0 - a)", "big * big", "nan_"])
def test_what_has_no_value_says_so(text: str) -> None:
    names = {**NAMES, "nan_": math.nan, "big": 1e300}
    formula = Formula(text)
    with pytest.raises(InputError) as caught:
        formula.value(names)
    assert caught.value.problems[0].code == "undefined"
    assert math.isnan(formula.column({k: np.array([v]) for k, v in names.items()})[0])
    assert not Formula(f"{text} > 0").holds(names)


def test_a_condition_may_be_decided_by_some_names() -> None:
    guarded = Formula("mode != 'dense' or macs % sets == 0")
    assert guarded.decided({"mode": "sparse"}) is True
    assert guarded.decided({"mode": "dense"}) is None
    assert Formula("mode == 'dense' and macs > 3").decided({"mode": "sparse"}) is False
    assert Formula("not (macs > 3)").decided({}) is None


def test_a_formula_is_a_value() -> None:
    import copy

    formula = Formula(" a + b ")
    assert formula == Formula("a + b") == copy.deepcopy(formula)
    assert hash(formula) == hash(Formula("a + b"))


# --- columns are points -----------------------------------------------------------------------------------------


def random_formula(rng: random.Random, depth: int, truth: bool) -> str:
    """A formula over i, j (integers), x (floats), on (booleans) and mode (texts)."""

    def number() -> str:
        return random_formula(rng, depth - 1, False)

    def condition() -> str:
        return random_formula(rng, depth - 1, True)

    if truth:
        if depth <= 0:
            return rng.choice(["on", "mode == 'a'", "mode != 'b'", "i > 2"])
        return rng.choice([
            lambda: f"({number()} {rng.choice(['<', '<=', '>', '>=', '==', '!='])} {number()})",
            lambda: f"({condition()} {rng.choice(['and', 'or'])} {condition()})",
            lambda: f"({condition()} and {condition()} or {condition()} and {condition()})",
            lambda: f"(not {condition()})",
            lambda: f"({number()} < {number()} <= {number()})",
        ])()  # fmt: skip
    if depth <= 0:
        return rng.choice(["i", "j", "x", "3", "0.25", "0", "1000003", "4611686018427387904"])
    return rng.choice([
        lambda: f"({number()} {rng.choice(['+', '-', '*', '/', '//', '%'])} {number()})",
        lambda: f"{rng.choice(['min', 'max'])}({number()}, {number()})",
        lambda: f"abs({number()})",
        lambda: f"log2({number()})",
        lambda: f"(-{number()})",
    ])()  # fmt: skip


@given(st.integers(0, 2**32), st.booleans())
def test_columns_say_what_points_say(seed: int, truth: bool) -> None:
    rng = random.Random(seed)
    formula = Formula(random_formula(rng, 4, truth))
    rows = 40
    columns = {
        "i": np.array([rng.choice([-3, 0, 1, 7, 2**31, 2**53 + 1, -(2**60)]) for _ in range(rows)]),
        "j": np.array([rng.randrange(-5, 6) for _ in range(rows)]),
        "x": np.array([rng.choice([0.0, 0.5, -2.25, 1e-300, 1e300, 3.0]) for _ in range(rows)]),
        "on": np.array([rng.random() < 0.5 for _ in range(rows)]),
        "mode": np.array([rng.choice(["a", "b"]) for _ in range(rows)]),
    }
    found = formula.column(columns)
    assert found.dtype == (np.bool_ if truth else np.float64)
    for i in range(rows):
        names = {k: v[i].item() for k, v in columns.items()}
        if truth:
            assert found[i] == formula.holds(names)
            continue
        try:
            assert found[i] == float(formula.value(names))
        except InputError as bad:
            assert bad.problems[0].code == "undefined"
            assert math.isnan(found[i])
        except OverflowError:
            assert math.isinf(found[i])


def test_a_formula_over_two_million_points() -> None:
    n = 2_000_000
    rng = np.random.default_rng(0)
    columns = {"macs": rng.integers(1, 4096, n), "sets": rng.integers(1, 64, n), "clock": rng.integers(1, 10**6, n)}
    formula = Formula("macs % sets == 0 and clock * macs >= 200000")
    start = time.perf_counter()
    kept = formula.column(columns)
    rate = n / (time.perf_counter() - start)
    print(f"a formula of two conditions: {rate / 1e6:.0f} M points/s, {int(kept.sum())} of {n} hold")
    assert 0 < kept.sum() < n
