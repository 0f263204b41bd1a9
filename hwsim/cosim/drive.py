"""The one cocotb test: start a run, sleep until it is done, read its counters. Runs inside the simulator.

Memories, counters and logs live in the hardware description (see `hwsim.cosim.circuit`), so Python wakes a few times
a run and never once a cycle. The plan is a JSON file named by HWSIM_COSIM_PLAN:

    {"results": FILE, "counters": [NAME...], "runs": [{"case_id": 0, "registers": {NAME: value}, "limit": cycles}...]}

and FILE gets one JSON line a run: {"counters": {NAME: value or null}, "cycles": n, "timed_out": bool, "seconds": s} or
{"error": text}. A value with undefined bits is null.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, TextIO

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, First, RisingEdge, Timer
from cocotb.utils import get_sim_time

PERIOD_NS = 10
RESET_CYCLES = 2

_PLAN = "HWSIM_COSIM_PLAN"


class DriveError(Exception):
    """The circuit does not keep the contract of its ports."""


@cocotb.test()
async def drive(dut: Any) -> None:
    """Every run of the plan, in order."""
    plan = json.loads(Path(os.environ[_PLAN]).read_text(encoding="utf-8"))
    with Path(plan["results"]).open("w", encoding="utf-8") as results:
        try:
            await _all(dut, plan, results)
        except DriveError as error:
            results.write(json.dumps({"error": str(error)}) + "\n")


async def _all(dut: Any, plan: dict[str, Any], results: TextIO) -> None:
    """Every run, a line each; the first that breaks the contract is the last."""
    for name in ("clk", "reset", "start", "case_id", "done"):
        _port(dut, name)
    # No edge may come before reset is there: state is undefined until then.
    dut.clk.value = 0
    dut.start.value = 0
    dut.reset.value = 1
    await Timer(PERIOD_NS, "ns")
    Clock(dut.clk, PERIOD_NS, unit="ns", impl="gpi").start(start_high=False)
    for run in plan["runs"]:
        results.write(json.dumps(await _one(dut, run, plan["counters"])) + "\n")
        results.flush()


async def _one(dut: Any, run: dict[str, Any], counters: list[str]) -> dict[str, Any]:
    await _reset(dut, run)
    begun = time.perf_counter()
    await RisingEdge(dut.clk)
    started_ns = get_sim_time("ns")
    await FallingEdge(dut.clk)
    dut.start.value = 0
    done = await _done(dut, run["limit"])
    cycles = int(get_sim_time("ns") - started_ns) // PERIOD_NS
    seconds = time.perf_counter() - begun
    # By the falling edge everything that changed together with `done` has its value.
    await FallingEdge(dut.clk)
    values = {name: _value(_port(dut, name)) for name in counters}
    return {"counters": values, "cycles": cycles, "timed_out": not done, "seconds": seconds}


async def _reset(dut: Any, run: dict[str, Any]) -> None:
    """Reset, put the registers on, and raise `start` at a falling edge of the clock."""
    dut.start.value = 0
    dut.reset.value = 1
    dut.case_id.value = run["case_id"]
    for name, value in run["registers"].items():
        _write(dut, name, value)
    for _ in range(RESET_CYCLES):
        await FallingEdge(dut.clk)
    dut.reset.value = 0
    await FallingEdge(dut.clk)
    if _value(dut.done) != 0:
        raise DriveError(f"done is {dut.done.value} after reset, and must be 0")
    dut.start.value = 1


async def _done(dut: Any, limit: int) -> bool:
    """Whether `done` rises within `limit` cycles."""
    if _value(dut.done) != 1:
        await First(RisingEdge(dut.done), Timer(limit * PERIOD_NS, "ns"))
    return _value(dut.done) == 1


def _port(dut: Any, name: str) -> Any:
    try:
        return getattr(dut, name)
    except AttributeError:
        raise DriveError(f"the top module has no port {name}") from None


def _write(dut: Any, name: str, value: int) -> None:
    port = _port(dut, name)
    if not 0 <= value < 1 << len(port):
        raise DriveError(f"register {name} has {len(port)} bits and cannot hold {value}")
    port.value = value


def _value(port: Any) -> int | None:
    """The unsigned value of a port; None if any of its bits is X or Z."""
    value = port.value
    text = str(value)
    return int(text, 2) if text and set(text) <= {"0", "1"} else None
