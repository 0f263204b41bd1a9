"""Elements of SVG and HTML as escaped markup. Text and attribute values are always escaped; there is no raw path in."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

Attribute = str | int | float | None


def number(value: float) -> str:
    """A coordinate to a tenth of a pixel, without trailing zeros."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text in {"-0", ""} else text


def _attribute(name: str, value: Attribute) -> Markup:
    shown = number(value) if isinstance(value, float) else str(value)
    return Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), shown)


def tag(name: str, *children: str | Markup, **attributes: Attribute) -> Markup:
    """One element. `class_` and `font_size` become class and font-size; attributes that are None are left out."""
    written = Markup("").join(_attribute(k, v) for k, v in attributes.items() if v is not None)
    inner = Markup("").join(escape(c) for c in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, inner)


def rect(x: float, y: float, width: float, height: float, class_: str, title: str = "") -> Markup:
    """A rectangle, with a tooltip when `title` is given."""
    tip = [tag("title", title)] if title else []
    return tag("rect", *tip, x=float(x), y=float(y), width=float(max(width, 0)), height=float(height), class_=class_)


def text(x: float, y: float, content: str, class_: str = "", anchor: str | None = None) -> Markup:
    """A line of text whose baseline is at y."""
    return tag("text", content, x=float(x), y=float(y), class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_)


def path(points: Iterable[tuple[float, float]], class_: str, closed: bool = False) -> Markup:
    """A polyline, or a filled outline when `closed`."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return tag("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_)


def drawing(width: float, height: float, label: str, *children: Markup) -> Markup:
    """A whole picture that scales with the page; `label` is what a screen reader says."""
    return tag("svg", *children, viewBox=f"0 0 {number(width)} {number(height)}", role="img", aria_label=label,
               class_="chart")  # fmt: skip
