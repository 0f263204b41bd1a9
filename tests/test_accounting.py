"""Sums of a run against sums made another way: from the program, step by step, and from figures of the designs."""

from __future__ import annotations

import dataclasses

import pytest

from hwsim.config import load_design
from hwsim.evaluation import Job, evaluate
from hwsim.parts import resolve_parts
from hwsim.result import Result
from hwsim.simulate import resolve_binding, run
from hwsim.testing import matmul_chain
from hwsim.workload.ir import Call, Disposition, Phase
from hwsim.workload.store import load_workload

SIZES = {"n": 5, "m": 3}


@pytest.fixture(scope="module")
def transformer() -> Result:
    return run("optimus", "transformer-base", bind=SIZES)


def job_of(design: str, workload: str) -> Job:
    file, network = load_design(design), load_workload(workload)
    return Job(file.model, file.design, resolve_parts(file.named), network,
               resolve_binding(network, SIZES))  # fmt: skip


def test_headlines_follow_from_one_another(transformer: Result) -> None:
    r = transformer
    assert r.energy_j.low < r.energy_j.value < r.energy_j.high
    assert r.power_w == pytest.approx(r.energy_j.value / r.latency_s.value, rel=1e-12)
    assert r.flops == 2 * r.macs
    assert r.utilisation == pytest.approx(r.macs_executed / (1024 * 200e6 * r.latency_s.value), rel=1e-12)


def test_roofs_are_the_peaks_of_the_design(transformer: Result) -> None:
    """1024 multipliers at 200 MHz, two operations each; 20 channels of 128 bits at 2 Gbit/s a pin."""
    array, dram = transformer.roofs
    assert (array.name, array.ops_per_s) == ("array", 2 * 1024 * 200e6)
    assert (dram.name, dram.bits_per_s) == ("dram", 20 * 128 * 2e9)


def test_passes_count_the_turns_of_a_phase(transformer: Result) -> None:
    ran = [layer for layer in transformer.layers if layer.cycles]
    assert {layer.passes for layer in ran if layer.phase == "decode"} == {SIZES["m"]}
    assert {layer.passes for layer in ran if layer.phase == "encode"} == {1}
    assert {layer.passes for layer in transformer.layers if not layer.cycles} == {0}


def test_layers_of_a_serial_machine_are_busy_as_long_as_exposed() -> None:
    """A roofline runs one operator at a time and waits for nothing, so a layer's cycles are those of its exposure."""
    r = run("titan-xp", matmul_chain("chain", 64, (512, 256, 1024)), interval=False)
    assert len(r.layers) == 3
    for layer in r.layers:
        assert layer.busy_s == layer.exposed_s > 0
        assert layer.cycles == round(layer.busy_s * r.clock_hz)
    assert sum(layer.cycles for layer in r.layers) == pytest.approx(r.cycles, abs=3)


def test_weights_are_read_and_results_stay_on_chip(transformer: Result) -> None:
    assert transformer.traffic_bits["dram"]["read"] > 0
    assert transformer.traffic_bits["dram"]["write"] == 0
    spilled = run("optimus", "transformer-base", bind=SIZES, overrides=["intermediates_on_chip=false"], interval=False)
    assert spilled.traffic_bits["dram"]["write"] > 0
    assert spilled.traffic_bits["dram"]["read"] > transformer.traffic_bits["dram"]["read"]


@pytest.mark.parametrize("design", ["optimus", "optimus-baseline", "i7-6900k"])
def test_occupancy_is_what_the_placements_hold_step_by_step(design: str) -> None:
    done = evaluate(job_of(design, "transformer-base"))
    held: dict[str, list[int]] = {}
    for place, bits in zip(done.program.occupied, done.occupied_bits, strict=True):
        of_level = held.setdefault(place.level, [0] * len(done.program))
        for step in range(place.first, place.last + 1):
            of_level[step] += bits
    result = run(design, "transformer-base", bind=SIZES, interval=False)
    assert {o.level for o in result.occupancy} == set(held)
    for curve in result.occupancy:
        assert max(curve.bits) == result.memory_peak_bits[curve.level] == max(held[curve.level])
        assert set(curve.bits) - {0} == set(held[curve.level]) - {0}
        assert curve.bits[-1] == 0
        assert list(curve.at_ps) == sorted(curve.at_ps)


def test_one_bit_decides_whether_a_design_is_feasible(transformer: Result) -> None:
    peak = transformer.memory_peak_bits["activations"]
    fits, misses = (
        run("optimus", "transformer-base", bind=SIZES, overrides=[f"activation_buffer={bits} bit"], interval=False)
        for bits in (peak, peak - 1)
    )
    assert fits.feasible
    assert not misses.feasible
    (violation,) = misses.violations
    assert (violation.demand, violation.bound) == (peak, peak - 1)


def test_a_call_waits_for_the_call_before() -> None:
    """Nothing says which input a call takes from where, so it takes all from the last step."""
    chain = matmul_chain("chain", 2, (8, 8, 8))
    twice = dataclasses.replace(chain, schedules={"once": (Phase("run", (Call("main"), Call("main"))),)})
    file = load_design("titan-xp")
    program = file.model.lower(twice, file.design, {})
    assert program.after == [(), (0,), (1,), (2,), (3,), (4,)]
    assert [layer.macs for layer in program.layers] == [2 * 2 * 8 * 8, 0, 2 * 2 * 8 * 8]


def test_weights_that_fit_the_cache_are_fetched_once() -> None:
    chain = matmul_chain("chain", 2, (64, 64))
    twice = dataclasses.replace(chain, schedules={"once": (Phase("run", (Call("main"), Call("main"))),)})
    weights = 64 * 64 * 32
    for cache, fetched in ((f"{weights} bit", weights), (f"{weights - 1} bit", 2 * weights)):
        result = run("titan-xp", twice, overrides=[f"cache={cache}"], interval=False)
        assert result.traffic_bits["dram"] == {"read": fetched, "write": 0}


def test_every_free_operator_is_listed_with_its_reason(transformer: Result) -> None:
    network = load_workload("transformer-base")
    ran = {call.graph for phase in network.schedule("cached") for call in phase.calls}
    free = {op.name: op.reason for name in ran for op in network.graphs[name].ops
            if op.disposition is Disposition.FREE}  # fmt: skip
    assert free and all(free.values())
    assert free.items() <= transformer.free_ops.items()


def test_a_replay_refreshes_once() -> None:
    """One HBM2 channel is busy nearly all the time, and refreshed for 7 % of it: averaged or one by one, not both."""
    question = {"bind": SIZES, "overrides": ["dram_channels=1"], "interval": False}
    closed = run("optimus", "transformer-base", **question)
    port = next(t for t in closed.tracks if t.name == "dram read")
    assert port.busy_s > 0.9 * closed.latency_s.value
    replayed = run("optimus", "transformer-base", fidelity="events", **question)
    assert replayed.latency_s.value == pytest.approx(closed.latency_s.value, rel=0.01)
