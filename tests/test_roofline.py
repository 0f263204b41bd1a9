"""The roofline models against their definition: launch, then the longer of arithmetic and traffic."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from accelerators.roofline.model import Kernel, count
from hwsim.config import load_design
from hwsim.evaluation import Job, evaluate
from hwsim.parts import resolve_parts
from hwsim.simulate import resolve_binding
from hwsim.testing import matmul_chain
from hwsim.workload.ir import Workload
from hwsim.workload.store import load_workload

# A clock of 1 GHz, 100 MACs and 10 other operations a cycle at a ceiling of half, 800 Gbit/s at a ceiling of half.
ROUND = dataclasses.replace(
    load_design("titan-xp").design, clock_khz=1_000_000, macs_per_cycle=100, vector_ops_per_cycle=10,
    matmul_ceiling_percent=50, vector_ceiling_percent=50, memory_bandwidth_bits_per_s=800 * 10**9,
    bandwidth_ceiling_percent=50, launch_ns=3_000, operand_bits=32,
)  # fmt: skip
NOTHING = Kernel(0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "compute", "traffic"),
    [
        ({}, 0, 0),
        ({"macs": 50_000}, 1_000, 0),
        ({"vector_ops": 5_000}, 1_000, 0),
        ({"macs": 50_000, "vector_ops": 5_000}, 2_000, 0),
        ({"dram_read_bits": 400_000}, 0, 1_000),
        ({"dram_read_bits": 400_000, "dram_write_bits": 800_000}, 0, 3_000),
        ({"cache_read_bits": 400_000, "cache_write_bits": 400_000}, 0, 0),
    ],
)
def test_cycles_are_launch_and_arithmetic_or_traffic(changes: dict[str, int], compute: int, traffic: int) -> None:
    found = count(ROUND, NOTHING._replace(**changes))
    assert (found.compute_cycles, found.bandwidth_cycles) == (3_000 + compute, 3_000 + traffic)


def traffic_of(workload: Workload, design: Any, **binding: int) -> tuple[int, int]:
    """Bits read and written off chip."""
    file = load_design("titan-xp")
    parts = resolve_parts(file.named)
    done = evaluate(Job(file.model, design, parts, workload, resolve_binding(workload, binding)))
    rows = [done.counts[t] for t in done.program.task]
    read, write = (done.names.fields.index(f"dram_{way}_bits") for way in ("read", "write"))
    return sum(row[read] for row in rows), sum(row[write] for row in rows)


def test_what_the_cache_cannot_hold_leaves_the_chip() -> None:
    """64 x 128 results of 32 bits, read again by the layer that follows; inputs of 64 x 16 always fit."""
    chain = matmul_chain("chain", 64, (16, 128))
    weights, results = 16 * 128 * 32, 64 * 128 * 32
    assert traffic_of(chain, dataclasses.replace(ROUND, cache_bits=results)) == (weights, 0)
    assert traffic_of(chain, dataclasses.replace(ROUND, cache_bits=results - 1)) == (weights, results)


def test_an_embedding_reads_the_rows_it_looks_up() -> None:
    network = load_workload("transformer-base")
    file = load_design("titan-xp")
    parts = resolve_parts(file.named)
    done = evaluate(Job(file.model, file.design, parts, network, resolve_binding(network, {"n": 7, "m": 1})))
    read = done.names.fields.index("dram_read_bits")
    encoder = [
        done.counts[task][read]
        for task, layer in zip(done.program.task, done.program.layer, strict=True)
        if (done.program.layers[layer].op, done.program.layers[layer].phase) == ("embedding", "encode")
    ]
    assert encoder == [7 * 512 * file.design.operand_bits] * 2  # the words, and their positions
