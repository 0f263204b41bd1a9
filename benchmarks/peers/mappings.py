"""ZigZag's choices of tiles and loops beside those of `hwsim map`, both at hwsim's cost.

    python -m benchmarks.peers.mappings [--collect RUNS]     mappings.json from the peers' runs; then the table of
                                                             docs/mapping.md

ZigZag allots the loops of a layer to memories operand by operand; the loops that one operand has in DRAM say which part
of it lies on chip. hwsim cuts all operands at the same loops. So of a ZigZag mapping every cut is taken that one of its
operands has, in every order of the loops outside it, and the cheapest of them is held to be ZigZag's: it is credited
with the best that hwsim's terms can make of it. A cut whose tiles do not fit (its SRAM is shared by two operands, ours
are not) is made smaller, the longest side halved until it does; `shrunk` says for how many layers that one is taken.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from accelerators.systolic.mapping import ORDERS, SPACE, Choice
from accelerators.systolic.tasks import Product as Task
from benchmarks.peers.cases import ZIGZAG, Case
from benchmarks.peers.ours import DESIGNS, settings
from benchmarks.peers.work import ARRAYS, NETWORKS
from benchmarks.peers.zigzag import LOOP
from hwsim.config import DesignFile, load_design
from hwsim.mapping.search import OBJECTIVES, Found, Priced, best, priced
from hwsim.mapping.space import mapped_task
from hwsim.parts import resolve_parts

HERE = Path(__file__).parent
FILE = HERE / "mappings.json"
PAGE = HERE.parent.parent / "docs" / "mapping.md"
BEGIN, END = "<!-- zigzag: generated -->", "<!-- end of zigzag -->"
DIMENSIONS = {"C": "k", "FX": "k", "FY": "k", "K": "n", "OX": "m", "OY": "m", "B": "m", "D": "m"}
"""ZigZag's loops in the terms of a product; others (groups, heads) run over products of their own."""
ON_CHIP = {"I": 1, "O": 2, "W": 1}
"""Memories below DRAM, by operand."""


class Beside(NamedTuple):
    """One layer: what was found, and the cheapest of what ZigZag's mapping can mean here."""

    found: Found
    theirs: Priced
    shrunk: bool


def collect(runs: Path) -> dict[str, Any]:
    """The loops of every ZigZag run of the benchmark, by network and array."""
    held: dict[str, Any] = {"schema": "hwsim/peers-mappings/1", "layers": []}
    for name, network in NETWORKS.items():
        for side in ARRAYS:
            for product in network.products():
                case = json.loads((runs / f"{Case(ZIGZAG, side, side, 'ws', product).key}.json").read_text())
                loops = {kind: {operand: [_pairs(level) for level in levels] for operand, levels in of.items()}
                         for kind, of in case["answer"]["loops"].items()}  # fmt: skip
                held["layers"].append({
                    "network": name, "side": side, "layer": product.name, "cpu_s": case["usage"]["cpu_s"],
                    "sizes": [product.copies, product.m, product.n, product.k], **loops,
                })  # fmt: skip
    return held


def _pairs(level: Iterable[str]) -> list[list[Any]]:
    return [[name, int(size)] for text in level for name, size in LOOP.findall(text)]


@cache
def design(side: int) -> DesignFile:
    """hwsim's design with the hardware of ZigZag's example."""
    return load_design(DESIGNS["zigzag"], settings("zigzag", side)[1::2])


def task_of(sizes: Iterable[int]) -> Task:
    """A product whose operands lie in DRAM as matrices."""
    return Task(*sizes, 0, 0, 0, 0, 0, 0)


def cuts(layer: Mapping[str, Any]) -> Iterator[dict[str, int]]:
    """Tiles (m, n, k) of every cut between the chip and DRAM that one operand has."""
    spatial = max((levels for levels in layer["spatial"].values()), key=lambda levels: sum(map(len, levels)))
    across = [loop for level in spatial for loop in level]
    for operand, below in ON_CHIP.items():
        inside, outside = (
            [loop for level in levels for loop in level]
            for levels in (layer["temporal"][operand][:below], layer["temporal"][operand][below:])
        )
        # What has no loop outside is whole: ZigZag may write fewer columns than there are where they do not divide it.
        split = {DIMENSIONS.get(name) for name, _ in outside}
        yield {
            d: math.prod(size for name, size in [*inside, *across] if DIMENSIONS.get(name) == d)
            if d in split
            else whole
            for d, whole in zip("mnk", layer["sizes"][1:], strict=True)
        }


def meanings(file: DesignFile, task: Task, layer: Mapping[str, Any]) -> dict[Choice, bool]:
    """What the layer's mapping can mean here, and whether it had to be made smaller."""
    found: dict[Choice, bool] = {}
    for cut in cuts(layer):
        tile, shrunk = [min(cut[d], size) for d, size in zip("mnk", (task.m, task.n, task.k), strict=True)], False
        while SPACE.broken(file.design, task, Choice(*tile, ORDERS["mnk"])):
            longest = tile.index(max(tile))
            tile[longest], shrunk = tile[longest] // 2, True
        for order in ORDERS.values():
            found.setdefault(Choice(*tile, order), shrunk)
    return found


def beside(layer: Mapping[str, Any], objective: str) -> Beside:
    """One layer, both ways."""
    file, task = design(layer["side"]), task_of(layer["sizes"])
    parts = resolve_parts(file.named)
    prices = [(priced(file.model, file.design, parts, mapped_task(SPACE, task, choice)), shrunk)
              for choice, shrunk in meanings(file, task, layer).items()]  # fmt: skip
    theirs, shrunk = min(prices, key=lambda p: p[0].of(objective))
    return Beside(best(file.model, file.design, parts, task, objective), theirs, shrunk)


def table(held: Mapping[str, Any]) -> str:
    """Ours over theirs by network and array, and the time of both searches."""
    lines = [
        "| network | array | layers | shrunk | latency: least, median, most | energy | product "
        "| ms a layer: median, most | ZigZag, s a layer |",
        "| --- | --: | --: | --: | --- | --- | --- | --- | --: |",
    ]
    beside(held["layers"][0], "latency")  # compiles
    for name, network in NETWORKS.items():
        for side in ARRAYS:
            layers = [one for one in held["layers"] if (one["network"], one["side"]) == (name, side)]
            sets = {o: [beside(layer, o) for layer in layers] for o in OBJECTIVES}
            ratios = [three([b.found.priced.of(o) / b.theirs.of(o) for b in sets[o]]) for o in OBJECTIVES]
            ms = [1000 * b.found.seconds for own in sets.values() for b in own]
            shrunk = sum(b.shrunk for b in sets["latency"])
            theirs = statistics.median(layer["cpu_s"] for layer in layers)
            lines.append(f"| {network.title} | {side} | {len(layers)} | {shrunk} | {' | '.join(ratios)} "
                         f"| {statistics.median(ms):.0f}, {max(ms):.0f} | {theirs:.1f} |")  # fmt: skip
    return "\n".join(lines)


def three(ratios: list[float]) -> str:
    """Least, median and most."""
    return ", ".join(f"{v:.3f}" for v in (min(ratios), statistics.median(ratios), max(ratios)))


def main() -> None:
    """Collect where asked, print, and write the page's table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--collect", type=Path, metavar="RUNS", help="the folder of the peers' runs")
    asked = parser.parse_args()
    if asked.collect:
        FILE.write_text(
            json.dumps(collect(asked.collect), separators=(",", ":")).replace('{"network"', '\n{"network"') + "\n"
        )
    made = table(json.loads(FILE.read_text()))
    print(made)
    page = PAGE.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise SystemExit(f"{PAGE.name} has no place for the table")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
