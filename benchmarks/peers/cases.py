"""What is to be measured, and what was: one JSON file a case, written whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers import process, scalesim, zigzag
from benchmarks.peers.work import ARRAYS, NETWORKS, Product
from hwsim.errors import Where, bad_input

HERE = Path(__file__).parent
SCALESIM, ZIGZAG = "scalesim", "zigzag"
VERSIONS = {SCALESIM: scalesim.VERSION, ZIGZAG: zigzag.VERSION}
DATAFLOW = "ws"
"""What is compared whole: the dataflow that both peers have."""


@dataclass(frozen=True)
class Case:
    """One product on one array through one peer."""

    tool: str
    rows: int
    columns: int
    dataflow: str
    product: Product

    @property
    def key(self) -> str:
        """What tells one question from another: the tool and its version, the array, and the sizes."""
        shape = asdict(self.product)
        del shape["name"], shape["times"]
        if shape["window"]:
            del shape["window"]["rest_h"], shape["window"]["rest_w"]
            if self.tool == SCALESIM or not any(shape["window"]["pads"]):  # SCALE-Sim has no word for them
                del shape["window"]["pads"]
        if self.tool == SCALESIM:  # one copy is run
            del shape["copies"], shape["fixed"]
        question = [self.tool, VERSIONS[self.tool], self.rows, self.columns, self.dataflow, shape]
        digest = hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()
        return f"{self.tool}-{self.rows}x{self.columns}-{self.dataflow}-{digest[:16]}"

    @property
    def cost(self) -> float:
        """A guess of its time, for the order alone: SCALE-Sim's grows with cycles and with reads, ZigZag's hardly."""
        if self.tool == ZIGZAG:
            return 3.0
        cycles = scalesim.own_count(self.product, self.rows, self.columns, self.dataflow)
        p = self.product
        moved = cycles * (self.rows + self.columns) / 20 + p.m * p.k + p.k * p.n + p.m * p.n
        return 0.2 + 3e-5 * cycles + 2e-6 * moved


def cases(
    tools: Iterable[str] = tuple(VERSIONS), networks: Iterable[str] = tuple(NETWORKS), arrays: Iterable[int] = ARRAYS
) -> list[Case]:
    """Every distinct case, cheapest first."""
    products = [p for name in networks for p in NETWORKS[name].products()]
    every = [Case(tool, a, a, DATAFLOW, p) for tool in tools for a in arrays for p in products]
    return sorted({case.key: case for case in every}.values(), key=lambda case: case.cost)


# --- what was measured ------------------------------------------------------------------------------------------------


class Store:
    """Measured cases below `folder`, by key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of a case, or None."""
        path = self.folder / f"{key}.json"
        try:
            return json.loads(path.read_text()) if path.exists() else None
        except (OSError, ValueError) as error:
            raise bad_input("peer-results", str(error), "this record cannot be read", "Remove it, and measure again.",
                            Where(str(path))) from error  # fmt: skip

    def put(self, key: str, record: Mapping[str, Any]) -> None:
        """Keep a record; whoever reads meanwhile sees the old one or the new one."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise bad_input("peer-results", error.strerror, "records cannot be kept here", "Name another folder.",
                            Where(str(self.folder), key="--results")) from error  # fmt: skip
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".part", delete=False) as file:
            json.dump(record, file, indent=1, sort_keys=True)
        os.replace(file.name, self.folder / f"{key}.json")


@dataclass(frozen=True)
class Limits:
    """Of one process: seconds and bits of memory."""

    time_s: float = 900
    memory_bits: int = 12 << 33


STARTS = 3


def start_up(tool: str, interpreter: Path, log: Path) -> dict[str, float]:
    """Processor time that a tool takes to start and to do nothing: the least of several."""
    used = [process.run([interpreter, "-I", HERE / f"drive_{tool}.py"], log) for _ in range(STARTS)]
    return {"cpu_s": min(usage.cpu_s for usage in used)}


def measure(case: Case, interpreter: Path, limits: Limits) -> dict[str, Any]:
    """Run one case in a new process of its tool; the record of it."""
    with tempfile.TemporaryDirectory(prefix="hwsim-peers-") as name:
        folder = Path(name)
        job = write_job(case, folder)
        driver = HERE / f"drive_{case.tool}.py"
        usage = process.run(
            [interpreter, "-I", driver, job], folder / "log", time_limit_s=limits.time_s,
            memory_limit_bits=limits.memory_bits, folder=folder,
        )  # fmt: skip
        answer = read_answer(case, folder / "out") if usage.status == "ok" else None
    shape = asdict(dataclasses.replace(case.product, times=1))
    array = {"rows": case.rows, "columns": case.columns, "dataflow": case.dataflow}
    return {"tool": case.tool, "version": VERSIONS[case.tool], **array, "product": shape, "usage": usage.plain(),
            "answer": answer}  # fmt: skip


def write_job(case: Case, folder: Path) -> Path:
    """All files that the tool reads; the job for its driver."""
    if case.tool == SCALESIM:
        return scalesim.write_job([case.product], case.rows, case.columns, case.dataflow, folder)
    return zigzag.write_job([case.product], case.rows, case.columns, folder)


def read_answer(case: Case, out: Path) -> dict[str, Any]:
    """What the tool left in `out`, as JSON."""
    return (scalesim.read_answer(out) if case.tool == SCALESIM else zigzag.read_answer(out)).plain()


def pending(wanted: Iterable[Case], store: Store) -> Iterator[Case]:
    """Those that were not measured yet."""
    return (case for case in wanted if store.get(case.key) is None)


def measure_all(
    wanted: Iterable[Case], store: Store, interpreters: Mapping[str, Path], limits: Limits, say: Callable[[str], object]
) -> None:
    """Measure what is missing, one after the other. A case that fails is kept as failed, and not tried again."""
    todo = list(pending(wanted, store))
    for i, case in enumerate(todo, 1):
        record = measure(case, interpreters[case.tool], limits)
        store.put(case.key, record)
        usage = record["usage"]
        say(
            f"{i}/{len(todo)} {case.tool} {case.rows}x{case.columns} {case.product.name}: {usage['status']}, "
            f"{usage['wall_s']:.1f} s, {usage['peak_bits'] / 8 / 2**20:.0f} MiB"
        )


def free_bits(folder: Path) -> int:
    """Free space where `folder` lies."""
    return shutil.disk_usage(folder).free * 8
