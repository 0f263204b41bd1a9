"""What ZigZag 3.9.1 reads and writes: hardware, mapping and workload as YAML, and the JSON it leaves a layer.

The hardware is its own example `tpu_like.yaml`, whose sizes and energies stand here word for word, with another number
of rows and columns: a weight-stationary systolic array with 8-bit operands and 16-bit sums, 128 bytes of weights beside
each multiplier, 2 MiB for inputs and outputs, and a DRAM of one port that reads or writes 64 bits a cycle.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.peers.work import Product

VERSION = "3.9.1"
OPTIMIZE = "latency"
FACTORS = 6
"""`lpf_limit`, how many loop prime factors its search permutes; 6 is the default of its API."""
OPERAND_BITS, SUM_BITS = 8, 16

READ, WRITE, BOTH = "read", "write", "read_write"
PREFIX = {READ: "r", WRITE: "w", BOTH: "rw"}
"""Of a port's name, which ZigZag checks."""


@dataclass(frozen=True)
class Memory:
    """A memory of the example: bits, picojoules a word of `bandwidth_max` bits, operands, ports."""

    size: int
    r_cost: float
    w_cost: float
    operands: tuple[str, ...]
    ports: tuple[tuple[str, int, int, tuple[str, ...]], ...]
    """(type, bandwidth_min, bandwidth_max, allocation) in bits a cycle."""
    served_dimensions: tuple[str, ...] = ()


MEMORIES = {
    "rf_128B": Memory(1024, 0.095, 0.095, ("I2",), ((READ, 8, 8, ("I2, tl",)), (WRITE, 8, 8, ("I2, fh",)))),
    "rf_2B": Memory(
        16, 0.021, 0.021, ("O",),
        ((READ, 16, 16, ("O, tl",)), (READ, 16, 16, ("O, th",)),
         (WRITE, 16, 16, ("O, fh",)), (WRITE, 16, 16, ("O, fl",))),
    ),
    "sram_2MB": Memory(
        16777216, 416.16, 378.4, ("I1", "O"),
        ((READ, 64, 2048, ("I1, tl", "O, tl", "O, th")), (WRITE, 64, 2048, ("I1, fh", "O, fh", "O, fl"))),
        ("D1", "D2"),
    ),
    "dram": Memory(
        10000000000, 700, 750, ("I1", "I2", "O"),
        ((BOTH, 64, 64, tuple(f"{o}, {d}" for o in ("I1", "I2") for d in ("fh", "tl"))
          + tuple(f"O, {d}" for d in ("fh", "tl", "fl", "th"))),),
        ("D1", "D2"),
    ),
}  # fmt: skip
"""`zigzag/inputs/hardware/tpu_like.yaml` of version 3.9.1."""
MAC_PJ = 0.04
SRAM_WORD_BITS, DRAM_WORD_BITS = 2048, 64


def hardware(rows: int, columns: int, sram_bits: int = MEMORIES["sram_2MB"].size) -> dict[str, Any]:
    """The accelerator. D1 counts columns (output channels), D2 rows (input channels)."""
    memories = {**MEMORIES, "sram_2MB": dataclasses.replace(MEMORIES["sram_2MB"], size=sram_bits)}
    return {
        "name": "tpu_like",
        "memories": {name: _memory(memory) for name, memory in memories.items()},
        "operational_array": {
            "unit_energy": MAC_PJ, "unit_area": 1, "dimensions": ["D1", "D2"], "sizes": [columns, rows],
            "systolic_dimensions": ["D1", "D2"],
        },
    }  # fmt: skip


def _memory(memory: Memory) -> dict[str, Any]:
    ports = [
        {
            "name": f"{PREFIX[kind]}_port_{i}",
            "type": kind,
            "bandwidth_min": low,
            "bandwidth_max": high,
            "allocation": list(what),
        }
        for i, (kind, low, high, what) in enumerate(memory.ports)
    ]
    return {
        "size": memory.size, "r_cost": memory.r_cost, "w_cost": memory.w_cost, "area": 0, "latency": 1,
        "operands": list(memory.operands), "ports": ports, "served_dimensions": list(memory.served_dimensions),
    }  # fmt: skip


def mapping(products: Sequence[Product], rows: int, columns: int) -> list[dict[str, Any]]:
    """Output channels across the columns and input channels down the rows, as in the example's own mapping. Layers with
    few input channels get taps of the window beside them as far as they fit, which a user of ZigZag would write down:
    the example's mapping would leave a depthwise layer one multiplier."""
    named = [(f"layer{i}", taps) for i, p in enumerate(products) if (taps := taps_down(p, rows))]
    return [_mapped("default", rows, columns, []), *(_mapped(name, rows, columns, taps) for name, taps in named)]


def taps_down(product: Product, rows: int) -> list[str]:
    """Loops over the window that fit on the rows beside all input channels of a group."""
    w = product.window
    if w is None or w.channels * w.kernel_w > rows:
        return []
    across = [] if w.kernel_w == 1 else [f"FX, {w.kernel_w}"]
    if w.kernel_h == 1 or w.channels * w.kernel_w * w.kernel_h > rows:
        return across
    return [*across, f"FY, {w.kernel_h}"]


def _mapped(name: str, rows: int, columns: int, taps: list[str]) -> dict[str, Any]:
    return {
        "name": name, "spatial_mapping": {"D1": [f"K, {columns}"], "D2": [f"C, {rows}", *taps]},
        "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
    }  # fmt: skip


def workload(products: Sequence[Product]) -> list[dict[str, Any]]:
    """A layer for each product, all its copies in it, in the form that ZigZag's own ONNX parsers give it."""
    return [
        {
            "id": i,
            "name": f"layer{i}",
            **(_convolution(p) if p.window else _gemm(p)),
            "operand_source": {"I": i, "W": i},
        }
        for i, p in enumerate(products)
    ]


def _gemm(product: Product) -> dict[str, Any]:
    heads = "[h]" if product.copies > 1 else ""
    dims, sizes = ["C", "D", "K"], [product.k, product.m, product.n]
    if heads:
        dims, sizes = [*dims, "H"], [*sizes, product.copies]
    equation = f"O{heads}[d][k]+=I{heads}[d][c]*W{heads}[c][k]"
    return _layer("Gemm", equation, dims, sizes, {"dimension_relations": []})


def _convolution(product: Product) -> dict[str, Any]:
    w = product.window
    assert w is not None
    sizes = {
        "B": 1, "K": w.filters, "G": product.copies, "OX": w.out_w, "OY": w.out_h, "C": w.channels, "FX": w.kernel_w,
        "FY": w.kernel_h,
    }  # fmt: skip
    more: dict[str, Any] = {"dimension_relations": [f"ix={w.stride_w}*ox+1*fx", f"iy={w.stride_h}*oy+1*fy"]}
    if any(w.pads):  # else ZigZag would move the padding as well
        top, bottom, left, right = w.pads
        more["pr_loop_dims"] = ["IX", "IY"]
        more["pr_loop_sizes"] = [w.in_w + w.rest_w - left - right, w.in_h + w.rest_h - top - bottom]
        more["padding"] = [[left, right], [top, bottom]]
    return _layer("Conv", "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]", list(sizes),
                  list(sizes.values()), more)  # fmt: skip


def _layer(kind: str, equation: str, dims: list[str], sizes: list[int], more: Mapping[str, Any]) -> dict[str, Any]:
    precision = {"W": OPERAND_BITS, "I": OPERAND_BITS, "O": SUM_BITS, "O_final": OPERAND_BITS}
    return {
        "operator_type": kind, "equation": equation, "loop_dims": dims, "loop_sizes": sizes,
        "operand_precision": precision, **more,
    }  # fmt: skip


def write_job(
    products: Sequence[Product], rows: int, columns: int, folder: Path, sram_bits: int = MEMORIES["sram_2MB"].size
) -> Path:
    """Write all files of one run below `folder`; the job for `drive_zigzag`."""
    parts: dict[str, Any] = {
        "accelerator": hardware(rows, columns, sram_bits), "mapping": mapping(products, rows, columns),
        "workload": workload(products),
    }  # fmt: skip
    job: dict[str, Any] = {"opt": OPTIMIZE, "lpf_limit": FACTORS, "out": str(folder / "out")}
    for name, value in parts.items():
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(value, sort_keys=False))
        job[name] = str(path)
    target = folder / "job.json"
    target.write_text(json.dumps(job))
    return target


# --- what it answers --------------------------------------------------------------------------------------------------

ANSWER_FILE = "layer0_complete.json"
LOOP = re.compile(r"\((\w+), (\d+)\)")
LEVELS = {"O": ("rf_2B", "sram_2MB", "dram"), "I": ("sram_2MB", "dram"), "W": ("rf_128B", "dram")}
READS, WRITES = ("rd_out_to_low", "rd_out_to_high"), ("wr_in_by_low", "wr_in_by_high")


@dataclass(frozen=True)
class Answer:
    """What ZigZag says of one layer.

    cycles       all of them, which is the sum of the next five
    ideal        cycles of its temporal loops, a multiply-accumulate a unit in each
    stall        cycles in which it waits for memory meanwhile
    onloading    before the first product
    offloading   after the last, until results are in DRAM
    drain        one cycle a row and a column that are used, less one each (`systolic_dimensions`)
    energy_pj    in all; mac_pj and memory_pj (by memory) are its parts
    words        reads and writes, by operand and memory: words of the memory's widest port
    """

    cycles: int
    ideal: int
    stall: int
    onloading: int
    offloading: int
    drain: int
    energy_pj: float
    mac_pj: float
    memory_pj: Mapping[str, float]
    words: Mapping[str, Mapping[str, Mapping[str, int]]]
    loops: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def read_answer(folder: Path) -> Answer:
    """What one run of one layer answered; `folder` is the job's `out`.

    Raises ValueError where the file has another form.
    """
    path = folder / ANSWER_FILE
    try:
        return parse_answer(json.loads(path.read_text()))
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(
            f"{path}: not the file that ZigZag {VERSION} writes ({type(error).__name__}: {error})"
        ) from error


def parse_answer(found: Mapping[str, Any]) -> Answer:
    """The figures of a `..._complete.json`."""
    outputs, inputs = found["outputs"], found["inputs"]
    latency, energy = outputs["latency"], outputs["energy"]
    ideal = math.prod(size for level in inputs["temporal_mapping"]["O"] for _, size in _loops(level))
    across = [loop for level in inputs["spatial_mapping"]["O"] for loop in _loops(level)]
    columns = math.prod(size for name, size in across if name == "K")
    rows = math.prod(size for name, size in across if name != "K")
    drain = columns - 1 + rows - 1
    per_operand: Mapping[str, list[float]] = energy["memory_energy_breakdown_per_level"]
    memory_pj = dict.fromkeys(MEMORIES, 0.0)
    for operand, names in LEVELS.items():
        for name, pj in zip(names, per_operand[operand], strict=True):
            memory_pj[name] += pj
    accesses = outputs["memory"]["word_accesses"]
    words = {o: dict(zip(names, map(_both, accesses[o]), strict=True)) for o, names in LEVELS.items()}
    return Answer(
        round(sum(latency.values())), ideal, round(latency["computation"]) - ideal, round(latency["data_onloading"]),
        round(latency["data_offloading"]) - drain, drain, energy["energy_total"], energy["operational_energy"],
        memory_pj, words, {"temporal": inputs["temporal_mapping"], "spatial": inputs["spatial_mapping"]},
    )  # fmt: skip


def _loops(level: list[str]) -> list[tuple[str, int]]:
    return [(name, int(size)) for text in level for name, size in LOOP.findall(text)]


def _both(accesses: Mapping[str, int]) -> dict[str, int]:
    return {"read": sum(accesses[k] for k in READS), "write": sum(accesses[k] for k in WRITES)}


def dram_words(words: Mapping[str, Mapping[str, Mapping[str, int]]]) -> int:
    """Words that pass the one DRAM port, and so the cycles it is taken for at least."""
    return sum(sum(levels["dram"].values()) for levels in words.values())
