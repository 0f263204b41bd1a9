"""`hwsim import timeloop`: an architecture and problems by hand, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from importing import copied, edited, layers_of_run, messages, ops_of, sizes, try_mutants

from hwsim.cli import run_command
from hwsim.config import load_design
from hwsim.importers.notes import Imported
from hwsim.importers.timeloop import read_timeloop


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = copied("timeloop", tmp_path)
    monkeypatch.chdir(folder)
    return folder


def read(problem: str = "layer.yaml", dram: str | None = None) -> Imported:
    return read_timeloop(Path("arch.yaml"), Path(problem), "ws", dram)


@pytest.mark.parametrize(("problem", "dataflow", "cycles"), [
    ("product", "ws", 4 * (2 * 4 + 6 + 5 - 2)),  # ceil(7 / 4) * ceil(8 / 6) folds
    ("product", "os", 4 * (2 * 4 + 6 + 7 - 2)),  # ceil(5 / 4) * ceil(8 / 6)
    ("layer", "ws", 10 * (2 * 4 + 6 + 40 - 2)),  # 2 * 5 * 4 pixels, 3 * 3 * 2 taps, 8 filters
])  # fmt: skip
def test_cycles_are_those_of_a_count_by_hand(
    files: Path, capsys: pytest.CaptureFixture[str], problem: str, dataflow: str, cycles: int
) -> None:
    out = ["--out-design", "d.yaml", "--out-workload", "w.json"]
    args = ["import", "timeloop", "arch.yaml", f"{problem}.yaml", "--dataflow", dataflow, *out]
    assert run_command(args) == 0
    (layer,) = layers_of_run(Path("d.yaml"), Path("w.json"), capsys)
    assert layer["cycles"] == cycles


def test_the_design_has_what_the_architecture_says(files: Path) -> None:
    Path("d.yaml").write_text(read().design)
    design = load_design("d.yaml").design
    assert (design.rows, design.columns, design.clock_khz) == (4, 6, 500_000)
    assert (design.input_sram_bits, design.weight_sram_bits, design.output_sram_bits) == (131072, 262144, 131072)
    assert (design.input_bandwidth, design.output_bandwidth, design.input_banks) == (4, 6, 1)
    assert (design.input_bits, design.weight_bits, design.accumulator_bits, design.output_bits) == (8, 8, 16, 8)


def test_width_is_p_and_r_height_is_q_and_s(files: Path) -> None:
    """Rows read: 3 * 1 + 1 * 3 + 1; columns read: 4 * 2 + 2 * 1 + 1."""
    (op,) = ops_of(read().workload)
    assert sizes(op) == {"batch": 2, "groups": 1, "in_channels": 3, "out_channels": 8, "in_h": 7, "in_w": 11,
                         "out_h": 4, "out_w": 5, "kernel_h": 2, "kernel_w": 3}  # fmt: skip
    wanted = {"stride_w": 2, "stride_h": 1, "dilation_h": 3, "dilation_w": 1}
    assert {key: op.attrs[key] for key in wanted} == wanted
    assert op.macs({}) == 2 * 3 * 8 * 5 * 4 * 3 * 2


def test_everything_that_is_left_out_is_named(files: Path) -> None:
    notes = {note.where.key.rpartition(".")[2]: note.text for note in read().notes}
    assert {"technology", "type", "n_banks", "constraints"} <= set(notes)
    assert notes["nodes[2]"].startswith("output: this buffer is shared by 2 operands")
    workload = read().workload
    assert workload is not None
    assert workload.provenance["architecture"].startswith("arch.yaml (sha256 ")


NODES = "architecture.nodes"
BAD = [
    ("arch.yaml", "n_banks: 4", "banks: 4",
     f"arch.yaml:18:56: [unknown-key] {NODES}[2].attributes.banks: got 'banks'; this attribute is not known, so what "
     "it means would be lost."),
    ("arch.yaml", "spatial: {meshX: 6}", "spatial: {meshX: 6, meshY: 2}",
     f"arch.yaml:37:22: [not-carried] {NODES}[5].spatial.meshY: got 4; meshY is spread out once: the "
     "array is one mesh."),
    ("arch.yaml", "{depth: 1, width: 8, datawidth: 8}", "{depth: 192, width: 8, datawidth: 8}",
     f"arch.yaml:41:7: [not-carried] {NODES}[6].nodes[0]: got 'weight_register: 192 words'; a processing element holds "
     "2 words of an operand, and not a buffer."),
    ("arch.yaml", "bypass: [Weights]", "bypass: [Filters]",
     f"arch.yaml:20:52: [choice] {NODES}[2].constraints.dataspace.bypass: got 'Filters'; data spaces are Inputs, "
     "Weights, Outputs."),
    ("arch.yaml", "keep: [Inputs, Outputs], bypass: [Weights]", "keep: [Inputs]",
     f"arch.yaml:4:3: [not-carried] {NODES}: got 'Outputs'; outputs need one buffer between DRAM and mesh."),
    ("arch.yaml", "keep: [Inputs, Outputs], bypass: [Weights]", "keep: [Inputs, Outputs, Weights]",
     f"arch.yaml:22:5: [not-carried] {NODES}[3]: got 'weights'; weights have one buffer here, and this is a "
     "second one."),
    ("arch.yaml", "class: DRAM", "class: SRAM", f"arch.yaml:4:3: [not-carried] {NODES}: got 'no DRAM'; the first "
     "storage is a DRAM."),
    ("arch.yaml", "class: intmac", "class: storage", f"arch.yaml:4:3: [not-carried] {NODES}: got 'no multiplier'; the "
     "last component is a multiplier (class intmac, fpmac ...)."),
    ("arch.yaml", "width: 64, datawidth: 8}\n\n", "width: 64, datawidth: 8, read_bandwidth: 8}\n\n",
     f"arch.yaml:10:5: [not-carried] {NODES}[1]: got 'a bandwidth'; a DRAM of so many words a cycle is not carried "
     "over: here it is a part with timing of its own. Name the part with --dram."),
    ("arch.yaml", "depth: 4096", "depth: 2**12",
     f"arch.yaml:18:25: [type] {NODES}[2].attributes.depth: got '2**12'; must be an integer from 1 to 70368744177664."),
    ("arch.yaml", "- !Container\n    name: PE", "- !Nothing\n    name: PE",
     f"arch.yaml:35:5: [tag] {NODES}[5]: got '!Nothing'; tags are not read. Remove it."),
    ("arch.yaml", "name: system", "name: !!python/name:os.system x",
     f"arch.yaml:5:11: [tag] {NODES}[0].name: got 'tag:yaml.org,2002:python/name:os.system'; tags are not read. Remove "
     "it."),
    ("layer.yaml", "    Wstride: 2", "    densities: {Inputs: 0.5}",
     "layer.yaml:12:5: [not-carried] problem.instance.densities: got a mapping; densities are not carried over."),
    ("layer.yaml", "    M: 8", "    Z: 8",
     "layer.yaml:7:5: [unknown-key] problem.instance.Z: got 'Z'; loops are C, M, N, P, Q, R, S."),
    ("layer.yaml", "    M: 8", "    M: 0",
     "layer.yaml:7:8: [range] problem.instance.M: got 0; must be an integer from 1 to 16777216."),
    ("layer.yaml", "shape: cnn-layer", "shape: attention",
     "layer.yaml:3:10: [type] problem.shape: got 'attention'; a shape is a mapping."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "message"), BAD, ids=[f"{b[0]}-{b[2][:20]!r}" for b in BAD])
def test_a_bad_file_says_what_is_wrong(files: Path, name: str, old: str, new: str, message: str) -> None:
    edited(Path(name), old, new)
    found = messages(read)
    assert message in found, found


def test_another_shape_is_refused(files: Path) -> None:
    edited(Path("product.yaml"), "projection: [[[M]], [[K]]]", "projection: [[[M]], [[N]]]")
    assert messages(lambda: read("product.yaml")) == [
        "product.yaml:4:5: [not-carried] problem.shape: got 'K M N'; a shape is that of cnn-layer "
        "(C M R S N P Q, with or without G), or of a product (M N K)."
    ]


def test_a_dram_with_a_bandwidth_wants_a_part(files: Path) -> None:
    edited(Path("arch.yaml"), "width: 64, datawidth: 8}\n\n", "width: 64, datawidth: 8, read_bandwidth: 8}\n\n")
    assert "dram: hbm2\n" in read(dram="hbm2").design


def test_no_mutant_ends_in_a_traceback(files: Path) -> None:
    found = try_mutants([Path("arch.yaml"), Path("layer.yaml")], read, 120, seed=6)
    found += try_mutants([Path("product.yaml")], lambda: read("product.yaml"), 60, seed=7)
    print(f"Timeloop: {dict(found)} mutants")
    assert min(found.values()) > 20
