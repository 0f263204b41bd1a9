"""An environment of its own for each peer, made from the package registry and used through its interpreter alone."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers import process, scalesim, zigzag
from hwsim.errors import InputError, Problem, Where

WANTED: Mapping[str, tuple[str, ...]] = {
    # 3.0.0 passes one-element arrays where newer numpy takes numbers alone.
    "scalesim": (f"scalesim=={scalesim.VERSION}", "numpy<2.4"),
    # 3.9.1 imports six and does not ask for it.
    "zigzag": (f"zigzag-dse=={zigzag.VERSION}", "six"),
}
READY = "installed.json"
TIME_LIMIT_S = 900


def interpreter(folder: Path, tool: str) -> Path:
    """The interpreter of a tool's environment below `folder`.

    Raises InputError where none was made.
    """
    if not (folder / tool / READY).exists():
        raise _problem(tool, folder, "no environment", "its environment has to be made before it runs",
                       "Run: python -m benchmarks.peers install")  # fmt: skip
    # Not resolved: the link's place is what tells Python which environment it is.
    return (folder / tool / "bin" / "python").absolute()


def install(folder: Path, tool: str, requirements: tuple[str, ...] = ()) -> dict[str, str]:
    """Make a tool's environment below `folder`, anew if an earlier attempt broke off; the packages in it, by name.

    Raises InputError with pip's last words where it cannot be made.
    """
    place = folder / tool
    if (place / READY).exists():
        return packages(folder, tool)
    shutil.rmtree(place, ignore_errors=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _problem(tool, folder, str(error), "its environment could not be made", "Name another folder.") from error
    python = (place / "bin" / "python").absolute()
    _step(folder, tool, [sys.executable, "-m", "venv", place])
    _step(
        folder, tool, [python, "-I", "-m", "pip", "install", "--no-input", "--quiet", *(requirements or WANTED[tool])]
    )
    listed = folder / f"{tool}.packages"
    _step(folder, tool, [python, "-I", "-c", LIST], listed)
    (place / READY).write_text(listed.read_text())
    return packages(folder, tool)


LIST = (
    "import importlib.metadata as m, json; "
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}, sort_keys=True))"
)


def packages(folder: Path, tool: str) -> dict[str, str]:
    """What was installed for a tool: package and version."""
    found: dict[str, str] = json.loads((folder / tool / READY).read_text())
    return found


def _step(folder: Path, tool: str, command: list[object], log: Path | None = None) -> None:
    log = log or folder / f"{tool}.log"
    usage = process.run(command, log, time_limit_s=TIME_LIMIT_S)
    if usage.status != "ok":
        words = (usage.message or usage.status).splitlines()[-1]
        raise _problem(tool, folder, words, f"its environment could not be made ({usage.status}; {log} has it all)",
                       "See that the package registry can be reached, and run install again.")  # fmt: skip


def _problem(tool: str, folder: Path, got: str, rule: str, remedy: str = "") -> InputError:
    return InputError([Problem("peer-environment", Where(file=str(folder / tool)), got, rule, remedy)])
