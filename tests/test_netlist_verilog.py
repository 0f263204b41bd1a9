"""Verilog of networks against `evaluate`, in Icarus: both styles, with and without registers; and its names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim import cli
from hwsim.cosim.toolchain import available, require
from hwsim.errors import InputError
from hwsim.netlist.document import dumps
from hwsim.netlist.evaluate import evaluate
from hwsim.netlist.netlist import Lut, Netlist
from hwsim.netlist.statistics import lut6_cost, mux_count
from hwsim.netlist.verilog import (
    KEYWORDS,
    Style,
    default_name,
    identifier,
    pipeline_registers,
    stages_inside,
    verilog,
)
from rtl_models.poetbin.networks import graph

VECTORS = 40
NETWORKS = 60

BENCH = """
module bench;
    reg clk = 0;
    reg [{inputs}-1:0] vectors [0:{vectors}-1];
    reg [{inputs}-1:0] in;
    wire [{outputs}-1:0] out;
    integer v, c;
    {top} dut ({clk}.in(in), .out(out));
    initial begin
        $readmemb("{top}.txt", vectors);
        for (v = 0; v < {vectors}; v = v + 1) begin
            in = vectors[v];
            #1;
            for (c = 0; c < {clocks}; c = c + 1) begin clk = 1; #1; clk = 0; #1; end
            $display("%b", out);
        end
    end
endmodule
"""


def simulated(folder: Path, netlist: Netlist, vectors: np.ndarray, style: Style, pipeline: int) -> list[str]:
    """What Icarus says of each vector, settled: the outputs, the last one first."""
    top = f"network_{pipeline}"
    bench = BENCH.format(inputs=netlist.inputs, outputs=len(netlist.outputs), vectors=len(vectors), top=top,
                         clk=".clk(clk), " if pipeline else "",
                         clocks=stages_inside(netlist.depth, pipeline))  # fmt: skip
    text = verilog(netlist, top=top, style=style, pipeline=pipeline)
    (folder / "all.v").write_text(text + bench, encoding="ascii")
    rows = ("".join(map(str, row[::-1])) for row in vectors)
    (folder / f"{top}.txt").write_text("\n".join(rows) + "\n", encoding="ascii")
    iverilog = require("icarus").program
    # Verilog-2005 is what is promised.
    subprocess.run(
        [str(iverilog), "-g2005", "-Wall", "-o", "sim", "all.v"], cwd=folder, check=True, capture_output=True
    )
    done = subprocess.run(["vvp", "-n", "sim"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.split()


def random_network(number: int) -> Netlist:
    rng = np.random.default_rng([61, number])
    pins = 2 + number % 9
    return graph(rng, int(rng.integers(pins, 40)), pins, int(rng.integers(1, 30)), int(rng.integers(1, 7)))


def test_every_style_says_in_icarus_what_evaluate_says(tmp_path: Path) -> None:
    if "icarus" not in available():
        pytest.skip("icarus is not installed")
    checked = 0
    for number in range(NETWORKS):
        netlist, rng = random_network(number), np.random.default_rng(number)
        vectors = rng.integers(0, 2, (VECTORS, netlist.inputs), dtype=np.uint8)
        style, pipeline = list(Style)[number % 2], number // 2 % 3
        expected = ["".join(map(str, row[::-1])) for row in evaluate(netlist, vectors)]
        assert simulated(tmp_path, netlist, vectors, style, pipeline) == expected, (number, style, pipeline)
        checked += VECTORS
    print(f"{NETWORKS} networks, {checked:,} vectors")


def test_tables_of_sixteen_pins_and_of_none(tmp_path: Path) -> None:
    if "icarus" not in available():
        pytest.skip("icarus is not installed")
    table = int.from_bytes(np.random.default_rng(5).bytes(8192), "little")
    netlist = Netlist(16, (Lut(tuple(range(16)), table), Lut((), 1), Lut((16, 17), 6)), (18, 17, 16, 3))
    vectors = np.random.default_rng(6).integers(0, 2, (64, 16), dtype=np.uint8)
    expected = ["".join(map(str, row[::-1])) for row in evaluate(netlist, vectors)]
    for style in Style:
        assert simulated(tmp_path, netlist, vectors, style, 0) == expected, style


def test_primitives_are_as_many_as_counted() -> None:
    """Of up to 8 pins, where no multiplexer has to be a table."""
    for number in range(NETWORKS):
        rng = np.random.default_rng([62, number])
        netlist = graph(rng, 20, 2 + number % 7, 9, 3)
        distinct = Netlist(20, tuple(Lut(tuple(dict.fromkeys(lut.pins)), 1) for lut in netlist.luts if lut.pins), (20,))
        text = verilog(distinct, style="lut6").partition("endmodule")[0]
        assert text.count(" lut_n") == lut6_cost(distinct)
        assert text.count(" mux_n") == mux_count(distinct)


# --- registers ----------------------------------------------------------------------------------------------------


def test_registers_between_levels_are_those_of_the_rule() -> None:
    """One for each signal and boundary that it has to pass: counted by hand on a chain with a feature read late."""
    chain = Netlist(2, (Lut((0,), 1), Lut((2, 1), 6), Lut((3,), 1)), (4, 2))
    # Behind level 1: LUT 0 and feature 1. Behind level 2: LUT 1, and LUT 0, an output.
    assert pipeline_registers(chain, 1) == 4
    assert pipeline_registers(chain, 2) == 2  # behind level 2: LUT 1, and LUT 0
    assert pipeline_registers(chain, 0) == pipeline_registers(chain, 3) == 0
    assert [stages_inside(4, k) for k in range(6)] == [0, 3, 1, 1, 0, 0]
    assert verilog(chain, pipeline=1).count("reg ") == 4


def test_a_constant_needs_no_register() -> None:
    netlist = Netlist(1, (Lut((), 1), Lut((0,), 1), Lut((2, 1), 8)), (3, 1))
    assert pipeline_registers(netlist, 1) == 1


# --- names --------------------------------------------------------------------------------------------------------


@given(st.text(min_size=0, max_size=12))
@settings(max_examples=300)
def test_a_name_is_plain_escaped_or_refused(name: str) -> None:
    try:
        found = identifier(name)
    except InputError as error:
        assert not name or not name.isascii() or any(c.isspace() or not c.isprintable() for c in name)
        assert len(error.problems) == 1
        return
    assert found in (name, f"\\{name} ")
    if found == name:
        assert name not in KEYWORDS and not name[0].isdigit()


@pytest.mark.parametrize(("path", "name"), [
    ("a/mnist-5k.json.gz", "mnist_5k"), ("7segment.json", "network_7segment"), ("module.json", "module_"),
    ("größe.json", "gr__e"),
])  # fmt: skip
def test_a_module_is_named_after_its_file(path: str, name: str) -> None:
    assert default_name(Path(path)) == name == identifier(name)


@pytest.mark.parametrize("name", ["module", "3d", "a.b", "net[1]", "x;endmodule", "//", "*/"])
def test_odd_names_are_escaped_and_compile(name: str, tmp_path: Path) -> None:
    if "icarus" not in available():
        pytest.skip("icarus is not installed")
    (tmp_path / "odd.v").write_text(verilog(Netlist(2, (Lut((0, 1), 8),), (2,)), top=name), encoding="ascii")
    command = [str(require("icarus").program), "-g2005", "-Wall", "-o", str(tmp_path / "odd"), str(tmp_path / "odd.v")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_a_module_of_primitives_is_not_named_like_one() -> None:
    with pytest.raises(InputError, match="cannot have the name of one"):
        verilog(Netlist(1, (), (0,)), top="LUT6", style="lut6")


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_writes_a_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    netlist = Netlist(4, (Lut((3, 0), 6),), (4, 1))
    file, out = tmp_path / "tiny.json", tmp_path / "out.v"
    file.write_text(dumps(netlist), encoding="utf-8")
    for style in Style:
        assert cli.run_command(["netlist", str(file), "--verilog", str(out), "--style", style.value]) == 0
        assert out.read_text(encoding="ascii") == verilog(netlist, top="tiny", style=style)
    assert cli.run_command(["netlist", str(file), "--verilog", str(out), "--top", "a.b"]) == 0
    assert "module \\a.b  (" in out.read_text(encoding="ascii")
    capsys.readouterr()
    assert cli.run_command(["netlist", str(file), "--verilog", str(tmp_path / "no" / "x.v")]) == 2
    assert "the file cannot be written" in capsys.readouterr().err
    assert cli.run_command(["netlist", str(file), "--verilog", str(out), "--top", "a b"]) == 2
    assert "printable ASCII" in capsys.readouterr().err
