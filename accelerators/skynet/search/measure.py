"""How good a detector may become: a training-free measure, and short trainings where they can be had.

`score` needs no data and no PyTorch. It is the entropy of the last maps of a network of Gaussian weights, after MAE-DET
(Sun et al., ICML 2022, arXiv 2111.13336; its published code): a convolution of fan-in k^2 c / g adds log sqrt(fan-in),
a scale adds the log of its channels, and scales are summed with weights. Here the scales are the map the head reads
and, with the bypass, the map before the last pool. `score` is that sum over SkyNet C's.

It knows nothing of resolution, of activations or of trainability: pools behind the first Bundles cost it nothing, and a
deeper network is always better to it. It is for ranking, and the page says how well it ranked what was trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from accelerators.skynet.structure import KINDS, PUBLISHED, Structure

FINE_WEIGHT = 0.31
"""Of the map that the bypass leads past the last pool: the share of the contest's objects below 1 % of the frame (the
paper, as known from reading notes), about two cells high on the head's grid. That it is the weight is ours."""
BIT_SHARES = {(9, 11): 0.727, (9, 10): 0.714, (8, 11): 0.690, (8, 10): 0.680}
"""Remembered IoU of SkyNet by feature and weight bits (the paper, from reading notes)."""
FLOAT_IOU = 0.741


class Measure(NamedTuple):
    """A measure by name: a number for each of some structures, larger is better, whoever else is asked about."""

    name: str
    of_all: Callable[[Sequence[Structure]], list[float]]

    def of(self, structure: Structure) -> float:
        """One structure's."""
        return self.of_all([structure])[0]


def entropy(structure: Structure) -> float:
    """Log-entropies of the scales that the head reads, weighted."""
    total, at_tap = 0.0, 0.0
    for number, (inputs, outputs) in enumerate(structure.bundles(), 1):
        total += _bundle_entropy(structure.kind, inputs, outputs)
        if number == structure.tap:
            at_tap = total + math.log(outputs)
    coarse = total + math.log(structure.bundles()[-1][1])
    return coarse + FINE_WEIGHT * at_tap if structure.last else coarse


def _bundle_entropy(kind: str, inputs: int, outputs: int) -> float:
    """log sqrt(fan-in) of each convolution of a Bundle."""
    found, channels = 0.0, inputs
    for c in KINDS[kind]:
        fan_in = c.kernel**2 * channels // (c.groups or channels)
        found += math.log(fan_in) / 2
        channels = outputs if c.widens else channels
    return found


def score(structure: Structure) -> float:
    """The entropy over SkyNet C's: 1 for SkyNet C."""
    return entropy(structure) / entropy(PUBLISHED["skynet-c"])


ENTROPY = Measure("entropy", lambda structures: [score(one) for one in structures])


def bit_share(feature_bits: int, weight_bits: int) -> float:
    """The share of its IoU in floating point that SkyNet keeps with these widths, remembered.

    Raises KeyError for widths that the paper has no figure of.
    """
    return BIT_SHARES[feature_bits, weight_bits] / FLOAT_IOU
