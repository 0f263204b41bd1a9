"""FPGA devices: the table, what is wrong with a user's own, and the formulas."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hwsim import fpga
from hwsim.errors import InputError
from hwsim.netlist.lut6 import lut6_of, muxes_of
from hwsim.parts import TABLES, resolve_parts, tables_of
from hwsim.table import TABLES as FOLDER

DEVICES = ("xc6slx45", "xc6slx150", "xc7z020", "xc7z045", "xczu3eg", "xczu7ev", "xc7a35t", "xc7a100t")
GOOD = (FOLDER / "fpga.yaml").read_text(encoding="utf-8")


def test_the_devices_are_there_with_a_source_for_every_figure() -> None:
    assert set(DEVICES) <= set(fpga.device_names())
    for name in fpga.device_names():
        for field, figure in fpga.device_figures(name).items():
            assert figure.low <= figure.value <= figure.high, (name, field)
            assert figure.source and figure.evidence
            if figure.evidence == "assumed":
                assert figure.low < figure.high, f"{name}.{field} is assumed and has no range"


def test_counts_are_whole_and_stay_while_energies_move() -> None:
    device, (low, high) = fpga.device("xc7z020"), fpga.device_bounds("xc7z020")
    assert (device.luts, device.flip_flops, device.dsps, device.bram18s) == (53_200, 106_400, 220, 280)
    assert low[:4] == device[:4] == high[:4] and all(type(n) is int for n in device[:4])
    assert low.net_ff < device.net_ff < high.net_ff


@pytest.mark.parametrize(("pins", "tables"), [(1, 1), (2, 1), (6, 1), (7, 2), (8, 4), (9, 8), (12, 64)])
def test_a_wide_table_doubles_with_every_pin_beyond_six(pins: int, tables: int) -> None:
    assert (lut6_of(pins), muxes_of(pins)) == (tables, tables - 1)


def test_formulas_by_hand() -> None:
    d = fpga.device("xc6slx45")
    assert fpga.net_toggle_pj(d) == pytest.approx(0.5 * 600e-15 * 1.2**2 * 1e12)
    assert fpga.level_ps(d, 6) == 250 + 1212
    assert fpga.level_ps(d, 8) == 250 + 2 * 408 + 1212
    assert fpga.clock_w(d, 62_500, 600) == pytest.approx((40e-12 + 600 * 0.05e-12) * 62.5e6)
    assert fpga.bram_pj_per_bit(d) == pytest.approx(30 / 36)
    assert fpga.fabric_mm2(d, 1000) == pytest.approx(0.7)
    assert fpga.bram_mm2(d, 10) == pytest.approx(0.2)


def test_a_table_that_is_not_named_is_no_number() -> None:
    parts = resolve_parts({"device": "xc7a35t"})
    assert math.isnan(parts.node.int8_add_pj) and math.isnan(parts.dram.activate_pj)
    assert math.isnan(resolve_parts({"technology": "28nm"}).fpga.net_ff)
    assert tables_of(object()) == ("technology", "dram") and list(TABLES) == ["technology", "dram", "device"]


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(GOOD.replace("  xc6slx45:", "  board:"), encoding="utf-8")
    assert fpga.device(f"{mine}#board") == fpga.device("xc6slx45")


BAD = {
    "luts: 27288": ("luts: 0", "[range] devices.xc6slx45.luts: got 0; must be an integer from 1"),
    "family: 7-series": ("family: virtex", "[choice] devices.xc7a35t.family: got 'virtex'; must be one of spartan-6"),
    "net_ff: {value: 600, range: [200, 1800]}": (
        "net_ff: {value: 600, range: [700, 1800]}", "a range is [low, high] around the value 600"),
    "    dsps: 58\n": ("", "[missing-key] devices.xc6slx45.dsps: got nothing; a device needs the key dsps"),
    "  spartan-6:\n    source: no figure published; see the head of this table\n": (
        "  spartan-6:\n", "every figure needs a source"),
    "devices:": ("parts:", "devices"),
}  # fmt: skip


@pytest.mark.parametrize("old", BAD)
def test_what_is_wrong_with_a_table_is_said_where_it_stands(tmp_path: Path, old: str) -> None:
    new, message = BAD[old]
    assert old in GOOD
    mine = tmp_path / "mine.yaml"
    mine.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        fpga.read_table(mine)
    assert message in str(caught.value) and "mine.yaml" in str(caught.value)


def test_an_unknown_device_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"unknown-device.*xc6slx45"):
        fpga.device("xc6slx44")
