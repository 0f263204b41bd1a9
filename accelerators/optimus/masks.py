"""Non-zero masks of a workload's weights, read from the file beside it, and products packed from them."""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelerators.optimus import sparse
from accelerators.optimus.design import Design, WeightFormat
from hwsim.errors import InputError, Where, bad_input

MAX_ELEMENTS = 1 << 30
_HEADER_BYTES = 4096
_REMEDY = "Trace the network again, or take the masks that belong to this trace."

Mask = NDArray[np.bool_]


def _refused(path: Path, tensor: str, got: object, rule: str) -> InputError:
    return bad_input("mask", got, rule, _REMEDY, where=Where(file=str(path), key=tensor))


class MaskFile:
    """The .npz file of a traced workload: per weight, its mask as bools or packed along its rows, eight to a byte
    (`numpy.packbits(mask, axis=1)`).

    Nothing is unpickled, and no member is read that is larger than its tensor explains.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._archive = np.load(path, allow_pickle=False)
            self.names = frozenset(getattr(self._archive, "files", ()))
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as bad:
            raise bad_input("mask", str(bad), "this is not an .npz file", _REMEDY, Where(file=str(path))) from None
        if not self.names:
            raise bad_input("mask", path.name, "this is not an .npz file of masks", _REMEDY, Where(file=str(path)))

    def mask(self, tensor: str, shape: tuple[int, int]) -> Mask:
        """The mask of `tensor` as a matrix of `shape`. Raises InputError when it is of another size or kind."""
        elements = shape[0] * shape[1]
        if elements > MAX_ELEMENTS:
            raise _refused(self.path, tensor, shape, f"a mask has at most {MAX_ELEMENTS} elements")
        stored: NDArray[Any] = self._member(tensor, elements)
        if stored.dtype == np.bool_ and stored.shape == shape:
            return stored
        if stored.dtype == np.uint8 and stored.shape == (shape[0], -(-shape[1] // 8)):
            return np.unpackbits(stored, axis=1, count=shape[1]).astype(bool)
        rule = f"the mask must be {shape[0]} x {shape[1]} bools, or its rows packed eight to a byte"
        raise _refused(self.path, tensor, f"{stored.dtype} {stored.shape}", rule)

    def _member(self, tensor: str, elements: int) -> NDArray[Any]:
        size = self._archive.zip.getinfo(f"{tensor}.npy").file_size
        if size > elements + _HEADER_BYTES:
            raise _refused(self.path, tensor, f"{size} bytes", f"a mask of {elements} elements is smaller")
        try:
            return np.asarray(self._archive[tensor])
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as bad:
            raise _refused(self.path, tensor, str(bad), "the mask cannot be read without running code") from None


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
