"""Design points a second on ResNet-18: 1,000 sizes of array and buffers, through hwsim and as far as the peers come.

A point is the whole network on one design. The peers get each distinct layer once, since neither shares work between
equal layers, and their largest arrays first, since those are the quickest for them; one process runs point after point
until its time is over, its start included. hwsim's rates are of one thread in a new process (`rates.py`).
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.peers import process, scalesim, zigzag
from benchmarks.peers.cases import DATAFLOW, HERE, SCALESIM, VERSIONS
from benchmarks.peers.ours import DESIGNS
from benchmarks.peers.work import NETWORKS

ROOT = HERE.parent.parent
NETWORK = "resnet18"
SIDES = (16, 24, 32, 48, 64, 80, 96, 128, 160, 192)
SRAM_KIB = (128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096)
"""Of each operand's buffer; ZigZag's one memory of inputs and outputs has two of these."""
PEER_LIMIT_S = 150
KIB_BITS = 8 << 10


@dataclass(frozen=True)
class Point:
    """One design of the sweep."""

    rows: int
    columns: int
    sram_kib: int


def grid() -> list[Point]:
    """All of them, buffers fastest."""
    return [Point(*sizes) for sizes in itertools.product(SIDES, SIDES, SRAM_KIB)]


def for_peers() -> list[Point]:
    """The same, largest arrays first."""
    return sorted(grid(), key=lambda p: (-p.rows * p.columns, p.rows, p.sram_kib))


def peer_rate(tool: str, interpreter: Path, limit_s: float = PEER_LIMIT_S) -> dict[str, Any]:
    """How many points a peer finishes within `limit_s`, and which."""
    products = NETWORKS[NETWORK].products()
    points = for_peers()[: int(limit_s)]  # neither has come near a point a second
    with tempfile.TemporaryDirectory(prefix="hwsim-peers-") as name:
        folders = [Path(name) / f"{i:04}" for i in range(len(points))]
        jobs = [_job(tool, products, point, folder) for point, folder in zip(points, folders, strict=True)]
        command = [interpreter, "-I", HERE / f"drive_{tool}.py", *jobs]
        usage = process.run(command, Path(name) / "log", time_limit_s=limit_s, folder=Path(name))
        done = [json.loads(path.read_text()) for path in sorted(Path(name).glob("*/seconds.json"))]
    last = points[max(0, len(done) - 1)]
    return {
        "tool": tool, "version": VERSIONS[tool], "points": len(done), "seconds": max(done, default=usage.wall_s),
        "first": asdict(points[0]), "last": asdict(last), "usage": replace(usage, message="").plain(),
    }  # fmt: skip


def _job(tool: str, products: list[Any], point: Point, folder: Path) -> Path:
    folder.mkdir()
    if tool == SCALESIM:
        return scalesim.write_job(products, point.rows, point.columns, DATAFLOW, folder, point.sram_kib)
    return zigzag.write_job(products, point.rows, point.columns, folder, 2 * KIB_BITS * point.sram_kib)


def our_rates(folder: Path) -> dict[str, Any]:
    """hwsim's rates, by a new process; what that process took is beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    answer = folder / "rates.out"
    command = [sys.executable, "-m", "benchmarks.peers.rates", answer]
    usage = process.run(command, folder / "rates.log", folder=ROOT)
    if usage.status != "ok":
        raise RuntimeError(f"rates of hwsim: {usage.message}")
    return {**json.loads(answer.read_text()), "usage": usage.plain()}


def study() -> dict[str, Any]:
    """The sweep as a file of `hwsim sweep`."""
    return {
        "study": "peers", "accelerator": str(DESIGNS[SCALESIM]), "workload": NETWORKS[NETWORK].trace,
        "space": {"rows": list(SIDES), "columns": list(SIDES), "input_sram": [f"{size} KiB" for size in SRAM_KIB]},
        "objectives": {"latency_s": "minimize", "energy_j": "minimize", "traffic_bits.dram.read": "minimize"},
    }  # fmt: skip


def our_study() -> dict[str, Any]:
    """One `hwsim sweep` of the thousand from an empty store, from the start of its process to its exit."""
    with tempfile.TemporaryDirectory(prefix="hwsim-peers-") as name:
        path = Path(name) / "study.yaml"
        path.write_text(yaml.safe_dump(study()))
        command = [sys.executable, "-m", "hwsim", "sweep", path, "--engine", "serial", "--store",
                   Path(name) / "study.db"]  # fmt: skip
        usage = process.run(command, Path(name) / "log", folder=ROOT)
        if usage.status != "ok":
            raise RuntimeError(f"hwsim sweep: {usage.message}")
    return {"points": len(grid()), "usage": usage.plain()}
