"""RINC modules: every rule of the training by itself, and whole modules against the slow twin.

The twin (`accelerators.poetbin.naive`) shares no code with the fast search. In exact arithmetic both must agree in
every feature, vote and table; in floats, the published training, every choice must be the twin's up to rounding.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from accelerators.poetbin import boosting, naive
from accelerators.poetbin.bits import pack, table_of, table_outputs
from accelerators.poetbin.boosting import Progress, train_neurons, train_rinc
from accelerators.poetbin.rinc import Mat, Rinc, Tree, level, mat_table, modules, tied_table
from accelerators.poetbin.trees import COST_STEPS, Search, pick, sorted_level
from accelerators.poetbin.weights import LARGEST_ALPHA, ONE, alpha, boosted, uniform
from hwsim.errors import InputError

DEEP = os.environ.get("HWSIM_DEEP") == "1"
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 3), (4, 2), (2, 2, 2), (1, 1), (8,))
NOISE = 1e-9
"""What rounding may add up to in the float twin's sums; differences of data are far larger."""


def rows(*texts: str) -> Any:
    """Samples from texts of 0 and 1; blanks are for the eye."""
    return np.array([[int(c) for c in text if c != " "] for text in texts], np.uint8)


def table(outputs: str) -> int:
    """The table with these outputs at the addresses 0, 1, ..."""
    return int(outputs[::-1], 2)


def grow(features: Any, labels: Sequence[int], weights: Sequence[int], p: int) -> Tree:
    """The tree for small integer weights."""
    return Search(pack(features)).tree(np.array(labels, np.uint8), np.array(weights, np.int64), p)[0]


def plain(rinc: Rinc) -> naive.Module:
    """A module as the twin writes it."""
    outputs = tuple(table_outputs(rinc.table, rinc.pins).tolist())
    if isinstance(rinc, Tree):
        return "tree", rinc.features, outputs
    return "mat", tuple(map(plain, rinc.children)), rinc.alphas, outputs


def random_task(seed: int) -> tuple[Any, Any, int, tuple[int, ...]]:
    """Few samples with duplicated, complementary, constant and rare features; a random or a learnable label."""
    rng = np.random.default_rng(seed)
    samples, count, p = int(rng.integers(1, 70)), int(rng.integers(5, 15)), int(rng.integers(1, 6))
    features = (rng.random((samples, count)) < rng.choice([0.05, 0.5, 0.9])).astype(np.uint8)
    if seed % 3 == 0:
        features[:, 2], features[:, 3] = features[:, 0], 1 - features[:, 1]
    if seed % 4 == 0:
        features[:, 0] = seed % 8 == 0
    noise = rng.random(samples) < 0.1
    labels = rng.integers(0, 2, samples) if seed % 2 else features[:, -1] ^ features[:, -2] ^ noise
    return features, labels.astype(np.uint8), p, SHAPES[seed % len(SHAPES)]


# --- the tree ---------------------------------------------------------------------------------------------------------


def test_the_feature_with_least_entropy_is_taken_and_is_the_most_significant_bit() -> None:
    features, labels = rows("011", "010", "101", "100", "111", "001"), np.array([1, 1, 0, 0, 0, 0])
    third, quarter = math.log2(3) - 2 / 3, 2 - 0.75 * math.log2(3)  # entropies of shares 1/3 and 1/4
    wanted = [third / 2, third / 2, 4 / 6 * quarter + 2 / 6 * 1]
    costs = Search(pack(features)).costs(sorted_level(np.zeros(6, np.int32), 0, labels.astype(np.uint8), uniform(6)))
    assert np.allclose(costs / COST_STEPS, wanted, rtol=0, atol=2**-40)
    for f in range(3):
        assert math.isclose(naive.split_entropy(features[:, f], labels, np.ones(6), np.zeros(6), 0), wanted[f])
    assert grow(features, labels.tolist(), [1] * 6, 2) == Tree((0, 1), table("0100"))  # feature 0 clear, feature 1 set


def test_weights_decide() -> None:
    features = rows("01", "10", "11", "00")
    labels = [1, 0, 0, 0]
    assert grow(features, labels, [1, 5, 1, 1], 1).features == (0,)
    assert grow(features, labels, [1, 1, 1, 5], 1).features == (1,)


def test_the_lowest_index_wins_ties() -> None:
    twice = rows("0011", "0011", "1100", "0100", "1011")  # features 2 and 3 are one, and so is ...
    labels = [1, 1, 0, 0, 1]
    assert grow(twice, labels, [3, 1, 4, 1, 5], 1).features == (1,)  # ... feature 1 with its bits inverted
    assert grow(twice[:, 2:], labels, [3, 1, 4, 1, 5], 1).features == (0,)
    assert grow(twice[:, ::-1], labels, [3, 1, 4, 1, 5], 1).features == (0,)


def test_equal_costs_from_other_samples_tie_too() -> None:
    """0.1 + 0.2 and 0.3 differ in floats; as sums of integer weights they are equal, and the lower index wins."""
    tenth = ONE // 10
    weights = [tenth, 2 * tenth, 3 * tenth, 4 * tenth]
    features = rows("01", "01", "10", "00")  # feature 1 marks 0.1 + 0.2 and feature 0 marks 0.3
    for columns in ([0, 1], [1, 0]):
        assert grow(features[:, columns], [1, 1, 1, 0], weights, 1).features == (0,)


def test_nothing_below_the_bound_takes_the_first_unused_feature() -> None:
    parity = rows("100", "001", "010", "111")  # no feature alone says anything about feature 1 xor feature 2
    labels = [0, 1, 1, 0]
    assert grow(parity, labels, [1] * 4, 1).features == (0,)
    assert grow(parity, labels, [1] * 4, 3).features == (0, 1, 2)
    constant = np.zeros((4, 3), np.uint8)
    assert grow(constant, [0, 1, 0, 1], [1] * 4, 3).features == (0, 1, 2)


def test_the_bound_must_be_undercut_strictly() -> None:
    costs = np.array([2.0, 1.0, 1.5]) * COST_STEPS
    assert pick(costs, [], 0) == 0  # 1.0 is not below 1
    assert pick(costs - 1, [], 0) == 1
    assert pick(costs, [], 1) == 1
    assert pick(costs * 2, [0], 1) == 1  # 2.0 is not below 2, so the first unused one
    assert pick(costs - 1, [1, 2], 1) == 0


def test_a_feature_serves_once() -> None:
    features, labels = rows("10", "00", "11", "01"), [1, 0, 1, 0]
    tree = grow(features, labels, [1] * 4, 2)
    assert tree.features == (0, 1)
    assert tree.table == table("0011")


def test_nodes_count_alike_whatever_their_mass() -> None:
    """Feature 0 splits off a light node. Feature 1 sorts the light node, feature 2 the heavy one but for a rest."""
    features = rows("1 10", "1 00", "0 01", "0 01", "0 00", "0 00", "0 00")
    labels = np.array([1, 0, 1, 0, 0, 0, 1])
    weights = np.array([1, 1, 40, 4, 40, 40, 2], np.int64)
    nodes = features[:, 0].astype(int)
    sums = [naive.split_entropy(features[:, f], labels, weights, nodes, 1) for f in (1, 2)]
    by_mass = [0.0, 0.0]
    for inside in (nodes == 0, nodes == 1):
        for i, f in enumerate((1, 2)):
            own = features[inside, f], labels[inside], weights[inside], nodes[inside] * 0
            by_mass[i] += weights[inside].sum() / weights.sum() * naive.split_entropy(*own, 0)
    assert sums[0] < sums[1]  # what the rule says
    assert by_mass[0] > by_mass[1]  # what a weighting of the nodes would say
    search = Search(pack(features))
    costs = search.costs(sorted_level(nodes.astype(np.int32), 1, labels.astype(np.uint8), weights))
    assert np.allclose(costs[1:3] / COST_STEPS, sums, atol=2**-39)
    assert pick(costs, [0], 1) == 1


def test_leaves_are_one_only_for_more_weight_and_empty_leaves_are_zero() -> None:
    features = rows("10", "10", "01", "01", "00")
    heavier = grow(features, [1, 0, 1, 0, 1], [3, 2, 2, 3, 1], 2)
    assert heavier == Tree((1, 0), table("1100"))  # at 01 3 > 2, at 10 2 < 3; 11 is empty
    assert grow(features, [1, 0, 1, 0, 1], [2, 2, 2, 2, 1], 2) == Tree((0, 1), table("1000"))  # equal weights: 0


def test_words_beyond_the_first_and_unfilled_ones_are_searched() -> None:
    rng = np.random.default_rng(1)
    for count in (63, 64, 65, 130):
        features = rng.integers(0, 2, (400, count), dtype=np.uint8)
        labels = features[:, count - 1] & features[:, count // 2]
        assert set(train_rinc(features, labels, 2).features) == {count - 1, count // 2}  # type: ignore[union-attr]


# --- votes and weights ------------------------------------------------------------------------------------------------


def test_votes() -> None:
    assert alpha(0, 7) == LARGEST_ALPHA == 10.36
    assert alpha(1, 4) == 0.5 * math.log2(3)
    assert alpha(1, 2) == 0.0
    assert math.isclose(alpha(3, 4), -alpha(1, 4))
    assert alpha(4, 4) == -10.36
    assert alpha(1, 2**60) == 30.0  # the formula is not capped: 10.36 is for no error at all


@pytest.mark.parametrize("seed", range(5))
def test_weights_follow_the_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, ONE // 200, 200)
    missed = rng.random(200) < 0.2
    wrong, total = int(weights[missed].sum()), int(weights.sum())
    e = Fraction(wrong, total)
    found = boosted(weights, missed, wrong, total)
    for before, after, bad in zip(weights.tolist(), found.tolist(), missed.tolist(), strict=True):
        wanted = Fraction(before, total) * Fraction(1, 2) / (e if bad else 1 - e)
        assert abs(Fraction(after, ONE) - wanted) <= Fraction(1, 2 * ONE) + wanted / 2**51
    assert abs(int(found[missed].sum()) - ONE // 2) < 2**12


def test_an_error_of_zero_or_one_keeps_the_weights() -> None:
    weights = np.array([1, 2, 3], np.int64)
    for missed in ([False] * 3, [True] * 3):
        bad = np.array(missed)
        assert boosted(weights, bad, int(weights[bad].sum()), 6).tolist() == [1, 2, 3]


def test_equal_weights_sum_to_one() -> None:
    for samples in (1, 3, 50_000, 60_000):
        weights = uniform(samples)
        assert abs(int(weights.sum()) - ONE) <= samples / 2
        assert len(set(weights.tolist())) == 1


# --- MAT --------------------------------------------------------------------------------------------------------------


def test_the_threshold_is_strict() -> None:
    assert mat_table((1.0, 1.0)) == 0b1000
    assert mat_table((2.0, 1.0, 1.0)) == table("00000111")
    votes = bin(mat_table((LARGEST_ALPHA,) * 8))[2:].zfill(256)[::-1]
    assert [int(v) for v in votes] == [int(bin(a).count("1") > 4) for a in range(256)]
    assert mat_table((0.0, 0.0)) == 0
    assert mat_table((0.1, 0.2, 0.3)) == table("00010111")  # these floats: 0.1 + 0.2 exceeds 0.3, by 2^-55


def test_a_negative_vote_counts_a_zero() -> None:
    assert mat_table((-1.0,)) == 0b01
    assert mat_table((3.0, -1.0)) == table("0011")
    assert mat_table((1.0, -3.0)) == table("1010")


def test_tables_are_those_of_fractions() -> None:
    rng = np.random.default_rng(5)
    for _ in range(100):
        votes = rng.choice([0.1, 0.2, 0.3, 10.36, -0.5, 1.7], int(rng.integers(1, 7))).tolist()
        assert tuple(table_outputs(mat_table(votes), len(votes)).tolist()) == naive.mat(votes)
        exact = [Fraction(v) for v in votes]
        for address in range(1 << len(votes)):
            chosen = [v for i, v in enumerate(exact) if address >> (len(votes) - 1 - i) & 1]
            assert mat_table(votes) >> address & 1 == (sum(chosen) > sum(exact) / 2)


def test_unused_pins_are_tied_to_zero() -> None:
    trees = tuple(Tree((f,), 0b10) for f in range(4))
    mat = Mat(trees, (1.0, 2.0, 3.0, 4.5))
    full = table_outputs(tied_table(mat, 8), 8)
    assert np.array_equal(full[::16], table_outputs(mat.table, 4))  # the four last pins at 0
    assert np.array_equal(full, np.repeat(full[::16], 16))
    assert tied_table(mat, 4) == mat.table
    with pytest.raises(InputError, match="has 4 pins already"):
        tied_table(mat, 3)


# --- boosting ---------------------------------------------------------------------------------------------------------


def test_after_an_error_of_zero_the_same_tree_comes_again() -> None:
    features = np.random.default_rng(2).integers(0, 2, (200, 9), dtype=np.uint8)
    found = train_rinc(features, features[:, 3] & features[:, 7], 3, (2, 3))
    assert isinstance(found, Mat)
    assert found.alphas == (10.36, 10.36)
    [group] = set(found.children)
    assert isinstance(group, Mat)
    [tree] = set(group.children)
    assert group.alphas == (10.36,) * 3
    assert group.table == table("00010111")
    assert isinstance(tree, Tree) and set(tree.features) > {3, 7}


def test_groups_are_boosted_like_trees() -> None:
    """By hand: a group begins with the weights of its level, and its own error makes the next ones."""
    rng = np.random.default_rng(11)
    features = rng.integers(0, 2, (300, 12), dtype=np.uint8)
    labels = (features[:, :7].sum(axis=1) + rng.integers(0, 3, 300) > 4).astype(np.uint8)
    whole = train_rinc(features, labels, 2, (3, 2))
    assert isinstance(whole, Mat)
    search, level_weights = Search(pack(features)), uniform(300)
    for group, vote in zip(whole.children, whole.alphas, strict=True):
        assert isinstance(group, Mat)
        weights, outputs = level_weights, []
        for tree, tree_vote in zip(group.children, group.alphas, strict=True):
            grown, output = search.tree(labels, weights, 2)
            missed = output != labels
            wrong, total = int(weights[missed].sum()), int(weights.sum())
            assert (grown, alpha(wrong, total)) == (tree, tree_vote)
            weights = boosted(weights, missed, wrong, total)
            outputs.append(output)
        missed = table_outputs(group.table, 2)[2 * outputs[0] + outputs[1]] != labels
        wrong, total = int(level_weights[missed].sum()), int(level_weights.sum())
        assert vote == alpha(wrong, total)
        level_weights = boosted(level_weights, missed, wrong, total)
    assert len(set(whole.children)) > 1


def test_any_depth() -> None:
    features, labels, _, _ = random_task(31)
    for depth in range(5):
        found = train_rinc(features, labels, 2, (2,) * depth)
        assert level(found) == depth
        assert len(list(modules(found))) == 2 ** (depth + 1) - 1


# --- against the twin -------------------------------------------------------------------------------------------------


def test_the_twin_agrees_in_everything() -> None:
    count = 4_000 if DEEP else 400
    for seed in range(count):
        features, labels, p, shape = random_task(seed)
        found = plain(train_rinc(features, labels, p, shape))
        assert found == naive.train(features, labels, p, shape, naive.EXACT), f"task {seed}"
    print(f"{count} random modules equal to the twin's, bit for bit")


class Replay:
    """Walks a trained module in the arithmetic of the published training, and judges its choices."""

    def __init__(self, features: Any, labels: Any) -> None:
        self.features, self.labels = features.astype(int), labels.astype(int)
        self.choices = self.ties = 0

    def tree(self, tree: Tree, weights: Any) -> Any:
        nodes, used = np.zeros(len(self.labels), int), list[int]()
        for depth, chosen in enumerate(tree.features):
            costs = {f: naive.split_entropy(self.features[:, f], self.labels, weights, nodes, depth)
                     for f in range(self.features.shape[1]) if f not in used}  # fmt: skip
            self.feature(chosen, costs, 2.0**depth)
            used.append(chosen)
            nodes = 2 * nodes + self.features[:, chosen]
        for a in range(1 << tree.pins):
            balance = sum(weights[nodes == a] * (2 * self.labels[nodes == a] - 1))
            assert abs(balance) < NOISE or (tree.table >> a & 1) == (balance > 0)
        return table_outputs(tree.table, tree.pins)[nodes].astype(int)

    def feature(self, chosen: int, costs: dict[int, float], bound: float) -> None:
        least = min(costs.values())
        if least > bound - NOISE:
            assert chosen == min(costs) or costs[chosen] < bound + NOISE
            wanted = min(costs) if least >= bound else min(costs, key=lambda f: costs[f])
        else:
            assert costs[chosen] <= least + NOISE
            assert all(costs[f] > costs[chosen] - NOISE for f in costs if f < chosen)
            wanted = min(costs, key=lambda f: costs[f])
        self.choices += 1
        self.ties += wanted != chosen

    def module(self, rinc: Rinc, weights: Any) -> Any:
        if isinstance(rinc, Tree):
            return self.tree(rinc, weights)
        nodes = np.zeros(len(self.labels), int)
        for child, found in zip(rinc.children, rinc.alphas, strict=True):
            output = self.module(child, weights)
            missed = output != self.labels
            assert math.isclose(found, naive.vote(weights, missed), rel_tol=1e-6, abs_tol=NOISE)
            weights = naive.FLOATS.boosted(weights, missed)
            nodes = 2 * nodes + output
        return table_outputs(rinc.table, rinc.pins)[nodes].astype(int)


def test_every_choice_is_that_of_floats_but_for_ties() -> None:
    replays = []
    for seed in range(1_000 if DEEP else 100):
        features, labels, p, shape = random_task(seed)
        replays.append(Replay(features, labels))
        replays[-1].module(train_rinc(features, labels, p, shape), np.full(len(labels), 1 / len(labels)))
    choices, ties = sum(r.choices for r in replays), sum(r.ties for r in replays)
    print(f"{choices} choices; in {ties} the rounding of floats would have broken a tie the other way")
    assert ties < choices / 20


def test_neither_threads_nor_the_order_of_samples_matter() -> None:
    rng = np.random.default_rng(8)
    for seed in range(6):
        features = rng.integers(0, 2, (500, 200), dtype=np.uint8)
        labels = (features[:, :9].sum(axis=1) > 4).astype(np.uint8)
        one = train_rinc(features, labels, 4, SHAPES[seed])
        assert all(train_rinc(features, labels, 4, SHAPES[seed], threads=n) == one for n in (2, 3, 9))
        shuffled = rng.permutation(500)
        assert train_rinc(features[shuffled], labels[shuffled], 4, SHAPES[seed]) == one


# --- many neurons -----------------------------------------------------------------------------------------------------


def neuron_task() -> tuple[Any, Any]:
    rng = np.random.default_rng(4)
    features = rng.integers(0, 2, (400, 70), dtype=np.uint8)
    return features, (features @ rng.normal(size=(70, 6)) > 0).astype(np.uint8)


def test_neurons_are_trained_one_by_one_in_the_order_asked_for() -> None:
    features, bits = neuron_task()
    seen: list[Progress] = []
    found = list(train_neurons(features, bits, 3, (2, 2), on_progress=seen.append))
    assert found == [(n, train_rinc(features, bits[:, n], 3, (2, 2))) for n in range(6)]
    assert [(s.neuron, s.done, s.total) for s in seen] == [(n, n + 1, 6) for n in range(6)]
    assert seen[-1].left_s == 0 < seen[0].left_s
    assert list(train_neurons(pack(features), bits, 3, (2, 2), threads=3)) == found
    assert list(train_neurons(features, bits, 3, (2, 2), neurons=[5, 1], threads=2)) == [found[5], found[1]]


def test_what_was_yielded_before_an_interrupt_stands_and_no_thread_is_left() -> None:
    features, bits = neuron_task()
    before = threading.active_count()
    kept: dict[int, Rinc] = {}
    with pytest.raises(KeyboardInterrupt):
        for neuron, module in train_neurons(features, np.tile(bits, (1, 50)), 3, (2, 2), threads=2):
            kept[neuron] = module
            if len(kept) == 3:
                raise KeyboardInterrupt
    assert threading.active_count() == before
    rest = [n for n in range(6) if n not in kept]
    kept |= train_neurons(features, bits, 3, (2, 2), neurons=rest)
    assert kept == dict(train_neurons(features, bits, 3, (2, 2)))


def test_closing_stops_work_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    features, bits = neuron_task()
    grown = []
    closing = threading.Event()
    tree = Search.tree

    def counted(self: Search, *arguments: Any) -> Any:
        grown.append(1)
        if len(grown) > 9:
            closing.wait()
        return tree(self, *arguments)

    monkeypatch.setattr(boosting.Search, "tree", counted)
    running = train_neurons(features, np.tile(bits, (1, 100)), 3, (3, 3))
    next(running)
    closing.set()
    running.close()
    assert 9 <= len(grown) < 2_000  # of 5,400; what ran while this thread was on its way to close


def test_bad_arguments_are_refused_at_the_call() -> None:
    features, bits = neuron_task()
    cases: list[tuple[str, tuple[Any, ...]]] = [
        ("one label for each of the 400", (features, bits[1:], 3, (2,))),
        ("integer from 1 to 16", (features, bits, 0, (2,))),
        ("integer from 1 to 16", (features, bits, 17, (2,))),
        ("there are 2", (features[:, :2], bits, 3, (2,))),
        ("combines 1 to 16 modules", (features, bits, 3, (17,))),
        ("combines 1 to 16 modules", (features, bits, 3, (2, 0))),
        ("each 0 or 1", (features * 2, bits, 3, (2,))),
        ("each 0 or 1", (features * 0.5, bits, 3, (2,))),
        ("array of 2 dimensions", (features[0], bits, 3, (2,))),
        ("array of 2 dimensions", (features, bits[:, 0], 3, (2,))),
        ("non-empty", (features[:0], bits[:0], 3, (2,))),
    ]
    for message, arguments in cases:
        with pytest.raises(InputError, match=message):
            train_neurons(*arguments)
    with pytest.raises(InputError, match="there are 6 neurons"):
        train_neurons(features, bits, 3, (2,), neurons=[0, 6])
    with pytest.raises(InputError, match="array of 1 dimensions"):
        train_rinc(features, bits, 3)


def test_tables_round_trip() -> None:
    for pins in range(6):
        outputs = int.from_bytes(np.random.default_rng(pins).bytes(8), "little") % (1 << (1 << pins))
        assert table_of(table_outputs(outputs, pins)) == outputs
