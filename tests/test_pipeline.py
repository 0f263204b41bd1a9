"""Systems against closed forms, a slow twin, queueing theory and the published scores."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.config import load_design
from hwsim.errors import InputError
from hwsim.pipeline.explore import explore, front, grid, picked
from hwsim.pipeline.file import read_system
from hwsim.pipeline.outcome import Outcome, limits, mean_level, outcome, percentile, spreads, steady_rate
from hwsim.pipeline.replay import Record, replay
from hwsim.pipeline.score import contest_score, energy_score
from hwsim.pipeline.service import Run, Services, measured, runs_of
from hwsim.pipeline.system import EXPONENTIAL, LOGNORMAL, UNIFORM, Runs, Stage, Step, System, Value, chosen
from hwsim.simulate import run as simulate
from hwsim.workload.batch import batched
from hwsim.workload.store import load_workload

ROOT = Path(__file__).parent.parent
MS = 10**9
IDEAL = Services({})
DEEP = 10 if os.environ.get("HWSIM_DEEP") else 1


def stage(name: str, ms: float, *, unit_ms: float = 0, **how: Any) -> Stage:
    """A stage of one step that takes `ms` a frame and `unit_ms` a turn."""
    step_keys = {k: how.pop(k) for k in ("uses", "distribution", "spread", "active_power") if k in how}
    step = Step("work", Value.of(unit_ms * MS), Value.of(ms * MS), **step_keys)
    return Stage(name, (step,), **how)


def line(times: Sequence[float], frames: int = 60, **how: Any) -> System:
    """Single workers one after another."""
    stages = tuple(stage(f"s{i}", t, queue=1 + i) for i, t in enumerate(times))
    return System("line", "", frames, stages, **how)


def run(system: System) -> Outcome:
    return outcome(system, IDEAL)


# --- closed forms -----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5))
@settings(max_examples=60 * DEEP, deadline=None)
def test_overlapped_the_slowest_stage_decides_and_serial_the_sum(times: list[int]) -> None:
    overlapped, serial = run(line(times)), run(line(times, overlap=False))
    assert overlapped.throughput_per_s == pytest.approx(1000 / max(times), rel=1e-12)
    assert serial.throughput_per_s == pytest.approx(1000 / sum(times), rel=1e-12)
    assert serial.duration_s == pytest.approx(60 * sum(times) / 1000, rel=1e-12)
    # The first frame passes all stages, the others follow at the pace of the slowest.
    assert overlapped.duration_s == pytest.approx((sum(times) + 59 * max(times)) / 1000, rel=1e-12)


@given(
    times=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 40), st.booleans(), st.integers(1, 4)), min_size=1,
                   max_size=4),
    batch=st.integers(1, 6),
)  # fmt: skip
@settings(max_examples=60 * DEEP, deadline=None)
def test_batches_and_workers(times: list[tuple[int, int, bool, int]], batch: int) -> None:
    """Overlapped: the least of workers * held / turn, short of a round of workers; serial: rounds of turns, summed."""
    stages = tuple(
        stage(f"s{i}", ms, unit_ms=unit, batched=whole, workers=workers, queue=64)
        for i, (ms, unit, whole, workers) in enumerate(times)
    )
    frames = 60 * batch
    system = System("some", "", frames, stages, batch=batch)
    rates, rounds = [], 0
    for ms, unit, whole, workers in times:
        held = batch if whole else 1
        rates.append(1000 * workers * held / (unit + ms * held))
        rounds += math.ceil(batch / (workers * held)) * (unit + ms * held)
    found = run(system)
    assert min(x.frames_per_s for x in limits(system, IDEAL)) == pytest.approx(min(rates), rel=1e-12)
    # Over the 45 batches or so that are counted, the groups of workers at either end are worth a few batches.
    assert found.throughput_per_s == pytest.approx(min(rates), rel=0.15)
    assert found.duration_s >= frames / min(rates) * (1 - 1e-12)
    serial = run(replace(system, overlap=False))
    assert serial.limits[-1].frames_per_s == pytest.approx(1000 * batch / rounds, rel=1e-12)
    assert serial.throughput_per_s == pytest.approx(1000 * batch / rounds, rel=1e-12)
    assert serial.duration_s == pytest.approx(60 * rounds / 1000, rel=1e-12)


def test_what_is_shared_bounds_all_that_use_it() -> None:
    """Two stages of 4 and 6 ms a frame on 2 cores: 10 ms of 2 cores a frame, 200 frames/s, whatever the workers."""
    stages = (stage("a", 4, uses="cores", workers=8, queue=8), stage("b", 6, uses="cores", workers=8, queue=8))
    found = run(System("shared", "", 4000, stages, resources={"cores": 2}))
    assert found.throughput_per_s == pytest.approx(200, rel=5e-3)
    assert found.bound == "the 2 cores"


def test_what_is_shared_serves_a_batch_in_one_turn() -> None:
    """A turn of 8 ms and 1 ms for each of 4 frames: 12 ms of the one core for 4 frames."""
    step = Step("work", unit_time=Value.of(8 * MS), frame_time=Value.of(1 * MS), uses="core")
    system = System("s", "", 80, (Stage("a", (step,), workers=3, batched=True),), batch=4, resources={"core": 1})
    found = run(system)
    assert {x.name: x.frames_per_s for x in found.limits}["the 1 core"] == pytest.approx(4 / 0.012)
    assert found.throughput_per_s == pytest.approx(4 / 0.012)


def test_random_times_and_short_queues_are_named_where_no_limit_is_reached() -> None:
    """Two exponential stages of 10 ms with one frame between them reach two thirds to 85 % of 100 frames/s."""
    stages = tuple(
        Stage(name, (Step("work", frame_time=Value.of(10 * MS), distribution=EXPONENTIAL),), queue=1) for name in "ab"
    )
    found = run(System("random", "", 4000, stages))
    assert 66 < found.throughput_per_s < 85
    assert found.bound == "queues and variation, below stage a"


def test_a_camera_loses_what_nobody_takes() -> None:
    """100 frames/s into 20 ms: half are lost. 25 frames/s: none is, and each takes 20 ms."""
    fast, slow = (run(System("camera", "", 400, (stage("a", 20),), frame_rate_hz=rate)) for rate in (100, 25))
    assert fast.throughput_per_s == pytest.approx(50, rel=1e-9)
    assert fast.frames + fast.dropped == 400
    assert fast.dropped == pytest.approx(200, abs=4)
    assert slow.dropped == 0
    assert set(slow.latencies_s) == {0.02}
    assert slow.bound == "the camera"


# --- a slow twin ------------------------------------------------------------------------------------------------


def twin(record: Record, system: System) -> list[int]:
    """When each frame leaves a line of single workers, by recurrence: a worker starts when the frame is there and the
    frame before has left; a frame leaves when the queue behind has room."""
    lengths = {(t.stage, t.first): t.end_ps - t.start_ps for t in record.turns}
    n, m = system.frames, len(system.stages)
    taken = [[0] * n for _ in range(m)]
    left = [[0] * n for _ in range(m + 1)]  # left[k]: has entered queue k, that is, left stage k - 1
    for i in range(n):
        room = i - system.stages[0].queue
        left[0][i] = taken[0][room] if room >= 0 else 0
        for k in range(m):
            taken[k][i] = max(left[k][i], left[k + 1][i - 1] if i else 0)
            ended = taken[k][i] + lengths[k, i]
            room = i - system.stages[k + 1].queue if k + 1 < m else -1
            left[k + 1][i] = max(ended, taken[k + 1][room] if room >= 0 else 0)
    return left[m]


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 4), st.sampled_from([EXPONENTIAL, LOGNORMAL, UNIFORM])),
             min_size=1, max_size=5),
    st.integers(0, 1000),
)  # fmt: skip
@settings(max_examples=100 * DEEP, deadline=None)
def test_lines_equal_the_twin_to_the_picosecond(shape: list[tuple[int, int, str]], seed: int) -> None:
    stages = tuple(
        stage(f"s{i}", ms, queue=queue, distribution=kind, spread=0.0 if kind == EXPONENTIAL else 0.9)
        for i, (ms, queue, kind) in enumerate(shape)
    )
    system = System("line", "", 80, stages, seed=seed)
    record = replay(system, IDEAL)
    assert record.done_ps == twin(record, system)


# --- queueing theory --------------------------------------------------------------------------------------------


def test_poisson_arrivals_at_constant_service() -> None:
    """M/D/1: exponential work that never waits makes arrivals Poisson; the mean wait is rho / (2 mu (1 - rho))."""
    stages = (stage("source", 10, distribution=EXPONENTIAL), stage("server", 7, queue=10_000))
    record = replay(System("md1", "", 20_000, stages, seed=3), IDEAL)
    waits = [b - a for a, b in zip(record.queued_ps[1], record.taken_ps[1], strict=True)]
    expected_ms = 0.7 * 7 / (2 * (1 - 0.7))
    assert sum(waits) / len(waits) / MS == pytest.approx(expected_ms, rel=0.05)


def test_regular_arrivals_at_exponential_service() -> None:
    """D/M/1: the mean time in the system is 1 / (mu (1 - s)) with s = exp(-mu (1 - s) / lambda)."""
    share = 0.5
    for _ in range(200):
        share = math.exp(-(1 - share) / 0.7)
    server = stage("server", 7, distribution=EXPONENTIAL, queue=10_000)
    found = run(System("dm1", "", 20_000, (server,), frame_rate_hz=100, seed=5))
    assert found.dropped == 0
    assert sum(found.latencies_s) / len(found.latencies_s) == pytest.approx(0.007 / (1 - share), rel=0.05)


SYSTEMS = st.builds(
    lambda shape, batch, overlap, rate, seed: System(
        "random", "", 90,
        tuple(
            stage(f"s{i}", ms, unit_ms=3, batched=whole, workers=workers, queue=queue, distribution=kind,
                  uses="cores" if uses else "", active_power=Value.of(2.0))
            for i, (ms, workers, queue, whole, kind, uses) in enumerate(shape)
        ),
        batch=batch, overlap=overlap, frame_rate_hz=rate, seed=seed, resources={"cores": 2}, base_power=Value.of(5.0),
    ),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4), st.integers(1, 9), st.booleans(),
                       st.sampled_from(["fixed", EXPONENTIAL]), st.booleans()), min_size=1, max_size=4),
    st.integers(1, 7), st.booleans(), st.sampled_from([0.0, 30.0, 500.0]), st.integers(0, 99),
)  # fmt: skip


@given(SYSTEMS)
@settings(max_examples=120 * DEEP, deadline=None)
def test_littles_law_and_conservation(system: System) -> None:
    """Frames waiting, averaged over time, are their waits over the time; every frame is served once or lost whole."""
    found = run(system)
    record = found.record
    came = [i for i in range(system.frames) if record.done_ps[i] >= 0]
    assert len(came) == found.frames == system.frames - found.dropped
    assert system.frame_rate_hz or found.dropped == 0
    for k, s in enumerate(system.stages):
        turns = [t for t in record.turns if t.stage == k]
        assert sum(t.frames for t in turns) == len(came)
        assert all(1 <= t.frames <= system.units(s) for t in turns)
        waits = sum(record.taken_ps[k][i] - record.queued_ps[k][i] for i in came)
        assert mean_level(record, k) * record.end_ps == pytest.approx(waits, rel=1e-9, abs=1)
        assert (
            max((e.frames for e in record.levels if e.stage == k and (system.overlap or k == 0)), default=0) <= s.queue
        )
        share = found.stages[k]
        assert share.busy + share.waiting + share.blocked <= 1 + 1e-9
    _no_worker_does_two_things(record)
    _at_most_at_once(record, [t for t in record.turns if system.stages[t.stage].steps[t.step].uses], 2)


def _no_worker_does_two_things(record: Record) -> None:
    for _, mine in itertools.groupby(sorted(record.turns, key=lambda t: (t.stage, t.worker, t.start_ps)),
                                     key=lambda t: (t.stage, t.worker)):  # fmt: skip
        for a, b in itertools.pairwise(mine):
            assert a.end_ps <= b.asked_ps <= b.start_ps


def _at_most_at_once(record: Record, turns: Sequence[Any], most: int) -> None:
    changes = sorted([(t.start_ps, 1) for t in turns if t.end_ps > t.start_ps]
                     + [(t.end_ps, -1) for t in turns if t.end_ps > t.start_ps])  # fmt: skip
    assert max(itertools.accumulate(c for _, c in changes), default=0) <= most


@given(SYSTEMS)
@settings(max_examples=60 * DEEP, deadline=None)
def test_energy_is_power_over_time(system: System) -> None:
    found = run(system)
    busy_s = sum(s.busy * s.workers * found.duration_s for s in found.stages)
    assert found.energy_j == pytest.approx(5.0 * found.duration_s + 2.0 * busy_s, rel=1e-9)


@given(SYSTEMS)
@settings(max_examples=40 * DEEP, deadline=None)
def test_a_batch_after_another_keeps_the_order_of_batches(system: System) -> None:
    """Without overlap no batch enters before the one before it has left."""
    system = replace(system, overlap=False, frame_rate_hz=0.0)
    record = replay(system, IDEAL)
    first, last = record.taken_ps[0], record.done_ps
    groups = [range(g, min(g + system.batch, system.frames)) for g in range(0, system.frames, system.batch)]
    by_entry = sorted(range(system.frames), key=lambda i: (first[i], i))
    for a, b in itertools.pairwise(groups):
        assert max(last[by_entry[i]] for i in a) <= min(first[by_entry[i]] for i in b)


def test_the_same_seed_gives_the_same_run_and_another_gives_another() -> None:
    system = System("same", "", 100, (stage("a", 5, distribution=EXPONENTIAL), stage("b", 5, distribution=LOGNORMAL,
                                                                                     spread=0.5)))  # fmt: skip
    assert replay(system, IDEAL) == replay(system, IDEAL)
    assert replay(system, IDEAL) != replay(replace(system, seed=2), IDEAL)


@pytest.mark.parametrize(("kind", "spread", "deviation"), [(UNIFORM, 0.6, 0.6 / 3**0.5), (LOGNORMAL, 0.5, 0.5),
                                                           (EXPONENTIAL, 0.0, 1.0)])  # fmt: skip
def test_distributions_have_their_mean_and_spread(kind: str, spread: float, deviation: float) -> None:
    record = replay(System("d", "", 20_000, (stage("a", 10, distribution=kind, spread=spread),)), IDEAL)
    lengths = [(t.end_ps - t.start_ps) / (10 * MS) for t in record.turns]
    mean = sum(lengths) / len(lengths)
    assert mean == pytest.approx(1, rel=0.03)
    assert math.sqrt(sum((x - mean) ** 2 for x in lengths) / len(lengths)) == pytest.approx(deviation, rel=0.05)


def test_percentiles_and_rates_by_hand() -> None:
    values = [float(v) for v in range(1, 101)]
    assert [percentile(values, s) for s in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert (percentile([], 0.5), percentile([7.0], 0.01)) == (0.0, 7.0)
    assert steady_rate([10**12 * (1 + i // 4) for i in range(16)], 4) == 4.0
    assert steady_rate([5 * 10**11], 4) == 2.0
    assert steady_rate([], 4) == 0.0


# --- accelerators -----------------------------------------------------------------------------------------------


def test_a_run_takes_its_time_and_its_energy() -> None:
    """Batches of 4 on an accelerator of 2 frames a run: two runs of 10 ms and 30 mJ; 8 W all the time, counted once."""
    ran = Run(Value(0.010, 0.005, 0.020), Value(0.030, 0.010, 0.050), 8.0, 2, "unvalidated", ("chip", ()))
    steps = (Step("one", runs=Runs("chip", "net", frames=2)), Step("two", runs=Runs("chip", "net", frames=2)))
    system = System("s", "", 40, (Stage("a", steps, batched=True),), batch=4)
    services = Services({"a.one": ran, "a.two": ran})
    found = outcome(system, services)
    assert found.throughput_per_s == pytest.approx(4 / 0.040)
    assert found.energy_j == pytest.approx(10 * 4 * 0.030 + 8 * 0.400)
    spread = spreads(system, services, found)["throughput_per_s"]
    assert (spread.low, spread.value, spread.high) == pytest.approx((50, 100, 200))
    assert spread.drivers == (("accelerator", pytest.approx(4.0)),)


def test_nothing_takes_no_time_and_no_energy(tmp_path: Path) -> None:
    """Times and powers of zero are answered: no limits, no score, JSON without infinities."""
    path = written(
        tmp_path,
        """
system: nothing
summary: nothing
frames: 5
base_power: {value: 1 W, range: [0 W, 2 W], evidence: assumed, source: a guess}
resources: {cores: 1}
contest: {iou: 0.5, reference_energy: 1 J, base: 2}
stages:
  - {name: a, steps: [{name: b, frame_time: 0 s}]}
""",
    )
    found = run(read_system(path))
    assert (found.limits, found.bound, found.duration_s, found.frames) == ((), "nothing", 0.0, 5)
    for text in (path.read_text(), path.read_text().replace("0 s}", "1 ms}")):
        path.write_text(text)
        done = hwsim("system", path, "--json", "--report", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["frames"] == 5


def test_what_a_run_adds_to_static_power_makes_up_its_energy() -> None:
    asked = Runs("jetson-tx2", "mobilenet-v1-0.25-128", batched=True)
    network = batched(load_workload("mobilenet-v1-0.25-128"), 8)
    alone, ran = simulate("jetson-tx2", network), measured(asked, 8)
    for end in ("low", "value", "high"):
        assert getattr(ran.latency_s, end) == getattr(alone.latency_s, end)
    assert ran.static_w == load_design("jetson-tx2").design.idle_power_w
    assert ran.dynamic_j.value + ran.static_w * ran.latency_s.value == pytest.approx(alone.energy_j.value)
    assert 0 < ran.dynamic_j.low < ran.dynamic_j.value < ran.dynamic_j.high


def test_a_design_that_cannot_run_the_network_is_named() -> None:
    asked = Runs("jetson-tx2", "mobilenet-v1-1.0-224", ("memory=1 MiB",))
    with pytest.raises(InputError, match=r"jetson-tx2 cannot run mobilenet-v1-1\.0-224"):
        measured(asked, 1)


def test_intervals_hold_the_ends_of_every_input() -> None:
    system = line([10, 20])
    step = replace(system.stages[1].steps[0], frame_time=Value(20 * MS, 5 * MS, 40 * MS))
    system = replace(system, stages=(system.stages[0], replace(system.stages[1], steps=(step,))))
    found = spreads(system, IDEAL, run(system))["throughput_per_s"]
    assert (found.low, found.value, found.high) == pytest.approx((25, 50, 100))
    assert found.drivers[0][0] == "s1.work.frame_time"


# --- the contest ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("iou", "fps", "power", "score"),
    [(0.716, 25.05, 7.260, 1.526), (0.615, 50.91, 9.248, 1.394), (0.553, 55.13, 6.685, 1.318)],
)
def test_the_score_of_the_published_fpga_entries(iou: float, fps: float, power: float, score: float) -> None:
    assert contest_score(iou, power / fps, 0.4575, 2) == pytest.approx(score, rel=1e-3)


def test_the_score_of_skynet_on_both_boards() -> None:
    joules = [7.260 / 25.05, 13.50 / 67.33]
    assert joules == pytest.approx([0.2898, 0.2005], rel=1e-3)
    assert contest_score(0.731, 0.2005, 0.389, 10) == pytest.approx(1.504, rel=1e-3)
    assert energy_score(0.4575, 0.4575, 2) == 1
    assert energy_score(1e9, 0.4575, 2) == 0


# --- choices ----------------------------------------------------------------------------------------------------


def test_a_sweep_tries_every_combination_and_keeps_what_nothing_beats() -> None:
    stages = (stage("a", 8, workers=1, queue=16), stage("b", 1, unit_ms=12, batched=True, queue=16))
    points = explore(System("s", "", 320, stages), dict(map(grid, ("batch=1,4,16", "a.workers=1,2,4",
                                                                    "overlap=true,false"))))  # fmt: skip
    assert len(points) == 18
    kept = front(points)
    for p in points:
        assert p in kept or any(q.dominates(p) or q.costs == p.costs for q in kept)
    assert not any(p.dominates(q) for p in kept for q in kept)
    best = picked(points)
    # 4 workers at 8 ms give 500 frames/s; a batch of 16 takes 28 ms, 571 frames/s.
    assert best.choices == {"batch": "16", "a.workers": "4", "overlap": "true"}
    assert best.throughput_per_s == pytest.approx(500, rel=0.02)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("bach", "4", "no such choice. Did you mean batch"),
        ("batch", "0", "an integer from 1 to 4096"),
        ("batch", "many", "an integer from 1 to 4096"),
        ("s0.workers", "9" * 50, "an integer from 1 to 1024"),
        ("overlap", "yes", "must be true or false"),
        ("s9.queue", "4", "no such choice"),
        ("frame_rate", "30", "a unit is needed"),
        ("frame_rate", "-1 Hz", "must be 0 Hz, or from"),
        ("frame_rate", "1e-300 Hz", "must be 0 Hz, or from 1e-06 to 1e+09 Hz"),
    ],
)
def test_a_wrong_choice_is_named(key: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as bad:
        chosen(line([1, 2]), key, text)
    assert message in str(bad.value).replace("\n", " ")


def test_too_much_is_refused_before_it_starts() -> None:
    with pytest.raises(InputError, match="at most 20000000 events"):
        replay(line([1, 2], frames=5_000_000), IDEAL)
    with pytest.raises(InputError, match="at most 10000 combinations"):
        explore(line([1]), {"batch": ["1"] * 200, "frames": ["1"] * 200})
    with pytest.raises(InputError, match="KEY=VALUE"):
        grid("batch")


# --- files ------------------------------------------------------------------------------------------------------

GOOD = """
system: small
summary: two stages
frames: 40
batch: 4
resources: {cores: 2}
base_power: {value: 3 W, evidence: assumed, source: guess, range: [2 W, 4 W]}
stages:
  - name: read
    workers: 2
    steps:
      - {name: file, frame_time: 5 ms, uses: cores}
  - name: think
    batched: true
    queue: 8
    steps:
      - {name: prepare, unit_time: 2 ms, distribution: uniform, spread: 0.5}
      - {name: net, accelerator: jetson-tx2, workload: mobilenet-v1-0.25-128, batched: true, set: {fuse: true}}
contest: {iou: 0.7, reference_energy: 0.4 J, base: 2}
published: {throughput: 100 Hz, power: 5 W, energy: 50 mJ, score: 1.5}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "some.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_as_written(tmp_path: Path) -> None:
    system = read_system(written(tmp_path, GOOD))
    assert (system.frames, system.batch, system.overlap, system.resources) == (40, 4, True, {"cores": 2})
    assert (system.base_power.low, system.base_power.value, system.base_power.high) == (2, 3, 4)
    read, think = system.stages
    assert (read.workers, read.queue, read.batched, think.queue, think.batched) == (2, 2, False, 8, True)
    assert read.steps[0].frame_time.value == 5 * MS
    assert think.steps[1].runs == Runs("jetson-tx2", "mobilenet-v1-0.25-128", ("fuse=true",), (), 1, True)
    services = Services(runs_of(system))
    found = outcome(system, services)
    assert found.frames == 40
    assert found.throughput_per_s <= min(x.frames_per_s for x in found.limits) * 1.05


BAD = [
    ("frames: 40", "frames: 0", "an integer from 1 to"),
    ("frames: 40", "frames: 4 ms", "an integer from 1 to"),
    ("batch: 4", "bach: 4", "Did you mean batch"),
    ("5 ms, uses", "5, uses", "a unit is needed"),
    ("5 ms, uses", "5 mW, uses", "must have one of these units"),
    ("5 ms, uses", "-5 ms, uses", "must be from 0"),
    ("uses: cores}", "uses: coers}", "Did you mean cores"),
    ("resources: {cores: 2}", "seed: 1", "the system has no resources"),
    ("name: think", "name: read", "another one has this name"),
    ("name: think", "name: a.b", "a name has no dot"),
    ("frame_time: 5 ms, uses: cores", "uses: cores", "a step takes time"),
    ("spread: 0.5", "spread: 1.5", "a number from 0 to 1"),
    ("uniform, spread", "exponential, spread", "no spread of its own"),
    ("distribution: uniform", "distribution: normal", "must be one of fixed, uniform"),
    ("accelerator: jetson-tx2, ", "", "workload is about an accelerator"),
    ("workload: mobilenet-v1-0.25-128, ", "", "an accelerator needs the key workload"),
    ("batched: true, set", "batched: true, run_frames: 2, set", "takes the whole batch"),
    ("[2 W, 4 W]", "[4 W, 5 W]", "must hold the value"),
    ("evidence: assumed, ", "", "needs the key evidence"),
    ("base: 2", "base: 1", "is above 1"),
    ("reference_energy: 0.4 J", "reference_energy: 0 J", "above 0 J"),
    ("stages:", "stages: []\nstage:", "there are 1 to 32 stages"),
    ("frames: 40", "frames: 40\nframe_rate: 1e-300 Hz", "must be 0 Hz, or from 1e-06"),
    ("frames: 40", "frames: 40\nframe_rate: 2e9 Hz", "to 1e+09 Hz"),
    ("  - name: think\n", "  - {name: idle, steps: null}\n  - name: think\n", "steps is a list"),
    ("queue: 8", "queue: 1.5", "an integer from 1 to"),
    ("throughput: 100 Hz", "thruput: 100 Hz", "Did you mean throughput"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[new[:30] for _, new, _ in BAD])
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as bad:
        read_system(written(tmp_path, GOOD.replace(old, new, 1)))
    assert message in str(bad.value)
    assert all(p.where.line > 0 for p in bad.value.problems)


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    text = GOOD.replace("frames: 40", "frames: 0").replace("uses: cores}", "uses: disk}").replace("base: 2", "base: 0")
    with pytest.raises(InputError) as bad:
        read_system(written(tmp_path, text))
    assert len(bad.value.problems) >= 3


# --- the command ------------------------------------------------------------------------------------------------


def hwsim(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hwsim", *map(str, arguments)], capture_output=True, text=True,
                          check=False)  # fmt: skip


def test_the_command_answers_in_json_and_writes_a_report(tmp_path: Path) -> None:
    done = hwsim("system", written(tmp_path, GOOD), "--json", "--report", tmp_path / "out", "--set", "think.workers=2")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["choices"]["think.workers"] == 2
    assert told["intervals"]["throughput_per_s"]["low"] <= told["throughput_per_s"]
    assert told["latency_s"]["p50"] <= told["latency_s"]["p95"] <= told["latency_s"]["p99"]
    assert json.loads((tmp_path / "out" / "system.json").read_text()) == told
    assert len((tmp_path / "out" / "frames.csv").read_text().splitlines()) == 41
    tags = {e.tag.rpartition("}")[2] for e in ET.parse(tmp_path / "out" / "timeline.svg").iter()}
    assert {"svg", "rect", "text"} <= tags
    assert tags.isdisjoint({"script", "foreignObject", "image"})


def test_a_report_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept", tmp_path / "out"
    kept.write_text("mine")
    out.mkdir()
    (out / "system.json").symlink_to(kept)
    plain = GOOD.replace("      - {name: net", "#")
    assert hwsim("system", written(tmp_path, plain), "--report", out).returncode == 0
    assert kept.read_text() == "mine"
    assert json.loads((out / "system.json").read_text())["system"] == "small"
    assert sorted(p.name for p in out.iterdir()) == ["frames.csv", "system.json", "timeline.svg"]


def test_the_command_tells_mistakes_as_all_commands_do(tmp_path: Path) -> None:
    good = written(tmp_path, GOOD)
    for arguments, message in (
        ((good, "--set", "batch"), "must read KEY=VALUE"),
        ((good, "--sweep", "batch=1", "--sweep", "batch=2"), "swept twice"),
        ((good, "--sweep", "batch=1", "--report", tmp_path), "Drop one of the two"),
        ((tmp_path / "none.yaml",), "none.yaml"),
        ((good, "--report", good / "in"), "can't be written"),
    ):
        done = hwsim("system", *arguments)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
    strange = tmp_path / "strange.yaml"
    strange.write_text(GOOD.replace("jetson-tx2", "jetson-tx3"))
    done = hwsim("system", strange)
    assert (done.returncode, "jetson-tx3" in done.stderr) == (2, True)


BUSY_S = 1.2
"""Processor time after which the command is past its imports and far from its end, however loaded the machine is."""


def cpu_s(pid: int) -> float:
    """Seconds of processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_interrupt_ends_it_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("frames: 40", "frames: 500000"))
    with subprocess.Popen([sys.executable, "-m", "hwsim", "system", str(path)], stderr=subprocess.PIPE, text=True,
                          stdout=subprocess.PIPE) as started:  # fmt: skip
        while cpu_s(started.pid) < BUSY_S:
            time.sleep(0.05)
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=10)
    assert (started.returncode, out, err.strip()) == (130, "", "interrupted")


# --- the shipped systems ----------------------------------------------------------------------------------------

TX2 = ROOT / "systems" / "skynet_tx2.yaml"
SHIPPED = sorted((ROOT / "systems").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_shipped_system_says_where_its_numbers_are_from(path: Path) -> None:
    system = read_system(path)
    assert system.name == path.stem.replace("_", "-")
    for s in system.stages:
        for step in s.steps:
            for value in (step.unit_time, step.frame_time, step.active_power):
                assert value.value == 0 or (value.evidence and value.source), f"{s.name}.{step.name}"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_the_published_rate_lies_in_the_interval(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is fitted: the intervals are those of unknown times and powers."""
    system = replace(read_system(path), frames=160)
    services = Services(runs_of(system))
    found = spreads(system, services, outcome(system, services))
    rate, energy = found["throughput_per_s"], found["energy_per_frame_j"]
    published = system.published or {}
    with capsys.disabled():
        print(f"\n{system.name}: {rate.value:.1f} frames/s ({rate.low:.1f} to {rate.high:.1f}), published "
              f"{published['throughput'].value:.2f}; {energy.value:.3f} J ({energy.low:.3f} to {energy.high:.3f}), "
              f"published {published['energy'].value:.4f}")  # fmt: skip
    assert rate.low < published["throughput"].value < rate.high


def test_a_camera_in_place_of_files() -> None:
    """At 30 frames/s nothing is lost and a frame waits for its batch to fill; at 500 the queue overflows."""
    system = chosen(chosen(read_system(TX2), "frames", "320"), "batch", "4")
    calm, wild = (chosen(system, "frame_rate", rate) for rate in ("30 Hz", "500 Hz"))
    services = Services(runs_of(system))
    assert outcome(calm, services).dropped == 0
    assert outcome(calm, services).throughput_per_s == pytest.approx(30, rel=0.02)
    assert outcome(wild, services).dropped > 50


def test_a_sweep_finds_what_the_paper_did_by_hand() -> None:
    """Overlap, a large batch, more than one worker; the hand's choice is as good as the best."""
    system = replace(read_system(TX2), frames=640)
    by_hand = outcome(system, Services(runs_of(system)))
    axes = dict(map(grid, ("batch=1,8,32,64", "load.workers=1,2,10", "overlap=true,false")))
    points = explore(system, axes)
    best = picked(points)
    assert best.choices["overlap"] == "true"
    assert int(best.choices["batch"]) >= 16
    assert int(best.choices["load.workers"]) > 1
    assert by_hand.throughput_per_s >= 0.98 * max(p.throughput_per_s for p in points)
    serial = next(p for p in points if list(p.choices.values()) == ["1", "1", "false"])
    assert 2 < by_hand.throughput_per_s / serial.throughput_per_s < 6
