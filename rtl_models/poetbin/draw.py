"""Draws the cases and writes their file: python -m rtl_models.poetbin.draw

A family is a kind of network and what stands round it: port, registers inside. All that have registers inside together
with a serial port are held out, and so is every trained network.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
NETWORKS = 72
PINS = range(2, 10)
PARALLEL_VECTORS, SERIAL_VECTORS = 250, 80
HELD_OUT = ("graph-serial-pipelined", "classifier-serial-pipelined", "trained", "trained-large")

Rng = np.random.Generator
Values = dict[str, object]


def wrapper(rng: Rng, number: int, inputs: int) -> Values:
    """Port, registers inside and arg-max: all combinations of serial and pipelined in turn."""
    serial, pipelined = number % 2 == 1, number // 2 % 2 == 1
    return {
        "serial_width": int(rng.integers(1, inputs)) if serial else int(rng.choice((0, inputs, inputs + 3))),
        "pipeline": int(rng.integers(1, 4)) if pipelined else 0,
        "argmax": bool(rng.integers(0, 2)),
    }


def graph(rng: Rng, pins: int) -> tuple[Values, Values]:
    """Design and task of a random graph."""
    inputs, classes = int(rng.integers(max(4, pins), 48)), int(rng.integers(2, 13))
    shape = {"inputs": inputs, "inputs_per_lut": pins, "trees_per_group": 1, "groups": 1, "neurons": classes,
             "classes": classes, "q": int(rng.integers(1, 10))}  # fmt: skip
    return shape, {"network": "graph", "depth": int(rng.integers(1, 8))}


def classifier(rng: Rng, pins: int) -> tuple[Values, Values]:
    """Design and task of a random classifier, of one to three levels below its output layer."""
    inputs, classes = int(rng.integers(16, 65)), int(rng.integers(2, 6))
    trees, groups = ((1, 1), (int(rng.integers(2, pins + 1)), 1), (2, int(rng.integers(2, pins + 1))))[
        rng.integers(0, 3)
    ]
    shape = {"inputs": inputs, "inputs_per_lut": pins, "trees_per_group": trees, "groups": groups,
             "neurons": classes * int(rng.integers(1, min(pins, 4) + 1)), "classes": classes,
             "q": int(rng.integers(2, 9))}  # fmt: skip
    return shape, {"network": "classifier", "depth": 0}


def random_cases() -> Iterator[tuple[str, str, Values, Values]]:
    """(name, family, design, task) of every random network: pins and wrappers in turn."""
    rng = np.random.default_rng(6)
    for number in range(NETWORKS):
        pins = PINS[number // 4 % len(PINS)]
        design, task = classifier(rng, pins) if number % 3 == 2 else graph(rng, pins)
        design |= wrapper(rng, number, int(str(design["inputs"])))
        serial = 0 < int(str(design["serial_width"])) < int(str(design["inputs"]))
        ports = ["serial" if serial else "parallel", *(["pipelined"] if design["pipeline"] else [])]
        vectors = SERIAL_VECTORS if serial else PARALLEL_VECTORS
        task |= {"number": number, "written": ("plain", "lut6")[number % 5 % 2], "vectors": vectors, "probe": True}
        yield f"r{number:03}", "-".join([str(task["network"]), *ports]), design, task


DIGITS: Values = {"inputs": 512, "inputs_per_lut": 4, "trees_per_group": 4, "groups": 2, "neurons": 40, "classes": 10,
                  "q": 8}  # fmt: skip
LARGE: Values = DIGITS | {"inputs_per_lut": 8, "trees_per_group": 8, "groups": 4, "neurons": 80}
PARALLEL: Values = {"serial_width": 0, "pipeline": 0, "argmax": True}
PIPELINED = PARALLEL | {"argmax": False, "pipeline": 1}
SERIAL = PARALLEL | {"serial_width": 16}
TRAINED: tuple[tuple[str, Values, str, str, int, Values], ...] = (
    ("digits", DIGITS, "parallel", "plain", 300, PARALLEL),
    ("digits", DIGITS, "pipelined", "plain", 300, PIPELINED),
    ("digits", DIGITS, "serial", "lut6", 4, SERIAL),
    ("mnist-5k", LARGE, "parallel", "lut6", 250, PARALLEL),
    ("fashion-mnist", LARGE, "parallel", "plain", 250, PARALLEL),
)
"""Trained network, its shape, the name of the case, how it is written, vectors, and what stands round it."""


def trained_cases() -> Iterator[tuple[str, str, Values, Values]]:
    """(name, family, design, task) of the trained networks, on real samples."""
    for network, shape, name, written, vectors, around in TRAINED:
        task: Values = {"network": network.replace("-", "_"), "depth": 0, "number": 0, "written": written,
                        "vectors": vectors, "probe": True}  # fmt: skip
        yield f"{network}-{name}", "trained" if shape is DIGITS else "trained-large", shape | around, task


def _mapping(values: Values) -> str:
    return "{" + ", ".join(f"{key}: {str(value).lower()}" for key, value in values.items()) + "}"


def _line(name: str, family: str, design: Values, task: Values, seed: int) -> str:
    return (f"  - {{name: {name}, family: {family}, design: {_mapping(design)},\n"
            f"     task: {_mapping(task)}, seed: {seed}}}")  # fmt: skip


def text() -> str:
    """The case file."""
    cases = [_line(*case, seed) for seed, case in enumerate(random_cases())]
    cases += [_line(*case, 0) for case in trained_cases()]
    return f"""\
# Networks between their registers. Written by draw.py; edit that, not this.
# The families under `held_out` were fixed before model and circuit were compared.
circuit: poetbin
design: circuit.yaml
tolerance:
  mape: 0 %
  p95: 0 %
  worst: 0 %
  reason: every cycle follows from the architecture page
held_out: [{", ".join(HELD_OUT)}]
split: >-
  Held out are networks with registers inside behind a serial port, and every trained network. The split was committed
  with the first version of the cases, ahead of the first comparison.
cases:
{chr(10).join(cases)}
"""


def main() -> None:
    """Write cases.yaml."""
    (FOLDER / "cases.yaml").write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
