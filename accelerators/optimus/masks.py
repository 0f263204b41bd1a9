"""Non-zero masks of a workload's weights, read from the file beside it, and products packed from them."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from accelerators.optimus import array, closed_form, sparse
from accelerators.optimus.design import Design, only
from accelerators.optimus.tasks import PackedProduct
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


class MeasuredPiece(NamedTuple):
    """A piece of a real mask, packed and stepped: everything about it that does not depend on the number of rows.

    `run` is the cycles in which a row is issued, `seen` the columns that come into the window, `stored_bits` what is
    loaded, and `read_bits` what is read from the weight buffer for a row.
    """

    outputs: int
    columns: int
    nnz: int
    run: int
    seen: int
    stored_bits: int
    read_bits: int
    opens: int
    closes: int


PIECE_FIELDS = (
    "weight_format", "macs", "sets", "window", "rate", "accumulators", "value_width_bits", "weight_buffer_bits",
    "load_overlap",
)  # fmt: skip
"""Design fields that a `MeasuredPiece` depends on."""


def measured_piece(piece: sparse.Piece, design: Design) -> MeasuredPiece:
    """`piece` stepped on `design`."""
    packed = piece.packed
    outputs, columns = packed.shape
    run = sparse.windowed_run(packed, design.window, design.rate)
    of_tile = (design.weight_format, outputs, design.macs, design.sets)
    entries = packed.nnz * closed_form.entry_bits(*of_tile, design.value_width_bits)
    read_bits = entries + run.columns * closed_form.column_bits(*of_tile)
    stored_bits = piece.bits(design.value_width_bits)
    return MeasuredPiece(
        outputs, columns, packed.nnz, run.cycles, run.columns, stored_bits, read_bits, int(piece.opens),
        int(piece.closes),
    )  # fmt: skip


class Occupancy(NamedTuple):
    """Cycles for which pieces of a product hold the array, and in which results are still written after that."""

    held: int
    writing: int


def occupancies(design: Design, pieces: Iterable[MeasuredPiece], rows: int) -> Iterator[Occupancy]:
    """Each piece of one product, one after the other as if no earlier product were written and, with load_overlap, all
    pieces were loaded. Without it a piece finds all results written: its own load lies between."""
    writing = 0
    for p in pieces:
        if not design.load_overlap:
            writing = 0
        shape = (design, rows, p.outputs, p.columns, p.run, p.opens, p.closes)
        held = array.piece_cycles(*shape) + array.late_cycles(*shape, writing)
        writing = array.writing_cycles(design, rows, p.outputs, held, p.closes, writing)
        yield Occupancy(held, writing)


def occupancy(design: Design, pieces: Iterable[MeasuredPiece], rows: int) -> Occupancy:
    """All pieces of one product, as in `occupancies`."""
    each = list(occupancies(design, pieces, rows))
    return Occupancy(sum(one.held for one in each), each[-1].writing)


@lru_cache(maxsize=4096)
def _measured_tile(bits: bytes, shape: tuple[int, int], design: Design) -> tuple[MeasuredPiece, ...]:
    mask = np.unpackbits(np.frombuffer(bits, np.uint8), count=shape[0] * shape[1]).reshape(shape)
    return tuple(measured_piece(piece, design) for piece in sparse.pieces(mask, design))


def measured(mask: Mask, design: Design) -> list[MeasuredPiece]:
    """All pieces of a mask on `design`, packed and stepped for real. Raises InputError when a column of it does not
    fit a slot of the weight buffer."""
    found: list[MeasuredPiece] = []
    alike = only(design, PIECE_FIELDS)
    for at in range(0, mask.shape[0], design.accumulators):
        tile = mask[at : at + design.accumulators]
        found += _measured_tile(np.packbits(tile).tobytes(), (tile.shape[0], tile.shape[1]), alike)
    return found


def packed_pieces(mask: Mask, design: Design, rows: int, spilled: int = 0) -> list[PackedProduct]:
    """The product of `rows` input vectors with a matrix of this mask (outputs x columns), measured on `design`, as a
    task a piece: each is loaded, and holds the array, by itself.

    `spilled` is not 0 where the outputs leave the chip. Raises InputError when a column does not fit a slot of the
    weight buffer.
    """
    found = measured(mask, design)
    return [
        _piece_task(p, one, rows, first=number == 0, leaves=spilled > 0)
        for number, (p, one) in enumerate(zip(found, occupancies(design, found, rows), strict=True))
    ]


def _piece_task(p: MeasuredPiece, occupied: Occupancy, rows: int, *, first: bool, leaves: bool) -> PackedProduct:
    results = rows * p.outputs * p.closes
    return PackedProduct(
        rows=rows,
        outputs=p.outputs,
        columns=p.columns,
        nnz=p.nnz,
        cycles=occupied.held,
        pieces=1,
        stored_bits=p.stored_bits,
        read_bits=rows * p.read_bits,
        elements_read=rows * p.seen,
        sums_aside=rows * p.outputs if rows > 1 and not p.opens else 0,
        results=results,
        runs=int(first),
        writing=occupied.writing,
        spilled=results if leaves else 0,
    )


SUMS = (
    "nnz",
    "cycles",
    "pieces",
    "stored_bits",
    "read_bits",
    "elements_read",
    "sums_aside",
    "results",
    "runs",
    "spilled",
)


def packed_product(mask: Mask, design: Design, rows: int, spilled: int = 0) -> PackedProduct:
    """The pieces of `packed_pieces` as one task, for what is asked of the whole product: in time, pieces of one task
    are taken to be alike."""
    pieces = packed_pieces(mask, design, rows, spilled)
    sums = {name: sum(getattr(piece, name) for piece in pieces) for name in SUMS}
    return pieces[-1]._replace(outputs=mask.shape[0], columns=mask.shape[1], **sums)
