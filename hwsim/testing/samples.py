"""Inputs for the conformance suite: small workloads, and random designs and tasks of a given model."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, get_args, get_type_hints

from hwsim.config import Range
from hwsim.expr import parse
from hwsim.model import Model
from hwsim.workload.ir import Call, Disposition, Graph, Op, Phase, Role, Tensor, Workload

FP32_BITS = 32


def _tensor(name: str, shape: Sequence[int | str], role: Role) -> Tensor:
    return Tensor(name, tuple(parse(s) for s in shape), FP32_BITS, "float32", role)


def _one_graph(name: str, tensors: Sequence[Tensor], ops: Sequence[Op]) -> Workload:
    graph = Graph("main", {t.name: t for t in tensors}, tuple(ops), (tensors[0].name,), (ops[-1].outputs[0],))
    return Workload(name, "a sample", {}, {"main": graph}, {"once": (Phase("run", (Call("main"),)),)})


def matmul_chain(name: str, rows: int, widths: Sequence[int]) -> Workload:
    """Linear layers in a row: `rows` rows through `widths`, each followed by a ReLU but the last."""
    tensors = [_tensor("x", (rows, widths[0]), Role.INPUT)]
    ops: list[Op] = []
    last = "x"
    for i, (k, n) in enumerate(itertools.pairwise(widths)):
        final = i == len(widths) - 2
        out = f"y{i}"
        tensors.append(_tensor(f"w{i}", (n, k), Role.WEIGHT))
        tensors.append(_tensor(out, (rows, n), Role.OUTPUT if final else Role.ACTIVATION))
        dims = {d: parse(v) for d, v in (("batch", 1), ("m", rows), ("n", n), ("k", k))}
        ops.append(Op(f"linear{i}", "matmul", (last, f"w{i}"), (out,), dims, {"static": True}, source="sample"))
        last = out
        if not final:
            tensors.append(_tensor(f"r{i}", (rows, n), Role.ACTIVATION))
            ops.append(Op(f"relu{i}", "elementwise", (out,), (f"r{i}",), {"elements": parse(rows * n)},
                          {"function": "relu"}, source="sample"))  # fmt: skip
            last = f"r{i}"
    return _one_graph(name, tensors, ops)


def unsupported_workload() -> Workload:
    """A network with an operator that no model runs, called "network.strange"."""
    tensors = [_tensor("x", (2, 8), Role.INPUT), _tensor("y", (2, 8), Role.OUTPUT)]
    op = Op("network.strange", "unsupported", ("x",), ("y",), source="aten.strange.default",
            disposition=Disposition.UNSUPPORTED, reason="a sample of what cannot run")  # fmt: skip
    return _one_graph("strange", tensors, [op])


# --- random designs and tasks -----------------------------------------------------------------------------------


def _range_of(hint: Any) -> Range | None:
    return next((m for m in get_args(hint)[1:] if isinstance(m, Range)), None)


def _random_value(rng: random.Random, hint: Any, shipped: Any) -> Any:
    plain = get_args(hint)[0] if get_args(hint) else hint
    limits = _range_of(hint)
    if plain is bool:
        return rng.random() < 0.5
    if isinstance(plain, type) and issubclass(plain, IntEnum):
        return rng.choice(list(plain))
    if dataclasses.is_dataclass(plain):
        return _random_fields(rng, plain, shipped)
    low = limits.low if limits else 1
    high = limits.high if limits else 1 << 20
    return _near(rng, shipped, low, high)


def _near(rng: random.Random, shipped: Any, low: Any, high: Any) -> Any:
    """A value within a factor of eight of the shipped one: random designs that still resemble hardware."""
    wanted = shipped * 2 ** rng.uniform(-3, 3)
    if isinstance(shipped, int):
        wanted = round(wanted)
        if rng.random() < 0.5 and wanted > 0:
            wanted = 1 << (wanted.bit_length() - 1)
    return min(max(wanted, low), high)


def _random_fields(rng: random.Random, kind: Any, shipped: Any) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    values = {
        f.name: _random_value(rng, hints[f.name], getattr(shipped, f.name))
        for f in dataclasses.fields(kind)
        if rng.random() < 0.7
    }
    return dataclasses.replace(shipped, **values)


def random_designs(model: Model, shipped: Any, seed: int) -> Iterator[Any]:
    """Endless designs around `shipped` that keep every range and every cross-field rule of the model."""
    rng = random.Random(seed)
    while True:
        design = _random_fields(rng, model.Design, shipped)
        if not list(getattr(design, "problems", list)()):
            yield design


def random_tasks(tasks: Sequence[Any], seed: int) -> Iterator[Any]:
    """Endless tasks of the types in `tasks`, each number moved by up to a factor of four, with corners of 0 and 1."""
    rng = random.Random(seed)
    while True:
        task = rng.choice(tasks)
        yield type(task)(*(_moved(rng, value) for value in task))


def _moved(rng: random.Random, value: Any) -> Any:
    if isinstance(value, tuple):
        return type(value)(*(_moved(rng, part) for part in value))
    if isinstance(value, bool | IntEnum) or rng.random() < 0.3:
        return value
    if isinstance(value, float):
        return min(1.0, value * 2 ** rng.uniform(-2, 0.5)) if 0 < value <= 1 else value * 2 ** rng.uniform(-2, 2)
    if rng.random() < 0.05:
        return min(1, value)
    return round(value * 2 ** rng.uniform(-2, 2))
