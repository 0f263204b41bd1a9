"""What bits cost in accuracy: a number for every tensor and width, given by the user or by a rule of thumb.

A proxy is a sum over tensors, so it cannot know how the errors of two layers meet; it serves to rank assignments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwsim.document import Checker, Path_, read_json, read_yaml, suggestion
from hwsim.quant.assign import WIDTHS, Bits
from hwsim.quant.chain import Layer

if TYPE_CHECKING:
    from hwsim.quant.branching import Flow, FlowPlan

Cost = Mapping[int, float]
BOTH = ("weights", "output")
LARGEST_COST = 1e9
"""The solver tells costs apart down to about 1e-12 of their sum: beside larger ones those near 1 would not count."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Costs by width of each layer's weights, and of each value whose width is chosen: in a chain what each layer but
    the last passes on, in a network that branches those of `Flow.free`."""

    weights: tuple[Cost, ...]
    outputs: tuple[Cost, ...]

    def loss(self, bits: Bits) -> float:
        """A chain's proxy under `bits`."""
        return self.sum(bits.weights, bits.values[1:-1])

    def flow_loss(self, plan: FlowPlan) -> float:
        """The proxy of a network that branches."""
        return self.sum(plan.weights, [plan.widths[value] for value in plan.flow.free])

    def sum(self, weights: Sequence[int], values: Sequence[int]) -> float:
        """The costs of these widths together."""
        of_weights = (cost[width] for cost, width in zip(self.weights, weights, strict=True))
        return math.fsum([*of_weights, *(cost[width] for cost, width in zip(self.outputs, values, strict=True))])


def noise_proxy(layers: Sequence[Layer]) -> Proxy:
    """Relative quantization noise, every tensor counted alike: 4^-Q for Q bits.

    A uniform quantizer of Q bits over the range of a uniformly distributed value leaves noise of 4^-Q of its power
    (Bennett, 1948), and to first order relative noise powers of independent sources add up along a chain of layers.
    It knows no weights and no data: a layer that is more sensitive than another counts the same.
    """
    return _alike(len(layers), len(layers) - 1)


def flow_noise_proxy(flow: Flow) -> Proxy:
    """The same for a network that branches."""
    return _alike(len(flow.layers), len(flow.free))


def _alike(weights: int, values: int) -> Proxy:
    cost = {width: 4.0**-width for width in WIDTHS}
    return Proxy((cost,) * weights, (cost,) * values)


def read_proxy(path: Path, layers: Sequence[Layer]) -> Proxy:
    """The proxy of a YAML or JSON file: `layers: {NAME: {weights: {8: 0, 4: 0.1, 2: 1}, output: {...}}}`.

    Every layer is named; the last has no output, which stays at 8 bits. Raises InputError for anything else.
    """
    keys: dict[str, Sequence[str]] = {layer.name: BOTH for layer in layers}
    keys[layers[-1].name] = ("weights",)
    return _read(path, keys)


def read_flow_proxy(path: Path, flow: Flow) -> Proxy:
    """The same for a network that branches: a step without weights has an `output` alone, and one whose output's width
    follows another's (a pool, a part of a concat, what leaves the network) has none."""
    keys: dict[str, Sequence[str]] = {}
    for step in flow.steps:
        chosen = flow.maker(flow.root[step.writes]) == step.name
        wanted = tuple(key for key, there in zip(BOTH, (step.layer is not None, chosen), strict=True) if there)
        keys |= {step.name: wanted} if wanted else {}
    return _read(path, keys)


def _read(path: Path, keys: Mapping[str, Sequence[str]]) -> Proxy:
    """The costs under `keys` by layer, in order."""
    document = read_json(path) if path.suffix == ".json" else read_yaml(path)
    check = Checker(document)
    raw = check.keys((), document.data, "a loss proxy", ("layers",)) or {}
    given = check.mapping(("layers",), raw.get("layers"), "layers") or {}
    for name in given:
        if name not in keys:
            rule = "the network has no such layer"
            check.fail(("layers", name), "unknown-key", name, rule, suggestion(name, list(keys)), at_key=True)
    read = [_layer(check, given, name, wanted) for name, wanted in keys.items()]
    check.raise_problems()
    weights, outputs = (tuple(found[key] for found in read if key in found) for key in BOTH)
    return Proxy(weights, outputs)


def _layer(check: Checker, given: Mapping[str, Any], name: str, wanted: Sequence[str]) -> dict[str, Cost]:
    path = ("layers", name)
    if name not in given:
        check.fail(path, "missing-key", None, "the proxy gives a cost for every layer of the network")
        return {}
    raw = check.keys(path, given[name], "a layer of a proxy", wanted) or {}
    return {key: _costs(check, (*path, key), raw[key]) for key in wanted if key in raw}


def _costs(check: Checker, path: Path_, value: Any) -> Cost:
    wanted = tuple(str(width) for width in WIDTHS)
    raw = check.keys(path, value, "a cost by width", wanted) or {}
    found = {}
    for key in wanted:
        number = check.number((*path, key), raw[key]) if key in raw else None
        if number is not None and not 0 <= number <= LARGEST_COST:
            check.fail((*path, key), "range", number, f"a cost is at least 0 and at most {LARGEST_COST:,.0f}")
        found[int(key)] = float(number or 0)
    return found
