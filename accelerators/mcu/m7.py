"""The Cortex-M7 against a measured profile: which layers set the open parameters, and how far off the others are.

    python -m accelerators.mcu.m7           every layer: measured, predicted, error
    python -m accelerators.mcu.m7 --fit     the three parameters, fitted again to the fitted shapes (needs SciPy)
    python -m accelerators.mcu.m7 --write   m7_golden.csv anew: what the model says beside what was measured

`m7_profile.csv` holds the measured cycles and the split, fixed before anything was fitted; `m7_executed.csv` the
instructions of the profiled kernels, which are not ours.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from accelerators.mcu.cortex_m7 import ordinary, products
from accelerators.mcu.design import Design
from accelerators.mcu.tasks import Kernel, count
from hwsim.config import load_design

HERE = Path(__file__).resolve().parent
FITTED = ("issue_millicycles", "product_millicycles", "exit_millicycles")
BOUNDS = ((0.5, 1.0, 0.0), (1.0, 3.0, 12.0))
"""In cycles: two instructions a cycle at best and one at worst; a product a cycle at best; a mispredicted branch twice
the pipeline's six stages at worst."""

BYTE = 8
GOLDEN = "m7_golden.csv"
KEY = ("operation", "stride", "kernel", "in_c", "in_size", "out_c", "out_size")
"""Columns that tell shapes apart."""

TEXT_BITS = 2048 * BYTE
"""About the size of the profiled kernels with what they call."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of the profile."""

    number: int
    operation: str
    shape: str
    cycles: int
    fitted: bool
    task: Kernel
    key: tuple[str, ...]


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def _task(row: dict[str, str], executed: dict[str, str]) -> Kernel:
    """What the layer executes, and what it moves: weights and biases are swept once per two pixels, or per pixel."""
    number = {key: int(row[key]) for key in ("kernel", "in_c", "in_size", "out_c", "out_size")}
    depthwise = row["operation"] == "depthwise"
    filled = max(4, number["in_c"])
    weights = number["kernel"] ** 2 * number["out_c"] * (1 if depthwise else filled)
    pixels = number["out_size"] ** 2
    taps = number["kernel"] ** 2 * (1 if depthwise else number["in_c"])
    counts = {("returns" if key == "return" else key): int(v) for key, v in executed.items() if key != "layer"}
    return Kernel(
        **counts,
        macs=pixels * number["out_c"] * taps,
        weight_bits=BYTE * (weights + 4 * number["out_c"]),
        weight_sweeps=pixels if depthwise else (pixels + 1) // 2,
        text_bits=TEXT_BITS,
        input_bits=BYTE * number["in_size"] ** 2 * filled,
        output_bits=BYTE * pixels * number["out_c"],
    )


@cache
def profile() -> tuple[Layer, ...]:
    """The distinct shapes, in network order."""
    executed = {row["layer"]: row for row in _rows("m7_executed.csv")}
    return tuple(
        Layer(
            int(row["layer"]),
            row["operation"],
            f"{row['in_c']}x{row['in_size']}x{row['in_size']} to {row['out_c']}, stride {row['stride']}",
            int(row["cycles"]),
            row["use"] == "fitted",
            _task(row, executed[row["layer"]]),
            _key(row),
        )
        for row in _rows("m7_profile.csv")
        if row["layer"] in executed
    )


def predicted(design: Design, layer: Layer) -> int:
    """Cycles by the model."""
    return count(design, layer.task).core_cycles


def error(design: Design, layer: Layer) -> float:
    """Relative error: positive where the model is too slow."""
    return predicted(design, layer) / layer.cycles - 1


def mape(design: Design, fitted: bool) -> float:
    """Mean absolute relative error over the fitted or over the held-out shapes."""
    errors = [abs(error(design, layer)) for layer in profile() if layer.fitted == fitted]
    return sum(errors) / len(errors)


def fit(design: Design) -> dict[str, float]:
    """The three parameters, in cycles, by bounded least squares of relative errors over the fitted shapes alone."""
    import numpy as np
    from scipy.optimize import lsq_linear

    layers = [layer for layer in profile() if layer.fitted]
    measured = np.array([layer.cycles for layer in layers], float)
    waiting = np.array([_waiting(design, layer) for layer in layers], float)
    counts = np.array([[ordinary(x.task), products(x.task), x.task.branch_not_taken] for x in layers], float)
    best = lsq_linear(counts / measured[:, None], 1 - waiting / measured, BOUNDS)
    return dict(zip(FITTED, (float(x) for x in best.x), strict=True))


def _waiting(design: Design, layer: Layer) -> int:
    """Cycles of cache lines, which follow from documents: those of the layer without any instruction."""
    classes = Kernel._fields[: Kernel._fields.index("macs")]
    return count(design, layer.task._replace(**dict.fromkeys(classes, 0))).core_cycles


def table(design: Design) -> Iterator[str]:
    """Every distinct shape with its error, and the mean errors."""
    yield f"{'#':>2} {'kernel':10} {'shape':34} {'measured':>10} {'model':>10} {'error':>7}"
    for layer in profile():
        use = "fitted" if layer.fitted else "held out"
        yield (
            f"{layer.number:2} {layer.operation:10} {layer.shape:34} {layer.cycles:10,} {predicted(design, layer):10,} "
            f"{100 * error(design, layer):+6.1f}% {use}"
        )
    held = max(abs(error(design, layer)) for layer in profile() if not layer.fitted)
    yield f"mean of the fitted shapes {100 * mape(design, True):.1f} %"
    yield f"mean of those held out {100 * mape(design, False):.1f} % (target 10 %), the largest {100 * held:.1f} %"


def golden(design: Design) -> str:
    """The text of `m7_golden.csv`: every profiled layer with its use, cycles by model and measured, and the error."""
    same = {layer.key: layer for layer in profile()}
    lines = ["layer,operation,stride,kernel,in_c,in_size,out_c,out_size,held_out,model_cycles,measured_cycles,error"]
    for row in _rows("m7_profile.csv"):
        model, measured = predicted(design, same[_key(row)]), int(row["cycles"])
        held = "true" if row["use"] == "held_out" else "false"
        numbers = f"{held},{model},{measured},{model / measured - 1:+.6f}"
        lines.append(",".join([row["layer"], *_key(row), numbers]))
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Print the table, or fit."""
    parser = argparse.ArgumentParser(prog="python -m accelerators.mcu.m7", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--fit", action="store_true", help="fit the open parameters again")
    parser.add_argument("--write", action="store_true", help="write m7_golden.csv again")
    design, asked = load_design("stm32h7").design, parser.parse_args(arguments)
    if asked.write:
        (HERE / GOLDEN).write_text(golden(design), encoding="utf-8")
    if asked.fit:
        print(
            "\n".join(f"{name.removesuffix('_millicycles')}: {value:.3f} cycles" for name, value in fit(design).items())
        )
    print("\n".join(table(design)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
