"""Networks of look-up tables on data: outputs, every signal, toggles.

Signals are kept bit-packed, a row of bytes a signal with 8 samples a byte; a LUT gathers its rows into addresses and
looks them up. Long data go through in blocks, so memory beyond the result does not grow with the number of samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hwsim.errors import bad_input
from hwsim.netlist.netlist import Lut, Netlist

Bits = npt.NDArray[np.uint8]

BLOCK_SAMPLES = 1 << 14
_PACKED_BYTES = 16 << 20


def evaluate(netlist: Netlist, bits: npt.ArrayLike) -> Bits:
    """Outputs of a network: uint8[samples, outputs] of 0 and 1 from `bits`[samples, inputs] of bool or of 0 and 1.

    Raises InputError for another shape, type or value.
    """
    return _of_signals(netlist, bits, list(netlist.outputs))


def evaluate_all(netlist: Netlist, bits: npt.ArrayLike) -> Bits:
    """Every signal of a network, inputs first: uint8[samples, signals]. Raises InputError as `evaluate` does."""
    return _of_signals(netlist, bits, list(range(netlist.signals)))


def toggles(netlist: Netlist, bits: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """How often each signal changes from one sample to the next: int64[signals], inputs first.

    Samples are taken in order; glitches inside a clock are not counted. Raises InputError as `evaluate` does.
    """
    data = checked_bits(netlist, bits)
    counts = np.zeros(netlist.signals, np.int64)
    last: Bits | None = None
    for _, block in _blocks(netlist, data):
        packed = _packed_signals(netlist, block)
        for signal, row in enumerate(packed):
            values = np.unpackbits(row, count=len(block), bitorder="little")
            counts[signal] += np.count_nonzero(values[1:] != values[:-1])
            if last is not None:
                counts[signal] += int(values[0] != last[signal])
        at = len(block) - 1
        last = ((packed[:, at >> 3] >> (at & 7)) & 1).astype(np.uint8)
    return counts


def checked_bits(netlist: Netlist, bits: npt.ArrayLike) -> Bits:
    """`bits` as uint8[samples, inputs] of 0 and 1. Raises InputError for another shape, type or value."""
    data = np.asarray(bits)
    if data.ndim != 2 or data.shape[1] != netlist.inputs:
        rule = f"vectors of this network are an array of samples by {netlist.inputs} inputs"
        raise bad_input("width", f"an array of shape {data.shape}", rule, key="bits")
    if data.dtype == np.bool_:
        return data.view(np.uint8)
    if data.dtype.kind not in "iu" or (data.size and (data.min() < 0 or data.max() > 1)):
        got = f"values of type {data.dtype}" if data.dtype.kind not in "iu" else f"{data.min()} to {data.max()}"
        raise bad_input("type", got, "bits are booleans, or integers 0 and 1", key="bits")
    return data.astype(np.uint8, copy=False)


def _of_signals(netlist: Netlist, bits: npt.ArrayLike, signals: list[int]) -> Bits:
    data = checked_bits(netlist, bits)
    found = np.empty((len(data), len(signals)), np.uint8)
    for start, block in _blocks(netlist, data):
        rows = _packed_signals(netlist, block)[signals]
        found[start : start + len(block)] = np.unpackbits(rows, axis=1, count=len(block), bitorder="little").T
    return found


def _blocks(netlist: Netlist, data: Bits) -> Iterator[tuple[int, Bits]]:
    """Runs of samples, with the number of their first, that keep the packed signals within _PACKED_BYTES."""
    rows = max(8, min(BLOCK_SAMPLES, _PACKED_BYTES * 8 // netlist.signals))
    for start in range(0, len(data), rows):
        yield start, data[start : start + rows]


def _packed_signals(netlist: Netlist, block: Bits) -> Bits:
    """Every signal of one block, bit-packed: uint8[signals, bytes]; sample s is bit s % 8 of byte s // 8."""
    packed = np.empty((netlist.signals, (len(block) + 7) // 8), np.uint8)
    packed[: netlist.inputs] = np.packbits(block.T, axis=1, bitorder="little")
    for at, lut in enumerate(netlist.luts, netlist.inputs):
        packed[at] = _looked_up(lut, packed)
    return packed


def _looked_up(lut: Lut, packed: Bits) -> Bits:
    table = _table_bits(lut)
    if not lut.pins:
        return np.full(packed.shape[1], 255 * table[0], np.uint8)
    address = np.zeros(packed.shape[1] * 8, np.uint16)
    for values in np.unpackbits(packed[list(lut.pins)], axis=1, bitorder="little"):
        address <<= 1
        address |= values
    return np.packbits(table[address], bitorder="little")


def _table_bits(lut: Lut) -> Bits:
    """The table as uint8[2^pins]."""
    size = 1 << len(lut.pins)
    raw = lut.table.to_bytes((size + 7) // 8, "little")
    return np.unpackbits(np.frombuffer(raw, np.uint8), count=size, bitorder="little")
