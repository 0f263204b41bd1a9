"""Networks that are synthesized: which, and which were kept apart while the estimate of their size was made."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from accelerators.poetbin import trained
from hwsim.cosim.resources import yosys_version
from hwsim.cosim.tables import MAPPERS, mapped
from hwsim.netlist.mapping import estimate
from hwsim.netlist.netlist import Lut, Netlist
from hwsim.netlist.simplify import simplify
from hwsim.netlist.statistics import lut6_cost
from hwsim.netlist.verilog import verilog
from rtl_models.poetbin import networks

GRAPHS, CLASSIFIERS, CLASSES = 12, 12, 10


class Subject(NamedTuple):
    """A network to be synthesized."""

    name: str
    family: str
    netlist: Netlist
    held_out: bool


def cone(netlist: Netlist, outputs: tuple[int, ...]) -> Netlist:
    """The part of a network that these outputs hang on, with the inputs it reads alone."""
    live = Netlist(netlist.inputs, netlist.luts, outputs).live()
    used = [s for s in range(netlist.inputs) if live[s]] or [0]
    place = {s: i for i, s in enumerate(used)}
    luts: list[Lut] = []
    for at, lut in enumerate(netlist.luts, netlist.inputs):
        if live[at]:
            place[at] = len(used) + len(luts)
            luts.append(Lut(tuple(place[pin] for pin in lut.pins), lut.table))
    return Netlist(len(used), tuple(luts), tuple(place[s] for s in outputs))


def graphs() -> Iterator[Subject]:
    """Random graphs of 3 to 8 pins and 2 to 5 levels."""
    for number in range(GRAPHS):
        rng = np.random.default_rng([8, number])
        netlist = networks.graph(rng, 24, 3 + number // 2 % 6, 40, 2 + number % 4, 60)
        yield Subject(f"graph-{number:02}", "graph", netlist, number % 2 == 1)


def classifiers() -> Iterator[Subject]:
    """Random classifiers of 4 to 8 pins, with random trees and thresholds: two groups, or one."""
    for number in range(CLASSIFIERS):
        rng = np.random.default_rng([9, number])
        pins = 4 + number // 2 % 5
        shape = (pins, 1 + number % 3, 4, 2, 6)
        netlist = networks.classifier(rng, 96, pins, *shape)
        yield Subject(f"classifier-{number:02}", "classifier", netlist, number % 2 == 1)


def classes_of(name: str, q: int = 8) -> Iterator[Subject]:
    """The cone of each class of a trained network."""
    whole = trained.load(name).netlist
    for number in range(CLASSES):
        netlist = cone(whole, whole.outputs[number * q : (number + 1) * q])
        yield Subject(f"{name}-class-{number}", f"{name}-class", netlist, number % 2 == 1)


def neurons_of(name: str, held_out: bool, q: int = 8) -> Iterator[Subject]:
    """The cone of each class's first neuron of a trained network: what the first pin of its score tables hangs on."""
    whole = trained.load(name).netlist
    for number in range(CLASSES):
        pins = whole.luts[whole.outputs[number * q] - whole.inputs].pins
        yield Subject(f"{name}-neuron-{number}", f"{name}-neuron", cone(whole, pins[:1]), held_out)


@lru_cache(maxsize=1)
def subjects() -> tuple[Subject, ...]:
    """Every network, the trained ones last and whole."""
    whole = (Subject(name, "whole", trained.load(name).netlist, True) for name in trained.names())
    return (
        *graphs(),
        *classifiers(),
        *classes_of("digits"),
        *neurons_of("mnist-5k", False),
        *neurons_of("fashion-mnist", True),
        *whole,
    )


# --- the table ----------------------------------------------------------------------------------------------------

TABLE = Path(__file__).parent / "resources.csv"
WITHIN_MEAN, WITHIN_WORST = 0.05, 0.15


def row(subject: Subject) -> dict[str, str]:
    """One line: tables as they are, simplified and as estimated, and what Yosys makes of the network."""
    netlist, found = subject.netlist, estimate(subject.netlist)
    area, timing = (mapped(verilog(netlist), "network", mapper) for mapper in MAPPERS)
    primitives = mapped(verilog(netlist, style="lut6"), "network")
    values: dict[str, object] = {
        "name": subject.name, "family": subject.family, "held_out": str(subject.held_out).lower(),
        "luts": len(netlist.luts), "lut6": lut6_cost(netlist), "lut6_simplified": lut6_cost(simplify(netlist)),
        "lut6_estimate": found.lut6, "depth_estimate": found.depth, "yosys_area": area.luts,
        "yosys_area_muxes": area.muxes, "yosys_area_depth": area.depth, "yosys_timing": timing.luts,
        "yosys_timing_depth": timing.depth, "yosys_primitives": primitives.luts,
        "versions": f"pyosys {yosys_version()}",
    }  # fmt: skip
    return {name: str(value) for name, value in values.items()}


def read_table() -> list[dict[str, str]]:
    """The lines of resources.csv."""
    return list(csv.DictReader(io.StringIO(TABLE.read_text(encoding="utf-8"))))


def errors(lines: Sequence[Mapping[str, str]], column: str, counted: str = "yosys_area") -> list[float]:
    """A column over what Yosys counts, less one."""
    return [int(line[column]) / int(line[counted]) - 1 for line in lines]


def summary() -> list[str]:
    """What the validation page says of the table, as Markdown."""
    lines = read_table()
    families = list(dict.fromkeys((line["family"], line["held_out"]) for line in lines))
    groups = [(family, held, [x for x in lines if (x["family"], x["held_out"]) == (family, held)])
              for family, held in families]  # fmt: skip
    groups += [("all", held, [x for x in lines if x["held_out"] == held]) for held in ("false", "true")]
    return [
        f"6-input tables of {len(lines)} networks, estimated by `hwsim.netlist.mapping`, against Yosys "
        f"({lines[0]['versions']}; `resources.csv`). Cells are mean and worst of the absolute errors:",
        "",
        "| networks | number | each table by itself | estimate | depth equal | against `synth_xilinx` as it is |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(_summary_line(family, held, chosen) for family, held, chosen in groups if chosen),
    ]


def _summary_line(family: str, held: str, lines: Sequence[Mapping[str, str]]) -> str:
    name = f"{family}{' (held out)' if held == 'true' else ''}"
    equal = sum(line["depth_estimate"] == line["yosys_area_depth"] for line in lines)
    cells = [_spread(errors(lines, "lut6_simplified")), _spread(errors(lines, "lut6_estimate")),
             f"{equal} of {len(lines)}", _spread(errors(lines, "lut6_estimate", "yosys_timing"))]  # fmt: skip
    return f"| {name} | {len(lines)} | {' | '.join(cells)} |"


def _spread(found: Sequence[float]) -> str:
    sizes = [abs(error) for error in found]
    return f"{sum(sizes) / len(sizes):.1%}, {max(sizes):.1%}"
