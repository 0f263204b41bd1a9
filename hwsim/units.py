"""Quantities with units: the only parser and the only formatter of texts such as "64 KiB", "800 MHz" and "1.2 pJ".

Inside, a quantity is a plain number whose unit stands in its name: `clock_khz = 800_000`. The name's suffix decides
which units a text may have. Arithmetic is exact (fractions of integers), so nothing is rounded in silence: a text that
is no whole number of the name's unit is an error where an integer is due.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

DECIMAL_PREFIXES: Mapping[str, int] = {
    "f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15,
}  # fmt: skip
"""SI prefixes as powers of ten (BIPM, The International System of Units, table 7); u stands for µ."""

BINARY_PREFIXES: Mapping[str, int] = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40}
"""IEC 80000-13 prefixes as powers of two."""

BITS_PER_BYTE = 8

_NUMBER = re.compile(
    r"\s*([-+]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?)(?![0-9.]|[eE][-+]?[0-9])\s*(.*?)\s*\Z", re.DOTALL
)


_MAX_DIGITS = 20
_HARD_TO_READ = re.compile(r"cm2|[kMGT]?B|[KMGT]i")
"""Units that are read but not chosen when writing areas and rates."""


class QuantityError(ValueError):
    """A text that is no quantity of the wanted kind: which rule it breaks, and how to mend it."""

    def __init__(self, code: str, rule: str, remedy: str = "") -> None:
        super().__init__(rule)
        self.code, self.rule, self.remedy = code, rule, remedy


@dataclass(frozen=True, slots=True)
class Dimension:
    """What a name's suffix means: the unit texts it accepts, each as a multiple of the suffix's own unit.

    `typical` is the unit of examples in messages; `ladder` are the units people read, from small to large.
    """

    suffix: str
    unit: str
    typical: str
    units: Mapping[str, Fraction]
    ladder: tuple[str, ...]


def _scaled(base: str, prefixes: str, power: int = 1) -> dict[str, Fraction]:
    """Unit texts of `base` under SI prefixes ("-" for none) as multiples of the bare unit; `power` 2 for areas."""
    chosen = ["" if p == "-" else p for p in prefixes]
    return {p + base: Fraction(10) ** (DECIMAL_PREFIXES[p] * power) for p in chosen}


def _data_units() -> dict[str, Fraction]:
    units = _scaled("bit", "-kMGT") | {k: v * BITS_PER_BYTE for k, v in _scaled("B", "-kMGT").items()}
    for prefix, power in BINARY_PREFIXES.items():
        units |= {prefix + "bit": Fraction(2**power), prefix + "B": Fraction(BITS_PER_BYTE * 2**power)}
    return units


_DATA = _data_units()
_FAMILIES: Mapping[str, dict[str, Fraction]] = {
    "Hz": _scaled("Hz", "-kMG"),
    "s": _scaled("s", "fpnum-"),
    "J": _scaled("J", "fpnum-k"),
    "W": _scaled("W", "pnum-k"),
    "V": _scaled("V", "m-"),
    "A": _scaled("A", "num-"),
    "m": _scaled("m", "num"),
    "m2": {
        "nm2": Fraction(1, 10**18),
        "um2": Fraction(1, 10**12),
        "mm2": Fraction(1, 10**6),
        "cm2": Fraction(1, 10**4),
    },
    "bit": _DATA,
}
_SIMPLE: Mapping[str, tuple[str, str, str]] = {
    "hz": ("Hz", "Hz", "MHz"), "khz": ("Hz", "kHz", "MHz"), "mhz": ("Hz", "MHz", "MHz"), "ghz": ("Hz", "GHz", "GHz"),
    "fs": ("s", "fs", "ps"), "ps": ("s", "ps", "ns"), "ns": ("s", "ns", "ns"), "us": ("s", "us", "us"),
    "ms": ("s", "ms", "ms"), "s": ("s", "s", "ms"),
    "fj": ("J", "fJ", "pJ"), "pj": ("J", "pJ", "pJ"), "nj": ("J", "nJ", "nJ"), "uj": ("J", "uJ", "uJ"),
    "mj": ("J", "mJ", "mJ"), "j": ("J", "J", "mJ"),
    "w": ("W", "W", "W"), "mw": ("W", "mW", "mW"), "uw": ("W", "uW", "uW"), "nw": ("W", "nW", "nW"),
    "v": ("V", "V", "V"), "mv": ("V", "mV", "mV"), "ma": ("A", "mA", "mA"), "a": ("A", "A", "A"),
    "nm": ("m", "nm", "nm"), "um": ("m", "um", "um"), "mm": ("m", "mm", "mm"),
    "um2": ("m2", "um2", "um2"), "mm2": ("m2", "mm2", "mm2"),
    "bits": ("bit", "bit", "KiB"), "bit": ("bit", "bit", "KiB"),
}  # fmt: skip
_DENOMINATORS: Mapping[str, str] = {"s": "s", "bit": "bit", "mm2": "mm2", "mm": "mm", "um": "um", "access": "access"}
_PLAIN_DENOMINATORS = frozenset({"cycle", "op", "mac"})


@lru_cache(maxsize=256)
def dimension_of(name: str) -> Dimension | None:
    """What the suffix of a field name says about its unit; None for a plain number.

    `clock_khz` is a frequency, `buffer_bits` an amount of data, `memory_bits_per_s` a rate, `leakage_w_per_mm2` a
    density. Counts (`macs`), `_cycles`, and anything `_per_cycle`, `_per_op` or `_per_mac` are plain numbers.
    """
    words = name.split("_")
    if len(words) >= 4 and words[-2] == "per":
        return _ratio(words[-3], words[-1])
    if len(words) >= 2 and words[-1] in _SIMPLE and "per" not in words[-2:]:
        return _simple(words[-1])
    return None


def _simple(word: str) -> Dimension:
    base, unit, typical = _SIMPLE[word]
    family = _FAMILIES[base]
    units = {text: scale / family[unit] for text, scale in family.items()}
    return Dimension("_" + word, unit, typical, units, tuple(sorted(units, key=lambda text: units[text])))


def _ratio(top: str, bottom: str) -> Dimension | None:
    if top not in _SIMPLE or bottom in _PLAIN_DENOMINATORS or bottom not in _DENOMINATORS:
        return None
    above, below = _simple(top), "/" + _DENOMINATORS[bottom]
    units = {text + below: scale for text, scale in above.units.items()}
    ladder = tuple(text + below for text in above.ladder)
    typical = "GB/s" if above.unit + below == "bit/s" else above.typical + below
    return Dimension(f"{above.suffix}_per_{bottom}", above.unit + below, typical, units, ladder)


def bare_name(name: str) -> str:
    """A field name less its unit suffix: `clock_khz` is `clock`; names of plain numbers are unchanged."""
    dimension = dimension_of(name)
    return name.removesuffix(dimension.suffix) if dimension else name


def unit_of(name: str) -> str:
    """The unit in which the field `name` holds its number ("kHz"), "" for a plain number."""
    dimension = dimension_of(name)
    return dimension.unit if dimension else ""


# --- reading ----------------------------------------------------------------------------------------------------


def parse_quantity(text: str, name: str) -> Fraction:
    """The exact number, in the unit of the field `name`, that a text such as "800 MHz" stands for.

    Raises QuantityError when it is no number with a unit of the right dimension.
    """
    dimension = dimension_of(name)
    if dimension is None:
        raise QuantityError("unit", f"{name} is a plain number without a unit")
    found = _NUMBER.match(text)
    if not found:
        raise QuantityError("unit", f"must be a number with a unit, such as {_example(dimension)}")
    number, unit = found.groups()
    if not unit:
        raise missing_unit(number, dimension)
    scale = dimension.units.get(unit.replace("µ", "u").replace("μ", "u"))
    if scale is None:
        raise _unknown_unit(number, unit, dimension)
    return Fraction(number) * scale


def parse_integer(text: str, name: str) -> int:
    """Like `parse_quantity`, for a field that holds an integer.

    Raises QuantityError, with the nearest whole values, when the quantity is not a whole number of the unit.
    """
    exact = parse_quantity(text, name)
    if exact.denominator != 1:
        below = exact.numerator // exact.denominator
        nearest = f"{format_quantity(below, name)} and {format_quantity(below + 1, name)}"
        rule = f"must be a whole number of {unit_of(name)}; the nearest values are {nearest}"
        raise QuantityError("fraction", rule)
    return exact.numerator


def missing_unit(number: object, dimension: Dimension) -> QuantityError:
    """The error about a bare number where a unit is due."""
    return QuantityError("unit", "a unit is needed here", f"Write for example {number} {dimension.typical}.")


def _example(dimension: Dimension) -> str:
    return f"1 {dimension.typical}"


def _unknown_unit(number: str, unit: str, dimension: Dimension) -> QuantityError:
    rule = f"must have one of these units: {_known_units(dimension)}"
    amount, _, rest = unit.partition("/")
    wanted = dimension.unit.partition("/")[2]
    if rest == wanted and dimension.unit.startswith("bit") and (readings := _two_readings(amount)):
        first, second = (f"{number} {reading}{'/' if rest else ''}{rest}" for reading in readings)
        return QuantityError("unit", rule, f"Write {first} or {second}.")
    spellings = {unit.lower(), f"{unit}/{wanted}".lower()}
    near = [text for text in dimension.units if text.lower() in spellings]
    return QuantityError("unit", rule, f"Write {number} {near[0]}." if near else "")


def _known_units(dimension: Dimension) -> str:
    if not dimension.unit.startswith("bit"):
        return ", ".join(dimension.ladder)
    rest = dimension.unit.removeprefix("bit")
    return f"bit{rest} or B{rest}, alone or with k, M, G, T, Ki, Mi, Gi or Ti before it"


def _two_readings(unit: str) -> tuple[str, str] | None:
    """The two units that a data unit may mean where people write it in both senses."""
    if unit == "KB":
        return "KiB", "kB"
    found = re.fullmatch(r"([kKMGT]?)(i?)(?:b|B|Bytes?|bytes?|bits?|Bits?)", unit)
    if not found:
        return None
    letter, binary = found.groups()
    if letter in {"k", "K"}:
        letter = "K" if binary else "k"
    return f"{letter}{binary}bit", f"{letter}{binary}B"


# --- writing ----------------------------------------------------------------------------------------------------


def format_quantity(value: int | float, name: str) -> str:
    """`value`, held in the unit of the field `name`, as people write it; `parse_quantity` reads the same number back.

    Plain numbers have no unit; numbers of more than 20 digits stay in the field's own unit. Data of more than 4,096
    bits are in binary bytes where that is short, else decimal.
    """
    dimension = dimension_of(name)
    if dimension is None:
        return str(value)
    exact = Fraction(value) if isinstance(value, int) else Fraction(repr(value))
    unit = _readable_unit(exact, dimension)
    text = _decimal(exact / dimension.units[unit])
    return f"{text} {unit}" if len(text) <= _MAX_DIGITS else f"{value!r} {dimension.unit}"


def _readable_unit(value: Fraction, dimension: Dimension) -> str:
    if dimension.unit == "bit":
        return _data_unit(value)
    ladder = [text for text in dimension.ladder if not _HARD_TO_READ.match(text)]
    size = abs(value)
    fitting = [text for text in ladder if size >= dimension.units[text]]
    return dimension.unit if not size else (fitting or ladder[:1])[-1]


def _data_unit(value: Fraction) -> str:
    if abs(value) <= 4096:
        return "bit"
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        share = value / _DATA[unit]
        if abs(share) >= 1 and (share * 8).denominator == 1:
            return unit
    fitting = [unit for unit in ("kbit", "Mbit", "Gbit", "Tbit") if abs(value) >= _DATA[unit]]
    return fitting[-1] if fitting else "bit"


def _decimal(value: Fraction) -> str:
    """An exact decimal text. All scales are products of 2 and 5, so one always exists."""
    digits = 0
    scaled = value
    while scaled.denominator != 1:
        scaled *= 10
        digits += 1
    if not digits:
        return str(scaled.numerator)
    sign, text = ("-" if scaled < 0 else ""), str(abs(scaled.numerator)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}"


def parse_number(text: str, name: str) -> float:
    """Like `parse_quantity`, for a field that holds a float.

    Raises QuantityError also when the number does not fit a 64-bit float.
    """
    exact = parse_quantity(text, name)
    try:
        return float(exact)
    except OverflowError:
        raise QuantityError("too-large", "the number must fit a 64-bit float") from None


# --- for reports ------------------------------------------------------------------------------------------------


def readable(value: object, unit: str) -> str:
    """A number held in `unit` as a report prints it: 800000 in "kHz" is "800 MHz". Other values are plain texts."""
    name = _name_with(unit)
    if name and isinstance(value, int | float) and not isinstance(value, bool):
        return format_quantity(value, name)
    return f"{value} {unit}".rstrip()


@lru_cache(maxsize=256)
def _name_with(unit: str) -> str:
    """A field name whose number is held in `unit`, "" if there is none."""
    top, _, bottom = unit.partition("/")
    suffixes = [suffix for suffix, (_, own, _) in _SIMPLE.items() if own == top]
    if not suffixes or (bottom and bottom not in _DENOMINATORS):
        return ""
    return f"value_{suffixes[0]}_per_{bottom}" if bottom else f"value_{suffixes[0]}"
