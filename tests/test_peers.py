"""The benchmark against SCALE-Sim and ZigZag, without either: their files, their answers, and what differs why.

HWSIM_PEERS=FOLDER names the folder of their environments (`python -m benchmarks.peers --envs FOLDER install`); one tiny
case then runs through each.
"""

from __future__ import annotations

import configparser
import itertools
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.peers import (
    cases,
    checks,
    collect,
    compare,
    environments,
    ours,
    process,
    report,
    scalesim,
    sweep,
    zigzag,
)
from benchmarks.peers.work import CONTEXT, NETWORKS, Product, Window, read
from hwsim.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
sizes = st.integers(1, 300)
sides = st.integers(1, 64)
products = st.builds(Product, st.just("p"), sizes, sizes, sizes, st.integers(1, 5), times=st.integers(1, 5))

CONVOLUTION = Product("conv", 25, 2, 27, window=Window(11, 11, 3, 3, 3, 2, 2, 2, 5, 5, 1, 1))
GEMM = Product("gemm", 100, 70, 50)
HEADS = Product("heads", 1, 128, 64, copies=12, fixed=False)


# --- the work ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_products_are_all_of_a_network(name: str) -> None:
    network = NETWORKS[name]
    found = network.products()
    assert sum(p.macs for p in found) == network.workload().macs(network.binding())
    assert len({replace(p, name="", times=1) for p in found}) == len(found)


def test_what_the_networks_are_made_of() -> None:
    found = {name: network.products() for name, network in NETWORKS.items()}
    counts = {name: sum(p.times * p.copies for p in of) for name, of in found.items()}
    # 20 convolutions and a classifier; 14 and a classifier, and one product a channel of 13 depthwise layers; one a
    # linear layer and two a head; the same 12 times over, and the logits.
    depthwise = 32 + 64 + 2 * 128 + 2 * 256 + 6 * 512 + 1024
    assert counts == {"resnet18": 21, "mobilenet": 15 + depthwise, "bert-layer": 6 + 24, "gpt2-step": 12 * (4 + 24) + 1}
    assert {p.m for p in found["gpt2-step"]} == {1}
    assert CONTEXT in {p.n for p in found["gpt2-step"]}
    assert (found["resnet18"][0].m, found["resnet18"][0].k) == (112 * 112, 147)


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))
def test_cropped_sizes_leave_nothing_to_round(outputs: int, kernel: int, stride: int, rest: int) -> None:
    size = read(outputs, kernel, stride)
    rounded_up = math.ceil((size - kernel + stride) / stride)
    assert outputs == rounded_up == (size - kernel) // stride + 1
    if rest < stride:
        assert outputs == (size + rest - kernel) // stride + 1


def test_sizes_that_are_read_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    seen = 0
    for name in ("resnet18", "mobilenet"):
        for p in NETWORKS[name].products():
            if (w := p.window) is None:
                continue
            for rest_h, rest_w in ((0, 0), (w.rest_h, w.rest_w)):
                image = torch.zeros(1, 1, w.in_h + rest_h, w.in_w + rest_w)
                kernel = torch.zeros(1, 1, w.kernel_h, w.kernel_w)
                made = torch.nn.functional.conv2d(image, kernel, stride=(w.stride_h, w.stride_w))
                assert made.shape[2:] == (w.out_h, w.out_w)
                seen += 1
    print(f"{seen} convolutions")
    assert seen == 2 * (11 + 19)


# --- SCALE-Sim --------------------------------------------------------------------------------------------------------


def test_scalesim_files(tmp_path: Path) -> None:
    job = json.loads(scalesim.write_job([CONVOLUTION], 16, 32, "ws", tmp_path).read_text())
    assert job["gemm"] is False
    topology = [line.split(", ") for line in Path(job["topology"]).read_text().splitlines()]
    # Its reader drops what is behind the last comma, and adds the second stride itself.
    assert topology[1] == ["layer0", "11", "11", "3", "3", "3", "2", "2,"]
    layout = Path(job["layout"]).read_text().splitlines()[1]
    assert layout.startswith("layer0, 1, 1,")
    assert layout.endswith(",")
    config = configparser.ConfigParser()
    config.read_string(Path(job["config"]).read_text())
    sections = {"general", "architecture_presets", "layout", "sparsity", "run_presets"}
    assert set(config.sections()) == sections
    array = config["architecture_presets"]
    assert (array["arrayheight"], array["arraywidth"], array["dataflow"]) == ("16", "32", "ws")
    assert config["run_presets"]["interfacebandwidth"] == "CALC"


def test_scalesim_gemm(tmp_path: Path) -> None:
    job = json.loads(scalesim.write_job([GEMM], 8, 8, "os", tmp_path).read_text())
    assert job["gemm"] is True
    assert Path(job["topology"]).read_text().splitlines()[1] == "layer, 100, 70, 50,"


def test_several_layers_are_all_convolutions(tmp_path: Path) -> None:
    job = json.loads(scalesim.write_job([CONVOLUTION, GEMM], 8, 8, "ws", tmp_path).read_text())
    rows = Path(job["topology"]).read_text().splitlines()
    assert job["gemm"] is False
    assert rows[2] == "layer1, 100, 50, 1, 50, 1, 70, 1,"


def test_scalesim_has_one_stride() -> None:
    assert CONVOLUTION.window is not None
    crooked = replace(CONVOLUTION, window=replace(CONVOLUTION.window, stride_w=1))
    with pytest.raises(ValueError, match="one stride for both directions"):
        scalesim.convolutions([crooked])


COMPUTE = """\
LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %,\
 Compute Util %,
0, 5521, 3247, 0, 42.107, 80.4, 54.9,
"""
ACCESS = """\
LayerID, SRAM IFMAP Start Cycle, SRAM IFMAP Stop Cycle, SRAM IFMAP Reads, SRAM Filter Start Cycle, \
SRAM Filter Stop Cycle, SRAM Filter Reads, SRAM OFMAP Start Cycle, SRAM OFMAP Stop Cycle, SRAM OFMAP Writes, \
DRAM IFMAP Start Cycle, DRAM IFMAP Stop Cycle, DRAM IFMAP Reads, DRAM Filter Start Cycle, DRAM Filter Stop Cycle, \
DRAM Filter Reads, DRAM OFMAP Start Cycle, DRAM OFMAP Stop Cycle, DRAM OFMAP Writes,
0, 1, 3133, 5000, 17, 3216, 24500, 47, 3247, 28000, -500, -1, 5000, -350, -1, 3500.0, 47, 3260, 28000,
"""


def write_reports(folder: Path, compute: str = COMPUTE, access: str = ACCESS) -> Path:
    """Reports as SCALE-Sim leaves them."""
    (folder / "run").mkdir()
    (folder / "run" / "COMPUTE_REPORT.csv").write_text(compute)
    (folder / "run" / "DETAILED_ACCESS_REPORT.csv").write_text(access)
    return folder


def test_scalesim_reports(tmp_path: Path) -> None:
    answer = scalesim.read_answer(write_reports(tmp_path))
    assert (answer.cycles, answer.cycles_with_prefetch, answer.stall_cycles) == (3247, 5521, 0)
    assert answer.accesses == {
        "sram_input_reads": 5000, "sram_weight_reads": 24500, "sram_output_writes": 28000,
        "dram_input_reads": 5000, "dram_weight_reads": 3500, "dram_output_writes": 28000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (COMPUTE + COMPUTE.splitlines()[1] + "\n", "2 layers"),
        (COMPUTE.splitlines()[0] + "\n0, 5521,\n", "one whole layer was asked for"),
        (COMPUTE.replace("Stall Cycles", "Stalls"), "without the column 'Stall Cycles'"),
    ],
)
def test_other_reports_are_refused(tmp_path: Path, compute: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scalesim.read_answer(write_reports(tmp_path, compute))


@pytest.mark.parametrize(
    ("product", "dataflow", "cycles"),
    [
        (Product("", 16, 16, 3), "os", 32),
        (Product("", 16, 16, 3), "ws", 61),
        (GEMM, "is", 3247),
        (CONVOLUTION, "ws", 141),
        (Product("", 1, 70, 50), "ws", 939),
    ],
)
def test_its_own_count_as_it_answered(product: Product, dataflow: str, cycles: int) -> None:
    """Answers of SCALE-Sim 3.0.0 on 16 x 16."""
    assert scalesim.own_count(product, 16, 16, dataflow) == cycles


@given(st.lists(products, min_size=1, max_size=5), sides, sides, st.sampled_from(checks.DATAFLOWS))
def test_its_count_is_explained(found: list[Product], rows: int, columns: int, dataflow: str) -> None:
    answered = [(p, scalesim.own_count(p, rows, columns, dataflow)) for p in found]
    gap = compare.scalesim_gap(answered, rows, columns, dataflow)
    assert gap.unexplained == 0
    assert gap.from_zero == sum(p.copies * p.times for p in found)
    assert (gap.drain > 0) == (dataflow == "os")
    wrong = [(p, cycles + 1) for p, cycles in answered]
    assert compare.scalesim_gap(wrong, rows, columns, dataflow).unexplained == -gap.from_zero


@pytest.mark.parametrize("dataflow", checks.DATAFLOWS)
def test_rounding_up_is_explained(dataflow: str) -> None:
    for product, side in itertools.product(NETWORKS["resnet18"].products(), (1, 7, 16, 128, 200)):
        seen = compare.as_padded(product)
        answered = [(product, scalesim.own_count(seen, side, side, dataflow))]
        gap = compare.scalesim_gap(answered, side, side, dataflow, padded=True)
        assert gap.unexplained == 0
        assert gap.rounding <= 0
        if dataflow == "ws":
            assert (gap.rounding == 0) == (seen.m == product.m)


def test_what_it_rounds_up() -> None:
    found = [(p.window.out_h, compare.as_padded(p).m) for p, _ in checks.padded_cases() if p.window]
    assert found == [(112, 113**2), (28, 29**2), (28, 29**2), (14, 15**2), (14, 15**2), (7, 8**2), (7, 8**2)]


# --- ZigZag -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("product", [p for n in NETWORKS.values() for p in n.products()], ids=lambda p: str(p.name))
def test_zigzag_loops_are_the_products(product: Product) -> None:
    (layer,) = zigzag.workload([product])
    loops = dict(zip(layer["loop_dims"], layer["loop_sizes"], strict=True))
    assert math.prod(loops.values()) * product.times == product.macs
    assert layer["operand_source"] == {"I": layer["id"], "W": layer["id"]}


def test_zigzag_files(tmp_path: Path) -> None:
    import yaml

    job = json.loads(zigzag.write_job([CONVOLUTION, HEADS], 8, 16, tmp_path).read_text())
    convolution, heads = yaml.safe_load(Path(job["workload"]).read_text())
    assert convolution["equation"] == "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
    assert convolution["dimension_relations"] == ["ix=2*ox+1*fx", "iy=2*oy+1*fy"]
    assert (heads["id"], heads["equation"]) == (1, "O[h][d][k]+=I[h][d][c]*W[h][c][k]")
    assert heads["operand_precision"] == {"W": 8, "I": 8, "O": 16, "O_final": 8}
    assert "padding" not in convolution
    first = zigzag.workload(NETWORKS["resnet18"].products())[0]
    assert (first["pr_loop_sizes"], first["padding"]) == ([224, 224], [[3, 3], [3, 3]])
    array = yaml.safe_load(Path(job["accelerator"]).read_text())
    assert array["operational_array"]["sizes"] == [16, 8]
    assert array["memories"]["dram"]["ports"][0]["name"] == "rw_port_0"
    (default,) = yaml.safe_load(Path(job["mapping"]).read_text())
    assert default["spatial_mapping"] == {"D1": ["K, 16"], "D2": ["C, 8"]}


@pytest.mark.parametrize(
    ("channels", "kernel", "rows", "taps"),
    [
        (1, 3, 16, ["FX, 3", "FY, 3"]), (3, 3, 16, ["FX, 3"]), (3, 3, 32, ["FX, 3", "FY, 3"]), (3, 7, 32, ["FX, 7"]),
        (3, 7, 16, []), (64, 3, 128, []), (32, 3, 128, ["FX, 3"]), (16, 1, 128, []),
    ],
)  # fmt: skip
def test_taps_lie_beside_few_channels(channels: int, kernel: int, rows: int, taps: list[str]) -> None:
    window = Window(9, 9, kernel, kernel, channels, 4, 1, 1, 10 - kernel, 10 - kernel)
    product = Product("p", (10 - kernel) ** 2, 4, channels * kernel**2, window=window)
    assert zigzag.taps_down(product, rows) == taps
    named = {m["name"]: m["spatial_mapping"]["D2"] for m in zigzag.mapping([GEMM, product], rows, 8)}
    assert named == {"default": [f"C, {rows}"]} | ({"layer1": [f"C, {rows}", *taps]} if taps else {})


def access(read_low: int, write_low: int, read_high: int, write_high: int) -> dict[str, int]:
    """Accesses as ZigZag writes them."""
    return {"rd_out_to_low": read_low, "wr_in_by_low": write_low, "rd_out_to_high": read_high,
            "wr_in_by_high": write_high}  # fmt: skip


def sample() -> dict[str, Any]:
    """What ZigZag 3.9.1 wrote of 12 heads of 1 x 128 over 64 on 32 x 32, but for what is not read."""
    return {
        "outputs": {
            "memory": {"word_accesses": {
                "O": [access(98304, 98304, 49152, 0), access(0, 6, 6, 0), access(0, 192, 0, 0)],
                "I": [access(12, 0, 0, 3), access(96, 0, 0, 0)],
                "W": [access(98304, 0, 0, 98304), access(12288, 0, 0, 0)],
            }},
            "energy": {
                "energy_total": 8851467.36, "operational_energy": 3932.16, "memory_energy": 8847535.2,
                "memory_energy_breakdown_per_level": {
                    "O": [5160.96, 4767.36, 144000], "I": [6129.12, 67200], "W": [18677.76, 8601600],
                },
            },
            "latency": {"data_onloading": 12192.0, "computation": 96.0, "data_offloading": 255.0},
        },
        "inputs": {
            "spatial_mapping": {"O": [[], ["(K, 32)", "(C, 32)"], [], []]},
            "temporal_mapping": {"O": [["(C, 2)"], ["(K, 2)", "(K, 2)", "(H, 3)", "(H, 2)", "(H, 2)"], []]},
        },
    }  # fmt: skip


def test_zigzag_answer() -> None:
    answer = zigzag.parse_answer(sample())
    assert (answer.cycles, answer.ideal, answer.stall) == (12543, 96, 0)
    assert (answer.onloading, answer.offloading, answer.drain) == (12192, 193, 62)
    assert answer.cycles == answer.ideal + answer.stall + answer.onloading + answer.offloading + answer.drain
    assert sum(answer.memory_pj.values()) + answer.mac_pj == pytest.approx(answer.energy_pj, rel=1e-9)
    assert answer.memory_pj["dram"] == 144000 + 67200 + 8601600
    assert zigzag.dram_words(answer.words) == 192 + 96 + 12288
    # 12 x 64 x 128 weights, 12 x 64 inputs and 12 x 128 results of 8 bits through 64: nothing twice.
    assert zigzag.dram_words(answer.words) == 12 * (64 * 128 + 64 + 128) // 8


def test_its_energy_is_words_at_the_prices_of_the_hardware() -> None:
    answer = zigzag.parse_answer(sample())
    for name, memory in zigzag.MEMORIES.items():
        counted = [levels[name] for levels in answer.words.values() if name in levels]
        pj = sum(c["read"] * memory.r_cost + c["write"] * memory.w_cost for c in counted)
        assert pj == pytest.approx(answer.memory_pj[name], rel=1e-9)


def test_below_its_own_bound() -> None:
    answer = zigzag.parse_answer(sample()).plain()
    assert compare.below_own_bound(answer, zigzag.dram_words(answer["words"])) == 12576 - 12543
    assert compare.below_own_bound({"cycles": 12576}, 12576) == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d["outputs"].pop("latency"),
        lambda d: d["outputs"]["energy"].pop("energy_total"),
        lambda d: d["inputs"]["temporal_mapping"].pop("O"),
        lambda d: d["outputs"].update(memory=None),
    ],
)
def test_another_form_is_refused(tmp_path: Path, spoil: Any) -> None:
    found = sample()
    spoil(found)
    (tmp_path / zigzag.ANSWER_FILE).write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r"not the file that ZigZag 3\.9\.1 writes"):
        zigzag.read_answer(tmp_path)


@given(
    st.lists(st.tuples(products, st.lists(sizes, min_size=5, max_size=5)), min_size=1, max_size=4), sides, sizes, sizes
)
def test_latency_gap_adds_up(
    found: list[tuple[Product, list[int]]], side: int, product_cycles: int, other: int
) -> None:
    names = ("ideal", "stall", "onloading", "offloading", "drain")
    answers = [(p, dict(zip(names, parts, strict=True)) | {"cycles": sum(parts)}) for p, parts in found]
    gap = compare.zigzag_gap(answers, side, side, product_cycles + other, other)
    assert gap.ours - gap.theirs == gap.mapping + gap.fill + gap.memory + gap.others
    assert gap.others == other


def test_latency_gap_of_one_product() -> None:
    # 4 x 4 folds of 100 rows; each filling hides under the stream but the first: 32 + 16 * 100 + 62.
    p = Product("p", 100, 128, 128)
    answer = {"cycles": 2000, "ideal": 1600, "stall": 10, "onloading": 300, "offloading": 28, "drain": 62}
    gap = compare.zigzag_gap([(p, answer)], 32, 32, 2100, 50)
    assert (gap.mapping, gap.fill, gap.memory, gap.others) == (0, 32, 2050 - 1694 - 338, 50)


# --- measuring --------------------------------------------------------------------------------------------------------


def python(*arguments: str) -> list[str]:
    """A command that runs one line of Python."""
    return [sys.executable, "-I", "-c", *arguments]


def test_usage(tmp_path: Path) -> None:
    """From an interpreter of its own: what the starting process had resident is the least that Linux counts."""
    line = (
        "import json, sys; from pathlib import Path; from benchmarks.peers import process; "
        "slow = 'import time; x = bytearray(200 << 20); time.sleep(0.3); print(\\'done\\')'; "
        "to = Path(sys.argv[1]); "
        "usage = process.run([sys.executable, '-c', slow], to / 'log', output=to / 'out'); "
        "print(json.dumps(usage.plain()))"
    )
    told = subprocess.run(
        [sys.executable, "-c", line, str(tmp_path)], cwd=ROOT, capture_output=True, check=True, text=True
    )
    usage = process.Usage(**json.loads(told.stdout))
    assert usage.status == "ok"
    assert (tmp_path / "out").read_text() == "done\n"
    assert usage.wall_s >= 0.3 > usage.cpu_s / 2
    # A process starts with what the one that starts it has, which here can be all of PyTorch.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * process.KIB * 8
    assert 200 << 23 <= usage.peak_bits < max(400 << 23, own + (1 << 23))


def test_records_that_cannot_be_kept_or_read_say_so(tmp_path: Path) -> None:
    runs, taken = cases.Store(tmp_path / "runs"), cases.Store(tmp_path / "file")
    with pytest.raises(InputError) as error:
        collect.everything(runs)
    assert str(error.value) == (f"{runs.folder}: [peer-results] got 'machine'; this was not measured. Run: "
                                "python -m benchmarks.peers run, then sweep.")  # fmt: skip
    taken.folder.touch()
    with pytest.raises(InputError) as error:
        taken.put("machine", {})
    assert str(error.value) == (f"{taken.folder}: [peer-results] --results: got 'File exists'; records cannot be kept "
                                "here. Name another folder.")  # fmt: skip
    runs.put("machine", {"python": "3"})
    assert runs.get("machine") == {"python": "3"}
    path = runs.folder / "machine.json"
    path.write_text("{")
    with pytest.raises(InputError) as error:
        runs.get("machine")
    assert str(error.value).startswith(f"{path}: [peer-results] got 'Expecting property name")
    assert str(error.value).endswith("this record cannot be read. Remove it, and measure again.")


def test_what_equal_layers_take_again_starts_once(tmp_path: Path) -> None:
    """A process of 5 s of which 2 s are start-up: 2 + 4 x 3 for four equal layers."""
    store = cases.Store(tmp_path)
    product = replace(GEMM, copies=2, times=2)
    usage = process.Usage("ok", 6.0, 5.0, 8 << 20).plain()
    for tool in cases.VERSIONS:
        store.put(collect.start_key(tool), {"cpu_s": 2.0})
    accesses = {"dram_output_writes": 7}
    record = {"answer": {"cycles": 1, "accesses": accesses}, "usage": usage}
    store.put(cases.Case(cases.SCALESIM, 16, 16, cases.DATAFLOW, product).key, record)
    row = collect.of_network(store, cases.SCALESIM, "net", [product], 16)
    assert (row["cpu_s"], row["whole_cpu_s"], row["accesses"]) == (5.0, 14.0, {"dram_output_writes": 4 * 7})


def test_starting_takes_what_the_shortest_start_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    took = iter((3.0, 1.0, 2.0))
    monkeypatch.setattr(process, "run", lambda *_, **__: process.Usage("ok", 9.0, next(took), 0))
    assert cases.start_up(cases.ZIGZAG, Path("python"), tmp_path / "log") == {"cpu_s": 1.0}


def test_limits(tmp_path: Path) -> None:
    started = time.perf_counter()
    assert process.run(python("while True: pass"), tmp_path / "log", time_limit_s=0.3).status == "over time"
    assert time.perf_counter() - started < 5
    greedy = process.run(python("x = bytearray(2 << 30)"), tmp_path / "log", memory_limit_bits=1 << 33)
    assert greedy.status == "over memory"
    failed = process.run(python("raise SystemExit('no such layer')"), tmp_path / "log")
    assert (failed.status, failed.message) == ("failed", "no such layer")


def test_an_interrupt_ends_the_command_as_well(tmp_path: Path) -> None:
    line = (
        "import sys; from pathlib import Path; from benchmarks.peers import process; "
        "process.run([sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'], "
        "Path(sys.argv[1]) / 'log', output=Path(sys.argv[1]) / 'pid')"
    )
    with subprocess.Popen([sys.executable, "-c", line, str(tmp_path)], cwd=ROOT, stderr=subprocess.DEVNULL) as runner:
        deadline = time.perf_counter() + 20
        while not (pid := (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""):
            assert time.perf_counter() < deadline
            time.sleep(0.02)
        runner.send_signal(signal.SIGINT)
        assert runner.wait(20) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_keys_tell_questions_apart() -> None:
    case = cases.Case("scalesim", 16, 16, "ws", GEMM)
    same = [replace(case, product=replace(GEMM, **change)) for change in ({"name": "x"}, {"times": 3}, {"copies": 2})]
    other = [replace(case, rows=8), replace(case, dataflow="os"), replace(case, product=replace(GEMM, k=51)),
             replace(case, tool="zigzag")]  # fmt: skip
    assert {c.key for c in same} == {case.key}
    assert len({case.key, *(c.key for c in other)}) == 1 + len(other)
    # ZigZag has a loop for copies, so that they are another question.
    twice = replace(case, tool="zigzag", product=replace(GEMM, copies=2))
    assert twice.key != replace(case, tool="zigzag").key


def test_cases_are_distinct_and_the_cheapest_come_first() -> None:
    found = cases.cases()
    assert len({c.key for c in found}) == len(found)
    assert [c.cost for c in found] == sorted(c.cost for c in found)
    assert {(c.tool, c.rows) for c in found} == {(t, a) for t in cases.VERSIONS for a in (16, 32, 128)}


def test_a_case_that_fails_is_kept_and_not_tried_again(tmp_path: Path) -> None:
    """The tool is not installed beside hwsim, so that its driver fails."""
    store, said = cases.Store(tmp_path / "runs"), list[str]()
    wanted = [cases.Case("scalesim", 4, 4, "ws", Product(name, 4, 4, k)) for name, k in (("a", 3), ("b", 5))]
    here = {"scalesim": Path(sys.executable)}
    cases.measure_all(wanted, store, here, cases.Limits(20), said.append)
    assert [text.split(",")[0] for text in said] == ["1/2 scalesim 4x4 a: failed", "2/2 scalesim 4x4 b: failed"]
    record = store.get(wanted[0].key)
    assert record is not None
    assert record["answer"] is None
    assert "No module named 'scalesim'" in record["usage"]["message"]
    cases.measure_all(wanted, store, here, cases.Limits(20), said.append)
    assert len(said) == 2
    assert [p.suffix for p in (tmp_path / "runs").iterdir()] == [".json", ".json"]


def test_no_environment(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        environments.interpreter(tmp_path, "zigzag")
    assert str(caught.value) == (
        f"{tmp_path}/zigzag: [peer-environment] got no environment; its environment has to be made before it runs. "
        "Run: python -m benchmarks.peers install"
    )
    done = subprocess.run([sys.executable, "-m", "benchmarks.peers", "--envs", tmp_path, "run"], cwd=ROOT, text=True,
                          capture_output=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "[peer-environment] got no environment" in done.stderr


def test_an_environment_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        environments.install(tmp_path, "scalesim", ("./no-such-package",))
    text = str(caught.value)
    assert "its environment could not be made (failed; " in text
    assert "no-such-package" in text
    assert text.endswith("See that the package registry can be reached, and run install again.")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="its environment could not be made"):
        environments.install(tmp_path / "file", "scalesim")


def test_the_sweep_has_a_thousand_sizes() -> None:
    points = sweep.grid()
    assert len(set(points)) == len(points) == 1000
    assert sorted(points, key=str) == sorted(sweep.for_peers(), key=str)
    assert (sweep.for_peers()[0].rows, sweep.for_peers()[0].columns) == (192, 192)


# --- what was measured ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """The committed figures."""
    return collect.read()


def test_the_page_shows_the_results(results: dict[str, Any]) -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert report.filled(page, results) == page
    assert f"]({report.PICTURE.name})" in page
    other = json.loads(json.dumps(results))
    other["peers"][0]["cycles"] += 1
    assert report.filled(page, other) != page


def test_a_page_without_a_place(results: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no place for the table 'work'"):
        report.filled("# Nothing", results)


def test_every_case_was_measured_and_every_cycle_explained(results: dict[str, Any]) -> None:
    rows = [r for r in results["peers"] if r["tool"] == "scalesim"]
    assert len(rows) == len(results["peers"]) / 2 == len(results["hwsim"]) / 2 == 12
    layers = sum(r["answered"] for r in rows)
    checked = [*results["checks"]["dataflows"], *results["checks"]["padded"]]
    print(f"{layers} layers and {len(checked)} checks of SCALE-Sim, all explained")
    assert {r["unexplained"] for r in [*rows, *checked]} == {0}
    assert layers >= 3 * 44 - 1
    assert all(set(r["refused"].values()) <= {"over time", "over memory"} for r in results["peers"])


def test_results_stand_for_what_the_code_asks(results: dict[str, Any]) -> None:
    for r in results["peers"]:
        found = NETWORKS[r["network"]].products()
        assert r["distinct"] == len(found)
        assert r["answered"] + len(r["refused"]) == len(found)
        if r["tool"] == "scalesim":
            answered = [p for p in found if p.name not in r["refused"]]
            own = sum(p.copies * p.times * scalesim.own_count(p, r["side"], r["side"], "ws") for p in answered)
            assert r["cycles"] == own
        else:
            parts = ("ideal", "stall", "onloading", "offloading", "drain")
            assert r["cycles"] == sum(r[part] for part in parts)
            assert r["energy_pj"] == pytest.approx(r["mac_pj"] + sum(r["memory_pj"].values()), rel=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_hwsim_still_answers_so(results: dict[str, Any], name: str) -> None:
    """After a change of the model: python -m benchmarks.peers ours, and then docs."""
    same = ("cycles", "product_cycles", "traffic_bits", "macs")
    for like in ours.DESIGNS:
        found = ours.measure(NETWORKS[name], like, 32)["answer"]
        kept = report.hwsim(results, like, name, 32)["answer"]
        assert {k: found[k] for k in same} == {k: kept[k] for k in same}
        assert found["energy_j"] == pytest.approx(kept["energy_j"], rel=1e-9)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"schema": "other"}')
    with pytest.raises(ValueError, match="'hwsim/peers/1' is read here"):
        collect.read(tmp_path / "r.json")


# --- the peers themselves ---------------------------------------------------------------------------------------------

ENVIRONMENTS = os.environ.get("HWSIM_PEERS", "")


def test_a_real_case_of_each_peer() -> None:
    tools = list(cases.VERSIONS) if ENVIRONMENTS else []
    for tool in tools:
        case = cases.Case(tool, 8, 8, "ws", CONVOLUTION)
        record = cases.measure(case, environments.interpreter(Path(ENVIRONMENTS), tool), cases.Limits(60))
        assert record["usage"]["status"] == "ok", record["usage"]["message"]
        if tool == cases.SCALESIM:
            assert record["answer"]["cycles"] == scalesim.own_count(CONVOLUTION, 8, 8, "ws")
        else:
            assert record["answer"]["ideal"] == 25 * 9  # nine taps one after another: three channels on eight rows
    print(f"{len(tools)} peers ran")
