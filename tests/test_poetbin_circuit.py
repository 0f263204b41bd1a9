"""The PoET-BiN circuit without a simulator: golden figures, formulas of its page, and what Yosys counted."""

from __future__ import annotations

import numpy as np

from hwsim.cosim.case import read_cases
from hwsim.cosim.golden import check_model
from hwsim.netlist.mapping import estimate
from hwsim.netlist.netlist import Lut, Netlist
from hwsim.netlist.simplify import simplify
from hwsim.netlist.statistics import lut6_cost
from rtl_models.poetbin import synthesis
from rtl_models.poetbin.bench import CIRCUIT, block_of, register_states, signed_scores
from rtl_models.poetbin.draw import text
from rtl_models.poetbin.generate import Block

FILE = read_cases(CIRCUIT.cases, CIRCUIT)


def test_golden_figures_hold() -> None:
    assert check_model(CIRCUIT) == []


def test_cases_are_those_that_were_drawn_and_enough() -> None:
    assert CIRCUIT.cases.read_text(encoding="utf-8") == text()
    networks = {block_of(c.design, c.task).netlist for c in FILE.cases if not c.task.network.trained}
    vectors = sum(c.task.vectors for c in FILE.cases)
    print(f"{len(networks)} random networks, {len(FILE.cases)} cases, {vectors:,} vectors")
    assert len(networks) >= 50 and vectors >= 10_000
    assert {c.design.inputs_per_lut for c in FILE.cases} >= set(range(2, 10))
    assert {n.depth for n in networks} >= set(range(1, 8))


def test_blocks_have_the_latency_of_the_page() -> None:
    """MNIST's 512 features: 2 cycles in parallel; 513 over one bit, with the class a cycle later."""
    network = Netlist(512, (Lut((0,), 1), Lut((512,), 1), Lut((513,), 1), Lut((514,), 1)), (515,) * 20)
    for serial_width, pipeline, beats, inside in (
        (0, 0, 1, 0),
        (1, 0, 512, 0),
        (512, 1, 1, 3),
        (600, 2, 1, 1),
        (5, 3, 103, 1),
    ):
        block = Block(network, 10, 2, serial_width, True, pipeline)
        assert (block.beats, block.inside, block.latency_scores) == (beats, inside, beats + 1 + inside)


def test_scores_are_twos_complement() -> None:
    rows = np.array([[0, 0, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]], np.uint8)
    assert signed_scores(rows, 2, 3).tolist() == [[-4, 3], [-1, 0]]
    assert signed_scores(rows[:, :2], 2, 1).tolist() == [[0, 0], [-1, -1]]


def test_a_serial_register_shifts() -> None:
    """Every state by a slow twin: a beat enters above, and all moves down."""
    rng = np.random.default_rng(4)
    for inputs, width in ((7, 1), (7, 3), (8, 4), (9, 8)):
        block = Block(Netlist(inputs, (), (0, 0)), 2, 1, width)
        vectors = rng.integers(0, 2, (5, inputs), dtype=np.uint8)
        register = [0] * (block.beats * block.width)
        states = [register[:inputs]]
        for vector in vectors:
            sent = [*vector.tolist(), *[0] * (len(register) - inputs)]
            for beat in range(block.beats):
                register = [*register[width:], *sent[beat * width : (beat + 1) * width]]
                states.append(register[:inputs])
        assert register_states(block, vectors).tolist() == states


# --- what Yosys counted -------------------------------------------------------------------------------------------


def test_estimates_are_those_of_the_table_and_within_the_bounds() -> None:
    lines = {line["name"]: line for line in synthesis.read_table()}
    for subject in synthesis.subjects():
        line, found = lines.pop(subject.name), estimate(subject.netlist)
        assert (line["lut6_estimate"], line["depth_estimate"]) == (str(found.lut6), str(found.depth)), subject.name
        assert line["lut6_simplified"] == str(lut6_cost(simplify(subject.netlist)))
        assert line["yosys_primitives"] == line["lut6"] == str(lut6_cost(subject.netlist)), subject.name
        assert line["held_out"] == str(subject.held_out).lower()
    assert not lines
    print("\n".join(synthesis.summary()))


def test_an_estimate_draws_tables_together() -> None:
    """Two tables of 3 pins into one of 6; not where another reads the first; wide ones stay whole."""
    both = Netlist(6, (Lut((0, 1, 2), 0x96), Lut((6, 3, 4, 5), 0x6996)), (7,))
    assert estimate(both).lut6 == 1 and estimate(both).depth == 1
    wide = Netlist(8, (Lut(tuple(range(8)), int("1001" * 63 + "0111", 2)),), (8,))
    assert estimate(wide).lut6 == lut6_cost(simplify(wide))
    assert estimate(Netlist(2, (Lut((), 1),), (2, 0))).lut6 == 0
