"""What a run answers: every figure with its unit in its name, its breakdowns, and where it came from.

Nothing here computes a model's numbers; `hwsim.simulate` fills a Result and everything else reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hwsim.model import Violation

SCHEMA_VERSION = 1

RTL_VALIDATED = "RTL-validated"
LITERATURE_CHECKED = "literature-checked"
UNVALIDATED = "unvalidated"


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the range it was seen in while every uncertain input moved through its own range.

    An inner estimate: both ends were run, and unknowns that act differently together than alone may reach beyond them.

    `drivers` names the inputs that move it, most important first, with the ratio high/low each causes alone.
    """

    value: float
    low: float
    high: float
    drivers: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class LayerResult:
    """One line of the report, summed over the passes of its phase.

    `cycles` is how long the layer's tasks held their unit, `exposed_s` its share of the run's latency (exposed times
    sum to the whole), `bound` what limited it: a unit, a memory port, or "dependency".
    """

    name: str
    op: str
    phase: str
    passes: int
    macs: int
    macs_executed: int
    cycles: int
    busy_s: float
    exposed_s: float
    energy_j: float
    energy_breakdown_j: Mapping[str, float]
    traffic_bits: Mapping[str, int]
    bound: str


@dataclass(frozen=True, slots=True)
class Slice:
    """One interval of the timeline: what `track` (a unit or a port) did, in picoseconds."""

    track: str
    name: str
    layer: int
    start_ps: int
    end_ps: int
    kind: str = "busy"
    """"busy" or "stall" (held, but waiting for data)."""


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Bits held in one memory level over time: from `at_ps[i]` on, `bits[i]` bits."""

    level: str
    capacity_bits: int
    at_ps: tuple[int, ...]
    bits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DesignValue:
    """One resolved design value and where it came from (file:line, --set, or the model's default)."""

    key: str
    value: object
    unit: str
    place: str
    source: str
    evidence: str
    """"verified", "computed", "simulated", "recalled", "assumed" or "" (the user's own)."""
    low: object = None
    high: object = None


@dataclass(frozen=True, slots=True)
class Track:
    """A unit's or a port's time: busy + stall + idle = the latency."""

    name: str
    busy_s: float
    stall_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class Roof:
    """A ceiling of the roofline: compute (operations/s) or a memory (bits/s)."""

    name: str
    ops_per_s: float = 0.0
    bits_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """Everything one run says. Dictionaries are by component, memory level or layer; units stand in the names."""

    accelerator: str
    model: str
    workload: str
    binding: Mapping[str, float]
    fidelity: str
    design: tuple[DesignValue, ...]
    feasible: bool
    violations: tuple[Violation, ...]
    cycles: int
    clock_hz: float
    latency_s: Interval
    throughput_per_s: float
    """Tokens a second for a program that generates tokens, runs of the workload a second otherwise."""
    throughput_unit: str
    energy_j: Interval
    energy_breakdown_j: Mapping[str, float]
    power_w: float
    area_mm2: float
    area_breakdown_mm2: Mapping[str, float]
    macs: int
    macs_executed: int
    flops: int
    utilisation: float
    """macs_executed over what the multipliers could have done in the same time."""
    traffic_bits: Mapping[str, Mapping[str, int]]
    """level -> {"read": bits, "write": bits}."""
    memory_peak_bits: Mapping[str, int]
    memory_capacity_bits: Mapping[str, int]
    layers: tuple[LayerResult, ...]
    tracks: tuple[Track, ...]
    roofs: tuple[Roof, ...]
    time_to_first_token_s: float | None
    time_per_token_s: float | None
    free_ops: Mapping[str, str]
    notes: tuple[str, ...]
    accuracy: Mapping[str, str]
    """Figure name -> accuracy class; "" for every figure not named."""
    provenance: Mapping[str, str]
    slices: tuple[Slice, ...] = field(default=(), repr=False)
    occupancy: tuple[Occupancy, ...] = field(default=(), repr=False)
    frontier: tuple[Slice, ...] = field(default=(), repr=False)
    """The latency cut into the layers that were exposed, end to end: their lengths sum to it exactly."""

    def as_json(self) -> dict[str, object]:
        """The `--json` document of a run: plain types only, every key documented in docs/result.md."""
        layers = [
            {
                "name": x.name,
                "op": x.op,
                "phase": x.phase,
                "passes": x.passes,
                "cycles": x.cycles,
                "busy_s": x.busy_s,
                "exposed_s": x.exposed_s,
                "energy_j": x.energy_j,
                "energy_breakdown_j": dict(x.energy_breakdown_j),
                "traffic_bits": dict(x.traffic_bits),
                "macs": x.macs,
                "macs_executed": x.macs_executed,
                "bound": x.bound,
            }
            for x in self.layers
        ]
        return {
            "schema_version": SCHEMA_VERSION,
            "accelerator": self.accelerator,
            "model": self.model,
            "workload": self.workload,
            "binding": dict(self.binding),
            "fidelity": self.fidelity,
            "design": {v.key: v.value for v in self.design},
            "feasible": self.feasible,
            "violations": [
                {"what": v.what, "demand": v.demand, "bound": v.bound, "unit": v.unit, "lever": v.lever}
                for v in self.violations
            ],
            "cycles": self.cycles,
            "clock_hz": self.clock_hz,
            "latency_s": self.latency_s.value,
            "latency_interval_s": [self.latency_s.low, self.latency_s.high],
            "latency_drivers": [{"key": k, "ratio": r} for k, r in self.latency_s.drivers],
            "throughput_per_s": self.throughput_per_s,
            "throughput_unit": self.throughput_unit,
            "energy_j": self.energy_j.value,
            "energy_interval_j": [self.energy_j.low, self.energy_j.high],
            "energy_drivers": [{"key": k, "ratio": r} for k, r in self.energy_j.drivers],
            "energy_breakdown_j": dict(self.energy_breakdown_j),
            "power_w": self.power_w,
            "area_mm2": self.area_mm2,
            "area_breakdown_mm2": dict(self.area_breakdown_mm2),
            "macs": self.macs,
            "macs_executed": self.macs_executed,
            "flops": self.flops,
            "utilisation": self.utilisation,
            "traffic_bits": {k: dict(v) for k, v in self.traffic_bits.items()},
            "memory_peak_bits": dict(self.memory_peak_bits),
            "memory_capacity_bits": dict(self.memory_capacity_bits),
            "time_to_first_token_s": self.time_to_first_token_s,
            "time_per_token_s": self.time_per_token_s,
            "tracks": [
                {"name": t.name, "busy_s": t.busy_s, "stall_s": t.stall_s, "idle_s": t.idle_s} for t in self.tracks
            ],
            "layers": layers,
            "free_ops": dict(self.free_ops),
            "notes": list(self.notes),
            "accuracy": dict(self.accuracy),
            "provenance": dict(self.provenance),
        }
