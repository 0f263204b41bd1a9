"""The user's side: the tutorial's block and its model under the fixture `rtl`, and a circuit under CircuitSuite."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hwsim.cosim.circuit import Hdl, Image
from hwsim.cosim.resources import resources
from hwsim.cosim.simulator import lint
from hwsim.cosim.toolchain import available
from hwsim.testing.rtl import Rtl

pytest_plugins = ["hwsim.testing.rtl"]

ROOT = Path(__file__).resolve().parents[2]
CIRCUITS = Path(__file__).parent / "circuits"
FILES = ("mac.sv", "mac_bench.sv", "mac_model.py", "test_mac.py")
BLOCK = re.compile(r"^```\w+ +(?P<title>[\w.]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A folder with the files of the tutorial's example, as the tutorial prints them."""
    told = {m["title"]: m["text"] for m in BLOCK.finditer((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))}
    for name in FILES:
        (tmp_path / name).write_text(told[name], encoding="utf-8")
    return tmp_path


def module_of(example: Path, name: str) -> ModuleType:
    """A Python file of the example, imported from its folder."""
    spec = importlib.util.spec_from_file_location(f"{name}_of_the_tutorial", example / f"{name}.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_pytest(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """pytest in `folder`, without this project's settings: its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=os.environ | {"COLUMNS": "200"} | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def needs(*simulators: str) -> None:
    missing = [s for s in simulators if s not in available()]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


# --- the fixture ------------------------------------------------------------------------------------------------

SHAPES = [(1, 1), (1, 4), (1, 5), (3, 3), (2, 8), (5, 9), (64, 64), (7, 1), (31, 37)]


@pytest.mark.parametrize("lanes", [1, 3, 16])
def test_circuit_and_model_agree_on_many_shapes(rtl: Rtl, example: Path, lanes: int) -> None:
    model = module_of(example, "mac_model")
    random = np.random.default_rng(lanes)
    for rows, columns in SHAPES:
        a, x = random.integers(-128, 128, (rows, columns), np.int8), random.integers(-128, 128, columns, np.int8)
        expected = (a.astype(np.int64) @ x).astype(np.int32).reshape(rows, 1)
        seen = rtl(
            [example / "mac.sv", example / "mac_bench.sv"], "mac_bench", parameters={"lanes": lanes},
            registers={"rows": rows, "columns": columns}, memories={"a": a, "x": Image(8, [int(v) & 255 for v in x])},
            expected={"y": expected}, counters=model.Counts._fields,
        )  # fmt: skip
        counts = model.count(model.Design(lanes), model.Product(rows, columns))
        assert model.Counts(**seen.counters) == counts
        assert seen.memories["y"].dtype == np.int32
        assert (seen.memories["y"] == expected).all()
        # By the clock: besides what the block counts, one cycle in which the results are written.
        assert seen.cycles == counts.cycles + 1
    print(f"{rtl.simulator}, {lanes} lanes: {len(SHAPES)} shapes agree")


def test_the_test_of_the_tutorial_has_ten_lines(example: Path) -> None:
    lines = [line for line in (example / "test_mac.py").read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 10


# file, what stands there, the mistake, and what the failed test says.
MISTAKES = {
    "sign": ("mac.sv", "32'($signed(x[8*i +: 8]))", "32'(x[8*i +: 8])", r"y\[0\] is 0x\w{8}, expected 0x\w{8}"),
    "carried-over": ("mac.sv", "if (reset || (beat_valid && beat_last))", "if (reset)", r"y\[1\] is 0x\w{8}, expected"),
    "lost-word": ("mac_bench.sv", "y, 0, rows - 1", "y, 0, rows - 2", r"y\[6\] is undefined or missing"),
    "undefined-word": ("mac_bench.sv", "<= sum;", "<= {1'bx, sum[30:0]};", r"y\[0\] is undefined or missing"),
    "undefined-counter": ("mac_bench.sv", "cycles + 1;", "cycles + 1'bx;", "counter cycles has undefined bits"),
    "never-done": ("mac_bench.sv", "{running, done} <= 2'b01;", "running <= 0;", "not done after 1000000 cycles"),
    "no-such-port": ("test_mac.py", '"rows": 7', '"lines": 7', "the top module has no port lines"),
    "syntax": ("mac.sv", "endmodule", "endmodul", "iverilog failed"),
    "no-width": ("test_mac.py", '"x": x}', '"x": x / 2}', "words of type float64 have no width"),
}
COUNT_MISTAKES = {
    "drain": ("mac_model.py", "beats + 2", "beats + 1", "cycles: 30 != 29"),
    "rounding": ("mac_model.py", "ceil_div(task.columns, design.lanes)", "(task.columns // design.lanes)", "30 != 23"),
    "useful-macs": ("mac_model.py", "task.rows * task.columns)", "beats * design.lanes)", "macs_executed: 91 != 112"),
    "stall": ("mac_bench.sv", "running && row < rows;", "running && row < rows && cycles != 3;", "cycles: 31 != 30"),
}


def make(mistake: tuple[str, str, str, str], example: Path) -> str:
    """Put a mistake into the example; what is to be said of it."""
    name, right, wrong, told = mistake
    text = (example / name).read_text(encoding="utf-8")
    assert right in text
    (example / name).write_text(text.replace(right, wrong), encoding="utf-8")
    return told


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_fails_and_is_named(example: Path, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("icarus")
    told = make(MISTAKES[mistake], example)
    monkeypatch.setitem(sys.modules, "mac_model", module_of(example, "mac_model"))
    test = module_of(example, "test_mac").test_the_model_counts_what_the_circuit_does
    with pytest.raises(pytest.fail.Exception, match=told) as failed:
        test(Rtl("icarus", example))
    # The message alone is shown, and no error behind it.
    assert not failed.value.pytrace
    assert failed.value.__context__ is None


@pytest.mark.parametrize("mistake", COUNT_MISTAKES)
def test_a_wrong_count_fails_and_is_named(example: Path, mistake: str) -> None:
    needs("icarus")
    told = make(COUNT_MISTAKES[mistake], example)
    code, printed = run_pytest(example, "-k", "icarus", "test_mac.py")
    assert code == 1, printed
    assert re.search(told, printed), printed


def test_a_missing_simulator_skips_and_says_what_to_install(example: Path) -> None:
    code, printed = run_pytest(example, "test_mac.py", PATH=str(example))
    assert code == 0, printed
    assert "2 skipped" in printed
    assert "apt-get install iverilog" in printed
    assert "icarus cannot be used: " in printed


def test_the_example_is_lint_clean_and_can_be_built(example: Path) -> None:
    hdl = Hdl("mac_bench", (example / "mac.sv", example / "mac_bench.sv"), ("lanes",), leaf="mac")
    needs("verilator")
    assert lint(hdl, {"lanes": 4}) == []
    # An 8 x 8 product fits a DSP slice, and 4 of them are asked for.
    assert resources(hdl, {"lanes": 4}).dsps == 4


# --- the suite --------------------------------------------------------------------------------------------------

SUITE = """from hwsim.testing import CircuitSuite


class TestAccumulator(CircuitSuite):
    circuit = "accumulator"
    cases = {cases!r}
    simulators = ("icarus",)
"""


def run_suite(folder: Path, cases: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """pytest over the accumulator that comes with these tests, with cases of its own or those in a file."""
    (folder / "test_accumulator.py").write_text(SUITE.format(cases=cases), encoding="utf-8")
    return run_pytest(folder, "-v", *arguments, **{"PYTHONPATH": str(CIRCUITS), **environment})


def names_of(text: str) -> list[str]:
    return re.findall(r"name: ([\w.-]+)", text)


def test_every_case_of_a_circuit_is_a_test(tmp_path: Path) -> None:
    needs("icarus", "verilator")
    code, printed = run_suite(tmp_path, "")
    names = names_of((CIRCUITS / "accumulator" / "cases.yaml").read_text(encoding="utf-8"))
    assert code == 0, printed
    assert all(f"test_case[icarus-{name}] PASSED" in printed for name in names)
    print(f"{len(names)} cases were tests of their own")
    assert f"{len(names) + 2} passed" in printed


def test_one_case_is_run_alone(tmp_path: Path) -> None:
    needs("icarus")
    name = names_of((CIRCUITS / "accumulator" / "cases.yaml").read_text(encoding="utf-8"))[1]
    code, printed = run_suite(tmp_path, "", "-k", name)
    assert code == 0, printed
    assert "1 passed" in printed
    assert f"test_case[icarus-{name}] PASSED" in printed


CASES = """circuit: accumulator
design: {design}
tolerance: {{mape: 1 %, p95: 2 %, worst: 3 %, reason: "of the test"}}
cases:
  - {{name: right, family: f, task: {{words: 40}}, seed: 3}}
  - {{name: wrong, family: f, task: {{words: 40, knob: wrong_word}}, seed: 4}}
"""


def test_a_case_that_fails_is_told_alone(tmp_path: Path) -> None:
    needs("icarus")
    design = CIRCUITS / "accumulator" / "accumulator_design.yaml"
    (tmp_path / "mine.yaml").write_text(CASES.format(design=design), encoding="utf-8")
    code, printed = run_suite(tmp_path, "mine.yaml", "-k", "test_case or tolerance")
    assert code == 1, printed
    assert "test_case[icarus-right] PASSED" in printed
    assert "test_case[icarus-wrong] FAILED" in printed
    assert "seed 4, mine.yaml:6:" in printed
    assert re.search(r"sums\[\d+\] is 0x\w+, expected 0x\w+", printed), printed
    assert "to see its waves: hwsim cosim accumulator --cases mine.yaml --case wrong --waves" in printed
    assert "1 of 2 cases agree" in printed


def test_a_suite_skips_without_its_simulator(tmp_path: Path) -> None:
    code, printed = run_suite(tmp_path, "", PATH=str(tmp_path))
    assert code == 0, printed
    assert " passed" not in printed
    assert "icarus cannot be used: " in printed


def test_a_bad_case_file_is_told_by_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("circuit: accumulator\n", encoding="utf-8")
    code, printed = run_suite(tmp_path, "mine.yaml")
    assert code != 0
    assert "mine.yaml:1:1: [missing-key]" in printed
    assert "Traceback" not in printed
