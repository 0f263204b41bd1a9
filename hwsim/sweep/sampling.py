"""Points of the unit cube by their number: random and Sobol, each point a pure function of (seed, index).

Nothing is drawn in sequence, so neither order, nor chunks, nor workers change which point is which.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hwsim.errors import bad_input

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

RANDOM = "random"
SOBOL = "sobol"
UNSCRAMBLED = "sobol, unscrambled"

_BITS = 32
_WORDS_PER_BLOCK = 4  # Philox4x64 gives four 64-bit words a counter value

# Dimensions 2 to 64 of new-joe-kuo-6.21201: dimension, degree s of the primitive polynomial, its inner coefficients a
# (binary), initial direction integers m_1 .. m_s. S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better
# two-dimensional projections", SIAM J. Sci. Comput. 30, 2635-2654 (2008); web.maths.unsw.edu.au/~fkuo/sobol.
_JOE_KUO = """
2 1 0 1
3 2 1 1 3
4 3 1 1 3 1
5 3 2 1 1 1
6 4 1 1 1 3 3
7 4 4 1 3 5 13
8 5 2 1 1 5 5 17
9 5 4 1 1 5 5 5
10 5 7 1 1 7 11 19
11 5 11 1 1 5 1 1
12 5 13 1 1 1 3 11
13 5 14 1 3 5 5 31
14 6 1 1 3 3 9 7 49
15 6 13 1 1 1 15 21 21
16 6 16 1 3 1 13 27 49
17 6 19 1 1 1 15 7 5
18 6 22 1 3 1 15 13 25
19 6 25 1 1 5 5 19 61
20 7 1 1 3 7 11 23 15 103
21 7 4 1 3 7 13 13 15 69
22 7 7 1 1 3 13 7 35 63
23 7 8 1 3 5 9 1 25 53
24 7 14 1 3 1 13 9 35 107
25 7 19 1 3 1 5 27 61 31
26 7 21 1 1 5 11 19 41 61
27 7 28 1 3 5 3 3 13 69
28 7 31 1 1 7 13 1 19 1
29 7 32 1 3 7 5 13 19 59
30 7 37 1 1 3 9 25 29 41
31 7 41 1 3 5 13 23 1 55
32 7 42 1 3 7 3 13 59 17
33 7 50 1 3 1 3 5 53 69
34 7 55 1 1 5 5 23 33 13
35 7 56 1 1 7 7 1 61 123
36 7 59 1 1 7 9 13 61 49
37 7 62 1 3 3 5 3 55 33
38 8 14 1 3 1 15 31 13 49 245
39 8 21 1 3 5 15 31 59 63 97
40 8 22 1 3 1 11 11 11 77 249
41 8 38 1 3 1 11 27 43 71 9
42 8 47 1 1 7 15 21 11 81 45
43 8 49 1 3 7 3 25 31 65 79
44 8 50 1 3 1 1 19 11 3 205
45 8 52 1 1 5 9 19 21 29 157
46 8 56 1 3 7 11 1 33 89 185
47 8 67 1 3 3 3 15 9 79 71
48 8 70 1 3 7 11 15 39 119 27
49 8 84 1 1 3 1 11 31 97 225
50 8 97 1 1 1 3 23 43 57 177
51 8 103 1 3 7 7 17 17 37 71
52 8 115 1 3 1 5 27 63 123 213
53 8 122 1 1 3 5 11 43 53 133
54 9 8 1 3 5 5 29 17 47 173 479
55 9 13 1 3 3 11 3 1 109 9 69
56 9 16 1 1 1 5 17 39 23 5 343
57 9 22 1 3 1 5 25 15 31 103 499
58 9 25 1 1 1 11 11 17 63 105 183
59 9 44 1 1 5 11 9 29 97 231 363
60 9 47 1 1 5 15 19 45 41 7 383
61 9 52 1 3 7 7 31 19 83 137 221
62 9 55 1 1 1 3 23 15 111 223 83
63 9 59 1 1 5 13 31 15 55 25 161
64 9 62 1 1 3 13 25 47 39 87 257
"""


def uniforms(method: str, seed: int, dimensions: int, start: int, stop: int) -> Floats:
    """Points `start` to `stop` - 1 of a sequence in [0, 1)^dimensions: (stop - start, dimensions).

    method  "random": independent points; "sobol": an Owen-scrambled Sobol sequence, whose every stretch of 2^k points
            from a multiple of 2^k on fills the cube evenly; "sobol, unscrambled": the bare sequence, for checks
    Raises InputError where the Sobol table ends: more than 64 dimensions or 2^32 points.
    """
    if method == RANDOM:
        return _random(seed, dimensions, start, stop)
    integers = _sobol(dimensions, start, stop)
    if method == UNSCRAMBLED:
        return np.asarray(integers / float(1 << _BITS), dtype=np.float64)
    # The middle of the cell: the digits below the 32nd are not scrambled.
    return np.asarray((_owen(integers, seed) + 0.5) / float(1 << _BITS), dtype=np.float64)


def _key(seed: int, purpose: str, size: int) -> int:
    """A key of `size` bytes that depends on every bit of the seed, whatever its size or sign."""
    return int.from_bytes(hashlib.blake2b(f"{purpose} {seed}".encode(), digest_size=size).digest(), "little")


# --- random -----------------------------------------------------------------------------------------------------


def _random(seed: int, dimensions: int, start: int, stop: int) -> Floats:
    """Philox4x64-10 (Salmon et al., SC 2011) in counter mode: each point owns whole counter values."""
    blocks = -(-dimensions // _WORDS_PER_BLOCK)
    generator = np.random.Philox(key=_key(seed, RANDOM, 16), counter=start * blocks)
    words = generator.random_raw((stop - start) * blocks * _WORDS_PER_BLOCK)
    points = np.asarray(words, dtype=np.uint64).reshape(stop - start, blocks * _WORDS_PER_BLOCK)[:, :dimensions]
    return np.asarray((points >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


# --- Sobol ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _directions() -> Words:
    """Direction numbers, (dimension, bit): the b-th digit of an index contributes column b. Eq. (2) of the paper."""
    table = np.zeros((len(_JOE_KUO.split("\n")) - 1, _BITS), dtype=np.uint64)
    table[0] = [1 << (_BITS - 1 - bit) for bit in range(_BITS)]
    for line in _JOE_KUO.strip().split("\n"):
        dimension, degree, inner, *initial = map(int, line.split())
        table[dimension - 1] = _direction_row(degree, inner, initial)
    return table


def _direction_row(degree: int, inner: int, initial: list[int]) -> list[int]:
    row = [m << (_BITS - 1 - bit) for bit, m in enumerate(initial)]
    for bit in range(degree, _BITS):
        value = row[bit - degree] ^ (row[bit - degree] >> degree)
        for k in range(1, degree):
            if inner >> (degree - 1 - k) & 1:
                value ^= row[bit - k]
        row.append(value)
    return row


def _sobol(dimensions: int, start: int, stop: int) -> Words:
    """The sequence as 32-bit integers, in the order of the Gray code (Antonov and Saleev, 1979)."""
    table = _directions()
    if dimensions > len(table):
        rule = f"Sobol points have at most {len(table)} parameters"
        raise bad_input("range", dimensions, rule, "Use the method random.", key="method")
    if stop > 1 << _BITS:
        raise bad_input("range", stop, f"Sobol sequences end after 2^{_BITS} points", "Use random.", key="budget")
    index = np.arange(start, stop, dtype=np.uint64)
    gray = index ^ (index >> np.uint64(1))
    points = np.zeros((stop - start, dimensions), dtype=np.uint64)
    for bit in range(max(stop - 1, 0).bit_length()):
        digit = (gray >> np.uint64(bit)) & np.uint64(1)
        points ^= digit[:, None] * table[None, :dimensions, bit]
    return points


def _owen(points: Words, seed: int) -> Words:
    """Nested uniform scrambling (Owen, 1995): a digit is flipped by a random bit that depends on all digits above it.

    The random bits are a hash of (seed, dimension, node of the binary tree), so that no tree has to be kept.
    """
    keys = np.array([_key(seed, f"{SOBOL} {d}", 8) for d in range(points.shape[1])], dtype=np.uint64)
    out = np.zeros_like(points)
    for bit in range(_BITS):
        node = (points >> np.uint64(_BITS - bit)) | np.uint64(1 << bit)
        flip = _mixed(keys[None, :] + node * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(63)
        digit = (points >> np.uint64(_BITS - 1 - bit)) & np.uint64(1)
        out |= (digit ^ flip) << np.uint64(_BITS - 1 - bit)
    return out


def _mixed(z: Words) -> Words:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014; constants of Stafford's variant 13)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
