"""Models against measurements: the statistics, the files and their messages, and the ceilings of the models."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from accelerators.systolic.training import Exchange, State, count_exchange, count_state
from hwsim.cli import run_command
from hwsim.config import load_design
from hwsim.errors import InputError
from hwsim.evaluation import Evaluation, Job, evaluate
from hwsim.measured.file import check_measurements, read_measurements
from hwsim.measured.statistics import accuracy, kendall, ranks, spearman
from hwsim.measured.table import read_table
from hwsim.parts import resolve_parts
from hwsim.result import LayerResult
from hwsim.simulate import resolve_binding, run
from hwsim.workload.family import load_network

# --- statistics -------------------------------------------------------------------------------------------------

_FEW = st.integers(1, 6).map(float)
_PAIRS = st.lists(st.tuples(_FEW, _FEW), min_size=2, max_size=40)


def close(ours: float, theirs: float) -> bool:
    return math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-12) or (math.isnan(ours) and math.isnan(theirs))


@given(_PAIRS)
@settings(max_examples=300, deadline=None)
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_rank_correlations_are_those_of_scipy_ties_included(pairs: list[tuple[float, float]]) -> None:
    x, y = zip(*pairs, strict=True)
    assert ranks(x) == stats.rankdata(x).tolist()
    assert close(spearman(x, y), stats.spearmanr(x, y).statistic)
    assert close(kendall(x, y), stats.kendalltau(x, y).statistic)


@given(st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0.01, 1e6)), min_size=2, max_size=50))
@settings(max_examples=100, deadline=None)
def test_errors_are_relative_to_what_was_measured(pairs: list[tuple[float, float]]) -> None:
    predicted, measured = np.array(pairs).T
    errors = (predicted - measured) / measured
    got = accuracy(pairs)
    sizes = np.abs(errors)
    wanted = (errors.mean(), sizes.mean(), np.median(sizes), np.percentile(sizes, 95), sizes.max())
    assert np.allclose(got[1:6], wanted, rtol=1e-9, atol=1e-12)
    assert got.rows == len(pairs)


def test_kendall_by_counting_every_pair() -> None:
    """The definition, over all pairs, on 400 values with ties."""
    rng = np.random.default_rng(8)
    x, y = rng.integers(0, 50, 400).tolist(), rng.integers(0, 50, 400).tolist()
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i in range(len(x)) for j in range(i)]
    a, b = np.array(signs).T
    assert kendall(x, y) == pytest.approx((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()), rel=1e-12)


def test_an_empty_group_has_no_figures() -> None:
    got = accuracy([])
    assert got.rows == 0
    assert all(math.isnan(x) for x in got[1:])
    assert math.isnan(kendall([1.0, 1.0], [1.0, 2.0]))


# --- files and their messages -----------------------------------------------------------------------------------

DESIGN = "titan-xp"
GOOD = """\
summary: how long a small classifier takes
split: rows of two samples are held out
measurements:
  - file: times.csv
    design: titan-xp
    workload: gcn-cora
    bind: {n: nodes, e: 4000}
    measured: {column: t, unit: us}
    held_out: [{nodes: [500, 700]}]
    tolerance: {mape: 0.5}
"""
NODES = (100, 500, 600, 700, 2000)


def times(*factors: float) -> str:
    """A table whose times are the model's own, each multiplied by a factor."""
    lines = ["nodes,t"]
    for n, factor in zip(NODES, factors, strict=True):
        us = 1e6 * run(DESIGN, "gcn-cora", bind={"n": n, "e": 4000}, interval=False).latency_s.value
        lines.append(f"{n},{us * factor!r}")
    return "\n".join(lines) + "\n"


def folder(tmp_path: Path, description: str = GOOD, table: str = "nodes,t\n100,5\n") -> Path:
    (tmp_path / "measurements.yaml").write_text(description)
    (tmp_path / "times.csv").write_text(table)
    return tmp_path


def asked(*arguments: str | Path) -> int:
    return run_command(["validate", *map(str, arguments)])


def test_the_command_says_how_far_the_model_is_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Times of 1, 1.25, 1, 0.8 and 2 times the model's: errors of 0, -20, 0, +25 and -50 percent."""
    where = folder(tmp_path, table=times(1, 1.25, 1, 0.8, 2))
    assert asked("--data", where, "--json") == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    errors = [row["error"] for row in table["rows"]]
    assert errors == pytest.approx([0, -0.2, 0, 0.25, -0.5], abs=1e-9)
    assert [row["held_out"] for row in table["rows"]] == [False, True, False, True, False]
    assert table["summary"]["held out"]["mape"] == pytest.approx(0.225)
    assert table["summary"]["fit"]["bias"] == pytest.approx(-0.5 / 3)
    assert table["summary"]["all"]["worst"] == pytest.approx(0.5)
    assert table["summary"]["held out"]["rows"] == 2
    assert table["judged"] == "held out"


def test_a_tolerance_that_does_not_hold_ends_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = folder(tmp_path, GOOD.replace("0.5}", "0.2}"), times(1, 1.25, 1, 0.8, 2))
    assert asked("--data", where) == 1
    assert "**The tolerance does not hold** for mape" in capsys.readouterr().out


def test_rates_are_runs_a_second_and_energies_joules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(DESIGN, "gcn-cora", bind={"n": 100, "e": 4000}, interval=False)
    description = GOOD.replace("    held_out: [{nodes: [500, 700]}]\n", "")
    for unit, value in (("1/s", 1 / result.latency_s.value), ("mJ", 1e3 * result.energy_j.value)):
        where = folder(tmp_path, description.replace("unit: us", f"unit: {unit}"), f"nodes,t\n100,{value!r}\n")
        assert asked("--data", where, "--json") == 0
        row = json.loads(capsys.readouterr().out)["tables"][0]["rows"][0]
        assert row["predicted"] == pytest.approx(value)


def test_the_page_and_the_picture_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    where = folder(tmp_path, table=times(1, 1.25, 1, 0.8, 2))
    written = []
    for name in ("a", "b"):
        page, picture = tmp_path / f"{name}.md", tmp_path / f"{name}.png"
        assert asked("--data", where, "--out", page, "--picture", picture) == 0
        written.append((page.read_text(), picture.read_bytes()))
    assert written[0] == written[1]
    assert "| held out | 2 | 2.5% | 22.5% | 22.5% |" in written[0][0]
    assert "rows of two samples are held out" in written[0][0]


def problems(tmp_path: Path, description: str = GOOD, table: str = "nodes,t\n100,5\n") -> str:
    where = folder(tmp_path, description, table)
    with pytest.raises(InputError) as caught:
        read_measurements(where / "measurements.yaml", where)
    return "\n".join(map(str, caught.value.problems)).replace(f"{tmp_path}/", "")


BAD_FILES = [
    (GOOD.replace("unit: us", "unit: hours"), "measurements.yaml:8:33: [choice] measurements[0].measured.unit"),
    (GOOD.replace("measured:", "mesured:"), "[unknown-key] measurements[0].mesured: got 'mesured'"),
    (GOOD.replace("column: t,", "column: time,"), "measurements.yaml:8:24: [unknown-column]"),
    (GOOD.replace("n: nodes", "n: node"), "times.csv has no such column. Did you mean nodes?"),
    (GOOD.replace("e: 4000", "e: [1]"), "[type] measurements[0].bind.e: got a list of 1"),
    (GOOD.replace("{nodes: [500", "{knots: [500"), "[unknown-column] measurements[0].held_out[0].knots"),
    (GOOD.replace("[{nodes: [500, 700]}]", "[{}]"), "an entry names at least one column"),
    (GOOD.replace("mape: 0.5", "mape: -1"), "[range] measurements[0].tolerance.mape: got -1"),
    (GOOD.replace("mape: 0.5", "mean: 1"), "[unknown-key] measurements[0].tolerance.mean"),
    (GOOD.replace("times.csv", "../times.csv"), "must be a file in the folder given"),
    (GOOD.replace("times.csv", "time.csv"), "there is no such file"),
    (GOOD + "    set: [clock]\n", "must be a text KEY=VALUE"),
    ("measurements: []\n", "at least one table is described"),
]  # fmt: skip


@pytest.mark.parametrize(("description", "said"), BAD_FILES)
def test_a_wrong_description_is_told_with_its_place(tmp_path: Path, description: str, said: str) -> None:
    assert said in problems(tmp_path, description)


BAD_TABLES = [
    ("", "times.csv:1:1: [csv] got an empty file"),
    ("nodes,t\n", "times.csv:1:1: [csv] got no rows"),
    ("nodes,t,t\n1,2,3\n", "every column has a name of its own"),
    ("nodes,t\n100,5\n100\n", "times.csv:3:1: [csv] got 1 cells"),
    ("nodes,t\n100,fast\n", "times.csv:2:5: [type] t: got 'fast'; must be a number"),
    ("nodes,t\n100,0\n", "times.csv:2:5: [range] t: got 0; must be greater than 0"),
    ("nodes,t\n100,nan\n", "must be a number"),
    ("nodes,t\n1_0,5\nx,6\n", "times.csv:3:1: [type] nodes: got 'x'"),
    ('nodes,t\n"100,5\n', "must be CSV"),
]


@pytest.mark.parametrize(("table", "said"), BAD_TABLES)
def test_a_wrong_table_is_told_with_its_place(tmp_path: Path, table: str, said: str) -> None:
    assert said in problems(tmp_path, table=table)


def test_rows_that_cannot_run_and_names_that_nothing_has_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for description, table, said in (
        (GOOD, "nodes,t\n100,5\n1.5,5\n", "times.csv:3:5: [type] t: got 1.5; n: must be a whole number"),
        (GOOD.replace("gcn-cora", "gcn-coral"), "nodes,t\n100,5\n", "measurements.yaml:4:5: [unknown-workload]"),
        (GOOD.replace("titan-xp", "titan-xq"), "nodes,t\n100,5\n", "Did you mean titan-xp?"),
    ):
        assert asked("--data", folder(tmp_path, description, table)) == 2
        assert said in capsys.readouterr().err


def test_options_of_the_other_question_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = folder(tmp_path)
    assert asked("--data", where, "--deep") == 2
    assert asked("--data", where, "poetbin") == 2
    assert asked("--picture", "a.png") == 2
    assert asked("--data", where, "--picture", "a.bmp") == 2
    told = capsys.readouterr().err
    assert "--deep is about circuits" in told
    assert "needs --data DIR" in told
    assert "a picture is one of png, svg, pdf" in told


def test_check_knows_a_description_without_its_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    assert check_measurements(path) == 1
    assert run_command(["check", str(path)]) == 0
    assert "a valid description of measurements (1 tables)" in capsys.readouterr().out


def test_a_table_keeps_integers_and_places(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ufeffa, b\r\n\r\n12,0.5\r\n7.0,-1e3\r\n", encoding="utf-8")
    table = read_table(path)
    assert table.columns == ("a", "b")
    assert [[table.number(row, c) for c in "ab"] for row in table.rows] == [[12, 0.5], [7, -1000]]
    assert [row.line for row in table.rows] == [3, 4]
    assert str(table.where(table.rows[1], "b")).endswith("a.csv:4:5")


# --- what holds a training step -----------------------------------------------------------------------------------

NETWORK = load_network("paradnn-fc", "rmsprop")
STATE_TENSORS = 4
"""Weight, gradient, mean square and velocity of RMSProp with momentum."""


def step(design: str, *settings: str, **sizes: float) -> Evaluation:
    """A training step of a fully connected network."""
    bound = resolve_binding(NETWORK, {"input": 2000, "output": 1000, **sizes})
    file = load_design(design, settings)
    return evaluate(Job(file.model, file.design, resolve_parts(file.named), NETWORK.built(bound), NETWORK.own(bound)))


def layers(design: str, *settings: str, **sizes: float) -> dict[str, LayerResult]:
    """Report lines of a training step by name."""
    bound = resolve_binding(NETWORK, {"input": 2000, "output": 1000, **sizes})
    network, own = NETWORK.built(bound), NETWORK.own(bound)
    return {x.name: x for x in run(design, network, overrides=settings, bind=own, interval=False).layers}


@pytest.mark.parametrize(("design", "teraflops", "gigabytes_per_s"), [("tpu-v2", 183.5, 2400), ("tpu-v3", 492.8, 3600)])
def test_peaks_of_the_boards(design: str, teraflops: float, gigabytes_per_s: float) -> None:
    """Arrays of 128 x 128 at their clock: 180 and 420 TFLOPS are advertised, the second below what 16 arrays can do."""
    d = load_design(design).design
    assert 2 * d.rows * d.columns * d.cores * d.clock_khz * 1e3 == pytest.approx(teraflops * 1e12, rel=1e-3)
    assert d.dram_rate_bits_per_s * d.dram_channels == pytest.approx(8e9 * gigabytes_per_s, rel=0.01)
    assert d.replicas == 8


@pytest.mark.parametrize("batch", [4096, 16384])
@pytest.mark.parametrize("design", ["v100", "tpu-v2", "tpu-v3"])
def test_small_networks_stand_at_the_host(design: str, batch: int) -> None:
    """Inputs of 2,000 elements and a class number, or 1,000 classes, through the link; nothing else is seen."""
    d = load_design(design).design
    classes = 1000 * getattr(d, "infeed_target_bits", 0)
    bits = batch * (2001 * d.infeed_element_bits + classes)
    seconds = d.infeed_overhead_ps * 1e-12 + bits / d.infeed_rate_bits_per_s
    assert step(design, layers=4, nodes=32, batch=batch).latency_s == pytest.approx(seconds, rel=1e-6)


def test_deep_small_networks_stand_at_launches() -> None:
    """Nine kernels a dense layer (two roundings, product, gradients of weight and bias, both widened, two updates),
    two for each activation, one gradient of an input, two of the loss."""
    d = load_design("v100").design
    for depth in (4, 32, 128):
        kernels = 9 * (depth + 1) + 3 * depth + 2
        seconds = 1e-9 * kernels * d.launch_ns + 1e-12 * d.step_overhead_ps
        got = step("v100", "infeed_rate=0 Gbit/s", layers=depth, nodes=32, batch=16, input=64, output=10).latency_s
        assert got == pytest.approx(seconds, rel=1e-4)


def test_an_update_on_the_gpu_stands_at_its_memory() -> None:
    """Three passes: each reads its tensor and the gradient, two of them what the pass before wrote, and writes one."""
    d = load_design("v100").design
    bits = (3 * 2 + 2 + 3) * 32 * 8192**2
    rate = d.memory_bandwidth_bits_per_s * d.bandwidth_ceiling_percent / 100
    found = layers("v100", layers=4, nodes=8192, batch=64)["update.fc_1.weight"]
    assert found.busy_s == pytest.approx(bits / rate + 1e-9 * d.gap_ns, rel=1e-3)
    assert found.bound == "dram"


def test_a_large_product_on_the_gpu_stands_at_its_tensor_cores() -> None:
    d = load_design("v100").design
    rate = d.multiprocessors * d.product_macs_per_cycle * d.clock_khz * 1e3 * d.issue_ceiling_percent / 100
    found = layers("v100", layers=4, nodes=8192, batch=16384)["fc_2.grad_input"]
    assert found.bound == "arithmetic"
    assert 1 <= found.busy_s * rate / (16384 * 8192**2) < 1.03


def test_without_state_bits_nothing_is_rounded() -> None:
    """The same network with parameters as wide as operands has two kernels fewer for each of ten parameters."""
    wide, narrow = (len(step("v100", f"state={bits} bit", layers=4, nodes=64, batch=64).program) for bits in (32, 0))
    assert wide - narrow == 2 * 10


def test_replicas_exchange_gradients_in_a_ring() -> None:
    """Each of eight passes on 2 * 7/8 of a gradient of 32 bit."""
    d = load_design("tpu-v2").design
    cycles = count_exchange(d, Exchange(2048 * 2048)).vector_cycles
    seconds = 2 * 7 / 8 * 2048**2 * 32 / d.exchange_rate_bits_per_s
    assert cycles / (d.clock_khz * 1e3) == pytest.approx(seconds, rel=1e-4)
    alone = load_design("tpu-v2", ["replicas=1"]).design
    assert count_exchange(alone, Exchange(2048 * 2048)).vector_cycles == 0


def test_every_replica_updates_all_parameters() -> None:
    d = load_design("tpu-v2").design
    counts = count_state(d, State(1000, STATE_TENSORS, STATE_TENSORS - 1, 0, 0, 1000))
    assert counts.dram_read_bits == 8 * 1000 * STATE_TENSORS * 32
    assert counts.dram_write_bits == 8 * 1000 * (STATE_TENSORS - 1) * 32


def tpu_twin_s(layers: int, nodes: int, inputs: int, outputs: int, batch: int) -> float:
    """A training step on the TPU v2 by hand: every operator the slower of its array and its memory, one after the
    other; weights rounded, gradients widened, exchanged, all parameters updated by every core."""
    clock, memory, link = 700e6, 75 * 32e9 / 8, 272e9 / 8
    each = -(-batch // 8)

    def folds(m: int, k: int, n: int) -> float:
        many = -(-k // 128) * -(-n // 128)
        return (128 + (many - 1) * max(m, 128) + m + 254) / clock

    total, operators = 0.0, 0
    for i, (k, n) in enumerate([(inputs, nodes), *[(nodes, nodes)] * (layers - 1), (nodes, outputs)]):
        moved = 2 * (k * n + each * (k + n)) / memory
        total += max(folds(each, k, n), moved) + max(folds(k, each, n), moved)
        total += max(folds(each, n, k), moved) if i else 0.0
        kept = (6 + 6 + 7 * 4) * k * n / memory
        total += kept + 2 * 7 / 8 * 4 * k * n / link + 3 * 2 * each * n / memory
        operators += 14 if i else 13
    return 518e-6 + total + 1.81e-6 * operators


def test_the_tpu_is_what_its_parts_add_up_to(capsys: pytest.CaptureFixture[str]) -> None:
    """On 40 random networks within 8 percent of a twin that knows nothing of tiles, chunks or DRAM timing."""
    rng = random.Random(8)
    worst = 0.0
    for _ in range(40):
        depth, nodes = rng.choice([1, 3, 9, 20]), rng.choice([256, 500, 1024, 2000, 4096])
        inputs, outputs, batch = rng.randint(100, 9000), rng.randint(10, 2000), rng.choice([64, 512, 4096, 16384])
        here = step("tpu-v2", "infeed_rate=0 Gbit/s", layers=depth, nodes=nodes, input=inputs, output=outputs,
                    batch=batch).latency_s  # fmt: skip
        worst = max(worst, abs(here / tpu_twin_s(depth, nodes, inputs, outputs, batch) - 1))
    with capsys.disabled():
        print(f"\n40 networks on tpu-v2 against a twin: furthest {worst:.1%}")
    assert worst < 0.08


def test_the_next_board_is_faster_where_the_host_is_not_in_the_way() -> None:
    sizes = {"layers": 8, "nodes": 4096, "batch": 16384}
    v2, v3 = (step(name, "infeed_rate=0 Gbit/s", **sizes).latency_s for name in ("tpu-v2", "tpu-v3"))
    assert 1.3 < v2 / v3 < 2.7


# --- the fit ------------------------------------------------------------------------------------------------------


def test_the_fit_finds_constants_that_made_the_data_and_leaves_held_out_rows_alone(tmp_path: Path) -> None:
    """Times of a V100 with launches of 17 us; the held-out row is off by a factor of a hundred, and is not seen."""
    lines = ["layers,t"]
    for depth in (2, 4, 8, 16):
        us = 1e6 * step("v100", "launch=17 us", layers=depth, nodes=64, batch=32, input=64, output=10).latency_s
        lines.append(f"{depth},{us * (100 if depth == 8 else 1)!r}")
    (tmp_path / "times.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "measurements.yaml").write_text(
        "measurements:\n  - file: times.csv\n    design: v100\n    workload: paradnn-fc\n    train: rmsprop\n"
        "    bind: {layers: layers, nodes: 64, batch: 32, input: 64, output: 10}\n"
        "    measured: {column: t, unit: us}\n    held_out: [{layers: 8}]\n"
    )
    (tmp_path / "free.yaml").write_text("launch: [5 us, 30 us]\n")
    script = Path(__file__).parent.parent / "benchmarks" / "fit_measured.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path, tmp_path / "free.yaml", "--measurements", tmp_path / "measurements.yaml"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "3 rows of the fit side" in done.stdout
    found = next(line for line in done.stdout.splitlines() if line.lstrip().startswith("launch"))
    assert float(found.split()[1]) == pytest.approx(17, rel=0.01)
