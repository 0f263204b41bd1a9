"""`hwsim import scalesim`: sizes, roundings, cycles by hand, what is left out, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from importing import copied, edited, layers_of_run, messages, ops_of, sizes, try_mutants

from benchmarks.peers.scalesim import convolutions
from benchmarks.peers.work import Product, Window
from hwsim.cli import run_command
from hwsim.config import load_design
from hwsim.importers.notes import Imported
from hwsim.importers.scalesim import KNOWN, LEFT_OUT, Options, read_scalesim

PLAIN = Options()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = copied("scalesim", tmp_path)
    monkeypatch.chdir(folder)
    return folder


def read(topology: str = "convolutions.csv", options: Options = PLAIN) -> Imported:
    return read_scalesim(Path("small.cfg"), Path(topology), options)


# --- what comes over ----------------------------------------------------------------------------------------------


def test_gemms_take_the_cycles_of_a_count_by_hand(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """4 x 4, weight stationary: 2 * 2 folds of 2 * 4 + 4 + 5 - 2 cycles, and 2 * 1 folds of 2 * 4 + 4 + 3 - 2."""
    out = ["--out-design", "d.yaml", "--out-workload", "w.json"]
    assert run_command(["import", "scalesim", "small.cfg", "gemms.csv", *out]) == 0
    layers = layers_of_run(Path("d.yaml"), Path("w.json"), capsys)
    assert [layer["cycles"] for layer in layers] == [60, 26]
    assert [layer["macs"] for layer in layers] == [5 * 6 * 7, 3 * 4 * 8]


@pytest.mark.parametrize(("dataflow", "cycles"), [("os", [4 * 17, 18]), ("is", [4 * 16, 2 * 14])])
def test_the_dataflow_comes_over(
    files: Path, capsys: pytest.CaptureFixture[str], dataflow: str, cycles: list[int]
) -> None:
    """By hand: os folds ceil(m / 4) * ceil(n / 4) of 10 + k cycles, is ceil(k / 4) * ceil(m / 4) of 10 + n."""
    edited(Path("small.cfg"), "ws", dataflow)
    out = ["--out-design", "d.yaml", "--out-workload", "w.json"]
    assert run_command(["import", "scalesim", "small.cfg", "gemms.csv", *out]) == 0
    assert [layer["cycles"] for layer in layers_of_run(Path("d.yaml"), Path("w.json"), capsys)] == cycles


def test_the_design_says_what_each_value_is_from(files: Path) -> None:
    Path("d.yaml").write_text(read().design)
    file = load_design("d.yaml")
    design = file.design
    assert (design.rows, design.columns, design.input_sram_bits, design.overlap) == (4, 4, 16 * 8192, False)
    known = {value.key: value for value in file.values}
    assert known["rows"].evidence == "verified"
    assert known["rows"].source == "small.cfg: ArrayHeight"
    assert known["clock"].evidence == "assumed"
    default = {"model", "technology", "dram", "infeed_target", "replicas", "exchange_rate", "state"}
    assert {value.key for value in file.values if not value.source} <= default


def test_a_convolution_has_the_sizes_of_its_row(files: Path) -> None:
    even, uneven, apart, one, tall = ops_of(read().workload)
    assert sizes(even) == {"batch": 1, "groups": 1, "in_channels": 2, "out_channels": 5, "in_h": 9, "in_w": 9,
                           "out_h": 4, "out_w": 4, "kernel_h": 3, "kernel_w": 3}  # fmt: skip
    assert (even.attrs["stride_h"], even.attrs["stride_w"], even.source) == (2, 2, "line 2")
    assert (uneven.dims["out_h"].text, uneven.dims["out_w"].text) == ("4", "3")
    assert (sizes(apart)["groups"], sizes(apart)["out_channels"], apart.macs({})) == (4, 8, 8 * 16 * 9)
    assert (sizes(one)["groups"], sizes(one)["out_channels"]) == (1, 1)
    assert sizes(tall)["out_h"] == 1


def test_a_second_stride_and_a_batch_are_known_by_the_header(files: Path) -> None:
    (op,) = ops_of(read("wide.csv").workload)
    assert (op.attrs["stride_h"], op.attrs["stride_w"]) == (2, 4)
    assert (sizes(op)["batch"], sizes(op)["out_h"], sizes(op)["out_w"]) == (3, 4, 3)


def test_pytorch_has_the_outputs_that_are_written(files: Path) -> None:
    """Both roundings, with the padding that is written, beside torch's own convolution."""
    torch = pytest.importorskip("torch")
    for up in (False, True):
        for op in ops_of(read(options=Options(round_up=up)).workload):
            s, a = sizes(op), op.attrs
            image = torch.zeros(1, s["in_channels"], s["in_h"], s["in_w"])
            pad = [a[f"pad_{side}"] for side in ("left", "right", "top", "bottom")]
            weight = torch.zeros(s["out_channels"], s["in_channels"] // s["groups"], s["kernel_h"], s["kernel_w"])
            stride = (a["stride_h"], a["stride_w"])
            padded = torch.nn.functional.pad(image, pad)
            made = torch.nn.functional.conv2d(padded, weight, stride=stride, groups=s["groups"])
            assert made.shape == (1, s["out_channels"], s["out_h"], s["out_w"]), (up, op.name)


def test_sizes_that_do_not_divide_are_noted_either_way(files: Path) -> None:
    down = [str(note) for note in read().notes if "uneven" in note.text]
    up = [str(note) for note in read(options=Options(round_up=True)).notes if "uneven" in note.text]
    place = "convolutions.csv:3:1: uneven"
    assert down == [f"{place}: 4 x 3 outputs, as PyTorch has; SCALE-Sim rounds up to 5 x 4 (--round-up does so too)"]
    assert up == [f"{place}: 5 x 4 outputs, as SCALE-Sim counts, the last windows padded; PyTorch has 4 x 3"]
    assert sizes(ops_of(read(options=Options(round_up=True)).workload)[1])["out_h"] == 5


def test_depthwise_by_name_is_asked_for(files: Path) -> None:
    one = ops_of(read(options=Options(depthwise=True)).workload)[3]
    assert (sizes(one)["groups"], sizes(one)["out_channels"]) == (4, 4)
    edited(Path("convolutions.csv"), "4, 1, 1, #dw", "4, 3, 1, #dw")
    assert messages(lambda: read(options=Options(depthwise=True))) == [
        "convolutions.csv:6:1: [depthwise] got 3; a depthwise layer has 1 filter, or as many as its 4 channels."
    ]


def test_every_known_key_is_carried_over_or_named(files: Path) -> None:
    lines = Path("small.cfg").read_text().replace("[run_presets]", "MemoryBanks: 1\n[run_presets]")
    Path("small.cfg").write_text(lines)
    noted = {note.where.key for note in read().notes if note.where.key}
    written = {KNOWN[line.split(":")[0].split("=")[0].strip().lower()] for line in lines.splitlines()
               if line and line[0] != "["}  # fmt: skip
    carried = {"ArrayHeight", "ArrayWidth", "IfmapSramSzkB", "FilterSramSzkB", "OfmapSramSzkB", "Dataflow",
               "SparsitySupport", "UseRamulatorTrace"}  # fmt: skip
    assert noted | carried == written
    assert not noted & carried
    assert "MemoryBanks" in noted & set(LEFT_OUT)


def test_the_peers_topology_of_an_imported_one_is_the_same(files: Path) -> None:
    """Imported, written as the comparison with SCALE-Sim writes topologies, and imported again."""
    ops = [op for op in ops_of(read().workload) if op.attrs["stride_h"] == op.attrs["stride_w"]]
    products = []
    for op in ops:
        s = sizes(op)
        channels, filters = s["in_channels"] // s["groups"], s["out_channels"] // s["groups"]
        window = Window(s["in_h"], s["in_w"], s["kernel_h"], s["kernel_w"], channels, filters,
                        int(op.attrs["stride_h"]), int(op.attrs["stride_w"]), s["out_h"], s["out_w"])  # fmt: skip
        m, k = s["out_h"] * s["out_w"], channels * s["kernel_h"] * s["kernel_w"]
        products.append(Product(op.name, m, filters, k, copies=s["groups"], window=window))
    Path("again.csv").write_text(convolutions(products))
    again = ops_of(read("again.csv").workload)
    assert len(again) == len(ops) == 5
    for op, product, back in zip(ops, products, again, strict=True):
        assert back.macs({}) * product.copies == op.macs({})
        if product.copies == 1:
            assert (sizes(back), back.attrs) == (sizes(op), op.attrs)


def test_provenance_names_both_files(files: Path) -> None:
    workload = read().workload
    assert workload is not None
    assert workload.provenance["imported from"] == "SCALE-Sim"
    assert workload.provenance["configuration"].startswith("small.cfg (sha256 ")
    assert workload.provenance["output sizes"] == "rounded down"


def test_json_has_notes_and_counts(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["import", "scalesim", "small.cfg", "gemms.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["operators"], found["macs"], found["weights"], found["out"]) == (2, 306, 74, [])
    assert {note["key"] for note in found["notes"]} >= {"run_name", "Bandwidth"}


# --- what is refused ----------------------------------------------------------------------------------------------

BAD = [
    ("small.cfg", "ArrayHeight:    4", "ArrayHeight:    0",
     "small.cfg:5:1: [range] ArrayHeight: got '0'; an integer from 1 to 4096 is needed."),
    ("small.cfg", "ArrayWidth:     4", "ArrayWidth:     4.5",
     "small.cfg:6:1: [range] ArrayWidth: got '4.5'; an integer from 1 to 4096 is needed."),
    ("small.cfg", "ArrayWidth:     4\n", "",
     "small.cfg:1:1: [missing-key] ArrayWidth: got ''; SCALE-Sim needs this key. Write ArrayWidth = ..."),
    ("small.cfg", "Dataflow : ws", "Dataflow : rs",
     "small.cfg:13:1: [enum] Dataflow: got 'rs'; dataflows are ws, os and is."),
    ("small.cfg", "ArrayWidth:", "ArrayWith:",
     "small.cfg:6:1: [unknown-key] got 'ArrayWith'; this key is not known, so what it means would be lost. "
     "Did you mean ArrayWidth?"),
    ("small.cfg", "run_name = by_hand", "run_name by_hand",
     "small.cfg:2:1: [syntax] got 'run_name by_hand'; a line is a [section] or KEY = VALUE."),
    ("small.cfg", "[sparsity]", "[sparse]",
     "small.cfg:16:1: [unknown-section] got 'sparse'; sections are general, architecture_presets, layout, sparsity, "
     "run_presets, network_presets."),
    ("small.cfg", "SparsitySupport : false", "SparsitySupport : true",
     "small.cfg:17:1: [not-carried] SparsitySupport: got 'true'; N:M sparsity is not carried over: no model of a "
     "systolic array here skips zeros. Switch it off."),
    ("small.cfg", "UseRamulatorTrace: False", "UseRamulatorTrace: True",
     "small.cfg:21:1: [not-carried] UseRamulatorTrace: got 'True'; DRAM times from Ramulator's traces are not carried "
     "over. Switch it off."),
    ("small.cfg", "UseRamulatorTrace: False", "IfmapCustomLayout: perhaps",
     "small.cfg:21:1: [enum] IfmapCustomLayout: got 'perhaps'; a switch is True or False."),
    ("small.cfg", "UseRamulatorTrace: False", "UseRamulatorTrace: False\nDataflow: os",
     "small.cfg:22:1: [duplicate-key] got 'Dataflow'; the key stands at line 13 already. Keep one."),
    ("small.cfg", "InterfaceBandwidth: CALC", "InterfaceBandwidth: USER",
     "small.cfg:20:1: [not-carried] InterfaceBandwidth: got 'USER'; DRAM here is a part with timing of its own, not so "
     "many words a cycle for each operand. Name the part with --dram, or write CALC."),
    ("convolutions.csv", "2, 5, 2,", "2, 5, 0,",
     "convolutions.csv:2:30: [range] strides: got '0'; an integer from 1 to 16777216 is needed."),
    ("convolutions.csv", "even,      9, 9, 3", "even,      9, 9, 11",
     "convolutions.csv:2:1: [range] filter height: got 11; a filter is no larger than the input, of 9."),
    ("convolutions.csv", "even,      9, 9, 3, 3, 2, 5, 2,", "even,      9, 9, 3, 3, 2,",
     "convolutions.csv:2:1: [columns] got 'even: 5 numbers'; a GEMM has 3 (M, N, K), a convolution 7; one of sparsity "
     "may follow."),
    ("convolutions.csv", "even,      9, 9, 3, 3, 2, 5, 2,", "even\t9\t9\t3\t3\t2\t5\t2",
     "convolutions.csv:2:1: [columns] got 'even\\t9\\t9\\t3\\t3\\t2\\t5\\t2'; a layer is a name and its sizes, "
     "separated by commas."),
    ("convolutions.csv", "even,      9, 9, 3, 3, 2, 5, 2,", "even,      9, 9, 3, 3, 2, 5, 2, half,",
     "convolutions.csv:2:33: [sparsity] sparsity: got 'half'; sparsity is N:M. Write 1:1 for a dense layer."),
    ("convolutions.csv", "Layer name, IFMAP", "first, 9, 9, 3, 3, 2, 5, 1,\nname, IFMAP",
     "convolutions.csv:1:1: [header] got 'first, 9, 9, 3, 3, 2, 5, 1,'; the first line names the columns; SCALE-Sim "
     "skips it. Write a header above the layers."),
    ("convolutions.csv", "even,      9, 9, 3, 3, 2, 5, 2,", "even, 16777216, 16777216, 3, 3, 16777216, 5, 1,",
     "convolutions.csv:2:1: [too-large] got 'even'; a layer has at most 9007199254740992 multiply-accumulates."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "message"), BAD, ids=[f"{b[0]}-{b[2][:20]!r}" for b in BAD])
def test_a_bad_file_says_what_is_wrong(files: Path, name: str, old: str, new: str, message: str) -> None:
    edited(Path(name), old, new)
    assert message in messages(read)


def test_a_rule_of_the_design_is_told_at_the_key_it_is_from(files: Path) -> None:
    edited(Path("small.cfg"), "ArrayHeight:    4", "ArrayHeight:    512")
    edited(Path("small.cfg"), "FilterSramSzkB: 16", "FilterSramSzkB: 2")
    assert messages(read) == [
        "small.cfg:8:1: [rule] FilterSramSzkB: got 2 KiB; each half holds one fold of the array: 2048 elements of 8 "
        "bits for ws. Write 32768 bit or more, or a smaller array."
    ]


def test_user_bandwidth_wants_a_dram_part(files: Path) -> None:
    edited(Path("small.cfg"), "CALC", "USER")
    made = read(options=Options(dram="hbm2"))
    assert "dram: hbm2\n" in made.design
    assert any("as asked for" in note.text for note in made.notes)
    assert any("[" in line for line in messages(lambda: read(options=Options(dram="no-such-part"))))


def test_an_empty_topology_and_missing_files(files: Path) -> None:
    Path("none.csv").write_text("Layer, M, N, K,\n\n")
    assert messages(lambda: read("none.csv")) == ["none.csv:1:1: [empty] got ''; there is no layer below the header."]
    assert messages(lambda: read("gone.csv")) == ["gone.csv: [missing-file] got 'gone.csv'; there is no such file."]


def test_outputs_have_the_right_endings(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["import", "scalesim", "small.cfg", "gemms.csv", "--out-design", "d.json"]) == 2
    assert "designs are files in .yaml" in capsys.readouterr().err
    assert run_command(["import", "scalesim", "small.cfg", "gemms.csv", "--out-workload", "no/w.json"]) == 2
    assert "unwritable-file" in capsys.readouterr().err


def test_no_mutant_ends_in_a_traceback(files: Path) -> None:
    names = ["small.cfg", "convolutions.csv", "gemms.csv"]
    found = try_mutants([Path(names[0]), Path(names[1])], read, 150, seed=1)
    found += try_mutants([Path(names[2])], lambda: read("gemms.csv"), 150, seed=2)
    print(f"SCALE-Sim: {dict(found)} mutants of {names}")
    assert min(found.values()) > 20
