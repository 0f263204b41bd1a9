"""How figures read in a report: three significant digits and a prefix, and names that can neither hide nor act.

`hwsim.units` writes quantities exactly, to be read back; what is computed is rounded here, for people.
"""

from __future__ import annotations

import math
from enum import Enum

from hwsim.units import format_quantity, unit_of

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"),
             (1e-12, "p"), (1e-15, "f"))  # fmt: skip
_BINARY_PREFIXES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B"))
_SIGNIFICANT = 3


def digits(value: float) -> str:
    """`value` to three significant digits without an exponent: 0.123, 1.23, 12.3, 1234."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = _SIGNIFICANT - 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, places):.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT - 1}e}") if math.isfinite(value) else value


def quantity(value: float, unit: str) -> str:
    """`value` with an engineering prefix before `unit`: quantity(0.00321, "s") is "3.21 ms"."""
    size = abs(_rounded(value))
    if size == 0 or not math.isfinite(size):
        return f"{value:g} {unit}".rstrip()
    scale, prefix = next((p for p in _PREFIXES if size >= p[0]), _PREFIXES[-1])
    return f"{digits(value / scale)} {prefix}{unit}".rstrip()


def quantity_pair(low: float, high: float, unit: str) -> str:
    """Two quantities as a range, the unit written once where both take the same prefix."""
    a, b = quantity(low, unit), quantity(high, unit)
    number, _, a_unit = a.partition(" ")
    return f"{number} to {b}" if b.endswith(f" {a_unit}") else f"{a} to {b}"


def memory(bits: float) -> str:
    """Bits as binary bytes, for people: memory(65536) is "8 KiB"; below a byte, bits."""
    size = bits / 8
    if bits == 0:
        return "0"
    if abs(size) < 1:
        return f"{digits(bits)} bit"
    scale, unit = next(p for p in _BINARY_PREFIXES if abs(size) >= p[0])
    return f"{digits(size / scale)} {unit}"


def bandwidth(bits_per_s: float) -> str:
    """Bits a second as decimal bytes a second, as datasheets give bandwidth."""
    return quantity(bits_per_s / 8, "B/s")


def rate(value: float, unit: str) -> str:
    """A rate whose unit is a word ("tokens/s"), without prefixes: rate(3900.2, "tokens/s") is "3,900 tokens/s"."""
    grouped = math.isfinite(value) and abs(value) >= 1000
    return f"{float(digits(value)):,.0f} {unit}" if grouped else f"{digits(value)} {unit}"


def percent(share: float) -> str:
    """A share of one as a percentage; what is there but rounds to nothing reads "<0.1 %"."""
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.1f} %"


def ratio(part: float, whole: float) -> float:
    """part / whole, 0 where there is no whole."""
    return part / whole if whole else 0.0


def plain(text: object, limit: int = 80) -> str:
    """Text that shows what it holds: control, bidirectional and surrogate characters escaped, then cut at `limit`.

    Names come from other people's files. An escape sequence must not reach a terminal, nor a right-to-left override
    a table.
    """
    raw = str(text)[: limit + 1]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in raw)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def value_text(value: object, unit: str = "") -> str:
    """A design value as its YAML file would say it: true/false, enum members by lower-case name, quantities exactly."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Enum):
        return value.name.lower()
    if value is None or not isinstance(value, int | float) or not math.isfinite(value):
        return "" if value is None else plain(value)
    name = "value_" + unit.lower().replace("bit", "bits").replace("/", "_per_")
    if unit and unit_of(name) == unit:
        return format_quantity(value, name)
    return f"{value} {plain(unit)}".rstrip()
