"""`hwsim netlist`: counts, vectors, files written; the page about it runs as printed."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import netlist_twin as twin
import pytest
from test_docs import run_page

from hwsim.cli import run_command
from hwsim.netlist.document import read, write
from hwsim.netlist.equivalence import equivalent
from hwsim.netlist.netlist import Lut, Netlist
from hwsim.netlist.simplify import simplify
from hwsim.testing.netlists import layered_netlist

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "hwsim", "netlist"]
MILLION = 1_000_000


@pytest.fixture
def network() -> Netlist:
    return layered_netlist(random.Random(2), inputs=12, pins=7, widths=(20, 6, 3))


@pytest.fixture
def file(network: Netlist, tmp_path: Path) -> Path:
    write(network, tmp_path / "n.json")
    return tmp_path / "n.json"


def run(file: Path, vectors: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, str(file), "--run", "-"], input=vectors, capture_output=True, check=False)


def lines(rows: list[list[int]]) -> str:
    return "".join("".join(map(str, row)) + "\n" for row in rows)


# --- counts -----------------------------------------------------------------------------------------------------

KEYS = ["luts", "live_luts", "lut6", "muxes", "inputs_used", "outputs", "depth"]


def test_counts_as_json(file: Path, network: Netlist, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["netlist", str(file), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["schema_version", *KEYS, "simplified"]
    assert list(printed["simplified"]) == KEYS
    assert printed["schema_version"] == 1
    assert [printed[key] for key in ("luts", "lut6", "muxes", "outputs", "depth")] == [29, 2 * 26 + 3, 26, 3, 3]


def test_every_key_is_explained(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["netlist", str(file), "--json"])
    page = (ROOT / "docs" / "netlist.md").read_text(encoding="utf-8")
    for key in json.loads(capsys.readouterr().out):
        assert f"`{key}`" in page


def test_the_simplified_network_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = Netlist(2, (Lut((0, 1), 8), Lut((1, 0), 8), Lut((2, 3), 6), Lut((2,), 1)), (3, 4, 5))
    write(twice, tmp_path / "twice.json")
    assert run_command(["netlist", str(tmp_path / "twice.json"), "--simplify", str(tmp_path / "out.json.gz")]) == 0
    found = read(tmp_path / "out.json.gz")
    assert found == simplify(twice)
    assert equivalent(found, twice).is_proof
    assert re.search(r"^LUTs +4 +3$", capsys.readouterr().out, re.MULTILINE)
    assert run_command(["netlist", str(tmp_path / "twice.json"), "--opaque"]) == 0
    assert re.search(r"^LUTs +4 +4$", capsys.readouterr().out, re.MULTILINE)


def test_the_page_runs_as_printed(tmp_path: Path) -> None:
    assert run_page(ROOT / "docs" / "netlist.md", tmp_path) == 3


# --- vectors ----------------------------------------------------------------------------------------------------


def test_a_file_of_vectors(file: Path, network: Netlist, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(0)
    rows = [[rng.getrandbits(1) for _ in range(12)] for _ in range(300)]
    (tmp_path / "v.txt").write_text(lines(rows), encoding="ascii")
    assert run_command(["netlist", str(file), "--run", str(tmp_path / "v.txt")]) == 0
    assert capsys.readouterr().out == lines([twin.outputs(network, row) for row in rows])


@pytest.mark.parametrize(
    "text",
    [b"01\n10\n", b"01\n10", b"01\r\n10\r\n", b"\n# two\n 01\t\n\n10 \n#", b"\xef\xbb\xbf01\n10\n"],
)
def test_comments_blanks_and_line_ends(text: bytes, tmp_path: Path) -> None:
    write(Netlist(2, (Lut((0, 1), 0b0100),), (2, 1)), tmp_path / "n.json")
    done = run(tmp_path / "n.json", text)
    assert (done.stdout, done.stderr, done.returncode) == (b"01\n10\n", b"", 0)


@pytest.mark.parametrize(
    ("text", "answered", "message"),
    [
        (b"01\n011\n", b"1\n", "<stdin>:2:3: [width] got 3 characters; a vector of this network has 2 characters, "
                               "one an input."),
        (b"01\n\n#\n 0\n", b"1\n", "<stdin>:4:3: [width] got 1 characters; a vector of this network has 2 characters, "
                                   "one an input."),
        (b"0x\n", b"", "<stdin>:1:2: [character] got 'x'; a vector holds the characters 0 and 1 alone. "
                       "Put comments on lines of their own."),
        (b"01\n0 1\n", b"1\n", "<stdin>:2:2: [character] got ' '; a vector holds the characters 0 and 1 alone. "
                               "Put comments on lines of their own."),
        (b"0" * 400_000, b"", "<stdin>:1:3: [width] got more than 65538 characters; "
                              "a vector of this network has 2 characters, one an input."),
        (b"\xff\n", b"", r"<stdin>:1:1: [character] got '\\xff'; a vector holds the characters 0 and 1 alone. "
                         "Put comments on lines of their own."),
    ],
)  # fmt: skip
def test_a_line_that_is_no_vector(text: bytes, answered: bytes, message: str, tmp_path: Path) -> None:
    write(Netlist(2, (Lut((0, 1), 0b0010),), (2,)), tmp_path / "n.json")
    done = run(tmp_path / "n.json", text)
    assert done.stderr.decode() == f"error: {message}\n"
    assert (done.stdout, done.returncode) == (answered, 2)


def test_a_file_that_cannot_be_read(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, reason in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        assert run_command(["netlist", str(file), "--run", str(name)]) == 2
        assert f"the file of vectors cannot be read ({reason})." in capsys.readouterr().err


def test_counts_and_answers_are_not_mixed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["netlist", str(file), "--json", "--run", "-"]) == 2
    assert "got '--json and --run'; outputs are printed as lines of 0 and 1." in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--top", "x"], ["--style", "lut6"]])
def test_options_of_verilog_need_it(file: Path, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["netlist", str(file), *option]) == 2
    assert f"got {option[0]!r}; it is about the Verilog that is written. Give --verilog" in capsys.readouterr().err
    out = str(file.with_suffix(".v"))
    assert run_command(["netlist", str(file), "--verilog", out, "--top", ""]) == 2
    assert "[name] --top: got ''" in capsys.readouterr().err


def test_what_has_come_on_a_pipe_is_answered(tmp_path: Path) -> None:
    """Line by line, as a program that waits for each answer needs it."""
    write(Netlist(2, (Lut((0, 1), 0b1000),), (2,)), tmp_path / "n.json")
    with subprocess.Popen([*COMMAND, str(tmp_path / "n.json"), "--run", "-"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:  # fmt: skip
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdin and process.stdout
        for vector, answer in ((b"11\n", b"1\n"), (b"10\n", b"0\n")):
            process.stdin.write(vector)
            process.stdin.flush()
            assert process.stdout.readline() == answer
        process.stdin.close()
        watchdog.cancel()


MEASURED = """
import re, sys
from hwsim.cli import run_command
code = run_command(sys.argv[1:])
sys.stderr.write(re.search(r"VmHWM: *(\\d+) kB", open("/proc/self/status").read().replace("\\t", " "))[1])
sys.exit(code)
"""


def test_a_million_lines_take_little_memory(tmp_path: Path) -> None:
    """41 MB of vectors go through in 20 MB more than a thousand lines take."""
    write(Netlist(40, (Lut((0, 1), 0b0110), Lut((40, 39), 0b1000)), (41, 0)), tmp_path / "n.json")
    peaks = []
    for count in (1_000, MILLION):
        (tmp_path / "v.txt").write_bytes((b"01" * 20 + b"\n" + b"10" * 19 + b"11\n") * (count // 2))
        done = subprocess.run([sys.executable, "-c", MEASURED, "netlist", "n.json", "--run", "v.txt"], cwd=tmp_path,
                              capture_output=True, check=True, env=os.environ)  # fmt: skip
        assert done.stdout == b"10\n11\n" * (count // 2)
        peaks.append(int(done.stderr))
    print(f"peak memory: {peaks[0]} KiB for a thousand lines, {peaks[1]} KiB for a million")
    assert peaks[1] < peaks[0] + 20_000


# --- what it loads ----------------------------------------------------------------------------------------------


def test_counts_need_no_numpy(file: Path) -> None:
    code = ("import sys; from hwsim.cli import run_command; run_command(sys.argv[1:]); "
            "sys.exit(any(m in sys.modules for m in ('numpy', 'numba', 'torch')))")  # fmt: skip
    for arguments in (["--help"], ["netlist", "--help"], ["netlist", str(file), "--json"]):
        subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
