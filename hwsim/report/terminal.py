"""The run on a terminal: the headline, where time and energy go, what the memories hold. Plain text when piped."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwsim.report import views
from hwsim.report.page import accuracy_of, finding, interval_text, lead_of, title_of, violation_text
from hwsim.report.text import digits, memory, percent, plain, quantity, rate, ratio
from hwsim.result import Interval, LayerResult, Result

TOP_GROUPS = 10
MOST_LAYERS = 40
"""A network of no more layers is shown layer by layer."""

_LABEL = 22

Row = tuple[str, ...]


def _line(console: Console, name: str, value: str, detail: str = "") -> None:
    """A headline figure: its name, the figure, and what qualifies it. Nothing is read as markup."""
    shown = Text(f"  {name:{_LABEL}} ").append(f"{value:15} ", style="bold").append(detail, style="dim")
    shown.rstrip()
    console.print(shown)


def _uncertain(console: Console, r: Result, name: str, interval: Interval, unit: str) -> None:
    """A figure with its accuracy class and, on the next line, the range it moves in."""
    _line(console, name, quantity(interval.value, unit), f"[{accuracy_of(r, f'{name}_{unit.lower()}')}]")
    spread = interval_text(interval, unit)
    if spread:
        _line(console, "", "", spread)


def _headline(r: Result, console: Console) -> None:
    _uncertain(console, r, "latency", r.latency_s, "s")
    _line(console, "", "", f"{r.cycles:,} cycles at {quantity(r.clock_hz, 'Hz')}")
    _line(console, "throughput", rate(r.throughput_per_s, r.throughput_unit))
    if r.time_to_first_token_s is not None:
        _line(console, "time to first token", quantity(r.time_to_first_token_s, "s"))
    if r.time_per_token_s is not None:
        _line(console, "time per later token", quantity(r.time_per_token_s, "s"))
    _uncertain(console, r, "energy", r.energy_j, "J")
    _line(console, "mean power", quantity(r.power_w, "W"))
    _line(console, "area", f"{digits(r.area_mm2)} mm²", f"[{accuracy_of(r, 'area_mm2')}]")
    _line(console, "MACs executed", quantity(r.macs_executed, ""), f"of {quantity(r.macs, '')} asked for".rstrip())
    _line(console, "utilisation", percent(r.utilisation))


def print_table(console: Console, title: str, heads: Sequence[str], rows: Sequence[Row]) -> None:
    """A table of text under heads; the first column folds rather than hides, figures are flush right."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left", title_style="bold", pad_edge=False)
    for i, head in enumerate(heads):
        textual = i == 0 or head == "limited by"
        table.add_column(Text(head), justify="left" if textual else "right", overflow="fold", no_wrap=not textual)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _figures(g: views.Group, r: Result) -> Row:
    share = percent(ratio(g.exposed_s, r.latency_s.value))
    return quantity(g.exposed_s, "s"), share, quantity(g.energy_j, "J"), plain(g.bound, 24)


def _groups(r: Result) -> list[Row]:
    rows: list[Row] = []
    for g in views.families(r.layers)[:TOP_GROUPS]:
        count = f" ×{g.layers}" if g.layers > 1 else ""
        rows.append((f"{plain(g.label, 60)}{count}", *_figures(g, r)))
    return rows


def _in_order(r: Result) -> list[Row]:
    """Every layer in network order."""
    return [(plain(x.name, 60), *_figures(views.alone(x), r)) for x in r.layers]


def _phase(layer: LayerResult) -> str:
    return layer.phase


def _phases(r: Result) -> list[Row]:
    return [(plain(g.label, 40) or "(all)", *_figures(g, r)) for g in views.group_layers(r.layers, _phase)]


def _energy(r: Result) -> list[Row]:
    total = sum(r.energy_breakdown_j.values())
    return [(plain(name, 40), quantity(joules, "J"), percent(ratio(joules, total)))
            for name, joules in views.ranked(r.energy_breakdown_j)]  # fmt: skip


def _memories(r: Result) -> list[Row]:
    rows: list[Row] = []
    for level, capacity in r.memory_capacity_bits.items():
        peak, moved = r.memory_peak_bits.get(level, 0), r.traffic_bits.get(level, {})
        rows.append((plain(level, 40), memory(capacity), memory(peak), percent(ratio(peak, capacity)),
                     memory(moved.get("read", 0)), memory(moved.get("write", 0))))  # fmt: skip
    return rows


def _unmet(r: Result, console: Console) -> None:
    console.print(Text("NOT FEASIBLE: the figures below ignore these bounds", style="bold red"))
    for v in r.violations:
        console.print(Text(f"  - {violation_text(v)}"))


def summary(result: Result, console: Console, layers: bool = False) -> None:
    """Print the run to `console`: no markup is read from names, no control character reaches the terminal.

    With `layers`, or where they are few, every layer stands in network order; otherwise the longest groups do.
    """
    console.print(Text(title_of(result), style="bold"))
    console.print(Text(lead_of(result), style="dim"))
    if not result.feasible:
        _unmet(result, console)
    _headline(result, console)
    console.print()
    layer_heads = ("exposed", "share", "energy", "limited by")
    print_table(console, "By phase", ("phase", *layer_heads), _phases(result))
    if layers or len(result.layers) <= MOST_LAYERS:
        print_table(console, "Layers in network order", ("layer", *layer_heads), _in_order(result))
    else:
        print_table(console, f"The {TOP_GROUPS} longest groups of layers", ("layer", *layer_heads), _groups(result))
    print_table(console, "Energy", ("component", "energy", "share"), _energy(result))
    print_table(console, "Memory", ("level", "capacity", "peak", "of it", "read", "written"), _memories(result))
    console.print(Text(finding(result)))
    for note in result.notes:
        console.print(Text(f"note: {plain(note, 600)}", style="dim"))


def stdout_console() -> Console:
    """Standard output, 40 to 120 columns wide; colour only on a terminal."""
    console = Console(highlight=False)
    console.width = min(max(console.width, 40), 120)
    return console


def print_summary(result: Result, layers: bool = False) -> None:
    """Print the run to standard output, every layer of it with `layers`."""
    summary(result, stdout_console(), layers)
