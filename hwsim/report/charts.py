"""The pictures of the report as inline SVG. Colours are classes (c0 ... c7, busy, stall, idle) that the style sheet
resolves for light and dark; every mark carries a tooltip with its exact figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hwsim.report import svg
from hwsim.report.text import bandwidth, digits, memory, percent, plain, quantity, ratio
from hwsim.report.views import (
    PS_PER_S,
    Fill,
    FloatArray,
    Group,
    Point,
    Roofline,
    Series,
    headed,
    ranked,
)
from hwsim.result import Track

WIDTH = 1120.0
OTHER = "other"
HUES = 10
MOST_PARTS = 12
"""Parts drawn apart within one bar; smaller ones are drawn together, so that a picture's size has a bound."""
CHARACTER_PX = 6.5
"""Mean advance of a character at the charts' 12 px, for deciding whether a label fits."""

LABEL_PX = 250.0
GAP_PX = 14.0


class Palette:
    """Names to colour classes: the ten largest get a hue each, the rest share the grey of "other".

    One palette serves one kind of thing all over the page. `first` is the hue it begins with, so that an operator
    and a component seldom look alike.
    """

    def __init__(self, parts: Mapping[str, float], first: int = 0) -> None:
        self.names = [name for name, _ in ranked(parts)]
        self._class = {name: f"c{(first + i) % HUES}" for i, name in enumerate(self.names[:HUES])}

    def __call__(self, name: str) -> str:
        return self._class.get(name, OTHER)

    def legend(self, names: Iterable[str], most: int) -> list[tuple[str, str]]:
        """(class, name) of the first `most` of `names`."""
        return [(self(name), name) for name in list(names)[:most]]


def fits(content: str, width_px: float) -> bool:
    """Whether `content` can be written within `width_px`."""
    return len(content) * CHARACTER_PX + 8 <= width_px


def clipped(content: str, width_px: float) -> str:
    """`content` cut in the middle to fit `width_px`: both ends of a dotted name matter."""
    room = max(int(width_px / CHARACTER_PX), 3)
    if len(content) <= room:
        return content
    head = (room - 1) // 2
    return f"{content[:head]}…{content[len(content) - (room - 1 - head) :]}"


def legend(x: float, y: float, entries: Iterable[tuple[str, str]]) -> Markup:
    """Swatches with names, left to right from (x, y)."""
    marks = []
    for class_, name in entries:
        shown = clipped(plain(name), 260)
        marks += [svg.rect(x, y - 9, 10, 10, class_), svg.text(x + 15, y, shown, "small")]
        x += 15 + len(shown) * CHARACTER_PX * 0.95 + 16
    return Markup("").join(marks)


# --- shares of a whole ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Whole:
    """One bar of 100 %: what it divides, its parts, and how an amount reads."""

    title: str
    parts: Mapping[str, float]
    shown: Callable[[float], str]
    palette: Palette


def _segment(x: float, y: float, width: float, height: float, class_: str, name: str, tip: str, share: float) -> Markup:
    wanted = (f"{name}  {100 * share:.0f} %", name, f"{100 * share:.0f} %")
    label = next((w for w in wanted if fits(w, width)), "")
    written = [svg.text(x + width / 2, y + height / 2 + 4, label, "on", "middle")] if label else []
    return Markup("").join([svg.rect(x, y, max(width - 1, 0.5), height, class_, tip), *written])


def _bar(whole: Whole, x: float, y: float, width: float, height: float) -> Markup:
    total = sum(v for v in whole.parts.values() if v > 0)
    marks = []
    for name, value in headed(whole.parts, MOST_PARTS):
        share = ratio(value, total)
        shown = plain(name, 60)
        tip = f"{shown}: {whole.shown(value)}, {percent(share)}"
        marks.append(_segment(x, y, share * width, height, whole.palette(name), shown, tip, share))
        x += share * width
    return Markup("").join(marks)


def shares(wholes: Sequence[Whole]) -> Markup:
    """One 100 % bar a row: where time, energy and area go, to be read in ten seconds."""
    label, row, height = 190.0, 38.0, 28.0
    marks = []
    for i, whole in enumerate(wholes):
        y = 4 + i * row
        total = whole.shown(sum(v for v in whole.parts.values() if v > 0))
        marks.append(svg.text(0, y + 12, whole.title, "strong"))
        marks.append(svg.text(0, y + 26, total, "small muted"))
        marks.append(_bar(whole, label, y, WIDTH - label, height))
    return svg.drawing(WIDTH, 4 + row * len(wholes), "Shares of time, energy and area", *marks)


# --- layers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LayerScales:
    """What the bars of the layer chart are drawn to: wholes in seconds and joules, and the colours of limits and
    components; `bounds` and `components` in the order of the legends."""

    total_s: float
    total_j: float
    palette: Palette
    bounds: tuple[str, ...]
    components: tuple[str, ...]


def _stack(
    parts: Mapping[str, float], s: LayerScales, x: float, y: float, px_per_unit: float, tip: str, height: float
) -> tuple[Markup, float]:
    """Joules by component side by side from x; the markup and where it ends."""
    marks = []
    drawn = {name: parts.get(name, 0.0) for name in s.components}
    drawn["other"] = drawn.get("other", 0.0) + sum(v for name, v in parts.items() if name not in s.components)
    for name, joules in drawn.items():
        width = joules * px_per_unit
        if width > 0:
            whole_tip = f"{tip}\n{plain(name)}: {quantity(joules, 'J')}"
            marks.append(svg.rect(x, y, width, height, s.palette(name), whole_tip))
            x += width
    return Markup("").join(marks), x


def _layer_label(group: Group, y: float, width: float) -> Markup:
    count = f" ×{group.layers}" if group.layers > 1 else ""
    name = plain(group.label)
    tip = f"{name}{count}\n{plain(group.op)}, phase {plain(group.phase)}"
    label = svg.tag("text", svg.tag("title", tip), clipped(name, width - len(count) * CHARACTER_PX) + count,
                    x=0.0, y=y)  # fmt: skip
    return label


def _time_cell(g: Group, s: LayerScales, x: float, y: float, px: float, height: float) -> Markup:
    share = percent(ratio(g.exposed_s, s.total_s))
    tip = f"{plain(g.label)}\nexposed {quantity(g.exposed_s, 's')} ({share}), busy {quantity(g.busy_s, 's')}"
    tip += f"\nlimited by {plain(g.bound) or 'nothing'}"
    width = g.exposed_s * px
    shown = f"{quantity(g.exposed_s, 's')} · {share}"
    bar = svg.rect(x, y, max(width, 0.5), height, s.palette(g.bound), tip)
    return bar + svg.text(x + width + 6, y + height - 3, shown, "small muted")


def _energy_cell(g: Group, s: LayerScales, x: float, y: float, px: float, height: float) -> Markup:
    share = percent(ratio(g.energy_j, s.total_j))
    tip = f"{plain(g.label)}\n{quantity(g.energy_j, 'J')} ({share})"
    bars, end = _stack(g.energy_breakdown_j, s, x, y, px, tip, height)
    return bars + svg.text(end + 6, y + height - 3, f"{quantity(g.energy_j, 'J')} · {share}", "small muted")


def layer_bars(groups: Sequence[Group], scales: LayerScales) -> Markup:
    """Two panels of bars beside each layer: exposed time coloured by what limited it, energy stacked by component."""
    row, bar, top, label = 20.0, 13.0, 48.0, 300.0
    panel = (WIDTH - label - GAP_PX) / 2
    x_time, x_energy, room = label, label + panel + GAP_PX, panel - 120
    px_s = ratio(room, max((g.exposed_s for g in groups), default=0.0))
    px_j = ratio(room, max((g.energy_j for g in groups), default=0.0))
    marks = [
        svg.text(x_time, 12, "exposed time, coloured by what limited it", "strong"),
        svg.text(x_energy, 12, "energy, stacked by component", "strong"),
        legend(x_time, 32, scales.palette.legend(scales.bounds, 4)),
        legend(x_energy, 32, scales.palette.legend(scales.components, 4)),
    ]
    for i, g in enumerate(groups):
        y = top + i * row
        marks += [
            svg.rect(0, y - 4, WIDTH, row, "stripe") if i % 2 else Markup(""),
            _layer_label(g, y + bar - 3, label - 12),
            _time_cell(g, scales, x_time, y, px_s, bar),
            _energy_cell(g, scales, x_energy, y, px_j, bar),
        ]
    return svg.drawing(WIDTH, top + row * len(groups) + 2, "Exposed time and energy by layer", *marks)


# --- over time --------------------------------------------------------------------------------------------------


def _nice_step(span: float, steps: int) -> float:
    """The smallest of 1, 2, 5 x 10^k that divides `span` into at most `steps`."""
    rough = span / steps
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def _time_axis(x: float, width: float, span: int, top: float, bottom: float) -> Markup:
    span_s = span / PS_PER_S
    step = _nice_step(span_s, 8)
    marks = []
    for k in range(int(span_s / step * (1 + 1e-9)) + 1):
        at = x + k * step / span_s * width
        marks.append(svg.line(at, top, at, bottom, "grid"))
        marks.append(svg.text(at, bottom + 14, quantity(k * step, "s") if k else "0", "small muted", "middle"))
    return Markup("").join(marks)


def _area(values: FloatArray, x: float, base: float, width: float, height: float, class_: str) -> Markup:
    """A stepped area; equal neighbours share one step, which keeps long flat series small."""
    bin_px = width / len(values)
    points, last = [(x, base)], 0.0
    for i, value in enumerate(values):
        level = round(float(value), 3)
        if level != last:
            points += [(x + i * bin_px, base - last * height), (x + i * bin_px, base - level * height)]
            last = level
    points += [(x + width, base - last * height), (x + width, base)]
    return svg.path(points, class_, closed=True)


def _track_bar(track: Track, x: float, y: float, width: float, height: float) -> Markup:
    total = track.busy_s + track.stall_s + track.idle_s
    marks = []
    for kind, seconds in (("busy", track.busy_s), ("stall", track.stall_s), ("idle", track.idle_s)):
        share = ratio(seconds, total)
        tip = f"{plain(track.name)} {kind}: {quantity(seconds, 's')}, {percent(share)}"
        if share > 0:
            marks.append(svg.rect(x, y, share * width, height, kind, tip))
        x += share * width
    return Markup("").join(marks)


def _phases(spans: Sequence[tuple[str, int, int]], x: float, width: float, span: int) -> Markup:
    marks = []
    for i, (phase, start, end) in enumerate(spans):
        left, px = x + start / span * width, (end - start) / span * width
        tip = f"phase {plain(phase)}: {quantity(start / PS_PER_S, 's')} to {quantity(end / PS_PER_S, 's')}"
        marks.append(svg.rect(left, 20, max(px - 1, 1), 14, f"phase{i % 2}", tip))
        if fits(shown := plain(phase, 40), px):
            marks.append(svg.text(left + px / 2, 31, shown, "small", "middle"))
    return Markup("").join(marks)


def tracks(
    items: Sequence[Track], series: Sequence[Series], span: int, phases: Sequence[tuple[str, int, int]]
) -> Markup:
    """Each unit and port: its busy and stalled share over the run, and the totals beside it."""
    by_name = {s.track: s for s in series}
    row, height, top, bar = 40.0, 28.0, 42.0, 130.0
    x, width = LABEL_PX, WIDTH - LABEL_PX - bar - 3 * GAP_PX
    bottom = top + row * len(items)
    marks = [legend(x, 10, (("busy", "busy"), ("stall", "stalled: held, waiting"))),
             svg.text(x + width + 2 * GAP_PX, 10, "busy · stalled · idle", "small"),
             _phases(phases, x, width, span), _time_axis(x, width, span, top, bottom)]  # fmt: skip
    for i, t in enumerate(items):
        y = top + i * row + 6
        marks += [*_track_label(t, y), svg.rect(x, y, width, height, "well")]
        if t.name in by_name:
            s = by_name[t.name]
            marks.append(_area(s.busy + s.stall, x, y + height, width, height, "stall"))
            marks.append(_area(s.busy, x, y + height, width, height, "busy"))
        marks.append(_track_bar(t, x + width + 2 * GAP_PX, y + 6, bar, height - 12))
    return svg.drawing(WIDTH, bottom + 20, "Busy, stalled and idle time of each unit and port", *marks)


def _track_label(track: Track, y: float) -> list[Markup]:
    busy = ratio(track.busy_s, track.busy_s + track.stall_s + track.idle_s)
    return [svg.text(0, y + 12, clipped(plain(track.name), LABEL_PX - 12), "strong"),
            svg.text(0, y + 26, f"busy {percent(busy)}", "small muted")]  # fmt: skip


def _fill_area(fill: Fill, scale_bits: float, x: float, base: float, width: float, height: float, span: int) -> Markup:
    points, last = [(x, base)], 0.0
    for at, bits in zip(fill.at_ps, fill.bits, strict=True):
        px, level = x + min(at / span, 1.0) * width, bits / scale_bits * height
        points += [(px, base - last), (px, base - level)]
        last = level
    points += [(x + width, base - last), (x + width, base)]
    return svg.path(points, "over" if fill.peak_bits > fill.capacity_bits else "c0", closed=True)


def occupancy(fills: Sequence[Fill], span: int) -> Markup:
    """Content of each memory over the run against its capacity (the dashed line), one scale a row."""
    row, height, top = 78.0, 52.0, 8.0
    x, width = LABEL_PX, WIDTH - LABEL_PX - 110
    bottom = top + row * len(fills)
    marks = [_time_axis(x, width, span, top, bottom)]
    for i, f in enumerate(fills):
        base = top + i * row + height + 12
        scale = float(max(f.capacity_bits, f.peak_bits, 1))
        # A memory far larger than its content would draw as an empty box: then the content sets the scale.
        roomy = f.peak_bits * 10 < f.capacity_bits
        scale = float(max(f.peak_bits, 1)) * 1.15 if roomy else scale
        marks += [svg.rect(x, base - height, width, height, "well"), *_fill_labels(f, base - height)]
        marks.append(_fill_area(f, scale, x, base, width, height, span))
        marks.append(_capacity_line(f, roomy, scale, x, base, width, height))
    return svg.drawing(WIDTH, bottom + 20, "Memory content over time against capacity", *marks)


def _fill_labels(fill: Fill, y: float) -> list[Markup]:
    used = percent(ratio(fill.peak_bits, fill.capacity_bits))
    return [svg.text(0, y + 14, clipped(plain(fill.level), LABEL_PX - 12), "strong"),
            svg.text(0, y + 30, f"peak {memory(fill.peak_bits)}", "small muted"),
            svg.text(0, y + 44, f"{used} of {memory(fill.capacity_bits)}", "small muted")]  # fmt: skip


def _capacity_line(fill: Fill, roomy: bool, scale: float, x: float, base: float, width: float, height: float) -> Markup:
    if roomy:
        return svg.text(x + width + 8, base - height + 11, "capacity far above", "small muted")
    y = base - fill.capacity_bits / scale * height
    return svg.line(x, y, x + width, y, "limit") + svg.text(x + width + 8, y + 4, "capacity", "small muted")


# --- roofline ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic axis from `low` to `high` over pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log10(value / self.low) / math.log10(self.high / self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def decades(self) -> list[float]:
        """Every power of ten within the axis, thinned to at most eight."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        step = max(1, math.ceil((last - first + 1) / 8))
        return [10.0**e for e in range(first, last + 1, step)]


def _decades_around(values: Sequence[float]) -> tuple[float, float]:
    """Powers of ten with room on both sides of `values`."""
    low, high = min(values), max(values)
    return 10.0 ** (math.floor(math.log10(low) - 0.2)), 10.0 ** (math.ceil(math.log10(high) + 0.2))


@dataclass(frozen=True, slots=True)
class Plane:
    """The roofline's axes: operations per byte against operations per second."""

    x: LogScale
    y: LogScale

    @classmethod
    def of(cls, roof: Roofline) -> Plane:
        """Axes that hold every point, every roof and, where there is one, the ridge."""
        peaks = [peak for _, peak in roof.compute]
        xs = [8 * p.ops_per_bit for p in roof.points if math.isfinite(p.ops_per_bit)]
        if roof.bits_per_s and peaks:
            xs.append(8 * max(peaks) / roof.bits_per_s)
        ys = [p.ops_per_s for p in roof.points] + peaks
        return cls(LogScale(*_decades_around(xs or [1.0]), 70.0, WIDTH - 230.0),
                   LogScale(*_decades_around(ys or [1.0]), 400.0, 12.0))  # fmt: skip


def _grid(plane: Plane, level: str) -> list[Markup]:
    x, y = plane.x, plane.y
    marks = []
    for value in x.decades():
        marks.append(svg.line(x(value), y.end, x(value), y.start, "grid"))
        marks.append(svg.text(x(value), y.start + 16, digits(value), "small muted", "middle"))
    for value in y.decades():
        marks.append(svg.line(x.start, y(value), x.end, y(value), "grid"))
        marks.append(svg.text(x.start - 8, y(value) + 4, quantity(value, "op/s"), "small muted", "end"))
    title = f"operations per byte moved through {plain(level, 40)}" if level else "no memory roof applies"
    return [*marks, svg.text((x.start + x.end) / 2, y.start + 34, title, "small", "middle")]


def _compute_roof(plane: Plane, name: str, peak: float, bytes_per_s: float) -> list[Markup]:
    start = max(peak / bytes_per_s, plane.x.low) if bytes_per_s else plane.x.low
    y = plane.y(peak)
    label = f"{clipped(plain(name), 90)} {quantity(peak, 'op/s')}"
    return [svg.line(plane.x(start), y, plane.x.end, y, "roof"), svg.text(plane.x.end + 8, y + 4, label, "small")]


Place = tuple[float, float]
Box = tuple[float, float, float, float]


def _slant(plane: Plane, roof: Roofline) -> tuple[Place, Place] | None:
    """Both ends of the memory roof; None where there is none within the axes."""
    bytes_per_s = roof.bits_per_s / 8
    if not bytes_per_s:
        return None
    ceiling = max((peak for _, peak in roof.compute), default=plane.y.high)
    left = max(plane.x.low, plane.y.low / bytes_per_s)
    right = min(plane.x.high, ceiling / bytes_per_s)
    if left >= right:
        return None
    return (plane.x(left), plane.y(left * bytes_per_s)), (plane.x(right), plane.y(right * bytes_per_s))


def _memory_roof(plane: Plane, roof: Roofline) -> list[Markup]:
    ends = _slant(plane, roof)
    if ends is None:
        return []
    a, b = ends
    middle = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)
    angle = math.degrees(math.atan2(b[1] - a[1], b[0] - a[0]))
    turn = f"rotate({svg.number(angle)} {svg.number(middle[0])} {svg.number(middle[1])})"
    name = f"{plain(roof.level, 40)} {bandwidth(roof.bits_per_s)}"
    label = svg.tag("text", name, x=middle[0], y=middle[1] - 7, class_="small", text_anchor="middle", transform=turn)
    return [svg.line(*a, *b, "roof"), label]


def _mark(plane: Plane, point: Point, class_: str, longest_s: float) -> Markup:
    g = point.group
    x, y = _at(plane, point)
    reuse = f"{digits(8 * point.ops_per_bit)} op/byte" if math.isfinite(point.ops_per_bit) else "moves nothing here"
    tip = f"{plain(g.label)} ×{g.layers}\n{quantity(point.ops_per_s, 'op/s')}, {reuse}"
    tip += f"\nexposed {quantity(g.exposed_s, 's')}"
    radius = 4 + 10 * math.sqrt(ratio(g.exposed_s, longest_s))
    return svg.tag("circle", svg.tag("title", tip), cx=x, cy=y, r=radius,
                   class_=f"point {class_}")  # fmt: skip


def _overlaps(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _place(x: float, y: float, width: float, taken: Sequence[Box]) -> Box | None:
    """The first place beside (x, y) where a label covers nothing; None when every place is taken."""
    for dx, dy in ((18.0, 4.0), (-18.0 - width, 4.0), (14.0, -14.0), (14.0, 24.0), (-14.0 - width, 24.0),
                   (-14.0 - width, -14.0), (-width / 2, -24.0), (-width / 2, 34.0)):  # fmt: skip
        box = (x + dx, y + dy - 11, x + dx + width, y + dy + 3)
        inside = box[0] > 0 and box[2] < WIDTH
        if inside and not any(_overlaps(box, other) for other in taken):
            return box
    return None


def _roof_boxes(plane: Plane, roof: Roofline, pieces: int = 40) -> list[Box]:
    """What the roofs cover, so that no label is written across them."""
    boxes = [(plane.x.start, plane.y(peak) - 2, WIDTH, plane.y(peak) + 2) for _, peak in roof.compute]
    ends = _slant(plane, roof)
    if ends:
        (x, y), (to_x, to_y) = ends
        dx, dy = (to_x - x) / pieces, (to_y - y) / pieces
        boxes += [(x + i * dx, y + (i + 1) * dy, x + (i + 1) * dx, y + i * dy) for i in range(pieces)]
    return boxes


def _at(plane: Plane, p: Point) -> tuple[float, float]:
    """Where a point is drawn; at the right edge when it moves nothing through the level."""
    x = plane.x(8 * p.ops_per_bit) if math.isfinite(p.ops_per_bit) else plane.x.end
    return x, plane.y(p.ops_per_s)


def _clumps(plane: Plane, points: Sequence[Point], reach: float = 16.0) -> list[list[Point]]:
    """Points that lie upon one another, longest exposed time first: one label serves each clump."""
    clumps: list[list[Point]] = []
    for p in sorted(points, key=lambda p: (-p.group.exposed_s, p.group.label)):
        home = next((c for c in clumps if math.dist(_at(plane, c[0]), _at(plane, p)) < reach), None)
        if home is None:
            clumps.append([p])
        else:
            home.append(p)
    return clumps


def _point_labels(plane: Plane, roof: Roofline, few: int = 8) -> list[Markup]:
    """A name beside each of the clumps that take the most time, where there is room."""
    clumps = _clumps(plane, roof.points)
    marks = []
    taken = [(x - 9, y - 9, x + 9, y + 9) for x, y in (_at(plane, c[0]) for c in clumps)]
    taken += _roof_boxes(plane, roof)
    for clump in clumps[:few]:
        more = f" and {len(clump) - 1} more" if len(clump) > 1 else ""
        shown = clipped(plain(clump[0].group.label), 200) + more
        box = _place(*_at(plane, clump[0]), len(shown) * CHARACTER_PX * 0.92, taken)
        if box:
            taken.append(box)
            marks.append(svg.text(box[0], box[3] - 3, shown, "small halo"))
    return marks


def roofline(roof: Roofline, ops: Palette) -> Markup:
    """Roofs and the layers under them, log-log: a point's area is its share of the time, its colour its operator."""
    plane = Plane.of(roof)
    longest = max((p.group.exposed_s for p in roof.points), default=0.0)
    marks = _grid(plane, roof.level)
    for name, peak in roof.compute:
        marks += _compute_roof(plane, name, peak, roof.bits_per_s / 8)
    marks += _memory_roof(plane, roof)
    marks += [_mark(plane, p, ops(p.group.op), longest) for p in sorted(roof.points, key=lambda p: -p.group.exposed_s)]
    marks += _point_labels(plane, roof)
    present = {p.group.op for p in roof.points}
    marks.append(legend(plane.x.start + 10, 24, ops.legend([n for n in ops.names if n in present], 6)))
    return svg.drawing(WIDTH, 444, f"Roofline over {plain(roof.level)}", *marks)
