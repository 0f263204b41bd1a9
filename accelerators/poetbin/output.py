"""The sparse output layer in integers: each class scores the neurons it alone reads, in q bits.

    y = bias + sum over i of weight_i * b_i        with b_i the neuron's bit, 0 or 1
    s = round(2^(q-1) * clip(y / 2, -1, 1 - 2^-(q-1)))

which for q = 8 is y8 = round(128 * clip(y / 2, -1, 1 - 2^-7)) of the released code of PoET-BiN (arXiv 2002.09794).
Halves go to the even neighbour, as `torch.round` and `numpy.rint` do. y is the exact sum of the given floats: a layer
evaluated in 32-bit floats may differ where its own sum was rounded across a half.

A table's address is the class's neurons read as a binary number, its first neuron most significant.
"""

from __future__ import annotations

from collections.abc import Sequence

from accelerators.poetbin.rinc import dyadic, subset_sums


def rounded_quotient(numerator: int, denominator: int) -> int:
    """numerator / denominator (> 0) rounded to the nearest integer, halves to the even one."""
    floor, rest = divmod(2 * numerator + denominator, 2 * denominator)
    return floor - 1 if rest == 0 and floor % 2 else floor


def score_table(weights: Sequence[float], bias: float, q: int) -> list[int]:
    """The score of a class at every address, from -2^(q-1) to 2^(q-1) - 1. Raises InputError for what is not finite."""
    (start, *steps), denominator = dyadic([bias, *weights])
    low, high = -(1 << (q - 1)), (1 << (q - 1)) - 1
    # 2^(q-1) * y / 2 = y * 2^q / 4; both limits are whole, so clipping after rounding is clipping before it.
    scores = (rounded_quotient(total << q, 4 * denominator) for total in subset_sums(steps, start))
    return [min(max(score, low), high) for score in scores]


def score_luts(scores: Sequence[int], q: int) -> list[int]:
    """The q tables whose outputs are the bits of the scores in two's complement, least significant bit first."""
    return [sum((score >> bit & 1) << address for address, score in enumerate(scores)) for bit in range(q)]
