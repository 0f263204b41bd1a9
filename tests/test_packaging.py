"""The wheel, installed alone in an empty environment, does what the tree does: elsewhere, and without torch."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("hwsim", "accelerators", "rtl_models", "workloads")
BUILD_INPUTS = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
Hwsim = Callable[..., subprocess.CompletedProcess[str]]


def run(*command: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command that must end with `code`, away from this tree and its settings; the text it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built through the source distribution from a copy that holds no left-overs of other builds."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILD_INPUTS:
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", cwd=source)
    [built] = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def hwsim(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hwsim]:
    """The `hwsim` command of an environment that holds nothing but the wheel and what it requires."""
    home = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", home / "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile")
    run(python, *install, "--constraint", ROOT / "constraints.txt", wheel, cwd=home)
    run(python, "-m", "pip", "check", cwd=home)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    yield lambda *arguments, **how: run(home / "venv" / "bin" / "hwsim", *arguments, cwd=elsewhere, **how)
    shutil.rmtree(home)  # half a gigabyte


def metadata(wheel: Path) -> email.message.Message:
    """The METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    print(f"{len(held)} files in the wheel, {wheel.stat().st_size / 1e6:.1f} MB")
    assert held == wanted
    circuit = {name.rpartition("/")[2] for name in held if name.startswith("rtl_models/optimus/")}
    assert {"README.md", "bench.py", "cases.yaml", "golden.csv", "optimus.sv"} <= circuit


def test_requirements_are_ranges_and_torch_is_an_extra(wheel: Path) -> None:
    requirements = metadata(wheel).get_all("Requires-Dist", [])
    assert not [r for r in requirements if "==" in r.partition(";")[0]]
    assert not [r for r in requirements if r.startswith("torch") and 'extra == "trace"' not in r]
    extras = {"trace", "rtl", "synth", "timing", "cores", "cluster", "exact", "onnx", "parquet", "search", "dev"}
    assert set(metadata(wheel).get_all("Provides-Extra", [])) == extras
    assert metadata(wheel)["License-Expression"] == "Apache-2.0"


def test_list(hwsim: Hwsim) -> None:
    listed = json.loads(hwsim("list", "--json").stdout)
    assert {"optimus", "optimus-baseline", "i7-6900k", "titan-xp"} <= set(listed["designs"])
    assert {"transformer-base", "gpt2-small"} <= set(listed["workloads"])
    assert "optimus" in listed["circuits"]


def test_cosim_without_a_simulator_says_once_what_to_install(hwsim: Hwsim) -> None:
    [line] = hwsim("cosim", "optimus", code=2).stderr.splitlines()
    assert line.startswith("error: [missing-tool] got no cocotb; ")
    assert line.endswith("Install them with: pip install 'hwsim[rtl]'.")


def test_the_cases_of_a_circuit_are_valid_where_they_are_installed(hwsim: Hwsim) -> None:
    refused = hwsim("cosim", "optimus", "--case", "no-such-case", code=2)
    assert "[unknown-case] --case: got 'no-such-case'" in refused.stderr


def test_run_and_report(hwsim: Hwsim, tmp_path: Path) -> None:
    answer = json.loads(
        hwsim("run", "-a", "optimus", "-w", "transformer-base", "--json", "--report", str(tmp_path / "report")).stdout
    )
    assert answer["schema_version"] == 1
    assert answer["feasible"] and answer["cycles"] > 0 and answer["energy_j"] > 0
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "optimus" in page and "transformer-base" in page


def test_check_and_explain(hwsim: Hwsim) -> None:
    assert "valid" in hwsim("check", "optimus", "transformer-base").stdout
    explained = json.loads(hwsim("explain", "optimus", "--json").stdout)
    assert any(value["key"] == "macs" for value in explained["values"])
