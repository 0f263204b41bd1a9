"""The report as one HTML file: styles and pictures inside, no script, no request, the same bytes for the same Result.

The page forbids scripts and every kind of fetch by its Content-Security-Policy, so text from a workload or a design
stays text whatever it holds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from hwsim.model import Violation
from hwsim.report import charts, views
from hwsim.report.text import (
    bandwidth,
    digits,
    memory,
    percent,
    plain,
    quantity,
    quantity_pair,
    rate,
    ratio,
    value_text,
)
from hwsim.result import LITERATURE_CHECKED, RTL_VALIDATED, UNVALIDATED, DesignValue, Interval, LayerResult, Result

TOP_GROUPS = 20
TOP_TRACKS = 10
TOP_POINTS = 60
TOP_LEVELS = 8
TOP_PHASES = 40
TOP_SYMBOLS = 20
TEXT_BYTES = 20_000
LAYER_BYTES, DESIGN_BYTES, FREE_BYTES = 220_000, 80_000, 60_000
"""Budgets of a table or list: with the bounds on the pictures they hold the page below a megabyte, whatever the
lengths of names. The CSV files hold everything."""


# --- headline ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Card:
    """One headline figure."""

    name: str
    value: str
    details: tuple[str, ...]
    accuracy: str

    @property
    def mark(self) -> str:
        """CSS class of the accuracy class."""
        return {RTL_VALIDATED: "rtl", LITERATURE_CHECKED: "lit"}.get(self.accuracy, "un")


def accuracy_of(result: Result, figure: str) -> str:
    """Accuracy class of a figure: its own, else the model's for every figure, else unvalidated."""
    return result.accuracy.get(figure) or result.accuracy.get("") or UNVALIDATED


def interval_text(interval: Interval, unit: str) -> str:
    """The range of an uncertain figure, or "" when nothing moves it."""
    if interval.low == interval.high:
        return ""
    return f"range {quantity_pair(interval.low, interval.high, unit)}"


def violation_text(v: Violation) -> str:
    """What a design lacks: the demand, the bound, by how much, and what would mend it."""
    show: Callable[[float], str] = memory if v.unit == "bits" else lambda x: f"{digits(x)} {v.unit}"
    over = f" ({digits(v.demand / v.bound)} times)" if v.bound > 0 else ""
    lever = f". Mend it with: {v.lever}" if v.lever else ""
    return plain(f"{v.what}: needs {show(v.demand)}, has {show(v.bound)}{over}{lever}", 400)


def _cards(r: Result) -> list[Card]:
    def card(name: str, figure: str, value: str, *details: str) -> Card:
        return Card(name, value, tuple(d for d in details if d), accuracy_of(r, figure))

    skipped = 1 - ratio(r.macs_executed, r.macs)
    cards = [
        card("Latency", "latency_s", quantity(r.latency_s.value, "s"), interval_text(r.latency_s, "s"),
             f"{r.cycles:,} cycles at {quantity(r.clock_hz, 'Hz')}"),
        card("Throughput", "throughput_per_s", rate(r.throughput_per_s, r.throughput_unit)),
        card("Energy", "energy_j", quantity(r.energy_j.value, "J"), interval_text(r.energy_j, "J")),
        card("Mean power", "power_w", quantity(r.power_w, "W")),
        card("Area", "area_mm2", f"{digits(r.area_mm2)} mm²"),
        card("Utilisation of the multipliers", "utilisation", percent(r.utilisation)),
        card("MACs executed", "macs_executed", quantity(r.macs_executed, "MAC"),
             f"of {quantity(r.macs, 'MAC')} asked for" + (f", {percent(skipped)} skipped" if skipped > 0 else ""),
             f"{quantity(r.flops, 'FLOP')} asked for"),
    ]  # fmt: skip
    if r.time_to_first_token_s is not None:
        cards.append(card("Time to first token", "time_to_first_token_s", quantity(r.time_to_first_token_s, "s")))
    if r.time_per_token_s is not None:
        cards.append(card("Time per later token", "time_per_token_s", quantity(r.time_per_token_s, "s")))
    return cards


def _largest(parts: Mapping[str, float]) -> tuple[str, float] | None:
    order = views.ranked(parts)
    return (plain(order[0][0], 60), order[0][1] / sum(v for _, v in order)) if order else None


def finding(result: Result) -> str:
    """The report in one sentence: the largest share of time, what limits most of it, the largest share of energy."""
    parts = (
        ("of the time is spent in the phase", _largest(views.time_by(result.layers, _phase))),
        ("of the time is limited by", _largest(views.time_by(result.layers, _bound))),
        ("of the energy goes to", _largest(result.energy_breakdown_j)),
    )
    told = [f"{percent(most[1])} {what} {most[0]}" for what, most in parts if most and most[0]]
    return ", ".join(told) + "." if told else "Nothing in this run takes time or energy."


def _phase(layer: LayerResult) -> str:
    return layer.phase


def _op(layer: LayerResult) -> str:
    return layer.op


def _bound(layer: LayerResult) -> str:
    return layer.bound


def _drivers(r: Result) -> list[str]:
    lines = []
    for name, interval in (("latency", r.latency_s), ("energy", r.energy_j)):
        if interval.drivers:
            moved = ", ".join(f"{plain(key, 60)} {digits(high)}×" for key, high in interval.drivers[:6])
            lines.append(
                f"What moves the {name} most (highest over lowest, each input alone through its range): {moved}."
            )
    return lines


# --- tables -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under heads. `texts` are the columns to set flush left; the others are figures."""

    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    texts: frozenset[int]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Titled:
    """A table under a heading."""

    title: str
    table: Table


def _written_bytes(row: Iterable[str]) -> int:
    """Bytes of one row in the page: its cells escaped and encoded, and the tags round them."""
    return 12 + sum(len(escape(cell).encode()) + 20 for cell in row)


def _fitting(rows: Sequence[Sequence[str]], budget_bytes: int) -> int:
    """How many of the first rows fit the budget."""
    spent = accumulate(map(_written_bytes, rows))
    return sum(1 for total in spent if total <= budget_bytes)


def table_of(
    heads: Sequence[str], rows: Iterable[tuple[str, ...]], texts: Iterable[int], budget_bytes: int = TEXT_BYTES
) -> Table:
    """A table of the rows that fit the budget, with a note on how many did not."""
    every = list(rows)
    shown = _fitting(every, budget_bytes)
    note = f"The first {shown:,} of {len(every):,} rows; the other files hold all." if shown < len(every) else ""
    return Table(tuple(heads), every[:shown], frozenset(texts), note)


def list_of(lines: Iterable[str]) -> list[str]:
    """Lines that fit the budget, and how many did not."""
    every = list(lines)
    shown = _fitting([(line,) for line in every], TEXT_BYTES)
    return every[:shown] + ([f"... and {len(every) - shown:,} more in result.json"] if shown < len(every) else [])


def _pairs(key: str, value: str, pairs: Mapping[str, str], budget_bytes: int = TEXT_BYTES) -> Table:
    rows = ((plain(k), plain(v, 300)) for k, v in pairs.items())
    return table_of((key, value), rows, (0, 1), budget_bytes)


_GROUP_HEADS = ("", "layers", "exposed time", "share", "busy", "energy", "share", "MACs asked", "MACs executed",
                "limited by")  # fmt: skip


def _group_row(g: views.Group, r: Result) -> tuple[str, ...]:
    return (
        plain(g.label) or "(unnamed)",
        f"{g.layers:,}",
        quantity(g.exposed_s, "s"),
        percent(ratio(g.exposed_s, r.latency_s.value)),
        quantity(g.busy_s, "s"),
        quantity(g.energy_j, "J"),
        percent(ratio(g.energy_j, r.energy_j.value)),
        quantity(g.macs, ""),
        quantity(g.macs_executed, ""),
        plain(g.bound, 60),
    )


def _group_tables(r: Result, families: Sequence[views.Group]) -> list[Titled]:
    def titled(title: str, groups: Sequence[views.Group]) -> Titled:
        return Titled(title, table_of(_GROUP_HEADS, (_group_row(g, r) for g in groups), (0, len(_GROUP_HEADS) - 1)))

    shown = min(TOP_GROUPS, len(families))
    top = f"The {shown} longest of {len(families):,} groups" if len(families) > shown else "Each group"
    return [
        titled("By phase", views.group_layers(r.layers, _phase)),
        titled("By operator", views.group_layers(r.layers, _op)),
        titled("By what limited it", views.group_layers(r.layers, _bound)),
        titled(f"{top}, numbered siblings together", families[:shown]),
    ]


_LAYER_HEADS = ("layer", "operator", "phase", "passes", "cycles", "busy", "exposed time", "energy", "MACs asked",
                "MACs executed", "limited by")  # fmt: skip


def _layer_row(x: LayerResult) -> tuple[str, ...]:
    return (plain(x.name, 100), plain(x.op, 30), plain(x.phase, 30), f"{x.passes:,}", f"{x.cycles:,}",
            quantity(x.busy_s, "s"), quantity(x.exposed_s, "s"), quantity(x.energy_j, "J"), f"{x.macs:,}",
            f"{x.macs_executed:,}", plain(x.bound, 40))  # fmt: skip


def _all_layers(r: Result) -> Table:
    return table_of(_LAYER_HEADS, map(_layer_row, r.layers), (0, 1, 2, len(_LAYER_HEADS) - 1), LAYER_BYTES)


def _share_table(title: str, head: str, parts: Mapping[str, float], show: Callable[[float], str]) -> Table:
    total = sum(parts.values())
    rows = [(plain(name), show(value), percent(ratio(value, total))) for name, value in views.ranked(parts)]
    return table_of((head, title, "share"), [*rows, ("all", show(total), "")], (0,))


def _memory_table(r: Result) -> Table:
    roofs = {roof.name: roof.bits_per_s for roof in r.roofs if roof.bits_per_s}

    def row(level: str) -> tuple[str, ...]:
        peak, capacity = r.memory_peak_bits.get(level, 0), r.memory_capacity_bits.get(level, 0)
        moved = r.traffic_bits.get(level, {})
        rate = ratio(sum(moved.values()), r.latency_s.value)
        return (plain(level), memory(capacity), memory(peak), percent(ratio(peak, capacity)),
                memory(moved.get("read", 0)), memory(moved.get("write", 0)), bandwidth(rate),
                percent(ratio(rate, roofs[level])) if level in roofs else "")  # fmt: skip

    levels = list(dict.fromkeys([*r.memory_capacity_bits, *r.memory_peak_bits, *r.traffic_bits]))
    heads = ("memory", "capacity", "peak held", "of capacity", "read", "written", "mean rate", "of its roof")
    return table_of(heads, map(row, levels), (0,))


def _tracks_table(r: Result) -> Table:
    def row(name: str, busy_s: float, stall_s: float, idle_s: float) -> tuple[str, ...]:
        total = busy_s + stall_s + idle_s
        parts = [(quantity(s, "s"), percent(ratio(s, total))) for s in (busy_s, stall_s, idle_s)]
        return (plain(name), *(cell for part in parts for cell in part))

    heads = ("unit or port", "busy", "share", "stalled", "share", "idle", "share")
    return table_of(heads, (row(t.name, t.busy_s, t.stall_s, t.idle_s) for t in r.tracks), (0,))


def _design_row(v: DesignValue) -> tuple[str, ...]:
    spread = f"{value_text(v.low, v.unit)} to {value_text(v.high, v.unit)}" if v.low is not None else ""
    return (plain(v.key), value_text(v.value, v.unit), spread, plain(v.evidence), plain(v.source, 300), plain(v.place))


_DESIGN_HEADS = ("key", "value", "range", "evidence", "source", "set at")


# --- the page ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Colours:
    """One palette a kind of thing, the same in every picture: what limits or costs, operators, phases."""

    resources: charts.Palette
    ops: charts.Palette
    phases: charts.Palette

    @classmethod
    def of(cls, r: Result) -> Colours:
        """The larger a share of time, energy or area something has anywhere, the earlier its hue."""
        by_share: dict[str, float] = {}
        for parts in (views.time_by(r.layers, _bound), r.energy_breakdown_j, r.area_breakdown_mm2,
                      views.total_of(x.energy_breakdown_j for x in r.layers)):  # fmt: skip
            total = sum(parts.values())
            for name, value in parts.items():
                by_share[name] = max(by_share.get(name, 0.0), ratio(value, total))
        ops, phases = views.time_by(r.layers, _op), views.time_by(r.layers, _phase)
        return cls(charts.Palette(by_share), charts.Palette(ops, first=4), charts.Palette(phases, first=8))


def _wholes(r: Result, colours: Colours) -> list[charts.Whole]:
    def seconds(value: float) -> str:
        return quantity(value, "s")

    def joules(value: float) -> str:
        return quantity(value, "J")

    def mm2(value: float) -> str:
        return f"{digits(value)} mm²"

    resources, ops, phases = colours.resources, colours.ops, colours.phases
    wholes = [
        charts.Whole("Time by phase", views.time_by(r.layers, _phase), seconds, phases),
        charts.Whole("Time by operator", views.time_by(r.layers, _op), seconds, ops),
        charts.Whole("Time by its limit", views.time_by(r.layers, _bound), seconds, resources),
        charts.Whole("Energy by phase", views.energy_by(r.layers, _phase), joules, phases),
        charts.Whole("Energy by operator", views.energy_by(r.layers, _op), joules, ops),
        charts.Whole("Energy by component", r.energy_breakdown_j, joules, resources),
        charts.Whole("Area by component", r.area_breakdown_mm2, mm2, resources),
    ]
    return [w for w in wholes if any(v > 0 for v in w.parts.values())]


def _layer_bars(r: Result, families: Sequence[views.Group], colours: Colours) -> Markup:
    shown = families[:TOP_GROUPS]
    bounds = views.ranked(views.total_of({g.bound: g.exposed_s} for g in shown))
    components = views.ranked(views.total_of(g.energy_breakdown_j for g in shown))
    scales = charts.LayerScales(r.latency_s.value, r.energy_j.value, colours.resources,
                                tuple(name for name, _ in bounds),
                                tuple(name for name, _ in components[: charts.MOST_PARTS]))  # fmt: skip
    return charts.layer_bars(shown, scales)


def _layers_note(r: Result, families: Sequence[views.Group]) -> str:
    shown = families[:TOP_GROUPS]
    time = ratio(sum(g.exposed_s for g in shown), r.latency_s.value)
    energy = ratio(sum(g.energy_j for g in shown), r.energy_j.value)
    together = " Numbered siblings are summed." if len(families) < len(r.layers) else ""
    return (f"{len(r.layers):,} layers in {len(families):,} groups; these {len(shown)} take {percent(time)} of the "
            f"time and {percent(energy)} of the energy.{together} Exposed time is what a layer adds to the latency; it "
            "sums to the whole.")  # fmt: skip


def _roofline_note(roof: views.Roofline) -> str:
    left_out = f" {roof.without_ops:,} of the groups multiply nothing and aren't shown." if roof.without_ops else ""
    return ("Two operations per MAC executed. A layer's time is its exposed or its busy time, whichever is longer; its "
            "area here is its share of the exposed time. A point above the slanted roof was fed by loads that ran "
            f"under earlier layers.{left_out}")  # fmt: skip


def _tracks_note(r: Result) -> str:
    thinned = f"{len(r.slices):,} intervals summed into {views.MAX_BINS} bins of time, each exact over its bin. "
    shown = f" The {TOP_TRACKS} busiest of {len(r.tracks)} are drawn." if len(r.tracks) > TOP_TRACKS else ""
    return f"{thinned}What a layer waits within its turn is drawn before its work.{shown}"


def _busiest(r: Result) -> list[str]:
    order = sorted(r.tracks, key=lambda t: (-(t.busy_s + t.stall_s), t.name))[:TOP_TRACKS]
    return [t.name for t in order]


def _tracks(r: Result) -> Markup | None:
    if not r.slices:
        return None
    busiest = set(_busiest(r))
    items = [t for t in r.tracks if t.name in busiest]
    return charts.tracks(items, views.utilisation(r), views.span_ps(r), views.phase_spans(r)[:TOP_PHASES])


def _occupancy_note(fills: Sequence[views.Fill]) -> str:
    if not any(f.thinned for f in fills):
        return "Every change is drawn."
    return f"Thinned to {views.MAX_BINS} steps a memory, each the highest content within it, so that no peak is lost."


@dataclass(frozen=True, slots=True)
class Page:
    """Everything the template writes, as text, tables and pictures."""

    title: str
    lead: str
    feasible: bool
    violations: list[str]
    finding: str
    cards: list[Card]
    shares: Markup
    drivers: list[str]
    layers_note: str
    layer_bars: Markup
    roofline: Markup | None
    roofline_note: str
    tracks: Markup | None
    tracks_note: str
    tracks_table: Table
    occupancy: Markup | None
    occupancy_note: str
    memory_table: Table
    energy_table: Table
    area_table: Table
    group_tables: list[Titled]
    all_layers_summary: str
    all_layers: Table
    design_table: Table
    notes: list[str]
    free_summary: str
    free_table: Table
    provenance_table: Table


def title_of(result: Result) -> str:
    """Design and workload, as the page and the timeline are headed."""
    return f"{plain(result.accelerator, 60)} running {plain(result.workload, 60)}"


def lead_of(result: Result) -> str:
    """What the run was bound to and how it was timed."""
    bound = [f"{plain(k, 30)} = {value_text(v)}" for k, v in result.binding.items()]
    sizes = ", ".join(bound[:TOP_SYMBOLS] + ["..."] * (len(bound) > TOP_SYMBOLS))
    timing = {"closed": "closed-form timing", "events": "event-by-event timing"}.get(result.fidelity, result.fidelity)
    return "  ·  ".join(part for part in (sizes, timing, f"model {plain(result.model, 40)}") if part)


def _page(r: Result, extra_notes: Sequence[str]) -> Page:
    families, fills, colours = views.families(r.layers), views.fills(r), Colours.of(r)
    roof = views.roofline(r, families[:TOP_POINTS])
    return Page(
        title=title_of(r),
        lead=lead_of(r),
        feasible=r.feasible,
        violations=list_of(violation_text(v) for v in r.violations),
        finding=finding(r),
        cards=_cards(r),
        shares=charts.shares(_wholes(r, colours)),
        drivers=_drivers(r),
        layers_note=_layers_note(r, families),
        layer_bars=_layer_bars(r, families, colours),
        roofline=charts.roofline(roof, colours.ops) if roof.points else None,
        roofline_note=_roofline_note(roof),
        tracks=_tracks(r),
        tracks_note=_tracks_note(r),
        tracks_table=_tracks_table(r),
        occupancy=charts.occupancy(fills[:TOP_LEVELS], views.span_ps(r)) if fills else None,
        occupancy_note=_occupancy_note(fills),
        memory_table=_memory_table(r),
        energy_table=_share_table("energy", "component", r.energy_breakdown_j, lambda j: quantity(j, "J")),
        area_table=_share_table("area", "component", r.area_breakdown_mm2, lambda a: f"{digits(a)} mm²"),
        group_tables=_group_tables(r, families),
        all_layers_summary=f"All {len(r.layers):,} layers in program order",
        all_layers=_all_layers(r),
        design_table=table_of(_DESIGN_HEADS, map(_design_row, r.design), range(len(_DESIGN_HEADS)), DESIGN_BYTES),
        notes=list_of(plain(n, 600) for n in (*r.notes, *extra_notes)),
        free_summary=f"Operators that cost nothing here, with the reason ({len(r.free_ops):,})",
        free_table=_pairs("operator", "why", r.free_ops, FREE_BYTES),
        provenance_table=_pairs("what", "value", r.provenance),
    )


def _glued(text: str) -> str:
    """Text whose percentages are not torn apart at the end of a line."""
    return text.replace(" %", "\u00a0%")


def environment_of(*packages: str) -> Environment:
    """Templates of `packages` ("hwsim.report", ...), found by their names in this order; everything is escaped."""
    loader = ChoiceLoader([PackageLoader(*package.rpartition(".")[::2]) for package in packages])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True, keep_trailing_newline=True)  # fmt: skip
    environment.filters["glued"] = _glued
    return environment


def source_of(environment: Environment, name: str) -> str:
    """The text of a style sheet or script that lies beside the templates."""
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@lru_cache(maxsize=1)
def _template() -> tuple[Template, str]:
    environment = environment_of("hwsim.report")
    return environment.get_template("page.html.j2"), source_of(environment, "page.css")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def policy_of(style: str, script: str = "") -> str:
    """A Content-Security-Policy that admits this one style sheet, this one script if there is one, an empty icon, and
    nothing else."""
    scripts = f"script-src 'sha256-{_sha256(script)}'; " if script else ""
    return (f"default-src 'none'; {scripts}style-src 'sha256-{_sha256(style)}'; img-src data:; base-uri 'none'; "
            "form-action 'none'")  # fmt: skip


def html(result: Result, extra_notes: Sequence[str] = ()) -> str:
    """The whole page as text. `extra_notes` are what the other files of the report have to say."""
    template, style = _template()
    return template.render(p=_page(result, extra_notes), policy=policy_of(style), style=Markup(style))
