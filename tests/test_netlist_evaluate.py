"""Networks on data against the slow twin; speed; equivalence finds what differs."""

from __future__ import annotations

import random
import time

import netlist_twin as twin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import InputError
from hwsim.netlist import evaluate as module
from hwsim.netlist.cones import supports
from hwsim.netlist.equivalence import Verdict, equivalent
from hwsim.netlist.evaluate import evaluate, evaluate_all, toggles
from hwsim.netlist.netlist import Lut, Netlist
from hwsim.testing.netlists import layered_netlist, netlists, random_netlist


def vectors(network: Netlist, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, network.inputs), dtype=np.uint8)


@given(netlists(), st.integers(0, 40), st.integers(0, 99))
def test_every_signal_is_the_twins(network: Netlist, count: int, seed: int) -> None:
    bits = vectors(network, count, seed)
    wanted = np.array([twin.signals(network, row) for row in bits.tolist()], np.uint8)
    wanted = wanted.reshape(count, network.signals)
    found = evaluate_all(network, bits)
    assert found.dtype == np.uint8
    assert np.array_equal(found, wanted)
    assert np.array_equal(evaluate(network, bits.astype(bool)), wanted[:, network.outputs])
    assert toggles(network, bits).tolist() == twin.toggles(network, bits.tolist())


@given(netlists(max_pins=4), st.integers(1, 70))
@settings(max_examples=40)
def test_blocks_do_not_show(network: Netlist, count: int) -> None:
    """The same with blocks of 8 samples: what crosses from one to the next is counted once."""
    bits = vectors(network, count)
    whole, counts = evaluate_all(network, bits), toggles(network, bits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK_SAMPLES", 8)
        assert np.array_equal(evaluate_all(network, bits), whole)
        assert np.array_equal(toggles(network, bits), counts)


@pytest.mark.parametrize("pins", [0, 1, 5, 6, 7, 8, 9, 16])
def test_wide_tables(pins: int) -> None:
    rng = random.Random(pins)
    network = Netlist(17, (Lut(tuple(rng.sample(range(17), pins)), rng.getrandbits(1 << pins)),), (17,))
    bits = vectors(network, 200, pins)
    assert evaluate(network, bits).tolist() == [twin.outputs(network, row) for row in bits.tolist()]


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ([[0, 1, 1]], "[width] bits: got 'an array of shape (1, 3)'; "
                      "vectors of this network are an array of samples by 2 inputs."),
        ([0, 1], "[width] bits: got 'an array of shape (2,)'; "
                 "vectors of this network are an array of samples by 2 inputs."),
        ([[0, 2]], "[type] bits: got '0 to 2'; bits are booleans, or integers 0 and 1."),
        ([[0, -1]], "[type] bits: got '-1 to 0'; bits are booleans, or integers 0 and 1."),
        ([[0.0, 1.0]], "[type] bits: got 'values of type float64'; bits are booleans, or integers 0 and 1."),
    ],
)  # fmt: skip
def test_wrong_vectors_are_refused(bits: list[object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        evaluate(Netlist(2, (), (0,)), bits)
    assert str(caught.value) == message


def test_ten_thousand_samples_through_a_published_shape_take_less_than_a_second() -> None:
    """3,040 LUTs of 8 inputs in four levels; the best of three, since others use the machine as well."""
    network = layered_netlist(random.Random(0), inputs=512, pins=8, widths=(2560, 320, 80, 80))
    bits = vectors(network, 10_000)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        evaluate(network, bits)
        times.append(time.perf_counter() - start)
    print(f"10,000 samples through {len(network.luts)} LUTs: {min(times):.3f} s")
    assert min(times) < 1.0


# --- equivalence ------------------------------------------------------------------------------------------------


@given(netlists(max_inputs=5), st.data())
def test_the_verdict_is_that_of_the_truth_tables(a: Netlist, data: st.DataObject) -> None:
    signal = st.integers(0, a.signals - 1)
    b = Netlist(a.inputs, a.luts, tuple(data.draw(signal) for _ in a.outputs))
    verdict = equivalent(a, b)
    assert verdict.is_proof
    assert verdict.equivalent == (twin.truth(a) == twin.truth(b))
    if verdict.counterexample:
        c = verdict.counterexample
        assert twin.outputs(a, c.inputs)[c.output] == c.first != c.second == twin.outputs(b, c.inputs)[c.output]


@given(netlists(max_luts=8), st.data())
def test_one_changed_bit_of_a_table_is_judged_right(network: Netlist, data: st.DataObject) -> None:
    if not network.luts:
        return
    i = data.draw(st.integers(0, len(network.luts) - 1))
    lut = network.luts[i]
    changed = Lut(lut.pins, lut.table ^ 1 << data.draw(st.integers(0, (1 << len(lut.pins)) - 1)))
    other = Netlist(network.inputs, (*network.luts[:i], changed, *network.luts[i + 1 :]), network.outputs)
    assert equivalent(network, other).equivalent == (twin.truth(network) == twin.truth(other))


def test_wide_cones_are_tried_and_small_ones_proven() -> None:
    network = layered_netlist(random.Random(3), inputs=40, pins=3, widths=(60, 20, 6))
    wide = Netlist(40, network.luts, (*network.outputs, 0, 45))
    verdict = equivalent(wide, wide, exhaustive_inputs=6, vectors=2_000)
    assert verdict == Verdict(None, 8, sum(len(s) <= 6 for s in supports(wide)), verdict.assignments, 2_000)
    assert 2 <= verdict.proven < 8
    assert not verdict.is_proof
    assert (
        str(verdict) == f"equivalent: {verdict.proven} of 8 outputs proven, {8 - verdict.proven} agree on 2000 vectors"
    )


def test_a_difference_at_one_assignment_of_sixteen_inputs_is_found() -> None:
    pins = tuple(range(16))
    a, b = (Netlist(20, (Lut(pins, table),), (20, 3)) for table in (0, 1 << 40_000))
    verdict = equivalent(a, b)
    assert not verdict.equivalent
    assert verdict.counterexample is not None
    assert int("".join(map(str, verdict.counterexample.inputs[:16])), 2) == 40_000
    assert str(verdict).startswith("output 0 differs: 0 and 1 at inputs 1001110001000000")


def test_corners_are_among_the_vectors() -> None:
    """AND of 30 inputs: no random vector shows that it is not 0."""
    luts = [Lut(tuple(range(i, i + 15)), 1 << (1 << 15) - 1) for i in (0, 15)]
    conjunction = Netlist(30, (*luts, Lut((30, 31), 0b1000)), (32,))
    never = Netlist(30, (Lut((), 0),), (30,))
    assert equivalent(conjunction, never).counterexample is not None


def test_different_widths_are_refused() -> None:
    with pytest.raises(InputError, match="networks that are compared have the same number of inputs"):
        equivalent(Netlist(1, (), (0,)), Netlist(2, (), (0,)))
    with pytest.raises(InputError, match="networks that are compared have the same number of outputs"):
        equivalent(Netlist(1, (), (0,)), Netlist(1, (), (0, 0)))


def test_random_networks_depend_on_their_seed_alone() -> None:
    one, two = (random_netlist(random.Random(4), inputs=6, luts=30, pins=6, outputs=4) for _ in range(2))
    assert one == two
