"""The score of the DAC System Design Contest: accuracy, and energy against the field's.

    ES_i = max(0, 1 + 0.2 * log_x(E_ref / E_i)),   score = IoU * (1 + ES),   x = 2 (FPGA) or 10 (GPU)

E_i is the energy a frame and E_ref the mean of the field of one year and track. The formula and its constants are known
from public notes on the contest; the three published FPGA rows of 2019 imply one and the same E_ref, which supports it.
"""

from __future__ import annotations

from math import log

ENERGY_WEIGHT = 0.2


def energy_score(energy_j: float, reference_j: float, base: float) -> float:
    """ES of `energy_j` joules a frame. Energies are positive, `base` is above 1."""
    return max(0.0, 1 + ENERGY_WEIGHT * log(reference_j / energy_j) / log(base))


def contest_score(iou: float, energy_j: float, reference_j: float, base: float) -> float:
    """The total score of an entry."""
    return iou * (1 + energy_score(energy_j, reference_j, base))
