"""Bits in arrays: features packed for the tree search, 64 a word, and the outputs of a table by address.

Importing this module imports numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwsim.errors import bad_input

WORD = 64


@dataclass(frozen=True, eq=False, slots=True)
class PackedBits:
    """Feature bits of many samples. Bit b of `words[t, s]` is feature 64 * t + b of sample s; bits beyond are 0."""

    words: NDArray[np.uint64]
    features: int

    @property
    def samples(self) -> int:
        return int(self.words.shape[1])

    def column(self, feature: int) -> NDArray[np.uint8]:
        """Bits of one feature, uint8[samples]."""
        words: NDArray[np.uint64] = self.words[feature // WORD]
        return ((words >> np.uint64(feature % WORD)) & np.uint64(1)).astype(np.uint8)


def checked_bits(values: ArrayLike, dimensions: int, what: str) -> NDArray[np.uint8]:
    """`values` as uint8. Raises InputError unless they are a non-empty array of 0 and 1 with so many dimensions."""
    found = np.asarray(values)
    if found.ndim != dimensions or found.size == 0:
        raise bad_input("shape", list(found.shape), f"{what} are a non-empty array of {dimensions} dimensions")
    if found.dtype.kind not in "bui" or found.min() < 0 or found.max() > 1:
        raise bad_input("bits", str(found.dtype), f"{what} are integers or booleans, each 0 or 1")
    return found.astype(np.uint8)


def pack(features: ArrayLike | PackedBits) -> PackedBits:
    """Bits [samples, features] packed; what is packed already as it is.

    Raises InputError for anything but 0 and 1 in two dimensions.
    """
    if isinstance(features, PackedBits):
        return features
    bits = checked_bits(features, 2, "features")
    samples, count = bits.shape
    padded = np.zeros((samples, -(-count // WORD) * WORD), np.uint8)
    padded[:, :count] = bits
    rows = np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    return PackedBits(np.ascontiguousarray(rows.T), count)


def table_of(outputs: NDArray[np.bool_] | NDArray[np.uint8]) -> int:
    """Outputs by address as the integer of a table (`accelerators.poetbin.rinc`)."""
    return int.from_bytes(np.packbits(outputs, bitorder="little").tobytes(), "little")


def table_outputs(table: int, pins: int) -> NDArray[np.uint8]:
    """A table's outputs by address, uint8[2^pins]."""
    size = 1 << pins
    return np.unpackbits(np.frombuffer(table.to_bytes(-(-size // 8), "little"), np.uint8), bitorder="little")[:size]


def shifted(vectors: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """What a shift register of `width` bits a clock shows while `vectors`[samples, features] pass through it.

    uint8[1 + samples * beats, features]: the state behind reset, then one a beat, as `rtl_models/poetbin/README.md` has
    it. A width of all features is a parallel register.
    """
    features = vectors.shape[1]
    size = -(-features // width) * width
    sent = np.zeros((len(vectors), size), np.uint8)
    sent[:, :features] = vectors
    line = np.concatenate([np.zeros(size, np.uint8), sent.reshape(-1)])
    return np.lib.stride_tricks.sliding_window_view(line, size)[::width, :features]
