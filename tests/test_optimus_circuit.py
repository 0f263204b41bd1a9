"""The cases of the OPTIMUS circuit without a simulator: how they were drawn, what they compute, what drives them."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.cosim.case import Case, CaseFile, read_cases
from hwsim.cosim.compare import percentile
from hwsim.cosim.golden import check_model, read_golden
from hwsim.errors import InputError
from rtl_models.optimus import data, draw, images
from rtl_models.optimus.bench import CIRCUIT, closed_run_cycles, run_cycles
from rtl_models.optimus.data import Kind, Pattern, Task, Values


@lru_cache(maxsize=1)
def case_file() -> CaseFile:
    return read_cases(CIRCUIT.cases, CIRCUIT)


def group(case: Case) -> str:
    """sobol, corner or dense: as draw.py names them."""
    letter, number = case.name[0], case.name[1:]
    return {"s": "sobol", "d": "dense"}[letter] if number.isdigit() else "corner"


# --- the cases ----------------------------------------------------------------------------------------------------


def test_the_case_file_is_what_the_sequence_draws() -> None:
    assert CIRCUIT.cases.read_text(encoding="utf-8") == "".join(draw.lines())


def test_there_are_cases_enough_and_a_third_of_them_is_held_out() -> None:
    file = case_file()
    counts = Counter((group(case), case.held_out) for case in file.cases)
    for kind in ("sobol", "corner", "dense"):
        print(f"{kind}: {counts[kind, False]} development, {counts[kind, True]} held out")
    assert counts["sobol", False] + counts["sobol", True] >= 320
    assert sum(n for (_, held_out), n in counts.items() if held_out) * 3 >= len(file.cases) * 0.99
    assert {case.family for case in file.cases if case.held_out} == set(file.held_out) == {"n8m4", "n20m4", "n32m32",
                                                                                          "n48m16"}  # fmt: skip


def test_builds_are_few_and_a_family_is_a_shape() -> None:
    file = case_file()
    builds = {tuple(case.parameters(CIRCUIT).values()) for case in file.cases}
    print(f"{len(file.cases)} cases on {len(builds)} builds")
    assert len(builds) <= 24
    assert all(case.family == f"n{case.design.macs}m{case.design.sets}" for case in file.cases)
    assert len({case.name for case in file.cases}) == len(file.cases)


def test_what_was_asked_for_is_covered() -> None:
    sobol = [case for case in case_file().cases if group(case) == "sobol"]
    pieces = [len(step.pieces) for case in sobol for step in images.steps(case.design, case.task, case.seed)]
    one = sum(n == 1 for n in pieces) / len(pieces)
    print(f"{len(pieces)} products: {one:.0%} in one piece, up to {max(pieces)} pieces")
    assert 0.3 < one < 0.7
    assert {case.task.products for case in sobol} == {1, 2, 3, 4}
    assert {case.task.rows for case in sobol} == set(range(1, 13))
    assert {case.design.rate for case in sobol} == set(range(1, 17))
    assert {(case.task.chain, case.design.load_overlap) for case in sobol} == set(
        itertools.product((False, True), repeat=2)
    )
    assert min(case.task.density for case in sobol) < 25 and max(case.task.density for case in sobol) > 950


# --- the data -----------------------------------------------------------------------------------------------------


def by_hand(matrix: np.ndarray, vector: np.ndarray, shift: int) -> list[int]:
    """A product in Python's own integers."""
    results = []
    for row in matrix.tolist():
        total = sum(a * b for a, b in zip(row, vector.tolist(), strict=True))
        total = (total + 2 ** (shift - 1)) // 2**shift if shift else total
        results.append(max(-32768, min(32767, total)))
    return results


tasks = st.one_of(
    st.builds(
        Task, kind=st.just(Kind.SPARSE), products=st.integers(1, 3), rows=st.integers(1, 3), outputs=st.integers(1, 12),
        columns=st.integers(1, 12), pattern=st.sampled_from([p for p in Pattern if p != Pattern.BERNOULLI]),
        values=st.sampled_from(Values), chain=st.booleans(), shift=st.integers(0, 39),
    ),
    st.builds(
        Task, kind=st.just(Kind.SPARSE), products=st.integers(1, 3), rows=st.integers(1, 3), outputs=st.integers(1, 12),
        columns=st.integers(1, 12), density=st.integers(1, 1000), skew=st.integers(0, 1000), chain=st.booleans(),
        shift=st.integers(0, 39),
    ),
    st.builds(
        Task, kind=st.just(Kind.DENSE), products=st.integers(1, 3), rows=st.integers(1, 3), heads=st.integers(1, 4),
        kv=st.integers(1, 9), reduction=st.integers(1, 9), values=st.sampled_from(Values), shift=st.integers(0, 39),
    ),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(tasks, st.integers(0, 2**32 - 1))
def test_results_are_products_of_integers(task: Task, seed: int) -> None:
    assert not list(task.problems())
    products = data.products(task, seed)
    assert len(products) == task.products
    for before, product in itertools.pairwise((None, *products)):
        if task.chain and before is not None:
            assert (product.inputs == before.results).all()
        for row, head in np.ndindex(product.inputs.shape[:2]):
            expected = by_hand(product.matrices[head], product.inputs[row, head], task.shift)
            assert product.results[row, head].tolist() == expected


def test_sums_of_the_largest_tasks_fit_40_bits() -> None:
    task = Task(Kind.SPARSE, outputs=1, columns=511, pattern=Pattern.FULL, values=Values.LOWEST, shift=39)
    product = data.products(task, 0)[0]
    largest = int(product.matrices[0, 0].astype(np.int64) @ product.inputs[0, 0].astype(np.int64))
    assert largest < 2**39 <= largest + 2**30


def test_rows_differ_in_density_as_much_as_skew_says() -> None:
    even = data.bernoulli(200, 2000, 0.3, 0, np.random.default_rng(1)).mean(axis=1)
    skewed = data.bernoulli(200, 2000, 0.3, 0.5, np.random.default_rng(1)).mean(axis=1)
    assert abs(even.mean() - 0.3) < 0.01 and even.std() < 0.02
    assert abs(skewed.mean() - 0.3) < 0.02 and 0.15 - 0.05 < skewed.min() < skewed.max() < 0.45 + 0.05
    assert skewed.std() == pytest.approx(0.3 * 0.5 / 3**0.5, rel=0.15)


@pytest.mark.parametrize(
    ("pattern", "rows"),
    [
        (Pattern.ZERO, ["...", "...", "..."]),
        (Pattern.FULL, ["###", "###", "###"]),
        (Pattern.IDENTITY, ["#..", ".#.", "..#"]),
        (Pattern.FULL_ROW, ["...", "###", "..."]),
        (Pattern.FULL_COLUMN, [".#.", ".#.", ".#."]),
        (Pattern.EMPTY_FIRST, [".##", ".##", ".##"]),
        (Pattern.EMPTY_INNER, ["#.#", "#.#", "#.#"]),
        (Pattern.EMPTY_LAST, ["##.", "##.", "##."]),
        (Pattern.EMPTY_ROWS, ["...", "###", "###"]),
    ],
)
def test_patterns(pattern: Pattern, rows: list[str]) -> None:
    task = Task(Kind.SPARSE, outputs=3, columns=3, pattern=pattern)
    matrix = data.products(task, 5)[0].matrices[0]
    assert ["".join("#" if value else "." for value in row) for row in matrix.tolist()] == rows


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        (Task(Kind.SPARSE, outputs=3, density=5), ["columns"]),
        (Task(Kind.SPARSE, outputs=3, columns=3), ["density"]),
        (Task(Kind.SPARSE, outputs=3, columns=3, density=5, heads=1), ["heads"]),
        (Task(Kind.SPARSE, outputs=3, columns=3, density=5, pattern=Pattern.FULL), ["density"]),
        (Task(Kind.SPARSE, outputs=512, columns=3, density=5, chain=True), ["outputs"]),
        (Task(Kind.DENSE, heads=1, kv=1), ["reduction"]),
        (Task(Kind.DENSE, heads=1, kv=1, reduction=1, chain=True), ["chain"]),
        (Task(Kind.DENSE, heads=1, kv=1, reduction=1, skew=3), ["density"]),
    ],
)
def test_tasks_that_contradict_themselves_are_refused(task: Task, keys: list[str]) -> None:
    assert [key for key, _, _ in task.problems()] == keys


# --- the memories -------------------------------------------------------------------------------------------------


class Reader:
    """Reads the memories of a run bit by bit as hdl/README.md says, and does the products they ask for."""

    def __init__(self, image: images.Images, sets: int, shift: int) -> None:
        self.commands = image.commands.words
        self.bits = "".join(f"{word:032b}"[::-1] for word in image.weights.words)
        self.memory = [word - (word >> 15 << 16) for word in image.activations.words]
        self.sets, self.shift, self.sums = sets, shift, {}
        size = 18 + 2 * sets
        for k in range(image.pieces):
            self.piece(self.commands[k * size : (k + 1) * size])

    def number(self, at: int, width: int) -> int:
        return int(self.bits[at : at + width][::-1] or "0", 2)

    def piece(self, record: list[int]) -> None:
        flags, rows, outputs, depth, columns, inputs, stride, base, base_stride, order, _ = record[:11]
        if flags & 1:
            self.sums = {(i, p): 0 for i in range(rows) for p in range(outputs)}
        entries = list(self.dense(record) if flags & 8 else self.sparse(record))
        assert depth == -(-outputs // self.sets) and all(c < columns for _, c, _ in entries)
        for i, (p, c, value) in itertools.product(range(rows), entries):
            self.sums[i, p] += value * self.memory[inputs + i * stride + c]
        if flags & 2:
            for (i, p), total in self.sums.items():
                result = (total + (1 << self.shift >> 1)) >> self.shift
                self.memory[base + i * base_stride + self.commands[order + p]] = max(-32768, min(32767, result))

    def sparse(self, record: list[int]):
        outputs, columns, (base, bits, length_bits, row_bits) = record[2], record[4], record[10:14]
        end = 0
        for s in range(min(self.sets, outputs)):
            start, left = record[18 + 2 * s], record[19 + 2 * s]
            at = 32 * base + start
            lengths = [self.number(at + c * length_bits, length_bits) for c in range(columns)]
            at += columns * length_bits
            assert sum(lengths) == left
            for c in (c for c, n in enumerate(lengths) for _ in range(n)):
                value = self.number(at, 16)
                yield self.number(at + 16, row_bits) * self.sets + s, c, value - (value >> 15 << 16)
                at += 16 + row_bits
            end = max(end, at - 32 * base)
        assert end == bits

    def dense(self, record: list[int]):
        heads, kv, reduction, matrix = record[14:18]
        for h, j, i in itertools.product(range(heads), range(kv), range(reduction)):
            yield h * kv + j, i * heads + h, self.memory[matrix + (h * kv + j) * reduction + i]


def smallest(wanted: int) -> list[Case]:
    """The cases that the slow reader is fastest at, of every kind and feature."""
    cases = sorted(case_file().cases, key=lambda c: c.task.products * c.task.rows * max(
        c.task.outputs * c.task.columns, c.task.heads * c.task.kv * c.task.reduction))  # fmt: skip
    features = {}
    for case in cases:
        pieces = [len(step.pieces) > 1 for step in images.steps(case.design, case.task, case.seed)]
        features.setdefault((case.task.kind, case.task.pattern, case.task.values, case.task.chain, any(pieces),
                             case.task.rows > 1, case.family), case)  # fmt: skip
    return list(features.values())[:wanted]


def test_memories_hold_the_products() -> None:
    chosen = smallest(120)
    for case in chosen:
        stimulus = CIRCUIT.stimulus(case.design, case.task, case.seed)
        image = images.images(case.design, case.task, case.seed)
        done = Reader(image, case.design.sets, case.task.shift)
        words = [word & 0xFFFF for word in done.memory[: image.result_words]]
        assert words == list(stimulus.expected["results"].words), case.name
    print(f"{len(chosen)} cases read back from their memories")


def test_what_the_circuit_cannot_hold_is_refused() -> None:
    case = case_file().cases[0]
    task = Task(Kind.SPARSE, products=8, rows=256, outputs=100, columns=100, density=100)
    with pytest.raises(InputError, match="the circuit holds at most 131072 activations"):
        CIRCUIT.stimulus(case.design, task, 1)


def test_every_case_has_what_drives_it_and_a_program() -> None:
    for case in case_file().cases:
        stimulus = CIRCUIT.stimulus(case.design, case.task, case.seed)
        steps = images.steps(case.design, case.task, case.seed)
        assert len(steps) == case.task.products
        assert len(CIRCUIT.program(case.design, case.task, case.seed)) == sum(len(step.pieces) for step in steps)
        assert 0 <= stimulus.exact["run"] < stimulus.limit


# --- the model against golden.csv ---------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def golden() -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in read_golden(CIRCUIT)}


def test_the_model_holds_to_golden() -> None:
    """Cycles within tolerance, run cycles, counts and words exactly."""
    assert check_model(CIRCUIT) == []


def figures(errors: list[float]) -> str:
    sizes = sorted(map(abs, errors))
    p95 = percentile(sizes, 0.95)
    return (
        f"{len(errors)} cases, bias {sum(errors) / len(errors):+.3%}, median {percentile(sizes, 0.5):.3%}, "
        f"MAPE {sum(sizes) / len(sizes):.3%}, p95 {p95:.3%}, worst {sizes[-1]:.3%}"
    )


def test_errors_are_within_tolerance_in_development_and_held_out_families_alike() -> None:
    file, errors = case_file(), {}
    for case in file.cases:
        row = golden()[case.name]
        error = float(row["model_total"]) / float(row["rtl_total"]) - 1
        errors.setdefault((group(case), case.held_out), []).append(error)
        errors.setdefault(("all", case.held_out), []).append(error)
    for (kind, held_out), of_group in sorted(errors.items()):
        print(f"{kind}, {'held out' if held_out else 'development'}: {figures(of_group)}")
    for held_out in (False, True):
        sizes = sorted(map(abs, errors["all", held_out]))
        assert sum(sizes) / len(sizes) <= file.tolerance.mape
        assert percentile(sizes, 0.95) <= file.tolerance.p95
        assert sizes[-1] <= file.tolerance.worst


def test_run_cycles_are_the_kernels_and_the_closed_form_is_printed_beside() -> None:
    errors = {False: [], True: []}
    for case in case_file().cases:
        run = int(golden()[case.name]["exact_run"])
        assert run == run_cycles(case.design, case.task, case.seed), case.name
        if group(case) == "sobol" and run:
            errors[case.held_out].append(closed_run_cycles(case.design, case.task, case.seed) / run - 1)
    for held_out, of_group in errors.items():
        print(f"closed form, {'held out' if held_out else 'development'}: {figures(of_group)}")


def test_events_of_the_model_end_when_the_circuit_does() -> None:
    """The array stepped cycle by cycle, its pieces placed by the port's rules, has the circuit's own cycles exactly."""
    every = 1 if os.environ.get("HWSIM_DEEP") else 5
    chosen = case_file().cases[::every]
    for case in chosen:
        last = max(event.cycle for event in CIRCUIT.trace(case.design, case.task, case.seed) if event.name == "done")
        assert last + 1 == int(golden()[case.name]["rtl_total"]), case.name
    print(f"{len(chosen)} cases stepped")


def test_sizes_alone_refuse_what_is_beyond_the_circuit() -> None:
    """At once: nothing is drawn, packed or built for it."""
    case = case_file().cases[0]
    wide = dataclasses.replace(case.design, macs=1 << 20, sets=1)
    large = Task(Kind.DENSE, products=8, rows=256, heads=64, kv=1024, reduction=511)
    for design, task, rule in ((wide, case.task, "256 multipliers"), (case.design, large, "1048576 matrix elements")):
        with pytest.raises(InputError, match=rule):
            CIRCUIT.check(design, task)
    for one in case_file().cases:
        CIRCUIT.check(one.design, one.task)
