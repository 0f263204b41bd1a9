"""A Result like a real run's, made from a small schedule so that its sums hold: for tests of the report alone."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field

from hwsim.model import Violation
from hwsim.result import (
    LITERATURE_CHECKED,
    UNVALIDATED,
    DesignValue,
    Interval,
    LayerResult,
    Occupancy,
    Result,
    Roof,
    Slice,
    Track,
)

PS_PER_S = 1e12
CLOCK_HZ = 200e6
DRAM_BITS_PER_S = 4 * 25.6e9 * 8
OPERATORS = {"q_proj": "matmul", "k_proj": "matmul", "v_proj": "matmul", "out_proj": "matmul", "attention": "attention",
             "softmax": "softmax", "linear1": "matmul", "linear2": "matmul", "norm": "norm"}  # fmt: skip
BREAKDOWN_PJ = {"array": 0.9, "weight buffer": 0.4, "index decode": 0.1}
DRAM_PJ_PER_BIT = 4.0
STATIC_W = 0.08


@dataclass
class _Run:
    """The clock of the little machine and what its tracks did so far."""

    now: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    done_ps: int = 0
    slices: list[Slice] = field(default_factory=list)

    def step(self, layer: int, name: str, unit: str, load_ps: int, work_ps: int) -> int:
        """Load ahead, then work, waiting where the load is late; the exposed picoseconds."""
        load_end = self.now["dram read"] + load_ps
        if load_ps:
            self.slices.append(Slice("dram read", name, layer, load_end - load_ps, load_end))
            self.now["dram read"] = load_end
        free = max(self.now[unit], self.done_ps)
        start = max(free, load_end if load_ps else 0)
        if start > free and load_ps:
            self.slices.append(Slice(unit, name, layer, free, start, "stall"))
        self.slices.append(Slice(unit, name, layer, start, start + work_ps))
        self.now[unit] = start + work_ps
        exposed, self.done_ps = start + work_ps - self.done_ps, start + work_ps
        return exposed


def build(blocks: int = 6, turns: int = 4, seed: int = 1, names: tuple[str, ...] = (), feasible: bool = True) -> Result:
    """An encoder of `blocks` blocks, then `turns` decoding passes; `names` replace the first layers' names."""
    rng, run = random.Random(seed), _Run()
    lines: list[tuple[str, str, str]] = []
    for phase in ("encode", "decode"):
        lines += [(f"{phase}r.layers.{b}.{op}", kind, phase) for b in range(blocks) for op, kind in OPERATORS.items()]
    lines.append(("logits", "matmul", "decode"))
    lines = [(names[i] if i < len(names) else name, op, phase) for i, (name, op, phase) in enumerate(lines)]
    totals = [_Totals() for _ in lines]
    for turn in range(-1, turns):
        for i, (name, op, phase) in enumerate(lines):
            if (phase == "encode") == (turn < 0):
                _run_layer(run, totals[i], i, name, op, rows=30 if turn < 0 else 1, rng=rng)
    return _result(run, lines, totals, turns, feasible)


@dataclass
class _Totals:
    passes: int = 0
    macs: int = 0
    bits: int = 0
    busy_ps: int = 0
    exposed_ps: int = 0
    stalled_ps: int = 0


def _run_layer(run: _Run, t: _Totals, i: int, name: str, op: str, rows: int, rng: random.Random) -> None:
    weights = rng.randrange(200_000, 1_000_000) if op == "matmul" else 0
    macs = rows * weights if weights else rows * rng.randrange(100, 40_000)
    bits = weights * 16 // 4
    work_ps = max(macs // 4096, 200) * 5000
    exposed = run.step(i, name, "array" if op in ("matmul", "attention") else "vector",
                       round(bits / DRAM_BITS_PER_S * PS_PER_S), work_ps)  # fmt: skip
    t.passes += 1
    t.macs += macs if op in ("matmul", "attention") else 0
    t.bits += bits
    t.busy_ps += work_ps
    t.exposed_ps += exposed
    t.stalled_ps += exposed - work_ps


def _layer(line: tuple[str, str, str], t: _Totals) -> LayerResult:
    executed = t.macs // 4
    joules = {part: executed * pj / 1e12 for part, pj in BREAKDOWN_PJ.items() if executed}
    joules["dram"] = t.bits * DRAM_PJ_PER_BIT / 1e12
    joules["static"] = STATIC_W * t.exposed_ps / PS_PER_S
    waited = t.stalled_ps > t.busy_ps
    return LayerResult(
        name=line[0], op=line[1], phase=line[2], passes=t.passes, macs=t.macs, macs_executed=executed,
        cycles=round(t.busy_ps / PS_PER_S * CLOCK_HZ), busy_s=t.busy_ps / PS_PER_S, exposed_s=t.exposed_ps / PS_PER_S,
        energy_j=sum(joules.values()), energy_breakdown_j=joules, traffic_bits={"dram": t.bits, "sram": 3 * t.bits},
        bound="dram" if waited else ("array" if line[1] in ("matmul", "attention") else "vector"),
    )  # fmt: skip


def _track(name: str, run: _Run) -> Track:
    spent = {"busy": 0, "stall": 0}
    for s in run.slices:
        if s.track == name:
            spent[s.kind] += s.end_ps - s.start_ps
    idle = run.done_ps - spent["busy"] - spent["stall"]
    return Track(name, spent["busy"] / PS_PER_S, spent["stall"] / PS_PER_S, idle / PS_PER_S)


def _held(run: _Run) -> tuple[Occupancy, ...]:
    ends = [s.end_ps for s in run.slices if s.track == "array"]
    growing = tuple(8_000 * (i + 1) for i in range(len(ends)))
    return (
        Occupancy("sram", 2 * 2**20 * 8, tuple(ends), growing),
        Occupancy("dram", 2**33, (0,), (44_000_000 * 16,)),
    )


DESIGN = (
    DesignValue("macs", 1024, "", "optimus.yaml:5", "reference sheet, table 3", "recalled", 256, 4096),
    DesignValue("clock", 200_000, "kHz", "optimus.yaml:6", "reference sheet, table 3", "recalled", None, None),
    DesignValue("decode_cache", True, "", "--set decode_cache=true", "", "", None, None),
)


def _result(run: _Run, lines: list[tuple[str, str, str]], totals: list[_Totals], turns: int, feasible: bool) -> Result:
    layers = tuple(_layer(line, t) for line, t in zip(lines, totals, strict=True))
    latency_s = run.done_ps / PS_PER_S
    energy: dict[str, float] = defaultdict(float)
    for x in layers:
        for part, joules in x.energy_breakdown_j.items():
            energy[part] += joules
    energy_j = sum(energy.values())
    bits = sum(t.bits for t in totals)
    macs, executed = sum(x.macs for x in layers), sum(x.macs_executed for x in layers)
    held = _held(run)
    short = () if feasible else (Violation("sram holds too little", 3e7, 2e7, "bits", "activation_buffer"),)
    return Result(
        accelerator="optimus", model="optimus", workload="transformer-base",
        binding={"n": 30, "m": turns, "density": 0.25}, fidelity="closed", design=DESIGN,
        feasible=feasible, violations=short,
        cycles=round(latency_s * CLOCK_HZ), clock_hz=CLOCK_HZ,
        latency_s=Interval(latency_s, 0.6 * latency_s, 2.2 * latency_s, (("bind.density", 2.0), ("macs", 1.6))),
        throughput_per_s=turns / latency_s, throughput_unit="tokens/s",
        energy_j=Interval(energy_j, energy_j, energy_j), energy_breakdown_j=dict(energy), power_w=energy_j / latency_s,
        area_mm2=5.2, area_breakdown_mm2={"array": 2.9, "weight buffer": 2.0, "vector": 0.3},
        macs=macs, macs_executed=executed, flops=2 * macs, utilisation=executed / (1024 * CLOCK_HZ * latency_s),
        traffic_bits={"dram": {"read": bits, "write": 0}, "sram": {"read": 2 * bits, "write": bits}},
        memory_peak_bits={o.level: max(o.bits) for o in held},
        memory_capacity_bits={o.level: o.capacity_bits for o in held},
        layers=layers, tracks=tuple(_track(name, run) for name in ("array", "vector", "dram read")),
        roofs=(Roof("array", ops_per_s=2 * 1024 * CLOCK_HZ), Roof("dram", bits_per_s=DRAM_BITS_PER_S)),
        time_to_first_token_s=latency_s / 3, time_per_token_s=latency_s / 2 / turns,
        free_ops={"encoder.view_3": "a view moves no data"},
        notes=("densities are assumed",),
        accuracy={"latency_s": LITERATURE_CHECKED, "": UNVALIDATED},
        provenance={"design": "sha256:1234", "version": "0.1.0"}, slices=tuple(run.slices), occupancy=held,
    )  # fmt: skip
