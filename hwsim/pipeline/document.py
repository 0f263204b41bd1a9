"""What the command says of a system: one JSON document, or lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hwsim.pipeline.explore import Point, front, picked
from hwsim.pipeline.outcome import Outcome, Spread, mean_latency_s, percentile
from hwsim.pipeline.service import Run
from hwsim.pipeline.system import System
from hwsim.report.text import percent, plain, quantity

SHARES = (0.5, 0.95, 0.99)
FIRST_DRIVERS = 4
WORDS = {"throughput_per_s": ("throughput", "frames/s"), "energy_per_frame_j": ("energy a frame", "J"),
         "score": ("contest score", "")}  # fmt: skip
PUBLISHED = {"throughput": "throughput_per_s", "energy": "energy_per_frame_j", "score": "score"}
"""What of the published figures stands beside which of the system's own."""


def document(system: System, result: Outcome, spreads: Mapping[str, Spread], runs: Mapping[str, Run]) -> dict[str, Any]:
    """Every figure of one run, by plain names; units stand in the keys."""
    return {
        "system": system.name,
        "summary": system.summary,
        "choices": {"batch": system.batch, "overlap": system.overlap, "frames": system.frames,
                    "frame_rate_hz": system.frame_rate_hz,
                    **{f"{s.name}.workers": s.workers for s in system.stages},
                    **{f"{s.name}.queue": s.queue for s in system.stages}},
        "frames": result.frames,
        "dropped": result.dropped,
        "duration_s": result.duration_s,
        "throughput_per_s": result.throughput_per_s,
        "latency_mean_s": mean_latency_s(result),
        "latency_s": {f"p{round(100 * share)}": percentile(result.latencies_s, share) for share in SHARES},
        "energy_per_frame_j": result.energy_per_frame_j,
        "power_w": result.power_w,
        "energy_breakdown_j": dict(result.energy_breakdown_j),
        "bound": result.bound,
        "limits_per_s": {x.name: x.frames_per_s for x in result.limits},
        "stages": [{"name": s.name, "workers": s.workers, "busy": s.busy, "waiting": s.waiting, "blocked": s.blocked,
                    "mean_queue": s.mean_queue, "steps": dict(s.steps)} for s in result.stages],
        "intervals": {name: {"value": s.value, "low": s.low, "high": s.high,
                             "drivers": [{"key": k, "ratio": r} for k, r in s.drivers]}
                      for name, s in spreads.items()},
        "accelerators": {key: {"latency_s": run.latency_s.value, "latency_interval_s": [run.latency_s.low,
                               run.latency_s.high], "frames": run.frames, "static_w": run.static_w,
                               "dynamic_j": run.dynamic_j.value, "accuracy": run.accuracy}
                         for key, run in runs.items()},
        "published": {key: value.value for key, value in (system.published or {}).items()},
    }  # fmt: skip


def lines(system: System, result: Outcome, spreads: Mapping[str, Spread], runs: Mapping[str, Run]) -> Iterator[str]:
    """The run for people."""
    overlap = "stages overlapped" if system.overlap else "one batch after another"
    yield f"{plain(system.name)}: {plain(system.summary, 200)}"
    yield f"{result.frames:,} frames, batch {system.batch}, {overlap}"
    if result.dropped:
        yield f"  {'dropped':16} {result.dropped:,} frames found the first queue full"
    yield from _figures(system, spreads)
    p50, p95, p99 = (quantity(percentile(result.latencies_s, share), "s") for share in SHARES)
    yield f"  {'latency':16} {quantity(mean_latency_s(result), 's')} mean, {p50} p50, {p95} p95, {p99} p99"
    yield f"  {'mean power':16} {quantity(result.power_w, 'W')}{_beside(system, 'power', 'W')}"
    yield f"  {'held back by':16} {plain(result.bound)}"
    yield from _stages(result)
    yield from _closest(result)
    total = result.energy_j or 1.0
    yield "energy"
    for name, joules in sorted(result.energy_breakdown_j.items(), key=lambda x: -x[1]):
        each = quantity(joules / max(result.frames, 1), "J")
        yield f"  {plain(name):22} {percent(joules / total):>8}  {each} a frame"
    for key, run in runs.items():
        yield (f"note: {plain(key)} takes {quantity(run.latency_s.value, 's')} for {run.frames} frames "
               f"({plain(run.accuracy) or 'no class'})")  # fmt: skip


def _figures(system: System, spreads: Mapping[str, Spread]) -> Iterator[str]:
    names = {own: key for key, own in PUBLISHED.items()}
    for figure, s in spreads.items():
        title, unit = WORDS[figure]
        beside = _beside(system, names[figure], unit)
        yield f"  {title:16} {_amount(s.value, unit)}{beside}"
        if s.low < s.high:
            drivers = ", ".join(f"{plain(key)} ({ratio:.2f}x)" for key, ratio in s.drivers[:FIRST_DRIVERS])
            yield f"  {'':16} range {_amount(s.low, unit)} to {_amount(s.high, unit)}: {drivers}"


def _amount(value: float, unit: str) -> str:
    return quantity(value, unit) if unit in ("J", "W", "s") else f"{value:.4g} {unit}".rstrip()


def _beside(system: System, key: str, unit: str) -> str:
    found = (system.published or {}).get(key)
    return f"  (published {_amount(found.value, unit)})" if found else ""


def _stages(result: Outcome) -> Iterator[str]:
    yield f"{'stage':16} {'workers':>8} {'busy':>8} {'waits':>8} {'blocked':>8} {'queue':>8}"
    for s in result.stages:
        yield (f"{plain(s.name):16} {s.workers:8} {percent(s.busy):>8} {percent(s.waiting):>8} {percent(s.blocked):>8} "
               f"{s.mean_queue:8.1f}")  # fmt: skip
        if len(s.steps) > 1:
            for name, share in s.steps.items():
                yield f"  {plain(name):14} {'':8} {percent(share):>8}"


def _closest(result: Outcome) -> Iterator[str]:
    yield "alone it would allow"
    for limit in sorted(result.limits, key=lambda x: x.frames_per_s):
        yield f"  {plain(limit.name):22} {limit.frames_per_s:8.4g} frames/s"


# --- sweeps -----------------------------------------------------------------------------------------------------


def sweep_document(system: System, points: Sequence[Point]) -> dict[str, Any]:
    """Every combination, the front and the one picked."""
    return {"system": system.name, "points": [_plain(p) for p in points], "front": [_plain(p) for p in front(points)],
            "picked": _plain(picked(points))}  # fmt: skip


def _plain(point: Point) -> dict[str, Any]:
    return {
        "choices": dict(point.choices), "throughput_per_s": point.throughput_per_s,
        "latency_p95_s": point.latency_p95_s, "energy_per_frame_j": point.energy_per_frame_j, "bound": point.bound,
    }  # fmt: skip


def sweep_lines(system: System, points: Sequence[Point]) -> Iterator[str]:
    """The front for people, fastest first, and the one picked."""
    best = picked(points)
    yield f"{plain(system.name)}: {len(points):,} combinations; those that no other beats in rate, p95 and energy:"
    for p in front(points):
        yield f"{'*' if p is best else ' '} {_line(p)}"
    yield f"picked (within 2 % of the fastest, lowest latency): {_line(best)}"


def _line(p: Point) -> str:
    made = " ".join(f"{key}={value}" for key, value in p.choices.items())
    return (f"{plain(made)}: {p.throughput_per_s:.4g} frames/s, p95 {quantity(p.latency_p95_s, 's')}, "
            f"{quantity(p.energy_per_frame_j, 'J')} a frame, held back by {plain(p.bound)}")  # fmt: skip
