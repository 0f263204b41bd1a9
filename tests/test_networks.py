"""docs/networks.md: its tables are made again, its figures are those that others publish, its runs run."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.expr import parse
from hwsim.simulate import run
from hwsim.workload import store
from hwsim.workload.ir import Op
from workloads import page

SLOW = {("optimus", "minilm-l6"), ("skynet-ultra96", "vgg11")}
"""Runs of more than a second."""
EVERYWHERE = ("titan-xp", "systolic-128")


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "networks.md").read_text(encoding="utf-8")


def rows_of(text: str, block: str) -> dict[str, list[str]]:
    """The rows of a generated table by their first cell; its head is "network"."""
    part = text.partition(f"<!-- {block}: generated -->")[2].partition("<!-- end -->")[0]
    cells = ([c.strip() for c in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| "))
    return {first: rest for first, *rest in cells}


@pytest.mark.parametrize("block", ["networks", "coverage", "published"])
def test_the_tables_of_networks_are_as_generated(text: str, block: str) -> None:
    rows = {"networks": page.network_rows, "coverage": page.coverage_rows, "published": page.published_rows}[block]
    found = rows_of(text, block)
    heads = found.pop("network")
    assert found == {first: list(rest) for first, *rest in rows()}
    assert len({len(heads), *map(len, found.values())}) == 1
    print(f"docs/networks.md, {block}: {len(found)} networks")


def test_there_are_enough_networks_and_none_has_an_unsupported_operator() -> None:
    assert len(page.NETWORKS) == len(set(page.NETWORKS)) >= 24
    for name in page.NETWORKS:
        found = page.workload(name)
        unsupported = page.Disposition.UNSUPPORTED
        assert page.operators(found)[unsupported] == page.bits_by_disposition(found)[unsupported] == 0, name


def test_published_figures() -> None:
    for name, told in page.PUBLISHED.items():
        found = page.workload(name)
        assert page.agrees(told.parameters, page.parameters(found)), name
        assert not told.macs or page.agrees(told.macs, found.macs(page.binding(found))), name
    print(f"{len(page.PUBLISHED)} networks: parameters and MACs as published")


def test_products_of_efficientnet_lite0_by_hand() -> None:
    """Its authors give 407 M. Stages: expansion, channels, blocks, stride, kernel (EfficientNet-B0's)."""
    stages = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5),
              (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))  # fmt: skip
    side, before, macs = 112, 32, 112**2 * 3 * 32 * 9
    for expansion, channels, blocks, first, kernel in stages:
        for i in range(blocks):
            wide = before * expansion
            macs += side**2 * before * wide if expansion > 1 else 0
            side //= 1 if i else first
            macs += side**2 * wide * (kernel**2 + channels)
            before = channels
    found = page.workload("efficientnet-lite0")
    assert found.macs(page.binding(found)) == macs + side**2 * 320 * 1280 + 1280 * 1000


@pytest.mark.parametrize(
    ("told", "value", "agreed"),
    [("1,234", 1234, True), ("1,234", 1235, False), ("4.2 M", 4_231_976, True), ("4.2 M", 4_260_000, False),
     ("0.217 G", 216_589_760, True), ("0.218 G", 216_589_760, False), ("110 M", 109_482_240, True),
     ("110 M", 104_900_000, False)],
)  # fmt: skip
def test_published_figures_can_disagree(told: str, value: int, agreed: bool) -> None:
    assert page.agrees(told, value) == agreed


def test_designs_run_what_the_page_says(text: str, deep: bool) -> None:
    """Every network on a roofline and the systolic array, four on every design; all on all when asked for depth."""
    told = rows_of(text, "designs")
    assert told.pop("network") == list(page.DESIGNS)
    assert list(told) == list(page.NETWORKS)
    sampled = random.Random(8).sample(page.NETWORKS, 4)
    ran = 0
    for name in page.NETWORKS:
        for design, verdict in zip(page.DESIGNS, told[name], strict=True):
            if deep or design in EVERYWHERE or (name in sampled and (design, name) not in SLOW):
                assert page.answer(design, name).verdict == verdict, (design, name)
                ran += 1
    assert all(told[name][:4] == [page.RUNS] * 4 for name in page.NETWORKS)
    print(f"docs/networks.md: {ran} of {len(page.NETWORKS) * len(page.DESIGNS)} runs made again")


def test_refusals_are_those_of_the_page(text: str, deep: bool) -> None:
    """Each reason stands on the page with the network it is given for."""
    names = page.NETWORKS if deep else random.Random(9).sample(page.NETWORKS, 6)
    lines = text.partition("<!-- refusals: generated -->")[2].partition("<!-- end -->")[0]
    if deep:
        assert lines.strip().splitlines() == page.refusals()
    for design in ("skynet-ultra96", "stm32h7"):
        own = lines.partition(f"**{design}**")[2].partition("**")[0].splitlines()
        for name in names:
            if (design, name) in SLOW:
                continue
            for got, rule in page.answer(design, name).reasons:
                (line,) = (line for line in own if line.startswith(f"- {rule} ("))
                assert f"`{got}`" in line and name in line.rpartition(": ")[2].split(", ")


def test_designs_for_linear_layers_refuse_every_network() -> None:
    for design in page.LINEAR_DESIGNS:
        assert {page.answer(design, name).verdict for name in page.NETWORKS} == {page.REFUSED}


def test_steps_that_wait_for_one_another_take_longer(tmp_path: Path) -> None:
    """On a systolic array, whose weights stay for all rows that come at once."""
    busy = {}
    for sequential in (False, True):
        word = page.workload("lstm-lm")
        ops = tuple(_of_20_steps(op, sequential) for op in word.graphs["word"].ops)
        graphs = {"word": replace(word.graphs["word"], ops=ops)}
        store.write(replace(word, graphs=graphs), tmp_path / "steps.json")
        result = run("systolic-128", str(tmp_path / "steps.json"), bind={"n": 1}, interval=False)
        busy[sequential] = next(layer.cycles for layer in result.layers if layer.name.endswith("l0.hidden"))
    assert busy[True] > 3 * busy[False] > 0


def _of_20_steps(op: Op, sequential: bool) -> Op:
    if not op.attrs.get("sequential"):
        return op
    return replace(op, dims={**op.dims, "batch": parse(20)}, attrs={**op.attrs, "sequential": sequential})


def test_what_an_operator_moves_by_hand() -> None:
    """bert-layer, 128 tokens: 7,087,872 weights once, and every operator's maps."""
    found = page.workload("bert-layer")
    rows, scale = 128 * 768, 32
    modelled = (
        7_087_872  # weights and biases of the products and norms
        + 4 * 2 * rows  # q, k, v, o
        + 4 * rows  # attention: three in, one out
        + 2 * (3 * rows + 2 * rows)  # residual sums and norms
        + (1 + 4) * rows + 2 * 4 * rows + (4 + 1) * rows  # up, GELU, down
    )  # fmt: skip
    free = 4 * 2 * rows * 2  # two views each of q, k, v and of what attention makes
    bits = page.bits_by_disposition(found)
    assert bits[page.Disposition.MODELLED] == modelled * scale
    assert bits[page.Disposition.FREE] == free * scale


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    filled = page.filled("a\n<!-- t: generated -->\nold\n<!-- end -->\nb\n", {"t": ["new"]})
    assert filled == "a\n<!-- t: generated -->\n\nnew\n\n<!-- end -->\nb\n"
    with pytest.raises(ValueError, match="no place for u"):
        page.filled(filled, {"u": []})
