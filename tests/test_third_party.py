"""A new accelerator as a third party writes it: one folder outside the tree, one entry point, no edit to hwsim."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The third party's distribution, copied out of the tree and installed into a folder of its own."""
    source = tmp_path_factory.mktemp("source") / "lanes"
    target = tmp_path_factory.mktemp("site")
    shutil.copytree(HERE / "third_party", source)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(target), str(source)], check=True)
    (target / "test_lanes.py").write_bytes((source / "test_lanes.py").read_bytes())
    return target


def hwsim(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "hwsim", *arguments]
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=False)


def test_it_is_listed(installed: Path) -> None:
    found = json.loads(hwsim(installed, "list", "--json").stdout)
    assert "lanes" in found["models"]
    assert found["designs"]["lanes-small"] == "sixteen lanes at 500 MHz"


def test_it_runs_and_answers(installed: Path) -> None:
    from hwsim.testing import matmul_chain
    from hwsim.workload import store

    store.write(matmul_chain("chain", rows=4, widths=(32, 48, 10)), installed / "chain.json")
    done = hwsim(installed, "run", "-a", "lanes-small", "-w", "chain.json", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    # By hand: 16 lanes; 4 rows x 3 column groups x depth 32, 192 additions at one a step, then 4 x 1 x 48.
    assert answer["layers"][0]["cycles"] == 4 * 3 * 32
    assert answer["layers"][2]["cycles"] == 4 * 1 * 48
    assert answer["macs"] == 4 * 32 * 48 + 4 * 48 * 10


def test_an_operator_it_cannot_run_is_named(installed: Path) -> None:
    done = hwsim(installed, "run", "-a", "lanes-small", "-w", "transformer-base", "--json")
    assert done.returncode == 2
    assert "lanes cannot run attention operators" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_passes_the_conformance_suite(installed: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_lanes.py"]
    done = subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


def test_the_engine_knows_no_accelerator() -> None:
    """But for what writes designs of a shipped model, by name, from other tools' files."""
    for path in (ROOT / "hwsim").rglob("*.py"):
        assert path.parent.name == "importers" or "lanes" not in path.read_text()
