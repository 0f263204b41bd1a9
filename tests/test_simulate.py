"""The engine's four steps against arithmetic done by hand, and the promises a Result makes."""

import dataclasses
import itertools
import math
from fractions import Fraction

import pytest

from hwsim.config import load_design
from hwsim.errors import InputError
from hwsim.simulate import resolve_binding, run
from hwsim.testing import matmul_chain
from hwsim.workload.store import load_workload

SMALL = {"n": 4, "m": 3}


def by_hand_s(rows: int, widths: tuple[int, ...], design: object) -> float:
    """Roofline latency of linear layers and ReLUs whose data fit the cache, from the roofline's definition."""
    clock_hz = Fraction(design.clock_khz) * 1000
    launch = Fraction(design.launch_ns) / 10**9
    total = Fraction(0)
    for i, (k, n) in enumerate(itertools.pairwise(widths)):
        macs_per_s = clock_hz * design.macs_per_cycle * Fraction(design.matmul_ceiling_percent, 100)
        bits_per_s = Fraction(design.memory_bandwidth_bits_per_s) * Fraction(design.bandwidth_ceiling_percent, 100)
        total += launch + max(rows * k * n / macs_per_s, n * k * 32 / bits_per_s)
        if i < len(widths) - 2:
            ops_per_s = clock_hz * design.vector_ops_per_cycle * Fraction(design.vector_ceiling_percent, 100)
            total += launch + rows * n / ops_per_s
    return float(total)


@pytest.mark.parametrize("name", ["i7-6900k", "titan-xp"])
@pytest.mark.parametrize(("rows", "widths"), [(1, (512, 512, 512)), (64, (256, 1024, 256)), (3, (7, 11, 13, 5))])
def test_a_chain_of_layers_takes_what_the_roofline_says(name: str, rows: int, widths: tuple[int, ...]) -> None:
    file = load_design(name)
    got = run(file, matmul_chain("chain", rows, widths), interval=False).latency_s.value
    ops = 2 * len(widths) - 3
    cycle = 1 / (file.design.clock_khz * 1e3)
    assert got == pytest.approx(by_hand_s(rows, widths, file.design), abs=4 * ops * cycle, rel=2e-3)


@pytest.mark.parametrize(("rows", "bound"), [(1, "dram"), (512, "core")])
def test_a_roofline_names_the_roof_that_bounds(rows: int, bound: str) -> None:
    """On an i7-6900k 512 x 1024 x 1024 MACs take 22 times as long as their weights; for one row it is the reverse."""
    result = run("i7-6900k", matmul_chain("chain", rows, (1024, 1024)), interval=False)
    assert [layer.bound for layer in result.layers] == [bound]


def test_a_replayed_value_lies_in_its_interval() -> None:
    """Refreshes placed one by one may end a little before the closed form's average, with nothing else uncertain."""
    file = load_design("optimus", ["dram=ddr4-2400"])
    values = tuple(dataclasses.replace(v, low=None, high=None) for v in file.values)
    for rows in (1, 2, 5):
        chain = matmul_chain("chain", rows, (256, 256))
        result = run(dataclasses.replace(file, values=values), chain, fidelity="events")
        closed = run(dataclasses.replace(file, values=values), chain)
        assert result.latency_s.value < closed.latency_s.value
        assert result.latency_s.low <= result.latency_s.value <= result.latency_s.high
        assert result.energy_j.low <= result.energy_j.value <= result.energy_j.high


def test_tokens_partition_the_latency() -> None:
    result = run("i7-6900k", "transformer-base", bind=SMALL, interval=False)
    first, each = result.time_to_first_token_s, result.time_per_token_s
    assert first is not None and each is not None
    assert first + (SMALL["m"] - 1) * each == pytest.approx(result.latency_s.value)
    assert result.throughput_per_s == pytest.approx(SMALL["m"] / result.latency_s.value)
    assert result.throughput_unit == "tokens/s"


def test_prefill_yields_the_first_token_and_decoding_the_rest() -> None:
    result = run("i7-6900k", "gpt2-small", bind={"n": 16, "m": 4}, interval=False)
    prompt = run("i7-6900k", "gpt2-small", bind={"n": 16, "m": 1}, interval=False)
    assert result.time_to_first_token_s == pytest.approx(prompt.latency_s.value)
    assert result.throughput_per_s == pytest.approx(4 / result.latency_s.value)


def test_one_token_has_no_time_per_token() -> None:
    result = run("i7-6900k", "transformer-base", bind={"n": 4, "m": 1}, interval=False)
    assert result.time_to_first_token_s == pytest.approx(result.latency_s.value)
    assert result.time_per_token_s is None


def test_the_interval_is_that_of_every_corner(tmp_path: object) -> None:
    """With three uncertain inputs, the latency interval is that of all 3^3 combinations of their ends, and the energy
    interval theirs again at the ends of the DRAM's energies."""
    chain = matmul_chain("chain", 8, (256, 512, 64))
    pinned = {
        "clock": ("3200 MHz", "3700 MHz"), "launch": ("1 us", "15 us"), "bandwidth_ceiling_percent": ("65", "90"),
    }  # fmt: skip
    others = ["matmul_ceiling_percent=85", "vector_ceiling_percent=25", "idle_power=15 W"]
    nominal = {"clock": "3200 MHz", "launch": "5 us", "bandwidth_ceiling_percent": "80"}
    free = run("i7-6900k", chain, overrides=others)
    latencies, energies = [], []
    for choice in itertools.product(*((*ends, nominal[key]) for key, ends in pinned.items())):
        texts = [f"{k}={v}" for k, v in zip(pinned, choice, strict=True)]
        one = run("i7-6900k", chain, overrides=others + texts)
        latencies.append(one.latency_s.value)
        energies += [one.energy_j.low, one.energy_j.high]
    assert free.latency_s.low == pytest.approx(min(latencies))
    assert free.latency_s.high == pytest.approx(max(latencies))
    assert free.energy_j.low == pytest.approx(min(energies))
    assert free.energy_j.high == pytest.approx(max(energies))
    assert {key for key, _ in free.latency_s.drivers} <= set(pinned)


def test_climbing_only_widens_the_interval_and_finds_inputs_that_interact() -> None:
    """On OPTIMUS the window, the rate and the sets stall together, which no corner of single moves shows."""
    corners = run("optimus", "transformer-base", bind=SMALL)
    climbed = run("optimus", "transformer-base", bind=SMALL, climb=True)
    assert climbed.latency_s.low <= corners.latency_s.low
    assert climbed.latency_s.high > corners.latency_s.high
    assert climbed.energy_j.low <= corners.energy_j.low and climbed.energy_j.high >= corners.energy_j.high
    beyond = ["dram_channels=1", "rate=1", "sets=8", "accumulators=8192", "vector_pipeline_cycles=16"]
    seen = run("optimus", "transformer-base", bind={**SMALL, "density": 0.5}, overrides=beyond, interval=False)
    assert climbed.latency_s.high >= seen.latency_s.value


def test_a_binding_takes_its_symbol_out_of_the_interval() -> None:
    free = run("optimus", "transformer-base", bind=SMALL)
    bound = run("optimus", "transformer-base", bind={**SMALL, "density": 0.25})
    assert "bind.density" in dict(free.latency_s.drivers)
    assert "bind.density" not in dict(bound.latency_s.drivers)
    assert free.latency_s.low <= bound.latency_s.low <= bound.latency_s.high <= free.latency_s.high


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"n": 0}, "--bind n=0: [range] n: got 0; must be from 1 to 4096. Bind it: --bind n=NUMBER."),
        ({"n": 1.5}, "--bind n=1.5: [type] n: got 1.5; must be a whole number. Bind it: --bind n=NUMBER."),
        (
            {"q": 3},
            "--bind q=3: [unknown-symbol] q: got 3; the workload transformer-base has no such symbol (it has: n, m, "
            "density). Leave it out or correct its name.",
        ),
    ],
)
def test_a_bad_binding_is_one_clear_message(given: dict[str, float], text: str) -> None:
    with pytest.raises(InputError) as error:
        resolve_binding(load_workload("transformer-base"), given)
    assert str(error.value) == text


def test_all_bad_bindings_are_told_at_once() -> None:
    with pytest.raises(InputError) as error:
        resolve_binding(load_workload("transformer-base"), {"n": 0, "m": 9999, "x": 1})
    assert len(error.value.problems) == 3


def test_a_run_on_masks_names_them_by_hash() -> None:
    plain = run("i7-6900k", "transformer-base", bind=SMALL, interval=False)
    masked = run("i7-6900k", "minilm-l6", interval=False)
    assert "masks_sha256" not in plain.provenance
    assert len(masked.provenance["masks_sha256"]) == 64


def test_events_are_never_faster_than_the_closed_form() -> None:
    """How far the replay, with contention and each refresh where it falls, is from the closed form; printed."""
    for design in ("optimus", "optimus-baseline", "i7-6900k"):
        closed = run(design, "transformer-base", bind=SMALL, interval=False)
        events = run(design, "transformer-base", bind=SMALL, interval=False, fidelity="events")
        print(f"{design}: events {events.latency_s.value / closed.latency_s.value - 1:+.2%} of the closed form")
        # Refresh is part of both; where it falls is only known to the replay, so allow one refresh of difference.
        assert events.latency_s.value >= closed.latency_s.value * 0.99
        assert events.latency_s.value <= closed.latency_s.value * 1.10


def test_every_figure_is_finite_and_the_document_is_plain_json() -> None:
    import json

    result = run("optimus", "transformer-base", bind=SMALL)
    document = json.loads(json.dumps(result.as_json(), allow_nan=False))
    keys = """schema_version accelerator workload design feasible violations cycles clock_hz latency_s throughput_per_s
        energy_j energy_breakdown_j power_w area_mm2 macs macs_executed flops utilisation traffic_bits memory_peak_bits
        layers time_to_first_token_s time_per_token_s provenance"""
    for key in keys.split():
        assert key in document, key
    assert math.isfinite(document["latency_s"]) and document["latency_s"] > 0
    assert {"name", "op", "phase", "cycles", "exposed_s", "energy_j", "macs", "bound"} <= set(document["layers"][0])


def test_slices_of_a_track_do_not_overlap_and_sum_to_it() -> None:
    result = run("optimus", "transformer-base", bind=SMALL, interval=False)
    for track in result.tracks:
        mine = sorted((s.start_ps, s.end_ps, s.kind) for s in result.slices if s.track == track.name)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(mine))
        busy = sum(end - start for start, end, kind in mine if kind == "busy")
        assert busy / 1e12 == pytest.approx(track.busy_s)


@pytest.mark.parametrize("fidelity", ["closed", "events"])
def test_the_frontier_tiles_the_latency_and_sums_to_the_cycles(fidelity: str) -> None:
    result = run("optimus", "transformer-base", bind=SMALL, interval=False, fidelity=fidelity)
    assert result.frontier[0].start_ps == 0
    assert all(a.end_ps == b.start_ps for a, b in itertools.pairwise(result.frontier))
    total = sum(s.end_ps - s.start_ps for s in result.frontier)
    assert total == round(result.latency_s.value * 1e12)
    assert round(total * result.clock_hz / 1e12) == result.cycles
