"""What SCALE-Sim 3.0.0 reads and writes: its configuration, topology and layout, its reports, and its own count."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers.work import Product, Window
from hwsim.pure import ceil_div

VERSION = "3.0.0"
SRAM_KIB = 256
"""Of each operand's buffer."""
RUN_NAME = "run"

CONFIG = f"""[general]
run_name = {RUN_NAME}

[architecture_presets]
ArrayHeight = {{rows}}
ArrayWidth = {{columns}}
IfmapSramSzkB = {{sram_kib}}
FilterSramSzkB = {{sram_kib}}
OfmapSramSzkB = {{sram_kib}}
IfmapOffset = 0
FilterOffset = 100000000
OfmapOffset = 200000000
Dataflow = {{dataflow}}
Bandwidth = 10
ReadRequestBuffer = 32
WriteRequestBuffer = 32

[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2

[sparsity]
SparsitySupport = false
SparseRep = ellpack_block
OptimizedMapping = false
BlockSize = 8
RandomNumberGeneratorSeed = 40

[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""
"""InterfaceBandwidth CALC is its mode without stalls; a layout section and file are wanted even where none is used."""

CONVOLUTION_HEADER = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
)
GEMM_HEADER = "Layer, M, N, K,"
LAYOUT_COLUMNS = 20
"""Numbers a layer of a layout file has after its name."""


def config(rows: int, columns: int, dataflow: str, sram_kib: int = SRAM_KIB) -> str:
    """The configuration of an array."""
    return CONFIG.format(rows=rows, columns=columns, dataflow=dataflow, sram_kib=sram_kib)


def topology(product: Product) -> str:
    """One copy of a product as a topology of one layer: a convolution where it is one, else a GEMM.

    A depthwise convolution is one channel of it, as SCALE-Sim itself takes a layer apart whose name holds "DP".
    """
    if product.window is None:
        return f"{GEMM_HEADER}\nlayer, {product.m}, {product.n}, {product.k},\n"
    return convolutions([product])


def convolutions(products: Sequence[Product]) -> str:
    """One copy of each product as a convolution, a GEMM as the one that SCALE-Sim itself makes of it: an input of m x k
    under n filters of 1 x k.

    Raises ValueError for different strides in the two directions: a topology has one.
    """
    rows = []
    for i, p in enumerate(products):
        w = p.window or Window(p.m, p.k, 1, p.k, 1, p.n, 1, 1, p.m, 1)
        if w.stride_h != w.stride_w:
            raise ValueError(f"{p.name}: a topology of SCALE-Sim has one stride for both directions")
        sizes = (w.in_h, w.in_w, w.kernel_h, w.kernel_w, w.channels, w.filters, w.stride_h)
        rows.append(f"layer{i}, {', '.join(map(str, sizes))},\n")
    return f"{CONVOLUTION_HEADER}\n{''.join(rows)}"


def layout(layers: int = 1) -> str:
    """A layout file of so many layers, all ones; it is read and not used."""
    names = ", ".join(f"column {i}" for i in range(LAYOUT_COLUMNS))
    rows = (f"layer{i}, {', '.join(['1'] * LAYOUT_COLUMNS)},\n" for i in range(layers))
    return f"Layer name, {names},\n{''.join(rows)}"


def write_job(
    products: Sequence[Product], rows: int, columns: int, dataflow: str, folder: Path, sram_kib: int = SRAM_KIB
) -> Path:
    """Write all files of one run below `folder`; the job for `drive_scalesim`. One product alone keeps its form, GEMM
    or convolution; several are all convolutions."""
    gemm = len(products) == 1 and products[0].window is None
    texts = {
        "config": config(rows, columns, dataflow, sram_kib),
        "topology": topology(products[0]) if gemm else convolutions(products),
        "layout": layout(len(products)),
    }
    job: dict[str, Any] = {"gemm": gemm, "out": str(folder / "out")}
    for name, text in texts.items():
        path = folder / (f"{name}.cfg" if name == "config" else f"{name}.csv")
        path.write_text(text)
        job[name] = str(path)
    target = folder / "job.json"
    target.write_text(json.dumps(job))
    return target


# --- what it answers --------------------------------------------------------------------------------------------------

ACCESSES = {
    "sram_input_reads": "SRAM IFMAP Reads",
    "sram_weight_reads": "SRAM Filter Reads",
    "sram_output_writes": "SRAM OFMAP Writes",
    "dram_input_reads": "DRAM IFMAP Reads",
    "dram_weight_reads": "DRAM Filter Reads",
    "dram_output_writes": "DRAM OFMAP Writes",
}


@dataclass(frozen=True)
class Answer:
    """What SCALE-Sim says of one layer. Accesses are words of one byte."""

    cycles: int
    cycles_with_prefetch: int
    stall_cycles: int
    accesses: Mapping[str, int]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def read_answer(folder: Path) -> Answer:
    """What one run of one layer answered; `folder` is the job's `out`.

    Raises ValueError where its reports have other columns or more than one layer.
    """
    compute = report_row(folder / RUN_NAME / "COMPUTE_REPORT.csv")
    access = report_row(folder / RUN_NAME / "DETAILED_ACCESS_REPORT.csv")
    return Answer(
        _whole(compute, "Total Cycles"), _whole(compute, "Total Cycles (incl. prefetch)"),
        _whole(compute, "Stall Cycles"), {name: _whole(access, column) for name, column in ACCESSES.items()},
    )  # fmt: skip


def report_row(path: Path) -> dict[str, str]:
    """The one layer of a report, by column."""
    with path.open(newline="") as file:
        header, *rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    if len(rows) != 1 or len(rows[0]) != len(header):
        raise ValueError(f"{path}: {len(rows)} layers and {len(header)} columns; one whole layer was asked for")
    return dict(zip(header, rows[0], strict=True))


def _whole(row: Mapping[str, str], column: str) -> int:
    if column not in row:
        raise ValueError(f"a report of SCALE-Sim without the column {column!r}: {sorted(row)}")
    return int(float(row[column]))


def own_count(product: Product, rows: int, columns: int, dataflow: str) -> int:
    """The cycles that SCALE-Sim 3.0.0 reports of one copy, in closed form: read off its code, held to its answers.

    ws, is: folds * (2 rows + columns + t - 2) - 1, the last cycle of a count from zero. os: rows + columns + k - 2 a
    fold, without the cycles in which results leave; the published count has `rows` more.
    """
    m, n, k = product.m, product.n, product.k
    if dataflow == "os":
        return ceil_div(m, rows) * ceil_div(n, columns) * (rows + columns + k - 2) - 1
    across, streamed = (n, m) if dataflow == "ws" else (m, n)
    return ceil_div(k, rows) * ceil_div(across, columns) * (2 * rows + columns + streamed - 2) - 1
