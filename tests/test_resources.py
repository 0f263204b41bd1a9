"""Resource counts: blocks whose cells can be named beforehand, and what happens to whatever cannot be counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.cosim import resources as module
from hwsim.cosim.circuit import Hdl
from hwsim.cosim.resources import Resources, resources, summed
from hwsim.errors import InputError

KNOWN = """
module lut6 (input logic [5:0] a, output logic y);
    assign y = ((^a[2:0]) & (|a[5:3])) | (a == 6'd9);
endmodule

module register #(parameter int width = 8) (input logic clk, input logic [width-1:0] d, output logic [width-1:0] q);
    always_ff @(posedge clk) q <= d;
endmodule

module multiplier (input logic signed [15:0] a, b, output logic signed [31:0] p);
    assign p = a * b;
endmodule

module block_ram (
    input logic clk, write, input logic [10:0] to, from, input logic [17:0] d, output logic [17:0] q
);
    logic [17:0] words [2048];
    always_ff @(posedge clk) begin
        if (write) words[to] <= d;
        q <= words[from];
    end
endmodule

module lut_ram (input logic clk, write, input logic [5:0] to, from, input logic [2:0] d, output logic [2:0] q);
    logic [2:0] words [64];
    always_ff @(posedge clk) if (write) words[to] <= d;
    assign q = words[from];
endmodule

module everything #(parameter int width = 8) (
    input logic clk, write, input logic [10:0] to, from, input logic [17:0] d,
    input logic [width-1:0] r, output logic y,
    output logic [2:0] m, output logic [width-1:0] q, output logic signed [31:0] p, output logic [17:0] w
);
    lut6 u_lut (.a(d[5:0]), .y);
    register #(.width(width)) u_register (.clk, .d(r), .q);
    multiplier u_multiplier (.a(d[15:0]), .b({d[7:0], to[7:0]}), .p);
    block_ram u_block (.clk, .write, .to, .from, .d, .q(w));
    lut_ram u_lut_ram (.clk, .write, .to(to[5:0]), .from(from[5:0]), .d(d[2:0]), .q(m));
endmodule
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; where answers will lie in it."""
    monkeypatch.setenv("HWSIM_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "resources"


@pytest.fixture
def known(tmp_path: Path) -> Hdl:
    """A folder and a file whose names Yosys could not read as they are."""
    source = tmp_path / "my blocks" / "known blocks.sv"
    source.parent.mkdir()
    source.write_text(KNOWN, encoding="utf-8")
    return Hdl("everything", (source,), ("width",), leaf="register")


def test_a_netlist_that_can_be_counted_by_hand(known: Hdl) -> None:
    found = resources(known, {"width": 13}, top="everything")
    print(f"{found.tool} for {found.target}: {dict(found.cells)}")
    # One function of six inputs, 13 register bits, one 16 x 16 product in a 25 x 18 multiplier, 2048 x 18 bits in a
    # 36 Kb block, and 64 x 3 bits with one port to write and one to read in the four LUTs of a slice (UG474).
    assert found.cells["LUT6"] == found.luts == 1
    assert found.flip_flops == 13
    assert found.dsps == 1
    assert found.block_rams_18k == 2
    assert found.memory_luts == 4
    assert (found.latches, found.carries) == (0, 0)


def test_the_leaf_takes_the_parameters_it_declares_and_answers_are_kept(
    known: Hdl, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resources(known, {"width": 21, "sets": 3})
    assert (first.flip_flops, first.luts) == (21, 0)
    [kept] = cache.iterdir()

    started = []
    run = module.run_yosys
    monkeypatch.setattr(module, "run_yosys", lambda *arguments: (started.append(arguments), run(*arguments)))
    assert resources(known, {"sets": 3, "width": 21}) == first
    assert started == []
    kept.write_text("{not whole", encoding="utf-8")
    assert resources(known, {"sets": 3, "width": 21}) == first
    assert len(started) == 1
    known.sources[0].write_text(KNOWN.replace("q <= d", "q <= ~d"), encoding="utf-8")
    assert resources(known, {"sets": 3, "width": 21}).luts > 0
    assert len(started) == 2


def problem(error: pytest.ExceptionInfo[InputError]) -> str:
    [only] = error.value.problems
    return str(only)


def test_what_cannot_be_synthesized_is_told_with_its_line(tmp_path: Path) -> None:
    source = tmp_path / "half.sv"
    source.write_text("module half (input a, output b);\n    assign b = a +;\nendmodule\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        resources(Hdl("half", (source,)), {}, top="half")
    assert error.value.problems[0].got == "half.sv:2: expected expression"


def test_a_circuit_without_a_leaf_is_refused(known: Hdl) -> None:
    with pytest.raises(InputError) as error:
        resources(Hdl("everything", known.sources), {})
    assert "Give Hdl.leaf" in problem(error)


def test_a_missing_yosys_says_what_to_install(known: Hdl, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise module.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(module.metadata, "version", absent)
    with pytest.raises(InputError) as error:
        resources(known, {})
    assert problem(error).endswith("Install it with: pip install 'hwsim[synth]'.")


def test_a_synthesis_that_does_not_end_is_given_up(known: Hdl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUILD_S", 0.01)
    with pytest.raises(InputError) as error:
        resources(known, {"width": 5})
    assert "Yosys was given up after 0.01 s" in problem(error)


def test_a_module_of_wires_takes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "wires.sv"
    source.write_text("module wires (input a, output b);\n    assign b = a;\nendmodule\n", encoding="utf-8")
    found = resources(Hdl("wires", (source,)), {}, top="wires")
    assert (found.luts, found.flip_flops, found.cells) == (0, 0, {})


def test_sums_by_kind() -> None:
    cells = {"LUT1": 1, "LUT6": 2, "INV": 3, "MUXF7": 9, "FDRE": 4, "FDSE_1": 5, "LDCE": 6, "DSP48E1": 7, "CARRY4": 8,
             "RAMB18E1": 1, "RAMB36E1": 2, "RAM32M": 1, "RAM64X1D_1": 2, "SRLC32E": 3, "$scopeinfo": 4}  # fmt: skip
    found = summed(cells, "yosys")
    assert found == Resources(6, 4 + 4 + 3, 9, 6, 7, 1 + 4, 8, found.cells, "yosys")
    assert found.cells == cells


def test_a_cell_that_is_left_over_is_refused() -> None:
    with pytest.raises(InputError) as error:
        summed({"LUT1": 1, "$mem_v2": 2}, "yosys")
    assert "{'$mem_v2': 2}" in problem(error)
