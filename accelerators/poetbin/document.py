"""Trained classifiers, and single trained neurons, as JSON.

    {"format": "hwsim-poetbin", "schema_version": 1, "inputs": 512, "p": 8, "q": 8,
     "neurons": [MODULE, ...], "weights": [[0.5, ...], ...], "biases": [-0.25, ...]}

A MODULE is a tree `{"features": [3, 0], "table": "0110"}`, whose table has one character an address, the first feature
the most significant bit of it, or a MAT `{"children": [MODULE, ...], "alphas": [1.5, ...]}`, whose table follows from
its votes. `weights` has one list a class. Numbers are written so that they read back as the same floats.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accelerators.poetbin.classifier import MAX_SCORE_BITS, Classifier
from accelerators.poetbin.rinc import MAX_PINS, Mat, Rinc, Tree
from hwsim.document import Checker, Document, Path_, packed, parse_json, read_json

FORMAT = "hwsim-poetbin"
SCHEMA_VERSION = 1
MAX_INPUTS = 1 << 20
KEYS = ("format", "schema_version", "inputs", "p", "q", "neurons", "weights", "biases")


# --- writing ----------------------------------------------------------------------------------------------------------


def module_data(rinc: Rinc) -> dict[str, Any]:
    """The module as plain data of a JSON file."""
    if isinstance(rinc, Mat):
        return {"alphas": list(rinc.alphas), "children": [module_data(child) for child in rinc.children]}
    outputs = f"{rinc.table:0{1 << rinc.pins}b}"[::-1]
    return {"features": list(rinc.features), "table": outputs}


def dumps(classifier: Classifier) -> str:
    """The classifier as JSON, one line a neuron, with a final line break."""
    head = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
    head |= {"inputs": classifier.inputs, "p": classifier.p, "q": classifier.q}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    lines.append('"neurons": [\n' + ",\n".join(json.dumps(module_data(n)) for n in classifier.neurons) + "\n]")
    lines.append('"weights": [\n' + ",\n".join(json.dumps(list(w)) for w in classifier.weights) + "\n]")
    lines.append(f'"biases": {json.dumps(list(classifier.biases))}')
    return "{" + ",\n".join(lines) + "}\n"


def write(classifier: Classifier, path: str | Path) -> None:
    """Write the classifier to a file, compressed if its name ends in `.gz`. Raises OSError where it cannot."""
    Path(path).write_bytes(packed(dumps(classifier).encode(), path))


# --- reading ----------------------------------------------------------------------------------------------------------


def read(path: str | Path) -> Classifier:
    """The classifier in a file (`.json`, `.json.gz`). Raises InputError that names every place that breaks a rule."""
    return _classifier(read_json(path))


def parse(text: str, file: str = "<text>") -> Classifier:
    """The classifier in a text; `file` names it in messages."""
    return _classifier(parse_json(text, file))


def parse_module(text: str, inputs: int, p: int, file: str = "<text>") -> Rinc:
    """One module, written as `json.dumps(module_data(rinc))`, over so many inputs and with tables of at most p pins."""
    reader = _Reader(parse_json(text, file))
    module = reader.module((), reader.document.data, inputs, p)
    reader.raise_problems()
    assert module is not None
    return module


def _classifier(document: Document) -> Classifier:
    reader = _Reader(document)
    raw = reader.keys((), document.data, "a classifier", KEYS) or {}
    reader.raise_problems()
    reader.choice(("format",), raw["format"], {FORMAT: FORMAT})
    reader.integer(("schema_version",), raw["schema_version"], SCHEMA_VERSION, SCHEMA_VERSION)
    inputs = reader.integer(("inputs",), raw["inputs"], 1, MAX_INPUTS)
    p = reader.integer(("p",), raw["p"], 1, MAX_PINS)
    q = reader.integer(("q",), raw["q"], 1, MAX_SCORE_BITS)
    reader.raise_problems()
    assert inputs and p and q
    weights, biases = reader.output_layer(raw, p)
    reader.raise_problems()
    neurons = reader.neurons(raw["neurons"], inputs, p, sum(map(len, weights)))
    reader.raise_problems()
    return Classifier(inputs, p, neurons, weights, biases, q)


class _Reader(Checker):
    """Collects the problems of a classifier's file."""

    def numbers(self, path: Path_, value: Any, what: str) -> tuple[float, ...]:
        """As many numbers as there are items, so that one that is none is not reported as missing too."""
        found = [self.number((*path, i), item) for i, item in enumerate(self.items(path, value, what))]
        return tuple(float(number or 0) for number in found)

    def output_layer(self, raw: dict[str, Any], p: int) -> tuple[tuple[tuple[float, ...], ...], tuple[float, ...]]:
        biases = self.numbers(("biases",), raw["biases"], "biases")
        rows = self.items(("weights",), raw["weights"], "weights")
        weights = tuple(self.numbers(("weights", c), row, "weights of a class") for c, row in enumerate(rows))
        if not weights:
            self.fail(("weights",), "size", rows, "there is at least one class")
        if len(biases) != len(weights):
            self.fail(("biases",), "size", len(biases), f"there is one bias for each of {len(weights)} classes")
        for c, row in enumerate(weights):
            if not 1 <= len(row) <= p or len(row) != len(weights[0]):
                self.fail(("weights", c), "size", len(row), f"all classes have as many weights, 1 to p = {p}")
        return weights, biases

    def neurons(self, value: Any, inputs: int, p: int, count: int) -> tuple[Rinc, ...]:
        raw = self.items(("neurons",), value, "neurons")
        if len(raw) != count:
            self.fail(("neurons",), "size", len(raw), f"there is one neuron for each of {count} weights")
        found = [self.module(("neurons", i), item, inputs, p) for i, item in enumerate(raw)]
        return tuple(module for module in found if module is not None)

    def module(self, path: Path_, value: Any, inputs: int, p: int) -> Rinc | None:
        if isinstance(value, dict) and "children" in value:
            return self.mat(path, value, inputs, p)
        before = len(self.problems)
        raw = self.keys(path, value, "a tree", ("features", "table")) or {}
        if len(self.problems) > before:
            return None
        features = self.features((*path, "features"), raw["features"], inputs, p)
        return self.tree((*path, "table"), raw["table"], features) if features else None

    def features(self, path: Path_, value: Any, inputs: int, p: int) -> tuple[int, ...]:
        raw = self.items(path, value, "features")
        if isinstance(value, list) and not 1 <= len(raw) <= p:
            self.fail(path, "size", len(raw), f"a tree tests 1 to p = {p} features")
            return ()
        found = [self.integer((*path, i), item, 0, inputs - 1) for i, item in enumerate(raw)]
        for i, feature in enumerate(found):
            if feature is not None and feature in found[:i]:
                self.fail((*path, i), "duplicate", feature, "a tree tests a feature once")
                return ()
        return () if None in found else tuple(feature for feature in found if feature is not None)

    def tree(self, path: Path_, value: Any, features: tuple[int, ...]) -> Tree | None:
        size = 1 << len(features)
        if type(value) is str and len(value) == size and set(value) <= {"0", "1"}:
            return Tree(features, int(value[::-1], 2))
        wrong_length = type(value) is str and len(value) != size
        rule = f"a table of {len(features)} features is a text of {size} characters 0 or 1"
        self.fail(path, "table", f"{len(value)} characters" if wrong_length else value, rule)
        return None

    def mat(self, path: Path_, value: Any, inputs: int, p: int) -> Mat | None:
        before = len(self.problems)
        raw = self.keys(path, value, "a MAT", ("alphas", "children")) or {}
        children = self.items((*path, "children"), raw.get("children"), "children")
        alphas = self.numbers((*path, "alphas"), raw.get("alphas", []), "votes")
        found = [self.module((*path, "children", i), child, inputs, p) for i, child in enumerate(children)]
        if not 1 <= len(children) <= p:
            self.fail((*path, "children"), "size", len(children), f"a MAT has 1 to p = {p} children")
        elif len(alphas) != len(children):
            self.fail((*path, "alphas"), "size", len(alphas), f"there is one vote for each of {len(children)} children")
        return Mat(tuple(c for c in found if c), alphas) if len(self.problems) == before else None
