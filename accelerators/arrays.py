"""Arrays in .npz files: written atomically and to the same bytes each time, read with bounds and without pickle."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.document import shown_path
from hwsim.errors import InputError, Problem, Where

MAX_FILE_BYTES = 1 << 30
MAX_ARRAY_BYTES = 4 << 30
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip file can state: the same bytes for the same arrays."""


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader, also one after a crash, finds all of it or what was there before.

    One writer at a time: what it writes stands beside `path` until it is whole.
    """
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(beside, path)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays, compressed, atomically; equal arrays give equal bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    write_atomically(path, packed.getvalue())


def read_arrays(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file, which must have all of `required` and nothing but those and `optional`.

    Raises InputError for a file that is missing, damaged, too large, or has other keys or arrays of objects.
    """
    _check_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive, required, optional)
            return {name.removesuffix(".npy"): _member(path, archive, name) for name in archive.namelist()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError):
        raise _refused(path, "format", "no whole .npz file", "arrays are read from a NumPy .npz file",
                       "Write it with numpy.savez.") from None  # fmt: skip


def _check_file(path: Path) -> None:
    if not path.exists():
        raise _refused(path, "missing-file", "nothing", "there is no such file")
    if not path.is_file():
        raise _refused(path, "not-a-file", "something else", "a regular file is needed here")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise _refused(path, "too-large", f"{path.stat().st_size} bytes", f"at most {MAX_FILE_BYTES} are read")


def _check_members(path: Path, archive: zipfile.ZipFile, required: Sequence[str], optional: Sequence[str]) -> None:
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    wrong = [n for n in names if n not in (*required, *optional)] + [n for n in set(names) if names.count(n) > 1]
    absent = [n for n in required if n not in names]
    if wrong or absent:
        rule = f"the file has the keys {', '.join(required)}" + (
            f", and may have {', '.join(optional)}" * bool(optional)
        )
        raise _refused(path, "keys", f"the keys {', '.join(sorted(names)) or '(none)'}", rule)
    size = sum(info.file_size for info in archive.infolist())
    if size > MAX_ARRAY_BYTES:
        raise _refused(path, "too-large", f"{size} bytes unpacked", f"at most {MAX_ARRAY_BYTES} are read")


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    try:
        with archive.open(name) as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except (ValueError, MemoryError, zlib.error):
        key = name.removesuffix(".npy")
        raise _refused(path, "format", "no array of numbers", "each key holds one array of numbers", key=key) from None


def _refused(path: Path, code: str, got: str, rule: str, remedy: str = "", key: str = "") -> InputError:
    return InputError((Problem(code, Where(shown_path(path), key=key), got, rule, remedy),))


# --- samples of bits --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Samples:
    """Binary samples with their classes: `bits` uint8 (n x features) of 0 and 1, `labels` int64 (n)."""

    bits: NDArray[np.uint8]
    labels: NDArray[np.int64]


def write_samples(path: Path, samples: Samples) -> None:
    """Write `samples` packed, eight bits a byte, the first feature in the highest bit."""
    features = np.array(samples.bits.shape[1], dtype=np.uint32)
    packed = np.packbits(samples.bits.astype(np.uint8), axis=1)
    write_arrays(path, {"bits": packed, "features": features, "labels": samples.labels.astype(np.uint8)})


def read_samples(path: Path) -> Samples:
    """What `write_samples` wrote. Raises InputError when the file is not of this kind."""
    found = read_arrays(path, ("bits", "features", "labels"))
    packed, labels, features = found["bits"], found["labels"], found["features"]
    whole = packed.dtype == np.uint8 and packed.ndim == 2 and labels.shape == packed.shape[:1]
    if not whole or features.shape != () or features.dtype.kind != "u" or packed.shape[1] != -(-int(features) // 8):
        raise _refused(path, "format", "other shapes", "bits is samples x bytes, one label a sample, features a count")
    return Samples(np.unpackbits(packed, axis=1, count=int(features)), labels.astype(np.int64))
