"""What bits cost in accuracy: a number for every tensor and width, given by the user or by a rule of thumb.

A proxy is a sum over tensors, so it cannot know how the errors of two layers meet; it serves to rank assignments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwsim.document import Checker, Path_, read_json, read_yaml, suggestion
from hwsim.quant.assign import WIDTHS, Bits
from hwsim.quant.chain import Layer

Cost = Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Proxy:
    """Costs by width of each layer's weights, and of the value that each layer but the last passes on."""

    weights: tuple[Cost, ...]
    outputs: tuple[Cost, ...]

    def loss(self, bits: Bits) -> float:
        """The whole network's proxy under `bits`."""
        inner = bits.values[1:-1]
        weights = [cost[width] for cost, width in zip(self.weights, bits.weights, strict=True)]
        return math.fsum([*weights, *(cost[width] for cost, width in zip(self.outputs, inner, strict=True))])


def noise_proxy(layers: Sequence[Layer]) -> Proxy:
    """Relative quantization noise, every tensor counted alike: 4^-Q for Q bits.

    A uniform quantizer of Q bits over the range of a uniformly distributed value leaves noise of 4^-Q of its power
    (Bennett, 1948), and to first order relative noise powers of independent sources add up along a chain of layers.
    It knows no weights and no data: a layer that is more sensitive than another counts the same.
    """
    cost = {width: 4.0**-width for width in WIDTHS}
    return Proxy((cost,) * len(layers), (cost,) * (len(layers) - 1))


def read_proxy(path: Path, layers: Sequence[Layer]) -> Proxy:
    """The proxy of a YAML or JSON file: `layers: {NAME: {weights: {8: 0, 4: 0.1, 2: 1}, output: {...}}}`.

    Every layer is named; the last has no output, which stays at 8 bits. Raises InputError for anything else.
    """
    document = read_json(path) if path.suffix == ".json" else read_yaml(path)
    check = Checker(document)
    raw = check.keys((), document.data, "a loss proxy", ("layers",)) or {}
    given = check.mapping(("layers",), raw.get("layers"), "layers") or {}
    names = [layer.name for layer in layers]
    for name in given:
        if name not in names:
            rule = "the network has no such layer"
            check.fail(("layers", name), "unknown-key", name, rule, suggestion(name, names), at_key=True)
    read = [_layer(check, given, name, last=name == names[-1]) for name in names]
    check.raise_problems()
    return Proxy(tuple(weights for weights, _ in read), tuple(output for _, output in read[:-1]))


def _layer(check: Checker, given: Mapping[str, Any], name: str, *, last: bool) -> tuple[Cost, Cost]:
    path = ("layers", name)
    if name not in given:
        check.fail(path, "missing-key", None, "the proxy gives a cost for every layer of the network")
        return {}, {}
    wanted = ("weights",) if last else ("weights", "output")
    raw = check.keys(path, given[name], "a layer of a proxy", wanted) or {}
    costs = [_costs(check, (*path, key), raw[key]) if key in raw else {} for key in wanted]
    return costs[0], costs[-1]


def _costs(check: Checker, path: Path_, value: Any) -> Cost:
    wanted = tuple(str(width) for width in WIDTHS)
    raw = check.keys(path, value, "a cost by width", wanted) or {}
    found = {}
    for key in wanted:
        number = check.number((*path, key), raw[key]) if key in raw else None
        if number is not None and number < 0:
            check.fail((*path, key), "range", number, "a cost is at least 0")
        found[int(key)] = float(number or 0)
    return found
