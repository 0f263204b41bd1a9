"""PoET-BiN classifiers: published counts, the output layer in integers, the LUT network, and files."""

from __future__ import annotations

import json
import os
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutate import Mutator

from accelerators.poetbin import document
from accelerators.poetbin.bits import pack
from accelerators.poetbin.boosting import train_rinc
from accelerators.poetbin.classifier import (
    Classifier,
    Mat,
    Rinc,
    Tree,
    full_rinc_luts,
    macs_replaced,
    naive_lut6,
    nominal_luts,
    rinc_luts,
    rinc_outputs,
    scores_from_outputs,
)
from accelerators.poetbin.counts import rinc_shape
from accelerators.poetbin.output import rounded_quotient, score_luts, score_table
from accelerators.poetbin.rinc import modules
from hwsim.errors import InputError
from hwsim.netlist.evaluate import evaluate

MUTANTS = 10_000 if os.environ.get("HWSIM_DEEP") == "1" else 500
CLASSIFIERS = 300 if os.environ.get("HWSIM_DEEP") == "1" else 40
PUBLISHED = {"mnist": (8, 8, 4, 80, 10, 8), "cifar10": (8, 8, 5, 80, 10, 8), "svhn": (6, 6, 6, 60, 10, 8)}
"""p, trees a group, groups, neurons, classes, q"""


def random_rinc(rng: np.random.Generator, inputs: int, p: int, depth: int) -> Rinc:
    if depth == 0:
        features = rng.choice(inputs, int(rng.integers(1, p + 1)), replace=False).tolist()
        return Tree(tuple(features), int.from_bytes(rng.bytes(1 << 13), "little") % (1 << (1 << len(features))))
    children = tuple(random_rinc(rng, inputs, p, depth - 1) for _ in range(int(rng.integers(1, p + 1))))
    return Mat(children, tuple(rng.choice([10.36, 0.5, -0.25, 1 / 3], len(children)).tolist()))


def random_classifier(seed: int) -> Classifier:
    rng = np.random.default_rng(seed)
    inputs, p, q = int(rng.integers(6, 40)), int(rng.integers(1, 6)), int(rng.integers(1, 11))
    classes, fan_in = int(rng.integers(1, 8)), int(rng.integers(1, p + 1))
    neurons = tuple(random_rinc(rng, inputs, p, int(rng.integers(0, 4))) for _ in range(classes * fan_in))
    weights = tuple(map(tuple, rng.uniform(-1, 1, (classes, fan_in)).tolist()))
    return Classifier(inputs, p, neurons, weights, tuple(rng.uniform(-1, 1, classes).tolist()), q)


def slow_output(rinc: Rinc, sample: Any) -> int:
    """One module on one sample, bit by bit."""
    if isinstance(rinc, Tree):
        bits = "".join(str(sample[f]) for f in rinc.features)
        return rinc.table >> int(bits, 2) & 1
    votes = [(Fraction(a), slow_output(child, sample)) for a, child in zip(rinc.alphas, rinc.children, strict=True)]
    return int(sum(a for a, b in votes if b) > sum(a for a, _ in votes) / 2)


# --- counts -----------------------------------------------------------------------------------------------------------


def test_published_counts() -> None:
    assert [nominal_luts(*sizes) for sizes in PUBLISHED.values()] == [3040, 3760, 2660]
    assert [naive_lut6(*sizes) for sizes in PUBLISHED.values()] == [11_920, 14_800, 2_660]
    assert [rinc_luts((groups, trees)) for _, trees, groups, *_ in PUBLISHED.values()] == [37, 46, 43]
    parts = [(n * g * t, n * g, n, c * q) for _, t, g, n, c, q in PUBLISHED.values()]
    assert parts == [(2560, 320, 80, 80), (3200, 400, 80, 80), (2160, 360, 60, 80)]


def test_macs_replaced() -> None:
    assert macs_replaced((512, 512, 10)) == 267_264
    assert macs_replaced((512, 4096, 4096, 10)) == 18_915_328
    assert macs_replaced((512, 1024, 1024, 10)) == 1_583_104
    assert macs_replaced((512, 2048, 2048, 10)) == 5_263_360


def test_full_modules() -> None:
    for p in range(2, 9):
        for depth in range(5):
            assert full_rinc_luts(p, depth) == (p ** (depth + 1) - 1) // (p - 1) == rinc_luts((p,) * depth)
    assert full_rinc_luts(1, 3) == 4
    assert rinc_luts(()) == 1


def test_sizes_that_do_not_fit_are_no_counts() -> None:
    with pytest.raises(ValueError, match="6 inputs cannot read 8"):
        nominal_luts(6, 8, 4, 60, 10, 8)
    with pytest.raises(ValueError, match="8 inputs cannot read 9"):
        naive_lut6(8, 8, 4, 90, 10, 8)


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_of_the_published_sizes_have_the_published_counts(name: str) -> None:
    p, trees, groups, neurons, classes, q = PUBLISHED[name]
    tree = Tree(tuple(range(p)), 1)
    group = Mat((tree,) * trees, (1.0,) * trees)
    neuron = Mat((group,) * groups, (1.0,) * groups)
    weights = ((0.5,) * (neurons // classes),) * classes
    netlist = Classifier(512, p, (neuron,) * neurons, weights, (0.0,) * classes, q).netlist()
    assert rinc_shape(groups, trees) == (groups, trees)
    assert len(netlist.luts) == nominal_luts(*PUBLISHED[name])
    assert sum(1 << max(0, len(lut.pins) - 6) for lut in netlist.luts) == naive_lut6(*PUBLISHED[name])
    assert netlist.depth == 4
    assert len(netlist.outputs) == 80


@pytest.mark.parametrize(("groups", "trees", "depth"), [(1, 1, 2), (1, 5, 3), (3, 1, 4), (2, 4, 4)])
def test_a_group_or_a_tree_alone_has_no_module_above_it(groups: int, trees: int, depth: int) -> None:
    """Counts are those of the network that the shape trains to, for one group of one tree to full ones."""
    shape = rinc_shape(groups, trees)
    features = np.random.default_rng(4).integers(0, 2, (90, 9), dtype=np.uint8)
    neuron = train_rinc(pack(features), features[:, 0] ^ features[:, 5] & features[:, 7], 5, shape)
    netlist = Classifier(9, 5, (neuron,) * 6, ((0.5,) * 3,) * 2, (0.0,) * 2, 4).netlist()
    assert (len(netlist.luts), netlist.depth) == (nominal_luts(5, trees, groups, 6, 2, 4), depth)
    assert len(netlist.luts) == naive_lut6(5, trees, groups, 6, 2, 4)


# --- the output layer -------------------------------------------------------------------------------------------------


def test_halves_go_to_the_even_neighbour() -> None:
    assert [rounded_quotient(n, 2) for n in range(-7, 8)] == [-4, -3, -2, -2, -2, -1, 0, 0, 0, 1, 2, 2, 2, 3, 4]
    rng = random.Random(3)
    for _ in range(1_000):
        n, d = rng.randint(-500, 500), rng.choice([1, 2, 4, 8, 10, 16])
        assert rounded_quotient(n, d) == round(Fraction(n, d))


def test_eight_bits_are_those_of_the_published_formula() -> None:
    """Weights in multiples of 1/512, so that 64-bit floats hold every sum exactly and every half is met."""
    rng = np.random.default_rng(6)
    for _ in range(50):
        weights, bias = rng.integers(-700, 701, 8) / 512, float(rng.integers(-700, 701) / 512)
        bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
        y = bits @ weights + bias
        wanted = np.rint(128 * np.clip(y / 2, -1, 1 - 2**-7))
        assert score_table(weights.tolist(), bias, 8) == wanted.astype(int).tolist()


def test_any_width() -> None:
    rng = np.random.default_rng(7)
    for q in range(1, 17):
        weights, bias = rng.uniform(-1, 1, 3).tolist(), float(rng.uniform(-1, 1))
        for address, score in enumerate(score_table(weights, bias, q)):
            y = Fraction(bias) + sum(Fraction(w) for i, w in enumerate(weights) if address >> (2 - i) & 1)
            unit = 2 ** (q - 1)
            assert score == round(unit * min(max(y / 2, Fraction(-1)), 1 - Fraction(1, unit)))


def test_scores_saturate() -> None:
    assert score_table([3.0], -2.0, 8) == [-128, 64]
    assert score_table([9.0], -9.0, 8) == [-128, 0]
    assert score_table([1.0], 1.0, 8) == [64, 127]
    assert score_table([1.0], 1.0, 1) == [0, 0]
    assert score_table([], 2.0, 4) == [7]
    assert score_table([], 0.0078125, 8) == [0]  # y / 2 = 0.5 / 128 is a half
    assert score_table([], 0.0234375, 8) == [2]  # 1.5 / 128
    assert score_table([], -0.0234375, 8) == [-2]


def test_luts_hold_twos_complement() -> None:
    scores = [-4, 3, -1, 0]
    low, middle, high = score_luts(scores, 3)
    assert [(low >> a & 1) + 2 * (middle >> a & 1) - 4 * (high >> a & 1) for a in range(4)] == scores


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="finite"):
        score_table([1.0, bad], 0.0, 8)


def test_the_lowest_class_wins_ties() -> None:
    neurons = (Tree((0,), 0b10), Tree((1,), 0b10), Tree((1,), 0b10))
    classifier = Classifier(2, 1, neurons, ((0.5,), (0.5,), (0.5,)), (0.0, 0.0, 0.0))
    assert classifier.predict([[0, 0], [1, 0], [0, 1], [1, 1]]).tolist() == [0, 0, 1, 0]
    assert classifier.scores([[0, 1]]).tolist() == [[0, 32, 32]]


# --- networks ---------------------------------------------------------------------------------------------------------


def test_networks_say_what_the_classifier_says() -> None:
    luts = 0
    for seed in range(CLASSIFIERS):
        classifier = random_classifier(seed)
        rng = np.random.default_rng(seed)
        bits = rng.integers(0, 2, (100, classifier.inputs), dtype=np.uint8)
        scores = classifier.scores(bits)
        for tied in (False, True):
            netlist = classifier.netlist(tied_pins=tied)
            found = scores_from_outputs(evaluate(netlist, bits), classifier.classes, classifier.q)
            assert np.array_equal(found, scores)
            assert np.array_equal(np.argmax(found, axis=1), classifier.predict(bits))
        luts += len(netlist.luts)
        inner = sum(len(list(modules(neuron))) for neuron in classifier.neurons)
        assert len(classifier.netlist().luts) == inner + classifier.classes * classifier.q
    print(f"{CLASSIFIERS} classifiers, {luts} LUTs, 100 samples each")


def test_modules_say_what_their_rules_say() -> None:
    for seed in range(10):
        classifier = random_classifier(seed)
        bits = np.random.default_rng(seed).integers(0, 2, (20, classifier.inputs), dtype=np.uint8)
        for rinc in classifier.neurons:
            assert rinc_outputs(rinc, bits).tolist() == [slow_output(rinc, sample) for sample in bits]


def test_tied_pins_fill_every_table_of_a_module() -> None:
    classifier = random_classifier(3)
    netlist = classifier.netlist(tied_pins=True)
    zero, *rest = netlist.luts
    assert (zero.pins, zero.table) == ((), 0)
    inner = rest[: len(rest) - classifier.classes * classifier.q]
    for lut, module in zip(inner, (m for neuron in classifier.neurons for m in modules(neuron)), strict=True):
        assert lut.pins[module.pins :] == (classifier.inputs,) * (classifier.p - module.pins)  # the constant's signal


def test_classifiers_that_do_not_fit_are_refused() -> None:
    good = (Tree((0, 1), 6),) * 4
    weights, biases = ((0.5, 0.5), (1.0, -1.0)), (0.0, 0.0)
    Classifier(2, 2, good, weights, biases)
    cases: list[tuple[str, tuple[Any, ...]]] = [
        ("reads features 0 to 0", (1, 2, good, weights, biases)),
        ("more than p = 1 pins", (2, 1, good[:2], ((0.5,), (1.0,)), biases)),
        ("at most p = 1", (2, 1, good, weights, biases)),
        ("need that many neurons", (2, 2, good[:3], weights, biases)),
        ("as many weights as any other", (2, 2, good, weights, (0.0,))),
        ("as many weights as any other", (2, 2, good, ((0.5, 0.5), (1.0,)), biases)),
        ("integers from 1 to 16", (2, 2, good, weights, biases, 0)),
    ]
    for message, arguments in cases:
        with pytest.raises(InputError, match=message):
            Classifier(*arguments)
    for bad in ((), (0, 0), (-1,)):
        with pytest.raises(InputError, match="different features"):
            Tree(bad, 0)
    with pytest.raises(InputError, match=r"2 pins has 2\^2 bits"):
        Tree((0, 1), 16)
    with pytest.raises(InputError, match="a vote for each"):
        Mat(good, (1.0,))
    with pytest.raises(InputError, match="reads 2 features"):
        Classifier(2, 2, good, weights, biases).predict([[0, 1, 0]])


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_round_trip(tmp_path: Path) -> None:
    for seed in range(20):
        classifier = random_classifier(seed)
        for name in ("c.json", "c.json.gz"):
            document.write(classifier, tmp_path / name)
            assert document.read(tmp_path / name) == classifier
        assert (tmp_path / "c.json.gz").read_bytes()[:2] == b"\x1f\x8b"
        for rinc in classifier.neurons:
            text = json.dumps(document.module_data(rinc))
            assert document.parse_module(text, classifier.inputs, classifier.p) == rinc


GOOD = {
    "format": "hwsim-poetbin",
    "schema_version": 1,
    "inputs": 4,
    "p": 2,
    "q": 8,
    "neurons": [
        {"features": [3, 0], "table": "0110"},
        {"alphas": [1.5, 0.5], "children": [{"features": [1], "table": "01"}, {"features": [2], "table": "10"}]},
    ],
    "weights": [[0.5], [-0.5]],
    "biases": [0.0, 0.25],
}
Change = tuple[str, str, str]
BAD: dict[str, Change] = {
    '"inputs": 4': ('"inputs": 0', "0,", "[range] inputs: got 0; must be an integer from 1 to 1048576."),
    '"p": 2': ('"p": 2.5', "2.5", "[type] p: got 2.5; must be an integer from 1 to 16."),
    '"q": 8, ': ("", "{", "[missing-key] q: got nothing; a classifier needs the key q."),
    "hwsim-poetbin": (
        "hwsim-poet",
        '"hwsim-poet',
        "[choice] format: got 'hwsim-poet'; must be one of hwsim-poetbin. Did you mean hwsim-poetbin?",
    ),
    "[3, 0]": ("[3, 4]", "4], ", "[range] neurons[0].features[1]: got 4; must be an integer from 0 to 3."),
    "3, 0]": ("3, 3]", "3], ", "[duplicate] neurons[0].features[1]: got 3; a tree tests a feature once."),
    "3, 0": ("3, 0, 1", "[3, 0, 1", "[size] neurons[0].features: got 3; a tree tests 1 to p = 2 features."),
    '"0110"': (
        '"01102"',
        '"01102"',
        "[table] neurons[0].table: got '5 characters'; a table of 2 features is a text of 4 characters 0 or 1.",
    ),
    "0110": (
        "0120",
        '"0120"',
        "[table] neurons[0].table: got '0120'; a table of 2 features is a text of 4 characters 0 or 1.",
    ),
    "[1.5, 0.5]": ("[1.5]", "[1.5]", "[size] neurons[1].alphas: got 1; there is one vote for each of 2 children."),
    "1.5": ('"1.5"', '"1.5"', "[type] neurons[1].alphas[0]: got '1.5'; must be a number."),
    ', "table": "01"}': (
        "}",
        '{"features": [1]',
        "[missing-key] neurons[1].children[0].table: got nothing; a tree needs the key table.",
    ),
    '"table": "01"}': (
        '"table": "01", "tabel": 3}',
        '"tabel"',
        "[unknown-key] neurons[1].children[0].tabel: got 'tabel'; a tree has no such key. Did you mean table?",
    ),
    "[[0.5], [-0.5]]": (
        "[[0.5], [-0.5, 1]]",
        "[-0.5, 1]",
        "[size] weights[1]: got 2; all classes have as many weights, 1 to p = 2.",
    ),
    "[[0.5], ": (
        "[[0.5], [0.5], ",
        "[0.0, 0.25]",
        "[size] biases: got 2; there is one bias for each of 3 classes.",
    ),
    "[[0.5], [-0.5]], ": (
        "[[0.5, 1], [-0.5, 1]], ",
        '[{"features": [3',
        "[size] neurons: got 2; there is one neuron for each of 4 weights.",
    ),
    "[0.0, 0.25]": ("[0.0]", "[0.0]", "[size] biases: got 1; there is one bias for each of 2 classes."),
}


@pytest.mark.parametrize("old", BAD)
def test_bad_files_say_what_is_wrong_and_where(old: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    new, at, message = BAD[old]
    assert json.dumps(GOOD).count(old) == 1
    text = json.dumps(GOOD).replace(old, new)
    Path("c.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        document.read("c.json")
    assert str(caught.value) == f"c.json:1:{text.index(at) + 1}: {message}"


def test_no_mutant_crashes_or_slips_through() -> None:
    mutator = Mutator(json.dumps(GOOD), is_json=True)
    rng = random.Random(13)
    refused = 0
    for _ in range(MUTANTS):
        mutant = mutator.mutant(rng)
        try:
            found = document.parse(mutant.raw.decode("utf-8", "replace"), "c.json")
        except InputError as bad:
            refused += 1
            assert all(p.where.file == "c.json" and p.where.line >= 1 for p in bad.problems), mutant.changes
        else:
            assert document.parse(document.dumps(found)) == found
            found.netlist()
    print(f"{refused} of {MUTANTS} mutants refused, the others valid")
    assert MUTANTS / 2 < refused < MUTANTS
