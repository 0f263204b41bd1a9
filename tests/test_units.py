"""Quantities: exact both ways, and refused with a remedy when a unit is missing, wrong or ambiguous."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import units
from hwsim.units import QuantityError, format_quantity, parse_integer, parse_number, parse_quantity, readable

NAMES = [
    "x_bits", "x_hz", "x_khz", "x_ps", "x_ns", "x_us", "x_ms", "x_s", "x_pj", "x_j", "x_mm2", "x_um2", "x_w", "x_mw",
    "x_v", "x_ma", "x_nm", "x_bits_per_s", "x_pj_per_bit", "x_w_per_mm2", "x_um2_per_bit",
]  # fmt: skip

# Written from the definitions of the prefixes (SI brochure table 7, IEC 80000-13), not from the module's own tables.
EXACT = [
    ("64 KiB", "x_bits", 64 * 1024 * 8),
    ("4 Mbit", "x_bits", 4_000_000),
    ("4 Mibit", "x_bits", 4 * 2**20),
    ("512 B", "x_bits", 4096),
    ("2 kB", "x_bits", 16_000),
    ("16 GiB", "x_bits", 16 * 2**33),
    ("8 bit", "x_bits", 8),
    ("0.5 B", "x_bits", 4),
    ("800 MHz", "x_khz", 800_000),
    ("800MHz", "x_khz", 800_000),
    ("  1.582 GHz ", "x_khz", 1_582_000),
    ("3e3 kHz", "x_hz", 3_000_000),
    ("5 us", "x_ns", 5_000),
    ("5 µs", "x_ns", 5_000),
    ("5 μs", "x_ns", 5_000),
    ("1.25 ns", "x_ps", 1_250),
    ("76.8 GB/s", "x_bits_per_s", 614_400_000_000),
    ("1 GiB/s", "x_bits_per_s", 8 * 2**30),
    ("3 cm2", "x_mm2", 300),
    ("2 mm2", "x_um2", 2_000_000),
    ("-3 ps", "x_ps", -3),
]


@pytest.mark.parametrize(("text", "name", "value"), EXACT)
def test_texts_stand_for_exact_integers(text: str, name: str, value: int) -> None:
    assert parse_integer(text, name) == value


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("3.9 pJ/bit", "x_pj_per_bit", 3.9),
        ("0.1 W", "x_w", 0.1),
        ("250 mW", "x_w", 0.25),
        ("1.2 nJ", "x_pj", 1200.0),
        ("40 mW/mm2", "x_w_per_mm2", 0.04),
    ],
)
def test_texts_stand_for_the_nearest_float(text: str, name: str, value: float) -> None:
    assert parse_number(text, name) == value


REFUSED = [
    ("64 KB", "x_bits", "Write 64 KiB or 64 kB."),
    ("64 Mb", "x_bits", "Write 64 Mbit or 64 MB."),
    ("2 Kib", "x_bits", "Write 2 Kibit or 2 KiB."),
    ("1 bits", "x_bits", "Write 1 bit or 1 B."),
    ("1 Gb/s", "x_bits_per_s", "Write 1 Gbit/s or 1 GB/s."),
    ("800 mhz", "x_khz", "Write 800 MHz."),
    ("800 MHz", "x_bits", ""),
    ("800", "x_khz", "Write for example 800 MHz."),
    ("fast", "x_khz", ""),
    ("1.5.2 MHz", "x_khz", ""),
    ("1e9999 MHz", "x_khz", ""),
    ("1,5 MHz", "x_khz", ""),
    ("0x10 MHz", "x_khz", ""),
    ("", "x_khz", ""),
    ("inf W", "x_w", ""),
    ("8 bit", "x_bits_per_s", "Write 8 bit/s."),
    ("8 J", "x_bits_per_s", ""),
    ("1e999 kW", "x_w", ""),
]


@pytest.mark.parametrize(("text", "name", "remedy"), REFUSED)
def test_other_texts_are_refused_with_a_remedy(text: str, name: str, remedy: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_number(text, name)
    assert caught.value.remedy == remedy


def test_a_fraction_of_an_integer_unit_names_both_neighbours() -> None:
    with pytest.raises(QuantityError) as caught:
        parse_integer("1234.5678 MHz", "x_khz")
    assert caught.value.rule == ("must be a whole number of kHz; the nearest values are 1.234567 GHz and 1.234568 GHz")


def test_plain_numbers_have_no_unit() -> None:
    for name in ("macs", "pipeline_cycles", "read_bits_per_cycle", "pj_per_mac", "share_percent", "bits", "per_s"):
        assert units.dimension_of(name) is None
        assert units.bare_name(name) == name
        assert units.unit_of(name) == ""
        with pytest.raises(QuantityError):
            parse_quantity("1 bit", name)


def test_a_key_is_its_field_less_the_unit() -> None:
    pairs = {"clock_khz": "clock", "buffer_bits": "buffer", "link_bits_per_s": "link", "leak_w_per_mm2": "leak"}
    assert {name: units.bare_name(name) for name in pairs} == pairs


@pytest.mark.parametrize("name", NAMES)
@given(value=st.integers(-(2**62), 2**62))
def test_integers_come_back_from_their_texts(name: str, value: int) -> None:
    assert parse_quantity(format_quantity(value, name), name) == value


@pytest.mark.parametrize("name", NAMES)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_from_their_texts(name: str, value: float) -> None:
    assert parse_number(format_quantity(value, name), name) == value


@given(digits=st.decimals(-(10**9), 10**9, places=6), name=st.sampled_from(NAMES), data=st.data())
def test_parsing_is_exact_in_every_unit(digits: Decimal, name: str, data: st.DataObject) -> None:
    dimension = units.dimension_of(name)
    assert dimension is not None
    unit = data.draw(st.sampled_from(sorted(dimension.units)))
    assert parse_quantity(f"{digits:f} {unit}", name) == Fraction(digits) * dimension.units[unit]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (800_000, "kHz", "800 MHz"),
        (1_582_000, "kHz", "1.582 GHz"),
        (4096, "bit", "4096 bit"),
        (524_288, "bit", "64 KiB"),
        (1_000_000, "bit", "1 Mbit"),
        (614_400_000_000, "bit/s", "614.4 Gbit/s"),
        (0, "kHz", "0 kHz"),
        (471.0, "mm2", "471 mm2"),
        (0.25, "W", "250 mW"),
        (3.9, "pJ/bit", "3.9 pJ/bit"),
        (7, "", "7"),
        ("sa_rcsc", "", "sa_rcsc"),
        (3, "furlongs", "3 furlongs"),
    ],
)
def test_people_read_short_texts(value: object, unit: str, text: str) -> None:
    assert readable(value, unit) == text
