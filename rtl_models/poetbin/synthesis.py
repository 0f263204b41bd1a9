"""Networks that are synthesized: which, and which were kept apart while the estimate of their size was made."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from accelerators.poetbin import trained
from hwsim.netlist.netlist import Lut, Netlist
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
