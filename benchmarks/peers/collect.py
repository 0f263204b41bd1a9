"""What was measured, by network: sums over its distinct products of what one process each took and answered."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers import checks, compare, zigzag
from benchmarks.peers.cases import DATAFLOW, SCALESIM, VERSIONS, Case, Store
from benchmarks.peers.work import ARRAYS, NETWORKS, Product
from hwsim.errors import Where, bad_input

RESULTS = Path(__file__).parent / "results.json"
SCHEMA = "hwsim/peers/1"

Record = Mapping[str, Any]


def everything(store: Store) -> dict[str, Any]:
    """All that was measured, in the form of results.json. Raises InputError for what was not."""
    products = {name: network.products() for name, network in NETWORKS.items()}
    return {
        "schema": SCHEMA,
        "machine": _kept(store, "machine"),
        "packages": _kept(store, "packages"),
        "start_s": {tool: _kept(store, start_key(tool))["cpu_s"] for tool in VERSIONS},
        "networks": {name: _network(name, products[name]) for name in NETWORKS},
        "peers": [of_network(store, tool, name, products[name], side)
                  for tool in VERSIONS for name in NETWORKS for side in ARRAYS],
        "hwsim": [_kept(store, our_key(name, like, side))
                  for like in VERSIONS for name in NETWORKS for side in ARRAYS],
        "checks": {"dataflows": dataflow_rows(store), "padded": padded_rows(store)},
        "sweep": _kept(store, "sweep"),
    }  # fmt: skip


def our_key(network: str, like: str, side: int) -> str:
    """Under which a run of hwsim is kept."""
    return f"hwsim-{network}-like-{like}-{side}"


def start_key(tool: str) -> str:
    """Under which the time is kept that a tool takes to start."""
    return f"start-{tool}"


def _kept(store: Store, key: str) -> dict[str, Any]:
    record = store.get(key)
    if record is None:
        raise bad_input("peer-results", key, "this was not measured",
                        "Run: python -m benchmarks.peers run, then sweep.", Where(str(store.folder)))  # fmt: skip
    return record


def machine() -> dict[str, Any]:
    """What this runs on, as a class: nothing that names the machine."""
    return {"processor": platform.machine(), "python": platform.python_version(), "system": platform.system()}


def _network(name: str, products: Iterable[Product]) -> dict[str, Any]:
    found = list(products)
    network = NETWORKS[name]
    return {
        "title": network.title, "trace": network.trace, "distinct": len(found),
        "products": sum(p.times * p.copies for p in found), "macs": sum(p.macs for p in found),
    }  # fmt: skip


# --- one peer on one network ------------------------------------------------------------------------------------------


def of_network(store: Store, tool: str, name: str, products: Iterable[Product], side: int) -> dict[str, Any]:
    """A peer's figures of a whole network. Time and energy of each distinct product are measured once; `whole_cpu_s`
    is what one process of the tool would take that works through every equal one, as both do: computed, not measured.
    It starts once: what a process takes to start is counted once."""
    start = _kept(store, start_key(tool))["cpu_s"]
    pairs = [(p, _kept(store, Case(tool, side, side, DATAFLOW, p).key)) for p in products]
    answered = [(p, record) for p, record in pairs if record["answer"]]
    used = [record["usage"] for _, record in pairs]
    row = {
        "tool": tool, "network": name, "side": side,
        "answered": len(answered), "distinct": len(pairs),
        "refused": {p.name: record["usage"]["status"] for p, record in pairs if not record["answer"]},
        "wall_s": round(sum(u["wall_s"] for u in used), 2), "cpu_s": round(sum(u["cpu_s"] for u in used), 2),
        "whole_cpu_s": round(start + sum(_repeats(tool, p) * max(0, r["usage"]["cpu_s"] - start) for p, r in pairs), 1),
        "peak_bits": max(u["peak_bits"] for u in used),
    }  # fmt: skip
    return row | (_scalesim(answered, side) if tool == SCALESIM else _zigzag(answered, side))


def _repeats(tool: str, product: Product) -> int:
    """Runs that the tool makes of a product: SCALE-Sim takes every copy as a layer, ZigZag has a loop for them."""
    return product.times * (product.copies if tool == SCALESIM else 1)


def _scalesim(answered: Sequence[tuple[Product, Record]], side: int) -> dict[str, Any]:
    gap = compare.scalesim_gap([(p, r["answer"]["cycles"]) for p, r in answered], side, side)
    names = answered[0][1]["answer"]["accesses"]
    return {
        "cycles": gap.theirs, "our_cycles": gap.ours, "from_zero": gap.from_zero, "unexplained": gap.unexplained,
        "accesses": {n: sum(_repeats(SCALESIM, p) * r["answer"]["accesses"][n] for p, r in answered) for n in names},
    }  # fmt: skip


def _zigzag(answered: Sequence[tuple[Product, Record]], side: int) -> dict[str, Any]:
    answers = [(p, r["answer"]) for p, r in answered]
    parts = ("cycles", "ideal", "stall", "onloading", "offloading", "drain", "energy_pj", "mac_pj")
    memories = answers[0][1]["memory_pj"]
    short = [(p, compare.below_own_bound(a, zigzag.dram_words(a["words"]))) for p, a in answers]
    return {
        **{part: _rounded(sum(p.times * a[part] for p, a in answers)) for part in parts},
        "memory_pj": {m: _rounded(sum(p.times * a["memory_pj"][m] for p, a in answers)) for m in memories},
        "dram_words": {
            operand: {
                way: sum(p.times * a["words"][operand]["dram"][way] for p, a in answers) for way in ("read", "write")
            }
            for operand in zigzag.LEVELS
        },
        "sram_words": sum(
            p.times * sum(sum(levels["sram_2MB"].values()) for o, levels in a["words"].items() if o != "W")
            for p, a in answers
        ),
        "below_own_bound": {"products": sum(1 for _, s in short if s), "cycles": sum(p.times * s for p, s in short)},
        "worst_below": max(({"name": p.name, "cycles": a["cycles"], "words": zigzag.dram_words(a["words"])}
                            for p, a in answers), key=lambda w: w["words"] / w["cycles"]),
        "loops": _loops(answers, side),
    }  # fmt: skip


def _rounded(value: float) -> float | int:
    return value if isinstance(value, int) else round(value, 1)


def _loops(answers: Sequence[tuple[Product, Record]], side: int) -> dict[str, int]:
    """The parts of the gap to hwsim that need the products: see `compare.zigzag_gap`."""
    gap = compare.zigzag_gap(answers, side, side, cycles=0, other_cycles=0)
    array = sum(p.times * p.copies * compare.ours(p, side, side, overlap=True) for p, _ in answers)
    return {"mapping": gap.mapping, "fill": gap.fill, "our_array_cycles": array}


# --- checks -----------------------------------------------------------------------------------------------------------


def dataflow_rows(store: Store) -> list[dict[str, Any]]:
    """SCALE-Sim's count of small products in each dataflow, and what hwsim's array takes."""
    rows = []
    for case in checks.dataflow_cases():
        cycles = _kept(store, case.key)["answer"]["cycles"]
        gap = compare.scalesim_gap([(case.product, cycles)], case.rows, case.columns, case.dataflow)
        rows.append({"dataflow": case.dataflow, "product": case.product.name, "side": case.rows, "cycles": cycles,
                     "our_cycles": gap.ours, "from_zero": gap.from_zero, "drain": gap.drain,
                     "unexplained": gap.unexplained})  # fmt: skip
    return rows


def padded_rows(store: Store) -> list[dict[str, Any]]:
    """ResNet-18's layers whose padded sizes SCALE-Sim rounds up."""
    rows = []
    for product, case in checks.padded_cases():
        cycles = _kept(store, case.key)["answer"]["cycles"]
        gap = compare.scalesim_gap([(product, cycles)], case.rows, case.columns, padded=True)
        window, seen = product.window, compare.as_padded(product).window
        assert window is not None
        assert seen is not None
        rows.append({"product": product.name, "side": case.rows, "output": window.out_h, "their_output": seen.out_h,
                     "times": product.times, "cycles": cycles, "our_cycles": gap.ours // product.times,
                     "rounding": gap.rounding // product.times, "unexplained": gap.unexplained})  # fmt: skip
    return rows


def write(results: Mapping[str, Any], path: Path = RESULTS) -> None:
    """Write results.json."""
    path.write_text(json.dumps(results, indent=1) + "\n")


def read(path: Path = RESULTS) -> dict[str, Any]:
    """Read results.json. Raises ValueError where it is of another form."""
    found: dict[str, Any] = json.loads(path.read_text())
    if found.get("schema") != SCHEMA:
        raise ValueError(f"{path}: schema {found.get('schema')!r}; {SCHEMA!r} is read here")
    return found
