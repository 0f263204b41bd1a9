"""How far the GPU model is from measured training of fully connected networks.

    python benchmarks/gpu_training.py FILE.csv [--held-out]

FILE has a line a network: layers, nodes, input, output, batch, steps_per_s, examples_per_s, as the data published with
ParaDnn (Wang, Wei, Brooks, MLSys 2020; github Emma926/paradnn, Apache-2.0) do; it is not part of this project.
Networks of 8 and of 32 layers are held out.

A training step is taken as, for each layer: the product forward, its activation, both products backward, the derivative
of the activation, and RMSProp over the weights. Weights and saved activations come from memory each time.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from accelerators.gpu.design import Design
from accelerators.gpu.kernels import product, stream
from accelerators.gpu.model import MODEL
from accelerators.gpu.tasks import Product, Stream
from hwsim.config import DesignFile, load_design
from hwsim.demand import layout, task_times
from hwsim.parts import resolve_parts

DESIGNS = ("tesla-v100", "tesla-v100-fp16")
HELD_OUT = frozenset({8, 32})
HOST_CEILING = 25_000
"""Examples a second from which on the host that feeds the GPU is what was measured."""
PS_PER_S = 1e12

Row = Mapping[str, str]
Kernel = tuple[Callable[[Any, Any], Any], Any]


def _product(d: Design, m: int, n: int, k: int) -> Kernel:
    a, b, out = (d.operand_bits * size for size in (m * k, k * n, m * n))
    return product, Product(1, m, n, k, a, b, out, a, b, out if out > d.cache_bits else 0)


def _stream(d: Design, elements: int, reads: int, writes: int) -> Kernel:
    read, write = (elements * count * d.operand_bits for count in (reads, writes))
    return stream, Stream(elements, 2 * elements, read, write, read, write)


def kernels(d: Design, row: Row) -> Iterator[Kernel]:
    """The kernels of one training step."""
    layers, nodes, inputs, outputs, batch = (int(row[k]) for k in ("layers", "nodes", "input", "output", "batch"))
    for k, n in [(inputs, nodes), *[(nodes, nodes)] * (layers - 1), (nodes, outputs)]:
        yield _product(d, batch, n, k)
        yield _stream(d, batch * n, 1, 1)
        yield _product(d, k, n, batch)
        yield _product(d, batch, k, n)
        yield _stream(d, batch * n, 2, 1)
        yield _stream(d, k * n, 3, 2)


def step_s(file: DesignFile, row: Row) -> float:
    """Modelled seconds of one training step: its kernels one after another."""
    parts = resolve_parts(file.named)
    machine = MODEL.machine(file.design, parts)
    columns, _ = layout(MODEL.Counts, machine)
    levels = (machine.cache, machine.dram)
    done = (count(file.design, task) for count, task in kernels(file.design, row))
    return sum(task_times(c, columns, (machine.gpu,), levels, parts.dram).work_ps for c in done) / PS_PER_S


def tell(title: str, file: DesignFile, rows: Sequence[Row]) -> None:
    """Print how far the modelled step times are from the measured ones."""
    errors = [step_s(file, row) * float(row["steps_per_s"]) - 1 for row in rows]
    sizes = sorted(map(abs, errors))
    p95 = sizes[-(-95 * len(sizes) // 100) - 1]
    print(f"{file.name:16} {title:24} {len(rows):3} rows  bias {fmean(errors):+.1%}  median {median(sizes):.1%}  "
          f"p95 {p95:.1%}  worst {sizes[-1]:.1%}")  # fmt: skip


def main(path: Path, held_out: bool) -> None:
    """Compare on one side of the split."""
    with path.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if (int(row["layers"]) in HELD_OUT) == held_out]
    free = [row for row in rows if float(row["examples_per_s"]) < HOST_CEILING]
    for name in DESIGNS:
        file = load_design(name)
        tell("all", file, rows)
        tell("below the host's ceiling", file, free)


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--held-out" in sys.argv[2:])
