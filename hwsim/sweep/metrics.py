"""The figures of a point, flat and by name: what objectives, constraints, stores and pages speak of.

One list for a single run and for a sweep: the compiled evaluation of a million designs has to give, field by field,
what `metrics_of` says of the Result of each.
"""

from __future__ import annotations

from hwsim.result import Result

SCALARS = (
    "cycles", "latency_s", "throughput_per_s", "energy_j", "power_w", "area_mm2", "macs", "macs_executed",
    "utilisation", "time_to_first_token_s", "time_per_token_s",
)  # fmt: skip


def metrics_of(result: Result) -> dict[str, float]:
    """Every figure of a Result by name; those that do not apply (a token time without tokens) are left out.

    `traffic_bits.LEVEL.read`, `traffic_bits.LEVEL.write`, `memory_peak_bits.LEVEL`, `energy_breakdown_j.COMPONENT`.
    """
    plain = {
        "cycles": result.cycles,
        "latency_s": result.latency_s.value,
        "throughput_per_s": result.throughput_per_s,
        "energy_j": result.energy_j.value,
        "power_w": result.power_w,
        "area_mm2": result.area_mm2,
        "macs": result.macs,
        "macs_executed": result.macs_executed,
        "utilisation": result.utilisation,
        "time_to_first_token_s": result.time_to_first_token_s,
        "time_per_token_s": result.time_per_token_s,
    }
    figures: dict[str, float] = {name: value for name, value in plain.items() if value is not None}
    for level, ways in result.traffic_bits.items():
        for way, bits in ways.items():
            figures[f"traffic_bits.{level}.{way}"] = bits
    for level, bits in result.memory_peak_bits.items():
        figures[f"memory_peak_bits.{level}"] = bits
    for component, joules in result.energy_breakdown_j.items():
        figures[f"energy_breakdown_j.{component}"] = joules
    return figures
