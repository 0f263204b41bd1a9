"""Pictures of memory over time: each tensor a rectangle, its lifetime across and its addresses upward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from hwsim.report import svg
from hwsim.report.text import memory, plain

WIDTH, HEIGHT = 1120.0, 430.0
LEFT, TOP, GAP, FOOT = 74.0, 52.0, 34.0, 62.0
HUES = 10
NAME_PX = 6.2
MOST_NAMED = 40
"""Steps up to which each one is named under the picture."""
STYLE = """
svg { font: 12px system-ui, sans-serif; background: #fff; } text { fill: #1b2430; }
.small { font-size: 11px; } .tiny { font-size: 9px; } .muted { fill: #5d6875; } .strong { font-weight: 600; }
.well { fill: #f3f5f7; } .grid { stroke: #d5dae0; } .peak { stroke: #b3261e; stroke-width: 1.5; stroke-dasharray: 5 4; }
.end { stroke: #1b2430; stroke-width: 1; } .live { fill: none; stroke: #1b2430; stroke-width: 1.4; }
.block { stroke: #fff; stroke-width: .8; } .on { fill: #fff; font-size: 10px; }
.c0 { fill: #2f6db3; } .c1 { fill: #c2571a; } .c2 { fill: #3a8a4d; } .c3 { fill: #8457a8; } .c4 { fill: #a8822b; }
.c5 { fill: #2d8f93; } .c6 { fill: #b84a75; } .c7 { fill: #5a6b7d; } .c8 { fill: #7a5a3c; } .c9 { fill: #5e63b8; }
"""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One rectangle: a name, the steps it lives (both included), and its place in the arena."""

    name: str
    first: int
    last: int
    offset_bits: int
    size_bits: int


@dataclass(frozen=True, slots=True)
class Panel:
    """One order: its title, its steps, bits live while each runs, its tensors, and the arena that holds them."""

    title: str
    steps: Sequence[str]
    live_bits: Sequence[int]
    tenants: Sequence[Tenant]
    arena_bits: int


@dataclass(frozen=True, slots=True)
class _Frame:
    x: float
    width: float
    steps: int
    top_bits: int

    def at(self, step: float) -> float:
        return self.x + self.width * step / max(self.steps, 1)

    def up(self, bits: float) -> float:
        return TOP + (HEIGHT - TOP - FOOT) * (1 - bits / max(self.top_bits, 1))


def memory_map(panels: Sequence[Panel]) -> str:
    """One SVG document with the panels side by side, on one scale of addresses."""
    top_bits = max((max(p.arena_bits, *p.live_bits, 0) for p in panels), default=1)
    width = (WIDTH - LEFT - GAP * len(panels)) / len(panels)
    drawn = [_panel(p, _Frame(LEFT + i * (width + GAP), width, len(p.steps), top_bits)) for i, p in enumerate(panels)]
    scale = _scale(_Frame(LEFT, WIDTH - LEFT - GAP, 1, top_bits))
    label = "Tensor lifetimes and addresses: " + " and ".join(plain(p.title) for p in panels)
    picture = svg.drawing(WIDTH, HEIGHT, label, svg.tag("style", Markup(STYLE)), *scale, *drawn)
    return str(picture).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def save(panels: Sequence[Panel], path: Path) -> None:
    """Write `memory_map` to `path`. Raises OSError."""
    path.write_text(memory_map(panels), encoding="utf-8", newline="\n")


def _scale(frame: _Frame) -> list[Markup]:
    marks = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = frame.up(share * frame.top_bits)
        marks.append(svg.line(frame.x, y, frame.x + frame.width, y, "grid"))
        marks.append(svg.text(frame.x - 8, y + 4, memory(share * frame.top_bits), "small muted", "end"))
    return marks


def _panel(panel: Panel, frame: _Frame) -> Markup:
    peak = max(panel.live_bits, default=0)
    legend = f"live tensors (line) peak at {memory(peak)} (dashed), arena {memory(panel.arena_bits)}"
    heading = [
        svg.text(frame.x, 18, plain(panel.title, int(frame.width / 7)), "strong"),
        svg.text(frame.x, 35, legend, "small muted"),
    ]
    blocks = [_block(tenant, panel, frame, i) for i, tenant in enumerate(panel.tenants)]
    y = frame.up(peak)
    lines = [svg.line(frame.x, y, frame.x + frame.width, y, "peak"),
             svg.path(_profile(panel, frame), "live")]  # fmt: skip
    well = svg.rect(frame.x, TOP, frame.width, HEIGHT - TOP - FOOT, "well")
    return Markup("").join([well, *heading, *blocks, *lines, *_steps(panel, frame)])


def _profile(panel: Panel, frame: _Frame) -> list[tuple[float, float]]:
    return [(frame.at(i + side), frame.up(bits)) for i, bits in enumerate(panel.live_bits) for side in (0, 1)]


def _block(tenant: Tenant, panel: Panel, frame: _Frame, number: int) -> Markup:
    x, y = frame.at(tenant.first), frame.up(tenant.offset_bits + tenant.size_bits)
    width, height = frame.at(tenant.last + 1) - x, frame.up(tenant.offset_bits) - y
    tip = (f"{plain(tenant.name)}: {memory(tenant.size_bits)} at {memory(tenant.offset_bits)}\n"
           f"from {plain(panel.steps[tenant.first])} to {plain(panel.steps[tenant.last])}")  # fmt: skip
    marks = [svg.rect(x, y, width, height, f"block c{number % HUES}", tip)]
    shown = plain(tenant.name, 60)
    if len(shown) * NAME_PX + 6 < width and height > 13:
        marks.append(svg.text(x + width / 2, y + height / 2 + 4, shown, "on", "middle"))
    return Markup("").join(marks)


def _steps(panel: Panel, frame: _Frame) -> list[Markup]:
    foot = HEIGHT - FOOT
    note = svg.text(
        frame.x + frame.width / 2, HEIGHT - 8, f"{len(panel.steps)} steps in order", "small muted", "middle"
    )
    if len(panel.steps) > MOST_NAMED:
        return [note]
    marks = []
    for i, step in enumerate(panel.steps):
        x = frame.at(i + 0.5) + 3
        turn = f"rotate(-90 {svg.number(x)} {svg.number(foot + 4)})"
        marks.append(svg.tag("text", _tail(plain(step)), x=x, y=foot + 4, class_="tiny muted", text_anchor="end",
                             transform=turn))  # fmt: skip
    return marks


def _tail(name: str, most: int = 8) -> str:
    """The end of a dotted name, which tells steps of one block apart."""
    return name if len(name) <= most else "…" + name[-(most - 1) :]
