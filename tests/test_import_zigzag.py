"""`hwsim import zigzag`: hardware and workloads by hand, the workloads of the comparison, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from importing import copied, edited, layers_of_run, messages, ops_of, sizes, try_mutants

from benchmarks.peers.work import Product, Window
from benchmarks.peers.zigzag import hardware, workload
from hwsim.cli import run_command
from hwsim.config import load_design
from hwsim.importers.notes import Imported
from hwsim.importers.zigzag import read_zigzag


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = copied("zigzag", tmp_path)
    monkeypatch.chdir(folder)
    return folder


def read(mapping: str = "") -> Imported:
    return read_zigzag(Path("hardware.yaml"), Path("workload.yaml"), Path(mapping) if mapping else None)


def test_cycles_are_those_of_a_count_by_hand(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """4 rows, 6 columns, weights loaded under the stream before. 5 x 7 x 8: four folds, 4 + 3 * 5 + (5 + 4 + 6 - 2).
    Two heads of 3 x 4 x 6: a fold each, 4 + 4 + (3 + 4 + 6 - 2)."""
    out = ["--out-design", "d.yaml", "--out-workload", "w.json"]
    assert run_command(["import", "zigzag", "hardware.yaml", "workload.yaml", *out]) == 0
    first, _, heads = layers_of_run(Path("d.yaml"), Path("w.json"), capsys)
    assert (first["cycles"], first["macs"]) == (32, 5 * 7 * 8)
    assert (heads["cycles"], heads["macs"]) == (19, 2 * 3 * 4 * 6)


def test_the_design_has_what_the_hardware_says(files: Path) -> None:
    Path("d.yaml").write_text(read().design)
    design = load_design("d.yaml").design
    assert (design.rows, design.columns, design.dataflow.name, design.overlap) == (4, 6, "WS", True)
    assert (design.input_sram_bits, design.weight_sram_bits, design.output_sram_bits) == (32768, 65536, 32768)
    assert (design.input_bandwidth, design.weight_bandwidth, design.output_bandwidth) == (8, 6, 6)
    assert (design.input_bits, design.weight_bits, design.accumulator_bits, design.output_bits) == (8, 8, 16, 8)
    assert (design.clock_khz, design.dram_capacity_bits) == (2_400_000, 1 << 30)


def test_a_mapping_turns_the_array(files: Path) -> None:
    Path("d.yaml").write_text(read("mapping.yaml").design)
    design = load_design("d.yaml").design
    assert (design.rows, design.columns, design.dataflow.name) == (6, 4, "WS")
    edited(Path("mapping.yaml"), "C, 6", "OX, 6")
    Path("d.yaml").write_text(read("mapping.yaml").design)
    assert load_design("d.yaml").design.dataflow.name == "OS"


def test_a_register_of_one_weight_cannot_load_the_next(files: Path) -> None:
    edited(Path("hardware.yaml"), "size: 16", "size: 8")
    Path("d.yaml").write_text(read().design)
    assert not load_design("d.yaml").design.overlap


def test_a_convolution_has_steps_and_padding(files: Path) -> None:
    op = ops_of(read().workload)[1]
    assert sizes(op) == {"batch": 1, "groups": 1, "in_channels": 3, "out_channels": 5, "in_h": 8, "in_w": 8, "out_h": 6,
                         "out_w": 4, "kernel_h": 2, "kernel_w": 3}  # fmt: skip
    wanted = {"stride_h": 1, "stride_w": 2, "dilation_h": 2, "dilation_w": 1, "pad_top": 0, "pad_left": 1}
    assert {key: op.attrs[key] for key in wanted} == wanted


def test_what_the_comparison_gives_zigzag_comes_back(tmp_path: Path) -> None:
    """Hardware and workload as benchmarks/peers writes them for ZigZag itself."""
    products = [Product("a", 5, 6, 7), Product("b", 3, 4, 8, copies=12, fixed=False),
                Product("c", 196, 16, 72, window=Window(16, 16, 3, 3, 8, 16, 1, 1, 14, 14, pads=(1, 1, 1, 1))),
                Product("d", 196, 1, 9, copies=32, window=Window(16, 16, 3, 3, 1, 1, 1, 1, 14, 14))]  # fmt: skip
    for name, data in (("h", hardware(32, 32)), ("w", workload(products))):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    made = read_zigzag(tmp_path / "h.yaml", tmp_path / "w.yaml")
    ops = ops_of(made.workload)
    assert [op.macs({}) for op in ops] == [p.m * p.n * p.k * p.copies for p in products]
    assert sizes(ops[3])["groups"] == 32
    assert (sizes(ops[2])["in_h"], ops[2].attrs["pad_top"]) == (14, 1)
    (tmp_path / "d.yaml").write_text(made.design)
    design = load_design(tmp_path / "d.yaml").design
    assert (design.weight_sram_bits, design.input_sram_bits) == (1024 * 32 * 32, 1 << 23)
    assert any("taken as weight stationary" in note.text for note in made.notes)


BAD = [
    ("hardware.yaml", "  systolic_dimensions: [D1, D2]\n", "",
     "hardware.yaml:45:3: [not-carried] operational_array.systolic_dimensions: got a list of 0; operands that reach "
     "all multipliers at once are not carried over: here they move from one to the next. Write systolic_dimensions: "
     "[D1, D2] if they do."),
    ("hardware.yaml", "sizes: [6, 4]", "sizes: [6, 4, 2]",
     "hardware.yaml:47:15: [not-carried] operational_array.dimensions: got a list of 2; a systolic array has two "
     "dimensions, each with its size."),
    ("hardware.yaml", "unit_area: 1", "is_imc: true",
     "hardware.yaml:46:3: [not-carried] operational_array.is_imc: got true; computing in memory is not carried over."),
    ("hardware.yaml", '["C, 4"]', '["FX, 4", "G, 1"]',
     "hardware.yaml:47:15: [not-carried] operational_array.dimensions: got 'D1: K, D2: FX G'; a systolic array has C "
     "and K on its axes (ws), pixels and K (os), or C and pixels (is)."),
    ("hardware.yaml", '["C, 4"]', '["C4"]',
     "hardware.yaml:53:8: [syntax] dataflows.D2[0]: got 'C4'; a loop is a name and a size: \"K, 32\"."),
    ("hardware.yaml", "  dram:\n", "  far:\n",
     "hardware.yaml:4:3: [not-carried] memories: got 'far'; the last memory is the DRAM of all operands (mem_type: "
     "dram, or so called)."),
    ("hardware.yaml", "served_dimensions: []", "served_dimensions: [D1]",
     "hardware.yaml:5:5: [not-carried] memories.weight_register: got 'weight_register'; a memory that serves a row or "
     "a column is not carried over: all multipliers share one, or each has its own."),
    ("hardware.yaml", "operands: [I1, O]", "operands: [I1]",
     "hardware.yaml:4:3: [not-carried] memories: got 'O'; outputs need an SRAM that serves all multipliers."),
    ("hardware.yaml", "operands: [I1, O]", "operands: [I1, I2, O]",
     "hardware.yaml:27:5: [not-carried] memories.weights: got 'weights'; weights have one SRAM here, and this is a "
     "second one."),
    ("hardware.yaml", "size: 65536", "size: 16",
     "hardware.yaml:16:11: [range] memories.activations.size: got '8 bit'; must lie from 1024 bit to 128 GiB."),
    ("hardware.yaml", "size: 16\n", "size: many\n",
     "hardware.yaml:5:11: [type] memories.weight_register.size: got 'many'; must be an integer from 1 to "
     "70368744177664."),
    ("hardware.yaml", "latency: 1", "delay: 1",
     "hardware.yaml:9:5: [unknown-key] memories.weight_register.delay: got 'delay'; a memory has no such key. "
     "Known: area, auto_cost_extraction, force_double_buffering, latency, mem_type, operands, ports, r_cost, "
     "served_dimensions, size, w_cost."),
    ("workload.yaml", "operator_type: Conv", "operator_type: Pooling",
     "workload.yaml:12:18: [not-carried] [1].operator_type: got 'Pooling'; convolutions and products alone are carried "
     "over (Conv, Conv_downsample, Gemm)."),
    ("workload.yaml", "ix=2*ox+1*fx", "ix=ox",
     "workload.yaml:14:25: [relation] [1].dimension_relations[0]: got 'ix=ox'; a relation reads ix=2*ox+1*fx, for ix "
     "or iy."),
    ("workload.yaml", "O[d][k]+=I[d][c]*W[c][k]", "O[d][k]+=I[d][c]*W[e][k]",
     "workload.yaml:4:13: [equation] [0].equation: got 'e'; each loop stands in two of the three tensors, or "
     "in all, and each index is a loop."),
    ("workload.yaml", "O[d][k]+=I[d][c]*W[c][k]", "O=I*W",
     "workload.yaml:4:13: [equation] [0].equation: got 'O=I*W'; an equation reads O[..]+=W[..]*I[..]."),
    ("workload.yaml", "loop_sizes: [7, 5, 8]", "loop_sizes: [7, 5]",
     "workload.yaml:7:15: [length] [0].loop_sizes: got a list of 2; there is one size for each of 3 loops."),
    ("workload.yaml", "{W: 8, I: 8, O: 16", "{W: 4, I: 8, O: 16",
     "workload.yaml:1:1: [not-carried] got '(8, 4, 16, 8) (8, 8, 16, 8)'; a design has one width for each operand, and "
     "layers differ."),
    ("workload.yaml", "padding: [[1, 0], [0, 0]]", "padding: [[1, 0]]",
     "workload.yaml:21:12: [length] [1].padding: got a list of 1; there is one entry for each of pr_loop_dims."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "message"), BAD, ids=[f"{b[0]}-{b[2][:20]!r}" for b in BAD])
def test_a_bad_file_says_what_is_wrong(files: Path, name: str, old: str, new: str, message: str) -> None:
    edited(Path(name), old, new)
    found = messages(read)
    assert message in found, found


def test_an_array_that_is_not_square_needs_a_mapping(files: Path) -> None:
    text = Path("hardware.yaml").read_text()
    Path("hardware.yaml").write_text(text[: text.index("dataflows")])
    assert messages(read) == [
        "hardware.yaml:47:15: [not-carried] operational_array.dimensions: got ['D1', 'D2']; which loops run on which "
        "axis is not said. Give the mapping with --mapping."
    ]


def test_a_dram_part_is_a_known_one(files: Path) -> None:
    args = ["import", "zigzag", "hardware.yaml", "workload.yaml", "--dram"]
    assert run_command([*args, "hbm2"]) == 0
    assert run_command([*args, "no-such-part"]) == 2


def test_no_mutant_ends_in_a_traceback(files: Path) -> None:
    found = try_mutants([Path("hardware.yaml"), Path("workload.yaml")], read, 120, seed=4)
    found += try_mutants([Path("mapping.yaml")], lambda: read("mapping.yaml"), 60, seed=5)
    print(f"ZigZag: {dict(found)} mutants")
    assert min(found.values()) > 20
