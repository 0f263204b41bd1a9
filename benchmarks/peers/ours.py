"""hwsim's side: the command line, in a new process a question, on designs that have what a peer's hardware has."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers import process
from benchmarks.peers.work import Network
from hwsim.workload.ir import KINDS
from hwsim.workload.store import write

HERE = Path(__file__).parent
DESIGNS = {"scalesim": HERE / "like_scalesim.yaml", "zigzag": HERE / "like_zigzag.yaml"}
PRODUCTS = ("matmul", "conv2d", "attention")
assert set(PRODUCTS) < set(KINDS)
WEIGHT_BITS_A_UNIT = 1024
"""Of weights beside a multiplier in ZigZag's `tpu_like.yaml`."""


def settings(like: str, side: int) -> list[str]:
    """What is set on the design for an array of `side` x `side`."""
    chosen = [f"rows={side}", f"columns={side}"]
    if like == "zigzag":
        chosen.append(f"weight_sram={side * side * WEIGHT_BITS_A_UNIT} bit")
    return [word for value in chosen for word in ("--set", value)]


def measure(network: Network, like: str, side: int) -> dict[str, Any]:
    """One run of `hwsim run`, from the start of its process to its exit, and what it answered."""
    with tempfile.TemporaryDirectory(prefix="hwsim-peers-") as name:
        folder = Path(name)
        workload = network.trace
        if network.phase:
            workload = str(folder / "workload.json")
            write(network.workload(), workload)
        bound = [word for symbol in network.bind for word in ("--bind", f"{symbol}={network.bind[symbol]}")]
        command = [sys.executable, "-m", "hwsim", "run", "-a", DESIGNS[like], "-w", workload, *settings(like, side),
                   *bound, "--no-interval", "--json"]  # fmt: skip
        usage = process.run(command, folder / "log", output=folder / "answer.json", folder=HERE.parent.parent)
        if usage.status != "ok":
            raise RuntimeError(f"hwsim on {network.title}: {usage.message}")
        answer = condensed(json.loads((folder / "answer.json").read_text()))
    return {"like": like, "side": side, "usage": usage.plain(), "answer": answer}


def condensed(result: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared of a result of `hwsim run --json`.

    product_cycles and other_cycles add up to `cycles`: those that products and other operators add to the run.
    array_cycles are those that the array is held by products.
    """
    layers = [layer for layer in result["layers"] if layer["op"] in PRODUCTS]
    product_s = sum(layer["exposed_s"] for layer in layers)
    product_cycles = round(product_s * result["clock_hz"])
    return {
        "cycles": result["cycles"], "product_cycles": product_cycles,
        "other_cycles": result["cycles"] - product_cycles, "array_cycles": sum(layer["cycles"] for layer in layers),
        "product_dram_bits": sum(layer["traffic_bits"]["dram"] for layer in layers),
        "energy_j": result["energy_j"], "energy_breakdown_j": result["energy_breakdown_j"],
        "traffic_bits": result["traffic_bits"], "macs": result["macs"], "provenance": result["provenance"],
    }  # fmt: skip
