"""Draws the cases of every core and writes their files: python -m rtl_models.mcu.draw

A family is a class of layer shapes with the bits of input and weights. Held out are whole classes of shapes and whole
pairs of bits on every core, and all of CV32E40P. Layers that rescale by shifts came later: they have a file of their
own for each core, and all of them are held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from accelerators.mcu.kernels import BITS, Operation, Scheme
from rtl_models.mcu.layers import Task, kernel_of, macs_of, shape_of

FOLDER = Path(__file__).parent
CORES = ("picorv32", "vexriscv", "ibex", "cv32e40p")
LAYERS = 208
"""Layers drawn for each core; VexRiscv runs the first PAIRS of its own with cold and with warm caches."""
PAIRS = 120
SHIFTED_LAYERS = 24
SHIFTED_SHAPES = ("conv3", "pw", "dw3", "fc", "conv3s2", "dw5")
LARGEST_MACS = 8000
ALIASED_BITS = 8 * 4096
"""Arrays so far apart fall on the same lines of a 4 KiB cache with one way."""

HELD_OUT_SHAPES = ("conv5", "pw-wide", "fc-long", "dw3s2", "avg-all", "add-alias")
HELD_OUT_BITS = ((8, 2), (4, 8), (2, 4))
"""Bits of (input, weight)."""
HELD_OUT_CORE = "cv32e40p"

DRAWN_SCHEMES = (Scheme.PL_FB, Scheme.PL_ICN, Scheme.PC_ICN, Scheme.THRESHOLDS)
"""Those that were there when the cases were drawn; `SHIFTS` has families of its own."""

Rng = np.random.Generator


def _sizes(rng: Rng, low: int, high: int) -> dict[str, int]:
    return {"height": int(rng.integers(low, high + 1)), "width": int(rng.integers(low, high + 1))}


def _quads(rng: Rng, low: int, high: int) -> int:
    return 4 * int(rng.integers(low, high + 1))


def _window(operation: Operation, kernel: int, stride: int, pad: int, quads: int) -> Callable[[Rng], dict[str, object]]:
    def draw(rng: Rng) -> dict[str, object]:
        channels = _quads(rng, 1, quads)
        return {"operation": operation, **_sizes(rng, max(3, kernel - pad), 9), "channels": channels,
                "outputs": _quads(rng, 1, quads), "kernel": kernel, "stride": stride, "pad": pad}  # fmt: skip

    return draw


def _flat(operation: Operation, low: int, high: int, size: int, spacing: int = 0) -> Callable[[Rng], dict[str, object]]:
    def draw(rng: Rng) -> dict[str, object]:
        return {"operation": operation, **_sizes(rng, 1, size), "channels": _quads(rng, low, high),
                "outputs": _quads(rng, 1, 12), "spacing_bits": spacing}  # fmt: skip

    return draw


def _whole(rng: Rng) -> dict[str, object]:
    size = int(rng.integers(3, 9))
    return {"operation": Operation.AVERAGE_POOL, "height": size, "width": size, "channels": _quads(rng, 1, 12),
            "kernel": size}  # fmt: skip


SHAPES: Mapping[str, Callable[[Rng], dict[str, object]]] = {
    "conv3": _window(Operation.CONV, 3, 1, 1, 4),
    "conv3s2": _window(Operation.CONV, 3, 2, 1, 5),
    "conv2": _window(Operation.CONV, 2, 2, 0, 6),
    "conv5": _window(Operation.CONV, 5, 1, 2, 3),
    "pw": _flat(Operation.POINTWISE, 1, 9, 6),
    "pw-alias": _flat(Operation.POINTWISE, 4, 16, 4, ALIASED_BITS),
    "pw-wide": _flat(Operation.POINTWISE, 16, 40, 3),
    "fc": _flat(Operation.DENSE, 1, 16, 2),
    "fc-long": _flat(Operation.DENSE, 16, 48, 4),
    "dw3": _window(Operation.DEPTHWISE, 3, 1, 1, 5),
    "dw5": _window(Operation.DEPTHWISE, 5, 1, 2, 4),
    "dw3s2": _window(Operation.DEPTHWISE, 3, 2, 1, 6),
    "max2": _window(Operation.MAX_POOL, 2, 2, 0, 8),
    "avg3": _window(Operation.AVERAGE_POOL, 3, 2, 1, 6),
    "avg-all": _whole,
    "add": _flat(Operation.ADD, 1, 12, 6),
    "add-near": _flat(Operation.ADD, 1, 12, 6, ALIASED_BITS // 8),
    "add-alias": _flat(Operation.ADD, 1, 12, 6, ALIASED_BITS),
}


def draw(rng: Rng, shape: str, among: Sequence[Scheme] = DRAWN_SCHEMES) -> Task:
    """A task of one class of shapes with a scheme out of `among`, of at most LARGEST_MACS."""
    while True:
        bits = [int(rng.choice(BITS)) for _ in range(3)]
        schemes = [s for s in among if s != Scheme.THRESHOLDS or bits[2] < 8]
        task = Task(Operation.CONV, Scheme(int(rng.choice(schemes))), *bits, 1, 1, 4, 4, 1, 1, 0, False, False, 0)
        task = replace(task, **SHAPES[shape](rng))
        if macs_of(shape_of(task), kernel_of(task)) <= LARGEST_MACS:
            return task


def layers(core: str) -> Iterator[tuple[str, Task]]:
    """(class of shapes, task) of the layers of a core: all classes in turn."""
    rng = np.random.default_rng([5, CORES.index(core)])
    for number in range(PAIRS if core == "vexriscv" else LAYERS):
        shape = list(SHAPES)[number % len(SHAPES)]
        task = draw(rng, shape)
        dotted = core == "cv32e40p" and bool(rng.integers(0, 2))
        yield shape, replace(task, dot=dotted, warm=bool(rng.integers(0, 2)))


def shifted_layers(core: str) -> Iterator[tuple[str, Task]]:
    """The same of the layers that rescale by shifts."""
    rng = np.random.default_rng([6, CORES.index(core)])
    for number in range(SHIFTED_LAYERS):
        shape = SHIFTED_SHAPES[number % len(SHIFTED_SHAPES)]
        task = draw(rng, shape, (Scheme.SHIFTS,))
        dotted = core == "cv32e40p" and bool(rng.integers(0, 2))
        yield shape, replace(task, dot=dotted, warm=bool(rng.integers(0, 2)))


def runs(core: str) -> Iterator[tuple[str, Task]]:
    """(class of shapes, task) of every case of a core."""
    for shape, task in layers(core):
        for warm in (False, True) if core == "vexriscv" else (task.warm,):
            yield shape, replace(task, warm=warm)


def family(shape: str, task: Task) -> str:
    """The family of a case."""
    return f"{shape}-u{task.input_bits}w{task.weight_bits}"


def held_out(core: str, shape: str, task: Task) -> bool:
    """Whether a case's family is one never looked at while the model was written."""
    bits = (task.input_bits, task.weight_bits)
    return core == HELD_OUT_CORE or shape in HELD_OUT_SHAPES or bits in HELD_OUT_BITS


def _value(value: object) -> str:
    if isinstance(value, (Operation, Scheme)):
        return value.name.lower()
    return str(value).lower()


def _line(number: int, shape: str, task: Task) -> str:
    bits = {"input_bits", "weight_bits", "output_bits", "spacing_bits"}
    fields = {name: getattr(task, name) for name in Task.__dataclass_fields__}
    said = ", ".join(
        f"{name.removesuffix('_bits')}: {value} bit" if name in bits else f"{name}: {_value(value)}"
        for name, value in fields.items()
    )
    return f"  - {{name: c{number:03}, family: {family(shape, task)}, task: {{{said}}}, seed: {number}}}"


SPLIT = """\
  Held out are classes of shapes (conv5, pw-wide, fc-long, dw3s2, avg-all, add-alias) and pairs of input and weight bits
  (8 and 2, 4 and 8, 2 and 4). The split was committed with the first version of the cases, ahead of the model of the
  cores. What documents leave open was measured on loops of a few instructions, not on cases, but for one figure of
  VexRiscv, fitted to cases not held out."""

SPLIT_OF_CORE = """\
  Held out is the whole core. The split was committed with the first version of the cases, ahead of the model of the
  cores. The parameters are those of the core's documentation, and none was changed afterwards; those that other cores
  made necessary later are nothing in this one."""


SPLIT_OF_SHIFTS = """\
  All are held out. The model of the cores was complete before these kernels were written, and nothing in it changed."""


def text(core: str) -> str:
    """The case file of a core."""
    drawn = list(runs(core))
    families = sorted({family(shape, task) for shape, task in drawn if held_out(core, shape, task)})
    return _file(core, drawn, families, SPLIT_OF_CORE if core == HELD_OUT_CORE else SPLIT)


def shifted_text(core: str) -> str:
    """The case file of the layers that rescale by shifts."""
    drawn = list(shifted_layers(core))
    return _file(core, drawn, sorted({family(shape, task) for shape, task in drawn}), SPLIT_OF_SHIFTS)


def _file(core: str, drawn: Sequence[tuple[str, Task]], families: Sequence[str], split: str) -> str:
    cases = "\n".join(_line(number, shape, task) for number, (shape, task) in enumerate(drawn, 1))
    return f"""# Layers on {core}. Written by draw.py; edit that, not this.
# The families under `held_out` were fixed before the model of the core was compared with it.
circuit: mcu-{core}
design: {core}
tolerance:
  mape: 2 %
  p95: 5 %
  worst: 10 %
  reason: cycles of instructions are those of the documentation, and what it leaves out is not in the model
held_out: [{", ".join(families)}]
split: >-
{split}
cases:
{cases}
"""


def main() -> None:
    """Write every case file."""
    for core in CORES:
        (FOLDER / core).mkdir(exist_ok=True)
        (FOLDER / core / "cases.yaml").write_text(text(core), encoding="utf-8")
        (FOLDER / core / "shifts.yaml").write_text(shifted_text(core), encoding="utf-8")


if __name__ == "__main__":
    main()
