"""Non-zero masks of a workload's weights, read from the file beside it, and products packed from them."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from accelerators.optimus import sparse
from accelerators.optimus.design import Design, WeightFormat
from hwsim.errors import InputError, Where, bad_input

MAX_ELEMENTS = 1 << 30
_HEADER_BYTES = 4096
_SUFFIX = ".npy"
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What zipfile and numpy raise at files that are damaged, encrypted or packed in ways unknown to them."""
_REMEDY = "Trace the network again, or take the masks that belong to this trace."

Mask = NDArray[np.bool_]


def _refused(path: Path, tensor: str, got: object, rule: str) -> InputError:
    return bad_input("mask", got, rule, _REMEDY, where=Where(file=str(path), key=tensor))


class MaskFile:
    """The .npz file of a traced workload: per weight, its mask as bools or packed along its rows, eight to a byte
    (`numpy.packbits(mask, axis=1)`).

    Nothing is unpickled; a member's size, shape and kind are held against its tensor before its data is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except _UNREADABLE as bad:
            raise bad_input("mask", str(bad), "this is not an .npz file", _REMEDY, Where(file=str(path))) from None
        self.names = frozenset(n.removesuffix(_SUFFIX) for n in self._archive.namelist() if n.endswith(_SUFFIX))
        if not self.names:
            raise bad_input("mask", path.name, "this is not an .npz file of masks", _REMEDY, Where(file=str(path)))

    def mask(self, tensor: str, shape: tuple[int, int]) -> Mask:
        """The mask of `tensor` as a matrix of `shape`. Raises InputError when it is of another size or kind."""
        elements = shape[0] * shape[1]
        if elements > MAX_ELEMENTS:
            raise _refused(self.path, tensor, shape, f"a mask has at most {MAX_ELEMENTS} elements")
        size = self._archive.getinfo(tensor + _SUFFIX).file_size
        if size > elements + _HEADER_BYTES:
            raise _refused(self.path, tensor, f"{size} bytes", f"a mask of {elements} elements is smaller")
        try:
            stored = self._member(tensor, shape)
        except _UNREADABLE as bad:
            raise _refused(
                self.path, tensor, str(bad), "the mask is damaged, or stored in a way unknown here"
            ) from None
        if stored.dtype == np.bool_:
            return stored
        return np.unpackbits(stored, axis=1, count=shape[1]).astype(bool)

    def _member(self, tensor: str, shape: tuple[int, int]) -> NDArray[Any]:
        with self._archive.open(tensor + _SUFFIX) as file:
            found, _, kind = _HEADERS[npy.read_magic(file)](file)
            if (kind.str, found) not in (("|b1", shape), ("|u1", (shape[0], -(-shape[1] // 8)))):
                rule = f"the mask must be {shape[0]} x {shape[1]} bools, or its rows packed eight to a byte"
                raise _refused(self.path, tensor, f"{kind} {found}", rule)
            file.seek(0)
            return np.asarray(npy.read_array(file, allow_pickle=False))


@lru_cache(maxsize=8)
def _open(path: Path, changed_ns: int) -> MaskFile:
    return MaskFile(path)


def mask_file(path: Path) -> MaskFile:
    """The masks in `path`, opened once as long as the file does not change."""
    try:
        return _open(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        raise bad_input("missing-file", str(path), "the workload's masks are not there", _REMEDY) from None


@lru_cache(maxsize=4096)
def _measured_tile(
    bits: bytes,
    shape: tuple[int, int],
    weight_format: int,
    macs: int,
    sets: int,
    window: int,
    rate: int,
    value_bits: int,
) -> tuple[int, int]:
    mask = np.unpackbits(np.frombuffer(bits, np.uint8), count=shape[0] * shape[1]).reshape(shape)
    packed = sparse.pack(mask, sets, macs, WeightFormat(weight_format))
    return sparse.windowed_cycles(packed, window, rate), packed.bits(value_bits)


def measured(mask: Mask, design: Design) -> tuple[int, int, int]:
    """(non-zeros, cycles a row, stored bits) of a mask on `design`, tile by tile, packed and stepped for real."""
    cycles = stored = 0
    for at in range(0, mask.shape[0], design.accumulators):
        tile = mask[at : at + design.accumulators]
        tile_cycles, tile_bits = _measured_tile(
            np.packbits(tile).tobytes(), (tile.shape[0], tile.shape[1]), int(design.weight_format), design.macs,
            design.sets, design.window, design.rate, design.value_width_bits,
        )  # fmt: skip
        cycles, stored = cycles + tile_cycles, stored + tile_bits
    return int(np.count_nonzero(mask)), cycles, stored
