"""PoET-BiN as a model: counts of the published shapes, cycles of the architecture page, activity, replacement."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accelerators.arrays import Samples, read_samples, write_samples
from accelerators.poetbin import replace as replacing
from accelerators.poetbin import tasks, trained
from accelerators.poetbin.counts import naive_lut6, nominal_luts
from accelerators.poetbin.design import Design
from accelerators.poetbin.model import MODEL
from accelerators.poetbin.stacks import stacks
from hwsim.config import load_design
from hwsim.errors import InputError
from hwsim.fpga import device
from hwsim.netlist.evaluate import evaluate_all, toggles
from hwsim.netlist.netlist import Lut, Netlist
from hwsim.simulate import run
from hwsim.testing import matmul_chain
from hwsim.workload import store
from hwsim.workload.store import load_workload

PUBLISHED = {
    "poetbin": (3040, 11_920, 37, 9.11, 16.0),
    "poetbin-cifar10": (3760, 14_800, 46, 9.48, 16.0),
    "poetbin-svhn": (2660, 2_660, 43, 5.85, 10.0),
}
"""Look-up tables, 6-input tables, tables a neuron; delay (recalled) and clock period in ns."""


shipped = lru_cache(maxsize=None)(load_design)


def design_of(name: str, **changes: Any) -> Design:
    made: Design = dataclasses.replace(shipped(name).design, **changes)
    return made


# --- shapes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_of_the_published_shapes_are_exact(name: str) -> None:
    d = load_design(name).design
    tables, naive, neuron, _, period_ns = PUBLISHED[name]
    assert (tasks.nominal_luts(d), tasks.nominal_lut6(d), tasks.neuron_luts(d)) == (tables, naive, neuron)
    assert 1e6 / d.clock_khz == period_ns
    result = run(name, "mnist-classifier", interval=False)
    assert result.feasible and result.memory_peak_bits["luts"] == 64 * naive


def test_delays_of_six_and_eight_inputs_are_the_fitted_ones_and_that_of_cifar_10_is_not() -> None:
    found = {n: tasks.delay_ps(load_design(n).design, device("xc6slx45"), 4) / 1e3 for n in PUBLISHED}
    errors = {n: found[n] / PUBLISHED[n][3] - 1 for n in PUBLISHED}
    assert abs(errors["poetbin"]) < 0.001 and abs(errors["poetbin-svhn"]) < 0.001  # fitted to these two
    assert abs(errors["poetbin-cifar10"]) < 0.1
    assert all(found[n] < PUBLISHED[n][4] for n in PUBLISHED)
    print({n: f"{ns:.2f} ns ({errors[n]:+.1%})" for n, ns in found.items()})


def test_counts_agree_with_those_of_training_over_shapes() -> None:
    checked = 0
    for p in (2, 4, 6, 7, 8, 9):
        for trees in range(1, p + 1):
            for groups in range(1, p + 1):
                for pins in (1, p):
                    d = design_of("poetbin", inputs_per_lut=p, trees_per_group=trees, groups=groups, neurons=10 * pins)
                    assert tasks.nominal_luts(d) == nominal_luts(p, trees, groups, 10 * pins, 10, 8)
                    assert tasks.nominal_lut6(d) == naive_lut6(p, trees, groups, 10 * pins, 10, 8)
                    checked += 1
    print(f"{checked} shapes")


def test_macs_replaced_are_those_of_the_published_classifiers() -> None:
    macs = {"mnist-mlp": (512, 512, 10), "cifar10-mlp": (512, 4096, 4096, 10), "svhn-mlp": (512, 1024, 1024, 10)}
    published = {"mnist-mlp": 267_264, "cifar10-mlp": 18_915_328, "svhn-mlp": 1_583_104}
    for name, widths in macs.items():
        assert load_workload(name).macs({"n": 1}) == sum(a * b for a, b in pairwise(widths)) == published[name]


# --- cycles -----------------------------------------------------------------------------------------------------


def stepped(d: Design, vectors: int, levels: int) -> tuple[int, int]:
    """Cycles to the last result and beats, by moving each sample through the wrapper a clock at a time."""
    width = d.inputs if d.serial_width == 0 else min(d.serial_width, d.inputs)
    beats = len(range(0, d.inputs, width))
    inside = len([k for k in range(1, levels) if d.pipeline and k % d.pipeline == 0])
    pipe: list[int] = []  # clocks each sample has been behind the input register
    cycle = taken = done = 0
    while done < vectors:
        pipe = [age + 1 for age in pipe]
        arrived = [age for age in pipe if age == 2 + inside + int(d.argmax)]
        done += len(arrived)
        pipe = [age for age in pipe if age < 2 + inside + int(d.argmax)]
        if done == vectors:
            return cycle, beats * vectors
        if taken < beats * vectors:
            taken += 1
            if taken % beats == 0:
                pipe.append(0)
        cycle += 1
    raise AssertionError


def test_cycles_are_those_of_a_wrapper_moved_clock_by_clock() -> None:
    rng = random.Random(5)
    for _ in range(300):
        d = design_of("poetbin", inputs=rng.randint(8, 70), serial_width=rng.choice((0, 1, 3, 8, 64, 100)),
                      argmax=rng.random() < 0.5, pipeline=rng.randint(0, 5), groups=rng.choice((1, 4)))  # fmt: skip
        task = tasks.untrained(rng.randint(1, 9), d.inputs, 10)
        counts = tasks.count(d, task)
        total, beats = stepped(d, task.vectors, tasks.depth(d, task))
        assert (counts.cycles + counts.drain, counts.beats) == (total, beats), d
        assert tasks.latency(d, task) == total - (task.vectors - 1) * counts.beats // task.vectors


def test_the_published_wrapper_takes_512_clocks_a_sample() -> None:
    serial, parallel = (design_of("poetbin", serial_width=w) for w in (1, 0))
    one = tasks.untrained(1, 512, 10)
    assert (tasks.beats(serial), tasks.latency(serial, one)) == (512, 513)
    assert (tasks.beats(parallel), tasks.latency(parallel, one)) == (1, 2)
    slow, fast = (run("poetbin", "mnist-classifier", overrides=[f"serial_width={w}"], bind={"n": 100}, interval=False)
                  for w in (1, 0))  # fmt: skip
    assert (slow.cycles, fast.cycles) == (100 * 512 + 1, 101)


def test_registers_are_those_of_the_page() -> None:
    d = design_of("poetbin")
    one = tasks.untrained(1, 512, 10)
    assert tasks.flip_flops(d, one) == 512 + 80 + 2
    assert tasks.flip_flops(dataclasses.replace(d, argmax=True), one) == 512 + 80 + 4 + 3
    serial = dataclasses.replace(d, serial_width=100)
    assert tasks.flip_flops(serial, one) == 600 + 3 + 80 + 2
    piped = dataclasses.replace(d, pipeline=1)
    assert tasks.flip_flops(piped, one) == 512 + 80 + 5 + 2560 + 320 + 80


# --- what does not fit --------------------------------------------------------------------------------------------


def test_a_design_that_does_not_fit_says_what_and_by_how_much() -> None:
    small = run("poetbin", "mnist-classifier", overrides=["device=xc6slx9"], interval=False)
    assert not small.feasible
    tables = next(v for v in small.violations if v.unit == "LUT6")
    assert (tables.what, tables.demand, tables.bound) == ("look-up tables", 11_920, 5_720)
    fast = run("poetbin", "mnist-classifier", overrides=["clock=120 MHz"], interval=False)
    late = next(v for v in fast.violations if v.unit == "ns")
    assert late.demand == pytest.approx(9.112) and late.bound == pytest.approx(1e3 / 120)
    assert run("poetbin", "mnist-classifier", overrides=["clock=120 MHz", "pipeline=2"], interval=False).feasible
    other = run("poetbin", "mnist-classifier", overrides=["inputs=400"], interval=False)
    assert [(v.what, v.demand, v.bound) for v in other.violations] == [("inputs of what is replaced differ", 512, 400)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trees_per_group": 9}, "trees_per_group"),
        ({"groups": 9}, "groups"),
        ({"neurons": 85}, "neurons"),
        ({"neurons": 90}, "neurons"),
    ],
)
def test_shapes_that_cannot_be_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_design("poetbin", [f"{k}={v}" for k, v in change.items()])
    assert [p.where.key for p in caught.value.problems] == [message]


# --- in the engine ------------------------------------------------------------------------------------------------


def test_what_is_no_linear_layer_is_named() -> None:
    with pytest.raises(InputError) as caught:
        run("poetbin", "mobilenet-v1-0.25-128", interval=False)
    assert len(caught.value.problems) == 1
    assert "network.conv0.conv: got conv2d" in str(caught.value) and "54 more" in str(caught.value)


def test_a_stack_is_maximal_and_one_task() -> None:
    workload = load_workload("mnist-classifier")
    (stack,) = stacks(workload.graphs["classifier"])
    assert [op.name for op in stack.products] == ["hidden", "bits", "classes.bmm"]
    assert stack.ops[-1].name == "classes_bn"
    design = load_design("poetbin").design
    program = MODEL.lower(workload, design, {"n": 7})
    assert program.tasks == [tasks.untrained(7, 512, 10)] and any("unvalidated" in n for n in program.notes)
    (chain,) = stacks(matmul_chain("chain", 3, (64, 100, 10)).graphs["main"])
    assert [op.name for op in chain.ops] == ["linear0", "relu0", "linear1"]


def test_the_shipped_replacement_is_that_of_the_trained_network() -> None:
    made = replacing.with_network(load_workload("mnist-classifier"), "mnist-5k")
    assert store.dumps(made) == store.dumps(load_workload("mnist-classifier-luts"))


def test_other_accelerators_refuse_the_replacement_by_name() -> None:
    for name in ("optimus", "titan-xp", "stm32h7", "fpga-mac-int16"):
        with pytest.raises(InputError, match=r"hidden\.luts: got lut_network"):
            run(name, "mnist-classifier-luts", interval=False)


def test_a_trained_network_counts_where_the_shape_is_its_own() -> None:
    (op,) = load_workload("mnist-classifier-luts").graphs["classifier"].ops
    own = run("poetbin", "mnist-classifier-luts", interval=False)
    assert own.memory_peak_bits["luts"] == 64 * op.attrs["lut6"]
    opaque = run("poetbin", "mnist-classifier-luts", overrides=["opaque=true"], interval=False)
    assert opaque.memory_peak_bits["luts"] == 64 * 11_920
    other = run("poetbin", "mnist-classifier-luts", overrides=["groups=3"], interval=False)
    assert other.memory_peak_bits["luts"] == 64 * tasks.nominal_lut6(design_of("poetbin", groups=3))
    assert any("groups 4" in note and "unvalidated" in note and "--set groups=4" in note for note in other.notes)
    assert not any("unvalidated" in note for note in own.notes)


def test_energy_is_that_of_the_measured_changes() -> None:
    (op,) = load_workload("mnist-classifier-luts").graphs["classifier"].ops
    a: Any = op.attrs
    d, n = device("xc6slx45"), a["toggled_vectors"]
    result = run("poetbin", "mnist-classifier-luts", bind={"n": n}, overrides=["glitch_factor=1.0"], interval=False)
    nets = a["table_toggles"] + a["input_toggles"] + a["output_toggles"]
    e = result.energy_breakdown_j
    assert e["net"] == pytest.approx(nets * 0.5 * d.net_ff * 1e-15 * d.supply_v**2)
    assert e["lut"] == pytest.approx(a["lut6_toggles"] * d.lut_toggle_pj * 1e-12)
    assert e["clock"] == pytest.approx((n + 1) * (d.clock_cycle_pj + 594 * d.ff_clock_pj) * 1e-12)
    assert e["device (static)"] == pytest.approx(d.static_w * (n + 1) * 16e-9)
    assert sum(e.values()) == pytest.approx(result.energy_j.value)
    glitching = run("poetbin", "mnist-classifier-luts", bind={"n": n}, overrides=["glitch_factor=3.0"], interval=False)
    more = glitching.energy_breakdown_j
    assert [more[part] / e[part] for part in e] == pytest.approx([3 if part in ("net", "lut") else 1 for part in e])


def test_without_data_tables_change_as_often_as_their_share_of_ones_says() -> None:
    d = design_of("poetbin", ones_permille=250)
    counts = tasks.count(d, tasks.untrained(1_000, 512, 10))
    assert counts.lut_toggles == int(1_000 * 11_920 * 2 * 0.25 * 0.75)
    assert counts.net_toggles == pytest.approx(1_000 * (3040 * 0.375 + 256 + 80 * 0.375))


def test_what_is_measured_of_a_network_by_hand() -> None:
    # signals: a b c; 3 = a and b, 4 = the same, 5 = 3 or c, 6 = 5 xor 4
    net = Netlist(3, (Lut((0, 1), 0b1000), Lut((1, 0), 0b1000), Lut((3, 2), 0b1110), Lut((5, 4), 0b0110)), (6, 3))
    bits = np.random.default_rng(3).integers(0, 2, (200, 3), dtype=np.uint8)
    found = replacing.measured(net, bits)
    signals = evaluate_all(net, bits).astype(int)
    changes = np.abs(np.diff(signals, axis=0)).sum(axis=0)
    assert found["opaque_table_toggles"] == changes[3:].sum() == found["opaque_lut6_toggles"]
    assert found["input_toggles"] == changes[:3].sum() and found["output_toggles"] == changes[6] + changes[3]
    assert (found["lut6_opaque"], found["depth"], found["toggled_vectors"]) == (4, 3, 199)
    assert found["lut6"] < 4 and found["table_toggles"] < found["opaque_table_toggles"]
    assert [replacing.crossing(net, level) for level in (1, 2, 3)] == [{3, 4, 2}, {3, 4, 5}, set()]


def test_a_classifier_alone_is_replaced_in_a_network_with_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new.json"
    workload = load_workload("mnist-classifier")
    graph = workload.graphs["classifier"]
    first = dataclasses.replace(graph.ops[2], name="before", inputs=graph.inputs[:1], outputs=("before",),
                                attrs={"function": "erf"})  # fmt: skip
    tensor = dataclasses.replace(graph.tensors["input"], name="before", role=graph.tensors["hidden"].role)
    hidden = dataclasses.replace(graph.ops[0], inputs=("before", *graph.ops[0].inputs[1:]))
    more = dataclasses.replace(graph, ops=(first, hidden, *graph.ops[1:]), tensors={**graph.tensors, "before": tensor})
    path = tmp_path / "more.json"
    store.write(dataclasses.replace(workload, name="more", graphs={"classifier": more}), path)
    assert replacing.main([str(path), "--network", "mnist-5k", "--out", str(out)]) == 0
    made = load_workload(str(out)).graphs["classifier"]
    assert [op.name for op in made.ops] == ["before", "hidden.luts"]
    with pytest.raises(InputError, match=r"before: got elementwise.*--alone"):
        run("poetbin", str(out), interval=False)
    head = tmp_path / "head.json"
    assert replacing.main([str(path), "--network", "mnist-5k", "--alone", "--out", str(head)]) == 0
    own, shipped_one = (run("poetbin", w, bind={"n": 9}, interval=False) for w in (str(head), "mnist-classifier-luts"))
    assert (
        own.energy_breakdown_j == shipped_one.energy_breakdown_j and own.latency_s.value == shipped_one.latency_s.value
    )
    assert any("of the states of the input register (counted over" in note for note in own.notes)
    assert replacing.main([str(path), "--network", "nothing", "--out", str(out)]) == 2
    assert replacing.main([str(path), "--network", "mnist-5k", "--stack", "x", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 2 and "Known: digits" in said and "hidden" in said


@pytest.mark.parametrize(
    ("field", "value"),
    [("lut6", "many"), ("depth", 0), ("toggled_vectors", 0), ("lut6_toggles", 10**9), ("opaque_lut6_toggles", 10**9),
     ("input_toggles", 513 * 999)],
)  # fmt: skip
def test_a_carried_number_that_cannot_be_is_said(tmp_path: Path, field: str, value: Any) -> None:
    text = json.loads(store.dumps(load_workload("mnist-classifier-luts")))
    text["graphs"]["classifier"]["ops"][0]["attrs"][field] = value
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(text), encoding="utf-8")
    with pytest.raises(InputError, match=rf"hidden\.luts\.attrs\.{field}: got {value!r}"):
        run("poetbin", str(path), interval=False)


def test_a_training_of_ones_own_is_taken_by_its_folder(tmp_path: Path) -> None:
    shutil.copytree(trained.FOLDER / "mnist-5k", tmp_path / "own")
    made = replacing.with_network(load_workload("mnist-classifier"), str(tmp_path / "own"))
    assert store.dumps(made) == store.dumps(load_workload("mnist-classifier-luts"))


def test_changes_are_counted_over_mixed_samples() -> None:
    """MNIST-5k comes digit by digit: in its order nearly all neighbours are of one class, in the mixed one a tenth."""
    network = trained.load("mnist-5k")
    bits, labels = network.samples.bits, network.samples.labels
    assert np.mean(labels[1:] == labels[:-1]) > 0.98
    places = np.arange(len(bits), dtype=np.uint16)[:, None]
    order = replacing.mixed(places)[:, 0]
    assert sorted(order) == list(range(len(bits)))
    assert 0.05 < np.mean(labels[order][1:] == labels[order][:-1]) < 0.15
    netlist, mixed, _ = replacing.read_network("mnist-5k")
    assert (mixed == bits[order]).all()
    shuffled = [toggles(netlist, np.random.default_rng(seed).permutation(bits)).sum() for seed in range(3)]
    assert toggles(netlist, mixed).sum() == pytest.approx(np.mean(shuffled), rel=0.02)
    (op,) = load_workload("mnist-classifier-luts").graphs["classifier"].ops
    assert op.attrs["opaque_table_toggles"] == toggles(netlist, mixed)[netlist.inputs :].sum()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"results.json": "[]"}, r"results\.json:1:1: .* is a mapping"),
        ({"results.json": "{}"}, r"have data, p, trees, groups, neurons, q"),
        ({"q": 0}, r"q: got 0; must be an integer from 1"),
        ({"q": "8"}, r"q: got '8'; must be an integer"),
        ({"p": -4}, r"p: got -4; must be an integer"),
        ({"p": 3}, r"says 520 tables of up to 3 inputs"),
        ({"q": 7}, r"scores of 7 bits"),
        ({"trees": 3}, r"got '520 tables .* says 440 tables"),
        ({"data": 5}, r"data: got 5; a text"),
        ({"test.npz": None}, r"test\.npz: .* no such file"),
        ({"rows": 1}, r"got '1 samples of 512 features'; changes are counted over two"),
        ({"columns": 511}, r"samples of 511 features"),
    ],
)
def test_a_training_that_was_tampered_with_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = tmp_path / "own"
    shutil.copytree(trained.FOLDER / "digits", folder)
    ((key, value),) = change.items()
    if key == "results.json":
        (folder / key).write_text(value, encoding="utf-8")
    elif key == "test.npz":
        (folder / key).unlink()
    elif key in ("rows", "columns"):
        old = read_samples(folder / "test.npz")
        rows, columns = (value, None) if key == "rows" else (None, value)
        write_samples(folder / "test.npz", Samples(old.bits[:rows, :columns], old.labels[:rows]))
    else:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        (folder / "results.json").write_text(json.dumps({**results, key: value}), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        replacing.read_network(str(folder))


def test_changes_of_a_trained_network_serial_and_opaque_by_hand() -> None:
    """Each number of a network is used in the one place it is meant for."""
    d = design_of("poetbin", inputs=16, inputs_per_lut=4, trees_per_group=2, groups=2, neurons=40)
    task = tasks.Network(
        vectors=300, features=16, scores=10, trained=1, depth=4, lut6=50, lut6_opaque=70, inside_1=11, inside_2=7,
        inside_3=5, toggled_vectors=100, table_toggles=1_000, lut6_toggles=3_000, opaque_table_toggles=5_000,
        opaque_lut6_toggles=7_000, input_toggles=400, output_toggles=90, shifted_input_permille=500,
        shifted_table_permille=250,
    )  # fmt: skip
    said = {}
    for serial in (0, 4):
        for opaque in (False, True):
            counts = tasks.count(dataclasses.replace(d, serial_width=serial, opaque=opaque), task)
            said[serial, opaque] = (counts.lut_toggles, counts.net_toggles)
    assert said[0, False] == (9_000, 3_000 + 1_200 + 270)
    assert said[0, True] == (21_000, 15_000 + 1_200 + 270)
    # Four states a sample; the scores behind the output register change once a sample all the same.
    assert said[4, False] == (9_000, 3_000 + 2_400 + 270)
    assert said[4, True] == (21_000, 15_000 + 2_400 + 270)
    held = [tasks.flip_flops(dataclasses.replace(d, pipeline=k), task) for k in (0, 1, 2, 3)]
    assert [n - held[0] for n in held[1:]] == [11 + 7 + 5 + 3, 7 + 1, 5 + 1]


@pytest.mark.parametrize(
    ("classes", "q", "tables"), [(10, 8, 9 * (4 + 8 + 4)), (2, 5, 3 + 5 + 1), (3, 2, 2 * (1 + 2 + 2))]
)
def test_tables_of_the_arg_max(classes: int, q: int, tables: int) -> None:
    """A comparison takes a table for each two bits; the choice one for each bit of score and index."""
    d = design_of("poetbin", classes=classes, q=q, neurons=classes * 8, argmax=True)
    assert tasks.argmax_lut6(d) == tables and tasks.argmax_lut6(dataclasses.replace(d, argmax=False)) == 0
    untrained = tasks.untrained(1, 512, classes)
    assert tasks.lut6(d, untrained) == tasks.nominal_lut6(d) + tables
