"""Why one point is better than another: the difference of their two breakdowns, the largest causes first.

Every list of causes divides one figure's difference without rest: by layer, phase, operator and limit for time (exposed
times sum to the latency), by component, layer and phase for energy, by component for area.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwsim.config import plain as plain_value
from hwsim.report import views
from hwsim.report.text import digits, percent, plain, quantity, ratio, value_text
from hwsim.result import LayerResult, Result
from hwsim.units import bare_name

if TYPE_CHECKING:
    from rich.console import Console

TOP = 8
"""Causes shown in a terminal and named in a sentence's table; documents hold all."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A part of a figure in both runs. `detail` says what else changed there: the limit of a layer."""

    name: str
    a: float
    b: float
    detail: str = ""

    @property
    def difference(self) -> float:
        """What the second run has more."""
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Change:
    """A design value that differs; "" where one of the two has no such key."""

    key: str
    a: str
    b: str


Causes = tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The second run less the first.

    figures     headline figures of both, in the units of their names
    time_s      seconds by "layer", "phase", "operator", "limit": each sums to the difference in latency
    energy_j    joules by "component", "layer", "phase": each sums to the difference in energy
    area_mm2    square millimetres by "component"
    changes     the design values, technology and binding in which they differ
    """

    a: str
    b: str
    figures: Causes
    time_s: Mapping[str, Causes]
    energy_j: Mapping[str, Causes]
    area_mm2: Mapping[str, Causes]
    changes: tuple[Change, ...]

    def figure(self, name: str) -> Cause:
        """The headline figure called `name`."""
        return next(c for c in self.figures if c.name == name)

    def as_json(self) -> dict[str, object]:
        """Plain types: every cause with both amounts and their difference, the largest difference first."""
        return {
            "a": self.a,
            "b": self.b,
            "figures": {c.name: {"a": c.a, "b": c.b, "difference": c.difference} for c in self.figures},
            "time_s": _listed(self.time_s),
            "energy_j": _listed(self.energy_j),
            "area_mm2": _listed(self.area_mm2),
            "changes": [{"key": c.key, "a": c.a, "b": c.b} for c in self.changes],
        }


def _listed(by: Mapping[str, Causes]) -> dict[str, list[dict[str, object]]]:
    return {
        f"by_{kind}": [
            {"name": c.name, "a": c.a, "b": c.b, "difference": c.difference, "detail": c.detail} for c in causes
        ]
        for kind, causes in by.items()
    }


# --- the difference ---------------------------------------------------------------------------------------------


def compare(a: Result, b: Result, names: tuple[str, str] | None = None) -> Comparison:
    """Why `b` differs from `a`, which are called `names` or by their accelerators.

    Numbered siblings (encoder.0, encoder.1, ...) are one layer; a layer that only one has counts as 0 in the other.
    """
    called = names or (a.accelerator, b.accelerator)
    layers = _sums(a.layers, _layer), _sums(b.layers, _layer)
    phases = _sums(a.layers, _phase), _sums(b.layers, _phase)
    return Comparison(
        a=called[0],
        b=called[1],
        figures=_figures(a, b),
        time_s={
            "layer": _causes(_time(layers[0]), _time(layers[1]), _limits(*layers)),
            "phase": _causes(_time(phases[0]), _time(phases[1])),
            "operator": _causes(views.time_by(a.layers, _op), views.time_by(b.layers, _op)),
            "limit": _causes(views.time_by(a.layers, _limit), views.time_by(b.layers, _limit)),
        },
        energy_j={
            "component": _causes(a.energy_breakdown_j, b.energy_breakdown_j),
            "layer": _causes(_energy(layers[0]), _energy(layers[1])),
            "phase": _causes(_energy(phases[0]), _energy(phases[1])),
        },
        area_mm2={"component": _causes(a.area_breakdown_mm2, b.area_breakdown_mm2)},
        changes=_changes(a, b),
    )


def _layer(x: LayerResult) -> str:
    family = views.family(x.name)
    return f"{x.phase}: {family}" if x.phase else family


def _phase(x: LayerResult) -> str:
    return x.phase


def _op(x: LayerResult) -> str:
    return x.op


def _limit(x: LayerResult) -> str:
    return x.bound


def _sums(layers: Sequence[LayerResult], key: Callable[[LayerResult], str]) -> dict[str, views.Group]:
    return {g.label: g for g in views.group_layers(layers, key)}


def _time(groups: Mapping[str, views.Group]) -> dict[str, float]:
    return {name: g.exposed_s for name, g in groups.items()}


def _energy(groups: Mapping[str, views.Group]) -> dict[str, float]:
    return {name: g.energy_j for name, g in groups.items()}


def _limits(a: Mapping[str, views.Group], b: Mapping[str, views.Group]) -> dict[str, str]:
    """What limited each layer, in both where it is not the same."""
    out = {}
    for name in a.keys() | b.keys():
        limits = list(dict.fromkeys(g[name].bound for g in (a, b) if name in g))
        out[name] = " -> ".join(limits)
    return out


def _causes(a: Mapping[str, float], b: Mapping[str, float], details: Mapping[str, str] | None = None) -> Causes:
    names = dict.fromkeys([*a, *b])
    found = (Cause(n, a.get(n, 0.0), b.get(n, 0.0), (details or {}).get(n, "")) for n in names)
    return tuple(sorted(found, key=lambda c: (-abs(c.difference), c.name)))


def _figures(a: Result, b: Result) -> Causes:
    pairs = {
        "latency_s": (a.latency_s.value, b.latency_s.value),
        "throughput_per_s": (a.throughput_per_s, b.throughput_per_s),
        "energy_j": (a.energy_j.value, b.energy_j.value),
        "power_w": (a.power_w, b.power_w),
        "area_mm2": (a.area_mm2, b.area_mm2),
        "macs_executed": (a.macs_executed, b.macs_executed),
        "utilisation": (a.utilisation, b.utilisation),
    }
    return tuple(Cause(name, *pair) for name, pair in pairs.items())


def _changes(a: Result, b: Result) -> tuple[Change, ...]:
    first, second = _values(a), _values(b)
    keys = dict.fromkeys([*first, *second])
    return tuple(Change(k, first.get(k, ""), second.get(k, "")) for k in keys if first.get(k) != second.get(k))


def _values(r: Result) -> dict[str, str]:
    """What the run was asked, as its files would say it."""
    design = {v.key: value_text(plain_value(v.value), v.unit) for v in r.design}
    return {"model": r.model, **design, "workload": r.workload, **{f"bind.{k}": f"{v:g}" for k, v in r.binding.items()}}


# --- as people read it ------------------------------------------------------------------------------------------


def verdict(c: Comparison) -> str:
    """Time, energy and area of the second against the first, each with its largest cause, in a sentence each."""
    parts = (
        _said(c, "latency_s", "faster", "slower", c.time_s["layer"], "s"),
        _said(c, "energy_j", "less energy", "more energy", c.energy_j["component"], "J"),
        _said(c, "area_mm2", "smaller", "larger", c.area_mm2["component"], "mm²"),
    )
    return " ".join(f"{p}." for p in parts if p)


def _said(c: Comparison, name: str, less: str, more: str, causes: Causes, unit: str) -> str:
    whole = c.figure(name)
    if whole.difference == 0:
        return ""
    word = less if whole.difference < 0 else more
    low, high = sorted((whole.a, whole.b))
    times = f"{digits(high / low)} times " if low > 0 else ""
    text = f"{plain(c.b, 60)} is {times}{word}" if "energy" not in word else f"{plain(c.b, 60)} takes {times}{word}"
    with_it = [x for x in causes if x.difference * whole.difference > 0]
    if not with_it:
        return text
    share = ratio(with_it[0].difference, whole.difference)
    most = f"{percent(share)} of the difference" if share <= 1 else "more than the whole difference"
    return f"{text}; {most} ({_signed(with_it[0].difference, unit)}) is {plain(with_it[0].name, 60)}"


def _signed(value: float, unit: str) -> str:
    shown = f"{digits(abs(value))} {unit}" if unit == "mm²" else quantity(abs(value), unit)
    return f"{'-' if value < 0 else '+'}{shown}"


def print_comparison(c: Comparison, console: Console) -> None:
    """The comparison on a terminal: what differs, the figures, the largest causes, and the verdict."""
    from rich.text import Text

    from hwsim.report.terminal import print_table

    console.print(Text(f"{plain(c.b, 60)} against {plain(c.a, 60)}", style="bold"))
    changed = [(plain(x.key, 40), plain(x.a, 40), plain(x.b, 40)) for x in c.changes]
    print_table(console, "What differs", ("", "first", "second"), changed)
    print_table(console, "Figures", ("", "first", "second", "second / first"), [_figure_row(x) for x in c.figures])
    for title, causes, unit in _sections(c):
        rows = _cause_rows(causes, unit)
        heads = ("", "first", "second", "difference", *(["limited by"] if any(x.detail for x in causes) else []))
        if rows:
            print_table(console, title, heads, [row[: len(heads)] for row in rows])
    console.print(Text(verdict(c) or "Nothing differs."))


def _sections(c: Comparison) -> Iterable[tuple[str, Causes, str]]:
    return (
        ("Time by what limits it", c.time_s["limit"], "s"),
        ("Time by layer", c.time_s["layer"], "s"),
        ("Energy by component", c.energy_j["component"], "J"),
        ("Area by component", c.area_mm2["component"], "mm²"),
    )


_SHOWN: dict[str, Callable[[float], str]] = {
    "latency_s": lambda v: quantity(v, "s"),
    "throughput_per_s": digits,
    "energy_j": lambda v: quantity(v, "J"),
    "power_w": lambda v: quantity(v, "W"),
    "area_mm2": lambda v: f"{digits(v)} mm²",
    "macs_executed": lambda v: quantity(v, ""),
    "utilisation": percent,
}


def _figure_row(x: Cause) -> tuple[str, ...]:
    show = _SHOWN[x.name]
    return bare_name(x.name).replace("_", " "), show(x.a), show(x.b), digits(x.b / x.a) if x.a else ""


def _cause_rows(causes: Causes, unit: str) -> list[tuple[str, ...]]:
    def show(value: float) -> str:
        return f"{digits(value)} {unit}" if unit == "mm²" else quantity(value, unit)

    def row(x: Cause) -> tuple[str, ...]:
        return plain(x.name, 60), show(x.a), show(x.b), _signed(x.difference, unit), plain(x.detail, 40)

    moved = [x for x in causes if x.difference]
    rows = [row(x) for x in moved[:TOP]]
    rest = sum(x.difference for x in moved[TOP:])
    return rows + ([(f"{len(moved) - TOP} more", "", "", _signed(rest, unit), "")] if moved[TOP:] else [])
