"""Simplification and mapping: each rule by itself, and on random networks the same outputs for less."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path

import netlist_twin as twin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.netlist import tables
from hwsim.netlist.document import read
from hwsim.netlist.equivalence import equivalent
from hwsim.netlist.netlist import Lut, Netlist
from hwsim.netlist.simplify import simplify
from hwsim.netlist.statistics import (
    Statistics,
    effective_pins,
    lut6_cost,
    lut6_of,
    map_lut6,
    mux_count,
    muxes_of,
    report,
    statistics,
)
from hwsim.testing.netlists import layered_netlist, netlists, random_netlist

NETWORKS = 5_000 if os.environ.get("HWSIM_DEEP") == "1" else 1_000

AND, OR, XOR, XNOR, NAND = 0b1000, 0b1110, 0b0110, 0b1001, 0b0111
WIRE, NOT = 0b10, 0b01
MAJORITY = 0b11101000


# --- each rule by itself ----------------------------------------------------------------------------------------


def check(inputs: int, luts: list[Lut], outputs: list[int], left: list[Lut], wired: list[int]) -> None:
    """The network becomes exactly this, and it is the same function."""
    network = Netlist(inputs, tuple(luts), tuple(outputs))
    found = simplify(network)
    assert found == Netlist(inputs, tuple(left), tuple(wired))
    assert twin.truth(found) == twin.truth(network)


def test_constant_pins_are_folded() -> None:
    check(2, [Lut((), 1), Lut((0, 2, 1), MAJORITY)], [3], [Lut((0, 1), OR)], [2])
    check(2, [Lut((), 0), Lut((0, 2, 1), MAJORITY)], [3], [Lut((0, 1), AND)], [2])


def test_a_table_of_one_value_is_a_constant() -> None:
    check(2, [Lut((0, 1), 0b1111), Lut((2, 0), AND)], [3], [], [0])
    check(2, [Lut((0, 1), 0b1111), Lut((0,), 0)], [2, 3], [Lut((), 0), Lut((), 1)], [3, 2])


def test_pins_without_influence_are_dropped() -> None:
    check(3, [Lut((0, 1, 2), 0b01100110)], [3], [Lut((1, 2), XOR)], [3])
    check(3, [Lut((0, 1, 2), 0b00111100)], [3], [Lut((0, 1), XOR)], [3])


def test_a_signal_stands_at_one_pin() -> None:
    check(2, [Lut((0, 1, 0), MAJORITY)], [2], [], [0])
    check(2, [Lut((0, 0, 1, 1), 1 << 15 | 1)], [2], [Lut((0, 1), XNOR)], [2])


def test_wires_are_bypassed() -> None:
    check(2, [Lut((1,), WIRE), Lut((2, 0), AND), Lut((3,), WIRE)], [4, 2], [Lut((0, 1), AND)], [2, 1])


def test_inverters_move_into_the_tables_that_read_them() -> None:
    check(2, [Lut((1,), NOT), Lut((0, 2), XOR)], [3], [Lut((0, 1), XNOR)], [2])
    check(1, [Lut((0,), NOT), Lut((1,), NOT)], [2], [], [0])
    check(1, [Lut((0,), NOT)], [1], [Lut((0,), NOT)], [1])


def test_a_signal_and_its_inverse_are_one_pin() -> None:
    check(2, [Lut((0,), NOT), Lut((0, 2, 1), MAJORITY)], [3], [], [1])


def test_equal_functions_become_one() -> None:
    both = [Lut((0, 1), 0b0100), Lut((1, 0), 0b0010)]
    check(3, [*both, Lut((3, 2), AND), Lut((4, 2), OR)], [5, 6],
          [both[0], Lut((2, 3), AND), Lut((2, 3), OR)], [4, 5])  # fmt: skip


def test_complements_become_one() -> None:
    check(3, [Lut((0, 1), AND), Lut((0, 1), NAND), Lut((3, 2), AND), Lut((4, 2), AND)], [5, 6],
          [Lut((0, 1), AND), Lut((2, 3), AND), Lut((2, 3), 0b0100)], [4, 5])  # fmt: skip


def test_of_complements_the_one_that_is_an_output_stays() -> None:
    check(2, [Lut((0, 1), AND), Lut((2,), NOT)], [3], [Lut((0, 1), NAND)], [2])
    check(3, [Lut((0, 1), AND), Lut((0, 1), NAND), Lut((3, 2), AND)], [4, 5],
          [Lut((0, 1), NAND), Lut((2, 3), 0b0100)], [3, 4])  # fmt: skip


def test_both_senses_of_an_output_stay_as_deep_and_as_cheap_as_they_were() -> None:
    wide = 1 << 255
    check(8, [Lut(tuple(range(8)), wide), Lut((8,), NOT)], [8, 9],
          [Lut(tuple(range(8)), wide), Lut((8,), NOT)], [8, 9])  # fmt: skip
    check(2, [Lut((0, 1), AND), Lut((0, 1), NAND)], [2, 3], [Lut((0, 1), AND), Lut((0, 1), NAND)], [2, 3])


def test_dead_logic_is_dropped() -> None:
    check(2, [Lut((0, 1), AND), Lut((0, 1), XOR), Lut((3, 2), OR)], [2], [Lut((0, 1), AND)], [2])


def test_logic_is_dead_once_nothing_depends_on_it() -> None:
    check(3, [Lut((0, 1), AND), Lut((2, 3), 0b1100)], [4], [], [2])


def test_pins_are_put_in_order() -> None:
    check(3, [Lut((2, 0, 1), 0b00010000)], [3], [Lut((0, 1, 2), 0b00000010)], [3])


def test_rules_work_through_one_another() -> None:
    """A constant makes a wire, that a repeated pin, that a merger, that dead logic."""
    luts = [Lut((), 1), Lut((0, 2), AND), Lut((3, 0, 1), 0b10010110), Lut((1,), WIRE), Lut((4, 5), XOR)]
    check(2, luts, [6], [Lut((), 0)], [2])


def test_opaque_primitives_are_left_alone() -> None:
    luts = (Lut((), 0), Lut((0, 2, 0), MAJORITY), Lut((1,), NOT), Lut((1, 0), XOR), Lut((0, 1), XOR), Lut((1, 4), OR))
    network = Netlist(2, luts, (3, 4, 5, 6))
    found = simplify(network, opaque=True)
    assert found == Netlist(2, luts[:5], (3, 4, 5, 6)), "the last reaches no output; but for it, nothing changed"
    assert len(simplify(network).luts) < len(found.luts)
    assert simplify(found, opaque=True) == found
    assert simplify(Netlist(2, luts, (5,)), opaque=True) == Netlist(2, (Lut((1, 0), XOR),), (2,))


# --- random networks --------------------------------------------------------------------------------------------


def assert_simplified(network: Netlist) -> Netlist:
    found = simplify(network)
    assert found.inputs == network.inputs
    assert len(found.luts) <= len(network.luts)
    assert found.depth <= network.depth
    assert lut6_cost(found) <= lut6_cost(network)
    assert mux_count(found) <= mux_count(network)
    assert max((len(lut.pins) for lut in found.luts), default=0) <= max(
        (len(lut.pins) for lut in network.luts), default=0
    )
    assert simplify(found) == found
    assert all(found.live()[found.inputs :])
    assert_no_rule_applies(found)
    return found


def assert_no_rule_applies(network: Netlist) -> None:
    """By the rules, written again on whole truth tables: no constant or inverter is read, every pin matters, no two
    LUTs are alike, and complements are both outputs."""
    seen: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    for signal, lut in enumerate(network.luts, network.inputs):
        rows = {bits: lut.table >> n & 1 for n, bits in enumerate(itertools.product((0, 1), repeat=len(lut.pins)))}
        assert len(set(lut.pins)) == len(lut.pins)
        assert all(pin < network.inputs or len(network.luts[pin - network.inputs].pins) > 1 for pin in lut.pins)
        for at in range(len(lut.pins)):
            assert any(rows[bits] != rows[(*bits[:at], 1 - bits[at], *bits[at + 1 :])] for bits in rows)
        assert (lut.pins, tuple(rows.values())) not in seen
        other = seen.get((lut.pins, tuple(1 - row for row in rows.values())))
        assert other is None or {signal, other} <= set(network.outputs)
        seen[lut.pins, tuple(rows.values())] = signal
        assert len(lut.pins) != 1 or (lut.table == NOT and signal in network.outputs)


@given(netlists())
def test_random_networks_keep_their_function(network: Netlist) -> None:
    assert twin.truth(assert_simplified(network)) == twin.truth(network)
    opaque = simplify(network, opaque=True)
    assert twin.truth(opaque) == twin.truth(network)
    assert sorted(lut.table for lut in opaque.luts) == sorted(
        lut.table for lut, live in zip(network.luts, network.live()[network.inputs :], strict=True) if live
    )


def _network(rng: random.Random) -> Netlist:
    """One with much to simplify, or one of layers whose outputs depend on many inputs."""
    inputs = rng.randint(1, 16)
    if rng.random() < 0.5:
        return random_netlist(rng, inputs=inputs, luts=rng.randint(1, 40), pins=rng.randint(1, 9), outputs=3)
    widths = (rng.randint(4, 12), rng.randint(2, 6), rng.randint(1, 3))
    return layered_netlist(rng, inputs=inputs, pins=rng.randint(2, 8), widths=widths)


def test_many_networks_are_proven_equivalent() -> None:
    """Cones of up to 16 inputs, at every assignment."""
    rng = random.Random(20)
    outputs = proven = assignments = removed = 0
    for _ in range(NETWORKS):
        network = _network(rng)
        found = assert_simplified(network)
        verdict = equivalent(network, found)
        assert verdict.equivalent, verdict
        assert verdict.is_proof
        outputs, proven = outputs + verdict.outputs, proven + verdict.proven
        assignments, removed = assignments + verdict.assignments, removed + len(network.luts) - len(found.luts)
    print(f"{NETWORKS} networks: {proven} of {outputs} outputs proven, {assignments} assignments, {removed} LUTs fewer")
    assert proven == outputs
    assert removed > NETWORKS


@pytest.mark.parametrize("pins", [2, 6, 8])
def test_whole_networks_keep_their_function_on_random_vectors(pins: int) -> None:
    network = layered_netlist(random.Random(pins), inputs=128, pins=pins, widths=(400, 100, 40, 40))
    verdict = equivalent(network, assert_simplified(network), vectors=4_000)
    assert verdict.equivalent, verdict
    print(f"{len(network.luts)} LUTs of {pins} pins: {verdict}")


TRAINED = sorted(Path(__file__).parent.parent.glob("accelerators/poetbin/trained/*/netlist.json.gz"))


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.parent.name)
def test_trained_networks_keep_their_function(path: Path) -> None:
    network = read(path)
    found = assert_simplified(network)
    verdict = equivalent(network, found, vectors=1_000)
    assert verdict.equivalent, verdict
    mapped = map_lut6(found)
    assert (mapped.lut6, mapped.mux_count) == (lut6_cost(found), mux_count(found))
    assert equivalent(found, mapped.netlist, vectors=1_000).equivalent
    print(f"{path.parent.name}: {lut6_cost(network)} 6-input tables become {mapped.lut6}; {verdict}")


def test_a_wrong_simplification_would_be_found() -> None:
    """Each table bit of a simplified network matters to some output: turned over, equivalence says so."""
    network = simplify(layered_netlist(random.Random(1), inputs=10, pins=3, widths=(8, 4)))
    for i, lut in enumerate(network.luts[-4:], len(network.luts) - 4):
        changed = (*network.luts[:i], Lut(lut.pins, lut.table ^ 1), *network.luts[i + 1 :])
        other = Netlist(network.inputs, changed, network.outputs)
        assert equivalent(network, other).equivalent == (twin.truth(network) == twin.truth(other))


# --- truth tables -----------------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.data())
def test_operations_on_tables(k: int, data: st.DataObject) -> None:
    """Against the definition, address by address."""
    table = data.draw(st.integers(0, (1 << (1 << k)) - 1))
    u, w = data.draw(st.integers(0, k - 1)), data.draw(st.integers(0, k - 1))

    def at(address: int) -> int:
        return table >> address & 1

    def swapped(a: int) -> int:
        return a & ~(1 << u | 1 << w) | (a >> u & 1) << w | (a >> w & 1) << u

    def spread(a: int, value: int) -> int:
        return a >> w << w + 1 | value << w | a & (1 << w) - 1

    every = range(1 << k)
    assert tables.depends(table, k, w) == any(at(a) != at(a ^ 1 << w) for a in every)
    assert tables.inverted(table, k) == sum((1 - at(a)) << a for a in every)
    assert tables.with_inverted_input(table, k, w) == sum(at(a ^ 1 << w) << a for a in every)
    assert tables.with_swapped_inputs(table, k, u, w) == sum(at(swapped(a)) << a for a in every)
    for value in (0, 1):
        assert tables.cofactor(table, k, w, value) == sum(at(spread(a, value)) << a for a in range(1 << k - 1))
    if u < w:
        assert tables.with_joined_inputs(table, k, u, w) == sum(
            at(spread(a, a >> u & 1)) << a for a in range(1 << k - 1)
        )


# --- cost and mapping -------------------------------------------------------------------------------------------


def test_cost_by_inputs() -> None:
    """1 up to 6 inputs, then 2^(k - 6) tables and one multiplexer less."""
    assert [lut6_of(k) for k in range(10)] == [0, 1, 1, 1, 1, 1, 1, 2, 4, 8]
    assert [muxes_of(k) for k in range(10)] == [0, 0, 0, 0, 0, 0, 0, 1, 3, 7]


@pytest.mark.parametrize(
    ("inputs", "pins", "groups", "neurons", "q", "luts", "lut6"),
    [(512, 8, 4, 80, 8, 3040, 11_920), (512, 8, 5, 80, 8, 3760, 14_800), (512, 6, 6, 60, 8, 2660, 2_660)],
)
def test_published_shapes(inputs: int, pins: int, groups: int, neurons: int, q: int, luts: int, lut6: int) -> None:
    """Nominal and naive counts of the three published configurations (arXiv 2002.09794), by wiring alone."""
    rng = random.Random(0)
    built: list[Lut] = []

    def put(read: list[int]) -> int:
        built.append(Lut(tuple(read), rng.getrandbits(1 << len(read))))
        return inputs + len(built) - 1

    def group() -> int:
        return put([put(rng.sample(range(inputs), pins)) for _ in range(pins)])

    outputs = [put([group() for _ in range(groups)]) for _ in range(neurons)]
    scores = [put(outputs[c : c + pins]) for c in range(0, neurons, pins) for _ in range(q)]
    counts = statistics(Netlist(inputs, tuple(built), tuple(scores)))
    assert (counts.luts, counts.live_luts, counts.lut6) == (luts, luts, lut6)
    assert (counts.depth, counts.outputs) == (4, 80)


def test_unused_pins_tied_to_a_constant_cost_nothing() -> None:
    luts = (
        Lut((), 0),
        Lut((9, 9, 9, 9, 0, 1, 2, 3), 1 << 77 | 3),
        Lut((4,), WIRE),
        Lut((5, 5), 0b1001),
        Lut((6,), NOT),
    )
    network = Netlist(9, luts, (10, 11, 12, 13))
    assert effective_pins(network) == (0, 4, 0, 1, 1)
    assert lut6_cost(network) == 3


@given(netlists(max_inputs=10, max_luts=8, max_pins=9))
def test_mapping_keeps_function_and_counts(network: Netlist) -> None:
    mapped = map_lut6(network)
    assert max((len(lut.pins) for lut in mapped.netlist.luts), default=0) <= 6
    assert mapped.lut6 == lut6_cost(network)
    assert mapped.mux_count == mux_count(network)
    for mux, lut in zip(mapped.muxes, mapped.netlist.luts, strict=True):
        assert mux in range(7, 17) and lut.table == 0b11001010 if mux else True
    verdict = equivalent(network, mapped.netlist)
    assert verdict.equivalent, verdict
    assert verdict.is_proof


def test_an_eight_input_table_is_four_tables_two_f7_and_an_f8() -> None:
    mapped = map_lut6(Netlist(8, (Lut(tuple(range(8)), random.Random(0).getrandbits(256)),), (8,)))
    assert sorted(mapped.muxes) == [0, 0, 0, 0, 7, 7, 8]
    assert mapped.netlist.outputs == (8 + 6,)


def test_statistics_before_and_after() -> None:
    luts = (Lut((0, 1), AND), Lut((1, 0), AND), Lut((3, 4), XOR), Lut((5, 2, 0), 0b11110000), Lut((2, 2), OR))
    network = Netlist(3, luts, (6, 0))
    assert statistics(network) == Statistics(luts=5, live_luts=4, lut6=4, muxes=0, inputs_used=3, outputs=2, depth=3)
    assert report(network)["simplified"] == {
        "luts": 1, "live_luts": 1, "lut6": 0, "muxes": 0, "inputs_used": 1, "outputs": 2, "depth": 0,
    }  # fmt: skip
