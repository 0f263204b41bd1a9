"""Promises that hold over the whole tree: what start-up imports, what no source does, how long functions are."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import hwsim

ROOT = Path(__file__).resolve().parent.parent
CODE = ("hwsim", "accelerators", "workloads", "rtl_models", "scripts", "benchmarks", "tests")
HEAVY = ("matplotlib", "numba", "numpy", "pandas", "torch")


def sources(*folders: str) -> list[Path]:
    """Every Python source under `folders` of the project, hidden folders left out: others' packages lie there."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if not any(p.startswith(".") for p in path.relative_to(ROOT).parts))


# --- start-up ---------------------------------------------------------------------------------------------------

PROBE = f"""
import sys
from hwsim.cli import run_command
code = run_command(sys.argv[1:])
print("loaded:", *sorted({{name.partition(".")[0] for name in sys.modules}} & set({HEAVY!r})))
sys.exit(code)
"""


def probe(*arguments: str) -> tuple[int, str]:
    """The exit code of one command line and which heavy libraries it loaded."""
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.rpartition("loaded:")[2].strip() + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("run", "--help"),
        ("check", "optimus", "transformer-base"),
        ("explain", "optimus"),
        ("explain", "--schema", "optimus"),
        ("list",),
    ],
    ids=" ".join,
)
def test_light_commands_load_no_heavy_library(arguments: tuple[str, ...]) -> None:
    assert probe(*arguments) == (0, "")


def test_the_probe_sees_a_heavy_library() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import numpy\n" + PROBE, "--help"], capture_output=True, text=True, check=True
    )
    assert "loaded: numpy" in done.stdout


# --- input is data ----------------------------------------------------------------------------------------------

BANNED_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.full_load",
                "yaml.unsafe_load", "yaml.load_all", "importlib.import_module", "runpy.run_path",
                "runpy.run_module", "subprocess.getoutput", "subprocess.getstatusoutput"}  # fmt: skip
BANNED_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code", "codeop"}
BANNED_FLAGS = {"shell": True, "allow_pickle": True, "weights_only": False}
ALLOWED = {
    # Tracing runs the module the user names: that is its purpose, stated in SECURITY.md.
    ("hwsim/trace.py", "importlib.import_module"),
    # An independent reader as oracle, with a loader that only narrows yaml.SafeLoader.
    ("tests/test_bad_files.py", "yaml.load"),
}


def call_name(node: ast.Call) -> str:
    """`a.b.c` of a call to a plain dotted name; "" for other callees."""
    try:
        name = ast.unparse(node.func)
    except ValueError:
        return ""
    return name if re.fullmatch(r"[\w.]+", name) else ""


def offences(source: str) -> Iterator[tuple[int, str]]:
    """(line, what) for each way in which `source` could run data as code or hand text to a shell."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            names = [module] if module else [alias.name for alias in node.names]
            yield from ((node.lineno, n) for n in names if n.partition(".")[0] in BANNED_MODULES)
        if isinstance(node, ast.Call):
            name = call_name(node)
            if name in BANNED_CALLS:
                yield node.lineno, name
            flags = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            yield from ((node.lineno, f"{k}={v}") for k, v in flags.items() if BANNED_FLAGS.get(str(k), ...) is v)
            if name == "torch.load" and flags.get("weights_only") is not True:
                yield node.lineno, "torch.load without weights_only=True"


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "import pickle",
        "from pickle import loads",
        "import yaml; yaml.load(f)",
        "subprocess.run(text, shell=True)",
        "numpy.load(f, allow_pickle=True)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "os.system(text)",
        "__import__(name)",
    ],
)
def test_the_scan_finds(source: str) -> None:
    assert list(offences(source))


def test_the_scan_lets_pass() -> None:
    assert not list(offences("torch.load(f, weights_only=True); numpy.load(f); yaml.compose(f); re.compile(p)"))


def test_nothing_runs_data_as_code() -> None:
    paths = sources(*CODE)
    found = {
        (str(path.relative_to(ROOT)), what): line
        for path in paths
        for line, what in offences(path.read_text(encoding="utf-8"))
    }
    print(f"{len(paths)} source files scanned")
    assert {place: line for place, line in found.items() if place not in ALLOWED} == {}
    assert len(paths) > 20


# --- nothing left half done -------------------------------------------------------------------------------------

LOOSE_END = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def loose_ends(path: Path) -> Iterator[str]:
    """Comments that promise later work, and functions that only raise NotImplementedError."""
    name = path.relative_to(ROOT)
    with path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT and LOOSE_END.search(token.string):
                yield f"{name}:{token.start[0]}: {token.string}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc):
            yield f"{name}:{node.lineno}: NotImplementedError"


def test_no_loose_ends() -> None:
    assert [end for path in sources(*CODE) for end in loose_ends(path)] == []


def function_lines(path: Path) -> Iterator[int]:
    """Length in lines of each function of a source file, its docstring left out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield body[-1].end_lineno - body[0].lineno + 2 if body else 1  # type: ignore[operator]


def test_functions_are_small() -> None:
    lengths = [n for path in sources("hwsim", "accelerators", "workloads") for n in function_lines(path)]
    print(f"{len(lengths)} functions, median {statistics.median(lengths):g} lines, longest {max(lengths)}")
    assert statistics.median(lengths) < 12


def test_one_version() -> None:
    stated = [path for path in sources(*CODE) if re.search(r"^__version__ =", path.read_text("utf-8"), re.MULTILINE)]
    assert stated == [ROOT / "hwsim" / "version.py"]
    assert "version = attr: hwsim.version.__version__" in (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert importlib.metadata.version("hwsim") == hwsim.__version__
