"""The timing pictures of README.md, from the circuit's rules: `python -m rtl_models.systolic.picture`.

Each element of a small array, cycle by cycle: what it takes in a shift-in, multiplies, or hands down in a drain.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from accelerators.systolic.design import Dataflow
from rtl_models.systolic import folds
from rtl_models.systolic.folds import Product

ROWS, COLUMNS, VECTORS = 2, 3, 4
PORTS = {f"{name}_{what}": 1024 for name in ("input", "weight", "output") for what in ("bandwidth", "banks")}


def small(dataflow: Dataflow, overlap: bool) -> Any:
    """The array of the pictures, with ports that never hold it back."""
    return SimpleNamespace(rows=ROWS, columns=COLUMNS, dataflow=dataflow, overlap=overlap, **PORTS)


def two_folds(dataflow: Dataflow) -> Product:
    """A product of VECTORS vectors that fills the array twice."""
    if dataflow == Dataflow.OS:
        return Product(ROWS, VECTORS, 2 * COLUMNS)
    if dataflow == Dataflow.IS:
        return Product(COLUMNS, 2 * ROWS, VECTORS)
    return Product(VECTORS, 2 * ROWS, COLUMNS)


def moves(design: Any, r: int, c: int) -> dict[int, str]:
    """Cycle -> w where element (r, c) takes a weight, d where it takes a result; row ROWS is that of the output
    registers."""
    found: dict[int, str] = {}
    for fold in folds.walk(design, two_folds(design.dataflow)):
        if fold.load >= 0:
            found |= dict.fromkeys((fold.load + j + r + c for j in range(ROWS - r)), "w")
        elif r > 0:
            found |= dict.fromkeys((fold.last + j + r + c for j in range(ROWS - r, ROWS)), "d")
    return found


def cells(design: Any, r: int, c: int) -> dict[int, str]:
    """Cycle -> what element (r, c) does."""
    found = moves(design, r, c)
    if r == ROWS:
        return found
    seen = dict(found)
    for name, fold in zip("AB", folds.walk(design, two_folds(design.dataflow)), strict=True):
        for at in range(fold.first + r + c, fold.last + r + c + 1):
            seen[at] = name.lower() if at in found else name
    return seen


def picture(dataflow: Dataflow, overlap: bool) -> list[str]:
    """A line an element, a character a cycle."""
    design = small(dataflow, overlap)
    cycles = folds.total_cycles(design, two_folds(dataflow))
    rows = ROWS + (dataflow == Dataflow.OS)
    title = f"{dataflow.name.lower()}, {'with' if overlap else 'without'} overlap: {cycles} cycles"
    lines = [f"{title:<{13 + cycles}}", " " * 13 + "".join(str(cycle % 10) for cycle in range(cycles))]
    for r in range(rows):
        for c in range(COLUMNS):
            seen = cells(design, r, c)
            name = f"element {r},{c}" if r < ROWS else f"output {c}"
            lines.append(f"{name:<13}" + "".join(seen.get(cycle, ".") for cycle in range(cycles)))
    return [line.rstrip() for line in lines]


def pictures() -> str:
    """The four pictures, one after the other."""
    asked = ((Dataflow.WS, False), (Dataflow.WS, True), (Dataflow.OS, False), (Dataflow.OS, True))
    return "\n\n".join("\n".join(picture(flow, overlap)) for flow, overlap in asked)


if __name__ == "__main__":
    print(pictures())
