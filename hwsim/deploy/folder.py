"""A folder of files that is there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hwsim.document import read_json
from hwsim.errors import InputError, bad_input

MARK = "plan.json"
"""Every deployment has this file, by which one is known."""


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise InputError unless `folder` can be written to: it is new, empty or, with `force`, an earlier deployment."""
    try:
        _check_folder(folder, force)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _check_folder(folder: Path, force: bool) -> None:
    target = _target(folder)
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise _refused(folder, "must be a folder, and no link to one")
    there = sorted(path.name for path in target.iterdir()) if target.exists() else []
    if there and not force:
        remedy = "Name another folder, or replace an earlier deployment with --force."
        raise _refused(folder, f"the folder must be empty, and holds {_some(there)}", remedy)
    if there:
        _check_earlier(folder, there)
    above = next(parent for parent in target.parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise _refused(folder, f"nothing can be written to {above}", "Name a folder that can be written.")


def _target(folder: Path) -> Path:
    """Where the folder really lies; it is no link itself."""
    return folder.absolute().parent.resolve() / folder.name if folder.name not in ("", "..") else folder.resolve()


def _check_earlier(folder: Path, there: list[str]) -> None:
    """Refuse a folder with anything in it but an earlier deployment and what its Makefile builds."""
    known: set[str] = set()
    if MARK in there:
        data = read_json(folder / MARK).data
        files = data.get("files") if isinstance(data, dict) else None
        known = {name for name in files if isinstance(name, str)} if isinstance(files, list) else set()
    others = [name for name in there if name not in known and name != "check" and Path(name).suffix not in {".o", ".a"}]
    others += [path.name for path in folder.iterdir() if path.is_dir()]
    if others or not known:
        rule = f"--force replaces an earlier deployment and nothing else, and this holds {_some(others or there)}"
        raise _refused(folder, rule)


def write_folder(files: Mapping[str, str], folder: Path, *, force: bool) -> list[Path]:
    """Write `files` to `folder` through one beside it that then takes its place; their paths.

    Raises InputError as `check_folder` does, and where the folder can't be written; then `folder` is as it was.
    """
    check_folder(folder, force=force)
    target = _target(folder)
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        _write(files, target)
    except BaseException as error:
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise _unwritable(folder, error) from None
        raise
    return [folder / name for name in sorted(files)]


def _write(files: Mapping[str, str], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".writing-", dir=target.parent))
    try:
        _fill(made, files)
        _swap(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _unwritable(folder: Path, error: OSError) -> InputError:
    return _refused(folder, f"the files can't be written: {error.strerror}", "Name a folder that can be.")


def _fill(made: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        if Path(name).name != name:
            raise ValueError(f"{name!r} is not a plain file name")
        (made / name).write_text(text, encoding="utf-8")
    made.chmod(0o777 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _swap(made: Path, target: Path) -> None:
    """Put `made` in the place of `target`; what was there ends where `made` was."""
    if not target.exists() or not any(target.iterdir()):
        made.rename(target)
        return
    old = made.with_name(made.name + "-old")
    target.rename(old)
    try:
        made.rename(target)
    except BaseException:  # an interrupt as well: what was there comes back
        if not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _refused(folder: Path, rule: str, remedy: str = "Name another folder.") -> InputError:
    return bad_input("write", str(folder), rule, remedy, key="--out")
