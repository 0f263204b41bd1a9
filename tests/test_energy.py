"""Technology nodes and the cost of actions: published points, the scaling rule, and what must hold at every size."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim import energy
from hwsim.document import read_yaml
from hwsim.energy import INTERPOLATION_SPREAD, Node
from hwsim.errors import InputError
from hwsim.pure import is_pure
from hwsim.table import EVIDENCE, TABLES
from hwsim.timing.compile import compile_pure

NAMES = ("45nm", "28nm", "16nm", "7nm")
NODES = {name: energy.node(name) for name in NAMES}
nodes = st.sampled_from(list(NODES.values()))
neighbours = st.sampled_from(list(pairwise(NODES.values())))
widths = st.integers(1, 64)
words = st.integers(1, 4096)
sizes = st.integers(1, 1 << 40)


# --- published points ---------------------------------------------------------------------------------------------


def test_the_shipped_nodes_in_order() -> None:
    assert energy.node_names() == list(NAMES)
    assert [n.feature_nm for n in NODES.values()] == [45, 28, 16, 7]


def test_functions_return_the_published_figures_at_published_sizes() -> None:
    """Horowitz (ISSCC 2014) at 45 nm and Jouppi et al. (ISCA 2021, table 2) at 7 nm."""
    old, new = NODES["45nm"], NODES["7nm"]
    assert (energy.int_add_pj(old, 8), energy.int_add_pj(new, 8)) == (0.03, 0.007)
    assert energy.int_add_pj(old, 32) == pytest.approx(0.1)
    assert energy.int_mult_pj(old, 8, 8) == 0.2
    assert energy.int_mult_pj(new, 32, 32) == pytest.approx(1.48)
    assert energy.mac_pj(old, 8, 8, 32) == pytest.approx(0.2 + 0.1)
    assert energy.fp_mac_pj(old, 16) == pytest.approx(1.1 + 0.4)
    assert energy.fp_mac_pj(new, 32) == pytest.approx(1.31 + 0.38)
    assert energy.bf16_mac_pj(new) == pytest.approx(0.21 + 0.38)
    for kib, at_45, at_7 in ((8, 10, 7.5), (32, 20, 8.5), (1024, 100, 14)):
        assert energy.sram_read_pj(old, kib * 8192, 64) == pytest.approx(at_45)
        assert energy.sram_read_pj(new, kib * 8192, 64) == pytest.approx(at_7)


def test_areas_at_45_nm() -> None:
    """An 8x8 multiplier of 282 um2, a 32-bit adder of 137, 32 flip-flops at 70 %; bit cells of 0.346 at 60 %."""
    node = NODES["45nm"]
    flop_um2 = 5.98 * (45 / 40) ** (math.log(1 / 0.46) / math.log(45 / 32))
    assert energy.mac_area_mm2(node, 8, 8, 32) * 1e6 == pytest.approx((282 + 137 + 32 * flop_um2) / 0.7)
    assert energy.sram_area_mm2(node, 8_000_000) == pytest.approx(8 * 0.346 / 0.6)
    assert energy.fp_mac_area_mm2(node, 32) * 1e6 == pytest.approx((7700 + 4184) / 0.7)


def test_leakage_is_linear() -> None:
    node = NODES["28nm"]
    assert energy.sram_leakage_w(node, 1 << 23) == pytest.approx((1 << 23) * 1e-9 * 0.127 / 0.346)
    assert energy.logic_leakage_w(node, 5.0) == pytest.approx(5.0 * 0.7 * 0.012)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_has_source_evidence_and_range(name: str) -> None:
    figures = energy.node_figures(name)
    assert set(figures) == set(Node._fields)
    for figure in figures.values():
        assert figure.source and figure.evidence in EVIDENCE
        assert figure.low <= figure.value <= figure.high
        assert figure.where.file.endswith("tables/technology.yaml") and figure.where.line > 1
    low, high = energy.node_bounds(name)
    assert all(a <= b <= c for a, b, c in zip(low, NODES[name], high, strict=True))


def test_interpolated_figures_say_so_and_are_wider_than_the_ends() -> None:
    figure = energy.node_figures("28nm")["int8_mult_pj"]
    assert figure.evidence == "computed"
    assert figure.source.startswith("log-log between 7 nm, 45 nm: ")
    slope = math.log(0.07 / 0.2) / math.log(7 / 45)
    assert figure.value == pytest.approx(0.2 * (28 / 45) ** slope)
    assert figure.high / figure.low >= INTERPOLATION_SPREAD**2
    assert energy.node_figures("7nm")["int8_mult_pj"].evidence == "recalled"
    followed = energy.node_figures("45nm")["bf16_mult_pj"]
    assert followed.value == pytest.approx(0.21 * 1.1 / 0.34)
    assert followed.source.startswith("as fp16_mult_pj from 7 nm: ")


# --- the scaling rule ---------------------------------------------------------------------------------------------


def leave_one_out(points: list[tuple[float, float]]) -> list[tuple[float, float, float]]:
    """(nm, published, what the rule says without that point) for every inner point."""
    ordered = sorted(points)
    return [(nm, v, energy.scale(nm, [p for p in ordered if p[0] != nm])) for nm, v in ordered[1:-1]]


def test_the_rule_at_points_it_was_not_given(capsys: pytest.CaptureFixture[str]) -> None:
    """Arithmetic and area within INTERPOLATION_SPREAD; storage and wires within their own stated ranges."""
    raw = read_yaml(TABLES / "technology.yaml").data["figures"]
    area = [(float(p["nm"]), float(p["value"])) for p in raw["logic_area_ratio"]["at"]]
    cells = [(float(p["nm"]), float(p["value"])) for p in raw["sram_cell_um2"]]
    lines = [(f"logic area at {nm:g} nm, point left out", v, guess) for nm, v, guess in leave_one_out(area)]
    lines += [(f"6T cell at {nm:g} nm, point left out", v, guess) for nm, v, guess in leave_one_out(cells)]
    lines += [
        ("16-bit addition at 45 nm, pJ (Horowitz 2014)", 0.05, energy.int_add_pj(NODES["45nm"], 16)),
        ("16-bit addition at 28 nm, pJ (Dally)", 0.032, energy.int_add_pj(NODES["28nm"], 16)),
    ]
    wide = energy.node_figures("28nm")["sram_8kib_pj"]
    width = energy.sram_read_pj(NODES["28nm"], 65536, 256) / NODES["28nm"].sram_8kib_pj
    small = energy.node_figures("16nm")["sram_8kib_pj"]
    wire = energy.node_figures("16nm")["wire_pj_per_bit_mm"]
    ranged = [
        (
            "256-bit read of 8 KiB at 28 nm, pJ (Dally, SC12)",
            50.0,
            wide.value * width,
            wide.low * width,
            wide.high * width,
        ),
        (
            "8 KiB at 14 nm, pJ/bit, by 16 nm (Dally, CACM 2020)",
            0.05,
            *(x / 64 for x in (small.value, small.low, small.high)),
        ),
        ("wire at 16 nm, pJ/bit/mm (Dally, VLSI 2018)", 0.03, wire.value, wire.low, wire.high),
    ]
    with capsys.disabled():
        print("\nThe scaling rule beside published points it was not given:")
        for what, published, ours in lines:
            print(f"  {what:50} {published:8.4g}  rule {ours:8.4g}  {ours / published - 1:+5.0%}")
        for what, published, ours, low, high in ranged:
            print(f"  {what:50} {published:8.4g}  rule {ours:8.4g}  {ours / published - 1:+5.0%}"
                  f"  range {low:.3g} to {high:.3g}")  # fmt: skip
    assert len(lines) == 7
    for what, published, ours in lines:
        assert 1 / INTERPOLATION_SPREAD <= ours / published <= INTERPOLATION_SPREAD, what
    for what, published, _, low, high in ranged:
        assert low <= published <= high, what


def test_scale_returns_points_exactly_and_a_power_law_between() -> None:
    points = [(45.0, 8.0), (5.0, 2.0)]
    assert energy.scale(45, points) == 8.0
    assert energy.scale(15, points) == pytest.approx(4.0)
    assert energy.scale(135, points) == pytest.approx(16.0)
    assert energy.scale(3, [(40.0, 7.0)]) == 7.0


@given(st.floats(3, 90), st.floats(3, 90))
def test_scale_is_monotone_through_monotone_points(a: float, b: float) -> None:
    points = [(45.0, 0.346), (28.0, 0.127), (16.0, 0.07), (7.0, 0.027)]
    assert energy.scale(min(a, b), points) <= energy.scale(max(a, b), points) * (1 + 1e-12)


# --- what must hold at every size ---------------------------------------------------------------------------------


def up(small: float, large: float) -> bool:
    """small <= large, give or take the last bit of a power."""
    return small <= large * (1 + 1e-12)


@given(nodes, widths, widths, widths)
def test_wider_arithmetic_is_never_cheaper_or_smaller(node: Node, a: int, b: int, c: int) -> None:
    a, wider = min(a, b), max(a, b)
    assert up(energy.int_add_pj(node, a), energy.int_add_pj(node, wider))
    assert up(energy.int_mult_pj(node, a, c), energy.int_mult_pj(node, wider, c))
    assert energy.int_mult_pj(node, a, c) == energy.int_mult_pj(node, c, a)
    assert up(energy.mac_pj(node, a, c, c), energy.mac_pj(node, wider, c, c))
    assert up(energy.fp_mac_pj(node, a), energy.fp_mac_pj(node, wider))
    assert up(energy.mac_area_mm2(node, a, c, c), energy.mac_area_mm2(node, wider, c, c))
    assert energy.compare_pj(node, a) == energy.int_add_pj(node, a) > 0


@given(nodes, sizes, sizes, words, words)
def test_bigger_or_wider_memory_is_never_cheaper_an_access(node: Node, a: int, b: int, w: int, v: int) -> None:
    small, large, narrow, wide = min(a, b), max(a, b), min(w, v), max(w, v)
    access = energy.sram_read_pj
    assert up(access(node, small, w), access(node, large, w))
    assert up(access(node, a, narrow), access(node, a, wide))
    assert up(energy.sram_read_pj_per_bit(node, a, wide), energy.sram_read_pj_per_bit(node, a, narrow))
    assert access(node, a, w) >= w * energy.register_pj_per_bit(node)
    ratio = energy.sram_write_pj_per_bit(node, a, w) / energy.sram_read_pj_per_bit(node, a, w)
    assert ratio == pytest.approx(node.sram_write_ratio)


@given(neighbours, widths, widths, sizes, words)
def test_a_smaller_node_is_never_dearer(pair: tuple[Node, Node], a: int, b: int, size: int, word: int) -> None:
    older, newer = pair
    assert up(energy.mac_pj(newer, a, b, 32), energy.mac_pj(older, a, b, 32))
    assert up(energy.fp_mac_pj(newer, a), energy.fp_mac_pj(older, a))
    assert up(energy.bf16_mac_pj(newer), energy.bf16_mac_pj(older))
    assert up(energy.sram_read_pj(newer, size, word), energy.sram_read_pj(older, size, word))
    assert up(energy.sram_area_mm2(newer, size), energy.sram_area_mm2(older, size))
    assert up(energy.sram_leakage_w(newer, size), energy.sram_leakage_w(older, size))
    assert up(energy.mac_area_mm2(newer, a, b, 32), energy.mac_area_mm2(older, a, b, 32))
    assert up(energy.bus_pj(newer, a, 2.5), energy.bus_pj(older, a, 2.5))
    assert up(energy.flash_read_pj_per_bit(newer), energy.flash_read_pj_per_bit(older))


def test_sram_energy_has_no_step_where_the_law_changes() -> None:
    for node in NODES.values():
        for kib in (8, 32, 1024):
            below, above = (energy.sram_read_pj(node, kib * 8192 + d, 64) for d in (-1, 1))
            assert above / below == pytest.approx(1, rel=1e-4)


def test_dynamic_energy_goes_as_the_square_of_the_voltage() -> None:
    node = NODES["45nm"]
    assert energy.at_voltage_pj(node, 1.0, node.supply_v) == 1.0
    assert energy.at_voltage_pj(node, 1.0, 0.45) == pytest.approx(0.25)


@given(nodes, st.integers(1, 64), st.integers(1, 64), sizes, words)
def test_plain_and_compiled_agree_to_the_bit(node: Node, a: int, b: int, size: int, word: int) -> None:
    cases = [
        (energy.mac_pj, (node, a, b, 32)),
        (energy.fp_mac_pj, (node, a)),
        (energy.sram_read_pj_per_bit, (node, size, word)),
        (energy.sram_write_pj_per_bit, (node, size, word)),
        (energy.sram_area_mm2, (node, size)),
        (energy.mac_area_mm2, (node, a, b, 32)),
        (energy.sram_leakage_w, (node, size)),
    ]
    for function, arguments in cases:
        assert compile_pure(function)(*arguments) == function(*arguments)


def test_every_public_price_is_pure() -> None:
    names = [
        n for n in vars(energy) if n.endswith(("_pj", "_pj_per_bit", "_pj_per_bit_mm", "_w", "_mm2")) and n[0] != "_"
    ]
    assert len(names) >= 20
    assert all(is_pure(getattr(energy, n)) for n in names)


# --- a table of one's own -----------------------------------------------------------------------------------------


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_node_of_ones_own_takes_the_rest_from_the_shipped_curves(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "nodes:\n  fab22: {feature_nm: 22, source: our PDK, evidence: verified, sram_cell_um2: 0.11}\n",
    )
    node = energy.node(path)
    assert (node.feature_nm, node.sram_cell_um2) == (22, 0.11)
    assert node.int8_add_pj == pytest.approx(0.03 * (22 / 45) ** (math.log(0.007 / 0.03) / math.log(7 / 45)))
    assert energy.node_figures(path)["sram_cell_um2"].where.line == 2


def test_curves_of_ones_own_come_before_the_shipped_ones(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "nodes:\n  a: {feature_nm: 10}\n  b: {feature_nm: 20}\n"
        "figures:\n  int8_add_pj:\n    source: me\n    evidence: assumed\n"
        "    at: [{nm: 10, value: 1}, {nm: 40, value: 16}]\n",
    )
    assert energy.node(f"{path}#a").int8_add_pj == 1.0
    assert energy.node(f"{path}#b").int8_add_pj == pytest.approx(4.0)
    with pytest.raises(InputError, match=r"this table has several entries; name one technology: .*#NAME"):
        energy.node(path)


BASE = """nodes:
  fab22: {feature_nm: 22}
figures:
  int8_add_pj:
    - {nm: 45, value: 0.03, source: me, evidence: assumed}
    - {nm: 7, value: 0.007, source: me, evidence: assumed}
"""
NODE, ADD = "nodes.fab22", "figures.int8_add_pj"
WRONG = [
    (
        "feature_nm: 22",
        "feature: 22",
        f"mine.yaml:2:11: [unknown-key] {NODE}.feature: got 'feature'; a node has no such",
    ),
    ("feature_nm: 22", "", f"mine.yaml:2:10: [missing-key] {NODE}: got nothing; a node needs the key feature_nm."),
    ("nm: 22", "nm: 0.5", f"mine.yaml:2:23: [range] {NODE}.feature_nm: got 0.5; must be a number from 1 to 1000."),
    ("22}", "22, int8_add_pj: 1}", f"mine.yaml:2:40: [source] {NODE}.int8_add_pj: got nothing; every figure needs a"),
    (
        "int8_add",
        "int8_ad",
        "mine.yaml:4:3: [unknown-key] figures.int8_ad_pj: got 'int8_ad_pj'; figures has no such key.",
    ),
    (
        "value: 0.03",
        "value: -1",
        f"mine.yaml:5:23: [range] {ADD}[0].value: got -1; must be a number from 1e-18 to 1000000.",
    ),
    ("nm: 7", "nm: 45", f"mine.yaml:5:5: [duplicate] {ADD}: got a list of 2; every point has its own nm."),
    ("nm: 7, ", "", f"mine.yaml:6:7: [missing-key] {ADD}[1].nm: got nothing; a point needs the key nm."),
    (
        "  fab22: {feature_nm: 22}",
        "  {}",
        "mine.yaml:2:3: [empty] nodes: got a mapping; a technology table has at least",
    ),
    (
        "  int8_add_pj:\n",
        "  int8_add_pj:\n    like: x\n    at:\n",
        f"mine.yaml:5:5: [points] {ADD}: got 2; a figure that follows another has exactly one point.",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_what_is_wrong_with_a_table_is_said_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in BASE
    energy.node(write(tmp_path, BASE))
    with pytest.raises(InputError) as caught:
        energy.node(write(tmp_path, BASE.replace(old, new, 1)))
    assert message in str(caught.value)


def test_a_curve_follows_one_of_its_own_table(tmp_path: Path) -> None:
    text = BASE + "  fp16_add_pj: {like: fp32_add_pj, at: [{nm: 7, value: 1, source: me, evidence: assumed}]}\n"
    with pytest.raises(InputError) as caught:
        energy.node(write(tmp_path, text))
    assert "mine.yaml:7:23: [choice] figures.fp16_add_pj.like: got 'fp32_add_pj'; names a figure of this table" in str(
        caught.value
    )


def test_an_unknown_node_is_named_with_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        energy.node("28")
    assert str(caught.value) == "[unknown-technology] got '28'; no technology has this name. Did you mean 28nm?"
    with pytest.raises(InputError):
        energy.node("missing.yaml")
